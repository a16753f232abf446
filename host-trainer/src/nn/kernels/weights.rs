//! The gradient of the weights of a convolution.

#![allow(clippy::needless_range_loop)]

use super::super::lanes::{LANES, Lanes, Real};
use super::{Axis, blocks};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// `dw[o][row][column][c] = sum over images and pixels of dy[pixel][o] * x[what the tap sees][c]`, in groups.
///
/// Vectors run over outputs: a few rows at a time, the errors are turned from images side by side to outputs side by side,
/// and meet the numbers of the input where they lie. Few outputs would leave vectors empty; theirs run over images, and
/// are summed across in the end. Each chunk of images has sums of its own, which are added in the order of chunks.
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
    /// Whether all weights of a row of a filter are one run, which meets neighbouring inputs.
    merged: bool,
    /// Columns of padding before the copy of the input that is read, if it has padding and runs are merged.
    copied: Option<usize>,
    /// Columns of the input, or of its copy.
    width: usize,
    /// For each column of the filter the output columns for which it is inside.
    inside: Vec<Range<usize>>,
    /// Output rows of a band.
    band: usize,
}

/// The most lanes of the errors of a band: a part of what a core's cache holds.
const BAND: usize = 1 << 12;
/// So many outputs leave half of a vector empty.
const FEW_OUTPUTS: usize = LANES / 2;
/// So few channels make short runs.
const FEW_CHANNELS: usize = 7;
/// The most vectors of outputs of a block, and the outputs where vectors run over images.
const VECTORS: usize = 2;
const OUTPUTS: usize = 3;

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
            merged: channels <= FEW_CHANNELS && groups == 1 && axes[1].dilation == 1,
            copied: None,
            width: axes[1].input,
            inside: axes[1].inside(),
            band: 1,
        };
        let whole = 0..axes[1].output;
        if gradient.merged && gradient.inside.iter().any(|columns| *columns != whole) {
            gradient.width = (axes[1].output - 1) * axes[1].stride + axes[1].filter;
            gradient.copied = Some(std::mem::take(&mut gradient.before[1]));
            gradient.inside.fill(whole);
        }
        gradient.band = (BAND / gradient.turned_row()).clamp(1, axes[0].output);
        gradient
    }

    fn taps(&self) -> usize {
        self.filter[0] * self.filter[1] * self.channels[1]
    }

    /// Weights of a run, and runs of a row of a filter.
    fn run(&self) -> [usize; 2] {
        if self.merged { [self.filter[1] * self.channels[1], 1] } else { [self.channels[1], self.filter[1]] }
    }

    /// Whether vectors run over images.
    fn few_outputs(&self) -> bool {
        self.outputs[1] <= FEW_OUTPUTS
    }

    /// Vectors of the outputs of a group.
    fn vectors(&self) -> usize {
        self.outputs[1].div_ceil(LANES)
    }

    /// Lanes of a row of turned errors.
    fn turned_row(&self) -> usize {
        self.output[1] * self.groups * self.vectors() * LANES
    }

    /// Lanes of the input with its padding, of the sums and of a band of turned errors.
    fn parts(&self) -> [usize; 3] {
        let rows = if self.few_outputs() { self.output[0] } else { self.band };
        let rows = ((rows - 1) * self.stride[0] + (self.filter[0] - 1) * self.dilation[0] + 1).min(self.input[0]);
        let padded = if self.copied.is_some() { rows * self.width * self.channels[0] } else { 0 };
        if self.few_outputs() {
            [padded, self.outputs[0] * self.taps(), 0]
        } else {
            [padded, self.groups * self.taps() * self.vectors(), self.band * self.turned_row()]
        }
    }

    /// Length of the scratch memory, in lanes for each chunk.
    pub fn scratch(&self) -> usize {
        self.parts().iter().sum()
    }

    /// Computes `dw` over all images.
    pub fn compute<T: Real>(&self, x: &[Lanes<T>], dy: &[Lanes<T>], dw: &mut [T], lanes: &mut [Lanes<T>]) {
        let input = self.input[0] * self.input[1] * self.channels[0];
        let output = self.output[0] * self.output[1] * self.outputs[0];
        let [padded, sums, _] = self.parts();
        let chunks = x.par_chunks(input).zip(dy.par_chunks(output));
        let lanes = &mut lanes[..x.len() / input * self.scratch()];
        lanes.par_chunks_mut(self.scratch()).zip(chunks).for_each(|(lanes, (x, dy))| self.chunk(x, dy, lanes));

        let chunks = || lanes.chunks_exact(self.scratch()).map(|lanes| &lanes[padded..][..sums]);
        let total = |place: usize| {
            let mut total = Lanes::ZERO;
            chunks().for_each(|sums| total.add(&sums[place]));
            total
        };
        let (taps, vectors) = (self.taps(), self.vectors());
        if self.few_outputs() {
            dw.iter_mut().enumerate().for_each(|(place, dw)| *dw = total(place).sum());
            return;
        }
        dw.par_chunks_mut(self.outputs[1] * taps).enumerate().for_each(|(group, dw)| {
            dw.par_chunks_mut(LANES * taps).enumerate().for_each(|(vector, dw)| {
                for tap in 0..taps {
                    let total = total((group * taps + tap) * vectors + vector);
                    for (dw, value) in dw[tap..].iter_mut().step_by(taps).zip(total.0) {
                        *dw = value;
                    }
                }
            });
        });
    }

    /// The sums of a chunk.
    fn chunk<T: Real>(&self, x: &[Lanes<T>], dy: &[Lanes<T>], lanes: &mut [Lanes<T>]) {
        let [padded, sums, _] = self.parts();
        let (padded, rest) = lanes.split_at_mut(padded);
        let (sums, turned) = rest.split_at_mut(sums);
        sums.fill(Lanes::ZERO);
        if self.few_outputs() {
            let x = self.seen(x, 0..self.output[0], padded);
            sums.par_chunks_mut(self.outputs[1] * self.taps()).enumerate().for_each(|(group, sums)| {
                sums.par_chunks_mut(OUTPUTS * self.taps()).enumerate().for_each(|(block, sums)| {
                    let first = group * self.outputs[1] + block * OUTPUTS;
                    T::run(Images { gradient: self, x, dy, group, first, sums });
                });
            });
            return;
        }
        let ([run, runs], row) = (self.run(), self.output[1] * self.outputs[0]);
        for first in (0..self.output[0]).step_by(self.band) {
            let rows = first..(first + self.band).min(self.output[0]);
            let turned = &mut turned[..rows.len() * self.turned_row()];
            let source = dy[first * row..].par_chunks(row);
            turned
                .par_chunks_mut(self.turned_row())
                .zip(source)
                .for_each(|(turned, dy)| T::run(Turn { gradient: self, dy, turned }));
            let (x, dy) = (self.seen(x, rows.clone(), padded), &*turned);
            sums.par_chunks_mut(run * self.vectors()).enumerate().for_each(|(number, sums)| {
                let (column, row, group) =
                    (number % runs, number / runs % self.filter[0], number / runs / self.filter[0]);
                T::run(Weights { gradient: self, x, dy, rows: rows.clone(), group, row, column, sums });
            });
        }
    }

    /// What output rows see of a chunk's input: all of it, or a copy of its rows between zeros.
    fn seen<'a, T: Real>(&self, x: &'a [Lanes<T>], outputs: Range<usize>, copy: &'a mut [Lanes<T>]) -> Seen<'a, T> {
        let Some(left) = self.copied else { return Seen { x, first: 0 } };
        let first = (outputs.start * self.stride[0]).saturating_sub(self.before[0]).min(self.input[0]);
        let last = (outputs.end - 1) * self.stride[0] + (self.filter[0] - 1) * self.dilation[0] + 1;
        let last = last.saturating_sub(self.before[0]).clamp(first, self.input[0]);
        let channels = self.channels[0];
        let (left, row, source) = (left * channels, self.width * channels, self.input[1] * channels);
        let copy = &mut copy[..(last - first) * row];
        copy.par_chunks_mut(row).zip(x[first * source..].par_chunks(source)).for_each(|(copy, x)| {
            let used = x.len().min(row - left);
            copy[..left].fill(Lanes::ZERO);
            copy[left..][..used].copy_from_slice(&x[..used]);
            copy[left + used..].fill(Lanes::ZERO);
        });
        Seen { x: copy, first }
    }

    /// The row of the input that a row of the filter sees from an output row, or none in the padding.
    fn input_row(&self, output: usize, filter: usize) -> Option<usize> {
        let row = (output * self.stride[0] + filter * self.dilation[0]).checked_sub(self.before[0]);
        row.filter(|&row| row < self.input[0])
    }

    /// The first number that a run sees from a pixel of the output.
    fn place(&self, row: usize, output: usize, filter: usize, group: usize) -> usize {
        let column = output * self.stride[1] + filter * self.dilation[1] - self.before[1];
        (row * self.width + column) * self.channels[0] + group * self.channels[1]
    }
}

/// Rows of the input of a chunk, from `first` on.
#[derive(Clone, Copy)]
struct Seen<'a, T> {
    x: &'a [Lanes<T>],
    first: usize,
}

/// Turns a row of errors: for each pixel and block of vectors of outputs `[image][vector]`.
struct Turn<'a, T> {
    gradient: &'a WeightGradient,
    dy: &'a [Lanes<T>],
    turned: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for Turn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let g = self.gradient;
        let targets = self.turned.chunks_exact_mut(g.vectors() * LANES);
        for (target, dy) in targets.zip(self.dy.chunks_exact(g.outputs[1])) {
            let mut vectors = dy.chunks(LANES);
            for block in target.chunks_mut(VECTORS * LANES) {
                let count = block.len() / LANES;
                for (vector, outputs) in (&mut vectors).take(count).enumerate() {
                    let mut square = [Lanes::ZERO; LANES];
                    square[..outputs.len()].copy_from_slice(outputs);
                    T::transpose(simd, &mut square);
                    for image in 0..LANES {
                        block[image * count + vector] = square[image];
                    }
                }
            }
        }
    }
}

/// The weights of a run, vectors running over outputs.
struct Weights<'a, T> {
    gradient: &'a WeightGradient,
    x: Seen<'a, T>,
    /// Turned errors of these output rows.
    dy: &'a [Lanes<T>],
    rows: Range<usize>,
    group: usize,
    /// The run's row and first column of the filter.
    row: usize,
    column: usize,
    /// `[weight][vector]`
    sums: &'a mut [Lanes<T>],
}

impl<T: Real> Weights<'_, T> {
    /// `TB` weights from `tap` on of the run, `V` vectors of outputs.
    #[inline(always)]
    fn block<S: Simd, const TB: usize, const V: usize>(&mut self, simd: S, tap: usize, vector: usize) {
        let (g, vectors) = (self.gradient, self.gradient.vectors());
        let mut sums = [[Lanes::<T>::ZERO; V]; TB];
        for t in 0..TB {
            sums[t].copy_from_slice(&self.sums[(tap + t) * vectors + vector..][..V]);
        }
        let pixel = g.groups * vectors * LANES;
        let columns = g.inside[self.column].clone();
        for (number, output) in self.rows.clone().enumerate() {
            let Some(row) = g.input_row(output, self.row).filter(|_| !columns.is_empty()) else { continue };
            let mut place = g.place(row - self.x.first, columns.start, self.column, self.group) + tap;
            let dy = &self.dy[number * g.turned_row()..][columns.start * pixel..columns.end * pixel];
            for dy in dy.chunks_exact(pixel) {
                let x = &self.x.x[place..][..TB];
                let dy = &dy[(self.group * vectors + vector) * LANES..][..V * LANES];
                let dy = &dy.as_chunks::<V>().0[..LANES];
                for image in 0..LANES {
                    for t in 0..TB {
                        for v in 0..V {
                            sums[t][v].add_scaled(simd, &dy[image][v], x[t].0[image]);
                        }
                    }
                }
                place += g.stride[1] * g.channels[0];
            }
        }
        for t in 0..TB {
            self.sums[(tap + t) * vectors + vector..][..V].copy_from_slice(&sums[t]);
        }
    }
}

impl<T: Real> WithSimd for Weights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let vectors = self.gradient.vectors();
        let run = self.sums.len() / vectors;
        let pairs = vectors / VECTORS * VECTORS;
        blocks!(S: run, [8, 3, 1], |tap, TB| {
            for vector in (0..pairs).step_by(VECTORS) {
                self.block::<S, TB, VECTORS>(simd, tap, vector);
            }
        });
        if pairs < vectors {
            blocks!(S: run, [16, 8, 3, 1], |tap, TB| self.block::<S, TB, 1>(simd, tap, pairs));
        }
    }
}

/// The weights of a few outputs, vectors running over images.
struct Images<'a, T> {
    gradient: &'a WeightGradient,
    x: Seen<'a, T>,
    dy: &'a [Lanes<T>],
    group: usize,
    first: usize,
    /// `[output][weight]`
    sums: &'a mut [Lanes<T>],
}

impl<T: Real> Images<'_, T> {
    /// `TB` weights from `tap` on of a run, `OB` outputs.
    #[inline(always)]
    fn block<S: Simd, const OB: usize, const TB: usize>(
        &mut self,
        simd: S,
        [row, column]: [usize; 2],
        output: usize,
        tap: usize,
    ) {
        let g = self.gradient;
        let mut sums = [[Lanes::<T>::ZERO; TB]; OB];
        let columns = g.inside[column].clone();
        for (number, dy) in self.dy.chunks_exact(g.output[1] * g.outputs[0]).enumerate() {
            let Some(input) = g.input_row(number, row).filter(|_| !columns.is_empty()) else { continue };
            let mut place = g.place(input - self.x.first, columns.start, column, self.group) + tap;
            for dy in dy[columns.start * g.outputs[0]..columns.end * g.outputs[0]].chunks_exact(g.outputs[0]) {
                let (x, dy) = (&self.x.x[place..][..TB], &dy[self.first + output..][..OB]);
                for o in 0..OB {
                    for t in 0..TB {
                        sums[o][t].add_product(simd, &dy[o], &x[t]);
                    }
                }
                place += g.stride[1] * g.channels[0];
            }
        }
        let [run, runs] = g.run();
        for o in 0..OB {
            let place = (output + o) * g.taps() + (row * runs + column) * run + tap;
            self.sums[place..][..TB].copy_from_slice(&sums[o]);
        }
    }
}

impl<T: Real> WithSimd for Images<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let g = self.gradient;
        let ([run, runs], outputs) = (g.run(), self.sums.len() / g.taps());
        for row in 0..g.filter[0] {
            for column in 0..runs {
                blocks!(S: outputs, [OUTPUTS, 1], |output, OB| {
                    blocks!(S: run, [5, 3, 1], |tap, TB| {
                        self.block::<S, OB, TB>(simd, [row, column], output, tap);
                    });
                });
            }
        }
    }
}
