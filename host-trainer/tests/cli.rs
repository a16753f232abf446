//! The command as a user runs it.

use host_trainer::data::DataSet;
use host_trainer::graph::{Graph, Operator, Scales, Weights};
use host_trainer::lenet;
use host_trainer::train::InputScaling;
use host_trainer::verify::{self, Outputs};
use host_trainer::workflow::evaluate::evaluate;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn command(arguments: &[&str], data: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
    command.arg("lenet").args(arguments);
    command.arg("--data").arg(data).arg("--out").arg(out);
    command
}

fn lenet(arguments: &[&str], data: &Path, out: &Path) -> Output {
    command(arguments, data, out).output().unwrap()
}

/// The first embedded digits as a folder of IDX files.
fn write_digits(folder: &Path, train: usize, test: usize) {
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

/// All files of a folder and of the folders in it.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(content(&path).into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

#[test]
fn trains_and_writes_the_same_files_for_every_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    write_digits(&data, 700, 100);
    let mut runs = Vec::new();
    for threads in ["1", "3"] {
        let out = folder.path().join(threads);
        let output = lenet(&["--epochs", "3", "--seed", "5", "--threads", threads], &data, &out);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("int8, quantization-aware"), "{text}");
        runs.push(content(&out));
    }
    let [one, three] = &runs[..] else { unreachable!() };
    assert_eq!(one.len(), 11);
    for name in [
        lenet::FLOAT_FILE,
        lenet::INT8_FILE,
        "lenet/mod.rs",
        "lenet/weights.rs",
        "lenet/source.graph",
        "outputs.i8",
        "digits.png",
    ] {
        assert!(one[name] == three[name], "{name} depends on the number of threads");
    }
    let report: serde_json::Value = serde_json::from_slice(&one["training.json"]).unwrap();
    assert_eq!(report["train_images"], 700);
    // Three epochs in f32 and one with quantization.
    assert_eq!(report["epochs"].as_array().unwrap().len(), 4);

    // The files hold what the report says.
    let data = DataSet::load(&data).unwrap();
    let unit = InputScaling::unit(1);
    let float = Graph::from_file(&one[lenet::FLOAT_FILE]).unwrap();
    let accuracy = evaluate(&float, &data.test, &unit).unwrap().confusion.accuracy();
    assert_eq!(report["float_accuracy"], accuracy);
    // Chance is 10 %.
    assert!(accuracy > 0.5, "{accuracy}");
    let int8 = Graph::from_file(&one[lenet::INT8_FILE]).unwrap();
    assert_eq!(evaluate(&int8, &data.test, &unit).unwrap().confusion.accuracy(), report["int8_accuracy"]);
    let pixels = data.test.pixels.iter().map(|pixel| pixel ^ 0x80);
    assert!(pixels.eq(one["inputs.i8"].iter().copied()), "inputs are grey levels less 128");
    let outputs = verify::on_every_backend(&int8, &one["inputs.i8"]).unwrap();
    let names: Vec<&str> = outputs.iter().map(|outputs| outputs.by).collect();
    assert_eq!(names, [&[verify::NAIVE][..], &verify::backends()].concat());
    assert_eq!(report["verified_on"], serde_json::json!(names));
    for Outputs { by, bytes } in outputs {
        assert!(bytes == one["outputs.i8"], "{by}");
    }

    // Another machine's answers can be drawn.
    let out = folder.path().join("1");
    let mut wrong = one["outputs.i8"].clone();
    wrong[..10].copy_from_slice(&[0x80; 10]);
    fs::write(out.join("other.i8"), &wrong).unwrap();
    let digits = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_host-trainer"));
        command.args(["digits", "--outputs", file, "--who", "another machine", "--out"]).arg(&out).output().unwrap()
    };
    assert!(digits("other.i8").status.success());
    assert!(fs::read(out.join("digits.png")).unwrap() != one["digits.png"]);
    fs::write(out.join("short.i8"), &wrong[1..]).unwrap();
    let message = digits("short.i8").stderr;
    let message = String::from_utf8_lossy(&message);
    assert!(message.contains("short.i8 has 999 bytes, not 1000"), "{message}");
}

#[test]
fn the_exported_module_says_what_the_network_is() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 64, 10);
    let out = folder.path().join("out");
    assert!(lenet(&["--epochs", "1"], folder.path(), &out).status.success());
    let text = fs::read_to_string(out.join("lenet/weights.rs")).unwrap();
    let int8 = Graph::from_file(&fs::read(out.join("lenet/source.graph")).unwrap()).unwrap();
    let mut layers = 0;
    for node in &int8.nodes {
        let (Operator::Conv2d { weights, .. } | Operator::Dense { weights, .. }) = &node.operator else { continue };
        let Weights::Int8 { weights, scales: Scales::PerChannel(scales), bias, .. } = weights else {
            panic!("{} is not in int8", node.name)
        };
        layers += 1;
        // Every number of the arrays, in order, and no other.
        for (array, values) in [
            ("WEIGHTS", weights.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()),
            ("BIAS", bias.iter().map(|&v| f64::from(v)).collect()),
            ("SCALES", scales.iter().map(|&v| f64::from(v)).collect()),
        ] {
            let start = text.find(&format!("const {}_{array}:", node.name.to_ascii_uppercase())).unwrap();
            let body = text[start..].split_once("= [").unwrap().1.split_once("];").unwrap().0;
            let numbers = body.split([' ', ',', '[', ']', '\n']).filter(|word| !word.is_empty());
            let numbers: Vec<f64> = match array {
                "SCALES" => numbers.map(|word| f64::from(word.parse::<f32>().unwrap())).collect(),
                _ => numbers.map(|word| word.parse().unwrap()).collect(),
            };
            assert!(numbers == values, "{} {array}", node.name);
        }
    }
    assert_eq!(layers, 5);
    let module = fs::read_to_string(out.join("lenet/mod.rs")).unwrap();
    for words in ["//! LeNet-5", "10 test images right in int8, after training on 64", "(seed 1)", "SingleRounding"] {
        assert!(module.contains(words), "`{words}` is not in:\n{module}");
    }
    assert!(module.lines().all(|line| line.len() <= 120), "a line is too long");
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_training() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 700, 100);
    let out = folder.path().join("train-images-idx3-ubyte");
    let start = Instant::now();
    let output = lenet(&["--epochs", "10000"], folder.path(), &out);
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("cannot write") && message.contains("--out"), "{message}");
}

#[test]
fn bad_data_leaves_older_results_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("training.json"), "old").unwrap();
    write_digits(folder.path(), 20, 10);
    let file = folder.path().join("t10k-labels-idx1-ubyte");
    let mut labels = fs::read(&file).unwrap();
    labels[12] = 10;
    fs::write(&file, labels).unwrap();
    let output = lenet(&["--quick"], folder.path(), &out);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("test image 4") && message.contains("label 10"), "{message}");
    assert_eq!(content(&out), BTreeMap::from([("training.json".to_owned(), b"old".to_vec())]));
}

#[test]
fn a_killed_run_leaves_older_results_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("digits.png"), "old").unwrap();
    write_digits(folder.path(), 700, 100);
    let mut child = command(&["--epochs", "100000"], folder.path(), &out).stdout(Stdio::piped()).spawn().unwrap();
    // Until the first epoch is reported.
    let mut first = [0];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(content(&out), BTreeMap::from([("digits.png".to_owned(), b"old".to_vec())]));
}
