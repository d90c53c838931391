//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Fewer pixels than a warp, several passes of a block over one map, several blocks of points.
    for (maps, height, width) in [(1, 3, 5), (3, 17, 19), (2, 1, 1), (5, 9, 12)] {
        cases.push(Case::new(format!("affine_grid {maps}x{height}x{width}"), Storage::F32, move |probe| {
            let theta = probe.float("theta", [maps, 2, 3]);
            let grid = probe.tape.affine_grid(theta, height, width)?;
            // Three terms of about one, the coordinates rounded before.
            probe.check("grid", grid, Tolerance::sum(3));
            probe.check_gradients(grid, &[(theta, Tolerance::sum(height * width))])
        }));
    }
    cases
}
