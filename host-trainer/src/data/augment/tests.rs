use super::*;

/// One image of one channel.
fn single(pixels: &[u8], size: [usize; 2]) -> Images {
    Images { size, channels: 1, pixels: pixels.to_vec(), labels: vec![0] }
}

fn apply(images: &Images, augmentation: &Augmentation, seed: u64) -> Vec<f32> {
    augmentation.check(images.shape()).unwrap();
    let mut augmenter = Augmenter::new(images, augmentation);
    augmenter.run(0, &mut Random::new(seed, 0));
    augmenter.levels().to_vec()
}

/// Mass, and the centre of mass (y, x) of an image.
fn centre(image: &[f32], width: usize) -> (f32, [f32; 2]) {
    let mass: f32 = image.iter().sum();
    let mut centre = [0.0; 2];
    for (i, &value) in image.iter().enumerate() {
        centre[0] += (i / width) as f32 * value / mass;
        centre[1] += (i % width) as f32 * value / mass;
    }
    (mass, centre)
}

/// An image of 21x25 with a bright square of 5x5 whose centre is at (y, x).
fn square(y: usize, x: usize) -> Images {
    let mut image = vec![0; 21 * 25];
    for row in y - 2..=y + 2 {
        image[row * 25 + x - 2..][..5].fill(200);
    }
    single(&image, [21, 25])
}

/// Twelve images of 16x20 pixels in three channels, smooth and all different.
fn photographs() -> Images {
    let mut pixels = Vec::new();
    for image in 0..12 {
        for y in 0..16 {
            for x in 0..20 {
                for channel in 0..3 {
                    let wave = libm::sinf((y * (channel + 1) + x * (image % 4 + 1)) as f32 / 6.0 + image as f32);
                    pixels.push((128.0 + 100.0 * wave) as u8);
                }
            }
        }
    }
    Images { size: [16, 20], channels: 3, pixels, labels: (0..12).collect() }
}

/// Every change on its own.
fn each() -> Vec<(&'static str, Augmentation)> {
    let none = Augmentation::NONE;
    let elastic = Elastic { displacement: 2.0, smoothness: 3.0, probability: 1.0 };
    let stylization = Stylization { probability: 1.0, texture: 1.0, colour: 0.5, radius: 2 };
    let context = |foreground| Some(Context { probability: 1.0, foreground });
    let clutter = |foreground| Some(Clutter { probability: 1.0, pieces: 5, size: 5, foreground });
    vec![
        ("horizontal flip", Augmentation { horizontal_flip: 1.0, ..none.clone() }),
        ("vertical flip", Augmentation { vertical_flip: 1.0, ..none.clone() }),
        ("crop", Augmentation { crop: 4, ..none.clone() }),
        ("shift", Augmentation { shift: 3.0, ..none.clone() }),
        ("rotation", Augmentation { rotation: 20.0, ..none.clone() }),
        ("scaling", Augmentation { scaling: 0.2, ..none.clone() }),
        ("shear", Augmentation { shear: 0.3, ..none.clone() }),
        ("elastic", Augmentation { elastic: Some(elastic), ..none.clone() }),
        ("stylization", Augmentation { stylization: Some(stylization), ..none.clone() }),
        ("context", Augmentation { context: context(Foreground::Centre), ..none.clone() }),
        ("context, plain", Augmentation { context: context(Foreground::Plain), ..none.clone() }),
        ("clutter", Augmentation { clutter: clutter(Foreground::Centre), ..none.clone() }),
        ("clutter, plain", Augmentation { clutter: clutter(Foreground::Plain), ..none.clone() }),
        ("illumination", Augmentation { illumination: 0.5, ..none.clone() }),
        ("contrast", Augmentation { contrast: 0.5, ..none.clone() }),
        ("brightness", Augmentation { brightness: 0.3, ..none.clone() }),
        ("blur", Augmentation { blur: 2.0, ..none.clone() }),
        ("noise", Augmentation { noise: 0.2, ..none.clone() }),
        ("cutout", Augmentation { cutout: Some(Cutout { probability: 1.0, size: 6 }), ..none.clone() }),
        ("mixup", Augmentation { mixup: 1.0, ..none }),
    ]
}

#[test]
fn parts_are_the_changes_alone() {
    for (name, augmentation) in each() {
        let parts = augmentation.parts();
        assert_eq!(parts.len(), 1, "{name}");
        assert!(name.starts_with(parts[0].0) && parts[0].1 == augmentation, "{name}");
    }
    let border = Border::Mirror;
    let two = Augmentation { noise: 0.1, crop: 2, border, ..Augmentation::NONE };
    let [(_, crop), (_, noise)] = &two.parts()[..] else { panic!("two parts") };
    assert_eq!(*crop, Augmentation { crop: 2, border, ..Augmentation::NONE });
    assert_eq!(*noise, Augmentation { noise: 0.1, border, ..Augmentation::NONE });
    assert!(Augmentation::NONE.parts().is_empty());
}

#[test]
fn nothing_changes_without_limits() {
    let image: Vec<u8> = (0..12).map(|i| i * 20).collect();
    let same = apply(&single(&image, [3, 4]), &Augmentation::NONE, 1);
    assert_eq!(same, image.iter().map(|&p| f32::from(p)).collect::<Vec<_>>());
}

#[test]
fn every_change_changes_and_gives_whole_levels_in_range() {
    let images = photographs();
    for (name, augmentation) in each() {
        augmentation.check(images.shape()).unwrap();
        let mut augmenter = Augmenter::new(&images, &augmentation);
        let mut changed = 0;
        for index in 0..12 {
            augmenter.run(index, &mut Random::new(3, index as u64));
            let levels = augmenter.levels().to_vec();
            assert!(levels.iter().all(|&level| (0.0..=255.0).contains(&level) && level.fract() == 0.0), "{name}");
            changed += usize::from(levels.iter().zip(images.image(index)).any(|(&a, &b)| a != f32::from(b)));
            // The same again, in memory that has seen other images.
            augmenter.run((index + 5) % 12, &mut Random::new(8, 8));
            augmenter.run(index, &mut Random::new(3, index as u64));
            assert_eq!(augmenter.levels(), levels, "{name}");
            let mut other = Augmenter::new(&images, &augmentation);
            other.run(index, &mut Random::new(3, index as u64));
            assert_eq!(other.levels(), levels, "{name}");
        }
        assert!(changed >= 8, "{name} changed {changed} of 12 images");
    }
}

#[test]
fn a_flip_twice_is_the_identity() {
    let images = photographs();
    for flip in ["horizontal flip", "vertical flip"] {
        let (_, augmentation) = each().into_iter().find(|(name, _)| *name == flip).unwrap();
        let mut augmenter = Augmenter::new(&images, &augmentation);
        augmenter.run(4, &mut Random::new(1, 0));
        let pixels: Vec<u8> = augmenter.levels().iter().map(|&level| level as u8).collect();
        assert_ne!(pixels, images.image(4));
        let once = Images { pixels, labels: vec![0], ..images.clone() };
        assert!(apply(&once, &augmentation, 2).iter().zip(images.image(4)).all(|(&a, &b)| a == f32::from(b)));
    }
}

#[test]
fn probabilities_are_shares_of_the_images() {
    let image: Vec<u8> = (0..12).collect();
    let images = single(&image, [3, 4]);
    let augmentation = Augmentation { horizontal_flip: 0.25, ..Augmentation::NONE };
    let flipped = (0..2000).filter(|&seed| apply(&images, &augmentation, seed)[0] != 0.0).count();
    // 500, standard error 19.
    assert!((430..570).contains(&flipped), "{flipped}");
}

#[test]
fn shifts_move_the_centre_up_to_the_limit() {
    let limits = Augmentation { shift: 3.0, ..Augmentation::NONE };
    let mut furthest = 0.0_f32;
    for seed in 0..50 {
        let (mass, [y, x]) = centre(&apply(&square(10, 12), &limits, seed), 25);
        assert!((mass / 5000.0 - 1.0).abs() < 0.01, "bilinear shifts keep the mass");
        furthest = furthest.max((y - 10.0).abs()).max((x - 12.0).abs());
    }
    assert!((2.7..=3.05).contains(&furthest), "{furthest}");
}

#[test]
fn rotations_turn_around_the_centre() {
    let limits = Augmentation { rotation: 20.0, ..Augmentation::NONE };
    let mut largest = 0.0_f32;
    for seed in 0..50 {
        // Seven pixels right of the centre of the image.
        let (_, [y, x]) = centre(&apply(&square(10, 19), &limits, seed), 25);
        let (dy, dx) = (y - 10.0, x - 12.0);
        assert!((dy.hypot(dx) - 7.0).abs() < 0.1, "{dy} {dx}");
        largest = largest.max(dy.atan2(dx).abs().to_degrees());
    }
    assert!((18.0..=20.5).contains(&largest), "{largest}");
}

#[test]
fn scaling_changes_the_area() {
    let limits = Augmentation { scaling: 0.2, ..Augmentation::NONE };
    let mut extremes = [f32::MAX, 0.0_f32];
    for seed in 0..80 {
        let (mass, [y, x]) = centre(&apply(&square(10, 12), &limits, seed), 25);
        assert!((y - 10.0).abs() < 0.05 && (x - 12.0).abs() < 0.05);
        extremes = [extremes[0].min(mass / 5000.0), extremes[1].max(mass / 5000.0)];
    }
    assert!((0.62..0.75).contains(&extremes[0]), "{extremes:?}");
    assert!((1.3..1.46).contains(&extremes[1]), "{extremes:?}");
}

#[test]
fn shears_move_rows_sideways() {
    let limits = Augmentation { shear: 0.3, ..Augmentation::NONE };
    let mut largest = 0.0_f32;
    for seed in 0..50 {
        let image = apply(&square(16, 12), &limits, seed);
        let (mass, [y, x]) = centre(&image, 25);
        assert!((mass / 5000.0 - 1.0).abs() < 0.01 && (y - 16.0).abs() < 0.05, "rows stay in their places");
        // Six rows below the centre.
        largest = largest.max((x - 12.0).abs() / 6.0);
    }
    assert!((0.27..=0.31).contains(&largest), "{largest}");
}

#[test]
fn elastic_bending_keeps_the_mass_about_and_moves_pixels() {
    let limits = Augmentation {
        elastic: Some(Elastic { displacement: 1.0, smoothness: 3.0, probability: 1.0 }),
        ..Augmentation::NONE
    };
    let original = apply(&square(10, 12), &Augmentation::NONE, 0);
    let mut moved = 0.0_f32;
    for seed in 0..30 {
        let bent = apply(&square(10, 12), &limits, seed);
        let (mass, [y, x]) = centre(&bent, 25);
        assert!((0.5..1.6).contains(&(mass / 5000.0)), "{mass}");
        assert!((y - 10.0).hypot(x - 12.0) < 4.0);
        moved = moved.max(bent.iter().zip(&original).map(|(a, b)| (a - b).abs()).sum::<f32>() / mass);
    }
    assert!(moved > 0.2, "{moved}");
}

#[test]
fn mixtures_are_of_two_images_in_their_shares() {
    let images = photographs();
    let augmentation = Augmentation { mixup: 0.4, ..Augmentation::NONE };
    let mut augmenter = Augmenter::new(&images, &augmentation);
    let mut shares = Vec::new();
    for seed in 0..400 {
        let index = seed as usize % 12;
        let mixed = augmenter.run(index, &mut Random::new(seed, 0)).unwrap();
        assert!(mixed.other != index && mixed.other < 12 && (0.0..=1.0).contains(&mixed.share));
        for ((level, &a), &b) in augmenter.levels().iter().zip(images.image(index)).zip(images.image(mixed.other)) {
            let expected = mixed.share * f32::from(a) + (1.0 - mixed.share) * f32::from(b);
            assert!((level - expected).abs() <= 0.501, "{level} {expected}");
        }
        shares.push(f64::from(mixed.share));
    }
    // Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2a + 1)).
    let mean = shares.iter().sum::<f64>() / 400.0;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 400.0;
    assert!((mean - 0.5).abs() < 0.06 && (variance * 4.0 * 1.8 - 1.0).abs() < 0.15, "{mean} {variance}");
}

#[test]
fn a_lone_image_is_its_own_partner() {
    for (name, augmentation) in each() {
        let image = photographs().select(&[3]);
        let mut augmenter = Augmenter::new(&image, &augmentation);
        let mixed = augmenter.run(0, &mut Random::new(1, 0));
        assert!(mixed.is_none_or(|mixed| mixed.other == 0), "{name}");
    }
}

#[test]
fn reads_from_toml_and_back() {
    let text = "
        horizontal_flip = 0.5
        crop = 4
        border = 'mirror'
        elastic = { displacement = 1.0, smoothness = 4.0 }
        stylization = { probability = 0.2, colour = 0.5 }
        context = { probability = 0.1, foreground = 'centre' }
        clutter = { pieces = 3, size = 8, foreground = 'plain' }
        cutout = { size = 8 }
        mixup = 0.2
    ";
    let augmentation: Augmentation = toml::from_str(text).unwrap();
    assert_eq!(augmentation.border, Border::Mirror);
    assert_eq!(augmentation.stylization.unwrap().radius, 2);
    assert_eq!(augmentation.cutout, Some(Cutout { probability: 1.0, size: 8 }));
    assert_eq!(augmentation.check([32, 32, 3]), Ok(()));
    assert_eq!(toml::from_str::<Augmentation>(&toml::to_string(&augmentation).unwrap()).unwrap(), augmentation);
    assert_eq!(toml::from_str::<Augmentation>("").unwrap(), Augmentation::NONE);
    for (_, augmentation) in each() {
        assert_eq!(toml::from_str::<Augmentation>(&toml::to_string(&augmentation).unwrap()).unwrap(), augmentation);
    }
    for (bad, part) in [("rotations = 3", "rotations"), ("cutout = { side = 3 }", "side"), ("crop = -1", "-1")] {
        let message = toml::from_str::<Augmentation>(bad).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn errors_name_the_number_and_its_range() {
    for (text, field, part) in [
        ("horizontal_flip = 1.5", "horizontal_flip", "from 0 to 1"),
        ("crop = 40", "crop", "from 0 to 28"),
        ("rotation = -3.0", "rotation", "degrees, from 0 to 180"),
        ("rotation = nan", "rotation", "NaN"),
        ("scaling = 1.0", "scaling", "from 0 to 0.9"),
        ("blur = 20.0", "blur", "from 0 to 7"),
        ("elastic = { displacement = 1.0, smoothness = 0.1 }", "elastic.smoothness", "from 0.5"),
        ("clutter = { pieces = 0, size = 4, foreground = 'plain' }", "clutter.pieces", "from 1"),
        ("clutter = { pieces = 2, size = 29, foreground = 'plain' }", "clutter.size", "from 1 to 28"),
        ("cutout = { size = 0 }", "cutout.size", "from 1 to 32"),
        ("stylization = { probability = 0.5, radius = 15 }", "stylization.radius", "from 1 to 14"),
        ("mixup = inf", "mixup", "such as 0.2"),
    ] {
        let augmentation: Augmentation = toml::from_str(text).unwrap();
        let message = augmentation.check([28, 32, 1]).unwrap_err().to_string();
        assert!(message.contains(&format!("`augmentation.{field}`")) && message.contains(part), "{message}");
    }
}
