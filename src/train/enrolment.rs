//! Who learns in a stage, by which method, and from whom.

use super::course::StagePlan;
use super::design::Design;
use super::lineup::{Lineup, MentorPlan};
use super::records::Phase;
use super::run::Run;
use crate::config::{MethodConfig, TrainConfig};
use crate::distill::{Classroom, Lesson, Taps, Taught, cross_entropy};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::nn::Network;
use crate::ops::batch::Augmentation;
use crate::tape::Tape;

/// How a learner's loss is recorded.
pub type Teach<'a> = Box<dyn Fn(&mut Tape, &mut Lesson<'_>) -> Result<Taught> + 'a>;

/// A model that is to learn.
pub struct Enrolment<'a> {
    /// Its role and layers.
    pub role: String,
    /// Its layers.
    pub network: Network,
    /// The method's label; `None` for a mentor.
    pub method: Option<String>,
    /// The epochs in which its method's later phases begin.
    pub phases: Vec<u32>,
    /// The features that its method reads.
    pub taps: Taps,
    /// How its loss is recorded.
    pub teach: Teach<'a>,
}

/// The frozen models of a stage.
#[derive(Clone, Debug, Default)]
pub struct Faculty {
    /// Roles and layers: teachers, then assistants, then peers.
    pub mentors: Vec<(String, Network)>,
    /// How many of them are teachers.
    pub teachers: usize,
    /// How many, after the teachers, are assistants.
    pub assistants: usize,
}

impl Run {
    /// Records and plans a stage that is trained on `processor` as `config` says.
    pub(super) fn design<'a>(
        &'a self,
        processor: &Processor,
        plan: &StagePlan,
        config: &TrainConfig,
    ) -> Result<Design> {
        let augment = &self.config.data.augment;
        let augmentation = Augmentation { crop_padding: augment.crop_padding as usize, flip: augment.flip };
        let lineup = &self.lineup;
        let (enrolments, faculty) = match plan.phase {
            Phase::Pretrain => {
                let learns = |mentor: &&MentorPlan| !mentor.ready && mentor.taught_by.is_none();
                let enrol = |mentor: &MentorPlan| Enrolment {
                    role: mentor.role.clone(),
                    network: mentor.network.clone(),
                    method: None,
                    phases: Vec::new(),
                    taps: Taps::default(),
                    teach: Box::new(cross_entropy::record),
                };
                (lineup.mentors.iter().filter(learns).map(enrol).collect(), Faculty::default())
            }
            Phase::Assist => {
                // The first of those that are taught says who is there before them.
                let faculty = self.faculty(plan.apprentices[0].min(lineup.teachers + lineup.assistants));
                let enrol = |mentor: &usize| {
                    let mentor = &lineup.mentors[*mentor];
                    let method = mentor.taught_by.as_ref().expect("apprentices are taught");
                    let enrolment = enrol(&mentor.role, &mentor.network, None, method, &faculty)?;
                    if enrolment.network.name != mentor.network.name {
                        let message = format!("{} cannot be taught by {}", mentor.role, method.description.name);
                        let made = format!("that method makes another net of it, {}", enrolment.network.name);
                        return Err(Error::request(message).help(made));
                    }
                    Ok(enrolment)
                };
                (plan.apprentices.iter().map(enrol).collect::<Result<_>>()?, faculty)
            }
            Phase::Distil => {
                // Nobody asks: no mentor runs (the plan leaves out what is not read).
                let faculty = self.faculty(lineup.mentors.len());
                let enrol =
                    |method: &'a MethodConfig| enrol("student", &lineup.student, Some(&method.label), method, &faculty);
                (self.config.methods.iter().map(enrol).collect::<Result<_>>()?, faculty)
            }
        };
        Design::new(processor, &self.material, config, augmentation, &plan.seeds, enrolments, faculty).map_err(
            |error| {
                // Whose batches they are.
                let table = if plan.phase == Phase::Distil { "train" } else { "pretrain" };
                error.within(format!("[{table}]"))
            },
        )
    }

    /// The first `count` mentors, frozen.
    fn faculty(&self, count: usize) -> Faculty {
        let Lineup { mentors, teachers, assistants, .. } = &self.lineup;
        let before = mentors[..count].iter().map(|mentor| (mentor.role.clone(), mentor.network.clone()));
        let teachers = count.min(*teachers);
        Faculty { mentors: before.collect(), teachers, assistants: (count - teachers).min(*assistants) }
    }
}

/// A model that is to learn by a method from `faculty`.
fn enrol<'a>(
    role: &str,
    network: &Network,
    label: Option<&str>,
    method: &'a MethodConfig,
    faculty: &Faculty,
) -> Result<Enrolment<'a>> {
    let MethodConfig { description, hyperparameters, .. } = method;
    let classroom = Classroom {
        student: network,
        mentors: faculty.mentors.iter().map(|(role, network)| (role.as_str(), network)).collect(),
        teachers: faculty.teachers,
        assistants: faculty.assistants,
    };
    let within = |error: Error| error.within(format!("method {}", method.label));
    let own = (description.student)(&classroom, hyperparameters).map_err(within)?;
    Ok(Enrolment {
        role: role.into(),
        taps: (description.taps)(&classroom, hyperparameters).map_err(within)?,
        network: own.unwrap_or_else(|| network.clone()),
        method: label.map(String::from),
        phases: (description.phases)(hyperparameters),
        teach: Box::new(move |tape, lesson| {
            (description.record)(tape, lesson, hyperparameters)
                .map_err(|error| error.within(format!("method {}", method.label)))
        }),
    })
}
