//! What a client may do at the front end before and at the moment it is handed to its home: everything that
//! it may do at a server that stands alone.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use system_tests::steps::eventually;
use system_tests::{Cluster, ClusterOptions};
use testkit::{ImapClient, Person, Pop3Client, SmtpClient, SmtpReply};

fn person(cluster: &Cluster, uid: &str) -> Result<Person> {
    cluster
        .people
        .find(uid)
        .cloned()
        .with_context(|| format!("nobody is called {uid}"))
}

fn run(multi_home: &'static str, test: fn(&Cluster) -> Result<()>) -> Result<()> {
    let cluster = Cluster::start(&ClusterOptions {
        multi_home,
        ..ClusterOptions::default()
    })?;
    test(&cluster).with_context(|| cluster.log_tails())
}

fn plain(person: &Person) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("\0{}\0{}", person.mail, person.password))
}

#[test]
fn imap_sessions_begin_in_every_way() -> Result<()> {
    run("parallel", |cluster| {
        let (port, alice) = (cluster.front_ports.imap, person(cluster, "alice")?);
        let (login, password) = (&alice.mail, &alice.password);
        commands_behind_the_login(port, &alice)?;

        // Literals: one that waits for "+", one that does not.
        let mut client = ImapClient::connect(port)?;
        client
            .dialogue
            .send_line(&format!("a LOGIN {{{}}}", login.len()))?;
        ensure!(client.response()?.starts_with('+'), "no continuation");
        client
            .dialogue
            .send_line(&format!("{login} {{{}+}}\r\n{password}", password.len()))?;
        ensure!(
            client.until_tagged("a")?.1.starts_with("OK"),
            "LOGIN with literals"
        );
        client.ok("SELECT INBOX")?;

        // A bare name stands for one of the default domain.
        let reply = ImapClient::connect(port)?.login(&alice.uid, password)?;
        ensure!(reply.starts_with("OK"), "{reply}");

        // Before the login: what is allowed, what is not, and a cancelled exchange.
        let mut client = ImapClient::connect(port)?;
        client.ok("ID (\"name\" \"test\")")?;
        client.ok("NOOP")?;
        for command in ["SELECT INBOX", "FROBNICATE", "LOGIN", "APPEND INBOX"] {
            let (_, tagged) = client.command(command)?;
            ensure!(!tagged.starts_with("OK"), "{command}: {tagged}");
        }
        client.dialogue.send_line("b AUTHENTICATE PLAIN")?;
        ensure!(client.response()?.starts_with('+'), "no continuation");
        client.dialogue.send_line("*")?;
        ensure!(client.until_tagged("b")?.1.starts_with("BAD"), "not cancelled");
        ensure!(client.login(login, "wrong")?.starts_with("NO"), "wrong password");
        client.dialogue.send_line("c AUTHENTICATE PLAIN")?;
        client.response()?;
        client.dialogue.send_line(&plain(&alice))?;
        ensure!(client.until_tagged("c")?.1.starts_with("OK"), "AUTHENTICATE");
        client.ok("SELECT INBOX")?;
        let untagged = ImapClient::connect(port)?.ok("LOGOUT")?;
        ensure!(
            untagged.iter().any(|line| line.starts_with("* BYE")),
            "{untagged:?}"
        );
        Ok(())
    })
}

/// A client need not wait for the login's reply (RFC 3501 section 5.5): what it has sent already goes home.
fn commands_behind_the_login(port: u16, alice: &Person) -> Result<()> {
    let message = "Subject: pipelined\r\n\r\nx\r\n";
    let mut client = ImapClient::connect(port)?;
    let together = format!(
        "p1 AUTHENTICATE PLAIN {}\r\np2 APPEND INBOX {{{}+}}\r\n{message}\r\np3 SELECT INBOX\r\np4 FETCH * BODY[]\r\np5 LOGOUT\r\n",
        plain(alice),
        message.len()
    );
    client.dialogue.send(together.as_bytes())?;
    for tag in ["p1", "p2", "p3", "p4"] {
        let (untagged, tagged) = client.until_tagged(tag)?;
        ensure!(tagged.starts_with("OK"), "{tag}: {tagged}");
        ensure!(
            tag != "p4" || untagged.iter().any(|line| line.contains(message)),
            "{untagged:?}"
        );
    }
    ensure!(client.until_tagged("p5")?.1.starts_with("OK"), "LOGOUT");
    ensure!(client.dialogue.is_closed(), "the connection stays open");
    Ok(())
}

#[test]
fn pop3_sessions_begin_in_every_way() -> Result<()> {
    run("parallel", |cluster| {
        let (port, bob) = (cluster.front_ports.pop3, person(cluster, "bob")?);
        let mut client = Pop3Client::connect(port)?;
        client.dialogue.send(
            format!(
                "USER {}\r\nPASS {}\r\nSTAT\r\nNOSUCH\r\nQUIT\r\n",
                bob.mail, bob.password
            )
            .as_bytes(),
        )?;
        for expected in ["+OK", "+OK", "+OK 0 0", "-ERR", "+OK"] {
            let reply = client.dialogue.line()?;
            ensure!(reply.starts_with(expected), "{reply}, not {expected}");
        }
        ensure!(client.dialogue.is_closed(), "the connection stays open");

        let mut client = Pop3Client::connect(port)?;
        let (_, capabilities) = client.multi_line("CAPA")?;
        ensure!(
            capabilities.iter().any(|line| line.starts_with("SASL ")),
            "{capabilities:?}"
        );
        for command in ["STAT", "PASS x", "FROBNICATE"] {
            let reply = client.command(command)?;
            ensure!(reply.starts_with("-ERR"), "{command}: {reply}");
        }
        ensure!(
            client.login(&bob.mail, "wrong")?.starts_with("-ERR [AUTH]"),
            "wrong password"
        );
        ensure!(client.command("AUTH PLAIN")?.starts_with("+ "), "no challenge");
        let reply = client.command(&plain(&bob))?;
        ensure!(reply.starts_with("+OK"), "{reply}");
        ensure!(client.command("STAT")?.starts_with("+OK"), "STAT");
        Ok(())
    })
}

#[test]
fn one_transaction_has_one_home_in_split_mode() -> Result<()> {
    run("split", |cluster| {
        let (alice, bob) = (person(cluster, "alice")?, person(cluster, "bob")?);
        let mut client = SmtpClient::connect(cluster.front_ports.smtp)?;
        client.command("EHLO client.example.test")?;
        client.command("MAIL FROM:<erika@example.test>")?;
        let first = client.command(&format!("RCPT TO:<{}>", alice.mail))?;
        let second = client.command(&format!("RCPT TO:<{}>", bob.mail))?;
        let third = client.command("RCPT TO:<nobody@localdomain.test>")?;
        ensure!(first.code == 250, "{first:?}");
        ensure!(
            second.code == 452 && second.enhanced() == Some("4.5.3"),
            "{second:?}"
        );
        ensure!(third.code == 550, "{third:?}");
        ensure!(client.command("DATA")?.code == 354, "DATA");
        client.send_message(b"Subject: first half\r\n\r\nx\r\n")?;
        ensure!(client.reply()?.code == 250, "the message was refused");
        // The client comes again with those that were put off, in the same session.
        let (_, last) = client.deliver(
            "erika@example.test",
            &[&bob.mail],
            b"Subject: second half\r\n\r\nx\r\n",
        )?;
        ensure!(last.code == 250, "{last:?}");
        for (person, subject) in [(&alice, "first half"), (&bob, "second half")] {
            let found = subjects(cluster, person)?;
            ensure!(found == [subject], "{}: {found:?}", person.uid);
        }
        Ok(())
    })
}

#[test]
fn smtp_smuggling_ends_at_the_front_end() -> Result<()> {
    run("parallel", |cluster| {
        let alice = person(cluster, "alice")?;
        let mut taken = 0;
        for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r"] {
            let mut client = SmtpClient::connect(cluster.front_ports.smtp)?;
            client.command("EHLO client.example.test")?;
            client.command("MAIL FROM:<erika@example.test>")?;
            client.command(&format!("RCPT TO:<{}>", alice.mail))?;
            ensure!(client.command("DATA")?.code == 354, "DATA");
            client.dialogue.send(
                format!(
                    "Subject: outer\r\n\r\nx{end}MAIL FROM:<erika@example.test>\r\nRCPT TO:<{}>\r\nDATA\r\n\
                     Subject: smuggled\r\n\r\nx\r\n.\r\n",
                    alice.mail
                )
                .as_bytes(),
            )?;
            let reply = client.reply()?;
            ensure!(matches!(reply.code, 250 | 500..=559), "{end:?}: {reply:?}");
            taken += usize::from(reply.code == 250);
            let reply = client.command("QUIT")?;
            ensure!(reply.code == 221, "{end:?}: a second reply: {reply:?}");
        }
        let found = subjects(cluster, &alice)?;
        ensure!(found == vec!["outer"; taken], "{taken} were taken: {found:?}");
        Ok(())
    })
}

#[test]
fn a_group_of_one_home_gets_a_copy_for_each_member() -> Result<()> {
    run("parallel", |cluster| {
        // alice, carol and erika live on the first home, where groups without a host of their own go.
        let people = &cluster.people;
        let members: Vec<Person> = ["alice", "carol", "erika"]
            .into_iter()
            .map(|uid| person(cluster, uid))
            .collect::<Result<_>>()?;
        let mut ldif = format!(
            "dn: cn=board,{}\nobjectClass: groupOfNames\nobjectClass: homingGroup\ncn: board\nmail: board@localdomain.test\n",
            people.groups_dn
        );
        for member in &members {
            ldif.push_str(&format!("member: {}\n", people.dn(&member.uid)));
        }
        cluster.slapd.add(&ldif)?;
        eventually("the home knows the group", || {
            Ok(recipient(cluster, "board@localdomain.test")?.code == 250)
        })?;
        let mut client = SmtpClient::connect(cluster.front_ports.smtp)?;
        client.command("EHLO client.example.test")?;
        // A member that is named as well gets one copy.
        let to = ["board@localdomain.test", &members[0].mail];
        let (_, last) = client.deliver("erika@example.test", &to, b"Subject: board\r\n\r\nx\r\n")?;
        ensure!(last.code == 250, "{last:?}");
        for member in &members {
            let found = subjects(cluster, member)?;
            ensure!(found == ["board"], "{}: {found:?}", member.uid);
        }
        // Members on another home cannot be reached from here, which is no reason to bounce.
        let team = &people.groups.first().context("no group")?.mail;
        let reply = recipient(cluster, team)?;
        ensure!(
            reply.code == 250 || (400..500).contains(&reply.code),
            "{team}: {reply:?}"
        );
        Ok(())
    })
}

fn recipient(cluster: &Cluster, address: &str) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(cluster.front_ports.smtp)?;
    client.command("EHLO client.example.test")?;
    client.command("MAIL FROM:<erika@example.test>")?;
    client.command(&format!("RCPT TO:<{address}>"))
}

/// The subjects in somebody's INBOX, read through the front end.
fn subjects(cluster: &Cluster, person: &Person) -> Result<Vec<String>> {
    let mut client = ImapClient::connect(cluster.front_ports.imap)?;
    let reply = client.login(&person.mail, &person.password)?;
    ensure!(reply.starts_with("OK"), "{reply}");
    client.ok("EXAMINE INBOX")?;
    let untagged = client.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")?;
    let subject = |line: &String| {
        let after = line.split_once("Subject: ")?.1;
        Some(after.split_once("\r\n")?.0.to_owned())
    };
    Ok(untagged.iter().filter_map(subject).collect())
}
