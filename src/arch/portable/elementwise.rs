use super::Portable;
use crate::kernels::elementwise::{Array, Elementwise};

/// Bytes at a time: what 64-bit cores have vector registers for, and what others have registers for.
const BYTES: usize = if size_of::<usize>() == 8 { 16 } else { 4 };

impl Elementwise for Portable {
    type Bytes = Array<i8, BYTES>;
    type Halves = Array<i16, { BYTES / 2 }>;
    type Floats = Array<f32, 4>;
    type Sums = Array<i8, BYTES>;
}
