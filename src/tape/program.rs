//! A plan's launches for a GPU: symbolic at first, bound to addresses when they meet the memory they run in, and then
//! recorded as one graph, lane by lane, that is replayed for every batch.

use std::sync::{Mutex, PoisonError};

use super::frame::Region;
use super::launcher::{Argument, Launch, Place};
use super::mirror::Mirror;
use super::order::Order;
use super::plan::Step;
use crate::error::Result;
use crate::gpu::{self, Buffer, Graph, Task, View};

/// The launches of a plan, node by node.
#[derive(Debug)]
pub(super) struct Program {
    nodes: Vec<Node>,
    /// Launches of the longest chain of nodes that wait for each other.
    depth: usize,
    bound: Mutex<Option<Bound>>,
}

/// What one planned node does.
#[derive(Debug)]
struct Node {
    launches: Vec<Launch>,
    constants: Vec<Vec<u8>>,
    tables: Vec<Vec<Argument>>,
    /// What the node starts with undefined: its outputs and its workspace.
    undefined: Vec<Place>,
    lane: usize,
    /// Nodes of other lanes that have to have ended.
    waits: Vec<usize>,
}

/// The launches at their addresses.
#[derive(Debug)]
struct Bound {
    /// Of arena and state.
    addresses: [u64; 2],
    /// Constants and tables; the launches point into it.
    #[allow(dead_code, reason = "kept alive for the launches")]
    constants: Buffer,
    graph: Graph,
    /// Per node, for profiles.
    nodes: Vec<Vec<gpu::Launch>>,
}

/// Constants start at multiples of this.
const ALIGNMENT: usize = 64;

impl Program {
    /// Asks every node for its launches; the nodes run in `order`.
    pub fn of(steps: &[Step], order: &Order) -> Result<Self> {
        let nodes = steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let launcher = step.launcher()?;
                let undefined = launcher.undefined();
                let (launches, constants, tables) = (launcher.launches, launcher.constants, launcher.tables);
                let (lane, waits) = (order.lane(index), order.waits(index).to_vec());
                Ok(Node { launches, constants, tables, undefined, lane, waits })
            })
            .collect::<Result<Vec<Node>>>()?;
        let depth = order.longest(|index| nodes[index].launches.len());
        Ok(Self { nodes, depth, bound: Mutex::new(None) })
    }

    /// The kernels, in order, one for each launch.
    pub fn kernels(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().flat_map(|node| &node.launches).map(|launch| launch.kernel.as_str())
    }

    /// The launches in order.
    pub fn into_launches(self) -> Vec<Launch> {
        self.nodes.into_iter().flat_map(|node| node.launches).collect()
    }

    /// How many there are.
    pub fn launches(&self) -> usize {
        self.nodes.iter().map(|node| node.launches.len()).sum()
    }

    /// How many of them have to run one after the other, whatever runs beside them.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Does all of it.
    pub fn replay(&self, arena: &Buffer, state: &Mirror) -> Result<()> {
        self.with_bound(arena, state, |bound| bound.graph.replay())
    }

    /// Does the work of one node and waits for its end.
    pub fn run_step(&self, index: usize, arena: &Buffer, state: &Mirror) -> Result<()> {
        let device = state.device();
        self.with_bound(arena, state, |bound| {
            bound.nodes[index].iter().try_for_each(|launch| device.launch(device.main_stream(), launch))?;
            device.synchronize()
        })
    }

    /// Shows every launch with its node's number, at its addresses, in order. None of them is done.
    pub fn each_launch(
        &self,
        arena: &Buffer,
        state: &Mirror,
        mut visit: impl FnMut(usize, &gpu::Launch) -> Result<()>,
    ) -> Result<()> {
        self.with_bound(arena, state, |bound| {
            let mut nodes = bound.nodes.iter().enumerate();
            nodes.try_for_each(|(index, launches)| launches.iter().try_for_each(|launch| visit(index, launch)))
        })
    }

    fn with_bound(&self, arena: &Buffer, state: &Mirror, work: impl FnOnce(&Bound) -> Result<()>) -> Result<()> {
        // A panic elsewhere leaves the bound launches as they were: complete or absent.
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = [arena.address(), state.address()];
        if bound.as_ref().is_none_or(|bound| bound.addresses != addresses) {
            *bound = None;
            *bound = Some(self.bind(arena, state)?);
        }
        work(bound.as_ref().expect("bound above"))
    }

    fn bind(&self, arena: &Buffer, state: &Mirror) -> Result<Bound> {
        let device = state.device();
        let layouts: Vec<Block> = {
            let mut bytes = 0;
            self.nodes.iter().map(|node| Block::of(node, &mut bytes)).collect()
        };
        let bytes = layouts.last().map_or(0, |block| block.end);
        let constants = Buffer::new(device, bytes, "constants")?;
        let binder = Binder { arena: arena.address(), state, constants: constants.address() };
        let mut contents = vec![0; bytes];
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for (node, block) in self.nodes.iter().zip(&layouts) {
            for (constant, start) in node.constants.iter().zip(&block.constants) {
                contents[*start..start + constant.len()].copy_from_slice(constant);
            }
            for (table, start) in node.tables.iter().zip(&block.tables) {
                for (index, word) in table.iter().enumerate() {
                    let at = start + 8 * index;
                    contents[at..at + 8].copy_from_slice(&binder.word(word).to_le_bytes());
                }
            }
            nodes.push(binder.launches(node, block));
        }
        if bytes > 0 {
            device.upload(constants.address(), &contents)?;
        }
        let both = self.nodes.iter().zip(&nodes);
        let tasks: Vec<Task<'_>> =
            both.map(|(node, launches)| Task { lane: node.lane, waits: &node.waits, launches }).collect();
        let graph = Graph::of_tasks(device, &tasks)?;
        Ok(Bound { addresses: [arena.address(), state.address()], constants, graph, nodes })
    }
}

/// Where a node's constants and tables start.
struct Block {
    constants: Vec<usize>,
    tables: Vec<usize>,
    end: usize,
}

impl Block {
    fn of(node: &Node, next: &mut usize) -> Self {
        let mut place = |bytes: usize| {
            let start = *next;
            *next = (start + bytes).next_multiple_of(ALIGNMENT);
            start
        };
        let constants = node.constants.iter().map(|constant| place(constant.len())).collect();
        let tables = node.tables.iter().map(|table| place(8 * table.len())).collect();
        Self { constants, tables, end: *next }
    }
}

/// Turns places into addresses.
struct Binder<'a> {
    arena: u64,
    state: &'a Mirror,
    constants: u64,
}

impl Binder<'_> {
    fn address(&self, place: &Place) -> u64 {
        let base = match place.region {
            Region::Arena => self.arena,
            Region::State => self.state.address(),
            Region::External(index) => self.state.external_address(index),
        };
        base + place.offset as u64
    }

    fn view(&self, place: &Place) -> View {
        let label = place.label.clone();
        View { address: self.address(place), bytes: place.bytes, writable: place.writable, label }
    }

    /// A word of a table.
    fn word(&self, argument: &Argument) -> u64 {
        match argument {
            Argument::Pointer(place) => self.address(place),
            Argument::U32(value) => u64::from(*value),
            Argument::F32(value) => u64::from(value.to_bits()),
            Argument::U64(value) => *value,
            Argument::Structure(_) | Argument::Constant(_) | Argument::Table(_) => {
                unreachable!("a table holds pointers and numbers")
            }
        }
    }

    fn launches(&self, node: &Node, block: &Block) -> Vec<gpu::Launch> {
        let mut undefined: Vec<(u64, usize)> =
            node.undefined.iter().map(|place| (self.address(place), place.bytes)).collect();
        node.launches
            .iter()
            .map(|launch| {
                let mut parameters = Parameters::default();
                let mut views = Vec::new();
                for argument in &launch.arguments {
                    match argument {
                        Argument::Structure(bytes) => parameters.push(bytes, 4),
                        Argument::U32(_) | Argument::F32(_) => {
                            parameters.push(&self.word(argument).to_le_bytes()[..4], 4);
                        }
                        Argument::U64(value) => parameters.push(&value.to_le_bytes(), 8),
                        Argument::Pointer(place) => {
                            parameters.push(&self.address(place).to_le_bytes(), 8);
                            views.push(self.view(place));
                        }
                        Argument::Constant(index) => {
                            let address = self.constants + block.constants[*index] as u64;
                            parameters.push(&address.to_le_bytes(), 8);
                            let bytes = node.constants[*index].len();
                            views.push(View { address, bytes, writable: false, label: "a constant".into() });
                        }
                        Argument::Table(index) => {
                            let address = self.constants + block.tables[*index] as u64;
                            parameters.push(&address.to_le_bytes(), 8);
                            let table = &node.tables[*index];
                            let label = "a table".to_string();
                            views.push(View { address, bytes: 8 * table.len(), writable: false, label });
                            views.extend(table.iter().filter_map(|word| match word {
                                Argument::Pointer(place) => Some(self.view(place)),
                                _ => None,
                            }));
                        }
                    }
                }
                gpu::Launch {
                    kernel: launch.kernel.clone(),
                    grid: launch.grid,
                    block: launch.block,
                    shared: launch.shared,
                    parameters: parameters.bytes,
                    views,
                    undefined: std::mem::take(&mut undefined),
                }
            })
            .collect()
    }
}

/// A block of parameters, each at the next multiple of its alignment, as C lays out a structure.
#[derive(Default)]
struct Parameters {
    bytes: Vec<u8>,
}

impl Parameters {
    fn push(&mut self, bytes: &[u8], alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self.bytes.extend_from_slice(bytes);
    }
}
