//! `cargo xtask mlperf`: MLPerf Tiny's networks, imported, built for cores, run and compared.
//!
//! The networks are not part of the project. A folder holds them as `NAME.tflite`, inputs as `NAME.in.i8`, and what
//! TensorFlow Lite Micro answers as `NAME.out_tflm.i8`.

use crate::boards::{self, Board, Examples};
use crate::image::Image;
use crate::{counts, cycles, firmware, lenet, shell};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf, absolute};

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
    /// Write the results here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    let networks: Vec<_> =
        NETWORKS.iter().filter(|(name, _)| options.network.as_ref().is_none_or(|wanted| wanted == name)).collect();
    ensure!(!networks.is_empty(), "--network: there are kws, ic, vww and ad");
    for (_, file) in &networks {
        for suffix in ["tflite", "in.i8", "out_tflm.i8"] {
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
        shell::output(&mut import).with_context(|| format!("{file}.tflite is not imported"))?;
        for board in &boards {
            let core = board.map_or(HOST, |board| board.short);
            eprintln!("== {name}, {}", board.map_or("PC", |board| board.core));
            let started = folder.join(format!("{name}-{core}"));
            fs::create_dir_all(&started)?;
            fs::copy(models.join(format!("{file}.in.i8")), started.join("inputs.bin"))?;
            let expected = fs::read(models.join(format!("{file}.out_tflm.i8")))?;
            let outcome = match board {
                Some(board) => on_board(board, name, &module, &started, &expected),
                None => on_host(name, &module, &started, &expected),
            };
            match outcome {
                Ok(outcome) => outcomes.push(outcome),
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

/// Builds the example with the network for a core, runs it there and compares the outputs.
fn on_board(board: &Board, network: &'static str, module: &Path, started: &Path, expected: &[u8]) -> Result<Outcome> {
    let mut cargo = board.cargo(&board.set_up()?, None);
    cargo.env("BARECONV_MODEL", module);
    let elf = board.build_with(EXAMPLE, EXAMPLE, cargo, &format!("network-{}", board.short))?;
    let image = Image::read(&elf)?;
    let (counts, _) = counts::run_in(started, board, &elf, &image, &[])?;
    let outcome = compare(network, board.short, started, expected)?;
    let cycles = if board.short == "m4" { Some(cycles::of_counts(&image, &counts)?.cycles) } else { None };
    let flash = firmware::sizes(&elf)?.flash;
    let code = flash.checked_sub(u64::from(outcome.flash_weight_bytes));
    Ok(Outcome {
        flash_code_bytes: Some(code.context("the firmware is smaller than its weights")?),
        stack_bytes: outcome.stack_bytes.filter(|&stack| stack > 0),
        instructions: Some(counts::instructions(&counts.total())),
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
