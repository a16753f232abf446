//! Reads TensorFlow Lite files.
//!
//! `schema` follows the file's offsets, `tensor` says what its tensors are, and `operators` what its operators compute.
//! The graph is plain: a node or two for each operator of the file.

mod names;
mod operators;
mod schema;
mod tensor;

use super::ImportError;
use super::fault::{Fault, Problems, Step, broken, require, unsupported};
use crate::graph::{Element, Graph, Node, Operator as Op, Rounding, Shape, Value, ValueId};
use planus::Vector;
use std::collections::HashSet;
use tensor::Tensor;

/// Operators and operator codes: the most of a file. Networks for microcontrollers have a hundred.
const MOST: usize = 1 << 12;
/// Tensors: the most of a file.
const MOST_TENSORS: usize = 1 << 14;
/// Inputs or outputs of an operator.
const MOST_OPERANDS: usize = 1 << 10;
/// How many times a file's size its numbers may take in memory; several operators can share their weights.
const MOST_COPIES: usize = 8;

const FORMAT: &str = "TensorFlow Lite";
/// The reason of what fails only because something before it has, and is not worth a word.
const CONSEQUENCE: &str = "an input is missing";
/// The code of an operator that is not built in.
const CUSTOM: i32 = 32;

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

pub(super) fn read(bytes: &[u8], name: &str) -> Result<Graph, ImportError> {
    if bytes.get(4..8) != Some(b"TFL3") {
        return Err(malformed("it does not begin as one"));
    }
    let model = schema::model(bytes).map_err(Fault::from)?;
    Reader::read(model, bytes.len(), name)
}

/// Notes a fault unless it is the consequence of another; true if there is no room for more.
fn note(problems: &mut Problems, place: String, fault: Fault) -> Result<bool, ImportError> {
    match fault {
        Fault::Unsupported(reason, _) if reason == CONSEQUENCE => Ok(false),
        fault => problems.note(place, fault),
    }
}

/// A network while it is read.
struct Reader<'a> {
    tensors: Vec<Tensor<'a>>,
    /// The value of each tensor, once it is known.
    known: Vec<Option<ValueId>>,
    /// Whether a tensor is not known because what should compute it is not supported.
    missing: Vec<bool>,
    values: Vec<Value>,
    nodes: Vec<Node>,
    names: HashSet<String>,
    /// The last number that made a name unique.
    numbered: usize,
    /// Bytes that numbers may still take.
    budget: usize,
    /// The operator that is being read.
    place: String,
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
                        if note(&mut problems, format!("network input {}", inputs.len()), fault)? {
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
                    && note(&mut problems, reader.place.clone(), fault)?
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
                        if note(&mut problems, format!("network output {}", outputs.len()), fault)? {
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
            require(tables.len() <= MOST, "it has more than 4,096 operator codes")?;
            for index in 0..tables.len() {
                let Some(code) = tables.get(index)? else { break };
                // Old files have the former field alone, in new ones it is cut to 127.
                let number = code.builtin_code()?.max(code.deprecated_builtin_code()?.into());
                codes.push(match number {
                    CUSTOM => {
                        let custom = code.custom_code()?.unwrap_or("");
                        format!("CUSTOM {}", custom.chars().take(40).collect::<String>())
                    }
                    _ => names::name(number),
                });
            }
        }
        let Some(subgraphs) = model.subgraphs()? else { return broken("it has no network") };
        require(subgraphs.len() <= 1, "it has several subgraphs: control flow is not supported")?;
        let Some(subgraph) = subgraphs.get(0)? else { return broken("it has no network") };
        let (Some(tables), Some(buffers)) = (subgraph.tensors()?, model.buffers()?) else {
            return broken("it has no tensors, or no buffers");
        };
        require(tables.len() <= MOST_TENSORS, "it has more than 16,384 tensors")?;
        let mut tensors = Vec::new();
        for index in 0..tables.len() {
            let Some(tensor) = tables.get(index)? else { break };
            tensors.push(Tensor::read(tensor, &buffers)?);
        }
        if subgraph.operators()?.is_some_and(|operators| operators.len() > MOST) {
            return unsupported("it has more than 4,096 operators");
        }
        let reader = Self {
            known: vec![None; tensors.len()],
            missing: vec![false; tensors.len()],
            tensors,
            values: Vec::new(),
            nodes: Vec::new(),
            names: HashSet::new(),
            numbered: 0,
            budget: size.saturating_mul(MOST_COPIES),
            place: String::new(),
        };
        Ok((reader, subgraph, codes))
    }

    fn network_input(&mut self, index: i32) -> Step<ValueId> {
        let tensor = self.index(index)?;
        let result = self.checked_input(tensor);
        self.missing[tensor] = result.is_err();
        result
    }

    fn checked_input(&mut self, tensor: usize) -> Step<ValueId> {
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
        while !self.names.insert(unique.clone()) {
            // Never the same number again: a file full of such names takes no longer.
            self.numbered += 1;
            unique = format!("{name} {}", self.numbered);
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

    /// The value of a tensor that has been computed or is constant.
    fn value(&mut self, tensor: usize) -> Step<ValueId> {
        if let Some(value) = self.known[tensor] {
            return Ok(value);
        }
        if self.missing[tensor] {
            return unsupported(CONSEQUENCE);
        }
        let this = &self.tensors[tensor];
        let Some(data) = this.data else {
            return broken(format!("tensor `{}` is used before it is computed", this.short_name()));
        };
        let (element, shape) = (this.element()?, this.shape()?);
        self.spend(data.len())?;
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
}
