//! Small nets that methods put between features of the student and of its mentors, and train with the student. Their
//! layers start as PyTorch's do, unless a method says otherwise.

use super::{Learning, Lesson};
use crate::error::{Error, Result};
use crate::nn::{Initialisation, Layer, LayerKind, Map, Mode, Network};
use crate::tape::{Tape, ValueId};
use crate::tensor::DType;

/// A net whose layers follow each other, from the first to the last.
#[derive(Clone, Debug)]
pub struct Chain(Network);

impl Chain {
    /// A net on maps `[H, W, C]` without layers yet.
    pub fn new(name: &str, input: Map) -> Self {
        let [height, width, channels] = input;
        let images = Layer { name: String::new(), kind: LayerKind::Input, inputs: Vec::new(), shape: input };
        Self(Network {
            name: name.to_string(),
            classes: channels,
            in_channels: channels,
            height,
            width,
            nodes: vec![images],
            taps: Vec::new(),
            logits: 0,
            init: Initialisation::default(),
            standard_from: None,
        })
    }

    /// A further layer; `name` is what a PyTorch module would call it, empty for layers without parameters.
    ///
    /// # Errors
    /// If the layer does not take what the one before it makes.
    pub fn layer(mut self, name: &str, kind: LayerKind) -> Result<Self> {
        let network = &mut self.0;
        let shape = kind
            .output(&[network.nodes[network.logits].shape])
            .map_err(|message| Error::request(format!("{}: {} `{name}`: {message}", network.name, kind.word())))?;
        network.nodes.push(Layer { name: name.to_string(), kind, inputs: vec![network.logits], shape });
        network.logits = network.nodes.len() - 1;
        network.classes = shape[2];
        Ok(self)
    }

    /// A convolution with a square kernel.
    ///
    /// # Errors
    /// As [`Chain::layer`].
    pub fn conv(
        self,
        name: &str,
        out: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        bias: bool,
    ) -> Result<Self> {
        let kind = LayerKind::Conv2d { out_channels: out, kernel, stride, padding, dilation: 1, groups: 1, bias };
        self.layer(name, kind)
    }

    /// A BatchNorm as PyTorch's: eps 1e-5, momentum 0.1.
    ///
    /// # Errors
    /// As [`Chain::layer`].
    pub fn batch_norm(self, name: &str) -> Result<Self> {
        self.layer(name, LayerKind::BatchNorm { eps: 1e-5, momentum: 0.1 })
    }

    /// A ReLU.
    ///
    /// # Errors
    /// As [`Chain::layer`].
    pub fn relu(self) -> Result<Self> {
        self.layer("", LayerKind::Relu)
    }

    /// A linear layer on `[1, 1, D]`.
    ///
    /// # Errors
    /// As [`Chain::layer`].
    pub fn linear(self, name: &str, out: usize, bias: bool) -> Result<Self> {
        self.layer(name, LayerKind::Linear { out_features: out, bias })
    }

    /// The net as it is, its weights starting as `init` says.
    pub fn starting(mut self, init: Initialisation) -> Self {
        self.0.init = init;
        self
    }

    /// The net.
    pub fn network(self) -> Network {
        self.0
    }

    /// `[H, W, C]` of what it makes.
    pub fn output(&self) -> Map {
        self.0.nodes[self.0.logits].shape
    }
}

/// From a map of the student to the shape of a teacher's: a convolution with bias, BatchNorm, ReLU (RepDistiller and
/// mdistiller call it ConvReg). Of twice the size, the convolution is 3x3 with stride 2; of half the size, a transposed one,
/// 4x4 with stride 2; else it has a kernel that shrinks the map as far as needed, 1x1 for equal sizes.
///
/// # Errors
/// If the student's map is smaller otherwise than by half, or the maps differ in proportion.
pub fn conv_reg(student: Map, teacher: Map) -> Result<Network> {
    let ([height, _, _], [wanted, _, out_channels]) = (student, teacher);
    let chain = Chain::new("conv_reg", student);
    let refused = || {
        let words = |[height, width, _]: Map| format!("{height}x{width}");
        Error::request(format!("no convolution leads from maps of {} to {}", words(student), words(teacher)))
            .help("expected maps of equal size, twice or half the size, or larger ones of the student")
    };
    let chain = if height == 2 * wanted {
        chain.conv("conv", out_channels, 3, 2, 1, true)?
    } else if 2 * height == wanted {
        let kind = LayerKind::ConvTranspose2d { out_channels, kernel: 4, stride: 2, padding: 1, bias: true };
        chain.layer("conv", kind)?
    } else if height >= wanted {
        chain.conv("conv", out_channels, 1 + height - wanted, 1, 0, true).map_err(|_| refused())?
    } else {
        return Err(refused());
    };
    if chain.output() != teacher {
        return Err(refused());
    }
    Ok(chain.batch_norm("bn")?.relu()?.network())
}

/// 1x1 convolutions to `widths` channels, one after the other, with ReLU between them; named 0, 2, 4, ... as in a
/// `torch.nn.Sequential`.
///
/// # Errors
/// If a width is 0.
pub fn pointwise(input: Map, widths: &[usize], bias: bool) -> Result<Network> {
    let mut chain = Chain::new("pointwise", input);
    for (index, width) in widths.iter().enumerate() {
        if index > 0 {
            chain = chain.relu()?;
        }
        chain = chain.conv(&(2 * index).to_string(), *width, 1, 1, 0, bias)?;
    }
    Ok(chain.network())
}

/// A linear layer called `linear` from vectors of `inputs` to vectors of `outputs`.
///
/// # Errors
/// If one of them is 0.
pub fn embedding(inputs: usize, outputs: usize) -> Result<Network> {
    Ok(Chain::new("embedding", [1, 1, inputs]).linear("linear", outputs, true)?.network())
}

/// `[H, W, C]` of a value `[B, H, W, C]`, or `[1, 1, D]` of a vector `[B, D]`.
pub fn map_of(tape: &Tape, value: ValueId) -> Map {
    match *tape.shape(value).extents() {
        [_, height, width, channels] => [height, width, channels],
        ref vector => [1, 1, vector[1..].iter().product()],
    }
}

impl Lesson<'_> {
    /// What a small net of the method's own makes of `input` (`[B, H, W, C]`, or `[B, D]` for `[1, 1, D]`) in training mode,
    /// declared under `name` and trained with the student: `[B, H, W, C]` in the type of activations, or behind a linear
    /// layer `[B, D]` in the tape's float type.
    ///
    /// # Errors
    /// As the layers.
    pub fn adapter(&mut self, tape: &mut Tape, name: &str, network: &Network, input: ValueId) -> Result<ValueId> {
        let model = self.equip(name, network, Learning::WithStudent);
        let is_linear = |layer: &Layer| matches!(layer.kind, LayerKind::Linear { .. });
        let dtype: DType = if network.nodes.get(1).is_some_and(is_linear) { tape.float() } else { tape.storage() };
        let input = tape.cast(input, dtype)?;
        let [height, width, channels] = map_of(tape, input);
        let batch = tape.shape(input)[0];
        let input = tape.view(input, [batch, height, width, channels])?;
        model.record_output(tape, self.layout, input, Mode::Train)
    }

    /// As [`Lesson::adapter`], in the tape's float type.
    ///
    /// # Errors
    /// As [`Lesson::adapter`].
    pub fn adapted(&mut self, tape: &mut Tape, name: &str, network: &Network, input: ValueId) -> Result<ValueId> {
        let output = self.adapter(tape, name, network, input)?;
        tape.cast(output, tape.float())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regressor_fits_the_teachers_map_or_is_refused() {
        let names = |network: &Network| {
            network
                .parameters()
                .into_iter()
                .filter(|one| one.trainable)
                .map(|one| (one.name, one.shape))
                .collect::<Vec<_>>()
        };
        for (student, teacher, weight) in [
            ([8, 8, 3], [4, 4, 5], [5, 3, 3, 3]),
            ([4, 4, 3], [8, 8, 5], [3, 5, 4, 4]),
            ([8, 8, 3], [8, 8, 5], [5, 3, 1, 1]),
            ([8, 8, 3], [6, 6, 5], [5, 3, 3, 3]),
        ] {
            let network = conv_reg(student, teacher).unwrap();
            assert_eq!(network.nodes[network.logits].shape, teacher);
            let names = names(&network);
            assert_eq!(names[0], ("conv.weight".to_string(), weight.to_vec()));
            assert_eq!(
                names[1..].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
                ["conv.bias", "bn.weight", "bn.bias"]
            );
        }
        for (student, teacher) in [([4, 4, 3], [6, 6, 3]), ([8, 6, 3], [4, 4, 3]), ([8, 8, 3], [7, 6, 3])] {
            let message = conv_reg(student, teacher).unwrap_err().to_string();
            assert!(message.contains("no convolution leads from maps of"), "{message}");
        }
    }
}
