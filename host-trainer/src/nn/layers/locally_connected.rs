//! Locally connected layers: a filter for each output value.

use super::{Kept, Pass, Scratch, State, Step};
use crate::nn::kernels::{Axis, Taps};
use crate::nn::lanes::{LANES, Lanes, Real};
use bareconv::Conv2dShape;
use rayon::prelude::*;

/// A locally connected layer; weights are `[row][column][filter][filter row][filter column][channel]`.
#[derive(Clone, Debug)]
pub struct LocallyConnected {
    input: [usize; 3],
    output: [usize; 3],
    filter: [usize; 2],
    forward: [Vec<Taps>; 2],
    backward: [Vec<Taps>; 2],
}

impl LocallyConnected {
    pub fn new(shape: &Conv2dShape) -> Self {
        let output = shape.output();
        let axes = [0, 1].map(|axis| Axis {
            input: shape.input[axis],
            output: output[axis],
            filter: shape.filter[axis],
            stride: shape.stride[axis],
            dilation: shape.dilation[axis],
            before: shape.padding[axis],
        });
        Self {
            input: shape.input,
            output,
            filter: shape.filter,
            forward: [axes[0].forward(), axes[1].forward()],
            backward: [axes[0].backward(), axes[1].backward()],
        }
    }

    /// Weights of one output value.
    fn filter_len(&self) -> usize {
        self.filter[0] * self.filter[1] * self.input[2]
    }

    fn weights(&self) -> usize {
        self.output.iter().product::<usize>() * self.filter_len()
    }

    /// Calls `tap(place in the filter, place in the input)` for the channels of each input pixel of an output pixel.
    #[inline(always)]
    fn for_each_tap(&self, row: usize, column: usize, mut tap: impl FnMut(usize, usize)) {
        let [_, width, channels] = self.input;
        for &(filter_row, y) in &self.forward[0][row] {
            for &(filter_column, x) in &self.forward[1][column] {
                tap((filter_row * self.filter[1] + filter_column) * channels, (y * width + x) * channels);
            }
        }
    }
}

impl<T: Real> Step<T> for LocallyConnected {
    fn keeps_input(&self) -> bool {
        true
    }

    fn forward(
        &mut self,
        _: Pass,
        parameters: &[T],
        _: State<'_, T>,
        x: &[Option<&[Lanes<T>]>],
        y: &mut [Lanes<T>],
        _: &mut Scratch<T>,
    ) {
        let ([height, width, filters], channels) = (self.output, self.input[2]);
        let (weights, bias) = parameters.split_at(self.weights());
        let (x, size) = (x[0].expect("not in place"), self.input.iter().product::<usize>());
        y.par_chunks_mut(width * filters).enumerate().for_each(|(number, y)| {
            let (x, row) = (&x[number / height * size..][..size], number % height);
            T::run_loop(
                #[inline(always)]
                || {
                    for (place, y) in y.iter_mut().enumerate() {
                        let value = row * width * filters + place;
                        let weights = &weights[value * self.filter_len()..][..self.filter_len()];
                        let mut sum = bias.get(value).map_or(Lanes::ZERO, |&bias| Lanes::splat(bias));
                        self.for_each_tap(row, place / filters, |tap, at| {
                            for (x, &weight) in x[at..][..channels].iter().zip(&weights[tap..]) {
                                for lane in 0..LANES {
                                    sum.0[lane] = sum.0[lane] + x.0[lane] * weight;
                                }
                            }
                        });
                        *y = sum;
                    }
                },
            );
        });
    }

    fn backward_parameters(&mut self, _: Pass, _: &[T], kept: Kept<'_, T>, gradient: &mut [T], _: &mut Scratch<T>) {
        let ([_, width, filters], channels) = (self.output, self.input[2]);
        let (x, dy) = (kept.input(0), kept.error());
        let (dw, db) = gradient.split_at_mut(self.weights());
        let (input, output) = (self.input.iter().product::<usize>(), self.output.iter().product::<usize>());
        dw.par_chunks_mut(self.filter_len()).enumerate().for_each(|(value, dw)| {
            T::run_loop(
                #[inline(always)]
                || {
                    dw.fill(T::ZERO);
                    self.for_each_tap(value / (width * filters), value / filters % width, |tap, at| {
                        for (channel, dw) in dw[tap..][..channels].iter_mut().enumerate() {
                            let mut sum = Lanes::<T>::ZERO;
                            for (x, dy) in x.chunks_exact(input).zip(dy.chunks_exact(output)) {
                                for lane in 0..LANES {
                                    sum.0[lane] = sum.0[lane] + x[at + channel].0[lane] * dy[value].0[lane];
                                }
                            }
                            *dw = sum.sum();
                        }
                    });
                },
            );
        });
        for (value, db) in db.iter_mut().enumerate() {
            let mut sum = Lanes::<T>::ZERO;
            for dy in dy.chunks_exact(output) {
                sum.add(&dy[value]);
            }
            *db = sum.sum();
        }
    }

    fn backward_input(
        &mut self,
        _: Pass,
        parameters: &[T],
        kept: Kept<'_, T>,
        _: usize,
        dx: &mut [Lanes<T>],
        add: bool,
        _: &mut Scratch<T>,
    ) {
        let ([_, output_width, filters], [height, width, channels]) = (self.output, self.input);
        let (dy, size) = (kept.error(), self.output.iter().product::<usize>());
        dx.par_chunks_mut(width * channels).enumerate().for_each(|(number, dx)| {
            let dy = &dy[number / height * size..][..size];
            T::run_loop(
                #[inline(always)]
                || {
                    if !add {
                        dx.fill(Lanes::ZERO);
                    }
                    for (dx, columns) in dx.chunks_exact_mut(channels).zip(&self.backward[1]) {
                        for &(filter_row, y) in &self.backward[0][number % height] {
                            for &(filter_column, x) in columns {
                                let tap = (filter_row * self.filter[1] + filter_column) * channels;
                                for filter in 0..filters {
                                    let value = (y * output_width + x) * filters + filter;
                                    let weights = &parameters[value * self.filter_len() + tap..][..channels];
                                    for (dx, &weight) in dx.iter_mut().zip(weights) {
                                        for lane in 0..LANES {
                                            dx.0[lane] = dx.0[lane] + dy[value].0[lane] * weight;
                                        }
                                    }
                                }
                            }
                        }
                    }
                },
            );
        });
    }
}
