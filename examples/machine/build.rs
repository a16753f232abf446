//! Places the linker script of the machine where the linker looks for it.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// The machine that is assumed for Arm Cortex-M unless BARECONV_MACHINE names another: a linker script of `host-trainer/boards`.
const CORTEX_M: &str = "mps2";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(());
    }
    println!("cargo:rerun-if-env-changed=BARECONV_MACHINE");
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let default = match arch.as_str() {
        "arm" => CORTEX_M,
        "aarch64" => "virt-aarch64",
        _ => "virt-riscv",
    };
    let machine = env::var("BARECONV_MACHINE").unwrap_or_else(|_| default.to_owned());
    let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?)
        .join("../../host-trainer/boards/memory")
        .join(format!("{machine}.x"));
    println!("cargo:rerun-if-changed={}", script.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let placed = out.join(if arch == "arm" { "memory.x" } else { "machine.x" });
    fs::copy(&script, placed)
        .map_err(|e| format!("BARECONV_MACHINE={machine}: {}: {e}; write that linker script", script.display()))?;
    if arch == "arm" {
        // The script of cortex-m-rt, which includes memory.x, and the names of interrupts: there are none.
        fs::write(out.join("device.x"), "")?;
        fs::write(out.join("machine.x"), "INCLUDE link.x\n")?;
    }
    println!("cargo:rustc-link-search={}", out.display());
    Ok(())
}
