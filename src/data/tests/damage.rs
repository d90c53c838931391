//! Whatever happens to a file, reading it ends in a data set or an error.

use std::fs;

use proptest::prelude::*;

use super::cifar::{hundred_binary, hundred_python, tar, ten_python};
use super::folder::{colour, grey};
use super::idx::{gzip, images, labels};
use crate::data::open;

/// Archives of every kind, as small as they can be.
fn archives() -> Vec<Vec<u8>> {
    let files = |files: &[(&str, Vec<u8>)]| {
        tar(&files.iter().map(|(name, content)| (name.to_string(), content.clone())).collect::<Vec<_>>())
    };
    let pictures = files(&[("train/cat/1.png", grey(1)), ("train/dog/1.png", colour(2)), ("test/cat/1.png", grey(3))]);
    let numbers = files(&[
        ("train-images-idx3-ubyte", images(3, 2, 2)),
        ("train-labels-idx1-ubyte.gz", gzip(&labels(&[0, 1, 2]))),
        ("t10k-images-idx3-ubyte", images(1, 2, 2)),
        ("t10k-labels-idx1-ubyte", labels(&[1])),
    ]);
    let plain = [pictures, numbers, tar(&hundred_binary()), tar(&hundred_python()), tar(&ten_python())];
    plain.iter().cloned().chain(plain.iter().map(|archive| gzip(archive))).collect()
}

/// Where the damage goes: half of it where headers and dictionaries are, since most bytes are pixels.
fn place(length: usize, at: u32, early: bool) -> usize {
    at as usize % if early { length.min(1200) } else { length }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_panics(
        flips in prop::collection::vec((any::<u32>(), any::<u8>(), any::<bool>()), 0..4),
        cut in prop::option::of(any::<u32>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("set.tar");
        for archive in archives() {
            let mut damaged = archive.clone();
            for (at, value, early) in &flips {
                let place = place(damaged.len(), *at, *early);
                damaged[place] ^= value;
            }
            if let Some(cut) = cut {
                damaged.truncate(cut as usize % damaged.len());
            }
            fs::write(&file, &damaged).unwrap();
            match open(None, Some(&file)) {
                Ok(dataset) => prop_assert_eq!(dataset.train.images.len(), dataset.train.len() * dataset.image_bytes()),
                Err(error) => prop_assert!(error.exit_status() == 2 && error.to_string().contains("set.tar")),
            }
            if damaged == archive {
                prop_assert!(open(None, Some(&file)).is_ok());
            } else if cut.is_some() && flips.is_empty() && damaged.len() + 1024 <= archive.len() {
                prop_assert!(open(None, Some(&file)).is_err(), "{} of {} bytes", damaged.len(), archive.len());
            }
        }
    }
}
