//! The login at a submission home.

use crate::dial::Dialled;
use crate::failure::Failure;
use crate::home_key::{AFTER_REFUSAL, Exchange, HomeKey};
use crate::home_line::HomeLine;
use crate::login::{Admitted, Gate, Introduction, LoggedIn, client_port};
use directory::HomeTarget;
use net::{LinePolicy, TlsMode};
use wire::smtp::{Capabilities, ClientClaims, Command, Extensions, Reply, ReplyReader};

/// The longest reply line: RFC 5321 section 4.5.3.1.5 has 512, and some servers do not care.
const MAX_LINE: usize = 4096;
/// RFC 5321 section 4.5.3.1.4 has 512 octets for a command; what does not fit waits for the 334.
const MAX_INITIAL: usize = 400;

struct Talk {
    line: HomeLine,
    /// What the last EHLO said, by lines.
    said: Vec<String>,
    capabilities: Capabilities,
}

/// Tells the home who the client is, and logs in.
pub(crate) async fn log_in(
    gate: &Gate,
    dialled: Dialled,
    admitted: &Admitted,
    who: &Introduction<'_>,
) -> Result<LoggedIn, Failure> {
    let (line, target) = HomeLine::new(dialled, MAX_LINE, LinePolicy::Strict);
    let mut talk = Talk {
        line,
        said: Vec::new(),
        capabilities: Capabilities::default(),
    };
    let greeting = talk.reply().await?;
    talk.expect(&greeting)?;
    talk.line.limit = gate.settings.home_timeout;
    let own = &gate.context.server_name;
    talk.hello(own).await?;
    if target.tls == TlsMode::StartTls {
        if !talk.run(&Command::StartTls).await?.is_completed() {
            return Err(talk.line.tls("it does not offer STARTTLS"));
        }
        talk.line.start_tls(&target).await?;
        // RFC 3207 section 4.2: what was said before the handshake no longer counts.
        talk.hello(own).await?;
    }
    talk.introduce(who, own).await?;
    if let Some(missing) = talk.missing(&gate.settings.announced) {
        return Err(Failure::LoginMode {
            home: talk.line.name,
            cause: format!("it does not offer {missing}, which extensions in [submission_proxy] promises"),
        });
    }
    let key = gate.key_for(&target, &talk.line.name, admitted, who)?;
    let exchange = talk.exchange(admitted, &target, &key)?;
    let done = talk.authenticate(&exchange).await?;
    if done.code() == 235 {
        return Ok(LoggedIn {
            stream: talk.line.stream,
            capabilities: talk.said,
            watch: None,
        });
    }
    Err(talk.refusal(gate, &done))
}

impl Talk {
    async fn hello(&mut self, name: &str) -> Result<(), Failure> {
        let reply = self.run(&Command::Ehlo(name.to_owned())).await?;
        self.expect(&reply)?;
        self.capabilities = Capabilities::parse(&reply);
        self.said = reply.lines().skip(1).map(str::to_owned).collect();
        Ok(())
    }

    /// The home acts from now on as if the client were its own, where it trusts us.
    async fn introduce(&mut self, who: &Introduction<'_>, own: &str) -> Result<(), Failure> {
        let helo = who.claims.helo.as_deref();
        let about = ClientClaims {
            addr: Some(who.peer.client.ip()),
            port: client_port(who.peer),
            proto: Some("ESMTP".to_owned()),
            helo: helo.map(str::to_owned),
            session: Some(who.claims.session.clone()),
            ttl: Some(who.hops),
            tls: who.claims.tls,
            forward: who.claims.tls.map(wire::transport::forward),
            ..ClientClaims::default()
        };
        let Some(about) = about.limited_to(&self.capabilities.xclient) else {
            return Ok(());
        };
        let reply = self.run(&Command::Xclient(about)).await?;
        match reply.code() {
            // A home that finds the session has gone in circles, or cannot take what we say, says so here. That is nothing
            // against the home, and what follows would count as ours.
            421 | 450..=459 | 501 => Err(self.line.temporary(&reply.to_string())),
            // One that announces the verb and refuses it does not trust us: it will judge us instead.
            code if code >= 400 => Ok(()),
            // The session begins again, as the client's.
            _ => self.hello(helo.unwrap_or(own)).await,
        }
    }

    /// What we have promised and the home cannot do.
    fn missing<'a>(&self, announced: &'a [String]) -> Option<&'a String> {
        let keyword = |line: &String| line.split_ascii_whitespace().next().map(str::to_ascii_uppercase);
        let known: Vec<String> = self.said.iter().filter_map(keyword).collect();
        announced.iter().find(|name| !known.contains(name))
    }

    fn exchange(&self, admitted: &Admitted, target: &HomeTarget, key: &HomeKey) -> Result<Exchange, Failure> {
        let offers = |name: &str| self.capabilities.auth.iter().any(|known| known == name);
        if let Some(exchange) = key.exchange(admitted.address.as_str(), target, offers) {
            return Ok(exchange);
        }
        let has_tls = self.capabilities.extensions.has(Extensions::STARTTLS);
        Err(match has_tls && !self.line.stream.is_encrypted() {
            true => self.line.broken("it takes no login over this connection"),
            false => self.line.no_way_in(),
        })
    }

    async fn authenticate(&mut self, exchange: &Exchange) -> Result<Reply, Failure> {
        let inline = exchange.response.expose().len() <= MAX_INITIAL;
        let mut reply = self
            .run(&Command::Auth {
                mechanism: exchange.mechanism.to_owned(),
                initial: inline.then(|| exchange.response.clone()),
            })
            .await?;
        let mut next = [
            (!inline).then(|| exchange.response.expose()),
            // A home that refuses a token says why before it ends the exchange (RFC 7628 section 3.2.3).
            (exchange.mechanism != "PLAIN").then_some(AFTER_REFUSAL),
        ]
        .into_iter()
        .flatten();
        while reply.code() == 334 {
            let Some(response) = next.next() else {
                return Err(self.line.broken("it asks for more when there is no more"));
            };
            self.line.stream.write(response);
            self.line.stream.write(b"\r\n");
            reply = self.reply().await?;
        }
        Ok(reply)
    }

    /// What anything but 235 to the login means.
    fn refusal(&self, gate: &Gate, done: &Reply) -> Failure {
        match done.code() {
            // RFC 4954 section 6: wrong credentials, and nothing else.
            535 => gate.home_refused(&self.line.name, &done.to_string()),
            // TLS first, another mechanism, a password that has to be changed: not the fault of these credentials.
            500..=599 => Failure::HomeRefusedLogin {
                home: self.line.name.clone(),
                text: done.to_string(),
            },
            400..=499 => self.line.temporary(&done.to_string()),
            _ => self.line.broken("its reply to AUTH is none"),
        }
    }

    async fn run(&mut self, command: &Command) -> Result<Reply, Failure> {
        let mut line = Vec::new();
        command.encode(&mut line);
        self.line.stream.write(&line);
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        let mut reader = ReplyReader::new();
        loop {
            let line = self.line.read().await?;
            let reply = reader
                .push_line(&line)
                .map_err(|error| self.line.broken(&error.to_string()))?;
            if let Some(reply) = reply {
                return Ok(reply);
            }
        }
    }

    fn expect(&self, reply: &Reply) -> Result<(), Failure> {
        match reply.is_completed() {
            true => Ok(()),
            false => Err(self.line.temporary(&reply.to_string())),
        }
    }
}
