use super::{Conv2dShape, Shape, ShapeError, exceeds};

/// The geometry of a 2-D transposed convolution, which enlarges: a convolution's input gradient, decoders, upsampling.
///
/// Every input pixel `(i, j)` adds its product with the filter to the output pixels
/// `(i * stride - top + ky, j * stride - left + kx)`; what falls outside the output is lost. That is the transpose
/// (adjoint) of the convolution of the same stride and padding (Dumoulin, Visin, 2016,
/// <https://arxiv.org/abs/1603.07285>), and TensorFlow Lite's `TRANSPOSE_CONV`.
///
/// ```
/// use bareconv::TransposedConv2dShape;
/// // Twice as high and wide.
/// const SHAPE: TransposedConv2dShape = TransposedConv2dShape::new([7, 7, 16], 8, [3, 3]).stride(2).padding(1).output_padding(1);
/// assert_eq!(SHAPE.output(), [14, 14, 8]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TransposedConv2dShape {
    /// Height, width and channels of the input.
    pub input: Shape,
    /// The number of filters, which is the number of output channels.
    pub filters: usize,
    /// Height and width of a filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal distance that neighbouring input pixels have in the output.
    pub stride: [usize; 2],
    /// Rows and columns cut off from the output at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// Rows and columns added at the bottom and the right; less than the stride.
    pub output_padding: [usize; 2],
}

impl TransposedConv2dShape {
    /// A transposed convolution of stride 1 without padding.
    pub const fn new(input: Shape, filters: usize, filter: [usize; 2]) -> Self {
        Self { input, filters, filter, stride: [1, 1], padding: [0; 4], output_padding: [0; 2] }
    }

    /// The same stride down and across.
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride: [stride, stride], ..self }
    }

    /// The same padding on all four sides.
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 4], ..self }
    }

    /// The same output padding at the bottom and the right.
    pub const fn output_padding(self, padding: usize) -> Self {
        Self { output_padding: [padding; 2], ..self }
    }

    /// Height, width and channels of the output. The shape obeys the rules of [`check`](Self::check).
    pub const fn output(&self) -> Shape {
        [self.output_along(0), self.output_along(1), self.filters]
    }

    const fn output_along(&self, axis: usize) -> usize {
        (self.input[axis] - 1) * self.stride[axis] + self.filter[axis] + self.output_padding[axis]
            - self.padding[axis]
            - self.padding[axis + 2]
    }

    /// Weights of one filter: height x width x input channels.
    pub const fn filter_len(&self) -> usize {
        self.filter[0] * self.filter[1] * self.input[2]
    }

    /// The plain convolutions that the layer consists of: one for each place of an output pixel between those of input
    /// pixels. The shape obeys the rules of [`check`](Self::check).
    pub const fn phases(&self) -> usize {
        self.phases_along(0) * self.phases_along(1)
    }

    const fn phases_along(&self, axis: usize) -> usize {
        let (stride, output) = (self.stride[axis], self.output_along(axis));
        if stride < output { stride } else { output }
    }

    /// Multiply-accumulate operations, those with padding counted. The shape obeys the rules of [`check`](Self::check).
    pub const fn macs(&self) -> usize {
        let (mut phase, mut macs) = (0, 0);
        while phase < self.phases() {
            macs += self.phase(phase).shape.macs();
            phase += 1;
        }
        macs
    }

    /// Checks every rule of the geometry.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn check(&self) -> Result<(), ShapeError> {
        let [h, w, c] = self.input;
        let mut axis = 0;
        while axis < 2 {
            let (stride, filter, extra) = (self.stride[axis], self.filter[axis], self.output_padding[axis]);
            if self.input[axis] == 0 || c == 0 || self.filters == 0 || filter == 0 || stride == 0 {
                return Err(ShapeError::Zero);
            }
            let (before, after) = (self.padding[axis], self.padding[axis + 2]);
            let limit = 1 << 16;
            if self.input[axis] > limit || c > limit || self.filters > limit || filter > limit || stride > limit {
                return Err(ShapeError::TooLarge);
            }
            if before >= filter || after >= filter {
                return Err(ShapeError::PaddingTooLarge);
            }
            if extra >= stride {
                return Err(ShapeError::OutputPadding);
            }
            // In 64 bits, because the product may not fit a 32-bit usize.
            let whole = (self.input[axis] as u64 - 1) * stride as u64 + filter as u64 + extra as u64;
            if whole <= (before + after) as u64 {
                return Err(ShapeError::FilterTooLarge);
            }
            if whole > 1 << 17 {
                return Err(ShapeError::TooLarge);
            }
            axis += 1;
        }
        let [out_h, out_w, filters] = self.output();
        if exceeds(h as u64 * w as u64, c) || exceeds(out_h as u64 * out_w as u64, filters) {
            return Err(ShapeError::TooLarge);
        }
        let mut phase = 0;
        while phase < self.phases() {
            if let Err(error) = self.phase(phase).shape.check() {
                return Err(error);
            }
            phase += 1;
        }
        Ok(())
    }

    /// One of the plain convolutions.
    pub(crate) const fn phase(&self, number: usize) -> Phase {
        let first = [number / self.phases_along(1), number % self.phases_along(1)];
        let (y, x) = (self.along(0, first[0]), self.along(1, first[1]));
        let shape = Conv2dShape {
            padding: [y.before, x.before, y.after, x.after],
            ..Conv2dShape::new(self.input, self.filters, [y.taps, x.taps])
        };
        Phase { shape, first, axes: [y, x] }
    }

    /// The plain convolution along an axis that gives the outputs `phase`, `phase + stride`, ...
    ///
    /// Output `phase + stride * q` takes the weights `rest + stride * t`, where `phase + padding` is
    /// `stride * base + rest`, from the inputs `q + base - t`.
    const fn along(&self, axis: usize, phase: usize) -> Axis {
        let (stride, inputs) = (self.stride[axis], self.input[axis]);
        let position = phase + self.padding[axis];
        let (base, rest) = (position / stride, position % stride);
        let weights = if rest < self.filter[axis] { (self.filter[axis] - rest).div_ceil(stride) } else { 0 };
        let outputs = (self.output_along(axis) - phase).div_ceil(stride);
        // Taps reach from `before` inputs before input q to `beyond` inputs behind it. No padding may be negative, nor
        // as large as the filter, so there may be more taps than weights.
        let beyond = largest(base, inputs.saturating_sub(outputs));
        let before = largest(weights.saturating_sub(base + 1), outputs.saturating_sub(inputs));
        let taps = before + beyond + 1;
        Axis { before, after: outputs + beyond - inputs, taps, weights, base, rest, stride }
    }
}

const fn largest(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// A plain convolution that gives every `stride`-th output row and column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    /// Its geometry.
    pub shape: Conv2dShape,
    /// Row and column of its first output.
    pub first: [usize; 2],
    axes: [Axis; 2],
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    before: usize,
    after: usize,
    taps: usize,
    weights: usize,
    base: usize,
    rest: usize,
    stride: usize,
}

impl Axis {
    /// The weight that a tap has.
    const fn weight(&self, tap: usize) -> Option<usize> {
        let last = self.base + self.before;
        if tap > last || last - tap >= self.weights { None } else { Some(self.rest + self.stride * (last - tap)) }
    }
}

impl Phase {
    /// Row and column of the weight that tap `(i, j)` of the plain filter has; `None` where it has none and counts as 0.
    pub const fn weight(&self, i: usize, j: usize) -> Option<[usize; 2]> {
        match (self.axes[0].weight(i), self.axes[1].weight(j)) {
            (Some(ky), Some(kx)) => Some([ky, kx]),
            _ => None,
        }
    }

    /// Whether every tap has a weight.
    pub const fn is_whole(&self) -> bool {
        let [y, x] = self.axes;
        y.taps == y.weights && x.taps == x.weights
    }
}
