//! Small kernels for tests: one instruction with given operands, or a body with a few buffers.
#![allow(dead_code, reason = "each test file uses some")]

use ptxsim::{Checks, Counters, Fault, GlobalMemory, Launch, Module, Options, Program};

/// A kernel `k` of three pointer parameters in `%d1` to `%d3`, with registers `%p`, `%h` (16 bits), `%r`, `%d` (64 bits),
/// `%tid.x` in `%r1`, its address in the first buffer (4 bytes each) in `%d4`, in the second in `%d5`.
pub fn kernel(body: &str) -> String {
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.extern .shared .align 16 .b8 dyn[];\n\
         .visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c)\n{{\n\
         .reg .pred %p<8>; .reg .b16 %h<12>; .reg .b32 %r<64>; .reg .b64 %d<24>;\n\
         .shared .align 16 .b8 s[2048];\n.local .align 16 .b8 l[64];\n\
         ld.param.u64 %d1, [a]; ld.param.u64 %d2, [b]; ld.param.u64 %d3, [c];\n\
         mov.u32 %r1, %tid.x; mul.wide.u32 %d4, %r1, 4; add.s64 %d5, %d4, %d2; add.s64 %d4, %d4, %d1;\n\
         {body}\nret;\n}}\n"
    )
}

/// A launch of [`kernel`]: buffers of 4096 bytes, the first and third with zeros, the second with its word numbers.
pub struct Bench {
    pub grid: u32,
    pub block: u32,
    pub options: Options,
    pub dynamic_shared: u32,
}

impl Default for Bench {
    fn default() -> Bench {
        let options = Options { checks: Checks::all(), budget: Some(100_000), counters: true, ..Options::default() };
        Bench { grid: 1, block: 32, options, dynamic_shared: 0 }
    }
}

impl Bench {
    /// Runs a body; gives the words of the first buffer.
    pub fn run(&self, body: &str) -> Result<(Vec<u32>, Counters), Fault> {
        self.run_text(&kernel(body))
    }

    /// Runs a whole module.
    pub fn run_text(&self, text: &str) -> Result<(Vec<u32>, Counters), Fault> {
        let module = Module::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let program = Program::decode(&module).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let memory = GlobalMemory::new();
        let mut parameters = Vec::new();
        let mut first = 0;
        for (index, label) in ["alpha", "beta", "gamma"].iter().enumerate() {
            let address = memory.allocate(4096, label).unwrap();
            let words = (0..1024u32).flat_map(|word| if index == 1 { word } else { 0 }.to_le_bytes());
            memory.write(address, &words.collect::<Vec<u8>>()).unwrap();
            parameters.extend(address.to_le_bytes());
            if index == 0 {
                first = address;
            }
        }
        let kernel = program.kernel("k")?;
        let launch = Launch {
            grid: [self.grid, 1, 1],
            block: [self.block, 1, 1],
            dynamic_shared: self.dynamic_shared,
            parameters,
            views: Vec::new(),
        };
        let counters = kernel.launch(&memory, &launch, &self.options)?;
        let mut bytes = vec![0; 4096];
        memory.read(first, &mut bytes).unwrap();
        Ok((bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect(), counters))
    }

    /// Runs a body that has to fault; gives the fault.
    pub fn fault(&self, body: &str) -> Fault {
        match self.run(body) {
            Ok(_) => panic!("no fault in\n{body}"),
            Err(fault) => fault,
        }
    }
}

/// What the instruction leaves in `%r0`, or in `%d0`, `%h0`, `%p0`, whichever is its first operand. Its sources are
/// `%ra`, `%rb`, `%rc` (32 bits), `%da`... (64 bits), `%ha`... (16 bits), all given as 64 bits. The whole warp and a part
/// of one have to agree.
pub fn eval(instruction: &str, operands: &[u64]) -> u64 {
    let mut load = String::new();
    for (at, name) in ["a", "b", "c"].iter().enumerate() {
        let value = operands.get(at).copied().unwrap_or(0) as i64;
        load +=
            &format!("mov.u64 %d{name}, {value}; cvt.u32.u64 %r{name}, %d{name}; cvt.u16.u64 %h{name}, %d{name};\n");
    }
    let stores = [
        ("%r0", "st.global.u32 [%d4], %r0;"),
        ("%d0", "st.global.u64 [%d4], %d0;"),
        ("%h0", "st.global.u16 [%d4], %h0;"),
        ("%p0", "selp.u32 %r0, 1, 0, %p0; st.global.u32 [%d4], %r0;"),
    ];
    let store = stores.iter().find(|(name, _)| instruction.contains(name)).expect("a result").1;
    let body = format!(
        ".reg .b64 %da, %db, %dc; .reg .b32 %ra, %rb, %rc; .reg .b16 %ha, %hb, %hc;\n\
         shl.b32 %r2, %r1, 3; cvt.u64.u32 %d6, %r2; add.s64 %d4, %d1, %d6;\n{load}{instruction}\n{store}"
    );
    let read = |words: &[u32], lane: usize| words[2 * lane] as u64 | (words[2 * lane + 1] as u64) << 32;
    let whole = Bench::default().run(&body).unwrap_or_else(|fault| panic!("{fault}")).0;
    let part = Bench { block: 5, ..Bench::default() }.run(&body).unwrap_or_else(|fault| panic!("{fault}")).0;
    let value = read(&whole, 0);
    for lane in 0..32 {
        assert_eq!(read(&whole, lane), value, "{instruction}: lane {lane}");
    }
    assert_eq!(read(&part, 4), value, "{instruction}: a warp of five lanes");
    assert_eq!(read(&part, 5), 0, "{instruction}: a lane that is not there wrote");
    value
}

/// Checks a table of instructions, sources and results.
pub fn table(rows: &[(&str, &[u64], u64)]) {
    for (instruction, operands, expected) in rows {
        let found = eval(instruction, operands);
        assert_eq!(found, *expected, "{instruction} of {operands:x?}: {found:#x}, expected {expected:#x}");
    }
}

/// Bits of a float32.
pub fn f(x: f32) -> u64 {
    x.to_bits() as u64
}

/// Bits of a float64.
pub fn d(x: f64) -> u64 {
    x.to_bits()
}
