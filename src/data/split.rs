//! The validation split: held out of the training split, by seed, class by class.

use crate::random::{Philox, Stream};
use crate::{Error, Result};

/// Indices into the training split, ascending: first those to train on, then those held out.
///
/// Of every class of n images, round(n · `fraction`) but at least one is held out; which ones is drawn from `seed`.
/// `fraction` 0 holds nothing out.
///
/// # Errors
/// If `fraction` is not in [0, 1), or a class would have no image left to train on.
pub fn split_validation(labels: &[u32], classes: &[String], fraction: f64, seed: u64) -> Result<(Vec<u32>, Vec<u32>)> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(Error::request(format!("data.validation is {fraction}"))
            .help("expected the share of the training split to hold out: at least 0, below 1"));
    }
    if fraction == 0.0 {
        return Ok(((0..labels.len() as u32).collect(), Vec::new()));
    }
    let mut members = vec![Vec::new(); classes.len()];
    for (index, label) in labels.iter().enumerate() {
        members[*label as usize].push(index as u32);
    }
    let generator = Philox::new(seed, Stream::Split);
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for (class, members) in members.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        let held_out = ((members.len() as f64 * fraction).round() as usize).max(1);
        if held_out >= members.len() {
            return Err(Error::request(format!(
                "data.validation = {fraction} leaves nothing to train on of class `{}`, which has {} image{}",
                classes[class],
                members.len(),
                if members.len() == 1 { "" } else { "s" }
            ))
            .help("choose a smaller share, or 0 for no validation split"));
        }
        let order = generator.permutation(class as u64, members.len());
        let (held_out, rest) = order.split_at(held_out);
        validation.extend(held_out.iter().map(|index| members[*index as usize]));
        train.extend(rest.iter().map(|index| members[*index as usize]));
    }
    train.sort_unstable();
    validation.sort_unstable();
    Ok((train, validation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(count: usize) -> Vec<String> {
        crate::data::dataset::numbered_classes(count)
    }

    #[test]
    fn split_is_stratified_and_complete() {
        // 100 images of class 0, 50 of class 1, 3 of class 2.
        let labels: Vec<u32> =
            (0..153).map(|i| if i % 3 == 1 && i < 150 { 1 } else { u32::from(i >= 150) * 2 }).collect();
        let (train, validation) = split_validation(&labels, &classes(3), 0.1, 1).unwrap();
        let count = |class| validation.iter().filter(|index| labels[**index as usize] == class).count();
        assert_eq!([count(0), count(1), count(2)], [10, 5, 1]);
        let mut all = [train.clone(), validation.clone()].concat();
        assert!(train.is_sorted() && validation.is_sorted());
        all.sort_unstable();
        assert!(all.into_iter().eq(0..153));
    }

    #[test]
    fn seed_alone_decides() {
        let labels = vec![0; 100];
        let first = split_validation(&labels, &classes(1), 0.2, 1).unwrap();
        assert_eq!(first, split_validation(&labels, &classes(1), 0.2, 1).unwrap());
        assert_ne!(first, split_validation(&labels, &classes(1), 0.2, 2).unwrap());
        // Classes are drawn independently of each other.
        let labels: Vec<u32> = (0..200).map(|index| index / 100).collect();
        let (_, validation) = split_validation(&labels, &classes(2), 0.2, 1).unwrap();
        let second: Vec<u32> = validation[20..].iter().map(|index| index - 100).collect();
        assert_ne!(validation[..20], second);
    }

    #[test]
    fn zero_holds_nothing_out_and_impossible_shares_are_errors() {
        let labels = [0, 1, 1, 1];
        assert_eq!(split_validation(&labels, &classes(2), 0.0, 1).unwrap(), (vec![0, 1, 2, 3], vec![]));
        for fraction in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = split_validation(&labels, &classes(2), fraction, 1).unwrap_err();
            assert!(error.to_string().contains("data.validation"), "{error}");
        }
        let error = split_validation(&labels, &classes(2), 0.1, 1).unwrap_err().to_string();
        assert!(error.contains("class `0`, which has 1 image"), "{error}");
        let error = split_validation(&labels[1..], &classes(2), 0.9, 1).unwrap_err().to_string();
        assert!(error.contains("class `1`, which has 3 images"), "{error}");
    }
}
