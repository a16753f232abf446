//! Files of TensorFlow Lite, against what TensorFlow Lite Micro computes from them. `models/make.py` made them.

use host_trainer::generate;
use host_trainer::graph::{Element, Graph};
use host_trainer::import;
use host_trainer::run::Interpreter;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

/// The names of all models, in order.
fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".tflite")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// A model, and its inputs and outputs.
fn read(name: &str) -> (Graph, Vec<u8>, Vec<u8>) {
    let read = |suffix: &str| fs::read(folder().join(format!("{name}.{suffix}"))).unwrap();
    let graph = import::tflite(&read("tflite"), name).unwrap_or_else(|error| panic!("{name}: {error}"));
    (graph, read("in"), read("out"))
}

/// The outputs of a graph for several inputs, one after the other.
fn run(graph: &Graph, inputs: &[u8]) -> Vec<u8> {
    let interpreter = Interpreter::new(graph).unwrap_or_else(|error| panic!("{}: {error}", graph.name));
    let bytes: usize = graph.inputs.iter().map(|&input| graph.value(input).bytes()).sum();
    assert!(inputs.len() > bytes && inputs.len().is_multiple_of(bytes), "{}: several inferences", graph.name);
    inputs.chunks(bytes).flat_map(|input| interpreter.run_bytes(input).unwrap()).collect()
}

/// Functions of `f32` that TensorFlow Lite Micro takes from its C library, and how far from its results ours may be. All
/// other operators have the same bits.
fn tolerance(name: &str) -> f32 {
    let inexact = ["logistic_float32", "tanh_float32", "softmax_float32"];
    if inexact.contains(&name) { 1e-6 } else { 0.0 }
}

#[test]
fn outputs_are_those_of_tensorflow_lite_micro() {
    let mut failed = Vec::new();
    for name in names() {
        let (graph, inputs, expected) = read(&name);
        let outputs = run(&graph, &inputs);
        assert_eq!(outputs.len(), expected.len(), "{name}");
        let tolerance = tolerance(&name);
        let same = if tolerance > 0.0 {
            assert!(graph.outputs.iter().all(|&output| graph.value(output).element == Element::F32));
            let floats = |bytes: &[u8]| -> Vec<f32> {
                bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
            };
            floats(&outputs).iter().zip(floats(&expected)).all(|(a, b)| (a - b).abs() <= tolerance)
        } else {
            outputs == expected
        };
        if !same {
            let differing = outputs.iter().zip(&expected).filter(|(a, b)| a != b).count();
            failed.push(format!("{name}: {differing} of {} bytes", outputs.len()));
        }
        if let Err(error) = generate::module(&graph, &generate::Options::default()) {
            failed.push(format!("{name}: {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
