//! What the convolutions on tensor cores are checked on.
//!
//! Bounds, relative to the largest result: factors are exact in bf16 and in TF32 (but for the cases about rounding), a
//! product of two has at most 22 bits and so is exact in float32; what is left are the sums' roundings,
//! [`Tolerance::sum`], and with bf16 one rounding on storing. Weight gradients are stored in float32.

use super::Conv2dOptions;
use crate::error::Result;
use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::tape::ValueId;

/// The pass that a case checks; the others are not planned.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pass {
    Fprop,
    Dgrad,
    Wgrad,
}
use Pass::{Dgrad, Fprop, Wgrad};

/// What the pass takes in besides: a bias (its gradient, in the weight gradient) or an addend.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Besides {
    Nothing,
    Bias,
    Addend,
}
use Besides::{Addend, Bias, Nothing};

/// One shape: images, weights, and how the kernel moves.
#[derive(Clone, Copy, Debug)]
struct Layer {
    /// `[N, H, W, C]`
    images: [usize; 4],
    /// `[KH, KW, C, K]`
    weights: [usize; 4],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

/// A layer that pads so that its stride alone shrinks the map.
fn layer(images: [usize; 4], kernel: [usize; 2], channels: usize, stride: [usize; 2]) -> Layer {
    let weights = [kernel[0], kernel[1], images[3], channels];
    Layer { images, weights, stride, padding: kernel.map(|size| size / 2), dilation: [1, 1] }
}

impl Layer {
    fn options(&self) -> Conv2dOptions {
        Conv2dOptions { stride: self.stride, padding: self.padding, dilation: self.dilation, groups: 1 }
    }

    fn name(&self) -> String {
        let Self { images: [n, h, w, c], weights: [kh, kw, _, k], stride: [sh, sw], .. } = self;
        format!("{n}x{h}x{w} {c}->{k} {kh}x{kw} stride {sh}x{sw}")
    }

    /// Products that are added up for one result.
    fn terms(&self, pass: Pass, pixels: usize) -> usize {
        let [rows, columns, inputs, outputs] = self.weights;
        match pass {
            Fprop => rows * columns * inputs,
            Dgrad => rows * columns * outputs,
            Wgrad => pixels,
        }
    }

    /// Records the layer on what `draw` makes and checks one pass, to within `tolerance` or the module's bounds.
    fn check(
        &self,
        probe: &mut Probe<'_>,
        pass: Pass,
        besides: Besides,
        draw: impl Fn(&mut Probe<'_>, &str, [usize; 4]) -> ValueId,
        tolerance: Option<Tolerance>,
    ) -> Result<()> {
        let (x, weight) = (draw(probe, "x", self.images), draw(probe, "weight", self.weights));
        let bias = (besides == Bias).then(|| probe.float("bias", [self.weights[3]]));
        let y = probe.tape.conv2d(x, weight, bias, self.options())?;
        let shape = probe.tape.shape(y);
        let sum = Tolerance::sum(self.terms(pass, shape.rows()));
        let sum = if pass == Wgrad { Tolerance { bf16: sum.f32, ..sum } } else { sum };
        let tolerance = tolerance.unwrap_or(sum);
        if pass == Fprop {
            probe.check("y", y, tolerance);
            return Ok(());
        }
        let upstream = draw(probe, "upstream", [shape[0], shape[1], shape[2], shape[3]]);
        let mut seeds = vec![(y, upstream)];
        if besides == Addend {
            seeds.push((x, draw(probe, "addend", self.images)));
        }
        let wrt: Vec<ValueId> = match pass {
            Dgrad => vec![x],
            _ => [weight].into_iter().chain(bias).collect(),
        };
        for gradient in probe.tape.backward(&seeds, &wrt)? {
            probe.check("gradient", gradient.expect("it flows"), tolerance);
        }
        Ok(())
    }

    fn case(self, storage: Storage, pass: Pass, besides: Besides) -> Case {
        let name = format!("conv on tensor cores {pass:?} {} {besides:?}", self.name());
        Case::new(name, storage, move |probe| {
            probe.tape.set_tf32(true);
            self.check(probe, pass, besides, exact, None)
        })
    }

    /// Only the addend reaches the input gradient, and all of it.
    fn faint_case(self, storage: Storage) -> Case {
        Case::new(format!("conv on tensor cores Dgrad {} faint addend", self.name()), storage, move |probe| {
            probe.tape.set_tf32(true);
            self.check(probe, Dgrad, Addend, faint, Some(Tolerance::EXACT))
        })
    }

    /// Sums of ones, which float32 holds exactly, and an addend: one rounding, of 2^-24 at most.
    fn whole_case(self) -> Case {
        Case::new(format!("conv on tensor cores Dgrad {} rounds once", self.name()), Storage::F32, move |probe| {
            probe.tape.set_tf32(true);
            let bound = 1.0 / f64::from(1 << 24);
            self.check(probe, Dgrad, Addend, whole, Some(Tolerance { f32: bound, bf16: bound }))
        })
    }

    /// Factors that TF32 rounds up, by a quarter of its unit (2^-10): the product of two is off by 2^-11 and a little.
    fn rounding_case(self, pass: Pass) -> Case {
        Case::new(format!("conv on tensor cores {pass:?} {} rounds to TF32", self.name()), Storage::F32, move |probe| {
            probe.tape.set_tf32(true);
            let bound = 1.02 / f64::from(1 << 11);
            self.check(probe, pass, Nothing, between, Some(Tolerance { f32: bound, bf16: bound }))
        })
    }
}

/// Standard normal numbers that bf16 holds exactly, and TF32, too.
fn exact(probe: &mut Probe<'_>, name: &str, shape: [usize; 4]) -> ValueId {
    let values = probe.normal(shape.iter().product());
    probe.activation_of(name, shape, values.into_iter().map(|x| half::bf16::from_f64(x).to_f64()).collect())
}

/// Nothing but an addend, so small that float32 holds it as a subnormal number.
fn faint(probe: &mut Probe<'_>, name: &str, shape: [usize; 4]) -> ValueId {
    let scale = if name == "addend" { 2f64.powi(-130) } else { 0.0 };
    let values = probe.normal(shape.iter().product());
    probe.activation_of(name, shape, values.into_iter().map(|x| x * scale).collect())
}

/// Ones, and an addend that leaves the sum of four of them near four.
fn whole(probe: &mut Probe<'_>, name: &str, shape: [usize; 4]) -> ValueId {
    let values = probe.normal(shape.iter().product());
    let round = |x: f64| if name == "addend" { x / 8.0 } else { 1.0 };
    probe.activation_of(name, shape, values.into_iter().map(round).collect())
}

/// 1 + 3/4 of TF32's unit, with random signs.
fn between(probe: &mut Probe<'_>, name: &str, shape: [usize; 4]) -> ValueId {
    let size = 1.0f64 + 0.75 / 1024.0;
    let values = probe.normal(shape.iter().product());
    probe.activation_of(name, shape, values.into_iter().map(|x| size.copysign(x)).collect())
}

pub(in crate::ops) fn cases() -> Vec<Case> {
    let one = [1, 1];
    let two = [2, 2];
    let spread = |layer: Layer| Layer { dilation: [2, 3], padding: [2, 3], ..layer };
    let bare = |layer: Layer| Layer { padding: [0, 0], ..layer };
    // By tile; every kernel meets several blocks along both sides of the matrix, a last one that is not full, more stages
    // than it keeps, and taps that begin within a stage.
    let bf16: Vec<(Layer, Pass, Besides)> = vec![
        // 128 x 16.
        (layer([4, 7, 6, 16], [3, 3], 8, one), Fprop, Bias),
        (layer([9, 7, 6, 24], [3, 3], 16, two), Fprop, Nothing),
        (layer([5, 7, 2, 8], [1, 1], 16, one), Fprop, Bias),
        (layer([4, 7, 6, 8], [3, 3], 16, one), Dgrad, Addend),
        (layer([9, 7, 9, 16], [3, 3], 24, [2, 1]), Dgrad, Nothing),
        (layer([7, 7, 6, 16], [3, 3], 8, one), Wgrad, Bias),
        (layer([3, 5, 40, 40], [1, 3], 16, one), Wgrad, Nothing),
        // 128 x 32.
        (layer([5, 9, 8, 24], [3, 3], 32, two), Fprop, Bias),
        (spread(layer([2, 9, 8, 16], [3, 3], 24, one)), Fprop, Nothing),
        (layer([1, 5, 8, 32], [1, 1], 32, one), Fprop, Nothing),
        (layer([1, 7, 10, 8], [1, 1], 24, one), Fprop, Bias),
        (layer([5, 9, 8, 32], [3, 3], 24, two), Dgrad, Addend),
        (layer([2, 9, 8, 32], [1, 1], 16, two), Dgrad, Addend),
        (layer([2, 9, 8, 32], [1, 1], 16, two), Dgrad, Nothing),
        (layer([60, 3, 5, 24], [3, 3], 32, two), Wgrad, Nothing),
        (spread(layer([3, 11, 10, 8], [3, 2], 24, one)), Wgrad, Bias),
        // 64 x 64.
        (layer([2, 9, 8, 40], [1, 1], 72, one), Fprop, Bias),
        (bare(layer([3, 6, 9, 16], [2, 3], 40, [1, 2])), Fprop, Nothing),
        (layer([2, 6, 7, 32], [3, 3], 40, one), Fprop, Nothing),
        (layer([2, 9, 8, 72], [1, 1], 40, one), Dgrad, Nothing),
        (spread(layer([3, 9, 8, 40], [3, 3], 24, two)), Dgrad, Addend),
        (layer([5, 9, 8, 40], [1, 1], 72, one), Wgrad, Bias),
        (bare(layer([5, 19, 15, 64], [1, 1], 40, two)), Wgrad, Nothing),
        // 128 x 64; a large one needs 64 blocks.
        (layer([2, 9, 8, 8], [5, 3], 2056, one), Fprop, Bias),
        (layer([1, 5, 8, 8], [1, 1], 4104, one), Fprop, Nothing),
        (layer([1, 7, 10, 8], [1, 1], 4104, one), Fprop, Nothing),
        (layer([1, 10, 10, 32], [1, 1], 4104, one), Fprop, Nothing),
        (layer([2, 9, 8, 2056], [5, 3], 8, one), Dgrad, Addend),
        (layer([1, 5, 8, 4104], [1, 1], 8, one), Dgrad, Nothing),
        (layer([1, 7, 10, 4104], [1, 1], 8, one), Dgrad, Nothing),
        // Sums of more stages than are kept, behind the last pixel in each quarter of a tile.
        (layer([1, 5, 8, 4104], [1, 1], 136, one), Dgrad, Nothing),
        (layer([2, 9, 8, 2056], [1, 1], 136, one), Dgrad, Nothing),
        (layer([1, 10, 11, 4104], [1, 1], 136, one), Dgrad, Nothing),
        (layer([1, 19, 19, 1032], [2, 2], 32, two), Dgrad, Nothing),
        (layer([5, 9, 8, 24], [3, 3], 72, one), Wgrad, Bias),
        (layer([6, 9, 15, 40], [2, 2], 40, two), Wgrad, Nothing),
        // Any channels.
        (layer([4, 11, 9, 7], [3, 3], 70, two), Fprop, Bias),
        (layer([4, 5, 4, 37], [2, 3], 13, one), Fprop, Nothing),
        (layer([3, 9, 8, 70], [3, 3], 7, two), Dgrad, Addend),
        (layer([2, 9, 8, 3], [3, 3], 24, one), Dgrad, Nothing),
        (layer([5, 9, 8, 7], [3, 3], 70, one), Wgrad, Bias),
        (layer([5, 9, 15, 13], [3, 2], 9, two), Wgrad, Nothing),
        // Any even ones.
        (layer([3, 6, 5, 10], [3, 3], 74, one), Fprop, Bias),
        (layer([3, 6, 5, 70], [3, 3], 14, one), Dgrad, Nothing),
        (layer([10, 6, 5, 14], [3, 3], 70, one), Wgrad, Bias),
    ];
    let tf32: Vec<(Layer, Pass, Besides)> = vec![
        // 128 x 32.
        (layer([5, 9, 8, 12], [3, 3], 28, two), Fprop, Bias),
        (layer([1, 3, 3, 8], [1, 1], 20, one), Fprop, Nothing),
        (layer([1, 5, 8, 16], [1, 1], 20, one), Fprop, Nothing),
        (layer([3, 7, 10, 8], [3, 3], 32, one), Fprop, Nothing),
        (layer([5, 9, 8, 12], [3, 3], 28, two), Dgrad, Addend),
        (layer([1, 3, 3, 20], [1, 1], 16, one), Dgrad, Nothing),
        (layer([4, 5, 8, 32], [3, 3], 8, one), Dgrad, Nothing),
        (layer([5, 9, 8, 12], [3, 3], 28, one), Wgrad, Bias),
        // 64 x 64.
        (layer([2, 9, 8, 36], [1, 1], 68, one), Fprop, Nothing),
        (layer([3, 5, 7, 16], [3, 3], 68, one), Fprop, Bias),
        (layer([1, 3, 3, 16], [1, 1], 68, one), Fprop, Nothing),
        (layer([2, 9, 8, 68], [1, 1], 36, one), Dgrad, Nothing),
        (layer([3, 9, 7, 68], [3, 3], 16, two), Dgrad, Addend),
        (layer([1, 3, 3, 68], [1, 1], 16, one), Dgrad, Nothing),
        (layer([5, 9, 8, 36], [1, 1], 68, one), Wgrad, Nothing),
        // 128 x 64.
        (layer([2, 9, 8, 4], [5, 3], 2052, one), Fprop, Bias),
        (layer([1, 5, 8, 4], [1, 1], 4100, one), Fprop, Nothing),
        (layer([1, 7, 10, 4], [1, 1], 4100, one), Fprop, Nothing),
        (layer([1, 10, 10, 16], [1, 1], 4100, one), Fprop, Nothing),
        (layer([2, 9, 8, 2052], [5, 3], 4, one), Dgrad, Addend),
        (layer([1, 5, 8, 4100], [1, 1], 4, one), Dgrad, Nothing),
        (layer([1, 7, 10, 4100], [1, 1], 4, one), Dgrad, Nothing),
        (layer([1, 19, 19, 1028], [2, 2], 16, two), Dgrad, Nothing),
        (layer([5, 9, 8, 20], [3, 3], 68, two), Wgrad, Bias),
    ];
    // Enough for each place in each kernel where a factor is read.
    let rounded = [
        (layer([1, 5, 6, 12], [3, 3], 28, one), Fprop),
        (layer([1, 5, 6, 12], [3, 3], 28, one), Dgrad),
        (layer([1, 5, 6, 12], [3, 3], 28, one), Wgrad),
        (layer([1, 5, 6, 36], [1, 1], 68, one), Fprop),
        (layer([1, 5, 6, 68], [1, 1], 36, one), Dgrad),
        (layer([1, 5, 6, 36], [1, 1], 68, one), Wgrad),
        (layer([1, 5, 6, 4], [1, 1], 4096, one), Fprop),
        (layer([1, 5, 6, 4096], [1, 1], 4, one), Dgrad),
        (layer([1, 5, 6, 20], [3, 3], 68, one), Wgrad),
    ];
    // Weight gradients over maps of less than a stage, with a stride.
    let small_maps = [
        (layer([60, 3, 5, 16], [3, 3], 8, two), Storage::Bf16),
        (layer([60, 3, 5, 8], [3, 2], 40, two), Storage::Bf16),
        (layer([60, 3, 5, 24], [3, 3], 40, two), Storage::Bf16),
        (layer([60, 3, 5, 6], [3, 3], 10, two), Storage::Bf16),
        (layer([60, 3, 5, 12], [3, 3], 20, two), Storage::F32),
        (layer([60, 3, 5, 4], [3, 3], 36, two), Storage::F32),
        (layer([60, 3, 5, 20], [3, 3], 36, two), Storage::F32),
    ];
    // Matrices that end in each of a warp's rows and columns, and channels that leave each rest in a pack.
    let point = |inputs: usize, outputs: usize| layer([1, 3, 3, inputs], [1, 1], outputs, one);
    let (mut ends, mut any) = (Vec::new(), Vec::new());
    for packs in 1..=8 {
        let wide = [96, 40, 48, 56][packs % 4];
        for (inputs, outputs) in [(8 * packs, 8), (8 * packs, 24), (8 * packs, wide), (64 + 8 * packs, wide)] {
            ends.push((point(inputs, outputs), Storage::Bf16, Wgrad));
        }
        for (inputs, outputs) in [(8 * packs, 20), (8 * packs, wide - 4), (64 + 8 * packs, wide - 4)] {
            ends.push((point(inputs, outputs), Storage::F32, Wgrad));
        }
        any.extend([Fprop, Dgrad, Wgrad].map(|pass| (point(9 * packs, 11 * packs), pass)));
    }
    // Reductions that end with a stage, or a little behind it.
    for (storage, depths) in [(Storage::Bf16, [32, 40]), (Storage::F32, [16, 20])] {
        for (depth, columns) in depths.into_iter().flat_map(|depth| [8, 24, 40].map(|columns| (depth, columns))) {
            ends.push((point(depth, columns), storage, Fprop));
            ends.push((point(columns, depth), storage, Dgrad));
        }
    }
    let faint = [
        (layer([1, 11, 11, 16], [1, 1], 8, one), Storage::Bf16),
        (layer([1, 11, 11, 32], [1, 1], 8, one), Storage::Bf16),
        (layer([1, 11, 11, 64], [1, 1], 8, one), Storage::Bf16),
        (layer([1, 8, 8, 4104], [1, 1], 8, one), Storage::Bf16),
        (layer([1, 8, 8, 64], [1, 1], 7, one), Storage::Bf16),
        (layer([1, 11, 11, 32], [1, 1], 4, one), Storage::F32),
        (layer([1, 8, 8, 64], [1, 1], 4, one), Storage::F32),
        (layer([1, 8, 8, 4100], [1, 1], 4, one), Storage::F32),
    ];
    let bf16 = bf16.into_iter().map(|(layer, pass, besides)| layer.case(Storage::Bf16, pass, besides));
    let tf32 = tf32.into_iter().map(|(layer, pass, besides)| layer.case(Storage::F32, pass, besides));
    let rounded = rounded.into_iter().map(|(layer, pass)| layer.rounding_case(pass));
    let faint = faint.into_iter().map(|(layer, storage)| layer.faint_case(storage));
    let whole =
        [(1, 11, 11, 32), (1, 8, 8, 64), (1, 8, 8, 4100)].map(|(n, h, w, c)| layer([n, h, w, c], [1, 1], 4, one));
    let any = any.into_iter().map(|(layer, pass)| layer.case(Storage::Bf16, pass, Nothing));
    let whole = whole.into_iter().map(Layer::whole_case);
    let small_maps = small_maps.into_iter().map(|(layer, storage)| layer.case(storage, Wgrad, Nothing));
    let ends = ends.into_iter().map(|(layer, storage, pass)| layer.case(storage, pass, Nothing));
    bf16.chain(tf32).chain(rounded).chain(faint).chain(whole).chain(any).chain(small_maps).chain(ends).collect()
}
