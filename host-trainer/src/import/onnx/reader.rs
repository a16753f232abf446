//! A network while it is read: its tensors, and the graph that becomes of them.

use super::super::ImportError;
use super::super::fault::{Fault, Problems, Step, broken, nearest, require, unsupported};
use super::FORMAT;
use super::call::{Call, short};
use super::constant::{Constant, External, MOST_DIMENSIONS, length};
use super::layout::{Layout, View};
use super::schema::{self, element};
use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Rounding, Shape, Value, ValueId};
use bareconv::{Activation, Quantization};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::{HashMap, HashSet};

/// Operators, tensors: the most of a file.
const MOST: usize = 1 << 16;
/// How many times a file's size its numbers may take in memory; several operators can share their weights.
const MOST_COPIES: usize = 16;
/// Bytes that numbers may take in any case: a constant that is repeated can be larger than a small file.
const LEAST_BUDGET: usize = 1 << 20;
/// The oldest set of operators that is read.
const OLDEST: i64 = 7;

/// A tensor of the file, as far as it is known.
#[derive(Clone)]
pub(super) enum Tensor {
    Constant(Constant),
    Computed(Computed),
    /// What computes it is not supported, and that has been noted.
    Unknown,
}

/// A tensor that the network computes.
#[derive(Clone)]
pub(super) struct Computed {
    pub value: ValueId,
    pub layout: Layout,
    /// Whether the tensor is the real numbers that the integers of the value stand for.
    pub dequantized: bool,
}

/// What follows an operator and becomes a part of it: an activation, and the quantization of its output.
pub(super) struct End {
    /// The tensor that results.
    pub output: String,
    /// The operators that have become a part.
    pub followers: Vec<usize>,
    /// Bounds of the result.
    pub bounds: [f32; 2],
    /// Its type.
    pub element: Element,
    /// Whether the tensor is the real numbers that integers of the type stand for: what quantizes it comes later.
    pub dequantized: bool,
}

pub(super) struct Reader {
    pub calls: Vec<Call>,
    consumers: HashMap<String, Vec<usize>>,
    /// The operators that need not be looked at any more.
    pub done: Vec<bool>,
    network_outputs: HashSet<String>,
    tensors: HashMap<String, Tensor>,
    /// The real numbers of integer values.
    dequantized: HashMap<ValueId, ValueId>,
    reshaped: HashMap<(ValueId, Shape), ValueId>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    names: HashSet<String>,
    /// Bytes that numbers may still take.
    budget: usize,
    /// The operator that is being read.
    place: String,
    /// The version of ONNX's operators.
    pub version: i64,
}

pub(super) fn read(
    file: Bytes,
    name: &str,
    external: &mut dyn FnMut(&External) -> Step<Bytes>,
) -> Result<Graph, ImportError> {
    let size = file.len();
    let malformed = |reason: String| ImportError::Malformed { format: FORMAT, reason };
    let model = schema::Model::decode(file).map_err(|error| malformed(error.to_string()))?;
    if model.ir_version < 1 {
        return Err(malformed("it does not say its version".to_owned()));
    }
    let Some(graph) = model.graph.as_ref() else { return Err(malformed("it has no network".to_owned())) };
    let graph = schema::Graph::decode(graph.clone()).map_err(|error| malformed(error.to_string()))?;
    let mut external_bytes = 0;
    let mut counted = |at: &External| {
        let bytes = external(at)?;
        external_bytes += bytes.len();
        Ok(bytes)
    };
    let version = version(&model).map_err(|fault| fault.of_file(FORMAT))?;
    let mut reader = Reader::open(&graph, version, &mut counted).map_err(|fault| fault.of_file(FORMAT))?;
    reader.budget = (size + external_bytes).saturating_mul(MOST_COPIES).saturating_add(LEAST_BUDGET);
    let mut problems = Problems::new(FORMAT);
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    'all: {
        for bytes in &graph.input {
            let place = format!("network input {}", inputs.len());
            match reader.network_input(bytes) {
                Ok(input) => inputs.extend(input),
                Err(fault) => {
                    if let Ok(info) = value_info(bytes) {
                        reader.tensors.entry(info.name).or_insert(Tensor::Unknown);
                    }
                    if problems.note(place, fault)? {
                        break 'all;
                    }
                }
            }
        }
        // What is constant may stand anywhere.
        for index in 0..reader.calls.len() {
            if let Ok(true) = reader.fold(index) {
                reader.done[index] = true;
            }
        }
        for index in 0..reader.calls.len() {
            if reader.done[index] {
                continue;
            }
            reader.place = reader.calls[index].place.clone();
            let result = reader.operator(index);
            if let Err(fault) = result
                && problems.note(reader.place.clone(), fault)?
            {
                break 'all;
            }
        }
        for bytes in &graph.output {
            let place = format!("network output {}", outputs.len());
            reader.place = place.clone();
            match reader.network_output(bytes) {
                Ok(output) => outputs.push(output),
                Err(fault) => {
                    if problems.note(place, fault)? {
                        break 'all;
                    }
                }
            }
        }
    }
    problems.finish()?;
    let producer =
        if model.producer_name.is_empty() { String::new() } else { format!(" of {}", short(&model.producer_name)) };
    let graph = Graph {
        name: name.to_owned(),
        source: format!("{name} (ONNX{producer}, {} bytes)", size + external_bytes),
        rounding: Rounding::Single,
        values: reader.values,
        nodes: reader.nodes,
        inputs,
        outputs: outputs.into_iter().flatten().collect(),
    };
    match graph.check() {
        Ok(()) => Ok(graph),
        Err(error) => {
            let mut problems = Problems::new(FORMAT);
            problems.note(error.place, Fault::Unsupported(error.rule, None))?;
            problems.finish()?;
            Ok(graph)
        }
    }
}

/// The version of ONNX's operators.
fn version(model: &schema::Model) -> Step<i64> {
    for bytes in model.opset_import.iter().take(MOST) {
        let Ok(set) = schema::OperatorSet::decode(bytes.clone()) else { return broken("its operator sets are broken") };
        if matches!(set.domain.as_str(), "" | "ai.onnx") {
            if set.version < OLDEST {
                return nearest(
                    format!("it has version {} of ONNX's operators", set.version),
                    "version 7 or later; export it with opset_version 18 or later",
                );
            }
            return Ok(set.version);
        }
    }
    broken("it does not say the version of its operators")
}

impl Reader {
    fn open(graph: &schema::Graph, version: i64, external: &mut dyn FnMut(&External) -> Step<Bytes>) -> Step<Self> {
        let most = [graph.node.len(), graph.initializer.len(), graph.input.len(), graph.output.len()];
        require(most.iter().all(|&count| count <= MOST), "it has more than 65,536 operators or tensors")?;
        require(graph.sparse_initializer.is_empty(), "it has sparse tensors")?;
        require(!graph.output.is_empty(), "the network has no output")?;
        let mut tensors = HashMap::new();
        for bytes in &graph.initializer {
            let (name, constant) = Constant::read(bytes.clone(), external)?;
            if tensors.insert(name.clone(), Tensor::Constant(constant)).is_some() {
                return broken(format!("tensor `{}` is there twice", short(&name)));
            }
        }
        let mut calls = Vec::new();
        for (index, bytes) in graph.node.iter().enumerate() {
            let call = Call::read(index, bytes.clone())?;
            super::quantized::expand(call, &mut tensors, &mut calls)?;
        }
        let mut consumers: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, call) in calls.iter().enumerate() {
            for input in &call.inputs {
                consumers.entry(input.clone()).or_default().push(index);
            }
        }
        let mut network_outputs = HashSet::new();
        for bytes in &graph.output {
            network_outputs.insert(value_info(bytes)?.name);
        }
        Ok(Self {
            done: vec![false; calls.len()],
            calls,
            consumers,
            network_outputs,
            tensors,
            dequantized: HashMap::new(),
            reshaped: HashMap::new(),
            values: Vec::new(),
            nodes: Vec::new(),
            names: HashSet::new(),
            budget: 0,
            place: String::new(),
            version,
        })
    }

    /// The value of a network's input; none for one that is constant, as old files have it.
    fn network_input(&mut self, bytes: &Bytes) -> Step<Option<ValueId>> {
        let info = value_info(bytes)?;
        if matches!(self.tensors.get(&info.name), Some(Tensor::Constant(_))) {
            return Ok(None);
        }
        let Some(tensor) = info.kind.and_then(|kind| kind.tensor) else { return unsupported("it is not a tensor") };
        let Some(shape) = tensor.shape else { return unsupported("its shape is not known") };
        let mut dims = Vec::new();
        require(shape.dim.len() <= MOST_DIMENSIONS, "it has more than 8 dimensions")?;
        for (axis, dim) in shape.dim.iter().enumerate() {
            match dim.value.map(usize::try_from) {
                Some(Ok(size)) if size > 0 => dims.push(size),
                // A batch of any size has one here.
                None if axis == 0 => dims.push(1),
                _ => return nearest("its shape is dynamic, or empty", "a fixed shape; only the batch may be open"),
            }
        }
        if dims.len() >= 2 && dims[0] != 1 {
            return nearest(format!("its shape is {dims:?}"), "a batch, the first dimension, of 1");
        }
        length(&dims)?;
        let Some(view) = self.input_view(&info.name, &dims) else {
            return nearest(
                format!("its shape is {dims:?}"),
                "one to four dimensions: batch, channels, height, width; or batch and values",
            );
        };
        let element = match tensor.element {
            element::FLOAT => Element::F32,
            kind @ (element::INT8 | element::UINT8) => self.input_quantization(&info.name, kind)?,
            kind => {
                return nearest(format!("it is {}", element::name(kind)), "float, or int8 and uint8 with scales");
            }
        };
        let layout = Layout::ordered(&dims, &view.order);
        let value = self.value(&info.name, view.shape(&dims), layout.dims(), element);
        self.define(&info.name, Tensor::Computed(Computed { value, layout, dequantized: false }))?;
        Ok(Some(value))
    }

    /// How an input's dimensions lie in memory: as its first consumers want them.
    fn input_view(&self, name: &str, dims: &[usize]) -> Option<View> {
        let mut views = View::all(dims).into_iter();
        let (first, mut name) = (views.next()?, name.to_owned());
        let Some(last) = views.next() else { return Some(first) };
        for _ in 0..self.calls.len() {
            let Some(&[next, ..]) = self.consumers.get(&name).map(Vec::as_slice) else { break };
            let call = &self.calls[next];
            match call.operator.as_str() {
                "QuantizeLinear" | "DequantizeLinear" | "Identity" | "Cast" | "Relu" | "Clip" | "Add" | "Sub"
                | "Mul" | "Div" | "Dropout" => match call.outputs.first() {
                    Some(output) => name.clone_from(output),
                    None => break,
                },
                "Transpose" => {
                    let order = call.ints("perm").ok().flatten();
                    return Some(if matches!(order, Some([0, 3, 1, 2] | [0, 2, 1])) { last } else { first });
                }
                "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool"
                | "BatchNormalization" | "PRelu" | "Resize" | "Upsample" => return Some(first),
                _ => break,
            }
        }
        // Pictures are; rows are as they are.
        Some(if dims.len() == 4 { first } else { last })
    }

    /// What an input of integers stands for: what dequantizes it says so.
    fn input_quantization(&self, name: &str, kind: i32) -> Step<Element> {
        for &next in self.consumers.get(name).into_iter().flatten() {
            if self.calls[next].operator == "DequantizeLinear" && self.calls[next].inputs[0] == name {
                return self.quantization(&self.calls[next], kind);
            }
        }
        nearest(
            "it is integers without a scale",
            "float, or int8 and uint8 with DequantizeLinear as the first operator",
        )
    }

    fn network_output(&mut self, bytes: &Bytes) -> Step<Option<ValueId>> {
        let info = value_info(bytes)?;
        let computed = match self.tensor(&info.name)? {
            Tensor::Unknown => return Ok(None),
            Tensor::Constant(_) => return unsupported("it is constant"),
            Tensor::Computed(computed) => computed,
        };
        let computed = self.real_or_integer(&computed);
        let Some((value, _)) = self.view(&computed, |_| true) else {
            return nearest(
                format!("its values, of the shape {:?}, lie in another order here: {ORDER}", computed.layout.dims()),
                "the tensor before it is flattened or reshaped as the output",
            );
        };
        Ok(Some(value))
    }

    /// An integer value that is the network's output as real numbers becomes those.
    fn real_or_integer(&mut self, computed: &Computed) -> Computed {
        if computed.dequantized { self.float(computed) } else { computed.clone() }
    }

    /// Takes memory for numbers out of the budget.
    pub(super) fn spend(&mut self, bytes: usize) -> Step<()> {
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

    pub(super) fn define(&mut self, name: &str, tensor: Tensor) -> Step<()> {
        match self.tensors.insert(name.to_owned(), tensor) {
            None => Ok(()),
            Some(_) => broken(format!("tensor `{}` is computed twice", short(name))),
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Step<Tensor> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor.clone()),
            None => broken(format!("tensor `{}` is used before it is computed", short(name))),
        }
    }

    /// A constant input, if there is one.
    pub(super) fn optional_constant(&self, call: &Call, index: usize) -> Step<Option<Constant>> {
        let Some(name) = call.optional(index) else { return Ok(None) };
        match self.tensors.get(name) {
            Some(Tensor::Constant(constant)) => Ok(Some(constant.clone())),
            Some(_) => unsupported(format!("its input `{}` is not constant", short(name))),
            None => broken(format!("tensor `{}` is used before it is computed", short(name))),
        }
    }

    pub(super) fn constant(&self, call: &Call, index: usize) -> Step<Constant> {
        call.input(index)?;
        match self.optional_constant(call, index)? {
            Some(constant) => Ok(constant),
            None => broken(format!("input {index} is missing")),
        }
    }

    /// An input that the network computes.
    pub(super) fn computed(&self, call: &Call, index: usize) -> Step<Computed> {
        match self.tensor(call.input(index)?)? {
            Tensor::Computed(computed) => Ok(computed),
            _ => nearest(
                format!("its input `{}` is constant", short(call.input(index)?)),
                "the result, computed beforehand",
            ),
        }
    }

    /// An input of real numbers that the network computes.
    pub(super) fn real(&self, call: &Call, index: usize) -> Step<Computed> {
        let computed = self.computed(call, index)?;
        if computed.dequantized || self.element(computed.value) == Element::F32 {
            return Ok(computed);
        }
        nearest("it computes with integers", "QuantizeLinear and DequantizeLinear around operators on real numbers")
    }

    pub(super) fn element(&self, value: ValueId) -> Element {
        self.values[value.0].element
    }

    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.values[value.0].shape
    }

    fn unique(&mut self, name: &str) -> String {
        let name = if name.is_empty() { "tensor" } else { short(name) };
        let mut unique = name.to_owned();
        let mut number = self.names.len();
        while !self.names.insert(unique.clone()) {
            unique = format!("{name} {number}");
            number += 1;
        }
        unique
    }

    pub(super) fn value(&mut self, name: &str, shape: Shape, dimensions: &[usize], element: Element) -> ValueId {
        let name = self.unique(name);
        self.values.push(Value { name, shape, dimensions: dimensions.to_vec(), element, constant: None });
        ValueId(self.values.len() - 1)
    }

    pub(super) fn constant_value(&mut self, name: &str, shape: Shape, element: Element, numbers: Numbers) -> ValueId {
        let value = self.value(name, shape, &shape, element);
        self.values[value.0].constant = Some(numbers);
        value
    }

    /// Adds a node, whose output is a value of this shape.
    pub(super) fn node(
        &mut self,
        operator: Operator,
        inputs: Vec<ValueId>,
        name: &str,
        shape: Shape,
        dimensions: &[usize],
        element: Element,
    ) -> ValueId {
        let output = self.value(name, shape, dimensions, element);
        let name = self.values[output.0].name.clone();
        self.nodes.push(Node { name, place: self.place.clone(), operator, inputs, output });
        output
    }

    /// Adds the node of an operator that moves values, or computes others of the same type.
    pub(super) fn moved(
        &mut self,
        operator: Operator,
        (from, value): (&Computed, ValueId),
        output: &str,
        shape: Shape,
        layout: Layout,
    ) -> Step<()> {
        length(layout.dims())?;
        let element = self.element(value);
        let value = self.node(operator, vec![value], output, shape, layout.dims(), element);
        self.define(output, Tensor::Computed(Computed { value, layout, dequantized: from.dequantized }))
    }

    /// Gives a tensor another name and layout.
    pub(super) fn alias(&mut self, from: &Computed, output: &str, layout: Layout) -> Step<()> {
        self.define(output, Tensor::Computed(Computed { layout, ..from.clone() }))
    }

    /// Real numbers as single precision.
    pub(super) fn float(&mut self, computed: &Computed) -> Computed {
        if !computed.dequantized {
            return computed.clone();
        }
        let value = match self.dequantized.get(&computed.value) {
            Some(&value) => value,
            None => {
                let (shape, name) = (self.shape(computed.value), self.values[computed.value.0].name.clone());
                let (dims, name) = (computed.layout.dims(), format!("{name} dequantized"));
                let value = self.node(Operator::Dequantize, vec![computed.value], &name, shape, dims, Element::F32);
                self.dequantized.insert(computed.value, value);
                value
            }
        };
        Computed { value, layout: computed.layout.clone(), dequantized: false }
    }

    /// The value in another shape.
    pub(super) fn shaped(&mut self, value: ValueId, shape: Shape) -> ValueId {
        if self.shape(value) == shape {
            return value;
        }
        if let Some(&known) = self.reshaped.get(&(value, shape)) {
            return known;
        }
        let name = format!("{} reshaped", self.values[value.0].name);
        let element = self.element(value);
        let output = self.node(Operator::Reshape, vec![value], &name, shape, &shape, element);
        self.reshaped.insert((value, shape), output);
        output
    }

    /// The value as height, width and channels, and what they are: the first way that will do.
    pub(super) fn view(&mut self, computed: &Computed, wanted: impl Fn(&View) -> bool) -> Option<(ValueId, View)> {
        let views = View::all(computed.layout.dims());
        let view = views.into_iter().find(|view| computed.layout.is_ordered(&view.order) && wanted(view))?;
        let value = self.shaped(computed.value, view.shape(computed.layout.dims()));
        Some((value, view))
    }

    /// The value of a picture: batch, channels, height and width; or batch, channels and width.
    pub(super) fn picture(&mut self, computed: &Computed) -> Step<(ValueId, Shape)> {
        let dims = computed.layout.dims();
        let Some(view) = View::picture(dims) else {
            return unsupported(format!("its input has the shape {dims:?}, not 1, channels, height, width"));
        };
        if !computed.layout.is_ordered(&view.order) {
            return layout_fault(&computed.layout);
        }
        let shape = view.shape(dims);
        Ok((self.shaped(computed.value, shape), shape))
    }

    /// Whether anything reads a tensor.
    pub(super) fn is_read(&self, name: &str) -> bool {
        !name.is_empty() && (self.consumers.contains_key(name) || self.network_outputs.contains(name))
    }

    /// The operator that alone reads a tensor.
    pub(super) fn follower(&self, name: &str) -> Option<usize> {
        match self.consumers.get(name).map(Vec::as_slice) {
            Some(&[next]) if !self.network_outputs.contains(name) && !self.done[next] => Some(next),
            _ => None,
        }
    }

    /// What becomes a part of an operator with this output: bounds and, if the result shall be integers, its quantization;
    /// none if it is not quantized.
    pub(super) fn end(&self, output: &str, integer: bool) -> Option<End> {
        let (mut bounds, mut output, mut followers) =
            ([f32::NEG_INFINITY, f32::INFINITY], output.to_owned(), Vec::new());
        loop {
            let next = self.follower(&output);
            let call = next.map(|next| &self.calls[next]);
            let call = call.filter(|call| call.inputs.first() == Some(&output));
            let limits = call.and_then(|call| self.limits(call).ok().flatten());
            match (next, call, limits) {
                (Some(next), Some(call), Some(limits)) if self.fits(bounds, limits, integer) => {
                    bounds = bounds.map(|bound| bound.max(limits[0]).min(limits[1]));
                    output = call.output().ok()?.to_owned();
                    followers.push(next);
                }
                (Some(next), Some(call), _) if integer && call.operator == "QuantizeLinear" => {
                    let element = self.output_quantization(call).ok()?;
                    let output = call.output().ok()?.to_owned();
                    followers.push(next);
                    return Some(End { output, followers, bounds, element, dequantized: false });
                }
                (_, Some(_), _) if integer => {
                    let element = self.later_quantization(&output)?;
                    return Some(End { output, followers, bounds, element, dequantized: true });
                }
                _ if integer => return None,
                _ => return Some(End { output, followers, bounds, element: Element::F32, dequantized: false }),
            }
        }
    }

    /// The quantization of a tensor that is moved first, or the greatest values of it taken: the same values are left if it
    /// is quantized before.
    fn later_quantization(&self, name: &str) -> Option<Element> {
        let mut name = name;
        loop {
            let call = &self.calls[self.follower(name)?];
            if call.inputs.first().map(String::as_str) != Some(name) {
                return None;
            }
            match call.operator.as_str() {
                "QuantizeLinear" => return self.output_quantization(call).ok(),
                "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "MaxPool" | "GlobalMaxPool"
                | "Slice" | "Gather" | "Resize" | "Identity" | "Dropout" => name = call.outputs.first()?,
                _ => return None,
            }
        }
    }

    /// Nothing follows: an operator of single precision that has no activation.
    pub(super) fn no_end(output: &str) -> End {
        let bounds = [f32::NEG_INFINITY, f32::INFINITY];
        End { output: output.to_owned(), followers: Vec::new(), bounds, element: Element::F32, dequantized: false }
    }

    /// Whether the bounds are those of an activation of single precision; integers may have any.
    fn fits(&self, bounds: [f32; 2], limits: [f32; 2], integer: bool) -> bool {
        integer || bounds[0] == f32::NEG_INFINITY && (limits == [0.0, 6.0] || limits == [0.0, f32::INFINITY])
    }

    /// Adds the node of an operator and what follows it: `operator` makes it with its activation, if it can have one.
    pub(super) fn finish(
        &mut self,
        end: End,
        operator: impl FnOnce(Activation) -> Operator,
        inputs: Vec<ValueId>,
        shape: Shape,
        layout: Layout,
        fused: bool,
    ) -> Step<()> {
        length(layout.dims())?;
        let (activation, clip) = match end.element {
            Element::Int8(quantization) => activation(end.bounds, quantization, fused),
            _ if end.bounds[1] == 6.0 => (Activation::Relu6, None),
            _ if end.bounds[0] == 0.0 => (Activation::Relu, None),
            _ => (Activation::Identity, None),
        };
        let mut value = self.node(operator(activation), inputs, &end.output, shape, layout.dims(), end.element);
        if let Some([low, high]) = clip {
            let outputs = Box::new(std::array::from_fn(|i| ((i as i32 - 128) as i8).clamp(low, high)));
            let operator = Operator::Function(Function::Table { of: "bounds".to_owned(), outputs });
            value = self.node(operator, vec![value], &end.output, shape, layout.dims(), end.element);
        }
        self.mark(&end);
        self.define(&end.output, Tensor::Computed(Computed { value, layout, dequantized: end.dequantized }))
    }

    /// The followers of an end have become a part of an operator.
    pub(super) fn mark(&mut self, end: &End) {
        for &index in &end.followers {
            self.done[index] = true;
        }
    }

    /// An operator; if it is not supported, its outputs are unknown, so that what follows does not fail for its reason.
    fn operator(&mut self, index: usize) -> Step<()> {
        let call = self.calls[index].clone();
        let unknown =
            |reader: &Self| call.inputs.iter().any(|name| matches!(reader.tensors.get(name), Some(Tensor::Unknown)));
        let result = if unknown(self) {
            Ok(())
        } else {
            match self.fold(index) {
                Ok(true) => return Ok(()),
                Ok(false) => self.dispatch(&call),
                Err(fault) => Err(fault),
            }
        };
        if unknown(self) || matches!(result, Err(Fault::Unsupported(..))) {
            for output in &call.outputs {
                self.tensors.entry(output.clone()).or_insert(Tensor::Unknown);
            }
        }
        result
    }
}

/// In what order values lie.
const ORDER: &str = "height, width, channels";

/// A tensor whose values do not lie as an operator wants them.
pub(super) fn layout_fault<T>(layout: &Layout) -> Step<T> {
    let dims = layout.dims();
    nearest(
        format!(
            "its input, of the shape {dims:?}, is a transposed or reshaped picture; values lie in the order {ORDER}"
        ),
        "Flatten or Reshape of a whole picture before Gemm or MatMul, and Transpose that is undone before other operators",
    )
}

/// The activation that these bounds are for values of a quantization; and bounds of the integers, where they are none.
fn activation(bounds: [f32; 2], of: Quantization, fused: bool) -> (Activation, Option<[i8; 2]>) {
    let zero_point = i32::from(of.zero_point);
    let real = |value: i32| (value - zero_point) as f32 * of.scale;
    let bounds = [
        if bounds[0] <= real(-128) { f32::NEG_INFINITY } else { bounds[0] },
        if bounds[1] >= real(127) { f32::INFINITY } else { bounds[1] },
    ];
    match bounds {
        [f32::NEG_INFINITY, f32::INFINITY] => (Activation::Identity, None),
        [0.0, f32::INFINITY] if fused => (Activation::Relu, None),
        [low, 6.0] if fused && (low == 0.0 || zero_point == -128) => (Activation::Relu6, None),
        bounds => (Activation::Identity, Some(bounds.map(|bound| super::quantized::quantize(bound, of)))),
    }
}

fn value_info(bytes: &Bytes) -> Step<schema::ValueInfo> {
    schema::ValueInfo::decode(bytes.clone()).or_else(|error| broken(error.to_string()))
}
