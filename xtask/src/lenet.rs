//! `cargo xtask lenet`: LeNet-5 on MNIST from training to the verified firmware.

use crate::boards::{Board, CORTEX_M4, Examples, Program};
use crate::cycles::{self, grouped};
use crate::firmware;
use crate::shell::{self, Progress};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::time::{Duration, Instant};

const CLASSES: usize = 10;
const INPUT_BYTES: usize = 28 * 28;

// Files in the output folder. All but the last two are written by the trainer.
const MODULE: &str = "lenet";
const CURVES: &str = "training.png";
const DIGITS: &str = "digits.png";
const HOST_RESULTS: &str = "training.json";
const INPUTS: &str = "inputs.i8";
const HOST_OUTPUTS: &str = "outputs.i8";
const LABELS: &str = "labels.u8";
const FIRMWARE_OUTPUTS: &str = "firmware-outputs.i8";
const RESULTS: &str = "lenet.json";

#[derive(clap::Args)]
pub struct Options {
    /// Folder of MNIST's four IDX files (plain or .gz) instead of the subset that comes with the project.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for everything that is produced [default: out/lenet in the workspace].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write the results here as JSON [default: lenet.json in the output folder].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seed of the random numbers.
    #[arg(long)]
    seed: Option<u64>,
    /// Train only briefly, to see that everything works.
    #[arg(long)]
    quick: bool,
}

/// Trains, exports and verifies. `false` if a byte differs between PC and firmware.
pub fn run(options: &Options) -> Result<bool> {
    let start = Instant::now();
    let mut steps = Steps::default();
    let out = match &options.out {
        Some(out) => absolute(out)?,
        None => shell::workspace().join("out/lenet"),
    };
    let json_path = options.json.as_ref().map(absolute).transpose()?.unwrap_or_else(|| out.join(RESULTS));
    for folder in [Some(out.as_path()), json_path.parent()].into_iter().flatten() {
        ensure_writable(folder)?;
    }
    ensure!(
        json_path.is_file() || !json_path.exists(),
        "--json {}: is not a regular file; name a file to be written",
        json_path.display()
    );
    if let Some(data) = options.data.as_ref().filter(|data| !data.is_dir()) {
        bail!("--data {}: is no folder; name the folder of MNIST's four IDX files", data.display());
    }
    let toolchain = steps.time("set-up", || CORTEX_M4.set_up())?;

    let trainer = steps.time("build the trainer", build_trainer)?;
    steps.time("train, quantize, export", || {
        let mut train = shell::host_command(&trainer);
        train.arg("lenet").arg("--out").arg(&out);
        if let Some(data) = &options.data {
            train.arg("--data").arg(absolute(data)?);
        }
        if let Some(seed) = options.seed {
            train.args(["--seed", &seed.to_string()]);
        }
        if options.quick {
            train.arg("--quick");
        }
        shell::run(&mut train).context("training did not finish")
    })?;
    let host = read_host_results(&out)?;
    // Results of an older network must not lie beside the new one, should one of the next steps fail.
    for older in [RESULTS, FIRMWARE_OUTPUTS] {
        let _ = fs::remove_file(out.join(older));
    }

    let elf = steps.time("build the firmware", || firmware::build(&toolchain, Some(&out.join(MODULE))))?;
    let verification = steps.time("verify in QEMU", || verify(&CORTEX_M4, &elf, &out))?;
    let (profile, measured) = steps.time("profile in QEMU", || cycles::profile(&CORTEX_M4, &elf, &["profile"]))?;
    steps.time("draw digits", || {
        let mut digits = shell::host_command(&trainer);
        digits.arg("digits").arg("--out").arg(&out);
        digits.args(["--outputs", FIRMWARE_OUTPUTS, "--who", "int8 network on the emulated Cortex-M4"]);
        shell::run(&mut digits).context("the picture of the digits was not drawn")
    })?;

    let sizes = firmware::sizes(&elf)?;
    let weights: u64 = measured.field("weight_bytes")?;
    let code = sizes.flash.checked_sub(weights).context("the firmware is smaller than its weights")?;
    let mut results: Vec<(&str, Value)> = HOST_KEYS.iter().map(|&key| (key, host[key].clone())).collect();
    results.extend([
        ("verified_images", json!(verification.images)),
        ("differing_bytes", json!(verification.differing_bytes)),
        ("target", json!(CORTEX_M4.target)),
        ("flash_code_bytes", json!(code)),
        ("flash_weight_bytes", json!(weights)),
        ("ram_static_bytes", json!(sizes.ram_static)),
        ("stack_bytes", json!(measured.field::<u64>("stack_bytes")?)),
        ("instructions", json!(profile.instructions)),
        ("m4_cycles", json!(profile.cycles)),
        ("macs", json!(measured.field::<u64>("macs")?)),
    ]);
    shell::write_whole(&json_path, to_json(&results).as_bytes())?;

    let data = host["data"].as_str().unwrap_or("MNIST");
    println!("\n{}", table(&results, data, &sizes));
    print!("Where the cycles go: {}", profile.table(6, crate::terminal_width()));
    println!("\n{}", files(&out, &json_path));
    println!("{}", wrapped(&steps.summary(start.elapsed()), crate::terminal_width()));
    if let Some(difference) = &verification.first_difference {
        println!("\nPC and firmware DIFFER in {} bytes, first in {difference}", verification.differing_bytes);
    }
    Ok(verification.differing_bytes == 0)
}

const HOST_KEYS: [&str; 4] = ["train_images", "test_images", "float_accuracy", "int8_accuracy"];

/// Creates the folder and a file in it, so that hours of training do not end in a refusal.
fn ensure_writable(folder: &Path) -> Result<()> {
    let probe = folder.join(".write-test.part");
    fs::create_dir_all(folder).and_then(|()| fs::write(&probe, [])).and_then(|()| fs::remove_file(&probe)).with_context(
        || format!("cannot write into the folder {}; choose another with --out (or --json)", folder.display()),
    )
}

pub fn build_trainer() -> Result<PathBuf> {
    let target_dir = shell::target_dir()?;
    let mut cargo = shell::host_cargo();
    cargo.args(["build", "--release", "--quiet", "--package", "host-trainer", "--target-dir"]).arg(&target_dir);
    shell::run(&mut cargo).context("the trainer does not build")?;
    Ok(target_dir.join("release").join(format!("host-trainer{}", std::env::consts::EXE_SUFFIX)))
}

fn read_host_results(out: &Path) -> Result<Value> {
    let path = out.join(HOST_RESULTS);
    let text = fs::read_to_string(&path).with_context(|| format!("the trainer wrote no {}", path.display()))?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    for key in HOST_KEYS {
        ensure!(value[key].is_number(), "{} has no number `{key}`", path.display());
    }
    Ok(value)
}

/// The comparison of the PC's outputs with the firmware's.
#[derive(Debug, PartialEq, Eq)]
pub struct Verification {
    /// Compared pictures.
    pub images: usize,
    /// Output bytes that are not the same.
    pub differing_bytes: usize,
    /// Where the first of them is.
    pub first_difference: Option<String>,
}

/// Runs every test picture through the firmware and compares all output bytes.
fn verify(board: &Board, elf: &Path, out: &Path) -> Result<Verification> {
    let size = fs::metadata(out.join(INPUTS)).with_context(|| format!("the trainer wrote no {INPUTS}"))?.len();
    let images = usize::try_from(size)? / INPUT_BYTES;
    let labels = fs::read(out.join(LABELS)).with_context(|| format!("the trainer wrote no {LABELS}"))?;
    ensure!(
        images > 0 && size == (images * INPUT_BYTES) as u64 && labels.len() == images,
        "{INPUTS} ({size} bytes) and {LABELS} ({} bytes) are not of one number of pictures",
        labels.len()
    );
    run_pictures(board, elf, out, INPUTS, FIRMWARE_OUTPUTS, images)?;
    let host = fs::read(out.join(HOST_OUTPUTS)).with_context(|| format!("the trainer wrote no {HOST_OUTPUTS}"))?;
    let firmware = fs::read(out.join(FIRMWARE_OUTPUTS))?;
    compare(&host, &firmware, images)
}

/// Runs the pictures of the file `inputs` through the firmware into the file `outputs`, both in `folder`.
pub fn run_pictures(
    board: &Board,
    elf: &Path,
    folder: &Path,
    inputs: &str,
    outputs: &str,
    images: usize,
) -> Result<()> {
    let part = format!("{outputs}.part");
    let part_path = folder.join(&part);
    let progress = Progress::new(&format!("running {} pictures in {}", grouped(images as u64), board.core));
    let program = Program {
        elf,
        arguments: &["verify", inputs, &part],
        folder,
        plugin: None,
        limit: Duration::from_secs(60 + images as u64),
    };
    let outcome = board
        .run(&program, || {
            let done = firmware::length(&part_path) / CLASSES as u64;
            progress.show(&format!("{} of {images}", done.min(images as u64)));
        })?
        .success()?;
    let done: usize = outcome.field("images")?;
    ensure!(done == images, "the firmware answered for {done} of {images} pictures");
    fs::rename(&part_path, folder.join(outputs))?;
    progress.finish("done");
    Ok(())
}

/// Compares the output bytes of the PC and of the firmware.
pub fn compare(host: &[u8], firmware: &[u8], images: usize) -> Result<Verification> {
    for (who, bytes) in [("PC", host), ("firmware", firmware)] {
        ensure!(
            bytes.len() == images * CLASSES,
            "the {who} wrote {} output bytes for {images} pictures, not {}",
            bytes.len(),
            images * CLASSES
        );
    }
    let differing = || host.iter().zip(firmware).enumerate().filter(|(_, (a, b))| a != b);
    let first_difference = differing().next().map(|(i, (a, b))| {
        let (a, b) = (a.cast_signed(), b.cast_signed());
        format!("picture {}, class {}: PC {a}, firmware {b}", i / CLASSES, i % CLASSES)
    });
    Ok(Verification { images, differing_bytes: differing().count(), first_difference })
}

fn to_json(results: &[(&str, Value)]) -> String {
    let lines: Vec<_> = results.iter().map(|(key, value)| format!("  {}: {value}", json!(key))).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn table(results: &[(&str, Value)], data: &str, sizes: &firmware::Sizes) -> String {
    let value = |key| results.iter().find(|r| r.0 == key).map_or(&Value::Null, |r| &r.1);
    let number = |key| grouped(value(key).as_u64().unwrap_or_default());
    let bytes = |key| format!("{} B", number(key));
    let percent = |key| format!("{:.2} %", 100.0 * value(key).as_f64().unwrap_or_default());
    let macs_per_cycle = value("macs").as_f64().unwrap_or_default() / value("m4_cycles").as_f64().unwrap_or(1.0);
    let outputs = grouped(value("verified_images").as_u64().unwrap_or_default() * CLASSES as u64);
    let target = value("target").as_str().unwrap_or_default();
    let rows = [
        ("Network", String::new()),
        ("data set", data.to_owned()),
        ("images", format!("{} for training, {} for testing", number("train_images"), number("test_images"))),
        ("accuracy, float", percent("float_accuracy")),
        ("accuracy, int8", percent("int8_accuracy")),
        ("PC against firmware", String::new()),
        ("images verified", number("verified_images")),
        ("differing output bytes", format!("{} of {outputs}", number("differing_bytes"))),
        ("Firmware", String::new()),
        ("target", format!("{target} ({} in QEMU)", CORTEX_M4.machine[1])),
        ("flash, code", format!("{} (and {} B of sample digits)", bytes("flash_code_bytes"), grouped(sizes.samples))),
        ("flash, weights", bytes("flash_weight_bytes")),
        ("RAM, static", bytes("ram_static_bytes")),
        ("RAM, stack peak", bytes("stack_bytes")),
        ("One inference", String::new()),
        ("instructions", number("instructions")),
        ("Cortex-M4 cycles", format!("{} (instruction timings, no wait states)", number("m4_cycles"))),
        ("multiply-accumulates", format!("{}, {macs_per_cycle:.2} per cycle", number("macs"))),
    ];
    let wide = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| match value.as_str() {
        "" => format!("{name}\n"),
        value => format!("  {name:wide$}  {value}\n"),
    };
    rows.iter().map(line).collect()
}

/// What to look at.
fn files(out: &Path, json: &Path) -> String {
    let rows = [
        (out.join(MODULE), "the network as a Rust module"),
        (out.join(CURVES), "loss and accuracy over the epochs"),
        (out.join(DIGITS), "test digits and the firmware's answers"),
        (json.to_owned(), "these results"),
    ];
    let here = shell::workspace();
    let rows = rows.map(|(path, what)| (path.strip_prefix(&here).unwrap_or(&path).display().to_string(), what));
    let wide = rows.iter().map(|row| row.0.len()).max().unwrap_or_default();
    rows.iter().fold("Files\n".to_owned(), |text, (path, what)| text + &format!("  {path:wide$}  {what}\n"))
}

/// The words of a text on lines of at most `width` characters, as far as words allow.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n").replace('\u{a0}', " ")
}

/// How long each step took.
#[derive(Default)]
struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    fn time<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("== {name}");
        let start = Instant::now();
        let result = step();
        self.0.push((name, start.elapsed()));
        result
    }

    fn summary(&self, total: Duration) -> String {
        // Blanks that do not break keep a step's name and time on one line.
        let step =
            |(name, time): &(&str, Duration)| format!("{name} {:.1} s", time.as_secs_f64()).replace(' ', "\u{a0}");
        let steps: Vec<_> = self.0.iter().map(step).collect();
        format!("Time {:.1} s: {}", total.as_secs_f64(), steps.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_byte_is_named() {
        let host = vec![0; 30];
        let mut firmware = host.clone();
        assert_eq!(compare(&host, &firmware, 3).unwrap().differing_bytes, 0);
        firmware[17] = 255;
        firmware[29] = 1;
        let verification = compare(&host, &firmware, 3).unwrap();
        assert_eq!(verification.differing_bytes, 2);
        assert_eq!(verification.first_difference.unwrap(), "picture 1, class 7: PC 0, firmware -1");
    }

    #[test]
    fn outputs_that_are_cut_short_are_refused() {
        let error = compare(&[0; 30], &[0; 29], 3).unwrap_err().to_string();
        assert!(error.contains("firmware wrote 29"), "{error}");
        assert!(compare(&[0; 29], &[0; 30], 3).is_err());
    }

    #[test]
    fn the_report_fits_a_terminal_of_80_columns() {
        let numbers = [
            "train_images",
            "test_images",
            "verified_images",
            "differing_bytes",
            "flash_code_bytes",
            "flash_weight_bytes",
            "ram_static_bytes",
            "stack_bytes",
            "instructions",
            "m4_cycles",
            "macs",
        ];
        let mut results: Vec<_> = numbers.map(|key| (key, json!(1_000_000))).to_vec();
        results.push(("target", json!("thumbv7em-none-eabihf")));
        results.push(("float_accuracy", json!(0.98765)));
        let sizes = firmware::Sizes { flash: 1 << 20, samples: 7850, ram_static: 4096 };
        let text = table(&results, "embedded subset of MNIST", &sizes);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("98.77 %") && text.contains("1,000,000 of 10,000,000"), "{text}");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("one two three four", 9), "one two\n  three\n  four");
        assert_eq!(wrapped("", 9), "");
    }

    #[test]
    fn results_are_json_in_order() {
        let text = to_json(&[("b", json!(1)), ("a", json!(0.5)), ("c", json!("x\"y"))]);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, json!({"a": 0.5, "b": 1, "c": "x\"y"}));
        assert!(text.find("\"b\"") < text.find("\"a\""));
    }
}
