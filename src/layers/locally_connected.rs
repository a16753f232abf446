use super::conv2d::Inference;
use crate::arch::{Native, dispatch};
use crate::kernels::conv2d::Convolution;
use crate::kernels::{Backend, Clamp, Epilogue, Int16x8, MicroKernel};
use crate::pack::{
    Activations, F32Filters, Int8Filters, Int16Filters, Layout, Weights, check_scales, common, pack_f32, pack_integers,
};
use crate::quant::{CommonRequantization, Rounding, RoundingMode, SingleRounding};
use crate::shape::{Conv2dShape, ShapeError, TensorShape, same};
use crate::tensor::{View, ViewMut};
use core::marker::PhantomData;

/// A 2-D locally connected layer with its activation: a convolution whose every output pixel has filters of its own.
///
/// A dense layer connects every output with every input. A convolution connects it with a window of the input, which is
/// **local connectivity**, and has all windows use the same filters, which is **parameter sharing**. A locally connected
/// layer has the first without the second (LeCun, 1989): as few multiplications as the convolution, as many weights as
/// multiplications. It pays where the place matters, as in pictures that are aligned, and it is not equivariant to
/// shifts.
///
/// `I` and `O` are the types of its input and output, `WORDS` is [`Conv2dShape::locally_connected_words`], and `E` says
/// how sums become outputs, as for [`Conv2d`](crate::Conv2d). Filters are
/// `[output height][output width][output channels][height][width][input channels]`, and there is a bias and a weight
/// scale for each output value. The shape has neither groups nor pooling. The result is that of
/// [`reference::locally_connected2d_i8`](crate::reference::locally_connected2d_i8), `locally_connected2d_i16` or
/// [`locally_connected2d_f32`](crate::reference::locally_connected2d_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{Activation, Conv2dShape, Int8Filters, LocallyConnected2d, Quantization, SingleRounding, Tensor};
///
/// // The left output is the sum of its two pixels, the right one their difference.
/// const SHAPE: Conv2dShape = Conv2dShape::new([1, 3, 1], 1, [1, 2]);
/// const Q: Quantization = Quantization::new(1.0, 0);
/// const NUMBERS: Int8Filters<'static> = Int8Filters {
///     filters: &[1, 1, -1, 1], bias: &[0, 0], scales: &[1.0, 1.0], input: Q, output: Q, activation: Activation::Identity,
/// };
/// static LAYER: LocallyConnected2d<
///     Tensor<i8, 1, 3, 1>, Tensor<i8, 1, 2, 1>, { SHAPE.locally_connected_words::<SingleRounding>() },
/// > = LocallyConnected2d::int8(SHAPE, NUMBERS);
///
/// let mut output = Tensor::filled(0);
/// let mut scratch = [0; SHAPE.locally_connected_scratch_words::<SingleRounding>()];
/// LAYER.run(Tensor([[[10], [20], [50]]]).view(), output.view_mut(), &mut scratch);
/// assert_eq!(output, Tensor([[[30], [30]]]));
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{Conv2dShape, SingleRounding};
/// // A locally connected layer has neither groups nor pooling.
/// const WORDS: usize =
///     Conv2dShape::new([4, 4, 1], 1, [2, 2]).max_pool(2).locally_connected_words::<SingleRounding>();
/// ```
#[derive(Debug)]
pub struct LocallyConnected2d<I, O, const WORDS: usize, E: Epilogue = SingleRounding> {
    convolution: Convolution<Native, E>,
    packed: [u32; WORDS],
    types: PhantomData<fn(&I, &mut O)>,
}

impl Conv2dShape {
    /// Words of flash that the packed filters of a locally connected layer take on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn locally_connected_words<E: Epilogue>(&self) -> usize {
        words::<Native, E>(self)[0]
    }

    /// Words of scratch memory that a locally connected layer needs on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn locally_connected_scratch_words<E: Epilogue>(&self) -> usize {
        words::<Native, E>(self)[1]
    }
}

/// Words of packed filters and of scratch memory.
const fn words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> [usize; 2] {
    let plan = Convolution::<B, E>::unshared_plan(shape);
    [plan.packed_words(), plan.scratch_words()]
}

/// Checks the numbers of values, before those of a pixel are packed.
const fn check_lengths(shape: &Conv2dShape, filters: usize, bias: usize, scales: usize) -> Result<(), ShapeError> {
    if let Err(error) = shape.check_unshared() {
        return Err(error);
    }
    let [height, width, channels] = shape.output();
    let values = height * width * channels;
    if filters as u64 != values as u64 * shape.filter_len() as u64 {
        return Err(ShapeError::Filters);
    }
    if bias != values || scales != values {
        return Err(ShapeError::Channels);
    }
    Ok(())
}

/// The part of a slice that belongs to one of its `parts` equal parts.
const fn part<T>(all: &[T], number: usize, parts: usize) -> &[T] {
    let len = all.len() / parts;
    all.split_at(number * len).1.split_at(len).0
}

/// Packs a layer of integers, pixel by pixel.
const fn pack_integer(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &Int8Filters<'_>,
    mode: RoundingMode,
    activations: Activations,
    packed: &mut [u32],
) -> Result<CommonRequantization, ShapeError> {
    if let Err(error) = check_lengths(shape, numbers.filters.len(), numbers.bias.len(), numbers.scales.len()) {
        return Err(error);
    }
    if let Err(error) = check_scales(numbers) {
        return Err(error);
    }
    let common = common(numbers, mode, activations);
    let [height, width, _] = shape.output();
    let pixels = height * width;
    let words = packed.len() / pixels;
    let mut pixel = 0;
    while pixel < pixels {
        let own = Int8Filters {
            filters: part(numbers.filters, pixel, pixels),
            bias: part(numbers.bias, pixel, pixels),
            scales: part(numbers.scales, pixel, pixels),
            ..*numbers
        };
        let packed = packed.split_at_mut(pixel * words).1.split_at_mut(words).0;
        let weights = Weights::Int8(own.filters);
        if let Err(error) = pack_integers(&shape.pixel(), layout, &own, weights, mode, activations, &common, packed) {
            return Err(error);
        }
        pixel += 1;
    }
    Ok(common)
}

/// Packs a layer in single precision, pixel by pixel.
const fn pack_float(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &F32Filters<'_>,
    packed: &mut [u32],
) -> Result<(), ShapeError> {
    if let Err(error) = check_lengths(shape, numbers.filters.len(), numbers.bias.len(), numbers.bias.len()) {
        return Err(error);
    }
    let [height, width, _] = shape.output();
    let pixels = height * width;
    let words = packed.len() / pixels;
    let mut pixel = 0;
    while pixel < pixels {
        let own = F32Filters {
            filters: part(numbers.filters, pixel, pixels),
            bias: part(numbers.bias, pixel, pixels),
            ..*numbers
        };
        let packed = packed.split_at_mut(pixel * words).1.split_at_mut(words).0;
        if let Err(error) = pack_f32(&shape.pixel(), layout, &own, packed) {
            return Err(error);
        }
        pixel += 1;
    }
    Ok(())
}

/// The types must have the shape's dimensions, and the array its words.
const fn check_types<I: TensorShape, O: TensorShape>(shape: &Conv2dShape, have: usize, want: usize) {
    if !same(shape.input, I::SHAPE) {
        panic!("{}", ShapeError::Input.message());
    }
    if !same(shape.output(), O::SHAPE) {
        panic!("{}", ShapeError::Output.message());
    }
    if have != want {
        panic!("{}", ShapeError::Packed.message());
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>, const WORDS: usize, R: Rounding>
    LocallyConnected2d<I, O, WORDS, R>
{
    /// An int8 locally connected layer.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: Conv2dShape, numbers: Int8Filters<'_>) -> Self {
        check_types::<I, O>(&shape, WORDS, shape.locally_connected_words::<R>());
        let mut packed = [0; WORDS];
        let layout = <Native as Backend>::Int8::DENSE;
        match pack_integer(&shape, &layout, &numbers, R::MODE, Activations::Int8, &mut packed) {
            Ok(common) => {
                let convolution = Convolution::unshared_int8(shape, numbers.input.zero_point, common);
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>, const WORDS: usize, R: Rounding>
    LocallyConnected2d<I, O, WORDS, Int16x8<R>>
{
    /// A locally connected layer of int16 values with int8 weights; its accumulators are bounded as those of
    /// [`Conv2d::int16`](crate::Conv2d::int16).
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16(shape: Conv2dShape, numbers: Int16Filters<'_>) -> Self {
        check_types::<I, O>(&shape, WORDS, shape.locally_connected_words::<Int16x8<R>>());
        let mut packed = [0; WORDS];
        let (layout, numbers) = (<Native as Backend>::Int16::DENSE, numbers.with_zero_points());
        match pack_integer(&shape, &layout, &numbers, R::MODE, Activations::Int16, &mut packed) {
            Ok(common) => {
                let convolution = Convolution::unshared_int16(shape, common);
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>, const WORDS: usize>
    LocallyConnected2d<I, O, WORDS, Clamp>
{
    /// A locally connected layer in single precision.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(shape: Conv2dShape, numbers: F32Filters<'_>) -> Self {
        check_types::<I, O>(&shape, WORDS, shape.locally_connected_words::<Clamp>());
        let mut packed = [0; WORDS];
        match pack_float(&shape, &<Native as Backend>::Float::DENSE, &numbers, &mut packed) {
            Ok(()) => {
                let convolution = Convolution::unshared_float(shape, numbers.activation.bounds());
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<
    E: Epilogue,
    const H: usize,
    const W: usize,
    const C: usize,
    const OUT_H: usize,
    const OUT_W: usize,
    const OUT_C: usize,
    const WORDS: usize,
> LocallyConnected2d<crate::Tensor<E::Input, H, W, C>, crate::Tensor<E::Output, OUT_H, OUT_W, OUT_C>, WORDS, E>
{
    /// Computes the layer's output.
    ///
    /// # Panics
    /// Where `scratch` is shorter than [`Conv2dShape::locally_connected_scratch_words`]. With memory of constant size
    /// the check vanishes from optimized code.
    #[inline]
    pub fn run(
        &self,
        input: View<'_, E::Input, H, W, C>,
        mut output: ViewMut<'_, E::Output, OUT_H, OUT_W, OUT_C>,
        scratch: &mut [u32],
    ) {
        let (input, output) = (input.as_slice(), output.as_mut_slice());
        if dispatch(Inference { convolution: &self.convolution, packed: &self.packed, input, output, scratch }).is_err()
        {
            panic!("the scratch memory must have at least the layer's scratch_words()");
        }
    }
}

/// Words of memory that [`locally_connected_int8`], [`locally_connected_int16`] or [`locally_connected_float`] needs on backend `B`.
///
/// # Panics
/// Where the shape breaks a rule.
pub fn locally_connected_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
    let [packed, scratch] = words::<B, E>(shape);
    packed + scratch
}

/// Packs and runs an int8 locally connected layer on backend `B`.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, `memory` is shorter than
/// [`locally_connected_words`], or as [`pack_i8`](crate::pack::pack_i8).
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence.
pub fn locally_connected_int8<B: Backend, R: Rounding>(
    shape: &Conv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
    output: &mut [i8],
    memory: &mut [u32],
) -> Result<(), ShapeError> {
    shape.check_unshared()?;
    let [packed, _] = words::<B, R>(shape);
    let (packed, scratch) = memory.split_at_mut_checked(packed).ok_or(ShapeError::Scratch)?;
    let common = pack_integer(shape, &B::Int8::DENSE, numbers, R::MODE, Activations::Int8, packed)?;
    Convolution::<B, R>::dynamic_unshared(*shape, numbers.input.zero_point, common).run(packed, input, output, scratch)
}

/// Packs and runs a locally connected layer of int16 values with int8 weights on backend `B`.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, `memory` is shorter than
/// [`locally_connected_words`], or as [`pack_i16`](crate::pack::pack_i16).
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence.
pub fn locally_connected_int16<B: Backend, R: Rounding>(
    shape: &Conv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    output: &mut [i16],
    memory: &mut [u32],
) -> Result<(), ShapeError> {
    shape.check_unshared()?;
    let [packed, _] = words::<B, Int16x8<R>>(shape);
    let (packed, scratch) = memory.split_at_mut_checked(packed).ok_or(ShapeError::Scratch)?;
    let numbers = numbers.with_zero_points();
    let common = pack_integer(shape, &B::Int16::DENSE, &numbers, R::MODE, Activations::Int16, packed)?;
    Convolution::<B, Int16x8<R>>::dynamic_unshared(*shape, 0, common).run(packed, input, output, scratch)
}

/// Packs and runs a locally connected layer in single precision on backend `B`.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, or `memory` is shorter than
/// [`locally_connected_words`].
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence.
pub fn locally_connected_float<B: Backend>(
    shape: &Conv2dShape,
    numbers: &F32Filters<'_>,
    input: &[f32],
    output: &mut [f32],
    memory: &mut [u32],
) -> Result<(), ShapeError> {
    shape.check_unshared()?;
    let [packed, _] = words::<B, Clamp>(shape);
    let (packed, scratch) = memory.split_at_mut_checked(packed).ok_or(ShapeError::Scratch)?;
    pack_float(shape, &B::Float::DENSE, numbers, packed)?;
    let bounds = numbers.activation.bounds();
    Convolution::<B, Clamp>::dynamic_unshared(*shape, 0.0, bounds).run(packed, input, output, scratch)
}
