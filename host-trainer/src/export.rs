//! Export: an int8 network as one Rust file of constant arrays and the layers that use them.
//!
//! The file holds the canonical numbers and nothing about any core: `bareconv` packs them in constant evaluation for
//! the core that the file is compiled for. It is written to be read, by people too.

use crate::quantize::{QuantizedKind, QuantizedLayer, QuantizedNetwork};
use bareconv::{Conv2dShape, Quantization};
use std::fmt::{Display, Write};

/// Width of the lines of numbers.
const COLUMNS: usize = 116;

/// The network cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A layer breaks a rule of the library.
    #[error("layer `{layer}` has no form in bareconv: {reason}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// The rule.
        reason: String,
    },
    /// Two layers whose tensors do not fit together, or no layer at all.
    #[error("the layers of `{network}` are no chain: {reason}")]
    Chain {
        /// The network's name.
        network: String,
        /// What does not fit.
        reason: String,
    },
}

/// The geometry of a layer in the library's terms.
///
/// # Errors
/// Where it breaks one of the library's rules.
pub fn shape(layer: &QuantizedLayer) -> Result<Conv2dShape, ExportError> {
    let shape = match layer.kind {
        QuantizedKind::Dense => Conv2dShape::dense(layer.input_shape.iter().product(), layer.output_shape[2]),
        QuantizedKind::Conv2d { filter, stride, padding: [y, x], max_pool } => Conv2dShape {
            stride,
            padding: [y, x, y, x],
            pool: max_pool.unwrap_or([1, 1]),
            ..Conv2dShape::new(layer.input_shape, layer.output_shape[2], filter)
        },
    };
    let error = |reason: String| ExportError::Layer { layer: layer.name.clone(), reason };
    shape.check().map_err(|rule| error(rule.to_string()))?;
    if shape.output() != layer.output_shape {
        return Err(error(format!("its output is {:?}, not {:?}", shape.output(), layer.output_shape)));
    }
    Ok(shape)
}

/// What the file says about the network besides its numbers.
#[derive(Clone, Debug)]
pub struct Description {
    /// The network's name for people, such as `LeNet-5`.
    pub title: String,
    /// A sentence or two: the data, the seed, the accuracy.
    pub text: String,
}

/// The text of the Rust file.
///
/// # Errors
/// Where a layer breaks one of the library's rules, or the layers are no chain.
pub fn rust_file(network: &QuantizedNetwork, description: &Description) -> Result<String, ExportError> {
    let chain = |reason: String| ExportError::Chain { network: network.name.clone(), reason };
    let layers = network.layers.iter().map(Named::new).collect::<Result<Vec<_>, _>>()?;
    let (Some(first), Some(last)) = (layers.first(), layers.last()) else {
        return Err(chain("there are none".to_owned()));
    };
    for pair in layers.windows(2) {
        let (before, after) = (pair[0].layer, pair[1].layer);
        if before.output_shape != after.input_shape || before.output != after.input {
            return Err(chain(format!("`{}` does not take what `{}` gives", after.name, before.name)));
        }
    }
    let mut text = String::new();
    header(&mut text, &layers, description);
    let _ = writeln!(
        text,
        "/// The network's name.\npub const NAME: &str = {:?};\n\n\
         /// The input's quantization: real = scale * (q - zero point).\n{}\n\
         /// The output's quantization.\n{}",
        description.title,
        quantization("pub const INPUT", first.layer.input),
        quantization("pub const OUTPUT", last.layer.output),
    );
    sizes(&mut text, &layers);
    infer(&mut text, &layers);
    for (i, layer) in layers.iter().enumerate() {
        layer.write(&mut text, i.checked_sub(1).map(|i| &layers[i]), i + 1 == layers.len());
    }
    Ok(text)
}

/// A layer with its geometry and the name of its constants.
struct Named<'a> {
    layer: &'a QuantizedLayer,
    shape: Conv2dShape,
    /// Upper case.
    name: String,
}

impl<'a> Named<'a> {
    fn new(layer: &'a QuantizedLayer) -> Result<Self, ExportError> {
        let name = layer.name.to_ascii_uppercase();
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !identifier {
            let reason = "its name is no identifier: letters, digits and `_`, a letter first".to_owned();
            return Err(ExportError::Layer { layer: layer.name.clone(), reason });
        }
        Ok(Self { layer, shape: shape(layer)?, name })
    }

    fn dense(&self) -> bool {
        self.layer.kind == QuantizedKind::Dense
    }

    /// The operator in words.
    fn operator(&self) -> String {
        let mut words = if self.dense() {
            "dense".to_owned()
        } else {
            let [h, w] = self.shape.filter;
            let mut words = format!("convolution {h} x {w}");
            if self.shape.stride != [1, 1] {
                let [y, x] = self.shape.stride;
                let _ = write!(words, ", stride {y} x {x}");
            }
            if self.shape.padding != [0; 4] {
                let [y, x, ..] = self.shape.padding;
                let _ = write!(words, ", padding {}", if y == x { y.to_string() } else { format!("{y} x {x}") });
            }
            words
        };
        if self.layer.relu {
            words.push_str(", ReLU");
        }
        if self.shape.pool != [1, 1] {
            let [h, w] = self.shape.pool;
            let _ = write!(words, ", max pooling {h} x {w}");
        }
        words
    }

    /// The expression of the shape.
    fn shape_text(&self) -> String {
        let shape = &self.shape;
        if self.dense() {
            return format!("Conv2dShape::dense({}, {})", shape.input[2], shape.filters);
        }
        let mut text = format!("Conv2dShape::new({:?}, {}, {:?})", shape.input, shape.filters, shape.filter);
        let square = |pair: [usize; 2]| pair[0] == pair[1];
        let mut fields = Vec::new();
        match shape.stride {
            [1, 1] => (),
            stride if square(stride) => drop(write!(text, ".stride({})", stride[0])),
            stride => fields.push(format!("stride: {stride:?}")),
        }
        match shape.padding {
            [0, 0, 0, 0] => (),
            [y, x, ..] if y == x => drop(write!(text, ".padding({y})")),
            padding => fields.push(format!("padding: {padding:?}")),
        }
        match shape.pool {
            [1, 1] => (),
            pool if square(pool) => drop(write!(text, ".max_pool({})", pool[0])),
            pool => fields.push(format!("pool: {pool:?}")),
        }
        if fields.is_empty() { text } else { format!("Conv2dShape {{ {}, ..{text} }}", fields.join(", ")) }
    }

    fn write(&self, text: &mut String, before: Option<&Self>, last: bool) {
        let Self { layer, shape, name } = self;
        let kind = if self.dense() { "Dense" } else { "Conv2d" };
        let constructor = if self.dense() { "dense" } else { "new" };
        let activation = if layer.relu { "Activation::Relu" } else { "Activation::Identity" };
        let input = before.map_or("INPUT".to_owned(), |before| format!("{}_OUTPUT", before.name));
        let output = if last { "OUTPUT".to_owned() } else { format!("{name}_OUTPUT") };
        let _ = writeln!(
            text,
            "\n// {}: {}\n\nconst {name}_SHAPE: Conv2dShape = {};\n",
            layer.name,
            self.operator(),
            self.shape_text()
        );
        if !last {
            let _ = writeln!(text, "{}\n", quantization(&format!("const {output}"), layer.output));
        }
        let _ = writeln!(
            text,
            "static {name}: {kind}<\n    {},\n    {},\n    {{ {name}_SHAPE.packed_words::<SingleRounding>() }},\n> = \
             {kind}::int8(\n    {name}_SHAPE,\n    Int8Filters::{constructor}(\n        &{name}_WEIGHTS,\n        \
             &{name}_BIAS,\n        &{name}_SCALES,\n        {input},\n        {output},\n        {activation},\n    \
             ),\n);\n",
            tensor(layer.input_shape),
            tensor(layer.output_shape),
        );
        let filters = shape.filters;
        let scale = |scale: &f32| format!("{scale:?}");
        let _ = writeln!(text, "/// The scale of each output channel's weights.");
        let _ = writeln!(text, "#[rustfmt::skip]\nconst {name}_SCALES: [f32; {filters}] = [");
        lines(text, 1, layer.weight_scales.iter().map(scale));
        let _ = writeln!(text, "];\n\n/// Biases, in units of input scale * weight scale.");
        let _ = writeln!(text, "#[rustfmt::skip]\nconst {name}_BIAS: [i32; {filters}] = [");
        lines(text, 1, layer.bias.iter());
        let _ = writeln!(text, "];\n");
        if self.dense() {
            let inputs = shape.input[2];
            let _ = writeln!(text, "/// Weights: [output][input].");
            let _ = writeln!(text, "#[rustfmt::skip]\nconst {name}_WEIGHTS: [[i8; {inputs}]; {filters}] = [");
            for row in layer.weights.chunks(inputs) {
                text.push_str("    [\n");
                lines(text, 2, row.iter());
                text.push_str("    ],\n");
            }
        } else {
            let ([height, width], channels) = (shape.filter, shape.input[2]);
            let _ = writeln!(text, "/// Weights: [filter][row][column][input channel].");
            let _ = writeln!(
                text,
                "#[rustfmt::skip]\nconst {name}_WEIGHTS: [[[[i8; {channels}]; {width}]; {height}]; {filters}] = ["
            );
            for filter in layer.weights.chunks(height * width * channels) {
                text.push_str("    [\n");
                for row in filter.chunks(width * channels) {
                    let pixels: Vec<_> = row.chunks(channels).map(|pixel| format!("{pixel:?}")).collect();
                    let line = format!("        [{}],", pixels.join(", "));
                    if line.len() <= COLUMNS {
                        let _ = writeln!(text, "{line}");
                    } else {
                        text.push_str("        [\n");
                        lines(text, 3, pixels.iter());
                        text.push_str("        ],\n");
                    }
                }
                text.push_str("    ],\n");
            }
        }
        text.push_str("];\n");
    }
}

fn header(text: &mut String, layers: &[Named<'_>], description: &Description) {
    let comment = |line: &str| format!("//! {line}").trim_end().to_owned();
    let lines: Vec<_> = description.text.trim().lines().map(comment).collect();
    let _ = writeln!(text, "//! {}\n//!\n{}\n//!", description.title, lines.join("\n"));
    let rows: Vec<[String; 5]> = layers
        .iter()
        .map(|layer| {
            let by = |shape: [usize; 3]| shape.map(|n| n.to_string()).join(" x ");
            let (input, output) = (by(layer.layer.input_shape), by(layer.layer.output_shape));
            [layer.layer.name.clone(), layer.operator(), input, output, layer.shape.macs().to_string()]
        })
        .collect();
    let titles = ["layer", "operator", "input", "output", "MACs"].map(str::to_owned);
    let widths: Vec<usize> =
        (0..5).map(|i| rows.iter().chain([&titles]).map(|row| row[i].len()).max().unwrap_or_default()).collect();
    let line = |cells: &[String; 5]| {
        let cells: Vec<_> = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        format!("//! | {} |\n", cells.join(" | "))
    };
    text.push_str(&line(&titles));
    let rule: Vec<_> = widths.iter().map(|&width| "-".repeat(width)).collect();
    let _ = writeln!(text, "//! | {} |", rule.join(" | "));
    for row in &rows {
        text.push_str(&line(row));
    }
    let conv2d = if layers.iter().any(|layer| !layer.dense()) { "Conv2d, " } else { "" };
    let dense = if layers.iter().any(Named::dense) { "Dense, " } else { "" };
    let _ = writeln!(
        text,
        "\n// The canonical arrays exist only in constant evaluation; flash holds the packed layers. Not every program asks\n\
         // for every constant.\n#![allow(clippy::large_const_arrays, dead_code)]\n\n\
         use bareconv::{{\n    Activation, Arena, {conv2d}Conv2dShape, {dense}Int8Filters, Quantization, \
         SingleRounding, Tensor, largest,\n}};\n"
    );
}

/// The constants that say what the network needs.
fn sizes(text: &mut String, layers: &[Named<'_>]) {
    let sum = |term: &dyn Fn(&str) -> String| {
        let terms: Vec<_> = layers.iter().map(|layer| term(&layer.name)).collect();
        terms.join("\n    + ")
    };
    let _ = writeln!(
        text,
        "\n/// Multiply-accumulates of an inference.\n#[rustfmt::skip]\npub const MACS: usize =\n    {};\n",
        sum(&|name| format!("{name}_SHAPE.macs()"))
    );
    let _ = writeln!(
        text,
        "/// Bytes of flash for weights, biases and requantization parameters, packed for this core.\n\
         #[rustfmt::skip]\npub const WEIGHT_BYTES: usize =\n    {};\n",
        sum(&|name| format!("{name}.packed_bytes()"))
    );
    text.push_str(
        "/// Bytes of RAM for activations and scratch: the largest of all layers' inputs, outputs and scratch. The\n\
         /// network's own input and output are the caller's.\npub const RAM_BYTES: usize = largest(&[\n",
    );
    for (i, layer) in layers.iter().enumerate() {
        let held = slot(layers, i) + i.checked_sub(1).map_or(0, |before| slot(layers, before));
        let _ = writeln!(text, "    {held} + 4 * {}_SHAPE.scratch_words::<SingleRounding>(),", layer.name);
    }
    text.push_str("]);\n\n");
}

/// Bytes that the output of layer `i` takes in the arena: a multiple of four, none for the last.
fn slot(layers: &[Named<'_>], i: usize) -> usize {
    if i + 1 == layers.len() { 0 } else { len(layers[i].layer.output_shape).next_multiple_of(4) }
}

fn len(shape: [usize; 3]) -> usize {
    shape.iter().product()
}

/// The function that runs the layers. Outputs alternate between the arena's two ends, scratch is what lies between.
fn infer(text: &mut String, layers: &[Named<'_>]) {
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    let _ = writeln!(
        text,
        "/// Runs the network.\n#[rustfmt::skip]\npub fn infer(\n    input: &{},\n    arena: &mut Arena<RAM_BYTES>,\n) -> {} {{\n    \
         let mut output = Tensor::filled(0);",
        tensor(first.layer.input_shape),
        tensor(last.layer.output_shape)
    );
    let end = |back: usize| if back == 0 { "RAM_BYTES".to_owned() } else { format!("RAM_BYTES - {back}") };
    // The range of the output of layer `i`, and the bytes it takes at the arena's start and end.
    let place = |i: usize| {
        let (bytes, slot) = (len(layers[i].layer.output_shape), slot(layers, i));
        if i.is_multiple_of(2) {
            (format!("0..{bytes}"), slot, 0)
        } else {
            (format!("{}..{}", end(slot), end(slot - bytes)), 0, slot)
        }
    };
    for (i, layer) in layers.iter().enumerate() {
        let mut names = Vec::new();
        let mut ranges = Vec::new();
        let (mut front, mut back) = (0, 0);
        let mut hold = |i: usize, name: String| {
            let (range, at_front, at_back) = place(i);
            (front, back) = (front + at_front, back + at_back);
            names.push(name);
            ranges.push(range);
        };
        let mut source = "input".to_owned();
        if let Some(before) = i.checked_sub(1) {
            source = layers[before].layer.name.clone();
            hold(before, source.clone());
        }
        let mut target = "output".to_owned();
        if i + 1 < layers.len() {
            target = layer.layer.name.clone();
            hold(i, format!("mut {target}"));
        }
        names.push("mut scratch".to_owned());
        ranges.push(format!("{front}..{}", end(back)));
        let _ = writeln!(
            text,
            "\n    let [{}] = arena.slots([{}]);\n    {}.run({source}.view(), {target}.view_mut(), scratch.words());",
            names.join(", "),
            ranges.join(", "),
            layer.name
        );
    }
    text.push_str("\n    output\n}\n");
}

fn tensor([h, w, c]: [usize; 3]) -> String {
    format!("Tensor<i8, {h}, {w}, {c}>")
}

fn quantization(what: &str, grid: Quantization) -> String {
    format!("{what}: Quantization = Quantization::new({:?}, {});", grid.scale, grid.zero_point)
}

/// Comma-separated values in lines of [`COLUMNS`], indented by `indent` levels.
fn lines(text: &mut String, indent: usize, values: impl Iterator<Item = impl Display>) {
    let mut line = String::new();
    let mut flush = |line: &mut String| {
        if !line.is_empty() {
            let _ = writeln!(text, "{}{line}", "    ".repeat(indent));
            line.clear();
        }
    };
    for value in values {
        let value = value.to_string();
        if 4 * indent + line.len() + value.len() + 2 > COLUMNS {
            flush(&mut line);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&value);
        line.push(',');
    }
    flush(&mut line);
}
