//! How two operands lie over one shape: NumPy's rule of broadcasting. Shapes are aligned at the last axis; where one extent
//! is 1, or missing, that operand is repeated.

use crate::tensor::Shape;

/// An output seen as four axes, the outer ones of extent 1 if there are fewer, and how far apart each operand's elements are
/// along each: 0 where it is repeated. Neighbouring axes along which both go on alike are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Extents of the output, outermost first.
    pub extents: [usize; 4],
    /// Elements between neighbours along each axis, of either operand.
    pub strides: [[usize; 4]; 2],
}

/// The shape that two operands make together; nothing if they do not fit.
pub(super) fn together(a: Shape, b: Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let (a, b) = (aligned(a), aligned(b));
    let mut extents = [1; 4];
    for (axis, extent) in extents.iter_mut().enumerate() {
        *extent = match (a[axis], b[axis]) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => return None,
        };
    }
    Some(Shape::new(&extents[4 - rank..]))
}

/// The axes of `whole` along which an operand of shape `part` is repeated.
pub(super) fn repeated(part: Shape, whole: Shape) -> Vec<usize> {
    let (part, extents, missing) = (aligned(part), aligned(whole), 4 - whole.rank());
    (missing..4).filter(|axis| part[*axis] != extents[*axis]).map(|axis| axis - missing).collect()
}

fn aligned(shape: Shape) -> [usize; 4] {
    let mut extents = [1; 4];
    extents[4 - shape.rank()..].copy_from_slice(shape.extents());
    extents
}

impl Layout {
    /// The layout of operands of shapes `a` and `b` over `whole`, which they make together.
    pub fn new(a: Shape, b: Shape, whole: Shape) -> Self {
        let whole = aligned(whole);
        let given = [a, b].map(aligned);
        let mut layout = Self { extents: [1; 4], strides: [[0; 4]; 2] };
        let mut counts = [1; 2];
        // From the innermost axis on; `slot` is the axis that is being filled.
        let mut slot = 4;
        for axis in (0..4).rev().filter(|axis| whole[*axis] > 1) {
            let repeats = given.map(|extents| extents[axis] == 1);
            let goes_on = slot < 4 && (0..2).all(|operand| repeats[operand] == (layout.strides[operand][slot] == 0));
            if goes_on {
                layout.extents[slot] *= whole[axis];
            } else {
                slot -= 1;
                layout.extents[slot] = whole[axis];
                for operand in 0..2 {
                    layout.strides[operand][slot] = if repeats[operand] { 0 } else { counts[operand] };
                }
            }
            for operand in 0..2 {
                counts[operand] *= given[operand][axis];
            }
        }
        layout
    }

    /// Where in each operand a row of the innermost axis starts.
    #[inline(always)]
    pub fn row(&self, row: usize) -> [usize; 2] {
        let mut rest = row;
        let mut starts = [0; 2];
        for axis in (0..3).rev() {
            let coordinate = rest % self.extents[axis];
            rest /= self.extents[axis];
            for (start, strides) in starts.iter_mut().zip(&self.strides) {
                *start += coordinate * strides[axis];
            }
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_aligned_at_the_last_axis() {
        let of = |a: &[usize], b: &[usize]| together(Shape::new(a), Shape::new(b));
        assert_eq!(of(&[5, 3], &[3]), Some(Shape::from([5, 3])));
        assert_eq!(of(&[], &[1, 1]), Some(Shape::from([1, 1])));
        assert_eq!(of(&[2, 1, 4, 1], &[3, 1, 5]), Some(Shape::from([2, 3, 4, 5])));
        assert_eq!(of(&[5, 3], &[5]), None);
        assert_eq!(repeated(Shape::from([3, 1, 5]), Shape::from([2, 3, 4, 5])), [0, 2]);
        assert_eq!(repeated(Shape::from([]), Shape::from([2, 3])), [0, 1]);
        assert_eq!(repeated(Shape::from([1]), Shape::from([1, 1])), [0usize; 0]);
    }

    #[test]
    fn axes_are_joined_where_both_go_on_alike() {
        let of = |a: &[usize], b: &[usize]| {
            let (a, b) = (Shape::new(a), Shape::new(b));
            Layout::new(a, b, together(a, b).unwrap())
        };
        let map = [2, 3, 4, 5];
        assert_eq!(of(&map, &map), Layout { extents: [1, 1, 1, 120], strides: [[0, 0, 0, 1]; 2] });
        let row = of(&map, &[5]);
        assert_eq!((row.extents, row.strides), ([1, 1, 24, 5], [[0, 0, 5, 1], [0, 0, 0, 1]]));
        let scalar = of(&[1], &map);
        assert_eq!((scalar.extents, scalar.strides), ([1, 1, 1, 120], [[0; 4], [0, 0, 0, 1]]));
        let gate = of(&map, &[2, 1, 1, 5]);
        assert_eq!((gate.extents, gate.strides), ([1, 2, 12, 5], [[0, 60, 5, 1], [0, 5, 0, 1]]));
        let outer = of(&[2, 1, 4, 1], &[3, 1, 5]);
        assert_eq!((outer.extents, outer.strides), ([2, 3, 4, 5], [[4, 0, 1, 0], [0, 5, 0, 1]]));
        assert_eq!(of(&[1], &[1, 1]).extents, [1; 4]);
    }
}
