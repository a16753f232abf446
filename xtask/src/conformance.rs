//! The conformance cases on the PC and on emulated cores: every core must give the PC's bits.

use crate::boards::{self, Board, Examples, Program};
use crate::counts;
use crate::image::Image;
use crate::shell;
use crate::simd::{self, Executed, Kind};
use crate::wasm::Counting;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What came of one operator, in one type, on one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// The operator and its type.
    operator: [String; 2],
    backend: String,
    results: u64,
    differing: u64,
    digest: String,
    /// Instructions of the backend alone, where they were counted; WebAssembly's are those of its virtual machine.
    instructions: Option<u64>,
    /// Vector instructions among them.
    simd: Executed,
}

/// The report of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The core's name, and how it was built.
    pub core: String,
    /// Its short name, for tables.
    pub short: String,
    /// The backend that layers run on there.
    pub native: String,
    lines: Vec<Line>,
    /// The first difference of each operator that has one.
    differences: Vec<String>,
}

impl Report {
    /// Reads what the example `conformance` prints.
    pub fn parse(core: &str, text: &[String]) -> Result<Self> {
        let damaged = |line: &String| format!("{core} printed what is not understood: {line}");
        let (mut native, mut lines, mut differences) = (None, Vec::new(), Vec::new());
        let mut counted = None;
        for line in text.iter().filter(|line| !line.trim().is_empty()) {
            if let Some(name) = line.strip_prefix("native=") {
                native = Some(name.trim().to_owned());
                continue;
            }
            if let Some(difference) = line.strip_prefix("difference ") {
                differences.push(difference.to_owned());
                continue;
            }
            let fields: BTreeMap<_, _> = line.split_whitespace().filter_map(|word| word.split_once('=')).collect();
            let field = |name| fields.get(name).copied().with_context(|| damaged(line));
            // What the operator of the line that follows took, where the program counts for itself.
            if line.starts_with("counted ") {
                let number = |name| field(name)?.parse().with_context(|| damaged(line));
                counted = Some((number("instructions")?, number("dot_products")?));
                continue;
            }
            let (instructions, dot_products) = counted.take().unzip();
            lines.push(Line {
                operator: [field("operator")?.to_owned(), field("type")?.to_owned()],
                backend: field("backend")?.to_owned(),
                results: field("results")?.parse().with_context(|| damaged(line))?,
                differing: field("differing")?.parse().with_context(|| damaged(line))?,
                digest: field("digest")?.to_owned(),
                instructions,
                simd: Executed::only(Kind::Dot, dot_products.unwrap_or(0)),
            });
        }
        let native = native.with_context(|| format!("{core} did not say which backend it runs"))?;
        Ok(Self { core: core.to_owned(), short: core.to_owned(), native, lines, differences })
    }

    /// Fails unless this core runs on `backend`, ran every operator on it, and agrees with its reference.
    pub fn check(&self, backend: &str) -> Result<()> {
        let core = &self.core;
        ensure!(self.native == backend, "{core} runs the backend {}, not {backend}", self.native);
        let different: Vec<_> = self.lines.iter().filter(|line| line.differing > 0).collect();
        if let Some(Line { operator: [operator, element], backend, results, differing, .. }) = different.first() {
            bail!(
                "{core}, {operator} in {element} on {backend}: {differing} of {results} results differ; first:\n  {}",
                self.differences.join("\n  ")
            );
        }
        ensure!(!self.lines.is_empty(), "{core} compared nothing");
        for line in &self.lines {
            let [operator, element] = &line.operator;
            ensure!(line.results > 0, "{core} compared no result of {operator} in {element} on {}", line.backend);
            let native = self.lines.iter().any(|other| other.operator == line.operator && other.backend == backend);
            ensure!(native, "{core} did not run {operator} in {element} on {backend}");
        }
        Ok(())
    }

    /// Fails unless both cores ran the same operators, and each operator has the same digest on every backend.
    pub fn check_same_bits(&self, other: &Self) -> Result<()> {
        for (some, others) in [(self, other), (other, self)] {
            for a in &some.lines {
                let [operator, element] = &a.operator;
                let same = others.lines.iter().filter(|b| b.operator == a.operator);
                ensure!(same.clone().count() > 0, "{} did not run {operator} in {element}", others.core);
                for b in same {
                    ensure!(
                        (a.results, &a.digest) == (b.results, &b.digest),
                        "{operator} in {element}: {} on {} gives {} from {} results, but {} on {} gives {} from {}",
                        some.core,
                        a.backend,
                        a.digest,
                        a.results,
                        others.core,
                        b.backend,
                        b.digest,
                        b.results
                    );
                }
            }
        }
        Ok(())
    }
}

/// How the cases are built for this computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// With the backend of its processor, detected at run time.
    Detected,
    /// Without detection: x86-64 runs plain Rust on what is packed for AVX2.
    WithoutStd,
    /// With the portable backend.
    Portable,
}

impl Host {
    const fn name(self) -> &'static str {
        match self {
            Self::Detected => "PC",
            Self::WithoutStd => "PC, without std",
            Self::Portable => "PC, portable only",
        }
    }

    /// The backend that layers must run on.
    fn backend(self) -> &'static str {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Detected {
            let vnni = is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            return match (vnni, is_x86_feature_detected!("avx2")) {
                (true, _) => "avx512vnni",
                (false, true) => "avx2",
                (false, false) => "sse2",
            };
        } else if self == Self::WithoutStd {
            return "sse2";
        }
        "portable"
    }

    /// Runs the cases on this computer and checks the results.
    pub fn run(self) -> Result<Report> {
        let mut cargo = shell::host_cargo();
        let mut target_dir = shell::target_dir()?;
        // Flags of the user's could choose a backend.
        let flags = if self == Self::Portable { "--cfg bareconv_backend=\"portable\"" } else { "" };
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", flags);
        if self == Self::Portable {
            target_dir.push("portable");
        }
        cargo.args(["run", "--release", "--quiet", "--target-dir"]).arg(target_dir);
        cargo.arg("--manifest-path").arg(shell::workspace().join("examples/conformance/Cargo.toml"));
        if self == Self::Detected {
            cargo.args(["--features", "std"]);
        }
        let lines: Vec<_> = shell::output(&mut cargo)?.lines().map(str::to_owned).collect();
        let report = Report::parse(self.name(), &lines)?;
        report.check(self.backend())?;
        let short = match self {
            Self::Detected => "PC",
            Self::WithoutStd => "no std",
            Self::Portable => "plain",
        };
        Ok(Report { short: short.to_owned(), ..report })
    }
}

/// Builds the cases for a core, on `forced` or its own backend, runs them and checks them against the PC's, and that
/// vector instructions are there, and ran, just where they ought to.
pub fn on_core(board: &Board, forced: Option<&str>, pc: &Report) -> Result<Report> {
    let backend = forced.unwrap_or(board.backend);
    let program = board.build(&board.set_up()?, "conformance", "conformance", forced)?;
    let name = forced.map_or(board.core.to_owned(), |backend| format!("{}, {backend} only", board.core));
    let short = forced.map_or(board.short.to_owned(), |backend| format!("{}, {backend}", board.short));
    let report = if board.counts() {
        let image = Image::read(&program)?;
        let (counts, outcome) = counts::run(board, &program, &image, &[])?;
        let mut report = Report::parse(&name, &outcome.lines)?;
        let accounts = counts.accounts();
        ensure!(
            accounts.len() == report.lines.len(),
            "{name} marked {} operators but printed {}",
            accounts.len(),
            report.lines.len()
        );
        for (line, account) in report.lines.iter_mut().zip(&accounts) {
            line.instructions = Some(counts::instructions(account));
            line.simd = Executed::count(&image, account)?;
        }
        check_simd(&report, &Executed::contained(&image), backend)?;
        report
    } else {
        let counting = Counting::new(&fs::read(&program)?)
            .with_context(|| format!("{} cannot be made to count its instructions", program.display()))?;
        let copy = program.with_extension("counting.wasm");
        shell::write_whole(&copy, &counting.program)?;
        let limit = Duration::from_secs(300);
        let folder = &shell::target_dir()?;
        let program = Program { elf: &copy, arguments: &[], folder, plugin: None, limit };
        let report = Report::parse(&name, &board.run(&program, || ())?.success()?.lines)?;
        let uncounted = report.lines.iter().find(|line| line.instructions.is_none());
        ensure!(uncounted.is_none(), "{name} did not count the instructions of {uncounted:?}");
        let contained = Executed::only(Kind::Dot, counting.dot_products as u64);
        check_simd(&report, &contained, backend)?;
        report
    };
    report.check(backend)?;
    report.check_same_bits(pc)?;
    Ok(Report { short, ..report })
}

/// Fails unless a backend's vector instructions are in the program and ran on that backend, and on no lesser one.
fn check_simd(report: &Report, contained: &Executed, backend: &str) -> Result<()> {
    let core = &report.core;
    let ran = |kind, backend: &str| -> u64 {
        report.lines.iter().filter(|line| line.backend == backend).map(|line| line.simd.of(kind)).sum()
    };
    for &kind in simd::required(backend) {
        ensure!(contained.of(kind) > 0, "{core}: the program for {backend} contains no {kind}");
        ensure!(ran(kind, backend) > 0, "{core}: {backend} ran without a single {kind}");
    }
    let least = report.lines.iter().filter(|line| line.backend == "portable");
    let stray: u64 = least.map(|line| line.simd.sum()).sum();
    ensure!(stray == 0, "{core}: plain Rust ran {stray} vector instructions of a backend");
    if simd::required(backend).is_empty() {
        ensure!(contained.is_empty(), "{core}: the program for {backend} contains vector instructions: {contained}");
    }
    Ok(())
}

/// A number in at most six characters.
fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2}M", number as f64 / 1e6),
        _ => format!("{:.2}G", number as f64 / 1e9),
    }
}

/// Columns of cores in a table, so that it fits a terminal.
const COLUMNS: usize = 6;

/// Tables of operators by core: how many results passed, and what the backend of that core took for them; then how many
/// times fewer instructions that is than plain Rust takes on the same core.
pub fn table(reports: &[Report]) -> String {
    let mut operators: Vec<_> = reports.iter().flat_map(|report| &report.lines).map(|line| &line.operator).collect();
    operators.sort();
    operators.dedup();
    let natives: Vec<_> = reports.iter().filter(|report| !report.core.ends_with(" only")).collect();
    let line = |report: &'_ Report, operator: &[String; 2], backend: &str| {
        report.lines.iter().find(|line| line.operator == *operator && line.backend == backend).cloned()
    };
    let mut text = String::new();
    let heading = |text: &mut String, what: &str, columns: &[&Report]| {
        let _ = write!(text, "{what:26.26}{:>7}", "passed");
        columns.iter().for_each(|report| _ = write!(text, "{:>8}", report.short));
        text.push('\n');
    };
    let passed = |text: &mut String, operator: &[String; 2]| {
        let [name, element] = operator;
        let passed = reports.first().and_then(|report| line(report, operator, &report.native));
        let passed = passed.map_or(0, |line| line.results - line.differing);
        let _ = write!(text, "{name:21}{element:6}{passed:>6}");
    };
    for columns in natives.chunks(COLUMNS) {
        heading(&mut text, "instructions, by backend", columns);
        let _ = write!(text, "{:33}", "");
        columns.iter().for_each(|report| _ = write!(text, " {:>7.7}", report.native));
        text.push('\n');
        for &operator in &operators {
            passed(&mut text, operator);
            for report in columns {
                let cell = line(report, operator, &report.native).map_or("missing".to_owned(), |line| {
                    if line.differing > 0 {
                        format!("{} bad", line.differing)
                    } else {
                        line.instructions.map_or("ok".to_owned(), short)
                    }
                });
                let _ = write!(text, "{cell:>8}");
            }
            text.push('\n');
        }
        text.push('\n');
    }
    let faster = natives.into_iter().filter(|report| report.lines.iter().any(|l| l.instructions.is_some()));
    let faster: Vec<_> = faster.filter(|report| report.native != "portable").collect();
    for columns in faster.chunks(COLUMNS) {
        heading(&mut text, "times fewer than portable", columns);
        for &operator in &operators {
            let ratios: Vec<_> = columns
                .iter()
                .map(|report| {
                    // Constant layers run on the portable backend only where a program has no other.
                    let only = format!("{}, portable only", report.core);
                    let only = reports.iter().find(|other| other.core == only);
                    let portable = line(report, operator, "portable")
                        .or_else(|| only.and_then(|only| line(only, operator, "portable")));
                    let counts = (portable?.instructions?, line(report, operator, &report.native)?.instructions?);
                    Some(counts.0 as f64 / counts.1.max(1) as f64)
                })
                .collect();
            passed(&mut text, operator);
            for ratio in ratios {
                let _ = write!(text, "{:>8}", ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// All results, for machines.
pub fn to_json(reports: &[Report]) -> String {
    let lines = reports.iter().flat_map(|report| {
        report.lines.iter().map(|line| {
            let [operator, element] = &line.operator;
            json!({
                "core": report.core, "backend": line.backend, "operator": operator, "type": element,
                "passed": line.results - line.differing, "failed": line.differing, "digest": line.digest,
                "instructions": line.instructions, "simd_instructions": line.simd.sum(),
            })
        })
    });
    let lines: Vec<_> = lines.map(|line| format!("  {line}")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

/// Options of `cargo xtask conformance`.
#[derive(clap::Args)]
pub struct Options {
    /// The cores: m0 m3 m4 m7 m33 m55 rv32 rv64 a64 wasm wasm128 [default: all].
    cores: Vec<String>,
    /// Build them with the portable backend as well.
    #[arg(long)]
    portable: bool,
    /// Write the results here as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the cases on the PC and on some cores. `false` if one of them fails.
pub fn run(options: &Options) -> Result<bool> {
    for core in &options.cores {
        ensure!(boards::ALL.iter().any(|board| board.short == core), "there is no core `{core}`");
    }
    let mut reports = vec![Host::Detected.run()?];
    let mut failed = 0;
    for board in boards::ALL {
        if !options.cores.is_empty() && !options.cores.iter().any(|core| core == board.short) {
            continue;
        }
        let backends: &[_] = if options.portable { &[None, Some("portable")] } else { &[None] };
        for &forced in backends {
            eprintln!("== {}, {}", board.core, forced.unwrap_or(board.backend));
            match on_core(board, forced, &reports[0]) {
                Ok(report) => reports.push(report),
                Err(error) => {
                    eprintln!("{error:#}");
                    failed += 1;
                }
            }
        }
    }
    print!("{}", table(&reports));
    if let Some(path) = &options.json {
        shell::write_whole(path, to_json(&reports).as_bytes())?;
    }
    Ok(failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(backend: &str) -> Vec<String> {
        let line = |operator, element| {
            format!("operator={operator} type={element} backend={backend} results=300 differing=0 digest=0a0b")
        };
        vec![format!("native={backend}"), line("conv2d", "int8"), line("conv2d", "f32")]
    }

    #[test]
    fn equal_reports_pass() {
        let core = Report::parse("core", &lines("armv7em")).unwrap();
        core.check("armv7em").unwrap();
        core.check_same_bits(&Report::parse("PC", &lines("avx2")).unwrap()).unwrap();
        assert!(table(&[core]).lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_difference_is_named() {
        let mut text = lines("armv7em");
        text[2] = text[2].replace("differing=0", "differing=7");
        text.push("difference operator=conv2d type=f32 backend=armv7em result=2 element=3 output=1 expected=2".into());
        let error = Report::parse("core", &text).unwrap().check("armv7em").unwrap_err().to_string();
        assert!(error.contains("7 of 300") && error.contains("element=3 output=1"), "{error}");
    }

    #[test]
    fn what_did_not_run_is_named() {
        let report = Report::parse("core", &lines("portable")).unwrap();
        assert!(report.check("armv7em").unwrap_err().to_string().contains("portable, not armv7em"));
        let mut other = lines("armv7em");
        other[2] = other[2].replace("armv7em", "portable");
        let other = Report::parse("core", &other).unwrap();
        assert!(other.check("armv7em").unwrap_err().to_string().contains("did not run conv2d in f32 on armv7em"));
        let without = Report::parse("core", &lines("portable")[..2]).unwrap();
        assert!(report.check_same_bits(&without).unwrap_err().to_string().contains("core did not run conv2d in f32"));
        assert!(without.check_same_bits(&report).is_err());
        assert!(Report::parse("core", &["kind=x".to_owned()]).is_err());
        assert!(Report::parse("core", &lines("portable")[1..]).is_err());
        assert!(Report::parse("core", &lines("portable")[..1]).unwrap().check("portable").is_err());
    }

    #[test]
    fn other_digests_are_found() {
        let mut text = lines("avx2");
        text[1] = text[1].replace("0a0b", "0a0c");
        let core = Report::parse("core", &lines("armv7em")).unwrap();
        let error = core.check_same_bits(&Report::parse("PC", &text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("conv2d in int8") && error.contains("0a0c"), "{error}");
    }
}
