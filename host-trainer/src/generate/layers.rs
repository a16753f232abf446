//! The declarations of layers: shapes, quantizations, statics.

use super::numbers::{Literal, array, array_type, quantization};
use super::{product_rounding, rounding, tensor_of as tensor};
use crate::graph::{Element, Function, Graph, Node, Numbers, Operator, Rounding, Scales, Value, ValueId, Weights};
use crate::plan::Form;
use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, Pool2dShape, TransposedConv2dShape};
use std::fmt::Write;

/// A declared layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    /// In lower case; empty if there is none, as for a reshape.
    pub name: String,
    /// The operator in words.
    pub words: String,
    /// Its constants and its static.
    pub text: String,
    /// Its numbers.
    pub weights: String,
    /// What it needs of the library.
    pub imports: Vec<&'static str>,
    /// The expression of its multiply-accumulates.
    pub macs: Option<String>,
    /// The expression of the bytes of flash that it takes.
    pub flash: Option<String>,
    /// The expression of the words of scratch that it takes.
    pub scratch: Option<String>,
    /// The expression of the words that it takes row by row.
    pub stream: Option<String>,
    /// Whether its type leaves the shapes of its views open.
    pub generic: bool,
    /// Whether it takes its inputs as a tuple.
    pub tuple: bool,
    /// Its inputs, in the order in which it takes them.
    pub inputs: Vec<ValueId>,
    /// Whether a second layer, `NAME_ACTIVATION`, follows.
    pub activation: bool,
    /// What is run, where it is not the static.
    pub expression: Option<String>,
    /// The expression of its output's quantization or scale.
    pub quantization: String,
}

/// What is to be declared.
pub(super) struct Declaration<'a> {
    pub graph: &'a Graph,
    pub node: &'a Node,
    pub name: &'a str,
    /// The expressions of the values' quantizations.
    pub quantizations: &'a [String],
    pub form: Form,
}

/// The expression of a quantization or scale.
pub(super) fn quantization_of(element: Element) -> String {
    match element {
        Element::Int8(of) => quantization(of),
        Element::Int16(scale) => scale.literal(),
        Element::F32 => String::new(),
    }
}

/// A constant tensor.
pub(super) fn constant(name: &str, value: &Value, numbers: &Numbers) -> String {
    let numbers = match numbers {
        Numbers::Int8(numbers) => array(numbers, &value.shape, 0),
        Numbers::Int16(numbers) => array(numbers, &value.shape, 0),
        Numbers::F32(numbers) => array(numbers, &value.shape, 0),
    };
    let (upper, kind) = (name.to_ascii_uppercase(), tensor(value));
    let kind = kind.replacen("Tensor", "bareconv::Tensor", 1);
    format!("/// A constant of the network.\npub static {upper}: {kind} = bareconv::Tensor({numbers});\n\n")
}

/// The convolutions of all kinds.
struct Convolution<'a> {
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
    weights: &'a Weights,
    activation: Activation,
    words: String,
}

impl Declaration<'_> {
    fn value(&self, id: ValueId) -> &Value {
        self.graph.value(id)
    }

    fn input(&self) -> &Value {
        self.value(self.node.inputs[0])
    }

    fn output(&self) -> &Value {
        self.value(self.node.output)
    }

    fn upper(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    /// The expression of the quantization of an input.
    fn from(&self, number: usize) -> &str {
        &self.quantizations[self.node.inputs[number].0]
    }

    pub(super) fn write(&self) -> Result<Layer, String> {
        let mut layer = Layer {
            name: self.name.to_owned(),
            inputs: self.node.inputs.clone(),
            quantization: self.from(0).to_owned(),
            ..Layer::default()
        };
        let mut text = String::new();
        self.quantization(&mut text, &mut layer);
        match &self.node.operator {
            Operator::Conv2d { shape, weights, activation } => {
                let [h, w] = shape.filter;
                self.convolution(
                    &mut text,
                    &mut layer,
                    Convolution {
                        kind: "Conv2d",
                        shape: ("Conv2dShape", conv2d_text(shape)),
                        dimensions: vec![shape.filters, h, w, shape.input[2] / shape.groups],
                        order: "[filter][row][column][input channel]",
                        constructor: "new",
                        parameters: String::new(),
                        weights,
                        activation: *activation,
                        words: conv2d_words("convolution", shape, *activation),
                    },
                );
            }
            Operator::Dense { shape, weights, activation } => {
                let rows = shape.input[0] * shape.input[1];
                let several = if rows == 1 { String::new() } else { format!(" of {rows} rows") };
                self.convolution(
                    &mut text,
                    &mut layer,
                    Convolution {
                        kind: if rows == 1 { "Dense" } else { "Conv2d" },
                        shape: ("Conv2dShape", conv2d_text(shape)),
                        dimensions: vec![shape.filters, shape.filter_len()],
                        order: "[output][input]",
                        constructor: "dense",
                        parameters: String::new(),
                        weights,
                        activation: *activation,
                        words: format!("dense{several}{}", activation_words(*activation)),
                    },
                );
            }
            Operator::Depthwise { shape, weights, activation } => {
                let [h, w] = shape.filter;
                self.convolution(
                    &mut text,
                    &mut layer,
                    Convolution {
                        kind: "DepthwiseConv2d",
                        shape: ("DepthwiseConv2dShape", depthwise_text(shape)),
                        dimensions: vec![h, w, shape.output()[2]],
                        order: "[row][column][output channel]",
                        constructor: "depthwise",
                        parameters: String::new(),
                        weights,
                        activation: *activation,
                        words: depthwise_words(shape, *activation),
                    },
                );
            }
            Operator::Transposed { shape, weights, activation } => {
                let [h, w] = shape.filter;
                let words = format!(
                    "transposed convolution {h} x {w}{}{}",
                    geometry(shape.stride, [1, 1], [0; 4]),
                    activation_words(*activation)
                );
                self.convolution(
                    &mut text,
                    &mut layer,
                    Convolution {
                        kind: "TransposedConv2d",
                        shape: ("TransposedConv2dShape", transposed_text(shape)),
                        dimensions: vec![shape.filters, h, w, shape.input[2]],
                        order: "[filter][row][column][input channel]",
                        constructor: "new",
                        parameters: format!("\n    {{ {}_SHAPE.phases() }},", self.upper()),
                        weights,
                        activation: *activation,
                        words,
                    },
                );
            }
            Operator::LocallyConnected { shape, weights, activation } => {
                let [h, w] = shape.filter;
                self.convolution(
                    &mut text,
                    &mut layer,
                    Convolution {
                        kind: "LocallyConnected2d",
                        shape: ("Conv2dShape", conv2d_text(shape)),
                        dimensions: vec![self.output().len(), h, w, shape.input[2]],
                        order: "[output row, column and channel][row][column][input channel]",
                        constructor: "new",
                        parameters: String::new(),
                        weights,
                        activation: *activation,
                        words: conv2d_words("locally connected", shape, *activation),
                    },
                );
            }
            Operator::MaxPool { shape, activation } => {
                self.pool(&mut text, &mut layer, "MaxPool2d", "new", shape, *activation, false);
            }
            Operator::AveragePool { shape, including_padding, activation } => {
                let constructor = match self.output().element {
                    Element::Int8(_) => "int8",
                    Element::Int16(_) => "int16",
                    Element::F32 => "float",
                };
                self.pool(&mut text, &mut layer, "AveragePool2d", constructor, shape, *activation, *including_padding);
            }
            Operator::Mean => self.mean(&mut text, &mut layer),
            Operator::Function(function) => self.function(&mut text, &mut layer, function),
            Operator::Add(activation) => self.join(&mut text, &mut layer, "Add", *activation)?,
            Operator::Subtract(activation) => self.join(&mut text, &mut layer, "Subtract", *activation)?,
            Operator::Multiply(activation) => self.join(&mut text, &mut layer, "Multiply", *activation)?,
            Operator::Concatenate { axis } => self.concatenate(&mut text, &mut layer, *axis)?,
            Operator::Pad { before, after, value } => {
                layer.words = "padding".to_owned();
                let value = match value {
                    Numbers::Int8(values) => values[0].literal(),
                    Numbers::Int16(values) => values[0].literal(),
                    Numbers::F32(values) => values[0].literal(),
                };
                let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
                self.declare(
                    &mut text,
                    &mut layer,
                    "const",
                    &["Pad"],
                    &format!("Pad<{types}>"),
                    &format!("Pad::new({before:?}, {after:?}, {value})"),
                );
            }
            // One that is no mere view: its input or output is the caller's.
            Operator::Reshape => {
                layer.words = "copy".to_owned();
                layer.generic = true;
            }
            Operator::Slice { begin, stride } => {
                layer.words = "slice".to_owned();
                let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
                let value = slice_text(*begin, *stride, self.output().shape);
                self.declare(&mut text, &mut layer, "const", &["Slice"], &format!("Slice<{types}>"), &value);
            }
            Operator::ResizeNearest { align_corners, half_pixel_centers } => {
                let ([h, w, _], [out_h, out_w, _]) = (self.input().shape, self.output().shape);
                layer.words = format!("nearest {h} x {w} to {out_h} x {out_w}");
                let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
                let (imports, value): (&[&str], _) = match (align_corners, half_pixel_centers) {
                    (false, false) => (&["Upsample"], "Upsample::nearest()"),
                    (false, true) => (&["Upsample", "Coordinates"], "Upsample::nearest_with(Coordinates::HalfPixel)"),
                    (true, false) => {
                        (&["Upsample", "Coordinates"], "Upsample::nearest_with(Coordinates::AlignCorners)")
                    }
                    (true, true) => {
                        return Err("resizing is with align_corners or half_pixel_centers, not both".to_owned());
                    }
                };
                self.declare(&mut text, &mut layer, "const", imports, &format!("Upsample<{types}>"), value);
            }
            Operator::Quantize => {
                layer.words = "quantize".to_owned();
                layer.generic = true;
                let (kind, constructor) = self.typed(self.output().element);
                let value = format!("Quantize::{constructor}({})", layer.quantization);
                self.declare(&mut text, &mut layer, "const", &["Quantize"], &format!("Quantize<{kind}>"), &value);
            }
            Operator::Dequantize => {
                layer.words = "dequantize".to_owned();
                layer.generic = true;
                let (kind, constructor) = self.typed(self.input().element);
                let value = format!("Dequantize::{constructor}({})", self.from(0));
                self.declare(&mut text, &mut layer, "const", &["Dequantize"], &format!("Dequantize<{kind}>"), &value);
            }
            Operator::Requantize => {
                layer.words = "requantize".to_owned();
                layer.generic = true;
                let rounding = product_rounding(self.graph.rounding);
                layer.imports.push(rounding);
                let (from, to) = (self.input().element, self.output().element);
                let constructor = match (from, to) {
                    (Element::Int8(_), Element::Int8(_)) => "int8",
                    (Element::Int8(_), _) => "int8_to_int16",
                    (_, Element::Int8(_)) => "int16_to_int8",
                    _ => "int16",
                };
                let kind = format!("Requantize<{}, {}, {rounding}>", from.rust(), to.rust());
                let value = format!("Requantize::{constructor}({}, {})", self.from(0), layer.quantization);
                self.declare(&mut text, &mut layer, "const", &["Requantize"], &kind, &value);
            }
        }
        layer.text = format!("\n// {}: {}\n\n{}", self.name, layer.words, text);
        if layer.words == "copy" {
            layer.text.clear();
        }
        Ok(layer)
    }

    /// Declares the output's quantization unless it is the input's, or a layer's own.
    fn quantization(&self, text: &mut String, layer: &mut Layer) {
        let (from, to) = (self.input().element, self.output().element);
        if from == to {
            return;
        }
        let known = match (&self.node.operator, to) {
            (Operator::Function(Function::Softmax { .. }), Element::Int8(_)) => Some("SoftmaxInt8::OUTPUT"),
            (Operator::Function(Function::Sigmoid), Element::Int8(_)) => Some("Int8Table::SIGMOID_OUTPUT"),
            (Operator::Function(Function::Tanh), Element::Int8(_)) => Some("Int8Table::TANH_OUTPUT"),
            _ => None,
        };
        layer.quantization = format!("{}_QUANTIZATION", self.upper());
        match (known, to) {
            (Some(known), _) => layer.quantization = known.to_owned(),
            (None, Element::Int8(of)) => {
                let _ = writeln!(text, "const {}: Quantization = {};\n", layer.quantization, quantization(of));
            }
            (None, Element::Int16(scale)) => {
                let _ = writeln!(text, "const {}: f32 = {};\n", layer.quantization, scale.literal());
            }
            (None, Element::F32) => layer.quantization.clear(),
        }
    }

    /// The name of an integer type, and of its constructors.
    fn typed(&self, element: Element) -> (&'static str, &'static str) {
        match element {
            Element::Int8(_) => ("i8", "int8"),
            Element::Int16(_) => ("i16", "int16"),
            Element::F32 => ("f32", "float"),
        }
    }

    fn declare(
        &self,
        text: &mut String,
        layer: &mut Layer,
        storage: &str,
        imports: &[&'static str],
        kind: &str,
        value: &str,
    ) {
        layer.imports.extend(imports);
        let line = format!("{storage} {}: {kind} = {value};", self.upper());
        if line.len() <= 116 {
            let _ = writeln!(text, "{line}");
        } else {
            let _ = writeln!(text, "{storage} {}: {kind} =\n    {value};", self.upper());
        }
    }

    fn convolution(&self, text: &mut String, layer: &mut Layer, convolution: Convolution<'_>) {
        let Convolution { kind, shape, dimensions, order, constructor, parameters, weights, activation, words } =
            convolution;
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

    fn pool(
        &self,
        text: &mut String,
        layer: &mut Layer,
        kind: &'static str,
        constructor: &str,
        shape: &Pool2dShape,
        activation: Activation,
        including_padding: bool,
    ) {
        let upper = self.upper();
        let _ = writeln!(text, "const {upper}_SHAPE: Pool2dShape = {};\n", pool_text(shape));
        let mut value = format!("{kind}::{constructor}({upper}_SHAPE)");
        if including_padding {
            match self.output().element {
                Element::Int8(of) => drop(write!(value, ".including_padding_of({})", of.zero_point)),
                _ => value.push_str(".including_padding()"),
            }
        }
        let types = format!("{kind}<{}, {}>", tensor(self.input()), tensor(self.output()));
        layer.stream = Some(format!("{upper}_SHAPE.stream_words::<{}>()", self.output().element.rust()));
        self.declare(text, layer, "const", &[kind, "Pool2dShape"], &types, &value);
        let [h, w] = shape.window;
        let what = if kind == "MaxPool2d" { "max" } else { "average" };
        let whole = shape.window == [shape.input[0], shape.input[1]] && shape.padding == [0; 4];
        let geometry = if whole { String::new() } else { geometry(shape.stride, shape.window, shape.padding) };
        layer.words = format!("{what} pooling {h} x {w}{geometry}{}", activation_words(activation));
        if activation != Activation::Identity {
            layer.activation = true;
            let (kind, value) = relu(self.output().element, activation, &layer.quantization);
            layer.imports.push(if activation == Activation::Relu { "Relu" } else { "Relu6" });
            let _ = writeln!(text, "const {upper}_ACTIVATION: {kind} = {value};");
        }
    }

    fn mean(&self, text: &mut String, layer: &mut Layer) {
        layer.words = "mean over height and width".to_owned();
        if self.output().element == Element::F32 {
            layer.imports.push("GlobalAveragePool2d");
            layer.expression = Some("GlobalAveragePool2d".to_owned());
            layer.generic = true;
            return;
        }
        let (_, constructor) = self.typed(self.output().element);
        let types = format!("Mean2d<{}, {}>", tensor(self.input()), tensor(self.output()));
        let value = format!("Mean2d::{constructor}({}, {})", self.from(0), layer.quantization);
        self.declare(text, layer, "const", &["Mean2d"], &types, &value);
    }

    fn function(&self, text: &mut String, layer: &mut Layer, function: &Function) {
        layer.generic = true;
        let (from, to) = (self.from(0).to_owned(), layer.quantization.clone());
        let (element, same) = (self.input().element, self.input().element == self.output().element);
        let channels = self.input().shape[2];
        let table =
            |arguments: &str| ("static", vec!["Int8Table"], "Int8Table".to_owned(), format!("Int8Table::{arguments}"));
        let unit = |name: &'static str| ("const", vec![name], name.to_owned(), name.to_owned());
        let (storage, imports, kind, value) = match (function, element) {
            (Function::Relu | Function::Relu6, _) if same => {
                let activation = if *function == Function::Relu { Activation::Relu } else { Activation::Relu6 };
                let (kind, value) = relu(element, activation, &to);
                ("const", vec![if activation == Activation::Relu { "Relu" } else { "Relu6" }], kind, value)
            }
            (Function::Relu, Element::Int8(_)) => table(&format!("relu({from}, {to})")),
            (Function::Relu6, Element::Int8(_)) => table(&format!("relu6({from}, {to})")),
            (Function::Relu | Function::Relu6, _) => {
                let value = format!("LeakyReluInt16::new(0.0, {from}, {to})");
                ("const", vec!["LeakyReluInt16"], "LeakyReluInt16".to_owned(), value)
            }
            (Function::LeakyRelu { slope }, Element::Int8(_)) => {
                table(&format!("leaky_relu({}, {from}, {to})", slope.literal()))
            }
            (Function::LeakyRelu { slope }, Element::Int16(_)) => {
                let value = format!("LeakyReluInt16::new({}, {from}, {to})", slope.literal());
                ("const", vec!["LeakyReluInt16"], "LeakyReluInt16".to_owned(), value)
            }
            (Function::LeakyRelu { slope }, Element::F32) => (
                "const",
                vec!["LeakyReluF32"],
                "LeakyReluF32".to_owned(),
                format!("LeakyReluF32::new({})", slope.literal()),
            ),
            (Function::PRelu { slopes, quantization: of }, element) => {
                let upper = self.upper();
                let (numbers, number) = match slopes {
                    Numbers::Int8(slopes) => (array(slopes, &[channels], 0), "i8"),
                    Numbers::Int16(slopes) => (array(slopes, &[channels], 0), "i16"),
                    Numbers::F32(slopes) => (array(slopes, &[channels], 0), "f32"),
                };
                let _ = write!(
                    layer.weights,
                    "/// The slopes of `{}`.\npub const {upper}_SLOPES: [{number}; {channels}] = {numbers};\n\n",
                    self.name
                );
                let kind = match element {
                    Element::Int8(_) => "PReluInt8",
                    Element::Int16(_) => "PReluInt16",
                    Element::F32 => "PReluF32",
                };
                let more = of.map_or(String::new(), |of| format!(", {}, {from}, {to}", quantization(of)));
                (
                    "static",
                    vec![kind],
                    format!("{kind}<{channels}>"),
                    format!("{kind}::new(weights::{upper}_SLOPES{more})"),
                )
            }
            (Function::HardSwish, Element::F32) => unit("HardSwishF32"),
            (Function::HardSwish, _) => table(&format!("hard_swish({from}, {to})")),
            (Function::HardSigmoid { alpha, beta }, _) => {
                layer.imports.push("HardSigmoidF32");
                let function = format!("HardSigmoidF32::new({}, {})", alpha.literal(), beta.literal());
                match element {
                    Element::F32 => ("const", vec![], "HardSigmoidF32".to_owned(), function),
                    _ => table(&format!("hard_sigmoid({function}, {from}, {to})")),
                }
            }
            (Function::LocalResponse { size, alpha, beta, k }, element) => {
                layer.imports.push("LocalResponse");
                let [alpha, beta, k] = [alpha, beta, k].map(|number| number.literal());
                let norm = format!("LocalResponse::new({size}, {alpha}, {beta}, {k})");
                let (kind, more) = match element {
                    Element::F32 => ("LocalResponseNormF32", String::new()),
                    _ => ("LocalResponseNormInt8", format!(", {from}, {to}")),
                };
                ("const", vec![kind], kind.to_owned(), format!("{kind}::new({norm}{more})"))
            }
            (Function::Table { of, outputs }, _) => {
                let upper = self.upper();
                let numbers = array(&outputs[..], &[256], 0);
                let _ = write!(
                    layer.weights,
                    "/// The outputs of `{}`, {of}, for -128, -127, ..., 127.\npub const {upper}_OUTPUTS: [i8; 256] = {numbers};\n\n",
                    self.name
                );
                table(&format!("new(weights::{upper}_OUTPUTS)"))
            }
            (Function::Sigmoid, Element::F32) => unit("SigmoidF32"),
            (Function::Sigmoid, Element::Int8(_)) => table(&format!("sigmoid({from})")),
            (Function::Sigmoid, Element::Int16(_)) => {
                ("const", vec!["SigmoidInt16"], "SigmoidInt16".to_owned(), format!("SigmoidInt16::new({from})"))
            }
            (Function::Tanh, Element::F32) => unit("TanhF32"),
            (Function::Tanh, Element::Int8(_)) => table(&format!("tanh({from})")),
            (Function::Tanh, Element::Int16(_)) => {
                ("const", vec!["TanhInt16"], "TanhInt16".to_owned(), format!("TanhInt16::new({from})"))
            }
            (Function::Softmax { .. }, Element::F32) => unit("SoftmaxF32"),
            (Function::Softmax { beta }, Element::Int8(of)) => (
                "const",
                vec!["SoftmaxInt8"],
                "SoftmaxInt8".to_owned(),
                format!("SoftmaxInt8::new({}, {})", of.scale.literal(), beta.literal()),
            ),
            (Function::Softmax { beta }, Element::Int16(_)) => (
                "const",
                vec!["SoftmaxInt16"],
                "SoftmaxInt16".to_owned(),
                format!("SoftmaxInt16::new({from}, {})", beta.literal()),
            ),
        };
        layer.words = match function {
            Function::Relu => "ReLU".to_owned(),
            Function::Relu6 => "ReLU6".to_owned(),
            Function::LeakyRelu { slope } => format!("leaky ReLU, slope {slope}"),
            Function::PRelu { .. } => "PReLU".to_owned(),
            Function::HardSwish => "hard swish".to_owned(),
            Function::HardSigmoid { .. } => "hard sigmoid".to_owned(),
            Function::LocalResponse { size, .. } => format!("local response of {size} channels"),
            Function::Table { of, .. } => format!("{of}, a table"),
            Function::Sigmoid => "sigmoid".to_owned(),
            Function::Tanh => "tanh".to_owned(),
            Function::Softmax { .. } => "softmax".to_owned(),
        };
        if kind == "Int8Table" || kind.starts_with("PRelu") {
            layer.flash = Some(format!("size_of::<{kind}>()"));
        }
        self.declare(text, layer, storage, &imports, &kind, &value);
    }

    fn join(
        &self,
        text: &mut String,
        layer: &mut Layer,
        kind: &'static str,
        activation: Activation,
    ) -> Result<(), String> {
        let to = self.output().shape;
        let shapes = [0, 1].map(|i| self.value(self.node.inputs[i]).shape);
        // The first operand has the output's shape; what runs in place is the first, too.
        let (mut kind, commutes) = (kind, kind != "Subtract");
        let order = match (self.form, shapes.map(|shape| shape == to)) {
            (Form::InPlace(1), _) if commutes => [1, 0],
            (_, [true, _]) => [0, 1],
            (_, [_, true]) => [1, 0],
            _ => return Err("one operand must have the output's shape".to_owned()),
        };
        if !commutes && order == [1, 0] {
            kind = "SubtractFrom";
        }
        layer.inputs = order.map(|i| self.node.inputs[i]).to_vec();
        let [a, b] = order.map(|i| tensor(self.value(self.node.inputs[i])));
        let activation_code = activation_text(activation);
        let (types, value) = if self.output().element == Element::F32 {
            (format!("{kind}<{a}, {b}>"), format!("{kind}::float({activation_code})"))
        } else {
            let rounding = product_rounding(self.graph.rounding);
            layer.imports.push(rounding);
            let (_, constructor) = self.typed(self.output().element);
            let [x, y] = order.map(|i| self.from(i));
            (
                format!("{kind}<{a}, {b}, {rounding}>"),
                format!("{kind}::{constructor}([{x}, {y}], {}, {activation_code})", layer.quantization),
            )
        };
        let word = if commutes { kind.to_ascii_lowercase() } else { "subtract".to_owned() };
        layer.words = format!("{word}{}", activation_words(activation));
        self.declare(text, layer, "const", &[kind, "Activation"], &types, &value);
        Ok(())
    }

    fn concatenate(&self, text: &mut String, layer: &mut Layer, axis: usize) -> Result<(), String> {
        let inputs = &self.node.inputs;
        if inputs.len() == 1 && self.input().element == self.output().element {
            layer.words = "copy of all values".to_owned();
            let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
            self.declare(text, layer, "const", &["Slice"], &format!("Slice<{types}>"), "Slice::at([0, 0, 0])");
            return Ok(());
        }
        if !(2..=6).contains(&inputs.len()) {
            return Err(format!("concatenation is of two to six tensors, not {}", inputs.len()));
        }
        layer.tuple = true;
        layer.words = format!("concatenate {}", ["rows", "columns", "channels"][axis]);
        let axis = ["Axis::Rows", "Axis::Columns", "Axis::Channels"][axis];
        let types: Vec<_> = inputs.iter().map(|&input| tensor(self.value(input))).collect();
        let types = format!("({}), {}", types.join(", "), tensor(self.output()));
        let to = self.output().element;
        if inputs.iter().all(|&input| self.value(input).element == to) {
            self.declare(
                text,
                layer,
                "const",
                &["Concatenate", "Axis"],
                &format!("Concatenate<{types}>"),
                &format!("Concatenate::new({axis})"),
            );
            return Ok(());
        }
        let rounding = product_rounding(self.graph.rounding);
        layer.imports.push(rounding);
        let maps = (0..inputs.len())
            .map(|i| format!("RequantizeInt8::new::<{rounding}>({}, {})", self.from(i), layer.quantization));
        let maps = format!("\n        {},\n    ", maps.collect::<Vec<_>>().join(",\n        "));
        layer.flash = Some(format!("{} * size_of::<RequantizeInt8>()", inputs.len()));
        self.declare(
            text,
            layer,
            "static",
            &["Concatenate", "Axis", "RequantizeInt8"],
            &format!("Concatenate<{types}, [RequantizeInt8; {}]>", inputs.len()),
            &format!("Concatenate::requantizing({axis}, [{maps}])"),
        );
        Ok(())
    }
}

fn relu(element: Element, activation: Activation, quantization: &str) -> (String, String) {
    match (activation, element) {
        (Activation::Relu6, Element::Int8(_)) => ("Relu6<i8>".to_owned(), format!("Relu6::int8({quantization})")),
        (Activation::Relu6, Element::Int16(_)) => ("Relu6<i16>".to_owned(), format!("Relu6::int16({quantization})")),
        (Activation::Relu6, Element::F32) => ("Relu6<f32>".to_owned(), "Relu6::float()".to_owned()),
        (_, Element::Int8(_)) => ("Relu<i8>".to_owned(), format!("Relu::int8({quantization}.zero_point)")),
        (_, Element::Int16(_)) => ("Relu<i16>".to_owned(), "Relu::int16()".to_owned()),
        (_, Element::F32) => ("Relu<f32>".to_owned(), "Relu::float()".to_owned()),
    }
}

/// A slice of these beginnings and strides, as large as its output.
fn slice_text(begin: [usize; 3], stride: [isize; 3], output: [usize; 3]) -> String {
    if stride == [1; 3] {
        return format!("Slice::at({begin:?})");
    }
    let ends = [0, 1, 2].map(|axis| {
        let last = begin[axis] as isize + (output[axis] as isize - 1) * stride[axis];
        // One before the first value is no place; what lies furthest in front stands for it.
        match last + stride[axis].signum() {
            -1 => "isize::MIN".to_owned(),
            end => end.to_string(),
        }
    });
    format!("Slice::new({begin:?}, [{}], {stride:?})", ends.join(", "))
}

fn activation_text(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "Activation::Identity",
        Activation::Relu => "Activation::Relu",
        Activation::Relu6 => "Activation::Relu6",
    }
}

fn activation_words(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "",
        Activation::Relu => ", ReLU",
        Activation::Relu6 => ", ReLU6",
    }
}

/// Stride, unless it is the usual one, and padding in words.
fn geometry(stride: [usize; 2], usual: [usize; 2], padding: [usize; 4]) -> String {
    let mut words = String::new();
    if stride != usual {
        let _ = write!(words, ", stride {} x {}", stride[0], stride[1]);
    }
    match padding {
        [0, 0, 0, 0] => (),
        [t, l, b, r] if t == l && t == b && t == r => drop(write!(words, ", padding {t}")),
        [t, l, b, r] if t == b && l == r => drop(write!(words, ", padding {t} x {l}")),
        [t, l, b, r] => drop(write!(words, ", padding {t} {l} {b} {r}")),
    }
    words
}

fn conv2d_words(kind: &str, shape: &Conv2dShape, activation: Activation) -> String {
    let [h, w] = shape.filter;
    let mut words = format!("{kind} {h} x {w}{}", geometry(shape.stride, [1, 1], shape.padding));
    if shape.dilation != [1, 1] {
        let _ = write!(words, ", dilation {} x {}", shape.dilation[0], shape.dilation[1]);
    }
    if shape.groups != 1 {
        let _ = write!(words, ", {} groups", shape.groups);
    }
    words.push_str(activation_words(activation));
    if shape.pool != [1, 1] {
        let _ = write!(words, ", max pooling {} x {}", shape.pool[0], shape.pool[1]);
    }
    words
}

fn depthwise_words(shape: &DepthwiseConv2dShape, activation: Activation) -> String {
    let [h, w] = shape.filter;
    let mut words = format!("depthwise {h} x {w}{}", geometry(shape.stride, [1, 1], shape.padding));
    if shape.dilation != [1, 1] {
        let _ = write!(words, ", dilation {} x {}", shape.dilation[0], shape.dilation[1]);
    }
    if shape.multiplier != 1 {
        let _ = write!(words, ", {} filters a channel", shape.multiplier);
    }
    words.push_str(activation_words(activation));
    words
}

/// A shape's expression from what every one has, the methods for what is the same down and across, and the other fields.
struct ShapeText {
    kind: &'static str,
    text: String,
    fields: Vec<String>,
}

impl ShapeText {
    fn pair(&mut self, name: &str, pair: [usize; 2], usual: [usize; 2]) {
        if pair == usual {
        } else if pair[0] == pair[1] {
            let _ = write!(self.text, ".{name}({})", pair[0]);
        } else {
            self.fields.push(format!("{name}: {pair:?}"));
        }
    }

    fn padding(&mut self, padding: [usize; 4]) {
        match padding {
            [0, 0, 0, 0] => (),
            [t, l, b, r] if t == l && t == b && t == r => drop(write!(self.text, ".padding({t})")),
            _ => self.fields.push(format!("padding: {padding:?}")),
        }
    }

    fn finish(self) -> String {
        if self.fields.is_empty() {
            return self.text;
        }
        format!("{} {{ {}, ..{} }}", self.kind, self.fields.join(", "), self.text)
    }
}

fn conv2d_text(shape: &Conv2dShape) -> String {
    if *shape == Conv2dShape::dense(shape.input[2], shape.filters) {
        return format!("Conv2dShape::dense({}, {})", shape.input[2], shape.filters);
    }
    let text = format!("Conv2dShape::new({:?}, {}, {:?})", shape.input, shape.filters, shape.filter);
    let mut text = ShapeText { kind: "Conv2dShape", text, fields: Vec::new() };
    text.pair("stride", shape.stride, [1, 1]);
    text.pair("dilation", shape.dilation, [1, 1]);
    text.padding(shape.padding);
    if shape.pool[0] == shape.pool[1] && shape.pool != [1, 1] {
        let _ = write!(text.text, ".max_pool({})", shape.pool[0]);
    } else if shape.pool != [1, 1] {
        text.fields.push(format!("pool: {:?}", shape.pool));
    }
    if shape.groups != 1 {
        let _ = write!(text.text, ".groups({})", shape.groups);
    }
    text.finish()
}

fn depthwise_text(shape: &DepthwiseConv2dShape) -> String {
    let text = format!("DepthwiseConv2dShape::new({:?}, {}, {:?})", shape.input, shape.multiplier, shape.filter);
    let mut text = ShapeText { kind: "DepthwiseConv2dShape", text, fields: Vec::new() };
    text.pair("stride", shape.stride, [1, 1]);
    text.pair("dilation", shape.dilation, [1, 1]);
    text.padding(shape.padding);
    text.finish()
}

fn transposed_text(shape: &TransposedConv2dShape) -> String {
    let text = format!("TransposedConv2dShape::new({:?}, {}, {:?})", shape.input, shape.filters, shape.filter);
    let mut text = ShapeText { kind: "TransposedConv2dShape", text, fields: Vec::new() };
    text.pair("stride", shape.stride, [1, 1]);
    text.padding(shape.padding);
    text.pair("output_padding", shape.output_padding, [0, 0]);
    text.finish()
}

fn pool_text(shape: &Pool2dShape) -> String {
    let Pool2dShape { input, window, stride, .. } = *shape;
    let text = format!("Pool2dShape::new({input:?}, {window:?})");
    let mut text = ShapeText { kind: "Pool2dShape", text, fields: Vec::new() };
    text.pair("stride", stride, window);
    text.padding(shape.padding);
    text.finish()
}
