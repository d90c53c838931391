//! A method's loss, its gradient, and everything the method says of how it came about.

use serde_json::{Map, Value};

use super::{Answers, Case, CaseTensor};
use crate::distill::{self, Hyperparameters, Lesson, Mentor, MethodDescription};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::tape::{Arena, Plan, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// The method of a case.
pub(super) fn method(case: &Case) -> Result<&'static MethodDescription> {
    let name = case.text("method")?;
    distill::find(name)
        .ok_or_else(|| Error::request(format!("no method is called `{name}`")).suggest(name, distill::names()))
}

/// The first mentor of a case is its teacher, the others are peers.
pub(super) fn mentors(logits: &[ValueId]) -> Vec<Mentor> {
    let role = |index| if index == 0 { "teacher".to_string() } else { format!("peer-{index}") };
    logits.iter().enumerate().map(|(index, logits)| Mentor { role: role(index), logits: *logits }).collect()
}

/// What the method is given: the student, its mentors, no label smoothing.
pub(super) fn lesson(student: ValueId, labels: ValueId, mentors: Vec<Mentor>) -> Lesson {
    let teachers = mentors.len().min(1);
    Lesson { student, labels, mentors, teachers, label_smoothing: 0.0 }
}

pub(super) fn replay(case: &Case, float: DType, processor: &Processor) -> Result<Answers> {
    let method = method(case)?;
    let values: Hyperparameters = method.from_json(&case.json::<Map<String, Value>>("hyperparameters")?)?;
    let student = case.input("student/logits")?;
    let [count, classes] = student.shape[..] else {
        return Err(Error::request(format!("`student/logits` has the shape {:?}, expected [B, C]", student.shape)));
    };
    if count == 0 || classes == 0 {
        return Err(Error::request(format!("`student/logits` of shape {:?} are empty", student.shape)));
    }
    let labels = case.labels("target", &[count], classes)?;
    let mut known = vec!["student/logits".to_string(), "target".to_string()];
    let mut logits = vec![student];
    for index in 0..case.mentor_count() {
        let name = format!("mentor/{index}/logits");
        logits.push(case.input_of_shape(&name, &student.shape)?);
        known.push(name);
    }
    case.refuse_others(&known)?;
    if logits.len() == 1 && method.needs.mentors() {
        return Err(Error::request(format!("the method {} needs `mentor/0/logits`", method.name)));
    }

    let mut layout = StateLayout::new();
    let target = layout.declare("target", DType::U32, [count]);
    let states: Vec<_> =
        (0..logits.len()).map(|index| layout.declare(format!("logits {index}"), float, [count, classes])).collect();
    let mut tape = Tape::new(float);
    let inputs: Vec<ValueId> = states.iter().map(|id| tape.state(&layout, *id)).collect();
    let target_value = tape.state(&layout, target);
    let lesson = lesson(inputs[0], target_value, mentors(&inputs[1..]));
    let taught = (method.record)(&mut tape, &lesson, &values)?;
    let one = tape.fill([], 1.0);
    let gradient = tape.backward(&[(taught.loss, one)], &inputs[..1])?[0];
    let mut found = vec![("loss", taught.loss)];
    found.extend(taught.details.iter().copied());
    found.extend(gradient.map(|gradient| ("grad/student/logits", gradient)));
    found.iter().for_each(|(_, id)| tape.keep(*id));
    let plan = Plan::on(processor, &tape, &layout)?;

    let mut state = layout.allocate_on(processor)?;
    states.iter().zip(logits).for_each(|(id, tensor)| state.set_f64(*id, &tensor.values));
    state.get_mut::<u32>(target).copy_from_slice(&labels);
    let mut arena = Arena::on(processor, plan.bytes())?;
    plan.run(&mut arena, &mut state)?;
    let read = |(name, id): (&str, ValueId)| {
        let values = plan.read_f64(&arena, &state, id)?;
        Ok((format!("expect/{name}"), CaseTensor::new(tape.shape(id).extents(), values)))
    };
    found.into_iter().map(read).collect()
}
