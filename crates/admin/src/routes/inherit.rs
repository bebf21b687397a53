//! The mail of a deleted account for another one: what an administrator says, for nothing else tells that a new entry and
//! an old account are the same person.

use super::accounts::answer;
use crate::ApiError;
use axum::Json;
use serde_json::{Value, json};
use store::{Account, AccountState, LocalId, Origin, Store};

/// Copies the mail; the deleted account stays deleted and keeps what it has as long as before.
pub(super) async fn copy(
    store: &Store,
    from: &Account,
    heir: &Account,
    origin: &Origin,
) -> Result<Json<Value>, ApiError> {
    let refused = |why: &str| Err(ApiError::Conflict(format!("{} {why}", heir.address)));
    match &heir.state {
        AccountState::Active => {}
        AccountState::SoftDeleted { .. } => return refused("is deleted itself"),
        AccountState::MovedAway { .. } => return refused("has moved to another home; do this there"),
        AccountState::AwaitingMail { .. } => {
            return refused("waits for its own mail from another home; do this when it is open");
        }
    }
    // Before anything is copied: what ends in the middle is to be seen as well.
    for (account, text) in [
        (
            heir,
            format!(
                "gets the mail of the deleted account {} ({})",
                from.id, from.address
            ),
        ),
        (
            from,
            format!("its mail is copied to account {} ({})", heir.id, heir.address),
        ),
    ] {
        let object = LocalId::Account(account.id);
        store.commit_sync_as(&[], (Some(object), text), origin).await?;
    }
    let done = store.mail(heir.id).copy_from(&store.mail(from.id)).await?;
    tracing::warn!(from = %from.id, to = %heir.address, by = ?origin, copied = done.copied, "mail was copied");
    let mut answer = answer(store, heir.id)?;
    if let Some(row) = answer.as_object_mut() {
        row.insert(
            "inherited".to_owned(),
            json!({
                "from": from.id, "mailboxes": done.mailboxes, "copied": done.copied, "already_there": done.known,
            }),
        );
    }
    Ok(answer)
}
