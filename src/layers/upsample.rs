use crate::kernels::elementwise::arrange;
use crate::shape::{TensorShape, UpsampleShape};
use crate::tensor::{Tensor, View, ViewMut};
use bytemuck::Pod;
use core::marker::PhantomData;

/// Nearest-neighbour upsampling by whole factors, of any type of values: each pixel becomes a block of pixels.
///
/// `I` and `O` are the types of its input and output, whose sizes give the factors; both have the same quantization. The
/// result is that of [`reference::upsample`](crate::reference::upsample), which says how TensorFlow Lite's
/// `RESIZE_NEAREST_NEIGHBOR` compares.
///
/// ```
/// use bareconv::{Tensor, Upsample};
///
/// const TWICE: Upsample<Tensor<i8, 1, 2, 1>, Tensor<i8, 2, 4, 1>> = Upsample::nearest();
/// let mut output = Tensor::filled(0);
/// TWICE.run(Tensor([[[7], [-3]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[7], [7], [-3], [-3]]; 2]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Tensor, Upsample};
/// // the upsampled height and width must be multiples of the input's
/// const HALF_MORE: Upsample<Tensor<i8, 2, 2, 1>, Tensor<i8, 3, 3, 1>> = Upsample::nearest();
/// ```
#[derive(Debug)]
pub struct Upsample<I, O> {
    shape: UpsampleShape,
    types: PhantomData<fn(&I, &mut O)>,
}

impl<I: TensorShape, O: TensorShape<Element = I::Element>> Upsample<I, O> {
    /// An upsampling by the factors between the sizes of input and output.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`](crate::ShapeError) is broken; in a constant, that is a compile error that names the
    /// rule.
    pub const fn nearest() -> Self {
        match UpsampleShape::between(I::SHAPE, O::SHAPE) {
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
