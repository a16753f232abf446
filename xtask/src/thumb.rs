//! Sorts Thumb-2 machine instructions into the classes that the Cortex-M4's timing distinguishes.
//!
//! The encodings are those of the Armv7-M Architecture Reference Manual (Arm DDI 0403), chapters A5 (16 bit: A5.2,
//! 32 bit: A5.3, floating point: A6). What is not told apart here takes one cycle.

/// What an instruction's time depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// One cycle: arithmetic, moves, SIMD, multiplications, hints.
    Single,
    /// A load of one register; `to_pc` if it is a jump as well.
    Load {
        /// The loaded register is the program counter.
        to_pc: bool,
    },
    /// A store of one register.
    Store,
    /// LDRD or STRD.
    Pair,
    /// LDM, STM, PUSH, POP, and their floating-point forms.
    Multiple {
        /// Words moved.
        words: u32,
        /// A load whose list has the program counter.
        to_pc: bool,
    },
    /// B, conditional or not, CBZ, CBNZ.
    Branch,
    /// BL, BX, BLX and moves to the program counter.
    Jump,
    /// TBB, TBH.
    TableBranch,
    /// SDIV, UDIV.
    Divide,
    /// MLS.
    MultiplySubtract,
    /// IT: makes the next instructions conditional.
    IfThen {
        /// How many, from 1 to 4.
        count: u32,
    },
    /// VMLA, VFMA and their relatives.
    FloatMultiplyAdd,
    /// VDIV, VSQRT.
    FloatDivide,
}

/// Whether `first` is the first half of a 32-bit instruction.
pub fn is_wide(first: u16) -> bool {
    first >> 11 >= 0b11101
}

/// The class of a 16-bit instruction.
pub fn narrow(i: u16) -> Timing {
    let load = Timing::Load { to_pc: false };
    match i >> 11 {
        // LDR (literal)
        0b01001 => load,
        // BX, BLX (register), MOV and ADD with a high register
        0b01000 => match i >> 8 & 7 {
            0b111 => Timing::Jump,
            0b100 | 0b110 if i & 0x87 == 0x87 => Timing::Jump,
            _ => Timing::Single,
        },
        // Load and store with a register offset: STR, STRH, STRB, then LDRSB and the loads
        0b01010 | 0b01011 => {
            if i >> 9 & 7 < 3 {
                Timing::Store
            } else {
                load
            }
        }
        // With an immediate offset: word, byte, halfword, relative to SP
        0b01100 | 0b01110 | 0b10000 | 0b10010 => Timing::Store,
        0b01101 | 0b01111 | 0b10001 | 0b10011 => load,
        // Miscellaneous: PUSH, POP, CBZ, CBNZ
        0b10110 | 0b10111 => match i >> 8 & 0xF {
            0b0100 | 0b0101 => Timing::Multiple { words: (i & 0x1FF).count_ones(), to_pc: false },
            0b1100 | 0b1101 => Timing::Multiple { words: (i & 0x1FF).count_ones(), to_pc: i & 0x100 != 0 },
            0b0001 | 0b0011 | 0b1001 | 0b1011 => Timing::Branch,
            // The lowest set bit ends the mask; without one it is a hint.
            0b1111 if i & 0xF != 0 => Timing::IfThen { count: 4 - (i & 0xF).trailing_zeros() },
            _ => Timing::Single,
        },
        // STM, LDM
        0b11000 | 0b11001 => Timing::Multiple { words: (i & 0xFF).count_ones(), to_pc: false },
        // B with a condition; conditions 14 and 15 are UDF and SVC
        0b11010 | 0b11011 if i >> 8 & 0xF < 14 => Timing::Branch,
        0b11100 => Timing::Branch,
        _ => Timing::Single,
    }
}

/// Where a BL or a wide B without condition at `address` goes to.
pub fn branch_target(address: u64, a: u16, b: u16) -> Option<u64> {
    if a & 0xF800 != 0xF000 || b & 0x9000 != 0x9000 {
        return None;
    }
    let (a, b) = (i64::from(a), i64::from(b));
    let sign = a >> 10 & 1;
    let (high, low) = (1 ^ b >> 13 & 1 ^ sign, 1 ^ b >> 11 & 1 ^ sign);
    let offset = (high << 23 | low << 22 | (a & 0x3FF) << 12 | (b & 0x7FF) << 1) - (sign << 24);
    address.checked_add(4)?.checked_add_signed(offset)
}

/// The class of a 32-bit instruction of the halfwords `a`, `b`, in the order they stand in memory.
pub fn wide(a: u16, b: u16) -> Timing {
    if a & 0xEC00 == 0xEC00 {
        // Coprocessors 10 and 11 are the floating-point unit.
        return if b & 0x0E00 == 0x0A00 { float(a, b) } else { Timing::Single };
    }
    match a >> 11 & 3 {
        0b01 => load_store_many(a, b),
        // Branches and miscellaneous control; without bit 15, arithmetic with an immediate
        0b10 if b & 0x8000 != 0 => match b & 0x5000 {
            0x5000 => Timing::Jump,                           // BL
            0x1000 => Timing::Branch,                         // B
            0x0000 if a & 0x0380 != 0x0380 => Timing::Branch, // B with a condition; the others are MSR, MRS, hints
            _ => Timing::Single,
        },
        0b11 => load_store_one_or_arithmetic(a, b),
        _ => Timing::Single,
    }
}

fn load_store_many(a: u16, b: u16) -> Timing {
    let loads = a & 0x0010 != 0;
    match a & 0xFE40 {
        0xE800 => Timing::Multiple { words: b.count_ones(), to_pc: loads && b & 0x8000 != 0 },
        0xE840 => match (a >> 7 & 3, a >> 4 & 3) {
            (0, 0) => Timing::Store,                 // STREX
            (0, 1) => Timing::Load { to_pc: false }, // LDREX
            (1, 0) => Timing::Store,                 // STREXB, STREXH
            (1, 1) if b & 0x00E0 == 0 => Timing::TableBranch,
            (1, 1) => Timing::Load { to_pc: false }, // LDREXB, LDREXH
            _ => Timing::Pair,
        },
        _ => Timing::Single, // arithmetic with a shifted register
    }
}

fn load_store_one_or_arithmetic(a: u16, b: u16) -> Timing {
    if a & 0xFF10 == 0xF800 {
        return Timing::Store;
    }
    if a & 0xFE10 == 0xF810 {
        let to_pc = b >> 12 == 15;
        return match a >> 5 & 3 {
            0 | 1 if to_pc => Timing::Single, // PLD, PLI
            0..=2 => Timing::Load { to_pc },
            _ => Timing::Single,
        };
    }
    match (a & 0xFFF0, b >> 4 & 0xF) {
        (0xFB00, 1) => Timing::MultiplySubtract,
        (0xFB90 | 0xFBB0, 0xF) => Timing::Divide,
        _ => Timing::Single,
    }
}

fn float(a: u16, b: u16) -> Timing {
    if a & 0x0E00 == 0x0C00 {
        return match a {
            _ if a & 0xFFE0 == 0xEC40 => Timing::Single, // VMOV between two core registers and a pair
            _ if a & 0xFF20 == 0xED00 && a & 0x10 != 0 => Timing::Load { to_pc: false }, // VLDR
            _ if a & 0xFF20 == 0xED00 => Timing::Store,  // VSTR
            _ => Timing::Multiple { words: u32::from(b & 0xFF), to_pc: false }, // VLDM, VSTM, VPUSH, VPOP
        };
    }
    if a & 0xFF00 != 0xEE00 || b & 0x10 != 0 {
        return Timing::Single; // moves between core and floating-point registers; VSEL and the like
    }
    match a & 0x00B0 {
        // VMLA, VMLS; VNMLA, VNMLS; VFNMA, VFNMS; VFMA, VFMS
        0x00 | 0x10 | 0x90 | 0xA0 => Timing::FloatMultiplyAdd,
        0x80 => Timing::FloatDivide,
        0xB0 if a & 0xF == 1 && b & 0xC0 == 0xC0 => Timing::FloatDivide, // VSQRT
        _ => Timing::Single,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Timing = Timing::Load { to_pc: false };

    const fn many(words: u32, to_pc: bool) -> Timing {
        Timing::Multiple { words, to_pc }
    }

    // Encodings as GNU as 2.40 assembles them.
    #[test]
    fn branches_go_where_the_disassembler_says() {
        // Addresses, encodings and targets as GNU objdump 2.40 shows them.
        assert_eq!(branch_target(0x10AC, 0xF004, 0xFDA6), Some(0x5BFC)); // bl
        assert_eq!(branch_target(0x6728, 0xF7FF, 0xFC53), Some(0x5FD2)); // bl, backwards
        assert_eq!(branch_target(0x1000, 0xF7FF, 0xBFFE), Some(0x1000)); // b.w .
        assert_eq!(branch_target(0x1000, 0xF43F, 0xAFFE), None); // beq.w
    }

    #[test]
    fn narrow_encodings() {
        for (text, code, expected) in [
            ("movs r0, #1", 0x2001, Timing::Single),
            ("adds r0, r1, r2", 0x1888, Timing::Single),
            ("muls r0, r1", 0x4348, Timing::Single),
            ("mov r8, r0", 0x4680, Timing::Single),
            ("mov pc, lr", 0x46F7, Timing::Jump),
            ("bx lr", 0x4770, Timing::Jump),
            ("blx r3", 0x4798, Timing::Jump),
            ("ldr r0, [pc, #4]", 0x4801, LOAD),
            ("str r0, [r1, r2]", 0x5088, Timing::Store),
            ("strh r0, [r1, r2]", 0x5288, Timing::Store),
            ("strb r0, [r1, r2]", 0x5488, Timing::Store),
            ("ldrsb r0, [r1, r2]", 0x5688, LOAD),
            ("ldr r0, [r1, r2]", 0x5888, LOAD),
            ("ldrsh r0, [r1, r2]", 0x5E88, LOAD),
            ("str r0, [r1, #4]", 0x6048, Timing::Store),
            ("ldr r0, [r1, #4]", 0x6848, LOAD),
            ("strb r0, [r1, #1]", 0x7048, Timing::Store),
            ("ldrb r0, [r1, #1]", 0x7848, LOAD),
            ("strh r0, [r1, #2]", 0x8048, Timing::Store),
            ("ldrh r0, [r1, #2]", 0x8848, LOAD),
            ("str r0, [sp, #4]", 0x9001, Timing::Store),
            ("ldr r0, [sp, #4]", 0x9801, LOAD),
            ("add r0, sp, #4", 0xA801, Timing::Single),
            ("sub sp, #8", 0xB082, Timing::Single),
            ("push {r4, r5, lr}", 0xB530, many(3, false)),
            ("pop {r4, r5, pc}", 0xBD30, many(3, true)),
            ("pop {r4, r5}", 0xBC30, many(2, false)),
            ("cbz r0, .", 0xB108, Timing::Branch),
            ("cbnz r7, .", 0xBB0F, Timing::Branch),
            ("sxtb r0, r0", 0xB240, Timing::Single),
            ("it eq", 0xBF08, Timing::IfThen { count: 1 }),
            ("itte eq", 0xBF06, Timing::IfThen { count: 3 }),
            ("itttt eq", 0xBF01, Timing::IfThen { count: 4 }),
            ("nop", 0xBF00, Timing::Single),
            ("bkpt 0xab", 0xBEAB, Timing::Single),
            ("stmia r0!, {r1, r2}", 0xC006, many(2, false)),
            ("ldmia r0!, {r1-r3}", 0xC80E, many(3, false)),
            ("beq.n .", 0xD0FE, Timing::Branch),
            ("udf #0", 0xDE00, Timing::Single),
            ("svc 0", 0xDF00, Timing::Single),
            ("b.n .", 0xE7FE, Timing::Branch),
        ] {
            assert!(!is_wide(code), "{text}");
            assert_eq!(narrow(code), expected, "{text}");
        }
    }

    #[test]
    fn wide_encodings() {
        for (text, a, b, expected) in [
            ("stmdb sp!, {r4-r11, lr}", 0xE92D, 0x4FF0, many(9, false)),
            ("ldmia.w sp!, {r4-r11, pc}", 0xE8BD, 0x8FF0, many(9, true)),
            ("ldmia.w r0, {r1-r8}", 0xE890, 0x01FE, many(8, false)),
            ("ldrd r2, r3, [r0, #8]", 0xE9D0, 0x2302, Timing::Pair),
            ("ldrd r2, r3, [r0], #8", 0xE8F0, 0x2302, Timing::Pair),
            ("strd r2, r3, [sp, #8]", 0xE9CD, 0x2302, Timing::Pair),
            ("ldrex r0, [r1]", 0xE851, 0x0F00, LOAD),
            ("strex r0, r2, [r1]", 0xE841, 0x2000, Timing::Store),
            ("ldrexb r0, [r1]", 0xE8D1, 0x0F4F, LOAD),
            ("strexb r0, r2, [r1]", 0xE8C1, 0x2F40, Timing::Store),
            ("tbb [pc, r0]", 0xE8DF, 0xF000, Timing::TableBranch),
            ("tbh [pc, r0, lsl #1]", 0xE8DF, 0xF010, Timing::TableBranch),
            ("add.w r0, r1, r2, lsl #3", 0xEB01, 0x00C2, Timing::Single),
            ("pkhbt r0, r1, r2", 0xEAC1, 0x0002, Timing::Single),
            ("mov.w r0, #256", 0xF44F, 0x7080, Timing::Single),
            ("ssat r0, #8, r1", 0xF301, 0x0007, Timing::Single),
            ("b.w .", 0xF7FF, 0xBFFE, Timing::Branch),
            ("beq.w .", 0xF43F, 0xAFFE, Timing::Branch),
            ("bl .", 0xF7FF, 0xFFFE, Timing::Jump),
            ("msr primask, r0", 0xF380, 0x8810, Timing::Single),
            ("dsb sy", 0xF3BF, 0x8F4F, Timing::Single),
            ("str.w r0, [r1, #256]", 0xF8C1, 0x0100, Timing::Store),
            ("str.w r0, [r1], #4", 0xF841, 0x0B04, Timing::Store),
            ("strb.w r0, [r1, r2]", 0xF801, 0x0002, Timing::Store),
            ("ldr.w r0, [r1, #256]", 0xF8D1, 0x0100, LOAD),
            ("ldr.w r0, [r1], #4", 0xF851, 0x0B04, LOAD),
            ("ldr.w pc, [sp], #4", 0xF85D, 0xFB04, Timing::Load { to_pc: true }),
            ("ldrsb.w r0, [r1, #1]", 0xF991, 0x0001, LOAD),
            ("ldrsh.w r0, [r1], #2", 0xF931, 0x0B02, LOAD),
            ("ldrh.w r0, [r1, #2]", 0xF8B1, 0x0002, LOAD),
            ("pld [r0]", 0xF890, 0xF000, Timing::Single),
            ("sxtb16 r0, r1, ror #8", 0xFA2F, 0xF091, Timing::Single),
            ("clz r0, r1", 0xFAB1, 0xF081, Timing::Single),
            ("smlad r0, r1, r2, r3", 0xFB21, 0x3002, Timing::Single),
            ("mla r0, r1, r2, r3", 0xFB01, 0x3002, Timing::Single),
            ("mls r0, r1, r2, r3", 0xFB01, 0x3012, Timing::MultiplySubtract),
            ("smull r0, r1, r2, r3", 0xFB82, 0x0103, Timing::Single),
            ("sdiv r0, r1, r2", 0xFB91, 0xF0F2, Timing::Divide),
            ("udiv r0, r1, r2", 0xFBB1, 0xF0F2, Timing::Divide),
            ("smlal r0, r1, r2, r3", 0xFBC2, 0x0103, Timing::Single),
            ("vldr s0, [r0, #4]", 0xED90, 0x0A01, LOAD),
            ("vstr s1, [r0, #4]", 0xEDC0, 0x0A01, Timing::Store),
            ("vldr d0, [r0]", 0xED90, 0x0B00, LOAD),
            ("vldmia r0!, {s0-s3}", 0xECB0, 0x0A04, many(4, false)),
            ("vpush {d8-d11}", 0xED2D, 0x8B08, many(8, false)),
            ("vpop {d8-d11}", 0xECBD, 0x8B08, many(8, false)),
            ("vmov s0, r0", 0xEE00, 0x0A10, Timing::Single),
            ("vmov r0, r1, d0", 0xEC51, 0x0B10, Timing::Single),
            ("vadd.f32 s0, s1, s2", 0xEE30, 0x0A81, Timing::Single),
            ("vmul.f32 s0, s1, s2", 0xEE20, 0x0A81, Timing::Single),
            ("vmla.f32 s0, s1, s2", 0xEE00, 0x0A81, Timing::FloatMultiplyAdd),
            ("vfma.f32 s0, s1, s2", 0xEEA0, 0x0A81, Timing::FloatMultiplyAdd),
            ("vdiv.f32 s0, s1, s2", 0xEE80, 0x0A81, Timing::FloatDivide),
            ("vsqrt.f32 s0, s1", 0xEEB1, 0x0AE0, Timing::FloatDivide),
            ("vneg.f32 s0, s1", 0xEEB1, 0x0A60, Timing::Single),
            ("vcvt.f32.s32 s0, s0", 0xEEB8, 0x0AC0, Timing::Single),
        ] {
            assert!(is_wide(a), "{text}");
            assert_eq!(wide(a, b), expected, "{text}");
        }
    }
}
