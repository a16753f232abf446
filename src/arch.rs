//! The only place that chooses a backend.
//!
//! | backend | name | where |
//! |---|---|---|
//! | [`Portable`] | `portable` | everywhere |
//! | `Armv6m` | `armv6m` | Arm with 16-bit instructions: Cortex-M0, M0+, M23 |
//! | `Armv7m` | `armv7m` | Arm without the DSP extension: Cortex-M3, M33 without DSP |
//! | `Armv7em` | `armv7em` | Arm with the DSP extension: Cortex-M4, M7, M33 with DSP |
//! | `Helium` | `helium` | Arm with the M-profile vector extension: Cortex-M55, M85; only where forced |
//! | `Riscv` | `riscv` | RISC-V with multiplication, 32 or 64 bits |
//! | `Rvv` | `rvv` | RISC-V, 64 bits, with vectors (RVV 1.0) |
//! | `Sse2` | `sse2` | x86-64 |
//! | `Avx2` | `avx2` | x86-64 with AVX2 |
//! | `Avx512Vnni` | `avx512vnni` | x86-64 with AVX-512 F, BW, VL and VNNI |
//! | `Neon` | `neon` | AArch64 |
//! | `NeonDotprod` | `neon-dotprod` | AArch64 with the dot product extension |
//! | `Simd128` | `simd128` | WebAssembly with `-C target-feature=+simd128` |
//!
//! The target and its features decide at compile time; with the feature `std`, x86-64 and AArch64 find the best backend
//! at run time. `RUSTFLAGS='--cfg bareconv_backend="avx2"'` forces one by its name; where the target lacks it, that is a
//! compile error. Nothing falls back in silence: [`native`] names what runs.

mod portable;
pub use portable::Portable;

#[cfg(bareconv_armv6m)]
mod armv6m;
#[cfg(bareconv_armv6m)]
pub use armv6m::Armv6m;

#[cfg(bareconv_armv7m)]
mod armv7m;
#[cfg(bareconv_armv7m)]
pub use armv7m::Armv7m;

#[cfg(bareconv_dsp)]
mod armv7em;
#[cfg(bareconv_dsp)]
pub use armv7em::Armv7em;

#[cfg(bareconv_helium)]
mod helium;
#[cfg(bareconv_helium)]
pub use helium::Helium;

#[cfg(bareconv_riscv)]
mod riscv;
#[cfg(bareconv_riscv)]
pub use riscv::Riscv;

#[cfg(bareconv_rvv)]
mod rvv;
#[cfg(bareconv_rvv)]
pub use rvv::Rvv;

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512Vnni, Sse2};

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod neon;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub use neon::{Neon, NeonDotprod};

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm::Simd128;

use crate::kernels::{Backend, Requantization, Routine};
use crate::quant::{CommonRequantization, RoundingMode};
use crate::shape::{Conv2dShape, DepthwiseConv2dShape};

#[cfg(target_endian = "big")]
compile_error!("bareconv packs filters for little-endian cores; no big-endian core is supported yet");

#[cfg(all(bareconv_backend = "armv6m", not(bareconv_armv6m)))]
compile_error!("bareconv_backend=\"armv6m\" needs a target with 16-bit instructions: thumbv6m or thumbv8m.base");

#[cfg(all(bareconv_backend = "armv7m", not(bareconv_armv7m)))]
compile_error!("bareconv_backend=\"armv7m\" needs a Cortex-M target with MLA: thumbv7m, thumbv7em or thumbv8m.main");

#[cfg(all(bareconv_backend = "armv7em", not(bareconv_dsp)))]
compile_error!(
    "bareconv_backend=\"armv7em\" needs a target with the DSP extension: build for thumbv7em-none-eabi(hf), or for \
     thumbv8m.main with -C target-cpu=cortex-m33 or -C target-feature=+dsp"
);

#[cfg(all(bareconv_backend = "helium", not(bareconv_helium)))]
compile_error!("bareconv_backend=\"helium\" needs a target with MVE: build for thumbv8m.main-none-eabi(hf)");

#[cfg(all(bareconv_backend = "riscv", not(bareconv_riscv)))]
compile_error!("bareconv_backend=\"riscv\" needs a RISC-V target with the extension M");

#[cfg(all(bareconv_backend = "rvv", not(bareconv_rvv)))]
compile_error!("bareconv_backend=\"rvv\" needs a target with RVV 1.0: build for riscv64gc");

#[cfg(all(bareconv_backend = "sse2", not(target_arch = "x86_64")))]
compile_error!("bareconv_backend=\"sse2\" needs an x86-64 target");

#[cfg(all(bareconv_backend = "avx2", not(all(target_arch = "x86_64", target_feature = "avx2"))))]
compile_error!("bareconv_backend=\"avx2\" needs an x86-64 target and -C target-feature=+avx2");

#[cfg(all(
    bareconv_backend = "avx512vnni",
    not(all(
        target_arch = "x86_64",
        target_feature = "avx512f",
        target_feature = "avx512bw",
        target_feature = "avx512vl",
        target_feature = "avx512vnni"
    ))
))]
compile_error!(
    "bareconv_backend=\"avx512vnni\" needs an x86-64 target and -C \
     target-feature=+avx512f,+avx512bw,+avx512vl,+avx512vnni"
);

#[cfg(all(bareconv_backend = "neon", not(all(target_arch = "aarch64", target_feature = "neon"))))]
compile_error!("bareconv_backend=\"neon\" needs an AArch64 target with floating point");

#[cfg(all(bareconv_backend = "neon-dotprod", not(all(target_arch = "aarch64", target_feature = "dotprod"))))]
compile_error!("bareconv_backend=\"neon-dotprod\" needs an AArch64 target and -C target-feature=+dotprod");

#[cfg(all(bareconv_backend = "simd128", not(all(target_arch = "wasm32", target_feature = "simd128"))))]
compile_error!("bareconv_backend=\"simd128\" needs a wasm32 target and -C target-feature=+simd128");

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "portable")]
pub type Native = Portable;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "armv6m")]
pub type Native = Armv6m;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "armv7m")]
pub type Native = Armv7m;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "armv7em")]
pub type Native = Armv7em;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "helium")]
pub type Native = Helium;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "riscv")]
pub type Native = Riscv;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "rvv")]
pub type Native = Rvv;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "sse2")]
pub type Native = Sse2;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "avx2")]
pub type Native = Avx2;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "avx512vnni")]
pub type Native = Avx512Vnni;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "neon")]
pub type Native = Neon;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "neon-dotprod")]
pub type Native = NeonDotprod;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(bareconv_native = "simd128")]
pub type Native = Simd128;

/// Depthwise convolution of int16 values with int8 weights, the same on every backend.
pub(crate) type DepthwiseInt16 = portable::depthwise::Plain<portable::depthwise::Int16>;

/// Convolution of int16 values with int8 weights and sums of 64 bits, the same on every backend.
pub(crate) type WideInt16 = portable::conv::Blocks<i16, portable::conv::Own, crate::kernels::WideSum>;

/// Something to run on a backend.
pub(crate) trait Job: Sized {
    type Output;

    /// Runs it on `B`.
    fn run<B: Backend>(self) -> Self::Output;

    /// Runs it on the native backend, for which more may have been prepared.
    #[inline(always)]
    fn run_native(self) -> Self::Output {
        self.run::<Native>()
    }
}

/// Runs a job on the best backend there is.
#[inline(always)]
pub(crate) fn dispatch<J: Job>(job: J) -> J::Output {
    #[cfg(all(bareconv_detect, target_arch = "x86_64"))]
    if Avx512Vnni::available() {
        return job.run::<Avx512Vnni>();
    } else if !Avx2::available() {
        return job.run::<Sse2>();
    }
    #[cfg(all(bareconv_detect, target_arch = "aarch64"))]
    if NeonDotprod::available() {
        return job.run::<NeonDotprod>();
    }
    job.run_native()
}

/// Something to do on each backend.
pub trait Visitor {
    /// Does it on `B`, which is available.
    fn visit<B: Backend>(&mut self);
}

/// Visits every backend that this machine has, [`Portable`] first: for tests and tools. Where the portable backend is
/// forced, it is the only one.
///
/// ```
/// use bareconv::{arch::{self, Visitor}, kernels::Backend};
///
/// struct Names(Vec<&'static str>);
///
/// impl Visitor for Names {
///     fn visit<B: Backend>(&mut self) {
///         self.0.push(B::NAME);
///     }
/// }
///
/// let mut names = Names(Vec::new());
/// arch::visit_all(&mut names);
/// assert_eq!(names.0[0], "portable");
/// assert!(names.0.contains(&arch::native()));
/// ```
pub fn visit_all(visitor: &mut impl Visitor) {
    fn visit<B: Backend>(visitor: &mut impl Visitor) {
        if B::available() {
            visitor.visit::<B>();
        }
    }
    visit::<Portable>(visitor);
    #[cfg(not(bareconv_backend = "portable"))]
    {
        #[cfg(bareconv_armv6m)]
        visit::<Armv6m>(visitor);
        #[cfg(bareconv_armv7m)]
        visit::<Armv7m>(visitor);
        #[cfg(bareconv_dsp)]
        visit::<Armv7em>(visitor);
        #[cfg(bareconv_helium)]
        visit::<Helium>(visitor);
        #[cfg(bareconv_riscv)]
        visit::<Riscv>(visitor);
        #[cfg(bareconv_rvv)]
        visit::<Rvv>(visitor);
        #[cfg(target_arch = "x86_64")]
        {
            visit::<Sse2>(visitor);
            visit::<Avx2>(visitor);
            visit::<Avx512Vnni>(visitor);
        }
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        {
            visit::<Neon>(visitor);
            visit::<NeonDotprod>(visitor);
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        visit::<Simd128>(visitor);
    }
}

/// The routine that the native backend has for an int8 convolution of this shape, where it has several; `narrow` says
/// that the weights keep to [`narrow`](crate::pack::narrow).
pub(crate) const fn routine(shape: &Conv2dShape, narrow: bool) -> Option<Routine> {
    #[cfg(bareconv_native = "armv7em")]
    return Some(armv7em::routine(shape, narrow));
    #[cfg(not(bareconv_native = "armv7em"))]
    let _ = narrow;
    #[cfg(bareconv_native = "helium")]
    return Some(helium::routine(shape));
    #[cfg(not(any(bareconv_native = "armv7em", bareconv_native = "helium")))]
    {
        let _ = shape;
        None
    }
}

/// The routine that the native backend has for an int8 depthwise convolution of this shape, where it has several.
pub(crate) const fn depthwise_routine(shape: &DepthwiseConv2dShape) -> Option<Routine> {
    #[cfg(bareconv_native = "armv7em")]
    return Some(armv7em::depthwise_routine(shape));
    #[cfg(bareconv_native = "helium")]
    return Some(helium::depthwise_routine(shape));
    #[cfg(not(any(bareconv_native = "armv7em", bareconv_native = "helium")))]
    {
        let _ = shape;
        None
    }
}

/// The routine that the native backend has for an int16 convolution of this shape, where it has several.
pub(crate) const fn routine_i16(shape: &Conv2dShape) -> Option<Routine> {
    #[cfg(bareconv_native = "armv7em")]
    return Some(armv7em::routine_i16(shape));
    #[cfg(bareconv_native = "helium")]
    return Some(helium::routine_i16(shape));
    #[cfg(not(any(bareconv_native = "armv7em", bareconv_native = "helium")))]
    {
        let _ = shape;
        None
    }
}

/// What the native backend finishes int8 outputs with, where it has a way of its own for these numbers: strips without
/// pooling and phases, of one pixel each where the layer is dense.
pub(crate) const fn requantization(
    common: &CommonRequantization,
    mode: RoundingMode,
    dense: bool,
) -> Option<Requantization> {
    #[cfg(bareconv_native = "armv7em")]
    return armv7em::requantization(common, mode, dense);
    #[cfg(not(bareconv_native = "armv7em"))]
    {
        let _ = (common, mode, dense);
        None
    }
}

/// The name of the backend that layers run on here, as [`Backend::NAME`].
///
/// ```
/// println!("this machine runs {}", bareconv::arch::native());
/// ```
pub fn native() -> &'static str {
    struct Name;
    impl Job for Name {
        type Output = &'static str;
        fn run<B: Backend>(self) -> &'static str {
            B::NAME
        }
    }
    dispatch(Name)
}
