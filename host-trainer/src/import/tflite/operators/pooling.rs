//! Poolings and means.

use super::super::Reader;
use super::super::tensor::axis_of;
use super::{Call, fused, options, padding, positive};
use crate::graph::Operator as Op;
use crate::import::fault::{Step, broken, nearest, unsupported};
use bareconv::Pool2dShape;

impl<'a> Reader<'a> {
    pub(super) fn pool_2d(&mut self, call: &Call<'a>, maximum: bool) -> Step<()> {
        let options = options!(call, 5, pool_2d);
        call.inputs(1..=1)?;
        self.picture(call.input(0)?)?;
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let window = [positive(options.filter_height()?)?, positive(options.filter_width()?)?];
        let stride = [positive(options.stride_h()?)?, positive(options.stride_w()?)?];
        let from = self.shape(input);
        let padding = padding(options.padding()?, from, window, stride, [1, 1])?;
        let shape = Pool2dShape { input: from, window, stride, padding };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let activation = fused(options.fused_activation()?)?;
        let operator = match maximum {
            true => Op::MaxPool { shape, activation },
            false => Op::AveragePool { shape, including_padding: false, activation },
        };
        self.node_exact(operator, input, shape.output(), output)
    }

    pub(super) fn mean(&mut self, call: &Call<'a>) -> Step<()> {
        let _ = options!(call, 27, reducer).keep_dims()?;
        call.inputs(2..=2)?;
        let (input, output) = self.one_to_one(call)?;
        let rank = self.tensors[call.input(0)?].dimensions.len();
        let from = self.shape(input);
        let mut averaged = [false; 3];
        for axis in self.tensors[call.input(1)?].integers()? {
            match axis_of(axis, rank)? {
                Some(axis) => averaged[axis] = true,
                None => return unsupported("it averages over the batch"),
            }
        }
        // An axis of a single value may be averaged or not.
        let over = |axis: usize| averaged[axis] || from[axis] == 1;
        if !over(0) || !over(1) || averaged[2] {
            return nearest("it is not a mean over height and width", "a mean over height and width, of each channel");
        }
        self.node_shaped(Op::Mean, input, [1, 1, from[2]], output)
    }
}
