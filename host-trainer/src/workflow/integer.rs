//! From `f32` to integers.

use super::{Error, evaluate};
use crate::data::Images;
use crate::graph::{Graph, Numbers};
use crate::quantize::{Integers, Options, QuantizeError, Quantized, WeightBits, post_training};
use crate::random::Random;
use crate::run::Interpreter;
use crate::spec::{Problem, Quantization};
use crate::train::InputScaling;
use crate::verify::backends;

/// The options of a description for a graph whose inputs are levels by `scaling`: int8 inputs are levels less 128.
#[must_use]
pub fn options(quantization: &Quantization, scaling: &InputScaling) -> Options {
    let input = match (quantization.options.activations, &scaling.offset[..], &scaling.factor[..]) {
        (Integers::Int8, &[offset], &[factor]) if offset.fract() == 0.0 && (0.0..=255.0).contains(&offset) => {
            Some(bareconv::Quantization::new(factor, (offset - 128.0) as i8))
        }
        _ => None,
    };
    Options { input, ..quantization.options.clone() }
}

/// Checks that a graph in `f32` can become what a description says.
///
/// # Errors
/// What cannot be, with the field of the description that says so.
pub fn check(graph: &Graph, quantization: &Quantization, scaling: &InputScaling) -> Result<(), Error> {
    let options = options(quantization, scaling);
    crate::quantize::check(graph, &options).map_err(|error| match error {
        // No field of a description: it follows from how the network was trained.
        QuantizeError::Options { field: "input", problem, .. } => {
            let remedy = "run `host-trainer train` with --resume: it makes another, without training again";
            Problem::new(&["quantization", "rounding"], problem, remedy).into()
        }
        QuantizeError::Options { field, problem, remedy } => {
            Problem::new(&["quantization", field], problem, remedy).into()
        }
        QuantizeError::Operator { place, reason } => {
            // Nothing but the choice of integers stands against an operator.
            let (problem, remedy) = reason.split_once("; ").unwrap_or((&reason, ""));
            Problem::new(&["quantization", "activations"], format!("{place}: {problem}"), remedy).into()
        }
        error => error.into(),
    })
}

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
    check(graph, quantization, scaling)?;
    let calibration = calibration(graph, quantization, training, scaling);
    Ok(post_training(graph, &calibration, &options(quantization, scaling))?)
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

/// What networks in integers are called.
pub const FORMS: [&str; 3] = ["int8", "int16", "int4"];

/// What the integers of these options are called: those of the activations, or of the weights where they have other bits.
#[must_use]
pub fn form(options: &Options) -> &'static str {
    match (options.activations, options.weights) {
        (Integers::Int16, _) => "int16",
        (Integers::Int8, WeightBits::Int4) => "int4",
        (Integers::Int8, WeightBits::Int8) => "int8",
    }
}
