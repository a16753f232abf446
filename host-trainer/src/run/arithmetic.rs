//! Sums, differences and products of two tensors.

use super::Step;
use super::arrangement::gather;
use super::typed::{Number, by_product};
use crate::graph::{Element, Graph, Node, Shape, ValueId};
use bareconv::reference::{self, ProductParameters, SumParameters};
use bareconv::{Activation, Quantization, ShapeError};

/// The sum of two inputs, or the first less the second.
pub(super) fn sum<'g>(
    graph: &'g Graph,
    node: &Node,
    subtract: bool,
    activation: Activation,
) -> Result<Step<'g>, ShapeError> {
    Ok(match graph.value(node.output).element {
        Element::F32 => {
            let bounds = activation.bounds();
            let add = if subtract { reference::subtract_f32 } else { reference::add_f32 };
            binary(graph, node, move |shape, a, b, output| add([shape; 2], bounds, a, b, output))
        }
        element => by_product!(graph.rounding, R => {
            let [a, b, to] = quantizations(graph, [node.inputs[0], node.inputs[1], node.output])?;
            if matches!(element, Element::Int8(_)) {
                let parameters = SumParameters::<i8, R>::int8(subtract, [a, b], to, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::add_i8(
                    [shape; 2], &parameters, a, b, output,
                ))
            } else {
                let scales = [a.scale, b.scale];
                let parameters = SumParameters::<i16, R>::int16(subtract, scales, to.scale, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::add_i16(
                    [shape; 2], &parameters, a, b, output,
                ))
            }
        }),
    })
}

/// The product of two inputs.
pub(super) fn product<'g>(graph: &'g Graph, node: &Node, activation: Activation) -> Result<Step<'g>, ShapeError> {
    Ok(match graph.value(node.output).element {
        Element::F32 => {
            let bounds = activation.bounds();
            binary(graph, node, move |shape, a, b, output| {
                reference::multiply_f32([shape; 2], bounds, a, b, output);
            })
        }
        element => by_product!(graph.rounding, R => {
            let [a, b, to] = quantizations(graph, [node.inputs[0], node.inputs[1], node.output])?;
            if matches!(element, Element::Int8(_)) {
                let parameters = ProductParameters::<i8, R>::int8([a, b], to, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::multiply_i8(
                    [shape; 2], &parameters, a, b, output,
                ))
            } else {
                let parameters = ProductParameters::<i16, R>::int16([a.scale, b.scale], to.scale, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::multiply_i16(
                    [shape; 2], &parameters, a, b, output,
                ))
            }
        }),
    })
}

/// A step of two inputs, each repeated to the output's shape.
fn binary<'g, T: Number>(
    graph: &'g Graph,
    node: &Node,
    f: impl Fn(Shape, &[T], &[T], &mut [T]) + Send + Sync + 'g,
) -> Step<'g> {
    let shapes = [0, 1].map(|i| graph.value(node.inputs[i]).shape);
    let to = graph.value(node.output).shape;
    Box::new(move |inputs| {
        let &[first, second] = inputs else { return Err(ShapeError::Input) };
        let repeated = |numbers, shape: Shape| -> Result<Vec<T>, ShapeError> {
            let values = T::of(numbers).ok_or(ShapeError::Input)?;
            let mut all = vec![T::zeroed(); to.iter().product()];
            gather(shape, to, values, &mut all, |at| [0, 1, 2].map(|axis| at[axis] % shape[axis]));
            Ok(all)
        };
        let (first, second) = (repeated(first, shapes[0])?, repeated(second, shapes[1])?);
        let mut output = vec![T::zeroed(); first.len()];
        f(to, &first, &second, &mut output);
        Ok(T::pack(output))
    })
}

fn quantizations<const N: usize>(graph: &Graph, ids: [ValueId; N]) -> Result<[Quantization; N], ShapeError> {
    let all: Option<Vec<_>> = ids.iter().map(|&id| graph.value(id).element.quantization()).collect();
    all.and_then(|all| all.try_into().ok()).ok_or(ShapeError::Input)
}
