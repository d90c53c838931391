//! Products against a direct sum in f64, and their gradients.

use super::*;
use crate::ops::testing::{assert_close, normal, on_threads};
use crate::simd::Element;
use crate::tape::StateLayout;
use crate::tape::check::check_gradients;
use crate::tensor::DType;

/// The shapes of both factors of `groups` products: `shared` says which factor is one matrix.
fn shapes(groups: usize, shared: [bool; 2], [m, n, k]: [usize; 3], transposed: Transposed) -> [Shape; 2] {
    let of = |shared: bool, swap: bool, [first, second]: [usize; 2]| {
        let [first, second] = if swap { [second, first] } else { [first, second] };
        if shared { Shape::from([first, second]) } else { Shape::from([groups, first, second]) }
    };
    [of(shared[0], transposed.a, [m, k]), of(shared[1], transposed.b, [k, n])]
}

const ALL: [Transposed; 4] = [
    Transposed { a: false, b: false },
    Transposed { a: true, b: false },
    Transposed { a: false, b: true },
    Transposed { a: true, b: true },
];

/// `y[g, m, n]`, added up over `g` with `summed`, from what the shapes mean.
fn direct(product: &Product, a: &[f64], b: &[f64]) -> Vec<f64> {
    let Product { groups, added, rows, columns, depth, a: at, b: bt, .. } = *product;
    let mut y = Vec::new();
    for group in 0..groups {
        for row in 0..rows {
            for column in 0..columns {
                let mut sum = 0.0;
                for batch in group..group + added {
                    for k in 0..depth {
                        sum += a[batch * at.batch + row * at.outer + k * at.inner]
                            * b[batch * bt.batch + column * bt.outer + k * bt.inner];
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}

fn check<T: Element>(product: &Product, a: &[f64], b: &[f64], tolerance: f64) {
    let narrow = |values: &[f64]| values.iter().map(|x| T::from_f64(*x)).collect::<Vec<T>>();
    let (a_narrow, b_narrow) = (narrow(a), narrow(b));
    let widen = |values: &[T]| values.iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
    let expected = direct(product, &widen(&a_narrow), &widen(&b_narrow));
    for level in Level::ALL {
        let [one, three] = [1, 3].map(|threads| {
            let mut y = vec![T::from_f64(f64::NAN); product.count()];
            let mut partials = vec![T::from_f64(f64::NAN); cpu::workspace_len(product)];
            on_threads(threads, || cpu::multiply(level, product, &a_narrow, &b_narrow, &mut y, &mut partials));
            y
        });
        assert!(one == three, "{product:?} on {level}: the same bits on any number of threads");
        assert_close(&format!("{product:?} on {level}"), &one, &expected, tolerance);
    }
}

#[test]
fn products_are_the_direct_sums() {
    // (groups, rows, columns, depth): nothing whole; one column, one row; many summands, which are cut; several blocks.
    let sizes = [
        (1, [1, 1, 1]),
        (3, [7, 5, 9]),
        (2, [13, 37, 21]),
        (2, [101, 1, 128]),
        (2, [1, 70, 40]),
        (1, [20, 18, 5000]),
        (1, [3, 2, 2500]),
        (1, [100, 130, 30]),
        (4, [33, 1, 300]),
        (1, [2, 4500, 17]),
    ];
    for (groups, extents) in sizes {
        for transposed in ALL {
            for shared in [[false, false], [true, false], [false, true]] {
                for summed in [false, true] {
                    let [a, b] = shapes(groups, shared, extents, transposed);
                    let product = Product::new(a, b, transposed, summed).unwrap();
                    let (a, b) = (normal(1, 1, a.count(), 0.0), normal(1, 2, b.count(), 0.0));
                    // Each of the `depth` additions may be off by half a unit in the last place of the partial sum; of random
                    // signs about the square root of the number remains. The largest result is at least of the sum's
                    // standard deviation.
                    let terms = (extents[2] * product.added) as f64;
                    let tolerance = |unit: f64| 8.0 * unit * terms.sqrt().max(4.0);
                    check::<f32>(&product, &a, &b, tolerance(f64::from(f32::EPSILON)));
                    check::<f64>(&product, &a, &b, tolerance(f64::EPSILON));
                }
            }
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (index, transposed) in ALL.into_iter().enumerate() {
        for (groups, shared) in [(1, [true, true]), (3, [false, false]), (3, [true, false]), (3, [false, true])] {
            let inputs = shapes(groups, shared, [4, 3, 5], transposed);
            check_gradients(50 + index as u64, &inputs, |tape, _, x| tape.matmul(x[0], x[1], transposed));
        }
    }
    // A Gram matrix: both factors are one value, whose gradients meet.
    let turned = Transposed { a: false, b: true };
    check_gradients(60, &[Shape::from([2, 4, 6])], |tape, _, x| tape.matmul(x[0], x[0], turned));
    // The gradient of a gradient passes through sums over the batch.
    check_gradients(61, &[Shape::from([4, 5]), Shape::from([3, 4, 2])], |tape, _, x| {
        tape.product(x[1], x[1], Transposed { a: false, b: true }, true).and_then(|sum| {
            let turned = tape.matmul(x[0], sum, Transposed { a: true, b: false })?;
            tape.matmul(turned, x[0], Transposed::default())
        })
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut layout = StateLayout::new();
    let mut tape = Tape::new(DType::F32);
    let mut value = |name: &str, dtype: DType, shape: Shape| {
        let id = layout.declare(name, dtype, shape);
        tape.state(&layout, id)
    };
    let a = value("a", DType::F32, Shape::from([2, 3, 4]));
    let b = value("b", DType::F32, Shape::from([3, 4, 5]));
    let c = value("c", DType::F32, Shape::from([4, 5]));
    let half = value("half", DType::BF16, Shape::from([4, 5]));
    let plain = Transposed::default();
    let message = tape.matmul(a, b, plain).unwrap_err().to_string();
    assert!(message.contains("[2, 3, 4]") && message.contains("[3, 4, 5]"), "{message}");
    assert!(tape.matmul(a, c, Transposed { a: true, b: false }).unwrap_err().to_string().contains("transposed"));
    assert!(tape.matmul(a, half, plain).unwrap_err().to_string().contains("bf16"));
    let y = tape.matmul(a, c, plain).unwrap();
    assert_eq!(tape.shape(y), Shape::from([2, 3, 5]));
}
