//! The geometry of anti-aliased pooling.

use super::{Shape, ShapeError};

/// What lies beside the border for a filter that reaches over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BlurPadding {
    /// The input mirrored at its outermost pixels, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// Zeros, in int8 the zero point.
    Zero,
}

/// The geometry of anti-aliased pooling: a dense maximum, if any, a binomial filter, and a stride.
///
/// ```
/// use bareconv::BlurPool2dShape;
/// // In place of a maximum pooling of 2 x 2.
/// const SHAPE: BlurPool2dShape = BlurPool2dShape::new([9, 8, 3], 3, 2).max_pool(2);
/// assert_eq!(SHAPE.dense(), [8, 7]);
/// assert_eq!(SHAPE.output(), [4, 4, 3]);
/// ```
///
/// The filter has `(taps - 1) / 2` of its taps before the middle one, rounded down, and padding as they need, so that
/// the output has `size / stride` rows and columns, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BlurPool2dShape {
    /// Height, width and channels of the input.
    pub input: Shape,
    /// Height and width of the windows, at stride 1 and without padding, whose maxima are blurred; 1 is the input itself.
    pub max: usize,
    /// Taps of the filter along either axis, 2 to 7.
    pub taps: usize,
    /// Vertical and horizontal stride.
    pub stride: usize,
    /// What lies beside the border.
    pub padding: BlurPadding,
}

impl BlurPool2dShape {
    /// The most taps along an axis.
    pub const MAX_TAPS: usize = 7;

    /// A binomial filter of `taps` x `taps` with reflected borders, and a stride: anti-aliased average pooling, or the
    /// second half of an anti-aliased convolution of that stride.
    pub const fn new(input: Shape, taps: usize, stride: usize) -> Self {
        Self { input, max: 1, taps, stride, padding: BlurPadding::Reflect }
    }

    /// The same of the maxima of all windows of `size` x `size`: anti-aliased maximum pooling.
    pub const fn max_pool(self, size: usize) -> Self {
        Self { max: size, ..self }
    }

    /// The same with zeros beside the border.
    pub const fn zero_padding(self) -> Self {
        Self { padding: BlurPadding::Zero, ..self }
    }

    /// Height and width of what is blurred.
    pub const fn dense(&self) -> [usize; 2] {
        [self.input[0] - (self.max - 1), self.input[1] - (self.max - 1)]
    }

    /// Height, width and channels of the output.
    pub const fn output(&self) -> Shape {
        let [height, width] = self.dense();
        [height.div_ceil(self.stride), width.div_ceil(self.stride), self.input[2]]
    }

    /// The row (or column) of a dense map of `size` that tap `tap` of output `output` sees, or `None` for a zero.
    pub const fn tap(&self, output: usize, tap: usize, size: usize) -> Option<usize> {
        let (at, before) = (output * self.stride + tap, (self.taps - 1) / 2);
        match self.padding {
            BlurPadding::Reflect if at < before => Some(before - at),
            BlurPadding::Reflect if at - before >= size => Some(2 * (size - 1) - (at - before)),
            BlurPadding::Zero if at < before || at - before >= size => None,
            _ => Some(at - before),
        }
    }

    /// Checks every rule of the geometry.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn check(&self) -> Result<(), ShapeError> {
        let [h, w, c] = self.input;
        let sizes = [h, w, c, self.max, self.stride];
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
        if self.taps < 2 || self.taps > Self::MAX_TAPS {
            return Err(ShapeError::Taps);
        }
        if self.max > h || self.max > w {
            return Err(ShapeError::WindowTooLarge);
        }
        let [dense_h, dense_w] = self.dense();
        let reflects = matches!(self.padding, BlurPadding::Reflect);
        if reflects && (self.taps / 2 >= dense_h || self.taps / 2 >= dense_w) {
            return Err(ShapeError::Reflection);
        }
        if h as u64 * w as u64 > 1 << 30 || h as u64 * w as u64 * c as u64 > 1 << 30 {
            return Err(ShapeError::TooLarge);
        }
        Ok(())
    }
}
