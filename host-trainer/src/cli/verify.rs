//! `host-trainer verify`.

use super::module::Imported;
use super::{Failure, values};
use host_trainer::firmware::boards;
use host_trainer::firmware::boards::Board;
use host_trainer::firmware::check::{Answer, Check};
use host_trainer::graph::{Element, Graph, Numbers};
use host_trainer::plan;
use host_trainer::random::Random;
use host_trainer::verify::{backends, interpret};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::PathBuf;

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// A module's folder that `host-trainer import` or `train` wrote, the description of a trained network, or a network's file
    module: PathBuf,
    /// Inputs: a NumPy array (.npy) of the network's type for each of its inputs, the first dimension counting them; or one
    /// file of bytes as they are in memory, all inputs of the first inference, then of the second, and so on
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "random")]
    inputs: Vec<PathBuf>,
    /// Random inputs, so many, behind those of --inputs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    random: Option<u32>,
    /// What another interpreter answers to the inputs of --inputs; in the same forms
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "inputs", conflicts_with = "random")]
    expected: Vec<PathBuf>,
    /// The emulated cores: m0, m3, m4, m7, m33, m55; or none
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "m4")]
    cores: Vec<String>,
    /// Folder to build in
    #[arg(long, value_name = "DIR", default_value = "target/verify")]
    target_dir: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What computed outputs, and how they differ from what is expected.
struct Line {
    place: String,
    differing_bytes: usize,
    /// The first inference that differs.
    first: Option<usize>,
    sizes: Option<[u32; 2]>,
}

/// Compares what a network computes by every way there is.
pub fn run(options: &Options) -> Result<(), Failure> {
    let cores = cores(&options.cores)?;
    let imported = Imported::open(&options.module, plan::Options::default())?;
    let graph = &imported.graph;
    let mut inputs =
        if options.inputs.is_empty() { Vec::new() } else { values::read(&options.inputs, graph, &graph.inputs)? };
    if let Some(count) = options.random {
        inputs.extend(random(graph, count));
    }
    let bytes = |ids: &[_]| ids.iter().map(|&id| graph.value(id).bytes()).sum::<usize>();
    let (input_bytes, output_bytes) = (bytes(&graph.inputs), bytes(&graph.outputs));
    let count = inputs.len() / input_bytes;
    let (expected, by) = if options.expected.is_empty() {
        let (outputs, bar) = (interpret(graph, "portable", &inputs)?, "the interpreter's, portable backend");
        (outputs, bar.to_owned())
    } else {
        let expected = values::read(&options.expected, graph, &graph.outputs)?;
        if expected.len() / output_bytes != count {
            let found = expected.len() / output_bytes;
            return Err(format!("--expected has outputs of {found} inferences, --inputs inputs of {count}").into());
        }
        (expected, options.expected[0].display().to_string())
    };

    let mut lines = Vec::new();
    let mut compare = |place: String, outputs: &[u8], sizes| {
        let differs = |(a, b): (&u8, &u8)| a != b;
        let pairs = || outputs.iter().zip(&expected);
        lines.push(Line {
            place,
            differing_bytes: pairs().filter(|&(a, b)| differs((a, b))).count() + outputs.len().abs_diff(expected.len()),
            first: pairs()
                .position(differs)
                .or((outputs.len() != expected.len()).then_some(outputs.len().min(expected.len())))
                .map(|byte| byte / output_bytes),
            sizes,
        });
    };
    for backend in backends() {
        compare(format!("interpreter on this computer, {backend}"), &interpret(graph, backend, &inputs)?, None);
    }
    let check = Check::new(&options.target_dir, &imported.name, &imported.module, &imported.files)?;
    let total = count * output_bytes;
    let sizes = |answer: &Answer| Some([answer.ram_bytes, answer.flash_bytes]);
    let answer = with_bar("module on this computer", total, |tick| check.on_host(&inputs, tick))?;
    compare(format!("module on this computer, {}", bareconv::arch::native()), &answer.outputs, sizes(&answer));
    for board in cores {
        let place = format!("module on {} ({})", board.core, board.name());
        let answer = with_bar(&place, total, |tick| check.on_board(board, &inputs, tick))?;
        compare(format!("{place}, {}", board.backend), &answer.outputs, sizes(&answer));
    }

    if options.json {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "where": line.place, "inputs": count, "output_bytes": total, "differing_bytes": line.differing_bytes,
                    "first_differing_input": line.first, "ram_bytes": line.sizes.map(|sizes| sizes[0]),
                    "flash_weight_bytes": line.sizes.map(|sizes| sizes[1]),
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        println!("{}: {count} inputs, {total} bytes of outputs, compared with {by}", graph.name);
        print!("{}", table(&lines));
    }
    let wrong = lines.iter().filter(|line| line.differing_bytes > 0).count();
    if wrong > 0 {
        return Err(format!("{wrong} of {} results differ from {by}", lines.len()).into());
    }
    Ok(())
}

fn table(lines: &[Line]) -> String {
    let mut text = format!("{:52}{:>9}{:>9}{:>10}\n", "", "differing", "RAM", "weights");
    for line in lines {
        let size = |index: usize| line.sizes.map_or("-".to_owned(), |sizes| sizes[index].to_string());
        text.push_str(&format!("{:52}{:>9}{:>9}{:>10}\n", line.place, line.differing_bytes, size(0), size(1)));
        if let Some(first) = line.first {
            text.push_str(&format!("  the first one with input {first} (counted from 0)\n"));
        }
    }
    text
}

/// The boards of these cores.
fn cores(names: &[String]) -> Result<Vec<&'static Board>, Failure> {
    if names == ["none"] {
        return Ok(Vec::new());
    }
    names
        .iter()
        .map(|name| {
            boards::CORTEX_M.into_iter().find(|board| board.short == name || board.name() == name).ok_or_else(|| {
                let names: Vec<_> = boards::CORTEX_M.iter().map(|board| board.short).collect();
                format!("--cores {name}: there are {}, and `none`", names.join(", ")).into()
            })
        })
        .collect()
}

/// Inputs of all bits for integers, and from -4 to 4 for floating point.
fn random(graph: &Graph, count: u32) -> Vec<u8> {
    let mut random = Random::new(1, 0);
    let mut bytes = Vec::new();
    for _ in 0..count {
        for &id in &graph.inputs {
            let value = graph.value(id);
            match value.element {
                Element::Int8(_) | Element::Int16(_) => {
                    bytes.extend((0..value.bytes()).map(|_| random.below(256) as u8));
                }
                Element::F32 => {
                    let values = (0..value.len()).map(|_| random.between(-4.0, 4.0));
                    bytes.extend(Numbers::F32(values.collect()).to_bytes());
                }
            }
        }
    }
    bytes
}

/// Shows how far a run is while it lasts.
fn with_bar<T>(what: &str, total: usize, run: impl FnOnce(&mut dyn FnMut(u64)) -> T) -> T {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {percent:>3} %, {elapsed}");
    let bar = ProgressBar::new(total as u64)
        .with_style(style.expect("the template is constant").progress_chars("=> "))
        .with_message(what.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let result = run(&mut |bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    result
}
