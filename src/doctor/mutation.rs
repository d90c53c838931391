//! How good the checks are: kernels with one small change each, which the cases have to notice.
//!
//! A mutant is caught if a case of its kernel faults on the simulator or leaves numbers outside of their tolerance.
//! Where mutants come from is `ptxsim`'s business ([`ptxsim::mutate`]), and they are not made from what is checked here.

use std::collections::HashMap;
use std::sync::Arc;

use ptxsim::Program;
use ptxsim::ast::Module;
use ptxsim::mutate::{self, Class, Mutant};

use super::kernels;
use super::run::{Left, Recorded};
use crate::error::{Error, Result};
use crate::gpu::sim::{Sim, SimOptions};
use crate::gpu::{Device, nvrtc};
use crate::ops::case::Case;

/// A mutant and whether it was noticed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was changed.
    pub mutant: Mutant,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Noticed: the first case that did, and how.
    Caught(String),
    /// No case notices, and none could: in no execution does the changed instruction give another result.
    Same,
    /// No case notices.
    Survived,
}

/// A kernel with the cases that launch it and what they should leave.
#[derive(Debug)]
pub struct Subject<'a> {
    kernel: String,
    module: Module,
    seed: u64,
    /// With the most warp instructions that one launch may take: far more than the original needs.
    cases: Vec<(&'a Case, Left, u64)>,
}

/// A launch of a mutant may take so many times the original's instructions before it counts as endless.
const PATIENCE: u64 = 4;

impl<'a> Subject<'a> {
    /// The kernel of that name, with those of `cases` that launch it.
    ///
    /// # Errors
    /// If there is no such kernel, no case launches it, or the original does not pass.
    pub fn new(kernel: &str, cases: &'a [Case], seed: u64) -> Result<Self> {
        let module = Module::parse(&nvrtc::file_of(kernel)?.text).map_err(|error| Error::failed(error.to_string()))?;
        let mut chosen = Vec::new();
        for case in cases {
            if kernels(case)?.contains(kernel) {
                let sim = Arc::new(Sim::new(SimOptions { counters: true, ..SimOptions::strict(None) }));
                let recorded = Recorded::on_device(case, seed, &(sim.clone() as Arc<dyn Device>))?;
                let reference = Recorded::on_cpu(case, seed)?.run()?;
                let found = recorded.run()?;
                if let Some(off) = super::compare::worst(case.storage, &recorded, &reference, &found) {
                    return Err(Error::failed(format!("{}: {off}", case.name)));
                }
                let instructions =
                    sim.take_counters().iter().map(|(_, counters)| counters.warp_instructions).sum::<u64>();
                chosen.push((case, reference, PATIENCE * instructions + 10_000));
            }
        }
        if chosen.is_empty() {
            return Err(Error::failed(format!("no case launches {kernel}")));
        }
        // What is cheap is asked first.
        chosen.sort_by_key(|(_, _, budget)| *budget);
        Ok(Self { kernel: kernel.to_string(), module, seed, cases: chosen })
    }

    /// `count` of its mutants among the `wanted` ones, or all if there are not more; always the same for the same seed.
    pub fn sample(&self, count: usize, seed: u64, wanted: impl Fn(&Mutant) -> bool) -> Vec<Mutant> {
        let mut mutants = mutate::mutants(&self.module, &self.kernel);
        mutants.retain(wanted);
        mutate::sample(mutants, count, seed)
    }

    /// Runs the cases on `mutant` until one notices.
    ///
    /// # Errors
    /// If a case cannot be recorded.
    pub fn examine(&self, mutant: Mutant) -> Result<Trial> {
        let changed = mutant.apply(&self.module);
        let program = match Program::decode(&changed) {
            Ok(program) => Arc::new(program),
            Err(refusal) => return Ok(Trial { mutant, fate: Fate::Caught(format!("refused: {refusal}")) }),
        };
        let fate = match self.notice(&program)? {
            Some(how) => Fate::Caught(how),
            None if self.never_differs(&mutant)? => Fate::Same,
            None => Fate::Survived,
        };
        Ok(Trial { mutant, fate })
    }

    /// Whether a change of how an instruction reads or rounds its operands gives another result in no execution in any case:
    /// signs that are never set, since kernels count in 31 bits (a plan refuses larger tensors), and conversions of numbers
    /// that the narrower type holds. Random inputs would not hide a sign or a digit; other kinds of changes are not asked.
    fn never_differs(&self, mutant: &Mutant) -> Result<bool> {
        let revealed = match mutant.class {
            Class::Signedness | Class::Rounding => mutant.reveal(&self.module),
            _ => None,
        };
        let Some(revealed) = revealed else { return Ok(false) };
        let program = Program::decode(&revealed).map_err(|refusal| Error::failed(format!("{mutant}: {refusal}")))?;
        Ok(self.notice(&Arc::new(program))?.is_none())
    }

    /// The first case that notices that `program` runs in place of the kernel, and how.
    fn notice(&self, program: &Arc<Program>) -> Result<Option<String>> {
        for (case, reference, budget) in &self.cases {
            let instead = HashMap::from([(self.kernel.clone(), program.clone())]);
            let options = SimOptions { budget: Some(*budget), ..SimOptions::strict(None) };
            let device: Arc<dyn Device> = Arc::new(Sim::with_kernels(options, instead));
            let recorded = Recorded::on_device(case, self.seed, &device)?;
            let noticed = match recorded.run() {
                Err(fault) => Some(fault.to_string()),
                Ok(found) => {
                    super::compare::worst(case.storage, &recorded, reference, &found).map(|off| off.to_string())
                }
            };
            if let Some(how) = noticed {
                return Ok(Some(format!("{}: {how}", case.name)));
            }
        }
        Ok(None)
    }
}
