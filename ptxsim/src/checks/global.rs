//! Races in global memory between the blocks of one launch: nothing orders blocks but atomics that release and acquire, so
//! bytes that one block writes may be touched by no other that does not know of it, atomic accesses among themselves
//! excepted.
//!
//! A block that releases at a place leaves there what it has done and what it knows; one that acquires there afterwards
//! knows it too (PTX ISA 8.9: release and acquire patterns, causality order). Kernels with global atomics run their
//! blocks one after the other, so "afterwards" is the order in which they are met here.

use std::collections::HashMap;

use super::races::Touch;

/// An atomic that acquires.
pub(crate) const ACQUIRE: u8 = 1;
/// An atomic that releases.
pub(crate) const RELEASE: u8 = 2;

/// Stands for a block's number where there are several.
pub(crate) const SEVERAL: u32 = u32::MAX - 1;

/// Blocks that touched one unit: 0 none, else the number of the block plus one; and how often it had released then.
#[derive(Clone, Copy, Default)]
struct Unit {
    writer: u32,
    written: u32,
    reader: u32,
    read: u32,
    /// The last block that accessed it atomically.
    atomic: u32,
}

/// The other access of a race: the block's number, and what it did.
pub(crate) struct Other {
    pub block: u32,
    pub what: &'static str,
}

/// Of each block how many of its releases are known; blocks that are not there: none.
type Known = HashMap<u32, u32>;

/// All bytes that a launch may touch.
pub(crate) struct GlobalRaces {
    units: Vec<Unit>,
    shift: u32,
    /// What each block knows of others.
    known: HashMap<u32, Known>,
    /// What was left at places where blocks released.
    released: HashMap<usize, Known>,
    /// How often each block has released.
    releases: HashMap<u32, u32>,
}

impl GlobalRaces {
    /// For so many bytes, touched `unit` bytes at a time at least.
    pub fn new(bytes: u64, unit: usize) -> GlobalRaces {
        let shift = unit.trailing_zeros();
        let units = vec![Unit::default(); (bytes >> shift) as usize + 1];
        GlobalRaces { units, shift, known: HashMap::new(), released: HashMap::new(), releases: HashMap::new() }
    }

    /// A block touches bytes; the other access if that is a race.
    #[inline]
    pub fn touch(&mut self, block: u32, start: u64, bytes: u64, how: Touch) -> Option<Other> {
        let me = block + 1;
        let known = self.known.get(&me);
        let mine = self.releases.get(&me).copied().unwrap_or(0);
        let stranger = |other: u32, releases: u32| {
            let knows = || known.and_then(|known| known.get(&other)).is_some_and(|known| *known > releases);
            other != 0 && other != me && !knows()
        };
        let range = (start >> self.shift) as usize..(start + bytes).div_ceil(1 << self.shift) as usize;
        for unit in &mut self.units[range] {
            if stranger(unit.writer, unit.written) {
                return Some(Other { block: unit.writer - 1, what: "written" });
            }
            if how != Touch::Atomic && unit.atomic != 0 && unit.atomic != me {
                return Some(Other { block: unit.atomic - 1, what: "changed atomically" });
            }
            if how != Touch::Read && stranger(unit.reader, unit.read) {
                return Some(Other { block: unit.reader - 1, what: "read" });
            }
            match how {
                // A block that reads after another has: a writer is then a stranger to one of the two.
                Touch::Read if unit.reader != 0 && unit.reader != me => unit.reader = SEVERAL + 1,
                Touch::Read => (unit.reader, unit.read) = (me, mine),
                Touch::Write => (unit.writer, unit.written) = (me, mine),
                Touch::Atomic => unit.atomic = me,
            }
        }
        None
    }

    /// A block's atomic at `start` acquires and releases, as `order` says.
    pub fn synchronise(&mut self, block: u32, start: u64, order: u8) {
        if order == 0 {
            return;
        }
        let (me, place) = (block + 1, (start >> self.shift) as usize);
        if order & ACQUIRE != 0
            && let Some(released) = self.released.get(&place)
        {
            learn(self.known.entry(me).or_default(), released);
        }
        if order & RELEASE != 0 {
            let releases = self.releases.entry(me).or_default();
            *releases += 1;
            let released = self.released.entry(place).or_default();
            if let Some(known) = self.known.get(&me) {
                learn(released, known);
            }
            released.insert(me, *releases);
        }
    }
}

fn learn(known: &mut Known, more: &Known) {
    for (block, releases) in more {
        let known = known.entry(*block).or_default();
        *known = (*known).max(*releases);
    }
}
