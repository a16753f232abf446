use super::stream::{Stream, push, row_words};
use crate::arch::DepthwiseInt16;
use crate::arch::{Job, Native, dispatch};
use crate::kernels::depthwise::{Depthwise, DepthwiseEpilogue, Plan, pack_f32, pack_integers};
use crate::kernels::{Backend, Clamp, Int16x8, Progress};
use crate::pack::{Activations, F32Filters, Int8Filters, Int16Filters};
use crate::quant::{Quantization, Rounding, SingleRounding};
use crate::shape::{DepthwiseConv2dShape, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut, first};
use bytemuck::Pod;
use core::marker::PhantomData;

/// A depthwise 2-D convolution with its activation: every channel has filters of its own and meets no other channel.
///
/// Followed by a pointwise (1 x 1) [`Conv2d`](crate::Conv2d) it is the separable convolution of MobileNet (Howard et al.,
/// 2017, <https://arxiv.org/abs/1704.04861>).
///
/// `I` and `O` are the types of its input and output, `WORDS` is [`DepthwiseConv2dShape::packed_words`], and `E` says
/// how sums become outputs: [`SingleRounding`] or another [`Rounding`] for int8, [`Int16x8`] of one for int16 activations
/// with int8 weights, [`Clamp`] for `f32`. The result is that of [`reference::depthwise_conv2d_i8`](crate::reference::depthwise_conv2d_i8) or
/// [`depthwise_conv2d_f32`](crate::reference::depthwise_conv2d_f32), bit for bit, on every backend. Output channel
/// `c * multiplier + m` is filter `m` of input channel `c`. For an input of one channel [`Conv2d`](crate::Conv2d)
/// computes the same, faster.
///
/// ```
/// use bareconv::{Activation, DepthwiseConv2d, DepthwiseConv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
///
/// // Differences to the left in the first channel, upwards in the second.
/// const SHAPE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([3, 3, 2], 1, [2, 2]);
/// const WEIGHTS: [[[i8; 2]; 2]; 2] = [[[0, 0], [0, -1]], [[-1, 0], [1, 1]]];
/// const Q: Quantization = Quantization::new(1.0, 0);
/// static LAYER: DepthwiseConv2d<
///     Tensor<i8, 3, 3, 2>,
///     Tensor<i8, 2, 2, 2>,
///     { SHAPE.packed_words::<SingleRounding>() },
/// > = DepthwiseConv2d::int8(SHAPE, Int8Filters::depthwise(&WEIGHTS, &[0; 2], &[1.0; 2], Q, Q, Activation::Identity));
///
/// let picture = Tensor([[[1i8, 1], [2, 2], [4, 4]], [[1, 3], [2, 3], [4, 3]], [[1, 9], [2, 9], [4, 9]]]);
/// let mut output = Tensor::filled(0);
/// LAYER.run(picture.view(), output.view_mut(), &mut [0; SHAPE.scratch_words::<SingleRounding>()]);
/// assert_eq!(output, Tensor([[[1, 1], [2, -1]], [[1, 6], [2, 6]]]));
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{Activation, DepthwiseConv2d, DepthwiseConv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
/// // With a multiplier of 3 the output has 6 channels, not 2.
/// const SHAPE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([3, 3, 2], 3, [2, 2]);
/// const Q: Quantization = Quantization::new(1.0, 0);
/// static LAYER: DepthwiseConv2d<
///     Tensor<i8, 3, 3, 2>,
///     Tensor<i8, 2, 2, 2>,
///     { SHAPE.packed_words::<SingleRounding>() },
/// > = DepthwiseConv2d::int8(SHAPE, Int8Filters::depthwise(&[[[0; 6]; 2]; 2], &[0; 6], &[1.0; 6], Q, Q, Activation::Relu));
/// ```
#[derive(Debug)]
pub struct DepthwiseConv2d<I, O, const WORDS: usize, E: DepthwiseEpilogue = SingleRounding> {
    convolution: Depthwise<Native, E>,
    packed: [u32; WORDS],
    types: PhantomData<fn(&I, &mut O)>,
}

impl DepthwiseConv2dShape {
    /// Words of flash that the layer's packed filters take on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn packed_words<E: DepthwiseEpilogue>(&self) -> usize {
        Plan::new::<Native, E>(self).packed_words()
    }

    /// Words of scratch memory that the layer needs on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn scratch_words<E: DepthwiseEpilogue>(&self) -> usize {
        Plan::new::<Native, E>(self).scratch_words()
    }

    /// Words of memory that the layer's [`Stream`] needs on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn stream_words<E: DepthwiseEpilogue>(&self) -> usize {
        let [_, width, channels] = self.output();
        dynamic::scratch_words_by_rows::<Native, E>(self) + row_words::<E::Output>(width, channels)
    }
}

impl<'a> Int8Filters<'a> {
    /// The numbers of a depthwise convolution, from arrays: `[height][width][output channel]`, as TensorFlow Lite has
    /// them.
    pub const fn depthwise<const O: usize, const H: usize, const W: usize>(
        filters: &'a [[[i8; O]; W]; H],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: Quantization,
        output: Quantization,
        activation: crate::Activation,
    ) -> Self {
        Self { filters: filters.as_flattened().as_flattened(), bias, scales, input, output, activation }
    }
}

impl<'a> Int16Filters<'a> {
    /// The numbers of a depthwise convolution, from arrays: `[height][width][output channel]`, as TensorFlow Lite has
    /// them.
    pub const fn depthwise<const O: usize, const H: usize, const W: usize>(
        filters: &'a [[[i8; O]; W]; H],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: f32,
        output: f32,
        activation: crate::Activation,
    ) -> Self {
        Self { filters: filters.as_flattened().as_flattened(), bias, scales, input, output, activation }
    }
}

impl<'a> F32Filters<'a> {
    /// The numbers of a depthwise convolution, from arrays: `[height][width][output channel]`, as TensorFlow Lite has
    /// them.
    pub const fn depthwise<const O: usize, const H: usize, const W: usize>(
        filters: &'a [[[f32; O]; W]; H],
        bias: &'a [f32; O],
        activation: crate::Activation,
    ) -> Self {
        Self { filters: filters.as_flattened().as_flattened(), bias, activation }
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>, const WORDS: usize, R: Rounding>
    DepthwiseConv2d<I, O, WORDS, R>
{
    /// An int8 convolution; `numbers.filters` are `[height][width][output channel]`.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: DepthwiseConv2dShape, numbers: Int8Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        match pack_integers::<<Native as Backend>::DepthwiseInt8>(
            &shape,
            &numbers,
            R::MODE,
            Activations::Int8,
            &mut packed,
        ) {
            Ok(common) => {
                let convolution = Depthwise::int8(shape, numbers.input.zero_point, common);
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>, const WORDS: usize, R: Rounding>
    DepthwiseConv2d<I, O, WORDS, Int16x8<R>>
{
    /// A convolution of int16 activations with int8 weights; `numbers.filters` are `[height][width][output channel]`.
    ///
    /// Accumulators have 32 bits: for every output channel `|bias| + 32768 * sum |weight|` must fit them, as it does for
    /// any filter of up to 515 taps.
    ///
    /// ```
    /// use bareconv::{Activation, DepthwiseConv2d, DepthwiseConv2dShape, Int16Filters, Int16x8, ReducedRounding, Tensor};
    ///
    /// // The mean of two neighbours in each channel, with the bits of TensorFlow Lite Micro.
    /// const SHAPE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([1, 3, 2], 1, [1, 2]);
    /// const MEAN: Int16Filters<'_> =
    ///     Int16Filters::depthwise(&[[[64; 2]; 2]], &[0; 2], &[1.0 / 128.0; 2], 0.001, 0.001, Activation::Identity);
    /// static LAYER: DepthwiseConv2d<
    ///     Tensor<i16, 1, 3, 2>,
    ///     Tensor<i16, 1, 2, 2>,
    ///     { SHAPE.packed_words::<Int16x8<ReducedRounding>>() },
    ///     Int16x8<ReducedRounding>,
    /// > = DepthwiseConv2d::int16(SHAPE, MEAN);
    ///
    /// let mut output = Tensor::filled(0);
    /// let mut scratch = [0; SHAPE.scratch_words::<Int16x8<ReducedRounding>>()];
    /// LAYER.run(Tensor([[[10_000, 2], [20_000, 4], [-30_000, 6]]]).view(), output.view_mut(), &mut scratch);
    /// assert_eq!(output.0, [[[15_000, 3], [-5_000, 5]]]);
    /// ```
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16(shape: DepthwiseConv2dShape, numbers: Int16Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        let numbers = numbers.with_zero_points();
        match pack_integers::<DepthwiseInt16>(&shape, &numbers, R::MODE, Activations::Int16, &mut packed) {
            Ok(common) => Self { convolution: Depthwise::int16(shape, common), packed, types: PhantomData },
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>, const WORDS: usize>
    DepthwiseConv2d<I, O, WORDS, Clamp>
{
    /// A convolution in single precision; `numbers.filters` are `[height][width][output channel]`.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(shape: DepthwiseConv2dShape, numbers: F32Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        match pack_f32::<<Native as Backend>::DepthwiseFloat>(&shape, &numbers, &mut packed) {
            Ok(()) => {
                let convolution = Depthwise::float(shape, numbers.activation.bounds());
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

/// The types must have the shape's dimensions.
const fn check_types<I: TensorShape, O: TensorShape>(shape: &DepthwiseConv2dShape) {
    if let Err(error) = shape.check() {
        panic!("{}", error.message());
    }
    if !same(shape.input, I::SHAPE) {
        panic!("{}", ShapeError::Input.message());
    }
    if !same(shape.output(), O::SHAPE) {
        panic!("{}", ShapeError::Output.message());
    }
}

impl<I, O, const WORDS: usize, E: DepthwiseEpilogue> DepthwiseConv2d<I, O, WORDS, E> {
    /// Its geometry.
    pub const fn shape(&self) -> DepthwiseConv2dShape {
        *self.convolution.shape()
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
    E: DepthwiseEpilogue,
    const H: usize,
    const W: usize,
    const C: usize,
    const OUT_H: usize,
    const OUT_W: usize,
    const OUT_C: usize,
    const WORDS: usize,
> DepthwiseConv2d<Tensor<E::Input, H, W, C>, Tensor<E::Output, OUT_H, OUT_W, OUT_C>, WORDS, E>
{
    /// Computes the layer's output.
    ///
    /// # Panics
    /// Where `scratch` is shorter than [`scratch_words`](Self::scratch_words). With memory of constant size the
    /// check vanishes from optimized code.
    #[inline]
    pub fn run(
        &self,
        input: View<'_, E::Input, H, W, C>,
        mut output: ViewMut<'_, E::Output, OUT_H, OUT_W, OUT_C>,
        scratch: &mut [u32],
    ) {
        let (input, output) = (input.as_slice(), output.as_mut_slice());
        let job = Inference { convolution: &self.convolution, packed: &self.packed, input, output, scratch };
        if dispatch(job).is_err() {
            panic!("the scratch memory must have at least the layer's scratch_words()");
        }
    }

    /// Words of memory that [`stream`](Self::stream) needs.
    pub const fn stream_words(&self) -> usize {
        self.convolution.stream_words() + row_words::<E::Output>(OUT_W, OUT_C)
    }

    /// The layer, to run row by row in this memory.
    ///
    /// # Panics
    /// Where `memory` is shorter than [`stream_words`](Self::stream_words). With memory of constant size the check
    /// vanishes from optimized code.
    #[inline]
    pub fn stream<'a>(&'a self, memory: &'a mut [u32]) -> Stream<'a, Self, ViewMut<'a, E::Output, 1, OUT_W, OUT_C>> {
        Stream::new(self, self.convolution.stream_words(), memory)
    }
}

impl<
    E: DepthwiseEpilogue,
    const H: usize,
    const W: usize,
    const C: usize,
    const OUT_H: usize,
    const OUT_W: usize,
    const OUT_C: usize,
    const WORDS: usize,
>
    Stream<
        '_,
        DepthwiseConv2d<Tensor<E::Input, H, W, C>, Tensor<E::Output, OUT_H, OUT_W, OUT_C>, WORDS, E>,
        ViewMut<'_, E::Output, 1, OUT_W, OUT_C>,
    >
{
    /// Takes the next input row, and calls `emit` with every output row that it completes.
    #[inline]
    pub fn push(&mut self, row: View<'_, E::Input, 1, W, C>, emit: impl FnMut(View<'_, E::Output, 1, OUT_W, OUT_C>)) {
        let (convolution, packed, row) = (&self.layer.convolution, &self.layer.packed, row.as_slice());
        let shape = self.layer.shape().channel();
        push!(self, row, emit, [H, OUT_H], |y| shape.rows_until(y), |at, output, scratch| {
            dispatch(Row { at, convolution, packed, row, output, scratch })
        });
    }
}

/// An input row for a convolution on some backend.
struct Row<'a, E: DepthwiseEpilogue> {
    at: &'a Progress,
    convolution: &'a Depthwise<Native, E>,
    packed: &'a [u32],
    row: &'a [E::Input],
    output: &'a mut [E::Output],
    scratch: &'a mut [u32],
}

impl<E: DepthwiseEpilogue> Job for Row<'_, E> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        self.convolution.on::<B>().take_row(self.at, self.packed, self.row, self.output, self.scratch)
    }

    #[inline(always)]
    fn run_native(self) -> Self::Output {
        self.convolution.take_row(self.at, self.packed, self.row, self.output, self.scratch)
    }
}

impl<
    T: Pod,
    E: DepthwiseEpilogue<Input = T, Output = T>,
    const H: usize,
    const W: usize,
    const C: usize,
    const OUT_H: usize,
    const OUT_W: usize,
    const OUT_C: usize,
    const WORDS: usize,
> DepthwiseConv2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, OUT_C>, WORDS, E>
{
    /// Values of memory that input and output take together: [`DepthwiseConv2dShape::overlapping_len`].
    pub const fn overlapping_len(&self) -> usize {
        self.shape().overlapping_len()
    }

    /// Computes the layer's output in memory that it shares with the input: the input is the last values of `memory`, and
    /// is overwritten by the output, which is left in the first, and returned.
    ///
    /// ```
    /// use bareconv::{Activation, DepthwiseConv2d, DepthwiseConv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
    ///
    /// // Each value and its right neighbour, in place.
    /// const SHAPE: DepthwiseConv2dShape =
    ///     DepthwiseConv2dShape { padding: [0, 0, 0, 1], ..DepthwiseConv2dShape::new([1, 3, 2], 1, [1, 2]) };
    /// const Q: Quantization = Quantization::new(1.0, 0);
    /// static LAYER: DepthwiseConv2d<
    ///     Tensor<i8, 1, 3, 2>,
    ///     Tensor<i8, 1, 3, 2>,
    ///     { SHAPE.packed_words::<SingleRounding>() },
    /// > = DepthwiseConv2d::int8(SHAPE, Int8Filters::depthwise(&[[[1; 2]; 2]], &[0; 2], &[1.0; 2], Q, Q, Activation::Relu));
    ///
    /// let mut memory = Tensor([[[1, 10], [2, 20], [3, 30]]]);
    /// LAYER.run_overlapping(memory.as_mut_slice(), &mut [0; SHAPE.scratch_words::<SingleRounding>()]);
    /// assert_eq!(memory, Tensor([[[3, 30], [5, 50], [3, 30]]]));
    /// ```
    ///
    /// # Panics
    /// Where `memory` is shorter than [`overlapping_len`](Self::overlapping_len) or not a multiple of the channels, or `scratch`
    /// than [`scratch_words`](Self::scratch_words). With memory of constant size the checks vanish from optimized code.
    #[inline]
    pub fn run_overlapping<'m>(&self, memory: &'m mut [T], scratch: &mut [u32]) -> ViewMut<'m, T, OUT_H, OUT_W, OUT_C> {
        let job = Overlapping { convolution: &self.convolution, packed: &self.packed, memory: &mut *memory, scratch };
        if let Err(error) = dispatch(job) {
            panic!("{}", error.message());
        }
        first(memory)
    }
}

/// A convolution of a slice's last values to its first, to run on some backend.
struct Overlapping<'a, E: DepthwiseEpilogue> {
    convolution: &'a Depthwise<Native, E>,
    packed: &'a [u32],
    memory: &'a mut [E::Input],
    scratch: &'a mut [u32],
}

impl<T: Pod, E: DepthwiseEpilogue<Input = T, Output = T>> Job for Overlapping<'_, E> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        self.convolution.on::<B>().run_overlapping(self.packed, self.memory, self.scratch)
    }

    #[inline(always)]
    fn run_native(self) -> Self::Output {
        self.convolution.run_overlapping(self.packed, self.memory, self.scratch)
    }
}

/// A convolution to run on some backend.
struct Inference<'a, E: DepthwiseEpilogue> {
    convolution: &'a Depthwise<Native, E>,
    packed: &'a [u32],
    input: &'a [E::Input],
    output: &'a mut [E::Output],
    scratch: &'a mut [u32],
}

impl<E: DepthwiseEpilogue> Job for Inference<'_, E> {
    type Output = Result<(), ShapeError>;

    #[inline(always)]
    fn run<B: Backend>(self) -> Self::Output {
        self.convolution.on::<B>().run(self.packed, self.input, self.output, self.scratch)
    }

    #[inline(always)]
    fn run_native(self) -> Self::Output {
        self.convolution.run(self.packed, self.input, self.output, self.scratch)
    }
}

/// Depthwise convolutions whose shape is known at run time only, on any backend: for tools on a PC and for tests.
///
/// Filters are `[height][width][output channel]`.
///
/// ```
/// use bareconv::arch::Portable;
/// use bareconv::{Activation, Clamp, DepthwiseConv2dShape, F32Filters, dynamic::depthwise};
///
/// let shape = DepthwiseConv2dShape::new([1, 3, 2], 1, [1, 2]);
/// let numbers = F32Filters { filters: &[-1.0, 0.5, 1.0, 0.5], bias: &[0.0, 10.0], activation: Activation::Identity };
/// let mut packed = vec![0; depthwise::packed_words::<Portable, Clamp>(&shape)];
/// depthwise::pack_float::<Portable>(&shape, &numbers, &mut packed)?;
/// let mut scratch = vec![0; depthwise::scratch_words::<Portable, Clamp>(&shape)];
/// let (input, mut output) = ([1.0, 1.0, 5.0, 3.0, 2.0, 5.0], [0.0; 4]);
/// let bounds = numbers.activation.bounds();
/// depthwise::run::<Portable, Clamp>(&shape, &packed, 0.0, &bounds, &input, &mut output, &mut scratch)?;
/// assert_eq!(output, [4.0, 12.0, -3.0, 14.0]);
/// # Ok::<(), bareconv::ShapeError>(())
/// ```
pub mod dynamic {
    use super::*;
    use crate::quant::CommonRequantization;

    /// Words that the packed filters of `shape` take on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn packed_words<B: Backend, E: DepthwiseEpilogue>(shape: &DepthwiseConv2dShape) -> usize {
        Plan::new::<B, E>(shape).packed_words()
    }

    /// Words of scratch memory that [`run`] needs on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn scratch_words<B: Backend, E: DepthwiseEpilogue>(shape: &DepthwiseConv2dShape) -> usize {
        Plan::new::<B, E>(shape).scratch_words()
    }

    /// Packs an int8 convolution for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// Where the shape breaks a rule, a length is not the shape's, a weight is -128, a scale is unusable, or an
    /// accumulator could overflow.
    pub const fn pack_int8<B: Backend, R: Rounding>(
        shape: &DepthwiseConv2dShape,
        numbers: &Int8Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        pack_integers::<B::DepthwiseInt8>(shape, numbers, R::MODE, Activations::Int8, packed)
    }

    /// Packs a convolution of int16 values with int8 weights for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// As [`pack_int8`].
    pub const fn pack_int16<B: Backend, R: Rounding>(
        shape: &DepthwiseConv2dShape,
        numbers: &Int16Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        let numbers = numbers.with_zero_points();
        pack_integers::<<Int16x8<R> as DepthwiseEpilogue>::Depthwise<B>>(
            shape,
            &numbers,
            R::MODE,
            Activations::Int16,
            packed,
        )
    }

    /// Packs a convolution in single precision for backend `B`.
    ///
    /// # Errors
    /// Where the shape breaks a rule or a length is not the shape's.
    pub const fn pack_float<B: Backend>(
        shape: &DepthwiseConv2dShape,
        numbers: &F32Filters<'_>,
        packed: &mut [u32],
    ) -> Result<(), ShapeError> {
        pack_f32::<B::DepthwiseFloat>(shape, numbers, packed)
    }

    /// Runs a convolution on backend `B`. `fill` is what padding holds: the input's zero point, or 0.0.
    ///
    /// Since the shape is not known before, this links every special routine of the backend: not for firmware.
    ///
    /// # Errors
    /// Where the shape breaks a rule or the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run<B: Backend, E: DepthwiseEpilogue>(
        shape: &DepthwiseConv2dShape,
        packed: &[u32],
        fill: E::Input,
        common: &E::Common,
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        Depthwise::<B, E>::dynamic(*shape, fill, *common).run(packed, input, output, scratch)
    }

    /// [`run`] of the last values of `memory`; the output is left in the first.
    ///
    /// # Errors
    /// Where the shape breaks a rule, the length of a slice is not the shape's, `memory` is shorter than
    /// [`DepthwiseConv2dShape::overlapping_len`], or the input does not begin whole pixels behind the output.
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run_overlapping<B: Backend, T: Pod, E: DepthwiseEpilogue<Input = T, Output = T>>(
        shape: &DepthwiseConv2dShape,
        packed: &[u32],
        fill: T,
        common: &E::Common,
        memory: &mut [T],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        Depthwise::<B, E>::dynamic(*shape, fill, *common).run_overlapping(packed, memory, scratch)
    }

    /// Words of scratch memory that [`run_by_rows`] needs on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn scratch_words_by_rows<B: Backend, E: DepthwiseEpilogue>(shape: &DepthwiseConv2dShape) -> usize {
        Plan::words_by_row::<B, E>(shape)
    }

    /// [`run`], input row by input row, as a [`Stream`] does it.
    ///
    /// # Errors
    /// Where the shape breaks a rule, or the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run_by_rows<B: Backend, E: DepthwiseEpilogue>(
        shape: &DepthwiseConv2dShape,
        packed: &[u32],
        fill: E::Input,
        common: &E::Common,
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        let convolution = Depthwise::<B, E>::dynamic(*shape, fill, *common);
        let ([height, width, channels], [out_height, out_width, out_channels]) = (shape.input, shape.output());
        if input.len() != height * width * channels {
            return Err(ShapeError::Input);
        }
        if output.len() != out_height * out_width * out_channels {
            return Err(ShapeError::Output);
        }
        let mut at = Progress::default();
        // Where there is nothing to write, a row of the output does as well as any.
        let mut out_rows = output.chunks_exact_mut(out_width * out_channels);
        let mut out_row = out_rows.next().ok_or(ShapeError::Output)?;
        for row in input.chunks_exact(width * channels) {
            at.look(out_height, |y| shape.channel().rows_until(y));
            loop {
                convolution.take_row(&at, packed, row, out_row, scratch)?;
                if !at.ready {
                    break;
                }
                at.written += 1;
                if let Some(next) = out_rows.next() {
                    out_row = next;
                }
                if !at.look(out_height, |y| shape.channel().rows_until(y)) {
                    break;
                }
            }
            at.next(height);
        }
        Ok(())
    }
}

format!([I, O, const WORDS: usize, E: DepthwiseEpilogue] DepthwiseConv2d<I, O, WORDS, E>,
    "DepthwiseConv2d {{ shape: {}, packed_bytes: {} }}", |this| this.shape(), this.packed_bytes());
