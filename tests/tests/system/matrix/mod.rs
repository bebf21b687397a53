//! Every session that a front end can carry, one row each: (IMAP, POP3) x (plain, STARTTLS, implicit TLS) x (checked
//! at the edge, at the home) x (replay, assertion, master) x (Homing, Dovecot). In each row the home learns who the
//! client is: its address, its port, whether it uses TLS, and the session's name in the logs of all hops. (ManageSieve and
//! submission have their rows in `crates/frontend/tests/it/foreign.rs`, where the homes of both are.)

mod mail;
mod site;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use site::{Authenticate, Client, Kind, Login, Site};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use system_tests::steps::eventually;

const PROTOCOLS: [&str; 2] = ["imap", "pop3"];
const TLS: [&str; 3] = ["none", "starttls", "implicit"];

/// One row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    protocol: &'static str,
    tls: &'static str,
    login: Login,
}

impl Row {
    fn all(authenticate: Authenticate) -> Vec<Self> {
        let mut rows = Vec::new();
        for login in authenticate.logins().iter().copied() {
            for protocol in PROTOCOLS {
                for tls in TLS {
                    rows.push(Self { protocol, tls, login });
                }
            }
        }
        rows
    }
}

/// What the client hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    In,
    /// Try later: the way to log in does not fit the home, which is nobody's password.
    Later,
}

impl Outcome {
    fn expected(authenticate: Authenticate, login: Login, kind: Kind) -> Self {
        match (authenticate, login, kind) {
            // A Homing home knows front ends by their keys and has no master user.
            (Authenticate::Edge, Login::Master, Kind::Homing) => Self::Later,
            _ => Self::In,
        }
    }

    fn of(reply: &str) -> Option<Self> {
        let later = ["NO [UNAVAILABLE]", "-ERR [SYS/TEMP]"];
        if reply.starts_with("OK") {
            Some(Self::In)
        } else if later.iter().any(|start| reply.starts_with(start)) {
            Some(Self::Later)
        } else {
            None
        }
    }
}

#[test]
fn checked_at_the_edge_at_a_homing_home() -> Result<()> {
    run(Authenticate::Edge, Kind::Homing)
}

#[test]
fn checked_at_the_edge_at_dovecot() -> Result<()> {
    run(Authenticate::Edge, Kind::Dovecot)
}

/// The rows that no configuration can have: with `authenticate = "home"` a home that takes the front end's word would
/// let anybody in.
#[test]
fn nobody_is_vouched_for_who_was_not_checked() -> Result<()> {
    for protocol in PROTOCOLS {
        for login in ["assertion", "master"] {
            site::refused(protocol, login).with_context(|| format!("{protocol} {login}"))?;
        }
    }
    Ok(())
}

#[test]
fn checked_at_a_homing_home() -> Result<()> {
    run(Authenticate::Home, Kind::Homing)
}

#[test]
fn checked_at_dovecot() -> Result<()> {
    run(Authenticate::Home, Kind::Dovecot)
}

fn run(authenticate: Authenticate, kind: Kind) -> Result<()> {
    let site = Site::start(authenticate, kind)?;
    let rows = Row::all(authenticate);
    let ways: Vec<Value> = (1..)
        .zip(&rows)
        .map(|(number, row)| way(&site, *row, number))
        .collect();
    let mut client = Command::new("python3")
        .arg("-c")
        .arg(include_str!("client.py"))
        .arg(Value::from(ways).to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("python3 is needed")?;
    let (stdin, stdout) = (client.stdin.take(), client.stdout.take());
    let mut go_on = stdin.context("piped")?;
    let mut replies = BufReader::new(stdout.context("piped")?).lines();
    let mut wrong = Vec::new();
    for row in rows {
        let line = replies.next().context("the client has ended early")??;
        if let Err(error) = check(&site, row, &serde_json::from_str(&line)?) {
            wrong.push(format!("{row:?}: {error:#}"));
            if wrong.len() >= 3 {
                break;
            }
        }
        writeln!(go_on)?;
    }
    drop(go_on);
    let ended = client.wait()?;
    let told = wrong.join("\n");
    ensure!(
        wrong.is_empty(),
        "{authenticate:?} {kind:?}:\n{told}\n{}",
        site.logs()
    );
    ensure!(ended.success(), "the client has failed");
    Ok(())
}

/// Each row has a client address of its own.
fn way(site: &Site, row: Row, number: u8) -> Value {
    json!({
        "protocol": row.protocol,
        "tls": row.tls,
        "port": site.port(row.protocol, row.tls),
        "source": format!("127.0.9.{number}"),
        "login": row.login.account(),
        "password": site::PASSWORD,
        "ca": site.ca(),
    })
}

fn check(site: &Site, row: Row, said: &Value) -> Result<()> {
    let text = |key: &str| said[key].as_str().with_context(|| said.to_string());
    let (reply, client) = (text("reply")?, text("local")?);
    let expected = Outcome::expected(site.authenticate, row.login, site.kind);
    ensure!(
        Outcome::of(reply) == Some(expected),
        "{reply:?}, not {expected:?}"
    );
    if expected == Outcome::Later {
        return Ok(());
    }
    let here = site.session_at_the_front(client)?;
    ensure!(
        here["protocol"] == row.protocol && here["account"] == row.login.account(),
        "{here}"
    );
    let trace = here["trace"].as_str().context("a trace")?;
    let client = Client {
        address: client,
        transport: if row.tls == "none" { "insecure" } else { "TLS" },
        trace,
    };
    eventually("the home knows the client", || {
        site.home_knows(row.protocol, client)
    })
}
