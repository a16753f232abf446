use super::conv2d::Inference;
use crate::arch::{Native, dispatch};
use crate::kernels::conv2d::{self, Convolution};
use crate::kernels::{Backend, Clamp, Epilogue, Int16x8};
use crate::pack::{
    Activations, F32Filters, Int8Filters, Int16Filters, check_scales, common, common_requantization, pack_f32, pack_i8,
    pack_i16,
};
use crate::quant::{Rounding, SingleRounding};
use crate::shape::{Conv2dShape, Phase, ShapeError, TensorShape, TransposedConv2dShape, same};
use crate::tensor::{View, ViewMut};
use bytemuck::Pod;
use core::marker::PhantomData;

/// A 2-D transposed convolution with its activation.
///
/// It is taken apart, when it compiles, into one plain convolution for each place of an output pixel between those of
/// input pixels (`stride[0] * stride[1]` of them), so that no multiplication with an inserted zero is made and a
/// backend's convolution serves it.
///
/// `I` and `O` are the types of its input and output, `PHASES` is [`TransposedConv2dShape::phases`], `WORDS`
/// [`TransposedConv2dShape::packed_words`], and `E` says how sums become outputs, as for [`Conv2d`](crate::Conv2d).
/// Filters are `[output channels][height][width][input channels]`, as TensorFlow Lite has them. The result is that of
/// [`reference::transposed_conv2d_i8`](crate::reference::transposed_conv2d_i8), `transposed_conv2d_i16` or
/// [`transposed_conv2d_f32`](crate::reference::transposed_conv2d_f32), bit for bit, on every backend.
///
/// ```
/// use bareconv::{Activation, Int8Filters, Quantization, SingleRounding, Tensor, TransposedConv2d, TransposedConv2dShape};
///
/// // Every pixel becomes two by two.
/// const SHAPE: TransposedConv2dShape = TransposedConv2dShape::new([1, 2, 1], 1, [2, 2]).stride(2);
/// const Q: Quantization = Quantization::new(1.0, 0);
/// const NUMBERS: Int8Filters<'static> =
///     Int8Filters::new(&[[[[1], [2]], [[3], [4]]]], &[0], &[1.0], Q, Q, Activation::Identity);
/// static LAYER: TransposedConv2d<
///     Tensor<i8, 1, 2, 1>, Tensor<i8, 2, 4, 1>, { SHAPE.phases() }, { SHAPE.packed_words::<SingleRounding>() },
/// > = TransposedConv2d::int8(SHAPE, NUMBERS);
///
/// let mut output = Tensor::filled(0);
/// LAYER.run(
///     Tensor([[[1], [10]]]).view(), output.view_mut(), &mut [0; SHAPE.scratch_words::<SingleRounding>()],
/// );
/// assert_eq!(output, Tensor([[[1], [2], [10], [20]], [[3], [4], [30], [40]]]));
/// ```
///
/// A shape that breaks a rule does not compile:
///
/// ```compile_fail
/// # use bareconv::{SingleRounding, TransposedConv2dShape};
/// // The output padding must be smaller than the stride.
/// const SHAPE: TransposedConv2dShape = TransposedConv2dShape::new([4, 4, 1], 1, [2, 2]).stride(2).output_padding(2);
/// const WORDS: usize = SHAPE.packed_words::<SingleRounding>();
/// ```
#[derive(Debug)]
pub struct TransposedConv2d<I, O, const PHASES: usize, const WORDS: usize, E: Epilogue = SingleRounding> {
    shape: TransposedConv2dShape,
    phases: [PlacedConvolution<E>; PHASES],
    packed: [u32; WORDS],
    types: PhantomData<fn(&I, &mut O)>,
}

/// One of the plain convolutions.
#[derive(Clone, Copy, Debug)]
struct PlacedConvolution<E: Epilogue> {
    convolution: Convolution<Native, E>,
    /// The place of its first output.
    first: usize,
    /// The place of its packed filters.
    packed: usize,
}

impl TransposedConv2dShape {
    /// Words of flash that the layer's packed filters take on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn packed_words<E: Epilogue>(&self) -> usize {
        self.assert();
        let (mut phase, mut words) = (0, 0);
        while phase < self.phases() {
            words += self.phase(phase).shape.packed_words::<E>();
            phase += 1;
        }
        words
    }

    /// Words of scratch memory that the layer needs on the core the crate is compiled for.
    ///
    /// # Panics
    /// Where the shape breaks a rule; in a constant, that is a compile error that names the rule.
    pub const fn scratch_words<E: Epilogue>(&self) -> usize {
        self.assert();
        let (mut phase, mut words) = (0, 0);
        while phase < self.phases() {
            let more = self.phase(phase).shape.scratch_words::<E>();
            if more > words {
                words = more;
            }
            phase += 1;
        }
        words
    }

    const fn assert(&self) {
        if let Err(error) = self.check() {
            panic!("{}", error.message());
        }
    }

    /// The place of a phase's first output, and the values from one of its output rows and columns to the next.
    const fn place(&self, phase: &Phase) -> (usize, [usize; 2]) {
        let [_, width, filters] = self.output();
        let first = (phase.first[0] * width + phase.first[1]) * filters;
        (first, [self.stride[0] * width * filters, self.stride[1] * filters])
    }
}

/// Takes a phase's weights, `None` being 0, from all; both are `[filters][height][width][channels]`.
const fn phase_weights<T: Copy>(shape: &TransposedConv2dShape, phase: &Phase, all: &[T], weights: &mut [T]) {
    let [height, width] = phase.shape.filter;
    let channels = shape.input[2];
    let (mut o, mut at) = (0, 0);
    while o < shape.filters {
        let mut tap = 0;
        while tap < height * width {
            let from = phase.weight(tap / width, tap % width);
            let mut c = 0;
            while c < channels {
                if let Some([ky, kx]) = from {
                    weights[at] = all[((o * shape.filter[0] + ky) * shape.filter[1] + kx) * channels + c];
                }
                at += 1;
                c += 1;
            }
            tap += 1;
        }
        o += 1;
    }
}

/// Checks types, numbers of phases and packed words, and the number of filters, before the phases' own checks.
const fn check<I: TensorShape, O: TensorShape, E: Epilogue>(
    shape: &TransposedConv2dShape,
    [phases, words, filters]: [usize; 3],
) {
    shape.assert();
    if !same(shape.input, I::SHAPE) {
        panic!("{}", ShapeError::Input.message());
    }
    if !same(shape.output(), O::SHAPE) {
        panic!("{}", ShapeError::Output.message());
    }
    if phases != shape.phases() {
        panic!("{}", ShapeError::Phases.message());
    }
    if words != shape.packed_words::<E>() {
        panic!("{}", ShapeError::Packed.message());
    }
    if filters != shape.filters * shape.filter_len() {
        panic!("{}", ShapeError::Filters.message());
    }
}

/// The words of the phase's packed filters.
const fn part(packed: &mut [u32], at: usize, words: usize) -> &mut [u32] {
    if packed.len() < at + words {
        panic!("{}", ShapeError::Packed.message());
    }
    packed.split_at_mut(at).1.split_at_mut(words).0
}

impl<I: TensorShape<Element = i8>, O: TensorShape<Element = i8>, const PHASES: usize, const WORDS: usize, R: Rounding>
    TransposedConv2d<I, O, PHASES, WORDS, R>
{
    /// An int8 transposed convolution.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int8(shape: TransposedConv2dShape, numbers: Int8Filters<'_>) -> Self {
        check::<I, O, R>(&shape, [PHASES, WORDS, numbers.filters.len()]);
        let zero_point = numbers.input.zero_point;
        if let Err(error) = check_scales(&numbers) {
            panic!("{}", error.message());
        }
        let common = common_requantization(&numbers, R::MODE);
        let convolution = Convolution::int8(shape.phase(0).shape, zero_point, common);
        let mut phases = [PlacedConvolution { convolution, first: 0, packed: 0 }; PHASES];
        let (mut packed, mut at) = ([0; WORDS], 0);
        let mut number = 0;
        while number < PHASES {
            let phase = shape.phase(number);
            // A weight takes a byte of the packed words at least.
            let mut weights = [[0; 4]; WORDS];
            let (weights, _) = weights.as_flattened_mut().split_at_mut(shape.filters * phase.shape.filter_len());
            phase_weights(&shape, &phase, numbers.filters, weights);
            let layout = conv2d::layout::<<Native as Backend>::Int8>(&phase.shape);
            let words = phase.shape.packed_words::<R>();
            let filters = Int8Filters { filters: weights, ..numbers };
            if let Err(error) = pack_i8(&phase.shape, &layout, &filters, R::MODE, part(&mut packed, at, words)) {
                panic!("{}", error.message());
            }
            let (first, steps) = shape.place(&phase);
            let convolution = Convolution::int8(phase.shape, zero_point, common).spread(steps);
            phases[number] = PlacedConvolution { convolution, first, packed: at };
            at += words;
            number += 1;
        }
        Self { shape, phases, packed, types: PhantomData }
    }
}

impl<I: TensorShape<Element = i16>, O: TensorShape<Element = i16>, const PHASES: usize, const WORDS: usize, R: Rounding>
    TransposedConv2d<I, O, PHASES, WORDS, Int16x8<R>>
{
    /// A transposed convolution of int16 values with int8 weights; its accumulators are bounded as those of
    /// [`Conv2d::int16`](crate::Conv2d::int16).
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn int16(shape: TransposedConv2dShape, numbers: Int16Filters<'_>) -> Self {
        check::<I, O, Int16x8<R>>(&shape, [PHASES, WORDS, numbers.filters.len()]);
        let all = numbers.with_zero_points();
        if let Err(error) = check_scales(&all) {
            panic!("{}", error.message());
        }
        let common = common(&all, R::MODE, Activations::Int16);
        let convolution = Convolution::int16(shape.phase(0).shape, common);
        let mut phases = [PlacedConvolution { convolution, first: 0, packed: 0 }; PHASES];
        let (mut packed, mut at) = ([0; WORDS], 0);
        let mut number = 0;
        while number < PHASES {
            let phase = shape.phase(number);
            let mut weights = [[0; 4]; WORDS];
            let (weights, _) = weights.as_flattened_mut().split_at_mut(shape.filters * phase.shape.filter_len());
            phase_weights(&shape, &phase, numbers.filters, weights);
            let layout = conv2d::layout::<<Native as Backend>::Int16>(&phase.shape);
            let words = phase.shape.packed_words::<Int16x8<R>>();
            let filters = Int16Filters { filters: weights, ..numbers };
            if let Err(error) = pack_i16(&phase.shape, &layout, &filters, R::MODE, part(&mut packed, at, words)) {
                panic!("{}", error.message());
            }
            let (first, steps) = shape.place(&phase);
            let convolution = Convolution::int16(phase.shape, common).spread(steps);
            phases[number] = PlacedConvolution { convolution, first, packed: at };
            at += words;
            number += 1;
        }
        Self { shape, phases, packed, types: PhantomData }
    }
}

impl<I: TensorShape<Element = f32>, O: TensorShape<Element = f32>, const PHASES: usize, const WORDS: usize>
    TransposedConv2d<I, O, PHASES, WORDS, Clamp>
{
    /// A transposed convolution in single precision.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule. One of them
    /// is of single precision alone: [`ShapeError::MissingTaps`].
    pub const fn float(shape: TransposedConv2dShape, numbers: F32Filters<'_>) -> Self {
        check::<I, O, Clamp>(&shape, [PHASES, WORDS, numbers.filters.len()]);
        let bounds = numbers.activation.bounds();
        let convolution = Convolution::float(shape.phase(0).shape, bounds);
        let mut phases = [PlacedConvolution { convolution, first: 0, packed: 0 }; PHASES];
        let (mut packed, mut at) = ([0; WORDS], 0);
        let mut number = 0;
        while number < PHASES {
            let phase = shape.phase(number);
            if !phase.is_whole() {
                panic!("{}", ShapeError::MissingTaps.message());
            }
            let mut weights = [0.0; WORDS];
            let (weights, _) = weights.split_at_mut(shape.filters * phase.shape.filter_len());
            phase_weights(&shape, &phase, numbers.filters, weights);
            let layout = conv2d::layout::<<Native as Backend>::Float>(&phase.shape);
            let words = phase.shape.packed_words::<Clamp>();
            let filters = F32Filters { filters: weights, ..numbers };
            if let Err(error) = pack_f32(&phase.shape, &layout, &filters, part(&mut packed, at, words)) {
                panic!("{}", error.message());
            }
            let (first, steps) = shape.place(&phase);
            let convolution = Convolution::float(phase.shape, bounds).spread(steps);
            phases[number] = PlacedConvolution { convolution, first, packed: at };
            at += words;
            number += 1;
        }
        Self { shape, phases, packed, types: PhantomData }
    }
}

impl<I, O, const PHASES: usize, const WORDS: usize, E: Epilogue> TransposedConv2d<I, O, PHASES, WORDS, E> {
    /// Its geometry.
    pub const fn shape(&self) -> TransposedConv2dShape {
        self.shape
    }

    /// Bytes of flash that filters, biases and requantization parameters take.
    pub const fn packed_bytes(&self) -> usize {
        4 * WORDS
    }

    /// Words of scratch memory that [`run`](Self::run) needs.
    pub const fn scratch_words(&self) -> usize {
        let (mut phase, mut words) = (0, 0);
        while phase < PHASES {
            let more = self.phases[phase].convolution.plan().scratch_words();
            if more > words {
                words = more;
            }
            phase += 1;
        }
        words
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
    const PHASES: usize,
    const WORDS: usize,
> TransposedConv2d<crate::Tensor<E::Input, H, W, C>, crate::Tensor<E::Output, OUT_H, OUT_W, OUT_C>, PHASES, WORDS, E>
{
    /// Computes the layer's output.
    ///
    /// # Panics
    /// Where `scratch` is shorter than [`scratch_words`](Self::scratch_words).
    #[inline]
    pub fn run(
        &self,
        input: View<'_, E::Input, H, W, C>,
        mut output: ViewMut<'_, E::Output, OUT_H, OUT_W, OUT_C>,
        scratch: &mut [u32],
    ) {
        for phase in &self.phases {
            if phase.run(&self.packed, input.as_slice(), output.as_mut_slice(), scratch).is_err() {
                panic!("the scratch memory must have at least the layer's scratch_words()");
            }
        }
    }
}

impl<E: Epilogue> PlacedConvolution<E> {
    #[inline(always)]
    fn run(
        &self,
        packed: &[u32],
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        let Self { ref convolution, first, packed: at } = *self;
        let packed = packed.get(at..at + convolution.plan().packed_words()).ok_or(ShapeError::Packed)?;
        let output = output.get_mut(first..first + convolution.reach()).ok_or(ShapeError::Output)?;
        dispatch(Inference { convolution, packed, input, output, scratch })
    }
}

/// Transposed convolutions whose shape is known at run time only, on any backend: for tools on a PC and for tests.
///
/// Filters are `[output channels][height][width][input channels]`.
///
/// ```
/// use bareconv::arch::Portable;
/// use bareconv::{Activation, Clamp, F32Filters, TransposedConv2dShape, dynamic::transposed};
///
/// // Every pixel becomes two.
/// let shape = TransposedConv2dShape { stride: [1, 2], ..TransposedConv2dShape::new([1, 2, 1], 1, [1, 2]) };
/// let numbers = F32Filters { filters: &[1.0, 0.5], bias: &[0.0], activation: Activation::Identity };
/// let mut packed = vec![0; transposed::packed_words::<Portable, Clamp>(&shape)];
/// let mut scratch = vec![0; transposed::scratch_words::<Portable, Clamp>(&shape)];
/// transposed::pack_float::<Portable>(&shape, &numbers, &mut packed, &mut scratch)?;
/// let (input, mut output) = ([1.0, 10.0], [0.0; 4]);
/// let bounds = numbers.activation.bounds();
/// transposed::run::<Portable, Clamp>(&shape, &packed, 0.0, &bounds, &input, &mut output, &mut scratch)?;
/// assert_eq!(output, [1.0, 0.5, 10.0, 5.0]);
/// # Ok::<(), bareconv::ShapeError>(())
/// ```
pub mod dynamic {
    use super::*;
    use crate::kernels::MicroKernel;
    use crate::layers::dynamic::conv2d;
    use crate::quant::CommonRequantization;

    /// Words that the packed filters of `shape` take on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub fn packed_words<B: Backend, E: Epilogue>(shape: &TransposedConv2dShape) -> usize {
        shape.assert();
        (0..shape.phases()).map(|number| conv2d::packed_words::<B, E>(&shape.phase(number).shape)).sum()
    }

    /// Words of scratch memory that packing and [`run`] need on backend `B`.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub fn scratch_words<B: Backend, E: Epilogue>(shape: &TransposedConv2dShape) -> usize {
        shape.assert();
        let words = |number| {
            let shape: Conv2dShape = shape.phase(number).shape;
            let weight_bytes = size_of::<<E::Kernel<B> as MicroKernel>::Weight>();
            let weights = (shape.filters * shape.filter_len() * weight_bytes).div_ceil(4);
            weights.max(conv2d::scratch_words::<B, E>(&shape))
        };
        (0..shape.phases()).map(words).max().unwrap_or(0)
    }

    /// Packs an int8 transposed convolution for backend `B`; returns what [`run`] needs besides.
    ///
    /// # Errors
    /// Where the shape breaks a rule, the length of a slice is not the shape's, `scratch` is shorter than
    /// [`scratch_words`], or as [`pack_i8`](crate::pack::pack_i8).
    pub fn pack_int8<B: Backend, R: Rounding>(
        shape: &TransposedConv2dShape,
        numbers: &Int8Filters<'_>,
        packed: &mut [u32],
        scratch: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        each_phase::<B, R, _, _>(shape, numbers.filters, packed, scratch, |phase, filters, packed| {
            conv2d::pack_int8::<B, R>(phase, &Int8Filters { filters, ..*numbers }, packed)
        })
    }

    /// Packs a transposed convolution of int16 values with int8 weights for backend `B`; returns what [`run`] needs
    /// besides.
    ///
    /// # Errors
    /// As [`pack_int8`].
    pub fn pack_int16<B: Backend, R: Rounding>(
        shape: &TransposedConv2dShape,
        numbers: &Int16Filters<'_>,
        packed: &mut [u32],
        scratch: &mut [u32],
    ) -> Result<CommonRequantization, ShapeError> {
        each_phase::<B, Int16x8<R>, _, _>(shape, numbers.filters, packed, scratch, |phase, filters, packed| {
            conv2d::pack_int16::<B, R>(phase, &Int16Filters { filters, ..*numbers }, packed)
        })
    }

    /// Packs a transposed convolution in single precision for backend `B`.
    ///
    /// # Errors
    /// Where the shape breaks a rule, [`ShapeError::MissingTaps`] included, the length of a slice is not the shape's, or
    /// `scratch` is shorter than [`scratch_words`].
    pub fn pack_float<B: Backend>(
        shape: &TransposedConv2dShape,
        numbers: &F32Filters<'_>,
        packed: &mut [u32],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        if (0..shape.phases()).any(|number| !shape.phase(number).is_whole()) {
            return Err(ShapeError::MissingTaps);
        }
        each_phase::<B, Clamp, _, _>(shape, numbers.filters, packed, scratch, |phase, filters, packed| {
            conv2d::pack_float::<B>(phase, &F32Filters { filters, ..*numbers }, packed)
        })
    }

    /// Packs the phases side by side; what the last of them returns, as all do.
    fn each_phase<B: Backend, E: Epilogue, T: Pod, C>(
        shape: &TransposedConv2dShape,
        filters: &[T],
        packed: &mut [u32],
        scratch: &mut [u32],
        pack: impl Fn(&Conv2dShape, &[T], &mut [u32]) -> Result<C, ShapeError>,
    ) -> Result<C, ShapeError> {
        shape.check()?;
        if filters.len() != shape.filters * shape.filter_len() {
            return Err(ShapeError::Filters);
        }
        if packed.len() != packed_words::<B, E>(shape) {
            return Err(ShapeError::Packed);
        }
        let (mut rest, mut common) = (packed, Err(ShapeError::Zero));
        for number in 0..shape.phases() {
            let phase = shape.phase(number);
            let words = conv2d::packed_words::<B, E>(&phase.shape);
            let (part, others) = rest.split_at_mut_checked(words).ok_or(ShapeError::Packed)?;
            let count = shape.filters * phase.shape.filter_len();
            let weights: &mut [T] = bytemuck::cast_slice_mut(&mut *scratch);
            let weights = weights.get_mut(..count).ok_or(ShapeError::Scratch)?;
            weights.fill(T::zeroed());
            phase_weights(shape, &phase, filters, weights);
            common = Ok(pack(&phase.shape, weights, part)?);
            rest = others;
        }
        common
    }

    /// Runs a transposed convolution on backend `B`, phase by phase. `fill` is what padding holds: the input's zero
    /// point, or 0.0.
    ///
    /// Since the shape is not known before, this links every special routine of the backend: not for firmware.
    ///
    /// # Errors
    /// Where the shape breaks a rule or the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where the machine lacks the backend: nothing falls back in silence.
    pub fn run<B: Backend, E: Epilogue>(
        shape: &TransposedConv2dShape,
        packed: &[u32],
        fill: E::Input,
        common: &E::Common,
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        shape.check()?;
        let [height, width, channels] = shape.output();
        if output.len() != height * width * channels {
            return Err(ShapeError::Output);
        }
        if packed.len() != packed_words::<B, E>(shape) {
            return Err(ShapeError::Packed);
        }
        let mut rest = packed;
        for number in 0..shape.phases() {
            let phase = shape.phase(number);
            let (first, steps) = shape.place(&phase);
            let convolution = Convolution::<B, E>::dynamic(phase.shape, fill, *common).spread(steps);
            let words = conv2d::packed_words::<B, E>(&phase.shape);
            let (part, others) = rest.split_at_checked(words).ok_or(ShapeError::Packed)?;
            let output = output.get_mut(first..first + convolution.reach()).ok_or(ShapeError::Output)?;
            convolution.run(part, input, output, scratch)?;
            rest = others;
        }
        Ok(())
    }
}

format!([I, O, const PHASES: usize, const WORDS: usize, E: Epilogue] TransposedConv2d<I, O, PHASES, WORDS, E>,
    "TransposedConv2d {{ shape: {}, packed_bytes: {} }}", |this| this.shape(), this.packed_bytes());
