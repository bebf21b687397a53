//! `[oauth]`: whose tokens log in.

use model::{ConfigProblem, Secret};
use std::path::PathBuf;

/// Whose OAuth 2.0 tokens log in (OAUTHBEARER, XOAUTH2). Set exactly one of `jwks_file`, `jwks_url` and
/// `introspection_url`.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OauthConfig {
    /// The `iss` that tokens must bear, to the letter. Required with `jwks_file` and `jwks_url`.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The `aud` that tokens must bear; one of them is enough. Required with `jwks_file` and `jwks_url`, or a token
    /// that was issued for another service would log in here.
    #[serde(default)]
    pub audience: Vec<String>,
    /// File with the issuer's keys (RFC 7517); read again when a token names a key that is not there.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Where the issuer publishes its keys: `https://` (`http://` on loopback only).
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Seconds after which the keys are fetched again; 60 to 604800, default 3600. A token with an unknown key has
    /// them fetched at once, at most every `jwks_pause`. While the issuer does not answer, the known ones stay good.
    #[serde(default = "default_refresh")]
    pub jwks_refresh: u64,
    /// Seconds between two fetches, whatever keys tokens name, good or not; 1 to 3600, default 30. Who has a token
    /// with a new key hears "try later" for so long.
    #[serde(default = "default_pause")]
    pub jwks_pause: u64,
    /// Where the issuer is asked about each token (RFC 7662), for tokens that are not JWTs: `https://` (`http://` on
    /// loopback only).
    #[serde(default)]
    pub introspection_url: Option<String>,
    /// Our name at the introspection endpoint.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Our password there. Prefer `client_secret_file`.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// A file that holds it; a newline at the end is ignored.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// Signature algorithms that are accepted: `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`,
    /// `EdDSA`. Default `["RS256", "ES256"]`.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<TokenAlgorithm>,
    /// Scopes that a token must have, all of them. Default: none.
    #[serde(default)]
    pub required_scope: Vec<String>,
    /// The claims that may name the account, in order; the first that is there counts. Default `["email", "sub"]`, and
    /// `username` before `sub` with introspection. An `email` that the issuer says is not verified logs nobody in. Name
    /// `preferred_username` only where the issuer does not let people choose it.
    #[serde(default)]
    pub account_claim: Vec<String>,
    /// Seconds by which the issuer's clock may differ from ours; 0 to 600, default 30.
    #[serde(default = "default_leeway")]
    pub clock_leeway: u64,
    /// Seconds that the issuer may take to answer; 1 to 60, default 5.
    #[serde(default = "default_timeout")]
    pub timeout: u64,
    /// PEM file with the authorities to trust for the issuer's certificate. Default: the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Where clients learn how to get a token; told to those whose token is refused (RFC 7628 section 3.2.2).
    #[serde(default)]
    pub openid_configuration: Option<String>,
}

/// A signature algorithm of RFC 7518 section 3.1 and RFC 8037. Those with a shared secret are not among them: what
/// verifies must not be able to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum TokenAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA with P-384 and SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

fn default_refresh() -> u64 {
    3600
}
fn default_pause() -> u64 {
    30
}
fn default_algorithms() -> Vec<TokenAlgorithm> {
    vec![TokenAlgorithm::Rs256, TokenAlgorithm::Es256]
}
fn default_leeway() -> u64 {
    30
}
fn default_timeout() -> u64 {
    5
}

impl OauthConfig {
    /// The claims that name the account.
    #[must_use]
    pub fn account_claims(&self) -> Vec<&str> {
        match (self.account_claim.as_slice(), &self.introspection_url) {
            // At some issuers people choose their own preferred_username: whoever trusts it says so.
            ([], None) => vec!["email", "sub"],
            ([], Some(_)) => vec!["email", "username", "sub"],
            (named, _) => named.iter().map(String::as_str).collect(),
        }
    }

    /// Everything wrong with the section; keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        let mut bad = |key: &str, message: String| problems.push(ConfigProblem::new(key, message));
        let sources = [
            self.jwks_file.is_some(),
            self.jwks_url.is_some(),
            self.introspection_url.is_some(),
        ];
        if sources.into_iter().filter(|set| *set).count() != 1 {
            bad(
                "jwks_url",
                "set exactly one of jwks_file, jwks_url and introspection_url".to_owned(),
            );
        }
        if self.introspection_url.is_none() {
            if self.issuer.is_none() {
                bad("issuer", "whose tokens? the issuer is missing".to_owned());
            }
            if self.audience.is_empty() {
                let message = "without an audience a token for any other service would log in here";
                bad("audience", message.to_owned());
            }
            if self.algorithms.is_empty() {
                bad("algorithms", "no signature would be good".to_owned());
            }
        } else if self.client_id.is_none()
            || (self.client_secret.is_none() && self.client_secret_file.is_none())
        {
            let message = "introspection needs client_id and client_secret_file (RFC 7662 section 2.1)";
            bad("client_id", message.to_owned());
        }
        if self.client_secret.is_some() && self.client_secret_file.is_some() {
            bad(
                "client_secret",
                "set client_secret or client_secret_file, not both".to_owned(),
            );
        }
        for (key, url) in [
            ("jwks_url", &self.jwks_url),
            ("introspection_url", &self.introspection_url),
        ] {
            if let Some(problem) = url
                .as_deref()
                .and_then(|url| crate::auth::check_issuer_url(url).err())
            {
                bad(key, problem);
            }
        }
        for (key, value, range) in [
            ("jwks_refresh", self.jwks_refresh, 60..=604_800),
            ("jwks_pause", self.jwks_pause, 1..=3600),
            ("clock_leeway", self.clock_leeway, 0..=600),
            ("timeout", self.timeout, 1..=60),
        ] {
            if !range.contains(&value) {
                let message = format!("{value} is not between {} and {}", range.start(), range.end());
                bad(key, message);
            }
        }
        problems
    }
}
