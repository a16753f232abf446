//! Loads and stores of vectors at any address that suits their elements.
//!
//! Without an operating system memory may want alignment. There a compiler takes a vector of unknown alignment apart
//! into bytes, though LD1 and ST1 ask only that elements be aligned.

use core::arch::aarch64::*;

/// Declares a load of a vector.
macro_rules! load {
    ($name:ident, $element:ty, $vector:ty, $arrangement:literal, $ld1:ident) => {
        /// Reads a vector.
        ///
        /// # Safety
        /// `from` is aligned to an element and valid for reads of a vector.
        #[inline(always)]
        pub unsafe fn $name(from: *const $element) -> $vector {
            #[cfg(not(target_os = "none"))]
            // SAFETY: the caller's promise, on a target with NEON.
            unsafe {
                $ld1(from)
            }
            #[cfg(target_os = "none")]
            // SAFETY: the caller's promise; the instruction reads a vector.
            unsafe {
                let vector;
                core::arch::asm!(
                    concat!("ld1 {{{vector:v}.", $arrangement, "}}, [{from}]"),
                    from = in(reg) from,
                    vector = out(vreg) vector,
                    options(pure, readonly, nostack, preserves_flags)
                );
                vector
            }
        }
    };
}

/// Declares a store of a vector.
macro_rules! store {
    ($name:ident, $element:ty, $vector:ty, $arrangement:literal, $st1:ident) => {
        /// Writes a vector.
        ///
        /// # Safety
        /// `to` is aligned to an element and valid for writes of a vector.
        #[inline(always)]
        pub unsafe fn $name(to: *mut $element, vector: $vector) {
            #[cfg(not(target_os = "none"))]
            // SAFETY: the caller's promise, on a target with NEON.
            unsafe {
                $st1(to, vector)
            }
            #[cfg(target_os = "none")]
            // SAFETY: the caller's promise; the instruction writes a vector.
            unsafe {
                core::arch::asm!(
                    concat!("st1 {{{vector:v}.", $arrangement, "}}, [{to}]"),
                    to = in(reg) to,
                    vector = in(vreg) vector,
                    options(nostack, preserves_flags)
                );
            }
        }
    };
}

load!(load_eight_bytes, i8, int8x8_t, "8b", vld1_s8);
load!(load_bytes, i8, int8x16_t, "16b", vld1q_s8);
load!(load_four_halves, i16, int16x4_t, "4h", vld1_s16);
load!(load_halves, i16, int16x8_t, "8h", vld1q_s16);
load!(load_words, i32, int32x4_t, "4s", vld1q_s32);
load!(load_floats, f32, float32x4_t, "4s", vld1q_f32);
store!(store_bytes, i8, int8x16_t, "16b", vst1q_s8);
store!(store_four_halves, i16, int16x4_t, "4h", vst1_s16);
store!(store_halves, i16, int16x8_t, "8h", vst1q_s16);
store!(store_words, i32, int32x4_t, "4s", vst1q_s32);
store!(store_floats, f32, float32x4_t, "4s", vst1q_f32);
