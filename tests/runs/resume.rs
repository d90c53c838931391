//! A run that is stopped, in whatever way and at whatever moment, ends as one that never was.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kd_engine::random::{Philox, Stream};

use crate::school::{School, assert_same, stderr};

/// A run that goes on, and what it says.
pub struct Running {
    pub child: Child,
    events: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts `run` with `arguments`.
    pub fn start(school: &School, arguments: &[&str]) -> Self {
        let mut command = school.command(&["run", "--json"]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Self { child, events }
    }

    /// Waits for the next event; none: the run is over.
    fn event(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.events.read_line(&mut line).unwrap() > 0).then_some(line)
    }

    /// Waits for an event of that name.
    pub fn wait_for(&mut self, event: &str) {
        let wanted = format!("{{\"event\":\"{event}\"");
        while !self.event().unwrap_or_else(|| panic!("the run ended before it said {event}")).starts_with(&wanted) {}
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

/// Random numbers of a test, from a seed that differs from run to run and is printed where the test fails.
struct Draws {
    generator: Philox,
    next: u64,
}

impl Draws {
    fn new() -> Self {
        let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        let given = std::env::var("KD_TEST_SEED").ok();
        let seed = given.map_or_else(|| u64::from(clock()), |text| text.parse().expect("KD_TEST_SEED is a number"));
        println!("KD_TEST_SEED={seed} draws the same moments again");
        Self { generator: Philox::new(seed, Stream::Split), next: 0 }
    }

    fn below(&mut self, end: u32) -> u32 {
        self.next += 1;
        self.generator.draw(0, self.next)[0] % end
    }
}

fn reference(school: &School) -> BTreeMap<String, Vec<u8>> {
    school.run(&["run", "school.toml", "--out", "whole", "--threads", "2", "--quiet"]);
    school.lasting("whole")
}

#[test]
fn a_run_killed_at_any_moments_ends_as_one_that_never_was() {
    let school = School::new();
    let expected = reference(&school);
    let mut draws = Draws::new();
    let mut kills = 0;
    for round in 0..6 {
        let out = format!("killed-{round}");
        let mut arguments = vec!["school.toml", "--out", &out];
        let mut history = Vec::new();
        loop {
            let threads = (1 + draws.below(3)).to_string();
            let mut running = Running::start(&school, &[&arguments[..], &["--threads", &threads]].concat());
            // The last round is hit early and often, the others where it happens to be; after five kills a run may end.
            let events = 1 + draws.below(if round == 5 { 6 } else { 45 });
            let spare = history.len() >= 5;
            let over =
                (0..events).any(|_| running.event().is_none()) || (spare && (0..).any(|_| running.event().is_none()));
            if !over {
                std::thread::sleep(Duration::from_micros(u64::from(draws.below(12_000))));
                running.child.kill().unwrap();
            }
            let output = running.child.wait_with_output().unwrap();
            history.push(format!("{threads} threads, {events} events: {:?}", output.status));
            if output.status.success() {
                break;
            }
            assert!(!over, "{}\n{}", history.join("\n"), stderr(&output));
            kills += 1;
            arguments = vec!["--resume", &out];
        }
        assert_same(&history.join("\n"), &school.lasting(&out), &expected);
    }
    assert!(kills >= 6, "only {kills} kills hit a run");
}

#[test]
fn a_run_stopped_by_a_signal_saves_and_says_how_to_go_on() {
    let school = School::new();
    let expected = reference(&school);
    for (signals, event) in [(&["-INT"][..], "checkpoint"), (&["-TERM"], "metrics"), (&["-INT", "-TERM"], "tested")] {
        let out = format!("stopped{}", signals.concat());
        let mut running = Running::start(&school, &["school.toml", "--out", &out]);
        running.wait_for(event);
        signals.iter().for_each(|signal| running.signal(signal));
        let output = running.child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signals:?}: {}", stderr(&output));
        if signals.len() == 1 {
            let message = stderr(&output);
            for phrase in ["error: stopped after step ", "everything is saved", &format!("run --resume {out}")] {
                assert!(message.contains(phrase), "no {phrase:?} in\n{message}");
            }
        }
        school.run(&["run", "--resume", &out, "--threads", "1", "--quiet"]);
        assert_same(&format!("{signals:?}"), &school.lasting(&out), &expected);
    }
}

/// Checkpoints only where a signal asks for one: none of them is left at the end.
#[test]
fn a_run_that_keeps_no_checkpoints_can_be_stopped_too() {
    let school = School::new();
    let none =
        ["school.toml", "--set", "output.checkpoints.every_epochs=0", "--set", "output.checkpoints.every_steps=0"];
    school.run(&[&["run", "--out", "whole"][..], &none].concat());
    let mut running = Running::start(&school, &[&["--out", "stopped"][..], &none].concat());
    running.wait_for("metrics");
    running.signal("-INT");
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
    school.run(&["run", "--resume", "stopped"]);
    assert_same("stopped", &school.lasting("stopped"), &school.lasting("whole"));
}

#[test]
fn two_processes_never_train_in_one_folder() {
    let school = School::new();
    let mut running = Running::start(&school, &["school.toml", "--out", "run", "--epochs", "100000"]);
    running.wait_for("started");
    for (arguments, phrases) in [
        (&["run", "--resume", "run"][..], ["another process is training in run", "wait for it or stop it"]),
        (&["run", "school.toml", "--out", "run"], ["already holds a run", "--resume run"]),
    ] {
        let output = school.try_run(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        phrases.iter().for_each(|phrase| assert!(stderr(&output).contains(phrase), "{}", stderr(&output)));
    }
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // The lock goes with the process.
    let mut running = Running::start(&school, &["--resume", "run"]);
    running.wait_for("metrics");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
}

#[test]
fn a_checkpoint_that_is_damaged_is_passed_over_for_the_one_before() {
    let school = School::new();
    let expected = reference(&school);
    let mut running = Running::start(&school, &["school.toml", "--out", "run"]);
    (0..3).for_each(|_| running.wait_for("checkpoint"));
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let states = school.left("run").into_keys().filter(|name| name.ends_with("/state.safetensors")).collect::<Vec<_>>();
    let newest = states.iter().rfind(|name| name.starts_with("checkpoints/step-")).unwrap();
    let mut bytes = school.left("run")[newest].clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    school.write(&format!("run/{newest}"), bytes);
    let output = school.try_run(&["run", "--resume", "run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("damaged checkpoint"), "{}", stderr(&output));
    assert_same("damaged", &school.lasting("run"), &expected);
}
