//! Any bytes as a client of IMAP behind a guard, at a home that takes some literals and refuses others.

use wire::imap::{Breach, Guard, LiteralKind, literal_at_end_of_line};

const FORBIDDEN: [&str; 5] = ["UNAUTHENTICATE", "COMPRESS", "STARTTLS", "AUTHENTICATE", "LOGIN"];

/// The home never hears what may not be said, and nothing depends on how the network has cut it. The first octet says
/// how it is cut.
pub(crate) fn run(data: &[u8]) {
    let Some((how, said)) = data.split_first() else {
        return;
    };
    let whole = session(said, usize::MAX, usize::MAX, false);
    let small = usize::from(how & 7) + 1;
    for (up, down) in [(1, 1), (small, usize::MAX), (usize::MAX, small)] {
        for late in [false, true] {
            assert_eq!(
                session(said, up, down, late),
                whole,
                "cut at {up} and {down}, late: {late}"
            );
        }
    }
}

/// What the home and the client hear, and how it ends. A home that is late answers when the client is not heard otherwise.
fn session(said: &[u8], up: usize, down: usize, late: bool) -> (Vec<u8>, Vec<u8>, Option<Breach>) {
    let (mut guard, mut home) = (Guard::default(), Home::default());
    let (mut to_home, mut to_client) = (Vec::new(), Vec::new());
    let mut pieces = said.chunks(up.min(said.len().max(1)));
    let mut next = pieces.next();
    loop {
        // A client whose home is silent is not read.
        let piece = match guard.waits() {
            true => None,
            false => next.take(),
        };
        let mut out = Vec::new();
        let breach = guard.up(piece.unwrap_or_default(), &mut out).err();
        home.hear(&out);
        to_home.extend_from_slice(&out);
        if breach.is_some() {
            return (to_home, Vec::new(), breach);
        }
        next = next.or_else(|| pieces.next());
        let owes = !home.says.is_empty();
        if owes && (!late || guard.waits() || next.is_none()) {
            let says = std::mem::take(&mut home.says);
            for piece in says.chunks(down.min(says.len())) {
                to_client.extend_from_slice(&guard.down(piece));
            }
            continue;
        }
        if next.is_none() || guard.waits() {
            return (to_home, to_client, None);
        }
    }
}

/// Follows RFC 3501 to the letter, in its own words.
#[derive(Default)]
struct Home {
    heard: Vec<u8>,
    /// The command that is being read.
    command: Vec<u8>,
    literal: usize,
    idle: Option<String>,
    says: Vec<u8>,
}

impl Home {
    fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
        loop {
            if self.literal > 0 {
                let taken = self.literal.min(self.heard.len());
                self.heard.drain(..taken);
                self.literal -= taken;
                if self.literal > 0 {
                    return;
                }
            }
            let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') else {
                return;
            };
            let line: Vec<u8> = self.heard.drain(..=end).collect();
            self.line(line.strip_suffix(b"\r\n").expect("a whole line end"));
        }
    }

    fn line(&mut self, line: &[u8]) {
        if let Some(tag) = self.idle.take() {
            self.say(&format!("{tag} OK idled\r\n"));
            return;
        }
        self.command.extend_from_slice(line);
        let first = String::from_utf8_lossy(&self.command).into_owned();
        let mut words = first.split([' ', '\t']);
        let tag = words.next().unwrap_or_default().to_owned();
        let verb = words
            .find(|word| !word.is_empty())
            .unwrap_or_default()
            .to_ascii_uppercase();
        assert!(
            !FORBIDDEN.contains(&verb.as_str()),
            "the home has heard {first:?}"
        );
        if let Some(literal) = literal_at_end_of_line(line) {
            assert_eq!(literal.kind, LiteralKind::Synchronizing, "the home is not asked");
            // Some commands it does not like.
            if !self.command.len().is_multiple_of(3) {
                self.literal = usize::try_from(literal.size).expect("bounded");
                self.say("+ go on\r\n");
            } else {
                self.say(&format!("{tag} NO not here\r\n"));
                self.command.clear();
            }
            return;
        }
        self.command.clear();
        match verb.as_str() {
            _ if tag.is_empty() => self.say("* BAD no tag\r\n"),
            "IDLE" => {
                self.say("+ idling\r\n");
                self.idle = Some(tag);
            }
            // Letters with what looks like its own words.
            "FETCH" => self.say(&format!(
                "* 1 FETCH (BODY[] {{24}}\r\n+ go on\r\n{tag:9.9} NO x\r\n FLAGS ())\r\n{tag} OK {{5}}\r\n"
            )),
            "" => self.say(&format!("{tag} BAD no verb\r\n")),
            _ => self.say(&format!("{tag} OK done\r\n")),
        }
    }

    fn say(&mut self, text: &str) {
        self.says.extend_from_slice(text.as_bytes());
    }
}
