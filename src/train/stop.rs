//! Stopping in an orderly way: the first Ctrl-C or SIGTERM lets the step finish and saves, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::TERM_SIGNALS;
use signal_hook::flag;

use crate::error::{Error, Result};

/// Whether someone asked to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that signals raise from now on.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        for signal in TERM_SIGNALS {
            let refused = |error| Error::failed(format!("cannot handle signal {signal}: {error}"));
            // In this order: the second signal finds the flag raised by the first and ends the process.
            flag::register_conditional_shutdown(*signal, 130, stop.0.clone()).map_err(refused)?;
            flag::register(*signal, stop.0.clone()).map_err(refused)?;
        }
        Ok(stop)
    }

    /// Raises the flag.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the flag is raised.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
