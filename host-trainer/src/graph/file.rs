//! Graphs as files: JSON, arrays of numbers in base64 of their little-endian bytes, so that no bit is lost.

use super::{Graph, GraphError};
use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, Pool2dShape, Quantization, TransposedConv2dShape};
use serde::{Deserialize, Serialize};

/// What the name of a graph's file ends with.
pub const FILE_ENDING: &str = ".graph";

/// What the file says it is.
const FORMAT: &str = "bareconv graph";
/// Changes when older files can no longer be read.
const VERSION: u32 = 1;

/// A file is no graph.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not JSON, or not of this form.
    #[error("it is no whole graph of host-trainer: {0}; train or import the network again")]
    Form(#[from] serde_json::Error),
    /// It is of another format or version.
    #[error(
        "it is `{format}`, version {version}, and this host-trainer reads `{FORMAT}`, version {VERSION}; train or \
             import the network again"
    )]
    Version {
        /// What it says it is.
        format: String,
        /// Its version.
        version: u32,
    },
    /// It breaks a rule of graphs.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

#[derive(Serialize)]
struct Written<'a> {
    format: &'static str,
    version: u32,
    graph: &'a Graph,
}

#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    graph: Graph,
}

impl Graph {
    /// The graph as the bytes of a file.
    ///
    /// # Errors
    /// When a single number of it is infinite or none: JSON has no such numbers.
    pub fn to_file(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Written { format: FORMAT, version: VERSION, graph: self })
    }

    /// The graph of a file, checked.
    ///
    /// # Errors
    /// When it is no such file, or the graph breaks a rule of [`Graph::check`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, FileError> {
        let Head { format, version } = serde_json::from_slice(bytes)?;
        if format != FORMAT || version != VERSION {
            return Err(FileError::Version { format, version });
        }
        let Read { graph } = serde_json::from_slice(bytes)?;
        graph.check()?;
        Ok(graph)
    }
}

/// A number of fixed size.
pub(super) trait Fixed: Copy {
    type Bytes: AsRef<[u8]>;
    const SIZE: usize;
    fn to_bytes(self) -> Self::Bytes;
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! fixed {
    ($($number:ty),*) => {$(
        impl Fixed for $number {
            type Bytes = [u8; size_of::<$number>()];
            const SIZE: usize = size_of::<$number>();
            fn to_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )*};
}

fixed!(i8, i16, i32, f32);

/// Arrays of numbers.
pub(super) mod packed {
    use super::Fixed;
    use data_encoding::BASE64;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Fixed, S: Serializer>(numbers: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(numbers.len() * T::SIZE);
        numbers.iter().for_each(|number| bytes.extend_from_slice(number.to_bytes().as_ref()));
        BASE64.encode(&bytes).serialize(serializer)
    }

    pub fn deserialize<'de, T: Fixed, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let numbers = bytes.chunks(T::SIZE).map(T::from_bytes).collect::<Option<Vec<T>>>();
        numbers.ok_or_else(|| D::Error::custom(format!("{} bytes are no numbers of {} bytes", bytes.len(), T::SIZE)))
    }
}

/// Tables of int8 functions.
pub(super) mod table {
    use super::packed;
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(table: &[i8; 256], serializer: S) -> Result<S::Ok, S::Error> {
        packed::serialize(&table[..], serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[i8; 256]>, D::Error> {
        let numbers: Vec<i8> = packed::deserialize(deserializer)?;
        let count = numbers.len();
        numbers
            .into_boxed_slice()
            .try_into()
            .map_err(|_| D::Error::custom(format!("a table of {count} outputs, not 256")))
    }
}

/// A quantization that may be absent.
pub(super) mod optional_quantization {
    use super::QuantizationForm;
    use bareconv::Quantization;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Form(#[serde(with = "QuantizationForm")] Quantization);

    pub fn serialize<S: Serializer>(value: &Option<Quantization>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Form).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Quantization>, D::Error> {
        Ok(Option::<Form>::deserialize(deserializer)?.map(|form| form.0))
    }
}

// The library's types as they are in files: it has no use for serde itself.

#[derive(Serialize, Deserialize)]
#[serde(remote = "Quantization")]
pub(super) struct QuantizationForm {
    scale: f32,
    zero_point: i8,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Activation")]
pub(super) enum ActivationForm {
    Identity,
    Relu,
    Relu6,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Conv2dShape")]
pub(super) struct Conv2dShapeForm {
    input: [usize; 3],
    filters: usize,
    filter: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: [usize; 4],
    pool: [usize; 2],
    groups: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DepthwiseConv2dShape")]
pub(super) struct DepthwiseConv2dShapeForm {
    input: [usize; 3],
    multiplier: usize,
    filter: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: [usize; 4],
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TransposedConv2dShape")]
pub(super) struct TransposedConv2dShapeForm {
    input: [usize; 3],
    filters: usize,
    filter: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
    output_padding: [usize; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Pool2dShape")]
pub(super) struct Pool2dShapeForm {
    input: [usize; 3],
    window: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 4],
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::FileError;

    /// Something of every type that files treat in a way of their own.
    fn graph() -> Graph {
        let int8 = Element::Int8(Quantization::new(0.1, -7));
        let value = |name: &str, shape, element| Value {
            name: name.to_owned(),
            shape,
            dimensions: vec![1],
            element,
            constant: None,
        };
        let node = |name: &str, operator, input, output| Node {
            name: name.to_owned(),
            place: "layer".to_owned(),
            operator,
            inputs: vec![ValueId(input)],
            output: ValueId(output),
        };
        Graph {
            name: "every type".to_owned(),
            source: "a test".to_owned(),
            rounding: Rounding::PowerOfTwo,
            values: vec![
                value("a", [4, 4, 2], int8),
                value("b", [2, 2, 2], Element::Int8(Quantization::new(1.0 / 3.0, 5))),
                value("c", [2, 2, 2], Element::Int8(Quantization::new(f32::MIN_POSITIVE, 0))),
                value("d", [3, 2, 2], Element::Int8(Quantization::new(f32::MIN_POSITIVE, 0))),
            ],
            nodes: vec![
                node(
                    "conv",
                    Operator::Conv2d {
                        shape: Conv2dShape::new([4, 4, 2], 2, [3, 3]),
                        weights: Weights::Int8 {
                            weights: (0..36).map(|i: i32| (7 * i - 126) as i8).collect(),
                            scales: Scales::PerChannel(vec![0.1, 1.0 / 3.0]),
                            bias: vec![i32::MIN / 4, 12_345],
                            wide_bias: false,
                        },
                        activation: Activation::Relu6,
                    },
                    0,
                    1,
                ),
                node(
                    "table",
                    Operator::Function(Function::Table {
                        of: "a function".to_owned(),
                        outputs: Box::new(std::array::from_fn(|i| (i as u8).cast_signed())),
                    }),
                    1,
                    2,
                ),
                node("pad", Operator::Pad { before: [1, 0, 0], after: [0; 3], value: Numbers::Int8(vec![-3]) }, 2, 3),
            ],
            inputs: vec![ValueId(0)],
            outputs: vec![ValueId(3)],
        }
    }

    #[test]
    fn nothing_is_lost() {
        let graph = graph();
        graph.check().unwrap();
        assert_eq!(Graph::from_file(&graph.to_file().unwrap()).unwrap(), graph);
        let floats = [f32::MIN_POSITIVE / 8.0, 0.1, -0.0, 1.0 + f32::EPSILON, f32::MAX];
        let mut float = Graph { nodes: Vec::new(), outputs: vec![ValueId(0)], ..graph };
        for scale in floats.iter().filter(|&&scale| scale > 0.0) {
            float.values =
                vec![Value { element: Element::Int8(Quantization::new(*scale, 0)), ..float.values[0].clone() }];
            assert_eq!(Graph::from_file(&float.to_file().unwrap()).unwrap(), float, "{scale}");
        }
        let numbers = Numbers::F32(floats.to_vec());
        let again: Numbers = serde_json::from_str(&serde_json::to_string(&numbers).unwrap()).unwrap();
        assert_eq!(again.to_bytes(), numbers.to_bytes());
    }

    #[test]
    fn damage_is_found() {
        let bytes = graph().to_file().unwrap();
        assert!(matches!(Graph::from_file(&bytes[..bytes.len() - 9]), Err(FileError::Form(_))));
        let text = String::from_utf8(bytes).unwrap();
        let other = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(Graph::from_file(other.as_bytes()), Err(FileError::Version { version: 2, .. })));
        let wrong = text.replace("\"filters\":2", "\"filters\":3");
        assert!(matches!(Graph::from_file(wrong.as_bytes()), Err(FileError::Graph(_))));
        assert!(Graph::from_file(b"{}").is_err());
    }
}
