//! Dense convolutions of bf16 activations on tensor cores.

use super::super::Conv2dGeometry;
use crate::error::{Error, Result};
use crate::tape::Launcher;

fn missing() -> Result<()> {
    Err(Error::failed("there is no kernel for dense convolutions of bf16"))
}

pub(super) fn fprop(_launcher: &mut Launcher<'_>, _geometry: &Conv2dGeometry) -> Result<()> {
    missing()
}

pub(super) fn dgrad(_launcher: &mut Launcher<'_>, _geometry: &Conv2dGeometry) -> Result<()> {
    missing()
}

pub(super) fn wgrad(_launcher: &mut Launcher<'_>, _geometry: &Conv2dGeometry) -> Result<()> {
    missing()
}

pub(super) fn wgrad_workspace(_geometry: &Conv2dGeometry, _with_bias: bool) -> usize {
    0
}
