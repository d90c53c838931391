//! What the kernels are counted and timed on: CRD's embedding of 128 numbers against a bank of CIFAR-100's size is too large to
//! be counted; this is a fiftieth of it.

use super::{ByClass, Positive};
use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, keep_gradients, workload};

/// Images of the training split, and of one class.
const IMAGES: usize = 1000;
const MEMBERS: usize = 10;

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    let classes = IMAGES / MEMBERS;
    vec![
        workload("contrast_indices: 1000 images, 512 negatives", Storage::F32, move |probe| {
            let number = probe.integers("number", [1], vec![7]);
            probe.tape.set_randomness(1, number);
            let order = probe.integers("order", [IMAGES], (0..IMAGES as u32).collect());
            let starts = (0..=classes).map(|class| (class * MEMBERS) as u32).collect();
            let starts = probe.integers("starts", [classes + 1], starts);
            let own = probe.integers("own", [batch], (0..batch as u32).collect());
            let labels = probe.integers("labels", [batch], (0..batch).map(|image| (image / MEMBERS) as u32).collect());
            let made = probe.tape.contrast_indices(own, labels, ByClass { order, starts }, 512, Positive::Exact)?;
            keep(probe, made);
            Ok(())
        }),
        workload("bank_products: 128 components, 513 rows", Storage::F32, move |probe| {
            let (x, bank) = (probe.float("x", [batch, 128]), probe.float("bank", [IMAGES, 128]));
            let picks = (0..batch * 513).map(|pick| (pick * 389 % IMAGES) as u32).collect();
            let indices = probe.integers("indices", [batch, 513], picks);
            let products = probe.tape.bank_products(x, bank, indices)?;
            keep_gradients(probe, products, &[x])
        }),
    ]
}
