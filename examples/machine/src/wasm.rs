//! WebAssembly: the host calls `run`, which calls the imported `print` and the markers.

/// The program; returns its exit status.
#[unsafe(no_mangle)]
extern "C" fn run() -> i32 {
    // SAFETY: `main!` defines it with this type.
    unsafe { crate::machine_main() }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    #[cfg(feature = "print")]
    print(format_args!("{_info}"));
    core::arch::wasm32::unreachable()
}

mod markers {
    #[link(wasm_import_module = "host")]
    unsafe extern "C" {
        pub safe fn start();
        pub safe fn stop();
        pub safe fn mark();
    }
}
pub use markers::{mark, start, stop};

#[cfg(feature = "print")]
pub fn print(line: core::fmt::Arguments<'_>) {
    use core::fmt::{self, Write};

    mod host {
        #[link(wasm_import_module = "host")]
        unsafe extern "C" {
            /// Prints UTF-8 text.
            pub fn print(text: *const u8, length: usize);
        }
    }

    struct Host;
    impl Write for Host {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            // SAFETY: the host only reads the bytes of `text`.
            unsafe { host::print(text.as_ptr(), text.len()) };
            Ok(())
        }
    }
    // The host's `print` cannot fail.
    let _ = writeln!(Host, "{line}");
}
