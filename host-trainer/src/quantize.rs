//! Quantization: from a float32 network to one of integers.
//!
//! [`post_training`] takes any float32 [`Graph`](crate::graph::Graph), trained here or imported, and typical inputs, and
//! gives a graph of int8 activations with int8 or int4 weights, or of int16 activations with int8 weights, for any of the
//! library's roundings. What [`run::Interpreter`](crate::run::Interpreter) computes of it is the integer arithmetic of
//! `bareconv` itself.
//!
//! Weights are symmetric per output channel, `real = scale[channel] * q` with `q` in -127..=127 (int4: -7..=7); those of
//! locally connected layers, which have a filter for each output value, per output value.
//! Activations are affine per tensor, `real = scale * (q - zero_point)` with `q` in -128..=127;
//! after a ReLU the range starts at 0 and the zero point is -128, so that clamping to int8 *is* the
//! ReLU. (B. Jacob et al., *Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference*, 2018; R. Krishnamoorthi, *Quantizing deep convolutional
//! networks for efficient inference*, 2018.)
//!
//! Quantization-aware training keeps the weights in `f32`, but forward and backward passes see
//! them rounded, and so the activations; gradients pass the rounding unchanged (straight-through
//! estimator) except where an activation leaves its range.

mod aware;
mod compensate;
mod convert;
mod correct;
mod equalize;
mod linear;
mod observe;
mod options;
mod post_training;
mod prune;
mod report;
#[cfg(test)]
mod tests;
mod weights;

pub use aware::{AwareError, AwareNetwork, FakeQuantization};
pub use correct::correct_biases;
pub use equalize::equalize;
pub use options::{Integers, Options, RangeChoice, WeightBits};
pub use post_training::{Quantized, check, post_training};
pub use prune::{Mask, Pruned, Pruning, PruningScope};
pub use report::{LayerReport, Report};

use crate::graph::{Element, GraphError, Node, Numbers};
pub use bareconv::Quantization;

/// Grey levels: the value `pixel / 255` is stored as `pixel - 128`, without any rounding.
pub const PIXEL: Quantization = Quantization::new(1.0 / 255.0, -128);

/// Why a network could not be quantized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantizeError {
    /// A rule of graphs, or of the library.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An option that makes no sense.
    #[error("{field}: {problem}; {remedy}")]
    Options {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// Nothing to choose ranges from.
    #[error("there are no calibration inputs: ranges of activations come from some hundred typical ones")]
    NoCalibration,
    /// It is no float32 network.
    #[error("value `{value}` is of type {element}: begin with the network in float32")]
    Quantized {
        /// The value.
        value: String,
        /// Its type.
        element: &'static str,
    },
    /// An operator that there is not in these integers.
    #[error("{place}: {reason}")]
    Operator {
        /// Where.
        place: String,
        /// Why not, and what to do.
        reason: String,
    },
}

impl QuantizeError {
    fn option(field: &'static str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Options { field, problem: problem.into(), remedy: remedy.into() }
    }

    fn not_float(node: &Node) -> Self {
        let reason = "its numbers are not in float32: begin with the network in float32".to_owned();
        Self::Operator { place: format!("{} `{}`", node.place, node.name), reason }
    }
}

/// Real numbers as those of an element: the nearest integers, halves away from zero, saturated. Integers stay as they are.
#[must_use]
pub fn to_element(element: Element, numbers: &Numbers) -> Numbers {
    match (element, numbers) {
        (Element::Int8(quantization), Numbers::F32(reals)) => {
            let mut integers = vec![0; reals.len()];
            bareconv::reference::quantize_i8(quantization, reals, &mut integers);
            Numbers::Int8(integers)
        }
        (Element::Int16(scale), Numbers::F32(reals)) => {
            let mut integers = vec![0; reals.len()];
            bareconv::reference::quantize_i16(scale, reals, &mut integers);
            Numbers::Int16(integers)
        }
        _ => numbers.clone(),
    }
}

/// The real numbers that the numbers of an element stand for.
#[must_use]
pub fn to_reals(element: Element, numbers: &Numbers) -> Vec<f32> {
    let of = element.quantization().unwrap_or(Quantization::new(1.0, 0));
    match numbers {
        Numbers::Int8(integers) => integers.iter().map(|&q| of.dequantize(q)).collect(),
        Numbers::Int16(integers) => integers.iter().map(|&q| f32::from(q) * of.scale).collect(),
        Numbers::F32(reals) => reals.clone(),
    }
}

/// The index of the greatest value, the first of equal ones.
#[must_use]
pub fn first_greatest<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}
