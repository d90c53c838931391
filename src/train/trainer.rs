//! The loop over epochs and steps of one stage, with everything that is logged and saved on the way.

use std::time::{Duration, Instant};

use super::event::{Event, Running};
use super::graduation::name_beside_label;
use super::learner::Learner;
use super::records::{ClassroomLine, MetricsLine, NamedValues, Phase, TimingLine};
use super::results::ModelResult;
use super::run::{Observer, Run, stopped};
use super::session::{Place, Session, several};
use super::stage::Stage;
use super::stop::Stop;
use crate::config::Checkpoints;
use crate::distill::MentorUse;
use crate::error::Result;
use crate::ops::evaluate::Counts;

/// Steps between two looks at a stage that runs ahead, and between two reports of running accuracies.
const RUNNING_EVERY: usize = 16;

/// What training a stage needs besides the stage.
pub(super) struct Trainer<'a> {
    pub session: &'a mut Session,
    pub checkpoints: &'a Checkpoints,
    pub phase: Phase,
    /// The stage's number, from 0.
    pub number: usize,
    pub stop: &'a Stop,
    /// Results of the stages before, which every checkpoint carries.
    pub results: &'a [ModelResult],
    /// Whose stage it is: knows who is taught by which method.
    pub run: &'a Run,
}

impl Trainer<'_> {
    /// Trains `stage` from step `done` to its end; returns the counts of the last weights on the test split.
    pub fn train(&mut self, stage: &mut Stage, done: usize, observe: &mut Observer<'_>) -> Result<Vec<Counts>> {
        let steps = stage.steps_per_epoch();
        let epochs = stage.config().epochs;
        let mut last = None;
        for epoch in (done / steps) as u32..epochs {
            let start = Instant::now();
            let first = done.saturating_sub(epoch as usize * steps);
            if first == 0 {
                for index in 0..stage.learners.len() {
                    let Stage { learners, state, .. } = stage;
                    learners[index].reset(state);
                }
            }
            let mut times = StepTimes::of(steps - first);
            for step in first..steps {
                times.begin();
                stage.step(epoch, step)?;
                let finished = epoch as usize * steps + step + 1;
                let every = self.checkpoints.every_steps as usize;
                // At an epoch's end the epoch is closed first: its lines belong to what is saved.
                let is_last = step + 1 == steps;
                let reports = (step + 1).is_multiple_of(RUNNING_EVERY);
                let stops = !is_last && self.stop.requested();
                let saves = !is_last && every > 0 && finished.is_multiple_of(every);
                // What is not finite is neither reported nor saved.
                if reports || stops || saves || is_last || !stage.runs_ahead() {
                    stage.look()?;
                    times.end();
                }
                observe(&Event::Step { done: finished });
                if reports {
                    observe(&running(stage)?);
                }
                if stops {
                    self.save(stage, finished, !saves, observe)?;
                    return Err(stopped(self.session.folder.path(), finished));
                }
                if saves {
                    self.save(stage, finished, false, observe)?;
                }
            }
            let finished = (epoch as usize + 1) * steps;
            last = self.close_epoch(stage, epoch, observe)?;
            self.log_time(stage, epoch, start.elapsed(), times.steps)?;
            let Checkpoints { every_epochs, every_steps, .. } = *self.checkpoints;
            let due = every_epochs > 0 && ((epoch + 1).is_multiple_of(every_epochs) || epoch + 1 == epochs);
            let due = due || every_steps > 0 && finished.is_multiple_of(every_steps as usize);
            if due || self.stop.requested() {
                self.save(stage, finished, !due, observe)?;
            }
            if self.stop.requested() {
                return Err(stopped(self.session.folder.path(), finished));
            }
        }
        last.map_or_else(|| stage.test(), Ok)
    }

    /// Validates, tests where that is due, and writes the epoch's lines. The test split is looked at when a model is at its
    /// best on the validation split, so that the summary can say what that model would have scored, and at the end.
    fn close_epoch(
        &mut self,
        stage: &mut Stage,
        epoch: u32,
        observe: &mut Observer<'_>,
    ) -> Result<Option<Vec<Counts>>> {
        let validated = stage.validate()?;
        stage.state.fetch_all()?;
        let accuracy = |counts: &Counts| counts.top1 / counts.images;
        let improved: Vec<bool> = match &validated {
            None => vec![false; stage.learners.len()],
            Some(counts) => {
                let best = |index: usize| stage.state.get::<f64>(stage.learners[index].best);
                counts.iter().enumerate().map(|(i, c)| best(i)[1] == 0.0 || accuracy(c) > best(i)[0]).collect()
            }
        };
        let is_last = epoch + 1 == stage.config().epochs;
        let tested = (is_last || improved.contains(&true)).then(|| stage.test()).transpose()?;
        if let (Some(validated), Some(tested)) = (&validated, &tested) {
            for index in (0..improved.len()).filter(|index| improved[*index]) {
                let best = stage.learners[index].best;
                let numbers = [accuracy(&validated[index]), f64::from(epoch + 1), accuracy(&tested[index])];
                stage.state.get_mut::<f64>(best).copy_from_slice(&numbers);
            }
        }
        for index in 0..stage.learners.len() {
            let line = self.metrics(stage, index, epoch, validated.as_ref().map(|counts| accuracy(&counts[index])));
            self.session.log_metrics(&line)?;
            observe(&Event::Metrics(line));
            for line in self.classroom(stage, index, epoch) {
                self.session.log_classroom(&line)?;
                observe(&Event::Classroom(line));
            }
        }
        Ok(tested.filter(|_| is_last))
    }

    fn metrics(&self, stage: &Stage, index: usize, epoch: u32, validation_top1: Option<f64>) -> MetricsLine {
        let learner = &stage.learners[index];
        let steps = stage.steps_per_epoch();
        let trained = Counts::from_state(stage.state.get::<f64>(learner.trained));
        let segment = stage.segment(epoch);
        let mean = |quantity| learner.mean(&stage.state, segment, quantity, steps as f64);
        let terms = learner.terms(segment).iter().map(|term| (term.name.clone(), mean(term.value))).collect();
        let method = self.run.method_of(learner);
        MetricsLine {
            phase: self.phase,
            method: method.map(|method| method.label.clone()),
            method_name: method.and_then(name_beside_label),
            seed: learner.seed,
            role: learner.model.role.clone(),
            model: learner.model.network.name.clone(),
            epoch: u64::from(epoch) + 1,
            step: (u64::from(epoch) + 1) * steps as u64,
            lr: stage.rate(epoch, steps - 1),
            loss: stage.state.get::<f64>(learner.loss)[0] / steps as f64,
            losses: NamedValues(terms),
            train_top1: trained.top1 / trained.images,
            validation_top1,
        }
    }

    /// How a learner used its mentors in an epoch.
    fn classroom(&self, stage: &Stage, index: usize, epoch: u32) -> Vec<ClassroomLine> {
        let learner = &stage.learners[index];
        let Some(method) = self.run.method_of(learner) else { return Vec::new() };
        let segment = stage.segment(epoch);
        let mean = |quantity| learner.mean(&stage.state, segment, quantity, stage.steps_per_epoch() as f64);
        let line = |one: &MentorUse| ClassroomLine {
            phase: self.phase,
            role: learner.model.role.clone(),
            method: method.label.clone(),
            seed: learner.seed,
            epoch: u64::from(epoch) + 1,
            mentor: one.role.clone(),
            rank: one.rank.map(mean),
            weight: mean(one.weight),
            temperature: one.temperature.map(mean),
            active: mean(one.active),
        };
        learner.uses(segment).iter().map(line).collect()
    }

    fn log_time(&mut self, stage: &Stage, epoch: u32, whole: Duration, mut times: Vec<Duration>) -> Result<()> {
        times.sort_unstable();
        let training: Duration = times.iter().sum();
        let images = times.len() * stage.config().batch_size * stage.seeds().len();
        self.session.log_timing(&TimingLine {
            phase: self.phase,
            method: None,
            seed: stage.seeds()[0],
            seeds: several(stage.seeds()),
            epoch: u64::from(epoch) + 1,
            seconds: whole.as_secs_f64(),
            step_ms: times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1e3),
            images_per_second: images as f64 / training.as_secs_f64().max(1e-9),
            peak_mib: peak_resident_bytes() as f64 / (1024.0 * 1024.0),
        })
    }

    fn save(&mut self, stage: &mut Stage, step: usize, stopped: bool, observe: &mut Observer<'_>) -> Result<()> {
        stage.state.fetch_all()?;
        let place = Place { stage: self.number, phase: self.phase, step, stopped };
        self.session.save(stage, place, self.results)?;
        observe(&Event::Checkpoint { step: step as u64 });
        Ok(())
    }
}

/// Times of an epoch's steps. Steps between two looks have the same time each: when one ended nobody knows.
struct StepTimes {
    steps: Vec<Duration>,
    /// When the steps since the last look began, and how many they are.
    open: Option<(Instant, u32)>,
}

impl StepTimes {
    /// Room for `steps` steps.
    fn of(steps: usize) -> Self {
        Self { steps: Vec::with_capacity(steps), open: None }
    }

    /// A step begins.
    fn begin(&mut self) {
        self.open.get_or_insert_with(|| (Instant::now(), 0)).1 += 1;
    }

    /// All steps that have begun are done.
    fn end(&mut self) {
        if let Some((began, count)) = self.open.take() {
            let each = began.elapsed() / count;
            self.steps.extend((0..count).map(|_| each));
        }
    }
}

/// How well each learner does on the training images of the epoch so far.
fn running(stage: &mut Stage) -> Result<Event> {
    stage.learners.iter().try_for_each(|learner| stage.state.fetch(&[learner.trained]))?;
    let accuracy = |learner: &Learner| {
        let trained = Counts::from_state(stage.state.get::<f64>(learner.trained));
        let (role, method, seed) = (learner.model.role.clone(), learner.method.clone(), learner.seed);
        Running { role, method, seed, top1: trained.top1 / trained.images }
    };
    Ok(Event::Running { accuracies: stage.learners.iter().map(accuracy).collect() })
}

/// The largest resident size of this process so far; 0 where the system does not tell.
pub(crate) fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
