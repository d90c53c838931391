//! From text to [`Expression`], by recursive descent.

use std::ops::Range;

use super::expression::{Expression, KEYWORDS, Operator, Value};

/// What is wrong with the text of an expression, and at which of its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// In words.
    pub message: String,
    /// Bytes of the expression.
    pub range: Range<usize>,
}

/// Parentheses, indices, negations and choices inside each other; more is a mistake, and would exhaust the stack.
const DEEPEST: usize = 50;

/// Symbols of one or two characters, longest first.
const SYMBOLS: [&str; 15] = ["==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]"];

/// Parses a whole expression.
pub fn parse(text: &str) -> Result<Expression, Fault> {
    let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0, end: text.len() };
    let expression = parser.choice()?;
    match parser.tokens.get(parser.position) {
        Some(token) => Err(Fault { message: format!("unexpected `{}`", token.text), range: token.range.clone() }),
        None => Ok(expression),
    }
}

struct Token<'a> {
    text: &'a str,
    range: Range<usize>,
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, Fault> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let length = if first.is_whitespace() {
            start += first.len_utf8();
            continue;
        } else if is_word(first) {
            rest.find(|character| !is_word(character)).unwrap_or(rest.len())
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            symbol.len()
        } else {
            let range = start..start + first.len_utf8();
            return Err(Fault { message: format!("`{first}` means nothing in an expression"), range });
        };
        tokens.push(Token { text: &rest[..length], range: start..start + length });
        start += length;
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    position: usize,
    depth: usize,
    end: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.position).map(|token| token.text)
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.peek() == Some(text);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, text: &str) -> Result<(), Fault> {
        if self.accept(text) {
            return Ok(());
        }
        Err(self.fault(&format!("expected `{text}`")))
    }

    /// A fault at the next token.
    fn fault(&self, message: &str) -> Fault {
        match self.tokens.get(self.position) {
            Some(token) => Fault { message: format!("{message}, found `{}`", token.text), range: token.range.clone() },
            None => Fault { message: format!("{message} at the end"), range: self.end..self.end },
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEEPEST {
            return Err(self.fault("too deeply nested"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn choice(&mut self) -> Result<Expression, Fault> {
        self.deeper(|parser| {
            let yes = parser.or()?;
            if !parser.accept("if") {
                return Ok(yes);
            }
            let condition = parser.or()?;
            parser.expect("else")?;
            let no = parser.choice()?;
            Ok(Expression::Choice { condition: condition.into(), yes: yes.into(), no: no.into() })
        })
    }

    /// `next { operator next }`, grouped from the left.
    fn chain(
        &mut self,
        operators: &[(&str, Operator)],
        next: fn(&mut Self) -> Result<Expression, Fault>,
    ) -> Result<Expression, Fault> {
        let mut left = next(self)?;
        let mut links = 0;
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.peek() == Some(symbol)) {
            links += 1;
            if links > DEEPEST {
                return Err(self.fault("too many terms"));
            }
            self.position += 1;
            left = Expression::Binary(*operator, left.into(), next(self)?.into());
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Expression, Fault> {
        self.chain(&[("or", Operator::Or)], Self::and)
    }

    fn and(&mut self) -> Result<Expression, Fault> {
        self.chain(&[("and", Operator::And)], Self::not)
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        if self.accept("not") {
            return self.deeper(|parser| Ok(Expression::Not(parser.not()?.into())));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expression, Fault> {
        use Operator::{AtLeast, AtMost, Equal, Greater, Less, Unequal};
        let left = self.sum()?;
        let symbols = [("==", Equal), ("!=", Unequal), ("<=", AtMost), (">=", AtLeast), ("<", Less), (">", Greater)];
        match symbols.iter().find(|(symbol, _)| self.peek() == Some(symbol)) {
            Some((_, operator)) => {
                self.position += 1;
                Ok(Expression::Binary(*operator, left.into(), self.sum()?.into()))
            }
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Result<Expression, Fault> {
        self.chain(&[("+", Operator::Plus), ("-", Operator::Minus)], Self::product)
    }

    fn product(&mut self) -> Result<Expression, Fault> {
        self.chain(&[("*", Operator::Times), ("/", Operator::Over), ("%", Operator::Modulo)], Self::negated)
    }

    fn negated(&mut self) -> Result<Expression, Fault> {
        if self.accept("-") {
            return self.deeper(|parser| Ok(Expression::Negate(parser.negated()?.into())));
        }
        self.indexed()
    }

    fn indexed(&mut self) -> Result<Expression, Fault> {
        let mut list = self.atom()?;
        let mut links = 0;
        while self.peek() == Some("[") {
            links += 1;
            if links > DEEPEST {
                return Err(self.fault("too many indices"));
            }
            self.position += 1;
            let index = self.choice()?;
            self.expect("]")?;
            list = Expression::Index(list.into(), index.into());
        }
        Ok(list)
    }

    fn atom(&mut self) -> Result<Expression, Fault> {
        let Some(text) = self.peek() else { return Err(self.fault("expected a value")) };
        if self.accept("(") {
            let inner = self.choice()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let first = text.as_bytes()[0];
        if first.is_ascii_digit() {
            let number = text.parse().map_err(|_| self.fault("expected a whole number"))?;
            self.position += 1;
            return Ok(Expression::Literal(Value::Integer(number)));
        }
        if matches!(text, "true" | "false") {
            self.position += 1;
            return Ok(Expression::Literal(Value::Boolean(text == "true")));
        }
        let is_name = (first.is_ascii_alphabetic() || first == b'_') && !KEYWORDS.contains(&text);
        if !is_name {
            return Err(self.fault("expected a value"));
        }
        self.position += 1;
        if text == "len" && self.accept("(") {
            let list = self.choice()?;
            self.expect(")")?;
            return Ok(Expression::Length(list.into()));
        }
        Ok(Expression::Name(text.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_byte() {
        for (text, message, range) in [
            ("1 +", "expected a value at the end", 3..3),
            ("(1", "expected `)` at the end", 2..2),
            ("1 2", "unexpected `2`", 2..3),
            ("a & b", "`&` means nothing in an expression", 2..3),
            ("ä", "`ä` means nothing in an expression", 0..2),
            ("1 if 2", "expected `else` at the end", 6..6),
            ("3x", "expected a whole number, found `3x`", 0..2),
            ("1 < 2 < 3", "unexpected `<`", 6..7),
            ("", "expected a value at the end", 0..0),
            ("else", "expected a value, found `else`", 0..4),
        ] {
            assert_eq!(parse(text), Err(Fault { message: message.into(), range }), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for text in ["(".repeat(100_000), "not ".repeat(100_000), "-".repeat(100_000), "a[".repeat(100_000)] {
            assert!(parse(&text).is_err_and(|fault| fault.message.starts_with("too deeply nested")));
        }
        assert!(parse(&vec!["1"; 100_000].join("+")).is_err());
    }
}
