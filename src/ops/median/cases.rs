//! What the kernel is checked on.

use crate::ops::case::{Case, Storage, Tolerance};

/// Views `[outer, axis, inner]`: one warp of threads, several, the most there are with several rows each.
const VIEWS: [[usize; 3]; 7] = [[1, 1, 1], [1, 2, 3], [3, 8, 1], [3, 33, 2], [2, 261, 1], [1, 512, 2], [1, 1301, 1]];

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for view in VIEWS {
        for (name, scale) in [("", 1.0), ("of equal elements, ", 0.0)] {
            cases.push(Case::new(format!("median {name}{view:?}"), Storage::F32, move |probe| {
                // Of every size, both signs, both zeros and infinities; every fourth column has what is not a number.
                let columns = view[0] * view[2];
                let number = |(index, x): (usize, f64)| {
                    let column = index / (view[1] * view[2]) * view[2] + index % view[2];
                    let row = index / view[2] % view[1];
                    match row % 19 {
                        4 if columns > 2 && column % 4 == 1 => f64::NAN,
                        7 => f64::INFINITY,
                        9 => -0.0,
                        11 => f64::NEG_INFINITY,
                        _ if scale == 0.0 => (x - 1.0).round(),
                        _ => x * f64::from(1 << (row % 13)),
                    }
                };
                let values = probe.normal(view.iter().product()).into_iter().enumerate().map(number).collect();
                let x = probe.float_of("x", view, values);
                let y = probe.tape.median(x, 1)?;
                probe.check("median", y, Tolerance::EXACT);
                Ok(())
            }));
        }
    }
    cases
}
