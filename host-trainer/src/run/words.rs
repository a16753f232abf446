//! Memory that layers take.

use super::typed::by_rounding;
use crate::graph::{Element, Graph, Node, Operator, Weights};
use crate::plan::Words;
use bareconv::arch::Portable;
use bareconv::{Clamp, DoubleRounding, Int4, Int16x8, Int16x8Wide, dynamic};

/// Words of memory that layers take by the library's portable backend: near what most microcontrollers need. The graph has
/// been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortableWords;

/// How sums are rounded changes nothing here, so that one rounding serves for all.
macro_rules! words {
    ($element:expr, $module:ident, $words:ident, $shape:expr) => {
        match $element {
            Element::Int8(_) => dynamic::$module::$words::<Portable, DoubleRounding>($shape),
            Element::Int16(_) => dynamic::$module::$words::<Portable, Int16x8<DoubleRounding>>($shape),
            Element::F32 => dynamic::$module::$words::<Portable, Clamp>($shape),
        }
    };
}

/// How rows that layers keep are counted: in 16 bits, which the cores with `SMLAD` widen them to. Counted in eight, chains
/// would be chosen that take more there than they spare.
fn widened(element: Element) -> Element {
    if matches!(element, Element::Int8(_)) { Element::Int16(1.0) } else { element }
}

impl PortableWords {
    /// Words of flash of a node's weights, biases and requantization parameters, packed; `None` for a node that has none.
    #[must_use]
    pub fn packed(&self, graph: &Graph, node: &Node) -> Option<usize> {
        macro_rules! packed {
            ($module:ident, $shape:expr, $weights:expr) => {{
                let wide = matches!($weights, Weights::Int8 { wide_bias: true, .. });
                match graph.value(node.inputs[0]).element {
                    Element::Int8(_) => by_rounding!(graph.rounding, wide, R => {
                        dynamic::$module::packed_words::<Portable, R>($shape)
                    }),
                    Element::Int16(_) => by_rounding!(graph.rounding, wide, R => {
                        dynamic::$module::packed_words::<Portable, Int16x8<R>>($shape)
                    }),
                    Element::F32 => dynamic::$module::packed_words::<Portable, Clamp>($shape),
                }
            }};
        }
        Some(match &node.operator {
            Operator::Conv2d { shape, weights: Weights::Int4 { .. }, .. }
            | Operator::Dense { shape, weights: Weights::Int4 { .. }, .. } => {
                by_rounding!(graph.rounding, false, R => {
                    dynamic::conv2d::packed_words::<Portable, Int4<R>>(shape)
                })
            }
            Operator::Conv2d { shape, weights, .. } | Operator::Dense { shape, weights, .. } => {
                packed!(conv2d, shape, weights)
            }
            Operator::Depthwise { shape, weights, .. } => packed!(depthwise, shape, weights),
            Operator::Transposed { shape, weights, .. } => packed!(transposed, shape, weights),
            Operator::LocallyConnected { shape, weights, .. } => packed!(locally_connected, shape, weights),
            _ => return None,
        })
    }
}

impl Words for PortableWords {
    fn scratch(&self, graph: &Graph, node: &Node) -> usize {
        let element = graph.value(node.inputs[0]).element;
        match &node.operator {
            Operator::Conv2d { shape, weights, .. } | Operator::Dense { shape, weights, .. }
                if matches!(element, Element::Int16(_)) && weights.need_wide_sums() =>
            {
                dynamic::conv2d::scratch_words::<Portable, Int16x8Wide>(shape)
            }
            Operator::Conv2d { shape, weights: Weights::Int4 { .. }, .. }
            | Operator::Dense { shape, weights: Weights::Int4 { .. }, .. } => {
                dynamic::conv2d::scratch_words::<Portable, Int4<DoubleRounding>>(shape)
            }
            Operator::Conv2d { shape, .. } | Operator::Dense { shape, .. } => {
                words!(element, conv2d, scratch_words, shape)
            }
            Operator::Depthwise { shape, .. } => words!(element, depthwise, scratch_words, shape),
            Operator::Transposed { shape, .. } => words!(element, transposed, scratch_words, shape),
            Operator::LocallyConnected { shape, .. } => words!(element, locally_connected, scratch_words, shape),
            _ => 0,
        }
    }

    fn stream(&self, graph: &Graph, node: &Node) -> usize {
        let (element, output) = (graph.value(node.inputs[0]).element, graph.value(node.output));
        let row = (output.shape[1] * output.shape[2] * output.element.size()).div_ceil(4);
        match &node.operator {
            Operator::Conv2d { shape, weights, .. } | Operator::Dense { shape, weights, .. }
                if matches!(element, Element::Int16(_)) && weights.need_wide_sums() =>
            {
                row + dynamic::conv2d::scratch_words_by_rows::<Portable, Int16x8Wide>(shape)
            }
            Operator::Conv2d { shape, weights: Weights::Int4 { .. }, .. }
            | Operator::Dense { shape, weights: Weights::Int4 { .. }, .. } => {
                row + dynamic::conv2d::scratch_words_by_rows::<Portable, Int4<DoubleRounding>>(shape)
            }
            Operator::Conv2d { shape, .. } | Operator::Dense { shape, .. } => {
                row + words!(widened(element), conv2d, scratch_words_by_rows, shape)
            }
            Operator::Depthwise { shape, .. } => {
                row + words!(widened(element), depthwise, scratch_words_by_rows, shape)
            }
            Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => match element {
                Element::Int8(_) => shape.stream_words::<i8>(),
                Element::Int16(_) => shape.stream_words::<i16>(),
                Element::F32 => shape.stream_words::<f32>(),
            },
            _ => 0,
        }
    }
}
