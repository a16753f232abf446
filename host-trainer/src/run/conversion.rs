//! Between reals and integers, and integers of different quantizations.

use super::Step;
use super::typed::{by_product, unary};
use crate::graph::{Element, Rounding, Value};
use bareconv::ShapeError;
use bareconv::reference::{self, RequantizeParameters};

/// From `f32` to integers.
pub(super) fn quantize<'g>(output: &Value) -> Result<Step<'g>, ShapeError> {
    let len = output.len();
    Ok(match output.element {
        Element::Int8(to) => unary(len, move |input, output| reference::quantize_i8(to, input, output)),
        Element::Int16(to) => unary(len, move |input, output| reference::quantize_i16(to, input, output)),
        Element::F32 => return Err(ShapeError::Output),
    })
}

/// From integers to `f32`.
pub(super) fn dequantize<'g>(input: &Value, output: &Value) -> Result<Step<'g>, ShapeError> {
    let len = output.len();
    Ok(match input.element {
        Element::Int8(from) => unary(len, move |input, output| reference::dequantize_i8(from, input, output)),
        Element::Int16(from) => unary(len, move |input, output| reference::dequantize_i16(from, input, output)),
        Element::F32 => return Err(ShapeError::Input),
    })
}

/// From integers of one quantization to those of another.
pub(super) fn requantize<'g>(rounding: Rounding, input: &Value, output: &Value) -> Result<Step<'g>, ShapeError> {
    let len = output.len();
    Ok(by_product!(rounding, R => {
        type Parameters<I, O> = RequantizeParameters<I, O, R>;
        match (input.element, output.element) {
            (Element::Int8(from), Element::Int8(to)) => {
                let parameters = Parameters::<i8, i8>::int8(from, to)?;
                unary(len, move |input, output| reference::requantize(&parameters, input, output))
            }
            (Element::Int8(from), Element::Int16(to)) => {
                let parameters = Parameters::<i8, i16>::int8_to_int16(from, to)?;
                unary(len, move |input, output| reference::requantize(&parameters, input, output))
            }
            (Element::Int16(from), Element::Int8(to)) => {
                let parameters = Parameters::<i16, i8>::int16_to_int8(from, to)?;
                unary(len, move |input, output| reference::requantize(&parameters, input, output))
            }
            (Element::Int16(from), Element::Int16(to)) => {
                let parameters = Parameters::<i16, i16>::int16(from, to)?;
                unary(len, move |input, output| reference::requantize(&parameters, input, output))
            }
            _ => return Err(ShapeError::Input),
        }
    }))
}
