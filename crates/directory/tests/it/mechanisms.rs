//! Logins that show no password, and tokens, against a real slapd and a small issuer.

use super::authentication::authenticator;
use super::slapd::Slapd;
use super::{clock, config, connect};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use directory::config::{ChallengeMechanism, OauthConfig};
use directory::{ChainAuthenticator, LdapMethod, ScramSalts, TokenAuthenticator};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{
    AuthOutcome, AuthRequest, Authenticator, Clock as _, CramProof, Credential, ManualClock, MechanismSet,
    Peer, Protocol, ScramHash, ScramKeys, ScramOutcome, ScramProof, ScramRequest, Secret, TlsState, TraceId,
    scram_client,
};
use net::Resolver;
use password::VerifyPool;
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The password "pencil" with the salt of RFC 7677 section 3.
const KEYS: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn peer() -> Peer {
    let client = "192.0.2.1:40000".parse().expect("an address");
    Peer {
        client,
        local: client,
        tls: TlsState::Encrypted,
        trace: TraceId::new(1),
    }
}

async fn says(source: &dyn Authenticator, login: &str, credential: Credential) -> String {
    let request = AuthRequest {
        login: login.to_owned(),
        authzid: None,
        credential,
        protocol: Protocol::Imap,
        peer: peer(),
    };
    match source.check(&request).await {
        AuthOutcome::Accepted(who) => who.address.to_string(),
        AuthOutcome::Rejected(reason) => reason.to_string(),
        AuthOutcome::NoEntry => "no entry".to_owned(),
        AuthOutcome::Throttled(why) => format!("throttled: {why}"),
        AuthOutcome::Unavailable(why) => format!("unavailable: {why}"),
    }
}

async fn keys(source: &dyn Authenticator, login: &str, hash: ScramHash) -> Option<ScramKeys> {
    let request = ScramRequest {
        login: login.to_owned(),
        hash,
        salt: None,
        protocol: Protocol::Imap,
        peer: peer(),
    };
    match source.scram_keys(&request).await {
        ScramOutcome::Keys(keys) => Some(keys),
        ScramOutcome::Unavailable(_) => None,
        other => panic!("{other:?}"),
    }
}

/// A client's whole exchange, as a server sees it.
async fn scram(source: &dyn Authenticator, login: &str, password: &str, hash: ScramHash) -> String {
    let Some(keys) = keys(source, login, hash).await else {
        return "no keys".to_owned();
    };
    let (salt, iterations) = (keys.salt().to_vec(), keys.iterations());
    let message = b"n=user,r=a,r=ab,c=biws,r=ab".to_vec();
    let (proof, signature) =
        scram_client(hash, &Secret::from(password), &salt, iterations, &message).expect("a sane server");
    let proof = ScramProof {
        hash,
        salt,
        iterations,
        auth_message: message.clone(),
        proof,
    };
    let answer = says(source, login, Credential::Scram(Arc::new(proof))).await;
    if answer.contains('@') {
        assert_eq!(
            keys.server_signature(&message).expose(),
            signature.expose(),
            "the server proves itself"
        );
    }
    answer
}

fn chain(slapd: &Slapd, clock: &Arc<ManualClock>, key: u8) -> ChainAuthenticator {
    let mut config = config(&[slapd]);
    config.challenge_response = vec![
        ChallengeMechanism::ScramSha256,
        ChallengeMechanism::ScramSha1,
        ChallengeMechanism::CramMd5,
    ];
    let connector = connect(config, clock);
    let source = authenticator(&connector, LdapMethod::Password, clock);
    ChainAuthenticator::new(vec![source])
        .with_salts(ScramSalts::new([key; 32], VerifyPool::for_this_machine()))
}

#[tokio::test]
async fn scram_and_cram_md5_from_clear_text_and_stored_keys() {
    let mut slapd = Slapd::start();
    slapd.person("clear", "userPassword: secret\n");
    slapd.person("kept", &format!("userPassword: {KEYS}\n"));
    slapd.person("hashed", "userPassword: {SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS\n");
    let clock = clock();
    let source = chain(&slapd, &clock, 1);
    let offered = MechanismSet::SCRAM_SHA_256.union(MechanismSet::CRAM_MD5);
    assert!(source.mechanisms().contains(offered));
    for (login, password, hash, expected) in [
        ("clear", "secret", ScramHash::Sha256, "clear@localdomain.test"),
        ("clear", "secret", ScramHash::Sha1, "clear@localdomain.test"),
        ("clear", "Secret", ScramHash::Sha256, "wrong credential"),
        ("kept", "pencil", ScramHash::Sha256, "kept@localdomain.test"),
        ("kept", "pencils", ScramHash::Sha256, "wrong credential"),
        ("kept", "pencil", ScramHash::Sha1, "wrong credential"),
        ("hashed", "correct horse", ScramHash::Sha256, "wrong credential"),
        ("nobody", "secret", ScramHash::Sha256, "no entry"),
    ] {
        assert_eq!(
            scram(&source, login, password, hash).await,
            expected,
            "{login} {password} {hash}"
        );
    }
    assert_eq!(
        says(&source, "kept", Credential::Password(Secret::from("pencil"))).await,
        "kept@localdomain.test",
        "the same value serves PLAIN"
    );
    let cram = |password: &str| {
        let challenge = b"<1@x>".to_vec();
        let digest = CramProof::digest_of(&Secret::from(password), &challenge);
        Credential::CramMd5(Arc::new(CramProof { challenge, digest }))
    };
    assert_eq!(
        says(&source, "clear", cram("secret")).await,
        "clear@localdomain.test"
    );
    assert_eq!(says(&source, "clear", cram("secreT")).await, "wrong credential");
    assert_eq!(says(&source, "kept", cram("pencil")).await, "wrong credential");
    // The directory goes away: who logged in before still does, and nobody is refused.
    slapd.kill();
    for (login, password, good) in [
        ("clear", "secret", true),
        ("clear", "wrong", false),
        ("kept", "pencil", true),
    ] {
        let answer = scram(&source, login, password, ScramHash::Sha256).await;
        assert_eq!(answer.contains('@'), good, "{login} {password}: {answer}");
        assert!(good || answer.starts_with("unavailable"), "{answer}");
    }
    assert_eq!(scram(&source, "hashed", "x", ScramHash::Sha256).await, "no keys");
}

// RFC 5802 section 9: the answers do not tell who exists.
#[tokio::test]
async fn unknown_logins_get_stable_salts() {
    let slapd = Slapd::start();
    slapd.person("clear", "userPassword: secret\n");
    let clock = clock();
    let (first, again, other) = (
        chain(&slapd, &clock, 1),
        chain(&slapd, &clock, 1),
        chain(&slapd, &clock, 2),
    );
    for login in ["clear", "nobody"] {
        let one = keys(&first, login, ScramHash::Sha256).await.expect("keys");
        let two = keys(&again, login, ScramHash::Sha256).await.expect("keys");
        let three = keys(&other, login, ScramHash::Sha256).await.expect("keys");
        assert_eq!(one.salt(), two.salt(), "{login}: the same after a restart");
        assert_ne!(one.salt(), three.salt(), "{login}: nobody can compute it");
        assert_eq!((one.salt().len(), one.iterations()), (16, ScramKeys::ITERATIONS));
    }
}

/// An issuer with one key of its own.
struct Issuer {
    key: rcgen::KeyPair,
    kid: &'static str,
}

impl Issuer {
    fn new(kid: &'static str) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        Self { key, kid }
    }

    fn jwk(&self) -> serde_json::Value {
        use rcgen::PublicKeyData as _;
        // An uncompressed point: 4, then both coordinates.
        let point = self.key.der_bytes();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        })
    }

    fn token(&self, claims: &serde_json::Value) -> Credential {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.to_owned());
        let key = EncodingKey::from_ec_pem(self.key.serialize_pem().as_bytes()).expect("a key");
        let token = jsonwebtoken::encode(&header, claims, &key).expect("a token");
        Credential::Bearer(Secret::from(token))
    }
}

fn tokens(slapd: &Slapd, clock: &Arc<ManualClock>, oauth: serde_json::Value) -> TokenAuthenticator {
    let oauth: OauthConfig = serde_json::from_value(oauth).expect("a section");
    assert!(oauth.check().is_empty(), "{:?}", oauth.check());
    TokenAuthenticator::new(
        oauth,
        Arc::new(chain(slapd, clock, 1)),
        Resolver::system(),
        clock.clone(),
    )
    .expect("good settings")
}

#[tokio::test]
async fn signed_tokens_and_a_new_key() {
    let slapd = Slapd::start();
    slapd.person("alice", "userPassword: secret\n");
    slapd.person("bob", "userPassword: secret\n");
    let clock = clock();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jwks.json");
    let (old, new) = (Issuer::new("one"), Issuer::new("two"));
    std::fs::write(&file, json!({"keys": [old.jwk()]}).to_string()).expect("written");
    let source = tokens(
        &slapd,
        &clock,
        json!({"issuer": "https://id.test", "audience": ["homing"], "jwks_file": file}),
    );
    assert!(source.mechanisms().contains(MechanismSet::BEARER));
    let exp = clock.now().as_secs() + 100;
    let claims =
        |email: &str, aud: &str| json!({"iss": "https://id.test", "aud": aud, "exp": exp, "email": email});
    let alice = claims("alice@localdomain.test", "homing");
    for (login, token, expected) in [
        ("", old.token(&alice), "alice@localdomain.test"),
        (
            "alice@localdomain.test",
            old.token(&alice),
            "alice@localdomain.test",
        ),
        ("alice", old.token(&alice), "alice@localdomain.test"),
        ("bob@localdomain.test", old.token(&alice), "not allowed"),
        ("nobody@localdomain.test", old.token(&alice), "not allowed"),
        (
            "",
            old.token(&claims("nobody@localdomain.test", "homing")),
            "no entry",
        ),
        (
            "",
            old.token(&claims("alice@localdomain.test", "other")),
            "wrong credential",
        ),
        ("", Issuer::new("one").token(&alice), "wrong credential"),
        ("", Credential::Bearer(Secret::from("a.b.c")), "wrong credential"),
        ("", Credential::Bearer(Secret::default()), "wrong credential"),
    ] {
        assert_eq!(says(&source, login, token).await, expected, "{login}");
    }
    // The issuer takes a new key: the first token with it has the keys read again, after a pause. Until then it is
    // not called wrong, since nobody has looked.
    std::fs::write(&file, json!({"keys": [old.jwk(), new.jwk()]}).to_string()).expect("written");
    clock.advance(std::time::Duration::from_secs(1));
    let early = says(&source, "", new.token(&alice)).await;
    assert!(early.starts_with("unavailable"), "{early}");
    clock.advance(std::time::Duration::from_secs(31));
    assert_eq!(
        says(&source, "", new.token(&alice)).await,
        "alice@localdomain.test"
    );
    // And while the keys cannot be read, the known ones stay good and nobody is called wrong.
    std::fs::remove_file(&file).expect("removed");
    clock.advance(std::time::Duration::from_secs(31));
    assert_eq!(
        says(&source, "", new.token(&alice)).await,
        "alice@localdomain.test"
    );
    let stranger = says(&source, "", Issuer::new("three").token(&alice)).await;
    assert!(stranger.starts_with("unavailable"), "{stranger}");
    clock.advance(std::time::Duration::from_secs(100));
    assert_eq!(
        says(&source, "", new.token(&alice)).await,
        "wrong credential",
        "expired"
    );
}

/// Answers each request with what `body` makes of it.
async fn issuer_server(body: fn(&str) -> String) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let mut read = 0;
            while let Ok(more) = stream.read(&mut request[read..]).await {
                read += more;
                let text = String::from_utf8_lossy(&request[..read]).into_owned();
                if more == 0 || text.contains("token_type_hint=access_token") {
                    let answer = body(&text);
                    let reply = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
                        answer.len()
                    );
                    let _ = stream.write_all(reply.as_bytes()).await;
                    break;
                }
            }
        }
    });
    port
}

#[tokio::test]
async fn introspection_and_an_issuer_that_is_away() {
    let slapd = Slapd::start();
    slapd.person("alice", "userPassword: secret\n");
    let clock = clock();
    let port = issuer_server(|request| {
        // RFC 7662 section 2.1: id "homing", secret "s e" form-encoded.
        if !request.contains("Basic aG9taW5nOnMrZQ==") {
            return "{}".to_owned();
        }
        let active = request.contains("token=good-token");
        json!({"active": active, "username": "alice@localdomain.test"}).to_string()
    })
    .await;
    let settings = |port: u16| {
        json!({
            "introspection_url": format!("http://127.0.0.1:{port}/introspect"),
            "client_id": "homing", "client_secret": "s e"
        })
    };
    let bearer = |token: &str| Credential::Bearer(Secret::from(token));
    let source = tokens(&slapd, &clock, settings(port));
    assert_eq!(
        says(&source, "", bearer("good-token")).await,
        "alice@localdomain.test"
    );
    assert_eq!(says(&source, "", bearer("bad-token")).await, "wrong credential");
    // Nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let source = tokens(&slapd, &clock, settings(port));
    let answer = says(&source, "", bearer("good-token")).await;
    assert!(answer.starts_with("unavailable"), "{answer}");
}
