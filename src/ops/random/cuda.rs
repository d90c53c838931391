//! The GPU's code: `kernels/random.cu`.

use bytemuck::{Pod, Zeroable};

use super::permutation::RandomPermutation;
use super::{Distribution, Random, WORDS};
use crate::ops::packs::{launch, structure};
use crate::tape::{Argument, Launcher};

/// The structure of the same name in `kernels/random.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Source {
    key: [u32; 2],
    draw: u32,
}

fn arguments(launcher: &Launcher<'_>, source: &super::Source) -> Vec<Argument> {
    let count = launcher.output_shape(0).count();
    let source = structure(Source { key: source.generator.key(), draw: source.draw });
    vec![launcher.input(0), launcher.output(0), count.into(), source]
}

pub(super) fn random(launcher: &mut Launcher<'_>, op: &Random) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let distribution = match op.distribution {
        Distribution::Uniform => "uniform",
        Distribution::Normal => "normal",
        Distribution::Gumbel => "gumbel",
        Distribution::Logistic => "logistic",
    };
    let arguments = arguments(launcher, &op.source);
    launch(launcher, format!("random_{distribution}_{dtype}"), count.div_ceil(WORDS), arguments);
}

pub(super) fn permutation(launcher: &mut Launcher<'_>, op: &RandomPermutation) {
    let (dtype, count) = (launcher.output_dtype(0), launcher.output_shape(0).count());
    let arguments = arguments(launcher, &op.source);
    launch(launcher, format!("random_permutation_{dtype}"), count, arguments);
}
