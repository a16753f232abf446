//! Layers that join tensors or see them otherwise.

use super::{BLOCK, Kept, Pass, Scratch, State, Step, map_error, pass_on};
use crate::nn::lanes::{LANES, Lanes, Real};
use rayon::prelude::*;

/// The sum or the difference of two inputs.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// Values of the inputs; the second is as large as the first, or a pixel that is repeated.
    pub sizes: [usize; 2],
    /// Whether the second is subtracted.
    pub subtract: bool,
}

/// The product of two inputs.
#[derive(Clone, Copy, Debug)]
pub struct Multiply {
    /// As [`Add::sizes`].
    pub sizes: [usize; 2],
}

/// Computes `y = f(first input, second input)`; the first may lie in `y`.
fn combine<T: Real>(
    sizes: [usize; 2],
    x: &[Option<&[Lanes<T>]>],
    y: &mut [Lanes<T>],
    f: impl Fn(T, T) -> T + Sync + Copy,
) {
    let second = x[1].expect("only the first input lies in the output");
    if sizes[0] == sizes[1] {
        match x[0] {
            Some(first) => {
                y.par_chunks_mut(BLOCK).zip(first.par_chunks(BLOCK)).zip(second.par_chunks(BLOCK)).for_each(
                    |((y, a), b)| {
                        T::run_loop(
                            #[inline(always)]
                            || {
                                for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
                                    for lane in 0..LANES {
                                        y.0[lane] = f(a.0[lane], b.0[lane]);
                                    }
                                }
                            },
                        );
                    },
                );
            }
            None => map_error(second, None, y, false, |b, a| f(a, b)),
        }
        return;
    }
    if let Some(first) = x[0] {
        y.copy_from_slice(first);
    }
    y.par_chunks_mut(sizes[0]).zip(second.par_chunks(sizes[1])).for_each(|(y, second)| {
        y.par_chunks_mut(sizes[1]).with_min_len(32).for_each(|pixel| {
            for (y, b) in pixel.iter_mut().zip(second) {
                for lane in 0..LANES {
                    y.0[lane] = f(y.0[lane], b.0[lane]);
                }
            }
        });
    });
}

/// Adds up `f(pixel's place, channel)` over all pixels of each chunk.
fn sum_pixels<T: Real>(sizes: [usize; 2], dx: &mut [Lanes<T>], add: bool, f: impl Fn(usize) -> Lanes<T> + Sync) {
    dx.par_chunks_mut(sizes[1]).enumerate().for_each(|(chunk, dx)| {
        if !add {
            dx.fill(Lanes::ZERO);
        }
        for pixel in (chunk * sizes[0]..(chunk + 1) * sizes[0]).step_by(sizes[1]) {
            for (channel, dx) in dx.iter_mut().enumerate() {
                dx.add(&f(pixel + channel));
            }
        }
    });
}

impl<T: Real> Step<T> for Add {
    fn in_place(&self) -> bool {
        true
    }

    fn error_in_place(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        if self.subtract {
            combine(self.sizes, x, y, |a, b| a - b);
        } else {
            combine(self.sizes, x, y, |a, b| a + b);
        }
    }

    fn backward_input(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        index: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let Some(dy) = kept.dy else { return };
        let negative = self.subtract && index == 1;
        if index == 1 && self.sizes[0] != self.sizes[1] {
            sum_pixels(
                self.sizes,
                dx,
                add,
                |place| if negative { Lanes(dy[place].0.map(|dy| -dy)) } else { dy[place] },
            );
        } else if negative {
            map_error(dy, Some(dy), dx, add, |_, dy| -dy);
        } else {
            pass_on(dy, dx, add);
        }
    }
}

impl<T: Real> Step<T> for Multiply {
    fn keeps_input(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        combine(self.sizes, x, y, |a, b| a * b);
    }

    fn backward_input(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        index: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let dy = kept.error();
        let other = kept.input(1 - index);
        if self.sizes[0] == self.sizes[1] {
            map_error(other, Some(dy), dx, add, |other, dy| other * dy);
        } else if index == 0 {
            let chunks = dx.par_chunks_mut(self.sizes[0]).zip(dy.par_chunks(self.sizes[0]));
            chunks.zip(other.par_chunks(self.sizes[1])).for_each(|((dx, dy), other)| {
                let pixels = dx.par_chunks_mut(self.sizes[1]).zip(dy.par_chunks(self.sizes[1]));
                pixels.with_min_len(32).for_each(|(dx, dy)| {
                    for ((dx, dy), other) in dx.iter_mut().zip(dy).zip(other) {
                        for lane in 0..LANES {
                            let value = dy.0[lane] * other.0[lane];
                            dx.0[lane] = if add { dx.0[lane] + value } else { value };
                        }
                    }
                });
            });
        } else {
            sum_pixels(self.sizes, dx, add, |place| {
                let mut product = dy[place];
                for lane in 0..LANES {
                    product.0[lane] = product.0[lane] * other[place].0[lane];
                }
                product
            });
        }
    }
}

/// Inputs one after the other along an axis.
#[derive(Clone, Debug)]
pub struct Concatenate {
    /// Contiguous values of each input that follow one another.
    pub runs: Vec<usize>,
}

impl Concatenate {
    fn place(&self, index: usize) -> std::ops::Range<usize> {
        let first = self.runs[..index].iter().sum();
        first..first + self.runs[index]
    }
}

impl<T: Real> Step<T> for Concatenate {
    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let whole = self.runs.iter().sum();
        y.par_chunks_mut(whole).enumerate().for_each(|(number, y)| {
            for (index, x) in x.iter().enumerate() {
                let run = self.runs[index];
                y[self.place(index)].copy_from_slice(&x.expect("not in place")[number * run..][..run]);
            }
        });
    }

    fn backward_input(
        &mut self,
        _: Pass,
        _: &[T],
        kept: Kept<'_, T>,
        index: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let (dy, whole, place) = (kept.error(), self.runs.iter().sum(), self.place(index));
        dx.par_chunks_mut(self.runs[index]).zip(dy.par_chunks(whole)).for_each(|(dx, dy)| {
            let dy = &dy[place.clone()];
            if add {
                for (dx, dy) in dx.iter_mut().zip(dy) {
                    dx.add(dy);
                }
            } else {
                dx.copy_from_slice(dy);
            }
        });
    }
}

/// The same values in another shape.
#[derive(Clone, Copy, Debug)]
pub struct Reshape;

impl<T: Real> Step<T> for Reshape {
    fn in_place(&self) -> bool {
        true
    }

    fn error_in_place(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        if let Some(x) = x[0] {
            pass_on(x, y, false);
        }
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
        if let Some(dy) = kept.dy {
            pass_on(dy, dx, add);
        }
    }
}
