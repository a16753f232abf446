//! Recognizes the vector instructions of the backends, to show that they are in a program and that they ran.

use crate::counts::Block;
use crate::image::Image;
use anyhow::{Context, Result};
use object::Architecture;
use std::collections::BTreeMap;
use std::fmt;

/// A kind of vector instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SMLAD and SMUAD of Arm's DSP extension: two products of 16 bits and their sum.
    Smlad,
    /// VMLADAV and VMLADAVA of Helium: sixteen products and their sum.
    Vmladav,
    /// All other instructions of Helium.
    Helium,
    /// SDOT of AArch64: four products in each of four lanes.
    Sdot,
    /// Arithmetic of RISC-V's vector extension.
    Rvv,
    /// `i32x4.dot_i16x8_s` of WebAssembly's vectors: eight products, and the sums of pairs.
    Dot,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smlad => "SMLAD",
            Self::Vmladav => "VMLADAV",
            Self::Helium => "Helium",
            Self::Sdot => "SDOT",
            Self::Rvv => "RVV",
            Self::Dot => "i32x4.dot_i16x8_s",
        })
    }
}

/// The kinds that a program of a backend must run; a program of the portable backend must contain none at all.
pub fn required(backend: &str) -> &'static [Kind] {
    match backend {
        "armv7em" => &[Kind::Smlad],
        "helium" => &[Kind::Vmladav, Kind::Helium],
        "neon-dotprod" => &[Kind::Sdot],
        "rvv" => &[Kind::Rvv],
        "simd128" => &[Kind::Dot],
        _ => &[],
    }
}

/// The kind of the instruction that begins with these halfwords, in the order they stand in memory.
pub fn kind(architecture: Architecture, [first, second]: [u16; 2]) -> Option<Kind> {
    let word = u32::from(second) << 16 | u32::from(first);
    match architecture {
        // SMLAD, SMLADX, SMUAD, SMUADX (Arm DDI 0403, A5.3.16).
        Architecture::Arm if first & 0xFFF0 == 0xFB20 && second & 0x00E0 == 0 => Some(Kind::Smlad),
        // VMLADAV (Arm DDI 0553, C2.4): of any size and sign, exchanging or not, accumulating or not.
        Architecture::Arm if first & 0xEFF0 == 0xEEF0 && second & 0x0ED1 == 0x0E00 => Some(Kind::Vmladav),
        // The rest of Helium lies in the space of the coprocessors 14 and 15 and in that of Advanced SIMD.
        Architecture::Arm if first & 0xEC00 == 0xEC00 && second & 0x0E00 == 0x0E00 => Some(Kind::Helium),
        Architecture::Arm if first & 0xEF00 == 0xEF00 => Some(Kind::Helium),
        // SDOT by vector and by element (Arm DDI 0487, C7.2).
        Architecture::Aarch64 if word & 0xBFE0_FC00 == 0x0E80_9400 => Some(Kind::Sdot),
        Architecture::Aarch64 if word & 0xBFC0_F400 == 0x0F80_E000 => Some(Kind::Sdot),
        // OP-V, except for VSETVLI and its relatives (RISC-V "V" 1.0, chapter 10).
        Architecture::Riscv32 | Architecture::Riscv64 if word & 0x7F == 0x57 && word >> 12 & 7 != 7 => Some(Kind::Rvv),
        _ => None,
    }
}

/// How often each kind ran, or stands in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed(BTreeMap<Kind, u64>);

impl Executed {
    /// What blocks ran.
    pub fn count(image: &Image, blocks: &[Block]) -> Result<Self> {
        let mut executed = Self::default();
        for block in blocks {
            for &(address, _) in &block.instructions {
                let missing = || format!("an instruction ran at {address:#x}, which is no code of the program");
                let halfwords = image.halfwords(address).with_context(missing)?;
                executed.add(image.architecture, halfwords, block.runs);
            }
        }
        Ok(executed)
    }

    /// What stands in a program.
    pub fn contained(image: &Image) -> Self {
        let mut contained = Self::default();
        image.instructions().for_each(|(_, halfwords)| contained.add(image.architecture, halfwords, 1));
        contained
    }

    /// A number of one kind.
    pub fn only(kind: Kind, times: u64) -> Self {
        Self(if times > 0 { BTreeMap::from([(kind, times)]) } else { BTreeMap::new() })
    }

    fn add(&mut self, architecture: Architecture, halfwords: [u16; 2], times: u64) {
        if let Some(kind) = kind(architecture, halfwords) {
            *self.0.entry(kind).or_default() += times;
        }
    }

    /// How often a kind occurred.
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// Whether none occurred.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often all kinds occurred.
    pub fn sum(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(kind, n)| format!("{} {kind}", crate::cycles::grouped(*n))).collect();
        f.write_str(if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(first: u16, second: u16) -> Option<Kind> {
        kind(Architecture::Arm, [first, second])
    }

    /// Encodings as LLVM's assembler writes them.
    #[test]
    fn dsp_and_helium_are_told_from_their_neighbours() {
        assert_eq!(arm(0xFB21, 0x3002), Some(Kind::Smlad)); // smlad r0, r1, r2, r3
        assert_eq!(arm(0xFB21, 0x3012), Some(Kind::Smlad)); // smladx r0, r1, r2, r3
        assert_eq!(arm(0xFB21, 0xF002), Some(Kind::Smlad)); // smuad r0, r1, r2
        assert_eq!(arm(0xFB11, 0x3002), None); // smlabb r0, r1, r2, r3
        for (first, second) in [
            (0xEEF0, 0x0F22), // vmladava.s8 r0, q0, q1
            (0xEEFE, 0xEF0E), // vmladav.s8 lr, q7, q7
            (0xEEF4, 0x3F26), // vmladavax.s8 r2, q2, q3
            (0xEEF8, 0x4E2C), // vmladava.s16 r4, q4, q6
            (0xFEF8, 0x4F2C), // vmladava.u8 r4, q4, q6
            (0xEEF1, 0x0E22), // vmladava.s32 r0, q0, q1
        ] {
            assert_eq!(arm(first, second), Some(Kind::Vmladav), "{first:x} {second:x}");
        }
        for (first, second) in [
            (0xECB1, 0x1E10), // vldrb.u8 q0, [r1], #16
            (0xFC91, 0x0F46), // vldrw.u32 q0, [r1, q3]
            (0xFEF0, 0x0E23), // vmlsdava.s8 r0, q0, q1
            (0xEE03, 0x0E42), // vmla.s8 q0, q1, r2
            (0xFF02, 0x0D54), // vmul.f32 q0, q1, q2
            (0xEF02, 0x0644), // vmax.s8 q0, q1, q2
        ] {
            assert_eq!(arm(first, second), Some(Kind::Helium), "{first:x} {second:x}");
        }
        assert_eq!(arm(0xEE30, 0x0A81), None); // vadd.f32 s0, s1, s2
        assert_eq!(arm(0xEEF0, 0x0A41), None); // vmov.f32 s1, s2
        assert_eq!(arm(0xF04F, 0x0E00), None); // mov lr, #0
    }

    #[test]
    fn sdot_and_vectors_are_recognized() {
        let other = |architecture, word: u32| kind(architecture, [word as u16, (word >> 16) as u16]);
        assert_eq!(other(Architecture::Aarch64, 0x4E82_9420), Some(Kind::Sdot)); // sdot v0.4s, v1.16b, v2.16b
        assert_eq!(other(Architecture::Aarch64, 0x4FA2_E820), Some(Kind::Sdot)); // sdot v0.4s, v1.16b, v2.4b[3]
        assert_eq!(other(Architecture::Aarch64, 0x4EA2_8420), None); // add v0.4s, v1.4s, v2.4s
        assert_eq!(other(Architecture::Aarch64, 0x6E82_9420), None); // udot v0.4s, v1.16b, v2.16b
        assert_eq!(other(Architecture::Riscv64, 0x0220_8057), Some(Kind::Rvv)); // vadd.vv v0, v2, v1
        assert_eq!(other(Architecture::Riscv64, 0x0D05_7557), None); // vsetvli a0, a0, e32, m1, ta, ma
        assert_eq!(other(Architecture::Riscv32, 0x00B5_0533), None); // add a0, a0, a1
    }

    #[test]
    fn constants_between_instructions_do_not_count() {
        // smlad r5, r0, r2, r5; bx lr
        let code: Vec<u8> = [0xFB20_u16, 0x5502, 0x4770].iter().flat_map(|h| h.to_le_bytes()).collect();
        let image = Image::new(Architecture::Arm, vec![(0x100, code)], vec![]);
        assert_eq!(Executed::contained(&image).of(Kind::Smlad), 1);
        let blocks = [Block { runs: 7, taken: 7, instructions: vec![(0x100, 4), (0x104, 2)] }];
        assert_eq!(Executed::count(&image, &blocks).unwrap().of(Kind::Smlad), 7);
    }
}
