//! What no output needs.

use super::remove;
use crate::graph::{Graph, ValueId};

pub(super) fn drop(graph: &mut Graph) -> usize {
    let mut needed = vec![false; graph.values.len()];
    for output in &graph.outputs {
        needed[output.0] = true;
    }
    let mut marked = vec![false; graph.nodes.len()];
    for (node, marked) in graph.nodes.iter().zip(&mut marked).rev() {
        *marked = !needed[node.output.0];
        for input in node.inputs.iter().filter(|_| !*marked) {
            needed[input.0] = true;
        }
    }
    let removed = remove(graph, &marked);
    // The network's inputs stay, whether anything reads them or not.
    for input in &graph.inputs {
        needed[input.0] = true;
    }
    let mut numbers = Vec::with_capacity(needed.len());
    let mut next = 0;
    for &needed in &needed {
        numbers.push(ValueId(next));
        next += usize::from(needed);
    }
    let mut all = needed.iter();
    graph.values.retain(|_| all.next() == Some(&true));
    let ends = graph.inputs.iter_mut().chain(&mut graph.outputs);
    let nodes = graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().chain([&mut node.output]));
    for id in ends.chain(nodes) {
        *id = numbers[id.0];
    }
    removed
}
