//! What augmentation does to images.

use super::{BLACK, DrawError, FONT, GREY, png};
use crate::data::{Augmentation, Augmenter, Images};
use crate::random::Random;
use plotters::prelude::*;

/// Images in a row.
const COLUMNS: usize = 10;
/// The most pixels of the picture that an image takes in one direction.
const CELL: usize = 84;
const GAP: usize = 8;
/// Width of the names.
const NAMES: usize = 130;

/// The first images as they are, and below them what each change of `augmentation` makes of them, and all changes
/// together, as a PNG file. One channel is grey, the first three of more are red, green and blue.
///
/// # Errors
/// When it cannot be drawn.
pub fn augmentations(images: &Images, augmentation: &Augmentation, seed: u64) -> Result<Vec<u8>, DrawError> {
    let mut rows = vec![("as it is", Augmentation::NONE)];
    rows.extend(augmentation.parts());
    if rows.len() > 2 {
        rows.push(("all together", augmentation.clone()));
    }
    let columns = images.len().min(COLUMNS);
    let [height, width] = images.size;
    let longer = height.max(width);
    // Whole pixels, as many as fit; of large images one in a few.
    let (scale, step) = ((CELL / longer).max(1), longer.div_ceil(CELL));
    let (shown_height, shown_width) = (height / step * scale, width / step * scale);
    let size = (NAMES + columns * (shown_width + GAP) + GAP, rows.len() * (shown_height + GAP) + GAP);
    png("the augmentations", (size.0 as u32, size.1 as u32), |area| {
        let text = |error: DrawingAreaErrorKind<_>| -> String { format!("{error}") };
        for (row, (name, augmentation)) in rows.iter().enumerate() {
            let y = GAP + row * (shown_height + GAP);
            let color = if *augmentation == Augmentation::NONE { &GREY } else { &BLACK };
            let style = (FONT, 15).into_font().color(color);
            area.draw(&Text::new(*name, (12, (y + shown_height / 2) as i32 - 8), style)).map_err(text)?;
            let mut augmenter = Augmenter::new(images, augmentation);
            for index in 0..columns {
                augmenter.run(index, &mut Random::new(seed, index as u64));
                let mut pixels = Vec::with_capacity(3 * shown_height * shown_width);
                for place in 0..shown_height * shown_width {
                    let (py, px) = (place / shown_width / scale * step, place % shown_width / scale * step);
                    let levels = &augmenter.levels()[(py * width + px) * images.channels..][..images.channels];
                    match levels {
                        [red, green, blue, ..] => pixels.extend([*red as u8, *green as u8, *blue as u8]),
                        _ => pixels.extend([levels[0] as u8; 3]),
                    }
                }
                let corner = ((NAMES + index * (shown_width + GAP)) as i32, y as i32);
                let shown = (shown_width as u32, shown_height as u32);
                let picture: BitMapElement<_> = BitMapElement::with_owned_buffer(corner, shown, pixels)
                    .ok_or("an image is too large for the picture")?;
                area.draw(&picture).map_err(text)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_shows_its_change() {
        let images = Images {
            size: [10, 14],
            channels: 3,
            pixels: (0..4 * 10 * 14 * 3).map(|i| (i / 3 % 140) as u8).collect(),
            labels: vec![0; 4],
        };
        let augmentation = Augmentation { horizontal_flip: 1.0, vertical_flip: 1.0, ..Augmentation::NONE };
        let file = augmentations(&images, &augmentation, 1).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        // Six picture pixels to one of an image; four rows of four.
        assert_eq!((info.width, info.height), (130 + 4 * 92 + 8, 4 * 68 + 8));
        let pixel = |row: usize, column: usize, y: usize, x: usize| {
            let (py, px) = (8 + row * 68 + 6 * y + 3, 130 + column * 92 + 6 * x + 3);
            usize::from(pixels[3 * (py * info.width as usize + px)])
        };
        for (y, x) in [(0, 0), (3, 9), (9, 13)] {
            for column in 0..4 {
                assert_eq!(pixel(0, column, y, x), y * 14 + x);
                assert_eq!(pixel(1, column, y, x), y * 14 + 13 - x);
                assert_eq!(pixel(2, column, y, x), (9 - y) * 14 + x);
                assert_eq!(pixel(3, column, y, x), (9 - y) * 14 + 13 - x);
            }
        }
    }
}
