//! Instructions and their operands (PTX ISA manual, 4.3.2 instruction statements, 4.5 constants, 6.4 operands).

use super::ParseError;
use super::lexer::{Cursor, Token};
use super::scope::Scopes;
use crate::ast::{Instruction, Operand};

/// Special registers (PTX ISA manual, chapter 10) and whether they have components.
const SPECIAL: [(&str, bool); 32] = [
    ("%tid", true),
    ("%ntid", true),
    ("%laneid", false),
    ("%warpid", false),
    ("%nwarpid", false),
    ("%ctaid", true),
    ("%nctaid", true),
    ("%smid", false),
    ("%nsmid", false),
    ("%gridid", false),
    ("%lanemask_eq", false),
    ("%lanemask_le", false),
    ("%lanemask_lt", false),
    ("%lanemask_ge", false),
    ("%lanemask_gt", false),
    ("%clock", false),
    ("%clock_hi", false),
    ("%clock64", false),
    ("%globaltimer", false),
    ("%globaltimer_lo", false),
    ("%globaltimer_hi", false),
    ("%total_smem_size", false),
    ("%aggr_smem_size", false),
    ("%dynamic_smem_size", false),
    ("%is_explicit_cluster", false),
    ("%clusterid", true),
    ("%nclusterid", true),
    ("%cluster_ctaid", true),
    ("%cluster_nctaid", true),
    ("%cluster_ctarank", false),
    ("%cluster_nctarank", false),
    ("%current_graph_exec", false),
];

/// Whether a name is that of a special register, which no declaration may take.
pub(super) fn is_special(name: &str) -> bool {
    SPECIAL.iter().any(|(special, _)| *special == name)
}

/// An instruction from its guard to its semicolon.
pub(super) fn instruction(
    cursor: &mut Cursor,
    scopes: &Scopes,
    source: Option<(u32, u32)>,
) -> Result<Instruction, ParseError> {
    let line = cursor.line();
    let guard = if cursor.take_sign('@') {
        let negated = cursor.take_sign('!');
        match word(cursor, scopes)? {
            Operand::Register(name) => Some((name, negated)),
            _ => return Err(ParseError::new(line, "expected a predicate register behind `@`")),
        }
    } else {
        None
    };
    let opcode = cursor.expect_word("an opcode")?.to_string();
    let mut modifiers = Vec::new();
    while let Token::Dot(modifier) = cursor.peek() {
        modifiers.push(modifier.to_string());
        cursor.take();
    }
    if opcode == "call" {
        return Err(ParseError::new(line, "calls of functions are not supported"));
    }
    let mut operands = Vec::new();
    if cursor.peek() != Token::Sign(';') {
        operands.push(operand(cursor, scopes)?);
        while cursor.take_sign(',') {
            operands.push(operand(cursor, scopes)?);
        }
    }
    cursor.expect_sign(';')?;
    Ok(Instruction { guard, opcode, modifiers, operands, line, source })
}

fn operand(cursor: &mut Cursor, scopes: &Scopes) -> Result<Operand, ParseError> {
    match cursor.peek() {
        Token::Sign('{') => {
            cursor.take();
            let mut parts = Vec::new();
            while !cursor.take_sign('}') {
                if !parts.is_empty() {
                    cursor.expect_sign(',')?;
                }
                parts.push(simple(cursor, scopes)?);
            }
            Ok(Operand::Vector(parts))
        }
        Token::Sign('[') => address(cursor, scopes),
        Token::Sign('!') => {
            cursor.take();
            Ok(Operand::Not(Box::new(word(cursor, scopes)?)))
        }
        _ => {
            let first = simple(cursor, scopes)?;
            if cursor.peek() == Token::Sign('+') {
                return Err(cursor.error("an offset to a name outside of `[ ]` is not supported"));
            }
            if !cursor.take_sign('|') {
                return Ok(first);
            }
            Ok(Operand::Pair(Box::new(first), Box::new(simple(cursor, scopes)?)))
        }
    }
}

/// A register, a name, `_` or a constant.
fn simple(cursor: &mut Cursor, scopes: &Scopes) -> Result<Operand, ParseError> {
    match cursor.peek() {
        Token::Word(_) => word(cursor, scopes),
        Token::Number(number) => match float_bits(number) {
            Some((bits, 4)) => {
                cursor.take();
                Ok(Operand::Float32(bits as u32))
            }
            Some((bits, _)) => {
                cursor.take();
                Ok(Operand::Float64(bits))
            }
            None => Ok(Operand::Integer(cursor.expect_integer("a constant (floats as `0f3F800000`)")?)),
        },
        Token::Sign('-') => Ok(Operand::Integer(cursor.expect_integer("an integer")?)),
        _ => Err(cursor.expected("an operand")),
    }
}

/// `0f` and 8, or `0d` and 16 hexadecimal digits: the bits, and how many bytes they are.
pub(super) fn float_bits(number: &str) -> Option<(u64, usize)> {
    let (digits, bytes) = match number.get(..2)? {
        "0f" | "0F" => (&number[2..], 4),
        "0d" | "0D" => (&number[2..], 8),
        _ => return None,
    };
    if digits.len() != 2 * bytes {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().map(|bits| (bits, bytes))
}

/// A register, a special register, a variable or a label; the latter two are looked up once all are known.
fn word(cursor: &mut Cursor, scopes: &Scopes) -> Result<Operand, ParseError> {
    let line = cursor.line();
    let word = cursor.expect_word("a register or a name")?;
    if word == "_" {
        return Ok(Operand::Sink);
    }
    if let Some(given) = scopes.register(word) {
        if let Token::Dot(component) = cursor.peek() {
            return Err(cursor.error(format!("`{word}` has no component `.{component}`: it is no vector register")));
        }
        return Ok(Operand::Register(given.to_string()));
    }
    if let Some((_, components)) = SPECIAL.iter().find(|(name, _)| *name == word) {
        let mut name = word.to_string();
        if *components {
            let component = cursor.expect_dot("a component of the special register")?;
            if !["x", "y", "z"].contains(&component) {
                return Err(ParseError::new(line, format!("`{word}` has no component `.{component}`")));
            }
            name = format!("{word}.{component}");
        }
        return Ok(Operand::Register(name));
    }
    if word.starts_with('%') {
        return Err(ParseError::new(line, format!("register `{word}` is not declared")));
    }
    Ok(Operand::Name(word.to_string()))
}

/// `[%rd1]`, `[%rd1+4]`, `[%rd1+-4]`, `[name]`, `[name+4]`, `[64]`.
fn address(cursor: &mut Cursor, scopes: &Scopes) -> Result<Operand, ParseError> {
    cursor.expect_sign('[')?;
    let line = cursor.line();
    let base = simple(cursor, scopes)?;
    if !matches!(base, Operand::Register(_) | Operand::Name(_) | Operand::Integer(_)) {
        return Err(ParseError::new(line, "expected a register, a name or an integer as address"));
    }
    let offset = match cursor.peek() {
        Token::Sign('+') => {
            cursor.take();
            cursor.expect_integer("an offset in bytes")?
        }
        Token::Sign('-') => cursor.expect_integer("an offset in bytes")?,
        _ => 0,
    };
    cursor.expect_sign(']')?;
    Ok(Operand::Address(Box::new(base), offset))
}
