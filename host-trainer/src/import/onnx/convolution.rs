//! Convolutions, dense layers and batch normalization.

use super::super::fault::{Step, broken, nearest, require, unsupported};
use super::call::Call;
use super::constant::{Constant, Data};
use super::layout::Layout;
use super::reader::{Computed, End, Reader, Tensor, layout_fault};
use super::schema::element;
use super::window::{self, Window};
use crate::graph::{Element, Operator, Scales, Shape, Weights};
use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape};

/// Factors and summands of output channels: a batch normalization.
struct Affine {
    factors: Vec<f64>,
    summands: Vec<f64>,
}

/// The numbers of a convolution or dense layer, as the file has them.
struct Parameters<'a> {
    weights: &'a Constant,
    /// The axis of the weights that is the output channels; with groups, of each group.
    axis: usize,
    bias: Option<Constant>,
    outputs: usize,
    /// For each weight in the library's order, its place in the file's.
    places: Vec<usize>,
    /// For each weight in the library's order, its output channel.
    channel: &'a dyn Fn(usize) -> usize,
}

impl Reader {
    pub(super) fn conv(&mut self, call: &Call) -> Step<()> {
        let input = self.real(call, 0)?;
        let weights = self.constant(call, 1)?;
        let (dims, from) = (input.layout.dims().to_vec(), self.picture(&input)?.1);
        let [filters, channels, height, width] = filter_dims(&weights, dims.len())?;
        let groups = positive(call.int("group", 1)?)?;
        require(channels * groups == from[2] && filters % groups == 0, "its weights do not fit its input and groups")?;
        let window = Window::read(call, from, [height, width], dims.len(), false)?;
        let Window { stride, dilation, padding, .. } = window;
        let bias = self.optional_constant(call, 2)?;
        let depthwise = groups == from[2] && groups > 1;
        let area = height * width;
        if depthwise {
            let shape = DepthwiseConv2dShape {
                stride,
                dilation,
                padding,
                ..DepthwiseConv2dShape::new(from, filters / groups, [height, width])
            };
            shape.check().or_else(|error| unsupported(error.message()))?;
            let places = (0..weights.len()).map(|i| i % filters * area + i / filters).collect();
            let channel = |i: usize| i % filters;
            let parameters =
                Parameters { weights: &weights, axis: 0, bias, outputs: filters, places, channel: &channel };
            let operator = |weights, activation| Operator::Depthwise { shape, weights, activation };
            return self.convolution(call, &input, Some(from), parameters, operator, shape.output());
        }
        let shape =
            Conv2dShape { stride, dilation, padding, groups, ..Conv2dShape::new(from, filters, [height, width]) };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let len = area * channels;
        // [filter][channel][row][column] to [filter][row][column][channel].
        let place = |i: usize| i / len * len + i % channels * area + i % len / channels;
        let places = (0..weights.len()).map(place).collect();
        let channel = |i: usize| i / len;
        let parameters = Parameters { weights: &weights, axis: 0, bias, outputs: filters, places, channel: &channel };
        let operator = |weights, activation| Operator::Conv2d { shape, weights, activation };
        self.convolution(call, &input, Some(from), parameters, operator, shape.output())
    }

    pub(super) fn conv_transpose(&mut self, call: &Call) -> Step<()> {
        let input = self.real(call, 0)?;
        let weights = self.constant(call, 1)?;
        let (rank, from) = (input.layout.dims().len(), self.picture(&input)?.1);
        let [channels, filters, height, width] = filter_dims(&weights, rank)?;
        if call.int("group", 1)? != 1 {
            return nearest("it has groups", "ConvTranspose of one group, or Resize and Conv of several");
        }
        require(channels == from[2], "its weights do not fit its input")?;
        let (shape, dilation) = window::transposed(call, from, filters, [height, width], rank)?;
        require(dilation == [1, 1], "it is dilated")?;
        shape.check().or_else(|error| unsupported(error.message()))?;
        let (area, len) = (height * width, height * width * channels);
        // [channel][filter][row][column] to [filter][row][column][channel].
        let place = |i: usize| (i % channels * filters + i / len) * area + i % len / channels;
        let places = (0..weights.len()).map(place).collect();
        let channel = |i: usize| i / len;
        let bias = self.optional_constant(call, 2)?;
        let parameters = Parameters { weights: &weights, axis: 1, bias, outputs: filters, places, channel: &channel };
        let operator = |weights, activation| Operator::Transposed { shape, weights, activation };
        self.convolution(call, &input, Some(from), parameters, operator, shape.output())
    }

    pub(super) fn gemm(&mut self, call: &Call) -> Step<()> {
        require(call.int("transA", 0)? == 0, "its first input is transposed")?;
        let (alpha, beta) = (call.float("alpha", 1.0)?, call.float("beta", 1.0)?);
        if alpha != 1.0 || beta != 1.0 {
            return nearest(
                format!("its alpha is {alpha}, its beta {beta}"),
                "alpha and beta of 1, as torch.nn.Linear has",
            );
        }
        let bias = self.optional_constant(call, 2)?;
        self.dense(call, call.int("transB", 0)? != 0, bias, call.output()?)
    }

    pub(super) fn matmul(&mut self, call: &Call) -> Step<()> {
        if let Ok(Tensor::Computed(_)) = self.tensor(call.input(1)?) {
            return nearest("it multiplies two inputs that are computed", "MatMul with a constant second input");
        }
        let output = call.output()?;
        // A bias behind it is an Add.
        if let Some(next) = self.follower(output).filter(|&next| self.calls[next].operator == "Add") {
            let add = self.calls[next].clone();
            let other = usize::from(add.inputs.first().is_some_and(|name| name == output));
            let columns = self.constant(call, 1)?.dims.last().copied();
            if let Ok(Some(bias)) = self.optional_constant(&add, other)
                && Some(bias.len()) == columns
                && bias.dims.last().copied() == columns
            {
                self.done[next] = true;
                return self.dense(call, false, Some(bias), add.output()?);
            }
        }
        self.dense(call, false, None, output)
    }

    /// A matrix product with constant weights; its result is `output`.
    fn dense(&mut self, call: &Call, transposed: bool, bias: Option<Constant>, output: &str) -> Step<()> {
        let input = self.real(call, 0)?;
        let weights = self.constant(call, 1)?;
        let &[rows, columns] = &weights.dims[..] else {
            return nearest(format!("its weights have the shape {:?}", weights.dims), "a matrix of weights");
        };
        let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        let dims = input.layout.dims();
        let Some((&last, before)) = dims.split_last() else { return unsupported("its input is one number") };
        require(last == inputs && inputs > 0 && outputs > 0, "its weights do not fit its input")?;
        let count: usize = before.iter().product();
        let mut to = before.to_vec();
        to.push(outputs);
        let (from, shape, order) = if count == 1 {
            // Values of a picture lie in another order than in the file: so do the weights.
            (None, Conv2dShape::dense(inputs, outputs), input.layout.places())
        } else {
            require(count <= 1 << 16, "it has more than 65,536 rows")?;
            if !input.layout.is_linear() {
                return layout_fault(&input.layout);
            }
            let from = [1, count, inputs];
            (Some(from), Conv2dShape::new(from, outputs, [1, 1]), (0..inputs).collect())
        };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let mut places = vec![0; weights.len()];
        for output in 0..outputs {
            for (index, &at) in order.iter().enumerate() {
                places[output * inputs + at] =
                    if transposed { output * inputs + index } else { index * outputs + output };
            }
        }
        let channel = |i: usize| i / inputs;
        let axis = usize::from(!transposed);
        let parameters = Parameters { weights: &weights, axis, bias, outputs, places, channel: &channel };
        let operator = |weights, activation| Operator::Dense { shape, weights, activation };
        let layout = Layout::linear(&to);
        self.weighted(call, &input, from, parameters, operator, (shape.output(), layout, output))
    }

    /// A convolution, whose output is a picture.
    fn convolution(
        &mut self,
        call: &Call,
        input: &Computed,
        from: Option<Shape>,
        parameters: Parameters<'_>,
        operator: impl FnOnce(Weights, Activation) -> Operator,
        to: Shape,
    ) -> Step<()> {
        let dims = match input.layout.dims().len() {
            3 => vec![1, to[2], to[1]],
            _ => vec![1, to[2], to[0], to[1]],
        };
        let layout = Layout::channels_first(&dims);
        self.weighted(call, input, from, parameters, operator, (to, layout, call.output()?))
    }

    /// A node with weights: of integers if input, weights and output are quantized, of single precision otherwise.
    fn weighted(
        &mut self,
        call: &Call,
        input: &Computed,
        from: Option<Shape>,
        parameters: Parameters<'_>,
        operator: impl FnOnce(Weights, Activation) -> Operator,
        (to, layout, output): (Shape, Layout, &str),
    ) -> Step<()> {
        self.spend(parameters.weights.len().saturating_mul(12).saturating_add(16 * parameters.outputs))?;
        let of_integers = matches!(parameters.weights.data, Data::Integer(..));
        let end = if input.dequantized && of_integers { self.end(output, true) } else { None };
        let (weights, value, end) = match end {
            Some(end) => (self.integer_weights(&parameters, input)?, input.value, end),
            None => {
                let input = self.float(input);
                let (affine, end) = self.normalized(output)?;
                (float_weights(&parameters, affine)?, input.value, end)
            }
        };
        let value = from.map_or(value, |from| self.shaped(value, from));
        let _ = call;
        self.finish(end, |activation| operator(weights, activation), vec![value], to, layout, true)
    }

    /// A batch normalization that follows, and what follows it.
    fn normalized(&mut self, output: &str) -> Step<(Option<Affine>, End)> {
        let next = self.follower(output).filter(|&next| self.calls[next].operator == "BatchNormalization");
        if let Some(next) = next {
            let call = self.calls[next].clone();
            if let Ok(affine) = self.affine(&call) {
                self.done[next] = true;
                let end = self.end(call.outputs.first().map_or("", String::as_str), false);
                return Ok((Some(affine), end.unwrap_or_else(|| Self::no_end(output))));
            }
        }
        Ok((None, self.end(output, false).unwrap_or_else(|| Self::no_end(output))))
    }

    /// The factors and summands of a batch normalization.
    fn affine(&self, call: &Call) -> Step<Affine> {
        require(call.int("training_mode", 0)? == 0, "it is in training mode")?;
        require(call.int("spatial", 1)? == 1, "it normalizes each pixel by itself")?;
        require(call.outputs.iter().skip(1).all(|name| !self.is_read(name)), "it is in training mode")?;
        let mut numbers = Vec::new();
        for index in 1..=4 {
            numbers.push(self.constant(call, index)?.to_f32()?);
        }
        let [scale, bias, mean, variance] = &numbers[..] else { return broken("it has not four parameters") };
        require(numbers.iter().all(|all| all.len() == scale.len()), "its parameters are not as many")?;
        let epsilon = f64::from(call.float("epsilon", 1e-5)?);
        let factors: Vec<f64> =
            scale.iter().zip(variance.iter()).map(|(&s, &v)| f64::from(s) / (f64::from(v) + epsilon).sqrt()).collect();
        let summand = |i: usize| f64::from(bias[i]) - f64::from(mean[i]) * factors[i];
        let summands = (0..factors.len()).map(summand).collect();
        Ok(Affine { factors, summands })
    }

    /// A batch normalization by itself: a depthwise convolution of 1 x 1.
    pub(super) fn batch_normalization(&mut self, call: &Call) -> Step<()> {
        let input = self.real(call, 0)?;
        let input = self.float(&input);
        let affine = self.affine(call)?;
        let Some(&channels) = input.layout.dims().get(1) else { return unsupported("its input has no channels") };
        require(affine.factors.len() == channels, "it has not parameters for each channel")?;
        let (value, from, layout) = match input.layout.dims().len() {
            2 => match self.view(&input, |_| true) {
                Some((value, _)) if self.shape(value)[1] == 1 => (value, [1, 1, channels], input.layout.clone()),
                _ => return layout_fault(&input.layout),
            },
            _ => {
                let (value, from) = self.picture(&input)?;
                (value, from, input.layout.clone())
            }
        };
        let single = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
        let weights = Weights::F32 { weights: single(&affine.factors), bias: single(&affine.summands) };
        let shape = DepthwiseConv2dShape::new(from, 1, [1, 1]);
        shape.check().or_else(|error| unsupported(error.message()))?;
        let Some(output) = call.outputs.first() else { return broken("it has no output") };
        let end = self.end(output, false).unwrap_or_else(|| Self::no_end(output));
        let operator = |activation| Operator::Depthwise { shape, weights, activation };
        self.finish(end, operator, vec![value], from, layout, true)
    }

    fn integer_weights(&self, parameters: &Parameters<'_>, input: &Computed) -> Step<Weights> {
        let &Parameters { weights, axis, outputs, ref places, .. } = parameters;
        let (Data::Integer(kind, values), Some(of)) = (&weights.data, &weights.quantized) else {
            return unsupported("its weights are integers without a scale");
        };
        let shift = match *kind {
            element::INT8 => 0,
            element::UINT8 => 128,
            kind => return nearest(format!("its weights are {}", element::name(kind)), "int8 weights"),
        };
        if of.zero_points.iter().any(|&zero_point| zero_point != shift) {
            return nearest(
                "its weights have zero points",
                "symmetric weights, by quantize_static with extra_options={'WeightSymmetric': True}",
            );
        }
        let mut moved = Vec::with_capacity(values.len());
        for &place in places {
            match i8::try_from(values[place] - shift) {
                Ok(value) if value != -128 => moved.push(value),
                _ => {
                    return nearest(
                        "a weight is -128",
                        "int8 weights of -127 to 127, as quantize_static makes with WeightSymmetric",
                    );
                }
            }
        }
        let scales = match of.scales[..] {
            [scale] => vec![scale; outputs],
            _ if of.axis == axis && of.scales.len() == outputs => of.scales.clone(),
            _ => return unsupported("its weights' scales are not those of output channels"),
        };
        let Element::Int8(from) = self.element(input.value) else { return unsupported("its input is not int8") };
        let mut bias = vec![0; outputs];
        if let Some(constant) = &parameters.bias {
            for (channel, (bias, real)) in bias.iter_mut().zip(reals(constant, outputs)?).enumerate() {
                let whole = (real / (f64::from(from.scale) * f64::from(scales[channel]))).round();
                if !(-2_147_483_648.0..=2_147_483_647.0).contains(&whole) {
                    return unsupported("a bias does not fit 32 bits");
                }
                *bias = whole as i32;
            }
        }
        Ok(Weights::Int8 { weights: moved, scales: Scales::PerChannel(scales), bias, wide_bias: false })
    }
}

/// The bias of each output channel, exactly.
fn reals(constant: &Constant, outputs: usize) -> Step<Vec<f64>> {
    let inner = constant.dims.last().copied().unwrap_or(1);
    require(constant.len() == inner && (inner == outputs || inner == 1), "it has not a bias for each output channel")?;
    let all: Vec<f64> = match (&constant.data, &constant.quantized) {
        (Data::Integer(_, values), Some(of)) => {
            let channel = constant.channels(of);
            let real = |(i, &value): (usize, &i64)| {
                (value - of.zero_point(channel(i))) as f64 * f64::from(of.scale(channel(i)))
            };
            values.iter().enumerate().map(real).collect()
        }
        _ => constant.to_f32()?.iter().map(|&value| f64::from(value)).collect(),
    };
    Ok(if all.len() == outputs { all } else { vec![all[0]; outputs] })
}

fn float_weights(parameters: &Parameters<'_>, affine: Option<Affine>) -> Step<Weights> {
    let values = parameters.weights.to_f32()?;
    let mut weights: Vec<f32> = parameters.places.iter().map(|&place| values[place]).collect();
    let mut bias: Vec<f32> = match &parameters.bias {
        Some(bias) => reals(bias, parameters.outputs)?.iter().map(|&bias| bias as f32).collect(),
        None => vec![0.0; parameters.outputs],
    };
    if let Some(Affine { factors, summands }) = affine {
        require(factors.len() == parameters.outputs, "its batch normalization has not parameters for each channel")?;
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = (f64::from(*weight) * factors[(parameters.channel)(i)]) as f32;
        }
        for (channel, bias) in bias.iter_mut().enumerate() {
            *bias = (f64::from(*bias) * factors[channel] + summands[channel]) as f32;
        }
    }
    Ok(Weights::F32 { weights, bias })
}

/// Two channel counts, height and width of a filter; a filter of one dimension has a height of 1.
fn filter_dims(weights: &Constant, rank: usize) -> Step<[usize; 4]> {
    let dims = match (&weights.dims[..], rank) {
        (&[a, b, width], 3) => [a, b, 1, width],
        (&[a, b, height, width], 4) => [a, b, height, width],
        (dims, _) => return unsupported(format!("its weights have the shape {dims:?}")),
    };
    require(dims.iter().all(|size| (1..=1 << 16).contains(size)), "a dimension of its weights is 0, or above 65,536")?;
    Ok(dims)
}

fn positive(number: i64) -> Step<usize> {
    match usize::try_from(number) {
        Ok(number) if (1..=1 << 16).contains(&number) => Ok(number),
        _ => broken(format!("its groups are {number}")),
    }
}
