//! The texts for users and newcomers say what is so: where they point there is something, and what they show works.

use std::path::Path;

use kd_engine::config::{Config, Overrides};

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// In `ARCHITECTURE.md` every word in backquotes with a slash in it is a path from the repository's root.
#[test]
fn every_path_that_the_architecture_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = read("ARCHITECTURE.md");
    let quoted = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let paths: Vec<&str> = quoted.filter(|word| word.contains('/') && !word.contains(' ')).collect();
    assert!(paths.len() > 60, "only {} paths were found", paths.len());
    let missing = |path: &&str| match path.strip_suffix('/') {
        Some(folder) => !root.join(folder).is_dir(),
        None => !root.join(path).is_file(),
    };
    let missing: Vec<&str> = paths.into_iter().filter(missing).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
}

#[test]
fn the_config_in_the_readme_is_one() {
    let text = read("README.md");
    let (_, after) = text.split_once("```toml\n").expect("there is an example");
    let (example, _) = after.split_once("```").expect("it ends");
    let config = Config::parse("README.md", example, "example", Path::new("/"), &Overrides::default()).unwrap();
    let labels: Vec<&str> = config.methods.iter().map(|method| method.label.as_str()).collect();
    assert_eq!(labels, ["cross_entropy", "kd", "classroomkd", "no-mentoring"]);
    assert_eq!(config.classroom.mentors().len(), 3);
}

#[test]
fn the_files_that_the_readme_links_to_exist() {
    let text = read("README.md");
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files: Vec<&str> = links.filter(|link| !link.contains("://")).collect();
    assert!(files.len() >= 5, "only {files:?} were found");
    for file in files {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).is_file(), "README.md links to {file}");
    }
}
