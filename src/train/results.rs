//! What came out, model by model, and the summary made of it.

use serde::{Deserialize, Serialize};

use super::records::{Accuracies, Spread, Summary, SummaryModel};
use crate::config::Config;
use crate::gpu::Processor;
use crate::ops::evaluate::Counts;

/// One trained (or loaded) model on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelResult {
    /// `teacher`, `peer-1`, ..., `student`.
    pub role: String,
    /// The model's name.
    pub model: String,
    /// Trainable parameters.
    pub params: u64,
    /// The method's label; `cross_entropy` for mentors pretrained in the run.
    pub trained_by: String,
    /// The method's own name, where the config labels it otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method_name: Option<String>,
    /// Top-1 of the last weights.
    pub last: f64,
    /// Top-1 of the weights that were best on the validation split, where there is one.
    pub best_validation: Option<f64>,
    /// Top-1 per class of the last weights; null for a class without images.
    pub per_class: Vec<Option<f64>>,
    /// What the method has learned of its own, in a few words each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<String>,
}

/// Top-1 per class; none for a class without images, of which nothing is known.
pub fn per_class(counts: &Counts) -> Vec<Option<f64>> {
    let share = |(hits, images): (&f64, &f64)| (*images > 0.0).then(|| hits / images);
    counts.class_top1.iter().zip(&counts.class_images).map(share).collect()
}

/// Gathers results over seeds: one row per role and method, in the order of their first appearance.
pub fn summarise(processor: &Processor, config: &Config, classes: &[String], results: &[ModelResult]) -> Summary {
    let mut rows: Vec<(&ModelResult, Vec<&ModelResult>)> = Vec::new();
    for result in results {
        match rows.iter_mut().find(|(first, _)| first.role == result.role && first.trained_by == result.trained_by) {
            Some((_, all)) => all.push(result),
            None => rows.push((result, vec![result])),
        }
    }
    let models = rows
        .into_iter()
        .map(|(first, all)| {
            let best: Option<Vec<f64>> = all.iter().map(|result| result.best_validation).collect();
            // All seeds are tested on the same images: a class has some for all of them, or for none.
            let class = |index: usize| {
                let sum = all.iter().map(|result| result.per_class[index]).sum::<Option<f64>>()?;
                Some(sum / all.len() as f64)
            };
            SummaryModel {
                role: first.role.clone(),
                model: first.model.clone(),
                params: first.params,
                trained_by: first.trained_by.clone(),
                method_name: first.method_name.clone(),
                top1: Accuracies {
                    last: Spread::of(all.iter().map(|result| result.last).collect()),
                    best_validation: best.map(Spread::of),
                },
                per_class: (0..first.per_class.len()).map(class).collect(),
                learned: match all.iter().all(|result| result.learned.is_empty()) {
                    true => Vec::new(),
                    false => all.iter().map(|result| result.learned.clone()).collect(),
                },
            }
        })
        .collect();
    Summary {
        format: Summary::FORMAT.into(),
        name: config.name.clone(),
        device: processor.to_string(),
        seeds: config.train.seeds.clone(),
        classes: classes.to_vec(),
        models,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_class_without_images_nothing_is_known() {
        let counts = Counts {
            images: 10.0,
            loss: 1.0,
            top1: 4.0,
            top5: 10.0,
            class_top1: vec![4.0, 0.0, 0.0],
            class_images: vec![8.0, 0.0, 2.0],
        };
        assert_eq!(per_class(&counts), [Some(0.5), None, Some(0.0)]);
    }
}
