//! Where a recipient's mail goes. The domains that are ours are asked first, whatever a map says.

use super::leg::Identity;
use super::proxy::SmtpProxy;
use super::reply;
use super::transaction::Recipient;
use crate::failure::{Failure, Rejection};
use directory::{DomainAnswer, EntryKind, HomeRef, Route};
use model::{Address, LocalPart};
use std::sync::Arc;
use tokio::task::JoinSet;
use wire::smtp::{ForwardPath, Reply};

/// Recipients that the directory is asked for at once, for one client.
const MAX_ASKED: usize = 16;

/// Where a recipient's mail goes, and as what we offer it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) home: HomeRef,
    pub(super) identity: Identity,
}

impl Destination {
    /// The home of an account.
    pub(super) const fn home(home: HomeRef) -> Self {
        let identity = Identity::Client;
        Self { home, identity }
    }

    /// A server that relays for us.
    pub(super) const fn relay(home: HomeRef) -> Self {
        let identity = Identity::Relay;
        Self { home, identity }
    }
}

/// What a client may do beyond sending mail to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Stranger,
    /// Its mail for other domains goes to the relay.
    MayRelay,
}

/// The ways of several recipients, in their order; the directory is asked for some of them at once.
pub(super) async fn routes(
    proxy: &Arc<SmtpProxy>,
    recipients: &[Recipient],
    standing: Standing,
) -> Vec<Result<Destination, Reply>> {
    if let [only] = recipients {
        return vec![route(proxy, &only.to, standing).await];
    }
    let lost = || Err(reply::failure(&Failure::NoHome));
    let mut found: Vec<_> = recipients.iter().map(|_| lost()).collect();
    let mut asked = JoinSet::new();
    let mut left = recipients.iter().enumerate();
    loop {
        while asked.len() < MAX_ASKED
            && let Some((place, recipient)) = left.next()
        {
            let (proxy, to) = (proxy.clone(), recipient.to.clone());
            asked.spawn(async move { (place, route(&proxy, &to, standing).await) });
        }
        match asked.join_next().await {
            None => return found,
            Some(Ok((place, answer))) => {
                if let Some(slot) = found.get_mut(place) {
                    *slot = answer;
                }
            }
            Some(Err(error)) => tracing::error!(%error, "no route"),
        }
    }
}

async fn route(proxy: &SmtpProxy, to: &ForwardPath, standing: Standing) -> Result<Destination, Reply> {
    let group_home = || {
        let home = proxy.group_home.clone().map(Destination::home);
        home.ok_or_else(|| reply::failure(&Failure::NoHome))
    };
    let (address, is_postmaster) = match to {
        ForwardPath::Address(address) => (
            address.clone(),
            address.local_part().eq_ignore_ascii_case("postmaster"),
        ),
        // RFC 5321 section 4.5.1: without a domain it is ours.
        ForwardPath::Postmaster => match (LocalPart::parse("postmaster"), proxy.domains.first()) {
            (Ok(local), Some(domain)) => (Address::new(&local, &domain), true),
            // The entries of a directory have no order, and none of them is the first.
            _ => return group_home(),
        },
    };
    // Asked first, whatever a map says: anything else would be an open relay.
    match proxy.domains.find(&address.domain()).await {
        DomainAnswer::Ours => {}
        DomainAnswer::Foreign => return foreign(proxy, standing),
        DomainAnswer::Unavailable(cause) => {
            let failure = Failure::Directory(cause.to_string());
            tracing::warn!(%address, %failure, "nobody can say whether the domain is ours");
            return Err(reply::failure(&failure));
        }
    }
    let failure = match proxy.context.maps.resolve(&address).await {
        Route::Home(found) => return Ok(Destination::home(found.home)),
        Route::NoSuchAccount | Route::Rejected => Failure::Rejected(Rejection::NoSuchAccount),
        Route::NoHome {
            kind: EntryKind::Group,
        } => return group_home(),
        Route::NoHome { .. } => Failure::NoHome,
        Route::Ambiguous(candidates) => Failure::Ambiguous(candidates.join("; ")),
        Route::Unavailable(cause) => Failure::Directory(cause.to_string()),
    };
    if is_postmaster && matches!(failure, Failure::Rejected(_) | Failure::NoHome) {
        // RFC 5321 section 4.5.1: postmaster always has a home.
        return group_home();
    }
    if failure.is_alarming() {
        tracing::error!(%address, %failure, "no route");
    }
    Err(reply::failure(&failure))
}

/// A domain that is not ours: only those who may relay get it anywhere.
fn foreign(proxy: &SmtpProxy, standing: Standing) -> Result<Destination, Reply> {
    match (standing, &proxy.relay_home) {
        (Standing::MayRelay, Some(home)) => Ok(Destination::relay(home.clone())),
        (Standing::MayRelay, None) | (Standing::Stranger, _) => Err(reply::other_domain()),
    }
}
