//! Places the linker script and chooses the network.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);

    fs::copy(here.join("memory.x"), out.join("memory.x"))?;
    println!("cargo:rerun-if-changed=memory.x");
    // cortex-m-rt's script asks for the names of the interrupts; the program has none.
    fs::write(out.join("device.x"), "")?;
    println!("cargo:rustc-link-search={}", out.display());
    for script in ["link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
    // Without it the linker pads every segment to 64 KiB.
    println!("cargo:rustc-link-arg-bins=--nmagic");

    // The network: BARECONV_MODEL names the folder of its module; otherwise the one kept with the examples.
    println!("cargo:rerun-if-env-changed=BARECONV_MODEL");
    let model = match env::var_os("BARECONV_MODEL") {
        Some(path) if Path::new(&path).is_absolute() => PathBuf::from(path),
        Some(path) => {
            return Err(format!("BARECONV_MODEL must be an absolute path, not {}", path.display()).into());
        }
        None => here.join("../lenet"),
    };
    let model = model.join("mod.rs").canonicalize().map_err(|e| {
        format!("BARECONV_MODEL: {}: {e}; export a network with `cargo xtask lenet` first", model.display())
    })?;
    println!("cargo:rerun-if-changed={}", model.parent().unwrap_or(&model).display());
    fs::write(out.join("model.rs"), format!("#[path = {:?}]\nmod model;\n", model))?;
    Ok(())
}
