//! What the terms of a step are worth at its place in the net.

use std::ops::Range;

use super::{Expansion, LARGEST};
use crate::error::Result;
use crate::nn::family::expression::{Expression, Failure, Value};
use crate::nn::family::read::BUILT_IN;
use crate::nn::family::step::{Piece, Template, Term};

impl Expansion<'_> {
    /// The module path of a layer called `name` here.
    pub(super) fn path(&self, name: &Template) -> Result<String> {
        let text = self.text(name)?;
        if text.is_empty() {
            return Err(self.error(&name.span, "a name must not be empty", "no name"));
        }
        Ok(format!("{}{text}", self.prefix))
    }

    pub(super) fn text(&self, template: &Template) -> Result<String> {
        let mut text = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Hole(hole) => text.push_str(&self.evaluate(hole, &template.span)?.to_string()),
            }
        }
        Ok(text)
    }

    pub(super) fn size(&self, term: &Term) -> Result<usize> {
        match self.value(term)? {
            Value::Integer(value) => match usize::try_from(value) {
                Ok(size) if size <= LARGEST => Ok(size),
                _ => Err(self.error(&term.span, format!("{value} is not from 0 to {LARGEST}"), "out of range")),
            },
            other => {
                let message = format!("expected a whole number, found {}: {other}", other.kind());
                Err(self.error(&term.span, message, "not a whole number"))
            }
        }
    }

    pub(super) fn size_or(&self, term: &Option<Term>, default: usize) -> Result<usize> {
        term.as_ref().map_or(Ok(default), |term| self.size(term))
    }

    pub(super) fn truth_or(&self, term: &Option<Term>, default: bool) -> Result<bool> {
        let Some(term) = term else { return Ok(default) };
        match self.value(term)? {
            Value::Boolean(value) => Ok(value),
            other => {
                let message = format!("expected true or false, found {}: {other}", other.kind());
                Err(self.error(&term.span, message, "not true or false"))
            }
        }
    }

    pub(super) fn value(&self, term: &Term) -> Result<Value> {
        self.evaluate(&term.expression, &term.span)
    }

    fn evaluate(&self, expression: &Expression, span: &Range<usize>) -> Result<Value> {
        let lookup = |name: &str| match name {
            "channels" => Some(Value::Integer(self.nodes[self.current].shape[2] as i64)),
            _ => self.names.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
        };
        expression.evaluate(&lookup).map_err(|failure| match failure {
            Failure::Wrong(message) => self.error(span, message, "in this expression"),
            Failure::Unknown(name) => {
                let known = self.names.iter().map(|(known, _)| known.as_str()).chain(BUILT_IN);
                let mut known: Vec<&str> = known.collect();
                known.sort_unstable();
                known.dedup();
                self.error(span, format!("nothing is called `{name}` here"), "in this expression").suggest(&name, known)
            }
        })
    }
}
