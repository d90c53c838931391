//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let case = |rows: usize, classes: usize| {
        Case::new(format!("one_hot {rows} of {classes}"), Storage::F32, move |probe| {
            // Every class and some that are none.
            let labels = (0..rows).map(|row| (row * 5 % (classes + 2)) as u32).collect();
            let labels = probe.integers("labels", [rows], labels);
            let y = probe.tape.one_hot(labels, classes)?;
            probe.check("y", y, Tolerance::EXACT);
            Ok(())
        })
    };
    vec![case(50, 7), case(3, 300), case(4, 1)]
}
