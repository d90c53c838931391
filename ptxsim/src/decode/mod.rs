//! From what a module says to what can be run: every entry is decoded, and refused if anything in it is not known.

pub(crate) mod draft;
mod error;
pub(crate) mod flow;
pub(crate) mod registers;
mod rows;

use crate::ast::{Entry, Module, Operand, Variable};
use crate::counters::{Counters, Work};
use crate::exec::code::{Code, Kind, NONE};
use crate::exec::grid;
use crate::fault::{Fault, FaultKind, Report};
use crate::launch::{Launch, Options};
use crate::memory::MODULE_WINDOW;
use crate::memory::global::{Allocation, GlobalMemory};
use crate::ops;
pub use error::DecodeError;

use draft::{Draft, GUARD, Refusal, Slot};
use flow::{Flow, Track};
use registers::{Known, Place, Register, Registers, Space};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A parameter of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the PTX.
    pub name: String,
    /// Its first byte in the parameter block.
    pub offset: u64,
    /// Its size.
    pub bytes: u64,
}

/// The kernels of a module, ready to run.
#[derive(Debug)]
pub struct Program {
    kernels: Vec<Kernel>,
}

/// Variables of a module: `.global` and `.const`, read-only.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub variables: Vec<Arc<Allocation>>,
}

/// What is known of an instruction beside how to run it.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub line: u32,
    pub source: Option<(u32, u32)>,
    pub text: String,
    pub work: Work,
    /// Of an `mma`: m times n times k.
    pub multiply_adds: u32,
    pub block_barrier: bool,
}

/// A kernel, ready to run.
pub struct Kernel {
    pub(crate) name: String,
    parameters: Vec<Parameter>,
    pub(crate) max_threads: Option<[u32; 3]>,
    pub(crate) shared_bytes: u64,
    pub(crate) dynamic_shared: bool,
    /// Local bytes of each thread.
    pub(crate) local_bytes: u64,
    pub(crate) codes: Vec<Code>,
    /// Where the basic block ends that begins at an instruction.
    pub(crate) ends: Vec<u32>,
    /// Where lanes that part at a branch meet again.
    pub(crate) meets: Vec<u32>,
    pub(crate) meta: Vec<Meta>,
    pub(crate) rows: usize,
    pub(crate) predicates: usize,
    wide: u16,
    pub(crate) known: Vec<(u16, Known)>,
    /// Names of the registers that may be read before they are written.
    pub(crate) tracked: Vec<String>,
    pub(crate) tracks: HashMap<u32, Track>,
    /// Whether it has atomics on global memory.
    pub(crate) global_atomics: bool,
    /// Smallest access to shared and global memory: the unit in which races are looked for.
    pub(crate) shared_unit: usize,
    pub(crate) global_unit: usize,
    files: Arc<Vec<(u32, String)>>,
    image: Arc<Image>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Kernel {} of {} instructions", self.name, self.codes.len())
    }
}

impl Program {
    /// Decodes every entry.
    ///
    /// Fails on the first opcode, modifier or operand that is not known: nothing is ignored.
    pub fn decode(module: &Module) -> Result<Program, DecodeError> {
        let files = Arc::new(module.files.clone());
        let mut places: HashMap<&str, Place> = HashMap::new();
        let mut image = Image::default();
        let mut address = MODULE_WINDOW;
        let fail = |message: String| DecodeError {
            kernel: String::new(),
            instruction: String::new(),
            ptx_line: 0,
            source: None,
            message,
        };
        for variable in module.variables.iter().filter(|v| v.space == "global" || v.space == "const") {
            let space = if variable.space == "global" { Space::Global } else { Space::Constant };
            address = address.next_multiple_of((variable.alignment as u64).max(256));
            places.insert(&variable.name, Place { space, address });
            let held =
                Allocation::new(address, variable.bytes, &variable.name).map_err(|error| fail(error.to_string()))?;
            let mut bytes = variable.initial.clone();
            bytes.resize(variable.bytes as usize, 0);
            // SAFETY: the bytes are as many as the allocation has.
            unsafe { held.put(0, &bytes) };
            image.variables.push(Arc::new(held));
            address += variable.bytes + 256;
        }
        let image = Arc::new(image);
        let kernels = module.entries.iter().map(|entry| Kernel::decode(module, entry, &places, &files, &image));
        Ok(Program { kernels: kernels.collect::<Result<_, _>>()? })
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Result<&Kernel, Fault> {
        self.kernels.iter().find(|kernel| kernel.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.kernels().map(Kernel::name).collect();
            Fault::launch(name, format!("the module has no such kernel, but {}", names.join(", ")))
        })
    }

    /// All kernels.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.kernels.iter()
    }
}

/// Lays variables of a space out one after the other; gives the size, and where `extern` ones begin.
fn lay_out<'m>(
    variables: impl Iterator<Item = &'m Variable>,
    space: Space,
    places: &mut HashMap<&'m str, Place>,
) -> (u64, bool) {
    let (sized, open): (Vec<_>, Vec<_>) = variables.partition(|variable| variable.bytes > 0);
    let mut end = 0u64;
    for variable in sized {
        end = end.next_multiple_of(variable.alignment.max(1) as u64);
        places.insert(&variable.name, Place { space, address: end });
        end += variable.bytes;
    }
    for variable in &open {
        end = end.next_multiple_of(variable.alignment.max(16) as u64);
        places.insert(&variable.name, Place { space, address: end });
    }
    (end, !open.is_empty())
}

impl Kernel {
    fn decode(
        module: &Module,
        entry: &Entry,
        globals: &HashMap<&str, Place>,
        files: &Arc<Vec<(u32, String)>>,
        image: &Arc<Image>,
    ) -> Result<Kernel, DecodeError> {
        let whole = |message: String| DecodeError {
            kernel: entry.name.clone(),
            instruction: String::new(),
            ptx_line: 0,
            source: None,
            message,
        };
        let mut places: HashMap<&str, Place> = globals.iter().map(|(name, place)| (*name, *place)).collect();
        let used = |variable: &&Variable| {
            entry.instructions.iter().any(|i| i.operands.iter().any(|o| names(o, &variable.name)))
        };
        let of = |space: &'static str| {
            let outer = module.variables.iter().filter(used);
            outer.chain(&entry.variables).filter(move |variable| variable.space == space)
        };
        let (shared_bytes, dynamic_shared) = lay_out(of("shared"), Space::Shared, &mut places);
        let (local_bytes, _) = lay_out(of("local"), Space::Local, &mut places);
        for parameter in &entry.parameters {
            places.insert(&parameter.name, Place { space: Space::Parameter, address: parameter.offset });
        }
        let mut registers = Registers::new(entry, &places).map_err(|refusal| whole(refusal.0))?;
        let labels: HashMap<&str, usize> = entry.labels.iter().map(|(name, index)| (name.as_str(), *index)).collect();
        let (mut codes, mut slots, mut copies, mut meta) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for instruction in &entry.instructions {
            let mut draft = Draft::new(instruction, &mut registers, codes.len() as u32, ops::nothing());
            if let Err(Refusal(message)) = ops::decode(&mut draft, &labels) {
                return Err(DecodeError {
                    kernel: entry.name.clone(),
                    instruction: instruction.to_string(),
                    ptx_line: instruction.line,
                    source: instruction.source.and_then(|source| name_source(files, source)),
                    message,
                });
            }
            meta.push(Meta {
                line: instruction.line,
                source: instruction.source,
                text: instruction.to_string(),
                work: draft.work,
                multiply_adds: draft.multiply_adds,
                block_barrier: draft.code.kind == Kind::Barrier,
            });
            codes.push(draft.code);
            slots.push(draft.slots);
            copies.push(draft.copies);
        }
        // The end of the body leaves the kernel.
        let mut end = ops::leave(codes.len() as u32);
        end.index = codes.len() as u32;
        let last = entry.instructions.last();
        meta.push(Meta {
            line: last.map_or(0, |last| last.line),
            source: last.and_then(|last| last.source),
            text: "the end of the body".into(),
            work: Work::Branch,
            multiply_adds: 0,
            block_barrier: false,
        });
        codes.push(end);
        slots.push(Vec::new());
        copies.push(false);

        let flow = Flow::new(&codes);
        let known: Vec<Register> = registers.known.iter().map(|(register, _)| *register).collect();
        let mut number: HashMap<Register, usize> = HashMap::new();
        for register in known.iter().chain(slots.iter().flatten().map(|slot: &Slot| &slot.register)) {
            let next = number.len();
            number.entry(*register).or_insert(next);
        }
        let (tracked, tracks) = flow::track(&flow, &codes, &slots, &copies, &known, &number);
        let Some(rows) = rows::assign(&flow, &codes, &slots, &known, &number) else {
            return Err(whole("the kernel needs more than 65535 registers at once".into()));
        };
        for (index, slots) in slots.iter().enumerate() {
            for slot in slots {
                let place = rows.place[&slot.register];
                match slot.at {
                    GUARD => codes[index].guard = place,
                    at => codes[index].r[at as usize] = place,
                }
            }
            let code = &mut codes[index];
            code.tracked = tracks.contains_key(&(index as u32));
            if code.kind == Kind::Plain && (code.guard != NONE || code.tracked) {
                code.kind = Kind::Guarded;
            }
        }
        let (mut ends, mut meets) = (vec![0; codes.len()], vec![flow::NOWHERE; codes.len()]);
        for (block, meet) in flow.blocks.iter().zip(&flow.meets) {
            ends[block.start] = block.end as u32;
            meets[block.end - 1] = *meet;
        }
        let units = ops::memory::units(entry);
        let label = |register: &Register| registers.labels.get(register).cloned().unwrap_or_else(|| "_".into());
        let parameters = entry.parameters.iter();
        Ok(Kernel {
            name: entry.name.clone(),
            parameters: parameters
                .map(|p| Parameter { name: p.name.clone(), offset: p.offset, bytes: p.bytes })
                .collect(),
            max_threads: entry.max_threads,
            shared_bytes,
            dynamic_shared,
            local_bytes: local_bytes.next_multiple_of(16),
            ends,
            meets,
            meta,
            rows: rows.rows,
            predicates: rows.predicates,
            wide: rows.wide,
            known: registers.known.iter().map(|(register, known)| (rows.place[register], *known)).collect(),
            tracked: tracked.iter().map(label).collect(),
            tracks,
            global_atomics: ops::atomic::global_atomics(entry),
            shared_unit: units.0,
            global_unit: units.1,
            files: files.clone(),
            image: image.clone(),
            codes,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters in order, with their places in the parameter block.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Size of the parameter block in bytes.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters.iter().map(|parameter| (parameter.offset + parameter.bytes) as usize).max().unwrap_or(0)
    }

    /// `.maxntid`: most threads per block in each dimension, where declared.
    pub fn max_threads(&self) -> Option<[u32; 3]> {
        self.max_threads
    }

    /// Bytes of shared memory that the kernel declares, dynamic memory left out.
    pub fn shared_bytes(&self) -> u64 {
        self.shared_bytes
    }

    /// Bytes of local memory of each thread.
    pub fn local_bytes(&self) -> u64 {
        self.local_bytes
    }

    /// How many instructions it has.
    pub fn instructions(&self) -> usize {
        self.codes.len() - 1
    }

    /// Runs the kernel on every block of the grid.
    ///
    /// Fails on the first fault in the order of blocks; what was written until then stays written.
    pub fn launch(&self, memory: &GlobalMemory, launch: &Launch, options: &Options) -> Result<Counters, Fault> {
        grid::launch(&self.image, self, memory, launch, options)
    }

    /// Whether a row is one of 64 bits.
    pub(crate) fn wide(&self, place: u16) -> bool {
        place < self.wide
    }

    /// A source place by its numbers in `.loc`.
    pub(crate) fn source(&self, source: (u32, u32)) -> (String, u32) {
        name_source(&self.files, source).unwrap_or_else(|| (format!("file {}", source.0), source.1))
    }

    /// A fault at an instruction.
    pub(crate) fn fault(&self, index: usize, kind: FaultKind, message: String) -> Fault {
        let meta = &self.meta[index];
        Fault::from(Report {
            kind,
            message,
            kernel: self.name.clone(),
            instruction: meta.text.clone(),
            ptx_line: meta.line,
            source: meta.source.map(|source| self.source(source)),
            block: None,
            thread: None,
            address: None,
            buffer: None,
        })
    }
}

/// The file's name and the line.
fn name_source(files: &[(u32, String)], (file, line): (u32, u32)) -> Option<(String, u32)> {
    files.iter().find(|(number, _)| *number == file).map(|(_, name)| (name.clone(), line))
}

/// Whether an operand names a variable.
fn names(operand: &Operand, variable: &str) -> bool {
    match operand {
        Operand::Name(name) => name == variable,
        Operand::Address(base, _) => names(base, variable),
        _ => false,
    }
}
