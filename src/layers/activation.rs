use crate::arch::{Job, dispatch};
use crate::kernels::{Backend, elementwise, elementwise::Element};
use crate::quant::Quantization;
use crate::reference;
use crate::tensor::{View, ViewMut};

/// The rectified linear unit: negative values become 0.
///
/// In int8, input and output have the same quantization. Behind a convolution or dense layer it is free, as that
/// layer's activation. The result is that of [`reference::relu_i8`] or [`reference::relu_f32`], bit for bit, on every
/// backend: in `f32` a NaN passes, and -0.0 stays -0.0.
///
/// ```
/// use bareconv::{Relu, Tensor};
///
/// let mut values = Tensor([[[-1.5, 0.0, 2.5]]]);
/// Relu::float().run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[0.0, 0.0, 2.5]]]));
///
/// let mut output = Tensor::filled(0);
/// Relu::int8(-10).run(Tensor([[[-128, -10, 3]]]).view(), output.view_mut());
/// assert_eq!(output, Tensor([[[-10, -10, 3]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Relu<T> {
    /// What stands for 0.
    zero: T,
}

impl Relu<i8> {
    /// ReLU of int8 values of this zero point.
    pub const fn int8(zero_point: i8) -> Self {
        Self { zero: zero_point }
    }
}

impl Relu<f32> {
    /// ReLU in single precision.
    pub const fn float() -> Self {
        Self { zero: 0.0 }
    }
}

impl<T: Element> Relu<T> {
    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        self,
        input: View<'_, T, H, W, C>,
        mut output: ViewMut<'_, T, H, W, C>,
    ) {
        struct Map<'a, T>(T, &'a [T], &'a mut [T]);
        impl<T: Element> Job for Map<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                let same_length = elementwise::relu::<B, T>(self.0, self.1, self.2);
                debug_assert!(same_length.is_ok());
            }
        }
        dispatch(Map(self.zero, input.as_slice(), output.as_mut_slice()));
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(self, mut values: ViewMut<'_, T, H, W, C>) {
        struct Map<'a, T>(T, &'a mut [T]);
        impl<T: Element> Job for Map<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                elementwise::relu_in_place::<B, T>(self.0, self.1);
            }
        }
        dispatch(Map(self.zero, values.as_mut_slice()));
    }
}

/// The slope that [`LeakyReluF32::default`] has, and what most networks use.
pub const LEAKY_RELU_SLOPE: f32 = 0.1;

/// The leaky rectified linear unit in single precision: negative values are multiplied by a slope.
///
/// The result is that of [`reference::leaky_relu_f32`], bit for bit, on every backend.
///
/// ```
/// use bareconv::{LeakyReluF32, Tensor};
///
/// let mut values = Tensor([[[-10.0, 0.0, 2.5]]]);
/// LeakyReluF32::default().run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-1.0, 0.0, 2.5]]]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeakyReluF32 {
    slope: f32,
}

impl Default for LeakyReluF32 {
    fn default() -> Self {
        Self::new(LEAKY_RELU_SLOPE)
    }
}

impl LeakyReluF32 {
    /// A leaky ReLU of this slope; any number will do.
    pub const fn new(slope: f32) -> Self {
        Self { slope }
    }

    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        self,
        input: View<'_, f32, H, W, C>,
        mut output: ViewMut<'_, f32, H, W, C>,
    ) {
        struct Map<'a>(f32, &'a [f32], &'a mut [f32]);
        impl Job for Map<'_> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                let same_length = elementwise::leaky_relu_f32::<B>(self.0, self.1, self.2);
                debug_assert!(same_length.is_ok());
            }
        }
        dispatch(Map(self.slope, input.as_slice(), output.as_mut_slice()));
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(self, mut values: ViewMut<'_, f32, H, W, C>) {
        struct Map<'a>(f32, &'a mut [f32]);
        impl Job for Map<'_> {
            type Output = ();
            #[inline(always)]
            fn run<B: Backend>(self) {
                elementwise::leaky_relu_f32_in_place::<B>(self.0, self.1);
            }
        }
        dispatch(Map(self.slope, values.as_mut_slice()));
    }
}

/// The leaky rectified linear unit in int8, from one quantization to another: the bits of TensorFlow Lite Micro.
///
/// An int8 function has 256 values, so the layer is a table of 256 bytes, made when it compiles by
/// [`reference::leaky_relu_i8`]; on every core that is one load for each value. Give it a slope of 0 and it is a ReLU
/// that changes the quantization, of 1 and it is the change alone.
///
/// ```
/// use bareconv::{LeakyReluInt8, Quantization, Tensor};
///
/// const LEAKY: LeakyReluInt8 = LeakyReluInt8::new(0.1, Quantization::new(0.5, 0), Quantization::new(0.25, -50));
/// let mut values = Tensor([[[-100i8, 0, 10]]]); // -50.0, 0.0 and 5.0
/// LEAKY.run_in_place(values.view_mut());
/// assert_eq!(values, Tensor([[[-70, -50, -30]]])); // -5.0, 0.0 and 5.0
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LeakyReluInt8 {
    /// The output for -128, -127, ..., 127.
    table: [i8; 256],
}

impl LeakyReluInt8 {
    /// A leaky ReLU of this slope; any finite number will do.
    ///
    /// # Panics
    /// Where `from.scale / to.scale`, or that times the slope, is not finite or not below 2^30. In a constant this is
    /// a compile error.
    pub const fn new(slope: f32, from: Quantization, to: Quantization) -> Self {
        let function = reference::LeakyRelu::new(slope, from, to);
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            table[i] = function.apply((i as i32 - 128) as i8);
            i += 1;
        }
        Self { table }
    }

    /// The output for one value.
    #[inline(always)]
    pub const fn apply(&self, x: i8) -> i8 {
        self.table[(x as u8 ^ 0x80) as usize]
    }

    /// Computes the layer's output.
    #[inline]
    pub fn run<const H: usize, const W: usize, const C: usize>(
        &self,
        input: View<'_, i8, H, W, C>,
        mut output: ViewMut<'_, i8, H, W, C>,
    ) {
        for (out, &x) in output.as_mut_slice().iter_mut().zip(input.as_slice()) {
            *out = self.apply(x);
        }
    }

    /// Replaces the values by the layer's output.
    #[inline]
    pub fn run_in_place<const H: usize, const W: usize, const C: usize>(&self, mut values: ViewMut<'_, i8, H, W, C>) {
        for x in values.as_mut_slice() {
            *x = self.apply(*x);
        }
    }
}
