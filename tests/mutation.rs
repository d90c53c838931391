//! How good the checks of the kernels are: a fixed sample of mutants of the PTX that ships, each with one instruction
//! changed, is run through the cases of its kernel. At least 95 of 100 have to be caught, and each that is not stands in
//! `mutation/survivors.toml` with the reason.
//!
//! `KD_MUTANT` tries those mutants alone whose description contains it. `KD_MUTANTS` is how many mutants of each kernel are
//! tried (3 without it), `KD_MUTANTS_SEED` which: then survivors are printed instead of looked up. `KD_MUTANTS_OF` limits
//! the kernels to those whose name contains it.

use std::collections::BTreeMap;

use kd_engine::doctor::mutation::{Fate, Subject, Trial};
use kd_engine::gpu::nvrtc;
use kd_engine::ops;
use ptxsim::mutate::{Class, Mutant};
use rayon::prelude::*;
use serde::Deserialize;

/// Seed of the cases' inputs.
const INPUTS: u64 = 1;
/// Mutants of each kernel in the fixed sample, and its seed.
const SAMPLE: (usize, u64) = (3, 7);

/// Whether a change means the same by the contract of our kernels, and is left out for that reason:
///
/// - `Subnormals`: results below 2^-126 become zero, which no tolerance relative to a tensor's largest element sees;
/// - `Rounding` of one float32 operation toward zero: its error is a unit in place of half a unit, and the bound of a sum
///   of many terms holds as before. Conversions to bf16 and to integers are no such case.
///
/// Sanitizer and comparison are asked about everything else.
fn is_nuance(mutant: &Mutant) -> bool {
    match mutant.class {
        Class::Subnormals => true,
        Class::Rounding => {
            let words: Vec<&str> = mutant.before.split_whitespace().next().unwrap_or_default().split('.').collect();
            words[0] != "cvt" || words[words.len() - 2] == "f32"
        }
        _ => false,
    }
}

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

/// FNV-1a of a kernel's name: other kernels do not change which of its mutants are drawn.
fn fingerprint(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
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
        .flat_map(|name| {
            let subject = Subject::new(name, &cases, INPUTS).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mutants = subject.sample(count, seed ^ fingerprint(name), |mutant| !is_nuance(mutant));
            let mutants = mutants.into_iter().filter(|mutant| mutant.to_string().contains(&wanted));
            mutants.map(|mutant| subject.examine(mutant).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    let of = |fate: fn(&Fate) -> bool| trials.iter().filter(move |trial| fate(&trial.fate));
    let survivors: Vec<String> = of(|fate| *fate == Fate::Survived).map(|trial| trial.mutant.to_string()).collect();
    let caught = of(|fate| matches!(fate, Fate::Caught(_))).count();
    // Those that could not show in any execution are the same kernel.
    let (tried, same) = (caught + survivors.len(), of(|fate| *fate == Fate::Same).count());
    println!("{caught} of {tried} mutants of {} kernels caught; {same} more never give another result", names.len());
    survivors.iter().for_each(|survivor| println!("survived: {survivor}"));
    if !fixed {
        return;
    }
    assert!(tried >= 300, "only {tried} mutants");
    assert!(caught * 100 >= tried * 95, "{caught} of {tried} mutants caught");
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
