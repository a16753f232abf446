//! Quantization after training: each operator of a quantized graph within a step of arithmetic in `f64`, and the whole near
//! the float graph.

use super::graphs::{Builder, arranged, exact, inputs, locally_connected, residual};
use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Rounding, Scales, ValueId, Weights};
use crate::plan::{self, Plan};
use crate::quantize::equalize::unevenness;
use crate::quantize::{
    Integers, Options, PIXEL, QuantizeError, RangeChoice, WeightBits, correct_biases, equalize, post_training,
    to_element, to_reals,
};
use crate::run::{Interpreter, PortableWords};
use bareconv::{Activation, Conv2dShape};

const ROUNDINGS: [Rounding; 3] = [Rounding::TensorFlowLiteMicro, Rounding::Single, Rounding::PowerOfTwo];
const TARGETS: [(Integers, WeightBits); 3] =
    [(Integers::Int8, WeightBits::Int8), (Integers::Int16, WeightBits::Int8), (Integers::Int8, WeightBits::Int4)];

/// Weights (or slopes) and biases of a quantized node as the real numbers that they stand for.
fn real_numbers(graph: &Graph, node: &Node) -> (Vec<f64>, Vec<f64>) {
    let input = graph.value(node.inputs[0]).element.quantization().unwrap().scale;
    let of = |weights: &[i8], scales: &[f32], bias: &[i32], by_column: bool| {
        let channel = |i: usize| if by_column { i % bias.len() } else { i / (weights.len() / bias.len()) };
        let reals = weights.iter().enumerate().map(|(i, &q)| f64::from(q) * f64::from(scales[channel(i)]));
        let biases = bias.iter().zip(scales).map(|(&b, &s)| f64::from(b) * f64::from(s) * f64::from(input));
        (reals.collect(), biases.collect())
    };
    let by_column = matches!(node.operator, Operator::Depthwise { .. });
    if let Some(weights) = node.operator.weights() {
        return match weights {
            Weights::Int8 { weights, scales: Scales::PerChannel(scales), bias, .. }
            | Weights::Int4 { weights, scales, bias } => of(weights, scales, bias, by_column),
            other => panic!("{other:?}"),
        };
    }
    match &node.operator {
        Operator::Function(Function::PRelu { slopes: Numbers::Int8(slopes), quantization: Some(of) }) => {
            (slopes.iter().map(|&q| f64::from(of.dequantize(q))).collect(), Vec::new())
        }
        _ => (Vec::new(), Vec::new()),
    }
}

/// Steps by which an integer operator may be off the exact result, which lies in the range.
fn tolerance(node: &Node, element: Element, rounding: Rounding) -> f64 {
    match (&node.operator, element) {
        // int16's functions interpolate in tables.
        (Operator::Function(Function::Sigmoid | Function::Tanh), Element::Int16(_)) => 4.0,
        // The multiplications before the last have errors of their own.
        (Operator::Function(_) | Operator::Add(_) | Operator::Subtract(_) | Operator::Mean, _) => 1.01,
        // Half of a step; a second rounding adds to it.
        _ if rounding == Rounding::TensorFlowLiteMicro => 0.76,
        _ => 0.51,
    }
}

#[test]
fn every_operator_of_every_target_is_within_a_step_of_real_arithmetic() {
    for float in [residual(1), locally_connected(1), arranged(1)] {
        operators_are_within_a_step(&float);
    }
}

fn operators_are_within_a_step(float: &Graph) {
    let calibration = inputs(float, 2, 40);
    for rounding in ROUNDINGS {
        for (activations, weights) in TARGETS {
            let options = Options { activations, weights, rounding, ..Options::default() };
            let quantized = post_training(float, &calibration, &options).unwrap().graph;
            quantized.check().unwrap();
            let interpreter = Interpreter::new(&quantized).unwrap();
            for sample in inputs(float, 3, 3) {
                let given = to_element(quantized.value(quantized.inputs[0]).element, &sample[0]);
                let values = interpreter.run_all(&[given]).unwrap();
                for node in &quantized.nodes {
                    let reals = |id: ValueId| -> Vec<f64> {
                        let numbers = values[id.0].as_ref().unwrap();
                        let of = quantized.value(id).element.quantization().unwrap();
                        let real = |q: i32| f64::from(q - i32::from(of.zero_point)) * f64::from(of.scale);
                        match numbers {
                            Numbers::Int8(integers) => integers.iter().map(|&q| real(q.into())).collect(),
                            Numbers::Int16(integers) => integers.iter().map(|&q| real(q.into())).collect(),
                            Numbers::F32(_) => panic!("integers"),
                        }
                    };
                    let (weights, bias) = real_numbers(&quantized, node);
                    let given: Vec<Vec<f64>> = node.inputs.iter().map(|&id| reals(id)).collect();
                    let want = exact(&quantized, node, &weights, &bias, &given);
                    let element = quantized.value(node.output).element;
                    let of = element.quantization().unwrap();
                    let [low, high] = match element {
                        Element::Int8(_) => {
                            [-128.0, 127.0].map(|end| (end - f64::from(of.zero_point)) * f64::from(of.scale))
                        }
                        _ => [-32768.0, 32767.0].map(|end| end * f64::from(of.scale)),
                    };
                    let most = tolerance(node, element, rounding) * f64::from(of.scale);
                    for (have, want) in reals(node.output).into_iter().zip(want) {
                        let error = (have - want.clamp(low, high)).abs();
                        assert!(
                            error <= most,
                            "{rounding:?} {activations:?} {weights:?} {}: {have} for {want}, {} steps",
                            node.name,
                            error / f64::from(of.scale)
                        );
                    }
                }
            }
        }
    }
}

/// Mean square of the output over the mean square of its error, in decibels.
fn signal_to_noise(float: &Graph, quantized: &Graph, samples: &[Vec<Numbers>]) -> f64 {
    let (exact, integer) = (Interpreter::new(float).unwrap(), Interpreter::new(quantized).unwrap());
    let (mut signal, mut noise) = (0.0, 0.0);
    for sample in samples {
        let want = to_reals(Element::F32, &exact.run(sample).unwrap()[0]);
        let given = to_element(quantized.value(quantized.inputs[0]).element, &sample[0]);
        let have = to_reals(quantized.value(quantized.outputs[0]).element, &integer.run(&[given]).unwrap()[0]);
        for (have, want) in have.into_iter().zip(want) {
            signal += f64::from(want).powi(2);
            noise += f64::from(want - have).powi(2);
        }
    }
    10.0 * (signal / noise).log10()
}

#[test]
fn the_network_is_near_the_float_network() {
    for float in [residual(1), locally_connected(1), arranged(1)] {
        is_near_the_float_network(&float);
    }
}

fn is_near_the_float_network(float: &Graph) {
    let (calibration, test) = (inputs(float, 2, 100), inputs(float, 9, 50));
    for rounding in ROUNDINGS {
        for (activations, weights) in TARGETS {
            for range in [RangeChoice::MinMax, RangeChoice::Percentile(99.99), RangeChoice::LeastSquares] {
                let (activation_range, weight_range) = (range, range);
                let options =
                    Options { activations, weights, rounding, activation_range, weight_range, ..Options::default() };
                let result = post_training(float, &calibration, &options).unwrap();
                let ratio = signal_to_noise(float, &result.graph, &test);
                // A bit is 6 dB. int16 has the noise of its int8 weights alone.
                let least = if weights == WeightBits::Int4 { 8.0 } else { 24.0 };
                assert!(ratio > least, "{rounding:?} {activations:?} {weights:?} {range:?}: {ratio} dB");
                let last = result.report.layers.last().unwrap();
                let ratio = signal_to_noise(float, &result.graph, &calibration);
                assert!((last.snr.unwrap() - ratio).abs() < 1e-6, "{last:?}, {ratio}");
            }
        }
    }
}

#[test]
fn quantized_graphs_are_planned() {
    for float in [residual(4), locally_connected(4), arranged(4)] {
        let calibration = inputs(&float, 2, 10);
        for (activations, weights) in TARGETS {
            let options = Options { activations, weights, ..Options::default() };
            let quantized = post_training(&float, &calibration, &options).unwrap().graph;
            let plan = Plan::new(&quantized, plan::Options::default(), &PortableWords);
            plan.check(&quantized).unwrap();
            assert!(plan.bytes > 0);
        }
    }
}

#[test]
fn elements_obey_the_specification() {
    let float = residual(1);
    let calibration = inputs(&float, 2, 20);
    let quantized = post_training(&float, &calibration, &Options::default()).unwrap().graph;
    let element = |name: &str| quantized.values.iter().find(|value| value.name == name).unwrap().element;
    let int8 = |scale, zero_point| Element::Int8(bareconv::Quantization::new(scale, zero_point));
    assert_eq!(element("sigmoid"), int8(1.0 / 256.0, -128));
    assert_eq!(element("tanh"), int8(1.0 / 128.0, 0));
    assert_eq!(element("both"), element("pooled"));
    assert_eq!(element("both_input1"), element("both"));
    assert_eq!(element("pooled"), element("prelu"));
    assert_eq!(element("flat"), element("leaky"));
    // Behind a ReLU every integer stands for something that occurs.
    let options = Options { input: Some(PIXEL), ..Options::default() };
    let of_pixels = post_training(&float, &calibration, &options).unwrap().graph;
    assert_eq!(of_pixels.value(of_pixels.inputs[0]).element, Element::Int8(PIXEL));
    for name in ["first", "left", "sum"] {
        assert_eq!(element(name).quantization().unwrap().zero_point, -128, "{name}");
    }
    let options = Options { rounding: Rounding::PowerOfTwo, ..Options::default() };
    let quantized = post_training(&float, &calibration, &options).unwrap().graph;
    for value in &quantized.values {
        assert_eq!(value.element.quantization().unwrap().scale.log2().fract(), 0.0, "{}", value.name);
    }
}

#[test]
fn equalization_evens_ranges_and_changes_nothing_else() {
    let float = {
        let mut b = Builder::new(3, [8, 8, 3]);
        let first = b.conv("first", ValueId(0), Conv2dShape::new([8, 8, 3], 6, [3, 3]).padding(1), Activation::Relu);
        let deep = b.depthwise("deep", first, 2, Activation::Identity);
        let slopes = Numbers::F32((0..12).map(|i| i as f32 * 0.03).collect());
        let bent = b.function("prelu", deep, Function::PRelu { slopes, quantization: None });
        let next = b.conv("next", bent, Conv2dShape::new([8, 8, 12], 4, [3, 3]).groups(2), Activation::Identity);
        let leaky = b.function("leaky", next, Function::LeakyRelu { slope: 0.1 });
        let pooled = b.max_pool("pooled", leaky);
        let flat = b.node("flat", Operator::Reshape, &[pooled], [1, 1, 36]);
        let hidden = b.dense("hidden", flat, 10, Activation::Relu);
        // A clamp at 6 is no homogeneous function: nothing may move through it.
        let clamped = b.dense("clamped", hidden, 8, Activation::Relu6);
        let scores = b.dense("scores", clamped, 5, Activation::Identity);
        b.finish(scores)
    };
    let mut even = float.clone();
    assert_eq!(equalize(&mut even), 4, "first-deep, deep-next, next-hidden, hidden-clamped");
    assert!(unevenness(&float) > 4.0);
    assert!(unevenness(&even) < 1.01, "{}", unevenness(&even));
    assert_eq!(float.nodes.last(), even.nodes.last());
    assert!(float.nodes[0] != even.nodes[0]);
    compute_the_same(&float, &even);
    // Locally connected layers have the channels of all their pixels.
    let float = locally_connected(3);
    let mut even = float.clone();
    assert_eq!(equalize(&mut even), 3, "first-conv, conv-wide, wide-pixel");
    assert!(unevenness(&float) > 2.0, "{}", unevenness(&float));
    assert!(unevenness(&even) < 1.01, "{}", unevenness(&even));
    compute_the_same(&float, &even);
}

fn compute_the_same(float: &Graph, even: &Graph) {
    let (before, after) = (Interpreter::new(float).unwrap(), Interpreter::new(even).unwrap());
    for sample in inputs(float, 5, 20) {
        let [before, after] =
            [&before, &after].map(|interpreter| to_reals(Element::F32, &interpreter.run(&sample).unwrap()[0]));
        let greatest = before.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (a, b) in before.into_iter().zip(after) {
            assert!((a - b).abs() <= 1e-5 * greatest, "{a} became {b}");
        }
    }
}

#[test]
fn what_other_layers_see_is_not_equalized() {
    let mut float = residual(1);
    // `left` and `deep`, `up` and `hidden`. `wide` is clamped at 6, others meet a sum or a concatenation.
    assert_eq!(equalize(&mut float), 2);
    let output = float.nodes[1].output;
    float.outputs.push(output);
    assert_eq!(equalize(&mut float), 1, "an output of the network keeps its values");
}

/// The mean of each output channel over all inputs and pixels.
fn channel_means(graph: &Graph, samples: &[Vec<Numbers>]) -> Vec<f64> {
    let interpreter = Interpreter::new(graph).unwrap();
    let value = graph.value(graph.outputs[0]);
    let channels = value.shape[2];
    let mut sums = vec![0.0; channels];
    for sample in samples {
        let given = to_element(graph.value(graph.inputs[0]).element, &sample[0]);
        let output = to_reals(value.element, &interpreter.run(&[given]).unwrap()[0]);
        output.iter().enumerate().for_each(|(i, &value)| sums[i % channels] += f64::from(value));
    }
    sums.iter().map(|sum| sum / (samples.len() * value.len() / channels) as f64).collect()
}

#[test]
fn bias_correction_removes_the_shift_of_means() {
    type Build = fn(&mut Builder) -> ValueId;
    let networks: [(&str, Build); 5] = [
        ("convolution", |b| {
            let shape = Conv2dShape::new([9, 8, 4], 6, [3, 2]).padding(1).stride(2).groups(2);
            b.conv("conv", ValueId(0), shape, Activation::Identity)
        }),
        ("dilated", |b| {
            let shape = Conv2dShape::new([9, 8, 4], 5, [3, 3]).dilation(2);
            b.conv("conv", ValueId(0), shape, Activation::Identity)
        }),
        ("two layers", |b| {
            let first =
                b.conv("first", ValueId(0), Conv2dShape::new([9, 8, 4], 6, [3, 3]).max_pool(2), Activation::Relu);
            b.dense("second", first, 8, Activation::Identity)
        }),
        ("depthwise", |b| {
            let first = b.conv("first", ValueId(0), Conv2dShape::new([9, 8, 4], 6, [1, 1]), Activation::Relu);
            let up = b.transposed("up", first, 4);
            b.depthwise("deep", up, 2, Activation::Identity)
        }),
        ("locally connected", |b| {
            let first = b.conv("first", ValueId(0), Conv2dShape::new([9, 8, 4], 6, [1, 1]), Activation::Relu);
            let shape = Conv2dShape { padding: [1, 0, 0, 1], ..Conv2dShape::new([9, 8, 6], 5, [3, 2]).stride(3) };
            let local = b.locally_connected("local", first, shape, Activation::Identity);
            // Each value has a bias of its own, and so a mean.
            b.node("flat", Operator::Reshape, &[local], [1, 1, 45])
        }),
    ];
    for (name, build) in networks {
        let mut builder = Builder::new(11, [9, 8, 4]);
        let output = build(&mut builder);
        let float = builder.finish(output);
        let samples = inputs(&float, 12, 64);
        // Coarse weights and a fine output, so that the shift is not the output's own rounding.
        let options = Options {
            weights: WeightBits::Int4,
            activation_range: RangeChoice::MinMax,
            weight_range: RangeChoice::MinMax,
            error_compensation: false,
            bias_correction: false,
            ..Options::default()
        };
        let mut quantized = post_training(&float, &samples, &options).unwrap().graph;
        let want = channel_means(&float, &samples);
        let shift = |graph: &Graph| {
            let have = channel_means(graph, &samples);
            have.iter().zip(&want).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()))
        };
        let before = shift(&quantized);
        correct_biases(&float, &mut quantized, &samples).unwrap();
        let after = shift(&quantized);
        let step = f64::from(quantized.value(quantized.outputs[0]).element.quantization().unwrap().scale);
        // What remains is the rounding of the bias and that of the outputs, whose errors' mean is near 0.
        assert!(after < 0.25 * step, "{name}: {after} of a step of {step}");
        assert!(name == "depthwise" || before > 4.0 * after, "{name}: {before} before, {after} after");
    }
}

#[test]
fn accumulators_fit_whatever_the_layer() {
    // 4096 taps of one sign: with the scale of the greatest weight int16's accumulators would leave 32 bits.
    let mut b = Builder::new(1, [1, 1, 4096]);
    let output = b.dense("dense", ValueId(0), 2, Activation::Identity);
    let mut float = b.finish(output);
    if let Operator::Dense { weights: Weights::F32 { weights, bias }, .. } = &mut float.nodes[0].operator {
        weights[..4096].fill(0.7);
        // A channel without weights, and a large bias.
        weights[4096..].fill(0.0);
        *bias = vec![0.0, 1e6];
    }
    let calibration = inputs(&float, 2, 8);
    for rounding in ROUNDINGS {
        for activations in [Integers::Int8, Integers::Int16] {
            let options = Options { activations, rounding, ..Options::default() };
            let result = post_training(&float, &calibration, &options).unwrap();
            let ratio = signal_to_noise(&float, &result.graph, &calibration);
            assert!(ratio > 30.0, "{rounding:?} {activations:?}: {ratio}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let float = residual(1);
    let calibration = inputs(&float, 2, 2);
    let error = |graph: &Graph, calibration: &[Vec<Numbers>], options: Options| {
        post_training(graph, calibration, &options).unwrap_err()
    };
    assert_eq!(error(&float, &[], Options::default()), QuantizeError::NoCalibration);
    let options = Options { activations: Integers::Int16, weights: WeightBits::Int4, ..Options::default() };
    assert!(error(&float, &calibration, options).to_string().contains("int8 activations"));
    let options = Options { weight_range: RangeChoice::Percentile(5.0), ..Options::default() };
    assert!(error(&float, &calibration, options).to_string().contains("percentile of 5"));
    let options = Options { int8_layers: vec!["frist".to_owned()], ..Options::default() };
    let text = error(&float, &calibration, options).to_string();
    assert!(text.contains("`frist`") && text.contains("first"), "{text}");
    let quantized = post_training(&float, &calibration, &Options::default()).unwrap().graph;
    let text = error(&quantized, &calibration, Options::default()).to_string();
    assert!(text.contains("`input` is of type i8"), "{text}");
    let options = Options { input: Some(PIXEL), rounding: Rounding::PowerOfTwo, ..Options::default() };
    assert!(error(&float, &calibration, options).to_string().contains("input scale"));
    let options = Options { input: Some(PIXEL), activations: Integers::Int16, ..Options::default() };
    assert!(error(&float, &calibration, options).to_string().contains("zero point 0"));
    let short = [vec![Numbers::F32(vec![0.0; 5])]];
    assert!(error(&float, &short, Options::default()).to_string().contains("192 values"));
    let mut swish = Builder::new(1, [1, 1, 4]);
    let output = swish.function("swish", ValueId(0), Function::HardSwish);
    let swish = swish.finish(output);
    let options = Options { activations: Integers::Int16, ..Options::default() };
    assert!(
        error(&swish, &inputs(&swish, 1, 2), options).to_string().contains("no hard swish or hard sigmoid in int16")
    );
}

#[test]
fn named_layers_keep_int8() {
    let float = residual(1);
    let calibration = inputs(&float, 2, 4);
    let int8_layers = vec!["first".to_owned(), "scores".to_owned()];
    let options = Options { weights: WeightBits::Int4, int8_layers, ..Options::default() };
    let result = post_training(&float, &calibration, &options).unwrap();
    let bits: Vec<(String, Option<u8>)> =
        result.report.layers.iter().map(|layer| (layer.name.clone(), layer.weight_bits)).collect();
    let of = |name: &str| bits.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(
        ["first", "scores", "left", "hidden", "deep", "up", "sum"].map(of),
        [Some(8), Some(8), Some(4), Some(4), Some(8), Some(8), None]
    );
    let text = result.report.to_string();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    // There are no locally connected layers of int4.
    let float = locally_connected(1);
    let options = Options { weights: WeightBits::Int4, ..Options::default() };
    let result = post_training(&float, &inputs(&float, 2, 4), &options).unwrap();
    let layers = result.report.layers.iter();
    let bits: Vec<u8> = layers.filter_map(|layer| layer.weight_bits).collect();
    assert_eq!(bits, [8, 4, 8, 8, 8], "first, conv, wide, pixel, last");
}

#[test]
fn options_are_read_from_toml() {
    let all = "activations = \"int16\"\nweights = \"int8\"\nint8_layers = []\nrounding = \"power_of_two\"\n\
               activation_range = { percentile = 99.9 }\nweight_range = \"min_max\"\nerror_compensation = false\n\
               bias_correction = false\nequalization = true\n";
    let options: Options = toml::from_str(all).unwrap();
    let want = Options {
        input: None,
        activations: Integers::Int16,
        weights: WeightBits::Int8,
        int8_layers: Vec::new(),
        rounding: Rounding::PowerOfTwo,
        activation_range: RangeChoice::Percentile(99.9),
        weight_range: RangeChoice::MinMax,
        error_compensation: false,
        bias_correction: false,
        equalization: true,
    };
    assert_eq!(options, want);
    assert_eq!(toml::from_str::<Options>(&toml::to_string(&want).unwrap()).unwrap(), want);
    assert_eq!(toml::from_str::<Options>("").unwrap(), Options::default());
    let text = toml::from_str::<Options>("bias_corection = true").unwrap_err().to_string();
    assert!(text.contains("bias_corection") && text.contains("bias_correction"), "{text}");
    assert!(
        toml::from_str::<Options>("rounding = \"tflm\"").unwrap_err().to_string().contains("tensorflow_lite_micro")
    );
}
