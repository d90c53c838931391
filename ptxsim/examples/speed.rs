//! Prints how long one warp instruction takes: `cargo run --release -p ptxsim --example speed`.
//!
//! Time is that of the thread alone where the system tells it, so that other work on the machine does not count.

use ptxsim::{Checks, GlobalMemory, Launch, Module, Options, Program};
use std::time::Instant;

/// Each body runs in a loop of 200 rounds, 256 threads a block, 64 blocks. `%rd1` is the thread's place in memory.
const BODIES: [(&str, &str); 8] = [
    ("fma.rn.f32, 32 accumulators", "fma"),
    (
        "integer multiply-add",
        "mad.lo.s32 %r10, %r11, %r12, %r10; mad.lo.s32 %r13, %r11, %r12, %r13; add.s32 %r11, %r11, 3;",
    ),
    ("64-bit address arithmetic", "mul.wide.u32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd4, 64;"),
    ("global load and store, contiguous", "ld.global.f32 %f1, [%rd1]; st.global.f32 [%rd1], %f1;"),
    (
        "global load and store of 16 bytes",
        "ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd2]; st.global.v4.f32 [%rd2], {%f1, %f2, %f3, %f4};",
    ),
    ("shared load and store, contiguous", "ld.shared.f32 %f1, [%r5]; st.shared.f32 [%r5], %f1;"),
    ("shared load of 16 bytes, 4 addresses in a warp", "ld.shared.v4.f32 {%f1, %f2, %f3, %f4}, [%r6];"),
    (
        "mma.m16n8k16 of bf16",
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1, %f2, %f3, %f4}, {%r10, %r11, %r12, %r13}, {%r10, %r11}, {%f1, %f2, %f3, %f4};",
    ),
];

fn kernel(body: &str) -> String {
    let body = match body {
        "fma" => (0..32)
            .map(|at| format!("fma.rn.f32 %f{}, %f{}, %f{}, %f{};\n", 40 + at, 1 + at % 8, 9 + at / 8, 40 + at))
            .collect(),
        body => body.to_string(),
    };
    let zeros: String = (1..80).map(|at| format!("mov.f32 %f{at}, 0f3F800000;\n")).collect();
    format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .u64 p)\n{{\n\
         .reg .pred %p<3>; .reg .b32 %r<20>; .reg .f32 %f<80>; .reg .b64 %rd<8>;\n.shared .align 16 .b8 s[4096];\n\
         ld.param.u64 %rd1, [p]; mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mad.lo.s32 %r3, %r2, 256, %r1;\n\
         mul.wide.u32 %rd2, %r3, 16; add.s64 %rd2, %rd1, %rd2; mul.wide.u32 %rd3, %r3, 4; add.s64 %rd1, %rd1, %rd3;\n\
         shl.b32 %r5, %r1, 2; and.b32 %r6, %r1, 3; shl.b32 %r6, %r6, 4;\n\
         mov.u32 %r10, 7; mov.u32 %r11, 5; mov.u32 %r12, 3; mov.u32 %r13, 1;\n{zeros}\
         st.shared.f32 [%r5], %f1; bar.sync 0; mov.u32 %r4, 0;\n\
         LOOP:\n{body}\nadd.s32 %r4, %r4, 1; setp.lt.u32 %p1, %r4, 200; @%p1 bra LOOP;\nret;\n}}\n"
    )
}

/// Nanoseconds that this thread has run, or that have passed since the start.
fn clock(start: Instant) -> u64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let told = told.and_then(|text| text.split_whitespace().next().and_then(|first| first.parse().ok()));
    told.unwrap_or_else(|| start.elapsed().as_nanos() as u64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    println!("{:50} {:>8} {:>8} {:>8}", "ns per warp instruction", "bounds", "default", "all");
    for (name, body) in BODIES {
        let module = Module::parse(&kernel(body))?;
        let program = Program::decode(&module)?;
        let memory = GlobalMemory::new();
        let bytes = 64 * 256 * 16;
        let address = memory.allocate(bytes, "values")?;
        memory.fill(address, 0, bytes)?;
        let launch = Launch {
            grid: [64, 1, 1],
            block: [256, 1, 1],
            parameters: address.to_le_bytes().to_vec(),
            ..Launch::default()
        };
        let mut row = format!("{name:50}");
        for checks in [Checks::none(), Checks::default(), Checks::all()] {
            let options = Options { checks, threads: Some(1), ..Options::default() };
            let before = clock(start);
            let counters = program.kernel("k")?.launch(&memory, &launch, &options)?;
            let spent = clock(start) - before;
            row += &format!(" {:8.2}", spent as f64 / counters.warp_instructions as f64);
        }
        println!("{row}");
    }
    Ok(())
}
