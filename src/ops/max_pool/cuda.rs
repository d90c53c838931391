//! The GPU's code: `kernels/pool.cu`.

use super::cpu::Pooling;
use crate::ops::packs::{launch, structure};
use crate::ops::pooling;
use crate::tape::Launcher;

pub(super) fn max_pool(launcher: &mut Launcher<'_>, pooling: Pooling) {
    let Pooling { windows, input, output } = pooling;
    let dtype = launcher.output_dtype(0);
    let pooling = pooling::Pooling::new(dtype, windows, false, [input, output], output);
    let arguments = vec![launcher.input(0), launcher.output(0), structure(pooling)];
    launch(launcher, format!("max_pool_{dtype}"), pooling.count as usize, arguments);
}

pub(super) fn gradient(launcher: &mut Launcher<'_>, pooling: Pooling) {
    let Pooling { windows, input, output } = pooling;
    let dtype = launcher.output_dtype(0);
    let pooling = pooling::Pooling::new(dtype, windows, false, [input, output], input);
    let [upstream, x, y] = [0, 1, 2].map(|index| launcher.input(index));
    let arguments = vec![upstream, x, y, launcher.output(0), structure(pooling)];
    launch(launcher, format!("max_pool_gradient_{dtype}"), pooling.count as usize, arguments);
}
