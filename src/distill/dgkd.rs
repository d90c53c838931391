//! Densely guided distillation: teacher and all assistants guide the student at once, and every batch leaves some of them
//! out, so that the student does not lean on any.
//!
//! `loss = (1 - lambda) CE(z_S, y) + lambda T^2 sum_{kept guides} KL(softmax(z_k / T) || softmax(z_S / T))` (Son et al.,
//! equations 6 and 7); which guides are left out is drawn evenly in every step, the teacher like the others.
//!
//! The authors average the divergence over batch and classes (`kl_reduction = "mean"`), and lambda is 1: labels do not
//! enter. Assistants are taught by all mentors before them where the classroom says so (`taught_by = "dgkd"`).

use super::logits::kl_divisor;
use super::{
    Hyperparameter, Hyperparameters, Lesson, MentorUse, MethodDescription, Needs, Pupil, Quantity, Taught, Use,
};
use crate::error::{Error, Result};
use crate::tape::{Tape, ValueId};

/// What this method says about itself. The defaults are those of the authors' command line.
pub const DESCRIPTION: MethodDescription = MethodDescription {
    name: "dgkd",
    title: "teacher and all assistants guide the student, and every batch leaves some of them out",
    paper: "Son, Na, Choi, Hwang: Densely Guided Knowledge Distillation using Multiple Teacher Assistants, ICCV 2021, \
            arXiv 2009.08825",
    needs: Needs { teachers: Use::Required, assistants: Use::Required, ..MethodDescription::BASE.needs },
    hyperparameters: &[
        Hyperparameter::positive("temperature", 5.0, "divides the logits of student and guides"),
        Hyperparameter::share("lambda", 1.0, "share of the divergences in the loss; the labels have the rest"),
        Hyperparameter::count("dropped", 1, [0, 64], "guides that every batch leaves out; at least one is kept"),
        Hyperparameter::choice(
            "kl_reduction",
            &["mean", "batchmean"],
            "mean of the divergence over batch and classes as the authors' code has it, or over the batch",
        ),
    ],
    record,
    ..MethodDescription::BASE
};

/// The order in which a parity case brings the guides: the first ones are left out.
const ORDER: &str = "order";

/// Records the loss of a lesson.
fn record(tape: &mut Tape, lesson: &mut Lesson<'_>, values: &Hyperparameters) -> Result<Taught> {
    let guides: Vec<&Pupil> = lesson.teachers().iter().chain(lesson.assistants()).collect();
    let (temperature, share) = (values.number("temperature"), values.number("lambda"));
    let weight = share * (1.0 / kl_divisor(tape, lesson.student.logits, values));
    // As long as there is but one guide, as for the first assistant, it is kept.
    let dropped = values.whole("dropped").min(guides.len().saturating_sub(1));
    let kept = kept(tape, lesson.given(ORDER), guides.len(), dropped)?;
    let cross_entropy = lesson.cross_entropy(tape)?;
    let mut parts = vec![("cross_entropy", 1.0 - share, cross_entropy)];
    let mut mentors = Vec::new();
    for (index, guide) in guides.iter().enumerate() {
        let mut divergence = tape.kl_divergence(lesson.student.logits, guide.logits, temperature)?;
        let mut active = Quantity::Constant(1.0);
        if let Some(kept) = kept {
            let keep = tape.slice(kept, index, 1)?;
            let keep = tape.view(keep, [])?;
            divergence = tape.multiply(divergence, keep)?;
            active = Quantity::Element(kept, index);
        }
        parts.push((&guide.role, weight, divergence));
        mentors.push(MentorUse { active, ..MentorUse::constant(&guide.role, share, Some(temperature)) });
    }
    Ok(Taught { mentors, ..Taught::sum(tape, parts)? })
}

/// For each of `guides` 1 if it is kept and 0 if not, `[1, K]`, of which `dropped` are not, drawn in every step; none where
/// all are kept.
fn kept(tape: &mut Tape, given: Option<ValueId>, guides: usize, dropped: usize) -> Result<Option<ValueId>> {
    if dropped == 0 {
        return Ok(None);
    }
    let order = match given {
        Some(order) if tape.shape(order).count() == guides => order,
        Some(order) => {
            let shape = tape.shape(order);
            return Err(Error::request(format!(
                "`given/{ORDER}` has the shape {shape}, but there are {guides} guides"
            )));
        }
        None => tape.random_permutation(guides)?,
    };
    let places = tape.one_hot(order, guides)?; // [K, K]: row i is who comes at place i
    let flat = tape.view(places, [1, guides * guides])?;
    let kept = tape.slice(flat, dropped * guides, (guides - dropped) * guides)?;
    let kept = tape.view(kept, [guides - dropped, guides])?;
    Ok(Some(tape.sum(kept, &[0])?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distill::check::{Small, check_method};
    use crate::tape::{Arena, Plan, StateLayout};
    use crate::tensor::DType;

    #[test]
    fn gradients_are_those_of_the_loss() {
        let small = Small {
            mentors: &[("teacher", &[]), ("assistant-1", &[]), ("assistant-2", &[]), ("assistant-3", &[])],
            ..Small::default()
        };
        for hyperparameters in [
            "{}",
            r#"{"dropped": 2, "lambda": 0.6, "kl_reduction": "batchmean"}"#,
            r#"{"dropped": 0, "temperature": 2}"#,
        ] {
            check_method("dgkd", hyperparameters, &small);
        }
        check_method("dgkd", r#"{"lambda": 0.5}"#, &Small { mentors: &[("teacher", &[])], ..small });
    }

    /// Which guides are kept in each of `steps`, of four, with `dropped` left out.
    fn drawn(seed: u64, dropped: usize, steps: u32) -> Vec<Vec<f64>> {
        let mut layout = StateLayout::new();
        let number = layout.declare("number", DType::U32, [1]);
        let mut tape = Tape::new(DType::F32);
        let value = tape.state(&layout, number);
        tape.set_randomness(seed, value);
        let kept = kept(&mut tape, None, 4, dropped).unwrap().expect("some are dropped");
        tape.keep(kept);
        let plan = Plan::new(&tape, &layout);
        let (mut state, mut arena) = (layout.allocate(), Arena::new(plan.bytes()));
        let step = |step: u32| {
            state.get_mut::<u32>(number)[0] = step;
            plan.run(&mut arena, &mut state).unwrap();
            plan.read_f64(&arena, &state, kept).unwrap()
        };
        (0..steps).map(step).collect()
    }

    /// Each of four guides is left out in a fourth of 800 steps (or in three fourths): 200 with a standard deviation of
    /// sqrt(800 * 3 / 16) = 12.2; five of them are allowed.
    #[test]
    fn every_guide_is_left_out_equally_often_and_always_as_many() {
        for dropped in [1, 3] {
            let steps = drawn(5, dropped, 800);
            assert_eq!(steps, drawn(5, dropped, 800));
            assert_ne!(steps, drawn(6, dropped, 800));
            assert!(steps.iter().flatten().all(|keep| *keep == 0.0 || *keep == 1.0));
            assert!(steps.iter().all(|keep| keep.iter().sum::<f64>() == (4 - dropped) as f64));
            for guide in 0..4 {
                let left_out = steps.iter().filter(|keep| keep[guide] == 0.0).count() as f64;
                assert!((left_out - 200.0 * dropped as f64).abs() <= 61.0, "guide {guide}: {left_out} of 800");
            }
        }
    }
}
