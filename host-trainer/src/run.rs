//! Runs a [`Graph`] on the PC.
//!
//! Convolutions of every kind run on a backend of the library through [`bareconv::dynamic`], the other operators by the
//! library's [`reference`](bareconv::reference), whose bits all layers have: the outputs are those of the generated module,
//! on every core. For networks of TensorFlow Lite they are TensorFlow Lite Micro's.
//!
//! ```
//! use bareconv::Activation;
//! use host_trainer::graph::{Element, Graph, Node, Numbers, Operator, Rounding, Value, ValueId};
//! use host_trainer::run::Interpreter;
//!
//! let value = |name: &str| Value {
//!     name: name.to_owned(),
//!     shape: [1, 1, 2],
//!     dimensions: vec![1, 2],
//!     element: Element::F32,
//!     constant: None,
//! };
//! let graph = Graph {
//!     name: "sums".to_owned(),
//!     source: "an example".to_owned(),
//!     rounding: Rounding::Single,
//!     values: vec![value("a"), value("b"), value("sum")],
//!     nodes: vec![Node {
//!         name: "sum".to_owned(),
//!         place: "operator 0".to_owned(),
//!         operator: Operator::Add(Activation::Relu),
//!         inputs: vec![ValueId(0), ValueId(1)],
//!         output: ValueId(2),
//!     }],
//!     inputs: vec![ValueId(0), ValueId(1)],
//!     outputs: vec![ValueId(2)],
//! };
//! let interpreter = Interpreter::new(&graph)?;
//! let inputs = [Numbers::F32(vec![1.0, 2.0]), Numbers::F32(vec![0.5, -7.0])];
//! assert_eq!(interpreter.run(&inputs)?, [Numbers::F32(vec![1.5, 0.0])]);
//! # Ok::<(), host_trainer::graph::GraphError>(())
//! ```

use crate::graph::{
    Element, Function, Graph, GraphError, Node, Numbers, Operator, Rounding, Scales, Shape, Value, ValueId, Weights,
};
use crate::plan::Words;
use bareconv::Quantization;
use bareconv::arch::{self, Portable, Visitor};
use bareconv::kernels::Backend;
use bareconv::kernels::depthwise::DepthwiseEpilogue;
use bareconv::reference::{self, MeanParameters, ProductParameters, RequantizeParameters, SumParameters};
use bareconv::{
    Activation, Clamp, Conv2dShape, DepthwiseConv2dShape, DoubleRounding, F32Filters, HardSigmoidF32, Int4,
    Int4Filters, Int8Filters, Int8Table, Int16Filters, Int16x8, Int16x8Wide, LocalResponse, PowerOfTwo,
    ReducedRounding, Region, ShapeError, SingleRounding, TransposedConv2dShape, dynamic,
};

/// A graph that is ready to run: checked, its filters packed.
pub struct Interpreter<'g> {
    graph: &'g Graph,
    backend: &'static str,
    steps: Vec<Step<'g>>,
}

/// What a node does; its inputs are as the graph says.
type Step<'g> = Box<dyn Fn(&[&Numbers]) -> Result<Numbers, ShapeError> + Send + Sync + 'g>;

impl<'g> Interpreter<'g> {
    /// Prepares a graph for the best backend of this machine.
    ///
    /// # Errors
    /// Where the graph breaks a rule of [`Graph::check`], or of the library: a convolution's numbers that cannot be
    /// packed, for one.
    pub fn new(graph: &'g Graph) -> Result<Self, GraphError> {
        Self::on(graph, arch::native())
    }

    /// Prepares a graph for the backend of this name, which this machine has.
    ///
    /// # Errors
    /// As [`new`](Self::new), or where there is no such backend.
    pub fn on(graph: &'g Graph, backend: &str) -> Result<Self, GraphError> {
        graph.check()?;
        let mut prepare = Prepare { graph, wanted: backend, result: None };
        arch::visit_all(&mut prepare);
        prepare.result.unwrap_or_else(|| {
            let place = format!("backend `{backend}`");
            Err(GraphError { place, rule: "this machine does not have it".to_owned() })
        })
    }

    /// The name of the backend.
    #[must_use]
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// The network's outputs for these inputs.
    ///
    /// # Errors
    /// Where the inputs are not of the network's types and shapes.
    pub fn run(&self, inputs: &[Numbers]) -> Result<Vec<Numbers>, GraphError> {
        let values = self.run_all(inputs)?;
        Ok(self.graph.outputs.iter().filter_map(|output| values[output.0].clone()).collect())
    }

    /// The network's outputs for inputs as bytes, one input after the other, little-endian; as bytes.
    ///
    /// # Errors
    /// Where there are not as many bytes as the inputs have.
    pub fn run_bytes(&self, inputs: &[u8]) -> Result<Vec<u8>, GraphError> {
        let (mut rest, mut numbers) = (inputs, Vec::new());
        for &input in &self.graph.inputs {
            let value = self.graph.value(input);
            let bytes;
            (bytes, rest) = rest.split_at_checked(value.bytes()).ok_or_else(|| wrong_input(value))?;
            numbers.push(Numbers::from_bytes(value.element, bytes));
        }
        if !rest.is_empty() {
            let place = format!("network `{}`", self.graph.name);
            return Err(GraphError { place, rule: "there are more input bytes than it has inputs for".to_owned() });
        }
        Ok(self.run(&numbers)?.iter().flat_map(Numbers::to_bytes).collect())
    }

    /// All values for these inputs, in the order of [`Graph::values`]; `None` where nothing computes one.
    ///
    /// # Errors
    /// Where the inputs are not of the network's types and shapes.
    pub fn run_all(&self, inputs: &[Numbers]) -> Result<Vec<Option<Numbers>>, GraphError> {
        let mut values: Vec<Option<Numbers>> = self.graph.values.iter().map(|value| value.constant.clone()).collect();
        if inputs.len() != self.graph.inputs.len() {
            let place = format!("network `{}`", self.graph.name);
            return Err(GraphError { place, rule: format!("it has {} inputs", self.graph.inputs.len()) });
        }
        for (&ValueId(id), numbers) in self.graph.inputs.iter().zip(inputs) {
            let value = &self.graph.values[id];
            if Numbers::from_bytes(value.element, &[]).kind() != numbers.kind() || value.len() != numbers.len() {
                return Err(wrong_input(value));
            }
            values[id] = Some(numbers.clone());
        }
        for (node, step) in self.graph.nodes.iter().zip(&self.steps) {
            let inputs: Vec<&Numbers> = node.inputs.iter().filter_map(|input| values[input.0].as_ref()).collect();
            let output = step(&inputs).map_err(|rule| broken(node, rule))?;
            values[node.output.0] = Some(output);
        }
        Ok(values)
    }
}

fn wrong_input(value: &Value) -> GraphError {
    let rule = format!("this input is {} values of type {}", value.len(), value.element.rust());
    GraphError { place: format!("input `{}`", value.name), rule }
}

fn broken(node: &Node, rule: ShapeError) -> GraphError {
    GraphError { place: format!("{} `{}`", node.place, node.name), rule: rule.to_string() }
}

impl Numbers {
    fn kind(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

struct Prepare<'g, 'a> {
    graph: &'g Graph,
    wanted: &'a str,
    result: Option<Result<Interpreter<'g>, GraphError>>,
}

impl Visitor for Prepare<'_, '_> {
    fn visit<B: Backend>(&mut self) {
        if B::NAME == self.wanted {
            let graph = self.graph;
            let step = |node| step::<B>(graph, node).map_err(|rule| broken(node, rule));
            let steps = graph.nodes.iter().map(step).collect::<Result<_, _>>();
            self.result = Some(steps.map(|steps| Interpreter { graph, backend: B::NAME, steps }));
        }
    }
}

/// Numbers of a type that activations have.
trait Number: bytemuck::Pod + PartialOrd {
    fn of(numbers: &Numbers) -> Option<&[Self]>;
    fn pack(values: Vec<Self>) -> Numbers;
}

macro_rules! number {
    ($type:ty, $variant:ident) => {
        impl Number for $type {
            fn of(numbers: &Numbers) -> Option<&[Self]> {
                if let Numbers::$variant(values) = numbers { Some(values) } else { None }
            }
            fn pack(values: Vec<Self>) -> Numbers {
                Numbers::$variant(values)
            }
        }
    };
}
number!(i8, Int8);
number!(i16, Int16);
number!(f32, F32);

/// A step with one input and one output of so many values.
fn unary<'g, I: Number, O: Number>(len: usize, f: impl Fn(&[I], &mut [O]) + Send + Sync + 'g) -> Step<'g> {
    fallible(len, move |input, output| {
        f(input, output);
        Ok(())
    })
}

fn fallible<'g, I: Number, O: Number>(
    len: usize,
    f: impl Fn(&[I], &mut [O]) -> Result<(), ShapeError> + Send + Sync + 'g,
) -> Step<'g> {
    Box::new(move |inputs| {
        let input = inputs.first().and_then(|numbers| I::of(numbers)).ok_or(ShapeError::Input)?;
        let mut output = vec![O::zeroed(); len];
        f(input, &mut output)?;
        Ok(O::pack(output))
    })
}

/// A step of values that are of the same type on both sides.
macro_rules! by_type {
    ($element:expr, $T:ident => $step:expr) => {
        match $element {
            Element::Int8(_) => {
                type $T = i8;
                $step
            }
            Element::Int16(_) => {
                type $T = i16;
                $step
            }
            Element::F32 => {
                type $T = f32;
                $step
            }
        }
    };
}

/// A step whose rounding is that of a convolution.
macro_rules! by_rounding {
    ($rounding:expr, $wide:expr, $R:ident => $step:expr) => {
        match ($rounding, $wide) {
            (Rounding::TensorFlowLiteMicro, false) => {
                type $R = DoubleRounding;
                $step
            }
            (Rounding::TensorFlowLiteMicro, true) => {
                type $R = ReducedRounding;
                $step
            }
            (Rounding::Single, _) => {
                type $R = SingleRounding;
                $step
            }
            (Rounding::PowerOfTwo, _) => {
                type $R = PowerOfTwo;
                $step
            }
        }
    };
}

/// A step whose rounding is that of a product; elementwise operators have no power of two.
macro_rules! by_product {
    ($rounding:expr, $R:ident => $step:expr) => {
        match $rounding {
            Rounding::TensorFlowLiteMicro => {
                type $R = DoubleRounding;
                $step
            }
            Rounding::Single | Rounding::PowerOfTwo => {
                type $R = SingleRounding;
                $step
            }
        }
    };
}

/// The step of a node of a graph that has been checked.
fn step<'g, B: Backend>(graph: &'g Graph, node: &'g Node) -> Result<Step<'g>, ShapeError> {
    let (input, output) = (graph.value(node.inputs[0]), graph.value(node.output));
    let (rounding, len) = (graph.rounding, output.len());
    Ok(match &node.operator {
        Operator::Conv2d { shape, weights, activation } | Operator::Dense { shape, weights, activation } => {
            let job = Job { input, output, weights, activation: *activation, rounding };
            conv2d::<B>(*shape, &job)?
        }
        Operator::Depthwise { shape, weights, activation } => {
            let job = Job { input, output, weights, activation: *activation, rounding };
            depthwise::<B>(*shape, &job)?
        }
        Operator::Transposed { shape, weights, activation } => {
            let job = Job { input, output, weights, activation: *activation, rounding };
            transposed::<B>(*shape, &job)?
        }
        Operator::LocallyConnected { shape, weights, activation } => {
            let job = Job { input, output, weights, activation: *activation, rounding };
            locally_connected::<B>(*shape, &job)?
        }
        Operator::MaxPool { shape, activation } => {
            let activate = clamp(output.element, *activation);
            by_type!(output.element, T => unary::<T, T>(len, move |input, output| {
                reference::max_pool2d(shape, input, output);
                activate(T::as_dyn(output));
            }))
        }
        Operator::AveragePool { shape, including_padding, activation } => {
            let activate = clamp(output.element, *activation);
            match output.element {
                Element::Int8(quantization) => unary(len, move |input, output: &mut [i8]| {
                    let padding = including_padding.then_some(quantization.zero_point);
                    reference::average_pool2d(shape, padding, input, output);
                    activate(Values::Int8(output));
                }),
                Element::Int16(_) => unary(len, move |input, output: &mut [i16]| {
                    reference::average_pool2d(shape, including_padding.then_some(0), input, output);
                    activate(Values::Int16(output));
                }),
                Element::F32 => unary(len, move |input, output| {
                    reference::average_pool2d_f32(shape, *including_padding, input, output);
                    activate(Values::F32(output));
                }),
            }
        }
        Operator::Mean => mean(input, output),
        Operator::Function(function) => self::function(function, input, output),
        Operator::Add(activation) => sum(graph, node, false, *activation)?,
        Operator::Subtract(activation) => sum(graph, node, true, *activation)?,
        Operator::Multiply(activation) => product(graph, node, *activation)?,
        Operator::Concatenate { axis } => concatenate(graph, node, *axis)?,
        Operator::Pad { before, value, .. } => {
            let region = Region::new(input.shape, *before, output.shape)?;
            by_type!(output.element, T => {
                let value = T::of(value).and_then(|values| values.first()).copied().ok_or(ShapeError::Input)?;
                unary::<T, T>(len, move |input, output| reference::pad(&region, value, input, output))
            })
        }
        Operator::Reshape => Box::new(|inputs| inputs.first().map(|&numbers| numbers.clone()).ok_or(ShapeError::Input)),
        Operator::Slice { begin, stride } => {
            let (from, to) = (input.shape, output.shape);
            by_type!(output.element, T => unary::<T, T>(len, move |input, output| {
                let place = |axis: usize, index: usize| {
                    begin[axis].wrapping_add_signed(stride[axis].wrapping_mul(index as isize))
                };
                gather(from, to, input, output, |[y, x, c]| [place(0, y), place(1, x), place(2, c)]);
            }))
        }
        Operator::ResizeNearest { align_corners, half_pixel_centers } => {
            let (from, to) = (input.shape, output.shape);
            let nearest = move |axis, at| nearest(at, from[axis], to[axis], *align_corners, *half_pixel_centers);
            by_type!(output.element, T => unary::<T, T>(len, move |input, output| {
                gather(from, to, input, output, |[y, x, c]| [nearest(0, y), nearest(1, x), c]);
            }))
        }
        Operator::Quantize => match output.element {
            Element::Int8(to) => unary(len, move |input, output| reference::quantize_i8(to, input, output)),
            Element::Int16(to) => unary(len, move |input, output| reference::quantize_i16(to, input, output)),
            Element::F32 => return Err(ShapeError::Output),
        },
        Operator::Dequantize => match input.element {
            Element::Int8(from) => unary(len, move |input, output| reference::dequantize_i8(from, input, output)),
            Element::Int16(from) => unary(len, move |input, output| reference::dequantize_i16(from, input, output)),
            Element::F32 => return Err(ShapeError::Input),
        },
        Operator::Requantize => by_product!(rounding, R => {
            type Parameters<I, O> = RequantizeParameters<I, O, R>;
            match (input.element, output.element) {
                (Element::Int8(from), Element::Int8(to)) => {
                    let parameters = Parameters::<i8, i8>::int8(from, to)?;
                    unary(len, move |input, output| reference::requantize(&parameters, input, output))
                }
                (Element::Int8(from), Element::Int16(to)) => {
                    let parameters = Parameters::<i8, i16>::int8_to_int16(from, to)?;
                    unary(len, move |input, output| reference::requantize(&parameters, input, output))
                }
                (Element::Int16(from), Element::Int8(to)) => {
                    let parameters = Parameters::<i16, i8>::int16_to_int8(from, to)?;
                    unary(len, move |input, output| reference::requantize(&parameters, input, output))
                }
                (Element::Int16(from), Element::Int16(to)) => {
                    let parameters = Parameters::<i16, i16>::int16(from, to)?;
                    unary(len, move |input, output| reference::requantize(&parameters, input, output))
                }
                _ => return Err(ShapeError::Input),
            }
        }),
    })
}

/// Values to be changed.
enum Values<'a> {
    Int8(&'a mut [i8]),
    Int16(&'a mut [i16]),
    F32(&'a mut [f32]),
}

trait AsDyn: Sized {
    fn as_dyn(values: &mut [Self]) -> Values<'_>;
}

impl AsDyn for i8 {
    fn as_dyn(values: &mut [Self]) -> Values<'_> {
        Values::Int8(values)
    }
}

impl AsDyn for i16 {
    fn as_dyn(values: &mut [Self]) -> Values<'_> {
        Values::Int16(values)
    }
}

impl AsDyn for f32 {
    fn as_dyn(values: &mut [Self]) -> Values<'_> {
        Values::F32(values)
    }
}

/// The clamp of an activation behind an operator that has none of its own: ReLU or ReLU6 of the operator's output.
fn clamp(element: Element, activation: Activation) -> impl Fn(Values<'_>) + Send + Sync {
    fn apply<T: Copy>(values: &mut [T], f: impl Fn(&[T], &mut [T])) {
        let input = values.to_vec();
        f(&input, values);
    }
    move |values| match (activation, values, element) {
        (Activation::Identity, ..) => (),
        (Activation::Relu, Values::Int8(values), Element::Int8(q)) => {
            apply(values, |input, output| reference::relu_i8(q.zero_point, input, output));
        }
        (Activation::Relu6, Values::Int8(values), Element::Int8(q)) => {
            apply(values, |input, output| reference::relu6(q.zero_point, reference::six_i8(q), input, output));
        }
        (Activation::Relu, Values::Int16(values), _) => values.iter_mut().for_each(|value| *value = (*value).max(0)),
        (Activation::Relu6, Values::Int16(values), Element::Int16(scale)) => {
            apply(values, |input, output| reference::relu6(0, reference::six_i16(scale), input, output));
        }
        (Activation::Relu, Values::F32(values), _) => apply(values, reference::relu_f32),
        (Activation::Relu6, Values::F32(values), _) => {
            apply(values, |input, output| reference::relu6(0.0, 6.0, input, output));
        }
        _ => unreachable!("values are of the output's type"),
    }
}

/// What convolutions of every kind have in common.
#[derive(Clone, Copy)]
struct Job<'g> {
    input: &'g Value,
    output: &'g Value,
    weights: &'g Weights,
    activation: Activation,
    rounding: Rounding,
}

/// The numbers of integer weights: those of the input's and the output's quantization.
struct Integers<'g> {
    filters: &'g [i8],
    bias: &'g [i32],
    scales: Vec<f32>,
    input: Quantization,
    output: Quantization,
    activation: Activation,
}

impl Integers<'_> {
    fn int8(&self) -> Int8Filters<'_> {
        let &Self { filters, bias, ref scales, input, output, activation } = self;
        Int8Filters { filters, bias, scales, input, output, activation }
    }

    fn int16(&self) -> Int16Filters<'_> {
        let &Self { filters, bias, ref scales, input, output, activation } = self;
        Int16Filters { filters, bias, scales, input: input.scale, output: output.scale, activation }
    }
}

impl<'g> Job<'g> {
    fn integers(&self) -> Result<(Integers<'g>, bool), ShapeError> {
        let Weights::Int8 { weights, scales, bias, wide_bias } = self.weights else { return Err(ShapeError::Filters) };
        let input = self.input.element.quantization().ok_or(ShapeError::Input)?;
        let output = self.output.element.quantization().ok_or(ShapeError::Output)?;
        let scales = match scales {
            Scales::PerChannel(scales) => scales.clone(),
            Scales::PerTensor(scale) => vec![*scale; bias.len()],
        };
        let integers = Integers { filters: weights, bias, scales, input, output, activation: self.activation };
        Ok((integers, *wide_bias))
    }

    /// Weights as the library stores them, two to a byte; the rest is as in int8.
    fn int4(&self) -> Result<(Vec<u8>, Integers<'g>), ShapeError> {
        let Weights::Int4 { weights, scales, bias } = self.weights else { return Err(ShapeError::Filters) };
        let input = self.input.element.quantization().ok_or(ShapeError::Input)?;
        let output = self.output.element.quantization().ok_or(ShapeError::Output)?;
        let nibble = |value: Option<&i8>| value.map_or(0, |value| value.cast_unsigned() & 15);
        let nibbles = weights.chunks(2).map(|pair| nibble(pair.first()) | nibble(pair.get(1)) << 4).collect();
        let (scales, activation) = (scales.clone(), self.activation);
        Ok((nibbles, Integers { filters: weights, bias, scales, input, output, activation }))
    }

    fn floats(&self) -> Result<F32Filters<'g>, ShapeError> {
        let Weights::F32 { weights, bias } = self.weights else { return Err(ShapeError::Filters) };
        Ok(F32Filters { filters: weights, bias, activation: self.activation })
    }
}

fn conv2d<'g, B: Backend>(shape: Conv2dShape, job: &Job<'g>) -> Result<Step<'g>, ShapeError> {
    fn run<'g, B: Backend, E: bareconv::kernels::Epilogue<Input: Number, Output: Number>>(
        shape: Conv2dShape,
        fill: E::Input,
        pack: impl FnOnce(&mut [u32]) -> Result<E::Common, ShapeError>,
    ) -> Result<Step<'g>, ShapeError>
    where
        E::Input: Send + Sync,
        E::Common: Send + Sync,
    {
        let mut packed = vec![0; dynamic::conv2d::packed_words::<B, E>(&shape)];
        let common = pack(&mut packed)?;
        let words = dynamic::conv2d::scratch_words::<B, E>(&shape);
        let len = shape.output().iter().product();
        Ok(fallible(len, move |input, output| {
            dynamic::conv2d::run::<B, E>(&shape, &packed, fill, &common, input, output, &mut vec![0; words])
        }))
    }
    match job.input.element {
        Element::Int8(Quantization { zero_point, .. }) if matches!(job.weights, Weights::Int4 { .. }) => {
            let (nibbles, Integers { bias, scales, input, output, activation, .. }) = job.int4()?;
            let numbers = Int4Filters { filters: &nibbles, bias, scales: &scales, input, output, activation };
            by_rounding!(job.rounding, false, R => run::<B, Int4<R>>(shape, zero_point, |packed| {
                dynamic::conv2d::pack_int4::<B, R>(&shape, &numbers, packed)
            }))
        }
        Element::Int8(Quantization { zero_point, .. }) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, R>(shape, zero_point, |packed| {
                dynamic::conv2d::pack_int8::<B, R>(&shape, &integers.int8(), packed)
            }))
        }
        Element::Int16(_) => {
            let (integers, wide) = job.integers()?;
            if job.rounding == Rounding::TensorFlowLiteMicro && job.weights.need_wide_sums() {
                return run::<B, Int16x8Wide>(shape, 0, |packed| {
                    dynamic::conv2d::pack_int16_wide::<B>(&shape, &integers.int16(), packed)
                });
            }
            by_rounding!(job.rounding, wide, R => run::<B, Int16x8<R>>(shape, 0, |packed| {
                dynamic::conv2d::pack_int16::<B, R>(&shape, &integers.int16(), packed)
            }))
        }
        Element::F32 => {
            let numbers = job.floats()?;
            run::<B, Clamp>(shape, 0.0, |packed| {
                dynamic::conv2d::pack_float::<B>(&shape, &numbers, packed).map(|()| numbers.activation.bounds())
            })
        }
    }
}

fn depthwise<'g, B: Backend>(shape: DepthwiseConv2dShape, job: &Job<'g>) -> Result<Step<'g>, ShapeError> {
    fn run<'g, B: Backend, E: DepthwiseEpilogue<Input: Number, Output: Number>>(
        shape: DepthwiseConv2dShape,
        fill: E::Input,
        pack: impl FnOnce(&mut [u32]) -> Result<E::Common, ShapeError>,
    ) -> Result<Step<'g>, ShapeError>
    where
        E::Input: Send + Sync,
        E::Common: Send + Sync,
    {
        let mut packed = vec![0; dynamic::depthwise::packed_words::<B, E>(&shape)];
        let common = pack(&mut packed)?;
        let words = dynamic::depthwise::scratch_words::<B, E>(&shape);
        let len = shape.output().iter().product();
        Ok(fallible(len, move |input, output| {
            dynamic::depthwise::run::<B, E>(&shape, &packed, fill, &common, input, output, &mut vec![0; words])
        }))
    }
    match job.input.element {
        Element::Int8(Quantization { zero_point, .. }) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, R>(shape, zero_point, |packed| {
                dynamic::depthwise::pack_int8::<B, R>(&shape, &integers.int8(), packed)
            }))
        }
        Element::Int16(_) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, Int16x8<R>>(shape, 0, |packed| {
                dynamic::depthwise::pack_int16::<B, R>(&shape, &integers.int16(), packed)
            }))
        }
        Element::F32 => {
            let numbers = job.floats()?;
            run::<B, Clamp>(shape, 0.0, |packed| {
                dynamic::depthwise::pack_float::<B>(&shape, &numbers, packed).map(|()| numbers.activation.bounds())
            })
        }
    }
}

fn transposed<'g, B: Backend>(shape: TransposedConv2dShape, job: &Job<'g>) -> Result<Step<'g>, ShapeError> {
    fn run<'g, B: Backend, E: bareconv::kernels::Epilogue<Input: Number, Output: Number>>(
        shape: TransposedConv2dShape,
        fill: E::Input,
        pack: impl FnOnce(&mut [u32], &mut [u32]) -> Result<E::Common, ShapeError>,
    ) -> Result<Step<'g>, ShapeError>
    where
        E::Input: Send + Sync,
        E::Common: Send + Sync,
    {
        let mut packed = vec![0; dynamic::transposed::packed_words::<B, E>(&shape)];
        let words = dynamic::transposed::scratch_words::<B, E>(&shape);
        let common = pack(&mut packed, &mut vec![0; words])?;
        let len = shape.output().iter().product();
        Ok(fallible(len, move |input, output| {
            dynamic::transposed::run::<B, E>(&shape, &packed, fill, &common, input, output, &mut vec![0; words])
        }))
    }
    match job.input.element {
        Element::Int8(Quantization { zero_point, .. }) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, R>(shape, zero_point, |packed, scratch| {
                dynamic::transposed::pack_int8::<B, R>(&shape, &integers.int8(), packed, scratch)
            }))
        }
        Element::Int16(_) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, Int16x8<R>>(shape, 0, |packed, scratch| {
                dynamic::transposed::pack_int16::<B, R>(&shape, &integers.int16(), packed, scratch)
            }))
        }
        Element::F32 => {
            let numbers = job.floats()?;
            run::<B, Clamp>(shape, 0.0, |packed, scratch| {
                dynamic::transposed::pack_float::<B>(&shape, &numbers, packed, scratch)
                    .map(|()| numbers.activation.bounds())
            })
        }
    }
}

fn locally_connected<'g, B: Backend>(shape: Conv2dShape, job: &Job<'g>) -> Result<Step<'g>, ShapeError> {
    fn run<'g, B: Backend, E: bareconv::kernels::Epilogue<Input: Number, Output: Number>>(
        shape: Conv2dShape,
        fill: E::Input,
        pack: impl FnOnce(&mut [u32]) -> Result<E::Common, ShapeError>,
    ) -> Result<Step<'g>, ShapeError>
    where
        E::Input: Send + Sync,
        E::Common: Send + Sync,
    {
        let mut packed = vec![0; dynamic::locally_connected::packed_words::<B, E>(&shape)];
        let common = pack(&mut packed)?;
        let words = dynamic::locally_connected::scratch_words::<B, E>(&shape);
        let len = shape.output().iter().product();
        Ok(fallible(len, move |input, output| {
            let scratch = &mut vec![0; words];
            dynamic::locally_connected::run::<B, E>(&shape, &packed, fill, &common, input, output, scratch)
        }))
    }
    match job.input.element {
        Element::Int8(Quantization { zero_point, .. }) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, R>(shape, zero_point, |packed| {
                dynamic::locally_connected::pack_int8::<B, R>(&shape, &integers.int8(), packed)
            }))
        }
        Element::Int16(_) => {
            let (integers, wide) = job.integers()?;
            by_rounding!(job.rounding, wide, R => run::<B, Int16x8<R>>(shape, 0, |packed| {
                dynamic::locally_connected::pack_int16::<B, R>(&shape, &integers.int16(), packed)
            }))
        }
        Element::F32 => {
            let numbers = job.floats()?;
            run::<B, Clamp>(shape, 0.0, |packed| {
                dynamic::locally_connected::pack_float::<B>(&shape, &numbers, packed)
                    .map(|()| numbers.activation.bounds())
            })
        }
    }
}

fn mean<'g>(input: &Value, output: &Value) -> Step<'g> {
    let ([height, width, channels], pixels) = (input.shape, input.shape[0] * input.shape[1]);
    match (input.element, output.element) {
        (Element::Int8(from), Element::Int8(to)) => {
            let zero_points = [from, to].map(|quantization| i16::from(quantization.zero_point));
            let parameters = MeanParameters::new(pixels, [from.scale, to.scale], zero_points);
            unary(channels, move |input, output: &mut [i8]| reference::mean2d(&parameters, input, output))
        }
        (Element::Int16(from), Element::Int16(to)) => {
            let parameters = MeanParameters::new(pixels, [from, to], [0; 2]);
            unary(channels, move |input, output: &mut [i16]| reference::mean2d(&parameters, input, output))
        }
        _ => {
            let shape = bareconv::Pool2dShape::new(input.shape, [height, width]);
            unary(channels, move |input, output| reference::average_pool2d_f32(&shape, false, input, output))
        }
    }
}

fn function<'g>(function: &'g Function, input: &Value, output: &Value) -> Step<'g> {
    let (len, channels) = (output.len(), output.shape[2]);
    let table = |table: Int8Table| {
        unary(len, move |input: &[i8], output: &mut [i8]| {
            output.iter_mut().zip(input).for_each(|(out, &x)| *out = table.apply(x));
        })
    };
    let (from, to) = (input.element, output.element);
    match (function, from, to) {
        (Function::Relu | Function::Relu6, ..) if from == to => {
            let relu = if *function == Function::Relu { Activation::Relu } else { Activation::Relu6 };
            let activate = clamp(to, relu);
            by_type!(to, T => unary::<T, T>(len, move |input, output| {
                output.copy_from_slice(input);
                activate(T::as_dyn(output));
            }))
        }
        (Function::Relu, Element::Int8(from), Element::Int8(to)) => table(Int8Table::relu(from, to)),
        (Function::Relu6, Element::Int8(from), Element::Int8(to)) => table(Int8Table::relu6(from, to)),
        (Function::Relu | Function::Relu6, Element::Int16(from), Element::Int16(to)) => {
            unary(len, move |input, output| reference::leaky_relu_i16(0.0, [from, to], input, output))
        }
        (Function::LeakyRelu { slope }, Element::Int8(from), Element::Int8(to)) => {
            table(Int8Table::leaky_relu(*slope, from, to))
        }
        (Function::LeakyRelu { slope }, Element::Int16(from), Element::Int16(to)) => {
            unary(len, move |input, output| reference::leaky_relu_i16(*slope, [from, to], input, output))
        }
        (Function::LeakyRelu { slope }, ..) => {
            unary(len, move |input, output| reference::leaky_relu_f32(*slope, input, output))
        }
        (Function::PRelu { slopes: Numbers::F32(slopes), .. }, ..) => {
            unary(len, move |input, output| reference::prelu_f32(slopes, input, output))
        }
        (
            Function::PRelu { slopes: Numbers::Int8(slopes), quantization: Some(of) },
            Element::Int8(from),
            Element::Int8(to),
        ) => unary(len, move |input, output| reference::prelu_i8(slopes, *of, from, to, input, output)),
        (
            Function::PRelu { slopes: Numbers::Int8(slopes), quantization: Some(of) },
            Element::Int16(from),
            Element::Int16(to),
        ) => unary(len, move |input, output| reference::prelu_i16(slopes, *of, [from, to], input, output)),
        (Function::HardSwish, Element::Int8(from), Element::Int8(to)) => table(Int8Table::hard_swish(from, to)),
        (Function::HardSwish, ..) => unary(len, reference::hard_swish_f32),
        (&Function::HardSigmoid { alpha, beta }, Element::Int8(from), Element::Int8(to)) => {
            table(Int8Table::hard_sigmoid(HardSigmoidF32::new(alpha, beta), from, to))
        }
        (&Function::HardSigmoid { alpha, beta }, ..) => {
            unary(len, move |input, output| reference::hard_sigmoid_f32(alpha, beta, input, output))
        }
        (&Function::LocalResponse { size, alpha, beta, k }, Element::Int8(from), Element::Int8(to)) => {
            let norm = reference::LocalResponseInt8::new(LocalResponse::new(size, alpha, beta, k), from, to);
            unary(len, move |input, output| reference::local_response_i8(&norm, channels, input, output))
        }
        (&Function::LocalResponse { size, alpha, beta, k }, ..) => {
            let norm = LocalResponse::new(size, alpha, beta, k);
            unary(len, move |input, output| reference::local_response_f32(&norm, channels, input, output))
        }
        (Function::Table { outputs, .. }, ..) => table(Int8Table::new(**outputs)),
        (Function::Sigmoid, Element::Int8(from), _) => table(Int8Table::sigmoid(from)),
        (Function::Sigmoid, Element::Int16(from), _) => {
            unary(len, move |input, output| reference::sigmoid_i16(from, input, output))
        }
        (Function::Sigmoid, Element::F32, _) => unary(len, reference::sigmoid_f32),
        (Function::Tanh, Element::Int8(from), _) => table(Int8Table::tanh(from)),
        (Function::Tanh, Element::Int16(from), _) => {
            unary(len, move |input, output| reference::tanh_i16(from, input, output))
        }
        (Function::Tanh, Element::F32, _) => unary(len, reference::tanh_f32),
        (Function::Softmax { beta }, Element::Int8(from), _) => {
            let parameters = reference::SoftmaxParameters::new(from.scale, *beta);
            pixels(len, channels, move |input, output| reference::softmax_i8(&parameters, input, output))
        }
        (Function::Softmax { beta }, Element::Int16(from), _) => {
            let parameters = reference::SoftmaxParametersInt16::new(from, *beta);
            pixels(len, channels, move |input, output| reference::softmax_i16(&parameters, input, output))
        }
        (Function::Softmax { .. }, Element::F32, _) => pixels(len, channels, reference::softmax_f32),
        (Function::Relu | Function::Relu6 | Function::PRelu { .. }, ..) => {
            unreachable!("a checked graph has functions of one type of values")
        }
    }
}

/// A function of each pixel's channels.
fn pixels<'g, T: Number>(len: usize, channels: usize, f: impl Fn(&[T], &mut [T]) + Send + Sync + 'g) -> Step<'g> {
    unary(len, move |input: &[T], output: &mut [T]| {
        for (input, output) in input.chunks(channels).zip(output.chunks_mut(channels)) {
            f(input, output);
        }
    })
}

/// A step of two inputs, each repeated to the output's shape.
fn binary<'g, T: Number>(
    graph: &'g Graph,
    node: &Node,
    f: impl Fn(Shape, &[T], &[T], &mut [T]) + Send + Sync + 'g,
) -> Step<'g> {
    let shapes = [0, 1].map(|i| graph.value(node.inputs[i]).shape);
    let to = graph.value(node.output).shape;
    Box::new(move |inputs| {
        let &[first, second] = inputs else { return Err(ShapeError::Input) };
        let repeated = |numbers, shape: Shape| -> Result<Vec<T>, ShapeError> {
            let values = T::of(numbers).ok_or(ShapeError::Input)?;
            let mut all = vec![T::zeroed(); to.iter().product()];
            gather(shape, to, values, &mut all, |at| [0, 1, 2].map(|axis| at[axis] % shape[axis]));
            Ok(all)
        };
        let (first, second) = (repeated(first, shapes[0])?, repeated(second, shapes[1])?);
        let mut output = vec![T::zeroed(); first.len()];
        f(to, &first, &second, &mut output);
        Ok(T::pack(output))
    })
}

fn quantizations<const N: usize>(graph: &Graph, ids: [ValueId; N]) -> Result<[Quantization; N], ShapeError> {
    let all: Option<Vec<_>> = ids.iter().map(|&id| graph.value(id).element.quantization()).collect();
    all.and_then(|all| all.try_into().ok()).ok_or(ShapeError::Input)
}

fn sum<'g>(graph: &'g Graph, node: &Node, subtract: bool, activation: Activation) -> Result<Step<'g>, ShapeError> {
    Ok(match graph.value(node.output).element {
        Element::F32 => {
            let bounds = activation.bounds();
            let add = if subtract { reference::subtract_f32 } else { reference::add_f32 };
            binary(graph, node, move |shape, a, b, output| add([shape; 2], bounds, a, b, output))
        }
        element => by_product!(graph.rounding, R => {
            let [a, b, to] = quantizations(graph, [node.inputs[0], node.inputs[1], node.output])?;
            if matches!(element, Element::Int8(_)) {
                let parameters = SumParameters::<i8, R>::int8(subtract, [a, b], to, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::add_i8(
                    [shape; 2], &parameters, a, b, output,
                ))
            } else {
                let scales = [a.scale, b.scale];
                let parameters = SumParameters::<i16, R>::int16(subtract, scales, to.scale, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::add_i16(
                    [shape; 2], &parameters, a, b, output,
                ))
            }
        }),
    })
}

fn product<'g>(graph: &'g Graph, node: &Node, activation: Activation) -> Result<Step<'g>, ShapeError> {
    Ok(match graph.value(node.output).element {
        Element::F32 => {
            let bounds = activation.bounds();
            binary(graph, node, move |shape, a, b, output| {
                reference::multiply_f32([shape; 2], bounds, a, b, output);
            })
        }
        element => by_product!(graph.rounding, R => {
            let [a, b, to] = quantizations(graph, [node.inputs[0], node.inputs[1], node.output])?;
            if matches!(element, Element::Int8(_)) {
                let parameters = ProductParameters::<i8, R>::int8([a, b], to, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::multiply_i8(
                    [shape; 2], &parameters, a, b, output,
                ))
            } else {
                let parameters = ProductParameters::<i16, R>::int16([a.scale, b.scale], to.scale, activation)?;
                binary(graph, node, move |shape, a, b, output| reference::multiply_i16(
                    [shape; 2], &parameters, a, b, output,
                ))
            }
        }),
    })
}

fn concatenate<'g>(graph: &'g Graph, node: &Node, axis: usize) -> Result<Step<'g>, ShapeError> {
    /// Brings an input to the output's quantization.
    type Map = Box<dyn Fn(&[i8], &mut [i8]) + Send + Sync>;
    fn step<'g, T: Number>(regions: Vec<Region>, len: usize, maps: Vec<Option<Map>>) -> Step<'g> {
        Box::new(move |inputs| {
            let mut output = vec![T::zeroed(); len];
            for ((region, map), input) in regions.iter().zip(&maps).zip(inputs) {
                let mut values = T::of(input).ok_or(ShapeError::Input)?.to_vec();
                if let Some(map) = map {
                    let same: &mut [i8] = bytemuck::cast_slice_mut(&mut values);
                    let before = same.to_vec();
                    map(&before, same);
                }
                reference::place(region, &values, &mut output);
            }
            Ok(T::pack(output))
        })
    }
    let output = graph.value(node.output);
    let (mut regions, mut maps, mut at) = (Vec::new(), Vec::new(), [0; 3]);
    for &input in &node.inputs {
        let input = graph.value(input);
        regions.push(Region::new(input.shape, at, output.shape)?);
        at[axis] += input.shape[axis];
        maps.push(match (input.element, output.element) {
            (Element::Int8(from), Element::Int8(to)) if from != to => by_product!(graph.rounding, R => {
                let parameters = RequantizeParameters::<i8, i8, R>::int8(from, to)?;
                Some(Box::new(move |input: &[i8], output: &mut [i8]| reference::requantize(&parameters, input, output)) as Map)
            }),
            _ => None,
        });
    }
    let len = output.len();
    Ok(by_type!(output.element, T => step::<T>(regions, len, maps)))
}

/// Fills an output from the places of an input that `from` names.
fn gather<T: Copy>(
    [_, width, channels]: Shape,
    [out_height, out_width, out_channels]: Shape,
    input: &[T],
    output: &mut [T],
    from: impl Fn(Shape) -> Shape,
) {
    let mut all = output.iter_mut();
    for y in 0..out_height {
        for x in 0..out_width {
            for c in 0..out_channels {
                let [from_y, from_x, from_c] = from([y, x, c]);
                if let Some(value) = all.next() {
                    *value = input[(from_y * width + from_x) * channels + from_c];
                }
            }
        }
    }
}

/// The input's row or column that is nearest to the output's, as TensorFlow Lite computes it, in single precision.
pub(crate) fn nearest(at: usize, from: usize, to: usize, align_corners: bool, half_pixel_centers: bool) -> usize {
    let scale = if align_corners && to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { from as f32 / to as f32 };
    let place = (at as f32 + if half_pixel_centers { 0.5 } else { 0.0 }) * scale;
    let place = if align_corners { libm::roundf(place) } else { libm::floorf(place) };
    (place as usize).min(from - 1)
}

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
