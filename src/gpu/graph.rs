//! Launches recorded once, to be replayed with one call.
//!
//! A device records what streams are given: every lane has a stream of its own, forked from the first one by an event and
//! joined to it at the end (CUDA C++ Programming Guide, "Creating a Graph Using Stream Capture"). What becomes of it is a
//! graph of launches and what each waits for; the streams are needed no more.

use std::sync::Arc;

use super::device::{Device, EventId, GraphId, Launch, StreamId};
use crate::error::Result;

/// Launches that run one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Tasks of one lane run one after the other, lanes at once. Lanes are numbered from 0 without gaps.
    pub lane: usize,
    /// Tasks of other lanes, by their place in the list, that have to have ended.
    pub waits: &'a [usize],
    /// What it does.
    pub launches: &'a [Launch],
}

/// Recorded launches that are released when nobody holds them any more.
#[derive(Debug)]
pub struct Graph {
    device: Arc<dyn Device>,
    id: GraphId,
}

impl Graph {
    /// Records `launches`, one after the other.
    ///
    /// # Errors
    /// As [`Device::launch`].
    pub fn of(device: &Arc<dyn Device>, launches: &[Launch]) -> Result<Self> {
        Self::of_tasks(device, &[Task { lane: 0, waits: &[], launches }])
    }

    /// Records tasks that run as early as their lanes and waits allow.
    ///
    /// # Errors
    /// As [`Device::launch`].
    pub fn of_tasks(device: &Arc<dyn Device>, tasks: &[Task<'_>]) -> Result<Self> {
        let main = device.main_stream();
        let lanes = tasks.iter().map(|task| task.lane + 1).max().unwrap_or(1);
        let side = (1..lanes).map(|lane| device.stream(lane - 1));
        let streams = std::iter::once(Ok(main)).chain(side).collect::<Result<Vec<StreamId>>>()?;
        device.begin_capture(main)?;
        let recorded = record(&**device, &streams, tasks);
        // A capture that failed has to end as well.
        let id = device.end_capture(main);
        recorded?;
        Ok(Self { device: device.clone(), id: id? })
    }

    /// Does the recorded work.
    ///
    /// # Errors
    /// As [`Device::replay`].
    pub fn replay(&self) -> Result<()> {
        self.device.replay(self.id, self.device.main_stream())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        self.device.release(self.id);
    }
}

/// Gives the tasks to the streams of their lanes, of which the first one is captured.
fn record(device: &dyn Device, streams: &[StreamId], tasks: &[Task<'_>]) -> Result<()> {
    let (main, side) = (streams[0], &streams[1..]);
    if !side.is_empty() {
        let fork = device.record(main)?;
        side.iter().try_for_each(|stream| device.wait(*stream, fork))?;
    }
    let mut waited_for = vec![false; tasks.len()];
    tasks.iter().flat_map(|task| task.waits).for_each(|wait| waited_for[*wait] = true);
    let mut ends: Vec<Option<EventId>> = Vec::with_capacity(tasks.len());
    for (task, waited_for) in tasks.iter().zip(waited_for) {
        let stream = streams[task.lane];
        for wait in task.waits {
            device.wait(stream, ends[*wait].expect("who is waited for comes first and has an event"))?;
        }
        task.launches.iter().try_for_each(|launch| device.launch(stream, launch))?;
        ends.push(if waited_for { Some(device.record(stream)?) } else { None });
    }
    // The captured stream waits for all others, as it has to: that is no work, and no dependency of a launch.
    for stream in side {
        device.wait(main, device.record(*stream)?)?;
    }
    Ok(())
}
