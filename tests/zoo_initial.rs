//! First weights follow the text of every family: range, mean, variance, and the whole distribution.

use kd_engine::nn::{self, Parameter, Role};
use kd_engine::random::{Philox, Stream};

/// What the literature says about the weights or biases of one kind of layer.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// N(0, 2 / (k k out)).
    FanOut,
    /// N(0, 2 / (k k in)).
    FanIn,
    /// U(-b, b), b = 1 / sqrt(k k in / groups).
    PyTorch,
    /// N(0, std^2).
    Std(f64),
    /// 0.
    Zero,
    /// The net has no such parameter.
    Absent,
}
use Expected::{Absent, FanIn, FanOut, PyTorch, Std, Zero};

/// One net of each family: convolution weight and bias, linear weight and bias.
const FAMILIES: [(&str, [Expected; 4]); 12] = [
    ("resnet20", [FanOut, Absent, PyTorch, PyTorch]),
    ("resnet8x4", [FanOut, Absent, PyTorch, PyTorch]),
    ("ResNet18", [FanOut, Absent, PyTorch, PyTorch]),
    ("wrn_16_2", [FanOut, Absent, PyTorch, Zero]),
    ("vgg8", [FanOut, Zero, Std(0.01), Zero]),
    ("MobileNetV2", [FanOut, Absent, Std(0.01), Zero]),
    ("ShuffleV1", [PyTorch, Absent, PyTorch, PyTorch]),
    ("ShuffleV2", [PyTorch, Absent, PyTorch, PyTorch]),
    ("amtml_resnet8", [FanIn, Absent, FanIn, PyTorch]),
    ("amtml_vgg19", [PyTorch; 4]),
    ("amtml_densenet121", [PyTorch, Absent, PyTorch, PyTorch]),
    ("amtml_mynet", [PyTorch; 4]),
];

/// Elements looked at per parameter: the generator is a function of the element, so the first ones are as good as any.
const MOST: usize = 3000;
const SEED: u64 = 20;

/// Cumulative distribution of the standard normal (Abramowitz and Stegun 7.1.26, error below 1e-7).
fn normal_below(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let tail = series.iter().fold(0.0, |sum, factor| (sum + factor) * t) * (-z * z).exp() / 2.0;
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// Fails unless `values` have mean 0, variance `variance`, and the cumulative distribution `below` (Kolmogorov-Smirnov).
fn check(context: &str, mut values: Vec<f64>, variance: f64, kurtosis: f64, below: fn(f64) -> f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let found = values.iter().map(|value| value * value).sum::<f64>() / count;
    assert!(mean.abs() <= 5.0 * (variance / count).sqrt(), "{context}: mean {mean} of {count}, seed {SEED}");
    let spread = 5.0 * ((kurtosis - 1.0) / count).sqrt();
    assert!((found / variance - 1.0).abs() <= spread, "{context}: variance {found} for {variance}, seed {SEED}");
    values.sort_by(f64::total_cmp);
    let gap = |(index, value): (usize, &f64)| {
        let expected = below(*value);
        (expected - index as f64 / count).abs().max((expected - (index + 1) as f64 / count).abs())
    };
    let distance = values.iter().enumerate().map(gap).fold(0.0, f64::max);
    // 2.3 / sqrt(n) is passed by chance once in 20 000 times.
    assert!(distance * count.sqrt() <= 2.3, "{context}: Kolmogorov-Smirnov {distance} of {count}, seed {SEED}");
}

/// Values of all parameters of one kind, divided by what the text says, so that they share one distribution.
fn gather(parameters: &[Parameter], kind: usize, expected: Expected) -> Vec<f64> {
    let generator = Philox::new(SEED, Stream::Weights);
    let mut scaled = Vec::new();
    let mut weight: &[usize] = &[];
    for (index, parameter) in parameters.iter().enumerate() {
        if parameter.role == Role::Weight {
            weight = &parameter.shape;
        }
        let linear = weight.len() == 2;
        let this = match parameter.role {
            Role::Weight => 2 * usize::from(linear),
            Role::Bias => 1 + 2 * usize::from(linear),
            _ => continue,
        };
        if this != kind {
            continue;
        }
        let window = weight[2..].iter().product::<usize>() as f64;
        let (fan_out, fan_in) = (weight[0] as f64 * window, weight[1] as f64 * window);
        let scale = match expected {
            FanOut => (2.0 / fan_out).sqrt(),
            FanIn => (2.0 / fan_in).sqrt(),
            PyTorch => 1.0 / fan_in.sqrt(),
            Std(std) => std,
            Zero | Absent => 1.0,
        };
        let values = parameter.init.sample(index, parameter.elements().min(MOST), &generator);
        scaled.extend(values.iter().map(|value| f64::from(*value) / scale));
    }
    scaled
}

#[test]
fn first_weights_follow_the_text_of_every_family() {
    for (name, rules) in FAMILIES {
        let parameters = nn::build(name, 200, 3, 32, 32).unwrap().parameters();
        for (kind, expected) in rules.into_iter().enumerate() {
            let context = format!("{name}, {}", ["conv weight", "conv bias", "linear weight", "linear bias"][kind]);
            let values = gather(&parameters, kind, expected);
            match expected {
                Absent => assert!(values.is_empty(), "{context}"),
                Zero => assert!(!values.is_empty() && values.iter().all(|value| *value == 0.0), "{context}"),
                FanOut | FanIn | Std(_) => {
                    assert!(values.len() >= 3000, "{context}: {}", values.len());
                    check(&context, values, 1.0, 3.0, normal_below);
                }
                PyTorch => {
                    let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
                    let room = 1.0 - 10.0 / values.len() as f64;
                    assert!(largest <= 1.0 + 1e-7 && largest >= room, "{context}: largest {largest} of its bound");
                    check(&context, values, 1.0 / 3.0, 9.0 / 5.0, |x| ((x + 1.0) / 2.0).clamp(0.0, 1.0));
                }
            }
        }
    }
}

#[test]
fn batch_norm_starts_as_the_identity() {
    let generator = Philox::new(SEED, Stream::Weights);
    for (name, _) in FAMILIES {
        for (index, parameter) in nn::build(name, 10, 1, 28, 28).unwrap().parameters().iter().enumerate() {
            let expected = match parameter.role {
                Role::Gamma | Role::RunningVar => 1.0,
                Role::Beta | Role::RunningMean => 0.0,
                Role::Weight | Role::Bias => continue,
            };
            let values = parameter.init.sample(index, parameter.elements(), &generator);
            assert_eq!(values, vec![expected; parameter.shape[0]], "{name} {}", parameter.name);
        }
    }
}

#[test]
fn weights_depend_on_seed_parameter_and_element_only() {
    let parameters = nn::build("resnet8", 10, 3, 32, 32).unwrap().parameters();
    let draw = |index: usize, count: usize, seed| {
        parameters[index].init.sample(index, count, &Philox::new(seed, Stream::Weights))
    };
    assert_eq!(draw(0, 432, 1), draw(0, 432, 1));
    assert_eq!(draw(0, 432, 1)[..100], draw(0, 100, 1));
    assert_ne!(draw(0, 432, 1), draw(0, 432, 2));
    // Two parameters with one distribution are not copies of each other.
    let same = |name: &str| parameters.iter().position(|parameter| parameter.name == name).unwrap();
    assert_ne!(draw(same("layer1.0.conv1.weight"), 100, 1), draw(same("layer1.0.conv2.weight"), 100, 1));
}
