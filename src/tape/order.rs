//! Which nodes of a step have ended before which other begins.
//!
//! On the CPU one node runs after the other. A GPU runs every lane on a stream of its own: nodes of one lane keep their
//! order, nodes of different lanes are ordered only where data demands it (a value is read after it was written, state is
//! overwritten after it was read). Every node has a vector clock (Mattern, "Virtual time and global states of distributed
//! systems", 1989): how many nodes of each lane have ended when it begins.

use std::fmt;

use serde::Serialize;

use super::{Tape, ValueId};

/// How the lanes of a plan run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lanes {
    /// All nodes one after the other, as they were recorded: the smallest arena.
    #[default]
    Sequential,
    /// Each lane on a stream of its own, beside the others: values of lanes that may run at once share no bytes.
    Overlapping,
}

impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequential => "models one after the other",
            Self::Overlapping => "models side by side",
        })
    }
}

/// A partial order of nodes, which are numbered as they were recorded.
#[derive(Clone, Debug)]
pub(super) struct Order {
    lanes: usize,
    /// Per node: its lane, counted from 0, and its place in it.
    places: Vec<(usize, u32)>,
    /// Per node and lane: how many nodes of the lane have ended when the node begins, `[nodes, lanes]`.
    before: Vec<u32>,
    /// Per node: those of other lanes that its stream has to wait for. What follows from other waits is left out.
    waits: Vec<Vec<usize>>,
}

impl Order {
    /// The order of `nodes` of `tape`, which run as `lanes` says.
    pub fn new(tape: &Tape, nodes: &[usize], lanes: Lanes) -> Self {
        match lanes {
            Lanes::Sequential => Self::of((0..nodes.len()).map(|_| (0, Vec::new()))),
            Lanes::Overlapping => Self::of(needs(tape, nodes).into_iter()),
        }
    }

    /// The order of nodes that come with their lane and the earlier nodes that each of them needs, in any lane.
    fn of(nodes: impl ExactSizeIterator<Item = (u32, Vec<usize>)> + Clone) -> Self {
        let mut names: Vec<u32> = Vec::new();
        for (lane, _) in nodes.clone() {
            if !names.contains(&lane) {
                names.push(lane);
            }
        }
        let lanes = names.len();
        let mut order = Self {
            lanes,
            places: Vec::with_capacity(nodes.len()),
            before: Vec::with_capacity(nodes.len() * lanes),
            waits: Vec::with_capacity(nodes.len()),
        };
        // The last node of each lane so far.
        let mut last: Vec<Option<usize>> = vec![None; lanes];
        for (node, (lane, needed)) in nodes.enumerate() {
            let lane = names.iter().position(|name| *name == lane).expect("listed above");
            order.push(lane, last[lane], needed);
            last[lane] = Some(node);
        }
        order
    }

    /// Adds a node that follows `previous` in its lane.
    fn push(&mut self, lane: usize, previous: Option<usize>, mut needed: Vec<usize>) {
        let mut row = vec![0; self.lanes];
        if let Some(previous) = previous {
            self.join(&mut row, previous);
        }
        // From the latest: a node can follow from one that was recorded later, never the other way round.
        needed.sort_unstable_by(|a, b| b.cmp(a));
        let mut waits = Vec::new();
        for node in needed {
            let (lane, place) = self.places[node];
            if row[lane] <= place {
                self.join(&mut row, node);
                waits.push(node);
            }
        }
        self.places.push((lane, row[lane]));
        self.before.extend(row);
        self.waits.push(waits);
    }

    /// Lets `row` know of the end of `node`, and of all that ended before it.
    fn join(&self, row: &mut [u32], node: usize) {
        row.iter_mut().zip(self.clock(node)).for_each(|(to, from)| *to = (*to).max(*from));
        let (lane, place) = self.places[node];
        row[lane] = row[lane].max(place + 1);
    }

    /// How many nodes of each lane have ended when `node` begins.
    fn clock(&self, node: usize) -> &[u32] {
        &self.before[node * self.lanes..(node + 1) * self.lanes]
    }

    /// How many lanes there are.
    #[cfg(test)]
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// A node's lane, from 0 in the order in which they begin.
    pub fn lane(&self, node: usize) -> usize {
        self.places[node].0
    }

    /// The nodes of other lanes that a node's stream has to wait for.
    pub fn waits(&self, node: usize) -> &[usize] {
        &self.waits[node]
    }

    /// The most work in nodes that run one after the other, of which each has `work`.
    pub fn longest(&self, work: impl Fn(usize) -> usize) -> usize {
        // Per node: the longest chain up to its end. Per lane: that of its last node.
        let mut ends: Vec<usize> = Vec::with_capacity(self.places.len());
        let mut last = vec![0; self.lanes];
        for (node, (lane, _)) in self.places.iter().enumerate() {
            let begin = self.waits[node].iter().map(|other| ends[*other]).fold(last[*lane], usize::max);
            last[*lane] = begin + work(node);
            ends.push(last[*lane]);
        }
        ends.into_iter().max().unwrap_or(0)
    }
}

/// The lane of each node, and which nodes it needs to have ended.
fn needs(tape: &Tape, nodes: &[usize]) -> Vec<(u32, Vec<usize>)> {
    // Per value: the node that wrote it last, and those that have read it since.
    let mut writers: Vec<Option<usize>> = vec![None; tape.values.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); tape.values.len()];
    let place = |id: &ValueId| tape.root(*id).index();
    let needs = |(step, index): (usize, &usize)| {
        let node = &tape.nodes[*index];
        let mut needed = Vec::new();
        for value in node.inputs.iter().map(place) {
            needed.extend(writers[value]);
        }
        for value in node.outputs.iter().map(place) {
            needed.extend(writers[value]);
            needed.append(&mut readers[value]);
        }
        for value in node.inputs.iter().map(place) {
            readers[value].push(step);
        }
        for value in node.outputs.iter().map(place) {
            writers[value] = Some(step);
            // What this node reads it updates: who comes later waits for the node as the writer.
            readers[value].clear();
        }
        (node.lane, needed)
    };
    nodes.iter().enumerate().map(needs).collect()
}

/// When some bytes are used: by which node first, and up to which node of each lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Use {
    first: Option<usize>,
    /// Lanes, and how many of their nodes have begun when the last of them that uses the bytes begins.
    ends: Vec<(usize, u32)>,
    /// Whether they are used after the last node.
    kept: bool,
}

impl Use {
    /// By one node alone.
    pub fn by(order: &Order, node: usize) -> Self {
        let mut usage = Self::default();
        usage.add(order, node);
        usage
    }

    /// Adds a node. Nodes are added in the order of their numbers; the first one is the one that writes.
    pub fn add(&mut self, order: &Order, node: usize) {
        self.first.get_or_insert(node);
        let (lane, place) = order.places[node];
        match self.ends.iter_mut().find(|(known, _)| *known == lane) {
            Some((_, end)) => *end = place + 1,
            None => self.ends.push((lane, place + 1)),
        }
    }

    /// Keeps the bytes until after the last node.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// The first node, which writes; none if there is none.
    pub fn first(&self) -> Option<usize> {
        self.first
    }

    /// Goes on as `other`, which begins where this one ends.
    pub fn go_on_as(&mut self, other: &Self) {
        self.ends.clone_from(&other.ends);
        self.kept = other.kept;
    }

    /// Whether all of it has ended when `node` begins.
    pub fn ends_before(&self, order: &Order, node: usize) -> bool {
        let clock = order.clock(node);
        !self.kept && self.ends.iter().all(|(lane, end)| clock[*lane] >= *end)
    }

    /// Whether nothing but `node` itself uses the bytes from its begin on.
    pub fn ends_with(&self, order: &Order, node: usize) -> bool {
        let (own, place) = order.places[node];
        let clock = order.clock(node);
        let ended = |(lane, end): &(usize, u32)| clock[*lane] >= *end || (*lane == own && *end == place + 1);
        !self.kept && self.ends.iter().all(ended)
    }

    /// Whether both may be under way at once.
    pub fn meets(&self, order: &Order, other: &Self) -> bool {
        let apart = |a: &Self, b: &Self| b.first.is_none_or(|first| a.ends_before(order, first));
        !apart(self, other) && !apart(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Philox, Stream};

    /// A random order of `count` nodes in `lanes` lanes with its needs.
    fn random(seed: u64, count: usize, lanes: u32) -> (Order, Vec<(u32, Vec<usize>)>) {
        let generator = Philox::new(seed, Stream::Split);
        let nodes: Vec<(u32, Vec<usize>)> = (0..count)
            .map(|node| {
                let [lane, needs, a, b] = generator.draw(1, node as u64);
                let pick = |word: u32| (node > 0).then(|| word as usize % node.max(1));
                let needed = [pick(a), pick(b)].into_iter().flatten().take(needs as usize % 3).collect();
                (lane % lanes, needed)
            })
            .collect();
        (Order::of(nodes.clone().into_iter()), nodes)
    }

    /// Per pair whether `a` ends before `b` begins, by following every dependency there is.
    fn reachable(nodes: &[(u32, Vec<usize>)]) -> Vec<Vec<bool>> {
        let mut before = vec![vec![false; nodes.len()]; nodes.len()];
        for (b, (lane, needed)) in nodes.iter().enumerate() {
            let in_lane = (0..b).filter(|a| nodes[*a].0 == *lane);
            for a in in_lane.chain(needed.iter().copied()).collect::<Vec<_>>() {
                before[b][a] = true;
                let earlier = before[a].clone();
                before[b].iter_mut().zip(earlier).for_each(|(to, from)| *to |= from);
            }
        }
        before
    }

    #[test]
    fn clocks_know_all_that_ended_before_and_nothing_else() {
        for seed in 0..20 {
            let (order, nodes) = random(seed, 60, 5);
            let before = reachable(&nodes);
            for (b, row) in before.iter().enumerate() {
                for (a, expected) in row.iter().enumerate() {
                    assert_eq!(Use::by(&order, a).ends_before(&order, b), *expected, "seed {seed}: {a} before {b}");
                }
            }
        }
    }

    #[test]
    fn waits_give_the_whole_order_and_none_is_too_many() {
        for seed in 0..20 {
            let (order, nodes) = random(seed, 60, 4);
            let whole = reachable(&nodes);
            let waits = |without: Option<(usize, usize)>| -> Vec<(u32, Vec<usize>)> {
                let kept = |node: usize| move |wait: &&usize| without != Some((node, **wait));
                let waits = |node| order.waits(node).iter().filter(kept(node)).copied().collect();
                (0..nodes.len()).map(|node| (order.lane(node) as u32, waits(node))).collect()
            };
            assert_eq!(reachable(&waits(None)), whole, "seed {seed}");
            for node in 0..nodes.len() {
                for wait in order.waits(node) {
                    assert_ne!(order.lane(*wait), order.lane(node), "seed {seed}: a stream does not wait for itself");
                    assert_ne!(reachable(&waits(Some((node, *wait)))), whole, "seed {seed}: {node} waits for {wait}");
                }
            }
        }
    }

    #[test]
    fn the_longest_chain_is_that_of_the_slowest_lane_and_what_it_waits_for() {
        // Lane 0: nodes 0, 3; lane 1: 1, 2, 4; node 3 waits for 1, node 4 for 3.
        let nodes = vec![(7, vec![]), (2, vec![]), (2, vec![]), (7, vec![1]), (2, vec![3, 1])];
        let order = Order::of(nodes.into_iter());
        assert_eq!(order.lanes(), 2);
        assert_eq!(order.longest(|_| 1), 3);
        assert_eq!(order.longest(|node| [1, 10, 1, 5, 1][node]), 16);
        assert_eq!(order.longest(|node| [1, 2, 30, 5, 1][node]), 33);
        let one_lane = vec![(0, vec![]); 9];
        assert_eq!(Order::of(one_lane.into_iter()).longest(|_| 2), 18);
    }
}
