//! Arm with the M-profile vector extension, Helium: Cortex-M55, M85.

mod conv;
mod depthwise;
mod elementwise;
mod finish;
mod float;

#[cfg(bareconv_native = "helium")]
pub(crate) use conv::{routine, routine_i16};
#[cfg(bareconv_native = "helium")]
pub(crate) use depthwise::routine as depthwise_routine;

use super::portable::depthwise::{Float, Plain};
use crate::kernels::{Backend, sealed::Sealed};

/// Arm with the M-profile vector extension (Helium): VMLADAVA, sixteen int8 products and their sum in an instruction.
///
/// Build for `thumbv8m.main-none-eabihf` with `--cfg bareconv_backend="helium"`, and without `-C target-cpu=cortex-m55`:
/// told of the vectors, the compiler would use them for floating point, where they flush subnormal numbers to zero.
/// Coprocessor 10 must be enabled, as `cortex-m-rt` does on that target.
///
/// Depthwise convolution in int16 and `f32` runs plain Rust.
#[derive(Clone, Copy, Debug)]
pub struct Helium;

impl Sealed for Helium {}

impl Backend for Helium {
    const NAME: &'static str = "helium";
    type Int8 = conv::Int8;
    type Int16 = conv::Int16;
    type Float = float::Float;
    type DepthwiseInt8 = depthwise::Int8;
    type DepthwiseFloat = Plain<Float>;
}
