//! `host-trainer inspect`.

use super::{Failure, checkpoint, default_folder, read};
use host_trainer::generate::{self, macs};
use host_trainer::graph::optimize::{self, optimize};
use host_trainer::graph::{Element, Graph, Node, Shape, Weights};
use host_trainer::output::OutputFolder;
use host_trainer::plan::{self, Form, Plan};
use host_trainer::run::PortableWords;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// The network's file, or the checkpoint of a training
    model: PathBuf,
    /// Where to draw the memory over time, as SVG [default: the file's name, .svg]
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    picture: Option<PathBuf>,
    /// As `import --rows`: layers run row by row where that takes less RAM
    #[arg(long)]
    rows: bool,
    /// As `import --no-overlap`: no convolution or pooling overwrites its input
    #[arg(long)]
    no_overlap: bool,
    /// Print JSON instead of a table, and draw nothing
    #[arg(long)]
    json: bool,
}

/// A step of the network.
struct Step {
    layer: String,
    operator: String,
    output: Shape,
    macs: Option<usize>,
    /// `None` where the step happens with another one, or not at all.
    ram: Option<usize>,
    weights: usize,
    packed: Option<usize>,
    note: &'static str,
}

/// Shows what a network is and what it takes.
pub fn run(options: &Options) -> Result<(), Failure> {
    if options.model.extension().is_some_and(|ending| ending == checkpoint::ENDING) {
        return checkpoint::show(&options.model, options.json);
    }
    let mut graph = match read(&options.model) {
        Ok(graph) => graph,
        Err(error) if options.json => {
            let problems: Vec<_> = error.to_string().lines().map(str::to_owned).collect();
            println!("{}", serde_json::to_string_pretty(&json!({ "supported": false, "problems": problems }))?);
            return Err(format!("{} is not supported", options.model.display()).into());
        }
        Err(error) => return Err(error),
    };
    let report = optimize(&mut graph, &optimize::Options::default())?;
    let plan_options = plan::Options { overlap: !options.no_overlap, stream: options.rows, ..plan::Options::default() };
    let plan = Plan::new(&graph, plan_options, &PortableWords);
    let module = generate::with_plan(&graph, &plan, &generate::Options::default())?;
    let steps = steps(&graph, &plan, &module.layers);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&graph, &steps))?);
        return Ok(());
    }
    print!("{}", table(&graph, &steps));
    println!("passes: {report}");
    let path = options.picture.clone().unwrap_or_else(|| default_folder(&options.model).with_extension("svg"));
    let names: Vec<_> = steps.iter().map(|step| step.layer.clone()).collect();
    write(&path, plan::picture(&graph, &plan, &names, &PortableWords))?;
    println!("memory over time: {}", path.display());
    Ok(())
}

fn write(path: &Path, text: String) -> Result<(), Failure> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or("--picture names no file")?.to_string_lossy();
    Ok(OutputFolder::open(folder)?.write(&[(&name, text.into_bytes())])?)
}

fn steps(graph: &Graph, plan: &Plan, layers: &[String]) -> Vec<Step> {
    let ram = plan.ram(graph, &PortableWords);
    let one = |((step, node), layer): ((&plan::Step, &Node), &String)| {
        let note = match step.form {
            Form::Alias => "no copy",
            Form::Separate => "",
            Form::InPlace(_) => "in place",
            Form::Overlapping => "overwrites",
            Form::Streamed => "row by row",
        };
        let waits = plan.chain(step.node).is_some_and(|chain| chain.end != step.node + 1);
        Step {
            layer: if layer.is_empty() { node.name.clone() } else { layer.clone() },
            operator: kind(node),
            output: graph.value(node.output).shape,
            macs: macs(node),
            ram: (step.form != Form::Alias && !waits).then_some(ram[step.node]),
            weights: node.operator.weights().map_or(0, Weights::bytes),
            packed: PortableWords.packed(graph, node).map(|words| 4 * words),
            note,
        }
    };
    plan.steps.iter().zip(&graph.nodes).zip(layers).map(one).collect()
}

/// The operator as the file calls it: what its place has in brackets.
fn kind(node: &Node) -> String {
    let named = node.place.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    named.map_or_else(|| node.place.clone(), str::to_owned)
}

fn by(shape: Shape) -> String {
    shape.map(|size| size.to_string()).join("x")
}

fn types(graph: &Graph, ids: &[host_trainer::graph::ValueId]) -> String {
    let one = |id| {
        let value = graph.value(id);
        let element = match value.element {
            Element::Int8(quantization) => {
                format!("int8, scale {}, zero point {}", quantization.scale, quantization.zero_point)
            }
            Element::Int16(scale) => format!("int16, scale {scale}"),
            Element::F32 => "f32".to_owned(),
        };
        format!("{} {element}", by(value.shape))
    };
    ids.iter().map(|&id| one(id)).collect::<Vec<_>>().join("\n         ")
}

/// The first characters of a text that is too long.
fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['~']).collect()
}

fn table(graph: &Graph, steps: &[Step]) -> String {
    let mut text = format!(
        "{}\ninput    {}\noutput   {}\n\n",
        clipped(&graph.source, 80),
        types(graph, &graph.inputs),
        types(graph, &graph.outputs)
    );
    let _ = writeln!(text, "{:19} {:17} {:>11} {:>9} {:>7} {:>11}", "layer", "operator", "output", "MACs", "RAM", "");
    for step in steps {
        let number = |value: Option<usize>| value.map_or(String::new(), |value| value.to_string());
        let line = format!(
            "{:19} {:17} {:>11} {:>9} {:>7} {}",
            clipped(&step.layer, 19),
            clipped(&step.operator, 17),
            by(step.output),
            number(step.macs),
            number(step.ram),
            clipped(step.note, 11),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let (macs, ram, weights, packed) = totals(steps);
    let _ = write!(
        text,
        "\n{macs} multiply-accumulates\n{ram} bytes of RAM for activations and scratch\n{weights} bytes of weights and \
         biases\n{packed} bytes of flash for them, packed, with requantization\nRAM and flash are for cores without SIMD. The module's \
         RAM_BYTES and FLASH_BYTES\nsay what they are on the core that it is compiled for.\n"
    );
    text
}

/// Multiply-accumulates, RAM, bytes of weights and packed bytes of all steps.
fn totals(steps: &[Step]) -> (usize, usize, usize, usize) {
    (
        steps.iter().filter_map(|step| step.macs).sum(),
        steps.iter().filter_map(|step| step.ram).max().unwrap_or(0),
        steps.iter().map(|step| step.weights).sum(),
        steps.iter().filter_map(|step| step.packed).sum(),
    )
}

fn to_json(graph: &Graph, steps: &[Step]) -> serde_json::Value {
    let (macs, ram, weights, packed) = totals(steps);
    let steps: Vec<_> = steps
        .iter()
        .map(|step| {
            json!({
                "layer": step.layer, "operator": step.operator, "output": step.output, "macs": step.macs,
                "ram_bytes": step.ram, "weight_bytes": step.weights, "packed_bytes": step.packed, "memory": step.note,
            })
        })
        .collect();
    let ends = |ids: &[host_trainer::graph::ValueId]| -> Vec<_> {
        let end = |&id| {
            let value = graph.value(id);
            let quantization = value.element.quantization();
            json!({
                "name": value.name, "shape": value.shape, "type": value.element.rust(),
                "scale": quantization.map(|q| q.scale), "zero_point": quantization.map(|q| q.zero_point),
            })
        };
        ids.iter().map(end).collect()
    };
    json!({
        "network": graph.name, "supported": true, "inputs": ends(&graph.inputs), "outputs": ends(&graph.outputs),
        "macs": macs, "ram_bytes": ram, "weight_bytes": weights, "packed_bytes": packed, "layers": steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bareconv::Quantization;
    use host_trainer::graph::{Rounding, Value, ValueId};

    #[test]
    fn tables_fit_a_terminal() {
        let value = Value {
            name: "input".to_owned(),
            shape: [96, 96, 3],
            dimensions: vec![1, 96, 96, 3],
            element: Element::Int8(Quantization::new(0.003_921_569, -128)),
            constant: None,
        };
        let graph = Graph {
            name: "n".repeat(70),
            source: "s".repeat(70),
            rounding: Rounding::Single,
            values: vec![value],
            nodes: vec![],
            inputs: vec![ValueId(0)],
            outputs: vec![ValueId(0)],
        };
        let step = Step {
            layer: "l".repeat(40),
            operator: "RESIZE_NEAREST_NEIGHBOR".to_owned(),
            output: [128, 128, 128],
            macs: Some(123_456_789),
            ram: Some(1_234_567),
            weights: 1_234_567,
            packed: Some(2_345_678),
            note: "no copy",
        };
        let text = table(&graph, &[step]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("123456789 multiply-accumulates"));
    }
}
