//! `challenge_response`: what the password values of a directory can be asked without the password.

/// A mechanism that never shows the password, and needs more of the directory than a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum ChallengeMechanism {
    /// Clear text, or keys as `{SCRAM-SHA-256}` or RFC 5803 have them.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Clear text, or keys as `{SCRAM-SHA-1}` or RFC 5803 have them.
    #[serde(rename = "SCRAM-SHA-1")]
    ScramSha1,
    /// Clear text only. Old clients; SCRAM is better in every way.
    #[serde(rename = "CRAM-MD5")]
    CramMd5,
}
