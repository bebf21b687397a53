//! The login at a POP3 home.

use crate::dial::Dialled;
use crate::failure::Failure;
use crate::home_line::HomeLine;
use crate::login::{Admitted, Claims, Gate};
use model::{Peer, Protocol, Secret};
use net::{LinePolicy, LineStream, TlsMode};
use wire::pop3::{Capabilities, ClientClaims, Command, Response, ResponseCode, XCLIENT_GREETING};
use wire::sasl::{ClientExchange, Mechanism};

/// The longest response line that a home may send: RFC 2449 section 4 has 512.
const MAX_LINE: usize = 4096;
/// The most lines that a home's list of capabilities may have.
const MAX_CAPABILITIES: usize = 100;

struct Talk {
    line: HomeLine,
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
    dialer.learn(&name, talk(gate, dialled, admitted, about).await)
}

async fn talk(
    gate: &Gate,
    dialled: Dialled,
    admitted: &Admitted,
    about: ClientClaims,
) -> Result<LineStream, Failure> {
    let (line, target) = HomeLine::new(dialled, MAX_LINE, LinePolicy::AcceptLf);
    let mut talk = Talk { line };
    let greeting = match talk.response().await? {
        Response::Ok(text) => text,
        Response::Err(_, text) => return Err(talk.line.temporary(&text)),
        Response::Continue(_) => return Err(talk.line.broken("it does not greet")),
    };
    talk.line.limit = gate.settings.home_timeout;
    if target.tls == TlsMode::StartTls {
        if !matches!(talk.run(&Command::Stls).await?, Response::Ok(_)) {
            return Err(talk.line.tls("it does not offer STLS"));
        }
        talk.line.start_tls(&target).await?;
    }
    // Dovecot announces it in the greeting, to the networks whose word it takes.
    if greeting.starts_with(XCLIENT_GREETING) {
        // A home that finds the session has gone in circles refuses it here. That is nothing against the home.
        if let Response::Err(_, text) = talk.run(&Command::Xclient(about)).await? {
            return Err(talk.line.temporary(&text));
        }
    }
    match talk.replay(admitted).await? {
        Response::Ok(_) => Ok(talk.line.stream),
        Response::Err(Some(ResponseCode::SysTemp | ResponseCode::InUse | ResponseCode::LoginDelay), text) => {
            Err(talk.line.temporary(&text))
        }
        // RFC 3206 section 4: not the fault of the user's credentials.
        Response::Err(Some(ResponseCode::SysPerm), text) => Err(Failure::HomeRefusedLogin {
            home: talk.line.name,
            text: text.into_owned(),
        }),
        Response::Err(_, text) => Err(gate.home_refused(&talk.line.name, &text)),
        Response::Continue(_) => Err(talk.line.broken("it asks for more when there is no more")),
    }
}

impl Talk {
    async fn response(&mut self) -> Result<Response, Failure> {
        let line = self.line.read().await?;
        Response::parse(&line).map_err(|error| self.line.broken(&error.to_string()))
    }

    async fn run(&mut self, command: &Command) -> Result<Response, Failure> {
        let mut line = Vec::new();
        command.encode(&mut line);
        self.line.stream.write(&line);
        self.response().await
    }

    /// USER and PASS, which every server knows; AUTH for a password that would not fit on a line.
    async fn replay(&mut self, admitted: &Admitted) -> Result<Response, Failure> {
        let address = admitted.address.as_str();
        if fits_a_line(&admitted.password) {
            let reply = self.run(&Command::User(address.to_owned())).await?;
            if !matches!(reply, Response::Ok(_)) {
                return self.refused_unheard(reply).await;
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
            other => return self.refused_unheard(other).await,
        }
        let answer = exchange
            .respond(b"")
            .map_err(|error| self.line.broken(&error.to_string()))?;
        self.line.stream.write(answer.expose());
        self.line.stream.write(b"\r\n");
        self.response().await
    }

    /// A refusal before the password was said. A home that wants TLS first refuses so, some with `[AUTH]`, and
    /// that is nothing against the user: its capabilities tell (RFC 2449 sections 6.3 and 6.4).
    async fn refused_unheard(&mut self, reply: Response) -> Result<Response, Failure> {
        if self.line.stream.is_encrypted() || !matches!(self.run(&Command::Capa).await, Ok(Response::Ok(_))) {
            return Ok(reply);
        }
        let mut capabilities = Capabilities::default();
        for _ in 0..MAX_CAPABILITIES {
            let line = self.line.read().await?;
            if &*line == b"." {
                if capabilities.user
                    || capabilities
                        .sasl
                        .iter()
                        .any(|name| name == Mechanism::Plain.name())
                {
                    return Ok(reply);
                }
                return Err(self.line.broken("it takes no password over this connection"));
            }
            capabilities.add_line(&line);
        }
        Err(self.line.broken("its list of capabilities does not end"))
    }
}

/// A CR or LF in the password would be a second command.
fn fits_a_line(password: &Secret) -> bool {
    let bytes = password.expose();
    bytes.len() <= 200 && !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
