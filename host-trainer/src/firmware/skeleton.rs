//! Firmware to start from: a crate for a board that runs a network once and says what came out.

use super::{Library, SEMIHOSTING, START};
use crate::generate::{End, Module};
use crate::graph::{Element, Numbers};
use bareconv_boards::Board;
use std::fmt::Write;

/// The micro:bit's own memory. The emulated core that networks are checked on has more.
const MICROBIT: &str = "/* The nRF51822 of the BBC micro:bit. */
MEMORY
{
  FLASH : ORIGIN = 0x00000000, LENGTH = 256K
  RAM   : ORIGIN = 0x20000000, LENGTH = 16K
}
";

/// The most values of an output that the firmware prints and compares.
const MOST: usize = 64;

/// What a firmware is written from.
#[derive(Debug)]
pub struct Skeleton<'a> {
    /// The name of the crate.
    pub package: &'a str,
    /// The name of the network's module.
    pub name: &'a str,
    /// The network's module.
    pub module: &'a Module,
    /// The files of the module: names and contents.
    pub files: &'a [(String, Vec<u8>)],
    /// The board.
    pub board: &'a Board,
    /// Where the library is.
    pub library: &'a Library,
    /// What this computer's interpreter answers to [`sample_inputs`].
    pub expected: &'a [Numbers],
}

/// The inputs that the firmware runs the network on as it is: every value one more than the one before.
#[must_use]
pub fn sample_inputs(module: &Module) -> Vec<Numbers> {
    let values = |end: &End| -> usize { end.shape.iter().product() };
    let sample = |end: &End| match end.element {
        Element::Int8(_) => Numbers::Int8((0..values(end)).map(|i| i as i8).collect()),
        Element::Int16(_) => Numbers::Int16((0..values(end)).map(|i| i as i16).collect()),
        // All are exact in single precision.
        Element::F32 => Numbers::F32((0..values(end)).map(|i| (i % 256) as f32 / 256.0).collect()),
    };
    module.inputs.iter().map(sample).collect()
}

/// The files of the crate, by their names relative to it.
#[must_use]
pub fn files(skeleton: &Skeleton<'_>) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("Cargo.toml".to_owned(), manifest(skeleton)),
        (".cargo/config.toml".to_owned(), configuration(skeleton.board)),
        (".gitignore".to_owned(), "/target\n".to_owned()),
        ("build.rs".to_owned(), BUILD_SCRIPT.to_owned()),
        ("memory.x".to_owned(), memory(skeleton.board).to_owned()),
        ("src/main.rs".to_owned(), main(skeleton)),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into_bytes()))
    .collect::<Vec<_>>();
    files.extend(skeleton.files.iter().map(|(file, text)| (format!("src/{}/{file}", skeleton.name), text.clone())));
    files
}

fn memory(board: &Board) -> &'static str {
    if board.name() == "microbit" { MICROBIT } else { board.linker_script() }
}

fn manifest(skeleton: &Skeleton<'_>) -> String {
    format!(
        "[package]
name = \"{}\"
version = \"0.1.0\"
edition = \"2024\"
publish = false

[dependencies]
{}
{START}
semihosting = {{ version = \"{SEMIHOSTING}\", features = [\"panic-handler\", \"stdio\"] }}

[profile.dev]
opt-level = 1
panic = \"abort\"

[profile.release]
opt-level = 3
lto = \"fat\"
codegen-units = 1
panic = \"abort\"

# It has a target of its own: no member of a workspace around it.
[workspace]
",
        skeleton.package,
        skeleton.library.dependency()
    )
}

fn configuration(board: &Board) -> String {
    let mut text = format!("[build]\ntarget = \"{}\"\n\n[target.{}]\n", board.target, board.target);
    // What the emulated core of the checks has more of, a board does not have.
    let machine = if board.name() == "microbit" { &board.machine[..2] } else { board.machine };
    let runner =
        [&[board.emulator], machine, &["-display", "none", "-monitor", "none", "-serial", "none"]].concat().join(" ");
    let _ = writeln!(text, "# {} in QEMU.", board.core);
    let _ = writeln!(text, "runner = \"{runner} -semihosting-config enable=on,target=native -kernel\"");
    let flags = board.rustflags(None);
    if !flags.is_empty() {
        let _ = writeln!(text, "# What the target's name does not say about the core.");
        let _ = writeln!(text, "rustflags = {flags:?}");
    }
    text
}

const BUILD_SCRIPT: &str = r#"//! Places the linker scripts.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo:rustc-link-search={}", out.display());
    // cortex-m-rt's script, which includes memory.x.
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // Without it the linker pads every segment to 64 KiB.
    println!("cargo:rustc-link-arg-bins=--nmagic");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=build.rs");
    Ok(())
}
"#;

fn main(skeleton: &Skeleton<'_>) -> String {
    let Skeleton { name, module, board, expected, .. } = skeleton;
    let mut text =
        format!("//! The network `{name}` on {} ({}).\n\n#![no_std]\n#![no_main]\n\n", board.name(), board.core);
    let _ = write!(
        text,
        "mod {name};\n\nuse bareconv::{{Arena, Tensor}};\nuse semihosting::{{println, process}};\n\n\
         #[cortex_m_rt::entry]\nfn main() -> ! {{\n    \
         // What the network takes is known before anything is flashed.\n    \
         static mut ARENA: Arena<{{ {name}::RAM_BYTES }}> = Arena::new();\n"
    );
    let upper = |end: &End| end.name.to_ascii_uppercase();
    for end in &module.inputs {
        let zero = if end.element == Element::F32 { "0.0" } else { "0" };
        let _ = writeln!(text, "    static mut {}: {name}::{} = Tensor::filled({zero});", upper(end), end.type_name);
    }
    let _ = write!(
        text,
        "\n    println!(\n        \"{{}}: {{}} multiply-accumulates, {{}} bytes of RAM, {{}} of flash for weights\",\n        \
         {name}::NAME,\n        {name}::MACS,\n        {name}::RAM_BYTES,\n        {name}::FLASH_BYTES\n    );\n\n    \
         // Your data goes here"
    );
    let quantized = module.inputs.iter().any(|end| end.element != Element::F32);
    let _ = writeln!(text, "{}", if quantized { ", quantized: q = real / scale + zero point." } else { "." });
    for end in &module.inputs {
        let value = match end.element {
            Element::Int8(_) => "i as i8",
            Element::Int16(_) => "i as i16",
            Element::F32 => "(i % 256) as f32 / 256.0",
        };
        let _ = write!(
            text,
            "    for (i, value) in {}.as_mut_slice().iter_mut().enumerate() {{\n        *value = {value};\n    }}\n",
            upper(end)
        );
    }
    let inputs: Vec<_> = module.inputs.iter().map(upper).collect();
    let outputs: Vec<_> = module.outputs.iter().map(|end| end.name.clone()).collect();
    let pattern = if outputs.len() == 1 { outputs[0].clone() } else { format!("({})", outputs.join(", ")) };
    let _ = writeln!(text, "    let {pattern} = {name}::MODEL.infer({}, ARENA);\n", inputs.join(", "));
    let mut constants = String::new();
    let mut same = Vec::new();
    for (end, numbers) in module.outputs.iter().zip(*expected) {
        let shown = numbers.len().min(MOST);
        let _ = writeln!(text, "    println!(\"{}: {{:?}}\", &{0}.as_slice()[..{shown}]);", end.name);
        let constant = format!("EXPECTED_{}", upper(end));
        let _ = write!(
            constants,
            "\n/// What this network's `{}` is on a PC, for the data that the firmware comes with{}.\nconst {constant}: [{}; {shown}] = [",
            end.name,
            if shown < numbers.len() { "; its first values" } else { "" },
            end.element.rust()
        );
        let list: Vec<String> = match numbers {
            Numbers::Int8(values) => values[..shown].iter().map(ToString::to_string).collect(),
            Numbers::Int16(values) => values[..shown].iter().map(ToString::to_string).collect(),
            // Bits, as a NaN is not equal to itself.
            Numbers::F32(values) => values[..shown].iter().map(|value| format!("{value:?}")).collect(),
        };
        for line in list.chunks(12) {
            let _ = write!(constants, "\n    {},", line.join(", "));
        }
        constants.push_str("\n];\n");
        same.push(format!("{}.as_slice()[..{shown}] == {constant}", end.name));
    }
    let _ = write!(
        text,
        "    let same = {};\n    println!(\"{{}}\", if same {{ \"the PC's outputs\" }} else {{ \"not the PC's outputs\" }});\n    \
         // The end of an emulated program. On a board without a debugger semihosting stops the core: leave it out there.\n    \
         process::exit(if same {{ 0 }} else {{ 1 }})\n}}\n{constants}",
        same.join(" && ")
    );
    text
}
