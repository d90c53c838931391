//! Files that are complete or absent: written aside, synced, renamed, and the folder synced after them.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a file's bytes go, and how they are forced onto the disk. Tests put a disk that fills up in its place.
pub(crate) trait Sink: Write {
    /// Returns once everything written so far is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Creates files: the real disk, or a test's.
pub(crate) trait Disk: std::fmt::Debug + Send + Sync {
    /// Creates the file at `path` or empties it.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
}

/// The file system.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(File::create(path)?))
    }
}

/// Name prefix of what is still being written or removed; whoever finds one after a kill may delete it.
pub(crate) const ASIDE: &str = ".tmp-";

/// The name beside `path` under which it is written before it is whole.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{ASIDE}{name}"))
}

/// Writes and syncs one file where it stands; the caller renames it or the folder it is in.
pub(crate) fn write_synced(disk: &dyn Disk, path: &Path, parts: &[Cow<'_, [u8]>]) -> io::Result<()> {
    let mut sink = disk.create(path)?;
    parts.iter().try_for_each(|part| sink.write_all(part))?;
    sink.flush()?;
    sink.sync()
}

/// Replaces the file at `path` by `bytes`: a kill at any moment leaves the old content or the new, nothing between.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_file_on(&RealDisk, path, &[Cow::Borrowed(bytes)])
}

/// [`replace_file`] by bytes in parts, on a given disk.
pub(crate) fn replace_file_on(disk: &dyn Disk, path: &Path, parts: &[Cow<'_, [u8]>]) -> io::Result<()> {
    let beside = aside(path);
    let written = write_synced(disk, &beside, parts).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.and_then(|()| sync_folder(path.parent().unwrap_or(Path::new(""))))
}

/// Makes renames and new names inside `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    // Only Unix opens folders as files; elsewhere the rename is all that can be asked for.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A disk with room for `left` more bytes.
    #[derive(Debug)]
    pub(crate) struct FullDisk {
        pub(crate) left: Arc<AtomicUsize>,
    }

    struct FullFile {
        file: File,
        left: Arc<AtomicUsize>,
    }

    impl Disk for FullDisk {
        fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
            Ok(Box::new(FullFile { file: File::create(path)?, left: self.left.clone() }))
        }
    }

    impl Write for FullFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = self.left.load(Ordering::Relaxed);
            if left == 0 && !bytes.is_empty() {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let written = self.file.write(&bytes[..bytes.len().min(left)])?;
            self.left.store(left - written, Ordering::Relaxed);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Sink for FullFile {
        fn sync(&mut self) -> io::Result<()> {
            self.file.sync_all()
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_leftover() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        replace_file(&path, b"old").unwrap();
        for room in 0..8 {
            let disk = FullDisk { left: Arc::new(AtomicUsize::new(room)) };
            let error = replace_file_on(&disk, &path, &[b"new ".into(), b"content".into()]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        replace_file(&path, b"new content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new content");
    }
}
