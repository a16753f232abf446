//! Quantization of a trained network.

use super::convert::{Groups, compensate_errors, convert};
use super::correct::refine;
use super::observe::{Histogram, widen};
use super::options::{Integers, Options, RangeChoice, WeightBits};
use super::report::Report;
use super::{QuantizeError, equalize};
use crate::graph::{Element, Function, Graph, Numbers, Operator, Rounding, ValueId};
use crate::run::Interpreter;
use rayon::prelude::*;
use std::collections::HashMap;

/// A quantized network.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The network in integers: its inputs and outputs are integers, too.
    pub graph: Graph,
    /// What became of each layer.
    pub report: Report,
}

/// Quantizes a float32 graph, a network trained here or imported.
///
/// `calibration` are inputs like those that the network will see, one list of the network's inputs each; a few hundred do.
/// The steps are [`equalize`] (if asked), the choice of each range, rounding, errors
/// compensated, and [`correct_biases`](super::correct_biases) (if asked). The result
/// obeys [TensorFlow Lite's quantization specification](https://ai.google.dev/edge/litert/models/quantization_spec).
///
/// ```
/// use bareconv::{Activation, Conv2dShape};
/// use host_trainer::graph::{Element, Graph, Node, Numbers, Operator, Rounding, Value, ValueId, Weights};
/// use host_trainer::quantize::{self, Options};
/// use host_trainer::run::Interpreter;
///
/// let value = |name: &str, channels| Value {
///     name: name.to_owned(),
///     shape: [1, 1, channels],
///     dimensions: vec![1, channels],
///     element: Element::F32,
///     constant: None,
/// };
/// let graph = Graph {
///     name: "example".to_owned(),
///     source: "an example".to_owned(),
///     rounding: Rounding::Single,
///     values: vec![value("input", 2), value("sum", 1)],
///     nodes: vec![Node {
///         name: "sum".to_owned(),
///         place: "operator 0".to_owned(),
///         operator: Operator::Dense {
///             shape: Conv2dShape::dense(2, 1),
///             weights: Weights::F32 { weights: vec![0.5, -0.25], bias: vec![0.1] },
///             activation: Activation::Relu,
///         },
///         inputs: vec![ValueId(0)],
///         output: ValueId(1),
///     }],
///     inputs: vec![ValueId(0)],
///     outputs: vec![ValueId(1)],
/// };
/// let calibration: Vec<_> = (0..20).map(|i| vec![Numbers::F32(vec![i as f32 / 20.0, 0.5])]).collect();
/// let quantized = quantize::post_training(&graph, &calibration, &Options::default())?;
/// println!("{}", quantized.report);
///
/// let input = quantize::to_element(quantized.graph.value(ValueId(0)).element, &Numbers::F32(vec![0.9, 0.4]));
/// let output = Interpreter::new(&quantized.graph)?.run(&[input])?;
/// let sum = quantize::to_reals(quantized.graph.value(ValueId(1)).element, &output[0])[0];
/// assert!((sum - 0.45).abs() < 0.005);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Where an option makes no sense, the graph is not in float32 throughout or has an operator that the integers lack, there is
/// no calibration input, or one is not of the network's shapes.
pub fn post_training(
    graph: &Graph,
    calibration: &[Vec<Numbers>],
    options: &Options,
) -> Result<Quantized, QuantizeError> {
    quantize_with(graph, &HashMap::new(), calibration, options)
}

/// The same for a network whose activations were trained with these ranges, by the values' names.
pub(super) fn quantize_with(
    graph: &Graph,
    trained: &HashMap<&str, [f32; 2]>,
    calibration: &[Vec<Numbers>],
    options: &Options,
) -> Result<Quantized, QuantizeError> {
    check(graph, options)?;
    let mut float = graph.clone();
    if options.equalization {
        equalize(&mut float);
    }
    let elements = choose(&float, trained, calibration, options)?;
    let mut quantized = convert(&float, &elements, options)?;
    if options.bias_correction || options.error_compensation {
        let outputs: Vec<Element> = quantized.values.iter().map(|value| value.element).collect();
        refine(&float, &mut quantized, calibration, options.bias_correction, |node, taps, floats, seen| {
            if options.error_compensation {
                let elements = [outputs[node.inputs[0].0], outputs[node.output.0]];
                compensate_errors(node, elements, taps, floats, seen, options);
            }
        })?;
    }
    let report = Report::new(&float, &quantized, calibration)?;
    Ok(Quantized { graph: quantized, report })
}

/// Checks that a graph is in float32 and can become what the options say, as every quantization does first.
///
/// # Errors
/// Where an option makes no sense, or the graph has an operator that the integers lack.
pub fn check(graph: &Graph, options: &Options) -> Result<(), QuantizeError> {
    graph.check()?;
    for (field, choice) in [("activation_range", options.activation_range), ("weight_range", options.weight_range)] {
        if let RangeChoice::Percentile(percent) = choice
            && !(percent > 50.0 && percent <= 100.0)
        {
            let remedy = "it is above 50 and at most 100, and 99.9 is usual";
            return Err(QuantizeError::option(field, format!("a percentile of {percent} is no range"), remedy));
        }
    }
    if options.activations == Integers::Int16 && options.weights == WeightBits::Int4 {
        let remedy = "choose int8 weights for int16 activations";
        return Err(QuantizeError::option("weights", "int4 weights are for int8 activations", remedy));
    }
    if let Some(input) = options.input {
        let remedy = "leave it to the calibration inputs";
        if options.rounding == Rounding::PowerOfTwo && input.scale.log2().fract() != 0.0 {
            let problem = format!("rounding by powers of two needs an input scale that is one, not {}", input.scale);
            return Err(QuantizeError::option("input", problem, remedy));
        }
        if options.activations == Integers::Int16 && input.zero_point != 0 {
            return Err(QuantizeError::option("input", "an int16 input has the zero point 0", remedy));
        }
    }
    for name in &options.int8_layers {
        let with_weights = |node: &&crate::graph::Node| node.operator.weights().is_some();
        let names: Vec<&str> = graph.nodes.iter().filter(with_weights).map(|node| node.name.as_str()).collect();
        if !names.contains(&name.as_str()) {
            let problem = format!("there is no layer `{name}` with weights");
            return Err(QuantizeError::option("int8_layers", problem, format!("there are {}", names.join(", "))));
        }
    }
    for value in &graph.values {
        if value.element != Element::F32 {
            return Err(QuantizeError::Quantized { value: value.name.clone(), element: value.element.rust() });
        }
    }
    for node in &graph.nodes {
        let refuse = |reason: &str| {
            Err(QuantizeError::Operator { place: format!("{} `{}`", node.place, node.name), reason: reason.to_owned() })
        };
        match &node.operator {
            Operator::Function(Function::HardSwish | Function::HardSigmoid { .. })
                if options.activations == Integers::Int16 =>
            {
                return refuse("there is no hard swish or hard sigmoid in int16; use int8 activations");
            }
            Operator::Function(Function::LocalResponse { .. }) if options.activations == Integers::Int16 => {
                return refuse("there is no local response normalization in int16; use int8 activations");
            }
            Operator::Quantize | Operator::Dequantize | Operator::Requantize => {
                return refuse("the network is quantized already; begin with its float32 form");
            }
            _ => (),
        }
    }
    Ok(())
}

/// The element for a range that training has found.
pub(super) fn trained_element(range: [f32; 2], options: &Options) -> Element {
    let power_of_two = options.rounding == Rounding::PowerOfTwo;
    Histogram::new(range).choose(RangeChoice::MinMax, options.activations, power_of_two)
}

/// The element of each value, from the ranges over the calibration inputs.
fn choose(
    float: &Graph,
    trained: &HashMap<&str, [f32; 2]>,
    calibration: &[Vec<Numbers>],
    options: &Options,
) -> Result<Vec<Element>, QuantizeError> {
    if calibration.is_empty() {
        return Err(QuantizeError::NoCalibration);
    }
    let interpreter = Interpreter::new(float)?;
    let groups = Groups::new(float, options.activations, options.input);
    let ids = || (0..float.values.len()).map(ValueId);
    // Each value in the range of its group: first how far they reach, then how often each size occurs.
    let reach = |mut ranges: Vec<[f32; 2]>, values: &[Option<Numbers>]| {
        for (id, numbers) in ids().zip(values) {
            if let Some(Numbers::F32(numbers)) = numbers {
                let range = &mut ranges[groups.of(id)];
                *range = widen(*range, numbers);
            }
        }
        ranges
    };
    let mut nothing = vec![[f32::INFINITY, f32::NEG_INFINITY]; float.values.len()];
    for node in &float.nodes {
        // What padding holds is among the values of the group, too.
        if let Operator::Pad { value: Numbers::F32(value), .. } = &node.operator {
            let range = &mut nothing[groups.of(node.output)];
            *range = widen(*range, value);
        }
    }
    let ranges = calibration
        .par_iter()
        .try_fold(
            || nothing.clone(),
            |ranges, sample| Ok::<_, QuantizeError>(reach(ranges, &interpreter.run_all(sample)?)),
        )
        .try_reduce(
            || nothing.clone(),
            |a, b| Ok(a.iter().zip(&b).map(|(a, b)| [a[0].min(b[0]), a[1].max(b[1])]).collect()),
        )?;
    let empty: Vec<Histogram> = ranges.iter().map(|&range| Histogram::new(range)).collect();
    let power_of_two = options.rounding == Rounding::PowerOfTwo;
    let histograms = if options.activation_range == RangeChoice::MinMax && !power_of_two {
        empty
    } else {
        let count = |mut histograms: Vec<Histogram>, values: &[Option<Numbers>]| {
            for (id, numbers) in ids().zip(values) {
                if let Some(Numbers::F32(numbers)) = numbers {
                    histograms[groups.of(id)].observe(numbers);
                }
            }
            histograms
        };
        calibration
            .par_iter()
            .try_fold(
                || empty.clone(),
                |histograms, sample| Ok::<_, QuantizeError>(count(histograms, &interpreter.run_all(sample)?)),
            )
            .try_reduce(|| empty.clone(), |a, b| Ok(a.into_iter().zip(&b).map(|(a, b)| a.merge(b)).collect()))?
    };
    let ends: Vec<usize> = float.inputs.iter().chain(&float.outputs).map(|&id| groups.of(id)).collect();
    // Where several values of a group were trained, the widest range.
    let mut known: Vec<Option<[f32; 2]>> = vec![None; float.values.len()];
    for (&name, &[low, high]) in trained {
        let place = float.values.iter().position(|value| value.name == name);
        let Some(place) = place else {
            let reason = "training rounded it, but the graph has no such value".to_owned();
            return Err(QuantizeError::Operator { place: format!("`{name}`"), reason });
        };
        let known = &mut known[groups.of(ValueId(place))];
        *known = Some(known.map_or([low, high], |[a, b]| [a.min(low), b.max(high)]));
    }
    let elements = ids().map(|id| {
        let group = groups.of(id);
        if let Some(range) = known[group].filter(|_| groups.fixed(id).is_none()) {
            return trained_element(range, options);
        }
        let choice = if ends.contains(&group) { RangeChoice::MinMax } else { options.activation_range };
        groups.fixed(id).unwrap_or_else(|| histograms[group].choose(choice, options.activations, power_of_two))
    });
    Ok(elements.collect())
}
