//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};
use crate::tensor::Shape;

pub(in crate::ops) fn cases() -> Vec<Case> {
    let gather = |rows: usize, width: usize, which: &[usize]| {
        let which = Shape::new(which);
        Case::new(format!("gather_rows {which} of [{rows}, {width}]"), Storage::F32, move |probe| {
            // Rows again and again, the first and the last among them, one never, and numbers that are no row.
            let index = |at: usize| ((at * at + 3 * at) % (rows + 2)) as u32;
            let indices = (0..which.count()).map(|at| if index(at) == 1 { 0 } else { index(at) }).collect();
            let (table, indices) = (probe.float("table", [rows, width]), probe.integers("indices", which, indices));
            let y = probe.tape.gather_rows(table, indices)?;
            probe.check("y", y, Tolerance::EXACT);
            Ok(())
        })
    };
    let scatter = |rows: usize, width: usize, which: &'static [u32]| {
        Case::new(format!("scatter_rows {which:?} into [{rows}, {width}]"), Storage::F32, move |probe| {
            let indices = probe.integers("indices", [which.len()], which.to_vec());
            let written = probe.float("rows", [which.len(), width]);
            let table = probe.float("table", [rows, width]);
            probe.updates_within(Tolerance::EXACT);
            probe.tape.scatter_rows(indices, written, table)
        })
    };
    vec![
        gather(5, 12, &[150]),
        gather(6, 131, &[3, 4]),
        gather(3, 7, &[2, 65, 2]),
        gather(2, 260, &[9]),
        scatter(6, 131, &[1, 4, 1, 6, 0, 4, 9]),
        scatter(3, 5, &[2, 2, 2, 1]),
    ]
}
