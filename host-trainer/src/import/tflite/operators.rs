//! Operators: each family of them has a file, and each operator a function that checks it and adds its nodes.

mod activation;
mod arithmetic;
mod arrangement;
mod convolution;
mod pooling;
mod quantization;

use super::MOST_OPERANDS;
use super::Reader;
use super::names;
use super::schema;
use crate::graph::{Function, Operator as Op, Shape, ValueId};
use crate::import::fault::{Fault, Step, broken, nearest, require, unsupported};
use bareconv::Activation;
use planus::Vector;

/// An operator's inputs and outputs, and where its options are.
pub(super) struct Call<'a> {
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<usize>,
    pub(super) options: u8,
    pub(super) table: schema::Operator<'a>,
}

impl Call<'_> {
    pub(super) fn input(&self, index: usize) -> Step<usize> {
        self.inputs.get(index).copied().flatten().map_or_else(|| broken("an input is missing"), Ok)
    }

    pub(super) fn optional(&self, index: usize) -> Option<usize> {
        self.inputs.get(index).copied().flatten()
    }

    pub(super) fn output(&self) -> Step<usize> {
        match self.outputs[..] {
            [output] => Ok(output),
            _ => broken("it has not one output"),
        }
    }

    pub(super) fn inputs(&self, count: std::ops::RangeInclusive<usize>) -> Step<()> {
        if count.contains(&self.inputs.len()) { Ok(()) } else { broken(format!("it has {} inputs", self.inputs.len())) }
    }
}

/// Finds the options of an operator, of the right type.
macro_rules! options {
    ($call:expr, $number:literal, $field:ident) => {
        match ($call.options, $call.table.$field()?) {
            ($number, Some(options)) => options,
            _ => return broken("it has not the options of its kind"),
        }
    };
}
use options;

impl<'a> Reader<'a> {
    pub(super) fn operator(&mut self, index: usize, table: schema::Operator<'a>, codes: &[String]) -> Step<()> {
        let Some(name) = codes.get(table.opcode_index()? as usize) else {
            return broken("its code is not one of the file's");
        };
        self.place = format!("operator {index} ({name})");
        let read = |indices: Option<Vector<'a, i32>>| {
            let indices = indices.unwrap_or(Vector::new_empty());
            require(indices.len() <= MOST_OPERANDS, "it has more than 1,024 inputs or outputs")?;
            Ok::<_, Fault>(indices)
        };
        let mut inputs = Vec::new();
        for input in read(table.inputs()?)?.iter() {
            // -1 stands for an input that is left out.
            inputs.push(if input == -1 { None } else { Some(self.index(input)?) });
        }
        let mut outputs = Vec::new();
        for output in read(table.outputs()?)?.iter() {
            outputs.push(self.index(output)?);
        }
        let call = Call { inputs, outputs, options: table.builtin_options_type()?, table };
        let result = self.dispatch(name, &call);
        if matches!(result, Err(Fault::Unsupported(..))) {
            // What follows shall not fail for the same reason.
            for &output in &call.outputs {
                if self.known[output].is_none() {
                    self.missing[output] = self.produce(output).is_err();
                }
            }
        }
        result
    }

    pub(super) fn dispatch(&mut self, name: &str, call: &Call<'a>) -> Step<()> {
        match name {
            "CONV_2D" => self.conv_2d(call),
            "DEPTHWISE_CONV_2D" => self.depthwise_conv_2d(call),
            "FULLY_CONNECTED" => self.fully_connected(call),
            "TRANSPOSE_CONV" => self.transpose_conv(call),
            "MAX_POOL_2D" => self.pool_2d(call, true),
            "AVERAGE_POOL_2D" => self.pool_2d(call, false),
            "MEAN" => self.mean(call),
            "SOFTMAX" => {
                let beta = options!(call, 9, softmax).beta()?;
                self.function(call, Function::Softmax { beta })
            }
            "LOGISTIC" => self.function(call, Function::Sigmoid),
            "TANH" => self.function(call, Function::Tanh),
            "RELU" => self.function(call, Function::Relu),
            "RELU6" => self.function(call, Function::Relu6),
            "HARD_SWISH" => self.function(call, Function::HardSwish),
            "LEAKY_RELU" => {
                let slope = options!(call, 75, leaky_relu).alpha()?;
                self.function(call, Function::LeakyRelu { slope })
            }
            "PRELU" => self.prelu(call),
            "ADD" => self.arithmetic(call, 11, Op::Add),
            "SUB" => self.arithmetic(call, 28, Op::Subtract),
            "MUL" => self.arithmetic(call, 21, Op::Multiply),
            "CONCATENATION" => self.concatenation(call),
            "PAD" | "PADV2" => self.pad(call),
            "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS" => self.reshape(call),
            "QUANTIZE" => self.quantize(call),
            "DEQUANTIZE" => self.dequantize(call),
            "STRIDED_SLICE" => self.strided_slice(call),
            "SLICE" => self.slice(call),
            "SPLIT" => self.split(call),
            "SPLIT_V" => self.split_v(call),
            "RESIZE_NEAREST_NEIGHBOR" => self.resize(call),
            _ => Err(Fault::Unsupported("this operator is not supported".to_owned(), names::nearest(name))),
        }
    }

    /// The input and the output of an operator that has one of each.
    pub(super) fn one_to_one(&mut self, call: &Call<'a>) -> Step<(ValueId, ValueId)> {
        let input = self.value(call.input(0)?)?;
        let output = self.produce(call.output()?)?;
        Ok((input, output))
    }

    /// The same of an operator on pictures: tensors of four dimensions.
    pub(super) fn picture(&mut self, tensor: usize) -> Step<()> {
        let this = &self.tensors[tensor];
        let four = this.dimensions.len() == 4;
        if four {
            Ok(())
        } else {
            unsupported(format!(
                "tensor `{}` has the shape {:?}, not four dimensions",
                this.short_name(),
                this.dimensions
            ))
        }
    }

    /// Adds a node whose output must have this shape.
    pub(super) fn node_exact(&mut self, operator: Op, input: ValueId, shape: Shape, output: ValueId) -> Step<()> {
        if self.shape(output) != shape {
            return unsupported(format!("its output is {:?}, not {shape:?}", self.shape(output)));
        }
        self.node(operator, vec![input], output);
        Ok(())
    }

    pub(super) fn same_element(&self, input: ValueId, output: ValueId) -> Step<()> {
        require(
            self.element(input) == self.element(output),
            "its output's type, scale or zero point is not its input's",
        )
    }
}

const SAME: i8 = 0;
const VALID: i8 = 1;

fn positive(number: i32) -> Step<usize> {
    match usize::try_from(number) {
        Ok(number) if number > 0 && number <= 1 << 16 => Ok(number),
        _ => unsupported(format!("a stride, dilation, window or depth multiplier is {number}")),
    }
}

fn fused(activation: i8) -> Step<Activation> {
    match activation {
        0 => Ok(Activation::Identity),
        1 => Ok(Activation::Relu),
        3 => Ok(Activation::Relu6),
        2 => nearest("RELU_N1_TO_1 is fused into it", "RELU6"),
        4 => nearest("TANH is fused into it", "TANH as an operator of its own"),
        other => unsupported(format!("activation {other} is fused into it")),
    }
}

/// Rows and columns of padding at the top, left, bottom and right, as TensorFlow has them: an odd one is at the end.
fn padding(kind: i8, input: Shape, window: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Step<[usize; 4]> {
    let mut padding = [0; 4];
    for axis in 0..2 {
        if window[axis] == 0 || window[axis] > 1 << 16 {
            return unsupported("a filter or window has a dimension of 0, or above 65,536");
        }
        let extent = (window[axis] as u64 - 1) * dilation[axis] as u64 + 1;
        let total = match kind {
            SAME => {
                let outputs = input[axis].div_ceil(stride[axis]) as u64;
                ((outputs - 1) * stride[axis] as u64 + extent).saturating_sub(input[axis] as u64)
            }
            VALID => 0,
            other => return broken(format!("padding {other}")),
        };
        let total = usize::try_from(total).or_else(|_| unsupported("its padding is too large"))?;
        (padding[axis], padding[axis + 2]) = (total / 2, total - total / 2);
    }
    Ok(padding)
}
