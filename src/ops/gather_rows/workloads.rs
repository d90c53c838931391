//! Memory banks as methods record them.

use crate::ops::case::{Case, Storage};
use crate::ops::workloads::workload;

pub(in crate::ops) fn workloads(batch: usize) -> Vec<Case> {
    vec![workload("gather_rows, scatter_rows: a bank of 500 rows of 128", Storage::F32, move |probe| {
        let table = probe.float("table", [500, 128]);
        let which = probe.integers("which", [batch, 65], (0..65 * batch).map(|at| (at * 31 % 500) as u32).collect());
        let own = probe.integers("own", [batch], (0..batch).map(|at| (at * 61 % 500) as u32).collect());
        let rows = probe.float("rows", [batch, 128]);
        let read = probe.tape.gather_rows(table, which)?;
        probe.tape.keep(read);
        probe.tape.scatter_rows(own, rows, table)
    })]
}
