//! Sessions that have to end while the front end relays them: a Homing home that trusts the front end says goodbye in
//! its own protocol, at a place where that is right; at any other home they end without a word.

use crate::local::{ALICE, BOB, FrontParts, LocalFront, home_entry, listeners, start_home};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, ImapClient, Pop3Client};

struct Site {
    home: Homing,
    front: LocalFront,
    home_ports: Ports,
    ports: Ports,
}

impl Site {
    /// `keys` stand in the home's listeners.
    fn start(keys: &str) -> Result<Self> {
        let (home_ports, ports) = (Ports::free()?, Ports::free()?);
        let home = start_home(&listeners("", home_ports, keys), &[ALICE, BOB])?;
        let sections = listeners("_proxy", ports, "") + &home_entry("home", home_ports, "", "");
        let parts = FrontParts {
            sections: &sections,
            ..FrontParts::default()
        };
        Ok(Self {
            home,
            front: LocalFront::start(&[(ALICE, "home"), (BOB, "home")], parts)?,
            home_ports,
            ports,
        })
    }

    fn logs(&self) -> String {
        format!("{}\n{}", self.home.log_tail(), self.front.server.log_tail())
    }

    fn imap(&self) -> Result<ImapClient> {
        let mut client = ImapClient::connect(self.ports.imap)?;
        let done = client.login(ALICE.mail, ALICE.password)?;
        ensure!(done.starts_with("OK"), "{done}");
        client.ok("SELECT INBOX")?;
        Ok(client)
    }

    fn pop3(&self) -> Result<Pop3Client> {
        let mut client = Pop3Client::connect(self.ports.pop3)?;
        let done = client.login(BOB.mail, BOB.password)?;
        ensure!(done.starts_with("+OK"), "{done}");
        ensure!(client.command("STAT")?.starts_with("+OK"), "STAT");
        Ok(client)
    }

    /// What an IMAP client in IDLE, one that waits between commands, and a POP3 client hear before the end.
    fn last_words(&self, end: impl FnOnce(&Homing) -> Result<()>) -> Result<[Vec<String>; 3]> {
        let (mut idle, mut quiet, mut pop3) = (self.imap()?, self.imap()?, self.pop3()?);
        idle.dialogue.send_line("i IDLE")?;
        ensure!(idle.response()?.starts_with('+'), "IDLE");
        end(&self.front.server)?;
        let heard = [&mut idle.dialogue, &mut quiet.dialogue, &mut pop3.dialogue].map(|dialogue| {
            let mut lines = Vec::new();
            while let Ok(line) = dialogue.line() {
                lines.push(line);
            }
            lines
        });
        eventually("the home has no session left", || {
            let rows = self.home.command(&["session", "list", "--json"])?;
            Ok(serde_json::from_str::<serde_json::Value>(&rows)? == serde_json::json!([]))
        })?;
        Ok(heard)
    }
}

fn kick(front: &Homing) -> Result<()> {
    for who in [ALICE, BOB] {
        front.command(&["session", "kick", "--account", who.mail])?;
    }
    Ok(())
}

fn drain(front: &Homing) -> Result<()> {
    front.command(&["home", "drain", "home", "--reason", "new disks", "--end-sessions"])?;
    front.command(&["home", "enable", "home"]).map(drop)
}

#[test]
fn a_homing_home_says_goodbye_for_the_front_end() -> Result<()> {
    let site = Site::start("trusted_networks = [\"127.0.0.1\"]")?;
    (|| {
        for (end, imap, pop3) in [
            (
                kick as fn(&Homing) -> Result<()>,
                "* BYE Ended by the administrator",
                "-ERR ",
            ),
            (
                drain,
                "* BYE [UNAVAILABLE] The server is being emptied",
                "-ERR [SYS/TEMP] ",
            ),
        ] {
            let heard = site.last_words(end)?;
            for (lines, expected) in heard.iter().zip([imap, imap, pop3]) {
                ensure!(
                    lines.len() == 1 && lines[0].starts_with(expected),
                    "{heard:?}, not {expected}"
                );
            }
        }
        Ok(())
    })()
    .with_context(|| site.logs())
}

#[test]
fn a_home_that_takes_no_orders_is_left_without_a_word() -> Result<()> {
    let site = Site::start("")?;
    (|| {
        let heard = site.last_words(kick)?;
        ensure!(heard.iter().all(Vec::is_empty), "{heard:?}");
        Ok(())
    })()
    .with_context(|| site.logs())
}

#[test]
fn orders_are_taken_from_front_ends_only() -> Result<()> {
    for (keys, announced, reply) in [
        ("", false, "BAD"),
        ("trusted_networks = [\"127.0.0.1\"]", true, "NO [NONEXISTENT]"),
    ] {
        let site = Site::start(keys)?;
        let mut client = ImapClient::connect(site.home_ports.imap)?;
        let capabilities = client.ok("CAPABILITY")?.join(" ");
        ensure!(
            capabilities.contains("XENDSESSION") == announced,
            "{keys}: {capabilities}"
        );
        for order in ["0123456789abcdef kicked", "x kicked", "0123456789abcdef bored"] {
            let (_, done) = client.command(&format!("XENDSESSION {order}"))?;
            ensure!(done.starts_with(reply), "{keys}: {order}: {done}");
        }
        // It is nobody's command after the login, and clients never see it.
        let mut client = site.imap()?;
        let capabilities = client.ok("CAPABILITY")?.join(" ");
        ensure!(!capabilities.contains("XENDSESSION"), "{capabilities}");
        let (_, done) = client.command("XENDSESSION 0123456789abcdef kicked")?;
        ensure!(done.starts_with("BAD"), "{done}");
    }
    Ok(())
}
