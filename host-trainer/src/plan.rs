//! The memory plan: where each value of a graph lies while the network runs.
//!
//! All activations share one arena. A value's place is a constant offset; values whose lives do not meet share memory, an
//! elementwise operator writes over its input, and the output of a convolution or pooling may overwrite its own input from
//! below (`overlap()` of the library's shapes says how far behind the output the input must begin; the rule holds on every
//! core). Reshapes take no memory and no time. The network's inputs and outputs are the caller's.
//!
//! A value may also lie in the memory of one of the network's outputs, as long as that is not written. And a chain of
//! convolutions and poolings can run row by row: then nothing between its first and last layer is ever in memory whole
//! ([`Options::stream`]).
//!
//! Scratch memory differs from core to core, so that a plan only says where it begins: behind all that lives during the
//! step. The generated module adds the core's sizes while it compiles.
//!
//! The order in which places are given decides how tightly they fit (dynamic storage allocation is NP-hard). Small graphs
//! are searched exhaustively; larger ones start from the best of several orders by size, life and time, and improve it by
//! exchanging places in the order, with a fixed seed.

mod picture;
mod search;

pub use picture::picture;

use crate::graph::{Function, Graph, Node, Operator, ValueId};
use search::{Buffer, Pair, Problem};
use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

/// Places begin at multiples of this, in bytes.
const ALIGN: usize = 4;
/// What a plan may do. By default, everything that keeps time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Elementwise operators write over their input.
    pub in_place: bool,
    /// Convolutions and poolings overwrite their input from below.
    pub overlap: bool,
    /// Values lie in the memory of outputs that are not yet written.
    pub outputs: bool,
    /// Chains of layers run row by row where that takes less memory. Where a layer merges rows for speed, this costs time.
    pub stream: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { in_place: true, overlap: true, outputs: true, stream: false }
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The network's input of this number, which the caller owns.
    Input(usize),
    /// The network's output of this number, which the caller gets.
    Output(usize),
    /// In the arena, from this byte on.
    Arena(usize),
    /// In the memory of the network's output of this number, from this byte on, before that output is written.
    Borrowed(usize, usize),
    /// Nowhere: its rows go from a layer to the next.
    Streamed,
    /// A constant in flash.
    Constant,
}

/// How a step uses memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Nothing happens: a reshape.
    Alias,
    /// Inputs and output lie apart.
    Separate,
    /// The output takes the place of the input of this number.
    InPlace(usize),
    /// The output overwrites the input from below.
    Overlapping,
    /// Row by row, in one of [`Plan::chains`].
    Streamed,
}

/// What happens for one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The node's place in [`Graph::nodes`].
    pub node: usize,
    /// How it uses memory.
    pub form: Form,
    /// Where scratch memory begins: behind everything in the arena that lives during the step.
    pub scratch: usize,
}

/// A memory plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The place of each value, in the order of [`Graph::values`]. A value that nothing uses and nothing computes is at
    /// `Constant`.
    pub places: Vec<Place>,
    /// The steps, one for each node, in order.
    pub steps: Vec<Step>,
    /// Chains of nodes that run row by row, in order.
    pub chains: Vec<Range<usize>>,
    /// Network outputs (by number) that no step writes, and the values that are copied to them in the end: outputs that are
    /// inputs, constants, or other outputs as well.
    pub copies: Vec<(usize, ValueId)>,
    /// Bytes of the arena without scratch.
    pub bytes: usize,
}

/// A plan that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {rule}")]
pub struct PlanError {
    /// The node's name.
    pub node: String,
    /// What is wrong.
    pub rule: String,
}

impl Plan {
    /// The best plan found for a checked graph. `words` says how many words of memory a node takes besides its values, on the
    /// core that the plan is to be best for; it is correct on all.
    #[must_use]
    pub fn new(graph: &Graph, options: Options, words: &dyn Words) -> Self {
        let mut chains = Vec::new();
        if options.stream {
            let cost = |chains: &[Range<usize>]| {
                let mut problem = Layout::new(graph, options, chains, words).problem;
                if options.outputs {
                    problem.borrow();
                }
                problem.cost(&problem.quick())
            };
            let mut best = cost(&chains);
            loop {
                let mut better = None;
                for chain in candidates(graph, &chains) {
                    let mut more = chains.clone();
                    more.push(chain);
                    more.sort_by_key(|chain| chain.start);
                    let cost = cost(&more);
                    // Scratch counts; without it every chain would look good.
                    if cost[0] < best[0] {
                        best = cost;
                        better = Some(more);
                    }
                }
                match better {
                    Some(more) => chains = more,
                    None => break,
                }
            }
        }
        Self::with_chains(graph, options, &chains, words)
    }

    /// The best plan found for a checked graph with these chains, which are in order, apart, and of nodes that can run row
    /// by row one after the other.
    fn with_chains(graph: &Graph, options: Options, chains: &[Range<usize>], words: &dyn Words) -> Self {
        let Layout { places, forms, copies, mut problem } = Layout::new(graph, options, chains, words);
        if options.outputs {
            problem.borrow();
        }
        let offsets = problem.solve();
        let places: Vec<Place> = places
            .iter()
            .map(|&place| match place {
                Group::Input(number) => Place::Input(number),
                Group::Output(number) => Place::Output(number),
                Group::Constant => Place::Constant,
                Group::Streamed => Place::Streamed,
                Group::Buffer(buffer) => match problem.bins[buffer] {
                    0 => Place::Arena(offsets[buffer]),
                    output => Place::Borrowed(problem.outputs[output - 1], offsets[buffer]),
                },
            })
            .collect();
        let mut steps = Vec::with_capacity(forms.len());
        for (node, &form) in forms.iter().enumerate() {
            // An overlap that the search has not used is two separate places.
            let Node { inputs, output, .. } = &graph.nodes[node];
            let form = match (form, overlap(graph, &graph.nodes[node])) {
                (Form::Overlapping, Some(overlap)) => {
                    let start = |id: ValueId| match places[id.0] {
                        Place::Arena(start) => Some((usize::MAX, start)),
                        Place::Borrowed(output, start) => Some((output, start)),
                        _ => None,
                    };
                    match (start(inputs[0]), start(*output)) {
                        (Some((a, above)), Some((b, below)))
                            if a == b
                                && overlap.holds(below, above)
                                && below + graph.value(*output).bytes() > above =>
                        {
                            form
                        }
                        _ => Form::Separate,
                    }
                }
                _ => form,
            };
            steps.push(Step { node, form, scratch: problem.end(&offsets, step_of(chains, node)) });
        }
        let bytes = steps.iter().map(|step| step.scratch).max().unwrap_or(0);
        Self { places, steps, chains: chains.to_vec(), copies, bytes }
    }

    /// The chain that a node is in.
    #[must_use]
    pub fn chain(&self, node: usize) -> Option<&Range<usize>> {
        self.chains.iter().find(|chain| chain.contains(&node))
    }

    /// The bytes that a value takes in the arena; `None` if it is elsewhere.
    #[must_use]
    pub fn range(&self, graph: &Graph, id: ValueId) -> Option<Range<usize>> {
        match self.places[id.0] {
            Place::Arena(start) => Some(start..start + graph.value(id).bytes()),
            _ => None,
        }
    }

    /// The steps in which each value that lies in the arena is needed, the first and the last, in the order of
    /// [`Graph::values`].
    #[must_use]
    pub fn lives(&self, graph: &Graph) -> Vec<Option<RangeInclusive<usize>>> {
        let last_use = last_uses(graph, &self.chains);
        let mut lives = vec![None; graph.values.len()];
        for (number, node) in graph.nodes.iter().enumerate() {
            let ValueId(output) = node.output;
            if let Place::Arena(_) = self.places[output] {
                let first = step_of(&self.chains, number);
                // What is never read is there in the step that computes it.
                let last = if last_use[output] == usize::MAX { first } else { last_use[output] };
                lives[output] = Some(first..=last.min(graph.nodes.len() - 1));
            }
        }
        lives
    }

    /// Bytes of the arena that each step needs, scratch included; 0 for a step that happens in the last one of its chain.
    #[must_use]
    pub fn ram(&self, graph: &Graph, words: &dyn Words) -> Vec<usize> {
        let of = |step: &Step| match (step.form, self.chain(step.node)) {
            (Form::Alias, _) => 0,
            (_, None) => step.scratch + 4 * words.scratch(graph, &graph.nodes[step.node]),
            (_, Some(chain)) if chain.end == step.node + 1 => {
                let words: usize = graph.nodes[chain.clone()].iter().map(|node| words.stream(graph, node)).sum();
                step.scratch + 4 * words
            }
            (_, Some(_)) => 0,
        };
        self.steps.iter().map(of).collect()
    }

    /// Proves, step by step, that nothing is overwritten that is still needed. It looks at the values' lives and places
    /// alone, not at how they were found.
    ///
    /// # Errors
    /// The first step that would lose a value, and how.
    pub fn check(&self, graph: &Graph) -> Result<(), PlanError> {
        let last_use = last_uses(graph, &self.chains);
        // The values that are there and will be read again.
        let mut live: Vec<ValueId> = Vec::new();
        let place = |id: ValueId| match self.places[id.0] {
            Place::Arena(start) => Some((0, start)),
            Place::Output(number) => Some((number + 1, 0)),
            Place::Borrowed(number, start) => Some((number + 1, start)),
            Place::Input(_) | Place::Constant | Place::Streamed => None,
        };
        let touch = |a: ValueId, b: ValueId| match (place(a), place(b)) {
            (Some((x, from_a)), Some((y, from_b))) => {
                let (end_a, end_b) = (from_a + graph.value(a).bytes(), from_b + graph.value(b).bytes());
                x == y && from_a < end_b && from_b < end_a
            }
            _ => false,
        };
        if self.steps.len() != graph.nodes.len() {
            let rule = "there is a step for each node".to_owned();
            return Err(PlanError { node: graph.name.clone(), rule });
        }
        for (number, (step, node)) in self.steps.iter().zip(&graph.nodes).enumerate() {
            let error = |rule: &str| PlanError { node: node.name.clone(), rule: rule.to_owned() };
            if step.node != number {
                return Err(error("the steps are not in the nodes' order"));
            }
            let output = node.output;
            let input = node.inputs[0];
            let same_place = |a: ValueId| self.places[a.0] == self.places[output.0];
            match (self.places[output.0], step.form) {
                (Place::Input(_) | Place::Constant, Form::Alias) if same_place(input) => (),
                // Only inside a chain, and only for the next node of it.
                (Place::Streamed, Form::Streamed) => {
                    let next = graph.nodes.get(number + 1).is_some_and(|next| next.inputs == [output]);
                    let inside = self.chain(number).is_some_and(|chain| chain.contains(&(number + 1)));
                    let once = graph.nodes.iter().filter(|node| node.inputs.contains(&output)).count() == 1;
                    if !next || !inside || !once || graph.outputs.contains(&output) || !runs_by_rows(graph, node) {
                        return Err(error("its rows have no one to go to"));
                    }
                    continue;
                }
                (Place::Arena(_) | Place::Output(_) | Place::Borrowed(..), _) => (),
                _ => return Err(error("its output has no place that can be written")),
            }
            // What the output may touch: an input that is read for the last time, in the forms that are made for it.
            let mut spared = None;
            match step.form {
                Form::Separate => (),
                Form::Streamed => {
                    let last = self.chain(number).is_some_and(|chain| chain.end == number + 1);
                    if !last || !runs_by_rows(graph, node) || self.places[input.0] != Place::Streamed {
                        return Err(error("it ends no chain"));
                    }
                }
                Form::Alias => {
                    if !same_place(input) || node.operator != Operator::Reshape {
                        return Err(error("only a reshape stays where it is"));
                    }
                    spared = Some(input);
                }
                Form::InPlace(operand) => {
                    let operand = *node.inputs.get(operand).ok_or_else(|| error("there is no such operand"))?;
                    let bytes = graph.value(operand).bytes() == graph.value(output).bytes();
                    let twice = node.inputs.iter().filter(|&&input| touch(input, operand)).count() > 1;
                    if !same_place(operand) || !bytes || twice || !runs_in_place(graph, node) {
                        return Err(error("it cannot run in place"));
                    }
                    spared = Some(operand);
                }
                Form::Overlapping => match (place(output), place(input), overlap(graph, node)) {
                    (Some((a, below)), Some((b, above)), Some(overlap)) if a == b && overlap.holds(below, above) => {
                        spared = Some(input);
                    }
                    _ => return Err(error("its output would overtake its input")),
                },
            }
            for &value in &live {
                let dies = last_use[value.0] == number;
                let aliased = step.form == Form::Alias && same_place(value);
                // Another name for the spared value, which a reshape gave it, may be needed as little as it.
                let excused = spared == Some(value) && dies;
                let alias_of_spared =
                    spared.is_some_and(|spared| self.places[spared.0] == self.places[value.0]) && dies;
                if touch(value, output) && !aliased && !excused && !alias_of_spared {
                    return Err(error(&format!("it overwrites `{}`", graph.value(value).name)));
                }
            }
            if last_use[output.0] != usize::MAX || graph.outputs.contains(&output) {
                live.push(output);
            }
            let behind = |id: &ValueId| self.range(graph, *id).is_none_or(|range| range.end <= step.scratch);
            if !live.iter().all(behind) || !node.inputs.iter().all(behind) || !behind(&output) {
                return Err(error("its scratch memory begins before the end of a value"));
            }
            live.retain(|value| last_use[value.0] != usize::MAX && last_use[value.0] > number);
        }
        let starts = self
            .places
            .iter()
            .all(|place| !matches!(place, Place::Arena(start) | Place::Borrowed(_, start) if start % ALIGN != 0));
        let ends = (0..graph.values.len()).map(ValueId).all(|id| match self.places[id.0] {
            Place::Arena(start) => start + graph.value(id).bytes() <= self.bytes,
            Place::Borrowed(output, start) => {
                start + graph.value(id).bytes() <= graph.value(graph.outputs[output]).bytes()
            }
            _ => true,
        });
        let outputs = graph.outputs.iter().enumerate().all(|(number, value)| {
            self.copies.contains(&(number, *value)) || self.places[value.0] == Place::Output(number)
        });
        let whole = |rule: &str| PlanError { node: graph.name.clone(), rule: rule.to_owned() };
        match (starts, ends, outputs) {
            (true, true, true) => Ok(()),
            (false, ..) => Err(whole("a value begins at no multiple of four bytes")),
            (_, false, _) => Err(whole("a value ends behind its memory")),
            _ => Err(whole("an output is not where it belongs")),
        }
    }
}

/// Words of memory that nodes take besides their values.
pub trait Words {
    /// Words of scratch of a node that runs whole.
    fn scratch(&self, graph: &Graph, node: &Node) -> usize;
    /// Words of a node that runs row by row.
    fn stream(&self, graph: &Graph, node: &Node) -> usize;
}

/// The step in which a node runs: its own number, but a chain runs when its last node does.
fn step_of(chains: &[Range<usize>], node: usize) -> usize {
    chains.iter().find(|chain| chain.contains(&node)).map_or(node, |chain| chain.end - 1)
}

/// The step that reads each value for the last time; a network's outputs are read after all, and what is never read has
/// `usize::MAX`.
fn last_uses(graph: &Graph, chains: &[Range<usize>]) -> Vec<usize> {
    let mut last = vec![usize::MAX; graph.values.len()];
    for (number, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last[input.0] = step_of(chains, number);
        }
    }
    for output in &graph.outputs {
        last[output.0] = graph.nodes.len();
    }
    last
}

/// Whether the layer of a node can run row by row.
fn runs_by_rows(graph: &Graph, node: &Node) -> bool {
    match &node.operator {
        Operator::Conv2d { shape, .. } | Operator::Dense { shape, .. } => {
            shape.groups == 1 && shape.input == graph.value(node.inputs[0]).shape
        }
        Operator::Depthwise { .. } => true,
        Operator::MaxPool { activation, .. } | Operator::AveragePool { activation, .. } => {
            *activation == bareconv::Activation::Identity
        }
        _ => false,
    }
}

/// All runs of two and more nodes that can run row by row one after the other, apart from the chains there are.
fn candidates(graph: &Graph, chains: &[Range<usize>]) -> Vec<Range<usize>> {
    let fits =
        |node: usize| runs_by_rows(graph, &graph.nodes[node]) && !chains.iter().any(|chain| chain.contains(&node));
    let follows = |node: usize| {
        let (before, next) = (&graph.nodes[node], &graph.nodes[node + 1]);
        let readers = graph.nodes.iter().filter(|other| other.inputs.contains(&before.output)).count();
        next.inputs == [before.output] && readers == 1 && !graph.outputs.contains(&before.output)
    };
    let mut all = Vec::new();
    for start in 0..graph.nodes.len() {
        let mut end = start;
        while end < graph.nodes.len() && fits(end) && (end == start || follows(end - 1)) {
            end += 1;
            if end - start >= 2 {
                all.push(start..end);
            }
        }
    }
    all
}

/// Whether the layer of a node can write over its input.
fn runs_in_place(graph: &Graph, node: &Node) -> bool {
    match &node.operator {
        Operator::Add(_) | Operator::Subtract(_) | Operator::Multiply(_) => true,
        Operator::Function(Function::Softmax { .. } | Function::LocalResponse { .. }) => false,
        Operator::Function(_) => true,
        Operator::Requantize => {
            let size = |id: ValueId| graph.value(id).element.size();
            size(node.inputs[0]) == size(node.output)
        }
        _ => false,
    }
}

/// Where a step's output may lie, relative to the input that it overwrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Overlap {
    /// The input begins so many bytes behind the output, or more,
    distance: usize,
    /// and a multiple of this.
    multiple: usize,
}

impl Overlap {
    /// Whether an output at `below` may overwrite an input at `above`.
    fn holds(self, below: usize, above: usize) -> bool {
        above >= below + self.distance && (above - below).is_multiple_of(self.multiple)
    }
}

/// The overlap that the layer of a node allows.
fn overlap(graph: &Graph, node: &Node) -> Option<Overlap> {
    let input = graph.value(node.inputs[0]);
    let size = input.element.size();
    if size != graph.value(node.output).element.size() {
        return None;
    }
    let (len, pixel) = match &node.operator {
        Operator::Conv2d { shape, .. } | Operator::Dense { shape, .. } => (shape.overlapping_len(), 1),
        Operator::Depthwise { shape, .. } => (shape.overlapping_len(), shape.input[2]),
        Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => (shape.overlapping_len(), 1),
        _ => return None,
    };
    Some(Overlap { distance: (len - input.len()) * size, multiple: least_common_multiple(ALIGN, pixel * size) })
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

/// What a value shares its place with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Input(usize),
    Output(usize),
    Constant,
    Streamed,
    Buffer(usize),
}

/// The values as groups of one place each.
struct Layout {
    places: Vec<Group>,
    forms: Vec<Form>,
    copies: Vec<(usize, ValueId)>,
    problem: Problem,
}

impl Layout {
    fn new(graph: &Graph, options: Options, chains: &[Range<usize>], words: &dyn Words) -> Self {
        let last_use = last_uses(graph, chains);
        // The members of groups that have no fixed place yet; `group` is each value's.
        let mut members: Vec<Vec<ValueId>> = Vec::new();
        let mut group: Vec<Option<usize>> = vec![None; graph.values.len()];
        let mut fixed: Vec<Group> = vec![Group::Constant; graph.values.len()];
        for (number, input) in graph.inputs.iter().enumerate() {
            fixed[input.0] = Group::Input(number);
        }
        let mut outputs = vec![false; graph.values.len()];
        for output in &graph.outputs {
            outputs[output.0] = true;
        }
        let is_output = |id: &ValueId| outputs[id.0];
        let mut forms = Vec::new();
        for (number, node) in graph.nodes.iter().enumerate() {
            let output = node.output;
            let mut form = Form::Separate;
            if let Some(chain) = chains.iter().find(|chain| chain.contains(&number)) {
                if chain.end == number + 1 {
                    group[output.0] = Some(members.len());
                    members.push(vec![output]);
                } else {
                    fixed[output.0] = Group::Streamed;
                }
                forms.push(Form::Streamed);
                continue;
            }
            // The group of operand `i`, if it dies here and may be written over.
            let dying = |i: usize, group: &[Option<usize>], members: &[Vec<ValueId>]| {
                let id = node.inputs[i];
                let with = group[id.0]?;
                let alone = node.inputs.iter().filter(|input| group[input.0] == Some(with)).count() == 1;
                let over = members[with]
                    .iter()
                    .all(|&member| last_use[member.0] == usize::MAX || last_use[member.0] <= number);
                (alone && over && !members[with].iter().any(is_output)).then_some(with)
            };
            if node.operator == Operator::Reshape {
                let input = node.inputs[0];
                match group[input.0] {
                    Some(with) if !(is_output(&output) && members[with].iter().any(is_output)) => {
                        form = Form::Alias;
                        members[with].push(output);
                        group[output.0] = Some(with);
                    }
                    None if !is_output(&output) => {
                        form = Form::Alias;
                        fixed[output.0] = fixed[input.0];
                    }
                    _ => (),
                }
            } else if options.in_place && runs_in_place(graph, node) {
                let [shape, size] = [graph.value(output).shape, [graph.value(output).element.size(); 3]];
                let fits = |i: &usize| {
                    let value = graph.value(node.inputs[*i]);
                    value.shape == shape && [value.element.size(); 3] == size
                };
                // The second operand of a difference cannot be replaced.
                let operands = if matches!(node.operator, Operator::Add(_) | Operator::Multiply(_)) { 2 } else { 1 };
                let operand = (0..operands).filter(fits).find_map(|i| Some((i, dying(i, &group, &members)?)));
                if let Some((operand, with)) = operand {
                    form = Form::InPlace(operand);
                    members[with].push(output);
                    group[output.0] = Some(with);
                }
            }
            if options.overlap && overlap(graph, node).is_some() && dying(0, &group, &members).is_some() {
                form = Form::Overlapping;
            }
            if group[output.0].is_none() && form != Form::Alias {
                group[output.0] = Some(members.len());
                members.push(vec![output]);
            }
            forms.push(form);
        }
        let mut copies = Vec::new();
        let mut outputs: HashMap<usize, usize> = HashMap::new();
        for (number, output) in graph.outputs.iter().enumerate() {
            match group[output.0] {
                Some(with) if !outputs.contains_key(&with) => _ = outputs.insert(with, number),
                _ => copies.push((number, *output)),
            }
        }
        let mut scratch = vec![0; graph.nodes.len()];
        for (number, node) in graph.nodes.iter().enumerate() {
            let step = step_of(chains, number);
            let by_rows = chains.iter().any(|chain| chain.contains(&number));
            scratch[step] += 4 * if by_rows { words.stream(graph, node) } else { words.scratch(graph, node) };
        }
        let mut problem = Problem { scratch, ..Problem::default() };
        let mut buffers: HashMap<usize, usize> = HashMap::new();
        let mut produced = vec![0; graph.values.len()];
        for (number, node) in graph.nodes.iter().enumerate() {
            produced[node.output.0] = number;
        }
        for (with, values) in members.iter().enumerate().filter(|(with, _)| !outputs.contains_key(with)) {
            let first = values.iter().map(|value| produced[value.0]).min().unwrap_or(0);
            // A value that nothing reads still needs its place while it is written.
            let used = values.iter().map(|value| last_use[value.0]).filter(|&last| last != usize::MAX);
            let written = values.iter().map(|value| produced[value.0]);
            let last = used.chain(written).max().unwrap_or(first);
            let size = values.iter().map(|value| graph.value(*value).bytes()).max().unwrap_or(0);
            buffers.insert(with, problem.buffers.len());
            problem.buffers.push(Buffer { size, first, last });
        }
        problem.bins = vec![0; problem.buffers.len()];
        for (number, output) in graph.outputs.iter().enumerate() {
            let with = group[output.0].filter(|with| outputs.get(with) == Some(&number));
            if let Some(with) = with {
                let first = members[with].iter().map(|value| produced[value.0]).min().unwrap_or(0);
                problem.outputs.push(number);
                problem.capacities.push((graph.value(*output).bytes(), first));
            }
        }
        for (node, form) in graph.nodes.iter().zip(&mut forms) {
            let buffer = |id: ValueId| group[id.0].and_then(|with| buffers.get(&with).copied());
            if *form == Form::Overlapping {
                match (buffer(node.output), buffer(node.inputs[0]), overlap(graph, node)) {
                    (Some(below), Some(above), Some(overlap)) => problem.pairs.push(Pair { below, above, overlap }),
                    _ => *form = Form::Separate,
                }
            }
        }
        let places = group
            .iter()
            .zip(&fixed)
            .map(|(group, &fixed)| match group {
                None => fixed,
                Some(with) => match (outputs.get(with), buffers.get(with)) {
                    (Some(&number), _) => Group::Output(number),
                    (_, Some(&buffer)) => Group::Buffer(buffer),
                    _ => fixed,
                },
            })
            .collect();
        Self { places, forms, copies, problem }
    }
}
