//! Arithmetic with the condition code register (PTX ISA 9.7.2): `add.cc`, `addc`, `sub.cc`, `subc`, `mad.cc`, `madc`.
//!
//! The carry of each lane is a predicate. Subtraction leaves the borrow in it.

use crate::counters::Work;
use crate::decode::draft::{Draft, Refusal};
use crate::exec::lanes::{Lane, WARP, versions, write_row};
use crate::exec::{Code, Context, Handler};

const ADD: u8 = 0;
const SUB: u8 = 1;
const LOW: u8 = 2;
const HIGH: u8 = 3;
/// The carry goes in.
const IN: u8 = 4;
/// The carry comes out.
const OUT: u8 = 8;

/// Decodes arithmetic with carry.
pub(super) fn decode(draft: &mut Draft) -> Result<Handler, Refusal> {
    draft.work = Work::Integer;
    let opcode = draft.instruction.opcode.as_str();
    let mut choice = match opcode {
        "add" | "addc" => ADD,
        "sub" | "subc" => SUB,
        "mad" | "madc" => match draft.need(&["lo", "hi"])? {
            "lo" => LOW,
            _ => HIGH,
        },
        _ => return Refusal::new(format!("{opcode} has no carry")),
    };
    if opcode.ends_with('c') {
        choice |= IN;
    }
    if draft.flag("cc") {
        choice |= OUT;
    }
    let kind = draft.kind(&["u32", "s32", "u64", "s64"])?;
    draft.plain(kind.bits, &[kind.bits; 3][..if choice & 3 >= LOW { 3 } else { 2 }])?;
    if choice & IN != 0 {
        draft.carry(4, false);
    }
    if choice & OUT != 0 {
        draft.carry(5, true);
    }
    // The product's upper half depends on the sign.
    draft.code.immediate = kind.is_signed() as i64;
    draft.code.choice = choice;
    Ok(if kind.bits == 64 { make_run::<u64>() } else { make_run::<u32>() })
}

trait Word: Lane + Into<u64> {
    const BITS: u32;
    fn cut(value: u64) -> Self;
}
impl Word for u32 {
    const BITS: u32 = 32;
    fn cut(value: u64) -> u32 {
        value as u32
    }
}
impl Word for u64 {
    const BITS: u32 = 64;
    fn cut(value: u64) -> u64 {
        value
    }
}

#[inline(always)]
// SAFETY: see `Handler`; the decoder made rows of this width and predicates.
unsafe fn run<T: Word>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above.
    unsafe {
        let choice = code.choice;
        let (a, b) = (context.values::<T>(code.r[1]), context.values::<T>(code.r[2]));
        let c = if choice & 3 >= LOW { context.values::<T>(code.r[3]) } else { a };
        let carry = if choice & IN != 0 { context.predicate(code.r[4]) } else { 0 };
        let ones = if T::BITS == 64 { u64::MAX } else { (1 << T::BITS) - 1 };
        let (mut out, mut flags) = ([T::default(); WARP], 0);
        for lane in 0..WARP {
            let (a, b, c): (u64, u64, u64) = (a[lane].into(), b[lane].into(), c[lane].into());
            let carry = (carry >> lane & 1) as u128;
            let (left, right) = match choice & 3 {
                ADD | SUB => (a, b),
                LOW => ((a as u128 * b as u128) as u64 & ones, c),
                _ if code.immediate == 0 => (((a as u128 * b as u128) >> T::BITS) as u64, c),
                _ if T::BITS == 64 => (((a as i64 as i128 * b as i64 as i128) >> 64) as u64, c),
                _ => (((a as i32 as i64 * b as i32 as i64) >> 32) as u64 & ones, c),
            };
            let (value, flag) = match choice & 3 {
                SUB => {
                    let right = right as u128 + carry;
                    ((left as u128).wrapping_sub(right) as u64, (left as u128) < right)
                }
                _ => {
                    let sum = left as u128 + right as u128 + carry;
                    (sum as u64, sum > ones as u128)
                }
            };
            out[lane] = T::cut(value & ones);
            flags |= (flag as u32) << lane;
        }
        write_row(context.row::<T>(code.r[0]), &out, mask);
        if choice & OUT != 0 {
            context.set_predicate(code.r[5], flags, mask);
        }
    }
    true
}
versions!(make_run, run, fast_run, [T: Word], [T]);
