//! Measuring, on a device with made-up times.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::gpu::sim::SimOptions;
use crate::gpu::tuning::fake::{Fake, cost};
use crate::gpu::tuning::{Cache, Tuning};
use crate::ops::conv2d::Conv2dOptions;
use crate::tape::{Argument, Launch};
use crate::tensor::DType;

fn tape() -> (Tape, StateLayout) {
    convolution(2, 200)
}

/// A convolution with its gradients. Over many images the weight gradient has tiles and chunks to choose from.
fn convolution(images: usize, channels: usize) -> (Tape, StateLayout) {
    let mut layout = StateLayout::new();
    let ids = [
        layout.declare("x", DType::F32, [images, 12, 11, 5]),
        layout.declare("w", DType::F32, [1, 3, 5, channels]),
        layout.declare("dy", DType::F32, [images, 12, 11, channels]),
    ];
    let mut tape = Tape::new(DType::F32);
    let [x, w, dy] = ids.map(|id| tape.state(&layout, id));
    let options = Conv2dOptions { padding: [0, 1], ..Conv2dOptions::default() };
    let y = tape.conv2d(x, w, None, options).unwrap();
    let gradients = tape.backward(&[(y, dy)], &[x, w]).unwrap();
    [Some(y), gradients[0], gradients[1]].into_iter().flatten().for_each(|id| tape.keep(id));
    (tape, layout)
}

/// Bytes of memory, a quarter of which holds what is measured.
const ENOUGH: u64 = 8 << 20;

fn device(memory: u64) -> Arc<Fake> {
    Arc::new(Fake::new(SimOptions { memory: Some(memory), ..SimOptions::strict(None) }, false))
}

fn measured(folder: &Path, kernels: u64) -> Tuning {
    Tuning::measured(Cache::open(Some(folder), "Fake", (9, 0), kernels))
}

fn plan(device: &Arc<Fake>, tuning: &Tuning) -> Plan {
    let (tape, layout) = tape();
    Plan::on(&Processor::Gpu(device.clone(), tuning.clone()), &tape, &layout).unwrap()
}

/// The launches where `choices` say how.
fn launches(choices: &Choices) -> Vec<Launch> {
    let (tape, layout) = tape();
    let plan = Plan::planned(true, choices, &tape, &layout, Lanes::Sequential).unwrap();
    plan.steps().iter().flat_map(|step| step.launcher().unwrap().launches).collect()
}

fn total(choices: &Choices) -> u64 {
    launches(choices).iter().map(|launch| cost(&launch.kernel, launch.grid)).sum()
}

#[test]
fn the_fastest_variant_is_taken_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (tuning, gpu) = (measured(folder.path(), 1), device(ENOUGH));
    let tuned = plan(&gpu, &tuning);
    assert!(gpu.sim.calls().launches > 0);
    let choices = tuning.made();
    let variants = tape().0.variants();
    assert_eq!(choices.len(), 3, "{choices:?}");
    for Variants { key, names } in &variants {
        for name in names {
            let mut other = choices.clone();
            other.insert(key, name);
            assert!(total(&choices) <= total(&other), "{key}: {name} is faster than {:?}", choices.get(key));
        }
    }
    assert!(total(&choices) < total(&Choices::default()), "the rules of thumb know nothing of these times");
    let kernels: Vec<String> = launches(&choices).into_iter().map(|launch| launch.kernel).collect();
    assert_eq!(tuned.kernels().collect::<Vec<_>>(), kernels);

    // Another process, the same kernels: nothing is measured.
    let (again, gpu) = (measured(folder.path(), 1), device(ENOUGH));
    assert_eq!(plan(&gpu, &again).kernels().collect::<Vec<_>>(), kernels);
    assert_eq!((gpu.sim.calls().launches, again.made()), (0, choices.clone()));
    // A second plan of the same process.
    plan(&gpu, &again);
    assert_eq!(gpu.sim.calls().launches, 0);

    // Other kernels: everything is.
    let (anew, gpu) = (measured(folder.path(), 2), device(ENOUGH));
    plan(&gpu, &anew);
    assert!(gpu.sim.calls().launches > 0);
    assert_eq!(anew.made(), choices, "the times are the same");
}

#[test]
fn what_a_run_has_chosen_it_takes_again() {
    let (usual, gpu) = (launches(&Choices::default()), device(ENOUGH));
    // Of each the last one, whatever its time.
    let mut last = Choices::default();
    for Variants { key, names } in tape().0.variants() {
        last.insert(key, names.last().unwrap());
    }
    let kernels = |plan: &Plan| plan.kernels().map(str::to_string).collect::<Vec<_>>();
    let of = |launches: &[Launch]| launches.iter().map(|launch| launch.kernel.clone()).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    for tuning in [Tuning::default(), measured(folder.path(), 1)] {
        let resumed = tuning.taken_up(Some(last.clone()));
        assert_eq!(kernels(&plan(&gpu, &resumed)), of(&launches(&last)));
        assert_eq!(resumed.made(), last);
    }
    // Without tuning, and in plans that are never run, rules of thumb answer.
    let tuning = measured(folder.path(), 1);
    for untuned in [Tuning::default(), tuning.as_known(), tuning.taken_up(None)] {
        assert_eq!(kernels(&plan(&gpu, &untuned)), of(&usual));
        assert!(untuned.made().is_empty());
    }
    assert_ne!(of(&usual), of(&launches(&last)));
    assert_eq!(gpu.sim.calls().launches, 0);
}

#[test]
fn without_room_to_measure_rules_of_thumb_answer_and_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (tuning, gpu) = (measured(folder.path(), 1), device(400 << 10));
    let (tape, layout) = tape();
    let plan = Plan::with(&Processor::Gpu(gpu.clone(), tuning.clone()), &tape, &layout, Lanes::Sequential).unwrap();
    let kernels: Vec<String> = launches(&Choices::default()).into_iter().map(|launch| launch.kernel).collect();
    assert_eq!(plan.kernels().collect::<Vec<_>>(), kernels);
    assert_eq!(gpu.sim.calls().launches, 0);
    assert_eq!(tuning.made().len(), 3, "the run goes on by them when it is resumed");
    let empty = measured(folder.path(), 1).taken_up(Some(Choices::default()));
    assert!(tape.variants().iter().all(|variants| empty.known(&variants.key, &variants.names).is_none()));
}

/// A plan reserves as many bytes as the launches of the chosen variant take, for every variant.
#[test]
fn workspaces_are_as_large_as_the_chosen_variant_needs() {
    let (tape, layout) = convolution(6, 520);
    let mut sizes = BTreeSet::new();
    for Variants { key, names } in tape.variants() {
        for name in names {
            let mut choices = Choices::default();
            choices.insert(&key, &name);
            let plan = Plan::planned(true, &choices, &tape, &layout, Lanes::Sequential).unwrap();
            for (index, step) in plan.steps().iter().enumerate() {
                let launches = step.launcher().unwrap().launches;
                let places =
                    launches.iter().flat_map(|launch| &launch.arguments).filter_map(|argument| match argument {
                        Argument::Pointer(place) if place.label.starts_with("workspace") => Some(place.bytes),
                        _ => None,
                    });
                let needed = places.max().unwrap_or(0);
                let signature = signature(&tape, index, &choices);
                assert_eq!(tape.nodes[index].op.gpu_workspace(&signature), needed, "{key}: {name}");
                sizes.insert(needed);
            }
        }
    }
    assert!(sizes.len() >= 4, "{sizes:?}");
}
