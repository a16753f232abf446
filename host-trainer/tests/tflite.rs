//! Files of TensorFlow Lite, against what TensorFlow Lite Micro computes from them. `models/make.py` made them.

use host_trainer::generate;
use host_trainer::graph::optimize::{self, optimize};
use host_trainer::graph::{Element, Graph};
use host_trainer::import::{self, ImportError};
use host_trainer::random::Random;
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
        let mut optimized = graph.clone();
        optimize(&mut optimized, &optimize::Options::default()).unwrap();
        assert_eq!(run(&optimized, &inputs), outputs, "{name}");
        for graph in [&graph, &optimized] {
            if let Err(error) = generate::module(graph, &generate::Options::default()) {
                failed.push(format!("{name}: {error}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What is in the way of importing a file of `models/refused`.
fn refused(name: &str) -> Vec<import::Problem> {
    let bytes = fs::read(folder().join(format!("refused/{name}.tflite"))).unwrap();
    match import::tflite(&bytes, name) {
        Err(ImportError::Unsupported(problems)) => problems,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn what_is_not_supported_is_named_with_its_place_and_what_comes_nearest() {
    for (name, place, reason, nearest) in [
        ("gelu", "operator 1 (GELU)", "not supported", "HARD_SWISH"),
        ("resize_bilinear", "operator 1 (RESIZE_BILINEAR)", "not supported", "RESIZE_NEAREST_NEIGHBOR"),
        ("transpose", "operator 1 (TRANSPOSE)", "not supported", "height, width, channels"),
        (
            "unidirectional_sequence_lstm",
            "operator 1 (UNIDIRECTIONAL_SEQUENCE_LSTM)",
            "not supported",
            "CONV_2D over time",
        ),
        ("bitcast", "operator 1 (BITCAST)", "not supported", ""),
        ("custom", "operator 0 (CUSTOM MyVeryOwn)", "not supported", ""),
        ("hybrid", "operator 0 (CONV_2D)", "is int8, not float32", ""),
        ("batch", "network input 0", "the batch, its first dimension, must be 1", ""),
        ("fused_n1", "operator 0 (CONV_2D)", "RELU_N1_TO_1 is fused", "RELU6"),
        ("lowest_weight", "operator 0 (CONV_2D)", "-128", "-127 to 127"),
        ("channel_mean", "operator 0 (MEAN)", "not a mean over height and width", "mean over height and width"),
        ("scales", "operator 0 (CONCATENATION)", "scales or zero points differ", ""),
        ("five_dimensions", "network input 0", "[1, 2, 2, 2, 2]", ""),
        ("transpose_conv_strides", "operator 0 (TRANSPOSE_CONV)", "strides", "smaller strides"),
        ("int32", "network input 0", "is int32", "int8, int16 with int8 weights, or float32"),
    ] {
        let problems = refused(name);
        let problem = &problems[0];
        assert_eq!(problem.place, place, "{name}");
        assert!(problem.reason.contains(reason), "{name}: {problem}");
        assert_eq!(problem.nearest.is_some(), !nearest.is_empty(), "{name}: {problem}");
        assert!(problem.to_string().contains(nearest), "{name}: {problem}");
        // Nothing fails because something before it did.
        assert_eq!(problems.len(), 1, "{name}: {problems:?}");
    }
    let two: Vec<_> = refused("two_operators").into_iter().map(|problem| problem.place).collect();
    assert_eq!(two, ["operator 0 (ELU)", "operator 2 (GELU)"]);
}

#[test]
fn broken_files_are_errors() {
    let whole = fs::read(folder().join("network_int8_residual.tflite")).unwrap();
    for length in (0..whole.len()).step_by(7) {
        assert!(import::tflite(&whole[..length], "cut").is_err(), "{length}");
    }
    assert!(import::tflite(b"\x08\0\0\0TFL3\0\0\0\0", "empty").is_err());
    assert!(import::tflite(b"a picture, perhaps", "other").is_err());
}

/// Everything that is done with a file, as far as it comes.
fn digest(bytes: &[u8]) {
    let Ok(graph) = import::tflite(bytes, "mutated") else { return };
    let mut optimized = graph.clone();
    let checked = optimize(&mut optimized, &optimize::Options::default());
    assert_eq!(checked.is_ok(), graph.check().is_ok());
    if checked.is_ok() {
        optimized.check().unwrap();
        let _ = generate::module(&optimized, &generate::Options::default());
    }
}

/// `fuzz/fuzz_targets/tflite.rs` goes further, and finds its way by coverage.
#[test]
fn mutated_files_do_no_harm() {
    let mut random = Random::new(5, 0);
    for name in names() {
        let whole = fs::read(folder().join(format!("{name}.tflite"))).unwrap();
        for _ in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len() / 4) * 4;
                let word = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                let new = match random.below(6) {
                    0 => word ^ 1 << random.below(32),
                    1 => word.wrapping_add(random.below(9) as u32).wrapping_sub(4),
                    2 => [0, 1, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, 0x0001_0000][random.below(6)],
                    3 => 1 << random.below(32),
                    4 => random.below(1 << 32) as u32,
                    // A word from elsewhere.
                    _ => {
                        let from = random.below(bytes.len() / 4) * 4;
                        u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap())
                    }
                };
                bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
            }
            if random.below(10) == 0 {
                bytes.truncate(random.below(bytes.len()));
            }
            digest(&bytes);
        }
    }
}
