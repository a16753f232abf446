//! Instructions and Cortex-M4 cycles of a part of a program, counted in QEMU.
//!
//! QEMU counts exactly how often every instruction ran (see the crate `qemu-profiler`); the cycles come from the
//! instruction timings of the Cortex-M4 Technical Reference Manual (Arm DDI 0439, section 3.3.1) with memory that
//! needs no wait states: loads take 2 cycles, or 1 straight after another load or store, as they pipeline; taken
//! branches refill the pipeline for 2 cycles (the manual says 1 to 3); SMLAD, MLA and SMULL take 1, VFMA 3, divisions
//! 7 of "2 to 12".
//!
//! It is a model, meant to compare programs. The manual's own rules for what pipelines are stricter: not after a store,
//! not where an address depends on the load before, and never with LDRD and STRD, which this counts as two loads or
//! stores side by side. By those rules the LeNet-5 of the examples takes 6 % more.

use crate::boards::{Board, Outcome, Program};
use crate::shell;
use crate::thumb::{self, Timing};
use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, process};

/// Cycles to refill the pipeline after a taken branch.
const REFILL: f64 = 2.0;

/// Cycles of one instruction. `after_access` says that the instruction before it was a load or store of one register
/// or pair, `taken` how often, from 0 to 1, the program did not go on with the next instruction if this one can jump.
fn cycles(timing: Timing, after_access: bool, taken: f64) -> f64 {
    let pipelined = if after_access { 0.0 } else { 1.0 };
    let refill = |to_pc| if to_pc { REFILL * taken } else { 0.0 };
    match timing {
        Timing::Single | Timing::Store | Timing::IfThen { .. } => 1.0,
        Timing::Load { to_pc } => 1.0 + pipelined + refill(to_pc),
        Timing::Pair => 2.0 + pipelined,
        Timing::Multiple { words, to_pc } => 1.0 + f64::from(words) + refill(to_pc),
        Timing::Branch | Timing::Jump => 1.0 + REFILL * taken,
        Timing::TableBranch => 2.0 + REFILL * taken,
        Timing::MultiplySubtract => 2.0,
        Timing::FloatMultiplyAdd => 3.0,
        Timing::Divide => 7.0,
        Timing::FloatDivide => 14.0,
    }
}

const fn is_access(timing: Timing) -> bool {
    matches!(timing, Timing::Load { .. } | Timing::Store | Timing::Pair)
}

/// A block of instructions and how often it ran.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    runs: u64,
    taken: u64,
    addresses: Vec<u64>,
}

/// Reads what the plugin wrote.
fn parse_counts(text: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("T"), Some(_), Some(runs), Some(taken)) => {
                blocks.push(Block { runs: runs.parse()?, taken: taken.parse()?, addresses: Vec::new() });
            }
            (Some("I"), Some(address), Some(_), None) => {
                let block = blocks.last_mut().context("an instruction before the first block")?;
                block.addresses.push(u64::from_str_radix(address, 16)?);
            }
            _ => bail!("the profiler wrote a line that is not understood: {line}"),
        }
    }
    Ok(blocks)
}

/// The machine code of a program and the names in it.
struct Image {
    code: Vec<(u64, Vec<u8>)>,
    /// Start and name of every function, by address.
    functions: Vec<(u64, String)>,
}

impl Image {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", path.display()))?;
        ensure!(
            file.architecture() == object::Architecture::Arm,
            "{} is not a program for Arm; the cycle model is that of the Cortex-M4",
            path.display()
        );
        let mut code = Vec::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0 && section.size() > 0 {
                code.push((section.address(), section.data()?.to_vec()));
            }
        }
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|s| s.kind() == SymbolKind::Text && s.name().is_ok_and(|n| !n.is_empty() && !n.starts_with('$')))
            .map(|s| (s.address() & !1, format!("{:#}", rustc_demangle::demangle(s.name().unwrap_or_default()))))
            .collect();
        functions.sort();
        functions.dedup_by_key(|f| f.0);
        Ok(Self { code, functions })
    }

    fn halfword(&self, address: u64) -> Option<u16> {
        self.code.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
        })
    }

    fn timing(&self, address: u64) -> Result<Timing> {
        let missing = || format!("an instruction ran at {address:#x}, which is no code of the program");
        let first = self.halfword(address).with_context(missing)?;
        Ok(if thumb::is_wide(first) {
            thumb::wide(first, self.halfword(address + 2).with_context(missing)?)
        } else {
            thumb::narrow(first)
        })
    }

    fn is_dual_multiply(&self, address: u64) -> bool {
        self.halfword(address)
            .zip(self.halfword(address + 2))
            .is_some_and(|(first, second)| thumb::is_wide(first) && thumb::is_dual_multiply(first, second))
    }

    fn function(&self, address: u64) -> &str {
        let behind = self.functions.partition_point(|f| f.0 <= address);
        behind.checked_sub(1).map_or("?", |i| &self.functions[i].1)
    }

    fn address(&self, name: &str) -> Option<u64> {
        self.functions.iter().find(|f| f.1 == name).map(|f| f.0)
    }
}

/// The functions of a program that call the panic machinery of `core`.
pub fn functions_that_panic(elf: &Path) -> Result<BTreeSet<String>> {
    let image = Image::read(elf)?;
    let panics = |name: &str| name.starts_with("core::") && (name.contains("panic") || name.contains("_fail"));
    let starts: HashMap<u64, &str> = image.functions.iter().map(|f| (f.0, f.1.as_str())).collect();
    let mut callers = BTreeSet::new();
    for (start, bytes) in &image.code {
        for address in (*start..start + bytes.len() as u64).step_by(2) {
            let halves = image.halfword(address).zip(image.halfword(address + 2));
            let target = halves.and_then(|(first, second)| thumb::branch_target(address, first, second));
            if target.and_then(|target| starts.get(&target)).is_some_and(|name| panics(name)) {
                callers.insert(image.function(address).to_owned());
            }
        }
    }
    Ok(callers)
}

/// What a part of a program cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Executed instructions.
    pub instructions: u64,
    /// Cycles of the Cortex-M4 model.
    pub cycles: u64,
    /// Name, instructions and cycles of every function, the most expensive one first.
    pub functions: Vec<(String, u64, f64)>,
    /// Executions of SMLAD and its relatives, the multiplications of Arm's DSP extension.
    pub dual_multiplies: u64,
    /// By address: executions and the class of the instruction.
    pub instructions_at: BTreeMap<u64, (u64, Timing, String)>,
}

fn evaluate(image: &Image, blocks: &[Block]) -> Result<Profile> {
    let mut functions = HashMap::<&str, (u64, f64)>::new();
    let mut at = BTreeMap::new();
    let mut total = 0.0;
    let mut dual_multiplies = 0;
    for block in blocks {
        let mut after_access = false;
        let mut conditional = 0; // instructions that an IT before them makes conditional
        for (i, &address) in block.addresses.iter().enumerate() {
            let timing = image.timing(address)?;
            // Only the last instruction of a block can jump. Calls and returns always do, unless an IT guards them.
            let taken = match timing {
                Timing::Branch if i + 1 < block.addresses.len() => 0.0,
                _ if timing != Timing::Branch && conditional == 0 => 1.0,
                _ => block.taken as f64 / block.runs as f64,
            };
            conditional = if let Timing::IfThen { count } = timing { count } else { conditional.saturating_sub(1) };
            let cost = cycles(timing, after_access, taken) * block.runs as f64;
            after_access = is_access(timing);
            total += cost;
            dual_multiplies += if image.is_dual_multiply(address) { block.runs } else { 0 };
            let name = image.function(address);
            let function = functions.entry(name).or_default();
            function.0 += block.runs;
            function.1 += cost;
            at.entry(address).or_insert_with(|| (0, timing, name.to_owned())).0 += block.runs;
        }
    }
    let mut functions: Vec<_> = functions.into_iter().map(|(name, (n, c))| (name.to_owned(), n, c)).collect();
    functions.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
    Ok(Profile {
        instructions: functions.iter().map(|f| f.1).sum(),
        cycles: total.round() as u64,
        functions,
        dual_multiplies,
        instructions_at: at,
    })
}

/// Builds the QEMU plugin for this computer.
fn build_plugin() -> Result<PathBuf> {
    let target_dir = shell::target_dir()?;
    let mut cargo = shell::host_cargo();
    cargo.args(["build", "--release", "--quiet", "--package", "qemu-profiler", "--target-dir"]).arg(&target_dir);
    shell::run(&mut cargo).context("the QEMU plugin does not build")?;
    let name = format!("{}qemu_profiler{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    Ok(target_dir.join("release").join(name))
}

/// Runs `elf` with the given semihosting arguments and counts what happens between its functions `roi_start` and
/// `roi_stop`, or in the whole run if it has none.
pub fn profile(board: &Board, elf: &Path, arguments: &[&str]) -> Result<(Profile, Outcome)> {
    let elf = &fs::canonicalize(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let image = Image::read(elf)?;
    let library = build_plugin()?;
    let folder = shell::target_dir()?;
    let counts = folder.join(format!("counts-{}.txt", process::id()));

    // QEMU takes a comma for the end of an option, and two of them for a comma.
    let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
    let mut plugin = format!("file={},out={}", escaped(&library), escaped(&counts));
    if let Some(start) = image.address("roi_start") {
        let stop = image.address("roi_stop").with_context(|| {
            format!("{} has `roi_start` but no `roi_stop`; were they folded into one?", elf.display())
        })?;
        write!(plugin, ",start={start:x},stop={stop:x}")?;
    }
    let limit = Duration::from_secs(300);
    let outcome = board.run(&Program { elf, arguments, folder: &folder, plugin: Some(plugin), limit }, || ())?;
    let text = fs::read_to_string(&counts);
    let _ = fs::remove_file(&counts);
    let Ok(text) = text else {
        bail!(
            "{} did not run with the profiler plugin. It must be a QEMU (7.2 or later) built with plugin support \
             (`--enable-plugins`; the packages of Debian and Ubuntu are). It said: {}",
            board.emulator,
            if outcome.stderr.is_empty() { "nothing" } else { &outcome.stderr }
        );
    };
    let outcome = outcome.success()?;
    let profile = evaluate(&image, &parse_counts(&text)?)?;
    ensure!(profile.instructions > 0, "nothing ran between `roi_start` and `roi_stop` of {}", elf.display());
    Ok((profile, outcome))
}

impl Profile {
    /// A table of the `top` most expensive functions, at most `width` characters wide.
    pub fn table(&self, top: usize, width: usize) -> String {
        let mut text =
            format!("{} instructions, {} Cortex-M4 cycles\n", grouped(self.instructions), grouped(self.cycles));
        let _ = writeln!(text, "{:>6} {:>13} {:>13}  function", "share", "cycles", "instructions");
        for (name, instructions, cycles) in self.functions.iter().take(top) {
            let share = 100.0 * cycles / self.cycles.max(1) as f64;
            let (cycles, instructions) = (grouped(cycles.round() as u64), grouped(*instructions));
            let room = width.saturating_sub(37).max(8);
            let name = match name.char_indices().nth(room) {
                // The end of a path says more than its beginning.
                Some(_) => format!("…{}", name.chars().skip(name.chars().count() + 1 - room).collect::<String>()),
                None => name.clone(),
            };
            let _ = writeln!(text, "{share:>5.1}% {cycles:>13} {instructions:>13}  {name}");
        }
        text
    }

    /// Every executed instruction of the functions whose name contains `part`.
    pub fn hot(&self, part: &str) -> String {
        let mut text = String::new();
        for (address, (runs, timing, _)) in self.instructions_at.iter().filter(|(_, i)| i.2.contains(part)) {
            let _ = writeln!(text, "{address:8x} {:>13}  {timing:?}", grouped(*runs));
        }
        text
    }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ldr r0, [r1]; ldr r2, [r1]; subs r3, #1; bne; then bx lr
    fn image() -> Image {
        let code: Vec<u8> = [0x6808_u16, 0x680A, 0x3B01, 0xD1FB, 0x4770].iter().flat_map(|h| h.to_le_bytes()).collect();
        Image { code: vec![(0x100, code)], functions: vec![(0x100, "loop".into()), (0x108, "end".into())] }
    }

    #[test]
    fn a_loop_is_costed_by_hand() {
        let counts = "T 100 10 9\nI 100 2\nI 102 2\nI 104 2\nI 106 2\nT 108 1 0\nI 108 2\n";
        let profile = evaluate(&image(), &parse_counts(counts).unwrap()).unwrap();
        assert_eq!(profile.instructions, 41);
        // Ten rounds of a load (2), a pipelined load (1), a subtraction (1) and a branch (1) that is taken nine times
        // (2 more); then a jump (3).
        assert_eq!(profile.cycles, 10 * (2 + 1 + 1 + 1) + 9 * 2 + 3);
        assert_eq!(profile.functions[0], ("loop".to_owned(), 40, 68.0));
        assert_eq!(profile.functions[1], ("end".to_owned(), 1, 3.0));
    }

    #[test]
    fn a_guarded_return_costs_what_it_does() {
        // it eq; bxeq lr; then bx lr: of ten runs three return at once.
        let code: Vec<u8> = [0xBF08_u16, 0x4770, 0x4770].iter().flat_map(|h| h.to_le_bytes()).collect();
        let image = Image { code: vec![(0x100, code)], functions: vec![] };
        let counts = "T 100 10 3\nI 100 2\nI 102 2\nT 104 7 7\nI 104 2\n";
        let profile = evaluate(&image, &parse_counts(counts).unwrap()).unwrap();
        assert_eq!(profile.cycles, 10 * (1 + 1) + 3 * 2 + 7 * 3);
    }

    #[test]
    fn dual_multiplications_are_counted() {
        // smlad r5, r0, r2, r5; bx lr
        let code: Vec<u8> = [0xFB20_u16, 0x5502, 0x4770].iter().flat_map(|h| h.to_le_bytes()).collect();
        let image = Image { code: vec![(0x100, code)], functions: vec![] };
        let profile = evaluate(&image, &parse_counts("T 100 7 7\nI 100 4\nI 104 2\n").unwrap()).unwrap();
        assert_eq!((profile.dual_multiplies, profile.instructions), (7, 14));
    }

    #[test]
    fn damaged_counts_are_refused() {
        assert!(parse_counts("I 100 2\n").is_err());
        assert!(parse_counts("T 100 1\n").is_err());
        assert!(parse_counts("T 100 1 x\n").is_err());
        let elsewhere = parse_counts("T 900 1 0\nI 900 2\n").unwrap();
        assert!(evaluate(&image(), &elsewhere).unwrap_err().to_string().contains("0x900"));
    }

    #[test]
    fn tables_fit_the_terminal() {
        let profile = Profile {
            instructions: 1_234_567,
            cycles: 2_000_000,
            functions: vec![("a".repeat(300), 1_234_567, 2_000_000.0)],
            dual_multiplies: 0,
            instructions_at: BTreeMap::new(),
        };
        assert!(profile.table(5, 80).lines().all(|line| line.chars().count() <= 80));
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
    }
}
