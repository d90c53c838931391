//! Where a run computes.

use std::str::FromStr;

use super::{Config, Precision};
use crate::error::{Error, Result};
use crate::gpu::Processor;

/// What `--device` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceRequest {
    /// The best there is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU, by number.
    Cuda(usize),
    /// The GPU's code on an interpreter.
    Sim,
}

impl FromStr for DeviceRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match (text, number) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            ("sim", _) => Ok(Self::Sim),
            (_, Some(number)) => Ok(Self::Cuda(number)),
            _ => Err("expected auto, cpu, cuda, cuda:N or sim".into()),
        }
    }
}

impl Config {
    /// Checks that `processor` can do what the config asks for.
    ///
    /// # Errors
    /// Where it cannot, naming the key.
    pub fn check_device(&self, processor: &Processor) -> Result<()> {
        for (key, train) in [("pretrain", &self.pretrain), ("train", &self.train)] {
            if processor.gpu().is_none() && train.precision != Precision::F32 {
                let message = format!(
                    "{key}.precision: the cpu computes in \"f32\" alone, but \"{}\" is asked for",
                    train.precision.name()
                );
                return Err(Error::request(message).help(format!("--set {key}.precision=f32")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn devices_are_parsed() {
        assert_eq!("auto".parse(), Ok(DeviceRequest::Auto));
        assert_eq!("cuda".parse(), Ok(DeviceRequest::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceRequest::Cuda(3)));
        for wrong in ["", "CPU", "cuda:", "cuda:x", "cuda:-1", "gpu"] {
            assert!(wrong.parse::<DeviceRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn cpu_computes_in_f32_alone() {
        let precision = |key: &str, value: &str| {
            let sets = vec![(format!("{key}.precision"), value.to_string())];
            let config = Config::load(None, &Overrides { sets, ..Overrides::default() }).unwrap();
            config.check_device(&Processor::Cpu).map_err(|error| error.to_string())
        };
        assert_eq!(precision("train", "f32"), Ok(()));
        assert!(precision("train", "bf16").unwrap_err().starts_with("train.precision: the cpu"));
        assert!(precision("pretrain", "tf32").unwrap_err().starts_with("pretrain.precision: the cpu"));
    }
}
