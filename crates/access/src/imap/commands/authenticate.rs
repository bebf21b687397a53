//! AUTHENTICATE (RFC 3501 section 6.2.2, RFC 4959).

use super::{capability, login};
use crate::channel;
use crate::imap::reply::Failure;
use crate::imap::session::Session;
use model::{AuthOutcome, Protocol, RejectReason, Secret};
use wire::imap::StatusLine;
use wire::sasl::{Conclusion, Mechanism, SaslError, ServerExchange, Step, Verdict, encode_base64};

pub(super) async fn run(
    session: &mut Session,
    mechanism: &str,
    initial: Option<Secret>,
) -> Result<StatusLine, Failure> {
    let mechanism = Mechanism::parse(mechanism.as_bytes()).ok_or(Failure::NoMechanism)?;
    let channel = capability::channel(session);
    let Some(context) = channel.begin(mechanism, net::fresh_nonce) else {
        return Err(match channel.needs_tls(mechanism) {
            true => Failure::PrivacyRequired,
            false => Failure::NoMechanism,
        });
    };
    let initial = initial.map(|bytes| match bytes.expose() {
        [] => "=".to_owned(),
        bytes => encode_base64(bytes),
    });
    let initial = initial.as_deref().map(str::as_bytes);
    let (mut exchange, mut step) = ServerExchange::start(mechanism, initial, context);
    // What the authenticator said, while the client still has to take note of it.
    let mut judged = None;
    loop {
        step = match step {
            Step::Challenge(text) => exchange.respond(&ask(session, &text).await?),
            Step::Keys(wanted) => {
                let authenticator = session.service.authenticator.clone();
                let keys =
                    channel::scram_keys(authenticator.as_ref(), wanted, Protocol::Imap, &session.peer).await;
                match keys {
                    Ok(keys) => exchange.keys(keys),
                    Err(outcome) => return Err(login::refused(session, &outcome)),
                }
            }
            Step::Done(who) => {
                let (request, outcome) = login::ask(session, who).await;
                match exchange.conclude(Verdict::from(&outcome)) {
                    Conclusion::Reply => return login::admit(session, &request, outcome),
                    Conclusion::Challenge(text) => {
                        judged = Some((request, outcome));
                        Step::Challenge(text)
                    }
                }
            }
            Step::Acknowledged => match judged {
                Some((request, outcome)) => return login::admit(session, &request, outcome),
                None => Step::Failed(SaslError::OutOfTurn),
            },
            Step::Failed(error) => {
                tracing::debug!(trace = %session.peer.trace, %error, "imap: SASL exchange failed");
                // A client that hears of its failure inside the exchange may also end it there.
                return match judged {
                    Some((request, outcome)) if Verdict::from(&outcome) != Verdict::Good => {
                        login::admit(session, &request, outcome)
                    }
                    // RFC 5802 section 6: the login fails. Nothing is wrong with the grammar.
                    None if error == SaslError::ChannelBinding => {
                        tracing::warn!(trace = %session.peer.trace, client = %session.peer.client, %error, "imap: login failed");
                        let outcome = AuthOutcome::Rejected(RejectReason::NotAllowed);
                        Err(login::refused(session, &outcome))
                    }
                    _ => Err(Failure::BadExchange),
                };
            }
        };
    }
}

/// One round: a challenge, and the client's line.
async fn ask(session: &mut Session, challenge: &str) -> Result<bytes::Bytes, Failure> {
    session.stream.write(format!("+ {challenge}\r\n").as_bytes());
    let patience = session.patience();
    session
        .stream
        .read_line(patience)
        .await
        .map_err(|_| Failure::Gone)
}
