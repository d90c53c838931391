//! Writes what the binary holds: the compressed bytes as files, and the Rust table over them that
//! `src/gpu/kernels/mod.rs` includes.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::compile::File;
use crate::library::Source;

/// What was compiled.
pub enum Made {
    /// Nothing, and why.
    Nothing(String),
    /// Every file, by NVRTC of this version.
    Files {
        /// Major and minor.
        version: (u32, u32),
        /// In the order of their names.
        files: Vec<File>,
    },
}

/// Writes `embedded.rs` and the files it includes into `out`.
///
/// # Errors
/// A disk that refuses.
pub fn write(out: &Path, sources: &[Source], made: &Made) -> Result<(), String> {
    let folder = out.join("embedded");
    // A file of an earlier build would do no harm, but would never leave.
    let _ = fs::remove_dir_all(&folder);
    let refused = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(refused)?;
    let put = |name: &str, bytes: &[u8]| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        fs::write(folder.join(name), encoder.finish()?)
    };

    let mut table = String::from("Embedded {\n");
    let (absent, version, files) = match made {
        Made::Nothing(reason) => (Some(reason), (0, 0), &[][..]),
        Made::Files { version, files } => (None, *version, &files[..]),
    };
    line(&mut table, format_args!("absent: {absent:?}, nvrtc: {version:?},"));
    line(&mut table, format_args!("sources: &["));
    for source in sources {
        put(&source.name, source.text.as_bytes()).map_err(refused)?;
        line(
            &mut table,
            format_args!("EmbeddedSource {{ name: {:?}, text: {} }},", source.name, include(&source.name)),
        );
    }
    line(&mut table, format_args!("], files: &["));
    for file in files {
        let name = format!("{}.ptx", file.name);
        put(&name, &file.ptx).map_err(refused)?;
        line(&mut table, format_args!("EmbeddedFile {{ name: {:?}, ptx: {}, cubins: &[", file.name, include(&name)));
        for (arch, cubin) in &file.cubins {
            let name = format!("{}.{arch}.cubin", file.name);
            put(&name, cubin).map_err(refused)?;
            line(&mut table, format_args!("({arch:?}, {}),", include(&name)));
        }
        line(&mut table, format_args!("], kernels: &["));
        for kernel in &file.kernels {
            line(&mut table, format_args!("EmbeddedKernel {{ name: {kernel:?}, resources: &["));
            for (arch, kernels) in &file.resources {
                if let Some((_, resources)) = kernels.iter().find(|(name, _)| name == kernel) {
                    // The debug text of a plain struct is how Rust writes it.
                    line(&mut table, format_args!("({arch:?}, {resources:?}),"));
                }
            }
            line(&mut table, format_args!("] }},"));
        }
        line(&mut table, format_args!("] }},"));
    }
    table.push_str("] }\n");
    fs::write(out.join("embedded.rs"), table).map_err(refused)
}

fn line(table: &mut String, text: std::fmt::Arguments) {
    // Writing to a String cannot fail.
    let _ = writeln!(table, "{text}");
}

/// The expression that includes a written file.
fn include(name: &str) -> String {
    format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/embedded/{name}\"))")
}
