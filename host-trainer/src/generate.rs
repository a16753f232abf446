//! Writes a graph and its memory plan as a Rust module: constant arrays, layers, and one function that runs them.
//!
//! The module holds the canonical numbers and nothing about any core: `bareconv` packs them in constant evaluation for the
//! core that it is compiled for. It needs no `unsafe`, and is written to be read, by people too.
//!
//! ```no_run
//! use host_trainer::{generate, import, output::OutputFolder};
//! use std::path::Path;
//!
//! let graph = import::tflite(&std::fs::read("model.tflite")?, "model")?;
//! let module = generate::module(&graph, &generate::Options::default())?;
//! // mod.rs and weights.rs; in a firmware: `mod my_model;` and `my_model::MODEL.infer(&input, &mut arena)`.
//! OutputFolder::open(Path::new("my_model"))?.write(&module.files())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod layers;
mod names;
mod numbers;

use crate::graph::{Element, Graph, GraphError, Node, Operator, Rounding, Shape, Value, ValueId};
use crate::plan::{self, Form, Place, Plan};
use crate::run;
use layers::Layer;
use names::Names;
pub(crate) use names::{identifier, word};
use std::fmt::Write;
use std::ops::Range;

/// How a module is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What the memory plan may do.
    pub plan: plan::Options,
    /// The network's name for people; the graph's if there is none.
    pub title: Option<String>,
    /// A sentence or two about the network, where it is from and what its inputs and outputs mean.
    pub description: Option<String>,
}

/// A graph cannot be written as Rust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// It breaks a rule.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The library has no layer for an operator in this form.
    #[error("{place} `{name}`: {reason}")]
    NoLayer {
        /// The operator's place in the file.
        place: String,
        /// Its name.
        name: String,
        /// What is missing, and what there is.
        reason: String,
    },
}

/// A module in Rust.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    docs: Vec<String>,
    body: String,
    weights: String,
    /// The network's inputs, in the order of `infer`'s parameters.
    pub inputs: Vec<End>,
    /// The network's outputs, in the order of what `infer` returns.
    pub outputs: Vec<End>,
    /// What the layers of the graph's nodes are called, in order; empty for a reshape, which has none.
    pub layers: Vec<String>,
}

/// An input or output of the network, as the module has it.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// What `infer` calls it.
    pub name: String,
    /// The module's type for it, such as `Input`.
    pub type_name: String,
    /// Its shape.
    pub shape: Shape,
    /// What it holds.
    pub element: Element,
}

/// Lints that generated code would not pass, for good reasons.
const ALLOWED: &str = "clippy::approx_constant, clippy::excessive_precision, clippy::large_const_arrays,\n    \
                       clippy::unreadable_literal, dead_code, long_running_const_eval";

impl Module {
    /// The module as the files of a folder: `mod.rs` and `weights.rs`.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut text = String::new();
        for line in &self.docs {
            let _ = writeln!(text, "{}", format!("//! {line}").trim_end());
        }
        let _ = write!(
            text,
            "\n// The canonical arrays exist only in constant evaluation; flash holds the packed layers. Not every program asks\n\
             // for every constant.\n#![allow({ALLOWED})]\n#![cfg_attr(rustfmt, rustfmt_skip)]\n\nmod weights;\n\n{}",
            self.body
        );
        let weights = format!(
            "//! The numbers of the layers, in the library's canonical order.\n\n#![cfg_attr(rustfmt, rustfmt_skip)]\n\n{}",
            self.weights
        );
        vec![("mod.rs", text.into_bytes()), ("weights.rs", weights.into_bytes())]
    }

    /// The module as the text of one file with a module `name` in it, for `include!`.
    #[must_use]
    pub fn single_file(&self, name: &str) -> String {
        let mut text = String::new();
        for line in &self.docs {
            let _ = writeln!(text, "{}", format!("/// {line}").trim_end());
        }
        let _ = write!(
            text,
            "#[allow({ALLOWED})]\n#[rustfmt::skip]\npub mod {name} {{\n\n{}\n/// The numbers of the layers, in the \
             library's canonical order.\nmod weights {{\n\n{}\n}}\n}}\n",
            self.body, self.weights
        );
        text
    }
}

/// Writes a graph with the best plan for its memory.
///
/// # Errors
/// Where the graph breaks a rule of [`Graph::check`], its numbers cannot be packed, or an operator has no layer.
pub fn module(graph: &Graph, options: &Options) -> Result<Module, GenerateError> {
    // Packing them here shows what would not compile there.
    run::Interpreter::new(graph)?;
    let plan = Plan::new(graph, options.plan, &run::PortableWords);
    with_plan(graph, &plan, options)
}

/// Writes a checked graph with this plan.
///
/// # Errors
/// Where an operator has no layer.
pub fn with_plan(graph: &Graph, plan: &Plan, options: &Options) -> Result<Module, GenerateError> {
    let writer = Writer::new(graph, plan)?;
    let title = options.title.clone().unwrap_or_else(|| graph.name.clone());
    let mut body = writer.imports();
    let _ = writeln!(body, "/// The network's name.\npub const NAME: &str = {title:?};\n");
    writer.ends(&mut body);
    writer.sizes(&mut body);
    writer.infer(&mut body);
    let mut weights = String::new();
    for layer in &writer.layers {
        body.push_str(&layer.text);
        weights.push_str(&layer.weights);
    }
    for constant in &writer.constants {
        weights.push_str(&constant.1);
    }
    let docs = writer.docs(&title, options.description.as_deref());
    let (inputs, outputs) = (writer.inputs(), writer.outputs());
    let layers = writer.layers.into_iter().map(|layer| layer.name).collect();
    Ok(Module { docs, body, weights, inputs, outputs, layers })
}

/// What is being written.
struct Writer<'g> {
    graph: &'g Graph,
    plan: &'g Plan,
    /// For each value the one that its place and type are from: itself, or what it is a reshape of.
    roots: Vec<ValueId>,
    /// The names of values, in lower case; of the network's inputs and outputs as the function has them.
    values: Vec<String>,
    /// The names of the network's outputs.
    outputs: Vec<String>,
    /// One for each node; a reshape's is empty.
    layers: Vec<Layer>,
    /// Constant values, by their number, and their text.
    constants: Vec<(usize, String)>,
}

impl<'g> Writer<'g> {
    fn new(graph: &'g Graph, plan: &'g Plan) -> Result<Self, GenerateError> {
        let mut names = Names::new();
        let mut roots: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
        for (step, node) in plan.steps.iter().zip(&graph.nodes) {
            if step.form == Form::Alias {
                roots[node.output.0] = roots[node.inputs[0].0];
            }
        }
        let mut values = vec![String::new(); graph.values.len()];
        let mut quantizations = vec![String::new(); graph.values.len()];
        for (number, &ValueId(input)) in graph.inputs.iter().enumerate() {
            let alone = graph.inputs.len() == 1;
            let word = format!("input_{number}");
            values[input] =
                if alone { "input".to_owned() } else { names.claim(&names::value(&graph.values[input].name, &word)) };
            quantizations[input] =
                if alone { "INPUT".to_owned() } else { format!("{}_INPUT", values[input].to_ascii_uppercase()) };
        }
        let mut constants = Vec::new();
        for (id, value) in graph.values.iter().enumerate() {
            let used = graph.nodes.iter().any(|node| node.inputs.contains(&ValueId(id)))
                || graph.outputs.contains(&ValueId(id));
            if let (Some(numbers), true) = (&value.constant, used) {
                values[id] = names.claim(&names::value(&value.name, "constant"));
                quantizations[id] = layers::quantization_of(value.element);
                constants.push((id, layers::constant(&values[id], value, numbers)));
            }
        }
        let mut all = Vec::with_capacity(graph.nodes.len());
        for (step, node) in plan.steps.iter().zip(&graph.nodes) {
            let input = node.inputs[0];
            if step.form == Form::Alias {
                values[node.output.0] = values[input.0].clone();
                quantizations[node.output.0] = quantizations[input.0].clone();
                all.push(Layer::default());
                continue;
            }
            let name = names.claim(&names::short(&node.name, names::word(&node.operator)));
            values[node.output.0] = name.clone();
            let layer =
                layers::Declaration { graph, node, name: &name, quantizations: &quantizations, form: step.form };
            let layer = layer.write().map_err(|reason| GenerateError::NoLayer {
                place: node.place.clone(),
                name: node.name.clone(),
                reason,
            })?;
            quantizations[node.output.0] = layer.quantization.clone();
            all.push(layer);
        }
        let output = |(number, &ValueId(id)): (usize, &ValueId)| match &values[id] {
            _ if graph.outputs.len() == 1 => "output".to_owned(),
            // Outputs that are inputs, constants or outputs already.
            name if plan.copies.iter().any(|&(copied, _)| copied == number) => names.claim(&format!("{name}_{number}")),
            name => name.clone(),
        };
        let outputs = graph.outputs.iter().enumerate().map(output).collect();
        let writer = Self { graph, plan, roots, values, outputs, layers: all, constants };
        Ok(writer)
    }

    /// The memory that a value is lent from, by what the function calls it, and its bytes there.
    fn range(&self, id: ValueId) -> Option<(String, Range<usize>)> {
        let bytes = self.graph.value(id).bytes();
        match self.plan.places[id.0] {
            Place::Arena(start) => Some(("arena".to_owned(), start..start + bytes)),
            Place::Borrowed(output, start) => Some((self.outputs[output].clone(), start..start + bytes)),
            _ => None,
        }
    }

    fn docs(&self, title: &str, description: Option<&str>) -> Vec<String> {
        let mut lines = vec![title.to_owned(), String::new()];
        if let Some(description) = description {
            lines.extend(description.trim().lines().map(str::to_owned));
        }
        lines.push(format!("Made from {} by host-trainer {}.", self.graph.source, env!("CARGO_PKG_VERSION")));
        lines.push(String::new());
        let by = |shape: Shape| shape.map(|n| n.to_string()).join(" x ");
        let mut rows = vec![["layer", "operator", "input", "output", "MACs"].map(str::to_owned)];
        for (layer, node) in self.layers.iter().zip(&self.graph.nodes).filter(|(layer, _)| !layer.name.is_empty()) {
            let inputs: Vec<_> = node.inputs.iter().map(|&input| by(self.graph.value(input).shape)).collect();
            let all_same = inputs.windows(2).all(|pair| pair[0] == pair[1]);
            let inputs = if all_same { inputs[0].clone() } else { inputs.join(", ") };
            let output = by(self.graph.value(node.output).shape);
            let macs = macs(node).map_or(String::new(), |macs| macs.to_string());
            rows.push([layer.name.clone(), layer.words.clone(), inputs, output, macs]);
        }
        let widths: Vec<usize> =
            (0..5).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or_default()).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            lines.push(format!("| {} |", cells.join(" | ")));
            if number == 0 {
                let rule: Vec<_> = widths.iter().map(|&width| "-".repeat(width)).collect();
                lines.push(format!("| {} |", rule.join(" | ")));
            }
        }
        lines
    }

    fn imports(&self) -> String {
        let mut names: Vec<&str> = self.layers.iter().flat_map(|layer| layer.imports.iter().copied()).collect();
        names.extend(["Arena", "Tensor"]);
        if self.arena_is_used() {
            names.push("largest");
        }
        let ends = self.graph.inputs.iter().chain(&self.graph.outputs);
        if ends.into_iter().any(|&id| matches!(self.graph.value(id).element, Element::Int8(_))) {
            names.push("Quantization");
        }
        if self.layers.iter().any(|layer| layer.text.contains("Quantization::new")) {
            names.push("Quantization");
        }
        names.sort_unstable();
        names.dedup();
        // As rustfmt has them: types first, then functions.
        let (functions, types): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
        let names = [types, functions].concat();
        let mut text = "use bareconv::{".to_owned();
        let mut line = String::new();
        let whole = names.join(", ");
        if whole.len() + text.len() + 2 <= 116 {
            return format!("{text}{whole}}};\n\n");
        }
        text.push('\n');
        for name in names {
            if 4 + line.len() + name.len() + 2 > 116 {
                let _ = writeln!(text, "    {}", line.trim_end());
                line.clear();
            }
            let _ = write!(line, "{name}, ");
        }
        let _ = writeln!(text, "    {}\n}};\n", line.trim_end());
        text
    }

    /// The types and quantizations of the network's inputs and outputs.
    fn ends(&self, text: &mut String) {
        for (what, ends) in [("input", self.inputs()), ("output", self.outputs())] {
            let alone = ends.len() == 1;
            for End { name, type_name, element, shape } in &ends {
                let (of, upper) = if alone {
                    (what.to_owned(), what.to_ascii_uppercase())
                } else {
                    (format!("{what} `{name}`"), format!("{name}_{what}").to_ascii_uppercase())
                };
                let _ = writeln!(text, "/// The type of the network's {of}.");
                let _ = writeln!(text, "pub type {type_name} = {};\n", tensor(*element, *shape));
                match *element {
                    Element::Int8(quantization) => {
                        let _ = writeln!(text, "/// Quantization of the {of}: real = scale * (q - zero point).");
                        let expression = numbers::quantization(quantization);
                        let _ = writeln!(text, "pub const {upper}: Quantization = {expression};\n");
                    }
                    Element::Int16(scale) => {
                        let _ = writeln!(text, "/// Scale of the {of}: real = scale * q.");
                        let _ = writeln!(text, "pub const {upper}: f32 = {};\n", numbers::Literal::literal(scale));
                    }
                    Element::F32 => (),
                }
            }
        }
    }

    /// The network's inputs.
    fn inputs(&self) -> Vec<End> {
        let named = self.graph.inputs.iter().map(|&id| (id, self.values[id.0].clone()));
        self.ends_of("input", named.collect())
    }

    /// The network's outputs.
    fn outputs(&self) -> Vec<End> {
        self.ends_of("output", self.graph.outputs.iter().copied().zip(self.outputs.iter().cloned()).collect())
    }

    fn ends_of(&self, what: &str, named: Vec<(ValueId, String)>) -> Vec<End> {
        let alone = named.len() == 1;
        let end = |(id, name): (ValueId, String)| {
            let value = self.graph.value(id);
            let type_name = if alone { camel(what) } else { camel(&name) + &camel(what) };
            End { name, type_name, shape: value.shape, element: value.element }
        };
        named.into_iter().map(end).collect()
    }

    fn arena_is_used(&self) -> bool {
        self.plan.bytes > 0 || self.layers.iter().any(|layer| layer.scratch.is_some())
    }

    /// The constants that say what the network needs.
    fn sizes(&self, text: &mut String) {
        let sum = |terms: Vec<&str>| if terms.is_empty() { "0".to_owned() } else { terms.join("\n    + ") };
        let macs = sum(self.layers.iter().filter_map(|layer| layer.macs.as_deref()).collect());
        let flash = sum(self.layers.iter().filter_map(|layer| layer.flash.as_deref()).collect());
        let constants: usize = self.constants.iter().map(|&(id, _)| self.graph.values[id].bytes()).sum();
        let constants = if constants == 0 { String::new() } else { format!("\n    + {constants}") };
        let _ = write!(
            text,
            "/// Multiply-accumulates of an inference.\npub const MACS: usize =\n    {macs};\n\n\
             /// Bytes of flash for weights, biases, requantization parameters and tables, packed for this core. Code comes on\n\
             /// top.\npub const FLASH_BYTES: usize =\n    {flash}{constants};\n\n\
             /// Bytes of RAM for activations and scratch: the largest of all steps'. The network's own input and output are\n\
             /// the caller's.\n"
        );
        if !self.arena_is_used() {
            text.push_str("pub const RAM_BYTES: usize = 0;\n\n");
            return;
        }
        text.push_str("pub const RAM_BYTES: usize = largest(&[\n");
        for (layer, step) in self.layers.iter().zip(&self.plan.steps).filter(|(layer, _)| !layer.name.is_empty()) {
            match self.plan.chain(step.node) {
                Some(chain) if chain.end == step.node + 1 => {
                    let words: Vec<_> =
                        self.layers[chain.clone()].iter().filter_map(|layer| layer.stream.as_deref()).collect();
                    let first = &self.layers[chain.start].name;
                    let _ = writeln!(text, "    // {first} to {}, row by row", layer.name);
                    let behind = if step.scratch == 0 { String::new() } else { format!("{} + ", step.scratch) };
                    let _ = writeln!(text, "    {behind}4 * ({}),", words.join("\n        + "));
                }
                Some(_) => (),
                None => {
                    let size = match (&layer.scratch, step.scratch) {
                        (Some(scratch), 0) => format!("4 * {scratch}"),
                        (Some(scratch), behind) => format!("{behind} + 4 * {scratch}"),
                        (None, behind) => behind.to_string(),
                    };
                    let _ = writeln!(text, "    {size}, // {}", layer.name);
                }
            }
        }
        text.push_str("]);\n\n");
    }

    /// The function that runs the layers.
    fn infer(&self, text: &mut String) {
        let graph = self.graph;
        let parameters: Vec<_> = self
            .inputs()
            .iter()
            .map(|End { name, type_name, .. }| format!("        {name}: &{type_name},\n"))
            .collect();
        let outputs: Vec<_> = self.outputs().into_iter().map(|end| end.type_name).collect();
        let names = &self.outputs;
        let tuple =
            |parts: &[String]| if parts.len() == 1 { parts[0].clone() } else { format!("({})", parts.join(", ")) };
        let arena = if self.arena_is_used() { "arena" } else { "_arena" };
        let doc = if graph.inputs.len() + graph.outputs.len() == 2 {
            "Runs the network.".to_owned()
        } else {
            let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let inputs = list(graph.inputs.iter().map(|input| self.values[input.0].as_str()).collect());
            format!("Runs the network: {inputs} to {}.", list(names.iter().map(String::as_str).collect()))
        };
        let _ = write!(
            text,
            "/// The network, without state.\n#[derive(Clone, Copy, Debug)]\npub struct Network;\n\n\
             /// The network.\npub static MODEL: Network = Network;\n\nimpl Network {{\n    /// {doc}\n    \
             pub fn infer(\n        &self,\n{}        {arena}: &mut Arena<RAM_BYTES>,\n    ) -> {} {{\n",
            parameters.concat(),
            tuple(&outputs)
        );
        for (number, name) in names.iter().enumerate() {
            let value = graph.value(graph.outputs[number]);
            let zero = if value.element == Element::F32 { "0.0" } else { "0" };
            let lent = self.plan.places.iter().any(|place| matches!(place, Place::Borrowed(by, _) if *by == number));
            let kind = if names.len() == 1 && !lent { String::new() } else { format!(": {}", tensor_of(value)) };
            let _ = writeln!(text, "        let mut {name}{kind} = Tensor::filled({zero});");
        }
        for ((layer, step), node) in self.layers.iter().zip(&self.plan.steps).zip(&graph.nodes) {
            match self.plan.chain(step.node) {
                Some(chain) if chain.end == step.node + 1 => self.call_chain(text, chain, step),
                None if !layer.name.is_empty() => self.call(text, layer, step, node),
                _ => (),
            }
        }
        if !self.plan.copies.is_empty() {
            text.push('\n');
        }
        for &(number, value) in &self.plan.copies {
            // Never from the arena: what several outputs share lies in the first of them.
            let from = self.access(value, false, false);
            let _ = writeln!(text, "        {}.as_mut_slice().copy_from_slice({from}.as_slice());", names[number]);
        }
        let _ = write!(text, "\n        {}\n    }}\n}}\n", tuple(names));
    }

    /// The expression of a view of a value that is where the plan says. `types` says that the layer's type leaves the
    /// view's open.
    fn access(&self, id: ValueId, write: bool, types: bool) -> String {
        let value = self.graph.value(id);
        let view = if write { "view_mut()" } else { "view()" };
        let root = self.graph.value(self.roots[id.0]);
        let [h, w, c] = value.shape;
        match self.plan.places[id.0] {
            Place::Arena(_) | Place::Borrowed(..) => {
                let name = &self.values[id.0];
                if types {
                    let view = view.trim_end_matches("()");
                    format!("{name}.{view}::<{}, {h}, {w}, {c}>()", value.element.rust())
                } else {
                    format!("{name}.{view}")
                }
            }
            place => {
                let (name, shape) = match place {
                    Place::Output(number) => {
                        (self.outputs[number].clone(), self.graph.value(self.graph.outputs[number]).shape)
                    }
                    Place::Constant => (format!("weights::{}", self.values[id.0].to_ascii_uppercase()), root.shape),
                    _ => (self.values[id.0].clone(), root.shape),
                };
                let reshape = if shape == value.shape {
                    String::new()
                } else if types {
                    format!(".reshape::<{h}, {w}, {c}>()")
                } else {
                    ".reshape()".to_owned()
                };
                format!("{name}.{view}{reshape}")
            }
        }
    }

    /// The lines that run layers row by row.
    fn call_chain(&self, text: &mut String, chain: &Range<usize>, step: &plan::Step) {
        let (layers, nodes) = (&self.layers[chain.clone()], &self.graph.nodes[chain.clone()]);
        let (input, output) = (nodes[0].inputs[0], self.graph.nodes[step.node].output);
        let mut slots = Vec::new();
        if let Some(range) = self.range(input) {
            slots.push((self.values[input.0].clone(), range));
        }
        if let Some(range) = self.range(output) {
            slots.push((format!("mut {}", self.values[output.0]), range));
        }
        slots.push(("mut scratch".to_owned(), ("arena".to_owned(), step.scratch..usize::MAX)));
        let mut lines = String::new();
        lend_slots(&mut lines, &slots);
        let mut memory = "scratch.words()";
        for (number, layer) in layers.iter().enumerate() {
            let words = layer.stream.as_deref().unwrap_or("0");
            let rest = if number + 1 == layers.len() { "_" } else { "rest" };
            let _ = writeln!(lines, "        let ({}_stream, {rest}) = {memory}.split_at_mut({words});", layer.name);
            memory = "rest";
        }
        for layer in layers {
            let (name, upper) = (&layer.name, layer.name.to_ascii_uppercase());
            let _ = writeln!(lines, "        let mut {name}_stream = {upper}.stream({name}_stream);");
        }
        let _ = writeln!(lines, "        let mut rows = {}.rows();", self.access(output, true, true));
        let _ = writeln!(lines, "        for row in {}.rows() {{", self.access(input, false, true));
        let mut indent = 3;
        for layer in layers {
            let _ = writeln!(lines, "{}{}_stream.push(row, |row| {{", "    ".repeat(indent), layer.name);
            indent += 1;
        }
        let inner = "    ".repeat(indent);
        let _ =
            writeln!(lines, "{inner}if let Some(mut to) = rows.next() {{\n{inner}    to.copy_from(row);\n{inner}}}");
        for _ in layers {
            indent -= 1;
            let _ = writeln!(lines, "{}}});", "    ".repeat(indent));
        }
        lines.push_str("        }\n");
        // A block: the iterator over the output's rows borrows the arena until it is dropped.
        text.push_str("\n        {\n");
        for line in lines.lines() {
            let _ = writeln!(text, "    {line}");
        }
        text.push_str("        }\n");
    }

    /// The lines that run a layer.
    fn call(&self, text: &mut String, layer: &Layer, step: &plan::Step, node: &Node) {
        let name = layer.name.to_ascii_uppercase();
        // What the step borrows from the arena, or from an output: names, memories and ranges.
        let mut slots: Vec<(String, (String, Range<usize>))> = Vec::new();
        let mut lend = |name: String, range: Option<(String, Range<usize>)>| {
            if let Some(range) = range
                && !slots.iter().any(|(_, other)| *other == range)
            {
                slots.push((name, range));
            }
        };
        let output = node.output;
        let types = layer.generic;
        let borrowed = |input: &ValueId| self.values[input.0].clone();
        let views = |inputs: &[ValueId]| -> Vec<String> {
            inputs.iter().map(|&input| self.access(input, false, types)).collect()
        };
        let run = match step.form {
            Form::Alias | Form::Streamed => return,
            Form::Separate => {
                for input in &node.inputs {
                    lend(borrowed(input), self.range(*input));
                }
                lend(format!("mut {}", self.values[output.0]), self.range(output));
                let inputs = views(&layer.inputs);
                let inputs = if layer.tuple { format!("({})", inputs.join(", ")) } else { inputs.join(", ") };
                let mut arguments = vec![inputs, self.access(output, true, types)];
                arguments.extend(layer.scratch.as_ref().map(|_| "scratch.words()".to_owned()));
                let mut run = if node.operator == Operator::Reshape {
                    format!("{}.as_mut_slice().copy_from_slice({}.as_slice());", arguments[1], arguments[0])
                } else {
                    format!("{}.run({});", layer.expression.as_deref().unwrap_or(&name), arguments.join(", "))
                };
                if layer.activation {
                    let output = self.access(output, true, true);
                    let _ = write!(run, "\n        {name}_ACTIVATION.run_in_place({output});");
                }
                run
            }
            Form::InPlace(operand) => {
                lend(format!("mut {}", self.values[output.0]), self.range(output));
                let others: Vec<_> =
                    node.inputs.iter().enumerate().filter(|&(i, _)| i != operand).map(|(_, &input)| input).collect();
                for input in &others {
                    lend(borrowed(input), self.range(*input));
                }
                let mut arguments = vec![self.access(output, true, types)];
                arguments.extend(views(&others));
                format!("{}.run_in_place({});", layer.expression.as_deref().unwrap_or(&name), arguments.join(", "))
            }
            Form::Overlapping => {
                let memory = self.range(output).zip(self.range(node.inputs[0]));
                lend(
                    format!("mut {}", self.values[output.0]),
                    memory.map(|((of, below), (_, above))| (of, below.start..above.end)),
                );
                let memory = format!("{}.values()", self.values[output.0]);
                let scratch = if layer.scratch.is_some() { ", scratch.words()" } else { "" };
                if layer.activation {
                    format!("{name}_ACTIVATION.run_in_place({name}.run_overlapping({memory}{scratch}));")
                } else {
                    format!("{name}.run_overlapping({memory}{scratch});")
                }
            }
        };
        text.push('\n');
        if layer.scratch.is_some() {
            slots.push(("mut scratch".to_owned(), ("arena".to_owned(), step.scratch..usize::MAX)));
        }
        lend_slots(text, &slots);
        let _ = writeln!(text, "        {run}");
    }
}

/// The statements that borrow slots from their memories.
fn lend_slots(text: &mut String, slots: &[(String, (String, Range<usize>))]) {
    let mut memories: Vec<&str> = slots.iter().map(|(_, (memory, _))| memory.as_str()).collect();
    memories.sort_unstable();
    memories.dedup();
    for memory in memories {
        let of = slots.iter().filter(|(_, (other, _))| other == memory);
        let names: Vec<_> = of.clone().map(|(name, _)| name.as_str()).collect();
        let ranges: Vec<_> = of
            .map(|(_, (_, range))| match range.end {
                usize::MAX => format!("{}..RAM_BYTES", range.start),
                end => format!("{}..{end}", range.start),
            })
            .collect();
        let _ = writeln!(text, "        let [{}] = {memory}.slots([{}]);", names.join(", "), ranges.join(", "));
    }
}

/// Multiply-accumulates of a node, if it is of a kind that has them.
#[must_use]
pub fn macs(node: &Node) -> Option<usize> {
    match &node.operator {
        Operator::Conv2d { shape, .. } | Operator::Dense { shape, .. } | Operator::LocallyConnected { shape, .. } => {
            Some(shape.macs())
        }
        Operator::Depthwise { shape, .. } => Some(shape.macs()),
        Operator::Transposed { shape, .. } => Some(shape.macs()),
        _ => None,
    }
}

/// The type of values of a shape.
fn tensor(element: Element, [h, w, c]: Shape) -> String {
    format!("Tensor<{}, {h}, {w}, {c}>", element.rust())
}

fn tensor_of(value: &Value) -> String {
    tensor(value.element, value.shape)
}

/// `two_words` as `TwoWords`.
fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or(String::new(), |first| format!("{}{}", first.to_ascii_uppercase(), letters.as_str()))
        })
        .collect()
}

/// The name of the rounding of a convolution of integers.
fn rounding(rounding: Rounding, wide_bias: bool) -> &'static str {
    match (rounding, wide_bias) {
        (Rounding::TensorFlowLiteMicro, false) => "DoubleRounding",
        (Rounding::TensorFlowLiteMicro, true) => "ReducedRounding",
        (Rounding::Single, _) => "SingleRounding",
        (Rounding::PowerOfTwo, _) => "PowerOfTwo",
    }
}

/// The name of the rounding of sums and products.
fn product_rounding(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::TensorFlowLiteMicro => "DoubleRounding",
        Rounding::Single | Rounding::PowerOfTwo => "SingleRounding",
    }
}
