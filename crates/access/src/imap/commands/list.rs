//! LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9, RFC 3348, RFC 5258, RFC 5819, RFC 6154).

use super::status::write_status;
use crate::imap::reply::{self, Failure};
use crate::imap::session::{Session, relieve};
use model::{MailboxName, SpecialUse};
use std::collections::{BTreeMap, HashMap};
use store::{MailboxInfo, StoreError};
use wire::imap::utf7::{self, Pattern};
use wire::imap::{List, ListReturn, ListSelect, StatusLine, write};

/// Longer patterns match nothing: no name is so long.
const MAX_PATTERN: usize = 1000;
/// Comparisons of one command, which is a fraction of a second: patterns of nothing but wildcards over
/// thousands of long names would take minutes.
const MAX_STEPS: u64 = 50_000_000;
/// Names that are looked at before others have their turn.
const TURN: usize = 64;

/// What is known of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Node {
    /// A mailbox, not just a level above one.
    exists: bool,
    subscribed: bool,
    special_use: Option<SpecialUse>,
    has_children: bool,
    /// Something below is subscribed.
    subscribed_below: bool,
}

/// Every name and every level above one, INBOX first.
type Tree = BTreeMap<(bool, String), Node>;

pub(super) async fn run(session: &mut Session, list: &List) -> Result<StatusLine, Failure> {
    // RFC 3501 section 6.3.8: an empty pattern asks for the separator.
    if list.patterns.iter().all(Vec::is_empty) && list.select.is_empty() {
        session
            .stream
            .write(format!("* LIST (\\Noselect) \"{}\" \"\"\r\n", MailboxName::SEPARATOR).as_bytes());
        return Ok(reply::ok("LIST completed"));
    }
    let (stream, user) = session.user()?;
    let mailboxes = user.mail.list_mailboxes().await?;
    let tree = tree(&mailboxes, &user.mail.subscriptions().await?);
    let status = list.returns.iter().find_map(|item| match item {
        ListReturn::Status(items) => Some(items),
        _ => None,
    });
    let infos: HashMap<&str, &MailboxInfo> =
        mailboxes.iter().map(|info| (info.name.as_str(), info)).collect();
    let mut matcher = Matcher::new(&list.reference, &list.patterns);
    for (index, ((_, name), node)) in tree.iter().enumerate() {
        if index % TURN == 0 {
            tokio::task::yield_now().await;
        }
        if !matcher.names(name)? {
            continue;
        }
        let Some(shown) = show(name, *node, list) else {
            continue;
        };
        let mut out = Vec::with_capacity(80);
        write_list(&mut out, "LIST", &shown.attributes, shown.name);
        if shown.child_info {
            // RFC 5258 section 3.5.
            out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        out.extend_from_slice(b"\r\n");
        // RFC 5819 section 2: STATUS follows its LIST, for mailboxes that can be opened.
        if let (Some(items), Some(info)) = (status, infos.get(shown.name)) {
            write_status(&mut out, info, items);
        }
        stream.write(&out);
        relieve(stream).await?;
    }
    Ok(reply::ok("LIST completed"))
}

pub(super) async fn run_lsub(
    session: &mut Session,
    reference: &[u8],
    pattern: &[u8],
) -> Result<StatusLine, Failure> {
    let (stream, user) = session.user()?;
    let mailboxes = user.mail.list_mailboxes().await?;
    let subscriptions = user.mail.subscriptions().await?;
    let mut matcher = Matcher::new(reference, &[pattern.to_vec()]);
    for (index, ((_, name), node)) in tree(&mailboxes, &subscriptions).iter().enumerate() {
        if index % TURN == 0 {
            tokio::task::yield_now().await;
        }
        if !matcher.names(name)? {
            continue;
        }
        // RFC 3501 section 6.3.9: `%` names a level that has no subscription but one below.
        let attributes: &[&str] = match node {
            Node { subscribed: true, .. } => &[],
            Node {
                subscribed_below: true,
                ..
            } if pattern.ends_with(b"%") => &["\\Noselect"],
            _ => continue,
        };
        let mut out = Vec::with_capacity(80);
        write_list(&mut out, "LSUB", attributes, name);
        out.extend_from_slice(b"\r\n");
        stream.write(&out);
        relieve(stream).await?;
    }
    Ok(reply::ok("LSUB completed"))
}

fn write_list(out: &mut Vec<u8>, verb: &str, attributes: &[&str], name: &str) {
    let separator = MailboxName::SEPARATOR;
    out.extend_from_slice(format!("* {verb} ({}) \"{separator}\" ", attributes.join(" ")).as_bytes());
    match MailboxName::parse(name) {
        Ok(name) => write::mailbox(out, &name),
        Err(_) => write::astring(out, utf7::encode(name).as_bytes()),
    }
}

fn tree(mailboxes: &[MailboxInfo], subscriptions: &[MailboxName]) -> Tree {
    let mut tree = Tree::new();
    let key = |name: &MailboxName| (!name.is_inbox(), name.as_str().to_owned());
    for info in mailboxes {
        let node = tree.entry(key(&info.name)).or_default();
        node.exists = true;
        node.special_use = info.special_use;
        let mut above = info.name.parent();
        while let Some(name) = above {
            tree.entry(key(&name)).or_default().has_children = true;
            above = name.parent();
        }
    }
    // A subscribed name need not exist (RFC 3501 section 6.3.6).
    for name in subscriptions {
        tree.entry(key(name)).or_default().subscribed = true;
        let mut above = name.parent();
        while let Some(name) = above {
            tree.entry(key(&name)).or_default().subscribed_below = true;
            above = name.parent();
        }
    }
    tree
}

/// The patterns of one command, and what it may still cost.
struct Matcher {
    patterns: Vec<Pattern>,
    steps: u64,
}

impl Matcher {
    /// The patterns with the reference in front, as names; what is not modified UTF-7 matches nothing.
    fn new(reference: &[u8], patterns: &[Vec<u8>]) -> Self {
        let joined = patterns
            .iter()
            .map(|pattern| [reference, pattern.as_slice()].concat());
        Self {
            patterns: joined
                .filter(|pattern| pattern.len() <= MAX_PATTERN)
                .filter_map(|pattern| utf7::decode(&pattern))
                .map(|pattern| Pattern::new(&pattern, MailboxName::SEPARATOR))
                .collect(),
            steps: MAX_STEPS,
        }
    }

    fn names(&mut self, name: &str) -> Result<bool, Failure> {
        for pattern in &self.patterns {
            match pattern.matches(name, &mut self.steps) {
                Some(false) => {}
                Some(true) => return Ok(true),
                None => return Err(Failure::Store(StoreError::Limit("comparisons of one LIST"))),
            }
        }
        Ok(false)
    }
}

/// One line of LIST.
#[derive(Debug, PartialEq, Eq)]
struct Shown<'a> {
    name: &'a str,
    attributes: Vec<&'static str>,
    child_info: bool,
}

/// How LIST shows a name that its patterns match; none when the options leave it out.
fn show<'a>(name: &'a str, node: Node, list: &List) -> Option<Shown<'a>> {
    let wants = |select| list.select.contains(&select);
    let subscribed_only = wants(ListSelect::Subscribed);
    let extended = !list.select.is_empty() || !list.returns.is_empty();
    // A name that is only subscribed is no mailbox: LIST (SUBSCRIBED) alone shows it.
    let there = node.exists || node.has_children;
    let matches = if subscribed_only { node.subscribed } else { there };
    let matches = matches && (!wants(ListSelect::SpecialUse) || node.special_use.is_some());
    // RFC 5258 section 3.5: a parent of what matches is shown for its CHILDINFO.
    let child_info = subscribed_only && wants(ListSelect::RecursiveMatch) && node.subscribed_below;
    if !matches && !child_info {
        return None;
    }
    let mut attributes = Vec::new();
    if !node.exists {
        attributes.push(if extended { "\\NonExistent" } else { "\\Noselect" });
    }
    attributes.push(if node.has_children {
        "\\HasChildren"
    } else {
        "\\HasNoChildren"
    });
    if node.subscribed && (subscribed_only || list.returns.contains(&ListReturn::Subscribed)) {
        attributes.push("\\Subscribed");
    }
    attributes.extend(node.special_use.map(SpecialUse::as_str));
    Some(Shown {
        name,
        attributes,
        child_info,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::imap::{Command, CommandBody};

    fn sample() -> Tree {
        let mut tree = Tree::new();
        let mut add = |name: &str, node: Node| tree.insert((name != "INBOX", name.to_owned()), node);
        let there = Node {
            exists: true,
            ..Node::default()
        };
        add(
            "INBOX",
            Node {
                subscribed: true,
                ..there
            },
        );
        add(
            "Sent",
            Node {
                special_use: Some(SpecialUse::Sent),
                subscribed: true,
                ..there
            },
        );
        add(
            "a",
            Node {
                has_children: true,
                subscribed_below: true,
                ..Node::default()
            },
        );
        add(
            "a/b",
            Node {
                subscribed: true,
                ..there
            },
        );
        add("a/c", there);
        tree
    }

    fn shown(arguments: &str) -> Vec<String> {
        let command = Command::parse(format!("a LIST {arguments}").as_bytes()).expect(arguments);
        let CommandBody::List(list) = command.body else {
            panic!("{arguments}")
        };
        let tree = sample();
        let mut matcher = Matcher::new(&list.reference, &list.patterns);
        tree.iter()
            .filter(|((_, name), _)| matcher.names(name).expect("few steps"))
            .filter_map(|((_, name), node)| show(name, *node, &list))
            .map(|shown| {
                let info = if shown.child_info { " +" } else { "" };
                format!("{} {}{info}", shown.name, shown.attributes.join(" "))
            })
            .collect()
    }

    #[test]
    fn patterns_have_a_budget() {
        let mut matcher = Matcher::new(b"", &vec![b"*a".repeat(450); 100]);
        let name = "a".repeat(440);
        let mut names = 0;
        while matcher.names(&name).is_ok_and(|matches| !matches) {
            names += 1;
            assert!(names < 100, "it never ends");
        }
        assert!(matches!(
            matcher.names(&name),
            Err(Failure::Store(StoreError::Limit(_)))
        ));
    }

    #[test]
    fn lists() {
        for (arguments, want) in [
            ("\"\" inbox", &["INBOX \\HasNoChildren"][..]),
            (
                "\"\" %",
                &[
                    "INBOX \\HasNoChildren",
                    "Sent \\HasNoChildren \\Sent",
                    "a \\Noselect \\HasChildren",
                ],
            ),
            ("a/ %", &["a/b \\HasNoChildren", "a/c \\HasNoChildren"]),
            (
                "\"\" (a/c Sent) RETURN (SUBSCRIBED)",
                &["Sent \\HasNoChildren \\Subscribed \\Sent", "a/c \\HasNoChildren"],
            ),
            ("(SPECIAL-USE) \"\" *", &["Sent \\HasNoChildren \\Sent"]),
            ("(SUBSCRIBED) \"\" a*", &["a/b \\HasNoChildren \\Subscribed"]),
            (
                "(SUBSCRIBED RECURSIVEMATCH) \"\" a",
                &["a \\NonExistent \\HasChildren +"],
            ),
            ("\"\" nothing", &[]),
            ("\"\" \"&\"", &[]),
        ] {
            assert_eq!(shown(arguments), want, "{arguments}");
        }
    }
}
