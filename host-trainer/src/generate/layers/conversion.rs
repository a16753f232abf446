//! Between reals and integers, and integers of different quantizations.

use super::super::product_rounding;
use super::{Declaration, Layer};
use crate::graph::Element;

impl Declaration<'_> {
    pub(super) fn quantize(&self, text: &mut String, layer: &mut Layer) {
        layer.words = "quantize".to_owned();
        layer.generic = true;
        let (kind, constructor) = self.typed(self.output().element);
        let value = format!("Quantize::{constructor}({})", layer.quantization);
        self.declare(text, layer, "const", &["Quantize"], &format!("Quantize<{kind}>"), &value);
    }

    pub(super) fn dequantize(&self, text: &mut String, layer: &mut Layer) {
        layer.words = "dequantize".to_owned();
        layer.generic = true;
        let (kind, constructor) = self.typed(self.input().element);
        let value = format!("Dequantize::{constructor}({})", self.from(0));
        self.declare(text, layer, "const", &["Dequantize"], &format!("Dequantize<{kind}>"), &value);
    }

    pub(super) fn requantize(&self, text: &mut String, layer: &mut Layer) {
        layer.words = "requantize".to_owned();
        layer.generic = true;
        let rounding = product_rounding(self.graph.rounding);
        layer.imports.push(rounding);
        let (from, to) = (self.input().element, self.output().element);
        let constructor = match (from, to) {
            (Element::Int8(_), Element::Int8(_)) => "int8",
            (Element::Int8(_), _) => "int8_to_int16",
            (_, Element::Int8(_)) => "int16_to_int8",
            _ => "int16",
        };
        let kind = format!("Requantize<{}, {}, {rounding}>", from.rust(), to.rust());
        let value = format!("Requantize::{constructor}({}, {})", self.from(0), layer.quantization);
        self.declare(text, layer, "const", &["Requantize"], &kind, &value);
    }
}
