use super::Helium;
use crate::kernels::elementwise::{Array, Elementwise};

impl Elementwise for Helium {
    type Bytes = Array<i8, 4>;
    type Halves = Array<i16, 2>;
    type Floats = Array<f32, 4>;
    type Sums = Array<i8, 4>;
}
