//! The body of every 2-D convolution, dense layers included.

use super::{Backend, Epilogue, MicroKernel, Routine, Strip};
use crate::pack::{Layout, Runs};
use crate::shape::{Conv2dShape, ShapeError};

/// Whether an output row has one pixel, as that of a dense layer.
const fn is_dense(shape: &Conv2dShape) -> bool {
    shape.convolved()[1] == 1
}

/// The layout that a shape's filters are packed in.
pub(crate) const fn layout<K: MicroKernel>(shape: &Conv2dShape) -> Layout {
    if is_dense(shape) { K::DENSE } else { K::CONVOLUTION }
}

/// The scratch memory of a convolution: run offsets, then accumulators of a strip, then the ring of input rows.
struct Scratch {
    /// Words of run offsets, for each of the convolution rows that one output row pools.
    table: usize,
    /// Columns of the output, after pooling, in a strip.
    columns: usize,
    /// Words of accumulators.
    sums: usize,
    /// Rows in the ring.
    rows: usize,
    /// Activations from one row to the next.
    pitch: usize,
    /// Words of the ring.
    ring: usize,
}

impl Scratch {
    const fn new<K: MicroKernel>(shape: &Conv2dShape, layout: &Layout, runs: &Runs) -> Self {
        let per_word = 4 / size_of::<K::Activation>();
        let [_, width, channels] = shape.input;
        let pixels = if is_dense(shape) { 1 } else { K::PIXELS };
        let columns = at_least_1(K::STRIP * runs.phases / shape.pool[1]);
        let out_w = shape.output()[1];
        let columns = if columns < out_w { columns } else { out_w };
        let positions = (columns * shape.pool[1]).div_ceil(runs.phases).next_multiple_of(pixels);

        let pitch = ((width + shape.padding[1] + shape.padding[3]) * channels).next_multiple_of(per_word);
        let rows = shape.extent(0) + (shape.pool[0] - 1) * shape.stride[0];
        let blank = if shape.padding[0] + shape.padding[2] > 0 { 1 } else { 0 };
        // Past the last row a strip may read further pixels and taps, which nobody uses.
        let beyond = pixels * runs.phases * runs.step + runs.overhang();
        Self {
            table: shape.pool[0] * runs.count(),
            columns,
            sums: positions * layout.block * shape.pool[0],
            rows,
            pitch,
            ring: ((rows + blank) * pitch + beyond).div_ceil(per_word),
        }
    }

    const fn words(&self) -> usize {
        self.table + self.sums + self.ring
    }
}

const fn at_least_1(n: usize) -> usize {
    if n == 0 { 1 } else { n }
}

/// Words of packed filters that [`conv2d`] needs.
pub(crate) const fn packed_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
    let weight_bytes = size_of::<<E::Kernel<B> as MicroKernel>::Weight>();
    layout::<E::Kernel<B>>(shape).packed_words(shape, weight_bytes, E::WORDS)
}

/// Words of scratch memory that [`conv2d`] needs.
pub(crate) const fn scratch_words<B: Backend, E: Epilogue>(shape: &Conv2dShape) -> usize {
    let layout = layout::<E::Kernel<B>>(shape);
    Scratch::new::<E::Kernel<B>>(shape, &layout, &Runs::new(shape, &layout)).words()
}

/// What a convolution needs besides its memory.
#[derive(Debug)]
pub(crate) struct Convolution<E: Epilogue> {
    /// The geometry; it has passed its check.
    pub shape: Conv2dShape,
    /// What padding holds.
    pub fill: E::Input,
    /// What all channels share in the epilogue.
    pub common: E::Common,
    /// The routine that the backend chose for the shape.
    pub routine: Option<Routine>,
}

/// Convolution, epilogue and maximum pooling, on a backend that the caller knows to be available.
///
/// # Errors
/// Where the length of a slice is not the shape's.
#[inline(always)]
pub(crate) fn conv2d<B: Backend, E: Epilogue>(
    convolution: &Convolution<E>,
    packed: &[u32],
    input: &[E::Input],
    output: &mut [E::Output],
    scratch: &mut [u32],
) -> Result<(), ShapeError> {
    let shape = &convolution.shape;
    let ([h, w, c], [out_h, out_w, out_c]) = (shape.input, shape.output());
    if input.len() != h * w * c {
        return Err(ShapeError::Input);
    }
    if output.len() != out_h * out_w * out_c {
        return Err(ShapeError::Output);
    }
    if packed.len() != packed_words::<B, E>(shape) {
        return Err(ShapeError::Packed);
    }
    if scratch.len() < scratch_words::<B, E>(shape) {
        return Err(ShapeError::Scratch);
    }
    // SAFETY: the lengths are those that `body` names.
    unsafe {
        body::<E::Kernel<B>, E>(convolution, packed.as_ptr(), input, output.as_mut_ptr(), scratch.as_mut_ptr());
    }
    Ok(())
}

/// # Safety
/// The shape passes its check; `packed` holds `packed_words` words, `scratch` `scratch_words` words, `output` as many
/// values as the shape's output, `input` is as long as the shape's input; the backend is available.
#[inline(never)]
unsafe fn body<K: MicroKernel<Input = E::Input, Accumulator = E::Accumulator>, E: Epilogue>(
    convolution: &Convolution<E>,
    packed: *const u32,
    input: &[E::Input],
    output: *mut E::Output,
    scratch: *mut u32,
) {
    let shape = &convolution.shape;
    let dense = is_dense(shape);
    let layout = layout::<K>(shape);
    let runs = Runs::new(shape, &layout);
    let plan = Scratch::new::<K>(shape, &layout, &runs);
    let [out_h, out_w, out_c] = shape.output();
    let [pool_h, pool_w] = shape.pool;
    // SAFETY: table, accumulators and ring follow each other in the scratch memory, which has room for them.
    let (sums, ring) = unsafe {
        let sums = scratch.add(plan.table);
        (sums.cast::<K::Accumulator>(), sums.add(plan.sums).cast::<K::Activation>())
    };
    let mut rows = Rows::<K> { shape, input, ring, plan: &plan, next: 0 };
    // SAFETY: as above. Every activation is written once, so that later reads are of initialized memory.
    unsafe { rows.clear(convolution.fill) };

    let pixels = if dense { 1 } else { K::PIXELS };
    let all = out_c * runs.phases;
    for out_y in 0..out_h {
        // SAFETY: the table and the ring are the rows' alone, and `out_y` is an output row.
        unsafe { rows.prepare(out_y, &runs, scratch) };
        let mut out_x = 0;
        while out_x < out_w {
            let columns = plan.columns.min(out_w - out_x);
            // SAFETY: `out_y` and `out_x` are within the output.
            let mut out = unsafe { output.add((out_y * out_w + out_x) * out_c) };
            let (mut first, mut block) = (0, packed);
            while first < all {
                let channels = layout.block_at(first, all);
                let present = channels.min(all - first) / runs.phases;
                // SAFETY: `packed` holds this block. `sums` has room for the pooled convolution rows of a strip. The
                // rows of this output row are loaded, and its table is written.
                unsafe {
                    let mut strip = Strip::<K> {
                        activations: ring.add(out_x * pool_w * runs.step),
                        runs: scratch,
                        run_count: runs.count(),
                        run_groups: runs.groups,
                        pixel_step: runs.phases * runs.step,
                        weights: block.add(channels * (1 + E::WORDS)).cast(),
                        bias: block.cast(),
                        pixels: (columns * pool_w).div_ceil(runs.phases),
                        rows: pool_h,
                        routine: convolution.routine,
                    };
                    let tile = pixels * channels;
                    for y in 0..pool_h {
                        K::strip(&strip, channels, dense, sums.add(y * tile));
                        strip.runs = strip.runs.add(runs.count());
                    }
                    let strip = Sums {
                        sums,
                        pixels,
                        channels,
                        pool: shape.pool,
                        phases: runs.phases,
                        columns,
                        present,
                        parameters: block.add(channels),
                        stride: out_c,
                    };
                    finish::<K, E>(&strip, &convolution.common, out);
                    out = out.add(present);
                    block = block.add(channels * (1 + E::WORDS));
                    block = block.add(layout.weight_words(&runs, channels, size_of::<K::Weight>()));
                }
                first += channels;
            }
            out_x += columns;
        }
    }
}

/// The accumulators of a strip, and where their outputs go.
///
/// They are `[tile][row of the pooling window][position in the tile][channel][phase]`: a tile is what the micro-kernel
/// computes at once, a position is a pixel, or as many as there are phases.
struct Sums<A> {
    sums: *const A,
    /// Positions in a tile.
    pixels: usize,
    /// Channels times phases.
    channels: usize,
    /// The pooling window.
    pool: [usize; 2],
    phases: usize,
    /// Output columns.
    columns: usize,
    /// Output channels.
    present: usize,
    /// The block's parameters, the same for each phase.
    parameters: *const u32,
    /// Values from an output column to the next.
    stride: usize,
}

/// Pools accumulators and writes outputs.
///
/// Pooling before the epilogue gives the same bits as after it, since an epilogue is monotonous (all positions share
/// their channel's parameters) and takes values that compare equal to the same bits. It needs a fraction of the
/// requantizations.
///
/// # Safety
/// The strip's accumulators and parameters are there, and so is room for its outputs.
#[inline(always)]
unsafe fn finish<K: MicroKernel<Accumulator = E::Accumulator>, E: Epilogue>(
    strip: &Sums<E::Accumulator>,
    common: &E::Common,
    output: *mut E::Output,
) {
    let whole = strip.pixels == K::PIXELS && strip.present * strip.phases == K::CONVOLUTION.block;
    // SAFETY: the caller's promise.
    unsafe {
        match (strip.pool, strip.phases) {
            ([1, 1], 1) if strip.columns == 1 => finish_pixel::<E>(strip, common, output),
            ([1, 1], 1) if whole => finish_tiles::<K, E, 1, 1, true>(strip, common, output),
            ([2, 2], 1) if whole => finish_tiles::<K, E, 2, 1, true>(strip, common, output),
            ([2, 2], 2) if whole => finish_tiles::<K, E, 2, 2, true>(strip, common, output),
            ([1, 1], 1) if strip.pixels == K::PIXELS => finish_tiles::<K, E, 1, 1, false>(strip, common, output),
            ([2, 2], 1) if strip.pixels == K::PIXELS => finish_tiles::<K, E, 2, 1, false>(strip, common, output),
            _ => finish_any::<E>(strip, common, output),
        }
    }
}

/// [`finish`] for a window of `POOL` by `POOL`. Where the block is `WHOLE`, every place in a tile is a constant.
///
/// # Safety
/// As [`finish`]; `POOL` and `PHASES` are the strip's, its pixels are `PIXELS`; a `WHOLE` block has the channels of a
/// convolution's full block.
// Not inlined: in a body of its own its few pointers stay in registers.
#[inline(never)]
unsafe fn finish_tiles<
    K: MicroKernel<Accumulator = E::Accumulator>,
    E: Epilogue,
    const POOL: usize,
    const PHASES: usize,
    const WHOLE: bool,
>(
    strip: &Sums<E::Accumulator>,
    common: &E::Common,
    output: *mut E::Output,
) {
    let common = *common;
    let columns = K::PIXELS * PHASES / POOL;
    let (channels, present) =
        if WHOLE { (K::CONVOLUTION.block, K::CONVOLUTION.block / PHASES) } else { (strip.channels, strip.present) };
    let tile = K::PIXELS * channels;
    let (mut sums, mut out, mut left) = (strip.sums, output, strip.columns);
    loop {
        for x in 0..columns {
            for c in 0..present {
                // SAFETY: the caller's promise; there is an output column left.
                unsafe {
                    let at = |y: usize, pixel: usize| {
                        *sums.add(y * tile + pixel / PHASES * channels + c * PHASES + pixel % PHASES)
                    };
                    let mut best = at(0, x * POOL);
                    for y in 0..POOL {
                        for i in 0..POOL {
                            if (y, i) != (0, 0) {
                                best = larger(best, at(y, x * POOL + i));
                            }
                        }
                    }
                    let parameters = strip.parameters.add(c * PHASES * E::WORDS);
                    let parameters = core::slice::from_raw_parts(parameters, E::WORDS);
                    out.add(c).write(E::finish(best, parameters, &common));
                }
            }
            left -= 1;
            if left == 0 {
                return;
            }
            out = out.wrapping_add(strip.stride);
        }
        // SAFETY: the next tile is there, since columns are left.
        sums = unsafe { sums.add(tile * POOL) };
    }
}

/// [`finish`] for one pixel, as of a dense layer.
///
/// # Safety
/// As [`finish`].
#[inline(never)]
unsafe fn finish_pixel<E: Epilogue>(strip: &Sums<E::Accumulator>, common: &E::Common, output: *mut E::Output) {
    let common = *common;
    for c in 0..strip.present {
        // SAFETY: the caller's promise.
        unsafe {
            let parameters = core::slice::from_raw_parts(strip.parameters.add(c * E::WORDS), E::WORDS);
            output.add(c).write(E::finish(*strip.sums.add(c), parameters, &common));
        }
    }
}

/// [`finish`] for any window and any block.
///
/// # Safety
/// As [`finish`].
#[inline(never)]
unsafe fn finish_any<E: Epilogue>(strip: &Sums<E::Accumulator>, common: &E::Common, output: *mut E::Output) {
    let [pool_h, pool_w] = strip.pool;
    for x in 0..strip.columns {
        for c in 0..strip.present {
            // SAFETY: the caller's promise.
            unsafe {
                let at = |y: usize, pixel: usize| {
                    let (position, phase) = (pixel / strip.phases, pixel % strip.phases);
                    let (tile, position) = (position / strip.pixels, position % strip.pixels);
                    let place = (tile * pool_h + y) * strip.pixels + position;
                    *strip.sums.add(place * strip.channels + c * strip.phases + phase)
                };
                let mut best = at(0, x * pool_w);
                for y in 0..pool_h {
                    for i in 0..pool_w {
                        best = larger(best, at(y, x * pool_w + i));
                    }
                }
                let parameters = strip.parameters.add(c * strip.phases * E::WORDS);
                let parameters = core::slice::from_raw_parts(parameters, E::WORDS);
                output.add(x * strip.stride + c).write(E::finish(best, parameters, common));
            }
        }
    }
}

/// `b` where it is greater, else `a`: as the reference compares.
#[inline(always)]
fn larger<A: PartialOrd>(a: A, b: A) -> A {
    if b > a { b } else { a }
}

/// The ring of widened input rows.
struct Rows<'a, K: MicroKernel> {
    shape: &'a Conv2dShape,
    input: &'a [K::Input],
    ring: *mut K::Activation,
    plan: &'a Scratch,
    /// The next input row to load.
    next: usize,
}

impl<K: MicroKernel> Rows<'_, K> {
    /// Fills the ring, its borders and the blank row with padding.
    ///
    /// # Safety
    /// The ring is valid for writes of the plan's words.
    unsafe fn clear(&mut self, fill: K::Input) {
        let len = self.plan.ring * (4 / size_of::<K::Activation>());
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.ring, len) }.fill(K::widen(fill));
    }

    /// Loads the input rows that output row `out_y` sees and writes the offsets of its runs.
    ///
    /// # Safety
    /// The scratch memory has room for the table and the ring, and nothing else refers to it.
    unsafe fn prepare(&mut self, out_y: usize, runs: &Runs, table: *mut u32) {
        let (shape, plan) = (self.shape, self.plan);
        let [height, width, channels] = shape.input;
        // Row numbers count the padding above the input as rows, until it is subtracted.
        let top = out_y * shape.pool[0] * shape.stride[0];
        let first = top.saturating_sub(shape.padding[0]);
        let end = (top + plan.rows).saturating_sub(shape.padding[0]).min(height);
        self.next = self.next.max(first);
        while self.next < end {
            let start = (self.next % plan.rows) * plan.pitch + shape.padding[1] * channels;
            let len = width * channels;
            // SAFETY: the row lies in the ring, its padding on both sides; `next` is a row of the input.
            let (from, to) = unsafe {
                let from = self.input.get_unchecked(self.next * len..(self.next + 1) * len);
                (from, core::slice::from_raw_parts_mut(self.ring.add(start), len))
            };
            K::load_row(from, to);
            self.next += 1;
        }

        let (columns, step) =
            if shape.dilation[1] == 1 { (1, 0) } else { (shape.filter[1], shape.dilation[1] * channels) };
        let mut at = table;
        for y in 0..shape.pool[0] {
            for i in 0..shape.filter[0] {
                let row = top + y * shape.stride[0] + i * shape.dilation[0];
                let place = match row.checked_sub(shape.padding[0]) {
                    Some(row) if row < height => row % plan.rows,
                    _ => plan.rows,
                };
                for j in 0..columns {
                    for part in 0..runs.parts {
                        let offset = place * plan.pitch + j * step + part * runs.taps;
                        // SAFETY: the table has `pool[0] * filter[0] * columns * parts` words.
                        unsafe {
                            at.write(offset as u32);
                            at = at.add(1);
                        }
                    }
                }
            }
        }
    }
}
