//! Rust names for what files call `model/activation/Relu;model/conv2d_1/BiasAdd`.

use crate::graph::{Function, Operator};
use std::collections::{HashMap, HashSet};

/// What is appended to a layer's name for its constants.
const SUFFIXES: [&str; 11] = [
    "",
    "_SHAPE",
    "_QUANTIZATION",
    "_INPUT",
    "_OUTPUT",
    "_WEIGHTS",
    "_BIAS",
    "_SCALES",
    "_SLOPES",
    "_ACTIVATION",
    "_STREAM",
];

/// Longer ones are names for machines.
const LONGEST: usize = 40;

/// Names in use.
#[derive(Debug)]
pub(super) struct Names {
    used: HashSet<String>,
    /// The last number behind each name that was wanted more than once.
    numbers: HashMap<String, usize>,
}

impl Names {
    pub(super) fn new() -> Self {
        let reserved = ["NAME", "INPUT", "OUTPUT", "MACS", "FLASH_BYTES", "RAM_BYTES", "MODEL", "ARENA", "SCRATCH"];
        Self { used: reserved.map(str::to_owned).into(), numbers: HashMap::new() }
    }

    /// A name in lower case that nothing has yet, nor that in upper case with a constant's suffix.
    pub(super) fn claim(&mut self, wanted: &str) -> String {
        let number = self.numbers.entry(wanted.to_owned()).or_insert(0);
        loop {
            *number += 1;
            let name = if *number == 1 { wanted.to_owned() } else { format!("{wanted}_{number}") };
            let all = SUFFIXES.map(|suffix| format!("{}{suffix}", name.to_ascii_uppercase()));
            if all.iter().all(|name| !self.used.contains(name)) {
                self.used.extend(all);
                return name;
            }
        }
    }
}

/// The word for an operator: a name where the file has none that serves, and what to look for in those it has.
pub(crate) fn word(operator: &Operator) -> &'static str {
    match operator {
        Operator::Conv2d { .. } => "conv",
        Operator::Dense { .. } => "dense",
        Operator::Depthwise { .. } => "depthwise",
        Operator::Transposed { .. } => "transpose",
        Operator::LocallyConnected { .. } => "local",
        Operator::MaxPool { .. } | Operator::AveragePool { .. } => "pool",
        Operator::Mean => "mean",
        Operator::Function(function) => match function {
            Function::Relu => "relu",
            Function::Relu6 => "relu6",
            Function::LeakyRelu { .. } => "leaky_relu",
            Function::PRelu { .. } => "prelu",
            Function::HardSwish => "hard_swish",
            Function::HardSigmoid { .. } => "hard_sigmoid",
            Function::LocalResponse { .. } => "local_response",
            Function::Table { .. } => "table",
            Function::Sigmoid => "sigmoid",
            Function::Tanh => "tanh",
            Function::Softmax { .. } => "softmax",
        },
        Operator::Add(_) => "add",
        Operator::Subtract(_) => "sub",
        Operator::Multiply(_) => "mul",
        Operator::Concatenate { .. } => "concat",
        Operator::Pad { .. } => "pad",
        Operator::Reshape => "reshape",
        Operator::Slice { .. } => "slice",
        Operator::ResizeNearest { .. } => "resize",
        Operator::Quantize => "quantize",
        Operator::Dequantize => "dequantize",
        Operator::Requantize => "requantize",
    }
}

/// A short name from a file's: the scope of a path that sounds like the operator, or the last scope that is a name.
pub(super) fn short(name: &str, word: &str) -> String {
    let paths: Vec<Vec<&str>> = name.split(';').map(|path| path.split(['/', ':']).collect()).collect();
    let sounds = |scope: &&&str| {
        let scope = scope.to_ascii_lowercase();
        scope.contains(word) && (word == "depthwise" || !scope.contains("depthwise"))
    };
    // Scopes before the last part of a path are layers; the last is an operation.
    let layers = paths.iter().flat_map(|path| path.iter().take(path.len() - 1));
    let parts = paths.iter().flat_map(|path| path.iter());
    let found = layers.clone().find(sounds).or_else(|| parts.clone().find(sounds));
    let found = found.copied().map(identifier).filter(|name| name.len() <= LONGEST && !name.is_empty());
    let whole = || Some(identifier(name)).filter(|name| (1..=LONGEST / 2).contains(&name.len()));
    found.or_else(whole).unwrap_or_else(|| word.to_owned())
}

/// A file's name for a value, as an identifier in lower case; `instead` if nothing is left of it.
pub(super) fn value(name: &str, instead: &str) -> String {
    let name = name.split([';', ':']).next().unwrap_or_default();
    let name = identifier(name.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default());
    if (1..=LONGEST).contains(&name.len()) { name } else { instead.to_owned() }
}

/// Letters, digits and single underscores, in lower case, a letter first; no keyword. Empty if there are none.
pub(crate) fn identifier(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("n{name}");
    }
    const WORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final \
                         fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static \
                         struct super trait true try type typeof union unsafe unsized use virtual where while yield";
    if WORDS.split_whitespace().any(|word| word == name) { format!("{name}_") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_in_paths() {
        let name = "functional_1/activation/Relu;functional_1/batch_normalization/FusedBatchNormV3;\
                    functional_1/conv2d_3/BiasAdd/ReadVariableOp/resource;functional_1/conv2d_4/Conv2D";
        assert_eq!(short(name, "conv"), "conv2d_3");
        let name = "model/activation_7/Relu;model/depthwise_conv2d_3/depthwise;model/conv2d_4/Conv2D";
        assert_eq!(short(name, "depthwise"), "depthwise_conv2d_3");
        assert_eq!(short(name, "conv"), "conv2d_4");
        assert_eq!(short("model/activation_6/Relu;model/add_2/add", "add"), "add_2");
        assert_eq!(short("Identity", "softmax"), "identity");
        assert_eq!(short("a name of so many words that nobody would read it", "softmax"), "softmax");
        assert_eq!(short("", "pool"), "pool");
        assert_eq!(short("/features/0/Conv_output_0", "conv"), "conv_output_0");
    }

    #[test]
    fn identifiers_are_identifiers() {
        assert_eq!(identifier("--Ünï-code 1//"), "n_code_1");
        assert_eq!(identifier("3x3"), "n3x3");
        assert_eq!(identifier("loop"), "loop_");
        assert_eq!(identifier("!?"), "");
        assert_eq!(value("serving_default_input_1:0", "input"), "serving_default_input_1");
    }

    #[test]
    fn names_and_their_constants_are_unique() {
        let mut names = Names::new();
        assert_eq!(names.claim("conv"), "conv");
        assert_eq!(names.claim("conv"), "conv_2");
        assert_eq!(names.claim("conv_shape"), "conv_shape_2");
        assert_eq!(names.claim("output"), "output_2");
    }
}
