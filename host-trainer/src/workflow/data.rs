//! The images of a description, divided and scaled.

use super::Error;
use crate::data::{DataSet, Images};
use crate::spec::Description;
use crate::train::InputScaling;
use std::path::Path;

/// Images ready for training.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// All images.
    pub set: DataSet,
    /// What the network learns from: the training images, less those held out.
    pub train: Images,
    /// What is held out to choose by.
    pub validation: Option<Images>,
    /// How levels become inputs of the network that trains.
    pub scaling: InputScaling,
    /// How they become inputs of the network that is exported: with one factor for all channels.
    pub exported: InputScaling,
}

/// The seed by which images are held out: the same for every seed of training, so that those can be compared.
const HELD_OUT: u64 = 0;

impl Prepared {
    /// Loads the images of a description whose paths start at `base`.
    ///
    /// # Errors
    /// When something is missing, damaged or does not fit together.
    pub fn load(description: &Description, base: &Path) -> Result<Self, Error> {
        let set = description.data.load(base)?;
        for (part, images) in [("training", &set.train), ("test", &set.test)] {
            if images.is_empty() {
                return Err(Error::Images(format!("{}: there are no {part} images; both kinds are needed", set.name)));
            }
        }
        let share = description.training.validation_share;
        let (train, validation) = if share > 0.0 {
            let (train, validation) = set.train.split(share, HELD_OUT);
            (train, Some(validation))
        } else {
            (set.train.clone(), None)
        };
        let scaling = description.network.input.scaling(&train);
        let exported = description.exported_scaling(&scaling);
        Ok(Self { set, train, validation, scaling, exported })
    }
}
