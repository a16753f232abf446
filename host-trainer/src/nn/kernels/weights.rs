//! The gradient of the weights of a convolution.

#![allow(clippy::needless_range_loop)]

use super::super::lanes::{Lanes, Real};
use super::{Axis, Taps, blocks, run};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// `dw[o][row][column][c] = sum over images and pixels of dy[pixel][o] * x[what the tap sees][c]`, in groups.
#[derive(Clone, Debug)]
pub struct WeightGradient {
    width: usize,
    channels: [usize; 2],
    output_width: usize,
    outputs: [usize; 2],
    filter: [usize; 2],
    /// For each output row and column the rows and columns of the filter and of the input that meet.
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    input_height: usize,
}

impl WeightGradient {
    /// That of a convolution of `channels` to `outputs` channels.
    pub fn new(axes: &[Axis; 2], channels: usize, outputs: usize, groups: usize) -> Self {
        let [rows, columns] = axes;
        Self {
            width: columns.input,
            channels: [channels, channels / groups],
            output_width: columns.output,
            outputs: [outputs, outputs / groups],
            filter: [rows.filter, columns.filter],
            rows: rows.forward(),
            columns: columns.forward(),
            input_height: rows.input,
        }
    }

    fn taps(&self) -> usize {
        self.filter[0] * self.filter[1] * self.channels[1]
    }

    /// Computes `dw` over all images.
    pub fn run<T: Real>(&self, x: &[Lanes<T>], dy: &[Lanes<T>], dw: &mut [T]) {
        const BLOCK: usize = 4;
        let per_group = self.outputs[1];
        // Blocks of outputs that do not cross groups.
        dw.par_chunks_mut(per_group * self.taps()).enumerate().for_each(|(group, dw)| {
            dw.par_chunks_mut(BLOCK * self.taps()).enumerate().for_each(|(block, dw)| {
                run(Block { gradient: self, x, dy, group, first: group * per_group + block * BLOCK, dw });
            });
        });
    }
}

struct Block<'a, T> {
    gradient: &'a WeightGradient,
    x: &'a [Lanes<T>],
    dy: &'a [Lanes<T>],
    group: usize,
    first: usize,
    dw: &'a mut [T],
}

impl<T: Real> Block<'_, T> {
    #[inline(always)]
    fn tap<S: Simd, const OB: usize, const TB: usize>(&mut self, simd: S, o: usize, tap: [usize; 2], c: usize) {
        let g = self.gradient;
        let [channels, group_channels] = g.channels;
        let (input, output) = (g.input_height * g.width * channels, g.rows.len() * g.output_width * g.outputs[0]);
        let mut sums = [[Lanes::<T>::ZERO; TB]; OB];
        for (x, dy) in self.x.chunks_exact(input).zip(self.dy.chunks_exact(output)) {
            for (oy, rows) in g.rows.iter().enumerate() {
                let Some(&(_, iy)) = rows.iter().find(|row| row.0 == tap[0]) else { continue };
                for (ox, columns) in g.columns.iter().enumerate() {
                    let Some(&(_, ix)) = columns.iter().find(|column| column.0 == tap[1]) else { continue };
                    let x = &x[(iy * g.width + ix) * channels + self.group * group_channels + c..][..TB];
                    let dy = &dy[(oy * g.output_width + ox) * g.outputs[0] + self.first + o..][..OB];
                    for o in 0..OB {
                        for t in 0..TB {
                            sums[o][t].add_product(simd, &dy[o], &x[t]);
                        }
                    }
                }
            }
        }
        for i in 0..OB {
            let place = (o + i) * g.taps() + (tap[0] * g.filter[1] + tap[1]) * group_channels + c;
            for t in 0..TB {
                self.dw[place + t] = sums[i][t].sum();
            }
        }
    }
}

impl<T: Real> WithSimd for Block<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let g = self.gradient;
        let outputs = self.dw.len() / g.taps();
        blocks!(outputs, [4, 2, 1], |o, OB| {
            for row in 0..g.filter[0] {
                for column in 0..g.filter[1] {
                    blocks!(g.channels[1], [6, 3, 1], |c, TB| self.tap::<S, OB, TB>(simd, o, [row, column], c));
                }
            }
        });
    }
}
