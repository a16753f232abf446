//! Dense layers. Their weights are used once for each batch of images, where those of convolutions are used for every
//! pixel: they are read where they lie.

#![allow(clippy::needless_range_loop)]

use super::super::lanes::{LANES, Lanes, Real};
use super::blocks;
use pulp::{Simd, WithSimd};

/// `y[o] = bias[o] + sum over i of x[i] * w[o][i]` for a block of outputs, of one chunk of images.
pub struct Dense<'a, T> {
    pub x: &'a [Lanes<T>],
    /// The rows of the outputs.
    pub weights: &'a [T],
    /// Their biases, or none.
    pub bias: &'a [T],
    pub y: &'a mut [Lanes<T>],
}

impl<T: Real> Dense<'_, T> {
    pub fn run(self) {
        T::run(self);
    }

    #[inline(always)]
    fn block<S: Simd, const B: usize>(&mut self, simd: S, first: usize) {
        let inputs = self.x.len();
        let mut sums = [Lanes::<T>::ZERO; B];
        let mut rows = [&self.weights[..0]; B];
        for b in 0..B {
            rows[b] = &self.weights[(first + b) * inputs..][..inputs];
            if !self.bias.is_empty() {
                sums[b] = Lanes::splat(self.bias[first + b]);
            }
        }
        for i in 0..inputs {
            for b in 0..B {
                sums[b].add_scaled(simd, &self.x[i], rows[b][i]);
            }
        }
        self.y[first..][..B].copy_from_slice(&sums);
    }
}

impl<T: Real> WithSimd for Dense<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        blocks!(S: self.y.len(), [8, 4, 1], |first, B| self.block::<S, B>(simd, first));
    }
}

/// `dx[i] = sum over o of dy[o] * w[o][i]` for the inputs from `first` on, of one chunk of images.
pub struct DenseInput<'a, T> {
    pub dy: &'a [Lanes<T>],
    pub weights: &'a [T],
    pub inputs: usize,
    pub first: usize,
    pub add: bool,
    pub dx: &'a mut [Lanes<T>],
}

impl<T: Real> DenseInput<'_, T> {
    pub fn run(self) {
        T::run(self);
    }

    /// Adds what `B` outputs give. Their rows are read in order, which memory likes.
    #[inline(always)]
    fn block<S: Simd, const B: usize>(&mut self, simd: S, o: usize) {
        let mut dy = [Lanes::<T>::ZERO; B];
        dy.copy_from_slice(&self.dy[o..][..B]);
        let length = self.dx.len();
        let mut rows = [&self.weights[..0]; B];
        for b in 0..B {
            rows[b] = &self.weights[(o + b) * self.inputs + self.first..][..length];
        }
        for i in 0..length {
            let mut sum = self.dx[i];
            for b in 0..B {
                sum.add_scaled(simd, &dy[b], rows[b][i]);
            }
            self.dx[i] = sum;
        }
    }
}

impl<T: Real> WithSimd for DenseInput<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if !self.add {
            self.dx.fill(Lanes::ZERO);
        }
        blocks!(S: self.dy.len(), [8, 2, 1], |o, B| self.block::<S, B>(simd, o));
    }
}

/// `dw[o][i] = sum over images of dy[o] * x[i]` for a block of outputs. Images lie one after another here
/// (see [`transpose`]), so that vectors run over inputs.
pub struct DenseWeights<'a, T> {
    /// `[chunk][image][input]`, the images of a chunk padded with zeros to whole vectors.
    pub x: &'a [Lanes<T>],
    /// Vectors of an image.
    pub vectors: usize,
    /// `[chunk][output]`.
    pub dy: &'a [Lanes<T>],
    /// All outputs.
    pub outputs: usize,
    /// The first output of the block.
    pub first: usize,
    /// `[output of the block][input]`.
    pub dw: &'a mut [T],
    pub inputs: usize,
}

impl<T: Real> DenseWeights<'_, T> {
    pub fn run(self) {
        T::run(self);
    }

    /// `OB` outputs from `o` on, `V` vectors of inputs.
    #[inline(always)]
    fn block<S: Simd, const OB: usize, const V: usize>(&mut self, simd: S, o: usize, vector: usize) {
        let mut sums = [[Lanes::<T>::ZERO; V]; OB];
        let chunks = self.x.chunks_exact(self.vectors * LANES).zip(self.dy.chunks_exact(self.outputs));
        for (x, dy) in chunks {
            let dy = &dy[self.first + o..][..OB];
            for image in 0..LANES {
                let x = &x[image * self.vectors + vector..][..V];
                for o in 0..OB {
                    for v in 0..V {
                        sums[o][v].add_scaled(simd, &x[v], dy[o].0[image]);
                    }
                }
            }
        }
        // What is indexed at run time does not stay in registers: a copy.
        let sums = sums;
        let length = (V * LANES).min(self.inputs - vector * LANES);
        for i in 0..OB {
            let row = &mut self.dw[(o + i) * self.inputs + vector * LANES..][..length];
            for (row, sum) in row.chunks_mut(LANES).zip(&sums[i]) {
                row.copy_from_slice(&sum.0[..row.len()]);
            }
        }
    }
}

impl<T: Real> WithSimd for DenseWeights<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        blocks!(S: self.dw.len() / self.inputs, [8, 2, 1], |o, OB| {
            blocks!(S: self.vectors, [2, 1], |vector, V| self.block::<S, OB, V>(simd, o, vector));
        });
    }
}

/// Turns `[input][image]` into `[image][input]`, each image padded with zeros to whole vectors.
pub fn transpose<T: Real>(x: &[Lanes<T>], transposed: &mut [Lanes<T>]) {
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
