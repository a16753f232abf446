//! From `f32` to integers.

use super::{Error, evaluate};
use crate::data::Images;
use crate::graph::{Element, Graph, Numbers};
use crate::quantize::{Quantized, post_training};
use crate::random::Random;
use crate::run::Interpreter;
use crate::spec::Quantization;
use crate::train::InputScaling;
use crate::verify::backends;

/// Quantizes a graph after training, with the options of a description, by images drawn from `training`.
///
/// # Errors
/// When the graph cannot be quantized, or the images are not its.
pub fn quantize(
    graph: &Graph,
    quantization: &Quantization,
    training: &Images,
    scaling: &InputScaling,
) -> Result<Quantized, Error> {
    Ok(post_training(graph, &calibration(graph, quantization, training, scaling), &quantization.options)?)
}

/// The inputs by which ranges are chosen: training images, drawn by a fixed seed.
pub(super) fn calibration(
    graph: &Graph,
    quantization: &Quantization,
    training: &Images,
    scaling: &InputScaling,
) -> Vec<Vec<Numbers>> {
    let mut numbers: Vec<usize> = (0..training.len()).collect();
    Random::new(0, 0).shuffle(&mut numbers);
    numbers.truncate(quantization.calibration_images);
    let mut images = training.select(&numbers);
    // The input's range is that of all levels, whichever the images have: int8 inputs are levels less 128.
    if let Some(first) = images.pixels.first_mut() {
        *first = 0;
    }
    if let Some(last) = images.pixels.last_mut() {
        *last = 255;
    }
    (0..images.len()).map(|index| vec![evaluate::input(graph, scaling, images.image(index))]).collect()
}

/// The names of the library's backends that this machine has; all of them give the same outputs for these images.
///
/// # Errors
/// When they do not.
pub fn verify(graph: &Graph, images: &Images, scaling: &InputScaling) -> Result<Vec<&'static str>, Error> {
    let names = backends();
    let mut first: Option<(&'static str, Vec<Numbers>)> = None;
    for &name in &names {
        let outputs = evaluate::outputs(&Interpreter::on(graph, name)?, graph, images, scaling)?;
        match &first {
            None => first = Some((name, outputs)),
            Some((one, expected)) => {
                let count = expected.iter().zip(&outputs).filter(|(a, b)| a.to_bytes() != b.to_bytes()).count();
                if count > 0 {
                    return Err(Error::Differing { one, other: name, count });
                }
            }
        }
    }
    Ok(names)
}

/// What the integers of a network are called: those of its inputs, and its weights where they have other bits.
#[must_use]
pub fn name(graph: &Graph, options: &crate::quantize::Options) -> &'static str {
    match (graph.value(graph.inputs[0]).element, options.weights) {
        (Element::F32, _) => "f32",
        (Element::Int16(_), _) => "int16",
        (Element::Int8(_), crate::quantize::WeightBits::Int4) => "int4",
        (Element::Int8(_), crate::quantize::WeightBits::Int8) => "int8",
    }
}
