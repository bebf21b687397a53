//! One name on demand: a message or a login for somebody whom the store does not know yet.

use super::{FETCHED, SyncEngine, rest};
use crate::engine::Outcome;
use crate::local::Seen;
use crate::mapping::{Members, Place};
use crate::plan::{Decision, Op, Plan, Remote, Situation, plan};
use directory::{DirectoryAccount, EntryKind, Lookup};
use model::{Address, EntryUuid, OnDemandOutcome};
use std::time::Duration;

/// The bound of a look-up on demand: a client waits for it.
const ON_DEMAND: Duration = Duration::from_secs(2);

impl SyncEngine {
    /// Syncs one name that the store does not know, before a server says that it does not exist.
    pub async fn on_demand(&self, address: &Address) -> OnDemandOutcome {
        if !self.is_connected(&address.domain()) {
            return OnDemandOutcome::NotConnected;
        }
        match *self.rest.borrow() {
            None => {}
            // Whoever is new in the directory comes with the start.
            Some(rest::Rest::Stopped) => return OnDemandOutcome::Unavailable,
            // Not begun: what is here is all that counts.
            Some(rest::Rest::Asks { .. }) => return OnDemandOutcome::NotConnected,
        }
        let answer = tokio::time::timeout(ON_DEMAND, async {
            let _place = self.on_demand.acquire().await;
            self.fetch(address).await
        });
        answer.await.unwrap_or(OnDemandOutcome::Unavailable)
    }

    async fn fetch(&self, address: &Address) -> OnDemandOutcome {
        let account = match (self.remotes.address)(address.clone()).await {
            Lookup::Found(account) => account,
            Lookup::NotFound => return OnDemandOutcome::NoSuchName,
            Lookup::Ambiguous(dns) => {
                tracing::warn!(connector = %self.config.name, %address, ?dns, "several entries have this address");
                return OnDemandOutcome::Unavailable;
            }
            Lookup::Unavailable(why) => {
                tracing::warn!(connector = %self.config.name, %address, %why, "cannot look a name up");
                return OnDemandOutcome::Unavailable;
            }
        };
        one(self, &account).await
    }
}

/// Brings one entry here that was looked up by its address. Only what endangers nothing is done at once: the
/// rest is for the next round, and for the guard.
pub(super) async fn one(parts: &SyncEngine, account: &DirectoryAccount) -> OnDemandOutcome {
    let elsewhere = match parts.scope.place(account) {
        Place::Elsewhere(_) => true,
        Place::Former(host) => !parts.is_still_ours(account.uuid, &host),
        _ => false,
    };
    if elsewhere {
        return OnDemandOutcome::NoSuchName;
    }
    let members = match account.kind {
        EntryKind::Group => match parts.resolve(&account.members).await {
            Ok(members) => members,
            Err(_) => return OnDemandOutcome::Unavailable,
        },
        EntryKind::Account => Members::default(),
    };
    let remote = parts.remote_of_lookup(account, members);
    // No version: the feed's own word for it is still to come, and is to be read.
    let origin = (account.dn.clone(), None);
    if parts.claim_domains().await.is_err() {
        return OnDemandOutcome::Unavailable;
    }
    let Ok((situation, seen)) = parts.local.situation(account.uuid, remote, origin) else {
        return OnDemandOutcome::Unavailable;
    };
    match plan(&situation, &parts.policy) {
        Decision::SetAside(reason) => {
            tracing::warn!(connector = %parts.config.name, dn = %account.dn, %reason, "not synchronised on demand");
            OnDemandOutcome::Unavailable
        }
        Decision::Act(whole) => apply_one(parts, &situation, &whole, &seen).await,
    }
}

/// The feed names the entry later, when it is no news any more: its groups are to be looked at all the same.
fn remember(parts: &SyncEngine, uuid: EntryUuid) -> bool {
    let mut fetched = parts.fetched.lock();
    let room = fetched.len() < FETCHED || fetched.contains(&uuid);
    if room {
        fetched.insert(uuid);
    }
    room
}

fn is_linked(parts: &SyncEngine, uuid: EntryUuid) -> bool {
    matches!(
        parts.local.store.association_by_uuid(&parts.config.name, uuid),
        Ok(Some(_))
    )
}

async fn apply_one(parts: &SyncEngine, situation: &Situation, whole: &Plan, seen: &Seen) -> OnDemandOutcome {
    // The server that answers may be behind: what was removed here comes back by a round, which asks how far it is.
    if whole
        .ops
        .iter()
        .any(|op| matches!(op, Op::Revive | Op::Await { .. }))
    {
        return OnDemandOutcome::Unavailable;
    }
    let mut part = whole.harmless(situation.link.as_ref());
    // What is to be written there is for the round.
    part.base = part.meanwhile(situation.link.as_ref()).base;
    part.remote.clear();
    if part.ops.is_empty() {
        // Here already, and the caller looks again; or something is wrong with it that a round decides.
        let settled = whole.ops.is_empty() && matches!(situation.remote, Remote::Here(_));
        return if settled {
            OnDemandOutcome::Synced
        } else {
            OnDemandOutcome::Unavailable
        };
    }
    if situation.link.is_some() {
        // It is somebody whom the feed tells of. The server that was asked may be behind the feed, and what it still
        // shows, an alias that was taken away or a switch that was on, must not come back by mail to an old address.
        return OnDemandOutcome::Unavailable;
    }
    if !remember(parts, part.uuid) {
        return OnDemandOutcome::Unavailable;
    }
    match parts.local.apply(&part, seen, None).await {
        // A round may have been faster.
        Outcome::Done | Outcome::Stale => OnDemandOutcome::Synced,
        // So may somebody else who asked for the same name.
        Outcome::Refused(_) if situation.link.is_none() && is_linked(parts, part.uuid) => {
            OnDemandOutcome::Synced
        }
        Outcome::Refused(why)
        | Outcome::Temporary(why)
        | Outcome::Unreachable(why)
        | Outcome::Waits(why)
        | Outcome::GivesWay(why) => {
            tracing::warn!(connector = %parts.config.name, uuid = %part.uuid, why, "not synchronised on demand");
            OnDemandOutcome::Unavailable
        }
    }
}
