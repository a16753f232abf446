//! Operators that compute nothing: on constants they are done while reading, on what the network computes they change
//! dimensions, or move values.

use super::super::fault::{Step, broken, nearest, require, unsupported};
use super::call::{Call, short};
use super::constant::{Constant, Data, length};
use super::layout::{Layout, View};
use super::quantized::{dequantize, quantize};
use super::reader::{Computed, Reader, Tensor, layout_fault};
use super::schema::element;
use crate::graph::{Element, Numbers, Operator};

/// A range of indices: the first, how many, and from one to the next.
type Range = (usize, usize, isize);

/// The dimension that `axis` is, counted from the end where it is negative.
pub(super) fn axis(axis: i64, rank: usize) -> Step<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(axis) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => broken(format!("axis {axis} is not one of {rank}")),
    }
}

impl Reader {
    /// Does an operator on constants; false if it is none.
    pub(super) fn fold(&mut self, index: usize) -> Step<bool> {
        let call = self.calls[index].clone();
        let folded = match call.operator.as_str() {
            "Constant" => Some(self.constant_node(&call)?),
            "Shape" => self.shape_of(&call)?,
            _ => {
                let mut inputs = Vec::new();
                for name in call.inputs.iter().filter(|name| !name.is_empty()) {
                    match self.tensor(name) {
                        Ok(Tensor::Constant(constant)) => inputs.push(constant),
                        _ => return Ok(false),
                    }
                }
                self.fold_constants(&call, &inputs)?
            }
        };
        let Some(constant) = folded else { return Ok(false) };
        self.define(call.output()?, Tensor::Constant(constant))?;
        Ok(true)
    }

    fn fold_constants(&mut self, call: &Call, inputs: &[Constant]) -> Step<Option<Constant>> {
        let Some(first) = inputs.first() else { return Ok(None) };
        let bytes = 8 * first.len();
        let whole = first.quantized.as_ref().is_none_or(|of| of.scales.len() == 1);
        Ok(Some(match call.operator.as_str() {
            "Identity" => first.clone(),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" if whole => {
                let dims = self.new_dims(call, &first.dims)?;
                require(length(&dims)? == first.len(), "its output has not as many values as its input")?;
                Constant { dims, ..first.clone() }
            }
            "Transpose" if whole => {
                self.spend(bytes)?;
                let moved = Layout::linear(&first.dims).transposed(&order(call, first.dims.len())?);
                if first.len() == 0 {
                    return Ok(None);
                }
                first.gathered(moved.dims().to_vec(), moved.places().into_iter())
            }
            "Cast" => {
                self.spend(bytes)?;
                cast(first, call.int("to", 0)?)?
            }
            "Concat" if first.dims.len() == 1 => {
                let mut values = Vec::new();
                for input in inputs {
                    self.spend(8 * input.len())?;
                    values.extend_from_slice(input.whole()?);
                }
                Constant::integers(vec![values.len()], element::INT64, values)
            }
            "Gather" if inputs.len() == 2 && first.dims.len() == 1 => {
                let mut places = Vec::new();
                self.spend(8 * inputs[1].len())?;
                for &index in inputs[1].whole()? {
                    places.push(axis(index, first.len())?);
                }
                first.gathered(inputs[1].dims.clone(), places.into_iter())
            }
            "Slice" if whole && first.len() > 0 => {
                self.spend(bytes)?;
                let ranges = self.ranges(call, &first.dims)?;
                let mut places = vec![0];
                for (&size, (begin, count, step)) in first.dims.iter().zip(&ranges) {
                    let at = |place: usize, i: usize| place * size + begin.wrapping_add_signed(step * i as isize);
                    places = places.iter().flat_map(|&place| (0..*count).map(move |i| at(place, i))).collect();
                }
                first.gathered(ranges.iter().map(|range| range.1).collect(), places.into_iter())
            }
            "ConstantOfShape" => {
                let mut dims = Vec::new();
                for &size in first.whole()? {
                    dims.push(usize::try_from(size).or_else(|_| broken(format!("a dimension is {size}")))?);
                }
                let len = length(&dims)?;
                self.spend(8 * len)?;
                match call.tensor("value")? {
                    None => Constant::floats(dims, vec![0.0; len]),
                    Some(bytes) => {
                        let (_, one) = Constant::read(bytes, &mut |_| unsupported("its value is in another file"))?;
                        require(one.len() == 1, "its value is not one number")?;
                        one.gathered(dims, std::iter::repeat_n(0, len))
                    }
                }
            }
            "Add" | "Sub" | "Mul" | "Div" if inputs.len() == 2 => {
                self.spend(8 * inputs[1].len().max(inputs[0].len()))?;
                return Constant::arithmetic(&call.operator, &inputs[0], &inputs[1]);
            }
            "QuantizeLinear" => {
                self.spend(bytes)?;
                self.quantized_constant(call, first)?
            }
            "DequantizeLinear" => self.dequantized_constant(call, first.clone())?,
            _ => return Ok(None),
        }))
    }

    fn constant_node(&mut self, call: &Call) -> Step<Constant> {
        if let Some(bytes) = call.tensor("value")? {
            let (_, constant) = Constant::read(bytes, &mut |_| unsupported("a constant is in another file"))?;
            return Ok(constant);
        }
        Ok(match (call.ints("value_ints")?, call.floats("value_floats")?) {
            (Some(ints), _) => Constant::integers(vec![ints.len()], element::INT64, ints.to_vec()),
            (_, Some(floats)) => Constant::floats(vec![floats.len()], floats.to_vec()),
            _ if call.has("value_float") => Constant::floats(vec![], vec![call.float("value_float", 0.0)?]),
            _ if call.has("value_int") => Constant::integers(vec![], element::INT64, vec![call.int("value_int", 0)?]),
            _ => return unsupported("it is not a tensor of numbers"),
        })
    }

    /// The dimensions of a tensor, which are known.
    fn shape_of(&self, call: &Call) -> Step<Option<Constant>> {
        let dims = match self.tensor(call.input(0)?) {
            Ok(Tensor::Constant(constant)) => constant.dims,
            Ok(Tensor::Computed(computed)) => computed.layout.dims().to_vec(),
            _ => return Ok(None),
        };
        let rank = dims.len() as i64;
        let place = |index: i64| (if index < 0 { index + rank } else { index }).clamp(0, rank) as usize;
        let (start, end) = (place(call.int("start", 0)?), place(call.int("end", rank)?));
        let dims: Vec<i64> = dims.get(start..end).unwrap_or_default().iter().map(|&size| size as i64).collect();
        Ok(Some(Constant::integers(vec![dims.len()], element::INT64, dims)))
    }

    /// Whole numbers that old versions have as an attribute and new ones as an input.
    pub(super) fn whole_numbers(&self, call: &Call, attribute: &str, input: usize) -> Step<Option<Vec<i64>>> {
        if let Some(numbers) = call.ints(attribute)? {
            return Ok(Some(numbers.to_vec()));
        }
        match self.optional_constant(call, input)? {
            Some(constant) => {
                require(constant.len() <= 64, "it has more numbers than a shape can have")?;
                Ok(Some(constant.whole()?.to_vec()))
            }
            None => Ok(None),
        }
    }

    /// The dimensions that `Reshape`, `Flatten`, `Squeeze` or `Unsqueeze` give a tensor.
    fn new_dims(&self, call: &Call, from: &[usize]) -> Step<Vec<usize>> {
        match call.operator.as_str() {
            "Flatten" => {
                let end = match call.int("axis", 1)? {
                    end if end == from.len() as i64 => from.len(),
                    end => axis(end, from.len())?,
                };
                Ok(vec![from[..end].iter().product(), from[end..].iter().product()])
            }
            "Squeeze" => {
                let mut gone = vec![false; from.len()];
                match self.whole_numbers(call, "axes", 1)? {
                    None => gone.iter_mut().zip(from).for_each(|(gone, &size)| *gone = size == 1),
                    Some(axes) => {
                        for at in axes {
                            gone[axis(at, from.len())?] = true;
                        }
                    }
                }
                require(gone.iter().zip(from).all(|(&gone, &size)| !gone || size == 1), "it squeezes several values")?;
                Ok(from.iter().zip(gone).filter(|(_, gone)| !gone).map(|(&size, _)| size).collect())
            }
            "Unsqueeze" => {
                let Some(axes) = self.whole_numbers(call, "axes", 1)? else { return broken("it has no axes") };
                let rank = from.len() + axes.len();
                let mut new = vec![false; rank];
                for at in axes {
                    new[axis(at, rank)?] = true;
                }
                let mut sizes = from.iter().copied();
                Ok(new.iter().map(|&new| if new { 1 } else { sizes.next().unwrap_or(1) }).collect())
            }
            _ => {
                let Some(wanted) = self.whole_numbers(call, "shape", 1)? else { return broken("it has no shape") };
                let zero = call.int("allowzero", 0)? != 0;
                let mut dims = Vec::new();
                for (at, &size) in wanted.iter().enumerate() {
                    dims.push(match size {
                        0 if !zero => match from.get(at) {
                            Some(&size) => size,
                            None => return broken("it keeps a dimension that is not there"),
                        },
                        -1 => 1,
                        size => usize::try_from(size).or_else(|_| broken(format!("a dimension is {size}")))?,
                    });
                }
                let open = wanted.iter().position(|&size| size == -1);
                let (len, known) = (from.iter().product::<usize>(), length(&dims)?);
                if let Some(open) = open {
                    require(known > 0 && len.is_multiple_of(known), "its shape does not fit its input")?;
                    dims[open] = len / known;
                }
                Ok(dims)
            }
        }
    }

    pub(super) fn reshape(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        let dims = self.new_dims(call, input.layout.dims())?;
        require(length(&dims)? == input.layout.len(), "its output has not as many values as its input")?;
        match input.layout.reshaped(&dims) {
            Some(layout) => self.alias(&input, call.output()?, layout),
            None => layout_fault(&input.layout),
        }
    }

    pub(super) fn transpose(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        let order = order(call, input.layout.dims().len())?;
        self.alias(&input, call.output()?, input.layout.transposed(&order))
    }

    /// Dropout and others that give their input.
    pub(super) fn identity(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        require(call.outputs.iter().skip(1).all(|name| !self.is_read(name)), "its second output is used")?;
        if let Some(training) = self.optional_constant(call, 2)?.filter(|_| call.operator == "Dropout") {
            require(training.whole()?.iter().all(|&on| on == 0), "it is in training mode")?;
        }
        if call.operator == "Cast" {
            require(call.int("to", 0)? == i64::from(element::FLOAT), "it casts to another type than float")?;
            self.real(call, 0)?;
        }
        match call.outputs.first() {
            Some(output) => self.alias(&input, output, input.layout.clone()),
            None => broken("it has no output"),
        }
    }

    /// Begin, count and step for each dimension of a `Slice`.
    fn ranges(&self, call: &Call, dims: &[usize]) -> Step<Vec<Range>> {
        let numbers = |attribute: &str, input: usize| self.whole_numbers(call, attribute, input);
        let (Some(begins), Some(ends)) = (numbers("starts", 1)?, numbers("ends", 2)?) else {
            return broken("it has no begin or no end");
        };
        let axes = numbers("axes", 3)?.unwrap_or_else(|| (0..begins.len() as i64).collect());
        let steps = numbers("steps", 4)?.unwrap_or_else(|| vec![1; begins.len()]);
        if [ends.len(), axes.len(), steps.len()] != [begins.len(); 3] {
            return broken("it has not a begin, an end and a step for each axis");
        }
        let mut ranges: Vec<Range> = dims.iter().map(|&size| (0, size, 1)).collect();
        for (i, &at) in axes.iter().enumerate() {
            let at = axis(at, dims.len())?;
            let (size, step) = (dims[at] as i64, steps[i]);
            require(step != 0 && step.abs() <= 1 << 16, "a step is 0, or above 65,536")?;
            // Indices count from the end where negative, and are cut to what a range may begin and end with.
            let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
            let cut =
                |index: i64, low: i64| (if index < 0 { index.saturating_add(size) } else { index }).clamp(low, high);
            let (begin, end) = (cut(begins[i], low.max(0)), cut(ends[i], low));
            let count = if step > 0 { (end - begin + step - 1) / step } else { (begin - end - step - 1) / -step };
            require(count > 0 && (0..size).contains(&begin), "it is empty")?;
            ranges[at] = (begin as usize, count as usize, if count == 1 { 1 } else { step as isize });
        }
        Ok(ranges)
    }

    /// A range of each dimension of a tensor; the result has these dimensions.
    fn cut(&mut self, input: &Computed, ranges: &[Range], output: &str, dims: &[usize]) -> Step<()> {
        let Some((value, view)) = self.view(input, |_| true) else { return layout_fault(&input.layout) };
        let counts: Vec<usize> = ranges.iter().map(|range| range.1).collect();
        let (mut begin, mut stride) = ([0; 3], [1; 3]);
        for (range, axis) in ranges.iter().zip(&view.axes) {
            if let Some(axis) = *axis {
                (begin[axis], stride[axis]) = (range.0, range.2);
            }
        }
        let layout = Layout::ordered(&counts, &view.order);
        let Some(layout) = layout.reshaped(dims) else { return layout_fault(&input.layout) };
        if counts == input.layout.dims() && stride.iter().all(|&step| step == 1) {
            return self.alias(input, output, layout);
        }
        self.moved(Operator::Slice { begin, stride }, (input, value), output, view.shape(&counts), layout)
    }

    pub(super) fn slice(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        let ranges = self.ranges(call, input.layout.dims())?;
        let dims: Vec<usize> = ranges.iter().map(|range| range.1).collect();
        self.cut(&input, &ranges, call.output()?, &dims)
    }

    /// One index of a dimension.
    pub(super) fn gather(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        let dims = input.layout.dims();
        let at = axis(call.int("axis", 0)?, dims.len())?;
        let index = self.constant(call, 1)?;
        let &[single] = index.whole()? else {
            return nearest("it gathers several indices", "Slice, or Gather of one index");
        };
        let mut ranges: Vec<Range> = dims.iter().map(|&size| (0, size, 1)).collect();
        ranges[at] = (axis(single, dims[at])?, 1, 1);
        let mut dims: Vec<usize> = ranges.iter().map(|range| range.1).collect();
        match index.dims.len() {
            0 => drop(dims.remove(at)),
            1 => (),
            _ => return unsupported("its index has several dimensions"),
        }
        self.cut(&input, &ranges, call.output()?, &dims)
    }

    pub(super) fn split(&mut self, call: &Call) -> Step<()> {
        let input = self.computed(call, 0)?;
        let dims = input.layout.dims().to_vec();
        let at = axis(call.int("axis", 0)?, dims.len())?;
        let parts = call.outputs.len();
        require(parts > 0, "it has no outputs")?;
        let sizes = match self.whole_numbers(call, "split", 1)? {
            Some(sizes) => sizes,
            // All are the same size, but the last if they do not come out even.
            None => {
                let (whole, size) = (dims[at], dims[at].div_ceil(parts));
                (0..parts).map(|i| size.min(whole.saturating_sub(i * size)) as i64).collect()
            }
        };
        let fits = sizes.len() == parts && sizes.iter().all(|&size| (1..=dims[at] as i64).contains(&size));
        require(fits && sizes.iter().sum::<i64>() == dims[at] as i64, "its parts do not make up its input")?;
        let mut begin = 0;
        for (&size, output) in sizes.iter().zip(&call.outputs) {
            let (size, mut part) = (size as usize, dims.clone());
            let mut ranges: Vec<Range> = dims.iter().map(|&size| (0, size, 1)).collect();
            ranges[at] = (begin, size, 1);
            part[at] = size;
            begin += size;
            if self.is_read(output) {
                self.cut(&input, &ranges, output, &part)?;
            }
        }
        Ok(())
    }

    pub(super) fn pad(&mut self, call: &Call) -> Step<()> {
        let mode = call.string("mode", "constant")?;
        if mode != "constant" {
            return nearest(format!("its mode is {}", short(mode)), "padding with a constant");
        }
        let mut input = self.computed(call, 0)?;
        let dims = input.layout.dims().to_vec();
        let Some(pads) = self.whole_numbers(call, "pads", 1)? else { return broken("it has no paddings") };
        let axes = match self.optional_constant(call, 3)? {
            Some(axes) => axes.whole()?.to_vec(),
            None => (0..dims.len() as i64).collect(),
        };
        require(pads.len() == 2 * axes.len(), "it has not two paddings for each axis")?;
        let mut sides = vec![[0; 2]; dims.len()];
        for (i, &at) in axes.iter().enumerate() {
            let [Ok(before), Ok(after)] = [pads[i], pads[axes.len() + i]].map(u16::try_from) else {
                return nearest("a padding is negative, or above 65,535", "Slice for what is cut off");
            };
            sides[axis(at, dims.len())?] = [before, after].map(usize::from);
        }
        let real = match self.optional_constant(call, 2)? {
            Some(value) => value.single()?,
            None => call.float("value", 0.0)?,
        };
        let element = self.element(input.value);
        let value = match element {
            Element::Int8(of) if input.dequantized => {
                let value = quantize(real, of);
                if dequantize(value, of) == real {
                    Numbers::Int8(vec![value])
                } else {
                    input = self.float(&input);
                    Numbers::F32(vec![real])
                }
            }
            Element::F32 => Numbers::F32(vec![real]),
            _ => return unsupported("it pads integers"),
        };
        let padded = |axis: Option<usize>, side: [usize; 2]| axis.is_some() || side == [0; 2];
        let wanted = |view: &View| view.axes.iter().zip(&sides).all(|(&axis, &side)| padded(axis, side));
        let Some((from, view)) = self.view(&input, wanted) else { return layout_fault(&input.layout) };
        let (mut before, mut after, mut to) = ([0; 3], [0; 3], dims);
        for (at, &[front, back]) in sides.iter().enumerate() {
            to[at] += front + back;
            if let Some(axis) = view.axes[at] {
                (before[axis], after[axis]) = (front, back);
            }
        }
        if sides.iter().all(|&side| side == [0; 2]) {
            return self.alias(&input, call.output()?, input.layout.clone());
        }
        let layout = Layout::ordered(&to, &view.order);
        self.moved(Operator::Pad { before, after, value }, (&input, from), call.output()?, view.shape(&to), layout)
    }

    pub(super) fn concat(&mut self, call: &Call) -> Step<()> {
        let mut inputs = Vec::new();
        for index in 0..call.inputs.len() {
            inputs.push(self.computed(call, index)?);
        }
        let Some(first) = inputs.first() else { return broken("it has no inputs") };
        let mut dims = first.layout.dims().to_vec();
        let at = axis(call.int("axis", 0)?, dims.len())?;
        dims[at] = 0;
        for input in &inputs {
            let mut these = input.layout.dims().to_vec();
            require(these.len() == dims.len(), "its inputs differ in their number of dimensions")?;
            dims[at] += std::mem::replace(&mut these[at], 0);
            let same = (0..dims.len()).all(|i| i == at || these[i] == dims[i]);
            require(same, "its inputs' shapes do not fit")?;
        }
        let elements: Vec<Element> = inputs.iter().map(|input| self.element(input.value)).collect();
        let same = elements.iter().all(|&element| element == elements[0]);
        let dequantized = inputs.iter().all(|input| input.dequantized);
        let end = if dequantized { self.end(call.output()?, true) } else { None };
        let end = match end {
            Some(end) if end.bounds == [f32::NEG_INFINITY, f32::INFINITY] => Some(end),
            _ => None,
        };
        let raw = inputs.iter().all(|input| !input.dequantized);
        if !(same && (dequantized || raw) || end.is_some()) {
            require(
                raw || inputs.iter().all(|input| input.dequantized || self.element(input.value) == Element::F32),
                "its inputs are of different types",
            )?;
            inputs = inputs.iter().map(|input| self.float(input)).collect();
        }
        let ordered = |view: &View| inputs.iter().all(|input| input.layout.is_ordered(&view.order));
        let view = View::all(&dims).into_iter().find(|view| view.axes[at].is_some() && ordered(view));
        let Some(view) = view else { return layout_fault(&inputs[0].layout) };
        let values: Vec<_> =
            inputs.iter().map(|input| self.shaped(input.value, view.shape(input.layout.dims()))).collect();
        let (operator, layout) =
            (Operator::Concatenate { axis: view.axes[at].unwrap_or(2) }, Layout::ordered(&dims, &view.order));
        let dequantized = inputs[0].dequantized;
        if let Some(end) = end {
            return self.finish(end, |_| operator, values, view.shape(&dims), layout, false);
        }
        length(&dims)?;
        let element = self.element(values[0]);
        let value = self.node(operator, values, call.output()?, view.shape(&dims), &dims, element);
        self.define(call.output()?, Tensor::Computed(Computed { value, layout, dequantized }))
    }

    pub(super) fn resize(&mut self, call: &Call) -> Step<()> {
        let mode = call.string("mode", "nearest")?;
        if mode != "nearest" {
            return nearest(format!("its mode is {}", short(mode)), "nearest");
        }
        let input = self.computed(call, 0)?;
        let dims = input.layout.dims().to_vec();
        let (value, from) = self.picture(&input)?;
        let upsample = call.operator == "Upsample" || self.version < 11;
        require(call.int("antialias", 0)? == 0, "it is anti-aliased")?;
        let numbers = |constant: Option<Constant>| constant.filter(|constant| constant.len() > 0);
        let scales = match call.floats("scales")? {
            Some(scales) => Some(scales.to_vec()),
            None => match numbers(self.optional_constant(call, if upsample { 1 } else { 2 })?) {
                Some(scales) => Some(scales.to_f32()?.to_vec()),
                None => None,
            },
        };
        let sizes = if upsample { None } else { numbers(self.optional_constant(call, 3)?) };
        let axes = match call.ints("axes")? {
            Some(axes) => axes.to_vec(),
            None => (0..dims.len() as i64).collect(),
        };
        let (mut to, mut factors) = (dims.clone(), vec![1.0; dims.len()]);
        for (i, &at) in axes.iter().enumerate() {
            let at = axis(at, dims.len())?;
            (to[at], factors[at]) = match (&scales, &sizes) {
                (_, Some(sizes)) => match sizes.whole()?.get(i).map(|&size| usize::try_from(size)) {
                    Some(Ok(size)) => (size, size as f32 / dims[at] as f32),
                    _ => return broken("it has not a size for each axis"),
                },
                (Some(scales), None) => match scales.get(i) {
                    Some(&scale) if scale > 0.0 && scale <= 65_536.0 => ((dims[at] as f32 * scale) as usize, scale),
                    _ => return broken("it has not a scale for each axis"),
                },
                (None, None) => return broken("it has neither sizes nor scales"),
            };
            require((1..=1 << 16).contains(&to[at]), "a size is 0, or above 65,536")?;
        }
        require(to[..2] == dims[..2], "it resizes the batch or the channels")?;
        let (coordinates, rounding) = if upsample {
            ("asymmetric", "floor")
        } else {
            (
                call.string("coordinate_transformation_mode", "half_pixel")?,
                call.string("nearest_mode", "round_prefer_floor")?,
            )
        };
        // The library's three modes: the one that takes the same pixels.
        for (align_corners, half_pixel_centers) in [(false, false), (false, true), (true, false)] {
            let mut same = true;
            for at in 2..dims.len() {
                for place in 0..to[at] {
                    let theirs = nearest_index(place, dims[at], to[at], factors[at], coordinates, rounding)?;
                    let ours = crate::run::nearest(place, dims[at], to[at], align_corners, half_pixel_centers);
                    same &= theirs == ours;
                }
            }
            if same {
                let operator = Operator::ResizeNearest { align_corners, half_pixel_centers };
                let Some(view) = View::picture(&to) else { return broken("it changes the batch") };
                let (shape, layout) = (view.shape(&to), Layout::ordered(&to, &view.order));
                if shape == from {
                    return self.alias(&input, call.output()?, input.layout.clone());
                }
                return self.moved(operator, (&input, value), call.output()?, shape, layout);
            }
        }
        nearest(
            format!("it takes other pixels than the library: {}, {}", short(coordinates), short(rounding)),
            "coordinate_transformation_mode asymmetric with nearest_mode floor, as PyTorch exports nearest",
        )
    }
}

/// The pixel that ONNX takes for an output pixel, in single precision.
fn nearest_index(at: usize, from: usize, to: usize, scale: f32, coordinates: &str, rounding: &str) -> Step<usize> {
    let x = at as f32;
    let place = match coordinates {
        "asymmetric" => x / scale,
        "half_pixel" => (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel" if to > 1 => (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel" => 0.0,
        "align_corners" if to > 1 => x * (from - 1) as f32 / (to - 1) as f32,
        "align_corners" => 0.0,
        other => return unsupported(format!("its coordinates are {}", short(other))),
    };
    let whole = match rounding {
        "floor" => place.floor(),
        "ceil" => place.ceil(),
        "round_prefer_floor" => (place - 0.5).ceil(),
        "round_prefer_ceil" => (place + 0.5).floor(),
        other => return unsupported(format!("it rounds by {}", short(other))),
    };
    Ok((whole.max(0.0) as usize).min(from - 1))
}

/// The order of dimensions of a `Transpose`.
fn order(call: &Call, rank: usize) -> Step<Vec<usize>> {
    let Some(numbers) = call.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let mut order = Vec::new();
    for &number in numbers {
        order.push(axis(number, rank)?);
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..rank) { Ok(order) } else { broken("its order is not one of all dimensions") }
}

fn cast(constant: &Constant, to: i64) -> Step<Constant> {
    let to = i32::try_from(to).unwrap_or(0);
    let data = match (&constant.data, to) {
        (_, element::FLOAT) if constant.quantized.is_some() => return Ok(constant.clone()),
        (Data::Integer(_, values), element::FLOAT) => Data::Float(values.iter().map(|&value| value as f32).collect()),
        (Data::Integer(_, values), element::INT64 | element::INT32) => Data::Integer(to, values.clone()),
        (Data::Float(values), element::FLOAT) => Data::Float(values.clone()),
        (Data::Float(values), element::INT64 | element::INT32) => {
            Data::Integer(to, values.iter().map(|&value| value as i64).collect())
        }
        _ => return unsupported(format!("it casts a constant to {}", element::name(to))),
    };
    Ok(Constant { dims: constant.dims.clone(), data, quantized: None })
}
