use super::quantize::RequantizeInt8;
use crate::kernels::elementwise::arrange;
use crate::shape::{Axis, Region, Shape, ShapeError, TensorShape, same};
use crate::tensor::{Tensor, View, ViewMut};
use bytemuck::Pod;
use core::marker::PhantomData;

/// Concatenation of two to six tensors, of any type of values, along the channels, the columns or the rows.
///
/// `I` is a tuple of the inputs' types, `O` the type of the output. All have the same quantization, as TensorFlow Lite
/// Micro demands; where int8 inputs differ in it, [`requantizing`](Self::requantizing) brings each to the output's on the
/// way, through a table. The result is that of [`reference::place`](crate::reference::place), input by input.
///
/// ```
/// use bareconv::{Axis, Concatenate, DoubleRounding, Quantization, RequantizeInt8, Tensor};
///
/// type Wide = Tensor<i8, 1, 2, 2>;
/// type Narrow = Tensor<i8, 1, 2, 1>;
/// type Both = Tensor<i8, 1, 2, 3>;
///
/// const JOIN: Concatenate<(Wide, Narrow), Both> = Concatenate::new(Axis::Channels);
/// let (wide, narrow) = (Tensor([[[1, 2], [3, 4]]]), Tensor([[[50], [60]]]));
/// let mut output = Tensor::filled(0);
/// JOIN.run((wide.view(), narrow.view()), output.view_mut());
/// assert_eq!(output, Tensor([[[1, 2, 50], [3, 4, 60]]]));
///
/// // The same, where a step of the second input is a tenth of a step of the output.
/// const STEP: Quantization = Quantization::new(1.0, 0);
/// const SAME: RequantizeInt8 = RequantizeInt8::new::<DoubleRounding>(STEP, STEP);
/// const TENTH: RequantizeInt8 = RequantizeInt8::new::<DoubleRounding>(Quantization::new(0.1, 0), STEP);
/// static CONVERT: Concatenate<(Wide, Narrow), Both, [RequantizeInt8; 2]> =
///     Concatenate::requantizing(Axis::Channels, [SAME, TENTH]);
/// CONVERT.run((wide.view(), narrow.view()), output.view_mut());
/// assert_eq!(output, Tensor([[[1, 2, 5], [3, 4, 6]]]));
/// ```
///
/// ```compile_fail
/// # use bareconv::{Axis, Concatenate, Tensor};
/// // concatenated inputs have the output's dimensions; those along the axis add up to the output's
/// const JOIN: Concatenate<(Tensor<i8, 1, 2, 2>, Tensor<i8, 1, 1, 2>), Tensor<i8, 1, 2, 4>> =
///     Concatenate::new(Axis::Channels);
/// ```
#[derive(Debug)]
pub struct Concatenate<I, O, M = ()> {
    axis: Axis,
    maps: M,
    types: PhantomData<fn(&I, &mut O)>,
}

mod sealed {
    pub trait Sealed {}
}

/// The inputs of a concatenation: a tuple of two to six [`Tensor`] types with one type of values.
pub trait Inputs: sealed::Sealed {
    /// The type of values.
    type Element: Pod;
    /// A view of each.
    type Views<'a>;
    /// The shape of each.
    #[doc(hidden)]
    const SHAPES: &'static [Shape];
    /// Calls `visit` with the values of each, in order.
    #[doc(hidden)]
    fn for_each<'a>(views: Self::Views<'a>, visit: impl FnMut(&'a [Self::Element]))
    where
        Self::Element: 'a;
}

macro_rules! inputs {
    ($($view:ident: $h:ident $w:ident $c:ident),+) => {
        impl<T: Pod, $(const $h: usize, const $w: usize, const $c: usize),+> sealed::Sealed
            for ($(Tensor<T, $h, $w, $c>,)+)
        {
        }

        impl<T: Pod, $(const $h: usize, const $w: usize, const $c: usize),+> Inputs
            for ($(Tensor<T, $h, $w, $c>,)+)
        {
            type Element = T;
            type Views<'a> = ($(View<'a, T, $h, $w, $c>,)+);
            const SHAPES: &'static [Shape] = &[$([$h, $w, $c]),+];

            #[inline(always)]
            fn for_each<'a>(($($view,)+): Self::Views<'a>, mut visit: impl FnMut(&'a [T]))
            where
                T: 'a,
            {
                $(visit($view.as_slice());)+
            }
        }
    };
}

inputs!(a: H1 W1 C1, b: H2 W2 C2);
inputs!(a: H1 W1 C1, b: H2 W2 C2, c: H3 W3 C3);
inputs!(a: H1 W1 C1, b: H2 W2 C2, c: H3 W3 C3, d: H4 W4 C4);
inputs!(a: H1 W1 C1, b: H2 W2 C2, c: H3 W3 C3, d: H4 W4 C4, e: H5 W5 C5);
inputs!(a: H1 W1 C1, b: H2 W2 C2, c: H3 W3 C3, d: H4 W4 C4, e: H5 W5 C5, f: H6 W6 C6);

impl<I: Inputs, O: TensorShape<Element = I::Element>> Concatenate<I, O> {
    /// A concatenation along an axis; values stay as they are.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken; in a constant, that is a compile error that names the rule.
    pub const fn new(axis: Axis) -> Self {
        check::<I, O>(axis);
        Self { axis, maps: (), types: PhantomData }
    }
}

impl<I: Inputs<Element = i8>, O: TensorShape<Element = i8>, const N: usize> Concatenate<I, O, [RequantizeInt8; N]> {
    /// A concatenation along an axis, each input's quantization changed on the way.
    ///
    /// # Panics
    /// Where a rule of [`ShapeError`] is broken, or there is not one table for each input; in a constant, that is a
    /// compile error that names the rule.
    pub const fn requantizing(axis: Axis, maps: [RequantizeInt8; N]) -> Self {
        check::<I, O>(axis);
        if N != I::SHAPES.len() {
            panic!("{}", ShapeError::Concatenation.message());
        }
        Self { axis, maps, types: PhantomData }
    }
}

/// The inputs must make up the output.
const fn check<I: Inputs, O: TensorShape>(axis: Axis) {
    let mut sum = 0;
    let mut i = 0;
    while i < I::SHAPES.len() {
        let shape = I::SHAPES[i];
        let mut whole = shape;
        whole[axis as usize] = O::SHAPE[axis as usize];
        if !same(whole, O::SHAPE) || shape[axis as usize] > O::SHAPE[axis as usize] {
            panic!("{}", ShapeError::Concatenation.message());
        }
        if let Err(error) = Region::new(shape, [0; 3], O::SHAPE) {
            panic!("{}", error.message());
        }
        sum += shape[axis as usize];
        i += 1;
    }
    if sum != O::SHAPE[axis as usize] {
        panic!("{}", ShapeError::Concatenation.message());
    }
}

impl<I: Inputs, O, M> Concatenate<I, O, M> {
    /// Places each input, `copy(number of the input, from, to)` copying each stretch of it.
    #[inline(always)]
    fn place(
        &self,
        within: Shape,
        inputs: I::Views<'_>,
        output: &mut [I::Element],
        mut copy: impl FnMut(usize, &[I::Element], &mut [I::Element]),
    ) {
        let (mut number, mut at) = (0, [0; 3]);
        I::for_each(inputs, |values| {
            let Some(&shape) = I::SHAPES.get(number) else { return };
            let fits = Region::new(shape, at, within)
                .and_then(|region| arrange::place_with(&region, values, output, |from, to| copy(number, from, to)));
            debug_assert!(fits.is_ok(), "the constructor compared the types");
            at[self.axis as usize] += shape[self.axis as usize];
            number += 1;
        });
    }
}

impl<I: Inputs, const H: usize, const W: usize, const C: usize> Concatenate<I, Tensor<I::Element, H, W, C>> {
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, inputs: I::Views<'_>, mut output: ViewMut<'_, I::Element, H, W, C>) {
        self.place([H, W, C], inputs, output.as_mut_slice(), |_, from, to| to.copy_from_slice(from));
    }
}

impl<I: Inputs<Element = i8>, const H: usize, const W: usize, const C: usize, const N: usize>
    Concatenate<I, Tensor<i8, H, W, C>, [RequantizeInt8; N]>
{
    /// Computes the layer's output.
    #[inline]
    pub fn run(&self, inputs: I::Views<'_>, mut output: ViewMut<'_, i8, H, W, C>) {
        self.place([H, W, C], inputs, output.as_mut_slice(), |number, from, to| {
            if let Some(map) = self.maps.get(number) {
                map.run_on(from, to);
            }
        });
    }
}

format!([I, O, M] Concatenate<I, O, M>, "Concatenate {{ axis: {} }}", |this| this.axis);
