//! Finite differences in f64 through a whole method: its loss, and everything that learns from it.
//!
//! What the method detaches is a constant for its gradients. So it is for the differences: they are taken of a second
//! recording, in which every detached value is what it was in the first run.

use std::collections::{BTreeMap, VecDeque};

use super::{Equipment, Lesson, Pupil, Taught, find};
use crate::tape::check::random;
use crate::tape::{Arena, Plan, State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::{DType, Shape};

/// Features by name, without the batch: `[H, W, C]`.
pub(super) type Maps<'a> = &'a [(&'a str, [usize; 3])];

/// Roles with their features.
pub(super) type Mentors<'a> = &'a [(&'a str, Maps<'a>)];

/// A classroom of made-up logits and features.
#[derive(Clone, Debug)]
pub(super) struct Small<'a> {
    /// Images of the batch.
    pub batch: usize,
    /// Classes.
    pub classes: usize,
    /// Features of the student by name, without the batch: `[H, W, C]`.
    pub student: Maps<'a>,
    /// Roles, with features of each mentor; teachers, assistants, peers.
    pub mentors: Mentors<'a>,
    /// Values that stand for what the method would draw or make (`given`), by name, with their shapes.
    pub given: &'a [(&'a str, &'a [usize])],
    /// The method's phase.
    pub phase: usize,
    /// The epoch that schedules stand at.
    pub epoch: f64,
}

impl Default for Small<'_> {
    fn default() -> Self {
        Self { batch: 5, classes: 4, student: &[], mentors: &[], given: &[], phase: 0, epoch: 1e6 }
    }
}

/// What of the given values are integers.
const INTEGERS: [&str; 3] = ["indices", "contrast", "labels"];

/// One recording.
struct Recorded {
    tape: Tape,
    layout: StateLayout,
    equipment: Equipment,
    taught: Taught,
    /// What gradients are checked of, with names.
    learned: Vec<(String, StateId)>,
}

fn record(name: &str, hyperparameters: &str, small: &Small<'_>, constants: VecDeque<Vec<f64>>) -> Recorded {
    let method = find(name).expect("a method of that name");
    let values = method.from_json(&serde_json::from_str(hyperparameters).unwrap()).unwrap();
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F64);
    tape.detached.1 = constants;
    let mut learned = Vec::new();
    let mut pupil = |tape: &mut Tape, role: &str, maps: &[(&str, [usize; 3])]| {
        let mut declare = |what: &str, shape: Shape| {
            let id = layout.declare(format!("{role} {what}"), DType::F64, shape);
            learned.extend((role == "student").then(|| (what.to_string(), id)));
            tape.state(&layout, id)
        };
        let logits = declare("logits", [small.batch, small.classes].into());
        let features = maps.iter().map(|(name, [height, width, channels])| {
            (name.to_string(), declare(name, [small.batch, *height, *width, *channels].into()))
        });
        Pupil { role: role.into(), features: features.collect(), logits, model: None }
    };
    let student = pupil(&mut tape, "student", small.student);
    let mentors: Vec<Pupil> = small.mentors.iter().map(|(role, maps)| pupil(&mut tape, role, maps)).collect();
    let count = |role: &str| mentors.iter().filter(|mentor| mentor.role.starts_with(role)).count();
    let (teachers, assistants) = (count("teacher"), count("assistant"));
    let labels = layout.declare("labels", DType::U32, [small.batch]);
    let number = layout.declare("number", DType::U32, [1]);
    let [labels, number] = [labels, number].map(|id| tape.state(&layout, id));
    tape.set_randomness(7, number);
    let mut equipment = Equipment::new("method", DType::F64);
    for (name, shape) in small.given {
        let dtype = if INTEGERS.contains(name) { DType::U32 } else { DType::F64 };
        let id = layout.declare(format!("given {name}"), dtype, Shape::new(shape));
        let value = tape.state(&layout, id);
        // Logits of networks that learn with the student.
        learned.extend(name.ends_with("/logits").then(|| (name.to_string(), id)));
        equipment.given.insert(name.to_string(), value);
    }
    let taught = {
        let mut lesson = Lesson {
            student,
            labels,
            mentors,
            teachers,
            assistants,
            label_smoothing: 0.0,
            phase: small.phase,
            batch: None,
            layout: &mut layout,
            equipment: &mut equipment,
        };
        (method.record)(&mut tape, &mut lesson, &values).unwrap()
    };
    for (model, _) in &equipment.models {
        let trainable = model.parameters.iter().filter(|parameter| parameter.spec.trainable);
        learned.extend(trainable.map(|one| (format!("{}.{}", model.role, one.spec.name), one.value)));
    }
    learned.extend(equipment.pieces.iter().filter(|piece| !piece.buffer).map(|one| (one.name.clone(), one.value)));
    Recorded { tape, layout, equipment, taught, learned }
}

/// Checks the gradients of the student's logits and features and of everything that the method owns, each of every loss
/// that minimises it, by central differences. Prints its seed.
pub(super) fn check_method(name: &str, hyperparameters: &str, small: &Small<'_>) {
    let seed = 11;
    println!("{name} {hyperparameters}: seed {seed}");
    let Recorded { mut tape, layout, equipment, taught, learned } =
        record(name, hyperparameters, small, VecDeque::new());
    let apart: Vec<StateId> = taught.updates.iter().flat_map(|update| update.parameters.clone()).collect();
    let own_losses = taught.updates.iter().filter(|update| update.gradients.is_none());
    let mut losses: Vec<(ValueId, Vec<(String, StateId)>)> =
        vec![(taught.loss, learned.iter().filter(|(_, id)| !apart.contains(id)).cloned().collect())];
    for update in own_losses {
        let names = |id: &StateId| (layout.entry(*id).name.clone(), *id);
        losses.push((update.loss, update.parameters.iter().map(names).collect()));
    }
    let detached = tape.detached.0.clone();
    let one = tape.fill([], 1.0);
    let mut gradients = Vec::new();
    for (loss, wanted) in &losses {
        let values: Vec<ValueId> = wanted.iter().map(|(_, id)| tape.state(&layout, *id)).collect();
        gradients.push(tape.backward(&[(*loss, one)], &values).unwrap());
    }
    let kept = gradients.iter().flatten().flatten().chain(&detached).copied().collect::<Vec<_>>();
    kept.iter().for_each(|id| tape.keep(*id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    fill(&mut state, &equipment, small, seed);
    let start = snapshot(&state);
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    let read = |id: ValueId| plan.read_f64(&arena, &state, id).unwrap();
    let constants: VecDeque<Vec<f64>> = detached.iter().map(|id| read(*id)).collect();
    let exact: Vec<Vec<Option<Vec<f64>>>> =
        gradients.iter().map(|of_loss| of_loss.iter().map(|gradient| gradient.map(read)).collect()).collect();

    let mut second = record(name, hyperparameters, small, constants);
    let own_losses = second.taught.updates.iter().filter(|update| update.gradients.is_none());
    let again: Vec<ValueId> = std::iter::once(second.taught.loss).chain(own_losses.map(|one| one.loss)).collect();
    again.iter().for_each(|id| second.tape.keep(*id));
    let plan = Plan::new(&second.tape, &second.layout);
    let mut arena = Arena::new(plan.bytes());
    for (index, (_, wanted)) in losses.iter().enumerate() {
        let of_loss = exact[index].iter().flatten().flatten();
        let largest = of_loss.fold(1e-3f64, |most, gradient| most.max(gradient.abs()));
        let mut reached = 0;
        for ((what, id), exact) in wanted.iter().zip(&exact[index]) {
            let count = state.layout().entry(*id).shape.count();
            reached += usize::from(exact.is_some());
            for element in picks(count) {
                let mut at = |offset: f64| {
                    restore(&mut state, &start);
                    state.get_mut::<f64>(*id)[element] += offset;
                    plan.run(&mut arena, &mut state).unwrap();
                    plan.read_f64(&arena, &state, again[index]).unwrap()[0]
                };
                let step = 1e-5;
                let numeric = (at(step) - at(-step)) / (2.0 * step);
                let exact = exact.as_ref().map_or(0.0, |gradient| gradient[element]);
                let error = (numeric - exact).abs();
                assert!(
                    error <= 1e-6 * largest + 1e-5 * exact.abs(),
                    "{name} {hyperparameters}, seed {seed}, loss {index}: {what}[{element}]: {exact} recorded, {numeric} by \
                     differences"
                );
            }
        }
        assert!(reached > 0, "{name}: no gradient reaches anything");
    }
}

/// At most 24 elements, spread over all.
fn picks(count: usize) -> impl Iterator<Item = usize> {
    let step = count.div_ceil(24).max(1);
    // A step that divides no extent sees every channel and row.
    (0..count).step_by(if step > 1 && step.is_multiple_of(2) { step + 1 } else { step })
}

fn fill(state: &mut State, equipment: &Equipment, small: &Small<'_>, seed: u64) {
    let all: Vec<(StateId, DType, usize)> =
        state.layout().entries().map(|(id, entry)| (id, entry.dtype, entry.shape.count())).collect();
    for (index, (id, dtype, count)) in all.iter().enumerate() {
        match dtype {
            DType::U32 => {
                let classes = small.classes as u32;
                let labels: Vec<u32> = (0..*count as u32).map(|image| (image * 2 + image / 3) % classes).collect();
                state.get_mut::<u32>(*id).copy_from_slice(&labels);
            }
            _ => {
                let values: Vec<f64> = (0..*count as u64).map(|element| random(seed, index as u64, element)).collect();
                state.set_f64(*id, &values);
            }
        }
    }
    equipment.initialise(state, seed);
    equipment.enter(state, small.epoch);
}

fn snapshot(state: &State) -> BTreeMap<StateId, Vec<u8>> {
    state.layout().entries().map(|(id, _)| (id, state.bytes(id).to_vec())).collect()
}

fn restore(state: &mut State, start: &BTreeMap<StateId, Vec<u8>>) {
    start.iter().for_each(|(id, bytes)| state.bytes_mut(*id).copy_from_slice(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logit_methods_have_the_gradients_of_their_losses() {
        let mentors: Mentors<'_> = &[("teacher", &[]), ("assistant-1", &[])];
        let small = Small { mentors, ..Small::default() };
        for name in ["cross_entropy", "kd", "takd"] {
            check_method(name, "{}", &small);
        }
    }
}
