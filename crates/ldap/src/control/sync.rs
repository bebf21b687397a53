//! Content Synchronisation (RFC 4533): the controls, and the message between entries.

use bytes::Bytes;
use model::EntryUuid;

use super::{Control, decode_sequence, encode_value, find_value};
use crate::Text;
use crate::ber::{DecodeError, Reader, Tag, Writer};
use crate::message::Intermediate;

const NEW_COOKIE: Tag = Tag::context(0);
const REFRESH_DELETE: Tag = Tag::context_constructed(1);
const REFRESH_PRESENT: Tag = Tag::context_constructed(2);
const SYNC_ID_SET: Tag = Tag::context_constructed(3);

/// What a syncUUID takes, with its header.
const SMALLEST_UUID: usize = 18;

/// Asks a search to report changes (RFC 4533 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// Whether the search stays open after the refresh.
    pub mode: SyncMode,
    /// Where the client stands; none asks for everything.
    pub cookie: Option<Bytes>,
    /// Whether a cookie that is of no use means a full refresh rather than `SyncRefreshRequired`.
    pub reload_hint: bool,
}

/// Whether the search stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Report what changed, then end.
    RefreshOnly,
    /// Report what changed, then go on reporting.
    RefreshAndPersist,
}

/// On every entry and reference: what happened to it (RFC 4533 section 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncState {
    /// What happened.
    pub kind: SyncStateKind,
    /// Which entry, for good.
    pub uuid: EntryUuid,
    /// Where the client stands once it has this entry.
    pub cookie: Option<Bytes>,
}

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncStateKind {
    /// It is unchanged.
    Present,
    /// It is new to the client, or reported by a refresh.
    Add,
    /// It changed.
    Modify,
    /// It left the content of the search.
    Delete,
}

/// At the end of a refresh (RFC 4533 section 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncDone {
    /// Where the client stands now.
    pub cookie: Option<Bytes>,
    /// True after a delete phase; false after a present phase, which means that what was not named is gone.
    pub refresh_deletes: bool,
}

/// Between the entries (RFC 4533 section 2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncInfo {
    /// Where the client stands now.
    NewCookie(Bytes),
    /// The end of a delete phase.
    RefreshDelete {
        /// Where the client stands now.
        cookie: Option<Bytes>,
        /// Whether the refresh as a whole is done.
        refresh_done: bool,
    },
    /// The end of a present phase.
    RefreshPresent {
        /// Where the client stands now.
        cookie: Option<Bytes>,
        /// Whether the refresh as a whole is done.
        refresh_done: bool,
    },
    /// Many entries at once.
    IdSet {
        /// Where the client stands now.
        cookie: Option<Bytes>,
        /// True: these are gone. False: these are still there, unchanged.
        refresh_deletes: bool,
        /// Which entries.
        uuids: Vec<EntryUuid>,
    },
}

impl SyncRequest {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.4.1.4203.1.9.1.1";

    /// The control, critical: without it the search would be a plain one.
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::encoded(Self::OID, |writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                writer.integer(
                    Tag::ENUMERATED,
                    match self.mode {
                        SyncMode::RefreshOnly => 1,
                        SyncMode::RefreshAndPersist => 3,
                    },
                );
                write_cookie(self.cookie.as_ref(), writer);
                if self.reload_hint {
                    writer.boolean(Tag::BOOLEAN, true);
                }
            });
        })
        .critical()
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, Self::OID)?.map(Self::decode).transpose()
    }

    /// Reads the control's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[], |reader| {
            let mode = match reader.integer(Tag::ENUMERATED)? {
                1 => SyncMode::RefreshOnly,
                3 => SyncMode::RefreshAndPersist,
                _ => return Err(DecodeError::Invalid("an unknown sync mode")),
            };
            let cookie = read_cookie(reader)?;
            Ok(Self {
                mode,
                cookie,
                reload_hint: read_flag(reader, false)?,
            })
        })
    }
}

impl SyncState {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.4.1.4203.1.9.1.2";

    /// The control.
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::encoded(Self::OID, |writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                writer.integer(
                    Tag::ENUMERATED,
                    match self.kind {
                        SyncStateKind::Present => 0,
                        SyncStateKind::Add => 1,
                        SyncStateKind::Modify => 2,
                        SyncStateKind::Delete => 3,
                    },
                );
                writer.octets(Tag::OCTET_STRING, self.uuid.as_bytes());
                write_cookie(self.cookie.as_ref(), writer);
            });
        })
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, Self::OID)?.map(Self::decode).transpose()
    }

    /// Reads the control's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[], |reader| {
            let kind = match reader.integer(Tag::ENUMERATED)? {
                0 => SyncStateKind::Present,
                1 => SyncStateKind::Add,
                2 => SyncStateKind::Modify,
                3 => SyncStateKind::Delete,
                _ => return Err(DecodeError::Invalid("an unknown sync state")),
            };
            Ok(Self {
                kind,
                uuid: read_uuid(reader)?,
                cookie: read_cookie(reader)?,
            })
        })
    }
}

impl SyncDone {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.4.1.4203.1.9.1.3";

    /// The control.
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::encoded(Self::OID, |writer| {
            writer.constructed(Tag::SEQUENCE, |writer| {
                write_cookie(self.cookie.as_ref(), writer);
                if self.refresh_deletes {
                    writer.boolean(Tag::BOOLEAN, true);
                }
            });
        })
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, Self::OID)?.map(Self::decode).transpose()
    }

    /// Reads the control's value.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[], |reader| {
            Ok(Self {
                cookie: read_cookie(reader)?,
                refresh_deletes: read_flag(reader, false)?,
            })
        })
    }
}

impl SyncInfo {
    /// The OID, which is the name of the intermediate response.
    pub const OID: &'static str = "1.3.6.1.4.1.4203.1.9.1.4";

    /// The intermediate response.
    #[must_use]
    pub fn to_intermediate(&self) -> Intermediate {
        let value = encode_value(|writer| match self {
            Self::NewCookie(cookie) => writer.octets(NEW_COOKIE, cookie),
            Self::RefreshDelete { cookie, refresh_done } => {
                write_phase_end(REFRESH_DELETE, cookie.as_ref(), refresh_done, writer);
            }
            Self::RefreshPresent { cookie, refresh_done } => {
                write_phase_end(REFRESH_PRESENT, cookie.as_ref(), refresh_done, writer);
            }
            Self::IdSet {
                cookie,
                refresh_deletes,
                uuids,
            } => writer.constructed(SYNC_ID_SET, |writer| {
                write_cookie(cookie.as_ref(), writer);
                if *refresh_deletes {
                    writer.boolean(Tag::BOOLEAN, true);
                }
                writer.constructed(Tag::SET, |writer| {
                    for uuid in uuids {
                        writer.octets(Tag::OCTET_STRING, uuid.as_bytes());
                    }
                });
            }),
        });
        Intermediate {
            name: Some(Text::from_static(Self::OID)),
            value: Some(value),
        }
    }

    /// Reads an intermediate response; none when it is of another kind.
    pub fn from_intermediate(intermediate: &Intermediate) -> Result<Option<Self>, DecodeError> {
        match (&intermediate.name, &intermediate.value) {
            (Some(name), Some(value)) if *name == Self::OID => Self::decode(value).map(Some),
            (Some(name), None) if *name == Self::OID => {
                Err(DecodeError::Invalid("sync info without a value"))
            }
            _ => Ok(None),
        }
    }

    /// Reads the value of a sync info message.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(value);
        let (tag, mut contents) = reader.any()?;
        reader.finish()?;
        let info = match tag {
            NEW_COOKIE => return Ok(Self::NewCookie(contents.bytes())),
            REFRESH_DELETE => Self::RefreshDelete {
                cookie: read_cookie(&mut contents)?,
                refresh_done: read_flag(&mut contents, true)?,
            },
            REFRESH_PRESENT => Self::RefreshPresent {
                cookie: read_cookie(&mut contents)?,
                refresh_done: read_flag(&mut contents, true)?,
            },
            SYNC_ID_SET => {
                let cookie = read_cookie(&mut contents)?;
                let refresh_deletes = read_flag(&mut contents, false)?;
                let mut set = contents.element(Tag::SET)?;
                let mut uuids = Vec::with_capacity(set.room(SMALLEST_UUID)?);
                while !set.is_empty() {
                    uuids.push(read_uuid(&mut set)?);
                }
                Self::IdSet {
                    cookie,
                    refresh_deletes,
                    uuids,
                }
            }
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        contents.skip_extensions(&[])?;
        Ok(info)
    }
}

fn write_phase_end(tag: Tag, cookie: Option<&Bytes>, refresh_done: &bool, writer: &mut Writer<'_>) {
    writer.constructed(tag, |writer| {
        write_cookie(cookie, writer);
        // The default is true (RFC 4533 section 2.5).
        if !refresh_done {
            writer.boolean(Tag::BOOLEAN, false);
        }
    });
}

fn write_cookie(cookie: Option<&Bytes>, writer: &mut Writer<'_>) {
    if let Some(cookie) = cookie {
        writer.octets(Tag::OCTET_STRING, cookie);
    }
}

fn read_cookie(reader: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    Ok(reader.optional(Tag::OCTET_STRING)?.map(|cookie| cookie.bytes()))
}

fn read_flag(reader: &mut Reader<'_>, default: bool) -> Result<bool, DecodeError> {
    reader
        .optional(Tag::BOOLEAN)?
        .map_or(Ok(default), Reader::to_boolean)
}

fn read_uuid(reader: &mut Reader<'_>) -> Result<EntryUuid, DecodeError> {
    let octets = reader.element(Tag::OCTET_STRING)?.rest();
    match <[u8; 16]>::try_from(octets) {
        Ok(bytes) => Ok(EntryUuid::from_bytes(bytes)),
        Err(_) => Err(DecodeError::Invalid("a syncUUID that is not 16 octets")),
    }
}
