//! What the kernels are checked on.

use super::Transposed;
use crate::ops::case::{Case, Storage, Tolerance};

const PLAIN: Transposed = Transposed { a: false, b: false };

pub(in crate::ops) fn cases() -> Vec<Case> {
    let turned = |a: bool, b: bool| Transposed { a, b };
    // (a, b, transposed, gradients); K is the sum's length.
    vec![
        // Runs of four everywhere, two tiles of rows; gradients with both factors turned, and a depth of 70.
        case(&[2, 70, 24], &[2, 24, 36], PLAIN, true),
        // Nothing in fours, the last tile of each axis partial; all four transpositions with the gradients.
        case(&[37, 13], &[19, 37], turned(true, true), true),
        case(&[2, 6, 67], &[2, 18, 67], turned(false, true), true),
        // A shared left factor, whose gradient is added up over the batch, cut within a product.
        case(&[10, 20], &[9, 20, 70], PLAIN, true),
        case(&[12, 20], &[3, 20, 70], turned(false, false), false),
        case(&[3, 21, 9], &[21, 11], turned(true, false), true),
        // Many summands: cut into chunks, the last of them shorter.
        case(&[12, 530], &[8, 530], turned(false, true), false),
        case(&[2, 530, 6], &[2, 530, 9], turned(true, false), false),
        // A product with a vector per group; its gradients are an outer product and a sum over 300 rows.
        case(&[2, 300, 40], &[2, 40, 1], PLAIN, true),
        case(&[2, 261, 13], &[2, 3, 13], turned(false, true), true),
        case(&[16, 260], &[16, 4], turned(true, false), false),
        case(&[530, 10], &[530, 2], turned(true, false), false),
        // The short side is that of rows.
        case(&[3, 50], &[50, 270], PLAIN, false),
        case(&[2, 4, 16], &[2, 264, 16], turned(false, true), false),
        case(&[2, 14, 2], &[3, 14], turned(true, true), true),
        // A row of weights for every pixel of a batch: one matrix.
        case(&[5, 33, 12], &[12, 2], PLAIN, true),
    ]
}

fn case(a: &[usize], b: &[usize], transposed: Transposed, gradients: bool) -> Case {
    let (a, b) = (crate::tensor::Shape::new(a), crate::tensor::Shape::new(b));
    let name = format!("matmul {a} {b} transposed {} {}", transposed.a, transposed.b);
    Case::new(name, Storage::F32, move |probe| {
        let (x, z) = (probe.float("a", a), probe.float("b", b));
        let y = probe.tape.matmul(x, z, transposed)?;
        let depth = |rank: usize| if transposed.a { rank - 2 } else { rank - 1 };
        probe.check("y", y, Tolerance::sum(a[depth(a.rank())]));
        if gradients {
            // A gradient's sums run over an extent of y, for a shared factor over the batch, too.
            let of_y = probe.tape.shape(y);
            let shared = |factor: crate::tensor::Shape| if factor.rank() < of_y.rank() { of_y[0] } else { 1 };
            let (rows, columns) = (of_y[of_y.rank() - 2], of_y.channels());
            let terms = [columns * shared(a), rows * shared(b)];
            probe.check_gradients(y, &[(x, Tolerance::sum(terms[0])), (z, Tolerance::sum(terms[1]))])?;
        }
        Ok(())
    })
}
