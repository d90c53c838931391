//! Lane by lane work on register rows, written so that the compiler turns it into vector instructions.
//!
//! A row holds one register of a warp: 32 lanes of `u32`, or of `u64` in two rows. Predicates are masks, one bit a lane.
//! Each handler exists twice: for any machine, and for x86-64 with AVX2 and FMA, chosen when a kernel is decoded.

use super::{Code, Context, Handler};

/// Lanes of a warp.
pub(crate) const WARP: usize = 32;
/// The mask of all lanes.
pub(crate) const FULL: u32 = u32::MAX;
/// Lanes handled at once: two or four vector registers.
const CHUNK: usize = 16;

/// What a row holds per lane.
pub(crate) trait Lane: Copy + Default + 'static {}
impl Lane for u32 {}
impl Lane for u64 {}

/// Makes handlers of an always-inlined function: `versions!(maker, function, fast, [generics], [arguments])` defines
/// `maker()`, which gives the version with the fastest instructions that this machine has.
macro_rules! versions {
    ($maker:ident, $body:ident, $fast:ident, [$($declared:tt)*], [$($given:ty),* $(,)?]) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt,f16c")]
        // SAFETY: `maker` gives it out only where these features were found; else as the body.
        unsafe fn $fast<$($declared)*>(
            context: &mut $crate::exec::Context,
            code: &$crate::exec::Code,
            mask: u32,
        ) -> bool {
            // SAFETY: as the body.
            unsafe { $body::<$($given),*>(context, code, mask) }
        }

        fn $maker<$($declared)*>() -> $crate::exec::Handler {
            $crate::exec::lanes::pick(
                $body::<$($given),*>,
                #[cfg(target_arch = "x86_64")]
                $fast::<$($given),*>,
            )
        }
    };
}
pub(crate) use versions;

/// The fast version where the machine has what it needs.
pub(crate) fn pick(plain: Handler, #[cfg(target_arch = "x86_64")] fast: Handler) -> Handler {
    #[cfg(target_arch = "x86_64")]
    {
        let has = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma")
            && std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt")
            && std::arch::is_x86_feature_detected!("popcnt")
            && std::arch::is_x86_feature_detected!("f16c");
        if has {
            return fast;
        }
    }
    plain
}

/// The closure whose type is known: closures that capture nothing carry no data.
#[inline(always)]
fn conjure<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0, "the closure captures something") };
    // SAFETY: a value of a zero-sized, copyable type has no bytes; one existed when the handler was made.
    unsafe { std::mem::zeroed() }
}

/// Reads chunk `at` of a row.
///
/// # Safety
/// `row` points at a whole row of `T`.
#[inline(always)]
unsafe fn chunk<T: Lane>(row: *const T, at: usize) -> [T; CHUNK] {
    // SAFETY: `at + CHUNK <= 32`.
    unsafe { (row.add(at) as *const [T; CHUNK]).read() }
}

/// Writes the lanes of `mask` into chunk `at` of a row.
///
/// # Safety
/// `row` points at a whole row of `T`.
#[inline(always)]
unsafe fn put<T: Lane>(row: *mut T, at: usize, values: [T; CHUNK], mask: u32) {
    // SAFETY: `at + CHUNK <= 32`.
    unsafe {
        let place = row.add(at) as *mut [T; CHUNK];
        if mask == FULL {
            place.write(values);
        } else {
            let mut all = place.read();
            for lane in 0..CHUNK {
                all[lane] = if mask & (1 << (at + lane)) != 0 { values[lane] } else { all[lane] };
            }
            place.write(all);
        }
    }
}

/// Writes the lanes of `mask` of a whole row.
///
/// # Safety
/// `row` points at a whole row of `T`.
#[inline(always)]
pub(crate) unsafe fn write_row<T: Lane>(row: *mut T, values: &[T; WARP], mask: u32) {
    // SAFETY: as above.
    unsafe {
        if mask == FULL {
            (row as *mut [T; WARP]).write(*values);
        } else {
            let all = &mut *(row as *mut [T; WARP]);
            for lane in 0..WARP {
                all[lane] = if mask & (1 << lane) != 0 { values[lane] } else { all[lane] };
            }
        }
    }
}

macro_rules! map {
    ($name:ident, $make:ident, $run:ident, $fast:ident, $($operand:ident : $type:ident = $place:expr),+) => {
        /// A handler of `destination = f(sources)`, lane by lane.
        pub(crate) fn $name<D: Lane, $($type: Lane,)+ F: Fn($($type),+) -> D + Copy + 'static>(_: F) -> Handler {
            $make::<D, $($type,)+ F>()
        }

        versions!($make, $run, $fast, [D: Lane, $($type: Lane,)+ F: Fn($($type),+) -> D + Copy + 'static], [D, $($type,)+ F]);

        #[inline(always)]
        // SAFETY: see `Handler`; the decoder made the rows of these widths.
        unsafe fn $run<D: Lane, $($type: Lane,)+ F: Fn($($type),+) -> D + Copy + 'static>(
            context: &mut Context, code: &Code, mask: u32,
        ) -> bool {
            let f = conjure::<F>();
            // SAFETY: as above. Rows of one width are the same or apart, so that a chunk is read before it is written.
            unsafe {
                let target = context.row::<D>(code.r[0]);
                $(let $operand = context.row::<$type>(code.r[$place]);)+
                if mask == FULL {
                    for at in (0..WARP).step_by(CHUNK) {
                        $(let $operand = chunk($operand, at);)+
                        let mut out = [D::default(); CHUNK];
                        for lane in 0..CHUNK {
                            out[lane] = f($($operand[lane]),+);
                        }
                        put(target, at, out, FULL);
                    }
                } else {
                    for at in (0..WARP).step_by(CHUNK) {
                        $(let $operand = chunk($operand, at);)+
                        let mut out = [D::default(); CHUNK];
                        for lane in 0..CHUNK {
                            out[lane] = f($($operand[lane]),+);
                        }
                        put(target, at, out, mask);
                    }
                }
            }
            true
        }
    };
}
map!(unary, make_unary, run_unary, fast_unary, a: A = 1);
map!(binary, make_binary, run_binary, fast_binary, a: A = 1, b: B = 2);
map!(ternary, make_ternary, run_ternary, fast_ternary, a: A = 1, b: B = 2, c: C = 3);
map!(quaternary, make_quaternary, run_quaternary, fast_quaternary, a: A = 1, b: B = 2, c: C = 3, d: E = 4);

/// The mask of lanes where `f` holds.
///
/// # Safety
/// Rows as named.
#[inline(always)]
unsafe fn holds<A: Lane, F: Fn(A, A) -> bool + Copy>(a: *const A, b: *const A, f: F) -> u32 {
    let mut mask = 0;
    for at in (0..WARP).step_by(CHUNK) {
        // SAFETY: as the caller's.
        let (a, b) = unsafe { (chunk(a, at), chunk(b, at)) };
        let mut bits = [0u32; CHUNK];
        for lane in 0..CHUNK {
            bits[lane] = if f(a[lane], b[lane]) { 1 << lane } else { 0 };
        }
        let mut part = 0;
        for bit in bits {
            part |= bit;
        }
        mask |= part << at;
    }
    mask
}

/// How `setp` and `set` join the comparison with a predicate: 0 not at all, 1 and, 2 or, 3 xor; 4 added: it is negated.
#[inline(always)]
pub(crate) fn join(value: u32, choice: u8, other: u32) -> u32 {
    let other = if choice & 4 != 0 { !other } else { other };
    match choice & 3 {
        0 => value,
        1 => value & other,
        2 => value | other,
        _ => value ^ other,
    }
}

/// A handler of `setp`: predicates `r[0] = f(a, b) op c` and `r[4] = !f(a, b) op c`, `a` and `b` rows `r[1]`, `r[2]`.
pub(crate) fn compare<A: Lane, F: Fn(A, A) -> bool + Copy + 'static>(_: F) -> Handler {
    make_run_compare::<A, F>()
}

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn run_compare<A: Lane, F: Fn(A, A) -> bool + Copy + 'static>(
    context: &mut Context,
    code: &Code,
    mask: u32,
) -> bool {
    // SAFETY: the decoder made rows and predicates of these places.
    unsafe {
        let value = holds(context.row::<A>(code.r[1]), context.row::<A>(code.r[2]), conjure::<F>());
        if code.choice == 0 && code.r[4] == super::code::NONE {
            context.set_predicate(code.r[0], value, mask);
        } else {
            let other = if code.choice == 0 { 0 } else { context.predicate(code.r[3]) };
            context.set_predicate(code.r[0], join(value, code.choice, other), mask);
            if code.r[4] != super::code::NONE {
                context.set_predicate(code.r[4], join(!value, code.choice, other), mask);
            }
        }
    }
    true
}
versions!(make_run_compare, run_compare, fast_run_compare, [A: Lane, F: Fn(A, A) -> bool + Copy + 'static], [A, F]);

/// A handler of `set`: the row `r[0]` gets all ones (or 1.0, by `choice & 8`) where `f(a, b) op c`.
pub(crate) fn set<A: Lane, F: Fn(A, A) -> bool + Copy + 'static>(_: F) -> Handler {
    make_run_set::<A, F>()
}

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn run_set<A: Lane, F: Fn(A, A) -> bool + Copy + 'static>(
    context: &mut Context,
    code: &Code,
    mask: u32,
) -> bool {
    // SAFETY: as above.
    unsafe {
        let value = holds(context.row::<A>(code.r[1]), context.row::<A>(code.r[2]), conjure::<F>());
        let other = if code.choice & 3 == 0 { 0 } else { context.predicate(code.r[3]) };
        let value = join(value, code.choice & 7, other);
        let yes = if code.choice & 8 != 0 { 1f32.to_bits() } else { u32::MAX };
        let mut out = [0; WARP];
        for (lane, out) in out.iter_mut().enumerate() {
            *out = if value >> lane & 1 != 0 { yes } else { 0 };
        }
        write_row(context.row::<u32>(code.r[0]), &out, mask);
    }
    true
}
versions!(make_run_set, run_set, fast_run_set, [A: Lane, F: Fn(A, A) -> bool + Copy + 'static], [A, F]);

/// A handler of `selp`: `r[0] = predicate r[3] (negated by `choice`) ? r[1] : r[2]`.
pub(crate) fn select<T: Lane>() -> Handler {
    make_run_select::<T>()
}

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn run_select<T: Lane>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above.
    unsafe {
        let predicate = context.predicate(code.r[3]) ^ if code.choice != 0 { FULL } else { 0 };
        let (target, a, b) = (context.row::<T>(code.r[0]), context.row::<T>(code.r[1]), context.row::<T>(code.r[2]));
        for at in (0..WARP).step_by(CHUNK) {
            let (a, b) = (chunk(a, at), chunk(b, at));
            let mut out = [T::default(); CHUNK];
            for lane in 0..CHUNK {
                out[lane] = if predicate & (1 << (at + lane)) != 0 { a[lane] } else { b[lane] };
            }
            put(target, at, out, mask);
        }
    }
    true
}
versions!(make_run_select, run_select, fast_run_select, [T: Lane], [T]);

/// A handler of predicate logic: `r[0] = f(r[1], r[2])` on masks.
pub(crate) fn logic<F: Fn(u32, u32) -> u32 + Copy + 'static>(_: F) -> Handler {
    make_run_logic::<F>()
}

#[inline(always)]
// SAFETY: see `Handler`.
unsafe fn run_logic<F: Fn(u32, u32) -> u32 + Copy + 'static>(context: &mut Context, code: &Code, mask: u32) -> bool {
    // SAFETY: as above.
    unsafe {
        let value = conjure::<F>()(context.predicate(code.r[1]), context.predicate(code.r[2]));
        context.set_predicate(code.r[0], value, mask);
    }
    true
}
versions!(make_run_logic, run_logic, fast_run_logic, [F: Fn(u32, u32) -> u32 + Copy + 'static], [F]);
