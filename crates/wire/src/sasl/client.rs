//! The client's side of an exchange: how a front end logs in at a home.

use super::offer::ChannelBindings;
use super::scram::{Client, ClientStart, Proven};
use super::{Mechanism, NONCE, SaslError, bearer, decode_base64, encode_base64};
use model::{CramProof, Secret};

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword,
    Cram,
    Bearer,
    External,
    Scram,
    ScramProof(Box<Client>),
    ScramProven(Box<Proven>),
    /// Nothing more to say but an empty line or the dummy of RFC 7628.
    Said,
    Over,
}

/// One exchange. Every text it gives is base64, ready for the wire, and kept as a secret because it holds the
/// password.
#[derive(Debug)]
pub struct ClientExchange {
    mechanism: Mechanism,
    state: State,
    login: String,
    authzid: Option<String>,
    secret: Secret,
    scram: Option<([u8; NONCE], ChannelBindings)>,
    /// Whether the server has proven itself, where the mechanism makes it.
    proven: bool,
}

impl ClientExchange {
    /// Prepares a login; `secret` is the password or the token, and EXTERNAL needs none. `authzid` is sent by
    /// PLAIN and SCRAM; EXTERNAL sends the login as one, and the others cannot say it. SCRAM also needs
    /// [`Self::with_nonce`].
    #[must_use]
    pub fn new(mechanism: Mechanism, login: &str, authzid: Option<&str>, secret: Secret) -> Self {
        Self {
            mechanism,
            state: match mechanism {
                Mechanism::Plain => State::Plain,
                Mechanism::Login => State::LoginName,
                Mechanism::CramMd5 => State::Cram,
                Mechanism::OauthBearer | Mechanism::Xoauth2 => State::Bearer,
                Mechanism::External => State::External,
                Mechanism::ScramSha1
                | Mechanism::ScramSha1Plus
                | Mechanism::ScramSha256
                | Mechanism::ScramSha256Plus => State::Scram,
            },
            login: login.to_owned(),
            authzid: authzid.map(str::to_owned),
            secret,
            scram: None,
            proven: mechanism.scram().is_none(),
        }
    }

    /// For SCRAM: fresh randomness, and what the TLS channel can be bound by. Bindings with a mechanism that is
    /// not -PLUS tell the server that we could have (RFC 5802 section 6).
    #[must_use]
    pub fn with_nonce(mut self, nonce: [u8; NONCE], bindings: ChannelBindings) -> Self {
        self.scram = Some((nonce, bindings));
        self
    }

    /// The name for the command.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The initial response for the command itself, where the protocol can carry one; an empty one is written
    /// as `=`. LOGIN has none, because not every server takes it, and CRAM-MD5 cannot have one.
    pub fn initial(&mut self) -> Option<Secret> {
        match self.mechanism {
            Mechanism::Login | Mechanism::CramMd5 => None,
            _ => match self.answer(&Secret::default()) {
                Ok(text) if text.is_empty() => Some(Secret::from("=")),
                answer => answer.ok(),
            },
        }
    }

    /// The answer to a challenge, which is base64 as it came.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        let challenge = match self.state {
            // What these servers say says nothing that matters, so their text is not looked at.
            State::Plain | State::LoginName | State::LoginPassword | State::Bearer | State::External => {
                Secret::default()
            }
            _ => decode_base64(challenge.trim_ascii()).inspect_err(|_| self.state = State::Over)?,
        };
        self.answer(&challenge)
    }

    /// Whether success can be believed: SCRAM's server has to prove itself first (RFC 5802 section 5).
    #[must_use]
    pub const fn is_proven(&self) -> bool {
        self.proven
    }

    fn answer(&mut self, challenge: &Secret) -> Result<Secret, SaslError> {
        let message = match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => self.plain(),
            State::LoginName => {
                self.state = State::LoginPassword;
                Secret::from(self.login.as_str())
            }
            State::LoginPassword => self.secret.clone(),
            State::Cram => {
                let digest = CramProof::digest_of(&self.secret, challenge.expose());
                Secret::new([self.login.as_bytes(), b" ", digest.expose()].concat())
            }
            State::Bearer => {
                self.state = State::Said;
                match self.mechanism {
                    Mechanism::OauthBearer => bearer::write_oauthbearer(&self.login, &self.secret),
                    _ => bearer::write_xoauth2(&self.login, &self.secret),
                }
            }
            State::External => Secret::from(self.login.as_str()),
            State::Scram => self.begin_scram()?,
            State::ScramProof(client) => {
                let (proven, message) = client.prove(challenge.expose())?;
                self.state = State::ScramProven(Box::new(proven));
                message
            }
            State::ScramProven(proven) => {
                proven.check(challenge.expose())?;
                self.proven = true;
                Secret::default()
            }
            // RFC 7628 section 3.2.3: the dummy that lets the server fail the command.
            State::Said if self.mechanism == Mechanism::OauthBearer => Secret::from("\x01"),
            State::Said => Secret::default(),
            State::Over => return Err(SaslError::OutOfTurn),
        };
        Ok(Secret::from(encode_base64(message.expose())))
    }

    fn plain(&self) -> Secret {
        let mut message = Vec::with_capacity(self.login.len() + self.secret.expose().len() + 2);
        message.extend_from_slice(self.authzid.as_deref().unwrap_or_default().as_bytes());
        message.push(0);
        message.extend_from_slice(self.login.as_bytes());
        message.push(0);
        message.extend_from_slice(self.secret.expose());
        // Wrapped at once, so that it is wiped after use.
        Secret::new(message)
    }

    fn begin_scram(&mut self) -> Result<Secret, SaslError> {
        let (Some(hash), Some((nonce, bindings))) = (self.mechanism.scram(), &self.scram) else {
            return Err(SaslError::OutOfTurn);
        };
        let client = Client::new(ClientStart {
            hash,
            plus: self.mechanism.is_plus().into(),
            login: &self.login,
            authzid: self.authzid.as_deref(),
            password: self.secret.clone(),
            nonce,
            bindings,
        })?;
        let first = client.first();
        self.state = State::ScramProof(Box::new(client));
        Ok(first)
    }
}
