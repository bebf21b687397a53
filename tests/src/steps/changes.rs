//! Edits in the directory arrive in the mail server.

use super::eventually;
use super::mail::{has_note, person, send_note, smtp};
use crate::{Cluster, DOMAIN, HOMES};
use anyhow::{Context, Result, ensure};
use testkit::{ImapClient, Person};

pub(super) fn accounts_are_on_their_homes(cluster: &mut Cluster) -> Result<String> {
    let mut counts = Vec::new();
    for host in HOMES {
        let mut held: Vec<String> = cluster
            .accounts(host)?
            .into_iter()
            .map(|(address, _)| address)
            .collect();
        let mut expected: Vec<String> = cluster
            .people
            .on_host(host)
            .map(|person| person.mail.clone())
            .collect();
        held.sort();
        expected.sort();
        ensure!(
            held == expected,
            "{host} holds other accounts than mailHost says: {held:?}"
        );
        counts.push(format!("{} on {host}", held.len()));
    }
    Ok(counts.join(", "))
}

fn state(cluster: &Cluster, host: &str, address: &str) -> Result<Option<String>> {
    let accounts = cluster.accounts(host)?;
    Ok(accounts
        .into_iter()
        .find(|(known, _)| known == address)
        .map(|(_, state)| state))
}

pub(super) fn add(cluster: &mut Cluster) -> Result<String> {
    let person = Person {
        uid: "zoe".to_owned(),
        mail: format!("zoe@{DOMAIN}"),
        given_name: "Zoë".to_owned(),
        surname: "Quist".to_owned(),
        host: HOMES[1].to_owned(),
        password: "zoe-secret".to_owned(),
    };
    cluster.slapd.add(&cluster.people.person_ldif(&person))?;
    // No waiting for the next poll: the home asks the directory for a name that it does not know.
    let (recipient, last) = send_note(cluster, &person.mail, "welcome")?;
    ensure!(
        recipient.code == 250 && last.code == 250,
        "{recipient:?} {last:?}"
    );
    ensure!(
        has_note(cluster, &person.mail, &person.password, "welcome")?,
        "zoe's mail is not there"
    );
    cluster.people.persons.push(person);
    Ok("zoe gets mail and logs in right after ldapadd".to_owned())
}

pub(super) fn disable(cluster: &mut Cluster) -> Result<String> {
    let grete = person(cluster, "grete")?.clone();
    send_note(cluster, &grete.mail, "before")?;
    cluster.slapd.modify(&format!(
        "dn: {}\nchangetype: modify\nadd: homingEnabled\nhomingEnabled: FALSE\n",
        cluster.people.dn("grete")
    ))?;
    eventually("grete cannot log in", || {
        let reply = ImapClient::connect(cluster.front_ports.imap)?.login(&grete.mail, &grete.password)?;
        Ok(reply.starts_with("NO [AUTHENTICATIONFAILED]"))
    })?;
    eventually("grete's account is disabled on her home", || {
        Ok(state(cluster, &grete.host, &grete.mail)?.as_deref() == Some("disabled"))
    })?;
    cluster.slapd.modify(&format!(
        "dn: {}\nchangetype: modify\ndelete: homingEnabled\n",
        cluster.people.dn("grete")
    ))?;
    eventually("grete is back", || {
        has_note(cluster, &grete.mail, &grete.password, "before")
    })?;
    Ok("login refused, account shown as disabled; enabled again, the mail is still there".to_owned())
}

pub(super) fn rename(cluster: &mut Cluster) -> Result<String> {
    let hanna = person(cluster, "hanna")?.clone();
    send_note(cluster, &hanna.mail, "old name")?;
    let (old_dn, new_mail) = (cluster.people.dn("hanna"), format!("johanna@{DOMAIN}"));
    cluster.slapd.modify(&format!(
        "dn: {old_dn}\nchangetype: modrdn\nnewrdn: uid=johanna\ndeleteoldrdn: 1\n\n\
         dn: {}\nchangetype: modify\nreplace: mail\nmail: {new_mail}\n",
        cluster.people.dn("johanna")
    ))?;
    eventually("the account has its new address", || {
        Ok(state(cluster, &hanna.host, &new_mail)?.is_some()
            && state(cluster, &hanna.host, &hanna.mail)?.is_none())
    })?;
    eventually("the old mail is under the new name", || {
        has_note(cluster, &new_mail, &hanna.password, "old name")
    })?;
    let entry = cluster
        .people
        .persons
        .iter_mut()
        .find(|person| person.uid == "hanna")
        .context("hanna")?;
    (entry.uid, entry.mail) = ("johanna".to_owned(), new_mail.clone());
    Ok(format!("{} is {new_mail} now, with the same mailbox", hanna.mail))
}

pub(super) fn move_home(cluster: &mut Cluster) -> Result<String> {
    let ivan = person(cluster, "ivan")?.clone();
    ensure!(ivan.host == HOMES[0], "ivan lives elsewhere");
    send_note(cluster, &ivan.mail, "before the move")?;
    cluster.slapd.modify(&format!(
        "dn: {}\nchangetype: modify\nreplace: mailHost\nmailHost: {}\n",
        cluster.people.dn("ivan"),
        HOMES[1]
    ))?;
    eventually("the old home keeps the account as moved-away", || {
        Ok(state(cluster, HOMES[0], &ivan.mail)?.as_deref() == Some("moved-away"))
    })?;
    eventually("the new home holds the account until the mail has come", || {
        Ok(state(cluster, HOMES[1], &ivan.mail)?.as_deref() == Some("awaiting-mail"))
    })?;
    eventually("login says unavailable, not wrong password", || {
        let reply = ImapClient::connect(cluster.front_ports.imap)?.login(&ivan.mail, &ivan.password)?;
        Ok(reply.starts_with("NO [UNAVAILABLE]"))
    })?;
    let (recipient, _) = send_note(cluster, &ivan.mail, "during the move")?;
    ensure!(recipient.code == 451, "delivery during the move: {recipient:?}");
    // And back: the old home still has everything.
    cluster.slapd.modify(&format!(
        "dn: {}\nchangetype: modify\nreplace: mailHost\nmailHost: {}\n",
        cluster.people.dn("ivan"),
        HOMES[0]
    ))?;
    eventually("back at the old home, the mail is there", || {
        has_note(cluster, &ivan.mail, &ivan.password, "before the move")
    })?;
    Ok(
        "moved-away and awaiting-mail, 451 and [UNAVAILABLE] meanwhile; moved back, nothing was lost"
            .to_owned(),
    )
}

pub(super) fn delete(cluster: &mut Cluster) -> Result<String> {
    let julia = person(cluster, "julia")?.clone();
    send_note(cluster, &julia.mail, "kept")?;
    cluster.slapd.delete(&cluster.people.dn("julia"))?;
    eventually("julia's account is deleted softly", || {
        Ok(state(cluster, &julia.host, &julia.mail)?.as_deref() == Some("deleted"))
    })?;
    eventually("login is refused", || {
        let reply = ImapClient::connect(cluster.front_ports.imap)?.login(&julia.mail, &julia.password)?;
        Ok(reply.starts_with("NO [AUTHENTICATIONFAILED]"))
    })?;
    eventually("her address is unknown", || {
        let mut client = smtp(cluster)?;
        client.command("MAIL FROM:<erika@example.test>")?;
        Ok(client.command(&format!("RCPT TO:<{}>", julia.mail))?.code == 550)
    })?;
    cluster.people.persons.retain(|person| person.uid != "julia");
    Ok("550 and no login; the account is kept as deleted until its retention ends".to_owned())
}
