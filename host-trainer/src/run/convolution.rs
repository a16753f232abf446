//! Convolutions of every kind, dense and locally connected layers, on a backend.

use super::Step;
use super::typed::{Number, by_rounding, fallible};
use crate::graph::{Element, Rounding, Scales, Value, Weights};
use bareconv::kernels::depthwise::DepthwiseEpilogue;
use bareconv::kernels::{Backend, Epilogue};
use bareconv::{
    Activation, Clamp, Conv2dShape, DepthwiseConv2dShape, F32Filters, Int4, Int4Filters, Int8Filters, Int16Filters,
    Int16x8, Int16x8Wide, Quantization, ShapeError, TransposedConv2dShape, dynamic,
};

/// What convolutions of every kind have in common.
#[derive(Clone, Copy)]
pub(super) struct Job<'g> {
    pub(super) input: &'g Value,
    pub(super) output: &'g Value,
    pub(super) weights: &'g Weights,
    pub(super) activation: Activation,
    pub(super) rounding: Rounding,
}

/// The numbers of integer weights: those of the input's and the output's quantization.
struct Integers<'g> {
    filters: &'g [i8],
    bias: &'g [i32],
    scales: Vec<f32>,
    input: Quantization,
    output: Quantization,
    activation: Activation,
}

impl Integers<'_> {
    fn int8(&self) -> Int8Filters<'_> {
        let &Self { filters, bias, ref scales, input, output, activation } = self;
        Int8Filters { filters, bias, scales, input, output, activation }
    }

    fn int16(&self) -> Int16Filters<'_> {
        let &Self { filters, bias, ref scales, input, output, activation } = self;
        Int16Filters { filters, bias, scales, input: input.scale, output: output.scale, activation }
    }
}

impl<'g> Job<'g> {
    fn integers(&self) -> Result<(Integers<'g>, bool), ShapeError> {
        let Weights::Int8 { weights, scales, bias, wide_bias } = self.weights else { return Err(ShapeError::Filters) };
        let input = self.input.element.quantization().ok_or(ShapeError::Input)?;
        let output = self.output.element.quantization().ok_or(ShapeError::Output)?;
        let scales = match scales {
            Scales::PerChannel(scales) => scales.clone(),
            Scales::PerTensor(scale) => vec![*scale; bias.len()],
        };
        let integers = Integers { filters: weights, bias, scales, input, output, activation: self.activation };
        Ok((integers, *wide_bias))
    }

    /// Weights as the library stores them, two to a byte; the rest is as in int8.
    fn int4(&self) -> Result<(Vec<u8>, Integers<'g>), ShapeError> {
        let Weights::Int4 { weights, scales, bias } = self.weights else { return Err(ShapeError::Filters) };
        let input = self.input.element.quantization().ok_or(ShapeError::Input)?;
        let output = self.output.element.quantization().ok_or(ShapeError::Output)?;
        let nibble = |value: Option<&i8>| value.map_or(0, |value| value.cast_unsigned() & 15);
        let nibbles = weights.chunks(2).map(|pair| nibble(pair.first()) | nibble(pair.get(1)) << 4).collect();
        let (scales, activation) = (scales.clone(), self.activation);
        Ok((nibbles, Integers { filters: weights, bias, scales, input, output, activation }))
    }

    fn floats(&self) -> Result<F32Filters<'g>, ShapeError> {
        let Weights::F32 { weights, bias } = self.weights else { return Err(ShapeError::Filters) };
        Ok(F32Filters { filters: weights, bias, activation: self.activation })
    }
}

/// The module of a kind of layer: `run`, of any numbers once they are packed, and `step`, of those that every kind has.
macro_rules! layer {
    ($visibility:vis mod $layer:ident, $Shape:ident, $Epilogue:ident, |$packed:ident, $scratch:pat_param| $($memory:expr),+) => {
        $visibility mod $layer {
            use super::*;

            pub(in crate::run) fn run<'g, B: Backend, E: $Epilogue<Input: Number, Output: Number>>(
                shape: $Shape,
                fill: E::Input,
                pack: impl FnOnce(&mut [u32], &mut [u32]) -> Result<E::Common, ShapeError>,
            ) -> Result<Step<'g>, ShapeError>
            where
                E::Input: Send + Sync,
                E::Common: Send + Sync,
            {
                let mut packed = vec![0; dynamic::$layer::packed_words::<B, E>(&shape)];
                let words = dynamic::$layer::scratch_words::<B, E>(&shape);
                let common = pack(&mut packed, &mut vec![0; words])?;
                let len = shape.output().iter().product();
                Ok(fallible(len, move |input, output| {
                    let scratch = &mut vec![0; words];
                    dynamic::$layer::run::<B, E>(&shape, &packed, fill, &common, input, output, scratch)
                }))
            }

            pub(in crate::run) fn step<'g, B: Backend>(shape: $Shape, job: &Job<'g>) -> Result<Step<'g>, ShapeError> {
                match job.input.element {
                    Element::Int8(Quantization { zero_point, .. }) => {
                        let (integers, wide) = job.integers()?;
                        by_rounding!(job.rounding, wide, R => run::<B, R>(shape, zero_point, |$packed, $scratch| {
                            dynamic::$layer::pack_int8::<B, R>(&shape, &integers.int8(), $($memory),+)
                        }))
                    }
                    Element::Int16(_) => {
                        let (integers, wide) = job.integers()?;
                        by_rounding!(job.rounding, wide, R => run::<B, Int16x8<R>>(shape, 0, |$packed, $scratch| {
                            dynamic::$layer::pack_int16::<B, R>(&shape, &integers.int16(), $($memory),+)
                        }))
                    }
                    Element::F32 => {
                        let numbers = job.floats()?;
                        run::<B, Clamp>(shape, 0.0, |$packed, $scratch| {
                            dynamic::$layer::pack_float::<B>(&shape, &numbers, $($memory),+)
                                .map(|()| numbers.activation.bounds())
                        })
                    }
                }
            }
        }
    };
}

layer!(mod conv2d, Conv2dShape, Epilogue, |packed, _| packed);
layer!(pub(super) mod depthwise, DepthwiseConv2dShape, DepthwiseEpilogue, |packed, _| packed);
layer!(pub(super) mod transposed, TransposedConv2dShape, Epilogue, |packed, scratch| packed, scratch);
layer!(pub(super) mod locally_connected, Conv2dShape, Epilogue, |packed, _| packed);

/// A convolution or dense layer, which has int4 weights and sums of 64 bits besides.
pub(super) fn conv2d<'g, B: Backend>(shape: Conv2dShape, job: &Job<'g>) -> Result<Step<'g>, ShapeError> {
    match job.input.element {
        Element::Int8(Quantization { zero_point, .. }) if matches!(job.weights, Weights::Int4 { .. }) => {
            let (nibbles, Integers { bias, scales, input, output, activation, .. }) = job.int4()?;
            let numbers = Int4Filters { filters: &nibbles, bias, scales: &scales, input, output, activation };
            by_rounding!(job.rounding, false, R => conv2d::run::<B, Int4<R>>(shape, zero_point, |packed, _| {
                dynamic::conv2d::pack_int4::<B, R>(&shape, &numbers, packed)
            }))
        }
        Element::Int16(_) if job.rounding == Rounding::TensorFlowLiteMicro && job.weights.need_wide_sums() => {
            let (integers, _) = job.integers()?;
            conv2d::run::<B, Int16x8Wide>(shape, 0, |packed, _| {
                dynamic::conv2d::pack_int16_wide::<B>(&shape, &integers.int16(), packed)
            })
        }
        _ => conv2d::step::<B>(shape, job),
    }
}
