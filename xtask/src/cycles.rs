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

use crate::boards::{Board, Outcome};
use crate::counts::{self, Block, Counts};
use crate::image::Image;
use crate::simd;
use crate::thumb::{self, Timing};
use anyhow::{Context, Result, ensure};
use object::Architecture;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;

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

/// What a part of a program cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Executed instructions.
    pub instructions: u64,
    /// Cycles of the Cortex-M4 model.
    pub cycles: u64,
    /// Name, instructions and cycles of every function, the most expensive one first.
    pub functions: Vec<(String, u64, f64)>,
    /// Executions of vector instructions.
    pub simd: simd::Executed,
    /// By address: executions and the class of the instruction.
    pub instructions_at: BTreeMap<u64, (u64, Timing, String)>,
}

fn evaluate(image: &Image, blocks: &[Block]) -> Result<Profile> {
    let mut functions = HashMap::<&str, (u64, f64)>::new();
    let mut at = BTreeMap::new();
    let mut total = 0.0;
    for block in blocks {
        let mut after_access = false;
        let mut conditional = 0; // instructions that an IT before them makes conditional
        for (i, &(address, _)) in block.instructions.iter().enumerate() {
            let timing = timing(image, address)?;
            // Only the last instruction of a block can jump. Calls and returns always do, unless an IT guards them.
            let taken = match timing {
                Timing::Branch if i + 1 < block.instructions.len() => 0.0,
                _ if timing != Timing::Branch && conditional == 0 => 1.0,
                _ => block.taken as f64 / block.runs as f64,
            };
            conditional = if let Timing::IfThen { count } = timing { count } else { conditional.saturating_sub(1) };
            let cost = cycles(timing, after_access, taken) * block.runs as f64;
            after_access = is_access(timing);
            total += cost;
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
        simd: simd::Executed::count(image, blocks)?,
        instructions_at: at,
    })
}

/// Runs `elf` with the given semihosting arguments and counts what happens between its functions `roi_start` and
/// `roi_stop`, or in the whole run if it has none.
pub fn profile(board: &Board, elf: &Path, arguments: &[&str]) -> Result<(Profile, Outcome)> {
    let image = Image::read(elf)?;
    ensure!(
        image.architecture == Architecture::Arm,
        "{} is not a program for Arm; the cycle model is that of the Cortex-M4",
        elf.display()
    );
    let (counts, outcome) = counts::run(board, elf, &image, arguments)?;
    let profile = of_counts(&image, &counts)?;
    ensure!(profile.instructions > 0, "nothing ran between `roi_start` and `roi_stop` of {}", elf.display());
    Ok((profile, outcome))
}

/// What counted blocks of a program cost.
pub fn of_counts(image: &Image, counts: &Counts) -> Result<Profile> {
    evaluate(image, &counts.total())
}

/// The class of the instruction at an address.
fn timing(image: &Image, address: u64) -> Result<Timing> {
    let missing = || format!("an instruction ran at {address:#x}, which is no code of the program");
    let first = image.halfword(address).with_context(missing)?;
    Ok(if thumb::is_wide(first) {
        thumb::wide(first, image.halfword(address + 2).with_context(missing)?)
    } else {
        thumb::narrow(first)
    })
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
        Image::new(Architecture::Arm, vec![(0x100, code)], vec![(0x100, "loop".into()), (0x108, "end".into())])
    }

    #[test]
    fn a_loop_is_costed_by_hand() {
        let counts = "R 0 10 9\nR 1 1 0\nT 0\nI 100 2\nI 102 2\nI 104 2\nI 106 2\nT 1\nI 108 2\n";
        let profile = evaluate(&image(), &Counts::parse(counts).unwrap().total()).unwrap();
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
        let image = Image::new(Architecture::Arm, vec![(0x100, code)], vec![]);
        let counts = "R 0 10 3\nR 1 7 7\nT 0\nI 100 2\nI 102 2\nT 1\nI 104 2\n";
        let profile = evaluate(&image, &Counts::parse(counts).unwrap().total()).unwrap();
        assert_eq!(profile.cycles, 10 * (1 + 1) + 3 * 2 + 7 * 3);
    }

    #[test]
    fn code_that_is_not_the_programs_is_refused() {
        let elsewhere = Counts::parse("R 0 1 0\nT 0\nI 900 2\n").unwrap().total();
        assert!(evaluate(&image(), &elsewhere).unwrap_err().to_string().contains("0x900"));
    }

    #[test]
    fn tables_fit_the_terminal() {
        let profile = Profile {
            instructions: 1_234_567,
            cycles: 2_000_000,
            functions: vec![("a".repeat(300), 1_234_567, 2_000_000.0)],
            simd: simd::Executed::default(),
            instructions_at: BTreeMap::new(),
        };
        assert!(profile.table(5, 80).lines().all(|line| line.chars().count() <= 80));
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
    }
}
