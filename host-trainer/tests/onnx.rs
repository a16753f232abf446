//! ONNX files of `onnx/make.py`, against what onnxruntime computed of them.

use host_trainer::graph::{Element, Graph, Operator};
use host_trainer::import;
use host_trainer::run::Interpreter;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx")
}

/// The names of all files, without `.onnx`.
fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert!(names.len() > 60, "{} files", names.len());
    names
}

fn graph(name: &str) -> Graph {
    import::file(folder().join(format!("{name}.onnx"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The outputs for the inputs of a network, and onnxruntime's.
fn outputs(name: &str, graph: &Graph) -> [Vec<f32>; 2] {
    let read = |suffix: &str| fs::read(folder().join(format!("{name}.{suffix}"))).unwrap();
    let interpreter = Interpreter::new(graph).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = graph.inputs.iter().map(|&input| graph.value(input).bytes()).sum();
    let ours: Vec<u8> = read("in").chunks(bytes).flat_map(|input| interpreter.run_bytes(input).unwrap()).collect();
    let outputs = [floats(&ours), floats(&read("out"))];
    assert_eq!(outputs[0].len(), outputs[1].len(), "{name}");
    outputs
}

fn is_quantized(graph: &Graph) -> bool {
    graph.values.iter().any(|value| matches!(value.element, Element::Int8(_)))
}

/// The scale of the integers that the output stands for.
fn output_scale(graph: &Graph) -> f32 {
    let mut value = graph.outputs[0];
    loop {
        if let Element::Int8(of) = graph.value(value).element {
            return of.scale;
        }
        value = graph.nodes.iter().find(|node| node.output == value).unwrap().inputs[0];
    }
}

/// Quantized networks whose operators are all computed as integers, but those named.
#[test]
fn integers_are_computed_as_integers() {
    for name in names() {
        let graph = graph(&name);
        let quantized = !["_float32", "_dynamo", "_script"].iter().any(|suffix| name.ends_with(suffix));
        assert_eq!(is_quantized(&graph), quantized, "{name}");
        // The output is real numbers; softmax is computed with them, and a PReLU whose slopes are not quantized.
        let fine = ["network output", "(Softmax)", "(PRelu) `node_prelu`"];
        for node in graph.nodes.iter().filter(|node| node.operator == Operator::Dequantize) {
            assert!(fine.iter().any(|part| node.place.contains(part)), "{name}: {}", node.place);
        }
    }
}

#[test]
fn float32_networks_give_onnxruntimes_numbers() {
    let mut worst = 0.0;
    for name in names() {
        let graph = graph(&name);
        if is_quantized(&graph) {
            continue;
        }
        let [ours, theirs] = outputs(&name, &graph);
        let largest = theirs.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let differs = ours.iter().zip(&theirs).fold(0f32, |differs, (a, b)| differs.max((a - b).abs()));
        assert!(differs <= largest * 2f32.powi(-18), "{name}: differs by {differs} of {largest}");
        worst = f32::max(worst, differs / largest);
    }
    eprintln!("float32: differs by {worst:e} of the largest magnitude at most");
}

#[test]
fn quantized_networks_give_onnxruntimes_integers() {
    let (mut all, mut all_differing) = (0, 0);
    for name in names() {
        let graph = graph(&name);
        if !is_quantized(&graph) {
            continue;
        }
        let [ours, theirs] = outputs(&name, &graph);
        let scale = output_scale(&graph);
        let units = |(a, b): (&f32, &f32)| ((a - b) / scale).abs();
        let most = ours.iter().zip(&theirs).map(units).fold(0.0, f32::max);
        let differing = ours.iter().zip(&theirs).filter(|&pair| units(pair) > 0.5).count();
        eprintln!("{name}: {differing} of {} outputs differ, by {most} units at most", ours.len());
        assert!(most < 1.01, "{name}: differs by {most} units");
        // Averages of a few pixels are halves often, and means are rounded twice.
        let often = ["average_pool", "reduce_mean", "mul_channels", "qlinear"].iter().any(|part| name.contains(part));
        let most = if often { ours.len() / 4 } else { 1 + ours.len() / 50 };
        assert!(differing <= most, "{name}: {differing} of {} outputs differ", ours.len());
        (all, all_differing) = (all + ours.len(), all_differing + differing);
    }
    eprintln!("int8: {all_differing} of {all} outputs differ");
    assert!(all > 5000 && all_differing * 200 < all, "{all_differing} of {all} outputs differ");
}
