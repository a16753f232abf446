//! Inputs and outputs of networks in files.

use super::Failure;
use host_trainer::data::NpyArray;
use host_trainer::graph::{Element, Graph, Value, ValueId};
use std::fs;
use std::path::{Path, PathBuf};

/// Reads values of a network's inputs or outputs `ends` for some inferences: an array of NumPy's for each, or one file of
/// bytes as they are in memory. All of the first inference come first, then those of the second.
pub fn read(files: &[PathBuf], graph: &Graph, ends: &[ValueId]) -> Result<Vec<u8>, Failure> {
    let ends: Vec<&Value> = ends.iter().map(|&id| graph.value(id)).collect();
    let all: usize = ends.iter().map(|end| end.bytes()).sum();
    let npy = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "npy");
    if let [file] = files
        && !npy(file)
    {
        let bytes = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(all) {
            let found = bytes.len();
            return Err(format!("{} has {found} bytes, no multiple of {all}", file.display()).into());
        }
        return Ok(bytes);
    }
    if files.len() != ends.len() || !files.iter().all(npy) {
        let names: Vec<_> = ends.iter().map(|end| format!("`{}`", end.name)).collect();
        return Err(format!(
            "{} files are named: name one .npy file for each of {}, or one file of bytes",
            files.len(),
            names.join(", ")
        )
        .into());
    }
    let arrays = files.iter().zip(&ends).map(|(file, end)| array(file, end)).collect::<Result<Vec<_>, _>>()?;
    let count = arrays[0].len() / ends[0].bytes();
    for ((array, end), file) in arrays.iter().zip(&ends).zip(files) {
        if array.len() / end.bytes() != count {
            let (first, found) = (files[0].display(), array.len() / end.bytes());
            return Err(format!("{first} is for {count} inferences, {} for {found}", file.display()).into());
        }
    }
    let mut bytes = Vec::with_capacity(count * all);
    for number in 0..count {
        for (array, end) in arrays.iter().zip(&ends) {
            bytes.extend(&array[number * end.bytes()..][..end.bytes()]);
        }
    }
    Ok(bytes)
}

/// The bytes of an array for a value.
fn array(file: &Path, value: &Value) -> Result<Vec<u8>, Failure> {
    let NpyArray { kind, shape, elements } = NpyArray::read(file)?;
    let (wanted, name) = match value.element {
        Element::Int8(_) => (["|i1", "<i1"], "numpy.int8"),
        Element::Int16(_) => (["<i2", "<i2"], "numpy.int16"),
        Element::F32 => (["<f4", "<f4"], "numpy.float32"),
    };
    let wrong = |what: String, remedy: String| -> Failure {
        format!("{}: `{}` cannot be {what}; {remedy}", file.display(), value.name).into()
    };
    if !wanted.contains(&kind.as_str()) {
        let how = match value.element {
            Element::F32 => String::new(),
            _ => ", quantized: round(real / scale) + zero point".to_owned(),
        };
        return Err(wrong(format!("of type `{kind}`"), format!("save it with `.astype({name})`{how}")));
    }
    let [count, inner @ ..] = &shape[..] else {
        return Err(wrong("a single number".to_owned(), "save an array".to_owned()));
    };
    // Dimensions of 1 mean nothing, as long as the first one counts the inferences.
    let large = |sizes: &[usize]| sizes.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
    let of_file = large(&value.dimensions);
    let batch = large(inner) == of_file;
    // One inference's values, without a dimension that counts.
    let single = large(&shape) == of_file;
    if !batch && !single {
        let dimensions = &value.dimensions;
        return Err(wrong(
            format!("of the shape {shape:?}"),
            format!(
                "save it as [count, ...] with the dimensions {dimensions:?} of the network's file, the batch's 1 replaced"
            ),
        ));
    }
    if batch && *count == 0 {
        return Err(wrong("empty".to_owned(), "save at least one".to_owned()));
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bareconv::Quantization;
    use host_trainer::graph::Rounding;

    fn graph() -> Graph {
        let value = |name: &str, dimensions: &[usize], element| Value {
            name: name.to_owned(),
            shape: [1, dimensions[1], dimensions[2]],
            dimensions: dimensions.to_vec(),
            element,
            constant: None,
        };
        let int8 = Element::Int8(Quantization::new(1.0, 0));
        Graph {
            name: "two".to_owned(),
            source: "a test".to_owned(),
            rounding: Rounding::Single,
            values: vec![value("a", &[1, 2, 1], int8), value("b", &[1, 1, 1], Element::Int16(1.0))],
            nodes: vec![],
            inputs: vec![ValueId(0), ValueId(1)],
            outputs: vec![],
        }
    }

    /// As NumPy writes it, version 1.
    fn npy(kind: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(elements);
        file
    }

    #[test]
    fn arrays_of_several_inputs_are_interleaved() {
        let folder = tempfile::tempdir().unwrap();
        let graph = graph();
        let [a, b, raw] = ["a.npy", "b.npy", "raw.i8"].map(|name| folder.path().join(name));
        fs::write(&a, npy("|i1", "(2, 2)", &[1, 2, 3, 4])).unwrap();
        fs::write(&b, npy("<i2", "(2,)", &[5, 6, 7, 8])).unwrap();
        let both = [a.clone(), b.clone()];
        assert_eq!(read(&both, &graph, &graph.inputs).unwrap(), [1, 2, 5, 6, 3, 4, 7, 8]);
        fs::write(&raw, [1, 2, 5, 6, 3, 4, 7, 8]).unwrap();
        assert_eq!(read(std::slice::from_ref(&raw), &graph, &graph.inputs).unwrap().len(), 8);
        let error = |files: &[PathBuf]| read(files, &graph, &graph.inputs).unwrap_err().to_string();
        fs::write(&raw, [0; 7]).unwrap();
        assert!(error(std::slice::from_ref(&raw)).contains("7 bytes, no multiple of 4"));
        assert!(error(std::slice::from_ref(&a)).contains("each of `a`, `b`"));
        fs::write(&b, npy("<i2", "(1,)", &[5, 6])).unwrap();
        assert!(error(&both).contains("for 2 inferences"));
        fs::write(&a, npy("|u1", "(2, 2)", &[1, 2, 3, 4])).unwrap();
        assert!(error(&both).contains("numpy.int8"));
        fs::write(&a, npy("|i1", "(4,)", &[1, 2, 3, 4])).unwrap();
        assert!(error(&both).contains("[1, 2, 1]"));
    }
}
