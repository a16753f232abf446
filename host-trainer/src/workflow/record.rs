//! What a run was, for the report.

use super::{Error, Prepared, evaluate, integer};
use crate::generate::macs;
use crate::graph::{Element, Graph, Numbers, Weights};
use crate::nn;
use crate::quantize::Quantized;
use crate::report::{EpochRecord, Histogram, LayerRecord, ResultRecord, RunRecord};
use crate::run::Interpreter;
use crate::spec::{Description, Quantization};
use crate::train::Epoch;
use rayon::prelude::*;

/// Images whose activations are counted.
const SEEN: usize = 64;
/// Mistakes that are shown.
const MISTAKES: usize = 40;
/// Test images that every backend is run with.
const VERIFIED: usize = 200;

/// Everything but the course of training.
pub(super) fn record(
    description: &Description,
    text: &str,
    data: &Prepared,
    network: &nn::Network,
    float: &Graph,
    quantized: Option<&Quantized>,
) -> Result<RunRecord, Error> {
    let test = &data.set.test;
    let mut record = RunRecord {
        name: description.name.clone(),
        data: data.set.name.clone(),
        classes: data.set.classes.clone(),
        training_images: data.train.len(),
        validation_images: data.validation.as_ref().map_or(0, |images| images.len()),
        test_images: test.len(),
        layers: layers(network, float),
        description: text.to_owned(),
        ..RunRecord::default()
    };
    let settings = description.quantization.clone().unwrap_or_default();
    let mut last = None;
    let forms = [Some(("f32", float)), quantized.map(|quantized| (integer::form(&settings.options), &quantized.graph))];
    for (name, graph) in forms.into_iter().flatten() {
        let answers = evaluate::evaluate(graph, test, &data.exported)?;
        record.results.push(ResultRecord {
            name: name.to_owned(),
            accuracy: answers.confusion.accuracy(),
            confusion: answers.confusion.clone(),
        });
        let weights = weight_bytes(graph);
        if description.training.pruning.is_some() {
            let zeros = format!("{:.1} %", 100.0 * zeros(graph));
            record.facts.push((format!("weights that are 0, {name}"), zeros));
        }
        record.facts.push((format!("weights and biases, {name}"), format!("{:.1} KB", weights as f64 / 1000.0)));
        last = Some((graph, answers));
    }
    if let Some((graph, answers)) = last {
        record.mistakes = evaluate::worst(&answers, test, MISTAKES);
        let first: Vec<usize> = (0..test.len().min(VERIFIED)).collect();
        let backends = integer::verify(graph, &test.select(&first), &data.exported)?;
        record.facts.push((format!("the same outputs for {} test images on", first.len()), backends.join(", ")));
    }
    record.weights = weights(float, quantized);
    record.activations = activations(network, float, quantized, &settings, data)?;
    Ok(record)
}

/// The epochs of a training.
pub(super) fn epochs(history: &[Epoch], quantization_aware: bool) -> Vec<EpochRecord> {
    let one = |epoch: &Epoch| {
        let held_out = epoch.validation.or(epoch.test);
        EpochRecord {
            quantization_aware,
            learning_rate: f64::from(epoch.rate),
            training_loss: epoch.loss,
            training_accuracy: epoch.accuracy,
            test_loss: held_out.map_or(f64::NAN, |evaluation| evaluation.loss),
            test_accuracy: held_out.map_or(f64::NAN, |evaluation| evaluation.accuracy),
            images_per_second: epoch.images_per_second,
        }
    };
    history.iter().map(one).collect()
}

fn layers(network: &nn::Network, float: &Graph) -> Vec<LayerRecord> {
    let one = |node: &nn::Node| LayerRecord {
        name: node.name.clone(),
        kind: kind(&node.layer),
        output: node.output,
        parameters: node.parameters().len(),
        macs: float.nodes.iter().find(|other| other.name == node.name).and_then(macs).unwrap_or(0),
    };
    network.nodes().iter().map(one).collect()
}

/// A layer in a few words.
fn kind(layer: &nn::Layer) -> String {
    let by = |size: [usize; 2]| format!("{}\u{d7}{}", size[0], size[1]);
    let stride = |stride: [usize; 2]| match stride {
        [1, 1] => String::new(),
        [down, across] if down == across => format!(", stride {down}"),
        stride => format!(", stride {}", by(stride)),
    };
    match layer {
        nn::Layer::Conv2d(conv) => format!("convolution {}{}", by(conv.filter), stride(conv.stride)),
        nn::Layer::DepthwiseConv2d(conv) => format!("depthwise convolution {}{}", by(conv.filter), stride(conv.stride)),
        nn::Layer::TransposedConv2d(conv) => {
            format!("transposed convolution {}{}", by(conv.filter), stride(conv.stride))
        }
        nn::Layer::LocallyConnected2d(conv) => {
            format!("locally connected {}{}", by(conv.filter), stride(conv.stride))
        }
        nn::Layer::MaxPool2d(pool) => format!("maximum {}", by(pool.window)),
        nn::Layer::AveragePool2d { pool, .. } => format!("average {}", by(pool.window)),
        nn::Layer::Dropout { rate } => format!("dropout {rate}"),
        other => other.kind().trim_end_matches('_').replace('_', " "),
    }
}

/// Bytes of all weights and biases in their own types.
#[must_use]
pub(super) fn weight_bytes(graph: &Graph) -> usize {
    graph.nodes.iter().filter_map(|node| node.operator.weights()).map(Weights::bytes).sum()
}

/// The share of all weights that are 0.
fn zeros(graph: &Graph) -> f64 {
    let (mut zeros, mut all) = (0, 0);
    for weights in graph.nodes.iter().filter_map(|node| node.operator.weights()) {
        match weights {
            Weights::Int8 { weights, .. } | Weights::Int4 { weights, .. } => {
                zeros += weights.iter().filter(|&&weight| weight == 0).count();
                all += weights.len();
            }
            Weights::F32 { weights, .. } => {
                zeros += weights.iter().filter(|&&weight| weight == 0.0).count();
                all += weights.len();
            }
        }
    }
    zeros as f64 / all.max(1) as f64
}

/// A histogram for each layer with weights.
fn weights(float: &Graph, quantized: Option<&Quantized>) -> Vec<Histogram> {
    let limits = |name: &str| {
        let node = quantized?.graph.nodes.iter().find(|node| node.name == name)?;
        let greatest = match node.operator.weights()? {
            Weights::Int8 { scales: crate::graph::Scales::PerChannel(scales), .. } => {
                127.0 * scales.iter().copied().fold(0.0, f32::max)
            }
            Weights::Int8 { scales: crate::graph::Scales::PerTensor(scale), .. } => 127.0 * scale,
            Weights::Int4 { scales, .. } => 7.0 * scales.iter().copied().fold(0.0, f32::max),
            Weights::F32 { .. } => return None,
        };
        Some([-greatest, greatest])
    };
    let one = |node: &crate::graph::Node| match node.operator.weights()? {
        Weights::F32 { weights, .. } => {
            Some(Histogram { limits: limits(&node.name), ..Histogram::new(&node.name, weights) })
        }
        Weights::Int8 { .. } | Weights::Int4 { .. } => None,
    };
    float.nodes.iter().filter_map(one).collect()
}

/// A histogram of the input and of each layer's output, over some training images.
fn activations(
    network: &nn::Network,
    float: &Graph,
    quantized: Option<&Quantized>,
    settings: &Quantization,
    data: &Prepared,
) -> Result<Vec<Histogram>, Error> {
    let few = Quantization { calibration_images: settings.calibration_images.min(SEEN), ..settings.clone() };
    let inputs = integer::calibration(float, &few, &data.train, &data.exported);
    let interpreter = Interpreter::new(float)?;
    let runs = inputs.par_iter().map(|input| interpreter.run_all(input)).collect::<Result<Vec<_>, _>>()?;
    let limits = |name: &str| {
        let value = quantized?.graph.values.iter().find(|value| value.name == name)?;
        match value.element {
            Element::Int8(q) => Some([q.dequantize(-128), q.dequantize(127)]),
            Element::Int16(scale) => Some([-32_767.0 * scale, 32_767.0 * scale]),
            Element::F32 => None,
        }
    };
    // A layer of the network may be several nodes: the one of its name has its output.
    let own = |node: &&crate::graph::Node| network.nodes().iter().any(|layer| layer.name == node.name);
    let named = float
        .inputs
        .iter()
        .map(|&id| (id, "input"))
        .chain(float.nodes.iter().filter(own).map(|node| (node.output, &node.name[..])));
    let one = |(id, name): (crate::graph::ValueId, &str)| {
        let mut values = Vec::new();
        for run in &runs {
            if let Some(Numbers::F32(numbers)) = &run[id.0] {
                values.extend_from_slice(numbers);
            }
        }
        Histogram { limits: limits(&float.value(id).name), ..Histogram::new(name, &values) }
    };
    Ok(named.map(one).collect())
}
