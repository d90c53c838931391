//! What holds without a program that runs ONNX; `scripts/check-onnx` compares what such a program computes.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::proto::{AttributeProto, ModelProto, NodeProto, ValueInfoProto};
use super::source::Source;
use crate::nn::{Network, Parameter, build, zoo};
use crate::train::records::Phase;
use crate::train::weights::{ModelCard, Training, save};

/// Every field of `proto.rs`, as the `onnx` package 1.23 of Python writes it, and two that it does not know: `dims` and `ints`
/// one number at a time, as proto2 does.
const REFERENCE: &str = concat!(
    "08081201701a01763ac4010a590a06696d616765731201791a016e22024f702a0b0a0166150000003fa001012a080a01691800a001022a130a01",
    "73400340ffffffffffffffffff01a001072a190a01742a11080210014201774a080000803f00000040a001041201672a11080210014201774a08",
    "0000803f000000405a1d0a06696d6167657312130a110801120d0a07120562617463680a02080362180a017912130a110801120d0a0712056261",
    "7463680a0208026a180a017a12130a110801120d0a07120562617463680a02080442050a0164101172060a016b120178",
);

#[test]
fn messages_are_those_of_onnx() {
    let bytes: Vec<u8> =
        (0..REFERENCE.len()).step_by(2).map(|at| u8::from_str_radix(&REFERENCE[at..at + 2], 16).unwrap()).collect();
    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    assert_eq!((model.ir_version, model.producer_name.as_str(), model.producer_version.as_str()), (8, "p", "v"));
    assert_eq!((model.opset_import[0].domain.as_str(), model.opset_import[0].version), ("d", 17));
    assert_eq!((model.metadata_props[0].key.as_str(), model.metadata_props[0].value.as_str()), ("k", "x"));
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(graph.name, "g");
    let node = &graph.node[0];
    assert_eq!((node.input[0].as_str(), node.output[0].as_str()), ("images", "y"));
    assert_eq!((node.name.as_str(), node.op_type.as_str()), ("n", "Op"));
    let [f, i, s, t] = node.attribute.as_slice() else { panic!("{:?}", node.attribute) };
    assert_eq!((f.name.as_str(), f.f, f.r#type), ("f", Some(0.5), 1));
    assert_eq!((i.name.as_str(), i.i, i.r#type), ("i", Some(0), 2));
    assert_eq!((s.name.as_str(), s.ints.as_slice(), s.r#type), ("s", &[3, -1][..], 7));
    assert_eq!((t.t.as_ref(), t.r#type), (Some(&graph.initializer[0]), 4));
    let tensor = &graph.initializer[0];
    assert_eq!((tensor.name.as_str(), tensor.dims.as_slice(), tensor.data_type), ("w", &[2][..], 1));
    assert_eq!(tensor.raw_data, [1.0f32.to_le_bytes(), 2.0f32.to_le_bytes()].concat());
    for (values, name, size) in [(&graph.input, "images", 3), (&graph.output, "y", 2), (&graph.value_info, "z", 4)] {
        assert_eq!((values[0].name.as_str(), shape(&values[0])), (name, vec![size]));
    }
    assert_eq!(ModelProto::decode(model.encode_to_vec().as_slice()).unwrap(), model, "what is written is read again");
}

/// A value's extents behind the batch.
fn shape(value: &ValueInfoProto) -> Vec<i64> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let [batch, others @ ..] = tensor.shape.as_ref().unwrap().dim.as_slice() else { panic!("{value:?}") };
    assert_eq!((tensor.elem_type, batch.dim_value, batch.dim_param.as_deref()), (1, None, Some("batch")));
    others.iter().map(|dimension| dimension.dim_value.unwrap()).collect()
}

/// Weights that differ from element to element.
fn tensors(parameters: &[Parameter]) -> BTreeMap<String, Vec<f32>> {
    let elements = |count: usize| (0..count).map(|index| 0.5 + (index % 251) as f32 / 64.0).collect();
    parameters.iter().map(|one| (one.name.clone(), elements(one.elements()))).collect()
}

fn card(network: &Network) -> ModelCard {
    let Network { name, classes, in_channels, height, width, .. } = network;
    ModelCard {
        model: name.clone(),
        classes: *classes,
        class_names: (0..*classes).map(|class| format!("class \"{class}\"")).collect(),
        input: [*height, *width, *in_channels],
        mean: vec![0.25; *in_channels],
        std: vec![0.5; *in_channels],
        trained: Training { phase: Phase::Distil, method: "kd".into(), seed: 3, epochs: 2, data: "some".into() },
    }
}

fn source(network: Network) -> Source {
    let (tensors, card) = (tensors(&network.parameters()), Some(card(&network)));
    Source { network, tensors, card }
}

/// The model that the bytes hold. Every node reads what is there before it, no name stands for two things, and every value
/// has a shape.
fn decoded(bytes: &[u8]) -> ModelProto {
    let model = ModelProto::decode(bytes).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let givers = graph.input.iter().map(|value| &value.name).chain(graph.initializer.iter().map(|tensor| &tensor.name));
    assert!(givers.into_iter().all(|name| known.insert(name)), "a name twice in {}", graph.name);
    let shapes = graph.value_info.iter().chain(&graph.output).map(|value| value.name.as_str());
    let shapes: BTreeSet<&str> = shapes.collect();
    let mut read: BTreeSet<&str> = BTreeSet::new();
    let mut nodes: BTreeSet<&str> = BTreeSet::new();
    for node in &graph.node {
        for input in &node.input {
            assert!(known.contains(input.as_str()), "{}: {} reads {input}, which is not there", graph.name, node.name);
            read.insert(input);
        }
        assert!(nodes.insert(&node.name), "{}: two nodes called {}", graph.name, node.name);
        let [output] = node.output.as_slice() else { panic!("{node:?}") };
        assert!(known.insert(output), "{}: {output} is made twice", graph.name);
        assert_eq!(shapes.contains(output.as_str()), node.op_type != "Constant", "{}: shape of {output}", graph.name);
    }
    read.extend(graph.output.iter().map(|value| value.name.as_str()));
    assert_eq!(read, known, "{}: nothing is written in vain", graph.name);
    model
}

fn node<'a>(model: &'a ModelProto, name: &str) -> &'a NodeProto {
    let nodes = &model.graph.as_ref().unwrap().node;
    nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no node {name}"))
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> &'a AttributeProto {
    node.attribute.iter().find(|one| one.name == name).unwrap_or_else(|| panic!("{}: no {name}", node.name))
}

/// What a constant input of whole numbers holds.
fn numbers<'a>(model: &'a ModelProto, name: &str) -> &'a [i64] {
    &attribute(node(model, name), "value_ints").ints
}

#[test]
fn every_net_of_the_zoo_is_exported() {
    let joined = ["sim_kd(resnet8,wrn_16_2)", "sim_kd(ShuffleV1,vgg8)"].map(String::from);
    let sizes = [[10, 3, 32, 32], [7, 1, 28, 28]];
    let mut written = 0;
    for (name, [classes, channels, height, width]) in
        zoo::names().iter().chain(&joined).flat_map(|name| sizes.map(|size| (name, size)))
    {
        // Some nets shrink a map of 28 pixels to nothing.
        let Ok(network) = build(name, classes, channels, height, width) else {
            assert_eq!(height, 28, "{name}");
            continue;
        };
        let mut source = source(network);
        let bytes = source.to_onnx(false).unwrap();
        let model = decoded(&bytes);
        let graph = model.graph.unwrap();
        assert_eq!((graph.name.as_str(), graph.node.is_empty()), (name.as_str(), false));
        assert_eq!((graph.input[0].name.as_str(), graph.output[0].name.as_str()), ("images", "logits"));
        assert_eq!(shape(&graph.input[0]), [channels, height, width].map(|size| size as i64));
        assert_eq!(shape(&graph.output[0]), [classes as i64]);
        let parameters = source.network.parameters();
        let needed = source.network.needed(&[source.network.logits]);
        let expected: Vec<&Parameter> = parameters.iter().filter(|one| needed[one.layer]).collect();
        assert_eq!(graph.initializer.len(), expected.len(), "{name}");
        for (tensor, parameter) in graph.initializer.iter().zip(expected) {
            let dims: Vec<usize> = tensor.dims.iter().map(|size| *size as usize).collect();
            assert_eq!((&tensor.name, &dims), (&parameter.name, &parameter.shape), "{name}");
            let elements: &[u8] = bytemuck::cast_slice(&source.tensors[&parameter.name]);
            assert!(tensor.raw_data == elements, "{name}: {}", parameter.name);
        }
        drop(graph);
        assert!(bytes == source.to_onnx(false).unwrap(), "{name}: other bytes the second time");
        source.tensors.clear();
        written += 1;
    }
    assert!(written > zoo::names().len() + joined.len(), "hardly any net takes 28 pixels: {written}");
}

/// Layers that are more than a node, and attributes that are easily mistaken, each against what PyTorch's modules do.
#[test]
fn layers_say_what_they_are() {
    let export = |name: &str, side: usize| {
        let network = build(name, 10, 3, side, side).unwrap();
        let bytes = source(network.clone()).to_onnx(false).unwrap();
        (network, decoded(&bytes))
    };
    let index = |network: &Network, word: &str| {
        network.nodes.iter().position(|layer| layer.kind.word() == word).unwrap_or_else(|| panic!("no {word}"))
    };

    let (network, model) = export("resnet8", 32);
    let conv = node(&model, "layer2.0.conv1");
    assert_eq!((conv.op_type.as_str(), &conv.input[1]), ("Conv", &"layer2.0.conv1.weight".to_string()));
    let [kernel, strides, pads] = ["kernel_shape", "strides", "pads"].map(|what| attribute(conv, what).ints.as_slice());
    assert_eq!((kernel, strides, pads), (&[3, 3][..], &[2, 2][..], &[1, 1, 1, 1][..]));
    let norm = node(&model, "bn1");
    let read = ["weight", "bias", "running_mean", "running_var"].map(|suffix| format!("bn1.{suffix}"));
    assert_eq!((norm.op_type.as_str(), &norm.input[1..]), ("BatchNormalization", &read[..]));
    assert_eq!(attribute(norm, "epsilon").f, Some(1e-5));
    let linear = node(&model, &network.nodes[network.logits].name);
    assert_eq!((linear.op_type.as_str(), attribute(linear, "transB").i), ("Gemm", Some(1)));
    assert_eq!((linear.input.len(), linear.output[0].as_str()), (3, "logits"));

    let (_, model) = export("MobileNetV2", 32);
    let nodes = &model.graph.as_ref().unwrap().node;
    let groups = nodes.iter().filter(|node| node.op_type == "Conv").map(|node| attribute(node, "group").i.unwrap());
    assert!(groups.collect::<Vec<_>>().contains(&192), "depthwise convolutions have as many groups as channels");

    let (network, model) = export("ShuffleV1", 32);
    let shuffle = index(&network, "channel_shuffle");
    let name = format!("channel_shuffle_{shuffle}");
    let [height, width, channels] = network.nodes[shuffle].shape.map(|size| size as i64);
    let crate::nn::LayerKind::ChannelShuffle { groups } = network.nodes[shuffle].kind else { unreachable!() };
    let groups = groups as i64;
    let split = [0, groups, channels / groups, height, width];
    assert_eq!(numbers(&model, &format!("{name}/split/shape")), split);
    assert_eq!(attribute(node(&model, &format!("{name}/transpose")), "perm").ints, [0, 2, 1, 3, 4]);
    assert_eq!(numbers(&model, &format!("{name}/shape")), [0, channels, height, width]);
    let pool = index(&network, "avg_pool");
    assert_eq!(attribute(node(&model, &format!("avg_pool_{pool}")), "count_include_pad").i, Some(1));

    let (network, model) = export("ShuffleV2", 32);
    let halves: Vec<usize> =
        (0..network.nodes.len()).filter(|node| network.nodes[*node].kind.word() == "slice").take(2).collect();
    let channels = network.nodes[halves[0]].shape[2] as i64;
    for (half, bounds) in halves.into_iter().zip([[0, channels], [channels, 2 * channels]]) {
        let name = format!("slice_{half}");
        for (what, number) in [("start", bounds[0]), ("end", bounds[1]), ("axis", 1)] {
            assert_eq!(numbers(&model, &format!("{name}/{what}")), [number], "{name}/{what}");
        }
    }
}

/// A user's net with what the zoo has none of at 32 pixels: option A, transposed convolution, uneven adaptive pooling, layers
/// behind a flattening, and a layer named like the graph's input.
#[test]
fn other_layers_are_exported_too() {
    let text = r#"
about = "All sorts."
[models]
sorts = {}
[network]
layers = [
  { conv = "images", out = 6, kernel = 3, stride = 2 },
  { option_a = 10, stride = 2 },
  { conv_transpose = "up", out = 4, kernel = 2, stride = 2, bias = true },
  { adaptive_avg_pool = 3 },
  { dropout = 0.5 },
  "flatten",
  { linear = "one", out = 8 },
  { batch_norm = "norm" },
  "relu",
  { channel_shuffle = 2 },
  { linear = "two", out = "classes", bias = false },
]
"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sorts.toml");
    std::fs::write(&file, text).unwrap();
    let exported = |side: usize| {
        let network = build(file.to_str().unwrap(), 5, 3, side, side).unwrap();
        decoded(&source(network).to_onnx(false).unwrap())
    };
    // Height 16 over 3 rows: windows of 6 rows, 5 apart.
    let regular = exported(32);
    let pool = node(&regular, "adaptive_avg_pool_4");
    assert_eq!((attribute(pool, "kernel_shape").ints[0], attribute(pool, "strides").ints[0]), (6, 5));
    let model = exported(28);
    assert_eq!(node(&model, "images_2").input, ["images", "images.weight"]);
    assert_eq!(numbers(&model, "option_a_2/pads"), [0, 2, 0, 0, 0, 2, 0, 0]);
    assert_eq!(numbers(&model, "option_a_2/step"), [2, 2]);
    let up = node(&model, "up");
    assert_eq!((up.op_type.as_str(), attribute(up, "strides").ints.as_slice()), ("ConvTranspose", &[2, 2][..]));
    // Height 14 over 3 rows: the means of rows 0 to 4, 4 to 9 and 9 to 13.
    let rows = attribute(node(&model, "adaptive_avg_pool_4/rows"), "value").t.clone().unwrap();
    let rows: Vec<f32> = rows.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let share = |range: std::ops::Range<usize>| {
        (0..14).map(move |row| if range.contains(&row) { 1.0 / range.len() as f32 } else { 0.0 })
    };
    assert_eq!(rows, [0..5, 4..10, 9..14].into_iter().flat_map(share).collect::<Vec<f32>>());
    assert_eq!(node(&model, "one").input[0], "dropout_5/flat");
    assert_eq!((node(&model, "norm").input[0].as_str(), node(&model, "relu_9").input[0].as_str()), ("one", "norm"));
    assert_eq!(node(&model, "two").input, ["channel_shuffle_10/flat", "two.weight"]);
    assert_eq!(node(&model, "two").output, ["logits"]);
}

#[test]
fn the_card_goes_along_and_normalises() {
    let mut source = source(build("resnet8", 4, 3, 32, 32).unwrap());
    let plain = decoded(&source.to_onnx(false).unwrap());
    let normalising = decoded(&source.to_onnx(true).unwrap());
    let property = |model: &ModelProto, key: &str| {
        let found = model.metadata_props.iter().find(|entry| entry.key == key);
        found.unwrap_or_else(|| panic!("no {key}")).value.clone()
    };
    for (key, value) in [
        ("model", "resnet8"),
        ("classes", "4"),
        ("class_names", r#"["class \"0\"","class \"1\"","class \"2\"","class \"3\""]"#),
        ("input", "[32,32,3]"),
        ("mean", "[0.25,0.25,0.25]"),
        ("std", "[0.5,0.5,0.5]"),
        ("trained", r#"{"phase":"distil","method":"kd","seed":3,"epochs":2,"data":"some"}"#),
    ] {
        assert_eq!((property(&plain, key), property(&normalising, key)), (value.to_string(), value.to_string()));
    }
    assert_eq!(property(&plain, "images"), "normalised: (pixel / 255 - mean) / std");
    assert_eq!(property(&normalising, "images"), "pixels from 0 to 255");
    assert_eq!(node(&plain, "conv1").input[0], "images");
    assert_eq!(node(&normalising, "conv1").input[0], "normalise/by_std");
    let mean = attribute(node(&normalising, "normalise/mean"), "value").t.clone().unwrap();
    assert_eq!((mean.dims, mean.raw_data), (vec![3, 1, 1], 0.25f32.to_le_bytes().repeat(3)));

    source.card = None;
    let bare = decoded(&source.to_onnx(false).unwrap());
    let keys: Vec<&str> = bare.metadata_props.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["model", "classes", "input", "images"]);
    let message = source.to_onnx(true).unwrap_err().to_string();
    assert!(message.contains("do not say how"), "{message}");
}

/// Weights without a card say by their shapes how many classes and channels there are; with one the card says it.
#[test]
fn sizes_come_from_the_card_or_from_the_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let (carded, bare) = (folder.path().join("carded.safetensors"), folder.path().join("bare.safetensors"));
    for (name, classes, channels) in [("resnet8", 7, 1), ("MobileNetV2", 21, 4), ("vgg8", 3, 3), ("amtml_mynet", 2, 2)]
    {
        let network = build(name, classes, channels, 28, 28).unwrap();
        let parameters = network.parameters();
        let tensors = tensors(&parameters);
        let entries: Vec<(&str, &[usize], &[f32])> = parameters
            .iter()
            .map(|one| (one.name.as_str(), one.shape.as_slice(), tensors[&one.name].as_slice()))
            .collect();
        save(&carded, &entries, Some(&card(&network))).unwrap();
        let bytes = std::fs::read(&carded).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        // As a net in DataParallel is saved.
        let wrapped = file.tensors().into_iter().map(|(name, view)| (format!("module.{name}"), view));
        std::fs::write(&bare, safetensors::serialize(wrapped, None).unwrap()).unwrap();
        for (path, resolution, side) in
            [(&carded, None, 28), (&carded, Some(36), 36), (&bare, None, 32), (&bare, Some(28), 28)]
        {
            let source = Source::read(name, path, resolution).unwrap();
            let Network { classes: found, in_channels, height, width, .. } = source.network;
            assert_eq!([found, in_channels, height, width], [classes, channels, side, side], "{name} {path:?}");
            assert_eq!(source.tensors, tensors, "{name}");
        }
        let message = Source::read("wrn_16_1", &bare, None).unwrap_err().to_string();
        assert!(message.contains("do not fit the model"), "{message}");
        let mut wrong = card(&network);
        wrong.std[0] = 0.0;
        save(&carded, &entries, Some(&wrong)).unwrap();
        let message = Source::read(name, &carded, None).unwrap_err().to_string();
        assert!(message.contains("normalises by"), "{message}");
    }
}
