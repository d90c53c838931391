//! Reads a PTX text as NVRTC writes it (PTX ISA manual, chapters 4, 5 and 11: syntax, state spaces, directives).
//!
//! Strict: what is not understood is an error that names the line; nothing is skipped except debug sections and hints
//! that change no result (`.pragma`, `.minnctapersm`, `.maxnreg`, `.ptr`, linking directives).
//! Functions and calls, vector variables, addresses in initial values, clusters and `brx.idx` are refused.

mod entry;
mod error;
mod lexer;
mod operand;
mod scope;
mod variable;

#[cfg(test)]
mod tests;

pub use error::ParseError;

use crate::ast::Module;
use lexer::{Cursor, Token};
pub(crate) use variable::bytes_of;

impl Module {
    /// Reads a PTX text.
    ///
    /// Errors: what is not PTX, what this crate does not know, names declared twice or not at all; each with its line.
    pub fn parse(text: &str) -> Result<Module, ParseError> {
        let mut cursor = Cursor::new(text)?;
        let mut module = header(&mut cursor)?;
        let mut places = Vec::new();
        while cursor.peek() != Token::End {
            directive(&mut cursor, &mut module, &mut places)?;
        }
        // `.file` stands behind the `.loc` that name it.
        for (file, line) in places {
            if !module.files.iter().any(|(number, _)| *number == file) {
                return Err(ParseError::new(line, format!("`.loc` names file {file}, which no `.file` declares")));
            }
        }
        Ok(module)
    }
}

/// `.version 8.7`, `.target sm_80`, `.address_size 64`, in this order.
fn header(cursor: &mut Cursor) -> Result<Module, ParseError> {
    if !cursor.take_dot("version") {
        return Err(cursor.expected("`.version` as the first directive"));
    }
    let Token::Number(version) = cursor.peek() else { return Err(cursor.expected("the PTX version")) };
    cursor.take();
    if !cursor.take_dot("target") {
        return Err(cursor.expected("`.target` behind `.version`"));
    }
    let target = cursor.expect_word("a target architecture such as `sm_80`")?;
    if !cursor.take_dot("address_size") {
        return Err(cursor.expected("`.address_size` behind `.target`"));
    }
    let line = cursor.line();
    if cursor.expect_integer("the address size")? != 64 {
        return Err(ParseError::new(line, "expected addresses of 64 bits"));
    }
    Ok(Module {
        version: version.to_string(),
        target: target.to_string(),
        files: Vec::new(),
        variables: Vec::new(),
        entries: Vec::new(),
    })
}

/// One directive outside of entries. `places` collects the files that `.loc` names, with the line of the `.loc`.
fn directive(cursor: &mut Cursor, module: &mut Module, places: &mut Vec<(u32, u32)>) -> Result<(), ParseError> {
    let line = cursor.line();
    match cursor.peek() {
        Token::Dot("file") => {
            cursor.take();
            let number = cursor.expect_u32("a file number")?;
            let name = cursor.expect_text("a file name")?;
            if cursor.take_sign(',') {
                cursor.expect_integer("the file's time stamp")?;
                cursor.expect_sign(',')?;
                cursor.expect_integer("the file's size")?;
            }
            if module.files.iter().any(|(known, _)| *known == number) {
                return Err(ParseError::new(line, format!("file {number} is declared twice")));
            }
            module.files.push((number, name.to_string()));
            Ok(())
        }
        Token::Dot("section") => skip_section(cursor),
        Token::Dot("pragma") => pragma(cursor),
        Token::Dot("visible" | "weak" | "extern" | "entry" | "func" | "global" | "const" | "shared") => {
            let external = linkage(cursor);
            match cursor.peek() {
                Token::Dot("func") => Err(no_functions(cursor)),
                Token::Dot("entry") if external => Err(cursor.error("an `.extern .entry` has no body to run")),
                Token::Dot("entry") => {
                    cursor.take();
                    let entry = entry::parse(cursor, module, places)?;
                    if module.entries.iter().any(|known| known.name == entry.name) {
                        return Err(ParseError::new(line, format!("entry `{}` is declared twice", entry.name)));
                    }
                    module.entries.push(entry);
                    Ok(())
                }
                _ => {
                    let variable = variable::parse(cursor, &["global", "const", "shared"], external)?;
                    if module.variables.iter().any(|known| known.name == variable.name) {
                        return Err(ParseError::new(line, format!("`{}` is declared twice", variable.name)));
                    }
                    module.variables.push(variable);
                    Ok(())
                }
            }
        }
        _ => {
            Err(cursor
                .expected("a directive of a module (`.entry`, `.global`, `.const`, `.shared`, `.file`, `.section`)"))
        }
    }
}

/// Takes `.visible`, `.weak`, `.extern`; whether `.extern` was among them.
fn linkage(cursor: &mut Cursor) -> bool {
    let mut external = false;
    while let Token::Dot(word @ ("visible" | "weak" | "extern")) = cursor.peek() {
        external |= word == "extern";
        cursor.take();
    }
    external
}

/// `.func` as an error that names the function.
fn no_functions(cursor: &mut Cursor) -> ParseError {
    let line = cursor.line();
    let mut name = "?";
    // `.func (.param .b64 func_retval0) name (...)`: the name is the first word outside of parentheses.
    let mut depth = 0;
    loop {
        match cursor.take() {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth -= 1,
            Token::Word(word) if depth == 0 => {
                name = word;
                break;
            }
            Token::End => break,
            _ => {}
        }
    }
    let message = format!(
        "functions are not supported: `{name}` was not inlined (double-precision `pow`, `sin`, `cos` and `tan` call \
         functions; mark one's own `__forceinline__`)"
    );
    ParseError::new(line, message)
}

/// `.section .debug_str { ... }`: says nothing about what the kernels do.
fn skip_section(cursor: &mut Cursor) -> Result<(), ParseError> {
    cursor.take();
    let name = cursor.expect_dot("a section name")?;
    if !name.starts_with("debug_") {
        return Err(cursor.error(format!("unknown section `.{name}`, expected a `.debug_` section")));
    }
    cursor.expect_sign('{')?;
    loop {
        match cursor.take() {
            Token::Sign('}') => return Ok(()),
            Token::Sign('{') => return Err(cursor.error("a brace within a debug section")),
            Token::End => return Err(cursor.error(format!("section `.{name}` does not end"))),
            _ => {}
        }
    }
}

/// `.pragma "nounroll";`: a hint to the assembler.
fn pragma(cursor: &mut Cursor) -> Result<(), ParseError> {
    cursor.take();
    cursor.expect_text("the text of the pragma")?;
    cursor.expect_sign(';')
}
