//! A model's weights as a safetensors file under PyTorch's names, shapes and order of elements, so that a state dict
//! saved by PyTorch loads as it is and the other way round.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::durable::{RealDisk, replace_file_on};
use super::folder::{CONFIG, MODELS, weights_in};
use super::log::json_line;
use super::records::Phase;
use super::tensor_file;
use crate::pytorch::{self, Tensor};
use crate::{Error, Result};

/// The one metadata key: with two, the order in the file would not be fixed.
const KEY: &str = "kd-engine";
/// PyTorch's counter of training batches; nothing is computed from it.
const IGNORED: &str = "num_batches_tracked";
/// What wrappers put before every name: `DataParallel` and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// How many differences an error lists.
const LISTED: usize = 5;

/// What a weights file says of its model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The model's name in the zoo.
    pub model: String,
    /// Number of classes.
    pub classes: usize,
    /// Their names, in the order of the labels.
    pub class_names: Vec<String>,
    /// Input extents `[H, W, C]`.
    pub input: [usize; 3],
    /// Normalisation: `(pixel / 255 - mean) / std`, per channel.
    pub mean: Vec<f64>,
    /// See `mean`.
    pub std: Vec<f64>,
    /// How the weights came to be.
    pub trained: Training,
}

/// How weights were trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Pretraining or distillation.
    pub phase: Phase,
    /// The method.
    pub method: String,
    /// The seed.
    pub seed: u64,
    /// Epochs.
    pub epochs: u64,
    /// Name of the data.
    pub data: String,
}

/// What a weights file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The tensors asked for, by name, in PyTorch's order of elements.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// What the file says of its model, if this engine wrote it.
    pub card: Option<ModelCard>,
}

/// Writes `tensors` (name, shape, elements) and their card, if there is one, to `path`: written aside, synced, renamed.
/// The same model gives the same bytes every time: tensors by name, one metadata key with canonical JSON.
///
/// # Errors
/// The file cannot be written, a tensor does not fit its shape, or two share a name.
pub fn save(path: &Path, tensors: &[(&str, &[usize], &[f32])], card: Option<&ModelCard>) -> Result<()> {
    let fault = |what: String| Error::failed(format!("cannot save {}: {what}", path.display()));
    let mut views: Vec<(&str, TensorView)> = Vec::with_capacity(tensors.len());
    for (name, shape, elements) in tensors {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytemuck::cast_slice(elements))
            .map_err(|error| fault(format!("`{name}`: {error}")))?;
        views.push((name, view));
    }
    let metadata = card.map(|card| Ok(HashMap::from([(KEY.to_string(), canonical(card)?)]))).transpose()?;
    let parts = tensor_file::parts(views, metadata).map_err(fault)?;
    replace_file_on(&RealDisk, path, &parts).map_err(|error| Error::writing(path, error))
}

/// JSON with sorted keys and no spaces.
fn canonical(card: &ModelCard) -> Result<String> {
    let text = json_line(card)?;
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON that was just written");
    value.sort_all_objects();
    Ok(value.to_string())
}

/// The weights file meant by `path`: itself, or in a run's folder the final weights of `role` (`teacher`, `peer-1`, or
/// `student-<method>-seed<N>`).
///
/// # Errors
/// A folder that is not a run's, or a run that has no such weights (yet); the ones it has are listed.
pub fn locate(path: &Path, role: &str) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let shown = path.display();
    if !path.join(CONFIG).is_file() {
        return Err(Error::request(format!("{shown} is neither a weights file nor a run's folder"))
            .help("give a .safetensors file, or a folder that `kd-engine run` made"));
    }
    let file = weights_in(path, role);
    if file.is_file() {
        return Ok(file);
    }
    let stems = roles(path);
    let error = Error::request(format!("the run {shown} has no weights of `{role}`"));
    if stems.is_empty() {
        return Err(error.help("it has no final weights at all: it was not finished (continue it with --resume)"));
    }
    Err(error.suggest(role, stems.iter().map(String::as_str)))
}

/// Whose final weights the run's folder `run` holds, by name: `peer-1`, `student-kd-seed1`, `teacher`, ...
pub fn roles(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join(MODELS)).into_iter().flatten().flatten();
    let mut stems: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter_map(|name| Some(name.strip_suffix(".safetensors")?.to_string()).filter(|stem| !stem.starts_with('.')))
        .collect();
    stems.sort();
    stems
}

/// Reads the tensors `expected` (name, shape) from the safetensors file at `path`, or from a checkpoint of PyTorch.
/// F16, BF16 and F64 are converted to f32; the prefix of a wrapper that stands before every name is taken off;
/// `num_batches_tracked` is ignored.
///
/// # Errors
/// The file cannot be read, is damaged (with the byte), holds other names or shapes (the first differences are listed),
/// types that are not floating point, or numbers that are not finite.
pub fn load(path: &Path, expected: &[(&str, &[usize])]) -> Result<Loaded> {
    let (tensors, card) = tensors(path)?;
    Ok(Loaded { tensors: chosen(path, &tensors, expected, card.as_ref())?, card })
}

/// A checkpoint that `torch.save` wrote, as [`load`] would take it: `key` says where in it the state dict is.
///
/// # Errors
/// As [`pytorch::read`].
pub fn checkpoint(path: &Path, key: Option<&str>) -> Result<Vec<Tensor>> {
    Ok(unwrapped(pytorch::read(path, key)?))
}

fn tensor(name: &str, view: &TensorView) -> Tensor {
    Tensor { name: name.into(), dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() }
}

/// Tensors without a wrapper's prefix, and without what nothing is computed from.
fn unwrapped(mut tensors: Vec<Tensor>) -> Vec<Tensor> {
    for wrapper in WRAPPERS {
        if !tensors.is_empty() && tensors.iter().all(|one| one.name.starts_with(wrapper)) {
            tensors.iter_mut().for_each(|one| drop(one.name.drain(..wrapper.len())));
        }
    }
    tensors.retain(|one| one.name.rsplit('.').next() != Some(IGNORED));
    tensors
}

/// Of `tensors`, which are those of the file at `path`, the elements of those that are `expected`, which have to be all.
///
/// # Errors
/// As [`load`].
pub fn chosen(
    path: &Path,
    tensors: &[Tensor],
    expected: &[(&str, &[usize])],
    card: Option<&ModelCard>,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let found: BTreeMap<&str, &Tensor> = tensors.iter().map(|one| (one.name.as_str(), one)).collect();
    compare(path, &found, expected, card)?;
    let elements = |name: &str| {
        to_f32(found[name]).map_err(|what| Error::request(format!("{}: tensor `{name}` {what}", path.display())))
    };
    expected.iter().map(|(name, _)| Ok((name.to_string(), elements(name)?))).collect()
}

/// Names and shapes of the tensors in the file at `path`, as [`load`] would call them.
///
/// # Errors
/// The file cannot be read or is damaged.
pub fn shapes(path: &Path) -> Result<BTreeMap<String, Vec<usize>>> {
    let (tensors, _) = tensors(path)?;
    Ok(tensors.into_iter().map(|one| (one.name, one.shape)).collect())
}

/// All tensors of a file of either kind, and what it says of its model.
fn tensors(path: &Path) -> Result<(Vec<Tensor>, Option<ModelCard>)> {
    let bytes = fs::read(path).map_err(|error| Error::reading(path, error))?;
    if pytorch::is_checkpoint(&bytes) {
        drop(bytes);
        return Ok((checkpoint(path, None)?, None));
    }
    let file = parse(path, &bytes)?;
    let card = read_card(path, &bytes)?;
    Ok((unwrapped(file.iter().map(|(name, view)| tensor(name, &view)).collect()), card))
}

/// One way in which a file does not fit.
enum Difference<'a> {
    Missing(&'a str, &'a [usize]),
    Unexpected(&'a str, &'a [usize]),
    Shape { name: &'a str, found: &'a [usize], expected: &'a [usize] },
}

fn compare(
    path: &Path,
    found: &BTreeMap<&str, &Tensor>,
    expected: &[(&str, &[usize])],
    card: Option<&ModelCard>,
) -> Result<()> {
    let mut differences = Vec::new();
    for (name, shape) in expected {
        match found.get(*name) {
            None => differences.push(Difference::Missing(name, shape)),
            Some(one) if one.shape != *shape => {
                differences.push(Difference::Shape { name, found: &one.shape, expected: shape });
            }
            Some(_) => {}
        }
    }
    let names: std::collections::BTreeSet<&str> = expected.iter().map(|(name, _)| *name).collect();
    let unexpected = found.iter().filter(|(name, _)| !names.contains(*name));
    differences.extend(unexpected.map(|(name, one)| Difference::Unexpected(name, &one.shape)));
    if differences.is_empty() {
        return Ok(());
    }
    let of = card.map(|card| format!(" (trained as {}, by {})", card.model, card.trained.method)).unwrap_or_default();
    let mut message = format!("the weights in {}{of} do not fit the model:", path.display());
    for difference in differences.iter().take(LISTED) {
        let _ = match difference {
            Difference::Missing(name, shape) => write!(message, "\n  {name}: missing, expected shape {shape:?}"),
            Difference::Unexpected(name, shape) => write!(message, "\n  {name}: unexpected, of shape {shape:?}"),
            Difference::Shape { name, found, expected } => {
                write!(message, "\n  {name}: shape {found:?}, expected {expected:?}")
            }
        };
    }
    if differences.len() > LISTED {
        let _ = write!(message, "\n  and {} more differences", differences.len() - LISTED);
    }
    let error = Error::request(message);
    Err(match only_classes_differ(&differences) {
        Some((found, expected)) => {
            let help = format!("only the classifier differs: trained for {found} classes, the data has {expected}");
            error.help(help)
        }
        None => error,
    })
}

/// The two numbers of classes, where every difference is an outermost extent that is the one instead of the other.
fn only_classes_differ(differences: &[Difference]) -> Option<(usize, usize)> {
    let mut classes = differences.iter().map(|difference| match difference {
        Difference::Shape { found: [found, left @ ..], expected: [expected, right @ ..], .. } if left == right => {
            Some((*found, *expected))
        }
        _ => None,
    });
    let first = classes.next()??;
    // A classifier is its weight and its bias; what differs in more places is another model.
    (differences.len() <= 2 && classes.all(|pair| pair == Some(first))).then_some(first)
}

fn to_f32(tensor: &Tensor) -> Result<Vec<f32>, String> {
    let bytes = &tensor.bytes;
    let elements: Vec<f32> = match tensor.dtype {
        Dtype::F32 => convert(bytes, f32::from_le_bytes),
        Dtype::F16 => convert(bytes, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => convert(bytes, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F64 => convert(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        other => return Err(format!("has the type {other}, expected F32, F16, BF16 or F64")),
    };
    match elements.iter().position(|element| !element.is_finite()) {
        Some(index) => Err(format!("holds {} at element {index}, expected finite numbers", elements[index])),
        None => Ok(elements),
    }
}

fn convert<const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|bytes| element(*bytes)).collect()
}

/// Reads the header and checks that the tensors cover the file; says at which byte it goes wrong.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    let size = bytes.len();
    SafeTensors::deserialize(bytes).map_err(|error| {
        let header = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
        let what = match error {
            SafeTensorError::HeaderTooSmall => {
                format!("ends at byte {size}, expected the 8 bytes of the header's length")
            }
            SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => format!(
                "byte 0 says that the header has {header} bytes, but the file ends at byte {size}: it is truncated or \
                 not a safetensors file"
            ),
            SafeTensorError::InvalidHeader(error) => {
                format!("the header is not text at byte {}", 8 + error.valid_up_to())
            }
            // The header is a single line as a rule, so a column is a byte.
            SafeTensorError::InvalidHeaderDeserialization(error) => {
                format!("the header is not valid at byte {}: {error}", 7 + error.column())
            }
            SafeTensorError::MetadataIncompleteBuffer => match data_end(bytes, header) {
                Some(end) => format!("ends at byte {size}, but its tensors end at byte {end}"),
                None => format!("ends at byte {size}, where its tensors do not end"),
            },
            error => format!("the header at byte 8 is not valid: {error}"),
        };
        Error::request(format!("{}: {what}", path.display()))
    })
}

/// Where the last tensor ends, by the header.
fn data_end(bytes: &[u8], header: u64) -> Option<u64> {
    let text = bytes.get(8..8 + usize::try_from(header).ok()?)?;
    let header_value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let end = |tensor: &serde_json::Value| tensor.get("data_offsets")?.get(1)?.as_u64();
    header_value.as_object()?.values().filter_map(end).max()?.checked_add(8 + header)
}

/// The card; none in files of other programs.
fn read_card(path: &Path, bytes: &[u8]) -> Result<Option<ModelCard>> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| Error::request(format!("{}: {error}", path.display())))?;
    let Some(text) = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY)) else { return Ok(None) };
    let card = serde_json::from_str(text)
        .map_err(|error| Error::request(format!("{}: the metadata `{KEY}`: {error}", path.display())))?;
    Ok(Some(card))
}

/// The card of a weights file, without its tensors; none in files of other programs.
///
/// # Errors
/// The file cannot be read or is damaged.
pub fn card(path: &Path) -> Result<Option<ModelCard>> {
    let bytes = fs::read(path).map_err(|error| Error::reading(path, error))?;
    if pytorch::is_checkpoint(&bytes) {
        return Ok(None);
    }
    parse(path, &bytes)?;
    read_card(path, &bytes)
}

#[cfg(test)]
mod tests;
