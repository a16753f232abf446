//! The tables of TensorFlow Lite's schema (`tensorflow/compiler/mlir/lite/schema/schema.fbs`, version 3) as far as the
//! reader looks at them.
//!
//! The FlatBuffers runtime is `planus`: it checks every offset when it is followed. Its compiler would make 11,000 lines
//! of the schema, most of them for writing and with `unsafe`; what reads a field is one line, and written here.

use planus::errors::ErrorKind;
use planus::table_reader::Table;
use planus::{SliceWithStartOffset, TableRead, Vector};
use std::marker::PhantomData;

/// A vector of tables.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a, T> {
    buffer: SliceWithStartOffset<'a>,
    /// Where its first offset is.
    start: usize,
    len: usize,
    tables: PhantomData<fn() -> T>,
}

impl<'a, T> TableRead<'a> for Tables<'a, T> {
    fn from_buffer(buffer: SliceWithStartOffset<'a>, offset: usize) -> Result<Self, ErrorKind> {
        let at = offset.checked_add(u32::from_buffer(buffer, offset)? as usize).ok_or(ErrorKind::InvalidOffset)?;
        let len = u32::from_buffer(buffer, at)? as usize;
        let start = at + 4;
        if len > buffer.len().saturating_sub(start) / 4 {
            return Err(ErrorKind::InvalidLength);
        }
        Ok(Self { buffer, start, len, tables: PhantomData })
    }
}

impl<'a, T: TableRead<'a>> Tables<'a, T> {
    /// The number of tables.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The table of this number.
    pub(super) fn get(&self, index: usize) -> planus::Result<Option<T>> {
        if index >= self.len {
            return Ok(None);
        }
        let table = T::from_buffer(self.buffer, self.start + 4 * index);
        table.map(Some).map_err(|kind| kind.with_error_location("vector", "get", self.buffer.offset_from_start))
    }
}

/// Defines tables: each field with its number, and a scalar with its default.
macro_rules! tables {
    ($($table:ident { $($field:ident: $type:ty, $number:literal $(, $default:literal)?;)* })*) => {$(
        #[derive(Clone, Copy, Debug)]
        pub(super) struct $table<'a>(Table<'a>);

        impl<'a> TableRead<'a> for $table<'a> {
            fn from_buffer(buffer: SliceWithStartOffset<'a>, offset: usize) -> Result<Self, ErrorKind> {
                Ok(Self(Table::from_buffer(buffer, offset)?))
            }
        }

        impl<'a> $table<'a> {
            $(tables!(@field $table $field $type, $number $(, $default)?);)*
        }
    )*};
    (@field $table:ident $field:ident $type:ty, $number:literal, $default:literal) => {
        pub(super) fn $field(&self) -> planus::Result<$type> {
            Ok(self.0.access($number, stringify!($table), stringify!($field))?.unwrap_or($default))
        }
    };
    (@field $table:ident $field:ident $type:ty, $number:literal) => {
        pub(super) fn $field(&self) -> planus::Result<Option<$type>> {
            self.0.access($number, stringify!($table), stringify!($field))
        }
    };
}

tables! {
    Model {
        version: u32, 0, 0;
        operator_codes: Tables<'a, OperatorCode<'a>>, 1;
        subgraphs: Tables<'a, Subgraph<'a>>, 2;
        buffers: Tables<'a, Buffer<'a>>, 4;
        external_buffer_groups: Tables<'a, Buffer<'a>>, 8;
        external_buffers: Tables<'a, Buffer<'a>>, 9;
    }
    Subgraph {
        tensors: Tables<'a, Tensor<'a>>, 0;
        inputs: Vector<'a, i32>, 1;
        outputs: Vector<'a, i32>, 2;
        operators: Tables<'a, Operator<'a>>, 3;
    }
    Tensor {
        shape: Vector<'a, i32>, 0;
        kind: i8, 1, 0;
        buffer: u32, 2, 0;
        name: &'a str, 3;
        quantization: QuantizationParameters<'a>, 4;
        is_variable: bool, 5, false;
        // The offset of a table, not followed: that it is there is enough.
        sparsity: u32, 6;
        shape_signature: Vector<'a, i32>, 7;
        external_buffer: u32, 10, 0;
    }
    QuantizationParameters {
        scale: Vector<'a, f32>, 2;
        zero_point: Vector<'a, i64>, 3;
        details_type: u8, 4, 0;
        quantized_dimension: i32, 6, 0;
    }
    Buffer {
        data: &'a [u8], 0;
        offset: u64, 1, 0;
        size: u64, 2, 0;
    }
    OperatorCode {
        deprecated_builtin_code: i8, 0, 0;
        custom_code: &'a str, 1;
        builtin_code: i32, 3, 0;
    }
    Operator {
        opcode_index: u32, 0, 0;
        inputs: Vector<'a, i32>, 1;
        outputs: Vector<'a, i32>, 2;
        builtin_options_type: u8, 3, 0;
        conv_2d: Conv2d<'a>, 4;
        depthwise_conv_2d: DepthwiseConv2d<'a>, 4;
        pool_2d: Pool2d<'a>, 4;
        fully_connected: FullyConnected<'a>, 4;
        softmax: Softmax<'a>, 4;
        concatenation: Concatenation<'a>, 4;
        sum: Sum<'a>, 4;
        reducer: Reducer<'a>, 4;
        strided_slice: StridedSlice<'a>, 4;
        transpose_conv: TransposeConv<'a>, 4;
        resize: Resize<'a>, 4;
        leaky_relu: LeakyRelu<'a>, 4;
    }
    Conv2d {
        padding: i8, 0, 0;
        stride_w: i32, 1, 0;
        stride_h: i32, 2, 0;
        fused_activation: i8, 3, 0;
        dilation_w: i32, 4, 1;
        dilation_h: i32, 5, 1;
    }
    DepthwiseConv2d {
        padding: i8, 0, 0;
        stride_w: i32, 1, 0;
        stride_h: i32, 2, 0;
        depth_multiplier: i32, 3, 0;
        fused_activation: i8, 4, 0;
        dilation_w: i32, 5, 1;
        dilation_h: i32, 6, 1;
    }
    Pool2d {
        padding: i8, 0, 0;
        stride_w: i32, 1, 0;
        stride_h: i32, 2, 0;
        filter_width: i32, 3, 0;
        filter_height: i32, 4, 0;
        fused_activation: i8, 5, 0;
    }
    FullyConnected {
        fused_activation: i8, 0, 0;
        weights_format: i8, 1, 0;
    }
    Softmax {
        beta: f32, 0, 0.0;
    }
    Concatenation {
        axis: i32, 0, 0;
        fused_activation: i8, 1, 0;
    }
    // AddOptions, SubOptions and MulOptions begin with it.
    Sum {
        fused_activation: i8, 0, 0;
    }
    Reducer {
        keep_dims: bool, 0, false;
    }
    StridedSlice {
        begin_mask: i32, 0, 0;
        end_mask: i32, 1, 0;
        ellipsis_mask: i32, 2, 0;
        new_axis_mask: i32, 3, 0;
        shrink_axis_mask: i32, 4, 0;
        offset: bool, 5, false;
    }
    TransposeConv {
        padding: i8, 0, 0;
        stride_w: i32, 1, 0;
        stride_h: i32, 2, 0;
        fused_activation: i8, 3, 0;
    }
    Resize {
        align_corners: bool, 0, false;
        half_pixel_centers: bool, 1, false;
    }
    LeakyRelu {
        alpha: f32, 0, 0.0;
    }
}

/// The root table of a file.
pub(super) fn model(bytes: &[u8]) -> planus::Result<Model<'_>> {
    let buffer = SliceWithStartOffset { buffer: bytes, offset_from_start: 0 };
    Model::from_buffer(buffer, 0).map_err(|kind| kind.with_error_location("Model", "root", 0))
}

/// Types of tensors.
pub(super) mod kind {
    pub(in super::super) const FLOAT32: i8 = 0;
    pub(in super::super) const INT32: i8 = 2;
    pub(in super::super) const INT64: i8 = 4;
    pub(in super::super) const INT16: i8 = 7;
    pub(in super::super) const INT8: i8 = 9;

    /// Their names, by number.
    pub(in super::super) const NAMES: [&str; 23] = [
        "float32",
        "float16",
        "int32",
        "uint8",
        "int64",
        "string",
        "bool",
        "int16",
        "complex64",
        "int8",
        "float64",
        "complex128",
        "uint64",
        "resource",
        "variant",
        "uint32",
        "uint16",
        "int4",
        "bfloat16",
        "int2",
        "uint4",
        "float8_e4m3fn",
        "float8_e5m2",
    ];
}
