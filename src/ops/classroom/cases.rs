//! What the kernels are checked on.

use super::{ClassroomOptions, Mentoring, Ranking, Scope};
use crate::ops::case::{Case, Storage, Tolerance};
use crate::ops::kl_divergence::cases::{of_gradient, of_loss};
use crate::ops::row_kernels::{labels, last_output};

pub(in crate::ops) fn cases() -> Vec<Case> {
    let plain = ClassroomOptions { tau: 4.0, ..Default::default() };
    let ordinal = ClassroomOptions { ranking: Ranking::Ordinal, ..plain.clone() };
    let sharpness = ClassroomOptions { mentoring: Mentoring::Dtkd, tau: 2.0, ..plain.clone() };
    let sample = ClassroomOptions { scope: Scope::Sample, ..plain.clone() };
    let homogeneous = ClassroomOptions { homogeneous: true, teachers: 2, ..plain.clone() };
    // What is added to every network's logit of the label: the student, then better and worse mentors. The last does as
    // the student does.
    let mixed = &[0.5, 2.5, -1.5, 1.0, f64::NAN][..];
    let variants = [
        ("", plain.clone(), [5, 10], mixed),
        ("of one", plain.clone(), [1, 3], &[0.5, 1.5]),
        ("of six", plain.clone(), [33, 10], &[1.0, 3.0, 2.0, 0.0, -1.0, 1.5, 0.5]),
        ("of 100 classes", plain.clone(), [33, 100], &[1.0, 4.0, 2.0, -1.0]),
        ("of 257 classes", plain.clone(), [5, 257], &[1.0, 4.0, 0.0]),
        ("of many rows", plain.clone(), [1030, 3], &[0.5, 1.0]),
        ("where nobody is asked", plain.clone(), [5, 10], &[4.0, -1.0, 0.0]),
        ("where everybody is asked", plain.clone(), [5, 10], &[-1.0, 2.0, 3.0]),
        ("where nobody knows anything", plain.clone(), [5, 10], &[-1000.0, -1000.0, -1000.0]),
        ("not rounded", ClassroomOptions { rank_digits: None, ..plain.clone() }, [5, 10], mixed),
        ("of whole shares", ClassroomOptions { rank_digits: Some(0), ..plain.clone() }, [5, 10], &[0.0, 6.0]),
        ("of four digits", ClassroomOptions { rank_digits: Some(4), ..plain.clone() }, [5, 10], mixed),
        ("without mentoring", ClassroomOptions { mentoring: Mentoring::Off, ..plain.clone() }, [5, 10], mixed),
        ("without asking", ClassroomOptions { asking: false, ..homogeneous.clone() }, [5, 10], mixed),
        ("without asking by sample", ClassroomOptions { asking: false, ..sample.clone() }, [5, 10], mixed),
        ("homogeneous", homogeneous.clone(), [5, 10], mixed),
        ("by order", ordinal.clone(), [6, 10], mixed),
        (
            "by order without mentoring",
            ClassroomOptions { mentoring: Mentoring::Off, ..ordinal.clone() },
            [5, 10],
            mixed,
        ),
        ("by order and sample", ClassroomOptions { scope: Scope::Sample, ..ordinal.clone() }, [5, 10], mixed),
        ("by sharpness", sharpness.clone(), [7, 10], mixed),
        ("by sharpness and order", ClassroomOptions { ranking: Ranking::Ordinal, ..sharpness.clone() }, [5, 10], mixed),
        ("by sharpness and sample", ClassroomOptions { scope: Scope::Sample, ..sharpness.clone() }, [5, 10], mixed),
        ("by sharpness homogeneous", ClassroomOptions { homogeneous: true, ..sharpness }, [5, 10], mixed),
        ("by sample", sample.clone(), [33, 10], mixed),
        ("by sample homogeneous", ClassroomOptions { scope: Scope::Sample, ..homogeneous }, [5, 10], mixed),
    ];
    variants.into_iter().map(|(name, options, shape, bonus)| case(name, options, shape, bonus)).collect()
}

fn case(name: &str, options: ClassroomOptions, [rows, classes]: [usize; 2], bonus: &'static [f64]) -> Case {
    Case::new(format!("classroom {name}"), Storage::F32, move |probe| {
        let labels_of = |row: usize| (7 * row + 2) % classes;
        let mut networks = Vec::new();
        let mut student = Vec::new();
        for (network, bonus) in bonus.iter().enumerate() {
            let mut values = probe.normal(rows * classes);
            for (row, values) in values.chunks_exact_mut(classes).enumerate() {
                // Far from zero, and on both sides of it. By sharpness both have to be: against logits that are below
                // zero the others' temperature is next to nothing, and the divergence drowns all else.
                let around = match options.mentoring {
                    Mentoring::Dtkd => [4.0, 2.0, -9.0][row % 3],
                    _ => [80.0, 3.0, -80.0][(row + network) % 3],
                };
                values.iter_mut().for_each(|z| *z = around + 1.5 * *z);
                values[labels_of(row)] += bonus;
            }
            if bonus.is_nan() {
                values.clone_from(&student);
            }
            if network == 0 {
                student.clone_from(&values);
            }
            networks.push(probe.float_of("logits", [rows, classes], values));
        }
        let labels = labels(probe, rows, classes);
        let found = probe.tape.classroom_loss(networks[0], &networks[1..], labels, &options)?;
        let gradient = last_output(probe, 1);
        // The divergences' temperatures are 5 at most.
        let (of_loss, of_gradient) = (of_loss(classes, 5.0), of_gradient(classes, 5.0));
        probe.check("loss", found.loss, of_loss);
        probe.check("terms", found.terms, of_loss);
        probe.check("gradient", gradient, of_gradient);
        // From here on what follows from ln p(y) alone: a sum over the classes.
        probe.check("ranks", found.ranks, Tolerance::sum(classes));
        probe.check("weights", found.weights, Tolerance::sum(classes));
        probe.check("temperatures", found.temperatures, Tolerance::sum(classes));
        probe.check("active", found.active, Tolerance::sum(1));
        Ok(())
    })
}
