//! Distinctive areas: where the student's map, brought into the teacher's space, is read by three heads that the teacher's
//! map passes through as well; a heatmap of classes, sizes, and offsets of centres. What the heads make of both has to be
//! alike, and the boxes around the highest peaks of the student's heatmap say where the maps themselves are compared.
//!
//! A head is a 3x3 convolution, ReLU, a 1x1 convolution, ReLU, without BatchNorm; a sigmoid follows the heatmap's, so that
//! its values are in [0.5, 1), and sizes and offsets are not negative.

use crate::distill::adapters::{Chain, conv_reg, map_of};
use crate::distill::hint::mean_square;
use crate::distill::{Hyperparameters, Lesson};
use crate::error::Result;
use crate::nn::Map;
use crate::ops::areas::Overlap;
use crate::tape::{Tape, ValueId};

/// What the detection heads make of a map: heatmap `[N, h, w, K]`, sizes and offsets `[N, h, w, 2]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detected {
    heat: ValueId,
    size: ValueId,
    offset: ValueId,
}

/// The student's feature `[N, H, W, C]` in the teacher's space `[N, h, w, C_t]`: the usual regressor, then two more
/// convolutions 3x3 with BatchNorm and ReLU; `ends_in_relu` is whether the last ReLU is there.
pub(super) fn adapt(
    tape: &mut Tape,
    lesson: &mut Lesson<'_>,
    student: ValueId,
    teacher: Map,
    ends_in_relu: bool,
) -> Result<ValueId> {
    let first = conv_reg(map_of(tape, student), teacher)?;
    let x = lesson.adapter(tape, "adapter", &first, student)?;
    let channels = teacher[2];
    let chain = Chain::new("refine", teacher).conv("0", channels, 3, 1, 1, true)?.batch_norm("1")?.relu()?;
    let chain = chain.conv("3", channels, 3, 1, 1, true)?.batch_norm("4")?;
    let chain = if ends_in_relu { chain.relu()? } else { chain };
    lesson.adapted(tape, "refine", &chain.network(), x)
}

/// The heads on a map `[N, h, w, C]`; student's and teacher's have the same parameters.
pub(super) fn detect(tape: &mut Tape, lesson: &mut Lesson<'_>, x: ValueId, classes: usize) -> Result<Detected> {
    let map = map_of(tape, x);
    let mut head = |tape: &mut Tape, name: &str, out: usize| {
        let chain = Chain::new(name, map).conv("0", map[2], 3, 1, 1, true)?.relu()?;
        let network = chain.conv("2", out, 1, 1, 0, true)?.relu()?.network();
        lesson.adapted(tape, name, &network, x)
    };
    let heat = head(tape, "heat", classes)?;
    let size = head(tape, "size", 2)?;
    let offset = head(tape, "offset", 2)?;
    Ok(Detected { heat: tape.sigmoid(heat)?, size, offset })
}

/// Mean of the squared differences between what the heads make of the student's map and of the teacher's.
pub(super) fn difference(tape: &mut Tape, student: Detected, teacher: Detected) -> Result<ValueId> {
    let all = |tape: &mut Tape, detected: Detected| tape.concat(&[detected.heat, detected.size, detected.offset]);
    let [student, teacher] = [all(tape, student)?, all(tape, teacher)?];
    mean_square(tape, student, teacher)
}

/// How much the heatmap tells places from each other: its variance over the positions, the mean over images and classes. With
/// 0 the heads have collapsed: every place is as distinctive as every other, and areas are where ties fall.
pub(super) fn heatmap_variance(tape: &mut Tape, detected: Detected) -> Result<ValueId> {
    let heat = tape.detach(detected.heat);
    let mean = tape.mean(heat, &[1, 2])?; // [N, 1, 1, K]
    mean_square(tape, heat, mean)
}

/// What maps are multiplied by before they are compared, `[N, h, w, 1]`: by `overlap` the root of how many areas cover a
/// pixel, so that its squared error counts as often (the paper's sum over areas); 1 where any does; or their number, so
/// that it counts by its square (as released).
pub(super) fn mask(tape: &mut Tape, student: Detected, values: &Hyperparameters) -> Result<ValueId> {
    let shape = tape.shape(student.heat);
    let count = values.whole("area_count");
    let boxes = tape.peak_areas(student.heat, student.size, student.offset, count)?;
    let overlap = values.choice("overlap");
    let covers = if overlap == "union" { Overlap::Union } else { Overlap::Count };
    let mask = tape.box_mask(boxes, shape[1], shape[2], covers)?;
    // No gradient flows through areas.
    let mask = tape.detach(mask);
    if overlap == "count" { tape.sqrt(mask) } else { Ok(mask) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Arena, Plan, StateLayout};
    use crate::tensor::DType;

    /// The variance of two images' heatmaps of 1x2 positions and 2 classes.
    fn variance(heat: [f64; 8]) -> f64 {
        let mut layout = StateLayout::new();
        let id = layout.declare("heat", DType::F64, [2, 1, 2, 2]);
        let mut tape = Tape::new(DType::F64);
        let value = tape.state(&layout, id);
        let variance = heatmap_variance(&mut tape, Detected { heat: value, size: value, offset: value }).unwrap();
        tape.keep(variance);
        let plan = Plan::new(&tape, &layout);
        let (mut state, mut arena) = (layout.allocate(), Arena::new(plan.bytes()));
        state.set_f64(id, &heat);
        plan.run(&mut arena, &mut state).unwrap();
        plan.read_f64(&arena, &state, variance).unwrap()[0]
    }

    #[test]
    fn a_heatmap_has_no_variance_where_every_position_is_alike() {
        // Images and classes differ, positions do not.
        assert_eq!(variance([0.5, 0.75, 0.5, 0.75, 0.625, 1.0, 0.625, 1.0]), 0.0);
        // One class of one image is 0.5 and 1, its variance 1/16; the mean over four.
        assert_eq!(variance([0.5, 0.75, 1.0, 0.75, 0.625, 1.0, 0.625, 1.0]), 1.0 / 64.0);
    }
}
