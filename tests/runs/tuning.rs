//! Runs whose kernels were chosen by measuring: they keep their choices, and whoever takes them up has the same.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use kd_engine::Result;
use kd_engine::config::{Config, Overrides};
use kd_engine::gpu::Processor;
use kd_engine::gpu::sim::SimOptions;
use kd_engine::gpu::tuning::{Cache, Choices, Tuning};
use kd_engine::train::event::Event;
use kd_engine::train::run::{Outcome, Run};
use kd_engine::train::stop::Stop;

use crate::fake::Fake;
use crate::school::{School, assert_same};

/// One epoch, few models. By the made-up times the weight gradient of their depthwise layer is cut into other chunks than by
/// the rule of thumb, so that its sums are rounded otherwise.
fn config(school: &School) -> Config {
    let model = |name: &str| format!("'{}:{name}'", school.path("models.toml").display());
    let (narrow, wide) = (model("narrow"), model("wide"));
    let sets = [("classroom", format!("{{ student = {narrow}, teachers = [{wide}], peers = [{narrow}] }}"))];
    let sets = sets.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    let overrides = Overrides { sets, epochs: Some(1), seeds: Some(vec![1]) };
    Config::load(school.path("school.toml").to_str(), &overrides).unwrap()
}

fn processor(tuning: Tuning) -> (Arc<Fake>, Processor) {
    let fake = Arc::new(Fake::new(SimOptions::default(), true));
    (fake.clone(), Processor::Gpu(fake, tuning))
}

fn measured(folder: &Path) -> Tuning {
    Tuning::measured(Cache::open(Some(folder), "Fake", (9, 0), 1))
}

fn start(school: &School, out: &str, processor: &Processor, stop_after: Option<usize>) -> Result<Outcome> {
    let (stop, mut steps) = (Stop::default(), 0);
    let mut observe = |event: &Event| {
        steps += usize::from(matches!(event, Event::Step { .. }));
        if stop_after.is_some_and(|limit| steps >= limit) {
            stop.request();
        }
    };
    Run::prepare(config(school), processor)?.start(Some(&school.path(out)), &stop, &mut observe)
}

#[test]
fn a_run_is_taken_up_with_the_kernels_it_began_with() {
    let school = School::new();
    let cache = school.path("cache");
    let (fake, first) = processor(measured(&cache));
    start(&school, "whole", &first, None).unwrap();
    assert!(fake.sim.calls().captures > 10, "kernels were measured");
    let text = fs::read_to_string(school.path("whole/tuning.toml")).unwrap();
    let choices = Choices::parse(&text, None).unwrap();
    assert!(choices.len() > 10, "{text}");

    // Stopped in the second stage, and taken up where nothing was ever measured, and nothing is.
    let (_, second) = processor(measured(&cache));
    let stages = 12;
    let error = start(&school, "stopped", &second, Some(stages)).unwrap_err();
    assert!(error.to_string().starts_with("stopped after"), "{error}");
    let (_, untuned) = processor(Tuning::default());
    Run::resume(&school.path("stopped"), &untuned, &Stop::default(), &mut |_| {}).unwrap();
    assert_same("taken up without a cache", &school.lasting("stopped"), &school.lasting("whole"));

    // The choices matter: by rules of thumb the last bits are others. Such a run goes on by them, whatever is known.
    start(&school, "usual", &untuned, None).unwrap();
    let weights = |run: &str| school.left(run).into_iter().filter(|(name, _)| name.starts_with("models/")).collect();
    let [usual, whole]: [Vec<_>; 2] = ["usual", "whole"].map(weights);
    assert!(usual != whole, "no kernel was chosen that rounds otherwise");
    start(&school, "usual too", &untuned, Some(stages)).unwrap_err();
    Run::resume(&school.path("usual too"), &first, &Stop::default(), &mut |_| {}).unwrap();
    assert_same("taken up by rules of thumb", &school.lasting("usual too"), &school.lasting("usual"));

    // Without its choices a run cannot go on as it began.
    start(&school, "damaged", &first, Some(stages)).unwrap_err();
    fs::write(school.path("damaged/tuning.toml"), &text[..text.len() / 2]).unwrap();
    let error = Run::resume(&school.path("damaged"), &first, &Stop::default(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("tuning.toml") && error.exit_status() == 2, "{error}");
}
