//! What the client may be told of the open mailbox, and when (RFC 3501 sections 5.2, 7.3 and 7.4.1).

use super::reply::Failure;
use super::session::relieve;
use super::state::{Access, Selected};
use net::LineStream;
use std::sync::Arc;
use store::{Entry, Snapshot};
use wire::imap::write;

/// Whether sequence numbers may move now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expunges {
    /// They may.
    Tell,
    /// Not during FETCH, STORE and SEARCH by sequence number (RFC 3501 section 7.4.1).
    Hold,
}

/// Tells what happened since the client was told last. When messages went and that may not be said now,
/// everything waits: what came later has its number only afterwards.
pub(super) async fn tell(
    stream: &mut LineStream,
    selected: &mut Selected,
    expunges: Expunges,
) -> Result<(), Failure> {
    let now = selected.mailbox.snapshot();
    if now.gone() {
        return Err(Failure::MailboxGone);
    }
    if Arc::ptr_eq(&now, &selected.told) {
        return Ok(());
    }
    let changes = now.changes_since(&selected.told);
    if !changes.expunged.is_empty() && expunges == Expunges::Hold {
        return Ok(());
    }
    // From the last to the first, so that no number moves before its turn.
    for (seq, _) in changes.expunged.iter().rev() {
        stream.write(format!("* {seq} EXPUNGE\r\n").as_bytes());
        relieve(stream).await?;
    }
    if !changes.added.is_empty() {
        meet(selected, &now).await;
        let recent = selected.recent.count(&now);
        stream.write(format!("* {} EXISTS\r\n* {recent} RECENT\r\n", now.len()).as_bytes());
    }
    tell_keywords(stream, selected, &now);
    let mut newest = now.lookup();
    let mut out = Vec::with_capacity(64);
    for uid in &changes.flags {
        let Some(entry) = newest.by_uid(*uid) else {
            continue;
        };
        if selected.own.contains(&entry.modseq) {
            continue;
        }
        out.clear();
        fetch_flags(&mut out, selected, &entry);
        stream.write(&out);
        relieve(stream).await?;
    }
    selected.told = now;
    selected.own.clear();
    Ok(())
}

/// Announces keywords that are new to the mailbox.
pub(super) fn tell_keywords(stream: &mut LineStream, selected: &mut Selected, now: &Snapshot) {
    if now.keywords().len() != selected.keywords {
        selected.keywords = now.keywords().len();
        let mut out = Vec::new();
        flags_line(&mut out, now);
        stream.write(&out);
    }
}

/// Learns which messages are `\Recent` here (RFC 3501 section 2.3.2). SELECT claims them, so that no later
/// session has them; EXAMINE looks and leaves them.
pub(super) async fn meet(selected: &mut Selected, now: &Snapshot) {
    let unclaimed = now.recent_from()..now.uid_next().get();
    let mine = match selected.access {
        Access::ReadOnly => unclaimed,
        Access::ReadWrite if now.recent() == 0 => return,
        Access::ReadWrite => match selected.mailbox.claim_recent().await {
            Ok(mine) => mine,
            Err(error) => {
                // "If it is not possible to determine [...], that message SHOULD be considered recent."
                tracing::debug!(%error, "imap: cannot claim what is recent");
                unclaimed
            }
        },
    };
    selected.recent.add(mine);
}

/// A FETCH response with the flags. The UID is always with it: clients that work by UID need no second look.
pub(super) fn fetch_flags(out: &mut Vec<u8>, selected: &Selected, entry: &Entry) {
    out.extend_from_slice(b"* ");
    number(out, entry.seq.into());
    out.extend_from_slice(b" FETCH (UID ");
    number(out, entry.uid.get().into());
    out.extend_from_slice(b" FLAGS ");
    write::flags(out, &entry.flags, selected.recent.of(entry.uid));
    out.extend_from_slice(b")\r\n");
}

/// A number without a text in between: FETCH writes two or three for each message.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        // A digit always fits.
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// The FLAGS response: what messages of this mailbox can have (RFC 3501 section 7.2.6).
pub(super) fn flags_line(out: &mut Vec<u8>, snapshot: &Snapshot) {
    out.extend_from_slice(b"* FLAGS (");
    out.extend_from_slice(flag_words(snapshot).join(" ").as_bytes());
    out.extend_from_slice(b")\r\n");
}

/// System flags and the keywords in use.
pub(super) fn flag_words(snapshot: &Snapshot) -> Vec<String> {
    let system = model::SystemFlag::ALL.iter().map(|flag| flag.as_str().to_owned());
    let keywords = snapshot
        .keywords()
        .iter()
        .map(|keyword| keyword.as_str().to_owned());
    system.chain(keywords).collect()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers() {
        for given in [0, 7, 10, 128, 4_294_967_295, u64::MAX] {
            let mut out = b"* ".to_vec();
            number(&mut out, given);
            assert_eq!(out, format!("* {given}").as_bytes());
        }
    }
}
