//! Sums, differences and products of two tensors.

use super::super::{product_rounding, tensor_of as tensor};
use super::shape::{activation_text, activation_words};
use super::{Declaration, Layer};
use crate::graph::Element;
use crate::plan::Form;
use bareconv::Activation;

impl Declaration<'_> {
    pub(super) fn join(
        &self,
        text: &mut String,
        layer: &mut Layer,
        kind: &'static str,
        activation: Activation,
    ) -> Result<(), String> {
        let to = self.output().shape;
        let shapes = [0, 1].map(|i| self.value(self.node.inputs[i]).shape);
        // The first operand has the output's shape; what runs in place is the first, too.
        let (mut kind, commutes) = (kind, kind != "Subtract");
        let order = match (self.form, shapes.map(|shape| shape == to)) {
            (Form::InPlace(1), _) if commutes => [1, 0],
            (_, [true, _]) => [0, 1],
            (_, [_, true]) => [1, 0],
            _ => return Err("one operand must have the output's shape".to_owned()),
        };
        if !commutes && order == [1, 0] {
            kind = "SubtractFrom";
        }
        layer.inputs = order.map(|i| self.node.inputs[i]).to_vec();
        let [a, b] = order.map(|i| tensor(self.value(self.node.inputs[i])));
        let activation_code = activation_text(activation);
        let (types, value) = if self.output().element == Element::F32 {
            (format!("{kind}<{a}, {b}>"), format!("{kind}::float({activation_code})"))
        } else {
            let rounding = product_rounding(self.graph.rounding);
            layer.imports.push(rounding);
            let (_, constructor) = self.typed(self.output().element);
            let [x, y] = order.map(|i| self.from(i));
            (
                format!("{kind}<{a}, {b}, {rounding}>"),
                format!("{kind}::{constructor}([{x}, {y}], {}, {activation_code})", layer.quantization),
            )
        };
        let word = if commutes { kind.to_ascii_lowercase() } else { "subtract".to_owned() };
        layer.words = format!("{word}{}", activation_words(activation));
        self.declare(text, layer, "const", &[kind, "Activation"], &types, &value);
        Ok(())
    }
}
