//! The arithmetic of the layers, forward and backward, on [`Lanes`].
//!
//! Each kernel is a plain loop nest over blocks of accumulators that the compiler keeps in vector
//! registers. [`pulp`] compiles it once per instruction set and picks one at run time; the order
//! of every sum is written here and the same for all of them.

// Loops with constant bounds unroll into registers, which is the point of this module.
#![allow(clippy::needless_range_loop)]

use super::lanes::{LANES, Lanes, Real};
use pulp::{Arch, Simd, WithSimd};

/// The shape of a convolution whose zero padding is already part of the input. A dense layer is
/// the case of one output pixel with a filter of 1x1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation {
    /// Width of the padded input.
    pub width: usize,
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Channels of the output.
    pub filters: usize,
    /// Height and width of the filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
}

impl Correlation {
    /// Number of contiguous inputs under one row of the filter.
    #[inline(always)]
    fn run(&self) -> usize {
        self.filter[1] * self.channels
    }

    /// Number of weights of one filter.
    #[inline(always)]
    fn taps(&self) -> usize {
        self.filter[0] * self.run()
    }

    /// Index of the first input under row `ky` of the filter at output pixel (`oy`, `ox`).
    #[inline(always)]
    fn at(&self, oy: usize, ox: usize, ky: usize) -> usize {
        ((oy * self.stride[0] + ky) * self.width + ox * self.stride[1]) * self.channels
    }
}

/// Covers `0..$total` with blocks of the given sizes, largest first; `$body` sees the start of the
/// block and its size as a constant.
macro_rules! blocks {
    ($total:expr, [$($size:literal),+], |$start:ident, $block:ident| $body:expr) => {{
        let total = $total;
        let mut $start = 0;
        $(
            while total - $start >= $size {
                const $block: usize = $size;
                $body;
                $start += $size;
            }
        )+
        debug_assert_eq!($start, total);
    }};
}

/// `y[o] = bias[o] + sum over taps of x * weights[o]`.
pub(super) struct Forward<'a, T> {
    pub shape: Correlation,
    pub x: &'a [Lanes<T>],
    pub weights: &'a [T],
    pub bias: &'a [T],
    pub y: &'a mut [Lanes<T>],
}

impl<T: Real> Forward<'_, T> {
    #[inline(always)]
    fn pixel<S: Simd, const B: usize>(&mut self, simd: S, oy: usize, ox: usize, first: usize) {
        let s = self.shape;
        let (run, taps) = (s.run(), s.taps());
        let mut sums = [Lanes::<T>::ZERO; B];
        for b in 0..B {
            sums[b] = Lanes::splat(self.bias[first + b]);
        }
        for ky in 0..s.filter[0] {
            let x = &self.x[s.at(oy, ox, ky)..][..run];
            let mut rows = [&self.weights[..0]; B];
            for b in 0..B {
                rows[b] = &self.weights[(first + b) * taps + ky * run..][..run];
            }
            for t in 0..run {
                for b in 0..B {
                    sums[b].add_scaled(simd, &x[t], rows[b][t]);
                }
            }
        }
        let y = &mut self.y[(oy * s.output[1] + ox) * s.filters + first..][..B];
        y.copy_from_slice(&sums);
    }
}

impl<T: Real> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for oy in 0..self.shape.output[0] {
            for ox in 0..self.shape.output[1] {
                blocks!(self.shape.filters, [8, 6, 4, 2, 1], |first, B| self.pixel::<S, B>(simd, oy, ox, first));
            }
        }
    }
}

/// `dx[input] += sum over filters of dy * weights`, the transposed convolution.
pub(super) struct BackwardInput<'a, T> {
    pub shape: Correlation,
    pub dy: &'a [Lanes<T>],
    pub weights: &'a [T],
    pub dx: &'a mut [Lanes<T>],
}

impl<T: Real> BackwardInput<'_, T> {
    #[inline(always)]
    fn block<S: Simd, const B: usize>(&mut self, simd: S, pixel: usize, weight: usize, input: usize) {
        let s = self.shape;
        let dy = &self.dy[pixel * s.filters..][..s.filters];
        let dx = &mut self.dx[input..][..B];
        let mut sums = [Lanes::<T>::ZERO; B];
        sums.copy_from_slice(dx);
        for (dy, row) in dy.iter().zip(self.weights.chunks_exact(s.taps())) {
            let row = &row[weight..][..B];
            for b in 0..B {
                sums[b].add_scaled(simd, dy, row[b]);
            }
        }
        dx.copy_from_slice(&sums);
    }
}

impl<T: Real> WithSimd for BackwardInput<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let s = self.shape;
        for oy in 0..s.output[0] {
            for ox in 0..s.output[1] {
                for ky in 0..s.filter[0] {
                    let pixel = oy * s.output[1] + ox;
                    let input = s.at(oy, ox, ky);
                    let weight = ky * s.run();
                    blocks!(s.run(), [16, 8, 6, 4, 2, 1], |t, B| self.block::<S, B>(
                        simd,
                        pixel,
                        weight + t,
                        input + t
                    ));
                }
            }
        }
    }
}

/// `dw[o][tap] += sum over images and pixels of dy[o] * x[tap]` and `db[o] += sum of dy[o]`.
pub(super) struct BackwardWeights<'a, T> {
    pub shape: Correlation,
    pub x: &'a [Lanes<T>],
    pub dy: &'a [Lanes<T>],
    pub dw: &'a mut [T],
    pub db: &'a mut [T],
}

impl<T: Real> BackwardWeights<'_, T> {
    #[inline(always)]
    fn block<S: Simd, const OB: usize, const TB: usize>(&mut self, simd: S, first: usize, ky: usize, t: usize) {
        let s = self.shape;
        let mut sums = [[Lanes::<T>::ZERO; TB]; OB];
        for oy in 0..s.output[0] {
            for ox in 0..s.output[1] {
                let x = &self.x[s.at(oy, ox, ky) + t..][..TB];
                let dy = &self.dy[(oy * s.output[1] + ox) * s.filters + first..][..OB];
                for o in 0..OB {
                    for b in 0..TB {
                        sums[o][b].add_product(simd, &dy[o], &x[b]);
                    }
                }
            }
        }
        for o in 0..OB {
            let row = &mut self.dw[(first + o) * s.taps() + ky * s.run() + t..][..TB];
            for b in 0..TB {
                row[b] = row[b] + sums[o][b].sum();
            }
        }
    }
}

impl<T: Real> WithSimd for BackwardWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let s = self.shape;
        for ky in 0..s.filter[0] {
            blocks!(s.filters, [4, 2, 1], |first, OB| {
                blocks!(s.run(), [5, 3, 1], |t, TB| self.block::<S, OB, TB>(simd, first, ky, t));
            });
        }
        for (o, db) in self.db.iter_mut().enumerate() {
            let mut sum = Lanes::<T>::ZERO;
            for dy in self.dy.chunks_exact(s.filters) {
                sum.add(&dy[o]);
            }
            *db = *db + sum.sum();
        }
    }
}

/// The same for a dense layer, with the images one after another (`transposed` is
/// `[image][input]`, see [`transpose`]): the sum over images needs no sum across lanes.
pub(super) struct BackwardDenseWeights<'a, T> {
    pub transposed: &'a [Lanes<T>],
    pub dy: &'a [Lanes<T>],
    pub inputs: usize,
    pub dw: &'a mut [T],
    pub db: &'a mut [T],
}

impl<T: Real> BackwardDenseWeights<'_, T> {
    #[inline(always)]
    fn block<S: Simd, const OB: usize>(&mut self, simd: S, first: usize) {
        let vectors = self.inputs.div_ceil(LANES);
        let dy = &self.dy[first..][..OB];
        for v in 0..vectors {
            let mut sums = [Lanes::<T>::ZERO; OB];
            for image in 0..LANES {
                let x = &self.transposed[image * vectors + v];
                for o in 0..OB {
                    sums[o].add_scaled(simd, x, dy[o].0[image]);
                }
            }
            let length = LANES.min(self.inputs - v * LANES);
            for o in 0..OB {
                let row = &mut self.dw[(first + o) * self.inputs + v * LANES..][..length];
                if let Ok(row) = <&mut [T; LANES]>::try_from(&mut *row) {
                    for lane in 0..LANES {
                        row[lane] = row[lane] + sums[o].0[lane];
                    }
                } else {
                    for (lane, value) in row.iter_mut().enumerate() {
                        *value = *value + sums[o].0[lane];
                    }
                }
            }
        }
    }
}

impl<T: Real> WithSimd for BackwardDenseWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        blocks!(self.dy.len(), [8, 4, 2, 1], |first, OB| self.block::<S, OB>(simd, first));
        for (db, dy) in self.db.iter_mut().zip(self.dy) {
            *db = *db + dy.sum();
        }
    }
}

/// Turns `[input][image]` into `[image][input]`, each image padded with zeros to whole vectors.
pub(super) fn transpose<T: Real>(x: &[Lanes<T>], transposed: &mut [Lanes<T>]) {
    let vectors = x.len().div_ceil(LANES);
    for (v, block) in x.chunks(LANES).enumerate() {
        for image in 0..LANES {
            let row = &mut transposed[image * vectors + v];
            for (lane, value) in row.0.iter_mut().enumerate() {
                *value = block.get(lane).map_or(T::ZERO, |x| x.0[image]);
            }
        }
    }
}

/// `x = max(x, 0)`.
pub(super) struct Relu<'a, T>(pub &'a mut [Lanes<T>]);

impl<T: Real> WithSimd for Relu<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for x in self.0 {
            for x in &mut x.0 {
                *x = if *x > T::ZERO { *x } else { T::ZERO };
            }
        }
    }
}

/// `dy = 0` where the output of the ReLU is 0.
pub(super) struct BackwardRelu<'a, T> {
    pub y: &'a [Lanes<T>],
    pub dy: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for BackwardRelu<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, dy) in self.y.iter().zip(self.dy) {
            for lane in 0..LANES {
                dy.0[lane] = if y.0[lane] > T::ZERO { dy.0[lane] } else { T::ZERO };
            }
        }
    }
}

/// The shape of a max pooling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pooling {
    /// Width of the input.
    pub width: usize,
    /// Channels of the input and of the output.
    pub channels: usize,
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
}

impl Pooling {
    #[inline(always)]
    fn at(&self, oy: usize, ox: usize, ky: usize, kx: usize) -> usize {
        ((oy * self.stride[0] + ky) * self.width + ox * self.stride[1] + kx) * self.channels
    }
}

/// `y = max over the window of x`.
pub(super) struct MaxPool<'a, T> {
    pub shape: Pooling,
    pub x: &'a [Lanes<T>],
    pub y: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for MaxPool<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let s = self.shape;
        for oy in 0..s.output[0] {
            for ox in 0..s.output[1] {
                let y = &mut self.y[(oy * s.output[1] + ox) * s.channels..][..s.channels];
                y.copy_from_slice(&self.x[s.at(oy, ox, 0, 0)..][..s.channels]);
                for ky in 0..s.window[0] {
                    for kx in 0..s.window[1] {
                        let x = &self.x[s.at(oy, ox, ky, kx)..][..s.channels];
                        for (y, x) in y.iter_mut().zip(x) {
                            for lane in 0..LANES {
                                let (a, b) = (y.0[lane], x.0[lane]);
                                y.0[lane] = if b > a { b } else { a };
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `dx += dy` at the first maximum of each window, in row order.
pub(super) struct BackwardMaxPool<'a, T> {
    pub shape: Pooling,
    pub x: &'a [Lanes<T>],
    pub y: &'a [Lanes<T>],
    pub dy: &'a [Lanes<T>],
    pub dx: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for BackwardMaxPool<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let s = self.shape;
        for oy in 0..s.output[0] {
            for ox in 0..s.output[1] {
                for c in 0..s.channels {
                    let index = (oy * s.output[1] + ox) * s.channels + c;
                    let y = &self.y[index];
                    let mut rest = self.dy[index];
                    for ky in 0..s.window[0] {
                        for kx in 0..s.window[1] {
                            let index = s.at(oy, ox, ky, kx) + c;
                            let (x, dx) = (&self.x[index], &mut self.dx[index]);
                            for lane in 0..LANES {
                                let here = x.0[lane] == y.0[lane];
                                let given = if here { rest.0[lane] } else { T::ZERO };
                                rest.0[lane] = if here { T::ZERO } else { rest.0[lane] };
                                dx.0[lane] = dx.0[lane] + given;
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The affine grid of a tensor that is quantized to int8: the values `scale * (q - zero_point)`
/// for `q` in -128..=127.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid<T> {
    pub scale: T,
    pub inverse: T,
    /// The least and the greatest multiple of `scale` on the grid.
    pub steps: [T; 2],
}

/// `y` = the nearest value to `x` on the grid; notes the least and the greatest `x`.
pub(super) struct FakeQuantize<'a, T> {
    pub grid: Grid<T>,
    pub x: &'a [Lanes<T>],
    pub y: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for FakeQuantize<'_, T> {
    /// Least and greatest `x` in every lane.
    type Output = [Lanes<T>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        let Grid { scale, inverse, steps: [low, high] } = self.grid;
        let mut least = self.x[0];
        let mut greatest = self.x[0];
        for (x, y) in self.x.iter().zip(self.y) {
            for lane in 0..LANES {
                let x = x.0[lane];
                least.0[lane] = if x < least.0[lane] { x } else { least.0[lane] };
                greatest.0[lane] = if x > greatest.0[lane] { x } else { greatest.0[lane] };
                let step = (x * inverse).round();
                let step = if step < low { low } else { step };
                let step = if step > high { high } else { step };
                y.0[lane] = step * scale;
            }
        }
        [least, greatest]
    }
}

/// The straight-through estimator: `dy` passes where `x` lies inside the grid's range, else 0.
pub(super) struct BackwardFakeQuantize<'a, T> {
    pub grid: Grid<T>,
    pub x: &'a [Lanes<T>],
    pub dy: &'a mut [Lanes<T>],
}

impl<T: Real> WithSimd for BackwardFakeQuantize<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let low = self.grid.steps[0] * self.grid.scale;
        let high = self.grid.steps[1] * self.grid.scale;
        for (x, dy) in self.x.iter().zip(self.dy) {
            for lane in 0..LANES {
                let inside = x.0[lane] >= low && x.0[lane] <= high;
                dy.0[lane] = if inside { dy.0[lane] } else { T::ZERO };
            }
        }
    }
}

/// Runs a kernel with the best instruction set of this CPU.
pub(super) fn run<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const SHAPE: Correlation =
        Correlation { width: 9, channels: 3, output: [5, 4], filters: 15, filter: [3, 3], stride: [1, 2] };

    fn lanes(seed: u64, length: usize) -> Vec<Lanes<f32>> {
        let mut random = Random::new(seed, 0);
        (0..length).map(|_| Lanes([(); LANES].map(|()| random.between(-1.0, 1.0)))).collect()
    }

    /// The bits of everything that the kernels with sums compute on one instruction set.
    fn bits<S: Simd>(simd: S) -> Vec<u32> {
        let x = lanes(1, 7 * 9 * 3);
        let dy = lanes(2, 5 * 4 * 15);
        let weights: Vec<f32> = lanes(3, 26).iter().flat_map(|l| l.0).collect();
        let weights = &weights[..15 * 27];
        let mut y = lanes(4, dy.len());
        simd.vectorize(Forward { shape: SHAPE, x: &x, weights, bias: &weights[100..115], y: &mut y });
        let mut dx = lanes(5, x.len());
        simd.vectorize(BackwardInput { shape: SHAPE, dy: &dy, weights, dx: &mut dx });
        let (mut dw, mut db) = (vec![0.0; weights.len()], vec![0.0; 15]);
        simd.vectorize(BackwardWeights { shape: SHAPE, x: &x, dy: &dy, dw: &mut dw, db: &mut db });
        let mut dense = vec![0.0; 15 * 20];
        simd.vectorize(BackwardDenseWeights {
            transposed: &x[..2 * LANES],
            dy: &dy[..15],
            inputs: 20,
            dw: &mut dense,
            db: &mut db,
        });
        let tensors = [y, dx].into_iter().flatten().flat_map(|lanes| lanes.0);
        tensors.chain(dw).chain(db).chain(dense).map(f32::to_bits).collect()
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        struct Bits;
        impl WithSimd for Bits {
            type Output = Vec<u32>;
            fn with_simd<S: Simd>(self, simd: S) -> Vec<u32> {
                bits(simd)
            }
        }
        let expected = bits(pulp::Scalar::new());
        assert!(run(Bits) == expected, "the best of this CPU");
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            assert!(bits(simd) == expected, "AVX2");
        }
    }
}
