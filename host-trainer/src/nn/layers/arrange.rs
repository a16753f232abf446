//! Layers that move values and compute none.

use super::{Kept, Pass, Scratch, State, Step};
use crate::nn::lanes::{Lanes, Real};
use bareconv::{SliceShape, UpsampleShape};
use rayon::prelude::*;

/// Resizing, padding, slices: each output is an input or 0, and an input's error the sum of those of its copies.
#[derive(Clone, Debug)]
pub struct Arrange {
    input: [usize; 3],
    output: [usize; 3],
    /// The input's row, column or channel that each of the output's is; 0 where there is none.
    sources: [Vec<Option<usize>>; 3],
    /// The output's rows, columns or channels that are each of the input's, ascending.
    copies: [Vec<Vec<usize>>; 3],
}

impl Arrange {
    /// Nearest-neighbour resizing.
    pub fn upsample(shape: &UpsampleShape) -> Self {
        Self::new(shape.input(), shape.output(), |axis, o| Some(if axis < 2 { shape.source(axis, o) } else { o }))
    }

    /// Zeros around the input, which begins at this place of the output.
    pub fn pad(input: [usize; 3], before: [usize; 3], output: [usize; 3]) -> Self {
        Self::new(input, output, |axis, o| o.checked_sub(before[axis]).filter(|&i| i < input[axis]))
    }

    /// A part of the input.
    pub fn slice(shape: &SliceShape) -> Self {
        let (begin, stride) = (shape.begin(), shape.stride());
        Self::new(shape.input(), shape.output(), |axis, o| begin[axis].checked_add_signed(stride[axis] * o as isize))
    }

    fn new(input: [usize; 3], output: [usize; 3], source: impl Fn(usize, usize) -> Option<usize>) -> Self {
        let sources = [0, 1, 2].map(|axis| (0..output[axis]).map(|o| source(axis, o)).collect::<Vec<_>>());
        let copies = [0, 1, 2].map(|axis| {
            let mut copies = vec![Vec::new(); input[axis]];
            for (o, source) in sources[axis].iter().enumerate() {
                if let Some(i) = source {
                    copies[*i].push(o);
                }
            }
            copies
        });
        Self { input, output, sources, copies }
    }
}

impl<T: Real> Step<T> for Arrange {
    fn forward(
        &mut self,
        _: Pass,
        _: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let ([height, width, channels], [in_height, in_width, in_channels]) = (self.output, self.input);
        let x = x[0].expect("not in place");
        let [rows, columns, places] = &self.sources;
        y.par_chunks_mut(width * channels).enumerate().for_each(|(number, y)| {
            let Some(row) = rows[number % height] else { return y.fill(Lanes::ZERO) };
            let x = &x[(number / height * in_height + row) * in_width * in_channels..][..in_width * in_channels];
            for (y, column) in y.chunks_exact_mut(channels).zip(columns) {
                let Some(column) = column else {
                    y.fill(Lanes::ZERO);
                    continue;
                };
                let x = &x[column * in_channels..][..in_channels];
                for (y, place) in y.iter_mut().zip(places) {
                    *y = place.map_or(Lanes::ZERO, |place| x[place]);
                }
            }
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
        let ([height, width, channels], [in_height, in_width, in_channels]) = (self.output, self.input);
        let (dy, size) = (kept.error(), height * width * channels);
        let [rows, columns, places] = &self.copies;
        dx.par_chunks_mut(in_width * in_channels).enumerate().for_each(|(number, dx)| {
            let dy = &dy[number / in_height * size..][..size];
            if !add {
                dx.fill(Lanes::ZERO);
            }
            for (dx, columns) in dx.chunks_exact_mut(in_channels).zip(columns) {
                for row in &rows[number % in_height] {
                    for column in columns {
                        let dy = &dy[(row * width + column) * channels..][..channels];
                        for (dx, places) in dx.iter_mut().zip(places) {
                            for &place in places {
                                dx.add(&dy[place]);
                            }
                        }
                    }
                }
            }
        });
    }
}
