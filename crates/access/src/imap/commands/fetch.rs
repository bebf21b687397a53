//! FETCH (RFC 3501 section 6.4.5): read a few messages, let go of the store, write, go on.

use crate::imap::body::Body;
use crate::imap::reply::{self, Failure};
use crate::imap::section::{self, Source};
use crate::imap::session::{Session, relieve};
use crate::imap::state::{Access, Selected};
use crate::imap::updates;
use model::{Flag, Flags, SystemFlag, Uid};
use net::LineStream;
use std::sync::Arc;
use store::{Entry, FlagChange, Message, StoreError};
use wire::imap::write::Recency;
use wire::imap::{
    Code, Extensions, FetchItem, Numbering, Partial, Section, SectionText, Seen, SequenceSet, StatusLine,
    body_structure, envelope, write,
};

/// Messages whose rows are read at once.
const BATCH: usize = 256;
/// Octets that are written at once.
const PIECE: usize = 64 * 1024;
/// The largest header from which fields are selected; what is behind is not looked at.
const MAX_HEADER: u64 = 1024 * 1024;

pub(super) async fn run(
    session: &mut Session,
    numbers: &SequenceSet,
    items: Vec<FetchItem>,
    by: Numbering,
) -> Result<StatusLine, Failure> {
    let service = Arc::clone(&session.service);
    let (stream, selected) = session.selected()?;
    let uids = selected.uids(numbers, by)?;
    let mut items = items;
    // RFC 3501 section 6.4.8: the UID is part of every answer to UID FETCH.
    if by == Numbering::Uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    let seen = if selected.access == Access::ReadWrite && items.iter().any(sets_seen) {
        mark_seen(selected, &uids).await?
    } else {
        Vec::new()
    };
    let needs_rows = items.iter().any(needs_row);
    let mut missing = false;
    let mut out = Vec::with_capacity(256);
    let mut broken: Option<StoreError> = None;
    for batch in uids.chunks(BATCH) {
        let rows = if needs_rows {
            selected.mailbox.messages(batch).await?
        } else {
            Vec::new()
        };
        let now = selected.mailbox.snapshot();
        updates::tell_keywords(stream, selected, &now);
        let (mut newest, mut told) = (now.lookup(), selected.told.lookup());
        for uid in batch {
            let row = rows
                .binary_search_by_key(uid, |row| row.uid)
                .ok()
                .and_then(|at| rows.get(at));
            let (Some(entry), Some(seq)) = (newest.by_uid(*uid), told.seq_of(*uid)) else {
                missing = true;
                continue;
            };
            if needs_rows && row.is_none() {
                missing = true;
                continue;
            }
            let tell_flags = seen.binary_search(uid).is_ok();
            let mut answer = Answer {
                row,
                entry: Entry { seq, ..entry },
                recency: selected.recent.of(*uid),
                body: row.map(|row| Body::new(&service, &selected.mailbox, row)),
            };
            // One damaged message is reported at the end and does not take the others down.
            if let Err(failure) = answer.write(stream, &mut out, &items, tell_flags).await {
                match failure {
                    Failure::Store(error) => broken = Some(error),
                    other => return Err(other),
                }
            }
        }
    }
    match broken {
        Some(error) => Err(Failure::Store(error)),
        // RFC 5530: another session has removed some of them, and that cannot be told during FETCH.
        None if missing => {
            Ok(reply::ok("FETCH completed, but for what is gone").with_code(Code::ExpungeIssued))
        }
        None => Ok(reply::ok("FETCH completed")),
    }
}

fn sets_seen(item: &FetchItem) -> bool {
    matches!(
        item,
        FetchItem::Rfc822 | FetchItem::Rfc822Text | FetchItem::Section { seen: Seen::Set, .. }
    )
}

fn needs_row(item: &FetchItem) -> bool {
    !matches!(item, FetchItem::Uid | FetchItem::Flags | FetchItem::Rfc822Size)
}

/// Sets `\Seen` where it is not set; those messages' new flags are told with their answer.
async fn mark_seen(selected: &mut Selected, uids: &[Uid]) -> Result<Vec<Uid>, Failure> {
    let now = selected.mailbox.snapshot();
    let mut newest = now.lookup();
    let unseen = |uid: &Uid| {
        newest
            .by_uid(*uid)
            .is_some_and(|entry| !entry.flags.has(SystemFlag::Seen))
    };
    let unseen: Vec<Uid> = uids.iter().copied().filter(unseen).collect();
    if unseen.is_empty() {
        return Ok(unseen);
    }
    let change = FlagChange::Add(Flags::from_iter([Flag::System(SystemFlag::Seen)]));
    let outcome = selected.mailbox.store_flags(&unseen, &change, None).await?;
    selected.answered(&outcome);
    Ok(unseen)
}

/// One message's FETCH response.
struct Answer<'a> {
    row: Option<&'a Message>,
    entry: Entry,
    recency: Recency,
    body: Option<Body<'a>>,
}

impl Answer<'_> {
    async fn write(
        &mut self,
        stream: &mut LineStream,
        out: &mut Vec<u8>,
        items: &[FetchItem],
        tell_flags: bool,
    ) -> Result<(), Failure> {
        // Small items first and in one piece, so that a message that cannot be read leaves no half answer.
        out.clear();
        out.extend_from_slice(b"* ");
        updates::number(out, self.entry.seq.into());
        out.extend_from_slice(b" FETCH (");
        let mut first = true;
        let mut separate = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b' ');
            }
        };
        let flags_asked = items.contains(&FetchItem::Flags);
        if tell_flags && !flags_asked {
            separate(out);
            out.extend_from_slice(b"FLAGS ");
            write::flags(out, &self.entry.flags, self.recency);
        }
        let mut streamed = false;
        for item in items {
            separate(out);
            item.write_response_name(out);
            out.push(b' ');
            match self.body_of(item) {
                None => self.small(out, item),
                Some((section, partial)) => {
                    if let Err(error) = self.section(stream, out, &section, partial).await {
                        // What was sent cannot be taken back: the only honest end is to close.
                        return Err(if streamed { Failure::Gone } else { error });
                    }
                    streamed |= out.is_empty();
                }
            }
        }
        out.extend_from_slice(b")\r\n");
        stream.write(out);
        relieve(stream).await
    }

    /// The section that an item names, under whatever name.
    fn body_of(&self, item: &FetchItem) -> Option<(Section, Option<Partial>)> {
        let whole = |text| {
            Some((
                Section {
                    part: Vec::new(),
                    text,
                },
                None,
            ))
        };
        match item {
            FetchItem::Section { section, partial, .. } => Some((section.clone(), *partial)),
            FetchItem::Rfc822 => whole(None),
            FetchItem::Rfc822Header => whole(Some(SectionText::Header)),
            FetchItem::Rfc822Text => whole(Some(SectionText::Text)),
            _ => None,
        }
    }

    fn small(&self, out: &mut Vec<u8>, item: &FetchItem) {
        let entry = &self.entry;
        match (item, self.row) {
            (FetchItem::Uid, _) => updates::number(out, entry.uid.get().into()),
            (FetchItem::Flags, _) => write::flags(out, &entry.flags, self.recency),
            (FetchItem::Rfc822Size, _) => updates::number(out, entry.size),
            (FetchItem::InternalDate, Some(row)) => write::date_time(out, row.internal_date),
            (FetchItem::Envelope, Some(row)) => envelope(out, &row.envelope),
            (FetchItem::Body, Some(row)) => body_structure(out, &row.structure, Extensions::Without),
            (FetchItem::BodyStructure, Some(row)) => body_structure(out, &row.structure, Extensions::With),
            _ => out.extend_from_slice(b"NIL"),
        }
    }

    /// Writes a section: `out` is what stands before it, and is empty afterwards when it was sent ahead.
    async fn section(
        &mut self,
        stream: &mut LineStream,
        out: &mut Vec<u8>,
        section: &Section,
        partial: Option<Partial>,
    ) -> Result<(), Failure> {
        let (Some(row), Some(body)) = (self.row, &mut self.body) else {
            out.extend_from_slice(b"NIL");
            return Ok(());
        };
        let located = section::locate(section, &row.structure, row.header_len.into(), row.size);
        let range = match located {
            None => {
                out.extend_from_slice(b"NIL");
                return Ok(());
            }
            Some(Source::Fields { header, names, which }) => {
                let end = header.end.min(header.start.saturating_add(MAX_HEADER));
                let header = body.some(header.start..end).await?;
                let fields = section::select_fields(&header, &names, which);
                let cut = section::cut(&(0..fields.len() as u64), partial);
                let cut = usize::try_from(cut.start).ok().zip(usize::try_from(cut.end).ok());
                let fields = cut.and_then(|(start, end)| fields.get(start..end));
                write::literal(out, fields.unwrap_or_default());
                return Ok(());
            }
            Some(Source::Range(range)) => section::cut(&range, partial),
        };
        // The first octets are read before the literal is announced: then a message that is lost or damaged
        // promises nothing.
        let mut octets = body.next(range.clone()).await?;
        let total = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut left = total;
        write::literal_header(out, total);
        loop {
            for piece in octets.chunks(PIECE) {
                out.extend_from_slice(piece);
                stream.write(out);
                out.clear();
                relieve(stream).await?;
            }
            left = left.saturating_sub(octets.len());
            if left == 0 {
                return Ok(());
            }
            // What was promised cannot be taken back: the only honest end is to close.
            let rest = range.end.saturating_sub(left as u64)..range.end;
            octets = body.next(rest).await.map_err(|_| Failure::Gone)?;
            if octets.is_empty() {
                return Err(Failure::Gone);
            }
        }
    }
}
