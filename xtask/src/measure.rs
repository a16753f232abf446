//! What layers cost on a core: panics (none), stack, code, instructions.

use crate::boards::{self, Board, CORTEX_M4, Examples, Program};
use crate::counts;
use crate::cycles::grouped;
use crate::image::Image;
use crate::shell;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The cores on which no layer may panic.
pub const NO_PANIC: [&Board; 4] = [&boards::CORTEX_M0, &CORTEX_M4, &boards::CORTEX_M55, &boards::RV32];
/// The cores on which the growth of code is measured.
pub const GROWTH: [&Board; 2] = [&boards::CORTEX_M0, &CORTEX_M4];

/// The most stack that a layer may take, in bytes: a small microcontroller has 8 KB of RAM.
const STACK_LIMIT: u64 = 1024;

/// The most code that one more convolution may cost on a core, in bytes: what fills its tensors and passes its constants
/// on. On Armv7E-M some lengths of runs have a routine of their own, unrolled, which layers of that length share.
fn code_limit(board: &Board) -> u64 {
    if board.backend == "armv7em" { 768 } else { 512 }
}

/// Multiply-accumulates of a layer that counts as large: its work is not in what surrounds the loops.
const LARGE: u64 = 50_000;

/// How many times fewer instructions than plain Rust's a large layer must take by a backend.
fn least_gain(backend: &str) -> f64 {
    match backend {
        "armv7em" => 2.0,
        "helium" => 8.0,
        _ => 1.0,
    }
}

/// The functions of a program that belong to the panic machinery of `core`.
fn panics(image: &Image) -> Vec<&str> {
    let names = image.functions().iter().map(|function| function.1.as_str());
    names.filter(|name| name.starts_with("core::") && (name.contains("panic") || name.contains("_fail"))).collect()
}

/// Fails unless a program with every layer, and nothing that prints, was linked without any panic.
pub fn no_panic(board: &Board) -> Result<()> {
    let toolchain = board.set_up()?;
    let image = Image::read(&board.build(&toolchain, "operators", "operators", None)?)?;
    let found = panics(&image);
    let callers = image.functions_that_panic();
    ensure!(found.is_empty(), "on {} layers can panic: {found:?}, called by {callers:?}", board.core);
    // The same search must find the panics of a program that has some.
    let control = Image::read(&board.build_features(&toolchain, ["operators", "operators"], "print", None)?)?;
    ensure!(!panics(&control).is_empty(), "not even a program that formats text seems to panic on {}", board.core);
    Ok(())
}

/// Runs every layer on the Cortex-M4; the most stack that each took, in bytes.
pub fn stacks() -> Result<Vec<(String, u64)>> {
    let elf = CORTEX_M4.build_features(&CORTEX_M4.set_up()?, ["operators", "operators"], "print", None)?;
    let program = program(&elf);
    let outcome = CORTEX_M4.run(&program, || ())?.success()?;
    let mut stacks = Vec::new();
    for line in &outcome.lines {
        let (operator, bytes) = line
            .strip_prefix("operator=")
            .and_then(|rest| rest.split_once(" stack_bytes="))
            .with_context(|| format!("a line that is not understood: {line}"))?;
        let bytes: u64 = bytes.parse()?;
        ensure!(bytes > 0, "{operator} seems to take no stack at all");
        ensure!(bytes <= STACK_LIMIT, "{operator} takes {bytes} bytes of stack, more than {STACK_LIMIT}");
        stacks.push((operator.to_owned(), bytes));
    }
    ensure!(stacks.len() > 20, "only {} layers were measured", stacks.len());
    Ok(stacks)
}

fn program(elf: &Path) -> Program<'_> {
    Program { elf, arguments: &[], folder: Path::new("."), plugin: None, limit: Duration::from_secs(300) }
}

/// A table of stacks, three layers a line.
pub fn stack_table(stacks: &[(String, u64)]) -> String {
    let mut text = "Peak stack on the Cortex-M4, bytes\n".to_owned();
    for row in stacks.chunks(2) {
        for (operator, bytes) in row {
            let _ = write!(text, "{operator:30}{bytes:>6}    ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Code of a program with one convolution and with ten of different shapes, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    core: &'static str,
    one: u64,
    ten: u64,
}

/// The bytes of machine code in a program.
fn code_bytes(elf: &Path) -> Result<u64> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", elf.display()))?;
    let text = file.section_by_name(".text").with_context(|| format!("{} has no code", elf.display()))?;
    Ok(text.size())
}

/// Measures what another convolution costs on a core, and fails where it is more than the limit.
pub fn growth(board: &'static Board) -> Result<Growth> {
    let toolchain = board.set_up()?;
    let build = |features| board.build_features(&toolchain, ["operators", "sizes"], features, None);
    let (one, ten) = (build("")?, build("ten")?);
    let growth = Growth { core: board.core, one: code_bytes(&one)?, ten: code_bytes(&ten)? };
    let bodies = |elf| -> Result<usize> {
        let image = Image::read(elf)?;
        Ok(image.functions().iter().filter(|function| function.1.contains("kernels::conv2d::body")).count())
    };
    let (once, again) = (bodies(&one)?, bodies(&ten)?);
    ensure!(once == 1 && again == 1, "{once} bodies serve one convolution on {}, {again} serve ten", board.core);
    ensure!(growth.ten > growth.one, "nine more convolutions cost no code at all: {growth:?}");
    let each = (growth.ten - growth.one) / 9;
    let limit = code_limit(board);
    ensure!(each <= limit, "on {} each more convolution costs {each} bytes of code, more than {limit}", board.core);
    Ok(growth)
}

/// A table of sizes.
pub fn growth_table(growths: &[Growth]) -> String {
    let mut text = format!("{:28}{:>9}{:>9}{:>11}\n", "Code of convolutions, bytes", "one", "ten", "each more");
    for Growth { core, one, ten } in growths {
        let _ = writeln!(text, "{core:28}{one:>9}{ten:>9}{:>11}", (ten - one) / 9);
    }
    text
}

/// Does all that is checked of layers. `false` never: what fails is an error.
pub fn layers() -> Result<bool> {
    for board in NO_PANIC {
        no_panic(board)?;
        println!("no layer can panic on {}", board.core);
    }
    println!("\n{}", stack_table(&stacks()?));
    let growths = GROWTH.into_iter().map(growth).collect::<Result<Vec<_>>>()?;
    print!("{}", growth_table(&growths));
    Ok(true)
}

/// Options of `cargo xtask bench kernels`.
#[derive(clap::Args)]
pub struct BenchOptions {
    /// The cores: m4 m7 m33 m55 rv64 a64, or any other that QEMU runs [default: m4 m7 m33 m55].
    cores: Vec<String>,
    /// Write the results here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The instructions of a layer on one core, by its backend and by plain Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Speed {
    layer: String,
    macs: u64,
    native: u64,
    portable: u64,
}

/// Layer, multiply-accumulates and instructions of each, on a backend.
fn count(board: &Board, backend: Option<&str>) -> Result<Vec<(String, u64, u64)>> {
    let elf = board.build(&board.set_up()?, "speed", "speed", backend)?;
    let image = Image::read(&elf)?;
    let (counts, outcome) = counts::run(board, &elf, &image, &[])?;
    let named = |prefix: &'static str| outcome.lines.iter().filter_map(move |line| line.strip_prefix(prefix));
    let expected = backend.unwrap_or(board.backend);
    ensure!(named("native=").eq([expected]), "{} does not run {expected}: {:?}", board.core, outcome.lines);
    let accounts = counts.accounts();
    let (layers, macs): (Vec<_>, Vec<_>) = (named("layer=").collect(), named("macs=").collect());
    ensure!(
        !layers.is_empty() && layers.len() == accounts.len() && layers.len() == macs.len(),
        "{} layers, {} counts of multiply-accumulates and {} of instructions",
        layers.len(),
        macs.len(),
        accounts.len()
    );
    let lines = layers.iter().zip(&macs).zip(&accounts);
    lines
        .map(|((layer, macs), account)| Ok(((*layer).to_owned(), macs.parse()?, counts::instructions(account))))
        .collect()
}

/// The large layers that a backend does not make as much faster as it must.
fn too_slow<'a>(board: &Board, speeds: &'a [Speed]) -> Vec<&'a str> {
    let least = least_gain(board.backend);
    let slow =
        speeds.iter().filter(|speed| speed.macs >= LARGE && (speed.portable as f64) < least * speed.native as f64);
    slow.map(|speed| speed.layer.as_str()).collect()
}

/// Counts the instructions of layers on cores. `false` where a large layer takes too many.
pub fn bench(options: &BenchOptions) -> Result<bool> {
    let default = ["m4", "m7", "m33", "m55"].map(str::to_owned);
    let names: &[String] = if options.cores.is_empty() { &default } else { &options.cores };
    let mut results = BTreeMap::new();
    let mut fast = true;
    for (number, name) in names.iter().enumerate() {
        let board = boards::ALL.into_iter().find(|board| board.short == name && board.counts());
        let board = board.with_context(|| format!("there is no core `{name}` in QEMU"))?;
        eprintln!("== {}: {} against portable", board.core, board.backend);
        let (native, portable) = (count(board, None)?, count(board, Some("portable"))?);
        let speeds: Vec<_> = native
            .into_iter()
            .zip(portable)
            .map(|((layer, macs, native), (_, _, portable))| Speed { layer, macs, native, portable })
            .collect();
        print!("{}", speed_table(board, &speeds));
        let (slow, least) = (too_slow(board, &speeds), least_gain(board.backend));
        if !slow.is_empty() {
            eprintln!("less than {least} times fewer instructions than plain Rust: {}", slow.join("; "));
            fast = false;
        }
        results.insert(number, (board, speeds));
    }
    if let Some(path) = &options.json {
        let lines = results.values().flat_map(|(board, speeds)| {
            speeds.iter().map(move |Speed { layer, macs, native, portable }| {
                json!({
                    "core": board.core, "backend": board.backend, "layer": layer, "macs": macs,
                    "instructions": native, "portable_instructions": portable,
                })
            })
        });
        let lines: Vec<_> = lines.map(|line| format!("  {line}")).collect();
        shell::write_whole(path, format!("[\n{}\n]\n", lines.join(",\n")).as_bytes())?;
    }
    Ok(fast)
}

fn speed_table(board: &Board, speeds: &[Speed]) -> String {
    let (backend, each) = (board.backend, "per MAC");
    let mut text = format!("\n{:32}{:>12}{:>12}{:>9}{:>9}\n", board.core, backend, "portable", "fewer", each);
    for Speed { layer, macs, native, portable } in speeds {
        let (fewer, each) = (*portable as f64 / *native as f64, *native as f64 / *macs as f64);
        let (native, portable) = (grouped(*native), grouped(*portable));
        let _ = writeln!(text, "{layer:32}{native:>12}{portable:>12}{fewer:>8.2}x{each:>9.2}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_layers_are_named() {
        let speed = |layer: &str, macs, native| Speed { layer: layer.to_owned(), macs, native, portable: 1_600 };
        let speeds = [speed("small", LARGE - 1, 1_000), speed("slow", LARGE, 801), speed("fast", LARGE, 800)];
        assert_eq!(too_slow(&CORTEX_M4, &speeds), ["slow"]);
        assert_eq!(too_slow(&boards::CORTEX_M55, &speeds), ["slow", "fast"]);
    }

    #[test]
    fn tables_fit_a_terminal() {
        let stacks: Vec<_> = (0..5).map(|i| (format!("{}{i}", "n".repeat(27)), 1000 + i)).collect();
        let growth = Growth { core: "Cortex-M33", one: 100_000, ten: 200_000 };
        let speed = Speed { layer: "l".repeat(31), macs: 1, native: 10_000_000, portable: 99_000_000 };
        let tables = [stack_table(&stacks), growth_table(&[growth]), speed_table(&CORTEX_M4, &[speed])];
        for table in tables {
            assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        }
    }
}
