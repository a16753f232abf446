//! A firmware with one convolution, or with ten of different shapes, to see what another costs: code that depends on the
//! shape must not be copied for each.

#![no_std]
#![cfg_attr(any(target_os = "none", target_family = "wasm"), no_main)]

#[cfg(not(any(target_os = "none", target_family = "wasm")))]
extern crate std;

use bareconv::{Activation, Conv2d, Conv2dShape, Int8Filters, Quantization, SingleRounding, Tensor};
use core::hint::black_box;

machine::main!(run);

const Q: Quantization = Quantization::new(0.1, 0);

/// Runs a convolution from `$h` x `$w` x `$c` with `$filters` filters of `$filter` x `$filter`.
macro_rules! convolution {
    ($h:literal $w:literal $c:literal, $filters:literal of $filter:literal, $shape:ident => $more:expr) => {{
        const SHAPE: Conv2dShape = {
            let $shape = Conv2dShape::new([$h, $w, $c], $filters, [$filter, $filter]);
            $more
        };
        const OUTPUT: [usize; 3] = SHAPE.output();
        const NUMBERS: Int8Filters<'static> = Int8Filters {
            filters: &[1; SHAPE.filters * SHAPE.filter_len()],
            bias: &[0; SHAPE.filters],
            scales: &[0.1; SHAPE.filters],
            input: Q,
            output: Q,
            activation: Activation::Relu,
        };
        type Input = Tensor<i8, $h, $w, $c>;
        type Output = Tensor<i8, { OUTPUT[0] }, { OUTPUT[1] }, { OUTPUT[2] }>;
        static LAYER: Conv2d<Input, Output, { SHAPE.packed_words::<SingleRounding>() }> = Conv2d::int8(SHAPE, NUMBERS);
        let mut output = Output::filled(0);
        let input = black_box(Input::filled(1));
        LAYER.run(input.view(), output.view_mut(), &mut [0; SHAPE.scratch_words::<SingleRounding>()]);
        black_box(&output);
    }};
}

fn run() -> i32 {
    convolution!(10 11 8, 8 of 3, shape => shape.padding(1));
    #[cfg(feature = "ten")]
    {
        convolution!(9 12 8, 12 of 3, shape => shape.padding(1));
        convolution!(12 9 12, 16 of 3, shape => shape.padding(1));
        convolution!(8 8 16, 8 of 3, shape => shape.padding(1));
        convolution!(11 10 8, 24 of 3, shape => shape.padding(1));
        convolution!(7 9 4, 8 of 3, shape => shape.padding(1));
        convolution!(6 6 24, 12 of 3, shape => shape.padding(1));
        convolution!(10 10 8, 4 of 3, shape => shape.padding(1));
        convolution!(5 14 12, 20 of 3, shape => shape.padding(1));
        convolution!(13 5 16, 16 of 3, shape => shape.padding(1));
    }
    0
}
