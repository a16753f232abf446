//! What a network makes of labelled images: by the library's own arithmetic, in `f32` or integers.

use super::Error;
use crate::data::Images;
use crate::graph::{Graph, Numbers};
use crate::quantize::{to_element, to_reals};
use crate::report::{Confusion, Mistake};
use crate::run::Interpreter;
use crate::train::InputScaling;
use rayon::prelude::*;

/// A network's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    /// Number of classes.
    pub classes: usize,
    /// `[image][class]`: the network's outputs, as the real numbers that they stand for.
    pub scores: Vec<f32>,
    /// The class of each image: that of the greatest output, the first of equal ones.
    pub predicted: Vec<usize>,
    /// What was taken for what.
    pub confusion: Confusion,
}

/// The input of a graph for the levels of an image.
#[must_use]
pub fn input(graph: &Graph, scaling: &InputScaling, image: &[u8]) -> Numbers {
    let mut reals = vec![0.0; image.len()];
    scaling.apply(image.iter().map(|&level| f32::from(level)), &mut reals);
    to_element(graph.value(graph.inputs[0]).element, &Numbers::F32(reals))
}

/// Checks that a graph takes images like these and gives a number for each class.
fn check(graph: &Graph, images: &Images) -> Result<usize, Error> {
    let (&[input], &[output]) = (&graph.inputs[..], &graph.outputs[..]) else {
        return Err(Error::Images(format!(
            "`{}` has {} inputs and {} outputs; only networks with one of each can be evaluated with images",
            graph.name,
            graph.inputs.len(),
            graph.outputs.len()
        )));
    };
    let (shape, classes) = (graph.value(input).shape, graph.value(output).len());
    if shape != images.shape() {
        return Err(Error::Images(format!(
            "the images are {:?} (height, width, channels), `{}` takes {shape:?}; convert the images",
            images.shape(),
            graph.name
        )));
    }
    if let Some(label) = images.labels.iter().find(|&&label| usize::from(label) >= classes) {
        return Err(Error::Images(format!(
            "an image has the label {label}, `{}` knows the classes 0 to {}; these are not its images",
            graph.name,
            classes - 1
        )));
    }
    Ok(classes)
}

/// The outputs of a graph for all images, by an interpreter of it, one after the other.
///
/// # Errors
/// When the images are not the graph's.
pub fn outputs(
    interpreter: &Interpreter<'_>,
    graph: &Graph,
    images: &Images,
    scaling: &InputScaling,
) -> Result<Vec<Numbers>, Error> {
    check(graph, images)?;
    let run = |index| {
        let mut outputs = interpreter.run(&[input(graph, scaling, images.image(index))])?;
        Ok(outputs.swap_remove(0))
    };
    (0..images.len()).into_par_iter().map(run).collect()
}

/// Runs a graph over labelled images.
///
/// # Errors
/// When the images are not the graph's.
pub fn evaluate(graph: &Graph, images: &Images, scaling: &InputScaling) -> Result<Answers, Error> {
    let classes = check(graph, images)?;
    let interpreter = Interpreter::new(graph)?;
    let outputs = outputs(&interpreter, graph, images, scaling)?;
    let element = graph.value(graph.outputs[0]).element;
    let scores: Vec<f32> = outputs.iter().flat_map(|numbers| to_reals(element, numbers)).collect();
    let predicted: Vec<usize> = scores.chunks(classes).map(crate::quantize::first_greatest).collect();
    let pairs = images.labels.iter().map(|&label| usize::from(label)).zip(predicted.iter().copied());
    let confusion = Confusion::new(classes, pairs);
    Ok(Answers { classes, scores, predicted, confusion })
}

/// The `most` images that the network was surest about and wrong, surest first.
#[must_use]
pub fn worst(answers: &Answers, images: &Images, most: usize) -> Vec<Mistake> {
    let mut mistakes: Vec<(f64, usize)> = answers
        .predicted
        .iter()
        .zip(&images.labels)
        .enumerate()
        .filter(|(_, (predicted, label))| **predicted != usize::from(**label))
        .map(|(index, (&predicted, _))| {
            let scores = &answers.scores[index * answers.classes..][..answers.classes];
            let greatest = f64::from(scores[predicted]);
            let sum: f64 = scores.iter().map(|&score| libm::exp(f64::from(score) - greatest)).sum();
            (1.0 / sum, index)
        })
        .collect();
    mistakes.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mistake = |&(confidence, index): &(f64, usize)| Mistake {
        index,
        label: usize::from(images.labels[index]),
        predicted: answers.predicted[index],
        confidence,
        shape: images.shape(),
        pixels: images.image(index).to_vec(),
    };
    mistakes.iter().take(most).map(mistake).collect()
}
