//! Tells the linker what the crate `machine` prepared, and chooses the network.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS")? == "none" {
        println!("cargo:rustc-link-arg-bins=-Tmachine.x");
        // Without it the linker pads every segment to 64 KiB.
        println!("cargo:rustc-link-arg-bins=--nmagic");
    }
    println!("cargo:rerun-if-env-changed=BARECONV_MODEL");
    let model = env::var_os("BARECONV_MODEL")
        .ok_or("BARECONV_MODEL names no network: a folder that `host-trainer import` wrote, absolute")?;
    if !Path::new(&model).is_absolute() {
        return Err(format!("BARECONV_MODEL must be an absolute path, not {}", model.display()).into());
    }
    let model = PathBuf::from(&model).join("mod.rs");
    fs::metadata(&model).map_err(|error| format!("BARECONV_MODEL: {}: {error}", model.display()))?;
    println!("cargo:rerun-if-changed={}", model.display());
    println!("cargo:rerun-if-changed={}", model.with_file_name("weights.rs").display());
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("model.rs"), format!("#[path = {model:?}]\nmod model;\n"))?;
    Ok(())
}
