//! The geometry of joining tensors.

use super::{Shape, ShapeError};

/// How the second input of an elementwise operator is repeated over the first one's shape: each of its dimensions is
/// the first input's, or 1.
///
/// ```
/// use bareconv::Broadcast;
/// assert!(Broadcast::new([8, 8, 16], [1, 1, 16]).is_ok()); // a value for each channel
/// assert!(Broadcast::new([8, 8, 16], [1, 1, 8]).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Broadcast {
    /// Values of the first input.
    first: usize,
    /// Values of the second.
    second: usize,
    /// The first input is gone through in runs of so many values,
    run: usize,
    /// each of which repeats so many values of the second; the next run takes the next ones, from the start again
    /// when all have been used.
    period: usize,
}

impl Broadcast {
    /// Repeats a tensor of shape `second` over one of shape `first`.
    ///
    /// # Errors
    /// Where a dimension is zero, the first tensor has more than 2^30 values, or a dimension of the second is neither 1
    /// nor the first's.
    pub const fn new(first: Shape, second: Shape) -> Result<Self, ShapeError> {
        let len = match checked_len(first) {
            Ok(len) => len,
            Err(error) => return Err(error),
        };
        let mut axis = 0;
        while axis < 3 {
            if second[axis] == 0 {
                return Err(ShapeError::Zero);
            }
            if second[axis] != 1 && second[axis] != first[axis] {
                return Err(ShapeError::Broadcast);
            }
            axis += 1;
        }
        let [[h, w, c], [h2, w2, c2]] = [first, second];
        // The longest runs through which the second input repeats itself.
        let (run, period) = if c2 != c {
            if w2 != w {
                (if h2 != h { len } else { w * c }, 1)
            } else if w == 1 && h2 != h {
                (len, 1)
            } else {
                (c, 1)
            }
        } else if w2 != w {
            (if h2 != h { len } else { w * c }, c)
        } else {
            (len, if h2 != h { w * c } else { len })
        };
        Ok(Self { first: len, second: h2 * w2 * c2, run, period })
    }

    /// Values of the first input, and of the second.
    pub(crate) const fn lens(&self) -> [usize; 2] {
        [self.first, self.second]
    }

    /// The length of a run, which divides the first input's, and its period, which divides the run's and the second
    /// input's.
    pub(crate) const fn run(&self) -> [usize; 2] {
        [self.run, self.period]
    }
}

/// The number of values of a tensor.
///
/// # Errors
/// Where a dimension is zero or more than 2^16, or there are more than 2^30 values.
const fn checked_len(shape: Shape) -> Result<usize, ShapeError> {
    let mut len = 1u64;
    let mut axis = 0;
    while axis < 3 {
        if shape[axis] == 0 {
            return Err(ShapeError::Zero);
        }
        if shape[axis] > 1 << 16 {
            return Err(ShapeError::TooLarge);
        }
        len *= shape[axis] as u64;
        if len > 1 << 30 {
            return Err(ShapeError::TooLarge);
        }
        axis += 1;
    }
    Ok(len as usize)
}

/// A box of pixels and channels inside a tensor: where concatenation and padding put their input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Region {
    shape: Shape,
    at: Shape,
    within: Shape,
}

impl Region {
    /// The box of this shape whose first value is at `[row, column, channel]` of a tensor of shape `within`.
    ///
    /// # Errors
    /// Where a dimension is zero, the box reaches past the tensor, or the tensor has more than 2^30 values.
    pub const fn new(shape: Shape, at: Shape, within: Shape) -> Result<Self, ShapeError> {
        if let Err(error) = checked_len(within) {
            return Err(error);
        }
        let mut axis = 0;
        while axis < 3 {
            if shape[axis] == 0 {
                return Err(ShapeError::Zero);
            }
            if at[axis] > within[axis] || shape[axis] > within[axis] - at[axis] {
                return Err(ShapeError::Output);
            }
            axis += 1;
        }
        Ok(Self { shape, at, within })
    }

    /// Height, width and channels of the box.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// The place of its first value: row, column, channel.
    pub const fn at(&self) -> Shape {
        self.at
    }

    /// Height, width and channels of the tensor around it.
    pub const fn within(&self) -> Shape {
        self.within
    }
}

/// A dimension of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Axis {
    /// Height.
    Rows = 0,
    /// Width.
    Columns = 1,
    /// Depth.
    Channels = 2,
}

/// Where the centres of pixels lie when a picture is resized: how the place of an output pixel becomes a place in the
/// input.
///
/// The names are those of ONNX's `coordinate_transformation_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Coordinates {
    /// Pixel `y` begins at `y * (input size / output size)`: TensorFlow Lite without options.
    #[default]
    Asymmetric,
    /// Pixel `y` has its centre at `(y + 0.5) * (input size / output size)`: TensorFlow Lite's `half_pixel_centers`.
    HalfPixel,
    /// The first and last pixels of both fall together: TensorFlow Lite's `align_corners`.
    AlignCorners,
}

/// The geometry of nearest-neighbour resizing, to a larger or smaller size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UpsampleShape {
    input: Shape,
    size: [usize; 2],
    coordinates: Coordinates,
    /// Where each input pixel becomes a block of so many rows and columns: these; otherwise zeros.
    factors: [usize; 2],
}

impl UpsampleShape {
    /// The input resized to `size`, which is a height and a width.
    ///
    /// # Errors
    /// Where a dimension is zero, or input or output is too large: 2^16 in a dimension, 2^30 values.
    pub const fn new(input: Shape, size: [usize; 2], coordinates: Coordinates) -> Result<Self, ShapeError> {
        if let Err(error) = checked_len(input) {
            return Err(error);
        }
        if let Err(error) = checked_len([size[0], size[1], input[2]]) {
            return Err(error);
        }
        let mut shape = Self { input, size, coordinates, factors: [0; 2] };
        let factors = [shape.factor(0), shape.factor(1)];
        if factors[0] != 0 && factors[1] != 0 {
            shape.factors = factors;
        }
        Ok(shape)
    }

    /// The geometry between two shapes.
    ///
    /// # Errors
    /// Where the channels differ, or as [`new`](Self::new).
    pub const fn between(input: Shape, output: Shape, coordinates: Coordinates) -> Result<Self, ShapeError> {
        if input[2] != output[2] {
            return Err(ShapeError::Output);
        }
        Self::new(input, [output[0], output[1]], coordinates)
    }

    /// The number of times that each input along an axis is repeated, or 0 where that is not the same for all.
    const fn factor(&self, axis: usize) -> usize {
        if !self.size[axis].is_multiple_of(self.input[axis]) {
            return 0;
        }
        let factor = self.size[axis] / self.input[axis];
        let mut position = 0;
        while position < self.size[axis] {
            if self.source(axis, position) != position / factor {
                return 0;
            }
            position += 1;
        }
        factor
    }

    /// Height, width and channels of the input.
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// Height, width and channels of the output.
    pub const fn output(&self) -> Shape {
        [self.size[0], self.size[1], self.input[2]]
    }

    /// Where the centres of pixels lie.
    pub const fn coordinates(&self) -> Coordinates {
        self.coordinates
    }

    /// The input row (`axis` 0) or column (1) of an output row or column: [`reference::nearest`](crate::reference::nearest).
    ///
    /// # Panics
    /// Where there is no such axis.
    #[inline(always)]
    pub const fn source(&self, axis: usize, position: usize) -> usize {
        crate::reference::nearest(self.input[axis], self.size[axis], self.coordinates, position)
    }

    /// The rows and columns of the block that each input pixel becomes, where all become the same.
    pub(crate) const fn factors(&self) -> Option<[usize; 2]> {
        if self.factors[0] == 0 { None } else { Some(self.factors) }
    }
}

/// A part of a tensor: along each axis every `stride`-th value from one place to another, backwards too.
///
/// ```
/// use bareconv::SliceShape;
///
/// // Every second row, all columns from right to left, the last three channels.
/// let slice = SliceShape::new([8, 4, 6], [0, -1, -3], [8, isize::MIN, 6], [2, -1, 1])?;
/// assert_eq!(slice.output(), [4, 4, 3]);
/// # Ok::<(), bareconv::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SliceShape {
    input: Shape,
    /// The first place.
    begin: Shape,
    /// 1 where there is one value.
    stride: [isize; 3],
    output: Shape,
}

impl SliceShape {
    /// The values along each axis at `begin`, `begin + stride`, ..., before `end`: TensorFlow Lite's `STRIDED_SLICE`.
    ///
    /// A negative `begin` or `end` counts from behind the last value. What still lies outside is moved to the nearest place
    /// inside or, an end, just outside: so `isize::MAX` and, with a negative stride, `isize::MIN` are ends that leave out
    /// nothing, and the same as beginnings are the last and the first value.
    ///
    /// # Errors
    /// Where a dimension or a stride is zero, the input is too large, or no value is left along an axis.
    pub const fn new(input: Shape, begin: [isize; 3], end: [isize; 3], stride: [isize; 3]) -> Result<Self, ShapeError> {
        if let Err(error) = checked_len(input) {
            return Err(error);
        }
        let mut slice = Self { input, begin: [0; 3], stride: [1; 3], output: [1; 3] };
        let mut axis = 0;
        while axis < 3 {
            let (size, step) = (input[axis] as isize, stride[axis]);
            if step == 0 {
                return Err(ShapeError::Zero);
            }
            // The places that a beginning and an end may have.
            let [low, high] = if step > 0 { [0, size] } else { [-1, size - 1] };
            let (first, behind) = (place(begin[axis], size, low, high), place(end[axis], size, low, high));
            let distance = if step > 0 { behind - first } else { first - behind };
            if distance <= 0 {
                return Err(ShapeError::Slice);
            }
            let count = (distance as usize - 1) / step.unsigned_abs() + 1;
            slice.begin[axis] = first as usize;
            slice.output[axis] = count;
            if count > 1 {
                slice.stride[axis] = step;
            }
            axis += 1;
        }
        Ok(slice)
    }

    /// The box of shape `output` whose first value is at `[row, column, channel]`: TensorFlow Lite's `SLICE`, and an output
    /// of its `SPLIT`.
    ///
    /// # Errors
    /// Where a dimension is zero, the box reaches past the input, or the input is too large.
    pub const fn at(input: Shape, begin: Shape, output: Shape) -> Result<Self, ShapeError> {
        match Region::new(output, begin, input) {
            Ok(_) => Ok(Self { input, begin, stride: [1; 3], output }),
            Err(ShapeError::Output) => Err(ShapeError::Slice),
            Err(error) => Err(error),
        }
    }

    /// Height, width and channels of the input.
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The place of the first value: row, column, channel.
    pub const fn begin(&self) -> Shape {
        self.begin
    }

    /// The places from one value to the next along each axis; 1 along an axis with one value.
    pub const fn stride(&self) -> [isize; 3] {
        self.stride
    }

    /// Height, width and channels of the output.
    pub const fn output(&self) -> Shape {
        self.output
    }
}

/// A place along an axis of `size` values, a negative one being counted from behind, moved into `low..=high`.
const fn place(at: isize, size: isize, low: isize, high: isize) -> isize {
    let at = if at < 0 { at + size } else { at };
    if at < low {
        low
    } else if at > high {
        high
    } else {
        at
    }
}
