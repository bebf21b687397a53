//! A SASL exchange with a client at the edge, whatever carries it.

use crate::edge::Edge;
use crate::exchange::verdict;
use crate::failure::Failure;
use crate::login::Arrived;
use crate::managesieve::{Assembled, assemble};
use net::{LineStream, ReadError};
use std::time::Duration;
use wire::managesieve::{parse_string, write_server_string};
use wire::sasl::{Conclusion, Mechanism, SaslError, ServerExchange, Step};

/// How a protocol carries challenges and responses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Carrier {
    /// A line each, the challenge after these words: `+ ` in IMAP and POP3, `334 ` in SMTP.
    Lines(&'static str),
    /// A string each (RFC 5804 section 2.1).
    Strings,
}

/// How an exchange ended.
pub(crate) enum Exchanged {
    /// The client has said who it is, and has arrived at its home or not.
    Judged(Result<Box<Arrived>, Failure>),
    /// The mechanism may be used under TLS only.
    NeedsTls,
    /// There is no such mechanism here.
    Unsupported,
    /// The client cancelled it, or said what makes no sense.
    Broken,
    /// The client's response is longer than may be; it has been skipped.
    TooLong,
    /// The client is gone, or out of step.
    Gone,
}

/// What a client answered.
enum Answer {
    Response(Vec<u8>),
    Malformed,
    TooLong,
    Gone,
}

impl Carrier {
    fn challenge(self, stream: &mut LineStream, text: &str) {
        let mut out = Vec::new();
        match self {
            Self::Lines(before) => out.extend_from_slice(format!("{before}{text}").as_bytes()),
            Self::Strings => write_server_string(&mut out, text.as_bytes()),
        }
        out.extend_from_slice(b"\r\n");
        stream.write(&out);
    }

    async fn response(self, stream: &mut LineStream, limit: Duration) -> Answer {
        match self {
            Self::Lines(_) => match stream.read_line(limit).await {
                Ok(line) => Answer::Response(line.to_vec()),
                Err(ReadError::LineTooLong) => Answer::TooLong,
                Err(_) => Answer::Gone,
            },
            Self::Strings => match assemble(stream, limit).await {
                Ok(Assembled::Whole(line)) => match parse_string(&line) {
                    Some(text) => Answer::Response(text.expose().to_vec()),
                    None => Answer::Malformed,
                },
                Ok(Assembled::TooLong) => Answer::TooLong,
                Ok(Assembled::OutOfStep) | Err(_) => Answer::Gone,
            },
        }
    }
}

impl Edge<'_> {
    /// Runs an exchange to its end, and brings the session home when it is good. `initial` is base64, or `=` for an
    /// empty response. What failed is logged and counted here; the caller says it.
    pub(crate) async fn exchange(
        &mut self,
        mechanism: &[u8],
        initial: Option<&[u8]>,
        carrier: Carrier,
    ) -> Exchanged {
        let channel = self.channel();
        let known = Mechanism::parse(mechanism);
        let Some((mechanism, context)) =
            known.and_then(|known| Some((known, channel.begin(known, net::fresh_nonce)?)))
        else {
            return match known.is_some_and(|known| channel.needs_tls(known)) {
                true => Exchanged::NeedsTls,
                false => Exchanged::Unsupported,
            };
        };
        let (mut exchange, mut step) = ServerExchange::start(mechanism, initial, context);
        // How the login went, while the client still has to take note of it.
        let mut judged: Option<Result<Box<Arrived>, Failure>> = None;
        loop {
            step = match step {
                Step::Challenge(text) => {
                    carrier.challenge(&mut self.stream, &text);
                    let left = self.left();
                    match carrier.response(&mut self.stream, left).await {
                        Answer::Response(response) => exchange.respond(&response),
                        Answer::Malformed => return Exchanged::Broken,
                        Answer::TooLong => return Exchanged::TooLong,
                        Answer::Gone => return Exchanged::Gone,
                    }
                }
                Step::Keys(wanted) => {
                    let login = wanted.login.clone();
                    match self.gate.scram_keys(wanted, self.protocol, &self.peer).await {
                        Ok(keys) => exchange.keys(keys),
                        Err(failure) => {
                            self.refuse(&login, &failure);
                            return Exchanged::Judged(Err(failure));
                        }
                    }
                }
                Step::Done(login) => {
                    let result = self.log_in(login).await.map(Box::new);
                    match exchange.conclude(verdict(&result)) {
                        Conclusion::Reply => return Exchanged::Judged(result),
                        Conclusion::Challenge(text) => {
                            judged = Some(result);
                            Step::Challenge(text)
                        }
                    }
                }
                Step::Acknowledged => match judged.take() {
                    Some(result) => return Exchanged::Judged(result),
                    None => Step::Failed(SaslError::OutOfTurn),
                },
                // A client that hears of its failure inside the exchange may also end it there.
                Step::Failed(error) => match judged {
                    Some(Err(failure)) => return Exchanged::Judged(Err(failure)),
                    None if error == SaslError::ChannelBinding => {
                        return Exchanged::Judged(Err(self.unbound(error)));
                    }
                    _ => return Exchanged::Broken,
                },
            };
        }
    }
}
