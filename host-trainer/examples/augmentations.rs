//! Draws what augmentation does: `cargo run -p host-trainer --example augmentations -- [DESCRIPTION.toml] [PICTURE.png]`.
//!
//! The description has a `[data]` table (see `DataSource`) and an `[augmentation]` table (see `Augmentation`). Without
//! it: every kind of change, strong enough to be seen, on the embedded digits.

use host_trainer::data::{Augmentation, DataSet, DataSource};
use host_trainer::output::OutputFolder;
use host_trainer::visualize;
use std::error::Error;
use std::path::{Path, PathBuf};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    data: DataSource,
    augmentation: Augmentation,
}

const DIGITS: &str = "
    data = { format = 'mnist-subset' }
    [augmentation]
    crop = 4
    shift = 3.0
    rotation = 25.0
    scaling = 0.25
    shear = 0.3
    elastic = { displacement = 1.5, smoothness = 4.0 }
    stylization = { probability = 1.0, texture = 1.0, colour = 0.5 }
    context = { probability = 1.0, foreground = 'plain' }
    clutter = { pieces = 6, size = 7, foreground = 'plain' }
    illumination = 0.7
    contrast = 0.6
    brightness = 0.3
    blur = 1.5
    noise = 0.25
    cutout = { size = 10 }
    mixup = 1.0
";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (description, picture) = match &arguments[..] {
        [] => (None, Path::new("augmentations.png")),
        [description] => (Some(description), Path::new("augmentations.png")),
        [description, picture] => (Some(description), picture.as_path()),
        _ => return Err("at most a description and a picture".into()),
    };
    let (text, folder) = match description {
        None => (DIGITS.to_owned(), Path::new(".")),
        Some(file) => {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            (text, file.parent().unwrap_or(Path::new(".")))
        }
    };
    let Description { data, augmentation } = toml::from_str(&text)?;
    let data: DataSet = data.load(folder)?;
    augmentation.check(data.train.shape())?;
    let name = picture.file_name().and_then(|name| name.to_str()).ok_or("the picture needs a name")?;
    let folder = picture.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    OutputFolder::open(folder)?.write(&[(name, visualize::augmentations(&data.train, &augmentation, 1)?)])?;
    println!("{}", picture.display());
    Ok(())
}
