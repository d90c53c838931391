//! The parts of global memory that a launch may touch.

use super::global::{Allocation, GlobalMemory};
use crate::decode::Image;
use crate::launch::View;
use std::sync::Arc;

/// A part of global memory: a view, an allocation or a module's variable.
#[derive(Clone)]
pub(crate) struct Region {
    pub start: u64,
    pub end: u64,
    pub writable: bool,
    pub label: String,
    /// What holds it; its first byte has the address `origin`, a multiple of four.
    pub allocation: Arc<Allocation>,
    pub origin: u64,
    /// Bytes of global memory before this region's allocation among all allocations of the launch: a place in tables.
    pub base: u64,
}

/// All of them, by their start.
pub(crate) struct Regions {
    pub list: Vec<Region>,
    /// Whether some overlap.
    overlap: bool,
    /// Bytes of all allocations that hold them.
    pub bytes: u64,
}

impl Regions {
    /// The views, or all allocations where there are none; and the variables of the program.
    pub fn new(memory: &GlobalMemory, views: &[View], program: &Image) -> Result<Regions, String> {
        let mut list = Vec::new();
        let region = |allocation: Arc<Allocation>, start: u64, end: u64, writable: bool, label: String| Region {
            start,
            end,
            writable,
            label,
            origin: allocation.address,
            allocation,
            base: 0,
        };
        if views.is_empty() {
            for allocation in memory.allocations() {
                let (start, end) = (allocation.address, allocation.address + allocation.bytes);
                let label = allocation.label.clone();
                list.push(region(allocation, start, end, true, label));
            }
        }
        for view in views {
            let held =
                memory.view(view.address, view.bytes).map_err(|error| format!("view {}: {error}", view.label))?;
            list.push(region(held, view.address, view.address + view.bytes, view.writable, view.label.clone()));
        }
        for variable in &program.variables {
            let (start, end) = (variable.address, variable.address + variable.bytes);
            list.push(region(variable.clone(), start, end, false, variable.label.clone()));
        }
        list.sort_by_key(|region| (region.start, region.end));
        let overlap = list.windows(2).any(|pair| pair[1].start < pair[0].end);
        let mut bytes = 0;
        let mut last: Option<(u64, u64)> = None;
        let mut order: Vec<usize> = (0..list.len()).collect();
        order.sort_by_key(|index| list[*index].origin);
        for index in order {
            let origin = list[index].origin;
            match last {
                Some((known, base)) if known == origin => list[index].base = base,
                _ => {
                    list[index].base = bytes;
                    last = Some((origin, bytes));
                    bytes += list[index].allocation.bytes.next_multiple_of(256);
                }
            }
        }
        Ok(Regions { list, overlap, bytes })
    }

    /// The region that holds `low..high`, writable if asked.
    pub fn find(&self, low: u64, high: u64, write: bool) -> Option<usize> {
        let before = self.list.partition_point(|region| region.start <= low);
        for index in (0..before).rev() {
            let region = &self.list[index];
            if high <= region.end && (region.writable || !write) {
                return Some(index);
            }
            if !self.overlap {
                return None;
            }
        }
        None
    }

    /// Where an address outside of all regions is, in words: the nearest region.
    pub fn near(&self, address: u64, bytes: u64) -> (Option<String>, String) {
        let distance = |region: &Region| {
            if address < region.start { region.start - address } else { (address + bytes).saturating_sub(region.end) }
        };
        match self.list.iter().min_by_key(|region| distance(region)) {
            Some(region) if address < region.start => {
                let before = region.start - address;
                let size = region.end - region.start;
                (Some(region.label.clone()), format!("{before} bytes before {} ({size} bytes)", region.label))
            }
            Some(region) => {
                let size = region.end - region.start;
                let offset = address - region.start;
                (Some(region.label.clone()), format!("at byte {offset} of {} ({size} bytes)", region.label))
            }
            None => (None, "the launch may touch no global memory".into()),
        }
    }
}
