//! The declarations of layers: shapes, quantizations, statics.

mod arithmetic;
mod arrangement;
mod conversion;
mod convolution;
mod functions;
mod pooling;
mod shape;

use super::numbers::{Literal, array, quantization};
use super::tensor_of as tensor;
use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Value, ValueId};
use crate::plan::Form;
use convolution::Convolution;
use std::fmt::Write;

/// A declared layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    /// In lower case; empty if there is none, as for a reshape.
    pub name: String,
    /// The operator in words.
    pub words: String,
    /// Its constants and its static.
    pub text: String,
    /// Its numbers.
    pub weights: String,
    /// What it needs of the library.
    pub imports: Vec<&'static str>,
    /// The expression of its multiply-accumulates.
    pub macs: Option<String>,
    /// The expression of the bytes of flash that it takes.
    pub flash: Option<String>,
    /// The expression of the words of scratch that it takes.
    pub scratch: Option<String>,
    /// The expression of the words that it takes row by row.
    pub stream: Option<String>,
    /// Whether its type leaves the shapes of its views open.
    pub generic: bool,
    /// Whether it takes its inputs as a tuple.
    pub tuple: bool,
    /// Its inputs, in the order in which it takes them.
    pub inputs: Vec<ValueId>,
    /// Whether a second layer, `NAME_ACTIVATION`, follows.
    pub activation: bool,
    /// What is run, where it is not the static.
    pub expression: Option<String>,
    /// The expression of its output's quantization or scale.
    pub quantization: String,
}

/// What is to be declared.
pub(super) struct Declaration<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    pub name: &'a str,
    /// The expressions of the values' quantizations.
    pub quantizations: &'a [String],
    pub form: Form,
}

/// The expression of a quantization or scale.
pub(super) fn quantization_of(element: Element) -> String {
    match element {
        Element::Int8(of) => quantization(of),
        Element::Int16(scale) => scale.literal(),
        Element::F32 => String::new(),
    }
}

/// A constant tensor.
pub(super) fn constant(name: &str, value: &Value, numbers: &Numbers) -> String {
    let numbers = match numbers {
        Numbers::Int8(numbers) => array(numbers, &value.shape, 0),
        Numbers::Int16(numbers) => array(numbers, &value.shape, 0),
        Numbers::F32(numbers) => array(numbers, &value.shape, 0),
    };
    let (upper, kind) = (name.to_ascii_uppercase(), tensor(value));
    let kind = kind.replacen("Tensor", "bareconv::Tensor", 1);
    format!("/// A constant of the network.\npub static {upper}: {kind} = bareconv::Tensor({numbers});\n\n")
}

impl Declaration<'_> {
    fn value(&self, id: ValueId) -> &Value {
        self.graph.value(id)
    }

    fn input(&self) -> &Value {
        self.value(self.node.inputs[0])
    }

    fn output(&self) -> &Value {
        self.value(self.node.output)
    }

    fn upper(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    /// The expression of the quantization of an input.
    fn from(&self, number: usize) -> &str {
        &self.quantizations[self.node.inputs[number].0]
    }

    pub(super) fn write(&self) -> Result<Layer, String> {
        let mut layer = Layer {
            name: self.name.to_owned(),
            inputs: self.node.inputs.clone(),
            quantization: self.from(0).to_owned(),
            ..Layer::default()
        };
        let mut text = String::new();
        self.quantization(&mut text, &mut layer);
        match &self.node.operator {
            Operator::Conv2d { shape, weights, activation } => {
                self.convolution(&mut text, &mut layer, Convolution::conv2d(shape, *activation), weights);
            }
            Operator::Dense { shape, weights, activation } => {
                self.convolution(&mut text, &mut layer, Convolution::dense(shape, *activation), weights);
            }
            Operator::Depthwise { shape, weights, activation } => {
                self.convolution(&mut text, &mut layer, Convolution::depthwise(shape, *activation), weights);
            }
            Operator::Transposed { shape, weights, activation } => {
                let convolution = Convolution::transposed(&self.upper(), shape, *activation);
                self.convolution(&mut text, &mut layer, convolution, weights);
            }
            Operator::LocallyConnected { shape, weights, activation } => {
                self.convolution(&mut text, &mut layer, Convolution::locally_connected(shape, *activation), weights);
            }
            Operator::MaxPool { shape, activation } => {
                self.pool(&mut text, &mut layer, "MaxPool2d", "new", shape, *activation, false);
            }
            Operator::AveragePool { shape, including_padding, activation } => {
                let constructor = match self.output().element {
                    Element::Int8(_) => "int8",
                    Element::Int16(_) => "int16",
                    Element::F32 => "float",
                };
                self.pool(&mut text, &mut layer, "AveragePool2d", constructor, shape, *activation, *including_padding);
            }
            Operator::Mean => self.mean(&mut text, &mut layer),
            Operator::Function(function) => self.function(&mut text, &mut layer, function),
            Operator::Add(activation) => self.join(&mut text, &mut layer, "Add", *activation)?,
            Operator::Subtract(activation) => self.join(&mut text, &mut layer, "Subtract", *activation)?,
            Operator::Multiply(activation) => self.join(&mut text, &mut layer, "Multiply", *activation)?,
            Operator::Concatenate { axis } => self.concatenate(&mut text, &mut layer, *axis)?,
            Operator::Pad { before, after, value } => self.pad(&mut text, &mut layer, [*before, *after], value),
            // One that is no mere view: its input or output is the caller's.
            Operator::Reshape => {
                layer.words = "copy".to_owned();
                layer.generic = true;
            }
            Operator::Slice { begin, stride } => self.slice(&mut text, &mut layer, *begin, *stride),
            Operator::ResizeNearest { align_corners, half_pixel_centers } => {
                self.resize_nearest(&mut text, &mut layer, *align_corners, *half_pixel_centers)?;
            }
            Operator::Quantize => self.quantize(&mut text, &mut layer),
            Operator::Dequantize => self.dequantize(&mut text, &mut layer),
            Operator::Requantize => self.requantize(&mut text, &mut layer),
        }
        layer.text = format!("\n// {}: {}\n\n{}", self.name, layer.words, text);
        if layer.words == "copy" {
            layer.text.clear();
        }
        Ok(layer)
    }

    /// Declares the output's quantization unless it is the input's, or a layer's own.
    fn quantization(&self, text: &mut String, layer: &mut Layer) {
        let (from, to) = (self.input().element, self.output().element);
        if from == to {
            return;
        }
        let known = match (&self.node.operator, to) {
            (Operator::Function(Function::Softmax { .. }), Element::Int8(_)) => Some("SoftmaxInt8::OUTPUT"),
            (Operator::Function(Function::Sigmoid), Element::Int8(_)) => Some("Int8Table::SIGMOID_OUTPUT"),
            (Operator::Function(Function::Tanh), Element::Int8(_)) => Some("Int8Table::TANH_OUTPUT"),
            _ => None,
        };
        layer.quantization = format!("{}_QUANTIZATION", self.upper());
        match (known, to) {
            (Some(known), _) => layer.quantization = known.to_owned(),
            (None, Element::Int8(of)) => {
                let _ = writeln!(text, "const {}: Quantization = {};\n", layer.quantization, quantization(of));
            }
            (None, Element::Int16(scale)) => {
                let _ = writeln!(text, "const {}: f32 = {};\n", layer.quantization, scale.literal());
            }
            (None, Element::F32) => layer.quantization.clear(),
        }
    }

    /// The name of an integer type, and of its constructors.
    fn typed(&self, element: Element) -> (&'static str, &'static str) {
        match element {
            Element::Int8(_) => ("i8", "int8"),
            Element::Int16(_) => ("i16", "int16"),
            Element::F32 => ("f32", "float"),
        }
    }

    fn declare(
        &self,
        text: &mut String,
        layer: &mut Layer,
        storage: &str,
        imports: &[&'static str],
        kind: &str,
        value: &str,
    ) {
        layer.imports.extend(imports);
        let line = format!("{storage} {}: {kind} = {value};", self.upper());
        if line.len() <= 116 {
            let _ = writeln!(text, "{line}");
        } else {
            let _ = writeln!(text, "{storage} {}: {kind} =\n    {value};", self.upper());
        }
    }
}
