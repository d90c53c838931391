//! The GPU's code: `kernels/map.cu`.

use super::Function;
use crate::ops::packs::{NULL, lanes, launch};
use crate::tape::{Argument, Launcher};

/// What the kernels call a function, and its numbers.
fn code(function: Function) -> (u32, [Argument; 2]) {
    let code = match function {
        Function::Exp => 0,
        Function::Log => 1,
        Function::Sqrt => 2,
        Function::Square => 3,
        Function::Abs => 4,
        Function::Sigmoid => 5,
        Function::Tanh => 6,
        Function::Softplus => 7,
        Function::SmoothL1 => 8,
        Function::Reciprocal => 9,
        Function::Affine { .. } => 10,
        Function::AtLeast(_) => 11,
        Function::Above(_) => 12,
    };
    (code, function.parameters().map(|number| (number as f32).into()))
}

pub(super) fn map(launcher: &mut Launcher<'_>, function: Function) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let (code, [first, second]) = code(function);
    let arguments = vec![launcher.input(0), launcher.output(0), code.into(), first, second, count.into()];
    launch(launcher, format!("map_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>, function: Function, addend: bool) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let (code, [first, _]) = code(function);
    let addend = if addend { launcher.input(2) } else { NULL };
    let (upstream, source, dx) = (launcher.input(0), launcher.input(1), launcher.output(0));
    let arguments = vec![upstream, source, addend, dx, code.into(), first, count.into()];
    launch(launcher, format!("map_gradient_{dtype}"), count.div_ceil(lanes(dtype)), arguments);
}
