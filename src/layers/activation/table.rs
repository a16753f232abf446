use crate::arch::{Job, dispatch};
use crate::kernels::{Backend, elementwise::unary};
use crate::quant::Quantization;
use crate::reference::{self, HardSwish, Q4, Rectifier};
use crate::shape::ShapeError;
use crate::tensor::{View, ViewMut};

/// Any function of one int8 value: a table of 256 bytes, made when it compiles.
///
/// All activations in int8 are this type, and share its body: one load for each value on every core, or several values
/// at once where a backend has vectors to look up in. Each constructor names the function that it is the table of.
///
/// ```
/// use bareconv::{Int8Table, Quantization, Tensor};
///
/// const LEAKY: Int8Table = Int8Table::leaky_relu(0.1, Quantization::new(0.5, 0), Quantization::new(0.25, -50));
/// let mut values = Tensor([[[-100i8, 0, 10]]]); // -50.0, 0.0 and 5.0
/// LEAKY.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-70, -50, -30]]])); // -5.0, 0.0 and 5.0
///
/// const SIGMOID: Int8Table = Int8Table::sigmoid(Quantization::new(0.1, 0));
/// assert_eq!(Int8Table::SIGMOID_OUTPUT.dequantize(SIGMOID.apply(0)), 0.5);
///
/// const MINE: Int8Table = { // x^2 / 64
///     let (mut table, mut x) = ([0; 256], -128);
///     while x < 128 {
///         table[(x + 128) as usize] = (x * x / 64 - if x == -128 { 129 } else { 0 }) as i8;
///         x += 1;
///     }
///     Int8Table::new(table)
/// };
/// assert_eq!(MINE.apply(-16), 4);
/// ```
///
/// Scales out of an operator's range do not compile:
///
/// ```compile_fail
/// # use bareconv::{Int8Table, Quantization};
/// const SIGMOID: Int8Table = Int8Table::sigmoid(Quantization::new(9.0, 0)); // sigmoid and tanh need a scale below 8
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Int8Table {
    /// The output for -128, -127, ..., 127.
    table: [i8; 256],
}

/// The table of an expression in `x`.
macro_rules! table {
    ($x:ident => $value:expr) => {{
        let (mut table, mut i) = ([0; 256], 0);
        while i < 256 {
            let $x = (i as i32 - 128) as i8;
            table[i] = $value;
            i += 1;
        }
        Self { table }
    }};
}

impl Int8Table {
    /// The quantization of a sigmoid's output.
    pub const SIGMOID_OUTPUT: Quantization = Quantization::new(1.0 / 256.0, -128);

    /// The quantization of a hyperbolic tangent's output.
    pub const TANH_OUTPUT: Quantization = Quantization::new(1.0 / 128.0, 0);

    /// Any function: the outputs for -128, -127, ..., 127.
    pub const fn new(table: [i8; 256]) -> Self {
        Self { table }
    }

    /// ReLU from one quantization to another: [`leaky_relu`](Self::leaky_relu) with a slope of 0, the bits of TensorFlow
    /// Lite Micro's `RELU`. Where the quantization stays the same, [`Relu`](crate::Relu) needs no table.
    ///
    /// # Panics
    /// As [`leaky_relu`](Self::leaky_relu).
    pub const fn relu(from: Quantization, to: Quantization) -> Self {
        Self::leaky_relu(0.0, from, to)
    }

    /// ReLU6 from one quantization to another: [`relu`](Self::relu), then at most [`reference::six_i8`] of the output's.
    /// Where the quantization stays the same, [`Relu6`](crate::Relu6) needs no table.
    ///
    /// # Panics
    /// As [`leaky_relu`](Self::leaky_relu).
    pub const fn relu6(from: Quantization, to: Quantization) -> Self {
        let (relu, six) = (Self::relu(from, to), reference::six_i8(to));
        table!(x => if relu.apply(x) > six { six } else { relu.apply(x) })
    }

    /// Leaky ReLU of this slope, from one quantization to another: [`reference::leaky_relu_i8`], the bits of TensorFlow
    /// Lite Micro. Any finite slope will do; 1 makes it a requantization.
    ///
    /// # Panics
    /// Where `from.scale / to.scale`, or that times the slope, is not finite or not below 2^30. In a constant this is
    /// a compile error.
    pub const fn leaky_relu(slope: f32, from: Quantization, to: Quantization) -> Self {
        let function = Rectifier::leaky(slope, from, to);
        table!(x => crate::reference::saturate_i8(function.rectify(x as i32, 1)))
    }

    /// Hard swish, from one quantization to another: [`reference::hard_swish_i8`], the bits of TensorFlow Lite Micro.
    ///
    /// # Panics
    /// Where `from.scale / to.scale` is not in 2^-9..128, or `from.scale` not in 2^-23..2^20. In a constant this is a
    /// compile error.
    pub const fn hard_swish(from: Quantization, to: Quantization) -> Self {
        let function = HardSwish::new(from, to);
        table!(x => function.apply(x))
    }

    /// Hard sigmoid, from one quantization to another: [`reference::hard_sigmoid_i8`], with the parameters of
    /// [`HardSigmoidF32`](crate::HardSigmoidF32). TensorFlow Lite has no such operator.
    ///
    /// # Panics
    /// Where a scale is not positive and finite. In a constant this is a compile error.
    pub const fn hard_sigmoid(function: crate::HardSigmoidF32, from: Quantization, to: Quantization) -> Self {
        let usable = from.scale > 0.0 && from.scale.is_finite() && to.scale > 0.0 && to.scale.is_finite();
        assert!(usable, "scales must be positive and finite");
        table!(x => reference::hard_sigmoid(function.alpha, function.beta, from, to, x))
    }

    /// The logistic sigmoid, to [`SIGMOID_OUTPUT`](Self::SIGMOID_OUTPUT): [`reference::sigmoid_i8`], the bits of
    /// TensorFlow Lite Micro.
    ///
    /// # Panics
    /// Where the scale is not in 2^-28..8. In a constant this is a compile error.
    pub const fn sigmoid(from: Quantization) -> Self {
        let function = Q4::new(from);
        table!(x => function.sigmoid(x))
    }

    /// The hyperbolic tangent, to [`TANH_OUTPUT`](Self::TANH_OUTPUT): [`reference::tanh_i8`], the bits of TensorFlow
    /// Lite Micro.
    ///
    /// # Panics
    /// Where the scale is not in 2^-28..8. In a constant this is a compile error.
    pub const fn tanh(from: Quantization) -> Self {
        let function = Q4::new(from);
        table!(x => function.tanh(x))
    }

    /// The outputs for -128, -127, ..., 127.
    pub const fn as_array(&self) -> &[i8; 256] {
        &self.table
    }

    /// The output for one value.
    #[inline(always)]
    pub const fn apply(&self, x: i8) -> i8 {
        self.table[(x as u8 ^ 0x80) as usize]
    }

    /// Computes the layer's output.
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, i8, H, W, C>,
        mut output: ViewMut<'_, i8, H, W, C>,
    ) {
        self.run_on(input.as_slice(), output.as_mut_slice());
    }

    /// Replaces the values by the layer's output.
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(&self, mut values: ViewMut<'_, i8, H, W, C>) {
        self.run_in_place_on(values.as_mut_slice());
    }

    /// Compiled once for all functions and shapes.
    #[inline(never)]
    pub(in crate::layers) fn run_on(&self, input: &[i8], output: &mut [i8]) {
        struct Map<'a>(&'a [i8; 256], &'a [i8], &'a mut [i8]);
        impl Job for Map<'_> {
            type Output = Result<(), ShapeError>;
            #[inline(always)]
            fn run<B: Backend>(self) -> Self::Output {
                unary::look_up::<B>(self.0, self.1, self.2)
            }
        }
        let same_length = dispatch(Map(&self.table, input, output));
        debug_assert!(same_length.is_ok());
    }

    /// Compiled once for all functions and shapes.
    #[inline(never)]
    fn run_in_place_on(&self, values: &mut [i8]) {
        struct Map<'a>(&'a [i8; 256], &'a mut [i8]);
        impl Job for Map<'_> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                unary::look_up_in_place::<B>(self.0, self.1);
            }
        }
        dispatch(Map(&self.table, values));
    }
}

format!([] Int8Table, "Int8Table");
