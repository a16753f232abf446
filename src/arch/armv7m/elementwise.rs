use super::Armv7m;
use crate::arch::Portable;
use crate::kernels::elementwise::Elementwise;

impl Elementwise for Armv7m {
    type Bytes = <Portable as Elementwise>::Bytes;
    type Halves = <Portable as Elementwise>::Halves;
    type Floats = <Portable as Elementwise>::Floats;
    type Sums = <Portable as Elementwise>::Sums;
}
