//! The gradient of the weights of a convolution.

#![allow(clippy::needless_range_loop)]

use super::super::lanes::{LANES, Lanes, Real};
use super::{Axis, blocks};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// `dw[o][row][column][c] = sum over images and pixels of dy[pixel][o] * x[what the tap sees][c]`, in groups.
///
/// A band of output rows at a time, the input is copied with its padding. Where a row of a filter has many weights, that
/// of input and errors is turned from images side by side to images one after the other: vectors then run over
/// neighbouring weights, whose sums need no sum across a vector. Where it has few, vectors stay those of images.
#[derive(Clone, Debug)]
pub struct WeightGradient {
    /// Height and width of input and output.
    input: [usize; 2],
    output: [usize; 2],
    filter: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    before: [usize; 2],
    channels: [usize; 2],
    outputs: [usize; 2],
    groups: usize,
    /// Output rows of a band.
    band: usize,
}

/// Numbers of a band, more or less: what a core's cache holds.
const BAND: usize = 1 << 19;
/// The least weights of a row of a filter for which images are turned.
const TURNED: usize = 12;
/// Outputs of a task, and the most vectors of weights of a block.
const OUTPUTS: usize = 8;
const VECTORS: usize = 3;

impl WeightGradient {
    /// That of a convolution of `channels` to `outputs` channels.
    pub fn new(axes: &[Axis; 2], channels: usize, outputs: usize, groups: usize) -> Self {
        let of = |f: fn(&Axis) -> usize| [f(&axes[0]), f(&axes[1])];
        let mut gradient = Self {
            input: of(|axis| axis.input),
            output: of(|axis| axis.output),
            filter: of(|axis| axis.filter),
            stride: of(|axis| axis.stride),
            dilation: of(|axis| axis.dilation),
            before: of(|axis| axis.before),
            channels: [channels, channels / groups],
            outputs: [outputs, outputs / groups],
            groups,
            band: 1,
        };
        gradient.band = if gradient.turns() {
            let row = gradient.stride[0] * gradient.padded_row() + gradient.output[1] * outputs;
            (BAND / (row * LANES)).clamp(1, gradient.output[0])
        } else {
            gradient.output[0]
        };
        gradient
    }

    fn taps(&self) -> usize {
        self.filter[0] * self.filter[1] * self.channels[1]
    }

    /// Neighbouring weights that meet neighbouring inputs, and how often there are such in a row of a filter.
    fn run(&self) -> [usize; 2] {
        if self.groups == 1 && self.dilation[1] == 1 {
            [self.filter[1] * self.channels[1], 1]
        } else {
            [self.channels[1], self.filter[1]]
        }
    }

    fn turns(&self) -> bool {
        self.run()[0] >= TURNED
    }

    /// Values of an input row with its padding.
    fn padded_row(&self) -> usize {
        ((self.output[1] - 1) * self.stride[1] + (self.filter[1] - 1) * self.dilation[1] + 1) * self.channels[0]
    }

    /// Input rows, padding included, of so many output rows.
    fn padded_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.stride[0] + (self.filter[0] - 1) * self.dilation[0] + 1
    }

    /// Length of the scratch memory: numbers, and lanes for each chunk.
    pub fn scratch(&self) -> [usize; 2] {
        let input = self.padded_rows(self.band) * self.padded_row();
        if self.turns() {
            [LANES * (input + VECTORS + self.band * self.output[1] * self.outputs[0]), 0]
        } else {
            [0, input]
        }
    }

    /// What of row `row` of the padded input lies in the input: the row there, the first value that is not padding, and
    /// how many.
    fn inside(&self, row: usize) -> Option<[usize; 3]> {
        let row = row.checked_sub(self.before[0]).filter(|&row| row < self.input[0])?;
        let left = self.before[1] * self.channels[0];
        let count = (self.input[1] * self.channels[0]).min(self.padded_row().saturating_sub(left));
        Some([row, left, count])
    }

    /// Computes `dw` over all images.
    pub fn compute<T: Real>(
        &self,
        x: &[Lanes<T>],
        dy: &[Lanes<T>],
        dw: &mut [T],
        numbers: &mut [T],
        lanes: &mut [Lanes<T>],
    ) {
        let input = self.input[0] * self.input[1] * self.channels[0];
        let output = self.output[0] * self.output[1] * self.outputs[0];
        let chunks = x.chunks_exact(input).zip(dy.chunks_exact(output));
        if self.turns() {
            dw.fill(T::ZERO);
            for (x, dy) in chunks {
                for first in (0..self.output[0]).step_by(self.band) {
                    self.turned_band(x, dy, first, dw, numbers);
                }
            }
            return;
        }
        let padded = self.padded_rows(self.output[0]) * self.padded_row();
        let mut parts = vec![T::ZERO; x.len() / input * dw.len()];
        parts
            .par_chunks_mut(dw.len())
            .zip(lanes.par_chunks_mut(padded))
            .zip(x.par_chunks(input).zip(dy.par_chunks(output)))
            .for_each(|((dw, padded), (x, dy))| {
                padded.fill(Lanes::ZERO);
                for (row, target) in padded.chunks_exact_mut(self.padded_row()).enumerate() {
                    if let Some([row, left, count]) = self.inside(row) {
                        let source = &x[row * self.input[1] * self.channels[0]..][..count];
                        target[left..][..count].copy_from_slice(source);
                    }
                }
                T::run(Images { gradient: self, x: padded, dy, dw });
            });
        dw.fill(T::ZERO);
        for part in parts.chunks_exact(dw.len()) {
            for (dw, part) in dw.iter_mut().zip(part) {
                *dw = *dw + *part;
            }
        }
    }

    /// Adds what the output rows from `first` on of a chunk give.
    fn turned_band<T: Real>(&self, x: &[Lanes<T>], dy: &[Lanes<T>], first: usize, dw: &mut [T], numbers: &mut [T]) {
        let rows = self.band.min(self.output[0] - first);
        let (padded, row) = (self.padded_row(), self.output[1] * self.outputs[0]);
        let (turned_x, rest) = numbers.split_at_mut(LANES * (self.padded_rows(rows) * padded + VECTORS));
        let turned_dy = &mut rest[..LANES * rows * row];
        turned_x.par_chunks_mut(LANES * padded).enumerate().for_each(|(number, turned)| {
            turned.fill(T::ZERO);
            if let Some([row, left, count]) = self.inside(first * self.stride[0] + number)
                && turned.len() == LANES * padded
            {
                let source = &x[row * self.input[1] * self.channels[0]..][..count];
                turn(source, &mut turned[left..], padded);
            }
        });
        let source = dy[first * row..].par_chunks(row);
        turned_dy.par_chunks_mut(LANES * row).zip(source).for_each(|(turned, dy)| turn(dy, turned, row));
        let (x, dy) = (&*turned_x, &*turned_dy);
        // Blocks of outputs that do not cross groups.
        dw.par_chunks_mut(self.outputs[1] * self.taps()).enumerate().for_each(|(group, dw)| {
            dw.par_chunks_mut(OUTPUTS * self.taps()).enumerate().for_each(|(block, dw)| {
                let first = group * self.outputs[1] + block * OUTPUTS;
                T::run(Weights { gradient: self, x, dy, rows, group, first, dw });
            });
        });
    }
}

/// Turns `[value][image]` into `[image][value]`, images being `stride` apart.
fn turn<T: Real>(x: &[Lanes<T>], turned: &mut [T], stride: usize) {
    T::run(
        #[inline(always)]
        || {
            let (blocks, rest) = x.as_chunks::<LANES>();
            for image in 0..LANES {
                let (targets, last) = turned[image * stride..][..x.len()].as_chunks_mut::<LANES>();
                for (target, block) in targets.iter_mut().zip(blocks) {
                    for i in 0..LANES {
                        target[i] = block[i].0[image];
                    }
                }
                for (target, lanes) in last.iter_mut().zip(rest) {
                    *target = lanes.0[image];
                }
            }
        },
    );
}

/// A block of outputs, vectors running over weights.
struct Weights<'a, T> {
    gradient: &'a WeightGradient,
    /// `[row][image][column][channel]`.
    x: &'a [T],
    dy: &'a [T],
    rows: usize,
    group: usize,
    first: usize,
    dw: &'a mut [T],
}

impl<T: Real> Weights<'_, T> {
    /// `V` vectors of weights of `OB` outputs: those from `place` on of an output, which meet the inputs from `column` on
    /// of a padded row.
    #[inline(always)]
    fn block<S: Simd, const OB: usize, const V: usize>(
        &mut self,
        simd: S,
        o: usize,
        filter_row: usize,
        column: usize,
        place: usize,
        length: usize,
    ) {
        let g = self.gradient;
        let (padded, advance) = (g.padded_row(), g.stride[1] * g.channels[0]);
        let row = g.output[1] * g.outputs[0];
        let mut sums = [[Lanes::<T>::ZERO; V]; OB];
        for r in 0..self.rows {
            let input_row = r * g.stride[0] + filter_row * g.dilation[0];
            for image in 0..LANES {
                let mut x = &self.x[(input_row * LANES + image) * padded + column..];
                let dy = &self.dy[(r * LANES + image) * row..][..row];
                for dy in dy.chunks_exact(g.outputs[0]) {
                    let dy = &dy[self.first + o..][..OB];
                    let vectors = &x.as_chunks::<LANES>().0[..V];
                    for v in 0..V {
                        for o in 0..OB {
                            T::add_scaled(simd, &mut sums[o][v].0, &vectors[v], dy[o]);
                        }
                    }
                    x = x.get(advance..).unwrap_or_default();
                }
            }
        }
        for i in 0..OB {
            let dw = &mut self.dw[(o + i) * g.taps() + place..][..length];
            for (dw, sum) in dw.iter_mut().zip(sums[i].iter().flat_map(|lanes| &lanes.0)) {
                *dw = *dw + *sum;
            }
        }
    }
}

impl<T: Real> WithSimd for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let g = self.gradient;
        let [run, repeats] = g.run();
        let outputs = self.dw.len() / g.taps();
        for filter_row in 0..g.filter[0] {
            for repeat in 0..repeats {
                let start = repeat * g.dilation[1] * g.channels[0] + self.group * g.channels[1];
                let place = (filter_row * repeats + repeat) * run;
                blocks!(run.div_ceil(LANES), [3, 2, 1], |v, V| {
                    let at = v * LANES;
                    let length = (V * LANES).min(run - at);
                    blocks!(outputs, [8, 4, 2, 1], |o, OB| {
                        self.block::<S, OB, V>(simd, o, filter_row, start + at, place + at, length);
                    });
                });
            }
        }
    }
}

/// All weights, of a chunk, vectors running over images.
struct Images<'a, T> {
    gradient: &'a WeightGradient,
    /// The padded input.
    x: &'a [Lanes<T>],
    dy: &'a [Lanes<T>],
    dw: &'a mut [T],
}

impl<T: Real> Images<'_, T> {
    #[inline(always)]
    fn block<S: Simd, const OB: usize, const TB: usize>(
        &mut self,
        simd: S,
        o: usize,
        filter_row: usize,
        column: usize,
        place: usize,
    ) {
        let g = self.gradient;
        let (padded, advance) = (g.padded_row(), g.stride[1] * g.channels[0]);
        let mut sums = [[Lanes::<T>::ZERO; TB]; OB];
        for (r, dy) in self.dy.chunks_exact(g.output[1] * g.outputs[0]).enumerate() {
            let x = &self.x[(r * g.stride[0] + filter_row * g.dilation[0]) * padded..][..padded];
            for ox in 0..g.output[1] {
                let x = &x[ox * advance + column..][..TB];
                let dy = &dy[ox * g.outputs[0] + o..][..OB];
                for i in 0..OB {
                    for t in 0..TB {
                        sums[i][t].add_product(simd, &dy[i], &x[t]);
                    }
                }
            }
        }
        for i in 0..OB {
            for t in 0..TB {
                self.dw[(o + i) * g.taps() + place + t] = sums[i][t].sum();
            }
        }
    }
}

impl<T: Real> WithSimd for Images<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let g = self.gradient;
        let [run, repeats] = g.run();
        for group in 0..g.groups {
            for filter_row in 0..g.filter[0] {
                for repeat in 0..repeats {
                    let start = repeat * g.dilation[1] * g.channels[0] + group * g.channels[1];
                    let place = (filter_row * repeats + repeat) * run;
                    blocks!(g.outputs[1], [4, 2, 1], |o, OB| {
                        let first = group * g.outputs[1] + o;
                        blocks!(run, [5, 3, 1], |t, TB| {
                            self.block::<S, OB, TB>(simd, first, filter_row, start + t, place + t);
                        });
                    });
                }
            }
        }
    }
}
