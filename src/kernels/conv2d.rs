//! The body of every 2-D convolution, dense layers included.

use super::finish::{Finish, Sums, finish};
use super::{
    Backend, Clamp, Epilogue, Int4, Int16x8, Int16x8Wide, MicroKernel, Progress, Routine, Saturate, Strip, fill, push,
};
use crate::arch::{Native, requantization, routine, routine_i16};
use crate::pack::{Format, Layout, Runs, unpack};
use crate::quant::{CommonRequantization, Rounding};
use crate::shape::{Conv2dShape, Shape, ShapeError};
use core::hint::{assert_unchecked, black_box};
use core::marker::PhantomData;

/// Whether an output row has one pixel, as that of a dense layer.
pub(crate) const fn is_dense(shape: &Conv2dShape) -> bool {
    shape.convolved()[1] == 1
}

/// The layout that a shape's filters are packed in.
pub(crate) const fn layout<K: MicroKernel>(shape: &Conv2dShape) -> Layout {
    if is_dense(shape) { K::DENSE } else { K::CONVOLUTION }
}

/// What follows from a shape for a kernel: how filters are cut and where things are in the scratch memory, which is run
/// offsets, then accumulators of a strip, then the ring of input rows, then a block of int4 weights. In a layer it is a constant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    runs: Runs,
    /// Height, width and channels of the output.
    output: Shape,
    /// Words of packed filters of a group.
    packed: usize,
    /// Groups, each of which is a convolution of its own.
    groups: usize,
    /// Columns of the output, after pooling, in a strip.
    columns: usize,
    /// Words of run offsets, for each of the convolution rows that one output row pools.
    table: usize,
    /// Words of accumulators.
    sums: usize,
    /// Rows in the ring.
    rows: usize,
    /// Activations from one row to the next.
    pitch: usize,
    /// Words of the ring.
    ring: usize,
    /// Words of the unpacked weights of a block, behind the ring.
    unpacked: usize,
}

impl Plan {
    /// The plan for a shape.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn new<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> Self {
        if let Err(error) = shape.check() {
            panic!("{}", error.message());
        }
        Self::for_kernel::<E::Kernel<B>>(&shape.part().merged(), E::WORDS, E::WEIGHT_BITS, shape.groups)
    }

    /// The plan for the shape of a group.
    const fn for_kernel<K: MicroKernel>(
        shape: &Conv2dShape,
        parameter_words: usize,
        weight_bits: usize,
        groups: usize,
    ) -> Self {
        let layout = layout::<K>(shape);
        let runs = Runs::new(shape, &layout);
        let per_word = 4 / size_of::<K::Activation>();
        let [_, width, channels] = shape.input;
        let output = shape.output();
        let pixels = if is_dense(shape) { 1 } else { K::PIXELS };
        let columns = at_least_1(K::STRIP * runs.phases / shape.pool[1]);
        let columns = if columns < output[1] { columns } else { output[1] };
        let positions = (columns * shape.pool[1]).div_ceil(runs.phases).next_multiple_of(pixels);

        let pitch = ((width + shape.padding[1] + shape.padding[3]) * channels).next_multiple_of(per_word);
        let rows = shape.extent(0) + (shape.pool[0] - 1) * shape.stride[0];
        let blank = if shape.padding[0] + shape.padding[2] > 0 { 1 } else { 0 };
        // Past the last row a strip may read further pixels and taps, which nobody uses.
        let beyond = (pixels - 1) * runs.phases * runs.step + runs.overhang();
        let table = shape.pool[0] * runs.count();
        let ring = ((rows + blank) * pitch + beyond).div_ceil(per_word);
        // In 64 bits: a window as large as a large tensor would not fit a 32-bit usize.
        let sums = positions as u64 * (layout.block * words::<K::Accumulator>()) as u64 * shape.pool[0] as u64;
        // Whole pairs of words: a word of nibbles is two.
        let all = shape.filters * runs.phases;
        let channels = layout.block_at(0, if all < layout.block { all } else { layout.block });
        let unpacked = if weight_bits == 4 { 2 * layout.weight_words(&runs, channels, 4) } else { 0 };
        if table as u64 + sums + ring as u64 + unpacked as u64 > 1 << 29 {
            panic!("{}", ShapeError::TooLarge.message());
        }
        Self {
            runs,
            output,
            packed: layout.packed_words(shape, weight_bits, parameter_words),
            groups,
            columns,
            table,
            sums: sums as usize,
            rows,
            pitch,
            ring,
            unpacked,
        }
    }

    /// The plan for filters of each output pixel's own: a dense strip for each. The shape has passed its check, and has
    /// neither pooling nor groups.
    const fn unshared<K: MicroKernel>(shape: &Conv2dShape, parameter_words: usize) -> Self {
        let pixel = shape.pixel();
        let runs = Runs::new(&pixel, &K::DENSE);
        let per_word = 4 / size_of::<K::Activation>();
        let pitch =
            ((shape.input[1] + shape.padding[1] + shape.padding[3]) * shape.input[2]).next_multiple_of(per_word);
        let blank = if shape.padding[0] + shape.padding[2] > 0 { 1 } else { 0 };
        let rows = shape.extent(0);
        let output = shape.output();
        let packed = K::DENSE.packed_words(&pixel, 8 * size_of::<K::Weight>(), parameter_words);
        if packed as u64 * output[0] as u64 * output[1] as u64 > 1 << 28 {
            panic!("{}", ShapeError::TooLarge.message());
        }
        Self {
            runs,
            output,
            packed: packed * output[0] * output[1],
            groups: 1,
            columns: 1,
            table: runs.count(),
            sums: K::DENSE.block * words::<K::Accumulator>(),
            rows,
            pitch,
            ring: ((rows + blank) * pitch + runs.overhang()).div_ceil(per_word),
            unpacked: 0,
        }
    }

    /// Words of packed filters.
    pub const fn packed_words(&self) -> usize {
        self.packed * self.groups
    }

    /// Words of scratch memory.
    pub const fn scratch_words(&self) -> usize {
        self.table + self.sums + self.ring + self.unpacked
    }
}

/// Words of a sum.
const fn words<A>() -> usize {
    size_of::<A>() / 4
}

const fn at_least_1(n: usize) -> usize {
    if n == 0 { 1 } else { n }
}

/// A convolution on backend `B`: what it needs besides its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution<B: Backend, E: Epilogue> {
    /// Height and width of the input.
    size: [usize; 2],
    /// The geometry of a group, its rows merged where that is of use; it has passed its check.
    part: Conv2dShape,
    /// What follows from it.
    plan: Plan,
    /// What padding holds.
    fill: E::Input,
    /// What all channels share in the epilogue.
    common: E::Common,
    /// Whether an output row has one pixel.
    dense: bool,
    /// What finishes whole blocks, and the others.
    finish: [Finish<E>; 2],
    /// The routine that the backend has for the shape.
    routine: Option<Routine>,
    /// Values from an output row, and from an output column, to the next.
    steps: [usize; 2],
    /// Whether every output pixel has filters of its own.
    unshared: bool,
    /// Values of memory that input and output take where they overlap; more than there are where they may not.
    overlapping: usize,
    backend: PhantomData<B>,
}

impl<R: Rounding> Convolution<Native, R> {
    /// An int8 convolution on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn int8(shape: Conv2dShape, zero_point: i8, common: CommonRequantization) -> Self {
        let mut convolution = Self::new(shape, zero_point, common, routine(&shape.part(), false));
        if common.low == -128 && common.high == 127 {
            convolution.finish = finish::<Native, Saturate<R>>(&shape, &convolution.plan.runs);
        }
        convolution.finished(requantization(&common, R::MODE, convolution.dense))
    }

    /// An int8 convolution on the native backend whose every output pixel has filters of its own.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn unshared_int8(shape: Conv2dShape, zero_point: i8, common: CommonRequantization) -> Self {
        let convolution = Self::unshared(shape, zero_point, common, routine(&shape.pixel(), false));
        convolution.finished(requantization(&common, R::MODE, true))
    }
}

impl<R: Rounding> Convolution<Native, Int4<R>> {
    /// A convolution of int8 values with int4 weights on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn int4(shape: Conv2dShape, zero_point: i8, common: CommonRequantization) -> Self {
        let convolution = Self::new(shape, zero_point, common, routine(&shape.part(), false));
        convolution.finished(requantization(&common, R::MODE, convolution.dense))
    }
}

impl<E: Epilogue<Input = i8>> Convolution<Native, E> {
    /// The same with the routine for weights that keep to [`narrow`](crate::pack::narrow).
    pub const fn narrow(self) -> Self {
        Self { routine: routine(&self.part, true), ..self }
    }
}

impl<R: Rounding> Convolution<Native, Int16x8<R>> {
    /// A convolution of int16 values with int8 weights on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn int16(shape: Conv2dShape, common: CommonRequantization) -> Self {
        Self::new(shape, 0, common, routine_i16(&shape.part()))
    }

    /// A convolution of int16 values on the native backend whose every output pixel has filters of its own.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn unshared_int16(shape: Conv2dShape, common: CommonRequantization) -> Self {
        Self::unshared(shape, 0, common, routine_i16(&shape.pixel()))
    }
}

impl Convolution<Native, Int16x8Wide> {
    /// A convolution of int16 values with int8 weights and sums of 64 bits.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn int16_wide(shape: Conv2dShape, common: CommonRequantization) -> Self {
        Self::new(shape, 0, common, None)
    }
}

impl Convolution<Native, Clamp> {
    /// A convolution in single precision on the native backend whose every output pixel has filters of its own.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn unshared_float(shape: Conv2dShape, bounds: [f32; 2]) -> Self {
        Self::unshared(shape, 0.0, bounds, None)
    }

    /// A convolution in single precision on the native backend.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn float(shape: Conv2dShape, bounds: [f32; 2]) -> Self {
        Self::new(shape, 0.0, bounds, None)
    }
}

impl<B: Backend, E: Epilogue> Convolution<B, E> {
    /// A convolution on any backend, made at run time; `fill` is what padding holds.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub fn dynamic(shape: Conv2dShape, fill: E::Input, common: E::Common) -> Self {
        let convolution = Self::new(shape, fill, common, E::Kernel::<B>::routine(&shape.part()));
        convolution.finished(E::requantization::<B>(&common, convolution.dense))
    }

    /// The same with what the backend finishes its numbers with, if its strips are plain.
    const fn finished(self, finish: Option<Finish<E>>) -> Self {
        let plain = self.part.pool[0] == 1 && self.part.pool[1] == 1 && self.plan.runs.phases == 1;
        match finish {
            Some(finish) if plain => Self { finish: [finish; 2], ..self },
            _ => self,
        }
    }

    /// The routine is the one that the backend chooses for the shape.
    const fn new(shape: Conv2dShape, fill: E::Input, common: E::Common, routine: Option<Routine>) -> Self {
        let plan = Plan::new::<B, E>(&shape);
        let part = shape.part().merged();
        let dense = is_dense(&part);
        let finish = finish::<B, E>(&part, &plan.runs);
        let [_, width, _] = plan.output;
        let steps = [width * shape.filters, shape.filters];
        let size = [shape.input[0], shape.input[1]];
        let (unshared, overlapping, backend) = (false, shape.overlapping_len(), PhantomData);
        Self { size, part, plan, fill, common, dense, finish, routine, steps, unshared, overlapping, backend }
    }

    /// A convolution whose every output pixel has filters of its own. The routine is that of [`Conv2dShape::pixel`].
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    const fn unshared(shape: Conv2dShape, fill: E::Input, common: E::Common, routine: Option<Routine>) -> Self {
        let plan = Self::unshared_plan(&shape);
        let finish = finish::<B, E>(&shape.pixel(), &plan.runs);
        let steps = [plan.output[1] * shape.filters, shape.filters];
        let size = [shape.input[0], shape.input[1]];
        let (part, dense, unshared, overlapping, backend) = (shape, true, true, usize::MAX, PhantomData);
        Self { size, part, plan, fill, common, dense, finish, routine, steps, unshared, overlapping, backend }
    }

    /// The plan of a convolution whose every output pixel has filters of its own.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub const fn unshared_plan(shape: &Conv2dShape) -> Plan {
        if let Err(error) = shape.check_unshared() {
            panic!("{}", error.message());
        }
        Plan::unshared::<E::Kernel<B>>(shape, E::WORDS)
    }

    /// [`unshared`](Self::unshared), made at run time.
    ///
    /// # Panics
    /// Where the shape breaks a rule.
    pub fn dynamic_unshared(shape: Conv2dShape, fill: E::Input, common: E::Common) -> Self {
        Self::unshared(shape, fill, common, E::Kernel::<B>::routine(&shape.pixel()))
    }

    /// The same with outputs further apart: so many values from an output row, and from an output column, to the next.
    pub const fn spread(self, steps: [usize; 2]) -> Self {
        // Merged rows have no place of their own.
        let part = self.shape().part();
        let plan = Plan::for_kernel::<E::Kernel<B>>(&part, E::WORDS, E::WEIGHT_BITS, self.plan.groups);
        Self { steps, part, plan, overlapping: usize::MAX, ..self }
    }

    /// The number of values from the first output to behind the last.
    pub const fn reach(&self) -> usize {
        let [height, width, channels] = self.plan.output;
        (height - 1) * self.steps[0] + (width - 1) * self.steps[1] + channels * self.plan.groups
    }

    /// The same on another backend.
    pub fn on<Other: Backend>(&self) -> Convolution<Other, E> {
        if self.unshared {
            return Convolution::dynamic_unshared(self.part, self.fill, self.common);
        }
        let &Self { size, part, fill, common, dense, steps, unshared, overlapping, .. } = self;
        let plan = Plan::for_kernel::<E::Kernel<Other>>(&part, E::WORDS, E::WEIGHT_BITS, self.plan.groups);
        let finish = finish::<Other, E>(&part, &plan.runs);
        let routine = E::Kernel::<Other>::routine(&part);
        let backend = PhantomData;
        Convolution { size, part, plan, fill, common, dense, finish, routine, steps, unshared, overlapping, backend }
    }

    /// Its geometry.
    pub const fn shape(&self) -> Conv2dShape {
        let Self { size: [height, width], part, plan: Plan { groups, .. }, .. } = *self;
        let input = [height, width, part.input[2] * groups];
        Conv2dShape { input, filters: part.filters * groups, groups, ..part }
    }

    /// What it needs.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Convolution, epilogue and maximum pooling. With constant lengths the checks vanish from optimized code.
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
        if input.len() != self.input_len() {
            return Err(ShapeError::Input);
        }
        if output.len() != self.reach() {
            return Err(ShapeError::Output);
        }
        self.check(packed, scratch)?;
        // SAFETY: the lengths and the backend have just been checked. Only `new` makes a convolution, so that its plan
        // is that of `B` for the shape, and its routine the one that `B` chose for it.
        unsafe {
            body::<B, E, E::Kernel<B>>(
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

    /// The whole picture.
    #[inline(always)]
    const fn all_rows(&self) -> Span {
        let ([height, width, _], [rows, columns, _]) = (self.part.input, self.plan.output);
        Span { rows: [0, rows], next: 0, until: height, size: [height, width], columns }
    }

    /// Height, width and channels of the output, its rows as they are without merging.
    const fn output(&self) -> Shape {
        let [height, width, channels] = self.plan.output;
        if self.part.input[1] == self.size[1] {
            [height, width, channels]
        } else {
            [self.size[0], self.size[1], channels]
        }
    }

    /// Takes an input row, and computes an output row where `at` says that it is ready; for convolutions that
    /// [`Conv2dShape::check_streamed`] accepts. All rows come in order, a row again as long as output rows are ready.
    ///
    /// # Errors
    /// Where the length of a slice is not the shape's, there is no such output row, or the convolution has groups or is
    /// spread or unshared.
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
        let ([height, width], [out_height, columns, channels]) = (self.size, self.output());
        if self.plan.groups > 1 || self.overlapping == usize::MAX {
            return Err(ShapeError::Streamed);
        }
        if row.len() != width * self.part.input[2] || at.read >= height {
            return Err(ShapeError::Input);
        }
        if output.len() != columns * channels || (at.ready && at.written >= out_height) {
            return Err(ShapeError::Output);
        }
        self.check(packed, scratch)?;
        let rows = [at.written, at.written + usize::from(at.ready)];
        let span = Span { rows, next: at.read, until: at.read + 1, size: self.size, columns };
        // As if the rows before this one were there. The body reads this one alone.
        let input = row.as_ptr().wrapping_sub(at.read * row.len());
        // SAFETY: as in `run`, for one output row at most, and one input row: no other is at or after `next` and before
        // `until`.
        unsafe {
            body::<B, E, E::Kernel<B>>(self, &span, packed.as_ptr(), input, output.as_mut_ptr(), scratch.as_mut_ptr());
        }
        Ok(())
    }

    /// The number of input values.
    const fn input_len(&self) -> usize {
        let [height, width, channels] = self.part.input;
        height * width * channels * self.plan.groups
    }

    /// # Errors
    /// Where the length of a slice is not the shape's.
    ///
    /// # Panics
    /// Where this machine lacks the backend.
    #[inline(always)]
    fn check(&self, packed: &[u32], scratch: &[u32]) -> Result<(), ShapeError> {
        assert!(B::available(), "this machine cannot run the backend {}", B::NAME);
        if packed.len() != self.plan.packed_words() {
            return Err(ShapeError::Packed);
        }
        if scratch.len() < self.plan.scratch_words() {
            return Err(ShapeError::Scratch);
        }
        Ok(())
    }
}

impl<B: Backend, T: bytemuck::Pod, E: Epilogue<Input = T, Output = T>> Convolution<B, E> {
    /// [`run`](Self::run) of the last values of `memory` to its first.
    ///
    /// # Errors
    /// Where the length of a slice is not the shape's, `memory` is shorter than [`Conv2dShape::overlapping_len`], or the
    /// convolution is spread or unshared.
    ///
    /// # Panics
    /// Where this machine lacks the backend.
    #[inline(always)]
    pub fn run_overlapping(&self, packed: &[u32], memory: &mut [T], scratch: &mut [u32]) -> Result<(), ShapeError> {
        if memory.len() < self.overlapping {
            return Err(ShapeError::Overlap);
        }
        self.check(packed, scratch)?;
        let output = memory.as_mut_ptr();
        // SAFETY: as in `run`. The memory has room for the input, which ends with it, and for the output, which begins
        // with it: no shorter than `overlapping_len`, it keeps the output from values that are still to be read.
        unsafe {
            let input = output.add(memory.len() - self.input_len());
            body::<B, E, E::Kernel<B>>(self, &self.all_rows(), packed.as_ptr(), input, output, scratch.as_mut_ptr());
        }
        Ok(())
    }
}

/// The rows that a call of the body reads and computes.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// The first output row and the one behind the last; `output` points to the first.
    rows: [usize; 2],
    /// The next input row to load: those before are in the ring, or are not needed any more. Where it is 0, the ring is
    /// filled with padding first.
    next: usize,
    /// The input row behind the last that there is.
    until: usize,
    /// Height and width of the input.
    size: [usize; 2],
    /// Columns of the output.
    columns: usize,
}

/// Rows are read and written in the order that [`Conv2dShape::overlap`] tells of.
///
/// # Safety
/// As [`Convolution::run`]: the lengths are those it checks, and the pointers are to as much memory. Input and output may
/// overlap as [`Convolution::run_overlapping`] has it, where the types are the same.
#[inline(never)]
unsafe fn body<B: Backend, E: Epilogue, K: MicroKernel<Input = E::Input, Accumulator = E::Accumulator>>(
    convolution: &Convolution<B, E>,
    span: &Span,
    packed: *const u32,
    input: *const E::Input,
    output: *mut E::Output,
    scratch: *mut u32,
) {
    // Not known here: the compiler would make copies of this for some of a network's layers.
    let convolution = black_box(convolution);
    let Convolution { part: shape, plan, .. } = convolution;
    // SAFETY: a filter has a phase. Divisions by it need no test then, and so no panic.
    unsafe { assert_unchecked(plan.runs.phases > 0) };
    let dense = convolution.dense;
    let layout = if dense { K::DENSE } else { K::CONVOLUTION };
    let runs = plan.runs;
    let (out_w, out_c) = (span.columns, plan.output[2]);
    let [row_step, column_step] = convolution.steps;
    let [pool_h, pool_w] = shape.pool;
    // SAFETY: table, accumulators and ring follow each other in the scratch memory, which has room for them.
    let (sums, ring) = unsafe {
        let sums = scratch.add(plan.table);
        (sums.cast::<K::Accumulator>(), sums.add(plan.sums).cast::<K::Activation>())
    };
    // SAFETY: the unpacked weights are behind the ring.
    let unpacked = unsafe { scratch.add(plan.table + plan.sums + plan.ring) };
    let mut rows = Rows::<K> { shape, input, ring, plan, span, first: 0, next: span.next };
    // Not a comparison of arrays, which links `memcmp`.
    let padded = (shape.padding[0] | shape.padding[1] | shape.padding[2] | shape.padding[3]) > 0;
    if span.next == 0 && padded {
        // SAFETY: as above.
        unsafe { rows.clear(convolution.fill) };
    }

    let pixels = if dense { 1 } else { K::PIXELS };
    let all = out_c * runs.phases;
    let mut strip = Strip::<K> {
        activations: ring,
        runs: scratch,
        run_count: runs.count(),
        run_groups: runs.groups,
        pixel_step: runs.phases * runs.step,
        weights: packed.cast(),
        bias: packed.cast(),
        pixels,
        rows: pool_h,
        routine: convolution.routine,
        taps: runs.stretch,
        merged: runs.merged,
    };
    let mut tiles = Sums {
        sums,
        pixels,
        channels: layout.block,
        pool: shape.pool,
        phases: runs.phases,
        columns: plan.columns,
        present: layout.block,
        parameters: packed,
        stride: column_step,
    };
    // One loop over the rows of all groups.
    let (mut packed, mut group_output, mut out_row, mut out_y) = (packed, output, output, span.rows[0]);
    let mut groups = plan.groups;
    while groups > 0 {
        // SAFETY: the table and the ring are the rows' alone.
        unsafe { rows.prepare(out_y, scratch) };
        if out_y == span.rows[1] {
            // An input row alone.
            break;
        }
        let mut out_x = 0;
        while out_x < out_w {
            tiles.columns = plan.columns.min(out_w - out_x);
            strip.pixels = (tiles.columns * pool_w).div_ceil(runs.phases);
            // SAFETY: the strip begins at a pixel of the rows, and its output in the row.
            let mut out = unsafe {
                strip.activations = ring.add(out_x * pool_w * runs.step);
                out_row.add(out_x * column_step)
            };
            let (mut first, mut block) = (0, packed);
            while first < all {
                let channels = layout.block_at(first, all);
                (tiles.channels, tiles.present) = (channels, channels.min(all - first) / runs.phases);
                // SAFETY: `packed` holds this block. `sums` has room for the pooled convolution rows of a strip. The
                // rows of this output row are loaded, and its tables are written, one for each pooled row.
                unsafe {
                    strip.bias = block.cast();
                    tiles.parameters = block.add(channels);
                    block = block.add(channels * (1 + E::WORDS));
                    let weight_words = layout.weight_words(&runs, channels, E::WEIGHT_BITS);
                    strip.weights = if E::WEIGHT_BITS == 4 {
                        unpack_block(block, unpacked, weight_words, layout.format);
                        unpacked.cast()
                    } else {
                        block.cast()
                    };
                    strip.runs = scratch;
                    for y in 0..pool_h {
                        K::strip(&strip, channels, sums.add(y * pixels * channels));
                        strip.runs = strip.runs.add(runs.count());
                    }
                    let partial = tiles.present * runs.phases < layout.block;
                    convolution.finish[usize::from(partial)](&tiles, &convolution.common, out);
                    out = out.add(tiles.present);
                    block = block.add(weight_words);
                }
                first += channels;
            }
            if convolution.unshared {
                packed = block;
            }
            out_x += tiles.columns;
        }
        (out_row, out_y) = (out_row.wrapping_add(row_step), out_y + 1);
        if out_y == span.rows[1] {
            // Not used again where filters are unshared, as there is one group.
            packed = packed.wrapping_add(plan.packed);
            group_output = group_output.wrapping_add(out_c);
            (out_row, out_y, groups) = (group_output, span.rows[0], groups - 1);
            (rows.next, rows.first) = (0, rows.first + shape.input[2]);
        }
    }
}

/// Unpacks int4 weights.
///
/// # Safety
/// `from` is valid for reads of `words` words, `to` for writes of twice as many.
#[inline(never)]
unsafe fn unpack_block(from: *const u32, to: *mut u32, words: usize, format: Format) {
    let signs = format.signs();
    for word in 0..words {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[u32; 2]>().add(word).write(unpack(*from.add(word), signs)) };
    }
}

/// The ring of widened input rows.
struct Rows<'a, K: MicroKernel> {
    shape: &'a Conv2dShape,
    input: *const K::Input,
    ring: *mut K::Activation,
    plan: &'a Plan,
    span: &'a Span,
    /// The first input channel of the group.
    first: usize,
    /// The next input row to load.
    next: usize,
}

impl<K: MicroKernel> Rows<'_, K> {
    /// Fills the ring, its borders and the blank row with padding.
    ///
    /// # Safety
    /// The ring is valid for writes of the plan's words.
    unsafe fn clear(&mut self, padding: K::Input) {
        let len = self.plan.ring * (4 / size_of::<K::Activation>());
        // SAFETY: the caller's promise.
        unsafe { fill(self.ring, len, K::widen(padding)) };
    }

    /// Loads the input rows that output row `out_y` sees, of those that there are, and writes the offsets of its runs.
    ///
    /// # Safety
    /// The scratch memory has room for the table and the ring, and nothing else refers to it. The input is valid for
    /// reads of the rows that are yet to be loaded.
    unsafe fn prepare(&mut self, out_y: usize, table: *mut u32) {
        let (shape, plan) = (self.shape, self.plan);
        let runs = &plan.runs;
        // SAFETY: the ring has a row. The divisions need no test then.
        unsafe { assert_unchecked(plan.rows > 0) };
        let ([height, width], channels) = (self.span.size, shape.input[2]);
        // Row numbers count the padding above the input as rows, until it is subtracted.
        let top = out_y * shape.pool[0] * shape.stride[0];
        let first = top.saturating_sub(shape.padding[0]);
        let end = (top + plan.rows).saturating_sub(shape.padding[0]).min(self.span.until);
        self.next = self.next.max(first);
        while self.next < end {
            let start = (self.next + shape.padding[0]) % plan.rows * plan.pitch + shape.padding[1] * channels;
            let len = width * channels;
            // SAFETY: the row lies in the ring, its padding on both sides; `next` is a row of the input, and of each of
            // its pixels the group's channels begin at `first`.
            unsafe {
                let row = self.ring.add(start);
                if plan.groups == 1 {
                    let from = core::slice::from_raw_parts(self.input.add(self.next * len), len);
                    K::load_row(from, core::slice::from_raw_parts_mut(row, len));
                } else {
                    for x in 0..width {
                        let pixel = (self.next * width + x) * channels * plan.groups + self.first;
                        let from = core::slice::from_raw_parts(self.input.add(pixel), channels);
                        K::load_row(from, core::slice::from_raw_parts_mut(row.add(x * channels), channels));
                    }
                }
            }
            self.next += 1;
        }

        let (columns, step) =
            if shape.dilation[1] == 1 { (1, 0) } else { (shape.filter[1], shape.dilation[1] * channels) };
        let mut at = table;
        for y in 0..shape.pool[0] {
            let mut row = top + y * shape.stride[0];
            let mut place = row % plan.rows;
            for _ in 0..shape.filter[0] {
                let inside = row >= shape.padding[0] && row - shape.padding[0] < height;
                let start = if inside { place } else { plan.rows } * plan.pitch;
                row += shape.dilation[0];
                // One step of the filter is less than the ring, unless the filter has no other row.
                place += shape.dilation[0];
                place = if place >= plan.rows { place - plan.rows } else { place };
                for j in 0..columns {
                    for part in 0..runs.parts {
                        let offset = start + j * step + part * runs.taps;
                        // SAFETY: the table has `pool[0] * filter[0] * columns * parts` words.
                        at = unsafe { push(at, offset as u32) };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::sealed::Sealed;

    /// A kernel of a core that tests do not run on, for its layouts.
    macro_rules! kernel {
        ($(#[$doc:meta])* $kernel:ident, $activation:ty, [$convolution:expr, $dense:expr], $pixels:literal, $strip:literal) => {
            $(#[$doc])*
            struct $kernel;

            impl Sealed for $kernel {}

            impl MicroKernel for $kernel {
                type Input = i8;
                type Weight = i8;
                type Activation = $activation;
                type Accumulator = i32;
                const CONVOLUTION: Layout = $convolution;
                const DENSE: Layout = $dense;
                const PIXELS: usize = $pixels;
                const STRIP: usize = $strip;

                fn widen(_: i8) -> $activation {
                    unreachable!("no body runs on this kernel")
                }

                fn load_row(_: &[i8], _: &mut [$activation]) {
                    unreachable!("no body runs on this kernel")
                }

                unsafe fn strip(_: &Strip<Self>, _: usize, _: *mut i32) {
                    unreachable!("no body runs on this kernel")
                }
            }
        };
    }

    kernel!(
        /// A core with DSP: the most intricate layouts.
        Dsp, i16, [Layout::byte_pairs(4), Layout::byte_pairs(8)], 2, 16
    );
    kernel!(
        /// Helium: the longest groups.
        Wide, i8, [Layout::channels(8, 2, 16).merging(64), Layout::channels(8, 2, 16)], 2, 32
    );

    /// No strip of a shape reads past the ring, or writes past the accumulators.
    fn stays_inside<K: MicroKernel>(shape: &Conv2dShape) {
        let plan = Plan::for_kernel::<K>(shape, 1, 8, 1);
        let (dense, runs) = (is_dense(shape), plan.runs);
        let pixels = if dense { 1 } else { K::PIXELS };
        let blank = usize::from(shape.padding[0] + shape.padding[2] > 0);
        let last_row = (plan.rows + blank - 1) * plan.pitch;
        let columns = if shape.dilation[1] == 1 { 1 } else { shape.filter[1] };
        let last_run = last_row + (columns - 1) * shape.dilation[1] * shape.input[2] + (runs.parts - 1) * runs.taps;
        let mut out_x = 0;
        while out_x < plan.output[1] {
            let strip = plan.columns.min(plan.output[1] - out_x);
            let positions = (strip * shape.pool[1]).div_ceil(runs.phases).next_multiple_of(pixels);
            let first = out_x * shape.pool[1] * runs.step;
            let end = last_run + first + (positions - 1) * runs.phases * runs.step + runs.taps + runs.overread;
            let activations = plan.ring * (4 / size_of::<K::Activation>());
            assert!(end <= activations, "{shape:?} reads up to {end} of {activations}");
            let sums = positions * layout::<K>(shape).block * shape.pool[0];
            assert!(sums <= plan.sums, "{shape:?} writes {sums} of {}", plan.sums);
            out_x += strip;
        }
    }

    #[test]
    fn strips_stay_inside_the_scratch_memory() {
        let mut state = 1u64;
        let mut within = |low: usize, high: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            low + (state >> 33) as usize % (high - low + 1)
        };
        let mut checked = 0;
        while checked < 100_000 {
            let wide = within(0, 3) == 0;
            let mut axis = |size: usize| {
                [within(1, size), within(1, 6), within(1, 4), within(1, 4), within(0, 5), within(0, 5), within(1, 5)]
            };
            let (y, x) = (axis(9), axis(if wide { 150 } else { 9 }));
            let channels = if wide { within(1, 3) } else { within(1, 40) };
            let shape = Conv2dShape {
                input: [y[0], x[0], channels],
                filters: within(1, 20),
                filter: [y[1], x[1]],
                stride: [y[2], x[2]],
                dilation: [y[3], x[3]],
                padding: [y[4], x[4], y[5], x[5]],
                pool: [y[6], x[6]],
                groups: 1,
            };
            let pointwise = Conv2dShape::new(shape.input, shape.filters, [1, 1]).merged();
            let shape = if within(0, 9) == 0 { pointwise } else { shape };
            if shape.check().is_err() {
                continue;
            }
            checked += 1;
            stays_inside::<Dsp>(&shape);
            stays_inside::<Wide>(&shape);
            stays_inside::<<crate::arch::Portable as Backend>::Int8>(&shape);
            #[cfg(target_arch = "x86_64")]
            {
                use crate::arch::{Avx2, Avx512Vnni, Sse2};
                stays_inside::<<Avx2 as Backend>::Int8>(&shape);
                stays_inside::<<Avx2 as Backend>::Float>(&shape);
                stays_inside::<<Avx512Vnni as Backend>::Int8>(&shape);
                // Whatever a machine turns out to have gets the memory that AVX2 would.
                let words = |plan: Plan| (plan.packed_words(), plan.scratch_words());
                let avx2 = words(Plan::new::<Avx2, crate::SingleRounding>(&shape));
                for other in [
                    words(Plan::new::<Sse2, crate::SingleRounding>(&shape)),
                    words(Plan::new::<Avx512Vnni, crate::SingleRounding>(&shape)),
                ] {
                    assert!(other.0 == avx2.0 && other.1 <= avx2.1, "{shape:?}");
                }
            }
        }
    }
}
