//! The operators that are read, and what comes nearest to others.

use super::super::fault::{Fault, Step};
use super::call::Call;
use super::reader::Reader;

impl Reader {
    pub(super) fn dispatch(&mut self, call: &Call) -> Step<()> {
        match call.operator.as_str() {
            "Conv" => self.conv(call),
            "ConvTranspose" => self.conv_transpose(call),
            "Gemm" => self.gemm(call),
            "MatMul" => self.matmul(call),
            "BatchNormalization" => self.batch_normalization(call),
            "MaxPool" | "AveragePool" => self.pool(call),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(call),
            "ReduceMean" => self.reduce_mean(call),
            "Relu" | "Clip" => self.bounds(call),
            "Sigmoid" | "Tanh" | "HardSwish" | "HardSigmoid" | "LeakyRelu" => self.activation(call),
            "PRelu" => self.prelu(call),
            "Softmax" => self.softmax(call),
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(call),
            "Concat" => self.concat(call),
            "Pad" => self.pad(call),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => self.reshape(call),
            "Transpose" => self.transpose(call),
            "Slice" => self.slice(call),
            "Gather" => self.gather(call),
            "Split" => self.split(call),
            "Resize" | "Upsample" => self.resize(call),
            "QuantizeLinear" => self.quantize_linear(call),
            "DequantizeLinear" => self.dequantize_linear(call),
            "Identity" | "Dropout" | "Cast" => self.identity(call),
            other => Err(Fault::Unsupported("this operator is not supported".to_owned(), nearest(other))),
        }
    }
}

/// What is supported and comes nearest to an operator that is not.
fn nearest(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "Gelu" | "Erf" | "Elu" | "Selu" | "Celu" | "Softplus" | "Softsign" | "Mish" | "ThresholdedRelu" => {
            "HardSwish, or another of Relu, LeakyRelu, PRelu, Sigmoid, Tanh and HardSigmoid"
        }
        "LogSoftmax" => "Softmax, whose largest value is the same class",
        "LayerNormalization"
        | "GroupNormalization"
        | "InstanceNormalization"
        | "RMSNormalization"
        | "MeanVarianceNormalization"
        | "LpNormalization"
        | "LRN" => "BatchNormalization, whose numbers are constant",
        "LpPool" | "GlobalLpPool" | "MaxRoiPool" | "RoiAlign" => "MaxPool and AveragePool",
        "ReduceMax" | "ReduceSum" | "ReduceMin" | "ReduceL1" | "ReduceL2" | "ReduceProd" => {
            "ReduceMean over height and width, or GlobalMaxPool"
        }
        "ArgMax" | "TopK" | "ArgMin" => "the scores as the output, and bareconv::argmax or top_k in the firmware",
        "DepthToSpace" | "SpaceToDepth" | "GridSample" => "ConvTranspose, Conv with a stride, or Resize",
        "Expand" | "Tile" => "Add and Mul, which repeat an input",
        "Neg" => "Mul by -1",
        "Pow" | "Sqrt" | "Reciprocal" | "Exp" | "Log" | "Abs" => "Add, Sub, Mul and Div by a constant",
        "Max" | "Min" => "Relu and Clip",
        "ConvInteger" | "MatMulInteger" | "DynamicQuantizeLinear" | "com.microsoft.QGemm" => {
            "static quantization with quant_format=QuantFormat.QDQ"
        }
        "com.microsoft.FusedConv" | "com.microsoft.FusedGemm" | "com.microsoft.FusedMatMul" => {
            "the file before onnxruntime's optimizations"
        }
        "com.microsoft.QLinearAveragePool" | "com.microsoft.QLinearConcat" | "com.microsoft.QLinearSoftmax" => {
            "the operator between DequantizeLinear and QuantizeLinear: quant_format=QuantFormat.QDQ"
        }
        "LSTM" | "GRU" | "RNN" | "Attention" | "MultiHeadAttention" => {
            "convolutions, Gemm and MatMul with constant weights"
        }
        "If" | "Loop" | "Scan" => "a network without control flow",
        _ => return None,
    })
}
