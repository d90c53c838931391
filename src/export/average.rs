//! Adaptive average pooling (`torch.nn.AdaptiveAvgPool2d`) along one axis: which inputs each output is the mean of.

use std::ops::Range;

/// The inputs of output `o`: `floor(o size / out) .. ceil((o + 1) size / out)`.
pub(super) fn cells(size: usize, out: usize) -> Vec<Range<usize>> {
    (0..out).map(|o| o * size / out..((o + 1) * size).div_ceil(out)).collect()
}

/// Length of all cells, and the step from one to the next, where these are the same everywhere.
pub(super) fn regular(cells: &[Range<usize>]) -> Option<(usize, usize)> {
    let kernel = cells[0].len();
    let step = cells.get(1).map_or(1, |second| second.start);
    let holds = |(o, cell): (usize, &Range<usize>)| cell.len() == kernel && cell.start == o * step;
    (step > 0 && cells.iter().enumerate().all(holds)).then_some((kernel, step))
}

/// The matrix `[out, size]` that takes the means of a column of `size` numbers.
pub(super) fn means(cells: &[Range<usize>], size: usize) -> Vec<f32> {
    cells.iter().flat_map(|cell| (0..size).map(|index| share(cell, index))).collect()
}

/// The matrix `[size, out]` that takes the means of a row of `size` numbers.
pub(super) fn means_of_rows(cells: &[Range<usize>], size: usize) -> Vec<f32> {
    (0..size).flat_map(|index| cells.iter().map(move |cell| share(cell, index))).collect()
}

fn share(cell: &Range<usize>, index: usize) -> f32 {
    if cell.contains(&index) { 1.0 / cell.len() as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch's documentation of the cells, and what an average pool can say of them.
    #[test]
    fn cells_are_pytorchs_and_regular_ones_are_found() {
        assert_eq!(cells(7, 5), [0..2, 1..3, 2..5, 4..6, 5..7]);
        assert_eq!(regular(&cells(7, 5)), None);
        assert_eq!(regular(&cells(8, 4)), Some((2, 2)));
        assert_eq!(regular(&cells(9, 1)), Some((9, 1)));
        assert_eq!(regular(&cells(3, 2)), Some((2, 1)), "overlapping, yet regular");
        assert_eq!(regular(&cells(1, 4)), None, "the same pixel four times");
        for (size, out) in (1..12).flat_map(|size| (1..12).map(move |out| (size, out))) {
            let cells = cells(size, out);
            assert_eq!(cells.last().unwrap().end, size);
            if let Some((kernel, step)) = regular(&cells) {
                assert_eq!((size - kernel) / step + 1, out, "{size} to {out}");
            }
        }
    }

    #[test]
    fn matrices_take_means() {
        let cells = cells(3, 2);
        assert_eq!(means(&cells, 3), [0.5, 0.5, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(means_of_rows(&cells, 3), [0.5, 0.0, 0.5, 0.5, 0.0, 0.5]);
    }
}
