//! Activations become part of what computes their input.

use super::{Links, remove};
use crate::graph::{Element, Function, Graph, Operator, Weights};
use bareconv::Activation;

/// A fused activation clamps the output; so does one of its own, if input and output have the same quantization.
///
/// In integers both clamp to the same bounds, so that they are the same: `clamp(clamp(x, type), zero, six)`. In `f32` a
/// fused one makes `-0.0` to `0.0`, and one of its own leaves it. The sum of a convolution begins with the bias; `x + y` is
/// `-0.0` only where both are, so that no sum is as long as the bias is not. Sums and products of two tensors may be, and
/// keep their ReLU in `f32`. A maximum pooling in between does not matter: it takes one of the values, and clamping keeps
/// their order.
pub(super) fn fuse(graph: &mut Graph) -> usize {
    let mut links = Links::of(graph);
    let mut marked = vec![false; graph.nodes.len()];
    for (number, marked) in marked.iter_mut().enumerate() {
        let node = &graph.nodes[number];
        let activation = match node.operator {
            Operator::Function(Function::Relu) => Activation::Relu,
            Operator::Function(Function::Relu6) => Activation::Relu6,
            _ => continue,
        };
        let (input, output) = (node.inputs[0], node.output);
        let element = graph.value(output).element;
        if graph.value(input).element != element {
            continue;
        }
        let Some(producer) = links.sole_producer(input) else { continue };
        if !add(&mut graph.nodes[producer].operator, activation, element) {
            continue;
        }
        links.absorb(graph, producer, number);
        *marked = true;
    }
    remove(graph, &marked)
}

/// Adds an activation to an operator with values of this type, if that is exact.
pub(super) fn add(operator: &mut Operator, more: Activation, element: Element) -> bool {
    let (activation, exact) = match operator {
        Operator::Conv2d { weights, activation, .. }
        | Operator::Dense { weights, activation, .. }
        | Operator::Depthwise { weights, activation, .. }
        | Operator::Transposed { weights, activation, .. }
        | Operator::LocallyConnected { weights, activation, .. } => {
            let signed = |bias: &f32| bias.to_bits() == (-0.0f32).to_bits();
            // Whatever has an activation has no `-0.0` any more.
            let exact = match weights {
                Weights::F32 { bias, .. } if *activation == Activation::Identity => !bias.iter().any(signed),
                _ => true,
            };
            (activation, exact)
        }
        Operator::Add(activation) | Operator::Subtract(activation) | Operator::Multiply(activation) => {
            (activation, element != Element::F32)
        }
        _ => return more == Activation::Identity,
    };
    let added = exact || more == Activation::Identity;
    if added {
        *activation = both(*activation, more);
    }
    added
}

/// Two activations, one after the other.
fn both(first: Activation, second: Activation) -> Activation {
    match (first, second) {
        (Activation::Identity, other) | (other, Activation::Identity) => other,
        (Activation::Relu6, _) | (_, Activation::Relu6) => Activation::Relu6,
        (Activation::Relu, Activation::Relu) => Activation::Relu,
    }
}
