//! The command as a user runs it.

use host_trainer::data::DataSet;
use host_trainer::lenet;
use host_trainer::nn::Network;
use host_trainer::parameters;
use host_trainer::quantize::{QuantizedNetwork, first_greatest};
use host_trainer::train::{InputScaling, Sequential, evaluate};
use host_trainer::verify::{self, Outputs};
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

fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
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
    assert_eq!(one.len(), 9);
    for name in ["lenet.rs", "lenet5-f32.safetensors", "lenet5-int8.safetensors", "outputs.i8", "digits.png"] {
        assert!(one[name] == three[name], "{name} depends on the number of threads");
    }
    let report: serde_json::Value = serde_json::from_slice(&one["training.json"]).unwrap();
    assert_eq!(report["train_images"], 700);
    // Three epochs in f32 and one with quantization.
    assert_eq!(report["epochs"].as_array().unwrap().len(), 4);

    // The files hold what the report says.
    let data = DataSet::load(&data).unwrap();
    let network = Network::new(lenet::INPUT, &lenet::LAYERS).unwrap();
    let float = parameters::from_bytes(&network, &one["lenet5-f32.safetensors"]).unwrap();
    let accuracy = {
        let mut model = Sequential::new(&network, None);
        evaluate(&mut model, &float, &data.test, &InputScaling::unit(1)).accuracy
    };
    assert_eq!(report["float_accuracy"], accuracy);
    // Chance is 10 %.
    assert!(accuracy > 0.5, "{accuracy}");
    let int8 = QuantizedNetwork::from_bytes(&one["lenet5-int8.safetensors"]).unwrap();
    let inputs: Vec<i8> = one["inputs.i8"].iter().map(|&value| value.cast_signed()).collect();
    let outputs = verify::on_every_backend(&int8, &inputs).unwrap();
    assert!(outputs.len() >= 2);
    let right = |outputs: &[i8]| {
        let classes = outputs.chunks(10).map(first_greatest);
        classes.zip(&one["labels.u8"]).filter(|&(class, &label)| class == usize::from(label)).count()
    };
    for Outputs { by, values } in outputs {
        let bytes: Vec<u8> = values.iter().map(|value| value.cast_unsigned()).collect();
        assert!(bytes == one["outputs.i8"], "{by}");
        assert_eq!(report["int8_accuracy"], right(&values) as f64 / 100.0);
    }
    // Exact rounding in f64 says the same up to the rare output at a half.
    let exact: Vec<i8> = inputs.chunks(784).flat_map(|input| int8.evaluate_reference(input)).collect();
    let near = exact.iter().zip(&one["outputs.i8"]).all(|(a, b)| a.abs_diff(b.cast_signed()) <= 1);
    assert!(near, "the library's integers are not those of real arithmetic");

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
fn the_exported_file_says_what_the_network_is() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 64, 10);
    let out = folder.path().join("out");
    assert!(lenet(&["--epochs", "1"], folder.path(), &out).status.success());
    let text = fs::read_to_string(out.join("lenet.rs")).unwrap();
    let int8 = QuantizedNetwork::from_bytes(&fs::read(out.join("lenet5-int8.safetensors")).unwrap()).unwrap();
    for layer in &int8.layers {
        // Every number of the arrays, in order, and no other.
        for (array, values) in [
            ("WEIGHTS", layer.weights.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()),
            ("BIAS", layer.bias.iter().map(|&v| f64::from(v)).collect()),
            ("SCALES", layer.weight_scales.iter().map(|&v| f64::from(v)).collect()),
        ] {
            let start = text.find(&format!("const {}_{array}:", layer.name.to_ascii_uppercase())).unwrap();
            let body = text[start..].split_once("= [").unwrap().1.split_once("\n];").unwrap().0;
            let numbers = body.split([' ', ',', '[', ']', '\n']).filter(|word| !word.is_empty());
            let numbers: Vec<f64> = match array {
                "SCALES" => numbers.map(|word| f64::from(word.parse::<f32>().unwrap())).collect(),
                _ => numbers.map(|word| word.parse().unwrap()).collect(),
            };
            assert!(numbers == values, "{} {array}", layer.name);
        }
    }
    assert!(text.lines().all(|line| line.len() <= 120), "a line is too long");
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
