//! The distillation methods. Each is one file: what it is called, where it was published, what it needs and which
//! hyperparameters it has; and how its loss is recorded on the tape. A new method is a new file and a line in
//! [`METHODS`].

#[cfg(test)]
mod check;
#[cfg(test)]
mod counts;
mod description;
mod equipment;
mod lesson;
mod logits;
mod taught;

pub mod adapters;
pub mod features;
pub mod hint;
pub mod relations;

pub mod amtml;
pub mod at;
pub mod avg_kd;
pub mod ca_mkd;
pub mod classroomkd;
pub mod crd;
pub mod cross_entropy;
pub mod dgkd;
pub mod dist;
pub mod dkd;
pub mod dml;
pub mod dtkd;
pub mod eb_kd;
pub mod fitnet;
pub mod kd;
pub mod logit_std;
pub mod mlkd;
pub mod nst;
pub mod ofd;
pub mod one;
pub mod pkt;
pub mod review_kd;
pub mod rkd;
pub mod sim_kd;
pub mod sokd;
pub mod sp;
pub mod takd;
pub mod vid;

pub use description::{
    Classroom, Hyperparameter, Hyperparameters, Kind, MethodDescription, Needs, Raw, Setting, Taps, Use,
};
pub use equipment::{Equipment, Learning, Piece, Ramp};
pub use lesson::{Lesson, LessonBatch, Pupil};
pub use taught::{MentorUse, Quantity, Rule, Taught, Term, Update, Write};

/// Every method, in the order in which they are listed.
pub const METHODS: &[&MethodDescription] = &[
    &cross_entropy::DESCRIPTION,
    &kd::DESCRIPTION,
    &dkd::DESCRIPTION,
    &dist::DESCRIPTION,
    &dtkd::DESCRIPTION,
    &logit_std::DESCRIPTION,
    &mlkd::DESCRIPTION,
    &fitnet::DESCRIPTION,
    &at::DESCRIPTION,
    &sp::DESCRIPTION,
    &rkd::DESCRIPTION,
    &pkt::DESCRIPTION,
    &vid::DESCRIPTION,
    &nst::DESCRIPTION,
    &ofd::DESCRIPTION,
    &crd::DESCRIPTION,
    &review_kd::DESCRIPTION,
    &sim_kd::DESCRIPTION,
    &avg_kd::DESCRIPTION,
    &ca_mkd::DESCRIPTION,
    &eb_kd::DESCRIPTION,
    &takd::DESCRIPTION,
    &dgkd::DESCRIPTION,
    &dml::DESCRIPTION,
    &one::DESCRIPTION,
    &classroomkd::DESCRIPTION,
    &amtml::DESCRIPTION,
    &sokd::DESCRIPTION,
];

/// The method called `name`.
pub fn find(name: &str) -> Option<&'static MethodDescription> {
    METHODS.iter().copied().find(|method| method.name == name)
}

/// The names of all methods.
pub fn names() -> impl Iterator<Item = &'static str> {
    METHODS.iter().map(|method| method.name)
}
