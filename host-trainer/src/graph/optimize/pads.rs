//! Padding becomes that of what reads it.

use super::{Links, remove};
use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Shape, Value};
use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, Pool2dShape};

/// A border around the pixels, without channels.
#[derive(Clone, Copy)]
struct Border {
    /// The padding's input.
    input: Shape,
    /// Rows and columns at the top, left, bottom and right.
    sizes: [usize; 4],
    /// Whether it holds the real number 0: in integers the zero point, and in `f32` a zero without sign.
    zero: bool,
    /// Whether it never wins a maximum.
    low: bool,
}

/// Every reader of a padded value takes the padding over, or it stays.
///
/// * Convolutions pad with the real number 0, in `f32` too: they multiply it and add the product, as they would what a
///   padding had written.
/// * Average pooling that counts its padding adds zeros as well.
/// * Maximum pooling leaves its padding out, and sees a value of the input in every window: the same where the border holds
///   nothing greater than any value that the input can have. In `f32` the order of zeros and NaN matters, and no border is
///   taken for low.
pub(super) fn fold(graph: &mut Graph) -> usize {
    let mut links = Links::of(graph);
    let lowest = lowest(graph);
    let mut marked = vec![false; graph.nodes.len()];
    // From the end, so that a padding's reader that is padded itself has been changed before.
    for number in (0..graph.nodes.len()).rev() {
        let Node { operator: Operator::Pad { before, after, value }, inputs, output, .. } = &graph.nodes[number] else {
            continue;
        };
        let (input, output) = (inputs[0], *output);
        if before[2] != 0 || after[2] != 0 || links.outputs[output.0] {
            continue;
        }
        let border = Border {
            input: graph.value(input).shape,
            sizes: [before[0], before[1], after[0], after[1]],
            zero: is_zero(value, graph.value(input).element),
            low: integer(value).is_some_and(|value| lowest[input.0].is_some_and(|lowest| value <= lowest)),
        };
        let readers: Vec<usize> = links.readers[output.0].iter().copied().filter(|&reader| !marked[reader]).collect();
        let padded: Option<Vec<Padded>> =
            readers.iter().map(|&reader| Padded::new(graph, &graph.nodes[reader], border)).collect();
        let Some(padded) = padded.filter(|padded| !padded.is_empty()) else { continue };
        for (&reader, padded) in readers.iter().zip(padded) {
            padded.apply(&mut graph.nodes[reader].operator);
            graph.nodes[reader].inputs[0] = input;
        }
        links.readers[input.0].extend(readers);
        marked[number] = true;
    }
    remove(graph, &marked)
}

/// The geometry of what reads a padded value, with the padding in it.
enum Padded {
    Conv2d(Conv2dShape),
    Depthwise(DepthwiseConv2dShape),
    MaxPool(Pool2dShape),
    AveragePool(Pool2dShape),
}

impl Padded {
    /// `None` where it would not be the same.
    fn new(graph: &Graph, node: &Node, border: Border) -> Option<Self> {
        let Border { input, sizes, zero, low } = border;
        let larger = |padding: [usize; 4]| [0, 1, 2, 3].map(|side| padding[side].saturating_add(sizes[side]));
        let to = graph.value(node.output).shape;
        match node.operator {
            Operator::Conv2d { shape, .. } if zero => {
                let shape = Conv2dShape { input, padding: larger(shape.padding), ..shape };
                (shape.check().is_ok() && shape.output() == to).then_some(Self::Conv2d(shape))
            }
            Operator::Depthwise { shape, .. } if zero => {
                let shape = DepthwiseConv2dShape { input, padding: larger(shape.padding), ..shape };
                (shape.check().is_ok() && shape.output() == to).then_some(Self::Depthwise(shape))
            }
            Operator::MaxPool { shape, .. } if low => {
                let shape = Pool2dShape { input, padding: larger(shape.padding), ..shape };
                (shape.check().is_ok() && shape.output() == to).then_some(Self::MaxPool(shape))
            }
            // A padding of its own that does not count cannot become one with what counts.
            Operator::AveragePool { shape, including_padding, .. }
                if zero && (including_padding || shape.padding == [0; 4]) =>
            {
                let shape = Pool2dShape { input, padding: larger(shape.padding), ..shape };
                (shape.check().is_ok() && shape.output() == to).then_some(Self::AveragePool(shape))
            }
            _ => None,
        }
    }

    fn apply(self, operator: &mut Operator) {
        match (self, operator) {
            (Self::Conv2d(padded), Operator::Conv2d { shape, .. }) => *shape = padded,
            (Self::Depthwise(padded), Operator::Depthwise { shape, .. }) => *shape = padded,
            (Self::MaxPool(padded), Operator::MaxPool { shape, .. }) => *shape = padded,
            (Self::AveragePool(padded), Operator::AveragePool { shape, including_padding, .. }) => {
                (*shape, *including_padding) = (padded, true);
            }
            _ => unreachable!("it was made for this operator"),
        }
    }
}

/// Whether a padding's value is the real number 0.
fn is_zero(value: &Numbers, element: Element) -> bool {
    match (value, element) {
        (Numbers::Int8(value), Element::Int8(quantization)) => value[..] == [quantization.zero_point],
        (Numbers::Int16(value), _) => value[..] == [0],
        (Numbers::F32(value), _) => value.iter().all(|value| value.to_bits() == 0),
        _ => false,
    }
}

fn integer(value: &Numbers) -> Option<i32> {
    match value {
        Numbers::Int8(values) => values.first().map(|&value| value.into()),
        Numbers::Int16(values) => values.first().map(|&value| value.into()),
        Numbers::F32(_) => None,
    }
}

/// For integers, what no value of each tensor is below.
fn lowest(graph: &Graph) -> Vec<Option<i32>> {
    let least = |value: &Value| match value.element {
        Element::Int8(_) => Some(i8::MIN.into()),
        Element::Int16(_) => Some(i16::MIN.into()),
        Element::F32 => None,
    };
    let mut all: Vec<Option<i32>> = graph.values.iter().map(least).collect();
    for node in &graph.nodes {
        let zero = graph.value(node.output).element.quantization().map(|quantization| quantization.zero_point.into());
        let here = match &node.operator {
            Operator::Conv2d { activation, .. }
            | Operator::Dense { activation, .. }
            | Operator::Depthwise { activation, .. }
            | Operator::Transposed { activation, .. }
            | Operator::LocallyConnected { activation, .. }
            | Operator::Add(activation)
            | Operator::Subtract(activation)
            | Operator::Multiply(activation)
                if *activation != Activation::Identity =>
            {
                zero
            }
            Operator::Function(Function::Relu | Function::Relu6) => zero,
            // Each output is one of the inputs, or between them.
            Operator::MaxPool { .. }
            | Operator::AveragePool { including_padding: false, .. }
            | Operator::Reshape
            | Operator::Slice { .. }
            | Operator::ResizeNearest { .. } => all[node.inputs[0].0],
            _ => continue,
        };
        all[node.output.0] = here;
    }
    all
}
