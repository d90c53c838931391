//! Training steps and evaluations replay what was planned: nothing is allocated while they run, by whichever thread.

#[allow(dead_code)] // It is made for the tests of whole runs.
#[path = "runs/school.rs"]
mod school;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use kd_engine::config::{Config, Overrides};
use kd_engine::distill::Taps;
use kd_engine::gpu::Processor;
use kd_engine::ops::batch::Augmentation;
use kd_engine::train::design::Design;
use kd_engine::train::enrolment::{Enrolment, Faculty};
use kd_engine::train::material::Material;
use kd_engine::train::stage::Stage;
use school::School;

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates, with everything that other threads allocate meanwhile.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    work();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Students of several kinds, each taught by ClassroomKD, as lanes of one step.
fn stage() -> Stage {
    let school = School::new();
    let config = school.path("school.toml");
    let config = Config::load(config.to_str(), &Overrides::default()).unwrap();
    let material = Material::open(&config.data).unwrap();
    let method = config.methods.iter().find(|method| method.label == "classroomkd").unwrap();
    let enrolments = ["resnet8", "MobileNetV2", "ShuffleV2"].map(|model| Enrolment {
        role: format!("student {model}"),
        network: material.network(model).unwrap(),
        method: Some(method.label.clone()),
        phases: Vec::new(),
        taps: Taps::default(),
        teach: Box::new(|tape, lesson| (method.description.record)(tape, lesson, &method.hyperparameters)),
    });
    let mentors = [("teacher", "resnet14"), ("peer-1", "wrn_16_1")];
    let mentors = mentors.map(|(role, model)| (role.to_string(), material.network(model).unwrap()));
    let augmentation = Augmentation { crop_padding: 2, flip: true };
    let design = Design::new(
        &Processor::Cpu,
        &material,
        &config.train,
        augmentation,
        &[1],
        Vec::from(enrolments),
        Faculty { mentors: Vec::from(mentors), teachers: 1, assistants: 0 },
    )
    .unwrap();
    let mut stage = design.allocate(&material).unwrap();
    let models: Vec<_> = stage.learners.iter().map(|learner| &learner.model).chain(&stage.mentors).cloned().collect();
    models.iter().for_each(|model| model.initialise(&mut stage.state, 1, 0));
    stage
}

/// One test: others beside it would be counted too.
#[test]
fn steps_and_evaluations_allocate_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let mut stage = stage();
        let last = stage.steps_per_epoch() - 1;
        // The first step and the first evaluation: threads get their queues, tables are made.
        stage.step(0, 0).unwrap();
        stage.validate().unwrap().unwrap();
        for (epoch, step) in [(0, 1), (0, 2), (0, last), (1, 0), (1, 1), (2, 5)] {
            let count = allocations(|| {
                stage.step(epoch, step).unwrap();
                stage.look().unwrap();
            });
            assert_eq!(count, 0, "epoch {epoch}, step {step}");
        }
        // The counts that come out are a list of two lists per learner; batch for batch there is nothing.
        let results = 1 + 2 * stage.learners.len();
        let mut counts = Vec::new();
        assert_eq!(allocations(|| counts = stage.test().unwrap()), results);
        assert_eq!(counts[0].images, 40.0);
        assert_eq!(allocations(|| counts = stage.validate().unwrap().unwrap()), results);
    });
}
