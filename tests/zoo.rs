//! The zoo against PyTorch's state dicts and the published tables.

use std::collections::BTreeMap;

use kd_engine::nn::{self, Layer, LayerKind, Network, Role, zoo};

type StateDicts = BTreeMap<String, Vec<(String, Vec<usize>)>>;

/// Name, parameters for 100 classes, and multiply-adds at 32x32 in millions, as printed in the literature's tables.
const TABLE: [(&str, usize, &str); 26] = [
    ("resnet8", 83_892, "12.5"),
    ("resnet14", 181_108, "26.7"),
    ("resnet20", 278_324, "40.8"),
    ("resnet32", 472_756, "69.1"),
    ("resnet44", 667_188, "97.4"),
    ("resnet56", 861_620, "125.8"),
    ("resnet110", 1_736_564, "253.2"),
    ("resnet8x4", 1_233_540, "177.1"),
    ("resnet32x4", 7_433_860, "1083"),
    ("ResNet18", 11_220_132, "555"),
    ("ResNet34", 21_328_292, "1159"),
    ("ResNet50", 23_705_252, "1298"),
    ("wrn_16_1", 180_916, "26.7"),
    ("wrn_16_2", 703_284, "101.1"),
    ("wrn_40_1", 569_780, "83.3"),
    ("wrn_40_2", 2_255_156, "327.6"),
    ("wrn_16_8", 11_007_540, "1548"),
    ("wrn_28_10", 36_536_884, "5243"),
    ("vgg8", 3_965_028, "96.2"),
    ("vgg11", 9_277_284, "209.4"),
    ("vgg13", 9_462_180, "284.9"),
    ("vgg16", 14_774_436, "398.2"),
    ("vgg19", 20_086_692, "511.4"),
    ("MobileNetV2", 812_836, "6.5"),
    ("ShuffleV1", 949_258, "38.7"),
    ("ShuffleV2", 1_355_528, "44.5"),
];

/// Name and parameters for 10, 100 and 200 classes of the nets of AMTML-KD.
const AMTML: [(&str, [usize; 3]); 11] = [
    ("amtml_resnet8", [68_050, 71_020, 74_320]),
    ("amtml_resnet15", [116_882, 119_852, 123_152]),
    ("amtml_resnet16", [151_634, 154_604, 157_904]),
    ("amtml_resnet20", [269_722, 275_572, 282_072]),
    ("amtml_resnet32", [464_154, 470_004, 476_504]),
    ("amtml_resnet44", [658_586, 664_436, 670_936]),
    ("amtml_resnet56", [853_018, 858_868, 865_368]),
    ("amtml_resnet110", [1_727_962, 1_733_812, 1_740_312]),
    ("amtml_vgg19", [38_958_922, 39_327_652, 39_737_352]),
    ("amtml_densenet121", [6_956_298, 7_048_548, 7_151_048]),
    ("amtml_mynet", [141_870, 149_520, 158_020]),
];

fn cifar(name: &str) -> Network {
    nn::build(name, 100, 3, 32, 32).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_zoo_has_every_net_of_the_tables_and_no_other() {
    let mut expected: Vec<&str> =
        TABLE.iter().map(|(name, ..)| *name).chain(AMTML.iter().map(|(name, _)| *name)).collect();
    let mut found = zoo::names();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn state_dicts_are_pytorchs_name_for_name() {
    let state_dicts: StateDicts = serde_json::from_str(include_str!("fixtures/state-dicts.json")).unwrap();
    assert_eq!(state_dicts.len(), 11);
    for (model, expected) in state_dicts {
        let found: Vec<_> = cifar(&model).parameters().into_iter().map(|one| (one.name, one.shape)).collect();
        if let Some(index) = (0..found.len().min(expected.len())).find(|index| found[*index] != expected[*index]) {
            panic!("{model}, entry {index}: {:?} should be {:?}", found[index], expected[index]);
        }
        assert_eq!(found.len(), expected.len(), "{model}");
    }
}

#[test]
fn parameters_and_multiply_adds_equal_the_tables() {
    for (name, parameters, millions) in TABLE {
        let network = cifar(name);
        assert_eq!(network.parameter_count(), parameters, "{name}");
        let decimals = millions.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        assert_eq!(format!("{:.decimals$}", network.macs() as f64 / 1e6), millions, "{name}");
    }
    for (name, counts) in AMTML {
        for (classes, count) in [10, 100, 200].into_iter().zip(counts) {
            let network = nn::build(name, classes, 3, 32, 32).unwrap();
            assert_eq!(network.parameter_count(), count, "{name} for {classes} classes");
        }
    }
}

#[test]
fn option_a_nets_are_named_as_the_resnets_without_downsample() {
    for depth in [20, 32, 44, 56, 110] {
        let names = |model: String| cifar(&model).parameters().into_iter().map(|one| one.name).collect::<Vec<_>>();
        let mut expected = names(format!("resnet{depth}"));
        expected.retain(|name| !name.contains("downsample"));
        assert_eq!(names(format!("amtml_resnet{depth}")), expected);
    }
}

/// As in the release of AMTML-KD, whose layers these are called after.
#[test]
fn amtml_nets_have_pytorchs_names() {
    let shape = |model: &str, name: &str| {
        let found = cifar(model).parameters().into_iter().find(|one| one.name == name);
        found.unwrap_or_else(|| panic!("{model} has no {name}")).shape
    };
    assert_eq!(shape("amtml_vgg19", "features.0.weight"), [64, 3, 3, 3]);
    assert_eq!(shape("amtml_vgg19", "features.24.bias"), [256]);
    assert_eq!(shape("amtml_vgg19", "features.50.running_var"), [512]);
    assert_eq!(shape("amtml_vgg19", "classifier.0.weight"), [4096, 512]);
    assert_eq!(shape("amtml_vgg19", "classifier.3.weight"), [4096, 4096]);
    assert_eq!(shape("amtml_vgg19", "classifier.6.bias"), [100]);
    assert_eq!(shape("amtml_densenet121", "dense1.5.conv1.weight"), [128, 224, 1, 1]);
    assert_eq!(shape("amtml_densenet121", "trans3.bn.weight"), [1024]);
    assert_eq!(shape("amtml_densenet121", "dense4.15.conv2.weight"), [32, 128, 3, 3]);
    assert_eq!(shape("amtml_densenet121", "bn.running_mean"), [1024]);
    assert_eq!(shape("amtml_densenet121", "linear.weight"), [100, 1024]);
    assert_eq!(shape("amtml_mynet", "conv3.weight"), [64, 32, 5, 5]);
    assert_eq!(shape("amtml_mynet", "fc1.weight"), [120, 400]);
    assert_eq!(shape("amtml_mynet", "fc3.weight"), [100, 84]);
    let kinds = |model: &str, wanted: fn(&LayerKind) -> bool| {
        cifar(model).nodes.iter().filter(|layer| wanted(&layer.kind)).count()
    };
    assert_eq!(kinds("amtml_vgg19", |kind| *kind == LayerKind::Dropout { probability: 0.5 }), 2);
    assert_eq!(kinds("amtml_vgg19", |kind| matches!(kind, LayerKind::MaxPool { .. })), 5);
    assert_eq!(kinds("amtml_mynet", |kind| matches!(kind, LayerKind::AdaptiveAvgPool { .. })), 0);
}

/// The features that distillation code uses, `[H, W, C]`, at 32x32.
#[test]
fn taps_have_the_documented_shapes() {
    let resnet = |stem: usize, widths: [usize; 3]| {
        let mut taps = vec![("f0", [32, 32, stem])];
        for (index, size) in [32, 16, 8].into_iter().enumerate() {
            let shape = [size, size, widths[index]];
            taps.push((["f1", "f2", "f3"][index], shape));
            taps.push((["f1pre", "f2pre", "f3pre"][index], shape));
        }
        taps.push(("f4", [1, 1, widths[2]]));
        taps
    };
    let mut cases = vec![
        ("resnet8", resnet(16, [16, 32, 64])),
        ("resnet110", resnet(16, [16, 32, 64])),
        ("resnet8x4", resnet(32, [64, 128, 256])),
        ("amtml_resnet16", resnet(8, [8, 16, 32])),
        ("amtml_resnet20", resnet(16, [16, 32, 64])),
        ("wrn_16_1", resnet(16, [16, 32, 64])),
        ("wrn_40_2", resnet(16, [32, 64, 128])),
    ];
    for (name, widths) in [("ResNet18", [64, 128, 256, 512]), ("ResNet50", [256, 512, 1024, 2048])] {
        let mut taps = vec![("f0", [32, 32, 64]), ("f5", [1, 1, widths[3]])];
        for (index, size) in [32, 16, 8, 4].into_iter().enumerate() {
            taps.push((["f1", "f2", "f3", "f4"][index], [size, size, widths[index]]));
            taps.push((["f1pre", "f2pre", "f3pre", "f4pre"][index], [size, size, widths[index]]));
        }
        cases.push((name, taps));
    }
    for name in ["vgg8", "vgg13", "vgg19"] {
        let mut taps = vec![("f0", [32, 32, 64]), ("f5", [1, 1, 512])];
        for (index, shape) in [[16, 16, 128], [8, 8, 256], [4, 4, 512], [4, 4, 512]].into_iter().enumerate() {
            taps.push((["f1", "f2", "f3", "f4"][index], shape));
            taps.push((["f1pre", "f2pre", "f3pre", "f4pre"][index], shape));
        }
        cases.push((name, taps));
    }
    cases.push((
        "MobileNetV2",
        vec![
            ("f0", [16, 16, 16]),
            ("f1", [16, 16, 12]),
            ("f2", [8, 8, 16]),
            ("f3", [4, 4, 48]),
            ("f4", [2, 2, 160]),
            ("f5", [1, 1, 1280]),
        ],
    ));
    for (name, widths, pooled) in [("ShuffleV1", [240, 480, 960], 960), ("ShuffleV2", [116, 232, 464], 1024)] {
        let mut taps = vec![("f0", [32, 32, 24]), ("f4", [1, 1, pooled])];
        for (index, size) in [16, 8, 4].into_iter().enumerate() {
            taps.push((["f1", "f2", "f3"][index], [size, size, widths[index]]));
            taps.push((["f1pre", "f2pre", "f3pre"][index], [size, size, widths[index]]));
        }
        cases.push((name, taps));
    }
    let mut taps = vec![("f0", [32, 32, 64]), ("f5", [1, 1, 512])];
    for (index, shape) in [[16, 16, 128], [8, 8, 256], [4, 4, 512], [2, 2, 512]].into_iter().enumerate() {
        taps.push((["f1", "f2", "f3", "f4"][index], shape));
        taps.push((["f1pre", "f2pre", "f3pre", "f4pre"][index], shape));
    }
    cases.push(("amtml_vgg19", taps));
    cases.push((
        "amtml_densenet121",
        vec![
            ("f0", [32, 32, 64]),
            ("f1", [16, 16, 128]),
            ("f2", [8, 8, 256]),
            ("f3", [4, 4, 512]),
            ("f4", [4, 4, 1024]),
            ("f5", [1, 1, 1024]),
        ],
    ));
    let mut taps = vec![("f0", [28, 28, 16]), ("f4", [1, 1, 400])];
    for (index, shape) in [[28, 28, 32], [10, 10, 64], [10, 10, 16]].into_iter().enumerate() {
        taps.push((["f1", "f2", "f3"][index], shape));
        taps.push((["f1pre", "f2pre", "f3pre"][index], shape));
    }
    cases.push(("amtml_mynet", taps));
    for (name, mut expected) in cases {
        let network = cifar(name);
        let found: Vec<_> = network.tap_shapes().collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn taps_sit_where_distillation_code_takes_them() {
    for name in zoo::names() {
        let network = cifar(&name);
        let kind = |tap: &str| &network.nodes[network.tap(tap).unwrap()].kind;
        let last = network.taps.iter().filter(|(tap, _)| !tap.ends_with("pre")).count() - 1;
        let pooled = if name == "amtml_mynet" { LayerKind::Flatten } else { LayerKind::GlobalAvgPool };
        assert_eq!(*kind(&format!("f{last}")), pooled, "{name}");
        let linear = |layer: &&Layer| matches!(layer.kind, LayerKind::Linear { .. });
        let head: Vec<&Layer> = network.nodes.iter().filter(linear).collect();
        assert_eq!(head.len(), if ["amtml_vgg19", "amtml_mynet"].contains(&name.as_str()) { 3 } else { 1 }, "{name}");
        assert_eq!(head[0].inputs, [network.tap(&format!("f{last}")).unwrap()], "{name}");
        assert_eq!(head[head.len() - 1], &network.nodes[network.logits], "{name}");
        let raw = name.starts_with("wrn");
        assert_eq!(matches!(kind("f0"), LayerKind::Relu), !raw && name != "amtml_densenet121", "{name}");
        for (tap, node) in &network.taps {
            let layer = &network.nodes[*node];
            if let Some(after) = tap.strip_suffix("pre") {
                let relu = network.consumers()[*node].iter().any(|next| network.nodes[*next].kind == LayerKind::Relu);
                assert!(relu || name == "ShuffleV2", "{name} {tap}: no rectifier follows");
                if raw {
                    assert!(matches!(layer.kind, LayerKind::BatchNorm { .. }), "{name} {tap}");
                    assert_eq!(layer.inputs, [network.tap(after).unwrap()], "{name} {tap}");
                } else if name != "ShuffleV2" {
                    assert_eq!(network.nodes[network.tap(after).unwrap()].inputs, [*node], "{name} {tap}");
                }
            }
        }
    }
    let network = cifar("wrn_16_2");
    assert_eq!(network.nodes[network.tap("f1").unwrap()].kind, LayerKind::Add);
    assert_eq!(network.nodes[network.tap("f1pre").unwrap()].name, "block2.layer.0.bn1");
    assert_eq!(network.nodes[network.tap("f3pre").unwrap()].name, "bn1");
}

#[test]
fn only_shufflenet_v2_has_nodes_that_serve_taps_alone() {
    for name in zoo::names() {
        let network = cifar(&name);
        let unused = network.needed(&[network.logits]).iter().filter(|needed| !**needed).count();
        assert_eq!(unused, if name == "ShuffleV2" { 6 } else { 0 }, "{name}");
        let taps: Vec<usize> = network.taps.iter().map(|(_, node)| *node).chain([network.logits]).collect();
        assert!(network.needed(&taps).iter().all(|needed| *needed), "{name}");
    }
}

#[test]
fn every_net_takes_other_images_and_classes() {
    for name in zoo::names() {
        let cifar = cifar(&name).parameters();
        for (classes, channels, height, width) in
            [(10, 1, 28, 28), (200, 3, 64, 64), (2, 3, 32, 48), (101, 3, 32, 32), (1, 1, 17, 19)]
        {
            let context = format!("{name} for {classes} classes at {channels}x{height}x{width}");
            let network =
                nn::build(&name, classes, channels, height, width).unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(network.nodes[0].shape, [height, width, channels], "{context}");
            assert_eq!(network.nodes[network.logits].shape, [1, 1, classes], "{context}");
            let parameters = network.parameters();
            assert_eq!(parameters.len(), cifar.len(), "{context}");
            // Only the first convolution and the classifier know of channels and classes.
            let differ: Vec<&str> = parameters
                .iter()
                .zip(&cifar)
                .filter(|(one, other)| one.shape != other.shape)
                .map(|(one, _)| one.name.as_str())
                .collect();
            let expected = 2 + usize::from(channels == 1);
            assert_eq!(differ.len(), if classes == 100 { expected - 2 } else { expected }, "{context}: {differ:?}");
        }
    }
}

#[test]
fn maps_shrink_as_the_strides_say() {
    let heights = |name: &str, size: usize| {
        let network = nn::build(name, 10, 1, size, size).unwrap();
        let tap = |index: usize| network.nodes[network.tap(&format!("f{index}")).unwrap()].shape[0];
        (0..5).map(tap).collect::<Vec<_>>()
    };
    assert_eq!(heights("resnet8", 28), [28, 28, 14, 7, 1]);
    assert_eq!(heights("MobileNetV2", 28), [14, 14, 7, 4, 2]);
    assert_eq!(heights("ShuffleV1", 28), [28, 14, 7, 4, 1]);
    assert_eq!(heights("vgg8", 28), [28, 14, 7, 3, 3]);
    // VGG's fourth pool acts from 64 on.
    assert_eq!(heights("vgg8", 63), [63, 31, 15, 7, 7]);
    assert_eq!(heights("vgg8", 64), [64, 32, 16, 8, 4]);
    let error = nn::build("vgg8", 10, 1, 4, 4).unwrap_err().to_string();
    assert!(error.contains("vgg8 at 4x4") && error.contains("the map has shrunk to 1x1"), "{error}");
}

#[test]
fn shufflenet_v1_pools_and_joins_as_published() {
    let network = cifar("ShuffleV1");
    let pools: Vec<usize> = (0..network.nodes.len())
        .filter(|index| {
            network.nodes[*index].kind
                == LayerKind::AvgPool { kernel: 3, stride: 2, padding: 1, count_include_pad: true }
        })
        .collect();
    assert_eq!(pools.len(), 3);
    for pool in pools {
        let concat = network.nodes.iter().find(|layer| layer.inputs.contains(&pool)).unwrap();
        assert_eq!(concat.kind, LayerKind::Concat);
        assert_eq!(concat.inputs[1], pool, "the convolutions come first");
        assert!(matches!(network.nodes[concat.inputs[0]].kind, LayerKind::BatchNorm { .. }));
    }
}

#[test]
fn batch_norm_is_pytorchs_and_only_trainable_parameters_count() {
    for name in zoo::names() {
        let network = cifar(&name);
        for (index, layer) in network.nodes.iter().enumerate() {
            if let LayerKind::BatchNorm { eps, momentum } = layer.kind {
                assert_eq!((eps, momentum), (1e-5, 0.1), "{name} {}", layer.name);
            }
            assert!(layer.inputs.iter().all(|input| *input < index), "{name}");
        }
        for parameter in network.parameters() {
            let statistic = matches!(parameter.role, Role::RunningMean | Role::RunningVar);
            assert_eq!(parameter.trainable, !statistic, "{name} {}", parameter.name);
        }
    }
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let error = nn::build("resnet-20", 10, 3, 32, 32).unwrap_err();
    assert_eq!(error.to_string(), "no model is called `resnet-20`");
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    assert_eq!(help, "did you mean `resnet20`?");
    for (classes, channels, height, width) in [(0, 3, 32, 32), (10, 0, 32, 32), (10, 3, 0, 32), (10, 3, 32, usize::MAX)]
    {
        let error = nn::build("resnet8", classes, channels, height, width).unwrap_err();
        assert_eq!(error.exit_status(), 2);
        assert!(error.to_string().contains("is not from 1 to 65536"), "{error}");
    }
}
