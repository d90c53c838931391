//! What a launch is checked for.

pub(crate) mod global;
pub(crate) mod races;
pub(crate) mod watch;

/// What a launch is checked for. Bounds, alignment and block barriers are always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Memory read before it is written; asynchronous copies read before they are waited for.
    pub initialisation: bool,
    /// Registers read before they are written.
    pub registers: bool,
    /// Races in shared memory, and between blocks in global memory. Slow.
    pub races: bool,
    /// `.sync` instructions that not all named lanes reach together.
    pub convergence: bool,
}

impl Default for Checks {
    /// Everything but races.
    fn default() -> Checks {
        Checks { initialisation: true, registers: true, races: false, convergence: true }
    }
}

impl Checks {
    /// Everything.
    pub fn all() -> Checks {
        Checks { races: true, ..Checks::default() }
    }

    /// Only what is always checked.
    pub fn none() -> Checks {
        Checks { initialisation: false, registers: false, races: false, convergence: false }
    }
}
