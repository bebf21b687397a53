//! The server's side of an exchange.

use super::{MAX_FIELD, Mechanism, SaslError, decode_base64, encode_base64};
use model::{Credential, Secret};

/// Who wants to log in, as the mechanism said it. Nothing has been checked.
#[derive(Debug, Clone)]
pub struct Login {
    /// The authentication identity: never empty.
    pub login: String,
    /// The authorization identity, when it is given and differs from the login.
    pub authzid: Option<String>,
    /// The proof. A password may be empty here; every authenticator refuses it.
    pub credential: Credential,
}

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Send this text after `+ ` (IMAP, POP3) or `334 ` (SMTP): it is base64 already, and may be empty.
    Challenge(String),
    /// The client has said all; ask the authenticator.
    Done(Login),
    /// Refuse the command: it was cancelled or makes no sense.
    Failed(SaslError),
}

#[derive(Debug)]
enum State {
    PlainResponse,
    LoginName,
    LoginPassword { login: String },
    Over,
}

/// One exchange, from AUTHENTICATE or AUTH to [`Step::Done`] or [`Step::Failed`].
#[derive(Debug)]
pub struct ServerExchange {
    state: State,
}

impl ServerExchange {
    /// Begins. `initial` is the initial response as the command carried it: base64, or `=` for an empty one
    /// (RFC 4954 section 4, RFC 5034 section 4, RFC 4959 section 3).
    #[must_use]
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> (Self, Step) {
        let state = match mechanism {
            Mechanism::Plain => State::PlainResponse,
            Mechanism::Login => State::LoginName,
        };
        let mut exchange = Self { state };
        let step = match (initial, mechanism) {
            (Some(b"="), _) => exchange.take(&Secret::default()),
            (Some(text), _) => exchange.respond(text),
            (None, Mechanism::Plain) => Step::Challenge(String::new()),
            (None, Mechanism::Login) => Step::Challenge(encode_base64(b"Username:")),
        };
        (exchange, step)
    }

    /// Takes the client's next line, without its CRLF.
    pub fn respond(&mut self, line: &[u8]) -> Step {
        if line == b"*" {
            self.state = State::Over;
            return Step::Failed(SaslError::Cancelled);
        }
        match decode_base64(line) {
            Ok(response) => self.take(&response),
            Err(error) => {
                self.state = State::Over;
                Step::Failed(error)
            }
        }
    }

    fn take(&mut self, response: &Secret) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::PlainResponse => plain(response.expose()).map_or_else(Step::Failed, Step::Done),
            State::LoginName => match identity(response.expose()) {
                Ok(login) => {
                    self.state = State::LoginPassword { login };
                    Step::Challenge(encode_base64(b"Password:"))
                }
                Err(error) => Step::Failed(error),
            },
            State::LoginPassword { login } => match password(response.expose()) {
                Ok(password) => Step::Done(Login {
                    login,
                    authzid: None,
                    credential: Credential::Password(password),
                }),
                Err(error) => Step::Failed(error),
            },
            State::Over => Step::Failed(SaslError::OutOfTurn),
        }
    }
}

/// `[authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 section 2).
fn plain(message: &[u8]) -> Result<Login, SaslError> {
    let mut parts = message.split(|byte| *byte == 0);
    let (Some(authzid), Some(authcid), Some(secret), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    let login = identity(authcid)?;
    let authzid = if authzid.is_empty() {
        None
    } else {
        Some(identity(authzid)?).filter(|authzid| *authzid != login)
    };
    Ok(Login {
        login,
        authzid,
        credential: Credential::Password(password(secret)?),
    })
}

/// An identity is UTF-8 text without control characters: it will be logged and looked up.
fn identity(bytes: &[u8]) -> Result<String, SaslError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SaslError::Malformed)?;
    if text.is_empty() || text.len() > MAX_FIELD || text.chars().any(char::is_control) {
        return Err(SaslError::Malformed);
    }
    Ok(text.to_owned())
}

/// A password may be any octets but NUL: old hashes were made from other character sets than UTF-8.
fn password(bytes: &[u8]) -> Result<Secret, SaslError> {
    if bytes.len() > MAX_FIELD || bytes.contains(&0) {
        return Err(SaslError::Malformed);
    }
    Ok(Secret::new(bytes))
}
