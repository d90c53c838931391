//! From a recorded tape to a schedule with a place for every value.
//!
//! Lifetimes are known (first write to last read), so buffers whose lives do not overlap share bytes. Values are placed
//! in order of size, each at the lowest offset that is free during its whole life (greedy by size: Pisarchyk and Lee,
//! "Efficient memory management for deep neural net inference", 2020).

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::frame::{Region, Slot};
use super::memory::aligned;
use super::program::Program;
use super::{Arena, Frame, Home, Launch, Launcher, Operation, Signature, State, StateId, StateLayout, Tape, ValueId};
use crate::error::{Error, Result};
use crate::gpu::Processor;
use crate::tensor::{DType, Plain, Shape};

/// A planned node.
#[derive(Debug)]
pub(super) struct Step {
    op: Arc<dyn Operation>,
    inputs: Box<[Slot]>,
    outputs: Box<[Slot]>,
    workspace: Slot,
    in_place: Option<(usize, usize)>,
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

/// A step that is ready to be replayed; by default one with nothing to do.
#[derive(Debug, Default)]
pub struct Plan {
    steps: Vec<Step>,
    kept: Vec<(ValueId, Slot)>,
    /// State that a replay writes.
    written: Vec<StateId>,
    bytes: usize,
    /// What a GPU does.
    program: Option<Program>,
}

/// Steps, kept values, written state, bytes of arena.
type Layout = (Vec<Step>, Vec<(ValueId, Slot)>, Vec<StateId>, usize);

/// A value's bytes and the nodes between which it is alive.
#[derive(Clone, Debug)]
struct Life {
    bytes: usize,
    first: usize,
    last: usize,
    offset: usize,
}

impl Plan {
    /// Plans `tape` for the CPU; work whose results nobody reads is left out.
    ///
    /// # Panics
    /// If the tape stores activations as bf16, which a CPU does not: a fault of the caller.
    pub fn new(tape: &Tape, layout: &StateLayout) -> Self {
        Self::on(&Processor::Cpu, tape, layout).expect("the CPU runs every operation in f32 and f64")
    }

    /// Plans `tape` for `processor`; work whose results nobody reads is left out.
    ///
    /// # Errors
    /// If the processor cannot do it: bf16 on the CPU, or an operation without a kernel for its types.
    pub fn on(processor: &Processor, tape: &Tape, layout: &StateLayout) -> Result<Self> {
        if processor.gpu().is_none() && tape.storage() == DType::BF16 {
            return Err(Error::failed("the CPU does not compute in bf16"));
        }
        let (steps, kept, written, bytes) = Self::layout(processor.gpu().is_some(), tape, layout);
        let program = match processor {
            Processor::Cpu => None,
            Processor::Gpu(_) => Some(Program::of(&steps)?),
        };
        Ok(Self { steps, kept, written, bytes, program })
    }

    /// The steps in order, where kept values are, which state is written, and the bytes of the arena.
    fn layout(on_gpu: bool, tape: &Tape, layout: &StateLayout) -> Layout {
        let alive = needed(tape);
        let nodes: Vec<usize> = (0..tape.nodes.len()).filter(|index| alive[*index]).collect();
        let signatures: Vec<Signature> = nodes.iter().map(|index| signature(tape, *index)).collect();

        // One life per value, then one per workspace; values that are updated in place share their input's life.
        let mut lives: Vec<Life> = tape
            .values
            .iter()
            .map(|value| Life {
                bytes: aligned(value.shape.count() * value.dtype.size()),
                first: usize::MAX,
                last: 0,
                offset: 0,
            })
            .collect();
        for (step, index) in nodes.iter().enumerate() {
            let node = &tape.nodes[*index];
            for id in node.inputs.iter().chain(&node.outputs) {
                let life = &mut lives[tape.root(*id).index()];
                life.first = life.first.min(step);
                life.last = life.last.max(step);
            }
        }
        for id in &tape.kept {
            lives[tape.root(*id).index()].last = nodes.len();
        }
        let mut owner: Vec<usize> = (0..lives.len()).collect();
        let in_place: Vec<Option<(usize, usize)>> = nodes
            .iter()
            .enumerate()
            .map(|(step, index)| share_in_place(tape, *index, step, &mut lives, &mut owner))
            .collect();
        let workspaces = lives.len();
        for (step, index) in nodes.iter().enumerate() {
            let op = &tape.nodes[*index].op;
            let bytes = match on_gpu {
                false => op.workspace(&signatures[step]),
                true => op.gpu_workspace(&signatures[step]),
            };
            let bytes = aligned(bytes);
            lives.push(Life { bytes, first: step, last: step, offset: 0 });
        }
        let placed = (0..lives.len())
            .filter(|index| {
                *index >= workspaces
                    || (owner[*index] == *index
                        && (tape.values[*index].home == Home::Arena || on_gpu && tape.values[*index].home == Home::Gpu)
                        && lives[*index].first != usize::MAX)
            })
            .filter(|index| lives[*index].bytes > 0)
            .collect();
        let bytes = place(&mut lives, placed);

        let slot = |id: ValueId| {
            let value = tape.value(id);
            let root = tape.root(id);
            let (region, offset) = match tape.value(root).home {
                Home::State(state) => layout.entry(state).place,
                _ => (Region::Arena, lives[owner[root.index()]].offset),
            };
            Slot { region, offset, dtype: value.dtype, shape: value.shape }
        };
        let steps: Vec<Step> = nodes
            .iter()
            .enumerate()
            .map(|(step, index)| {
                let node = &tape.nodes[*index];
                let workspace = &lives[workspaces + step];
                let outputs: Box<[Slot]> = node.outputs.iter().map(|id| slot(*id)).collect();
                let read_only = outputs.iter().any(|slot| matches!(slot.region, Region::External(_)));
                assert!(!read_only, "{} writes to the data set", node.op.name());
                Step {
                    op: node.op.clone(),
                    inputs: node.inputs.iter().map(|id| slot(*id)).collect(),
                    outputs,
                    workspace: Slot {
                        region: Region::Arena,
                        offset: workspace.offset,
                        dtype: DType::U8,
                        shape: Shape::from([workspace.bytes]),
                    },
                    in_place: in_place[step],
                    lane: node.lane,
                }
            })
            .collect();
        let kept = tape.kept.iter().map(|id| (*id, slot(*id))).collect();
        let outputs = nodes.iter().flat_map(|index| &tape.nodes[*index].outputs);
        let mut written: Vec<StateId> = outputs
            .filter_map(|id| match tape.value(tape.root(*id)).home {
                Home::State(state) => Some(state),
                _ => None,
            })
            .collect();
        written.sort_unstable();
        written.dedup();
        (steps, kept, written, bytes)
    }

    /// Bytes of arena that a replay needs.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Operations in one replay.
    pub fn len(&self) -> usize {
        self.steps.len()
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

    /// The kernels of one replay in order, one for each launch; none on the CPU.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.program.iter().flat_map(Program::kernels)
    }

    /// Launches of kernels in one replay; none on the CPU.
    pub fn launches(&self) -> usize {
        self.program.as_ref().map_or(0, Program::launches)
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
        Signature { inputs: describe(&self.inputs), outputs: describe(&self.outputs) }
    }

    /// The kernels that do it on a GPU.
    pub(super) fn launcher(&self) -> Result<Launcher<'_>> {
        let mut launcher = Launcher {
            name: self.op.name(),
            inputs: &self.inputs,
            outputs: &self.outputs,
            workspace: self.workspace,
            in_place: self.in_place,
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

/// The launches of a tape on a GPU, in order, without one.
///
/// # Errors
/// If an operation has no kernel for its types or shapes.
pub fn launches(tape: &Tape, layout: &StateLayout) -> Result<Vec<Launch>> {
    let (steps, ..) = Plan::layout(true, tape, layout);
    Ok(Program::of(&steps)?.into_launches())
}

/// Which nodes lead to something that is kept or written to state.
fn needed(tape: &Tape) -> Vec<bool> {
    let mut wanted = vec![false; tape.values.len()];
    for id in &tape.kept {
        wanted[tape.root(*id).index()] = true;
    }
    let mut alive = vec![false; tape.nodes.len()];
    for (index, node) in tape.nodes.iter().enumerate().rev() {
        alive[index] = node.outputs.iter().any(|id| tape.is_state(*id) || wanted[id.index()]);
        if alive[index] {
            for id in &node.inputs {
                wanted[tape.root(*id).index()] = true;
            }
        }
    }
    alive
}

fn signature(tape: &Tape, index: usize) -> Signature {
    let describe = |ids: &[ValueId]| ids.iter().map(|id| (tape.dtype(*id), tape.shape(*id))).collect();
    let node = &tape.nodes[index];
    Signature { inputs: describe(&node.inputs), outputs: describe(&node.outputs) }
}

/// Joins the lives of an (output, input) pair that the operation allows to be one buffer, if the input dies here.
fn share_in_place(
    tape: &Tape,
    index: usize,
    step: usize,
    lives: &mut [Life],
    owner: &mut [usize],
) -> Option<(usize, usize)> {
    let node = &tape.nodes[index];
    let (output, input) = node.op.in_place()?;
    let input_root = tape.root(*node.inputs.get(input)?);
    let output_id = *node.outputs.get(output)?;
    let source = owner[input_root.index()];
    let read_twice = node.inputs.iter().filter(|id| owner[tape.root(**id).index()] == source).count() > 1;
    let fits = tape.value(input_root).home == Home::Arena
        && tape.value(output_id).home == Home::Arena
        && lives[source].last == step
        && lives[source].bytes == lives[output_id.index()].bytes
        && !read_twice;
    if !fits {
        return None;
    }
    lives[source].last = lives[output_id.index()].last;
    owner[output_id.index()] = source;
    Some((output, input))
}

/// Gives each of `placed` an offset; returns the bytes that are needed in all.
fn place(lives: &mut [Life], mut placed: Vec<usize>) -> usize {
    placed.sort_by_key(|index| (std::cmp::Reverse(lives[*index].bytes), lives[*index].first, *index));
    let mut done: Vec<usize> = Vec::with_capacity(placed.len());
    let mut total = 0;
    for index in placed {
        let life = &lives[index];
        let mut taken: Vec<(usize, usize)> = done
            .iter()
            .map(|other| &lives[*other])
            .filter(|other| other.first <= life.last && life.first <= other.last)
            .map(|other| (other.offset, other.offset + other.bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + life.bytes <= start {
                break;
            }
            offset = offset.max(end);
        }
        lives[index].offset = offset;
        total = total.max(offset + lives[index].bytes);
        done.push(index);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Philox, Stream};

    #[test]
    fn lives_that_overlap_never_share_bytes() {
        let generator = Philox::new(11, Stream::Split);
        let mut lives: Vec<Life> = (0..200)
            .map(|index| {
                let [bytes, first, length, _] = generator.draw(0, index);
                let first = first as usize % 100;
                Life { bytes: aligned(1 + bytes as usize % 5000), first, last: first + length as usize % 20, offset: 0 }
            })
            .collect();
        let total = place(&mut lives, (0..200).collect());
        for (index, a) in lives.iter().enumerate() {
            assert!(a.offset + a.bytes <= total);
            for b in &lives[..index] {
                let in_time = a.first <= b.last && b.first <= a.last;
                let in_space = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
                assert!(!(in_time && in_space), "{a:?} and {b:?}");
            }
        }
        let peak = (0..120)
            .map(|step| lives.iter().filter(|l| l.first <= step && step <= l.last).map(|l| l.bytes).sum::<usize>())
            .max()
            .unwrap();
        assert!(total <= peak * 5 / 4, "planned {total}, at least {peak} are alive at once");
    }
}
