//! A launch: checks what it was given, and runs the blocks of the grid on several threads.

use super::barrier::{BARRIERS, Barrier};
use super::warp::Warp;
use super::{Context, block};
use crate::checks::global::GlobalRaces;
use crate::checks::races::SharedRaces;
use crate::counters::{Counters, Met, Tally};
use crate::decode::{Image, Kernel};
use crate::fault::Fault;
use crate::launch::{Launch, Options};
use crate::memory::arena::Arena;
use crate::memory::global::GlobalMemory;
use crate::memory::regions::Regions;
use crate::ops::async_copy::Queue;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most shared memory that a block of any device has (compute capability 9.0: 227 KB).
const MOST_SHARED: u64 = 227 * 1024;

/// Checks the launch against the kernel.
fn check(kernel: &Kernel, launch: &Launch) -> Result<(), String> {
    if launch.grid.contains(&0) || launch.block.contains(&0) {
        return Err(format!(
            "grid {:?} and block {:?}: every dimension has to be at least 1",
            launch.grid, launch.block
        ));
    }
    if launch.grid[1] > 65535 || launch.grid[2] > 65535 || launch.grid[0] > i32::MAX as u32 {
        return Err(format!("grid {:?}: at most 2147483647, 65535 and 65535 blocks", launch.grid));
    }
    let threads: u64 = launch.block.iter().map(|size| *size as u64).product();
    if threads > 1024 || launch.block[2] > 64 {
        return Err(format!("block {:?}: at most 1024 threads, 64 of them in z", launch.block));
    }
    if let Some(most) = kernel.max_threads {
        let most: u64 = most.iter().map(|size| *size as u64).product();
        if threads > most {
            return Err(format!(
                "block {:?} has {threads} threads; the kernel is compiled for at most {most}",
                launch.block
            ));
        }
    }
    if launch.parameters.len() != kernel.parameter_bytes() {
        return Err(format!("{} bytes of parameters, expected {}", launch.parameters.len(), kernel.parameter_bytes()));
    }
    let shared = kernel.shared_bytes + launch.dynamic_shared as u64;
    if shared > MOST_SHARED {
        return Err(format!("{shared} bytes of shared memory; no device has more than {MOST_SHARED} per block"));
    }
    if launch.dynamic_shared > 0 && !kernel.dynamic_shared {
        return Err("the kernel declares no extern shared memory".into());
    }
    Ok(())
}

/// Runs a launch.
pub(crate) fn launch(
    program: &Image,
    kernel: &Kernel,
    memory: &GlobalMemory,
    launch: &Launch,
    options: &Options,
) -> Result<Counters, Fault> {
    check(kernel, launch).map_err(|message| Fault::launch(&kernel.name, message))?;
    let regions =
        Regions::new(memory, &launch.views, program).map_err(|message| Fault::launch(&kernel.name, message))?;
    let blocks: u64 = launch.grid.iter().map(|size| *size as u64).product();
    let mut order: Option<Vec<u32>> = None;
    if let Some(seed) = options.seed {
        let Ok(blocks) = u32::try_from(blocks) else {
            return Err(Fault::launch(&kernel.name, format!("{blocks} blocks are too many to shuffle")));
        };
        let mut all: Vec<u32> = (0..blocks).collect();
        block::shuffle(&mut all, &mut seed.clone());
        order = Some(all);
    }
    let alone = options.checks.races || kernel.global_atomics;
    let most = options.threads.unwrap_or_else(rayon::current_num_threads).max(1);
    let workers = if alone { 1 } else { most.min(blocks as usize) };
    let next = AtomicU64::new(0);
    // The order number of the first block that faulted: blocks behind it need not run.
    let stop = AtomicU64::new(u64::MAX);
    let found: Mutex<Option<(u64, Fault)>> = Mutex::new(None);
    let total = Mutex::new((Counters::default(), Met::default()));
    let work = || {
        let mut worker = Worker::new(kernel, launch, options, &regions);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= blocks || number > stop.load(Ordering::Relaxed) {
                break;
            }
            let block = order.as_ref().map_or(number, |order| order[number as usize] as u64);
            let Err(fault) = worker.run(block, options) else { continue };
            stop.fetch_min(number, Ordering::Relaxed);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            if found.as_ref().is_none_or(|(before, _)| number < *before) {
                *found = Some((number, fault));
            }
            break;
        }
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        let (counters, met) = &mut *total;
        worker.context.tally.add_to(counters, met, kernel);
    };
    if workers == 1 {
        work();
    } else {
        rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| work())));
    }
    match found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, fault)) => Err(fault),
        None => Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner).0),
    }
}

/// What one thread needs to run blocks, one after the other.
struct Worker<'a> {
    context: Context<'a>,
    warps: Vec<Warp>,
}

impl<'a> Worker<'a> {
    fn new(kernel: &'a Kernel, launch: &'a Launch, options: &Options, regions: &'a Regions) -> Worker<'a> {
        let threads = launch.block.iter().product::<u32>() as usize;
        let count = threads.div_ceil(32);
        let shared = (kernel.shared_bytes + launch.dynamic_shared as u64) as usize;
        let races = options.checks.races;
        let mut context = Context {
            rows: std::ptr::null_mut(),
            predicates: std::ptr::null_mut(),
            kernel,
            checks: options.checks,
            counting: options.counters,
            regions,
            hints: vec![0; kernel.codes.len()],
            shared: Arena::new(shared),
            local: Arena::new(kernel.local_bytes as usize * threads),
            parameters: &launch.parameters,
            warp: 0,
            started: 0,
            live: 0,
            active: 0,
            copies: Queue::default(),
            pending: 0,
            races: races.then(|| Box::new(SharedRaces::new(shared, kernel.shared_unit, count))),
            global_races: races.then(|| Box::new(GlobalRaces::new(regions.bytes, kernel.global_unit))),
            block_number: 0,
            barriers: [Barrier::default(); BARRIERS],
            tally: Tally::new(kernel.codes.len()),
            grid: launch.grid,
            block_size: launch.block,
            block: [0; 3],
            fault: None,
        };
        let mut warps: Vec<Warp> =
            (0..count).map(|_| Warp::new(kernel.rows, kernel.predicates, kernel.tracked.len())).collect();
        block::prepare(&mut context, &mut warps, launch.dynamic_shared);
        Worker { context, warps }
    }

    fn run(&mut self, number: u64, options: &Options) -> Result<(), Fault> {
        let [x, y, _] = self.context.grid.map(u64::from);
        self.context.block = [(number % x) as u32, (number / x % y) as u32, (number / (x * y)) as u32];
        self.context.block_number = number as u32;
        self.context.pending = 0;
        let budget = options.budget.unwrap_or(u64::MAX);
        if block::run(&mut self.context, &mut self.warps, budget, options.seed) {
            return Ok(());
        }
        match self.context.fault.take() {
            Some(fault) => Err(fault),
            None => Err(Fault::launch(&self.context.kernel.name, "a handler failed without saying why")),
        }
    }
}
