//! What the kernels are checked on.

use super::{Augmentation, BatchSource, RandAugment};
use crate::ops::case::{Case, Storage, Tolerance};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for storage in [Storage::F32, Storage::Bf16] {
        // Small ones that meet every operation several times; larger ones that have more bytes than threads and more than
        // 255 pixels, so that equalising does something; sides too short for a neighbourhood.
        for (count, height, width, channels, operations, step) in [
            (40, 8, 7, 3, 1, 0),
            (40, 20, 18, 3, 1, 3),
            (24, 20, 19, 1, 2, 1 << 20),
            (12, 24, 17, 3, 3, u32::MAX),
            (20, 2, 5, 3, 2, 1),
            (6, 6, 5, 1, 0, 2),
        ] {
            let name =
                format!("strong_view {count} of {height}x{width}x{channels}, {operations} operations, step {step}");
            let size = height * width * channels;
            cases.push(Case::new(name, storage, move |probe| {
                // Images of other means and contrasts, one of them of a single colour.
                let byte = |index: usize| match index / size {
                    4 => [200, 90, 31][index % channels],
                    image => {
                        let noise = index * index / 7 % (40 + 50 * image);
                        (noise + 10 * image + index % size / (8 * channels) + 7 * (index % channels)).min(255) as u8
                    }
                };
                let source = BatchSource {
                    images: probe.bytes("images", [5, height, width, channels], (0..5 * size).map(byte).collect()),
                    labels: probe.integers("all labels", [5], vec![0; 5]),
                    indices: probe.integers(
                        "indices",
                        [count],
                        (0..count).map(|at| (3 * at % 13 % 5) as u32).collect(),
                    ),
                    step: probe.integers("step", [1], vec![step]),
                };
                let (mean, std) = (&[0.1, 0.5, 0.3][..channels], &[1.0, 0.25, 0.4][..channels]);
                let augmentation = Augmentation { crop_padding: height % 5, flip: width % 2 == 1 };
                let distortions = RandAugment { operations };
                let view = probe.tape.strong_view(&source, mean, std, augmentation, distortions, 0x1234_5678_9abc)?;
                // As for the ordinary view: scale, shift and result are rounded. The bytes are equal.
                let f32 = 4.0 / f64::from(1 << 24);
                probe.check("view", view, Tolerance { f32, bf16: f32 + Tolerance::BF16_ROUNDING });
                Ok(())
            }));
        }
    }
    cases
}
