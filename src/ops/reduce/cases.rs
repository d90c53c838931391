//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

/// Views `[outer, axis, inner]`: rows and columns, of fewer elements than threads and of more; several blocks, the last of them
/// not full; axes that are cut into chunks, along rows and along columns.
const VIEWS: [[usize; 3]; 14] = [
    [1, 1, 3],
    [1, 5, 1],
    [37, 10, 1],
    [5, 100, 1],
    [3, 300, 1],
    [2, 1100, 1],
    [9, 7, 3],
    [2, 150, 5],
    [1, 23, 40],
    [3, 9, 17],
    [1, 70, 8],
    [2, 3, 300],
    [1, 17_001, 1],
    [2, 1030, 9],
];

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for view in VIEWS {
        cases.push(Case::new(format!("sum {view:?}"), Storage::F32, move |probe| {
            let x = probe.float("x", view);
            let (sum, mean) = (probe.tape.sum(x, &[1])?, probe.tape.mean(x, &[1])?);
            // The largest sum is about as large as the square root of the terms, to which roundings are relative that are
            // granted in parts of their number.
            let tolerance = Tolerance::sum(view[1]);
            probe.check("sum", sum, tolerance);
            probe.check("mean", mean, tolerance);
            probe.check_gradients(mean, &[(x, Tolerance::sum(1))])
        }));
        if view[1] > 10_000 {
            continue; // One block takes the axis.
        }
        cases.push(Case::new(format!("max {view:?}"), Storage::F32, move |probe| {
            // Of few different values, so that the largest is often there twice; some columns hold what is not a number,
            // once or several times, or nothing but minus infinity.
            let columns = view[0] * view[2];
            let number = |(index, x): (usize, f64)| {
                let column = index / (view[1] * view[2]) * view[2] + index % view[2];
                let row = index / view[2] % view[1];
                match column % 5 {
                    1 if columns > 2 && (row * 7 + column) % 11 == 3 => f64::NAN,
                    3 if columns > 4 => f64::NEG_INFINITY,
                    _ => (1.5 * x).round() / 2.0,
                }
            };
            let values = probe.normal(view.iter().product()).into_iter().enumerate().map(number).collect();
            let x = probe.float_of("x", view, values);
            let y = probe.tape.max(x, 1)?;
            probe.check("max", y, Tolerance::EXACT);
            probe.check_gradients(y, &[(x, Tolerance::EXACT)])
        }));
    }
    cases.push(Case::new("total and average [3, 5, 4, 7]", Storage::F32, |probe| {
        let x = probe.float("x", [3, 5, 4, 7]);
        let (total, average) = (probe.tape.total(x)?, probe.tape.average(x)?);
        probe.check("total", total, Tolerance::sum(420));
        probe.check("average", average, Tolerance::sum(420));
        let outside = probe.tape.sum(x, &[0, 3])?;
        probe.check("sum over two axes", outside, Tolerance::sum(21));
        Ok(())
    }));
    cases
}
