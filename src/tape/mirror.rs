//! State on a GPU, and which side of it is up to date.
//!
//! The host keeps a copy of all state. A piece is stale on the device after the host wrote it, and is uploaded before
//! the next replay; it is stale on the host after a plan wrote it, and is fetched when somebody asks. So a replay moves
//! nothing but what the host changed since the last one, in one copy where the pieces lie side by side; between two steps
//! of an epoch that is nothing.

use std::sync::Arc;

use super::memory::Memory;
use super::state::{StateId, StateLayout};
use crate::error::Result;
use crate::gpu::{Buffer, Device};

/// The device's side of state.
#[derive(Debug)]
pub(super) struct Mirror {
    buffer: Buffer,
    /// Data sets.
    external: Vec<Buffer>,
    /// Per piece: the device knows something newer.
    host_stale: Vec<bool>,
    /// Per piece: the host knows something newer.
    device_stale: Vec<bool>,
}

impl Mirror {
    /// Allocates the pieces of `layout` and uploads what it adopted. All else is uploaded before the first replay.
    pub fn new(device: &Arc<dyn Device>, layout: &StateLayout) -> Result<Self> {
        let upload = |bytes: &[u8]| {
            let buffer = Buffer::new(device, bytes.len(), "a data set")?;
            device.upload(buffer.address(), bytes)?;
            Ok(buffer)
        };
        let external = layout.external().iter().map(|external| upload(external.bytes())).collect::<Result<_>>()?;
        let device_stale = layout.entries().map(|(_, entry)| !entry.is_external()).collect::<Vec<_>>();
        Ok(Self {
            buffer: Buffer::new(device, layout.bytes(), "the state")?,
            external,
            host_stale: vec![false; device_stale.len()],
            device_stale,
        })
    }

    /// The first byte of all pieces but the adopted ones.
    pub fn address(&self) -> u64 {
        self.buffer.address()
    }

    /// The first byte of an adopted piece.
    pub fn external_address(&self, index: usize) -> u64 {
        self.external[index].address()
    }

    /// The device.
    pub fn device(&self) -> &Arc<dyn Device> {
        self.buffer.device()
    }

    /// Whether the host's copy is out of date.
    pub fn is_host_stale(&self, id: StateId) -> bool {
        self.host_stale[id.index()]
    }

    /// The host has written a piece, all of it.
    pub fn written_by_host(&mut self, id: StateId) {
        self.host_stale[id.index()] = false;
        self.device_stale[id.index()] = true;
    }

    /// A replay has written these pieces.
    pub fn written_by_device(&mut self, ids: &[StateId]) {
        ids.iter().for_each(|id| self.host_stale[id.index()] = true);
    }

    /// Uploads what the host has written.
    pub fn push(&mut self, layout: &StateLayout, memory: &Memory) -> Result<()> {
        let ranges = take_ranges(layout, &mut self.device_stale);
        let bytes = memory.as_slice();
        ranges
            .into_iter()
            .try_for_each(|(start, end)| self.device().upload(self.buffer.address() + start as u64, &bytes[start..end]))
    }

    /// Fetches those of `ids` that the device has written.
    pub fn fetch(&mut self, layout: &StateLayout, memory: &mut Memory, ids: &[StateId]) -> Result<()> {
        let mut wanted = vec![false; self.host_stale.len()];
        for id in ids {
            wanted[id.index()] = self.host_stale[id.index()];
        }
        let mut pending = wanted.clone();
        for (start, end) in take_ranges(layout, &mut pending) {
            let bytes = &mut memory.as_mut_slice()[start..end];
            self.device().download(self.buffer.address() + start as u64, bytes)?;
        }
        self.host_stale.iter_mut().zip(wanted).for_each(|(stale, fetched)| *stale &= !fetched);
        Ok(())
    }
}

/// Byte ranges of the marked pieces, neighbours joined; clears the marks.
fn take_ranges(layout: &StateLayout, marks: &mut [bool]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut joins = false;
    for (id, entry) in layout.entries().filter(|(_, entry)| !entry.is_external()) {
        let marked = std::mem::take(&mut marks[id.index()]);
        if marked {
            let end = entry.offset() + entry.bytes();
            match ranges.last_mut() {
                // Between neighbours lies nothing but padding.
                Some(range) if joins => range.1 = end,
                _ => ranges.push((entry.offset(), end)),
            }
        }
        joins = marked;
    }
    ranges
}
