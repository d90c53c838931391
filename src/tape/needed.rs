//! Which nodes of a tape a plan keeps, and what state these write.

use super::{Home, StateId, Tape};

/// The nodes that lead to something that is kept or written to state.
pub(super) fn needed(tape: &Tape) -> Vec<usize> {
    let mut wanted = vec![false; tape.values.len()];
    for id in &tape.kept {
        wanted[tape.root(*id).index()] = true;
    }
    let mut alive = vec![false; tape.nodes.len()];
    for (index, node) in tape.nodes.iter().enumerate().rev() {
        alive[index] = node.outputs.iter().any(|id| tape.is_state(*id) || wanted[id.index()]);
        if alive[index] {
            for id in &node.inputs {
                wanted[tape.root(*id).index()] = true;
            }
        }
    }
    (0..tape.nodes.len()).filter(|index| alive[*index]).collect()
}

/// State that `nodes` write.
pub(super) fn written(tape: &Tape, nodes: &[usize]) -> Vec<StateId> {
    let outputs = nodes.iter().flat_map(|index| &tape.nodes[*index].outputs);
    let state = outputs.filter_map(|id| match tape.value(tape.root(*id)).home {
        Home::State(state) => Some(state),
        _ => None,
    });
    let mut written: Vec<StateId> = state.collect();
    written.sort_unstable();
    written.dedup();
    written
}
