//! Random numbers from a counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011).
//!
//! A number is a function of seed, stream, and a counter, so there is no generator state to save: a resumed run, any
//! number of threads, and every device draw the same crops, flips and weights.

/// What a stream of random numbers is for; streams with one seed are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Initial weights; the counter is (parameter, element).
    Weights = 1,
    /// The order of images in an epoch; the counter is (epoch, image).
    Shuffle = 2,
    /// Crops and flips; the counter is (step, position in the batch).
    Augment = 3,
    /// The validation split; the counter is (class, image).
    Split = 4,
    /// What a step draws on its tape (dropout, noise, choices); the counter is (step and draw, element).
    Step = 5,
}

/// A counter-based generator: `key` is made of seed and stream, `draw` maps a counter to four words.
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
}

impl Philox {
    /// The generator of one stream of one seed.
    pub fn new(seed: u64, stream: Stream) -> Self {
        // The upper half of a seed is folded into the stream's word; seeds below 2^32 never collide.
        Self { key: [seed as u32, ((seed >> 32) as u32).wrapping_mul(0x9E37_79B9) ^ stream as u32] }
    }

    /// What a draw mixes with the counter, for generators elsewhere that are to draw the same.
    pub fn key(&self) -> [u32; 2] {
        self.key
    }

    /// Four random words for counter (`major`, `minor`).
    pub fn draw(&self, major: u64, minor: u64) -> [u32; 4] {
        philox4x32_10([minor as u32, (minor >> 32) as u32, major as u32, (major >> 32) as u32], self.key)
    }

    /// Uniform in [0, 1) with 53 bits.
    pub fn uniform(&self, major: u64, minor: u64) -> f64 {
        let [a, b, ..] = self.draw(major, minor);
        unit(a, b)
    }

    /// Standard normal (Box and Muller, 1958).
    pub fn normal(&self, major: u64, minor: u64) -> f64 {
        let [a, b, c, d] = self.draw(major, minor);
        let radius = (-2.0 * (1.0 - unit(a, b)).ln()).sqrt();
        radius * (std::f64::consts::TAU * unit(c, d)).cos()
    }

    /// The integers 0..`count` in a random order that depends on `major` only.
    pub fn permutation(&self, major: u64, count: usize) -> Vec<u32> {
        let mut keyed = vec![(0, 0); count];
        self.permute(major, &mut keyed);
        keyed.into_iter().map(|(_, index)| index).collect()
    }

    /// As [`Philox::permutation`] without allocating: the indices are left in the second places.
    pub fn permute(&self, major: u64, keyed: &mut [(u64, u32)]) {
        for (index, place) in (0..).zip(keyed.iter_mut()) {
            let [a, b, ..] = self.draw(major, u64::from(index));
            *place = (u64::from(a) << 32 | u64::from(b), index);
        }
        keyed.sort_unstable();
    }
}

fn unit(high: u32, low: u32) -> f64 {
    ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// The raw bijection: ten rounds on `counter` with `key` (Random123's `philox4x32-10`).
pub fn philox4x32_10(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random123's known-answer vectors (kat_vectors, philox4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normal_and_uniform_have_their_moments() {
        let generator = Philox::new(7, Stream::Weights);
        let count = 200_000;
        let (mut sum, mut square, mut uniform) = (0.0, 0.0, 0.0);
        for index in 0..count {
            let value = generator.normal(1, index);
            sum += value;
            square += value * value;
            uniform += generator.uniform(2, index);
        }
        let count = count as f64;
        assert!((sum / count).abs() < 5.0 / count.sqrt(), "mean {}", sum / count);
        assert!((square / count - 1.0).abs() < 5.0 * (2.0 / count).sqrt(), "variance {}", square / count);
        assert!((uniform / count - 0.5).abs() < 5.0 / (12.0 * count).sqrt(), "uniform mean {}", uniform / count);
    }

    #[test]
    fn permutation_holds_every_index_once_and_depends_on_the_epoch() {
        let generator = Philox::new(3, Stream::Shuffle);
        let first = generator.permutation(0, 1000);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..1000));
        assert_ne!(first, generator.permutation(1, 1000));
        assert_eq!(first, generator.permutation(0, 1000));
    }
}
