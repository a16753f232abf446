//! The cases that every emulated core runs, on this computer's backends: all give the reference's bits, and so the same
//! lines.

mod conformance;

use bareconv::arch::Portable;
use bareconv::kernels::Backend;
use conformance::{Console, Memory, Session};
use std::fmt::Arguments;

struct Lines(Vec<String>);

impl Console for Lines {
    fn print(&mut self, line: Arguments<'_>) {
        self.0.push(line.to_string());
    }
}

/// The lines of the families on a backend, without its name.
fn lines<B: Backend>() -> Vec<String> {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    conformance::run_on::<B>(&mut session);
    let differing = session.differing;
    assert_eq!(differing, 0, "{}", console.0.join("\n"));
    assert!(console.0.len() > 10, "{} operators", console.0.len());
    let name = format!(" backend={}", B::NAME);
    console.0.iter().map(|line| line.replace(&name, "")).collect()
}

#[test]
fn backends_have_the_references_bits() {
    let portable = lines::<Portable>();
    #[cfg(target_arch = "x86_64")]
    {
        use bareconv::arch::{Avx2, Fallback};
        assert_eq!(lines::<Fallback>(), portable);
        assert!(Avx2::available(), "this computer has no AVX2: the test of its backend cannot run");
        assert_eq!(lines::<Avx2>(), portable);
    }
    assert!(portable.iter().all(|line| line.contains(" differing=0 ")), "{}", portable.join("\n"));
}

#[test]
fn layers_have_the_references_bits() {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    conformance::run_layers(&mut session);
    let differing = session.differing;
    assert!(differing == 0 && !console.0.is_empty(), "{}", console.0.join("\n"));
}

/// A difference is found, counted, and named down to the element.
#[test]
fn a_difference_is_reported() {
    let (mut console, mut memory) = (Lines(Vec::new()), Box::new(Memory::new()));
    let mut session = Session::new(&mut console, &mut memory);
    session.operator(["operator", "f32", "backend"], |cases, _, _| {
        cases.compare(&"first", &[1.0f32, f32::NAN], &[1.0, -f32::NAN]);
        cases.compare(&"second", &[1.0f32, 0.0], &[1.0, -0.0]);
        cases.compare(&"third", &[1.0f32], &[2.0]);
    });
    assert_eq!(session.differing, 2);
    let first = "difference operator=operator type=f32 backend=backend result=2 element=1 output=Some(0.0) \
                 expected=Some(-0.0) case=\"second\"";
    assert_eq!(console.0[0], first);
    assert!(console.0[1].starts_with("operator=operator type=f32 backend=backend results=3 differing=2 digest="));
}
