//! Convolutions of every kind, dense and locally connected layers.

use super::super::numbers::{Literal, array, array_type};
use super::super::{rounding, tensor_of as tensor};
use super::shape::{
    activation_text, activation_words, conv2d_text, conv2d_words, depthwise_text, depthwise_words, geometry,
    transposed_text,
};
use super::{Declaration, Layer};
use crate::graph::{Element, Rounding, Scales, Weights};
use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, TransposedConv2dShape};
use std::fmt::Write;

/// What the declaration of a layer with weights is made of.
pub(super) struct Convolution {
    /// The layer's type.
    kind: &'static str,
    /// The type of its shape, and the expression.
    shape: (&'static str, String),
    /// The dimensions of the weights.
    dimensions: Vec<usize>,
    /// What they are, for people.
    order: &'static str,
    /// The constructor of the numbers.
    constructor: &'static str,
    /// More parameters of the type, before the packed words.
    parameters: String,
    activation: Activation,
    words: String,
}

impl Convolution {
    pub(super) fn conv2d(shape: &Conv2dShape, activation: Activation) -> Self {
        let [h, w] = shape.filter;
        Self {
            kind: "Conv2d",
            shape: ("Conv2dShape", conv2d_text(shape)),
            dimensions: vec![shape.filters, h, w, shape.input[2] / shape.groups],
            order: "[filter][row][column][input channel]",
            constructor: "new",
            parameters: String::new(),
            activation,
            words: conv2d_words("convolution", shape, activation),
        }
    }

    pub(super) fn dense(shape: &Conv2dShape, activation: Activation) -> Self {
        let rows = shape.input[0] * shape.input[1];
        let several = if rows == 1 { String::new() } else { format!(" of {rows} rows") };
        Self {
            kind: if rows == 1 { "Dense" } else { "Conv2d" },
            shape: ("Conv2dShape", conv2d_text(shape)),
            dimensions: vec![shape.filters, shape.filter_len()],
            order: "[output][input]",
            constructor: "dense",
            parameters: String::new(),
            activation,
            words: format!("dense{several}{}", activation_words(activation)),
        }
    }

    pub(super) fn depthwise(shape: &DepthwiseConv2dShape, activation: Activation) -> Self {
        let [h, w] = shape.filter;
        Self {
            kind: "DepthwiseConv2d",
            shape: ("DepthwiseConv2dShape", depthwise_text(shape)),
            dimensions: vec![h, w, shape.output()[2]],
            order: "[row][column][output channel]",
            constructor: "depthwise",
            parameters: String::new(),
            activation,
            words: depthwise_words(shape, activation),
        }
    }

    /// `upper` is the layer's name in upper case.
    pub(super) fn transposed(upper: &str, shape: &TransposedConv2dShape, activation: Activation) -> Self {
        let [h, w] = shape.filter;
        let (stride, activated) = (geometry(shape.stride, [1, 1], [0; 4]), activation_words(activation));
        Self {
            kind: "TransposedConv2d",
            shape: ("TransposedConv2dShape", transposed_text(shape)),
            dimensions: vec![shape.filters, h, w, shape.input[2]],
            order: "[filter][row][column][input channel]",
            constructor: "new",
            parameters: format!(
                "
    {{ {upper}_SHAPE.phases() }},"
            ),
            activation,
            words: format!("transposed convolution {h} x {w}{stride}{activated}"),
        }
    }

    pub(super) fn locally_connected(shape: &Conv2dShape, activation: Activation) -> Self {
        let [h, w] = shape.filter;
        Self {
            kind: "LocallyConnected2d",
            shape: ("Conv2dShape", conv2d_text(shape)),
            dimensions: vec![shape.output().iter().product(), h, w, shape.input[2]],
            order: "[output row, column and channel][row][column][input channel]",
            constructor: "new",
            parameters: String::new(),
            activation,
            words: conv2d_words("locally connected", shape, activation),
        }
    }
}

impl Declaration<'_> {
    pub(super) fn convolution(
        &self,
        text: &mut String,
        layer: &mut Layer,
        convolution: Convolution,
        weights: &Weights,
    ) {
        let Convolution { kind, shape, dimensions, order, constructor, parameters, activation, words } = convolution;
        let upper = self.upper();
        let _ = writeln!(text, "const {upper}_SHAPE: {} = {};\n", shape.0, shape.1);
        let (from, to) = (self.from(0).to_owned(), layer.quantization.clone());
        let activation = activation_text(activation);
        let of_weights = match weights {
            Weights::Int4 { weights, .. } => {
                layer.imports.push("nibbles");
                format!("&nibbles::<{}, {}>(&weights::{upper}_WEIGHTS)", weights.len(), weights.len().div_ceil(2))
            }
            _ => format!("&weights::{upper}_WEIGHTS"),
        };
        let mut numbers = format!("        {of_weights},\n        &weights::{upper}_BIAS,\n");
        let mut line = |expression: &str| {
            let _ = writeln!(numbers, "        {expression},");
        };
        let filters = *if constructor == "depthwise" { &dimensions[2] } else { &dimensions[0] };
        let mut declare = |name: &str, doc: &str, kind: String, numbers: String| {
            let _ = write!(layer.weights, "/// {doc}\npub const {upper}_{name}: {kind} = {numbers};\n\n");
        };
        let int16 = matches!(self.input().element, Element::Int16(_));
        let wide_sums = int16
            && ["Conv2d", "Dense"].contains(&kind)
            && self.graph.rounding == Rounding::TensorFlowLiteMicro
            && weights.need_wide_sums();
        let epilogue = match weights {
            Weights::Int8 { weights, scales, bias, wide_bias } => {
                let rounding = rounding(self.graph.rounding, *wide_bias);
                match scales {
                    Scales::PerTensor(scale) => line(&format!("&[{}; {filters}]", scale.literal())),
                    Scales::PerChannel(scales) => {
                        line(&format!("&weights::{upper}_SCALES"));
                        let output = if kind == "LocallyConnected2d" { "output" } else { "output channel" };
                        let doc = format!("The scale of each {output}'s weights of `{}`.", self.name);
                        declare("SCALES", &doc, format!("[f32; {filters}]"), array(scales, &[filters], 0));
                    }
                }
                for expression in [&from, &to, activation] {
                    line(expression);
                }
                let doc = format!("Biases of `{}`, in units of input scale * weight scale.", self.name);
                declare("BIAS", &doc, format!("[i32; {filters}]"), array(bias, &[filters], 0));
                let doc = format!("Weights of `{}`: {order}.", self.name);
                declare("WEIGHTS", &doc, array_type("i8", &dimensions), array(weights, &dimensions, 0));
                if wide_sums {
                    layer.imports.extend(["Int16Filters", "Int16x8Wide"]);
                    ("Int16x8Wide".to_owned(), "int16_wide", format!("Int16Filters::{constructor}"))
                } else if int16 {
                    layer.imports.extend(["Int16Filters", "Int16x8", rounding]);
                    (format!("Int16x8<{rounding}>"), "int16", format!("Int16Filters::{constructor}"))
                } else {
                    layer.imports.extend(["Int8Filters", rounding]);
                    (rounding.to_owned(), "int8", format!("Int8Filters::{constructor}"))
                }
            }
            Weights::Int4 { weights, scales, bias } => {
                let rounding = rounding(self.graph.rounding, false);
                layer.imports.extend([rounding, "Int4", "Int4Filters"]);
                line(&format!("&weights::{upper}_SCALES"));
                for expression in [&from, &to, activation] {
                    line(expression);
                }
                let doc = format!("The scale of each output channel's weights of `{}`.", self.name);
                declare("SCALES", &doc, format!("[f32; {filters}]"), array(scales, &[filters], 0));
                let doc = format!("Biases of `{}`, in units of input scale * weight scale.", self.name);
                declare("BIAS", &doc, format!("[i32; {filters}]"), array(bias, &[filters], 0));
                let doc = format!("Weights of `{}`, int4, {order}, one after the other.", self.name);
                declare("WEIGHTS", &doc, format!("[i8; {}]", weights.len()), array(weights, &[weights.len()], 0));
                (format!("Int4<{rounding}>"), "int4", "Int4Filters::new".to_owned())
            }
            Weights::F32 { weights, bias } => {
                line(activation);
                layer.imports.extend(["F32Filters", "Clamp"]);
                declare(
                    "BIAS",
                    &format!("Biases of `{}`.", self.name),
                    format!("[f32; {filters}]"),
                    array(bias, &[filters], 0),
                );
                let doc = format!("Weights of `{}`: {order}.", self.name);
                declare("WEIGHTS", &doc, array_type("f32", &dimensions), array(weights, &dimensions, 0));
                ("Clamp".to_owned(), "float", format!("F32Filters::{constructor}"))
            }
        };
        let (epilogue, layer_constructor, numbers_constructor) = epilogue;
        let [packed_words, scratch_words] = match kind {
            "LocallyConnected2d" => ["locally_connected_words", "locally_connected_scratch_words"],
            _ => ["packed_words", "scratch_words"],
        };
        let default = if epilogue == "SingleRounding" { String::new() } else { format!("\n    {epilogue},") };
        let _ = write!(
            text,
            "static {upper}: {kind}<\n    {},\n    {},{parameters}\n    {{ {upper}_SHAPE.{packed_words}::<{epilogue}>() }},{default}\n> = \
             {kind}::{layer_constructor}(\n    {upper}_SHAPE,\n    {numbers_constructor}(\n{numbers}    ),\n);\n",
            tensor(self.input()),
            tensor(self.output()),
        );
        layer.imports.extend([kind, shape.0, "Activation"]);
        layer.macs = Some(format!("{upper}_SHAPE.macs()"));
        layer.flash = Some(format!("{upper}.packed_bytes()"));
        layer.scratch = Some(format!("{upper}_SHAPE.{scratch_words}::<{epilogue}>()"));
        layer.stream = Some(format!("{upper}_SHAPE.stream_words::<{epilogue}>()"));
        layer.words = words;
    }
}
