//! `/v1/accounts`

use super::edits::{decided_by, told_undone};
use super::{Admin, Asked, Body, Current, Named, address, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use directory::Connector;
use directory::config::Direction;
use ldapsync::Field;
use model::{AccountId, Address, Secret, Timestamp};
use net::{SessionEnd, SessionFilter};
use password::ArgonCost;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{Account, AccountChange, AccountState, LinkState, LocalId, NewAccount, Store, StoreError};

/// How long the mail of an account that was deleted by hand is kept.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    address: Address,
    password: Secret,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    aliases: Vec<Address>,
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Create>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let current = admin.current.load_full();
    if !would_be_read(&current, body.address.domain_str()) {
        return Err(ApiError::Conflict(format!(
            "nobody would read the password: the accounts of {0} log in by a directory that this server does not write to (direction = \"ldap-to-local\"). Create {1} in the directory, or put \"local\" into the auth of {0}",
            body.address.domain_str(),
            body.address
        )));
    }
    let hash = hash(&admin, &body.password).await?;
    let mut new = NewAccount::new(body.address);
    (new.aliases, new.display_name, new.password_hash) = (body.aliases, body.display_name, Some(hash));
    let domain = new.address.domain();
    let id = store
        .create_account(new, &origin(caller))
        .await
        .map_err(|error| match error {
            StoreError::NotFound("the domain") => ApiError::NotFound(format!(
                "{domain} is no domain of this server: homing domain create {domain}"
            )),
            error => error.into(),
        })?;
    answer(store, id)
}

/// Whether a login would ever see a password that is set here: by this server's own accounts, or because it is
/// carried to a directory.
fn would_be_read(current: &Current, domain: &str) -> bool {
    let here = current
        .logins
        .as_ref()
        .is_none_or(|logins| logins.reads_local(domain));
    let carried = |connector: &Arc<Connector>| connector.config().direction != Direction::LdapToLocal;
    here || current.connectors.iter().any(carried)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The last id of the page before; 0 for the first page.
    #[serde(default)]
    after: u64,
    #[serde(default = "default_limit")]
    limit: usize,
    /// Only accounts in this state, by the word that the list shows.
    #[serde(default)]
    state: Option<String>,
}

/// Accounts that are looked through for a deleted one, before it is said that nobody has a name.
const LOOKED_FOR: usize = 50_000;

/// Rows that one request looks through for accounts in a state.
const LOOKED_AT: usize = 4096;

fn default_limit() -> usize {
    256
}

/// A page that is shorter than `limit` need not be the last; an empty one is.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let limit = page.limit.clamp(1, 1000);
    let Some(wanted) = page.state else {
        let accounts = store.list_accounts(AccountId::new(page.after).ok(), limit)?;
        let rows: Result<Vec<Value>, StoreError> =
            accounts.iter().map(|account| row(store, account)).collect();
        return Ok(Json(Value::Array(rows?)));
    };
    if !STATES.contains(&wanted.as_str()) {
        let text = format!("{wanted:?} is none of: {}", STATES.join(", "));
        return Err(ApiError::BadRequest(text));
    }
    let (mut rows, mut after, mut looked_at, mut more) = (Vec::new(), page.after, 0, true);
    while more && rows.len() < limit && looked_at < LOOKED_AT {
        let accounts = store.list_accounts(AccountId::new(after).ok(), limit)?;
        more = !accounts.is_empty();
        looked_at += accounts.len();
        for account in accounts {
            if rows.len() == limit {
                break;
            }
            after = account.id.get();
            if state(&account).0 == wanted {
                rows.push(row(store, &account)?);
            }
        }
    }
    let next = more.then_some(after);
    Ok(Json(json!({ "rows": rows, "next": next })))
}

/// Frees the mail of an account whose home is another server now: from here on it is kept for the retention time and
/// then erased. The word of an administrator that the other home has the mail, or that it may go.
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    if !matches!(account.state, AccountState::MovedAway { .. }) {
        let text = format!("{} has not moved to another home", account.address);
        return Err(ApiError::Conflict(text));
    }
    let origin = origin(caller);
    store.delete_account(account.id, RETENTION, &origin).await?;
    answer(store, account.id)
}

/// Opens an account that waits for its mail from another home: the word of an administrator that none will come. The link
/// forgets it in the same commit, or the account would wait again whenever its entry goes and comes back.
pub(super) async fn open(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    if !matches!(account.state, AccountState::AwaitingMail { .. }) {
        let text = format!("{} does not wait for mail from another home", account.address);
        return Err(ApiError::Conflict(text));
    }
    let mut change = AccountChange {
        state: Some(AccountState::Active),
        ..AccountChange::default()
    };
    for link in store.associations_of(LocalId::Account(account.id))? {
        change.sync.extend(ldapsync::opened_rows(link));
    }
    store
        .update_account(account.id, Some(account.version), change, &origin(caller))
        .await?;
    answer(store, account.id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Undelete {
    /// Its address from now on: the old one may belong to a successor by now.
    #[serde(default, rename = "as")]
    address: Option<String>,
    /// The account that gets its mail, while it stays deleted itself.
    #[serde(default)]
    into: Option<String>,
}

/// Brings a deleted account back with its mail. Where its entry is gone or not this connector's any more, the two are
/// unlinked and held in the same commit: the account is its own from then on, or the next comparison would delete it
/// again.
pub(super) async fn undelete(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<Undelete>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    if !matches!(account.state, AccountState::SoftDeleted { .. }) {
        return Err(ApiError::Conflict(format!("{} is not deleted", account.address)));
    }
    if let Some(heir) = &body.into {
        if body.address.is_some() {
            let text =
                "as and into exclude each other: an account comes back, or its mail goes to another one";
            return Err(ApiError::BadRequest(text.to_owned()));
        }
        let heir = find(store, heir)?;
        return super::inherit::copy(store, &account, &heir, &origin(caller)).await;
    }
    let mut change = AccountChange {
        enabled: Some(true),
        state: Some(AccountState::Active),
        ..AccountChange::default()
    };
    if let Some(new) = body.address {
        change.address = Some(address(&new)?);
        change.aliases = Some(Vec::new());
    }
    come_back(store, &account, &mut change)?;
    store
        .update_account(account.id, Some(account.version), change, &origin(caller))
        .await?;
    answer(store, account.id)
}

/// What becomes of the links of an account that comes back. Where the entry is gone or out of scope, the two are parted
/// and held, or the next comparison would delete it again. Whose mail was released after a move still has another home:
/// it goes back to waiting for that home's word, unless it gets an address of its own.
fn come_back(store: &Store, account: &Account, change: &mut AccountChange) -> Result<(), StoreError> {
    for link in store.associations_of(LocalId::Account(account.id))? {
        match &link.data.state {
            LinkState::Gone { .. } | LinkState::OutOfScope { .. } => {
                change.sync.extend(ldapsync::unlink_rows(link));
            }
            LinkState::MovedAway { .. } if change.address.is_some() => {
                change.sync.extend(ldapsync::unlink_rows(link));
            }
            LinkState::MovedAway { to } => {
                change.state = Some(AccountState::MovedAway { to: to.clone() });
            }
            LinkState::Linked | LinkState::AwaitingMail { .. } | LinkState::UnlinkedHeld { .. } => {}
        }
    }
    Ok(())
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    answer(store, find(store, &name)?.id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetEnabled {
    enabled: bool,
}

/// Enabling also revives an account that was deleted and is still kept. It does not touch a move between homes.
pub(super) async fn set_enabled(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<SetEnabled>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    let mut change = AccountChange {
        enabled: Some(body.enabled),
        ..AccountChange::default()
    };
    if body.enabled && matches!(account.state, AccountState::SoftDeleted { .. }) {
        change.state = Some(AccountState::Active);
        come_back(store, &account, &mut change)?;
    }
    // Not refused: whoever has to shut somebody out now is to be able to.
    let undone_by = decided_by(&admin, LocalId::Account(account.id), Field::Enabled)?;
    store
        .update_account(account.id, Some(account.version), change, &origin(caller))
        .await?;
    if !body.enabled {
        end_sessions(&admin, &account);
    }
    let Json(answer) = answer(store, account.id)?;
    Ok(Json(told_undone(answer, undone_by)))
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let account = find(store, &name)?;
    // Not refused, like a disable; the entry brings it back.
    let undone_by = decided_by(&admin, LocalId::Account(account.id), Field::Address)?;
    let entry = entry_that_goes(&admin, account.id)?;
    store
        .delete_account(account.id, RETENTION, &origin(caller))
        .await?;
    end_sessions(&admin, &account);
    let Json(mut answer) = answer(store, account.id)?;
    if let (Some((connector, dn)), None, Some(row)) = (entry, &undone_by, answer.as_object_mut()) {
        row.insert("entry_deleted_by".to_owned(), json!(connector));
        row.insert("entry_dn".to_owned(), json!(dn));
    }
    Ok(Json(told_undone(answer, undone_by)))
}

/// The connector that deletes the entry of an account that is deleted here, and the DN: one that writes to the directory.
fn entry_that_goes(admin: &Admin, id: AccountId) -> Result<Option<(String, String)>, ApiError> {
    let current = admin.current.load_full();
    let writes = |name: &str| {
        let config = current.connectors.iter().map(|connector| connector.config());
        let mut own = config.filter(|config| config.name == name);
        own.any(|config| config.direction != Direction::LdapToLocal)
    };
    let links = admin.store()?.associations_of(LocalId::Account(id))?;
    let link = links
        .into_iter()
        .find(|link| matches!(link.data.state, LinkState::Linked) && writes(&link.connector));
    Ok(link.map(|link| (link.connector, link.data.dn.to_string())))
}

/// Whoever is in by what holds no longer has to log in again.
pub(super) fn end_sessions(admin: &Admin, account: &Account) {
    let filter = SessionFilter {
        account: Some(account.address.clone()),
        ..SessionFilter::default()
    };
    let sessions = admin.sessions.end(&filter, SessionEnd::Revoked);
    if sessions > 0 {
        tracing::info!(account = %account.address, sessions, "sessions are ended");
    }
}

/// An account by address, alias or number. Only the number finds one that was deleted, for its addresses are
/// free for others.
pub(super) fn find(store: &Store, name: &str) -> Result<Arc<Account>, ApiError> {
    let found = match name
        .parse::<u64>()
        .ok()
        .and_then(|number| AccountId::new(number).ok())
    {
        Some(id) => store.account(id)?,
        None => store.account_by_address(&address(name)?)?,
    };
    match found {
        Some(account) => Ok(account),
        None => Err(ApiError::NotFound(nobody(store, name)?)),
    }
}

/// What is said of a name that no account has now. A deleted account of that name is looked for among the first ones: its
/// address is free, so that no index leads to it, and only its number does.
fn nobody(store: &Store, name: &str) -> Result<String, StoreError> {
    let none = format!("there is no account {name}");
    let Ok(wanted) = Address::parse(name) else {
        return Ok(none);
    };
    let (mut after, mut looked_at, mut last) = (None, 0, None);
    while looked_at < LOOKED_FOR {
        let accounts = store.list_accounts(after, 1000)?;
        let Some(end) = accounts.last().map(|account| account.id) else {
            break;
        };
        (after, looked_at) = (Some(end), looked_at + accounts.len());
        let mut deleted = accounts.iter().filter(|account| {
            matches!(account.state, AccountState::SoftDeleted { .. })
                && (account.address == wanted || account.aliases.contains(&wanted))
        });
        last = deleted.next_back().map(|account| account.id).or(last);
    }
    Ok(match last {
        Some(id) => format!(
            "{none}: it is deleted, and its number is {id} (homing account show {id}; to bring it back: homing account \
             undelete {id})"
        ),
        None => none,
    })
}

pub(super) fn answer(store: &Store, id: AccountId) -> Result<Json<Value>, ApiError> {
    let account = store
        .account(id)?
        .ok_or_else(|| ApiError::NotFound("the account is gone".to_owned()))?;
    Ok(Json(row(store, &account)?))
}

pub(super) async fn hash(admin: &Admin, password: &Secret) -> Result<Secret, ApiError> {
    match admin.passwords.hash(password, ArgonCost::DEFAULT).await {
        Ok(hash) => Ok(Secret::from(hash)),
        Err(error @ (password::HashError::Empty | password::HashError::Cost)) => {
            Err(ApiError::BadRequest(error.to_string()))
        }
        Err(error) => Err(ApiError::Temporary(error.to_string())),
    }
}

fn row(store: &Store, account: &Account) -> Result<Value, StoreError> {
    let associations = store.associations_of(LocalId::Account(account.id))?;
    let (state, kept_until, other_home) = state(account);
    Ok(json!({
        "id": account.id,
        "address": account.address,
        "aliases": account.aliases,
        "display_name": account.display_name,
        "state": state,
        "kept_until": kept_until,
        "other_home": other_home,
        "quota": account.quota,
        "local_password": account.password_hash().is_some(),
        "version": account.version,
        "created": super::time::rfc3339(account.created),
        "entry_uuid": associations.first().map(|association| association.remote),
        "connector": associations.first().map(|association| association.connector.clone()),
        "unlinked": associations.first().is_some_and(|association| association.data.state.is_held()),
    }))
}

/// An account whose mail is kept until somebody decides has an end that never comes.
const DECIDED_BY_HAND: Timestamp = Timestamp::from_millis(253_402_300_800_000);

/// What [`state`] says.
const STATES: [&str; 5] = ["active", "disabled", "deleted", "moved-away", "awaiting-mail"];

/// The state in one word, when a deleted account is erased, and the other server of a move.
fn state(account: &Account) -> (&'static str, Option<String>, Option<&str>) {
    match &account.state {
        AccountState::SoftDeleted { until, .. } if *until >= DECIDED_BY_HAND => ("deleted", None, None),
        AccountState::SoftDeleted { until, .. } => ("deleted", Some(super::time::rfc3339(*until)), None),
        AccountState::MovedAway { to } => ("moved-away", None, Some(to)),
        AccountState::AwaitingMail { from } => ("awaiting-mail", None, Some(from)),
        AccountState::Active if !account.enabled => ("disabled", None, None),
        AccountState::Active => ("active", None, None),
    }
}
