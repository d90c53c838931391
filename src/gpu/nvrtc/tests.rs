//! Compiling at run time. These tests need an NVRTC as the build does: `./test` brings one.

use std::fs;

use super::resources::Resources;
use super::*;

/// A compiler with a cache folder of its own.
fn compiler(cache: Option<&Path>) -> Compiler {
    let places = search::find().expect("an NVRTC: run the tests by ./test, or set KD_NVRTC_DIR");
    Compiler { nvrtc: Nvrtc::open_first(&places).unwrap(), cache: cache.map(Path::to_path_buf) }
}

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_string(), text: text.to_string() }
}

const HEADER: &str = "#pragma once\n#define KERNEL extern \"C\" __global__ void\n";
const DOUBLE: &str = "// y = 2 x\n#include \"own.cuh\"\nKERNEL twice(float* y) { y[threadIdx.x] *= 2.0f; }\n";

#[test]
fn what_the_build_embedded_is_what_nvrtc_makes_here() {
    let compiler = compiler(None);
    let mut files = 0;
    for name in kernels::files() {
        // Another version of NVRTC may make other code.
        if kernels::nvrtc_version() == Some(compiler.nvrtc.version()) {
            let ptx = compiler.image(name, kernels::sources(), Target::Ptx).unwrap();
            assert_eq!(String::from_utf8(ptx).unwrap(), kernels::ptx(name).unwrap(), "{name}");
        }
        files += 1;
    }
    assert_eq!(ptx_files().unwrap().len(), files);
    assert!(files > 0);
}

#[test]
fn a_kernel_is_compiled_once_and_then_read_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let compiler = compiler(Some(folder.path()));
    let sources = [source("own.cuh", HEADER), source("twice.cu", DOUBLE)];
    let first = compiler.image("twice", &sources, Target::Ptx).unwrap();
    assert_eq!(library::entries(std::str::from_utf8(&first).unwrap()), ["twice"]);
    let kept: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);

    // The cache is really asked: another content comes back.
    let name = kept[0].file_name().unwrap().to_str().unwrap();
    cache::write(folder.path(), name, b"from the cache").unwrap();
    assert_eq!(compiler.image("twice", &sources, Target::Ptx).unwrap(), b"from the cache");

    // A damaged file is made again, wherever the damage is.
    for position in [0, 5, 12] {
        let mut bytes = fs::read(&kept[0]).unwrap();
        bytes[position] ^= 0x10;
        fs::write(&kept[0], bytes).unwrap();
        assert_eq!(compiler.image("twice", &sources, Target::Ptx).unwrap(), first, "byte {position}");
        cache::write(folder.path(), name, b"from the cache").unwrap();
    }

    // Another header is another kernel.
    let sources =
        [source("own.cuh", &HEADER.replace("void", "void __launch_bounds__(64)")), source("twice.cu", DOUBLE)];
    let other = compiler.image("twice", &sources, Target::Ptx).unwrap();
    assert!(String::from_utf8(other).unwrap().contains(".maxntid 64"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let sources = [source("own.cuh", HEADER), source("twice.cu", DOUBLE)];
    assert!(!compiler(Some(&file)).image("twice", &sources, Target::Ptx).unwrap().is_empty());
}

#[test]
fn a_fault_in_a_kernel_is_told_in_the_compilers_words() {
    let sources = [source("own.cuh", HEADER), source("twice.cu", &DOUBLE.replace("threadIdx", "threadIndex"))];
    let message = compiler(None).image("twice", &sources, Target::Ptx).unwrap_err();
    assert!(message.contains("twice.cu(3): error: identifier \"threadIndex\" is undefined"), "{message}");
    // The assembler's complaints too: a wrong inline instruction shows only when machine code is made.
    let wrong = DOUBLE.replace("y[threadIdx.x] *= 2.0f;", "asm(\"add.f32.sometimes %0, %0, %0;\" : \"+f\"(y[0]));");
    let sources = [source("own.cuh", HEADER), source("twice.cu", &wrong)];
    let message = compiler(None).image("twice", &sources, Target::Cubin(target::ARCHS[0])).unwrap_err();
    assert!(message.contains("sometimes"), "{message}");
}

#[test]
fn ptx_names_files_without_folders() {
    let sources = [source("own.cuh", HEADER), source("twice.cu", DOUBLE)];
    let ptx = String::from_utf8(compiler(None).image("twice", &sources, Target::Ptx).unwrap()).unwrap();
    let files: Vec<&str> = ptx.lines().filter(|line| line.trim_start().starts_with(".file")).collect();
    assert_eq!(files, ["\t.file\t1 \"twice.cu\""]);
}

#[test]
fn headers_are_found_through_headers() {
    let all = [source("a.cuh", "#include \"b.cuh\""), source("b.cuh", ""), source("c.cuh", ""), source("d.cuh", "")];
    let unit = source("x.cu", "// text\n # include \"c.cuh\" // why\n#include \"a.cuh\"\n#include \"nowhere.cuh\"");
    let names: Vec<_> = library::includes(&unit, &all).iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["a.cuh", "b.cuh", "c.cuh"]);
}

#[test]
fn the_module_fits_the_gpu() {
    let best = |capability| best(target::ARCHS.into_iter(), capability).map(|arch| arch.to_string());
    let expected = [
        ((8, 0), Some("sm_80")),
        ((8, 6), Some("sm_86")),
        ((8, 7), Some("sm_86")),
        ((8, 9), Some("sm_89")),
        ((9, 0), Some("sm_90a")),
        ((10, 0), Some("sm_100")),
        ((10, 3), Some("sm_100")),
        ((12, 0), Some("sm_120")),
        ((12, 1), Some("sm_120")),
        // Later and other majors take the PTX.
        ((9, 1), None),
        ((11, 0), None),
        ((13, 0), None),
        ((7, 5), None),
    ];
    for (capability, arch) in expected {
        assert_eq!(best(capability).as_deref(), arch, "{capability:?}");
    }
}

#[test]
fn architectures_are_chosen_by_name() {
    let names = |list: &str| Arch::parse_list(list).map(|archs| archs.iter().map(Arch::to_string).collect::<Vec<_>>());
    assert_eq!(names("90a,80, sm_86,80").unwrap(), ["sm_80", "sm_86", "sm_90a"]);
    assert_eq!(names("none").unwrap(), [""; 0]);
    assert_eq!(names("all").unwrap().len(), target::ARCHS.len());
    for wrong in ["90", "75", "80,,86", "sm80", ""] {
        let message = names(wrong).unwrap_err();
        assert!(message.contains("expected `all`, `none`, or some of 80, 86, 89, 90a, 100, 120"), "{message}");
    }
}

#[test]
fn the_assemblers_log_is_read() {
    let log = "ptxas info    : 16 bytes gmem, 32 bytes cmem[4]
ptxas info    : Compiling entry function 'add_bf16' for 'sm_80'
ptxas info    : Function properties for add_bf16
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 26 registers, used 0 barriers, 380 bytes cmem[0]
ptxas info    : Compile time = 6.145 ms
ptxas info    : Compiling entry function 'gemm' for 'sm_80'
ptxas info    : Function properties for helper
    16 bytes stack frame, 9 bytes spill stores, 9 bytes spill loads
ptxas info    : Function properties for gemm
    112 bytes stack frame, 36 bytes spill stores, 44 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 40960 bytes smem, 400 bytes cmem[0]
";
    let gemm = Resources { registers: 255, spill_stores: 36, spill_loads: 44, shared: 40960, barriers: 1, stack: 112 };
    let add = Resources { registers: 26, ..Resources::default() };
    assert_eq!(resources::parse(log), [("add_bf16".to_string(), add), ("gemm".to_string(), gemm)]);
}

#[test]
fn a_folder_is_searched_for_whole_compilers() {
    let folder = tempfile::tempdir().unwrap();
    let touch = |name: &str| fs::write(folder.path().join(name), "").unwrap();
    assert_eq!(search::in_folder(folder.path()), None);
    if cfg!(windows) {
        return;
    }
    touch("libnvrtc.so.12");
    touch("libnvrtc.alt.so.12");
    assert_eq!(search::in_folder(folder.path()), None, "without its builtins it cannot compile");
    touch("libnvrtc-builtins.so.12.8");
    touch("libnvrtc-builtins.alt.so.12.8");
    touch("libnvrtc.so");
    touch("libnvrtc.so.11.2");
    let files = search::in_folder(folder.path()).unwrap();
    assert_eq!(files.nvrtc, folder.path().join("libnvrtc.so.12"));
    assert_eq!(files.builtins, [folder.path().join("libnvrtc-builtins.so.12.8")]);
    // Files that are no libraries are an error, not a crash.
    let message = Nvrtc::open(&files).unwrap_err();
    assert!(message.contains("cannot load"), "{message}");
}
