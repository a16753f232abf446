//! Convolution against cross-correlation: with turned filters the layers compute the convolution of mathematics, with all
//! it is known for.

use bareconv::arch::Portable;
use bareconv::{Activation, Conv2dShape, Int8Filters, Quantization, SingleRounding, dynamic::conv2d, flipped};
use proptest::prelude::*;

const N: usize = 5;
type Plane<const H: usize, const W: usize> = [[i64; W]; H];

/// The convolution of two planes, of every place where they overlap: `sum of a[y - i][x - j] * b[i][j]`.
fn convolve<const H: usize, const W: usize>(a: &[Vec<i64>], b: &Plane<H, W>) -> Vec<Vec<i64>> {
    let mut out = vec![vec![0; a[0].len() + W - 1]; a.len() + H - 1];
    for (y, row) in a.iter().enumerate() {
        for (x, value) in row.iter().enumerate() {
            for i in 0..H {
                for j in 0..W {
                    out[y + i][x + j] += value * b[i][j];
                }
            }
        }
    }
    out
}

/// What the library computes for a filter and a picture, padded so that every place of overlap is an output.
fn layer<const H: usize, const W: usize>(picture: &[Vec<i64>], filter: &[[[[i8; 1]; W]; H]; 1]) -> Vec<Vec<i64>> {
    let shape = Conv2dShape {
        padding: [H - 1, W - 1, H - 1, W - 1],
        ..Conv2dShape::new([picture.len(), picture[0].len(), 1], 1, [H, W])
    };
    let q = Quantization::new(1.0, 0);
    let numbers = Int8Filters::new(filter, &[0], &[1.0], q, q, Activation::Identity);
    let mut packed = vec![0; conv2d::packed_words::<Portable, SingleRounding>(&shape)];
    let common = conv2d::pack_int8::<Portable, SingleRounding>(&shape, &numbers, &mut packed).unwrap();
    let input: Vec<i8> = picture.concat().iter().map(|&x| x as i8).collect();
    let mut output = vec![0; shape.output().iter().product()];
    let mut scratch = vec![0; conv2d::scratch_words::<Portable, SingleRounding>(&shape)];
    conv2d::run::<Portable, SingleRounding>(&shape, &packed, 0, &common, &input, &mut output, &mut scratch).unwrap();
    output.chunks(shape.output()[1]).map(|row| row.iter().map(|&x| i64::from(x)).collect()).collect()
}

fn plane<const H: usize, const W: usize>() -> impl Strategy<Value = [[i8; W]; H]> {
    prop::array::uniform(prop::array::uniform(-2..=2i8))
}

/// As a filter of one channel.
fn filter<const H: usize, const W: usize>(plane: [[i8; W]; H]) -> [[[[i8; 1]; W]; H]; 1] {
    [plane.map(|row| row.map(|value| [value]))]
}

fn wide<const H: usize, const W: usize>(plane: [[i8; W]; H]) -> Plane<H, W> {
    plane.map(|row| row.map(i64::from))
}

fn rows<const H: usize, const W: usize>(plane: Plane<H, W>) -> Vec<Vec<i64>> {
    plane.iter().map(|row| row.to_vec()).collect()
}

proptest! {
    #[test]
    fn turned_filters_convolve(picture in plane::<N, 4>(), weights in plane::<3, 2>()) {
        let picture = rows(wide(picture));
        let convolved = convolve(&picture, &wide(weights));
        prop_assert_eq!(layer(&picture, &flipped(&filter(weights))), convolved);
        // Without turning it is the convolution with the turned filter.
        let [turned] = flipped(&filter(weights));
        prop_assert_eq!(layer(&picture, &filter(weights)), convolve(&picture, &wide(turned.map(|row| row.map(|[w]| w)))));
    }

    #[test]
    fn convolution_commutes_and_associates(picture in plane::<3, 3>(), a in plane::<2, 3>(), b in plane::<3, 2>()) {
        let x = rows(wide(picture));
        let convolution = |x: &[Vec<i64>], w| layer(x, &flipped(&filter::<2, 3>(w)));
        // Filter and picture change places.
        prop_assert_eq!(convolution(&x, a), layer(&rows(wide(a)), &flipped(&filter(picture))));
        // One filter after the other is their convolution; small values, so that nothing saturates in between.
        let halved = a.map(|row| row.map(|w| w / 2));
        let sum: Vec<Vec<i64>> = convolve(&convolve(&x, &wide(halved)), &wide(b));
        let one = convolve(&rows(wide(halved)), &wide(b));
        let mut filter = [[[[0i8; 1]; 4]; 4]; 1];
        for (to, from) in filter[0].iter_mut().flatten().flatten().zip(one.concat()) {
            *to = from as i8;
        }
        prop_assert_eq!(layer(&x, &flipped(&filter)), sum);
    }

    #[test]
    fn turning_twice_is_nothing(weights in prop::array::uniform3(prop::array::uniform4(prop::array::uniform2(prop::array::uniform3(any::<i8>()))))) {
        prop_assert_eq!(flipped(&flipped(&weights)), weights);
    }
}

/// Cross-correlation does neither, and saying so needs one example.
#[test]
fn cross_correlation_does_not_commute() {
    let (a, b) = ([[1i8, 2]], [[0i8, 1]]);
    assert_ne!(layer(&rows(wide(a)), &filter(b)), layer(&rows(wide(b)), &filter(a)));
}
