//! The stages of a run, in order, and whether they fit into memory.

use super::records::Phase;
use super::room;
use super::run::Run;
use super::session::Position;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::host;

/// One stage's place in the run.
#[derive(Clone, Debug)]
pub(super) struct StagePlan {
    pub phase: Phase,
    pub seeds: Vec<u64>,
    /// The mentors that are taught, by their place in the lineup; in the phase of that name only.
    pub apprentices: Vec<usize>,
}

impl StagePlan {
    /// Whether the two differ by their seeds at most.
    pub fn is_like(&self, other: &Self) -> bool {
        self.phase == other.phase && self.apprentices == other.apprentices
    }
}

/// The stages of a run in order, of which the largest fits into memory.
#[derive(Debug)]
pub(super) struct Course {
    pub stages: Vec<StagePlan>,
    /// Planned bytes of the largest.
    pub bytes: usize,
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
    /// The stages in order: pretraining where a mentor needs it, then mentors that are taught by others, then the student's
    /// seeds, all `together` or one by one.
    pub(super) fn stages(&self, together: bool) -> Vec<StagePlan> {
        let lineup = &self.lineup;
        let own = &self.config.pretrain.seeds;
        let stage = |phase: Phase, seeds: &[u64], apprentices: Vec<usize>| StagePlan {
            phase,
            seeds: seeds.to_vec(),
            apprentices,
        };
        let mut stages = Vec::new();
        if lineup.mentors.iter().any(|mentor| !mentor.ready && mentor.taught_by.is_none()) {
            stages.push(stage(Phase::Pretrain, own, Vec::new()));
        }
        // An assistant is taught by those before it, so one after the other; peers by all of them, so at once.
        let (assistants, peers): (Vec<usize>, Vec<usize>) = (0..lineup.mentors.len())
            .filter(|mentor| lineup.mentors[*mentor].taught_by.is_some())
            .partition(|mentor| *mentor < lineup.teachers + lineup.assistants);
        stages.extend(assistants.into_iter().map(|assistant| stage(Phase::Assist, own, vec![assistant])));
        if !peers.is_empty() {
            stages.push(stage(Phase::Assist, own, peers));
        }
        let seeds = &self.config.train.seeds;
        let at_once = if together { seeds.len() } else { 1 };
        stages.extend(seeds.chunks(at_once).map(|seeds| stage(Phase::Distil, seeds, Vec::new())));
        stages
    }

    /// How the run goes. Whether seeds learn together is decided by the checkpoint at `position` if it is one of the
    /// student's, else by the config, which may leave it to what fits into a GPU's memory.
    ///
    /// # Errors
    /// If a stage cannot be recorded, or does not fit into memory.
    pub(super) fn course(&self, position: Option<&Position>) -> Result<Course> {
        let begun =
            position.filter(|position| position.phase == Phase::Distil).map(|position| position.seeds.len() > 1);
        // On a CPU it would only cost memory.
        let may = self.processor.gpu().is_some() && self.config.train.seeds.len() > 1;
        let choice = begun.or(self.config.train.seeds_together);
        let stages = self.stages(choice.unwrap_or(may));
        match self.fit(&stages)? {
            Ok(bytes) => Ok(Course { stages, bytes }),
            Err(misfit) if choice.is_some() || !may || misfit.plan.phase != Phase::Distil => {
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
        let mut seen: Option<&StagePlan> = None;
        for plan in stages {
            if !seen.is_some_and(|seen| seen.is_like(plan)) {
                let design = self.design(&self.processor, plan, self.stage_config(plan.phase))?;
                // Before anything is written.
                for (method, equipment) in design.equipments() {
                    self.method_weights(method, equipment)?;
                }
                let planned = design.memory().bytes();
                if let Some(available) = self.available_bytes()?.filter(|available| planned as u64 > *available) {
                    return Ok(Err(Misfit { plan: plan.clone(), planned: planned as u64, available }));
                }
                most = most.max(planned);
                seen = Some(plan);
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
            Ok(self.design(&self.processor.as_known(), plan, &config)?.memory().bytes() as u64)
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
}
