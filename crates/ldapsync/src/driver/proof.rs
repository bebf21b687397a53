//! A server that says it is behind, and is not.
//!
//! slapd keeps how far it has come in memory and writes it down now and then; killed, it comes back with all of its entries
//! and an old contextCSN. A replica that lags and a directory that was restored show the same number, and differ in what
//! they hold: of everything that is known to be newer than the number, each has something older, or nothing. So every such
//! entry is looked up. Only where all of them are as new as is known, and nobody is back who is gone, the server is believed,
//! and even then not in what no version tells: whom it does not show, and whom it shows and nobody knows (a branch that was
//! moved, a list that was deleted) wait until it says that it has caught up.

use super::quarantine;
use super::worker::{Worker, store_trouble};
use crate::engine::Trouble;
use directory::feed::{Fingerprint, Presence};
use model::EntryUuid;
use std::collections::BTreeMap;
use store::{LinkData, LinkState, Shown};

/// What is asked for at once.
const PAGE: usize = 256;

/// What a server that is not behind has to show of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// This version, or a later one.
    Version(String),
    /// Nothing.
    Gone,
    /// Nothing within the bases and filters, or an entry of this version at least, whose host was taken away.
    Outside(Option<String>),
}

impl Expected {
    fn is_met(&self, shown: &Presence) -> bool {
        match (self, shown) {
            (Self::Version(known), Presence::InScope(entry)) => shows(&entry.entry, known),
            (Self::Version(known), Presence::OutOfScope(entry)) => shows(entry, known),
            (Self::Outside(known), Presence::InScope(entry)) => {
                known.as_deref().is_some_and(|known| shows(&entry.entry, known))
            }
            (Self::Version(_), Presence::Gone) => false,
            (Self::Gone, Presence::InScope(_) | Presence::OutOfScope(_)) => false,
            (Self::Gone, Presence::Gone) => true,
            (Self::Outside(_), Presence::Gone | Presence::OutOfScope(_)) => true,
        }
    }
}

/// The id of the server that made a change; none in a version of Active Directory's.
fn writer(version: &str) -> Option<&str> {
    version.split('#').nth(2)
}

/// Whether the server's own number covers this version. One that it does not report at all, it may not have: a replica that
/// is being filled reports none.
fn says_that_it_has(server: &Fingerprint, version: &str) -> bool {
    let own = writer(version).and_then(|writer| server.context_csns.get(writer));
    own.is_some_and(|own| own.as_str() >= version)
}

fn shows(entry: &ldap::Entry, known: &str) -> bool {
    entry.first_str("entryCSN").is_some_and(|shown| shown >= known)
}

/// What is known of one entry.
struct Known {
    uuid: EntryUuid,
    link: Option<LinkData>,
    /// What its object's row in quarantine was made from.
    aside: Option<Shown>,
}

/// What is known of entries in quarantine.
type Rows = BTreeMap<EntryUuid, Shown>;

impl Worker<'_> {
    /// Whether the server shows all that is known, whatever it says of how far it has come.
    pub(super) async fn shows_everything(&mut self) -> Result<bool, Trouble> {
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::NoProof) {
            return Ok(true);
        }
        let Some(server) = self.server.clone() else {
            return Ok(false);
        };
        let rows = quarantine::shown(self.parts).map_err(store_trouble)?;
        if rows.len() < self.engine.set_aside_now() {
            // One of them was not written down yet.
            return Ok(false);
        }
        // A replica that lags is asked again and again: first what it lacked the last time.
        if let Some(lacked) = self.lacked.take() {
            let lacked = self.known(lacked, &rows)?;
            if !self.are_shown(vec![lacked], &server).await? {
                return Ok(false);
            }
        }
        let aside: Vec<EntryUuid> = rows.keys().copied().collect();
        for uuids in aside.chunks(PAGE) {
            let page: Result<Vec<Known>, Trouble> =
                uuids.iter().map(|uuid| self.known(*uuid, &rows)).collect();
            if !self.are_shown(page?, &server).await? {
                return Ok(false);
            }
        }
        let mut after = None;
        loop {
            let local = &self.parts.local;
            let page = local.store.list_associations(&local.connector, after, PAGE);
            let page = page.map_err(store_trouble)?;
            let Some(last) = page.last() else { return Ok(true) };
            after = Some(last.remote);
            let page = page.into_iter().filter(|link| !rows.contains_key(&link.remote));
            let page = page.map(|link| Known {
                uuid: link.remote,
                link: Some(link.data),
                aside: None,
            });
            if !self.are_shown(page.collect(), &server).await? {
                return Ok(false);
            }
            // Reading links waits for nobody, and there may be millions.
            tokio::task::yield_now().await;
        }
    }

    fn known(&self, uuid: EntryUuid, rows: &Rows) -> Result<Known, Trouble> {
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let link = store.association_by_uuid(name, uuid).map_err(store_trouble)?;
        Ok(Known {
            uuid,
            link: link.map(|link| link.data),
            aside: rows.get(&uuid).cloned(),
        })
    }

    /// Whether the server shows these; the first that it does not is kept in mind.
    async fn are_shown(&mut self, all: Vec<Known>, server: &Fingerprint) -> Result<bool, Trouble> {
        let mut asked = Vec::new();
        for known in all {
            let uuid = known.uuid;
            let covers = |version: &str| says_that_it_has(server, version) || self.engine.is_past(version);
            match expected(known, covers) {
                Ok(Some(expected)) => asked.push((uuid, expected)),
                Ok(None) => {}
                Err(Unknowable) => {
                    self.lacked = Some(uuid);
                    return Ok(false);
                }
            }
        }
        self.lacked = self.unmet(&asked).await?;
        Ok(self.lacked.is_none())
    }

    /// The first of these that the server does not show as it should.
    async fn unmet(&mut self, asked: &[(EntryUuid, Expected)]) -> Result<Option<EntryUuid>, Trouble> {
        if asked.is_empty() {
            return Ok(None);
        }
        let uuids: Vec<EntryUuid> = asked.iter().map(|(uuid, _)| *uuid).collect();
        let answers = self.source.verify(&uuids).await?;
        if answers.len() != asked.len() {
            return Ok(uuids.first().copied());
        }
        let mut both = asked.iter().zip(&answers);
        Ok(both
            .find(|((_, expected), shown)| !expected.is_met(shown))
            .map(|((uuid, _), _)| *uuid))
    }
}

/// What is to be asked of an entry; none where the server's own number, which `covers` some versions, says enough.
fn expected(known: Known, covers: impl Fn(&str) -> bool) -> Result<Option<Expected>, Unknowable> {
    let (state, linked) = match known.link {
        Some(link) => (Some(link.state), link.version),
        None => (None, None),
    };
    let version = match (&state, known.aside) {
        // Nothing is concluded of it.
        (Some(LinkState::UnlinkedHeld { .. }), _) => return Ok(None),
        (_, Some(Shown::Unknown)) => return Err(Unknowable),
        // Whoever waits because it cannot be seen may be seen again, but not as it was before.
        (_, Some(Shown::Nothing)) => return Ok(Some(Expected::Outside(linked))),
        // What we wrote before the row was made, or after, is newer or older than the row.
        (_, Some(Shown::Version(seen))) => Some(linked.filter(|linked| *linked > seen).unwrap_or(seen)),
        // When it went nobody has told.
        (Some(LinkState::Gone { .. }), None) => return Ok(Some(Expected::Gone)),
        (Some(LinkState::OutOfScope { .. }), None) => return Ok(Some(Expected::Outside(linked))),
        (_, None) => linked,
    };
    let version = version
        .filter(|version| writer(version).is_some())
        .ok_or(Unknowable)?;
    Ok((!covers(&version)).then_some(Expected::Version(version)))
}

/// An entry without a version (Active Directory has none that mean anything elsewhere): any server may be behind it.
#[derive(Debug, PartialEq, Eq)]
struct Unknowable;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_has_to_show() {
        let version = |second: u8| format!("202601010000{second:02}.000000Z#000000#001#000000");
        let outside = |second| {
            let csn = bytes::Bytes::from(version(second));
            let entry = ldap::Entry::new("uid=a,dc=test").with("entryCSN", ldap::Values::one(csn));
            Presence::OutOfScope(Box::new(entry))
        };
        for (expected, shown, met) in [
            (Expected::Version(version(5)), outside(5), true),
            (Expected::Version(version(5)), outside(6), true),
            (Expected::Version(version(5)), outside(4), false),
            (Expected::Version(version(5)), Presence::Gone, false),
            (Expected::Gone, Presence::Gone, true),
            (Expected::Gone, outside(5), false),
            (Expected::Outside(None), outside(5), true),
            (Expected::Outside(None), Presence::Gone, true),
        ] {
            assert_eq!(expected.is_met(&shown), met);
        }
    }

    #[test]
    fn what_is_asked_of_an_entry() {
        let version = |second: u8| format!("202601010000{second:02}.000000Z#000000#001#000000");
        let since = model::Timestamp::from_millis(1);
        let (gone, outside) = (LinkState::Gone { since }, LinkState::OutOfScope { since });
        let held = LinkState::UnlinkedHeld {
            was: Box::new(LinkState::Linked),
        };
        let seen = |second| Some(Shown::Version(version(second)));
        let is = |second| Ok(Some(Expected::Version(version(second))));
        let out = |second: Option<u8>| Ok(Some(Expected::Outside(second.map(version))));
        // The link and its version, and the row in quarantine; the server says that it has second 3.
        for (link, aside, wanted) in [
            (Some((LinkState::Linked, Some(4))), None, is(4)),
            (Some((LinkState::Linked, Some(3))), None, Ok(None)),
            (Some((LinkState::Linked, None)), None, Err(Unknowable)),
            (Some((gone.clone(), Some(4))), None, Ok(Some(Expected::Gone))),
            (Some((outside.clone(), Some(4))), None, out(Some(4))),
            // A row was made from what is newer than the link, or before our own write.
            (Some((LinkState::Linked, Some(4))), seen(5), is(5)),
            (Some((LinkState::Linked, Some(6))), seen(5), is(6)),
            (Some((LinkState::Linked, None)), seen(5), is(5)),
            (Some((LinkState::Linked, Some(2))), seen(3), Ok(None)),
            (
                Some((LinkState::Linked, Some(4))),
                Some(Shown::Unknown),
                Err(Unknowable),
            ),
            // Held by the guard: it was gone, and comes back in another version or not at all.
            (
                Some((LinkState::Linked, Some(4))),
                Some(Shown::Nothing),
                out(Some(4)),
            ),
            // Back, and in somebody's way.
            (Some((gone, Some(4))), seen(5), is(5)),
            (Some((outside, Some(4))), seen(5), is(5)),
            // Nobody is linked to it.
            (None, seen(5), is(5)),
            (None, Some(Shown::Unknown), Err(Unknowable)),
            (None, Some(Shown::Nothing), out(None)),
            (Some((held, Some(4))), Some(Shown::Unknown), Ok(None)),
        ] {
            let told = format!("{link:?} {aside:?}");
            let link = link.map(|(state, second)| {
                let mut data = LinkData::new("uid=a,dc=test");
                (data.state, data.version) = (state, second.map(version));
                data
            });
            let uuid = EntryUuid::from_bytes([1; 16]);
            let covers = |known: &str| known <= version(3).as_str();
            assert_eq!(expected(Known { uuid, link, aside }, covers), wanted, "{told}");
        }
        let uuid = EntryUuid::from_bytes([1; 16]);
        let aside = Some(Shown::Version("4711".to_owned()));
        let known = Known {
            uuid,
            link: None,
            aside,
        };
        assert_eq!(expected(known, |_| true), Err(Unknowable), "Active Directory's");
    }

    #[test]
    fn what_a_server_says_that_it_has() {
        let version =
            |second: u8, writer: u8| format!("202601010000{second:02}.000000Z#000000#{writer:03}#000000");
        let mut server = Fingerprint {
            suffix: "dc=test".to_owned(),
            suffix_uuid: EntryUuid::from_bytes([1; 16]),
            context_csns: [("001".to_owned(), version(5, 1))].into(),
        };
        for (second, writer, has) in [(5, 1, true), (4, 1, true), (6, 1, false), (4, 2, false)] {
            assert_eq!(says_that_it_has(&server, &version(second, writer)), has);
        }
        server.context_csns.clear();
        assert!(
            !says_that_it_has(&server, &version(1, 1)),
            "a replica that is being filled"
        );
        assert_eq!(writer("4711"), None, "Active Directory's");
    }
}
