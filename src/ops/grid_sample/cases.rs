//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

/// A coordinate among `extent` pixels, from outside on the left to outside on the right. At least an eighth of a pixel away
/// from every pixel's line, where the gradient of the grid jumps and float32 could take the other side.
fn coordinate(place: f64, extent: usize) -> f64 {
    let extent = extent as f64;
    let place = (extent + 4.0) * place.rem_euclid(1.0) - 2.0;
    let away = place.floor() + place.rem_euclid(1.0).clamp(0.125, 0.875);
    (2.0 * away + 1.0) / extent - 1.0
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // The map and the grid's points: one grid for all and one for each; less than a warp of channels, and more than one,
    // two and four; less than a warp of points, more than several; a map of one pixel.
    for (map, points) in [
        ([2, 5, 7, 3], [2, 6, 4]),
        ([3, 4, 3, 40], [1, 5, 9]),
        ([2, 3, 4, 131], [2, 6, 7]),
        ([1, 6, 6, 5], [1, 9, 11]),
        ([2, 1, 1, 2], [1, 2, 3]),
        ([9, 3, 2, 4], [9, 2, 2]),
        ([2, 4, 8, 3], [1, 6, 10]),
    ] {
        let [grids, height, width] = points;
        let name = format!("grid_sample {}x{}x{}x{} at {grids}x{height}x{width}", map[0], map[1], map[2], map[3]);
        cases.push(Case::new(name, Storage::F32, move |probe| {
            let x = probe.float("x", map);
            let count = 2 * grids * height * width;
            let golden =
                |index: usize| (index / 2) as f64 * [0.618_034, 0.754_878][index % 2] + 0.1 * (index % 2) as f64;
            let mut values: Vec<f64> = (0..count).map(|index| coordinate(golden(index), map[2 - index % 2])).collect();
            // Every pixel's centre, and the first and last place outside: where all numbers are exact.
            if width == 10 {
                let centre = |index: usize| [index / 2 % 10, index / 20][index % 2] as f64 - 1.0;
                let exact = |index: usize| (2.0 * centre(index) + 1.0) / map[2 - index % 2] as f64 - 1.0;
                values = (0..count).map(exact).collect();
            }
            // Where nothing is: far away, infinitely far, nowhere.
            for (index, value) in [(1, 1e20), (6, f64::NEG_INFINITY), (9, f64::NAN)] {
                values[index] = value;
            }
            let grid = probe.float_of("grid", [grids, height, width, 2], values);
            let y = probe.tape.grid_sample(x, grid)?;
            // A place among up to seven pixels is rounded a few times at a size of seven: its weights are off by up to
            // 2^-21, and the four products are added.
            let place = f64::from(f32::EPSILON) * 4.0;
            let of = |terms: usize| {
                let f32 = place + Tolerance::sum(terms).f32;
                Tolerance { f32, bf16: f32 }
            };
            probe.check("y", y, of(4));
            let shared = map[0] / grids;
            probe.check_gradients(y, &[(x, of(height * width)), (grid, of(4 * map[3] * shared))])
        }));
    }
    cases
}
