//! A case that is recorded and planned, and what it leaves when it has run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Device, Processor};
use crate::ops::case::{Case, Check, Contents, Probe, Tolerance};
use crate::tape::{Arena, Plan, Shown, State, StateId, StateLayout, Tape, launches};
use crate::tensor::DType;

/// A case, ready to run once.
#[derive(Debug)]
pub struct Recorded {
    plan: Plan,
    processor: Processor,
    layout: StateLayout,
    inputs: Vec<(StateId, Vec<f64>)>,
    pub(super) checks: Vec<Check>,
    pub(super) updates: Tolerance,
}

/// What a run leaves: the values that are compared, and all state.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub values: Vec<Vec<f64>>,
    /// Name, content before, content after.
    pub state: Vec<(String, Vec<f64>, Vec<f64>)>,
}

impl Left {
    /// The first value or piece of state whose bits differ.
    pub fn first_other_bits(&self, other: &Self) -> Option<String> {
        let differ = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| a.to_bits() != b.to_bits());
        let value = self.values.iter().zip(&other.values).position(|(a, b)| differ(a, b));
        let state = || self.state.iter().zip(&other.state).find(|(a, b)| differ(&a.2, &b.2)).map(|(a, _)| a.0.clone());
        value.map(|index| format!("value {index}")).or_else(state)
    }
}

impl Recorded {
    /// On the CPU, in f64.
    pub(super) fn on_cpu(case: &Case, seed: u64) -> Result<Self> {
        Self::new(case, seed, Tape::new(DType::F64), Processor::Cpu)
    }

    /// On `device`, in float32 with the case's storage.
    ///
    /// # Errors
    /// If it cannot be recorded.
    pub fn on_device(case: &Case, seed: u64, device: &Arc<dyn Device>) -> Result<Self> {
        Self::on(case, seed, Processor::of(device.clone()))
    }

    /// As [`Recorded::on_device`], with kernels that are chosen as `processor` says.
    pub(super) fn on(case: &Case, seed: u64, processor: Processor) -> Result<Self> {
        let tape = Tape::with_storage(DType::F32, case.storage.dtype());
        Self::new(case, seed, tape, processor)
    }

    fn new(case: &Case, seed: u64, mut tape: Tape, processor: Processor) -> Result<Self> {
        let mut layout = StateLayout::new();
        let Contents { inputs, checks, updates } = record(case, seed, &mut tape, &mut layout)?;
        let plan = Plan::on(&processor, &tape, &layout)?;
        Ok(Self { plan, processor, layout, inputs, checks, updates })
    }

    /// The kernels that it launches.
    pub fn kernels(&self) -> BTreeSet<String> {
        self.plan.kernels().map(str::to_string).collect()
    }

    /// The kernels that `case` launches, without a device.
    pub(super) fn kernels_of(case: &Case) -> Result<BTreeSet<String>> {
        let mut tape = Tape::with_storage(DType::F32, case.storage.dtype());
        let mut layout = StateLayout::new();
        record(case, 0, &mut tape, &mut layout)?;
        Ok(launches(&tape, &layout)?.into_iter().map(|launch| launch.kernel).collect())
    }

    /// Shows every launch, with inputs and places in memory of its own, and does none of them.
    ///
    /// # Errors
    /// If the device fails, and what `visit` says.
    pub fn each_launch(&self, visit: impl FnMut(&Shown<'_>) -> Result<()>) -> Result<()> {
        let mut state = self.inputs()?;
        let arena = Arena::on(&self.processor, self.plan.bytes())?;
        self.plan.each_launch(&arena, &mut state, visit)
    }

    /// State that holds the inputs.
    fn inputs(&self) -> Result<State> {
        let mut state = self.layout.clone().allocate_on(&self.processor)?;
        for (id, values) in &self.inputs {
            set(&mut state, *id, values);
        }
        Ok(state)
    }

    /// Runs it.
    pub(super) fn run(&self) -> Result<Left> {
        let mut state = self.inputs()?;
        let ids: Vec<StateId> = self.layout.entries().map(|(id, _)| id).collect();
        let before: Vec<Vec<f64>> = ids.iter().map(|id| get(&state, *id)).collect();
        let mut arena = Arena::on(&self.processor, self.plan.bytes())?;
        self.plan.run(&mut arena, &mut state)?;
        state.fetch_all()?;
        let read = |check: &Check| self.plan.read_f64(&arena, &state, check.value);
        let values = self.checks.iter().map(read).collect::<Result<_>>()?;
        let name = |id: StateId| self.layout.entry(id).name.clone();
        let state = ids.iter().zip(before).map(|(id, before)| (name(*id), before, get(&state, *id))).collect();
        Ok(Left { values, state })
    }
}

fn record(case: &Case, seed: u64, tape: &mut Tape, layout: &mut StateLayout) -> Result<Contents> {
    let mut probe = Probe::new(tape, layout, case.storage, seed);
    case.record(&mut probe)?;
    Ok(probe.finish())
}

fn set(state: &mut State, id: StateId, values: &[f64]) {
    match state.layout().entry(id).dtype {
        DType::F32 | DType::F64 => state.set_f64(id, values),
        DType::BF16 => {
            let to = state.get_mut::<half::bf16>(id);
            to.iter_mut().zip(values).for_each(|(to, x)| *to = half::bf16::from_f64(*x));
        }
        DType::U8 => state.get_mut::<u8>(id).iter_mut().zip(values).for_each(|(to, x)| *to = *x as u8),
        DType::U32 => state.get_mut::<u32>(id).iter_mut().zip(values).for_each(|(to, x)| *to = *x as u32),
    }
}

fn get(state: &State, id: StateId) -> Vec<f64> {
    match state.layout().entry(id).dtype {
        DType::F32 | DType::F64 => state.to_f64(id),
        DType::BF16 => state.get::<half::bf16>(id).iter().map(|x| x.to_f64()).collect(),
        DType::U8 => state.get::<u8>(id).iter().map(|x| f64::from(*x)).collect(),
        DType::U32 => state.get::<u32>(id).iter().map(|x| f64::from(*x)).collect(),
    }
}
