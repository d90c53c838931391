//! A method's loss, its gradients, and everything the method says of how it came about.
//!
//! Beside logits and labels a case may hold what the method reads and owns: features `student/<name>` and
//! `mentor/<i>/<name>` (maps `[N, C, H, W]`, vectors `[N, D]`), its parameters `param/<name>` in PyTorch's order (or plainly
//! `<name>`, where they belong to no layer), and, as `given/<name>`, what it would draw or make itself. Gradients are taken of
//! the student's values, of all parameters (those by which they are trained), and of what is given where a case expects that.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::batch::{to_nchw, to_nhwc};
use super::{Answers, Case, CaseTensor};
use crate::distill::{self, Equipment, Hyperparameters, Lesson, MethodDescription, Pupil, Use};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::{to_engine, to_pytorch};
use crate::tape::{Arena, Plan, State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// The method of a case.
pub(super) fn method(case: &Case) -> Result<&'static MethodDescription> {
    let name = case.text("method")?;
    distill::find(name)
        .ok_or_else(|| Error::request(format!("no method is called `{name}`")).suggest(name, distill::names()))
}

/// The roles of a case's mentors: teachers, assistants, peers. All of them are teachers where the method takes no others;
/// else the first is the teacher, and the others are assistants where it takes them, or peers.
pub(super) fn roles(method: &MethodDescription, mentors: usize) -> (usize, usize, Vec<String>) {
    let needs = method.needs;
    let alone = needs.assistants == Use::Unused && needs.peers == Use::Unused;
    let teachers = if alone { mentors } else { mentors.min(1) };
    let assistants = if needs.assistants == Use::Unused { 0 } else { mentors - teachers };
    let role = |index: usize| match index {
        0 => "teacher".to_string(),
        _ if index < teachers => format!("teacher-{}", index + 1),
        _ if index < teachers + assistants => format!("assistant-{}", index - teachers + 1),
        _ => format!("peer-{}", index - teachers - assistants + 1),
    };
    (teachers, assistants, (0..mentors).map(role).collect())
}

/// An input that lies in state, and how its elements are turned.
struct Input<'a> {
    name: &'a str,
    tensor: &'a CaseTensor,
    state: StateId,
}

impl<'a> Input<'a> {
    fn declare(layout: &mut StateLayout, name: &'a str, tensor: &'a CaseTensor, float: DType) -> Result<Self> {
        let shape = match tensor.shape[..] {
            [n, c, h, w] => vec![n, h, w, c],
            ref other if other.len() < 4 => other.to_vec(),
            ref other => {
                return Err(Error::request(format!("the input `{name}` has the shape {other:?}: too many extents")));
            }
        };
        let dtype = if tensor.labels { DType::U32 } else { float };
        Ok(Self { name, tensor, state: layout.declare(name, dtype, crate::tensor::Shape::new(&shape)) })
    }

    fn set(&self, state: &mut State) {
        if self.tensor.labels {
            let whole: Vec<u32> = self.tensor.values.iter().map(|x| *x as u32).collect();
            return state.get_mut::<u32>(self.state).copy_from_slice(&whole);
        }
        let turned = <[usize; 4]>::try_from(&self.tensor.shape[..]).map(|shape| to_nhwc(&self.tensor.values, shape));
        state.set_f64(self.state, turned.as_deref().unwrap_or(&self.tensor.values));
    }

    /// A gradient in the order of the input.
    fn turned(&self, values: Vec<f64>) -> CaseTensor {
        let shape = &self.tensor.shape;
        match <[usize; 4]>::try_from(&shape[..]) {
            Ok(extents) => CaseTensor::new(shape, to_nchw(&values, extents)),
            Err(_) => CaseTensor::new(shape, values),
        }
    }
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
    let mentors = case.mentor_count();
    for index in 0..mentors {
        case.input_of_shape(&format!("mentor/{index}/logits"), &student.shape)?;
    }
    if mentors == 0 && method.needs.mentors() {
        return Err(Error::request(format!("the method {} needs `mentor/0/logits`", method.name)));
    }

    let mut layout = StateLayout::new();
    let target = layout.declare("target", DType::U32, [count]);
    let mut inputs = Vec::new();
    for (name, tensor) in case.inputs() {
        if READ.iter().any(|prefix| name.starts_with(prefix)) {
            inputs.push(Input::declare(&mut layout, name, tensor, float)?);
        }
    }
    let mut tape = Tape::new(float);
    let state_of: BTreeMap<&str, StateId> = inputs.iter().map(|input| (input.name, input.state)).collect();
    let (teachers, assistants, roles) = roles(method, mentors);
    let mut pupil = |role: &str, prefix: &str| {
        let own = state_of.iter().filter_map(|(name, id)| Some((name.strip_prefix(prefix)?, *id)));
        let features = own.map(|(name, id)| (name.to_string(), tape.state(&layout, id))).collect::<Vec<_>>();
        let logits = features.iter().find(|(name, _)| name == "logits").expect("they were asked for").1;
        let features = features.into_iter().filter(|(name, _)| name != "logits").collect();
        Pupil { role: role.into(), logits, features, model: None }
    };
    let student = pupil("student", "student/");
    let mentors =
        roles.iter().enumerate().map(|(index, role)| pupil(role, &format!("mentor/{index}/"))).collect::<Vec<_>>();
    let mut equipment = Equipment::new("method", float);
    for (name, id) in &state_of {
        if let Some(name) = name.strip_prefix("given/") {
            equipment.given.insert(name.to_string(), tape.state(&layout, *id));
        }
    }
    let target_value = tape.state(&layout, target);
    let taught = {
        let mut lesson = Lesson {
            student,
            labels: target_value,
            mentors,
            teachers,
            assistants,
            label_smoothing: 0.0,
            phase: 0,
            batch: None,
            layout: &mut layout,
            equipment: &mut equipment,
        };
        (method.record)(&mut tape, &mut lesson, &values)?
    };
    let read: Vec<String> = inputs
        .iter()
        .filter(|input| {
            // Of what is given the shape alone may say something.
            let known = input.name.ends_with("/logits") || input.name.starts_with("given/");
            known || is_read(&mut tape, &layout, input.state)
        })
        .map(|input| input.name.to_string())
        .collect();
    let owned = owned(case, &equipment, read)?;

    let asked = |name: &str| case.expected().any(|(expected, _)| expected == format!("expect/grad/{name}"));
    let is_differentiated = |input: &&Input<'_>| {
        let of_student = input.name.starts_with("student/") && !input.tensor.labels;
        of_student || input.name.starts_with("given/") && asked(input.name)
    };
    let differentiated: Vec<&Input<'_>> = inputs.iter().filter(is_differentiated).collect();
    let ids: Vec<StateId> =
        differentiated.iter().map(|input| input.state).chain(owned.iter().map(|one| one.state)).collect();
    let wanted: Vec<ValueId> = ids.iter().map(|id| tape.state(&layout, *id)).collect();
    let one = tape.fill([], 1.0);
    let mut gradients = tape.backward(&[(taught.loss, one)], &wanted)?;
    // What is trained apart has the gradients that it is trained by.
    for update in &taught.updates {
        let own: Vec<ValueId> = update.parameters.iter().map(|id| tape.state(&layout, *id)).collect();
        let own = match &update.gradients {
            Some(gradients) => gradients.iter().copied().map(Some).collect(),
            None => tape.backward(&[(update.loss, one)], &own)?,
        };
        for (id, gradient) in update.parameters.iter().zip(own) {
            if let Some(place) = ids.iter().position(|known| known == id) {
                gradients[place] = gradient;
            }
        }
    }
    let mut found = vec![("loss", taught.loss)];
    found.extend(taught.details.iter().copied());
    found.iter().map(|(_, id)| *id).chain(gradients.iter().flatten().copied()).for_each(|id| tape.keep(id));
    let plan = Plan::on(processor, &tape, &layout)?;

    let mut state = layout.allocate_on(processor)?;
    equipment.initialise(&mut state, 1);
    equipment.enter(&mut state, f64::from(u32::MAX));
    inputs.iter().for_each(|input| input.set(&mut state));
    for one in &owned {
        let tensor = case.input(&one.name)?;
        let turned = one.shape.as_ref().map(|shape| to_engine(shape, &tensor.values));
        state.set_f64(one.state, turned.as_deref().unwrap_or(&tensor.values));
    }
    state.get_mut::<u32>(target).copy_from_slice(&labels);
    let mut arena = Arena::on(processor, plan.bytes())?;
    plan.run(&mut arena, &mut state)?;
    let mut answers = Answers::new();
    for (name, id) in found {
        let values = plan.read_f64(&arena, &state, id)?;
        answers.insert(format!("expect/{name}"), CaseTensor::new(tape.shape(id).extents(), values));
    }
    for (index, gradient) in gradients.into_iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        let values = plan.read_f64(&arena, &state, gradient)?;
        let (name, tensor) = match differentiated.get(index) {
            Some(input) => (input.name.to_string(), input.turned(values)),
            None => {
                let one = &owned[index - differentiated.len()];
                let turned = one.shape.as_ref().map(|shape| to_pytorch(shape, &values));
                (one.name.clone(), CaseTensor::new(&case.input(&one.name)?.shape, turned.unwrap_or(values)))
            }
        };
        answers.insert(format!("expect/grad/{name}"), tensor);
    }
    Ok(answers)
}

/// What the names of the method's own parameters start with.
const PARAMETER: &str = "param/";
/// What the names of values start with that a method reads.
const READ: [&str; 3] = ["student/", "mentor/", "given/"];

/// A parameter or buffer of the method's own that the case sets.
struct Owned {
    /// Of the input.
    name: String,
    state: StateId,
    /// In PyTorch's order; none where there is no other order.
    shape: Option<Vec<usize>>,
}

/// Whether anything that was recorded reads a piece of state.
fn is_read(tape: &mut Tape, layout: &StateLayout, id: StateId) -> bool {
    let value = tape.state(layout, id);
    tape.nodes().iter().any(|node| node.inputs.iter().any(|input| tape.is_same(*input, value)))
}

/// What the method owns and the case sets. Everything that is learned has to be there; buffers start as they do where the
/// case has none. Inputs that nothing reads are refused.
fn owned(case: &Case, equipment: &Equipment, read: Vec<String>) -> Result<Vec<Owned>> {
    let mut owned = Vec::new();
    for (model, _) in &equipment.models {
        for parameter in &model.parameters {
            let name = format!("{PARAMETER}{}.{}", model.role, parameter.spec.name);
            let running = !parameter.spec.trainable;
            if !running || case.input(&name).is_ok() {
                case.input_of_shape(&name, &parameter.spec.shape)?;
                owned.push(Owned { name, state: parameter.value, shape: Some(parameter.spec.shape.clone()) });
            }
        }
    }
    for piece in &equipment.pieces {
        let names = [format!("{PARAMETER}{}", piece.name), piece.name.clone()];
        match names.iter().find(|name| case.input(name).is_ok()) {
            Some(name) => {
                case.input_of_shape(name, piece.shape.extents())?;
                owned.push(Owned { name: name.clone(), state: piece.value, shape: None });
            }
            None if piece.buffer => {}
            None => return Err(case.input(&names[0]).expect_err("it was looked for")),
        }
    }
    let mut known: Vec<String> = owned.iter().map(|one| one.name.clone()).collect();
    known.extend(read);
    known.push("target".into());
    case.refuse_others(&known)?;
    Ok(owned)
}
