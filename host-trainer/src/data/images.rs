//! Images in memory, with their classes.

use crate::random::Random;

/// Images of one size, with a class each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Values of a pixel: 1 for grey levels, 3 for red, green and blue.
    pub channels: usize,
    /// All images one after another, row by row, pixel by pixel, 0 to 255 (NHWC).
    pub pixels: Vec<u8>,
    /// The class of each image.
    pub labels: Vec<u8>,
}

/// Mean and standard deviation of each channel over all pixels of all images, in grey levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// The mean of each channel.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel (that of the images, divided by their number), 1 for a channel that
    /// never changes, so that dividing by it is always possible.
    pub deviation: Vec<f32>,
}

impl Images {
    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Height, width and channels.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        [self.size[0], self.size[1], self.channels]
    }

    /// The pixels of one image.
    ///
    /// # Panics
    /// When there is no image `index`.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let size = self.size[0] * self.size[1] * self.channels;
        &self.pixels[index * size..][..size]
    }

    /// The images with these numbers, in this order.
    ///
    /// # Panics
    /// When one of them does not exist.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape().iter().product::<usize>());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        Self { pixels, labels: indices.iter().map(|&index| self.labels[index]).collect(), ..*self }
    }

    /// How many images each class has, up to the last class that has any.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for &label in &self.labels {
            let class = usize::from(label);
            if class >= counts.len() {
                counts.resize(class + 1, 0);
            }
            counts[class] += 1;
        }
        counts
    }

    /// Divides the images in two, stratified: `share` of each class (to the nearest whole image, but at least one of
    /// two) is drawn for the second part. Both keep the order of the images. The same `seed` gives the same parts, and
    /// the images of a class do not depend on those of another.
    ///
    /// # Panics
    /// When `share` is not between 0 and 1.
    #[must_use]
    pub fn split(&self, share: f64, seed: u64) -> (Self, Self) {
        assert!((0.0..=1.0).contains(&share), "a share is between 0 and 1");
        let mut classes = vec![Vec::new(); self.class_counts().len()];
        for (index, &label) in self.labels.iter().enumerate() {
            classes[usize::from(label)].push(index);
        }
        let [mut first, mut second] = [Vec::new(), Vec::new()];
        for (class, mut members) in classes.into_iter().enumerate() {
            Random::new(seed, class as u64).shuffle(&mut members);
            let count = members.len();
            let mut taken = libm::round(share * count as f64) as usize;
            if count >= 2 && share > 0.0 && share < 1.0 {
                taken = taken.clamp(1, count - 1);
            }
            second.extend_from_slice(&members[..taken]);
            first.extend_from_slice(&members[taken..]);
        }
        first.sort_unstable();
        second.sort_unstable();
        (self.select(&first), self.select(&second))
    }

    /// Mean and standard deviation of each channel; 0 and 1 if there are no images. The sums are of integers and exact.
    #[must_use]
    pub fn normalization(&self) -> Normalization {
        let mut histograms = vec![[0_u64; 256]; self.channels];
        for pixel in self.pixels.chunks_exact(self.channels.max(1)) {
            for (histogram, &value) in histograms.iter_mut().zip(pixel) {
                histogram[usize::from(value)] += 1;
            }
        }
        let (mean, deviation) = histograms
            .iter()
            .map(|histogram| {
                let count: u64 = histogram.iter().sum();
                if count == 0 {
                    return (0.0, 1.0);
                }
                let moment = |power: u32| -> u128 {
                    let levels = histogram.iter().zip(0_u128..);
                    levels.map(|(&count, level)| u128::from(count) * level.pow(power)).sum()
                };
                let count = u128::from(count);
                let (sum, squares) = (moment(1), moment(2));
                // count^2 times the variance, exactly.
                let scaled = count * squares - sum * sum;
                let deviation = if scaled == 0 { 1.0 } else { libm::sqrt(scaled as f64) / count as f64 };
                ((sum as f64 / count as f64) as f32, deviation as f32)
            })
            .unzip();
        Normalization { mean, deviation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` images of 1x2 pixels in three channels; the first value of an image is its number.
    fn images(labels: &[u8]) -> Images {
        let pixels = (0..labels.len()).flat_map(|i| [i as u8, 1, 2, 3, 4, 5]).collect();
        Images { size: [1, 2], channels: 3, pixels, labels: labels.to_vec() }
    }

    #[test]
    fn parts_are_stratified_and_complete() {
        // 60 of class 0, 30 of class 2, 2 of class 3, 1 of class 5.
        let mut labels = [vec![0; 60], vec![2; 30], vec![3; 2], vec![5]].concat();
        Random::new(8, 0).shuffle(&mut labels);
        let all = images(&labels);
        assert_eq!(all.class_counts(), [60, 0, 30, 2, 0, 1]);
        let (train, test) = all.split(0.2, 7);
        assert_eq!(train.class_counts(), [48, 0, 24, 1, 0, 1]);
        assert_eq!(test.class_counts(), [12, 0, 6, 1]);
        // Each image is in one of them, with its label, in order.
        let numbers = |part: &Images| (0..part.len()).map(|i| part.image(i)[0]).collect::<Vec<_>>();
        for part in [&train, &test] {
            assert!(numbers(part).is_sorted());
            assert!((0..part.len()).all(|i| part.labels[i] == labels[usize::from(part.image(i)[0])]));
            assert!((0..part.len()).all(|i| part.image(i)[1..] == [1, 2, 3, 4, 5]));
        }
        let mut both = [numbers(&train), numbers(&test)].concat();
        both.sort_unstable();
        assert!(both.iter().map(|&n| usize::from(n)).eq(0..93));

        assert_eq!(all.split(0.2, 7), (train.clone(), test.clone()));
        assert_ne!(all.split(0.2, 8).1, test);
        assert_eq!(all.split(0.0, 1), (all.clone(), all.select(&[])));
        assert_eq!(all.split(1.0, 1), (all.select(&[]), all.clone()));
        assert!(all.select(&[]).is_empty());
    }

    #[test]
    fn moments_of_channels() {
        // Red 0 and 10, green 7 and 7, blue 1, 1, 1, 5.
        let pixels = vec![0, 7, 1, 10, 7, 1, 0, 7, 1, 10, 7, 5];
        let images = Images { size: [1, 2], channels: 3, pixels, labels: vec![0, 0] };
        let Normalization { mean, deviation } = images.normalization();
        assert_eq!(mean, [5.0, 7.0, 2.0]);
        assert_eq!(deviation, [5.0, 1.0, 3.0_f32.sqrt()]);
        assert_eq!(images.select(&[]).normalization(), Normalization { mean: vec![0.0; 3], deviation: vec![1.0; 3] });
    }

    #[test]
    fn moments_of_mnist() {
        // Published for all of MNIST: 0.1307 and 0.3081 of 255; the subset's own are near.
        let Normalization { mean, deviation } = crate::data::DataSet::embedded().train.normalization();
        assert!((mean[0] / 255.0 - 0.1307).abs() < 0.002, "{mean:?}");
        assert!((deviation[0] / 255.0 - 0.3081).abs() < 0.002, "{deviation:?}");
    }
}
