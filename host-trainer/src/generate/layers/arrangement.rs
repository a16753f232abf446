//! What moves values and computes none: concatenation, padding, slices, resizing.

use super::super::numbers::Literal;
use super::super::{product_rounding, tensor_of as tensor};
use super::{Declaration, Layer};
use crate::graph::Numbers;

impl Declaration<'_> {
    pub(super) fn concatenate(&self, text: &mut String, layer: &mut Layer, axis: usize) -> Result<(), String> {
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

    pub(super) fn pad(&self, text: &mut String, layer: &mut Layer, [before, after]: [[usize; 3]; 2], value: &Numbers) {
        layer.words = "padding".to_owned();
        let value = match value {
            Numbers::Int8(values) => values[0].literal(),
            Numbers::Int16(values) => values[0].literal(),
            Numbers::F32(values) => values[0].literal(),
        };
        let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
        self.declare(
            text,
            layer,
            "const",
            &["Pad"],
            &format!("Pad<{types}>"),
            &format!("Pad::new({before:?}, {after:?}, {value})"),
        );
    }

    pub(super) fn slice(&self, text: &mut String, layer: &mut Layer, begin: [usize; 3], stride: [isize; 3]) {
        layer.words = "slice".to_owned();
        let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
        let value = slice_text(begin, stride, self.output().shape);
        self.declare(text, layer, "const", &["Slice"], &format!("Slice<{types}>"), &value);
    }

    pub(super) fn resize_nearest(
        &self,
        text: &mut String,
        layer: &mut Layer,
        align_corners: bool,
        half_pixel_centers: bool,
    ) -> Result<(), String> {
        let ([h, w, _], [out_h, out_w, _]) = (self.input().shape, self.output().shape);
        layer.words = format!("nearest {h} x {w} to {out_h} x {out_w}");
        let types = format!("{}, {}", tensor(self.input()), tensor(self.output()));
        let (imports, value): (&[&str], _) = match (align_corners, half_pixel_centers) {
            (false, false) => (&["Upsample"], "Upsample::nearest()"),
            (false, true) => (&["Upsample", "Coordinates"], "Upsample::nearest_with(Coordinates::HalfPixel)"),
            (true, false) => (&["Upsample", "Coordinates"], "Upsample::nearest_with(Coordinates::AlignCorners)"),
            (true, true) => {
                return Err("resizing is with align_corners or half_pixel_centers, not both".to_owned());
            }
        };
        self.declare(text, layer, "const", imports, &format!("Upsample<{types}>"), value);
        Ok(())
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
