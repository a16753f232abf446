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

/// The geometry of upsampling by whole factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UpsampleShape {
    input: Shape,
    factors: [usize; 2],
}

impl UpsampleShape {
    /// Each pixel of the input becomes `factors[0]` rows of `factors[1]` columns.
    ///
    /// # Errors
    /// Where a dimension or a factor is zero, or the output has more than 2^30 values.
    pub const fn new(input: Shape, factors: [usize; 2]) -> Result<Self, ShapeError> {
        if let Err(error) = checked_len(input) {
            return Err(error);
        }
        if factors[0] > 1 << 16 || factors[1] > 1 << 16 {
            return Err(ShapeError::TooLarge);
        }
        // Neither product reaches 2^32, so that a 64-bit one does not overflow.
        let [height, width] = [input[0] as u64 * factors[0] as u64, input[1] as u64 * factors[1] as u64];
        if height > 1 << 16 || width > 1 << 16 {
            return Err(ShapeError::TooLarge);
        }
        match checked_len([height as usize, width as usize, input[2]]) {
            Ok(_) => Ok(Self { input, factors }),
            Err(error) => Err(error),
        }
    }

    /// The factors between two shapes.
    ///
    /// # Errors
    /// Where the output's height or width is not a multiple of the input's, or the channels differ.
    pub const fn between(input: Shape, output: Shape) -> Result<Self, ShapeError> {
        if input[0] == 0 || input[1] == 0 {
            return Err(ShapeError::Zero);
        }
        if !output[0].is_multiple_of(input[0]) || !output[1].is_multiple_of(input[1]) {
            return Err(ShapeError::Factor);
        }
        if output[2] != input[2] {
            return Err(ShapeError::Output);
        }
        Self::new(input, [output[0] / input[0], output[1] / input[1]])
    }

    /// Height, width and channels of the input.
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// Height, width and channels of the output.
    pub const fn output(&self) -> Shape {
        [self.input[0] * self.factors[0], self.input[1] * self.factors[1], self.input[2]]
    }

    /// The vertical and the horizontal factor.
    pub const fn factors(&self) -> [usize; 2] {
        self.factors
    }
}
