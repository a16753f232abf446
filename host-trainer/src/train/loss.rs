//! Softmax cross-entropy.

use super::Totals;

/// The cross-entropy of the softmax of the logits of one image and its target, the probability of each class: with `p`
/// the softmax and `t` the target it is `-sum(t * ln p)`. `put` gets, for each class, the derivative with respect to
/// its logit, `p - t`, times `scale`; the loss is without it.
///
/// With label smoothing `s` the target is `1 - s` of itself plus `s / classes` for every class (C. Szegedy et al.,
/// *Rethinking the Inception Architecture*, 2016).
///
/// # Panics
/// When there is no class.
pub fn softmax_cross_entropy(
    logit: impl Fn(usize) -> f64,
    target: &[f32],
    smoothing: f32,
    scale: f64,
    mut put: impl FnMut(usize, f64),
) -> Totals {
    let classes = target.len();
    let (smoothing, spread) = (f64::from(smoothing), f64::from(smoothing) / classes as f64);
    let (mut best, mut likeliest) = (0, 0);
    for class in 1..classes {
        if logit(class) > logit(best) {
            best = class;
        }
        if target[class] > target[likeliest] {
            likeliest = class;
        }
    }
    // libm's, not the system's: the same bits everywhere.
    let sum: f64 = (0..classes).map(|class| libm::exp(logit(class) - logit(best))).sum();
    let log_sum = logit(best) + libm::log(sum);
    let mut loss = 0.0;
    for (class, &target) in target.iter().enumerate() {
        let target = spread + (1.0 - smoothing) * f64::from(target);
        let log_probability = logit(class) - log_sum;
        loss -= target * log_probability;
        put(class, scale * (libm::exp(log_probability) - target));
    }
    Totals { loss, correct: usize::from(best == likeliest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn derivative_is_the_finite_difference() {
        let mut random = Random::new(1, 0);
        let targets = [vec![0.0, 1.0, 0.0, 0.0, 0.0], vec![0.1, 0.0, 0.3, 0.6, 0.0]];
        for (target, smoothing) in targets.iter().zip([0.0, 0.1]) {
            let logits: Vec<f64> = (0..5).map(|_| f64::from(random.between(-20.0, 20.0))).collect();
            let loss = |logits: &[f64]| softmax_cross_entropy(|c| logits[c], target, smoothing, 1.0, |_, _| {}).loss;
            softmax_cross_entropy(
                |class| logits[class],
                target,
                smoothing,
                0.25,
                |class, got| {
                    let moved = |step: f64| {
                        let mut moved = logits.clone();
                        moved[class] += step;
                        loss(&moved)
                    };
                    let expected = 0.25 * (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    assert!((got - expected).abs() < 1e-8, "{got} {expected}");
                },
            );
        }
    }

    /// Hard and mixed targets, with and without smoothing.
    #[test]
    fn values_and_gradients_are_pytorchs() {
        const GOLDEN: &str = include_str!("../../tests/golden/loss.json");
        #[derive(serde::Deserialize)]
        struct Case {
            targets: Vec<Vec<f32>>,
            smoothing: f32,
            losses: Vec<f64>,
            gradient: Vec<Vec<f64>>,
        }
        #[derive(serde::Deserialize)]
        struct Golden {
            logits: Vec<Vec<f64>>,
            cases: Vec<Case>,
        }
        let Golden { logits, cases } = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(cases.len(), 4);
        for Case { targets, smoothing, losses, gradient } in cases {
            let images = logits.iter().zip(&targets).zip(losses.iter().zip(&gradient));
            for ((logits, target), (loss, gradient)) in images {
                let scale = 1.0 / losses.len() as f64;
                let mut got = vec![0.0; target.len()];
                let totals = softmax_cross_entropy(|c| logits[c], target, smoothing, scale, |c, value| got[c] = value);
                assert!((totals.loss - loss).abs() < 1e-12 * loss.max(1.0), "{} {loss}", totals.loss);
                for (got, expected) in got.iter().zip(gradient) {
                    assert!((got - expected).abs() < 1e-14, "{got} {expected}");
                }
            }
        }
    }

    #[test]
    fn known_values() {
        // Two classes, logits (0, ln 3): probabilities 1/4 and 3/4.
        let logits = [0.0, 3.0_f64.ln()];
        let run = |target: [f32; 2], smoothing| {
            let mut gradient = [0.0; 2];
            let totals =
                softmax_cross_entropy(|c| logits[c], &target, smoothing, 2.0, |class, value| gradient[class] = value);
            (totals, gradient)
        };
        let (totals, gradient) = run([1.0, 0.0], 0.0);
        assert!((totals.loss - 4.0_f64.ln()).abs() < 1e-12);
        assert_eq!(totals.correct, 0);
        assert!((gradient[0] + 1.5).abs() < 1e-12 && (gradient[1] - 1.5).abs() < 1e-12, "{gradient:?}");
        let (totals, _) = run([0.25, 0.75], 0.0);
        assert_eq!(totals.correct, 1);
        // The target is the softmax: the loss is its entropy, 2 ln 2 - 3/4 ln 3.
        assert!((totals.loss - (2.0 * 2.0_f64.ln() - 0.75 * 3.0_f64.ln())).abs() < 1e-12);
        // Smoothing of 1/2 over two classes makes (0, 1) the same target.
        assert_eq!(run([0.0, 1.0], 0.5), run([0.25, 0.75], 0.0));
    }

    #[test]
    fn great_logits_do_not_overflow() {
        let logits = [1e6, -1e6, 0.0];
        let totals = softmax_cross_entropy(|c| logits[c], &[0.0, 1.0, 0.0], 0.0, 1.0, |_, g| assert!(g.is_finite()));
        assert_eq!(totals, Totals { loss: 2e6, correct: 0 });
    }
}
