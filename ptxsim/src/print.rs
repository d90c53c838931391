//! Writes a module back as PTX text. Reading it again gives the same module, except for the lines that instructions
//! stand on (scopes are gone and registers stand at the top).

use std::fmt::{self, Display, Formatter};

use crate::ast::{Entry, Instruction, Module, Operand, Variable};

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, ".version {}\n.target {}\n.address_size 64", self.version, self.target)?;
        for (number, name) in &self.files {
            writeln!(f, ".file {number} \"{name}\"")?;
        }
        for variable in &self.variables {
            writeln!(f, "{variable};")?;
        }
        self.entries.iter().try_for_each(|entry| write!(f, "{entry}"))
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, ".visible .entry {}(", self.name)?;
        for (index, parameter) in self.parameters.iter().enumerate() {
            write!(f, "{}\n\t{parameter}", if index > 0 { "," } else { "" })?;
        }
        writeln!(f, "\n)")?;
        if let Some([x, y, z]) = self.max_threads {
            writeln!(f, ".maxntid {x}, {y}, {z}")?;
        }
        writeln!(f, "{{")?;
        for (kind, name, count) in &self.registers {
            match count {
                0 => writeln!(f, "\t.reg .{kind} {name};")?,
                _ => writeln!(f, "\t.reg .{kind} {name}<{count}>;")?,
            }
        }
        for variable in &self.variables {
            writeln!(f, "\t{variable};")?;
        }
        let mut labels = self.labels.iter().peekable();
        let mut source = None;
        for (index, instruction) in self.instructions.iter().enumerate() {
            while let Some((name, _)) = labels.next_if(|(_, at)| *at <= index) {
                writeln!(f, "{name}:")?;
            }
            if instruction.source != source {
                // Line 0 says that what follows belongs to no line; it needs a file all the same.
                let file = source.map_or(0, |(file, _)| file);
                let (file, line) = instruction.source.unwrap_or((file, 0));
                writeln!(f, "\t.loc {file} {line} 0")?;
                source = instruction.source;
            }
            writeln!(f, "\t{instruction};")?;
        }
        for (name, _) in labels {
            writeln!(f, "{name}:")?;
        }
        writeln!(f, "}}")
    }
}

impl Display for Variable {
    /// A declaration without its semicolon.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let size = crate::parse::bytes_of(&self.kind).unwrap_or(1);
        let linking = if self.bytes == 0 { ".extern " } else { "" };
        write!(f, "{linking}.{} .align {} .{} {}", self.space, self.alignment, self.kind, self.name)?;
        let count = self.bytes / size;
        match count {
            0 => write!(f, "[]")?,
            1 => {}
            _ => write!(f, "[{count}]")?,
        }
        let element = |bytes: &[u8]| {
            let bits = bytes.iter().rev().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            match self.kind.as_str() {
                "f32" => format!("0f{bits:08X}"),
                "f64" => format!("0d{bits:016X}"),
                _ => bits.to_string(),
            }
        };
        let elements: Vec<String> = self.initial.chunks(size as usize).map(element).collect();
        match elements.as_slice() {
            [] => Ok(()),
            // Only arrays have braces.
            [only] if count == 1 => write!(f, " = {only}"),
            _ => write!(f, " = {{{}}}", elements.join(", ")),
        }
    }
}

impl Display for Instruction {
    /// An instruction without its semicolon.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some((register, negated)) = &self.guard {
            write!(f, "@{}{register} ", if *negated { "!" } else { "" })?;
        }
        write!(f, "{}", self.opcode)?;
        self.modifiers.iter().try_for_each(|modifier| write!(f, ".{modifier}"))?;
        write!(f, "{}", if self.operands.is_empty() { "" } else { " " })?;
        list(f, &self.operands)
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Register(name) | Operand::Name(name) => write!(f, "{name}"),
            Operand::Integer(value) => write!(f, "{value}"),
            Operand::Float32(bits) => write!(f, "0f{bits:08X}"),
            Operand::Float64(bits) => write!(f, "0d{bits:016X}"),
            Operand::Address(base, 0) => write!(f, "[{base}]"),
            Operand::Address(base, offset) => write!(f, "[{base}+{offset}]"),
            Operand::Vector(parts) => {
                write!(f, "{{")?;
                list(f, parts)?;
                write!(f, "}}")
            }
            Operand::Pair(left, right) => write!(f, "{left}|{right}"),
            Operand::Not(inner) => write!(f, "!{inner}"),
            Operand::Sink => write!(f, "_"),
        }
    }
}

fn list(f: &mut Formatter<'_>, operands: &[Operand]) -> fmt::Result {
    for (index, operand) in operands.iter().enumerate() {
        write!(f, "{}{operand}", if index > 0 { ", " } else { "" })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ast::Module;

    /// Everything the syntax has, twice around.
    #[test]
    fn what_is_written_reads_the_same() {
        let text = "
.version 8.7
.target sm_80
.address_size 64
.file 3 \"a b.cu\"
.const .align 16 .b8 table[6] = {1, 255};
.global .s16 small[2] = {-1, 2};
.global .f32 floats[3] = {0f3F800000, 0fBF800000};
.global .f64 pi = 0d400921FB54442D18;
.global .u64 all = 0xFFFFFFFFFFFFFFFF;
.extern .shared .align 16 .b8 dynamic[];
.entry none() { ret; }
.visible .entry k(.param .u32 a, .param .align 8 .b8 b[12], .param .u8 c)
.maxntid 64, 2
{
  .reg .b32 %r<4>, %one;
  .reg .pred %p<3>;
  .shared .align 8 .b8 tile[528];
  .local .f32 slot;
  mov.u32 %r1, %tid.x;
  .loc 3 7 2
  { .reg .b32 %r1; .reg .pred t<2>; again: setp.ne.and.s32 t0|t1, %r1, 0, !%p1; @!t0 bra again; }
  .loc 3 8 2
  ld.param.b32 %r2, [b+4]; st.shared.v2.b32 [tile+-4], {%r1, _};
  .loc 3 0 2
  mov.b64 {%r1, %r2}, 0d3FF0000000000000; add.f32 %r1, %r2, 0fFF800000;
  a1: a2: @%p1 bra end; ld.shared.b32 %r1, [%r2+-8]; mov.b32 %r1, dynamic; ld.global.b32 %r1, [64];
  mov.s64 %r1, -9223372036854775808;
  end:
}";
        let module = Module::parse(text).unwrap_or_else(|error| panic!("{error}"));
        let written = module.to_string();
        let again = Module::parse(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(without_lines(again), without_lines(module), "{written}");
    }

    fn without_lines(mut module: Module) -> Module {
        for entry in &mut module.entries {
            entry.instructions.iter_mut().for_each(|instruction| instruction.line = 0);
        }
        module
    }
}
