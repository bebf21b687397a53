//! IMAP: RFC 3501 and the extensions that both subjects announce.

mod rfc2177;
mod rfc2342;
mod rfc2971;
mod rfc3501;
mod rfc3691;
mod rfc4315;
mod rfc4731;
mod rfc4959;
mod rfc6154;
mod rfc6851;
mod rfc7888;

use crate::subject::{ALICE, Server};
use anyhow::{Context, Result, ensure};
use testkit::ImapClient;

/// A session of alice.
fn alice(server: &Server) -> Result<ImapClient> {
    let mut client = server.imap()?;
    let reply = client.login(ALICE.address, ALICE.password)?;
    ensure!(reply.starts_with("OK"), "LOGIN: {reply}");
    Ok(client)
}

/// A session of alice with INBOX selected and `count` messages in it, `subject 1` and so on.
fn with_messages(server: &Server, count: usize) -> Result<ImapClient> {
    let mut client = alice(server)?;
    for number in 1..=count {
        append(&mut client, "INBOX", &text(&format!("subject {number}")))?;
    }
    client.ok("SELECT INBOX")?;
    Ok(client)
}

/// A short message.
fn text(subject: &str) -> String {
    format!("From: erika@example.test\r\nTo: alice@example.test\r\nSubject: {subject}\r\n\r\nHello.\r\n")
}

/// APPEND that must succeed; `mailbox` may be followed by flags and a date.
fn append(client: &mut ImapClient, mailbox: &str, message: &str) -> Result<String> {
    let reply = client.append(mailbox, message.as_bytes())?;
    ensure!(reply.starts_with("OK"), "APPEND {mailbox}: {reply}");
    Ok(reply)
}

/// A command that must be answered with NO.
fn no(client: &mut ImapClient, command: &str) -> Result<String> {
    let (_, tagged) = client.command(command)?;
    ensure!(tagged.starts_with("NO"), "{command}: {tagged}, not NO");
    Ok(tagged)
}

/// A command that must be answered with BAD.
fn bad(client: &mut ImapClient, command: &str) -> Result<String> {
    let (_, tagged) = client.command(command)?;
    ensure!(tagged.starts_with("BAD"), "{command}: {tagged}, not BAD");
    Ok(tagged)
}

/// The number of `* NUMBER WORD`, the last one of several.
fn number_of(untagged: &[String], word: &str) -> Option<u32> {
    untagged.iter().rev().find_map(|line| {
        let (number, rest) = line.strip_prefix("* ")?.split_once(' ')?;
        rest.eq_ignore_ascii_case(word).then(|| number.parse().ok())?
    })
}

/// What follows the name in a response code `[NAME ...]`, in whichever line has it.
fn code<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| {
        let start = line.find(&format!("[{name}"))?;
        let inside = line.get(start + 1 + name.len()..)?;
        inside.split_once(']').map(|(value, _)| value.trim())
    })
}

/// A response code that is a number.
fn code_number(lines: &[String], name: &str) -> Result<u32> {
    let value = code(lines, name).with_context(|| format!("no [{name}] in {lines:?}"))?;
    value.parse().with_context(|| format!("[{name} {value}]"))
}

/// The numbers that SEARCH or UID SEARCH finds, ascending.
fn search(client: &mut ImapClient, command: &str) -> Result<Vec<u32>> {
    let untagged = client.ok(command)?;
    let line = untagged
        .iter()
        .find_map(|line| line.strip_prefix("* SEARCH"))
        .with_context(|| format!("{command}: no SEARCH response in {untagged:?}"))?;
    let numbers: Result<Vec<u32>, _> = line.split_ascii_whitespace().map(str::parse).collect();
    let mut numbers = numbers?;
    numbers.sort_unstable();
    Ok(numbers)
}

/// The FETCH response for a message, without `* NUMBER FETCH `.
fn fetched(untagged: &[String], sequence: u32) -> Result<&str> {
    let prefix = format!("* {sequence} FETCH ");
    untagged
        .iter()
        .find_map(|line| line.strip_prefix(prefix.as_str()))
        .with_context(|| format!("no FETCH of {sequence} in {untagged:?}"))
}

/// The atom or number after an item's name in a FETCH response.
fn item<'a>(fetch: &'a str, name: &str) -> Result<&'a str> {
    let inside = fetch.strip_prefix('(').unwrap_or(fetch);
    let start = inside
        .match_indices(name)
        .find(|(at, _)| *at == 0 || inside.get(at - 1..*at) == Some(" "))
        .with_context(|| format!("no {name} in {fetch}"))?
        .0;
    let value = inside.get(start + name.len()..).unwrap_or_default().trim_start();
    let end = value.find([' ', ')']).unwrap_or(value.len());
    Ok(value.get(..end).unwrap_or_default())
}

/// The flags in a FETCH response, sorted, without `\Recent`.
fn flags(fetch: &str) -> Result<Vec<String>> {
    let start = fetch
        .find("FLAGS (")
        .with_context(|| format!("no FLAGS in {fetch}"))?;
    let inside = fetch.get(start + 7..).unwrap_or_default();
    let list = inside.split_once(')').context("FLAGS has no end")?.0;
    let mut flags: Vec<String> = list
        .split_ascii_whitespace()
        .filter(|flag| !flag.eq_ignore_ascii_case("\\Recent"))
        .map(str::to_owned)
        .collect();
    flags.sort();
    Ok(flags)
}

/// The string (literal or quoted) of a body section in a FETCH response.
fn section<'a>(fetch: &'a str, name: &str) -> Result<&'a str> {
    let at = fetch
        .find(&format!("{name} "))
        .with_context(|| format!("no {name} in {fetch}"))?;
    let value = fetch.get(at + name.len() + 1..).unwrap_or_default();
    if let Some(quoted) = value.strip_prefix('"') {
        return Ok(quoted.split_once('"').context("no closing quote")?.0);
    }
    let (length, rest) = value
        .strip_prefix('{')
        .and_then(|rest| rest.split_once("}\r\n"))
        .with_context(|| format!("{name} is no string: {value}"))?;
    rest.get(..length.parse::<usize>()?)
        .context("the literal is cut off")
}

/// The UIDs of all messages of the selected mailbox, in the order of their sequence numbers.
fn uids(client: &mut ImapClient) -> Result<Vec<u32>> {
    let untagged = client.ok("FETCH 1:* (UID)")?;
    let lines = untagged.iter().filter(|line| line.contains(" FETCH "));
    lines
        .map(|line| {
            let (_, fetch) = line.split_once(" FETCH ").context("FETCH")?;
            Ok(item(fetch, "UID")?.parse()?)
        })
        .collect()
}

/// The names that LIST or LSUB answers, with their attributes in lower case.
fn listed(client: &mut ImapClient, command: &str) -> Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for line in client.ok(command)? {
        let Some(rest) = line
            .strip_prefix("* LIST (")
            .or_else(|| line.strip_prefix("* LSUB ("))
        else {
            continue;
        };
        let (attributes, rest) = rest.split_once(") ").context("no attributes")?;
        let (_, name) = rest.split_once(' ').context("no delimiter")?;
        let name = name.trim_matches('"').to_owned();
        names.push((name, attributes.to_ascii_lowercase()));
    }
    names.sort();
    Ok(names)
}

/// Only the names.
fn names(client: &mut ImapClient, command: &str) -> Result<Vec<String>> {
    Ok(listed(client, command)?
        .into_iter()
        .map(|(name, _)| name)
        .collect())
}

/// The hierarchy delimiter, which LIST with an empty name tells (RFC 3501 section 6.3.8).
fn delimiter(client: &mut ImapClient) -> Result<char> {
    let untagged = client.ok("LIST \"\" \"\"")?;
    let line = untagged
        .iter()
        .find(|line| line.starts_with("* LIST "))
        .context("LIST \"\" \"\" answers nothing")?;
    let quoted = line
        .split('"')
        .nth(1)
        .with_context(|| format!("no delimiter: {line}"))?;
    quoted.chars().next().context("an empty delimiter")
}

/// Leaves the test when a capability is not announced: an extension is demanded only from who announces it.
fn announces(client: &mut ImapClient, capability: &str) -> Result<bool> {
    let untagged = client.ok("CAPABILITY")?;
    let line = untagged
        .iter()
        .find_map(|line| line.strip_prefix("* CAPABILITY "))
        .context("no CAPABILITY response")?;
    Ok(line.split(' ').any(|word| word.eq_ignore_ascii_case(capability)))
}

/// A capability that every subject of ours announces.
fn ensure_announces(client: &mut ImapClient, capability: &str) -> Result<()> {
    ensure!(announces(client, capability)?, "{capability} is not announced");
    Ok(())
}
