//! A program around a generated module that runs it on a file of inputs, on this computer or on an emulated core.
//!
//! It is built from the module's text as it is, so that what is compared is what firmware will contain.

use super::{Library, SEMIHOSTING, START};
use crate::generate::{End, Module};
use crate::graph::Element;
use crate::output::{OutputError, OutputFolder};
use bareconv_boards::shell::{self, without_outer_cargo};
use bareconv_boards::toolchain::{self, Untouched};
use bareconv_boards::{Board, Program};
use std::env;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The name of the crate and the program of a module. Modules share a target directory, where Cargo would take the crate of
/// one for that of another of the same name.
fn program(module: &str) -> String {
    format!("check-{module}")
}

/// The longest that an emulated core may run.
const LIMIT: Duration = Duration::from_secs(3600);

/// The program cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Something is missing on this computer; the text says what brings it.
    #[error(transparent)]
    Missing(#[from] toolchain::Error),
    /// The crate cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file cannot be written or read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It does not compile.
    #[error("the module does not compile for {place}:\n{said}")]
    Build {
        /// What it was to be compiled for.
        place: String,
        /// What the compiler said.
        said: String,
    },
    /// It does not run to its end.
    #[error("the program failed on {place}: {said}")]
    Run {
        /// Where it ran.
        place: String,
        /// What happened.
        said: String,
    },
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The outputs of all inputs, one after another, as bytes in memory.
    pub outputs: Vec<u8>,
    /// The module's `RAM_BYTES` on that core.
    pub ram_bytes: u32,
    /// The module's `FLASH_BYTES` on that core.
    pub flash_bytes: u32,
}

/// A crate around a module.
#[derive(Debug)]
pub struct Check {
    program: String,
    folder: PathBuf,
    target_dir: PathBuf,
}

impl Check {
    /// Writes the crate for the module called `name`, whose files these are, in a folder of `target_dir`.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn new(
        target_dir: &Path,
        name: &str,
        module: &Module,
        files: &[(String, Vec<u8>)],
    ) -> Result<Self, CheckError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| CheckError::File { path, source }
        };
        fs::create_dir_all(target_dir).map_err(file(target_dir))?;
        let target_dir = fs::canonicalize(target_dir).map_err(file(target_dir))?;
        let folder = target_dir.join(name);
        let mut all = vec![
            ("Cargo.toml".to_owned(), manifest(&program(name), &Library::for_crate(&folder)).into_bytes()),
            ("src/main.rs".to_owned(), main(module).into_bytes()),
        ];
        for board in super::boards() {
            all.push((format!("memory/{}/memory.x", board.memory), board.linker_script().as_bytes().to_vec()));
        }
        all.extend(files.iter().map(|(file, text)| (format!("src/model/{file}"), text.clone())));
        // Cargo builds again what is newer: leave alone what is the same.
        all.retain(|(name, text)| fs::read(folder.join(name)).ok().as_ref() != Some(text));
        let named: Vec<_> = all.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        OutputFolder::open(&folder)?.write(&named)?;
        Ok(Self { program: program(name), folder, target_dir: target_dir.join("build") })
    }

    /// Runs the module on this computer, by the best backend that it has.
    ///
    /// # Errors
    /// Where the program cannot be built or run.
    pub fn on_host(&self, inputs: &[u8], tick: impl FnMut(u64)) -> Result<Answer, CheckError> {
        let place = "this computer";
        let mut cargo = Command::new("cargo");
        let chosen = env::var_os("RUSTUP_TOOLCHAIN");
        without_outer_cargo(&mut cargo);
        if let Some(toolchain) = chosen {
            cargo.env("RUSTUP_TOOLCHAIN", toolchain);
        }
        // Flags of the user's could choose a backend.
        cargo.env("RUSTFLAGS", "").args(["build", "--features", "std"]);
        self.build(cargo, place)?;
        let elf = self.target_dir.join("release").join(format!("{}{}", self.program, env::consts::EXE_SUFFIX));
        let folder = self.start("host", inputs)?;
        let program = Program { elf: &elf, arguments: &[], folder: &folder, plugin: None, limit: LIMIT };
        let finished = bareconv_boards::finish(Command::new(&elf), &program, ticks(&folder, tick));
        Self::answer(place, &folder, finished)
    }

    /// Runs the module on an emulated core.
    ///
    /// # Errors
    /// Where the toolchain or the emulator is missing, or the program cannot be built or run.
    pub fn on_board(&self, board: &Board, inputs: &[u8], tick: impl FnMut(u64)) -> Result<Answer, CheckError> {
        let toolchain = board.set_up_by(&mut Untouched)?;
        let mut flags = board.rustflags(None);
        let memory = self.folder.join("memory").join(board.memory);
        for argument in [&format!("-L{}", memory.display()), "-Tlink.x", "--nmagic"] {
            flags.extend(["-C".to_owned(), format!("link-arg={argument}")]);
        }
        self.build(toolchain.cargo_with("build", &flags), board.core)?;
        let elf = self.target_dir.join(board.target).join("release").join(&self.program);
        let folder = self.start(board.short, inputs)?;
        let program = Program { elf: &elf, arguments: &[], folder: &folder, plugin: None, limit: LIMIT };
        let finished = board.emulate(&program, ticks(&folder, tick));
        Self::answer(board.core, &folder, finished)
    }

    fn build(&self, mut cargo: Command, place: &str) -> Result<(), CheckError> {
        cargo.args(["--release", "--quiet", "--target-dir"]).arg(&self.target_dir).current_dir(&self.folder);
        match shell::output(&mut cargo) {
            Ok(_) => Ok(()),
            Err(error) => Err(CheckError::Build { place: place.to_owned(), said: format!("{error:#}") }),
        }
    }

    /// A folder for a run, with its inputs and no outputs.
    fn start(&self, name: &str, inputs: &[u8]) -> Result<PathBuf, CheckError> {
        let folder = self.folder.join("run").join(name);
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| CheckError::File { path, source }
        };
        fs::create_dir_all(&folder).map_err(file(&folder))?;
        for name in ["outputs.bin", "sizes.bin"] {
            let path = folder.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(file(&path))?;
            }
        }
        let path = folder.join("inputs.bin");
        fs::write(&path, inputs).map_err(file(&path))?;
        Ok(folder)
    }

    fn answer<E: std::fmt::Display>(
        place: &str,
        folder: &Path,
        finished: Result<bareconv_boards::Finished, E>,
    ) -> Result<Answer, CheckError> {
        let failed = |said: String| CheckError::Run { place: place.to_owned(), said };
        let finished = finished.map_err(|error| failed(format!("{error:#}")))?;
        if !finished.status.success() {
            let printed = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
            return Err(failed(format!("it ended with {}: {printed} {}", finished.status, finished.stderr)));
        }
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| CheckError::File { path, source })
        };
        let (outputs, sizes) = (read("outputs.bin")?, read("sizes.bin")?);
        let [ram, flash] = *sizes.as_chunks().0 else {
            return Err(failed(format!("it wrote {} bytes of sizes", sizes.len())));
        };
        Ok(Answer { outputs, ram_bytes: u32::from_le_bytes(ram), flash_bytes: u32::from_le_bytes(flash) })
    }
}

/// Says how many bytes of outputs there are by now.
fn ticks(folder: &Path, mut tick: impl FnMut(u64)) -> impl FnMut() {
    let path = folder.join("outputs.bin");
    move || tick(fs::metadata(&path).map_or(0, |file| file.len()))
}

fn manifest(name: &str, library: &Library) -> String {
    format!(
        "[package]
name = \"{name}\"
version = \"0.0.0\"
edition = \"2024\"
publish = false

[features]
std = [\"bareconv/std\"]

[dependencies]
{}
bytemuck = {{ version = \"1.25\", features = [\"must_cast\"] }}

[target.'cfg(target_os = \"none\")'.dependencies]
{START}
semihosting = {{ version = \"{SEMIHOSTING}\", features = [\"fs\", \"panic-handler\", \"stdio\"] }}

[profile.release]
opt-level = 3
lto = \"fat\"
codegen-units = 1
panic = \"abort\"

[workspace]
",
        library.dependency()
    )
}

fn main(module: &Module) -> String {
    let zero = |end: &End| if end.element == Element::F32 { "0.0" } else { "0" };
    let (mut fields, mut zeros, mut fills, mut names, mut writes) = <[String; 5]>::default().into();
    for (number, end) in module.inputs.iter().enumerate() {
        let name = format!("input_{number}");
        let _ = writeln!(fields, "    {name}: model::{},", end.type_name);
        let _ = write!(zeros, " {name}: Tensor::filled({}),", zero(end));
        let other = if number == 0 { "return finish()" } else { "return Err(Failure)" };
        let _ = writeln!(
            fills,
            "        if !fill(&mut inputs, bytemuck::must_cast_slice_mut(memory.{name}.as_mut_slice()))? {{\n            \
             {other};\n        }}"
        );
        let _ = write!(names, "&memory.{name}, ");
    }
    let outputs: Vec<_> = (0..module.outputs.len()).map(|number| format!("output_{number}")).collect();
    for name in &outputs {
        let _ = writeln!(writes, "        write(&mut outputs, bytemuck::must_cast_slice({name}.as_slice()))?;");
    }
    let pattern = if outputs.len() == 1 { outputs[0].clone() } else { format!("({})", outputs.join(", ")) };
    MAIN.replace("FIELDS", &fields)
        .replace("ZEROS", &zeros)
        .replace("FILLS", &fills)
        .replace("PATTERN", &pattern)
        .replace("NAMES", &names)
        .replace("WRITES", &writes)
}

/// The program, with gaps for what differs from network to network.
const MAIN: &str = r#"//! Runs the network on all inputs of `inputs.bin` and writes the outputs to `outputs.bin`, bytes as they are in memory.

#![no_std]
#![cfg_attr(target_os = "none", no_main)]

#[cfg(not(target_os = "none"))]
extern crate std;

mod model;

use bareconv::{Arena, Tensor};
#[cfg(target_os = "none")]
use semihosting::{
    fs::File,
    io::{Read, Write},
};
#[cfg(not(target_os = "none"))]
use std::{
    fs::File,
    io::{Read, Write},
};

struct Memory {
FIELDS    arena: Arena<{ model::RAM_BYTES }>,
}

static mut MEMORY: Memory = Memory {ZEROS arena: Arena::new() };

/// A file could not be read or written.
struct Failure;

#[cfg(target_os = "none")]
#[cortex_m_rt::entry]
fn main() -> ! {
    semihosting::process::exit(status())
}

#[cfg(not(target_os = "none"))]
fn main() {
    std::process::exit(status())
}

fn status() -> i32 {
    // SAFETY: this is called once, and nothing else knows the static.
    match run(unsafe { &mut *&raw mut MEMORY }) {
        Ok(()) => 0,
        Err(Failure) => 2,
    }
}

fn run(memory: &mut Memory) -> Result<(), Failure> {
    let mut inputs = open("inputs.bin\0")?;
    let mut outputs = create("outputs.bin\0")?;
    loop {
FILLS        let PATTERN = model::MODEL.infer(NAMES&mut memory.arena);
WRITES    }
}

/// Writes what the module says of itself.
fn finish() -> Result<(), Failure> {
    let sizes = [model::RAM_BYTES, model::FLASH_BYTES].map(|size| size as u32);
    write(&mut create("sizes.bin\0")?, bytemuck::must_cast_slice(&sizes))
}

#[cfg(target_os = "none")]
fn path(name: &str) -> &core::ffi::CStr {
    core::ffi::CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default()
}

#[cfg(not(target_os = "none"))]
fn path(name: &str) -> &str {
    name.trim_end_matches('\0')
}

fn open(name: &str) -> Result<File, Failure> {
    File::open(path(name)).map_err(|_| Failure)
}

fn create(name: &str) -> Result<File, Failure> {
    File::create(path(name)).map_err(|_| Failure)
}

fn write(file: &mut File, bytes: &[u8]) -> Result<(), Failure> {
    file.write_all(bytes).map_err(|_| Failure)
}

/// Fills `bytes` from the file. `false` where the file ended before, a failure where it ended inside.
fn fill(file: &mut File, bytes: &mut [u8]) -> Result<bool, Failure> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) | Err(_) => return Err(Failure),
            Ok(read) => filled += read,
        }
    }
    Ok(true)
}
"#;
