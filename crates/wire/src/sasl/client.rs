//! The client's side of an exchange: how a front end logs in at a home.

use super::{Mechanism, SaslError, encode_base64};
use model::Secret;

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword,
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
    password: Secret,
}

impl ClientExchange {
    /// Prepares a login. `authzid` is sent by PLAIN only; LOGIN cannot say it.
    #[must_use]
    pub fn new(mechanism: Mechanism, login: &str, authzid: Option<&str>, password: Secret) -> Self {
        Self {
            mechanism,
            state: match mechanism {
                Mechanism::Plain => State::Plain,
                Mechanism::Login => State::LoginName,
            },
            login: login.to_owned(),
            authzid: authzid.map(str::to_owned),
            password,
        }
    }

    /// The name for the command.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The initial response for the command itself, where the protocol can carry one. LOGIN has none: not
    /// every server takes it.
    pub fn initial(&mut self) -> Option<Secret> {
        match self.mechanism {
            Mechanism::Plain => self.answer().ok(),
            Mechanism::Login => None,
        }
    }

    /// The answer to a challenge. The challenges of PLAIN and LOGIN say nothing that matters, so their text
    /// is not looked at.
    pub fn respond(&mut self, _challenge: &[u8]) -> Result<Secret, SaslError> {
        self.answer()
    }

    fn answer(&mut self) -> Result<Secret, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => {
                let mut message = Vec::with_capacity(self.login.len() + self.password.expose().len() + 2);
                message.extend_from_slice(self.authzid.as_deref().unwrap_or_default().as_bytes());
                message.push(0);
                message.extend_from_slice(self.login.as_bytes());
                message.push(0);
                message.extend_from_slice(self.password.expose());
                // Wrapped at once, so that it is wiped after use.
                let message = Secret::new(message);
                Ok(Secret::from(encode_base64(message.expose())))
            }
            State::LoginName => {
                self.state = State::LoginPassword;
                Ok(Secret::from(encode_base64(self.login.as_bytes())))
            }
            State::LoginPassword => Ok(Secret::from(encode_base64(self.password.expose()))),
            State::Over => Err(SaslError::OutOfTurn),
        }
    }
}
