//! How often every instruction of a program ran in QEMU, counted by the plugin `qemu-profiler`.

use crate::boards::{Board, Examples, Outcome, Program};
use crate::image::Image;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, process};

/// A block of instructions and how often it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Executions.
    pub runs: u64,
    /// How often the program did not go on behind it.
    pub taken: u64,
    /// Addresses and sizes.
    pub instructions: Vec<(u64, u64)>,
}

/// What a program ran, in accounts that its marks closed.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    blocks: BTreeMap<usize, Vec<(u64, u64)>>,
    /// Number, executions and taken exits of blocks; the last account is not closed by a mark.
    accounts: Vec<Vec<(usize, u64, u64)>>,
}

impl Counts {
    /// Reads what the plugin wrote.
    pub fn parse(text: &str) -> Result<Self> {
        let mut counts = Self { accounts: vec![vec![]], ..Self::default() };
        let mut block = None;
        for line in text.lines() {
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("R"), Some(number), Some(runs), Some(taken)) => {
                    let account = counts.accounts.last_mut().context("no account")?;
                    account.push((number.parse()?, runs.parse()?, taken.parse()?));
                }
                (Some("M"), None, ..) => counts.accounts.push(vec![]),
                (Some("T"), Some(number), None, _) => block = Some(counts.blocks.entry(number.parse()?).or_default()),
                (Some("I"), Some(address), Some(size), None) => {
                    let block = block.as_mut().context("an instruction before the first block")?;
                    block.push((u64::from_str_radix(address, 16)?, size.parse()?));
                }
                _ => bail!("the profiler wrote a line that is not understood: {line}"),
            }
        }
        Ok(counts)
    }

    fn gather(&self, runs: &[(usize, u64, u64)]) -> Vec<Block> {
        let mut gathered = BTreeMap::<usize, (u64, u64)>::new();
        for &(number, runs, taken) in runs {
            let sum = gathered.entry(number).or_default();
            *sum = (sum.0 + runs, sum.1 + taken);
        }
        let block = |(number, (runs, taken))| {
            let instructions = self.blocks.get(&number).cloned().unwrap_or_default();
            Block { runs, taken, instructions }
        };
        gathered.into_iter().map(block).collect()
    }

    /// Everything that ran.
    pub fn total(&self) -> Vec<Block> {
        self.gather(&self.accounts.concat())
    }

    /// What ran in each account that a mark closed.
    pub fn accounts(&self) -> Vec<Vec<Block>> {
        let closed = self.accounts.len().saturating_sub(1);
        self.accounts[..closed].iter().map(|account| self.gather(account)).collect()
    }
}

/// The number of instructions that blocks ran.
pub fn instructions(blocks: &[Block]) -> u64 {
    blocks.iter().map(|block| block.runs * block.instructions.len() as u64).sum()
}

/// Builds the QEMU plugin for this computer, once.
fn build_plugin() -> Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built.clone());
    }
    let target_dir = shell::target_dir()?;
    let mut cargo = shell::host_cargo();
    cargo.args(["build", "--release", "--quiet", "--package", "qemu-profiler", "--target-dir"]).arg(&target_dir);
    shell::run(&mut cargo).context("the QEMU plugin does not build")?;
    let name = format!("{}qemu_profiler{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    Ok(BUILT.get_or_init(|| target_dir.join("release").join(name)).clone())
}

/// Runs `elf` with the given semihosting arguments and counts what happens between its functions `roi_start` and
/// `roi_stop`, or in the whole run if it has none.
pub fn run(board: &Board, elf: &Path, image: &Image, arguments: &[&str]) -> Result<(Counts, Outcome)> {
    run_in(&shell::target_dir()?, board, elf, image, arguments)
}

/// As [`run`], in the folder `started`, which the program's file names are relative to.
pub fn run_in(
    started: &Path,
    board: &Board,
    elf: &Path,
    image: &Image,
    arguments: &[&str],
) -> Result<(Counts, Outcome)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let elf = &fs::canonicalize(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let library = build_plugin()?;
    let folder = shell::target_dir()?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("counts-{}-{number}.txt", process::id()));

    // QEMU takes a comma for the end of an option, and two of them for a comma.
    let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
    let mut plugin = format!("file={},out={}", escaped(&library), escaped(&path));
    if let Some(start) = image.address("roi_start") {
        let stop = image.address("roi_stop").with_context(|| {
            format!("{} has `roi_start` but no `roi_stop`; were they folded into one?", elf.display())
        })?;
        write!(plugin, ",start={start:x},stop={stop:x}")?;
    }
    if let Some(mark) = image.address("roi_mark") {
        write!(plugin, ",mark={mark:x}")?;
    }
    let limit = Duration::from_secs(600);
    let outcome = board.run(&Program { elf, arguments, folder: started, plugin: Some(plugin), limit }, || ())?;
    let text = fs::read_to_string(&path);
    let _ = fs::remove_file(&path);
    let Ok(text) = text else {
        bail!(
            "{} did not run with the profiler plugin. It must be a QEMU (7.2 or later) built with plugin support \
             (`--enable-plugins`; the packages of Debian and Ubuntu are). It said: {}",
            board.emulator,
            if outcome.stderr.is_empty() { "nothing" } else { &outcome.stderr }
        );
    };
    let outcome = outcome.success()?;
    Ok((Counts::parse(&text)?, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_told_apart() {
        let text = "R 0 2 1\nM\nR 0 3 0\nR 1 5 0\nM\nR 1 1 0\nT 0\nI 10 2\nI 12 4\nT 1\nI 20 2\n";
        let counts = Counts::parse(text).unwrap();
        let accounts: Vec<_> = counts.accounts().iter().map(|account| instructions(account)).collect();
        assert_eq!(accounts, [4, 11]);
        assert_eq!(instructions(&counts.total()), 16);
        assert_eq!(counts.total()[0], Block { runs: 5, taken: 1, instructions: vec![(0x10, 2), (0x12, 4)] });
    }

    #[test]
    fn damaged_counts_are_refused() {
        assert!(Counts::parse("I 100 2\n").is_err());
        assert!(Counts::parse("R 0 1\n").is_err());
        assert!(Counts::parse("R 0 1 x\n").is_err());
        assert!(Counts::parse("T x\n").is_err());
    }
}
