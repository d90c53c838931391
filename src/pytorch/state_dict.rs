//! Where in a checkpoint's object the state dict is, and its tensors.

use std::collections::HashMap;

use safetensors::Dtype;

use super::Tensor;
use super::archive::Archive;
use crate::error::{Error, Result};
use crate::pickle::{Id, Pickle, Value};

/// Under which a training's state usually holds the model, the likeliest first.
const USUAL: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "student"];
/// Modules within modules.
const DEEPEST: usize = 50;

/// A tensor as the pickle describes it: elements of a storage.
pub(super) struct View {
    name: String,
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// A storage as the pickle describes it.
#[derive(Clone)]
struct Storage {
    key: String,
    dtype: Dtype,
    elements: u64,
}

/// The tensors of the state dict that `key` means, or of the one that is there.
pub(super) fn find(archive: &Archive, key: Option<&str>) -> Result<Vec<View>> {
    let pickle = &archive.object;
    let object = match key {
        Some(key) => under(archive, key)?,
        None => the_only(archive)?,
    };
    let mut found = Vec::new();
    collect(pickle, object, "", 0, &mut found);
    if found.is_empty() {
        return Err(Error::request(format!("{}: there are no tensors in it", archive.name())).help(contents(archive)));
    }
    found.into_iter().map(|(name, tensor)| view(pickle, name, tensor)).collect()
}

/// The object under `key`; dots lead into dictionaries.
fn under(archive: &Archive, key: &str) -> Result<Id> {
    let pickle = &archive.object;
    let mut object = pickle.root;
    for part in key.split('.') {
        object = pickle.get(object, part).ok_or_else(|| {
            let here = keys(pickle, object);
            let error = Error::request(format!("{}: there is no `{part}` of `{key}`", archive.name()));
            error.suggest(part, here.iter().map(String::as_str))
        })?;
    }
    Ok(object)
}

/// The state dict or module that the root is, or that is under one of its keys.
fn the_only(archive: &Archive) -> Result<Id> {
    let pickle = &archive.object;
    let holds = |id: Id| {
        let mut found = Vec::new();
        collect(pickle, id, "", 0, &mut found);
        found.len()
    };
    if holds(pickle.root) > 0 {
        return Ok(pickle.root);
    }
    let entries = pickle.entries(pickle.root).unwrap_or_default();
    let named: Vec<(String, Id)> = entries
        .iter()
        .filter(|(_, value)| holds(*value) > 0)
        .filter_map(|(key, value)| Some((String::from_utf8_lossy(pickle.text(*key)?).into_owned(), *value)))
        .collect();
    let usual = USUAL.iter().find_map(|usual| named.iter().find(|(key, _)| key == usual));
    match (&named[..], usual) {
        ([(_, only)], _) | (_, Some((_, only))) => Ok(*only),
        ([], None) => {
            Err(Error::request(format!("{}: it holds no state dict", archive.name())).help(contents(archive)))
        }
        (several, None) => {
            let keys: Vec<&str> = several.iter().map(|(key, _)| key.as_str()).collect();
            let error = Error::request(format!("{}: it holds several state dicts", archive.name()));
            Err(error.help(format!("choose one with --key: {}", keys.join(", "))))
        }
    }
}

/// What a checkpoint holds, for people.
fn contents(archive: &Archive) -> String {
    match keys(&archive.object, archive.object.root) {
        keys if keys.is_empty() => "expected a dictionary of tensors, or one under a key".into(),
        keys => format!("it holds: {}", keys.join(", ")),
    }
}

fn keys(pickle: &Pickle, object: Id) -> Vec<String> {
    let entries = pickle.entries(object).unwrap_or_default().iter();
    entries.filter_map(|(key, _)| pickle.text(*key)).map(|key| String::from_utf8_lossy(key).into_owned()).collect()
}

/// Names and tensors of a dictionary in which everything is a tensor, or of a module that was saved whole.
fn collect(pickle: &Pickle, object: Id, prefix: &str, depth: usize, found: &mut Vec<(String, Id)>) {
    let named = |id: Id| {
        let entries = pickle.entries(id).unwrap_or_default().iter();
        entries.filter_map(|(key, value)| Some((String::from_utf8_lossy(pickle.text(*key)?).into_owned(), *value)))
    };
    if pickle.entries(object).is_some() {
        let before = found.len();
        for (name, value) in named(object) {
            match is_tensor(pickle, value) {
                true => found.push((format!("{prefix}{name}"), value)),
                // Not all are tensors: it is no state dict.
                false => return found.truncate(before),
            }
        }
        return;
    }
    let Value::Made(made) = pickle.value(object) else { return };
    let Some(state) = made.state.filter(|_| depth < DEEPEST) else { return };
    for part in ["_parameters", "_buffers"] {
        let tensors = pickle.get(state, part).into_iter().flat_map(named);
        found.extend(
            tensors
                .filter(|(_, value)| is_tensor(pickle, *value))
                .map(|(name, value)| (format!("{prefix}{name}"), value)),
        );
    }
    for (name, module) in pickle.get(state, "_modules").into_iter().flat_map(named) {
        collect(pickle, module, &format!("{prefix}{name}."), depth + 1, found);
    }
}

/// Of what a tensor is made, if it is one: its storage, and the rest of what `_rebuild_tensor_v2` is given.
fn rebuilt(pickle: &Pickle, id: Id) -> Option<&[Id]> {
    let (name, made) = pickle.made(id)?;
    match (name.module.as_str(), name.name.as_str()) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") if made.arguments.len() >= 4 => {
            Some(&made.arguments)
        }
        // A parameter is a tensor and whether it learns.
        ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => {
            let inner = *made.arguments.first()?;
            if inner < id { rebuilt(pickle, inner) } else { None }
        }
        _ => None,
    }
}

fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    rebuilt(pickle, id).is_some()
}

/// What a tensor's pickle says of it.
fn view(pickle: &Pickle, name: String, id: Id) -> Result<View> {
    let wrong = |what: &str| pickle.error(id, format!("tensor `{name}`: {what}"));
    let [storage, offset, shape, strides, ..] = rebuilt(pickle, id).unwrap_or_default() else {
        return Err(wrong("it is not made as tensors are"));
    };
    let extents = |id: Id| -> Option<Vec<usize>> {
        pickle.items(id)?.iter().map(|extent| usize::try_from(pickle.integer(*extent)?).ok()).collect()
    };
    let offset = pickle.integer(*offset).and_then(|offset| usize::try_from(offset).ok());
    match (storage_of(pickle, *storage), offset, extents(*shape), extents(*strides)) {
        (Some(Ok(storage)), Some(offset), Some(shape), Some(strides)) if shape.len() == strides.len() => {
            Ok(View { name, storage, offset, shape, strides })
        }
        (Some(Err(kind)), ..) => Err(wrong(&format!("it is kept in a `{kind}`, which no weights are"))),
        _ => Err(wrong("its storage, shape or strides cannot be read")),
    }
}

/// A storage as `("storage", type, key, device, elements)` describes it; or the name of a type that is unknown.
fn storage_of(pickle: &Pickle, id: Id) -> Option<Result<Storage, String>> {
    let Value::Persistent(described) = pickle.value(id) else { return None };
    let [_, kind, key, _, elements, ..] = pickle.items(*described)? else { return None };
    let Value::Global(kind) = pickle.value(*kind) else { return None };
    let dtype = match kind.name.as_str() {
        "FloatStorage" => Dtype::F32,
        "DoubleStorage" => Dtype::F64,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        other => return Some(Err(other.to_string())),
    };
    let key = String::from_utf8_lossy(pickle.text(*key)?).into_owned();
    let elements = u64::try_from(pickle.integer(*elements)?).ok()?;
    Some(Ok(Storage { key, dtype, elements }))
}

/// Reads a tensor's elements out of its storage, and brings them into order; `sizes` are [`sizes`].
pub(super) fn tensor(archive: &mut Archive, view: View, sizes: &HashMap<String, u64>) -> Result<Tensor> {
    let View { name, storage, offset, shape, strides } = view;
    let size = storage.dtype.bitsize() / 8;
    // The last element that is looked at.
    let reach = shape
        .iter()
        .zip(&strides)
        .try_fold(offset, |reach, (extent, stride)| reach.checked_add(extent.saturating_sub(1).checked_mul(*stride)?));
    let count = shape.iter().try_fold(1usize, |count, extent| count.checked_mul(*extent));
    let fits = reach.is_some_and(|reach| count == Some(0) || (reach as u64) < storage.elements);
    // A view that shows elements more than once could be of any size.
    let (Some(count), true) = (count.filter(|count| *count as u64 <= storage.elements), fits) else {
        let message = format!("tensor `{name}` of shape {shape:?} reaches beyond its storage of {}", storage.elements);
        return Err(Error::request(format!("{}: {message}", archive.name())));
    };
    let all = archive.storage(&storage.key, storage.elements, size as u64, sizes)?;
    let mut bytes = Vec::with_capacity(count * size);
    let mut index = vec![0; shape.len()];
    for _ in 0..count {
        let place = offset + index.iter().zip(&strides).map(|(index, stride)| index * stride).sum::<usize>();
        bytes.extend_from_slice(&all[place * size..][..size]);
        for (index, extent) in index.iter_mut().zip(&shape).rev() {
            *index += 1;
            if *index < *extent {
                break;
            }
            *index = 0;
        }
    }
    Ok(Tensor { name, dtype: storage.dtype, shape, bytes })
}

/// Bytes of an element of every storage that a pickle speaks of.
pub(super) fn sizes(pickle: &Pickle) -> HashMap<String, u64> {
    let storages = pickle.ids().filter_map(|id| storage_of(pickle, id)).flatten();
    storages.map(|storage| (storage.key, storage.dtype.bitsize() as u64 / 8)).collect()
}
