//! The page: everything in one file.

use super::mistakes::{class, figure};
use super::svg::{escape, grouped, inline};
use super::{Confusion, Histogram, RunRecord, chart, histogram, matrix, svg};
use std::fmt::Write;

/// The record as a page that needs nothing else: no script, no font, no other file.
#[must_use]
pub fn html(record: &RunRecord) -> String {
    let name = escape(&record.name);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name}</title>\n<style>\n{}{}</style>\n\
         </head>\n<body>\n<main>\n",
        svg::STYLE,
        include_str!("page.css")
    );
    head(&mut page, record);
    curves(&mut page, record);
    if let Some(result) = record.results.last() {
        confusion(&mut page, &result.name, &result.confusion, &record.classes);
    }
    mistakes(&mut page, record);
    layers(&mut page, record);
    histograms(
        &mut page,
        "Weights",
        "Dashed lines: what the integers of the tensor can stand for, where it is quantized. Bars are as high as the \
         logarithm of the count: a few large weights decide how finely all others are rounded.",
        &record.weights,
    );
    histograms(
        &mut page,
        "Activations",
        "Over some training images. Dashed lines: the range that the integers stand for, where it is quantized; what lies outside is \
         clamped.",
        &record.activations,
    );
    facts(&mut page, record);
    if !record.description.is_empty() {
        let _ = writeln!(
            page,
            "<section><details><summary>Description</summary><pre>{}</pre></details></section>",
            escape(&record.description)
        );
    }
    let _ = writeln!(
        page,
        "<footer>host-trainer {}, seed {}: the same description and images give the same network, bit for bit.</footer>\n\
         </main>\n</body>\n</html>",
        env!("CARGO_PKG_VERSION"),
        record.seed
    );
    page
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn head(page: &mut String, record: &RunRecord) {
    let held = match record.validation_images {
        0 => String::new(),
        count => format!(", {} held out", grouped(count)),
    };
    let _ = writeln!(
        page,
        "<header><h1>{}</h1><p>{}: {} training images{held}, {} test images, {} classes</p></header>\n<div class=\"cards\">",
        escape(&record.name),
        escape(&record.data),
        grouped(record.training_images),
        grouped(record.test_images),
        record.classes.len()
    );
    let mut card = |value: &str, name: &str| {
        let _ = writeln!(page, "<div class=\"card\"><b>{}</b><span>{}</span></div>", escape(value), escape(name));
    };
    for result in &record.results {
        card(&percent(result.accuracy), &format!("{} accuracy, test images", result.name));
    }
    let parameters: usize = record.layers.iter().map(|layer| layer.parameters).sum();
    let macs: usize = record.layers.iter().map(|layer| layer.macs).sum();
    if parameters > 0 {
        card(&grouped(parameters), "parameters");
        card(&short_count(macs), "multiply-accumulates");
    }
    card(&duration(record.seconds), &format!("training, {} epochs", record.epochs.len()));
    page.push_str("</div>\n");
}

/// A count in thousands or millions.
fn short_count(count: usize) -> String {
    match count {
        0..10_000 => grouped(count),
        10_000..1_000_000 => format!("{:.0} k", count as f64 / 1e3),
        _ => format!("{:.1} M", count as f64 / 1e6),
    }
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..120 => format!("{whole} s"),
        120..7200 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

fn curves(page: &mut String, record: &RunRecord) {
    if record.epochs.is_empty() {
        return;
    }
    let who = if record.validation_images > 0 {
        "Held out: of the training images, to choose by"
    } else {
        "Test: they chose nothing"
    };
    let _ = writeln!(
        page,
        "<section><h2>Training</h2><p class=\"note\">Training: during the epoch, images changed at random. {who}.</p>\
         <div class=\"two\">{}{}</div></section>",
        inline(&chart::loss(&record.epochs, record.held_out())),
        inline(&chart::error(&record.epochs, record.held_out()))
    );
}

fn confusion(page: &mut String, name: &str, confusion: &Confusion, classes: &[String]) {
    if confusion.total() == 0 {
        return;
    }
    let _ = write!(
        page,
        "<section><h2>What was taken for what</h2><p class=\"note\">{} network, test images: {} of {} wrong.</p>\
         <div class=\"two\"><div class=\"wide\">{}</div><div class=\"wide\"><table><tr><th>class</th><th class=\"n\">images</th>\
         <th class=\"n\">found</th><th class=\"n\">right when named</th></tr>",
        escape(name),
        grouped(confusion.total() - confusion.right()),
        grouped(confusion.total()),
        inline(&matrix::picture(confusion, classes))
    );
    let share =
        |value: Option<f64>| value.map_or_else(|| "\u{2013}".to_owned(), |value| format!("{:.1} %", 100.0 * value));
    for (number, counts) in confusion.0.iter().enumerate() {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&class(classes, number)),
            grouped(counts.iter().sum()),
            share(confusion.recall(number)),
            share(confusion.precision(number))
        );
    }
    page.push_str("</table></div></div></section>\n");
}

fn mistakes(page: &mut String, record: &RunRecord) {
    if record.mistakes.is_empty() {
        return;
    }
    page.push_str(
        "<section><h2>The worst mistakes</h2><p class=\"note\">Test images that the network was surest about and wrong. In \
         colour: its answer. The numbers count the test images from 0.</p><div class=\"mistakes\">\n",
    );
    for mistake in &record.mistakes {
        page.push_str(&figure(mistake, &record.classes));
    }
    page.push_str("</div></section>\n");
}

fn layers(page: &mut String, record: &RunRecord) {
    if record.layers.is_empty() {
        return;
    }
    page.push_str(
        "<section><h2>Layers</h2><div class=\"wide\"><table><tr><th>name</th><th>layer</th><th>output</th>\
         <th class=\"n\">parameters</th><th class=\"n\">multiply-accumulates</th></tr>",
    );
    let number = |value: usize| if value == 0 { String::new() } else { grouped(value) };
    for layer in &record.layers {
        let [height, width, channels] = layer.output;
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{height}\u{d7}{width}\u{d7}{channels}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&layer.name),
            escape(&layer.kind),
            number(layer.parameters),
            number(layer.macs)
        );
    }
    page.push_str("</table></div></section>\n");
}

fn histograms(page: &mut String, title: &str, note: &str, histograms: &[Histogram]) {
    if histograms.is_empty() {
        return;
    }
    let _ = writeln!(page, "<section><h2>{title}</h2><p class=\"note\">{note}</p><div class=\"small-multiples\">");
    for histogram in histograms {
        page.push_str(&inline(&histogram::picture(histogram)));
    }
    page.push_str("</div></section>\n");
}

fn facts(page: &mut String, record: &RunRecord) {
    if record.facts.is_empty() {
        return;
    }
    page.push_str("<section><h2>Numbers</h2><div class=\"wide\"><table>");
    for (name, value) in &record.facts {
        let _ = write!(page, "<tr><td>{}</td><td class=\"n\">{}</td></tr>", escape(name), escape(value));
    }
    page.push_str("</table></div></section>\n");
}
