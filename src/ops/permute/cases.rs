//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};
use crate::tensor::Shape;

pub(in crate::ops) fn cases() -> Vec<Case> {
    let case = |extents: &[usize], axes: &'static [usize]| {
        let shape = Shape::new(extents);
        Case::new(format!("permute {shape} by {axes:?}"), Storage::F32, move |probe| {
            let x = probe.float("x", shape);
            let y = probe.tape.permute(x, axes)?;
            probe.check("y", y, Tolerance::EXACT);
            probe.check_gradients(y, &[(x, Tolerance::EXACT)])
        })
    };
    vec![
        // The innermost axis stays: by 16 bytes, by elements (rows, or what lies between them, no multiple of four).
        case(&[7, 5, 3, 24], &[2, 1, 0, 3]),
        case(&[2, 3, 4, 7], &[2, 1, 0, 3]),
        case(&[4, 70, 6], &[1, 0, 2]),
        // Two axes; both inside of a tile, several tiles with partial ones.
        case(&[5, 6], &[1, 0]),
        case(&[20, 29], &[1, 0]),
        case(&[29, 20], &[1, 0]),
        case(&[15, 32], &[1, 0]),
        case(&[32, 15], &[1, 0]),
        case(&[70, 45], &[1, 0]),
        // The innermost axis of x in every place of y, all others of some extent.
        case(&[3, 35, 2, 40], &[3, 0, 2, 1]),
        case(&[3, 35, 2, 40], &[0, 3, 2, 1]),
        case(&[35, 3, 2, 40], &[1, 2, 3, 0]),
        case(&[2, 3, 33, 5], &[1, 0, 3, 2]),
    ]
}
