//! Rounding of weights that makes up for its own errors.

use super::linear::Taps;
use rayon::prelude::*;

/// Output pixels, over all samples, whose inputs are looked at, about.
const PIXELS: usize = 8192;
/// Layers with longer filters are left as they are: the work grows with the third power. Where each output pixel has filters of
/// its own, the work of all of them is at most as much.
const LONGEST: usize = 2048;
/// The share of the mean square that is added to each input's, so that inputs that are always 0 or depend on each other do no
/// harm.
const DAMPING: f64 = 0.01;

/// Rounds the weights of a convolution, dense or locally connected layer so that the error of its outputs over `inputs` is
/// small: weight by weight, the error of each is passed on to the weights of the channel that are not yet rounded, as far as
/// their inputs go with its input (E. Frantar et al., *GPTQ*, 2022, <https://arxiv.org/abs/2210.17323>, after *Optimal Brain
/// Surgeon*). With inputs that have nothing in common each weight becomes its nearest integer, as otherwise. Weights that are 0
/// stay 0.
///
/// `weights` are in canonical order, `scales` those of the outputs, `most` the greatest integer. `None` where the layer is of
/// another kind, or too large.
pub(super) fn compensate(
    taps: &Taps,
    weights: &[f32],
    scales: &[f32],
    most: i8,
    inputs: &[Vec<f32>],
) -> Option<Vec<i8>> {
    let (len, sets) = (taps.len(), taps.sets());
    let work = len.saturating_pow(3).saturating_mul(sets);
    if !taps.is_plain() || work > LONGEST.pow(3) || inputs.is_empty() {
        return None;
    }
    let of_set = weights.par_chunks(weights.len() / sets).zip(scales.par_chunks(scales.len() / sets)).enumerate();
    let rounded = of_set.map(|(set, (weights, scales))| {
        let patches = taps.patches(set, inputs, PIXELS.div_ceil(inputs.len()));
        compensate_set(len, weights, scales, most, &patches)
    });
    Some(rounded.collect::<Option<Vec<_>>>()?.concat())
}

/// Rounds filters of `len` weights that all see the same: `patches`.
fn compensate_set(len: usize, weights: &[f32], scales: &[f32], most: i8, patches: &[f32]) -> Option<Vec<i8>> {
    let squares: Vec<f64> =
        (0..len).map(|tap| patches.chunks(len).map(|patch| f64::from(patch[tap]).powi(2)).sum()).collect();
    // Those that matter most are rounded first, when there is most to make up for it.
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]).then(a.cmp(&b)));
    let damping = DAMPING * squares.iter().sum::<f64>() / len as f64 + f64::MIN_POSITIVE.sqrt();
    let mut products = vec![0.0; len * len];
    products.par_chunks_mut(len).enumerate().for_each(|(i, row)| {
        for patch in patches.chunks(len) {
            let x = f64::from(patch[order[i]]);
            if x != 0.0 {
                row[..=i].iter_mut().zip(&order).for_each(|(sum, &tap)| *sum += x * f64::from(patch[tap]));
            }
        }
        row[i] += damping;
    });
    let passed_on = upper_factor_of_inverse(products, len)?;
    let mut rounded = vec![0; weights.len()];
    rounded.par_chunks_mut(len).zip(weights.par_chunks(len)).zip(scales).for_each(|((rounded, weights), &scale)| {
        let (scale, most) = (f64::from(scale), f64::from(most));
        let mut rest: Vec<f64> = order.iter().map(|&tap| f64::from(weights[tap])).collect();
        for i in 0..len {
            let pruned = weights[order[i]] == 0.0;
            let q = if pruned { 0.0 } else { (rest[i] / scale).round().clamp(-most, most) };
            rounded[order[i]] = q as i8;
            let row = &passed_on[i * len..][..len];
            let error = (rest[i] - q * scale) / row[i];
            rest[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(rest, factor)| *rest -= error * factor);
        }
    });
    Some(rounded)
}

/// The upper triangular `U` with `U^T U` the inverse of a symmetric, positive definite matrix, of which the lower triangle is
/// given. `None` where it is none.
fn upper_factor_of_inverse(matrix: Vec<f64>, len: usize) -> Option<Vec<f64>> {
    let lower = cholesky(matrix, len)?;
    // The inverse of the factor, column by column, as rows of its transpose.
    let mut inverse = vec![0.0; len * len];
    inverse.par_chunks_mut(len).enumerate().for_each(|(column, of_column)| {
        for i in column..len {
            let sum: f64 = (column..i).map(|k| lower[i * len + k] * of_column[k]).sum();
            of_column[i] = (f64::from(u8::from(i == column)) - sum) / lower[i * len + i];
        }
    });
    // The inverse of the matrix: its rows are products of those.
    let mut product = vec![0.0; len * len];
    product.par_chunks_mut(len).enumerate().for_each(|(i, row)| {
        for (j, value) in row.iter_mut().enumerate().take(i + 1) {
            let (a, b) = (&inverse[i * len..][i..len], &inverse[j * len..][i..len]);
            *value = a.iter().zip(b).map(|(a, b)| a * b).sum();
        }
    });
    let lower = cholesky(product, len)?;
    let mut upper = vec![0.0; len * len];
    for i in 0..len {
        for j in 0..=i {
            upper[j * len + i] = lower[i * len + j];
        }
    }
    Some(upper)
}

/// The lower triangular `L` with `L L^T` the matrix whose lower triangle is given.
fn cholesky(mut matrix: Vec<f64>, len: usize) -> Option<Vec<f64>> {
    for i in 0..len {
        let (before, row) = matrix.split_at_mut(i * len);
        for j in 0..=i {
            let other = if j < i { &before[j * len..][..=j] } else { &row[..=j] };
            let sum: f64 = row[..j].iter().zip(other).map(|(a, b)| a * b).sum();
            let rest = row[j] - sum;
            row[j] = if j < i {
                rest / before[j * len + j]
            } else if rest > 0.0 {
                rest.sqrt()
            } else {
                return None;
            };
        }
        row[i + 1..len].fill(0.0);
    }
    Some(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Node, Operator, ValueId, Weights};
    use crate::random::Random;
    use bareconv::{Activation, Conv2dShape};

    fn dense(inputs: usize, outputs: usize) -> Taps {
        let weights = Weights::F32 { weights: Vec::new(), bias: Vec::new() };
        let shape = Conv2dShape::dense(inputs, outputs);
        let operator = Operator::Dense { shape, weights, activation: Activation::Identity };
        let (name, place) = (String::new(), String::new());
        Taps::of(&Node { name, place, operator, inputs: vec![ValueId(0)], output: ValueId(1) }).unwrap()
    }

    #[test]
    fn the_factor_is_that_of_the_inverse() {
        // [[4, 2], [2, 3]] has the inverse [[3, -2], [-2, 4]] / 8.
        let upper = upper_factor_of_inverse(vec![4.0, 0.0, 2.0, 3.0], 2).unwrap();
        let u = |i: usize, j: usize| upper[i * 2 + j];
        assert_eq!(u(1, 0), 0.0);
        for (have, want) in [
            (u(0, 0) * u(0, 0), 3.0 / 8.0),
            (u(0, 0) * u(0, 1), -2.0 / 8.0),
            (u(0, 1) * u(0, 1) + u(1, 1) * u(1, 1), 4.0 / 8.0),
        ] {
            assert!((have - want).abs() < 1e-12, "{have} and {want}");
        }
        assert!(upper_factor_of_inverse(vec![1.0, 0.0, 2.0, 1.0], 2).is_none(), "not positive definite");
    }

    #[test]
    fn inputs_without_correlation_round_to_the_nearest() {
        let inputs: Vec<Vec<f32>> =
            (0..4).map(|i| (0..4).map(|j| if i == j { i as f32 + 1.0 } else { 0.0 }).collect()).collect();
        let weights = [0.4, -0.6, 1.49, -0.51, 2.6, -9.0, 0.0, 3.3];
        let rounded = compensate(&dense(4, 2), &weights, &[1.0, 0.5], 7, &inputs).unwrap();
        assert_eq!(rounded, [0, -1, 1, -1, 5, -7, 0, 7]);
    }

    #[test]
    fn inputs_that_are_the_same_share_their_error() {
        // Five inputs of one value: only the sum of the weights, 2, counts. The nearest integers have the sum 0.
        let inputs: Vec<Vec<f32>> = (1..20).map(|i| vec![i as f32; 5]).collect();
        let rounded = compensate(&dense(5, 1), &[0.4; 5], &[1.0], 7, &inputs).unwrap();
        assert_eq!(rounded.iter().map(|&q| i32::from(q)).sum::<i32>(), 2, "{rounded:?}");
    }

    #[test]
    fn each_pixel_of_a_locally_connected_layer_is_a_dense_layer() {
        let shape = Conv2dShape { padding: [0, 1, 0, 0], ..Conv2dShape::new([2, 3, 2], 3, [2, 2]).stride(2) };
        let operator = Operator::LocallyConnected {
            shape,
            weights: Weights::F32 { weights: Vec::new(), bias: Vec::new() },
            activation: Activation::Identity,
        };
        let (name, place) = (String::new(), String::new());
        let node = Node { name, place, operator, inputs: vec![ValueId(0)], output: ValueId(1) };
        let mut random = Random::new(9, 0);
        let weights: Vec<f32> = (0..2 * 3 * 8).map(|_| random.between(-1.0, 1.0)).collect();
        let scales: Vec<f32> = (0..6).map(|_| random.between(0.1, 0.2)).collect();
        // Inputs of which each goes along with the one before it.
        let mut inputs: Vec<Vec<f32>> = (0..50).map(|_| (0..12).map(|_| random.between(0.0, 1.0)).collect()).collect();
        for input in &mut inputs {
            (1..12).for_each(|i| input[i] += 0.8 * input[i - 1]);
        }
        let rounded = compensate(&Taps::of(&node).unwrap(), &weights, &scales, 7, &inputs).unwrap();
        // The two output pixels see columns -1, 0 and columns 1, 2; column -1 is padding.
        let seen = |columns: [Option<usize>; 2]| -> Vec<Vec<f32>> {
            let value = |input: &[f32], row: usize, column: Option<usize>, channel: usize| {
                column.map_or(0.0, |column| input[(row * 3 + column) * 2 + channel])
            };
            let taps = (0..8).map(|tap| (tap / 4, columns[tap / 2 % 2], tap % 2)).collect::<Vec<_>>();
            inputs
                .iter()
                .map(|input| taps.iter().map(|&(row, column, c)| value(input, row, column, c)).collect())
                .collect()
        };
        let one = |pixel: usize, columns| {
            compensate(&dense(8, 3), &weights[24 * pixel..][..24], &scales[3 * pixel..][..3], 7, &seen(columns))
                .unwrap()
        };
        assert_eq!(rounded, [one(0, [None, Some(0)]), one(1, [Some(1), Some(2)])].concat());
        let nearest = weights.iter().enumerate().map(|(i, w)| (w / scales[i / 8]).round().clamp(-7.0, 7.0) as i8);
        assert_ne!(rounded, nearest.collect::<Vec<_>>());
    }

    #[test]
    fn pruned_weights_stay_zero() {
        let inputs: Vec<Vec<f32>> = (1..20).map(|i| vec![i as f32; 5]).collect();
        let rounded = compensate(&dense(5, 1), &[0.4, 0.0, 0.4, 0.0, 0.4], &[1.0], 7, &inputs).unwrap();
        assert_eq!((rounded[1], rounded[3]), (0, 0));
        assert_eq!(rounded.iter().map(|&q| i32::from(q)).sum::<i32>(), 1, "{rounded:?}");
    }

    #[test]
    fn the_error_of_the_outputs_becomes_smaller() {
        let mut random = Random::new(3, 0);
        // 24 inputs that are mixtures of 6.
        let mixture: Vec<f32> = (0..24 * 6).map(|_| random.between(-1.0, 1.0)).collect();
        let inputs: Vec<Vec<f32>> = (0..200)
            .map(|_| {
                let sources: Vec<f32> = (0..6).map(|_| random.between(0.0, 1.0)).collect();
                let of = |row: &[f32]| {
                    row.iter().zip(&sources).map(|(a, b)| a * b).sum::<f32>() + random.between(-0.05, 0.05)
                };
                mixture.chunks(6).map(of).collect()
            })
            .collect();
        let weights: Vec<f32> = (0..24 * 8).map(|_| random.between(-1.0, 1.0)).collect();
        let error = |rounded: &[i8]| {
            let difference = |o: usize, input: &[f32]| -> f64 {
                let taps = (0..24).map(|i| f64::from(weights[o * 24 + i]) - f64::from(rounded[o * 24 + i]) / 7.0);
                taps.zip(input).map(|(d, &x)| d * f64::from(x)).sum()
            };
            inputs.iter().flat_map(|input| (0..8).map(move |o| difference(o, input).powi(2))).sum::<f64>()
        };
        let nearest: Vec<i8> = weights.iter().map(|w| (w * 7.0).round() as i8).collect();
        let compensated = compensate(&dense(24, 8), &weights, &[1.0 / 7.0; 8], 7, &inputs).unwrap();
        let (before, after) = (error(&nearest), error(&compensated));
        assert!(after < 0.3 * before, "{before} became {after}");
    }
}
