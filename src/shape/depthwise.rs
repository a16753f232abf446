use super::{Conv2dShape, Shape, ShapeError};

/// The geometry of a depthwise 2-D convolution: each input channel has filters of its own and meets no other channel.
///
/// ```
/// use bareconv::DepthwiseConv2dShape;
/// const SHAPE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([48, 48, 8], 1, [3, 3]).stride(2).padding(1);
/// assert_eq!(SHAPE.output(), [24, 24, 8]);
/// assert_eq!(SHAPE.macs(), 24 * 24 * 8 * 9);
/// ```
///
/// An output pixel `(y, x)` sees the input pixels `(y * stride - top + i * dilation, x * stride - left + j * dilation)`
/// for each row `i` and column `j` of the filter. Output channel `c * multiplier + m` is filter `m` of input channel
/// `c`, as in TensorFlow Lite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DepthwiseConv2dShape {
    /// Height, width and channels of the input.
    pub input: Shape,
    /// Filters for each input channel: the channel (or depth) multiplier.
    pub multiplier: usize,
    /// Height and width of a filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Vertical and horizontal distance between the taps of a filter; 1 is a plain filter.
    pub dilation: [usize; 2],
    /// Rows and columns of zeros added at the top, left, bottom and right.
    pub padding: [usize; 4],
}

impl DepthwiseConv2dShape {
    /// A depthwise convolution of stride 1 without padding or dilation.
    pub const fn new(input: Shape, multiplier: usize, filter: [usize; 2]) -> Self {
        Self { input, multiplier, filter, stride: [1, 1], dilation: [1, 1], padding: [0; 4] }
    }

    /// The same stride down and across.
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same zero padding on all four sides.
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// The same dilation down and across.
    pub const fn dilation(self, dilation: usize) -> Self {
        Self { dilation: [dilation, dilation], ..self }
    }

    /// The convolution with one filter that has the same geometry; its rules are this one's.
    const fn plane(&self) -> Conv2dShape {
        Conv2dShape {
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
            ..Conv2dShape::new([self.input[0], self.input[1], self.channels()], 1, self.filter)
        }
    }

    /// Output channels: the input's times the multiplier.
    pub const fn channels(&self) -> usize {
        self.input[2] * self.multiplier
    }

    /// The filter's extent along an axis (0 down, 1 across), dilation counted.
    pub const fn extent(&self, axis: usize) -> usize {
        self.plane().extent(axis)
    }

    /// Height, width and channels of the output. The shape obeys the rules of [`check`](Self::check).
    pub const fn output(&self) -> Shape {
        let [h, w, _] = self.plane().output();
        [h, w, self.channels()]
    }

    /// Weights of one filter.
    pub const fn filter_len(&self) -> usize {
        self.filter[0] * self.filter[1]
    }

    /// Multiply-accumulate operations, padding counted. The shape obeys the rules of [`check`](Self::check).
    pub const fn macs(&self) -> usize {
        let [h, w, c] = self.output();
        h * w * c * self.filter_len()
    }

    /// The convolution of a single channel.
    pub(crate) const fn channel(&self) -> Conv2dShape {
        Conv2dShape { input: [self.input[0], self.input[1], 1], ..self.plane() }
    }

    /// How many values after the output's first the input's first must lie, at least, where they share memory and the
    /// output overwrites the input: [`DepthwiseConv2d::run_overlapping`](crate::DepthwiseConv2d::run_overlapping). The
    /// shape obeys the rules of [`check`](Self::check).
    ///
    /// It is the distance of [`Conv2dShape::overlap`] for one channel, in pixels. A distance must be of whole pixels, so
    /// that a channel overwrites itself alone: channels go through the whole picture one after the other. With a
    /// multiplier there are more than were read, and the input must begin behind the output.
    ///
    /// ```
    /// use bareconv::DepthwiseConv2dShape;
    /// assert_eq!(DepthwiseConv2dShape::new([25, 5, 64], 1, [3, 3]).padding(1).overlap(), 0);
    /// assert_eq!(DepthwiseConv2dShape::new([48, 48, 16], 1, [3, 3]).padding(1).stride(2).overlap(), 0);
    /// ```
    pub const fn overlap(&self) -> usize {
        if self.multiplier == 1 {
            return self.channel().lead() * self.input[2];
        }
        let [height, width, channels] = self.output();
        height * width * channels
    }

    /// Values of memory that input and output take together: the output's, or [`overlap`](Self::overlap) and the
    /// input's where they are more. The shape obeys the rules of [`check`](Self::check).
    pub const fn overlapping_len(&self) -> usize {
        super::overlapping_len(self.overlap(), self.input, self.output())
    }

    /// Checks every rule of the geometry.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn check(&self) -> Result<(), ShapeError> {
        if self.input[2] > 1 << 16 || self.multiplier > 1 << 16 {
            return Err(ShapeError::TooLarge);
        }
        // In 64 bits, because the product may not fit a 32-bit usize.
        if self.input[2] as u64 * self.multiplier as u64 > 1 << 16 {
            return Err(ShapeError::TooLarge);
        }
        self.plane().check()
    }
}
