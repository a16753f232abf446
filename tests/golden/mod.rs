//! The golden vectors of TensorFlow Lite Micro. `make.py` writes them, and describes the format.

use std::collections::HashMap;
use std::fmt::Debug;
use std::str::FromStr;

/// One record of a golden file.
pub struct Case {
    /// What the record says of itself.
    pub name: String,
    fields: HashMap<String, String>,
}

#[allow(dead_code)] // Each test program uses some of these.
impl Case {
    /// All numbers of a field.
    ///
    /// # Panics
    /// Where the field is missing or holds something else.
    pub fn values<T: FromStr<Err: Debug>>(&self, key: &str) -> Vec<T> {
        let text = self.fields.get(key).unwrap_or_else(|| panic!("case {:?} has no field {key:?}", self.name));
        text.split_whitespace()
            .map(|word| word.parse().unwrap_or_else(|e| panic!("{key} of case {:?}: {word:?}: {e:?}", self.name)))
            .collect()
    }

    /// The numbers of a field that has exactly `N` of them.
    ///
    /// # Panics
    /// Where it does not.
    pub fn array<T: FromStr<Err: Debug>, const N: usize>(&self, key: &str) -> [T; N] {
        let values = self.values(key);
        let count = values.len();
        values.try_into().unwrap_or_else(|_| panic!("{key} of case {:?} has {count} numbers, not {N}", self.name))
    }

    /// The only number of a field.
    ///
    /// # Panics
    /// Where it is not the only one.
    pub fn value<T: FromStr<Err: Debug>>(&self, key: &str) -> T {
        let [value] = self.array(key);
        value
    }
}

/// The records of a golden file: `cases(include_str!("golden/conv2d.txt"))`.
///
/// # Panics
/// Where the file has no record, or a field before the first one.
pub fn cases(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in file.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty()) {
        let (key, values) = line.split_once(' ').unwrap_or((line, ""));
        if key == "case" {
            cases.push(Case { name: values.to_owned(), fields: HashMap::new() });
        } else {
            let case = cases.last_mut().expect("a golden file begins with a case");
            case.fields.insert(key.to_owned(), values.to_owned());
        }
    }
    assert!(!cases.is_empty(), "a golden file has at least one case");
    cases
}
