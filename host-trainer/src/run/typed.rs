//! Steps of values of one type, and the types that elements and roundings stand for.

use super::Step;
use crate::graph::Numbers;
use bareconv::ShapeError;

/// Numbers of a type that activations have.
pub(super) trait Number: bytemuck::Pod + PartialOrd {
    fn of(numbers: &Numbers) -> Option<&[Self]>;
    fn pack(values: Vec<Self>) -> Numbers;
}

macro_rules! number {
    ($type:ty, $variant:ident) => {
        impl Number for $type {
            fn of(numbers: &Numbers) -> Option<&[Self]> {
                if let Numbers::$variant(values) = numbers { Some(values) } else { None }
            }
            fn pack(values: Vec<Self>) -> Numbers {
                Numbers::$variant(values)
            }
        }
    };
}
number!(i8, Int8);
number!(i16, Int16);
number!(f32, F32);

/// A step with one input and one output of so many values.
pub(super) fn unary<'g, I: Number, O: Number>(len: usize, f: impl Fn(&[I], &mut [O]) + Send + Sync + 'g) -> Step<'g> {
    fallible(len, move |input, output| {
        f(input, output);
        Ok(())
    })
}

/// The same, where it may fail.
pub(super) fn fallible<'g, I: Number, O: Number>(
    len: usize,
    f: impl Fn(&[I], &mut [O]) -> Result<(), ShapeError> + Send + Sync + 'g,
) -> Step<'g> {
    Box::new(move |inputs| {
        let input = inputs.first().and_then(|numbers| I::of(numbers)).ok_or(ShapeError::Input)?;
        let mut output = vec![O::zeroed(); len];
        f(input, &mut output)?;
        Ok(O::pack(output))
    })
}

/// A step of values that are of the same type on both sides.
macro_rules! by_type {
    ($element:expr, $T:ident => $step:expr) => {
        match $element {
            crate::graph::Element::Int8(_) => {
                type $T = i8;
                $step
            }
            crate::graph::Element::Int16(_) => {
                type $T = i16;
                $step
            }
            crate::graph::Element::F32 => {
                type $T = f32;
                $step
            }
        }
    };
}

/// A step whose rounding is that of a convolution.
macro_rules! by_rounding {
    ($rounding:expr, $wide:expr, $R:ident => $step:expr) => {
        match ($rounding, $wide) {
            (crate::graph::Rounding::TensorFlowLiteMicro, false) => {
                type $R = bareconv::DoubleRounding;
                $step
            }
            (crate::graph::Rounding::TensorFlowLiteMicro, true) => {
                type $R = bareconv::ReducedRounding;
                $step
            }
            (crate::graph::Rounding::Single, _) => {
                type $R = bareconv::SingleRounding;
                $step
            }
            (crate::graph::Rounding::PowerOfTwo, _) => {
                type $R = bareconv::PowerOfTwo;
                $step
            }
        }
    };
}

/// A step whose rounding is that of a product; elementwise operators have no power of two.
macro_rules! by_product {
    ($rounding:expr, $R:ident => $step:expr) => {
        match $rounding {
            crate::graph::Rounding::TensorFlowLiteMicro => {
                type $R = bareconv::DoubleRounding;
                $step
            }
            crate::graph::Rounding::Single | crate::graph::Rounding::PowerOfTwo => {
                type $R = bareconv::SingleRounding;
                $step
            }
        }
    };
}

pub(super) use {by_product, by_rounding, by_type};
