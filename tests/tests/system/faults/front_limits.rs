//! A front end at its limits: ten thousand at once, no descriptors left, and another front end that sends back what it
//! is sent.

use crate::local::{ALICE, FrontParts, LocalFront, home_entry, inbox, listeners, log, start_home};
use crate::login::{Answer, ReadPorts, WAYS};
use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, ImapClient};

const MIB: u64 = 1024 * 1024;

/// A front end before one home; `keys` stand in its listeners.
fn start(keys: &str) -> Result<(Homing, LocalFront, Ports)> {
    let (home_ports, ports) = (Ports::free()?, Ports::free()?);
    let home = start_home(&listeners("", home_ports, ""), &[ALICE])?;
    let sections = listeners("_proxy", ports, keys) + &home_entry("home", home_ports, "", "");
    let parts = FrontParts {
        sections: &sections,
        ..FrontParts::default()
    };
    Ok((home, LocalFront::start(&[(ALICE, "home")], parts)?, ports))
}

fn greeting(stream: &mut TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut first = [0; 5];
    stream.read_exact(&mut first)?;
    ensure!(&first == b"* OK ", "{first:?}");
    Ok(())
}

#[test]
fn ten_thousand_connections_at_once() -> Result<()> {
    const MANY: usize = 10_000;
    testkit::allow_open_files(u64::try_from(MANY)? + 500)?;
    let keys = "max_connections = 20000\nmax_connections_per_peer = 20000";
    let (_home, front, ports) = start(keys)?;
    let memory = || front.server.child().context("it runs")?.memory();
    let before = memory()?;
    let mut crowd = Vec::with_capacity(MANY);
    for number in 0..MANY {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ports.imap));
        crowd.push(stream.with_context(|| format!("number {number}"))?);
    }
    for stream in &mut crowd {
        greeting(stream)?;
    }
    let each = (memory()? - before) / u64::try_from(MANY)?;
    ensure!(
        each < 32 * 1024,
        "{each} octets for a client that has not logged in"
    );
    inbox(ports.pop3, ALICE).context("somebody else is served")?;
    drop(crowd);
    eventually("all of them are gone", || {
        let status = front.server.command(&["service", "status", "--json"])?;
        let rows: serde_json::Value = serde_json::from_str(&status)?;
        let open = rows
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|row| row["sessions"].as_u64());
        Ok(open.sum::<u64>() == 0)
    })?;
    ensure!(memory()? < before + 400 * MIB, "memory stays");
    Ok(())
}

#[test]
fn without_descriptors_those_who_are_there_go_on_and_the_others_come_later() -> Result<()> {
    let (_home, front, ports) = start("")?;
    (|| {
        let mut held = ImapClient::connect(ports.imap)?;
        let done = held.login(ALICE.mail, ALICE.password)?;
        ensure!(done.starts_with("OK"), "{done}");
        held.ok("SELECT INBOX")?;
        let mut early = ImapClient::connect(ports.imap)?;
        early.ok("NOOP")?;
        front.server.child().context("it runs")?.limit_files(8)?;
        let mut crowd = Vec::new();
        for _ in 0..64 {
            crowd.push(TcpStream::connect((Ipv4Addr::LOCALHOST, ports.imap))?);
        }
        // The first of them get in, and then nothing is left.
        eventually("the descriptors are used up", || {
            Ok(log(&front.server)?.contains("accept failed"))
        })?;
        held.ok("NOOP")?;
        let done = early.login(ALICE.mail, ALICE.password)?;
        ensure!(done.starts_with("NO [UNAVAILABLE]"), "no way to the home: {done}");
        held.ok("NOOP")?;
        // Nobody was reset: whoever waits is served when there is room again.
        drop(crowd.drain(..48));
        for mut stream in crowd.drain(..4) {
            greeting(&mut stream)?;
        }
        drop(crowd);
        eventually("logins go through again", || {
            let mut client = ImapClient::connect(ports.imap)?;
            Ok(client.login(ALICE.mail, ALICE.password)?.starts_with("OK"))
        })?;
        held.ok("LOGOUT").map(drop)
    })()
    .with_context(|| front.server.log_tail())
}

#[test]
fn two_front_ends_that_take_each_other_for_the_home_find_out() -> Result<()> {
    let (one, two) = (Ports::free()?, Ports::free()?);
    let front = |own: Ports, other: Ports| {
        let keys = "trusted_networks = [\"127.0.0.1\"]";
        let sections = listeners("_proxy", own, keys) + &home_entry("home", other, "", "");
        let parts = FrontParts {
            sections: &sections,
            ..FrontParts::default()
        };
        LocalFront::start(&[(ALICE, "home")], parts)
    };
    let (first, second) = (front(one, two)?, front(two, one)?);
    for ports in [one, two] {
        for way in WAYS {
            let read = ReadPorts {
                imap: ports.imap,
                pop3: ports.pop3,
            };
            let answer = way.try_login(read, ALICE.mail, ALICE.password)?;
            ensure!(answer == Answer::Later, "{way:?}: {answer:?}");
        }
    }
    // One of them has counted to the end, and an administrator can read it.
    let logs = log(&first.server)? + &log(&second.server)?;
    ensure!(
        logs.lines()
            .any(|line| line.contains("ERROR") && line.contains("goes in circles")),
        "{logs}"
    );
    for (front, ports) in [(&first, one), (&second, two)] {
        ImapClient::connect(ports.imap)?
            .ok("NOOP")
            .with_context(|| front.server.log_tail())?;
    }
    Ok(())
}
