//! Equal bytes, other types, files that do not fit and files that are damaged.

use super::*;
use crate::error::Kind;

fn a_card() -> ModelCard {
    ModelCard {
        model: "resnet8".into(),
        classes: 2,
        class_names: vec!["Bag".into(), "Ankle \"boot\"".into()],
        input: [28, 28, 1],
        mean: vec![0.2860],
        std: vec![0.3530],
        trained: Training {
            phase: Phase::Distil,
            method: "classroomkd".into(),
            seed: 3,
            epochs: 8,
            data: "embedded".into(),
        },
    }
}

const WEIGHT: [f32; 6] = [0.5, -1.25, 3.0, 0.0, 1e-3, -7.5];
const BIAS: [f32; 2] = [0.25, -0.75];
const EXPECTED: [(&str, &[usize]); 2] = [("fc.weight", &[2, 3]), ("fc.bias", &[2])];

fn saved() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    save(&path, &[("fc.weight", &[2, 3], &WEIGHT), ("fc.bias", &[2], &BIAS)], Some(&a_card())).unwrap();
    (folder, path)
}

/// Writes a file as another program would.
fn foreign(path: &Path, tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)>) {
    let views: Vec<_> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()))
        .collect();
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn what_is_saved_is_loaded_and_saving_again_gives_the_same_bytes() {
    let (folder, path) = saved();
    let loaded = load(&path, &EXPECTED).unwrap();
    assert_eq!(loaded.tensors["fc.weight"], WEIGHT);
    assert_eq!(loaded.tensors["fc.bias"], BIAS);
    assert_eq!(loaded.card, Some(a_card()));
    assert_eq!(card(&path).unwrap(), Some(a_card()));
    let bytes = fs::read(&path).unwrap();
    for round in 0..20 {
        let again = folder.path().join(format!("{round}.safetensors"));
        save(&again, &[("fc.bias", &[2], &BIAS), ("fc.weight", &[2, 3], &WEIGHT)], Some(&a_card())).unwrap();
        assert_eq!(fs::read(&again).unwrap(), bytes);
    }
    let metadata = String::from_utf8_lossy(&bytes);
    let position = |key: &str| metadata.find(&format!(r#"\"{key}\""#)).unwrap_or_else(|| panic!("no {key}"));
    let keys = ["class_names", "classes", "input", "mean", "model", "std", "trained", "data", "epochs", "method"];
    assert!(keys.windows(2).all(|pair| position(pair[0]) < position(pair[1])), "keys are sorted");
    // A run's folder stands for the weights of the role.
    let run = folder.path().join("run");
    fs::create_dir_all(run.join(MODELS)).unwrap();
    fs::write(run.join(CONFIG), "").unwrap();
    assert!(locate(&run, "peer-1").unwrap_err().to_string().contains("has no weights of `peer-1`"));
    fs::copy(&path, run.join("models/peer-1.safetensors")).unwrap();
    assert_eq!(locate(&run, "peer-1").unwrap(), run.join("models/peer-1.safetensors"));
    assert_eq!(locate(&path, "peer-1").unwrap(), path);
    let error = locate(&run, "peer-2").unwrap_err();
    assert_eq!(miette::Diagnostic::help(&error).unwrap().to_string(), "did you mean `peer-1`?");
    assert!(locate(folder.path(), "peer-1").unwrap_err().to_string().contains("neither"));
}

#[test]
fn other_types_and_wrappers_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let half: Vec<u8> = WEIGHT.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect();
    let brain: Vec<u8> = BIAS.iter().flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()).collect();
    let double: Vec<u8> = BIAS.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
    for prefix in ["", "module.", "_orig_mod.", "module._orig_mod."] {
        let named = |name: &str| format!("{prefix}{name}");
        let (weight, bias, running, batches) =
            (named("fc.weight"), named("fc.bias"), named("bn.mean"), named("bn.num_batches_tracked"));
        foreign(
            &path,
            vec![
                (&weight, Dtype::F16, vec![2, 3], half.clone()),
                (&bias, Dtype::BF16, vec![2], brain.clone()),
                (&running, Dtype::F64, vec![2], double.clone()),
                (&batches, Dtype::I64, vec![], vec![1; 8]),
            ],
        );
        let loaded = load(&path, &[EXPECTED[0], EXPECTED[1], ("bn.mean", &[2])]).unwrap();
        assert_eq!(loaded.card, None);
        assert_eq!(loaded.tensors["fc.bias"], BIAS, "exact in bfloat16");
        assert_eq!(loaded.tensors["bn.mean"], BIAS);
        for (loaded, value) in loaded.tensors["fc.weight"].iter().zip(WEIGHT) {
            assert_eq!(*loaded, half::f16::from_f32(value).to_f32());
        }
    }
}

#[test]
fn weights_that_do_not_fit_list_the_first_differences() {
    let (_folder, path) = saved();
    let expected: Vec<(String, Vec<usize>)> = (0..7).map(|index| (format!("conv{index}.weight"), vec![4])).collect();
    let mut expected: Vec<(&str, &[usize])> =
        expected.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
    expected.insert(0, ("fc.weight", &[3, 2]));
    let error = load(&path, &expected).unwrap_err();
    assert_eq!(error.kind(), Kind::Request);
    let lines: Vec<String> = error.to_string().lines().map(String::from).collect();
    assert!(lines[0].ends_with("m.safetensors (trained as resnet8, by classroomkd) do not fit the model:"), "{error}");
    assert_eq!(lines[1], "  fc.weight: shape [2, 3], expected [3, 2]");
    assert_eq!(lines[2], "  conv0.weight: missing, expected shape [4]");
    assert_eq!(lines.last().unwrap(), "  and 4 more differences");
    let error = load(&path, &EXPECTED[..1]).unwrap_err();
    assert!(error.to_string().ends_with("\n  fc.bias: unexpected, of shape [2]"), "{error}");
}

#[test]
fn another_number_of_classes_is_said_so() {
    let (_folder, path) = saved();
    let error = load(&path, &[("fc.weight", &[10, 3]), ("fc.bias", &[10])]).unwrap_err();
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert_eq!(help, "only the classifier differs: trained for 2 classes, the data has 10");
    let error = load(&path, &[("fc.weight", &[10, 4]), ("fc.bias", &[10])]).unwrap_err();
    assert!(miette::Diagnostic::help(&error).is_none());
}

#[test]
fn a_file_cut_at_any_byte_is_an_error_that_names_file_and_byte() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        fs::write(&path, &whole[..at]).unwrap();
        let error = load(&path, &EXPECTED).unwrap_err();
        assert_eq!(error.kind(), Kind::Request);
        let message = error.to_string();
        assert!(message.contains("m.safetensors") && message.contains(&format!("ends at byte {at}")), "{message}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    fs::write(&path, &longer).unwrap();
    let message = load(&path, &EXPECTED).unwrap_err().to_string();
    assert!(message.ends_with(&format!("ends at byte {}, but its tensors end at byte {}", longer.len(), whole.len())));
}

#[test]
fn damaged_headers_never_panic_and_name_a_byte() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    for at in 0..header {
        let mut damaged = whole.clone();
        damaged[at] = 0xff;
        fs::write(&path, &damaged).unwrap();
        let message = load(&path, &EXPECTED).unwrap_err().to_string();
        assert!(message.contains("m.safetensors") && message.contains("byte"), "byte {at}: {message}");
    }
    fs::write(&path, b"PK\x03\x04 this begins as a checkpoint of PyTorch does").unwrap();
    assert!(load(&path, &EXPECTED).unwrap_err().to_string().contains("no checkpoint that torch.save writes"));
    fs::write(&path, b"neither the one nor the other").unwrap();
    assert!(load(&path, &EXPECTED).unwrap_err().to_string().contains("not a safetensors file"));
}

#[test]
fn numbers_that_are_not_finite_and_integer_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let bias =
        |dtype, bytes| vec![("fc.weight", Dtype::F32, vec![2, 3], floats(&WEIGHT)), ("fc.bias", dtype, vec![2], bytes)];
    foreign(&path, bias(Dtype::F32, floats(&[1.0, f32::NAN])));
    let message = load(&path, &EXPECTED).unwrap_err().to_string();
    assert!(message.ends_with("tensor `fc.bias` holds NaN at element 1, expected finite numbers"), "{message}");
    foreign(&path, bias(Dtype::F64, [1.0f64, 1e300].iter().flat_map(|value| value.to_le_bytes()).collect()));
    assert!(load(&path, &EXPECTED).unwrap_err().to_string().contains("holds inf at element 1"));
    foreign(&path, bias(Dtype::I32, vec![0; 8]));
    assert!(load(&path, &EXPECTED).unwrap_err().to_string().contains("has the type I32, expected F32"));
}

#[test]
fn saving_refuses_wrong_shapes_and_numbers_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    assert!(save(&path, &[("a", &[3], &BIAS)], Some(&a_card())).unwrap_err().to_string().contains("`a`"));
    let twice: [(&str, &[usize], &[f32]); 2] = [("a", &[2], &BIAS), ("a", &[2], &BIAS)];
    assert!(save(&path, &twice, Some(&a_card())).unwrap_err().to_string().contains("two tensors"));
    let card = ModelCard { std: vec![f64::NAN], ..a_card() };
    assert!(save(&path, &[("a", &[2], &BIAS)], Some(&card)).unwrap_err().to_string().contains("`std` is not a finite"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
