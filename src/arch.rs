//! The only place that chooses a backend.
//!
//! | backend | where | chosen |
//! |---|---|---|
//! | [`Portable`] | everywhere | where no other is, or by `--cfg bareconv_backend="portable"` |
//! | `Armv7em` | Arm with the DSP extension: Cortex-M4, M7, M33 with DSP | at compile time, by the target |
//! | `Avx2` | x86-64 | at run time with the feature `std`, else at compile time by `-C target-feature=+avx2` |
//!
//! `RUSTFLAGS='--cfg bareconv_backend="armv7em"'` (or `"avx2"`, `"portable"`) forces one; where the target lacks it,
//! that is a compile error. Nothing falls back in silence: [`native`] names what runs.

mod portable;
pub use portable::Portable;

#[cfg(bareconv_dsp)]
mod armv7em;
#[cfg(bareconv_dsp)]
pub use armv7em::Armv7em;

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Fallback};

use crate::kernels::{Backend, Routine};
use crate::shape::{Conv2dShape, DepthwiseConv2dShape};

#[cfg(target_endian = "big")]
compile_error!("bareconv packs filters for little-endian cores; no big-endian core is supported yet");

#[cfg(all(bareconv_backend = "armv7em", not(bareconv_dsp)))]
compile_error!(
    "bareconv_backend=\"armv7em\" needs a target with the DSP extension: build for thumbv7em-none-eabi(hf), or for \
     thumbv8m.main with -C target-cpu=cortex-m33 or -C target-feature=+dsp"
);

#[cfg(all(bareconv_backend = "avx2", not(all(target_arch = "x86_64", target_feature = "avx2"))))]
compile_error!("bareconv_backend=\"avx2\" needs an x86-64 target and -C target-feature=+avx2");

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(any(bareconv_backend = "portable", not(any(bareconv_dsp, target_arch = "x86_64"))))]
pub type Native = Portable;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(all(bareconv_dsp, not(bareconv_backend = "portable")))]
pub type Native = Armv7em;

/// The backend that filters are packed for. Whatever may run in its place reads its layouts.
#[cfg(all(target_arch = "x86_64", not(bareconv_backend = "portable")))]
pub type Native = Avx2;

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
    #[cfg(all(target_arch = "x86_64", not(any(bareconv_backend = "avx2", bareconv_backend = "portable"))))]
    if !Avx2::available() {
        return job.run::<x86::Fallback>();
    }
    job.run_native()
}

/// The routine that the native backend has for an int8 convolution of this shape, where it has several.
pub(crate) const fn routine(shape: &Conv2dShape) -> Option<Routine> {
    #[cfg(all(bareconv_dsp, not(bareconv_backend = "portable")))]
    return Some(armv7em::routine(shape));
    #[cfg(not(all(bareconv_dsp, not(bareconv_backend = "portable"))))]
    {
        let _ = shape;
        None
    }
}

/// The routine that the native backend has for an int8 depthwise convolution of this shape, where it has several.
pub(crate) const fn depthwise_routine(shape: &DepthwiseConv2dShape) -> Option<Routine> {
    #[cfg(all(bareconv_dsp, not(bareconv_backend = "portable")))]
    return Some(armv7em::depthwise_routine(shape));
    #[cfg(not(all(bareconv_dsp, not(bareconv_backend = "portable"))))]
    {
        let _ = shape;
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
