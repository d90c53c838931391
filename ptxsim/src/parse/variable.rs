//! Variables: their types, alignment, size and initial value (PTX ISA manual, 5.2 types and 5.4 variables).

use super::ParseError;
use super::lexer::{Cursor, Token};
use crate::ast::Variable;

/// Size of a fundamental type in bytes (PTX ISA 5.2); `None` for what is not one, and for `pred`, which has no size.
pub(crate) fn bytes_of(kind: &str) -> Option<u64> {
    Some(match kind {
        "b8" | "u8" | "s8" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" => 4,
        "b64" | "u64" | "s64" | "f64" => 8,
        "b128" => 16,
        _ => return None,
    })
}

/// `.shared .align 4 .b8 name[528] = {...};` from the state space to the semicolon, with a space out of `spaces`.
/// `external`: behind `.extern`, where the size of a shared array may be left to the launch.
pub(super) fn parse(cursor: &mut Cursor, spaces: &[&str], external: bool) -> Result<Variable, ParseError> {
    let line = cursor.line();
    let space = cursor.expect_dot("a state space")?;
    if !spaces.contains(&space) {
        let expected = spaces.iter().map(|space| format!("`.{space}`")).collect::<Vec<_>>().join(" or ");
        return Err(ParseError::new(line, format!("expected {expected}, found `.{space}`")));
    }
    let mut variable = declaration(cursor, space)?;
    if external && (space != "shared" || variable.bytes != 0) {
        let message = format!("`{}` is defined in another module; only `.extern .shared` arrays may be", variable.name);
        return Err(ParseError::new(line, message));
    }
    if !external && variable.bytes == 0 {
        return Err(ParseError::new(line, format!("`{}` has no size", variable.name)));
    }
    if cursor.take_sign('=') {
        if space != "global" && space != "const" {
            return Err(ParseError::new(line, format!("a `.{space}` variable has no initial value")));
        }
        initial_value(cursor, &mut variable)?;
    }
    cursor.expect_sign(';')?;
    Ok(variable)
}

/// `.param .align 8 .b8 name[48]` of an entry, at the next place in the parameter block behind `end` bytes.
pub(super) fn parameter(cursor: &mut Cursor, end: u64) -> Result<Variable, ParseError> {
    if !cursor.take_dot("param") {
        return Err(cursor.expected("`.param`"));
    }
    let line = cursor.line();
    let mut variable = declaration(cursor, "param")?;
    if variable.bytes == 0 {
        return Err(ParseError::new(line, format!("parameter `{}` has no size", variable.name)));
    }
    variable.offset = end.next_multiple_of(u64::from(variable.alignment));
    Ok(variable)
}

/// From behind the state space to the size: alignment, type, name, and how many elements.
fn declaration(cursor: &mut Cursor, space: &str) -> Result<Variable, ParseError> {
    let mut alignment = if cursor.take_dot("align") { Some(take_alignment(cursor)?) } else { None };
    let kind = cursor.expect_dot("an element type")?;
    let Some(element) = bytes_of(kind) else {
        return Err(cursor.error(format!("unknown element type `.{kind}` (vector types are not supported)")));
    };
    if space == "param" && cursor.take_dot("ptr") {
        // A hint about what the pointer points to.
        if let Token::Dot("global" | "const" | "shared" | "local") = cursor.peek() {
            cursor.take();
        }
        if cursor.take_dot("align") {
            take_alignment(cursor)?;
        }
    } else if alignment.is_none() && cursor.take_dot("align") {
        alignment = Some(take_alignment(cursor)?);
    }
    let name = cursor.expect_word("a variable's name")?;
    let mut count = 1;
    if cursor.take_sign('[') {
        count = if cursor.peek() == Token::Sign(']') { 0 } else { u64::from(cursor.expect_u32("an array size")?) };
        cursor.expect_sign(']')?;
        if cursor.peek() == Token::Sign('[') {
            return Err(cursor.error(format!("`{name}` has several dimensions, which is not supported")));
        }
    }
    Ok(Variable {
        space: space.to_string(),
        name: name.to_string(),
        kind: kind.to_string(),
        alignment: alignment.unwrap_or(element as u32),
        bytes: element * count,
        offset: 0,
        initial: Vec::new(),
    })
}

fn take_alignment(cursor: &mut Cursor) -> Result<u32, ParseError> {
    let line = cursor.line();
    let alignment = cursor.expect_u32("an alignment in bytes")?;
    if alignment.is_power_of_two() {
        Ok(alignment)
    } else {
        Err(ParseError::new(line, format!("expected an alignment that is a power of two, found {alignment}")))
    }
}

/// `32` or `{0, 0, 128, 63}`; elements that are not named are zero.
fn initial_value(cursor: &mut Cursor, variable: &mut Variable) -> Result<(), ParseError> {
    let line = cursor.line();
    let size = bytes_of(&variable.kind).expect("checked by `declaration`") as usize;
    if cursor.take_sign('{') {
        while !cursor.take_sign('}') {
            element(cursor, variable, size)?;
            if cursor.peek() != Token::Sign('}') {
                cursor.expect_sign(',')?;
            }
        }
    } else {
        element(cursor, variable, size)?;
    }
    if variable.initial.len() as u64 > variable.bytes {
        return Err(ParseError::new(line, format!("more initial values than `{}` has elements", variable.name)));
    }
    variable.initial.resize(variable.bytes as usize, 0);
    Ok(())
}

fn element(cursor: &mut Cursor, variable: &mut Variable, size: usize) -> Result<(), ParseError> {
    if let Token::Word(word) = cursor.peek() {
        let message = format!("the initial value of `{}` is an address (`{word}`), not supported", variable.name);
        return Err(cursor.error(message));
    }
    let float = match cursor.peek() {
        Token::Number(number) => super::operand::float_bits(number),
        _ => None,
    };
    let line = cursor.line();
    let bits = match (float, variable.kind.as_str()) {
        (Some((bits, 4)), "f32") | (Some((bits, 8)), "f64") => {
            cursor.take();
            bits
        }
        (Some(_), kind) => {
            return Err(cursor.error(format!("a float of another size as initial value of type `.{kind}`")));
        }
        (None, "f32" | "f64" | "f16" | "bf16" | "f16x2" | "bf16x2" | "b128") => {
            return Err(cursor.error(format!("expected an initial value of type `.{}`", variable.kind)));
        }
        (None, _) => {
            let value = cursor.expect_integer("an initial value")?;
            let shift = 64 - 8 * size as u32;
            let fits = (value << shift) >> shift == value || ((value as u64) << shift) >> shift == value as u64;
            if !fits {
                return Err(ParseError::new(line, format!("{value} does not fit into `.{}`", variable.kind)));
            }
            value as u64
        }
    };
    variable.initial.extend_from_slice(&bits.to_le_bytes()[..size]);
    Ok(())
}
