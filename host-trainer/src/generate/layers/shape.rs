//! Shapes, as expressions and in words.

use bareconv::{Activation, Conv2dShape, DepthwiseConv2dShape, Pool2dShape, TransposedConv2dShape};
use std::fmt::Write;

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

pub(super) fn conv2d_text(shape: &Conv2dShape) -> String {
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

pub(super) fn depthwise_text(shape: &DepthwiseConv2dShape) -> String {
    let text = format!("DepthwiseConv2dShape::new({:?}, {}, {:?})", shape.input, shape.multiplier, shape.filter);
    let mut text = ShapeText { kind: "DepthwiseConv2dShape", text, fields: Vec::new() };
    text.pair("stride", shape.stride, [1, 1]);
    text.pair("dilation", shape.dilation, [1, 1]);
    text.padding(shape.padding);
    text.finish()
}

pub(super) fn transposed_text(shape: &TransposedConv2dShape) -> String {
    let text = format!("TransposedConv2dShape::new({:?}, {}, {:?})", shape.input, shape.filters, shape.filter);
    let mut text = ShapeText { kind: "TransposedConv2dShape", text, fields: Vec::new() };
    text.pair("stride", shape.stride, [1, 1]);
    text.padding(shape.padding);
    text.pair("output_padding", shape.output_padding, [0, 0]);
    text.finish()
}

pub(super) fn pool_text(shape: &Pool2dShape) -> String {
    let Pool2dShape { input, window, stride, .. } = *shape;
    let text = format!("Pool2dShape::new({input:?}, {window:?})");
    let mut text = ShapeText { kind: "Pool2dShape", text, fields: Vec::new() };
    text.pair("stride", stride, window);
    text.padding(shape.padding);
    text.finish()
}

pub(super) fn activation_text(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "Activation::Identity",
        Activation::Relu => "Activation::Relu",
        Activation::Relu6 => "Activation::Relu6",
    }
}

pub(super) fn activation_words(activation: Activation) -> &'static str {
    match activation {
        Activation::Identity => "",
        Activation::Relu => ", ReLU",
        Activation::Relu6 => ", ReLU6",
    }
}

/// Stride, unless it is the usual one, and padding in words.
pub(super) fn geometry(stride: [usize; 2], usual: [usize; 2], padding: [usize; 4]) -> String {
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

pub(super) fn conv2d_words(kind: &str, shape: &Conv2dShape, activation: Activation) -> String {
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

pub(super) fn depthwise_words(shape: &DepthwiseConv2dShape, activation: Activation) -> String {
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
