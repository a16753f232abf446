//! What every fuzz target does with a graph that an importer made.

use host_trainer::generate;
use host_trainer::graph::optimize::{self, optimize};
use host_trainer::graph::{Graph, Numbers, Operator, Value};
use host_trainer::plan::{self, Plan};
use host_trainer::run::{Interpreter, PortableWords};

/// Multiply-accumulates and bytes of a network that is run.
const MOST_WORK: usize = 1 << 19;
/// Nodes of a network that is planned row by row, for which there are many ways.
const MOST_STREAMED: usize = 16;

/// The rules, the passes, the interpreter, the plan and the module. Numbers for inputs are from the file's own bytes.
///
/// # Panics
/// Where a pass breaks a rule or changes an output, or a plan overwrites what is needed.
pub fn follow(graph: &Graph, bytes: &[u8]) {
    let mut optimized = graph.clone();
    let checked = optimize(&mut optimized, &optimize::Options::default());
    assert_eq!(checked.is_ok(), graph.check().is_ok());
    if checked.is_err() {
        return;
    }
    optimized.check().expect("passes keep the rules");
    if work(graph) <= MOST_WORK {
        compare(graph, &optimized, bytes);
    }
    let stream = bytes.len() % 2 == 0 && optimized.nodes.len() <= MOST_STREAMED;
    let plan = Plan::new(&optimized, plan::Options { stream, ..plan::Options::default() }, &PortableWords);
    plan.check(&optimized).expect("a plan overwrites nothing");
    let _ = generate::module(&optimized, &generate::Options::default());
}

fn compare(graph: &Graph, optimized: &Graph, bytes: &[u8]) {
    let Ok(plain) = Interpreter::new(graph) else { return };
    let inputs: Vec<Numbers> = graph.inputs.iter().map(|&input| some(graph.value(input), bytes)).collect();
    let expected = plain.run(&inputs).expect("it is ready to run");
    let outputs = Interpreter::new(optimized).expect("it ran before").run(&inputs).expect("it is ready to run");
    assert!(outputs.iter().zip(&expected).all(|(a, b)| same(a, b)), "a pass changes the outputs");
}

/// How much there is to compute, about.
fn work(graph: &Graph) -> usize {
    let values = graph.values.iter().map(Value::bytes).fold(0, usize::saturating_add);
    let nodes = graph.nodes.iter().map(|node| match node.operator {
        Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => {
            graph.value(node.output).len().saturating_mul(shape.window[0] * shape.window[1])
        }
        _ => generate::macs(node).unwrap_or(0),
    });
    nodes.fold(values, usize::saturating_add)
}

/// Numbers for an input; floats that are zeros of both signs as often as not.
fn some(value: &Value, bytes: &[u8]) -> Numbers {
    let all: Vec<u8> = bytes.iter().copied().cycle().take(value.bytes()).collect();
    match Numbers::from_bytes(value.element, &all) {
        Numbers::F32(values) => Numbers::F32(
            values
                .into_iter()
                .map(|value| match value.to_bits() % 4 {
                    0 => 0.0,
                    1 => -0.0,
                    _ => value,
                })
                .collect(),
        ),
        integers => integers,
    }
}

/// The same bits, but that a NaN is a NaN.
fn same(a: &Numbers, b: &Numbers) -> bool {
    match (a, b) {
        (Numbers::F32(a), Numbers::F32(b)) => {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        }
        _ => a == b,
    }
}
