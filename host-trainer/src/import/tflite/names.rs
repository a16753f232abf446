//! TensorFlow Lite's built-in operators: names, and what comes nearest to those that are not supported.

/// The name of an operator.
pub(super) fn name(code: i32) -> String {
    let known = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    known.map_or_else(|| format!("operator code {code}"), ToString::to_string)
}

/// What is supported and comes nearest to an operator that is not.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    Some(match name {
        "GELU" | "ELU" => "HARD_SWISH or LEAKY_RELU",
        "RELU_N1_TO_1" | "RELU_0_TO_1" => "RELU6",
        "LOG_SOFTMAX" => "SOFTMAX",
        "RESIZE_BILINEAR" => "RESIZE_NEAREST_NEIGHBOR, or TRANSPOSE_CONV with a bilinear filter",
        "DEPTH_TO_SPACE" => "TRANSPOSE_CONV",
        "SPACE_TO_DEPTH" => "CONV_2D with a stride",
        "SPACE_TO_BATCH_ND" | "BATCH_TO_SPACE_ND" => "the dilation of CONV_2D or DEPTHWISE_CONV_2D",
        "L2_POOL_2D" => "AVERAGE_POOL_2D",
        "SUM" | "REDUCE_PROD" | "REDUCE_ANY" | "REDUCE_ALL" => "MEAN over height and width",
        "REDUCE_MAX" | "REDUCE_MIN" => "MAX_POOL_2D over the whole input",
        "DIV" => "MUL by the reciprocal",
        "SQUARE" => "MUL of the tensor with itself",
        "SQUARED_DIFFERENCE" => "SUB, then MUL",
        "MAXIMUM" | "MINIMUM" => "RELU or RELU6",
        "ABS" => "PRELU with slopes of -1",
        "NEG" => "MUL by -1",
        "ADD_N" => "several ADD",
        "PACK" => "CONCATENATION",
        "UNPACK" => "SPLIT and RESHAPE",
        "GATHER" | "GATHER_ND" | "SLICE_V" => "STRIDED_SLICE",
        "MIRROR_PAD" => "PAD",
        "TRANSPOSE" => "the same network with its dimensions in the order height, width, channels",
        "BATCH_MATMUL" => "FULLY_CONNECTED with constant weights",
        "CONV_3D" | "CONV_3D_TRANSPOSE" => "CONV_2D",
        "CAST" => "QUANTIZE or DEQUANTIZE",
        "ARG_MAX" | "ARG_MIN" | "TOPK_V2" => {
            "the network without it, and `bareconv::argmax` or `bareconv::top_k` of its output"
        }
        "L2_NORMALIZATION" | "LOCAL_RESPONSE_NORMALIZATION" => "batch normalization, folded into a convolution",
        "LSTM"
        | "RNN"
        | "SVDF"
        | "UNIDIRECTIONAL_SEQUENCE_LSTM"
        | "UNIDIRECTIONAL_SEQUENCE_RNN"
        | "BIDIRECTIONAL_SEQUENCE_LSTM"
        | "BIDIRECTIONAL_SEQUENCE_RNN" => "CONV_2D over time: a temporal convolutional network",
        _ => return None,
    })
}

#[rustfmt::skip]
const NAMES: [&str; 162] = [
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE",
    "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP", "L2_NORMALIZATION", "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC", "LSH_PROJECTION", "LSTM", "MAX_POOL_2D", "MUL", "RELU",
    "RELU_N1_TO_1", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH",
    "CONCAT_EMBEDDINGS", "SKIP_GRAM", "CALL", "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "TRANSPOSE", "MEAN", "SUB",
    "DIV", "SQUEEZE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN", "EXP",
    "TOPK_V2", "SPLIT", "LOG_SOFTMAX", "DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU", "MAXIMUM",
    "ARG_MAX", "MINIMUM", "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL", "SELECT", "SLICE", "SIN",
    "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL", "NOT_EQUAL", "LOG", "SUM", "SQRT", "RSQRT",
    "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT", "REDUCE_PROD", "REDUCE_MAX", "PACK", "LOGICAL_OR", "ONE_HOT",
    "LOGICAL_AND", "LOGICAL_NOT", "UNPACK", "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY", "SQUARE", "ZEROS_LIKE", "FILL",
    "FLOOR_MOD", "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU", "SQUARED_DIFFERENCE", "MIRROR_PAD", "ABS",
    "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND", "COS", "WHERE", "RANK", "ELU",
    "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG", "ROUND", "HARD_SWISH", "IF", "WHILE",
    "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "SCATTER_ND", "SELECT_V2", "DENSIFY", "SEGMENT_SUM",
    "BATCH_MATMUL", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM", "CALL_ONCE", "BROADCAST_TO", "RFFT2D", "CONV_3D",
    "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "REDUCE_ALL",
    "CONV_3D_TRANSPOSE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "BROADCAST_ARGS",
    "RANDOM_STANDARD_NORMAL", "BUCKETIZE", "RANDOM_UNIFORM", "MULTINOMIAL", "GELU", "DYNAMIC_UPDATE_SLICE",
    "RELU_0_TO_1", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_SUM", "ATAN2",
    "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT",
];
