//! Bytes that claim to be a TensorFlow Lite file, all the way to a Rust module: no panic, no hang, no memory beyond the
//! file's measure. What is read runs on zeros if that is quick.
//!
//! ```sh
//! cargo +nightly fuzz run tflite corpus tests/models -- -max_len=16384 -timeout=10 -rss_limit_mb=1024
//! ```
//! in `host-trainer`.

#![no_main]

use host_trainer::{generate, graph::Graph, graph::Numbers, import, run::Interpreter};
use libfuzzer_sys::fuzz_target;

/// Multiply-accumulates and values of a network that is run.
const MOST_WORK: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = import::tflite(bytes, "fuzzed") else { return };
    let outputs = outputs(&graph);
    if let Ok(module) = generate::module(&graph, &generate::Options::default()) {
        assert!(outputs != Some(None), "it can be written, not run");
        assert_eq!(module.files().len(), 2);
    }
});

/// What the graph makes of zeros: `Some(None)` if it cannot run, `None` if that would take long.
fn outputs(graph: &Graph) -> Option<Option<Vec<Numbers>>> {
    let Ok(interpreter) = Interpreter::new(graph) else { return Some(None) };
    let values: usize = graph.values.iter().map(|value| value.bytes()).sum();
    let macs: usize = graph.nodes.iter().filter_map(generate::macs).fold(0, usize::saturating_add);
    if values.saturating_add(macs) > MOST_WORK {
        return None;
    }
    let zeros = graph.inputs.iter().map(|&input| {
        let value = graph.value(input);
        Numbers::from_bytes(value.element, &vec![0; value.bytes()])
    });
    Some(interpreter.run(&zeros.collect::<Vec<_>>()).ok())
}
