use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::{Average, Element, spatial_pyramid as kernel};
use crate::shape::{Shape, ShapeError};
use crate::tensor::{View, ViewMut};

/// Spatial pyramid pooling: an input of any size to one vector of fixed length, in int8, int16 or `f32`.
///
/// Each level divides the input into `level` x `level` bins and takes the maximum, or the average, of each channel in
/// each bin (K. He, X. Zhang, S. Ren, J. Sun, 2014). So a dense layer can follow convolutions over inputs of any size:
/// the vector has [`BINS`](Self::BINS) times the channels. Bin `i` of `n` over `size` rows has the rows from
/// `floor(i * size / n)` to `ceil((i + 1) * size / n)`, the last one excluded; columns alike. The output has the levels
/// in the order given, the bins of a level row by row, the channels of a bin side by side; it has the input's
/// quantization.
///
/// Up to four levels are parameters; 0 is none. The results are those of
/// [`reference::spatial_pyramid_max`](crate::reference::spatial_pyramid_max) and
/// [`reference::spatial_pyramid_average`](crate::reference::spatial_pyramid_average), bit for bit, on every backend.
///
/// ```
/// use bareconv::{SpatialPyramidPool, Tensor};
///
/// const POOL: SpatialPyramidPool<1, 2> = SpatialPyramidPool;
/// let image = Tensor([[[1i8], [2], [3]], [[4], [5], [6]], [[7], [8], [9]]]);
/// let mut vector = Tensor::filled(0);
/// POOL.max(image.view(), vector.view_mut());
/// assert_eq!(vector, Tensor([[[9, 5, 6, 8, 9]]]));
///
/// // The same for a size known at run time: two rows of three pixels.
/// let mut vector = [0i8; 5];
/// POOL.max_slice([2, 3, 1], &[1, 2, 3, 4, 5, 6], &mut vector)?;
/// assert_eq!(vector, [6, 2, 3, 5, 6]);
/// # Ok::<(), bareconv::ShapeError>(())
/// ```
///
/// A level larger than the input does not compile:
///
/// ```compile_fail
/// # use bareconv::{SpatialPyramidPool, Tensor};
/// let mut vector = Tensor([[[0i8; 9]]]);
/// SpatialPyramidPool::<3>.max(Tensor([[[1i8], [2], [3]], [[4], [5], [6]]]).view(), vector.view_mut());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SpatialPyramidPool<const A: usize, const B: usize = 0, const C: usize = 0, const D: usize = 0>;

impl<const L1: usize, const L2: usize, const L3: usize, const L4: usize> SpatialPyramidPool<L1, L2, L3, L4> {
    /// The levels, those first that are not 0.
    const ORDERED: ([usize; 4], usize) = {
        let (all, mut levels, mut count, mut i) = ([L1, L2, L3, L4], [0; 4], 0, 0);
        while i < 4 {
            if all[i] != 0 {
                levels[count] = all[i];
                count += 1;
            }
            i += 1;
        }
        (levels, count)
    };

    /// The levels, without those that are 0.
    pub const LEVELS: &'static [usize] = Self::ORDERED.0.split_at(Self::ORDERED.1).0;

    /// The number of bins; times the channels it is the vector's length.
    pub const BINS: usize = L1 * L1 + L2 * L2 + L3 * L3 + L4 * L4;

    /// Looks at the shape of an input and the length of the vector, when it compiles.
    const fn check(shape: Shape, len: usize) {
        if let Err(error) = kernel::check(Self::LEVELS, shape) {
            panic!("{}", error.message());
        }
        if len != Self::BINS * shape[2] {
            panic!("{}", ShapeError::Output.message());
        }
    }

    /// Computes the maxima of the bins.
    ///
    /// # Panics
    /// Does not compile where `N` is not [`BINS`](Self::BINS) times `C`, or a level is larger than `H` or `W`.
    #[inline]
    pub fn max<T: Element, const H: usize, const W: usize, const C: usize, const N: usize>(
        &self,
        input: View<'_, T, H, W, C>,
        mut output: ViewMut<'_, T, 1, 1, N>,
    ) {
        const { Self::check([H, W, C], N) };
        let fits = self.max_slice([H, W, C], input.as_slice(), output.as_mut_slice());
        debug_assert!(fits.is_ok(), "the shapes were checked");
    }

    /// Computes the averages of the bins.
    ///
    /// # Panics
    /// As [`max`](Self::max), and where a bin may have more pixels than [`Average::MAX_WINDOW`].
    #[inline]
    pub fn average<T: Average, const H: usize, const W: usize, const C: usize, const N: usize>(
        &self,
        input: View<'_, T, H, W, C>,
        mut output: ViewMut<'_, T, 1, 1, N>,
    ) {
        const {
            Self::check([H, W, C], N);
            if let Err(error) = kernel::check_bins(Self::LEVELS, [H, W, C], T::MAX_WINDOW) {
                panic!("{}", error.message());
            }
        }
        let fits = self.average_slice([H, W, C], input.as_slice(), output.as_mut_slice());
        debug_assert!(fits.is_ok(), "the shapes were checked");
    }

    /// Computes the maxima of the bins of an input whose height, width and channels are known at run time.
    ///
    /// # Errors
    /// Where a dimension is 0, a level is larger than the height or the width, a dimension is above 2^15 (or 2^16
    /// channels), or the length of a slice is not the shape's.
    #[inline]
    pub fn max_slice<T: Element>(&self, shape: Shape, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
        struct Pool<'a, T>(&'static [usize], Shape, &'a [T], &'a mut [T]);
        impl<T: Element> Job for Pool<'_, T> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                kernel::spatial_pyramid_max::<B, T>(self.0, self.1, self.2, self.3)
            }
        }
        dispatch(Pool(Self::LEVELS, shape, input, output))
    }

    /// Computes the averages of the bins of an input whose height, width and channels are known at run time.
    ///
    /// # Errors
    /// As [`max_slice`](Self::max_slice), and where a bin may have more pixels than [`Average::MAX_WINDOW`].
    #[inline]
    pub fn average_slice<T: Average>(&self, shape: Shape, input: &[T], output: &mut [T]) -> Result<(), ShapeError> {
        struct Pool<'a, T>(&'static [usize], Shape, &'a [T], &'a mut [T]);
        impl<T: Average> Job for Pool<'_, T> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                kernel::spatial_pyramid_average::<B, T>(self.0, self.1, self.2, self.3)
            }
        }
        dispatch(Pool(Self::LEVELS, shape, input, output))
    }
}
