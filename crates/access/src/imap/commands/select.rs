//! SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2).

use super::existing;
use crate::imap::reply::{self, Failure};
use crate::imap::session::Session;
use crate::imap::state::{Access, Recent, Selected};
use crate::imap::updates;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::StoreError;
use wire::imap::{Code, MailboxArg, StatusLine};

pub(super) async fn run(
    session: &mut Session,
    mailbox: &MailboxArg,
    access: Access,
) -> Result<StatusLine, Failure> {
    // RFC 3501 section 6.3.1: the open mailbox is left before the attempt, whatever comes of it.
    session.state.deselect();
    let name = existing(mailbox)?;
    let (_, user) = session.user()?;
    let mailbox = user.mail.open(&name).await.map_err(|error| match error {
        StoreError::NotFound(_) => Failure::NoSuchMailbox,
        other => Failure::Store(other),
    })?;
    let told = mailbox.snapshot();
    let mut selected = Selected {
        mailbox,
        access,
        keywords: told.keywords().len(),
        told: Arc::clone(&told),
        own: BTreeSet::new(),
        recent: Recent::default(),
    };
    updates::meet(&mut selected, &told).await;
    let recent = selected.recent.count(&told);
    let mut out = Vec::with_capacity(512);
    updates::flags_line(&mut out, &told);
    out.extend_from_slice(format!("* {} EXISTS\r\n* {recent} RECENT\r\n", told.len()).as_bytes());
    let mut information = |code: Code, text: &'static str| {
        reply::ok(text).with_code(code).write(&mut out, None);
    };
    let permanent = match access {
        Access::ReadOnly => Vec::new(),
        Access::ReadWrite => {
            let mut words = updates::flag_words(&told);
            words.push("\\*".to_owned());
            words
        }
    };
    information(Code::PermanentFlags(permanent), "Flags that are kept");
    if let Some(seq) = told.first_unseen() {
        information(Code::Unseen(seq), "First unseen message");
    }
    information(Code::UidValidity(told.uid_validity().get()), "UIDs are valid");
    information(Code::UidNext(told.uid_next().get()), "Predicted next UID");
    session.stream.write(&out);
    session.state.select(selected);
    Ok(match access {
        Access::ReadWrite => reply::ok("SELECT completed").with_code(Code::ReadWrite),
        Access::ReadOnly => reply::ok("EXAMINE completed").with_code(Code::ReadOnly),
    })
}
