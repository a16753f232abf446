//! Scalable pictures: text, numbers and files.

use data_encoding::BASE64;
use std::fmt::Write;

/// A picture: its size and what is in it. Colours are classes of [`STYLE`].
pub(super) struct Picture {
    pub width: f64,
    pub height: f64,
    /// What it shows, for those who do not see it.
    pub title: String,
    pub content: String,
}

/// The colours of pictures, in light and dark; the page has them, too.
pub(super) const STYLE: &str = include_str!("picture.css");

/// The picture within a page, which has the style.
pub(super) fn inline(picture: &Picture) -> String {
    let Picture { width, height, title, content } = picture;
    let title = escape(title);
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">{content}</svg>\n")
}

/// The picture as a file of its own.
pub(super) fn file(picture: &Picture) -> String {
    let Picture { width, height, title, content } = picture;
    let (scaled_width, scaled_height, title) = (1.5 * width, 1.5 * height, escape(title));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{scaled_width}\" \
         height=\"{scaled_height}\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n{content}</svg>\n"
    )
}

/// A text in which nothing is markup.
pub(super) fn escape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '"' => result.push_str("&quot;"),
            '\'' => result.push_str("&#39;"),
            // Control characters have no place in XML.
            c if c.is_control() && c != '\n' && c != '\t' => result.push('\u{fffd}'),
            c => result.push(c),
        }
    }
    result
}

/// The first characters of a name that is too long for its place.
pub(super) fn short(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['\u{2026}']).collect()
}

/// A place for a picture's coordinates: tenths are enough.
pub(super) fn at(value: f64) -> f64 {
    (10.0 * value).round() / 10.0
}

/// A whole number with a gap at each three digits.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut result = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result
}

/// A number of few digits.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A line of text. `class` says how it looks: `end` and `middle` where it is anchored.
pub(super) fn label(content: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let _ = writeln!(content, "<text x=\"{}\" y=\"{}\" class=\"{class}\">{}</text>", at(x), at(y), escape(text));
}

/// An image of bytes (1 or 3 channels) as a PNG file in a URI.
pub(super) fn png_uri([height, width, channels]: [usize; 3], pixels: &[u8]) -> Result<String, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(if channels == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    if matches!(channels, 1 | 3) {
        writer.write_image_data(pixels)?;
    } else {
        // Other numbers of channels have no colours: the first one is shown.
        let first: Vec<u8> = pixels.chunks(channels.max(1)).map(|pixel| pixel[0]).collect();
        writer.write_image_data(&first)?;
    }
    writer.finish()?;
    Ok(format!("data:image/png;base64,{}", BASE64.encode(&file)))
}
