//! OAuth 2.0 tokens: is one good, and whom does it name (RFC 6750, RFC 7519, RFC 7662).
//!
//! A token proves a name; whether that account exists and may log in is asked of the other sources, as for every
//! other mechanism. An issuer that does not answer is never a wrong token.

mod claims;
mod http;
mod keys;

pub(crate) use http::check_issuer_url;

use crate::config::{OauthConfig, TokenAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claims::{Absent, Claims, Proven, judge};
use http::{Form, HttpClient};
use hyper::header::HeaderValue;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use keys::{Found, Keys, Source};
use model::{
    AuthOutcome, AuthRequest, Authenticated, Authenticator, BoxFuture, Clock, ConfigProblem, Credential,
    MechanismSet, Recheck, RejectReason, ScramOutcome, ScramRequest, Secret, Unavailable,
};
use net::{Cached, ClientTls, ClientTlsConfig, Resolver, TtlCache};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use url::Url;

/// A token that the issuer called good is not asked about again for this long.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// Answers about tokens that are kept.
const ENTRIES: usize = 100_000;
/// Questions to the issuer at once; past them the answer is "try later".
const QUESTIONS: usize = 64;
/// A longer token is nobody's.
const MAX_TOKEN: usize = 16 * 1024;

/// Why a token logs nobody in.
enum Refusal {
    Bad(String),
    Unavailable(String),
}

/// Decides about tokens.
struct Verifier {
    config: OauthConfig,
    method: Method,
    clock: Arc<dyn Clock>,
}

enum Method {
    Signature(Keys),
    Introspection(Introspection),
}

struct Introspection {
    url: Url,
    http: HttpClient,
    authorization: HeaderValue,
    questions: Semaphore,
    /// Of this process alone: what is kept of a token is worth nothing outside of it.
    key: [u8; 32],
    good: Mutex<TtlCache<[u8; 32], Proven>>,
}

/// Logs in by token where there is one, and asks the sources behind it for everything else.
pub struct TokenAuthenticator {
    inner: Arc<dyn Authenticator>,
    verifier: Verifier,
}

impl TokenAuthenticator {
    /// In front of the sources that know the accounts. Nothing is fetched before the first token.
    pub fn new(
        config: OauthConfig,
        inner: Arc<dyn Authenticator>,
        resolver: Resolver,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigProblem> {
        let problem = |key: &str, message: String| ConfigProblem::new(key, message);
        let tls = ClientTls::new(&ClientTlsConfig {
            ca_file: config.ca_file.clone(),
            ..ClientTlsConfig::default()
        })
        .map_err(|error| problem("ca_file", error.to_string()))?;
        let http = HttpClient::new(resolver, tls, Duration::from_secs(config.timeout));
        let source = match (&config.jwks_file, &config.jwks_url, &config.introspection_url) {
            (Some(path), _, _) => Ok(Source::File(path.clone())),
            (None, Some(url), _) => {
                let url = check_issuer_url(url).map_err(|why| problem("jwks_url", why))?;
                Ok(Source::Url(url, http))
            }
            (None, None, Some(url)) => {
                let url = check_issuer_url(url).map_err(|why| problem("introspection_url", why))?;
                Err((url, http))
            }
            (None, None, None) => return Err(problem("jwks_url", "no source of keys".to_owned())),
        };
        let method = match source {
            Ok(source) => {
                let refresh = Duration::from_secs(config.jwks_refresh);
                // Tokens with keys that nobody knows must not make us hammer the issuer.
                let pause = Duration::from_secs(config.jwks_pause);
                Method::Signature(Keys::new(source, refresh, pause, Arc::clone(&clock)))
            }
            Err((url, http)) => Method::Introspection(Introspection {
                url,
                http,
                authorization: authorization(&config)?,
                questions: Semaphore::new(QUESTIONS),
                key: net::fresh_random().map_err(|error| problem("", error.to_string()))?,
                good: Mutex::new(TtlCache::new(Arc::clone(&clock), ENTRIES)),
            }),
        };
        Ok(Self {
            inner,
            verifier: Verifier {
                config,
                method,
                clock,
            },
        })
    }

    async fn decide(&self, request: &AuthRequest, token: &Secret) -> AuthOutcome {
        match self.verifier.verify(token).await {
            Ok(proven) => super::external::vouch(self.inner.as_ref(), request, &proven.login).await,
            Err(Refusal::Bad(why)) => {
                tracing::info!(trace = %request.peer.trace, client = %request.peer.client, login = request.login, why, "a token is refused");
                AuthOutcome::Rejected(RejectReason::WrongCredential)
            }
            Err(Refusal::Unavailable(why)) => AuthOutcome::Unavailable(Unavailable(why)),
        }
    }
}

impl Authenticator for TokenAuthenticator {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        match &request.credential {
            Credential::Bearer(token) => Box::pin(self.decide(request, token)),
            _ => self.inner.check(request),
        }
    }

    fn recheck<'a>(&'a self, who: &'a Authenticated, since: Duration) -> BoxFuture<'a, Recheck> {
        self.inner.recheck(who, since)
    }

    fn scram_keys<'a>(&'a self, request: &'a ScramRequest) -> BoxFuture<'a, ScramOutcome> {
        self.inner.scram_keys(request)
    }

    fn openid_configuration(&self) -> Option<String> {
        self.verifier.config.openid_configuration.clone()
    }

    fn mechanisms(&self) -> MechanismSet {
        let inner = self.inner.mechanisms();
        match inner.contains(MechanismSet::VOUCHED) {
            true => inner.union(MechanismSet::BEARER),
            false => inner,
        }
    }
}

impl std::fmt::Debug for TokenAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenAuthenticator({:?})", self.verifier.config.issuer)
    }
}

impl Verifier {
    async fn verify(&self, token: &Secret) -> Result<Proven, Refusal> {
        if token.is_empty() || token.expose().len() > MAX_TOKEN {
            return Err(Refusal::Bad("there is no token".to_owned()));
        }
        match &self.method {
            Method::Signature(keys) => self.verify_signature(keys, token).await,
            Method::Introspection(introspection) => self.ask(introspection, token).await,
        }
    }

    /// RFC 7519 section 7.2: the signature first, and only by an algorithm and a key that we chose.
    async fn verify_signature(&self, keys: &Keys, token: &Secret) -> Result<Proven, Refusal> {
        let bad = |why: String| Refusal::Bad(why);
        let header = jsonwebtoken::decode_header(token.expose()).map_err(|error| bad(error.to_string()))?;
        let allowed = self
            .config
            .algorithms
            .iter()
            .any(|ours| algorithm(*ours) == header.alg);
        if !allowed {
            return Err(bad(format!("the algorithm {:?} is not allowed", header.alg)));
        }
        // RFC 7515 section 4.1.11: what is critical must be understood, and we understand nothing of it.
        if header.crit.is_some() {
            return Err(bad("the token has critical members".to_owned()));
        }
        let key = match keys.find(header.kid.as_deref()).await {
            Found::Key(key) => key,
            Found::Unknown => return Err(bad(format!("the issuer has no key {:?}", header.kid))),
            Found::Unavailable(why) => return Err(Refusal::Unavailable(why)),
        };
        let key = DecodingKey::from_jwk(&key).map_err(|error| bad(error.to_string()))?;
        // The signature alone is the library's: the claims are judged on our clock.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(token.expose(), &key, &validation)
            .map_err(|error| bad(error.to_string()))?;
        judge(&decoded.claims, &self.config, Absent::Bad, self.clock.now()).map_err(Refusal::Bad)
    }

    async fn ask(&self, introspection: &Introspection, token: &Secret) -> Result<Proven, Refusal> {
        let digest = *blake3::keyed_hash(&introspection.key, token.expose()).as_bytes();
        let now = self.clock.now();
        if let Cached::Fresh(proven) = introspection.good.lock().get(&digest)
            && proven.until.is_none_or(|until| now.as_secs() < until)
        {
            return Ok(proven.clone());
        }
        let busy = || Refusal::Unavailable("too many questions to the issuer are under way".to_owned());
        let _turn = introspection.questions.try_acquire().map_err(|_| busy())?;
        // RFC 7662 section 2.1.
        let token = std::str::from_utf8(token.expose())
            .map_err(|_| Refusal::Bad("the token is not text".to_owned()))?;
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        let form = Form {
            body,
            authorization: &introspection.authorization,
        };
        let answer = introspection
            .http
            .fetch(&introspection.url, Some(form))
            .await
            .map_err(Refusal::Unavailable)?;
        let claims: Claims = serde_json::from_slice(&answer)
            .map_err(|error| Refusal::Unavailable(format!("{}: {error}", introspection.url)))?;
        // RFC 7662 section 2.2: `active` is the only member that is always there.
        match claims.get("active").and_then(serde_json::Value::as_bool) {
            Some(true) => {}
            Some(false) => {
                return Err(Refusal::Bad(
                    "the issuer says that the token is not active".to_owned(),
                ));
            }
            None => {
                let why = format!("{}: the answer does not say \"active\"", introspection.url);
                return Err(Refusal::Unavailable(why));
            }
        }
        let proven = judge(&claims, &self.config, Absent::Fine, now).map_err(Refusal::Bad)?;
        introspection
            .good
            .lock()
            .insert(digest, proven.clone(), GOOD_FOR, Duration::ZERO);
        Ok(proven)
    }
}

/// RFC 6749 section 2.3.1: both parts form-encoded, then Basic.
fn authorization(config: &OauthConfig) -> Result<HeaderValue, ConfigProblem> {
    let secret = match (&config.client_secret, &config.client_secret_file) {
        (Some(secret), _) => secret.clone(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConfigProblem::new("client_secret_file", format!("{}: {error}", path.display()))
            })?;
            Secret::from(text.trim_end_matches(['\r', '\n']))
        }
        (None, None) => Secret::default(),
    };
    let encode = |bytes: &[u8]| url::form_urlencoded::byte_serialize(bytes).collect::<String>();
    let id = config.client_id.as_deref().unwrap_or_default();
    let pair = format!("{}:{}", encode(id.as_bytes()), encode(secret.expose()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)))
        .map_err(|error| ConfigProblem::new("client_id", error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

const fn algorithm(name: TokenAlgorithm) -> Algorithm {
    match name {
        TokenAlgorithm::Rs256 => Algorithm::RS256,
        TokenAlgorithm::Rs384 => Algorithm::RS384,
        TokenAlgorithm::Rs512 => Algorithm::RS512,
        TokenAlgorithm::Ps256 => Algorithm::PS256,
        TokenAlgorithm::Ps384 => Algorithm::PS384,
        TokenAlgorithm::Ps512 => Algorithm::PS512,
        TokenAlgorithm::Es256 => Algorithm::ES256,
        TokenAlgorithm::Es384 => Algorithm::ES384,
        TokenAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
