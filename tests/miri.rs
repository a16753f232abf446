//! A few cases of every family, and constant layers of each kind, on the portable backend, for Miri, which sees undefined behaviour that no result shows:
//! `cargo +nightly miri test --test miri`, with `RUSTFLAGS='--cfg bareconv_backend="portable"'`. Elsewhere the test
//! `backends` runs the same cases and many more.

#![cfg(miri)]

mod conformance;

use bareconv::arch::Portable;
use conformance::{Console, Memory, Session};
use std::fmt::Arguments;

struct Lines(Vec<String>);

impl Console for Lines {
    fn print(&mut self, line: Arguments<'_>) {
        println!("{line}");
        self.0.push(line.to_string());
    }
}

#[test]
fn portable_kernels_are_sound() {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    conformance::run_on::<Portable>(&mut session);
    conformance::run_layers(&mut session);
    let differing = session.differing;
    assert!(differing == 0 && console.0.len() > 10, "{}", console.0.join("\n"));
}
