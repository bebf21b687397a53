//! The notification that a message was relayed to a home that notifies nobody (RFC 3461 section 5.2.2), in the
//! form of RFC 3464.
//!
//! Owns its text and its envelope. Never sends it: `delivery` does, by way of the spill home.

use super::transaction::{Envelope, Recipient, Sender};
use model::{Address, ReversePath, Timestamp, TraceId};
use std::fmt;
use wire::smtp::{ForwardPath, MailParameters, Notify, RcptParameters, rfc5322_date};

/// Longer headers are cut between two lines.
const MAX_HEADERS: usize = 16 * 1024;

/// One recipient that the sender is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// Its place in the transaction.
    pub(super) index: usize,
    /// The home that has the message.
    pub(super) home: String,
    /// What the home said.
    pub(super) reply: String,
}

/// A notification; `Display` gives the message.
#[derive(Debug)]
pub(super) struct Relayed<'a> {
    pub(super) server_name: &'a str,
    /// The transaction that it is about.
    pub(super) envelope: &'a Envelope,
    pub(super) sender: &'a Address,
    pub(super) told: &'a [Told],
    /// The beginning of the message.
    pub(super) head: &'a [u8],
    pub(super) trace: TraceId,
    pub(super) at: Timestamp,
}

impl Relayed<'_> {
    /// RFC 3461 section 6.1: from nobody, to the sender, and no notification about the notification.
    pub(super) fn envelope(&self) -> (Sender, Recipient) {
        let from = Sender {
            from: ReversePath::Null,
            parameters: MailParameters {
                smtputf8: self.sender.needs_smtputf8(),
                ..MailParameters::default()
            },
        };
        let to = Recipient {
            to: ForwardPath::Address(self.sender.clone()),
            parameters: RcptParameters {
                notify: Some(Notify::Never),
                orcpt: None,
            },
        };
        (from, to)
    }

    fn recipients(&self) -> impl Iterator<Item = (&Told, &Recipient)> {
        self.told.iter().filter_map(|told| {
            let recipient = self.envelope.recipients.get(told.index)?;
            Some((told, recipient))
        })
    }

    /// The message's own header, when all of it can be shown in seven bits.
    fn headers(&self) -> Option<String> {
        let end = self.head.windows(4).position(|window| window == b"\r\n\r\n");
        let header = self.head.get(..end? + 2)?;
        let text = std::str::from_utf8(header).ok().filter(|text| text.is_ascii())?;
        let mut out = String::new();
        for line in text.split_inclusive("\r\n") {
            if out.len() + line.len() > MAX_HEADERS {
                break;
            }
            out.push_str(line);
        }
        Some(out)
    }
}

impl fmt::Display for Relayed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.server_name;
        let boundary = format!("relayed-{}", self.trace);
        let date = rfc5322_date(self.at);
        write!(
            f,
            "From: Mail delivery <MAILER-DAEMON@{name}>\r\nTo: <{}>\r\nSubject: Your message was relayed\r\n\
             Date: {date}\r\nMessage-ID: <{}.relayed@{name}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             Your message was handed to the mail servers of these recipients. They do not report\r\n\
             deliveries, so you will hear no more of it unless something goes wrong.\r\n\r\n",
            self.sender, self.trace
        )?;
        for (_, recipient) in self.recipients() {
            write!(f, "   <{}>\r\n", Ascii(&recipient.to.to_string()))?;
        }
        // RFC 3464 section 2.2.
        write!(
            f,
            "\r\n--{boundary}\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; {name}\r\n"
        )?;
        if let Some(envid) = &self.envelope.sender.parameters.envid {
            write!(f, "Original-Envelope-Id: {}\r\n", envid.decoded())?;
        }
        write!(f, "Arrival-Date: {date}\r\n")?;
        for (told, recipient) in self.recipients() {
            // RFC 3464 section 2.3. Status 2.1.9: RFC 3886 section 3.3.4.
            f.write_str("\r\n")?;
            if let Some(original) = recipient
                .parameters
                .orcpt
                .as_ref()
                .and_then(|orcpt| orcpt.field())
            {
                write!(f, "Original-Recipient: {original}\r\n")?;
            }
            write!(
                f,
                "Final-Recipient: rfc822; {}\r\nAction: relayed\r\nStatus: 2.1.9\r\nRemote-MTA: dns; {}\r\n\
                 Diagnostic-Code: smtp; {}\r\n",
                Ascii(&recipient.to.to_string()),
                Ascii(&told.home),
                Ascii(&told.reply)
            )?;
        }
        if let Some(headers) = self.headers() {
            write!(
                f,
                "\r\n--{boundary}\r\nContent-Type: text/rfc822-headers\r\n\r\n{headers}"
            )?;
        }
        write!(f, "\r\n--{boundary}--\r\n")
    }
}

/// Text on one line of printable ASCII.
struct Ascii<'a>(&'a str);

impl fmt::Display for Ascii<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
        self.0
            .chars()
            .take(400)
            .map(plain)
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::smtp::{Command, Extensions};

    fn envelope() -> Envelope {
        let dsn = Extensions::DSN;
        let mail = Command::parse(b"MAIL FROM:<erika@sender.example> ENVID=a+2Bb RET=HDRS", dsn);
        let Ok(Command::Mail { from, parameters }) = mail else {
            panic!()
        };
        let recipients = ["alice", "bob"].map(|name| {
            let line =
                format!("RCPT TO:<{name}@example.test> NOTIFY=SUCCESS ORCPT=rfc822;{name}+2Bx@old.test");
            let Ok(Command::Rcpt { to, parameters }) = Command::parse(line.as_bytes(), dsn) else {
                panic!()
            };
            Recipient { to, parameters }
        });
        Envelope {
            sender: Sender { from, parameters },
            recipients: recipients.into(),
        }
    }

    fn text(head: &str) -> String {
        let envelope = envelope();
        let told = [Told {
            index: 1,
            home: "store1".to_owned(),
            reply: "250 2.0.0 kept\r\nX: y".to_owned(),
        }];
        let notification = Relayed {
            server_name: "front.test",
            sender: envelope.sender.address().expect("given"),
            envelope: &envelope,
            told: &told,
            head: head.as_bytes(),
            trace: TraceId::new(255),
            at: Timestamp::from_millis(1_795_324_557_000),
        };
        let (from, to) = notification.envelope();
        assert_eq!(
            (from.from, to.to.to_string().as_str()),
            (ReversePath::Null, "erika@sender.example")
        );
        assert_eq!(to.parameters.to_string(), " NOTIFY=NEVER");
        notification.to_string()
    }

    // RFC 3464 section 2.
    #[test]
    fn says_what_became_of_whom() {
        let text = text("Subject: hello\r\nX: y\r\n\r\nsecret body\r\n");
        for part in [
            "To: <erika@sender.example>\r\n",
            "Auto-Submitted: auto-replied\r\n",
            "report-type=delivery-status; boundary=\"relayed-00000000000000ff\"\r\n",
            "Reporting-MTA: dns; front.test\r\nOriginal-Envelope-Id: a+b\r\n",
            "\r\n\r\nOriginal-Recipient: rfc822;bob+x@old.test\r\nFinal-Recipient: rfc822; bob@example.test\r\n\
             Action: relayed\r\nStatus: 2.1.9\r\nRemote-MTA: dns; store1\r\nDiagnostic-Code: smtp; 250 2.0.0 kept??X: y\r\n",
            "text/rfc822-headers\r\n\r\nSubject: hello\r\nX: y\r\n\r\n--relayed-00000000000000ff--\r\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert!(!text.contains("alice") && !text.contains("secret"), "{text}");
        assert!(text.is_ascii() && !text.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn headers_that_cannot_be_shown_are_left_out() {
        for head in ["", "Subject: \u{fc}\r\n\r\n", "no end"] {
            assert!(!text(head).contains("rfc822-headers"), "{head:?}");
        }
        let long = format!("Subject: x\r\n{}\r\n", "X: y\r\n".repeat(10_000));
        assert!(text(&long).len() < MAX_HEADERS + 2_000);
    }
}
