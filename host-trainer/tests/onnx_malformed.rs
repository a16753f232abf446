//! ONNX files that are broken, hostile or not supported: an error each, and no panic.

use host_trainer::import::{self, ImportError, onnx};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 60);
    files
}

/// One to four changes: a byte, a few bytes more or less, a part of the file at another place.
fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..1 + random.next_u32() % 4 {
        let mut place = || random.next_u64() as usize % bytes.len().max(1);
        let (a, b) = (place(), place());
        let kind = random.next_u32();
        match kind % 6 {
            _ if bytes.is_empty() => bytes.push(kind as u8),
            0 => bytes[a] = (kind >> 8) as u8,
            1 => bytes[a] ^= 1 << (kind >> 8 & 7),
            2 => bytes.truncate(a),
            3 => drop(bytes.drain(a..(a + 1 + (kind >> 8) as usize % 8).min(bytes.len()))),
            4 => bytes.insert(a, [0, 1, 0x7f, 0x80, 0xff][(kind >> 8) as usize % 5]),
            _ => {
                let part = bytes[a.min(b)..a.max(b)].iter().copied().take(64).collect::<Vec<_>>();
                bytes.splice(b..b, part);
            }
        }
    }
}

/// `BARECONV_MUTATIONS` is how many of each file; more find more.
#[test]
fn mutated_files_are_read_or_refused() {
    let count = env::var("BARECONV_MUTATIONS").map_or(400, |count| count.parse().unwrap());
    let (mut read, mut refused) = (0, 0);
    for (path, whole) in files() {
        for seed in 0..count {
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut ChaCha8Rng::seed_from_u64(seed));
            match catch_unwind(AssertUnwindSafe(|| onnx(&bytes, "mutated"))) {
                Ok(Ok(graph)) => {
                    graph.check().unwrap();
                    read += 1;
                }
                Ok(Err(_)) => refused += 1,
                Err(_) => panic!("{} panics with seed {seed}", path.display()),
            }
        }
    }
    eprintln!("{read} mutated files are read, {refused} refused");
    assert!(read > 0 && refused > 0);
}

#[test]
fn other_files_are_not_onnx() {
    let tflite = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/add_int8.tflite")).unwrap();
    for bytes in [&b""[..], b"hello", &[0; 64], &[0xff; 64], &tflite] {
        assert!(matches!(onnx(bytes, "other"), Err(ImportError::Malformed { format: "ONNX", .. })));
    }
}

/// A field of a message: a number, or bytes.
fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

fn bytes(field: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(u64::from(field) << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while value > 127 {
        all.push(value as u8 | 128);
        value >>= 7;
    }
    all.push(value as u8);
    all
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input)).collect();
    node.extend([bytes(2, output), bytes(4, operator)].concat());
    node.extend(attributes.iter().flat_map(|attribute| bytes(5, attribute)));
    bytes(1, node)
}

fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let values = values.iter().flat_map(|&value| number(8, value.cast_unsigned())).collect();
    [bytes(1, name), values, [vec![0xa0, 1], varint(7)].concat()].concat()
}

fn int(name: &str, value: i64) -> Vec<u8> {
    [bytes(1, name), number(3, value.cast_unsigned()), [vec![0xa0, 1], varint(2)].concat()].concat()
}

fn dims(dims: &[i64]) -> Vec<u8> {
    dims.iter().flat_map(|&size| number(1, size.cast_unsigned())).collect()
}

/// A constant of this type.
fn tensor(name: &str, shape: &[i64], kind: u64, raw: &[u8]) -> Vec<u8> {
    bytes(5, [dims(shape), number(2, kind), bytes(8, name), bytes(9, raw)].concat())
}

fn value(field: u8, name: &str, shape: &[i64]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|&size| bytes(1, number(1, size.cast_unsigned()))).collect();
    let kind = bytes(1, [number(1, 1), bytes(2, shape)].concat());
    bytes(field, [bytes(1, name), bytes(2, kind)].concat())
}

/// A network from `x` of this shape to `z`.
fn model(shape: &[i64], parts: &[Vec<u8>]) -> Vec<u8> {
    let graph = [parts.concat(), value(11, "x", shape), value(12, "z", &[1])].concat();
    [number(1, 9), bytes(7, graph), bytes(8, number(2, 20))].concat()
}

fn problems(file: &[u8]) -> Vec<String> {
    match onnx(file, "network") {
        Err(ImportError::Unsupported(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_made_here_are_read() {
    let graph = onnx(&model(&[1, 2, 3, 4], &[node("Relu", &["x"], "z", &[])]), "network").unwrap();
    assert_eq!(graph.nodes.len(), 1);
    assert_eq!(graph.value(graph.outputs[0]).shape, [3, 4, 2]);
}

#[test]
fn unsupported_operators_are_named_with_their_place_and_what_comes_nearest() {
    let nodes = [node("Gelu", &["x"], "a", &[]), node("Relu", &["a"], "b", &[]), node("LogSoftmax", &["x"], "z", &[])];
    let problems = problems(&model(&[1, 2, 3, 4], &nodes));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("operator 0 (Gelu)") && problems[0].contains("HardSwish"), "{problems:?}");
    assert!(problems[1].contains("operator 2 (LogSoftmax)") && problems[1].contains("Softmax,"), "{problems:?}");
}

#[test]
fn orders_of_values_that_no_operator_takes_are_named() {
    // Channels in the middle.
    let softmax = [node("Softmax", &["x"], "z", &[int("axis", 2)])];
    assert!(problems(&model(&[1, 2, 3, 4], &softmax))[0].contains("channels"));
    let flat = [node("Flatten", &["x"], "z", &[])];
    let text = &problems(&model(&[1, 2, 3, 4], &flat))[0];
    assert!(text.contains("network output") && text.contains("before it is flattened"), "{text}");
    let swapped =
        [node("Transpose", &["x"], "a", &[ints("perm", &[0, 1, 3, 2])]), node("GlobalAveragePool", &["a"], "z", &[])];
    let text = &problems(&model(&[1, 2, 3, 4], &swapped))[0];
    assert!(text.contains("operator 1 (GlobalAveragePool)") && text.contains("[1, 2, 4, 3]"), "{text}");
    // Undone, it moves nothing.
    let undone = [
        node("Transpose", &["x"], "a", &[ints("perm", &[0, 1, 3, 2])]),
        node("Transpose", &["a"], "b", &[ints("perm", &[0, 1, 3, 2])]),
        node("GlobalAveragePool", &["b"], "z", &[]),
    ];
    assert_eq!(onnx(&model(&[1, 2, 3, 4], &undone), "network").unwrap().nodes.len(), 1);
}

/// A constant whose bytes are in another file.
fn external(location: &str, shape: &[i64]) -> Vec<u8> {
    let entry = bytes(13, [bytes(1, "location"), bytes(2, location)].concat());
    bytes(5, [dims(shape), number(2, 1), bytes(8, "w"), entry, number(14, 1)].concat())
}

#[test]
fn numbers_in_other_files_are_read_from_the_same_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    for file in [inner.join("weights"), folder.path().join("weights")] {
        fs::write(file, 2f32.to_le_bytes().repeat(2)).unwrap();
    }
    let add = |location: &str, shape: &[i64]| {
        let file = model(&[1, 2, 3, 4], &[external(location, shape), node("Add", &["x", "w"], "z", &[])]);
        let path = inner.join("model.onnx");
        fs::write(&path, &file).unwrap();
        (file, import::file(path).map_err(|error| error.to_string()))
    };
    let (file, graph) = add("weights", &[2, 1, 1]);
    assert_eq!(graph.unwrap().nodes.len(), 1);
    assert!(problems(&file)[0].contains("external_data=False"));
    for location in ["../weights", "/etc/passwd", "inner/weights", "..", ".", ""] {
        let text = add(location, &[2, 1, 1]).1.unwrap_err();
        assert!(text.contains("not in the same folder"), "{text}");
    }
    let text = add("nothing", &[2, 1, 1]).1.unwrap_err();
    assert!(text.contains("`nothing`"), "{text}");
    let text = add("weights", &[1, 1 << 20]).1.unwrap_err();
    assert!(text.contains("more numbers than the file"), "{text}");
}

#[test]
fn small_files_take_little_memory() {
    let huge = [1u64 << 30].map(u64::to_le_bytes).concat();
    let shape = tensor("s", &[1], 7, &huge);
    let text = &problems(&model(&[1, 2, 3, 4], &[shape, node("ConstantOfShape", &["s"], "z", &[])]))[0];
    assert!(text.contains("many times the file"), "{text}");
    let many = node("Relu", &["x"], "", &[]).repeat((1 << 16) + 1);
    assert!(problems(&model(&[1, 2, 3, 4], &[many]))[0].contains("65,536"));
    let large = [node("Relu", &["x"], "z", &[])];
    assert!(problems(&model(&[1, 1 << 15, 1 << 15, 2], &large))[0].contains("2^30"));
    // A dimension whose numbers are not there.
    let empty = tensor("w", &[1 << 28], 1, &[]);
    let add = node("Add", &["x", "w"], "z", &[]);
    assert!(matches!(onnx(&model(&[1, 2, 3, 4], &[empty, add]), "network"), Err(ImportError::Malformed { .. })));
}
