//! Images are shared out; within one its points are walked in order, so sums into pixels have a fixed order.

use rayon::prelude::*;

use crate::simd::Element;
use crate::tensor::Shape;

/// One of the four pixels around a point.
#[derive(Clone, Copy, Debug)]
struct Corner<T> {
    /// Its place in the image.
    pixel: usize,
    weight: T,
    /// How the weight changes with the point's place, in pixels to the right and down.
    slope: [T; 2],
}

/// The place of a point's coordinate among `extent` pixels: the pixel before, and how far behind it. `None` from a pixel's
/// width outside on.
fn place<T: Element>(coordinate: T, extent: usize) -> Option<(isize, T)> {
    let half = T::from_f64(0.5);
    let place = (coordinate + T::ONE) * T::from_f64(extent as f64) * half - half;
    let inside = place >= -T::ONE && place < T::from_f64(extent as f64);
    let before = place.to_f64().floor();
    inside.then(|| (before as isize, place - T::from_f64(before)))
}

/// The pixels around a point that lie in the image `[H, W]`.
fn corners<T: Element>(point: &[T], [height, width]: [usize; 2]) -> impl Iterator<Item = Corner<T>> {
    let places = place(point[0], width).zip(place(point[1], height));
    places.into_iter().flat_map(move |((left, right_by), (top, down_by))| {
        [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().filter_map(move |(down, right)| {
            let near = |step: isize, by: T| if step == 0 { (T::ONE - by, -T::ONE) } else { (by, T::ONE) };
            let ((wide, across), (high, along)) = (near(right, right_by), near(down, down_by));
            let (row, column) = (usize::try_from(top + down).ok()?, usize::try_from(left + right).ok()?);
            let inside = row < height && column < width;
            let corner =
                Corner { pixel: row * width + column, weight: high * wide, slope: [high * across, wide * along] };
            inside.then_some(corner)
        })
    })
}

/// The points of image `image`: those of a grid for all start over with every image.
fn points_of<T>(grid: &[T], image: usize, size: usize) -> &[T] {
    &grid[image * size % grid.len()..][..size]
}

/// `y` from `x` of shape `map`, `[N, H, W, C]`.
pub(super) fn forward<T: Element>(map: Shape, x: &[T], grid: &[T], y: &mut [T]) {
    let (images, extents, channels) = (map[0], [map[1], map[2]], map[3]);
    let size = y.len() / images;
    let all = x.par_chunks_exact(x.len() / images).zip(y.par_chunks_exact_mut(size)).enumerate();
    all.for_each(|(image, (x, y))| {
        let points = points_of(grid, image, 2 * size / channels).chunks_exact(2);
        for (point, y) in points.zip(y.chunks_exact_mut(channels)) {
            y.fill(T::ZERO);
            for corner in corners(point, extents) {
                let x = &x[corner.pixel * channels..][..channels];
                y.iter_mut().zip(x).for_each(|(y, x)| *y += corner.weight * *x);
            }
        }
    });
}

/// The gradient of the map, of shape `map`, from that of what was read.
pub(super) fn map_gradient<T: Element>(map: Shape, grid: &[T], d_y: &[T], d_x: &mut [T]) {
    let (images, extents, channels) = (map[0], [map[1], map[2]], map[3]);
    let size = d_y.len() / images;
    let all = d_x.par_chunks_exact_mut(d_x.len() / images).zip(d_y.par_chunks_exact(size)).enumerate();
    all.for_each(|(image, (d_x, d_y))| {
        d_x.fill(T::ZERO);
        let points = points_of(grid, image, 2 * size / channels).chunks_exact(2);
        for (point, d_y) in points.zip(d_y.chunks_exact(channels)) {
            for corner in corners(point, extents) {
                let d_x = &mut d_x[corner.pixel * channels..][..channels];
                d_x.iter_mut().zip(d_y).for_each(|(d_x, d_y)| *d_x += corner.weight * *d_y);
            }
        }
    });
}

/// The gradient of the grid. Points are shared out; images that share one are added in order.
pub(super) fn points_gradient<T: Element>(map: Shape, x: &[T], grid: &[T], d_y: &[T], d_grid: &mut [T]) {
    let (images, extents, channels) = (map[0], [map[1], map[2]], map[3]);
    let pixels = d_y.len() / (images * channels);
    let of_pixels = |extent: usize| T::from_f64(extent as f64 / 2.0);
    d_grid.par_chunks_exact_mut(2).zip(grid.par_chunks_exact(2)).enumerate().with_min_len(64).for_each(
        |(index, (d_point, point))| {
            let mut sums = [T::ZERO; 2];
            // The points of the grid are those of its images one after the other: every `grid`th belongs here.
            for row in (index..images * pixels).step_by(grid.len() / 2) {
                let (image, d_y) = (row / pixels, &d_y[row * channels..][..channels]);
                let x = &x[image * extents[0] * extents[1] * channels..];
                for corner in corners(point, extents) {
                    let products = x[corner.pixel * channels..].iter().zip(d_y).map(|(x, d_y)| *x * *d_y);
                    let product = products.fold(T::ZERO, |sum, product| sum + product);
                    sums.iter_mut().zip(corner.slope).for_each(|(sum, slope)| *sum += product * slope);
                }
            }
            d_point[0] = sums[0] * of_pixels(extents[1]);
            d_point[1] = sums[1] * of_pixels(extents[0]);
        },
    );
}
