//! What a home hears, judged by a home that is as lenient as any: it takes a bare LF for a line end, also in data. Of
//! chunks it thinks like the worst: it counts in 32 bits, and what follows a BDAT that it does not understand, or has
//! not offered since the last greeting, are commands to it.

use super::*;
use proptest::prelude::*;

/// A client, a guard, and a home that answers every command at once.
struct Stage {
    guard: Guard,
    home: LenientHome,
    /// What the client has been told.
    heard: Vec<u8>,
}

/// Commands end with LF, and so does a message with a dot between two of them.
#[derive(Default)]
struct LenientHome {
    pending: Vec<u8>,
    commands: Vec<String>,
    message: Option<Vec<u8>>,
    messages: Vec<Vec<u8>>,
    chunk: usize,
    refuses_data: bool,
    /// It has offered chunks.
    chunking: bool,
    /// It offers them when it is greeted again.
    stays: bool,
}

impl LenientHome {
    /// Its replies to what it has been sent.
    fn hear(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut replies = Vec::new();
        loop {
            if self.chunk > 0 {
                let taken = self.chunk.min(self.pending.len());
                self.pending.drain(..taken);
                self.chunk -= taken;
                if self.chunk > 0 {
                    return replies;
                }
            }
            let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') else {
                return replies;
            };
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some(message) = &mut self.message {
                if line == b"." {
                    self.messages.extend(self.message.take());
                    replies.push("250 2.0.0 kept".to_owned());
                } else {
                    message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
                    message.extend_from_slice(b"\r\n");
                }
                continue;
            }
            let text = String::from_utf8_lossy(line).into_owned();
            let verb = text
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            replies.push(match verb.as_str() {
                "DATA" if self.refuses_data => "554 5.5.1 no recipients".to_owned(),
                "DATA" => {
                    self.message = Some(Vec::new());
                    "354 go".to_owned()
                }
                "BDAT" => {
                    let size = text.get(5..).unwrap_or_default();
                    let size = size.strip_suffix(" LAST").unwrap_or(size);
                    let plain = size == "0" || !size.starts_with('0');
                    match size.parse::<u64>() {
                        Ok(size) if plain && self.chunking => {
                            self.chunk = usize::try_from(size & u64::from(u32::MAX)).expect("small");
                            "250 2.0.0 chunk".to_owned()
                        }
                        _ => "503 5.5.1 no chunks".to_owned(),
                    }
                }
                "HELO" => {
                    self.chunking = false;
                    "250 home".to_owned()
                }
                "EHLO" => {
                    self.chunking = self.stays;
                    let more = if self.stays { "250-CHUNKING\r\n" } else { "" };
                    format!("250-home\r\n{more}250-SIZE 7\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR LOGIN")
                }
                _ => "250 2.0.0 ok".to_owned(),
            });
            self.commands.push(text);
        }
    }
}

impl Stage {
    fn new(said: &[&str]) -> Self {
        let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
        Self {
            guard: Guard::new(&said),
            home: LenientHome {
                chunking: offers_chunks(said.iter().map(String::as_str)),
                ..LenientHome::default()
            },
            heard: Vec::new(),
        }
    }

    /// The client sends all of this without waiting, and closes.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut out = Vec::new();
            match self.guard.turn() {
                Turn::Command => {
                    // As `LineStream` with `LinePolicy::AcceptLf`.
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        return;
                    };
                    let (line, rest) = bytes.split_at(end + 1);
                    bytes = rest;
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    self.guard
                        .command((line.len() <= MAX_COMMAND).then_some(line), &mut out);
                }
                Turn::Data | Turn::Chunk(_) => {
                    let taken = self.guard.octets(bytes, &mut out);
                    bytes = &bytes[taken..];
                }
                Turn::Wait => panic!("the home has answered everything"),
            }
            self.answer(&out);
        }
    }

    fn answer(&mut self, out: &[u8]) {
        for reply in self.home.hear(out) {
            for line in reply.split("\r\n") {
                self.guard
                    .home_line(line.as_bytes(), &mut self.heard)
                    .expect("a reply");
            }
        }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}

const FORBIDDEN: [&str; 5] = ["XCLIENT", "XFORWARD", "STARTTLS", "AUTH", "BURL"];

#[test]
fn only_the_commands_of_mail_go_through() {
    for (line, goes) in [
        ("MAIL FROM:<a@b> SIZE=3", true),
        ("rcpt to:<a@b>", true),
        ("NOOP", true),
        ("VRFY a", true),
        ("QUIT", true),
        ("XCLIENT ADDR=192.0.2.1 LOGIN=root", false),
        (" xclient LOGIN=root", false),
        ("XFORWARD ADDR=192.0.2.1", false),
        ("STARTTLS", false),
        ("AUTH PLAIN x", false),
        ("BURL imap://x LAST", false),
        ("BDAT 5 LAST", false),
        ("", false),
        ("NOOP\rXCLIENT LOGIN=root", false),
        ("NOOP \0", false),
    ] {
        let mut stage = Stage::new(&["PIPELINING"]);
        stage.send(format!("{line}\r\n").as_bytes());
        let expected = if goes { line } else { "NOT-HERE" };
        assert_eq!(stage.home.commands, [expected], "{line:?}");
        assert!(stage.heard.starts_with(b"250 "), "every command has its reply");
    }
    let mut stage = Stage::new(&[]);
    stage.send(format!("NOOP {}\r\nNOOP\r\n", "x".repeat(MAX_COMMAND)).as_bytes());
    assert_eq!(stage.home.commands, ["NOT-HERE", "NOOP"]);
}

#[test]
fn a_message_goes_through_whole() {
    let mut stage = Stage::new(&["CHUNKING"]);
    stage.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\nXCLIENT LOGIN=root\r\n.\r\nQUIT\r\n");
    assert_eq!(
        stage.home.messages,
        [b"Subject: x\r\n\r\n.dot\r\nXCLIENT LOGIN=root\r\n".to_vec()]
    );
    assert_eq!(stage.home.commands.last().map(String::as_str), Some("QUIT"));
    assert_eq!(stage.heard().matches("\r\n").count(), 5);
    // In chunks: the octets are nobody's commands.
    stage.send(b"BDAT 12\r\nXCLIENT x\r\n\nBDAT 3 LAST\r\na\r\nNOOP\r\n");
    let last = &stage.home.commands[stage.home.commands.len() - 3..];
    assert_eq!(last, ["BDAT 12", "BDAT 3 LAST", "NOOP"]);
}

/// The home counts as we do, or there is no chunk.
#[test]
fn no_home_takes_the_rest_of_a_chunk_for_commands() {
    const INSIDE: &str = "XCLIENT LOGIN=root\r\n";
    for (before, size) in [
        ("", "BDAT 4294967316"),
        ("", "BDAT 2147483648"),
        ("", "BDAT 18446744073709551617"),
        ("", "BDAT 020"),
        ("", "BDAT  20"),
        ("", "BDAT\t20"),
        ("", "BDAT 20  last"),
        ("HELO me\r\n", "BDAT 20"),
        ("EHLO me\r\n", "BDAT 20"),
    ] {
        let mut stage = Stage::new(&["CHUNKING"]);
        stage.send(format!("{before}{size}\r\n{INSIDE}{INSIDE}").as_bytes());
        let told = |line: &&String| FORBIDDEN.iter().any(|word| line.starts_with(word));
        assert_eq!(stage.home.commands.iter().find(told), None, "{before:?} {size:?}");
    }
    // Where it offers them again, they are taken again.
    let mut stage = Stage::new(&["CHUNKING"]);
    stage.home.stays = true;
    stage.send(format!("EHLO me\r\nBDAT 20 last\r\n{INSIDE}NOOP\r\n").as_bytes());
    assert_eq!(stage.home.commands, ["EHLO me", "BDAT 20 LAST", "NOOP"]);
}

/// What a refused DATA is followed by are commands, and the home would take them for such.
#[test]
fn a_refused_message_is_none() {
    let mut stage = Stage::new(&[]);
    stage.home.refuses_data = true;
    stage.send(b"DATA\r\nXCLIENT LOGIN=root\r\n.\r\n");
    assert_eq!(stage.home.commands, ["DATA", "NOT-HERE", "NOT-HERE"]);
}

// CVE-2023-51764 and its kin.
#[test]
fn nothing_is_smuggled_out_of_a_message() {
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
    ] {
        let mut stage = Stage::new(&[]);
        stage.send(format!("DATA\r\nx{end}XCLIENT LOGIN=root\r\n.\r\nNOOP\r\n").as_bytes());
        assert!(
            !stage.home.commands.iter().any(|line| line.starts_with("XCLIENT")),
            "{end:?}: {:?}",
            stage.home.commands
        );
        assert_eq!(stage.home.messages.len(), 1, "{end:?}");
    }
}

#[test]
fn what_is_for_front_ends_is_not_shown() {
    let mut stage = Stage::new(&[]);
    stage.send(b"EHLO me\r\n");
    assert_eq!(stage.heard(), "250-home\r\n250 SIZE 7\r\n");
}

#[test]
fn a_client_that_does_not_listen_has_to_wait() {
    let mut guard = Guard::new(&[]);
    let mut out = Vec::new();
    for _ in 0..MAX_OWED {
        assert_eq!(guard.turn(), Turn::Command);
        guard.command(Some(b"NOOP"), &mut out);
    }
    assert_eq!(guard.turn(), Turn::Wait);
    guard.home_line(b"250 ok", &mut out).expect("a reply");
    assert_eq!(guard.turn(), Turn::Command);
    assert_eq!(guard.home_line(b"HTTP/1.1 400", &mut out), Err(NoReply));
}

proptest! {
    #[test]
    fn whatever_is_sent_the_home_never_hears_what_it_must_not(
        pieces in proptest::collection::vec(prop_oneof![
            Just("DATA"), Just("BDAT 3"), Just("BDAT 0 LAST"), Just("BDAT x"), Just("MAIL FROM:<a@b>"),
            Just("BDAT 4294967298"), Just("BDAT  03"), Just("\r\nEHLO x\r\n"), Just("\r\nHELO x\r\n"),
            Just("XCLIENT LOGIN=root"), Just("AUTH PLAIN x"), Just("STARTTLS"), Just("."), Just(".."), Just("a"),
            Just("\r\n"), Just("\n"), Just("\r"), Just("\r\n.\r\n"), Just(" "), Just("\0"),
        ], 0..40),
        refuses_data: bool,
        chunking: bool,
        stays: bool,
    ) {
        let mut stage = Stage::new(if chunking { &["CHUNKING"] } else { &[] });
        stage.home.refuses_data = refuses_data;
        stage.home.stays = stays;
        stage.send(pieces.concat().as_bytes());
        for line in &stage.home.commands {
            let verb = line.trim().split(|c: char| c.is_whitespace()).next().unwrap_or_default();
            prop_assert!(
                !FORBIDDEN.iter().any(|word| verb.eq_ignore_ascii_case(word)),
                "{:?} from {:?}", line, pieces
            );
        }
    }
}
