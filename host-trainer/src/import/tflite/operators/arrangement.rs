//! What moves values and leaves them as they are.

use super::super::Reader;
use super::super::schema::kind;
use super::super::tensor::axis_of;
use super::{Call, options};
use crate::graph::{Element, Numbers, Operator as Op, ValueId};
use crate::import::fault::{Step, broken, nearest, require, unsupported};

impl<'a> Reader<'a> {
    pub(super) fn concatenation(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 10, concatenation);
        require(options.fused_activation()? == 0, "it has a fused activation")?;
        let output = self.produce(call.output()?)?;
        let (mut inputs, mut sum) = (Vec::new(), 0usize);
        let mut axis = None;
        for index in 0..call.inputs.len() {
            let tensor = call.input(index)?;
            let input = self.value(tensor)?;
            let rank = self.tensors[tensor].dimensions.len();
            let here = axis_of(options.axis()?.into(), rank)?;
            let Some(here) = here else { return unsupported("it concatenates along the batch") };
            require(axis.is_none_or(|axis| axis == here), "its inputs differ in their number of dimensions")?;
            axis = Some(here);
            require(
                self.element(input) == self.element(output),
                "its inputs' types, scales or zero points differ from the output's",
            )?;
            let (mut from, to) = (self.shape(input), self.shape(output));
            sum = sum.saturating_add(from[here]);
            from[here] = to[here];
            require(from == to, "its inputs' shapes do not fit the output's")?;
            inputs.push(input);
        }
        let Some(axis) = axis else { return broken("it has no inputs") };
        require(sum == self.shape(output)[axis], "its inputs do not make up the output")?;
        self.node(Op::Concatenate { axis }, inputs, output);
        Ok(())
    }

    pub(super) fn pad(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(2..=3)?;
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let element = self.element(input);
        let rank = self.tensors[call.input(0)?].dimensions.len();
        let paddings = &self.tensors[call.input(1)?];
        require(paddings.kind == kind::INT32, "its paddings are not int32")?;
        let paddings = paddings.integers()?;
        if paddings.len() != 2 * rank {
            return broken("it has not two paddings for each dimension");
        }
        let value = match call.optional(2) {
            Some(value) => {
                let this = &self.tensors[value];
                require(this.len()? == 1, "its value is not one number")?;
                require(this.element()? == element, "its value has another type, scale or zero point than its input")?;
                this.numbers(element)?
            }
            None => match element {
                Element::Int8(quantization) => Numbers::Int8(vec![quantization.zero_point]),
                Element::Int16(_) => Numbers::Int16(vec![0]),
                Element::F32 => Numbers::F32(vec![0.0]),
            },
        };
        let (mut before, mut after) = ([0; 3], [0; 3]);
        for (axis, pair) in paddings.chunks(2).enumerate() {
            let [Ok(front), Ok(back)] = [u16::try_from(pair[0]), u16::try_from(pair[1])] else {
                return unsupported("a padding is negative, or above 65,535");
            };
            match axis_of(axis as i64, rank)? {
                Some(axis) => (before[axis], after[axis]) = (usize::from(front), usize::from(back)),
                None => require(front == 0 && back == 0, "it pads the batch")?,
            }
        }
        let mut shape = self.shape(input);
        for axis in 0..3 {
            shape[axis] += before[axis] + after[axis];
        }
        self.node_exact(Op::Pad { before, after, value }, input, shape, output)
    }

    pub(super) fn reshape(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(1..=2)?;
        if let Some(shape) = call.optional(1)
            && self.tensors[shape].data.is_none()
        {
            return nearest("its shape is not constant", "a constant shape");
        }
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let lens = [input, output].map(|value| self.shape(value).iter().product::<usize>());
        require(lens[0] == lens[1], "its output has another number of values than its input")?;
        self.node(Op::Reshape, vec![input], output);
        Ok(())
    }

    pub(super) fn strided_slice(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 32, strided_slice);
        call.inputs(4..=4)?;
        require(options.ellipsis_mask()? == 0, "it has an ellipsis")?;
        require(options.new_axis_mask()? == 0, "it has new axes")?;
        require(!options.offset()?, "its end is an offset")?;
        let input = self.value(call.input(0)?)?;
        let dimensions = self.tensors[call.input(0)?].dimensions.clone();
        let mut numbers = Vec::new();
        for index in 1..=3 {
            let these = self.tensors[call.input(index)?].integers()?;
            require(these.len() == dimensions.len(), "it has not a begin, an end and a stride for each dimension")?;
            numbers.push(these);
        }
        let mask = |mask: i32, axis: usize| mask >> axis & 1 != 0;
        let mut ranges = Vec::new();
        for (axis, &size) in dimensions.iter().enumerate() {
            let [begin, end, stride] = [numbers[0][axis], numbers[1][axis], numbers[2][axis]];
            let size = size as i64;
            require(stride != 0, "it has a stride of 0")?;
            // Indices count from the end where negative, and are cut to what a range may begin and end with.
            let (low, high) = if stride > 0 { (0, size) } else { (-1, size - 1) };
            let cut = |index: i64| if index < 0 { index + size } else { index }.clamp(low, high);
            let begin = match (mask(options.begin_mask()?, axis), stride > 0) {
                (true, true) => 0,
                (true, false) => size - 1,
                _ => cut(begin),
            };
            let end = match (mask(options.end_mask()?, axis), stride > 0) {
                _ if mask(options.shrink_axis_mask()?, axis) => begin + 1,
                (true, true) => size,
                (true, false) => -1,
                _ => cut(end),
            };
            let stride = if mask(options.shrink_axis_mask()?, axis) { 1 } else { stride };
            let count =
                if stride > 0 { (end - begin + stride - 1) / stride } else { (begin - end - stride - 1) / -stride };
            require(count > 0 && (0..size).contains(&begin), "it is empty")?;
            ranges.push((begin, count, stride));
        }
        let output = self.produce(call.output()?)?;
        self.slice_node(input, &ranges, output)
    }

    pub(super) fn slice(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(3..=3)?;
        let input = self.value(call.input(0)?)?;
        let dimensions = self.tensors[call.input(0)?].dimensions.clone();
        let [begins, sizes] = [self.tensors[call.input(1)?].integers()?, self.tensors[call.input(2)?].integers()?];
        let fits = begins.len() == dimensions.len() && sizes.len() == dimensions.len();
        require(fits, "it has not a begin and a size for each dimension")?;
        let mut ranges = Vec::new();
        for (axis, &size) in dimensions.iter().enumerate() {
            let (begin, mut count, size) = (begins[axis], sizes[axis], size as i64);
            require((0..size).contains(&begin), "it begins outside of its input")?;
            if count == -1 {
                count = size - begin;
            }
            require(count > 0 && count <= size - begin, "it is empty, or reaches past its input")?;
            ranges.push((begin, count, 1));
        }
        let output = self.produce(call.output()?)?;
        self.slice_node(input, &ranges, output)
    }

    pub(super) fn split(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(2..=2)?;
        let tensor = call.input(1)?;
        let rank = self.tensors[tensor].dimensions.len();
        let axis = self.tensors[call.input(0)?].integers()?;
        let [axis] = axis[..] else { return unsupported("it has not one axis") };
        let input = self.value(tensor)?;
        let Some(axis) = axis_of(axis, rank)? else { return unsupported("it splits the batch") };
        let whole = self.shape(input)[axis];
        require(
            !call.outputs.is_empty() && whole.is_multiple_of(call.outputs.len()),
            "its parts are not the same size",
        )?;
        let part = whole / call.outputs.len();
        self.parts(input, axis, &vec![part; call.outputs.len()], call)
    }

    pub(super) fn split_v(&mut self, call: &Call<'a>) -> Step<()> {
        call.inputs(3..=3)?;
        let tensor = call.input(0)?;
        let rank = self.tensors[tensor].dimensions.len();
        let axis = self.tensors[call.input(2)?].integers()?;
        let [axis] = axis[..] else { return unsupported("it has not one axis") };
        let input = self.value(tensor)?;
        let Some(axis) = axis_of(axis, rank)? else { return unsupported("it splits the batch") };
        let mut sizes = self.tensors[call.input(1)?].integers()?;
        let whole = self.shape(input)[axis] as i64;
        // One part may be what is left.
        let known: i64 = sizes.iter().filter(|&&size| (0..=whole).contains(&size)).sum();
        if let Some(rest) = sizes.iter_mut().find(|size| **size == -1) {
            *rest = whole - known;
        }
        let fits = sizes.len() == call.outputs.len() && sizes.iter().all(|size| (1..=whole).contains(size));
        require(fits && sizes.iter().sum::<i64>() == whole, "its parts do not make up its input")?;
        let sizes: Vec<usize> = sizes.iter().map(|&size| size as usize).collect();
        self.parts(input, axis, &sizes, call)
    }

    pub(super) fn resize(&mut self, call: &Call<'a>) -> Step<()> {
        let options = options!(call, 74, resize);
        call.inputs(2..=2)?;
        self.picture(call.input(0)?)?;
        let (input, output) = self.one_to_one(call)?;
        self.same_element(input, output)?;
        let size = self.tensors[call.input(1)?].integers()?;
        let (from, to) = (self.shape(input), self.shape(output));
        require(size == [to[0] as i64, to[1] as i64], "its output has not the size that its second input says")?;
        let (align_corners, half_pixel_centers) = (options.align_corners()?, options.half_pixel_centers()?);
        if align_corners && half_pixel_centers {
            return nearest("it has align_corners and half_pixel_centers", "one of the two");
        }
        let operator = Op::ResizeNearest { align_corners, half_pixel_centers };
        self.node_exact(operator, input, [to[0], to[1], from[2]], output)
    }

    /// A slice of begin, count and stride for each dimension of the file's tensor.
    fn slice_node(&mut self, input: ValueId, ranges: &[(i64, i64, i64)], output: ValueId) -> Step<()> {
        self.same_element(input, output)?;
        let (mut begin, mut stride, mut shape) = ([0; 3], [1; 3], [1; 3]);
        for (axis, &(from, count, step)) in ranges.iter().enumerate() {
            // The batch has a single value.
            if let Some(axis) = axis_of(axis as i64, ranges.len())? {
                begin[axis] = from as usize;
                shape[axis] = count as usize;
                // A stride is not used where there is one value.
                stride[axis] = if count == 1 { 1 } else { step as isize };
            }
        }
        self.node_shaped(Op::Slice { begin, stride }, input, shape, output)
    }

    /// The parts of an input along an axis, each an output.
    fn parts(&mut self, input: ValueId, axis: usize, sizes: &[usize], call: &Call<'a>) -> Step<()> {
        let mut at = 0;
        for (&size, &output) in sizes.iter().zip(&call.outputs) {
            let output = self.produce(output)?;
            self.same_element(input, output)?;
            let (mut begin, mut shape) = ([0; 3], self.shape(input));
            begin[axis] = at;
            shape[axis] = size;
            at += size;
            self.node_exact(Op::Slice { begin, stride: [1; 3] }, input, shape, output)?;
        }
        Ok(())
    }
}
