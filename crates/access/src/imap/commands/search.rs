//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4, RFC 4731).

use crate::imap::ImapService;
use crate::imap::body::Body;
use crate::imap::matching::{Content, Facts, Need, Row, Test};
use crate::imap::reply::{self, Failure};
use crate::imap::session::{Session, relieve};
use crate::imap::state::Selected;
use bytes::Bytes;
use model::Uid;
use std::sync::Arc;
use store::{Message, Snapshot, StoreError};
use wire::imap::{Numbering, Search, SearchReturn, StatusLine, Tag, compact};

/// Messages whose rows are read at once.
const BATCH: u32 = 256;
/// Messages from this size are looked through off the executor's threads.
const LARGE: usize = 256 << 10;
/// What is looked at of a header.
const MAX_HEADER: u64 = 1 << 20;

pub(super) async fn run(session: &mut Session, tag: &Tag, search: &Search) -> Result<StatusLine, Failure> {
    // RFC 3501 section 6.4.4: US-ASCII must, others may be known.
    if let Some(charset) = &search.charset
        && !["US-ASCII", "UTF-8"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(charset))
    {
        return Err(Failure::BadCharset);
    }
    let service = Arc::clone(&session.service);
    let (stream, selected) = session.selected()?;
    let found = find(&service, selected, search).await?;
    match &search.returns {
        None => {
            stream.write(b"* SEARCH");
            for chunk in found.chunks(1024) {
                let words: Vec<String> = chunk.iter().map(|number| format!(" {number}")).collect();
                stream.write(words.concat().as_bytes());
                relieve(stream).await?;
            }
            stream.write(b"\r\n");
        }
        Some(options) => stream.write(extended(tag, search.by, options, &found).as_bytes()),
    }
    Ok(reply::ok("SEARCH completed"))
}

/// The ESEARCH response (RFC 4731 section 3.1).
fn extended(tag: &Tag, by: Numbering, options: &[SearchReturn], found: &[u32]) -> String {
    // The tag has no character that a quoted string would have to escape but the backslash, and no tag has it.
    let mut line = format!("* ESEARCH (TAG \"{tag}\")");
    if by == Numbering::Uid {
        line.push_str(" UID");
    }
    let wants = |option| options.contains(&option) || (options.is_empty() && option == SearchReturn::All);
    if let (Some(min), Some(max)) = (found.first(), found.last()) {
        if wants(SearchReturn::Min) {
            line.push_str(&format!(" MIN {min}"));
        }
        if wants(SearchReturn::Max) {
            line.push_str(&format!(" MAX {max}"));
        }
        if wants(SearchReturn::All) {
            line.push_str(&format!(" ALL {}", compact(found.iter().copied())));
        }
    }
    if wants(SearchReturn::Count) {
        line.push_str(&format!(" COUNT {}", found.len()));
    }
    line.push_str("\r\n");
    line
}

/// The numbers of the messages that match, ascending.
async fn find(service: &ImapService, selected: &Selected, search: &Search) -> Result<Vec<u32>, Failure> {
    let told = &selected.told;
    let test = Arc::new(Test::compile(&search.key, told.len(), selected.largest_uid()));
    let now = selected.mailbox.snapshot();
    let mut found = Vec::new();
    let mut first = 1;
    while first <= told.len() {
        let last = first.saturating_add(BATCH - 1).min(told.len());
        let matches = search_batch(service, selected, &now, &test, first..=last).await?;
        found.extend(matches.into_iter().map(|(seq, uid)| match search.by {
            Numbering::Sequence => seq,
            Numbering::Uid => uid.get(),
        }));
        first = last + 1;
        // A long search lets others have their turn.
        tokio::task::yield_now().await;
    }
    Ok(found)
}

/// Asks about a few messages: first with what is in memory, then with rows, then with bodies.
async fn search_batch(
    service: &ImapService,
    selected: &Selected,
    now: &Snapshot,
    test: &Arc<Test>,
    seqs: std::ops::RangeInclusive<u32>,
) -> Result<Vec<(u32, Uid)>, Failure> {
    let mut found = Vec::new();
    let mut unclear = Vec::new();
    let mut newest = now.lookup();
    for known in selected.told.range_seqs(*seqs.start(), *seqs.end()) {
        // Flags as they are now; a message that is gone but not yet told matches nothing.
        let Some(entry) = newest.by_uid(known.uid) else {
            continue;
        };
        let facts = Facts {
            seq: known.seq,
            uid: known.uid.get(),
            flags: &entry.flags,
            recency: selected.recent.of(known.uid),
            row: None,
            header: None,
            content: None,
        };
        match test.ask(&facts) {
            Ok(true) => found.push((known.seq, known.uid)),
            Ok(false) => {}
            Err(_) => unclear.push((known.seq, entry)),
        }
    }
    if unclear.is_empty() {
        return Ok(found);
    }
    let uids: Vec<Uid> = unclear.iter().map(|(_, entry)| entry.uid).collect();
    let rows = selected.mailbox.messages(&uids).await?;
    for (seq, entry) in unclear {
        let row = rows
            .binary_search_by_key(&entry.uid, |row| row.uid)
            .ok()
            .and_then(|at| rows.get(at));
        let Some(row) = row else { continue };
        let facts = Facts {
            seq,
            uid: entry.uid.get(),
            flags: &entry.flags,
            recency: selected.recent.of(entry.uid),
            row: Some(Row {
                size: row.size,
                internal_date: row.internal_date,
                envelope: &row.envelope,
            }),
            header: None,
            content: None,
        };
        match deep(&Body::new(service, &selected.mailbox, row), row, test, facts).await {
            Ok(true) => found.push((seq, entry.uid)),
            // Another session removes it meanwhile: it matches nothing.
            Ok(false) | Err(Failure::Store(StoreError::NotFound(_))) => {}
            Err(failure) => return Err(failure),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Loads as much of one message as the answer takes.
async fn deep(body: &Body<'_>, row: &Message, test: &Arc<Test>, facts: Facts<'_>) -> Result<bool, Failure> {
    let mut facts = facts;
    let mut answer = test.ask(&facts);
    let header: Bytes;
    if answer == Err(Need::Header) {
        header = body.some(0..u64::from(row.header_len).min(MAX_HEADER)).await?;
        facts.header = Some(&header);
        answer = test.ask(&facts);
    }
    if answer == Err(Need::Content) {
        // The turn is kept until the message is looked through: its text is in memory as long.
        let (message, _turn) = body.borrow().await?;
        if message.len() >= LARGE {
            return large(message, row.clone(), Arc::clone(test), facts).await;
        }
        let content = Content::read(&message);
        facts.content = Some(&content);
        answer = test.ask(&facts);
    }
    // A program may ask for much of every message.
    tokio::task::yield_now().await;
    Ok(answer == Ok(true))
}

/// Looks through a large message off the executor's threads.
async fn large(message: Bytes, row: Message, test: Arc<Test>, facts: Facts<'_>) -> Result<bool, Failure> {
    let (seq, uid, recency, flags) = (facts.seq, facts.uid, facts.recency, facts.flags.clone());
    let work = move || {
        let content = Content::read(&message);
        let header = usize::try_from(u64::from(row.header_len).min(MAX_HEADER)).unwrap_or(0);
        let facts = Facts {
            seq,
            uid,
            flags: &flags,
            recency,
            row: Some(Row {
                size: row.size,
                internal_date: row.internal_date,
                envelope: &row.envelope,
            }),
            header: message.get(..header),
            content: Some(&content),
        };
        test.ask(&facts) == Ok(true)
    };
    let found = tokio::task::spawn_blocking(work).await;
    found.map_err(|error| Failure::Store(StoreError::Engine(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::imap::SearchReturn::{All, Count, Max, Min};

    // RFC 4731 section 3.1.
    #[test]
    fn esearch() {
        let tag = Tag::parse(b"a1").expect("a tag");
        let line = |by, options: &[SearchReturn], found: &[u32]| extended(&tag, by, options, found);
        assert_eq!(
            line(Numbering::Uid, &[Min, Max, Count, All], &[2, 3, 9]),
            "* ESEARCH (TAG \"a1\") UID MIN 2 MAX 9 ALL 2:3,9 COUNT 3\r\n"
        );
        assert_eq!(
            line(Numbering::Sequence, &[], &[1]),
            "* ESEARCH (TAG \"a1\") ALL 1\r\n"
        );
        assert_eq!(
            line(Numbering::Sequence, &[Min, Count], &[]),
            "* ESEARCH (TAG \"a1\") COUNT 0\r\n"
        );
    }
}
