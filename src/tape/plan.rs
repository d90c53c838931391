//! From a recorded tape to a schedule with a place for every value: what is left out (`needed.rs`), which node waits for
//! which (`order.rs`), what lies where (`place.rs`), and on a GPU which kernels do it (`program.rs`).

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::frame::{Region, Slot};
use super::needed::{needed, written};
use super::order::{Lanes, Order};
use super::place::Placement;
use super::program::Program;
use super::tune;
use super::{Arena, Frame, Home, Launch, Launcher, Operation, Signature, State, StateId, StateLayout, Tape, ValueId};
use crate::error::{Error, Result};
use crate::gpu::tuning::Choices;
use crate::gpu::{self, Processor};
use crate::tensor::{DType, Plain, Shape};

/// A planned node.
#[derive(Debug)]
pub(super) struct Step {
    op: Arc<dyn Operation>,
    inputs: Box<[Slot]>,
    outputs: Box<[Slot]>,
    workspace: Slot,
    in_place: Option<(usize, usize)>,
    variant: usize,
    lane: u32,
}

/// Time that one operation took in a profiled replay.
#[derive(Clone, Debug)]
pub struct OpTime {
    /// The operation's name.
    pub name: &'static str,
    /// Types and shapes of what it reads and writes.
    pub signature: Signature,
    /// Floating-point operations that it stands for; 0 where memory alone matters.
    pub flops: u64,
    /// The lane it ran in.
    pub lane: u32,
    /// How long it took.
    pub time: Duration,
}

/// A launch of a plan, at its addresses.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Which step of the plan it is for, perhaps with others.
    pub step: usize,
    /// That step's operation.
    pub operation: &'static str,
    /// Types and shapes of what the operation reads and writes.
    pub signature: Signature,
    /// Floating-point operations of the operation; 0 where memory alone matters.
    pub flops: u64,
    /// The launch.
    pub launch: &'a gpu::Launch,
}

/// A step that is ready to be replayed; by default one with nothing to do.
#[derive(Debug, Default)]
pub struct Plan {
    steps: Vec<Step>,
    kept: Vec<(ValueId, Slot)>,
    /// State that a replay writes.
    written: Vec<StateId>,
    bytes: usize,
    lanes: Lanes,
    /// What a GPU does.
    program: Option<Program>,
}

/// A GPU's lanes overlap only where this share of its free memory is left: the driver needs some for graphs and kernels.
const RESERVE: u64 = 16;

impl Plan {
    /// Plans `tape` for the CPU; work whose results nobody reads is left out.
    ///
    /// # Panics
    /// If the tape stores activations as bf16, which a CPU does not: a fault of the caller.
    pub fn new(tape: &Tape, layout: &StateLayout) -> Self {
        Self::on(&Processor::Cpu, tape, layout).expect("the CPU runs every operation in f32 and f64")
    }

    /// Plans `tape` for `processor`; work whose results nobody reads is left out. On a GPU the lanes overlap if the arena
    /// that this takes fits into its memory, with all state; otherwise they run one after the other. What its tuning does
    /// not know yet is measured first.
    ///
    /// # Errors
    /// If the processor cannot do it: bf16 on the CPU, an operation without a kernel for its types, or on a GPU a tensor of
    /// 2^31 elements.
    pub fn on(processor: &Processor, tape: &Tape, layout: &StateLayout) -> Result<Self> {
        let Some(device) = processor.gpu() else { return Self::with(processor, tape, layout, Lanes::Sequential) };
        let plan = Self::with(processor, tape, layout, Lanes::Overlapping)?;
        let external: usize = layout.external().iter().map(|external| external.bytes().len()).sum();
        let free = device.memory()?.free;
        let fits = (plan.bytes() + layout.bytes() + external) as u64 <= free - free / RESERVE;
        if fits { Ok(plan) } else { Self::with(processor, tape, layout, Lanes::Sequential) }
    }

    /// As [`Plan::on`] with lanes that run as `lanes` says. The CPU always runs one after the other.
    ///
    /// # Errors
    /// As [`Plan::on`].
    pub fn with(processor: &Processor, tape: &Tape, layout: &StateLayout, lanes: Lanes) -> Result<Self> {
        let on_gpu = processor.gpu().is_some();
        if on_gpu {
            countable(tape)?;
        }
        if !on_gpu && tape.storage() == DType::BF16 {
            return Err(Error::failed("the CPU does not compute in bf16"));
        }
        let choices = tune::choices(processor, tape, &needed(tape))?;
        Self::planned(on_gpu, &choices, tape, layout, if on_gpu { lanes } else { Lanes::Sequential })
    }

    /// A plan of kernels that are chosen as `choices` says.
    pub(super) fn planned(
        on_gpu: bool,
        choices: &Choices,
        tape: &Tape,
        layout: &StateLayout,
        lanes: Lanes,
    ) -> Result<Self> {
        let nodes = needed(tape);
        let signatures: Vec<Signature> = nodes.iter().map(|index| tune::signature(tape, *index, choices)).collect();
        let order = Order::new(tape, &nodes, lanes);
        let placement = Placement::new(tape, &nodes, &order, on_gpu, |step| {
            let (op, signature) = (&tape.nodes[nodes[step]].op, &signatures[step]);
            if on_gpu { op.gpu_workspace(signature) } else { op.workspace(signature) }
        });
        let slot = |id: ValueId| {
            let value = tape.value(id);
            let root = tape.root(id);
            let (region, offset) = match tape.value(root).home {
                Home::State(state) => layout.entry(state).place,
                _ => (Region::Arena, placement.offset(root)),
            };
            Slot { region, offset, dtype: value.dtype, shape: value.shape }
        };
        let step = |(step, index): (usize, &usize)| {
            let node = &tape.nodes[*index];
            let outputs: Box<[Slot]> = node.outputs.iter().map(|id| slot(*id)).collect();
            let read_only = outputs.iter().any(|slot| matches!(slot.region, Region::External(_)));
            assert!(!read_only, "{} writes to the data set", node.op.name());
            let (offset, bytes) = placement.workspace(step);
            Step {
                op: node.op.clone(),
                inputs: node.inputs.iter().map(|id| slot(*id)).collect(),
                outputs,
                workspace: Slot { region: Region::Arena, offset, dtype: DType::U8, shape: Shape::from([bytes]) },
                in_place: placement.in_place(step),
                variant: signatures[step].variant,
                lane: node.lane,
            }
        };
        let steps: Vec<Step> = nodes.iter().enumerate().map(step).collect();
        let program = if on_gpu { Some(Program::of(&steps, &order)?) } else { None };
        let kept = tape.kept.iter().map(|id| (*id, slot(*id))).collect();
        Ok(Self { steps, kept, written: written(tape, &nodes), bytes: placement.bytes(), lanes, program })
    }

    /// Bytes of arena that a replay needs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Operations in one replay.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// How its lanes run.
    pub fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Replays the step once.
    ///
    /// # Errors
    /// If a GPU fails. The CPU does not.
    ///
    /// # Panics
    /// If `arena` is smaller than [`Plan::bytes`], or arena and state are not where the plan is for: faults of the caller.
    pub fn run(&self, arena: &mut Arena, state: &mut State) -> Result<()> {
        self.check(arena);
        match &self.program {
            None => self.steps.iter().for_each(|step| step.run(arena, state)),
            Some(program) => {
                let mirror = state.pushed()?;
                program.replay(arena.gpu(), mirror)?;
                mirror.written_by_device(&self.written);
            }
        }
        Ok(())
    }

    /// Replays the step once and says how long each operation took.
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn profile(&self, arena: &mut Arena, state: &mut State) -> Result<Vec<OpTime>> {
        self.check(arena);
        let mut times = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            let start = Instant::now();
            match &self.program {
                None => step.run(arena, state),
                Some(program) => {
                    let mirror = state.pushed()?;
                    program.run_step(index, arena.gpu(), mirror)?;
                }
            }
            let time = start.elapsed();
            let signature = step.signature();
            times.push(OpTime {
                name: step.op.name(),
                flops: step.op.flops(&signature),
                signature,
                lane: step.lane,
                time,
            });
        }
        if self.program.is_some() {
            state.pushed()?.written_by_device(&self.written);
        }
        Ok(times)
    }

    /// Shows every launch of one replay in order, at its addresses, and does none of them: whoever looks launches them, as
    /// often as they like. Nothing on the CPU.
    ///
    /// # Errors
    /// If a GPU fails, and what `visit` says.
    pub fn each_launch(
        &self,
        arena: &Arena,
        state: &mut State,
        mut visit: impl FnMut(&Shown<'_>) -> Result<()>,
    ) -> Result<()> {
        self.check(arena);
        let Some(program) = &self.program else { return Ok(()) };
        program.each_launch(arena.gpu(), state.pushed()?, |index, launch| {
            let step = &self.steps[index];
            let signature = step.signature();
            let flops = step.op.flops(&signature);
            visit(&Shown { step: index, operation: step.op.name(), signature, flops, launch })
        })
    }

    /// The kernels of one replay in order, one for each launch; none on the CPU.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.program.iter().flat_map(Program::kernels)
    }

    /// Launches of kernels in one replay; none on the CPU.
    pub fn launches(&self) -> usize {
        self.program.as_ref().map_or(0, Program::launches)
    }

    /// Launches of the longest chain of which each has to wait for the one before: a GPU of any size needs the time of
    /// so many, one after the other. None on the CPU.
    pub fn depth(&self) -> usize {
        self.program.as_ref().map_or(0, Program::depth)
    }

    #[cfg(test)]
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    fn check(&self, arena: &Arena) {
        assert!(arena.bytes() >= self.bytes, "the arena has {} bytes, the plan needs {}", arena.bytes(), self.bytes);
    }

    /// The elements of a value that the tape was told to keep, as the last replay left them.
    ///
    /// # Errors
    /// If a GPU fails.
    ///
    /// # Panics
    /// If it was not kept or is not of type `T`: a fault of the caller.
    pub fn read<T: Plain>(&self, arena: &Arena, state: &State, id: ValueId) -> Result<Vec<T>> {
        let (_, slot) = self.kept.iter().find(|(kept, _)| *kept == id).expect("the value was kept");
        assert_eq!(slot.dtype, T::DTYPE, "a value of {} is read as {}", slot.dtype, T::DTYPE);
        let mut elements = vec![T::zeroed(); slot.shape.count()];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        let range = slot.offset..slot.offset + bytes.len();
        match (slot.region, state.mirror()) {
            (Region::External(_), _) => unreachable!("the data set is not computed"),
            (Region::Arena, None) => bytes.copy_from_slice(&arena.host().as_slice()[range]),
            (Region::State, None) => bytes.copy_from_slice(&state.memory_slice()[range]),
            (region, Some(mirror)) => {
                let base = if region == Region::Arena { arena.gpu().address() } else { mirror.address() };
                mirror.device().download(base + slot.offset as u64, bytes)?;
            }
        }
        Ok(elements)
    }

    /// As [`Plan::read`] for a floating-point value, widened.
    ///
    /// # Errors
    /// If a GPU fails.
    pub fn read_f64(&self, arena: &Arena, state: &State, id: ValueId) -> Result<Vec<f64>> {
        let (_, slot) = self.kept.iter().find(|(kept, _)| *kept == id).expect("the value was kept");
        Ok(match slot.dtype {
            DType::F32 => self.read::<f32>(arena, state, id)?.into_iter().map(f64::from).collect(),
            DType::BF16 => self.read::<half::bf16>(arena, state, id)?.into_iter().map(f64::from).collect(),
            DType::U32 => self.read::<u32>(arena, state, id)?.into_iter().map(f64::from).collect(),
            _ => self.read::<f64>(arena, state, id)?,
        })
    }
}

impl Step {
    fn signature(&self) -> Signature {
        let describe = |slots: &[Slot]| slots.iter().map(|slot| (slot.dtype, slot.shape)).collect();
        Signature { inputs: describe(&self.inputs), outputs: describe(&self.outputs), variant: self.variant }
    }

    /// The kernels that do it on a GPU.
    pub(super) fn launcher(&self) -> Result<Launcher<'_>> {
        let mut launcher = Launcher {
            name: self.op.name(),
            inputs: &self.inputs,
            outputs: &self.outputs,
            workspace: self.workspace,
            in_place: self.in_place,
            variant: self.variant,
            launches: Vec::new(),
            constants: Vec::new(),
            tables: Vec::new(),
        };
        self.op.launch(&mut launcher)?;
        Ok(launcher)
    }

    fn run(&self, arena: &mut Arena, state: &mut State) {
        self.op.run(&Frame {
            inputs: &self.inputs,
            outputs: &self.outputs,
            workspace: self.workspace,
            in_place: self.in_place,
            arena: arena.host().start(),
            state: state.start(),
            external: state.external(),
            taken: AtomicU64::new(0),
            lifetime: PhantomData,
        });
    }
}

/// The launches of a tape on a GPU, in order, without one: by rules of thumb.
///
/// # Errors
/// If an operation has no kernel for its types or shapes.
pub fn launches(tape: &Tape, layout: &StateLayout) -> Result<Vec<Launch>> {
    let plan = Plan::planned(true, &Choices::default(), tape, layout, Lanes::Sequential)?;
    Ok(plan.program.map_or_else(Vec::new, Program::into_launches))
}

/// Kernels count elements in 31 bits, so that no comparison of places or sizes can meet a sign; the bytes of a data set,
/// which are found by image, are not counted.
fn countable(tape: &Tape) -> Result<()> {
    const MOST: usize = 1 << 31;
    let countable = |value: &super::Value| value.dtype == DType::U8 || value.shape.count() < MOST;
    match tape.values.iter().find(|value| !countable(value)) {
        None => Ok(()),
        Some(value) => Err(Error::request(format!(
            "a tensor of {} has 2^31 elements or more, too many for a GPU's kernels",
            value.shape
        ))
        .help("choose a smaller batch_size")),
    }
}
