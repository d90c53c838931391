//! Names within an entry: registers and labels, and the `{ }` scopes that inline assembly opens
//! (PTX ISA manual, 4.4 identifiers and 5.1.1 register state space).

use std::collections::{HashMap, HashSet};

/// The scopes of an entry's body. What an inner scope declares gets a name of its own (`%temp$2`), so that the names of
/// an [`Entry`](crate::ast::Entry) are unique.
pub(super) struct Scopes {
    all: Vec<Scope>,
    /// The scopes that are open, outermost first.
    open: Vec<usize>,
    /// The names that are given, of variables, registers (each of a range) and labels.
    given: HashSet<String>,
}

#[derive(Default)]
struct Scope {
    parent: Option<usize>,
    /// Written name to given name.
    registers: HashMap<String, String>,
    labels: HashMap<String, String>,
}

impl Scopes {
    /// `taken`: names that variables have already.
    pub(super) fn new(taken: impl Iterator<Item = String>) -> Scopes {
        Scopes { all: vec![Scope::default()], open: vec![0], given: taken.collect() }
    }

    pub(super) fn enter(&mut self) {
        let parent = Some(self.innermost());
        self.open.push(self.all.len());
        self.all.push(Scope { parent, ..Scope::default() });
    }

    /// Leaves the innermost scope; false where only the body itself is left.
    pub(super) fn leave(&mut self) -> bool {
        self.open.pop();
        !self.open.is_empty()
    }

    /// The innermost open scope, by number.
    pub(super) fn innermost(&self) -> usize {
        *self.open.last().expect("a body is a scope")
    }

    /// Declares `name`, or `name0` to `name{count - 1}`, in the innermost scope. Returns the given name or prefix;
    /// `None` where a register of this scope has it already.
    pub(super) fn declare_registers(&mut self, name: &str, count: u32) -> Option<String> {
        let members: Vec<String> = match count {
            0 => vec![String::new()],
            _ => (0..count).map(|index| index.to_string()).collect(),
        };
        let scope = self.innermost();
        let written: Vec<String> = members.iter().map(|member| format!("{name}{member}")).collect();
        if written.iter().any(|name| self.all[scope].registers.contains_key(name)) {
            return None;
        }
        // `%temp`, then `%temp$1`, `%temp$2`...; a range `%r<4>` becomes `%r$1_<4>`, so that `%r$1` and `1` stay apart.
        let behind = if count > 0 { "_" } else { "" };
        let mut given = name.to_string();
        let mut attempt = if scope == 0 { 0 } else { scope };
        loop {
            if attempt > 0 {
                given = format!("{name}${attempt}{behind}");
            }
            if members.iter().all(|member| !self.given.contains(&format!("{given}{member}"))) {
                break;
            }
            attempt += 1;
        }
        for (member, written) in members.iter().zip(written) {
            let full = format!("{given}{member}");
            self.given.insert(full.clone());
            self.all[scope].registers.insert(written, full);
        }
        Some(given)
    }

    /// The given name of the register that `name` means here.
    pub(super) fn register(&self, name: &str) -> Option<&str> {
        self.open.iter().rev().find_map(|scope| self.all[*scope].registers.get(name)).map(String::as_str)
    }

    /// Declares a label in the innermost scope. Returns its given name, `None` where this scope has it already.
    pub(super) fn declare_label(&mut self, name: &str) -> Option<String> {
        let scope = self.innermost();
        if self.all[scope].labels.contains_key(name) {
            return None;
        }
        let mut given = name.to_string();
        let mut attempt = scope;
        while self.given.contains(&given) {
            attempt += 1;
            given = format!("{name}${attempt}");
        }
        self.given.insert(given.clone());
        self.all[scope].labels.insert(name.to_string(), given.clone());
        Some(given)
    }

    /// The given name of the label that `name` means in scope number `scope`, once all are declared.
    pub(super) fn label(&self, name: &str, scope: usize) -> Option<&str> {
        let mut at = Some(scope);
        while let Some(scope) = at {
            if let Some(given) = self.all[scope].labels.get(name) {
                return Some(given);
            }
            at = self.all[scope].parent;
        }
        None
    }
}
