//! An account that waits for its mail from another home and is opened without it.

use crate::field::Field;
use store::{Association, LinkState, SyncChange};

/// The rows that end the waiting of an account's link: for whoever opens the account in the same commit. None where it
/// does not wait.
#[must_use]
pub fn opened_rows(mut link: Association) -> Vec<SyncChange> {
    let data = &mut link.data;
    let awaited = data.base.remove(Field::AwaitedFrom.name()).is_some();
    let waits = end(&mut data.state);
    match awaited || waits {
        true => vec![SyncChange::Association(Box::new(link))],
        false => Vec::new(),
    }
}

fn end(state: &mut LinkState) -> bool {
    match state {
        LinkState::AwaitingMail { .. } => {
            *state = LinkState::Linked;
            true
        }
        LinkState::UnlinkedHeld { was } => end(was),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{AccountId, EntryUuid};
    use store::{LinkData, LocalId};

    #[test]
    fn nothing_is_left_of_the_waiting() {
        let awaiting = || LinkState::AwaitingMail {
            from: "b.test".to_owned(),
        };
        let held = |was| LinkState::UnlinkedHeld { was: Box::new(was) };
        for (state, awaited, expected) in [
            (awaiting(), true, Some(LinkState::Linked)),
            (held(awaiting()), true, Some(held(LinkState::Linked))),
            // It is remembered of an account that went on before its mail came.
            (LinkState::Linked, true, Some(LinkState::Linked)),
            (LinkState::Linked, false, None),
        ] {
            let mut data = LinkData::new("uid=a,dc=test");
            data.state = state;
            if awaited {
                let from = vec![bytes::Bytes::from_static(b"b.test")];
                data.base.insert("awaited_from".to_owned(), from);
            }
            let rows = opened_rows(Association {
                connector: "people".to_owned(),
                local: LocalId::Account(AccountId::new(1).expect("a number")),
                remote: EntryUuid::from_bytes([1; 16]),
                data,
            });
            let now = rows.first().map(|row| match row {
                SyncChange::Association(link) => {
                    assert!(link.data.base.is_empty(), "{link:?}");
                    link.data.state.clone()
                }
                other => panic!("{other:?}"),
            });
            assert_eq!(now, expected);
        }
    }
}
