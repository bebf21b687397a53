//! What a message asks of a home, and what a home that cannot give it is to the client: refused, never silently
//! broken. Pure.

use super::reply;
use super::transaction::{Recipient, Sender};
use wire::smtp::{Body, Capabilities, Command, Extensions, MailParameters, RcptParameters, Reply};

/// What is known of a home.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home<'a> {
    pub(super) capabilities: &'a Capabilities,
    /// Nobody can listen in: verified TLS, or a home in this process.
    pub(super) private: bool,
}

impl Home<'_> {
    pub(super) fn has(&self, extension: Extensions) -> bool {
        self.capabilities.extensions.has(extension)
    }

    /// Whether the message is sent with BDAT. DATA, which every home knows, does for all but binary ones.
    pub(super) fn in_chunks(&self, sender: &Sender) -> bool {
        sender.parameters.body == Some(Body::BinaryMime)
    }

    /// MAIL for this home, or why it cannot have the message.
    pub(super) fn mail(&self, sender: &Sender) -> Result<Command, Reply> {
        let wanted = &sender.parameters;
        match wanted.body {
            // RFC 6152 section 3: converted, or not sent.
            Some(Body::EightBitMime) if !self.has(Extensions::EIGHT_BIT_MIME) => {
                return Err(reply::no_eight_bits());
            }
            // RFC 3030 section 3: the same.
            Some(Body::BinaryMime) if !self.has(Extensions::BINARYMIME.with(Extensions::CHUNKING)) => {
                return Err(reply::no_binary());
            }
            _ => {}
        }
        // RFC 6531 section 3.4.
        if wanted.smtputf8 && !self.has(Extensions::SMTPUTF8) {
            return Err(reply::no_utf8());
        }
        // RFC 8689 section 4.2.1: the next server must be verified, and must promise the same.
        if wanted.require_tls && !(self.private && self.has(Extensions::REQUIRETLS)) {
            return Err(reply::no_required_tls());
        }
        let dsn = self.has(Extensions::DSN);
        let parameters = MailParameters {
            size: wanted.size.filter(|_| self.has(Extensions::SIZE)),
            body: wanted.body.filter(|_| self.has(Extensions::EIGHT_BIT_MIME)),
            // RFC 3461 section 5.2.2: none of these for a server that does not know them.
            ret: wanted.ret.filter(|_| dsn),
            envid: wanted.envid.clone().filter(|_| dsn),
            ..wanted.clone()
        };
        let from = sender.from.clone();
        Ok(Command::Mail { from, parameters })
    }

    /// RCPT for this home.
    pub(super) fn rcpt(&self, recipient: &Recipient) -> Command {
        let parameters = match self.has(Extensions::DSN) {
            // RFC 3461 section 5.2.1: as they came.
            true => recipient.parameters.clone(),
            false => RcptParameters::default(),
        };
        let to = recipient.to.clone();
        Command::Rcpt { to, parameters }
    }

    /// Whether a sender who asked to hear of success hears of it only when we tell (RFC 3461 section 5.2.2).
    pub(super) fn keeps_silent(&self, recipient: &Recipient) -> bool {
        let asked = recipient
            .parameters
            .notify
            .is_some_and(|notify| notify.on_success());
        asked && !self.has(Extensions::DSN)
    }

    /// What the whole message shows that its sender did not declare.
    pub(super) fn refuses_message(&self, eight_bit: bool) -> Option<Reply> {
        // RFC 6152 section 3: such a home may clear the high bits.
        (eight_bit && !self.has(Extensions::EIGHT_BIT_MIME)).then(reply::no_eight_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::smtp::Extensions as E;

    const EVERYTHING: Extensions = E::SIZE
        .with(E::EIGHT_BIT_MIME)
        .with(E::SMTPUTF8)
        .with(E::CHUNKING)
        .with(E::BINARYMIME)
        .with(E::DSN)
        .with(E::REQUIRETLS);

    fn parse(line: &str) -> Command {
        Command::parse(line.as_bytes(), EVERYTHING).expect(line)
    }

    fn sender(line: &str) -> Sender {
        match parse(line) {
            Command::Mail { from, parameters } => Sender { from, parameters },
            other => panic!("{other}"),
        }
    }

    fn recipient(line: &str) -> Recipient {
        match parse(line) {
            Command::Rcpt { to, parameters } => Recipient { to, parameters },
            other => panic!("{other}"),
        }
    }

    /// What the home hears, or the reply that the client gets instead.
    #[test]
    fn carried_or_refused() {
        let all = "SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x";
        for (line, home, private, heard) in [
            (
                all,
                EVERYTHING,
                false,
                "MAIL FROM:<a@b.test> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x",
            ),
            (all, EVERYTHING.without(E::EIGHT_BIT_MIME), true, "550 5.6.3"),
            (all, EVERYTHING.without(E::SMTPUTF8), true, "550 5.6.7"),
            (
                all,
                EVERYTHING.without(E::DSN),
                false,
                "MAIL FROM:<a@b.test> SIZE=9 BODY=8BITMIME SMTPUTF8",
            ),
            (
                all,
                EVERYTHING.without(E::SIZE.with(E::DSN)),
                false,
                "MAIL FROM:<a@b.test> BODY=8BITMIME SMTPUTF8",
            ),
            ("BODY=7BIT", E::NONE, false, "MAIL FROM:<a@b.test>"),
            ("BODY=7BIT", EVERYTHING, false, "MAIL FROM:<a@b.test> BODY=7BIT"),
            (
                "BODY=BINARYMIME",
                EVERYTHING,
                false,
                "MAIL FROM:<a@b.test> BODY=BINARYMIME",
            ),
            (
                "BODY=BINARYMIME",
                EVERYTHING.without(E::CHUNKING),
                false,
                "550 5.6.3",
            ),
            (
                "BODY=BINARYMIME",
                EVERYTHING.without(E::BINARYMIME),
                false,
                "550 5.6.3",
            ),
            ("REQUIRETLS", EVERYTHING, true, "MAIL FROM:<a@b.test> REQUIRETLS"),
            ("REQUIRETLS", EVERYTHING, false, "550 5.7.30"),
            (
                "REQUIRETLS",
                EVERYTHING.without(E::REQUIRETLS),
                true,
                "550 5.7.30",
            ),
        ] {
            let capabilities = Capabilities {
                extensions: home,
                ..Capabilities::default()
            };
            let home = Home {
                capabilities: &capabilities,
                private,
            };
            let found = home.mail(&sender(&format!("MAIL FROM:<a@b.test> {line}")));
            match found {
                Ok(command) => assert_eq!(command.to_string(), heard, "{line}"),
                Err(reply) => assert!(reply.to_string().starts_with(heard), "{line}: {reply}"),
            }
        }
    }

    /// RFC 3461 section 5.2.
    #[test]
    fn notifications() {
        let with = Capabilities {
            extensions: EVERYTHING,
            ..Capabilities::default()
        };
        let without = Capabilities::default();
        for (line, silent) in [
            (
                "RCPT TO:<c@d.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y.test",
                true,
            ),
            ("RCPT TO:<c@d.test> NOTIFY=FAILURE", false),
            ("RCPT TO:<c@d.test> NOTIFY=NEVER", false),
            ("RCPT TO:<c@d.test>", false),
        ] {
            let recipient = recipient(line);
            let home = |capabilities| Home {
                capabilities,
                private: false,
            };
            assert_eq!(home(&with).rcpt(&recipient).to_string(), line);
            assert_eq!(home(&without).rcpt(&recipient).to_string(), "RCPT TO:<c@d.test>");
            assert!(!home(&with).keeps_silent(&recipient));
            assert_eq!(home(&without).keeps_silent(&recipient), silent, "{line}");
        }
    }

    #[test]
    fn eight_bits_that_nobody_declared() {
        let none = Capabilities::default();
        let home = Home {
            capabilities: &none,
            private: false,
        };
        assert!(home.refuses_message(false).is_none());
        assert_eq!(home.refuses_message(true).map(|reply| reply.code()), Some(550));
    }
}
