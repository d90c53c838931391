//! The distillation methods. Each is one file: what it is called, where it was published, what it needs and which
//! hyperparameters it has; and how its loss is recorded on the tape. A new method is a new file and a line in
//! [`METHODS`].

#[cfg(test)]
mod check;
mod description;
mod equipment;
mod lesson;
mod taught;

pub mod adapters;
pub mod features;

pub mod classroomkd;
pub mod crd;
pub mod cross_entropy;
pub mod kd;
pub mod ofd;
pub mod review_kd;
pub mod sim_kd;
pub mod sokd;
pub mod takd;

pub use description::{
    Classroom, Hyperparameter, Hyperparameters, Kind, MethodDescription, Needs, Raw, Setting, Taps, Use,
};
pub use equipment::{Equipment, Learning, Piece, Ramp};
pub use lesson::{Lesson, LessonBatch, Pupil};
pub use taught::{MentorUse, Quantity, Rule, Taught, Term, Update, Write};

/// Every method, in the order in which they are listed.
pub const METHODS: &[&MethodDescription] =
    &[&cross_entropy::DESCRIPTION, &kd::DESCRIPTION, &classroomkd::DESCRIPTION, &takd::DESCRIPTION, &sokd::DESCRIPTION];

/// The method called `name`.
pub fn find(name: &str) -> Option<&'static MethodDescription> {
    METHODS.iter().copied().find(|method| method.name == name)
}

/// The names of all methods.
pub fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}
