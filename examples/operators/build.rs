//! Tells the linker what the crate `machine` prepared.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |name| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "none" {
        println!("cargo:rustc-link-arg-bins=-Tmachine.x");
        // Without it the linker pads every segment to 64 KiB.
        println!("cargo:rustc-link-arg-bins=--nmagic");
    }
    if target("ARCH") == "wasm32" {
        println!("cargo:rustc-link-arg-bins=--no-entry");
        println!("cargo:rustc-link-arg-bins=--export=run");
    }
}
