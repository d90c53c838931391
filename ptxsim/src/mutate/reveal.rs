//! Whether a change can make a difference at all: the original, with a fault where it would.

use super::Mutant;
use super::facts::{kind_of, writes};
use crate::ast::{Entry, Instruction, Module, Operand};

/// Where the changed instruction's result goes, and whether it is another.
const OTHER: &str = "%mutant_result";
const DIFFERS: &str = "%mutant_differs";

impl Mutant {
    /// The *original* kernel with a store to address 0 where this change would have given its instruction another result,
    /// without the other entries: a run that ends without that fault is one on which the change has no effect. `None` where
    /// the instruction has no single register as its result, or depends on a guard.
    ///
    /// It tells changes that do the same wherever they are run from those whose effects nobody looks at.
    pub fn reveal(&self, module: &Module) -> Option<Module> {
        let mut entry = module.entries.iter().find(|entry| entry.name == self.entry)?.clone();
        let checked = self.checked(&entry)?;
        let result = checked[1].operands[0].clone();
        let Operand::Register(result) = result else { return None };
        let kind = kind_of(&entry, &result)?.to_string();
        entry.registers.push((kind, OTHER.to_string(), 0));
        entry.registers.push(("pred".to_string(), DIFFERS.to_string(), 0));
        let more = checked.len() - 1;
        entry.instructions.splice(self.index..=self.index, checked);
        for (_, at) in &mut entry.labels {
            *at += if *at > self.index { more } else { 0 };
        }
        Some(Module { entries: vec![entry], ..module.clone() })
    }

    /// The change into a register of its own, the original, their comparison, and the fault.
    fn checked(&self, entry: &Entry) -> Option<Vec<Instruction>> {
        let original = &entry.instructions[self.index];
        let mut changed = self.replacement.clone()?;
        let (Some(Operand::Register(result)), true) = (changed.operands.first().cloned(), writes(&changed)) else {
            return None;
        };
        if original.guard.is_some() || changed.guard.is_some() || original.operands.first() != changed.operands.first()
        {
            return None;
        }
        let (opcode, modifiers) = match kind_of(entry, &result)? {
            "pred" => ("xor", vec!["pred".to_string()]),
            kind => ("setp", vec!["ne".to_string(), format!("b{}", 8 * crate::parse::bytes_of(kind)?)]),
        };
        changed.operands[0] = Operand::Register(OTHER.to_string());
        let registers = [DIFFERS, &result, OTHER].map(|name| Operand::Register(name.to_string()));
        let with = |opcode: &str, modifiers: Vec<String>, operands: Vec<Operand>, guard| Instruction {
            guard,
            opcode: opcode.to_string(),
            modifiers,
            operands,
            line: original.line,
            source: original.source,
        };
        let comparison = with(opcode, modifiers, registers.to_vec(), None);
        // No `trap`: an instruction that some lanes leave by changes where the others meet again.
        let nowhere = vec![Operand::Address(Box::new(Operand::Integer(0)), 0), Operand::Integer(0)];
        let kinds = vec!["global".to_string(), "b32".to_string()];
        let fault = with("st", kinds, nowhere, Some((DIFFERS.to_string(), false)));
        Some(vec![changed, original.clone(), comparison, fault])
    }
}
