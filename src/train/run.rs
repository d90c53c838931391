//! A whole run: mentors are pretrained together, then for every seed the student learns by all methods together, one seed
//! after the other or all of them side by side; everything is logged, saved and tested on the way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::evaluation::evaluate;
use super::event::Event;
use super::folder::RunFolder;
use super::lineup::{Lineup, MentorPlan, Tensors};
use super::material::Material;
use super::records::{Phase, Summary};
use super::results::{ModelResult, per_class, summarise};
use super::room;
use super::session::{Position, Session};
use super::stage::{Design, Enrolment, MemoryPlan, Stage};
use super::stop::Stop;
use super::trainer::Trainer;
use super::weights::{self, ModelCard, Training};
use crate::config::{Config, TrainConfig};
use crate::distill::cross_entropy;
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::host;
use crate::nn::Network;
use crate::ops::batch::Augmentation;
use crate::ops::evaluate::Counts;

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
    processor: Processor,
    config: Config,
    material: Material,
    lineup: Lineup,
}

/// One stage's place in the run.
#[derive(Clone, Debug)]
struct StagePlan {
    phase: Phase,
    seeds: Vec<u64>,
}

/// The stages of a run in order, of which the largest fits into memory.
#[derive(Debug)]
struct Course {
    stages: Vec<StagePlan>,
    /// Planned bytes of the largest.
    bytes: usize,
}

/// A stage that does not fit into memory.
#[derive(Debug)]
struct Misfit {
    plan: StagePlan,
    /// Bytes that it needs.
    planned: u64,
    /// Bytes that there are.
    available: u64,
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
        let processor = processor.clone();
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
        self.initialise(&mut stage);
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
        for plan in self.course(None)?.stages {
            // Stages of one phase differ by their seed only.
            if let Some(like) = stages.last().filter(|stage| stage.phase == plan.phase).cloned() {
                stages.push(StageForecast { seeds: plan.seeds, ..like });
                continue;
            }
            let mut stage = self.record(&plan)?;
            self.initialise(&mut stage);
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
            stages.push(StageForecast {
                phase: plan.phase,
                seeds: plan.seeds,
                learners: learners(&stage),
                epochs: stage.config().epochs,
                steps_per_epoch: stage.steps_per_epoch(),
                memory: stage.memory(),
                time: Duration::from_secs_f64(median.as_secs_f64() * epoch * f64::from(stage.config().epochs)),
            });
        }
        Ok(Forecast { data: self.material.describe(), data_bytes: self.material.bytes(), stages })
    }

    /// Trains everything in a new folder: `out`, or the next free one.
    ///
    /// # Errors
    /// If something cannot be written, a number is not finite, or the run was stopped.
    pub fn start(self, out: Option<&Path>, stop: &Stop, observe: &mut Observer<'_>) -> Result<Outcome> {
        let course = self.course(None)?;
        let session = Session::create(out, &self.config)?;
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
        let run = Self::prepare(config, processor)?;
        let course = run.course(position.as_ref())?;
        run.train(session, position, course, stop, observe)
    }

    /// The stages in order: pretraining where a mentor needs it, then the student's seeds, all `together` or one by one.
    fn stages(&self, together: bool) -> Vec<StagePlan> {
        let needed = self.lineup.mentors.iter().any(|mentor| !mentor.ready);
        let pretrain = needed.then(|| StagePlan { phase: Phase::Pretrain, seeds: self.config.pretrain.seeds.clone() });
        let seeds = &self.config.train.seeds;
        let at_once = if together { seeds.len() } else { 1 };
        let seeds = seeds.chunks(at_once).map(|seeds| StagePlan { phase: Phase::Distil, seeds: seeds.to_vec() });
        pretrain.into_iter().chain(seeds).collect()
    }

    /// How the run goes. Whether seeds learn together is decided by the checkpoint at `position` if it is one of the
    /// student's, else by the config, which may leave it to what fits into a GPU's memory.
    ///
    /// # Errors
    /// If a stage cannot be recorded, or does not fit into memory.
    fn course(&self, position: Option<&Position>) -> Result<Course> {
        let begun =
            position.filter(|position| position.phase == Phase::Distil).map(|position| position.seeds.len() > 1);
        // On a CPU it would only cost memory.
        let may = self.processor.gpu().is_some() && self.config.train.seeds.len() > 1;
        let choice = begun.or(self.config.train.seeds_together);
        let stages = self.stages(choice.unwrap_or(may));
        match self.fit(&stages)? {
            Ok(bytes) => Ok(Course { stages, bytes }),
            Err(misfit) if choice.is_some() || !may || misfit.plan.phase == Phase::Pretrain => {
                Err(self.refusal(&misfit)?)
            }
            Err(_) => {
                let stages = self.stages(false);
                match self.fit(&stages)? {
                    Ok(bytes) => Ok(Course { stages, bytes }),
                    Err(misfit) => Err(self.refusal(&misfit)?),
                }
            }
        }
    }

    /// Planned bytes of the largest of `stages`, or the first of them that does not fit into the machine's memory.
    fn fit(&self, stages: &[StagePlan]) -> Result<Result<usize, Misfit>> {
        let mut most = 0;
        let mut seen = None;
        // Stages of one phase differ by their seed only.
        for plan in stages {
            if seen != Some(plan.phase) {
                let planned = self.design(plan, self.stage_config(plan.phase))?.memory().bytes();
                if let Some(available) = self.available_bytes()?.filter(|available| planned as u64 > *available) {
                    return Ok(Err(Misfit { plan: plan.clone(), planned: planned as u64, available }));
                }
                most = most.max(planned);
                seen = Some(plan.phase);
            }
        }
        Ok(Ok(most))
    }

    /// Says what does not fit, and what would.
    fn refusal(&self, misfit: &Misfit) -> Result<Error> {
        let Misfit { plan, planned, available } = misfit;
        let config = self.stage_config(plan.phase);
        let with_batch = |batch_size| {
            let config = TrainConfig { batch_size, ..config.clone() };
            Ok(self.design(plan, &config)?.memory().bytes() as u64)
        };
        let fits = room::largest(config.batch_size, *available, with_batch)?;
        Ok(room::too_large(plan.phase, plan.seeds.len(), config.batch_size, *planned, *available, fits))
    }

    /// Bytes that a stage may take: of the host's memory, or of a GPU's that is left beside the data set.
    fn available_bytes(&self) -> Result<Option<u64>> {
        match self.processor.gpu() {
            None => Ok(host::available_bytes()),
            Some(device) => Ok(Some(device.memory()?.free.saturating_sub(self.material.bytes() as u64))),
        }
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
            // Taken, so that the checkpoint's tensors do not stay in memory.
            let done = match position.take() {
                Some(position) => {
                    position.restore(&mut stage)?;
                    position.step
                }
                None => {
                    self.initialise(&mut stage);
                    0
                }
            };
            self.load_mentors(&mut stage, &session)?;
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
            let made = self.keep(&stage, plan.phase, &counts, &session, observe)?;
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
        self.design(plan, self.stage_config(plan.phase))?.allocate(&self.material)
    }

    /// Records and plans a stage that is trained as `config` says.
    fn design(&self, plan: &StagePlan, config: &TrainConfig) -> Result<Design> {
        let augment = &self.config.data.augment;
        let augmentation = Augmentation { crop_padding: augment.crop_padding as usize, flip: augment.flip };
        let lineup = &self.lineup;
        let (enrolments, mentors): (Vec<Enrolment<'_>>, _) = match plan.phase {
            Phase::Pretrain => {
                let unready = lineup.mentors.iter().filter(|mentor| !mentor.ready);
                let enrolments = unready.map(|mentor| Enrolment {
                    role: mentor.role.clone(),
                    network: mentor.network.clone(),
                    method: None,
                    teach: Box::new(cross_entropy::record),
                });
                (enrolments.collect(), Vec::new())
            }
            Phase::Distil => {
                let enrolments = self.config.methods.iter().map(|method| Enrolment {
                    role: "student".into(),
                    network: lineup.student.clone(),
                    method: Some(method.label.clone()),
                    teach: Box::new(|tape, lesson| (method.description.record)(tape, lesson, &method.hyperparameters)),
                });
                // Nobody asks: no mentor runs (the plan leaves out what is not read).
                (enrolments.collect(), lineup.mentors.iter().map(|m| (m.role.clone(), m.network.clone())).collect())
            }
        };
        let Self { processor, material, .. } = self;
        Design::new(processor, material, config, augmentation, &plan.seeds, enrolments, mentors, lineup.teachers)
    }

    fn stage_config(&self, phase: Phase) -> &TrainConfig {
        match phase {
            Phase::Pretrain => &self.config.pretrain,
            Phase::Distil => &self.config.train,
        }
    }

    /// Draws (or loads) the learners' first weights; the student's are the same for every method.
    fn initialise(&self, stage: &mut Stage) {
        for index in 0..stage.learners.len() {
            let (model, seed) = (stage.learners[index].model.clone(), stage.learners[index].seed);
            let mentor = self.lineup.mentors.iter().find(|mentor| mentor.role == model.role);
            match (&self.lineup.student_weights, mentor) {
                (Some(weights), None) => model.set(&mut stage.state, weights).expect("checked when they were read"),
                (_, mentor) => model.initialise(&mut stage.state, seed, mentor.map_or(0, |mentor| mentor.place)),
            }
        }
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

    /// Saves the final weights of a stage and says how good they are.
    fn keep(
        &self,
        stage: &Stage,
        phase: Phase,
        counts: &[Counts],
        session: &Session,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<ModelResult>> {
        let mut results = Vec::new();
        for (learner, counts) in stage.learners.iter().zip(counts) {
            let (model, method) = (&learner.model, learner.method.clone());
            let trained_by = method.clone().unwrap_or_else(|| Summary::ALONE.into());
            let path = match &method {
                Some(method) => session.folder.student_weights(method, learner.seed),
                None => session.folder.mentor_weights(&model.role),
            };
            let tensors = model.tensors(&stage.state);
            let card = self.card(&model.network, phase, learner.seed, &trained_by);
            save_weights(&path, &model.network, &tensors, &card)?;
            let best = stage.state.get::<f64>(learner.best);
            let last = counts.top1 / counts.images;
            observe(&Event::Tested { role: model.role.clone(), method, seed: learner.seed, top1: last });
            results.push(ModelResult {
                role: model.role.clone(),
                model: model.network.name.clone(),
                params: model.network.parameter_count() as u64,
                trained_by,
                last,
                best_validation: (best[1] > 0.0).then_some(best[2]),
                per_class: per_class(counts),
            });
        }
        Ok(results)
    }

    /// Copies the mentors that came with weights into the run's folder, and tests them.
    fn ready_mentors(&mut self, session: &Session) -> Result<Vec<ModelResult>> {
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
            last: counts.top1 / counts.images,
            best_validation: None,
            per_class: per_class(&counts),
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
    fn in_order(&self, results: &mut [ModelResult]) {
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
        trained: Training {
            phase: Phase::Pretrain,
            method: "loaded".into(),
            seed: 0,
            epochs: 0,
            data: "unknown".into(),
        },
    }
}

fn save_weights(path: &Path, network: &Network, tensors: &Tensors, card: &ModelCard) -> Result<()> {
    let parameters = network.parameters();
    let views: Vec<(&str, &[usize], &[f32])> =
        parameters.iter().map(|p| (p.name.as_str(), p.shape.as_slice(), tensors[&p.name].as_slice())).collect();
    weights::save(path, &views, card)
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
