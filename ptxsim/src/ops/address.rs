//! Addresses of loads, stores and atomics: how operands name them, and what they are when the instruction runs.

use crate::ast::Operand;
use crate::decode::draft::{Draft, Refusal};
use crate::decode::registers::Space;
use crate::exec::lanes::WARP;
use crate::exec::{Code, Context};

/// Bits of `Code::choice`: the space, whether the address has 64 bits, whether values are extended by their sign, and
/// what the registers are.
const SPACES: [Space; 6] =
    [Space::Generic, Space::Global, Space::Shared, Space::Local, Space::Parameter, Space::Constant];
pub(super) const WIDE_ADDRESS: u8 = 8;
pub(super) const SIGNED: u8 = 16;
pub(super) const REGISTER_16: u8 = 32;
pub(super) const REGISTER_64: u8 = 64;
/// Place of the address in `Code::r`.
pub(super) const ADDRESS: usize = 8;

/// The space of an instruction's code.
#[inline(always)]
pub(super) fn space_of(code: &Code) -> Space {
    match code.choice & 7 {
        1 => Space::Global,
        2 => Space::Shared,
        3 => Space::Local,
        4 => Space::Parameter,
        5 => Space::Constant,
        _ => Space::Generic,
    }
}

/// Binds `[base + offset]` to the address place; notes the space.
pub(super) fn bind_address(draft: &mut Draft, operand: &Operand, space: Space) -> Result<(), Refusal> {
    let Operand::Address(base, offset) = operand else {
        return Refusal::new(format!("{operand:?} is no address"));
    };
    draft.code.immediate = *offset;
    let number = SPACES.iter().position(|known| *known == space).unwrap_or(0);
    draft.code.choice |= number as u8;
    match &**base {
        Operand::Name(name) => {
            let place = draft.registers.variable(name)?;
            let same = place.space == space || place.space == Space::Global && space == Space::Generic;
            if !same {
                return Refusal::new(format!("{name} is not in this state space"));
            }
            draft.code.choice |= WIDE_ADDRESS;
            draft.source(ADDRESS, &Operand::Name(name.clone()), 64)
        }
        Operand::Integer(value) => {
            draft.code.choice |= WIDE_ADDRESS;
            draft.source(ADDRESS, &Operand::Integer(*value), 64)
        }
        register => {
            let width = draft.source_of(ADDRESS, register, 32)?;
            if width == 64 {
                draft.code.choice |= WIDE_ADDRESS;
            } else if matches!(space, Space::Generic | Space::Global | Space::Constant) {
                return Refusal::new("an address of 32 bits is only known in shared, local and parameter memory");
            }
            Ok(())
        }
    }
}

/// The addresses of all lanes, also of those that take no part.
///
/// # Safety
/// The decoder bound the address.
#[inline(always)]
pub(super) unsafe fn addresses(context: &Context, code: &Code) -> [u64; WARP] {
    let offset = code.immediate as u64;
    // SAFETY: as said.
    unsafe {
        let mut all;
        if code.choice & WIDE_ADDRESS != 0 {
            all = context.values::<u64>(code.r[ADDRESS]);
            for address in &mut all {
                *address = address.wrapping_add(offset);
            }
        } else {
            let narrow = context.values::<u32>(code.r[ADDRESS]);
            all = [0; WARP];
            for lane in 0..WARP {
                all[lane] = narrow[lane].wrapping_add(offset as u32) as u64;
            }
        }
        all
    }
}

/// The space that modifiers name.
pub(super) fn take_space(draft: &mut Draft, names: &[&str]) -> Space {
    match draft.one_of(names) {
        None => Space::Generic,
        Some("global") => Space::Global,
        Some("local") => Space::Local,
        Some("param") => Space::Parameter,
        Some("const") => Space::Constant,
        // `shared::cta` is what `shared` means.
        Some(_) => Space::Shared,
    }
}
