//! The micro-kernel of both forward and input gradient: a tile of pixels times a block of weight columns, all sums in
//! registers.

use super::taps::Segment;
use crate::simd::Simd;

/// Adds to `sums` what `PIXELS` pixels see through `segments`: `sums[p][v] += source[p][k] * weights[k][v]`.
///
/// `weights` is one packed block: rows of `VECTORS` vectors.
///
/// # Safety
/// Every pixel's source must be valid for every segment's run, `weights` for every segment's rows; and the
/// instruction set of `S` must be there.
#[inline(always)]
pub(super) unsafe fn accumulate<S: Simd, const PIXELS: usize, const VECTORS: usize>(
    sums: &mut [[S::Vector; VECTORS]; PIXELS],
    sources: &[*const S::Element; PIXELS],
    segments: &[Segment],
    weights: *const S::Element,
) {
    // SAFETY: the caller vouches for sources and weights.
    unsafe {
        let mut local = *sums;
        for segment in segments {
            let mut rows = *sources;
            for row in &mut rows {
                *row = row.add(segment.source);
            }
            let mut block = weights.add(segment.row * VECTORS * S::LANES);
            for k in 0..segment.len {
                let mut columns = [S::zero(); VECTORS];
                for v in 0..VECTORS {
                    columns[v] = S::load(block.add(v * S::LANES));
                }
                block = block.add(VECTORS * S::LANES);
                for p in 0..PIXELS {
                    let value = S::splat(*rows[p].add(k));
                    for v in 0..VECTORS {
                        local[p][v] = S::fma(value, columns[v], local[p][v]);
                    }
                }
            }
        }
        *sums = local;
    }
}
