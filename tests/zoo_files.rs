//! A user's own model files, right and wrong.

use std::fs;
use std::path::Path;

use kd_engine::error::Error;
use kd_engine::nn::{self, Distribution, LayerKind, zoo};
use kd_engine::random::{Philox, Stream};
use miette::Diagnostic;

/// The worked example of models/README.md: its first TOML block.
fn example() -> &'static str {
    let readme = include_str!("../models/README.md");
    let start = readme.find("```toml\n").expect("an example") + "```toml\n".len();
    &readme[start..start + readme[start..].find("```").expect("its end")]
}

fn write(folder: &Path, text: &str) -> String {
    let file = folder.join("mine.toml");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn the_example_of_the_readme_is_a_net() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), example());
    let network = nn::build(&format!("{file}:small"), 7, 1, 20, 30).unwrap();
    assert_eq!((network.name.as_str(), network.classes), ("small", 7));
    let shapes: Vec<_> = network.parameters().into_iter().map(|one| (one.name, one.shape)).collect();
    let shape = |name: &str| shapes.iter().find(|(found, _)| found == name).map(|(_, shape)| shape.clone());
    assert_eq!(shape("stem.weight"), Some(vec![16, 1, 3, 3]));
    assert_eq!(shape("stem.bias"), Some(vec![16]));
    assert_eq!(shape("stage1.shortcut.weight"), None);
    assert_eq!(shape("stage2.shortcut.weight"), Some(vec![32, 16, 1, 1]));
    assert_eq!(shape("classifier.weight"), Some(vec![7, 32]));
    let taps: Vec<_> = network.tap_shapes().collect();
    let expected = [("f0", [20, 30, 16]), ("f1", [20, 30, 16]), ("f2", [10, 15, 32]), ("f3", [1, 1, 32])];
    assert_eq!(taps, expected);
    let wide = zoo::find_from(folder.path(), "mine.toml:wide").unwrap().build(7, 1, 20, 30).unwrap();
    assert_eq!(wide.nodes[wide.tap("f2").unwrap()].shape, [10, 15, 64]);
    assert_eq!(zoo::own_file("mine.toml:wide"), Some(Path::new("mine.toml")));
    assert_eq!(zoo::own_file("resnet8"), None);
}

#[test]
fn every_kind_of_layer_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let layers = r#"
        { conv = "a", out = 0x10, kernel = 5, stride = 2, padding = 1, dilation = 2, groups = "image_channels", bias = true },
        { batch_norm = "b", eps = 0.001, momentum = 1 },
        { channel_shuffle = 4 },
        { concat = [[{ slice = 0, len = 8 }], [{ slice = 8, len = 4 }], [{ max_pool = 3, stride = 1, padding = 1 }]] },
        { avg_pool = 2, count_include_pad = false },
        { conv_transpose = "t", out = 6, kernel = 4, stride = 2, padding = 1, bias = true },
        { option_a = 30, stride = 4 },
        { dropout = 0.25 },
        { adaptive_avg_pool = 2 },
        { conv = "c", out = "channels", kernel = 2, padding = 0, groups = "channels" },
        "flatten",
        { linear = "d", out = "classes", bias = false },"#;
    let file = write(folder.path(), &format!("[models]\nall = {{}}\n[network]\nlayers = [{layers}]"));
    let network = nn::build(&file, 3, 2, 32, 32).unwrap();
    let found: Vec<_> = network.nodes.iter().map(|layer| (layer.kind.word(), layer.shape)).collect();
    let expected = [
        ("input", [32, 32, 2]),
        ("conv", [13, 13, 16]),
        ("batch_norm", [13, 13, 16]),
        ("channel_shuffle", [13, 13, 16]),
        ("slice", [13, 13, 8]),
        ("slice", [13, 13, 4]),
        ("max_pool", [13, 13, 16]),
        ("concat", [13, 13, 28]),
        ("avg_pool", [6, 6, 28]),
        ("conv_transpose", [12, 12, 6]),
        ("option_a", [3, 3, 30]),
        ("dropout", [3, 3, 30]),
        ("adaptive_avg_pool", [2, 2, 30]),
        ("conv", [1, 1, 30]),
        ("flatten", [1, 1, 30]),
        ("linear", [1, 1, 3]),
    ];
    assert_eq!(found, expected);
    assert_eq!(network.nodes[2].kind, LayerKind::BatchNorm { eps: 0.001, momentum: 1.0 });
    assert_eq!(network.nodes[7].inputs, [4, 5, 6]);
    assert_eq!(network.macs(), 13 * 13 * 16 * 25 + 6 * 6 * 28 * 16 * 6 + 30 * 4 + 30 * 3);
    assert_eq!(network.parameter_count(), 16 * 25 + 16 + 32 + 28 * 6 * 16 + 6 + 30 * 4 + 30 * 3);
    // PyTorch's order, and its rule for the first weights: the fan-in counts the second extent, 6 * 4 * 4.
    let transposed: Vec<_> = network.parameters().into_iter().filter(|one| one.name.starts_with("t.")).collect();
    let [weight, bias] = &transposed[..] else { panic!("a weight and a bias: {transposed:?}") };
    assert_eq!((weight.name.as_str(), &weight.shape[..]), ("t.weight", &[28, 6, 4, 4][..]));
    assert_eq!((bias.name.as_str(), &bias.shape[..]), ("t.bias", &[6][..]));
    assert_eq!([weight.init, bias.init], [Distribution::Uniform { bound: 1.0 / 96f64.sqrt() }; 2]);
}

fn help_of(error: &Error) -> String {
    Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default()
}

/// The 1-based line that an error points at, and the text it points at.
fn pointed(error: &Error) -> Option<(usize, String)> {
    let label = error.labels()?.next()?;
    let found = error.source_code()?.read_span(label.inner(), 0, 0).ok()?;
    Some((found.line() + 1, String::from_utf8_lossy(found.data()).into_owned()))
}

#[test]
fn mistakes_are_named_with_their_line_and_the_nearest_name() {
    // What of the example is replaced by what; then words of the message, of the help, and what is pointed at.
    let mistakes: &[(&str, &str, &str, &str, &str)] = &[
        ("[parameters] ", "[parameter] ", "a model file has no key `parameter`", "`parameters`", "parameter"),
        ("wide = { widths", "wide = { width", "`width`, which is none of the file's parameters", "`widths`", "width"),
        ("widths = [32, 64]", "widths = 32", "`widths` is a list, not a whole number", "", "32"),
        ("wide = {", "wide = 3 # {", "model `wide` must be a table, not an integer", "", "3"),
        ("\"relu\"", "\"rely\"", "no layer is called `rely`", "`relu`", "\"rely\""),
        ("\"relu\"", "\"conv\"", "`conv` needs a table", "", "\"conv\""),
        ("\"relu\"", "{ relu = true }", "no layer is called `relu`", "write \"relu\"", "relu"),
        ("{ conv = \"conv1\"", "{ convv = \"conv1\"", "no layer is called `convv`", "`conv`", "convv"),
        ("kernel = 3, stride", "kernel = 3, strides", "layer `conv` has no key `strides`", "`stride`", "strides"),
        ("kernel = 3, stride", "kernel = 3.0, stride", "`kernel` must be a whole number", "", "3.0"),
        ("out = \"out\", kernel = 3, ", "out = \"out\", ", "layer `conv` needs `kernel`", "", "{ conv = \"conv1\""),
        ("stride = \"stride\"", "stride = \"strid\"", "nothing is called `strid` here", "`stride`", "\"strid\""),
        ("stride = \"stride\"", "stride = \"2 *\"", "in the expression `2 *`: expected a value", "", ""),
        ("stride = \"stride\"", "stride = \"2 & 3\"", "`&` means nothing", "", "&"),
        ("stride = \"stride\"", "stride = \"out / 7\"", "16 / 7 is not whole", "", "\"out / 7\""),
        ("stride = \"stride\"", "stride = 0", "stride must be at least 1", "", "{ conv = \"conv1\""),
        ("stride = \"stride\"", "stride = -1", "-1 is not from 0 to 65536", "", "-1"),
        ("stride = \"stride\"", "groups = 3", "16 input channels are not a multiple of 3", "", "{ conv = \"conv1\""),
        (
            "{ conv = \"conv2\", out = \"out\"",
            "{ conv = \"conv2\", out = 9",
            "cannot add 9 channels of 20x20 and 16",
            "",
            "{ add",
        ),
        ("stage{stage + 1}\"", "stage{stage + 1\"", "`{` without `}`", "", "\"stage{stage + 1\""),
        ("stage{stage + 1}\"", "stage\"", "a layer before it has the same name", "", "{ conv = \"conv1\""),
        ("f{stage + 1}", "f0", "called `f0`", "", "\"f0\""),
        ("block = \"residual\"", "block = \"residul\"", "no block is called `residul`", "`residual`", "\"residul\""),
        (", out = \"widths[stage]\"", ", ut = \"widths[stage]\"", "block `residual` takes no `ut`", "`out`", "ut"),
        (", out = \"widths[stage]\"", "", "block `residual` needs `out`", "", "{ block"),
        ("widths[stage]", "widths[stage + 1]", "a list of 2 has no item 2", "", "\"widths[stage + 1]\""),
        ("as = \"stage\"", "as = \"classes\"", "`classes` has a meaning of its own", "", "\"classes\""),
        (
            "{ repeat = \"len(widths)\"",
            "{ repeat = \"widths\"",
            "expected a whole number, found a list",
            "",
            "\"widths\"",
        ),
        ("out = \"classes\"", "out = 5", "ends in 5 channels of 1x1, not in one logit for each of 10 classes", "", "["),
        (
            "  \"global_avg_pool\",\n",
            "",
            "a linear layer takes a pooled or flattened 1x1 map, not 32 channels of 10x10",
            "",
            "{ linear",
        ),
        (
            "\"kaiming_normal_fan_out\"",
            "\"kaiming_normal\"",
            "no rule is called `kaiming_normal`",
            "kaiming_normal_fan",
            "\"kaiming_normal\"",
        ),
        ("\"kaiming_normal_fan_out\"", "{ normal = -1 }", "a standard deviation must be 0 or above", "", "-1"),
        ("conv_weight =", "conv_weigth =", "`init` has no key `conv_weigth`", "`conv_weight`", "conv_weigth"),
        ("when = \"stride != 1 or in != out\"", "when = \"stride\"", "`when` must be true or false", "", "\"stride\""),
        ("{ tap = \"f0\" }", "{ from = \"f0\" }", "nothing is marked `f0` here", "", "{ from"),
        ("{ tap = \"f0\" }", "{ tap = \"f0\", mark = \"x\" }", "cannot be both `mark` and `tap`", "", "{ tap"),
        ("{ tap = \"f0\" }", "{}", "an empty layer", "", "{}"),
        ("{ tap = \"f0\" }", "{ add = [[]] }", "needs at least two branches", "", "[[]]"),
        ("{ tap = \"f0\" }", "{ max_pool = 30 }", "a window of 30x30 (padding 0) does not fit", "", "{ max_pool"),
        (
            "{ tap = \"f0\" }",
            "{ conv = \"big\", out = 65537, kernel = 1 }",
            "65537 is not from 0 to 65536",
            "",
            "65537",
        ),
        ("{ tap = \"f0\" }", "{ repeat = 60000, layers = [\"relu\"] }", "more than 20000 layers", "", "\"relu\""),
        (
            "{ tap = \"f0\" }",
            "{ repeat = 60000, layers = [{ repeat = 60000, layers = [{ mark = \"x\" }] }] }",
            "steps",
            "",
            "",
        ),
        (
            "{ tap = \"f0\" }",
            "{ block = \"residual\", out = 16, stride = 1 },\n{ block = \"residual\", out = 16, stride = 1 }",
            "the same name",
            "",
            "{ conv",
        ),
        (
            "  \"relu\",\n]",
            "  { block = \"residual\", out = 1, stride = 1, name = \"x\" },\n]",
            "blocks too deep within blocks",
            "",
            "{ block",
        ),
        ("{ tap = \"f0\" }", "{ tap = \"f0\" ", "", "", ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (old, new, message, help, place) in mistakes {
        assert!(example().contains(old), "the example has no {old}");
        let text = example().replacen(old, new, 1);
        let file = write(folder.path(), &text);
        let error = match nn::build(&format!("{file}:small"), 10, 3, 20, 20) {
            Ok(_) => panic!("{new}: no error"),
            Err(error) => error,
        };
        let advice = help_of(&error);
        let (line, found) = pointed(&error).unwrap_or_else(|| panic!("{new}: {error}: points nowhere"));
        let on_line = text.lines().nth(line - 1).unwrap_or_default();
        let right = error.to_string().contains(message)
            && advice.contains(help)
            && error.exit_status() == 2
            && found.starts_with(place)
            && on_line.contains(found.lines().next().unwrap_or_default());
        if !right {
            faults.push(format!("{new}\n  {error}\n  help: {advice}\n  at line {line}: {found}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_that_are_not_there_or_hold_several_models_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), example());
    let fail = |name: &str| zoo::find(name).expect_err("should fail");
    assert!(fail("missing.toml").to_string().contains("cannot read missing.toml"));
    let error = fail(&file);
    assert!(error.to_string().contains("has several models"), "{error}");
    assert!(help_of(&error).contains("it has small, wide"));
    let error = fail(&format!("{file}:smal"));
    assert!(error.to_string().contains("has no model `smal`"), "{error}");
    assert_eq!(help_of(&error), "did you mean `small`?");
    fs::write(&file, [0x66, 0xff, 0x66]).unwrap();
    assert!(fail(&file).to_string().contains("cannot read"));
    for text in [
        "",
        "models = {}",
        "[models]\na = {}",
        "[models]\na = {}\n[network]",
        "[models]\na = {}\n[network]\nlayers = 1",
    ] {
        write(folder.path(), text);
        assert_eq!(fail(&file).exit_status(), 2, "{text}");
    }
}

/// A file cut, doubled or garbled anywhere is read or refused, and never panics, hangs or overflows.
#[test]
fn garbled_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let generator = Philox::new(11, Stream::Shuffle);
    let original: Vec<char> = example().chars().collect();
    let (mut built, mut refused) = (0, 0);
    for trial in 0..300 {
        let mut text = original.clone();
        for edit in 0..1 + trial % 2 {
            let [place, kind, other, _] = generator.draw(trial, edit).map(|word| word as usize);
            let (place, pick) = (place % text.len(), original[other % original.len()]);
            match kind % 4 {
                0 => drop(text.remove(place)),
                1 => text.insert(place, pick),
                2 => text[place] = pick,
                _ => text[place] = "0123456789-[]{}\"\\é,=#"[..].chars().nth(other % 21).unwrap(),
            }
        }
        let text: String = text.into_iter().collect();
        let name = format!("{}:small", write(folder.path(), &text));
        let outcome = std::panic::catch_unwind(|| nn::build(&name, 10, 3, 20, 20).map(|network| network.macs()));
        match outcome.unwrap_or_else(|_| panic!("trial {trial} of seed 11 panics:\n{text}")) {
            Ok(_) => built += 1,
            Err(error) => {
                assert_eq!(error.exit_status(), 2, "trial {trial} of seed 11");
                refused += 1;
            }
        }
    }
    assert!(built > 50 && refused > 50, "{built} built, {refused} refused: the edits test nothing");
    for deep in ["[", "{a=", "{ layers = ["] {
        let text = format!("[models]\na = {{}}\n[network]\nlayers = {}", deep.repeat(50_000));
        assert_eq!(nn::build(&write(folder.path(), &text), 10, 3, 20, 20).unwrap_err().exit_status(), 2);
    }
}
