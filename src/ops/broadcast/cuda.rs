//! The GPU's code: `kernels/pair.cu`.

use bytemuck::{Pod, Zeroable};

use super::Function;
use super::layout::Layout;
use crate::ops::packs::{lanes, launch, structure};
use crate::tape::Launcher;

/// What the kernels call a function.
fn code(function: Function) -> u32 {
    match function {
        Function::First => 0,
        Function::Add => 1,
        Function::Subtract => 2,
        Function::Multiply => 3,
        Function::Divide => 4,
        Function::Maximum => 5,
        Function::Share => 6,
        Function::Greater => 7,
        Function::LessOrEqual => 8,
    }
}

/// `Layout` of `kernels/pair.cu`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Argument {
    count: u32,
    extents: [u32; 4],
    strides: [[u32; 4]; 2],
}

pub(super) fn launch_pair(launcher: &mut Launcher<'_>, function: Function, layout: &Layout) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let (a, b) = (launcher.input(0), launcher.input(launcher.input_count() - 1));
    // Tensors have less than 2^31 elements: a plan refuses others.
    let narrow = |numbers: [usize; 4]| numbers.map(|number| number as u32);
    let (extents, strides) = (narrow(layout.extents), layout.strides.map(narrow));
    let argument = structure(Argument { count: count as u32, extents, strides });
    let arguments = vec![a, b, launcher.output(0), code(function).into(), argument];
    let in_packs = layout.extents[3] == count || layout.extents[3].is_multiple_of(lanes(dtype));
    match in_packs {
        true => launch(launcher, format!("pair_packs_{dtype}"), count.div_ceil(lanes(dtype)), arguments),
        false => launch(launcher, format!("pair_{dtype}"), count, arguments),
    }
}
