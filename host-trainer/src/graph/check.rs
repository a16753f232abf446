//! The rules that a graph obeys, checked in one place: what runs, plans or writes a graph relies on them.

use super::{Element, Function, Graph, Node, Numbers, Operator, Scales, Shape, Value, ValueId, Weights};
use bareconv::Quantization;

/// A graph that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {rule}")]
pub struct GraphError {
    /// Where: a node's place in the file and its name, or a value's name.
    pub place: String,
    /// The rule.
    pub rule: String,
}

/// Every tensor has at most so many values, as everywhere in the library.
const MOST_VALUES: usize = 1 << 30;

/// A transposed convolution is a plain one for each row and column of a stride, and so many of them at most.
pub(crate) const MOST_PHASES: usize = 1 << 12;

impl Numbers {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Int8(values) => values.len(),
            Self::Int16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their bytes, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Int8(values) => values.iter().map(|&value| value.cast_unsigned()).collect(),
            Self::Int16(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// Numbers of this type from their bytes, little-endian; what is left of the last one is dropped.
    #[must_use]
    pub fn from_bytes(element: Element, bytes: &[u8]) -> Self {
        match element {
            Element::Int8(_) => Self::Int8(bytes.iter().map(|&byte| byte.cast_signed()).collect()),
            Element::Int16(_) => {
                Self::Int16(bytes.as_chunks().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect())
            }
            Element::F32 => Self::F32(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        }
    }

    fn is_of(&self, element: Element) -> bool {
        matches!(
            (self, element),
            (Self::Int8(_), Element::Int8(_)) | (Self::Int16(_), Element::Int16(_)) | (Self::F32(_), Element::F32)
        )
    }
}

impl Element {
    /// Bytes of one.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Int8(_) => 1,
            Self::Int16(_) => 2,
            Self::F32 => 4,
        }
    }

    /// Its name in Rust.
    #[must_use]
    pub fn rust(self) -> &'static str {
        match self {
            Self::Int8(_) => "i8",
            Self::Int16(_) => "i16",
            Self::F32 => "f32",
        }
    }

    /// Scale and zero point, for integers.
    #[must_use]
    pub fn quantization(self) -> Option<Quantization> {
        match self {
            Self::Int8(quantization) => Some(quantization),
            Self::Int16(scale) => Some(Quantization::new(scale, 0)),
            Self::F32 => None,
        }
    }
}

impl Value {
    /// The number of its values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none, which no checked graph allows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.len() * self.element.size()
    }
}

impl Graph {
    /// The value of this number.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Checks every rule: that each node's inputs are there when it runs, that shapes and types fit its operator, and that
    /// its numbers are in the range of the library's arithmetic, except that packing checks accumulators and weights.
    ///
    /// # Errors
    /// The first rule that is broken, and where.
    pub fn check(&self) -> Result<(), GraphError> {
        for value in &self.values {
            check_value(value)
                .map_err(|rule| GraphError { place: format!("value `{}`", value.name), rule: rule.to_owned() })?;
        }
        let whole = |rule: &str| GraphError { place: format!("network `{}`", self.name), rule: rule.to_owned() };
        let mut known: Vec<bool> = self.values.iter().map(|value| value.constant.is_some()).collect();
        for input in &self.inputs {
            match known.get_mut(input.0) {
                Some(known) if !*known => *known = true,
                _ => return Err(whole("its inputs are values of it, each once, and not constant")),
            }
        }
        for node in &self.nodes {
            let error = |rule: String| GraphError { place: format!("{} `{}`", node.place, node.name), rule };
            if !node.inputs.iter().all(|input| known.get(input.0) == Some(&true)) {
                return Err(error("an input is not known when it runs".to_owned()));
            }
            match known.get_mut(node.output.0) {
                Some(known) if !*known => *known = true,
                _ => return Err(error("its output is not a value of its own".to_owned())),
            }
            self.check_node(node).map_err(error)?;
        }
        if self.outputs.is_empty() || !self.outputs.iter().all(|output| known.get(output.0) == Some(&true)) {
            return Err(whole("its outputs are values that something computes, one at least"));
        }
        Ok(())
    }

    fn check_node(&self, node: &Node) -> Result<(), String> {
        let inputs: Vec<&Value> = node.inputs.iter().map(|&input| self.value(input)).collect();
        let output = self.value(node.output);
        let count = match node.operator {
            Operator::Add(_) | Operator::Subtract(_) | Operator::Multiply(_) => 2..=2,
            Operator::Concatenate { .. } => 1..=usize::MAX,
            _ => 1..=1,
        };
        if !count.contains(&inputs.len()) {
            return Err(format!("{} inputs", inputs.len()));
        }
        let input = inputs[0];
        let shapes = |from: Shape, to: Shape| {
            let vector = from[0] == 1 && from[1] == 1 && from[2] == input.len();
            if from != input.shape && !vector {
                return Err(format!("its input is {:?}, not {from:?}", input.shape));
            }
            if to != output.shape { Err(format!("its output is {:?}, not {to:?}", output.shape)) } else { Ok(()) }
        };
        let same = || shapes(input.shape, input.shape);
        let kind = |element: Element| std::mem::discriminant(&element);
        let same_type = || {
            let all = inputs.iter().all(|input| kind(input.element) == kind(output.element));
            if all { Ok(()) } else { Err("inputs and output are of one type".to_owned()) }
        };
        let same_element = || {
            let all = inputs.iter().all(|input| input.element == output.element);
            if all { Ok(()) } else { Err("inputs and output are of one type, scale and zero point".to_owned()) }
        };
        let rule = |error: bareconv::ShapeError| error.to_string();
        match &node.operator {
            Operator::Conv2d { shape, weights, .. } | Operator::Dense { shape, weights, .. } => {
                same_type()?;
                shape.check().map_err(rule)?;
                shapes(shape.input, shape.output())?;
                check_weights(input, weights, shape.filters * shape.filter_len(), shape.filters)
            }
            Operator::Depthwise { shape, weights, .. } => {
                same_type()?;
                shape.check().map_err(rule)?;
                shapes(shape.input, shape.output())?;
                let channels = shape.output()[2];
                only_convolution(weights)?;
                check_weights(input, weights, shape.filter[0] * shape.filter[1] * channels, channels)
            }
            Operator::Transposed { shape, weights, .. } => {
                same_type()?;
                require(
                    shape.stride[0].saturating_mul(shape.stride[1]) <= MOST_PHASES,
                    "the strides of a transposed convolution multiply to 4,096 at most",
                )?;
                shape.check().map_err(rule)?;
                shapes(shape.input, shape.output())?;
                only_convolution(weights)?;
                check_weights(input, weights, shape.filters * shape.filter_len(), shape.filters)
            }
            Operator::LocallyConnected { shape, weights, .. } => {
                same_type()?;
                shape.check().map_err(rule)?;
                require(shape.groups == 1 && shape.pool == [1, 1], bareconv::ShapeError::Unshared.message())?;
                shapes(shape.input, shape.output())?;
                only_convolution(weights)?;
                check_weights(input, weights, output.len().saturating_mul(shape.filter_len()), output.len())
            }
            Operator::MaxPool { shape, .. } | Operator::AveragePool { shape, .. } => {
                same_element()?;
                shape.check().map_err(rule)?;
                if matches!(node.operator, Operator::AveragePool { .. }) && matches!(input.element, Element::Int16(_)) {
                    require(
                        shape.window[0] * shape.window[1] <= 65_535,
                        "an average of int16 is of 65,535 pixels at most",
                    )?;
                }
                shapes(shape.input, shape.output())
            }
            Operator::Mean => {
                same_type()?;
                let [height, width, channels] = input.shape;
                let most = if matches!(input.element, Element::Int16(_)) { 65_535 } else { 1 << 20 };
                require(
                    height * width <= most,
                    "a mean is of 65,535 pixels at most in int16, and of 2^20 in other types",
                )?;
                if let (Some(from), Some(to)) = (input.element.quantization(), output.element.quantization()) {
                    ratio(f64::from(from.scale) / f64::from(to.scale))?;
                }
                shapes(input.shape, [1, 1, channels])
            }
            Operator::Function(function) => {
                same_type()?;
                same()?;
                check_function(function, input, output)
            }
            Operator::Add(_) | Operator::Subtract(_) | Operator::Multiply(_) => {
                same_type()?;
                let [first, second] = [inputs[0].shape, inputs[1].shape];
                for axis in 0..3 {
                    let (a, b) = (first[axis], second[axis]);
                    require(
                        a == b || a == 1 || b == 1,
                        "each dimension of two inputs is the same, or 1 in one of them",
                    )?;
                    require(output.shape[axis] == a.max(b), "its output is as large as its inputs, repeated")?;
                }
                Ok(())
            }
            Operator::Concatenate { axis } => {
                same_type()?;
                require(*axis < 3, "the axis is 0, 1 or 2")?;
                require(
                    output.element == Element::F32
                        || matches!(output.element, Element::Int8(_))
                        || same_element().is_ok(),
                    "concatenated int16 values have one scale",
                )?;
                let sum: usize = inputs.iter().map(|input| input.shape[*axis]).sum();
                for input in &inputs {
                    let mut shape = input.shape;
                    shape[*axis] = sum;
                    require(shape == output.shape, "concatenated inputs make up the output")?;
                }
                Ok(())
            }
            Operator::Pad { before, after, value } => {
                same_element()?;
                require(value.len() == 1 && value.is_of(input.element), "padding is one number of the input's type")?;
                let sums = [0, 1, 2].map(|i| before[i].saturating_add(after[i]).saturating_add(input.shape[i]));
                shapes(input.shape, sums)
            }
            Operator::Reshape => {
                same_element()?;
                require(input.len() == output.len(), "a reshaped tensor has as many values as the tensor")
            }
            Operator::Slice { begin, stride } => {
                same_element()?;
                for axis in 0..3 {
                    let last = begin[axis] as i128 + (output.shape[axis] as i128 - 1) * stride[axis] as i128;
                    let inside = begin[axis] < input.shape[axis] && (0..input.shape[axis] as i128).contains(&last);
                    require(inside && stride[axis] != 0, "a slice lies within its input, with strides other than 0")?;
                }
                Ok(())
            }
            Operator::ResizeNearest { .. } => {
                same_element()?;
                require(input.shape[2] == output.shape[2], "resizing keeps the channels")
            }
            Operator::Quantize => {
                require(
                    input.element == Element::F32 && output.element != Element::F32,
                    "it takes f32 and gives integers",
                )?;
                same()
            }
            Operator::Dequantize => {
                require(
                    input.element != Element::F32 && output.element == Element::F32,
                    "it takes integers and gives f32",
                )?;
                same()
            }
            Operator::Requantize => {
                require(
                    input.element != Element::F32 && output.element != Element::F32,
                    "it takes and gives integers",
                )?;
                same()
            }
        }
    }
}

fn require(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

fn check_value(value: &Value) -> Result<(), &'static str> {
    let mut len = 1usize;
    for size in value.shape {
        if size == 0 || size > 1 << 16 {
            return Err("a dimension is 1 to 65,536");
        }
        len = len.saturating_mul(size);
    }
    if len > MOST_VALUES {
        return Err("a tensor has at most 2^30 values");
    }
    if value.element.quantization().is_some_and(|quantization| !usable(quantization.scale)) {
        return Err("scales are positive and finite");
    }
    match &value.constant {
        Some(numbers) if !numbers.is_of(value.element) || numbers.len() != len => {
            Err("a constant has as many numbers as its shape says, of its type")
        }
        _ => Ok(()),
    }
}

fn usable(scale: f32) -> bool {
    scale > 0.0 && scale.is_finite()
}

/// The factor of a multiplication in fixed point.
fn ratio(real: f64) -> Result<(), String> {
    require(real < f64::from(1 << 30), "the ratio of input scale and output scale, slopes included, is below 2^30")
}

fn only_convolution(weights: &Weights) -> Result<(), String> {
    require(
        !matches!(weights, Weights::Int4 { .. }),
        "int4 weights are for convolutions and dense layers; quantize this layer's to int8",
    )
}

fn check_weights(input: &Value, weights: &Weights, count: usize, outputs: usize) -> Result<(), String> {
    match weights {
        Weights::Int8 { weights, scales, bias, wide_bias } => {
            require(input.element != Element::F32, "int8 weights are for int8 and int16 values")?;
            require(
                !wide_bias || matches!(input.element, Element::Int16(_)),
                "biases of 64 bits are for int16 values",
            )?;
            require(weights.len() == count, "there are as many weights as the shape says")?;
            require(bias.len() == outputs, "there is a bias for each filter")?;
            match scales {
                Scales::PerChannel(scales) => {
                    require(scales.len() == outputs, "there is a scale for each filter")?;
                    require(scales.iter().all(|&scale| usable(scale)), "scales are positive and finite")
                }
                Scales::PerTensor(scale) => require(usable(*scale), "scales are positive and finite"),
            }
        }
        Weights::Int4 { weights, scales, bias } => {
            require(matches!(input.element, Element::Int8(_)), "int4 weights are for int8 values")?;
            require(weights.len() == count, "there are as many weights as the shape says")?;
            require(weights.iter().all(|weight| (-8..=7).contains(weight)), "int4 weights lie in -8..=7")?;
            require(bias.len() == outputs, "there is a bias for each filter")?;
            require(scales.len() == outputs, "there is a scale for each filter")?;
            require(scales.iter().all(|&scale| usable(scale)), "scales are positive and finite")
        }
        Weights::F32 { weights, bias } => {
            require(input.element == Element::F32, "f32 weights are for f32 values")?;
            require(weights.len() == count, "there are as many weights as the shape says")?;
            require(bias.len() == outputs, "there is a bias for each filter")
        }
    }
}

fn check_function(function: &Function, input: &Value, output: &Value) -> Result<(), String> {
    let (from, to) = (input.element, output.element);
    let quotient = match (from.quantization(), to.quantization()) {
        (Some(from), Some(to)) => Some(f64::from(from.scale) / f64::from(to.scale)),
        _ => None,
    };
    let fixed_output = |int8: Quantization, int16: f32| match to {
        Element::Int8(quantization) => require(
            quantization == int8,
            &format!("its int8 output has scale {} and zero point {}", int8.scale, int8.zero_point),
        ),
        Element::Int16(scale) => require(scale == int16, &format!("its int16 output has scale {int16}")),
        Element::F32 => Ok(()),
    };
    match function {
        Function::Relu | Function::Relu6 => {
            if matches!(from, Element::Int16(_)) && *function == Function::Relu6 {
                require(from == to, "ReLU6 of int16 values keeps their scale")?;
            }
            quotient.map_or(Ok(()), ratio)
        }
        Function::LeakyRelu { slope } => {
            require(slope.is_finite(), "the slope is finite")?;
            quotient.map_or(Ok(()), |q| ratio(q).and_then(|()| ratio(q * f64::from(slope.abs()))))
        }
        Function::PRelu { slopes, quantization } => {
            require(slopes.len() == input.shape[2], "there is a slope for each channel")?;
            match (from, slopes, quantization) {
                (Element::F32, Numbers::F32(_), None) => Ok(()),
                (Element::Int8(_) | Element::Int16(_), Numbers::Int8(_), Some(of)) => {
                    require(usable(of.scale), "scales are positive and finite")?;
                    quotient.map_or(Ok(()), |q| ratio(q).and_then(|()| ratio(q * f64::from(of.scale))))
                }
                _ => Err("slopes are f32 for f32 values, and int8 for integers".to_owned()),
            }
        }
        Function::HardSwish => match (from, quotient) {
            (Element::Int16(_), _) => Err("hard swish is of int8 and f32; int16 has none".to_owned()),
            (Element::Int8(from), Some(quotient)) => require(
                (1.0 / 512.0..127.99).contains(&quotient) && (2f32.powi(-23)..2f32.powi(20)).contains(&from.scale),
                "hard swish needs input scale / output scale in 2^-9..128, and an input scale in 2^-23..2^20",
            ),
            _ => Ok(()),
        },
        Function::HardSigmoid { alpha, beta } => {
            require(!matches!(from, Element::Int16(_)), "hard sigmoid is of int8 and f32; int16 has none")?;
            require(alpha.is_finite() && beta.is_finite(), "a hard sigmoid's slope and value at 0 are finite")
        }
        &Function::LocalResponse { size, alpha, beta, k } => {
            require(size % 2 == 1 && size < 256, "a local response is that of an odd number of channels, 255 at most")?;
            require(
                alpha >= 0.0 && alpha.is_finite() && beta.is_finite() && k > 0.0 && k.is_finite(),
                "a local response has an alpha of 0 or more, a k above 0, and all of its numbers are finite",
            )?;
            match from {
                Element::F32 => Ok(()),
                Element::Int16(_) => Err("local response normalization is of int8 and f32; int16 has none".to_owned()),
                Element::Int8(from) => {
                    let squares = f64::from(alpha) * f64::from(from.scale) * f64::from(from.scale);
                    require((squares as f32).is_finite(), "the input's scale, squared, times alpha is finite")?;
                    quotient.map_or(Ok(()), ratio)
                }
            }
        }
        Function::Table { .. } => require(matches!(from, Element::Int8(_)), "a table is of int8 values"),
        Function::Sigmoid | Function::Tanh => {
            match from {
                Element::Int8(from) => require(
                    (2f32.powi(-28)..8.0).contains(&from.scale),
                    "int8 sigmoid and tanh need an input scale in 2^-28..8",
                )?,
                Element::Int16(scale) => require(
                    (2f32.powi(-32)..2.666).contains(&scale),
                    "int16 sigmoid and tanh need an input scale in 2^-32..8/3",
                )?,
                Element::F32 => (),
            }
            if *function == Function::Sigmoid {
                fixed_output(bareconv::Int8Table::SIGMOID_OUTPUT, 1.0 / 32768.0)
            } else {
                fixed_output(bareconv::Int8Table::TANH_OUTPUT, 1.0 / 32768.0)
            }
        }
        Function::Softmax { beta } => {
            match from {
                Element::Int8(from) => {
                    let real = f64::from(*beta) * f64::from(from.scale);
                    require(real > 2f64.powi(-26), "int8 softmax needs an input scale times beta above 2^-26")?;
                    require(input.shape[2] <= 4095, "int8 softmax is of 4095 channels at most")?;
                }
                Element::Int16(scale) => {
                    let real = f64::from(*beta) * f64::from(scale);
                    require(
                        real > 0.0 && real < 5.0,
                        "int16 softmax needs an input scale times beta above 0 and below 5",
                    )?;
                }
                Element::F32 => require(*beta == 1.0, "softmax of f32 values has a beta of 1")?,
            }
            fixed_output(bareconv::SoftmaxInt8::OUTPUT, 1.0 / 32768.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rounding;
    use super::*;
    use bareconv::{Activation, Conv2dShape};

    /// A locally connected layer with so many weights, scales and biases.
    fn locally_connected(shape: Conv2dShape, weights: usize, outputs: usize) -> Graph {
        let element = Element::Int8(Quantization::new(0.1, 3));
        let value =
            |name: &str, shape| Value { name: name.to_owned(), shape, dimensions: vec![1], element, constant: None };
        let numbers = Weights::Int8 {
            weights: vec![1; weights],
            scales: Scales::PerChannel(vec![0.5; outputs]),
            bias: vec![0; outputs],
            wide_bias: false,
        };
        let node = Node {
            name: "local1".to_owned(),
            place: "layer 0 (local)".to_owned(),
            operator: Operator::LocallyConnected { shape, weights: numbers, activation: Activation::Identity },
            inputs: vec![ValueId(0)],
            output: ValueId(1),
        };
        Graph {
            name: "test".to_owned(),
            source: "a test".to_owned(),
            rounding: Rounding::Single,
            values: vec![value("input", shape.input), value("output", shape.output())],
            nodes: vec![node],
            inputs: vec![ValueId(0)],
            outputs: vec![ValueId(1)],
        }
    }

    #[test]
    fn a_locally_connected_layer_has_a_filter_for_each_output() {
        // 2 x 3 pixels of 2 values, each of 2 * 2 * 4 weights.
        let shape = Conv2dShape::new([3, 4, 4], 2, [2, 2]);
        let rule = |graph: Graph| graph.check().unwrap_err().to_string();
        assert_eq!(locally_connected(shape, 12 * 16, 12).check(), Ok(()));
        assert!(rule(locally_connected(shape, 2 * 16, 12)).contains("as many weights as the shape says"));
        assert!(rule(locally_connected(shape, 12 * 16, 2)).contains("a bias for each filter"));
        assert!(rule(locally_connected(shape.groups(2), 12 * 8, 12)).contains("neither groups nor pooling"));
        assert!(rule(locally_connected(shape.max_pool(2), 2 * 16, 2)).contains("neither groups nor pooling"));
        let mut int4 = locally_connected(shape, 12 * 16, 12);
        let (weights, scales, bias) = (vec![1; 12 * 16], vec![0.5; 12], vec![0; 12]);
        *int4.nodes[0].operator.weights_mut().unwrap() = Weights::Int4 { weights, scales, bias };
        let text = rule(int4);
        assert!(text.contains("`local1`") && text.contains("quantize this layer's to int8"), "{text}");
    }
}
