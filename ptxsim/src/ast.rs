//! What a PTX module says, before anything is known of what its instructions mean.
//!
//! The shape follows the PTX ISA manual (chapters 4 and 5: syntax, state spaces): a module declares variables and
//! entries; an entry has parameters, registers, shared and local variables, and a body of instructions.

/// A PTX module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// `.version`, for example `8.7`.
    pub version: String,
    /// `.target`, for example `sm_80`.
    pub target: String,
    /// Source files by the number that `.loc` gives them.
    pub files: Vec<(u32, String)>,
    /// Variables outside of any entry: `.global`, `.const`, `.shared`.
    pub variables: Vec<Variable>,
    /// The kernels.
    pub entries: Vec<Entry>,
}

/// A kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its parameters, in order, with their byte offsets in the parameter block.
    pub parameters: Vec<Variable>,
    /// `.maxntid`: most threads per block in each dimension, `None` where not said.
    pub max_threads: Option<[u32; 3]>,
    /// `.reg` declarations: type, name (`%r`), and how many (`%r<7>` declares `%r0` to `%r6`; 0: the name itself).
    pub registers: Vec<(String, String, u32)>,
    /// `.shared` and `.local` variables of the body.
    pub variables: Vec<Variable>,
    /// The body, in order; labels stand for the index of the instruction that follows.
    pub instructions: Vec<Instruction>,
    /// Labels and the index of the instruction they stand before.
    pub labels: Vec<(String, usize)>,
}

/// A variable of a state space other than `.reg`.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// `shared`, `global`, `local`, `const` or `param`.
    pub space: String,
    /// Its name.
    pub name: String,
    /// Element type, for example `b8`.
    pub kind: String,
    /// Alignment in bytes.
    pub alignment: u32,
    /// Its size in bytes; 0 for `extern .shared` whose size comes with the launch.
    pub bytes: u64,
    /// Offset in bytes, for parameters.
    pub offset: u64,
    /// Initial bytes, for `.global` and `.const`; empty where there are none.
    pub initial: Vec<u8>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// The guard `@%p1` or `@!%p1`: register, and whether it is negated.
    pub guard: Option<(String, bool)>,
    /// The opcode, for example `ld`.
    pub opcode: String,
    /// Its modifiers in order, for example `["global", "v4", "f32"]`.
    pub modifiers: Vec<String>,
    /// Its operands in order.
    pub operands: Vec<Operand>,
    /// Line in the PTX text, from 1.
    pub line: u32,
    /// File number and line in the source (`.loc`), where known: the innermost place; inlined code names its own place.
    pub source: Option<(u32, u32)>,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A register, `%r1`, special registers such as `%tid.x` among them.
    Register(String),
    /// An integer.
    Integer(i64),
    /// A float by its bits, `0f3F800000`.
    Float32(u32),
    /// A double by its bits, `0d3FF0000000000000`.
    Float64(u64),
    /// The address of a variable, or the label of a branch.
    Name(String),
    /// `[base + offset]`; the base is a register, a variable or parameter, or an integer.
    Address(Box<Operand>, i64),
    /// `{a, b, ...}`.
    Vector(Vec<Operand>),
    /// `a|b`: a destination with a predicate beside it.
    Pair(Box<Operand>, Box<Operand>),
    /// `!%p1`.
    Not(Box<Operand>),
    /// `_`: nowhere.
    Sink,
}
