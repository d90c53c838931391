//! What two batches of vectors have in common where the vectors themselves cannot be compared: the distances between them
//! and the angles that they see each other under (Park, Kim, Lu, Cho: Relational Knowledge Distillation, CVPR 2019,
//! equations 4 to 9). The target's relations are constants.

use crate::error::{Error, Result};
use crate::ops::matmul::Transposed;
use crate::tape::{Tape, ValueId};

/// Squares of distances are no less than this before the root is taken.
const LEAST_SQUARE: f64 = 1e-12;

/// The differences between the vectors of a batch.
#[derive(Clone, Copy, Debug)]
struct Differences {
    /// `e_ij = v_j - v_i`, `[B, B, D]`; zero for `i = j`.
    vectors: ValueId,
    /// `|e_ij|^2`, `[B, B, 1]`.
    squares: ValueId,
    /// B.
    count: usize,
}

/// The losses of a student's vectors for the relations of a target's.
#[derive(Clone, Copy, Debug)]
pub struct Relations {
    student: Differences,
    target: Differences,
}

impl Relations {
    /// Of vectors `student` `[B, D]` and `target` `[B, E]`, which becomes a constant.
    ///
    /// # Errors
    /// If these are not as many vectors, or there are not two of them.
    pub fn new(tape: &mut Tape, student: ValueId, target: ValueId) -> Result<Self> {
        let shapes = [student, target].map(|id| tape.shape(id));
        if shapes.iter().any(|shape| shape.rank() != 2) || shapes[0][0] != shapes[1][0] || shapes[0][0] < 2 {
            return Err(Error::request(format!(
                "no relations between vectors of shapes {} and {}",
                shapes[0], shapes[1]
            ))
            .help("expected [B, D] and [B, E] with at least 2 images in the batch"));
        }
        let target = tape.detach(target);
        Ok(Self { student: Differences::new(tape, student)?, target: Differences::new(tape, target)? })
    }

    /// The mean over all pairs (B^2) of `smooth_l1(d_ij / m - d'_ij / m')`: `d` the student's distances
    /// `sqrt(max(|e_ij|^2, 1e-12))`, 0 for `i = j`; `m` the mean of the positive ones, through which gradients flow too; `d'`
    /// and `m'` the target's. A scalar.
    ///
    /// # Errors
    /// If an operation refuses.
    pub fn distance_loss(&self, tape: &mut Tape) -> Result<ValueId> {
        let (student, of_diagonal) = self.student.relative_distances(tape)?;
        let (target, target_of_diagonal) = self.target.relative_distances(tape)?;
        let count = self.student.count as f64;
        let mean = mean_smooth_l1(tape, student, target)?;
        // The distance of a vector from itself is the root of what squares are at least, not 0: it is taken out again.
        let of_diagonal = mean_smooth_l1(tape, of_diagonal, target_of_diagonal)?;
        tape.weighted_sum(&[(1.0, mean), (-1.0 / count, of_diagonal)])
    }

    /// The mean over all triplets (B^3) of `smooth_l1(cos_ijk - cos'_ijk)`, `cos_ijk = <e_ij, e_ik> / (|e_ij| |e_ik|)`, 0 where
    /// one of the differences is zero. A scalar.
    ///
    /// # Errors
    /// If an operation refuses.
    pub fn angle_loss(&self, tape: &mut Tape) -> Result<ValueId> {
        let (student, target) = (self.student.cosines(tape)?, self.target.cosines(tape)?);
        mean_smooth_l1(tape, student, target)
    }
}

impl Differences {
    fn new(tape: &mut Tape, vectors: ValueId) -> Result<Self> {
        let shape = tape.shape(vectors);
        let (count, width) = (shape[0], shape[1]);
        let from = tape.view(vectors, [count, 1, width])?;
        let to = tape.view(vectors, [1, count, width])?;
        let vectors = tape.subtract(to, from)?;
        let squares = tape.square(vectors)?;
        Ok(Self { vectors, squares: tape.sum(squares, &[2])?, count })
    }

    /// Distances divided by the mean of those between different vectors `[B, B, 1]`, and what stands on the diagonal instead
    /// of 0, a scalar.
    fn relative_distances(&self, tape: &mut Tape) -> Result<(ValueId, ValueId)> {
        let squares = tape.at_least(self.squares, LEAST_SQUARE)?;
        let distances = tape.sqrt(squares)?;
        let total = tape.total(distances)?;
        let (count, least) = (self.count as f64, LEAST_SQUARE.sqrt());
        let pairs = count * (count - 1.0);
        let mean = tape.affine(total, 1.0 / pairs, -least * count / pairs)?;
        let of_diagonal = tape.fill([], least);
        Ok((tape.divide(distances, mean)?, tape.divide(of_diagonal, mean)?))
    }

    /// `[B, B, B]`, by the vector that is looked from, to and to.
    fn cosines(&self, tape: &mut Tape) -> Result<ValueId> {
        // As torch.nn.functional.normalize: lengths are at least 1e-12.
        let squares = tape.at_least(self.squares, 1e-24)?;
        let lengths = tape.sqrt(squares)?;
        let directions = tape.divide(self.vectors, lengths)?;
        tape.matmul(directions, directions, Transposed { a: false, b: true })
    }
}

fn mean_smooth_l1(tape: &mut Tape, student: ValueId, target: ValueId) -> Result<ValueId> {
    let difference = tape.subtract(student, target)?;
    let element = tape.smooth_l1(difference)?;
    tape.average(element)
}
