//! Verification: a network on every backend of the library that this computer has, and by naive arithmetic; every output
//! byte compared.

mod naive;

pub use naive::naive;

use crate::graph::{Graph, GraphError};
use crate::run::Interpreter;
use bareconv::arch::{Visitor, visit_all};
use bareconv::kernels::Backend;
use rayon::prelude::*;

/// A network's outputs, and what computed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// [`NAIVE`], or the backend's name.
    pub by: &'static str,
    /// The outputs for all inputs, one after another, as bytes.
    pub bytes: Vec<u8>,
}

/// What the outputs of [`naive`] are said to be by.
pub const NAIVE: &str = "naive i64 arithmetic";

/// The names of the backends that this computer has.
#[must_use]
pub fn backends() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl Visitor for Names {
        fn visit<B: Backend>(&mut self) {
            self.0.push(B::NAME);
        }
    }
    let mut names = Names(Vec::new());
    visit_all(&mut names);
    names.0
}

/// What the interpreter computes on a backend: the outputs for `inputs`, as bytes, which follow one another.
///
/// # Errors
/// As [`Interpreter::on`], or where the inputs are not whole.
pub fn interpret(graph: &Graph, backend: &str, inputs: &[u8]) -> Result<Vec<u8>, GraphError> {
    let interpreter = Interpreter::on(graph, backend)?;
    let outputs = inputs
        .par_chunks(input_bytes(graph))
        .map(|input| interpreter.run_bytes(input))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(outputs.concat())
}

/// The outputs for `inputs`, which follow one another, by [`naive`] arithmetic and on every backend that this computer has.
/// The naive ones come first.
///
/// # Errors
/// As [`naive`] and [`interpret`].
pub fn on_every_backend(graph: &Graph, inputs: &[u8]) -> Result<Vec<Outputs>, GraphError> {
    let mut all = vec![Outputs { by: NAIVE, bytes: naive(graph, inputs)? }];
    for by in backends() {
        all.push(Outputs { by, bytes: interpret(graph, by, inputs)? });
    }
    Ok(all)
}

/// How many bytes differ between two outputs, of the same length or not.
#[must_use]
pub fn differing_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())
}

/// The bytes of all inputs of one inference.
fn input_bytes(graph: &Graph) -> usize {
    graph.inputs.iter().map(|&id| graph.value(id).bytes()).sum::<usize>().max(1)
}
