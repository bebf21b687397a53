//! Clients that send nothing, a byte a second, or without end: sessions end at the configured time, listeners
//! stay within their limits, and memory stays bounded.

use crate::local::{ALICE, FrontParts, LocalFront, home_entry, inbox, listeners, start_home};
use anyhow::{Context, Result, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Dialogue, Homing, ImapClient, SmtpClient};

/// A second is the beat of every slow client; after so many of them a session that goes on has no end.
const BEATS: usize = 60;
const MIB: u64 = 1024 * 1024;

/// A home and a front end that wait ten seconds, the least that can be set.
struct Site {
    home: Homing,
    front: LocalFront,
    home_ports: Ports,
    front_ports: Ports,
}

impl Site {
    /// `keys` stand in every listener.
    fn start(keys: &str) -> Result<Self> {
        let (home_ports, front_ports) = (Ports::free()?, Ports::free()?);
        let keys = format!("idle_timeout = 10\n{keys}");
        let config = format!(
            "[imap]\nlogin_timeout = 10\n[pop3]\nlogin_timeout = 10\n{}",
            listeners("", home_ports, &keys)
        );
        let home = start_home(&config, &[ALICE])?;
        let sections = listeners("_proxy", front_ports, &keys) + &home_entry("home", home_ports, "", "");
        let parts = FrontParts {
            sections: &sections,
            reading: "login_timeout = 10",
            receiving: "command_timeout = 10",
        };
        Ok(Self {
            front: LocalFront::start(&[(ALICE, "home")], parts)?,
            home,
            home_ports,
            front_ports,
        })
    }

    /// Every listener, by name.
    fn doors(&self) -> Vec<(String, u16)> {
        let mut doors = Vec::new();
        for (server, ports) in [("home", self.home_ports), ("front", self.front_ports)] {
            for (service, port) in [("imap", ports.imap), ("pop3", ports.pop3), ("smtp", ports.smtp)] {
                doors.push((format!("{server} {service}"), port));
            }
        }
        doors
    }

    fn memory(&self) -> Result<u64> {
        let of = |server: &Homing| server.child().context("it runs")?.memory();
        Ok(of(&self.home)? + of(&self.front.server)?)
    }

    /// Somebody else is still served.
    fn serves(&self) -> Result<()> {
        inbox(self.front_ports.pop3, ALICE).map(drop)
    }

    fn logs(&self) -> String {
        format!("{}\n{}", self.home.log_tail(), self.front.server.log_tail())
    }
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Sends `beat` once a second until the server ends the session; what it said. Nothing is sent for an empty one.
fn until_ended(stream: &mut TcpStream, beat: &[u8]) -> Result<String> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    let mut beats = 0;
    while beats < BEATS {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(String::from_utf8_lossy(&said).into_owned()),
            Ok(len) => said.extend_from_slice(&buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                beats += 1;
                if stream.write_all(beat).is_err() {
                    return Ok(String::from_utf8_lossy(&said).into_owned());
                }
            }
            Err(_) => return Ok(String::from_utf8_lossy(&said).into_owned()),
        }
    }
    anyhow::bail!(
        "the session goes on after {BEATS} seconds: {}",
        String::from_utf8_lossy(&said)
    )
}

/// A client that is slow in its own way: what it says at once, and then once a second.
#[derive(Debug, Clone, Copy)]
struct Slow {
    what: &'static str,
    door: &'static str,
    first: &'static str,
    beat: &'static str,
    /// What the server says in the end, where its protocol has words for it.
    farewell: &'static str,
}

const fn slow(
    what: &'static str,
    door: &'static str,
    first: &'static str,
    beat: &'static str,
    farewell: &'static str,
) -> Slow {
    Slow {
        what,
        door,
        first,
        beat,
        farewell,
    }
}

const SLOW: [Slow; 17] = [
    slow("silent", "home imap", "", "", "* BYE"),
    // RFC 1939 section 3: the autologout timer closes in silence.
    slow("silent", "home pop3", "", "", ""),
    slow("silent", "home smtp", "", "", "421"),
    slow("silent", "front imap", "", "", "* BYE"),
    slow("silent", "front pop3", "", "", ""),
    slow("silent", "front smtp", "", "", "421"),
    slow("a byte a second", "home imap", "a LOG", "x", "* BYE"),
    slow("a byte a second", "home pop3", "US", "x", ""),
    slow("a byte a second", "home smtp", "EH", "x", "421"),
    slow("a byte a second", "front imap", "a LOG", "x", "* BYE"),
    slow("a byte a second", "front pop3", "US", "x", ""),
    slow("a byte a second", "front smtp", "EH", "x", "421"),
    // Commands that are allowed do not put the end off.
    slow("busy without a login", "home imap", "", "a NOOP\r\n", "* BYE"),
    slow("busy without a login", "home pop3", "", "CAPA\r\n", ""),
    slow("busy without a login", "front imap", "", "a NOOP\r\n", "* BYE"),
    slow("busy without a login", "front pop3", "", "CAPA\r\n", ""),
    slow(
        "silent in DATA",
        "front smtp",
        "EHLO x\r\nMAIL FROM:<a@sender.example>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n",
        "",
        "421",
    ),
];

#[test]
fn slow_clients_are_ended_at_the_configured_time() -> Result<()> {
    let site = Site::start("")?;
    let doors = site.doors();
    // All at once, so that the test takes as long as the slowest of them.
    let clients: Vec<_> = SLOW
        .into_iter()
        .map(|client| {
            let port = doors
                .iter()
                .find(|(name, _)| name == client.door)
                .map(|(_, port)| *port);
            std::thread::spawn(move || slow_client(client, port.context("no such door")?))
        })
        .collect();
    site.serves()?;
    for (client, thread) in SLOW.iter().zip(clients) {
        let done = thread
            .join()
            .map_err(|_| anyhow::anyhow!("the client panicked"))?;
        done.with_context(|| format!("{}, {}\n{}", client.door, client.what, site.logs()))?;
    }
    site.serves()
}

fn slow_client(client: Slow, port: u16) -> Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(client.first.as_bytes())?;
    let said = until_ended(&mut stream, client.beat.as_bytes())?;
    // A byte that crosses the farewell may reset the connection and take the farewell with it.
    let told = said
        .lines()
        .last()
        .unwrap_or_default()
        .starts_with(client.farewell);
    ensure!(told || !client.beat.is_empty(), "no farewell: {said:?}");
    Ok(())
}

#[test]
fn connections_beyond_the_limit_are_refused_in_the_protocol() -> Result<()> {
    let site = Site::start("max_connections = 3")?;
    for (door, port) in site.doors() {
        let refusal = match door.rsplit(' ').next() {
            Some("imap") => "* BYE [UNAVAILABLE]",
            Some("pop3") => "-ERR [SYS/TEMP]",
            _ => "421 4.3.2",
        };
        let mut held = Vec::new();
        // Setting up the site may have left a session that is just ending.
        eventually("three connections are served", || {
            held.clear();
            for _ in 0..3 {
                let mut client = Dialogue::connect(port)?;
                let greeting = client.line()?;
                ensure!(!greeting.starts_with(refusal), "{door}: {greeting}");
                held.push(client);
            }
            Ok(true)
        })?;
        for _ in 0..5 {
            let mut client = Dialogue::connect(port)?;
            let line = client.line()?;
            ensure!(line.starts_with(refusal), "{door}: {line}");
            ensure!(client.is_closed(), "{door}: refused and kept open");
        }
        held.pop();
        eventually("a place is free again", || {
            let line = Dialogue::connect(port)?.line()?;
            Ok(!line.starts_with(refusal))
        })
        .context(door)?;
    }
    Ok(())
}

#[test]
fn a_line_without_an_end_ends_the_session_and_takes_no_memory() -> Result<()> {
    let site = Site::start("")?;
    site.serves()?;
    let before = site.memory()?;
    let chunk = vec![b'a'; 64 * 1024];
    for (door, port) in site.doors() {
        for start in ["", "a LOGIN \"", "USER ", "EHLO "] {
            let mut stream = connect(port)?;
            stream.write_all(start.as_bytes())?;
            let mut sent = 0;
            // The kernel's buffers take some megabytes; the server must not read on for ever.
            while sent < 256 * MIB && stream.write_all(&chunk).is_ok() {
                sent += chunk.len() as u64;
            }
            ensure!(sent < 256 * MIB, "{door}: reads on after {sent} bytes");
        }
    }
    let after = site.memory()?;
    ensure!(after < before + 48 * MIB, "{} MiB more", (after - before) / MIB);
    site.serves()
}

#[test]
fn many_half_commands_take_little_memory() -> Result<()> {
    let site = Site::start("")?;
    site.serves()?;
    let before = site.memory()?;
    let mut held = Vec::new();
    let half = vec![b'a'; 512 * 1024];
    for _ in 0..40 {
        for (_, port) in site.doors() {
            let mut stream = connect(port)?;
            // A session that ends over this is as good as one that waits.
            let _ = stream.write_all(&half);
            held.push(stream);
        }
    }
    let after = site.memory()?;
    // 240 connections have sent 120 MiB.
    ensure!(
        after < before + 64 * MIB,
        "{} MiB more",
        after.saturating_sub(before) / MIB
    );
    drop(held);
    site.serves()
}

#[test]
fn announced_sizes_reserve_nothing() -> Result<()> {
    let site = Site::start("")?;
    let before = site.memory()?;
    let mut held = Vec::new();
    for port in [site.home_ports.imap, site.front_ports.imap] {
        for command in [
            "a LOGIN {4294967295}",
            "a LOGIN {999999999999999999999}",
            "a APPEND INBOX {67108864}",
        ] {
            let mut client = ImapClient::connect(port)?;
            client.dialogue.send_line(command)?;
            let reply = client.dialogue.line()?;
            ensure!(!reply.starts_with('+'), "{command}: {reply}");
            held.push(client);
        }
    }
    for port in [site.home_ports.smtp, site.front_ports.smtp] {
        let mut client = SmtpClient::connect(port)?;
        client.command("EHLO client.example.test")?;
        let reply = client.command("MAIL FROM:<a@sender.example> SIZE=99999999999")?;
        ensure!(reply.code == 552, "{reply:?}");
    }
    let after = site.memory()?;
    ensure!(
        after < before + 32 * MIB,
        "{} MiB more",
        after.saturating_sub(before) / MIB
    );
    site.serves()
}
