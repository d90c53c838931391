//! An ONNX graph while it is written: names, nodes, constants, and the shape of every value.

use std::collections::BTreeSet;

use super::proto::{
    AttributeProto, DimensionProto, FLOAT, FLOAT32, INT, INTS, NodeProto, TENSOR, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The name of the extent that the caller decides.
const BATCH: &str = "batch";

/// Nodes in the order in which they are computed. A node's only output has the node's name.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) values: Vec<ValueInfoProto>,
    names: BTreeSet<String>,
}

impl Graph {
    /// Sets a name aside that no node gets.
    pub(super) fn reserve(&mut self, name: &str) {
        self.names.insert(name.to_string());
    }

    /// A node called `name`, or like it where that is taken, which makes `[batch, shape...]`. Returns what it makes.
    pub(super) fn node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[String],
        attributes: Vec<AttributeProto>,
        shape: &[usize],
    ) -> String {
        let output = self.push(name, operator, inputs, attributes);
        self.values.push(value(&output, shape));
        output
    }

    /// A list of whole numbers, as operators take shapes and positions.
    pub(super) fn whole_numbers(&mut self, name: &str, numbers: &[i64]) -> String {
        self.push(name, "Constant", &[], vec![ints("value_ints", numbers)])
    }

    /// A constant tensor.
    pub(super) fn constant(&mut self, name: &str, shape: &[usize], elements: &[f32]) -> String {
        let t = Some(tensor("", shape, elements));
        self.push(name, "Constant", &[], vec![AttributeProto { t, ..attribute("value", TENSOR) }])
    }

    /// Calls the value `from` `to`, which has to be reserved; it is the graph's output from now on.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.values.retain(|value| value.name != from);
        let names = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| *name == from).for_each(|name| *name = to.to_string());
    }

    fn push(&mut self, name: &str, operator: &str, inputs: &[String], attributes: Vec<AttributeProto>) -> String {
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut candidates = std::iter::once(name.to_string()).chain(numbered);
        let name = candidates.find(|name| !self.names.contains(name)).expect("there is no end of numbers");
        self.names.insert(name.clone());
        self.nodes.push(NodeProto {
            input: inputs.to_vec(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: operator.to_string(),
            attribute: attributes,
        });
        name
    }
}

/// A value `[batch, shape...]` of float32.
pub(super) fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { dim_value: None, dim_param: Some(BATCH.to_string()) };
    let others = shape.iter().map(|size| DimensionProto { dim_value: Some(*size as i64), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(others).collect() };
    let tensor_type = TensorTypeProto { elem_type: FLOAT32, shape: Some(shape) };
    ValueInfoProto { name: name.to_string(), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// A tensor of float32 with its elements in the order of `shape`.
pub(super) fn tensor(name: &str, shape: &[usize], elements: &[f32]) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|size| *size as i64).collect(),
        data_type: FLOAT32,
        name: name.to_string(),
        raw_data: elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
    }
}

/// An operator's option: a number.
pub(super) fn float(name: &str, number: f32) -> AttributeProto {
    AttributeProto { f: Some(number), ..attribute(name, FLOAT) }
}

/// An operator's option: a whole number.
pub(super) fn int(name: &str, number: usize) -> AttributeProto {
    AttributeProto { i: Some(number as i64), ..attribute(name, INT) }
}

/// An operator's option: whole numbers.
pub(super) fn ints(name: &str, numbers: &[i64]) -> AttributeProto {
    AttributeProto { ints: numbers.to_vec(), ..attribute(name, INTS) }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: name.to_string(), r#type: kind, ..AttributeProto::default() }
}
