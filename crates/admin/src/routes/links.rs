//! `/v1/sync`: single objects and their links, conflicts, what waits.

use super::sync::{engine, json_of};
use super::time::rfc3339;
use super::{Admin, Asked, Body, Named, accounts, address, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use ldapsync::{LinkOrder, Pairing, Side, SyncEngine};
use model::{AccountId, EntryUuid, GroupId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Association, Conflict, ConflictId, LinkState, LocalId, Loser, MemberRef, Store};

/// Rows of a page unless fewer are asked for.
const PAGE: usize = 256;

/// An object by address, by login, by number or by its entry's UUID.
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Named((name, object)): Named<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let engine = engine(&admin, &name)?;
    let named = match (EntryUuid::parse(&object), model::Address::parse(&object)) {
        (Ok(uuid), _) => ldapsync::Named::Entry(uuid),
        (_, Ok(address)) => ldapsync::Named::Address(address),
        _ if object.contains(' ') => ldapsync::Named::Local(own(local(admin.store()?, &object)?)),
        _ => match (by_login(&admin, &name, &object).await, object.parse::<u64>()) {
            (Ok(uuid), _) => ldapsync::Named::Entry(uuid),
            // Somebody's login may be a number; if it is nobody's, it is an account's.
            (Err(ApiError::NotFound(_)), Ok(_)) => {
                ldapsync::Named::Local(own(local(admin.store()?, &object)?))
            }
            (Err(error), _) => return Err(error),
        },
    };
    let found = engine.explain_object(&named).await?;
    let found = found.ok_or_else(|| {
        ApiError::NotFound(format!(
            "neither this server nor the directory of {name} knows {object}"
        ))
    })?;
    let mut value = json_of(&found)?;
    let text = found.render(|millis| rfc3339(model::Timestamp::from_millis(millis)));
    if let Some(object) = value.as_object_mut() {
        object.insert("text".to_owned(), json!(text));
    }
    Ok(Json(value))
}

fn own(local: LocalId) -> ldapsync::LocalId {
    match local {
        LocalId::Account(id) => ldapsync::LocalId::Account(id),
        LocalId::Group(id) => ldapsync::LocalId::Group(id),
    }
}

/// The entry that a login belongs to, as the directory says.
async fn by_login(admin: &Admin, name: &str, login: &str) -> Result<EntryUuid, ApiError> {
    let current = admin.current.load_full();
    let connector = current.connectors.iter().find(|known| known.name() == name);
    let connector = connector.ok_or_else(|| ApiError::NotFound(format!("there is no connector {name}")))?;
    match connector.lookup_login(login).await {
        directory::Lookup::Found(entry) => Ok(entry.uuid),
        directory::Lookup::NotFound => Err(ApiError::NotFound(format!(
            "no entry of {name} has the login {login}"
        ))),
        directory::Lookup::Ambiguous(dns) => Err(ApiError::Conflict(format!(
            "several entries log in as {login}: {}",
            dns.join(" | ")
        ))),
        directory::Lookup::Unavailable(why) => Err(ApiError::Temporary(why.to_string())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<usize>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, PAGE)
    }
}

pub(super) async fn conflicts(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let (engine, store) = (engine(&admin, &name)?, admin.store()?);
    let after = page.after.as_deref().map(conflict_id).transpose()?;
    let rows = store.list_conflicts(engine.name(), after.as_ref(), page.limit())?;
    let next = rows.last().map(|row| row.id.to_string());
    let rows: Vec<Value> = rows.iter().map(conflict).collect();
    Ok(Json(json!({ "rows": rows, "next": next })))
}

fn conflict(row: &Conflict) -> Value {
    let text = |values: &[_]| -> String {
        let texts = values.iter().map(|value: &_| {
            let bytes: &[u8] = AsRef::<[u8]>::as_ref(value);
            String::from_utf8_lossy(bytes).into_owned()
        });
        let texts: Vec<String> = texts.collect();
        if texts.is_empty() {
            "-".to_owned()
        } else {
            texts.join(", ")
        }
    };
    let lost = match row.loser {
        Loser::Local => "here",
        Loser::Remote => "directory",
        Loser::Both => "both",
    };
    json!({
        "id": row.id.to_string(),
        "time": rfc3339(row.id.time),
        "entry": row.id.remote,
        "object": row.subject,
        "field": row.id.field,
        "rule": row.rule,
        "lost": lost,
        "base": text(&row.base),
        "here": text(&row.local_values),
        "directory": text(&row.remote_values),
    })
}

fn conflict_id(text: &str) -> Result<ConflictId, ApiError> {
    ConflictId::parse(text).ok_or_else(|| ApiError::BadRequest(format!("{text:?} is no conflict's id")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restore {
    id: String,
    /// Whose value, where both lost: `here` or `directory`.
    side: Option<String>,
}

pub(super) async fn restore(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<Restore>,
) -> Result<Json<Value>, ApiError> {
    let engine = engine(&admin, &name)?;
    let side = match body.side.as_deref() {
        None => None,
        Some("here") => Some(Side::Local),
        Some("directory") => Some(Side::Remote),
        Some(other) => {
            return Err(ApiError::BadRequest(format!(
                "{other:?} is none of: here, directory"
            )));
        }
    };
    let done = engine
        .restore(&conflict_id(&body.id)?, side, &origin(caller))
        .await?;
    Ok(Json(json!({ "restored": done })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// `unlink`, `relink` or `release`.
    order: String,
    /// Addresses, or `account 7` and `group 7`; at most 256.
    objects: Vec<String>,
}

/// Changes links. Only root and the server's own user come through this socket, and that is the privilege
/// `sync.unlink`: it is given to nobody else.
pub(super) async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<Link>,
) -> Result<Json<Value>, ApiError> {
    let (engine, store) = (engine(&admin, &name)?, admin.store()?);
    if !caller.may_unlink() {
        return Err(ApiError::Forbidden(
            "this needs the privilege sync.unlink".to_owned(),
        ));
    }
    let order = match body.order.as_str() {
        "unlink" => LinkOrder::Unlink,
        "relink" => LinkOrder::Relink,
        "release" => LinkOrder::Release,
        other => {
            let text = format!("{other:?} is none of: unlink, relink, release");
            return Err(ApiError::BadRequest(text));
        }
    };
    let objects: Result<Vec<LocalId>, ApiError> =
        body.objects.iter().map(|object| local(store, object)).collect();
    let changed = engine.links(order, objects?, &origin(caller)).await?;
    Ok(Json(json!({ "changed": changed })))
}

/// An object by address, or as lists show it.
fn local(store: &Store, text: &str) -> Result<LocalId, ApiError> {
    let number = |digits: &str| digits.parse::<u64>().ok();
    let found = match text.split_once(' ') {
        Some(("account", digits)) => number(digits)
            .and_then(|number| AccountId::new(number).ok())
            .map(LocalId::Account),
        Some(("group", digits)) => number(digits)
            .and_then(|number| GroupId::new(number).ok())
            .map(LocalId::Group),
        // A number is an account's, as everywhere.
        _ if number(text).is_some() => Some(LocalId::Account(accounts::find(store, text)?.id)),
        _ => store.local_id(&address(text)?)?,
    };
    found.ok_or_else(|| ApiError::NotFound(format!("there is no account or group {text}")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Links {
    after: Option<EntryUuid>,
    limit: Option<usize>,
    /// `linked`, `unlinked-held` and so on; none for all.
    state: Option<String>,
    /// Also look in the directory for what belongs together: only for those that are held.
    #[serde(default)]
    pairing: bool,
}

/// A page of links by UUID. A filter leaves rows out, so a page may be empty with more behind it.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Asked(page): Asked<Links>,
) -> Result<Json<Value>, ApiError> {
    let (engine, store) = (engine(&admin, &name)?, admin.store()?);
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let links = store.list_associations(engine.name(), page.after, limit)?;
    let next = links.last().map(|link| link.remote);
    let mut rows = Vec::new();
    for link in &links {
        let state = state_of(&link.data.state);
        if page.state.as_deref().is_some_and(|wanted| wanted != state) {
            continue;
        }
        let held = link.data.state.is_held();
        let pairing = match page.pairing && held {
            true => Some(engine.pairing(link).await?),
            false => None,
        };
        rows.push(row(store, engine, link, pairing)?);
    }
    Ok(Json(json!({ "rows": rows, "next": next })))
}

fn row(
    store: &Store,
    engine: &SyncEngine,
    link: &Association,
    pairing: Option<Pairing>,
) -> Result<Value, ApiError> {
    let (object, address) = match link.local {
        LocalId::Account(id) => (
            format!("account {id}"),
            store.account(id)?.map(|found| found.address.clone()),
        ),
        LocalId::Group(id) => (
            format!("group {id}"),
            store.group(id)?.map(|found| found.address.clone()),
        ),
    };
    Ok(json!({
        "connector": engine.name(),
        "object": object,
        "address": address,
        "entry": link.remote,
        "dn": link.data.dn,
        "state": state_of(&link.data.state),
        "pairing": pairing.map(|pairing| json_of(&pairing)).transpose()?,
    }))
}

fn state_of(state: &LinkState) -> &'static str {
    match state {
        LinkState::Linked => "linked",
        LinkState::OutOfScope { .. } => "out-of-scope",
        LinkState::Gone { .. } => "gone",
        LinkState::MovedAway { .. } => "moved-away",
        LinkState::AwaitingMail { .. } => "awaiting-mail",
        LinkState::UnlinkedHeld { .. } => "unlinked-held",
    }
}

/// What waits: writes that the directory has not acknowledged, members of groups that have no entry or no address yet,
/// and changes here that nobody has looked at, for the directory does not answer. Three lists, each with its own next
/// page.
pub(super) async fn pending(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let (engine, store) = (engine(&admin, &name)?, admin.store()?);
    let (kind, after) = match page.after.as_deref() {
        None => (None, None),
        Some(after) if after.starts_with("edit:") => {
            let number = after.trim_start_matches("edit:").parse();
            let from =
                number.map_err(|_| ApiError::BadRequest(format!("{after} is no place in this list")))?;
            return edits(engine, Some(from)).map(Json);
        }
        Some(after) => {
            let (kind, object) = after.split_once(':').unwrap_or(("", after));
            (Some(kind.to_owned()), Some(local(store, object)?))
        }
    };
    let mut rows: Vec<Value> = Vec::new();
    let mut next = None;
    if kind.as_deref() != Some("member") {
        for intent in store.list_intents(engine.name(), after, page.limit())? {
            let object = object_text(intent.local);
            next = Some(format!("write:{object}"));
            rows.push(json!({
                "what": "write", "object": object, "for": intent.dn, "kind": format!("{:?}", intent.kind).to_lowercase(),
                "attempts": intent.attempts, "since": rfc3339(intent.since), "error": intent.error,
            }));
        }
    }
    if rows.is_empty() {
        let after = after.filter(|_| kind.as_deref() == Some("member"));
        for (group, members) in store.list_pending(engine.name(), after, page.limit())? {
            let object = object_text(group);
            next = Some(format!("member:{object}"));
            let address = match group {
                LocalId::Group(id) => store.group(id)?.map(|group| group.address.to_string()),
                LocalId::Account(_) => None,
            };
            rows.extend(members.iter().map(|member| {
                let member = match member {
                    MemberRef::Entry(uuid) => uuid.to_string(),
                    MemberRef::Address(address) => address.to_string(),
                };
                json!({ "what": "member", "object": address.as_deref().unwrap_or(&object), "for": member })
            }));
        }
    }
    if rows.is_empty() {
        return edits(engine, None).map(Json);
    }
    Ok(Json(json!({ "rows": rows, "next": next })))
}

/// Changes here that wait for the directory.
fn edits(engine: &ldapsync::SyncEngine, after: Option<u64>) -> Result<Value, ApiError> {
    let found = engine.waiting_edits(after)?;
    let row = |edit: &ldapsync::WaitingEdit| {
        json!({
            "what": "edit", "object": edit.local.to_string(), "for": edit.address.as_ref().map(ToString::to_string),
            "changed": edit.changed, "since": rfc3339(edit.since),
        })
    };
    let rows: Vec<Value> = found.edits.iter().map(row).collect();
    Ok(json!({ "rows": rows, "next": found.next.map(|next| format!("edit:{next}")) }))
}

fn object_text(local: LocalId) -> String {
    match local {
        LocalId::Account(id) => format!("account {id}"),
        LocalId::Group(id) => format!("group {id}"),
    }
}
