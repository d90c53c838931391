//! A whole run: mentors are pretrained together, then for every seed the student learns by all methods together, one seed
//! after the other or all of them side by side; everything is logged, saved and tested on the way.

use std::path::{Path, PathBuf};

use super::course::{Course, StagePlan};
use super::event::Event;
use super::folder::RunFolder;
use super::learner::Learner;
use super::lineup::Lineup;
use super::material::Material;
use super::records::{Phase, Summary};
use super::results::summarise;
use super::session::{Position, Session};
use super::stage::Stage;
use super::stop::Stop;
use super::trainer::Trainer;
use super::weights;
use crate::config::{Config, TrainConfig};
use crate::distill::Equipment;
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::gpu::tuning::Choices;

/// Who is told what happens.
pub type Observer<'a> = dyn FnMut(&Event) + Send + 'a;

/// What a run left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its folder.
    pub folder: PathBuf,
    /// What came out.
    pub summary: Summary,
}

/// A run that is prepared: everything that can be wrong about the request has been looked at.
#[derive(Debug)]
pub struct Run {
    pub(super) processor: Processor,
    pub(super) config: Config,
    pub(super) material: Material,
    pub(super) lineup: Lineup,
}

impl Run {
    /// Opens the data and builds the classroom, which is to be trained on `processor`.
    ///
    /// # Errors
    /// If the config asks for what cannot be had.
    pub fn prepare(config: Config, processor: &Processor) -> Result<Self> {
        config.check_device(processor)?;
        let material = Material::open(&config.data)?;
        Self::with_material(config, material, processor)
    }

    /// As [`Run::prepare`], on `material` instead of the data that the config names.
    ///
    /// # Errors
    /// If a model cannot take the images, or weights do not fit.
    pub fn with_material(config: Config, material: Material, processor: &Processor) -> Result<Self> {
        let lineup = Lineup::new(&config.classroom, &material)?;
        // What other runs of this process have chosen is not this one's.
        let processor = processor.taken_up(Some(Choices::default()));
        Ok(Self { processor, config, material, lineup })
    }

    /// The first stage of a phase, every weight drawn, those of the mentors too: for measuring.
    ///
    /// # Errors
    /// If there is no such stage, or it cannot be recorded.
    pub fn rehearse(&self, phase: Phase) -> Result<Stage> {
        let together = self.config.train.seeds_together == Some(true);
        let plan = self.stages(together).into_iter().find(|plan| plan.phase == phase);
        let plan = plan.ok_or_else(|| Error::request(format!("{} has no stage of {phase}", self.config.name)))?;
        let mut stage = self.record(&plan)?;
        self.initialise(&mut stage)?;
        for (mentor, place) in stage.mentors.iter().zip(1..) {
            mentor.initialise(&mut stage.state, plan.seeds[0], place);
        }
        Ok(stage)
    }

    /// Trains everything in a new folder: `out`, or the next free one.
    ///
    /// # Errors
    /// If something cannot be written, a number is not finite, or the run was stopped.
    pub fn start(self, out: Option<&Path>, stop: &Stop, observe: &mut Observer<'_>) -> Result<Outcome> {
        let course = self.course(None)?;
        let session = Session::create(out, &self.config, &self.processor.choices())?;
        self.train(session, None, course, stop, observe)
    }

    /// Takes up the run in `folder` and trains the rest on `processor`.
    ///
    /// # Errors
    /// As [`Run::start`]; also if the folder is not a run's, or its checkpoint does not fit.
    pub fn resume(folder: &Path, processor: &Processor, stop: &Stop, observe: &mut Observer<'_>) -> Result<Outcome> {
        let folder = RunFolder::open(folder)?;
        let path = folder.path().display().to_string();
        let config = Config::load(Some(&format!("{path}/config.toml")), &Default::default())?;
        let (session, position) = Session::resume(folder, &config)?;
        let mut run = Self::prepare(config, processor)?;
        run.processor = processor.taken_up(session.folder.choices()?);
        let course = run.course(position.as_ref())?;
        run.train(session, position, course, stop, observe)
    }

    fn train(
        mut self,
        mut session: Session,
        mut position: Option<Position>,
        course: Course,
        stop: &Stop,
        observe: &mut Observer<'_>,
    ) -> Result<Outcome> {
        let Course { stages, bytes: planned_bytes } = course;
        let folder = session.folder.path().to_path_buf();
        observe(&Event::Started {
            folder: folder.display().to_string(),
            data: self.material.describe(),
            planned_bytes,
            data_bytes: self.material.bytes(),
            stages: stages.len(),
        });
        let (first, mut results) = match &position {
            Some(position) => (position.stage, position.results.clone()),
            None => (0, Vec::new()),
        };
        match &position {
            None => results.extend(self.ready_mentors(&session)?),
            // The run's folder has copies.
            Some(_) => self.lineup.mentors.iter_mut().for_each(|mentor| mentor.weights = None),
        }
        for (number, plan) in stages.iter().enumerate().skip(first) {
            let mut stage = self.record(plan)?;
            session.folder.write_choices(&self.processor.choices())?;
            // Taken, so that the checkpoint's tensors do not stay in memory.
            let done = match position.take() {
                Some(position) => {
                    position.restore(&mut stage)?;
                    position.step
                }
                None => {
                    self.initialise(&mut stage)?;
                    0
                }
            };
            self.load_mentors(&mut stage, &session)?;
            stage.derive_from_mentors();
            observe(&Event::Stage {
                number: number + 1,
                phase: plan.phase,
                seeds: plan.seeds.clone(),
                learners: learners(&stage),
                epochs: stage.config().epochs,
                steps_per_epoch: stage.steps_per_epoch(),
                done,
                planned_bytes: stage.memory().bytes(),
                operations: stage.memory().operations,
                lanes: stage.memory().lanes,
            });
            let mut trainer = Trainer {
                session: &mut session,
                checkpoints: &self.config.output.checkpoints,
                phase: plan.phase,
                number,
                stop,
                results: &results,
                run: &self,
            };
            let counts = trainer.train(&mut stage, done, observe)?;
            let made = self.keep(&stage, plan, &counts, &session, observe)?;
            results.extend(made);
        }
        self.in_order(&mut results);
        let summary = summarise(&self.processor, &self.config, &self.material.classes, &results);
        session.folder.write_summary(&summary)?;
        crate::report::write(&[&folder], &session.folder.report())?;
        session.finish()?;
        observe(&Event::Finished { folder: folder.display().to_string() });
        Ok(Outcome { folder, summary })
    }

    /// Records, plans and allocates a stage.
    pub(super) fn record(&self, plan: &StagePlan) -> Result<Stage> {
        self.design(&self.processor, plan, self.stage_config(plan.phase))?.allocate(&self.material)
    }

    pub(super) fn stage_config(&self, phase: Phase) -> &TrainConfig {
        match phase {
            Phase::Pretrain | Phase::Assist => &self.config.pretrain,
            Phase::Distil => &self.config.train,
        }
    }

    /// Draws (or loads) the learners' first weights; the student's are the same for every method.
    pub(super) fn initialise(&self, stage: &mut Stage) -> Result<()> {
        for index in 0..stage.learners.len() {
            let (model, seed) = (stage.learners[index].model.clone(), stage.learners[index].seed);
            let mentor = self.lineup.mentors.iter().find(|mentor| mentor.role == model.role);
            match (&self.lineup.student_weights, mentor) {
                (Some(weights), None) => model.set(&mut stage.state, weights).expect("checked when they were read"),
                (_, mentor) => model.initialise(&mut stage.state, seed, mentor.map_or(0, |mentor| mentor.place)),
            }
            let Stage { learners, state, .. } = stage;
            let Learner { equipment, method, .. } = &learners[index];
            equipment.initialise(state, seed);
            if let Some(loaded) = self.method_weights(method.as_deref(), equipment)? {
                equipment.set(state, &loaded.tensors)?;
            }
        }
        Ok(())
    }

    /// What `method` owns, where the config names a file of it.
    ///
    /// # Errors
    /// If it does not fit.
    pub(super) fn method_weights(
        &self,
        method: Option<&str>,
        equipment: &Equipment,
    ) -> Result<Option<weights::Loaded>> {
        let config = self.config.methods.iter().find(|one| Some(one.label.as_str()) == method);
        let Some((config, path)) = config.and_then(|config| Some((config, config.weights.as_ref()?))) else {
            return Ok(None);
        };
        let within = |error: Error| error.within(format!("method {}", config.label));
        let expected = equipment.expected();
        if expected.is_empty() {
            let name = config.description.name;
            return Err(within(Error::request(format!(
                "`weights` is for what a method trains of its own, and {name} trains nothing"
            ))));
        }
        if path.is_dir() {
            let file = format!("{}/models/method-METHOD-seedN.safetensors", path.display());
            return Err(within(
                Error::request(format!("{} is a folder", path.display()))
                    .help(format!("give a file, in a run's folder {file}")),
            ));
        }
        let views: Vec<(&str, &[usize])> = expected.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
        weights::load(path, &views).map(Some).map_err(within)
    }

    /// Gives the frozen mentors their weights, which the run's folder holds: trained in this run, or copied at its start.
    fn load_mentors(&self, stage: &mut Stage, session: &Session) -> Result<()> {
        for index in 0..stage.mentors.len() {
            let model = stage.mentors[index].clone();
            let loaded = weights::load(&session.folder.mentor_weights(&model.role), &model.expected())?;
            model.set(&mut stage.state, &loaded.tensors)?;
        }
        Ok(())
    }
}

/// Who learns in a stage, for people.
pub(super) fn learners(stage: &Stage) -> Vec<String> {
    let name = |learner: &super::learner::Learner| match &learner.method {
        Some(method) => method.clone(),
        None => format!("{} {}", learner.model.role, learner.model.network.name),
    };
    // Every seed has the same.
    stage.learners.iter().filter(|learner| learner.seed == stage.seeds()[0]).map(name).collect()
}

/// A run that was stopped in an orderly way.
pub(super) fn stopped(folder: &Path, step: usize) -> Error {
    let folder = folder.display();
    Error::interrupted(format!("stopped after step {step}; everything is saved"))
        .help(format!("continue with: kd-engine run --resume {folder}"))
}
