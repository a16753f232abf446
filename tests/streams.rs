//! Layers that run row by row, as a chain and as constants. That the bodies give the reference's bits row by row, on every
//! backend, is for `conformance`.

use bareconv::arch::Portable;
use bareconv::dynamic::{self, depthwise};
use bareconv::kernels::elementwise;
use bareconv::{
    Activation, AveragePool2d, Clamp, Conv2d, Conv2dShape, DepthwiseConv2d, DepthwiseConv2dShape, F32Filters,
    Int8Filters, MaxPool2d, Pool2dShape, Quantization, ShapeError, SingleRounding, Tensor,
};

type R = SingleRounding;
const Q: Quantization = Quantization::new(0.02, -128);

/// Weights from -127 to 127 without a pattern.
const fn weights<const N: usize>() -> [i8; N] {
    let (mut weights, mut state, mut i) = ([0; N], 1u32, 0);
    while i < N {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        weights[i] = ((state >> 24) % 255) as i8;
        if weights[i] == -128 {
            weights[i] = 0;
        }
        i += 1;
    }
    weights
}

const fn int8<'a>(filters: &'a [i8], bias: &'a [i32], scales: &'a [f32]) -> Int8Filters<'a> {
    Int8Filters { filters, bias, scales, input: Q, output: Q, activation: Activation::Relu }
}

// The first layers of MobileNetV1 0.25 at a quarter of the size, padded as TensorFlow's SAME does, and two poolings.
const FIRST: Conv2dShape = Conv2dShape { padding: [0, 0, 1, 1], ..Conv2dShape::new([24, 24, 3], 8, [3, 3]).stride(2) };
const SECOND: DepthwiseConv2dShape = DepthwiseConv2dShape::new([12, 12, 8], 1, [3, 3]).padding(1);
// Its rows are merged where it runs whole.
const THIRD: Conv2dShape = Conv2dShape::new([12, 12, 8], 16, [1, 1]);
const FOURTH: DepthwiseConv2dShape =
    DepthwiseConv2dShape { padding: [0, 0, 1, 1], ..DepthwiseConv2dShape::new([12, 12, 16], 1, [3, 3]).stride(2) };
const FIFTH: Pool2dShape = Pool2dShape::new([6, 6, 16], [3, 3]).stride(1).padding(1);
const SIXTH: Pool2dShape = Pool2dShape::new([6, 6, 16], [2, 3]);

static CONV: Conv2d<Tensor<i8, 24, 24, 3>, Tensor<i8, 12, 12, 8>, { FIRST.packed_words::<R>() }> =
    Conv2d::int8(FIRST, int8(&weights::<{ 8 * 27 }>(), &[0; 8], &[0.01; 8]));
static DEPTHWISE: DepthwiseConv2d<Tensor<i8, 12, 12, 8>, Tensor<i8, 12, 12, 8>, { SECOND.packed_words::<R>() }> =
    DepthwiseConv2d::int8(SECOND, int8(&weights::<72>(), &[0; 8], &[0.01; 8]));
static POINTWISE: Conv2d<Tensor<i8, 12, 12, 8>, Tensor<i8, 12, 12, 16>, { THIRD.packed_words::<R>() }> =
    Conv2d::int8(THIRD, int8(&weights::<128>(), &[0; 16], &[0.01; 16]));
static SMALLER: DepthwiseConv2d<Tensor<i8, 12, 12, 16>, Tensor<i8, 6, 6, 16>, { FOURTH.packed_words::<R>() }> =
    DepthwiseConv2d::int8(FOURTH, int8(&weights::<144>(), &[0; 16], &[0.01; 16]));
static MAXIMUM: MaxPool2d<Tensor<i8, 6, 6, 16>, Tensor<i8, 6, 6, 16>> = MaxPool2d::new(FIFTH);
static AVERAGE: AveragePool2d<Tensor<i8, 6, 6, 16>, Tensor<i8, 3, 2, 16>> = AveragePool2d::int8(SIXTH);

fn whole(picture: &Tensor<i8, 24, 24, 3>) -> Tensor<i8, 3, 2, 16> {
    let mut scratch = vec![0; 10_000];
    let mut first = Tensor::filled(0);
    CONV.run(picture.view(), first.view_mut(), &mut scratch);
    let mut second = Tensor::filled(0);
    DEPTHWISE.run(first.view(), second.view_mut(), &mut scratch);
    let mut third = Tensor::filled(0);
    POINTWISE.run(second.view(), third.view_mut(), &mut scratch);
    let mut fourth = Tensor::filled(0);
    SMALLER.run(third.view(), fourth.view_mut(), &mut scratch);
    let mut fifth = Tensor::filled(0);
    MAXIMUM.run(fourth.view(), fifth.view_mut());
    let mut sixth = Tensor::filled(0);
    AVERAGE.run(fifth.view(), sixth.view_mut());
    sixth
}

#[test]
fn a_chain_of_streams_gives_what_its_layers_give_picture_after_picture() {
    let mut memory = (
        [0x7f80_80ff; FIRST.stream_words::<R>()],
        [0x7f80_80ff; SECOND.stream_words::<R>()],
        [0x7f80_80ff; THIRD.stream_words::<R>()],
        [0x7f80_80ff; FOURTH.stream_words::<R>()],
        [0x7f80_80ff; FIFTH.stream_words::<i8>()],
        [0x7f80_80ff; SIXTH.stream_words::<i8>()],
    );
    let mut first = CONV.stream(&mut memory.0);
    let mut second = DEPTHWISE.stream(&mut memory.1);
    let mut third = POINTWISE.stream(&mut memory.2);
    let mut fourth = SMALLER.stream(&mut memory.3);
    let mut fifth = MAXIMUM.stream(&mut memory.4);
    let mut sixth = AVERAGE.stream(&mut memory.5);
    for seed in 0..3usize {
        let mut picture = Tensor::filled(0i8);
        for (at, value) in picture.as_mut_slice().iter_mut().enumerate() {
            *value = (((at + seed * 977) * 7919) >> 3) as i8;
        }
        let mut rows = Vec::new();
        for line in picture.view().rows() {
            first.push(line, |row| {
                second.push(row, |row| {
                    third.push(row, |row| {
                        fourth.push(row, |row| {
                            fifth.push(row, |row| sixth.push(row, |row| rows.extend_from_slice(row.as_slice())));
                        });
                    });
                });
            });
        }
        let expected = whole(&picture);
        assert_eq!(rows, expected.as_slice());
        assert!(rows.iter().any(|value| *value != rows[0]), "values that tell something");
    }
}

#[test]
fn output_rows_come_with_the_last_input_row_that_they_see() {
    const SHAPE: Conv2dShape = Conv2dShape { padding: [1, 0, 1, 0], ..Conv2dShape::new([5, 1, 1], 1, [3, 1]) };
    static LAYER: Conv2d<Tensor<f32, 5, 1, 1>, Tensor<f32, 5, 1, 1>, { SHAPE.packed_words::<Clamp>() }, Clamp> =
        Conv2d::float(SHAPE, F32Filters::new(&[[[[1.0]], [[1.0]], [[1.0]]]], &[0.0], Activation::Identity));
    let mut memory = [0; SHAPE.stream_words::<Clamp>()];
    let mut stream = LAYER.stream(&mut memory);
    for _ in 0..2 {
        let rows = [1.0, 2.0, 4.0, 8.0, 16.0].map(|value| {
            let mut rows = Vec::new();
            stream.push(Tensor([[[value]]]).view(), |row| rows.push(row.as_slice()[0]));
            rows
        });
        assert_eq!(rows.map(|rows| rows.to_vec()), [vec![], vec![3.0], vec![7.0], vec![14.0], vec![28.0, 24.0]]);
    }
}

#[test]
fn a_stream_needs_a_few_rows_only() {
    // The ring, the sums of a strip, and an output row.
    assert_eq!(FIRST.stream_words::<R>(), FIRST.scratch_words::<R>() + 12 * 8 / 4);
    assert_eq!(CONV.stream_words(), FIRST.stream_words::<R>());
    assert_eq!(DEPTHWISE.stream_words(), SECOND.stream_words::<R>());
    // Three rows of 6 x 16 values and one.
    assert_eq!(MAXIMUM.stream_words(), 4 * 6 * 16 / 4);
    assert_eq!(FIFTH.stream_words::<f32>(), 4 * 6 * 16);
    // Whatever the picture's height.
    let tall =
        |height| depthwise::scratch_words_by_rows::<Portable, R>(&DepthwiseConv2dShape::new([height, 9, 4], 1, [3, 3]));
    assert_eq!(tall(5), tall(5000));
}

#[test]
#[should_panic(expected = "the memory of a stream must have at least the layer's stream_words()")]
fn memory_that_is_too_short_is_refused() {
    CONV.stream(&mut [0; FIRST.stream_words::<R>() - 1]);
}

#[test]
#[should_panic(expected = "one group, and its input type the shape's dimensions")]
fn a_dense_layer_of_several_rows_is_refused() {
    const SHAPE: Conv2dShape = Conv2dShape::dense(4, 1);
    static LAYER: Conv2d<Tensor<i8, 2, 2, 1>, Tensor<i8, 1, 1, 1>, { SHAPE.packed_words::<R>() }> =
        Conv2d::int8(SHAPE, int8(&[1; 4], &[0], &[0.01]));
    LAYER.stream(&mut [0; SHAPE.stream_words::<R>()]);
}

#[test]
fn lengths_and_groups_are_looked_at() {
    let shape = Conv2dShape::new([2, 2, 2], 2, [2, 1]);
    let mut packed = vec![0; dynamic::conv2d::packed_words::<Portable, Clamp>(&shape)];
    let mut scratch = vec![0; dynamic::conv2d::scratch_words_by_rows::<Portable, Clamp>(&shape)];
    let run = |shape: &Conv2dShape, packed: &[u32], [input, output]: [usize; 2], scratch: &mut [u32]| {
        let bounds = [f32::NEG_INFINITY, f32::INFINITY];
        let (input, mut output) = (vec![0.0; input], vec![0.0; output]);
        dynamic::conv2d::run_by_rows::<Portable, Clamp>(shape, packed, 0.0, &bounds, &input, &mut output, scratch)
    };
    assert_eq!(run(&shape, &packed, [8, 4], &mut scratch), Ok(()));
    assert_eq!(run(&shape.groups(2), &packed, [8, 4], &mut scratch), Err(ShapeError::Streamed));
    assert_eq!(run(&shape, &packed, [7, 4], &mut scratch), Err(ShapeError::Input));
    assert_eq!(run(&shape, &packed, [8, 5], &mut scratch), Err(ShapeError::Output));
    let short = scratch.len() - 1;
    assert_eq!(run(&shape, &packed, [8, 4], &mut scratch[..short]), Err(ShapeError::Scratch));
    packed.pop();
    assert_eq!(run(&shape, &packed, [8, 4], &mut scratch), Err(ShapeError::Packed));

    let shape = Pool2dShape::new([4, 2, 1], [2, 2]);
    let run = |[input, output, band]: [usize; 3]| {
        elementwise::max_pool2d_by_rows::<Portable, i8>(
            &shape,
            &vec![0; input],
            &mut vec![0; output],
            &mut vec![0; band],
        )
    };
    assert_eq!(run([8, 2, 4]), Ok(()));
    assert_eq!(run([7, 2, 4]), Err(ShapeError::Input));
    assert_eq!(run([8, 3, 4]), Err(ShapeError::Output));
    assert_eq!(run([8, 2, 3]), Err(ShapeError::Scratch));
}
