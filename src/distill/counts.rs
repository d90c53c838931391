//! What a step of a method costs, in forward and backward passes: for tests of methods whose networks learn together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Equipment, Learning, Lesson, LessonBatch, Pupil, find};
use crate::nn::{Mode, Model, ModelParameter};
use crate::ops::batch::{Augmentation, BatchSource};
use crate::tape::{StateLayout, Tape, ValueId};
use crate::tensor::DType;

/// How many convolutions (linear layers are such too) of each kind one step of `method` with the student `model` records:
/// forward, data gradients, weight gradients.
pub(super) fn step(method: &str, hyperparameters: &str, model: &str) -> BTreeMap<&'static str, usize> {
    let method = find(method).expect("a method of that name");
    let values = method.from_json(&serde_json::from_str(hyperparameters).unwrap()).unwrap();
    let network = crate::nn::build(model, 10, 3, 32, 32).unwrap();
    let classroom = super::Classroom { student: &network, mentors: Vec::new(), teachers: 0, assistants: 0 };
    let taps = (method.taps)(&classroom, &values).unwrap();
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let mut value = |tape: &mut Tape, name: &str, dtype: DType, shape: &[usize]| {
        let id = layout.declare(name, dtype, crate::tensor::Shape::new(shape));
        tape.state(&layout, id)
    };
    let source = BatchSource {
        images: value(&mut tape, "pixels", DType::U8, &[8, 32, 32, 3]),
        labels: value(&mut tape, "all labels", DType::U32, &[8]),
        indices: value(&mut tape, "indices", DType::U32, &[4]),
        step: value(&mut tape, "step", DType::U32, &[1]),
    };
    let images = value(&mut tape, "images", DType::F32, &[4, 32, 32, 3]);
    let labels = value(&mut tape, "labels", DType::U32, &[4]);
    let student = Model::declare(&mut layout, "student", "student", network, DType::F32);
    let names: Vec<&str> = taps.student.iter().map(String::as_str).collect();
    let forward = student.record(&mut tape, &layout, images, Mode::Train, &names).unwrap();
    let augmentation = Augmentation { crop_padding: 0, flip: false };
    let normalisation = (vec![0.0; 3], vec![1.0; 3]);
    let mut equipment = Equipment::new("method", DType::F32);
    let taught = {
        let mut lesson = Lesson {
            student: Pupil {
                role: "student".into(),
                logits: forward.logits,
                features: taps.student.iter().cloned().zip(forward.taps).collect(),
                model: Some(student.clone()),
            },
            labels,
            mentors: Vec::new(),
            teachers: 0,
            assistants: 0,
            label_smoothing: 0.0,
            phase: 0,
            batch: Some(LessonBatch {
                images,
                source,
                normalisation,
                augmentation,
                seed: 1,
                all_labels: Arc::default(),
                learned: Arc::default(),
            }),
            layout: &mut layout,
            equipment: &mut equipment,
        };
        (method.record)(&mut tape, &mut lesson, &values).unwrap()
    };
    let of = |model: &Model| -> Vec<ModelParameter> {
        model.parameters.iter().filter(|parameter| parameter.spec.trainable).cloned().collect()
    };
    let own = equipment.models.iter().filter(|(_, learning)| *learning == Learning::WithStudent);
    let learned: Vec<ModelParameter> = of(&student).into_iter().chain(own.flat_map(|(model, _)| of(model))).collect();
    let wanted: Vec<ValueId> = learned.iter().map(|one| tape.state(&layout, one.value)).collect();
    let one = tape.fill([], 1.0);
    let gradients = tape.backward(&[(taught.loss, one)], &wanted).unwrap();
    for (gradient, parameter) in gradients.iter().zip(&learned) {
        assert!(gradient.is_some(), "{}: nothing reaches {}", method.name, parameter.spec.name);
    }
    let count = |name: &str| tape.nodes().iter().filter(|node| node.op.name() == name).count();
    ["conv2d", "conv2d_dgrad", "conv2d_wgrad"].into_iter().map(|name| (name, count(name))).collect()
}
