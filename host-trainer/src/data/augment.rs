//! Random changes of images, so that a network learns what they have in common.
//!
//! [`Augmentation`] says which changes and how strong, in numbers that can be written into a file. Each image draws its
//! own, from the stream of random numbers it is given; an [`Augmenter`] does the work in memory of its own. Images have
//! any number of channels; levels are 0 to 255. What comes out are again whole levels in this range: a network sees what
//! a camera could have given.
//!
//! The changes in their order, each in a file by its kind: [`stylize`](Stylization) (another image's texture);
//! geometric (one interpolation for all of them together); surroundings ([`Context`], [`Clutter`]); photometric, in the
//! order of light, lens and sensor (illumination, contrast, brightness, blur, noise); [`Cutout`]; mixup.

mod filter;
mod geometric;
mod mix;
mod photometric;
mod stylize;
#[cfg(test)]
mod tests;

pub use geometric::{Border, Elastic};
pub use mix::{Clutter, Context, Cutout, Foreground};
pub use stylize::Stylization;

use super::Images;
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// Which changes are made, and how strong they are at most. Each image gets uniform random ones up to these; 0 and
/// absent is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Probability of swapping left and right.
    pub horizontal_flip: f32,
    /// Probability of swapping top and bottom.
    pub vertical_flip: f32,
    /// Pixels that the image is enlarged by on every side, by its [`border`](Self::border), before a random part of the
    /// old size is cut out: a shift by whole pixels.
    pub crop: usize,
    /// Shift in pixels, in each direction.
    pub shift: f32,
    /// Rotation in degrees, both ways.
    pub rotation: f32,
    /// Relative change of height and of width, independent of each other: 0.1 is 0.9 to 1.1.
    pub scaling: f32,
    /// Horizontal shear: pixels sideways per pixel down, both ways.
    pub shear: f32,
    /// Bends the image like rubber.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic: Option<Elastic>,
    /// What is seen beyond the edge of the image.
    pub border: Border,
    /// Replaces the texture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stylization: Option<Stylization>,
    /// Puts the object into the surroundings of another image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Puts pieces of other images behind the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clutter: Option<Clutter>,
    /// Light that changes across the image: 0.3 is from 70 % at one end to 130 % at the other, in any direction.
    pub illumination: f32,
    /// Change of the differences from the image's mean level: 0.2 is 80 % to 120 %.
    pub contrast: f32,
    /// Change of all levels, as a share of 255, both ways.
    pub brightness: f32,
    /// Standard deviation in pixels of the Gaussian that the image is blurred with.
    pub blur: f32,
    /// Standard deviation of the noise, as a share of 255. It is the sum of four uniform numbers for each value: nearly
    /// normal, and never beyond 3.5 deviations.
    pub noise: f32,
    /// Covers a square.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutout: Option<Cutout>,
    /// `a` of the distribution `Beta(a, a)` from which the share of an image in its mixture with another, equally
    /// augmented one is drawn; targets are mixed alike (H. Zhang et al., *mixup: Beyond Empirical Risk Minimization*,
    /// 2018). 0.2 is usual: most mixtures are nearly one of the images.
    pub mixup: f32,
}

impl Augmentation {
    /// No change at all.
    pub const NONE: Self = Self {
        horizontal_flip: 0.0,
        vertical_flip: 0.0,
        crop: 0,
        shift: 0.0,
        rotation: 0.0,
        scaling: 0.0,
        shear: 0.0,
        elastic: None,
        border: Border::Black,
        stylization: None,
        context: None,
        clutter: None,
        illumination: 0.0,
        contrast: 0.0,
        brightness: 0.0,
        blur: 0.0,
        noise: 0.0,
        cutout: None,
        mixup: 0.0,
    };

    /// Each of its changes alone, with a name, in the order in which they are made.
    #[must_use]
    pub fn parts(&self) -> Vec<(&'static str, Self)> {
        let only = |change: &dyn Fn(&mut Self)| {
            let mut part = Self { border: self.border, ..Self::NONE };
            change(&mut part);
            part
        };
        let parts = vec![
            ("stylization", only(&|part| part.stylization = self.stylization)),
            ("horizontal flip", only(&|part| part.horizontal_flip = self.horizontal_flip)),
            ("vertical flip", only(&|part| part.vertical_flip = self.vertical_flip)),
            ("crop", only(&|part| part.crop = self.crop)),
            ("shift", only(&|part| part.shift = self.shift)),
            ("rotation", only(&|part| part.rotation = self.rotation)),
            ("scaling", only(&|part| part.scaling = self.scaling)),
            ("shear", only(&|part| part.shear = self.shear)),
            ("elastic", only(&|part| part.elastic = self.elastic)),
            ("context", only(&|part| part.context = self.context)),
            ("clutter", only(&|part| part.clutter = self.clutter)),
            ("illumination", only(&|part| part.illumination = self.illumination)),
            ("contrast", only(&|part| part.contrast = self.contrast)),
            ("brightness", only(&|part| part.brightness = self.brightness)),
            ("blur", only(&|part| part.blur = self.blur)),
            ("noise", only(&|part| part.noise = self.noise)),
            ("cutout", only(&|part| part.cutout = self.cutout)),
            ("mixup", only(&|part| part.mixup = self.mixup)),
        ];
        let nothing = Self { border: self.border, ..Self::NONE };
        parts.into_iter().filter(|(_, part)| *part != nothing).collect()
    }

    /// Checks all numbers, for images of `shape` (height, width, channels).
    ///
    /// # Errors
    /// Names the first number that is out of range, and what it should be.
    pub fn check(&self, [height, width, _]: [usize; 3]) -> Result<(), AugmentationError> {
        let small = height.min(width) as f32;
        let large = height.max(width) as f32;
        let mut limits = vec![
            ("horizontal_flip", self.horizontal_flip, 0.0, 1.0, "a probability"),
            ("vertical_flip", self.vertical_flip, 0.0, 1.0, "a probability"),
            ("crop", self.crop as f32, 0.0, small, "a number of pixels, at most the image's shorter side"),
            ("shift", self.shift, 0.0, large, "a number of pixels, at most the image's longer side"),
            ("rotation", self.rotation, 0.0, 180.0, "an angle in degrees"),
            ("scaling", self.scaling, 0.0, 0.9, "a relative change of size"),
            ("shear", self.shear, 0.0, 2.0, "pixels sideways per pixel down"),
            ("illumination", self.illumination, 0.0, 1.0, "a relative change of light"),
            ("contrast", self.contrast, 0.0, 1.0, "a relative change"),
            ("brightness", self.brightness, 0.0, 1.0, "a share of the range of levels"),
            ("blur", self.blur, 0.0, small / 4.0, "a number of pixels, at most a quarter of the image's shorter side"),
            ("noise", self.noise, 0.0, 1.0, "a share of the range of levels"),
            ("mixup", self.mixup, 0.0, 100.0, "the parameter of a Beta distribution, such as 0.2"),
        ];
        if let Some(elastic) = &self.elastic {
            limits.extend([
                ("elastic.probability", elastic.probability, 0.0, 1.0, "a probability"),
                ("elastic.displacement", elastic.displacement, 0.0, large, "a number of pixels, such as 1"),
                ("elastic.smoothness", elastic.smoothness, 0.5, large / 2.0, "a number of pixels, such as 4"),
            ]);
        }
        if let Some(stylization) = &self.stylization {
            let radius = stylization.radius as f32;
            limits.extend([
                ("stylization.probability", stylization.probability, 0.0, 1.0, "a probability"),
                ("stylization.texture", stylization.texture, 0.0, 1.0, "the share that is replaced"),
                ("stylization.colour", stylization.colour, 0.0, 1.0, "the share that is replaced"),
                ("stylization.radius", radius, 1.0, small / 2.0, "a number of pixels, at most half the shorter side"),
            ]);
        }
        if let Some(context) = &self.context {
            limits.push(("context.probability", context.probability, 0.0, 1.0, "a probability"));
        }
        if let Some(clutter) = &self.clutter {
            let (pieces, size) = (clutter.pieces as f32, clutter.size as f32);
            limits.extend([
                ("clutter.probability", clutter.probability, 0.0, 1.0, "a probability"),
                ("clutter.pieces", pieces, 1.0, 1000.0, "a number of pieces"),
                ("clutter.size", size, 1.0, small, "a number of pixels, at most the image's shorter side"),
            ]);
        }
        if let Some(cutout) = &self.cutout {
            let size = cutout.size as f32;
            limits.extend([
                ("cutout.probability", cutout.probability, 0.0, 1.0, "a probability"),
                ("cutout.size", size, 1.0, large, "a number of pixels, at most the image's longer side"),
            ]);
        }
        match limits.into_iter().find(|&(_, value, low, high, _)| !(low..=high).contains(&value)) {
            None => Ok(()),
            Some((field, value, low, high, meaning)) => {
                Err(AugmentationError { field, value, range: [low, high], meaning })
            }
        }
    }
}

impl Default for Augmentation {
    fn default() -> Self {
        Self::NONE
    }
}

/// A number of an [`Augmentation`] is out of range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("`augmentation.{field}` is {value}; it is {meaning}, from {} to {}", .range[0], .range[1])]
pub struct AugmentationError {
    /// Which.
    pub field: &'static str,
    /// Its value.
    pub value: f32,
    /// The least and the greatest that it may be.
    pub range: [f32; 2],
    /// What it means.
    pub meaning: &'static str,
}

/// That an image is a mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed {
    /// The number of the other image.
    pub other: usize,
    /// The share of the first image, from 0 to 1; the other has the rest.
    pub share: f32,
}

/// An image in the making: `values[(y * width + x) * channels + channel]`.
#[derive(Clone, Debug)]
struct Picture {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Picture {
    /// The values of a row.
    fn row_len(&self) -> usize {
        self.width * self.channels
    }

    fn load(&mut self, images: &Images, index: usize) {
        for (value, &level) in self.values.iter_mut().zip(images.image(index)) {
            *value = f32::from(level);
        }
    }

    fn black([height, width, channels]: [usize; 3]) -> Self {
        Self { height, width, channels, values: vec![0.0; height * width * channels] }
    }
}

/// Changes images, one after another, in memory of its own.
#[derive(Clone, Debug)]
pub struct Augmenter<'a> {
    images: &'a Images,
    augmentation: &'a Augmentation,
    /// The image at hand, in its channels.
    picture: Picture,
    /// Another, or an older state of it.
    other: Picture,
    /// The first of a mixture.
    first: Picture,
    scratch: Vec<f32>,
}

impl<'a> Augmenter<'a> {
    /// For `images`, which must be good for `augmentation` by [`Augmentation::check`].
    #[must_use]
    pub fn new(images: &'a Images, augmentation: &'a Augmentation) -> Self {
        let picture = Picture::black(images.shape());
        Self { images, augmentation, other: picture.clone(), first: picture.clone(), picture, scratch: Vec::new() }
    }

    /// The levels of the changed image, 0 to 255: row by row, pixel by pixel (HWC).
    #[must_use]
    pub fn levels(&self) -> &[f32] {
        &self.picture.values
    }

    /// Changes image number `index`. Tells if it became a mixture, whose target is one of both images' targets.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn run(&mut self, index: usize, random: &mut Random) -> Option<Mixed> {
        self.change(index, random);
        let mut mixed = None;
        if self.augmentation.mixup > 0.0 {
            let other = self.another(index, random);
            let share = random.beta(self.augmentation.mixup);
            std::mem::swap(&mut self.picture, &mut self.first);
            self.change(other, random);
            for (value, first) in self.picture.values.iter_mut().zip(&self.first.values) {
                *value = share * first + (1.0 - share) * *value;
            }
            mixed = Some(Mixed { other, share });
        }
        if *self.augmentation != Augmentation::NONE {
            for value in &mut self.picture.values {
                *value = round(value.clamp(0.0, 255.0));
            }
        }
        mixed
    }

    /// The number of an image that is not `index`, if there is one.
    fn another(&self, index: usize, random: &mut Random) -> usize {
        let others = self.images.len() - 1;
        if others == 0 {
            return index;
        }
        let other = random.below(others);
        other + usize::from(other >= index)
    }

    /// All changes but mixup and rounding.
    fn change(&mut self, index: usize, random: &mut Random) {
        let augmentation = self.augmentation;
        self.picture.load(self.images, index);
        if let Some(stylization) = &augmentation.stylization
            && random.chance(stylization.probability)
        {
            let style = self.another(index, random);
            self.other.load(self.images, style);
            stylize::replace_texture(&mut self.picture, &mut self.other, stylization, &mut self.scratch, random);
        }
        if let Some(warp) = geometric::Warp::draw(augmentation, &self.picture, &mut self.scratch, random) {
            warp.apply(&self.picture, &mut self.other);
            std::mem::swap(&mut self.picture, &mut self.other);
        }
        if let Some(context) = &augmentation.context
            && random.chance(context.probability)
        {
            let other = self.another(index, random);
            self.other.load(self.images, other);
            mix::change_context(&mut self.picture, &self.other, context.foreground, &mut self.scratch);
        }
        if let Some(clutter) = &augmentation.clutter
            && random.chance(clutter.probability)
        {
            self.other.values.copy_from_slice(&self.picture.values);
            for _ in 0..clutter.pieces {
                let source = self.another(index, random);
                mix::paste_piece(&mut self.other, self.images.image(source), clutter.size, random);
            }
            mix::put_behind(&mut self.picture, &self.other, clutter.foreground, &mut self.scratch);
        }
        photometric::change(&mut self.picture, augmentation, &mut self.scratch, random);
        if let Some(cutout) = &augmentation.cutout
            && random.chance(cutout.probability)
        {
            mix::cut_out(&mut self.picture, cutout.size, random);
        }
    }
}

/// The nearest whole number, ties to even, for values from 0 to 2^22: adding 1.5 * 2^23 leaves no
/// bits for a fraction. (`f32::round` is a function call on plain x86-64.)
fn round(value: f32) -> f32 {
    const WHOLE: f32 = 12_582_912.0;
    (value + WHOLE) - WHOLE
}
