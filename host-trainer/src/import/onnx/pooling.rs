//! Pooling and means.

use super::super::fault::{Step, nearest, require, unsupported};
use super::arrange::axis;
use super::call::Call;
use super::layout::{Layout, View};
use super::reader::{Computed, Reader};
use super::window::Window;
use crate::graph::{Operator, Shape};
use bareconv::{Activation, Pool2dShape};

/// The dimensions of a picture in a tensor of so many.
fn picture_dims(shape: Shape, rank: usize) -> Vec<usize> {
    let [height, width, channels] = shape;
    if rank == 3 { vec![1, channels, width] } else { vec![1, channels, height, width] }
}

impl Reader {
    pub(super) fn pool(&mut self, call: &Call) -> Step<()> {
        let maximum = call.operator == "MaxPool";
        let input = if maximum { self.computed(call, 0)? } else { self.real(call, 0)? };
        require(call.outputs.iter().skip(1).all(|name| !self.is_read(name)), "its indices are used")?;
        let rank = input.layout.dims().len();
        let (_, from) = self.picture(&input)?;
        let Some(mut window) = call.sizes::<2>("kernel_shape", rank - 2)? else {
            return unsupported("it has no kernel_shape");
        };
        if rank == 3 {
            window[0] = 1;
        }
        let ceil = call.int("ceil_mode", 0)? != 0;
        let Window { stride, dilation, padding } = Window::read(call, from, window, rank, ceil)?;
        require(dilation == [1, 1], "it is dilated")?;
        let mut including_padding = false;
        if !maximum && call.int("count_include_pad", 0)? != 0 && padding != [0; 4] {
            let whole = Window::read(call, from, window, rank, false)?;
            if whole.padding != padding && whole.padding != [0; 4] {
                return nearest("it counts padding, and has a ceil_mode that adds to it", "count_include_pad of 0");
            }
            // What a ceil_mode adds never counts.
            including_padding = whole.padding == padding;
        }
        let shape = Pool2dShape { input: from, window, stride, padding };
        shape.check().or_else(|error| unsupported(error.message()))?;
        let layout = Layout::channels_first(&picture_dims(shape.output(), rank));
        let output = call.outputs.first().map_or("", String::as_str);
        if maximum {
            let (value, _) = self.picture(&input)?;
            let operator = Operator::MaxPool { shape, activation: Activation::Identity };
            return self.moved(operator, (&input, value), output, shape.output(), layout);
        }
        self.average(shape, including_padding, input, output, layout)
    }

    /// An average: of integers if its output has its input's quantization, of single precision otherwise.
    fn average(
        &mut self,
        shape: Pool2dShape,
        including_padding: bool,
        input: Computed,
        output: &str,
        layout: Layout,
    ) -> Step<()> {
        let end = if input.dequantized { self.end(output, true) } else { None };
        let end = end.filter(|end| end.element == self.element(input.value));
        let (input, end) = match end {
            Some(end) => (input, end),
            None => (self.float(&input), self.end(output, false).unwrap_or_else(|| Self::no_end(output))),
        };
        let (value, _) = self.picture(&input)?;
        let operator = |activation| Operator::AveragePool { shape, including_padding, activation };
        self.finish(end, operator, vec![value], shape.output(), layout, true)
    }

    pub(super) fn global_pool(&mut self, call: &Call) -> Step<()> {
        let maximum = call.operator == "GlobalMaxPool";
        let input = if maximum { self.computed(call, 0)? } else { self.real(call, 0)? };
        let rank = input.layout.dims().len();
        let (value, from) = self.picture(&input)?;
        let layout = Layout::channels_first(&picture_dims([1, 1, from[2]], rank));
        if maximum {
            let shape = Pool2dShape::new(from, [from[0], from[1]]);
            shape.check().or_else(|error| unsupported(error.message()))?;
            let operator = Operator::MaxPool { shape, activation: Activation::Identity };
            return self.moved(operator, (&input, value), call.output()?, [1, 1, from[2]], layout);
        }
        self.mean(&input, from, call.output()?, layout)
    }

    pub(super) fn reduce_mean(&mut self, call: &Call) -> Step<()> {
        let input = self.real(call, 0)?;
        let dims = input.layout.dims().to_vec();
        let mut averaged = vec![false; dims.len()];
        match self.whole_numbers(call, "axes", 1)? {
            Some(axes) if !axes.is_empty() => {
                for at in axes {
                    averaged[axis(at, dims.len())?] = true;
                }
            }
            _ => return nearest("it averages over everything", "a mean over height and width, of each channel"),
        }
        // A dimension of a single value may be averaged or not.
        let fits = |view: &View| {
            (0..dims.len()).all(|at| dims[at] == 1 || averaged[at] == matches!(view.axes[at], Some(0 | 1)))
        };
        let Some((_, view)) = self.view(&input, fits) else {
            return nearest(
                format!("it is not a mean over height and width of its input, of the shape {dims:?}"),
                "a mean over height and width, of each channel",
            );
        };
        let from = view.shape(&dims);
        let mut to = dims.clone();
        to.iter_mut().zip(&averaged).filter(|(_, averaged)| **averaged).for_each(|(size, _)| *size = 1);
        if call.int("keepdims", 1)? == 0 {
            to = to.iter().zip(averaged).filter(|(_, averaged)| !averaged).map(|(&size, _)| size).collect();
        }
        // Channels alone are left.
        self.mean(&input, from, call.output()?, Layout::linear(&to))
    }

    /// The mean over height and width.
    fn mean(&mut self, input: &Computed, from: Shape, output: &str, layout: Layout) -> Step<()> {
        let end = if input.dequantized { self.end(output, true) } else { None };
        let (input, end) = match end {
            Some(end) => (input.clone(), end),
            None => (self.float(input), Self::no_end(output)),
        };
        let value = self.shaped(input.value, from);
        self.finish(end, |_| Operator::Mean, vec![value], [1, 1, from[2]], layout, false)
    }
}
