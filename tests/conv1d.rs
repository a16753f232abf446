//! 1-D convolution against the sum of its definition, in `i64`.

use bareconv::arch::Portable;
use bareconv::{Activation, Conv1dShape, Int8Filters, Quantization, SingleRounding, dynamic::conv2d};
use proptest::prelude::*;

/// `output[t][o] = bias[o] + sum of input[t * stride + k * dilation - before][c] * weights[o][k][c]`, then the maximum
/// over the pooling window. All scales are 1, so requantization saturates and does nothing else.
fn naive(shape: &Conv1dShape, input: &[i8], weights: &[i8], bias: &[i32]) -> Vec<i8> {
    let ([steps, channels], [before, after]) = (shape.input, shape.padding);
    let last = steps + before + after - ((shape.filter - 1) * shape.dilation + 1);
    let convolved = last / shape.stride + 1;
    let at = |t: usize, o: usize| {
        let mut sum = i64::from(bias[o]);
        for k in 0..shape.filter {
            let Some(step) = (t * shape.stride + k * shape.dilation).checked_sub(before) else { continue };
            for c in 0..channels {
                let value = input.get(step * channels + c).filter(|_| step < steps);
                sum += i64::from(weights[(o * shape.filter + k) * channels + c]) * value.map_or(0, |&x| i64::from(x));
            }
        }
        sum.clamp(-128, 127) as i8
    };
    let mut output = Vec::new();
    for t in 0..convolved / shape.pool {
        for o in 0..shape.filters {
            output.extend((0..shape.pool).map(|p| at(t * shape.pool + p, o)).max());
        }
    }
    output
}

fn cases() -> impl Strategy<Value = (Conv1dShape, Vec<i8>, Vec<i8>, Vec<i32>)> {
    let shape = (1..40usize, 1..6usize, 1..7usize, 1..6usize, 1..4usize, 1..4usize, (0..9usize, 0..9usize), 1..4usize)
        .prop_map(|(steps, channels, filters, filter, stride, dilation, padding, pool)| Conv1dShape {
            stride,
            dilation,
            padding: padding.into(),
            pool,
            ..Conv1dShape::new([steps, channels], filters, filter)
        });
    shape.prop_filter("the rules", |shape| shape.to_2d().check().is_ok()).prop_flat_map(|shape| {
        let values = prop::collection::vec(-9..9i8, shape.input[0] * shape.input[1]);
        let weights = prop::collection::vec(-9..9i8, shape.filters * shape.filter * shape.input[1]);
        (Just(shape), values, weights, prop::collection::vec(-99..99i32, shape.filters))
    })
}

proptest! {
    #[test]
    fn convolution_of_a_signal_is_its_sum((shape, input, weights, bias) in cases()) {
        let q = Quantization::new(1.0, 0);
        let scales = vec![1.0; shape.filters];
        let numbers = Int8Filters {
            filters: &weights, bias: &bias, scales: &scales, input: q, output: q, activation: Activation::Identity,
        };
        let plane = shape.to_2d();
        let mut packed = vec![0; conv2d::packed_words::<Portable, SingleRounding>(&plane)];
        let common = conv2d::pack_int8::<Portable, SingleRounding>(&plane, &numbers, &mut packed)?;
        let mut scratch = vec![0; conv2d::scratch_words::<Portable, SingleRounding>(&plane)];
        let mut output = vec![0; plane.output().iter().product()];
        conv2d::run::<Portable, SingleRounding>(&plane, &packed, 0, &common, &input, &mut output, &mut scratch)?;
        prop_assert_eq!(output, naive(&shape, &input, &weights, &bias));
    }
}

/// A causal output depends on no later step, and is as long as the input.
#[test]
fn causal_outputs_do_not_see_the_future() {
    let shape = Conv1dShape::new([20, 1], 1, 3).dilation(4).causal();
    assert_eq!((shape.padding, shape.to_2d().output()), ([8, 0], [1, 20, 1]));
    let mut signal = [1; 20];
    let before = naive(&shape, &signal, &[1, 2, 3], &[0]);
    signal[11..].fill(77);
    assert_eq!(naive(&shape, &signal, &[1, 2, 3], &[0])[..11], before[..11]);
}
