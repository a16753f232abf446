//! Bias correction.

use super::linear::{Taps, floats, linear};
use super::to_reals;
use crate::graph::{Graph, GraphError, Node, Numbers, Scales, ValueId, Weights};
use crate::run::Interpreter;
use rayon::prelude::*;
use std::collections::HashMap;

/// Samples that are computed before their results are added up, in order.
const CHUNK: usize = 32;

/// Changes the biases of a quantized graph so that the mean of each channel of each linear layer, before the activation, over
/// all pixels and calibration inputs is that of the float graph: empirical bias correction (Nagel et al. 2019). Rounded
/// weights shift these means, and so do the errors of the layers before. A locally connected layer has a bias for each output
/// value, whose mean is over the calibration inputs.
///
/// Layers are corrected one after the other; each sees what the corrected layers before it give. As a linear layer's mean is
/// its weights times the means of what they see, no output before the activation is ever needed.
///
/// `calibration` is inputs of the float graph. Layers are the same in both graphs where their names are.
///
/// # Errors
/// Where the inputs are not the graph's, or a graph breaks a rule.
pub fn correct_biases(float: &Graph, quantized: &mut Graph, calibration: &[Vec<Numbers>]) -> Result<(), GraphError> {
    refine(float, quantized, calibration, true, |_, _, _, _| ())
}

/// Goes through the linear layers of a quantized graph: `change` gets each with its taps, its float weights and what it sees,
/// in real numbers, sample by sample, as the layers before it, changed already, give it. Then its biases are corrected, if
/// asked.
pub(super) fn refine(
    float: &Graph,
    quantized: &mut Graph,
    calibration: &[Vec<Numbers>],
    biases: bool,
    mut change: impl FnMut(&mut Node, &Taps, &[f32], &[Vec<f32>]),
) -> Result<(), GraphError> {
    let float_means = if biases { float_means(float, calibration)? } else { HashMap::new() };
    let float_nodes: HashMap<&str, usize> =
        float.nodes.iter().enumerate().map(|(number, node)| (node.name.as_str(), number)).collect();
    let places: Vec<(usize, Taps)> = linear(&quantized.nodes, 0..quantized.nodes.len()).collect();
    // The values that are known and still needed, of each sample.
    let mut live: Vec<HashMap<ValueId, Numbers>> = calibration
        .iter()
        .map(|sample| {
            let of_inputs = quantized.inputs.iter().zip(sample);
            of_inputs.map(|(&id, numbers)| (id, super::to_element(quantized.value(id).element, numbers))).collect()
        })
        .collect();
    let mut done = 0;
    for (number, taps) in places {
        advance(quantized, done, number, &mut live)?;
        done = number;
        let input = quantized.nodes[number].inputs[0];
        let element = quantized.value(input).element;
        let seen: Vec<Vec<f32>> =
            live.par_iter().filter_map(|values| Some(to_reals(element, values.get(&input)?))).collect();
        let node = &mut quantized.nodes[number];
        let Some(float_node) = float_nodes.get(node.name.as_str()) else { continue };
        let (Some(floats), Some(quantization)) = (floats(&float.nodes[*float_node]), element.quantization()) else {
            continue;
        };
        change(node, &taps, floats.0, &seen);
        if let Some(float_means) = float_means.get(float_node) {
            let means = mean_of(&seen, taps.means(), |input| {
                let mut sums = vec![0.0; taps.means()];
                taps.add_means(input, &mut sums);
                sums
            });
            correct(node, &taps, floats, [float_means, &means], quantization.scale);
        }
    }
    Ok(())
}

/// Gives the biases of a node new values.
fn correct(node: &mut Node, taps: &Taps, floats: (&[f32], &[f32]), means: [&[f64]; 2], input_scale: f32) {
    let Some((weights, scales)) = node.operator.weights().and_then(integers) else { return };
    let corrected: Vec<f64> = (0..taps.outputs())
        .map(|output| {
            let scale = f64::from(scales[output]);
            let shift: f64 = taps
                .channel(output)
                .map(|place| {
                    let mean = taps.mean_of(place);
                    f64::from(floats.0[place]) * means[0][mean] - f64::from(weights[place]) * scale * means[1][mean]
                })
                .sum();
            ((f64::from(floats.1[output]) + shift) / (f64::from(input_scale) * scale)).round()
        })
        .collect();
    if let Some(Weights::Int8 { bias, .. } | Weights::Int4 { bias, .. }) = node.operator.weights_mut() {
        bias.iter_mut().zip(corrected).for_each(|(bias, value)| *bias = value as i32);
    }
}

/// Integer weights and the scale of each output.
fn integers(weights: &Weights) -> Option<(&[i8], Vec<f32>)> {
    match weights {
        Weights::Int8 { weights, scales: Scales::PerChannel(scales), .. } | Weights::Int4 { weights, scales, .. } => {
            Some((weights, scales.clone()))
        }
        Weights::Int8 { weights, scales: Scales::PerTensor(scale), bias, .. } => {
            Some((weights, vec![*scale; bias.len()]))
        }
        Weights::F32 { .. } => None,
    }
}

/// The means that the taps of each linear node of a float graph see.
fn float_means(float: &Graph, calibration: &[Vec<Numbers>]) -> Result<HashMap<usize, Vec<f64>>, GraphError> {
    let interpreter = Interpreter::new(float)?;
    let layers: Vec<(usize, Taps)> = linear(&float.nodes, 0..float.nodes.len()).collect();
    let mut starts = vec![0];
    starts.extend(layers.iter().scan(0, |sum, (_, taps)| {
        *sum += taps.means();
        Some(*sum)
    }));
    let total = starts[layers.len()];
    // Of all layers in one list: samples are run once.
    let samples: Vec<&Vec<Numbers>> = calibration.iter().collect();
    let error = std::sync::Mutex::new(None);
    let means = mean_of(&samples, total, |sample| {
        let mut sums = vec![0.0; total];
        match interpreter.run_all(sample) {
            Ok(values) => {
                for ((number, taps), &start) in layers.iter().zip(&starts) {
                    if let Some(Numbers::F32(input)) = &values[float.nodes[*number].inputs[0].0] {
                        taps.add_means(input, &mut sums[start..start + taps.means()]);
                    }
                }
            }
            Err(problem) => *error.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(problem),
        }
        sums
    });
    if let Some(problem) = error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(problem);
    }
    Ok(layers
        .iter()
        .zip(&starts)
        .map(|((number, taps), &start)| (*number, means[start..start + taps.means()].to_vec()))
        .collect())
}

/// The mean of lists of numbers, one for each sample, computed on all cores and added up in order.
fn mean_of<T: Sync>(samples: &[T], len: usize, each: impl Fn(&T) -> Vec<f64> + Sync) -> Vec<f64> {
    let mut sums = vec![0.0; len];
    for chunk in samples.chunks(CHUNK) {
        let parts: Vec<Vec<f64>> = chunk.par_iter().map(&each).collect();
        for part in parts {
            sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= samples.len().max(1) as f64);
    sums
}

/// Runs the nodes of a range on the live values of every sample, and keeps what later nodes read.
fn advance(graph: &Graph, from: usize, to: usize, live: &mut Vec<HashMap<ValueId, Numbers>>) -> Result<(), GraphError> {
    let later = |id: &ValueId| graph.nodes[to..].iter().any(|node| node.inputs.contains(id));
    let nodes = &graph.nodes[from..to];
    if nodes.is_empty() {
        return Ok(());
    }
    let produced: Vec<ValueId> = nodes.iter().map(|node| node.output).collect();
    let mut inputs: Vec<ValueId> = nodes.iter().flat_map(|node| node.inputs.iter().copied()).collect();
    inputs.retain(|id| !produced.contains(id) && graph.value(*id).constant.is_none());
    inputs.sort_unstable();
    inputs.dedup();
    let outputs: Vec<ValueId> = produced.iter().copied().filter(later).collect();
    if outputs.is_empty() {
        return Ok(());
    }
    let part = Graph { nodes: nodes.to_vec(), inputs: inputs.clone(), outputs: outputs.clone(), ..graph.clone() };
    let interpreter = Interpreter::new(&part)?;
    *live = std::mem::take(live)
        .into_par_iter()
        .map(|mut values| {
            let numbers: Vec<Numbers> = inputs.iter().filter_map(|id| values.get(id).cloned()).collect();
            let results = interpreter.run(&numbers)?;
            values.retain(|id, _| later(id));
            values.extend(outputs.iter().copied().zip(results));
            Ok(values)
        })
        .collect::<Result<_, GraphError>>()?;
    Ok(())
}
