//! The conformance cases on the PC and on emulated cores: every core must give the PC's bits.

use crate::cycles::grouped;
use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What came of one operator, in one type, on one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// The operator and its type.
    operator: [String; 2],
    backend: String,
    results: u64,
    differing: u64,
    digest: String,
}

/// The report of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The core's name.
    pub core: String,
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
            lines.push(Line {
                operator: [field("operator")?.to_owned(), field("type")?.to_owned()],
                backend: field("backend")?.to_owned(),
                results: field("results")?.parse().with_context(|| damaged(line))?,
                differing: field("differing")?.parse().with_context(|| damaged(line))?,
                digest: field("digest")?.to_owned(),
            });
        }
        let native = native.with_context(|| format!("{core} did not say which backend it runs"))?;
        Ok(Self { core: core.to_owned(), native, lines, differences })
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
        Ok(report)
    }
}

/// A table of all results: a line for every operator, type, core and backend.
pub fn table(reports: &[Report]) -> String {
    let mut text = format!("{:14}  {:5}  {:24}  {:8}  {:>7}  digest\n", "operator", "type", "core", "backend", "equal");
    let mut operators: Vec<_> = reports.iter().flat_map(|report| &report.lines).map(|line| &line.operator).collect();
    operators.sort();
    operators.dedup();
    for [operator, element] in operators {
        for report in reports {
            for line in report.lines.iter().filter(|line| line.operator == [operator.clone(), element.clone()]) {
                let equal = grouped(line.results - line.differing);
                // Eight digits suffice to see that they are the same.
                let digest = line.digest.get(..8).unwrap_or(&line.digest);
                let (core, backend) = (&report.core, &line.backend);
                let _ = writeln!(text, "{operator:14}  {element:5}  {core:24}  {backend:8}  {equal:>7}  {digest}");
            }
        }
    }
    text
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
