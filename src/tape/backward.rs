//! Reverse-mode differentiation: gradients are recorded as further nodes.

use super::{Tape, ValueId};
use crate::error::Result;

impl Tape {
    /// Records the gradients of `wrt`, given the gradients (`upstream`) of some values that depend on it. The answer
    /// has one entry per value of `wrt`, `None` where nothing flows.
    ///
    /// # Errors
    /// If an operation in between has no gradient.
    pub fn backward(&mut self, seeds: &[(ValueId, ValueId)], wrt: &[ValueId]) -> Result<Vec<Option<ValueId>>> {
        let recorded = self.nodes.len();
        let mut depends = vec![false; self.values.len()];
        for id in wrt {
            depends[self.root(*id).index()] = true;
        }
        for node in &self.nodes {
            if node.inputs.iter().any(|id| self.passes(&depends, *id)) {
                // State that an operation updates on the way is no path for gradients.
                for id in node.outputs.iter().filter(|id| !self.is_state(**id)) {
                    depends[id.index()] = true;
                }
            }
        }

        let mut gradients: Vec<Option<ValueId>> = vec![None; self.values.len()];
        for (value, upstream) in seeds {
            self.accumulate(&mut gradients, *value, *upstream)?;
        }
        for index in (0..recorded).rev() {
            let node = self.nodes[index].clone();
            let wanted: Vec<bool> = node.inputs.iter().map(|id| self.passes(&depends, *id)).collect();
            let upstream: Vec<Option<ValueId>> = node.outputs.iter().map(|id| gradients[id.index()]).collect();
            if !wanted.contains(&true) || upstream.iter().all(Option::is_none) {
                continue;
            }
            self.lane = node.lane;
            let found = node.op.gradient(self, &node, &upstream, &wanted)?;
            for ((input, gradient), wanted) in node.inputs.iter().zip(found).zip(wanted) {
                if let (Some(gradient), true) = (gradient, wanted) {
                    self.accumulate(&mut gradients, *input, gradient)?;
                }
            }
        }
        wrt.iter()
            .map(|id| match gradients[self.root(*id).index()] {
                Some(gradient) => self.like(gradient, *id).map(Some),
                None => Ok(None),
            })
            .collect()
    }

    /// Whether a gradient that reaches `id` is wanted further up.
    fn passes(&self, depends: &[bool], id: ValueId) -> bool {
        !self.value(id).detached && depends[self.root(id).index()]
    }

    /// Adds `gradient` to what has flowed into `value` so far.
    fn accumulate(&mut self, gradients: &mut [Option<ValueId>], value: ValueId, gradient: ValueId) -> Result<()> {
        let root = self.root(value);
        let gradient = self.like(gradient, root)?;
        gradients[root.index()] = Some(match gradients[root.index()] {
            None => gradient,
            Some(before) => {
                // An addition hands one gradient on to both of its inputs: what is shared must stay as it is.
                let shared = gradients.iter().flatten().any(|other| self.root(*other) == self.root(gradient));
                if shared { self.add(before, gradient)? } else { self.add_up(before, gradient)? }
            }
        });
        Ok(())
    }

    /// `before + latest`, by the node that makes `latest` where it can.
    fn add_up(&mut self, before: ValueId, latest: ValueId) -> Result<ValueId> {
        let source = self.root(latest);
        let is_last = self.nodes.last().is_some_and(|node| node.outputs.first() == Some(&source));
        if is_last && self.fusion {
            let node = self.nodes.last_mut().expect("there is a last node");
            if let Some(op) = node.op.with_addend() {
                node.op = op;
                node.inputs.push(before);
                return Ok(latest);
            }
        }
        self.add(before, latest)
    }

    /// `id` with the shape of `like`.
    fn like(&mut self, id: ValueId, like: ValueId) -> Result<ValueId> {
        let shape = self.shape(like);
        if self.shape(id) == shape {
            return Ok(id);
        }
        self.view(id, shape)
    }
}
