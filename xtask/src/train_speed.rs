//! `cargo xtask bench train`: how fast networks train, and in how much memory, beside PyTorch.

use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Network and batch.
const CASES: [(&str, usize); 3] = [("lenet5", 64), ("resnet8", 64), ("alexnet", 16)];
/// Threads of either side.
const THREADS: &str = "2";

/// How to measure.
#[derive(Debug)]
pub struct Options<'a> {
    /// A Python that has PyTorch, or none.
    pub python: Option<&'a Path>,
    /// Networks to train; all if empty.
    pub networks: &'a [String],
    /// Processes of each side; their medians count.
    pub runs: usize,
    /// Seconds that each process trains.
    pub seconds: f64,
    /// Where the results go as JSON.
    pub json: Option<&'a PathBuf>,
}

/// Images per second and peak memory of one process.
fn measure(command: &mut Command) -> Result<(f64, u64)> {
    let shown = shell::display(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}", output.status);
    }
    let result: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("the output of {shown}"))?;
    let number = |key: &str| result.get(key).with_context(|| format!("{shown} did not tell {key}"));
    let speed = number("images_per_second")?.as_f64().context("images per second are a number")?;
    Ok((speed, number("peak_bytes")?.as_u64().context("peak bytes are a whole number")?))
}

/// The middle one of an odd number of values, or the upper of the two middle ones.
fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

/// Trains each network in alternating processes and shows the medians.
pub fn run(options: &Options<'_>) -> Result<bool> {
    if let Some(unknown) = options.networks.iter().find(|name| CASES.iter().all(|case| case.0 != **name)) {
        bail!("no network `{unknown}`: lenet5, resnet8 or alexnet");
    }
    let mut build = shell::host_cargo();
    build.args(["build", "--release", "--package", "host-trainer", "--example", "train_speed"]);
    shell::run(&mut build)?;
    let program = shell::target_dir()?.join("release/examples/train_speed");
    let script = shell::workspace().join("host-trainer/examples/train_speed.py");
    if options.python.is_none() {
        eprintln!("without PyTorch: name a Python that has it by --python or BARECONV_PYTHON");
    }
    println!("{:10}{:>6}{:>12}{:>10}{:>12}{:>10}{:>8}{:>8}", "", "batch", "images/s", "MiB", "PyTorch", "MiB", "speed", "memory");
    let mut results = Vec::new();
    for (network, batch) in CASES {
        if !options.networks.is_empty() && !options.networks.iter().any(|name| name == network) {
            continue;
        }
        let arguments = [network.to_owned(), batch.to_string(), options.seconds.to_string()];
        let (mut ours, mut rivals) = (Vec::new(), Vec::new());
        for _ in 0..options.runs {
            ours.push(measure(Command::new(&program).args(&arguments).env("RAYON_NUM_THREADS", THREADS))?);
            if let Some(python) = options.python {
                let mut command = Command::new(python);
                command.arg(&script).args(&arguments).env("OMP_NUM_THREADS", THREADS);
                rivals.push(measure(&mut command)?);
            }
        }
        let medians = |runs: &[(f64, u64)]| {
            let speed = median(runs.iter().map(|run| run.0).collect())?;
            Some((speed, median(runs.iter().map(|run| run.1).collect())?))
        };
        let (speed, peak) = medians(&ours).context("at least one run")?;
        let mut result = json!({ "network": network, "batch": batch, "images_per_second": speed, "peak_bytes": peak });
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        print!("{network:10}{batch:>6}{speed:>12.0}{:>10.0}", mebibytes(peak));
        if let Some((rival, rival_peak)) = medians(&rivals) {
            result["pytorch_images_per_second"] = json!(rival);
            result["pytorch_peak_bytes"] = json!(rival_peak);
            let (ratio, share) = (speed / rival, peak as f64 / rival_peak as f64);
            print!("{rival:>12.0}{:>10.0}{ratio:>7.2}x{:>7.0}%", mebibytes(rival_peak), 100.0 * share);
        }
        println!();
        results.push(format!("  {result}"));
    }
    if let Some(path) = options.json {
        shell::write_whole(path, format!("[\n{}\n]\n", results.join(",\n")).as_bytes())?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4, 1, 3, 2]), Some(3));
        assert_eq!(median::<u64>(vec![]), None);
    }
}
