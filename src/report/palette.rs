//! Which colour and dash stands for which mentor and which method, the same in every figure of the page.

use super::chart::{COLOURS, GREY, INK};
use super::run::Run;
use crate::train::records::{STUDENT, SummaryModel};

/// Mentors and methods in the order in which they appear.
pub(super) struct Palette {
    mentors: Vec<String>,
    methods: Vec<String>,
}

impl Palette {
    pub(super) fn of(runs: &[Run]) -> Self {
        let (mut mentors, mut methods) = (Vec::new(), Vec::new());
        let add = |names: &mut Vec<String>, name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_string());
            }
        };
        for run in runs {
            for line in &run.metrics {
                match &line.method {
                    Some(method) if line.role == STUDENT && !line.is_alone() => add(&mut methods, method),
                    _ if line.role == STUDENT => {}
                    _ => add(&mut mentors, &line.role),
                }
            }
            run.classroom.iter().for_each(|line| add(&mut mentors, &line.mentor));
            for model in run.summary.iter().flat_map(|summary| &summary.models).filter(|model| !model.is_alone()) {
                match model.is_student() {
                    true => add(&mut methods, &model.trained_by),
                    false => add(&mut mentors, &model.role),
                }
            }
        }
        Self { mentors, methods }
    }

    /// Colour and dash of a mentor; none for what is no mentor.
    pub(super) fn known_mentor(&self, role: &str) -> Option<(usize, usize)> {
        self.mentors.iter().position(|known| known == role).map(|index| (index % COLOURS, index / COLOURS))
    }

    /// Colour and dash of a mentor.
    pub(super) fn mentor(&self, role: &str) -> (usize, usize) {
        self.known_mentor(role).unwrap_or((GREY, 0))
    }

    /// Colour and dash of the student by the method with that label. Methods begin where mentors end, and their colours
    /// come back, dashed, when all were used.
    pub(super) fn method(&self, label: &str, alone: bool) -> (usize, usize) {
        match self.methods.iter().position(|known| known == label).filter(|_| !alone) {
            Some(index) => ((index + self.mentors.len()) % COLOURS, index / COLOURS),
            None => (GREY, 0),
        }
    }

    /// Colour where the model's name stands beside it: only methods are told apart.
    pub(super) fn named(&self, model: &SummaryModel) -> usize {
        if model.is_student() { self.method(&model.trained_by, model.is_alone()).0 } else { INK }
    }

    /// Colour and dash of the `index`-th of other things, after the mentors.
    pub(super) fn other(&self, index: usize) -> (usize, usize) {
        ((index + self.mentors.len()) % COLOURS, index / COLOURS)
    }
}
