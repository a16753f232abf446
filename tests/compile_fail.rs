//! Layers that break a rule do not compile, and the compiler says the rule's own sentence.
//!
//! Every snippet becomes a program of one package, which cargo builds at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// What every snippet begins with.
const PRELUDE: &str = "#![allow(unused, dead_code)]
use bareconv::*;
const Q: Quantization = Quantization::new(1.0, 0);
type I8<const H: usize, const W: usize, const C: usize> = Tensor<i8, H, W, C>;
type F32<const H: usize, const W: usize, const C: usize> = Tensor<f32, H, W, C>;
const fn numbers<'a>(filters: &'a [i8], bias: &'a [i32], scales: &'a [f32]) -> Int8Filters<'a> {
    Int8Filters { filters, bias, scales, input: Q, output: Q, activation: Activation::Identity }
}
fn main() {}
";

/// The parts of a program with a 2-D convolution.
#[derive(Clone, Copy)]
struct Convolution {
    shape: &'static str,
    input: &'static str,
    output: &'static str,
    numbers: &'static str,
    words: &'static str,
}

/// One that obeys all rules.
const PLAIN: Convolution = Convolution {
    shape: "Conv2dShape::new([4, 4, 1], 1, [3, 3])",
    input: "I8<4, 4, 1>",
    output: "I8<2, 2, 1>",
    numbers: "numbers(&[1; 9], &[0], &[1.0])",
    words: "SHAPE.packed_words::<SingleRounding>()",
};

impl Convolution {
    fn program(self) -> String {
        let Self { shape, input, output, numbers, words } = self;
        format!(
            "const SHAPE: Conv2dShape = {shape};
             static LAYER: Conv2d<{input}, {output}, {{ {words} }}> = Conv2d::int8(SHAPE, {numbers});"
        )
    }
}

/// The rules, each with programs that break it.
fn programs() -> Vec<(&'static str, String)> {
    let shape =
        |rule, shape: &'static str| (rule, format!("const WORDS: usize = {shape}.packed_words::<SingleRounding>();"));
    let pool = |rule, shape: &str| {
        (rule, format!("const POOL: MaxPool2d<I8<4, 4, 1>, I8<2, 2, 1>> = MaxPool2d::new({shape});"))
    };
    let transposed = |rule, shape: &str| {
        (rule, format!("const WORDS: usize = TransposedConv2dShape::{shape}.packed_words::<SingleRounding>();"))
    };
    let plain = |rule, text: &str| (rule, text.to_owned());
    vec![
        shape("Zero", "Conv2dShape::new([4, 0, 1], 1, [3, 3])"),
        shape("Zero", "Conv2dShape::new([4, 4, 1], 0, [3, 3])"),
        shape("Zero", "Conv2dShape::new([4, 4, 1], 1, [3, 3]).stride(0)"),
        shape("Zero", "Conv2dShape::new([4, 4, 1], 1, [3, 3]).dilation(0)"),
        shape("Zero", "Conv2dShape::new([4, 4, 1], 1, [3, 3]).max_pool(0)"),
        shape("FilterTooLarge", "Conv2dShape::new([4, 4, 1], 1, [5, 3])"),
        shape("FilterTooLarge", "Conv2dShape::new([4, 4, 1], 1, [3, 3]).dilation(2)"),
        shape("WindowTooLarge", "Conv2dShape::new([4, 4, 1], 1, [3, 3]).max_pool(3)"),
        pool("WindowTooLarge", "Pool2dShape::new([4, 4, 1], [5, 1])"),
        shape("PaddingTooLarge", "Conv2dShape::new([4, 4, 1], 1, [3, 3]).padding(3)"),
        pool("PaddingTooLarge", "Pool2dShape::new([4, 4, 1], [2, 2]).padding(2)"),
        shape("TooLarge", "Conv2dShape::new([1 << 17, 4, 1], 1, [3, 3])"),
        shape("TooLarge", "Conv2dShape::dense(1 << 16, 1 << 16)"),
        transposed("OutputPadding", "new([4, 4, 1], 1, [3, 3]).output_padding(1)"),
        transposed("PaddingTooLarge", "new([4, 4, 1], 1, [3, 3]).padding(3)"),
        plain(
            "MissingTaps",
            "const SHAPE: TransposedConv2dShape = TransposedConv2dShape::new([2, 2, 1], 1, [1, 1]).stride(2);
             static LAYER: TransposedConv2d<F32<2, 2, 1>, F32<3, 3, 1>, 4, { SHAPE.packed_words::<Clamp>() }, Clamp> =
                 TransposedConv2d::float(
                     SHAPE,
                     F32Filters { filters: &[1.0], bias: &[0.0], activation: Activation::Identity },
                 );",
        ),
        plain(
            "Packed",
            "const SHAPE: TransposedConv2dShape = TransposedConv2dShape::new([2, 2, 8], 8, [4, 4]).stride(2);
             static LAYER: TransposedConv2d<I8<2, 2, 8>, I8<6, 6, 8>, { SHAPE.phases() }, 3> =
                 TransposedConv2d::int8(SHAPE, numbers(&[1; 1024], &[0; 8], &[1.0; 8]));",
        ),
        // A ratio so near to the limit that its significand is rounded up to it.
        plain(
            "Scale",
            "const SHAPE: Conv2dShape = Conv2dShape::dense(1, 1);
             const NUMBERS: Int8Filters<'static> = Int8Filters {
                 input: Quantization::new(1.0 - 1.0 / 131072.0, 0),
                 ..numbers(&[1], &[0], &[(1.0 + 1.0 / 131072.0) * 1073741824.0])
             };
             static LAYER: Dense<I8<1, 1, 1>, I8<1, 1, 1>, { SHAPE.packed_words::<SingleRounding>() }> =
                 Conv2d::int8(SHAPE, NUMBERS);",
        ),
        plain(
            "Phases",
            "const SHAPE: TransposedConv2dShape = TransposedConv2dShape::new([2, 2, 1], 1, [2, 2]).stride(2);
             static LAYER: TransposedConv2d<I8<2, 2, 1>, I8<4, 4, 1>, 3, { SHAPE.packed_words::<SingleRounding>() }> =
                 TransposedConv2d::int8(SHAPE, numbers(&[1; 4], &[0], &[1.0]));",
        ),
        plain(
            "Unshared",
            "const WORDS: usize =
                 Conv2dShape::new([4, 4, 1], 1, [3, 3]).max_pool(2).locally_connected_words::<SingleRounding>();",
        ),
        plain(
            "Filters",
            "const SHAPE: Conv2dShape = Conv2dShape::new([4, 4, 1], 1, [3, 3]);
             static LAYER: LocallyConnected2d<
                 I8<4, 4, 1>, I8<2, 2, 1>, { SHAPE.locally_connected_words::<SingleRounding>() },
             > = LocallyConnected2d::int8(SHAPE, numbers(&[1; 9], &[0; 4], &[1.0; 4]));",
        ),
        ("Input", Convolution { input: "I8<4, 5, 1>", ..PLAIN }.program()),
        pool("Input", "Pool2dShape::new([4, 5, 1], [2, 2])"),
        ("Output", Convolution { output: "I8<3, 2, 1>", ..PLAIN }.program()),
        pool("Output", "Pool2dShape::new([4, 4, 1], [3, 3])"),
        shape("Groups", "Conv2dShape { groups: 2, ..Conv2dShape::new([4, 4, 3], 4, [3, 3]) }"),
        ("Filters", Convolution { numbers: "numbers(&[1; 8], &[0], &[1.0])", ..PLAIN }.program()),
        ("Channels", Convolution { numbers: "numbers(&[1; 9], &[0, 0], &[1.0])", ..PLAIN }.program()),
        ("Channels", Convolution { numbers: "numbers(&[1; 9], &[0], &[1.0, 1.0])", ..PLAIN }.program()),
        ("Weight", Convolution { numbers: "numbers(&[-128; 9], &[0], &[1.0])", ..PLAIN }.program()),
        ("Packed", Convolution { words: "SHAPE.packed_words::<SingleRounding>() + 1", ..PLAIN }.program()),
        ("Scale", Convolution { numbers: "numbers(&[1; 9], &[0], &[0.0])", ..PLAIN }.program()),
        ("Scale", Convolution { numbers: "numbers(&[1; 9], &[0], &[f32::NAN])", ..PLAIN }.program()),
        ("Accumulator", Convolution { numbers: "numbers(&[1; 9], &[i32::MAX], &[1.0])", ..PLAIN }.program()),
        plain(
            "PowerOfTwo",
            "const SHAPE: Conv2dShape = Conv2dShape::dense(1, 1);
             static LAYER: Dense<I8<1, 1, 1>, I8<1, 1, 1>, { SHAPE.packed_words::<PowerOfTwo>() }, PowerOfTwo> =
                 Dense::int8(SHAPE, numbers(&[1], &[0], &[0.3]));",
        ),
        plain(
            "DepthwiseFilters",
            "const SHAPE: DepthwiseConv2dShape = DepthwiseConv2dShape::new([4, 4, 2], 1, [3, 3]);
             static LAYER: DepthwiseConv2d<I8<4, 4, 2>, I8<2, 2, 2>, { SHAPE.packed_words::<SingleRounding>() }> =
                 DepthwiseConv2d::int8(SHAPE, numbers(&[1; 17], &[0; 2], &[1.0; 2]));",
        ),
        plain(
            "PyramidLevel",
            "#[unsafe(no_mangle)]
             pub fn pool(input: &I8<2, 3, 1>, vector: &mut I8<1, 1, 9>) {
                 SpatialPyramidPool::<3>.max(input.view(), vector.view_mut());
             }",
        ),
        plain(
            "Taps",
            "const POOL: BlurPool2d<I8<8, 8, 1>, I8<4, 4, 1>> = BlurPool2d::int8(BlurPool2dShape::new([8, 8, 1], 8, 2), 0);",
        ),
        plain(
            "Reflection",
            "const POOL: BlurPool2d<I8<2, 8, 1>, I8<1, 4, 1>> = BlurPool2d::int8(BlurPool2dShape::new([2, 8, 1], 7, 2), 0);",
        ),
        plain("Broadcast", "const ADD: Add<F32<4, 4, 8>, F32<1, 1, 4>> = Add::float(Activation::Identity);"),
        plain(
            "Broadcast",
            "const MULTIPLY: Multiply<F32<4, 4, 8>, F32<2, 4, 8>> = Multiply::float(Activation::Identity);",
        ),
        plain("Slice", "const SLICE: Slice<I8<4, 4, 4>, I8<4, 4, 3>> = Slice::at([0, 0, 2]);"),
        plain("Slice", "const SLICE: Slice<I8<4, 4, 4>, I8<4, 4, 4>> = Slice::new([0; 3], [4, 4, 0], [1; 3]);"),
        plain(
            "Concatenation",
            "const JOIN: Concatenate<(I8<1, 2, 2>, I8<1, 2, 1>), I8<1, 2, 4>> = Concatenate::new(Axis::Channels);",
        ),
        plain(
            "Streamed",
            "const WORDS: usize = Conv2dShape::new([4, 4, 2], 2, [3, 3]).groups(2).stream_words::<SingleRounding>();",
        ),
        plain(
            "Ratio",
            "const ADD: Add<I8<1, 1, 1>> = Add::int8([Quantization::new(1e9, 0), Q], Quantization::new(1e-9, 0), Activation::Identity);",
        ),
    ]
}

/// Rules that only slices and numbers known at run time can break.
const AT_RUN_TIME: &[&str] = &["Scratch", "Overlap", "StreamScratch"];

/// The names and sentences of all rules, from the source itself, so that none is forgotten here.
fn rules() -> BTreeMap<String, String> {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shape.rs")).expect("src/shape.rs");
    let body =
        source.split("pub enum ShapeError {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("the enum");
    let names =
        body.lines().map(str::trim).filter(|line| !line.starts_with("//")).filter_map(|line| line.strip_suffix(','));
    let sentence = |name: &str| {
        let arm = source.split(&format!("Self::{name} => ")).nth(1).expect("a sentence for each rule");
        arm.split('"').nth(1).expect("a sentence is a string").to_owned()
    };
    names.map(|name| (name.to_owned(), sentence(name))).collect()
}

#[test]
fn every_rule_is_a_compile_error_with_its_sentence() {
    let rules = rules();
    let programs = programs();
    for rule in rules.keys() {
        let covered = programs.iter().any(|(name, _)| name == rule) || AT_RUN_TIME.contains(&rule.as_str());
        assert!(covered, "no program breaks the rule {rule}: add one to `programs`");
    }

    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let _ = fs::remove_dir_all(package.join("src"));
    fs::create_dir_all(package.join("src/bin")).expect("a folder for the programs");
    let root = env!("CARGO_MANIFEST_DIR");
    let manifest = format!(
        "[package]\nname = \"compile_fail\"\nedition = \"2024\"\n[dependencies]\nbareconv = {{ path = {root:?} }}\n[workspace]\n"
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("the manifest");
    let write = |name: &str, text: &str| {
        fs::write(package.join(format!("src/bin/{name}.rs")), format!("{PRELUDE}{text}\n")).expect("a program");
    };
    // Without this one a mistake in the prelude would look like an error in every program.
    write("obeys", &PLAIN.program());
    for (number, (rule, text)) in programs.iter().enumerate() {
        write(&format!("{}_{number}", rule.to_lowercase()), text);
    }

    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--bins", "--keep-going", "--offline", "--message-format=json", "--quiet"])
        .arg("--target-dir")
        .arg(package.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(&package)
        .output()
        .expect("cargo starts");
    // A line of JSON for each message; quotation marks do not occur in the sentences.
    let messages = String::from_utf8_lossy(&output.stdout);
    let errors = |program: &str| -> Vec<&str> {
        let target = format!("\"name\":\"{program}\"");
        messages.lines().filter(|line| line.contains(&target) && line.contains("\"level\":\"error\"")).collect()
    };
    assert!(
        messages.contains("\"name\":\"obeys\"") && errors("obeys").is_empty(),
        "the program that obeys all rules does not compile:\n{messages}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut wrong = Vec::new();
    for (number, (rule, text)) in programs.iter().enumerate() {
        let sentence = rules.get(*rule).unwrap_or_else(|| panic!("there is no rule {rule}"));
        let errors = errors(&format!("{}_{number}", rule.to_lowercase()));
        if !errors.iter().any(|error| error.contains(sentence.as_str())) {
            wrong.push(format!("{rule}: the compiler should have said `{sentence}` to\n{text}\nbut said {errors:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
