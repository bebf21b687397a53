//! The byte form of links, checkpoints and quarantine entries.

use super::types::{Association, ConnectorState, LinkData, LinkState, Phase, QuarantineEntry, Shown};
use crate::LocalId;
use crate::codec::{Decoded, Reader, Writer};
use bytes::Bytes;

const VERSION: u8 = 1;
/// Connector states: 2 has `last_full` at its end, 3 the guard of the directory's side, 4 what an administrator has
/// started and stopped, 5 the versions that a directory lost, 6 whether absences were spared. Earlier rows are read as
/// well.
const STATE_VERSION: u8 = 6;
/// The newest form of a quarantine entry, which has what the directory showed.
const QUARANTINE_VERSION: u8 = 2;
/// How the state of a link that was unlinked by hand begins; the one before follows.
const HELD: u8 = 6;

fn owned(r: &mut Reader<'_>) -> Decoded<Bytes> {
    r.bytes().map(Bytes::copy_from_slice)
}

pub(super) fn write_link(link: &Association) -> Bytes {
    let data = &link.data;
    let mut w = Writer::new(VERSION);
    w.raw(link.remote.as_bytes());
    write_link_state(&mut w, &data.state);
    w.list(data.base.iter(), |w, (name, values)| {
        w.text(name).list(values.iter(), |w, value| {
            w.bytes(value);
        });
    })
    .list(data.digests.iter(), |w, (name, digest)| {
        w.text(name).bytes(digest);
    })
    .option(data.version.as_deref(), |w, version| {
        w.text(version);
    })
    .option(data.parent, |w, parent| {
        w.raw(parent.as_bytes());
    })
    .text(&data.rdn)
    .text(&data.dn)
    .num(data.epoch)
    .done()
}

fn write_link_state(w: &mut Writer, state: &LinkState) {
    match state {
        LinkState::Linked => drop(w.u8(0)),
        LinkState::OutOfScope { since } => drop(w.u8(1).time(*since)),
        LinkState::Gone { since } => drop(w.u8(2).time(*since)),
        LinkState::MovedAway { to } => drop(w.u8(3).text(to)),
        LinkState::AwaitingMail { from } => drop(w.u8(4).text(from)),
        LinkState::UnlinkedHeld { was } => write_link_state(w.u8(HELD), was),
    }
}

fn read_link_state(r: &mut Reader<'_>) -> Decoded<LinkState> {
    Ok(match r.u8()? {
        // Written before it was kept where the link stood.
        5 => LinkState::UnlinkedHeld {
            was: Box::new(LinkState::Linked),
        },
        HELD => {
            let kind = r.u8()?;
            LinkState::UnlinkedHeld {
                was: Box::new(read_plain_state(r, kind)?),
            }
        }
        kind => read_plain_state(r, kind)?,
    })
}

/// A state that holds no other one.
fn read_plain_state(r: &mut Reader<'_>, kind: u8) -> Decoded<LinkState> {
    Ok(match kind {
        0 => LinkState::Linked,
        1 => LinkState::OutOfScope { since: r.time()? },
        2 => LinkState::Gone { since: r.time()? },
        3 => LinkState::MovedAway { to: r.text()? },
        4 => LinkState::AwaitingMail { from: r.text()? },
        _ => return Err(r.corrupt()),
    })
}

pub(super) fn read_link(connector: &str, local: LocalId, row: &[u8]) -> Decoded<Association> {
    let result = read_link_row(connector, local, row);
    match local {
        LocalId::Account(id) => result.map_err(|error| error.of(id)),
        LocalId::Group(_) => result,
    }
}

fn read_link_row(connector: &str, local: LocalId, row: &[u8]) -> Decoded<Association> {
    let mut r = Reader::new(row, "association", VERSION)?;
    let remote = r.uuid()?;
    let state = read_link_state(&mut r)?;
    let data = LinkData {
        state,
        base: r.list(|r| Ok((r.text()?, r.list(owned)?)))?.into_iter().collect(),
        digests: r.list(|r| Ok((r.text()?, owned(r)?)))?.into_iter().collect(),
        version: r.option(Reader::text)?,
        parent: r.option(Reader::uuid)?,
        rdn: r.text()?,
        dn: r.text()?,
        epoch: r.num()?,
    };
    r.end()?;
    Ok(Association {
        connector: connector.to_owned(),
        local,
        remote,
        data,
    })
}

pub(super) fn checksum(cookie: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short
        .iter_mut()
        .zip(blake3::hash(cookie).as_bytes())
        .for_each(|(to, from)| *to = *from);
    short
}

pub(super) fn write_state(state: &ConnectorState) -> Bytes {
    let bytes = |w: &mut Writer, value: &Bytes| {
        w.bytes(value);
    };
    Writer::new(STATE_VERSION)
        .u8(match state.phase {
            Phase::Initial => 0,
            Phase::Refreshing => 1,
            Phase::Following => 2,
            Phase::Held => 3,
        })
        .option(state.cookie.as_ref(), |w, cookie| {
            w.bytes(cookie).raw(&checksum(cookie));
        })
        .num(state.epoch)
        .option(state.server_fingerprint.as_ref(), bytes)
        .option(state.scope_fingerprint.as_ref(), bytes)
        .num(state.journal_offset)
        .option(state.last_success, |w, time| {
            w.time(time);
        })
        .option(state.last_error.as_deref(), |w, error| {
            w.text(error);
        })
        .list(state.guard.iter(), |w, (time, count)| {
            w.time(*time).num(u64::from(*count));
        })
        .option(state.approved.as_ref(), bytes)
        .option(state.last_full, |w, time| {
            w.time(time);
        })
        .list(state.guard_remote.iter(), |w, (time, count)| {
            w.time(*time).num(u64::from(*count));
        })
        .u8(u8::from(state.stopped))
        .list(state.begun.iter(), |w, domain| {
            w.text(domain);
        })
        .list(state.void_versions.iter(), |w, (after, upto)| {
            w.text(after).text(upto);
        })
        .flag(state.spared)
        .done()
}

pub(super) fn read_state(row: &[u8]) -> Decoded<ConnectorState> {
    let version = match row.first() {
        Some(&old @ VERSION..STATE_VERSION) => old,
        _ => STATE_VERSION,
    };
    let mut r = Reader::new(row, "connector state", version)?;
    let phase = match r.u8()? {
        0 => Phase::Initial,
        1 => Phase::Refreshing,
        2 => Phase::Following,
        3 => Phase::Held,
        _ => return Err(r.corrupt()),
    };
    let stored = r.option(|r| Ok((owned(r)?, r.array::<16>()?)))?;
    let good = |(cookie, sum): &(Bytes, [u8; 16])| checksum(cookie) == *sum;
    let state = ConnectorState {
        phase,
        cookie_damaged: stored.as_ref().is_some_and(|stored| !good(stored)),
        cookie: stored.filter(good).map(|(cookie, _)| cookie),
        epoch: r.num()?,
        server_fingerprint: r.option(owned)?,
        scope_fingerprint: r.option(owned)?,
        journal_offset: r.num()?,
        last_success: r.option(Reader::time)?,
        last_error: r.option(Reader::text)?,
        guard: r.list(|r| Ok((r.time()?, r.num32()?)))?,
        approved: r.option(owned)?,
        last_full: match version {
            VERSION => None,
            _ => r.option(Reader::time)?,
        },
        guard_remote: match version {
            VERSION | 2 => Vec::new(),
            _ => r.list(|r| Ok((r.time()?, r.num32()?)))?,
        },
        stopped: match version {
            4.. => r.u8()? == 1,
            _ => false,
        },
        begun: match version {
            4.. => r.list(Reader::text)?,
            _ => Vec::new(),
        },
        void_versions: match version {
            5.. => r.list(|r| Ok((r.text()?, r.text()?)))?,
            _ => Vec::new(),
        },
        spared: match version {
            STATE_VERSION => r.flag()?,
            _ => false,
        },
    };
    r.end()?;
    Ok(state)
}

pub(super) fn write_quarantine(entry: &QuarantineEntry) -> Bytes {
    let mut w = Writer::new(QUARANTINE_VERSION);
    w.text(&entry.reason)
        .num(u64::from(entry.attempts))
        .time(entry.since)
        .time(entry.next);
    match &entry.shown {
        Shown::Unknown => w.u8(0),
        Shown::Version(version) => w.u8(1).text(version),
        Shown::Nothing => w.u8(2),
    };
    w.done()
}

pub(super) fn read_quarantine(connector: &str, object: &str, row: &[u8]) -> Decoded<QuarantineEntry> {
    let version = match row.first() {
        Some(&VERSION) => VERSION,
        _ => QUARANTINE_VERSION,
    };
    let mut r = Reader::new(row, "quarantine entry", version)?;
    let entry = QuarantineEntry {
        connector: connector.to_owned(),
        object: object.to_owned(),
        reason: r.text()?,
        attempts: r.num32()?,
        since: r.time()?,
        next: r.time()?,
        shown: match version {
            VERSION => Shown::Unknown,
            _ => match r.u8()? {
                0 => Shown::Unknown,
                1 => Shown::Version(r.text()?),
                2 => Shown::Nothing,
                _ => return Err(r.corrupt()),
            },
        },
    };
    r.end()?;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AccountId, EntryUuid, Timestamp};
    use proptest::prelude::*;

    fn state() -> ConnectorState {
        ConnectorState {
            phase: Phase::Following,
            cookie: Some(Bytes::from_static(b"rid=001,csn=x")),
            epoch: 4,
            scope_fingerprint: Some(Bytes::from_static(b"s")),
            last_success: Some(Timestamp::from_millis(8)),
            last_full: Some(Timestamp::from_millis(6)),
            guard: vec![(Timestamp::from_millis(1), 2)],
            guard_remote: vec![(Timestamp::from_millis(3), 4)],
            stopped: true,
            begun: vec!["example.test".to_owned()],
            void_versions: vec![("a".to_owned(), "b".to_owned())],
            spared: true,
            ..ConnectorState::default()
        }
    }

    #[test]
    fn states_round_trip_and_a_damaged_cookie_is_none() {
        let mut row = write_state(&state()).to_vec();
        assert_eq!(read_state(&row).expect("reads"), state());
        let at = row.windows(3).position(|w| w == b"rid").expect("cookie");
        row[at] ^= 1;
        let damaged = read_state(&row).expect("reads");
        assert!(damaged.cookie.is_none() && damaged.cookie_damaged);
    }

    #[test]
    fn states_of_earlier_versions_still_read() {
        let mut old = ConnectorState {
            spared: false,
            ..state()
        };
        // Version 5 ended before `spared`, which is one byte.
        let mut row = write_state(&old).to_vec();
        assert_eq!((row[0], row.pop()), (STATE_VERSION, Some(0)));
        row[0] = 5;
        assert_eq!(read_state(&row).expect("reads"), old);
        // Version 4 ended before the lost versions, which are one byte when there are none.
        old.void_versions = Vec::new();
        let mut row = write_state(&old).to_vec();
        row.truncate(row.len() - 2);
        row[0] = 4;
        assert_eq!(read_state(&row).expect("reads"), old);
        // Version 3 ended before what was started and stopped, two bytes when that is nothing.
        old.stopped = false;
        old.begun = Vec::new();
        let mut row = write_state(&old).to_vec();
        row.truncate(row.len() - 4);
        row[0] = 3;
        assert_eq!(read_state(&row).expect("reads"), old);
        // Version 2 ended before the second guard, which is one byte when it has counted nothing.
        old.guard_remote = Vec::new();
        let mut row = write_state(&old).to_vec();
        row.truncate(row.len() - 5);
        row[0] = 2;
        assert_eq!(read_state(&row).expect("reads"), old);
        // Version 1 ended before `last_full`, likewise.
        old.last_full = None;
        let mut row = write_state(&old).to_vec();
        row.truncate(row.len() - 6);
        row[0] = VERSION;
        assert_eq!(read_state(&row).expect("reads"), old);
        row[0] = STATE_VERSION + 1;
        assert!(read_state(&row).is_err(), "a row of a later release");
        old.last_full = Some(Timestamp::from_millis(0));
        assert_eq!(read_state(&write_state(&old)).expect("reads"), old);
    }

    #[test]
    fn an_unlinked_link_keeps_where_it_stood() {
        let since = Timestamp::from_millis(4);
        let held = |was: LinkState| LinkState::UnlinkedHeld { was: Box::new(was) };
        let read = |row: &[u8]| read_link("c", LocalId::Account(AccountId::new(3).expect("id")), row);
        for was in [
            LinkState::Linked,
            LinkState::Gone { since },
            LinkState::OutOfScope { since },
            LinkState::MovedAway { to: "b".into() },
        ] {
            let mut data = LinkData::new("uid=a,dc=test");
            data.state = held(was.clone());
            assert_eq!(data.state.is_living(), was.is_living());
            let link = Association {
                connector: "c".into(),
                local: LocalId::Account(AccountId::new(3).expect("id")),
                remote: EntryUuid::from_bytes([7; 16]),
                data,
            };
            let row = write_link(&link);
            assert_eq!(read(&row).expect("reads"), link);
            if was == LinkState::Linked {
                // The form that did not say where it stood: one byte less.
                let mut old = row.to_vec();
                assert_eq!(old.drain(17..19).collect::<Vec<u8>>(), [HELD, 0]);
                old.insert(17, 5);
                assert_eq!(read(&old).expect("reads"), link);
            }
            let mut nested = row.to_vec();
            nested[18] = HELD;
            assert!(read(&nested).is_err(), "nothing is unlinked twice");
        }
    }

    #[test]
    fn links_round_trip() {
        let mut data = LinkData::new("uid=a,dc=test");
        data.base
            .insert("mail".into(), vec![Bytes::from_static(b"a@b.test")]);
        data.digests
            .insert("userPassword".into(), Bytes::from_static(&[1, 2]));
        data.state = LinkState::MovedAway { to: "b".into() };
        let link = Association {
            connector: "c".into(),
            local: LocalId::Account(AccountId::new(3).expect("id")),
            remote: EntryUuid::from_bytes([7; 16]),
            data,
        };
        assert_eq!(
            read_link("c", link.local, &write_link(&link)).expect("reads"),
            link
        );
    }

    #[test]
    fn quarantine_rows_round_trip_and_earlier_ones_still_read() {
        let entry = |shown| QuarantineEntry {
            connector: "c".into(),
            object: "o".into(),
            reason: "because".into(),
            attempts: 3,
            since: Timestamp::from_millis(1),
            next: Timestamp::from_millis(2),
            shown,
        };
        for shown in [Shown::Unknown, Shown::Version("v#1".into()), Shown::Nothing] {
            let entry = entry(shown);
            let row = write_quarantine(&entry);
            assert_eq!(read_quarantine("c", "o", &row).expect("reads"), entry);
        }
        // The first form ends before what was shown.
        let mut row = write_quarantine(&entry(Shown::Unknown)).to_vec();
        assert_eq!(row.pop(), Some(0));
        row[0] = VERSION;
        assert_eq!(
            read_quarantine("c", "o", &row).expect("reads"),
            entry(Shown::Unknown)
        );
        row[0] = QUARANTINE_VERSION + 1;
        assert!(read_quarantine("c", "o", &row).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..60, x: u8) {
            let _ = read_state(&bytes);
            let _ = read_quarantine("c", "o", &bytes);
            let mut row = write_state(&state()).to_vec();
            if let Some(byte) = row.get_mut(at) {
                *byte = x;
            }
            let _ = read_state(&row);
            let _ = read_link("c", LocalId::Account(AccountId::new(3).expect("id")), &row);
        }
    }
}
