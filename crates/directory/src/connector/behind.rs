//! Whether a server knows less than another one has told.
//!
//! After a failover the server in use may lag behind the one before. What it has is worth saying; what it lacks may
//! only not have reached it, so that its "no" counts when it knows everything that was seen elsewhere, and is "try
//! later" until then.

use super::Connector;
use super::pool::Pooled;
use crate::config::ServerType;
use crate::feed::csn_vector;
use ldap::{Client, Entry, Filter, LdapError, Scope, SearchRequest};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

/// After this long without news it is no longer believed: every server may have been set back together.
const BELIEVED: Duration = Duration::from_secs(3600);

/// The newest change that any server has shown, by the server where it was made.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Change sequence numbers (draft-ietf-ldup-lcup's CSN, as OpenLDAP writes them) by replica.
    changes: BTreeMap<String, String>,
    /// Counts what was added to `changes`.
    version: u64,
    /// The version that each server is known to have.
    has: BTreeMap<usize, u64>,
    since: Duration,
}

/// What is known of a server without asking it.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// It knows everything that we have seen.
    CaughtUp,
    /// Ask it whether it knows these.
    Unknown(BTreeMap<String, String>, u64),
}

impl Newest {
    /// A server has shown an entry.
    fn saw(&self, server: usize, csn: &str, now: Duration) {
        let mut known = self.0.lock();
        for (replica, csn) in csn_vector(std::iter::once(csn)) {
            if known.changes.get(&replica).is_some_and(|newest| *newest >= csn) {
                continue;
            }
            let had_all = known.has.get(&server).copied().unwrap_or(0) == known.version;
            known.changes.insert(replica, csn);
            known.version += 1;
            known.since = now;
            if had_all {
                let version = known.version;
                known.has.insert(server, version);
            }
        }
    }

    fn standing(&self, server: usize, now: Duration) -> Standing {
        let known = self.0.lock();
        let old = now.saturating_sub(known.since) > BELIEVED;
        if old || known.has.get(&server).copied().unwrap_or(0) == known.version {
            return Standing::CaughtUp;
        }
        Standing::Unknown(known.changes.clone(), known.version)
    }

    fn has(&self, server: usize, version: u64) {
        self.0.lock().has.insert(server, version);
    }
}

impl Connector {
    /// Remembers how new the entry is that a server has shown.
    pub(super) fn saw(&self, server: usize, entry: &Entry) {
        if self.is_one_of_several()
            && let Some(csn) = entry.first_str("entryCSN")
        {
            self.newest.saw(server, csn, self.clock.monotonic());
        }
    }

    /// Whether the "no" of a server counts. The error says why not.
    pub(super) async fn may_say_no(&self, pooled: &Pooled) -> Result<(), String> {
        if !self.is_one_of_several() {
            return Ok(());
        }
        let standing = self.newest.standing(pooled.server, self.clock.monotonic());
        let Standing::Unknown(wanted, version) = standing else {
            return Ok(());
        };
        let name = self.pool.server_name(pooled.server);
        match self.context_csn(&pooled.client).await {
            Ok(Some(own)) => {
                let lacks = |(replica, csn): (&String, &String)| own.get(replica).is_none_or(|own| own < csn);
                if wanted.iter().any(lacks) {
                    return Err(format!("{name} is behind another server, so it cannot say no"));
                }
            }
            // A server that keeps no such number cannot be compared.
            Ok(None) => {}
            Err(error) => return Err(format!("{name}: whether it is behind is not known: {error}")),
        }
        self.newest.has(pooled.server, version);
        Ok(())
    }

    /// Servers of Active Directory number their changes each for itself.
    fn is_one_of_several(&self) -> bool {
        self.config.uris.len() > 1 && self.config.server_type == ServerType::Openldap
    }

    /// How far the server has come: an attribute of the entry at the top of its database.
    async fn context_csn(&self, client: &Client) -> Result<Option<BTreeMap<String, String>>, LdapError> {
        let mut at = Some(self.patterns.top.clone());
        while let Some(dn) = at.filter(|dn| !dn.is_root()) {
            let present = Filter::Present("objectClass".to_owned());
            let request = SearchRequest::new(dn.to_string(), Scope::Base, present)
                .attributes(["contextCSN".to_owned()]);
            match client.search_all(request, 1).await {
                Ok(found) => {
                    let entry = found.first();
                    let csns = csn_vector(entry.into_iter().flat_map(|entry| entry.strings("contextCSN")));
                    if !csns.is_empty() {
                        return Ok(Some(csns));
                    }
                }
                // Above the database, or not there yet.
                Err(error) if error.result().is_some() && !error.is_transient() => {}
                Err(error) => return Err(error),
            }
            at = dn.parent();
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn csn(second: u8, replica: u8) -> String {
        format!("202601010000{second:02}.000000Z#000000#{replica:03}#000000")
    }

    #[test]
    fn who_has_told_everything_may_say_no() {
        let newest = Newest::default();
        assert_eq!(newest.standing(1, at(0)), Standing::CaughtUp, "nothing was seen");
        newest.saw(0, &csn(10, 1), at(0));
        newest.saw(0, &csn(5, 1), at(0));
        assert_eq!(newest.standing(0, at(1)), Standing::CaughtUp);
        let Standing::Unknown(wanted, version) = newest.standing(1, at(1)) else {
            panic!("the second server has shown nothing")
        };
        assert_eq!(wanted.into_values().collect::<Vec<_>>(), [csn(10, 1)]);
        newest.has(1, version);
        assert_eq!(newest.standing(1, at(1)), Standing::CaughtUp);
        // A change made at another replica, seen at the second server only.
        newest.saw(1, &csn(1, 2), at(2));
        assert_eq!(newest.standing(1, at(2)), Standing::CaughtUp);
        assert_ne!(newest.standing(0, at(2)), Standing::CaughtUp);
        assert_eq!(newest.standing(0, at(2 + 3601)), Standing::CaughtUp, "old news");
        newest.saw(0, "no number", at(3));
        assert_eq!(newest.standing(1, at(3)), Standing::CaughtUp);
    }
}
