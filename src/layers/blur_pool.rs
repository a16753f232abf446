use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::blur_pool::{Blur, blur_pool2d};
use crate::shape::{BlurPool2dShape, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut};
use core::marker::PhantomData;

/// Anti-aliased pooling (BlurPool), in int8, int16 or `f32`: a binomial filter before the stride, of the input or of the
/// maxima of all its windows.
///
/// A pooling with a stride drops samples; what it drops changes when the input moves by a pixel, and so does the
/// network's answer. R. Zhang ("Making Convolutional Networks Shift-Invariant Again", 2019) takes the maxima at stride 1
/// and lowers the resolution of a blurred map. [`BlurPool2dShape::max_pool`] is that; without it, a blur and a stride
/// stand for average pooling, or follow a convolution. No dense map is stored.
///
/// `I` and `O` are the types of its input and output, which have the same quantization. The result is that of
/// [`reference::blur_pool2d`](crate::reference::blur_pool2d) or
/// [`blur_pool2d_f32`](crate::reference::blur_pool2d_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{BlurPool2d, BlurPool2dShape, Tensor};
///
/// const POOL: BlurPool2d<Tensor<i8, 3, 4, 1>, Tensor<i8, 2, 2, 1>> =
///     BlurPool2d::int8(BlurPool2dShape::new([3, 4, 1], 3, 2), 0);
/// let image = Tensor([[[0], [0], [64], [64]], [[0], [0], [64], [64]], [[0], [0], [64], [64]]]);
/// let mut output = Tensor::filled(0);
/// POOL.run(image.view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0], [48]], [[0], [48]]])); // (1 * 0 + 2 * 64 + 1 * 64) / 4
/// ```
///
/// A reflected border must have something to reflect:
///
/// ```compile_fail
/// # use bareconv::{BlurPool2d, BlurPool2dShape, Tensor};
/// const POOL: BlurPool2d<Tensor<f32, 1, 4, 1>, Tensor<f32, 1, 2, 1>> =
///     BlurPool2d::float(BlurPool2dShape::new([1, 4, 1], 3, 2));
/// ```
#[derive(Debug)]
pub struct BlurPool2d<I: TensorShape, O> {
    shape: BlurPool2dShape,
    zero: I::Element,
    types: PhantomData<fn(&I, &mut O)>,
}

impl<I: TensorShape<Element: Blur>, O: TensorShape<Element = I::Element>> BlurPool2d<I, O> {
    const fn new(shape: BlurPool2dShape, zero: I::Element) -> Self {
        if let Err(error) = shape.check() {
            panic!("{}", error.message());
        }
        if !same(shape.input, I::SHAPE) {
            panic!("{}", ShapeError::Input.message());
        }
        if !same(shape.output(), O::SHAPE) {
            panic!("{}", ShapeError::Output.message());
        }
        Self { shape, zero, types: PhantomData }
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>> BlurPool2d<I, O> {
    /// An int8 pooling of this shape; `zero_point` is what zero padding holds.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: BlurPool2dShape, zero_point: i8) -> Self {
        Self::new(shape, zero_point)
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>> BlurPool2d<I, O> {
    /// An int16 pooling of this shape.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16(shape: BlurPool2dShape) -> Self {
        Self::new(shape, 0)
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>> BlurPool2d<I, O> {
    /// A pooling in single precision, of this shape.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(shape: BlurPool2dShape) -> Self {
        Self::new(shape, 0.0)
    }
}

impl<T: Blur, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    BlurPool2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, C>) {
        struct Pool<'a, T>(&'a BlurPool2dShape, T, &'a [T], &'a mut [T]);
        impl<T: Blur> Job for Pool<'_, T> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                blur_pool2d::<B, T>(self.0, self.1, self.2, self.3)
            }
        }
        let fits = dispatch(Pool(&self.shape, self.zero, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }
}

impl<I: TensorShape, O> BlurPool2d<I, O> {
    /// Its geometry.
    pub const fn shape(&self) -> BlurPool2dShape {
        self.shape
    }
}

format!([I: TensorShape, O] BlurPool2d<I, O>, "BlurPool2d {{ shape: {} }}", |this| this.shape);
