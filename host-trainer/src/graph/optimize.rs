//! Passes over graphs that keep every bit of every output.
//!
//! Importers make plain graphs, a node for each operator of the file; [`optimize`] makes them small. Each [`Pass`] says
//! when what it does is exact, and can be left out.
//!
//! ```
//! use host_trainer::graph::optimize::{Options, Pass, optimize};
//! # use host_trainer::graph::{Element, Graph, Node, Operator, Rounding, Value, ValueId};
//! # let value = |name: &str| Value {
//! #     name: name.to_owned(), shape: [1, 1, 2], dimensions: vec![1, 2], element: Element::F32, constant: None,
//! # };
//! # let mut graph = Graph {
//! #     name: "copy".to_owned(), source: "an example".to_owned(), rounding: Rounding::Single,
//! #     values: vec![value("a"), value("b")],
//! #     nodes: vec![Node {
//! #         name: "b".to_owned(), place: "operator 0".to_owned(), operator: Operator::Reshape,
//! #         inputs: vec![ValueId(0)], output: ValueId(1),
//! #     }],
//! #     inputs: vec![ValueId(0)], outputs: vec![ValueId(1)],
//! # };
//! let report = optimize(&mut graph, &Options::without(&[Pass::FoldPads]))?;
//! assert_eq!(report.changes, [(Pass::DropReshapes, 1)]);
//! # Ok::<(), host_trainer::graph::GraphError>(())
//! ```

mod activations;
mod constants;
mod dead;
mod identities;
mod pads;
mod pooling;
mod reshapes;

use super::{Graph, GraphError, Node, ValueId};
use std::fmt;
use std::str::FromStr;

/// A transformation of graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Operators of constants alone become constants, unless those would be large.
    FoldConstants,
    /// Operators that change nothing disappear: requantization to the same quantization, quantization of what was just
    /// dequantized from it, concatenation of one tensor, slices of everything, padding by nothing, pooling of single pixels,
    /// resizing to the same size.
    DropIdentities,
    /// Reshapes to the same shape disappear, of several in a row one is left, and dense layers read their input as it is.
    DropReshapes,
    /// Padding becomes that of the convolution or pooling behind it.
    FoldPads,
    /// ReLU and ReLU6 become part of the convolution, dense layer, sum, difference or product before them.
    FuseActivations,
    /// Maximum pooling becomes part of the convolution before it.
    FusePooling,
    /// What no output needs disappears.
    DropDead,
}

impl Pass {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::FoldConstants,
        Self::DropIdentities,
        Self::DropReshapes,
        Self::FoldPads,
        Self::FuseActivations,
        Self::FusePooling,
        Self::DropDead,
    ];

    /// Its name for people and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FoldConstants => "fold-constants",
            Self::DropIdentities => "drop-identities",
            Self::DropReshapes => "drop-reshapes",
            Self::FoldPads => "fold-pads",
            Self::FuseActivations => "fuse-activations",
            Self::FusePooling => "fuse-pooling",
            Self::DropDead => "drop-dead",
        }
    }

    /// Runs it once over a checked graph and says how many nodes it changed or removed.
    fn run(self, graph: &mut Graph) -> usize {
        match self {
            Self::FoldConstants => constants::fold(graph),
            Self::DropIdentities => identities::drop(graph),
            Self::DropReshapes => reshapes::drop(graph),
            Self::FoldPads => pads::fold(graph),
            Self::FuseActivations => activations::fuse(graph),
            Self::FusePooling => pooling::fuse(graph),
            Self::DropDead => dead::drop(graph),
        }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no pass of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no pass `{0}`; there are {all}", all = Pass::ALL.map(Pass::name).join(", "))]
pub struct UnknownPass(pub String);

impl FromStr for Pass {
    type Err = UnknownPass;

    fn from_str(name: &str) -> Result<Self, UnknownPass> {
        Self::ALL.into_iter().find(|pass| pass.name() == name).ok_or_else(|| UnknownPass(name.to_owned()))
    }
}

/// Which passes run: all of them by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The passes; their order here does not matter.
    pub passes: Vec<Pass>,
}

impl Default for Options {
    fn default() -> Self {
        Self { passes: Pass::ALL.to_vec() }
    }
}

impl Options {
    /// All passes but these.
    #[must_use]
    pub fn without(passes: &[Pass]) -> Self {
        Self { passes: Pass::ALL.into_iter().filter(|pass| !passes.contains(pass)).collect() }
    }
}

/// What the passes did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The passes that changed something, and how many nodes each changed or removed.
    pub changes: Vec<(Pass, usize)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list: Vec<_> = self.changes.iter().map(|(pass, count)| format!("{pass} {count}")).collect();
        f.write_str(if list.is_empty() { "nothing" } else { "" })?;
        f.write_str(&list.join(", "))
    }
}

/// The most rounds: one pass may make work for another, but no real network needs more than a few.
const ROUNDS: usize = 32;

/// Runs the passes again and again until none changes anything. The network's inputs and outputs keep their number, order,
/// shapes and types, and every bit.
///
/// # Errors
/// Where the graph breaks a rule of [`Graph::check`].
pub fn optimize(graph: &mut Graph, options: &Options) -> Result<Report, GraphError> {
    graph.check()?;
    let mut counts = [0; Pass::ALL.len()];
    for _ in 0..ROUNDS {
        let mut changed = 0;
        for (pass, count) in Pass::ALL.into_iter().zip(&mut counts) {
            if options.passes.contains(&pass) {
                let here = pass.run(graph);
                *count += here;
                changed += here;
            }
        }
        if changed == 0 {
            break;
        }
    }
    debug_assert_eq!(graph.check(), Ok(()), "passes keep the rules");
    Ok(Report { changes: Pass::ALL.into_iter().zip(counts).filter(|&(_, count)| count > 0).collect() })
}

/// Who computes and who reads the values of a graph.
struct Links {
    /// The node that computes each value.
    producers: Vec<Option<usize>>,
    /// The nodes that read each value, each as often as it does.
    readers: Vec<Vec<usize>>,
    /// Whether each value is an output of the network.
    outputs: Vec<bool>,
}

impl Links {
    fn of(graph: &Graph) -> Self {
        let count = graph.values.len();
        let mut links =
            Self { producers: vec![None; count], readers: vec![Vec::new(); count], outputs: vec![false; count] };
        for (number, node) in graph.nodes.iter().enumerate() {
            links.producers[node.output.0] = Some(number);
            for input in &node.inputs {
                links.readers[input.0].push(number);
            }
        }
        for output in &graph.outputs {
            links.outputs[output.0] = true;
        }
        links
    }

    /// The node that computes a value, if another node is the only one to look at it.
    fn sole_producer(&self, value: ValueId) -> Option<usize> {
        let alone = self.readers[value.0].len() == 1 && !self.outputs[value.0];
        self.producers[value.0].filter(|_| alone)
    }

    /// A node takes the place of its only reader: it computes that one's output.
    fn absorb(&mut self, graph: &mut Graph, node: usize, reader: usize) {
        let output = graph.nodes[reader].output;
        self.readers[graph.nodes[node].output.0].clear();
        graph.nodes[node].output = output;
        self.producers[output.0] = Some(node);
    }
}

/// Removes the nodes that are marked.
fn remove(graph: &mut Graph, marked: &[bool]) -> usize {
    let before = graph.nodes.len();
    let mut marks = marked.iter();
    graph.nodes.retain(|_| marks.next() != Some(&true));
    before - graph.nodes.len()
}

/// Removes the nodes whose outputs `same` finds to be those of other values; what read them reads those.
fn bypass(graph: &mut Graph, same: impl Fn(&Graph, &Links, &Node) -> Option<ValueId>) -> usize {
    let mut links = Links::of(graph);
    let mut counts: Vec<usize> = links.readers.iter().map(Vec::len).collect();
    let mut instead: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
    let mut marked = vec![false; graph.nodes.len()];
    for number in 0..graph.nodes.len() {
        // In order: what replaces an input is known.
        for input in 0..graph.nodes[number].inputs.len() {
            let now = instead[graph.nodes[number].inputs[input].0];
            graph.nodes[number].inputs[input] = now;
        }
        let Some(input) = same(graph, &links, &graph.nodes[number]) else { continue };
        let output = graph.nodes[number].output;
        marked[number] = true;
        let alone = counts[input.0] == 1 && !links.outputs[input.0] && graph.nodes[number].inputs == [input];
        match links.producers[input.0] {
            // The network's output keeps its name where it can.
            Some(producer) if alone && links.outputs[output.0] => {
                graph.nodes[producer].output = output;
                links.producers[output.0] = Some(producer);
            }
            _ => {
                instead[output.0] = input;
                counts[input.0] += counts[output.0];
                for read in &graph.nodes[number].inputs {
                    counts[read.0] -= 1;
                }
                links.outputs[input.0] |= links.outputs[output.0];
            }
        }
    }
    for output in &mut graph.outputs {
        *output = instead[output.0];
    }
    remove(graph, &marked)
}
