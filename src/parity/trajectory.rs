//! A few steps of a whole classroom: the student learns, its mentors are frozen.

use serde_json::{Map, Value};

use super::batch::{Batch, image_extents, network, parameter_inputs, set_parameters};
use super::loss::{method, roles};
use super::{Answers, Case, CaseTensor};
use crate::distill::{Classroom, Equipment, Hyperparameters, Lesson, MethodDescription, Pupil, Quantity};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::{Mode, Model, ModelParameter};
use crate::ops::sgd::{SgdOptions, SgdParameter, Watch};
use crate::tape::{Arena, Plan, State, StateId, StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// How the student's weights are updated.
struct Optimizer {
    rate: f64,
    options: SgdOptions,
}

/// A recorded training step and what is read after each.
struct Step {
    plan: Plan,
    equipment: Equipment,
    loss: ValueId,
    temperatures: Vec<Quantity>,
    active: Vec<Quantity>,
}

pub(super) fn replay(case: &Case, float: DType, processor: &Processor) -> Result<Answers> {
    let method = method(case)?;
    let (optimizer, values) = read_hyperparameters(case, method)?;
    let input = case.input("input")?;
    let [steps, extents @ ..]: [usize; 5] = image_extents(input, "[K, B, 3, H, W]")?;
    let labels = case.labels("target", &[steps, extents[0]], case.classes()?)?;

    let names = case.json::<Vec<String>>("mentors")?;
    let mut known = vec!["input".to_string(), "target".to_string()];
    let mut layout = StateLayout::new();
    let batch = Batch::declare(&mut layout, extents, float);
    let mut declare = |name: &str, prefix: &str| {
        let network = network(case, name, extents)?;
        let parameters = format!("{prefix}/param");
        known.extend(parameter_inputs(case, &network, &parameters)?);
        Ok((Model::declare(&mut layout, prefix, prefix, network, float), parameters))
    };
    let student = declare(case.text("student")?, "student")?;
    let frozen = names
        .iter()
        .enumerate()
        .map(|(index, name)| declare(name, &format!("mentor/{index}")))
        .collect::<Result<Vec<_>>>()?;
    case.refuse_others(&known)?;

    let rate = layout.declare("rate", float, []);
    let frozen_models: Vec<&Model> = frozen.iter().map(|(model, _)| model).collect();
    let record = |tape: &mut Tape, layout: &mut StateLayout| {
        record_step(processor, tape, layout, &student.0, &frozen_models, batch, rate, &optimizer, method, &values)
    };
    let step = record(&mut Tape::new(float), &mut layout)?;
    let mut eval = Tape::new(float);
    let (images, _) = batch.values(&mut eval, &layout);
    let final_logits = student.0.record(&mut eval, &layout, images, Mode::Eval, &[])?.logits;
    eval.keep(final_logits);
    let eval = Plan::on(processor, &eval, &layout)?;

    let mut state = layout.allocate_on(processor)?;
    for (model, prefix) in frozen.iter().chain([&student]) {
        set_parameters(case, model, prefix, &mut state)?;
    }
    step.equipment.initialise(&mut state, 1);
    step.equipment.enter(&mut state, f64::from(u32::MAX));
    state.set_f64(rate, &[optimizer.rate]);
    let mut arena = Arena::on(processor, step.plan.bytes().max(eval.bytes()))?;
    let (mut losses, mut temperatures, mut active) = (Vec::new(), Vec::new(), Vec::new());
    let pixels: usize = extents.iter().product();
    let batches: Vec<(&[f64], &[u32])> =
        input.values.chunks_exact(pixels).zip(labels.chunks_exact(extents[0])).collect();
    for (images, labels) in &batches {
        batch.set(&mut state, images, labels);
        step.plan.run(&mut arena, &mut state)?;
        losses.extend(step.plan.read_f64(&arena, &state, step.loss)?);
        temperatures.extend(step.read(&arena, &state, &step.temperatures)?);
        active.extend(step.read(&arena, &state, &step.active)?);
    }
    batch.set(&mut state, batches[0].0, batches[0].1);
    eval.run(&mut arena, &mut state)?;

    let mut answers = Answers::new();
    answers.insert("expect/loss".into(), CaseTensor::new(&[steps], losses));
    answers.insert("expect/temperature".into(), CaseTensor::new(&[steps, step.temperatures.len()], temperatures));
    answers.insert("expect/active".into(), CaseTensor::new(&[steps, step.active.len()], active));
    let shape = [extents[0], student.0.network.classes];
    let found = eval.read_f64(&arena, &state, final_logits)?;
    answers.insert("expect/final/logits".into(), CaseTensor::new(&shape, found));
    state.fetch_all()?;
    for parameter in &student.0.parameters {
        let name = format!("expect/final/param/{}", parameter.spec.name);
        answers.insert(name, CaseTensor::new(&parameter.spec.shape, student.0.read(&state, parameter)));
    }
    Ok(answers)
}

/// The optimizer's hyperparameters; the others are the method's.
fn read_hyperparameters(case: &Case, method: &'static MethodDescription) -> Result<(Optimizer, Hyperparameters)> {
    let mut object = case.json::<Map<String, Value>>("hyperparameters")?;
    let mut number = |key: &str, default: Option<f64>| match object.remove(key) {
        None => default.ok_or_else(|| Error::request(format!("the hyperparameter `{key}` is missing"))),
        Some(value) => value.as_f64().filter(|number| *number >= 0.0).ok_or_else(|| {
            Error::request(format!("the hyperparameter `{key}` is {value}, expected a number of 0 or more"))
        }),
    };
    let rate = number("lr", None)?;
    // PyTorch's defaults.
    let momentum = number("momentum", Some(0.0))?;
    let weight_decay = number("weight_decay", Some(0.0))?;
    let nesterov = match object.remove("nesterov") {
        None => false,
        Some(Value::Bool(flag)) => flag,
        Some(other) => {
            let message = format!("the hyperparameter `nesterov` is {other}, expected true or false");
            return Err(Error::request(message));
        }
    };
    let options = SgdOptions { momentum, weight_decay, nesterov };
    Ok((Optimizer { rate, options }, method.from_json(&object)?))
}

/// Records forward, loss, backward and update.
#[allow(clippy::too_many_arguments)] // All of a classroom.
fn record_step(
    processor: &Processor,
    tape: &mut Tape,
    layout: &mut StateLayout,
    student: &Model,
    frozen: &[&Model],
    batch: Batch,
    rate: StateId,
    optimizer: &Optimizer,
    method: &MethodDescription,
    values: &Hyperparameters,
) -> Result<Step> {
    let (images, labels) = batch.values(tape, layout);
    let (teachers, assistants, roles) = roles(method, frozen.len());
    let classroom = Classroom {
        student: &student.network,
        mentors: roles.iter().map(String::as_str).zip(frozen.iter().map(|mentor| &mentor.network)).collect(),
        teachers,
        assistants,
    };
    let taps = (method.taps)(&classroom, values)?;
    let mut pupil = |role: &str, model: &Model, mode: Mode, names: &[String]| {
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let forward = model.record(tape, layout, images, mode, &wanted)?;
        let features = names.iter().cloned().zip(forward.taps).collect();
        Ok::<_, Error>(Pupil { role: role.into(), logits: forward.logits, features, model: Some(model.clone()) })
    };
    let mut mentors = Vec::new();
    for (index, (role, mentor)) in roles.iter().zip(frozen).enumerate() {
        mentors.push(pupil(role, mentor, Mode::Eval, taps.mentors.get(index).map_or(&[][..], Vec::as_slice))?);
    }
    let student_pupil = pupil("student", student, Mode::Train, &taps.student)?;
    let mut equipment = Equipment::new("method", tape.float());
    let taught = {
        let mut lesson = Lesson {
            student: student_pupil,
            labels,
            mentors,
            teachers,
            assistants,
            label_smoothing: 0.0,
            phase: 0,
            batch: None,
            layout: &mut *layout,
            equipment: &mut equipment,
        };
        (method.record)(tape, &mut lesson, values)?
    };
    if equipment.is_learned() {
        let message =
            format!("a trajectory of the method {}, which has parameters of its own, is no case", method.name);
        return Err(Error::request(message));
    }

    let copied = |id: StateId| equipment.copies.iter().any(|(copy, _)| *copy == id);
    let learns = |one: &&ModelParameter| one.spec.trainable && !copied(one.value);
    let trainable: Vec<_> = student.parameters.iter().filter(learns).collect();
    let weights: Vec<ValueId> = trainable.iter().map(|parameter| tape.state(layout, parameter.value)).collect();
    let one = tape.fill([], 1.0);
    let gradients = tape.backward(&[(taught.loss, one)], &weights)?;
    let mut updates = Vec::new();
    for ((parameter, weight), gradient) in trainable.iter().zip(weights).zip(gradients) {
        let name = &parameter.spec.name;
        let gradient = gradient.ok_or_else(|| Error::request(format!("no gradient reaches {name}")))?;
        let velocity = layout.declare(format!("velocity/{name}"), tape.float(), tape.shape(weight));
        updates.push(SgdParameter { weight, gradient, velocity: tape.state(layout, velocity) });
    }
    let [number, broken] = ["number", "broken"].map(|name| {
        let id = layout.declare(name, DType::U32, [1]);
        tape.state(layout, id)
    });
    let rate = tape.state(layout, rate);
    tape.sgd(&updates, rate, Watch { loss: taught.loss, number, broken }, optimizer.options)?;

    let temperatures = taught.mentors.iter().map(|mentor| mentor.temperature.unwrap_or(Quantity::Constant(1.0)));
    let temperatures: Vec<Quantity> = temperatures.collect();
    let active: Vec<Quantity> = taught.mentors.iter().map(|mentor| mentor.active).collect();
    tape.keep(taught.loss);
    for quantity in temperatures.iter().chain(&active) {
        if let Quantity::Element(value, _) = quantity {
            tape.keep(*value);
        }
    }
    Ok(Step { plan: Plan::on(processor, tape, layout)?, equipment, loss: taught.loss, temperatures, active })
}

impl Step {
    fn read(&self, arena: &Arena, state: &State, quantities: &[Quantity]) -> Result<Vec<f64>> {
        let one = |quantity: &Quantity| match *quantity {
            Quantity::Constant(value) => Ok(value),
            Quantity::Element(value, index) => Ok(self.plan.read_f64(arena, state, value)?[index]),
        };
        quantities.iter().map(one).collect()
    }
}
