use super::activation::Int8Table;
use super::add::obeys;
use crate::arch::{Job, dispatch};
use crate::kernels::Backend;
use crate::kernels::elementwise::unary;
use crate::quant::{ProductRounding, Quantization, SingleRounding};
use crate::reference::{Quantized, RequantizeParameters};
use crate::shape::ShapeError;
use crate::tensor::{View, ViewMut};
use core::marker::PhantomData;

/// From real numbers to int8 or int16, with the bits of TensorFlow Lite Micro: [`reference::quantize_i8`] or
/// [`reference::quantize_i16`], on every backend.
///
/// ```
/// use bareconv::{Quantization, Quantize, Tensor};
///
/// const QUANTIZE: Quantize<i8> = Quantize::int8(Quantization::new(0.5, 10));
/// let mut output = Tensor::filled(0);
/// QUANTIZE.run(Tensor([[[0.0, 0.75, -0.75, 1e9]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[10, 12, 8, 127]]])); // halves away from zero, saturated
/// ```
///
/// ```compile_fail
/// # use bareconv::{Quantization, Quantize};
/// const QUANTIZE: Quantize<i8> = Quantize::int8(Quantization::new(0.0, 0)); // scales must be positive and finite
/// ```
///
/// [`reference::quantize_i8`]: crate::reference::quantize_i8
/// [`reference::quantize_i16`]: crate::reference::quantize_i16
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quantize<T> {
    quantization: Quantization,
    to: PhantomData<T>,
}

/// From int8 or int16 to real numbers, with the bits of TensorFlow Lite Micro: [`reference::dequantize_i8`] or
/// [`reference::dequantize_i16`], on every backend.
///
/// ```
/// use bareconv::{Dequantize, Tensor};
///
/// const DEQUANTIZE: Dequantize<i16> = Dequantize::int16(0.25);
/// let mut output = Tensor::filled(0.0);
/// DEQUANTIZE.run(Tensor([[[0, -1, 1000]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0.0, -0.25, 250.0]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::Dequantize;
/// const DEQUANTIZE: Dequantize<i16> = Dequantize::int16(f32::INFINITY); // scales must be positive and finite
/// ```
///
/// [`reference::dequantize_i8`]: crate::reference::dequantize_i8
/// [`reference::dequantize_i16`]: crate::reference::dequantize_i16
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dequantize<T> {
    quantization: Quantization,
    from: PhantomData<T>,
}

/// A quantization whose scale is positive and finite.
const fn checked(scale: f32, zero_point: i8) -> Quantization {
    if !(scale > 0.0 && scale < f32::INFINITY) {
        panic!("{}", ShapeError::Scale.message());
    }
    Quantization::new(scale, zero_point)
}

macro_rules! conversions {
    ($type:ident, $quantize:ident, $dequantize:ident, |$quantization:ident| $argument:expr) => {
        impl Quantize<$type> {
            /// Computes the layer's output.
            #[inline]
            pub fn run<const H: usize, const W: usize, const C: usize>(
                &self,
                input: View<'_, f32, H, W, C>,
                mut output: ViewMut<'_, $type, H, W, C>,
            ) {
                struct Map<'a>(Quantization, &'a [f32], &'a mut [$type]);
                impl Job for Map<'_> {
                    type Output = Result<(), ShapeError>;
                    #[inline(always)]
                    fn run<B: Backend>(self) -> Self::Output {
                        let $quantization = self.0;
                        unary::$quantize::<B>($argument, self.1, self.2)
                    }
                }
                let same_length = dispatch(Map(self.quantization, input.as_slice(), output.as_mut_slice()));
                debug_assert!(same_length.is_ok());
            }
        }

        impl Dequantize<$type> {
            /// Computes the layer's output.
            #[inline]
            pub fn run<const H: usize, const W: usize, const C: usize>(
                &self,
                input: View<'_, $type, H, W, C>,
                mut output: ViewMut<'_, f32, H, W, C>,
            ) {
                struct Map<'a>(Quantization, &'a [$type], &'a mut [f32]);
                impl Job for Map<'_> {
                    type Output = Result<(), ShapeError>;
                    #[inline(always)]
                    fn run<B: Backend>(self) -> Self::Output {
                        let $quantization = self.0;
                        unary::$dequantize::<B>($argument, self.1, self.2)
                    }
                }
                let same_length = dispatch(Map(self.quantization, input.as_slice(), output.as_mut_slice()));
                debug_assert!(same_length.is_ok());
            }
        }
    };
}

conversions!(i8, quantize_i8, dequantize_i8, |quantization| quantization);
conversions!(i16, quantize_i16, dequantize_i16, |quantization| quantization.scale);

impl Quantize<i8> {
    /// To int8 of this quantization.
    ///
    /// # Panics
    /// Where the scale is not positive and finite. In a constant this is a compile error; here and below.
    pub const fn int8(to: Quantization) -> Self {
        Self { quantization: checked(to.scale, to.zero_point), to: PhantomData }
    }
}

impl Quantize<i16> {
    /// To int16 of this scale; the zero point is 0.
    ///
    /// # Panics
    /// Where the scale is not positive and finite.
    pub const fn int16(scale: f32) -> Self {
        Self { quantization: checked(scale, 0), to: PhantomData }
    }
}

impl Dequantize<i8> {
    /// From int8 of this quantization.
    ///
    /// # Panics
    /// Where the scale is not positive and finite.
    pub const fn int8(from: Quantization) -> Self {
        Self { quantization: checked(from.scale, from.zero_point), from: PhantomData }
    }
}

impl Dequantize<i16> {
    /// From int16 of this scale; the zero point is 0.
    ///
    /// # Panics
    /// Where the scale is not positive and finite.
    pub const fn int16(scale: f32) -> Self {
        Self { quantization: checked(scale, 0), from: PhantomData }
    }
}

/// From one quantization to another, `I` and `O` being `i8` or `i16`; [`RequantizeInt8`] is faster from int8 to int8.
///
/// `R` is the rounding: [`SingleRounding`], or [`DoubleRounding`](crate::DoubleRounding) for the bits of TensorFlow Lite
/// Micro. The result is that of [`reference::requantize`](crate::reference::requantize), bit for bit, on every backend.
///
/// ```
/// use bareconv::{Quantization, Requantize, Tensor};
///
/// const WIDEN: Requantize<i8, i16> = Requantize::int8_to_int16(Quantization::new(0.5, 10), 0.125);
/// let mut output = Tensor::filled(0);
/// WIDEN.run(Tensor([[[10, 12, -128]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[0, 8, -552]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::Requantize;
/// // the inputs' scales are too large for the output's
/// const FINER: Requantize<i16, i16> = Requantize::int16(65536.0, 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantize<I, O, R = SingleRounding> {
    parameters: RequantizeParameters<I, O, R>,
}

impl<R: ProductRounding> Requantize<i8, i8, R> {
    /// From int8 to int8, in fewer bytes than the table of [`RequantizeInt8`], but slower.
    ///
    /// # Panics
    /// Where a rule of [`RequantizeParameters::int8`] is broken. In a constant this is a compile error; here and below.
    pub const fn int8(from: Quantization, to: Quantization) -> Self {
        Self { parameters: obeys(RequantizeParameters::<_, _, R>::int8(from, to)) }
    }
}

impl<R: ProductRounding> Requantize<i8, i16, R> {
    /// From int8 to int16 of this scale; its zero point is 0.
    ///
    /// # Panics
    /// Where a rule of [`RequantizeParameters::int8`] is broken.
    pub const fn int8_to_int16(from: Quantization, to: f32) -> Self {
        Self { parameters: obeys(RequantizeParameters::<_, _, R>::int8_to_int16(from, to)) }
    }
}

impl<R: ProductRounding> Requantize<i16, i8, R> {
    /// From int16 of this scale to int8; the zero point of int16 is 0.
    ///
    /// # Panics
    /// Where a rule of [`RequantizeParameters::int8`] is broken.
    pub const fn int16_to_int8(from: f32, to: Quantization) -> Self {
        Self { parameters: obeys(RequantizeParameters::<_, _, R>::int16_to_int8(from, to)) }
    }
}

impl<R: ProductRounding> Requantize<i16, i16, R> {
    /// From int16 of a scale to int16 of another; both zero points are 0.
    ///
    /// # Panics
    /// Where a rule of [`RequantizeParameters::int8`] is broken.
    pub const fn int16(from: f32, to: f32) -> Self {
        Self { parameters: obeys(RequantizeParameters::<_, _, R>::int16(from, to)) }
    }
}

impl<I: Quantized, O: Quantized, R: ProductRounding> Requantize<I, O, R> {
    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, I, H, W, C>,
        mut output: ViewMut<'_, O, H, W, C>,
    ) {
        struct Map<'a, I, O, R>(&'a RequantizeParameters<I, O, R>, &'a [I], &'a mut [O]);
        impl<I: Quantized, O: Quantized, R: ProductRounding> Job for Map<'_, I, O, R> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                unary::requantize::<B, I, O, R>(self.0, self.1, self.2)
            }
        }
        let same_length = dispatch(Map(&self.parameters, input.as_slice(), output.as_mut_slice()));
        debug_assert!(same_length.is_ok());
    }
}

impl<T: Quantized, R: ProductRounding> Requantize<T, T, R> {
    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(&self, mut values: ViewMut<'_, T, H, W, C>) {
        struct Map<'a, T, R>(&'a RequantizeParameters<T, T, R>, &'a mut [T]);
        impl<T: Quantized, R: ProductRounding> Job for Map<'_, T, R> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                unary::requantize_in_place::<B, T, R>(self.0, self.1);
            }
        }
        dispatch(Map(&self.parameters, values.as_mut_slice()));
    }
}

/// From one int8 quantization to another, by a table of 256 bytes.
///
/// An int8 function has 256 values, so the layer is a table made when it compiles, by
/// [`reference::requantize`](crate::reference::requantize); whatever the rounding, it is one load for each value, or
/// several values at once where a backend has vectors to look up in.
///
/// ```
/// use bareconv::{DoubleRounding, Quantization, RequantizeInt8, Tensor};
///
/// const COARSER: RequantizeInt8 =
///     RequantizeInt8::new::<DoubleRounding>(Quantization::new(0.25, 0), Quantization::new(0.5, -20));
/// let mut values = Tensor([[[0, 10, -128]]]);
/// COARSER.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-20, -15, -84]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Quantization, RequantizeInt8, SingleRounding};
/// const BROKEN: RequantizeInt8 = // scales must be positive and finite
///     RequantizeInt8::new::<SingleRounding>(Quantization::new(-0.25, 0), Quantization::new(0.5, -20));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequantizeInt8 {
    table: Int8Table,
}

impl RequantizeInt8 {
    /// From one quantization to another, with this rounding.
    ///
    /// # Panics
    /// Where a rule of [`RequantizeParameters::int8`] is broken. In a constant this is a compile error.
    pub const fn new<R: ProductRounding>(from: Quantization, to: Quantization) -> Self {
        let parameters = obeys(RequantizeParameters::<i8, i8, R>::int8(from, to));
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            table[i] = parameters.apply(i as i32 - 128) as i8;
            i += 1;
        }
        Self { table: Int8Table::new(table) }
    }

    /// The output for one value.
    #[inline(always)]
    pub const fn apply(&self, x: i8) -> i8 {
        self.table.apply(x)
    }

    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, i8, H, W, C>,
        mut output: ViewMut<'_, i8, H, W, C>,
    ) {
        self.run_on(input.as_slice(), output.as_mut_slice());
    }

    /// Computes the outputs of a slice; both have the same length.
    #[inline]
    pub(super) fn run_on(&self, input: &[i8], output: &mut [i8]) {
        self.table.run_on(input, output);
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(&self, values: ViewMut<'_, i8, H, W, C>) {
        self.table.run_in_place(values);
    }
}

format!([I, O, R] Requantize<I, O, R>, "Requantize {{ parameters: {} }}", |this| this.parameters);
format!([] RequantizeInt8, "RequantizeInt8");
