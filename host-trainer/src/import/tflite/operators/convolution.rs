//! Convolutions of all kinds and dense layers.

use super::super::Reader;
use super::super::schema::kind;
use super::super::tensor::{float32, int8, int32};
use super::{Call, SAME, VALID, fused, options, padding, positive};
use crate::graph::{Element, MOST_PHASES, Operator as Op, Scales, ValueId, Weights};
use crate::import::fault::{Fault, Step, broken, nearest, require, unsupported};
use bareconv::{Conv2dShape, DepthwiseConv2dShape, TransposedConv2dShape};

impl<'a> Reader<'a> {
    pub(super) fn conv_2d(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 1, conv_2d);
        call.inputs(2..=3)?;
        self.picture(call.input(0)?)?;
        let (input, output) = self.one_to_one(call)?;
        let filter = self.dimensions::<4>(call.input(1)?)?;
        let [filters, height, width, channels] = filter;
        let from = self.shape(input);
        if channels == 0 || !from[2].is_multiple_of(channels) {
            return unsupported("the filters' channels do not divide the input's");
        }
        let stride = [positive(options.stride_h()?)?, positive(options.stride_w()?)?];
        let dilation = [positive(options.dilation_h()?)?, positive(options.dilation_w()?)?];
        let padding = padding(options.padding()?, from, [height, width], stride, dilation)?;
        let shape = Conv2dShape {
            stride,
            dilation,
            padding,
            groups: from[2] / channels,
            ..Conv2dShape::new(from, filters, [height, width])
        };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let weights = self.weights(call, [1, 2], input, filters, 0, Kind::Convolution)?;
        let activation = fused(options.fused_activation()?)?;
        let operator = Op::Conv2d { shape, weights, activation };
        self.node_exact(operator, input, shape.output(), output)
    }

    pub(super) fn depthwise_conv_2d(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 2, depthwise_conv_2d);
        call.inputs(2..=3)?;
        self.picture(call.input(0)?)?;
        let (input, output) = self.one_to_one(call)?;
        let [one, height, width, channels] = self.dimensions::<4>(call.input(1)?)?;
        let from = self.shape(input);
        let multiplier = channels / from[2];
        if one != 1 || multiplier * from[2] != channels || positive(options.depth_multiplier()?)? != multiplier {
            return unsupported("its filters are not as many as the input's channels times the depth multiplier");
        }
        let stride = [positive(options.stride_h()?)?, positive(options.stride_w()?)?];
        let dilation = [positive(options.dilation_h()?)?, positive(options.dilation_w()?)?];
        let padding = padding(options.padding()?, from, [height, width], stride, dilation)?;
        let shape = DepthwiseConv2dShape {
            stride,
            dilation,
            padding,
            ..DepthwiseConv2dShape::new(from, multiplier, [height, width])
        };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let weights = self.weights(call, [1, 2], input, channels, 3, Kind::Depthwise)?;
        let activation = fused(options.fused_activation()?)?;
        let operator = Op::Depthwise { shape, weights, activation };
        self.node_exact(operator, input, shape.output(), output)
    }

    pub(super) fn fully_connected(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 8, fully_connected);
        call.inputs(2..=3)?;
        require(options.weights_format()? == 0, "its weights are shuffled")?;
        let (input, output) = self.one_to_one(call)?;
        let [outputs, inputs] = self.dimensions::<2>(call.input(1)?)?;
        let from = self.shape(input);
        let len: usize = from.iter().product();
        if inputs == 0 || !len.is_multiple_of(inputs) {
            return unsupported("its rows of weights are not as long as rows of the input");
        }
        let rows = len / inputs;
        let (input, shape) = if rows == 1 {
            (input, Conv2dShape::dense(inputs, outputs))
        } else {
            let from = if from[2] == inputs { from } else { [1, rows, inputs] };
            (self.reshaped(input, from), Conv2dShape::new(from, outputs, [1, 1]))
        };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let weights = self.weights(call, [1, 2], input, outputs, 0, Kind::Dense)?;
        let activation = fused(options.fused_activation()?)?;
        let operator = Op::Dense { shape, weights, activation };
        self.node_shaped(operator, input, shape.output(), output)
    }

    pub(super) fn transpose_conv(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 49, transpose_conv);
        call.inputs(3..=4)?;
        self.picture(call.input(2)?)?;
        let input = self.value(call.input(2)?)?;
        let output = self.produce(call.output()?)?;
        let size = self.tensors[call.input(0)?].integers()?;
        let [filters, height, width, channels] = self.dimensions::<4>(call.input(1)?)?;
        let (from, to) = (self.shape(input), self.shape(output));
        let wanted = [1, to[0] as i64, to[1] as i64, to[2] as i64];
        require(size == wanted, "its output has not the shape that its first input says")?;
        require(channels == from[2], "the filters' channels are not the input's")?;
        let stride = [positive(options.stride_h()?)?, positive(options.stride_w()?)?];
        if stride[0] * stride[1] > MOST_PHASES {
            return nearest("its strides multiply to more than 4,096", "several of smaller strides");
        }
        let filter = [height, width];
        let (mut padding, mut output_padding) = ([0; 4], [0; 2]);
        for axis in 0..2 {
            let reach = (from[axis] - 1) * stride[axis] + filter[axis];
            let total = reach.saturating_sub(to[axis]);
            let expected = match options.padding()? {
                SAME => to[axis].div_ceil(stride[axis]),
                VALID if to[axis] >= filter[axis] => (to[axis] - filter[axis]) / stride[axis] + 1,
                _ => 0,
            };
            require(expected == from[axis], "its output is not as large as input, filter and stride make it")?;
            (padding[axis], padding[axis + 2]) = (total / 2, total - total / 2);
            output_padding[axis] = to[axis] + total - reach;
        }
        let shape = TransposedConv2dShape {
            stride,
            padding,
            output_padding,
            ..TransposedConv2dShape::new(from, filters, filter)
        };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let weights = self.weights(call, [1, 3], input, filters, 0, Kind::Transposed)?;
        let activation = fused(options.fused_activation()?)?;
        let operator = Op::Transposed { shape, weights, activation };
        self.node_exact(operator, input, shape.output(), output)
    }

    /// The dimensions of weights.
    fn dimensions<const N: usize>(&self, tensor: usize) -> Step<[usize; N]> {
        let this = &self.tensors[tensor];
        this.whole()?;
        <[usize; N]>::try_from(&this.dimensions[..])
            .or_else(|_| unsupported(format!("its weights have the shape {:?}", this.dimensions)))
    }

    /// The numbers of a convolution or dense layer: weights and bias are the operator's inputs of these numbers.
    fn weights(
        &mut self,
        call: &Call<'a>,
        [weights, bias]: [usize; 2],
        input: ValueId,
        outputs: usize,
        axis: i32,
        of: Kind,
    ) -> Step<Weights> {
        let tensor = call.input(weights)?;
        let len = self.tensors[tensor].len()?;
        let size = if self.element(input) == Element::F32 { 4 } else { 1 };
        self.spend(len.saturating_mul(size).saturating_add(8 * outputs))?;
        let this = &self.tensors[tensor];
        let bias = call.optional(bias).map(|bias| &self.tensors[bias]);
        if bias.is_some_and(|bias| bias.dimensions != [outputs] && bias.len().ok() != Some(outputs)) {
            return unsupported("it has not a bias for each output channel");
        }
        if self.element(input) == Element::F32 {
            let weights = float32(this.constant(kind::FLOAT32, 4)?);
            let bias =
                bias.map_or(Ok(vec![0.0; outputs]), |bias| Ok::<_, Fault>(float32(bias.constant(kind::FLOAT32, 4)?)))?;
            return Ok(Weights::F32 { weights, bias });
        }
        let weights = int8(this.constant(kind::INT8, 1)?);
        if weights.contains(&-128) {
            return nearest(
                "a weight is -128, which the quantization specification rules out",
                "weights of -127 to 127",
            );
        }
        if this.zero_points.len() != this.scales.len() || this.zero_points.iter().any(|zero_point| zero_point != 0) {
            return nearest("its weights have zero points other than 0", "symmetric weights");
        }
        let usable = |scale: f32| scale > 0.0 && scale.is_finite();
        require(this.scales.iter().all(usable), "a scale of its weights is not positive and finite")?;
        let scales = match (this.scales.len(), of) {
            (1, Kind::Dense) => Scales::PerTensor(this.scales.get(0).unwrap_or(0.0)),
            (1, _) => Scales::PerChannel(vec![this.scales.get(0).unwrap_or(0.0); outputs]),
            (count, _) if count == outputs => {
                require(this.quantized_dimension == axis, "its weights' scales are not those of output channels")?;
                Scales::PerChannel(this.scales.iter().collect())
            }
            (count, _) => return unsupported(format!("it has {count} scales for {outputs} output channels")),
        };
        let int16 = matches!(self.element(input), Element::Int16(_));
        let (bias, wide_bias) = match bias {
            None => (vec![0; outputs], int16 && matches!(of, Kind::Depthwise | Kind::Transposed)),
            Some(bias) if int16 && bias.kind == kind::INT64 => {
                let wide = bias.constant(kind::INT64, 8)?.as_chunks().0.iter().map(|&n| i64::from_le_bytes(n));
                let narrow: Result<Vec<i32>, _> = wide.map(i32::try_from).collect();
                match narrow {
                    Ok(bias) => (bias, true),
                    Err(_) => return unsupported("a bias does not fit 32 bits"),
                }
            }
            Some(bias) => (int32(bias.constant(kind::INT32, 4)?).collect(), false),
        };
        Ok(Weights::Int8 { weights, scales, bias, wide_bias })
    }
}

/// What weights are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Convolution,
    Depthwise,
    Dense,
    Transposed,
}
