//! The GPU's code: `kernels/classroom.cu`.

use super::standing::{ClassroomOptions, Mentoring, Ranking, Scope};
use crate::ops::row_kernels::{ROW_THREADS, ROW_WARPS};
use crate::tape::{Argument, Launch, Launcher};

/// Blocks at most: their parts are added up by every warp of the second launch.
const BLOCKS: usize = 256;

/// `Classroom` in `kernels/standing.cuh`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Classroom {
    rows: u32,
    classes: u32,
    mentors: u32,
    asking: u32,
    ordinal: u32,
    adaptive: u32,
    per_sample: u32,
    sharpness: u32,
    homogeneous: u32,
    extra: u32,
}

/// What lies where in the workspace, for N networks of which M are mentors.
pub(super) struct Layout {
    blocks: usize,
    /// Softmaxes `[N, rows]` of 16 bytes.
    softmaxes: usize,
    /// Parts of the ranks, f64 `[N + M, blocks]`.
    parts: usize,
    /// Totals of the blocks, f64 `[2N + 2M, blocks]`.
    totals: usize,
    /// The ticket, u32.
    ticket: usize,
}

impl Layout {
    pub(super) fn new(rows: usize, networks: usize) -> Self {
        let blocks = rows.div_ceil(ROW_WARPS).min(BLOCKS);
        let numbers = 2 * networks - 1;
        Self {
            blocks,
            softmaxes: 16 * networks * rows,
            parts: 8 * numbers * blocks,
            totals: 16 * numbers * blocks,
            ticket: 4,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.softmaxes + self.parts + self.totals + self.ticket
    }
}

pub(super) fn launch(launcher: &mut Launcher<'_>, options: &ClassroomOptions) {
    let (dtype, shape) = (launcher.input_dtype(0), launcher.input_shape(0));
    let (rows, networks) = (shape.rows(), launcher.input_count() - 1);
    let mentors = networks - 1;
    let flag = |condition: bool| u32::from(condition);
    let asking = options.asking;
    let classroom = Classroom {
        rows: rows as u32,
        classes: shape.channels() as u32,
        mentors: mentors as u32,
        asking: flag(asking),
        ordinal: flag(options.ranking == Ranking::Ordinal),
        adaptive: flag(options.mentoring == Mentoring::Adaptive),
        per_sample: flag(options.scope == Scope::Sample && asking),
        sharpness: flag(options.mentoring == Mentoring::Dtkd && asking),
        homogeneous: flag(options.homogeneous),
        extra: if options.homogeneous && asking { options.teachers as u32 } else { 0 },
    };
    let classroom = Argument::Structure(bytemuck::bytes_of(&classroom).into());
    let digits = options.rank_digits.map_or(0.0, |digits| 10f64.powi(digits as i32));

    let layout = Layout::new(rows, networks);
    let mut offset = 0;
    let mut place = |bytes: usize| {
        offset += bytes;
        launcher.workspace(offset - bytes, bytes)
    };
    let [softmaxes, parts, totals, ticket] =
        [layout.softmaxes, layout.parts, layout.totals, layout.ticket].map(&mut place);
    // Network 0 is input 0; mentor m is input 2 + m.
    let pointers = [0].into_iter().chain(2..launcher.input_count()).map(|index| launcher.input(index)).collect();
    let logits = launcher.table(pointers);
    let labels = launcher.input(1);

    let mut arguments = vec![logits.clone(), labels.clone(), softmaxes.clone(), parts.clone(), ticket.clone()];
    arguments.extend([classroom.clone(), (options.tau as f32).into()]);
    launcher.launch(format!("classroom_ranks_{dtype}"), [layout.blocks, networks, 1], ROW_THREADS, arguments);

    let mut arguments = vec![logits, labels, softmaxes, parts, totals, ticket];
    arguments.extend((0..7).map(|index| launcher.output(index)));
    arguments.extend([classroom, options.tau.into(), digits.into(), (1.0 / rows as f64).into()]);
    // Of every warp: a standing (2N + 3M), products (M) and sums (2N + 2M), in f64.
    let shared = ROW_WARPS * 8 * (4 * networks + 6 * mentors);
    launcher.push(Launch {
        kernel: format!("classroom_loss_{dtype}"),
        grid: [layout.blocks as u32, 1, 1],
        block: [ROW_THREADS, 1, 1],
        shared: shared as u32,
        arguments,
    });
}
