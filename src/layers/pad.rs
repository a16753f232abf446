use crate::kernels::elementwise::arrange;
use crate::shape::{Region, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut};
use bytemuck::Pod;
use core::marker::PhantomData;

/// Padding with a constant, on each side of each dimension, of any type of values.
///
/// `I` and `O` are the types of its input and output, which have the same quantization. The result is that of
/// [`reference::pad`](crate::reference::pad). A convolution or pooling pads by itself, for less.
///
/// ```
/// use bareconv::{Pad, Tensor};
///
/// // A column before, a row after, and an empty channel after: rows, columns, channels.
/// const PAD: Pad<Tensor<i8, 1, 2, 1>, Tensor<i8, 2, 3, 2>> = Pad::new([0, 1, 0], [1, 0, 1], -5);
/// let mut output = Tensor::filled(0);
/// PAD.run(Tensor([[[1], [2]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[-5, -5], [1, -5], [2, -5]], [[-5, -5]; 3]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Pad, Tensor};
/// // the layer's output type must have the shape's output dimensions
/// const PAD: Pad<Tensor<i8, 1, 2, 1>, Tensor<i8, 2, 4, 2>> = Pad::new([0, 1, 0], [1, 0, 1], -5);
/// ```
#[derive(Debug)]
pub struct Pad<I: TensorShape, O> {
    region: Region,
    value: I::Element,
    types: PhantomData<fn(&I, &mut O)>,
}

impl<I: TensorShape<Element: Copy>, O: TensorShape<Element = I::Element>> Pad<I, O> {
    /// Adds so many rows, columns and channels before and after the input's, that hold `value`: in int8, what stands for
    /// 0 is the zero point.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn new(before: [usize; 3], after: [usize; 3], value: I::Element) -> Self {
        let mut padded = I::SHAPE;
        let mut axis = 0;
        while axis < 3 {
            if before[axis] > 1 << 16 || after[axis] > 1 << 16 {
                panic!("{}", ShapeError::TooLarge.message());
            }
            padded[axis] += before[axis] + after[axis];
            axis += 1;
        }
        if !same(padded, O::SHAPE) {
            panic!("{}", ShapeError::Output.message());
        }
        match Region::new(I::SHAPE, before, O::SHAPE) {
            Ok(region) => Self { region, value, types: PhantomData },
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<T: Pod, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize, const OUT_C: usize>
    Pad<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, OUT_C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, OUT_C>) {
        let fits = arrange::pad(&self.region, self.value, input.as_slice(), output.as_mut_slice());
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }
}

format!([I: TensorShape, O] Pad<I, O>, "Pad {{ region: {} }}", |this| this.region);
