//! Races in shared memory: two threads touch the same bytes, one of them writing, and no barrier orders them.
//!
//! Each warp has a vector clock (Lamport 1978, Fidge 1988) over the warps of the block, moved on by block barriers; so
//! barriers of a part of the block are understood too. Within a warp `bar.warp.sync` orders the lanes. Beside each unit
//! of shared memory stands its last write and the reads since then (as in FastTrack, Flanagan and Freund 2009).

/// How a unit is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Read,
    Write,
    Atomic,
}

/// The last accesses to one unit.
#[derive(Clone, Copy, Default)]
struct Unit {
    /// Thread of the last write plus one, or 0; its warp's clock and the warp's own syncs then.
    writer: u16,
    atomic: bool,
    /// Whether more than one lane of the last reader's warp has read.
    many: bool,
    write_clock: u32,
    write_sync: u32,
    /// Warps that have read since the last write.
    readers: u32,
    /// A thread that has read, and when.
    reader: u16,
    read_clock: u32,
    read_sync: u32,
    /// Warps that have read before those, without a barrier that the reader of now knows of; the earliest of their clocks.
    older: u32,
    older_clock: u32,
}

/// The numbers of the bits that are set.
fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (bit < 32).then_some(bit)
    })
}

impl Unit {
    /// A new round of reads begins with this warp's: of the readers before, those stay that it does not know to be over.
    #[cold]
    fn keep(&mut self, warp: usize, own: &[u32]) {
        let (mut kept, mut earliest) = (0, u32::MAX);
        for from in bits((self.readers | self.older) & !(1 << warp)) {
            let clock = if self.readers >> from & 1 != 0 { self.read_clock } else { self.older_clock };
            if own[from] < clock {
                kept |= 1 << from;
                earliest = earliest.min(clock);
            }
        }
        (self.older, self.older_clock, self.readers, self.many) = (kept, earliest, 1 << warp, false);
    }
}

/// The other access of a race.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub thread: u16,
    pub wrote: bool,
}

/// Shared memory and clocks of one block.
pub(crate) struct SharedRaces {
    units: Vec<Unit>,
    /// Bytes of a unit: the smallest access of the kernel, a power of two.
    shift: u32,
    warps: usize,
    /// `clocks[w * warps + v]`: what warp `w` knows of warp `v`.
    clocks: Vec<u32>,
    /// Number of `bar.warp.sync` of each warp.
    syncs: Vec<u32>,
}

impl SharedRaces {
    /// For so many bytes of shared memory, touched `unit` bytes at a time at least, and so many warps.
    pub fn new(bytes: usize, unit: usize, warps: usize) -> SharedRaces {
        let shift = unit.trailing_zeros();
        SharedRaces {
            units: vec![Unit::default(); (bytes >> shift) + 1],
            shift,
            warps,
            clocks: vec![1; warps * warps],
            syncs: vec![1; warps],
        }
    }

    /// A new block begins.
    pub fn reset(&mut self) {
        self.units.fill(Unit::default());
        for warp in 0..self.warps {
            for other in 0..self.warps {
                self.clocks[warp * self.warps + other] = (warp == other) as u32;
            }
        }
        self.syncs.fill(1);
    }

    /// A barrier brought these warps together.
    pub fn meet(&mut self, warps: u64) {
        let members: Vec<usize> = (0..self.warps).filter(|warp| warps >> warp & 1 != 0).collect();
        let joined: Vec<u32> = (0..self.warps)
            .map(|of| members.iter().map(|warp| self.clocks[warp * self.warps + of]).max().unwrap_or(0))
            .collect();
        for warp in members {
            self.clocks[warp * self.warps..(warp + 1) * self.warps].copy_from_slice(&joined);
            self.clocks[warp * self.warps + warp] += 1;
        }
    }

    /// `bar.warp.sync` of a warp.
    pub fn sync(&mut self, warp: usize) {
        self.syncs[warp] += 1;
    }

    /// A thread touches bytes; the other access if that is a race.
    #[inline]
    pub fn touch(&mut self, warp: usize, lane: usize, start: usize, bytes: usize, how: Touch) -> Option<Other> {
        let thread = (warp * 32 + lane) as u16;
        let own = &self.clocks[warp * self.warps..(warp + 1) * self.warps];
        let (clock, sync) = (own[warp], self.syncs[warp]);
        for unit in &mut self.units[start >> self.shift..(start + bytes).div_ceil(1 << self.shift)] {
            if unit.writer != 0 && unit.writer != thread + 1 && !(unit.atomic && how == Touch::Atomic) {
                let writer = unit.writer - 1;
                let from = writer as usize / 32;
                let before = if from == warp {
                    clock > unit.write_clock || sync > unit.write_sync
                } else {
                    own[from] >= unit.write_clock
                };
                if !before {
                    return Some(Other { thread: writer, wrote: true });
                }
            }
            if how == Touch::Read {
                let alone = unit.readers == 1 << warp && unit.read_sync != sync;
                if (unit.readers | unit.older) & !(1 << warp) == 0
                    && (alone || unit.read_clock != clock || unit.readers == 0)
                {
                    (unit.older, unit.readers, unit.many) = (0, 1 << warp, false);
                } else if alone || unit.readers == 0 || unit.read_clock != clock {
                    unit.keep(warp, own);
                } else {
                    unit.many |= unit.reader != thread && unit.reader as usize / 32 == warp;
                    unit.readers |= 1 << warp;
                }
                (unit.reader, unit.read_clock, unit.read_sync) = (thread, clock, sync);
                continue;
            }
            if unit.readers != 0 {
                let unknown = |warps: u32, clock: u32| bits(warps & !(1 << warp)).find(|from| own[*from] < clock);
                let found = unknown(unit.readers, unit.read_clock).or_else(|| unknown(unit.older, unit.older_clock));
                if let Some(from) = found {
                    let reader = if unit.reader as usize / 32 == from { unit.reader } else { from as u16 * 32 };
                    return Some(Other { thread: reader, wrote: false });
                }
                let same = unit.readers >> warp & 1 != 0 && unit.reader as usize / 32 == warp;
                if same && (unit.reader != thread || unit.many) && clock <= unit.read_clock && sync <= unit.read_sync {
                    let reader = if unit.reader != thread { unit.reader } else { thread ^ 1 };
                    return Some(Other { thread: reader, wrote: false });
                }
            }
            *unit = Unit {
                writer: thread + 1,
                atomic: how == Touch::Atomic,
                write_clock: clock,
                write_sync: sync,
                ..Unit::default()
            };
        }
        None
    }
}
