//! Places the linker script, where there is no operating system.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

/// The machine whose memory is assumed unless BARECONV_MACHINE names another: a file of the folder `memory`.
const MACHINE: &str = "mps2-an386";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(());
    }
    println!("cargo:rerun-if-env-changed=BARECONV_MACHINE");
    let machine = env::var("BARECONV_MACHINE").unwrap_or_else(|_| MACHINE.to_owned());
    let script = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("memory").join(format!("{machine}.x"));
    println!("cargo:rerun-if-changed={}", script.display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy(&script, out.join("memory.x"))
        .map_err(|e| format!("BARECONV_MACHINE={machine}: {}: {e}; write that linker script", script.display()))?;
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    Ok(())
}
