//! Judging a recipient while the client waits: to whom the mail will go, or why not.
//!
//! "No such user" is said only when the store and, where there is one, the directory are certain. Everything
//! that could not be found out is a temporary refusal.

use crate::config::DisabledDelivery;
use crate::receiver::Receiver;
use model::{AccountId, Address, LocalPart, OnDemandOutcome};
use std::sync::Arc;
use store::{Account, Expansion, Recipient, StoreError};
use wire::smtp::ForwardPath;

/// Why a recipient is refused. `reply.rs` says it to the client.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// The domain is ours and nobody has that name.
    NoSuchName,
    /// The domain is not ours: that would be relaying.
    NotLocalDomain,
    /// The account or group is disabled.
    Disabled,
    /// The account is disabled, and may be opened again before the sender gives up.
    DisabledForNow,
    /// The account's home is another server now; its mail finds the way when the front ends know.
    MovedAway,
    /// The account's earlier mail is still on its way here.
    AwaitingMail,
    /// The directory could not be asked.
    DirectoryUnavailable,
    /// A member of the group lives elsewhere or is still on its way, and cannot be delivered to from here.
    GroupElsewhere,
    /// No member of the group leads anywhere.
    GroupDead,
    /// `<Postmaster>` and nobody is set to be that.
    NoPostmaster,
    /// The message would not fit into the account's quota.
    OverQuota,
    /// The store could not answer.
    Store(StoreError),
}

/// The accounts that will get the mail: at least one.
pub(crate) async fn judge(
    receiver: &Receiver,
    path: &ForwardPath,
    declared_size: Option<u64>,
) -> Result<Vec<AccountId>, Refusal> {
    let accounts = match path {
        ForwardPath::Address(address) => named(receiver, address).await?,
        ForwardPath::Postmaster => postmaster(receiver).await?,
    };
    let size = declared_size.unwrap_or(0);
    for account in &accounts {
        let Some(quota) = account.quota else { continue };
        let usage = receiver
            .parts
            .store
            .mail(account.id)
            .usage()
            .await
            .map_err(Refusal::Store)?;
        if usage.bytes.saturating_add(size) > quota.0 {
            return Err(Refusal::OverQuota);
        }
    }
    Ok(accounts.iter().map(|account| account.id).collect())
}

async fn named(receiver: &Receiver, address: &Address) -> Result<Vec<Arc<Account>>, Refusal> {
    match known(receiver, address).await {
        // RFC 5321 section 4.5.1: every hosted domain has a postmaster.
        Err(Refusal::NoSuchName) if address.local_part().eq_ignore_ascii_case("postmaster") => {
            match &receiver.limits.postmaster {
                Some(person) if person != address => known(receiver, person).await,
                _ => Err(Refusal::NoSuchName),
            }
        }
        other => other,
    }
}

/// RFC 5321 section 4.1.1.3: `<Postmaster>` without a domain is ours.
async fn postmaster(receiver: &Receiver) -> Result<Vec<Arc<Account>>, Refusal> {
    if let Some(person) = &receiver.limits.postmaster {
        return known(receiver, person).await;
    }
    let local = LocalPart::parse("postmaster").map_err(|_| Refusal::NoPostmaster)?;
    let address = Address::new(&local, &receiver.parts.server_name);
    match known(receiver, &address).await {
        Err(Refusal::NoSuchName | Refusal::NotLocalDomain) => {
            tracing::warn!("mail to <Postmaster> is deferred: set smtp.postmaster, or create {address}");
            Err(Refusal::NoPostmaster)
        }
        other => other,
    }
}

/// Looks in the store; when nobody has that very name there, asks the directory once and looks again.
async fn known(receiver: &Receiver, address: &Address) -> Result<Vec<Arc<Account>>, Refusal> {
    let first = look(receiver, address);
    let Some(ask) = &receiver.parts.on_demand else {
        return first;
    };
    if is_named(receiver, address)? {
        return first;
    }
    match ask(address.clone()).await {
        OnDemandOutcome::Synced => match look(receiver, address) {
            // The directory has just said that the name is here: it went away in between, or the sync could
            // not create it. Either way nobody is certain now.
            Err(Refusal::NoSuchName | Refusal::NotLocalDomain) => Err(Refusal::DirectoryUnavailable),
            again => again,
        },
        // The directory serves the domain, so it is ours even where the store has not heard of it yet.
        OnDemandOutcome::NoSuchName => match first {
            Err(Refusal::NotLocalDomain) => Err(Refusal::NoSuchName),
            other => other,
        },
        OnDemandOutcome::NotConnected => first,
        OnDemandOutcome::Unavailable => Err(Refusal::DirectoryUnavailable),
    }
}

/// Whether the store has the name itself, rather than a catch-all for everybody it does not know: that one must
/// not get the mail of somebody whom only the directory knows yet.
fn is_named(receiver: &Receiver, address: &Address) -> Result<bool, Refusal> {
    for name in [Some(address.clone()), address.without_detail()]
        .into_iter()
        .flatten()
    {
        if receiver
            .parts
            .store
            .local_id(&name)
            .map_err(Refusal::Store)?
            .is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn look(receiver: &Receiver, address: &Address) -> Result<Vec<Arc<Account>>, Refusal> {
    match receiver
        .parts
        .store
        .resolve_recipient(address)
        .map_err(Refusal::Store)?
    {
        Recipient::Account(account) => Ok(vec![account]),
        Recipient::Group(expansion) => group(receiver, address, expansion),
        Recipient::NoSuchName => Err(Refusal::NoSuchName),
        Recipient::NotLocalDomain => Err(Refusal::NotLocalDomain),
        Recipient::Disabled => Err(Refusal::Disabled),
        Recipient::DisabledAccount(account) => match receiver.limits.disabled_delivery {
            DisabledDelivery::Accept => Ok(vec![account]),
            DisabledDelivery::Tempfail => Err(Refusal::DisabledForNow),
            DisabledDelivery::Reject => Err(Refusal::Disabled),
        },
        Recipient::MovedAway(_) => Err(Refusal::MovedAway),
        Recipient::AwaitingMail(_) => Err(Refusal::AwaitingMail),
    }
}

/// All members or none: whoever is left out would never hear of it, and there is no queue to send from.
fn group(
    receiver: &Receiver,
    address: &Address,
    mut expansion: Expansion,
) -> Result<Vec<Arc<Account>>, Refusal> {
    if receiver.limits.disabled_delivery == DisabledDelivery::Accept {
        expansion.accounts.append(&mut expansion.disabled);
    }
    if !expansion.disabled.is_empty() {
        let members = expansion.disabled.iter().map(|account| &account.address);
        tracing::info!(group = %address, members = ?members.collect::<Vec<_>>(), "disabled members are left out");
    }
    if !expansion.dead.is_empty() {
        tracing::warn!(group = %address, members = ?expansion.dead, "members lead nowhere and are left out");
    }
    if !expansion.elsewhere.is_empty() || !expansion.awaiting.is_empty() {
        tracing::warn!(group = %address, elsewhere = ?expansion.elsewhere, "members cannot be reached from here");
        return Err(Refusal::GroupElsewhere);
    }
    if expansion.accounts.is_empty() {
        return Err(Refusal::GroupDead);
    }
    Ok(expansion.accounts)
}
