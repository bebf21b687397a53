//! The server's side of an exchange.

use super::offer::ChannelBindings;
use super::prepare::{identity, password};
use super::scram::{Challenged, First};
use super::{Mechanism, NONCE, SaslError, bearer, decode_base64, encode_base64};
use model::{AuthOutcome, ClientCertificate, CramProof, Credential, ScramHash, ScramKeys, Secret};
use std::sync::Arc;

/// Who wants to log in, as the mechanism said it. Nothing has been checked.
#[derive(Debug, Clone)]
pub struct Login {
    /// The authentication identity. Empty only when a token or a certificate names the account and the client
    /// did not.
    pub login: String,
    /// The authorization identity, when it is given and differs from the login.
    pub authzid: Option<String>,
    /// The proof. A password or a token may be empty here; every authenticator refuses it.
    pub credential: Credential,
}

/// What an exchange begins with.
#[derive(Debug, Clone, Default)]
pub struct ServerContext {
    /// Fresh randomness, for this exchange alone.
    pub nonce: [u8; NONCE],
    /// This server's name, for the challenge of CRAM-MD5.
    pub server_name: String,
    /// What the TLS channel is bound by.
    pub bindings: ChannelBindings,
    /// Whether a -PLUS mechanism was announced to this client.
    pub plus_announced: bool,
    /// What the client has shown in the TLS handshake.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Where a client learns how to get a token (RFC 7628 section 3.2.2).
    pub openid_configuration: Option<String>,
}

/// Whose keys a SCRAM exchange needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The login: never empty.
    pub login: String,
    /// The mechanism's hash.
    pub hash: ScramHash,
}

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Send this text after `+ ` (IMAP, POP3) or `334 ` (SMTP): it is base64 already, and may be empty.
    Challenge(String),
    /// Ask for the keys of this login, and go on with [`ServerExchange::keys`].
    Keys(Wanted),
    /// The client has said all; ask the authenticator, and go on with [`ServerExchange::conclude`].
    Done(Login),
    /// The client has taken note of what [`ServerExchange::conclude`] made the server say.
    Acknowledged,
    /// Refuse the command: it was cancelled or makes no sense.
    Failed(SaslError),
}

/// What the authenticator said, as far as the exchange has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The proof is good.
    Good,
    /// It is not, or the account may not log in.
    Bad,
    /// Nobody can say now.
    Later,
}

impl From<&AuthOutcome> for Verdict {
    fn from(outcome: &AuthOutcome) -> Self {
        match outcome {
            AuthOutcome::Accepted(_) => Self::Good,
            AuthOutcome::Rejected(_) | AuthOutcome::NoEntry => Self::Bad,
            AuthOutcome::Unavailable(_) | AuthOutcome::Throttled(_) => Self::Later,
        }
    }
}

/// How the exchange ends, once the authenticator has answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// With the command's reply.
    Reply,
    /// With one more challenge: send it, read a line, give it to [`ServerExchange::respond`], and the reply
    /// comes after [`Step::Acknowledged`]. A client that cancels there is not logged in.
    Challenge(String),
}

#[derive(Debug)]
enum State {
    PlainResponse,
    LoginName,
    LoginPassword { login: String },
    ScramFirst,
    ScramKeys(Box<First>),
    ScramFinal(Box<Challenged>),
    ScramChecked { last: String },
    CramResponse { challenge: Vec<u8> },
    BearerResponse,
    BearerChecked,
    ExternalResponse,
    Acknowledgement,
    Over,
}

/// One exchange, from AUTHENTICATE or AUTH to [`Step::Done`] or [`Step::Failed`].
#[derive(Debug)]
pub struct ServerExchange {
    mechanism: Mechanism,
    context: ServerContext,
    state: State,
}

impl ServerExchange {
    /// Begins. `initial` is the initial response as the command carried it: base64, or `=` for an empty one
    /// (RFC 4954 section 4, RFC 5034 section 4, RFC 4959 section 3).
    #[must_use]
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>, context: ServerContext) -> (Self, Step) {
        let (state, challenge) = match mechanism {
            Mechanism::Plain => (State::PlainResponse, String::new()),
            Mechanism::Login => (State::LoginName, encode_base64(b"Username:")),
            Mechanism::OauthBearer | Mechanism::Xoauth2 => (State::BearerResponse, String::new()),
            Mechanism::External => (State::ExternalResponse, String::new()),
            Mechanism::CramMd5 => {
                let challenge = cram_challenge(&context);
                let text = encode_base64(&challenge);
                (State::CramResponse { challenge }, text)
            }
            Mechanism::ScramSha1
            | Mechanism::ScramSha1Plus
            | Mechanism::ScramSha256
            | Mechanism::ScramSha256Plus => (State::ScramFirst, String::new()),
        };
        let mut exchange = Self {
            mechanism,
            context,
            state,
        };
        let step = match initial {
            // RFC 2195 section 2: the server speaks first.
            Some(_) if mechanism == Mechanism::CramMd5 => exchange.fail(SaslError::Malformed),
            Some(b"=") => exchange.take(&Secret::default()),
            Some(text) => exchange.respond(text),
            None => Step::Challenge(challenge),
        };
        (exchange, step)
    }

    /// The mechanism.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Takes the client's next line, without its CRLF.
    pub fn respond(&mut self, line: &[u8]) -> Step {
        if line == b"*" {
            return self.fail(SaslError::Cancelled);
        }
        match decode_base64(line) {
            Ok(response) => self.take(&response),
            Err(error) => self.fail(error),
        }
    }

    /// Goes on with the keys that [`Step::Keys`] asked for.
    pub fn keys(&mut self, keys: ScramKeys) -> Step {
        let fits = self.mechanism.scram() == Some(keys.hash());
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramKeys(first) if fits => {
                let (challenged, text) = first.challenge(keys, &self.context.nonce);
                self.state = State::ScramFinal(Box::new(challenged));
                Step::Challenge(text)
            }
            _ => Step::Failed(SaslError::OutOfTurn),
        }
    }

    /// What is to be said before the command's reply, once the authenticator has answered [`Step::Done`].
    pub fn conclude(&mut self, verdict: Verdict) -> Conclusion {
        let state = std::mem::replace(&mut self.state, State::Over);
        let text = match (state, verdict) {
            // RFC 5802 section 5.1: the server shows that it has the keys, too.
            (State::ScramChecked { last }, Verdict::Good) => last,
            // RFC 7628 section 3.2.3: the status, a dummy response, and then the failure. Whoever cannot be
            // judged now gets the failure alone, or the client would throw a good token away.
            (State::BearerChecked, Verdict::Bad) => {
                let discovery = self.context.openid_configuration.as_deref();
                encode_base64(bearer::failure(discovery).as_bytes())
            }
            _ => return Conclusion::Reply,
        };
        self.state = State::Acknowledgement;
        Conclusion::Challenge(text)
    }

    fn fail(&mut self, error: SaslError) -> Step {
        self.state = State::Over;
        Step::Failed(error)
    }

    fn take(&mut self, response: &Secret) -> Step {
        let bytes = response.expose();
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::PlainResponse => plain(bytes).map(Step::Done),
            State::LoginName => identity(bytes).map(|login| {
                self.state = State::LoginPassword { login };
                Step::Challenge(encode_base64(b"Password:"))
            }),
            State::LoginPassword { login } => password(bytes).map(|password| {
                Step::Done(Login {
                    login,
                    authzid: None,
                    credential: Credential::Password(password),
                })
            }),
            State::ScramFirst => self.scram_first(bytes),
            State::ScramFinal(challenged) => challenged.finish(bytes).map(|(login, authzid, proof, last)| {
                self.state = State::ScramChecked { last };
                Step::Done(Login {
                    login,
                    authzid,
                    credential: Credential::Scram(Arc::new(proof)),
                })
            }),
            State::CramResponse { challenge } => cram(bytes, challenge).map(Step::Done),
            State::BearerResponse => self.bearer(bytes),
            State::ExternalResponse => self.external(bytes),
            // SCRAM's is empty, OAUTHBEARER's is ^A, XOAUTH2's may be either; none says anything.
            State::Acknowledgement if bytes.is_empty() || bytes == b"\x01" => Ok(Step::Acknowledged),
            State::Acknowledgement => Err(SaslError::Malformed),
            State::ScramKeys(_) | State::ScramChecked { .. } | State::BearerChecked | State::Over => {
                Err(SaslError::OutOfTurn)
            }
        };
        step.unwrap_or_else(Step::Failed)
    }

    fn scram_first(&mut self, bytes: &[u8]) -> Result<Step, SaslError> {
        let hash = self.mechanism.scram().ok_or(SaslError::OutOfTurn)?;
        let first = First::read(
            bytes,
            self.mechanism.is_plus().into(),
            self.context.plus_announced.into(),
            &self.context.bindings,
        )?;
        let wanted = Wanted {
            login: first.login.clone(),
            hash,
        };
        self.state = State::ScramKeys(Box::new(first));
        Ok(Step::Keys(wanted))
    }

    fn bearer(&mut self, bytes: &[u8]) -> Result<Step, SaslError> {
        let message = match self.mechanism {
            Mechanism::OauthBearer => bearer::read_oauthbearer(bytes)?,
            _ => bearer::read_xoauth2(bytes)?,
        };
        self.state = State::BearerChecked;
        Ok(Step::Done(Login {
            login: message.login.unwrap_or_default(),
            authzid: None,
            credential: Credential::Bearer(message.token),
        }))
    }

    /// RFC 4422 appendix A.1: the response is the authorization identity, or nothing.
    fn external(&self, bytes: &[u8]) -> Result<Step, SaslError> {
        let certificate = self.context.certificate.clone().ok_or(SaslError::OutOfTurn)?;
        let login = match bytes {
            [] => String::new(),
            named => identity(named)?,
        };
        Ok(Step::Done(Login {
            login,
            authzid: None,
            credential: Credential::Certificate(certificate),
        }))
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

/// RFC 2195 section 2: a message identifier that was never there before.
fn cram_challenge(context: &ServerContext) -> Vec<u8> {
    let random: String = context.nonce.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("<{random}@{}>", context.server_name).into_bytes()
}

/// `user SP digest` (RFC 2195 section 2); a name may hold spaces.
fn cram(message: &[u8], challenge: Vec<u8>) -> Result<Login, SaslError> {
    let space = message
        .iter()
        .rposition(|byte| *byte == b' ')
        .ok_or(SaslError::Malformed)?;
    let (Some(login), Some(digest)) = (message.get(..space), message.get(space + 1..)) else {
        return Err(SaslError::Malformed);
    };
    if digest.len() != 32 || !digest.iter().all(u8::is_ascii_hexdigit) {
        return Err(SaslError::Malformed);
    }
    Ok(Login {
        login: identity(login)?,
        authzid: None,
        credential: Credential::CramMd5(Arc::new(CramProof {
            challenge,
            digest: Secret::new(digest.to_ascii_lowercase()),
        })),
    })
}
