//! Passes over graphs: every bit of every output stays, with each of them and without.

mod graphs;

use bareconv::{Activation, Conv2dShape, Quantization};
use graphs::Builder;
use host_trainer::graph::optimize::{Options, Pass, optimize};
use host_trainer::graph::{Element, Function, Graph, Numbers, Operator, Rounding, Scales, Weights};
use host_trainer::plan::{self, Plan};
use host_trainer::random::Random;
use host_trainer::run::{Interpreter, PortableWords};
use host_trainer::{generate, import};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

fn outputs(graph: &Graph, inputs: &[Numbers]) -> Result<Vec<Vec<u8>>, String> {
    let interpreter = Interpreter::new(graph).map_err(|error| error.to_string())?;
    Ok(interpreter.run(inputs).map_err(|error| error.to_string())?.iter().map(Numbers::to_bytes).collect())
}

/// All passes; all but each; and each alone.
fn choices() -> Vec<Options> {
    let mut choices = vec![Options::default()];
    choices.extend(Pass::ALL.map(|pass| Options::without(&[pass])));
    choices.extend(Pass::ALL.map(|pass| Options { passes: vec![pass] }));
    choices
}

/// Optimizes a graph in every way, compares the outputs of each, and counts what all passes together did.
fn compare(graph: &Graph, all_inputs: &[Vec<Numbers>], total: &mut BTreeMap<Pass, usize>) {
    let expected: Vec<_> = all_inputs.iter().map(|inputs| outputs(graph, inputs).unwrap()).collect();
    for options in choices() {
        let mut optimized = graph.clone();
        let report = optimize(&mut optimized, &options).unwrap();
        optimized.check().unwrap();
        for (pass, count) in report.changes {
            assert!(options.passes.contains(&pass) && count > 0);
            if options == Options::default() {
                *total.entry(pass).or_default() += count;
            }
        }
        for (inputs, expected) in all_inputs.iter().zip(&expected) {
            assert_eq!(&outputs(&optimized, inputs).unwrap(), expected, "{}, {options:?}", graph.name);
        }
        Plan::new(&optimized, plan::Options::default(), &PortableWords).check(&optimized).unwrap();
        let shapes = |graph: &Graph| -> Vec<_> {
            let ends = graph.inputs.iter().chain(&graph.outputs);
            ends.map(|&id| (graph.value(id).shape, graph.value(id).element)).collect()
        };
        assert_eq!(shapes(&optimized), shapes(graph), "{}", graph.name);
        // Again, there is nothing to do.
        assert_eq!(optimize(&mut optimized, &options).unwrap().changes, [], "{}, {options:?}", graph.name);
    }
}

#[test]
fn random_graphs_keep_every_bit() {
    let mut total = BTreeMap::new();
    let mut compared = 0;
    for seed in 0..5000 {
        let (graph, inputs) = graphs::random(seed);
        graph.check().unwrap();
        // What the library's arithmetic does not hold is another test's matter.
        if outputs(&graph, &inputs).is_ok() {
            compare(&graph, &[inputs], &mut total);
            compared += 1;
        }
    }
    assert!(compared > 4000, "{compared}");
    for pass in Pass::ALL {
        assert!(total.get(&pass).is_some_and(|&count| count > 20), "{pass}: {total:?}");
    }
}

fn model(folder: &Path, name: &str) -> Graph {
    let bytes = fs::read(folder.join(format!("{name}.tflite"))).unwrap();
    import::tflite(&bytes, name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// As many inputs as there are in a file.
fn inputs(graph: &Graph, bytes: &[u8]) -> Vec<Vec<Numbers>> {
    let one: usize = graph.inputs.iter().map(|&input| graph.value(input).bytes()).sum();
    let read = |mut bytes: &[u8]| {
        let mut numbers = Vec::new();
        for &input in &graph.inputs {
            let here;
            (here, bytes) = bytes.split_at(graph.value(input).bytes());
            numbers.push(Numbers::from_bytes(graph.value(input).element, here));
        }
        numbers
    };
    assert!(!bytes.is_empty() && bytes.len().is_multiple_of(one));
    bytes.chunks(one).map(read).collect()
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

#[test]
fn small_models_keep_every_bit() {
    let folder = models();
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tflite") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let graph = model(&folder, name);
            let inputs = inputs(&graph, &fs::read(path.with_extension("in")).unwrap());
            compare(&graph, &inputs, &mut BTreeMap::new());
            count += 1;
        }
    }
    assert!(count > 150, "{count}");
}

#[test]
fn passes_do_what_they_say() {
    let folder = models();
    for (name, nodes, without) in [
        // Without the activation, the pooling does not see the convolution.
        ("network_int8_one_layer", 1, &[(Pass::FoldPads, 2), (Pass::FuseActivations, 3), (Pass::FusePooling, 2)][..]),
        ("network_int16_one_layer", 1, &[(Pass::FoldPads, 2)]),
        ("network_float32_one_layer", 1, &[(Pass::FoldPads, 2), (Pass::FusePooling, 2)]),
        ("network_int8_depthwise", 2, &[(Pass::FoldPads, 3), (Pass::FuseActivations, 3)]),
        ("network_float32_depthwise", 2, &[]),
        // What is padded is read by a sum as well.
        ("network_int8_residual", 5, &[(Pass::FuseActivations, 6)]),
        // A sum of f32 may be -0.0, which a ReLU of its own leaves; the reshape before the dense layer goes.
        ("network_float32_residual", 5, &[(Pass::DropReshapes, 6), (Pass::DropDead, 6)]),
        ("network_int8_moves", 2, &[(Pass::DropIdentities, 5), (Pass::DropReshapes, 3)]),
        ("network_int8_constants", 1, &[(Pass::FoldConstants, 3), (Pass::DropDead, 2)]),
        ("network_float32_constants", 1, &[]),
        // These stay as they are.
        ("network_int8_border", 2, &[]),
        ("network_int8_two_readers", 3, &[]),
        ("network_int8_pooled_border", 3, &[]),
        ("network_int8_relu_scale", 2, &[]),
        // The lowest value never wins.
        ("network_int8_low_border", 1, &[(Pass::FoldPads, 2)]),
    ] {
        let graph = model(&folder, name);
        let count = |options: &Options| {
            let mut graph = graph.clone();
            optimize(&mut graph, options).unwrap();
            graph.nodes.len()
        };
        assert_eq!(count(&Options::default()), nodes, "{name}");
        for &(pass, more) in without {
            assert_eq!(count(&Options::without(&[pass])), more, "{name} without {pass}");
        }
        assert_eq!(count(&Options { passes: Vec::new() }), graph.nodes.len(), "{name}");
    }
}

#[test]
fn networks_of_mlperf_tiny_keep_every_bit() {
    let Some(folder) = env::var_os("BARECONV_MODELS").map(PathBuf::from) else {
        eprintln!("BARECONV_MODELS names no folder: nothing to test");
        return;
    };
    for name in ["kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "ad01_int8"] {
        let graph = model(&folder, name);
        let mut inputs = inputs(&graph, &fs::read(folder.join(format!("{name}.in.i8"))).unwrap());
        inputs.truncate(2);
        let mut total = BTreeMap::new();
        compare(&graph, &inputs, &mut total);
        let mut optimized = graph.clone();
        optimize(&mut optimized, &Options::default()).unwrap();
        for (what, graph) in [("plain", &graph), ("optimized", &optimized)] {
            let plan = Plan::new(graph, plan::Options::default(), &PortableWords);
            eprintln!("{name}, {what}: {} nodes, {} bytes without scratch", graph.nodes.len(), plan.bytes);
        }
        eprintln!("{name}: {total:?}");
    }
}

/// A convolution of 1 x 1 from one channel to one in `f32`, with a ReLU of its own.
fn float_layer(bias: f32) -> Graph {
    let mut builder = Builder::new(0, Rounding::TensorFlowLiteMicro);
    let input = builder.input([1, 3, 1], Element::F32);
    let shape = Conv2dShape::new([1, 3, 1], 1, [1, 1]);
    let weights = Weights::F32 { weights: vec![1.0], bias: vec![bias] };
    let operator = Operator::Conv2d { shape, weights, activation: Activation::Identity };
    let convolved = builder.node(operator, &[input], [1, 3, 1], Element::F32);
    let output = builder.node(Operator::Function(Function::Relu), &[convolved], [1, 3, 1], Element::F32);
    builder.graph.outputs = vec![output];
    builder.graph
}

#[test]
fn a_negative_zero_keeps_its_relu() {
    let inputs = [Numbers::F32(vec![-0.0, 2.0, -3.0])];
    for (bias, nodes) in [(0.0, 1), (0.5, 1), (-0.0, 2)] {
        let graph = float_layer(bias);
        let expected = outputs(&graph, &inputs).unwrap();
        let mut optimized = graph.clone();
        optimize(&mut optimized, &Options::default()).unwrap();
        assert_eq!(optimized.nodes.len(), nodes, "{bias}");
        assert_eq!(outputs(&optimized, &inputs).unwrap(), expected);
    }
    // The rule is needed: fused, the sign would be lost.
    let graph = float_layer(-0.0);
    let mut fused = graph.clone();
    let Operator::Conv2d { activation, .. } = &mut fused.nodes[0].operator else { unreachable!() };
    *activation = Activation::Relu;
    assert_ne!(outputs(&fused, &inputs).unwrap(), outputs(&graph, &inputs).unwrap());
}

/// All values of int8, or of int16.
fn all(element: Element) -> Numbers {
    match element {
        Element::Int8(_) => Numbers::Int8((-128..=127).collect()),
        _ => Numbers::Int16((-32768..=32767).collect()),
    }
}

fn elements() -> Vec<Element> {
    let mut random = Random::new(11, 0);
    let mut elements = Vec::new();
    let scales = [1e-30f32, f32::MIN_POSITIVE, 2f32.powi(-24), 0.0078125, 0.1, 0.3333, 1.0, 6.0, 12.0, 4e6, 1e30];
    for scale in scales.into_iter().chain((0..12).map(|_| libm::expf(random.between(-9.0, 3.0)))) {
        for zero_point in [-128, -127, -1, 0, 5, 126, 127] {
            elements.push(Element::Int8(Quantization::new(scale, zero_point)));
        }
        elements.push(Element::Int16(scale));
    }
    elements
}

#[test]
fn dropped_operators_are_identities_for_every_value() {
    for element in elements() {
        let numbers = all(element);
        let shape = [1, numbers.len() / 256, 256];
        let mut builder = Builder::new(0, Rounding::TensorFlowLiteMicro);
        let input = builder.input(shape, element);
        let same = builder.node(Operator::Requantize, &[input], shape, element);
        let real = builder.node(Operator::Dequantize, &[input], shape, Element::F32);
        let back = builder.node(Operator::Quantize, &[real], shape, element);
        builder.graph.outputs = vec![same, back];
        for rounding in [Rounding::TensorFlowLiteMicro, Rounding::Single, Rounding::PowerOfTwo] {
            let graph = Graph { rounding, ..builder.graph.clone() };
            let [same, back] = &outputs(&graph, std::slice::from_ref(&numbers)).unwrap()[..] else { unreachable!() };
            assert!(*same == numbers.to_bytes(), "{element:?} {rounding:?}");
            let mut optimized = graph.clone();
            optimize(&mut optimized, &Options::default()).unwrap();
            // The one is dropped always, the others where they are the identity.
            assert!(matches!(optimized.nodes.len(), 0 | 2), "{element:?}");
            assert!(optimized.nodes.len() == 2 || *back == numbers.to_bytes(), "{element:?}");
            let usual = element.quantization().is_some_and(|of| (1e-30..1e30).contains(&of.scale));
            assert!(optimized.nodes.is_empty() || !usual, "{element:?}");
        }
    }
}

#[test]
fn fused_activations_clamp_every_value_alike() {
    for element in elements() {
        let Some(of) = element.quantization().filter(|of| (1e-6..1e6).contains(&of.scale)) else { continue };
        let numbers = all(element);
        let shape = [1, numbers.len(), 1];
        for relu in [Function::Relu, Function::Relu6] {
            let mut builder = Builder::new(0, Rounding::TensorFlowLiteMicro);
            let input = builder.input(shape, element);
            // Gives what it gets: the weight stands for 1.
            let weights = Weights::Int8 {
                weights: vec![1],
                scales: Scales::PerChannel(vec![1.0]),
                bias: vec![0],
                wide_bias: false,
            };
            let conv = Conv2dShape::new(shape, 1, [1, 1]);
            let operator = Operator::Conv2d { shape: conv, weights, activation: Activation::Identity };
            let same = builder.node(operator, &[input], shape, element);
            let output = builder.node(Operator::Function(relu), &[same], shape, element);
            builder.graph.outputs = vec![output];
            let mut optimized = builder.graph.clone();
            optimize(&mut optimized, &Options::default()).unwrap();
            assert_eq!(optimized.nodes.len(), 1, "{of:?}");
            let inputs = [numbers.clone()];
            assert!(outputs(&optimized, &inputs) == outputs(&builder.graph, &inputs), "{of:?}");
        }
    }
}

#[test]
fn large_constants_are_left_to_the_core() {
    let mut builder = Builder::new(0, Rounding::TensorFlowLiteMicro);
    let input = builder.input([100, 100, 1], Element::F32);
    let constant = builder.constant([1, 1, 1], Element::F32);
    let resize = Operator::ResizeNearest { align_corners: false, half_pixel_centers: false };
    let large = builder.node(resize, &[constant], [100, 100, 1], Element::F32);
    let output = builder.node(Operator::Add(Activation::Identity), &[input, large], [100, 100, 1], Element::F32);
    builder.graph.outputs = vec![output];
    optimize(&mut builder.graph, &Options::default()).unwrap();
    assert_eq!(builder.graph.nodes.len(), 2);
    generate::module(&builder.graph, &generate::Options::default()).unwrap();
}

#[test]
fn passes_can_be_left_out_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let import = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
        command.arg("import").arg(models().join("network_int8_one_layer.tflite"));
        command.arg("--out").arg(folder.path().join("model")).args(arguments).output().unwrap()
    };
    let layers = |arguments: &[&str]| {
        let output = import(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let module = fs::read_to_string(folder.path().join("model/mod.rs")).unwrap();
        (text, module.matches(".run").count())
    };
    let (text, count) = layers(&[]);
    assert!(text.contains("4 operators") && text.contains("fold-pads 1") && text.contains("1 layers"), "{text}");
    assert_eq!(count, 1);
    let (text, count) = layers(&["--without", "fold-pads,fuse-pooling"]);
    assert!(!text.contains("fold-pads") && text.contains("fuse-activations 1"), "{text}");
    assert_eq!(count, 3);
    let message = String::from_utf8_lossy(&import(&["--without", "magic"]).stderr).into_owned();
    assert!(message.contains("magic") && message.contains("fold-pads") && message.contains("drop-dead"), "{message}");
}

#[test]
fn passes_have_names() {
    for pass in Pass::ALL {
        assert_eq!(pass.name().parse(), Ok(pass));
    }
    let error = "fold-everything".parse::<Pass>().unwrap_err().to_string();
    assert!(error.contains("fold-everything") && error.contains("fold-pads"), "{error}");
}

#[test]
fn thousands_of_operators_do_not_take_long() {
    let mut builder = Builder::new(0, Rounding::TensorFlowLiteMicro);
    let shape = [2, 2, 4];
    let mut ends = vec![builder.input(shape, Element::F32)];
    for number in 0..4096usize {
        // Values live from a few operators to thousands of them.
        let last = ends[ends.len() - 1];
        let before = ends[number * number % ends.len()];
        let output = match number % 4 {
            0 => builder.node(Operator::Add(Activation::Identity), &[last, before], shape, Element::F32),
            1 => builder.node(Operator::Function(Function::Softmax { beta: 1.0 }), &[last], shape, Element::F32),
            2 => builder.node(Operator::Reshape, &[last], shape, Element::F32),
            _ => builder.node(Operator::Function(Function::Tanh), &[last], shape, Element::F32),
        };
        ends.push(output);
    }
    builder.graph.outputs = ends[ends.len() - 100..].to_vec();
    for options in [Options::default(), Options { passes: Vec::new() }] {
        let mut graph = builder.graph.clone();
        let start = Instant::now();
        optimize(&mut graph, &options).unwrap();
        generate::module(&graph, &generate::Options::default()).unwrap();
        // A minute even where tests are not optimized and the machine is busy; without bounds it would be an hour.
        assert!(start.elapsed() < Duration::from_secs(60), "{options:?}: {:?}", start.elapsed());
    }
}
