//! A simulated GPU with the kernels of one ladder beside those that ship.

use std::collections::HashMap;
use std::sync::Arc;

use kd_engine::gpu::nvrtc::library::{Nvrtc, Source, entries, includes};
use kd_engine::gpu::nvrtc::search;
use kd_engine::gpu::nvrtc::target::Target;
use kd_engine::gpu::sim::{Sim, SimOptions};
use kd_engine::gpu::{Buffer, Device, Launch, Processor, View, kernels};
use kd_engine::tape::{Arena, Plan, StateId, StateLayout, Tape, ValueId};
use kd_engine::tensor::{DType, Shape};
use ptxsim::{Module, Program};

use crate::counts::Counts;

/// What a kernel gets.
#[derive(Clone, Copy)]
pub enum Argument<'a> {
    /// A buffer that it reads.
    In(&'a Buffer),
    /// A buffer that it writes, or reads and writes.
    Out(&'a Buffer),
    /// An integer.
    U32(u32),
    /// A number.
    F32(f32),
    /// A structure of integers.
    Words(&'a [u32]),
}

/// A simulated GPU that looks at everything.
pub struct Bench {
    sim: Arc<Sim>,
    device: Arc<dyn Device>,
    counts: Counts,
    /// Version of the compiler.
    pub nvrtc: (u32, u32),
}

impl Bench {
    /// With the kernels of `kernels/ladder/<file>.cu`.
    pub fn new(file: &str) -> Self {
        let places = search::find().expect("an NVRTC: run the tests by ./test, or set KD_NVRTC_DIR");
        let nvrtc = Nvrtc::open_first(&places).unwrap();
        let text = std::fs::read_to_string(crate::path(&format!("kernels/ladder/{file}.cu"))).unwrap();
        let source = Source { name: format!("{file}.cu"), text };
        let compiled = nvrtc.compile(&source, &includes(&source, kernels::sources()), Target::Ptx);
        let image = compiled.unwrap_or_else(|message| panic!("kernels/ladder/{file}.cu does not compile:\n{message}"));
        let ptx = String::from_utf8(image.image).unwrap();
        let program = Arc::new(Program::decode(&Module::parse(&ptx).unwrap()).unwrap());
        let own: HashMap<String, Arc<Program>> =
            entries(&ptx).into_iter().map(|kernel| (kernel, program.clone())).collect();
        let sim = Arc::new(Sim::with_kernels(SimOptions { counters: true, ..SimOptions::strict(None) }, own));
        Self { device: sim.clone(), sim, counts: Counts::default(), nvrtc: nvrtc.version() }
    }

    /// A buffer of given content.
    pub fn input(&self, label: &str, bytes: &[u8]) -> Buffer {
        let buffer = self.output(label, bytes.len());
        self.device.upload(buffer.address(), bytes).unwrap();
        buffer
    }

    /// A buffer of undefined content.
    pub fn output(&self, label: &str, bytes: usize) -> Buffer {
        Buffer::new(&self.device, bytes, label).unwrap()
    }

    /// What is in a buffer.
    pub fn read(&self, buffer: &Buffer) -> Vec<u8> {
        let mut bytes = vec![0; buffer.bytes()];
        self.device.download(buffer.address(), &mut bytes).unwrap();
        bytes
    }

    /// Launches a kernel of the ladder.
    pub fn launch(&mut self, kernel: &str, grid: [usize; 2], block: u32, arguments: &[Argument<'_>]) {
        let mut parameters = Vec::new();
        let mut views = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            match argument {
                Argument::In(buffer) | Argument::Out(buffer) => {
                    parameters.resize(parameters.len().next_multiple_of(8), 0);
                    parameters.extend(buffer.address().to_le_bytes());
                    views.push(View {
                        address: buffer.address(),
                        bytes: buffer.bytes(),
                        writable: matches!(argument, Argument::Out(_)),
                        label: format!("argument {index}"),
                    });
                }
                Argument::U32(word) => parameters.extend(word.to_le_bytes()),
                Argument::F32(number) => parameters.extend(number.to_le_bytes()),
                Argument::Words(words) => parameters.extend(words.iter().flat_map(|word| word.to_le_bytes())),
            }
        }
        let grid = [grid[0] as u32, grid[1] as u32, 1];
        self.run(&Launch {
            kernel: kernel.to_string(),
            grid,
            block: [block, 1, 1],
            shared: 0,
            parameters,
            views,
            undefined: Vec::new(),
        });
    }

    /// What was counted since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Runs what `record` records, with what ships: its results, and the names of the kernels.
    pub fn ship(&mut self, record: impl FnOnce(&mut Recorder<'_>) -> Vec<ValueId>) -> (Vec<Vec<f64>>, Vec<String>) {
        let mut tape = Tape::with_storage(DType::F32, DType::BF16);
        let mut layout = StateLayout::new();
        let mut recorder = Recorder { tape: &mut tape, layout: &mut layout, contents: Vec::new() };
        let results = record(&mut recorder);
        let contents = recorder.contents;
        results.iter().for_each(|result| tape.keep(*result));
        let processor = Processor::of(self.device.clone());
        let plan = Plan::on(&processor, &tape, &layout).unwrap();
        let mut state = layout.allocate_on(&processor).unwrap();
        contents.iter().for_each(|(id, bytes)| state.bytes_mut(*id).copy_from_slice(bytes));
        let arena = Arena::on(&processor, plan.bytes()).unwrap();
        let mut launched = Vec::new();
        plan.each_launch(&arena, &mut state, |shown| {
            self.run(shown.launch);
            launched.push(shown.launch.kernel.clone());
            Ok(())
        })
        .unwrap();
        let read = |result: &ValueId| plan.read_f64(&arena, &state, *result).unwrap();
        (results.iter().map(read).collect(), launched)
    }

    fn run(&mut self, launch: &Launch) {
        self.device.launch(self.device.main_stream(), launch).unwrap_or_else(|error| panic!("{error}"));
        let warps: u64 = launch.grid.iter().map(|blocks| u64::from(*blocks)).product::<u64>()
            * u64::from(launch.block.iter().product::<u32>().div_ceil(32));
        for (_, counters) in self.sim.take_counters() {
            self.counts += Counts::of(&counters, warps);
        }
    }
}

/// A tape while something is recorded on it, with the state that inputs are.
pub struct Recorder<'a> {
    /// The tape.
    pub tape: &'a mut Tape,
    layout: &'a mut StateLayout,
    contents: Vec<(StateId, Vec<u8>)>,
}

impl Recorder<'_> {
    /// State of given content.
    pub fn state(&mut self, name: &str, dtype: DType, shape: &[usize], bytes: &[u8]) -> ValueId {
        let id = self.layout.declare(name, dtype, Shape::new(shape));
        self.contents.push((id, bytes.to_vec()));
        self.tape.state(self.layout, id)
    }
}

/// `count` multiples of an eighth from -1 to 1; `seed` says which.
pub fn eighths(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) % 17) as f64 / 8.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// As bf16.
pub fn to_bf16(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| half::bf16::from_f64(*x).to_le_bytes()).collect()
}

/// As float32.
pub fn to_f32(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()
}

/// Of bf16.
pub fn of_bf16(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(2).map(|two| half::bf16::from_le_bytes([two[0], two[1]]).to_f64()).collect()
}

/// Of float32.
pub fn of_f32(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]).into()).collect()
}

/// Fails where a result is not what it has to be, or more than `tolerance` says from it.
pub fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: impl Fn(usize) -> f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance(index);
        assert!((found - expected).abs() <= allowed, "{what}: [{index}] is {found}, expected {expected} +- {allowed}");
    }
}
