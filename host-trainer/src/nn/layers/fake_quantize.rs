//! Fake quantization of activations.

use super::{BLOCK, Kept, Pass, Scratch, State, Step, map_error, pass_on};
use crate::nn::lanes::{LANES, Lanes, Real};
use bareconv::Quantization;
use rayon::prelude::*;

/// Rounds to a grid, with the straight-through estimator as its gradient; notes the range of what it sees.
#[derive(Debug)]
pub struct FakeQuantize<T> {
    grid: Option<Grid<T>>,
    /// The least and the greatest value seen.
    pub observed: [f32; 2],
}

/// The affine grid of a quantized tensor: the values `scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid<T> {
    scale: T,
    inverse: T,
    /// The least and the greatest multiple of `scale` on the grid.
    steps: [T; 2],
}

impl<T: Real> FakeQuantize<T> {
    pub const NOTHING: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

    pub fn new() -> Self {
        Self { grid: None, observed: Self::NOTHING }
    }

    /// The grid of `levels`, the least and the greatest integer; `None` lets values through.
    pub fn set_grid(&mut self, grid: Option<Quantization>, levels: [i32; 2]) {
        self.grid = grid.map(|q| Grid {
            scale: T::from_f64(f64::from(q.scale)),
            inverse: T::from_f64(1.0 / f64::from(q.scale)),
            steps: levels.map(|level| T::from_f64(f64::from(level) - f64::from(q.zero_point))),
        });
    }
}

impl<T: Real> Step<T> for FakeQuantize<T> {
    fn keeps_input(&self) -> bool {
        true
    }

    fn error_in_place(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        pass: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let x = x[0].expect("not in place");
        let chunk = x.len() / pass.images.div_ceil(LANES);
        let grid = self.grid;
        let range = |number: usize, y: &mut [Lanes<T>], x: &[Lanes<T>]| {
            let used = pass.used(number);
            let blocks = y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).map(|(y, x)| {
                T::run_loop(
                    #[inline(always)]
                    || {
                        let (mut least, mut greatest) = (x[0], x[0]);
                        for x in x {
                            for lane in 0..LANES {
                                let x = x.0[lane];
                                least.0[lane] = if x < least.0[lane] { x } else { least.0[lane] };
                                greatest.0[lane] = if x > greatest.0[lane] { x } else { greatest.0[lane] };
                            }
                        }
                        if let Some(Grid { scale, inverse, steps: [low, high] }) = grid {
                            for (x, y) in x.iter().zip(y.iter_mut()) {
                                for lane in 0..LANES {
                                    let step = (x.0[lane] * inverse).round();
                                    let step = if step < low { low } else { step };
                                    let step = if step > high { high } else { step };
                                    y.0[lane] = step * scale;
                                }
                            }
                        } else {
                            y.copy_from_slice(x);
                        }
                        let mut range = Self::NOTHING;
                        for lane in 0..used {
                            range[0] = range[0].min(least.0[lane].to_f64() as f32);
                            range[1] = range[1].max(greatest.0[lane].to_f64() as f32);
                        }
                        range
                    },
                )
            });
            blocks.reduce(|| Self::NOTHING, wider)
        };
        // Minima and maxima do not depend on the order.
        let chunks = y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).enumerate();
        let chunks = chunks.map(|(number, (y, x))| range(number, y, x));
        self.observed = chunks.reduce(|| self.observed, wider);
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
        match (self.grid, kept.dy) {
            (Some(Grid { scale, steps, .. }), dy) => {
                let [low, high] = steps.map(|step| step * scale);
                map_error(kept.input(0), dy, dx, add, move |x, dy| if x >= low && x <= high { dy } else { T::ZERO });
            }
            (None, Some(dy)) => pass_on(dy, dx, add),
            (None, None) => (),
        }
    }

    fn as_fake_quantize(&mut self) -> Option<&mut FakeQuantize<T>> {
        Some(self)
    }
}

fn wider(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0].min(b[0]), a[1].max(b[1])]
}
