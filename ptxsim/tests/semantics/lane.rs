//! One warp that runs some instructions, lane by lane on inputs of its own.

use ptxsim::ast::Module;
use ptxsim::{Checks, Fault, GlobalMemory, Launch, Options, Program};

/// Runs one warp. Lane `l` finds `inputs[l]` in `%a`, `%b`, `%c` (32 bits), `%ha`, `%hb` (16 bits) and `%la`, `%lb`,
/// `%lc` (64 bits), and leaves its result in `%y` and `%ly`; the other one stays zero.
pub fn run(body: &str, inputs: &[[u64; 3]]) -> Result<Vec<(u32, u64)>, Box<Fault>> {
    let text = format!(
        ".version 8.7 .target sm_80 .address_size 64
        .visible .entry k(.param .u64 from, .param .u64 to)
        {{
        .reg .b16 %h<5>, %ha, %hb; .reg .b32 %a, %b, %c, %y, %lane, %r<40>; .reg .pred %p<8>;
        .reg .b64 %la, %lb, %lc, %ly, %d<9>, %from, %to, %at;
        .shared .align 128 .b8 tile[4096];
        mov.u32 %lane, %laneid;
        ld.param.u64 %from, [from]; ld.param.u64 %to, [to];
        mul.wide.u32 %at, %lane, 24; add.s64 %from, %from, %at;
        mul.wide.u32 %at, %lane, 16; add.s64 %to, %to, %at;
        ld.global.b64 %la, [%from]; ld.global.b64 %lb, [%from+8]; ld.global.b64 %lc, [%from+16];
        cvt.u32.u64 %a, %la; cvt.u32.u64 %b, %lb; cvt.u32.u64 %c, %lc;
        cvt.u16.u64 %ha, %la; cvt.u16.u64 %hb, %lb;
        mov.b32 %y, 0; mov.b64 %ly, 0;
        {body}
        st.global.b64 [%to+8], %ly; st.global.b32 [%to], %y;
        ret;
        }}"
    );
    let module = Module::parse(&text).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let program = Program::decode(&module).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let memory = GlobalMemory::new();
    let must = "32 lanes of memory are little";
    let (from, to) = (memory.allocate(768, "from").expect(must), memory.allocate(512, "to").expect(must));
    let bytes: Vec<u8> =
        (0..32).flat_map(|lane| inputs.get(lane).copied().unwrap_or_default()).flat_map(u64::to_le_bytes).collect();
    memory.write(from, &bytes).expect(must);
    let launch = Launch {
        grid: [1, 1, 1],
        block: [32, 1, 1],
        parameters: [from.to_le_bytes(), to.to_le_bytes()].concat(),
        ..Launch::default()
    };
    let options = Options { checks: Checks::all(), budget: Some(1 << 20), ..Options::default() };
    program.kernel("k")?.launch(&memory, &launch, &options)?;
    let mut out = [0; 512];
    memory.read(to, &mut out).expect(must);
    let word = |at: usize| out[at..at + 8].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    Ok((0..32).map(|lane| (word(16 * lane) as u32, word(16 * lane + 8))).collect())
}

#[track_caller]
pub fn ran(body: &str, inputs: &[[u64; 3]]) -> Vec<(u32, u64)> {
    run(body, inputs).unwrap_or_else(|fault| panic!("{fault}\n{body}"))
}

/// Checks `%y` for inputs of 32 bits.
#[track_caller]
pub fn words(body: &str, cases: &[([u32; 3], u32)]) {
    let inputs: Vec<[u64; 3]> = cases.iter().map(|(inputs, _)| inputs.map(u64::from)).collect();
    let found = ran(body, &inputs);
    for ((inputs, expected), (found, _)) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "{body} of {inputs:#x?}: found {found:#x}, expected {expected:#x}");
    }
}

/// Checks `%ly` for inputs of 64 bits.
#[track_caller]
pub fn doubles(body: &str, cases: &[([u64; 3], u64)]) {
    let inputs: Vec<[u64; 3]> = cases.iter().map(|(inputs, _)| *inputs).collect();
    let found = ran(body, &inputs);
    for ((inputs, expected), (_, found)) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "{body} of {inputs:#x?}: found {found:#x}, expected {expected:#x}");
    }
}

/// Checks `%y` as a float; any NaN is as good as any other.
#[track_caller]
pub fn floats(body: &str, cases: &[([f32; 3], f32)]) {
    let inputs: Vec<[u64; 3]> = cases.iter().map(|(inputs, _)| inputs.map(|x| u64::from(x.to_bits()))).collect();
    let found = ran(body, &inputs);
    for ((inputs, expected), (found, _)) in cases.iter().zip(found) {
        let found = f32::from_bits(found);
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{body} of {inputs:?}: found {found:?}, expected {expected:?}");
    }
}

pub const NAN: f32 = f32::NAN;
pub const INF: f32 = f32::INFINITY;
/// A subnormal float.
pub const TINY: f32 = 1e-40;
