//! Two passes over the logits: true-class probabilities of every network, then every loss with the student's gradient.

use rayon::prelude::*;

use super::standing::{ClassroomOptions, Mentoring, Ranking, Scope, Standing, dtkd_temperatures};
use crate::ops::distribution;
use crate::ops::kl_divergence::divergence_row;
use crate::simd::Element;
use crate::tape::Frame;
use crate::tensor::DType;

/// What one image needs in the workspace, in f64 numbers for N networks of which M are mentors: `ln p_n(y)` (N),
/// weights (N), temperatures, factors and active (3M), terms (N), and the weight of the cross-entropy (1).
fn numbers(networks: usize) -> usize {
    3 * networks + 3 * (networks - 1) + 1
}

/// Bytes of workspace: the numbers of every image and of the batch, one product per mentor (DTKD), then two rows of
/// logits per image.
pub(super) fn workspace(images: usize, classes: usize, networks: usize, dtype: DType) -> usize {
    ((images + 1) * numbers(networks) + networks - 1) * 8 + 2 * images * classes * dtype.size()
}

/// One image's (or the batch's) numbers, taken apart.
struct Numbers<'a> {
    logarithms: &'a mut [f64],
    terms: &'a mut [f64],
    own_weight: &'a mut f64,
    standing: Standing<'a>,
}

impl<'a> Numbers<'a> {
    fn new(numbers: &'a mut [f64], networks: usize) -> Self {
        let mentors = networks - 1;
        let (logarithms, rest) = numbers.split_at_mut(networks);
        let (weights, rest) = rest.split_at_mut(networks);
        let (terms, rest) = rest.split_at_mut(networks);
        let (temperatures, rest) = rest.split_at_mut(mentors);
        let (factors, rest) = rest.split_at_mut(mentors);
        let (active, rest) = rest.split_at_mut(mentors);
        let standing = Standing { weights, temperatures, factors, active };
        Self { logarithms, terms, own_weight: &mut rest[0], standing }
    }
}

/// Computes all outputs of the operation.
pub(super) fn run<T: Element>(options: &ClassroomOptions, frame: &Frame<'_>) {
    let shape = frame.input_shape(0);
    let (images, classes) = (shape.rows(), shape.channels());
    let networks = frame.input_count() - 1;
    let labels = frame.input::<u32>(1);
    // Network 0 is input 0; mentor m is input 2 + m.
    let logits = |network: usize| frame.input::<T>(if network == 0 { 0 } else { 1 + network });
    let row = |network: usize, image: usize| &logits(network)[image * classes..(image + 1) * classes];

    let per_image = numbers(networks);
    let mentors = networks - 1;
    let (numbers_f64, rows_bytes) = frame.workspace::<u8>().split_at_mut(((images + 1) * per_image + mentors) * 8);
    let all: &mut [f64] = bytemuck::cast_slice_mut(numbers_f64);
    let (batch, rest) = all.split_at_mut(per_image);
    let (each, products) = rest.split_at_mut(images * per_image);
    let scratch: &mut [T] = &mut bytemuck::cast_slice_mut(rows_bytes)[..2 * images * classes];
    let outputs: [&mut [T]; 7] = std::array::from_fn(|index| frame.output::<T>(index));
    let [loss, d_logits, terms_out, ranks_out, weights_out, temperatures_out, active_out] = outputs;
    let share = 1.0 / images as f64;

    // Pass 1: ln p_n(y_i).
    each.par_chunks_exact_mut(per_image).enumerate().for_each(|(image, numbers)| {
        let numbers = Numbers::new(numbers, networks);
        for (network, logarithm) in numbers.logarithms.iter_mut().enumerate() {
            let row = row(network, image);
            *logarithm = (row[labels[image] as usize] - distribution::log_sum_exp(row, T::ONE)).to_f64();
        }
    });

    // Ranks of the batch: the geometric mean of true-class probabilities, or the arithmetic one of the older version.
    let mut whole = Numbers::new(batch, networks);
    for network in 0..networks {
        let by_image = (0..images).map(|image| each[image * per_image + network]);
        let rank = match options.ranking {
            Ranking::Ratio => (by_image.sum::<f64>() * share).exp(),
            Ranking::Ordinal => by_image.map(f64::exp).sum::<f64>() * share,
        };
        whole.logarithms[network] = rank;
        ranks_out[network] = T::from_f64(rank);
    }
    *whole.own_weight = whole.standing.settle(options, whole.logarithms);
    let by_sharpness = options.mentoring == Mentoring::Dtkd && options.asking;
    let sharpness = |mentor: usize, image: usize| {
        let largest = |network| distribution::largest(row(network, image)).to_f64();
        dtkd_temperatures(options.tau, largest(0), largest(1 + mentor))
    };
    if by_sharpness {
        for (mentor, product) in products.iter_mut().enumerate() {
            let pairs = (0..images).map(|image| sharpness(mentor, image));
            *product = pairs.map(|(for_mentor, for_student)| for_mentor * for_student).sum::<f64>() * share;
        }
    }

    // Pass 2: losses and the gradient, image by image.
    each.par_chunks_exact_mut(per_image)
        .zip(d_logits.par_chunks_exact_mut(classes))
        .zip(scratch.par_chunks_exact_mut(2 * classes))
        .enumerate()
        .for_each(|(image, ((numbers, gradient), scratch))| {
            let mut own = Numbers::new(numbers, networks);
            let logarithm = own.logarithms[0];
            if options.scope == Scope::Sample && options.asking {
                own.logarithms.iter_mut().for_each(|l| *l = l.exp());
                *own.own_weight = own.standing.settle(options, own.logarithms);
            } else {
                own.standing.weights.copy_from_slice(whole.standing.weights);
                own.standing.temperatures.copy_from_slice(whole.standing.temperatures);
                own.standing.factors.copy_from_slice(whole.standing.factors);
                own.standing.active.copy_from_slice(whole.standing.active);
                *own.own_weight = *whole.own_weight;
            }
            let (difference, softened) = scratch.split_at_mut(classes);
            let label = labels[image] as usize;
            let student = row(0, image);
            distribution::softmax(student, T::ONE, gradient);
            gradient[label] -= T::ONE;
            let own_weight = T::from_f64(*own.own_weight * share);
            gradient.iter_mut().for_each(|g| *g *= own_weight);
            own.terms[0] = -*own.own_weight * logarithm * share;
            for (mentor, product) in products.iter().enumerate() {
                own.terms[1 + mentor] = 0.0;
                let mut add = |factor: f64, temperature: (f64, f64)| {
                    let (for_mentor, for_student) = temperature;
                    let (student_t, mentor_t) = (T::from_f64(for_student), T::from_f64(for_mentor));
                    let row = row(1 + mentor, image);
                    let divergence = divergence_row(student, student_t, row, mentor_t, difference, softened);
                    let slope = T::from_f64(factor * share / for_student);
                    gradient.iter_mut().zip(difference.iter()).for_each(|(g, d)| *g += slope * *d);
                    own.terms[1 + mentor] += factor * divergence * share;
                };
                let factor = own.standing.factors[mentor];
                if factor > 0.0 && by_sharpness {
                    let temperature = sharpness(mentor, image);
                    add(factor * *product, temperature);
                    own.standing.temperatures[mentor] = temperature.0;
                } else if factor > 0.0 {
                    add(factor, (own.standing.temperatures[mentor], own.standing.temperatures[mentor]));
                }
                if options.homogeneous && options.asking && mentor < options.teachers {
                    add(1.0, (1.0, 1.0));
                }
            }
        });

    // What the batch as a whole shows: sums of terms, means of the rest, in the order of images.
    let column = |offset: usize| (0..images).map(|image| each[image * per_image + offset]).sum::<f64>();
    let mut total = 0.0;
    for network in 0..networks {
        let term = column(2 * networks + network);
        total += term;
        terms_out[network] = T::from_f64(term);
        weights_out[network] = T::from_f64(column(networks + network) / images as f64);
    }
    for mentor in 0..mentors {
        temperatures_out[mentor] = T::from_f64(column(3 * networks + mentor) / images as f64);
        active_out[mentor] = T::from_f64(column(3 * networks + 2 * mentors + mentor) / images as f64);
    }
    loss[0] = T::from_f64(total);
}
