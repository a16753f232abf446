use crate::arch::{Job, dispatch};
use crate::kernels::{Backend, elementwise, elementwise::Element};
use crate::shape::{CheckedPool2dShape, Pool2dShape, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut};
use core::marker::PhantomData;

/// Maximum pooling over windows of any size and stride, in int8, int16 or `f32`; padding never wins.
///
/// `I` and `O` are the types of its input and output, which have the same quantization. The result is that of
/// [`reference::max_pool2d`](crate::reference::max_pool2d), bit for bit, on every backend. A pooling right behind a
/// convolution, with windows side by side, is cheaper as part of it: [`Conv2dShape::max_pool`](crate::Conv2dShape).
///
/// ```
/// use bareconv::{MaxPool2d, Pool2dShape, Tensor};
///
/// const POOL: MaxPool2d<Tensor<i8, 3, 3, 1>, Tensor<i8, 2, 2, 1>> =
///     MaxPool2d::new(Pool2dShape::new([3, 3, 1], [2, 2]).stride(1));
/// let input = Tensor([[[1], [2], [3]], [[9], [5], [4]], [[-7], [-8], [-9]]]);
/// let mut output = Tensor::filled(0);
/// POOL.run(input.view(), output.view_mut());
/// assert_eq!(output, Tensor([[[9], [5]], [[9], [5]]]));
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{MaxPool2d, Pool2dShape, Tensor};
/// const POOL: MaxPool2d<Tensor<i8, 3, 3, 1>, Tensor<i8, 1, 1, 1>> =
///     MaxPool2d::new(Pool2dShape::new([3, 3, 1], [4, 4])); // the window must fit into the padded input
/// ```
#[derive(Debug)]
pub struct MaxPool2d<I, O> {
    shape: CheckedPool2dShape,
    types: PhantomData<fn(&I, &mut O)>,
}

/// Average pooling over windows of any size and stride, in int8 or `f32`.
///
/// `I` and `O` are the types of its input and output, which have the same quantization. Padding is left out of the
/// average, as TensorFlow does, unless the layer is told to count it. The result is that of
/// [`reference::average_pool2d_i8`](crate::reference::average_pool2d_i8) or
/// [`average_pool2d_f32`](crate::reference::average_pool2d_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{AveragePool2d, Pool2dShape, Tensor};
///
/// // Global average pooling: one window, as large as the input.
/// const POOL: AveragePool2d<Tensor<i8, 2, 2, 2>, Tensor<i8, 1, 1, 2>> =
///     AveragePool2d::int8(Pool2dShape::new([2, 2, 2], [2, 2]));
/// let input = Tensor([[[1, -1], [2, -2]], [[3, -3], [4, -4]]]);
/// let mut output = Tensor::filled(0);
/// POOL.run(input.view(), output.view_mut());
/// assert_eq!(output, Tensor([[[3, -3]]])); // 2.5 and -2.5, rounded away from zero
///
/// // A window that overlaps its neighbours and the border, where padding counts as zero.
/// const SMOOTH: AveragePool2d<Tensor<f32, 1, 3, 1>, Tensor<f32, 1, 3, 1>> = AveragePool2d::float(Pool2dShape {
///     stride: [1, 1],
///     padding: [0, 1, 0, 1],
///     ..Pool2dShape::new([1, 3, 1], [1, 3])
/// })
/// .including_padding();
/// let mut output = Tensor::filled(0.0);
/// SMOOTH.run(Tensor([[[3.0], [6.0], [9.0]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[3.0], [6.0], [5.0]]]));
/// ```
#[derive(Debug)]
pub struct AveragePool2d<I: TensorShape, O> {
    shape: CheckedPool2dShape,
    /// What padding counts as; `None` leaves it out.
    padding: Option<I::Element>,
    types: PhantomData<fn(&I, &mut O)>,
}

/// The shape, if it obeys the rules and the types have its dimensions.
const fn checked<I: TensorShape, O: TensorShape>(shape: Pool2dShape) -> CheckedPool2dShape {
    let checked = match shape.checked() {
        Ok(checked) => checked,
        Err(error) => panic!("{}", error.message()),
    };
    if !same(shape.input, I::SHAPE) {
        panic!("{}", ShapeError::Input.message());
    }
    if !same(shape.output(), O::SHAPE) {
        panic!("{}", ShapeError::Output.message());
    }
    checked
}

impl<I: TensorShape, O: TensorShape<Element = I::Element>> MaxPool2d<I, O> {
    /// A maximum pooling of this shape.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn new(shape: Pool2dShape) -> Self {
        Self { shape: checked::<I, O>(shape), types: PhantomData }
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>> AveragePool2d<I, O> {
    /// An int8 average pooling of this shape that leaves padding out.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: Pool2dShape) -> Self {
        Self { shape: checked::<I, O>(shape), padding: None, types: PhantomData }
    }

    /// The same, but padding counts as 0, which `zero_point` stands for.
    pub const fn including_padding_of(self, zero_point: i8) -> Self {
        Self { padding: Some(zero_point), ..self }
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>> AveragePool2d<I, O> {
    /// An average pooling in single precision, of this shape, that leaves padding out.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(shape: Pool2dShape) -> Self {
        Self { shape: checked::<I, O>(shape), padding: None, types: PhantomData }
    }

    /// The same, but padding counts as 0.
    pub const fn including_padding(self) -> Self {
        Self { padding: Some(0.0), ..self }
    }
}

impl<T: Element, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    MaxPool2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, C>) {
        struct Pooling<'a, T>(&'a CheckedPool2dShape, &'a [T], &'a mut [T]);
        impl<T: Element> Job for Pooling<'_, T> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                elementwise::max_pool::<B, T>(self.0, self.1, self.2)
            }
        }
        let fits = dispatch(Pooling(&self.shape, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }
}

impl<const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    AveragePool2d<Tensor<i8, H, W, C>, Tensor<i8, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, i8, H, W, C>, mut output: ViewMut<'_, i8, OUT_H, OUT_W, C>) {
        struct Pooling<'a>(&'a CheckedPool2dShape, Option<i8>, &'a [i8], &'a mut [i8]);
        impl Job for Pooling<'_> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                elementwise::average_pool_i8::<B>(self.0, self.1, self.2, self.3)
            }
        }
        let fits = dispatch(Pooling(&self.shape, self.padding, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }
}

impl<const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    AveragePool2d<Tensor<f32, H, W, C>, Tensor<f32, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, f32, H, W, C>, mut output: ViewMut<'_, f32, OUT_H, OUT_W, C>) {
        struct Pooling<'a>(&'a CheckedPool2dShape, bool, &'a [f32], &'a mut [f32]);
        impl Job for Pooling<'_> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                elementwise::average_pool_f32::<B>(self.0, self.1, self.2, self.3)
            }
        }
        let fits = dispatch(Pooling(&self.shape, self.padding.is_some(), input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }
}
