//! Windows that slide over pictures: strides, dilations, paddings.

use super::super::fault::{Step, broken, nearest, require, unsupported};
use super::call::{Call, short};
use bareconv::{Shape, TransposedConv2dShape};

/// How a window slides.
pub(super) struct Window {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Rows and columns at the top, left, bottom and right.
    pub padding: [usize; 4],
}

/// Begin and end of each axis, as `pads` has them.
fn pads(call: &Call, rank: usize) -> Step<[usize; 4]> {
    let mut padding = [0; 4];
    let Some(numbers) = call.ints("pads")? else { return Ok(padding) };
    let axes = rank - 2;
    require(numbers.len() == 2 * axes, "it has not two paddings for each axis")?;
    for (i, &number) in numbers.iter().enumerate() {
        let (side, axis) = (i / axes, i % axes + 2 - axes);
        match u16::try_from(number) {
            Ok(number) => padding[2 * side + axis] = number.into(),
            Err(_) => return unsupported(format!("a padding is {number}")),
        }
    }
    Ok(padding)
}

impl Window {
    /// The window of a convolution or pooling of a picture whose tensor has `rank` dimensions. `ceil` is whether a part of a
    /// window at the end is a window: the padding there grows to make it whole.
    pub(super) fn read(call: &Call, from: Shape, window: [usize; 2], rank: usize, ceil: bool) -> Step<Self> {
        let axes = rank - 2;
        let one_dimension = |mut pair: [usize; 2]| {
            if axes == 1 {
                pair[0] = 1;
            }
            pair
        };
        if let Some(kernel) = call.sizes::<2>("kernel_shape", axes)? {
            require(one_dimension(kernel) == window, "its kernel_shape is not its weights'")?;
        }
        let stride = call.sizes("strides", axes)?.unwrap_or([1, 1]);
        let dilation = call.sizes("dilations", axes)?.unwrap_or([1, 1]);
        let mut padding = pads(call, rank)?;
        let automatic = call.string("auto_pad", "NOTSET")?;
        for axis in 0..2 {
            let extent = (window[axis] - 1) * dilation[axis] + 1;
            if matches!(automatic, "SAME_UPPER" | "SAME_LOWER") {
                let outputs = from[axis].div_ceil(stride[axis]);
                let total = ((outputs - 1) * stride[axis] + extent).saturating_sub(from[axis]);
                let (less, more) = (total / 2, total - total / 2);
                (padding[axis], padding[axis + 2]) =
                    if automatic == "SAME_UPPER" { (less, more) } else { (more, less) };
            } else if ceil {
                let whole = from[axis] + padding[axis] + padding[axis + 2];
                require(whole >= extent, "its window is larger than its padded input")?;
                let outputs = (whole - extent).div_ceil(stride[axis]) + 1;
                // A window begins within the input, or before it.
                let begins = (outputs - 1) * stride[axis] < from[axis] + padding[axis];
                let outputs = if begins { outputs } else { outputs - 1 };
                padding[axis + 2] += ((outputs - 1) * stride[axis] + extent).saturating_sub(whole);
            }
        }
        match automatic {
            "NOTSET" | "SAME_UPPER" | "SAME_LOWER" => (),
            "VALID" => padding = [0; 4],
            other => return broken(format!("its auto_pad is {}", short(other))),
        }
        Ok(Self { stride, dilation, padding })
    }
}

/// The shape of a transposed convolution, and its dilation.
pub(super) fn transposed(
    call: &Call,
    from: Shape,
    filters: usize,
    filter: [usize; 2],
    rank: usize,
) -> Step<(TransposedConv2dShape, [usize; 2])> {
    let axes = rank - 2;
    let stride = call.sizes("strides", axes)?.unwrap_or([1, 1]);
    let dilation = call.sizes("dilations", axes)?.unwrap_or([1, 1]);
    let mut padding = pads(call, rank)?;
    let mut output_padding = [0; 2];
    if let Some(numbers) = call.ints("output_padding")? {
        require(numbers.len() == axes, "it has not an output padding for each axis")?;
        for (i, &number) in numbers.iter().enumerate() {
            output_padding[i + 2 - axes] =
                u16::try_from(number).or_else(|_| unsupported(format!("an output padding is {number}")))?.into();
        }
    }
    if call.has("output_shape") {
        return nearest("its size is given by output_shape", "pads and output_padding");
    }
    match call.string("auto_pad", "NOTSET")? {
        "NOTSET" => (),
        "VALID" => padding = [0; 4],
        other => return nearest(format!("its auto_pad is {}", short(other)), "pads"),
    }
    let shape =
        TransposedConv2dShape { stride, padding, output_padding, ..TransposedConv2dShape::new(from, filters, filter) };
    Ok((shape, dilation))
}
