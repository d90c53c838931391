//! What is done to an image, byte for byte as Pillow does it: operations on the histogram (`ImageOps`), blends with a
//! degenerate image (`ImageEnhance`), and affine moves to the nearest pixel (`Image.transform`, which reckons in 65536ths).

/// One in 65536ths.
const ONE: i32 = 1 << 16;

/// Steps of an angle from -30 to 30 degrees.
const ANGLES: usize = 1024;

/// What hides a part of the image: the colour that FixMatch takes, and its luminance.
const COVER: [u8; 3] = [125, 123, 114];

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Every channel's lowest byte becomes 0, its highest 255.
    AutoContrast,
    /// Between black and the image.
    Brightness,
    /// Between the grey image and the image.
    Color,
    /// Between the mean grey and the image.
    Contrast,
    /// Every channel's bytes as evenly spread as they can be.
    Equalize,
    /// Nothing.
    Identity,
    /// The lower bits are cleared, four to one of them.
    Posterize,
    /// Up to 30 degrees both ways around the centre.
    Rotate,
    /// Between the smoothed image and the image.
    Sharpness,
    /// Rows slide against each other, up to 0.3 pixels a row.
    ShearX,
    /// Columns slide against each other.
    ShearY,
    /// Bytes from a threshold on are inverted.
    Solarize,
    /// Up to 0.3 of the width to both sides.
    TranslateX,
    /// Up to 0.3 of the height up and down.
    TranslateY,
}

/// All of them; each is as likely as any other.
pub(super) const KINDS: [Kind; 14] = [
    Kind::AutoContrast,
    Kind::Brightness,
    Kind::Color,
    Kind::Contrast,
    Kind::Equalize,
    Kind::Identity,
    Kind::Posterize,
    Kind::Rotate,
    Kind::Sharpness,
    Kind::ShearX,
    Kind::ShearY,
    Kind::Solarize,
    Kind::TranslateX,
    Kind::TranslateY,
];

/// An operation and where in its range it acts, in 65536ths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) kind: Kind,
    pub(super) level: u32,
}

impl Draw {
    /// The operation that random words mean.
    pub(super) fn of(words: [u32; 4]) -> Self {
        let kind = KINDS[((u64::from(words[0]) * KINDS.len() as u64) >> 32) as usize];
        Self { kind, level: words[1] >> 16 }
    }
}

/// One image, `[H, W, C]`, and as many bytes that nobody else uses.
#[derive(Debug)]
pub(super) struct Pixels<'a> {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) bytes: &'a mut [u8],
    pub(super) spare: &'a mut [u8],
}

/// For every step of the angle where an output pixel (column x, row y) lies in the input, in 65536ths of a pixel:
/// `[0] x + [1] y + [2]` is the column, `[3] x + [4] y + [5]` the row.
pub(super) fn rotations(height: usize, width: usize) -> Vec<[i32; 6]> {
    let fixed = |x: f64| (x * f64::from(ONE) + 0.5).floor() as i32;
    let (centre_x, centre_y) = (width as f64 / 2.0, height as f64 / 2.0);
    let of = |step: usize| {
        let angle = (30.0 - 60.0 * step as f64 / ANGLES as f64).to_radians();
        let (sine, cosine) = angle.sin_cos();
        let start = centre_x - cosine * centre_x - sine * centre_y + 0.5 * (cosine + sine);
        let row_start = centre_y + sine * centre_x - cosine * centre_y + 0.5 * (cosine - sine);
        [cosine, sine, start, -sine, cosine, row_start].map(fixed)
    };
    (0..ANGLES).map(of).collect()
}

/// What lies between two bytes: `from` at factor 0, `to` at 256.
fn blend(from: u32, to: u8, factor: i32) -> u8 {
    ((from as i32 * 256 + factor * (i32::from(to) - from as i32)) >> 8) as u8
}

impl Pixels<'_> {
    /// Does one operation. `rotations` are those of the image's size.
    pub(super) fn distort(&mut self, draw: Draw, rotations: &[[i32; 6]]) {
        let level = i64::from(draw.level);
        // From 0.05 to 0.95 in 256ths, and from -0.3 to 0.3.
        let factor = 13 + ((level * 231) >> 16) as i32;
        let around_zero = |size: usize| (((level * 39321 * size as i64) >> 16) - 19660 * size as i64) as i32;
        let shear = around_zero(1);
        let half = ONE / 2;
        match draw.kind {
            Kind::AutoContrast => self.map_channels(auto_contrast),
            Kind::Equalize => self.map_channels(equalized),
            Kind::Brightness => self.bytes.iter_mut().for_each(|byte| *byte = blend(0, *byte, factor)),
            Kind::Contrast => {
                let mean = self.mean_luminance();
                self.bytes.iter_mut().for_each(|byte| *byte = blend(mean, *byte, factor));
            }
            Kind::Color => {
                for pixel in self.bytes.chunks_exact_mut(self.channels) {
                    let grey = luminance(pixel);
                    pixel.iter_mut().for_each(|byte| *byte = blend(grey, *byte, factor));
                }
            }
            Kind::Identity => {}
            Kind::Posterize => {
                let mask = 0xf0 | (0xf0 >> (draw.level >> 14));
                self.bytes.iter_mut().for_each(|byte| *byte &= mask);
            }
            Kind::Solarize => {
                let threshold = 1 + (draw.level >> 8);
                let inverted = self.bytes.iter_mut().filter(|byte| u32::from(**byte) >= threshold);
                inverted.for_each(|byte| *byte = 255 - *byte);
            }
            Kind::Sharpness => self.sharpen(factor),
            Kind::Rotate => self.shift(rotations[(draw.level as usize * ANGLES) >> 16]),
            Kind::ShearX => self.shift([ONE, shear, half + ((shear + 1) >> 1), 0, ONE, half]),
            Kind::ShearY => self.shift([ONE, 0, half, shear, ONE, half + ((shear + 1) >> 1)]),
            Kind::TranslateX => self.shift([ONE, 0, half + around_zero(self.width), 0, ONE, half]),
            Kind::TranslateY => self.shift([ONE, 0, half, 0, ONE, half + around_zero(self.height)]),
        }
    }

    /// Hides a square of up to half of the width around a random place, cut off at the borders; as Pillow draws
    /// rectangles, the last row and column are among what is hidden.
    pub(super) fn cover(&mut self, words: [u32; 4]) {
        let side = i64::from(words[0] >> 16) * self.width as i64 / 2;
        if side == 0 {
            return;
        }
        let range = |word: u32, size: usize| {
            let start = i64::from(word >> 16) * size as i64 - side / 2;
            let first = (start.max(0) >> 16) as usize;
            first..=(first + (side >> 16) as usize).min(size - 1)
        };
        let (columns, rows) = (range(words[1], self.width), range(words[2], self.height));
        for row in rows {
            for column in columns.clone() {
                let at = (row * self.width + column) * self.channels;
                match self.channels {
                    1 => self.bytes[at] = luminance(&COVER) as u8,
                    _ => self.bytes[at..at + 3].copy_from_slice(&COVER),
                }
            }
        }
    }

    /// Replaces every byte by what its channel's histogram makes of it.
    fn map_channels(&mut self, becomes: impl Fn(&[u32; 256]) -> Option<[u8; 256]>) {
        for channel in 0..self.channels {
            let bytes = || (channel..self.bytes.len()).step_by(self.channels);
            let mut counts = [0; 256];
            bytes().for_each(|at| counts[usize::from(self.bytes[at])] += 1);
            let Some(table) = becomes(&counts) else { continue };
            for at in bytes() {
                self.bytes[at] = table[usize::from(self.bytes[at])];
            }
        }
    }

    fn mean_luminance(&self) -> u32 {
        let sum: u64 = self.bytes.chunks_exact(self.channels).map(|pixel| u64::from(luminance(pixel))).sum();
        let pixels = (self.height * self.width) as u64;
        ((2 * sum + pixels) / (2 * pixels)) as u32
    }

    /// Between the mean of every pixel's neighbourhood, the pixel itself five times, and the image; the border stays.
    fn sharpen(&mut self, factor: i32) {
        self.spare.copy_from_slice(self.bytes);
        let (before, stride) = (&*self.spare, self.width * self.channels);
        for (at, to) in self.bytes.iter_mut().enumerate() {
            let (row, column) = (at / stride, at % stride / self.channels);
            let inside = row > 0 && row + 1 < self.height && column > 0 && column + 1 < self.width;
            let smooth = match inside {
                true => {
                    let corner = at - stride - self.channels;
                    let around = (0..9).map(|k| u32::from(before[corner + k / 3 * stride + k % 3 * self.channels]));
                    // Rounded: 13 is odd, so there are no ties.
                    (2 * (around.sum::<u32>() + 4 * u32::from(before[at])) + 13) / 26
                }
                false => u32::from(before[at]),
            };
            *to = blend(smooth, before[at], factor);
        }
    }

    /// Every pixel becomes that where it lies before, or black.
    fn shift(&mut self, [by_column, by_row, start, row_by_column, row_by_row, row_start]: [i32; 6]) {
        self.spare.copy_from_slice(self.bytes);
        let before = &*self.spare;
        for (at, pixel) in self.bytes.chunks_exact_mut(self.channels).enumerate() {
            let (row, column) = ((at / self.width) as i32, (at % self.width) as i32);
            let x = (start + by_column * column + by_row * row) >> 16;
            let y = (row_start + row_by_column * column + row_by_row * row) >> 16;
            if (0..self.width as i32).contains(&x) && (0..self.height as i32).contains(&y) {
                let from = (y as usize * self.width + x as usize) * pixel.len();
                pixel.copy_from_slice(&before[from..from + pixel.len()]);
            } else {
                pixel.fill(0);
            }
        }
    }
}

/// ITU-R 601, rounded as Pillow does.
fn luminance(pixel: &[u8]) -> u32 {
    match *pixel {
        [red, green, blue] => {
            (u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16
        }
        _ => u32::from(pixel[0]),
    }
}

/// The lowest and the highest byte that occurs.
fn ends(counts: &[u32; 256]) -> (usize, usize) {
    let occurs = |byte: &usize| counts[*byte] > 0;
    ((0..256).find(occurs).unwrap_or(0), (0..256).rev().find(occurs).unwrap_or(0))
}

fn auto_contrast(counts: &[u32; 256]) -> Option<[u8; 256]> {
    let (low, high) = ends(counts);
    if high <= low {
        return None;
    }
    // Both products are rounded, as in Pillow: where the quotient is whole the result may be one less.
    let scale = 255.0 / (high - low) as f64;
    Some(std::array::from_fn(|byte| (byte as f64 * scale - low as f64 * scale) as u8)) // Rust saturates.
}

fn equalized(counts: &[u32; 256]) -> Option<[u8; 256]> {
    let (_, high) = ends(counts);
    let step = (counts.iter().sum::<u32>() - counts[high]) / 255;
    if step == 0 {
        return None;
    }
    let mut under = step / 2;
    Some(std::array::from_fn(|byte| {
        let becomes = (under / step).min(255) as u8;
        under += counts[byte];
        becomes
    }))
}
