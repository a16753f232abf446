//! Reads TensorFlow Lite files.

mod operators;
mod schema;

use super::ImportError;
use super::fault::{Fault, Problems, Step, broken, nearest, require, unsupported};
use crate::graph::{
    Element, Function, Graph, Node, Numbers, Operator as Op, Rounding, Scales, Shape, Value, ValueId, Weights,
};
use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, Pool2dShape, Quantization, TransposedConv2dShape};
use planus::Vector;
use schema::kind;
use std::collections::HashSet;

/// Tensors, operators: the most of a file.
const MOST: usize = 1 << 16;
/// Inputs or outputs of an operator.
const MOST_OPERANDS: usize = 1 << 10;
/// Dimensions of a tensor.
const MOST_DIMENSIONS: usize = 8;
/// Bytes of a name.
const LONGEST_NAME: usize = 200;
/// How many times a file's size its numbers may take in memory; several operators can share their weights.
const MOST_COPIES: usize = 8;

const FORMAT: &str = "TensorFlow Lite";

impl From<planus::Error> for Fault {
    fn from(error: planus::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<Fault> for ImportError {
    fn from(fault: Fault) -> Self {
        fault.of_file(FORMAT)
    }
}

fn malformed(reason: impl Into<String>) -> ImportError {
    ImportError::Malformed { format: FORMAT, reason: reason.into() }
}

/// A tensor of the file.
struct Tensor<'a> {
    name: &'a str,
    dimensions: Vec<usize>,
    kind: i8,
    /// What it holds, if that is constant.
    data: Option<&'a [u8]>,
    /// Whether it is what an input may not be: dynamic, sparse, a variable.
    oddity: Option<&'static str>,
    scales: Vector<'a, f32>,
    zero_points: Vector<'a, i64>,
    quantized_dimension: i32,
    /// Whether a dimension behind the first is open.
    dynamic: bool,
}

impl<'a> Tensor<'a> {
    fn read(table: schema::Tensor<'a>, buffers: &schema::Tables<'a, schema::Buffer<'a>>) -> Step<Self> {
        let shape = table.shape()?.unwrap_or(Vector::new_empty());
        let mut oddity = None;
        if shape.len() > MOST_DIMENSIONS {
            oddity = Some("it has more than 8 dimensions");
        }
        let mut dimensions = Vec::new();
        for size in shape.iter().take(MOST_DIMENSIONS) {
            if size < 1 {
                oddity = Some("a dimension is not positive: its shape is dynamic, or it is empty");
            }
            dimensions.push(usize::try_from(size).unwrap_or(0));
        }
        if table.is_variable()? {
            oddity = Some("it is a variable");
        }
        if table.sparsity()?.is_some() {
            oddity = Some("it is sparse");
        }
        let (mut scales, mut zero_points, mut quantized_dimension) = (Vector::new_empty(), Vector::new_empty(), 0);
        if let Some(quantization) = table.quantization()? {
            if quantization.details_type()? != 0 {
                oddity = Some("its quantization is a custom one");
            }
            scales = quantization.scale()?.unwrap_or(Vector::new_empty());
            zero_points = quantization.zero_point()?.unwrap_or(Vector::new_empty());
            quantized_dimension = quantization.quantized_dimension()?;
        }
        let Some(buffer) = buffers.get(table.buffer()? as usize)? else {
            return broken("a tensor's buffer is not one of the file's");
        };
        if buffer.offset()? > 1 || buffer.size()? > 1 || table.external_buffer()? != 0 {
            oddity = Some("its data is outside of the file's tables");
        }
        let data = buffer.data()?.filter(|data| !data.is_empty());
        let kind = table.kind()?;
        let name = table.name()?.unwrap_or("");
        // The batch is 1 whatever the signature says.
        let dynamic = table.shape_signature()?.is_some_and(|signature| signature.iter().skip(1).any(|size| size < 0));
        Ok(Self { name, dimensions, kind, data, oddity, scales, zero_points, quantized_dimension, dynamic })
    }

    fn kind_name(&self) -> String {
        let known = usize::try_from(self.kind).ok().and_then(|kind| kind::NAMES.get(kind));
        known.map_or_else(|| format!("type {}", self.kind), ToString::to_string)
    }

    fn short_name(&self) -> &'a str {
        let mut end = self.name.len().min(LONGEST_NAME);
        while !self.name.is_char_boundary(end) {
            end -= 1;
        }
        &self.name[..end]
    }

    /// The number of its values, if it can be.
    fn len(&self) -> Step<usize> {
        let len = self.dimensions.iter().try_fold(1usize, |len, &size| len.checked_mul(size));
        match len {
            Some(len) if len <= 1 << 30 => Ok(len),
            _ => unsupported(format!("tensor `{}` has more than 2^30 values", self.short_name())),
        }
    }

    /// Height, width and channels.
    fn shape(&self) -> Step<Shape> {
        shape_of(&self.dimensions)
            .map_or_else(|| unsupported(format!("tensor `{}` has the shape {:?}, of more than three dimensions without the batch, or a batch other than 1", self.short_name(), self.dimensions)), Ok)
    }

    fn whole(&self) -> Step<()> {
        self.oddity.map_or(Ok(()), |oddity| unsupported(format!("tensor `{}`: {oddity}", self.short_name())))
    }

    /// What it holds, of this type, all of it.
    fn constant(&self, kind: i8, size: usize) -> Step<&'a [u8]> {
        self.whole()?;
        let name = self.short_name();
        if self.kind != kind {
            return unsupported(format!("tensor `{name}` is {}, not {}", self.kind_name(), kind::NAMES[kind as usize]));
        }
        let Some(data) = self.data else {
            return unsupported(format!("tensor `{name}` is not constant"));
        };
        if self.len()?.checked_mul(size) != Some(data.len()) {
            return broken(format!("tensor `{name}` has {} bytes for the shape {:?}", data.len(), self.dimensions));
        }
        Ok(data)
    }

    /// A few constant numbers: a shape, axes, paddings.
    fn integers(&self) -> Step<Vec<i64>> {
        if self.len()? > 4 * MOST_DIMENSIONS {
            return unsupported(format!("tensor `{}` holds more numbers than it can mean", self.short_name()));
        }
        Ok(match self.kind {
            kind::INT64 => {
                self.constant(kind::INT64, 8)?.as_chunks().0.iter().map(|&n| i64::from_le_bytes(n)).collect()
            }
            _ => int32(self.constant(kind::INT32, 4)?).map(i64::from).collect(),
        })
    }

    /// Its scale and zero point, one for all values.
    fn quantization(&self) -> Step<(f32, i64)> {
        let name = self.short_name();
        match (self.scales.len(), self.scales.get(0), self.zero_points.len(), self.zero_points.get(0)) {
            (1, Some(scale), 1, Some(zero_point)) if scale > 0.0 && scale.is_finite() => Ok((scale, zero_point)),
            (1, Some(scale), 1, _) => unsupported(format!("tensor `{name}`: its scale is {scale}")),
            (0, ..) => nearest(
                format!("tensor `{name}` is {} without scale and zero point", self.kind_name()),
                "a network quantized as a whole, to int8 or to int16 with int8 weights",
            ),
            _ => unsupported(format!("tensor `{name}` has more than one scale, or no zero point for it")),
        }
    }

    /// The type of its values, as of those that a network computes.
    fn element(&self) -> Step<Element> {
        self.whole()?;
        match self.kind {
            kind::FLOAT32 => Ok(Element::F32),
            kind::INT8 => {
                let (scale, zero_point) = self.quantization()?;
                match i8::try_from(zero_point) {
                    Ok(zero_point) => Ok(Element::Int8(Quantization::new(scale, zero_point))),
                    Err(_) => unsupported(format!("tensor `{}` has the zero point {zero_point}", self.short_name())),
                }
            }
            kind::INT16 => match self.quantization()? {
                (scale, 0) => Ok(Element::Int16(scale)),
                _ => nearest(format!("int16 tensor `{}` has a zero point", self.short_name()), "a zero point of 0"),
            },
            _ => nearest(
                format!("tensor `{}` is {}", self.short_name(), self.kind_name()),
                "int8, int16 with int8 weights, or float32",
            ),
        }
    }

    /// Numbers of this type.
    fn numbers(&self, element: Element) -> Step<Numbers> {
        Ok(match element {
            Element::Int8(_) => Numbers::Int8(int8(self.constant(kind::INT8, 1)?)),
            Element::Int16(_) => {
                let bytes = self.constant(kind::INT16, 2)?.as_chunks().0;
                Numbers::Int16(bytes.iter().map(|&n| i16::from_le_bytes(n)).collect())
            }
            Element::F32 => Numbers::F32(float32(self.constant(kind::FLOAT32, 4)?)),
        })
    }
}

fn int8(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| byte.cast_signed()).collect()
}

fn int32(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.as_chunks().0.iter().map(|&n| i32::from_le_bytes(n))
}

fn float32(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&n| f32::from_le_bytes(n)).collect()
}

/// The last three dimensions; those before are 1.
fn shape_of(dimensions: &[usize]) -> Option<Shape> {
    let front = dimensions.len().saturating_sub(3);
    let (batch, kept) = dimensions.split_at(front);
    if batch.iter().any(|&size| size != 1) {
        return None;
    }
    let mut shape = [1; 3];
    shape[3 - kept.len()..].copy_from_slice(kept);
    Some(shape)
}

/// The dimension of `shape_of` that dimension `axis` of a tensor becomes; none for the batch.
fn axis_of(axis: i64, rank: usize) -> Step<Option<usize>> {
    let rank_i64 = rank as i64;
    let axis = if axis < 0 { axis + rank_i64 } else { axis };
    if !(0..rank_i64).contains(&axis) {
        return unsupported("an axis is not one of the tensor's");
    }
    Ok((axis as usize + 3).checked_sub(rank))
}

/// A network while it is read.
struct Reader<'a> {
    tensors: Vec<Tensor<'a>>,
    /// The value of each tensor, once it is known.
    known: Vec<Option<ValueId>>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    names: HashSet<String>,
    /// Bytes that numbers may still take.
    budget: usize,
    /// The operator that is being read.
    place: String,
}

/// An operator's inputs and outputs, and where its options are.
struct Call<'a> {
    inputs: Vec<Option<usize>>,
    outputs: Vec<usize>,
    options: u8,
    table: schema::Operator<'a>,
}

impl Call<'_> {
    fn input(&self, index: usize) -> Step<usize> {
        self.inputs.get(index).copied().flatten().map_or_else(|| broken("an input is missing"), Ok)
    }

    fn optional(&self, index: usize) -> Option<usize> {
        self.inputs.get(index).copied().flatten()
    }

    fn output(&self) -> Step<usize> {
        match self.outputs[..] {
            [output] => Ok(output),
            _ => broken("it has not one output"),
        }
    }

    fn inputs(&self, count: std::ops::RangeInclusive<usize>) -> Step<()> {
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

pub(super) fn read(bytes: &[u8], name: &str) -> Result<Graph, ImportError> {
    if bytes.get(4..8) != Some(b"TFL3") {
        return Err(malformed("it does not begin as one"));
    }
    let model = schema::model(bytes).map_err(Fault::from)?;
    Reader::read(model, bytes.len(), name)
}

impl<'a> Reader<'a> {
    fn read(model: schema::Model<'a>, size: usize, name: &str) -> Result<Graph, ImportError> {
        let (mut reader, subgraph, codes) = Self::open(model, size)?;
        let (mut problems, mut inputs, mut outputs) = (Problems::new(FORMAT), Vec::new(), Vec::new());
        'all: {
            for index in
                subgraph.inputs().map_err(Fault::from)?.unwrap_or(Vector::new_empty()).iter().take(MOST_OPERANDS)
            {
                match reader.network_input(index) {
                    Ok(input) => inputs.push(input),
                    Err(fault) => {
                        if problems.note(format!("network input {}", inputs.len()), fault)? {
                            break 'all;
                        }
                    }
                }
            }
            let operators = subgraph.operators().map_err(Fault::from)?;
            for index in 0..operators.map_or(0, |operators| operators.len()) {
                let Some(operator) = operators.map_or(Ok(None), |all| all.get(index)).map_err(Fault::from)? else {
                    break;
                };
                reader.place = format!("operator {index}");
                let result = reader.operator(index, operator, &codes);
                if let Err(fault) = result
                    && problems.note(reader.place.clone(), fault)?
                {
                    break 'all;
                }
            }
            for index in
                subgraph.outputs().map_err(Fault::from)?.unwrap_or(Vector::new_empty()).iter().take(MOST_OPERANDS)
            {
                match reader.network_output(index) {
                    Ok(output) => outputs.push(output),
                    Err(fault) => {
                        if problems.note(format!("network output {}", outputs.len()), fault)? {
                            break 'all;
                        }
                    }
                }
            }
        }
        problems.finish()?;
        if outputs.is_empty() {
            return Err(malformed("the network has no output"));
        }
        Ok(Graph {
            name: name.to_owned(),
            source: format!("{name} (TensorFlow Lite, {size} bytes)"),
            rounding: Rounding::TensorFlowLiteMicro,
            values: reader.values,
            nodes: reader.nodes,
            inputs,
            outputs,
        })
    }

    /// Looks at everything but the operators.
    fn open(model: schema::Model<'a>, size: usize) -> Step<(Self, schema::Subgraph<'a>, Vec<String>)> {
        let version = model.version()?;
        if version != 3 {
            return unsupported(format!("version {version} of the format; this is version 3"));
        }
        if model.external_buffers()?.is_some_and(|all| all.len() > 0)
            || model.external_buffer_groups()?.is_some_and(|all| all.len() > 0)
        {
            return unsupported("it has buffers in other files");
        }
        let mut codes = Vec::new();
        if let Some(tables) = model.operator_codes()? {
            require(tables.len() <= MOST, "it has more than 65,536 operator codes")?;
            for index in 0..tables.len() {
                let Some(code) = tables.get(index)? else { break };
                // Old files have the former field alone, in new ones it is cut to 127.
                let number = code.builtin_code()?.max(code.deprecated_builtin_code()?.into());
                codes.push(match number {
                    CUSTOM => {
                        let custom = code.custom_code()?.unwrap_or("");
                        format!("CUSTOM {}", custom.chars().take(40).collect::<String>())
                    }
                    _ => operators::name(number),
                });
            }
        }
        let Some(subgraphs) = model.subgraphs()? else { return broken("it has no network") };
        require(subgraphs.len() <= 1, "it has several subgraphs: control flow is not supported")?;
        let Some(subgraph) = subgraphs.get(0)? else { return broken("it has no network") };
        let (Some(tables), Some(buffers)) = (subgraph.tensors()?, model.buffers()?) else {
            return broken("it has no tensors, or no buffers");
        };
        require(tables.len() <= MOST, "it has more than 65,536 tensors")?;
        let mut tensors = Vec::new();
        for index in 0..tables.len() {
            let Some(tensor) = tables.get(index)? else { break };
            tensors.push(Tensor::read(tensor, &buffers)?);
        }
        if subgraph.operators()?.is_some_and(|operators| operators.len() > MOST) {
            return unsupported("it has more than 65,536 operators");
        }
        let reader = Self {
            known: vec![None; tensors.len()],
            tensors,
            values: Vec::new(),
            nodes: Vec::new(),
            names: HashSet::new(),
            budget: size.saturating_mul(MOST_COPIES),
            place: String::new(),
        };
        Ok((reader, subgraph, codes))
    }

    fn network_input(&mut self, index: i32) -> Step<ValueId> {
        let tensor = self.index(index)?;
        let dimensions = &self.tensors[tensor].dimensions;
        if dimensions.len() >= 2 && dimensions[0] != 1 {
            return unsupported(format!("its shape is {dimensions:?}: the batch, its first dimension, must be 1"));
        }
        require(!self.tensors[tensor].dynamic, "its shape is dynamic")?;
        self.produce(tensor)
    }

    fn network_output(&mut self, index: i32) -> Step<ValueId> {
        let tensor = self.index(index)?;
        if self.tensors[tensor].data.is_some() {
            return unsupported("it is constant");
        }
        self.value(tensor)
    }

    /// The place of a tensor, checked.
    fn index(&self, index: i32) -> Step<usize> {
        match usize::try_from(index) {
            Ok(index) if index < self.tensors.len() => Ok(index),
            _ => broken(format!("tensor {index} is not one of the file's")),
        }
    }

    /// Takes memory for numbers out of the budget.
    fn spend(&mut self, bytes: usize) -> Step<()> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                unsupported("operators share so many of the file's numbers that copies would be many times the file")
            }
        }
    }

    fn unique(&mut self, name: &str) -> String {
        let name = if name.is_empty() { "tensor" } else { name };
        let mut unique = name.to_owned();
        let mut number = self.names.len();
        while !self.names.insert(unique.clone()) {
            unique = format!("{name} {number}");
            number += 1;
        }
        unique
    }

    /// A new value.
    fn add_value(&mut self, name: &str, dimensions: Vec<usize>, shape: Shape, element: Element) -> ValueId {
        let name = self.unique(name);
        self.values.push(Value { name, shape, dimensions, element, constant: None });
        ValueId(self.values.len() - 1)
    }

    /// The value of a tensor that is a network's input or an operator's output, of which there is only one.
    fn produce(&mut self, tensor: usize) -> Step<ValueId> {
        if self.known[tensor].is_some() {
            return broken(format!("tensor `{}` is computed twice", self.tensors[tensor].short_name()));
        }
        let this = &self.tensors[tensor];
        if this.data.is_some() {
            return broken(format!("tensor `{}` is computed, and constant", this.short_name()));
        }
        let (element, shape, _) = (this.element()?, this.shape()?, this.len()?);
        if shape.iter().any(|&size| size > 1 << 16) {
            return unsupported(format!("tensor `{}` has a dimension above 65,536", this.short_name()));
        }
        let (name, dimensions) = (this.short_name(), this.dimensions.clone());
        let value = self.add_value(name, dimensions, shape, element);
        self.known[tensor] = Some(value);
        Ok(value)
    }

    /// The value of a tensor that has been computed.
    fn value(&self, tensor: usize) -> Step<ValueId> {
        let this = &self.tensors[tensor];
        if this.data.is_some() {
            return nearest(
                format!("its input `{}` is constant", this.short_name()),
                "the result, computed beforehand",
            );
        }
        match self.known[tensor] {
            Some(value) => Ok(value),
            None => broken(format!("tensor `{}` is used before it is computed", this.short_name())),
        }
    }

    /// The value of a tensor that has been computed or is constant.
    fn operand(&mut self, tensor: usize) -> Step<ValueId> {
        let this = &self.tensors[tensor];
        if this.data.is_none() || self.known[tensor].is_some() {
            return match self.known[tensor] {
                Some(value) => Ok(value),
                None => self.value(tensor),
            };
        }
        let (element, shape) = (this.element()?, this.shape()?);
        self.spend(self.tensors[tensor].data.map_or(0, <[u8]>::len))?;
        let this = &self.tensors[tensor];
        let numbers = this.numbers(element)?;
        let (name, dimensions) = (this.short_name(), this.dimensions.clone());
        let value = self.add_value(name, dimensions, shape, element);
        self.values[value.0].constant = Some(numbers);
        self.known[tensor] = Some(value);
        Ok(value)
    }

    fn shape(&self, value: ValueId) -> Shape {
        self.values[value.0].shape
    }

    fn element(&self, value: ValueId) -> Element {
        self.values[value.0].element
    }

    fn node(&mut self, operator: Op, inputs: Vec<ValueId>, output: ValueId) {
        let name = self.values[output.0].name.clone();
        self.nodes.push(Node { name, place: self.place.clone(), operator, inputs, output });
    }

    /// Adds a node whose output has a shape of its own, and reshapes that to the output's if it differs.
    fn node_shaped(&mut self, operator: Op, input: ValueId, shape: Shape, output: ValueId) -> Step<()> {
        let want = self.shape(output);
        if shape == want {
            self.node(operator, vec![input], output);
            return Ok(());
        }
        if shape.iter().product::<usize>() != want.iter().product::<usize>() {
            return unsupported(format!("its output is {want:?}, not {shape:?}"));
        }
        let name = format!("{} before reshaping", self.values[output.0].name);
        let middle = self.add_value(&name, shape.to_vec(), shape, self.element(output));
        self.node(operator, vec![input], middle);
        self.node(Op::Reshape, vec![middle], output);
        Ok(())
    }

    /// The input's values in another shape.
    fn reshaped(&mut self, input: ValueId, shape: Shape) -> ValueId {
        if self.shape(input) == shape {
            return input;
        }
        let name = format!("{} reshaped", self.values[input.0].name);
        let output = self.add_value(&name, shape.to_vec(), shape, self.element(input));
        self.node(Op::Reshape, vec![input], output);
        output
    }

    fn operator(&mut self, index: usize, table: schema::Operator<'a>, codes: &[String]) -> Step<()> {
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
                    let _ = self.produce(output);
                }
            }
        }
        result
    }

    fn dispatch(&mut self, name: &str, call: &Call<'a>) -> Step<()> {
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
            _ => Err(Fault::Unsupported("this operator is not supported".to_owned(), operators::nearest(name))),
        }
    }

    /// The input and the output of an operator that has one of each.
    fn one_to_one(&mut self, call: &Call<'a>) -> Step<(ValueId, ValueId)> {
        let input = self.value(call.input(0)?)?;
        let output = self.produce(call.output()?)?;
        Ok((input, output))
    }

    /// The same of an operator on pictures: tensors of four dimensions.
    fn picture(&mut self, tensor: usize) -> Step<()> {
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

    fn conv_2d(&mut self, call: &Call<'a>) -> Step<()> {
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
        self.check_numbers(&operator, input, output)?;
        self.node_exact(operator, input, shape.output(), output)
    }

    fn depthwise_conv_2d(&mut self, call: &Call<'a>) -> Step<()> {
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
        self.check_numbers(&operator, input, output)?;
        self.node_exact(operator, input, shape.output(), output)
    }

    fn fully_connected(&mut self, call: &Call<'a>) -> Step<()> {
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
        self.check_numbers(&operator, input, output)?;
        self.node_shaped(operator, input, shape.output(), output)
    }

    fn transpose_conv(&mut self, call: &Call<'a>) -> Step<()> {
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
        self.check_numbers(&operator, input, output)?;
        self.node_exact(operator, input, shape.output(), output)
    }

    fn pool_2d(&mut self, call: &Call<'a>, maximum: bool) -> Step<()> {
        let options = options!(call, 5, pool_2d);
        call.inputs(1..=1)?;
        self.picture(call.input(0)?)?;
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let window = [positive(options.filter_height()?)?, positive(options.filter_width()?)?];
        let stride = [positive(options.stride_h()?)?, positive(options.stride_w()?)?];
        let from = self.shape(input);
        let padding = padding(options.padding()?, from, window, stride, [1, 1])?;
        let shape = Pool2dShape { input: from, window, stride, padding };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let activation = fused(options.fused_activation()?)?;
        let operator = match maximum {
            true => Op::MaxPool { shape, activation },
            false => Op::AveragePool { shape, including_padding: false, activation },
        };
        self.node_exact(operator, input, shape.output(), output)
    }

    fn mean(&mut self, call: &Call<'a>) -> Step<()> {
        let _ = options!(call, 27, reducer).keep_dims()?;
        call.inputs(2..=2)?;
        let (input, output) = self.one_to_one(call)?;
        let rank = self.tensors[call.input(0)?].dimensions.len();
        let from = self.shape(input);
        let mut averaged = [false; 3];
        for axis in self.tensors[call.input(1)?].integers()? {
            match axis_of(axis, rank)? {
                Some(axis) => averaged[axis] = true,
                None => return unsupported("it averages over the batch"),
            }
        }
        // An axis of a single value may be averaged or not.
        let over = |axis: usize| averaged[axis] || from[axis] == 1;
        if !over(0) || !over(1) || averaged[2] {
            return nearest("it is not a mean over height and width", "a mean over height and width, of each channel");
        }
        self.node_shaped(Op::Mean, input, [1, 1, from[2]], output)
    }

    fn function(&mut self, call: &Call<'a>, function: Function) -> Step<()> {
        call.inputs(1..=1)?;
        let (input, output) = self.one_to_one(call)?;
        if function == Function::Relu6 {
            self.same_element(input, output)?;
        }
        let shape = self.shape(input);
        self.node_exact(Op::Function(function), input, shape, output)
    }

    fn prelu(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(2..=2)?;
        let (input, output) = self.one_to_one(call)?;
        let slopes = call.input(1)?;
        let (channels, element) = (self.shape(input)[2], self.element(input));
        self.spend(4 * channels)?;
        let this = &self.tensors[slopes];
        let shape = this.shape()?;
        require(shape[0] == 1 && shape[1] == 1, "it has slopes that differ from pixel to pixel")?;
        require(shape[2] == channels || shape[2] == 1, "it has not a slope for each channel")?;
        let (numbers, quantization) = match element {
            Element::F32 => (this.numbers(Element::F32)?, None),
            _ => match this.element()? {
                of @ Element::Int8(quantization) => (this.numbers(of)?, Some(quantization)),
                _ => return unsupported("its slopes are not int8"),
            },
        };
        let slopes = match numbers {
            Numbers::Int8(slopes) if slopes.len() == 1 => Numbers::Int8(vec![slopes[0]; channels]),
            Numbers::F32(slopes) if slopes.len() == 1 => Numbers::F32(vec![slopes[0]; channels]),
            several => several,
        };
        let shape = self.shape(input);
        self.node_exact(Op::Function(Function::PRelu { slopes, quantization }), input, shape, output)
    }

    fn arithmetic(&mut self, call: &Call<'a>, number: u8, operator: fn(Activation) -> Op) -> Step<()> {
        call.inputs(2..=2)?;
        let activation = match (call.options, call.table.sum()?) {
            (0, _) => Activation::Identity,
            (found, Some(options)) if found == number => fused(options.fused_activation()?)?,
            _ => return broken("it has not the options of its kind"),
        };
        let inputs = [call.input(0)?, call.input(1)?];
        if inputs.iter().all(|&input| self.tensors[input].data.is_some()) {
            return nearest("both of its inputs are constant", "the result, computed beforehand");
        }
        let inputs = [self.operand(inputs[0])?, self.operand(inputs[1])?];
        let output = self.produce(call.output()?)?;
        let [a, b] = inputs.map(|input| self.shape(input));
        let mut whole = a;
        for axis in 0..3 {
            let fits = a[axis] == b[axis] || a[axis] == 1 || b[axis] == 1;
            require(fits, "the shapes of its inputs do not fit")?;
            whole[axis] = a[axis].max(b[axis]);
        }
        require(whole == a || whole == b, "both of its inputs would have to be repeated")?;
        if self.shape(output) != whole {
            return unsupported(format!("its output is {:?}, not {whole:?}", self.shape(output)));
        }
        self.node(operator(activation), inputs.to_vec(), output);
        Ok(())
    }

    fn concatenation(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 10, concatenation);
        require(options.fused_activation()? == 0, "it has a fused activation")?;
        let output = self.produce(call.output()?)?;
        let (mut inputs, mut sum) = (Vec::new(), 0usize);
        let mut axis = None;
        for index in 0..call.inputs.len() {
            let tensor = call.input(index)?;
            let input = self.operand(tensor)?;
            let rank = self.tensors[tensor].dimensions.len();
            let here = axis_of(options.axis()?.into(), rank)?;
            let Some(here) = here else { return unsupported("it concatenates along the batch") };
            require(axis.is_none_or(|axis| axis == here), "its inputs differ in their number of dimensions")?;
            axis = Some(here);
            require(
                self.element(input) == self.element(output),
                "its inputs' types, scales or zero points differ from the output's",
            )?;
            let (mut from, to) = (self.shape(input), self.shape(output));
            sum = sum.saturating_add(from[here]);
            from[here] = to[here];
            require(from == to, "its inputs' shapes do not fit the output's")?;
            inputs.push(input);
        }
        let Some(axis) = axis else { return broken("it has no inputs") };
        require(sum == self.shape(output)[axis], "its inputs do not make up the output")?;
        if inputs.iter().all(|&input| self.values[input.0].constant.is_some()) {
            return nearest("all of its inputs are constant", "the result, computed beforehand");
        }
        self.node(Op::Concatenate { axis }, inputs, output);
        Ok(())
    }

    fn pad(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(2..=3)?;
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let element = self.element(input);
        let rank = self.tensors[call.input(0)?].dimensions.len();
        let paddings = &self.tensors[call.input(1)?];
        require(paddings.kind == kind::INT32, "its paddings are not int32")?;
        let paddings = paddings.integers()?;
        if paddings.len() != 2 * rank {
            return broken("it has not two paddings for each dimension");
        }
        let value = match call.optional(2) {
            Some(value) => {
                let this = &self.tensors[value];
                require(this.len()? == 1, "its value is not one number")?;
                require(this.element()? == element, "its value has another type, scale or zero point than its input")?;
                this.numbers(element)?
            }
            None => match element {
                Element::Int8(quantization) => Numbers::Int8(vec![quantization.zero_point]),
                Element::Int16(_) => Numbers::Int16(vec![0]),
                Element::F32 => Numbers::F32(vec![0.0]),
            },
        };
        let (mut before, mut after) = ([0; 3], [0; 3]);
        for (axis, pair) in paddings.chunks(2).enumerate() {
            let [Ok(front), Ok(back)] = [u16::try_from(pair[0]), u16::try_from(pair[1])] else {
                return unsupported("a padding is negative, or above 65,535");
            };
            match axis_of(axis as i64, rank)? {
                Some(axis) => (before[axis], after[axis]) = (usize::from(front), usize::from(back)),
                None => require(front == 0 && back == 0, "it pads the batch")?,
            }
        }
        let mut shape = self.shape(input);
        for axis in 0..3 {
            shape[axis] += before[axis] + after[axis];
        }
        self.node_exact(Op::Pad { before, after, value }, input, shape, output)
    }

    fn reshape(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(1..=2)?;
        if let Some(shape) = call.optional(1)
            && self.tensors[shape].data.is_none()
        {
            return nearest("its shape is not constant", "a constant shape");
        }
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let lens = [input, output].map(|value| self.shape(value).iter().product::<usize>());
        require(lens[0] == lens[1], "its output has another number of values than its input")?;
        self.node(Op::Reshape, vec![input], output);
        Ok(())
    }

    fn quantize(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(1..=1)?;
        let (input, output) = self.one_to_one(call)?;
        let operator = match (self.element(input), self.element(output)) {
            (_, Element::F32) => return unsupported("its output is float32"),
            (Element::F32, _) => Op::Quantize,
            _ => Op::Requantize,
        };
        let shape = self.shape(input);
        self.node_exact(operator, input, shape, output)
    }

    fn dequantize(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(1..=1)?;
        let (input, output) = self.one_to_one(call)?;
        require(self.element(input) != Element::F32, "its input is float32")?;
        require(self.element(output) == Element::F32, "its output is not float32")?;
        let shape = self.shape(input);
        self.node_exact(Op::Dequantize, input, shape, output)
    }

    fn strided_slice(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 32, strided_slice);
        call.inputs(4..=4)?;
        require(options.ellipsis_mask()? == 0, "it has an ellipsis")?;
        require(options.new_axis_mask()? == 0, "it has new axes")?;
        require(!options.offset()?, "its end is an offset")?;
        let input = self.value(call.input(0)?)?;
        let dimensions = self.tensors[call.input(0)?].dimensions.clone();
        let mut numbers = Vec::new();
        for index in 1..=3 {
            let these = self.tensors[call.input(index)?].integers()?;
            require(these.len() == dimensions.len(), "it has not a begin, an end and a stride for each dimension")?;
            numbers.push(these);
        }
        let mask = |mask: i32, axis: usize| mask >> axis & 1 != 0;
        let mut ranges = Vec::new();
        for (axis, &size) in dimensions.iter().enumerate() {
            let [begin, end, stride] = [numbers[0][axis], numbers[1][axis], numbers[2][axis]];
            let size = size as i64;
            require(stride != 0, "it has a stride of 0")?;
            // Indices count from the end where negative, and are cut to what a range may begin and end with.
            let (low, high) = if stride > 0 { (0, size) } else { (-1, size - 1) };
            let cut = |index: i64| if index < 0 { index + size } else { index }.clamp(low, high);
            let begin = match (mask(options.begin_mask()?, axis), stride > 0) {
                (true, true) => 0,
                (true, false) => size - 1,
                _ => cut(begin),
            };
            let end = match (mask(options.end_mask()?, axis), stride > 0) {
                _ if mask(options.shrink_axis_mask()?, axis) => begin + 1,
                (true, true) => size,
                (true, false) => -1,
                _ => cut(end),
            };
            let stride = if mask(options.shrink_axis_mask()?, axis) { 1 } else { stride };
            let count =
                if stride > 0 { (end - begin + stride - 1) / stride } else { (begin - end - stride - 1) / -stride };
            require(count > 0 && (0..size).contains(&begin), "it is empty")?;
            ranges.push((begin, count, stride));
        }
        let output = self.produce(call.output()?)?;
        self.slice_node(input, &ranges, output)
    }

    fn slice(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(3..=3)?;
        let input = self.value(call.input(0)?)?;
        let dimensions = self.tensors[call.input(0)?].dimensions.clone();
        let [begins, sizes] = [self.tensors[call.input(1)?].integers()?, self.tensors[call.input(2)?].integers()?];
        let fits = begins.len() == dimensions.len() && sizes.len() == dimensions.len();
        require(fits, "it has not a begin and a size for each dimension")?;
        let mut ranges = Vec::new();
        for (axis, &size) in dimensions.iter().enumerate() {
            let (begin, mut count, size) = (begins[axis], sizes[axis], size as i64);
            require((0..size).contains(&begin), "it begins outside of its input")?;
            if count == -1 {
                count = size - begin;
            }
            require(count > 0 && count <= size - begin, "it is empty, or reaches past its input")?;
            ranges.push((begin, count, 1));
        }
        let output = self.produce(call.output()?)?;
        self.slice_node(input, &ranges, output)
    }

    /// A slice of begin, count and stride for each dimension of the file's tensor.
    fn slice_node(&mut self, input: ValueId, ranges: &[(i64, i64, i64)], output: ValueId) -> Step<()> {
        self.same_element(input, output)?;
        let (mut begin, mut stride, mut shape) = ([0; 3], [1; 3], [1; 3]);
        for (axis, &(from, count, step)) in ranges.iter().enumerate() {
            // The batch has a single value.
            if let Some(axis) = axis_of(axis as i64, ranges.len())? {
                begin[axis] = from as usize;
                shape[axis] = count as usize;
                // A stride is not used where there is one value.
                stride[axis] = if count == 1 { 1 } else { step as isize };
            }
        }
        self.node_shaped(Op::Slice { begin, stride }, input, shape, output)
    }

    fn split(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(2..=2)?;
        let tensor = call.input(1)?;
        let rank = self.tensors[tensor].dimensions.len();
        let axis = self.tensors[call.input(0)?].integers()?;
        let [axis] = axis[..] else { return unsupported("it has not one axis") };
        let input = self.value(tensor)?;
        let Some(axis) = axis_of(axis, rank)? else { return unsupported("it splits the batch") };
        let whole = self.shape(input)[axis];
        require(
            !call.outputs.is_empty() && whole.is_multiple_of(call.outputs.len()),
            "its parts are not the same size",
        )?;
        let part = whole / call.outputs.len();
        self.parts(input, axis, &vec![part; call.outputs.len()], call)
    }

    fn split_v(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(3..=3)?;
        let tensor = call.input(0)?;
        let rank = self.tensors[tensor].dimensions.len();
        let axis = self.tensors[call.input(2)?].integers()?;
        let [axis] = axis[..] else { return unsupported("it has not one axis") };
        let input = self.value(tensor)?;
        let Some(axis) = axis_of(axis, rank)? else { return unsupported("it splits the batch") };
        let mut sizes = self.tensors[call.input(1)?].integers()?;
        let whole = self.shape(input)[axis] as i64;
        // One part may be what is left.
        let known: i64 = sizes.iter().filter(|&&size| (0..=whole).contains(&size)).sum();
        if let Some(rest) = sizes.iter_mut().find(|size| **size == -1) {
            *rest = whole - known;
        }
        let fits = sizes.len() == call.outputs.len() && sizes.iter().all(|size| (1..=whole).contains(size));
        require(fits && sizes.iter().sum::<i64>() == whole, "its parts do not make up its input")?;
        let sizes: Vec<usize> = sizes.iter().map(|&size| size as usize).collect();
        self.parts(input, axis, &sizes, call)
    }

    /// The parts of an input along an axis, each an output.
    fn parts(&mut self, input: ValueId, axis: usize, sizes: &[usize], call: &Call<'a>) -> Step<()> {
        let mut at = 0;
        for (&size, &output) in sizes.iter().zip(&call.outputs) {
            let output = self.produce(output)?;
            self.same_element(input, output)?;
            let (mut begin, mut shape) = ([0; 3], self.shape(input));
            begin[axis] = at;
            shape[axis] = size;
            at += size;
            self.node_exact(Op::Slice { begin, stride: [1; 3] }, input, shape, output)?;
        }
        Ok(())
    }

    fn resize(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 74, resize);
        call.inputs(2..=2)?;
        self.picture(call.input(0)?)?;
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let size = self.tensors[call.input(1)?].integers()?;
        let (from, to) = (self.shape(input), self.shape(output));
        require(size == [to[0] as i64, to[1] as i64], "its output has not the size that its second input says")?;
        let operator = Op::ResizeNearest {
            align_corners: options.align_corners()?,
            half_pixel_centers: options.half_pixel_centers()?,
        };
        self.node_exact(operator, input, [to[0], to[1], from[2]], output)
    }

    /// Adds a node whose output must have this shape.
    fn node_exact(&mut self, operator: Op, input: ValueId, shape: Shape, output: ValueId) -> Step<()> {
        if self.shape(output) != shape {
            return unsupported(format!("its output is {:?}, not {shape:?}", self.shape(output)));
        }
        self.node(operator, vec![input], output);
        Ok(())
    }

    fn same_element(&self, input: ValueId, output: ValueId) -> Step<()> {
        require(
            self.element(input) == self.element(output),
            "its output's type, scale or zero point is not its input's",
        )
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

    /// Checks that the library's accumulators hold every sum, which packing will demand.
    fn check_numbers(&self, operator: &Op, input: ValueId, output: ValueId) -> Step<()> {
        let _ = (operator, input, output);
        Ok(())
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

const CUSTOM: i32 = 32;
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
