//! What a method is given to teach the student with.

use std::sync::Arc;

use super::equipment::Equipment;
use crate::error::{Error, Result};
use crate::nn::{Forward, Mode, Model};
use crate::ops::batch::BatchSource;
use crate::tape::{StateLayout, Tape, ValueId};

/// One batch as everybody in the classroom sees it, and what the method owns.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// Who learns.
    pub student: Pupil,
    /// The labels `[B]`, u32.
    pub labels: ValueId,
    /// The frozen mentors: teachers first, then assistants, then peers.
    pub mentors: Vec<Pupil>,
    /// How many of the mentors are teachers.
    pub teachers: usize,
    /// How many of the mentors, after the teachers, are assistants.
    pub assistants: usize,
    /// Share of a label that is spread over all classes in the cross-entropy of methods that have one.
    pub label_smoothing: f64,
    /// Which of the method's phases is recorded: 0 from the first epoch on, 1 from the first of
    /// [`super::MethodDescription::phases`] on, and so on.
    pub phase: usize,
    /// The images behind the batch; none in a parity case.
    pub batch: Option<LessonBatch>,
    /// Where state is declared.
    pub layout: &'a mut StateLayout,
    /// What the method owns.
    pub equipment: &'a mut Equipment,
}

/// The images of a batch and what is known of the training split.
#[derive(Clone, Debug)]
pub struct LessonBatch {
    /// Normalised and augmented, `[B, H, W, C]`.
    pub images: ValueId,
    /// Where they were made from: which image each one is, and the number of the step.
    pub source: BatchSource,
    /// Mean and standard deviation of each channel.
    pub normalisation: (Vec<f32>, Vec<f32>),
    /// How they were cropped and flipped.
    pub augmentation: crate::ops::batch::Augmentation,
    /// The seed of everything that is drawn in this lesson.
    pub seed: u64,
    /// The labels of all images of the training data, held out or not; indices of images are below their number.
    pub all_labels: Arc<Vec<u32>>,
    /// The indices of those images that are learned from: what is held out for validation is never in a batch.
    pub learned: Arc<Vec<u32>>,
}

/// A model in a lesson: the student, or a frozen mentor.
#[derive(Clone, Debug)]
pub struct Pupil {
    /// `student`, `teacher`, `teacher-2`, ..., `assistant-1`, ..., `peer-1`, ...
    pub role: String,
    /// Its logits `[B, C]`.
    pub logits: ValueId,
    /// The features that the method asked for, by name, `[B, H, W, C]` in the type of activations.
    pub features: Vec<(String, ValueId)>,
    /// Its layers and parameters; none in a parity case.
    pub model: Option<Model>,
}

impl Pupil {
    /// A model of which nothing but the logits is known.
    pub fn of_logits(role: impl Into<String>, logits: ValueId) -> Self {
        Self { role: role.into(), logits, features: Vec::new(), model: None }
    }

    /// The feature `name` `[B, H, W, C]`, which the method asked for ([`super::MethodDescription::taps`]), as losses compute
    /// with it: in the tape's float type.
    ///
    /// # Errors
    /// If it was not asked for.
    pub fn feature(&self, tape: &mut Tape, name: &str) -> Result<ValueId> {
        let activation = self.activation(name)?;
        tape.cast(activation, tape.float())
    }

    /// The feature `name` in the type of activations, as layers compute with it.
    ///
    /// # Errors
    /// If it was not asked for.
    pub fn activation(&self, name: &str) -> Result<ValueId> {
        self.features.iter().find(|(known, _)| known == name).map(|(_, value)| *value).ok_or_else(|| {
            let error = Error::request(format!("{} has no feature `{name}` in this lesson", self.role));
            error.suggest(name, self.features.iter().map(|(known, _)| known.as_str()))
        })
    }

    /// Its layers and parameters.
    ///
    /// # Errors
    /// In a parity case of kind loss, which has logits and features only.
    pub fn model(&self) -> Result<&Model> {
        self.model.as_ref().ok_or_else(|| Error::request(format!("the {} is no whole model here", self.role)))
    }
}

impl Lesson<'_> {
    /// The cross-entropy of the student with the labels, a scalar.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn cross_entropy(&self, tape: &mut Tape) -> Result<ValueId> {
        tape.cross_entropy(self.student.logits, self.labels, self.label_smoothing)
    }

    /// The teachers.
    pub fn teachers(&self) -> &[Pupil] {
        &self.mentors[..self.teachers]
    }

    /// The assistants, largest first.
    pub fn assistants(&self) -> &[Pupil] {
        &self.mentors[self.teachers..self.teachers + self.assistants]
    }

    /// The peers.
    pub fn peers(&self) -> &[Pupil] {
        &self.mentors[self.teachers + self.assistants..]
    }

    /// Teachers and peers: who teaches where all mentors are alike.
    pub fn classmates(&self) -> impl Iterator<Item = &Pupil> {
        self.teachers().iter().chain(self.peers())
    }

    /// The first teacher.
    ///
    /// # Errors
    /// If there is none.
    pub fn teacher(&self) -> Result<&Pupil> {
        self.teachers().first().ok_or_else(|| Error::request("this method needs a teacher"))
    }

    /// What a parity case holds as `given/<name>`, in place of what would be recorded.
    pub fn given(&self, name: &str) -> Option<ValueId> {
        self.equipment.given.get(name).copied()
    }

    /// The images behind the batch.
    ///
    /// # Errors
    /// In a parity case, which has logits and features only.
    pub fn batch(&self) -> Result<&LessonBatch> {
        self.batch.as_ref().ok_or_else(|| Error::request("there are no images here, only logits and features"))
    }

    /// One more forward pass of the student in training mode, of other `images`, with the features `taps`. Running
    /// statistics move once more.
    ///
    /// # Errors
    /// As the layers; in a parity case.
    pub fn student_again(&self, tape: &mut Tape, images: ValueId, taps: &[&str]) -> Result<Forward> {
        self.student.model()?.record(tape, self.layout, images, Mode::Train, taps)
    }

    /// One more forward pass of a frozen mentor, of other `images`, with the features `taps`.
    ///
    /// # Errors
    /// As the layers; in a parity case.
    pub fn mentor_again(&self, tape: &mut Tape, mentor: usize, images: ValueId, taps: &[&str]) -> Result<Forward> {
        self.mentors[mentor].model()?.record(tape, self.layout, images, Mode::Eval, taps)
    }
}
