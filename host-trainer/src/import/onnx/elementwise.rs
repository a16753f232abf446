//! Functions of single values, softmax, and arithmetic of two tensors.

use super::super::fault::{Step, broken, nearest, require, unsupported};
use super::arrange::axis;
use super::call::Call;
use super::constant::{Constant, Data};
use super::layout::{Layout, View};
use super::reader::{Computed, Reader, Tensor, layout_fault};
use crate::graph::{Element, Function, Numbers, Operator, Shape, ValueId};
use bareconv::Activation;

/// An operand of arithmetic.
enum Operand {
    Computed(Computed),
    Constant(Constant),
}

impl Reader {
    /// The bounds of an operator that bounds its input and does nothing else.
    pub(super) fn limits(&self, call: &Call) -> Step<Option<[f32; 2]>> {
        match call.operator.as_str() {
            "Relu" => Ok(Some([0.0, f32::INFINITY])),
            "Clip" => {
                let bound = |input: usize, attribute: &str, default: f32| match self.optional_constant(call, input)? {
                    Some(bound) => bound.single(),
                    None => call.float(attribute, default),
                };
                let infinite = |bound: f32| if bound.abs() == f32::MAX { bound * 2.0 } else { bound };
                let bounds = [bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?].map(infinite);
                require(bounds[0] <= bounds[1], "its least value is above its greatest")?;
                Ok(Some(bounds))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn bounds(&mut self, call: &Call) -> Step<()> {
        let Some(bounds) = self.limits(call)? else { return broken("it has no bounds") };
        let limit = move |x: f32| x.max(bounds[0]).min(bounds[1]);
        let function = match bounds {
            [0.0, 6.0] => Some(Function::Relu6),
            [0.0, f32::INFINITY] => Some(Function::Relu),
            _ => None,
        };
        self.function(call, "bounds", limit, function)
    }

    /// A function of each value: a table if it is quantized, and its output is; else in single precision.
    fn function(
        &mut self,
        call: &Call,
        of: &'static str,
        real: impl Fn(f32) -> f32,
        function: Option<Function>,
    ) -> Step<()> {
        let input = self.real(call, 0)?;
        let output = call.output()?;
        if input.dequantized
            && let Some(end) = self.end(output, true)
        {
            return self.table(of, &input, end, real);
        }
        let Some(function) = function else {
            return nearest("it has other bounds than 0 and 6", "Relu, or Clip between 0 and 6; any between integers");
        };
        let input = self.float(&input);
        let (shape, layout) = (self.shape(input.value), input.layout.clone());
        self.moved(Operator::Function(function), (&input, input.value), output, shape, layout)
    }

    pub(super) fn activation(&mut self, call: &Call) -> Step<()> {
        let precise = |f: fn(f64) -> f64| move |x: f32| f(f64::from(x)) as f32;
        match call.operator.as_str() {
            "Sigmoid" => {
                let real = precise(|x| 1.0 / (1.0 + libm::exp(-x)));
                self.function(call, "sigmoid", real, Some(Function::Sigmoid))
            }
            "Tanh" => self.function(call, "hyperbolic tangent", precise(libm::tanh), Some(Function::Tanh)),
            "HardSwish" => {
                let real = precise(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0));
                self.function(call, "hard swish", real, Some(Function::HardSwish))
            }
            "HardSigmoid" => {
                let (alpha, beta) = (call.float("alpha", 0.2)?, call.float("beta", 0.5)?);
                let real = move |x: f32| (alpha * x + beta).clamp(0.0, 1.0);
                self.function(call, "hard sigmoid", real, Some(Function::HardSigmoid { alpha, beta }))
            }
            _ => {
                let slope = call.float("alpha", 0.01)?;
                self.leaky_relu(call, slope)
            }
        }
    }

    fn leaky_relu(&mut self, call: &Call, slope: f32) -> Step<()> {
        let real = move |x: f32| if x < 0.0 { slope * x } else { x };
        self.function(call, "leaky ReLU", real, Some(Function::LeakyRelu { slope }))
    }

    pub(super) fn prelu(&mut self, call: &Call) -> Step<()> {
        let slopes = self.constant(call, 1)?;
        if slopes.len() == 1 {
            return self.leaky_relu(call, slopes.single()?);
        }
        let input = self.real(call, 0)?;
        let (_, from) = self.picture(&input)?;
        // Slopes have the dimensions of the input, without those in front.
        let rank = input.layout.dims().len();
        let place = (slopes.dims.len() + 1).checked_sub(rank);
        let of_channels = place.is_some_and(|place| slopes.dims.get(place) == Some(&from[2]));
        if !of_channels || slopes.len() != from[2] {
            return nearest(format!("its slopes have the shape {:?}", slopes.dims), "a slope for each channel, or one");
        }
        let output = call.output()?;
        let end = if input.dequantized && slopes.int8().is_some() { self.end(output, true) } else { None };
        if let (Some(end), Some((numbers, quantization))) = (end, slopes.int8()) {
            let (value, shape) = self.picture(&input)?;
            let function = Function::PRelu { slopes: Numbers::Int8(numbers), quantization: Some(quantization) };
            return self.finish(end, |_| Operator::Function(function), vec![value], shape, input.layout, false);
        }
        let input = self.float(&input);
        let (value, shape) = self.picture(&input)?;
        let function = Function::PRelu { slopes: Numbers::F32(slopes.to_f32()?.to_vec()), quantization: None };
        let layout = input.layout.clone();
        self.moved(Operator::Function(function), (&input, value), output, shape, layout)
    }

    pub(super) fn softmax(&mut self, call: &Call) -> Step<()> {
        let input = self.real(call, 0)?;
        let input = self.float(&input);
        let dims = input.layout.dims().to_vec();
        let at = axis(call.int("axis", if self.version < 13 { 1 } else { -1 })?, dims.len())?;
        let inner: usize = dims[at + 1..].iter().product();
        require(self.version >= 13 || inner == 1, "it is of several dimensions together, as before version 13")?;
        if !input.layout.is_innermost(at) {
            return nearest(
                format!("it is along dimension {at} of its input, of the shape {dims:?}"),
                "softmax of each pixel's channels, or of all values of a vector",
            );
        }
        let shape = self.shape(input.value);
        let shape = if shape[2] == dims[at] { shape } else { [1, input.layout.len() / dims[at], dims[at]] };
        let value = self.shaped(input.value, shape);
        let layout = input.layout.clone();
        let operator = Operator::Function(Function::Softmax { beta: 1.0 });
        self.moved(operator, (&input, value), call.output()?, shape, layout)
    }

    /// A sum, difference or product; a quotient by a constant.
    pub(super) fn arithmetic(&mut self, call: &Call) -> Step<()> {
        let mut operands = Vec::new();
        for index in 0..2 {
            operands.push(match self.tensor(call.input(index)?)? {
                Tensor::Constant(constant) => Operand::Constant(constant),
                _ => Operand::Computed(self.real(call, index)?),
            });
        }
        let [a, b] = &operands[..] else { return broken("it has not two inputs") };
        let output = call.output()?;
        let integer = match (a, b) {
            (Operand::Computed(a), Operand::Computed(b)) => a.dequantized && b.dequantized,
            (Operand::Computed(a), Operand::Constant(b)) | (Operand::Constant(b), Operand::Computed(a)) => {
                a.dequantized && self.int8_operand(b, a.value)
            }
            _ => return nearest("both of its inputs are constant", "the result, computed beforehand"),
        };
        let divided = call.operator == "Div";
        if divided && !matches!(b, Operand::Constant(_)) {
            return nearest("it divides by what is computed", "Mul, or Div by a constant");
        }
        let end = if integer && !divided { self.end(output, true) } else { None };
        let integer = end.is_some();
        let end = end.or_else(|| self.end(output, false)).unwrap_or_else(|| Self::no_end(output));
        for operand in &mut operands {
            match operand {
                Operand::Computed(computed) if !integer => *computed = self.float(computed),
                Operand::Constant(constant) if !integer => {
                    self.spend(8 * constant.len())?;
                    let mut values = constant.to_f32()?.to_vec();
                    if divided {
                        values.iter_mut().for_each(|value| *value = 1.0 / *value);
                    }
                    *constant = Constant::floats(constant.dims.clone(), values);
                }
                _ => (),
            }
        }
        let (values, shape, layout) = self.aligned(call, &operands)?;
        let operator = |activation: Activation| match call.operator.as_str() {
            "Add" => Operator::Add(activation),
            "Sub" => Operator::Subtract(activation),
            _ => Operator::Multiply(activation),
        };
        self.finish(end, operator, values, shape, layout, true)
    }

    /// Two operands as values whose shapes fit, with the shape and the layout of the result.
    fn aligned(&mut self, call: &Call, operands: &[Operand]) -> Step<(Vec<ValueId>, Shape, Layout)> {
        let dims_of = |operand: &Operand| match operand {
            Operand::Computed(computed) => computed.layout.dims().to_vec(),
            Operand::Constant(constant) => constant.dims.clone(),
        };
        let all: Vec<Vec<usize>> = operands.iter().map(dims_of).collect();
        let rank = all.iter().map(Vec::len).max().unwrap_or(0);
        let padded = |dims: &[usize]| [vec![1; rank - dims.len()], dims.to_vec()].concat();
        let all: Vec<Vec<usize>> = all.iter().map(|dims| padded(dims)).collect();
        let mut dims = all[0].clone();
        for (size, &other) in dims.iter_mut().zip(&all[1]) {
            require(*size == other || *size == 1 || other == 1, "the shapes of its inputs do not fit")?;
            *size = (*size).max(other);
        }
        let name = call.output()?;
        match operands {
            [Operand::Computed(a), Operand::Computed(b)] => {
                if a.layout == b.layout {
                    let shape = self.shape(a.value);
                    return Ok((vec![a.value, self.shaped(b.value, shape)], shape, a.layout.clone()));
                }
                let layouts: Option<Vec<Layout>> =
                    [a, b].iter().zip(&all).map(|(operand, dims)| operand.layout.reshaped(dims)).collect();
                let Some(layouts) = layouts else { return layout_fault(&a.layout) };
                let ordered = |view: &View| layouts.iter().all(|layout| layout.is_ordered(&view.order));
                let Some(view) = View::all(&dims).into_iter().find(ordered) else { return layout_fault(&a.layout) };
                let values = vec![self.shaped(a.value, view.shape(&all[0])), self.shaped(b.value, view.shape(&all[1]))];
                Ok((values, view.shape(&dims), Layout::ordered(&dims, &view.order)))
            }
            [Operand::Computed(a), Operand::Constant(constant)] => {
                let (value, constant, shape, layout) =
                    self.with_constant(a, constant, (&all[1], &dims), name, false)?;
                Ok((vec![value, constant], shape, layout))
            }
            [Operand::Constant(constant), Operand::Computed(b)] => {
                // The first operand of a difference has the result's shape.
                let whole = call.operator == "Sub";
                let (value, constant, shape, layout) =
                    self.with_constant(b, constant, (&all[0], &dims), name, whole)?;
                Ok((vec![constant, value], shape, layout))
            }
            _ => broken("it has not two inputs"),
        }
    }

    /// A computed operand and a constant one of these dimensions, which may be repeated.
    fn with_constant(
        &mut self,
        computed: &Computed,
        constant: &Constant,
        (dims, to): (&[usize], &[usize]),
        name: &str,
        whole: bool,
    ) -> Step<(ValueId, ValueId, Shape, Layout)> {
        if to.iter().product::<usize>() != computed.layout.len() {
            return nearest(
                format!("its constant, of the shape {dims:?}, is larger than its other input"),
                "a constant that is repeated, or of the same shape",
            );
        }
        let Some(layout) = computed.layout.reshaped(to) else { return layout_fault(&computed.layout) };
        let name = format!("{name} constant");
        let view = View::all(to).into_iter().find(|view| layout.is_ordered(&view.order));
        self.spend(8 * constant.len())?;
        if let (false, Some(view)) = (whole, &view) {
            let moved = Layout::linear(dims).transposed(&view.order).places();
            let (element, numbers) = numbers(constant, moved.into_iter())?;
            let value = self.shaped(computed.value, view.shape(to));
            let constant = self.constant_value(&name, view.shape(dims), element, numbers);
            return Ok((value, constant, view.shape(to), layout));
        }
        // A value for each of the other's, in its order.
        self.spend(16 * layout.len())?;
        let linear = Layout::linear(to);
        let mut places = vec![0; layout.len()];
        for (index, place) in linear.places().into_iter().zip(layout.places()) {
            let (mut rest, mut from, mut stride) = (index, 0, 1);
            for (&size, &of) in to.iter().zip(dims).rev() {
                from += if of == 1 { 0 } else { rest % size * stride };
                (rest, stride) = (rest / size, stride * of);
            }
            places[place] = from;
        }
        let shape = self.shape(computed.value);
        let (element, numbers) = numbers(constant, places.into_iter())?;
        let constant = self.constant_value(&name, shape, element, numbers);
        Ok((computed.value, constant, shape, layout))
    }
}

/// The numbers of a constant operand, taken from these places.
fn numbers(constant: &Constant, places: impl Iterator<Item = usize>) -> Step<(Element, Numbers)> {
    match (&constant.data, constant.int8()) {
        (Data::Float(values), _) => Ok((Element::F32, Numbers::F32(places.map(|place| values[place]).collect()))),
        (_, Some((values, of))) => Ok((Element::Int8(of), Numbers::Int8(places.map(|place| values[place]).collect()))),
        _ => unsupported("its constant is not int8 or uint8 of one scale"),
    }
}
