//! A tensor seen as `[outer, axis, inner]`, of which `axis` is to go.

use std::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Extents: what is outside of the axes that go, they themselves as one, what is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct View {
    /// Product of the extents before.
    pub outer: usize,
    /// Product of the extents that go.
    pub axis: usize,
    /// Product of the extents behind.
    pub inner: usize,
}

impl View {
    /// `shape` with the neighbouring axes `gone` as one.
    pub fn new(shape: Shape, gone: RangeInclusive<usize>) -> Self {
        let product = |extents: &[usize]| extents.iter().product();
        let (first, last, extents) = (*gone.start(), *gone.end(), shape.extents());
        Self { outer: product(&extents[..first]), axis: product(&extents[gone]), inner: product(&extents[last + 1..]) }
    }

    /// What is left: one element for each `outer` and `inner`.
    pub fn columns(self) -> usize {
        self.outer * self.inner
    }
}

/// `shape` with extent 1 in place of the axes `gone`.
pub(in crate::ops) fn without(shape: Shape, gone: RangeInclusive<usize>) -> Shape {
    let mut extents = shape.extents().to_vec();
    extents[gone].fill(1);
    Shape::new(&extents)
}

/// Refuses an axis that `shape` does not have.
///
/// # Errors
/// If `operation` cannot reduce `axis`.
pub(in crate::ops) fn check_axis(operation: &str, shape: Shape, axis: usize) -> Result<()> {
    match axis < shape.rank() {
        true => Ok(()),
        false => Err(Error::request(format!("{operation} over axis {axis} of a value of shape {shape}"))
            .help("axes are counted from 0, the outermost")),
    }
}

/// `axes` of `shape` as runs of neighbours, the innermost first. Axes of extent 1 neither count nor part others.
pub(super) fn runs(shape: Shape, axes: &[usize]) -> Vec<RangeInclusive<usize>> {
    let mut runs: Vec<RangeInclusive<usize>> = Vec::new();
    let mut goes_on = false;
    for axis in (0..shape.rank()).rev().filter(|axis| shape[*axis] > 1) {
        let is_gone = axes.contains(&axis);
        match runs.last_mut() {
            Some(run) if is_gone && goes_on => *run = axis..=*run.end(),
            _ if is_gone => runs.push(axis..=axis),
            _ => {}
        }
        goes_on = is_gone;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_axes_are_one() {
        let shape = Shape::from([2, 3, 4, 5]);
        assert_eq!(runs(shape, &[1, 2]), [1..=2]);
        assert_eq!(runs(shape, &[3, 0]), [3..=3, 0..=0]);
        assert_eq!(runs(Shape::from([2, 1, 4, 5]), &[0, 2]), [0..=2]);
        assert_eq!(runs(Shape::from([2, 1, 4, 1]), &[1, 3]), []);
        assert_eq!(View::new(shape, 1..=2), View { outer: 2, axis: 12, inner: 5 });
        assert_eq!(without(shape, 1..=2), Shape::from([2, 1, 1, 5]));
    }
}
