//! Sixteen images side by side: the unit of all arithmetic in training.
//!
//! An activation tensor holds, for every element `[y, x, channel]`, one [`Lanes`] with that
//! element's value in sixteen images. Every operator then works on whole vectors whatever its
//! shape, with neither im2col nor shuffles, and no sum's order depends on the vector width of the
//! CPU. Together with explicit fused multiply-adds this makes training give the same bits on
//! every machine.

use pulp::{Arch, Simd, WithSimd};
use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// The number of images that are processed side by side.
pub const LANES: usize = 16;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A closure that is `#[inline(always)]`. Called as an [`FnOnce`] it would be compiled by itself, without the vectors of this
/// CPU, if it could be called more than once.
struct Loop<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Loop<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}

/// The two number types that layers compute in: `f32` for training, `f64` to check gradients.
pub trait Real:
    sealed::Sealed
    + Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// Runs a kernel: `f32` with the best instruction set of this CPU, `f64` without vectors, as it only checks and shall not
    /// cost every build as many versions of each kernel as there are instruction sets.
    fn run<K: WithSimd>(kernel: K) -> K::Output;
    /// The same for loops that the compiler vectorizes by itself.
    fn run_loop<R>(work: impl FnMut() -> R) -> R {
        Self::run(Loop(work))
    }
    /// One.
    const ONE: Self;
    /// `sums += a * b` with a scalar `b`, each rounded once.
    fn add_scaled<S: Simd>(simd: S, sums: &mut [Self; LANES], a: &[Self; LANES], b: Self);
    /// `sums += a * b`, lane by lane, each rounded once.
    fn add_product<S: Simd>(simd: S, sums: &mut [Self; LANES], a: &[Self; LANES], b: &[Self; LANES]);
    /// `a + b`, lane by lane, as the others.
    fn plus<S: Simd>(simd: S, a: &Lanes<Self>, b: &Lanes<Self>) -> Lanes<Self>;
    /// `a - b`.
    fn minus<S: Simd>(simd: S, a: &Lanes<Self>, b: &Lanes<Self>) -> Lanes<Self>;
    /// `a * b`.
    fn times<S: Simd>(simd: S, a: &Lanes<Self>, b: &Lanes<Self>) -> Lanes<Self>;
    /// `values` where `a < b`, others elsewhere.
    fn where_less<S: Simd>(simd: S, a: &Lanes<Self>, b: &Lanes<Self>, values: [&Lanes<Self>; 2]) -> Lanes<Self>;
    /// `values` where `a == b`, others elsewhere.
    fn where_equal<S: Simd>(simd: S, a: &Lanes<Self>, b: &Lanes<Self>, values: [&Lanes<Self>; 2]) -> Lanes<Self>;
    /// Exchanges images and elements of [`LANES`] elements.
    fn transpose<S: Simd>(simd: S, square: &mut [Lanes<Self>; LANES]);
    /// The nearest whole number, ties to even.
    fn round(self) -> Self;
    /// The exponential function, by `libm`: the same bits on every machine.
    fn exp(self) -> Self;
    /// The hyperbolic tangent, by `libm`.
    fn tanh(self) -> Self;
    /// `self` to the power of `exponent`, by `libm`.
    fn pow(self, exponent: Self) -> Self;
    /// The square root, rounded to nearest.
    fn sqrt(self) -> Self;
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// The value as `f64`, exact.
    fn to_f64(self) -> f64;
}

macro_rules! real {
    ($type:ty, $arch:expr, $vectors:ident, $vectors_mut:ident, $splat:ident, $mul_add:ident, $transpose:ident, [$($name:ident $operation:ident),+], [$($choose:ident $compare:ident),+], $select:ident, $exp:ident, $tanh:ident, $pow:ident) => {
        impl Real for $type {
            const ZERO: Self = 0.0;
            #[inline]
            fn run<K: WithSimd>(kernel: K) -> K::Output {
                $arch.dispatch(kernel)
            }
            const ONE: Self = 1.0;
            // Vectors are written out here: left to itself, the compiler vectorizes across the
            // blocks of the kernels, with gathers and scatters.
            #[inline(always)]
            fn add_scaled<S: Simd>(simd: S, sums: &mut [Self; LANES], a: &[Self; LANES], b: Self) {
                let b = simd.$splat(b);
                for (sum, a) in S::$vectors_mut(sums).0.iter_mut().zip(S::$vectors(a).0) {
                    *sum = simd.$mul_add(*a, b, *sum);
                }
            }
            #[inline(always)]
            fn add_product<S: Simd>(simd: S, sums: &mut [Self; LANES], a: &[Self; LANES], b: &[Self; LANES]) {
                let factors = S::$vectors(a).0.iter().zip(S::$vectors(b).0);
                for (sum, (a, b)) in S::$vectors_mut(sums).0.iter_mut().zip(factors) {
                    *sum = simd.$mul_add(*a, *b, *sum);
                }
            }
            $(
                #[inline(always)]
                fn $name<S: Simd>(simd: S, a: &Lanes<Self>, b: &Lanes<Self>) -> Lanes<Self> {
                    let mut result = *a;
                    for (a, b) in S::$vectors_mut(&mut result.0).0.iter_mut().zip(S::$vectors(&b.0).0) {
                        *a = simd.$operation(*a, *b);
                    }
                    result
                }
            )+
            $(
                #[inline(always)]
                fn $choose<S: Simd>(
                    simd: S,
                    a: &Lanes<Self>,
                    b: &Lanes<Self>,
                    [yes, no]: [&Lanes<Self>; 2],
                ) -> Lanes<Self> {
                    let mut result = *yes;
                    let others = S::$vectors(&a.0).0.iter().zip(S::$vectors(&b.0).0).zip(S::$vectors(&no.0).0);
                    for (yes, ((a, b), no)) in S::$vectors_mut(&mut result.0).0.iter_mut().zip(others) {
                        *yes = simd.$select(simd.$compare(*a, *b), *yes, *no);
                    }
                    result
                }
            )+
            #[inline(always)]
            fn transpose<S: Simd>(simd: S, square: &mut [Lanes<Self>; LANES]) {
                $transpose(simd, square);
            }
            #[inline(always)]
            fn round(self) -> Self {
                <$type>::round_ties_even(self)
            }
            fn exp(self) -> Self {
                libm::$exp(self)
            }
            fn tanh(self) -> Self {
                libm::$tanh(self)
            }
            fn pow(self, exponent: Self) -> Self {
                libm::$pow(self, exponent)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // IEEE 754 says what every bit of a square root is.
                <$type>::sqrt(self)
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
        }
    };
}
real!(f32, Arch::new(), as_simd_f32s, as_mut_simd_f32s, splat_f32s, mul_add_f32s, transpose_f32,
    [plus add_f32s, minus sub_f32s, times mul_f32s], [where_less less_than_f32s, where_equal equal_f32s], select_f32s, expf, tanhf, powf);
real!(f64, Arch::Scalar, as_simd_f64s, as_mut_simd_f64s, splat_f64s, mul_add_f64s, transpose_any,
    [plus add_f64s, minus sub_f64s, times mul_f64s], [where_less less_than_f64s, where_equal equal_f64s], select_f64s, exp, tanh, pow);

#[inline(always)]
fn transpose_any<S: Simd, T: Real>(_: S, square: &mut [Lanes<T>; LANES]) {
    for row in 1..LANES {
        for column in 0..row {
            let (above, below) = square.split_at_mut(row);
            std::mem::swap(&mut above[column].0[row], &mut below[0].0[column]);
        }
    }
}

/// Where a vector is a row: quarters of blocks change places, of blocks of 16, 8, 4 and 2.
#[inline(always)]
fn transpose_f32<S: Simd>(simd: S, square: &mut [Lanes<f32>; LANES]) {
    if S::F32_LANES != LANES {
        return transpose_any(simd, square);
    }
    let mut rows = [simd.splat_f32s(0.0); LANES];
    for row in 0..LANES {
        rows[row] = S::as_simd_f32s(&square[row].0).0[0];
    }
    macro_rules! exchange {
        ($distance:literal) => {
            let left: [f32; LANES] = std::array::from_fn(|lane| if lane & $distance == 0 { 1.0 } else { 0.0 });
            let left = simd.equal_f32s(S::as_simd_f32s(&left).0[0], simd.splat_f32s(1.0));
            for row in 0..LANES {
                if row & $distance == 0 {
                    let (a, b) = (rows[row], rows[row + $distance]);
                    rows[row] = simd.select_f32s(left, a, simd.rotate_right_f32s(b, $distance));
                    rows[row + $distance] = simd.select_f32s(left, simd.rotate_left_f32s(a, $distance), b);
                }
            }
        };
    }
    exchange!(8);
    exchange!(4);
    exchange!(2);
    exchange!(1);
    for row in 0..LANES {
        S::as_mut_simd_f32s(&mut square[row].0).0[0] = rows[row];
    }
}

/// One element of a tensor in [`LANES`] images.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Lanes<T>(pub [T; LANES]);

impl<T: Real> Lanes<T> {
    /// Zero in every image.
    pub const ZERO: Self = Self([T::ZERO; LANES]);

    /// The same value in every image.
    #[inline(always)]
    pub fn splat(value: T) -> Self {
        Self([value; LANES])
    }

    /// `self += a * b` with a scalar `b`.
    #[inline(always)]
    pub(super) fn add_scaled<S: Simd>(&mut self, simd: S, a: &Self, b: T) {
        T::add_scaled(simd, &mut self.0, &a.0, b);
    }

    /// `self += a * b`, lane by lane.
    #[inline(always)]
    pub(super) fn add_product<S: Simd>(&mut self, simd: S, a: &Self, b: &Self) {
        T::add_product(simd, &mut self.0, &a.0, &b.0);
    }

    /// `self += a`.
    #[inline(always)]
    pub(super) fn add(&mut self, a: &Self) {
        for lane in 0..LANES {
            self.0[lane] = self.0[lane] + a.0[lane];
        }
    }

    /// The sum over the images, as a balanced tree.
    #[inline(always)]
    pub(super) fn sum(&self) -> T {
        let mut v = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                v[lane] = v[lane] + v[lane + half];
            }
            half /= 2;
        }
        v[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::array::from_fn;

    struct Transpose<'a, T>(&'a mut [Lanes<T>; LANES]);

    impl<T: Real> WithSimd for Transpose<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            T::transpose(simd, self.0);
        }
    }

    fn exchanged<T: Real>() {
        let value = |row: usize, lane: usize| T::from_f64((row * LANES + lane) as f64);
        let mut square = from_fn(|row| Lanes(from_fn(|lane| value(row, lane))));
        T::run(Transpose(&mut square));
        for (row, lanes) in square.iter().enumerate() {
            assert_eq!(lanes.0, from_fn(|lane| value(lane, row)), "row {row}");
        }
    }

    #[test]
    fn images_and_elements_change_places() {
        exchanged::<f32>();
        exchanged::<f64>();
    }
}
