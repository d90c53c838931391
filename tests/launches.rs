//! A training step with and without fusion ([`Tape::set_fusion`]): it means the same, and with it a GPU launches far fewer
//! kernels.

use std::collections::BTreeMap;

use kd_engine::bench::step::preset_config;
use kd_engine::config::Config;
use kd_engine::distill::{Equipment, Lesson, Pupil};
use kd_engine::nn::{self, Mode, Model};
use kd_engine::ops::batch::{Augmentation, BatchSource};
use kd_engine::ops::evaluate::Counts;
use kd_engine::ops::sgd::{SgdOptions, SgdParameter, Watch};
use kd_engine::tape::{Arena, Plan, StateId, StateLayout, Tape, ValueId, launches};
use kd_engine::tensor::{DType, Shape};

/// Records the update of `model`, whose loss is `loss`, and returns the gradients of its parameters.
fn learn(tape: &mut Tape, layout: &mut StateLayout, model: &Model, loss: ValueId, rate: ValueId) -> Vec<ValueId> {
    let trainable: Vec<StateId> =
        model.parameters.iter().filter(|parameter| parameter.spec.trainable).map(|parameter| parameter.value).collect();
    let weights: Vec<ValueId> = trainable.iter().map(|id| tape.state(layout, *id)).collect();
    let one = tape.fill([], 1.0);
    let gradients: Vec<ValueId> =
        tape.backward(&[(loss, one)], &weights).unwrap().into_iter().map(|gradient| gradient.unwrap()).collect();
    let float = tape.float();
    let [number, broken] = ["number", "broken"].map(|name| layout.declare(name, DType::U32, [1]));
    let parameters: Vec<SgdParameter> = weights
        .iter()
        .zip(&gradients)
        .map(|(weight, gradient)| {
            let velocity = layout.declare("velocity", float, tape.shape(*weight));
            SgdParameter { weight: *weight, gradient: *gradient, velocity: tape.state(layout, velocity) }
        })
        .collect();
    let watch = Watch { loss, number: tape.state(layout, number), broken: tape.state(layout, broken) };
    tape.sgd(&parameters, rate, watch, SgdOptions { momentum: 0.9, weight_decay: 5e-4, nesterov: false }).unwrap();
    gradients
}

/// One step of a preset's distillation as a run records it: the batch, all mentors, and the student once per method with
/// its loss, its update and its counters.
fn classroom(config: &Config, batch: usize, storage: DType, fusion: bool) -> (Tape, StateLayout) {
    let mut layout = StateLayout::new();
    let mut tape = Tape::with_storage(DType::F32, storage);
    tape.set_fusion(fusion);
    let mut value = |tape: &mut Tape, name: &str, dtype: DType, shape: Shape| {
        let id = layout.declare(name, dtype, shape);
        tape.state(&layout, id)
    };
    let source = BatchSource {
        images: value(&mut tape, "pixels", DType::U8, [2 * batch, 32, 32, 3].into()),
        labels: value(&mut tape, "labels", DType::U32, [2 * batch].into()),
        indices: value(&mut tape, "indices", DType::U32, [batch].into()),
        step: value(&mut tape, "step", DType::U32, [1].into()),
    };
    let (valid, rate) =
        (value(&mut tape, "valid", DType::U32, [1].into()), value(&mut tape, "rate", DType::F32, [].into()));
    let augmentation = Augmentation { crop_padding: 4, flip: true };
    let (images, labels) = tape.batch(&source, &[0.5; 3], &[0.25; 3], augmentation, 1).unwrap();
    let network = |name: &str| nn::build(name, 100, 3, 32, 32).unwrap();
    let mut mentors = Vec::new();
    for (index, (_, mentor)) in config.classroom.mentors().into_iter().enumerate() {
        tape.set_lane(index as u32);
        let role = format!("mentor {index}");
        let model = Model::declare(&mut layout, &role, &role, network(&mentor.model), DType::F32);
        let logits = model.record(&mut tape, &layout, images, Mode::Eval, &[]).unwrap().logits;
        mentors.push(Pupil::of_logits(role, logits));
    }
    for (index, method) in config.methods.iter().enumerate() {
        tape.set_lane((mentors.len() + index) as u32);
        let role = format!("student {index}");
        let model = Model::declare(&mut layout, &role, &role, network(&config.classroom.student.model), DType::F32);
        let logits = model.record(&mut tape, &layout, images, Mode::Train, &[]).unwrap().logits;
        let mut equipment = Equipment::new(role.as_str(), DType::F32);
        let mut lesson = Lesson {
            student: Pupil::of_logits("student", logits),
            labels,
            mentors: mentors.clone(),
            teachers: config.classroom.teachers.len(),
            assistants: 0,
            label_smoothing: 0.0,
            phase: 0,
            batch: None,
            layout: &mut layout,
            equipment: &mut equipment,
        };
        let taught = (method.description.record)(&mut tape, &mut lesson, &method.hyperparameters).unwrap();
        let counts = Counts::declare(&mut layout, &format!("{role}/trained"), 100);
        let counts = tape.state(&layout, counts);
        tape.evaluate(logits, labels, valid, counts).unwrap();
        learn(&mut tape, &mut layout, &model, taught.loss, rate);
        let total = layout.declare("loss", DType::F64, [1]);
        let total = tape.state(&layout, total);
        tape.accumulate_into(taught.loss, total).unwrap();
    }
    (tape, layout)
}

/// How often each kernel is launched.
fn counted(config: &Config, batch: usize, storage: DType, fusion: bool) -> BTreeMap<String, usize> {
    let (tape, layout) = classroom(config, batch, storage, fusion);
    let mut counts = BTreeMap::new();
    launches(&tape, &layout).unwrap().into_iter().for_each(|launch| *counts.entry(launch.kernel).or_default() += 1);
    counts
}

#[test]
fn a_classroom_launches_at_most_60_of_100_kernels_of_its_unfused_step() {
    let config = preset_config("classroomkd-MobileNetV2-ResNet50").unwrap();
    for storage in [DType::BF16, DType::F32] {
        let [fused, alone] = [true, false].map(|fusion| counted(&config, 64, storage, fusion));
        let [few, many] = [&fused, &alone].map(|counts| counts.values().sum::<usize>());
        println!("{storage}: {few} launches, {many} without fusion");
        for kernel in alone.keys().chain(fused.keys()).collect::<std::collections::BTreeSet<_>>() {
            let of = |counts: &BTreeMap<String, usize>| counts.get(kernel).copied().unwrap_or(0);
            println!("  {:5} {:5}  {kernel}", of(&fused), of(&alone));
        }
        assert!(few * 100 <= many * 60, "{storage}: {few} launches of {many}");
        // Convolutions leave the statistics that BatchNorm needs, but for those that are named in their files.
        let statistics: usize =
            fused.iter().filter(|(name, _)| name.starts_with("batch_norm_statistics")).map(|(_, count)| count).sum();
        assert_eq!(statistics, 0, "{storage}: MobileNetV2's convolutions leave their statistics");
    }
}

/// What a training step leaves: loss, gradients and all state.
fn step(name: &str, fusion: bool) -> Vec<f64> {
    let float = DType::F64;
    let (batch, classes) = (4, 5);
    let mut layout = StateLayout::new();
    let images = layout.declare("images", float, [batch, 16, 16, 3]);
    let labels = layout.declare("labels", DType::U32, [batch]);
    let rate = layout.declare("rate", float, []);
    let model = Model::declare(&mut layout, "m", "student", nn::build(name, classes, 3, 16, 16).unwrap(), float);
    let mut tape = Tape::new(float);
    tape.set_fusion(fusion);
    let [x, y, r] = [images, labels, rate].map(|id| tape.state(&layout, id));
    let logits = model.record(&mut tape, &layout, x, Mode::Train, &[]).unwrap().logits;
    let loss = tape.cross_entropy(logits, y, 0.0).unwrap();
    let gradients = learn(&mut tape, &mut layout, &model, loss, r);
    let kept: Vec<ValueId> = gradients.into_iter().chain([loss]).collect();
    kept.iter().for_each(|id| tape.keep(*id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    let pixels: Vec<f64> = (0..batch * 16 * 16 * 3).map(|index| f64::from(index as f32 * 0.7).sin()).collect();
    state.set_f64(images, &pixels);
    state.get_mut::<u32>(labels).copy_from_slice(&[0, 3, 1, 4]);
    state.set_f64(rate, &[0.1]);
    model.initialise(&mut state, 1, 0);
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    let mut left: Vec<f64> = kept.iter().flat_map(|id| plan.read_f64(&arena, &state, *id).unwrap()).collect();
    left.extend(model.parameters.iter().flat_map(|parameter| state.to_f64(parameter.value)));
    left
}

/// Additions in another order, in f64: a ReLU's kink within that rounding would show, and none is.
#[test]
fn a_step_without_fusion_means_the_same() {
    for name in ["resnet8", "wrn_16_1", "MobileNetV2", "ShuffleV1", "ShuffleV2"] {
        let [fused, alone] = [true, false].map(|fusion| step(name, fusion));
        assert_eq!(fused.len(), alone.len());
        let largest = fused.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        for (index, (a, b)) in fused.iter().zip(&alone).enumerate() {
            assert!((a - b).abs() <= 1e-10 * largest, "{name}, number {index}: {a} and {b}");
        }
    }
}
