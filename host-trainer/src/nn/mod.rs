//! Networks: layers with forward and backward passes, and what runs them.
//!
//! Tensors are NHWC and weights in `bareconv`'s order, as in the exported model. A [`Network`] is only the architecture, a
//! graph that [`NetworkBuilder`] makes: the parameters are one flat slice (so that an optimizer or an average is one
//! loop), and so are the moving averages of batch normalization, the state. An [`Engine`] runs batches in memory that it
//! allocates once.
//!
//! ```text
//! layer.rs, network.rs   architectures
//! init.rs                initial weights
//! engine/                batches through a network, forward and backward; who shares memory
//! layers/                what each kind of layer does with a batch, and how its work is divided
//! kernels/               the loops with sums, blocked for registers
//! lanes.rs               sixteen images side by side
//! fold.rs, normalize.rs, to_graph.rs   a trained network on its way to quantization and export
//! ```

mod engine;
mod fold;
mod init;
mod kernels;
mod lanes;
mod layer;
mod layers;
mod network;
mod normalize;
#[cfg(test)]
mod tests;
mod to_graph;

pub use engine::{Engine, Mode, Update};
pub use fold::{FoldError, Folded};
pub use init::Initialization;
pub use lanes::{LANES, Lanes, Real};
pub use layer::{Conv2d, DepthwiseConv2d, Layer, Pool2d, Shape, TransposedConv2d};
pub use network::{Network, NetworkBuilder, Node, ShapeError, Value};
pub use to_graph::ToGraphError;
