//! Depthwise convolutions.

use super::{Kept, Pass, Scratch, State, Step, bias_gradient, channel_sums};
use crate::nn::kernels::{Axis, Taps};
use crate::nn::lanes::{LANES, Lanes, Real};
use bareconv::DepthwiseConv2dShape;
use rayon::prelude::*;

/// A depthwise convolution; weights are `[row][column][output channel]`.
#[derive(Clone, Debug)]
pub struct Depthwise {
    input: [usize; 3],
    output: [usize; 3],
    multiplier: usize,
    filter: [usize; 2],
    forward: [Vec<Taps>; 2],
    backward: [Vec<Taps>; 2],
}

impl Depthwise {
    pub fn new(shape: &DepthwiseConv2dShape) -> Self {
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
            multiplier: shape.multiplier,
            filter: shape.filter,
            forward: [axes[0].forward(), axes[1].forward()],
            backward: [axes[0].backward(), axes[1].backward()],
        }
    }

    fn weights(&self) -> usize {
        self.filter[0] * self.filter[1] * self.output[2]
    }

    fn weights_of<'a, T>(&self, weights: &'a [T], row: usize, column: usize) -> &'a [T] {
        &weights[(row * self.filter[1] + column) * self.output[2]..][..self.output[2]]
    }
}

/// Calls `pixel(place in the filter, place of the other pixel)` for what meets at a pixel.
#[inline(always)]
fn for_each_tap(rows: &Taps, columns: &Taps, width: usize, mut pixel: impl FnMut([usize; 2], usize)) {
    for &(filter_row, row) in rows {
        for &(filter_column, column) in columns {
            pixel([filter_row, filter_column], row * width + column);
        }
    }
}

impl<T: Real> Step<T> for Depthwise {
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
        let ([height, width, outputs], [_, input_width, channels]) = (self.output, self.input);
        let (weights, bias) = parameters.split_at(self.weights());
        let x = x[0].expect("not in place");
        let size = self.input.iter().product::<usize>();
        y.par_chunks_mut(width * outputs).enumerate().for_each(|(number, y)| {
            let x = &x[number / height * size..][..size];
            T::run_loop(
                #[inline(always)]
                || {
                    for (y, columns) in y.chunks_exact_mut(outputs).zip(&self.forward[1]) {
                        y.fill(Lanes::ZERO);
                        for (y, &bias) in y.iter_mut().zip(bias) {
                            *y = Lanes::splat(bias);
                        }
                        for_each_tap(
                            &self.forward[0][number % height],
                            columns,
                            input_width,
                            |[row, column], pixel| {
                                let x = &x[pixel * channels..][..channels];
                                let weights = self.weights_of(weights, row, column).chunks_exact(self.multiplier);
                                for ((y, x), weights) in y.chunks_exact_mut(self.multiplier).zip(x).zip(weights) {
                                    for (y, &weight) in y.iter_mut().zip(weights) {
                                        for lane in 0..LANES {
                                            y.0[lane] = y.0[lane] + x.0[lane] * weight;
                                        }
                                    }
                                }
                            },
                        );
                    }
                },
            );
        });
    }

    fn backward_parameters(&mut self, _: Pass, _: &[T], kept: Kept<'_, T>, gradient: &mut [T], _: &mut Scratch<T>) {
        let ([height, width, outputs], [_, input_width, channels]) = (self.output, self.input);
        let (x, dy) = (kept.input(0), kept.error());
        let (dw, db) = gradient.split_at_mut(self.weights());
        let size = self.input.iter().product::<usize>();
        let row = width * outputs;
        let sums = channel_sums::<T>(dy.len() / row, dw.len(), |number, lanes, sums| {
            let x = &x[number / height * size..][..size];
            T::run_loop(
                #[inline(always)]
                || {
                    let pixels = dy[number * row..][..row].chunks_exact(outputs);
                    for (dy, columns) in pixels.zip(&self.forward[1]) {
                        for_each_tap(
                            &self.forward[0][number % height],
                            columns,
                            input_width,
                            |[row, column], pixel| {
                                let x = &x[pixel * channels..][..channels];
                                let at = (row * self.filter[1] + column) * outputs;
                                let sums = lanes[at..][..outputs].chunks_exact_mut(self.multiplier);
                                for ((sums, x), dy) in sums.zip(x).zip(dy.chunks_exact(self.multiplier)) {
                                    for (sum, dy) in sums.iter_mut().zip(dy) {
                                        for lane in 0..LANES {
                                            sum.0[lane] = sum.0[lane] + x.0[lane] * dy.0[lane];
                                        }
                                    }
                                }
                            },
                        );
                    }
                },
            );
            for (sum, lanes) in sums.iter_mut().zip(lanes) {
                *sum = lanes.sum().to_f64();
            }
        });
        for (dw, sum) in dw.iter_mut().zip(sums) {
            *dw = T::from_f64(sum);
        }
        bias_gradient(dy, db);
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
        let ([_, output_width, outputs], [height, width, channels]) = (self.output, self.input);
        let (dy, weights) = (kept.error(), &parameters[..self.weights()]);
        let size = self.output.iter().product::<usize>();
        dx.par_chunks_mut(width * channels).enumerate().for_each(|(number, dx)| {
            let dy = &dy[number / height * size..][..size];
            T::run_loop(
                #[inline(always)]
                || {
                    for (dx, columns) in dx.chunks_exact_mut(channels).zip(&self.backward[1]) {
                        if !add {
                            dx.fill(Lanes::ZERO);
                        }
                        for_each_tap(
                            &self.backward[0][number % height],
                            columns,
                            output_width,
                            |[row, column], pixel| {
                                let dy = dy[pixel * outputs..][..outputs].chunks_exact(self.multiplier);
                                let weights = self.weights_of(weights, row, column).chunks_exact(self.multiplier);
                                for ((dx, dy), weights) in dx.iter_mut().zip(dy).zip(weights) {
                                    for (dy, &weight) in dy.iter().zip(weights) {
                                        for lane in 0..LANES {
                                            dx.0[lane] = dx.0[lane] + dy.0[lane] * weight;
                                        }
                                    }
                                }
                            },
                        );
                    }
                },
            );
        });
    }
}
