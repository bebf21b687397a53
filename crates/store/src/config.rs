//! The `[store]` section of the configuration.

use model::{ByteSize, ConfigProblem};

/// How mail and accounts are kept on disk.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The engine under the store: `embedded` keeps everything in `data_dir`; `memory` keeps nothing after a
    /// stop and is for trials. Default `embedded`.
    pub engine: EngineKind,
    /// Memory of the embedded engine, at least 1 MiB: one half for blocks that were read, the other for rows that wait to
    /// be written out (at most 192 MiB; what is more goes to the blocks). Default 64 MiB.
    pub cache: ByteSize,
    /// When less than this is free on the disk of `data_dir`, new mail is refused with a temporary error;
    /// reading and removing go on. 0 switches the check off. Default 256 MiB.
    pub free_space_reserve: ByteSize,
}

/// Which engine keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// A log-structured tree in the data folder.
    Embedded,
    /// Memory only.
    Memory,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            engine: EngineKind::Embedded,
            cache: ByteSize(64 << 20),
            free_space_reserve: ByteSize(256 << 20),
        }
    }
}

impl StoreConfig {
    /// Checks what the types cannot.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if self.cache.0 < 1 << 20 {
            problems.push(ConfigProblem::new(
                "cache",
                "the cache must be at least 1 MiB; write for example \"64 MiB\"",
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_cache_is_named() {
        let config = StoreConfig {
            cache: ByteSize(5),
            ..StoreConfig::default()
        };
        assert_eq!(config.check().first().map(|p| p.key.as_str()), Some("cache"));
        assert!(StoreConfig::default().check().is_empty());
    }
}
