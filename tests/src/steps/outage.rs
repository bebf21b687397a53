//! The directory goes away and comes back.

use super::eventually;
use super::mail::{has_note, person, send_note, smtp};
use crate::Cluster;
use anyhow::{Result, ensure};
use testkit::{ImapClient, Pop3Client};

pub(super) fn directory_stopped(cluster: &mut Cluster) -> Result<String> {
    let alice = person(cluster, "alice")?.clone();
    let lena = person(cluster, "lena")?.clone();
    // alice has logged in lately; lena never has.
    ensure!(
        has_note(cluster, &alice.mail, &alice.password, "Lunch")?,
        "alice's mail is not there"
    );
    cluster.slapd.stop()?;
    ensure!(
        has_note(cluster, &alice.mail, &alice.password, "Lunch")?,
        "alice cannot read while slapd is away"
    );
    let reply = ImapClient::connect(cluster.front_ports.imap)?.login(&lena.mail, &lena.password)?;
    ensure!(
        reply.starts_with("NO [UNAVAILABLE]"),
        "IMAP without a directory: {reply}"
    );
    let reply = Pop3Client::connect(cluster.front_ports.pop3)?.login(&lena.mail, &lena.password)?;
    ensure!(
        reply.starts_with("-ERR [SYS/TEMP]"),
        "POP3 without a directory: {reply}"
    );
    let (recipient, last) = send_note(cluster, &alice.mail, "during the outage")?;
    ensure!(
        recipient.code == 250 && last.code == 250,
        "mail to alice: {recipient:?} {last:?}"
    );
    let mut client = smtp(cluster)?;
    client.command("MAIL FROM:<erika@example.test>")?;
    let reply = client.command("RCPT TO:<never.seen@localdomain.test>")?;
    ensure!(
        reply.code == 451 && reply.enhanced() == Some("4.4.3"),
        "an unknown recipient: {reply:?}"
    );
    Ok(
        "alice reads and gets mail; a first login hears [UNAVAILABLE], an unknown recipient 451 4.4.3"
            .to_owned(),
    )
}

pub(super) fn directory_back(cluster: &mut Cluster) -> Result<String> {
    cluster.slapd.restart()?;
    let lena = person(cluster, "lena")?.clone();
    eventually("lena can log in", || {
        Ok(ImapClient::connect(cluster.front_ports.imap)?
            .login(&lena.mail, &lena.password)?
            .starts_with("OK"))
    })?;
    eventually("an unknown recipient is refused for good", || {
        let mut client = smtp(cluster)?;
        client.command("MAIL FROM:<erika@example.test>")?;
        Ok(client.command("RCPT TO:<never.seen@localdomain.test>")?.code == 550)
    })?;
    for host in crate::HOMES {
        let accounts = cluster.accounts(host)?;
        let active = accounts.iter().filter(|(_, state)| state == "active").count();
        ensure!(
            active == cluster.people.on_host(host).count(),
            "{host} lost accounts: {accounts:?}"
        );
    }
    Ok("logins and refusals are definite again; no account was lost".to_owned())
}
