use super::stream::{Stream, push, row_words};
use crate::arch::{Job, Native, dispatch};
use crate::kernels::conv2d::{self, Convolution, Plan};
use crate::kernels::{Backend, Clamp, Epilogue, Int4, Int16x8, Int16x8Wide, Progress};
use crate::pack::{
    F32Filters, Int4Filters, Int8Filters, Int16Filters, narrow, narrow_i4, pack_f32, pack_i4, pack_i8, pack_i16,
    pack_i16_wide,
};
use crate::quant::{Rounding, SingleRounding};
use crate::shape::{Conv2dShape, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut, first};
use bytemuck::Pod;
use core::marker::PhantomData;

/// A 2-D convolution with its activation and, if the shape has one, the maximum pooling after it.
///
/// `I` and `O` are the types of its input and output, `WORDS` is [`Conv2dShape::packed_words`], and `E` says how sums
/// become outputs: [`SingleRounding`] or another [`Rounding`] for int8, [`Int16x8`] of one for int16 activations with
/// int8 weights, [`Int16x8Wide`] for the same with sums of 64 bits, [`Int4`] of one for int8 activations with int4 weights, [`Clamp`] for `f32`. The result is that of [`reference::conv2d_i8`](crate::reference::conv2d_i8),
/// [`conv2d_i16`](crate::reference::conv2d_i16), `conv2d_i16_wide` or [`conv2d_f32`](crate::reference::conv2d_f32), bit for bit, on every
/// backend.
///
/// ```
/// use bareconv::{Activation, Conv2d, Conv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
///
/// // A 3 x 3 filter that finds vertical edges, from one channel to one.
/// const EDGES: [[[[i8; 1]; 3]; 3]; 1] = [[[[-1], [0], [1]], [[-2], [0], [2]], [[-1], [0], [1]]]];
/// const SHAPE: Conv2dShape = Conv2dShape::new([4, 4, 1], 1, [3, 3]).padding(1);
/// const PIXELS: Quantization = Quantization::new(1.0, 0);
/// static LAYER: Conv2d<Tensor<i8, 4, 4, 1>, Tensor<i8, 4, 4, 1>, { SHAPE.packed_words::<SingleRounding>() }> =
///     Conv2d::int8(SHAPE, Int8Filters::new(&EDGES, &[0], &[1.0], PIXELS, PIXELS, Activation::Identity));
///
/// let image = Tensor([[[0i8], [0], [9], [9]]; 4]);
/// let mut output = Tensor::filled(0);
/// let mut scratch = [0; SHAPE.scratch_words::<SingleRounding>()];
/// LAYER.run(image.view(), output.view_mut(), &mut scratch);
/// assert_eq!(output.0[1], [[0], [36], [36], [-36]]);
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{Activation, Conv2d, Conv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
/// const SHAPE: Conv2dShape = Conv2dShape::new([4, 4, 1], 1, [5, 5]); // the filter must fit into the padded input
/// const Q: Quantization = Quantization::new(1.0, 0);
/// static LAYER: Conv2d<Tensor<i8, 4, 4, 1>, Tensor<i8, 4, 4, 1>, { SHAPE.packed_words::<SingleRounding>() }> =
///     Conv2d::int8(SHAPE, Int8Filters::new(&[[[[0; 1]; 5]; 5]; 1], &[0], &[1.0], Q, Q, Activation::Identity));
/// ```
#[derive(Debug)]
pub struct Conv2d<I, O, const WORDS: usize, E: Epilogue = SingleRounding> {
    convolution: Convolution<Native, E>,
    packed: [u32; WORDS],
    types: PhantomData<fn(&I, &mut O)>,
}

/// A dense (fully connected) layer: the convolution of [`Conv2dShape::dense`], whose input may be any tensor of as many
/// values.
pub type Dense<I, O, const WORDS: usize, E = SingleRounding> = Conv2d<I, O, WORDS, E>;

impl Conv2dShape {
    /// Words of flash that the layer's packed filters take on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn packed_words<E: Epilogue>(&self) -> usize {
        Plan::new::<Native, E>(self).packed_words()
    }

    /// Words of scratch memory that the layer needs on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn scratch_words<E: Epilogue>(&self) -> usize {
        Plan::new::<Native, E>(self).scratch_words()
    }

    /// Words of memory that the layer's [`Stream`] needs on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule, or has groups; in a constant, that is a compile error that names the rule.
    pub const fn stream_words<E: Epilogue>(&self) -> usize {
        let [_, width, channels] = self.output();
        dynamic::scratch_words_by_rows::<Native, E>(self) + row_words::<E::Output>(width, channels)
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>, const WORDS: usize, R: Rounding>
    Conv2d<I, O, WORDS, R>
{
    /// An int8 convolution.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: Conv2dShape, numbers: Int8Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        let layout = conv2d::layout::<<Native as Backend>::Int8>(&shape);
        match pack_i8(&shape, &layout, &numbers, R::MODE, &mut packed) {
            Ok(common) => {
                let convolution = Convolution::int8(shape, numbers.input.zero_point, common);
                let narrow = narrow(numbers.filters, shape.filter_len());
                let convolution = if narrow { convolution.narrow() } else { convolution };
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>, const WORDS: usize, R: Rounding>
    Conv2d<I, O, WORDS, Int4<R>>
{
    /// A convolution of int8 activations with int4 weights, which take half a byte of flash each.
    ///
    /// ```
    /// use bareconv::{Activation, Conv2d, Conv2dShape, Int4, Int4Filters, Quantization, SingleRounding, Tensor, nibbles};
    ///
    /// // Differences of neighbours.
    /// const SHAPE: Conv2dShape = Conv2dShape::new([1, 4, 1], 1, [1, 2]);
    /// const Q: Quantization = Quantization::new(1.0, 0);
    /// const NUMBERS: Int4Filters<'_> = Int4Filters {
    ///     filters: &nibbles::<2, 1>(&[-1, 1]),
    ///     bias: &[0],
    ///     scales: &[1.0],
    ///     input: Q,
    ///     output: Q,
    ///     activation: Activation::Identity,
    /// };
    /// static LAYER: Conv2d<
    ///     Tensor<i8, 1, 4, 1>,
    ///     Tensor<i8, 1, 3, 1>,
    ///     { SHAPE.packed_words::<Int4<SingleRounding>>() },
    ///     Int4<SingleRounding>,
    /// > = Conv2d::int4(SHAPE, NUMBERS);
    ///
    /// let mut output = Tensor::filled(0);
    /// let mut scratch = [0; SHAPE.scratch_words::<Int4<SingleRounding>>()];
    /// LAYER.run(Tensor([[[1], [4], [9], [16]]]).view(), output.view_mut(), &mut scratch);
    /// assert_eq!(output.0, [[[3], [5], [7]]]);
    /// ```
    ///
    /// Weights that are no nibbles do not compile:
    ///
    /// ```compile_fail
    /// const FILTERS: [u8; 1] = bareconv::nibbles(&[-1, 8]); // int4 weights lie in -8..=7
    /// ```
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int4(shape: Conv2dShape, numbers: Int4Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        let layout = conv2d::layout::<<Native as Backend>::Int8>(&shape);
        match pack_i4(&shape, &layout, &numbers, R::MODE, &mut packed) {
            Ok(common) => {
                let convolution = Convolution::int4(shape, numbers.input.zero_point, common);
                let convolution = if narrow_i4(shape.filter_len()) { convolution.narrow() } else { convolution };
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>, const WORDS: usize, R: Rounding>
    Conv2d<I, O, WORDS, Int16x8<R>>
{
    /// A convolution of int16 activations with int8 weights.
    ///
    /// Accumulators have 32 bits: for every output channel `|bias| + 32768 * sum |weight|` must fit them, as it does
    /// for any weights of up to 515 taps; else the layer does not compile ([`ShapeError::Accumulator`]), and
    /// [`int16_wide`](Conv2d::int16_wide) is the one to take.
    ///
    /// ```
    /// use bareconv::{Activation, Conv2d, Conv2dShape, Int16Filters, Int16x8, ReducedRounding, Tensor};
    ///
    /// // The mean of two neighbours, with the bits of TensorFlow Lite Micro.
    /// const SHAPE: Conv2dShape = Conv2dShape::new([1, 3, 1], 1, [1, 2]);
    /// const MEAN: Int16Filters<'_> =
    ///     Int16Filters::new(&[[[[64], [64]]]], &[0], &[1.0 / 128.0], 0.001, 0.001, Activation::Identity);
    /// static LAYER: Conv2d<
    ///     Tensor<i16, 1, 3, 1>,
    ///     Tensor<i16, 1, 2, 1>,
    ///     { SHAPE.packed_words::<Int16x8<ReducedRounding>>() },
    ///     Int16x8<ReducedRounding>,
    /// > = Conv2d::int16(SHAPE, MEAN);
    ///
    /// let mut output = Tensor::filled(0);
    /// let mut scratch = [0; SHAPE.scratch_words::<Int16x8<ReducedRounding>>()];
    /// LAYER.run(Tensor([[[10_000], [20_000], [-30_000]]]).view(), output.view_mut(), &mut scratch);
    /// assert_eq!(output.0, [[[15_000], [-5_000]]]);
    /// ```
    ///
    /// Weights that could overflow an accumulator do not compile:
    ///
    /// ```compile_fail
    /// # use bareconv::{Activation, Conv2d, Conv2dShape, Int16Filters, Int16x8, SingleRounding, Tensor};
    /// const SHAPE: Conv2dShape = Conv2dShape::dense(600, 1);
    /// const NUMBERS: Int16Filters<'_> = // bias and weights must not be able to overflow a 32-bit accumulator
    ///     Int16Filters::dense(&[[127; 600]], &[0], &[0.01], 0.001, 0.001, Activation::Identity);
    /// static LAYER: Conv2d<
    ///     Tensor<i16, 1, 1, 600>,
    ///     Tensor<i16, 1, 1, 1>,
    ///     { SHAPE.packed_words::<Int16x8<SingleRounding>>() },
    ///     Int16x8<SingleRounding>,
    /// > = Conv2d::int16(SHAPE, NUMBERS);
    /// ```
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16(shape: Conv2dShape, numbers: Int16Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        let layout = conv2d::layout::<<Native as Backend>::Int16>(&shape);
        match pack_i16(&shape, &layout, &numbers, R::MODE, &mut packed) {
            Ok(common) => Self { convolution: Convolution::int16(shape, common), packed, types: PhantomData },
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>, const WORDS: usize>
    Conv2d<I, O, WORDS, Int16x8Wide>
{
    /// A convolution of int16 activations with int8 weights and accumulators of 64 bits: for layers of many taps. Its
    /// rounding is that of [`ReducedRounding`](crate::ReducedRounding), so that it has TensorFlow Lite Micro's bits where
    /// the bias has 64 bits there.
    ///
    /// ```
    /// use bareconv::{Activation, Conv2d, Conv2dShape, Int16Filters, Int16x8Wide, Tensor};
    ///
    /// // The mean of 2048 values, whose sums of products take 33 bits.
    /// const SHAPE: Conv2dShape = Conv2dShape::dense(2048, 1);
    /// const MEAN: Int16Filters<'_> =
    ///     Int16Filters::dense(&[[64; 2048]], &[0], &[1.0 / 131_072.0], 0.001, 0.001, Activation::Identity);
    /// static LAYER: Conv2d<
    ///     Tensor<i16, 1, 1, 2048>,
    ///     Tensor<i16, 1, 1, 1>,
    ///     { SHAPE.packed_words::<Int16x8Wide>() },
    ///     Int16x8Wide,
    /// > = Conv2d::int16_wide(SHAPE, MEAN);
    ///
    /// let mut output = Tensor::filled(0);
    /// let mut scratch = [0; SHAPE.scratch_words::<Int16x8Wide>()];
    /// LAYER.run(Tensor([[[-32_768; 2048]]]).view(), output.view_mut(), &mut scratch);
    /// assert_eq!(output.0, [[[-32_768]]]);
    /// ```
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16_wide(shape: Conv2dShape, numbers: Int16Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        let layout = conv2d::layout::<<Int16x8Wide as Epilogue>::Kernel<Native>>(&shape);
        match pack_i16_wide(&shape, &layout, &numbers, &mut packed) {
            Ok(common) => Self { convolution: Convolution::int16_wide(shape, common), packed, types: PhantomData },
            Err(error) => panic!("{}", error.message()),
        }
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>, const WORDS: usize> Conv2d<I, O, WORDS, Clamp> {
    /// A convolution in single precision.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn float(shape: Conv2dShape, numbers: F32Filters<'_>) -> Self {
        check_types::<I, O>(&shape);
        let mut packed = [0; WORDS];
        let layout = conv2d::layout::<<Native as Backend>::Float>(&shape);
        match pack_f32(&shape, &layout, &numbers, &mut packed) {
            Ok(()) => {
                let convolution = Convolution::float(shape, numbers.activation.bounds());
                Self { convolution, packed, types: PhantomData }
            }
            Err(error) => panic!("{}", error.message()),
        }
    }
}

/// The types must have the shape's dimensions; a shape of `[1, 1, n]` takes any input of `n` values.
const fn check_types<I: TensorShape, O: TensorShape>(shape: &Conv2dShape) {
    if let Err(error) = shape.check() {
        panic!("{}", error.message());
    }
    let vector = shape.input[0] == 1 && shape.input[1] == 1 && shape.input[2] == I::LEN;
    if !vector && !same(shape.input, I::SHAPE) {
        panic!("{}", ShapeError::Input.message());
    }
    if !same(shape.output(), O::SHAPE) {
        panic!("{}", ShapeError::Output.message());
    }
}

impl<I, O, const WORDS: usize, E: Epilogue> Conv2d<I, O, WORDS, E> {
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
> Conv2d<Tensor<E::Input, H, W, C>, Tensor<E::Output, OUT_H, OUT_W, OUT_C>, WORDS, E>
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
        self.convolution.plan().scratch_words() + row_words::<E::Output>(OUT_W, OUT_C)
    }

    /// The layer, to run row by row in this memory.
    ///
    /// # Panics
    /// Where `memory` is shorter than [`stream_words`](Self::stream_words), the convolution has groups, or it is
    /// a dense layer of an input of several pixels. With memory of constant size the check
    /// vanishes from optimized code.
    #[inline]
    pub fn stream<'a>(&'a self, memory: &'a mut [u32]) -> Stream<'a, Self, ViewMut<'a, E::Output, 1, OUT_W, OUT_C>> {
        let shape = self.shape();
        if shape.groups != 1 || !same(shape.input, [H, W, C]) {
            panic!("{}", ShapeError::Streamed.message());
        }
        Stream::new(self, self.convolution.plan().scratch_words(), memory)
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
>
    Stream<
        '_,
        Conv2d<Tensor<E::Input, H, W, C>, Tensor<E::Output, OUT_H, OUT_W, OUT_C>, WORDS, E>,
        ViewMut<'_, E::Output, 1, OUT_W, OUT_C>,
    >
{
    /// Takes the next input row, and calls `emit` with every output row that it completes.
    #[inline]
    pub fn push(&mut self, row: View<'_, E::Input, 1, W, C>, emit: impl FnMut(View<'_, E::Output, 1, OUT_W, OUT_C>)) {
        let (convolution, packed, row) = (&self.layer.convolution, &self.layer.packed, row.as_slice());
        let shape = self.layer.shape();
        push!(self, row, emit, [H, OUT_H], |y| shape.rows_until(y), |at, output, scratch| {
            dispatch(Row { at, convolution, packed, row, output, scratch })
        });
    }
}

/// An input row for a convolution on some backend.
struct Row<'a, E: Epilogue> {
    at: &'a Progress,
    convolution: &'a Convolution<Native, E>,
    packed: &'a [u32],
    row: &'a [E::Input],
    output: &'a mut [E::Output],
    scratch: &'a mut [u32],
}

impl<E: Epilogue> Job for Row<'_, E> {
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
    E: Epilogue<Input = T, Output = T>,
    const H: usize,
    const W: usize,
    const C: usize,
    const OUT_H: usize,
    const OUT_W: usize,
    const OUT_C: usize,
    const WORDS: usize,
> Conv2d<Tensor<T, H, W, C>, Tensor<T, OUT_H, OUT_W, OUT_C>, WORDS, E>
{
    /// Values of memory that input and output take together: [`Conv2dShape::overlapping_len`].
    pub const fn overlapping_len(&self) -> usize {
        self.shape().overlapping_len()
    }

    /// Computes the layer's output in memory that it shares with the input: the input is the last values of `memory`, and
    /// is overwritten by the output, which is left in the first, and returned.
    ///
    /// ```
    /// use bareconv::{Activation, Conv2d, Conv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
    ///
    /// // The difference of upper and lower neighbour, and the value itself: twice as many channels.
    /// const SHAPE: Conv2dShape =
    ///     Conv2dShape { padding: [1, 0, 1, 0], ..Conv2dShape::new([4, 2, 1], 2, [3, 1]) };
    /// const FILTERS: [[[[i8; 1]; 1]; 3]; 2] = [[[[-1]], [[0]], [[1]]], [[[0]], [[1]], [[0]]]];
    /// const Q: Quantization = Quantization::new(1.0, 0);
    /// static LAYER: Conv2d<Tensor<i8, 4, 2, 1>, Tensor<i8, 4, 2, 2>, { SHAPE.packed_words::<SingleRounding>() }> =
    ///     Conv2d::int8(SHAPE, Int8Filters::new(&FILTERS, &[0; 2], &[1.0; 2], Q, Q, Activation::Identity));
    ///
    /// let mut memory = [0; SHAPE.overlapping_len()];
    /// assert_eq!(memory.len(), 16); // not 8 + 16
    /// memory[8..].copy_from_slice(&[1, 10, 2, 20, 3, 30, 4, 40]);
    /// let output = LAYER.run_overlapping(&mut memory, &mut [0; SHAPE.scratch_words::<SingleRounding>()]);
    /// assert_eq!(output.as_view().as_slice(), [2, 1, 20, 10, 2, 2, 20, 20, 2, 3, 20, 30, -3, 4, -30, 40]);
    /// ```
    ///
    /// # Panics
    /// Where `memory` is shorter than [`overlapping_len`](Self::overlapping_len), or `scratch`
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
struct Overlapping<'a, E: Epilogue> {
    convolution: &'a Convolution<Native, E>,
    packed: &'a [u32],
    memory: &'a mut [E::Input],
    scratch: &'a mut [u32],
}

impl<T: Pod, E: Epilogue<Input = T, Output = T>> Job for Overlapping<'_, E> {
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
pub(super) struct Inference<'a, E: Epilogue> {
    pub convolution: &'a Convolution<Native, E>,
    pub packed: &'a [u32],
    pub input: &'a [E::Input],
    pub output: &'a mut [E::Output],
    pub scratch: &'a mut [u32],
}

impl<E: Epilogue> Job for Inference<'_, E> {
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

/// Convolutions whose shape is known at run time only, on any backend: for tools on a PC and for tests.
///
/// ```
/// use bareconv::{Activation, Conv2dShape, Int8Filters, Quantization, SingleRounding, arch::Portable, dynamic::conv2d};
///
/// let shape = Conv2dShape::dense(2, 1);
/// let q = Quantization::new(0.5, 0);
/// let numbers = Int8Filters {
///     filters: &[1, 2], bias: &[4], scales: &[1.0], input: q, output: q, activation: Activation::Identity,
/// };
/// let mut packed = vec![0; conv2d::packed_words::<Portable, SingleRounding>(&shape)];
/// let common = conv2d::pack_int8::<Portable, SingleRounding>(&shape, &numbers, &mut packed)?;
/// let mut scratch = vec![0; conv2d::scratch_words::<Portable, SingleRounding>(&shape)];
/// let mut output = [0];
/// conv2d::run::<Portable, SingleRounding>(&shape, &packed, 0, &common, &[10, 20], &mut output, &mut scratch)?;
/// assert_eq!(output, [54]);
/// # Ok::<(), bareconv::ShapeError>(())
/// ```
pub mod dynamic {
    use super::*;
    use crate::quant::CommonRequantization;

    /// Words that the packed filters of `shape` take on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn packed_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
        Plan::new::<B, E>(shape).packed_words()
    }

    /// Words of scratch memory that [`run`] needs on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn scratch_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
        Plan::new::<B, E>(shape).scratch_words()
    }

    /// Packs an int8 convolution for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// As [`pack_i8`].
    pub const fn pack_int8<B: Backend, R: Rounding>(
        shape: &Conv2dShape,
        numbers: &Int8Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        if let Err(error) = shape.check() {
            return Err(error);
        }
        pack_i8(shape, &conv2d::layout::<B::Int8>(shape), numbers, R::MODE, packed)
    }

    /// Packs a convolution of int8 values with int4 weights for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// As [`pack_i4`].
    pub const fn pack_int4<B: Backend, R: Rounding>(
        shape: &Conv2dShape,
        numbers: &Int4Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        if let Err(error) = shape.check() {
            return Err(error);
        }
        pack_i4(shape, &conv2d::layout::<B::Int8>(shape), numbers, R::MODE, packed)
    }

    /// Packs a convolution of int16 values with int8 weights for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// As [`pack_i16`].
    pub const fn pack_int16<B: Backend, R: Rounding>(
        shape: &Conv2dShape,
        numbers: &Int16Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        if let Err(error) = shape.check() {
            return Err(error);
        }
        pack_i16(shape, &conv2d::layout::<B::Int16>(shape), numbers, R::MODE, packed)
    }

    /// Packs a convolution of int16 values with int8 weights and sums of 64 bits for backend `B`; returns what [`run`]
    /// needs besides.
    ///
    /// # Errors
    /// As [`pack_i16_wide`].
    pub const fn pack_int16_wide<B: Backend>(
        shape: &Conv2dShape,
        numbers: &Int16Filters<'_>,
        packed: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        if let Err(error) = shape.check() {
            return Err(error);
        }
        pack_i16_wide(shape, &conv2d::layout::<<Int16x8Wide as Epilogue>::Kernel<B>>(shape), numbers, packed)
    }

    /// Packs a convolution in single precision for backend `B`.
    ///
    /// # Errors
    /// As [`pack_f32`].
    pub const fn pack_float<B: Backend>(
        shape: &Conv2dShape,
        numbers: &F32Filters<'_>,
        packed: &mut [u32],
    ) -> Result<(), ShapeError> {
        if let Err(error) = shape.check() {
            return Err(error);
        }
        pack_f32(shape, &conv2d::layout::<B::Float>(shape), numbers, packed)
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
    pub fn run<B: Backend, E: Epilogue>(
        shape: &Conv2dShape,
        packed: &[u32],
        fill: E::Input,
        common: &E::Common,
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        Convolution::<B, E>::dynamic(*shape, fill, *common).run(packed, input, output, scratch)
    }

    /// [`run`] of the last values of `memory`; the output is left in the first.
    ///
    /// # Errors
    /// Where the shape breaks a rule, the length of a slice is not the shape's, or `memory` is shorter than
    /// [`Conv2dShape::overlapping_len`].
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run_overlapping<B: Backend, T: Pod, E: Epilogue<Input = T, Output = T>>(
        shape: &Conv2dShape,
        packed: &[u32],
        fill: T,
        common: &E::Common,
        memory: &mut [T],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        Convolution::<B, E>::dynamic(*shape, fill, *common).run_overlapping(packed, memory, scratch)
    }

    /// Words of scratch memory that [`run_by_rows`] needs on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule, or has groups.
    pub const fn scratch_words_by_rows<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
        if let Err(error) = shape.check_streamed() {
            panic!("{}", error.message());
        }
        Plan::new::<B, E>(shape).scratch_words()
    }

    /// [`run`], input row by input row, as a [`Stream`] does it.
    ///
    /// # Errors
    /// Where the shape breaks a rule, or has groups, or the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run_by_rows<B: Backend, E: Epilogue>(
        shape: &Conv2dShape,
        packed: &[u32],
        fill: E::Input,
        common: &E::Common,
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check_streamed()?;
        let convolution = Convolution::<B, E>::dynamic(*shape, fill, *common);
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
            at.look(out_height, |y| shape.rows_until(y));
            loop {
                convolution.take_row(&at, packed, row, out_row, scratch)?;
                if !at.ready {
                    break;
                }
                at.written += 1;
                if let Some(next) = out_rows.next() {
                    out_row = next;
                }
                if !at.look(out_height, |y| shape.rows_until(y)) {
                    break;
                }
            }
            at.next(height);
        }
        Ok(())
    }
}

format!([I, O, const WORDS: usize, E: Epilogue] Conv2d<I, O, WORDS, E>, "Conv2d {{ shape: {}, packed_bytes: {} }}",
    |this| this.shape(), this.packed_bytes());
