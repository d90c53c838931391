//! What strong views cost.

use super::RandAugment;
use crate::ops::batch::{Augmentation, BatchSource};
use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let of = |storage| {
        workload("strong_view: 32x32x3, 2 operations", storage, move |probe| {
            let images = 4 * batch;
            let bytes = (0..images * 3072).map(|index| (index * 31 % 251) as u8).collect();
            let source = BatchSource {
                images: probe.bytes("images", [images, 32, 32, 3], bytes),
                labels: probe.integers("all labels", [images], vec![0; images]),
                indices: probe.integers("indices", [batch], (0..batch as u32).map(|index| 3 * index + 1).collect()),
                step: probe.integers("step", [1], vec![7]),
            };
            let augmentation = Augmentation { crop_padding: 4, flip: true };
            let distortions = RandAugment::default();
            let view = probe.tape.strong_view(&source, &[0.5; 3], &[0.25; 3], augmentation, distortions, 1)?;
            keep(probe, view);
            Ok(())
        })
    };
    vec![of(Storage::F32), of(Storage::Bf16)]
}
