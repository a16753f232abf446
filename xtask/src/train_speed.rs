//! `cargo xtask bench train`: how fast networks train, side by side with PyTorch.

use crate::shell::{self, Progress};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The networks and their batches.
const NETWORKS: [(&str, usize); 3] = [("lenet", 64), ("resnet8", 64), ("alexnet", 16)];

/// How PyTorch may lay out tensors; the faster one counts.
const FORMATS: [&str; 2] = ["channels_last", "contiguous"];

/// The same networks and steps in PyTorch.
const SCRIPT: &str = "host-trainer/examples/train_speed.py";

/// Options of `cargo xtask bench train`.
#[derive(clap::Args)]
pub struct Options {
    /// Only this network: lenet, resnet8 or alexnet.
    #[arg(long, value_name = "NAME", value_parser = NETWORKS.map(|network| network.0))]
    network: Option<String>,
    /// A Python that has `torch` [default: python3, if it has it].
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// How often each trains in turn; medians count.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each trains at a time.
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Write the results here as JSON. The rival's numbers are `null` where it is not installed.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What one program said of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    images_per_second: f64,
    peak_bytes: u64,
}

/// PyTorch, where it is installed.
struct Rival {
    python: PathBuf,
    version: String,
}

/// A network's medians.
struct Speed {
    network: &'static str,
    batch: usize,
    own: Run,
    /// With the memory format.
    rival: Option<(Run, &'static str)>,
}

/// Trains the networks here and there in turn.
pub fn run(options: &Options) -> Result<()> {
    let rival = rival(options.python.as_deref())?;
    if rival.is_none() {
        eprintln!("PyTorch is not compared: python3 has no module `torch`; --python names a Python that has.");
    }
    let trainer = build()?;
    let wanted = |name| options.network.as_ref().is_none_or(|wanted| wanted == name);
    let mut speeds = Vec::new();
    for (network, batch) in NETWORKS.into_iter().filter(|&(name, _)| wanted(name)) {
        speeds.push(measure(options, &trainer, rival.as_ref(), network, batch)?);
    }
    let version = rival.as_ref().map(|rival| rival.version.as_str());
    print!("{}", table(&speeds, version));
    if let Some(path) = &options.json {
        shell::write_whole(path, to_json(&speeds, version).as_bytes())?;
    }
    Ok(())
}

/// The version of PyTorch. A Python that was asked for must have it.
fn rival(python: Option<&Path>) -> Result<Option<Rival>> {
    let path = python.unwrap_or(Path::new("python3"));
    let version = shell::output(Command::new(path).args(["-c", "import torch; print(torch.__version__)"]));
    match version {
        Ok(version) => Ok(Some(Rival { python: path.to_path_buf(), version: version.trim().to_owned() })),
        Err(_) if python.is_none() => Ok(None),
        Err(error) => Err(error.context(format!("--python {}: a Python with `torch` is needed", path.display()))),
    }
}

fn build() -> Result<PathBuf> {
    let target_dir = shell::target_dir()?;
    let mut cargo = shell::host_cargo();
    let arguments = ["build", "--release", "--package", "host-trainer", "--example", "train_speed", "--target-dir"];
    shell::run(cargo.args(arguments).arg(&target_dir)).context("the example `train_speed` does not build")?;
    Ok(target_dir.join("release/examples").join(format!("train_speed{}", std::env::consts::EXE_SUFFIX)))
}

fn measure(
    options: &Options,
    trainer: &Path,
    rival: Option<&Rival>,
    network: &'static str,
    batch: usize,
) -> Result<Speed> {
    let progress = Progress::new(&format!("{network}, batches of {batch}"));
    let arguments = [network.to_owned(), batch.to_string(), options.seconds.to_string()];
    let (mut own, mut others) = (Vec::new(), FORMATS.map(|_| Vec::new()));
    for round in 1..=options.rounds {
        progress.show(&format!("round {round} of {}", options.rounds));
        own.push(parse(&shell::output(shell::host_command(trainer).args(&arguments))?)?);
        let Some(Rival { python, .. }) = rival else { continue };
        for (format, runs) in FORMATS.into_iter().zip(&mut others) {
            let mut command = shell::host_command(python);
            runs.push(parse(&shell::output(command.arg(SCRIPT).args(&arguments).arg(format))?)?);
        }
    }
    progress.finish("done");
    let others = FORMATS.into_iter().zip(&mut others);
    let others = others.filter_map(|(format, runs)| Some((median(runs)?, format)));
    let better = others.max_by(|a, b| a.0.images_per_second.total_cmp(&b.0.images_per_second));
    Ok(Speed { network, batch, own: median(&mut own).context("no round was run")?, rival: better })
}

/// The last line that a program printed.
fn parse(printed: &str) -> Result<Run> {
    let line = printed.trim_end().lines().last().unwrap_or_default();
    let value: Value = serde_json::from_str(line).with_context(|| format!("no JSON: `{line}`"))?;
    let [speed, peak] = ["images_per_second", "peak_bytes"].map(|key| &value[key]);
    let speed = speed.as_f64().filter(|&speed| speed > 0.0);
    let missing = || format!("no speed or no memory: `{line}`");
    Ok(Run { images_per_second: speed.with_context(missing)?, peak_bytes: peak.as_u64().with_context(missing)? })
}

/// The median speed and the greatest peak.
fn median(runs: &mut [Run]) -> Option<Run> {
    runs.sort_by(|a, b| a.images_per_second.total_cmp(&b.images_per_second));
    let middle = runs.get(runs.len() / 2)?.images_per_second;
    let below = runs[(runs.len() - 1) / 2].images_per_second;
    let peak_bytes = runs.iter().map(|run| run.peak_bytes).max()?;
    Some(Run { images_per_second: (middle + below) / 2.0, peak_bytes })
}

fn table(speeds: &[Speed], version: Option<&str>) -> String {
    // Without what it was built for, as in `2.15.0+cpu`.
    let number = version.and_then(|version| version.split('+').next());
    let rival = number.map_or("no PyTorch".to_owned(), |number| format!("PyTorch {number}"));
    let mut text = format!(
        "\n{:10}{:>6}{:>11}{rival:>19}{:>8}{:>9}{:>9}{:>8}\n",
        "training", "batch", "images/s", "ratio", "MiB", "PyTorch", "ratio"
    );
    for Speed { network, batch, own, rival } in speeds {
        let mebibytes = |run: &Run| run.peak_bytes as f64 / f64::from(1 << 20);
        let _ = write!(text, "{network:10}{batch:>6}{:>11.0}", own.images_per_second);
        let _ = match rival {
            Some((other, _)) => {
                let (speed, ratio) = (other.images_per_second, own.images_per_second / other.images_per_second);
                let (own, other) = (mebibytes(own), mebibytes(other));
                writeln!(text, "{speed:>19.0}{ratio:>8.2}{own:>9.0}{other:>9.0}{:>8.2}", own / other)
            }
            None => writeln!(text, "{:>19}{:>8}{:>9.0}{:>9}{:>8}", "-", "-", mebibytes(own), "-", "-"),
        };
    }
    text
}

fn to_json(speeds: &[Speed], version: Option<&str>) -> String {
    let lines = speeds.iter().map(|Speed { network, batch, own, rival }| {
        let other = rival.as_ref().map(|rival| rival.0);
        let value = json!({
            "network": network,
            "batch": batch,
            "images_per_second": own.images_per_second,
            "peak_bytes": own.peak_bytes,
            "rival": version.map(|version| format!("PyTorch {version}")),
            "rival_memory_format": rival.as_ref().map(|rival| rival.1),
            "rival_images_per_second": other.map(|other| other.images_per_second),
            "rival_peak_bytes": other.map(|other| other.peak_bytes),
        });
        format!("  {value}")
    });
    format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(rival: Option<(Run, &'static str)>) -> Speed {
        let own = Run { images_per_second: 30_000.0, peak_bytes: 50 << 20 };
        Speed { network: "resnet8", batch: 64, own, rival }
    }

    #[test]
    fn output_is_read_or_told() {
        let run = parse("warning\n{\"images_per_second\": 12.5, \"peak_bytes\": 7, \"version\": \"2\"}\n").unwrap();
        assert_eq!(run, Run { images_per_second: 12.5, peak_bytes: 7 });
        for wrong in ["", "none", "{\"images_per_second\": 0, \"peak_bytes\": 7}", "{\"images_per_second\": 1}"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn medians_are_of_speeds_and_peaks_the_greatest() {
        let run = |speed: f64, peak_bytes| Run { images_per_second: speed, peak_bytes };
        assert_eq!(median(&mut [run(9.0, 1), run(2.0, 5), run(4.0, 3)]), Some(run(4.0, 5)));
        assert_eq!(median(&mut [run(9.0, 1), run(2.0, 5)]), Some(run(5.5, 5)));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn tables_fit_a_terminal_and_a_missing_rival_is_null() {
        let other = Run { images_per_second: 12_000.0, peak_bytes: 1530 << 20 };
        let full = table(&[speed(Some((other, FORMATS[0])))], Some("2.15.0+cpu"));
        assert!(full.contains(" PyTorch 2.15.0 ") && full.contains(" 2.50 "), "{full}");
        let alone = table(&[speed(None)], None);
        for line in full.lines().chain(alone.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let value: Value = serde_json::from_str(&to_json(&[speed(None)], None)).unwrap();
        assert_eq!(value[0]["images_per_second"], 30_000.0);
        assert!(value[0]["rival_images_per_second"].is_null() && value[0].get("rival_peak_bytes").is_some());
    }
}
