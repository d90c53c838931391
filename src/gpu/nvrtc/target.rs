//! What kernels are compiled for: GPU architectures, and PTX that later GPUs translate for themselves.
//!
//! Shared by the build script and the engine, so nothing of the crate is used here.

use std::fmt;

/// A GPU architecture that machine code (a cubin) is made for: `sm_80`, `sm_90a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arch {
    /// Major compute capability.
    pub major: u32,
    /// Minor compute capability.
    pub minor: u32,
    /// The suffix `a`: instructions of this one architecture (`wgmma` of `sm_90a`), so its code runs on no other.
    pub specific: bool,
}

/// The architectures that a release binary holds machine code for.
pub const ARCHS: [Arch; 6] = [
    Arch { major: 8, minor: 0, specific: false },
    Arch { major: 8, minor: 6, specific: false },
    Arch { major: 8, minor: 9, specific: false },
    Arch { major: 9, minor: 0, specific: true },
    Arch { major: 10, minor: 0, specific: false },
    Arch { major: 12, minor: 0, specific: false },
];

/// The least compute capability the kernels need (`cp.async`, bf16 `mma.sync`); the PTX is made for it.
pub const LEAST: (u32, u32) = (8, 0);

impl Arch {
    /// The architecture of a GPU with this compute capability, with all of its own instructions.
    pub fn of(capability: (u32, u32)) -> Self {
        Self { major: capability.0, minor: capability.1, specific: capability == (9, 0) }
    }

    /// 80 for `sm_80`, 90 for `sm_90a`: as NVRTC lists what it supports.
    pub fn number(self) -> u32 {
        self.major * 10 + self.minor
    }

    /// Whether its cubins run on a GPU with this compute capability (CUDA C++ Programming Guide, "Binary
    /// Compatibility": the same major and the same or a later minor; architecture-specific code on that one only).
    pub fn runs_on(self, capability: (u32, u32)) -> bool {
        match self.specific {
            true => (self.major, self.minor) == capability,
            false => self.major == capability.0 && self.minor <= capability.1,
        }
    }

    /// Reads `80`, `sm_80`, `90a`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("sm_").unwrap_or(text);
        ARCHS.into_iter().find(|arch| arch.to_string()["sm_".len()..] == *text)
    }

    /// Reads the setting `KD_CUDA_ARCHS`: `all`, `none`, or a list like `80,90a`.
    ///
    /// # Errors
    /// A name that is no architecture of [`ARCHS`].
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        match text.trim() {
            "all" => Ok(ARCHS.to_vec()),
            "none" => Ok(Vec::new()),
            list => {
                let mut archs = Vec::new();
                for name in list.split(',') {
                    let arch = Self::parse(name).ok_or_else(|| {
                        let known = ARCHS.map(|arch| arch.to_string()[3..].to_string()).join(", ");
                        format!(
                            "KD_CUDA_ARCHS={text}: `{}` is no architecture; expected `all`, `none`, or some of {known}",
                            name.trim()
                        )
                    })?;
                    if !archs.contains(&arch) {
                        archs.push(arch);
                    }
                }
                archs.sort();
                Ok(archs)
            }
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}{}{}", self.major, self.minor, if self.specific { "a" } else { "" })
    }
}

/// What one compilation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// PTX for [`LEAST`]: what the simulator runs, and what the driver translates for GPUs without a cubin.
    Ptx,
    /// Machine code.
    Cubin(Arch),
}

impl Target {
    /// The compiler's options. PTX carries source lines, which the simulator's reports name. Cubins do not: there
    /// NVRTC would write down the folder that it ran in.
    pub fn options(self) -> Vec<String> {
        let mut options =
            vec![format!("--gpu-architecture={self}"), "--std=c++17".to_string(), "-default-device".to_string()];
        options.push(match self {
            Self::Ptx => "--generate-line-info".to_string(),
            Self::Cubin(_) => "--ptxas-options=-v".to_string(),
        });
        options
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ptx => write!(f, "compute_{}{}", LEAST.0, LEAST.1),
            Self::Cubin(arch) => arch.fmt(f),
        }
    }
}
