//! The registers, constants and special registers of an entry, and the variables whose addresses it uses.

use super::draft::Refusal;
use crate::ast::{Entry, Operand};
use std::collections::HashMap;

/// What a register is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A row of 32 lanes of 64 bits.
    Wide,
    /// A row of 32 lanes of 32 bits; registers of 16 bits stand in it zero-extended.
    Row,
    /// A mask, one bit a lane.
    Predicate,
}

/// A register, constant or special register, by its number within its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Register {
    pub class: Class,
    pub number: u32,
}

/// A value known before the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Known {
    /// The same in all lanes.
    Constant(u64),
    /// All lanes or none.
    Truth(bool),
    /// `%tid.x` and its kin.
    Special(Special),
}

/// Special registers (PTX ISA, chapter 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Thread(usize),
    BlockSize(usize),
    Block(usize),
    Grid(usize),
    Lane,
    Warp,
    Warps,
    /// `%lanemask_eq`, `le`, `lt`, `ge`, `gt`: 0 to 4.
    LaneMask(u8),
    /// `%dynamic_smem_size`
    DynamicShared,
    /// `%total_smem_size`
    TotalShared,
}

impl Special {
    fn parse(name: &str) -> Option<Special> {
        let axis = |name: &str| ["x", "y", "z"].iter().position(|axis| *axis == name);
        if let Some((stem, tail)) = name.split_once('.') {
            let axis = axis(tail)?;
            return Some(match stem {
                "%tid" => Special::Thread(axis),
                "%ntid" => Special::BlockSize(axis),
                "%ctaid" => Special::Block(axis),
                "%nctaid" => Special::Grid(axis),
                _ => return None,
            });
        }
        Some(match name {
            "%laneid" => Special::Lane,
            "%warpid" => Special::Warp,
            "%nwarpid" => Special::Warps,
            "%lanemask_eq" => Special::LaneMask(0),
            "%lanemask_le" => Special::LaneMask(1),
            "%lanemask_lt" => Special::LaneMask(2),
            "%lanemask_ge" => Special::LaneMask(3),
            "%lanemask_gt" => Special::LaneMask(4),
            "%dynamic_smem_size" => Special::DynamicShared,
            "%total_smem_size" => Special::TotalShared,
            _ => return None,
        })
    }
}

/// A state space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    Local,
    Parameter,
    Constant,
}

/// A variable: where it stands in its state space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub space: Space,
    pub address: u64,
}

/// The registers of an entry.
pub(crate) struct Registers<'m> {
    names: HashMap<String, (Register, u32)>,
    /// How many registers of each class: wide, row, predicate.
    counts: [u32; 3],
    constants: HashMap<(Class, u64), Register>,
    specials: Vec<(Special, Register)>,
    truths: [Option<Register>; 2],
    carry: Option<Register>,
    sinks: [Option<Register>; 3],
    /// What is known before the kernel runs.
    pub known: Vec<(Register, Known)>,
    /// Names of registers, for reports.
    pub labels: HashMap<Register, String>,
    variables: &'m HashMap<&'m str, Place>,
}

impl<'m> Registers<'m> {
    /// Those that the entry declares.
    pub fn new(entry: &Entry, variables: &'m HashMap<&'m str, Place>) -> Result<Registers<'m>, Refusal> {
        let mut registers = Registers {
            names: HashMap::new(),
            counts: [0; 3],
            constants: HashMap::new(),
            specials: Vec::new(),
            truths: [None; 2],
            carry: None,
            sinks: [None; 3],
            known: Vec::new(),
            labels: HashMap::new(),
            variables,
        };
        for (kind, stem, count) in &entry.registers {
            let (class, bits) = match kind.as_str() {
                "pred" => (Class::Predicate, 1),
                "b16" | "s16" | "u16" | "f16" | "bf16" => (Class::Row, 16),
                "b32" | "s32" | "u32" | "f32" | "f16x2" | "bf16x2" => (Class::Row, 32),
                "b64" | "s64" | "u64" | "f64" => (Class::Wide, 64),
                other => return Refusal::new(format!(".reg .{other} is not supported")),
            };
            if *count == 0 {
                let register = registers.fresh(class);
                registers.labels.insert(register, stem.clone());
                registers.names.insert(stem.clone(), (register, bits));
            }
            for index in 0..*count {
                let name = format!("{stem}{index}");
                let register = registers.fresh(class);
                registers.labels.insert(register, name.clone());
                registers.names.insert(name, (register, bits));
            }
        }
        Ok(registers)
    }

    fn fresh(&mut self, class: Class) -> Register {
        let count = &mut self.counts[class as usize];
        *count += 1;
        Register { class, number: *count - 1 }
    }

    /// The register of this name and its width in bits; special registers are not among them.
    pub fn named(&self, name: &str) -> Result<(Register, u32), Refusal> {
        match self.names.get(name) {
            Some(found) => Ok(*found),
            None => Refusal::new(format!("register {name} is not declared")),
        }
    }

    /// A constant of 16, 32 or 64 bits.
    pub fn constant(&mut self, value: u64, bits: u32) -> Register {
        let class = if bits == 64 { Class::Wide } else { Class::Row };
        if let Some(found) = self.constants.get(&(class, value)) {
            return *found;
        }
        let register = self.fresh(class);
        self.constants.insert((class, value), register);
        self.known.push((register, Known::Constant(value)));
        register
    }

    /// A predicate that always or never holds.
    pub fn truth(&mut self, value: bool) -> Register {
        if let Some(found) = self.truths[value as usize] {
            return found;
        }
        let register = self.fresh(Class::Predicate);
        self.truths[value as usize] = Some(register);
        self.known.push((register, Known::Truth(value)));
        register
    }

    /// The condition code register: the carry of `add.cc`.
    pub fn carry(&mut self) -> Register {
        if let Some(found) = self.carry {
            return found;
        }
        let register = self.fresh(Class::Predicate);
        self.labels.insert(register, "the carry flag".into());
        self.carry = Some(register);
        register
    }

    /// Where `_` is written.
    pub fn sink(&mut self, bits: u32) -> Register {
        let class = match bits {
            1 => Class::Predicate,
            64 => Class::Wide,
            _ => Class::Row,
        };
        if let Some(found) = self.sinks[class as usize] {
            return found;
        }
        let register = self.fresh(class);
        self.sinks[class as usize] = Some(register);
        register
    }

    /// The address of a variable.
    pub fn variable(&self, name: &str) -> Result<Place, Refusal> {
        match self.variables.get(name) {
            Some(place) => Ok(*place),
            None => Refusal::new(format!("{name} is not declared")),
        }
    }

    /// The register that holds the value of a source operand of `bits`, and its width.
    pub fn value(&mut self, operand: &Operand, bits: u32) -> Result<(Register, u32), Refusal> {
        match operand {
            Operand::Register(name) => {
                if let Some(found) = self.names.get(name) {
                    return Ok(*found);
                }
                let Some(special) = Special::parse(name) else {
                    return Refusal::new(format!("register {name} is neither declared nor a known special register"));
                };
                if let Some((_, register)) = self.specials.iter().find(|(known, _)| *known == special) {
                    return Ok((*register, 32));
                }
                let register = self.fresh(Class::Row);
                self.specials.push((special, register));
                self.known.push((register, Known::Special(special)));
                Ok((register, 32))
            }
            Operand::Integer(value) => {
                let (least, most) = match bits {
                    64 => (i64::MIN as i128, u64::MAX as i128),
                    bits => (-(1i128 << (bits - 1)), (1i128 << bits) - 1),
                };
                // The parser gives integers above 2^63 as negative ones.
                if !(least..=most).contains(&(*value as i128)) {
                    return Refusal::new(format!("{value} does not fit {bits} bits"));
                }
                let value = if bits == 64 { *value as u64 } else { *value as u64 & ((1 << bits) - 1) };
                Ok((self.constant(value, bits), bits))
            }
            Operand::Float32(value) if bits == 32 => Ok((self.constant(*value as u64, 32), 32)),
            Operand::Float64(value) if bits == 64 => Ok((self.constant(*value, 64), 64)),
            Operand::Name(name) if bits >= 32 => {
                let place = self.variable(name)?;
                if bits == 32 && place.address > u32::MAX as u64 {
                    return Refusal::new(format!("the address of {name} does not fit 32 bits"));
                }
                Ok((self.constant(place.address, bits), bits))
            }
            other => Refusal::new(format!("{other:?} is no source of {bits} bits")),
        }
    }
}
