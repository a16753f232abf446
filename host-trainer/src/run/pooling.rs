//! Poolings and means.

use super::Step;
use super::functions::{AsDyn, Values, clamp};
use super::typed::{by_type, unary};
use crate::graph::{Element, Value};
use bareconv::reference::{self, MeanParameters};
use bareconv::{Activation, Pool2dShape};

/// Maximum pooling.
pub(super) fn maximum<'g>(shape: &'g Pool2dShape, activation: Activation, output: &Value) -> Step<'g> {
    let len = output.len();
    let activate = clamp(output.element, activation);
    by_type!(output.element, T => unary::<T, T>(len, move |input, output| {
        reference::max_pool2d(shape, input, output);
        activate(T::as_dyn(output));
    }))
}

/// Average pooling.
pub(super) fn average<'g>(
    shape: &'g Pool2dShape,
    including_padding: bool,
    activation: Activation,
    output: &Value,
) -> Step<'g> {
    let len = output.len();
    let activate = clamp(output.element, activation);
    match output.element {
        Element::Int8(quantization) => unary(len, move |input, output: &mut [i8]| {
            let padding = including_padding.then_some(quantization.zero_point);
            reference::average_pool2d(shape, padding, input, output);
            activate(Values::Int8(output));
        }),
        Element::Int16(_) => unary(len, move |input, output: &mut [i16]| {
            reference::average_pool2d(shape, including_padding.then_some(0), input, output);
            activate(Values::Int16(output));
        }),
        Element::F32 => unary(len, move |input, output| {
            reference::average_pool2d_f32(shape, including_padding, input, output);
            activate(Values::F32(output));
        }),
    }
}

/// The mean over height and width.
pub(super) fn mean<'g>(input: &Value, output: &Value) -> Step<'g> {
    let ([height, width, channels], pixels) = (input.shape, input.shape[0] * input.shape[1]);
    match (input.element, output.element) {
        (Element::Int8(from), Element::Int8(to)) => {
            let zero_points = [from, to].map(|quantization| i16::from(quantization.zero_point));
            let parameters = MeanParameters::new(pixels, [from.scale, to.scale], zero_points);
            unary(channels, move |input, output: &mut [i8]| reference::mean2d(&parameters, input, output))
        }
        (Element::Int16(from), Element::Int16(to)) => {
            let parameters = MeanParameters::new(pixels, [from, to], [0; 2]);
            unary(channels, move |input, output: &mut [i16]| reference::mean2d(&parameters, input, output))
        }
        _ => {
            let shape = Pool2dShape::new(input.shape, [height, width]);
            unary(channels, move |input, output| reference::average_pool2d_f32(&shape, false, input, output))
        }
    }
}
