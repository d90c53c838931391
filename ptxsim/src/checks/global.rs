//! Races in global memory between the blocks of one launch: nothing orders blocks, so bytes that one block writes may be
//! touched by no other, atomic accesses among themselves excepted.

use super::races::Touch;

/// Blocks that touched one unit: 0 none, else the number of the block plus one.
#[derive(Clone, Copy, Default)]
struct Unit {
    writer: u32,
    reader: u32,
    /// The last block that accessed it atomically.
    atomic: u32,
}

/// The other access of a race: the block's number, and what it did.
pub(crate) struct Other {
    pub block: u32,
    pub what: &'static str,
}

/// All bytes that a launch may touch.
pub(crate) struct GlobalRaces {
    units: Vec<Unit>,
    shift: u32,
}

impl GlobalRaces {
    /// For so many bytes, touched `unit` bytes at a time at least.
    pub fn new(bytes: u64, unit: usize) -> GlobalRaces {
        let shift = unit.trailing_zeros();
        GlobalRaces { units: vec![Unit::default(); (bytes >> shift) as usize + 1], shift }
    }

    /// A block touches bytes; the other access if that is a race.
    #[inline]
    pub fn touch(&mut self, block: u32, start: u64, bytes: u64, how: Touch) -> Option<Other> {
        let me = block + 1;
        let other = |block: u32| block != 0 && block != me;
        let range = (start >> self.shift) as usize..(start + bytes).div_ceil(1 << self.shift) as usize;
        for unit in &mut self.units[range] {
            if other(unit.writer) {
                return Some(Other { block: unit.writer - 1, what: "written" });
            }
            if how != Touch::Atomic && other(unit.atomic) {
                return Some(Other { block: unit.atomic - 1, what: "changed atomically" });
            }
            if how != Touch::Read && other(unit.reader) {
                return Some(Other { block: unit.reader - 1, what: "read" });
            }
            match how {
                Touch::Read if unit.reader == 0 => unit.reader = me,
                // A block that reads after another has: a writer is then a stranger to one of the two.
                Touch::Read if unit.reader != me => unit.reader = u32::MAX,
                Touch::Read => {}
                Touch::Write => unit.writer = me,
                Touch::Atomic => unit.atomic = me,
            }
        }
        None
    }
}
