//! Several trainings from different seeds, of which the best is kept.

use super::{Evaluation, TrainError, Trained};

/// Trains once from each of `seeds` by `train` and keeps the result that is best on the validation images: never by
/// test images, which would then be no test any more. A training that diverges counts as the worst. `train` returns
/// `None` if it was stopped, and so does this.
///
/// # Errors
/// When a training fails for another reason than divergence, all diverge, there are no seeds, or `train` has no
/// validation images to choose by.
pub fn best_of<M>(
    seeds: &[u64],
    mut train: impl FnMut(u64) -> Result<Option<Trained<M>>, TrainError>,
) -> Result<Option<(u64, Trained<M>)>, TrainError> {
    let mut best: Option<(u64, Evaluation, Trained<M>)> = None;
    let mut diverged = None;
    for &seed in seeds {
        let trained = match train(seed) {
            Ok(Some(trained)) => trained,
            Ok(None) => return Ok(None),
            Err(error @ TrainError::Diverged { .. }) => {
                diverged = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some((_, evaluation)) = trained.best else {
            return Err(TrainError::Data(
                "several seeds are compared by validation images, and there are none; split off a share of the training \
                 images"
                    .to_owned(),
            ));
        };
        if best.as_ref().is_none_or(|(_, other, _)| evaluation.better_than(other)) {
            best = Some((seed, evaluation, trained));
        }
    }
    match (best, diverged) {
        (Some((seed, _, trained)), _) => Ok(Some((seed, trained))),
        (None, Some(error)) => Err(error),
        (None, None) => Err(TrainError::Data("there are no seeds to train from; name at least one".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained(accuracy: f64, loss: f64) -> Trained<()> {
        Trained {
            parameters: vec![accuracy as f32],
            model: (),
            history: Vec::new(),
            best: Some((0, Evaluation { loss, accuracy })),
            seconds: 0.0,
        }
    }

    fn diverged() -> TrainError {
        TrainError::Diverged { epoch: 1, images: 2, loss: f64::NAN }
    }

    #[test]
    fn the_best_by_validation_is_kept() {
        let run = |seed| {
            Ok(Some(match seed {
                1 => trained(0.8, 0.1),
                2 => return Err(diverged()),
                3 => trained(0.9, 0.5),
                _ => trained(0.9, 0.4),
            }))
        };
        assert_eq!(
            best_of(&[1, 2, 3, 4, 5], run).unwrap().unwrap().0,
            4,
            "the first of the best, by accuracy, then loss"
        );
        assert_eq!(best_of(&[1, 2], run).unwrap().unwrap().0, 1);
        assert!(matches!(best_of(&[2], run), Err(TrainError::Diverged { .. })));
        assert!(matches!(best_of(&[], run), Err(TrainError::Data(_))));
        assert!(best_of(&[1, 2], |seed| if seed == 1 { run(1) } else { Ok(None) }).unwrap().is_none());
        let without = best_of(&[1], |_| Ok(Some(Trained { best: None, ..trained(0.5, 0.5) })));
        assert!(without.unwrap_err().to_string().contains("validation"));
    }
}
