//! A checkpoint of a training, as `host-trainer inspect` shows it.

use super::Failure;
use host_trainer::train::{CheckpointSummary, Epoch};
use host_trainer::workflow::Files;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// What the name of a checkpoint ends with.
pub const ENDING: &str = "safetensors";

/// Shows where a training stands.
pub fn show(file: &Path, as_json: bool) -> Result<(), Failure> {
    let summary = CheckpointSummary::read(file)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&to_json(&summary))?);
    } else {
        print!("{}", table(&summary));
    }
    Ok(())
}

fn to_json(summary: &CheckpointSummary) -> serde_json::Value {
    let CheckpointSummary {
        recipe,
        seed,
        training_images,
        validation_images,
        steps,
        images,
        seconds,
        history,
        best,
        tensors,
    } = summary;
    let (seed, quantization_aware) = Files::seed(*seed);
    let best = best.map(|(epoch, evaluation)| json!({ "epoch": epoch, "validation": evaluation }));
    json!({
        "recipe": recipe, "seed": seed, "quantization_aware": quantization_aware, "training_images": training_images, "validation_images": validation_images,
        "steps": steps, "images": images, "seconds": seconds, "epochs": history, "best": best,
        "tensors": tensors.iter().map(|(name, count)| json!({ "name": name, "numbers": count })).collect::<Vec<_>>(),
    })
}

/// Epochs that are shown: the last ones.
const SHOWN: usize = 20;

fn table(summary: &CheckpointSummary) -> String {
    let CheckpointSummary {
        recipe,
        seed,
        training_images,
        validation_images,
        steps,
        images,
        seconds,
        history,
        best,
        tensors,
    } = summary;
    let mut text = "where a training stands; `host-trainer train NAME.toml --resume` goes on\n".to_owned();
    // The hash of the images tells people nothing.
    let short = |images: &str| images.split(", SHA-256").next().unwrap_or_default().to_owned();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{}", format!("{name:10}{value}").trim_end());
    };
    let begun = if *images > 0 { format!(", and {images} images of the next") } else { String::new() };
    line("epochs", format!("{} of {}{begun}; {steps} steps, {seconds:.1} s", history.len(), recipe.epochs));
    let (seed, quantization_aware) = Files::seed(*seed);
    line("seed", format!("{seed}{}", if quantization_aware { ", quantization-aware training" } else { "" }));
    line("training", short(training_images));
    if let Some(images) = validation_images {
        line("held out", short(images));
    }
    if let Some((epoch, evaluation)) = best {
        let (accuracy, loss) = (100.0 * evaluation.accuracy, evaluation.loss);
        line("best", format!("epoch {}: {accuracy:.2} % of the images held out, loss {loss:.4}", epoch + 1));
    }
    line("tensors", String::new());
    for (name, count) in tensors {
        line("", format!("{name:40} {count:>12} numbers"));
    }
    if !history.is_empty() {
        let _ = writeln!(
            text,
            "\n{:>5}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}",
            "epoch", "loss", "accuracy", "held out", "test", "rate"
        );
    }
    if history.len() > SHOWN {
        let _ = writeln!(text, "{:>5}", "...");
    }
    for Epoch { epoch, loss, accuracy, rate, validation, test, .. } in &history[history.len().saturating_sub(SHOWN)..] {
        let share = |value: f64| format!("{:.2} %", 100.0 * value);
        let of = |evaluation: &Option<host_trainer::train::Evaluation>| {
            evaluation.map_or_else(|| "-".to_owned(), |evaluation| share(evaluation.accuracy))
        };
        let _ = writeln!(
            text,
            "{:>5}  {loss:>8.4}  {:>9}  {:>9}  {:>9}  {rate:>9.6}",
            epoch + 1,
            share(*accuracy),
            of(validation),
            of(test)
        );
    }
    text
}
