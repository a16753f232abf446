//! Reads ONNX files.

mod arrange;
mod call;
mod constant;
mod convolution;
mod elementwise;
mod layout;
mod operators;
mod pooling;
mod quantized;
mod reader;
mod schema;
mod window;

use super::ImportError;
use crate::graph::Graph;
use constant::External;
use prost::bytes::Bytes;

const FORMAT: &str = "ONNX";

/// A part of another file: its name, where in it, and how many bytes.
pub type ExternalData<'a> = dyn FnMut(&str, u64, usize) -> Result<Vec<u8>, String> + 'a;

pub(super) fn read(bytes: &[u8], name: &str, external: &mut ExternalData<'_>) -> Result<Graph, ImportError> {
    let mut external = |at: &External| match external(&at.location, at.offset, at.length) {
        Ok(bytes) if bytes.len() == at.length => Ok(Bytes::from(bytes)),
        Ok(_) => super::fault::unsupported(format!("external data `{}` is too short", call::short(&at.location))),
        Err(reason) => super::fault::unsupported(reason),
    };
    reader::read(Bytes::copy_from_slice(bytes), name, &mut external)
}
