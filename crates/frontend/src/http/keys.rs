//! The keys that front ends share: they seal the cookie of a login and sign the tokens of forms.
//!
//! A file of lines, each a key in base64. The first one seals, all of them open, so that a key can be replaced
//! without anybody having to log in again.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use model::{Clock, Secret, Timestamp};
use parking_lot::Mutex;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wire::sasl::{decode_base64, encode_base64};

/// How long a front end's word to another one is good.
const PASS: Duration = Duration::from_secs(300);
/// How often the file is read again.
const REFRESH: Duration = Duration::from_secs(2);
/// Octets of a key.
const LENGTH: usize = 32;
/// Keys in a file; a rotation keeps fewer.
const MAX_KEYS: usize = 16;
const KEPT: usize = 3;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct SessionKeyError {
    path: PathBuf,
    cause: String,
}

/// The keys of a file, read again when it changes.
pub struct SessionKeys {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    looked: Duration,
    keys: Arc<[Key]>,
}

struct Key {
    seal: LessSafeKey,
    sign: hmac::Key,
}

impl SessionKeys {
    /// Reads the keys.
    pub fn load(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, SessionKeyError> {
        let keys = read(path)?.into();
        let looked = clock.monotonic();
        Ok(Self {
            path: path.to_owned(),
            clock,
            loaded: Mutex::new(Loaded { looked, keys }),
        })
    }

    /// Makes the file with one key where there is none. Nobody else may read it.
    pub fn ensure(path: &Path) -> Result<(), SessionKeyError> {
        match path.exists() {
            true => Ok(()),
            false => write(path, &[fresh(path)?]),
        }
    }

    /// Puts a new key first. The newest of the others go on opening what they have sealed.
    pub fn rotate(path: &Path) -> Result<(), SessionKeyError> {
        let mut lines = vec![fresh(path)?];
        if path.exists() {
            read(path)?;
            let text = std::fs::read_to_string(path).map_err(|error| fault(path, &error))?;
            let old = text.lines().map(str::trim).filter(|line| is_key(line));
            lines.extend(old.take(KEPT - 1).map(str::to_owned));
        }
        write(path, &lines)
    }

    /// Seals a text; `purpose` has to be the same when it is opened.
    pub(super) fn seal(&self, purpose: &[u8], text: &Secret) -> Option<String> {
        let keys = self.keys();
        let key = keys.first()?;
        let nonce: [u8; NONCE_LEN] = net::fresh_random().ok()?;
        let mut sealed = text.expose().to_vec();
        key.seal
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose),
                &mut sealed,
            )
            .ok()?;
        Some(encode_base64(&[&nonce[..], &sealed].concat()))
    }

    /// Opens what any front end with these keys has sealed; none for anything else.
    pub(super) fn open(&self, purpose: &[u8], sealed: &str) -> Option<Secret> {
        let bytes = decode_base64(sealed.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.expose().split_at_checked(NONCE_LEN)?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let open = |key: &Key| {
            let mut text = zeroize::Zeroizing::new(sealed.to_vec());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let plain = key
                .seal
                .open_in_place(nonce, Aad::from(purpose), &mut text)
                .ok()?;
            Some(Secret::new(&*plain))
        };
        self.keys().iter().find_map(open)
    }

    /// What a front end shows another one to be listened to, for a few minutes: `EXPIRY.SIGNATURE`.
    pub(super) fn pass(&self, now: Timestamp) -> String {
        let expires = now.after(PASS).as_secs();
        format!("{expires}.{}", self.sign(pass_text(expires).as_bytes()))
    }

    /// Whether any front end with these keys has made it a moment ago.
    pub(super) fn is_pass(&self, pass: &str, now: Timestamp) -> bool {
        let Some((expires, signature)) = pass.split_once('.') else {
            return false;
        };
        let Ok(expires) = expires.parse::<u64>() else {
            return false;
        };
        // Clocks may differ a little.
        let until = now.after(PASS * 2).as_secs();
        now.as_secs() < expires && expires < until && self.is_signed(pass_text(expires).as_bytes(), signature)
    }

    /// Signs a text.
    pub(super) fn sign(&self, text: &[u8]) -> String {
        let keys = self.keys();
        let signed = keys.first().map(|key| hmac::sign(&key.sign, text));
        encode_base64(signed.as_ref().map_or(&[], |tag| tag.as_ref()))
    }

    /// Whether any front end with these keys has signed it. Takes the same time for every wrong signature.
    pub(super) fn is_signed(&self, text: &[u8], signature: &str) -> bool {
        let Ok(tag) = decode_base64(signature.as_bytes()) else {
            return false;
        };
        let keys = self.keys();
        keys.iter()
            .any(|key| hmac::verify(&key.sign, text, tag.expose()).is_ok())
    }

    fn keys(&self) -> Arc<[Key]> {
        let now = self.clock.monotonic();
        let mut loaded = self.loaded.lock();
        if now >= loaded.looked + REFRESH {
            loaded.looked = now;
            match read(&self.path) {
                Ok(keys) => loaded.keys = keys.into(),
                // A file that is being replaced: what is known stays good for the moment.
                Err(error) => tracing::error!(%error, "the session keys cannot be read"),
            }
        }
        Arc::clone(&loaded.keys)
    }
}

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionKeys")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn fault(path: &Path, cause: &dyn std::fmt::Display) -> SessionKeyError {
    SessionKeyError {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

fn pass_text(expires: u64) -> String {
    format!("front end {expires}")
}

fn is_key(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

fn fresh(path: &Path) -> Result<String, SessionKeyError> {
    let random: [u8; LENGTH] = net::fresh_random().map_err(|error| fault(path, &error))?;
    Ok(encode_base64(&random))
}

fn read(path: &Path) -> Result<Vec<Key>, SessionKeyError> {
    let failed = |error: io::Error| fault(path, &error);
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(fault(path, &"everybody may read these keys; chmod 600 it"));
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    let lines = text.lines().map(str::trim).filter(|line| is_key(line));
    let keys: Option<Vec<Key>> = lines.take(MAX_KEYS + 1).map(parse).collect();
    match keys {
        Some(keys) if (1..=MAX_KEYS).contains(&keys.len()) => Ok(keys),
        _ => {
            let text = format!(
                "1 to {MAX_KEYS} lines are expected, each with {LENGTH} octets in base64 (homing cluster session-key)"
            );
            Err(fault(path, &text))
        }
    }
}

/// One key for each use, so that nothing made for one is good for the other (RFC 5869 section 2.3, one block).
fn parse(line: &str) -> Option<Key> {
    let root = decode_base64(line.as_bytes()).ok()?;
    if root.expose().len() != LENGTH {
        return None;
    }
    let root = hmac::Key::new(hmac::HMAC_SHA256, root.expose());
    let derive = |label: &[u8]| hmac::sign(&root, &[label, b"\x01"].concat());
    let unbound = UnboundKey::new(&AES_256_GCM, derive(b"homing http seal").as_ref()).ok()?;
    Some(Key {
        seal: LessSafeKey::new(unbound),
        sign: hmac::Key::new(hmac::HMAC_SHA256, derive(b"homing http sign").as_ref()),
    })
}

/// Whole or not at all, and never readable by others.
fn write(path: &Path, lines: &[String]) -> Result<(), SessionKeyError> {
    let draft = path.with_extension("new");
    let written = (|| {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.sync_all()?;
        std::fs::rename(&draft, path)
    })();
    written.map_err(|error: io::Error| fault(path, &error))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use model::ManualClock;

    /// Keys in a scratch folder, which has to outlive them.
    pub(in crate::http) fn scratch() -> (tempfile::TempDir, Arc<ManualClock>, SessionKeys) {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("sub/session.keys");
        SessionKeys::ensure(&path).expect("made");
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000_000_000_000)));
        let keys = SessionKeys::load(&path, clock.clone()).expect("read");
        (dir, clock, keys)
    }

    #[test]
    fn what_one_front_end_sealed_another_opens_until_the_key_is_gone() {
        let (_dir, clock, one) = scratch();
        let path = one.path.clone();
        let two = SessionKeys::load(&path, clock.clone()).expect("read");
        let text = Secret::from("alice");
        let sealed = one.seal(b"a", &text).expect("sealed");
        let signed = one.sign(b"x");
        assert_ne!(
            one.seal(b"a", &text),
            one.seal(b"a", &text),
            "never the same twice"
        );
        assert_eq!(two.open(b"a", &sealed).expect("opened").expose(), b"alice");
        assert!(two.open(b"b", &sealed).is_none(), "for another purpose");
        assert!(two.is_signed(b"x", &signed) && !two.is_signed(b"y", &signed));
        for rotation in 0..KEPT {
            assert!(two.open(b"a", &sealed).is_some(), "{rotation}");
            SessionKeys::rotate(&path).expect("rotated");
            clock.advance(REFRESH);
        }
        assert!(two.open(b"a", &sealed).is_none() && !two.is_signed(b"x", &signed));
    }

    #[test]
    fn a_pass_is_good_for_minutes_and_cannot_be_made_without_the_keys() {
        let (_dir, clock, keys) = scratch();
        let (_other_dir, _, others) = scratch();
        let made = clock.now();
        let pass = keys.pass(made);
        assert!(keys.is_pass(&pass, made) && !others.is_pass(&pass, made));
        assert!(keys.is_pass(&pass, made.after(PASS - Duration::from_secs(1))));
        assert!(!keys.is_pass(&pass, made.after(PASS)));
        let (_, signature) = pass.split_once('.').expect("two parts");
        let later = made.after(PASS).as_secs() + 1;
        for bad in ["", ".", "x.y", signature, &format!("{later}.{signature}")] {
            assert!(!keys.is_pass(bad, made), "{bad:?}");
        }
    }

    #[test]
    fn nothing_that_was_touched_opens() {
        let (_dir, _, keys) = scratch();
        let sealed = keys.seal(b"a", &"alice".into()).expect("sealed");
        let bytes = decode_base64(sealed.as_bytes()).expect("base64");
        for at in 0..bytes.expose().len() {
            let mut touched = bytes.expose().to_vec();
            touched[at] ^= 1;
            assert!(keys.open(b"a", &encode_base64(&touched)).is_none(), "{at}");
            assert!(keys.open(b"a", &encode_base64(&touched[..at])).is_none(), "{at}");
        }
        for bad in ["", "%", "AAAA", "\u{e9}"] {
            assert!(keys.open(b"a", bad).is_none() && !keys.is_signed(b"a", bad));
        }
    }

    #[test]
    fn a_file_that_everybody_can_read_or_that_holds_no_key_is_refused() {
        let (_dir, clock, keys) = scratch();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        assert_eq!(
            std::fs::metadata(&keys.path).expect("there").permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&keys.path, mode(0o644)).expect("chmod");
        assert!(SessionKeys::load(&keys.path, clock.clone()).is_err());
        std::fs::set_permissions(&keys.path, mode(0o600)).expect("chmod");
        for text in ["", "# nothing\n", "AAAA\n", "no base64\n"] {
            std::fs::write(&keys.path, text).expect("written");
            assert!(SessionKeys::load(&keys.path, clock.clone()).is_err(), "{text:?}");
            // A running server goes on with what it knows.
            clock.advance(REFRESH);
            assert!(keys.seal(b"a", &"x".into()).is_some());
        }
    }
}
