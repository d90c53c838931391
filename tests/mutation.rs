//! How good the checks of the kernels are: a fixed sample of mutants of the PTX that ships, each with one instruction
//! changed, is run through the cases of its kernel. At least 95 of 100 have to be caught, and each that is not stands in
//! `mutation/survivors.toml` with the reason.
//!
//! `KD_MUTANT` tries those mutants alone whose description contains it. `KD_MUTANTS` is how many mutants of each kernel are tried (3 without it), `KD_MUTANTS_SEED` which: then survivors are
//! printed instead of looked up. `KD_MUTANTS_OF` limits the kernels to those whose name contains it.

use std::collections::BTreeMap;

use kd_engine::doctor::mutation::{Subject, Trial};
use kd_engine::gpu::nvrtc;
use kd_engine::ops;
use ptxsim::mutate::Class;
use rayon::prelude::*;
use serde::Deserialize;

/// Seed of the cases' inputs.
const INPUTS: u64 = 1;
/// Mutants of each kernel in the fixed sample, and its seed.
const SAMPLE: (usize, u64) = (3, 7);

/// Changes that mean the same by the contract of our kernels, and are left out for that reason:
///
/// - `Signedness` of indices, sizes and their comparisons: it shows from the 2^31st element of a tensor on only;
/// - `Subnormals`: results below 2^-126 become zero, which no tolerance relative to a tensor's largest element sees;
/// - `Rounding` of one operation toward zero: its error is a unit in place of half a unit, and the bound of a sum of many
///   terms holds as before.
///
/// Sanitizer and comparison are asked about everything else.
const NUANCES: [Class; 3] = [Class::Signedness, Class::Subnormals, Class::Rounding];

/// A mutant that is not caught, and why that is right.
#[derive(Debug, Deserialize)]
struct Survivor {
    mutant: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Survivors {
    survivor: Vec<Survivor>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

#[test]
fn mutants_are_caught() {
    let cases = ops::cases();
    let only = std::env::var("KD_MUTANTS_OF").unwrap_or_default();
    let names = nvrtc::kernel_names().unwrap().into_iter();
    // What one wrapper does is compared bit for bit by the golden values.
    let names: Vec<&str> = names.filter(|name| !name.starts_with("golden_") && name.contains(&only)).collect();
    let count = number("KD_MUTANTS").unwrap_or(SAMPLE.0 as u64) as usize;
    let seed = number("KD_MUTANTS_SEED").unwrap_or(SAMPLE.1);
    let wanted = std::env::var("KD_MUTANT").unwrap_or_default();
    let fixed = wanted.is_empty() && count == SAMPLE.0 && seed == SAMPLE.1 && only.is_empty();
    let trials: Vec<Trial> = names
        .par_iter()
        .enumerate()
        .flat_map(|(place, name)| {
            let subject = Subject::new(name, &cases, INPUTS).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mutants = subject.sample(count, seed + 1000 * place as u64, |class| !NUANCES.contains(&class));
            let mutants = mutants.into_iter().filter(|mutant| mutant.to_string().contains(&wanted));
            mutants.map(|mutant| subject.examine(mutant).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    let survivors: Vec<String> =
        trials.iter().filter(|trial| trial.caught.is_none()).map(|trial| trial.mutant.to_string()).collect();
    let caught = trials.len() - survivors.len();
    println!("{caught} of {} mutants of {} kernels caught", trials.len(), names.len());
    survivors.iter().for_each(|survivor| println!("survived: {survivor}"));
    if !fixed {
        return;
    }
    assert!(trials.len() >= 300, "only {} mutants", trials.len());
    assert!(caught * 100 >= trials.len() * 95, "{caught} of {} mutants caught", trials.len());
    let known: Survivors = toml::from_str(include_str!("mutation/survivors.toml")).unwrap();
    let known: BTreeMap<&str, &str> =
        known.survivor.iter().map(|one| (one.mutant.as_str(), one.reason.as_str())).collect();
    for survivor in &survivors {
        let reason = known.get(survivor.as_str());
        assert!(reason.is_some_and(|reason| !reason.is_empty()), "survived without a reason: {survivor}");
    }
    for mutant in known.keys() {
        assert!(survivors.iter().any(|survivor| survivor == mutant), "caught, or gone, but listed: {mutant}");
    }
}
