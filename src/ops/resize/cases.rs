//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // Whole ratios and odd ones, up along one axis and down along the other, from and to a single pixel.
    let sizes = [
        ([4, 4], [8, 8], 8),
        ([5, 7], [9, 3], 3),
        ([6, 5], [4, 10], 4),
        ([1, 3], [4, 1], 1),
        ([7, 9], [3, 2], 5),
        ([3, 4], [10, 13], 4),
        ([2, 3], [7, 9], 3),
        ([9, 11], [4, 5], 8),
    ];
    for ([height, width], [rows, columns], channels) in sizes {
        for bilinear in [false, true] {
            let mode = if bilinear { "bilinear" } else { "nearest" };
            let name = format!("resize_{mode} {height}x{width}x{channels} to {rows}x{columns}");
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let x = probe.float("x", [3, height, width, channels]);
                let y = match bilinear {
                    true => probe.tape.resize_bilinear(x, rows, columns)?,
                    false => probe.tape.resize_nearest(x, rows, columns)?,
                };
                // Copies; or four products of rounded weights. A pixel is read by four times the ratio of the areas.
                let readers = 4 * (rows * columns).div_ceil(height * width);
                probe.check("y", y, if bilinear { Tolerance::sum(4) } else { Tolerance::EXACT });
                probe.check_gradients(y, &[(x, Tolerance::sum(readers))])
            }));
        }
    }
    cases
}
