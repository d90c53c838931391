//! Fashion-MNIST: the balanced subset inside the binary, and the full set where Debian's package puts it.
//!
//! Xiao, Rasul, Vollgraf: "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms", 2017.
//! MIT licence, (c) 2017 Zalando SE; the notice is in `data/fashion-mnist-small/LICENSE`.

use std::path::Path;

use super::dataset::Dataset;
use super::idx::{self, Known, read_images, read_labels};
use super::normalisation::Normalisation;
use crate::stream::ByteStream;
use crate::{Error, Result};

/// Where the Debian package `dataset-fashion-mnist` puts the full set.
pub(super) const INSTALLED: &str = "/usr/share/datasets/fashion-mnist";

/// The licence that must travel with the embedded images.
pub const EMBEDDED_LICENSE: &str = include_str!("../../data/fashion-mnist-small/LICENSE");

const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

fn known(name: &'static str) -> Known {
    Known { name, classes: Some(&CLASSES), normalisation: Some(Normalisation::published(&[0.2860], &[0.3530])) }
}

/// The subset inside the binary: 8,000 training and 2,000 test images, [28, 28, 1], 10 classes.
pub(super) fn embedded() -> Result<Dataset> {
    macro_rules! file {
        ($name:literal) => {
            ByteStream::new(
                concat!("embedded ", $name),
                &include_bytes!(concat!("../../data/fashion-mnist-small/", $name))[..],
                None,
            )?
        };
    }
    idx::assemble(
        (read_images(file!("train-images-idx3-ubyte.gz"))?, read_labels(file!("train-labels-idx1-ubyte.gz"))?),
        (read_images(file!("t10k-images-idx3-ubyte.gz"))?, read_labels(file!("t10k-labels-idx1-ubyte.gz"))?),
        known("embedded"),
    )
}

/// The full set, in `folder`.
pub(super) fn installed(folder: &Path) -> Result<Dataset> {
    if !folder.is_dir() {
        return Err(Error::request(format!("the full Fashion-MNIST is not installed: no {}", folder.display()))
            .help("install the Debian package dataset-fashion-mnist, or use source \"embedded\""));
    }
    idx::open(folder, known("fashion-mnist"))
}
