//! A student whose last map is projected to a teacher's, and classified by the teacher's classifier: what SimKD trains and
//! leaves (Chen, Mei, Wang, Feng, Chen: "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022, section 3).
//!
//! Its name is `sim_kd(STUDENT,TEACHER)`, and building that name builds it, so that saved weights find their net.

use super::layer::LayerKind;
use super::network::{Layer, Network};
use crate::error::{Error, Result};

/// The feature that the projector makes: `[H, W, C]` with the teacher's channels.
pub const PROJECTED: &str = "projected";

/// What student and teacher are called in a joined net's name.
pub(super) fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("sim_kd(")?.strip_suffix(')')?.split_once(',')
}

impl Network {
    /// The map whose average over all positions the classifier reads, through a ReLU where that lies between.
    ///
    /// # Errors
    /// If other layers lie before the classifier.
    pub fn classified(&self) -> Result<usize> {
        let linear = &self.nodes[self.logits];
        let pooled = matches!(linear.kind, LayerKind::Linear { .. }).then(|| &self.nodes[linear.inputs[0]]);
        let pool = pooled.filter(|layer| layer.kind == LayerKind::GlobalAvgPool);
        pool.map(|layer| layer.inputs[0]).ok_or_else(|| {
            Error::request(format!("{}: between its last map and a linear classifier lies more than a pool", self.name))
        })
    }

    /// `self` up to its last map, pooled to the teacher's size where it is larger; the projector (1x1 to half of the
    /// teacher's channels, 3x3, 1x1 to all of them, each with BatchNorm and ReLU); global pool and the teacher's classifier.
    /// The projector is called `projector.0` to `projector.7` as in a `torch.nn.Sequential`, the classifier `classifier`.
    ///
    /// # Errors
    /// If one of the two has no map that a linear classifier reads through a global pool.
    pub fn joined_with(&self, teacher: &Network) -> Result<Network> {
        let (own, other) = (self.classified()?, teacher.classified()?);
        let [wanted, _, channels] = teacher.nodes[other].shape;
        let needed = self.needed(&[own]);
        let mut joined = self.clone();
        joined.name = format!("sim_kd({},{})", self.name, teacher.name);
        joined.nodes.truncate(own + 1);
        joined.taps.retain(|(_, node)| *node <= own && needed[*node]);
        let mut chain = |name: &str, kind: LayerKind| -> Result<()> {
            let input = joined.nodes.len() - 1;
            let shape = kind.output(&[joined.nodes[input].shape]).map_err(Error::request)?;
            joined.nodes.push(Layer { name: name.into(), kind, inputs: vec![input], shape });
            Ok(())
        };
        if self.nodes[own].shape[0] > wanted {
            chain("", LayerKind::AdaptiveAvgPool { out: wanted })?;
        }
        let half = (channels / 2).max(1);
        for (index, (out, kernel)) in [(half, 1), (half, 3), (channels, 1)].into_iter().enumerate() {
            let (stride, padding, dilation, groups) = (1, kernel / 2, 1, 1);
            let conv = LayerKind::Conv2d { out_channels: out, kernel, stride, padding, dilation, groups, bias: false };
            chain(&format!("projector.{}", 3 * index), conv)?;
            let norm = LayerKind::BatchNorm { eps: 1e-5, momentum: 0.1 };
            chain(&format!("projector.{}", 3 * index + 1), norm)?;
            chain("", LayerKind::Relu)?;
        }
        chain("", LayerKind::GlobalAvgPool)?;
        chain("classifier", teacher.nodes[teacher.logits].kind.clone())?;
        joined.logits = joined.nodes.len() - 1;
        joined.taps.push((PROJECTED.into(), joined.logits - 2));
        joined.taps.sort();
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joined_net_is_built_by_its_name() {
        let built = crate::nn::build("sim_kd(resnet8,wrn_16_2)", 10, 3, 32, 32).unwrap();
        let student = crate::nn::build("resnet8", 10, 3, 32, 32).unwrap();
        let teacher = crate::nn::build("wrn_16_2", 10, 3, 32, 32).unwrap();
        assert_eq!(built, student.joined_with(&teacher).unwrap());
        assert_eq!(built.nodes[built.tap(PROJECTED).unwrap()].shape, [8, 8, 128]);
        assert_eq!(built.nodes[built.logits].shape, [1, 1, 10]);
        let names: Vec<String> = built.parameters().into_iter().map(|one| one.name).collect();
        for name in ["layer3.0.conv2.weight", "projector.0.weight", "projector.7.running_var", "classifier.bias"] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with("fc.")), "the student's own classifier is left out");
    }

    #[test]
    fn a_larger_map_is_pooled_first_and_other_ends_are_refused() {
        let built = crate::nn::build("sim_kd(ShuffleV1,vgg8)", 10, 3, 64, 64).unwrap();
        let student = crate::nn::build("ShuffleV1", 10, 3, 64, 64).unwrap();
        let teacher = crate::nn::build("vgg8", 10, 3, 64, 64).unwrap();
        let sizes = [student.classified().unwrap(), teacher.classified().unwrap()];
        assert!(student.nodes[sizes[0]].shape[0] > teacher.nodes[sizes[1]].shape[0]);
        assert_eq!(built.nodes[built.tap(PROJECTED).unwrap()].shape, teacher.nodes[sizes[1]].shape);
        let error = crate::nn::build("sim_kd(resnet8,resnet9)", 10, 3, 32, 32).unwrap_err().to_string();
        assert!(error.contains("no model is called `resnet9`"), "{error}");
    }
}
