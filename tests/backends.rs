//! The cases that every emulated core runs, on this computer's backends: all give the reference's bits, and so the same
//! lines.

mod conformance;

use bareconv::arch::{Visitor, visit_all};
use bareconv::kernels::Backend;
use conformance::{Console, Memory, Session};
use std::fmt::Arguments;

struct Lines(Vec<String>);

impl Console for Lines {
    fn print(&mut self, line: Arguments<'_>) {
        self.0.push(line.to_string());
    }
}

/// The lines of the families on a backend, without its name.
fn lines<B: Backend>() -> Vec<String> {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    conformance::run_on::<B>(&mut session);
    let differing = session.differing;
    assert_eq!(differing, 0, "{}", console.0.join("\n"));
    assert!(console.0.len() > 10, "{} operators", console.0.len());
    let name = format!(" backend={}", B::NAME);
    console.0.iter().map(|line| line.replace(&name, "")).collect()
}

/// The operators of the README's table, by the first words of a row, and what their lines are called.
const OPERATORS: [(&str, &[&str]); 18] = [
    ("2-D and 1-D convolution", &["conv2d"]),
    ("depthwise convolution", &["depthwise"]),
    ("transposed convolution", &["transposed"]),
    ("locally connected", &["locally"]),
    ("max and average pooling", &["max-pool2d", "average-pool2d"]),
    ("mean", &["mean2d"]),
    ("spatial pyramid, anti-aliased pooling", &["spatial-pyramid", "blur-pool2d"]),
    ("ReLU, ReLU6, leaky ReLU", &["relu", "relu6", "leaky-relu"]),
    ("PReLU", &["prelu"]),
    ("sigmoid, tanh, softmax", &["sigmoid", "tanh", "softmax"]),
    ("hard swish, hard sigmoid", &["hard-swish", "hard-sigmoid"]),
    ("argmax, top-k", &["argmax", "top-k"]),
    ("batch normalization", &["batch-norm"]),
    ("local response normalization", &["local-response"]),
    ("add, subtract, multiply", &["add", "subtract", "subtract-from", "multiply"]),
    ("concatenate, split, slice, pad", &["concatenate", "slice", "pad"]),
    ("nearest up- and downsampling", &["upsample"]), // flattening and reshaping move nothing
    ("quantize", &["quantize", "dequantize", "requantize"]),
];

/// Every operator of the README's table has a line in each of its types.
#[test]
fn every_operator_has_a_line() {
    let lines = lines::<bareconv::arch::Portable>();
    let table = include_str!("../README.md").lines().skip_while(|line| !line.starts_with("| operator |"));
    let rows: Vec<Vec<_>> = table.take_while(|line| line.starts_with('|')).map(cells).collect();
    assert_eq!(rows[0][..5], ["operator", "int8", "int16", "int4 weights", "`f32`"]);
    assert_eq!(rows.len() - 2, OPERATORS.len(), "rows of the README's table");
    for row in &rows[2..] {
        let named = OPERATORS.iter().find(|(name, _)| row[0].starts_with(name));
        let (_, names) = named.unwrap_or_else(|| panic!("no operator is named for the row `{}`", row[0]));
        for (element, mark) in ["int8", "int16", "int4", "f32"].iter().zip(&row[1..]) {
            for name in *names {
                let prefix = format!("operator={name} type={element} ");
                let has_line = lines.iter().any(|line| line.starts_with(&prefix));
                assert_eq!(has_line, !mark.is_empty(), "{name} in {element}, marked `{mark}`");
            }
        }
    }
}

/// The cells of a table's row.
fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn backends_have_the_references_bits() {
    /// Names of backends, and the lines that all of them share.
    #[derive(Default)]
    struct Check(Vec<&'static str>, Vec<String>);
    impl Visitor for Check {
        fn visit<B: Backend>(&mut self) {
            let lines = lines::<B>();
            assert!(self.0.is_empty() || lines == self.1, "{}: {}", B::NAME, lines.join("\n"));
            self.0.push(B::NAME);
            self.1 = lines;
        }
    }
    let mut check = Check::default();
    visit_all(&mut check);
    let Check(names, lines) = check;
    assert!(lines.iter().all(|line| line.contains(" differing=0 ")), "{}", lines.join("\n"));
    println!("compared with the reference: {}", names.join(", "));
    if cfg!(target_arch = "x86_64") {
        assert!(names.contains(&"avx2"), "this computer has no AVX2: the test of its backend cannot run");
        // Fewer machines have it; what it tests is on the one that does.
        if !names.contains(&"avx512vnni") {
            println!("this computer has no AVX-512 VNNI: the test of its backend did not run");
        }
    }
}

#[test]
fn layers_have_the_references_bits() {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    conformance::run_layers(&mut session);
    let differing = session.differing;
    assert!(differing == 0 && !console.0.is_empty(), "{}", console.0.join("\n"));
}

/// A difference is found, counted, and named down to the element.
#[test]
fn a_difference_is_reported() {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    session.operator(["operator", "f32", "backend"], |cases, _, _| {
        cases.compare(&"first", &[1.0f32, f32::NAN], &[1.0, -f32::NAN]);
        cases.compare(&"second", &[1.0f32, 0.0], &[1.0, -0.0]);
        cases.compare(&"third", &[1.0f32], &[2.0]);
    });
    assert_eq!(session.differing, 2);
    let first = "difference operator=operator type=f32 backend=backend result=2 element=1 output=Some(0.0) \
                 expected=Some(-0.0) case=\"second\"";
    assert_eq!(console.0[0], first);
    assert!(console.0[1].starts_with("operator=operator type=f32 backend=backend results=3 differing=2 digest="));
}
