//! kill -9 of a back end under delivery load: what was answered with 250 is there, once and whole, and UIDs
//! keep their meaning.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use system_tests::steps::eventually;
use system_tests::{Cluster, ClusterOptions, HOMES};
use testkit::{Homing, HomingBinary, ImapClient, SmtpClient, free_port};

/// Where messages go in, and by which hello.
#[derive(Debug, Clone, Copy)]
struct Door {
    port: u16,
    hello: &'static str,
}

/// Who gets mail.
#[derive(Debug, Clone)]
struct Reader {
    address: String,
    password: String,
}

/// What the senders know: for each message whether it was answered with 250.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: Mutex<HashSet<String>>,
    in_doubt: Mutex<HashSet<String>>,
    count: AtomicUsize,
    stop: AtomicBool,
}

/// A message that can be told whole from torn: everything in it follows from its name.
fn message(name: &str) -> String {
    let lines = name.bytes().map(usize::from).sum::<usize>() % 300 + 1;
    let mut text =
        format!("From: erika@example.test\r\nSubject: {name}\r\nMessage-ID: <{name}@example.test>\r\n\r\n");
    for line in 0..lines {
        text.push_str(&format!(
            "{line} of {lines} in {name}, some sixty bytes to the line's end\r\n"
        ));
    }
    text
}

/// Sends to all readers at once until told to stop or the server is gone.
fn send_until_stopped(ledger: &Ledger, door: Door, readers: &[Reader], prefix: &str) {
    let to: Vec<&str> = readers.iter().map(|reader| reader.address.as_str()).collect();
    let mut number = 0;
    while !ledger.stop.load(Ordering::SeqCst) {
        let Ok(mut client) = SmtpClient::connect(door.port) else {
            continue;
        };
        if client
            .command(&format!("{} client.example.test", door.hello))
            .is_err()
        {
            continue;
        }
        while !ledger.stop.load(Ordering::SeqCst) {
            number += 1;
            let name = format!("{prefix}-{number}");
            match deliver(&mut client, door, &to, &name) {
                Ok(true) => {
                    lock(&ledger.acknowledged).insert(name);
                    ledger.count.fetch_add(1, Ordering::SeqCst);
                }
                Ok(false) => {}
                Err(_) => {
                    lock(&ledger.in_doubt).insert(name);
                    break;
                }
            }
        }
    }
}

/// True when every recipient's copy was acknowledged; an error when the connection broke.
fn deliver(client: &mut SmtpClient, door: Door, to: &[&str], name: &str) -> Result<bool> {
    let (recipients, last) = client.deliver("erika@example.test", to, message(name).as_bytes())?;
    let accepted = recipients.iter().filter(|reply| reply.code == 250).count();
    if accepted < to.len() || last.code != 250 {
        return Ok(false);
    }
    // LMTP answers once for each recipient.
    for _ in 1..if door.hello == "LHLO" { accepted } else { 1 } {
        let reply = client.reply()?;
        ensure!(reply.code == 250, "{reply:?}");
    }
    Ok(true)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// UIDVALIDITY, and what each UID is: its subject.
#[derive(Debug, Default, Clone)]
struct Seen {
    validity: String,
    uids: BTreeMap<u32, String>,
}

/// Reads the whole INBOX, and holds every message to be whole and the UIDs to ascend.
fn read(imap: u16, reader: &Reader) -> Result<Seen> {
    let mut client = ImapClient::connect(imap)?;
    let reply = client.login(&reader.address, &reader.password)?;
    ensure!(reply.starts_with("OK"), "LOGIN: {reply}");
    let selected = client.ok("EXAMINE INBOX")?;
    let validity = selected
        .iter()
        .find_map(|line| {
            line.split_once("[UIDVALIDITY ")?
                .1
                .split_once(']')
                .map(|(value, _)| value.to_owned())
        })
        .context("no UIDVALIDITY")?;
    let mut seen = Seen {
        validity,
        uids: BTreeMap::new(),
    };
    let mut last = 0;
    for line in client.ok("UID FETCH 1:* (BODY.PEEK[])")? {
        let Some((_, rest)) = line.split_once(" FETCH (") else {
            continue;
        };
        let uid = rest.split_once("UID ").context("no UID")?.1;
        let uid: u32 = uid.split([' ', ')']).next().context("no UID")?.parse()?;
        ensure!(uid > last, "UID {uid} after {last}");
        last = uid;
        let name = rest
            .split_once("\r\nSubject: ")
            .and_then(|(_, after)| after.split_once("\r\n"))
            .with_context(|| format!("UID {uid} is torn: {rest}"))?
            .0;
        ensure!(
            rest.contains(&message(name)),
            "UID {uid}, {name}, is torn:\n{rest}"
        );
        seen.uids.insert(uid, name.to_owned());
    }
    Ok(seen)
}

/// Holds a mailbox to what was acknowledged and to what was seen before.
fn check(now: &Seen, before: &Seen, ledger: &Ledger) -> Result<()> {
    ensure!(
        before.validity.is_empty() || now.validity == before.validity,
        "UIDVALIDITY changed"
    );
    for (uid, name) in &before.uids {
        ensure!(
            now.uids.get(uid) == Some(name),
            "UID {uid} was {name} and is {:?}",
            now.uids.get(uid)
        );
    }
    let highest = before.uids.keys().next_back().copied().unwrap_or(0);
    let mut copies: HashMap<&str, u32> = HashMap::new();
    for (uid, name) in &now.uids {
        ensure!(
            before.uids.contains_key(uid) || *uid > highest,
            "UID {uid} came after {highest} was seen"
        );
        *copies.entry(name).or_default() += 1;
    }
    for name in lock(&ledger.acknowledged).iter() {
        let count = copies.get(name.as_str()).copied().unwrap_or(0);
        ensure!(
            count == 1,
            "{name} was answered with 250 and is there {count} times"
        );
    }
    // What was not acknowledged may be there, but not twice.
    for (name, count) in copies {
        ensure!(count == 1, "{name} is there {count} times");
    }
    Ok(())
}

/// How many messages are acknowledged before each kill.
const PER_ROUND: usize = 25;

#[test]
fn a_back_end_killed_under_load_keeps_its_word() -> Result<()> {
    let readers = ["alice", "bob"].map(|name| Reader {
        address: format!("{name}@example.test"),
        password: format!("{name}-secret"),
    });
    let (imap, smtp, lmtp) = (free_port()?, free_port()?, free_port()?);
    let config = format!(
        "server_name = \"mail.example.test\"\n[[imap.listener]]\naddress = \"127.0.0.1:{imap}\"\n\
         [[smtp.listener]]\naddress = \"127.0.0.1:{smtp}\"\n[[lmtp.listener]]\naddress = \"127.0.0.1:{lmtp}\"\n"
    );
    let mut homing = Homing::start(&HomingBinary::find()?, &config)?;
    homing.command(&["domain", "create", "example.test"])?;
    for reader in &readers {
        let args = ["account", "create", &reader.address, "--password-stdin"];
        homing.command_with_input(&args, reader.password.as_bytes())?;
    }
    let doors = [("EHLO", smtp), ("LHLO", lmtp)].map(|(hello, port)| Door { port, hello });
    let ledger = Ledger::default();
    let mut before = [Seen::default(), Seen::default()];
    for round in 0..4 {
        load_and_kill(&mut homing, &ledger, &doors, &readers, round, |_| {
            for (reader, seen) in readers.iter().zip(&mut before) {
                *seen = read(imap, reader)?;
            }
            Ok(())
        })?;
        homing.restart()?;
        for (reader, seen) in readers.iter().zip(&mut before) {
            let now = read(imap, reader)?;
            check(&now, seen, &ledger).with_context(|| format!("{} after kill {round}", reader.address))?;
            *seen = now;
        }
        send_again(&ledger, doors[0], &readers)?;
    }
    for (reader, seen) in readers.iter().zip(&before) {
        check(&read(imap, reader)?, seen, &ledger).context(reader.address.clone())?;
    }
    Ok(())
}

/// Delivers from two connections a door, looks in the middle, and kills.
fn load_and_kill(
    homing: &mut Homing,
    ledger: &Ledger,
    doors: &[Door],
    readers: &[Reader],
    round: usize,
    look: impl FnOnce(&Ledger) -> Result<()>,
) -> Result<()> {
    ledger.stop.store(false, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for (index, door) in doors.iter().chain(doors).enumerate() {
            let prefix = format!("r{round}c{index}");
            scope.spawn(move || send_until_stopped(ledger, *door, readers, &prefix));
        }
        let outcome = under_load(ledger, || {
            look(ledger)?;
            under_load(ledger, || homing.kill())
        });
        ledger.stop.store(true, Ordering::SeqCst);
        outcome
    })
}

/// Does something once more messages have been acknowledged.
fn under_load(ledger: &Ledger, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = ledger.count.load(Ordering::SeqCst);
    eventually("messages are being taken", || {
        Ok(ledger.count.load(Ordering::SeqCst) >= start + PER_ROUND)
    })?;
    act()
}

/// What a client does that has lost the reply: it sends again. A home delivers such a repeat once, for it knows
/// the message by its Message-ID.
fn send_again(ledger: &Ledger, door: Door, readers: &[Reader]) -> Result<()> {
    let in_doubt: Vec<String> = lock(&ledger.in_doubt).drain().collect();
    let to: Vec<&str> = readers.iter().map(|reader| reader.address.as_str()).collect();
    let mut client = SmtpClient::connect(door.port)?;
    client.command("EHLO client.example.test")?;
    for name in in_doubt {
        ensure!(deliver(&mut client, door, &to, &name)?, "{name} is refused");
        lock(&ledger.acknowledged).insert(name);
    }
    Ok(())
}

#[test]
fn a_home_killed_behind_the_front_end_keeps_its_word() -> Result<()> {
    let mut cluster = Cluster::start(&ClusterOptions::default())?;
    let bob = cluster.people.find("bob").context("bob")?;
    ensure!(bob.host == HOMES[1], "bob lives elsewhere");
    let readers = [Reader {
        address: bob.mail.clone(),
        password: bob.password.clone(),
    }];
    let door = Door {
        port: cluster.front_ports.smtp,
        hello: "EHLO",
    };
    let imap = cluster.front_ports.imap;
    let ledger = Ledger::default();
    let mut before = Seen::default();
    for round in 0..2 {
        let home = cluster.homes.get_mut(1).context("the second home")?;
        load_and_kill(home, &ledger, &[door], &readers, round, |_| {
            before = read(imap, &readers[0])?;
            Ok(())
        })?;
        home.restart()?;
        eventually("bob can read again", || Ok(read(imap, &readers[0]).is_ok()))?;
        eventually("bob gets mail again", || {
            let mut client = SmtpClient::connect(door.port)?;
            client.command("EHLO client.example.test")?;
            deliver(
                &mut client,
                door,
                &[&readers[0].address],
                &format!("probe-{round}"),
            )
        })?;
        let now = read(imap, &readers[0])?;
        check(&now, &before, &ledger)
            .with_context(|| format!("after kill {round}\n{}", cluster.log_tails()))?;
        before = now;
    }
    Ok(())
}

#[test]
fn a_stop_in_good_order_says_bye() -> Result<()> {
    let imap = free_port()?;
    let config = format!(
        "server_name = \"mail.example.test\"\ndrain_timeout = 1\n[[imap.listener]]\naddress = \"127.0.0.1:{imap}\"\n"
    );
    let mut homing = Homing::start(&HomingBinary::find()?, &config)?;
    homing.command(&["domain", "create", "example.test"])?;
    let args = ["account", "create", "alice@example.test", "--password-stdin"];
    homing.command_with_input(&args, b"alice-secret")?;
    let mut client = ImapClient::connect(imap)?;
    client.login("alice@example.test", "alice-secret")?;
    client.append("INBOX", b"Subject: kept\r\n\r\nx\r\n")?;
    client.ok("SELECT INBOX")?;
    client.dialogue.send_line("i IDLE")?;
    ensure!(client.response()?.starts_with('+'), "IDLE");
    ensure!(homing.stop()? == Some(0), "the exit code is not 0");
    let bye = client.response()?;
    ensure!(bye.starts_with("* BYE"), "{bye}");
    homing.restart()?;
    let mut client = ImapClient::connect(imap)?;
    client.login("alice@example.test", "alice-secret")?;
    let selected = client.ok("SELECT INBOX")?;
    ensure!(selected.iter().any(|line| line == "* 1 EXISTS"), "{selected:?}");
    Ok(())
}
