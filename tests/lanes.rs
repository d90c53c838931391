//! Models of one classroom side by side on a GPU: what a plan promises, on the simulator.

#[allow(dead_code)] // It is made for the tests of whole runs.
#[path = "runs/school.rs"]
mod school;

use std::sync::Arc;

use kd_engine::config::{Config, Overrides};
use kd_engine::gpu::sim::{Sim, SimOptions};
use kd_engine::gpu::{Device, Processor};
use kd_engine::ops::batch::Augmentation;
use kd_engine::tape::Lanes;
use kd_engine::train::material::Material;
use kd_engine::train::stage::{Design, Enrolment};
use school::School;

/// Students taught by ClassroomKD and mentors, each in a lane of its own.
struct Classroom {
    /// Kept, for its folder holds the data.
    _school: School,
    config: Config,
    material: Material,
}

impl Classroom {
    fn new() -> Self {
        let school = School::new();
        let config = Config::load(school.path("school.toml").to_str(), &Overrides::default()).unwrap();
        let material = Material::open(&config.data).unwrap();
        Self { _school: school, config, material }
    }

    fn design(&self, options: SimOptions, students: &[&str]) -> (Arc<Sim>, Design) {
        let sim = Arc::new(Sim::new(options));
        let device: Arc<dyn Device> = sim.clone();
        let method = self.config.methods.iter().find(|method| method.label == "classroomkd").unwrap();
        let enrolments = students.iter().enumerate().map(|(index, model)| Enrolment {
            role: format!("student {index}"),
            network: self.material.network(model).unwrap(),
            method: Some(method.label.clone()),
            teach: Box::new(|tape, lesson| (method.description.record)(tape, lesson, &method.hyperparameters)),
        });
        let mentors = ["resnet14", "wrn_16_1", "resnet8"];
        let mentors = mentors.iter().enumerate().map(|(index, model)| {
            let network = self.material.network(model).unwrap();
            (format!("mentor {index}"), network)
        });
        let mut config = self.config.train.clone();
        config.batch_size = 4;
        let augmentation = Augmentation { crop_padding: 1, flip: true };
        let processor = Processor::Gpu(device);
        let design = Design::new(
            &processor,
            &self.material,
            &config,
            augmentation,
            1,
            enrolments.collect(),
            mentors.collect(),
            1,
        );
        (sim, design.unwrap())
    }

    /// The bytes of all state after two training steps and an evaluation.
    fn learn(&self, options: SimOptions, students: &[&str]) -> Vec<(String, Vec<u8>)> {
        let (_, design) = self.design(options, students);
        let mut stage = design.allocate(&self.material).unwrap();
        let models: Vec<_> = stage.learners.iter().map(|learner| &learner.model).chain(&stage.mentors).cloned().collect();
        models.iter().zip(0..).for_each(|(model, place)| model.initialise(&mut stage.state, 1, place));
        stage.step(0, 0).unwrap();
        stage.step(0, 1).unwrap();
        stage.validate().unwrap().unwrap();
        stage.state.fetch_all().unwrap();
        let ids: Vec<_> = stage.state.layout().entries().map(|(id, entry)| (id, entry.name.clone())).collect();
        ids.into_iter().map(|(id, name)| (name, stage.state.bytes(id).to_vec())).collect()
    }
}

const STUDENTS: [&str; 5] = ["resnet8", "MobileNetV2", "ShuffleV1", "resnet14", "resnet8"];

#[test]
fn lanes_of_a_classroom_run_side_by_side_where_there_is_memory() {
    let classroom = Classroom::new();
    let with = |memory| classroom.design(SimOptions { memory: Some(memory), ..SimOptions::default() }, &STUDENTS).1;
    let overlapping = with(1 << 40);
    assert_eq!(overlapping.memory().lanes, Some(Lanes::Overlapping));
    let (launches, depth) = (overlapping.plan().launches(), overlapping.plan().depth());
    println!("{launches} launches, {depth} of them one after the other");
    // The longest lane is that of MobileNetV2 with well over a third of all launches; before it come the batch and the
    // slowest mentor.
    let one = classroom.design(SimOptions { memory: Some(1 << 40), ..SimOptions::default() }, &["MobileNetV2"]).1;
    assert!(depth <= one.plan().depth(), "{depth} of {launches}, with one student {}", one.plan().depth());
    assert!(2 * depth < launches, "{depth} of {launches}");

    // As much as one lane after the other needs, and a little that the driver may want.
    let enough = overlapping.memory().bytes() as u64 * 16 / 15 + classroom.material.bytes() as u64 * 2;
    assert_eq!(with(enough).memory(), overlapping.memory());
    let sequential = with(overlapping.memory().bytes() as u64);
    assert_eq!(sequential.memory().lanes, Some(Lanes::Sequential));
    assert_eq!((sequential.plan().launches(), sequential.plan().depth()), (launches, launches));
    let (small, large) = (sequential.memory().arena, overlapping.memory().arena);
    println!("arena: {small} bytes sequential, {large} overlapping");
    assert!(small < large && sequential.memory().state == overlapping.memory().state);
}

#[test]
fn a_classroom_learns_the_same_bits_in_every_order_of_its_launches() {
    let classroom = Classroom::new();
    let students = ["resnet8", "resnet8"];
    let memory = {
        let (_, design) = classroom.design(SimOptions { memory: Some(1 << 40), ..SimOptions::default() }, &students);
        design.memory().bytes() as u64
    };
    // The whole order of the tape, on one stream.
    let sequential = classroom.learn(SimOptions { memory: Some(memory), ..SimOptions::default() }, &students);
    for seed in [11, 12] {
        // All checks: of races between launches too.
        let shuffled = classroom.learn(SimOptions { memory: Some(1 << 40), ..SimOptions::strict(Some(seed)) }, &students);
        for ((name, expected), (_, found)) in sequential.iter().zip(&shuffled) {
            assert!(expected == found, "seed {seed}: {name} has other bits");
        }
    }
}
