//! The loss against a direct computation and, through the tape, against finite differences; every ablation.

use std::ops::Range;

use super::*;
use crate::tape::check::{check_gradients_from, random};
use crate::tape::{Arena, Plan, StateLayout, launches};
use crate::tensor::DType;

const IMAGES: usize = 5;
const CLASSES: usize = 7;
const MENTORS: usize = 3;

fn variants() -> Vec<ClassroomOptions> {
    let plain = ClassroomOptions::default();
    vec![
        plain.clone(),
        ClassroomOptions { rank_digits: None, ..plain.clone() },
        ClassroomOptions { mentoring: Mentoring::Off, ..plain.clone() },
        ClassroomOptions { asking: false, ..plain.clone() },
        ClassroomOptions { mentoring: Mentoring::Dtkd, ..plain.clone() },
        ClassroomOptions { ranking: Ranking::Ordinal, ..plain.clone() },
        ClassroomOptions { homogeneous: true, ..plain.clone() },
        ClassroomOptions { scope: Scope::Sample, ..plain },
    ]
}

/// Logits that make mentor 0 good, mentor 1 bad and mentor 2 middling at class 0, which is every image's label.
fn logit(network: usize, index: usize) -> f64 {
    let bonus = [0.5, 2.5, -1.5, 1.0][network];
    0.6 * random(21, network as u64, index as u64) + if index.is_multiple_of(CLASSES) { bonus } else { 0.0 }
}

struct Found {
    loss: f64,
    gradient: Vec<f64>,
    terms: Vec<f64>,
    ranks: Vec<f64>,
    weights: Vec<f64>,
    temperatures: Vec<f64>,
    active: Vec<f64>,
}

/// The operation on all images.
fn compute(options: &ClassroomOptions, student: &[f64]) -> Found {
    compute_for(options, student, 0..IMAGES)
}

/// The operation on some of the images.
fn compute_for(options: &ClassroomOptions, student: &[f64], images: Range<usize>) -> Found {
    let mut layout = StateLayout::new();
    let shape = [images.len(), CLASSES];
    let elements = images.start * CLASSES..images.end * CLASSES;
    let ids: Vec<_> = (0..=MENTORS).map(|n| layout.declare(format!("logits {n}"), DType::F64, shape)).collect();
    let labels = layout.declare("labels", DType::U32, [images.len()]);
    let mut tape = Tape::new(DType::F64);
    let values: Vec<_> = ids.iter().map(|id| tape.state(&layout, *id)).collect();
    let labels = tape.state(&layout, labels);
    let loss = tape.classroom_loss(values[0], &values[1..], labels, options).unwrap();
    let one = tape.fill([], 1.0);
    let gradient = tape.backward(&[(loss.loss, one)], &values[..1]).unwrap()[0].unwrap();
    let read = [loss.loss, gradient, loss.terms, loss.ranks, loss.weights, loss.temperatures, loss.active];
    read.iter().for_each(|id| tape.keep(*id));
    let plan = Plan::new(&tape, &layout);
    let mut state = layout.allocate();
    state.set_f64(ids[0], &student[elements.clone()]);
    for (network, id) in ids.iter().enumerate().skip(1) {
        let logits: Vec<f64> = elements.clone().map(|index| logit(network, index)).collect();
        state.set_f64(*id, &logits);
    }
    let mut arena = Arena::new(plan.bytes());
    plan.run(&mut arena, &mut state).unwrap();
    let [loss, gradient, terms, ranks, weights, temperatures, active] =
        read.map(|id| plan.read_f64(&arena, &state, id).unwrap());
    Found { loss: loss[0], gradient, terms, ranks, weights, temperatures, active }
}

fn student() -> Vec<f64> {
    (0..IMAGES * CLASSES).map(|index| logit(0, index)).collect()
}

fn log_softmax(row: &[f64], temperature: f64) -> Vec<f64> {
    let total = row.iter().map(|z| (z / temperature).exp()).sum::<f64>().ln();
    row.iter().map(|z| z / temperature - total).collect()
}

/// The released loss, written down again from its definition.
#[test]
fn the_default_is_the_definition() {
    let rows: Vec<Vec<Vec<f64>>> = (0..=MENTORS)
        .map(|n| (0..IMAGES).map(|i| (0..CLASSES).map(|c| logit(n, i * CLASSES + c)).collect()).collect())
        .collect();
    let cross_entropy: Vec<f64> =
        rows.iter().map(|rows| -rows.iter().map(|row| log_softmax(row, 1.0)[0]).sum::<f64>() / 5.0).collect();
    let ranks: Vec<f64> = cross_entropy.iter().map(|ce| (-ce).exp()).collect();
    let sum: f64 = ranks.iter().sum();
    let weights: Vec<f64> = ranks.iter().map(|r| (r / sum * 100.0).round() / 100.0 * 3.0).collect();
    let mut loss = ranks[0] * cross_entropy[0];
    let found = compute(&ClassroomOptions::default(), &student());
    for mentor in 1..=MENTORS {
        let active = weights[mentor] >= weights[0];
        assert_eq!(found.active[mentor - 1], f64::from(u8::from(active)));
        if active {
            let t = 1.0 + 12.0 * (1.0 - weights[0] / weights[mentor]);
            assert!((found.temperatures[mentor - 1] - t).abs() < 1e-12);
            for (m, s) in rows[mentor].iter().zip(&rows[0]) {
                let (m, s) = (log_softmax(m, t), log_softmax(s, t));
                let divergence: f64 = m.iter().zip(&s).map(|(m, s)| m.exp() * (m - s)).sum();
                loss += weights[mentor] * t * t * divergence / IMAGES as f64;
            }
        }
    }
    assert_eq!(found.active, [1.0, 0.0, 1.0], "the bad mentor is not asked");
    assert!((found.loss - loss).abs() <= 1e-12 * loss, "{} is not {loss}", found.loss);
    assert!((found.terms.iter().sum::<f64>() - loss).abs() <= 1e-12 * loss);
    assert!(found.ranks.iter().zip(&ranks).all(|(a, b)| (a - b).abs() <= 1e-14));
    assert!(found.weights.iter().zip(&weights).all(|(a, b)| (a - b).abs() <= 1e-14));
}

/// With ranks, weights and temperatures held (rounding makes them piecewise constant; the cross-entropy's own weight
/// is not, so it is held by hand), the gradient is that of the loss.
#[test]
fn gradients_match_differences_with_the_standing_held() {
    for options in variants() {
        let base = compute(&options, &student());
        let held = |found: &Found| {
            // terms / weight is CE; the weight is the base's. The mentors' terms hold only weights that do not move.
            let (own, logits) = (base.terms[0], found.terms[0]);
            let cross_entropy = |found: &Found| -found.ranks[0].ln();
            let is_geometric = options.ranking == Ranking::Ratio && options.scope == Scope::Batch;
            let first = if is_geometric { own * cross_entropy(found) / cross_entropy(&base) } else { logits };
            first + found.terms[1..].iter().sum::<f64>()
        };
        let moves = options.rank_digits.is_none()
            || options.mentoring == Mentoring::Dtkd
            || options.ranking == Ranking::Ordinal
            || options.scope == Scope::Sample;
        if moves {
            continue; // Checked against the closed form below: here the weights themselves move with the logits.
        }
        for element in 0..IMAGES * CLASSES {
            let at = |step: f64| {
                let mut logits = student();
                logits[element] += step;
                held(&compute(&options, &logits))
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            let error = (numeric - base.gradient[element]).abs();
            assert!(error <= 1e-7, "{options:?}, element {element}: {} and {numeric}", base.gradient[element]);
        }
    }
}

/// The gradient of every variant from its closed form, with the standing it reports (per batch).
#[test]
fn gradients_have_the_closed_form() {
    for options in variants().into_iter().filter(|o| o.scope == Scope::Batch && o.mentoring != Mentoring::Dtkd) {
        let found = compute(&options, &student());
        let own = match (options.asking, options.homogeneous) {
            (false, _) => 1.0,
            (true, false) => found.ranks[0],
            (true, true) => 1.0 + found.ranks[0],
        };
        for image in 0..IMAGES {
            let row = |n: usize| (0..CLASSES).map(|c| logit(n, image * CLASSES + c)).collect::<Vec<f64>>();
            let p = |n: usize, t: f64, c: usize| log_softmax(&row(n), t)[c].exp();
            for class in 0..CLASSES {
                let mut expected = own * (p(0, 1.0, class) - f64::from(u8::from(class == 0)));
                for m in 0..MENTORS {
                    let t = found.temperatures[m];
                    let factor = match options.ranking {
                        Ranking::Ratio => found.weights[1 + m] * t * t,
                        Ranking::Ordinal => found.weights[1 + m] * (t - 1.0) * (t - 1.0),
                    };
                    if found.active[m] > 0.0 {
                        expected += factor / t * (p(0, t, class) - p(1 + m, t, class));
                    }
                    if options.homogeneous && m < options.teachers {
                        expected += p(0, 1.0, class) - p(1 + m, 1.0, class);
                    }
                }
                let gradient = found.gradient[image * CLASSES + class] * IMAGES as f64;
                assert!((gradient - expected).abs() <= 1e-12, "{options:?}: {gradient} is not {expected}");
            }
        }
    }
}

/// Ranks per sample are those of a batch of one, averaged.
#[test]
fn a_sample_by_itself_is_a_batch_of_one() {
    let (batch, sample) =
        (ClassroomOptions::default(), ClassroomOptions { scope: Scope::Sample, ..Default::default() });
    let all = compute(&sample, &student());
    let each: Vec<Found> = (0..IMAGES).map(|image| compute_for(&batch, &student(), image..image + 1)).collect();
    let mean = |of: fn(&Found) -> f64| each.iter().map(of).sum::<f64>() / IMAGES as f64;
    assert!((all.loss - mean(|found| found.loss)).abs() <= 1e-12);
    for mentor in 0..MENTORS {
        let active = each.iter().map(|found| found.active[mentor]).sum::<f64>() / IMAGES as f64;
        assert_eq!(all.active[mentor], active);
    }
    for (image, one) in each.iter().enumerate() {
        for (class, gradient) in one.gradient.iter().enumerate() {
            assert!((all.gradient[image * CLASSES + class] - gradient / IMAGES as f64).abs() <= 1e-14);
        }
    }
}

/// Without asking every weight is one and nothing depends on ranks: plain finite differences hold.
#[test]
fn without_asking_gradients_match_differences() {
    let options = ClassroomOptions { asking: false, ..Default::default() };
    check_gradients_from(
        3,
        &[Shape::from([IMAGES, CLASSES])],
        |_, index| logit(0, index as usize),
        |tape, layout, x| {
            let labels = layout.declare("labels", DType::U32, [IMAGES]);
            let mentor = layout.declare("mentor", DType::F64, [IMAGES, CLASSES]);
            let (labels, mentor) = (tape.state(layout, labels), tape.state(layout, mentor));
            Ok(tape.classroom_loss(x[0], &[mentor], labels, &options)?.loss)
        },
    );
}

/// The DTKD ablation, with its temperatures written down again.
#[test]
fn dtkd_temperatures_are_exchanged_and_constant() {
    let found = compute(&ClassroomOptions { mentoring: Mentoring::Dtkd, ..Default::default() }, &student());
    let row = |n: usize, image: usize| (0..CLASSES).map(|c| logit(n, image * CLASSES + c)).collect::<Vec<f64>>();
    let most = |row: &[f64]| row.iter().copied().fold(f64::MIN, f64::max);
    for image in 0..IMAGES {
        for class in 0..CLASSES {
            let p = |n: usize, t: f64| log_softmax(&row(n, image), t)[class].exp();
            let mut expected = found.ranks[0] * (p(0, 1.0) - f64::from(u8::from(class == 0)));
            for m in (0..MENTORS).filter(|m| found.active[*m] > 0.0) {
                let temperatures = |image: usize| {
                    let (s, t) = (most(&row(0, image)), most(&row(1 + m, image)));
                    (24.0 * s / (s + t), 24.0 * t / (s + t))
                };
                let product = |i| temperatures(i).0 * temperatures(i).1;
                let mean = (0..IMAGES).map(product).sum::<f64>() / IMAGES as f64;
                let (for_mentor, for_student) = temperatures(image);
                let difference = p(0, for_student) - p(1 + m, for_mentor);
                expected += found.weights[1 + m] * mean / for_student * difference;
            }
            let gradient = found.gradient[image * CLASSES + class] * IMAGES as f64;
            assert!((gradient - expected).abs() <= 1e-12, "{gradient} is not {expected}");
        }
    }
}

#[test]
fn older_ranks_weigh_by_order() {
    let found = compute(&ClassroomOptions { ranking: Ranking::Ordinal, ..Default::default() }, &student());
    // From below: mentor 2 (bad), the student, mentor 3 (middling), mentor 1 (good).
    assert_eq!(found.weights, [0.2, 0.4, 0.1, 0.3]);
    assert_eq!(found.active, [1.0, 0.0, 1.0]);
    let expected = [1.0 + 12.0 * 0.2, 1.0, 1.0 + 12.0 * 0.1];
    assert!(found.temperatures.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{:?}", found.temperatures);
}

/// Whatever the options: no launch more, and nothing in between for the host to do.
#[test]
fn a_gpu_does_it_in_two_launches() {
    for options in variants() {
        let mut layout = StateLayout::new();
        let ids = std::array::from_fn::<_, { 1 + MENTORS }, _>(|n| {
            layout.declare(format!("logits {n}"), DType::F32, [IMAGES, CLASSES])
        });
        let labels = layout.declare("labels", DType::U32, [IMAGES]);
        let mut tape = Tape::new(DType::F32);
        let values = ids.map(|id| tape.state(&layout, id));
        let labels = tape.state(&layout, labels);
        let loss = tape.classroom_loss(values[0], &values[1..], labels, &options).unwrap();
        tape.keep(loss.loss);
        let kernels: Vec<String> = launches(&tape, &layout).unwrap().into_iter().map(|launch| launch.kernel).collect();
        assert_eq!(kernels, ["classroom_ranks_f32", "classroom_loss_f32"], "{options:?}");
    }
}

#[test]
fn bad_options_are_refused() {
    let mut layout = StateLayout::new();
    let id = layout.declare("x", DType::F64, [2, 3]);
    let labels = layout.declare("y", DType::U32, [2]);
    let mut tape = Tape::new(DType::F64);
    let (x, y) = (tape.state(&layout, id), tape.state(&layout, labels));
    assert!(tape.classroom_loss(x, &[], y, &ClassroomOptions::default()).is_err());
    let negative = ClassroomOptions { tau: -1.0, ..Default::default() };
    assert!(tape.classroom_loss(x, &[x], y, &negative).is_err());
}
