//! What streams are given while they are captured: launches, and which of them each has to wait for.
//!
//! The rules are the manual's (CUDA C++ Programming Guide, "Creating a Graph Using Stream Capture"): a stream takes part from
//! when it waits for an event of the capture; all work has to be joined to the stream on which the capture began; events
//! of a capture and of outside do not mix.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gpu::{Launch, StreamId};
use crate::random::{Philox, Stream};

/// A capture that is under way.
#[derive(Debug)]
pub(super) struct Capture {
    origin: StreamId,
    graph: Recorded,
    /// Per stream that takes part: the launches that what it is given next has to wait for.
    ends: HashMap<StreamId, Vec<usize>>,
}

/// Launches, each with those that it has to wait for, which come before it.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub launches: Vec<Launch>,
    after: Vec<Vec<usize>>,
}

impl Capture {
    /// Nothing yet, on the stream where it has to end as well.
    pub fn new(origin: StreamId) -> Self {
        Self { origin, graph: Recorded::default(), ends: HashMap::from([(origin, Vec::new())]) }
    }

    /// Whether what `stream` is given is recorded.
    pub fn has(&self, stream: StreamId) -> bool {
        self.ends.contains_key(&stream)
    }

    /// Records a launch on a stream that takes part.
    pub fn launch(&mut self, stream: StreamId, launch: Launch) {
        let after = self.ends.insert(stream, vec![self.graph.launches.len()]).unwrap_or_default();
        self.graph.launches.push(launch);
        self.graph.after.push(after);
    }

    /// An event on a stream that takes part: the launches that come before it.
    pub fn event(&self, stream: StreamId) -> Vec<usize> {
        self.ends.get(&stream).cloned().unwrap_or_default()
    }

    /// Lets `stream` wait for an event of this capture, and so take part in it.
    pub fn wait(&mut self, stream: StreamId, event: &[usize]) {
        let ends = self.ends.entry(stream).or_default();
        ends.extend(event);
        ends.sort_unstable();
        ends.dedup();
    }

    /// The graph, if the capture began on `stream` and all work is joined to it.
    pub fn finish(self, stream: StreamId) -> Result<Recorded> {
        if stream != self.origin {
            return Err(Error::failed("a capture has to end on the stream on which it began"));
        }
        let before = self.graph.before();
        let mut joined = Bits::new(self.graph.launches.len());
        for end in &self.ends[&stream] {
            joined.add(&before[*end]);
            joined.set(*end);
        }
        match (0..self.graph.launches.len()).find(|launch| !joined.has(*launch)) {
            None => Ok(self.graph),
            Some(launch) => Err(Error::failed(format!(
                "a capture ends before all of its work is joined to the stream on which it began: nothing there waits for {}",
                self.graph.launches[launch].kernel
            ))),
        }
    }
}

impl Recorded {
    /// Per launch all that have ended when it begins.
    fn before(&self) -> Vec<Bits> {
        let mut before: Vec<Bits> = Vec::with_capacity(self.launches.len());
        for after in &self.after {
            let mut bits = Bits::new(self.launches.len());
            for launch in after {
                bits.add(&before[*launch]);
                bits.set(*launch);
            }
            before.push(bits);
        }
        before
    }

    /// An order in which every launch comes after those that it waits for: as recorded, or by a seed and the number of
    /// the replay any that there is.
    pub fn order(&self, seed: Option<u64>, replay: u64) -> Vec<usize> {
        let Some(seed) = seed else { return (0..self.launches.len()).collect() };
        let generator = Philox::new(seed, Stream::Shuffle);
        let mut followers = vec![Vec::new(); self.launches.len()];
        let mut waits: Vec<usize> = self.after.iter().map(Vec::len).collect();
        for (launch, after) in self.after.iter().enumerate() {
            after.iter().for_each(|other| followers[*other].push(launch));
        }
        let mut ready: Vec<usize> = (0..self.launches.len()).filter(|launch| waits[*launch] == 0).collect();
        let mut order = Vec::with_capacity(self.launches.len());
        while !ready.is_empty() {
            let [word, ..] = generator.draw(replay, order.len() as u64);
            let next = ready.swap_remove(word as usize % ready.len());
            for follower in &followers[next] {
                waits[*follower] -= 1;
                if waits[*follower] == 0 {
                    ready.push(*follower);
                }
            }
            order.push(next);
        }
        order
    }

    /// Looks for two launches that may run at once although one of them may write what the other uses.
    pub fn check_races(&self) -> Result<()> {
        let before = self.before();
        let mut uses: Vec<Use<'_>> =
            self.launches.iter().enumerate().flat_map(|(index, one)| uses(index, one)).collect();
        uses.sort_by_key(|one| (one.start, one.end, one.launch));
        // Of those that began, the ones that may reach the next begin.
        let mut open: Vec<Use<'_>> = Vec::new();
        for one in uses {
            open.retain(|other| other.end > one.start);
            let race = open.iter().find(|other| {
                let (first, second) = (one.launch.min(other.launch), one.launch.max(other.launch));
                (one.writes || other.writes) && first != second && !before[second].has(first)
            });
            if let Some(other) = race {
                let says = |one: &Use<'_>| {
                    let does = if one.writes { "writes" } else { "reads" };
                    format!("{} (launch {}), which {does} {}", self.launches[one.launch].kernel, one.launch, one.label)
                };
                let bytes = one.end.min(other.end) - one.start;
                return Err(Error::failed(format!(
                    "race between launches: nothing orders {} and {}; {bytes} bytes from {:#x} on are the same",
                    says(other),
                    says(&one),
                    one.start
                )));
            }
            open.push(one);
        }
        Ok(())
    }
}

/// Bytes that a launch touches.
struct Use<'a> {
    start: u64,
    end: u64,
    launch: usize,
    writes: bool,
    label: &'a str,
}

fn uses(index: usize, launch: &Launch) -> impl Iterator<Item = Use<'_>> {
    let views = launch.views.iter().map(|view| (view.address, view.bytes, view.writable, view.label.as_str()));
    // Undefined bytes are as good as written: nobody else may have anything there.
    let undefined =
        launch.undefined.iter().map(|(address, bytes)| (*address, *bytes, true, "its outputs or workspace"));
    views.chain(undefined).filter(|(_, bytes, ..)| *bytes > 0).map(move |(start, bytes, writes, label)| Use {
        start,
        end: start + bytes as u64,
        launch: index,
        writes,
        label,
    })
}

/// A set of launches.
#[derive(Clone, Debug)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 != 0
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(to, from)| *to |= from);
    }
}
