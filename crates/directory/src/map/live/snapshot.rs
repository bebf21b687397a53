//! The replica on disk, with its cookie: a front end that is restarted during an outage still knows the homes.
//!
//! Head, hosts, records, an end mark, a checksum over all of it; a file that is not whole counts for nothing.
//! A record that changes while the file is written may be missing or old in it: the cookie was taken before, so
//! the feed tells of it again. Password stamps are left out.

use super::record::View;
use super::replica::Replica;
use crate::account::Host;
use crate::feed::Cookie;
use model::{EntryUuid, Timestamp};
use parking_lot::RwLock;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

const MAGIC: &[u8; 8] = b"HOMELIVE";
const VERSION: u32 = 2;
/// No record, host or cookie is larger.
const LARGEST: usize = 64 << 20;

/// A digest of the settings that decide what a replica holds.
pub(super) type Scope = [u8; 32];

/// What stands before the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) scope: Scope,
    /// The directory: its suffix entry.
    pub(super) suffix: EntryUuid,
    /// When the replica was last known to be right.
    pub(super) right_at: Timestamp,
    pub(super) cookie: Option<Cookie>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("it is of another version")]
    Version,
    #[error("it was made with other settings")]
    Scope,
}

/// Writes the replica beside the file, makes it durable and puts it in the file's place.
pub(super) fn write(path: &Path, head: &Head, replica: &RwLock<Replica>) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension("new");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    let mut out = Summed::new(BufWriter::with_capacity(1 << 16, file));
    write_all(&mut out, head, replica)?;
    let sum = out.hasher.finalize();
    out.inner.write_all(sum.as_bytes())?;
    let file = out.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

fn write_all(out: &mut impl Write, head: &Head, replica: &RwLock<Replica>) -> io::Result<()> {
    out.write_all(MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&head.scope)?;
    out.write_all(head.suffix.as_bytes())?;
    out.write_all(&head.right_at.as_millis().to_le_bytes())?;
    let cookie = head.cookie.as_ref().map(Cookie::to_stored).unwrap_or_default();
    put(out, &cookie)?;
    let hosts: Vec<Host> = replica
        .read()
        .hosts()
        .iter()
        .map(|known| known.host.clone())
        .collect();
    put(out, &hosts.len().to_le_bytes())?;
    for host in &hosts {
        let values: &[String] = match host {
            Host::None => &[],
            Host::One(value) => std::slice::from_ref(value),
            Host::Several(values) => values,
        };
        put(out, values.join("\0").as_bytes())?;
    }
    // Each piece is copied under the lock and written without it: lookups and the feed go on.
    for number in 0.. {
        let Some(records) = replica.read().piece(number) else {
            break;
        };
        for record in records {
            let known = View::new(&record).and_then(|view| usize::try_from(view.host()).ok());
            // A host that appeared meanwhile: the feed tells of the entry again.
            if known.is_some_and(|host| host < hosts.len()) {
                put(out, &record)?;
            }
        }
    }
    put(out, &[])
}

/// Reads a file into a new replica.
pub(super) fn read(path: &Path, scope: &Scope) -> Result<(Head, Replica), Unusable> {
    let mut from = Summed::new(BufReader::with_capacity(1 << 16, File::open(path)?));
    if array::<8>(&mut from)? != *MAGIC {
        return Err(Unusable::Damaged("it is no snapshot"));
    }
    if u32::from_le_bytes(array(&mut from)?) != VERSION {
        return Err(Unusable::Version);
    }
    if array::<32>(&mut from)? != *scope {
        return Err(Unusable::Scope);
    }
    let suffix = EntryUuid::from_bytes(array(&mut from)?);
    let right_at = Timestamp::from_millis(u64::from_le_bytes(array(&mut from)?));
    let stored = take(&mut from)?;
    let cookie = match stored.as_slice() {
        [] => None,
        stored => Some(Cookie::from_stored(stored).map_err(|_| Unusable::Damaged("the cookie"))?),
    };
    let count = take(&mut from)?.try_into().map(usize::from_le_bytes);
    let count = count.map_err(|_| Unusable::Damaged("the hosts"))?;
    let mut hosts = Vec::new();
    for _ in 0..count {
        let text = String::from_utf8(take(&mut from)?).map_err(|_| Unusable::Damaged("a host"))?;
        hosts.push(host(&text));
    }
    let mut replica = Replica::default();
    loop {
        let record = take(&mut from)?;
        if record.is_empty() {
            break;
        }
        let view = View::new(&record).ok_or(Unusable::Damaged("a record"))?;
        let number = usize::try_from(view.host()).ok();
        let host = number.and_then(|number| hosts.get(number));
        let host = host.ok_or(Unusable::Damaged("a record's host"))?;
        replica.upsert(&view.facts(host.clone()));
        if view.is_held() {
            replica.hold(view.uuid());
        }
    }
    let sum = from.hasher.finalize();
    let mut written = [0; 32];
    from.inner.read_exact(&mut written)?;
    if sum != written {
        return Err(Unusable::Damaged("the checksum does not match"));
    }
    replica.begin_refresh();
    let head = Head {
        scope: *scope,
        suffix,
        right_at,
        cookie,
    };
    Ok((head, replica))
}

fn host(text: &str) -> Host {
    if text.is_empty() {
        Host::None
    } else if text.contains('\0') {
        Host::Several(text.split('\0').map(str::to_owned).collect())
    } else {
        Host::One(text.to_owned())
    }
}

fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(bytes)
}

fn take(from: &mut impl Read) -> Result<Vec<u8>, Unusable> {
    let length = usize::try_from(u32::from_le_bytes(array(from)?)).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(Unusable::Damaged("a length"));
    }
    let mut bytes = Vec::new();
    // Grows as bytes arrive: a damaged length costs nothing.
    let got = from
        .take(u64::try_from(length).unwrap_or(0))
        .read_to_end(&mut bytes)?;
    if got < length {
        return Err(Unusable::Damaged("it ends too early"));
    }
    Ok(bytes)
}

fn array<const N: usize>(from: &mut impl Read) -> Result<[u8; N], Unusable> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Adds up what passes.
struct Summed<T> {
    inner: T,
    hasher: blake3::Hasher,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
        }
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(bytes)?;
        self.hasher.update(bytes.get(..got).unwrap_or_default());
        Ok(got)
    }
}
