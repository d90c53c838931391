//! The instructions: for each opcode the modifiers and operands that are known, and what it does.
//!
//! Every function `decode` takes all modifiers and operands of its instruction or refuses it.

mod address;
pub(crate) mod async_copy;
pub(crate) mod atomic;
mod bits;
mod carry;
mod compare;
mod control;
mod convert;
mod double;
mod float;
mod half;
mod integer;
mod matrix;
pub(crate) mod memory;
mod moves;
mod store;
mod warp;

use crate::decode::draft::{Draft, GUARD, Refusal};
use crate::exec::code::{Code, Handler, Kind, NONE};
use crate::exec::{Context, lanes};
use std::collections::HashMap;

/// An instruction that does nothing.
pub(crate) fn nothing() -> Handler {
    #[inline(always)]
    // SAFETY: touches nothing.
    unsafe fn run(_: &mut Context, _: &Code, _: u32) -> bool {
        true
    }
    lanes::versions!(make_run, run, fast_run, [], []);
    make_run()
}

/// The `ret` behind the last instruction.
pub(crate) fn leave(index: u32) -> Code {
    Code {
        order: 0,
        run: nothing(),
        immediate: 0,
        r: [NONE; 14],
        guard: NONE,
        negated: false,
        kind: Kind::Exit,
        tracked: false,
        choice: 0,
        index,
    }
}

/// Decodes one instruction into the draft.
pub(crate) fn decode(draft: &mut Draft, labels: &HashMap<&str, usize>) -> Result<(), Refusal> {
    if let Some((name, negated)) = &draft.instruction.guard {
        let operand = crate::ast::Operand::Register(name.clone());
        draft.source_predicate(GUARD as usize, &operand)?;
        draft.code.negated = *negated;
        // Some predicate; which one is known when places are given out.
        draft.code.guard = 0;
    }
    let opcode = draft.instruction.opcode.as_str();
    let float = |draft: &Draft| {
        let kind = draft.instruction.modifiers.last().map_or("", String::as_str);
        match kind {
            "f32" => 32,
            "f64" => 64,
            "f16" | "f16x2" | "bf16" | "bf16x2" => 16,
            _ => 0,
        }
    };
    let handler = match opcode {
        "bra" | "ret" | "exit" | "trap" | "bar" | "barrier" | "membar" | "fence" => control::decode(draft, labels)?,
        "add" | "sub" | "mul" | "div" | "min" | "max" | "abs" | "neg" => match float(draft) {
            32 => float::decode(draft)?,
            64 => double::decode(draft)?,
            16 => half::decode(draft)?,
            _ if draft.instruction.modifiers.iter().any(|modifier| modifier == "cc") => carry::decode(draft)?,
            _ => integer::decode(draft)?,
        },
        "fma" | "mad" | "rcp" | "sqrt" | "rsqrt" | "sin" | "cos" | "lg2" | "ex2" | "tanh" | "copysign" | "testp" => {
            match float(draft) {
                32 => float::decode(draft)?,
                64 => double::decode(draft)?,
                16 => half::decode(draft)?,
                _ if draft.instruction.modifiers.iter().any(|modifier| modifier == "cc") => carry::decode(draft)?,
                _ => integer::decode(draft)?,
            }
        }
        "addc" | "subc" | "madc" => carry::decode(draft)?,
        "rem" | "mul24" | "mad24" | "sad" | "dp4a" => integer::decode(draft)?,
        "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "lop3" | "prmt" | "bfe" | "bfi" | "popc"
        | "clz" | "brev" | "bfind" => bits::decode(draft)?,
        "setp" | "set" | "selp" | "slct" => compare::decode(draft)?,
        "mov" | "cvta" | "isspacep" => moves::decode(draft)?,
        "cvt" => convert::decode(draft)?,
        "ld" | "st" | "ldu" => memory::decode(draft)?,
        "atom" | "red" => atomic::decode(draft)?,
        "cp" => async_copy::decode(draft)?,
        "shfl" | "vote" | "activemask" | "redux" | "match" => warp::decode(draft)?,
        "ldmatrix" | "mma" => matrix::decode(draft)?,
        "call" => return Refusal::new("functions cannot be called: everything has to be inlined"),
        other => return Refusal::new(format!("opcode {other} is not known")),
    };
    draft.code.run = handler;
    Ok(())
}
