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

mod arithmetic;
mod arrangement;
mod conversion;
mod convolution;
mod functions;
mod pooling;
mod typed;
mod words;

pub(crate) use arrangement::nearest;
pub use words::PortableWords;

use crate::graph::{Graph, GraphError, Node, Numbers, Operator, Value, ValueId};
use bareconv::arch::{self, Visitor};
use bareconv::kernels::Backend;
use bareconv::{Activation, ShapeError};
use convolution::Job;

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

/// The step of a node of a graph that has been checked.
fn step<'g, B: Backend>(graph: &'g Graph, node: &'g Node) -> Result<Step<'g>, ShapeError> {
    let (input, output) = (graph.value(node.inputs[0]), graph.value(node.output));
    let rounding = graph.rounding;
    let job = |weights, activation: &Activation| Job { input, output, weights, activation: *activation, rounding };
    Ok(match &node.operator {
        Operator::Conv2d { shape, weights, activation } | Operator::Dense { shape, weights, activation } => {
            convolution::conv2d::<B>(*shape, &job(weights, activation))?
        }
        Operator::Depthwise { shape, weights, activation } => {
            convolution::depthwise::step::<B>(*shape, &job(weights, activation))?
        }
        Operator::Transposed { shape, weights, activation } => {
            convolution::transposed::step::<B>(*shape, &job(weights, activation))?
        }
        Operator::LocallyConnected { shape, weights, activation } => {
            convolution::locally_connected::step::<B>(*shape, &job(weights, activation))?
        }
        Operator::MaxPool { shape, activation } => pooling::maximum(shape, *activation, output),
        Operator::AveragePool { shape, including_padding, activation } => {
            pooling::average(shape, *including_padding, *activation, output)
        }
        Operator::Mean => pooling::mean(input, output),
        Operator::Function(function) => functions::function(function, input, output),
        Operator::Add(activation) => arithmetic::sum(graph, node, false, *activation)?,
        Operator::Subtract(activation) => arithmetic::sum(graph, node, true, *activation)?,
        Operator::Multiply(activation) => arithmetic::product(graph, node, *activation)?,
        Operator::Concatenate { axis } => arrangement::concatenate(graph, node, *axis)?,
        Operator::Pad { before, value, .. } => arrangement::pad(*before, value, input, output)?,
        Operator::Reshape => Box::new(|inputs| inputs.first().map(|&numbers| numbers.clone()).ok_or(ShapeError::Input)),
        Operator::Slice { begin, stride } => arrangement::slice(*begin, *stride, input, output),
        Operator::ResizeNearest { align_corners, half_pixel_centers } => {
            arrangement::resize_nearest(*align_corners, *half_pixel_centers, input, output)
        }
        Operator::Quantize => conversion::quantize(output)?,
        Operator::Dequantize => conversion::dequantize(input, output)?,
        Operator::Requantize => conversion::requantize(rounding, input, output)?,
    })
}
