//! Softmax cross-entropy.

use crate::nn::{LANES, Lanes, Real};

/// Writes the derivative of the cross-entropy of the softmax of `logits`, times `scale`, into
/// `gradient`, and returns the sum of the losses (without `scale`) and the number of images whose
/// greatest logit (the first of equal ones) is their label's. An image without a label counts for
/// nothing.
///
/// With label smoothing `s` the target is `1 - s` for the label plus `s / classes` for every class
/// (C. Szegedy et al., *Rethinking the Inception Architecture*, 2016).
///
/// # Panics
/// When a label is not below the number of logits.
pub fn softmax_cross_entropy<T: Real>(
    logits: &[Lanes<T>],
    labels: &[Option<u8>; LANES],
    smoothing: f32,
    scale: f32,
    gradient: &mut [Lanes<T>],
) -> (f64, usize) {
    let (smoothing, scale) = (f64::from(smoothing), f64::from(scale));
    let spread = smoothing / logits.len() as f64;
    let (mut loss, mut correct) = (0.0, 0);
    gradient.fill(Lanes::ZERO);
    for (image, label) in labels.iter().enumerate() {
        let Some(label) = label.map(usize::from) else {
            continue;
        };
        let logit = |class: usize| logits[class].0[image].to_f64();
        let mut best = 0;
        for class in 1..logits.len() {
            if logit(class) > logit(best) {
                best = class;
            }
        }
        correct += usize::from(best == label);
        // libm's, not the system's: the same bits everywhere.
        let sum: f64 = (0..logits.len()).map(|class| libm::exp(logit(class) - logit(best))).sum();
        let log_sum = logit(best) + libm::log(sum);
        for (class, gradient) in gradient.iter_mut().enumerate() {
            let target = spread + if class == label { 1.0 - smoothing } else { 0.0 };
            let log_probability = logit(class) - log_sum;
            loss -= target * log_probability;
            gradient.0[image] = T::from_f64(scale * (libm::exp(log_probability) - target));
        }
    }
    (loss, correct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn derivative_is_the_finite_difference() {
        let mut random = Random::new(1, 0);
        let mut labels = [None; LANES];
        for (image, label) in labels.iter_mut().enumerate().skip(1) {
            *label = Some((image % 7) as u8);
        }
        let logits: Vec<Lanes<f64>> =
            (0..7).map(|_| Lanes([(); LANES].map(|()| f64::from(random.between(-30.0, 30.0))))).collect();
        for smoothing in [0.0, 0.1] {
            let mut gradient = logits.clone();
            softmax_cross_entropy(&logits, &labels, smoothing, 0.25, &mut gradient);
            let mut unused = logits.clone();
            for class in 0..7 {
                for image in 0..LANES {
                    let mut loss = |step: f64| {
                        let mut moved = logits.clone();
                        moved[class].0[image] += step;
                        softmax_cross_entropy(&moved, &labels, smoothing, 1.0, &mut unused).0
                    };
                    let expected = 0.25 * (loss(1e-5) - loss(-1e-5)) / 2e-5;
                    let got = gradient[class].0[image];
                    assert!((got - expected).abs() < 1e-8, "{got} {expected}");
                }
                assert_eq!(gradient[class].0[0], 0.0, "an image without a label");
            }
        }
    }

    #[test]
    fn known_values() {
        // Two classes, logits (0, ln 3): probabilities 1/4 and 3/4.
        let logits = [Lanes::splat(0.0), Lanes::splat(3.0_f64.ln())];
        let mut labels = [None; LANES];
        labels[..3].copy_from_slice(&[Some(0), Some(1), Some(1)]);
        let mut gradient = logits;
        let (loss, correct) = softmax_cross_entropy(&logits, &labels, 0.0, 1.0, &mut gradient);
        assert!((loss - (4.0_f64.ln() + 2.0 * (4.0_f64 / 3.0).ln())).abs() < 1e-12);
        assert_eq!(correct, 2);
        assert!((gradient[0].0[0] + 0.75).abs() < 1e-12);
        assert!((gradient[0].0[1] - 0.25).abs() < 1e-12);
    }
}
