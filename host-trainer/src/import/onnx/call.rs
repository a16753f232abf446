//! Operators as the file has them: names and parameters.

use super::super::fault::{Step, broken, require, unsupported};
use super::schema::{self, attribute};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::HashMap;

/// Inputs, outputs or parameters of an operator.
const MOST: usize = 1 << 10;
/// Bytes of a name.
const LONGEST_NAME: usize = 200;

/// An operator: what it is called, its inputs, outputs and parameters.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// For people: `operator 7 (Conv)`.
    pub place: String,
    /// The operator's type; with its domain in front unless that is ONNX's own.
    pub operator: String,
    /// Tensors; an empty name is an input that is left out.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    attributes: HashMap<String, schema::Attribute>,
}

/// A name for people: not longer than any text can be.
pub(super) fn short(name: &str) -> &str {
    let mut end = name.len().min(LONGEST_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

impl Call {
    pub(super) fn read(index: usize, bytes: Bytes) -> Step<Self> {
        let node = match schema::Node::decode(bytes) {
            Ok(node) => node,
            Err(error) => return broken(error.to_string()),
        };
        let most = node.input.len().max(node.output.len()).max(node.attribute.len());
        require(most <= MOST, "an operator has more than 1,024 inputs, outputs or attributes")?;
        let mut attributes = HashMap::new();
        for bytes in node.attribute {
            match schema::Attribute::decode(bytes) {
                Ok(attribute) => attributes.insert(attribute.name.clone(), attribute),
                Err(error) => return broken(error.to_string()),
            };
        }
        let operator = match node.domain.as_str() {
            "" | "ai.onnx" => short(&node.op_type).to_owned(),
            // The same operators, of more types.
            "com.microsoft" if matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear") => node.op_type,
            domain => format!("{}.{}", short(domain), short(&node.op_type)),
        };
        let name = if node.name.is_empty() { String::new() } else { format!(" `{}`", short(&node.name)) };
        let place = format!("operator {index} ({operator}){name}");
        Ok(Self { place, operator, inputs: node.input, outputs: node.output, attributes })
    }

    /// One that stands for a part of another.
    pub(super) fn part(&self, operator: &str, inputs: &[&str], output: &str) -> Self {
        Self {
            place: self.place.clone(),
            operator: operator.to_owned(),
            inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
            outputs: vec![output.to_owned()],
            attributes: HashMap::new(),
        }
    }

    /// The same with this parameter.
    pub(super) fn with_int(mut self, name: &str, i: i64) -> Self {
        let attribute =
            schema::Attribute { name: name.to_owned(), i, kind: attribute::INT, ..schema::Attribute::default() };
        self.attributes.insert(name.to_owned(), attribute);
        self
    }

    /// The same with the parameters of another.
    pub(super) fn with_attributes_of(mut self, other: &Self) -> Self {
        self.attributes = other.attributes.clone();
        self
    }

    /// The name of an input, if it is there.
    pub(super) fn optional(&self, index: usize) -> Option<&str> {
        self.inputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(super) fn input(&self, index: usize) -> Step<&str> {
        self.optional(index).map_or_else(|| broken(format!("input {index} is missing")), Ok)
    }

    /// The only output that is used.
    pub(super) fn output(&self) -> Step<&str> {
        match &self.outputs[..] {
            [output, rest @ ..] if !output.is_empty() => {
                require(rest.iter().all(String::is_empty), "it has a second output")?;
                Ok(output)
            }
            _ => broken("it has no output"),
        }
    }

    fn attribute(&self, name: &str, kind: i32) -> Step<Option<&schema::Attribute>> {
        match self.attributes.get(name) {
            // Old files do not say the type.
            Some(attribute) if attribute.kind == kind || attribute.kind == 0 => Ok(Some(attribute)),
            Some(_) => broken(format!("its attribute `{name}` is of another type")),
            None => Ok(None),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Step<i64> {
        Ok(self.attribute(name, attribute::INT)?.map_or(default, |attribute| attribute.i))
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Step<f32> {
        Ok(self.attribute(name, attribute::FLOAT)?.map_or(default, |attribute| attribute.f))
    }

    pub(super) fn ints(&self, name: &str) -> Step<Option<&[i64]>> {
        Ok(self.attribute(name, attribute::INTS)?.map(|attribute| &attribute.ints[..]))
    }

    pub(super) fn floats(&self, name: &str) -> Step<Option<&[f32]>> {
        Ok(self.attribute(name, attribute::FLOATS)?.map(|attribute| &attribute.floats[..]))
    }

    pub(super) fn string<'a>(&'a self, name: &str, default: &'a str) -> Step<&'a str> {
        match self.attribute(name, attribute::STRING)? {
            None => Ok(default),
            Some(attribute) => std::str::from_utf8(&attribute.s).or_else(|_| broken(format!("`{name}` is no text"))),
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Step<Option<Bytes>> {
        Ok(self.attribute(name, attribute::TENSOR)?.and_then(|attribute| attribute.t.clone()))
    }

    /// Positive numbers, one for each of so many dimensions; all 1 if they are left out.
    pub(super) fn sizes<const N: usize>(&self, name: &str, count: usize) -> Step<Option<[usize; N]>> {
        let Some(numbers) = self.ints(name)? else { return Ok(None) };
        require(numbers.len() == count && count <= N, &format!("`{name}` has not a number for each dimension"))?;
        let mut sizes = [1; N];
        for (size, &number) in sizes[N - count..].iter_mut().zip(numbers) {
            match usize::try_from(number) {
                Ok(number) if (1..=1 << 16).contains(&number) => *size = number,
                _ => return unsupported(format!("`{name}` has a {number}")),
            }
        }
        Ok(Some(sizes))
    }
}
