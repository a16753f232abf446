use crate::kernels::elementwise::arrange;
use crate::shape::{Coordinates, TensorShape, UpsampleShape};
use crate::tensor::{Tensor, View, ViewMut};
use bytemuck::Pod;
use core::marker::PhantomData;

/// Nearest-neighbour upsampling, or downsampling, to any size, of any type of values.
///
/// `I` and `O` are the types of its input and output, which have the same channels and the same quantization. The result
/// is that of [`reference::upsample`](crate::reference::upsample), and of TensorFlow Lite's `RESIZE_NEAREST_NEIGHBOR`.
///
/// ```
/// use bareconv::{Coordinates, Tensor, Upsample};
///
/// const TWICE: Upsample<Tensor<i8, 1, 2, 1>, Tensor<i8, 2, 4, 1>> = Upsample::nearest();
/// let mut output = Tensor::filled(0);
/// TWICE.run(Tensor([[[7], [-3]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[7], [7], [-3], [-3]]; 2]));
///
/// // The second and the fourth pixel of five.
/// const LESS: Upsample<Tensor<i8, 1, 5, 1>, Tensor<i8, 1, 2, 1>> = Upsample::nearest_with(Coordinates::HalfPixel);
/// let mut output = Tensor::filled(0);
/// LESS.run(Tensor([[[1], [2], [3], [4], [5]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[2], [4]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Tensor, Upsample};
/// // the layer's output type must have the input's channels
/// const TWICE: Upsample<Tensor<i8, 2, 2, 1>, Tensor<i8, 4, 4, 2>> = Upsample::nearest();
/// ```
#[derive(Debug)]
pub struct Upsample<I, O> {
    shape: UpsampleShape,
    types: PhantomData<fn(&I, &mut O)>,
}

impl<I: TensorShape, O: TensorShape<Element = I::Element>> Upsample<I, O> {
    /// A resizing as TensorFlow Lite does it without options: [`Coordinates::Asymmetric`].
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`](crate::ShapeError) is broken; in a constant, that is a compile error that names the
    /// rule.
    pub const fn nearest() -> Self {
        Self::nearest_with(Coordinates::Asymmetric)
    }

    /// A resizing with pixels whose centres lie elsewhere.
    ///
    /// # Panics
    /// As [`nearest`](Self::nearest).
    pub const fn nearest_with(coordinates: Coordinates) -> Self {
        match UpsampleShape::between(I::SHAPE, O::SHAPE, coordinates) {
            Ok(shape) => Self { shape, types: PhantomData },
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<T: Pod, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    Upsample<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, C>) {
        let fits = arrange::upsample(&self.shape, input.as_slice(), output.as_mut_slice());
        debug_assert!(fits.is_ok(), "the constructor compared the types");
    }
}

impl<I, O> Upsample<I, O> {
    /// Its geometry.
    pub const fn shape(&self) -> UpsampleShape {
        self.shape
    }
}

format!([I, O] Upsample<I, O>, "Upsample {{ shape: {} }}", |this| this.shape);
