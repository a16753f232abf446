//! Generated modules, compiled: they give the bytes of the interpreter, and of TensorFlow Lite Micro.
//!
//! One program holds a module of every small network of the tests and of random graphs, each also with its layers run row by
//! row where the plan differs then. It is built for this computer, where `bareconv` takes the best backend.

mod graphs;

use bareconv::{BlurPadding, Coordinates};
use bareconv_boards::shell::without_outer_cargo;
use host_trainer::firmware::Library;
use host_trainer::generate::{self, Module};
use host_trainer::graph::optimize::{self, optimize};
use host_trainer::graph::{Element, Graph, Numbers, Operator, Scales, Weights};
use host_trainer::import;
use host_trainer::nn::{Conv2d, Initialization, Layer, Network, NetworkBuilder, Pool2d};
use host_trainer::output::OutputFolder;
use host_trainer::plan;
use host_trainer::quantize::{Integers, Options, post_training, to_element};
use host_trainer::random::Random;
use host_trainer::run::Interpreter;
use std::fmt::Write;
use std::mem::take;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Random graphs that are compiled.
const RANDOM: usize = 120;

/// A network, inputs for it, and what is right.
struct Case {
    name: String,
    graph: Graph,
    inputs: Vec<u8>,
    outputs: Vec<u8>,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// All bytes that the interpreter computes.
fn interpret(graph: &Graph, inputs: &[u8]) -> Option<Vec<u8>> {
    let bytes = graph.inputs.iter().map(|&input| graph.value(input).bytes()).sum();
    let interpreter = Interpreter::new(graph).ok()?;
    Some(inputs.chunks(bytes).flat_map(|input| interpreter.run_bytes(input).unwrap()).collect())
}

/// The networks of a folder, with passes over them. For integers TensorFlow Lite Micro's outputs are right; where functions of
/// `f32` differ by what `tflite.rs` bounds, and onnxruntime by what `onnx.rs` does, the interpreter's before the passes.
fn files(folder: &str, suffix: &str, cases: &mut Vec<Case>) {
    let mut paths: Vec<_> = fs::read_dir(tests().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == suffix));
    paths.sort();
    for path in paths {
        let mut graph = import::file(&path).unwrap_or_else(|error| panic!("{error}"));
        let inputs = fs::read(path.with_extension("in")).unwrap();
        let outputs = match suffix {
            "tflite" if graph.values.iter().all(|value| value.element != Element::F32) => {
                fs::read(path.with_extension("out")).unwrap()
            }
            _ => interpret(&graph, &inputs).unwrap(),
        };
        optimize(&mut graph, &optimize::Options::default()).unwrap();
        let name = format!("{suffix}_{}", path.file_stem().unwrap().to_str().unwrap());
        cases.push(Case { name, graph, inputs, outputs });
    }
}

/// Random graphs with the interpreter's bytes, before passes over them. Every second has weights of four bits where layers
/// can; what is right then is what the same weights give as int8.
fn random(cases: &mut Vec<Case>) {
    let mut int4 = 0;
    for seed in 0.. {
        let (mut graph, inputs) = graphs::random(seed);
        if seed % 2 == 0 {
            narrow(&mut graph);
        }
        let inputs: Vec<u8> = inputs.iter().flat_map(Numbers::to_bytes).collect();
        // What the library's arithmetic does not hold is another test's matter.
        let Some(outputs) = interpret(&graph, &inputs) else { continue };
        if seed % 2 == 0 {
            int4 += four_bits(&mut graph);
        }
        optimize(&mut graph, &optimize::Options::default()).unwrap();
        cases.push(Case { name: format!("random_{seed}"), graph, inputs, outputs });
        if cases.iter().filter(|case| case.name.starts_with("random")).count() == RANDOM {
            break;
        }
    }
    assert!(int4 > RANDOM / 10, "{int4} layers of int4");
}

/// Layers that can run row by row, over tensors that are worth it.
fn chains(cases: &mut Vec<Case>) {
    for seed in 0..30 {
        let (graph, inputs) = graphs::chain(seed);
        let inputs: Vec<u8> = inputs.iter().flat_map(Numbers::to_bytes).collect();
        let outputs = interpret(&graph, &inputs).unwrap();
        cases.push(Case { name: format!("chain_{seed}"), graph, inputs, outputs });
    }
}

/// Networks of this crate's layers that files of other tools do not have, in `f32` and in integers.
fn trained(cases: &mut Vec<Case>) {
    let functions = [
        Conv2d::new(4, [3, 3]).into(),
        Layer::LocalResponse { size: 3, alpha: 0.1, beta: 0.75, k: 2.0 },
        Layer::BlurPool2d { max: 2, taps: 4, stride: 2, padding: BlurPadding::Reflect },
        Layer::SpatialPyramidPool { levels: vec![1, 2, 3], average: false },
        Layer::SpatialPyramidPool { levels: vec![1], average: true },
        Layer::dense(5),
    ];
    // There is neither in int16.
    quantized("trained", &chain(&functions), &[Integers::Int8], cases);
    let uneven = Conv2d { stride: [2, 1], padding: [1, 0, 0, 2], ..Conv2d::new(5, [2, 3]) };
    let locally_connected = [
        Layer::LocallyConnected2d(uneven),
        Layer::Relu,
        Conv2d::new(6, [2, 3]).into(),
        Layer::LocallyConnected2d(Conv2d::new(3, [4, 4]).stride(2).without_bias()),
        Layer::LocallyConnected2d(Conv2d { padding: [0, 1, 0, 1], ..Conv2d::new(7, [1, 3]) }),
        // To one pixel.
        Layer::LocallyConnected2d(Conv2d::new(2, [1, 3])),
        Layer::dense(5),
    ];
    quantized("locally_connected", &chain(&locally_connected), &[Integers::Int8, Integers::Int16], cases);
    quantized("arranged", &arranged(), &[Integers::Int8, Integers::Int16], cases);
}

/// Layers one after the other for tensors of 12 x 11 x 3.
fn chain(layers: &[Layer]) -> Network {
    Network::new([12, 11, 3], layers).unwrap()
}

/// Every way to move values, differences, and padding that counts.
fn arranged() -> Network {
    let mut net = NetworkBuilder::new([12, 11, 3]);
    let x = net.input();
    let x = net.add(Conv2d::new(4, [3, 3]).padding(1), &[x]).unwrap();
    let slice = Layer::Slice { begin: [0, -1, 0], end: [isize::MAX, isize::MIN, isize::MAX], stride: [2, -2, 1] };
    let short = net.add(slice, &[x]).unwrap();
    let short = net.add(Layer::Pad { before: [0, 0, 1], after: [0, 0, 1] }, &[short]).unwrap();
    let y = net.add(Conv2d::new(6, [3, 3]).padding(1).stride(2), &[x]).unwrap();
    let y = net.add(Layer::Subtract, &[y, short]).unwrap();
    let mut y = net.add(Layer::Relu, &[y]).unwrap();
    for (size, coordinates) in
        [([12, 12], Coordinates::Asymmetric), ([9, 10], Coordinates::HalfPixel), ([10, 11], Coordinates::AlignCorners)]
    {
        y = net.add(Layer::Upsample { size, coordinates }, &[y]).unwrap();
    }
    let y = net.add(Layer::Pad { before: [2, 0, 0], after: [0; 3] }, &[y]).unwrap();
    let x = net.add(Layer::Concatenate { axis: 2 }, &[x, y]).unwrap();
    let pool = Layer::AveragePool2d { pool: Pool2d::new([3, 3]).stride(2).padding(1), including_padding: true };
    let x = net.add(pool, &[x]).unwrap();
    let mean = net.add(Layer::GlobalAveragePool, &[x]).unwrap();
    let x = net.add(Layer::Subtract, &[x, mean]).unwrap();
    let blur = Layer::BlurPool2d { max: 1, taps: 3, stride: 2, padding: BlurPadding::Zero };
    let x = net.add(blur, &[x]).unwrap();
    let x = net.add(Layer::dense(5), &[x]).unwrap();
    net.finish(x).unwrap()
}

/// A network in `f32` and in these integers.
fn quantized(name: &str, network: &Network, integers: &[Integers], cases: &mut Vec<Case>) {
    let float = network.to_graph(&network.initialize(Initialization::He, 1), &[], name).unwrap();
    let mut random = Random::new(7, 0);
    let len = network.input_shape().iter().product();
    let inputs: Vec<Vec<Numbers>> = (0..8).map(|_| vec![graphs::some(&mut random, Element::F32, len)]).collect();
    let mut all = vec![(format!("{name}_f32"), float.clone())];
    for &activations in integers {
        let options = Options { activations, ..Options::default() };
        let graph = post_training(&float, &inputs, &options).unwrap().graph;
        let kind = if activations == Integers::Int8 { "int8" } else { "int16" };
        all.push((format!("{name}_{kind}"), graph));
    }
    for (name, graph) in all {
        let element = graph.value(graph.inputs[0]).element;
        let inputs: Vec<u8> = inputs.iter().flatten().flat_map(|input| to_element(element, input).to_bytes()).collect();
        let outputs = interpret(&graph, &inputs).unwrap();
        cases.push(Case { name, graph, inputs, outputs });
    }
}

/// The weights of convolutions and dense layers of int8 values, one scale for each output channel.
fn int8_weights(graph: &mut Graph) -> impl Iterator<Item = &mut Weights> {
    let Graph { nodes, values, .. } = graph;
    nodes.iter_mut().filter_map(|node| {
        let int8 = matches!(values[node.inputs.first()?.0].element, Element::Int8(_));
        match &mut node.operator {
            Operator::Conv2d { weights, .. } | Operator::Dense { weights, .. } if int8 => Some(weights),
            _ => None,
        }
    })
}

/// Makes weights fit four bits.
fn narrow(graph: &mut Graph) {
    for weights in int8_weights(graph) {
        if let Weights::Int8 { weights, .. } = weights {
            weights.iter_mut().for_each(|weight| *weight = (*weight).clamp(-8, 7));
        }
    }
}

/// Stores weights that fit as int4, and says of how many layers.
fn four_bits(graph: &mut Graph) -> usize {
    let mut count = 0;
    for weights in int8_weights(graph) {
        if let Weights::Int8 { weights: numbers, scales: Scales::PerChannel(scales), bias, .. } = weights {
            *weights = Weights::Int4 { weights: take(numbers), scales: take(scales), bias: take(bias) };
            count += 1;
        }
    }
    count
}

fn modules(case: &Case) -> Vec<(String, Module)> {
    let module = |stream| {
        let plan = plan::Options { stream, ..plan::Options::default() };
        generate::module(&case.graph, &generate::Options { plan, ..generate::Options::default() })
            .unwrap_or_else(|error| panic!("{}: {error}", case.name))
    };
    let (plain, rows) = (module(false), module(true));
    let mut modules = Vec::new();
    if rows != plain {
        modules.push((format!("{}_rows", case.name), rows));
    }
    modules.push((case.name.clone(), plain));
    modules
}

/// A module of a Rust program that runs a network's module over inputs in a file.
fn runner(name: &str, module: &Module) -> String {
    let mut text =
        format!("mod {name};\npub fn run_{name}(mut inputs: &[u8]) -> Vec<u8> {{\n    use {name} as model;\n");
    text.push_str("    let mut arena = Box::new(bareconv::Arena::<{ model::RAM_BYTES }>::new());\n");
    text.push_str("    let mut outputs = Vec::new();\n    while !inputs.is_empty() {\n");
    let mut names = String::new();
    for (number, input) in module.inputs.iter().enumerate() {
        let zero = if input.element == Element::F32 { "0.0" } else { "0" };
        let _ = writeln!(
            text,
            "        let mut input_{number} = model::{}::filled({zero});\n        take(&mut inputs, input_{number}.as_mut_slice());",
            input.type_name
        );
        let _ = write!(names, "&input_{number}, ");
    }
    let outputs: Vec<_> = (0..module.outputs.len()).map(|number| format!("output_{number}")).collect();
    let pattern = if outputs.len() == 1 { outputs[0].clone() } else { format!("({})", outputs.join(", ")) };
    let _ = writeln!(text, "        let {pattern} = model::MODEL.infer({names}&mut arena);");
    for output in outputs {
        let _ = writeln!(text, "        outputs.extend_from_slice(bytemuck::cast_slice({output}.as_slice()));");
    }
    text.push_str("    }\n    outputs\n}\n");
    text
}

const HEAD: &str = "//! Runs each module over the inputs in the file `NAME.in`, and writes the outputs to `NAME.out`.

fn take<T: bytemuck::Pod>(inputs: &mut &[u8], to: &mut [T]) {
    let to: &mut [u8] = bytemuck::cast_slice_mut(to);
    let (from, rest) = inputs.split_at(to.len());
    to.copy_from_slice(from);
    *inputs = rest;
}

";

const MANIFEST: &str = r#"[package]
name = "modules"
version = "0.0.0"
edition = "2024"

[dependencies]
LIBRARY
bytemuck = "1.25"

[profile.dev]
debug = false
# A network's arrays are small; what costs time is to compile.
opt-level = 0

[profile.dev.package."*"]
opt-level = 1

[workspace]
"#;

#[test]
fn modules_give_the_right_bytes() {
    let mut cases = Vec::new();
    files("models", "tflite", &mut cases);
    files("onnx", "onnx", &mut cases);
    random(&mut cases);
    chains(&mut cases);
    trained(&mut cases);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules");
    let library = Library::for_crate(&folder).dependency();
    let mut files = vec![("Cargo.toml".to_owned(), MANIFEST.replace("LIBRARY", &library).into_bytes())];
    let (mut runners, mut calls, mut expected) = (HEAD.to_owned(), String::new(), Vec::new());
    for case in &cases {
        for (name, module) in modules(case) {
            runners += &runner(&name, &module);
            let _ = writeln!(
                calls,
                "    std::fs::write(\"{name}.got\", run_{name}(&std::fs::read(\"{name}.in\").unwrap())).unwrap();"
            );
            files.push((format!("{name}.in"), case.inputs.clone()));
            files.extend(module.files().into_iter().map(|(file, text)| (format!("src/{name}/{file}"), text)));
            expected.push((name, &case.outputs));
        }
    }
    files.push(("src/main.rs".to_owned(), format!("{runners}\nfn main() {{\n{calls}}}\n").into_bytes()));
    files.push(("Cargo.lock".to_owned(), fs::read(tests().join("../../Cargo.lock")).unwrap()));
    // Cargo builds again what is newer: leave alone what is the same.
    files.retain(|(name, text)| name == "Cargo.lock" || fs::read(folder.join(name)).ok().as_ref() != Some(text));
    let named: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    OutputFolder::open(&folder).unwrap().write(&named).unwrap();
    let outputs = expected.iter().map(|(name, _)| folder.join(format!("{name}.got")));
    outputs.filter(|path| path.exists()).for_each(|path| fs::remove_file(path).unwrap());
    let mut cargo = Command::new(env!("CARGO"));
    without_outer_cargo(&mut cargo);
    let status = cargo.args(["run", "--quiet", "--features", "bareconv/std"]).current_dir(&folder).status().unwrap();
    assert!(status.success(), "the modules do not compile or run");
    let mut rows = 0;
    for (name, expected) in expected {
        let got = fs::read(folder.join(format!("{name}.got"))).unwrap();
        assert!(!got.is_empty() && got == *expected, "{name}");
        rows += usize::from(name.ends_with("_rows"));
    }
    assert!(rows > 20, "{rows} modules run row by row");
}
