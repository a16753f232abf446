//! Functions of single values, and of each pixel's channels.

use super::super::numbers::{Literal, array, quantization};
use super::{Declaration, Layer};
use crate::graph::{Element, Function, Numbers};
use bareconv::Activation;
use std::fmt::Write;

impl Declaration<'_> {
    pub(super) fn function(&self, text: &mut String, layer: &mut Layer, function: &Function) {
        layer.generic = true;
        let (from, to) = (self.from(0).to_owned(), layer.quantization.clone());
        let (element, same) = (self.input().element, self.input().element == self.output().element);
        let channels = self.input().shape[2];
        let table =
            |arguments: &str| ("static", vec!["Int8Table"], "Int8Table".to_owned(), format!("Int8Table::{arguments}"));
        let unit = |name: &'static str| ("const", vec![name], name.to_owned(), name.to_owned());
        let (storage, imports, kind, value) = match (function, element) {
            (Function::Relu | Function::Relu6, _) if same => {
                let activation = if *function == Function::Relu { Activation::Relu } else { Activation::Relu6 };
                let (kind, value) = relu(element, activation, &to);
                ("const", vec![if activation == Activation::Relu { "Relu" } else { "Relu6" }], kind, value)
            }
            (Function::Relu, Element::Int8(_)) => table(&format!("relu({from}, {to})")),
            (Function::Relu6, Element::Int8(_)) => table(&format!("relu6({from}, {to})")),
            (Function::Relu | Function::Relu6, _) => {
                let value = format!("LeakyReluInt16::new(0.0, {from}, {to})");
                ("const", vec!["LeakyReluInt16"], "LeakyReluInt16".to_owned(), value)
            }
            (Function::LeakyRelu { slope }, Element::Int8(_)) => {
                table(&format!("leaky_relu({}, {from}, {to})", slope.literal()))
            }
            (Function::LeakyRelu { slope }, Element::Int16(_)) => {
                let value = format!("LeakyReluInt16::new({}, {from}, {to})", slope.literal());
                ("const", vec!["LeakyReluInt16"], "LeakyReluInt16".to_owned(), value)
            }
            (Function::LeakyRelu { slope }, Element::F32) => (
                "const",
                vec!["LeakyReluF32"],
                "LeakyReluF32".to_owned(),
                format!("LeakyReluF32::new({})", slope.literal()),
            ),
            (Function::PRelu { slopes, quantization: of }, element) => {
                let upper = self.upper();
                let (numbers, number) = match slopes {
                    Numbers::Int8(slopes) => (array(slopes, &[channels], 0), "i8"),
                    Numbers::Int16(slopes) => (array(slopes, &[channels], 0), "i16"),
                    Numbers::F32(slopes) => (array(slopes, &[channels], 0), "f32"),
                };
                let _ = write!(
                    layer.weights,
                    "/// The slopes of `{}`.\npub const {upper}_SLOPES: [{number}; {channels}] = {numbers};\n\n",
                    self.name
                );
                let kind = match element {
                    Element::Int8(_) => "PReluInt8",
                    Element::Int16(_) => "PReluInt16",
                    Element::F32 => "PReluF32",
                };
                let more = of.map_or(String::new(), |of| format!(", {}, {from}, {to}", quantization(of)));
                (
                    "static",
                    vec![kind],
                    format!("{kind}<{channels}>"),
                    format!("{kind}::new(weights::{upper}_SLOPES{more})"),
                )
            }
            (Function::HardSwish, Element::F32) => unit("HardSwishF32"),
            (Function::HardSwish, _) => table(&format!("hard_swish({from}, {to})")),
            (Function::HardSigmoid { alpha, beta }, _) => {
                layer.imports.push("HardSigmoidF32");
                let function = format!("HardSigmoidF32::new({}, {})", alpha.literal(), beta.literal());
                match element {
                    Element::F32 => ("const", vec![], "HardSigmoidF32".to_owned(), function),
                    _ => table(&format!("hard_sigmoid({function}, {from}, {to})")),
                }
            }
            (Function::LocalResponse { size, alpha, beta, k }, element) => {
                layer.imports.push("LocalResponse");
                let [alpha, beta, k] = [alpha, beta, k].map(|number| number.literal());
                let norm = format!("LocalResponse::new({size}, {alpha}, {beta}, {k})");
                let (kind, more) = match element {
                    Element::F32 => ("LocalResponseNormF32", String::new()),
                    _ => ("LocalResponseNormInt8", format!(", {from}, {to}")),
                };
                ("const", vec![kind], kind.to_owned(), format!("{kind}::new({norm}{more})"))
            }
            (Function::Table { of, outputs }, _) => {
                let upper = self.upper();
                let numbers = array(&outputs[..], &[256], 0);
                let _ = write!(
                    layer.weights,
                    "/// The outputs of `{}`, {of}, for -128, -127, ..., 127.\npub const {upper}_OUTPUTS: [i8; 256] = {numbers};\n\n",
                    self.name
                );
                table(&format!("new(weights::{upper}_OUTPUTS)"))
            }
            (Function::Sigmoid, Element::F32) => unit("SigmoidF32"),
            (Function::Sigmoid, Element::Int8(_)) => table(&format!("sigmoid({from})")),
            (Function::Sigmoid, Element::Int16(_)) => {
                ("const", vec!["SigmoidInt16"], "SigmoidInt16".to_owned(), format!("SigmoidInt16::new({from})"))
            }
            (Function::Tanh, Element::F32) => unit("TanhF32"),
            (Function::Tanh, Element::Int8(_)) => table(&format!("tanh({from})")),
            (Function::Tanh, Element::Int16(_)) => {
                ("const", vec!["TanhInt16"], "TanhInt16".to_owned(), format!("TanhInt16::new({from})"))
            }
            (Function::Softmax { .. }, Element::F32) => unit("SoftmaxF32"),
            (Function::Softmax { beta }, Element::Int8(of)) => (
                "const",
                vec!["SoftmaxInt8"],
                "SoftmaxInt8".to_owned(),
                format!("SoftmaxInt8::new({}, {})", of.scale.literal(), beta.literal()),
            ),
            (Function::Softmax { beta }, Element::Int16(_)) => (
                "const",
                vec!["SoftmaxInt16"],
                "SoftmaxInt16".to_owned(),
                format!("SoftmaxInt16::new({from}, {})", beta.literal()),
            ),
        };
        layer.words = match function {
            Function::Relu => "ReLU".to_owned(),
            Function::Relu6 => "ReLU6".to_owned(),
            Function::LeakyRelu { slope } => format!("leaky ReLU, slope {slope}"),
            Function::PRelu { .. } => "PReLU".to_owned(),
            Function::HardSwish => "hard swish".to_owned(),
            Function::HardSigmoid { .. } => "hard sigmoid".to_owned(),
            Function::LocalResponse { size, .. } => format!("local response of {size} channels"),
            Function::Table { of, .. } => format!("{of}, a table"),
            Function::Sigmoid => "sigmoid".to_owned(),
            Function::Tanh => "tanh".to_owned(),
            Function::Softmax { .. } => "softmax".to_owned(),
        };
        if kind == "Int8Table" || kind.starts_with("PRelu") {
            layer.flash = Some(format!("size_of::<{kind}>()"));
        }
        self.declare(text, layer, storage, &imports, &kind, &value);
    }
}

pub(super) fn relu(element: Element, activation: Activation, quantization: &str) -> (String, String) {
    match (activation, element) {
        (Activation::Relu6, Element::Int8(_)) => ("Relu6<i8>".to_owned(), format!("Relu6::int8({quantization})")),
        (Activation::Relu6, Element::Int16(_)) => ("Relu6<i16>".to_owned(), format!("Relu6::int16({quantization})")),
        (Activation::Relu6, Element::F32) => ("Relu6<f32>".to_owned(), "Relu6::float()".to_owned()),
        (_, Element::Int8(_)) => ("Relu<i8>".to_owned(), format!("Relu::int8({quantization}.zero_point)")),
        (_, Element::Int16(_)) => ("Relu<i16>".to_owned(), "Relu::int16()".to_owned()),
        (_, Element::F32) => ("Relu<f32>".to_owned(), "Relu::float()".to_owned()),
    }
}
