//! Functions of values by themselves.

use super::super::Reader;
use super::Call;
use crate::graph::{Element, Function, Numbers, Operator as Op};
use crate::import::fault::{Step, require, unsupported};

impl<'a> Reader<'a> {
    pub(super) fn function(&mut self, call: &Call<'a>, function: Function) -> Step<()> {
        call.inputs(1..=1)?;
        let (input, output) = self.one_to_one(call)?;
        if function == Function::Relu6 {
            self.same_element(input, output)?;
        }
        let shape = self.shape(input);
        self.node_exact(Op::Function(function), input, shape, output)
    }

    pub(super) fn prelu(&mut self, call: &Call<'a>) -> Step<()> {
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
}
