//! `cargo xtask mlperf`: MLPerf Tiny's networks, imported, built for cores, run and compared.
//!
//! The networks are not part of the project. A folder holds them as `NAME.tflite`, inputs as `NAME.in.i8`, and what
//! TensorFlow Lite Micro answers as `NAME.out_tflm.i8`.

use crate::boards::{self, Board, Examples, Program};
use crate::image::Image;
use crate::{counts, cycles, firmware, lenet, shell};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::time::Duration;

/// What a network is called in results, and its file.
const NETWORKS: [(&str, &str); 4] =
    [("kws", "kws_ref_model"), ("ic", "pretrainedResnet_quant"), ("vww", "vww_96_int8"), ("ad", "ad01_int8")];

/// The example that runs any network.
const EXAMPLE: &str = "network";

/// The PC, among the cores.
const HOST: &str = "host";

#[derive(clap::Args)]
pub struct Options {
    /// The cores: host m0 m3 m4 m7 m33 m55 rv32 rv64 a64 [default: m4 m55 host].
    cores: Vec<String>,
    /// Folder of the networks, their inputs and TensorFlow Lite Micro's outputs.
    #[arg(long, value_name = "DIR")]
    models: PathBuf,
    /// Only this network: kws, ic, vww or ad.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Layers run row by row, where that takes less RAM.
    #[arg(long)]
    rows: bool,
    /// So many random inputs instead of those in the folder; Python's `tflite_micro` says what is right. Instructions are
    /// not counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    random: Option<u32>,
    /// The records of this file, in CIFAR-10's binary format, plain or gzip, instead of inputs in the folder, for the
    /// network ic. Instructions are not counted.
    #[arg(long, value_name = "FILE", conflicts_with = "random")]
    cifar10: Option<PathBuf>,
    /// A Python that has `tflite_micro` and `numpy`.
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    /// Write the results here as JSON. Code is all flash but packed weights, biases, requantization parameters and
    /// tables: the example's own start-up and file access are in it, some 1.2 KB. Code, stack and instructions are `null` for the PC, whose program has the standard
    /// library and every backend in it; instructions also where they are not counted.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Options {
    /// Whether the folder's inputs are run, and instructions counted.
    fn counts(&self) -> bool {
        self.random.is_none() && self.cifar10.is_none()
    }
}

/// What a network took on a core.
#[derive(Debug)]
struct Outcome {
    network: &'static str,
    core: String,
    inputs: usize,
    differing_bytes: usize,
    ram_bytes: u32,
    flash_weight_bytes: u32,
    /// Not on a PC.
    flash_code_bytes: Option<u64>,
    stack_bytes: Option<u32>,
    instructions: Option<u64>,
    m4_cycles: Option<u64>,
}

/// Runs the networks on the cores. `false` if a byte differs or a core fails.
pub fn run(options: &Options) -> Result<bool> {
    let models = absolute(&options.models)?;
    let wanted = if options.cifar10.is_some() { Some("ic") } else { options.network.as_deref() };
    let networks: Vec<_> = NETWORKS.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name)).collect();
    ensure!(!networks.is_empty(), "--network: there are kws, ic, vww and ad");
    for (_, file) in &networks {
        let suffixes = ["tflite", "in.i8", "out_tflm.i8"];
        for suffix in &suffixes[..if options.counts() { 3 } else { 1 }] {
            let path = models.join(format!("{file}.{suffix}"));
            ensure!(path.is_file(), "--models {}: there is no {file}.{suffix}", models.display());
        }
    }
    let default = ["m4", "m55", HOST].map(str::to_owned);
    let cores = if options.cores.is_empty() { &default[..] } else { &options.cores };
    let mut boards = Vec::new();
    for core in cores {
        let board = boards::ALL.iter().find(|board| board.short == core && board.counts());
        ensure!(board.is_some() || core == HOST, "there is no core `{core}` that networks run on");
        boards.push(board);
    }
    let trainer = lenet::build_trainer()?;
    let folder = shell::target_dir()?.join("mlperf");
    let mut outcomes = Vec::new();
    let mut failed = 0;
    for (name, file) in networks {
        let module = folder.join(name);
        let mut import = shell::host_command(&trainer);
        import.arg("import").arg(models.join(format!("{file}.tflite"))).arg("--out").arg(&module);
        if options.rows {
            import.arg("--rows");
        }
        shell::output(&mut import).with_context(|| format!("{file}.tflite is not imported"))?;
        let files = Files::of(options, &models, file, &folder.join(format!("{name}-files")))?;
        for board in &boards {
            let core = board.map_or(HOST, |board| board.short);
            eprintln!("== {name}, {}", board.map_or("PC", |board| board.core));
            let started = folder.join(format!("{name}-{core}"));
            fs::create_dir_all(&started)?;
            // An older run's outputs are no answer.
            for name in ["outputs.bin", "sizes.bin"].map(|name| started.join(name)) {
                if name.exists() {
                    fs::remove_file(name)?;
                }
            }
            fs::copy(&files.inputs, started.join("inputs.bin"))?;
            let expected = fs::read(&files.outputs)?;
            let outcome = match board {
                Some(board) => on_board(board, name, &module, &started, &expected, options.counts()),
                None => on_host(name, &module, &started, &expected),
            };
            match outcome {
                Ok(outcome) => {
                    if let Some(labels) = &files.labels {
                        println!(
                            "{}",
                            predictions(&fs::read(started.join("outputs.bin"))?, &expected, &fs::read(labels)?)
                        );
                    }
                    outcomes.push(outcome);
                }
                Err(error) => {
                    eprintln!("{error:#}");
                    failed += 1;
                }
            }
        }
    }
    print!("{}", table(&outcomes));
    if let Some(path) = &options.json {
        shell::write_whole(&absolute(path)?, to_json(&outcomes).as_bytes())?;
    }
    Ok(failed == 0 && outcomes.iter().all(|outcome| outcome.differing_bytes == 0))
}

/// Where inputs are, and what TensorFlow Lite Micro answers.
struct Files {
    inputs: PathBuf,
    outputs: PathBuf,
    labels: Option<PathBuf>,
}

impl Files {
    /// Those of a network in the folder of models, or made by Python in `folder`.
    fn of(options: &Options, models: &Path, file: &str, folder: &Path) -> Result<Self> {
        if options.counts() {
            let [inputs, outputs] = ["in.i8", "out_tflm.i8"].map(|suffix| models.join(format!("{file}.{suffix}")));
            return Ok(Self { inputs, outputs, labels: None });
        }
        fs::create_dir_all(folder)?;
        let [inputs, outputs, labels] = ["inputs.i8", "outputs.i8", "labels.u8"].map(|name| folder.join(name));
        let mut python = Command::new(&options.python);
        python.arg(shell::workspace().join("xtask/src/mlperf/tflm.py")).arg(models.join(format!("{file}.tflite")));
        python.args([&inputs, &outputs]);
        if let Some(count) = options.random {
            python.args(["--random", &count.to_string()]);
        } else if let Some(records) = &options.cifar10 {
            python.arg("--cifar10").args([records, &labels]);
        }
        let missing = "TensorFlow Lite Micro did not run; --python names a Python with tflite_micro and numpy: python3 -m \
                       venv venv && venv/bin/pip install tflite_micro numpy";
        shell::output(&mut python).context(missing)?;
        Ok(Self { inputs, outputs, labels: options.cifar10.is_some().then_some(labels) })
    }
}

/// The place of the greatest output, the first of equal ones.
fn class(outputs: &[u8]) -> usize {
    let greatest = outputs.iter().map(|&output| output.cast_signed()).max();
    outputs.iter().position(|&output| Some(output.cast_signed()) == greatest).unwrap_or(0)
}

/// In how many records the predictions are those of TensorFlow Lite Micro, and how many are right.
fn predictions(outputs: &[u8], expected: &[u8], labels: &[u8]) -> String {
    let classes = |outputs: &[u8]| outputs.chunks(10).map(class).collect::<Vec<_>>();
    let (ours, theirs) = (classes(outputs), classes(expected));
    let same = ours.iter().zip(&theirs).filter(|(a, b)| a == b).count();
    let right = |classes: &[usize], first: usize| {
        let first = first.min(labels.len());
        let right =
            classes.iter().zip(labels).take(first).filter(|&(&class, &label)| class == usize::from(label)).count();
        100.0 * right as f64 / first.max(1) as f64
    };
    format!(
        "{same} of {} predictions are the same; right: {:.2} % (TensorFlow Lite Micro: {:.2} %), of the first 1,000 {:.2} % \
         ({:.2} %)",
        labels.len(),
        right(&ours, labels.len()),
        right(&theirs, labels.len()),
        right(&ours, 1000),
        right(&theirs, 1000)
    )
}

/// Builds the example with the network for a core, runs it there and compares the outputs.
fn on_board(
    board: &Board,
    network: &'static str,
    module: &Path,
    started: &Path,
    expected: &[u8],
    count: bool,
) -> Result<Outcome> {
    let mut cargo = board.cargo(&board.set_up()?, None);
    cargo.env("BARECONV_MODEL", module);
    let elf = board.build_with(EXAMPLE, EXAMPLE, cargo, &format!("network-{}", board.short))?;
    let image = Image::read(&elf)?;
    let counts = if count {
        Some(counts::run_in(started, board, &elf, &image, &[])?.0)
    } else {
        let limit = Duration::from_secs(4 * 3600);
        board.run(&Program { elf: &elf, arguments: &[], folder: started, plugin: None, limit }, || ())?.success()?;
        None
    };
    let outcome = compare(network, board.short, started, expected)?;
    let cycles = match &counts {
        Some(counts) if board.short == "m4" => Some(cycles::of_counts(&image, counts)?.cycles),
        _ => None,
    };
    let flash = firmware::sizes(&elf)?.flash;
    let code = flash.checked_sub(u64::from(outcome.flash_weight_bytes));
    Ok(Outcome {
        flash_code_bytes: Some(code.context("the firmware is smaller than its weights")?),
        stack_bytes: outcome.stack_bytes.filter(|&stack| stack > 0),
        instructions: counts.map(|counts| counts::instructions(&counts.total())),
        m4_cycles: cycles,
        ..outcome
    })
}

/// Builds the example with the network for this computer, runs it and compares the outputs.
fn on_host(network: &'static str, module: &Path, started: &Path, expected: &[u8]) -> Result<Outcome> {
    let mut cargo = shell::host_cargo();
    // Flags of the user's could choose a backend.
    cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "").env("BARECONV_MODEL", module);
    cargo.args(["build", "--release", "--quiet", "--features", "std", "--target-dir"]);
    let target_dir = shell::target_dir()?.join("network-host");
    cargo.arg(&target_dir).arg("--manifest-path");
    cargo.arg(shell::workspace().join("examples").join(EXAMPLE).join("Cargo.toml"));
    shell::run(&mut cargo).context("the example does not build for this computer")?;
    let program = target_dir.join("release").join(format!("{EXAMPLE}{}", std::env::consts::EXE_SUFFIX));
    let mut run = shell::host_command(&program);
    shell::run(run.current_dir(started))?;
    Ok(Outcome { stack_bytes: None, ..compare(network, HOST, started, expected)? })
}

/// Compares what the example wrote in its folder.
fn compare(network: &'static str, core: &str, started: &Path, expected: &[u8]) -> Result<Outcome> {
    let read = |name: &str| fs::read(started.join(name)).with_context(|| format!("the program wrote no {name}"));
    let (outputs, sizes) = (read("outputs.bin")?, read("sizes.bin")?);
    let differing = outputs.iter().zip(expected).filter(|(a, b)| a != b).count();
    let [stack, ram, weights, _macs] = *sizes.as_chunks().0 else {
        anyhow::bail!("sizes.bin has {} bytes, not 16", sizes.len());
    };
    let inputs = fs::metadata(started.join("inputs.bin"))?.len();
    let count = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(Outcome {
        network,
        core: core.to_owned(),
        inputs: count(inputs) / input_bytes(network),
        differing_bytes: differing + outputs.len().abs_diff(expected.len()),
        ram_bytes: u32::from_le_bytes(ram),
        flash_weight_bytes: u32::from_le_bytes(weights),
        flash_code_bytes: None,
        stack_bytes: Some(u32::from_le_bytes(stack)),
        instructions: None,
        m4_cycles: None,
    })
}

/// Bytes of an input of a network.
fn input_bytes(network: &str) -> usize {
    match network {
        "kws" => 49 * 10,
        "ic" => 32 * 32 * 3,
        "vww" => 96 * 96 * 3,
        _ => 640,
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "{:8}{:6}{:>7}{:>8}{:>8}{:>8}{:>9}{:>7}{:>13}{:>13}\n",
        "network", "core", "inputs", "differ", "RAM", "code", "weights", "stack", "instructions", "M4 cycles"
    );
    let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    for outcome in outcomes {
        text.push_str(&format!(
            "{:8}{:6}{:>7}{:>8}{:>8}{:>8}{:>9}{:>7}{:>13}{:>13}\n",
            outcome.network,
            outcome.core,
            outcome.inputs,
            outcome.differing_bytes,
            outcome.ram_bytes,
            number(outcome.flash_code_bytes),
            outcome.flash_weight_bytes,
            number(outcome.stack_bytes.map(u64::from)),
            outcome.instructions.map_or("-".to_owned(), cycles::grouped),
            outcome.m4_cycles.map_or("-".to_owned(), cycles::grouped),
        ));
    }
    text
}

/// All results, for machines. What a core does not have is missing or `null`.
fn to_json(outcomes: &[Outcome]) -> String {
    let lines: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            let mut line = json!({
                "network": outcome.network,
                "core": outcome.core,
                "inputs": outcome.inputs,
                "differing_bytes": outcome.differing_bytes,
                "ram_bytes": outcome.ram_bytes,
                "flash_code_bytes": outcome.flash_code_bytes,
                "flash_weight_bytes": outcome.flash_weight_bytes,
                "stack_bytes": outcome.stack_bytes,
                "instructions": outcome.instructions,
            });
            if let Some(cycles) = outcome.m4_cycles {
                line["m4_cycles"] = Value::from(cycles);
            }
            format!("  {line}")
        })
        .collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(folder: &Path) -> Result<Outcome> {
        compare("ad", "m4", folder, &[1, 2, 3, 4])
    }

    #[test]
    fn predictions_are_the_first_greatest_outputs() {
        assert_eq!(class(&[0x80, 0x7F, 0x7F, 0]), 1);
        let (a, b) = ([[1u8, 0, 0, 0, 0, 0, 0, 0, 0, 2], [0; 10]].concat(), [0u8; 20]);
        let text = predictions(&a, &b, &[9, 0]);
        assert!(
            text.starts_with("1 of 2 predictions are the same; right: 100.00 % (TensorFlow Lite Micro: 50.00 %)"),
            "{text}"
        );
    }

    #[test]
    fn every_differing_byte_counts_and_missing_ones_too() {
        let folder = std::env::temp_dir().join(format!("xtask-mlperf-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert!(outcome(&folder).unwrap_err().to_string().contains("outputs.bin"));
        fs::write(folder.join("inputs.bin"), vec![0; 1280]).unwrap();
        fs::write(folder.join("outputs.bin"), [1, 9, 3]).unwrap();
        fs::write(folder.join("sizes.bin"), [7; 15]).unwrap();
        assert!(outcome(&folder).unwrap_err().to_string().contains("15 bytes"));
        let sizes: Vec<u8> = [700u32, 1400, 270_000, 1].iter().flat_map(|size| size.to_le_bytes()).collect();
        fs::write(folder.join("sizes.bin"), sizes).unwrap();
        let outcome = outcome(&folder).unwrap();
        assert_eq!((outcome.inputs, outcome.differing_bytes), (2, 2));
        assert_eq!((outcome.stack_bytes, outcome.ram_bytes, outcome.flash_weight_bytes), (Some(700), 1400, 270_000));
        fs::remove_dir_all(&folder).unwrap();
        let json: Value = serde_json::from_str(&to_json(&[outcome])).unwrap();
        assert_eq!(json[0]["differing_bytes"], 2);
        assert!(json[0].get("m4_cycles").is_none() && json[0]["instructions"].is_null());
    }
}
