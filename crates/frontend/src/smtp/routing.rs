//! Where a recipient's mail goes. The list of domains is asked first, whatever a map says.

use super::proxy::SmtpProxy;
use super::reply;
use super::transaction::Recipient;
use crate::failure::{Failure, Rejection};
use directory::{EntryKind, HomeRef, Route};
use model::{Address, LocalPart};
use std::sync::Arc;
use tokio::task::JoinSet;
use wire::smtp::{ForwardPath, Reply};

/// Recipients that the directory is asked for at once, for one client.
const MAX_ASKED: usize = 16;

/// The homes of several recipients, in their order; the directory is asked for some of them at once.
pub(super) async fn routes(proxy: &Arc<SmtpProxy>, recipients: &[Recipient]) -> Vec<Result<HomeRef, Reply>> {
    if let [only] = recipients {
        return vec![route(proxy, &only.to).await];
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
            asked.spawn(async move { (place, route(&proxy, &to).await) });
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

async fn route(proxy: &SmtpProxy, to: &ForwardPath) -> Result<HomeRef, Reply> {
    let domains = &proxy.config.domains;
    let (address, is_postmaster) = match to {
        ForwardPath::Address(address) => (
            address.clone(),
            address.local_part().eq_ignore_ascii_case("postmaster"),
        ),
        // RFC 5321 section 4.5.1: without a domain it is ours.
        ForwardPath::Postmaster => match (LocalPart::parse("postmaster"), domains.first()) {
            (Ok(local), Some(domain)) => (Address::new(&local, domain), true),
            _ => return Err(reply::other_domain()),
        },
    };
    // Asked first, whatever a map says: anything else would be an open relay.
    if !domains
        .iter()
        .any(|domain| domain.as_str() == address.domain_str())
    {
        return Err(reply::other_domain());
    }
    let group_home = || {
        let home = proxy.group_home.clone();
        home.ok_or_else(|| reply::failure(&Failure::NoHome))
    };
    let failure = match proxy.context.maps.resolve(&address).await {
        Route::Home(found) => return Ok(found.home),
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
