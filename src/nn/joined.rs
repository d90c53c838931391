//! A student whose last map is projected to a teacher's, and classified by the teacher's classifier: what SimKD trains and
//! leaves (Chen, Mei, Wang, Feng, Chen: "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022, section 3).
//!
//! Its name is `sim_kd(STUDENT,TEACHER)`, with a factor other than 2 `sim_kd(STUDENT,TEACHER,FACTOR)`, and building that name
//! builds it, so that saved weights find their net.

use super::layer::LayerKind;
use super::network::{Layer, Network};
use crate::error::{Error, Result};

/// The feature that the projector makes: `[H, W, C]` with the teacher's channels.
pub const PROJECTED: &str = "projected";

/// What the teacher's channels are divided by for those within the projector, where nothing is said.
pub const FACTOR: usize = 2;

/// What student and teacher are called in a joined net's name, and the projector's factor.
pub(super) fn parts(name: &str) -> Option<(&str, &str, usize)> {
    let (student, rest) = name.strip_prefix("sim_kd(")?.strip_suffix(')')?.split_once(',')?;
    let with_factor = rest.rsplit_once(',').and_then(|(teacher, factor)| Some((teacher, factor.parse().ok()?)));
    let (teacher, factor) = with_factor.unwrap_or((rest, FACTOR));
    (factor > 0).then_some((student, teacher, factor))
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

    /// The map that a student hands on: the one behind its last stage, which in MobileNetV2 and ShuffleNetV2 lies before one
    /// more convolution, as in the authors' code; where only BatchNorm and ReLU lie between it and the pool, the map behind
    /// these.
    fn handed_on(&self) -> Result<usize> {
        let pooled = self.classified()?;
        let number = |(name, node): &(String, usize)| Some((name.strip_prefix('f')?.parse::<usize>().ok()?, *node));
        let stages = self.taps.iter().filter_map(number).filter(|(number, node)| *number > 0 && *node <= pooled);
        let Some((_, last)) = stages.max() else { return Ok(pooled) };
        let mut node = pooled;
        while node != last && matches!(self.nodes[node].kind, LayerKind::BatchNorm { .. } | LayerKind::Relu) {
            node = self.nodes[node].inputs[0];
        }
        Ok(if node == last { pooled } else { last })
    }

    /// `self` up to the map behind its last stage, pooled to the teacher's size where it is larger; the projector (1x1 to the
    /// teacher's channels divided by `factor`, 3x3, 1x1 to all of them, each with BatchNorm and ReLU, all starting as PyTorch
    /// has it); global pool and the teacher's classifier. The projector is called `projector.0` to `projector.7` as in a
    /// `torch.nn.Sequential`, the classifier `classifier`.
    ///
    /// # Errors
    /// If one of the two has no map that a linear classifier reads through a global pool, or `factor` is 0.
    pub fn joined_with(&self, teacher: &Network, factor: usize) -> Result<Network> {
        let (own, other) = (self.handed_on()?, teacher.classified()?);
        let [wanted, _, channels] = teacher.nodes[other].shape;
        let needed = self.needed(&[own]);
        let mut joined = self.clone();
        joined.name = match factor {
            FACTOR => format!("sim_kd({},{})", self.name, teacher.name),
            _ => format!("sim_kd({},{},{factor})", self.name, teacher.name),
        };
        joined.nodes.truncate(own + 1);
        joined.standard_from = Some(own + 1);
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
        let none = || Error::request("the projector's factor is 0");
        let within = channels.checked_div(factor).ok_or_else(none)?.max(1);
        for (index, (out, kernel)) in [(within, 1), (within, 3), (channels, 1)].into_iter().enumerate() {
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
    use crate::nn::Rule;

    #[test]
    fn a_joined_net_is_built_by_its_name() {
        let built = crate::nn::build("sim_kd(resnet8,wrn_16_2)", 10, 3, 32, 32).unwrap();
        let student = crate::nn::build("resnet8", 10, 3, 32, 32).unwrap();
        let teacher = crate::nn::build("wrn_16_2", 10, 3, 32, 32).unwrap();
        assert_eq!(built, student.joined_with(&teacher, 2).unwrap());
        assert_eq!(built.nodes[built.tap(PROJECTED).unwrap()].shape, [8, 8, 128]);
        assert_eq!(built.nodes[built.logits].shape, [1, 1, 10]);
        let names: Vec<String> = built.parameters().into_iter().map(|one| one.name).collect();
        for name in ["layer3.0.conv2.weight", "projector.0.weight", "projector.7.running_var", "classifier.bias"] {
            assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with("fc.")), "the student's own classifier is left out");
    }

    #[test]
    fn a_factor_stands_in_the_name() {
        assert_eq!(parts("sim_kd(a,b)"), Some(("a", "b", 2)));
        assert_eq!(parts("sim_kd(a.toml:b,c,4)"), Some(("a.toml:b", "c", 4)));
        assert_eq!((parts("sim_kd(a,b,0)"), parts("sim_kd(a)"), parts("a,b")), (None, None, None));
        let built = crate::nn::build("sim_kd(resnet8,wrn_16_2,4)", 10, 3, 32, 32).unwrap();
        assert_eq!(built.name, "sim_kd(resnet8,wrn_16_2,4)");
        assert_eq!(shapes(&built)["projector.3.weight"], [32, 32, 3, 3]);
        let teacher = crate::nn::build("wrn_16_2", 10, 3, 32, 32).unwrap();
        assert!(teacher.joined_with(&teacher, 0).is_err());
    }

    fn shapes(network: &Network) -> std::collections::BTreeMap<String, Vec<usize>> {
        network.parameters().into_iter().map(|one| (one.name, one.shape)).collect()
    }

    /// The channels of the maps are those of the authors' `feat_s[-2]`.
    #[test]
    fn the_map_behind_the_last_stage_is_projected() {
        for (student, channels, left_out) in [
            ("resnet8", 64, "fc.weight"),
            ("wrn_16_2", 128, "fc.weight"),
            ("vgg8", 512, "classifier.weight"),
            ("ShuffleV1", 960, "linear.weight"),
            ("ShuffleV2", 464, "conv2.weight"),
            ("MobileNetV2", 160, "conv2.0.weight"),
        ] {
            let own = crate::nn::build(student, 10, 3, 32, 32).unwrap();
            assert!(shapes(&own).contains_key(left_out), "{student}: {:?}", shapes(&own).keys());
            let teacher = crate::nn::build("resnet14", 10, 3, 32, 32).unwrap();
            let joined = own.joined_with(&teacher, 2).unwrap();
            let shapes = shapes(&joined);
            assert_eq!(shapes["projector.0.weight"], [32, channels, 1, 1], "{student}");
            assert!(left_out == "classifier.weight" || !shapes.contains_key(left_out), "{student}");
            // Nothing of what is left is there for nobody.
            let needed = joined.needed(&[joined.logits]);
            assert!(joined.parameters().iter().all(|one| needed[one.layer]), "{student}");
        }
    }

    #[test]
    fn the_projector_starts_as_pytorch_has_it_and_the_student_as_ever() {
        let [student, teacher] = ["resnet8", "resnet14"].map(|name| crate::nn::build(name, 10, 3, 32, 32).unwrap());
        assert_ne!(student.init.conv_weight, Rule::UniformFanIn);
        let own = student.handed_on().unwrap();
        let before = student.parameters();
        let joined = student.joined_with(&teacher, 2).unwrap();
        for one in joined.parameters() {
            if one.layer <= own {
                assert!(before.contains(&one), "{}", one.name);
            } else if one.shape.len() > 1 {
                assert_eq!(one.init, Rule::UniformFanIn.distribution(&one.shape), "{}", one.name);
            }
        }
        // What comes behind a feature keeps how it starts.
        let tail = joined.tail("f2").unwrap().parameters();
        assert!(
            tail.iter().all(|one| joined.parameters().iter().any(|all| (&all.name, all.init) == (&one.name, one.init)))
        );
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
