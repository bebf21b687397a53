//! One server that is the front end and a home: it serves its own accounts in process, proxies the rest, and shows
//! and ends its sessions.

use crate::local::{ALICE, BOB, CAROL, Someone, listeners, start_home};
use anyhow::{Result, ensure};
use serde_json::Value;
use system_tests::Ports;
use testkit::{Homing, ImapClient, Pop3Client, Scratch, SmtpClient};

const ASSERTION: &str = "imap.login = \"assertion\"\npop3.login = \"assertion\"\n";

fn logged_in(port: u16, who: Someone) -> Result<ImapClient> {
    let mut client = ImapClient::connect(port)?;
    let done = client.login(who.mail, who.password)?;
    ensure!(done.contains("OK"), "{}: {done}", who.mail);
    Ok(client)
}

fn json(server: &Homing, args: &[&str]) -> Result<Value> {
    let mut args = args.to_vec();
    args.push("--json");
    Ok(serde_json::from_str(&server.command(&args)?)?)
}

/// Alice lives in the front end itself. Bob lives elsewhere, on a home that knows another password of his: the front
/// end's word is enough there.
#[test]
fn own_accounts_are_served_in_process_and_the_others_sent_home() -> Result<()> {
    let scratch = Scratch::new()?;
    let (far_ports, ports) = (Ports::free()?, Ports::free()?);
    let keys = scratch.path().join("front.jwks");
    let map = scratch.write(
        "map",
        &format!(
            "{} one.example.test\n{} home.example.test\n",
            ALICE.mail, BOB.mail
        ),
    )?;
    let front = format!(
        "server_name = \"one.example.test\"\ndefault_domain = \"example.test\"\nholds_accounts = true\n\
         [imap_proxy]\nuser_maps = [\"file\"]\nauth = [\"local\"]\n\
         [pop3_proxy]\nuser_maps = [\"file\"]\nauth = [\"local\"]\n\
         [smtp_proxy]\nuser_maps = [\"file\"]\ndomains = [\"example.test\"]\n\
         [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = \"{}\"\n{}\
         [[home]]\nname = \"home.example.test\"\nhost = \"127.0.0.1\"\n\
         imap.port = {}\npop3.port = {}\nsmtp.port = {}\n{ASSERTION}",
        map.display(),
        listeners("_proxy", ports, ""),
        far_ports.imap,
        far_ports.pop3,
        far_ports.smtp,
    );
    let server = Homing::start(&testkit::HomingBinary::find()?, &front)?;
    server.command(&["domain", "create", "example.test"])?;
    for who in [ALICE, BOB] {
        server.command_with_input(
            &["account", "create", who.mail, "--password-stdin"],
            who.password.as_bytes(),
        )?;
    }
    let exported = keys.display().to_string();
    server.command(&["cluster", "key", "export", "--format", "jwks", "--out", &exported])?;
    let stranger = Someone {
        password: "another one",
        ..BOB
    };
    let trusting = format!(
        "[[trusted_front_end]]\nname = \"one.example.test\"\nkeys = \"{exported}\"\n{}",
        listeners("", far_ports, "trusted_networks = [\"127.0.0.1\"]")
    );
    let far = start_home(&trusting, &[stranger, CAROL])?;

    let mut smtp = SmtpClient::connect(ports.smtp)?;
    smtp.command("EHLO client.test")?;
    let message = b"Subject: in process\r\n\r\nhere\r\n";
    let (_, last) = smtp.deliver("sender@elsewhere.test", &[ALICE.mail], message)?;
    ensure!(last.code == 250, "{last:?}");
    let mut alice = logged_in(ports.imap, ALICE)?;
    ensure!(
        alice.ok("SELECT INBOX")?.iter().any(|line| line == "* 1 EXISTS"),
        "delivered in process"
    );
    let mut bob = logged_in(ports.imap, BOB)?;
    bob.ok("SELECT INBOX")?;
    let mut pop3 = Pop3Client::connect(ports.pop3)?;
    let reply = pop3.login(BOB.mail, BOB.password)?;
    ensure!(reply.starts_with("+OK"), "{reply}");

    let sessions = json(&server, &["session", "list"])?;
    let homes: Vec<&str> = sessions
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row["home"].as_str())
        .collect();
    ensure!(
        homes == ["one.example.test", "home.example.test", "home.example.test"],
        "{sessions}"
    );
    let at_home = json(&far, &["session", "list", "--account", BOB.mail])?;
    ensure!(
        at_home.as_array().is_some_and(|rows| rows.len() == 2),
        "{at_home}"
    );

    server.command(&["session", "kick", "--account", ALICE.mail])?;
    ensure!(
        alice.response()?.starts_with("* BYE Ended by the administrator"),
        "a proper goodbye"
    );
    server.command(&["home", "drain", "home.example.test", "--reason", "new disks"])?;
    let refused = ImapClient::connect(ports.imap)?.login(BOB.mail, BOB.password)?;
    ensure!(refused.contains("[UNAVAILABLE]"), "{refused}");
    bob.ok("NOOP")?;
    server.command(&["home", "enable", "home.example.test"])?;
    logged_in(ports.imap, BOB)?;
    let metrics = server.command(&["service", "metrics"])?;
    let drained =
        "homing_proxy_logins_total{protocol=\"imap\",home=\"home.example.test\",outcome=\"drained\"} 1";
    ensure!(metrics.lines().any(|line| line == drained), "{metrics}");
    Ok(())
}

/// `authenticate = "home"` where the home is this very process: the password is checked there, and only there.
#[test]
fn a_home_in_this_process_checks_what_the_front_end_does_not() -> Result<()> {
    let scratch = Scratch::new()?;
    let ports = Ports::free()?;
    let map = scratch.write("map", &format!("{} one.example.test\n", ALICE.mail))?;
    let front = format!(
        "server_name = \"one.example.test\"\nholds_accounts = true\n\
         [imap_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n\
         [pop3_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n\
         [smtp_proxy]\nuser_maps = [\"file\"]\ndomains = [\"example.test\"]\n\
         [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = \"{}\"\n{}",
        map.display(),
        listeners("_proxy", ports, ""),
    );
    let server = Homing::start(&testkit::HomingBinary::find()?, &front)?;
    server.command(&["domain", "create", "example.test"])?;
    server.command_with_input(
        &["account", "create", ALICE.mail, "--password-stdin"],
        ALICE.password.as_bytes(),
    )?;
    let refused = ImapClient::connect(ports.imap)?.login(ALICE.mail, "a guess")?;
    ensure!(refused.contains("NO [AUTHENTICATIONFAILED]"), "{refused}");
    let refused = Pop3Client::connect(ports.pop3)?.login(ALICE.mail, "a guess")?;
    ensure!(refused.starts_with("-ERR"), "{refused}");
    logged_in(ports.imap, ALICE)?.ok("SELECT INBOX")?;
    let reply = Pop3Client::connect(ports.pop3)?.login(ALICE.mail, ALICE.password)?;
    ensure!(reply.starts_with("+OK"), "{reply}");
    Ok(())
}
