//! What the kernels are checked on.

use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Whole packs of channels, single ones, and so many that a block has not all of them.
        for channels in [24, 5, 264] {
            let shape = if channels == 264 { [1, 6, 5, channels] } else { [2, 9, 8, channels] };
            // Windows of many inputs are shared by a block. The padding counts or not, windows overlap or not.
            for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (5, 1, 2)] {
                for counts_padding in [true, false] {
                    let counted = if counts_padding { "counted" } else { "not counted" };
                    let name =
                        format!("avg_pool {shape:?} kernel {kernel} stride {stride} padding {padding} {counted}");
                    cases.push(Case::new(name, storage, move |probe| {
                        let x = probe.activation("x", shape);
                        let y = probe.tape.avg_pool(x, kernel, stride, padding, counts_padding)?;
                        probe.check("y", y, Tolerance::sum(kernel * kernel));
                        let terms = kernel * kernel;
                        match counts_padding {
                            true => probe.check_gradients(y, &[(x, Tolerance::sum(terms))]),
                            false => probe.check_gradient_with_addend(y, x, Tolerance::sum(terms + 1)),
                        }
                    }));
                }
            }
            if channels == 24 {
                // Gradients go by tiles of eight times eight pixels where those divide the image.
                cases.push(Case::new("avg_pool [2, 16, 24, 8] by tiles", storage, |probe| {
                    let x = probe.activation("x", [2, 16, 24, 8]);
                    let y = probe.tape.avg_pool(x, 3, 2, 1, true)?;
                    probe.check_gradients(y, &[(x, Tolerance::sum(9))])
                }));
            }
            // Even partitions whose windows differ in size and overlap, and one window.
            for (height, width) in [(4, 3), (2, 2), (1, 1)] {
                let name = format!("adaptive_avg_pool {shape:?} to {height} x {width}");
                cases.push(Case::new(name, storage, move |probe| {
                    let x = probe.activation("x", shape);
                    let y = probe.tape.adaptive_avg_pool(x, height, width)?;
                    probe.check("y", y, Tolerance::sum(shape[1] * shape[2]));
                    probe.check_gradients(y, &[(x, Tolerance::sum(4))])
                }));
            }
        }
    }
    cases
}
