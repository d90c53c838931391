//! An entry: its parameters, limits, declarations and instructions (PTX ISA manual, 11.4 entries, 11.5 `.loc`).

use super::lexer::{Cursor, Token};
use super::scope::Scopes;
use super::{ParseError, operand, pragma, variable};
use crate::ast::{Entry, Module, Operand};

/// An entry from behind `.entry` to its closing brace. `places` collects the files that `.loc` names.
pub(super) fn parse(cursor: &mut Cursor, module: &Module, places: &mut Vec<(u32, u32)>) -> Result<Entry, ParseError> {
    let name = cursor.expect_word("the name of an entry")?.to_string();
    let mut entry = Entry {
        name,
        parameters: Vec::new(),
        max_threads: None,
        registers: Vec::new(),
        variables: Vec::new(),
        instructions: Vec::new(),
        labels: Vec::new(),
    };
    if cursor.take_sign('(') {
        parameters(cursor, &mut entry)?;
    }
    limits(cursor, &mut entry)?;
    cursor.expect_sign('{')?;
    let taken = entry.parameters.iter().chain(&module.variables).map(|variable| variable.name.clone());
    let mut body = Body { scopes: Scopes::new(taken), uses: Vec::new(), source: None };
    while body.statement(cursor, &mut entry, places)? {}
    body.resolve(module, &mut entry)?;
    Ok(entry)
}

fn parameters(cursor: &mut Cursor, entry: &mut Entry) -> Result<(), ParseError> {
    let mut end = 0;
    while !cursor.take_sign(')') {
        if !entry.parameters.is_empty() {
            cursor.expect_sign(',')?;
        }
        let line = cursor.line();
        let parameter = variable::parameter(cursor, end)?;
        if entry.parameters.iter().any(|known| known.name == parameter.name) {
            return Err(ParseError::new(line, format!("parameter `{}` is declared twice", parameter.name)));
        }
        end = parameter.offset + parameter.bytes;
        entry.parameters.push(parameter);
    }
    Ok(())
}

/// `.maxntid 256, 1, 1` and the hints beside it. `.reqntid` counts as the most threads, too.
fn limits(cursor: &mut Cursor, entry: &mut Entry) -> Result<(), ParseError> {
    while let Token::Dot(word) = cursor.peek() {
        match word {
            "maxntid" | "reqntid" => {
                cursor.take();
                let mut threads = [1; 3];
                threads[0] = cursor.expect_u32("a number of threads")?;
                for size in &mut threads[1..] {
                    if !cursor.take_sign(',') {
                        break;
                    }
                    *size = cursor.expect_u32("a number of threads")?;
                }
                entry.max_threads = Some(threads);
            }
            "minnctapersm" | "maxnctapersm" | "maxnreg" => {
                cursor.take();
                cursor.expect_u32("a number")?;
            }
            _ => return Err(cursor.error(format!("unknown directive `.{word}` of entry `{}`", entry.name))),
        }
    }
    Ok(())
}

/// What is known while a body is read.
struct Body {
    scopes: Scopes,
    /// For each instruction, the scope it stands in.
    uses: Vec<usize>,
    source: Option<(u32, u32)>,
}

impl Body {
    /// One statement; false behind the brace that closes the body.
    fn statement(
        &mut self,
        cursor: &mut Cursor,
        entry: &mut Entry,
        places: &mut Vec<(u32, u32)>,
    ) -> Result<bool, ParseError> {
        let line = cursor.line();
        match cursor.peek() {
            Token::Sign('{') => {
                cursor.take();
                self.scopes.enter();
            }
            Token::Sign('}') => {
                cursor.take();
                return Ok(self.scopes.leave());
            }
            // A statement without anything in it, as inline assembly with its own semicolon leaves it.
            Token::Sign(';') => {
                cursor.take();
            }
            Token::Dot("reg") => self.registers(cursor, entry)?,
            Token::Dot("shared" | "local") => {
                let variable = variable::parse(cursor, &["shared", "local"], false)?;
                if self.scopes.innermost() != 0 {
                    return Err(ParseError::new(line, "a variable within an inner scope is not supported"));
                }
                if entry.variables.iter().chain(&entry.parameters).any(|known| known.name == variable.name) {
                    return Err(ParseError::new(line, format!("`{}` is declared twice", variable.name)));
                }
                entry.variables.push(variable);
            }
            Token::Dot("loc") => self.place(cursor, places)?,
            Token::Dot("pragma") => pragma(cursor)?,
            Token::Dot(word) => return Err(cursor.error(format!("unknown directive `.{word}` in a body"))),
            Token::Word(name) if cursor.peek_second() == Token::Sign(':') => {
                cursor.take();
                cursor.take();
                let Some(given) = self.scopes.declare_label(name) else {
                    return Err(ParseError::new(line, format!("label `{name}` is declared twice")));
                };
                entry.labels.push((given, entry.instructions.len()));
            }
            Token::Word(_) | Token::Sign('@') => {
                entry.instructions.push(operand::instruction(cursor, &self.scopes, self.source)?);
                self.uses.push(self.scopes.innermost());
            }
            _ => return Err(cursor.expected("an instruction, a label or a declaration")),
        }
        Ok(true)
    }

    /// `.reg .b32 %r<26>, %temp;`
    fn registers(&mut self, cursor: &mut Cursor, entry: &mut Entry) -> Result<(), ParseError> {
        cursor.take();
        let line = cursor.line();
        let kind = cursor.expect_dot("a register type")?;
        if kind != "pred" && variable::bytes_of(kind).is_none() {
            return Err(ParseError::new(line, format!("unknown register type `.{kind}` (vectors are not supported)")));
        }
        loop {
            let name = cursor.expect_word("a register's name")?;
            let mut count = 0;
            if cursor.take_sign('<') {
                count = cursor.expect_u32("how many registers")?;
                cursor.expect_sign('>')?;
                // 65536 is more than any thread has; an error here instead of gigabytes of names.
                if !(1..=65536).contains(&count) {
                    return Err(ParseError::new(line, format!("expected 1 to 65536 registers, found {count}")));
                }
            }
            if operand::is_special(name) {
                return Err(ParseError::new(line, format!("`{name}` is a special register")));
            }
            let Some(given) = self.scopes.declare_registers(name, count) else {
                return Err(ParseError::new(line, format!("register `{name}` is declared twice")));
            };
            entry.registers.push((kind.to_string(), given, count));
            if !cursor.take_sign(',') {
                return cursor.expect_sign(';');
            }
        }
    }

    /// `.loc 1 8 5, function_name $L__info_string0, inlined_at 1 24 1`: file, line and column of what follows. The file
    /// and line are those of the innermost function; line 0 means code that belongs to no line.
    fn place(&mut self, cursor: &mut Cursor, places: &mut Vec<(u32, u32)>) -> Result<(), ParseError> {
        cursor.take();
        let at = cursor.line();
        let file = cursor.expect_u32("a file number")?;
        let line = cursor.expect_u32("a line number")?;
        cursor.expect_u32("a column")?;
        places.push((file, at));
        self.source = (line != 0).then_some((file, line));
        if !cursor.take_sign(',') {
            return Ok(());
        }
        expect_key(cursor, "function_name")?;
        cursor.expect_word("the label of the function's name")?;
        if cursor.take_sign('+') {
            cursor.expect_u32("an offset")?;
        }
        cursor.expect_sign(',')?;
        expect_key(cursor, "inlined_at")?;
        places.push((cursor.expect_u32("a file number")?, at));
        cursor.expect_u32("a line number")?;
        cursor.expect_u32("a column")?;
        Ok(())
    }

    /// Gives labels their unique names and checks that every name is declared.
    fn resolve(&self, module: &Module, entry: &mut Entry) -> Result<(), ParseError> {
        let variables: Vec<&str> = entry
            .parameters
            .iter()
            .chain(&entry.variables)
            .chain(&module.variables)
            .map(|variable| variable.name.as_str())
            .collect();
        for (instruction, scope) in entry.instructions.iter_mut().zip(&self.uses) {
            for operand in &mut instruction.operands {
                let resolved = rename(operand, &|name| match self.scopes.label(name, *scope) {
                    Some(given) => Some(given.to_string()),
                    None => variables.contains(&name).then(|| name.to_string()),
                });
                resolved.map_err(|name| ParseError::new(instruction.line, format!("`{name}` is not declared")))?;
            }
        }
        Ok(())
    }
}

fn expect_key(cursor: &mut Cursor, key: &str) -> Result<(), ParseError> {
    match cursor.peek() {
        Token::Word(word) if word == key => {
            cursor.take();
            Ok(())
        }
        _ => Err(cursor.expected(&format!("`{key}`"))),
    }
}

/// Replaces the names within an operand; the name that has no replacement as error.
fn rename(operand: &mut Operand, new: &impl Fn(&str) -> Option<String>) -> Result<(), String> {
    match operand {
        Operand::Name(name) => {
            *name = new(name).ok_or_else(|| name.clone())?;
            Ok(())
        }
        Operand::Address(inner, _) | Operand::Not(inner) => rename(inner, new),
        Operand::Vector(parts) => parts.iter_mut().try_for_each(|part| rename(part, new)),
        Operand::Pair(left, right) => rename(left, new).and_then(|()| rename(right, new)),
        Operand::Register(_) | Operand::Integer(_) | Operand::Float32(_) | Operand::Float64(_) | Operand::Sink => {
            Ok(())
        }
    }
}
