//! The distillation methods. Each is one file: what it is called, where it was published, what it needs and which
//! hyperparameters it has; and how its loss is recorded on the tape. A new method is a new file and a line in
//! [`METHODS`].

#[cfg(test)]
mod check;
#[cfg(test)]
mod counts;
mod description;
mod equipment;
mod hyperparameter;
mod lesson;
mod logits;
mod ramp;
mod settings;
mod taught;

mod adapters;
mod features;
mod hint;
mod relations;

mod amtml;
mod at;
mod avg_kd;
mod ca_mkd;
mod classroomkd;
mod crd;
pub mod cross_entropy;
mod dgkd;
mod dist;
mod dkd;
mod dml;
mod dtkd;
mod eb_kd;
mod fitnet;
mod kd;
mod logit_std;
mod mlkd;
mod nst;
mod ofd;
mod one;
mod pkt;
mod review_kd;
mod rkd;
mod sim_kd;
mod sokd;
mod sp;
mod takd;
mod vid;

pub use description::{Classroom, MethodDescription, Needs, Taps, Use};
pub use equipment::{Equipment, Learning, Piece};
pub use hyperparameter::{Hyperparameter, Kind, Raw, Setting};
pub use lesson::{Lesson, LessonBatch, Pupil};
pub use ramp::Ramp;
pub use settings::Hyperparameters;
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
