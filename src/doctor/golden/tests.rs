//! That no wrapper is without golden values, that a wrong output is seen, and that files are written as they are read.

use std::collections::BTreeMap;

use super::compare::difference;
use super::*;
use crate::gpu::kernels;

fn source(name: &str) -> &'static str {
    &kernels::sources().iter().find(|source| source.name == name).expect("it is embedded").text
}

/// How often each `DEVICE` function is defined in a source: once for each overload and specialisation.
fn definitions(source: &str) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for (at, _) in source.match_indices("DEVICE ").filter(|(at, _)| !source[..*at].ends_with("#define ")) {
        let text = &source[at..];
        let end = text.find([';', '{']).expect("a function ends");
        if text.as_bytes()[end] == b'{' {
            let before = text[..text.find('(').expect("a function has parameters")].trim_end();
            let name = before.rsplit(' ').next().unwrap_or(before);
            *found.entry(name.split('<').next().unwrap_or(name)).or_default() += 1;
        }
    }
    found
}

#[test]
fn every_wrapper_has_golden_values() {
    let prims = source("prims.cuh");
    assert_eq!(prims.matches("__device__").count(), 1, "functions of prims.cuh are marked with DEVICE");
    let wrappers = definitions(prims);
    assert!(wrappers.len() >= 20, "{wrappers:?}");
    let mut kernels_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in &Book::committed().unwrap().cases {
        assert!(wrappers.contains_key(case.wrapper.as_str()), "there is no wrapper {}", case.wrapper);
        kernels_of.entry(&case.wrapper).or_default().insert(&case.kernel);
    }
    for (wrapper, definitions) in wrappers {
        let kernels = kernels_of.get(wrapper).map_or(0, BTreeSet::len);
        assert!(
            kernels >= definitions,
            "{wrapper} is defined {definitions} times and has golden values for {kernels} kernels: add a kernel to \
             kernels/golden.cu and its values to tests/fixtures/make_golden.py"
        );
        let calls = |after: &str| source("golden.cu").contains(&format!("{wrapper}{after}"));
        assert!(calls("(") || calls("<"), "golden.cu does not call {wrapper}");
    }
}

#[test]
fn every_golden_kernel_has_values_and_is_named_after_its_wrapper() {
    let kernels = kernels().unwrap();
    let entries: BTreeSet<&str> =
        source("golden.cu").split("KERNEL(").skip(1).map(|text| text.split(',').next().unwrap()).collect();
    assert_eq!(kernels, entries);
    let mut names = BTreeSet::new();
    for case in &Book::committed().unwrap().cases {
        assert!(case.kernel.starts_with(&format!("golden_{}", case.wrapper)), "{}", case.kernel);
        assert!(names.insert((&case.kernel, &case.about)), "{} ({}) is there twice", case.kernel, case.about);
        assert!(!case.output.is_empty() && case.output.iter().any(|byte| *byte != case.fill), "{}", case.kernel);
    }
}

fn golden(kind: Kind, output: &[u32], bound: &[f32]) -> Golden {
    Golden {
        wrapper: "to_bf16".into(),
        about: "one".into(),
        kernel: "golden_to_bf16".into(),
        grid: 1,
        block: 32,
        fill: 0,
        kind,
        input: Vec::new(),
        output: output.iter().flat_map(|word| word.to_le_bytes()).collect(),
        bound: bound.iter().flat_map(|bound| bound.to_le_bytes()).collect(),
    }
}

#[test]
fn a_wrong_bit_is_a_difference_and_so_is_a_number_for_what_is_none() {
    let of = |kind, expected: u32, found: u32| difference(&golden(kind, &[1, expected], &[]), &words(&[1, found]));
    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
    let (nan, other_nan, infinity) = (0x7fff_ffff, 0xff80_0001, 0x7f80_0000);
    assert_eq!(of(Kind::Bits, 5, 5), None);
    assert_eq!(of(Kind::Bits, 5, 4).unwrap(), "element 1 is 0x00000004, expected 0x00000005");
    assert!(of(Kind::Bits, nan, other_nan).is_some());
    assert!(of(Kind::F32, nan, other_nan).is_none());
    assert!(of(Kind::F32, nan, infinity).is_some() && of(Kind::F32, infinity, nan).is_some());
    assert!(of(Kind::F32, 0, 0x8000_0000).is_some(), "zeros have a sign");
    assert_eq!(of(Kind::Bf16, 0x7fc0_0001, 0x7fff_0001), None);
    assert_eq!(of(Kind::Bf16, 0x7fc0_0001, 0x7f80_0001).unwrap(), "element 3 is 0x7f80, expected 0x7fc0");

    let near = |found: f32| difference(&golden(Kind::F32, &[2.0_f32.to_bits()], &[0.5]), &words(&[found.to_bits()]));
    assert!(near(2.5).is_none() && near(1.5).is_none());
    assert!(near(2.6).is_some() && near(f32::NAN).is_some() && near(f32::INFINITY).is_some());
    assert!(difference(&golden(Kind::Bits, &[1, 2], &[]), &words(&[1])).is_some());
    assert!(difference(&golden(Kind::F32, &[0, 0], &[1.0]), &words(&[0, 0])).is_some(), "a bound is missing");
}

#[test]
fn what_a_device_gave_is_written_as_the_file_that_is_read() {
    let book = Book::committed().unwrap();
    assert_eq!(book.to_json().unwrap(), include_str!("../golden.json"));

    // Another device that gives everything inverted.
    let gave = |golden: &Golden| Some(golden.output.iter().map(|byte| !byte).collect());
    let finding = |golden: &Golden| Finding { golden: golden.clone(), output: gave(golden), fault: None };
    let findings: Vec<Finding> = book.cases.iter().map(finding).collect();
    let written = book.with_outputs("another", &findings).unwrap();
    let read = Book::parse(&written.to_json().unwrap()).unwrap();
    assert_eq!((read.device.as_str(), &read), ("another", &written));
    for (before, after) in book.cases.iter().zip(&read.cases) {
        let kept = !before.bound.is_empty();
        assert_eq!(after.output == before.output, kept, "{}", before.kernel);
    }
    let missing = book.with_outputs("another", &findings[1..]).unwrap_err().to_string();
    assert!(missing.contains(&book.cases[0].kernel), "{missing}");
}

#[test]
fn a_damaged_file_is_refused() {
    let text = include_str!("../golden.json");
    for (good, bad) in
        [("kd-golden/1", "kd-golden/2"), ("\"fill\": 165", "\"fill\": 465"), ("[\n    \"0", "[\n    \"x")]
    {
        assert!(Book::parse(&text.replacen(good, bad, 1)).is_err(), "{bad}");
    }
}
