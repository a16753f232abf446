//! Pictures: the course of training, and digits with the network's opinion.

mod augmentations;

pub use augmentations::augmentations;

use crate::data::Images;
use crate::quantize::first_greatest;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};
use std::ops::Range;

const FONT: &str = "DejaVu Sans";
const TRAIN: RGBColor = RGBColor(150, 180, 215);
const TEST: RGBColor = RGBColor(20, 75, 150);
const WRONG: RGBColor = RGBColor(190, 30, 30);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// A picture cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {picture}: {reason}")]
pub struct DrawError {
    /// Which picture.
    pub picture: &'static str,
    /// Why not.
    pub reason: String,
}

/// One epoch of the course of training.
#[derive(Clone, Copy, Debug)]
pub struct Curve {
    /// Whether it belongs to quantization-aware training.
    pub quantization_aware: bool,
    /// Training loss.
    pub train_loss: f64,
    /// Test loss.
    pub test_loss: f64,
    /// Share of training images classified wrong.
    pub train_error: f64,
    /// Share of test images classified wrong.
    pub test_error: f64,
}

/// What a network says about one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The class of the image.
    pub label: u8,
    /// The class with the greatest output, the first of equal ones.
    pub class: u8,
    /// The greatest output minus the label's: 0 if right, large for a bad mistake.
    pub mistake: i16,
    /// If right: the greatest output minus the next one.
    pub margin: i16,
}

impl Prediction {
    /// From the outputs of an int8 network.
    ///
    /// # Panics
    /// When there are more than 256 outputs, or `label` is none of them.
    #[must_use]
    pub fn new(output: &[i8], label: u8) -> Self {
        let class = first_greatest(output);
        let greatest = i16::from(output[class]);
        let others = output.iter().enumerate().filter(|&(index, _)| index != class);
        let next = others.map(|(_, &value)| value).max();
        Self {
            label,
            class: u8::try_from(class).expect("at most 256 classes"),
            mistake: greatest - i16::from(output[usize::from(label)]),
            margin: greatest - next.map_or(greatest, i16::from),
        }
    }

    /// Whether the class is the label.
    #[must_use]
    pub fn right(&self) -> bool {
        self.class == self.label
    }
}

/// Draws into a fresh white picture and returns it as a PNG file.
fn png(
    picture: &'static str,
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<BitMapBackend, plotters::coord::Shift>) -> Result<(), String>,
) -> Result<Vec<u8>, DrawError> {
    let mut pixels = vec![255; (3 * size.0 * size.1) as usize];
    let result = register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .and_then(|()| register_font(FONT, FontStyle::Bold, dejavu::sans::bold()))
        .map_err(|_| "the embedded font is damaged".to_owned())
        .and_then(|()| {
            let area = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
            draw(&area)?;
            area.present().map_err(|error| error.to_string())
        })
        .and_then(|()| encode(&pixels, size).map_err(|error| error.to_string()));
    result.map_err(|reason| DrawError { picture, reason })
}

fn encode(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Loss and error rate over the epochs as a PNG file; quantization-aware epochs are shaded.
///
/// # Errors
/// When it cannot be drawn.
pub fn training(epochs: &[Curve]) -> Result<Vec<u8>, DrawError> {
    png("the course of training", (1200, 560), |area| {
        let (left, right) = area.split_horizontally(600);
        panel(&left, "loss", epochs, |e| (e.train_loss, e.test_loss), |v| format!("{v}"))?;
        panel(&right, "error rate", epochs, |e| (100.0 * e.train_error, 100.0 * e.test_error), |v| format!("{v} %"))
    })
}

fn panel(
    area: &DrawingArea<BitMapBackend, plotters::coord::Shift>,
    title: &str,
    epochs: &[Curve],
    values: impl Fn(&Curve) -> (f64, f64),
    format: impl Fn(f64) -> String,
) -> Result<(), String> {
    let text = |error: DrawingAreaErrorKind<_>| -> String { format!("{error}") };
    // No logarithm of 0; and a picture needs some height.
    let least = |v: f64| v.max(1e-3);
    let all = epochs.iter().map(&values).flat_map(|(a, b)| [least(a), least(b)]);
    let (low, high) = all.fold((f64::INFINITY, 0.0), |(low, high), v| (low.min(v), v.max(high)));
    let range: Range<f64> = if low < high { low / 1.15..high * 1.15 } else { 0.1..1.0 };
    let count = epochs.len().max(1) as f64;
    let quantized = epochs.iter().filter(|e| e.quantization_aware).count();
    let change = (epochs.len() - quantized) as f64 + 0.5;

    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 24))
        .margin(14)
        .x_label_area_size(46)
        .y_label_area_size(70)
        .build_cartesian_2d(
            Axis::new(0.5..count + 0.5, epoch_ticks(epochs.len())),
            Axis::new(range.start.log10()..range.end.log10(), logarithmic_ticks(&range).map(f64::log10).collect()),
        )
        .map_err(text)?;
    if quantized > 0 {
        chart
            .draw_series([Rectangle::new(
                [(change, range.start.log10()), (count + 0.5, range.end.log10())],
                RGBColor(255, 244, 220).filled(),
            )])
            .map_err(text)?
            .label("quantization-aware (int8)")
            .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 22, y + 6)], RGBColor(255, 235, 195).filled()));
    }
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format((1000.0 * 10_f64.powf(*y)).round() / 1000.0))
        .label_style((FONT, 15))
        .axis_desc_style((FONT, 16))
        .light_line_style(RGBColor(240, 240, 240))
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()
        .map_err(text)?;
    for (name, color, pick) in [("training (augmented, smoothed)", TRAIN, 0), ("test", TEST, 1)] {
        // One line per phase: they are different networks.
        let mut named = false;
        for phase in [false, true] {
            let points: Vec<(f64, f64)> = epochs
                .iter()
                .enumerate()
                .filter(|(_, e)| e.quantization_aware == phase)
                .map(|(index, e)| {
                    let (train, test) = values(e);
                    (index as f64 + 1.0, least(if pick == 0 { train } else { test }).log10())
                })
                .collect();
            let dots = points.len() == 1;
            let series = if dots {
                chart.draw_series(points.iter().map(|&p| Circle::new(p, 3, color.filled()))).map_err(text)?
            } else {
                chart.draw_series(LineSeries::new(points, color.stroke_width(2))).map_err(text)?
            };
            if !named {
                named = true;
                series.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(2)));
            }
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .draw()
        .map_err(text)
}

/// An axis with ticks at given places.
struct Axis {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(range: Range<f64>, ticks: Vec<f64>) -> Self {
        Self { range: range.into(), ticks }
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// Whole epochs, about ten of them.
fn epoch_ticks(epochs: usize) -> Vec<f64> {
    let step =
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].into_iter().find(|step| epochs <= 12 * step).unwrap_or(epochs);
    let first = if step == 1 { 1 } else { step };
    (first..=epochs).step_by(step).map(|x| x as f64).collect()
}

/// 1, 2 and 5 times the powers of ten within a range.
fn logarithmic_ticks(range: &Range<f64>) -> impl Iterator<Item = f64> {
    (-3..4)
        .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
        .filter(|tick| range.contains(tick))
}

/// Digits with the opinion of `who` (a network) as a PNG file: the worst mistakes first, then those that were
/// right with the least margin.
///
/// # Errors
/// When it cannot be drawn.
///
/// # Panics
/// When there is not one prediction per image.
pub fn contact_sheet(images: &Images, predictions: &[Prediction], who: &str) -> Result<Vec<u8>, DrawError> {
    const COLUMNS: usize = 12;
    const ROWS: usize = 7;
    const CELL: (i32, i32) = (100, 128);
    const HEAD: i32 = 56;
    assert_eq!(images.len(), predictions.len());
    let mut order: Vec<usize> = (0..predictions.len()).collect();
    order.sort_by_key(|&index| {
        let p = predictions[index];
        (p.right(), -p.mistake, p.margin, index)
    });
    let wrong = predictions.iter().filter(|p| !p.right()).count();
    // Two rows at least for right ones.
    let skipped = wrong.saturating_sub((ROWS - 2) * COLUMNS);
    order.drain(wrong - skipped..wrong);
    let shown = &order[..order.len().min(COLUMNS * ROWS)];
    let rows = shown.len().div_ceil(COLUMNS).max(1);
    let size = (COLUMNS as i32 * CELL.0 + 20, HEAD + rows as i32 * CELL.1 + 10);
    let [height, width] = images.size.map(|side| side as i32);
    // Whole pixels, as many as fit.
    let scale = (84 / height.max(width)).max(1);

    png("the digits", (size.0 as u32, size.1 as u32), |area| {
        let text = |error: DrawingAreaErrorKind<_>| -> String { format!("{error}") };
        let title = format!(
            "{who}, {} test images: {} wrong ({:.2} %)",
            images.len(),
            wrong,
            100.0 * wrong as f64 / images.len().max(1) as f64
        );
        area.draw(&Text::new(title, (16, 10), (FONT, 20).into_font())).map_err(text)?;
        let note = format!(
            "{} of {wrong} wrong ones, worst first (red: predicted class, label in brackets); then right ones by least margin",
            wrong - skipped
        );
        area.draw(&Text::new(note, (16, 34), (FONT, 14).into_font().color(&GREY))).map_err(text)?;
        for (place, &index) in shown.iter().enumerate() {
            let x = 10 + (place % COLUMNS) as i32 * CELL.0 + (CELL.0 - scale * width) / 2;
            let y = HEAD + (place / COLUMNS) as i32 * CELL.1 + 6;
            let prediction = predictions[index];
            if !prediction.right() {
                area.draw(&Rectangle::new(
                    [(x - 4, y - 4), (x + scale * width + 3, y + scale * height + 3)],
                    WRONG.filled(),
                ))
                .map_err(text)?;
            }
            for (pixel, &value) in images.image(index).iter().enumerate() {
                let (px, py) = (pixel as i32 % width, pixel as i32 / width);
                let corner = (x + px * scale, y + py * scale);
                area.draw(&Rectangle::new(
                    [corner, (corner.0 + scale, corner.1 + scale)],
                    RGBColor(value, value, value).filled(),
                ))
                .map_err(text)?;
            }
            let (caption, color) = if prediction.right() {
                (format!("{}", prediction.class), &BLACK)
            } else {
                (format!("{} ({})", prediction.class, prediction.label), &WRONG)
            };
            let style = (FONT, 17).into_font().color(color);
            area.draw(&Text::new(caption, (x, y + scale * height + 8), style)).map_err(text)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Width, height and pixels of a PNG file.
    fn decode(file: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width, info.height, pixels)
    }

    fn contains(pixels: &[u8], color: RGBColor) -> bool {
        pixels.chunks_exact(3).any(|p| p == [color.0, color.1, color.2])
    }

    #[test]
    fn predictions() {
        let wrong = Prediction::new(&[3, -10, 90, 90], 0);
        assert_eq!((wrong.class, wrong.mistake, wrong.right()), (2, 87, false));
        let right = Prediction::new(&[-128, 127, 100], 1);
        assert_eq!((right.mistake, right.margin, right.right()), (0, 27, true));
    }

    #[test]
    fn mistakes_are_marked() {
        let images = Images { size: [2, 3], channels: 1, pixels: vec![77; 12], labels: vec![0, 1] };
        let right = [Prediction::new(&[9, 0], 0), Prediction::new(&[0, 9], 1)];
        let (_, _, pixels) = decode(&contact_sheet(&images, &right, "a network").unwrap());
        assert!(contains(&pixels, RGBColor(77, 77, 77)));
        assert!(!contains(&pixels, WRONG));
        let wrong = [right[0], Prediction::new(&[9, 0], 1)];
        let (_, _, pixels) = decode(&contact_sheet(&images, &wrong, "a network").unwrap());
        assert!(contains(&pixels, WRONG));
    }

    #[test]
    fn ticks() {
        assert_eq!(epoch_ticks(4), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(epoch_ticks(38), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0]);
        let ticks: Vec<f64> = logarithmic_ticks(&(0.04..1.1)).collect();
        assert_eq!(ticks.len(), 5);
        for (tick, expected) in ticks.iter().zip([0.05, 0.1, 0.2, 0.5, 1.0]) {
            assert!((tick - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn both_curves_are_drawn_for_any_number_of_epochs() {
        for (float, quantized) in [(0, 0), (1, 0), (1, 1), (12, 4)] {
            let epochs: Vec<Curve> = (0..float + quantized)
                .map(|epoch| Curve {
                    quantization_aware: epoch >= float,
                    train_loss: 1.0 / (epoch + 1) as f64,
                    test_loss: 0.5 / (epoch + 1) as f64,
                    train_error: 0.3 / (epoch + 1) as f64,
                    test_error: 0.0,
                })
                .collect();
            let (width, height, pixels) = decode(&training(&epochs).unwrap());
            assert_eq!((width, height), (1200, 560));
            assert!(contains(&pixels, TRAIN) && contains(&pixels, TEST));
            assert_eq!(contains(&pixels, RGBColor(255, 244, 220)), quantized > 0);
        }
    }
}
