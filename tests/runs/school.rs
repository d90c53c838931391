//! A small school: images, a model file and a config of the tests' own, and the program that trains there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kd_engine::random::{Philox, Stream};
use tempfile::TempDir;

/// Sides of the images.
pub const SIDE: usize = 12;
/// Classes: which quarter of the image is bright.
pub const CLASSES: usize = 4;
/// Training images of each class.
const TRAIN: usize = 32;
/// Test images of each class.
const TEST: usize = 10;

/// Two nets of a few hundred parameters, with what the zoo's nets are made of.
const MODELS: &str = r#"
about = "Two tiny nets."
[models]
narrow = {}
wide = { width = 12 }
[parameters]
width = 6
[network]
layers = [
  { conv = "stem", out = "width", kernel = 3, stride = 2 },
  { batch_norm = "norm" },
  "relu",
  { add = [[{ conv = "depthwise", out = "width", kernel = 3, groups = "width", bias = true }], []] },
  { tap = "f0" },
  { conv = "last", out = "2 * width", kernel = 1, bias = true },
  "relu",
  "global_avg_pool",
  { tap = "f1" },
  { linear = "classifier", out = "classes" },
]
"#;

/// Mentors that are pretrained together, two seeds, three methods: every kind of stage and file that there is.
const CONFIG: &str = r#"
name = "school"

[data]
source = "idx"
path = "data"
validation = 0.125
augment = { crop_padding = 1, flip = true }

[classroom]
student = "models.toml:narrow"
teachers = ["models.toml:wide"]
peers = ["resnet8", "models.toml:narrow"]

[pretrain]
epochs = 2
batch_size = 16
schedule = { name = "one_cycle" }

[[methods]]
name = "cross_entropy"
[[methods]]
name = "kd"
[[methods]]
name = "classroomkd"

[train]
epochs = 2
batch_size = 16
seeds = [1, 2]
schedule = { name = "one_cycle" }

[output]
checkpoints = { every_epochs = 1, every_steps = 3, keep = 2 }
"#;

/// A folder with everything that a run needs, removed at the end of the test.
pub struct School {
    folder: TempDir,
}

impl School {
    /// Writes the data, the models and the config `school.toml`.
    pub fn new() -> Self {
        let school = Self { folder: tempfile::tempdir().unwrap() };
        school.write("models.toml", MODELS);
        school.write("school.toml", CONFIG);
        fs::create_dir(school.path("data")).unwrap();
        for (split, stem, per_class) in [(0, "train", TRAIN), (1, "t10k", TEST)] {
            let count = per_class * CLASSES;
            let labels: Vec<u8> = (0..count).map(|index| (index % CLASSES) as u8).collect();
            let pixels: Vec<u8> = (0..count).flat_map(|index| image(split, index)).collect();
            school.write(&format!("data/{stem}-labels-idx1-ubyte"), idx(&[count], &labels));
            school.write(&format!("data/{stem}-images-idx3-ubyte"), idx(&[count, SIDE, SIDE], &pixels));
        }
        school
    }

    /// A path in the school's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the school's folder.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// The program with `arguments`, to be started in the school's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kd-engine"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }

    /// Runs the program to its end, whichever that is.
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the program, which succeeds; returns its stdout.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.try_run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}:\n{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What lies in a run's folder, by path.
    pub fn left(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(&self.path(run), "", &mut found);
        found
    }

    /// What lies in a run's folder except what is marked (time): `timing.jsonl` and the footer of the page.
    pub fn lasting(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = self.left(run);
        found.remove("timing.jsonl").expect("there is a timing.jsonl");
        if let Some(page) = found.get_mut("report.html") {
            let text = String::from_utf8(std::mem::take(page)).unwrap();
            let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("<footer>")).collect();
            assert_eq!(kept.len() + 1, text.lines().count(), "the page has one line that is a footer");
            *page = kept.join("\n").into_bytes();
        }
        found
    }
}

/// What a program wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Both runs left the same files with the same bytes; what differs is named.
#[track_caller]
pub fn assert_same(what: &str, left: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(expected), "{what}: other files");
    for (name, bytes) in expected {
        let at = left[name].iter().zip(bytes).position(|(a, b)| a != b);
        let at = at.or((left[name].len() != bytes.len()).then(|| bytes.len().min(left[name].len())));
        assert!(at.is_none(), "{what}: {name} differs from byte {at:?} on");
    }
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), found);
            found.insert(name + "/", Vec::new());
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// An IDX file of unsigned bytes.
pub fn idx(extents: &[usize], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, extents.len() as u8];
    extents.iter().for_each(|extent| file.extend((*extent as u32).to_be_bytes()));
    file.extend(bytes);
    file
}

/// Noise, and one quarter brighter: which one is the class.
fn image(split: u64, index: usize) -> impl Iterator<Item = u8> {
    let generator = Philox::new(split, Stream::Split);
    let class = index % CLASSES;
    (0..SIDE * SIDE).map(move |pixel| {
        let noise = generator.draw(index as u64, pixel as u64)[0] % 180;
        let quarter = 2 * usize::from(pixel / SIDE >= SIDE / 2) + usize::from(pixel % SIDE >= SIDE / 2);
        (noise + if quarter == class { 60 } else { 0 }) as u8
    })
}
