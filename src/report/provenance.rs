//! The record of how a run was made: what a referee needs to repeat it.

use serde::Serialize;

/// Version, machine and settings of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord {
    /// Version of this crate.
    pub version: &'static str,
    /// Arguments as given, without the program's name.
    pub arguments: Vec<String>,
    /// Seed of all random streams; null where nothing is random.
    pub seed: Option<u64>,
    /// Generator of all random numbers.
    pub generator: &'static str,
    /// Worker threads; results do not depend on them.
    pub threads: usize,
    /// Operating system and processor family.
    pub platform: String,
    /// Vector instructions found at run time; last bits may differ between them.
    pub instructions: &'static str,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl RunRecord {
    /// Describes the present process.
    #[must_use]
    pub fn new(seed: impl Into<Option<u64>>, seconds: f64) -> Self {
        RunRecord {
            version: env!("CARGO_PKG_VERSION"),
            arguments: std::env::args().skip(1).collect(),
            seed: seed.into(),
            generator: "ChaCha8, one stream per purpose and neuron",
            threads: rayon::current_num_threads(),
            platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
            instructions: instructions(),
            seconds,
        }
    }
}

fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "baseline"
}
