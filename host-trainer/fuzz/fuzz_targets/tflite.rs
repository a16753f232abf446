//! Bytes that claim to be a TensorFlow Lite file, all the way to a Rust module: no panic, no hang, no memory out of
//! proportion to the file. What runs quickly runs, and the passes may not change its outputs.
//!
//! ```sh
//! cargo +nightly fuzz run tflite fuzz/corpus/tflite tests/models -- -max_len=16384 -timeout=30 -rss_limit_mb=2048
//! ```
//! in `host-trainer`.

#![no_main]

use host_trainer_fuzz::follow;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = host_trainer::import::tflite(bytes, "fuzzed") {
        follow(&graph, bytes);
    }
});
