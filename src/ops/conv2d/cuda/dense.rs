use super::super::Conv2dGeometry;
use super::Split;
use crate::tape::Launcher;

pub(super) fn fprop(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let _ = (launcher, geometry);
}

pub(super) fn dgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let _ = (launcher, geometry);
}

pub(super) fn wgrad(launcher: &mut Launcher<'_>, geometry: &Conv2dGeometry) {
    let _ = (launcher, geometry);
}

pub(super) fn split(geometry: &Conv2dGeometry, with_bias: bool) -> Split {
    Split::new(geometry, with_bias, 1, 1, 1)
}
