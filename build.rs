//! Tells the crate which extensions the target has that stable Rust does not show as a `cfg`.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(bareconv_dsp, bareconv_helium, bareconv_rvv, bareconv_v8m)");
    println!(
        "cargo::rustc-check-cfg=cfg(bareconv_backend, values(\"portable\", \"armv7em\", \"avx2\", \"helium\", \"rvv\"))"
    );
    let backend = var("CARGO_CFG_BARECONV_BACKEND").unwrap_or_default();
    if !["", "portable", "armv7em", "avx2", "helium", "rvv"].contains(&backend.as_str()) {
        panic!("bareconv_backend=\"{backend}\" is none of \"portable\", \"armv7em\", \"avx2\", \"helium\", \"rvv\"");
    }
    let target = var("TARGET").expect("cargo sets TARGET");
    // Every Armv7E-M core has the extension; in Armv8-M Mainline it is optional, so the flags must ask for it.
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let asked =
        ["target-cpu=cortex-m33", "target-cpu=cortex-m35p", "target-cpu=cortex-m55", "target-cpu=cortex-m85", "+dsp"];
    let v8m = target.starts_with("thumbv8m.main");
    let refused = flags.contains("-dsp");
    // To ask for Helium is to have it: the compiler itself must not use it, see `arch::Helium`.
    if v8m && backend == "helium" {
        println!("cargo::rustc-cfg=bareconv_helium");
    } else if target.starts_with("thumbv7em") || v8m && !refused && asked.iter().any(|a| flags.contains(a)) {
        println!("cargo::rustc-cfg=bareconv_dsp");
    }
    // To ask for the vectors of RISC-V is to have them.
    let v = || flags.split(['\x1f', ',', '=']).any(|flag| flag == "+v");
    if target.starts_with("riscv64") && (backend == "rvv" || backend != "portable" && v()) {
        println!("cargo::rustc-cfg=bareconv_rvv");
    }
    if v8m {
        println!("cargo::rustc-cfg=bareconv_v8m");
    }
}
