//! Checkpoints that PyTorch wrote (`tests/fixtures/make_pytorch.py`), whole and damaged.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::error::Error;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch").join(name)
}

/// A tensor's elements, widened.
fn elements(tensor: &Tensor) -> Vec<f64> {
    let bytes = &tensor.bytes;
    match tensor.dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).into()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes).into()).collect(),
        Dtype::I64 => bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
        other => panic!("{other}"),
    }
}

/// Element i of the script's n-th tensor, for the elements that a view shows.
fn numbers(n: usize, shown: &[usize]) -> Vec<f64> {
    shown.iter().map(|i| (*i as f64 + 1.0) / 8.0 + n as f64).collect()
}

fn check_state_dict(found: &[Tensor], prefix: &str) {
    let expected: [(&str, Dtype, &[usize], Vec<f64>); 9] = [
        ("conv.weight", Dtype::F32, &[2, 3, 1, 1], numbers(0, &[0, 1, 2, 3, 4, 5])),
        ("fc.weight", Dtype::F32, &[2, 5], numbers(1, &[0, 2, 4, 6, 8, 1, 3, 5, 7, 9])),
        ("fc.bias", Dtype::F32, &[2], numbers(2, &[9, 13])),
        ("bn.running_mean", Dtype::F32, &[4], numbers(2, &[0, 1, 2, 3])),
        ("bn.num_batches_tracked", Dtype::I64, &[], vec![7.0]),
        ("half", Dtype::F16, &[3], numbers(3, &[0, 1, 2])),
        ("brain", Dtype::BF16, &[3], numbers(4, &[0, 1, 2])),
        ("double", Dtype::F64, &[3], numbers(5, &[0, 1, 2])),
        ("scalar", Dtype::F32, &[], numbers(6, &[0])),
    ];
    assert_eq!(found.len(), expected.len());
    for (found, (name, dtype, shape, values)) in found.iter().zip(&expected) {
        assert_eq!(found.name, format!("{prefix}{name}"));
        assert_eq!((found.dtype, &found.shape[..]), (*dtype, *shape), "{name}");
        assert_eq!(elements(found), *values, "{name}");
    }
}

#[test]
fn state_dicts_of_both_kinds_are_read() {
    check_state_dict(&read(&fixture("state_dict.pth"), None).unwrap(), "");
    check_state_dict(&read(&fixture("state_dict-older.pth"), None).unwrap(), "module.");
}

#[test]
fn the_model_is_found_in_a_trainings_state() {
    check_state_dict(&read(&fixture("training.pth"), None).unwrap(), "");
    check_state_dict(&read(&fixture("training.pth"), Some("model")).unwrap(), "");
    check_state_dict(&read(&fixture("several.pth"), Some("ema.second")).unwrap(), "");
}

#[test]
fn a_module_that_was_saved_whole_has_its_parameters_and_buffers() {
    let found = read(&fixture("module.pth"), None).unwrap();
    let named: Vec<(&str, Vec<f64>)> = found.iter().map(|one| (one.name.as_str(), elements(one))).collect();
    let expected = [
        ("scale", numbers(2, &[0])),
        ("fc.weight", numbers(0, &[0, 1, 2, 3, 4, 5])),
        ("fc.running_mean", numbers(1, &[0, 1])),
    ];
    assert_eq!(named, expected);
}

fn refused(path: &Path, key: Option<&str>, phrases: &[&str]) {
    let error: Error = read(path, key).unwrap_err();
    let text = format!("{error} {}", miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default());
    assert!(phrases.iter().all(|phrase| text.contains(phrase)), "{text}: not all of {phrases:?}");
    assert_eq!(error.exit_status(), 2, "{text}");
}

#[test]
fn what_cannot_be_chosen_is_listed() {
    refused(&fixture("several.pth"), None, &["several state dicts", "--key: a, b"]);
    refused(&fixture("several.pth"), Some("emma.first"), &["no `emma`", "did you mean `ema`?"]);
    refused(&fixture("training.pth"), Some("optimizer"), &["no tensors in it", "epoch, best_acc, model"]);
}

#[test]
fn damaged_files_are_refused_wherever_they_are_cut_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.pth");
    for name in ["state_dict.pth", "state_dict-older.pth"] {
        let whole = fs::read(fixture(name)).unwrap();
        for length in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path, None).is_err(), "{name} cut at {length}");
        }
        // A changed byte gives an error or other numbers; never a panic.
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x41;
            fs::write(&path, &changed).unwrap();
            let _ = read(&path, None);
        }
    }
}

#[test]
fn nothing_is_executed_and_no_storage_is_taken_at_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.pth");
    let make = |object: &[u8]| {
        let mut bytes = archive::OLDER.to_vec();
        bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}.");
        bytes.extend(object);
        bytes.extend(b"\x80\x02]X\x01\x00\x00\x000a.\x02\x00\x00\x00\x00\x00\x00\x00");
        bytes.extend([0, 0, 128, 63, 0, 0, 0, 64]);
        fs::write(&path, bytes).unwrap();
    };
    let tensor = |elements: u8, offset: u8, rows: u8, stride: u8| {
        let mut object =
            b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage".to_vec();
        object.extend(b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu");
        object.extend([b'K', elements, b't', b'Q', b'K', offset, b'K', rows, 0x85, b'K', stride, 0x85]);
        object.extend(b"\x89}tRs.");
        object
    };
    make(&tensor(2, 0, 2, 1));
    assert_eq!(elements(&read(&path, None).unwrap()[0]), [1.0, 2.0]);
    make(&tensor(2, 1, 2, 1));
    refused(&path, None, &["reaches beyond its storage of 2"]);
    make(&tensor(2, 0, 200, 0));
    refused(&path, None, &["shape [200] reaches beyond its storage of 2"]);
    make(&tensor(9, 0, 9, 1));
    refused(&path, None, &["storage 0", "2 elements, expected 9"]);
    make(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.");
    refused(&path, None, &["no state dict"]);
}
