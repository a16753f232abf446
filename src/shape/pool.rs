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

    /// The shape as one that obeys every rule, or which it breaks.
    pub(crate) const fn checked(self) -> Result<CheckedPool2dShape, ShapeError> {
        match self.check() {
            Ok(()) => Ok(CheckedPool2dShape(self)),
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
pub(crate) struct CheckedPool2dShape(Pool2dShape);

impl CheckedPool2dShape {
    /// The shape.
    pub(crate) const fn get(&self) -> &Pool2dShape {
        &self.0
    }
}
