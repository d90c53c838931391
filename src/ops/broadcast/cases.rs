//! What the kernels are checked on.

use super::Function;
use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::tape::ValueId;
use crate::tensor::Shape;

/// One rounding.
const ROUNDING: Tolerance = Tolerance { f32: 1.0 / (1u64 << 24) as f64, bf16: 1.0 / (1u64 << 24) as f64 };

/// Whole packs in one row, with a rest and without; rows and columns, of packs and not; all four axes.
const SHAPES: [(&[usize], &[usize]); 13] = [
    (&[1028], &[1028]),
    (&[1031], &[1031]),
    (&[2], &[2]),
    (&[1030], &[]),
    (&[], &[261]),
    (&[43, 24], &[24]),
    (&[43, 24], &[43, 1]),
    (&[1, 12], &[23, 1]),
    (&[37, 7], &[7]),
    (&[1, 7], &[37, 1]),
    (&[3, 1, 5, 8], &[1, 4, 5, 1]),
    (&[3, 4, 1, 7], &[1, 4, 5, 1]),
    (&[3, 1, 5, 1], &[4, 1, 7]),
];

/// Of few different values, so that many are equal, with what is not a number among them where that is compared.
fn operand(probe: &mut Probe<'_>, shape: Shape, function: Function) -> ValueId {
    let compares = matches!(function, Function::Maximum | Function::Share | Function::Greater | Function::LessOrEqual);
    let number = |(index, x): (usize, f64)| match compares {
        true if shape.count() > 20 && index % 17 == 5 => f64::NAN,
        true => (2.0 * x).round() / 2.0,
        // Away from zero, for quotients.
        false => x + x.signum(),
    };
    let values = probe.normal(shape.count()).into_iter().enumerate().map(number).collect();
    probe.float_of("operand", shape, values)
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    use Function::{Add, Divide, First, Greater, LessOrEqual, Maximum, Multiply, Share, Subtract};
    let mut cases = Vec::new();
    for (a, b) in SHAPES {
        for function in [First, Add, Subtract, Multiply, Divide, Maximum, Share, Greater, LessOrEqual] {
            let (a, b) = (Shape::new(a), Shape::new(b));
            if function == First && super::together(a, b) == Some(a) {
                continue; // Nothing is repeated.
            }
            let name = format!("{} {a} and {b}", function.name());
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let first = operand(probe, a, function);
                let second = operand(probe, b, function);
                let y = match function {
                    First => probe.tape.broadcast(first, super::together(a, b).expect("they fit"))?,
                    _ => probe.tape.pair(function, first, second)?,
                };
                let rounds = matches!(function, Add | Subtract | Multiply | Divide);
                probe.check("y", y, if rounds { ROUNDING } else { Tolerance::EXACT });
                Ok(())
            }));
        }
    }
    // What backward passes make of them.
    for (a, b) in [(&[19, 24][..], &[24][..]), (&[19, 1], &[5, 1, 7]), (&[2, 3, 4, 8], &[2, 1, 1, 8])] {
        for function in [Add, Subtract, Multiply, Divide, Maximum] {
            let (a, b) = (Shape::new(a), Shape::new(b));
            let name = format!("{} {a} and {b}, gradients", function.name());
            cases.push(Case::new(name, Storage::F32, move |probe| {
                let number = |x: f64| x + x.signum();
                let first = probe.normal(a.count()).into_iter().map(number).collect();
                let first = probe.float_of("a", a, first);
                let second = probe.normal(b.count()).into_iter().map(number).collect();
                let second = probe.float_of("b", b, second);
                // In place, where the shapes are equal.
                let doubled = probe.tape.scale(first, 2.0);
                let y = probe.tape.pair(function, doubled, second)?;
                probe.check("y", y, ROUNDING);
                let terms = super::together(a, b).expect("they fit").count() / a.count().min(b.count());
                let tolerance = Tolerance::sum(4 * terms);
                probe.check_gradients(y, &[(doubled, tolerance), (second, tolerance)])
            }));
        }
    }
    cases
}
