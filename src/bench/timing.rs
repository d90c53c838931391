//! Timing by repetition: as many replays as a time allows, of which the median counts.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::error::Result as DeviceResult;
use crate::gpu::Device;

/// Replays that are always timed, however long they take.
const FEWEST: usize = 5;

/// Replays beyond which the median does not get better.
const MOST: usize = 10_000;

/// What counts as time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time on the wall.
    Wall,
    /// Time that this thread has had a processor: where other programs share the machine, and all work is done by one
    /// thread.
    Processor,
}

impl Clock {
    /// How long `work` takes, by this clock.
    ///
    /// # Errors
    /// What `work` says.
    pub fn time<E>(self, work: impl FnOnce() -> Result<(), E>) -> Result<Duration, E> {
        let start = self.now();
        work()?;
        Ok(self.now().saturating_sub(start))
    }

    /// Time since a moment that stays the same.
    fn now(self) -> Duration {
        let id = match self {
            Self::Wall => ClockId::Monotonic,
            Self::Processor => ClockId::ThreadCPUTime,
        };
        let now = clock_gettime(id);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}

/// How each benchmark is repeated.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// What is measured.
    pub clock: Clock,
    /// How long a whole step is repeated.
    pub step: Duration,
    /// How long a kernel is repeated.
    pub kernel: Duration,
}

impl Effort {
    /// `seconds` for each step, a twentieth of it for each kernel.
    pub fn of(seconds: f64, clock: Clock) -> Self {
        Self { clock, step: Duration::from_secs_f64(seconds), kernel: Duration::from_secs_f64(seconds / 20.0) }
    }
}

/// Times of the replays of something, ascending.
#[derive(Clone, Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Replays `work`, which says how long it took, for about `time`, after as many replays for warming up as a tenth
    /// of it holds (at least two).
    ///
    /// # Errors
    /// What `work` says.
    pub fn measure<E>(time: Duration, mut work: impl FnMut() -> Result<Duration, E>) -> Result<Self, E> {
        let start = Instant::now();
        let mut warm = 0;
        while warm < 2 || start.elapsed() < time / 10 {
            work()?;
            warm += 1;
        }
        let start = Instant::now();
        let mut times = Vec::new();
        while times.len() < FEWEST || (start.elapsed() < time && times.len() < MOST) {
            times.push(work()?);
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    /// As [`Times::measure`] for work of a GPU, timed there: the time between the ends of one replay and the next, without
    /// waiting for any, in rounds.
    ///
    /// # Errors
    /// What `work` says, and what the device says.
    pub fn on_device(
        time: Duration,
        device: &dyn Device,
        mut work: impl FnMut() -> DeviceResult<()>,
    ) -> DeviceResult<Self> {
        const ROUND: usize = 20;
        let stream = device.main_stream();
        let mut round = |times: &mut Vec<Duration>| -> DeviceResult<()> {
            let mut events = vec![device.record(stream)?];
            for _ in 0..ROUND {
                work()?;
                events.push(device.record(stream)?);
            }
            device.synchronize()?;
            for pair in events.windows(2) {
                times.push(device.elapsed(pair[0], pair[1])?);
            }
            Ok(())
        };
        round(&mut Vec::new())?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.is_empty() || (start.elapsed() < time && times.len() < MOST) {
            round(&mut times)?;
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The median, in seconds.
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2].as_secs_f64()
    }

    /// The shortest, in seconds.
    pub fn fastest(&self) -> f64 {
        self.0[0].as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_work_is_timed_a_few_times_and_failures_are_passed_on() {
        let mut calls = 0;
        let times = Times::measure::<()>(Duration::ZERO, || {
            calls += 1;
            Ok(Duration::from_secs(calls))
        })
        .unwrap();
        // Of 1 to 7 seconds the first two are for warming up.
        assert_eq!((times.count(), calls), (FEWEST, 7));
        assert_eq!((times.fastest(), times.median()), (3.0, 5.0));
        assert_eq!(Times::measure(Duration::ZERO, || Err("no")).unwrap_err(), "no");
    }
}
