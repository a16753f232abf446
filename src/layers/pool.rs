use super::stream::{Stream, push, row_words};
use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::{self, Average, Centered, Element, Integer};
use crate::quant::Quantization;
use crate::reference::MeanParameters;
use crate::shape::{CheckedPool2dShape, Pool2dShape, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut, first};
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

/// Average pooling over windows of any size and stride, in int8, int16 or `f32`.
///
/// `I` and `O` are the types of its input and output, which have the same quantization. Padding is left out of the
/// average, as TensorFlow does, unless the layer is told to count it. The result is that of
/// [`reference::average_pool2d`](crate::reference::average_pool2d) or
/// [`average_pool2d_f32`](crate::reference::average_pool2d_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{AveragePool2d, Pool2dShape, Tensor};
///
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
/// A window of more pixels than an int16 sum has room for does not compile:
///
/// ```compile_fail
/// # use bareconv::{AveragePool2d, Pool2dShape, Tensor};
/// const POOL: AveragePool2d<Tensor<i16, 256, 256, 1>, Tensor<i16, 1, 1, 1>> =
///     AveragePool2d::int16(Pool2dShape::new([256, 256, 1], [256, 256])); // at most 65,535 pixels
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

impl<I, O> MaxPool2d<I, O> {
    /// Its geometry.
    pub const fn shape(&self) -> Pool2dShape {
        *self.shape.get()
    }
}

impl<I: TensorShape, O> AveragePool2d<I, O> {
    /// Its geometry.
    pub const fn shape(&self) -> Pool2dShape {
        *self.shape.get()
    }
}

format!([I, O] MaxPool2d<I, O>, "MaxPool2d {{ shape: {} }}", |this| this.shape());
format!([I: TensorShape, O] AveragePool2d<I, O>, "AveragePool2d {{ shape: {}, including_padding: {} }}",
    |this| this.shape(), this.padding.is_some());
format!([I, O] Mean2d<I, O>, "Mean2d {{ shape: {}, parameters: {} }}", |this| this.shape.get(), this.parameters);

impl<I: TensorShape, O: TensorShape<Element = I::Element>> MaxPool2d<I, O> {
    /// A maximum pooling of this shape.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn new(shape: Pool2dShape) -> Self {
        Self { shape: checked::<I, O>(shape), types: PhantomData }
    }
}

impl<T: Average, I: TensorShape<Element = T>, O: TensorShape<Element = T>> AveragePool2d<I, O> {
    const fn new(shape: Pool2dShape) -> Self {
        let checked = checked::<I, O>(shape);
        if shape.window[0] * shape.window[1] > T::MAX_WINDOW {
            panic!("{}", ShapeError::TooLarge.message());
        }
        Self { shape: checked, padding: None, types: PhantomData }
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>> AveragePool2d<I, O> {
    /// An int8 average pooling of this shape that leaves padding out.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: Pool2dShape) -> Self {
        Self::new(shape)
    }

    /// The same, but padding counts as 0, which `zero_point` stands for.
    pub const fn including_padding_of(self, zero_point: i8) -> Self {
        Self { padding: Some(zero_point), ..self }
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>> AveragePool2d<I, O> {
    /// An int16 average pooling of this shape that leaves padding out. The window has at most 65,535 pixels.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16(shape: Pool2dShape) -> Self {
        Self::new(shape)
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>> AveragePool2d<I, O> {
    /// An average pooling in single precision, of this shape, that leaves padding out.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(shape: Pool2dShape) -> Self {
        Self::new(shape)
    }
}

impl<T: Centered, I: TensorShape<Element = T>, O: TensorShape<Element = T>> AveragePool2d<I, O> {
    /// The same, but padding counts as 0.
    pub const fn including_padding(self) -> Self {
        Self { padding: Some(T::ZERO), ..self }
    }
}

impl<T: Element, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    MaxPool2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, C>) {
        let fits = dispatch(Maximum(&self.shape, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }

    /// Values of memory that input and output take together: [`Pool2dShape::overlapping_len`].
    pub const fn overlapping_len(&self) -> usize {
        self.shape.overlapping_len()
    }

    /// Computes the layer's output in memory that it shares with the input: the input is the last values of `memory`, and
    /// is overwritten by the output, which is left in the first, and returned.
    ///
    /// ```
    /// use bareconv::{MaxPool2d, Pool2dShape, Tensor};
    ///
    /// const SHAPE: Pool2dShape = Pool2dShape::new([2, 4, 1], [2, 2]);
    /// const POOL: MaxPool2d<Tensor<i8, 2, 4, 1>, Tensor<i8, 1, 2, 1>> = MaxPool2d::new(SHAPE);
    /// let mut memory = [0, 1, 2, 3, 4, 8, 7, 6, 5];
    /// assert_eq!(memory.len(), SHAPE.overlapping_len());
    /// assert_eq!(POOL.run_overlapping(&mut memory).as_view().as_slice(), [8, 6]);
    /// ```
    ///
    /// # Panics
    /// Where `memory` is shorter than [`overlapping_len`](Self::overlapping_len). With memory of constant size the check
    /// vanishes from optimized code.
    #[inline]
    pub fn run_overlapping<'m>(&self, memory: &'m mut [T]) -> ViewMut<'m, T, OUT_H, OUT_W, C> {
        if let Err(error) = dispatch(MaximumOverlapping(&self.shape, &mut *memory)) {
            panic!("{}", error.message());
        }
        first(memory)
    }

    /// Words of memory that [`stream`](Self::stream) needs.
    pub const fn stream_words(&self) -> usize {
        self.shape.get().stream_words::<T>()
    }

    /// The layer, to run row by row in this memory.
    ///
    /// # Panics
    /// Where `memory` is shorter than [`stream_words`](Self::stream_words). With memory of constant size the check vanishes
    /// from optimized code.
    #[inline]
    pub fn stream<'a>(&'a self, memory: &'a mut [u32]) -> Stream<'a, Self, ViewMut<'a, T, 1, OUT_W, C>> {
        Stream::new(self, row_words::<T>(self.shape.get().band(), 1), memory)
    }
}

impl<T: Element, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    Stream<'_, MaxPool2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>, ViewMut<'_, T, 1, OUT_W, C>>
{
    /// Takes the next input row, and calls `emit` with every output row that it completes.
    #[inline]
    pub fn push(&mut self, row: View<'_, T, 1, W, C>, emit: impl FnMut(View<'_, T, 1, OUT_W, C>)) {
        let (layer, row) = (self.layer, row.as_slice());
        let shape = *layer.shape.get();
        push!(self, row, emit, [H, OUT_H], |y| shape.rows_until(y), |at, output, scratch| {
            let Some(band) = bytemuck::cast_slice_mut(scratch).get_mut(..shape.band()) else {
                return;
            };
            elementwise::keep_row(&shape, at, row, band);
            if at.ready {
                let pooled = dispatch(MaximumOfRow(&layer.shape, at.written, band, output));
                elementwise::drop_rows(&shape, band);
                pooled
            } else {
                Ok(())
            }
        });
    }
}

/// An output row of maximum pooling, from the input rows that its windows see.
struct MaximumOfRow<'a, T>(&'a CheckedPool2dShape, usize, &'a [T], &'a mut [T]);

impl<T: Element> Job for MaximumOfRow<'_, T> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        elementwise::max_pool_row::<B, T>(self.0, self.1, self.2, self.3)
    }
}

impl<T: Average, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    AveragePool2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, OUT_H, OUT_W, C>) {
        let fits = dispatch(Mean(&self.shape, self.padding, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }

    /// Values of memory that input and output take together: [`Pool2dShape::overlapping_len`].
    pub const fn overlapping_len(&self) -> usize {
        self.shape.overlapping_len()
    }

    /// Computes the layer's output in memory that it shares with the input: the input is the last values of `memory`, and
    /// is overwritten by the output, which is left in the first, and returned.
    ///
    /// # Panics
    /// Where `memory` is shorter than [`overlapping_len`](Self::overlapping_len). With memory of constant size the check
    /// vanishes from optimized code.
    #[inline]
    pub fn run_overlapping<'m>(&self, memory: &'m mut [T]) -> ViewMut<'m, T, OUT_H, OUT_W, C> {
        if let Err(error) = dispatch(MeanOverlapping(&self.shape, self.padding, &mut *memory)) {
            panic!("{}", error.message());
        }
        first(memory)
    }

    /// Words of memory that [`stream`](Self::stream) needs.
    pub const fn stream_words(&self) -> usize {
        self.shape.get().stream_words::<T>()
    }

    /// The layer, to run row by row in this memory.
    ///
    /// # Panics
    /// Where `memory` is shorter than [`stream_words`](Self::stream_words). With memory of constant size the check vanishes
    /// from optimized code.
    #[inline]
    pub fn stream<'a>(&'a self, memory: &'a mut [u32]) -> Stream<'a, Self, ViewMut<'a, T, 1, OUT_W, C>> {
        Stream::new(self, row_words::<T>(self.shape.get().band(), 1), memory)
    }
}

impl<T: Average, const H: usize, const W: usize, const C: usize, const OUT_H: usize, const OUT_W: usize>
    Stream<'_, AveragePool2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, C>>, ViewMut<'_, T, 1, OUT_W, C>>
{
    /// Takes the next input row, and calls `emit` with every output row that it completes.
    #[inline]
    pub fn push(&mut self, row: View<'_, T, 1, W, C>, emit: impl FnMut(View<'_, T, 1, OUT_W, C>)) {
        let (layer, row) = (self.layer, row.as_slice());
        let shape = *layer.shape.get();
        push!(self, row, emit, [H, OUT_H], |y| shape.rows_until(y), |at, output, scratch| {
            let Some(band) = bytemuck::cast_slice_mut(scratch).get_mut(..shape.band()) else {
                return;
            };
            elementwise::keep_row(&shape, at, row, band);
            if at.ready {
                let pooled = dispatch(MeanOfRow(&layer.shape, layer.padding, at.written, band, output));
                elementwise::drop_rows(&shape, band);
                pooled
            } else {
                Ok(())
            }
        });
    }
}

/// An output row of average pooling, from the input rows that its windows see.
struct MeanOfRow<'a, T>(&'a CheckedPool2dShape, Option<T>, usize, &'a [T], &'a mut [T]);

impl<T: Average> Job for MeanOfRow<'_, T> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        elementwise::average_pool_row::<B, T>(self.0, self.1, self.2, self.3, self.4)
    }
}

/// Maximum pooling of a slice into another.
struct Maximum<'a, T>(&'a CheckedPool2dShape, &'a [T], &'a mut [T]);

impl<T: Element> Job for Maximum<'_, T> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        elementwise::max_pool::<B, T>(self.0, self.1, self.2)
    }
}

/// Average pooling of a slice into another.
struct Mean<'a, T>(&'a CheckedPool2dShape, Option<T>, &'a [T], &'a mut [T]);

impl<T: Average> Job for Mean<'_, T> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        elementwise::average_pool::<B, T>(self.0, self.1, self.2, self.3)
    }
}

/// Maximum pooling of a slice's last values to its first.
struct MaximumOverlapping<'a, T>(&'a CheckedPool2dShape, &'a mut [T]);

impl<T: Element> Job for MaximumOverlapping<'_, T> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        elementwise::max_pool_overlapping::<B, T>(self.0, self.1)
    }
}

/// Average pooling of a slice's last values to its first.
struct MeanOverlapping<'a, T>(&'a CheckedPool2dShape, Option<T>, &'a mut [T]);

impl<T: Average> Job for MeanOverlapping<'_, T> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        elementwise::average_pool_overlapping::<B, T>(self.0, self.1, self.2)
    }
}

impl Pool2dShape {
    /// Words of memory that a layer's [`Stream`] needs for values of type `T`: the input rows that a window sees, and an
    /// output row. The shape obeys the rules of [`check`](Self::check).
    pub const fn stream_words<T>(&self) -> usize {
        let [_, width, channels] = self.output();
        row_words::<T>(self.band(), 1) + row_words::<T>(width, channels)
    }
}

/// One window, as large as the input.
const fn global<const H: usize, const W: usize, const C: usize>() -> CheckedPool2dShape {
    match Pool2dShape::new([H, W, C], [H, W]).checked() {
        Ok(checked) => checked,
        Err(error) => panic!("{}", error.message()),
    }
}

/// Global maximum pooling: the maximum of each channel over all pixels, for inputs of any size.
///
/// The result is that of [`reference::max_pool2d`](crate::reference::max_pool2d) with one window as large as the input,
/// bit for bit, on every backend.
///
/// ```
/// use bareconv::{GlobalMaxPool2d, Tensor};
///
/// let mut output = Tensor::filled(0i8);
/// GlobalMaxPool2d.run(Tensor([[[1, -1], [2, -2]], [[3, -3], [4, -4]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[4, -1]]]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GlobalMaxPool2d;

impl GlobalMaxPool2d {
    /// Computes the layer's output.
    ///
    /// # Panics
    /// Does not compile where the input has no values or a window of [`Pool2dShape`] could not be as large.
    #[inline]
    pub fn run<T: Element, const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, T, H, W, C>,
        mut output: ViewMut<'_, T, 1, 1, C>,
    ) {
        let shape = const { global::<H, W, C>() };
        let fits = dispatch(Maximum(&shape, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the types have the shape");
    }
}

/// Global average pooling: the average of each channel over all pixels, for inputs of any size.
///
/// Input and output have the same quantization. The result is that of
/// [`reference::average_pool2d`](crate::reference::average_pool2d), or
/// [`average_pool2d_f32`](crate::reference::average_pool2d_f32), with one window as large as the input, bit for bit, on
/// every backend. TensorFlow Lite's `MEAN` rounds otherwise and may change the quantization: [`Mean2d`].
///
/// ```
/// use bareconv::{GlobalAveragePool2d, Tensor};
///
/// let mut output = Tensor::filled(0i8);
/// GlobalAveragePool2d.run(Tensor([[[1, -1], [2, -2]], [[3, -3], [4, -4]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[3, -3]]])); // 2.5 and -2.5, rounded away from zero
/// ```
///
/// An int16 input has at most 65,535 pixels:
///
/// ```compile_fail
/// # use bareconv::{GlobalAveragePool2d, Tensor};
/// # static INPUT: Tensor<i16, 256, 256, 1> = Tensor::filled(0);
/// let mut output = Tensor::filled(0i16);
/// GlobalAveragePool2d.run(INPUT.view(), output.view_mut());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GlobalAveragePool2d;

impl GlobalAveragePool2d {
    /// Computes the layer's output.
    ///
    /// # Panics
    /// Does not compile where the input has no values or more pixels than [`Average::MAX_WINDOW`], or a window of
    /// [`Pool2dShape`] could not be as large.
    #[inline]
    pub fn run<T: Average, const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, T, H, W, C>,
        mut output: ViewMut<'_, T, 1, 1, C>,
    ) {
        let shape = const {
            if H * W > T::MAX_WINDOW {
                panic!("{}", ShapeError::TooLarge.message());
            }
            global::<H, W, C>()
        };
        let fits = dispatch(Mean(&shape, None, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the types have the shape");
    }
}

/// The mean over height and width, in int8 or int16, from one quantization to another: TensorFlow Lite Micro's `MEAN`
/// over axes 1 and 2, bit for bit, on every backend.
///
/// The result is that of [`reference::mean2d`](crate::reference::mean2d). It differs from [`GlobalAveragePool2d`] where
/// the mean is near a half, as its division is a multiplication that is rounded twice.
///
/// ```
/// use bareconv::{Mean2d, Quantization, Tensor};
///
/// const MEAN: Mean2d<Tensor<i8, 2, 2, 2>, Tensor<i8, 1, 1, 2>> =
///     Mean2d::int8(Quantization::new(0.5, 0), Quantization::new(0.25, 10));
/// let mut output = Tensor::filled(0);
/// MEAN.run(Tensor([[[1, -1], [2, -2]], [[3, -3], [4, -4]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[15, 5]]])); // 1.25 and -1.25
/// ```
///
/// The output has one pixel:
///
/// ```compile_fail
/// # use bareconv::{Mean2d, Quantization, Tensor};
/// const MEAN: Mean2d<Tensor<i8, 2, 2, 2>, Tensor<i8, 2, 1, 2>> =
///     Mean2d::int8(Quantization::new(0.5, 0), Quantization::new(0.25, 10));
/// ```
#[derive(Debug)]
pub struct Mean2d<I, O> {
    shape: CheckedPool2dShape,
    parameters: MeanParameters,
    types: PhantomData<fn(&I, &mut O)>,
}

impl<T: Integer, const H: usize, const W: usize, const C: usize, O: TensorShape<Element = T>>
    Mean2d<Tensor<T, H, W, C>, O>
{
    const fn new(parameters: MeanParameters) -> Self {
        if H * W > T::MAX_WINDOW {
            panic!("{}", ShapeError::TooLarge.message());
        }
        if !same([1, 1, C], O::SHAPE) {
            panic!("{}", ShapeError::Output.message());
        }
        Self { shape: global::<H, W, C>(), parameters, types: PhantomData }
    }
}

impl<const H: usize, const W: usize, const C: usize, O: TensorShape<Element = i8>> Mean2d<Tensor<i8, H, W, C>, O> {
    /// The mean of int8 values of quantization `from`, in quantization `to`.
    ///
    /// # Panics
    /// Where the output is not one pixel of as many channels, or `from.scale / to.scale` is not finite or not below 2^30.
    /// In a constant this is a compile error.
    pub const fn int8(from: Quantization, to: Quantization) -> Self {
        let zero_points = [from.zero_point as i16, to.zero_point as i16];
        Self::new(MeanParameters::new(H * W, [from.scale, to.scale], zero_points))
    }
}

impl<const H: usize, const W: usize, const C: usize, O: TensorShape<Element = i16>> Mean2d<Tensor<i16, H, W, C>, O> {
    /// The mean of int16 values of scale `from`, in scale `to`; their zero points are 0.
    ///
    /// # Panics
    /// Where the output is not one pixel of as many channels, the input has more than 65,535 pixels, or `from / to` is
    /// not finite or not below 2^30. In a constant this is a compile error.
    pub const fn int16(from: f32, to: f32) -> Self {
        Self::new(MeanParameters::new(H * W, [from, to], [0, 0]))
    }
}

impl<T: Integer, const H: usize, const W: usize, const C: usize> Mean2d<Tensor<T, H, W, C>, Tensor<T, 1, 1, C>> {
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, input: View<'_, T, H, W, C>, mut output: ViewMut<'_, T, 1, 1, C>) {
        struct Means<'a, T>(&'a CheckedPool2dShape, &'a MeanParameters, &'a [T], &'a mut [T]);
        impl<T: Integer> Job for Means<'_, T> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                elementwise::mean::<B, T>(self.0, self.1, self.2, self.3)
            }
        }
        let fits = dispatch(Means(&self.shape, &self.parameters, input.as_slice(), output.as_mut_slice()));
        debug_assert!(fits.is_ok(), "the constructor compared the types with the shape");
    }
}
