//! The networks of MLPerf Tiny, which are not part of the repository: `BARECONV_MODELS` names their folder. In it are
//! `NAME.tflite`, inputs `NAME.in.i8` and what TensorFlow Lite Micro answers, `NAME.out_tflm.i8`.

use host_trainer::import;
use host_trainer::plan::{Options, Plan};
use host_trainer::run::{Interpreter, PortableWords};
use std::path::PathBuf;
use std::{env, fs};

const NAMES: [&str; 4] = ["kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "ad01_int8"];

fn folder() -> Option<PathBuf> {
    let folder = env::var_os("BARECONV_MODELS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("BARECONV_MODELS names no folder: nothing to test");
    }
    folder
}

#[test]
fn outputs_are_those_of_tensorflow_lite_micro() {
    let Some(folder) = folder() else { return };
    for name in NAMES {
        let read = |suffix: &str| fs::read(folder.join(format!("{name}.{suffix}"))).unwrap();
        let graph = import::tflite(&read("tflite"), name).unwrap();
        let interpreter = Interpreter::new(&graph).unwrap();
        let [inputs, outputs] = [read("in.i8"), read("out_tflm.i8")];
        let bytes = graph.value(graph.inputs[0]).bytes();
        let computed: Vec<u8> = inputs.chunks(bytes).flat_map(|input| interpreter.run_bytes(input).unwrap()).collect();
        assert_eq!(computed.len(), outputs.len(), "{name}");
        let differing = computed.iter().zip(&outputs).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{name}");
        eprintln!("{name}: {} output bytes", outputs.len());
    }
}

#[test]
fn plans_are_small() {
    let Some(folder) = folder() else { return };
    for (name, most) in NAMES.into_iter().zip([9_000, 36_000, 41_000, 300]) {
        let graph = import::tflite(&fs::read(folder.join(format!("{name}.tflite"))).unwrap(), name).unwrap();
        let whole = Options::default();
        let apart = Options { in_place: false, overlap: false, outputs: false, stream: false };
        for options in [whole, apart, Options { stream: true, ..whole }] {
            let plan = Plan::new(&graph, options, &PortableWords);
            plan.check(&graph).unwrap();
            eprintln!("{name}: {} bytes without scratch, chains {:?}, {options:?}", plan.bytes, plan.chains);
            assert!(plan.bytes <= most || !options.overlap, "{name}: {} bytes", plan.bytes);
        }
    }
}
