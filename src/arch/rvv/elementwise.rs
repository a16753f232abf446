use super::Rvv;
use crate::kernels::elementwise::{Array, Elementwise};

impl Elementwise for Rvv {
    type Bytes = Array<i8, 16>;
    type Halves = Array<i16, 8>;
    type Floats = Array<f32, 4>;
    type Sums = Array<i8, 16>;
}
