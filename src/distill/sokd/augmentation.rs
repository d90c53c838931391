//! The nine operations that a policy is made of, on the teacher's feature `[N, h, w, C]`.
//!
//! Shears, translations and the rotation read the map bilinearly at the points of an affine map, with zeros outside and one
//! map for the whole batch. Cutout zeroes one box, the same for all images, as in the released code: around a random pixel
//! `int(v h) div 2` rows and `int(v w) div 2` columns to either side (the last excluded), as far as they lie in the map; so
//! with `v` of at most 0.2 it is of 2x2 pixels at most where maps are 16x16, and there is none where they are 8x8. Noise is
//! normal with deviation `v`. Channel shuffle is a random order of the channels. Channel drop zeroes every channel with
//! probability `v`, without rescaling, the same for all images.
//!
//! A recorded step has one tape for all draws, so which operation applies is a number: one-hot weights over the operations,
//! of which the others are zero. Where nobody learns from them ([`drawn`]) the five affine operations are one reading whose
//! map is chosen, and the others are switched by their weights. Where the weights learn ([`each`]), every operation's result
//! is made and they are summed, so that a weight's gradient is what its operation would have given.

use super::formulas::{blend, complement, straight_through};
use super::policy::Position;
use crate::distill::Lesson;
use crate::error::Result;
use crate::ops::random::Distribution;
use crate::tape::{Tape, ValueId};
use crate::tensor::Shape;

/// An operation on a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Its value at magnitude 0 and 1.
    pub(super) range: [f64; 2],
}

/// All of them; the first five are affine.
pub(super) const KINDS: [Kind; 9] = [
    Kind { name: "shear x", range: [-0.3, 0.3] },
    Kind { name: "shear y", range: [-0.3, 0.3] },
    Kind { name: "translate x", range: [-0.45, 0.45] },
    Kind { name: "translate y", range: [-0.45, 0.45] },
    Kind { name: "rotate", range: [-30.0, 30.0] },
    Kind { name: "cutout", range: [0.0, 0.2] },
    Kind { name: "noise", range: [0.0, 0.1] },
    Kind { name: "channel shuffle", range: [0.0, 0.0] },
    Kind { name: "channel drop", range: [0.0, 0.5] },
];

const SHEAR_X: usize = 0;
const SHEAR_Y: usize = 1;
const TRANSLATE_X: usize = 2;
const TRANSLATE_Y: usize = 3;
const ROTATE: usize = 4;
const CUTOUT: usize = 5;
const NOISE: usize = 6;
const SHUFFLE: usize = 7;
const DROP: usize = 8;

/// Operations that are affine.
const AFFINE: usize = 5;

/// What is drawn for the operations, once for both positions of a sub-policy: it never has the same operation twice.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    /// Standard normal, in the feature's shape.
    noise: ValueId,
    /// An order of the channels, u32 `[C]`.
    order: ValueId,
    /// Even, `[1, 2]`: where the middle of the cutout's box is, (y, x), in shares of the sides.
    place: ValueId,
    /// Even, `[1, C]`: channels below the value are dropped.
    channels: ValueId,
}

/// Pixel numbers, `[1, h, 1, 1]` and `[1, 1, w, 1]`, and the sides of the cutout's boxes.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    rows: ValueId,
    columns: ValueId,
    /// `[1, n]`: 2, 4, ... up to the largest; none where even that is smaller than 2 pixels.
    sides: Option<ValueId>,
    /// By how much a value of a translation moves the map, whose sides are 2 long.
    shift: f64,
}

impl Grid {
    /// `released`: as in the released code, translations by `v h` where `v` times the side is meant (2 v).
    pub(super) fn new(tape: &mut Tape, lesson: &mut Lesson<'_>, shape: Shape, released: bool) -> Result<Self> {
        let float = tape.float();
        let (height, width) = (shape[1], shape[2]);
        let numbers = |from: usize, to: usize| (from..to).map(|x| x as f64).collect::<Vec<_>>();
        let name = |what: &str| format!("augment/{what}/{height}x{width}");
        let rows = lesson.constant(tape, &name("rows"), float, [1, height, 1, 1], numbers(0, height))?;
        let columns = lesson.constant(tape, &name("columns"), float, [1, 1, width, 1], numbers(0, width))?;
        let boxes = (KINDS[CUTOUT].range[1] * height.max(width) as f64) as usize / 2;
        let sides = match boxes {
            0 => None,
            _ => {
                let even = (1..=boxes).map(|half| 2.0 * half as f64).collect();
                Some(lesson.constant(tape, &name("sides"), float, [1, boxes], even)?)
            }
        };
        Ok(Self { rows, columns, sides, shift: if released { height as f64 } else { 2.0 } })
    }
}

impl Draws {
    /// Draws for a feature of `shape`; parity cases give what would be drawn as `<name>/noise` and so on.
    pub(super) fn new(tape: &mut Tape, lesson: &Lesson<'_>, name: &str, shape: Shape) -> Result<Self> {
        let given = |what: &str| lesson.given(&format!("{name}/{what}"));
        let channels = shape.channels();
        let mut draw = |what: &str, distribution, shape: Shape| match given(what) {
            Some(value) => Ok(value),
            None => tape.random(distribution, shape),
        };
        let noise = draw("noise", Distribution::Normal, shape)?;
        let place = draw("place", Distribution::Uniform, [1, 2].into())?;
        let of_channels = draw("channels", Distribution::Uniform, [1, channels].into())?;
        let order = match given("order") {
            Some(value) => value,
            None => tape.random_permutation(channels)?,
        };
        Ok(Self { noise, order, place, channels: of_channels })
    }
}

/// Column `index` of `[1, n]` as `[1, 1, 1, 1]`.
fn at(tape: &mut Tape, row: ValueId, index: usize) -> Result<ValueId> {
    let one = tape.slice(row, index, 1)?;
    tape.view(one, [1, 1, 1, 1])
}

/// Sine and cosine of at most 30 degrees: Taylor's series up to the 11th power, whose error there is below
/// 0.524^13 / 13! = 4e-14, and the root of what is left.
fn sine_and_cosine(tape: &mut Tape, angle: ValueId) -> Result<[ValueId; 2]> {
    let square = tape.square(angle)?;
    // x (1 - x2/(2 3) (1 - x2/(4 5) (1 - ...)))
    let mut series = tape.affine(square, -1.0 / 110.0, 1.0)?;
    for divisor in [72.0, 42.0, 20.0, 6.0] {
        let product = tape.multiply(square, series)?;
        series = tape.affine(product, -1.0 / divisor, 1.0)?;
    }
    let sine = tape.multiply(angle, series)?;
    let square = tape.square(sine)?;
    let left = complement(tape, square)?;
    Ok([sine, tape.sqrt(left)?])
}

/// `x` read through the affine map of the values `[1, 1, 1, 1]` of shear x, shear y, translate x, translate y and rotate;
/// the value of whichever is not applied is zero.
fn read(tape: &mut Tape, x: ValueId, values: [ValueId; AFFINE], shift: f64) -> Result<ValueId> {
    let [shear_x, shear_y, translate_x, translate_y, degrees] = values;
    let angle = tape.scale(degrees, std::f64::consts::PI / 180.0);
    let [sine, cosine] = sine_and_cosine(tape, angle)?;
    // Rows (cos, sin) and (-sin, cos).
    let upper = tape.add(shear_x, sine)?;
    let lower = tape.subtract(shear_y, sine)?;
    let [right, down] = [translate_x, translate_y].map(|value| tape.scale(value, shift));
    let rows = tape.concat(&[cosine, upper, right, lower, cosine, down])?;
    let theta = tape.view(rows, [1, 2, 3])?;
    let shape = tape.shape(x);
    let grid = tape.affine_grid(theta, shape[1], shape[2])?;
    tape.grid_sample(x, grid)
}

/// 1 in the cutout's box, else 0: `[1, h, w, 1]`; none where no box is of a pixel. With `u` even in (0, 1) its middle is row
/// `int(u h)`, and it reaches from `int(v h) div 2` rows above to as many below, the last excluded; columns alike.
fn inside(tape: &mut Tape, value: ValueId, grid: &Grid, draws: &Draws) -> Result<Option<ValueId>> {
    let Some(sides) = grid.sides else { return Ok(None) };
    let value = tape.view(value, [1, 1])?;
    let mut both = Vec::new();
    for (axis, numbers) in [grid.rows, grid.columns].into_iter().enumerate() {
        let extent = tape.shape(numbers).count() as f64;
        let real = tape.scale(value, extent);
        // int(v h) div 2 is how many of 2, 4, ... it reaches.
        let reached = tape.less_or_equal(sides, real)?;
        let half = tape.sum(reached, &[1])?;
        let place = tape.slice(draws.place, axis, 1)?;
        let middle = tape.scale(place, extent);
        let [half, middle] = [tape.view(half, [1, 1, 1, 1])?, tape.view(middle, [1, 1, 1, 1])?];
        // int(middle) - half <= n < int(middle) + half, without rounding: n + half > middle - 1, n - half + 1 <= middle.
        let before = tape.affine(middle, 1.0, -1.0)?;
        let reach = tape.add(numbers, half)?;
        let begun = tape.greater(reach, before)?;
        let last = tape.subtract(numbers, half)?;
        let last = tape.affine(last, 1.0, 1.0)?;
        let ended = tape.less_or_equal(last, middle)?;
        both.push(tape.multiply(begun, ended)?);
    }
    tape.multiply(both[0], both[1]).map(Some)
}

/// Which channels stay where each is dropped with probability `value`: `[1, 1, 1, C]` of 0 and 1.
fn kept(tape: &mut Tape, value: ValueId, draws: &Draws) -> Result<ValueId> {
    let value = tape.view(value, [1, 1])?;
    let kept = tape.greater(draws.channels, value)?;
    let channels = tape.shape(kept).channels();
    tape.view(kept, [1, 1, 1, channels])
}

/// `x` `[N, h, w, C]` after the operation that was drawn for a position, if any. Weights and values are constants.
pub(super) fn drawn(tape: &mut Tape, x: ValueId, position: &Position, grid: &Grid, draws: &Draws) -> Result<ValueId> {
    let [weights, values] = [position.weights, position.values].map(|value| tape.detach(value));
    let weighted = tape.multiply(weights, values)?;
    let first = tape.slice(weights, 0, AFFINE)?;
    let affine = tape.sum(first, &[1])?;
    let affine = tape.view(affine, [1, 1, 1, 1])?;
    let mut of_affine = [affine; AFFINE];
    for (kind, value) in of_affine.iter_mut().enumerate() {
        *value = at(tape, weighted, kind)?;
    }
    let moved = read(tape, x, of_affine, grid.shift)?;
    let mut y = blend(tape, x, moved, affine)?;

    let dropped = at(tape, weighted, DROP)?;
    let mut mask = kept(tape, dropped, draws)?;
    let value = at(tape, weighted, CUTOUT)?;
    if let Some(inside) = inside(tape, value, grid, draws)? {
        let outside = complement(tape, inside)?;
        mask = tape.multiply(outside, mask)?;
    }
    y = tape.multiply(y, mask)?;

    let deviation = at(tape, weighted, NOISE)?;
    let noise = tape.multiply(draws.noise, deviation)?;
    y = tape.add(y, noise)?;

    let share = at(tape, weights, SHUFFLE)?;
    let shuffled = tape.gather_channels(y, draws.order)?;
    let y = blend(tape, y, shuffled, share)?;
    with_magnitude(tape, y, position)
}

/// `x` after the operations of a position, each by its weight: the same numbers as [`drawn`], differentiable in the weights.
pub(super) fn each(tape: &mut Tape, x: ValueId, position: &Position, grid: &Grid, draws: &Draws) -> Result<ValueId> {
    let values = tape.detach(position.values);
    let mut sum = tape.multiply(x, position.identity)?;
    let zero = tape.fill([1, 1, 1, 1], 0.0);
    for (kind, used) in position.used.iter().enumerate() {
        if !used {
            continue;
        }
        let value = at(tape, values, kind)?;
        let made = match kind {
            SHEAR_X | SHEAR_Y | TRANSLATE_X | TRANSLATE_Y | ROTATE => {
                let mut of_affine = [zero; AFFINE];
                of_affine[kind] = value;
                read(tape, x, of_affine, grid.shift)?
            }
            CUTOUT => match inside(tape, value, grid, draws)? {
                Some(inside) => {
                    let outside = complement(tape, inside)?;
                    tape.multiply(x, outside)?
                }
                None => x,
            },
            NOISE => {
                let noise = tape.multiply(draws.noise, value)?;
                tape.add(x, noise)?
            }
            SHUFFLE => tape.gather_channels(x, draws.order)?,
            _ => {
                let mask = kept(tape, value, draws)?;
                tape.multiply(x, mask)?
            }
        };
        let weight = at(tape, position.weights, kind)?;
        let weighted = tape.multiply(made, weight)?;
        sum = tape.add(sum, weighted)?;
    }
    with_magnitude(tape, sum, position)
}

/// `y`, of which the magnitude learns: its gradient is the sum of what flows into the feature.
fn with_magnitude(tape: &mut Tape, y: ValueId, position: &Position) -> Result<ValueId> {
    let Some(magnitude) = position.magnitude else { return Ok(y) };
    let magnitude = tape.view(magnitude, [1, 1, 1, 1])?;
    straight_through(tape, y, magnitude)
}
