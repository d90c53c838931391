//! Distinctive areas: where the student's map, brought into the teacher's space, is read by three heads that the teacher's
//! map passes through as well; a heatmap of classes, sizes, and offsets of centres. What the heads make of both has to be
//! alike, and the boxes around the highest peaks of the student's heatmap say where the maps themselves are compared.
//!
//! A head is a 3x3 convolution, ReLU, a 1x1 convolution, ReLU, without BatchNorm; a sigmoid follows the heatmap's, so that
//! its values are in [0.5, 1), and sizes and offsets are not negative.

use crate::distill::adapters::{Chain, conv_reg};
use crate::distill::{Hyperparameters, Lesson};
use crate::error::Result;
use crate::nn::Map;
use crate::ops::areas::Overlap;
use crate::tape::{Tape, ValueId};

/// What the heads make of a map, `[N, h, w, K]`, `[N, h, w, 2]` twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    heat: ValueId,
    size: ValueId,
    offset: ValueId,
}

/// `[h, w, C]` of a value `[N, h, w, C]`.
fn map_of(tape: &Tape, value: ValueId) -> Map {
    let shape = tape.shape(value);
    [shape[1], shape[2], shape[3]]
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
pub(super) fn look(tape: &mut Tape, lesson: &mut Lesson<'_>, x: ValueId, classes: usize) -> Result<Seen> {
    let map = map_of(tape, x);
    let mut head = |tape: &mut Tape, name: &str, out: usize| {
        let chain = Chain::new(name, map).conv("0", map[2], 3, 1, 1, true)?.relu()?;
        let network = chain.conv("2", out, 1, 1, 0, true)?.relu()?.network();
        lesson.adapted(tape, name, &network, x)
    };
    let heat = head(tape, "heat", classes)?;
    let size = head(tape, "size", 2)?;
    let offset = head(tape, "offset", 2)?;
    Ok(Seen { heat: tape.sigmoid(heat)?, size, offset })
}

/// Mean of the squared differences between what the heads make of the student's map and of the teacher's.
pub(super) fn difference(tape: &mut Tape, student: Seen, teacher: Seen) -> Result<ValueId> {
    let all = |tape: &mut Tape, seen: Seen| tape.concat(&[seen.heat, seen.size, seen.offset]);
    let [student, teacher] = [all(tape, student)?, all(tape, teacher)?];
    mean_square(tape, student, teacher)
}

/// `mean (a - b)^2` over all elements.
pub(super) fn mean_square(tape: &mut Tape, a: ValueId, b: ValueId) -> Result<ValueId> {
    let difference = tape.subtract(a, b)?;
    let square = tape.square(difference)?;
    tape.average(square)
}

/// What maps are multiplied by before they are compared, `[N, h, w, 1]`: by `overlap` the root of how many areas cover a
/// pixel, so that its squared error counts as often (the paper's sum over areas); 1 where any does; or their number, so
/// that it counts by its square (as released).
pub(super) fn mask(tape: &mut Tape, student: Seen, values: &Hyperparameters) -> Result<ValueId> {
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
