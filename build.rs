//! Chooses the backend that the crate is compiled for: the target's best, or the one that
//! `--cfg bareconv_backend="..."` forces. `src/arch.rs` refuses one that the target lacks.

use std::env::var;

/// All that can be forced.
const BACKENDS: &[&str] = &[
    "portable",
    "armv6m",
    "armv7m",
    "armv7em",
    "helium",
    "riscv",
    "rvv",
    "sse2",
    "avx2",
    "avx512vnni",
    "neon",
    "neon-dotprod",
    "simd128",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let backends = format!("\"{}\"", BACKENDS.join("\", \""));
    println!("cargo::rustc-check-cfg=cfg(bareconv_armv6m, bareconv_armv7m, bareconv_dsp, bareconv_helium)");
    println!("cargo::rustc-check-cfg=cfg(bareconv_riscv, bareconv_rvv, bareconv_v8m)");
    println!("cargo::rustc-check-cfg=cfg(bareconv_std, bareconv_detect)");
    println!("cargo::rustc-check-cfg=cfg(bareconv_backend, values({backends}))");
    println!("cargo::rustc-check-cfg=cfg(bareconv_native, values({backends}))");
    let forced = var("CARGO_CFG_BARECONV_BACKEND").unwrap_or_default();
    if !forced.is_empty() && !BACKENDS.contains(&forced.as_str()) {
        panic!("bareconv_backend=\"{forced}\" is none of {backends}");
    }

    let features = var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has = |feature| features.split(',').any(|has| has == feature);
    let target = var("TARGET").expect("cargo sets TARGET");
    // To ask for Helium is to have it: the compiler itself must not use it, see `arch::Helium`.
    let helium = forced == "helium" && target.starts_with("thumbv8m.main");
    let dsp = !helium && has_dsp(&target);
    if helium {
        println!("cargo::rustc-cfg=bareconv_helium");
    }
    let armv6m = target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base");
    if armv6m {
        println!("cargo::rustc-cfg=bareconv_armv6m");
    }
    // Whatever the core can do besides.
    let armv7m = ["thumbv7m", "thumbv7em", "thumbv8m.main"].iter().any(|with_mla| target.starts_with(with_mla));
    if armv7m {
        println!("cargo::rustc-cfg=bareconv_armv7m");
    }
    let riscv = (target.starts_with("riscv32") || target.starts_with("riscv64")) && has("m");
    if riscv {
        println!("cargo::rustc-cfg=bareconv_riscv");
    }
    let rvv = target.starts_with("riscv64") && (forced == "rvv" || asks_for("+v"));
    if rvv {
        println!("cargo::rustc-cfg=bareconv_rvv");
    }
    if dsp {
        println!("cargo::rustc-cfg=bareconv_dsp");
    }
    if target.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=bareconv_v8m");
    }

    let arch = var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let vnni = ["avx512f", "avx512bw", "avx512vl", "avx512vnni"].into_iter().all(has);
    let hosted = var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os != "none");
    // Only these have features that are detected at run time; firmware may be built with the feature, too.
    let std = var("CARGO_FEATURE_STD").is_ok() && hosted && ["x86_64", "aarch64"].contains(&arch.as_str());
    if std {
        println!("cargo::rustc-cfg=bareconv_std");
    }
    let native = match arch.as_str() {
        _ if dsp => "armv7em",
        _ if armv7m => "armv7m",
        _ if armv6m => "armv6m",
        _ if rvv => "rvv",
        _ if riscv => "riscv",
        "x86_64" if vnni => "avx512vnni",
        // Of those that may be found at run time, the one that needs the most memory.
        "x86_64" if std || has("avx2") => "avx2",
        "x86_64" => "sse2",
        "aarch64" if has("dotprod") => "neon-dotprod",
        "aarch64" if has("neon") => "neon",
        "wasm32" if has("simd128") => "simd128",
        _ => "portable",
    };
    if std && forced.is_empty() && ["avx2", "neon"].contains(&native) {
        println!("cargo::rustc-cfg=bareconv_detect");
    }
    let native = if forced.is_empty() { native } else { &forced };
    println!("cargo::rustc-cfg=bareconv_native=\"{native}\"");
}

/// Whether the flags ask for a target feature.
fn asks_for(feature: &str) -> bool {
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    flags.split(['\x1f', ',', '=']).any(|flag| flag == feature)
}

/// Whether the target has Arm's DSP extension, which stable Rust does not show as a `cfg`.
fn has_dsp(target: &str) -> bool {
    // Every Armv7E-M core has the extension; in Armv8-M Mainline it is optional, so the flags must ask for it.
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let asked =
        ["target-cpu=cortex-m33", "target-cpu=cortex-m35p", "target-cpu=cortex-m55", "target-cpu=cortex-m85", "+dsp"];
    let v8m = target.starts_with("thumbv8m.main");
    target.starts_with("thumbv7em") || v8m && !flags.contains("-dsp") && asked.iter().any(|a| flags.contains(a))
}
