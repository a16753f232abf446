//! Poolings and means.

use super::super::tensor_of as tensor;
use super::functions::relu;
use super::shape::{activation_words, geometry, pool_text};
use super::{Declaration, Layer};
use crate::graph::Element;
use bareconv::{Activation, Pool2dShape};
use std::fmt::Write;

impl Declaration<'_> {
    pub(super) fn pool(
        &self,
        text: &mut String,
        layer: &mut Layer,
        kind: &'static str,
        constructor: &str,
        shape: &Pool2dShape,
        activation: Activation,
        including_padding: bool,
    ) {
        let upper = self.upper();
        let _ = writeln!(text, "const {upper}_SHAPE: Pool2dShape = {};\n", pool_text(shape));
        let mut value = format!("{kind}::{constructor}({upper}_SHAPE)");
        if including_padding {
            match self.output().element {
                Element::Int8(of) => drop(write!(value, ".including_padding_of({})", of.zero_point)),
                _ => value.push_str(".including_padding()"),
            }
        }
        let types = format!("{kind}<{}, {}>", tensor(self.input()), tensor(self.output()));
        layer.stream = Some(format!("{upper}_SHAPE.stream_words::<{}>()", self.output().element.rust()));
        self.declare(text, layer, "const", &[kind, "Pool2dShape"], &types, &value);
        let [h, w] = shape.window;
        let what = if kind == "MaxPool2d" { "max" } else { "average" };
        let whole = shape.window == [shape.input[0], shape.input[1]] && shape.padding == [0; 4];
        let geometry = if whole { String::new() } else { geometry(shape.stride, shape.window, shape.padding) };
        layer.words = format!("{what} pooling {h} x {w}{geometry}{}", activation_words(activation));
        if activation != Activation::Identity {
            layer.activation = true;
            let (kind, value) = relu(self.output().element, activation, &layer.quantization);
            layer.imports.push(if activation == Activation::Relu { "Relu" } else { "Relu6" });
            let _ = writeln!(text, "const {upper}_ACTIVATION: {kind} = {value};");
        }
    }

    pub(super) fn mean(&self, text: &mut String, layer: &mut Layer) {
        layer.words = "mean over height and width".to_owned();
        if self.output().element == Element::F32 {
            layer.imports.push("GlobalAveragePool2d");
            layer.expression = Some("GlobalAveragePool2d".to_owned());
            layer.generic = true;
            return;
        }
        let (_, constructor) = self.typed(self.output().element);
        let types = format!("Mean2d<{}, {}>", tensor(self.input()), tensor(self.output()));
        let value = format!("Mean2d::{constructor}({}, {})", self.from(0), layer.quantization);
        self.declare(text, layer, "const", &["Mean2d"], &types, &value);
    }
}
