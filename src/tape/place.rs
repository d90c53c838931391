//! Where in the arena values and workspaces lie.
//!
//! Two of them may share bytes if all uses of one have ended when the other is first written, in whichever order the
//! nodes' lanes run. They are placed in order of size, each at the lowest offset that is free while it is used (greedy by
//! size: Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).

use super::memory::aligned;
use super::order::{Order, Use};
use super::{Home, Tape, ValueId};

/// Bytes of the arena, and when they are used.
#[derive(Clone, Debug, Default)]
struct Life {
    bytes: usize,
    usage: Use,
    offset: usize,
}

/// A place for everything in the arena.
#[derive(Debug)]
pub(super) struct Placement {
    /// One per value, then one per node's workspace.
    lives: Vec<Life>,
    /// Per value: the one whose bytes it has. Values that are updated in place have those of their input.
    owner: Vec<usize>,
    /// Per node the (output, input) pair that is one buffer.
    in_place: Vec<Option<(usize, usize)>>,
    bytes: usize,
}

impl Placement {
    /// Places the values of `nodes`, which run in `order`, and a workspace for each, of which `workspace` tells the bytes.
    /// What only a GPU makes has a place only `on_gpu`.
    pub fn new(tape: &Tape, nodes: &[usize], order: &Order, on_gpu: bool, workspace: impl Fn(usize) -> usize) -> Self {
        let values = tape.values.len();
        let mut made = Self {
            lives: Vec::with_capacity(values + nodes.len()),
            owner: (0..values).collect(),
            in_place: Vec::with_capacity(nodes.len()),
            bytes: 0,
        };
        let whole = |value: &super::Value| aligned(value.shape.count() * value.dtype.size());
        made.lives.extend(tape.values.iter().map(|value| Life { bytes: whole(value), ..Life::default() }));
        for (step, index) in nodes.iter().enumerate() {
            let node = &tape.nodes[*index];
            for id in node.inputs.iter().chain(&node.outputs) {
                made.lives[tape.root(*id).index()].usage.add(order, step);
            }
        }
        for id in &tape.kept {
            made.lives[tape.root(*id).index()].usage.keep();
        }
        for (step, index) in nodes.iter().enumerate() {
            let pair = made.share_in_place(tape, order, *index, step);
            made.in_place.push(pair);
        }
        for step in 0..nodes.len() {
            let bytes = aligned(workspace(step));
            made.lives.push(Life { bytes, usage: Use::by(order, step), offset: 0 });
        }
        let has_bytes = |home: Home| home == Home::Arena || on_gpu && home == Home::Gpu;
        let in_arena =
            |index: usize| index >= values || (made.owner[index] == index && has_bytes(tape.values[index].home));
        let placed = (0..made.lives.len()).filter(|index| in_arena(*index)).collect();
        made.bytes = place(&mut made.lives, order, placed);
        made
    }

    /// Joins an (output, input) pair that the operation allows to be one buffer, if the input dies here.
    fn share_in_place(&mut self, tape: &Tape, order: &Order, index: usize, step: usize) -> Option<(usize, usize)> {
        let node = &tape.nodes[index];
        let (output, input) = node.op.in_place()?;
        let input_root = tape.root(*node.inputs.get(input)?);
        let output_id = *node.outputs.get(output)?;
        let source = self.owner[input_root.index()];
        let read_twice = node.inputs.iter().filter(|id| self.owner[tape.root(**id).index()] == source).count() > 1;
        let fits = tape.value(input_root).home == Home::Arena
            && tape.value(output_id).home == Home::Arena
            // Readers in other lanes count as well: they have to have ended.
            && self.lives[source].usage.ends_with(order, step)
            && self.lives[source].bytes == self.lives[output_id.index()].bytes
            && !read_twice;
        if !fits {
            return None;
        }
        let after = self.lives[output_id.index()].usage.clone();
        self.lives[source].usage.go_on_as(&after);
        self.owner[output_id.index()] = source;
        Some((output, input))
    }

    /// Bytes of the arena.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where a value that lives in the arena starts.
    pub fn offset(&self, value: ValueId) -> usize {
        self.lives[self.owner[value.index()]].offset
    }

    /// Where a node's workspace starts, and its bytes.
    pub fn workspace(&self, step: usize) -> (usize, usize) {
        let life = &self.lives[self.owner.len() + step];
        (life.offset, life.bytes)
    }

    /// The (output, input) pair of a node that is one buffer.
    pub fn in_place(&self, step: usize) -> Option<(usize, usize)> {
        self.in_place[step]
    }
}

/// Gives each of `placed` an offset; returns the bytes that are needed in all.
fn place(lives: &mut [Life], order: &Order, mut placed: Vec<usize>) -> usize {
    placed.retain(|index| lives[*index].bytes > 0 && lives[*index].usage.first().is_some());
    placed.sort_by_key(|index| (std::cmp::Reverse(lives[*index].bytes), lives[*index].usage.first(), *index));
    let mut done: Vec<usize> = Vec::with_capacity(placed.len());
    let mut total = 0;
    for index in placed {
        let life = &lives[index];
        let mut taken: Vec<(usize, usize)> = done
            .iter()
            .map(|other| &lives[*other])
            .filter(|other| other.usage.meets(order, &life.usage))
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
    use crate::tape::Lanes;
    use crate::tensor::DType;

    /// A tape of `count` additions of earlier values, spread over `lanes` lanes.
    fn random(seed: u64, count: u64, lanes: u32) -> Tape {
        let generator = Philox::new(seed, Stream::Split);
        let mut tape = Tape::new(DType::F32);
        let mut made: Vec<Vec<ValueId>> = vec![Vec::new(); 4];
        for index in 0..count {
            let [size, lane, a, b] = generator.draw(0, index);
            tape.set_lane(lane % lanes);
            let size = size as usize % 4;
            let known = &mut made[size];
            // Mostly values of a moment ago, as in a network.
            let pick = |word: u32| known[known.len() - 1 - word as usize % known.len().min(6)];
            let value = match known.len() {
                0 => tape.fill([20 << size], 1.0),
                _ => tape.add(pick(a), pick(b)).unwrap(),
            };
            known.push(value);
        }
        made.iter().flatten().for_each(|id| tape.keep(*id));
        // Only the last ones are read after the step.
        tape.kept.retain(|id| id.index() % 16 == 0);
        tape
    }

    /// Stands for whoever reads kept values when the step is done.
    const READER: usize = usize::MAX;

    /// Values in the arena and workspaces: bytes, offset, and the nodes that use them.
    fn buffers(tape: &Tape, nodes: &[usize], placement: &Placement) -> Vec<(usize, usize, Vec<usize>)> {
        let uses = |owner: usize| {
            let is_own = |id: &ValueId| placement.owner[tape.root(*id).index()] == owner;
            let used = |index: &usize| {
                let node = &tape.nodes[*index];
                node.inputs.iter().chain(&node.outputs).any(is_own)
            };
            let reader = tape.kept.iter().any(is_own).then_some(READER);
            (0..nodes.len()).filter(|step| used(&nodes[*step])).chain(reader).collect::<Vec<_>>()
        };
        let owners = (0..tape.values.len()).filter(|index| placement.owner[*index] == *index);
        let values = owners.map(|owner| (placement.lives[owner].bytes, placement.lives[owner].offset, uses(owner)));
        let workspaces = (0..nodes.len()).map(|step| {
            let (offset, bytes) = placement.workspace(step);
            (bytes, offset, vec![step])
        });
        values.chain(workspaces).filter(|(bytes, _, uses)| *bytes > 0 && !uses.is_empty()).collect()
    }

    #[test]
    fn bytes_are_shared_only_where_all_uses_of_one_end_before_the_other_begins() {
        let mut shared = 0;
        for (seed, lanes) in (0..12).flat_map(|seed| [(seed, 1), (seed, 3), (seed, 5)]) {
            let tape = random(seed, 120, lanes);
            let nodes: Vec<usize> = (0..tape.nodes.len()).collect();
            for ordered in [Lanes::Sequential, Lanes::Overlapping] {
                let order = Order::new(&tape, &nodes, ordered);
                let placement = Placement::new(&tape, &nodes, &order, true, |step| step % 7 * 30);
                let is_before =
                    |a: usize, b: usize| a != READER && (b == READER || Use::by(&order, a).ends_before(&order, b));
                let buffers = buffers(&tape, &nodes, &placement);
                for (index, (bytes, offset, uses)) in buffers.iter().enumerate() {
                    assert!(offset + bytes <= placement.bytes());
                    for (other_bytes, other_offset, other_uses) in &buffers[..index] {
                        if *offset >= other_offset + other_bytes || *other_offset >= offset + bytes {
                            continue;
                        }
                        shared += 1;
                        let all = |a: &[usize], b: &[usize]| a.iter().all(|a| b.iter().all(|b| is_before(*a, *b)));
                        let apart = all(uses, other_uses) || all(other_uses, uses);
                        assert!(apart, "seed {seed}, {lanes} lanes, {ordered:?}: {uses:?} and {other_uses:?}");
                    }
                }
            }
        }
        assert!(shared > 1000, "hardly anything is shared: {shared}");
    }

    #[test]
    fn what_another_lane_may_still_read_is_not_updated_in_place() {
        let mut tape = Tape::new(DType::F32);
        let x = tape.fill([100], 1.0);
        let other = tape.fill([100], 2.0);
        tape.set_lane(1);
        let first = tape.add(x, x).unwrap();
        tape.set_lane(0);
        // The last node that reads x; the reader in lane 1 comes before it on the tape, but not on a GPU.
        let last = tape.add(x, other).unwrap();
        [first, last].iter().for_each(|id| tape.keep(*id));
        let nodes: Vec<usize> = (0..tape.nodes.len()).collect();
        let in_place = |lanes| {
            let order = Order::new(&tape, &nodes, lanes);
            Placement::new(&tape, &nodes, &order, true, |_| 0).in_place(3)
        };
        assert_eq!(in_place(Lanes::Sequential), Some((0, 0)));
        assert_eq!(in_place(Lanes::Overlapping), None);
    }

    #[test]
    fn one_lane_after_the_other_takes_little_more_than_what_is_alive_at_once() {
        let tape = random(3, 400, 1);
        let nodes: Vec<usize> = (0..tape.nodes.len()).collect();
        let order = Order::new(&tape, &nodes, Lanes::Sequential);
        let placement = Placement::new(&tape, &nodes, &order, true, |_| 0);
        let kept = |id: &ValueId| placement.owner[id.index()];
        let kept: Vec<usize> = tape.kept.iter().map(kept).collect();
        let alive = |step: usize| -> usize {
            let owners = (0..tape.values.len()).filter(|index| placement.owner[*index] == *index);
            let is_alive = |owner: &usize| {
                let uses: Vec<usize> = (0..nodes.len())
                    .filter(|step| {
                        let node = &tape.nodes[*step];
                        node.inputs.iter().chain(&node.outputs).any(|id| placement.owner[id.index()] == *owner)
                    })
                    .collect();
                uses.first().is_some_and(|first| *first <= step)
                    && (kept.contains(owner) || uses.last().is_some_and(|last| step <= *last))
            };
            owners.filter(is_alive).map(|owner| placement.lives[owner].bytes).sum()
        };
        let peak = (0..nodes.len()).map(alive).max().unwrap();
        let total = placement.bytes();
        assert!(peak <= total && total <= peak * 5 / 4, "planned {total}, at least {peak} are alive at once");
    }
}
