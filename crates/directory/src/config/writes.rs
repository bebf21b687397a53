//! `[connector.writes]`: how fast and how the directory is written.

use super::in_range;
use model::ConfigProblem;

/// How fast and how the directory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WritesConfig {
    /// Writes under way at once; 1 to 4, default 4. Fewer are used while the server answers slowly.
    pub window: u8,
    /// Writes a second in the long run, 0 for no limit; up to 100000, default 100. A transaction counts as one:
    /// what costs the server is the commit.
    pub rate: u32,
    /// Writes that may follow each other at once after a rest; 1 to 100000, default 200.
    pub burst: u32,
    /// Changes in one transaction (RFC 5805) where the server offers them; 1 writes every change by itself, as new
    /// entries always are; 1 to 500, default 100.
    pub transaction: u16,
}

impl Default for WritesConfig {
    fn default() -> Self {
        Self {
            window: 4,
            rate: 100,
            burst: 200,
            transaction: 100,
        }
    }
}

impl WritesConfig {
    pub(super) fn check(&self, problems: &mut Vec<ConfigProblem>) {
        in_range(problems, "writes.window", u64::from(self.window), 1..=4);
        in_range(problems, "writes.rate", u64::from(self.rate), 0..=100_000);
        in_range(problems, "writes.burst", u64::from(self.burst), 1..=100_000);
        in_range(
            problems,
            "writes.transaction",
            u64::from(self.transaction),
            1..=500,
        );
    }
}
