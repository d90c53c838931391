//! Trained models as ONNX files: the same net, its weights under PyTorch's names, and what the weights' card says.
//!
//! A file takes `images` `[batch, C, H, W]` in float32 and gives `logits` `[batch, classes]`; how many images there are is the
//! caller's business. It is written for inference: BatchNorm by its running statistics, no dropout. Operators are those of
//! ONNX's opset 17, so that programs from 2022 on read it.

mod average;
mod graph;
mod layers;
mod proto;
mod source;

use std::path::Path;

use prost::Message;

use crate::error::{Error, Result};
use crate::nn::Network;
use crate::train::durable::replace_file;
use graph::{Graph, tensor, value};
use proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};

pub use source::Source;

/// Version of the format that goes with the operators.
const IR_VERSION: i64 = 8;
/// Version of the operators.
const OPSET: i64 = 17;
/// A message of Protocol Buffers, which is what a file is, stays below 2 GiB.
const LARGEST: usize = (1 << 31) - 1;

const IMAGES: &str = "images";
const LOGITS: &str = "logits";

impl Source {
    /// The model as the bytes of an ONNX file; the same every time. `images` are normalised ones, or with `normalise` pixels
    /// from 0 to 255, which the graph then normalises itself.
    ///
    /// # Errors
    /// If `normalise` is asked for and the weights do not say how, or the file would be too large for the format.
    pub fn to_onnx(&self, normalise: bool) -> Result<Vec<u8>> {
        let network = &self.network;
        let needed = network.needed(&[network.logits]);
        let mut graph = Graph::default();
        [IMAGES, LOGITS].iter().for_each(|name| graph.reserve(name));
        let mut initializer = Vec::new();
        for parameter in network.parameters().into_iter().filter(|parameter| needed[parameter.layer]) {
            graph.reserve(&parameter.name);
            initializer.push(tensor(&parameter.name, &parameter.shape, &self.tensors[&parameter.name]));
        }
        let images = match normalise {
            true => self.normalised(&mut graph)?,
            false => IMAGES.to_string(),
        };
        let logits = layers::write(&mut graph, network, &needed, &images);
        graph.rename(&logits, LOGITS);
        let Network { classes, in_channels, height, width, .. } = *network;
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_string(),
            producer_version: env!("CARGO_PKG_VERSION").to_string(),
            graph: Some(GraphProto {
                node: graph.nodes,
                name: network.name.clone(),
                initializer,
                input: vec![value(IMAGES, &[in_channels, height, width])],
                output: vec![value(LOGITS, &[classes])],
                value_info: graph.values,
            }),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            metadata_props: self.properties(normalise),
        };
        let size = model.encoded_len();
        if size > LARGEST {
            let message = format!("{} as ONNX would take {size} bytes, and such a file ends at 2 GiB", network.name);
            return Err(Error::request(message).help("a smaller model; or take the weights as safetensors"));
        }
        Ok(model.encode_to_vec())
    }

    /// Writes the model to `path`, whole or not at all: [`Self::to_onnx`].
    ///
    /// # Errors
    /// As [`Self::to_onnx`]; and if the file cannot be written.
    pub fn write(&self, path: &Path, normalise: bool) -> Result<()> {
        let bytes = self.to_onnx(normalise)?;
        replace_file(path, &bytes).map_err(|error| Error::writing(path, error))
    }

    /// Pixels from 0 to 255 become `(pixel / 255 - mean) / std`.
    fn normalised(&self, graph: &mut Graph) -> Result<String> {
        let Some(card) = &self.card else {
            return Err(Error::request("the weights do not say how their images were normalised")
                .help("without --normalise the graph takes images that are normalised already"));
        };
        let Network { in_channels, height, width, .. } = self.network;
        let image = [in_channels, height, width];
        let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
        let steps: [(&str, &str, &[usize], Vec<f32>); 3] = [
            ("largest", "Div", &[], vec![255.0]),
            ("mean", "Sub", &[in_channels, 1, 1], narrow(&card.mean)),
            ("std", "Div", &[in_channels, 1, 1], narrow(&card.std)),
        ];
        let mut made = IMAGES.to_string();
        for (what, operator, shape, elements) in steps {
            let by = graph.constant(&format!("normalise/{what}"), shape, &elements);
            made = graph.node(&format!("normalise/by_{what}"), operator, &[made, by], vec![], &image);
        }
        Ok(made)
    }

    /// What the file says of its model, as named texts; lists are JSON.
    fn properties(&self, normalise: bool) -> Vec<StringStringEntryProto> {
        let Network { name, classes, in_channels, height, width, .. } = &self.network;
        let list = |values: &[f64]| serde_json::json!(values).to_string();
        let taken = match normalise {
            true => "pixels from 0 to 255",
            false => "normalised: (pixel / 255 - mean) / std",
        };
        let mut properties = vec![
            ("model", name.clone()),
            ("classes", classes.to_string()),
            ("input", serde_json::json!([height, width, in_channels]).to_string()),
            (IMAGES, taken.to_string()),
        ];
        if let Some(card) = &self.card {
            let trained = serde_json::to_value(&card.trained).expect("texts and numbers are JSON");
            properties.extend([
                ("class_names", serde_json::json!(card.class_names).to_string()),
                ("mean", list(&card.mean)),
                ("std", list(&card.std)),
                ("trained", trained.to_string()),
            ]);
        }
        let entry = |(key, value): (&str, String)| StringStringEntryProto { key: key.to_string(), value };
        properties.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests;
