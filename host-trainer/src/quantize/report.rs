//! What quantization did, layer by layer.

use super::{QuantizeError, to_element, to_reals};
use crate::graph::{Element, Graph, Node, Numbers, Scales, Weights};
use crate::quantize::linear::{Taps, floats};
use crate::run::Interpreter;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;

/// Calibration inputs from which signal-to-noise ratios are measured, at most.
const SAMPLES: usize = 128;

/// A quantized value, and the weights of the layer that computes it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// The name of the layer, or of the network's input.
    pub name: String,
    /// `int8` or `int16`.
    pub element: &'static str,
    /// The least and the greatest real number that the integers stand for.
    pub range: [f32; 2],
    /// The real number from one integer to the next.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i8,
    /// Signal to noise of the values, in decibels: `10 * log10(sum of squares / sum of squared errors)`, both over the
    /// calibration inputs (128 of them at most), the errors against the float network. `None` where one of them is 0.
    pub snr: Option<f64>,
    /// Bits of the weights, if it has any: 4 or 8.
    pub weight_bits: Option<u8>,
    /// Signal to noise of the weights, in decibels. `None` where all are exact.
    pub weight_snr: Option<f64>,
    /// The number of weights, and how many are 0.
    pub weights: [usize; 2],
}

/// All layers, in order, the network's inputs first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The layers.
    pub layers: Vec<LayerReport>,
}

impl Report {
    /// Compares a quantized graph with the float graph that it was made of, on inputs of the latter.
    ///
    /// # Errors
    /// Where a graph breaks a rule, or the inputs are not the float graph's.
    pub fn new(float: &Graph, quantized: &Graph, inputs: &[Vec<Numbers>]) -> Result<Self, QuantizeError> {
        let interpreters = (Interpreter::new(float)?, Interpreter::new(quantized)?);
        let count = float.values.len();
        // Sums of squares and of squared errors for each value of each sample.
        let samples = &inputs[..inputs.len().min(SAMPLES)];
        let parts = samples.par_iter().map(|sample| {
            let of_inputs = quantized.inputs.iter().zip(sample);
            let integers: Vec<Numbers> =
                of_inputs.map(|(&id, numbers)| to_element(quantized.value(id).element, numbers)).collect();
            let (exact, rounded) = (interpreters.0.run_all(sample)?, interpreters.1.run_all(&integers)?);
            let sums = exact.iter().zip(&rounded).zip(&quantized.values).map(|((exact, rounded), value)| {
                let (Some(exact), Some(rounded)) = (exact, rounded) else { return [0.0; 2] };
                signal_and_noise(&to_reals(Element::F32, exact), &to_reals(value.element, rounded))
            });
            Ok(sums.collect::<Vec<_>>())
        });
        let parts = parts.collect::<Result<Vec<_>, QuantizeError>>()?;
        let mut sums = vec![[0.0; 2]; count];
        for part in parts {
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum = [sum[0] + part[0], sum[1] + part[1]];
            }
        }
        let mut layers = Vec::new();
        for &input in &quantized.inputs {
            layers.push(line(&quantized.value(input).name, quantized.value(input).element, sums[input.0]));
        }
        for node in quantized.nodes.iter().filter(|node| node.output.0 < count) {
            let mut layer = line(&node.name, quantized.value(node.output).element, sums[node.output.0]);
            if let Some(of_float) = float.nodes.iter().find(|of_float| of_float.name == node.name) {
                weights(&mut layer, of_float, node);
            }
            layers.push(layer);
        }
        Ok(Self { layers })
    }

    /// The share of all weights that are 0.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        let [all, zero] =
            self.layers.iter().fold([0, 0], |sum, layer| [sum[0] + layer.weights[0], sum[1] + layer.weights[1]]);
        zero as f64 / all.max(1) as f64
    }
}

/// The sum of squares of `exact` and of its differences from `rounded`.
fn signal_and_noise(exact: &[f32], rounded: &[f32]) -> [f64; 2] {
    exact.iter().zip(rounded).fold([0.0; 2], |[signal, noise], (&a, &b)| {
        let (a, b) = (f64::from(a), f64::from(b));
        [signal + a * a, noise + (a - b) * (a - b)]
    })
}

fn decibels([signal, noise]: [f64; 2]) -> Option<f64> {
    (signal > 0.0 && noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}

fn line(name: &str, element: Element, sums: [f64; 2]) -> LayerReport {
    let (scale, zero_point) = element.quantization().map_or((1.0, 0), |of| (of.scale, of.zero_point));
    let steps = match element {
        Element::Int8(_) => [-128.0 - f32::from(zero_point), 127.0 - f32::from(zero_point)],
        _ => [-32768.0, 32767.0],
    };
    LayerReport {
        name: name.to_owned(),
        element: if matches!(element, Element::Int8(_)) { "int8" } else { "int16" },
        range: steps.map(|step| step * scale),
        scale,
        zero_point,
        snr: decibels(sums),
        weight_bits: None,
        weight_snr: None,
        weights: [0, 0],
    }
}

fn weights(layer: &mut LayerReport, float: &Node, quantized: &Node) {
    let (Some(taps), Some((exact, _)), Some(integers)) = (Taps::of(float), floats(float), quantized.operator.weights())
    else {
        return;
    };
    let (bits, weights, scales) = match integers {
        Weights::Int8 { weights, scales: Scales::PerChannel(scales), .. } => (8, weights, scales),
        Weights::Int4 { weights, scales, .. } => (4, weights, scales),
        _ => return,
    };
    let rounded: Vec<f32> =
        weights.iter().enumerate().map(|(place, &q)| f32::from(q) * scales[taps.output_of(place)]).collect();
    layer.weight_bits = Some(bits);
    layer.weight_snr = decibels(signal_and_noise(exact, &rounded));
    layer.weights = [weights.len(), weights.iter().filter(|&&weight| weight == 0).count()];
}

impl fmt::Display for Report {
    /// A table of 80 columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>22} {:>10} {:>7} {:>6} {:>7}", "layer", "range", "scale", "SNR", "bits", "SNR")?;
        writeln!(f, "{:<22} {:>22} {:>10} {:>7} {:>6} {:>7}", "", "", "", "dB", "weight", "dB")?;
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        for layer in &self.layers {
            let [low, high] = layer.range;
            // The end of a long name says more than its beginning.
            let skipped = layer.name.chars().count().saturating_sub(22);
            let name: String = layer.name.chars().skip(skipped).collect();
            writeln!(
                f,
                "{name:<22} {:>10.4}..{high:>10.4} {:>10.3e} {:>7} {:>6} {:>7}",
                low,
                layer.scale,
                number(layer.snr),
                layer.weight_bits.map_or("-".to_owned(), |bits| bits.to_string()),
                number(layer.weight_snr),
            )?;
        }
        Ok(())
    }
}
