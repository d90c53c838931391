//! What a method says about itself, and what it needs of a classroom.

use super::hyperparameter::Hyperparameter;
use super::lesson::Lesson;
use super::settings::Hyperparameters;
use super::taught::Taught;
use crate::error::Result;
use crate::nn::Network;
use crate::tape::Tape;

/// What a method says about itself.
#[derive(Debug)]
pub struct MethodDescription {
    /// Its name in a config.
    pub name: &'static str,
    /// One line: what it does.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it needs of a classroom.
    pub needs: Needs,
    /// What can be chosen.
    pub hyperparameters: &'static [Hyperparameter],
    /// Says which hyperparameter contradicts the others, and why, where each for itself is fine.
    pub contradiction: fn(&Hyperparameters) -> Option<(&'static str, String)>,
    /// The epochs, counted from 0 and ascending, from which on something else is recorded: the method's phases after the
    /// first. Of what is not reached nothing is recorded.
    pub phases: fn(&Hyperparameters) -> Vec<u32>,
    /// The features that the method reads, and whether the classroom can give them.
    pub taps: fn(&Classroom<'_>, &Hyperparameters) -> Result<Taps>,
    /// The net that learns in the student's place, where that is another than the config names.
    pub student: fn(&Classroom<'_>, &Hyperparameters) -> Result<Option<Network>>,
    /// Whether its loss knows smoothed labels ([`Lesson::label_smoothing`]); a config that has both is refused otherwise.
    pub takes_smoothed_labels: bool,
    /// Records the method's loss for a lesson on the tape.
    pub record: fn(&mut Tape, &mut Lesson<'_>, &Hyperparameters) -> Result<Taught>,
    /// Says in a few words what the method has learned of its own, given its parameters by name.
    pub learned: Learned,
}

/// What a method has learned, by name, from its hyperparameters, from the roles of the mentors that it used, and from its
/// parameters by name.
pub type Learned = fn(&Hyperparameters, &[&str], &dyn Fn(&str) -> Option<Vec<f32>>) -> Vec<(String, String)>;

impl MethodDescription {
    /// A method on logits with nothing special; its loss is the cross-entropy.
    pub const BASE: Self = Self {
        name: "",
        title: "",
        paper: "",
        needs: Needs { teachers: Use::Unused, assistants: Use::Unused, peers: Use::Unused, features: false },
        hyperparameters: &[],
        contradiction: |_| None,
        phases: |_| Vec::new(),
        taps: |_, _| Ok(Taps::default()),
        student: |_, _| Ok(None),
        takes_smoothed_labels: true,
        record: |tape, lesson, _| super::cross_entropy::record(tape, lesson),
        learned: |_, _, _| Vec::new(),
    };
}

/// The networks of a classroom.
#[derive(Clone, Debug)]
pub struct Classroom<'a> {
    /// The student's.
    pub student: &'a Network,
    /// Those of the frozen mentors, with their roles: teachers, assistants, peers.
    pub mentors: Vec<(&'a str, &'a Network)>,
    /// How many of them are teachers.
    pub teachers: usize,
    /// How many, after the teachers, are assistants.
    pub assistants: usize,
}

impl Classroom<'_> {
    /// The places of teachers and peers among the mentors: who teaches where all mentors are alike, as
    /// [`Lesson::classmates`] lists them.
    pub fn classmates(&self) -> Vec<usize> {
        let peers = self.teachers + self.assistants..self.mentors.len();
        (0..self.teachers).chain(peers).collect()
    }
}

/// Names of features that a method reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taps {
    /// Of the student.
    pub student: Vec<String>,
    /// Of each mentor, in their order; empty at the end for those of which nothing is read.
    pub mentors: Vec<Vec<String>>,
}

/// What a method needs of a classroom. A method that makes use of mentors at all needs at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Whether teachers take part.
    pub teachers: Use,
    /// Whether assistants take part.
    pub assistants: Use,
    /// Whether peers take part.
    pub peers: Use,
    /// Whether it reads feature maps, not logits alone.
    pub features: bool,
}

impl Needs {
    /// Whether any mentor takes part.
    pub fn mentors(self) -> bool {
        [self.teachers, self.assistants, self.peers].iter().any(|part| *part != Use::Unused)
    }
}

/// Whether a part of the classroom takes part in a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is ignored.
    Unused,
    /// It takes part where there is one.
    Optional,
    /// There has to be one.
    Required,
    /// There have to be two or more.
    Several,
}

impl Use {
    /// How many there have to be.
    pub fn least(self) -> usize {
        match self {
            Self::Unused | Self::Optional => 0,
            Self::Required => 1,
            Self::Several => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::distill::METHODS;

    #[test]
    fn names_are_unique_and_none_is_a_key_of_every_method() {
        for (index, method) in METHODS.iter().enumerate() {
            assert!(METHODS[..index].iter().all(|earlier| earlier.name != method.name), "{} twice", method.name);
            for (index, one) in method.hyperparameters.iter().enumerate() {
                let earlier = &method.hyperparameters[..index];
                assert!(earlier.iter().all(|other| other.name != one.name), "{}.{} twice", method.name, one.name);
                assert!(!["name", "label", "weights"].contains(&one.name), "{}.{}", method.name, one.name);
            }
        }
    }
}
