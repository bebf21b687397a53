//! The login at a POP3 home.

use crate::dial::Dialled;
use crate::failure::Failure;
use crate::home_key::{AFTER_REFUSAL, HomeKey};
use crate::home_line::HomeLine;
use crate::login::{Admitted, Gate, Introduction, LoggedIn};
use directory::HomeTarget;
use model::Secret;
use net::{LinePolicy, TlsMode};
use wire::pop3::{Capabilities, Command, Response, ResponseCode, XCLIENT_GREETING};

/// The longest response line that a home may send: RFC 2449 section 4 has 512.
const MAX_LINE: usize = 4096;
/// The most lines that a home's list of capabilities may have.
const MAX_CAPABILITIES: usize = 100;

struct Talk {
    line: HomeLine,
}

/// Tells the home who the client is, and logs in.
pub(crate) async fn log_in(
    gate: &Gate,
    dialled: Dialled,
    admitted: &Admitted,
    who: &Introduction<'_>,
) -> Result<LoggedIn, Failure> {
    let (line, target) = HomeLine::new(dialled, MAX_LINE, LinePolicy::AcceptLf);
    let mut talk = Talk { line };
    let greeting = match talk.response().await? {
        Response::Ok(text) => text,
        Response::Err(_, text) => return Err(talk.line.temporary(&text)),
        Response::Continue(_) => return Err(talk.line.broken("it does not greet")),
    };
    talk.line.limit = gate.settings.home_timeout;
    let mut takes_claims = greeting.starts_with(XCLIENT_GREETING);
    if target.tls == TlsMode::StartTls {
        if !matches!(talk.run(&Command::Stls).await?, Response::Ok(_)) {
            return Err(talk.line.tls("it does not offer STLS"));
        }
        talk.line.start_tls(&target).await?;
        // One that knows us by our certificate could not say so before it saw it.
        if !takes_claims {
            takes_claims = talk.list().await?.is_some_and(|listed| listed.xclient);
        }
    }
    // Dovecot announces it in the greeting, to the networks whose word it takes.
    if takes_claims {
        // A home that finds the session has gone in circles refuses it here. That is nothing against the home.
        if let Response::Err(_, text) = talk.run(&Command::Xclient(who.claims())).await? {
            return Err(talk.line.temporary(&text));
        }
    }
    let key = gate.key_for(&target, &talk.line.name, admitted, who)?;
    match talk.log_in(admitted, &target, &key).await? {
        Response::Ok(_) => Ok(LoggedIn {
            stream: talk.line.stream,
            // The client asks the home itself: RFC 2449 section 5.
            capabilities: Vec::new(),
            watch: None,
        }),
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

    /// USER and PASS, which every server knows, for a password that fits on a line; AUTH for everything else.
    async fn log_in(
        &mut self,
        admitted: &Admitted,
        target: &HomeTarget,
        key: &HomeKey,
    ) -> Result<Response, Failure> {
        let address = admitted.address.as_str();
        if let HomeKey::Password(password) = key
            && fits_a_line(password)
        {
            let reply = self.run(&Command::User(address.to_owned())).await?;
            if !matches!(reply, Response::Ok(_)) {
                return self.refused_unheard(reply).await;
            }
            return self.run(&Command::Pass(password.clone())).await;
        }
        let mechanisms = match key {
            HomeKey::Bearer(_) => self.list().await?.map(|listed| listed.sasl).unwrap_or_default(),
            _ => vec!["PLAIN".to_owned()],
        };
        let offers = |name: &str| mechanisms.iter().any(|known| known.eq_ignore_ascii_case(name));
        let Some(exchange) = key.exchange(address, target, offers) else {
            return Err(self.line.no_way_in());
        };
        let auth = Command::Auth {
            mechanism: Some(exchange.mechanism.to_owned()),
            // RFC 2449 section 4: tokens are longer than a command line may be.
            initial: None,
        };
        match self.run(&auth).await? {
            Response::Continue(_) => {}
            other => return self.refused_unheard(other).await,
        }
        self.line.stream.write(exchange.response.expose());
        self.line.stream.write(b"\r\n");
        match self.response().await? {
            Response::Continue(_) if exchange.mechanism != "PLAIN" => {
                self.line.stream.write(AFTER_REFUSAL);
                self.line.stream.write(b"\r\n");
                self.response().await
            }
            other => Ok(other),
        }
    }

    /// What the home can do; none when it does not say.
    async fn list(&mut self) -> Result<Option<Capabilities>, Failure> {
        if !matches!(self.run(&Command::Capa).await?, Response::Ok(_)) {
            return Ok(None);
        }
        let mut capabilities = Capabilities::default();
        for _ in 0..MAX_CAPABILITIES {
            let line = self.line.read().await?;
            if &*line == b"." {
                return Ok(Some(capabilities));
            }
            capabilities.add_line(&line);
        }
        Err(self.line.broken("its list of capabilities does not end"))
    }

    /// A refusal before the password was said. A home that wants TLS first refuses so, some with `[AUTH]`, and
    /// that is nothing against the user: its capabilities tell (RFC 2449 sections 6.3 and 6.4).
    async fn refused_unheard(&mut self, reply: Response) -> Result<Response, Failure> {
        if self.line.stream.is_encrypted() {
            return Ok(reply);
        }
        // A home that hangs up now has said its no already.
        let Ok(Some(capabilities)) = self.list().await else {
            return Ok(reply);
        };
        if capabilities.user || capabilities.sasl.iter().any(|name| name == "PLAIN") {
            return Ok(reply);
        }
        Err(self.line.broken("it takes no password over this connection"))
    }
}

/// A CR or LF in the password would be a second command.
fn fits_a_line(password: &Secret) -> bool {
    let bytes = password.expose();
    bytes.len() <= 200 && !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
