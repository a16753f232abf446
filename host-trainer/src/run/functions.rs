//! Functions of single values, and of each pixel's channels.

use super::Step;
use super::typed::{Number, by_type, unary};
use crate::graph::{Element, Function, Numbers, Value};
use bareconv::reference;
use bareconv::{Activation, HardSigmoidF32, Int8Table, LocalResponse};

/// A function of values.
pub(super) fn function<'g>(function: &'g Function, input: &Value, output: &Value) -> Step<'g> {
    let (len, channels) = (output.len(), output.shape[2]);
    let table = |table: Int8Table| {
        unary(len, move |input: &[i8], output: &mut [i8]| {
            output.iter_mut().zip(input).for_each(|(out, &x)| *out = table.apply(x));
        })
    };
    let (from, to) = (input.element, output.element);
    match (function, from, to) {
        (Function::Relu | Function::Relu6, ..) if from == to => {
            let relu = if *function == Function::Relu { Activation::Relu } else { Activation::Relu6 };
            let activate = clamp(to, relu);
            by_type!(to, T => unary::<T, T>(len, move |input, output| {
                output.copy_from_slice(input);
                activate(T::as_dyn(output));
            }))
        }
        (Function::Relu, Element::Int8(from), Element::Int8(to)) => table(Int8Table::relu(from, to)),
        (Function::Relu6, Element::Int8(from), Element::Int8(to)) => table(Int8Table::relu6(from, to)),
        (Function::Relu | Function::Relu6, Element::Int16(from), Element::Int16(to)) => {
            unary(len, move |input, output| reference::leaky_relu_i16(0.0, [from, to], input, output))
        }
        (Function::LeakyRelu { slope }, Element::Int8(from), Element::Int8(to)) => {
            table(Int8Table::leaky_relu(*slope, from, to))
        }
        (Function::LeakyRelu { slope }, Element::Int16(from), Element::Int16(to)) => {
            unary(len, move |input, output| reference::leaky_relu_i16(*slope, [from, to], input, output))
        }
        (Function::LeakyRelu { slope }, ..) => {
            unary(len, move |input, output| reference::leaky_relu_f32(*slope, input, output))
        }
        (Function::PRelu { slopes: Numbers::F32(slopes), .. }, ..) => {
            unary(len, move |input, output| reference::prelu_f32(slopes, input, output))
        }
        (
            Function::PRelu { slopes: Numbers::Int8(slopes), quantization: Some(of) },
            Element::Int8(from),
            Element::Int8(to),
        ) => unary(len, move |input, output| reference::prelu_i8(slopes, *of, from, to, input, output)),
        (
            Function::PRelu { slopes: Numbers::Int8(slopes), quantization: Some(of) },
            Element::Int16(from),
            Element::Int16(to),
        ) => unary(len, move |input, output| reference::prelu_i16(slopes, *of, [from, to], input, output)),
        (Function::HardSwish, Element::Int8(from), Element::Int8(to)) => table(Int8Table::hard_swish(from, to)),
        (Function::HardSwish, ..) => unary(len, reference::hard_swish_f32),
        (&Function::HardSigmoid { alpha, beta }, Element::Int8(from), Element::Int8(to)) => {
            table(Int8Table::hard_sigmoid(HardSigmoidF32::new(alpha, beta), from, to))
        }
        (&Function::HardSigmoid { alpha, beta }, ..) => {
            unary(len, move |input, output| reference::hard_sigmoid_f32(alpha, beta, input, output))
        }
        (&Function::LocalResponse { size, alpha, beta, k }, Element::Int8(from), Element::Int8(to)) => {
            let norm = reference::LocalResponseInt8::new(LocalResponse::new(size, alpha, beta, k), from, to);
            unary(len, move |input, output| reference::local_response_i8(&norm, channels, input, output))
        }
        (&Function::LocalResponse { size, alpha, beta, k }, ..) => {
            let norm = LocalResponse::new(size, alpha, beta, k);
            unary(len, move |input, output| reference::local_response_f32(&norm, channels, input, output))
        }
        (Function::Table { outputs, .. }, ..) => table(Int8Table::new(**outputs)),
        (Function::Sigmoid, Element::Int8(from), _) => table(Int8Table::sigmoid(from)),
        (Function::Sigmoid, Element::Int16(from), _) => {
            unary(len, move |input, output| reference::sigmoid_i16(from, input, output))
        }
        (Function::Sigmoid, Element::F32, _) => unary(len, reference::sigmoid_f32),
        (Function::Tanh, Element::Int8(from), _) => table(Int8Table::tanh(from)),
        (Function::Tanh, Element::Int16(from), _) => {
            unary(len, move |input, output| reference::tanh_i16(from, input, output))
        }
        (Function::Tanh, Element::F32, _) => unary(len, reference::tanh_f32),
        (Function::Softmax { beta }, Element::Int8(from), _) => {
            let parameters = reference::SoftmaxParameters::new(from.scale, *beta);
            pixels(len, channels, move |input, output| reference::softmax_i8(&parameters, input, output))
        }
        (Function::Softmax { beta }, Element::Int16(from), _) => {
            let parameters = reference::SoftmaxParametersInt16::new(from, *beta);
            pixels(len, channels, move |input, output| reference::softmax_i16(&parameters, input, output))
        }
        (Function::Softmax { .. }, Element::F32, _) => pixels(len, channels, reference::softmax_f32),
        (Function::Relu | Function::Relu6 | Function::PRelu { .. }, ..) => {
            unreachable!("a checked graph has functions of one type of values")
        }
    }
}

/// A function of each pixel's channels.
fn pixels<'g, T: Number>(len: usize, channels: usize, f: impl Fn(&[T], &mut [T]) + Send + Sync + 'g) -> Step<'g> {
    unary(len, move |input: &[T], output: &mut [T]| {
        for (input, output) in input.chunks(channels).zip(output.chunks_mut(channels)) {
            f(input, output);
        }
    })
}

/// Values to be changed.
pub(super) enum Values<'a> {
    Int8(&'a mut [i8]),
    Int16(&'a mut [i16]),
    F32(&'a mut [f32]),
}

pub(super) trait AsDyn: Sized {
    fn as_dyn(values: &mut [Self]) -> Values<'_>;
}

impl AsDyn for i8 {
    fn as_dyn(values: &mut [Self]) -> Values<'_> {
        Values::Int8(values)
    }
}

impl AsDyn for i16 {
    fn as_dyn(values: &mut [Self]) -> Values<'_> {
        Values::Int16(values)
    }
}

impl AsDyn for f32 {
    fn as_dyn(values: &mut [Self]) -> Values<'_> {
        Values::F32(values)
    }
}

/// The clamp of an activation behind an operator that has none of its own: ReLU or ReLU6 of the operator's output.
pub(super) fn clamp(element: Element, activation: Activation) -> impl Fn(Values<'_>) + Send + Sync {
    fn apply<T: Copy>(values: &mut [T], f: impl Fn(&[T], &mut [T])) {
        let input = values.to_vec();
        f(&input, values);
    }
    move |values| match (activation, values, element) {
        (Activation::Identity, ..) => (),
        (Activation::Relu, Values::Int8(values), Element::Int8(q)) => {
            apply(values, |input, output| reference::relu_i8(q.zero_point, input, output));
        }
        (Activation::Relu6, Values::Int8(values), Element::Int8(q)) => {
            apply(values, |input, output| reference::relu6(q.zero_point, reference::six_i8(q), input, output));
        }
        (Activation::Relu, Values::Int16(values), _) => values.iter_mut().for_each(|value| *value = (*value).max(0)),
        (Activation::Relu6, Values::Int16(values), Element::Int16(scale)) => {
            apply(values, |input, output| reference::relu6(0, reference::six_i16(scale), input, output));
        }
        (Activation::Relu, Values::F32(values), _) => apply(values, reference::relu_f32),
        (Activation::Relu6, Values::F32(values), _) => {
            apply(values, |input, output| reference::relu6(0.0, 6.0, input, output));
        }
        _ => unreachable!("values are of the output's type"),
    }
}
