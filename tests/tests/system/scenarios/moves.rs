//! A move between two back ends that share the directory, and back, while one of them is down.

use super::directory::{Kind, PASSWORD, Word, address};
use super::site::{Site, host};
use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::{ImapClient, SmtpClient};

fn state(site: &Site, at: usize, name: &str) -> Result<String> {
    let account = site.account_at(at, name)?.unwrap_or_default();
    Ok(account["state"].as_str().unwrap_or_default().to_owned())
}

/// What a back end answers when mail is brought for somebody: the code for the recipient, or for the message.
fn deliver(site: &Site, at: usize, name: &str) -> Result<u16> {
    let mut lmtp = SmtpClient::connect(site.homes[at].lmtp)?;
    lmtp.command("LHLO client.example.test")?;
    lmtp.command("MAIL FROM:<x@elsewhere.test>")?;
    let reply = lmtp.command(&format!("RCPT TO:<{}>", address(name)))?;
    if reply.code != 250 {
        return Ok(reply.code);
    }
    let mut lmtp = SmtpClient::connect(site.homes[at].lmtp)?;
    lmtp.command("LHLO client.example.test")?;
    let message = b"Subject: hello\r\n\r\nbody\r\n";
    let (_, last) = lmtp.deliver("x@elsewhere.test", &[&address(name)], message)?;
    Ok(last.code)
}

/// The answer to her login.
fn login(site: &Site, at: usize, name: &str) -> Result<String> {
    ImapClient::connect(site.homes[at].imap)?.login(&address(name), PASSWORD)
}

/// Messages in her INBOX.
fn mail(site: &Site, at: usize, name: &str) -> Result<String> {
    let mut imap = ImapClient::connect(site.homes[at].imap)?;
    let answer = imap.login(&address(name), PASSWORD)?;
    let (untagged, tagged) = imap.command("STATUS INBOX (MESSAGES)")?;
    Ok(format!("{answer}\n{}\n{tagged}", untagged.join("\n")))
}

pub(super) fn there_and_back(kind: Kind) -> Result<()> {
    let mut site = Site::with_homes(kind, 2, "direction = \"both-ways\"\nclustered = true")?;
    site.there(|directory| {
        directory.add("anna", &[(Word::Home, &host(0))])?;
        directory.add("ben", &[(Word::Home, &host(1))])?;
        directory.team("team", &["anna", "ben"])
    })?;
    site.until("each has its own", |site| {
        Ok(state(site, 0, "anna")? == "active" && state(site, 1, "ben")? == "active")
    })?;
    // Groups are everywhere, with members that live elsewhere.
    for at in [0, 1] {
        site.until("the team", |site| {
            Ok(site.members_at(at, "team")? == ["anna", "ben"])
        })?;
    }
    ensure!(site.account_at(1, "anna")?.is_none(), "she lives twice");
    let number = site.says("anna", "id")?;
    ensure!(deliver(&site, 0, "anna")? == 250, "mail at her home");
    // She moves while her old home is dead; the new one hears of it first, and has not got her mail.
    site.kill_home(0)?;
    site.directory.set("anna", Word::Home, &host(1))?;
    site.until_at(1, "she arrives", |site| {
        Ok(state(site, 1, "anna")? == "awaiting-mail")
    })?;
    ensure!(deliver(&site, 1, "anna")? == 451, "mail before her mail has come");
    let answer = login(&site, 1, "anna")?;
    ensure!(answer.contains("UNAVAILABLE"), "{answer}");
    // The old home comes back much later, and lets nobody in.
    site.start_home(0)?;
    let moved = |site: &Site| -> Result<bool> {
        let out = site.order(&["account", "list", "--state", "moved-away", "--json"])?;
        let rows: Value = serde_json::from_str(&out)?;
        Ok(rows.as_array().is_some_and(|rows| rows.len() == 1))
    };
    site.until("moved away", moved)?;
    let answer = login(&site, 0, "anna")?;
    ensure!(answer.contains("NO "), "the old home lets her in: {answer}");
    ensure!(site.directory.read("anna")?.is_some(), "a move deleted her entry");
    // An edit of the home that has her no longer changes nothing there; the team stays whole on both.
    site.directory.kill()?;
    site.directory.restart()?;
    for at in [0, 1] {
        site.until("the team", |site| {
            Ok(site.members_at(at, "team")? == ["anna", "ben"])
        })?;
    }
    // Back to the first home, the second one dead: her account and her mail are as they were.
    site.kill_home(1)?;
    site.directory.set("anna", Word::Home, &host(0))?;
    site.until("back", |site| Ok(state(site, 0, "anna")? == "active"))?;
    ensure!(site.says("anna", "id")? == number, "another account");
    site.start_home(1)?;
    site.until_at(1, "gone from there", |site| {
        Ok(state(site, 1, "anna")? == "moved-away")
    })?;
    let text = mail(&site, 0, "anna")?;
    ensure!(text.contains("MESSAGES 1"), "{text}");
    ensure!(deliver(&site, 0, "anna")? == 250, "mail at home again");
    // She moves with a session open, and back: the old home ends it by itself, and nobody looks again for an hour.
    let mut open = ImapClient::connect(site.homes[0].imap)?;
    let answer = open.login(&address("anna"), PASSWORD)?;
    ensure!(answer.starts_with("OK"), "{answer}");
    open.ok("SELECT INBOX")?;
    site.directory.set("anna", Word::Home, &host(1))?;
    site.until("moved away again", moved)?;
    let open = std::cell::RefCell::new(open);
    site.until("her session ends", |_| {
        Ok(open.borrow_mut().command("NOOP").is_err())
    })?;
    site.directory.set("anna", Word::Home, &host(0))?;
    site.until("back again", |site| {
        Ok(state(site, 0, "anna")? == "active" && state(site, 1, "anna")? == "moved-away")
    })?;
    site.at_rest(&["anna", "ben"])
}
