//! The login at a POP3 home.

use crate::dial::Dialled;
use crate::failure::Failure;
use crate::login::{Admitted, Claims, Gate};
use model::{Peer, Protocol, Secret};
use net::{LinePolicy, LineStream, ReadError, TlsMode};
use std::time::Duration;
use wire::pop3::{ClientClaims, Command, Response, ResponseCode, XCLIENT_GREETING};
use wire::sasl::{ClientExchange, Mechanism};

/// The longest response line that a home may send: RFC 2449 section 4 has 512.
const MAX_LINE: usize = 4096;

struct Talk {
    stream: LineStream,
    name: String,
    limit: Duration,
}

/// Connects, tells who the client is, and replays the login.
pub(super) async fn log_in(
    gate: &Gate,
    admitted: &Admitted,
    peer: &Peer,
    claims: &Claims,
) -> Result<LineStream, Failure> {
    let hops = claims.next_hop()?;
    let dialer = &gate.context.dialer;
    let dialled = dialer.dial(&admitted.home, Protocol::Pop3).await?;
    let name = dialled.name.clone();
    let about = ClientClaims {
        addr: Some(peer.client.ip()),
        port: Some(peer.client.port()),
        session: Some(claims.session.clone()),
        ttl: Some(hops),
    };
    let result = talk(gate, dialled, admitted, about).await;
    match &result {
        Ok(_) => dialer.well(&name),
        Err(failure) => dialer.report(&name, failure),
    }
    result
}

async fn talk(
    gate: &Gate,
    dialled: Dialled,
    admitted: &Admitted,
    about: ClientClaims,
) -> Result<LineStream, Failure> {
    let Dialled {
        connection,
        target,
        name,
    } = dialled;
    let mut talk = Talk {
        stream: LineStream::new(connection, MAX_LINE).with_policy(LinePolicy::AcceptLf),
        name,
        limit: target.connect_timeout,
    };
    let greeting = match talk.response().await? {
        Response::Ok(text) => text,
        Response::Err(_, text) => return Err(talk.temporary(&text)),
        Response::Continue(_) => return Err(talk.broken("it does not greet")),
    };
    talk.limit = gate.settings.home_timeout;
    if target.tls == TlsMode::StartTls {
        if !matches!(talk.run(&Command::Stls).await?, Response::Ok(_)) {
            return Err(talk.tls("it does not offer STLS"));
        }
        let encrypted = talk
            .stream
            .start_tls_client(&target.trust, &target.host, talk.limit)
            .await;
        encrypted.map_err(|error| talk.tls(&error.to_string()))?;
    }
    // Dovecot announces it in the greeting, to the networks whose word it takes.
    if greeting.starts_with(XCLIENT_GREETING) {
        // A home that finds the session has gone in circles refuses it here. That is nothing against the home.
        if let Response::Err(_, text) = talk.run(&Command::Xclient(about)).await? {
            return Err(talk.temporary(&text));
        }
    }
    match talk.replay(admitted).await? {
        Response::Ok(_) => Ok(talk.stream),
        Response::Err(Some(ResponseCode::SysTemp | ResponseCode::InUse | ResponseCode::LoginDelay), text) => {
            Err(talk.temporary(&text))
        }
        // RFC 3206 section 4: not the fault of the user's credentials.
        Response::Err(Some(ResponseCode::SysPerm), text) => Err(Failure::HomeRefusedLogin {
            home: talk.name,
            text: text.into_owned(),
        }),
        Response::Err(_, text) => Err(gate.home_refused(&talk.name, &text)),
        Response::Continue(_) => Err(talk.broken("it asks for more when there is no more")),
    }
}

impl Talk {
    fn broken(&self, cause: &str) -> Failure {
        Failure::Protocol {
            home: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    fn tls(&self, cause: &str) -> Failure {
        Failure::Tls {
            home: self.name.clone(),
            cause: cause.to_owned(),
        }
    }

    fn temporary(&self, text: &str) -> Failure {
        Failure::HomeTemporary {
            home: self.name.clone(),
            text: text.to_owned(),
        }
    }

    async fn response(&mut self) -> Result<Response, Failure> {
        match self.stream.read_line(self.limit).await {
            Ok(line) => Response::parse(&line).map_err(|error| self.broken(&error.to_string())),
            Err(ReadError::TimedOut) => Err(Failure::Timeout(self.name.clone())),
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    async fn run(&mut self, command: &Command) -> Result<Response, Failure> {
        let mut line = Vec::new();
        command.encode(&mut line);
        self.stream.write(&line);
        self.response().await
    }

    /// USER and PASS, which every server knows; AUTH for a password that would not fit on a line.
    async fn replay(&mut self, admitted: &Admitted) -> Result<Response, Failure> {
        let address = admitted.address.as_str();
        if fits_a_line(&admitted.password) {
            let reply = self.run(&Command::User(address.to_owned())).await?;
            if !matches!(reply, Response::Ok(_)) {
                return Ok(reply);
            }
            return self.run(&Command::Pass(admitted.password.clone())).await;
        }
        let mut exchange = ClientExchange::new(Mechanism::Plain, address, None, admitted.password.clone());
        let auth = Command::Auth {
            mechanism: Some(Mechanism::Plain.name().to_owned()),
            initial: None,
        };
        match self.run(&auth).await? {
            Response::Continue(_) => {}
            other => return Ok(other),
        }
        let answer = exchange
            .respond(b"")
            .map_err(|error| self.broken(&error.to_string()))?;
        self.stream.write(answer.expose());
        self.stream.write(b"\r\n");
        self.response().await
    }
}

/// A CR or LF in the password would be a second command.
fn fits_a_line(password: &Secret) -> bool {
    let bytes = password.expose();
    bytes.len() <= 200 && !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
