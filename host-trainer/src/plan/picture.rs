//! A picture of the arena: which values lie where, step by step.

use super::{Form, Place, Plan, Words};
use crate::graph::{Graph, ValueId};
use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 420.0;
/// Around the steps and bytes.
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 130.0;
const COLORS: [&str; 6] = ["#9ecae1", "#a1d99b", "#fdd0a2", "#bcbddc", "#fdae6b", "#c7e9c0"];

/// The arena over time as an SVG file: steps from left to right, bytes from bottom to top; scratch memory is hatched. `names`
/// are those of the steps, in the order of the graph's nodes.
#[must_use]
pub fn picture(graph: &Graph, plan: &Plan, names: &[String], words: &dyn Words) -> String {
    let ram = plan.ram(graph, words);
    let most = ram.iter().copied().max().unwrap_or(0).max(plan.bytes).max(1);
    // A step that takes no time has no column, nor has one that happens with the last of its chain.
    let shown: Vec<usize> = (0..plan.steps.len()).filter(|&step| ram[step] > 0 || has_column(plan, step)).collect();
    let column = |step: usize| shown.iter().filter(|&&other| other < step).count();
    let (x_scale, y_scale) =
        ((WIDTH - LEFT - RIGHT) / shown.len().max(1) as f64, (HEIGHT - TOP - BOTTOM) / most as f64);
    let x = |column: usize| LEFT + x_scale * column as f64;
    let y = |bytes: usize| HEIGHT - BOTTOM - y_scale * bytes as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<defs><pattern id=\"scratch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#eeeeee\"/><rect width=\"2\" height=\"6\" \
         fill=\"#999999\"/></pattern></defs>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}: arena of {most} bytes, {} of them for values (hatched: \
         scratch)</text>\n",
        escaped(&graph.name),
        plan.bytes,
    );
    for part in 0..=4 {
        let bytes = most * part / 4;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#dddddd\"/><text x=\"{2}\" y=\"{3:.1}\" \
             text-anchor=\"end\">{bytes}</text>",
            WIDTH - RIGHT,
            y(bytes),
            LEFT - 8.0,
            y(bytes) + 4.0
        );
    }
    for (&step, &words) in shown.iter().zip(shown.iter().map(|&step| &ram[step])) {
        let from = plan.steps[step].scratch;
        if words > from {
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{x_scale:.1}\" height=\"{:.1}\" fill=\"url(#scratch)\"><title>scratch \
                 of {}: {} bytes</title></rect>",
                x(column(step)),
                y(words),
                y_scale * (words - from) as f64,
                escaped(&names[step]),
                words - from
            );
        }
    }
    for (number, (id, life)) in
        plan.lives(graph).into_iter().enumerate().filter_map(|(id, life)| Some((id, life?))).enumerate()
    {
        let Place::Arena(start) = plan.places[id] else { continue };
        let value = graph.value(ValueId(id));
        // Columns are of steps: a life ends with its last one.
        let (first, last) = (column(*life.start()), column(*life.end() + 1).max(column(*life.start()) + 1));
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" fill-opacity=\"0.75\" \
             stroke=\"#555555\" stroke-width=\"0.6\"><title>{}: {:?}, bytes {start} to {}</title></rect>",
            x(first),
            y(start + value.bytes()),
            x_scale * (last - first) as f64,
            y_scale * value.bytes() as f64,
            COLORS[number % COLORS.len()],
            escaped(&value.name),
            value.shape,
            start + value.bytes()
        );
    }
    for &step in &shown {
        let [x, y] = [x(column(step)) + x_scale / 2.0 + 4.0, HEIGHT - BOTTOM + 10.0];
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-50 {x:.1} {y:.1})\">{}</text>",
            escaped(&names[step])
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn has_column(plan: &Plan, step: usize) -> bool {
    let waits = plan.chain(step).is_some_and(|chain| chain.end != step + 1);
    plan.steps[step].form != Form::Alias && !waits
}

/// Text as XML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
