//! A server that says it is behind, and is not.
//!
//! slapd keeps how far it has come in memory and writes it down now and then; killed, it comes back with all of its entries
//! and an old contextCSN. A replica that lags and a directory that was restored show the same number, and differ in what
//! they hold: of everything that is known to be newer than the number, each has something older, or nothing. So every such
//! entry is looked up. Only where all of them are as new as is known, and nobody is back who is gone, the server is believed,
//! and even then not in what no version tells: whom it does not show, and whom it shows and nobody knows (a branch that was
//! moved, a list that was deleted) wait until it says that it has caught up.

use super::worker::{Worker, store_trouble};
use crate::engine::Trouble;
use directory::feed::{Fingerprint, Presence};
use model::EntryUuid;
use store::{Association, LinkState};

/// What a server that is not behind has to show of an entry.
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

impl Worker<'_> {
    /// Whether the server shows all that is known, whatever it says of how far it has come.
    pub(super) async fn shows_everything(&mut self) -> Result<bool, Trouble> {
        #[cfg(test)]
        if crate::broken::is(crate::broken::Broken::NoProof) {
            return Ok(true);
        }
        // Of what is in quarantine no link says how new it is.
        if self.engine.has_aside() {
            return Ok(false);
        }
        let Some(server) = self.server.clone() else {
            return Ok(false);
        };
        // A replica that lags is asked again and again: first what it lacked the last time.
        if let Some(lacked) = self.lacked.take() {
            let link = self
                .parts
                .local
                .store
                .association_by_uuid(&self.parts.config.name, lacked);
            let link = link.map_err(store_trouble)?;
            if !self.are_shown(link.into_iter().collect(), &server).await? {
                return Ok(false);
            }
        }
        let mut after = None;
        loop {
            let local = &self.parts.local;
            let page = local.store.list_associations(&local.connector, after, 256);
            let page = page.map_err(store_trouble)?;
            let Some(last) = page.last() else { return Ok(true) };
            after = Some(last.remote);
            if !self.are_shown(page, &server).await? {
                return Ok(false);
            }
            // Reading links waits for nobody, and there may be millions.
            tokio::task::yield_now().await;
        }
    }

    /// Whether the server shows these; the first that it does not is kept in mind.
    async fn are_shown(&mut self, links: Vec<Association>, server: &Fingerprint) -> Result<bool, Trouble> {
        let mut asked = Vec::new();
        for link in links {
            let remote = link.remote;
            match self.expected(link, server) {
                Ok(Some(expected)) => asked.push(expected),
                Ok(None) => {}
                Err(Unknowable) => {
                    self.lacked = Some(remote);
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

    /// What is to be asked of a link; none where the server's own number says enough.
    fn expected(
        &self,
        link: Association,
        server: &Fingerprint,
    ) -> Result<Option<(EntryUuid, Expected)>, Unknowable> {
        let expected = match (link.data.state, link.data.version) {
            // Nothing is concluded of it.
            (LinkState::UnlinkedHeld { .. }, _) => return Ok(None),
            // When it went nobody has told.
            (LinkState::Gone { .. }, _) => Expected::Gone,
            (LinkState::OutOfScope { .. }, version) => Expected::Outside(version),
            (_, None) => return Err(Unknowable),
            (_, Some(version)) if writer(&version).is_none() => return Err(Unknowable),
            (_, Some(version)) if says_that_it_has(server, &version) || self.engine.is_past(&version) => {
                return Ok(None);
            }
            (_, Some(version)) => Expected::Version(version),
        };
        Ok(Some((link.remote, expected)))
    }
}

/// A link without a version (Active Directory has none that mean anything elsewhere): any server may be behind it.
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
