//! One pass over the output, row by row of the innermost axis.

use std::ops::Range;

use super::Function;
use super::layout::Layout;
use crate::ops::parallel::{Chunks, Shared};
use crate::simd::{Element, Kernel, Simd, dispatch};

/// `y = function(a, b)` over `count` elements.
///
/// # Safety
/// The operands hold what `layout` reaches and `y` its extents' product; `a` may be `y` where it is not repeated.
pub(super) unsafe fn run<T: Element>(function: Function, layout: &Layout, a: *const T, b: *const T, y: *mut T) {
    let half = T::from_f64(0.5);
    let one = |yes: bool| if yes { T::ONE } else { T::ZERO };
    // SAFETY: as this function's own contract.
    unsafe {
        match function {
            Function::First => all(layout, a, b, y, |a, _| a),
            Function::Add => all(layout, a, b, y, |a, b| a + b),
            Function::Subtract => all(layout, a, b, y, |a, b| a - b),
            Function::Multiply => all(layout, a, b, y, |a, b| a * b),
            Function::Divide => all(layout, a, b, y, |a, b| a / b),
            // What is not a number is the larger one.
            #[allow(clippy::eq_op)]
            Function::Maximum => all(layout, a, b, y, |a: T, b| if a > b || a != a { a } else { b }),
            Function::Share => all(layout, a, b, y, move |a, b| if a == b { half } else { one(a > b) }),
            Function::Greater => all(layout, a, b, y, move |a, b| one(a > b)),
            Function::LessOrEqual => all(layout, a, b, y, move |a, b| one(a <= b)),
        }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn all<T: Element>(
    layout: &Layout,
    a: *const T,
    b: *const T,
    y: *mut T,
    function: impl Fn(T, T) -> T + Copy + Send + Sync,
) {
    let (a, b, y) = (Shared::reading(a), Shared::reading(b), Shared::new(y));
    Chunks::flat(layout.extents.iter().product()).for_each(|_, range| {
        dispatch(Piece { layout, a, b, y, function, range });
    });
}

/// Some elements of the output, in order.
struct Piece<'a, T, F> {
    layout: &'a Layout,
    a: Shared<T>,
    b: Shared<T>,
    y: Shared<T>,
    function: F,
    range: Range<usize>,
}

impl<T: Element, F: Fn(T, T) -> T + Copy> Kernel<T> for Piece<'_, T, F> {
    type Output = ();

    /// Plain loops, which the compiler turns into vectors of the instruction set that this is inlined into.
    #[inline(always)]
    fn run<S: Simd<Element = T>>(self) {
        let Self { layout, function, range, .. } = self;
        let width = layout.extents[3];
        let mut index = range.start;
        while index < range.end {
            let (row, column) = (index / width, index % width);
            let count = (width - column).min(range.end - index);
            let steps = layout.strides.map(|strides| strides[3]);
            let [from_a, from_b] = layout.row(row);
            // SAFETY: `count` elements of a row; threads have ranges of their own. Each element is read before it is written.
            unsafe {
                let (a, b) = (self.a.at(from_a + column * steps[0]), self.b.at(from_b + column * steps[1]));
                let y = self.y.at(index);
                match steps {
                    [1, 1] if a == y => (0..count).for_each(|i| *y.add(i) = function(*y.add(i), *b.add(i))),
                    [1, 1] => (0..count).for_each(|i| *y.add(i) = function(*a.add(i), *b.add(i))),
                    [1, _] => {
                        let b = *b;
                        (0..count).for_each(|i| *y.add(i) = function(*a.add(i), b));
                    }
                    [_, 1] => {
                        let a = *a;
                        (0..count).for_each(|i| *y.add(i) = function(a, *b.add(i)));
                    }
                    _ => std::slice::from_raw_parts_mut(y, count).fill(function(*a, *b)),
                }
            }
            index += count;
        }
    }
}
