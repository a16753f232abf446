//! Filters packed in constant evaluation into the order in which a backend reads them.
//!
//! A model stores its filters once, in canonical order (`[filter][height][width][channel]`). [`pack_i8`] and
//! [`pack_f32`] are `const fn`s: the compiler runs them for the core it builds for, and flash holds only the result.
//! They also fold the input's zero point into the bias, turn scales into integer multipliers, and prove that no
//! accumulator can overflow.
//!
//! # Format
//! Channels are packed in blocks of [`Layout::block`], the last one of each group as small as [`Layout::tail`] allows;
//! missing channels are zeros. A block is its biases, then its requantization parameters, then its weights, all in words:
//!
//! ```text
//! bias[channels]  parameters[words][channels]  weights[runs][groups][...]
//! ```
//!
//! A *run* is a stretch of taps that lie side by side in a widened input row: one row of the filter, or one tap's
//! channels where the filter is dilated across. Runs are padded with zero weights to whole groups.
//!
//! Where neighbouring pixels are one activation apart, a backend that loads two at a time would need unaligned loads
//! for every other pixel. Such a filter is packed in two *phases* instead: once as it is and once moved by a pixel, as
//! if it were two filters of twice the stride. The room for the move is the padding of an odd run, so it costs nothing.

use crate::quant::{CommonRequantization, Multiplier, Quantization, RoundingMode};
use crate::shape::{Conv2dShape, ShapeError};

/// How a micro-kernel wants its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Output channels of a full block.
    pub block: usize,
    /// The last block has a multiple of this many channels.
    pub tail: usize,
    /// Taps of one channel that a multiply instruction consumes.
    pub group: usize,
    /// The order within a group.
    pub format: Format,
    /// The most taps in a run; longer ones are split.
    pub longest_run: usize,
    /// Activations that a load takes at once, at a multiple of as many.
    pub align: usize,
    /// What rows hold more than the values of the input: its product with the weights' sum is taken out of the bias.
    pub offset: i32,
    /// Activations that loads may read beyond the end of a run.
    pub overread: usize,
    /// The most taps of a filter whose short runs are packed as one, without gaps: the kernel copies what a pixel sees to
    /// lie side by side, too. 0 for a kernel that does not.
    pub merge: usize,
}

/// The order of weights within a group of taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `[channel][tap]`, one value each.
    Channels,
    /// `[pair of channels][tap][channel of the pair]`, one value each.
    ///
    /// For SXTB16, which widens bytes 0 and 2 of a word, or 1 and 3: two taps of a channel.
    Interleaved,
    /// `[pair of channels][tap]`, 16 bits each: `256 * odd channel + even channel`.
    ///
    /// For SMLAD, which multiplies 16-bit halves: the product with the packed value is `256 * odd + even` at once,
    /// and SXTB16 leaves the even channel alone, from which the odd one follows. So two int8 weights take two bytes
    /// and need one unpacking instruction for two channels and two taps, where widening each takes twice that.
    /// The odd channel's sum must fit 24 bits: 128 * 127 * 508 taps does, hence [`BYTE_PAIR_TAPS`].
    BytePairs,
}

/// The most taps whose sum of products of int8 values fits the 24 bits that [`Format::BytePairs`] leaves.
pub const BYTE_PAIR_TAPS: usize = 508;

/// Whether every filter of `len` weights keeps to the 24 bits that [`Format::BytePairs`] leaves, as all filters of up to
/// [`BYTE_PAIR_TAPS`] do, and most longer ones: 128 times the sum of the weights' magnitudes is below 2^23.
pub const fn narrow(filters: &[i8], len: usize) -> bool {
    let mut start = 0;
    while start + len <= filters.len() {
        let (_, magnitude) = Weights::Int8(filters).sums(start, len);
        if 128 * magnitude >= 1 << 23 {
            return false;
        }
        start += len;
    }
    true
}

/// [`narrow`] for any int4 weights.
pub const fn narrow_i4(len: usize) -> bool {
    128 * 8 * (len as u64) < 1 << 23
}

/// How a filter is cut into runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Times that a filter is packed, each moved by one pixel more.
    pub phases: usize,
    /// Taps from one pixel to the next.
    pub step: usize,
    /// Taps of the filter that lie side by side in the input.
    pub stretch: usize,
    /// Stretches in a filter.
    pub stretches: usize,
    /// Runs that a stretch is split into.
    pub parts: usize,
    /// Groups in a run.
    pub groups: usize,
    /// Taps in a run, padding counted.
    pub taps: usize,
    /// Activations that loads may read beyond a run.
    pub overread: usize,
    /// Groups of a filter whose runs are packed as one without gaps, or 0 where each run is padded to whole groups.
    pub merged: usize,
}

impl Runs {
    /// The runs of a filter in a layout; the shape has one group.
    pub const fn new(shape: &Conv2dShape, layout: &Layout) -> Self {
        let [height, width] = shape.filter;
        let step = shape.stride[1] * shape.input[2];
        let (stretch, stretches) =
            if shape.dilation[1] == 1 { (width * shape.input[2], height) } else { (shape.input[2], width * height) };
        let several = shape.convolved()[1] > 1 && shape.dilation[1] == 1;
        let phases = if several && layout.align == 2 && step == 1 && stretch % 2 == 1 { 2 } else { 1 };
        let reach = stretch + (phases - 1) * step;
        let parts = reach.div_ceil(layout.longest_run);
        let groups = reach.div_ceil(parts).div_ceil(layout.group);
        let (taps, overread) = (groups * layout.group, layout.overread);
        // Worth it where several pixels share the copy's set-up, and groups become fewer.
        let len = stretch * stretches;
        let together = len.div_ceil(layout.group);
        let short = shape.convolved()[1] > 1 && phases == 1 && parts == 1 && groups == 1 && len <= layout.merge;
        let merged = if short && together < stretches { together } else { 0 };
        Self { phases, step, stretch, stretches, parts, groups, taps, overread, merged }
    }

    /// The number of runs in a filter.
    pub const fn count(&self) -> usize {
        self.stretches * self.parts
    }

    /// Places of taps in a packed filter.
    const fn packed_taps(&self, layout: &Layout) -> usize {
        if self.merged > 0 { self.merged * layout.group } else { self.count() * self.taps }
    }

    /// Activations by which reading the runs of a stretch may go past its end.
    pub const fn overhang(&self) -> usize {
        self.parts * self.taps - self.stretch + self.overread
    }
}

impl Layout {
    /// Blocks of `block` channels, the last a multiple of `tail`, in groups of `group` taps: [`Format::Channels`].
    pub const fn channels(block: usize, tail: usize, group: usize) -> Self {
        Self {
            block,
            tail,
            group,
            format: Format::Channels,
            longest_run: usize::MAX,
            align: 1,
            offset: 0,
            overread: 0,
            merge: 0,
        }
    }

    /// The same for a kernel that merges the short runs of filters of up to `merge` taps.
    pub const fn merging(self, merge: usize) -> Self {
        Self { merge, ..self }
    }

    /// The same for rows that hold `offset` more than the input's values.
    pub const fn offset(self, offset: i32) -> Self {
        Self { offset, ..self }
    }

    /// The same for loads that may read `overread` activations beyond a run.
    pub const fn overread(self, overread: usize) -> Self {
        Self { overread, ..self }
    }

    /// Blocks of `block` channels in [`Format::Interleaved`].
    pub const fn interleaved(block: usize) -> Self {
        let longest_run = usize::MAX;
        Self {
            block,
            tail: block,
            group: 2,
            format: Format::Interleaved,
            longest_run,
            align: 2,
            offset: 0,
            overread: 0,
            merge: 0,
        }
    }

    /// Blocks of `block` channels in [`Format::BytePairs`].
    pub const fn byte_pairs(block: usize) -> Self {
        Self {
            block,
            tail: block,
            group: 2,
            format: Format::BytePairs,
            longest_run: BYTE_PAIR_TAPS,
            align: 2,
            offset: 0,
            overread: 0,
            merge: 0,
        }
    }

    /// The number of channels in the block that starts at channel `first` of `channels`, phases counted.
    pub const fn block_at(&self, first: usize, channels: usize) -> usize {
        let left = channels - first;
        if left >= self.block { self.block } else { left.next_multiple_of(self.tail) }
    }

    /// Words of the weights of a block of `channels`; `weight_bits` is 4, 8 or 32.
    pub const fn weight_words(&self, runs: &Runs, channels: usize, weight_bits: usize) -> usize {
        let weights = runs.packed_taps(self) * channels;
        match weight_bits {
            4 => weights.div_ceil(8),
            8 => weights.div_ceil(4),
            _ => weights,
        }
    }

    /// Words of all blocks of a layer, with `parameter_words` words of parameters for each channel.
    pub const fn packed_words(&self, shape: &Conv2dShape, weight_bits: usize, parameter_words: usize) -> usize {
        let part = shape.part();
        let runs = Runs::new(&part, self);
        let all = part.filters * runs.phases;
        let mut words = 0;
        let mut first = 0;
        while first < all {
            let channels = self.block_at(first, all);
            words += channels * (1 + parameter_words) + self.weight_words(&runs, channels, weight_bits);
            first += channels;
        }
        words * shape.groups
    }
}

/// An activation that is a clamp, and so costs nothing after a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Activation {
    /// No activation.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

impl Activation {
    /// The lowest and highest real number that passes.
    pub const fn bounds(self) -> [f32; 2] {
        match self {
            Self::Identity => [f32::NEG_INFINITY, f32::INFINITY],
            Self::Relu => [0.0, f32::INFINITY],
            Self::Relu6 => [0.0, 6.0],
        }
    }

    /// The lowest and highest of the integers `low..=high` that passes, in an output's quantization.
    pub(crate) const fn integer_bounds(self, scale: f32, zero: i32, [low, high]: [i32; 2]) -> [i32; 2] {
        match self {
            Self::Identity => [low, high],
            Self::Relu => [zero, high],
            // As TensorFlow Lite has it: the quotient in single precision, rounded, halves away from zero.
            Self::Relu6 => {
                let steps = 6.0f32 / scale;
                if steps >= (high - low) as f32 {
                    return [zero, high];
                }
                let whole = steps as i32;
                let six = zero + whole + if steps - whole as f32 >= 0.5 { 1 } else { 0 };
                [zero, if six < high { six } else { high }]
            }
        }
    }
}

/// The numbers of an int8 convolution, in canonical order.
#[derive(Clone, Copy, Debug)]
pub struct Int8Filters<'a> {
    /// `[filter][height][width][channel]`, each in -127..=127.
    pub filters: &'a [i8],
    /// One for each output channel, of scale `input.scale * scales[channel]`.
    pub bias: &'a [i32],
    /// The scale of each output channel's weights.
    pub scales: &'a [f32],
    /// The input's quantization.
    pub input: Quantization,
    /// The output's quantization.
    pub output: Quantization,
    /// The activation.
    pub activation: Activation,
}

impl<'a> Int8Filters<'a> {
    /// The numbers of a convolution, from arrays.
    pub const fn new<const O: usize, const H: usize, const W: usize, const C: usize>(
        filters: &'a [[[[i8; C]; W]; H]; O],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: Quantization,
        output: Quantization,
        activation: Activation,
    ) -> Self {
        let filters = filters.as_flattened().as_flattened().as_flattened();
        Self { filters, bias, scales, input, output, activation }
    }

    /// The numbers of a dense layer, from arrays: a row of weights for each output.
    pub const fn dense<const O: usize, const N: usize>(
        weights: &'a [[i8; N]; O],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: Quantization,
        output: Quantization,
        activation: Activation,
    ) -> Self {
        Self { filters: weights.as_flattened(), bias, scales, input, output, activation }
    }
}

/// The numbers of a convolution of int16 values with int8 weights, in canonical order. Zero points are 0.
#[derive(Clone, Copy, Debug)]
pub struct Int16Filters<'a> {
    /// `[filter][height][width][channel]`, each in -127..=127.
    pub filters: &'a [i8],
    /// One for each output channel, of scale `input * scales[channel]`. TensorFlow Lite stores 64 bits; those that fit
    /// the accumulator's 32, which packing checks, fit these.
    pub bias: &'a [i32],
    /// The scale of each output channel's weights.
    pub scales: &'a [f32],
    /// The input's scale.
    pub input: f32,
    /// The output's scale.
    pub output: f32,
    /// The activation.
    pub activation: Activation,
}

impl<'a> Int16Filters<'a> {
    /// The numbers of a convolution, from arrays.
    pub const fn new<const O: usize, const H: usize, const W: usize, const C: usize>(
        filters: &'a [[[[i8; C]; W]; H]; O],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: f32,
        output: f32,
        activation: Activation,
    ) -> Self {
        let filters = filters.as_flattened().as_flattened().as_flattened();
        Self { filters, bias, scales, input, output, activation }
    }

    /// The numbers of a dense layer, from arrays: a row of weights for each output.
    pub const fn dense<const O: usize, const N: usize>(
        weights: &'a [[i8; N]; O],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: f32,
        output: f32,
        activation: Activation,
    ) -> Self {
        Self { filters: weights.as_flattened(), bias, scales, input, output, activation }
    }

    /// Whether sums of these filters may need more than 32 bits, and so their layer those of
    /// [`Int16x8Wide`](crate::Int16x8Wide): whether `|bias| + 32768 * sum |weight|` is more than 2^31 - 1 for a filter.
    ///
    /// ```
    /// use bareconv::{Activation, Int16Filters};
    ///
    /// let numbers = |weights| Int16Filters {
    ///     filters: weights, bias: &[0], scales: &[0.01], input: 0.001, output: 0.1, activation: Activation::Relu,
    /// };
    /// assert!(!numbers(&[127; 515]).needs_wide_sums());
    /// assert!(numbers(&[127; 517]).needs_wide_sums());
    /// ```
    pub const fn needs_wide_sums(&self) -> bool {
        if self.bias.is_empty() {
            return false;
        }
        let (weights, len) = (Weights::Int8(self.filters), self.filters.len() / self.bias.len());
        let mut o = 0;
        while o < self.bias.len() {
            let (_, magnitude) = weights.sums(o * len, len);
            let reach = self.bias[o].unsigned_abs() as i64 + Activations::Int16.reach() * magnitude;
            if reach > i32::MAX as i64 {
                return true;
            }
            o += 1;
        }
        false
    }

    /// The same with zero points.
    pub(crate) const fn with_zero_points(&self) -> Int8Filters<'a> {
        let &Self { filters, bias, scales, activation, .. } = self;
        let (input, output) = (Quantization::new(self.input, 0), Quantization::new(self.output, 0));
        Int8Filters { filters, bias, scales, input, output, activation }
    }
}

/// The type of activations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activations {
    Int8,
    Int16,
    /// With sums of 64 bits.
    Int16Wide,
}

impl Activations {
    /// The largest magnitude.
    const fn reach(self) -> i64 {
        match self {
            Self::Int8 => 128,
            Self::Int16 | Self::Int16Wide => 32768,
        }
    }

    /// The values.
    const fn range(self) -> [i32; 2] {
        match self {
            Self::Int8 => [-128, 127],
            Self::Int16 | Self::Int16Wide => [-32768, 32767],
        }
    }
}

/// What a mode adds to the bias of channel `o`: [`PowerOfTwo`](crate::PowerOfTwo) its rounding and the zero point, others
/// nothing. The numbers obey the rules.
pub const fn folded_term(numbers: &Int8Filters<'_>, mode: RoundingMode, o: usize) -> i32 {
    match (mode, power_of_two(multiplier(numbers, o))) {
        (RoundingMode::PowerOfTwo, Some(shift)) => ((1 << shift) >> 1) + ((numbers.output.zero_point as i32) << shift),
        _ => 0,
    }
}

/// The exponent `s` of `2^-s`, up to 23.
const fn power_of_two(real: f64) -> Option<u32> {
    let bits = real.to_bits();
    let shift = 1023 - (bits >> 52) as i64;
    if bits << 12 == 0 && shift >= 0 && shift <= 23 { Some(shift as u32) } else { None }
}

/// The multiplier of [`ReducedRounding`](crate::ReducedRounding), 15 bits, and its shift to the right.
const fn reduced(real: f64) -> (i64, i32) {
    let Multiplier { multiplier, exponent } = Multiplier::from_real(real);
    let reduced = if multiplier < 0x7fff_0000 { (multiplier + (1 << 15)) >> 16 } else { 0x7fff };
    (reduced as i64, 15 - exponent)
}

/// The filters turned by half a circle, rows and columns reversed: with them a layer computes the *convolution* of
/// mathematics, and without them cross-correlation, which the field calls convolution.
///
/// ```text
/// cross-correlation   output[y][x] = sum over i, j of input[y + i][x + j] * filter[i][j]
/// convolution         output[y][x] = sum over i, j of input[y - i][x - j] * filter[i][j]
/// ```
///
/// Convolution is commutative and associative, which cross-correlation is not: two filters in a row are one filter, their
/// convolution. A network that learns its filters does not care, as it learns them turned; filters from a textbook or
/// from signal processing may.
///
/// `filters` is `[filter][height][width][channel]`. Turned twice they are what they were. In a constant it costs nothing
/// at run time.
///
/// ```
/// use bareconv::{Activation, Conv2d, Conv2dShape, Int8Filters, Quantization, SingleRounding, Tensor, flipped};
///
/// // The response to a single 1 is the filter itself: that is what convolution means.
/// const FILTER: [[[[i8; 1]; 3]; 1]; 1] = [[[[1], [2], [3]]]];
/// const SHAPE: Conv2dShape = Conv2dShape { padding: [0, 1, 0, 1], ..Conv2dShape::new([1, 5, 1], 1, [1, 3]) };
/// const Q: Quantization = Quantization::new(1.0, 0);
/// static CONVOLUTION: Conv2d<Tensor<i8, 1, 5, 1>, Tensor<i8, 1, 5, 1>, { SHAPE.packed_words::<SingleRounding>() }> =
///     Conv2d::int8(SHAPE, Int8Filters::new(&flipped(&FILTER), &[0], &[1.0], Q, Q, Activation::Identity));
///
/// let impulse = Tensor([[[0i8], [0], [1], [0], [0]]]);
/// let mut response = Tensor::filled(0);
/// CONVOLUTION.run(impulse.view(), response.view_mut(), &mut [0; SHAPE.scratch_words::<SingleRounding>()]);
/// assert_eq!(response, Tensor([[[0], [1], [2], [3], [0]]]));
/// ```
pub const fn flipped<T: Copy, const O: usize, const H: usize, const W: usize, const C: usize>(
    filters: &[[[[T; C]; W]; H]; O],
) -> [[[[T; C]; W]; H]; O] {
    let mut turned = *filters;
    let mut o = 0;
    while o < O {
        let mut place = 0;
        while place < H * W {
            let (i, j) = (place / W, place % W);
            turned[o][H - 1 - i][W - 1 - j] = filters[o][i][j];
            place += 1;
        }
        o += 1;
    }
    turned
}

/// The numbers of a convolution of int8 values with int4 weights, in canonical order.
#[derive(Clone, Copy, Debug)]
pub struct Int4Filters<'a> {
    /// `[filter][height][width][channel]`, each in -8..=7: two to a byte, the first in the low half, as TensorFlow Lite
    /// stores them. [`nibbles`] makes them of int8 values.
    pub filters: &'a [u8],
    /// One for each output channel, of scale `input.scale * scales[channel]`.
    pub bias: &'a [i32],
    /// The scale of each output channel's weights.
    pub scales: &'a [f32],
    /// The input's quantization.
    pub input: Quantization,
    /// The output's quantization.
    pub output: Quantization,
    /// The activation.
    pub activation: Activation,
}

impl<'a> Int4Filters<'a> {
    /// The numbers of a convolution or a dense layer, from arrays, the weights being [`nibbles`].
    ///
    /// ```
    /// use bareconv::{Activation, Int4Filters, Quantization, nibbles};
    ///
    /// const Q: Quantization = Quantization::new(1.0, 0);
    /// // Two filters of three weights.
    /// const FILTERS: [u8; 3] = nibbles(&[1, -1, 7, -8, 0, 3]);
    /// const NUMBERS: Int4Filters<'static> =
    ///     Int4Filters::new(&FILTERS, &[0, 5], &[0.5, 0.25], Q, Q, Activation::Relu);
    /// ```
    pub const fn new<const O: usize, const BYTES: usize>(
        filters: &'a [u8; BYTES],
        bias: &'a [i32; O],
        scales: &'a [f32; O],
        input: Quantization,
        output: Quantization,
        activation: Activation,
    ) -> Self {
        Self { filters, bias, scales, input, output, activation }
    }

    /// The same without the weights.
    const fn without_weights(&self) -> Int8Filters<'a> {
        let &Self { bias, scales, input, output, activation, .. } = self;
        Int8Filters { filters: &[], bias, scales, input, output, activation }
    }
}

/// Values in -8..=7, two to a byte, the first in the low half: what [`Int4Filters`] takes.
///
/// ```
/// const FILTERS: [u8; 2] = bareconv::nibbles(&[1, -1, 7]);
/// assert_eq!(FILTERS, [0xf1, 0x07]);
/// ```
///
/// # Panics
/// Where a value is not in the range, or `BYTES` is not half of `N`, rounded up; in a constant, that is a compile error.
pub const fn nibbles<const N: usize, const BYTES: usize>(values: &[i8; N]) -> [u8; BYTES] {
    if BYTES != N.div_ceil(2) {
        panic!("{}", ShapeError::Filters.message());
    }
    let mut packed = [0; BYTES];
    let mut i = 0;
    while i < N {
        if values[i] < -8 || values[i] > 7 {
            panic!("{}", ShapeError::Weight.message());
        }
        packed[i / 2] |= (values[i] as u8 & 15) << (i % 2 * 4);
        i += 1;
    }
    packed
}

/// Weights as a model stores them.
#[derive(Clone, Copy)]
pub(crate) enum Weights<'a> {
    Int8(&'a [i8]),
    /// Two to a byte.
    Int4(&'a [u8]),
}

impl Weights<'_> {
    const fn get(self, i: usize) -> i8 {
        match self {
            Self::Int8(values) => values[i],
            Self::Int4(nibbles) => ((nibbles[i / 2] << (4 - i % 2 * 4)) as i8) >> 4,
        }
    }

    const fn bits(self) -> usize {
        match self {
            Self::Int8(_) => 8,
            Self::Int4(_) => 4,
        }
    }

    /// Whether there are `len` of them.
    const fn are(self, len: usize) -> bool {
        match self {
            Self::Int8(values) => values.len() == len,
            Self::Int4(nibbles) => nibbles.len() == len.div_ceil(2),
        }
    }

    /// Sum and sum of magnitudes of `len` weights from `start`; the latter is -1 where one is -128.
    const fn sums(self, start: usize, len: usize) -> (i64, i64) {
        let (mut sum, mut magnitude) = (0, 0);
        let mut i = start;
        while i < start + len {
            let weight = self.get(i) as i64;
            if weight == -128 {
                return (0, -1);
            }
            sum += weight;
            magnitude += if weight < 0 { -weight } else { weight };
            i += 1;
        }
        (sum, magnitude)
    }
}

/// Checks lengths, scales, weights and the bound of every accumulator.
const fn check(
    shape: &Conv2dShape,
    numbers: &Int8Filters<'_>,
    weights: Weights<'_>,
    mode: RoundingMode,
    activations: Activations,
) -> Result<(), ShapeError> {
    if let Err(error) = shape.check() {
        return Err(error);
    }
    let len = shape.filter_len();
    if !weights.are(shape.filters * len) {
        return Err(ShapeError::Filters);
    }
    if numbers.bias.len() != shape.filters || numbers.scales.len() != shape.filters {
        return Err(ShapeError::Channels);
    }
    if let Err(error) = check_scales(numbers) {
        return Err(error);
    }
    let mut o = 0;
    while o < shape.filters {
        let (sum, magnitude) = weights.sums(o * len, len);
        if magnitude < 0 {
            return Err(ShapeError::Weight);
        }
        if let Err(error) = check_reach(numbers, o, sum, magnitude, mode, activations) {
            return Err(error);
        }
        o += 1;
    }
    Ok(())
}

/// Checks the bound of channel `o`'s accumulators, whose weights have this sum and this sum of magnitudes.
pub(crate) const fn check_reach(
    numbers: &Int8Filters<'_>,
    o: usize,
    sum: i64,
    magnitude: i64,
    mode: RoundingMode,
    activations: Activations,
) -> Result<(), ShapeError> {
    let real = multiplier(numbers, o);
    // The folded bias and every partial sum after it stay within this.
    let folded = numbers.bias[o] as i64 - numbers.input.zero_point as i64 * sum;
    let reach = (if folded < 0 { -folded } else { folded }) + activations.reach() * magnitude;
    // The sum before folding, too: it is what the specification speaks of.
    let plain = numbers.bias[o] as i64;
    let steps = match activations {
        Activations::Int8 => 255,
        Activations::Int16 | Activations::Int16Wide => 32768,
    };
    let plain_reach = (if plain < 0 { -plain } else { plain }) + steps * magnitude;
    // TensorFlow Lite Micro wants sums of 64 bits to fit 48, so that their products fit 64.
    let sums = if matches!(activations, Activations::Int16Wide) { 1 << 47 } else { i32::MAX as i64 };
    let most = match mode {
        RoundingMode::Single => i32::MAX as i64,
        // It shifts to the left for multipliers of 1 and more, before it rounds.
        RoundingMode::Double => {
            let left = Multiplier::from_real(real).exponent;
            i32::MAX as i64 >> if left > 0 { left } else { 0 }
        }
        RoundingMode::Reduced => {
            let (multiplier, shift) = reduced(real);
            if shift < 8 {
                return Err(ShapeError::Scale);
            }
            // The result and its rounding must fit, too.
            let largest = if reach > plain_reach { reach } else { plain_reach };
            if largest <= sums && (largest * multiplier) >> shift >= i32::MAX as i64 {
                return Err(ShapeError::Accumulator);
            }
            sums
        }
        RoundingMode::PowerOfTwo => {
            if power_of_two(real).is_none() {
                return Err(ShapeError::PowerOfTwo);
            }
            let term = folded_term(numbers, mode, o) as i64;
            i32::MAX as i64 - if term < 0 { -term } else { term }
        }
    };
    if reach > most || plain_reach > most {
        return Err(ShapeError::Accumulator);
    }
    Ok(())
}

/// Checks that all multipliers are positive and not too large.
pub(crate) const fn check_scales(numbers: &Int8Filters<'_>) -> Result<(), ShapeError> {
    if !usable_scale(numbers.input.scale) || !usable_scale(numbers.output.scale) {
        return Err(ShapeError::Scale);
    }
    let mut o = 0;
    while o < numbers.scales.len() {
        let real = multiplier(numbers, o);
        if !usable_scale(numbers.scales[o]) || real >= 1_073_741_824.0 || real.is_nan() {
            return Err(ShapeError::Scale);
        }
        // Just below the limit the significand is rounded up to it.
        if Multiplier::from_real(real).exponent > 30 {
            return Err(ShapeError::Scale);
        }
        o += 1;
    }
    Ok(())
}

const fn usable_scale(scale: f32) -> bool {
    scale > 0.0 && scale.is_finite()
}

/// The real number that takes channel `o`'s accumulators to outputs.
const fn multiplier(numbers: &Int8Filters<'_>, o: usize) -> f64 {
    numbers.input.scale as f64 * numbers.scales[o] as f64 / numbers.output.scale as f64
}

/// What the channels share, for these numbers and a rounding mode.
pub const fn common_requantization(numbers: &Int8Filters<'_>, mode: RoundingMode) -> CommonRequantization {
    common(numbers, mode, Activations::Int8)
}

/// The same for int16.
pub const fn common_requantization_i16(numbers: &Int16Filters<'_>, mode: RoundingMode) -> CommonRequantization {
    common(&numbers.with_zero_points(), mode, Activations::Int16)
}

pub(crate) const fn common(
    numbers: &Int8Filters<'_>,
    mode: RoundingMode,
    activations: Activations,
) -> CommonRequantization {
    let zero_point = numbers.output.zero_point as i32;
    let [low, high] = numbers.activation.integer_bounds(numbers.output.scale, zero_point, activations.range());
    match mode {
        RoundingMode::PowerOfTwo => CommonRequantization { shift: 0, offset: 0, zero_point, low, high },
        RoundingMode::Double => {
            let shift = if matches!(activations, Activations::Int8) { shifts_right(numbers) } else { 0 };
            CommonRequantization { shift, offset: 0, zero_point, low, high }
        }
        RoundingMode::Reduced => {
            let (mut shift, mut o) = (1, 0);
            while o < numbers.scales.len() {
                if reduced(multiplier(numbers, o)).1 < REDUCED_SHIFT {
                    shift = 0;
                }
                o += 1;
            }
            CommonRequantization { shift, offset: 0, zero_point, low, high }
        }
        RoundingMode::Single => {
            let mut largest = 0.0;
            let mut o = 0;
            while o < numbers.scales.len() {
                let real = multiplier(numbers, o);
                if real > largest {
                    largest = real;
                }
                o += 1;
            }
            // 54 keeps the zero point, seven bits, clear of the product's 62 within 64.
            let shift = (31 - Multiplier::from_real(largest).exponent) as u32;
            let shift = if shift < 54 { shift } else { 54 };
            let offset = ((zero_point as i64) << shift) + (1 << (shift - 1));
            CommonRequantization { shift, offset, zero_point, low, high }
        }
    }
}

/// The multiplier of [`DoubleRounding`](crate::DoubleRounding). What becomes zero has a shift to the right, too.
const fn twice(real: f64) -> Multiplier {
    match Multiplier::from_real(real) {
        Multiplier { multiplier: 0, .. } => Multiplier { multiplier: 0, exponent: -1 },
        multiplier => multiplier,
    }
}

/// 1 if all multipliers are below a half, 2 if in addition no sum of int8 activations reaches 2^30, otherwise 0. The sums are
/// bounded by the number of taps, whatever the weights are.
const fn shifts_right(numbers: &Int8Filters<'_>) -> u32 {
    let channels = numbers.scales.len();
    if channels == 0 || numbers.bias.len() != channels {
        return 0;
    }
    // A weight, and an activation less its zero point. Weights of int4 are not here.
    let products = (numbers.filters.len() / channels) as i64 * 127 * 256;
    let mut shift = if products == 0 { 1 } else { 2 };
    let mut o = 0;
    while o < channels {
        if twice(multiplier(numbers, o)).exponent >= 0 {
            return 0;
        }
        if (numbers.bias[o] as i64).abs() + products >= 1 << 30 {
            shift = 1;
        }
        o += 1;
    }
    shift
}

/// From this shift on a reduced multiplier can be moved to the left until its product's high word holds the result.
const REDUCED_SHIFT: i32 = 17;

/// The same as [`requantization_parameters`] for int16.
pub const fn requantization_parameters_i16(
    numbers: &Int16Filters<'_>,
    mode: RoundingMode,
    common: &CommonRequantization,
    o: usize,
    words: &mut [u32],
) {
    requantization_parameters(&numbers.with_zero_points(), mode, common, o, words);
}

/// Multiplier and shift of a channel with sums of 64 bits. The numbers obey the rules.
pub const fn requantization_parameters_i16_wide(numbers: &Int16Filters<'_>, o: usize) -> [u32; 2] {
    reduced_parameters(multiplier(&numbers.with_zero_points(), o))
}

const fn reduced_parameters(real: f64) -> [u32; 2] {
    let (multiplier, shift) = reduced(real);
    [multiplier as u32, shift as u32]
}

/// Writes a channel's requantization parameters, as many words as its rounding has. The numbers obey the rules.
pub const fn requantization_parameters(
    numbers: &Int8Filters<'_>,
    mode: RoundingMode,
    common: &CommonRequantization,
    o: usize,
    words: &mut [u32],
) {
    let real = multiplier(numbers, o);
    match mode {
        RoundingMode::Double => {
            let multiplier = twice(real);
            words[0] = multiplier.multiplier as u32;
            words[1] = multiplier.exponent as u32;
        }
        RoundingMode::Single => {
            // A product with a power of two is exact; the cast floors, so halves go upwards.
            let scaled = real * f64::from_bits((1023 + common.shift as u64) << 52);
            words[0] = (scaled + 0.5) as u32;
        }
        RoundingMode::Reduced => {
            let (multiplier, shift) = reduced(real);
            // As a shift of the product's high word; not positive says that the multiplier stays as it is.
            let left = if shift < REDUCED_SHIFT || shift > 32 { 0 } else { 33 - shift };
            words[0] = (multiplier << left) as u32;
            words[1] = (shift + left - 32) as u32;
        }
        RoundingMode::PowerOfTwo => match power_of_two(real) {
            Some(shift) => words[0] = shift,
            None => panic!("{}", ShapeError::PowerOfTwo.message()),
        },
    }
}

const fn clear(words: &mut [u32]) {
    let mut i = 0;
    while i < words.len() {
        words[i] = 0;
        i += 1;
    }
}

pub(crate) const fn parameter_words(mode: RoundingMode) -> usize {
    match mode {
        RoundingMode::Single | RoundingMode::PowerOfTwo => 1,
        RoundingMode::Double | RoundingMode::Reduced => 2,
    }
}

/// Packs an int8 convolution.
///
/// # Errors
/// Where a length is not the shape's, a weight is -128, a scale is unusable, or an accumulator could overflow.
pub const fn pack_i8(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &Int8Filters<'_>,
    mode: RoundingMode,
    packed: &mut [u32],
) -> Result<CommonRequantization, ShapeError> {
    if let Err(error) = check_scales(numbers) {
        return Err(error);
    }
    let common = common_requantization(numbers, mode);
    let weights = Weights::Int8(numbers.filters);
    match pack_integers(shape, layout, numbers, weights, mode, Activations::Int8, &common, packed) {
        Ok(()) => Ok(common),
        Err(error) => Err(error),
    }
}

/// Packs a convolution of int16 values with int8 weights. The accumulators have 32 bits:
/// `|bias| + 32768 * sum |weight|` must fit them for every channel.
///
/// # Errors
/// As [`pack_i8`].
pub const fn pack_i16(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &Int16Filters<'_>,
    mode: RoundingMode,
    packed: &mut [u32],
) -> Result<CommonRequantization, ShapeError> {
    let numbers = numbers.with_zero_points();
    if let Err(error) = check_scales(&numbers) {
        return Err(error);
    }
    let common = common(&numbers, mode, Activations::Int16);
    let weights = Weights::Int8(numbers.filters);
    match pack_integers(shape, layout, &numbers, weights, mode, Activations::Int16, &common, packed) {
        Ok(()) => Ok(common),
        Err(error) => Err(error),
    }
}

/// Packs a convolution of int16 values with int8 weights and sums of 64 bits, for
/// [`Int16x8Wide`](crate::Int16x8Wide).
///
/// # Errors
/// As [`pack_i8`]; sums must fit 48 bits, and what they become 32.
pub const fn pack_i16_wide(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &Int16Filters<'_>,
    packed: &mut [u32],
) -> Result<CommonRequantization, ShapeError> {
    let numbers = numbers.with_zero_points();
    if let Err(error) = check_scales(&numbers) {
        return Err(error);
    }
    let (mode, activations) = (RoundingMode::Reduced, Activations::Int16Wide);
    let common = common(&numbers, mode, activations);
    let weights = Weights::Int8(numbers.filters);
    match pack_integers(shape, layout, &numbers, weights, mode, activations, &common, packed) {
        Ok(()) => Ok(common),
        Err(error) => Err(error),
    }
}

/// Packs a convolution of int8 values with int4 weights. They stay nibbles, in the layout's order: nibble `n` of a
/// block's words `2 * i` and `2 * i + 1` of int8 weights shares byte `n` of word `i`, the former in its low half, both
/// plus 8. `unpack` undoes it.
///
/// # Errors
/// As [`pack_i8`].
pub const fn pack_i4(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &Int4Filters<'_>,
    mode: RoundingMode,
    packed: &mut [u32],
) -> Result<CommonRequantization, ShapeError> {
    let (numbers, weights) = (numbers.without_weights(), Weights::Int4(numbers.filters));
    if let Err(error) = check_scales(&numbers) {
        return Err(error);
    }
    let common = common(&numbers, mode, Activations::Int8);
    match pack_integers(shape, layout, &numbers, weights, mode, Activations::Int8, &common, packed) {
        Ok(()) => Ok(common),
        Err(error) => Err(error),
    }
}

impl Format {
    /// The sign bits of values in this format.
    pub(crate) const fn signs(self) -> u32 {
        match self {
            Self::Channels | Self::Interleaved => 0x8080_8080,
            Self::BytePairs => 0x8000_8000,
        }
    }
}

/// The two words of int8 weights that a word of nibbles stands for, in a format with these sign bits.
///
/// 8 is taken from each nibble in its byte. A set sign bit keeps the difference from borrowing across values, and is put
/// right after it.
#[inline(always)]
pub(crate) const fn unpack(word: u32, signs: u32) -> [u32; 2] {
    let (low, high) = (word & 0x0f0f_0f0f, (word >> 4) & 0x0f0f_0f0f);
    [((low | signs) - 0x0808_0808) ^ signs, ((high | signs) - 0x0808_0808) ^ signs]
}

/// Packs integers of any kind; `common` is made of all numbers, of which these may be a part.
///
/// # Errors
/// As [`pack_i8`].
pub(crate) const fn pack_integers(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &Int8Filters<'_>,
    values: Weights<'_>,
    mode: RoundingMode,
    activations: Activations,
    common: &CommonRequantization,
    packed: &mut [u32],
) -> Result<(), ShapeError> {
    if let Err(error) = check(shape, numbers, values, mode, activations) {
        return Err(error);
    }
    let words = parameter_words(mode);
    if packed.len() != layout.packed_words(shape, values.bits(), words) {
        return Err(ShapeError::Packed);
    }
    clear(packed);
    let part = shape.part();
    let runs = Runs::new(&part, layout);
    let len = shape.filter_len();
    let all = part.filters * runs.phases;
    let (mut at, mut first, mut group) = (0, 0, 0);
    while group < shape.groups {
        let channels = layout.block_at(first, all);
        let present = if all - first < channels { all - first } else { channels };
        let weights = at + channels * (1 + words);
        let end = weights + layout.weight_words(&runs, channels, values.bits());
        if let Weights::Int4(_) = values {
            let mut word = weights;
            while word < end {
                packed[word] = 0x8888_8888;
                word += 1;
            }
        }
        let mut c = 0;
        while c < present {
            let (o, phase) = (group * part.filters + (first + c) / runs.phases, (first + c) % runs.phases);
            let (sum, _) = values.sums(o * len, len);
            // With an offset of 0 to 128 no sum on the way is larger than the plain ones: a tap that has been added counts
            // (activation - zero point) * weight, another -(zero point + offset) * weight.
            let zero = numbers.input.zero_point as i64 + layout.offset as i64;
            let bias = numbers.bias[o] as i64 - zero * sum + folded_term(numbers, mode, o) as i64;
            packed[at + c] = bias as i32 as u32;
            let mut parameters = [0; 2];
            requantization_parameters(numbers, mode, common, o, &mut parameters);
            if let Activations::Int16Wide = activations {
                parameters = reduced_parameters(multiplier(numbers, o));
            }
            let mut word = 0;
            while word < words {
                packed[at + channels * (1 + word) + c] = parameters[word];
                word += 1;
            }
            let block = packed.split_at_mut(weights).1;
            pack_channel(&runs, layout, values, o * len, phase * runs.step, channels, c, block);
            c += 1;
        }
        at = end;
        first += channels;
        if first >= all {
            (first, group) = (0, group + 1);
        }
    }
    Ok(())
}

/// Adds channel `c`'s filter, which begins at value `filter`, moved by `shift` taps, to a block's weights, which hold
/// zeros before the first channel.
const fn pack_channel(
    runs: &Runs,
    layout: &Layout,
    values: Weights<'_>,
    filter: usize,
    shift: usize,
    channels: usize,
    c: usize,
    packed: &mut [u32],
) {
    let mut stretch = 0;
    while stretch < runs.stretches {
        let mut tap = 0;
        while tap < runs.stretch {
            let weight = values.get(filter + stretch * runs.stretch + tap);
            let start = if runs.merged > 0 { stretch * runs.stretch } else { stretch * runs.parts * runs.taps };
            let position = start + tap + shift;
            let (group, within) = (position / layout.group, position % layout.group);
            let byte = match layout.format {
                Format::Channels => (group * channels + c) * layout.group + within,
                Format::Interleaved | Format::BytePairs => {
                    let pair = group * (channels / 2) + c / 2;
                    (pair * layout.group + within) * 2 + c % 2
                }
            };
            match (values, layout.format) {
                (Weights::Int4(_), _) => {
                    let nibble = byte % 4 * 8 + byte / 4 % 2 * 4;
                    packed[byte / 8] ^= (((weight + 8) ^ 8) as u32) << nibble;
                }
                (_, Format::BytePairs) => {
                    // The even channel's sign is borrowed from the odd one; 16-bit addition carries it there.
                    let value = if c % 2 == 1 { (weight as i16) << 8 } else { weight as i16 };
                    let bits = byte / 2 % 2 * 16;
                    let word = packed[byte / 4];
                    let sum = ((word >> bits) as u16).wrapping_add(value as u16);
                    packed[byte / 4] = word & !(0xffff << bits) | (sum as u32) << bits;
                }
                _ => packed[byte / 4] |= (weight as u8 as u32) << (byte % 4 * 8),
            }
            tap += 1;
        }
        stretch += 1;
    }
}

/// The numbers of a convolution in single precision, in canonical order.
#[derive(Clone, Copy, Debug)]
pub struct F32Filters<'a> {
    /// `[filter][height][width][channel]`.
    pub filters: &'a [f32],
    /// One for each output channel.
    pub bias: &'a [f32],
    /// The activation.
    pub activation: Activation,
}

impl<'a> F32Filters<'a> {
    /// The numbers of a convolution, from arrays.
    pub const fn new<const O: usize, const H: usize, const W: usize, const C: usize>(
        filters: &'a [[[[f32; C]; W]; H]; O],
        bias: &'a [f32; O],
        activation: Activation,
    ) -> Self {
        Self { filters: filters.as_flattened().as_flattened().as_flattened(), bias, activation }
    }

    /// The numbers of a dense layer, from arrays: a row of weights for each output.
    pub const fn dense<const O: usize, const N: usize>(
        weights: &'a [[f32; N]; O],
        bias: &'a [f32; O],
        activation: Activation,
    ) -> Self {
        Self { filters: weights.as_flattened(), bias, activation }
    }
}

/// Packs a convolution in single precision.
///
/// # Errors
/// Where a length is not the shape's.
pub const fn pack_f32(
    shape: &Conv2dShape,
    layout: &Layout,
    numbers: &F32Filters<'_>,
    packed: &mut [u32],
) -> Result<(), ShapeError> {
    if let Err(error) = shape.check() {
        return Err(error);
    }
    let len = shape.filter_len();
    if numbers.filters.len() != shape.filters * len {
        return Err(ShapeError::Filters);
    }
    if numbers.bias.len() != shape.filters {
        return Err(ShapeError::Channels);
    }
    if packed.len() != layout.packed_words(shape, 32, 0) {
        return Err(ShapeError::Packed);
    }
    clear(packed);
    // A padded tap would add 0 * activation, which is not nothing in floating point.
    assert!(
        layout.group == 1
            && layout.align == 1
            && layout.longest_run == usize::MAX
            && layout.offset == 0
            && layout.merge == 0,
        "floating point runs are not padded, nor are their values moved"
    );
    let all = shape.part().filters;
    let (mut at, mut first, mut group) = (0, 0, 0);
    while group < shape.groups {
        let channels = layout.block_at(first, all);
        let mut c = 0;
        while c < channels && first + c < all {
            let o = group * all + first + c;
            packed[at + c] = numbers.bias[o].to_bits();
            let mut tap = 0;
            while tap < len {
                packed[at + channels + tap * channels + c] = numbers.filters[o * len + tap].to_bits();
                tap += 1;
            }
            c += 1;
        }
        at += channels * (1 + len);
        first += channels;
        if first >= all {
            (first, group) = (0, group + 1);
        }
    }
    Ok(())
}
