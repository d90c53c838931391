//! Which kernel taps meet which pixels.
//!
//! Pixels of the result that see the same taps at the same distances form a [`Class`]: for a padded 3x3 kernel there
//! are nine (the inside, four edges, four corners), for a strided one seen from its input one per residue. Tiles are
//! cut from pixels of one class, so kernels have neither borders nor products with zero, and read activations in
//! place. Forward and both backward passes share these tables.

use super::geometry::Conv2dGeometry;

/// A run of source elements that meet consecutive rows of the weight matrix `[KH * KW * channels, outputs]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// From the pixel's source offset to the run.
    pub source: usize,
    /// First row of the weight matrix.
    pub row: usize,
    /// Elements and rows.
    pub len: usize,
}

/// One pixel of the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixel {
    /// Offset of the first element it sees, from the start of the chunk's source.
    pub source: u32,
    /// Offset of its own first channel, from the start of the chunk's result.
    pub result: u32,
}

/// Pixels that see the same taps.
#[derive(Debug)]
pub(super) struct Class {
    /// What each of them sees.
    pub segments: Vec<Segment>,
    /// All of them for the largest chunk, image after image, so that fewer images are a prefix.
    pub pixels: Vec<Pixel>,
    /// How many of them lie in one image.
    pub pixels_per_image: usize,
}

/// One direction of a convolution: what each pixel of a result sees of a source.
#[derive(Debug)]
pub(super) struct Correlation {
    /// Every pixel of the result is in exactly one.
    pub classes: Vec<Class>,
    /// Channels of a source pixel, all groups.
    pub source_channels: usize,
    /// Channels of a result pixel, all groups.
    pub result_channels: usize,
    /// Pixels in one image of the source.
    pub source_pixels: usize,
    /// Pixels in one image of the result.
    pub result_pixels: usize,
    /// Independent groups of channels.
    pub groups: usize,
    /// Rows of the weight matrix of one group.
    pub rows: usize,
}

/// Indices along one axis that meet the same taps: `(tap, source index from the first one)`.
struct AxisClass {
    taps: Vec<(usize, usize)>,
    /// `(result index, first source index)`
    members: Vec<(usize, usize)>,
}

/// Groups `extent` result indices by the taps `seen` gives them: pairs of tap and source index, source ascending.
fn axis_classes(extent: usize, seen: impl Fn(usize) -> Vec<(usize, usize)>) -> Vec<AxisClass> {
    let mut classes: Vec<AxisClass> = Vec::new();
    for index in 0..extent {
        let taps = seen(index);
        let first = taps.first().map_or(0, |(_, source)| *source);
        let taps: Vec<_> = taps.into_iter().map(|(tap, source)| (tap, source - first)).collect();
        match classes.iter_mut().find(|class| class.taps == taps) {
            Some(class) => class.members.push((index, first)),
            None => classes.push(AxisClass { taps, members: vec![(index, first)] }),
        }
    }
    classes
}

impl Correlation {
    /// What each output pixel sees of the input. Weight rows are `(kh, kw, c)`.
    pub fn forward(geometry: &Conv2dGeometry, images: usize) -> Self {
        let [rows, columns] = geometry.output();
        let seen = |axis: usize, extent: usize| {
            let (stride, padding, dilation) = (geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis]);
            let taps = geometry.kernel[axis];
            move |index: usize| -> Vec<(usize, usize)> {
                (0..taps)
                    .filter_map(|tap| Some((tap, (index * stride + tap * dilation).checked_sub(padding)?)))
                    .filter(|(_, source)| *source < extent)
                    .collect()
            }
        };
        Self::new(
            geometry,
            images,
            [axis_classes(rows, seen(0, geometry.height)), axis_classes(columns, seen(1, geometry.width))],
            [geometry.width, columns],
            [geometry.in_channels, geometry.out_channels],
            [geometry.height * geometry.width, rows * columns],
        )
    }

    /// What each input pixel sees of the output's gradient. Weight rows are `(KH-1-kh, KW-1-kw, k)`: the kernel
    /// turned around, so that sources ascend with rows.
    pub fn backward(geometry: &Conv2dGeometry, images: usize) -> Self {
        let output = geometry.output();
        let seen = |axis: usize| {
            let (stride, padding, dilation) = (geometry.stride[axis], geometry.padding[axis], geometry.dilation[axis]);
            let taps = geometry.kernel[axis];
            move |index: usize| -> Vec<(usize, usize)> {
                (0..taps)
                    .filter_map(|turned| Some((turned, (index + padding).checked_sub((taps - 1 - turned) * dilation)?)))
                    .filter(|(_, distance)| distance % stride == 0 && distance / stride < output[axis])
                    .map(|(turned, distance)| (turned, distance / stride))
                    .collect()
            }
        };
        Self::new(
            geometry,
            images,
            [axis_classes(geometry.height, seen(0)), axis_classes(geometry.width, seen(1))],
            [output[1], geometry.width],
            [geometry.out_channels, geometry.in_channels],
            [output[0] * output[1], geometry.height * geometry.width],
        )
    }

    /// Joins the classes of both axes. Pairs are (source, result).
    fn new(
        geometry: &Conv2dGeometry,
        images: usize,
        axes: [Vec<AxisClass>; 2],
        widths: [usize; 2],
        channels: [usize; 2],
        pixels: [usize; 2],
    ) -> Self {
        let per_group = channels[0] / geometry.groups;
        let mut classes = Vec::new();
        for vertical in &axes[0] {
            for horizontal in &axes[1] {
                let mut segments: Vec<Segment> = Vec::new();
                for (kh, down) in &vertical.taps {
                    for (kw, right) in &horizontal.taps {
                        let source = (down * widths[0] + right) * channels[0];
                        let row = (kh * geometry.kernel[1] + kw) * per_group;
                        match segments.last_mut() {
                            Some(last) if source == last.source + last.len && row == last.row + last.len => {
                                last.len += per_group;
                            }
                            _ => segments.push(Segment { source, row, len: per_group }),
                        }
                    }
                }
                let pixels_per_image = vertical.members.len() * horizontal.members.len();
                let mut members = Vec::with_capacity(images * pixels_per_image);
                for image in 0..images {
                    for (y, source_y) in &vertical.members {
                        for (x, source_x) in &horizontal.members {
                            let source = image * pixels[0] + source_y * widths[0] + source_x;
                            let result = image * pixels[1] + y * widths[1] + x;
                            members.push(Pixel {
                                source: (source * channels[0]) as u32,
                                result: (result * channels[1]) as u32,
                            });
                        }
                    }
                }
                classes.push(Class { segments, pixels: members, pixels_per_image });
            }
        }
        Self {
            classes,
            source_channels: channels[0],
            result_channels: channels[1],
            source_pixels: pixels[0],
            result_pixels: pixels[1],
            groups: geometry.groups,
            rows: geometry.kernel[0] * geometry.kernel[1] * per_group,
        }
    }
}
