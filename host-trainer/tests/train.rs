//! Training by a description, as a user runs it.

use host_trainer::data::DataSet;
use host_trainer::graph::{Graph, Numbers};
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

/// A description of `epochs` over the digits beside it.
fn description(epochs: usize) -> String {
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

[quantization]
calibration_images = 100
"#
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
    fs::write(folder.join("net.toml"), description(6)).unwrap();
    good(host_trainer(folder, &["train", "net.toml", "--out", "whole", "--threads", "1"]).output().unwrap());

    // Twice, in the middle of an epoch: after the line of the epoch before. Another number of threads each time.
    let mut arguments = vec!["train", "net.toml", "--out", "parts", "--json", "--threads", "2"];
    for threads in ["3", "1"] {
        let mut child = host_trainer(folder, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(first["epoch"]["epoch"].is_u64(), "{first}");
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let last: serde_json::Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
        assert_eq!(last["stopped"], true, "{last}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(folder.join("parts/checkpoint-seed3.safetensors").exists());
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

    // The checkpoint of another recipe is refused, by name.
    fs::write(folder.join("net.toml"), description(6).replace("peak = 0.01", "peak = 0.02")).unwrap();
    let output = host_trainer(folder, &arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && message.contains("recipe.schedule.peak"), "{message}");
}

#[test]
fn from_a_description_to_a_module() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_digits(&folder.join("digits"), 1500, 300);
    fs::write(folder.join("net.toml"), description(3)).unwrap();
    let text = good(host_trainer(folder, &["train", "net.toml"]).output().unwrap());
    assert!(text.contains("epoch   3") && text.contains("int8"), "{text}");
    let out = folder.join("out/net");
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("What was taken for what") && report.contains("kind = &quot;add&quot;"));

    // The files hold what the results say, by an independent count.
    let results: serde_json::Value = serde_json::from_slice(&fs::read(out.join("results.json")).unwrap()).unwrap();
    let graph = Graph::from_file(&fs::read(out.join("net-int8.graph")).unwrap()).unwrap();
    let interpreter = Interpreter::new(&graph).unwrap();
    let test = DataSet::embedded().test;
    let mut right = 0;
    let outputs = fs::read(out.join("test-outputs.bin")).unwrap();
    for index in 0..300 {
        // In firmware: the levels less 128.
        let input = test.image(index).iter().map(|&level| (i16::from(level) - 128) as i8).collect();
        let output = interpreter.run(&[Numbers::Int8(input)]).unwrap().swap_remove(0);
        assert_eq!(output.to_bytes(), outputs[10 * index..][..10]);
        let Numbers::Int8(scores) = output else { panic!("not int8") };
        right += usize::from(first_greatest(&scores) == usize::from(test.labels[index]));
    }
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
    let good = description(1);
    let message = run(&good.replace("window = 2", "window = 20"));
    assert!(message.contains("net.toml:15:") && message.contains("input of 14x14x6"), "{message}");
    assert!(message.contains("^^") && message.contains("at most 14x14 fits"), "{message}");
    let message = run(&good.replace("outputs = 10", "outputs = 9"));
    assert!(message.contains("10 classes") && message.contains("outputs = 10"), "{message}");
    let message = run(&good.replace("\"digits\"", "\"nowhere\""));
    assert!(message.contains("nowhere"), "{message}");
    assert!(!folder.join("out").exists(), "nothing is written before the description is known to be good");
    let output = host_trainer(folder, &["evaluate", "net.toml"]).output().unwrap();
    assert!(!output.status.success());
}
