//! Training by a description, as a user runs it.

use host_trainer::data::DataSet;
use host_trainer::graph::{Graph, Numbers, Operator, Weights};
use host_trainer::quantize::first_greatest;
use host_trainer::run::Interpreter;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A convolutional network with a branch, batch normalization and dropout: all that has a state of its own.
const LAYERS: &str = r#"
[network]
layers = [
    { kind = "conv2d", filters = 6, filter = 3, stride = 2, padding = "same", bias = false },
    { kind = "batch_norm" },
    { kind = "relu", name = "start" },
    { kind = "conv2d", filters = 6, filter = 3, padding = "same", bias = false },
    { kind = "batch_norm" },
    { kind = "add", from = "start" },
    { kind = "relu" },
    { kind = "max_pool", window = 2 },
    { kind = "dropout", rate = 0.1 },
    { kind = "dense", outputs = 10 },
]
"#;

/// How the network is quantized: after training.
const AFTER: &str = "[quantization]\ncalibration_images = 100\n";

/// In training, for as many epochs as the test needs to stop it there.
const AWARE: &str = r#"
[quantization]
method = "aware"
calibration_images = 100

[quantization.aware]
epochs = 6
schedule = { kind = "cosine", peak = 0.001 }
"#;

/// A description of `epochs` over the digits beside it.
fn description(epochs: usize, quantization: &str) -> String {
    format!(
        r#"
[data]
format = "idx"
path = "digits"
{LAYERS}
[training]
epochs = {epochs}
batch = 32
seeds = [3]
validation_share = 0.1
optimizer = {{ kind = "adamw" }}
schedule = {{ kind = "one_cycle", peak = 0.01 }}
weight_decay = 0.001
average = {{ kind = "exponential", decay = 0.95 }}

[training.augmentation]
shift = 1.0
rotation = 8.0

{quantization}"#
    )
}

/// The first embedded digits as a folder of IDX files.
fn write_digits(folder: &Path, train: usize, test: usize) {
    fs::create_dir_all(folder).unwrap();
    let data = DataSet::embedded();
    for (prefix, images, count) in [("train", &data.train, train), ("t10k", &data.test, test)] {
        let header = |magic: u8, sizes: &[u32]| {
            let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
            [0, 0, 8, magic].into_iter().chain(sizes).collect::<Vec<u8>>()
        };
        let mut file = header(3, &[count as u32, 28, 28]);
        file.extend(&images.pixels[..count * 784]);
        fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), file).unwrap();
        let mut file = header(1, &[count as u32]);
        file.extend(&images.labels[..count]);
        fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), file).unwrap();
    }
}

fn host_trainer(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
    command.args(arguments).current_dir(folder);
    command
}

fn good(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files of a folder and of the folders in it, but for those that tell how long things took.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(content(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else if !name.starts_with("checkpoint") && !["results.json", "report.html"].contains(&&name[..]) {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_run_that_was_interrupted_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 2000, 200);
    let description = description(6, AWARE).replace("[network]\n", "[network]\ninput = \"standard_per_channel\"\n");
    fs::write(folder.join("net.toml"), &description).unwrap();
    good(host_trainer(folder, &["train", "net.toml", "--out", "whole", "--threads", "1"]).output().unwrap());

    // Three times, in the middle of an epoch, the last time in one with quantization: after the line of the epoch before.
    // Another number of threads each time.
    let mut arguments = vec!["train", "net.toml", "--out", "parts", "--json", "--threads", "2"];
    for (threads, aware) in [("3", false), ("2", false), ("1", true)] {
        let mut child = host_trainer(folder, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut parsed = lines.by_ref().map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
        let reached = parsed.find(|line| line["quantization_aware"] == aware).expect("an epoch of this kind");
        assert!(reached["epoch"]["epoch"].is_u64(), "{reached}");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let last: serde_json::Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
        assert_eq!(last["stopped"], true, "{last}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(folder.join("parts/checkpoint-seed3.safetensors").exists());
        assert_eq!(folder.join("parts/checkpoint-seed3-aware.safetensors").exists(), aware);
        let name =
            if aware { "parts/checkpoint-seed3-aware.safetensors" } else { "parts/checkpoint-seed3.safetensors" };
        inspect(folder, name, reached["epoch"]["epoch"].as_u64().unwrap() + 1);
        assert!(!folder.join("parts/report.html").exists());
        arguments.extend(if arguments.contains(&"--resume") { vec![] } else { vec!["--resume"] });
        let place = arguments.iter().position(|argument| *argument == "--threads").unwrap() + 1;
        arguments[place] = threads;
    }
    good(host_trainer(folder, &arguments).output().unwrap());
    let (whole, parts) = (content(&folder.join("whole")), content(&folder.join("parts")));
    assert!(whole.len() >= 12, "{:?}", whole.keys());
    assert_eq!(whole.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(*bytes == parts[name], "{name} differs");
    }

    // What is reported of the integers is theirs, by an independent count.
    let results = results(&folder.join("whole"));
    let epochs = results["epochs"].as_array().unwrap();
    assert_eq!(epochs.iter().filter(|epoch| epoch["quantization_aware"] == true).count(), 6);
    assert_eq!(epochs.len(), 12);
    let right = right(&folder.join("whole"), 200);
    assert_eq!(results["results"][1]["accuracy"], right as f64 / 200.0);
    assert!(right > 120, "{right}");

    // Quantization after training would be another network.
    let output = host_trainer(folder, &["quantize", "net.toml", "--out", "whole"]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("method = \"post_training\""), "{message}");

    // The checkpoint of another recipe is refused, by name; and that of quantization to other integers.
    for (from, to, name) in [
        ("peak = 0.01", "peak = 0.02", "recipe.schedule.peak"),
        ("_images = 100", "_images = 100\nweights = \"int4\"", "Int4"),
    ] {
        fs::write(folder.join("net.toml"), description.replace(from, to)).unwrap();
        let output = host_trainer(folder, &arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && message.contains(name), "{message}");
    }
}

/// The checkpoint of a training that was stopped after so many epochs, or in the middle of the next ones, as people and
/// machines see it.
fn inspect(folder: &Path, checkpoint: &str, epochs: u64) {
    let text = good(host_trainer(folder, &["inspect", checkpoint, "--json"]).output().unwrap());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let history = json["epochs"].as_array().unwrap();
    assert!((epochs..=6).contains(&(history.len() as u64)), "{text}");
    // 1,799 images (a tenth of each class is held out) in steps of 32, the last one smaller.
    let (steps, images) = (json["steps"].as_u64().unwrap(), json["images"].as_u64().unwrap());
    assert_eq!(steps, 57 * history.len() as u64 + images.div_ceil(32), "{text}");
    assert_eq!(json["recipe"]["batch"], 32);
    assert_eq!(json["seed"], 3);
    assert_eq!(json["quantization_aware"], checkpoint.contains("aware"));
    let table = good(host_trainer(folder, &["inspect", checkpoint]).output().unwrap());
    assert!(table.contains(&format!("{} of 6", history.len())) && table.contains("1799 of [28, 28, 1]"), "{table}");
    assert!(table.contains("state.moving_averages") != checkpoint.contains("aware"), "{table}");
    assert!(table.contains("state.activation_ranges") == checkpoint.contains("aware"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");

    // Where nobody reads any more.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = host_trainer(folder, &["inspect", checkpoint]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

fn results(out: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap()
}

/// How many of the first test digits the int8 graph of `net.toml` in a folder gets right; its outputs are the folder's.
fn right(out: &Path, count: usize) -> usize {
    let graph = Graph::from_file(&fs::read(out.join("net-int8.graph")).unwrap()).unwrap();
    let interpreter = Interpreter::new(&graph).unwrap();
    let test = DataSet::embedded().test;
    let outputs = fs::read(out.join("test-outputs.bin")).unwrap();
    let is_right = |&index: &usize| {
        // In firmware: the levels less 128.
        let input = test.image(index).iter().map(|&level| (i16::from(level) - 128) as i8).collect();
        let output = interpreter.run(&[Numbers::Int8(input)]).unwrap().swap_remove(0);
        assert_eq!(output.to_bytes(), outputs[10 * index..][..10]);
        let Numbers::Int8(scores) = output else { panic!("not int8") };
        first_greatest(&scores) == usize::from(test.labels[index])
    };
    (0..count).filter(is_right).count()
}

#[test]
fn from_a_description_to_a_module() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 1500, 300);
    let pruned = "validation_share = 0.1\npruning = { sparsity = 0.5, end = 0.3 }\n";
    let description = description(3, AFTER).replace("validation_share = 0.1\n", pruned);
    fs::write(folder.join("net.toml"), description).unwrap();
    let text = good(host_trainer(folder, &["train", "net.toml"]).output().unwrap());
    assert!(text.contains("epoch   3") && text.contains("int8"), "{text}");
    let out = folder.join("out/net");
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("What was taken for what") && report.contains("kind = &quot;add&quot;"));

    // The files hold what the results say.
    let graph = Graph::from_file(&fs::read(out.join("net-f32.graph")).unwrap()).unwrap();
    let (mut zeros, mut all) = (0, 0);
    for node in &graph.nodes {
        if let Operator::Conv2d { weights: Weights::F32 { weights, .. }, .. }
        | Operator::Dense { weights: Weights::F32 { weights, .. }, .. } = &node.operator
        {
            (zeros, all) = (zeros + weights.iter().filter(|&&weight| weight == 0.0).count(), all + weights.len());
        }
    }
    assert_eq!(zeros, all / 2, "of {all} weights");
    let results = results(&out);
    let right = right(&out, 300);
    let accuracies: Vec<f64> =
        results["results"].as_array().unwrap().iter().map(|result| result["accuracy"].as_f64().unwrap()).collect();
    assert_eq!(accuracies[1], right as f64 / 300.0);
    // Chance is 10 %.
    assert!(accuracies[0] > 0.6 && (accuracies[0] - accuracies[1]).abs() < 0.02, "{accuracies:?}");

    // The later steps by themselves give the same.
    let before = content(&out);
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&good(host_trainer(folder, arguments).output().unwrap())).unwrap()
    };
    let evaluated = json(&["evaluate", "net.toml", "--json", "--threads", "2"]);
    assert_eq!(evaluated["results"][0]["accuracy"], accuracies[0]);
    assert_eq!(evaluated["results"][1]["accuracy"], accuracies[1]);
    let table = good(host_trainer(folder, &["evaluate", "net.toml"]).output().unwrap());
    assert!(table.lines().all(|line| line.chars().count() <= 82), "{table}");
    fs::remove_file(out.join("net-int8.graph")).unwrap();
    fs::remove_dir_all(out.join("net")).unwrap();
    let quantized = json(&["quantize", "net.toml", "--json"]);
    assert_eq!(quantized["accuracy"], accuracies[1]);
    assert_eq!(json(&["export", "net.toml", "--json"])["form"], "int8");
    assert!(content(&out) == before);
    // The network's file with a folder of images, too.
    let file = out.join("net-int8.graph");
    let evaluated = json(&["evaluate", file.to_str().unwrap(), "--data", "digits", "--json"]);
    assert_eq!(evaluated["results"][0]["accuracy"], accuracies[1]);
}

/// A network with filters of its own for each pixel.
const LOCALLY_CONNECTED: &str = r#"
[network]
layers = [
    { kind = "max_pool", window = 2 },
    { kind = "locally_connected2d", filters = 5, filter = 3, stride = 2, padding = "same", bias = false },
    { kind = "batch_norm" },
    { kind = "relu" },
    { kind = "locally_connected2d", filters = 6, filter = [3, 2] },
    { kind = "dense", outputs = 10 },
]
"#;

/// A residual connection without weights, a resized branch, a difference, padding that counts, and a blur beside zeros.
const ARRANGED: &str = r#"
[network]
layers = [
    { kind = "average_pool", window = 3, stride = 2, padding = 1, including_padding = true },
    { kind = "conv2d", filters = 6, filter = 3, stride = 2, padding = "same", bias = false },
    { kind = "batch_norm" },
    { kind = "relu", name = "start" },
    { kind = "slice", rows = [0, 7, 2], columns = [0, 7, 2] },
    { kind = "pad", channels = [1, 1], name = "short" },
    { kind = "conv2d", filters = 8, filter = 3, stride = 2, padding = "same", from = "start" },
    { kind = "subtract", from = "short" },
    { kind = "relu" },
    { kind = "upsample", size = 7, coordinates = "half_pixel" },
    { kind = "concatenate", from = "start" },
    { kind = "blur_pool2d", taps = 3, stride = 2, padding = "zero" },
    { kind = "dense", outputs = 10 },
]
"#;

#[test]
fn locally_connected_layers_go_all_the_way() {
    go_all_the_way(LOCALLY_CONNECTED, &[("LocallyConnected2d::int8(", 2)]);
}

#[test]
fn layers_that_move_values_go_all_the_way() {
    let constructors = [("Slice::new(", 1), ("Pad::new(", 1), ("Subtract::int8(", 1), ("Upsample::nearest_with(", 1)];
    go_all_the_way(ARRANGED, &constructors);
}

/// Layers trained, quantized in both ways and written as a module, in which each of these is so often.
fn go_all_the_way(layers: &str, constructors: &[(&str, usize)]) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 1000, 200);
    for quantization in [AFTER.to_owned(), AWARE.replace("epochs = 6", "epochs = 1")] {
        let text = description(1, &quantization).replace(LAYERS, layers);
        fs::write(folder.join("net.toml"), text).unwrap();
        good(host_trainer(folder, &["train", "net.toml"]).output().unwrap());
        let out = folder.join("out/net");
        let module = fs::read_to_string(out.join("net/mod.rs")).unwrap();
        for &(constructor, count) in constructors {
            assert_eq!(module.matches(constructor).count(), count, "{constructor} {module}");
        }
        let right = right(&out, 200);
        let results = results(&out);
        assert_eq!(results["results"][1]["accuracy"], right as f64 / 200.0);
        let accuracy = results["results"][0]["accuracy"].as_f64().unwrap();
        // Chance is 10 %.
        assert!(accuracy > 0.4 && (accuracy - right as f64 / 200.0).abs() < 0.05, "{accuracy}, {right} of 200");
        fs::remove_dir_all(folder.join("out")).unwrap();
    }
}

/// A small network whose first layer has padding.
const PADDED: &str = r#"
[network]
layers = [
    { kind = "conv2d", filters = 4, filter = 3, stride = 3, padding = 1 },
    { kind = "relu" },
    { kind = "dense", outputs = 10 },
]
"#;

#[test]
fn int8_inputs_are_levels_less_128_whatever_the_scale_and_the_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 600, 100);
    let test = DataSet::embedded().test;
    let levels: Vec<u8> = test.pixels[..100 * 784].iter().map(|level| level.wrapping_sub(128)).collect();
    let aware = AWARE.replace("epochs = 6", "epochs = 1");
    for input in ["unit", "standard", "standard_per_channel"] {
        for quantization in [AFTER, &aware] {
            for rounding in ["tensorflow_lite_micro", "power_of_two"] {
                let table = format!("calibration_images = 100\nrounding = \"{rounding}\"");
                let quantization = quantization.replace("calibration_images = 100", &table);
                let layers = PADDED.replace("[network]", &format!("[network]\ninput = \"{input}\""));
                let text = description(1, &quantization).replace(LAYERS, &layers);
                fs::write(folder.join("net.toml"), text).unwrap();
                good(host_trainer(folder, &["train", "net.toml"]).output().unwrap());
                let out = folder.join("out/net");
                let case = format!("{input} {rounding} {quantization}");
                assert!(fs::read(out.join("test-inputs.bin")).unwrap() == levels, "{case}");
                let right = right(&out, 100) as f64 / 100.0;
                let results = results(&out);
                assert_eq!(results["results"][1]["accuracy"], right, "{case}");
                let accuracy = results["results"][0]["accuracy"].as_f64().unwrap();
                // Chance is 10 %.
                assert!(accuracy > 0.4 && (accuracy - right).abs() < 0.05, "{case}: {accuracy}, {right}");
                // Only where shifts of channels meet padding a layer is added.
                let module = fs::read_to_string(out.join("net/mod.rs")).unwrap();
                assert_eq!(module.contains("DepthwiseConv2d"), input == "standard_per_channel", "{case}");
                fs::remove_dir_all(folder.join("out")).unwrap();
            }
        }
    }
}

#[test]
fn later_steps_follow_the_description_and_notice_its_changes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 300, 60);
    let text = description(1, AFTER).replace(LAYERS, PADDED);
    let write = |text: &str| fs::write(folder.join("net.toml"), text).unwrap();
    let failure = |arguments: &[&str]| {
        let output = host_trainer(folder, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let export = || {
        let text = good(host_trainer(folder, &["export", "net.toml", "--json"]).output().unwrap());
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["form"].clone()
    };
    write(&text);
    assert!(failure(&["quantize", "net.toml"]).contains("run `host-trainer train` first"));
    good(host_trainer(folder, &["train", "net.toml"]).output().unwrap());
    assert_eq!(export(), "int8");

    let int4 = text.replace("[quantization]\n", "[quantization]\nweights = \"int4\"\n");
    write(&int4);
    let message = failure(&["export", "net.toml"]);
    assert!(message.contains("net-int4.graph") && message.contains("`quantize`"), "{message}");
    good(host_trainer(folder, &["quantize", "net.toml"]).output().unwrap());
    assert_eq!(export(), "int4");

    // Another scale of the input is for training to choose; what was trained is not trained again.
    let power_of_two = text.replace("[quantization]\n", "[quantization]\nrounding = \"power_of_two\"\n");
    write(&power_of_two);
    let message = failure(&["quantize", "net.toml"]);
    let line = 1 + power_of_two.lines().position(|line| line.starts_with("rounding")).unwrap();
    assert!(message.contains(&format!("net.toml:{line}:")) && message.contains("--resume"), "{message}");
    let before = fs::read(folder.join("out/net/checkpoint-seed3.safetensors")).unwrap();
    good(host_trainer(folder, &["train", "net.toml", "--resume"]).output().unwrap());
    assert!(fs::read(folder.join("out/net/checkpoint-seed3.safetensors")).unwrap() == before);
    assert!(!folder.join("out/net/net-int4.graph").exists(), "it was of the network before");
    good(host_trainer(folder, &["quantize", "net.toml"]).output().unwrap());

    for (part, changed) in [
        ("[network]", power_of_two.replace("filters = 4", "filters = 5")),
        ("[data]", power_of_two.replace("path = \"digits\"", "path = \"./digits\"")),
        ("validation_share", power_of_two.replace("validation_share = 0.1", "validation_share = 0.2")),
    ] {
        write(&changed);
        for command in ["evaluate", "quantize", "export", "verify"] {
            let more: &[&str] = if command == "verify" { &["--random", "1"] } else { &[] };
            let message = failure(&[&[command, "net.toml"], more].concat());
            assert!(message.contains(part) && message.contains("train again"), "{message}");
        }
    }
}

#[test]
fn trainings_that_were_stopped_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 300, 40);
    fs::write(folder.join("net.toml"), description(500, AFTER).replace(LAYERS, PADDED)).unwrap();
    let failure = |arguments: &[&str]| {
        let output = host_trainer(folder, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let arguments = ["train", "net.toml", "--out", "here"];
    let resume = ["train", "net.toml", "--out", "here", "--resume"];
    assert!(failure(&resume).contains("no checkpoint"), "there is nothing to go on from");
    let mut child = host_trainer(folder, &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("epoch   2")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let last = lines.last().unwrap().unwrap();
    assert!(last.contains("train net.toml --out here --resume"), "{last}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let checkpoint = folder.join("here/checkpoint-seed3.safetensors");
    let before = fs::read(&checkpoint).unwrap();
    let message = failure(&arguments);
    assert!(message.contains("--resume") && message.contains("--restart"), "{message}");
    assert!(fs::read(&checkpoint).unwrap() == before);
    // A few epochs from the start.
    fs::write(folder.join("net.toml"), description(1, AFTER).replace(LAYERS, PADDED)).unwrap();
    good(host_trainer(folder, &["train", "net.toml", "--out", "here", "--restart"]).output().unwrap());
    // What is at its end may be done again.
    good(host_trainer(folder, &arguments).output().unwrap());

    // A training without results did not come to its end, whatever its checkpoint says.
    fs::remove_file(folder.join("here/results.json")).unwrap();
    assert!(failure(&arguments).contains("--restart"));

    // Those of other seeds and phases go with it: nothing old is in the way of going on.
    let two = |epochs: usize| {
        let text = description(epochs, &AWARE.replace("epochs = 6", "epochs = 1")).replace(LAYERS, PADDED);
        fs::write(folder.join("net.toml"), text.replace("seeds = [3]", "seeds = [3, 4]")).unwrap();
    };
    two(1);
    good(host_trainer(folder, &["train", "net.toml", "--out", "here", "--restart"]).output().unwrap());
    two(2);
    good(host_trainer(folder, &["train", "net.toml", "--out", "here"]).output().unwrap());
    let checkpoints = fs::read_dir(folder.join("here")).unwrap().filter_map(|entry| {
        entry.unwrap().file_name().into_string().ok().filter(|name| name.starts_with("checkpoint"))
    });
    assert_eq!(checkpoints.count(), 3, "two seeds, one of which went on");
}

#[test]
fn the_best_of_several_seeds_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 400, 40);
    let text = description(2, "").replace(LAYERS, PADDED);
    let train = |seeds: &str| {
        fs::write(folder.join("net.toml"), text.replace("seeds = [3]", &format!("seeds = {seeds}"))).unwrap();
        let out = folder.join(seeds);
        good(host_trainer(folder, &["train", "net.toml", "--out", seeds]).output().unwrap());
        (results(&out), fs::read(out.join("net-f32.graph")).unwrap())
    };
    let (both, kept) = train("[3, 4]");
    let alone = ["[3]", "[4]"].map(train);
    assert_ne!(alone[0].1, alone[1].1);
    // By the images held out: more right, or as many with less loss.
    let best = |results: &serde_json::Value| {
        let epochs = results["epochs"].as_array().unwrap().iter();
        let numbers = epochs.map(|epoch| ["test_accuracy", "test_loss"].map(|name| epoch[name].as_f64().unwrap()));
        numbers.max_by(|a, b| a[0].total_cmp(&b[0]).then(b[1].total_cmp(&a[1]))).unwrap()
    };
    let [three, four] = [0, 1].map(|place| best(&alone[place].0));
    let place = usize::from(four[0] > three[0] || (four[0] == three[0] && four[1] < three[1]));
    assert!(kept == alone[place].1, "{three:?} {four:?}");
    assert_eq!(both["seed"], 3 + place);
}

#[test]
fn errors_show_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 40, 20);
    let run = |text: &str| {
        fs::write(folder.join("net.toml"), text).unwrap();
        let output = host_trainer(folder, &["train", "net.toml"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let good = description(1, AFTER);
    let message = run(&good.replace("window = 2", "window = 20"));
    assert!(message.contains("net.toml:15:") && message.contains("input of 14x14x6"), "{message}");
    assert!(message.contains("^^") && message.contains("at most 14x14 fits"), "{message}");
    let message = run(&good.replace("outputs = 10", "outputs = 9"));
    assert!(message.contains("10 classes") && message.contains("outputs = 10"), "{message}");
    let message = run(&good.replace("\"digits\"", "\"nowhere\""));
    assert!(message.contains("nowhere"), "{message}");
    // The module is a folder in that of the results.
    for (module, says) in [
        ("../evil", "`evil` is one"),
        ("fn", "`fn_` is one"),
        ("Le-Net", "`le_net`"),
        ("", "a letter first"),
        ("pictures", "report"),
    ] {
        let message = run(&format!("{good}\n[target]\nmodule = \"{module}\"\n"));
        assert!(message.contains("module = ") && message.contains(says), "{message}");
    }
    let message = run(&good.replace("[data]", "name = \"猫\"\n[data]"));
    assert!(message.contains("net.toml:2:") && message.contains("[target]"), "{message}");
    // What cannot be quantized is found before training.
    for (fields, line, parts) in [
        ("weight_range = { percentile = 5.0 }", "weight_range", ["above 50", "99.9"]),
        ("activations = \"int16\"\nweights = \"int4\"", "weights", ["int8 activations", "int8 weights"]),
        ("int8_layers = [\"con1\"]", "int8_layers", ["no layer `con1`", "conv1, conv2, dense1"]),
        ("activations = \"int16\"", "activations", ["hard swish", "use int8"]),
    ] {
        let text = description(1, &format!("[quantization]\n{fields}\n"))
            .replace("{ kind = \"relu\" }", "{ kind = \"hard_swish\" }");
        let message = run(&text);
        let line = 1 + text.lines().position(|text| text.starts_with(line)).unwrap();
        assert!(message.contains(&format!("net.toml:{line}:")), "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    fs::write(folder.join("half.safetensors"), [9; 100]).unwrap();
    let output = host_trainer(folder, &["inspect", "half.safetensors"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("half.safetensors is not a whole checkpoint"), "{message}");
    assert!(!folder.join("out").exists(), "nothing is written before the description is known to be good");
    fs::write(folder.join("net.toml"), good).unwrap();
    let output = host_trainer(folder, &["evaluate", "net.toml"]).output().unwrap();
    assert!(!output.status.success());
}
