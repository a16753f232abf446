//! Trains convolutional networks on a PC and quantizes them to int8 for `bareconv`.
//!
//! The way of a network, one module each:
//!
//! 1. [`data`]: labelled images from IDX files, CIFAR records, NumPy arrays, folders of pictures, or the embedded subset
//!    of MNIST; and augmentation;
//! 2. [`nn`]: layers with forward and backward passes, in `f32` and, to check them, `f64`;
//! 3. [`train`]: the training loop, the same bits for every number of threads;
//! 4. [`quantize`]: quantization after training or as a part of it, to a [`graph`] of integers;
//! 5. [`run`] and [`verify`]: the graph on every backend of `bareconv`, all output bytes compared;
//! 6. [`plan`] and [`generate`]: the graph as a Rust module of constant arrays, layers and one function.
//!
//! [`spec`] describes all of that in one TOML file, [`workflow`] does what it says, and [`report`] shows what happened.
//! [`lenet`] goes the whole way for LeNet-5 on MNIST; [`visualize`] draws what happened.
//!
//! Everything is deterministic: the same seed and data give the same network, bit for bit, on
//! every machine and whatever the number of threads. Sums have a fixed order, multiply-adds are
//! fused explicitly, random numbers come from ChaCha8, and `exp`, `sin` and the like from `libm`.

#![forbid(unsafe_code)]

pub mod data;
pub mod firmware;
pub mod generate;
pub mod graph;
pub mod import;
pub mod lenet;
pub mod nn;
pub mod output;
pub mod plan;
pub mod quantize;
pub mod random;
pub mod report;
pub mod run;
pub mod spec;
pub mod train;
pub mod verify;
pub mod visualize;
pub mod workflow;
