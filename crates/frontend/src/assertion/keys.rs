//! The keys of this front end, one file each, readable by nobody else.

use super::PublicKey;
use model::Timestamp;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file that names the key in use.
const ACTIVE: &str = "active";
/// The public halves, for this server's own home.
const PUBLIC: &str = "public.jwks";
const SUFFIX: &str = ".pem";

/// A folder of keys.
#[derive(Debug, Clone)]
pub struct KeyRing {
    folder: PathBuf,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// Signs now.
    Active,
    /// Made after the active one: to be shown to the homes, then rotated to.
    Next,
    /// Signed before the active one: homes may forget it.
    Retired,
}

impl KeyState {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Next => "next",
            Self::Retired => "retired",
        }
    }
}

/// One line of the list of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name (`kid`); names sort by age.
    pub kid: String,
    /// What it is good for.
    pub state: KeyState,
}

/// Why something cannot be done with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a file in it cannot be used.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A file holds no key.
    #[error("{0} is not a private key for ES256")]
    NotAKey(PathBuf),
    /// There is no key yet.
    #[error("there is no key yet; run homing cluster key generate")]
    None,
    /// There is nothing to rotate to.
    #[error(
        "there is no key newer than the active one; run homing cluster key generate, show it to the homes, then rotate"
    )]
    NothingNewer,
    /// No key could be made.
    #[error("cannot make a key: {0}")]
    Make(String),
}

impl KeyRing {
    /// The keys in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Makes a key. The first one signs at once; a later one waits for [`KeyRing::rotate`].
    pub fn generate(&self, now: Timestamp) -> Result<KeyInfo, KeyError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|cause| file(&self.folder, cause))?;
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|error| KeyError::Make(error.to_string()))?;
        let random = getrandom::u32().map_err(|error| KeyError::Make(error.to_string()))?;
        let kid = format!("{:010x}-{random:08x}", now.as_secs());
        self.write(&format!("{kid}{SUFFIX}"), pair.serialize_pem().as_bytes())?;
        let first = self.active_name()?.is_none();
        if first {
            self.write(ACTIVE, kid.as_bytes())?;
        }
        let state = if first { KeyState::Active } else { KeyState::Next };
        self.publish()?;
        Ok(KeyInfo { kid, state })
    }

    /// Makes the first key where there is none, so that the home in this process can be entered.
    pub fn ensure(&self, now: Timestamp) -> Result<(), KeyError> {
        match self.active_name()? {
            Some(_) => self.publish(),
            None => self.generate(now).map(drop),
        }
    }

    /// The file with the public halves, as a JWK set.
    #[must_use]
    pub fn public_file(&self) -> PathBuf {
        self.folder.join(PUBLIC)
    }

    fn publish(&self) -> Result<(), KeyError> {
        let set = super::jwks(&self.public_keys()?);
        self.write(PUBLIC, set.to_string().as_bytes())
    }

    /// Every key, the oldest first.
    pub fn list(&self) -> Result<Vec<KeyInfo>, KeyError> {
        let active = self.active_name()?;
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(cause) => return Err(file(&self.folder, cause)),
        };
        for entry in entries {
            let name = entry.map_err(|cause| file(&self.folder, cause))?.file_name();
            let Some(kid) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else {
                continue;
            };
            let state = match active.as_deref() {
                Some(active) if active == kid => KeyState::Active,
                Some(active) if active > kid => KeyState::Retired,
                _ => KeyState::Next,
            };
            names.push(KeyInfo {
                kid: kid.to_owned(),
                state,
            });
        }
        names.sort_by(|a, b| a.kid.cmp(&b.kid));
        Ok(names)
    }

    /// Signs with the newest key from now on. The one before it is kept for homes that are slow to learn; older
    /// ones are removed.
    pub fn rotate(&self) -> Result<KeyInfo, KeyError> {
        let keys = self.list()?;
        let newest = keys.last().filter(|key| key.state == KeyState::Next);
        let newest = newest.ok_or(if keys.is_empty() {
            KeyError::None
        } else {
            KeyError::NothingNewer
        })?;
        self.write(ACTIVE, newest.kid.as_bytes())?;
        for old in keys.iter().filter(|key| key.state == KeyState::Retired) {
            let path = self.path_of(&old.kid);
            fs::remove_file(&path).map_err(|cause| file(&path, cause))?;
        }
        self.publish()?;
        Ok(KeyInfo {
            kid: newest.kid.clone(),
            state: KeyState::Active,
        })
    }

    /// The public half of every key that is, or will be, of use.
    pub fn public_keys(&self) -> Result<Vec<PublicKey>, KeyError> {
        let keys = self.list()?;
        let pair = |info: KeyInfo| Ok(PublicKey::of(info.kid.clone(), &self.pair(&info.kid)?));
        keys.into_iter().map(pair).collect()
    }

    /// The key that signs: its name, and its PEM text.
    pub(super) fn active(&self) -> Result<(String, String), KeyError> {
        let kid = self.active_name()?.ok_or(KeyError::None)?;
        let path = self.path_of(&kid);
        let pem = fs::read_to_string(&path).map_err(|cause| file(&path, cause))?;
        Ok((kid, pem))
    }

    fn pair(&self, kid: &str) -> Result<KeyPair, KeyError> {
        let path = self.path_of(kid);
        let pem = fs::read_to_string(&path).map_err(|cause| file(&path, cause))?;
        KeyPair::from_pem(&pem)
            .ok()
            .filter(|pair| pair.algorithm() == &PKCS_ECDSA_P256_SHA256)
            .ok_or(KeyError::NotAKey(path))
    }

    fn active_name(&self) -> Result<Option<String>, KeyError> {
        let path = self.folder.join(ACTIVE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|kid| is_kid(kid))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(file(&path, cause)),
        }
    }

    fn path_of(&self, kid: &str) -> PathBuf {
        self.folder.join(format!("{kid}{SUFFIX}"))
    }

    /// Whole or not at all, and never readable by others, not even for a moment.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let (path, draft) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let written = (|| {
            let mut out = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            out.write_all(bytes)?;
            out.sync_all()?;
            fs::rename(&draft, &path)
        })();
        written.map_err(|cause| file(&path, cause))
    }
}

/// Whether a text can be the name of a key: it becomes a file name.
pub(super) fn is_kid(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

fn file(path: &Path, cause: io::Error) -> KeyError {
    KeyError::File {
        path: path.to_owned(),
        cause,
    }
}
