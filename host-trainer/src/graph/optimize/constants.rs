//! Operators of constants.

use super::remove;
use crate::graph::{Graph, Node, Numbers, Operator, ValueId};
use crate::run::Interpreter;

/// A constant of so many bytes may be larger than what it is computed from.
const SMALL: usize = 4096;
/// All constants together may be so many bytes larger than what they are computed from.
const MOST_GROWTH: usize = 1 << 20;

/// The interpreter computes them: it has the bits of every core.
pub(super) fn fold(graph: &mut Graph) -> usize {
    let mut marked = vec![false; graph.nodes.len()];
    let mut left = MOST_GROWTH;
    for (number, marked) in marked.iter_mut().enumerate() {
        let node = &graph.nodes[number];
        if !arranges_or_maps(&node.operator) || !node.inputs.iter().all(|&input| graph.value(input).constant.is_some())
        {
            continue;
        }
        let from: usize = node.inputs.iter().map(|&input| graph.value(input).bytes()).sum();
        let bytes = graph.value(node.output).bytes();
        let growth = bytes.saturating_sub(from);
        if bytes > from.max(SMALL) || growth > left {
            continue;
        }
        if let Some(numbers) = compute(graph, node) {
            left -= growth;
            let output = node.output;
            graph.values[output.0].constant = Some(numbers);
            *marked = true;
        }
    }
    remove(graph, &marked)
}

/// Layers with weights and poolings are left alone: of constants nobody has them, and hostile files could make them long.
fn arranges_or_maps(operator: &Operator) -> bool {
    match operator {
        Operator::Conv2d { .. }
        | Operator::Dense { .. }
        | Operator::Depthwise { .. }
        | Operator::Transposed { .. }
        | Operator::LocallyConnected { .. }
        | Operator::MaxPool { .. }
        | Operator::AveragePool { .. }
        | Operator::Mean => false,
        Operator::Function(_)
        | Operator::Add(_)
        | Operator::Subtract(_)
        | Operator::Multiply(_)
        | Operator::Concatenate { .. }
        | Operator::Pad { .. }
        | Operator::Reshape
        | Operator::Slice { .. }
        | Operator::ResizeNearest { .. }
        | Operator::Quantize
        | Operator::Dequantize
        | Operator::Requantize => true,
    }
}

/// The output of a node of constants.
fn compute(graph: &Graph, node: &Node) -> Option<Numbers> {
    let mut values: Vec<_> = node.inputs.iter().map(|&input| graph.value(input).clone()).collect();
    let output = ValueId(values.len());
    values.push(graph.value(node.output).clone());
    let alone = Graph {
        name: node.name.clone(),
        source: graph.source.clone(),
        rounding: graph.rounding,
        values,
        nodes: vec![Node { inputs: (0..output.0).map(ValueId).collect(), output, ..node.clone() }],
        inputs: Vec::new(),
        outputs: vec![output],
    };
    Interpreter::new(&alone).ok()?.run(&[]).ok()?.pop()
}
