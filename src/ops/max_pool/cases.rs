//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Whole packs of channels and single ones; windows that overlap and that do not, with and without padding.
        for channels in [24, 5] {
            for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 0)] {
                let name = format!("max_pool [2, 9, 8, {channels}] kernel {kernel} stride {stride} padding {padding}");
                cases.push(Case::new(name, storage, move |probe| {
                    let shape = [2, 9, 8, channels];
                    // Of few different values: the maximum of a window is often there twice.
                    let values = probe.normal(shape.iter().product()).into_iter();
                    let x = probe.activation_of("x", shape, values.map(|x| (2.0 * x).round() / 2.0).collect());
                    let y = probe.tape.max_pool(x, kernel, stride, padding)?;
                    probe.check("y", y, Tolerance::EXACT);
                    probe.check_gradients(y, &[(x, Tolerance::sum(kernel * kernel))])
                }));
            }
        }
        // Gradients go by tiles of eight times eight pixels where those divide the image.
        for (kernel, stride, padding, width) in [(3, 2, 1, 24), (2, 2, 0, 24), (2, 2, 0, 12)] {
            let name =
                format!("max_pool [1, 16, {width}, 8] by tiles, kernel {kernel} stride {stride} padding {padding}");
            cases.push(Case::new(name, storage, move |probe| {
                let x = probe.activation("x", [1, 16, width, 8]);
                let y = probe.tape.max_pool(x, kernel, stride, padding)?;
                probe.check_gradients(y, &[(x, Tolerance::sum(kernel * kernel))])
            }));
        }
    }
    cases
}
