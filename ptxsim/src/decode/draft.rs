//! One instruction while it is decoded: its modifiers are taken one after the other, its operands bound to places.
//!
//! What is not taken is an error: no modifier and no operand is ever ignored.

use super::registers::{Class, Register, Registers};
use crate::ast::{Instruction, Operand};
use crate::counters::Work;
use crate::exec::code::{Code, Handler, Kind, NONE};

/// [`Slot::at`] of the guard.
pub(crate) const GUARD: u8 = 14;

/// Why an instruction was refused.
#[derive(Debug)]
pub(crate) struct Refusal(pub String);

impl Refusal {
    /// With this message.
    pub fn new<T>(message: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal(message.into()))
    }
}

/// A place of [`Code::r`] that names a register.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub at: u8,
    pub register: Register,
    pub write: bool,
}

/// An instruction's type: `s32` is the letter `s` and 32 bits; `pred` is the letter `p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub letter: char,
    pub bits: u32,
}

impl Type {
    /// Reads `s32`, `f64`, `b16`, `pred`, `bf16`.
    pub fn parse(text: &str) -> Option<Type> {
        let (letter, bits) = match text {
            "pred" => ('p', 1),
            "bf16" => ('h', 16),
            "f16" | "f32" | "f64" => ('f', text[1..].parse().ok()?),
            "b8" | "b16" | "b32" | "b64" | "s8" | "s16" | "s32" | "s64" | "u8" | "u16" | "u32" | "u64" => {
                (text.chars().next()?, text[1..].parse().ok()?)
            }
            _ => return None,
        };
        Some(Type { letter, bits })
    }

    /// Whether an integer type, signed or not.
    pub fn is_integer(self) -> bool {
        self.letter == 's' || self.letter == 'u'
    }

    /// Whether signed.
    pub fn is_signed(self) -> bool {
        self.letter == 's'
    }
}

/// An instruction while it is decoded.
pub(crate) struct Draft<'a, 'm> {
    pub instruction: &'a Instruction,
    pub registers: &'a mut Registers<'m>,
    pub code: Code,
    pub slots: Vec<Slot>,
    pub work: Work,
    /// Of an `mma`: m times n times k.
    pub multiply_adds: u32,
    /// A copy between registers: what is not written yet may be copied, it stays unwritten.
    pub copies: bool,
    modifier: usize,
}

impl<'a, 'm> Draft<'a, 'm> {
    /// Nothing taken yet.
    pub fn new(instruction: &'a Instruction, registers: &'a mut Registers<'m>, index: u32, nothing: Handler) -> Self {
        let code = Code {
            order: 0,
            run: nothing,
            immediate: 0,
            r: [NONE; 14],
            guard: NONE,
            negated: false,
            kind: Kind::Plain,
            tracked: false,
            choice: 0,
            index,
        };
        Draft {
            instruction,
            registers,
            code,
            slots: Vec::new(),
            work: Work::Other,
            multiply_adds: 0,
            copies: false,
            modifier: 0,
        }
    }

    /// The next modifier, not taken.
    pub fn peek(&self) -> Option<&'a str> {
        self.instruction.modifiers.get(self.modifier).map(String::as_str)
    }

    /// Takes the next modifier if it is this one.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.peek() == Some(name);
        self.modifier += found as usize;
        found
    }

    /// Takes the next modifier if it is one of these.
    pub fn one_of<'n>(&mut self, names: &[&'n str]) -> Option<&'n str> {
        let found = names.iter().copied().find(|name| self.peek() == Some(name))?;
        self.modifier += 1;
        Some(found)
    }

    /// Takes the next modifier, which has to be one of these.
    pub fn need<'n>(&mut self, names: &[&'n str]) -> Result<&'n str, Refusal> {
        match self.one_of(names) {
            Some(name) => Ok(name),
            None => match self.peek() {
                Some(other) => Refusal::new(format!("modifier .{other}: expected one of .{}", names.join(", ."))),
                None => Refusal::new(format!("a modifier is missing: expected one of .{}", names.join(", ."))),
            },
        }
    }

    /// Takes the next modifier, which has to be a type and one of these.
    pub fn kind(&mut self, names: &[&str]) -> Result<Type, Refusal> {
        let name = self.need(names)?;
        Type::parse(name).ok_or_else(|| Refusal(format!("type .{name} is not known")))
    }

    /// Checks that every modifier was taken and that there are so many operands.
    pub fn end(&self, operands: usize) -> Result<(), Refusal> {
        if let Some(left) = self.peek() {
            return Refusal::new(format!("modifier .{left} is not known here"));
        }
        self.count(operands)
    }

    /// Checks the number of operands.
    pub fn count(&self, operands: usize) -> Result<(), Refusal> {
        let given = self.instruction.operands.len();
        if given != operands {
            return Refusal::new(format!("{given} operands, expected {operands}"));
        }
        Ok(())
    }

    fn bind(&mut self, at: usize, register: Register, write: bool) {
        self.slots.push(Slot { at: at as u8, register, write });
    }

    /// Binds place `at` to the destination `operand`, a register of exactly `bits`.
    pub fn target(&mut self, at: usize, operand: &Operand, bits: u32) -> Result<(), Refusal> {
        let width = self.target_of(at, operand, bits)?;
        if width != bits {
            return Refusal::new(format!("destination {operand:?} has {width} bits, the instruction {bits}"));
        }
        Ok(())
    }

    /// Binds place `at` to the destination `operand`, of at least `bits`; gives its width.
    pub fn target_of(&mut self, at: usize, operand: &Operand, bits: u32) -> Result<u32, Refusal> {
        if *operand == Operand::Sink {
            let register = self.registers.sink(bits);
            self.bind(at, register, true);
            return Ok(bits);
        }
        let Operand::Register(name) = operand else {
            return Refusal::new(format!("destination {operand:?} is no register"));
        };
        let (register, width) = self.registers.named(name)?;
        if register.class == Class::Predicate {
            return Refusal::new(format!("destination {name} is a predicate"));
        }
        if width < bits {
            return Refusal::new(format!("destination {name} has {width} bits, the instruction {bits}"));
        }
        self.bind(at, register, true);
        Ok(width)
    }

    /// Binds place `at` to the source `operand`: a register of exactly `bits`, a literal, a variable's address.
    pub fn source(&mut self, at: usize, operand: &Operand, bits: u32) -> Result<(), Refusal> {
        let width = self.source_of(at, operand, bits)?;
        if width != bits {
            return Refusal::new(format!("source {operand:?} has {width} bits, the instruction {bits}"));
        }
        Ok(())
    }

    /// Binds place `at` to the source `operand`, of at least `bits`; gives its width.
    pub fn source_of(&mut self, at: usize, operand: &Operand, bits: u32) -> Result<u32, Refusal> {
        let (register, width) = self.registers.value(operand, bits)?;
        if register.class == Class::Predicate {
            return Refusal::new(format!("source {operand:?} is a predicate"));
        }
        if width < bits {
            return Refusal::new(format!("source {operand:?} has {width} bits, the instruction {bits}"));
        }
        self.bind(at, register, false);
        Ok(width)
    }

    /// Binds place `at` to a predicate that is written.
    pub fn target_predicate(&mut self, at: usize, operand: &Operand) -> Result<(), Refusal> {
        let register = match operand {
            Operand::Sink => self.registers.sink(1),
            Operand::Register(name) => self.registers.named(name)?.0,
            _ => return Refusal::new(format!("destination {operand:?} is no predicate")),
        };
        if register.class != Class::Predicate {
            return Refusal::new(format!("destination {operand:?} is no predicate"));
        }
        self.bind(at, register, true);
        Ok(())
    }

    /// Binds place `at` to a predicate that is read; true when it is negated.
    pub fn source_predicate(&mut self, at: usize, operand: &Operand) -> Result<bool, Refusal> {
        let (name, negated) = match operand {
            Operand::Not(inner) => (&**inner, true),
            other => (other, false),
        };
        let register = match name {
            Operand::Register(name) => self.registers.named(name)?.0,
            Operand::Integer(value) => self.registers.truth(*value != 0),
            _ => return Refusal::new(format!("source {operand:?} is no predicate")),
        };
        if register.class != Class::Predicate {
            return Refusal::new(format!("source {operand:?} is no predicate"));
        }
        self.bind(at, register, false);
        Ok(negated)
    }

    /// Binds place `at` to the carry flag of `add.cc` and its kin.
    pub fn carry(&mut self, at: usize, write: bool) {
        let register = self.registers.carry();
        self.bind(at, register, write);
    }

    /// Binds `r[0]` and sources `r[1]..` to the operands in order, destination and sources of these widths.
    pub fn plain(&mut self, target: u32, sources: &[u32]) -> Result<(), Refusal> {
        self.end(sources.len() + 1)?;
        let operands = &self.instruction.operands;
        self.target(0, &operands[0], target)?;
        for (index, bits) in sources.iter().enumerate() {
            self.source(index + 1, &operands[index + 1], *bits)?;
        }
        Ok(())
    }

    /// The operands of `{a, b, ...}`, or the operand itself.
    pub fn elements(operand: &'a Operand) -> &'a [Operand] {
        match operand {
            Operand::Vector(elements) => elements,
            one => std::slice::from_ref(one),
        }
    }
}
