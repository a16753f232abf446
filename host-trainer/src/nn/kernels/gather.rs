//! Convolutions and transposed convolutions, of activations and of errors: every output pixel gathers what it sees.

// Loops with constant bounds unroll into registers, which is the point of this module.
#![allow(clippy::needless_range_loop)]

use super::super::lanes::{Lanes, Real};
use super::{Axis, Taps, blocks};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Neighbouring taps of a row of a filter: so many contiguous inputs meet so many contiguous weights.
#[derive(Clone, Debug)]
struct Run {
    /// The first one's column in the filter.
    column: usize,
    /// The first one's column in the input.
    input: usize,
    /// How many.
    taps: usize,
}

/// Output pixels of a row that have the same taps: `first`, `first + step`, ...
#[derive(Clone, Debug)]
struct Span {
    first: usize,
    step: usize,
    count: usize,
    /// Input pixels from one to the next.
    advance: usize,
    runs: Vec<Run>,
}

/// A convolution in groups: `y[pixel][o] = start + sum over taps and channels of x * w[o]`.
///
/// The same loops serve convolutions, forward, and transposed ones, which are also the way of errors backwards. Weights
/// are packed for them: for each block of outputs `[filter row][filter column][channel][output of the block]`.
#[derive(Clone, Debug)]
pub struct Gather {
    /// Columns of the input.
    width: usize,
    /// Channels of the input, and those of a group.
    channels: [usize; 2],
    /// Columns of the output.
    output_width: usize,
    /// Channels of the output, and those of a group.
    outputs: [usize; 2],
    groups: usize,
    filter: [usize; 2],
    /// For each output row the rows of the filter and of the input that meet.
    rows: Vec<Taps>,
    spans: Vec<Span>,
}

impl Gather {
    /// A convolution of `channels` to `outputs` channels.
    pub fn forward(axes: &[Axis; 2], channels: usize, outputs: usize, groups: usize) -> Self {
        let [rows, columns] = axes;
        let spans = spans(&columns.forward(), 1, columns.stride, groups == 1);
        Self {
            width: columns.input,
            channels: [channels, channels / groups],
            output_width: columns.output,
            outputs: [outputs, outputs / groups],
            groups,
            filter: [rows.filter, columns.filter],
            rows: rows.forward(),
            spans,
        }
    }

    /// The transposed convolution of `channels` to `outputs` channels, from the output of the axes to their input. The
    /// filter is turned by 180 degrees, so that neighbouring taps lie in the order of the pixels that they see.
    pub fn transposed(axes: &[Axis; 2], channels: usize, outputs: usize, groups: usize) -> Self {
        let [rows, columns] = axes;
        let turned = |axis: &Axis| -> Vec<Taps> {
            let taps = axis.backward().into_iter();
            taps.map(|taps| taps.into_iter().map(|(k, o)| (axis.filter - 1 - k, o)).collect()).collect()
        };
        let spans = spans(&turned(columns), columns.stride, 1, groups == 1);
        Self {
            width: columns.output,
            channels: [channels, channels / groups],
            output_width: columns.input,
            outputs: [outputs, outputs / groups],
            groups,
            filter: [rows.filter, columns.filter],
            rows: turned(rows),
            spans,
        }
    }

    /// Weights of an output.
    fn taps(&self) -> usize {
        self.filter[0] * self.filter[1] * self.channels[1]
    }

    /// Packs weights; `place` tells where that of `[group, output of the group, row, column, channel of the group]` is.
    pub fn pack<T: Real>(&self, weights: &[T], packed: &mut [T], place: impl Fn([usize; 5]) -> usize + Sync) {
        let [rows, columns] = self.filter;
        let per_group = self.outputs[1] * self.taps();
        packed.par_chunks_mut(per_group).enumerate().for_each(|(group, packed)| {
            let mut rest = packed;
            blocks!(self.outputs[1], [8, 6, 4, 2, 1], |first, B| {
                let (block, others) = std::mem::take(&mut rest).split_at_mut(B * self.taps());
                rest = others;
                let mut targets = block.as_chunks_mut::<B>().0.iter_mut();
                for row in 0..rows {
                    for column in 0..columns {
                        for (channel, target) in (&mut targets).take(self.channels[1]).enumerate() {
                            for b in 0..B {
                                target[b] = weights[place([group, first + b, row, column, channel])];
                            }
                        }
                    }
                }
            });
        });
    }

    /// Computes `y` of all images, adding to what it holds or to the biases.
    pub fn run<T: Real>(&self, x: &[Lanes<T>], packed: &[T], bias: &[T], add: bool, y: &mut [Lanes<T>]) {
        let height = self.rows.len();
        let row = self.output_width * self.outputs[0];
        let input = x.len() / (y.len() / (row * height));
        y.par_chunks_mut(row).enumerate().for_each(|(number, y)| {
            T::run(Row {
                gather: self,
                x: &x[number / height * input..][..input],
                packed,
                bias,
                add,
                row: number % height,
                y,
            })
        });
    }
}

/// Spans that between them cover a row, given the taps of each pixel; within one, pixels are `step` apart and what they
/// see `advance`. Neighbouring taps are merged if `merge`.
fn spans(pixels: &[Taps], step: usize, advance: usize, merge: bool) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for phase in 0..step.min(pixels.len()) {
        let mut open: Option<(Taps, Span)> = None;
        for pixel in (phase..pixels.len()).step_by(step) {
            let taps = &pixels[pixel];
            if let Some((last, span)) = &mut open {
                let next = |(a, b): (&(usize, usize), &(usize, usize))| a.0 == b.0 && a.1 + advance == b.1;
                if last.len() == taps.len() && last.iter().zip(taps).all(next) {
                    span.count += 1;
                    last.clone_from(taps);
                    continue;
                }
            }
            let mut runs: Vec<Run> = Vec::new();
            for &(column, input) in taps {
                match runs.last_mut() {
                    Some(run) if merge && run.column + run.taps == column && run.input + run.taps == input => {
                        run.taps += 1;
                    }
                    _ => runs.push(Run { column, input, taps: 1 }),
                }
            }
            let span = Span { first: pixel, step, count: 1, advance, runs };
            spans.extend(open.replace((taps.clone(), span)).map(|(_, span)| span));
        }
        spans.extend(open.map(|(_, span)| span));
    }
    spans
}

/// An output row.
struct Row<'a, T> {
    gather: &'a Gather,
    x: &'a [Lanes<T>],
    packed: &'a [T],
    bias: &'a [T],
    add: bool,
    row: usize,
    y: &'a mut [Lanes<T>],
}

impl<T: Real> Row<'_, T> {
    /// `P` pixels of a span from number `pixel` on, `B` outputs from `first` on, of a group.
    #[inline(always)]
    fn block<S: Simd, const P: usize, const B: usize>(
        &mut self,
        simd: S,
        span: &Span,
        pixel: usize,
        group: usize,
        first: usize,
    ) {
        let g = self.gather;
        let [channels, group_channels] = g.channels;
        let taps = g.taps();
        let first_output = group * g.outputs[1] + first;
        let packed = &self.packed[first_output * taps..][..B * taps];
        let packed = packed.as_chunks::<B>().0;
        let place = |p: usize| (span.first + (pixel + p) * span.step) * g.outputs[0] + first_output;
        let mut sums = [[Lanes::<T>::ZERO; B]; P];
        for p in 0..P {
            if self.add {
                sums[p].copy_from_slice(&self.y[place(p)..][..B]);
            } else if !self.bias.is_empty() {
                for b in 0..B {
                    sums[p][b] = Lanes::splat(self.bias[first_output + b]);
                }
            }
        }
        for &(filter_row, input_row) in &g.rows[self.row] {
            for run in &span.runs {
                let length = run.taps * group_channels;
                let weights = &packed[(filter_row * g.filter[1] + run.column) * group_channels..][..length];
                let mut inputs = [&self.x[..0]; P];
                for p in 0..P {
                    let column = run.input + (pixel + p) * span.advance;
                    let at = (input_row * g.width + column) * channels + group * group_channels;
                    inputs[p] = &self.x[at..][..length];
                }
                for t in 0..length {
                    for b in 0..B {
                        for p in 0..P {
                            sums[p][b].add_scaled(simd, &inputs[p][t], weights[t][b]);
                        }
                    }
                }
            }
        }
        for p in 0..P {
            self.y[place(p)..][..B].copy_from_slice(&sums[p]);
        }
    }
}

impl<T: Real> WithSimd for Row<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let g = self.gather;
        for group in 0..g.groups {
            blocks!(g.outputs[1], [8, 6, 4, 2, 1], |first, B| {
                for span in &g.spans {
                    blocks!(S: span.count, [3, 2, 1], |pixel, P| self.block::<S, P, B>(simd, span, pixel, group, first));
                }
            });
        }
    }
}
