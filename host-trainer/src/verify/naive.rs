//! Networks of int8 layers in plain `i64`: neither packing, nor kernels, nor the library's reference.

use super::input_bytes;
use crate::graph::{Element, Graph, GraphError, Node, Operator, Rounding, Scales, Weights};
use bareconv::{Activation, Conv2dShape, Pool2dShape, Quantization};
use rayon::prelude::*;

/// The outputs for `inputs`, as bytes, which follow one another, of a chain of int8 convolutions, dense layers, maximum
/// poolings and reshapes that rounds once ([`SingleRounding`](bareconv::SingleRounding)), by these formulas:
///
/// ```text
/// sum    = bias[o] + sum of (q_in - input zero point) * weights[o][..]
/// q_out  = clamp(floor((sum * multiplier[o] + 2^(shift - 1)) / 2^shift) + output zero point)
/// ```
///
/// where `multiplier[o]` is `input scale * weight scale[o] / output scale * 2^shift`, rounded, halves upwards, and `shift` the
/// greatest one, up to 54, for which all multipliers of the layer are below 2^31. `clamp` is to -128..=127, or what the
/// activation leaves of it. Padding has the value of the zero point. Slow, and easy to check.
///
/// # Errors
/// Where the graph breaks a rule, or is not of this kind.
///
/// # Panics
/// When the inputs are not whole.
pub fn naive(graph: &Graph, inputs: &[u8]) -> Result<Vec<u8>, GraphError> {
    graph.check()?;
    let whole = |rule: &str| GraphError { place: format!("network `{}`", graph.name), rule: rule.to_owned() };
    if graph.rounding != Rounding::Single {
        return Err(whole("naive arithmetic is that of networks that round once"));
    }
    let mut last = match graph.inputs[..] {
        [input] => input,
        _ => return Err(whole("naive arithmetic is that of networks with one input")),
    };
    let mut steps = Vec::new();
    for node in &graph.nodes {
        let place = || format!("{} `{}`", node.place, node.name);
        if node.inputs != [last] {
            let rule = "naive arithmetic is that of chains: this does not take the output before it".to_owned();
            return Err(GraphError { place: place(), rule });
        }
        steps.push(Step::new(graph, node).ok_or_else(|| {
            let rule = "naive arithmetic knows convolutions, dense layers, maximum poolings and reshapes of int8";
            GraphError { place: place(), rule: rule.to_owned() }
        })?);
        last = node.output;
    }
    if graph.outputs != [last] {
        return Err(whole("naive arithmetic is that of chains: its output is not the last value"));
    }
    let size = input_bytes(graph);
    assert!(inputs.len().is_multiple_of(size), "{} bytes are no whole number of inputs of {size}", inputs.len());
    let infer = |input: &[u8]| {
        let input: Vec<i8> = input.iter().map(|byte| byte.cast_signed()).collect();
        let output = steps.iter().fold(input, |values, step| step.run(values));
        output.into_iter().map(i8::cast_unsigned)
    };
    Ok(inputs.par_chunks(size).flat_map_iter(infer).collect())
}

enum Step<'g> {
    Linear(Linear<'g>),
    MaxPool(&'g Pool2dShape),
    Reshape,
}

impl<'g> Step<'g> {
    /// The step of a node, if it is of a kind that is known here.
    fn new(graph: &Graph, node: &'g Node) -> Option<Self> {
        let [from, to] = [node.inputs[0], node.output].map(|id| graph.value(id).element);
        Some(match &node.operator {
            Operator::Conv2d { shape, weights: Weights::Int8 { weights, scales, bias, .. }, activation }
            | Operator::Dense { shape, weights: Weights::Int8 { weights, scales, bias, .. }, activation } => {
                let (Element::Int8(input), Element::Int8(output)) = (from, to) else { return None };
                let scale_of = |o: usize| match scales {
                    Scales::PerChannel(scales) => scales[o],
                    Scales::PerTensor(scale) => *scale,
                };
                let factors: Vec<f64> = (0..shape.filters)
                    .map(|o| f64::from(input.scale) * f64::from(scale_of(o)) / f64::from(output.scale))
                    .collect();
                let (multipliers, shift) = multipliers(&factors);
                let bounds = bounds(*activation, output);
                Self::Linear(Linear { shape, weights, bias, multipliers, shift, input, output, bounds })
            }
            Operator::MaxPool { shape, activation: Activation::Identity } => Self::MaxPool(shape),
            Operator::Reshape => Self::Reshape,
            _ => return None,
        })
    }

    fn run(&self, input: Vec<i8>) -> Vec<i8> {
        match self {
            Self::Linear(linear) => linear.run(&input),
            Self::MaxPool(shape) => max_pool(shape, &input),
            Self::Reshape => input,
        }
    }
}

/// The factors as integers at the scale of `2^shift`, and the shift.
fn multipliers(factors: &[f64]) -> (Vec<i64>, u32) {
    // A product with a power of two is exact.
    let at = |shift: i32| factors.iter().map(move |factor| (factor * 2f64.powi(shift)).round() as i64);
    let fits = |shift: &i32| at(*shift).all(|multiplier| multiplier < 1 << 31);
    let shift = (1..=54).rev().find(fits).unwrap_or(1);
    (at(shift).collect(), shift.cast_unsigned())
}

/// The least and the greatest output.
fn bounds(activation: Activation, output: Quantization) -> [i64; 2] {
    let zero = i64::from(output.zero_point);
    match activation {
        Activation::Identity => [-128, 127],
        Activation::Relu => [zero, 127],
        Activation::Relu6 => [zero, (zero + (6.0 / output.scale).round() as i64).min(127)],
    }
}

/// A convolution or dense layer.
struct Linear<'g> {
    shape: &'g Conv2dShape,
    weights: &'g [i8],
    bias: &'g [i32],
    multipliers: Vec<i64>,
    shift: u32,
    input: Quantization,
    output: Quantization,
    bounds: [i64; 2],
}

impl Linear<'_> {
    fn run(&self, input: &[i8]) -> Vec<i8> {
        let ([height, width, channels], [down, across]) = (self.shape.output(), self.shape.pool);
        let mut output = Vec::with_capacity(height * width * channels);
        for y in 0..height {
            for x in 0..width {
                for o in 0..channels {
                    let window = (0..down).flat_map(|dy| (0..across).map(move |dx| (dy, dx)));
                    let values = window.map(|(dy, dx)| self.value(input, y * down + dy, x * across + dx, o));
                    output.push(values.max().unwrap_or(i8::MIN));
                }
            }
        }
        output
    }

    /// The output of channel `o` at a place, before any pooling.
    fn value(&self, input: &[i8], y: usize, x: usize, o: usize) -> i8 {
        let Conv2dShape { input: [height, width, channels], filter: [rows, columns], stride, dilation, .. } =
            *self.shape;
        let [top, left, ..] = self.shape.padding;
        let depth = channels / self.shape.groups;
        let first = o / (self.shape.filters / self.shape.groups) * depth;
        let zero = i64::from(self.input.zero_point);
        let mut sum = i64::from(self.bias[o]);
        for i in 0..rows {
            for j in 0..columns {
                let row = (y * stride[0] + i * dilation[0]).wrapping_sub(top);
                let column = (x * stride[1] + j * dilation[1]).wrapping_sub(left);
                // In the padding, q_in - zero point is 0.
                if row < height && column < width {
                    let pixel = &input[(row * width + column) * channels + first..][..depth];
                    let taps = &self.weights[((o * rows + i) * columns + j) * depth..][..depth];
                    let products = pixel.iter().zip(taps).map(|(&q, &tap)| (i64::from(q) - zero) * i64::from(tap));
                    sum += products.sum::<i64>();
                }
            }
        }
        // A shift to the right rounds down.
        let scaled = (sum * self.multipliers[o] + (1 << (self.shift - 1))) >> self.shift;
        let [low, high] = self.bounds;
        (scaled + i64::from(self.output.zero_point)).clamp(low, high) as i8
    }
}

fn max_pool(shape: &Pool2dShape, input: &[i8]) -> Vec<i8> {
    let ([in_height, in_width, _], [height, width, channels]) = (shape.input, shape.output());
    let [top, left, ..] = shape.padding;
    let mut output = Vec::with_capacity(height * width * channels);
    for y in 0..height {
        for x in 0..width {
            for c in 0..channels {
                let window = (0..shape.window[0]).flat_map(|i| (0..shape.window[1]).map(move |j| (i, j)));
                let values = window.filter_map(|(i, j)| {
                    let row = (y * shape.stride[0] + i).checked_sub(top).filter(|&row| row < in_height)?;
                    let column = (x * shape.stride[1] + j).checked_sub(left).filter(|&column| column < in_width)?;
                    Some(input[(row * in_width + column) * channels + c])
                });
                output.push(values.max().unwrap_or(i8::MIN));
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Value, ValueId};
    use crate::random::Random;
    use crate::verify::{NAIVE, backends, on_every_backend};

    /// A chain of operators, and the shape and quantization of each value.
    fn chain(operators: Vec<Operator>, values: &[([usize; 3], Quantization)]) -> Graph {
        let value = |(number, &(shape, of)): (usize, &([usize; 3], Quantization))| Value {
            name: format!("value{number}"),
            shape,
            dimensions: shape.to_vec(),
            element: Element::Int8(of),
            constant: None,
        };
        let node = |(number, operator)| Node {
            name: format!("node{number}"),
            place: format!("layer {number}"),
            operator,
            inputs: vec![ValueId(number)],
            output: ValueId(number + 1),
        };
        Graph {
            name: "chain".to_owned(),
            source: "a test".to_owned(),
            rounding: Rounding::Single,
            outputs: vec![ValueId(operators.len())],
            nodes: operators.into_iter().enumerate().map(node).collect(),
            values: values.iter().enumerate().map(value).collect(),
            inputs: vec![ValueId(0)],
        }
    }

    fn int8(weights: &[i8], scales: &[f32], bias: &[i32]) -> Weights {
        Weights::Int8 {
            weights: weights.to_vec(),
            scales: Scales::PerChannel(scales.to_vec()),
            bias: bias.to_vec(),
            wide_bias: false,
        }
    }

    /// A layer small enough to do by hand.
    #[test]
    fn a_convolution_by_hand() {
        let shape = Conv2dShape { padding: [1, 0, 1, 0], pool: [1, 2], ..Conv2dShape::new([1, 3, 1], 2, [2, 2]) };
        let weights = int8(&[1, 2, 3, 4, -1, 0, 0, 5], &[0.5, 0.25], &[1, -2]);
        let operator = Operator::Conv2d { shape, weights, activation: Activation::Relu };
        let [from, to] = [Quantization::new(1.0, -1), Quantization::new(2.0, -128)];
        let graph = chain(vec![operator], &[([1, 3, 1], from), ([2, 1, 2], to)]);
        // Minus the zero point: 10, 20, -30; a row of zeros above and below.
        // Channel 0, top: 1+3*10+4*20 = 111, 1+3*20-4*30 = -59; times 0.25: 27.75 -> 28, -15.
        //            bottom: 1+10+2*20 = 51, 1+20-2*30 = -39; 12.75 -> 13.
        // Channel 1, top: -2+5*20 = 98, -2-5*30 = -152; times 0.125: 12.25 -> 12.
        //            bottom: -2-10 = -12, -2-20 = -22; -1.5 -> -1, below -128 with the zero point: clamped.
        let expected = [28 - 128, 12 - 128, 13 - 128, -128].map(|q: i32| q as u8);
        assert_eq!(naive(&graph, &[9, 19, -31_i8 as u8]).unwrap(), expected);
    }

    /// Halves go upwards, where they are negative, too.
    #[test]
    fn halves_go_upwards() {
        let operator = Operator::Dense {
            shape: Conv2dShape::dense(1, 1),
            weights: int8(&[1], &[0.5], &[0]),
            activation: Activation::Identity,
        };
        let one = Quantization::new(1.0, 0);
        let graph = chain(vec![operator], &[([1, 1, 1], one), ([1, 1, 1], one)]);
        let inputs = [3, 1, -1, -3, 127, -128_i8].map(i8::cast_unsigned);
        assert_eq!(naive(&graph, &inputs).unwrap(), [2, 1, 0, -1, 64, -64_i8].map(i8::cast_unsigned));
    }

    /// Layers of numbers without a pattern: the same bytes by every way, none further from real arithmetic than rounding.
    #[test]
    fn every_backend_has_its_bytes() {
        let mut random = Random::new(3, 0);
        let grids = [Quantization::new(0.01, 3), Quantization::new(0.02, -128), Quantization::new(0.05, 7)];
        let shapes = [
            Conv2dShape { padding: [1, 1, 1, 1], pool: [2, 2], ..Conv2dShape::new([6, 5, 2], 5, [3, 3]) },
            Conv2dShape { stride: [2, 1], dilation: [1, 2], groups: 3, ..Conv2dShape::new([7, 9, 6], 9, [3, 2]) },
            Conv2dShape::dense(300, 10),
        ];
        for (number, shape) in shapes.into_iter().enumerate() {
            for activation in [Activation::Identity, Activation::Relu, Activation::Relu6] {
                let mut whole = |most: u32| random.below(2 * most as usize + 1) as i32 - most as i32;
                let weights: Vec<i8> = (0..shape.filters * shape.filter_len()).map(|_| whole(127) as i8).collect();
                let bias: Vec<i32> = (0..shape.filters).map(|_| whole(1000)).collect();
                let scales: Vec<f32> = (0..shape.filters).map(|_| 0.002 + whole(100) as f32 * 1e-5).collect();
                let weights = int8(&weights, &scales, &bias);
                let operator = match number {
                    2 => Operator::Dense { shape, weights, activation },
                    _ => Operator::Conv2d { shape, weights, activation },
                };
                let to = if activation == Activation::Identity { grids[2] } else { grids[1] };
                let graph = chain(vec![operator], &[(shape.input, grids[0]), (shape.output(), to)]);
                let size: usize = shape.input.iter().product();
                let inputs: Vec<u8> = (0..20 * size).map(|_| random.below(256) as u8).collect();
                let all = on_every_backend(&graph, &inputs).unwrap();
                assert_eq!(all.len(), 1 + backends().len());
                assert_eq!((all[0].by, all[0].bytes.len()), (NAIVE, 20 * shape.output().iter().product::<usize>()));
                for outputs in &all[1..] {
                    assert!(outputs.bytes == all[0].bytes, "layer {number}, {activation:?}: {}", outputs.by);
                }
                assert!(all[0].bytes.windows(2).any(|pair| pair[0] != pair[1]));
                if let Operator::Dense { weights: Weights::Int8 { weights, bias, .. }, .. } = &graph.nodes[0].operator {
                    for (number, &got) in all[0].bytes.iter().enumerate() {
                        let (input, o) = (&inputs[number / 10 * size..][..size], number % 10);
                        let products = input.iter().zip(&weights[o * size..]).map(|(&q, &weight)| {
                            f64::from(grids[0].dequantize(q.cast_signed())) * f64::from(weight) * f64::from(scales[o])
                        });
                        let bias = f64::from(bias[o]) * f64::from(grids[0].scale) * f64::from(scales[o]);
                        let real = (bias + products.sum::<f64>()) / f64::from(to.scale) + f64::from(to.zero_point);
                        let [low, high] = bounds(activation, to).map(|bound| bound as f64);
                        let error = f64::from(got.cast_signed()) - real.clamp(low, high);
                        assert!(error.abs() <= 0.5001, "{got} is {error} from {real}");
                    }
                }
            }
        }
    }

    #[test]
    fn poolings_and_reshapes_are_part_of_chains() {
        let one = Quantization::new(1.0, 0);
        let pool = Pool2dShape { padding: [1, 0, 0, 0], ..Pool2dShape::new([2, 3, 1], [2, 2]).stride(1) };
        let operators = vec![Operator::MaxPool { shape: pool, activation: Activation::Identity }, Operator::Reshape];
        let graph = chain(operators, &[([2, 3, 1], one), ([2, 2, 1], one), ([1, 1, 4], one)]);
        let inputs = [-5, -7, 3, -9, -8, -128_i8].map(i8::cast_unsigned);
        let all = on_every_backend(&graph, &inputs).unwrap();
        for outputs in all {
            assert_eq!(outputs.bytes, [-5, 3, -5, 3_i8].map(i8::cast_unsigned), "{}", outputs.by);
        }
    }

    #[test]
    fn other_networks_are_refused() {
        let one = Quantization::new(1.0, 0);
        let values = [([1, 1, 4], one), ([1, 1, 4], one)];
        let mut graph = chain(vec![Operator::Add(Activation::Identity)], &values);
        graph.nodes[0].inputs.push(ValueId(0));
        let refused = |graph: &Graph| naive(graph, &[0; 4]).unwrap_err().to_string();
        assert!(refused(&graph).contains("layer 0 `node0`: naive arithmetic is that of chains"), "{}", refused(&graph));
        let mut graph = chain(vec![Operator::Reshape], &values);
        graph.rounding = Rounding::TensorFlowLiteMicro;
        assert!(refused(&graph).contains("round once"));
        let slice = Operator::Slice { begin: [0; 3], stride: [1; 3] };
        assert!(refused(&chain(vec![slice], &values)).contains("knows convolutions"));
    }
}
