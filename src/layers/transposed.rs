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
        Self { phases, packed, types: PhantomData }
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
        Self { phases, packed, types: PhantomData }
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
        Self { phases, packed, types: PhantomData }
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
    /// Where `scratch` is shorter than [`TransposedConv2dShape::scratch_words`].
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

/// Words of memory that [`transposed_int8`], [`transposed_int16`] or [`transposed_float`] needs on backend `B`.
///
/// # Panics
/// Where the shape breaks a rule.
pub fn transposed_words<B: Backend, E: Epilogue>(shape: &TransposedConv2dShape) -> usize {
    shape.assert();
    let phase_words = |number| {
        let shape: Conv2dShape = shape.phase(number).shape;
        let weights = shape.filters * shape.filter_len();
        weights + super::dynamic::packed_words::<B, E>(&shape) + super::dynamic::scratch_words::<B, E>(&shape)
    };
    (0..shape.phases()).map(phase_words).max().unwrap_or(0)
}

/// Packs and runs an int8 transposed convolution on backend `B`, phase by phase.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, `memory` is shorter than
/// [`transposed_words`], or as [`pack_i8`].
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence.
pub fn transposed_int8<B: Backend, R: Rounding>(
    shape: &TransposedConv2dShape,
    numbers: &Int8Filters<'_>,
    input: &[i8],
    output: &mut [i8],
    memory: &mut [u32],
) -> Result<(), ShapeError> {
    let fill = numbers.input.zero_point;
    each_phase::<B, R, i8>(shape, numbers.filters, input, output, memory, |phase, filters, packed| {
        let common = super::dynamic::pack_int8::<B, R>(phase, &Int8Filters { filters, ..*numbers }, packed)?;
        Ok(Convolution::dynamic(*phase, fill, common))
    })
}

/// Packs and runs a transposed convolution of int16 values with int8 weights on backend `B`, phase by phase.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, `memory` is shorter than
/// [`transposed_words`], or as [`pack_i16`].
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence.
pub fn transposed_int16<B: Backend, R: Rounding>(
    shape: &TransposedConv2dShape,
    numbers: &Int16Filters<'_>,
    input: &[i16],
    output: &mut [i16],
    memory: &mut [u32],
) -> Result<(), ShapeError> {
    each_phase::<B, Int16x8<R>, i8>(shape, numbers.filters, input, output, memory, |phase, filters, packed| {
        let common = super::dynamic::pack_int16::<B, R>(phase, &Int16Filters { filters, ..*numbers }, packed)?;
        Ok(Convolution::dynamic(*phase, 0, common))
    })
}

/// Packs and runs a transposed convolution in single precision on backend `B`, phase by phase.
///
/// # Errors
/// Where the shape breaks a rule, [`ShapeError::MissingTaps`] included, the length of a slice is not the shape's, or
/// `memory` is shorter than [`transposed_words`].
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence.
pub fn transposed_float<B: Backend>(
    shape: &TransposedConv2dShape,
    numbers: &F32Filters<'_>,
    input: &[f32],
    output: &mut [f32],
    memory: &mut [u32],
) -> Result<(), ShapeError> {
    shape.check()?;
    if (0..shape.phases()).any(|number| !shape.phase(number).is_whole()) {
        return Err(ShapeError::MissingTaps);
    }
    each_phase::<B, Clamp, f32>(shape, numbers.filters, input, output, memory, |phase, filters, packed| {
        super::dynamic::pack_float::<B>(phase, &F32Filters { filters, ..*numbers }, packed)?;
        Ok(Convolution::dynamic(*phase, 0.0, numbers.activation.bounds()))
    })
}

fn each_phase<B: Backend, E: Epilogue, T: Pod>(
    shape: &TransposedConv2dShape,
    filters: &[T],
    input: &[E::Input],
    output: &mut [E::Output],
    memory: &mut [u32],
    pack: impl Fn(&Conv2dShape, &[T], &mut [u32]) -> Result<Convolution<B, E>, ShapeError>,
) -> Result<(), ShapeError> {
    shape.check()?;
    let [height, width, channels] = shape.output();
    if output.len() != height * width * channels {
        return Err(ShapeError::Output);
    }
    if filters.len() != shape.filters * shape.filter_len() {
        return Err(ShapeError::Filters);
    }
    for number in 0..shape.phases() {
        let phase = shape.phase(number);
        let count = shape.filters * phase.shape.filter_len();
        let (weights, memory) = memory.split_at_mut_checked(count).ok_or(ShapeError::Scratch)?;
        let words = super::dynamic::packed_words::<B, E>(&phase.shape);
        let (packed, scratch) = memory.split_at_mut_checked(words).ok_or(ShapeError::Scratch)?;
        let weights = &mut bytemuck::cast_slice_mut(weights)[..count];
        weights.fill(T::zeroed());
        phase_weights(shape, &phase, filters, weights);
        let (first, steps) = shape.place(&phase);
        let convolution = pack(&phase.shape, weights, packed)?.spread(steps);
        let output = output.get_mut(first..first + convolution.reach()).ok_or(ShapeError::Output)?;
        convolution.run(packed, input, output, scratch)?;
    }
    Ok(())
}
