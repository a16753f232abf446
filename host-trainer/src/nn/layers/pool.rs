//! Pooling.

// Loops over lanes are vectors.
#![allow(clippy::needless_range_loop)]

use super::{Kept, Pass, Scratch, State, Step};
use crate::nn::kernels::{Axis, Taps};
use crate::nn::lanes::{LANES, Lanes, Real};
use bareconv::{BlurPool2dShape, Pool2dShape};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::ops::Range;

/// The maximum over windows.
#[derive(Debug)]
pub struct MaxPool<T> {
    input: [usize; 3],
    output: [usize; 3],
    /// Columns of the widest window: places in a window are `row * columns + column`.
    columns: usize,
    /// What each output row and column sees.
    forward: [Vec<Taps>; 2],
    /// What sees each input row and column.
    backward: [Vec<Taps>; 2],
    /// The place in its window of each maximum, the first of equal ones: the input need not be kept.
    winners: Vec<Lanes<T>>,
}

impl<T: Real> MaxPool<T> {
    /// For `chunks` chunks of images, at most.
    pub fn new(shape: &Pool2dShape, chunks: usize) -> Self {
        let axes = [0, 1].map(|axis| Axis {
            input: shape.input[axis],
            output: shape.output()[axis],
            filter: shape.window[axis],
            stride: shape.stride[axis],
            dilation: 1,
            before: shape.padding[axis],
        });
        let [rows, columns] = &axes;
        Self::of(shape.input, [rows.forward(), columns.forward()], chunks)
    }

    /// The bins of a level of a pyramid.
    pub fn pyramid(input: [usize; 3], level: usize, chunks: usize) -> Self {
        let bins = |size| -> Vec<Taps> { bins(level, size).map(|bin| bin.enumerate().collect()).collect() };
        Self::of(input, [bins(input[0]), bins(input[1])], chunks)
    }

    fn of(input: [usize; 3], forward: [Vec<Taps>; 2], chunks: usize) -> Self {
        let widest = |taps: &Vec<Taps>| taps.iter().flatten().map(|tap| tap.0 + 1).max().unwrap_or(1);
        let output = [forward[0].len(), forward[1].len(), input[2]];
        let backward = [0, 1].map(|axis| {
            let mut inputs = vec![Taps::new(); input[axis]];
            for (o, taps) in forward[axis].iter().enumerate() {
                for &(k, i) in taps {
                    inputs[i].push((k, o));
                }
            }
            inputs
        });
        let winners = vec![Lanes::ZERO; output.iter().product::<usize>() * chunks];
        Self { input, output, columns: widest(&forward[1]), forward, backward, winners }
    }
}

/// The rows or columns of the bins of a pyramid's level: `bareconv::reference::pyramid_bin`.
fn bins(level: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..level).map(move |bin| bareconv::reference::pyramid_bin(bin, level, size))
}

impl<T: Real> Step<T> for MaxPool<T> {
    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let ([height, width, channels], [_, input_width, _]) = (self.output, self.input);
        let (x, size) = (x[0].expect("not in place"), self.input.iter().product::<usize>());
        let (forward, columns) = (&self.forward, self.columns);
        let rows = y.par_chunks_mut(width * channels).zip(self.winners.par_chunks_mut(width * channels));
        rows.enumerate().for_each(|(number, (y, winners))| {
            let x = &x[number / height * size..][..size];
            T::run(Maxima {
                x,
                y,
                winners,
                width: input_width,
                places: columns,
                rows: &forward[0][number % height],
                columns: &forward[1],
            });
        });
    }

    fn backward_input(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let ([_, output_width, channels], [height, width, _]) = (self.output, self.input);
        let (dy, size) = (kept.error(), self.output.iter().product::<usize>());
        dx.par_chunks_mut(width * channels).enumerate().for_each(|(number, dx)| {
            let chunk = number / height * size;
            let (dy, winners) = (&dy[chunk..][..size], &self.winners[chunk..][..size]);
            let (rows, columns) = (&self.backward[0][number % height], &self.backward[1]);
            T::run(Winners { dy, winners, dx, add, width: output_width, places: self.columns, rows, columns });
        });
    }
}

/// The maxima of a row of windows.
struct Maxima<'a, T> {
    x: &'a [Lanes<T>],
    y: &'a mut [Lanes<T>],
    winners: &'a mut [Lanes<T>],
    /// Columns of the input, and of a window.
    width: usize,
    places: usize,
    /// What the row and each column see.
    rows: &'a Taps,
    columns: &'a [Taps],
}

impl<T: Real> WithSimd for Maxima<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.y.len() / self.columns.len();
        let pixels = self.y.chunks_exact_mut(channels).zip(self.winners.chunks_exact_mut(channels));
        for ((y, winners), taps) in pixels.zip(self.columns) {
            let mut first = true;
            for &(row, iy) in self.rows {
                for &(column, ix) in taps {
                    let x = &self.x[(iy * self.width + ix) * channels..][..channels];
                    let place = Lanes::splat(T::from_f64((row * self.places + column) as f64));
                    if first {
                        y.copy_from_slice(x);
                        winners.fill(place);
                        first = false;
                        continue;
                    }
                    for ((y, winner), x) in y.iter_mut().zip(winners.iter_mut()).zip(x) {
                        *winner = T::where_less(simd, y, x, [&place, winner]);
                        *y = T::where_less(simd, y, x, [x, y]);
                    }
                }
            }
        }
    }
}

/// The errors of a row of inputs.
struct Winners<'a, T> {
    dy: &'a [Lanes<T>],
    winners: &'a [Lanes<T>],
    dx: &'a mut [Lanes<T>],
    add: bool,
    /// Columns of the output, and of a window.
    width: usize,
    places: usize,
    /// What sees the row and each column.
    rows: &'a Taps,
    columns: &'a [Taps],
}

impl<T: Real> WithSimd for Winners<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.dx.len() / self.columns.len();
        for (dx, taps) in self.dx.chunks_exact_mut(channels).zip(self.columns) {
            if !self.add {
                dx.fill(Lanes::ZERO);
            }
            for &(row, oy) in self.rows {
                for &(column, ox) in taps {
                    let at = (oy * self.width + ox) * channels;
                    let place = Lanes::splat(T::from_f64((row * self.places + column) as f64));
                    let outputs = self.dy[at..][..channels].iter().zip(&self.winners[at..][..channels]);
                    for (dx, (dy, winner)) in dx.iter_mut().zip(outputs) {
                        let given = T::where_equal(simd, winner, &place, [dy, &Lanes::ZERO]);
                        *dx = T::plus(simd, dx, &given);
                    }
                }
            }
        }
    }
}

/// Averages and blurs: each output is a weighted sum of inputs, the weights being products of one for the row and one for
/// the column.
#[derive(Clone, Debug)]
pub struct LinearPool {
    input: [usize; 3],
    output: [usize; 3],
    /// What each output row and column sees, and the weights.
    forward: [Vec<Weighted>; 2],
    /// What sees each input row and column, and the weights.
    backward: [Vec<Weighted>; 2],
}

type Weighted = Vec<(usize, f64)>;

impl LinearPool {
    pub fn average(shape: &Pool2dShape, including_padding: bool) -> Self {
        let forward = [0, 1].map(|axis| {
            let axis = Axis {
                input: shape.input[axis],
                output: shape.output()[axis],
                filter: shape.window[axis],
                stride: shape.stride[axis],
                dilation: 1,
                before: shape.padding[axis],
            };
            let weighted = |taps: Taps| {
                let count = if including_padding { axis.filter } else { taps.len() };
                taps.into_iter().map(|(_, i)| (i, 1.0 / count as f64)).collect()
            };
            axis.forward().into_iter().map(weighted).collect()
        });
        Self::of(shape.input, forward)
    }

    /// The bins of a level of a pyramid; level 1 is the average over all pixels.
    pub fn pyramid(input: [usize; 3], level: usize) -> Self {
        let forward = [0, 1].map(|axis| {
            let weighted = |bin: Range<usize>| bin.clone().map(|i| (i, 1.0 / bin.len() as f64)).collect();
            bins(level, input[axis]).map(weighted).collect()
        });
        Self::of(input, forward)
    }

    /// The blur of what [`BlurPool2dShape::max`] left, if anything.
    pub fn blur(shape: &BlurPool2dShape) -> Self {
        let [height, width] = shape.dense();
        let weights = bareconv::reference::binomials(shape.taps);
        let whole = f64::from(1 << (shape.taps - 1));
        let forward = [(0, height), (1, width)].map(|(axis, size)| {
            let taps = |o| {
                let tap = |k: usize| Some((shape.tap(o, k, size)?, f64::from(weights[k]) / whole));
                (0..shape.taps).filter_map(tap).collect()
            };
            (0..shape.output()[axis]).map(taps).collect()
        });
        Self::of([height, width, shape.input[2]], forward)
    }

    fn of(input: [usize; 3], forward: [Vec<Weighted>; 2]) -> Self {
        let backward = [0, 1].map(|axis| {
            let mut inputs = vec![Weighted::new(); input[axis]];
            for (o, taps) in forward[axis].iter().enumerate() {
                for &(i, weight) in taps {
                    inputs[i].push((o, weight));
                }
            }
            inputs
        });
        Self { input, output: [forward[0].len(), forward[1].len(), input[2]], forward, backward }
    }
}

/// `to` = the weighted sums of `from` along both axes, of all chunks.
fn weighted_sums<T: Real>(axes: &[Vec<Weighted>; 2], from: [usize; 3], x: &[Lanes<T>], add: bool, y: &mut [Lanes<T>]) {
    let [_, width, channels] = from;
    let (height, size) = (axes[0].len(), from.iter().product::<usize>());
    y.par_chunks_mut(axes[1].len() * channels).enumerate().for_each(|(number, y)| {
        let x = &x[number / height * size..][..size];
        T::run_loop(
            #[inline(always)]
            || {
                for (y, columns) in y.chunks_exact_mut(channels).zip(&axes[1]) {
                    if !add {
                        y.fill(Lanes::ZERO);
                    }
                    for &(row, outer) in &axes[0][number % height] {
                        for &(column, inner) in columns {
                            let weight = T::from_f64(outer * inner);
                            let x = &x[(row * width + column) * channels..][..channels];
                            for (y, x) in y.iter_mut().zip(x) {
                                for lane in 0..LANES {
                                    y.0[lane] = y.0[lane] + x.0[lane] * weight;
                                }
                            }
                        }
                    }
                }
            },
        );
    });
}

impl<T: Real> Step<T> for LinearPool {
    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        weighted_sums(&self.forward, self.input, x[0].expect("not in place"), false, y);
    }

    fn backward_input(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        weighted_sums(&self.backward, self.output, kept.error(), add, dx);
    }
}
