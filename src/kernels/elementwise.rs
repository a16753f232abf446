//! Pooling, activations, normalization, joining and conversion: bodies written once over small vectors of neighbouring channels.
//!
//! A window's pixels are gone through with the running maxima or sums of a group of channels in a register; a backend
//! supplies the vector and four or five instructions on it. Whatever the vector's length, each channel meets the
//! pixels in the same order, so floating point gives the same bits on every backend.

pub mod activation;
pub mod add;
pub mod arrange;
pub mod batch_norm;
pub mod binary;
pub mod blur_pool;
pub mod local_response;
pub mod spatial_pyramid;
pub mod unary;

use super::{Backend, Progress};
use crate::quant::ProductRounding;
use crate::reference::{MeanParameters, SumParameters};
use crate::shape::{CheckedPool2dShape, Pool2dShape, Shape, ShapeError};
use bytemuck::Pod;
use core::marker::PhantomData;
use core::ops::Range;

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// A type of values that pooling and activations work on: `i8`, `i16` and `f32`.
pub trait Element: Pod + PartialOrd + Sealed {
    /// The vectors of this type that a backend has.
    type Lanes<E: Elementwise>: Lanes<Element = Self>;

    /// The backend's [`relu_int8`](Elementwise::relu_int8), for that type.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn relu<E: Elementwise>(zero: Self, from: *const Self, to: *mut Self, count: usize) -> usize {
        let _ = (zero, from, to, count);
        0
    }

    /// The backend's [`max_int8`](Elementwise::max_int8), for that type.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn max<E: Elementwise>(window: Window, input: *const Self, output: *mut Self) -> bool {
        let _ = (window, input, output);
        false
    }
}

impl Sealed for i8 {}
impl Sealed for i16 {}
impl Sealed for f32 {}

impl Element for i8 {
    type Lanes<E: Elementwise> = E::Bytes;

    #[inline(always)]
    unsafe fn relu<E: Elementwise>(zero: i8, from: *const i8, to: *mut i8, count: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { E::relu_int8(zero, from, to, count) }
    }

    #[inline(always)]
    unsafe fn max<E: Elementwise>(window: Window, input: *const i8, output: *mut i8) -> bool {
        // SAFETY: the caller's promise.
        unsafe { E::max_int8(window, input, output) }
    }
}

impl Element for i16 {
    type Lanes<E: Elementwise> = E::Halves;
}

impl Element for f32 {
    type Lanes<E: Elementwise> = E::Floats;
}

/// What a backend supplies to pooling and activations.
///
/// The safety of every function of its types has one condition in common: the backend is available on this machine.
pub trait Elementwise: super::sealed::Sealed + Sized + 'static {
    /// Vectors of int8 values.
    type Bytes: Lanes<Element = i8>;
    /// Vectors of int16 values; [`Array`] will do where the backend has none.
    type Halves: Lanes<Element = i16>;
    /// Vectors of single precision.
    type Floats: FloatLanes;
    /// Sums of int8 values.
    type Sums: SumLanes;

    /// Adds int8 values, as [`SumParameters`] says, as many whole vectors as there are; returns how many values that was,
    /// or `None` where the backend has no vectors for it.
    ///
    /// # Safety
    /// `a` and `b` are valid for reads of `count` values, `to` for writes; `to` may be `a`, but overlaps neither
    /// otherwise. The backend is available.
    #[inline(always)]
    unsafe fn add_int8<R: ProductRounding>(
        parameters: &SumParameters<i8, R>,
        a: *const i8,
        b: *const i8,
        to: *mut i8,
        count: usize,
    ) -> Option<usize> {
        let _ = (parameters, a, b, to, count);
        None
    }

    /// Looks values up in a table of the function's values at -128, -127, ..., 127, as many whole vectors as there are;
    /// returns how many values that was, or `None` where the backend has no vectors for it.
    ///
    /// # Safety
    /// `from` is valid for reads of `count` values, `to` for writes; `to` may be `from`, but does not overlap it
    /// otherwise. The backend is available.
    #[inline(always)]
    unsafe fn look_up(table: &[i8; 256], from: *const i8, to: *mut i8, count: usize) -> Option<usize> {
        let _ = (table, from, to, count);
        None
    }

    /// Writes the larger of each value and `zero`, of as many values as it can; returns how many that was. For backends
    /// whose vectors have no type in Rust, as the next ones.
    ///
    /// # Safety
    /// As for [`look_up`](Self::look_up).
    #[inline(always)]
    unsafe fn relu_int8(zero: i8, from: *const i8, to: *mut i8, count: usize) -> usize {
        let _ = (zero, from, to, count);
        0
    }

    /// Writes the maximum of each channel over a window; returns whether it could.
    ///
    /// # Safety
    /// The window was made for the input, the output has room for a pixel, and the backend is available.
    #[inline(always)]
    unsafe fn max_int8(window: Window, input: *const i8, output: *mut i8) -> bool {
        let _ = (window, input, output);
        false
    }

    /// Writes the average of each channel over a window, halves away from zero: its sum and `padded`, divided by `count`;
    /// returns whether it could.
    ///
    /// # Safety
    /// As for [`max_int8`](Self::max_int8); `count` is positive and not less than the window's pixels, and `padded` is
    /// what so many values more could add up to.
    #[inline(always)]
    unsafe fn average_int8(window: Window, padded: i32, count: i32, input: *const i8, output: *mut i8) -> bool {
        let _ = (window, padded, count, input, output);
        false
    }

    /// Runs a task with this backend's instructions enabled for the compiler.
    ///
    /// Inlined, because a constant shape makes pooling five times as fast as one shared by layers of all shapes.
    ///
    /// # Safety
    /// The backend is available on this machine.
    #[inline(always)]
    unsafe fn run<T: Task>(task: T) {
        // SAFETY: the caller's promise.
        unsafe { task.run::<Self>() }
    }
}

/// Something to run on a backend; `run` must be `#[inline(always)]`, to be compiled with the backend's instructions.
pub trait Task {
    /// Does it.
    ///
    /// # Safety
    /// The backend `E` is available on this machine.
    unsafe fn run<E: Elementwise>(self);
}

/// A few values side by side, and what can be done to all of them at once.
pub trait Lanes: 'static {
    /// The type of a value.
    type Element: Copy + PartialOrd;
    /// The values.
    type Vector: Copy;
    /// How many values a vector has.
    const COUNT: usize;

    /// Reads a vector from any address.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` values; the backend is available.
    unsafe fn load(from: *const Self::Element) -> Self::Vector;

    /// Writes a vector to any address.
    ///
    /// # Safety
    /// `to` is valid for writes of `COUNT` values; the backend is available.
    unsafe fn store(vector: Self::Vector, to: *mut Self::Element);

    /// A vector that has `value` everywhere.
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn splat(value: Self::Element) -> Self::Vector;

    /// `candidate` where `candidate > current`, otherwise `current`, which includes equality and NaN.
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn larger(candidate: Self::Vector, current: Self::Vector) -> Self::Vector;
}

/// Vectors of single precision; each operation rounds once, to nearest.
pub trait FloatLanes: Lanes<Element = f32> {
    /// `a + b`
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a / b`
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `x` where `x >= 0`, otherwise, which includes NaN, `slope * x`.
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn leak(x: Self::Vector, slope: Self::Vector) -> Self::Vector;
}

/// Sums of int8 values in 16 bits, `COUNT` channels at once.
pub trait SumLanes: 'static {
    /// The sums.
    type Sums: Copy;
    /// How many channels.
    const COUNT: usize;

    /// Sums of nothing.
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn zero() -> Self::Sums;

    /// Adds `COUNT` values to the sums; right for at most [`SUM_LENGTH`] additions.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` values, at any address; the backend is available.
    unsafe fn add(sums: Self::Sums, from: *const i8) -> Self::Sums;

    /// Adds the sums to `COUNT` totals.
    ///
    /// # Safety
    /// The backend is available.
    unsafe fn drain(sums: Self::Sums, totals: &mut [i32; MAX_SUMS]);
}

/// The most int8 values whose sum fits 16 bits: 256 * -128 is the least `i16`.
pub const SUM_LENGTH: usize = 256;

/// The most channels that [`SumLanes`] sums at once.
pub const MAX_SUMS: usize = 16;

/// Vectors that are arrays: plain Rust, which compilers vectorize as far as they can.
pub struct Array<T, const N: usize>(PhantomData<T>);

impl<T: Element, const N: usize> Lanes for Array<T, N> {
    type Element = T;
    type Vector = [T; N];
    const COUNT: usize = N;

    #[inline(always)]
    unsafe fn load(from: *const T) -> [T; N] {
        // SAFETY: the caller's promise; any bits are a value, and the alignment does not matter.
        unsafe { from.cast::<[T; N]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(vector: [T; N], to: *mut T) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[T; N]>().write_unaligned(vector) }
    }

    #[inline(always)]
    unsafe fn splat(value: T) -> [T; N] {
        [value; N]
    }

    #[inline(always)]
    unsafe fn larger(candidate: [T; N], mut current: [T; N]) -> [T; N] {
        for (current, candidate) in current.iter_mut().zip(candidate) {
            *current = if candidate > *current { candidate } else { *current };
        }
        current
    }
}

impl<const N: usize> FloatLanes for Array<f32, N> {
    #[inline(always)]
    unsafe fn add(mut a: [f32; N], b: [f32; N]) -> [f32; N] {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    unsafe fn divide(mut a: [f32; N], b: [f32; N]) -> [f32; N] {
        for (a, b) in a.iter_mut().zip(b) {
            *a /= b;
        }
        a
    }

    #[inline(always)]
    unsafe fn leak(mut x: [f32; N], slope: [f32; N]) -> [f32; N] {
        for (x, slope) in x.iter_mut().zip(slope) {
            *x = if *x >= 0.0 { *x } else { slope * *x };
        }
        x
    }
}

impl<const N: usize> SumLanes for Array<i8, N> {
    type Sums = [i16; N];
    const COUNT: usize = N;

    #[inline(always)]
    unsafe fn zero() -> [i16; N] {
        [0; N]
    }

    #[inline(always)]
    unsafe fn add(mut sums: [i16; N], from: *const i8) -> [i16; N] {
        // SAFETY: the caller's promise.
        let values = unsafe { Self::load(from) };
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.wrapping_add(value as i16);
        }
        sums
    }

    #[inline(always)]
    unsafe fn drain(sums: [i16; N], totals: &mut [i32; MAX_SUMS]) {
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total += sum as i32;
        }
    }
}

/// Pointers and steps of a pooling; lives as long as the slices it was made from.
struct Pooling<'a, T> {
    shape: &'a Pool2dShape,
    /// The output rows to compute, and where the first goes.
    rows: Range<usize>,
    input: *const T,
    output: *mut T,
    slices: PhantomData<(&'a [T], &'a mut [T])>,
}

/// The pixels of the input that an output pixel sees: always at least one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Window {
    /// The place of the first pixel's first channel.
    pub(crate) first: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// From one row to the next, in values.
    pub(crate) row_step: usize,
    /// Channels: from one column to the next, in values.
    pub(crate) channels: usize,
}

impl Window {
    /// Calls `pixel` with a pointer to channel `channel` of each pixel, in the order of rows, then columns.
    ///
    /// # Safety
    /// `input` points to the input that the window was made for.
    #[inline(always)]
    unsafe fn for_each<T>(self, input: *const T, channel: usize, mut pixel: impl FnMut(*const T)) {
        // Wrapping, because the pointer behind the last row or column may lie outside the input; it is not read.
        let mut row = input.wrapping_add(self.first + channel);
        for _ in 0..self.rows {
            let mut at = row;
            for _ in 0..self.columns {
                pixel(at);
                at = at.wrapping_add(self.channels);
            }
            row = row.wrapping_add(self.row_step);
        }
    }
}

impl<'a, T> Pooling<'a, T> {
    /// # Errors
    /// Where the length of a slice is not the shape's.
    #[inline(always)]
    fn new(shape: &'a CheckedPool2dShape, input: &'a [T], output: &'a mut [T]) -> Result<Self, ShapeError> {
        let shape = shape.get();
        let ([h, w, c], [out_h, out_w, _]) = (shape.input, shape.output());
        let rows = 0..out_h;
        if input.len() != h * w * c {
            return Err(ShapeError::Input);
        }
        if output.len() != out_h * out_w * c {
            return Err(ShapeError::Output);
        }
        Ok(Self { shape, rows, input: input.as_ptr(), output: output.as_mut_ptr(), slices: PhantomData })
    }

    /// The same of the last values of `memory` to its first.
    ///
    /// # Errors
    /// Where the memory is shorter than [`Pool2dShape::overlapping_len`].
    #[inline(always)]
    fn overlapping(shape: &'a CheckedPool2dShape, memory: &'a mut [T]) -> Result<Self, ShapeError> {
        if memory.len() < shape.overlapping_len() {
            return Err(ShapeError::Overlap);
        }
        let shape = shape.get();
        let ([h, w, c], rows) = (shape.input, 0..shape.output()[0]);
        let output = memory.as_mut_ptr();
        // In the memory: it is as long as the input, at least.
        let input = output.wrapping_add(memory.len() - h * w * c);
        Ok(Self { shape, rows, input, output, slices: PhantomData })
    }

    /// The same of output row `y` alone, from the input rows that its windows see: as many as a window has, those that lie
    /// in the padding included.
    ///
    /// # Errors
    /// Where the length of a slice is not the shape's, or there is no such row.
    #[inline(always)]
    fn row(shape: &'a CheckedPool2dShape, y: usize, input: &'a [T], output: &'a mut [T]) -> Result<Self, ShapeError> {
        let shape = shape.get();
        let ([_, w, c], [out_h, out_w, _]) = (shape.input, shape.output());
        if input.len() != shape.window[0] * w * c {
            return Err(ShapeError::Input);
        }
        if output.len() != out_w * c || y >= out_h {
            return Err(ShapeError::Output);
        }
        // As if the rows before these were there. Windows of this output row see these alone.
        let first = (y * shape.stride[0]).wrapping_sub(shape.padding[0]).wrapping_mul(w * c);
        let input = input.as_ptr().wrapping_sub(first);
        Ok(Self { shape, rows: y..y + 1, input, output: output.as_mut_ptr(), slices: PhantomData })
    }

    /// Calls `pool(window, pointer to the output pixel)` for every pixel of the output, row by row. That is the order that
    /// [`Pool2dShape::overlap`] is made for: neither this window nor a later one sees what is at the output pixel.
    #[inline(always)]
    fn for_each_window(&self, mut pool: impl FnMut(Window, *mut T)) {
        let ([height, width, channels], [_, out_width, _]) = (self.shape.input, self.shape.output());
        let ([top, left, _, _], [down, across]) = (self.shape.padding, self.shape.stride);
        let row_step = width * channels;
        let mut to = self.output;
        for y in self.rows.clone() {
            let (start, end) = (y * down, y * down + self.shape.window[0]);
            let (y0, y1) = (start.max(top) - top, (end - top).min(height));
            for x in 0..out_width {
                let (start, end) = (x * across, x * across + self.shape.window[1]);
                let (x0, x1) = (start.max(left) - left, (end - left).min(width));
                let first = y0 * row_step + x0 * channels;
                pool(Window { first, rows: y1 - y0, columns: x1 - x0, row_step, channels }, to);
                to = to.wrapping_add(channels);
            }
        }
    }
}

/// Calls `group(first channel)` so that groups of `count` channels cover all `channels`; the last two may overlap.
/// Returns whether it could: there must be at least `count` channels.
#[inline(always)]
fn cover(channels: usize, count: usize, mut group: impl FnMut(usize)) -> bool {
    if channels < count {
        return false;
    }
    let mut channel = 0;
    while channel + count <= channels {
        group(channel);
        channel += count;
    }
    if channel < channels {
        group(channels - count);
    }
    true
}

/// Writes the maximum of each channel over a window.
///
/// # Safety
/// The window was made for the input, the output has room for a pixel, and the backend is available.
#[inline(always)]
unsafe fn max_window<E: Elementwise, T: Element>(window: Window, input: *const T, output: *mut T) {
    /// # Safety
    /// As for `max_window`.
    #[inline(always)]
    unsafe fn pool<L: Lanes>(window: Window, input: *const L::Element, output: *mut L::Element) -> bool {
        cover(window.channels, L::COUNT, |channel| {
            // SAFETY: `channel + COUNT` is at most the number of channels, and the window's pixels lie in the
            // input, so that every load and the store is inside a pixel. The rest is the caller's promise.
            unsafe {
                let mut largest = L::load(input.wrapping_add(window.first + channel));
                window.for_each(input, channel, |pixel| largest = L::larger(L::load(pixel), largest));
                L::store(largest, output.wrapping_add(channel));
            }
        })
    }
    // SAFETY: the caller's promise.
    unsafe {
        let _ = T::max::<E>(window, input, output)
            || pool::<T::Lanes<E>>(window, input, output)
            || pool::<Array<T, 4>>(window, input, output)
            || pool::<Array<T, 1>>(window, input, output);
    }
}

struct MaxPool<'a, T>(Pooling<'a, T>);

impl<T: Element> Task for MaxPool<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        self.0.for_each_window(|window, output| {
            // SAFETY: `Pooling` made the window and the pointer; the backend is the caller's promise.
            unsafe { max_window::<E, T>(window, self.0.input, output) };
        });
    }
}

/// A type of values that pooling takes averages of.
pub trait Average: Element {
    /// The most pixels of a window, so that no sum overflows.
    const MAX_WINDOW: usize;

    /// Writes the average of each channel over a window. With `padding` the window counts as `size` pixels, and those
    /// that lie outside the input hold that value.
    ///
    /// # Safety
    /// The window was made for the input, has at most `MAX_WINDOW` pixels, and at most `size`, which is positive and at
    /// most `MAX_WINDOW`; the output has room for a pixel; the backend is available.
    unsafe fn average<E: Elementwise>(
        window: Window,
        size: usize,
        padding: Option<Self>,
        input: *const Self,
        output: *mut Self,
    );
}

/// A type whose 0 stands for 0: `f32`, and int16, which has no other zero point.
pub trait Centered: Average {
    /// Zero.
    const ZERO: Self;
}

impl Centered for i16 {
    const ZERO: i16 = 0;
}

impl Centered for f32 {
    const ZERO: f32 = 0.0;
}

/// A type of integers whose sums over a window fit 32 bits.
pub trait Integer: Average + Into<i32> {
    /// The value nearest to `value`.
    fn saturate(value: i32) -> Self;

    /// Calls `sum(channel, sum over the window)` for each channel, for the last ones perhaps twice.
    ///
    /// # Safety
    /// The window was made for the input, and has at most `MAX_WINDOW` pixels; the backend is available.
    unsafe fn sums<E: Elementwise>(window: Window, input: *const Self, sum: impl FnMut(usize, i32));
}

/// The average of integers: [`Average::average`].
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn average_integers<E: Elementwise, T: Integer>(
    window: Window,
    size: usize,
    padding: Option<T>,
    input: *const T,
    output: *mut T,
) {
    let (padded, count) = padded(window, size, padding);
    // SAFETY: the caller's promise; `sums` calls back with channels of the pixel.
    unsafe {
        T::sums::<E>(window, input, |channel, sum| {
            output.wrapping_add(channel).write(T::saturate(rounded_average(padded + sum, count)));
        });
    }
}

/// The sum of the pixels that padding adds to a window of so many, and what the window counts as.
#[inline(always)]
fn padded<T: Into<i32>>(window: Window, size: usize, padding: Option<T>) -> (i32, i32) {
    let inside = (window.rows * window.columns) as i32;
    match padding {
        Some(value) => ((size as i32 - inside) * value.into(), size as i32),
        None => (0, inside),
    }
}

/// `sum / count`, halves away from zero; `count` is positive.
#[inline(always)]
fn rounded_average(sum: i32, count: i32) -> i32 {
    let half = count / 2;
    // wrapping_div, because the compiler does not see that the count is never zero nor -1.
    (if sum > 0 { sum + half } else { sum - half }).wrapping_div(count.max(1))
}

impl Average for i8 {
    const MAX_WINDOW: usize = Pool2dShape::MAX_WINDOW;

    #[inline(always)]
    unsafe fn average<E: Elementwise>(
        window: Window,
        size: usize,
        padding: Option<i8>,
        input: *const i8,
        output: *mut i8,
    ) {
        let (sum, count) = padded(window, size, padding);
        // SAFETY: the caller's promise.
        unsafe {
            if !E::average_int8(window, sum, count, input, output) {
                average_integers::<E, i8>(window, size, padding, input, output);
            }
        }
    }
}

impl Integer for i8 {
    #[inline(always)]
    fn saturate(value: i32) -> i8 {
        value.clamp(-128, 127) as i8
    }

    #[inline(always)]
    unsafe fn sums<E: Elementwise>(window: Window, input: *const i8, mut sum: impl FnMut(usize, i32)) {
        /// # Safety
        /// As for `sums`.
        #[inline(always)]
        unsafe fn add<S: SumLanes>(window: Window, input: *const i8, sum: &mut impl FnMut(usize, i32)) -> bool {
            cover(window.channels, S::COUNT, |channel| {
                let mut totals = [0; MAX_SUMS];
                // Parts of the window that 16-bit sums can hold; nearly always the whole.
                let mut column = 0;
                while column < window.columns {
                    let columns = (window.columns - column).min(SUM_LENGTH);
                    let mut row = 0;
                    while row < window.rows {
                        let rows = (window.rows - row).min(SUM_LENGTH / columns);
                        let first = window.first + row * window.row_step + column * window.channels;
                        // SAFETY: the part lies in the window, so the argument of `max_window` holds; it has at most
                        // SUM_LENGTH pixels.
                        unsafe {
                            let mut sums = S::zero();
                            let part = Window { first, rows, columns, ..window };
                            part.for_each(input, channel, |pixel| sums = S::add(sums, pixel));
                            S::drain(sums, &mut totals);
                        }
                        row += rows;
                    }
                    column += columns;
                }
                for (i, &total) in totals.iter().enumerate().take(S::COUNT) {
                    sum(channel + i, total);
                }
            })
        }
        // SAFETY: the caller's promise.
        unsafe {
            let _ = add::<E::Sums>(window, input, &mut sum)
                || add::<Array<i8, 4>>(window, input, &mut sum)
                || add::<Array<i8, 1>>(window, input, &mut sum);
        }
    }
}

impl Average for i16 {
    /// The sum, and half the count more, fits 32 bits.
    const MAX_WINDOW: usize = (1 << 16) - 1;

    #[inline(always)]
    unsafe fn average<E: Elementwise>(
        window: Window,
        size: usize,
        padding: Option<i16>,
        input: *const i16,
        output: *mut i16,
    ) {
        // SAFETY: the caller's promise.
        unsafe { average_integers::<E, i16>(window, size, padding, input, output) }
    }
}

/// 32-bit sums at a time: what 64-bit cores have vector registers for, and what others have registers for.
const WORDS: usize = if size_of::<usize>() == 8 { 8 } else { 4 };

impl Integer for i16 {
    #[inline(always)]
    fn saturate(value: i32) -> i16 {
        value.clamp(i16::MIN as i32, i16::MAX as i32) as i16
    }

    #[inline(always)]
    unsafe fn sums<E: Elementwise>(window: Window, input: *const i16, mut sum: impl FnMut(usize, i32)) {
        /// # Safety
        /// As for `sums`.
        #[inline(always)]
        unsafe fn add<const N: usize>(window: Window, input: *const i16, sum: &mut impl FnMut(usize, i32)) -> bool {
            cover(window.channels, N, |channel| {
                let mut sums = [0i32; N];
                // SAFETY: as in `max_window`.
                unsafe {
                    window.for_each(input, channel, |pixel| {
                        for (sum, value) in sums.iter_mut().zip(Array::<i16, N>::load(pixel)) {
                            *sum = sum.wrapping_add(value as i32);
                        }
                    });
                }
                for (i, &total) in sums.iter().enumerate() {
                    sum(channel + i, total);
                }
            })
        }
        // SAFETY: the caller's promise.
        unsafe {
            let _ = add::<WORDS>(window, input, &mut sum) || add::<1>(window, input, &mut sum);
        }
    }
}

impl Average for f32 {
    const MAX_WINDOW: usize = Pool2dShape::MAX_WINDOW;

    #[inline(always)]
    unsafe fn average<E: Elementwise>(
        window: Window,
        size: usize,
        padding: Option<f32>,
        input: *const f32,
        output: *mut f32,
    ) {
        /// # Safety
        /// As for `average`.
        #[inline(always)]
        unsafe fn pool<L: FloatLanes>(window: Window, count: f32, input: *const f32, output: *mut f32) -> bool {
            cover(window.channels, L::COUNT, |channel| {
                // SAFETY: as in `max_window`.
                unsafe {
                    let mut sum = L::splat(0.0);
                    window.for_each(input, channel, |pixel| sum = L::add(sum, L::load(pixel)));
                    L::store(L::divide(sum, L::splat(count)), output.wrapping_add(channel));
                }
            })
        }
        // Padding is 0.0, and leaves the sum as it is.
        let count = if padding.is_some() { size } else { window.rows * window.columns } as f32;
        // SAFETY: the caller's promise.
        unsafe {
            let _ = pool::<E::Floats>(window, count, input, output)
                || pool::<Array<f32, 4>>(window, count, input, output)
                || pool::<Array<f32, 1>>(window, count, input, output);
        }
    }
}

struct AveragePool<'a, T> {
    pooling: Pooling<'a, T>,
    padding: Option<T>,
}

impl<T: Average> Task for AveragePool<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        let size = self.pooling.shape.window[0] * self.pooling.shape.window[1];
        self.pooling.for_each_window(|window, output| {
            // SAFETY: `Pooling` made the window and the pointer, and `average_pool` looked at the size; the backend is
            // the caller's promise.
            unsafe { T::average::<E>(window, size, self.padding, self.pooling.input, output) };
        });
    }
}

/// The mean over all pixels, which are one window.
struct Mean<'a, T> {
    pooling: Pooling<'a, T>,
    parameters: &'a MeanParameters,
}

impl<T: Integer> Task for Mean<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        self.pooling.for_each_window(|window, output| {
            // SAFETY: `Pooling` made the window and the pointer, and `mean` looked at the size; `sums` calls back with
            // channels of the pixel; the backend is the caller's promise.
            unsafe {
                T::sums::<E>(window, self.pooling.input, |channel, sum| {
                    output.wrapping_add(channel).write(T::saturate(self.parameters.mean(sum)));
                });
            }
        });
    }
}

/// Values and where their images go: another slice of the same length, or the same place.
struct Values<'a, T> {
    from: *const T,
    to: *mut T,
    len: usize,
    slices: PhantomData<&'a mut [T]>,
}

impl<'a, T> Values<'a, T> {
    /// # Errors
    /// Where the slices' lengths differ.
    fn new(input: &'a [T], output: &'a mut [T]) -> Result<Self, ShapeError> {
        if input.len() != output.len() {
            return Err(ShapeError::Output);
        }
        Ok(Self { from: input.as_ptr(), to: output.as_mut_ptr(), len: input.len(), slices: PhantomData })
    }

    fn in_place(values: &'a mut [T]) -> Self {
        let (len, to) = (values.len(), values.as_mut_ptr());
        Self { from: to, to, len, slices: PhantomData }
    }

    /// What is left after the first values, of which there are as many.
    #[inline(always)]
    fn skip(self, done: usize) -> Self {
        Self { from: self.from.wrapping_add(done), to: self.to.wrapping_add(done), len: self.len - done, ..self }
    }

    /// Maps as many whole vectors as there are, and returns the values that are left.
    ///
    /// # Safety
    /// The backend of `L` is available.
    #[inline(always)]
    unsafe fn map<L: Lanes<Element = T>>(self, mut function: impl FnMut(L::Vector) -> L::Vector) -> Self {
        let mut done = 0;
        while self.len - done >= L::COUNT {
            // SAFETY: both pointers are valid for `len` values, and `done + COUNT` is at most `len`. Where they are
            // the same, a vector is read before it is written, and none overlaps another.
            unsafe { L::store(function(L::load(self.from.add(done))), self.to.add(done)) };
            done += L::COUNT;
        }
        self.skip(done)
    }
}

/// The larger of each value and a constant: ReLU, where the constant stands for 0.
struct Relu<'a, T> {
    values: Values<'a, T>,
    zero: T,
}

impl<T: Element> Task for Relu<'_, T> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        /// # Safety
        /// The backend of `L` is available.
        #[inline(always)]
        unsafe fn relu<L: Lanes>(values: Values<'_, L::Element>, zero: L::Element) -> Values<'_, L::Element> {
            // SAFETY: the caller's promise.
            unsafe { values.map::<L>(|x| L::larger(L::splat(zero), x)) }
        }
        let Self { values, zero } = self;
        // SAFETY: the caller's promise; both pointers are valid for `len` values, and equal or apart.
        unsafe {
            let done = T::relu::<E>(zero, values.from, values.to, values.len);
            relu::<Array<T, 1>>(relu::<T::Lanes<E>>(values.skip(done), zero), zero);
        }
    }
}

/// Each value, or its product with the slope where it is negative.
struct LeakyRelu<'a> {
    values: Values<'a, f32>,
    slope: f32,
}

impl Task for LeakyRelu<'_> {
    #[inline(always)]
    unsafe fn run<E: Elementwise>(self) {
        /// # Safety
        /// The backend of `L` is available.
        #[inline(always)]
        unsafe fn leak<L: FloatLanes>(values: Values<'_, f32>, slope: f32) -> Values<'_, f32> {
            // SAFETY: the caller's promise.
            unsafe { values.map::<L>(|x| L::leak(x, L::splat(slope))) }
        }
        // SAFETY: the caller's promise.
        unsafe { leak::<Array<f32, 1>>(leak::<E::Floats>(self.values, self.slope), self.slope) };
    }
}

/// Runs a task on a backend.
///
/// # Panics
/// Where the machine lacks the backend: nothing falls back in silence. The check vanishes where it is constant.
#[inline(always)]
fn run<B: Backend>(task: impl Task) {
    assert!(B::available(), "this machine cannot run the backend {}", B::NAME);
    // SAFETY: it is available.
    unsafe { B::run(task) };
}

/// Maximum pooling for [`max_pool2d`] and for the layer.
///
/// # Errors
/// Where the length of a slice is not the shape's.
#[inline(always)]
pub(crate) fn max_pool<B: Backend, T: Element>(
    shape: &CheckedPool2dShape,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    run::<B>(MaxPool(Pooling::new(shape, input, output)?));
    Ok(())
}

/// Average pooling for [`average_pool2d`] and for the layer.
///
/// # Errors
/// Where the length of a slice is not the shape's, or the window has more pixels than the type allows.
#[inline(always)]
pub(crate) fn average_pool<B: Backend, T: Average>(
    shape: &CheckedPool2dShape,
    padding: Option<T>,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    let [height, width] = shape.get().window;
    if height * width > T::MAX_WINDOW {
        return Err(ShapeError::TooLarge);
    }
    run::<B>(AveragePool { pooling: Pooling::new(shape, input, output)?, padding });
    Ok(())
}

/// [`max_pool`] of the last values of `memory` to its first.
///
/// # Errors
/// Where the memory is shorter than [`Pool2dShape::overlapping_len`].
#[inline(always)]
pub(crate) fn max_pool_overlapping<B: Backend, T: Element>(
    shape: &CheckedPool2dShape,
    memory: &mut [T],
) -> Result<(), ShapeError> {
    run::<B>(MaxPool(Pooling::overlapping(shape, memory)?));
    Ok(())
}

/// [`average_pool`] of the last values of `memory` to its first.
///
/// # Errors
/// Where the memory is shorter than [`Pool2dShape::overlapping_len`], or the window has more pixels than the type allows.
#[inline(always)]
pub(crate) fn average_pool_overlapping<B: Backend, T: Average>(
    shape: &CheckedPool2dShape,
    padding: Option<T>,
    memory: &mut [T],
) -> Result<(), ShapeError> {
    let [height, width] = shape.get().window;
    if height * width > T::MAX_WINDOW {
        return Err(ShapeError::TooLarge);
    }
    run::<B>(AveragePool { pooling: Pooling::overlapping(shape, memory)?, padding });
    Ok(())
}

/// Output row `y` of [`max_pool`], from the input rows that its windows see.
///
/// # Errors
/// Where the length of a slice is not the shape's, or there is no such row.
#[inline(always)]
pub(crate) fn max_pool_row<B: Backend, T: Element>(
    shape: &CheckedPool2dShape,
    y: usize,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    run::<B>(MaxPool(Pooling::row(shape, y, input, output)?));
    Ok(())
}

/// Output row `y` of [`average_pool`], from the input rows that its windows see.
///
/// # Errors
/// Where the length of a slice is not the shape's, there is no such row, or the window has more pixels than the type allows.
#[inline(always)]
pub(crate) fn average_pool_row<B: Backend, T: Average>(
    shape: &CheckedPool2dShape,
    padding: Option<T>,
    y: usize,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    let [height, width] = shape.get().window;
    if height * width > T::MAX_WINDOW {
        return Err(ShapeError::TooLarge);
    }
    run::<B>(AveragePool { pooling: Pooling::row(shape, y, input, output)?, padding });
    Ok(())
}

/// Copies an input row to its place among those that the windows of output row `at.written` see, if it is one of them.
#[inline(always)]
pub(crate) fn keep_row<T: Copy>(shape: &Pool2dShape, at: &Progress, row: &[T], band: &mut [T]) {
    let place = (at.read + shape.padding[0]).checked_sub(at.written * shape.stride[0]);
    if let Some(kept) = place.and_then(|place| band.get_mut(place * row.len()..)?.get_mut(..row.len())) {
        kept.copy_from_slice(row);
    }
}

/// Moves the rows that the windows of the next output row see as well to the front.
#[inline(always)]
pub(crate) fn drop_rows<T: Copy>(shape: &Pool2dShape, band: &mut [T]) {
    let dropped = shape.stride[0] * shape.input[1] * shape.input[2];
    if dropped < band.len() {
        band.copy_within(dropped.., 0);
    }
}

/// Computes a pooling input row by input row. `band` holds the input rows that a window sees; `pool` computes the output
/// row of that number from it.
fn by_rows<T: Copy>(
    shape: &Pool2dShape,
    input: &[T],
    output: &mut [T],
    band: &mut [T],
    mut pool: impl FnMut(usize, &[T], &mut [T]) -> Result<(), ShapeError>,
) -> Result<(), ShapeError> {
    let ([height, width, channels], [out_height, out_width, _]) = (shape.input, shape.output());
    if input.len() != height * width * channels {
        return Err(ShapeError::Input);
    }
    if output.len() != out_height * out_width * channels {
        return Err(ShapeError::Output);
    }
    if band.len() != shape.band() {
        return Err(ShapeError::Scratch);
    }
    let mut at = Progress::default();
    for row in input.chunks_exact(width * channels) {
        keep_row(shape, &at, row, band);
        while at.look(out_height, |y| shape.rows_until(y)) {
            let len = out_width * channels;
            pool(at.written, band, &mut output[at.written * len..][..len])?;
            drop_rows(shape, band);
            at.written += 1;
            keep_row(shape, &at, row, band);
        }
        at.next(height);
    }
    Ok(())
}

/// [`max_pool2d`] input row by input row, as a [`Stream`](crate::Stream) does it; `band` has as many values as the input
/// rows that a window sees.
///
/// # Errors
/// Where the shape breaks a rule, or the length of a slice is not the shape's.
///
/// # Panics
/// Where the machine lacks the backend.
pub fn max_pool2d_by_rows<B: Backend, T: Element>(
    shape: &Pool2dShape,
    input: &[T],
    output: &mut [T],
    band: &mut [T],
) -> Result<(), ShapeError> {
    let checked = shape.checked()?;
    by_rows(shape, input, output, band, |y, band, row| max_pool_row::<B, T>(&checked, y, band, row))
}

/// [`average_pool2d`] input row by input row, as a [`Stream`](crate::Stream) does it; `band` has as many values as the
/// input rows that a window sees.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, or the window has more pixels than
/// [`Average::MAX_WINDOW`].
///
/// # Panics
/// Where the machine lacks the backend.
pub fn average_pool2d_by_rows<B: Backend, T: Average>(
    shape: &Pool2dShape,
    padding: Option<T>,
    input: &[T],
    output: &mut [T],
    band: &mut [T],
) -> Result<(), ShapeError> {
    let checked = shape.checked()?;
    by_rows(shape, input, output, band, |y, band, row| average_pool_row::<B, T>(&checked, padding, y, band, row))
}

/// The mean for [`mean2d`] and for the layer.
///
/// # Errors
/// Where the length of a slice is not the shape's, or the input has more pixels than the type allows.
#[inline(always)]
pub(crate) fn mean<B: Backend, T: Integer>(
    shape: &CheckedPool2dShape,
    parameters: &MeanParameters,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    let [height, width] = shape.get().window;
    if height * width > T::MAX_WINDOW {
        return Err(ShapeError::TooLarge);
    }
    run::<B>(Mean { pooling: Pooling::new(shape, input, output)?, parameters });
    Ok(())
}

/// [`reference::mean2d`](crate::reference::mean2d) of an input of this height, width and channels on backend `B`.
///
/// # Errors
/// Where the length of a slice is not the shape's, or the input has more pixels than [`Average::MAX_WINDOW`].
///
/// # Panics
/// Where the machine lacks the backend.
pub fn mean2d<B: Backend, T: Integer>(
    shape: Shape,
    parameters: &MeanParameters,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    let [height, width, _] = shape;
    mean::<B, T>(&Pool2dShape::new(shape, [height, width]).checked()?, parameters, input, output)
}

/// [`reference::max_pool2d`](crate::reference::max_pool2d) on backend `B`.
///
/// # Errors
/// Where the shape breaks a rule, or the length of a slice is not the shape's.
///
/// # Panics
/// Where the machine lacks the backend.
pub fn max_pool2d<B: Backend, T: Element>(
    shape: &Pool2dShape,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    max_pool::<B, T>(&shape.checked()?, input, output)
}

/// [`max_pool2d`] of the last values of `memory`; the output is left in the first.
///
/// # Errors
/// Where the shape breaks a rule, or the memory is shorter than [`Pool2dShape::overlapping_len`].
///
/// # Panics
/// Where the machine lacks the backend.
pub fn max_pool2d_overlapping<B: Backend, T: Element>(shape: &Pool2dShape, memory: &mut [T]) -> Result<(), ShapeError> {
    max_pool_overlapping::<B, T>(&shape.checked()?, memory)
}

/// [`average_pool2d`] of the last values of `memory`; the output is left in the first.
///
/// # Errors
/// Where the shape breaks a rule, the memory is shorter than [`Pool2dShape::overlapping_len`], or the window has more
/// pixels than [`Average::MAX_WINDOW`].
///
/// # Panics
/// Where the machine lacks the backend.
pub fn average_pool2d_overlapping<B: Backend, T: Average>(
    shape: &Pool2dShape,
    padding: Option<T>,
    memory: &mut [T],
) -> Result<(), ShapeError> {
    average_pool_overlapping::<B, T>(&shape.checked()?, padding, memory)
}

/// [`reference::average_pool2d`](crate::reference::average_pool2d), or
/// [`reference::average_pool2d_f32`](crate::reference::average_pool2d_f32), on backend `B`.
///
/// # Errors
/// Where the shape breaks a rule, the length of a slice is not the shape's, or the window has more pixels than
/// [`Average::MAX_WINDOW`].
///
/// # Panics
/// Where the machine lacks the backend.
pub fn average_pool2d<B: Backend, T: Average>(
    shape: &Pool2dShape,
    padding: Option<T>,
    input: &[T],
    output: &mut [T],
) -> Result<(), ShapeError> {
    average_pool::<B, T>(&shape.checked()?, padding, input, output)
}

/// [`reference::relu_i8`](crate::reference::relu_i8), or `relu_f32` with a `zero` of 0.0, on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn relu<B: Backend, T: Element>(zero: T, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
    run::<B>(Relu { values: Values::new(input, output)?, zero });
    Ok(())
}

/// [`relu`], in place.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn relu_in_place<B: Backend, T: Element>(zero: T, values: &mut [T]) {
    run::<B>(Relu { values: Values::in_place(values), zero });
}

/// [`reference::leaky_relu_f32`](crate::reference::leaky_relu_f32) on backend `B`.
///
/// # Errors
/// Where the slices' lengths differ.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn leaky_relu_f32<B: Backend>(slope: f32, input: &[f32], output: &mut [f32]) -> Result<(), ShapeError> {
    run::<B>(LeakyRelu { values: Values::new(input, output)?, slope });
    Ok(())
}

/// [`leaky_relu_f32`], in place.
///
/// # Panics
/// Where the machine lacks the backend.
#[inline(always)]
pub fn leaky_relu_f32_in_place<B: Backend>(slope: f32, values: &mut [f32]) {
    run::<B>(LeakyRelu { values: Values::in_place(values), slope });
}
