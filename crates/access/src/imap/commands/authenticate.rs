//! AUTHENTICATE (RFC 3501 section 6.2.2, RFC 4959).

use super::{capability, login};
use crate::imap::reply::Failure;
use crate::imap::session::Session;
use model::Secret;
use wire::imap::StatusLine;
use wire::sasl::{Mechanism, ServerExchange, Step, encode_base64};

pub(super) async fn run(
    session: &mut Session,
    mechanism: &str,
    initial: Option<Secret>,
) -> Result<StatusLine, Failure> {
    if !capability::may_log_in(session) {
        return Err(Failure::PrivacyRequired);
    }
    let mechanism = Mechanism::parse(mechanism.as_bytes()).ok_or(Failure::NoMechanism)?;
    let initial = initial.map(|bytes| match bytes.expose() {
        [] => "=".to_owned(),
        bytes => encode_base64(bytes),
    });
    let (mut exchange, mut step) = ServerExchange::start(mechanism, initial.as_deref().map(str::as_bytes));
    loop {
        match step {
            Step::Challenge(text) => {
                session.stream.write(format!("+ {text}\r\n").as_bytes());
                let patience = session.patience();
                let line = session
                    .stream
                    .read_line(patience)
                    .await
                    .map_err(|_| Failure::Gone)?;
                step = exchange.respond(&line);
            }
            Step::Done(who) => return login::check(session, who).await,
            Step::Failed(error) => {
                tracing::debug!(trace = %session.peer.trace, %error, "imap: SASL exchange failed");
                return Err(Failure::BadExchange);
            }
        }
    }
}
