//! What the kernels are checked on: every tile of every kernel with channels that fill packs and with channels that do
//! not, with and without bias or addend, on tiles, slices, chunks and strips that are not full. Rows and columns differ
//! in everything, so that nobody can take one for the other.

use super::Conv2dOptions;
use crate::ops::case::{Case, Probe, Storage, Tolerance};
use crate::tape::ValueId;

/// One convolution: images `[N, H, W, C]`, weights `[KH, KW, C / groups, K]`.
#[derive(Clone, Copy, Debug)]
struct Problem {
    storage: Storage,
    images: [usize; 4],
    weights: [usize; 4],
    options: Conv2dOptions,
}

impl Problem {
    fn name(&self, pass: &str) -> String {
        let Conv2dOptions { stride, padding, dilation, groups } = self.options;
        let (images, weights) = (self.images, self.weights);
        let steps = format!("stride {stride:?} padding {padding:?} dilation {dilation:?} groups {groups}");
        format!("conv2d {pass} {images:?} {weights:?} {steps}")
    }

    /// Pixels of the output.
    fn pixels(&self) -> usize {
        let Conv2dOptions { stride, padding, dilation, .. } = self.options;
        let extent = |axis: usize| {
            let reach = (self.weights[axis] - 1) * dilation[axis] + 1;
            (self.images[1 + axis] + 2 * padding[axis] - reach) / stride[axis] + 1
        };
        self.images[0] * extent(0) * extent(1)
    }

    /// Images, weights and, where wanted, the bias.
    fn inputs(&self, probe: &mut Probe<'_>, with_bias: bool) -> (ValueId, ValueId, Option<ValueId>) {
        let (x, w) = (probe.activation("x", self.images), probe.activation("w", self.weights));
        (x, w, with_bias.then(|| probe.float("bias", [self.weights[3]])))
    }

    /// The forward pass.
    fn fprop(self, with_bias: bool) -> Case {
        let name = self.name(if with_bias { "fprop with bias" } else { "fprop" });
        Case::new(name, self.storage, move |probe| {
            let (x, w, bias) = self.inputs(probe, with_bias);
            let y = probe.tape.conv2d(x, w, bias, self.options)?;
            let [rows, columns, channels, _] = self.weights;
            probe.check("y", y, Tolerance::sum(rows * columns * channels));
            Ok(())
        })
    }

    /// The input gradient; with an addend, that of two convolutions with the same images.
    fn dgrad(self, with_addend: bool) -> Case {
        let name = self.name(if with_addend { "dgrad with addend" } else { "dgrad" });
        Case::new(name, self.storage, move |probe| {
            let (x, w, _) = self.inputs(probe, false);
            let mut y = probe.tape.conv2d(x, w, None, self.options)?;
            let [rows, columns, _, outputs] = self.weights;
            let terms = rows * columns * outputs / self.options.groups;
            let mut tolerance = Tolerance::sum(terms);
            if with_addend {
                let other = probe.activation("other w", self.weights);
                let second = probe.tape.conv2d(x, other, None, self.options)?;
                y = probe.tape.add(y, second)?;
                // Twice as many terms; what is added has been rounded once when it was stored.
                let (one, both) = (Tolerance::sum(terms), Tolerance::sum(2 * terms));
                tolerance = Tolerance { f32: both.f32, bf16: one.bf16 + both.bf16 };
            }
            probe.check_gradients(y, &[(x, tolerance)])
        })
    }

    /// The gradients of weights and bias, which are float32 always.
    fn wgrad(self, with_bias: bool) -> Case {
        let name = self.name(if with_bias { "wgrad with bias" } else { "wgrad" });
        Case::new(name, self.storage, move |probe| {
            let (x, w, bias) = self.inputs(probe, with_bias);
            let y = probe.tape.conv2d(x, w, bias, self.options)?;
            let f32 = Tolerance::sum(self.pixels()).f32;
            let tolerance = Tolerance { f32, bf16: f32 };
            let wanted: Vec<_> = [Some(w), bias].into_iter().flatten().map(|id| (id, tolerance)).collect();
            probe.check_gradients(y, &wanted)
        })
    }

    fn all(self, extra: bool) -> [Case; 3] {
        [self.fprop(extra), self.dgrad(extra), self.wgrad(extra)]
    }
}

fn problem(storage: Storage, images: [usize; 4], weights: [usize; 4], options: Conv2dOptions) -> Problem {
    Problem { storage, images, weights, options }
}

const PLAIN: Conv2dOptions = Conv2dOptions { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 };
/// For kernels of 2x3: 2 h - 1 rows become h, w columns stay w.
const TALL: Conv2dOptions = Conv2dOptions { stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 1 };
/// For kernels of 3x2: h + 4 rows become h, 2 w - 1 columns become w.
const WIDE: Conv2dOptions = Conv2dOptions { stride: [1, 2], padding: [0, 1], dilation: [2, 1], groups: 1 };

pub(in crate::ops) fn cases() -> Vec<Case> {
    let mut cases = dense();
    cases.extend(pointwise());
    cases.extend(linear());
    for storage in [Storage::F32, Storage::Bf16] {
        cases.extend(grouped(storage));
        cases.extend(first(storage));
        cases.extend(depthwise(storage));
        cases.push(transposed(storage));
    }
    cases
}

/// The transposed convolution: the input gradient with a bias as addend, and its own gradients.
fn transposed(storage: Storage) -> Case {
    let (images, weights) = ([2, 5, 3, 6], [4, 4, 7, 6]);
    Case::new(format!("conv_transpose2d {images:?} {weights:?} stride 2 padding 1"), storage, move |probe| {
        let (x, w) = (probe.activation("x", images), probe.activation("w", weights));
        // Exact in bf16, to which it is rounded.
        let bias = probe.float_of("bias", [7], (0..7).map(|channel| f64::from(channel) / 4.0 - 1.0).collect());
        let y = probe.tape.conv_transpose2d(x, w, Some(bias), 2, 1)?;
        // Of the taps of each axis every second one meets a pixel.
        probe.check("y", y, Tolerance::sum(2 * 2 * 6 + 1));
        // The bias' gradient sums what bf16 stores exactly; those of the weights and of the bias are float32.
        let (pixels, taps) = (2 * 10 * 6, 4 * 4 * 7);
        let float = |terms: usize| Tolerance { bf16: Tolerance::sum(terms).f32, ..Tolerance::sum(terms) };
        probe.check_gradients(y, &[(x, Tolerance::sum(taps)), (w, float(2 * 5 * 3)), (bias, float(pixels))])
    })
}

/// Channels of the result and extents of the pixels that make 64 tiles, the fewest for which the kernel with tiles of
/// that width is taken; and fewer, for tiles of 32 x 32. The first number of channels fills packs, the second does not.
const TILES: [([usize; 2], [usize; 3]); 4] =
    [([452, 451], [3, 13, 26]), ([28, 27], [3, 52, 52]), ([12, 11], [3, 52, 52]), ([40, 37], [2, 5, 7])];

/// Numbers of channels for the same tiles whose last pack has one, two and three elements.
const RESTS: [[usize; 3]; 4] = [[449, 450, 451], [25, 26, 27], [9, 10, 11], [37, 38, 39]];

/// Each of `rests` with few terms to add up, and the first with sums that end elsewhere in the first slice and a later one.
fn ends(rests: [usize; 3]) -> impl Iterator<Item = (usize, usize)> {
    rests.into_iter().map(|rest| (rest, 6)).chain([7, 22, 23].map(|inner| (rests[0], inner)))
}

fn dense() -> Vec<Case> {
    let mut cases = Vec::new();
    let f32 = Storage::F32;
    for ((_, [n, h, w]), rests) in TILES.into_iter().zip(RESTS) {
        let ring = Conv2dOptions { padding: [1, 1], ..PLAIN };
        for (rest, inner) in ends(rests) {
            cases.push(problem(f32, [n, h - 2, w - 2, inner], [1, 1, inner, rest], ring).fprop(true));
            cases.push(problem(f32, [n, h, w, rest], [1, 1, rest, inner], ring).dgrad(true));
        }
    }
    for rest in [102, 103, 86, 87, 70, 71] {
        cases.push(problem(f32, [2, 11, 17, 6], [3, 2, 6, rest], WIDE).wgrad(true));
        // Images so small that a step over pixels passes whole ones.
        cases.push(problem(f32, [21, 6, 3, 6], [3, 2, 6, rest], WIDE).wgrad(true));
    }
    for ([packs, odd], [n, h, w]) in TILES {
        cases.push(problem(f32, [n, 2 * h - 1, w, 20], [2, 3, 20, packs], TALL).fprop(true));
        cases.push(problem(f32, [n, h + 4, 2 * w - 1, 9], [3, 2, 9, odd], WIDE).fprop(false));
        cases.push(problem(f32, [n, h, w, packs], [2, 3, packs, 20], TALL).dgrad(true));
        cases.push(problem(f32, [n, h, w, odd], [3, 2, odd, 9], WIDE).dgrad(false));
    }
    // Tiles of 64, 32 and 16 channels.
    for [packs, odd] in [[100, 101], [84, 85], [68, 69]] {
        cases.push(problem(f32, [2, 17, 8, 24], [2, 3, 24, packs], TALL).wgrad(true));
        cases.push(problem(f32, [2, 11, 17, 23], [3, 2, 23, odd], WIDE).wgrad(false));
    }
    // Every number of chunks of weight gradients up to 17: loops over chunks that run other numbers of times.
    for chunks in 1..=17 {
        cases.push(problem(f32, [1, 64, chunks + 2, 5], [3, 3, 5, 12], PLAIN).wgrad(true));
    }
    // Padding around a 1x1 kernel; a stride beyond the image; a strided 1x1, most of whose input has no gradient.
    cases.extend(problem(f32, [2, 4, 3, 8], [1, 1, 8, 12], Conv2dOptions { padding: [1, 2], ..PLAIN }).all(false));
    cases.push(
        problem(f32, [2, 2, 3, 8], [3, 3, 8, 12], Conv2dOptions { stride: [4, 4], padding: [1, 1], ..PLAIN })
            .dgrad(true),
    );
    cases.push(problem(f32, [2, 5, 7, 8], [1, 1, 8, 12], Conv2dOptions { stride: [2, 2], ..PLAIN }).dgrad(true));
    cases
}

fn pointwise() -> Vec<Case> {
    let mut cases = Vec::new();
    let f32 = Storage::F32;
    for ((_, [n, h, w]), rests) in TILES.into_iter().zip(RESTS) {
        for (rest, inner) in ends(rests) {
            cases.push(problem(f32, [n, h, w, inner], [1, 1, inner, rest], PLAIN).fprop(true));
            cases.push(problem(f32, [n, h, w, rest], [1, 1, rest, inner], PLAIN).dgrad(true));
        }
    }
    for ([packs, odd], [n, h, w]) in TILES {
        let stride = Conv2dOptions { stride: [2, 1], ..PLAIN };
        cases.push(problem(f32, [n, 2 * h - 1, w, 44], [1, 1, 44, packs], stride).fprop(true));
        cases.push(problem(f32, [n, h, w, 21], [1, 1, 21, odd], PLAIN).fprop(false));
        cases.push(problem(f32, [n, h, w, packs], [1, 1, packs, 44], PLAIN).dgrad(true));
        cases.push(problem(f32, [n, h, w, odd], [1, 1, odd, 21], PLAIN).dgrad(false));
    }
    cases
}

fn linear() -> Vec<Case> {
    let sizes = [(70, 64, 10), (5, 67, 100)];
    let case = |(rows, inputs, outputs): (usize, usize, usize)| {
        Case::new(format!("linear [{rows}, {inputs}] [{inputs}, {outputs}]"), Storage::F32, move |probe| {
            let (x, w) = (probe.float("x", [rows, inputs]), probe.float("w", [inputs, outputs]));
            let bias = probe.float("bias", [outputs]);
            let y = probe.tape.linear(x, w, Some(bias))?;
            probe.check("y", y, Tolerance::sum(inputs));
            let sum = Tolerance::sum;
            probe.check_gradients(y, &[(x, sum(outputs)), (w, sum(rows)), (bias, sum(rows))])
        })
    };
    sizes.into_iter().map(case).collect()
}

fn grouped(storage: Storage) -> Vec<Case> {
    let (two, three) = (Conv2dOptions { groups: 2, ..TALL }, Conv2dOptions { groups: 3, ..WIDE });
    vec![
        problem(storage, [2, 17, 8, 24], [2, 3, 12, 40], two).fprop(true),
        problem(storage, [2, 11, 17, 15], [3, 2, 5, 33], three).fprop(false),
        problem(storage, [2, 17, 9, 40], [2, 3, 20, 24], two).dgrad(true),
        problem(storage, [2, 11, 17, 33], [3, 2, 11, 15], three).dgrad(false),
        problem(storage, [2, 17, 8, 24], [2, 3, 12, 40], two).wgrad(true),
        problem(storage, [2, 11, 17, 33], [3, 2, 11, 51], three).wgrad(false),
        // Loops over channels that run other numbers of times.
        problem(storage, [1, 5, 7, 26], [1, 3, 13, 28], two).fprop(true),
        problem(storage, [1, 5, 7, 28], [1, 3, 14, 26], two).dgrad(true),
        problem(storage, [1, 5, 7, 30], [1, 3, 15, 14], two).wgrad(true),
        problem(storage, [1, 5, 7, 6], [1, 1, 3, 8], two).fprop(true),
        problem(storage, [1, 5, 7, 32], [2, 2, 16, 12], two).fprop(false),
    ]
}

fn first(storage: Storage) -> Vec<Case> {
    let mut cases = Vec::new();
    // One tile of 16 channels, then several of 32.
    for [packs, odd] in [[12, 11], [68, 67]] {
        cases.push(problem(storage, [2, 17, 8, 3], [2, 3, 3, packs], TALL).fprop(true));
        cases.push(problem(storage, [2, 11, 17, 1], [3, 2, 1, odd], WIDE).fprop(false));
    }
    // A padding that reaches beyond the kernel: whole results without a pixel.
    let far = Conv2dOptions { padding: [3, 4], ..PLAIN };
    cases.push(problem(storage, [1, 5, 6, 3], [3, 3, 3, 20], far).fprop(true));
    cases.push(problem(storage, [1, 5, 6, 2], [3, 3, 2, 12], far).fprop(false));
    // Results that end at every row of a thread's own.
    for more in 0..8 {
        cases.push(problem(storage, [1, 3, 11 + more, 2], [1, 2, 2, 12], PLAIN).fprop(false));
        cases.push(problem(storage, [1, 3, 11 + more, 2], [1, 2, 2, 20], PLAIN).fprop(false));
    }
    let square = Conv2dOptions { padding: [2, 2], ..PLAIN };
    // Fewer pixels than a slice.
    cases.push(problem(storage, [1, 3, 4, 3], [2, 2, 3, 19], PLAIN).wgrad(true));
    cases.push(problem(storage, [1, 4, 6, 2], [2, 2, 2, 17], PLAIN).wgrad(true));
    for (channels, rows) in [(1, 9), (2, 13), (4, 17), (3, 40)] {
        cases.push(problem(storage, [1, rows, 9, channels], [4, 4, channels, 12], square).wgrad(true));
    }
    cases.push(problem(storage, [2, 7, 10, 4], [5, 5, 4, 20], square).fprop(false));
    cases.push(problem(storage, [2, 7, 10, 4], [5, 5, 4, 20], square).wgrad(true));
    cases.push(problem(storage, [2, 11, 17, 3], [3, 2, 3, 19], WIDE).wgrad(false));
    cases.push(problem(storage, [2, 17, 8, 3], [2, 3, 3, 12], TALL).wgrad(true));
    if storage == Storage::F32 {
        cases.push(problem(storage, [2, 11, 17, 3], [3, 2, 3, 19], WIDE).dgrad(false));
    }
    cases
}

fn depthwise(storage: Storage) -> Vec<Case> {
    let with = |channels: usize, options: Conv2dOptions| Conv2dOptions { groups: channels, ..options };
    let side = Conv2dOptions { padding: [1, 1], ..PLAIN };
    let half = Conv2dOptions { stride: [2, 2], padding: [1, 0], ..PLAIN };
    let far = Conv2dOptions { padding: [2, 3], ..PLAIN };
    let mut cases = vec![
        // 3x3 on whole packs, stride 1 and 2; a padding that reaches beyond the kernel.
        problem(storage, [2, 5, 10, 24], [3, 3, 1, 24], with(24, side)).fprop(true),
        problem(storage, [3, 6, 7, 8], [3, 3, 1, 8], with(8, far)).fprop(false),
        problem(storage, [2, 5, 10, 24], [3, 3, 1, 24], with(24, side)).dgrad(true),
        problem(storage, [3, 6, 7, 8], [3, 3, 1, 8], with(8, far)).dgrad(false),
        problem(storage, [2, 9, 14, 24], [3, 3, 1, 24], with(24, half)).fprop(true),
        problem(storage, [3, 10, 13, 8], [3, 3, 1, 8], with(8, half)).fprop(false),
    ];
    // Results that end at every place of a strip.
    for more in 0..4 {
        cases.push(problem(storage, [1, 3, 5 + more, 8], [3, 3, 1, 8], with(8, side)).fprop(false));
        cases.push(problem(storage, [1, 3, 5 + more, 8], [3, 3, 1, 8], with(8, side)).dgrad(true));
        cases.push(problem(storage, [1, 5, 9 + more, 8], [3, 3, 1, 8], with(8, half)).fprop(true));
    }
    // Several blocks.
    cases.push(problem(storage, [2, 20, 33, 24], [3, 3, 1, 24], with(24, side)).fprop(false));
    cases.push(problem(storage, [2, 20, 33, 24], [3, 3, 1, 24], with(24, side)).dgrad(false));
    cases.push(problem(storage, [2, 40, 33, 24], [3, 3, 1, 24], with(24, half)).fprop(false));
    // Any kernel; channels that fill packs and others; more than nine taps.
    cases.extend(problem(storage, [2, 23, 12, 24], [5, 3, 1, 24], with(24, TALL)).all(true));
    cases.extend(problem(storage, [2, 18, 31, 10], [3, 3, 1, 10], with(10, WIDE)).all(false));
    cases.extend(problem(storage, [1, 7, 9, 96], [3, 3, 1, 96], with(96, half)).all(true));
    // Last packs of one and three channels.
    cases.extend(problem(storage, [1, 9, 6, 7], [3, 3, 1, 7], with(7, side)).all(true));
    cases.extend(problem(storage, [1, 9, 6, 9], [3, 3, 1, 9], with(9, half)).all(false));
    // Loops over taps that run four and eight times.
    cases.extend(problem(storage, [1, 9, 6, 12], [4, 2, 1, 12], with(12, side)).all(false));
    cases.extend(problem(storage, [1, 11, 4, 6], [8, 1, 1, 6], with(6, far)).all(false));
    cases.extend(problem(storage, [1, 6, 11, 12], [2, 4, 1, 12], with(12, side)).all(false));
    cases.extend(problem(storage, [1, 4, 13, 6], [1, 8, 1, 6], with(6, far)).all(false));
    cases
}
