//! What each kind of layer does with a batch: forward, and the errors backward. Work is divided among threads here, by
//! parts of what is written, so that the number of threads changes no sum.

mod activation;
mod arrange;
mod batch_norm;
mod conv2d;
mod dense;
mod depthwise;
mod dropout;
mod fake_quantize;
mod join;
mod local_response;
mod locally_connected;
mod pool;
mod softmax;

pub(super) use activation::{Activation, PRelu};
pub(super) use arrange::Arrange;
pub(super) use batch_norm::BatchNorm;
pub(super) use conv2d::Conv2d;
pub(super) use dense::Dense;
pub(super) use depthwise::Depthwise;
pub(super) use dropout::Dropout;
pub(super) use fake_quantize::FakeQuantize;
pub(super) use join::{Add, Concatenate, Multiply, Reshape};
pub(super) use local_response::LocalResponse;
pub(super) use locally_connected::LocallyConnected;
pub(super) use pool::{LinearPool, MaxPool};
pub(super) use softmax::Softmax;

use super::lanes::{LANES, Lanes, Real};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// A batch on its way through the layers.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Images in the batch; the last chunk of [`LANES`] may be partly used.
    pub images: usize,
    /// Whether layers behave as in training.
    pub training: bool,
    /// Where random numbers come from.
    pub seed: u64,
}

impl Pass {
    /// Images in a chunk.
    fn used(self, chunk: usize) -> usize {
        (self.images - chunk * LANES).min(LANES)
    }
}

/// The moving averages of a layer.
#[derive(Debug)]
pub enum State<'a, T> {
    /// In inference: they are used.
    Fixed(&'a [T]),
    /// In training: they move.
    Moving(&'a mut [T]),
}

/// Memory for whatever a layer has to put aside during a pass; it holds nothing in between.
#[derive(Debug)]
pub struct Scratch<T> {
    pub numbers: Vec<T>,
    pub lanes: Vec<Lanes<T>>,
}

/// What a layer reads on the way back. Inputs and output are there if it keeps them.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a, T> {
    /// Its inputs.
    pub x: &'a [Option<&'a [Lanes<T>]>],
    /// Its output.
    pub y: Option<&'a [Lanes<T>]>,
    /// The loss's derivative with respect to the output; `None` where it lies in the memory that takes the input's.
    pub dy: Option<&'a [Lanes<T>]>,
}

impl<'a, T> Kept<'a, T> {
    fn input(&self, index: usize) -> &'a [Lanes<T>] {
        self.x[index].expect("the layer keeps its inputs")
    }

    fn output(&self) -> &'a [Lanes<T>] {
        self.y.expect("the layer keeps its output")
    }

    fn error(&self) -> &'a [Lanes<T>] {
        self.dy.expect("the layer does not work in place")
    }
}

/// A layer of fixed shape. Tensors are `[chunk][row][column][channel]`, of all chunks of the batch.
pub trait Step<T: Real>: Send + Sync {
    /// Whether the way back reads the inputs.
    fn keeps_input(&self) -> bool {
        false
    }

    /// Whether the way back reads the output.
    fn keeps_output(&self) -> bool {
        false
    }

    /// Whether the output may overwrite the first input.
    fn in_place(&self) -> bool {
        false
    }

    /// Whether the first input's error may overwrite the output's.
    fn error_in_place(&self) -> bool {
        false
    }

    /// Length of the scratch memory that it needs: numbers, and lanes for each chunk.
    fn scratch(&self) -> [usize; 2] {
        [0, 0]
    }

    /// Computes `y`. An input that is `None` lies in `y`.
    fn forward(
        &mut self,
        pass: Pass,
        parameters: &[T],
        state: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        scratch: &mut Scratch<T>,
    );

    /// Computes the gradient of its parameters. It comes before [`Self::backward_input`].
    fn backward_parameters(
        &mut self,
        _pass: Pass,
        _parameters: &[T],
        _kept: Kept<'_, T>,
        _gradient: &mut [T],
        _scratch: &mut Scratch<T>,
    ) {
    }

    /// Computes the error of an input, or adds it to `dx`.
    fn backward_input(
        &mut self,
        pass: Pass,
        parameters: &[T],
        kept: Kept<'_, T>,
        index: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        scratch: &mut Scratch<T>,
    );

    /// The layer if it is dense: the gradient of its weights is not computed at once.
    fn as_dense(&mut self) -> Option<&mut Dense> {
        None
    }

    /// The layer if it is one of fake quantization.
    fn as_fake_quantize(&mut self) -> Option<&mut FakeQuantize<T>> {
        None
    }
}

/// Elements that one task of an elementwise layer works on.
const BLOCK: usize = 1024;

/// `y = f(x)`, in place where there is no `x`.
fn map<T: Real>(x: Option<&[Lanes<T>]>, y: &mut [Lanes<T>], f: impl Fn(T) -> T + Sync) {
    match x {
        Some(x) => y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| {
            T::run_loop(
                #[inline(always)]
                || {
                    for (y, x) in y.iter_mut().zip(x) {
                        for lane in 0..LANES {
                            y.0[lane] = f(x.0[lane]);
                        }
                    }
                },
            );
        }),
        None => y.par_chunks_mut(BLOCK).for_each(|y| {
            T::run_loop(
                #[inline(always)]
                || {
                    for y in y.iter_mut() {
                        for lane in 0..LANES {
                            y.0[lane] = f(y.0[lane]);
                        }
                    }
                },
            );
        }),
    }
}

/// `dx = f(known, dy)`, or the sum of both; in place where there is no `dy`.
fn map_error<T: Real>(
    known: &[Lanes<T>],
    dy: Option<&[Lanes<T>]>,
    dx: &mut [Lanes<T>],
    add: bool,
    f: impl Fn(T, T) -> T + Sync,
) {
    match dy {
        Some(dy) => {
            dx.par_chunks_mut(BLOCK).zip(known.par_chunks(BLOCK)).zip(dy.par_chunks(BLOCK)).for_each(
                |((dx, known), dy)| {
                    T::run_loop(
                        #[inline(always)]
                        || {
                            for ((dx, known), dy) in dx.iter_mut().zip(known).zip(dy) {
                                for lane in 0..LANES {
                                    let value = f(known.0[lane], dy.0[lane]);
                                    dx.0[lane] = if add { dx.0[lane] + value } else { value };
                                }
                            }
                        },
                    );
                },
            );
        }
        None => dx.par_chunks_mut(BLOCK).zip(known.par_chunks(BLOCK)).for_each(|(dx, known)| {
            T::run_loop(
                #[inline(always)]
                || {
                    for (dx, known) in dx.iter_mut().zip(known) {
                        for lane in 0..LANES {
                            dx.0[lane] = f(known.0[lane], dx.0[lane]);
                        }
                    }
                },
            );
        }),
    }
}

/// Copies or adds `from` to `to`.
fn pass_on<T: Real>(from: &[Lanes<T>], to: &mut [Lanes<T>], add: bool) {
    to.par_chunks_mut(BLOCK).zip(from.par_chunks(BLOCK)).for_each(|(to, from)| {
        if add {
            // One pixel of so many channels.
            T::run(SumPixels { values: from, sums: to });
        } else {
            to.copy_from_slice(from);
        }
    });
}

/// `sums[c] += values[pixel][c]`
struct SumPixels<'a, T> {
    values: &'a [Lanes<T>],
    sums: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for SumPixels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for pixel in self.values.chunks_exact(self.sums.len()) {
            for (sum, value) in self.sums.iter_mut().zip(pixel) {
                *sum = T::plus(simd, sum, value);
            }
        }
    }
}

/// Sums over pixels and images for each channel: `part(block, sums)` computes those of a block of `pixels` pixels, and they
/// are added up in the order of blocks, in `f64`. There are `count` sums for each channel.
fn channel_sums<T: Real>(
    blocks: usize,
    length: usize,
    part: impl Fn(usize, &mut [Lanes<T>], &mut [f64]) + Sync,
) -> Vec<f64> {
    let mut parts = vec![0.0; blocks * length];
    parts.par_chunks_mut(length).enumerate().for_each_init(
        || vec![Lanes::ZERO; length],
        |lanes, (block, sums)| {
            lanes.fill(Lanes::ZERO);
            part(block, lanes, sums);
        },
    );
    let mut totals = vec![0.0; length];
    for part in parts.chunks_exact(length) {
        for (total, part) in totals.iter_mut().zip(part) {
            *total += part;
        }
    }
    totals
}

/// The gradient of biases: `db[o] = sum of dy[pixel][o]`.
fn bias_gradient<T: Real>(dy: &[Lanes<T>], db: &mut [T]) {
    let channels = db.len();
    if channels == 0 {
        return;
    }
    let pixels = (BLOCK / channels).max(1);
    let block = pixels * channels;
    let sums = channel_sums(dy.len().div_ceil(block), channels, |number, lanes, sums| {
        let dy = &dy[number * block..][..block.min(dy.len() - number * block)];
        T::run(SumPixels { values: dy, sums: &mut lanes[..] });
        for (sum, lanes) in sums.iter_mut().zip(lanes) {
            *sum = lanes.sum().to_f64();
        }
    });
    for (db, sum) in db.iter_mut().zip(sums) {
        *db = T::from_f64(sum);
    }
}
