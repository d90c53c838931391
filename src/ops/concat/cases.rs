//! What the kernel is checked on, as far as concatenation uses it.

use crate::ops::case::{Case, Storage, Tolerance};
use crate::tape::ValueId;

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Moved by 16 bytes, by two elements, one by one.
        for widths in [[16, 24, 8], [6, 14, 58], [3, 16, 22]] {
            cases.push(Case::new(format!("concat {widths:?}"), storage, move |probe| {
                let parts: Vec<ValueId> =
                    widths.iter().map(|width| probe.activation("part", [3, 5, 7, *width])).collect();
                let y = probe.tape.concat(&parts)?;
                probe.check("y", y, Tolerance::EXACT);
                let wanted: Vec<_> = parts.iter().map(|part| (*part, Tolerance::EXACT)).collect();
                probe.check_gradients(y, &wanted)
            }));
        }
        for (start, width, channels) in [(16, 24, 56), (2, 6, 14), (3, 4, 9)] {
            let name = format!("gaps beside {width} of {channels} channels");
            cases.push(Case::new(name, storage, move |probe| {
                let part = probe.activation("part", [105, width]);
                let y = probe.tape.place_channels(&[(start, part)], channels);
                probe.check("y", y, Tolerance::EXACT);
                Ok(())
            }));
            // One rounding.
            let rounding = Tolerance { f32: 1.0 / f64::from(1 << 24), bf16: Tolerance::BF16_ROUNDING };
            let name = format!("gaps beside {width} of {channels} channels with addend");
            cases.push(Case::new(name, storage, move |probe| {
                let x = probe.activation("x", [105, channels]);
                let slice = probe.tape.slice(x, start, width)?;
                probe.check_gradient_with_addend(slice, x, rounding)
            }));
            let name = format!("gaps beside {width} of {channels} channels, added in place");
            cases.push(Case::new(name, storage, move |probe| {
                let x = probe.activation("x", [105, channels]);
                // The later slice's gradient is the earlier one's addend, and no state.
                let slices = [probe.tape.slice(x, start, width)?, probe.tape.slice(x, 0, start + 1)?];
                let y = probe.tape.concat(&slices)?;
                probe.check_gradients(y, &[(x, rounding)])
            }));
        }
    }
    cases
}
