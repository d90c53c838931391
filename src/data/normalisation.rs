//! Mean and standard deviation per channel, with which pixels are brought to zero mean and unit variance.

use rayon::prelude::*;

use super::dataset::Split;

/// Mean and standard deviation per channel of pixel/255.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    /// Mean of each channel, `[C]`.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel (population), `[C]`.
    pub std: Vec<f32>,
}

impl Normalisation {
    pub(super) fn published(mean: &[f32], std: &[f32]) -> Self {
        Self { mean: mean.to_vec(), std: std.to_vec() }
    }

    /// Of all pixels of `split`, [N, H, W, `channels`]. A channel that is constant gets deviation 1.
    ///
    /// Sums are integers, hence exact and the same in any order.
    pub fn of(split: &Split, channels: usize) -> Self {
        let count = (split.images.len() / channels.max(1)).max(1) as u64;
        let sums = split
            .images
            .par_chunks(channels * (1 << 16))
            .map(|pixels| {
                let mut sums = vec![(0u64, 0u64); channels];
                for pixel in pixels.chunks_exact(channels) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        let value = u64::from(*value);
                        *sum = (sum.0 + value, sum.1 + value * value);
                    }
                }
                sums
            })
            .reduce(
                || vec![(0, 0); channels],
                |first, second| first.iter().zip(&second).map(|(a, b)| (a.0 + b.0, a.1 + b.1)).collect(),
            );
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for (sum, square) in sums {
            mean.push((sum as f64 / (255.0 * count as f64)) as f32);
            // n² 255² variance, exactly.
            let spread = u128::from(count) * u128::from(square) - u128::from(sum) * u128::from(sum);
            let deviation = (spread as f64).sqrt() / (255.0 * count as f64);
            std.push(if spread == 0 { 1.0 } else { deviation as f32 });
        }
        Self { mean, std }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_per_channel() {
        // Channel 0 holds 0 and 255, channel 1 is constant.
        let split = Split::new(vec![0, 51, 255, 51], vec![0, 0]);
        let normalisation = Normalisation::of(&split, 2);
        assert_eq!(normalisation.mean, [0.5, 0.2]);
        assert_eq!(normalisation.std, [0.5, 1.0]);
    }

    #[test]
    fn many_pixels_in_parallel_agree_with_one_pass() {
        let images: Vec<u8> = (0..3 * 200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let split = Split::new(images, vec![0; 200_000]);
        let normalisation = Normalisation::of(&split, 3);
        for channel in 0..3 {
            let values: Vec<f64> =
                split.images.iter().skip(channel).step_by(3).map(|value| f64::from(*value) / 255.0).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((f64::from(normalisation.mean[channel]) - mean).abs() < 1e-7);
            assert!((f64::from(normalisation.std[channel]) - variance.sqrt()).abs() < 1e-7);
        }
    }
}
