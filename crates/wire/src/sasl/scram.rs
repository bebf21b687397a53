//! The messages of SCRAM (RFC 5802 sections 5 to 7), both sides.

use super::offer::ChannelBindings;
use super::prepare::{identity, prepared_name, read_saslname, write_saslname};
use super::{SaslError, decode_base64, encode_base64};
use model::{ScramHash, ScramKeys, ScramProof, Secret};

/// A nonce longer than this is nobody's.
const MAX_NONCE: usize = 256;

/// The client's first message.
#[derive(Debug)]
pub(super) struct First {
    /// `gs2-header` and its binding: what `c=` has to say at the end.
    expected: Vec<u8>,
    /// `client-first-message-bare`.
    bare: Vec<u8>,
    nonce: String,
    pub(super) login: String,
    pub(super) authzid: Option<String>,
}

/// After the server's first message.
#[derive(Debug)]
pub(super) struct Challenged {
    hash: ScramHash,
    first: First,
    nonce: String,
    server_first: String,
    keys: ScramKeys,
}

impl First {
    /// Reads it. `plus` says whether the mechanism is bound to the channel, `announced` whether such a one was
    /// offered to this client.
    pub(super) fn read(
        message: &[u8],
        plus: Plus,
        announced: Plus,
        bindings: &ChannelBindings,
    ) -> Result<Self, SaslError> {
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SaslError::Malformed);
        };
        let binding: &[u8] = match (flag, plus) {
            ("n", Plus::No) => b"",
            // RFC 5802 section 6: the client can bind and thinks that we cannot. If we said that we can,
            // somebody has hidden it.
            ("y", Plus::No) if announced == Plus::No => b"",
            ("n" | "y", _) => return Err(SaslError::ChannelBinding),
            (other, plus) => {
                let name = other.strip_prefix("p=").ok_or(SaslError::Malformed)?;
                if plus == Plus::No {
                    return Err(SaslError::ChannelBinding);
                }
                bindings.get(name).ok_or(SaslError::ChannelBinding)?
            }
        };
        let header = format!("{flag},{authzid},");
        let authzid = match authzid {
            "" => None,
            named => {
                let name = named.strip_prefix("a=").ok_or(SaslError::Malformed)?;
                Some(prepared_name(&read_saslname(name.as_bytes())?)?)
            }
        };
        let mut attributes = bare.split(',');
        // RFC 5802 section 5.1: `m=` in front is an extension that must be understood, and we know none.
        let name = attribute(attributes.next(), "n=")?;
        let login = prepared_name(&read_saslname(name.as_bytes())?)?;
        let nonce = read_nonce(attribute(attributes.next(), "r=")?)?;
        check_extensions(attributes)?;
        Ok(Self {
            expected: [header.as_bytes(), binding].concat(),
            bare: bare.as_bytes().to_vec(),
            nonce,
            authzid: authzid.filter(|authzid| *authzid != login),
            login,
        })
    }

    /// The server's first message, with its own part of the nonce.
    pub(super) fn challenge(self, keys: ScramKeys, nonce: &[u8]) -> (Challenged, String) {
        let nonce = format!("{}{}", self.nonce, encode_base64(nonce));
        let server_first = format!(
            "r={nonce},s={},i={}",
            encode_base64(keys.salt()),
            keys.iterations()
        );
        let text = encode_base64(server_first.as_bytes());
        let challenged = Challenged {
            hash: keys.hash(),
            first: self,
            nonce,
            server_first,
            keys,
        };
        (challenged, text)
    }
}

impl Challenged {
    /// Reads the client's final message: who, its proof, and what the server answers when the proof is good.
    pub(super) fn finish(
        self,
        message: &[u8],
    ) -> Result<(String, Option<String>, ScramProof, String), SaslError> {
        let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(SaslError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = decode_base64(attribute(attributes.next(), "c=")?.as_bytes())?;
        let nonce = attribute(attributes.next(), "r=")?;
        check_extensions(attributes)?;
        if binding.expose() != self.first.expected {
            return Err(SaslError::ChannelBinding);
        }
        if nonce != self.nonce {
            return Err(SaslError::Malformed);
        }
        let proof = decode_base64(proof.as_bytes())?;
        if proof.expose().len() != self.hash.len() {
            return Err(SaslError::Malformed);
        }
        let auth_message = auth_message(&self.first.bare, &self.server_first, without_proof);
        let signature = self.keys.server_signature(&auth_message);
        let last = encode_base64(format!("v={}", encode_base64(signature.expose())).as_bytes());
        let proof = ScramProof {
            hash: self.hash,
            salt: self.keys.salt().to_vec(),
            iterations: self.keys.iterations(),
            auth_message,
            proof,
        };
        Ok((self.first.login, self.first.authzid, proof, last))
    }
}

/// Whether a mechanism is bound to the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plus {
    Yes,
    No,
}

impl From<bool> for Plus {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

fn auth_message(bare: &[u8], server_first: &str, without_proof: &str) -> Vec<u8> {
    [bare, server_first.as_bytes(), without_proof.as_bytes()].join(&b',')
}

fn attribute<'a>(part: Option<&'a str>, name: &str) -> Result<&'a str, SaslError> {
    part.and_then(|part| part.strip_prefix(name))
        .ok_or(SaslError::Malformed)
}

/// RFC 5802 section 7: `printable`, which is everything but the comma.
fn read_nonce(text: &str) -> Result<String, SaslError> {
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if text.is_empty() || text.len() > MAX_NONCE || !printable {
        return Err(SaslError::Malformed);
    }
    Ok(text.to_owned())
}

/// Optional extensions are `letter=value`; `m` is never optional (RFC 5802 section 5.1).
fn check_extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    for extension in attributes {
        match extension.as_bytes() {
            [name, b'=', _, ..] if name.is_ascii_alphabetic() && *name != b'm' => {}
            _ => return Err(SaslError::Malformed),
        }
    }
    Ok(())
}

/// The client's side, before the first message.
#[derive(Debug)]
pub(super) struct Client {
    hash: ScramHash,
    password: Secret,
    /// `gs2-header` and the binding.
    binding: Vec<u8>,
    bare: String,
    nonce: String,
    header: String,
}

/// The client's side, after its proof.
#[derive(Debug)]
pub(super) struct Proven {
    signature: Secret,
}

/// What a client begins with.
pub(super) struct ClientStart<'a> {
    pub(super) hash: ScramHash,
    pub(super) plus: Plus,
    pub(super) login: &'a str,
    pub(super) authzid: Option<&'a str>,
    pub(super) password: Secret,
    pub(super) nonce: &'a [u8],
    pub(super) bindings: &'a ChannelBindings,
}

impl Client {
    pub(super) fn new(start: ClientStart<'_>) -> Result<Self, SaslError> {
        let (flag, data) = match (start.plus, start.bindings.best()) {
            (Plus::Yes, Some((name, data))) => (format!("p={name}"), data),
            (Plus::Yes, None) => return Err(SaslError::ChannelBinding),
            // RFC 5802 section 6: we could bind, and the server did not offer it.
            (Plus::No, Some(_)) => ("y".to_owned(), &b""[..]),
            (Plus::No, None) => ("n".to_owned(), &b""[..]),
        };
        let authzid = match start.authzid {
            Some(authzid) => format!("a={}", write_saslname(&prepared_name(authzid)?)),
            None => String::new(),
        };
        let header = format!("{flag},{authzid},");
        let name = write_saslname(&prepared_name(start.login)?);
        let nonce = encode_base64(start.nonce);
        Ok(Self {
            hash: start.hash,
            password: super::prepare::prepared_password(&start.password)?,
            binding: [header.as_bytes(), data].concat(),
            bare: format!("n={name},r={nonce}"),
            nonce,
            header,
        })
    }

    pub(super) fn first(&self) -> Secret {
        Secret::from(format!("{}{}", self.header, self.bare))
    }

    /// The proof, from the server's first message.
    pub(super) fn prove(self, challenge: &[u8]) -> Result<(Proven, Secret), SaslError> {
        let server_first = std::str::from_utf8(challenge).map_err(|_| SaslError::Malformed)?;
        if server_first.starts_with("e=") {
            return Err(SaslError::Refused);
        }
        let mut attributes = server_first.split(',');
        let nonce = read_nonce(attribute(attributes.next(), "r=")?)?;
        let salt = decode_base64(attribute(attributes.next(), "s=")?.as_bytes())?;
        let iterations = attribute(attributes.next(), "i=")?;
        let digits = iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations: u32 = iterations
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(SaslError::Malformed)?;
        check_extensions(attributes)?;
        // RFC 5802 section 5: the server's nonce begins with ours and adds something to it.
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(SaslError::Malformed);
        }
        let without_proof = format!("c={},r={nonce}", encode_base64(&self.binding));
        let message = auth_message(self.bare.as_bytes(), server_first, &without_proof);
        let (proof, signature) =
            model::scram_client(self.hash, &self.password, salt.expose(), iterations, &message)
                .ok_or(SaslError::Malformed)?;
        let last = format!("{without_proof},p={}", encode_base64(proof.expose()));
        Ok((Proven { signature }, Secret::from(last)))
    }
}

impl Proven {
    /// Reads the server's final message: only whoever has the keys can have made it.
    pub(super) fn check(&self, challenge: &[u8]) -> Result<(), SaslError> {
        let text = identity(challenge)?;
        if text.starts_with("e=") {
            return Err(SaslError::Refused);
        }
        let mut attributes = text.split(',');
        let signature = decode_base64(attribute(attributes.next(), "v=")?.as_bytes())?;
        check_extensions(attributes)?;
        let same = subtle::ConstantTimeEq::ct_eq(signature.expose(), self.signature.expose());
        if bool::from(same) {
            Ok(())
        } else {
            Err(SaslError::ServerNotProven)
        }
    }
}
