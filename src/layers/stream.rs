//! Layers that run row by row.

use crate::kernels::Progress;
use crate::shape::ShapeError;
use crate::tensor::ViewMut;
use bytemuck::Pod;

/// A layer that takes its input row by row, and gives an output row as soon as it has seen what the row depends on.
///
/// [`Conv2d::stream`](crate::Conv2d::stream), [`DepthwiseConv2d::stream`](crate::DepthwiseConv2d::stream),
/// [`MaxPool2d::stream`](crate::MaxPool2d::stream) and [`AveragePool2d::stream`](crate::AveragePool2d::stream) make it from
/// a layer `L` and scratch memory, which holds the few input rows that a filter reaches over and one output row `R`. Chained
/// streams compute the large tensors of a network's first layers without any of them ever being in memory whole, and take a
/// picture line by line as a camera delivers it. The results are those of the layers' `run`, bit for bit, on every backend.
///
/// Rows come from the top. The last input row gives all output rows that are left; behind it the next picture begins.
///
/// ```
/// use bareconv::{
///     Activation, Conv2d, Conv2dShape, Int8Filters, MaxPool2d, Pool2dShape, Quantization, Relu, SingleRounding, Tensor, View,
/// };
///
/// // Vertical differences, ReLU, the maximum of 2 x 2 pixels.
/// const SHAPE: Conv2dShape = Conv2dShape::new([5, 4, 1], 1, [2, 1]);
/// const Q: Quantization = Quantization::new(1.0, 0);
/// static DIFFERENCES: Conv2d<Tensor<i8, 5, 4, 1>, Tensor<i8, 4, 4, 1>, { SHAPE.packed_words::<SingleRounding>() }> =
///     Conv2d::int8(SHAPE, Int8Filters::new(&[[[[-1]], [[1]]]], &[0], &[1.0], Q, Q, Activation::Identity));
/// const POOL_SHAPE: Pool2dShape = Pool2dShape::new([4, 4, 1], [2, 2]);
/// static POOL: MaxPool2d<Tensor<i8, 4, 4, 1>, Tensor<i8, 2, 2, 1>> = MaxPool2d::new(POOL_SHAPE);
///
/// let mut scratch = [0; SHAPE.stream_words::<SingleRounding>()];
/// let mut differences = DIFFERENCES.stream(&mut scratch);
/// let mut scratch = [0; POOL_SHAPE.stream_words::<i8>()];
/// let mut pool = POOL.stream(&mut scratch);
///
/// let mut output = Vec::new();
/// // Lines as a camera delivers them; those of a tensor are its `view().rows()`.
/// for line in [[1, 1, 1, 1], [1, 3, 1, 0], [1, 3, 9, 0], [5, 3, 9, 0], [5, 3, 0, 7]] {
///     differences.push(View::from_slice(&line).unwrap(), |row| {
///         let mut positive = Tensor::filled(0);
///         Relu::int8(0).run(row, positive.view_mut());
///         pool.push(positive.view(), |row| output.push(row.as_slice().to_vec()));
///     });
/// }
/// assert_eq!(output, [[2, 8], [4, 7]]);
/// ```
///
/// A grouped convolution reads its input again for each group, and has no stream:
///
/// ```compile_fail
/// # use bareconv::{Conv2dShape, SingleRounding};
/// const SHAPE: Conv2dShape = Conv2dShape::new([8, 8, 4], 4, [3, 3]).groups(2);
/// const WORDS: usize = SHAPE.stream_words::<SingleRounding>();
/// # const _: [u32; WORDS] = [0; WORDS];
/// ```
#[derive(Debug)]
pub struct Stream<'a, L, R> {
    pub(super) layer: &'a L,
    pub(super) scratch: &'a mut [u32],
    pub(super) row: R,
    pub(super) progress: Progress,
}

impl<'a, T: Pod, L, const W: usize, const C: usize> Stream<'a, L, ViewMut<'a, T, 1, W, C>> {
    /// A stream whose memory is `words` words and the output row behind them.
    ///
    /// # Panics
    /// Where the memory is shorter.
    #[inline(always)]
    pub(super) fn new(layer: &'a L, words: usize, memory: &'a mut [u32]) -> Self {
        if let Some((scratch, rest)) = memory.split_at_mut_checked(words)
            && let Some(row) = bytemuck::cast_slice_mut(rest).get_mut(..W * C).and_then(ViewMut::from_slice)
        {
            return Self { layer, scratch, row, progress: Progress::default() };
        }
        panic!("{}", ShapeError::StreamScratch.message());
    }
}

/// Words that an output row takes.
pub(super) const fn row_words<T>(width: usize, channels: usize) -> usize {
    (width * channels * size_of::<T>()).div_ceil(4)
}

/// `Stream::push` of each layer: takes the row, and emits output rows while there are any.
macro_rules! push {
    ($stream:expr, $row:expr, $emit:expr, [$height:expr, $out_height:expr], $until:expr, |$at:ident, $output:ident, $scratch:ident| $take:expr) => {{
        let (stream, mut emit) = ($stream, $emit);
        stream.progress.look($out_height, $until);
        loop {
            let ready = stream.progress.ready;
            {
                let ($at, $output, $scratch) = (&stream.progress, stream.row.as_mut_slice(), &mut *stream.scratch);
                let taken: Result<(), ShapeError> = $take;
                debug_assert!(taken.is_ok(), "the stream was made for the layer");
            }
            if !ready {
                break;
            }
            emit(stream.row.as_view());
            stream.progress.written += 1;
            if !stream.progress.look($out_height, $until) {
                break;
            }
        }
        stream.progress.next($height);
    }};
}
pub(super) use push;
