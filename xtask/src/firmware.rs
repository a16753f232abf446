//! The LeNet-5 firmware: builds it, and measures its size.

use crate::boards::{CORTEX_M4, Examples, Toolchain};
use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The folder of the firmware under `examples/`, which is the crate's and the program's name as well.
const EXAMPLE: &str = "qemu-mps2-an386";

/// Builds the firmware with the module in the folder `model`, or with the one kept among the examples.
pub fn build(toolchain: &Toolchain, model: Option<&Path>) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo("build");
    cargo.env("DEFMT_LOG", "info").env_remove("BARECONV_MODEL");
    if let Some(model) = model {
        cargo.env("BARECONV_MODEL", model);
    }
    CORTEX_M4.build_with(EXAMPLE, EXAMPLE, cargo, "firmware")
}

/// The bytes a program occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Everything loaded into flash, initial values of variables included, sample pictures excluded.
    pub flash: u64,
    /// The embedded sample pictures, which only serve the demonstration.
    pub samples: u64,
    /// Variables, zeroed or not.
    pub ram_static: u64,
}

/// Measures a program file.
pub fn sizes(elf: &Path) -> Result<Sizes> {
    let bytes = fs::read(elf).with_context(|| format!("cannot read {}", elf.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", elf.display()))?;
    let loaded: u64 = file.segments().map(|segment| segment.file_range().1).sum();
    let samples = file.symbols().filter(|s| s.name() == Ok("SAMPLE_DIGITS")).map(|s| s.size()).sum();
    let variables = file.sections().filter(|s| matches!(s.name(), Ok(".data" | ".bss" | ".uninit")));
    Ok(Sizes { flash: loaded - samples, samples, ram_static: variables.map(|s| s.size()).sum() })
}

/// How many bytes a growing file has.
pub fn length(path: &Path) -> u64 {
    File::open(path).and_then(|f| f.metadata()).map_or(0, |m| m.len())
}
