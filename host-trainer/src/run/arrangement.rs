//! What moves values and computes none: concatenation, padding, slices, resizing.

use super::Step;
use super::typed::{Number, by_product, by_type, unary};
use crate::graph::{Element, Graph, Node, Numbers, Shape, Value};
use bareconv::reference::{self, RequantizeParameters};
use bareconv::{Region, ShapeError};

/// One input after the other along an axis, each brought to the output's quantization.
pub(super) fn concatenate<'g>(graph: &'g Graph, node: &Node, axis: usize) -> Result<Step<'g>, ShapeError> {
    /// Brings an input to the output's quantization.
    type Map = Box<dyn Fn(&[i8], &mut [i8]) + Send + Sync>;
    fn step<'g, T: Number>(regions: Vec<Region>, len: usize, maps: Vec<Option<Map>>) -> Step<'g> {
        Box::new(move |inputs| {
            let mut output = vec![T::zeroed(); len];
            for ((region, map), input) in regions.iter().zip(&maps).zip(inputs) {
                let mut values = T::of(input).ok_or(ShapeError::Input)?.to_vec();
                if let Some(map) = map {
                    let same: &mut [i8] = bytemuck::cast_slice_mut(&mut values);
                    let before = same.to_vec();
                    map(&before, same);
                }
                reference::place(region, &values, &mut output);
            }
            Ok(T::pack(output))
        })
    }
    let output = graph.value(node.output);
    let (mut regions, mut maps, mut at) = (Vec::new(), Vec::new(), [0; 3]);
    for &input in &node.inputs {
        let input = graph.value(input);
        regions.push(Region::new(input.shape, at, output.shape)?);
        at[axis] += input.shape[axis];
        maps.push(match (input.element, output.element) {
            (Element::Int8(from), Element::Int8(to)) if from != to => by_product!(graph.rounding, R => {
                let parameters = RequantizeParameters::<i8, i8, R>::int8(from, to)?;
                Some(Box::new(move |input: &[i8], output: &mut [i8]| reference::requantize(&parameters, input, output)) as Map)
            }),
            _ => None,
        });
    }
    let len = output.len();
    Ok(by_type!(output.element, T => step::<T>(regions, len, maps)))
}

/// A border of one value.
pub(super) fn pad<'g>(
    before: [usize; 3],
    value: &Numbers,
    input: &Value,
    output: &Value,
) -> Result<Step<'g>, ShapeError> {
    let len = output.len();
    let region = Region::new(input.shape, before, output.shape)?;
    Ok(by_type!(output.element, T => {
        let value = T::of(value).and_then(|values| values.first()).copied().ok_or(ShapeError::Input)?;
        unary::<T, T>(len, move |input, output| reference::pad(&region, value, input, output))
    }))
}

/// Every `stride`-th value of a range along each axis.
pub(super) fn slice<'g>(begin: [usize; 3], stride: [isize; 3], input: &Value, output: &Value) -> Step<'g> {
    let len = output.len();
    let (from, to) = (input.shape, output.shape);
    by_type!(output.element, T => unary::<T, T>(len, move |input, output| {
        let place = |axis: usize, index: usize| {
            begin[axis].wrapping_add_signed(stride[axis].wrapping_mul(index as isize))
        };
        gather(from, to, input, output, |[y, x, c]| [place(0, y), place(1, x), place(2, c)]);
    }))
}

/// Resizing by the nearest neighbour.
pub(super) fn resize_nearest<'g>(
    align_corners: bool,
    half_pixel_centers: bool,
    input: &Value,
    output: &Value,
) -> Step<'g> {
    let len = output.len();
    let (from, to) = (input.shape, output.shape);
    let nearest = move |axis, at| nearest(at, from[axis], to[axis], align_corners, half_pixel_centers);
    by_type!(output.element, T => unary::<T, T>(len, move |input, output| {
        gather(from, to, input, output, |[y, x, c]| [nearest(0, y), nearest(1, x), c]);
    }))
}

/// Fills an output from the places of an input that `from` names.
pub(super) fn gather<T: Copy>(
    [_, width, channels]: Shape,
    [out_height, out_width, out_channels]: Shape,
    input: &[T],
    output: &mut [T],
    from: impl Fn(Shape) -> Shape,
) {
    let mut all = output.iter_mut();
    for y in 0..out_height {
        for x in 0..out_width {
            for c in 0..out_channels {
                let [from_y, from_x, from_c] = from([y, x, c]);
                if let Some(value) = all.next() {
                    *value = input[(from_y * width + from_x) * channels + from_c];
                }
            }
        }
    }
}

/// The input's row or column that is nearest to the output's, as TensorFlow Lite computes it, in single precision.
pub(crate) fn nearest(at: usize, from: usize, to: usize, align_corners: bool, half_pixel_centers: bool) -> usize {
    let scale = if align_corners && to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { from as f32 / to as f32 };
    let place = (at as f32 + if half_pixel_centers { 0.5 } else { 0.0 }) * scale;
    let place = if align_corners { libm::roundf(place) } else { libm::floorf(place) };
    (place as usize).min(from - 1)
}
