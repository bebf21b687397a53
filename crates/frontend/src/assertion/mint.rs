//! Writing tokens.

use super::{AHEAD, BACK, CONTENT, Claims, KeyError, KeyRing};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Address, Clock, Peer, Protocol, Secret};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked which key signs.
const REFRESH: Duration = Duration::from_secs(2);

/// Why no token could be written.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It could not be signed.
    #[error("cannot sign: {0}")]
    Sign(String),
}

/// Signs for one front end.
pub struct Minter {
    ring: KeyRing,
    front_end: String,
    clock: Arc<dyn Clock>,
    loaded: Mutex<Option<Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    kid: String,
    key: EncodingKey,
    looked: Duration,
}

impl Minter {
    /// Signs as the front end of this name (its `server_name`) with the active key of `ring`.
    #[must_use]
    pub fn new(ring: KeyRing, front_end: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            ring,
            front_end: front_end.to_owned(),
            clock,
            loaded: Mutex::new(None),
        }
    }

    /// A token by which `address` may log in once at `home` in this protocol within the next minute.
    pub fn mint(
        &self,
        address: &Address,
        home: &str,
        protocol: Protocol,
        peer: &Peer,
        session: &str,
    ) -> Result<Secret, MintError> {
        let loaded = self.key()?;
        let now = self.clock.now().as_secs();
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|error| MintError::Sign(error.to_string()))?;
        let claims = Claims {
            iss: self.front_end.clone(),
            sub: address.to_string(),
            aud: home.to_owned(),
            azp: self.front_end.clone(),
            nbf: now.saturating_sub(BACK),
            iat: now.saturating_sub(BACK),
            exp: now.saturating_add(AHEAD),
            jti: format!("{:032x}", u128::from_be_bytes(random)),
            sid: session.to_owned(),
            client: peer.client.to_string(),
            service: Some(protocol.to_string()),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.cty = Some(CONTENT.to_owned());
        header.kid = Some(loaded.kid);
        let token = jsonwebtoken::encode(&header, &claims, &loaded.key);
        token
            .map(Secret::from)
            .map_err(|error| MintError::Sign(error.to_string()))
    }

    fn key(&self) -> Result<Loaded, MintError> {
        let now = self.clock.monotonic();
        let mut slot = self.loaded.lock();
        if let Some(loaded) = slot.as_ref().filter(|loaded| now < loaded.looked + REFRESH) {
            return Ok(loaded.clone());
        }
        let (kid, pem) = self.ring.active()?;
        let key =
            EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|error| MintError::Sign(error.to_string()))?;
        let loaded = Loaded {
            kid,
            key,
            looked: now,
        };
        *slot = Some(loaded.clone());
        Ok(loaded)
    }
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Minter")
            .field("front_end", &self.front_end)
            .finish_non_exhaustive()
    }
}
