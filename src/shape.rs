//! Shapes of layers, the rules they obey, and what breaking one says.

mod blur_pool;
mod conv1d;
mod depthwise;
mod joining;
mod pool;
mod transposed;

pub use blur_pool::{BlurPadding, BlurPool2dShape};
pub use conv1d::Conv1dShape;
pub use depthwise::DepthwiseConv2dShape;
pub use joining::{Axis, Broadcast, Coordinates, Region, SliceShape, UpsampleShape};
pub(crate) use pool::CheckedPool2dShape;
pub use pool::Pool2dShape;
pub(crate) use transposed::Phase;
pub use transposed::TransposedConv2dShape;

/// `[height, width, channels]`.
pub type Shape = [usize; 3];

/// A rule of shapes, or of numbers, that a layer's parameters break.
///
/// In a constant (the usual place of a layer) it is a compile error with the same sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ShapeError {
    /// A dimension, a stride, a dilation, a pooling window or the number of groups is zero.
    Zero,
    /// The filter, dilated, is larger than the padded input.
    FilterTooLarge,
    /// The pooling window is larger than what it pools.
    WindowTooLarge,
    /// A level of a pyramid is larger than the input's height or width.
    PyramidLevel,
    /// The filter of an anti-aliased pooling has fewer than 2 taps or more than 7.
    Taps,
    /// The border to reflect is not smaller than what it reflects.
    Reflection,
    /// The padding is not smaller than the (dilated) filter, or the pooling window.
    PaddingTooLarge,
    /// The output padding of a transposed convolution is not smaller than its stride.
    OutputPadding,
    /// A transposed convolution in single precision has a phase with more taps than weights: no weight for some output,
    /// or a padding that cuts off inputs.
    MissingTaps,
    /// A locally connected layer has groups or pooling.
    Unshared,
    /// The number of phases in a transposed convolution's type is not the shape's.
    Phases,
    /// Something is too large: a tensor (2^30 values), the filters (2^28), a dimension, stride, dilation or padding (2^16),
    /// a dilated filter (2^17), or the scratch memory (2^29 words).
    TooLarge,
    /// The layer's input type is not the shape's input.
    Input,
    /// The layer's output type is not the shape's output.
    Output,
    /// The groups do not divide the input channels and the filters.
    Groups,
    /// The filters are not `[output channels][height][width][input channels of a group]`.
    Filters,
    /// The filters of a depthwise convolution are not `[height][width][output channels]`.
    DepthwiseFilters,
    /// There is not one bias and one weight scale for each output channel.
    Channels,
    /// The memory given for packed filters is not what the shape needs.
    Packed,
    /// The memory given as scratch is less than the shape needs.
    Scratch,
    /// A weight is -128: the quantization specification allows -127..=127. Or an int4 weight is not in -8..=7.
    Weight,
    /// A scale is not positive and finite.
    Scale,
    /// With [`PowerOfTwo`](crate::PowerOfTwo) rounding: a channel's scales have another ratio than 2^0 to 2^-23.
    PowerOfTwo,
    /// Bias and weights could make an accumulator overflow 32 bits.
    Accumulator,
    /// A dimension of an elementwise operator's second input is neither 1 nor the first input's.
    Broadcast,
    /// A slice without values, or one that reaches past its input.
    Slice,
    /// Inputs that do not make up the output of a concatenation.
    Concatenation,
    /// Scales of inputs that are too large for the output's.
    Ratio,
    /// The memory that input and output share is too small, or they are not whole pixels apart.
    Overlap,
    /// A grouped convolution, or a dense layer of several rows, was to be computed row by row.
    Streamed,
    /// The memory given to a stream is less than it needs.
    StreamScratch,
}

impl ShapeError {
    /// The rule, as a sentence.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Zero => "dimensions, strides, dilations, pooling windows and groups are at least 1",
            Self::FilterTooLarge => "the filter, dilated, must fit into the padded input",
            Self::WindowTooLarge => "the pooling window must fit into what it pools",
            Self::PyramidLevel => "no level of a pyramid may be larger than the input's height or width",
            Self::Taps => "the filter of an anti-aliased pooling has 2 to 7 taps",
            Self::Reflection => "what is blurred must have more rows and columns than the border that reflects it",
            Self::PaddingTooLarge => "the padding must be smaller than the dilated filter, or the pooling window",
            Self::OutputPadding => "the output padding must be smaller than the stride",
            Self::MissingTaps => "in f32, every output of a transposed convolution must have all its taps",
            Self::Unshared => "a locally connected layer has neither groups nor pooling",
            Self::Phases => "the layer's type must have the shape's phases()",
            Self::TooLarge => {
                "at most: 2^30 values in a tensor, 2^28 weights, 2^16 in a dimension, stride or padding, 2^29 words of scratch"
            }
            Self::Input => "the layer's input type must have the shape's input dimensions",
            Self::Output => "the layer's output type must have the shape's output dimensions",
            Self::Groups => "the groups must divide the input channels and the filters evenly",
            Self::Filters => "filters are [output channels][height][width][input channels of a group]",
            Self::DepthwiseFilters => "the filters of a depthwise convolution are [height][width][output channels]",
            Self::Channels => "there must be one bias and one weight scale for each output channel",
            Self::Packed => "the packed filters need exactly the shape's packed_words()",
            Self::Scratch => "the scratch memory must have at least the layer's scratch_words()",
            Self::Weight => {
                "int8 weights lie in -127..=127, as the quantization specification has it, int4 weights in -8..=7"
            }
            Self::Scale => "scales must be positive and finite, and their ratio below 2^30",
            Self::PowerOfTwo => "input scale * weight scale / output scale must be a power of two from 2^-23 to 1",
            Self::Accumulator => "bias and weights must not be able to overflow a 32-bit accumulator",
            Self::Broadcast => "each dimension of the second input must be the first input's, or 1",
            Self::Slice => "a slice must have at least one value along each axis, all of them inside its input",
            Self::Concatenation => {
                "concatenated inputs have the output's dimensions; those along the axis add up to the output's"
            }
            Self::Ratio => "the inputs' scales are too large for the output's",
            Self::StreamScratch => "the memory of a stream must have at least the layer's stream_words()",
            Self::Streamed => {
                "a convolution that runs row by row has one group, and its input type the shape's dimensions"
            }
            Self::Overlap => {
                "input and output share at least the layer's overlapping_len() values, and begin whole pixels apart"
            }
        }
    }
}

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for ShapeError {}

/// The geometry of a 2-D convolution, with an optional maximum pooling of its output.
///
/// ```
/// use bareconv::Conv2dShape;
/// const SHAPE: Conv2dShape = Conv2dShape::new([28, 28, 1], 6, [5, 5]).padding(2).max_pool(2);
/// assert_eq!(SHAPE.output(), [14, 14, 6]);
/// assert_eq!(SHAPE.macs(), 28 * 28 * 6 * 25);
/// ```
///
/// An output pixel `(y, x)` sees the input pixels `(y * stride - top + i * dilation, x * stride - left + j * dilation)`
/// for each row `i` and column `j` of the filter; this is cross-correlation, which the field calls convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Conv2dShape {
    /// Height, width and channels of the input.
    pub input: Shape,
    /// The number of filters, which is the number of output channels.
    pub filters: usize,
    /// Height and width of a filter.
    pub filter: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Vertical and horizontal distance between the taps of a filter; 1 is a plain filter.
    pub dilation: [usize; 2],
    /// Rows and columns of zeros added at the top, left, bottom and right.
    pub padding: [usize; 4],
    /// Height and width of the pooling window, which is also its stride; `[1, 1]` is no pooling.
    pub pool: [usize; 2],
    /// The parts that channels are divided into, in order: the filters of a group see the input channels of their group
    /// alone. 1 is a plain convolution.
    pub groups: usize,
}

impl Conv2dShape {
    /// A convolution of stride 1 without padding, dilation or pooling.
    pub const fn new(input: Shape, filters: usize, filter: [usize; 2]) -> Self {
        Self { input, filters, filter, stride: [1, 1], dilation: [1, 1], padding: [0; 4], pool: [1, 1], groups: 1 }
    }

    /// A dense (fully connected) layer: one filter per output, each as large as the whole input.
    pub const fn dense(inputs: usize, outputs: usize) -> Self {
        Self::new([1, 1, inputs], outputs, [1, 1])
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

    /// Maximum pooling of the output over windows of `size` x `size` side by side.
    ///
    /// Output rows and columns that do not fill a window are dropped.
    pub const fn max_pool(self, size: usize) -> Self {
        Self { pool: [size, size], ..self }
    }

    /// The same in groups, as AlexNet's (Krizhevsky, Sutskever, Hinton, 2012): filters and input channels are divided
    /// into so many equal parts, in order, and a filter sees its own part of the channels.
    ///
    /// ```
    /// # use bareconv::Conv2dShape;
    /// const SHAPE: Conv2dShape = Conv2dShape::new([8, 8, 6], 4, [3, 3]).groups(2);
    /// assert_eq!(SHAPE.filter_len(), 3 * 3 * 3);
    /// ```
    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Height and width of the convolution's output, before pooling. The shape obeys the rules of [`check`](Self::check).
    pub const fn convolved(&self) -> [usize; 2] {
        [self.convolved_along(0), self.convolved_along(1)]
    }

    const fn convolved_along(&self, axis: usize) -> usize {
        let padded = self.input[axis] + self.padding[axis] + self.padding[axis + 2];
        (padded - self.extent(axis)) / self.stride[axis] + 1
    }

    /// The filter's extent along an axis (0 down, 1 across), dilation counted.
    pub const fn extent(&self, axis: usize) -> usize {
        (self.filter[axis] - 1) * self.dilation[axis] + 1
    }

    /// Height, width and channels of the output, after pooling. The shape obeys the rules of [`check`](Self::check).
    pub const fn output(&self) -> Shape {
        let [h, w] = self.convolved();
        [h / self.pool[0], w / self.pool[1], self.filters]
    }

    /// Weights of one filter: height x width x input channels of a group. The shape obeys the rules of
    /// [`check`](Self::check).
    pub const fn filter_len(&self) -> usize {
        self.filter[0] * self.filter[1] * (self.input[2] / self.groups)
    }

    /// The convolution of one group.
    pub(crate) const fn part(self) -> Self {
        let [height, width, channels] = self.input;
        Self { input: [height, width, channels / self.groups], filters: self.filters / self.groups, groups: 1, ..self }
    }

    /// The same with other rows of the same pixels, if it is a pointwise convolution: it sees no neighbours, and long rows
    /// leave fewer pixels over. A row stays a row of several pixels.
    pub(crate) const fn merged(self) -> Self {
        const PIXELS: usize = 64;
        const VALUES: usize = 4096;
        let [height, width, channels] = self.input;
        let pointwise = self.filter[0] * self.filter[1] * self.stride[0] * self.stride[1] == 1;
        if !pointwise || self.pool[0] * self.pool[1] != 1 || width == 1 {
            return self;
        }
        let pixels = height * width;
        let most = VALUES / channels;
        let mut row = if most < PIXELS { most } else { PIXELS };
        while row > width {
            if pixels.is_multiple_of(row) {
                return Self { input: [pixels / row, row, channels], ..self };
            }
            row -= 1;
        }
        self
    }

    /// Multiply-accumulate operations of the convolution, padding counted. The shape obeys the rules of
    /// [`check`](Self::check).
    pub const fn macs(&self) -> usize {
        let [h, w] = self.convolved();
        h * w * self.filters * self.filter_len()
    }

    /// Rows behind the last input row that output row `y` sees: what must have been read before it is computed.
    pub(crate) const fn rows_until(&self, y: usize) -> usize {
        let end = y * self.pool[0] * self.stride[0] + self.extent(0) + (self.pool[0] - 1) * self.stride[0];
        let end = end.saturating_sub(self.padding[0]);
        if end < self.input[0] { end } else { self.input[0] }
    }

    /// How many values after the output's first the input's first must lie, at least, where they share memory and the
    /// output overwrites the input: [`Conv2d::run_overlapping`](crate::Conv2d::run_overlapping). The shape obeys the rules
    /// of [`check`](Self::check).
    ///
    /// An output row is stored when all input rows that it sees have been copied to the scratch memory, and no input row
    /// is read again. So with `read(y)` input rows read before output row `y` is stored, and rows of `i` and `o` values,
    /// the distance is the maximum over `y` of `(y + 1) * o - read(y) * i`, or 0: as long as any row is left to be read.
    /// (Rows are longer where all filters see single pixels.) It is the same for every backend.
    ///
    /// A grouped convolution reads its input once for each group: the input must begin behind the output.
    ///
    /// ```
    /// use bareconv::Conv2dShape;
    /// // Rows do not become longer: in place, with and without a stride.
    /// assert_eq!(Conv2dShape::new([32, 32, 16], 16, [3, 3]).padding(1).overlap(), 0);
    /// assert_eq!(Conv2dShape::new([32, 32, 16], 32, [3, 3]).padding(1).stride(2).overlap(), 0);
    /// // 48 rows of 384 values become as many of 768. The last is read for row 46, before 46 rows have been stored.
    /// let twice = Conv2dShape::new([48, 48, 8], 16, [3, 3]).padding(1);
    /// assert_eq!(twice.overlap(), 46 * 768 - 47 * 384);
    /// assert_eq!(twice.overlapping_len(), 48 * 768);
    /// ```
    pub const fn overlap(&self) -> usize {
        let [height, width, channels] = self.output();
        if self.groups > 1 { height * width * channels } else { self.merged().lead() }
    }

    /// Values of memory that input and output take together: the output's, or [`overlap`](Self::overlap) and the
    /// input's where they are more. The shape obeys the rules of [`check`](Self::check).
    pub const fn overlapping_len(&self) -> usize {
        overlapping_len(self.overlap(), self.input, self.output())
    }

    /// [`overlap`](Self::overlap) of a convolution without groups whose rows are not merged.
    const fn lead(&self) -> usize {
        let [height, width, channels] = self.output();
        let (input_row, output_row) = (self.input[1] * self.input[2], width * channels);
        let (mut lead, mut y) = (0, 0);
        while y + 1 < height {
            // The next row to be read; there may be some in between that nothing sees.
            let next = ((y + 1) * self.pool[0] * self.stride[0]).saturating_sub(self.padding[0]);
            let read = self.rows_until(y);
            let next = if next > read { next } else { read };
            y += 1;
            if next < self.input[0] && next * input_row + lead < y * output_row {
                lead = y * output_row - next * input_row;
            }
        }
        lead
    }

    /// Checks every rule of the geometry, and that there are no groups.
    pub(crate) const fn check_streamed(&self) -> Result<(), ShapeError> {
        if let Err(error) = self.check() {
            return Err(error);
        }
        if self.groups != 1 { Err(ShapeError::Streamed) } else { Ok(()) }
    }

    /// The shape of a single output pixel: its input is as large as the filter.
    pub(crate) const fn pixel(&self) -> Self {
        Self { input: [self.extent(0), self.extent(1), self.input[2]], padding: [0; 4], ..*self }
    }

    /// Checks every rule of the geometry, and that there is neither pooling nor groups.
    pub(crate) const fn check_unshared(&self) -> Result<(), ShapeError> {
        if let Err(error) = self.check() {
            return Err(error);
        }
        if self.groups != 1 || self.pool[0] != 1 || self.pool[1] != 1 {
            return Err(ShapeError::Unshared);
        }
        Ok(())
    }

    /// Checks every rule of the geometry.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub const fn check(&self) -> Result<(), ShapeError> {
        let [h, w, c] = self.input;
        let dimensions = [h, w, c, self.filters, self.filter[0], self.filter[1], self.groups];
        let mut i = 0;
        while i < dimensions.len() {
            if dimensions[i] == 0 {
                return Err(ShapeError::Zero);
            }
            if dimensions[i] > 1 << 16 {
                return Err(ShapeError::TooLarge);
            }
            i += 1;
        }
        if !c.is_multiple_of(self.groups) || !self.filters.is_multiple_of(self.groups) {
            return Err(ShapeError::Groups);
        }
        let mut axis = 0;
        while axis < 2 {
            let (stride, dilation, pool) = (self.stride[axis], self.dilation[axis], self.pool[axis]);
            if stride == 0 || dilation == 0 || pool == 0 {
                return Err(ShapeError::Zero);
            }
            if stride > 1 << 16 || dilation > 1 << 16 || pool > 1 << 16 {
                return Err(ShapeError::TooLarge);
            }
            // In 64 bits, because the product may not fit a 32-bit usize.
            let extent = (self.filter[axis] as u64 - 1) * dilation as u64 + 1;
            let (before, after) = (self.padding[axis] as u64, self.padding[axis + 2] as u64);
            if extent > 1 << 17 || before > 1 << 16 || after > 1 << 16 || exceeds(stride as u64, c) {
                return Err(ShapeError::TooLarge);
            }
            if before >= extent || after >= extent {
                return Err(ShapeError::PaddingTooLarge);
            }
            if extent > self.input[axis] as u64 + before + after {
                return Err(ShapeError::FilterTooLarge);
            }
            if self.convolved_along(axis) < pool {
                return Err(ShapeError::WindowTooLarge);
            }
            axis += 1;
        }
        let [out_h, out_w] = self.convolved();
        let padded = (h + self.padding[0] + self.padding[2]) as u64 * (w + self.padding[1] + self.padding[3]) as u64;
        let filters = self.filter[0] as u64 * self.filter[1] as u64;
        if exceeds(padded, c) || exceeds(out_h as u64 * out_w as u64, self.filters) || exceeds(filters, c) {
            return Err(ShapeError::TooLarge);
        }
        // Packing may round the filters of a group up to a block of 32, the taps of each to four, and a weight may take
        // four bytes.
        if exceeds(filters * (c / self.groups) as u64 * 4, self.filters + 32 * self.groups) {
            return Err(ShapeError::TooLarge);
        }
        Ok(())
    }
}

/// Values that an input and an output take where the input begins `lead` values behind the output.
const fn overlapping_len(lead: usize, input: Shape, output: Shape) -> usize {
    let end = lead + input[0] * input[1] * input[2];
    let output = output[0] * output[1] * output[2];
    if output > end { output } else { end }
}

/// Whether `a * b` is more than 2^30.
const fn exceeds(a: u64, b: usize) -> bool {
    a > 1 << 30 || a * b as u64 > 1 << 30
}

/// A type with a tensor's shape: [`Tensor`](crate::Tensor).
pub trait TensorShape {
    /// The type of its values.
    type Element;
    /// Height, width and channels.
    const SHAPE: Shape;
    /// The number of values.
    const LEN: usize = Self::SHAPE[0] * Self::SHAPE[1] * Self::SHAPE[2];
}

impl<T, const H: usize, const W: usize, const C: usize> TensorShape for crate::Tensor<T, H, W, C> {
    type Element = T;
    const SHAPE: Shape = [H, W, C];
}

/// Whether two shapes are the same, in constants.
pub(crate) const fn same(a: Shape, b: Shape) -> bool {
    a[0] == b[0] && a[1] == b[1] && a[2] == b[2]
}
