//! The file of a case: its metadata and its tensors, widened.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::tensor::DType;
use crate::train::weights;

/// What the metadata key `format` has to say.
const FORMAT: &str = "kd-parity/1";
/// What the names of expected tensors start with.
const EXPECT: &str = "expect/";

/// What a case compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A network: forward, loss, gradients and running statistics.
    Model,
    /// A method's loss and its gradients.
    Loss,
    /// A few training steps of a classroom.
    Trajectory,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Model, Kind::Loss, Kind::Trajectory];

    /// Its name in the metadata.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Loss => "loss",
            Kind::Trajectory => "trajectory",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A tensor with its elements widened to f64, which is exact for every type a case may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseTensor {
    /// Its extents in PyTorch's order.
    pub shape: Vec<usize>,
    /// Its elements in PyTorch's order.
    pub values: Vec<f64>,
    /// Whether it is stored as I64, as labels are.
    pub(super) labels: bool,
}

impl CaseTensor {
    /// A computed tensor.
    ///
    /// # Panics
    /// If there are not as many values as the shape says: a fault of the caller.
    pub(super) fn new(shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "a tensor of shape {shape:?}");
        Self { shape: shape.to_vec(), values, labels: false }
    }

    /// A number.
    pub(super) fn scalar(value: f64) -> Self {
        Self::new(&[], vec![value])
    }

    /// The largest magnitude; 0 for no elements, not a number where an element is none.
    pub fn largest(&self) -> f64 {
        self.values.iter().fold(0.0, |most: f64, x| if x.is_nan() || x.abs() > most { x.abs() } else { most })
    }

    fn from_view(view: &TensorView) -> Result<Self, String> {
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F64 => widen(bytes, f64::from_le_bytes),
            Dtype::F32 => widen(bytes, |bytes| f32::from_le_bytes(bytes).into()),
            Dtype::F16 => widen(bytes, |bytes| f16::from_le_bytes(bytes).into()),
            Dtype::BF16 => widen(bytes, |bytes| bf16::from_le_bytes(bytes).into()),
            // Beyond 2^53 this rounds, to something that is out of range for a label as well.
            Dtype::I64 => widen(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
            Dtype::U8 => widen(bytes, |[byte]: [u8; 1]| byte.into()),
            other => return Err(format!("has the type {other}, expected F16, BF16, F32, F64, I64 or U8")),
        };
        Ok(Self { shape: view.shape().to_vec(), values, labels: view.dtype() == Dtype::I64 })
    }
}

fn widen<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|bytes| element(*bytes)).collect()
}

/// A case, read but not yet understood: what it asks for is looked at when it is replayed.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it was read from.
    pub file: PathBuf,
    /// What it compares.
    pub kind: Kind,
    /// The narrowest type it is judged in.
    pub compute: DType,
    metadata: HashMap<String, String>,
    tensors: BTreeMap<String, CaseTensor>,
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged (with the byte), or is no case: wrong metadata, types that a case does not
    /// have, nothing expected.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| Error::reading(path, error))?;
        let file = weights::parse(path, &bytes)?;
        let at = |error: Error| error.within(path.display());
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| at(Error::request(error.to_string())))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let (kind, compute) = read_kind(&metadata).map_err(at)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let tensor = CaseTensor::from_view(&view)
                .map_err(|what| at(Error::request(format!("the tensor `{name}` {what}"))))?;
            tensors.insert(name.to_string(), tensor);
        }
        let case = Self { file: path.to_path_buf(), kind, compute, metadata, tensors };
        if case.expected().next().is_none() {
            return Err(at(Error::request(format!("nothing is expected: no tensor's name starts with `{EXPECT}`"))));
        }
        Ok(case)
    }

    /// The tensors that are to be compared, by name.
    pub fn expected(&self) -> impl Iterator<Item = (&str, &CaseTensor)> {
        self.tensors.iter().filter(|(name, _)| name.starts_with(EXPECT)).map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// What the case is about, for people: a model, a method or a classroom.
    pub fn subject(&self) -> &str {
        let key = if self.kind == Kind::Model { "model" } else { "method" };
        self.metadata.get(key).map_or("", String::as_str)
    }

    /// The metadata `key`.
    pub(super) fn text(&self, key: &str) -> Result<&str> {
        self.metadata.get(key).map(String::as_str).ok_or_else(|| missing(key))
    }

    /// The metadata `key`, read as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T> {
        serde_json::from_str(self.text(key)?).map_err(|error| Error::request(format!("the metadata `{key}`: {error}")))
    }

    /// The number of classes.
    pub(super) fn classes(&self) -> Result<usize> {
        const MOST: usize = 1 << 20;
        let text = self.text("num_classes")?;
        text.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(|| {
            Error::request(format!("the metadata `num_classes` is `{text}`, expected a number from 1 to {MOST}"))
        })
    }

    /// All inputs, by name.
    pub(super) fn inputs(&self) -> impl Iterator<Item = (&str, &CaseTensor)> {
        let all = self.tensors.iter().filter(|(name, _)| !name.starts_with(EXPECT));
        all.map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The input `name`.
    pub(super) fn input(&self, name: &str) -> Result<&CaseTensor> {
        self.tensors.get(name).ok_or_else(|| {
            let inputs = self.tensors.keys().filter(|other| !other.starts_with(EXPECT));
            Error::request(format!("the input `{name}` is missing")).suggest(name, inputs.map(String::as_str))
        })
    }

    /// The input `name`, which has to have this shape.
    pub(super) fn input_of_shape(&self, name: &str, shape: &[usize]) -> Result<&CaseTensor> {
        let tensor = self.input(name)?;
        if tensor.shape != shape {
            let found = &tensor.shape;
            return Err(Error::request(format!("the input `{name}` has the shape {found:?}, expected {shape:?}")));
        }
        Ok(tensor)
    }

    /// The labels `name` of this shape, each below `classes`.
    pub(super) fn labels(&self, name: &str, shape: &[usize], classes: usize) -> Result<Vec<u32>> {
        let tensor = self.input_of_shape(name, shape)?;
        if !tensor.labels {
            return Err(Error::request(format!("the labels `{name}` are not stored as I64")));
        }
        match tensor.values.iter().position(|label| !(0.0..classes as f64).contains(label)) {
            Some(index) => Err(Error::request(format!(
                "the label {} of `{name}` is {}, expected 0 to {}",
                index,
                tensor.values[index],
                classes - 1
            ))),
            None => Ok(tensor.values.iter().map(|label| *label as u32).collect()),
        }
    }

    /// Refuses inputs other than `known`: a case that is not understood as a whole is not replayed.
    pub(super) fn refuse_others(&self, known: &[String]) -> Result<()> {
        let inputs = self.tensors.keys().filter(|name| !name.starts_with(EXPECT));
        match inputs.into_iter().find(|name| !known.contains(name)) {
            Some(other) => Err(Error::request(format!("the input `{other}` has no meaning in a {} case", self.kind))
                .suggest(other, known.iter().map(String::as_str))),
            None => Ok(()),
        }
    }

    /// How many mentors have logits or parameters: `mentor/0/...`, `mentor/1/...` and so on.
    pub(super) fn mentor_count(&self) -> usize {
        let has = |index: usize| {
            let prefix = format!("mentor/{index}/");
            self.tensors.keys().any(|name| name.starts_with(&prefix))
        };
        (0..).take_while(|index| has(*index)).count()
    }

    /// The folder that a model's own file is relative to.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }
}

fn missing(key: &str) -> Error {
    Error::request(format!("the metadata `{key}` is missing"))
}

fn read_kind(metadata: &HashMap<String, String>) -> Result<(Kind, DType)> {
    let get = |key: &str| metadata.get(key).ok_or_else(|| missing(key));
    let format = metadata.get("format").ok_or_else(|| {
        Error::request("this is no parity case").help(format!("its metadata should say format = {FORMAT}"))
    })?;
    if format != FORMAT {
        return Err(Error::request(format!("the format is `{format}`, expected `{FORMAT}`")));
    }
    let kind = get("kind")?;
    let kind = Kind::ALL.into_iter().find(|one| one.name() == kind).ok_or_else(|| {
        Error::request(format!("no kind of case is called `{kind}`")).suggest(kind, Kind::ALL.map(Kind::name))
    })?;
    let compute = match get("compute")?.as_str() {
        "f32" => DType::F32,
        "f64" => DType::F64,
        other => {
            let error = Error::request(format!("the metadata `compute` is `{other}`"));
            return Err(error.suggest(other, ["f32", "f64"]));
        }
    };
    Ok((kind, compute))
}
