//! The conformance cases on the PC and on emulated cores: every core must give the PC's bits.

use crate::cycles::grouped;
use crate::shell;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What must have been compared at the least, by kind of operator: fewer results would be a broken test.
const KINDS: [(&str, u64); 6] = [
    ("int8-convolution", 2000),
    ("f32-convolution", 300),
    ("int8-operators", 300),
    ("f32-operators", 300),
    ("int8-layers", 100),
    ("f32-layers", 20),
];

/// What came of one kind of operator on one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    kind: String,
    backend: String,
    results: u64,
    differing: u64,
    digest: String,
    first: Option<String>,
}

/// The report of one core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The core's name.
    pub core: String,
    /// The backend that layers run on there.
    pub native: String,
    lines: Vec<Line>,
}

impl Report {
    /// Reads what the example `conformance` prints.
    pub fn parse(core: &str, text: &[String]) -> Result<Self> {
        let damaged = |line: &String| format!("{core} printed what is not understood: {line}");
        let mut native = None;
        let mut lines = Vec::new();
        for line in text.iter().filter(|line| !line.trim().is_empty()) {
            if let Some(name) = line.strip_prefix("native=") {
                native = Some(name.trim().to_owned());
                continue;
            }
            let (fields, first) = match line.split_once(" first: ") {
                Some((fields, first)) => (fields, Some(first.to_owned())),
                None => (line.as_str(), None),
            };
            let fields: BTreeMap<_, _> = fields.split_whitespace().filter_map(|word| word.split_once('=')).collect();
            let field = |name| fields.get(name).copied().with_context(|| damaged(line));
            lines.push(Line {
                kind: field("kind")?.to_owned(),
                backend: field("backend")?.to_owned(),
                results: field("results")?.parse().with_context(|| damaged(line))?,
                differing: field("differing")?.parse().with_context(|| damaged(line))?,
                digest: field("digest")?.to_owned(),
                first,
            });
        }
        let native = native.with_context(|| format!("{core} did not say which backend it runs"))?;
        Ok(Self { core: core.to_owned(), native, lines })
    }

    /// Fails unless this core runs on `backend`, ran every kind of operator on it, and agrees with its reference.
    pub fn check(&self, backend: &str) -> Result<()> {
        let core = &self.core;
        ensure!(self.native == backend, "{core} runs the backend {}, not {backend}", self.native);
        for line in &self.lines {
            let Line { kind, backend, results, differing, .. } = line;
            if *differing > 0 {
                let first = line.first.as_deref().unwrap_or("unknown");
                bail!("{core}, {kind} on {backend}: {differing} of {results} results differ, first {first}");
            }
        }
        for (kind, least) in KINDS {
            let line = self.lines.iter().find(|line| line.kind == kind && line.backend == self.native);
            let results = line.map_or(0, |line| line.results);
            ensure!(results >= least, "{core}, {kind} on {backend}: only {results} results were compared");
        }
        Ok(())
    }

    /// Fails unless each kind of operator has the other core's digest, on every backend.
    pub fn check_same_bits(&self, other: &Self) -> Result<()> {
        for a in &self.lines {
            for b in other.lines.iter().filter(|b| b.kind == a.kind) {
                ensure!(
                    (a.results, &a.digest) == (b.results, &b.digest),
                    "{}: {} on {} gives {} from {} results, but {} on {} gives {} from {}",
                    a.kind,
                    self.core,
                    a.backend,
                    a.digest,
                    a.results,
                    other.core,
                    b.backend,
                    b.digest,
                    b.results
                );
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
        if self == Self::Detected && std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
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

/// A table of all results: a line for every kind of operator, core and backend.
pub fn table(reports: &[Report]) -> String {
    let mut text =
        format!("{:16}  {:24}  {:8}  {:>7}  {:>6}  digest\n", "operators", "core", "backend", "results", "equal");
    for (kind, _) in KINDS {
        for report in reports {
            for line in report.lines.iter().filter(|line| line.kind == kind) {
                let equal = grouped(line.results - line.differing);
                let (core, results) = (&report.core, grouped(line.results));
                // Eight digits suffice to see that they are the same.
                let digest = line.digest.get(..8).unwrap_or(&line.digest);
                let _ = writeln!(text, "{kind:16}  {core:24}  {:8}  {results:>7}  {equal:>6}  {digest}", line.backend);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(backend: &str) -> Vec<String> {
        let line = |(kind, results)| format!("kind={kind} backend={backend} results={results} differing=0 digest=0a0b");
        std::iter::once(format!("native={backend}")).chain(KINDS.map(line)).collect()
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
        text[2] = "kind=f32-convolution backend=armv7em results=300 differing=7 digest=0a0b first: (12, [1, 2])".into();
        let error = Report::parse("core", &text).unwrap().check("armv7em").unwrap_err().to_string();
        assert!(error.contains("7 of 300") && error.ends_with("first (12, [1, 2])"), "{error}");
    }

    #[test]
    fn what_did_not_run_is_named() {
        let report = Report::parse("core", &lines("portable")).unwrap();
        assert!(report.check("armv7em").unwrap_err().to_string().contains("portable, not armv7em"));
        let without = Report::parse("core", &lines("portable")[..6]).unwrap();
        assert!(without.check("portable").unwrap_err().to_string().contains("f32-layers"));
        assert!(Report::parse("core", &["kind=x".to_owned()]).is_err());
        assert!(Report::parse("core", &lines("portable")[1..]).is_err());
    }

    #[test]
    fn other_digests_are_found() {
        let mut text = lines("avx2");
        text[1] = text[1].replace("0a0b", "0a0c");
        let core = Report::parse("core", &lines("armv7em")).unwrap();
        let error = core.check_same_bits(&Report::parse("PC", &text).unwrap()).unwrap_err().to_string();
        assert!(error.contains("int8-convolution") && error.contains("0a0c"), "{error}");
    }
}
