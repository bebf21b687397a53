//! Commands out of assembled bytes (RFC 3501 section 9).

use super::command::{
    Append, Command, CommandBody, CommandError, CommandProblem, List, ListReturn, ListSelect, MailboxArg,
    Numbering, Search, SearchReturn, StatusItem, Store, StoreAction, StoreAnswer, Tag,
};
use super::date::DateTime;
use super::scan::{Malformed, Scanner, is_astring_char};
use super::sequence::SequenceSet;
use super::{fetch, search};
use crate::sasl;
use model::{Flag, Secret, SpecialUse};

/// More items than this in one list of a command (flags, ID fields, LIST patterns) are refused.
const MAX_ITEMS: usize = 200;

impl Command {
    /// Parses one assembled command (see [`super::Assembler`]). Never panics, and its memory is at most a
    /// small multiple of the input.
    pub fn parse(input: &[u8]) -> Result<Self, CommandError> {
        let mut scanner = Scanner::new(input);
        let tag = scan_tag(&mut scanner).ok_or(CommandError {
            tag: None,
            problem: CommandProblem::NoTag,
        })?;
        match scan_body(&mut scanner) {
            Ok(body) => Ok(Self { tag, body }),
            Err(problem) => Err(CommandError {
                tag: Some(tag),
                problem,
            }),
        }
    }
}

impl Append {
    /// Looks whether the command assembled so far, which ends at a literal's header, is an APPEND whose
    /// next literal is the message. None: it is something else, or not well formed, and goes on in the
    /// assembler.
    #[must_use]
    pub fn head(so_far: &[u8]) -> Option<(Tag, Self)> {
        let mut scanner = Scanner::new(so_far);
        let tag = scan_tag(&mut scanner)?;
        if !scanner.eat_text("APPEND ") {
            return None;
        }
        let append = scan_append(&mut scanner).ok()?;
        let header = scanner.rest().strip_suffix(b"\r\n")?;
        let literal = super::literal_at_end_of_line(header)?;
        (literal.header_len == header.len()).then_some((tag, append))
    }
}

fn scan_tag(scanner: &mut Scanner<'_>) -> Option<Tag> {
    let tag = Tag::parse(scanner.take_while(|byte| is_astring_char(byte) && byte != b'+'))?;
    scanner.eat(b' ').then_some(tag)
}

fn scan_body(scanner: &mut Scanner<'_>) -> Result<CommandBody, CommandProblem> {
    let Ok(verb) = scanner.atom() else {
        return Err(CommandProblem::UnknownVerb);
    };
    let mut verb = verb.to_ascii_uppercase();
    let mut by = Numbering::Sequence;
    if verb == "UID" {
        scanner.space()?;
        by = Numbering::Uid;
        verb = scanner.atom()?.to_ascii_uppercase();
        if !matches!(
            verb.as_str(),
            "FETCH" | "STORE" | "COPY" | "MOVE" | "SEARCH" | "EXPUNGE"
        ) {
            return Err(CommandProblem::UnknownVerb);
        }
    }
    let bare = match verb.as_str() {
        "CAPABILITY" => Some(CommandBody::Capability),
        "NOOP" => Some(CommandBody::Noop),
        "LOGOUT" => Some(CommandBody::Logout),
        "STARTTLS" => Some(CommandBody::StartTls),
        "NAMESPACE" => Some(CommandBody::Namespace),
        "IDLE" => Some(CommandBody::Idle),
        "CHECK" => Some(CommandBody::Check),
        "CLOSE" => Some(CommandBody::Close),
        "UNSELECT" => Some(CommandBody::Unselect),
        "EXPUNGE" if by == Numbering::Sequence => Some(CommandBody::Expunge(None)),
        _ => None,
    };
    let body = match bare {
        Some(body) => body,
        None => match scan_arguments(&verb, by, scanner)? {
            Some(body) => body,
            None => return Err(CommandProblem::UnknownVerb),
        },
    };
    scanner.end()?;
    Ok(body)
}

/// The commands with arguments; none for an unknown verb.
fn scan_arguments(
    verb: &str,
    by: Numbering,
    scanner: &mut Scanner<'_>,
) -> Result<Option<CommandBody>, Malformed> {
    let known = [
        "ID",
        "LOGIN",
        "AUTHENTICATE",
        "XENDSESSION",
        "SELECT",
        "EXAMINE",
        "CREATE",
        "DELETE",
        "RENAME",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "LIST",
        "LSUB",
        "STATUS",
        "APPEND",
        "EXPUNGE",
        "SEARCH",
        "FETCH",
        "STORE",
        "COPY",
        "MOVE",
    ];
    if !known.contains(&verb) {
        return Ok(None);
    }
    scanner.space()?;
    let body = match verb {
        "ID" => CommandBody::Id(scan_id(scanner)?),
        "LOGIN" => {
            let user = scanner.astring()?.into_owned();
            scanner.space()?;
            let password = Secret::new(scanner.astring()?.into_owned());
            CommandBody::Login { user, password }
        }
        "AUTHENTICATE" => scan_authenticate(scanner)?,
        "XENDSESSION" => {
            let trace = scanner.astring()?.into_owned();
            scanner.space()?;
            let why = scanner.astring()?.into_owned();
            CommandBody::EndSession { trace, why }
        }
        "SELECT" => CommandBody::Select(mailbox(scanner)?),
        "EXAMINE" => CommandBody::Examine(mailbox(scanner)?),
        "CREATE" => scan_create(scanner)?,
        "DELETE" => CommandBody::Delete(mailbox(scanner)?),
        "RENAME" => {
            let from = mailbox(scanner)?;
            scanner.space()?;
            let to = mailbox(scanner)?;
            CommandBody::Rename { from, to }
        }
        "SUBSCRIBE" => CommandBody::Subscribe(mailbox(scanner)?),
        "UNSUBSCRIBE" => CommandBody::Unsubscribe(mailbox(scanner)?),
        "LIST" => CommandBody::List(scan_list(scanner)?),
        "LSUB" => {
            let reference = scanner.astring()?.into_owned();
            scanner.space()?;
            let pattern = scanner.list_mailbox()?.into_owned();
            CommandBody::Lsub { reference, pattern }
        }
        "STATUS" => {
            let mailbox = mailbox(scanner)?;
            scanner.space()?;
            let items = scan_status_items(scanner)?;
            CommandBody::Status { mailbox, items }
        }
        "EXPUNGE" => CommandBody::Expunge(Some(SequenceSet::scan(scanner)?)),
        "SEARCH" => CommandBody::Search(scan_search(scanner, by)?),
        "FETCH" => {
            let numbers = SequenceSet::scan(scanner)?;
            scanner.space()?;
            let items = fetch::scan_items(scanner)?;
            CommandBody::Fetch { numbers, items, by }
        }
        "STORE" => CommandBody::Store(scan_store(scanner, by)?),
        "COPY" | "MOVE" => {
            let numbers = SequenceSet::scan(scanner)?;
            scanner.space()?;
            let mailbox = mailbox(scanner)?;
            if verb == "COPY" {
                CommandBody::Copy { numbers, mailbox, by }
            } else {
                CommandBody::Move { numbers, mailbox, by }
            }
        }
        // An APPEND with a message leaves through `Append::head`; here comes only one without.
        _ => {
            scan_append(scanner)?;
            return scanner.fail("the message as a literal");
        }
    };
    Ok(Some(body))
}

fn mailbox(scanner: &mut Scanner<'_>) -> Result<MailboxArg, Malformed> {
    scanner.astring().map(|name| MailboxArg(name.into_owned()))
}

/// A list of at most [`MAX_ITEMS`].
fn bounded<T>(scanner: &Scanner<'_>, items: Vec<T>) -> Result<Vec<T>, Malformed> {
    if items.len() > MAX_ITEMS {
        scanner.fail("a shorter list")
    } else {
        Ok(items)
    }
}

// RFC 2971 section 3.1.
fn scan_id(scanner: &mut Scanner<'_>) -> Result<super::IdFields, Malformed> {
    if scanner.eat_text("NIL") {
        return Ok(Vec::new());
    }
    let fields = scanner.list(|scanner| {
        let name = scanner.string()?.into_owned();
        scanner.space()?;
        Ok((name, scanner.nstring()?.map(std::borrow::Cow::into_owned)))
    })?;
    bounded(scanner, fields)
}

// RFC 3501 section 6.2.2 and RFC 4959 section 3: `=` is an empty initial response.
fn scan_authenticate(scanner: &mut Scanner<'_>) -> Result<CommandBody, Malformed> {
    let mechanism = scanner.atom()?.to_ascii_uppercase();
    let initial = if scanner.eat(b' ') && !scanner.is_end() {
        let start = scanner.clone();
        let text = scanner.take_while(|byte| byte != b' ');
        match decode_sasl(text) {
            Some(bytes) => Some(bytes),
            None => return start.fail("base64"),
        }
    } else {
        None
    };
    Ok(CommandBody::Authenticate { mechanism, initial })
}

/// A SASL response as it stands on its line or behind AUTHENTICATE: base64, or `=` for the empty one.
#[must_use]
pub fn decode_sasl(text: &[u8]) -> Option<Secret> {
    if text == b"=" {
        return Some(Secret::default());
    }
    sasl::decode_base64(text).ok()
}

// RFC 6154 section 3.
fn scan_create(scanner: &mut Scanner<'_>) -> Result<CommandBody, Malformed> {
    let mailbox = mailbox(scanner)?;
    let mut special_use = Vec::new();
    if scanner.eat_text(" (USE ") {
        special_use = scanner.list(|scanner| {
            let start = scanner.clone();
            scanner.expect(b'\\', "a special use")?;
            let name = scanner.atom()?;
            SpecialUse::ALL
                .into_iter()
                .find(|special| {
                    special
                        .as_str()
                        .trim_start_matches('\\')
                        .eq_ignore_ascii_case(name)
                })
                .map_or_else(|| start.fail("a special use"), Ok)
        })?;
        special_use = bounded(scanner, special_use)?;
        scanner.expect(b')', "the end of the list")?;
    }
    Ok(CommandBody::Create { mailbox, special_use })
}

// RFC 3501 section 6.3.8, RFC 5258 section 6.
fn scan_list(scanner: &mut Scanner<'_>) -> Result<List, Malformed> {
    let mut select = Vec::new();
    if scanner.peek() == Some(b'(') {
        select = scanner.list(|scanner| {
            let start = scanner.clone();
            match scanner.atom()?.to_ascii_uppercase().as_str() {
                "SUBSCRIBED" => Ok(ListSelect::Subscribed),
                "REMOTE" => Ok(ListSelect::Remote),
                "RECURSIVEMATCH" => Ok(ListSelect::RecursiveMatch),
                "SPECIAL-USE" => Ok(ListSelect::SpecialUse),
                _ => start.fail("a selection option of LIST"),
            }
        })?;
        scanner.space()?;
    }
    let reference = scanner.astring()?.into_owned();
    scanner.space()?;
    let pattern = |scanner: &mut Scanner<'_>| scanner.list_mailbox().map(std::borrow::Cow::into_owned);
    let patterns = if scanner.peek() == Some(b'(') {
        let patterns = scanner.list(pattern)?;
        bounded(scanner, patterns)?
    } else {
        vec![pattern(scanner)?]
    };
    if patterns.is_empty() {
        return scanner.fail("a mailbox pattern");
    }
    let mut returns = Vec::new();
    if scanner.eat_text(" RETURN ") {
        returns = scanner.list(|scanner| {
            let start = scanner.clone();
            match scanner.atom()?.to_ascii_uppercase().as_str() {
                "SUBSCRIBED" => Ok(ListReturn::Subscribed),
                "CHILDREN" => Ok(ListReturn::Children),
                "SPECIAL-USE" => Ok(ListReturn::SpecialUse),
                "STATUS" => {
                    scanner.space()?;
                    scan_status_items(scanner).map(ListReturn::Status)
                }
                _ => start.fail("a return option of LIST"),
            }
        })?;
    }
    Ok(List {
        select: bounded(scanner, select)?,
        reference,
        patterns,
        returns: bounded(scanner, returns)?,
    })
}

fn scan_status_items(scanner: &mut Scanner<'_>) -> Result<Vec<StatusItem>, Malformed> {
    let items = scanner.list(|scanner| {
        let start = scanner.clone();
        let name = scanner.atom()?;
        StatusItem::ALL
            .into_iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map_or_else(|| start.fail("a status item"), |(item, _)| Ok(item))
    })?;
    if items.is_empty() {
        scanner.fail("a status item")
    } else {
        bounded(scanner, items)
    }
}

fn scan_append(scanner: &mut Scanner<'_>) -> Result<Append, Malformed> {
    let mailbox = mailbox(scanner)?;
    scanner.space()?;
    let mut flags = Vec::new();
    if scanner.peek() == Some(b'(') {
        flags = scanner.list(scan_flag)?;
        flags = bounded(scanner, flags)?;
        scanner.space()?;
    }
    let mut date = None;
    if scanner.peek() == Some(b'"') {
        date = Some(DateTime::scan(scanner)?);
        scanner.space()?;
    }
    Ok(Append { mailbox, flags, date })
}

fn scan_flag(scanner: &mut Scanner<'_>) -> Result<Flag, Malformed> {
    let start = scanner.clone();
    let mut text = String::new();
    if scanner.eat(b'\\') {
        text.push('\\');
    }
    text.push_str(scanner.atom()?);
    Flag::parse(&text).or_else(|_| start.fail("a flag that can be stored"))
}

// RFC 3501 section 6.4.4, RFC 4731 section 3.1.
fn scan_search(scanner: &mut Scanner<'_>, by: Numbering) -> Result<Search, Malformed> {
    let mut returns = None;
    if scanner.eat_text("RETURN ") {
        let options = scanner.list(|scanner| {
            let start = scanner.clone();
            match scanner.atom()?.to_ascii_uppercase().as_str() {
                "MIN" => Ok(SearchReturn::Min),
                "MAX" => Ok(SearchReturn::Max),
                "ALL" => Ok(SearchReturn::All),
                "COUNT" => Ok(SearchReturn::Count),
                _ => start.fail("a result option of SEARCH"),
            }
        })?;
        returns = Some(bounded(scanner, options)?);
        scanner.space()?;
    }
    let mut charset = None;
    if scanner.eat_text("CHARSET ") {
        charset = Some(String::from_utf8_lossy(&scanner.astring()?).into_owned());
        scanner.space()?;
    }
    Ok(Search {
        returns,
        charset,
        key: search::scan_program(scanner)?,
        by,
    })
}

// RFC 3501 section 6.4.6.
fn scan_store(scanner: &mut Scanner<'_>, by: Numbering) -> Result<Store, Malformed> {
    let numbers = SequenceSet::scan(scanner)?;
    scanner.space()?;
    let action = if scanner.eat(b'+') {
        StoreAction::Add
    } else if scanner.eat(b'-') {
        StoreAction::Remove
    } else {
        StoreAction::Replace
    };
    if !scanner.eat_text("FLAGS") {
        return scanner.fail("FLAGS, +FLAGS or -FLAGS");
    }
    let answer = if scanner.eat_text(".SILENT") {
        StoreAnswer::Silent
    } else {
        StoreAnswer::Fetch
    };
    scanner.space()?;
    let flags = if scanner.peek() == Some(b'(') {
        scanner.list(scan_flag)?
    } else {
        let mut flags = vec![scan_flag(scanner)?];
        while scanner.eat(b' ') {
            flags.push(scan_flag(scanner)?);
        }
        flags
    };
    Ok(Store {
        numbers,
        action,
        answer,
        flags: bounded(scanner, flags)?,
        by,
    })
}
