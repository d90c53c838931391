//! The distillation methods. Each is one file: what it is called, where it was published, what it needs and which
//! hyperparameters it has; and how its loss is recorded on the tape. A new method is a new file and a line in
//! [`METHODS`].

mod description;
mod lesson;

pub mod classroomkd;
pub mod cross_entropy;
pub mod kd;

pub use description::{Hyperparameter, Hyperparameters, Kind, MethodDescription, Needs, Raw, Setting, Use};
pub use lesson::{Lesson, Mentor, MentorUse, Quantity, Taught, Term};

/// Every method, in the order in which they are listed.
pub const METHODS: &[&MethodDescription] = &[&cross_entropy::DESCRIPTION, &kd::DESCRIPTION, &classroomkd::DESCRIPTION];

/// The method called `name`.
pub fn find(name: &str) -> Option<&'static MethodDescription> {
    METHODS.iter().copied().find(|method| method.name == name)
}

/// The names of all methods.
pub fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}
