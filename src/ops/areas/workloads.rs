//! What the kernels are counted and timed on: eight areas of SoKD's heatmap.

use super::Overlap;
use crate::ops::case::{Case, Storage};
use crate::ops::workloads::{keep, workload};

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![workload("peak_areas, box_mask: 8 of 16x16x100", Storage::F32, move |probe| {
        let heat = probe.float("heat", [batch, 16, 16, 100]);
        let (size, offset) = (probe.float("size", [batch, 16, 16, 2]), probe.float("offset", [batch, 16, 16, 2]));
        let boxes = probe.tape.peak_areas(heat, size, offset, 8)?;
        let mask = probe.tape.box_mask(boxes, 16, 16, Overlap::Count)?;
        keep(probe, mask);
        Ok(())
    })]
}
