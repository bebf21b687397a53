//! The issuer's keys (RFC 7517): from a file or a URL, kept, fetched again in time and when a token names a key that
//! is not among them.

use super::http::HttpClient;
use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use model::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// More keys than this are nobody's.
const MAX_KEYS: usize = 256;

/// Where they come from.
pub(super) enum Source {
    File(PathBuf),
    Url(Url, HttpClient),
}

struct Held {
    keys: JwkSet,
    at: Duration,
}

/// The keys as they were read last.
pub(super) struct Keys {
    source: Source,
    refresh: Duration,
    /// Between two fetches.
    pause: Duration,
    clock: Arc<dyn Clock>,
    held: ArcSwapOption<Held>,
    /// When they were last asked for, good or not; whoever holds it is asking.
    asked: Mutex<Option<Duration>>,
}

/// What is known about the key of a token.
pub(super) enum Found {
    /// This is the one.
    Key(Box<Jwk>),
    /// The issuer has no such key.
    Unknown,
    /// Nobody can say now.
    Unavailable(String),
}

impl Keys {
    pub(super) fn new(source: Source, refresh: Duration, pause: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            refresh,
            pause,
            clock,
            held: ArcSwapOption::empty(),
            asked: Mutex::new(None),
        }
    }

    /// The key that a token names; without a name, the only one there is.
    pub(super) async fn find(&self, kid: Option<&str>) -> Found {
        let now = self.clock.monotonic();
        let held = self.held.load_full();
        let young = held
            .as_ref()
            .is_some_and(|held| now.saturating_sub(held.at) < self.refresh);
        if young && let Some(key) = held.as_deref().and_then(|held| pick(&held.keys, kid)) {
            return Found::Key(Box::new(key));
        }
        let fetched = self.fetch(now).await;
        let held = self.held.load_full();
        match (held.as_deref().and_then(|held| pick(&held.keys, kid)), fetched) {
            // Keys that were good stay good while the issuer does not answer.
            (Some(key), _) => Found::Key(Box::new(key)),
            (None, Ok(())) => Found::Unknown,
            (None, Err(why)) => Found::Unavailable(why),
        }
    }

    /// Asks, unless somebody has just done so. An error means that what is held may be out of date.
    async fn fetch(&self, seen: Duration) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        let now = self.clock.monotonic();
        if let Some(last) = *asked
            && now.saturating_sub(last) < self.pause
        {
            let held_at = self.held.load().as_ref().map(|held| held.at);
            // What was read before this token came says nothing about a key that the issuer may just have taken.
            return match held_at {
                Some(at) if at >= seen => Ok(()),
                _ => Err(
                    "the issuer's keys were asked for a moment ago and are not asked for again yet"
                        .to_owned(),
                ),
            };
        }
        *asked = Some(now);
        match self.read().await {
            Ok(keys) => {
                tracing::info!(keys = keys.keys.len(), "the issuer's keys were read");
                self.held.store(Some(Arc::new(Held { keys, at: now })));
                Ok(())
            }
            Err(why) => {
                tracing::error!(%why, "the issuer's keys cannot be read");
                Err(why)
            }
        }
    }

    async fn read(&self) -> Result<JwkSet, String> {
        let text = match &self.source {
            Source::File(path) => tokio::fs::read(path)
                .await
                .map_err(|error| format!("{}: {error}", path.display()))?
                .into(),
            Source::Url(url, http) => http.fetch(url, None).await?,
        };
        parse(&text)
    }
}

/// RFC 7517 section 5: a key that is not understood does not spoil the others.
fn parse(text: &[u8]) -> Result<JwkSet, String> {
    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("the keys are not JSON: {error}"))?;
    let list = value
        .get("keys")
        .and_then(serde_json::Value::as_array)
        .ok_or("there is no list of keys")?;
    let keys: Vec<Jwk> = list
        .iter()
        .take(MAX_KEYS)
        .filter_map(|key| serde_json::from_value(key.clone()).ok())
        .filter(|key: &Jwk| {
            // RFC 7517 section 4.2: a key for encryption signs nothing.
            !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))
        })
        .collect();
    if keys.is_empty() {
        return Err("there is no key that could verify a signature".to_owned());
    }
    Ok(JwkSet { keys })
}

fn pick(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys.keys.as_slice()) {
        (Some(kid), all) => all
            .iter()
            .find(|key| key.common.key_id.as_deref() == Some(kid))
            .cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
