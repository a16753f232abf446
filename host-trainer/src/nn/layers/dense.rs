//! Dense layers.

use super::{Kept, Pass, Scratch, State, Step, bias_gradient};
use crate::nn::engine::Update;
use crate::nn::kernels;
use crate::nn::lanes::{LANES, Lanes, Real};
use rayon::prelude::*;
use std::ops::Range;

/// A dense layer. The gradient of its weights, which may be as large as everything else together, is computed in blocks
/// that are used at once.
#[derive(Clone, Copy, Debug)]
pub struct Dense {
    pub inputs: usize,
    pub outputs: usize,
}

/// Numbers of a block of the gradient, and outputs of which a task computes it.
const BLOCK: usize = 1 << 19;
const ROWS: usize = 8;
/// Outputs, and inputs, that one task computes.
const OUTPUTS: usize = 32;
const INPUTS: usize = 256;

impl Dense {
    fn vectors(&self) -> usize {
        self.inputs.div_ceil(LANES)
    }

    /// Outputs of a block of the gradient.
    fn rows(&self) -> usize {
        (BLOCK / self.inputs).next_multiple_of(ROWS).max(ROWS).min(self.outputs)
    }

    /// Length of the memory for the gradient.
    pub fn gradient_len(&self) -> usize {
        (self.rows() * self.inputs).max(self.outputs) + self.outputs
    }

    /// Computes the gradient of weights and biases, which lie at `range` of `parameters`, and gives it to `update`, block
    /// by block.
    pub fn backward_blocks<T: Real>(
        &self,
        kept: Kept<'_, T>,
        range: Range<usize>,
        parameters: &mut [T],
        gradient: &mut [T],
        scratch: &mut Scratch<T>,
        update: &mut Update<'_, T>,
    ) {
        let (x, dy) = (kept.input(0), kept.error());
        let vectors = self.vectors();
        let transposed = &mut scratch.lanes[..x.len() / self.inputs * LANES * vectors];
        transposed
            .par_chunks_mut(LANES * vectors)
            .zip(x.par_chunks(self.inputs))
            .for_each(|(transposed, x)| kernels::transpose(x, transposed));
        let transposed = &*transposed;
        let end = range.start + self.inputs * self.outputs;
        for first in (0..self.outputs).step_by(self.rows()) {
            let rows = self.rows().min(self.outputs - first);
            let start = range.start + first * self.inputs;
            let mut part = start..start + rows * self.inputs;
            let (dw, db) = gradient.split_at_mut(part.len());
            dw.par_chunks_mut(ROWS * self.inputs).enumerate().for_each(|(block, dw)| {
                let (inputs, outputs, first) = (self.inputs, self.outputs, first + block * ROWS);
                kernels::DenseWeights { x: transposed, vectors, dy, outputs, first, dw, inputs }.run();
            });
            if part.end == end {
                bias_gradient(dy, &mut db[..range.end - end]);
                part.end = range.end;
            }
            update(part.clone(), &gradient[..part.len()], &mut parameters[part]);
        }
    }
}

impl<T: Real> Step<T> for Dense {
    fn keeps_input(&self) -> bool {
        true
    }

    fn scratch(&self) -> [usize; 2] {
        [0, self.vectors() * LANES]
    }

    fn forward(
        &mut self,
        _: Pass,
        parameters: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let (weights, bias) = parameters.split_at(self.inputs * self.outputs);
        let x = x[0].expect("not in place").par_chunks(self.inputs);
        y.par_chunks_mut(self.outputs).zip(x).for_each(|(y, x)| {
            y.par_chunks_mut(OUTPUTS).enumerate().for_each(|(block, y)| {
                let first = block * OUTPUTS;
                let bias = if bias.is_empty() { bias } else { &bias[first..][..y.len()] };
                kernels::Dense { x, weights: &weights[first * self.inputs..][..y.len() * self.inputs], bias, y }.run();
            });
        });
    }

    fn backward_input(
        &mut self,
        _: Pass,
        parameters: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let (weights, inputs) = (&parameters[..self.inputs * self.outputs], self.inputs);
        dx.par_chunks_mut(self.inputs).zip(kept.error().par_chunks(self.outputs)).for_each(|(dx, dy)| {
            dx.par_chunks_mut(INPUTS).enumerate().for_each(|(block, dx)| {
                kernels::DenseInput { dy, weights, inputs, first: block * INPUTS, add, dx }.run();
            });
        });
    }

    fn as_dense(&mut self) -> Option<&mut Dense> {
        Some(self)
    }
}
