//! `host-trainer quantize`.

use super::Failure;
use super::description::in_threads;
use super::networks::Source;
use host_trainer::graph::FILE_ENDING;
use host_trainer::output::OutputFolder;
use host_trainer::spec::Method;
use host_trainer::workflow::{Files, evaluate, integer};
use serde_json::json;
use std::path::PathBuf;

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: Source,
    /// Folder for the quantized network [default: the results of the description; or the present one]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Number of threads [default: all cores]; the result does not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Quantizes a trained network after training.
pub fn run(options: &Options) -> Result<(), Failure> {
    let networks = options.source.open()?;
    let (_, float) = &networks.graphs[0];
    let settings = networks.quantization();
    if settings.method == Method::Aware {
        return Err("its quantization is a part of training (method = \"aware\"): `host-trainer train` did it; for \
                    quantization after training, write method = \"post_training\" and remove [quantization.aware]"
            .into());
    }
    let work = || -> Result<_, host_trainer::workflow::Error> {
        let quantized = integer::quantize(float, &settings, &networks.training, &networks.scaling)?;
        let accuracy = |graph| -> Result<f64, host_trainer::workflow::Error> {
            Ok(evaluate::evaluate(graph, &networks.set.test, &networks.scaling)?.confusion.accuracy())
        };
        let accuracies = [accuracy(float)?, accuracy(&quantized.graph)?];
        Ok((quantized, accuracies))
    };
    let explain = |error| match &networks.described {
        Some((described, _)) => described.explain(error),
        None => error.into(),
    };
    let (quantized, [before, after]) = in_threads(options.threads, work)?.map_err(explain)?;
    let form = integer::form(&settings.options);
    let (folder, name) = match &networks.described {
        Some((described, out)) => {
            let path = Files::new(&described.description, out).graph(form);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (options.to.clone().unwrap_or_else(|| out.clone()), name)
        }
        None => {
            let name = format!("{}-{form}{FILE_ENDING}", float.name);
            (options.to.clone().unwrap_or_else(|| PathBuf::from(".")), name)
        }
    };
    OutputFolder::open(&folder)?.write(&[(&name, quantized.graph.to_file()?)])?;
    let file = folder.join(name);
    if options.json {
        let value = json!({
            "file": file, "form": form, "test_images": networks.set.test.len(), "accuracy_f32": before,
            "accuracy": after, "layers": quantized.report.layers,
        });
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        print!("{}", quantized.report);
        println!(
            "accuracy on {} test images: f32 {:.2} %, {form} {:.2} %",
            networks.set.test.len(),
            100.0 * before,
            100.0 * after
        );
        println!("{}", file.display());
        if let Some((described, _)) = &networks.described {
            println!("`host-trainer export {}` makes it a module", described.file.display());
        }
    }
    Ok(())
}
