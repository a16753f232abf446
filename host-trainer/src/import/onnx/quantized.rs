//! Integers and what they stand for: `QuantizeLinear`, `DequantizeLinear`, and the operators that have both within.

use super::super::fault::{Step, broken, nearest, require, unsupported};
use super::call::{Call, short};
use super::constant::{Constant, Data, Scales};
use super::reader::{Computed, End, Reader, Tensor};
use super::schema::element;
use crate::graph::{Element, Function, Operator, ValueId};
use bareconv::Quantization;
use std::collections::HashMap;
use std::rc::Rc;

/// `QuantizeLinear`: the quotient in single precision, rounded to the nearest integer, halves to the even one.
pub(super) fn quantize(real: f32, to: Quantization) -> i8 {
    let whole = (real / to.scale).round_ties_even() + f32::from(to.zero_point);
    // The conversion saturates at the type's ends.
    whole as i8
}

/// `DequantizeLinear`.
pub(super) fn dequantize(value: i8, from: Quantization) -> f32 {
    (i32::from(value) - i32::from(from.zero_point)) as f32 * from.scale
}

fn usable(scale: f32) -> bool {
    scale > 0.0 && scale.is_finite()
}

impl Reader {
    /// The scale and zero point of a `QuantizeLinear` or `DequantizeLinear` of values that are computed; `kind` is the type
    /// where there is no zero point. uint8 becomes int8: values and zero point less 128.
    pub(super) fn quantization(&self, call: &Call, kind: i32) -> Step<Element> {
        require(call.int("block_size", 0)? == 0, "it has a scale for each block of values")?;
        let scale = self.constant(call, 1)?;
        if scale.len() != 1 {
            return nearest("values that are computed have several scales", "one scale for all of them");
        }
        let scale = scale.single()?;
        if !usable(scale) {
            return unsupported(format!("its scale is {scale}"));
        }
        let (kind, zero_point) = match self.optional_constant(call, 2)? {
            None => (kind, 0),
            Some(Constant { data: Data::Integer(kind, values), .. }) if values.len() == 1 => (kind, values[0]),
            Some(_) => return unsupported("its zero point is not one integer"),
        };
        let zero_point = match kind {
            element::INT8 => zero_point,
            element::UINT8 => zero_point - 128,
            _ => return nearest(format!("values are quantized to {}", element::name(kind)), "int8 or uint8"),
        };
        match i8::try_from(zero_point) {
            Ok(zero_point) => Ok(Element::Int8(Quantization::new(scale, zero_point))),
            Err(_) => broken("a zero point is not of its type"),
        }
    }

    /// The type of the result of a `QuantizeLinear`.
    pub(super) fn output_quantization(&self, call: &Call) -> Step<Element> {
        let kind = match call.int("output_dtype", 0)? {
            0 => element::UINT8,
            kind => i32::try_from(kind).unwrap_or(0),
        };
        self.quantization(call, kind)
    }

    pub(super) fn quantize_linear(&mut self, call: &Call) -> Step<()> {
        let input = self.real(call, 0)?;
        let element = self.output_quantization(call)?;
        let output = call.output()?;
        if input.dequantized {
            if self.element(input.value) == element {
                return self.alias(&Computed { dequantized: false, ..input.clone() }, output, input.layout.clone());
            }
            let end = End { element, ..Self::no_end(output) };
            return self.table("requantization", &input, end, |x| x);
        }
        let (shape, dims) = (self.shape(input.value), input.layout.dims());
        let value = self.node(Operator::Quantize, vec![input.value], output, shape, dims, element);
        self.define(output, Tensor::Computed(Computed { value, layout: input.layout, dequantized: false }))
    }

    pub(super) fn dequantize_linear(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        let Element::Int8(of) = self.element(input.value) else { return unsupported("its input is not integers") };
        require(!input.dequantized, "its input is real numbers")?;
        let element = match self.optional_constant(call, 2)? {
            Some(_) => self.quantization(call, element::INT8)?,
            // Without a zero point it is 0, of int8 or of uint8.
            None => match self.quantization(call, element::INT8)? {
                Element::Int8(found) if matches!(of.zero_point, 0 | -128) => {
                    Element::Int8(Quantization::new(found.scale, of.zero_point))
                }
                other => other,
            },
        };
        require(
            element == Element::Int8(of),
            "its scale or zero point is not the one that its input was quantized with",
        )?;
        let layout = input.layout.clone();
        self.alias(&Computed { dequantized: true, ..input }, call.output()?, layout)
    }

    /// A function of values that are quantized, and quantized again: a table.
    pub(super) fn table(
        &mut self,
        of: &'static str,
        input: &Computed,
        end: End,
        function: impl Fn(f32) -> f32,
    ) -> Step<()> {
        let (Element::Int8(from), Element::Int8(to)) = (self.element(input.value), end.element) else {
            return broken("a table is of integers");
        };
        let outputs: [i8; 256] = std::array::from_fn(|i| {
            let real = function(dequantize((i as i32 - 128) as i8, from));
            quantize(real.max(end.bounds[0]).min(end.bounds[1]), to)
        });
        self.mark(&end);
        let identity = outputs.iter().enumerate().all(|(i, &output)| i32::from(output) == i as i32 - 128);
        if identity && from == to {
            return self.alias(
                &Computed { dequantized: end.dequantized, ..input.clone() },
                &end.output,
                input.layout.clone(),
            );
        }
        let operator = Operator::Function(
            self.rectifier(from, to, &outputs)
                .unwrap_or(Function::Table { of: of.to_owned(), outputs: Box::new(outputs) }),
        );
        let (shape, dims) = (self.shape(input.value), input.layout.dims());
        let value = self.node(operator, vec![input.value], &end.output, shape, dims, end.element);
        self.define(
            &end.output,
            Tensor::Computed(Computed { value, layout: input.layout.clone(), dequantized: end.dequantized }),
        )
    }

    /// ReLU or ReLU6, if that is what the table is: they need none.
    fn rectifier(&self, from: Quantization, to: Quantization, outputs: &[i8; 256]) -> Option<Function> {
        if from != to {
            return None;
        }
        let six = quantize(6.0, to);
        let is = |high: i8| {
            let bounded = |i: usize| ((i as i32 - 128) as i8).max(to.zero_point).min(high);
            (0..256).all(|i| outputs[i] == bounded(i))
        };
        match () {
            () if is(127) => Some(Function::Relu),
            () if is(six) && six == bareconv::reference::six_i8(to) => Some(Function::Relu6),
            () => None,
        }
    }

    /// What constant integers stand for.
    pub(super) fn dequantized_constant(&self, call: &Call, constant: Constant) -> Step<Constant> {
        let (Data::Integer(..), None) = (&constant.data, &constant.quantized) else {
            return unsupported("its input is not integers");
        };
        let scales = self.scales(call, &constant.dims)?;
        Ok(Constant { quantized: Some(Rc::new(scales)), ..constant })
    }

    /// Constant real numbers as integers.
    pub(super) fn quantized_constant(&self, call: &Call, constant: &Constant) -> Step<Constant> {
        let of = self.scales(call, &constant.dims)?;
        let kind = match self.optional_constant(call, 2)? {
            Some(Constant { data: Data::Integer(kind, _), .. }) => kind,
            _ => match call.int("output_dtype", 0)? {
                0 => element::UINT8,
                kind => i32::try_from(kind).unwrap_or(0),
            },
        };
        let (low, high) = match kind {
            element::INT8 => (-128.0, 127.0),
            element::UINT8 => (0.0, 255.0),
            _ => return nearest(format!("a constant is quantized to {}", element::name(kind)), "int8 or uint8"),
        };
        let channel = constant.channels(&of);
        let reals = constant.to_f32()?;
        let whole = |(i, &real): (usize, &f32)| {
            let rounded = (real / of.scale(channel(i))).round_ties_even() + of.zero_point(channel(i)) as f32;
            rounded.max(low).min(high) as i64
        };
        Ok(Constant::integers(constant.dims.clone(), kind, reals.iter().enumerate().map(whole).collect()))
    }

    /// The scales and zero points of a constant of these dimensions.
    fn scales(&self, call: &Call, dims: &[usize]) -> Step<Scales> {
        require(call.int("block_size", 0)? == 0, "it has a scale for each block of values")?;
        let scale = self.constant(call, 1)?;
        let scales = scale.to_f32()?.to_vec();
        require(scales.iter().all(|&scale| usable(scale)), "a scale is not positive and finite")?;
        let zero_points = match self.optional_constant(call, 2)? {
            Some(constant) => constant.whole()?.to_vec(),
            None => vec![0; scales.len()],
        };
        let small = zero_points.iter().all(|zero_point| i32::try_from(*zero_point).is_ok());
        require(small && zero_points.len() == scales.len(), "it has not a zero point for each scale")?;
        if scales.len() == 1 {
            return Ok(Scales { scales, zero_points, axis: 0 });
        }
        let axis = call.int("axis", 1)?;
        let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).unwrap_or(usize::MAX);
        require(dims.get(axis) == Some(&scales.len()), "it has not a scale for each value along its axis")?;
        Ok(Scales { scales, zero_points, axis })
    }

    /// Whether constants for operators on integers are quantized themselves; `value` is another input.
    pub(super) fn int8_operand(&self, constant: &Constant, value: ValueId) -> bool {
        matches!(self.element(value), Element::Int8(_)) && constant.int8().is_some()
    }
}

/// Puts operators that take and give integers into their parts: `DequantizeLinear` of inputs, the operator on real
/// numbers, `QuantizeLinear`. Others are left as they are.
pub(super) fn expand(call: Call, tensors: &mut HashMap<String, Tensor>, calls: &mut Vec<Call>) -> Step<()> {
    /// What an input is dequantized by: the places of scale and zero point.
    type Input = (usize, [usize; 2]);
    let pair: [Input; 2] = [(0, [1, 2]), (3, [4, 5])];
    let (operator, inputs, output): (&str, &[Input], [usize; 2]) = match call.operator.as_str() {
        "QLinearConv" => ("Conv", &pair, [6, 7]),
        "QLinearMatMul" => ("MatMul", &pair, [6, 7]),
        "com.microsoft.QLinearAdd" => ("Add", &pair, [6, 7]),
        "com.microsoft.QLinearMul" => ("Mul", &pair, [6, 7]),
        "com.microsoft.QLinearSigmoid" => ("Sigmoid", &pair[..1], [3, 4]),
        "com.microsoft.QLinearLeakyRelu" => ("LeakyRelu", &pair[..1], [3, 4]),
        "com.microsoft.QLinearGlobalAveragePool" if call.int("channels_last", 0)? == 0 => {
            ("GlobalAveragePool", &pair[..1], [3, 4])
        }
        _ => {
            calls.push(call);
            return Ok(());
        }
    };
    let result = call.output()?.to_owned();
    let mut reals = Vec::new();
    for &(input, [scale, zero_point]) in inputs {
        let real = format!("{} dequantized for {result}", call.input(input)?);
        let names = [call.input(input)?, call.input(scale)?, call.optional(zero_point).unwrap_or("")];
        // Scales of a convolution's weights are along their first axis, others along the last.
        let axis = if operator == "Conv" { 0 } else { 1 };
        calls.push(call.part("DequantizeLinear", &names, &real).with_int("axis", axis));
        reals.push(real);
    }
    if let (true, Some(bias)) = (call.operator == "QLinearConv", call.optional(8)) {
        // A bias is in units of the input's scale times the weights'.
        let scale = |index: usize| match tensors.get(call.input(index)?) {
            Some(Tensor::Constant(constant)) => constant.to_f32(),
            _ => unsupported(format!("its scale `{}` is not constant", short(call.input(index)?))),
        };
        let (of_input, of_weights) = (scale(1)?, scale(4)?);
        require(of_input.len() == 1, "its input has several scales")?;
        let scales: Vec<f32> = of_weights.iter().map(|scale| scale * of_input[0]).collect();
        let (scale, real) = (format!("scale of {bias} for {result}"), format!("{bias} dequantized for {result}"));
        let dims = if scales.len() == 1 { vec![] } else { vec![scales.len()] };
        tensors.insert(scale.clone(), Tensor::Constant(Constant::floats(dims, scales)));
        calls.push(call.part("DequantizeLinear", &[bias, &scale], &real).with_int("axis", 0));
        reals.push(real);
    }
    let real = format!("{result} before quantization");
    let names: Vec<&str> = reals.iter().map(String::as_str).collect();
    calls.push(call.part(operator, &names, &real).with_attributes_of(&call));
    let names = [&real, call.input(output[0])?, call.optional(output[1]).unwrap_or("")];
    calls.push(call.part("QuantizeLinear", &names, &result));
    Ok(())
}
