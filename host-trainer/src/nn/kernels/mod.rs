//! The loops with most of the arithmetic, on [`Lanes`](super::Lanes).
//!
//! Each kernel is a plain loop nest over blocks of accumulators that the compiler keeps in vector registers. [`pulp`]
//! compiles it once per instruction set and picks one at run time; the order of every sum is written here and the same
//! for all of them.

mod dense;
mod gather;
mod weights;

pub(super) use dense::{Dense, DenseInput, DenseWeights, transpose};
pub(super) use gather::Gather;
pub(super) use weights::WeightGradient;

use std::ops::Range;

/// Covers `0..$total` with blocks of the given sizes, largest first; `$body` sees the start of the
/// block and its size as a constant.
///
/// With a type of [`pulp::Simd`] in front, all blocks have size 1 where that has no vectors: there are no registers to fill,
/// and each of these sizes would cost the build thousands of instructions.
macro_rules! blocks {
    ($simd:ty: $total:expr, [$($size:expr),+], |$start:ident, $block:ident| $body:expr) => {
        blocks!(@ <$simd>::F32_LANES > 1, $total, [$($size),+], |$start, $block| $body)
    };
    ($total:expr, [$($size:expr),+], |$start:ident, $block:ident| $body:expr) => {
        blocks!(@ true, $total, [$($size),+], |$start, $block| $body)
    };
    (@ $large:expr, $total:expr, [$($size:expr),+], |$start:ident, $block:ident| $body:expr) => {{
        let total = $total;
        let mut $start = 0;
        $(
            if const { $size == 1 || $large } {
                while total - $start >= $size {
                    const $block: usize = $size;
                    $body;
                    $start += $size;
                }
            }
        )+
        debug_assert_eq!($start, total);
    }};
}
use blocks;

/// The taps that an output position sees along an axis: each one's index in the filter and its position in the input,
/// those in the padding left out.
pub(super) type Taps = Vec<(usize, usize)>;

/// How positions of the output and the input of a filter belong together along an axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub input: usize,
    pub output: usize,
    pub filter: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding before the input.
    pub before: usize,
}

impl Axis {
    /// The input positions that each output position sees, ascending.
    pub fn forward(&self) -> Vec<Taps> {
        let position = |o: usize, k: usize| (o * self.stride + k * self.dilation).checked_sub(self.before);
        (0..self.output)
            .map(|o| {
                let taps = (0..self.filter).filter_map(|k| Some((k, position(o, k)?)));
                taps.filter(|&(_, i)| i < self.input).collect()
            })
            .collect()
    }

    /// For each tap the output positions from which it sees the input.
    pub fn inside(&self) -> Vec<Range<usize>> {
        let sees = |o: usize, k: usize| {
            (o * self.stride + k * self.dilation).checked_sub(self.before).is_some_and(|i| i < self.input)
        };
        let range = |k| {
            let first = (0..self.output).position(|o| sees(o, k)).unwrap_or(0);
            first..first + (first..self.output).take_while(|&o| sees(o, k)).count()
        };
        (0..self.filter).map(range).collect()
    }

    /// The output positions that see each input position, ascending.
    pub fn backward(&self) -> Vec<Taps> {
        let mut inputs = vec![Taps::new(); self.input];
        for (o, taps) in self.forward().into_iter().enumerate() {
            for (k, i) in taps {
                inputs[i].push((k, o));
            }
        }
        inputs
    }
}
