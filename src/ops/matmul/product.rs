//! What a product is once shapes and transpositions are known: extents, and strides through three tensors.

use std::mem::swap;

use super::Transposed;
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// How one walks through the matrices of a factor, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strides {
    /// From one matrix of a batch to the next; 0 where all products share one matrix.
    pub batch: usize,
    /// From one row (of the left factor) or column (of the right one) of the result to the next.
    pub outer: usize,
    /// From one summand to the next.
    pub inner: usize,
}

/// `groups` results `[rows, columns]`, each the sum of `added` products over `depth` summands; `groups` or `added` is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub groups: usize,
    pub added: usize,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub a: Strides,
    pub b: Strides,
    /// Strides of a result along its rows and columns; results follow one another.
    pub y: [usize; 2],
}

impl Product {
    /// The product of `a` and `b`; with `summed` those of a batch are added up.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn new(a: Shape, b: Shape, transposed: Transposed, summed: bool) -> Result<Self> {
        let refused = || {
            let turned = |is: bool| if is { ", transposed" } else { "" };
            let (a, b) = (format!("{a}{}", turned(transposed.a)), format!("{b}{}", turned(transposed.b)));
            Error::request(format!("cannot multiply {a} and {b}"))
                .help("expected [M, K] and [K, N], or batches [G, M, K] and [G, K, N]; one of the two may be shared")
        };
        let (batches, outers, inners) = match (Factor::of(a, transposed.a), Factor::of(b, !transposed.b)) {
            (Some(a), Some(b)) => ([a.batch, b.batch], [a.outer, b.outer], [a.inner, b.inner]),
            _ => return Err(refused()),
        };
        let batch = batches[0].or(batches[1]).unwrap_or(1);
        let fits = inners[0].0 == inners[1].0
            && batches.iter().flatten().all(|one| *one == batch)
            && a.count() > 0
            && b.count() > 0;
        let [(rows, a_outer), (columns, b_outer)] = outers;
        let (groups, added) = if summed { (1, batch) } else { (batch, 1) };
        let small = groups.checked_mul(rows).and_then(|all| all.checked_mul(columns));
        if !fits || small.is_none_or(|count| u32::try_from(count).is_err()) {
            return Err(refused());
        }
        let strides = |shape: Shape, batch: Option<usize>, outer: usize, inner: usize| Strides {
            batch: batch.map_or(0, |batch| shape.count() / batch),
            outer,
            inner,
        };
        Ok(Self {
            groups,
            added,
            rows,
            columns,
            depth: inners[0].0,
            a: strides(a, batches[0], a_outer, inners[0].1),
            b: strides(b, batches[1], b_outer, inners[1].1),
            y: [columns, 1],
        })
    }

    /// Elements of all results.
    pub fn count(&self) -> usize {
        self.groups * self.rows * self.columns
    }

    /// The same results as products of the transposed factors in the other order.
    pub fn turned(mut self) -> Self {
        swap(&mut self.a, &mut self.b);
        swap(&mut self.rows, &mut self.columns);
        self.y.reverse();
        self
    }
}

/// One factor: how many matrices, and (extent, stride) along the result and along the sum.
struct Factor {
    batch: Option<usize>,
    outer: (usize, usize),
    inner: (usize, usize),
}

impl Factor {
    /// The last two extents are (outer, inner), or the other way round if `inner_first`.
    fn of(shape: Shape, inner_first: bool) -> Option<Self> {
        let (batch, [first, second]) = match *shape.extents() {
            [first, second] => (None, [first, second]),
            [batch, first, second] => (Some(batch), [first, second]),
            _ => return None,
        };
        let (first, second) = ((first, second), (second, 1));
        let (outer, inner) = if inner_first { (second, first) } else { (first, second) };
        Some(Self { batch, outer, inner })
    }
}
