//! `/v1/groups`

use super::edits::{decided_by, refuse_undone, told_undone};
use super::{Admin, Asked, Body, Named, address, origin};
use crate::ApiError;
use crate::socket::Caller;
use axum::extract::State;
use axum::{Extension, Json};
use ldapsync::Field;
use model::{Address, GroupId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Group, GroupChange, LocalId, Member, NewGroup, Store, StoreError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    address: Address,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    members: Vec<Address>,
}

pub(super) async fn create(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Create>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let mut new = NewGroup::new(body.address.clone());
    new.display_name = body.display_name;
    new.members = body.members.into_iter().map(Member::Local).collect();
    store.create_group(new, &origin(caller)).await?;
    answer(store, &body.address)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The last id of the page before; 0 for the first page.
    #[serde(default)]
    after: u64,
    #[serde(default = "default_limit")]
    limit: usize,
}

fn default_limit() -> usize {
    256
}

/// Members that one page tells of; a page ends with the group that goes beyond it.
const MEMBERS_TOLD: usize = 20_000;

/// A page that is shorter than `limit` need not be the last; an empty one is.
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let (mut rows, mut members) = (Vec::new(), 0);
    for group in store.list_groups(GroupId::new(page.after).ok(), page.limit.clamp(1, 256))? {
        rows.push(row(store, &group)?);
        members += group.members.len();
        if members >= MEMBERS_TOLD {
            break;
        }
    }
    Ok(Json(Value::Array(rows)))
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    answer(admin.store()?, &address(&name)?)
}

pub(super) async fn remove(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let group = find(store, &address(&name)?)?;
    // Not refused, as with accounts; the entry brings it back.
    let undone_by = decided_by(&admin, LocalId::Group(group.id), Field::Address)?;
    store.delete_group(group.id, &origin(caller)).await?;
    Ok(Json(told_undone(json!({ "address": group.address }), undone_by)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddMember {
    member: Address,
}

pub(super) async fn add_member(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Body(body): Body<AddMember>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let group = find(store, &address(&name)?)?;
    refuse_members(&admin, &group)?;
    let mut members = group.members.clone();
    if members.iter().any(|member| *member.address() == body.member) {
        return Err(ApiError::Conflict(format!("{} is a member already", body.member)));
    }
    members.push(Member::Local(body.member));
    change_members(store, &group, members, caller).await
}

pub(super) async fn remove_member(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Named((name, member)): Named<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let store = admin.store()?;
    let (group, member) = (find(store, &address(&name)?)?, address(&member)?);
    refuse_members(&admin, &group)?;
    let members: Vec<Member> = group
        .members
        .iter()
        .filter(|known| *known.address() != member)
        .cloned()
        .collect();
    if members.len() == group.members.len() {
        return Err(ApiError::NotFound(format!(
            "{member} is no member of {}",
            group.address
        )));
    }
    change_members(store, &group, members, caller).await
}

/// Who is in a group that follows its entry is decided there.
fn refuse_members(admin: &Admin, group: &Group) -> Result<(), ApiError> {
    refuse_undone(
        admin,
        (LocalId::Group(group.id), &group.address),
        &[Field::Members],
    )
}

/// On the version that was read, so that two administrators cannot undo each other's change unseen.
async fn change_members(
    store: &Store,
    group: &Group,
    members: Vec<Member>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    let change = GroupChange {
        members: Some(members),
        ..GroupChange::default()
    };
    store
        .update_group(group.id, Some(group.version), change, &origin(caller))
        .await?;
    answer(store, &group.address)
}

pub(super) fn find(store: &Store, address: &Address) -> Result<Arc<Group>, ApiError> {
    store
        .group_by_address(address)?
        .ok_or_else(|| ApiError::NotFound(format!("there is no group {address}")))
}

pub(super) fn answer(store: &Store, address: &Address) -> Result<Json<Value>, ApiError> {
    Ok(Json(row(store, &*find(store, address)?)?))
}

fn row(store: &Store, group: &Group) -> Result<Value, StoreError> {
    let associations = store.associations_of(LocalId::Group(group.id))?;
    Ok(json!({
        "id": group.id,
        "address": group.address,
        "aliases": group.aliases,
        "display_name": group.display_name,
        "enabled": group.enabled,
        "member_count": group.members.len(),
        "members": group.members.iter().map(Member::address).collect::<Vec<_>>(),
        "version": group.version,
        "entry_uuid": associations.first().map(|association| association.remote),
        "connector": associations.first().map(|association| association.connector.clone()),
    }))
}
