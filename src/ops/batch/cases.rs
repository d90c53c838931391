//! What the kernels are checked on.

use super::{Augmentation, BatchSource};
use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // The last has more elements than a block takes.
        for (height, width, channels, crop_padding, flip) in
            [(6, 5, 1, 0, false), (6, 5, 3, 0, true), (9, 7, 1, 4, false), (6, 5, 3, 2, true), (20, 18, 3, 4, true)]
        {
            for step in [0, 3, 1 << 20] {
                let name = format!("batch {height}x{width}x{channels} padding {crop_padding} flip {flip} step {step}");
                let size = height * width * channels;
                cases.push(Case::new(name, storage, move |probe| {
                    // Bytes that repeat in no row, and never black: padding is told from pixels.
                    let bytes = (0..5 * size).map(|index| (index * index / 7 % 255 + 1) as u8).collect();
                    let source = BatchSource {
                        images: probe.bytes("images", [5, height, width, channels], bytes),
                        labels: probe.integers("all labels", [5], vec![30, 41, 52, 63, 74]),
                        indices: probe.integers("indices", [6], vec![4, 0, 2, 2, 1, 3]),
                        step: probe.integers("step", [1], vec![step]),
                    };
                    let (mean, std) = ([0.1, 0.5, 0.3], [1.0, 0.25, 0.4]);
                    let augmentation = Augmentation { crop_padding, flip };
                    let (mean, std) = (&mean[..channels], &std[..channels]);
                    let (images, labels) = probe.tape.batch(&source, mean, std, augmentation, 0x1234_5678_9abc)?;
                    // Scale and shift are rounded, and the result: 2^-24 of |byte scale| <= 1 / std, of |shift| = mean / std
                    // and of |x|, together at most four times the largest |x| of these channels.
                    let f32 = 4.0 / f64::from(1 << 24);
                    let tolerance = Tolerance { f32, bf16: f32 + Tolerance::BF16_ROUNDING };
                    probe.check("images", images, tolerance);
                    probe.check("labels", labels, Tolerance::EXACT);
                    Ok(())
                }));
            }
        }
    }
    cases
}
