//! From images to batches, on all threads.

use super::Batch;
use crate::data::{Augmentation, Augmenter, Images, Normalization};
use crate::random::Random;
use rayon::prelude::*;
use std::sync::Mutex;

/// Grey levels to what the network sees: `(level - offset) * factor`, each with a value for every channel.
#[derive(Clone, Debug, PartialEq)]
pub struct InputScaling {
    /// What is subtracted.
    pub offset: Vec<f32>,
    /// What the rest is multiplied by.
    pub factor: Vec<f32>,
}

impl InputScaling {
    /// Levels from 0 to 255 become values from 0 to 1.
    #[must_use]
    pub fn unit(channels: usize) -> Self {
        Self { offset: vec![0.0; channels], factor: vec![crate::quantize::PIXEL.scale; channels] }
    }

    /// Writes the inputs for the levels of an image.
    ///
    /// # Panics
    /// When the slices are not of one length.
    pub fn apply(&self, levels: impl ExactSizeIterator<Item = f32>, inputs: &mut [f32]) {
        assert_eq!(levels.len(), inputs.len());
        if let ([offset], [factor]) = (&self.offset[..], &self.factor[..]) {
            for (input, level) in inputs.iter_mut().zip(levels) {
                *input = (level - offset) * factor;
            }
            return;
        }
        let channels = self.offset.iter().zip(&self.factor).cycle();
        for ((input, level), (offset, factor)) in inputs.iter_mut().zip(levels).zip(channels) {
            *input = (level - offset) * factor;
        }
    }

    /// The inputs of the images with these numbers, one after another.
    pub fn load(&self, images: &Images, members: &[usize], inputs: &mut Vec<f32>) {
        let size: usize = images.shape().iter().product();
        inputs.resize(members.len() * size, 0.0);
        inputs.par_chunks_mut(size).zip(members).for_each(|(inputs, &member)| {
            self.apply(images.image(member).iter().map(|&level| f32::from(level)), inputs);
        });
    }
}

impl From<&Normalization> for InputScaling {
    /// Mean 0 and deviation 1 in each channel.
    fn from(normalization: &Normalization) -> Self {
        Self {
            offset: normalization.mean.clone(),
            factor: normalization.deviation.iter().map(|deviation| 1.0 / deviation).collect(),
        }
    }
}

/// Makes the batches of a training. What an image becomes depends on the seed, the epoch and the number of the image
/// alone: neither on the batch that it is in nor on threads.
#[derive(Debug)]
pub struct Pipeline<'a> {
    images: &'a Images,
    classes: usize,
    scaling: &'a InputScaling,
    augmentation: &'a Augmentation,
    seed: u64,
    /// Those that no thread uses at the moment: their memory is worth keeping.
    idle: Mutex<Vec<Augmenter<'a>>>,
}

/// An augmenter that goes back to the others when it is no longer used.
struct Borrowed<'p, 'a> {
    augmenter: Option<Augmenter<'a>>,
    idle: &'p Mutex<Vec<Augmenter<'a>>>,
}

impl Drop for Borrowed<'_, '_> {
    fn drop(&mut self) {
        if let (Some(augmenter), Ok(mut idle)) = (self.augmenter.take(), self.idle.lock()) {
            idle.push(augmenter);
        }
    }
}

impl<'a> Pipeline<'a> {
    /// Batches of `images`, labelled with one of `classes` classes, by the shuffles and changes of `seed`.
    #[must_use]
    pub fn new(
        images: &'a Images,
        classes: usize,
        scaling: &'a InputScaling,
        augmentation: &'a Augmentation,
        seed: u64,
    ) -> Self {
        Self { images, classes, scaling, augmentation, seed, idle: Mutex::new(Vec::new()) }
    }

    fn borrow(&self) -> Borrowed<'_, 'a> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let augmenter = idle.unwrap_or_else(|| Augmenter::new(self.images, self.augmentation));
        Borrowed { augmenter: Some(augmenter), idle: &self.idle }
    }

    /// The order of the images in an epoch.
    #[must_use]
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.images.len()).collect();
        Random::new(self.seed, epoch as u64).shuffle(&mut order);
        order
    }

    /// Fills `batch` with the images `members`, the first of which is at place `first` in the epoch.
    pub fn fill(&self, epoch: usize, first: usize, members: &[usize], batch: &mut Batch) {
        let size: usize = self.images.shape().iter().product();
        // Streams below 2^32 shuffle; the others belong to an image or to a step in one epoch.
        let streams = (epoch as u64 + 1) << 32;
        batch.count = members.len();
        // Apart from the streams of images, and none of theirs.
        batch.stream = (1 << 63) + streams + first as u64;
        batch.inputs.resize(members.len() * size, 0.0);
        batch.targets.clear();
        batch.targets.resize(members.len() * self.classes, 0.0);
        batch.inputs.par_chunks_mut(size).zip(batch.targets.par_chunks_mut(self.classes)).zip(members).for_each_init(
            || self.borrow(),
            |borrowed, ((inputs, target), &member)| {
                let augmenter = borrowed.augmenter.as_mut().expect("it is there until it goes back");
                let mut random = Random::new(self.seed, streams + member as u64);
                let mixed = augmenter.run(member, &mut random);
                self.scaling.apply(augmenter.levels().iter().copied(), inputs);
                let class = |member: usize| usize::from(self.images.labels[member]);
                match mixed {
                    None => target[class(member)] = 1.0,
                    Some(mixed) => {
                        target[class(member)] += mixed.share;
                        target[class(mixed.other)] += 1.0 - mixed.share;
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Images {
        let pixels = (0..12 * 3 * 4 * 2).map(|i| (i * 37 % 256) as u8).collect();
        Images { size: [3, 4], channels: 2, pixels, labels: (0..12).map(|i| i % 3).collect() }
    }

    #[test]
    fn inputs_are_scaled_levels() {
        let images = images();
        let scaling = InputScaling::from(&Normalization { mean: vec![10.0, 20.0], deviation: vec![2.0, 4.0] });
        let augmentation = Augmentation::default();
        let pipeline = Pipeline::new(&images, 3, &scaling, &augmentation, 1);
        let mut batch = Batch::default();
        pipeline.fill(0, 0, &[5, 2], &mut batch);
        assert_eq!((batch.count, batch.inputs.len()), (2, 2 * 24));
        for (index, input) in batch.inputs.iter().enumerate() {
            let level = f32::from(images.image([5, 2][index / 24])[index % 24]);
            let expected = if index % 2 == 0 { (level - 10.0) / 2.0 } else { (level - 20.0) / 4.0 };
            assert!((input - expected).abs() < 1e-5);
        }
        assert_eq!(batch.targets, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        let mut loaded = Vec::new();
        scaling.load(&images, &[5, 2], &mut loaded);
        assert_eq!(loaded, batch.inputs);
    }

    #[test]
    fn an_image_changes_the_same_way_in_every_batch() {
        let images = images();
        let scaling = InputScaling::unit(2);
        let augmentation = Augmentation { shift: 1.0, noise: 0.1, mixup: 0.5, ..Augmentation::default() };
        let pipeline = Pipeline::new(&images, 3, &scaling, &augmentation, 1);
        let fill = |epoch, members: &[usize], threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut batch = Batch::default();
            pool.install(|| pipeline.fill(epoch, 0, members, &mut batch));
            batch
        };
        let all = fill(3, &[0, 1, 2, 3, 4, 5, 6], 1);
        assert_eq!(all, fill(3, &[0, 1, 2, 3, 4, 5, 6], 3));
        let other = fill(3, &[6, 4], 2);
        assert_eq!(other.inputs[..24], all.inputs[6 * 24..]);
        assert_eq!(other.inputs[24..], all.inputs[4 * 24..5 * 24]);
        assert_eq!(other.targets[..3], all.targets[18..]);
        assert_ne!(fill(4, &[6, 4], 2).inputs, other.inputs, "another epoch, another change");
        for target in all.targets.chunks(3) {
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert!(all.targets.iter().any(|&share| share > 0.01 && share < 0.99), "some are mixed");
    }

    /// Images of one level each, a level for each class: the mean of the levels by the targets is that of the pixels.
    #[test]
    fn targets_have_the_shares_of_the_images() {
        let levels = [10, 90, 250];
        let pixels = (0..9).flat_map(|image| [levels[image % 3]; 4]).collect();
        let images = Images { size: [2, 2], channels: 1, pixels, labels: (0..9).map(|image| image % 3).collect() };
        let scaling = InputScaling { offset: vec![0.0], factor: vec![1.0] };
        let augmentation = Augmentation { mixup: 0.8, ..Augmentation::NONE };
        let pipeline = Pipeline::new(&images, 3, &scaling, &augmentation, 1);
        let mut batch = Batch::default();
        let mut uneven = 0;
        for epoch in 0..5 {
            pipeline.fill(epoch, 0, &(0..9).collect::<Vec<_>>(), &mut batch);
            for (input, target) in batch.inputs.chunks(4).zip(batch.targets.chunks(3)) {
                let mean: f32 = target.iter().zip(levels).map(|(share, level)| share * f32::from(level)).sum();
                // Levels are whole.
                assert!((mean - input[0]).abs() < 0.51, "{target:?} {input:?}");
                uneven += usize::from(target.iter().any(|&share| share > 0.02 && share < 0.45));
            }
        }
        assert!(uneven > 10, "{uneven} are mixed, not half and half");
    }

    #[test]
    fn orders_are_permutations_of_their_epoch() {
        let images = images();
        let (scaling, augmentation) = (InputScaling::unit(2), Augmentation::default());
        let pipeline = Pipeline::new(&images, 3, &scaling, &augmentation, 1);
        let mut order = pipeline.order(1);
        assert_ne!(order, pipeline.order(2));
        assert_eq!(order, pipeline.order(1));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..12));
    }
}
