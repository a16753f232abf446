//! The geometry of pooling.

use super::{Shape, ShapeError};

/// The geometry of a 2-D pooling: each channel of an output pixel is the maximum or average of that channel over a
/// window of input pixels.
///
/// ```
/// use bareconv::Pool2dShape;
/// const SHAPE: Pool2dShape = Pool2dShape::new([5, 5, 3], [3, 3]).stride(2).padding(1);
/// assert_eq!(SHAPE.output(), [3, 3, 3]);
/// ```
///
/// Output pixel `(y, x)` sees the input rows `y * stride - top ..` and columns `x * stride - left ..`, as many as the
/// window has. Output pixels whose window would reach past the padding are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pool2dShape {
    /// Height, width and channels of the input.
    pub input: Shape,
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Vertical and horizontal distance between windows; less than the window makes them overlap.
    pub stride: [usize; 2],
    /// Rows and columns added at the top, left, bottom and right.
    pub padding: [usize; 4],
}

impl Pool2dShape {
    /// The most pixels of a window, so that sums of int8 values fit 32 bits.
    pub const MAX_WINDOW: usize = 1 << 20;

    /// Windows side by side: the stride is the window's size. No padding.
    pub const fn new(input: Shape, window: [usize; 2]) -> Self {
        Self { input, window, stride: window, padding: [0; 4] }
    }

    /// The same stride down and across.
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same padding on all four sides.
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// Height, width and channels of the output.
    pub const fn output(&self) -> Shape {
        [self.output_along(0), self.output_along(1), self.input[2]]
    }

    const fn output_along(&self, axis: usize) -> usize {
        let padded = self.input[axis] + self.padding[axis] + self.padding[axis + 2];
        (padded - self.window[axis]) / self.stride[axis] + 1
    }

    /// The row behind the last input row that output row `y` sees.
    pub(crate) const fn rows_until(&self, y: usize) -> usize {
        let end = y * self.stride[0] + self.window[0] - self.padding[0];
        if end < self.input[0] { end } else { self.input[0] }
    }

    /// Values of the input rows that the windows of an output row see.
    pub(crate) const fn band(&self) -> usize {
        self.window[0] * self.input[1] * self.input[2]
    }

    /// The first input row that output row `y` sees.
    const fn first_row(&self, y: usize) -> usize {
        (y * self.stride[0]).saturating_sub(self.padding[0])
    }

    /// How many values after the output's first the input's first must lie, at least, where they share memory and the
    /// output overwrites the input: [`MaxPool2d::run_overlapping`](crate::MaxPool2d::run_overlapping). The shape obeys the
    /// rules of [`check`](Self::check).
    ///
    /// An output pixel is stored in front of the first pixel that its own window sees, or a later one. So the distance, in
    /// pixels, is the maximum over output pixels `q` of `q + 1 - first(q)`, where `first(q)` is the first input pixel that
    /// the windows from `q` on see.
    ///
    /// ```
    /// use bareconv::Pool2dShape;
    /// // Windows side by side: one pixel.
    /// assert_eq!(Pool2dShape::new([8, 8, 3], [2, 2]).overlap(), 3);
    /// // A window, and one row and one column of those behind it.
    /// assert_eq!(Pool2dShape::new([8, 8, 3], [3, 3]).stride(1).padding(1).overlap(), (8 + 2) * 3);
    /// ```
    pub const fn overlap(&self) -> usize {
        let [height, width, channels] = self.output();
        let (mut lead, mut y) = (0, 0);
        while y < height {
            let first = self.first_row(y) * self.input[1];
            // Up to the last window that begins in the first column the distance grows, and never again in the row:
            // windows then move by at least the pixel that the output does.
            let column = self.padding[1] / self.stride[1];
            let column = if column < width { column } else { width - 1 };
            // Unless all windows of the next row begin there as well.
            let again = y + 1 < height && self.first_row(y + 1) == self.first_row(y);
            let end = y * width + if again { width } else { column + 1 };
            if first + lead < end {
                lead = end - first;
            }
            y += 1;
        }
        lead * channels
    }

    /// Values of memory that input and output take together: the output's, or [`overlap`](Self::overlap) and the
    /// input's where they are more. The shape obeys the rules of [`check`](Self::check).
    pub const fn overlapping_len(&self) -> usize {
        super::overlapping_len(self.overlap(), self.input, self.output())
    }

    /// The shape as one that obeys every rule, or which it breaks.
    pub(crate) const fn checked(self) -> Result<CheckedPool2dShape, ShapeError> {
        match self.check() {
            Ok(()) => Ok(CheckedPool2dShape { shape: self, overlapping: self.overlapping_len() }),
            Err(error) => Err(error),
        }
    }

    /// Checks every rule of the geometry.
    pub const fn check(&self) -> Result<(), ShapeError> {
        let [h, w, c] = self.input;
        let sizes = [h, w, c, self.window[0], self.window[1], self.stride[0], self.stride[1]];
        let mut i = 0;
        while i < sizes.len() {
            if sizes[i] == 0 {
                return Err(ShapeError::Zero);
            }
            if sizes[i] > 1 << 16 {
                return Err(ShapeError::TooLarge);
            }
            i += 1;
        }
        let mut axis = 0;
        while axis < 2 {
            let window = self.window[axis];
            // Every window then sees at least one pixel of the input.
            if self.padding[axis] >= window || self.padding[axis + 2] >= window {
                return Err(ShapeError::PaddingTooLarge);
            }
            if window > self.input[axis] + self.padding[axis] + self.padding[axis + 2] {
                return Err(ShapeError::WindowTooLarge);
            }
            axis += 1;
        }
        if self.window[0] as u64 * self.window[1] as u64 > Self::MAX_WINDOW as u64 {
            return Err(ShapeError::TooLarge);
        }
        let [out_h, out_w, _] = self.output();
        let (pixels, outputs) = (h as u64 * w as u64, out_h as u64 * out_w as u64);
        if pixels * c as u64 > 1 << 30 || outputs * c as u64 > 1 << 30 {
            return Err(ShapeError::TooLarge);
        }
        Ok(())
    }
}

/// A shape that has passed [`Pool2dShape::check`], so that kernels need not look again; made by
/// [`Pool2dShape::checked`] alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckedPool2dShape {
    shape: Pool2dShape,
    overlapping: usize,
}

impl CheckedPool2dShape {
    /// The shape.
    pub(crate) const fn get(&self) -> &Pool2dShape {
        &self.shape
    }

    /// Its [`overlapping_len`](Pool2dShape::overlapping_len).
    pub(crate) const fn overlapping_len(&self) -> usize {
        self.overlapping
    }
}
