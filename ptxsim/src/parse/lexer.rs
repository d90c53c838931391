//! Cuts a PTX text into tokens (PTX ISA manual, chapter 4: source format, comments, identifiers, constants).

use super::ParseError;

/// The smallest piece of a PTX text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier: an opcode, a label, a variable, a register (with its `%`).
    Word(&'a str),
    /// A directive or modifier, without its dot: `reg`, `s32`, `L2::128B`.
    Dot(&'a str),
    /// A number as it stands: `31`, `0x1F`, `0f3F800000`, `8.7`.
    Number(&'a str),
    /// A text between quotes.
    Text(&'a str),
    /// Any other sign.
    Sign(char),
    /// Behind the last token.
    End,
}

impl Token<'_> {
    /// The token as error messages show it.
    pub(super) fn shown(&self) -> String {
        match self {
            Token::Word(word) | Token::Number(word) => format!("`{word}`"),
            Token::Dot(word) => format!("`.{word}`"),
            Token::Text(text) => format!("\"{text}\""),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end of the text".to_string(),
        }
    }
}

/// The tokens of a text with the line each begins on, and a place among them.
pub(super) struct Cursor<'a> {
    tokens: Vec<(Token<'a>, u32)>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Result<Cursor<'a>, ParseError> {
        Ok(Cursor { tokens: tokens(text)?, at: 0 })
    }

    /// The token that comes next.
    pub(super) fn peek(&self) -> Token<'a> {
        self.tokens[self.at].0
    }

    /// The token behind the next one.
    pub(super) fn peek_second(&self) -> Token<'a> {
        self.tokens.get(self.at + 1).map_or(Token::End, |token| token.0)
    }

    /// The line of the token that comes next.
    pub(super) fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    /// Takes the next token; the end stays the end.
    pub(super) fn take(&mut self) -> Token<'a> {
        let token = self.tokens[self.at].0;
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Takes `sign` if it comes next.
    pub(super) fn take_sign(&mut self, sign: char) -> bool {
        self.take_if(Token::Sign(sign))
    }

    /// Takes `.word` if it comes next.
    pub(super) fn take_dot(&mut self, word: &str) -> bool {
        self.take_if(Token::Dot(word))
    }

    fn take_if(&mut self, token: Token<'_>) -> bool {
        let same = self.peek() == token;
        if same {
            self.take();
        }
        same
    }

    pub(super) fn expect_sign(&mut self, sign: char) -> Result<(), ParseError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    pub(super) fn expect_word(&mut self, what: &str) -> Result<&'a str, ParseError> {
        let Token::Word(word) = self.peek() else { return Err(self.expected(what)) };
        self.take();
        Ok(word)
    }

    pub(super) fn expect_dot(&mut self, what: &str) -> Result<&'a str, ParseError> {
        let Token::Dot(word) = self.peek() else { return Err(self.expected(what)) };
        self.take();
        Ok(word)
    }

    pub(super) fn expect_text(&mut self, what: &str) -> Result<&'a str, ParseError> {
        let Token::Text(text) = self.peek() else { return Err(self.expected(what)) };
        self.take();
        Ok(text)
    }

    /// An integer with its sign; a number of 64 unsigned bits wraps (`0xFFFFFFFFFFFFFFFF` is -1).
    pub(super) fn expect_integer(&mut self, what: &str) -> Result<i64, ParseError> {
        let negative = self.take_sign('-');
        let Token::Number(number) = self.peek() else { return Err(self.expected(what)) };
        let value = integer(number).ok_or_else(|| self.expected(what))?;
        self.take();
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    /// An integer of 32 unsigned bits.
    pub(super) fn expect_u32(&mut self, what: &str) -> Result<u32, ParseError> {
        let (line, value) = (self.line(), self.expect_integer(what)?);
        u32::try_from(value).map_err(|_| ParseError::new(line, format!("expected {what}, found {value}")))
    }

    /// The error that `what` should stand where the next token stands.
    pub(super) fn expected(&self, what: &str) -> ParseError {
        self.error(format!("expected {what}, found {}", self.peek().shown()))
    }

    /// An error at the next token.
    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.line(), message)
    }
}

/// PTX ISA 4.5.1: decimal, `0x`, `0b` and octal with a leading zero, `U` behind it for unsigned.
fn integer(number: &str) -> Option<i64> {
    let digits = number.strip_suffix('U').unwrap_or(number);
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0b" | "0B") => (&digits[2..], 2),
        _ if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    u64::from_str_radix(digits, radix).ok().map(|value| value as i64)
}

fn tokens(text: &str) -> Result<Vec<(Token<'_>, u32)>, ParseError> {
    let (mut found, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(sign) = rest.chars().next() {
        // How many bytes the next token takes, and what it is; white space and comments are none.
        let (length, token) = match sign {
            _ if sign.is_whitespace() => (sign.len_utf8(), None),
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => match rest[2..].find("*/") {
                Some(end) => (end + 4, None),
                None => return Err(ParseError::new(line, "a comment `/*` without its `*/`")),
            },
            '"' => match rest[1..].find(['"', '\n']) {
                Some(end) if rest[1 + end..].starts_with('"') => (end + 2, Some(Token::Text(&rest[1..1 + end]))),
                _ => return Err(ParseError::new(line, "a text without its closing quote")),
            },
            '.' => {
                let length = 1 + span(&rest[1..], |c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
                if length == 1 {
                    return Err(ParseError::new(line, "expected a directive or modifier behind `.`"));
                }
                (length, Some(Token::Dot(&rest[1..length])))
            }
            '0'..='9' => {
                let whole = span(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                let digits = |text: &str| span(text, |c| c.is_ascii_digit());
                // Only `.version 8.7` has a point in it.
                let behind = rest[whole..].strip_prefix('.').map_or(0, digits);
                let length = if behind > 0 { whole + 1 + behind } else { whole };
                (length, Some(Token::Number(&rest[..length])))
            }
            '%' | '_' | '$' | 'a'..='z' | 'A'..='Z' => {
                let length = 1 + span(&rest[1..], |c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
                (length, Some(Token::Word(&rest[..length])))
            }
            '{' | '}' | '[' | ']' | '(' | ')' | '<' | '>' | ',' | ';' | ':' | '@' | '!' | '|' | '+' | '-' | '=' => {
                (1, Some(Token::Sign(sign)))
            }
            _ => return Err(ParseError::new(line, format!("a sign that PTX does not have: `{sign}`"))),
        };
        found.extend(token.map(|token| (token, line)));
        line += rest[..length].matches('\n').count() as u32;
        rest = &rest[length..];
    }
    found.push((Token::End, line));
    Ok(found)
}

/// How many bytes at the beginning of `text` are of a kind.
fn span(text: &str, kind: impl Fn(char) -> bool) -> usize {
    text.find(|c| !kind(c)).unwrap_or(text.len())
}
