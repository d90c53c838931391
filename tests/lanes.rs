//! Models of one classroom side by side on a GPU: what a plan promises, on the simulator.

#[allow(dead_code)] // It is made for the tests of whole runs.
#[path = "runs/school.rs"]
mod school;

use std::sync::Arc;

use kd_engine::bench::step::{preset_config, synthetic};
use kd_engine::config::{Config, Overrides, TrainConfig};
use kd_engine::distill::{Taps, cross_entropy};
use kd_engine::gpu::sim::{Sim, SimOptions};
use kd_engine::gpu::{Device, Processor};
use kd_engine::ops::batch::Augmentation;
use kd_engine::tape::Lanes;
use kd_engine::train::design::Design;
use kd_engine::train::enrolment::{Enrolment, Faculty};
use kd_engine::train::material::Material;
use ptxsim::Checks;
use school::School;

/// A GPU with more memory than anybody has.
const MUCH: SimOptions = SimOptions { memory: Some(1 << 40), ..NOTHING };

/// A GPU on which nothing fits: plans are as small as they get.
const LITTLE: SimOptions = SimOptions { memory: Some(0), ..NOTHING };

/// As the default.
const NOTHING: SimOptions = SimOptions {
    checks: Checks { initialisation: true, registers: true, races: false, convergence: true },
    seed: None,
    budget: None,
    counters: false,
    memory: None,
    lost_after: None,
};

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
            phases: Vec::new(),
            taps: Taps::default(),
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
        let processor = Processor::of(device);
        let design = Design::new(
            &processor,
            &self.material,
            &config,
            augmentation,
            &[1],
            enrolments.collect(),
            Faculty { mentors: mentors.collect(), teachers: 1, assistants: 0 },
        );
        (sim, design.unwrap())
    }

    /// The bytes of all state after two training steps and an evaluation.
    fn learn(&self, options: SimOptions, students: &[&str]) -> Vec<(String, Vec<u8>)> {
        let (_, design) = self.design(options, students);
        let mut stage = design.allocate(&self.material).unwrap();
        let models: Vec<_> =
            stage.learners.iter().map(|learner| &learner.model).chain(&stage.mentors).cloned().collect();
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
    let overlapping = classroom.design(MUCH, &STUDENTS).1;
    assert_eq!(overlapping.memory().lanes, Some(Lanes::Overlapping));
    let (launches, depth) = (overlapping.plan().launches(), overlapping.plan().depth());
    println!("{launches} launches, {depth} of them one after the other");
    assert!(2 * depth < launches, "{depth} of {launches}");
    // No student waits for another: the longest chain is that of the slowest with the batch and the mentors.
    let alone = STUDENTS.map(|model| classroom.design(MUCH, &[model]).1.plan().depth());
    assert_eq!(depth, alone.into_iter().max().unwrap(), "{alone:?}");

    // Bytes of state and arena, the data set beside them, and what is left for the driver.
    let bytes = overlapping.memory().bytes() + classroom.material.bytes();
    let with = |memory| classroom.design(SimOptions { memory: Some(memory), ..NOTHING }, &STUDENTS).1;
    assert_eq!(with(bytes as u64 * 16 / 15 + 1).memory(), overlapping.memory());
    let sequential = with(bytes as u64);
    assert_eq!(sequential.memory().lanes, Some(Lanes::Sequential));
    assert_eq!((sequential.plan().launches(), sequential.plan().depth()), (launches, launches));
    assert!(sequential.memory().arena < overlapping.memory().arena);
    assert_eq!(sequential.memory().state, overlapping.memory().state);
}

/// The students' or the mentors' stage of a preset on a simulator with `options`, on images of noise.
fn of_preset(name: &str, pretrain: bool, options: SimOptions) -> Design {
    let config = preset_config(name).unwrap();
    let (shape, classes) = if name.starts_with("fashion") { ([28, 28, 1], 10) } else { ([32, 32, 3], 100) };
    let train = if pretrain { &config.pretrain } else { &config.train };
    let train =
        TrainConfig { batch_size: if pretrain { train.batch_size } else { train.batch_size.min(64) }, ..train.clone() };
    let material = synthetic(shape, classes, train.batch_size);
    let network = |model: &str| material.network(model).unwrap();
    let mentors = config.classroom.mentors();
    let mentors = mentors.into_iter().map(|(role, choice)| (role, network(&choice.model)));
    let students = config.methods.iter().map(|method| Enrolment {
        role: "student".to_string(),
        network: network(&config.classroom.student.model),
        method: Some(method.label.clone()),
        phases: Vec::new(),
        taps: Taps::default(),
        teach: Box::new(|tape, lesson| (method.description.record)(tape, lesson, &method.hyperparameters)),
    });
    let (enrolments, mentors): (Vec<Enrolment<'_>>, Vec<_>) = match pretrain {
        false => (students.collect(), mentors.collect()),
        true => {
            let teach = || Box::new(cross_entropy::record);
            let learners = mentors.map(|(role, network)| Enrolment {
                role,
                network,
                method: None,
                phases: Vec::new(),
                taps: Taps::default(),
                teach: teach(),
            });
            (learners.collect(), Vec::new())
        }
    };
    let device: Arc<dyn Device> = Arc::new(Sim::new(options));
    let augmentation = Augmentation { crop_padding: 2, flip: true };
    let teachers = config.classroom.teachers.len();
    let processor = Processor::of(device);
    Design::new(
        &processor,
        &material,
        &train,
        augmentation,
        &[1],
        enrolments,
        Faculty { mentors, teachers, assistants: 0 },
    )
    .unwrap()
}

#[test]
fn small_models_of_the_presets_wait_for_nobody() {
    for name in ["fashion-classroom", "classroomkd-MobileNetV2-ResNet50"] {
        for pretrain in [true, false] {
            let overlapping = of_preset(name, pretrain, MUCH);
            let sequential = of_preset(name, pretrain, LITTLE);
            let (launches, depth) = (overlapping.plan().launches(), overlapping.plan().depth());
            let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
            let (small, large) = (sequential.memory().arena, overlapping.memory().arena);
            println!(
                "{name}, pretraining {pretrain}: {launches} launches, {depth} one after the other; arena {:.1} MiB \
                 sequential, {:.1} MiB overlapping; state {:.1} MiB",
                mib(small),
                mib(large),
                mib(overlapping.memory().state)
            );
            assert_eq!(sequential.plan().depth(), launches);
            assert!(2 * depth < launches, "{name}: {depth} of {launches}");
            assert!(small <= large, "{name}: {small} and {large}");
        }
    }
}

#[test]
fn a_classroom_learns_the_same_bits_in_every_order_of_its_launches() {
    let classroom = Classroom::new();
    let students = ["resnet8", "resnet8"];
    let memory = classroom.design(MUCH, &students).1.memory().bytes() as u64;
    // The whole order of the tape, on one stream.
    let sequential = classroom.learn(SimOptions { memory: Some(memory), ..NOTHING }, &students);
    for seed in [11, 12] {
        // All checks: of races between launches too.
        let shuffled = classroom.learn(SimOptions { memory: MUCH.memory, ..SimOptions::strict(Some(seed)) }, &students);
        for ((name, expected), (_, found)) in sequential.iter().zip(&shuffled) {
            assert!(expected == found, "seed {seed}: {name} has other bits");
        }
    }
}
