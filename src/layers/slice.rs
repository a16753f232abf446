use crate::kernels::elementwise::arrange;
use crate::shape::{ShapeError, SliceShape, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut};
use bytemuck::Pod;
use core::marker::PhantomData;

/// A part of a tensor, of any type of values: a box, or every so many values along an axis, backwards too.
///
/// `I` and `O` are the types of its input and output, which have the same quantization. The result is that of
/// [`reference::slice`](crate::reference::slice), and of TensorFlow Lite's `STRIDED_SLICE` and `SLICE`. Several side by
/// side split a tensor, as its `SPLIT` does.
///
/// ```
/// use bareconv::{Slice, Tensor};
///
/// type Both = Tensor<i8, 1, 2, 4>;
/// type Half = Tensor<i8, 1, 2, 2>;
/// // The first and the second half of the channels.
/// const SPLIT: [Slice<Both, Half>; 2] = [Slice::at([0, 0, 0]), Slice::at([0, 0, 2])];
/// let input = Tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]]);
/// let mut halves = [Tensor::filled(0); 2];
/// SPLIT[0].run(input.view(), halves[0].view_mut());
/// SPLIT[1].run(input.view(), halves[1].view_mut());
/// assert_eq!(halves, [Tensor([[[1, 2], [5, 6]]]), Tensor([[[3, 4], [7, 8]]])]);
///
/// // Columns from right to left, every second channel.
/// const FLIP: Slice<Both, Half> = Slice::new([0, -1, 0], [1, isize::MIN, 4], [1, -1, 2]);
/// FLIP.run(input.view(), halves[0].view_mut());
/// assert_eq!(halves[0], Tensor([[[5, 7], [1, 3]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Slice, Tensor};
/// // a slice must have at least one value along each axis, all of them inside its input
/// const SLICE: Slice<Tensor<i8, 4, 4, 4>, Tensor<i8, 4, 4, 3>> = Slice::at([0, 0, 2]);
/// ```
#[derive(Debug)]
pub struct Slice<I, O> {
    shape: SliceShape,
    types: PhantomData<fn(&I, &mut O)>,
}

impl<I: TensorShape, O: TensorShape<Element = I::Element>> Slice<I, O> {
    /// The values at `begin`, `begin + stride`, ..., before `end`, for rows, columns and channels, with the meaning that
    /// [`SliceShape::new`] gives them.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn new(begin: [isize; 3], end: [isize; 3], stride: [isize; 3]) -> Self {
        Self::of(SliceShape::new(I::SHAPE, begin, end, stride))
    }

    /// The box of the output's shape whose first value is at `[row, column, channel]` of the input.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn at(begin: [usize; 3]) -> Self {
        Self::of(SliceShape::at(I::SHAPE, begin, O::SHAPE))
    }

    const fn of(shape: Result<SliceShape, ShapeError>) -> Self {
        match shape {
            Ok(shape) if same(shape.output(), O::SHAPE) => Self { shape, types: PhantomData },
            Ok(_) => panic!("{}", ShapeError::Output.message()),
            Err(error) => panic!("{}", error.message()),
        }
    }

    /// Its geometry.
    pub const fn shape(&self) -> SliceShape {
        self.shape
    }
}

impl<T: Pod, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize, const OUT_C: usize>
    Slice<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, OUT_C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, OUT_C>) {
        let fits = arrange::slice(&self.shape, input.as_slice(), output.as_mut_slice());
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }
}

format!([I, O] Slice<I, O>, "Slice {{ shape: {} }}", |this| this.shape);
