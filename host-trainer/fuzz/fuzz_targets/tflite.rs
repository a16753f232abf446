//! Bytes that claim to be a TensorFlow Lite file, all the way to a Rust module: no panic, no hang, no memory out of
//! proportion to the file. What runs quickly runs, and the passes may not change its outputs.
//!
//! ```sh
//! cargo +nightly fuzz run tflite fuzz/corpus/tflite tests/models -- -max_len=16384 -timeout=20 -rss_limit_mb=2048
//! ```
//! in `host-trainer`.

#![no_main]

use host_trainer::graph::optimize::{self, optimize};
use host_trainer::{generate, graph::Graph, graph::Numbers, import, run::Interpreter};
use libfuzzer_sys::fuzz_target;

/// Multiply-accumulates and bytes of a network that is run.
const MOST_WORK: usize = 1 << 19;

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = import::tflite(bytes, "fuzzed") else { return };
    let mut optimized = graph.clone();
    let checked = optimize(&mut optimized, &optimize::Options::default());
    assert_eq!(checked.is_ok(), graph.check().is_ok());
    if checked.is_err() {
        return;
    }
    optimized.check().expect("passes keep the rules");
    if work(&graph) <= MOST_WORK {
        let inputs: Vec<Numbers> = graph.inputs.iter().map(|&input| some(graph.value(input), bytes)).collect();
        let outputs = Interpreter::new(&graph).ok().map(|graph| graph.run(&inputs).expect("it is ready to run"));
        if let Some(outputs) = outputs {
            let graph = Interpreter::new(&optimized).expect("it ran before");
            let same = graph.run(&inputs).expect("it is ready to run").iter().zip(&outputs).all(|(a, b)| same(a, b));
            assert!(same, "a pass changes the outputs");
        }
    }
    let _ = generate::module(&optimized, &generate::Options::default());
});

/// How much there is to compute, about.
fn work(graph: &Graph) -> usize {
    let values: usize = graph.values.iter().map(|value| value.bytes()).fold(0, usize::saturating_add);
    let macs = graph.nodes.iter().map(|node| generate::macs(node).unwrap_or(0)).fold(0, usize::saturating_add);
    let windows = graph.nodes.iter().map(|node| match node.operator {
        host_trainer::graph::Operator::MaxPool { shape, .. }
        | host_trainer::graph::Operator::AveragePool { shape, .. } => {
            let output: usize = graph.value(node.output).len();
            output.saturating_mul(shape.window[0] * shape.window[1])
        }
        _ => 0,
    });
    values.saturating_add(macs).saturating_add(windows.fold(0, usize::saturating_add))
}

/// Numbers for an input, from the file's own bytes.
fn some(value: &host_trainer::graph::Value, bytes: &[u8]) -> Numbers {
    let all: Vec<u8> = bytes.iter().copied().cycle().take(value.bytes()).collect();
    Numbers::from_bytes(value.element, &all)
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
