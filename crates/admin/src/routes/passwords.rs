//! `/v1/accounts/{address}/password` and `.../password-change`: a new password goes where it is read.

use super::accounts::{end_sessions, find, hash};
use super::{Admin, Body, Current, Named, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use directory::export::Disabled;
use directory::{ChangedBy, Connector, Lookup, PasswordChangeError};
use model::{
    Address, AuthOutcome, AuthRequest, Credential, EntryUuid, Peer, Protocol, RejectReason, Secret, TlsState,
    TraceId,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use store::{Account, AccountChange, Association, LinkState, LocalId};

/// A longer one matches nothing at a login.
const LONGEST: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetPassword {
    password: Secret,
}

/// An administrator's word: the old password is not asked for.
pub(super) async fn set(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<SetPassword>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    usable(&body.password)?;
    let current = admin.current.load_full();
    let links = store.associations_of(LocalId::Account(account.id))?;
    if let Some(link) = living(&links) {
        let connectors = named(&current, link);
        let here = if account.enabled {
            Disabled::No
        } else {
            Disabled::Yes
        };
        let by = ChangedBy::Administrator { here };
        let done = to_directory(&connectors, &account.address, link.remote, by, &body.password).await?;
        renew_local(&admin, &account, caller, &connectors, &body.password).await?;
        return Ok(done);
    }
    if !reads_local(&current, &account) {
        let (domain, address) = (account.address.domain_str(), &account.address);
        let why = match links.first() {
            Some(_) => format!(
                "{address} is parted from its entry: set the password in the directory, or link the two again (homing sync relink {address})"
            ),
            None => format!("{address} has no entry there yet"),
        };
        return Err(ApiError::Conflict(format!(
            "nobody would read the password: the accounts of {domain} log in by a directory (\"local\" is not in their auth), and {why}"
        )));
    }
    to_store(&admin, &account, caller, &body.password).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangePassword {
    old: Secret,
    new: Secret,
    /// The user's own address, for the throttle; loopback when whoever asks does not say.
    #[serde(default)]
    client: Option<IpAddr>,
}

/// The user's word: whoever knows the old password may change it. A wrong one counts as a failed login.
pub(super) async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<ChangePassword>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    usable(&body.new)?;
    if body.new.expose() == body.old.expose() {
        return Err(ApiError::BadRequest("the new password is the old one".to_owned()));
    }
    let current = admin.current.load_full();
    let links = store.associations_of(LocalId::Account(account.id))?;
    let entry = checked(&current, &account, &links, &body).await?;
    let Some(entry) = entry else {
        return to_store(&admin, &account, caller, &body.new).await;
    };
    let connectors = match links.iter().find(|link| link.remote == entry) {
        Some(link) => named(&current, link),
        None => current.connectors.clone(),
    };
    let by = ChangedBy::User { old: &body.old };
    let done = to_directory(&connectors, &account.address, entry, by, &body.new).await?;
    renew_local(&admin, &account, caller, &connectors, &body.new).await?;
    Ok(done)
}

/// A hash here, from the time before the entry or as a copy of its password, would let the old password in for as long
/// as `local` is asked. Directory first, then this: it becomes that of the new password where one is read here, and goes
/// otherwise. A copy goes as well: the next one comes with the change of the entry.
async fn renew_local(
    admin: &Admin,
    account: &Account,
    caller: Caller,
    connectors: &[Arc<Connector>],
    new: &Secret,
) -> Result<(), ApiError> {
    if account.password_hash().is_none() {
        return Ok(());
    }
    let copied = connectors
        .iter()
        .any(|connector| connector.config().copy_passwords);
    let read_here = reads_local(&admin.current.load(), account);
    let renewed = async {
        let fresh = match read_here && !copied {
            true => Some(hash(admin, new).await?),
            false => None,
        };
        let change = AccountChange {
            password_hash: Some(fresh),
            ..AccountChange::default()
        };
        let (store, origin) = (admin.store()?, origin(caller));
        store.update_account(account.id, None, change, &origin).await?;
        Ok(())
    };
    renewed.await.map_err(|error: ApiError| {
        tracing::error!(account = %account.address, ?error, "the former password is still kept here");
        ApiError::Temporary(
            "the password was changed in the directory, but the former one is still kept here: set it once more"
                .to_owned(),
        )
    })
}

fn reads_local(current: &Current, account: &Account) -> bool {
    let logins = current.logins.as_ref();
    logins.is_some_and(|logins| logins.reads_local(account.address.domain_str()))
}

/// The entry whose password the old one is; none when it is this server's own.
async fn checked(
    current: &Current,
    account: &Account,
    links: &[Association],
    body: &ChangePassword,
) -> Result<Option<EntryUuid>, ApiError> {
    let logins = current
        .logins
        .as_ref()
        .ok_or_else(|| ApiError::Conflict("this node checks no logins".to_owned()))?;
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request = AuthRequest {
        login: account.address.as_str().to_owned(),
        authzid: None,
        credential: Credential::Password(body.old.clone()),
        protocol: Protocol::Imap,
        peer: Peer {
            client: SocketAddr::new(body.client.unwrap_or(here), 0),
            local: SocketAddr::new(here, 0),
            tls: TlsState::Encrypted,
            trace: TraceId::new(0),
        },
    };
    match logins.authenticator.check(&request).await {
        AuthOutcome::Accepted(who) => Ok(who.entry),
        // Only whoever has the password hears that it has expired; changing it is the way out.
        AuthOutcome::Rejected(RejectReason::Expired) => match living(links) {
            Some(link) => Ok(Some(link.remote)),
            None => Err(ApiError::Forbidden("the account has expired".to_owned())),
        },
        AuthOutcome::Rejected(RejectReason::WrongCredential | RejectReason::EmptyPassword) => {
            Err(ApiError::Forbidden("the old password is wrong".to_owned()))
        }
        AuthOutcome::Rejected(reason) => Err(ApiError::Forbidden(format!(
            "{} may not log in: {reason}",
            account.address
        ))),
        AuthOutcome::NoEntry => Err(ApiError::NotFound(format!(
            "{} has no password that is checked here",
            account.address
        ))),
        AuthOutcome::Unavailable(why) | AuthOutcome::Throttled(why) => {
            Err(ApiError::Temporary(why.to_string()))
        }
    }
}

/// The link with an entry whose password is the account's: not with one that is gone, nor one that was parted from it.
fn living(links: &[Association]) -> Option<&Association> {
    let parted = |state: &LinkState| matches!(state, LinkState::Gone { .. } | LinkState::UnlinkedHeld { .. });
    links.iter().find(|link| !parted(&link.data.state))
}

/// The connector of an association, if it is still configured.
fn named(current: &Current, link: &Association) -> Vec<Arc<Connector>> {
    let its = |connector: &&Arc<Connector>| connector.name() == link.connector;
    current.connectors.iter().filter(its).cloned().collect()
}

async fn to_directory(
    connectors: &[Arc<Connector>],
    address: &Address,
    entry: EntryUuid,
    by: ChangedBy<'_>,
    new: &Secret,
) -> Result<Json<Value>, ApiError> {
    let mut away = None;
    for connector in connectors {
        let found = match connector.lookup_uuid(entry).await {
            Lookup::Found(found) => found,
            Lookup::NotFound => continue,
            Lookup::Ambiguous(dns) => {
                let text = format!("{} entries have the identity of {address}", dns.len());
                return Err(ApiError::Conflict(text));
            }
            Lookup::Unavailable(why) => {
                away = Some(why);
                continue;
            }
        };
        return match connector.change_password(&found, by, new).await {
            Ok(()) => {
                tracing::info!(account = %address, connector = connector.name(), "the password was changed in the directory");
                Ok(Json(json!({
                    "address": address, "changed_in": "directory", "connector": connector.name(),
                })))
            }
            Err(error @ PasswordChangeError::WrongPassword) => Err(ApiError::Forbidden(error.to_string())),
            Err(error @ PasswordChangeError::Refused(_)) => Err(ApiError::BadRequest(error.to_string())),
            Err(error @ PasswordChangeError::NotAllowed(_)) => Err(ApiError::Conflict(error.to_string())),
            Err(PasswordChangeError::Unavailable(why)) => Err(ApiError::Temporary(why.to_string())),
        };
    }
    Err(match away {
        Some(why) => ApiError::Temporary(why.to_string()),
        None => ApiError::Conflict(format!(
            "{address} belongs to the directory entry {entry}, which is not to be found"
        )),
    })
}

async fn to_store(
    admin: &Admin,
    account: &Account,
    caller: Caller,
    new: &Secret,
) -> Result<Json<Value>, ApiError> {
    let change = AccountChange {
        password_hash: Some(Some(hash(admin, new).await?)),
        ..AccountChange::default()
    };
    admin
        .store()?
        .update_account(account.id, None, change, &origin(caller))
        .await?;
    // Whoever knew the old one may not go on.
    end_sessions(admin, account);
    Ok(Json(json!({ "address": account.address, "changed_in": "local" })))
}

/// Whether a login with it could ever succeed.
fn usable(password: &Secret) -> Result<(), ApiError> {
    let text = password.expose();
    if text.is_empty() || text.len() > LONGEST || text.contains(&0) {
        return Err(ApiError::BadRequest(format!(
            "a password has 1 to {LONGEST} octets and no NUL"
        )));
    }
    Ok(())
}
