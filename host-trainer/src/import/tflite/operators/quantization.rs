//! From `f32` to integers, back, and between integers.

use super::super::Reader;
use super::Call;
use crate::graph::{Element, Operator as Op};
use crate::import::fault::{Step, require, unsupported};

impl<'a> Reader<'a> {
    pub(super) fn quantize(&mut self, call: &Call<'a>) -> Step<()> {
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

    pub(super) fn dequantize(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(1..=1)?;
        let (input, output) = self.one_to_one(call)?;
        require(self.element(input) != Element::F32, "its input is float32")?;
        require(self.element(output) == Element::F32, "its output is not float32")?;
        let shape = self.shape(input);
        self.node_exact(Op::Dequantize, input, shape, output)
    }
}
