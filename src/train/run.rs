//! A whole run: mentors are pretrained together, then for every seed the student learns by all methods together, one seed
//! after the other or all of them side by side; everything is logged, saved and tested on the way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::course::{Course, StagePlan};
use super::event::Event;
use super::folder::RunFolder;
use super::learner::Learner;
use super::lineup::{Lineup, MentorPlan};
use super::material::Material;
use super::records::{Phase, Summary};
use super::results::summarise;
use super::session::{Position, Session};
use super::stage::{Design, Enrolment, Faculty, MemoryPlan, Stage};
use super::stop::Stop;
use super::trainer::Trainer;
use super::weights;
use crate::config::{Config, MethodConfig, TrainConfig};
use crate::distill::{Classroom, Equipment, Taps, cross_entropy};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::gpu::tuning::Choices;
use crate::nn::Network;
use crate::ops::batch::Augmentation;

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

/// What a run would do.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The data set in words.
    pub data: String,
    /// Bytes of the data set.
    pub data_bytes: usize,
    /// Each stage.
    pub stages: Vec<StageForecast>,
}

/// What a stage would do.
#[derive(Clone, Debug)]
pub struct StageForecast {
    /// Pretraining or distillation.
    pub phase: Phase,
    /// The seeds that are trained side by side; one as a rule.
    pub seeds: Vec<u64>,
    /// Who learns.
    pub learners: Vec<String>,
    /// Epochs of the stage.
    pub epochs: u32,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// What it needs.
    pub memory: MemoryPlan,
    /// Estimated time, from a few steps that were tried on throw-away weights.
    pub time: Duration,
}

impl Forecast {
    /// The largest stage's planned bytes.
    pub fn planned_bytes(&self) -> usize {
        self.stages.iter().map(|stage| stage.memory.bytes()).max().unwrap_or(0)
    }
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
        let lineup = Lineup::new(&config.classroom, &config.methods, &material)?;
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

    /// Says what the run would do; trains nothing that is kept.
    ///
    /// # Errors
    /// If a stage cannot be recorded, or does not fit into memory.
    pub fn forecast(&self) -> Result<Forecast> {
        let mut stages: Vec<StageForecast> = Vec::new();
        let mut known = Vec::new();
        for plan in self.course(None)?.stages {
            if let Some((like, _)) =
                known.iter().rfind(|(_, before): &&(StageForecast, StagePlan)| before.is_like(&plan))
            {
                stages.push(StageForecast { seeds: plan.seeds, ..like.clone() });
                continue;
            }
            let mut stage = self.record(&plan)?;
            self.initialise(&mut stage)?;
            let mut times = Vec::new();
            for step in 0..4.min(stage.steps_per_epoch()) {
                let start = Instant::now();
                stage.step(0, step)?;
                stage.look()?;
                times.push(start.elapsed());
            }
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            // Evaluation is a forward pass: about a third of a step.
            let epoch = stage.steps_per_epoch() as f64 + stage.evaluation_batches() as f64 / 3.0;
            let forecast = StageForecast {
                phase: plan.phase,
                seeds: plan.seeds.clone(),
                learners: learners(&stage),
                epochs: stage.config().epochs,
                steps_per_epoch: stage.steps_per_epoch(),
                memory: stage.memory(),
                time: Duration::from_secs_f64(median.as_secs_f64() * epoch * f64::from(stage.config().epochs)),
            };
            stages.push(forecast.clone());
            known.push((forecast, plan));
        }
        Ok(Forecast { data: self.material.describe(), data_bytes: self.material.bytes(), stages })
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
    fn record(&self, plan: &StagePlan) -> Result<Stage> {
        self.design(&self.processor, plan, self.stage_config(plan.phase))?.allocate(&self.material)
    }

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
                    enrol(&mentor.role, &mentor.network, None, method, &faculty)
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
        Design::new(processor, &self.material, config, augmentation, &plan.seeds, enrolments, faculty)
    }

    /// The first `count` mentors, frozen.
    fn faculty(&self, count: usize) -> Faculty {
        let Lineup { mentors, teachers, assistants, .. } = &self.lineup;
        let before = mentors[..count].iter().map(|mentor| (mentor.role.clone(), mentor.network.clone()));
        let teachers = count.min(*teachers);
        Faculty { mentors: before.collect(), teachers, assistants: (count - teachers).min(*assistants) }
    }

    pub(super) fn stage_config(&self, phase: Phase) -> &TrainConfig {
        match phase {
            Phase::Pretrain | Phase::Assist => &self.config.pretrain,
            Phase::Distil => &self.config.train,
        }
    }

    /// Draws (or loads) the learners' first weights; the student's are the same for every method.
    fn initialise(&self, stage: &mut Stage) -> Result<()> {
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
        let expected = equipment.expected();
        let views: Vec<(&str, &[usize])> = expected.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
        weights::load(path, &views).map(Some).map_err(|error| error.within(format!("method {}", config.label)))
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

/// Who learns in a stage, for people.
fn learners(stage: &Stage) -> Vec<String> {
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
