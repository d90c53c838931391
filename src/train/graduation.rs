//! What a stage leaves behind: the final weights of everything that learned, and how good they are.

use std::path::Path;

use super::course::StagePlan;
use super::evaluation::evaluate;
use super::event::Event;
use super::learner::Learner;
use super::lineup::{MentorPlan, Tensors};
use super::material::Material;
use super::records::{LOADED, Phase, Summary};
use super::results::{ModelResult, per_class};
use super::run::{Observer, Run};
use super::session::Session;
use super::stage::Stage;
use super::weights::{self, ModelCard, Training};
use crate::config::MethodConfig;
use crate::error::Result;
use crate::nn::Network;
use crate::ops::evaluate::Counts;

impl Run {
    /// By which method `learner` is taught: the student by one of the config's, a mentor by its own; none where the labels
    /// teach it.
    pub(super) fn method_of(&self, learner: &Learner) -> Option<&MethodConfig> {
        match &learner.method {
            Some(label) => self.config.methods.iter().find(|method| method.label == *label),
            None => {
                let mentor = self.lineup.mentors.iter().find(|mentor| mentor.role == learner.model.role);
                mentor.and_then(|mentor| mentor.taught_by.as_ref())
            }
        }
    }

    /// Saves the final weights of a stage and says how good they are.
    pub(super) fn keep(
        &self,
        stage: &Stage,
        plan: &StagePlan,
        counts: &[Counts],
        session: &Session,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<ModelResult>> {
        let mut results = Vec::new();
        for (learner, counts) in stage.learners.iter().zip(counts) {
            let (model, method) = (&learner.model, learner.method.clone());
            let taught_by = self.method_of(learner);
            let trained_by = taught_by.map_or_else(|| Summary::ALONE.into(), |by| by.label.clone());
            let path = match &method {
                Some(method) => session.folder.student_weights(method, learner.seed),
                None => session.folder.mentor_weights(&model.role),
            };
            let tensors = model.tensors(&stage.state);
            let card = self.card(&model.network, plan.phase, learner.seed, &trained_by);
            save_weights(&path, &model.network, &tensors, &card)?;
            if let Some(method) = method.as_ref().filter(|_| learner.equipment.is_learned()) {
                let tensors = learner.equipment.tensors(&stage.state);
                let views: Vec<(&str, &[usize], &[f32])> =
                    tensors.iter().map(|(name, shape, values)| (name.as_str(), &shape[..], &values[..])).collect();
                weights::save(&session.folder.method_weights(method, learner.seed), &views, Some(&card))?;
            }
            let learned = match taught_by {
                Some(config) => {
                    let tensors = learner.equipment.tensors(&stage.state);
                    let value = |name: &str| {
                        tensors.iter().find(|(known, ..)| known == name).map(|(.., values)| values.clone())
                    };
                    let uses = learner.uses(stage.segment(stage.config().epochs.saturating_sub(1)));
                    let roles: Vec<&str> = uses.iter().map(|mentor| mentor.role.as_str()).collect();
                    let told = (config.description.learned)(&config.hyperparameters, &roles, &value);
                    told.into_iter().map(|(name, text)| format!("{name}: {text}")).collect()
                }
                None => Vec::new(),
            };
            let best = stage.state.get::<f64>(learner.best);
            let last = counts.top1 / counts.images;
            observe(&Event::Tested { role: model.role.clone(), method, seed: learner.seed, top1: last });
            results.push(ModelResult {
                role: model.role.clone(),
                model: model.network.name.clone(),
                params: model.network.parameter_count() as u64,
                trained_by,
                method_name: taught_by.and_then(name_beside_label),
                last,
                best_validation: (best[1] > 0.0).then_some(best[2]),
                per_class: per_class(counts),
                learned,
            });
        }
        Ok(results)
    }

    /// Copies the mentors that came with weights into the run's folder, and tests them.
    pub(super) fn ready_mentors(&mut self, session: &Session) -> Result<Vec<ModelResult>> {
        let mut models = Vec::new();
        for mentor in &mut self.lineup.mentors {
            let Some(tensors) = mentor.weights.take() else { continue };
            let card = mentor.card.get_or_insert_with(|| unknown(&mentor.network, &self.material));
            save_weights(&session.folder.mentor_weights(&mentor.role), &mentor.network, &tensors, card)?;
            models.push((mentor.role.clone(), mentor.network.clone(), tensors));
        }
        let counts = evaluate(&self.processor, &self.material, models, self.config.train.batch_size)?;
        let ready = self.lineup.mentors.iter().filter(|mentor| mentor.ready);
        let result = |(mentor, counts): (&MentorPlan, Counts)| ModelResult {
            role: mentor.role.clone(),
            model: mentor.network.name.clone(),
            params: mentor.network.parameter_count() as u64,
            trained_by: mentor.card.as_ref().map(|card| card.trained.method.clone()).unwrap_or_default(),
            method_name: None,
            last: counts.top1 / counts.images,
            best_validation: None,
            per_class: per_class(&counts),
            learned: Vec::new(),
        };
        Ok(ready.zip(counts).map(result).collect())
    }

    /// What is written beside the weights that a stage has trained.
    fn card(&self, network: &Network, phase: Phase, seed: u64, method: &str) -> ModelCard {
        let trained = Training {
            phase,
            method: method.to_string(),
            seed,
            epochs: u64::from(self.stage_config(phase).epochs),
            data: self.material.name.clone(),
        };
        ModelCard { trained, ..unknown(network, &self.material) }
    }

    /// Mentors in the order of the classroom, then the student by the order of methods (seeds stay in theirs).
    pub(super) fn in_order(&self, results: &mut [ModelResult]) {
        let mentors = &self.lineup.mentors;
        let place = |result: &ModelResult| match mentors.iter().position(|mentor| mentor.role == result.role) {
            Some(place) => place,
            None => {
                let method = self.config.methods.iter().position(|method| method.label == result.trained_by);
                mentors.len() + method.unwrap_or(usize::MAX / 2)
            }
        };
        results.sort_by_key(place);
    }
}

/// The method's own name where its label is another: what a record says beside the label.
pub(super) fn name_beside_label(method: &MethodConfig) -> Option<String> {
    let name = method.description.name;
    (method.label != name).then(|| name.to_string())
}

/// The card of a model that nothing says the training of.
fn unknown(network: &Network, material: &Material) -> ModelCard {
    let widen = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect();
    ModelCard {
        model: network.name.clone(),
        classes: network.classes,
        class_names: material.classes.clone(),
        input: [network.height, network.width, network.in_channels],
        mean: widen(&material.normalisation.mean),
        std: widen(&material.normalisation.std),
        trained: Training { phase: Phase::Pretrain, method: LOADED.into(), seed: 0, epochs: 0, data: "unknown".into() },
    }
}

fn save_weights(path: &Path, network: &Network, tensors: &Tensors, card: &ModelCard) -> Result<()> {
    let parameters = network.parameters();
    let views: Vec<(&str, &[usize], &[f32])> =
        parameters.iter().map(|p| (p.name.as_str(), p.shape.as_slice(), tensors[&p.name].as_slice())).collect();
    weights::save(path, &views, Some(card))
}
