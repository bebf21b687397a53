//! The login at a ManageSieve home.

use crate::dial::Dialled;
use crate::failure::Failure;
use crate::home_key::{AFTER_REFUSAL, Exchange, HomeKey};
use crate::home_line::HomeLine;
use crate::login::{Admitted, Gate, Introduction, LoggedIn};
use crate::watch;
use directory::HomeTarget;
use model::Secret;
use net::{LinePolicy, TlsMode};
use wire::managesieve::{
    Assembler, Capabilities, Code, Command, Response, Status, Word, write_client_string,
};

/// The longest line that a home may send before the login.
const MAX_LINE: usize = 8 * 1024;
/// The largest response, and responses to one command.
const MAX_RESPONSE: usize = 64 * 1024;
const MAX_RESPONSES: usize = 100;

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
    let mut capabilities = talk.greeting().await?;
    talk.line.limit = gate.settings.home_timeout;
    if target.tls == TlsMode::StartTls {
        if talk.run(&Command::StartTls).await?.word != Word::Ok {
            return Err(talk.line.tls("it does not offer STARTTLS"));
        }
        talk.line.start_tls(&target).await?;
        // RFC 5804 section 2.2: what was said before the handshake no longer counts.
        capabilities = talk.greeting().await?;
    }
    // Dovecot announces it to the networks whose word it takes.
    if capabilities.xclient {
        // A home that finds the session has gone in circles refuses it here. That is nothing against the home.
        let told = talk.run(&Command::Xclient(who.claims())).await?;
        if told.word != Word::Ok {
            return Err(talk.line.temporary(&told.text));
        }
    }
    let key = gate.key_for(&target, &talk.line.name, admitted, who)?;
    let exchange = talk.exchange(admitted, &target, &key, &capabilities)?;
    let done = talk.authenticate(exchange).await?;
    if done.word == Word::Ok {
        return Ok(LoggedIn {
            stream: talk.line.stream,
            // The client asks the home itself.
            capabilities: Vec::new(),
            watch: capabilities.unauthenticate.then(watch::managesieve),
        });
    }
    Err(talk.refusal(gate, &done))
}

impl Talk {
    /// The list of capabilities with which the home greets.
    async fn greeting(&mut self) -> Result<Capabilities, Failure> {
        let mut capabilities = Capabilities::default();
        let status = self.collect(|strings| capabilities.add(&strings)).await?;
        match status.word {
            Word::Ok => Ok(capabilities),
            Word::No | Word::Bye => Err(self.line.temporary(&status.text)),
        }
    }

    /// Reads up to the status of a command.
    async fn collect(&mut self, mut each: impl FnMut(Vec<Vec<u8>>) + Send) -> Result<Status, Failure> {
        for _ in 0..MAX_RESPONSES {
            match self.response().await? {
                Response::Status(status) => return Ok(status),
                Response::Strings(strings) => each(strings),
            }
        }
        Err(self.line.broken("it sends responses without end"))
    }

    async fn run(&mut self, command: &Command) -> Result<Status, Failure> {
        self.send(command);
        self.collect(drop).await
    }

    fn send(&mut self, command: &Command) {
        let mut out = Vec::new();
        command.encode(&mut out);
        self.line.stream.write(&out);
    }

    fn exchange(
        &self,
        admitted: &Admitted,
        target: &HomeTarget,
        key: &HomeKey,
        capabilities: &Capabilities,
    ) -> Result<Exchange, Failure> {
        let address = admitted.address.as_str();
        let offers = |name: &str| capabilities.sasl.iter().any(|known| known == name);
        if let Some(exchange) = key.exchange(address, target, offers) {
            return Ok(exchange);
        }
        let clear = !self.line.stream.is_encrypted() && capabilities.starttls;
        Err(match clear && matches!(key, HomeKey::Password(_)) {
            true => self.line.broken("it takes no password over this connection"),
            false => self.line.no_way_in(),
        })
    }

    async fn authenticate(&mut self, exchange: Exchange) -> Result<Status, Failure> {
        // A home that refuses a token says why before it ends the exchange (RFC 7628 section 3.2.3).
        let mut refused = (exchange.mechanism != "PLAIN").then_some(AFTER_REFUSAL);
        self.send(&Command::Authenticate {
            mechanism: exchange.mechanism.to_owned(),
            initial: Some(exchange.response),
        });
        loop {
            match self.response().await? {
                Response::Status(status) => return Ok(status),
                Response::Strings(_) => match refused.take() {
                    Some(word) => self.send_string(&Secret::new(word)),
                    None => return Err(self.line.broken("it asks for more when there is no more")),
                },
            }
        }
    }

    fn send_string(&mut self, text: &Secret) {
        let mut out = Vec::new();
        write_client_string(&mut out, text.expose());
        out.extend_from_slice(b"\r\n");
        self.line.stream.write(&out);
    }

    /// What anything but OK to the login means.
    fn refusal(&self, gate: &Gate, done: &Status) -> Failure {
        match (done.word, &done.code) {
            (Word::Bye, _) | (_, Some(Code::TryLater)) => self.line.temporary(&done.text),
            // RFC 5804 section 1.3: not the fault of the user's credentials, and not what we could mend.
            (_, Some(Code::EncryptNeeded | Code::AuthTooWeak | Code::TransitionNeeded)) => {
                Failure::HomeRefusedLogin {
                    home: self.line.name.clone(),
                    text: done.text.to_string(),
                }
            }
            _ => gate.home_refused(&self.line.name, &done.text),
        }
    }

    async fn response(&mut self) -> Result<Response, Failure> {
        let whole = self.line.response(MAX_RESPONSE, Assembler::line).await?;
        Response::parse(&whole).map_err(|_| self.line.broken("it does not speak ManageSieve"))
    }
}
