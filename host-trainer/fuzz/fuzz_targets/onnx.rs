//! Bytes that claim to be an ONNX file, all the way to a Rust module, as those of TensorFlow Lite are followed.
//!
//! ```sh
//! cargo +nightly fuzz run onnx fuzz/corpus/onnx tests/onnx -- -max_len=16384 -timeout=30 -rss_limit_mb=2048
//! ```
//! in `host-trainer`.

#![no_main]

use host_trainer_fuzz::follow;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = host_trainer::import::onnx(bytes, "fuzzed") {
        follow(&graph, bytes);
    }
});
