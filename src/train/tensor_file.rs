//! Safetensors files in parts, so that saving a model needs no second copy of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use safetensors::tensor::{Metadata, TensorInfo, TensorView};

/// The header's length stands first, in eight bytes; the header is filled up to a multiple of as many.
const ALIGNMENT: usize = 8;

/// The bytes of a safetensors file: the header, then every tensor's own. The same tensors give the same bytes, as the
/// safetensors crate writes them: the most aligned types first, then by name.
///
/// # Errors
/// Says what is wrong if two tensors share a name or the header cannot be written.
pub(super) fn parts<'a>(
    mut tensors: Vec<(&str, TensorView<'a>)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<Cow<'a, [u8]>>, String> {
    tensors.sort_by(|(left_name, left), (right_name, right)| {
        right.dtype().cmp(&left.dtype()).then(left_name.cmp(right_name))
    });
    let (mut end, mut names) = (0, HashSet::new());
    let mut infos: Vec<(String, TensorInfo)> = Vec::with_capacity(tensors.len());
    for (name, view) in &tensors {
        if !names.insert(*name) {
            return Err(format!("two tensors are named `{name}`"));
        }
        let start = end;
        end += view.data().len();
        let info = TensorInfo { dtype: view.dtype(), shape: view.shape().to_vec(), data_offsets: (start, end) };
        infos.push((name.to_string(), info));
    }
    let header = Metadata::new(metadata, infos).map_err(|error| error.to_string())?;
    let mut header = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    let length = header.len() as u64;
    header.splice(0..0, length.to_le_bytes());
    let tensors = tensors.iter().map(|(_, view)| Cow::Borrowed(view.data()));
    Ok(std::iter::once(Cow::Owned(header)).chain(tensors).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::Dtype;

    #[test]
    fn the_bytes_are_those_that_the_crate_writes() {
        let bytes: Vec<u8> = (0..48).collect();
        let view = |dtype, shape: &[usize], range| TensorView::new(dtype, shape.to_vec(), &bytes[range]).unwrap();
        let tensors = vec![
            ("b", view(Dtype::F32, &[2, 3], 0..24)),
            ("a", view(Dtype::U8, &[5], 3..8)),
            ("d", view(Dtype::F64, &[], 8..16)),
            ("c", view(Dtype::F32, &[0], 0..0)),
        ];
        let metadata = Some(HashMap::from([("key".to_string(), "{\"x\":1}".to_string())]));
        let expected = safetensors::serialize(tensors.clone(), metadata.clone()).unwrap();
        assert_eq!(parts(tensors.clone(), metadata).unwrap().concat(), expected);
        assert_eq!(parts(tensors.clone(), None).unwrap().concat(), safetensors::serialize(tensors, None).unwrap());
    }

    #[test]
    fn names_are_unique() {
        let view = TensorView::new(Dtype::U8, vec![1], &[0]).unwrap();
        let error = parts(vec![("a", view.clone()), ("a", view)], None).unwrap_err();
        assert_eq!(error, "two tensors are named `a`");
    }
}
