//! Who is in the classroom: networks for the data at hand, and weights that are there already.

use std::collections::BTreeMap;

use super::material::Material;
use super::weights::{self, ModelCard};
use crate::config::{ClassroomConfig, MethodConfig, ModelChoice};
use crate::error::Result;
use crate::nn::Network;

/// Tensors by name in PyTorch's order.
pub type Tensors = BTreeMap<String, Vec<f32>>;

/// A mentor before the run.
#[derive(Clone, Debug)]
pub struct MentorPlan {
    /// `teacher`, `teacher-2`, ..., `peer-1`, ...
    pub role: String,
    /// Its layers.
    pub network: Network,
    /// Whether the config names weights; otherwise it is pretrained in this run.
    pub ready: bool,
    /// The weights that the config names, until the run's folder holds a copy of them.
    pub weights: Option<Tensors>,
    /// What the file of the weights that the config names says about them.
    pub card: Option<ModelCard>,
    /// By what it is taught by the mentors before it; none: it learns from the labels, or has its weights.
    pub taught_by: Option<MethodConfig>,
    /// Its place in the classroom, which tells equal models apart when weights are drawn; the student's is 0.
    pub place: u32,
}

/// Everybody.
#[derive(Clone, Debug)]
pub struct Lineup {
    /// Teachers first, then assistants, then peers.
    pub mentors: Vec<MentorPlan>,
    /// How many of them are teachers.
    pub teachers: usize,
    /// How many, after the teachers, are assistants.
    pub assistants: usize,
    /// The student's layers.
    pub student: Network,
    /// Weights that the student starts from, if the config names some.
    pub student_weights: Option<Tensors>,
}

impl Lineup {
    /// Builds every network and reads every file of weights that the config names.
    ///
    /// # Errors
    /// For an unknown model, one that cannot take the images, or weights that do not fit.
    pub fn new(config: &ClassroomConfig, material: &Material) -> Result<Self> {
        let mut mentors = Vec::new();
        for (index, (role, choice)) in config.mentors().into_iter().enumerate() {
            let network = build(material, choice, &role)?;
            let loaded = load(choice, &network, &role)?;
            let (weights, card) = loaded.map_or((None, None), |loaded| (Some(loaded.tensors), loaded.card));
            let (ready, place) = (weights.is_some(), index as u32 + 1);
            let taught_by = choice.taught_by.clone().filter(|_| !ready);
            mentors.push(MentorPlan { role, network, ready, weights, card, taught_by, place });
        }
        let student = build(material, &config.student, "student")?;
        let student_weights = load(&config.student, &student, "student")?.map(|loaded| loaded.tensors);
        let (teachers, assistants) = (config.teachers.len(), config.assistants.len());
        Ok(Self { mentors, teachers, assistants, student, student_weights })
    }
}

fn build(material: &Material, choice: &ModelChoice, role: &str) -> Result<Network> {
    material.network(&choice.model).map_err(|error| error.within(role))
}

fn load(choice: &ModelChoice, network: &Network, role: &str) -> Result<Option<weights::Loaded>> {
    let Some(path) = &choice.weights else { return Ok(None) };
    let path = weights::locate(path, role).map_err(|error| error.within(role))?;
    let parameters = network.parameters();
    let expected: Vec<(&str, &[usize])> = parameters.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
    weights::load(&path, &expected).map(Some).map_err(|error| error.within(role))
}
