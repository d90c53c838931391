//! The few expressions a model file may compute with: whole numbers, comparisons, lists, `a if c else b`.
//!
//! ```text
//! choice  = or [ "if" or "else" choice ]        or   = and { "or" and }         and = not { "and" not }
//! not     = "not" not | compare                 compare = sum [ ("==" | "!=" | "<" | "<=" | ">" | ">=") sum ]
//! sum     = product { ("+" | "-") product }     product = negated { ("*" | "/" | "%") negated }
//! negated = "-" negated | indexed               indexed = atom { "[" choice "]" }
//! atom    = number | "true" | "false" | name | "len" "(" choice ")" | "(" choice ")"
//! ```

use std::fmt;

/// What an expression or a model's parameter is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A word, such as the name of a block.
    Text(String),
    /// Several values.
    List(Vec<Value>),
}

impl Value {
    /// The kind of value in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "true or false",
            Self::Text(_) => "a word",
            Self::List(_) => "a list",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// A value as it is.
    Literal(Value),
    /// A parameter, a loop's counter or a built-in.
    Name(String),
    /// `-a`.
    Negate(Box<Expression>),
    /// `not a`.
    Not(Box<Expression>),
    /// `len(a)`.
    Length(Box<Expression>),
    /// `a[b]`, counted from 0.
    Index(Box<Expression>, Box<Expression>),
    /// `a operator b`.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `yes if condition else no`.
    Choice {
        /// Decides.
        condition: Box<Expression>,
        /// If true.
        yes: Box<Expression>,
        /// If false.
        no: Box<Expression>,
    },
}

/// The operators between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`, which must leave no rest
    Over,
    /// `%`
    Modulo,
}

/// Words that cannot be names.
pub const KEYWORDS: [&str; 7] = ["and", "or", "not", "if", "else", "true", "false"];

/// A name that nothing defines, or anything else that went wrong while evaluating.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No such name.
    Unknown(String),
    /// Any other fault, in words.
    Wrong(String),
}

impl Expression {
    /// The value, with names looked up by `lookup`.
    pub fn evaluate(&self, lookup: &dyn Fn(&str) -> Option<Value>) -> Result<Value, Failure> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Name(name) => lookup(name).ok_or_else(|| Failure::Unknown(name.clone())),
            Self::Negate(inner) => {
                let value = integer(inner.evaluate(lookup)?, "-")?;
                value.checked_neg().map(Value::Integer).ok_or_else(too_large)
            }
            Self::Not(inner) => Ok(Value::Boolean(!boolean(inner.evaluate(lookup)?, "not")?)),
            Self::Length(inner) => match inner.evaluate(lookup)? {
                Value::List(values) => Ok(Value::Integer(values.len() as i64)),
                other => Err(Failure::Wrong(format!("len takes a list, not {}", other.kind()))),
            },
            Self::Index(list, index) => {
                let index = integer(index.evaluate(lookup)?, "an index")?;
                match list.evaluate(lookup)? {
                    Value::List(values) => {
                        let item = usize::try_from(index).ok().and_then(|index| values.get(index));
                        item.cloned().ok_or_else(|| {
                            Failure::Wrong(format!("a list of {} has no item {index} (from 0)", values.len()))
                        })
                    }
                    other => Err(Failure::Wrong(format!("only a list has items, not {}", other.kind()))),
                }
            }
            Self::Choice { condition, yes, no } => match boolean(condition.evaluate(lookup)?, "if")? {
                true => yes.evaluate(lookup),
                false => no.evaluate(lookup),
            },
            // The right side is not looked at when the left decides: `stage > 0 and widths[stage - 1] == in`.
            Self::Binary(operator @ (Operator::Or | Operator::And), left, right) => {
                let decides = *operator == Operator::Or;
                let word = if decides { "or" } else { "and" };
                if boolean(left.evaluate(lookup)?, word)? == decides {
                    return Ok(Value::Boolean(decides));
                }
                Ok(Value::Boolean(boolean(right.evaluate(lookup)?, word)?))
            }
            Self::Binary(operator, left, right) => combine(*operator, left.evaluate(lookup)?, right.evaluate(lookup)?),
        }
    }
}

fn combine(operator: Operator, left: Value, right: Value) -> Result<Value, Failure> {
    use Operator::{AtLeast, AtMost, Equal, Greater, Less, Minus, Modulo, Over, Plus, Times, Unequal};
    if matches!(operator, Equal | Unequal) {
        if left.kind() != right.kind() {
            return Err(Failure::Wrong(format!("cannot compare {} with {}", left.kind(), right.kind())));
        }
        return Ok(Value::Boolean((left == right) == (operator == Equal)));
    }
    let (left, right) = (integer(left, "arithmetic")?, integer(right, "arithmetic")?);
    let number = |result: Option<i64>| result.map(Value::Integer).ok_or_else(too_large);
    match operator {
        Less => Ok(Value::Boolean(left < right)),
        AtMost => Ok(Value::Boolean(left <= right)),
        Greater => Ok(Value::Boolean(left > right)),
        AtLeast => Ok(Value::Boolean(left >= right)),
        Plus => number(left.checked_add(right)),
        Minus => number(left.checked_sub(right)),
        Times => number(left.checked_mul(right)),
        Over | Modulo if right == 0 => Err(Failure::Wrong("division by zero".into())),
        Over if left.checked_rem(right) != Some(0) => Err(Failure::Wrong(format!("{left} / {right} is not whole"))),
        Over => number(left.checked_div(right)),
        Modulo => number(left.checked_rem(right)),
        Operator::Or | Operator::And | Equal | Unequal => unreachable!("handled before"),
    }
}

fn too_large() -> Failure {
    Failure::Wrong("the number is too large".into())
}

fn integer(value: Value, what: &str) -> Result<i64, Failure> {
    match value {
        Value::Integer(value) => Ok(value),
        other => Err(Failure::Wrong(format!("{what} needs a whole number, not {}", other.kind()))),
    }
}

fn boolean(value: Value, what: &str) -> Result<bool, Failure> {
    match value {
        Value::Boolean(value) => Ok(value),
        other => Err(Failure::Wrong(format!("`{what}` needs true or false, not {}", other.kind()))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::*;

    fn value(text: &str) -> Result<Value, Failure> {
        let expression = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
        expression.evaluate(&|name| match name {
            "width" => Some(Value::Integer(64)),
            "strides" => Some(Value::List(vec![Value::Integer(1), Value::Integer(2)])),
            "kind" => Some(Value::Text("basic".into())),
            _ => None,
        })
    }

    #[test]
    fn expressions_are_worth_what_python_says() {
        for (text, expected) in [
            ("1 + 2 * 3 - 4", 3),
            ("(1 + 2) * 3", 9),
            ("10 - 4 - 3", 3),
            ("24 / 4 / 2", 3),
            ("width % 7", 1),
            ("--3", 3),
            ("-width / 4", -16),
            ("strides[len(strides) - 1]", 2),
            ("strides[0] if width > 32 else strides[1]", 1),
            ("1 if false else 2 if false else 3", 3),
        ] {
            assert_eq!(value(text), Ok(Value::Integer(expected)), "{text}");
        }
        for (text, expected) in [
            ("1 < 2 and not 2 < 1", true),
            ("1 == 2 or 3 != 3", false),
            ("true or false and false", true),
            ("not true or true", true),
            ("2 <= 2 and 2 >= 2 and not 2 > 2", true),
            ("true or strides[9] == 1", true),
            ("false and strides[9] == 1", false),
            ("width == 64", true),
        ] {
            assert_eq!(value(text), Ok(Value::Boolean(expected)), "{text}");
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, part) in [
            ("width / 3", "64 / 3 is not whole"),
            ("width / 0", "division by zero"),
            ("strides[2]", "a list of 2 has no item 2"),
            ("strides[-1]", "a list of 2 has no item -1"),
            ("width + true", "needs a whole number, not true or false"),
            ("width == kind", "cannot compare a whole number with a word"),
            ("1 if width else 2", "`if` needs true or false"),
            ("len(width)", "len takes a list"),
            ("width[0]", "only a list has items"),
            ("9223372036854775807 + 1", "too large"),
        ] {
            match value(text) {
                Err(Failure::Wrong(message)) => assert!(message.contains(part), "{text}: {message}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(value("widht"), Err(Failure::Unknown("widht".into())));
    }
}
