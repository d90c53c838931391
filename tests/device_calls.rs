//! Between two logging points a step on a GPU is one graph: nothing is sent, fetched, waited for or allocated. Counted at
//! the device of whole runs on the simulator.

#[allow(dead_code)] // It is made for the tests of whole runs.
#[path = "runs/school.rs"]
mod school;

use std::sync::Arc;

use kd_engine::config::{Config, Overrides};
use kd_engine::gpu::Processor;
use kd_engine::gpu::sim::{Calls, Sim, SimOptions};
use kd_engine::train::event::Event;
use kd_engine::train::run::Run;
use kd_engine::train::stop::Stop;
use school::School;

/// Steps between two logging points.
const LOGGED: usize = 16;
/// 128 training images, 16 of them held out, in batches of 4.
const STEPS: usize = 28;

#[test]
fn steps_between_logging_points_are_one_replay_each_and_nothing_else() {
    let school = School::new();
    let model = |name: &str| format!("'{}:{name}'", school.path("models.toml").display());
    let (narrow, wide) = (model("narrow"), model("wide"));
    let sets = [
        ("classroom", format!("{{ student = {narrow}, teachers = [{wide}], peers = [{narrow}] }}")),
        ("train.batch_size", "4".to_string()),
        ("pretrain.batch_size", "4".to_string()),
        ("output.checkpoints", "{ every_epochs = 1, every_steps = 0 }".to_string()),
    ];
    let sets = sets.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    let overrides = Overrides { sets, epochs: Some(2), seeds: Some(vec![1, 2]) };
    let config = Config::load(school.path("school.toml").to_str(), &overrides).unwrap();
    let device = Arc::new(Sim::new(SimOptions::default()));
    let processor = Processor::Gpu(device.clone());
    let run = Run::prepare(config, &processor).unwrap();
    // Calls up to each step's end, with the learners of its stage.
    let mut seen: Vec<(usize, usize, Calls)> = Vec::new();
    let mut learners = 0;
    // Batches of the validation and of the test split.
    let (validation, test) = (16 / 4, 40 / 4);
    let mut observe = |event: &Event| match event {
        Event::Stage { learners: all, seeds, .. } => learners = all.len() * seeds.len(),
        Event::Step { done } => seen.push((learners, *done, device.calls())),
        _ => {}
    };
    run.start(Some(&school.path("run")), &Stop::default(), &mut observe).unwrap();
    assert_eq!(seen.len(), 2 * 2 * STEPS, "two stages of two epochs: both seeds learn in one");
    for pair in seen.windows(2) {
        let [(_, _, before), (learners, done, after)] = pair else { unreachable!("windows of two") };
        let calls = *after - *before;
        let one_replay = Calls { replays: 1, ..Calls::default() };
        let step = (done - 1) % STEPS;
        if step == 0 {
            // The first step of an epoch finds its tables uploaded, the first of a stage everything else.
            assert!(calls.uploads > 0, "step {done}: {calls:?}");
            // What was evaluated before it is a replay per batch; the test split only when validation was at its best.
            if *done > STEPS {
                let evaluated = calls.replays - 1;
                assert!([validation, validation + test].contains(&evaluated), "step {done}: {calls:?}");
            }
        } else if (step + 1).is_multiple_of(LOGGED) || step + 1 == STEPS {
            // Whether every learner still computes with finite numbers.
            assert_eq!(calls, Calls { downloads: *learners as u64, ..one_replay }, "step {done}");
        } else if step.is_multiple_of(LOGGED) {
            // Every learner's running accuracy was fetched after the step before.
            assert_eq!(calls, Calls { downloads: *learners as u64, ..one_replay }, "step {done}");
        } else {
            assert_eq!(calls, one_replay, "step {done}");
        }
    }
}
