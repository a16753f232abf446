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
const fn pack_float_filters(
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
        match pack_float_filters(&shape, &<Native as Backend>::Float::DENSE, &numbers, &mut packed) {
            Ok(()) => {
                let convolution = Convolution::unshared_float(shape, numbers.activation.bounds());
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I, O, const WORDS: usize, E: Epilogue> LocallyConnected2d<I, O, WORDS, E> {
    /// Its geometry.
    pub const fn shape(&self) -> Conv2dShape {
        self.convolution.shape()
    }

    /// Bytes of flash that filters, biases and requantization parameters take.
    pub const fn packed_bytes(&self) -> usize {
        4 * WORDS
    }

    /// Words of scratch memory that [`run`](Self::run) needs.
    pub const fn scratch_words(&self) -> usize {
        self.convolution.plan().scratch_words()
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
    /// Where `scratch` is shorter than [`scratch_words`](Self::scratch_words). With memory of constant size
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

/// Locally connected layers whose shape is known at run time only, on any backend: for tools on a PC and for tests.
///
/// Filters are `[output height][output width][output channels][height][width][input channels]`, with a bias and a weight
/// scale for each output value.
///
/// ```
/// use bareconv::arch::Portable;
/// use bareconv::{Activation, Clamp, Conv2dShape, F32Filters, dynamic::locally_connected};
///
/// // The left output is the sum of its two pixels, the right one their difference.
/// let shape = Conv2dShape::new([1, 3, 1], 1, [1, 2]);
/// let numbers = F32Filters { filters: &[1.0, 1.0, -1.0, 1.0], bias: &[0.0; 2], activation: Activation::Identity };
/// let mut packed = vec![0; locally_connected::packed_words::<Portable, Clamp>(&shape)];
/// locally_connected::pack_float::<Portable>(&shape, &numbers, &mut packed)?;
/// let mut scratch = vec![0; locally_connected::scratch_words::<Portable, Clamp>(&shape)];
/// let (input, mut output) = ([1.0, 2.0, 5.0], [0.0; 2]);
/// let bounds = numbers.activation.bounds();
/// locally_connected::run::<Portable, Clamp>(&shape, &packed, 0.0, &bounds, &input, &mut output, &mut scratch)?;
/// assert_eq!(output, [3.0, 3.0]);
/// # Ok::<(), bareconv::ShapeError>(())
/// ```
pub mod dynamic {
    use super::*;

    /// Words that the packed filters of `shape` take on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn packed_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
        words::<B, E>(shape)[0]
    }

    /// Words of scratch memory that [`run`] needs on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn scratch_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
        words::<B, E>(shape)[1]
    }

    /// Checks the geometry and the length of the packed filters.
    const fn check<B: Backend, E: Epilogue>(shape: &Conv2dShape, packed: usize) -> Result<(), ShapeError> {
        if let Err(error) = shape.check_unshared() {
            return Err(error);
        }
        if packed == packed_words::<B, E>(shape) { Ok(()) } else { Err(ShapeError::Packed) }
    }

    /// Packs an int8 locally connected layer for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// Where the shape breaks a rule, the length of a slice is not the shape's, or as
    /// [`pack_i8`](crate::pack::pack_i8).
    pub const fn pack_int8<B: Backend, R: Rounding>(
        shape: &Conv2dShape,
        numbers: &Int8Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        if let Err(error) = check::<B, R>(shape, packed.len()) {
            return Err(error);
        }
        pack_integer(shape, &B::Int8::DENSE, numbers, R::MODE, Activations::Int8, packed)
    }

    /// Packs a locally connected layer of int16 values with int8 weights for backend `B`; returns what [`run`] needs
    /// besides.
    ///
    /// # Errors
    /// Where the shape breaks a rule, the length of a slice is not the shape's, or as
    /// [`pack_i16`](crate::pack::pack_i16).
    pub const fn pack_int16<B: Backend, R: Rounding>(
        shape: &Conv2dShape,
        numbers: &Int16Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        if let Err(error) = check::<B, Int16x8<R>>(shape, packed.len()) {
            return Err(error);
        }
        pack_integer(shape, &B::Int16::DENSE, &numbers.with_zero_points(), R::MODE, Activations::Int16, packed)
    }

    /// Packs a locally connected layer in single precision for backend `B`.
    ///
    /// # Errors
    /// Where the shape breaks a rule or the length of a slice is not the shape's.
    pub const fn pack_float<B: Backend>(
        shape: &Conv2dShape,
        numbers: &F32Filters<'_>,
        packed: &mut [u32],
    ) -> Result<(), ShapeError> {
        if let Err(error) = check::<B, Clamp>(shape, packed.len()) {
            return Err(error);
        }
        pack_float_filters(shape, &B::Float::DENSE, numbers, packed)
    }

    /// Runs a locally connected layer on backend `B`. `fill` is what padding holds: the input's zero point, or 0.0.
    ///
    /// Since the shape is not known before, this links every special routine of the backend: not for firmware.
    ///
    /// # Errors
    /// Where the shape breaks a rule or the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run<B: Backend, E: Epilogue>(
        shape: &Conv2dShape,
        packed: &[u32],
        fill: E::Input,
        common: &E::Common,
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check_unshared()?;
        Convolution::<B, E>::dynamic_unshared(*shape, fill, *common).run(packed, input, output, scratch)
    }
}

format!([I, O, const WORDS: usize, E: Epilogue] LocallyConnected2d<I, O, WORDS, E>,
    "LocallyConnected2d {{ shape: {}, packed_bytes: {} }}", |this| this.shape(), this.packed_bytes());
