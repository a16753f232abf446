//! Locally connected layers in integers, on every backend, against arithmetic in `i64` that rounds once, half up, or as
//! TensorFlow Lite Micro does.

use super::graphs::{Builder, inputs};
use crate::data::DataSet;
use crate::graph::{Element, Graph, Numbers, Operator, Rounding, Scales, ValueId, Weights};
use crate::quantize::{Integers, Options, post_training, to_element, to_reals};
use crate::run::Interpreter;
use crate::verify::backends;
use bareconv::{Activation, Conv2dShape};

/// Shapes whose sizes fill no vector: a map of one pixel, strides, padding on single sides, one channel.
fn shapes() -> [Conv2dShape; 6] {
    [
        Conv2dShape::new([1, 1, 5], 3, [1, 1]),
        Conv2dShape::new([1, 1, 9], 1, [3, 3]).padding(1),
        Conv2dShape { padding: [1, 0, 0, 2], ..Conv2dShape::new([5, 4, 3], 7, [3, 3]).stride(2) },
        Conv2dShape { stride: [1, 2], padding: [2, 1, 1, 1], ..Conv2dShape::new([6, 7, 1], 17, [4, 2]) },
        Conv2dShape::new([7, 5, 6], 2, [2, 2]).dilation(3),
        Conv2dShape::new([3, 9, 10], 5, [3, 3]).padding(2),
    ]
}

/// A float network of one layer, and its quantization from inputs in -0.3..0.7: no zero point is at an end of int8, nor in its
/// middle.
fn quantized(shape: Conv2dShape, activation: Activation, options: &Options) -> (Graph, Vec<Numbers>) {
    let mut builder = Builder::new(5, shape.input);
    let output = builder.locally_connected("local", ValueId(0), shape, activation);
    let float = builder.finish(output);
    let mut samples = inputs(&float, 2, 24);
    for numbers in samples.iter_mut().flatten() {
        let Numbers::F32(values) = numbers else { panic!("{numbers:?}") };
        values.iter_mut().for_each(|value| *value -= 0.3);
    }
    let graph = post_training(&float, &samples, options).unwrap().graph;
    let element = graph.value(graph.inputs[0]).element;
    let integers = samples[..6].iter().flatten().map(|numbers| to_element(element, numbers)).collect();
    (graph, integers)
}

/// The product with a real number, rounded half up.
fn rounded_once(sum: i64, multiplier: f64) -> i64 {
    (sum as f64 * multiplier + 0.5).floor() as i64
}

/// TensorFlow Lite Micro's `MultiplyByQuantizedMultiplier`: a product with 31 bits, its upper half rounded, and a shift that
/// rounds again, half away from zero.
fn rounded_twice(sum: i64, multiplier: f64) -> i64 {
    let mut exponent = multiplier.log2().floor() as i32 + 1;
    let mut fixed = (multiplier / f64::from(exponent).exp2() * f64::from(1_u32 << 31)).round() as i64;
    if fixed == 1 << 31 {
        (fixed, exponent) = (fixed / 2, exponent + 1);
    }
    let product = (sum << exponent.max(0)) * fixed;
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    // Division truncates.
    let high = (product + nudge) / (1 << 31);
    let divisor = 1_i64 << (-exponent).max(0);
    (high.abs() + divisor / 2) / divisor * high.signum()
}

fn integers(numbers: &Numbers) -> Vec<i64> {
    match numbers {
        Numbers::Int8(values) => values.iter().map(|&value| value.into()).collect(),
        Numbers::Int16(values) => values.iter().map(|&value| value.into()).collect(),
        Numbers::F32(_) => panic!("integers"),
    }
}

/// What the layer of a graph gives, by its definition, and the real numbers before the last rounding.
fn naive(graph: &Graph, input: &[i64]) -> (Vec<i64>, Vec<f64>) {
    let node = &graph.nodes[0];
    let Operator::LocallyConnected { shape, weights, activation } = &node.operator else { panic!("{node:?}") };
    let Weights::Int8 { weights, scales: Scales::PerChannel(scales), bias, .. } = weights else {
        panic!("{weights:?}")
    };
    let [height, width, channels] = shape.input;
    let [_, out_width, filters] = shape.output();
    let (from, to) = (graph.value(node.inputs[0]).element, graph.value(node.output).element);
    let (input_of, output_of) = (from.quantization().unwrap(), to.quantization().unwrap());
    let [least, most] = if matches!(to, Element::Int8(_)) { [-128, 127] } else { [-32768, 32767] };
    let low = if *activation == Activation::Relu { i64::from(output_of.zero_point) } else { least };
    let outputs = bias.iter().enumerate().map(|(at, &bias)| {
        let (y, x) = (at / filters / out_width, at / filters % out_width);
        let mut sum = i64::from(bias);
        for i in 0..shape.filter[0] {
            for j in 0..shape.filter[1] {
                let row = (y * shape.stride[0] + i * shape.dilation[0]).wrapping_sub(shape.padding[0]);
                let column = (x * shape.stride[1] + j * shape.dilation[1]).wrapping_sub(shape.padding[1]);
                // What lies outside is the real number 0.
                if row >= height || column >= width {
                    continue;
                }
                for c in 0..channels {
                    let weight = weights[((at * shape.filter[0] + i) * shape.filter[1] + j) * channels + c];
                    let value = input[(row * width + column) * channels + c] - i64::from(input_of.zero_point);
                    sum += i64::from(weight) * value;
                }
            }
        }
        let multiplier = f64::from(input_of.scale) * f64::from(scales[at]) / f64::from(output_of.scale);
        let product = match graph.rounding {
            Rounding::TensorFlowLiteMicro => rounded_twice(sum, multiplier),
            _ => rounded_once(sum, multiplier),
        };
        ((product + i64::from(output_of.zero_point)).clamp(low, most), sum as f64 * multiplier)
    });
    outputs.unzip()
}

#[test]
fn every_backend_has_the_integers_of_the_definition() {
    let (mut values, mut differing) = (0, 0);
    for shape in shapes() {
        for activations in [Integers::Int8, Integers::Int16] {
            for rounding in [Rounding::Single, Rounding::TensorFlowLiteMicro, Rounding::PowerOfTwo] {
                for activation in [Activation::Identity, Activation::Relu] {
                    let options = Options { activations, rounding, ..Options::default() };
                    let (graph, inputs) = quantized(shape, activation, &options);
                    let zero = graph.value(ValueId(0)).element.quantization().unwrap().zero_point;
                    assert_eq!(activations == Integers::Int16, zero == 0, "{zero}");
                    assert_ne!(zero, -128);
                    for backend in backends() {
                        let interpreter = Interpreter::on(&graph, backend).unwrap();
                        for input in &inputs {
                            let have = integers(&interpreter.run(std::slice::from_ref(input)).unwrap()[0]);
                            let (want, reals) = naive(&graph, &integers(input));
                            assert_eq!(have.len(), want.len());
                            for ((have, want), real) in have.into_iter().zip(want).zip(reals) {
                                // The multiplier has 31 bits: a real number that near to a half may go either way.
                                let tie = (real - real.floor() - 0.5).abs() < 1e-7 * real.abs().max(1.0);
                                let once = rounding != Rounding::TensorFlowLiteMicro;
                                assert!(
                                    have == want || once && tie && (have - want).abs() == 1,
                                    "{shape:?} {activations:?} {rounding:?} on {backend}: {have} for {want}, {real}"
                                );
                                values += 1;
                                differing += usize::from(have != want);
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(differing * 1000 < values, "{differing} of {values} lie at a half");
}

/// Signal to noise, in decibels, of a quantized layer's outputs for inputs that its quantization has not seen.
fn unseen_signal_to_noise(float: &Graph, samples: &[Vec<Numbers>], unseen: &[Vec<Numbers>], compensated: bool) -> f64 {
    let options = Options { activations: Integers::Int16, error_compensation: compensated, ..Options::default() };
    let graph = post_training(float, samples, &options).unwrap().graph;
    let (exact, integer) = (Interpreter::new(float).unwrap(), Interpreter::new(&graph).unwrap());
    let [from, to] = [graph.inputs[0], graph.outputs[0]].map(|id| graph.value(id).element);
    let (mut signal, mut noise) = (0.0, 0.0);
    for sample in unseen {
        let want = to_reals(Element::F32, &exact.run(sample).unwrap()[0]);
        let have = to_reals(to, &integer.run(&[to_element(from, &sample[0])]).unwrap()[0]);
        for (have, want) in have.into_iter().zip(want) {
            signal += f64::from(want).powi(2);
            noise += f64::from(want - have).powi(2);
        }
    }
    10.0 * (signal / noise).log10()
}

#[test]
fn compensated_errors_are_smaller_for_inputs_not_seen_before() {
    let digits = DataSet::embedded().train;
    let samples: Vec<Vec<Numbers>> = (0..400)
        .map(|i| vec![Numbers::F32(digits.image(i).iter().map(|&pixel| f32::from(pixel) / 255.0).collect())])
        .collect();
    // From few samples there is little to learn, but no harm is done: 81 weights are more than the last has samples.
    for (filter, count, gain) in [([5, 5], 200, 1.0), ([9, 9], 200, 1.0), ([9, 9], 40, -0.1)] {
        let mut builder = Builder::new(8, [28, 28, 1]);
        let shape = Conv2dShape::new([28, 28, 1], 2, filter).stride(4);
        let output = builder.locally_connected("local", ValueId(0), shape, Activation::Identity);
        let float = builder.finish(output);
        let [before, after] = [false, true]
            .map(|compensated| unseen_signal_to_noise(&float, &samples[..count], &samples[200..], compensated));
        assert!(after > before + gain, "{filter:?} from {count} samples: {before} dB, {after} dB");
    }
}
