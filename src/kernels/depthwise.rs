//! The body of every depthwise convolution.
//!
//! Channels do not meet, so a few of them go through the whole picture before the next: a *block*. A few input rows of a
//! block at a time, a *band*, are widened and padded into scratch memory, and rows that the next band needs as well move
//! to its front. A backend chooses between two layouts of the band:
//!
//! * *lanes*: the channels of a pixel side by side, for vectors of channels ([`in_lanes`] is the loop over a few
//!   instructions). With a multiplier a channel stands once for each of its filters.
//! * *planes*: the pixels of a channel side by side, so that one instruction multiplies neighbouring taps.

use super::finish::{Finish, IntegerEpilogue, Sums};
use super::{Backend, Clamp, Epilogue, Int16x8, MicroKernel, Progress, Routine, Saturate, fill, push, sealed::Sealed};
use crate::arch::{DepthwiseInt16, Native, depthwise_routine, requantization};
use crate::pack::{
    Activations, F32Filters, Int8Filters, check_reach, check_scales, common, folded_term, parameter_words,
    requantization_parameters,
};
use crate::quant::{CommonRequantization, Rounding, RoundingMode};
use crate::shape::{DepthwiseConv2dShape, Shape, ShapeError};
use bytemuck::Pod;
use core::hint::{assert_unchecked, black_box};
use core::marker::PhantomData;

/// How a kernel wants a band and its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Output channels whose weights lie side by side; 1 with planes.
    pub lanes: usize,
    /// Input channels of a block, each a plane of its own; 0 for lanes.
    pub planes: usize,
    /// Taps of one channel that a multiplication takes.
    pub group: usize,
    /// The order of taps.
    pub order: Order,
    /// Words of scratch memory that a band and its sums may take, if they can do with so few.
    pub scratch: usize,
}

/// In which order the taps of a filter are packed, in groups that multiplications take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That of the filter, rows one after the other; a missing tap at the end is zero.
    Filter,
    /// Only taps that lie side by side in a row share a group; missing ones are zeros. Where
    /// [`folds`] says so, a row of three taps is packed as the pairs `0 1` and `2 1` instead.
    Rows,
    /// Where [`fits_window`] says so, all taps of a channel side by side, four by four places `[column][row]`. Filters of
    /// fewer rows leave the first place of a column free: moved by one place, they begin with it. Other filters as in
    /// [`Filter`](Self::Filter).
    Windows,
}

/// Whether a filter is packed as a window of four by four taps in [`Order::Windows`]: it has no more, side by side, and a
/// horizontal stride of 1 or 2.
pub const fn fits_window(shape: &DepthwiseConv2dShape) -> bool {
    let ([height, width], [down, across]) = (shape.filter, shape.dilation);
    height <= WINDOW && width <= WINDOW && down == 1 && across == 1 && shape.stride[1] <= 2
}

/// Height and width of a window.
const WINDOW: usize = 4;

/// Whether a filter is packed as pairs `0 1` and `2 1` of each row in [`Order::Rows`]: three by three taps, not dilated
/// across, and a horizontal stride of 1 or 2.
///
/// With activations `a b` and `c d` in words, `a * 0 + b * 1 + c * 2` and its neighbour `b * 0 + c * 1 + d * 2` take two
/// instructions each, as a multiplication of pairs may exchange one's halves: `c * 1 + d * 2` is `(c d)` times `(2 1)`.
pub const fn folds(shape: &DepthwiseConv2dShape) -> bool {
    shape.filter[0] == 3 && shape.filter[1] == 3 && shape.dilation[1] == 1 && shape.stride[1] <= 2
}

/// The taps of a filter in the order of a layout.
#[derive(Clone, Copy, Debug)]
struct Taps {
    filter: [usize; 2],
    /// Places in a row of the filter, missing taps counted.
    width: usize,
    /// Places in all.
    count: usize,
    /// Groups, and the places of each.
    groups: [usize; 2],
    pattern: Pattern,
}

/// Which tap is at a place in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    /// The tap of that number.
    Plain,
    /// A tap alone in each group of so many.
    Apart(usize),
    /// 0 1 2 1.
    Folded,
    /// Rows are columns, and a column begins so many places in.
    Window(usize),
}

impl Taps {
    const fn new(shape: &DepthwiseConv2dShape, layout: &Layout) -> Self {
        let filter = shape.filter;
        let (width, pattern) = match layout.order {
            Order::Windows if fits_window(shape) => {
                let skipped = if filter[0] < WINDOW { 1 } else { 0 };
                let pattern = Pattern::Window(skipped);
                let places = WINDOW * WINDOW;
                return Self { filter, width: WINDOW, count: places, groups: [1, places], pattern };
            }
            Order::Filter | Order::Windows => (filter[1], Pattern::Plain),
            Order::Rows if folds(shape) => (4, Pattern::Folded),
            Order::Rows if shape.dilation[1] == 1 => (filter[1].next_multiple_of(layout.group), Pattern::Plain),
            Order::Rows => (filter[1] * layout.group, Pattern::Apart(layout.group)),
        };
        let groups = (filter[0] * width).div_ceil(layout.group);
        Self { filter, width, count: groups * layout.group, groups: [groups, layout.group], pattern }
    }

    /// Row and column of the tap at a place, or `None` where one is missing.
    const fn at(&self, place: usize) -> Option<[usize; 2]> {
        let (row, within) = (place / self.width, place % self.width);
        let column = match self.pattern {
            Pattern::Plain => within,
            Pattern::Apart(group) if within.is_multiple_of(group) => within / group,
            Pattern::Apart(_) => return None,
            Pattern::Folded if within == 3 => 1,
            Pattern::Folded => within,
            Pattern::Window(skipped) => {
                let taken = within >= skipped && within - skipped < self.filter[0] && row < self.filter[1];
                return if taken { Some([within - skipped, row]) } else { None };
            }
        };
        if row < self.filter[0] && column < self.filter[1] { Some([row, column]) } else { None }
    }
}

/// The part of a depthwise convolution that differs from core to core.
pub trait DepthwiseKernel: Sealed + 'static {
    /// The type of the input tensor.
    type Input: Pod;
    /// What weights are widened to when they are packed: of one, two or four bytes.
    type Weight: Pod;
    /// What rows are widened to; its size divides a word's.
    type Activation: Pod;
    /// The type of sums, a word.
    type Accumulator: Pod + PartialOrd;
    /// How bands and weights are laid out.
    const LAYOUT: Layout;
    /// The lanes where a layer has no more channels than these.
    const NARROW: usize = Self::LAYOUT.lanes;
    /// Whether [`load_rows`](Self::load_rows) takes a block whose last lanes have no channel.
    const PARTIAL: bool = false;
    /// Words behind the band that loads may read.
    const OVERREAD: usize = 0;

    /// The value that stands for `value` in a band.
    fn widen(value: Self::Input) -> Self::Activation;

    /// Widens part of a row of a whole block: `lanes` or `planes` neighbouring channels of each pixel.
    ///
    /// # Safety
    /// * `from` is valid for reads of those channels for each of `pixels` pixels, `stride` values apart.
    /// * `to` is valid for writes of as many activations: pixel after pixel with lanes; with planes one channel's pixels
    ///   side by side, and `plane` activations further the next channel's.
    /// * The backend is available on this machine.
    unsafe fn load_row(
        from: *const Self::Input,
        stride: usize,
        pixels: usize,
        to: *mut Self::Activation,
        plane: usize,
    ) {
        let Layout { lanes, planes, .. } = Self::LAYOUT;
        let (channels, steps) = if planes > 0 { (planes, [1, plane]) } else { (lanes, [lanes, 1]) };
        for c in 0..channels {
            // SAFETY: the caller's promise.
            unsafe { load_channel::<Self>(from.add(c), stride, pixels, to.add(c * steps[1]), steps[0]) }
        }
    }

    /// Widens rows of a whole block: [`load_row`](Self::load_row) for each, unless the backend has better.
    ///
    /// # Safety
    /// What [`Load`] says; `lanes` or `planes` channels are there, or `channels` with [`PARTIAL`](Self::PARTIAL). The backend is available on this machine.
    unsafe fn load_rows(load: &Load<Self>) {
        for row in 0..load.rows {
            // SAFETY: the caller's promise.
            unsafe {
                let (from, to) = (load.from.add(row * load.from_row), load.to.add(row * load.to_row));
                Self::load_row(from, load.from_pixel, load.pixels, to, load.plane);
            }
        }
    }

    /// Moves activations, whole words of them, to a lower address; where they lay may overlap where they go.
    ///
    /// # Safety
    /// `from` is valid for reads of `count` activations, `to` for writes, and `to` is not above `from`. The backend is
    /// available on this machine.
    unsafe fn move_down(from: *const Self::Activation, to: *mut Self::Activation, count: usize) {
        // SAFETY: the caller's promise.
        unsafe { move_down(from.cast(), to.cast(), count / (4 / size_of::<Self::Activation>())) }
    }

    /// The routine for a shape, where the backend has several: what constant evaluation chooses, here at run time.
    fn routine(shape: &DepthwiseConv2dShape) -> Option<Routine> {
        let _ = shape;
        None
    }

    /// Computes `bias + sum over taps of activation * weight` for all pixels of a band: to `[row][column][lane]`.
    ///
    /// # Safety
    /// * `accumulators` is valid for writes of those values, and of one more with planes.
    /// * `activations + taps[t] + row * row_step + column * pixel_step` is valid for reads of `lanes` values for every
    ///   place `t` of a tap; with planes of a group, aligned to an activation, and the whole band is as
    ///   [`DepthwiseKernel::load_rows`] left it.
    /// * `weights` are `groups * lanes * group` packed values, aligned to a word, and a word more with windows; `bias` holds `lanes` values.
    /// * The backend is available on this machine, and `routine` was chosen by it for the shape.
    unsafe fn sums(band: &Band<Self>, accumulators: *mut Self::Accumulator);

    /// Requantizes sums channel by channel, where no vectors finish them.
    ///
    /// # Safety
    /// The sums and parameters are there, and so is room for the outputs; there is neither pooling nor are there phases.
    /// The backend is available on this machine.
    unsafe fn requantize<E: IntegerEpilogue>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut E::Output)
    where
        Self: DepthwiseKernel<Accumulator = i32>,
    {
        // SAFETY: the caller's promise.
        unsafe { finish_by_channel::<E>(strip, common, output) }
    }
}

/// Rows of the input that are widened into the band; laid out for assembly.
#[repr(C)]
pub struct Load<K: DepthwiseKernel + ?Sized> {
    /// The first row's first pixel, valid for reads of `rows` times `pixels` pixels.
    pub from: *const K::Input,
    /// Values from one pixel to the next.
    pub from_pixel: usize,
    /// Values from one row to the next.
    pub from_row: usize,
    /// Pixels in a row, at least 1.
    pub pixels: usize,
    /// Rows.
    pub rows: usize,
    /// Where the first row's first pixel goes, valid for writes: pixel after pixel with lanes; with planes one channel's
    /// pixels side by side.
    pub to: *mut K::Activation,
    /// Activations from one row to the next; they fill whole words.
    pub to_row: usize,
    /// Activations from one plane to the next; they fill whole words.
    pub plane: usize,
    /// The lanes of a pixel.
    pub lanes: usize,
    /// Those that have a channel.
    pub channels: usize,
}

impl<K: DepthwiseKernel> Load<K> {
    /// Calls `pixel` with the places that each pixel comes from and goes to, in lanes.
    #[inline(always)]
    pub fn for_each_pixel(&self, pixel: impl Fn(*const K::Input, *mut K::Activation)) {
        let (mut row, mut to_row) = (self.from, self.to);
        for _ in 0..self.rows {
            // The last steps may leave the memory, so they wrap.
            let (mut from, mut to) = (row, to_row);
            for _ in 0..self.pixels {
                pixel(from, to);
                from = from.wrapping_add(self.from_pixel);
                to = to.wrapping_add(lanes::<K>(self.lanes));
            }
            row = row.wrapping_add(self.from_row);
            to_row = to_row.wrapping_add(self.to_row);
        }
    }
}

/// What the sums of a band read; laid out for assembly.
#[repr(C)]
pub struct Band<K: DepthwiseKernel + ?Sized> {
    /// Where the first pixel's first tap is.
    pub activations: *const K::Activation,
    /// The packed weights: `[group][lane][tap of the group]`.
    pub weights: *const K::Weight,
    /// What the sums start with.
    pub bias: *const K::Accumulator,
    /// Offsets of the taps, in activations, in the order of the weights; a missing tap has another's. Not for windows.
    pub taps: *const u32,
    /// Groups of taps.
    pub groups: usize,
    /// Output pixels in a row, at least 1.
    pub columns: usize,
    /// Distance between neighbouring output pixels, in activations.
    pub pixel_step: usize,
    /// Output rows, at least 1.
    pub rows: usize,
    /// Distance between output rows, in activations.
    pub row_step: usize,
    /// Distance between the rows of a filter, in activations.
    pub filter_step: usize,
    /// The routine to use, where the backend has several.
    pub routine: Option<Routine>,
    /// Height and width of the filter.
    pub filter: [usize; 2],
    /// The lanes of a pixel.
    pub lanes: usize,
}

/// The lanes of a pixel: a constant where all layers have as many.
#[inline(always)]
const fn lanes<K: DepthwiseKernel + ?Sized>(lanes: usize) -> usize {
    if K::NARROW == K::LAYOUT.lanes { K::LAYOUT.lanes } else { lanes }
}

/// The instructions that [`in_lanes`] needs.
///
/// The safety of every function has one condition in common: the backend is available on this machine.
pub trait Lanes: DepthwiseKernel {
    /// Channels at once, a divisor of the layout's lanes.
    const COUNT: usize;
    /// Their sums.
    type Sums: Copy;
    /// Their weights for a group of taps.
    type Weights: Copy;

    /// What the sums start with.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` values.
    unsafe fn start(from: *const Self::Accumulator) -> Self::Sums;

    /// Reads weights.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` times the layout's `group` values.
    unsafe fn weights(from: *const Self::Weight) -> Self::Weights;

    /// Adds the products of a group of one or two taps, whose activations begin at `taps`; with one tap both are the
    /// same.
    ///
    /// # Safety
    /// Both are valid for reads of `COUNT` values, at any address.
    unsafe fn multiply_add(sums: Self::Sums, taps: [*const Self::Activation; 2], weights: Self::Weights) -> Self::Sums;

    /// Writes sums.
    ///
    /// # Safety
    /// `to` is valid for writes of `COUNT` values.
    unsafe fn store(sums: Self::Sums, to: *mut Self::Accumulator);
}

/// [`DepthwiseKernel::sums`] with channels in lanes, `PIXELS` pixels at a time; inlined into a function that enables the
/// backend's instructions.
///
/// # Safety
/// As [`DepthwiseKernel::sums`].
#[inline(always)]
pub unsafe fn in_lanes<L: Lanes, const PIXELS: usize>(band: &Band<L>, mut accumulators: *mut L::Accumulator) {
    const { assert!(L::LAYOUT.planes == 0 && L::LAYOUT.lanes % L::COUNT == 0 && L::LAYOUT.group <= 2) };
    let lanes = lanes::<L>(band.lanes);
    for row in 0..band.rows {
        // SAFETY: the caller's promise, for the pixels of this row.
        unsafe {
            let mut pixel = band.activations.add(row * band.row_step);
            let mut left = band.columns;
            while left >= PIXELS {
                for lane in (0..lanes).step_by(L::COUNT) {
                    tile::<L, PIXELS>(band, pixel.add(lane), lane, accumulators.add(lane));
                }
                pixel = pixel.wrapping_add(PIXELS * band.pixel_step);
                accumulators = accumulators.add(PIXELS * lanes);
                left -= PIXELS;
            }
            while left > 0 {
                for lane in (0..lanes).step_by(L::COUNT) {
                    tile::<L, 1>(band, pixel.add(lane), lane, accumulators.add(lane));
                }
                pixel = pixel.wrapping_add(band.pixel_step);
                accumulators = accumulators.add(lanes);
                left -= 1;
            }
        }
    }
}

/// The sums of `PIXELS` pixels and the `COUNT` channels from `lane` on.
///
/// # Safety
/// As [`DepthwiseKernel::sums`], for the pixels from `pixel` on.
#[inline(always)]
unsafe fn tile<L: Lanes, const PIXELS: usize>(
    band: &Band<L>,
    pixel: *const L::Activation,
    lane: usize,
    accumulators: *mut L::Accumulator,
) {
    let (lanes, group) = (lanes::<L>(band.lanes), L::LAYOUT.group);
    // SAFETY: the caller's promise; the last step of the weights may leave them, so it wraps and is not followed.
    unsafe {
        let mut sums = [L::start(band.bias.add(lane)); PIXELS];
        let mut weights = band.weights.add(lane * group);
        let mut taps = band.taps;
        for _ in 0..band.groups {
            let group_weights = L::weights(weights);
            let first = *taps as usize;
            let second = if group == 2 { *taps.add(1) as usize } else { first };
            for (p, sums) in sums.iter_mut().enumerate() {
                let pixel = pixel.add(p * band.pixel_step);
                *sums = L::multiply_add(*sums, [pixel.add(first), pixel.add(second)], group_weights);
            }
            weights = weights.wrapping_add(lanes * group);
            taps = taps.wrapping_add(group);
        }
        for (p, sums) in sums.into_iter().enumerate() {
            L::store(sums, accumulators.add(p * lanes));
        }
    }
}

/// Widens one channel of a row.
///
/// # Safety
/// As [`DepthwiseKernel::load_row`], for one channel; its activations are `step` apart.
#[inline(never)]
unsafe fn load_channel<K: DepthwiseKernel + ?Sized>(
    mut from: *const K::Input,
    stride: usize,
    pixels: usize,
    mut to: *mut K::Activation,
    step: usize,
) {
    for _ in 0..pixels {
        // SAFETY: the caller's promise; the last steps may leave the memory, so they wrap and are not followed.
        unsafe { to.write(K::widen(*from)) };
        from = from.wrapping_add(stride);
        to = to.wrapping_add(step);
    }
}

/// What follows from a shape for a kernel: how filters are packed and where things are in the scratch memory, which is
/// offsets of taps, then sums of a band, then the band. In a layer it is a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Places of taps, as [`Taps`] counts them.
    taps: usize,
    /// Height, width and channels of the output.
    output: Shape,
    /// Output channels whose weights lie side by side.
    lanes: usize,
    /// Words of the packed filters of as many channels as there are lanes.
    unit: usize,
    /// Words of all packed filters.
    packed: usize,
    /// Output rows of a band.
    rows: usize,
    /// Words of sums.
    sums: usize,
    /// Activations from one pixel of the input to the next.
    step: usize,
    /// Activations from one row of the band to the next.
    pitch: usize,
    /// Activations from one plane to the next.
    plane: usize,
    /// Words of the band.
    band: usize,
}

impl Plan {
    /// Words of scratch memory that [`Depthwise::take_row`] needs.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn words_by_row<B: Backend, E: DepthwiseEpilogue>(shape: &DepthwiseConv2dShape) -> usize {
        let words = Self::new::<B, E>(shape).stream_words::<E::Depthwise<B>>(shape);
        if words == usize::MAX {
            panic!("{}", ShapeError::TooLarge.message());
        }
        words
    }

    /// The plan for a shape.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn new<B: Backend, E: DepthwiseEpilogue>(shape: &DepthwiseConv2dShape) -> Self {
        if let Err(error) = shape.check() {
            panic!("{}", error.message());
        }
        Self::for_kernel::<E::Depthwise<B>>(shape, E::WORDS)
    }

    const fn for_kernel<K: DepthwiseKernel>(shape: &DepthwiseConv2dShape, parameter_words: usize) -> Self {
        let layout = K::LAYOUT;
        assert!(layout.planes == 0 || layout.lanes == 1, "a plane holds one channel");
        let taps = Taps::new(shape, &layout);
        let output = shape.output();
        let per_word = 4 / size_of::<K::Activation>();
        let lanes = if output[2] <= K::NARROW { K::NARROW } else { layout.lanes };
        // Windows are read from their second place on, too.
        let spare = if let Pattern::Window(_) = taps.pattern { 1 } else { 0 };
        let unit = lanes * (1 + parameter_words) + (taps.count * lanes * size_of::<K::Weight>()).div_ceil(4) + spare;

        let width = shape.input[1] + shape.padding[1] + shape.padding[3];
        let (step, planes) = if layout.planes > 0 { (1, layout.planes) } else { (lanes, 1) };
        let pitch = (width * step).next_multiple_of(per_word);
        let row_words = (pitch * planes / per_word) as u64;
        let sum_words = (output[1] * lanes) as u64;
        // In 64 bits: a row as wide as a large tensor, several times, would not fit a 32-bit usize.
        let fixed = row_words * shape.extent(0) as u64;
        let each = row_words * shape.stride[0] as u64 + sum_words;
        let spare = (layout.scratch as u64).saturating_sub(fixed + sum_words) / each;
        let rows = if spare + 1 < output[0] as u64 { spare as usize + 1 } else { output[0] };
        let band_rows = (rows - 1) * shape.stride[0] + shape.extent(0);
        let band = row_words * band_rows as u64;
        let sums = sum_words * rows as u64;
        if band + sums + taps.count as u64 + 2 > 1 << 29 {
            panic!("{}", ShapeError::TooLarge.message());
        }
        Self {
            taps: taps.count,
            output,
            lanes,
            unit,
            packed: output[2].div_ceil(lanes) * unit,
            rows,
            // A kernel that computes pixels in pairs writes one more.
            sums: sums as usize + 1,
            step,
            pitch,
            plane: band_rows * pitch,
            // Past the last row a group may hold taps that are missing.
            band: band as usize + 1 + K::OVERREAD,
        }
    }

    /// Words of packed filters.
    pub const fn packed_words(&self) -> usize {
        self.packed
    }

    /// Words of scratch memory.
    pub const fn scratch_words(&self) -> usize {
        self.taps + self.sums + self.band
    }

    /// Words of scratch memory of a convolution that runs row by row: it keeps the rows of all blocks. The most there are
    /// where it needs too many.
    const fn stream_words<K: DepthwiseKernel>(&self, shape: &DepthwiseConv2dShape) -> usize {
        let streamed = self.streamed::<K>(shape);
        let per_word = 4 / size_of::<K::Activation>();
        let (all, most) =
            if K::LAYOUT.planes > 0 { (shape.input[2], K::LAYOUT.planes) } else { (self.output[2], self.lanes) };
        let rows = all.div_ceil(most) as u64 * (streamed.block / per_word) as u64;
        let words = (self.taps + streamed.sums) as u64 + rows + 1 + K::OVERREAD as u64;
        if words > 1 << 29 { usize::MAX } else { words as usize }
    }

    /// Bands of one output row, all of which stay in memory.
    const fn streamed<K: DepthwiseKernel>(&self, shape: &DepthwiseConv2dShape) -> Bands {
        let plane = shape.extent(0) * self.pitch;
        let block = if K::LAYOUT.planes > 0 { K::LAYOUT.planes * plane } else { plane };
        Bands { rows: 1, plane, block, sums: self.output[1] * self.lanes + 1 }
    }
}

/// Where bands are.
#[derive(Clone, Copy, Debug)]
struct Bands {
    /// Output rows of a band.
    rows: usize,
    /// Activations from one plane to the next.
    plane: usize,
    /// Activations from the band of a block to that of the next; 0 where they share their place.
    block: usize,
    /// Words of sums.
    sums: usize,
}

/// An epilogue of layers that may be depthwise.
pub trait DepthwiseEpilogue: Epilogue {
    /// A backend's kernel for its types.
    type Depthwise<B: Backend>: DepthwiseKernel<Input = Self::Input, Accumulator = Self::Accumulator>;

    /// Finishes sums channel by channel.
    ///
    /// # Safety
    /// As [`DepthwiseKernel::requantize`].
    unsafe fn finish_channels<B: Backend>(
        strip: &Sums<Self::Accumulator>,
        common: &Self::Common,
        output: *mut Self::Output,
    );
}

impl<R: Rounding> DepthwiseEpilogue for R {
    type Depthwise<B: Backend> = B::DepthwiseInt8;

    unsafe fn finish_channels<B: Backend>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe { B::DepthwiseInt8::requantize::<R>(strip, common, output) }
    }
}

impl<R: Rounding> DepthwiseEpilogue for Saturate<R> {
    type Depthwise<B: Backend> = B::DepthwiseInt8;

    unsafe fn finish_channels<B: Backend>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut i8) {
        // SAFETY: the caller's promise.
        unsafe { B::DepthwiseInt8::requantize::<Self>(strip, common, output) }
    }
}

impl<R: Rounding> DepthwiseEpilogue for Int16x8<R> {
    type Depthwise<B: Backend> = DepthwiseInt16;

    unsafe fn finish_channels<B: Backend>(strip: &Sums<i32>, common: &CommonRequantization, output: *mut i16) {
        // SAFETY: the caller's promise.
        unsafe { finish_by_channel::<Self>(strip, common, output) }
    }
}

impl DepthwiseEpilogue for Clamp {
    type Depthwise<B: Backend> = B::DepthwiseFloat;

    unsafe fn finish_channels<B: Backend>(strip: &Sums<f32>, bounds: &[f32; 2], output: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { finish_by_channel::<Self>(strip, bounds, output) }
    }
}

/// A depthwise convolution on backend `B`: what it needs besides its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depthwise<B: Backend, E: DepthwiseEpilogue> {
    /// The geometry; it has passed its check.
    shape: DepthwiseConv2dShape,
    /// What follows from it.
    plan: Plan,
    /// What padding holds.
    fill: E::Input,
    /// What all channels share in the epilogue.
    common: E::Common,
    /// What finishes the sums.
    finish: Finish<E>,
    /// The routine that the backend has for the shape.
    routine: Option<Routine>,
    /// Values of memory that input and output take where they overlap.
    overlapping: usize,
    /// Words of scratch memory where it runs row by row.
    stream: usize,
    backend: PhantomData<B>,
}

impl<R: Rounding> Depthwise<Native, R> {
    /// An int8 convolution on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn int8(shape: DepthwiseConv2dShape, zero_point: i8, common: CommonRequantization) -> Self {
        let mut convolution = Self::new(shape, zero_point, common, depthwise_routine(&shape));
        if common.low == -128 && common.high == 127 {
            convolution.finish = finish::<Native, Saturate<R>>();
        }
        convolution.finished(requantization(&common, R::MODE, false))
    }
}

impl<R: Rounding> Depthwise<Native, Int16x8<R>> {
    /// A convolution of int16 values with int8 weights on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn int16(shape: DepthwiseConv2dShape, common: CommonRequantization) -> Self {
        Self::new(shape, 0, common, None)
    }
}

impl Depthwise<Native, Clamp> {
    /// A convolution in single precision on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn float(shape: DepthwiseConv2dShape, bounds: [f32; 2]) -> Self {
        Self::new(shape, 0.0, bounds, None)
    }
}

impl<B: Backend, E: DepthwiseEpilogue> Depthwise<B, E> {
    /// A convolution on any backend, made at run time; `fill` is what padding holds.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub fn dynamic(shape: DepthwiseConv2dShape, fill: E::Input, common: E::Common) -> Self {
        Self::new(shape, fill, common, E::Depthwise::<B>::routine(&shape))
            .finished(E::requantization::<B>(&common, false))
    }

    /// The same with what the backend finishes its numbers with.
    const fn finished(self, finish: Option<Finish<E>>) -> Self {
        match finish {
            Some(finish) => Self { finish, ..self },
            None => self,
        }
    }

    /// The routine is the one that the backend chooses for the shape.
    const fn new(shape: DepthwiseConv2dShape, fill: E::Input, common: E::Common, routine: Option<Routine>) -> Self {
        let plan = Plan::new::<B, E>(&shape);
        let (finish, overlapping, backend) = (finish::<B, E>(), shape.overlapping_len(), PhantomData);
        let stream = plan.stream_words::<E::Depthwise<B>>(&shape);
        Self { shape, plan, fill, common, finish, routine, overlapping, stream, backend }
    }

    /// The same on another backend.
    pub fn on<Other: Backend>(&self) -> Depthwise<Other, E> {
        Depthwise::dynamic(self.shape, self.fill, self.common)
    }

    /// Its geometry.
    pub const fn shape(&self) -> &DepthwiseConv2dShape {
        &self.shape
    }

    /// What it needs.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Convolution and epilogue. With constant lengths the checks vanish from optimized code.
    ///
    /// # Errors
    /// Where the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where this machine lacks the backend.
    #[inline(always)]
    pub fn run(
        &self,
        packed: &[u32],
        input: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        let len = |[h, w, c]: Shape| h * w * c;
        if input.len() != len(self.shape.input) {
            return Err(ShapeError::Input);
        }
        if output.len() != len(self.plan.output) {
            return Err(ShapeError::Output);
        }
        self.check(packed, scratch)?;
        // SAFETY: the lengths and the backend have just been checked. Only `new` makes a convolution, so that its plan
        // is that of `B` for the shape, and its routine the one that `B` chose for it.
        unsafe {
            body::<B, E, E::Depthwise<B>>(
                self,
                &self.all_rows(),
                packed.as_ptr(),
                input.as_ptr(),
                output.as_mut_ptr(),
                scratch.as_mut_ptr(),
            );
        }
        Ok(())
    }

    /// # Errors
    /// Where the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where this machine lacks the backend.
    #[inline(always)]
    fn check(&self, packed: &[u32], scratch: &[u32]) -> Result<(), ShapeError> {
        assert!(B::available(), "this machine cannot run the backend {}", B::NAME);
        if packed.len() != self.plan.packed {
            return Err(ShapeError::Packed);
        }
        if scratch.len() < self.plan.scratch_words() {
            return Err(ShapeError::Scratch);
        }
        Ok(())
    }
}

/// The rows that a call of the body reads and computes.
#[derive(Clone, Copy, Debug)]
struct Span {
    bands: Bands,
    /// The first output row and the one behind the last; `output` points to the first.
    rows: [usize; 2],
    /// The only input row that there is, in a convolution that runs row by row.
    row: Option<usize>,
}

impl<B: Backend, E: DepthwiseEpilogue> Depthwise<B, E> {
    /// The whole picture.
    #[inline(always)]
    const fn all_rows(&self) -> Span {
        let Plan { rows, plane, sums, output, .. } = self.plan;
        Span { bands: Bands { rows, plane, block: 0, sums }, rows: [0, output[0]], row: None }
    }

    /// Words of scratch memory that [`take_row`](Self::take_row) needs.
    pub const fn stream_words(&self) -> usize {
        self.stream
    }

    /// Takes an input row, and computes an output row where `at` says that it is ready. All rows come in order, a row again
    /// as long as output rows are ready.
    ///
    /// # Errors
    /// Where the length of a slice is not the shape's, or there is no such output row.
    ///
    /// # Panics
    /// Where this machine lacks the backend.
    #[inline(always)]
    pub fn take_row(
        &self,
        at: &Progress,
        packed: &[u32],
        row: &[E::Input],
        output: &mut [E::Output],
        scratch: &mut [u32],
    ) -> Result<(), ShapeError> {
        assert!(B::available(), "this machine cannot run the backend {}", B::NAME);
        let ([height, width, channels], [out_height, columns, filters]) = (self.shape.input, self.plan.output);
        if row.len() != width * channels || at.read >= height {
            return Err(ShapeError::Input);
        }
        if output.len() != columns * filters || at.written >= out_height + usize::from(!at.ready) {
            return Err(ShapeError::Output);
        }
        if packed.len() != self.plan.packed {
            return Err(ShapeError::Packed);
        }
        if scratch.len() < self.stream {
            return Err(ShapeError::Scratch);
        }
        let rows = [at.written, at.written + usize::from(at.ready)];
        let span = Span { bands: self.plan.streamed::<E::Depthwise<B>>(&self.shape), rows, row: Some(at.read) };
        // As if the rows before this one were there. The body reads this one alone.
        let input = row.as_ptr().wrapping_sub(at.read * row.len());
        // SAFETY: as in `run`, for one output row at most, and one input row.
        unsafe {
            body::<B, E, E::Depthwise<B>>(
                self,
                &span,
                packed.as_ptr(),
                input,
                output.as_mut_ptr(),
                scratch.as_mut_ptr(),
            );
        }
        Ok(())
    }
}

impl<B: Backend, T: Pod, E: DepthwiseEpilogue<Input = T, Output = T>> Depthwise<B, E> {
    /// [`run`](Self::run) of the last values of `memory` to its first.
    ///
    /// # Errors
    /// Where the length of a slice is not the shape's, `memory` is shorter than
    /// [`DepthwiseConv2dShape::overlapping_len`], or the input does not begin whole pixels behind the output.
    ///
    /// # Panics
    /// Where this machine lacks the backend.
    #[inline(always)]
    pub fn run_overlapping(&self, packed: &[u32], memory: &mut [T], scratch: &mut [u32]) -> Result<(), ShapeError> {
        let [height, width, channels] = self.shape.input;
        // SAFETY: a shape has a channel. The division needs no test then.
        unsafe { assert_unchecked(channels > 0) };
        if memory.len() < self.overlapping || !memory.len().is_multiple_of(channels) {
            return Err(ShapeError::Overlap);
        }
        self.check(packed, scratch)?;
        let output = memory.as_mut_ptr();
        // SAFETY: as in `run`. The memory has room for the input, which ends with it, and for the output, which begins
        // with it: no shorter than `overlapping_len` and of whole pixels, it keeps the output from values that are still
        // to be read.
        unsafe {
            let input = output.add(memory.len() - height * width * channels);
            body::<B, E, E::Depthwise<B>>(self, &self.all_rows(), packed.as_ptr(), input, output, scratch.as_mut_ptr());
        }
        Ok(())
    }
}

/// Rows of a block of channels are read and written in the order that [`DepthwiseConv2dShape::overlap`] tells of, or
/// several rows are read before as many are written.
///
/// # Safety
/// As [`Depthwise::run`]; the pointers are to as much memory as the shape says. Input and output may overlap as
/// [`Depthwise::run_overlapping`] has it, where the types are the same.
#[inline(never)]
unsafe fn body<B: Backend, E: DepthwiseEpilogue, K: DepthwiseKernel<Input = E::Input, Accumulator = E::Accumulator>>(
    convolution: &Depthwise<B, E>,
    span: &Span,
    packed: *const u32,
    input: *const E::Input,
    output: *mut E::Output,
    scratch: *mut u32,
) {
    // Not known here: the compiler would make copies of this for some of a network's layers.
    let convolution = black_box(convolution);
    let Depthwise { shape, plan, .. } = convolution;
    let planes = K::LAYOUT.planes;
    let taps = Taps::new(shape, &K::LAYOUT);
    let lanes = plan.lanes;
    let [_, out_w, out_c] = plan.output;
    let &Span { bands, rows: [first_row, end_row], row } = span;
    // SAFETY: table, sums and band follow each other in the scratch memory, which has room for them.
    let (sums, band) = unsafe {
        let sums = scratch.add(plan.taps);
        (sums.cast::<K::Accumulator>(), sums.add(bands.sums).cast::<K::Activation>())
    };
    let mut rows = Rows::<K> { shape, plan, bands, input, band, fill: K::widen(convolution.fill) };
    let len = if row.is_some() { convolution.stream - plan.taps - bands.sums } else { plan.band };
    // SAFETY: as above; the table has a word for each place of a tap.
    unsafe {
        if matches!(row, None | Some(0)) {
            rows.clear(len);
        }
        // Windows need none.
        if !matches!((K::LAYOUT.order, taps.pattern), (Order::Windows, Pattern::Window(_))) {
            write_offsets(shape, &taps, plan, scratch);
        }
    }
    let mut job = Band::<K> {
        activations: band,
        weights: packed.cast(),
        bias: packed.cast(),
        taps: scratch,
        groups: taps.groups[0],
        columns: out_w,
        pixel_step: shape.stride[1] * plan.step,
        rows: plan.rows,
        row_step: shape.stride[0] * plan.pitch,
        filter_step: shape.dilation[0] * plan.pitch,
        routine: convolution.routine,
        filter: shape.filter,
        lanes,
    };
    let mut strip = Sums {
        sums,
        parameters: packed,
        pixels: 1,
        channels: lanes,
        pool: [1, 1],
        phases: 1,
        columns: out_w,
        present: lanes,
        stride: out_c,
    };
    // Planes are of input channels, each with its filters; lanes are of output channels.
    let (all, most, filters) = if planes > 0 { (shape.input[2], planes, shape.multiplier) } else { (out_c, lanes, 1) };
    // Where one band is the whole picture, the same places are loaded in every block.
    let whole = row.is_none() && bands.rows == end_row;
    // SAFETY: the band is as the plan says.
    let places_of_all = if whole { unsafe { rows.advance(0, end_row) } } else { [0, 0] };
    let (mut first, mut units, mut out_block) = (0, packed, output);
    while first < all {
        let channels = most.min(all - first);
        strip.present = if planes > 0 { 1 } else { channels };
        let (mut y, mut out_band) = (first_row, out_block);
        let mut next;
        loop {
            job.rows = bands.rows.min(end_row - y);
            strip.columns = job.rows * out_w;
            job.activations = rows.band;
            next = units;
            let mut out = out_band;
            // SAFETY: the block's channels are of the shape, and so are the band's rows.
            unsafe {
                let places = match row {
                    None if whole => places_of_all,
                    None => rows.advance(y, job.rows),
                    Some(row) => rows.place(row, y),
                };
                rows.load(first, channels, y, places);
            }
            if job.rows == 0 {
                // An input row alone.
                break;
            }
            // One loop over the filters of all planes.
            let (mut units_left, mut of_plane) = (if planes > 0 { channels * filters } else { 1 }, filters);
            while units_left > 0 {
                // SAFETY: `packed` holds these channels, and the scratch memory a band and its sums, as the plan says.
                // The band is loaded and the offsets are written. The output has room for these channels of the band's
                // pixels.
                unsafe {
                    job.bias = next.cast();
                    strip.parameters = next.add(lanes);
                    job.weights = next.add(lanes * (1 + E::WORDS)).cast();
                    K::sums(&job, sums);
                    (convolution.finish)(&strip, &convolution.common, out);
                    out = out.add(strip.present);
                    next = next.add(plan.unit);
                }
                (units_left, of_plane) = (units_left - 1, of_plane - 1);
                if of_plane == 0 {
                    of_plane = filters;
                    job.activations = job.activations.wrapping_add(bands.plane);
                }
            }
            out_band = out_band.wrapping_add(job.rows * out_w * out_c);
            y += job.rows;
            if row.is_some() {
                // SAFETY: these rows were read, and are the band's.
                unsafe { rows.advance(y, 1) };
            }
            if y == end_row {
                break;
            }
        }
        rows.band = rows.band.wrapping_add(bands.block);
        units = next;
        out_block = out_block.wrapping_add(channels * filters);
        first += channels;
    }
}

/// Writes the offset of each place of a tap.
///
/// # Safety
/// `table` is valid for writes of a word for each place.
unsafe fn write_offsets(shape: &DepthwiseConv2dShape, taps: &Taps, plan: &Plan, table: *mut u32) {
    let &Taps { filter, width, count, pattern, .. } = taps;
    let step = shape.dilation[1] * plan.step;
    let apart = if let Pattern::Apart(group) = pattern { group } else { 1 };
    let (mut at, mut row, mut offset) = (table, 0, 0);
    for _ in 0..filter[0] {
        offset = row;
        for column in 0..filter[1] {
            offset = row + column * step;
            for _ in 0..apart {
                // SAFETY: the caller's promise.
                at = unsafe { push(at, offset as u32) };
            }
        }
        // A place without a tap has the offset of one before it; in a folded row it is the middle tap once more.
        offset -= if pattern == Pattern::Folded { step } else { 0 };
        for _ in filter[1] * apart..width {
            // SAFETY: the caller's promise.
            at = unsafe { push(at, offset as u32) };
        }
        row += shape.dilation[0] * plan.pitch;
    }
    for _ in filter[0] * width..count {
        // SAFETY: the caller's promise.
        at = unsafe { push(at, offset as u32) };
    }
}

/// What finishes sums on a backend. Chosen in constant evaluation, so that firmware links what its layers use.
const fn finish<B: Backend, E: DepthwiseEpilogue>() -> Finish<E> {
    let layout = <E::Depthwise<B> as DepthwiseKernel>::LAYOUT;
    // Strips are finished in the least vectors that the backend's blocks may have.
    let vector = <E::Kernel<B> as MicroKernel>::CONVOLUTION.tail;
    let whole = layout.planes == 0 && layout.lanes.is_multiple_of(vector);
    if <E::Kernel<B> as MicroKernel>::FINISHES_STRIPS && whole { E::finish_strip::<B> } else { E::finish_channels::<B> }
}

/// `Finish` without vectors: channel after channel, whose parameters stay in registers.
///
/// # Safety
/// As `Finish`; without pooling and phases.
#[inline(never)]
pub unsafe fn finish_by_channel<E: Epilogue>(strip: &Sums<E::Accumulator>, common: &E::Common, output: *mut E::Output) {
    const { assert!(E::WORDS <= 2) };
    let common = *common;
    for c in 0..strip.present {
        // SAFETY: the caller's promise; the last steps may leave the memory, so they wrap and are not followed.
        unsafe {
            let mut words = [0; 2];
            for (w, word) in words.iter_mut().enumerate().take(E::WORDS) {
                *word = *strip.parameters.add(w * strip.channels + c);
            }
            let (mut sum, mut out) = (strip.sums.add(c), output.add(c));
            for _ in 0..strip.columns {
                out.write(E::finish(*sum, &words, &common));
                sum = sum.wrapping_add(strip.channels);
                out = out.wrapping_add(strip.stride);
            }
        }
    }
}

/// Moves words to a lower address, some at a time: on small cores faster than `memmove`.
///
/// # Safety
/// `from` is valid for reads of so many words, and `to`, below it, for writes.
#[inline(never)]
unsafe fn move_down(mut from: *const u32, mut to: *mut u32, words: usize) {
    const TOGETHER: usize = 4;
    for _ in 0..words / TOGETHER {
        // SAFETY: the caller's promise. Words are read before they are written, and a write is below all later reads.
        unsafe { to.cast::<[u32; TOGETHER]>().write(from.cast::<[u32; TOGETHER]>().read()) };
        (from, to) = (from.wrapping_add(TOGETHER), to.wrapping_add(TOGETHER));
    }
    for _ in 0..words % TOGETHER {
        // SAFETY: as above.
        to = unsafe { push(to, *from) };
        from = from.wrapping_add(1);
    }
}

/// The band of widened input rows.
struct Rows<'a, K: DepthwiseKernel> {
    shape: &'a DepthwiseConv2dShape,
    plan: &'a Plan,
    bands: Bands,
    input: *const K::Input,
    band: *mut K::Activation,
    fill: K::Activation,
}

impl<K: DepthwiseKernel> Rows<'_, K> {
    /// Fills the bands and their borders with padding; only the inside of rows is written from then on.
    ///
    /// # Safety
    /// The bands are valid for writes of so many words.
    unsafe fn clear(&self, words: usize) {
        let len = words * (4 / size_of::<K::Activation>());
        // SAFETY: the caller's promise.
        unsafe { fill(self.band, len, self.fill) };
    }

    /// Moves rows that were needed before and are again to the front of the band, and fills those that lie outside of the
    /// input, for `rows` output rows from `y` on. Output rows come in order, as many at a time as a band has, except the
    /// last. Returns the places in the band where the others begin and end, which are to be loaded.
    ///
    /// # Safety
    /// The band is valid for what the shape says.
    #[inline(never)]
    unsafe fn advance(&self, y: usize, rows: usize) -> [usize; 2] {
        let Self { shape, plan, bands, .. } = self;
        let [height, width, _] = shape.input;
        let [stride, extent] = [shape.stride[0], shape.extent(0)];
        let parts = if K::LAYOUT.planes > 0 { K::LAYOUT.planes } else { 1 };
        // Rows that the band before this one ended with.
        let kept = if y == 0 { 0 } else { extent.saturating_sub(stride) };
        if kept > 0 {
            for part in 0..parts {
                // SAFETY: both places are in the plane, as `kept` rows follow the first rows of a whole band.
                unsafe {
                    let plane = self.band.add(part * bands.plane);
                    K::move_down(plane.add(bands.rows * stride * plan.pitch), plane, kept * plan.pitch);
                }
            }
        }
        // Rows of the band that lie in the input; the others are padding. Rows count the padding above the input as rows.
        let all = (rows - 1) * stride + extent;
        let [begin, end] = [shape.padding[0], shape.padding[0] + height];
        let [begin, end] = [begin, end].map(|row| row.saturating_sub(y * stride).max(kept).min(all));
        let left = shape.padding[1] * plan.step;
        // Where one band is the whole picture, they stay what they were filled with at first.
        let padded = if bands.rows < plan.output[0] { kept..all } else { 0..0 };
        for row in padded.filter(|row| !(begin..end).contains(row)) {
            for part in 0..parts {
                // SAFETY: the row lies in the band, its padding on both sides.
                unsafe {
                    fill(self.band.add(row * plan.pitch + left + part * bands.plane), width * plan.step, self.fill);
                }
            }
        }
        [begin, end]
    }

    /// Where an input row belongs in the band of output row `y`: the place and the one behind it, or none, twice the same.
    const fn place(&self, row: usize, y: usize) -> [usize; 2] {
        let (row, first) = (row + self.shape.padding[0], y * self.shape.stride[0]);
        if row < first || row - first >= self.shape.extent(0) { [0, 0] } else { [row - first, row - first + 1] }
    }

    /// Loads the rows at these places of the band that begins with output row `y`, for the block of `count` channels from
    /// `first` on.
    ///
    /// # Safety
    /// Channels and rows are the shape's, and the band and the input are valid for what the shape says.
    unsafe fn load(&self, first: usize, count: usize, y: usize, [begin, end]: [usize; 2]) {
        let Self { shape, plan, bands, .. } = self;
        let (planes, lanes) = (K::LAYOUT.planes, plan.lanes);
        let [_, width, channels] = shape.input;
        // A copy: what is written to the band cannot change it, so that the assumption lasts.
        let multiplier = shape.multiplier;
        // SAFETY: a channel has a filter. The division needs no test then.
        unsafe { assert_unchecked(multiplier > 0) };
        let whole = if planes > 0 { count == planes } else { (K::PARTIAL || count == lanes) && shape.multiplier == 1 };
        let left = shape.padding[1] * plan.step;
        let from_row = width * channels;
        let load = Load::<K> {
            // Not followed where no row lies in the input.
            from: self
                .input
                .wrapping_add((y * shape.stride[0] + begin).wrapping_sub(shape.padding[0]).wrapping_mul(from_row)),
            from_pixel: channels,
            from_row,
            pixels: width,
            rows: end.saturating_sub(begin),
            to: self.band.wrapping_add(begin * plan.pitch + left),
            to_row: plan.pitch,
            plane: bands.plane,
            lanes,
            channels: count,
        };
        // SAFETY: these rows lie in the input and in the band, and the channels are of the input.
        unsafe {
            if whole {
                K::load_rows(&Load { from: load.from.wrapping_add(first), ..load });
                return;
            }
            for c in 0..count {
                let (channel, to, step) = if planes > 0 {
                    (first + c, load.to.wrapping_add(c * bands.plane), 1)
                } else {
                    ((first + c) / multiplier, load.to.wrapping_add(c), lanes)
                };
                for row in 0..load.rows {
                    let (from, to) = (load.from.add(row * from_row + channel), to.add(row * plan.pitch));
                    load_channel::<K>(from, channels, width, to, step);
                }
            }
        }
    }
}

/// Checks the lengths of filters and biases.
const fn check_lengths(shape: &DepthwiseConv2dShape, filters: usize, bias: usize) -> Result<(), ShapeError> {
    if let Err(error) = shape.check() {
        return Err(error);
    }
    if filters != shape.channels() * shape.filter_len() {
        return Err(ShapeError::DepthwiseFilters);
    }
    if bias != shape.channels() {
        return Err(ShapeError::Channels);
    }
    Ok(())
}

/// Packs a depthwise convolution of these activations with int8 weights for the kernel `K`; `numbers.filters` are `[height][width][output channel]`.
///
/// # Errors
/// Where a length is not the shape's, a weight is -128, a scale is unusable, or an accumulator could overflow.
pub(crate) const fn pack_integers<K: DepthwiseKernel>(
    shape: &DepthwiseConv2dShape,
    numbers: &Int8Filters<'_>,
    mode: RoundingMode,
    activations: Activations,
    packed: &mut [u32],
) -> Result<CommonRequantization, ShapeError> {
    if let Err(error) = check_lengths(shape, numbers.filters.len(), numbers.bias.len()) {
        return Err(error);
    }
    let channels = shape.channels();
    if numbers.scales.len() != channels {
        return Err(ShapeError::Channels);
    }
    if let Err(error) = check_scales(numbers) {
        return Err(error);
    }
    let words = parameter_words(mode);
    let plan = Plan::for_kernel::<K>(shape, words);
    if packed.len() != plan.packed {
        return Err(ShapeError::Packed);
    }
    let mut o = 0;
    while o < channels {
        let (mut sum, mut magnitude, mut tap) = (0, 0, o);
        while tap < numbers.filters.len() {
            let weight = numbers.filters[tap] as i64;
            if weight == -128 {
                return Err(ShapeError::Weight);
            }
            sum += weight;
            magnitude += if weight < 0 { -weight } else { weight };
            tap += channels;
        }
        if let Err(error) = check_reach(numbers, o, sum, magnitude, mode, activations) {
            return Err(error);
        }
        o += 1;
    }
    let common = common(numbers, mode, activations);
    let taps = Taps::new(shape, &K::LAYOUT);
    let group = taps.groups[1];
    let lanes = plan.lanes;
    let mut at = 0;
    while at < packed.len() {
        packed[at] = 0;
        at += 1;
    }
    let mut o = 0;
    while o < channels {
        let (unit, lane) = (o / lanes * plan.unit, o % lanes);
        let mut parameters = [0; 2];
        requantization_parameters(numbers, mode, &common, o, &mut parameters);
        let mut word = 0;
        while word < words {
            packed[unit + lanes * (1 + word) + lane] = parameters[word];
            word += 1;
        }
        let (mut sum, mut tap) = (0, o);
        while tap < numbers.filters.len() {
            sum += numbers.filters[tap] as i64;
            tap += channels;
        }
        let folded = numbers.bias[o] as i64 - numbers.input.zero_point as i64 * sum;
        packed[unit + lane] = (folded + folded_term(numbers, mode, o) as i64) as u32;
        let mut place = 0;
        while place < plan.taps {
            if let Some([row, column]) = taps.at(place) {
                let weight = numbers.filters[(row * shape.filter[1] + column) * channels + o] as i32 as u32;
                let index = (place / group * lanes + lane) * group + place % group;
                let bits = 8 * size_of::<K::Weight>();
                let (word, shift) = (index * bits / 32, index * bits % 32);
                packed[unit + lanes * (1 + words) + word] |= (weight & (u32::MAX >> (32 - bits))) << shift;
            }
            place += 1;
        }
        o += 1;
    }
    Ok(common)
}

/// Packs a depthwise convolution in single precision for the kernel `K`; `numbers.filters` are
/// `[height][width][output channel]`.
///
/// # Errors
/// Where a length is not the shape's.
pub(crate) const fn pack_f32<K: DepthwiseKernel>(
    shape: &DepthwiseConv2dShape,
    numbers: &F32Filters<'_>,
    packed: &mut [u32],
) -> Result<(), ShapeError> {
    if let Err(error) = check_lengths(shape, numbers.filters.len(), numbers.bias.len()) {
        return Err(error);
    }
    let Layout { group, order, .. } = K::LAYOUT;
    // A missing tap would add 0 * activation, which is not nothing in floating point.
    assert!(group == 1 && matches!(order, Order::Filter), "floating point taps are not padded");
    let plan = Plan::for_kernel::<K>(shape, 0);
    if packed.len() != plan.packed {
        return Err(ShapeError::Packed);
    }
    let (channels, lanes) = (shape.channels(), plan.lanes);
    let mut at = 0;
    while at < packed.len() {
        let (o, within) = (at / plan.unit * lanes + at % lanes, at % plan.unit);
        packed[at] = if o >= channels {
            0
        } else if within < lanes {
            numbers.bias[o].to_bits()
        } else {
            numbers.filters[(within / lanes - 1) * channels + o].to_bits()
        };
        at += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel of a core that tests do not run on, for its layout.
    macro_rules! kernel {
        ($(#[$doc:meta])* $kernel:ident, $activation:ty, $layout:expr) => {
            $(#[$doc])*
            struct $kernel;

            impl Sealed for $kernel {}

            impl DepthwiseKernel for $kernel {
                type Input = i8;
                type Weight = i8;
                type Activation = $activation;
                type Accumulator = i32;
                const LAYOUT: Layout = $layout;

                fn widen(_: i8) -> $activation {
                    unreachable!("no body runs on this kernel")
                }

                unsafe fn sums(_: &Band<Self>, _: *mut i32) {
                    unreachable!("no body runs on this kernel")
                }
            }
        };
    }

    kernel!(
        /// A core with DSP: planes, and groups that end in missing taps.
        Dsp, i16, Layout { lanes: 1, planes: 4, group: 2, order: Order::Rows, scratch: 1024 }
    );
    kernel!(
        /// Pairs of taps in lanes.
        Pairs, i16, Layout { lanes: 8, planes: 0, group: 2, order: Order::Filter, scratch: 4096 }
    );
    kernel!(
        /// Helium: activations of a byte.
        Wide, i8, Layout { lanes: 16, planes: 0, group: 1, order: Order::Windows, scratch: 1024 }
    );

    /// No sum of a shape reads past the band, and no row is loaded or moved past it; sums have room.
    fn stays_inside<K: DepthwiseKernel>(shape: &DepthwiseConv2dShape) {
        let plan = Plan::for_kernel::<K>(shape, 1);
        let (lanes, Layout { planes, group, .. }) = (plan.lanes, K::LAYOUT);
        let (per_word, parts) = (4 / size_of::<K::Activation>(), planes.max(1));
        let mut offsets = [0; 128];
        assert!(plan.taps <= offsets.len());
        // SAFETY: the table has a word for each place.
        unsafe { write_offsets(shape, &Taps::new(shape, &K::LAYOUT), &plan, offsets.as_mut_ptr()) };
        let farthest = offsets.into_iter().max().expect("there are taps") as usize;
        let read = if planes > 0 { group } else { lanes };
        let [stride, extent] = [shape.stride[0], shape.extent(0)];
        let streamed = plan.streamed::<K>(shape);
        let all = if planes > 0 { shape.input[2] } else { plan.output[2] };
        let blocks = all.div_ceil(if planes > 0 { planes } else { lanes });
        let stream_words = plan.stream_words::<K>(shape);
        for (bands, blocks, words) in [
            (Bands { rows: plan.rows, plane: plan.plane, block: 0, sums: plan.sums }, 1, plan.scratch_words()),
            (streamed, blocks, stream_words),
        ] {
            let activations = (words - plan.taps - bands.sums) * per_word;
            let last = (blocks - 1) * bands.block + (parts - 1) * bands.plane;
            let columns = (plan.output[1] - 1) * shape.stride[1] * plan.step;
            let end = last + (bands.rows - 1) * stride * plan.pitch + columns + farthest + read;
            assert!(end <= activations, "{shape:?} reads up to {end} of {activations}");
            let rows = (bands.rows - 1) * stride + extent;
            let inside = (shape.padding[1] + shape.input[1]) * plan.step;
            assert!(inside <= plan.pitch, "{shape:?}: a row has {inside} of {}", plan.pitch);
            let end = last + (rows - 1) * plan.pitch + inside;
            assert!(end <= activations, "{shape:?} loads up to {end} of {activations}");
            // Rows that the next band needs as well.
            let end = last + (bands.rows * stride + extent.saturating_sub(stride)) * plan.pitch;
            assert!(extent <= stride || end <= activations, "{shape:?} moves from {end} of {activations}");
            let sums = bands.rows * plan.output[1] * lanes + usize::from(planes > 0);
            assert!(sums <= bands.sums, "{shape:?} writes {sums} of {}", bands.sums);
            // Rows and planes begin with a word.
            assert!(plan.pitch.is_multiple_of(per_word) && bands.plane.is_multiple_of(per_word));
        }
    }

    #[test]
    fn bands_stay_inside_the_scratch_memory() {
        let mut state = 1u64;
        let mut within = |low: usize, high: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            low + (state >> 33) as usize % (high - low + 1)
        };
        let mut checked = 0;
        while checked < 50_000 {
            let wide = within(0, 3) == 0;
            let mut axis =
                |size: usize| [within(1, size), within(1, 6), within(1, 4), within(1, 4), within(0, 5), within(0, 5)];
            let (y, x) = (axis(if wide { 60 } else { 9 }), axis(if wide { 150 } else { 9 }));
            let shape = DepthwiseConv2dShape {
                input: [y[0], x[0], within(1, 40)],
                multiplier: within(1, 3),
                filter: [y[1], x[1]],
                stride: [y[2], x[2]],
                dilation: [y[3], x[3]],
                padding: [y[4], x[4], y[5], x[5]],
            };
            if shape.check().is_err() {
                continue;
            }
            checked += 1;
            stays_inside::<Dsp>(&shape);
            stays_inside::<Pairs>(&shape);
            stays_inside::<Wide>(&shape);
            stays_inside::<<crate::arch::Portable as Backend>::DepthwiseInt8>(&shape);
            #[cfg(target_arch = "x86_64")]
            {
                use crate::arch::Avx2;
                stays_inside::<<Avx2 as Backend>::DepthwiseInt8>(&shape);
                stays_inside::<<Avx2 as Backend>::DepthwiseFloat>(&shape);
            }
        }
    }
}
