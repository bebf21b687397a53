//! A token from its front end to its home, and everything that makes it worthless.

use super::*;
use model::{Address, ManualClock, Peer, Protocol, Secret, Timestamp, TlsState, TraceId};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NOW: u64 = 1_795_336_200;

struct Both {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
    ring: KeyRing,
    minter: Minter,
    verifier: Verifier,
}

fn both() -> Both {
    let dir = tempfile::tempdir().expect("a scratch folder");
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW * 1000)));
    let ring = KeyRing::new(dir.path().join("keys"));
    ring.generate(Timestamp::from_millis(NOW * 1000)).expect("a key");
    let trusted = TrustedFrontEndConfig {
        name: "Front.example.test".to_owned(),
        keys: dir.path().join("front.jwks"),
    };
    publish(&ring, &trusted.keys);
    assert!(trusted.check().is_empty(), "{:?}", trusted.check());
    Both {
        minter: Minter::new(ring.clone(), "front.example.test", clock.clone()),
        verifier: Verifier::new("store1.example.test", &[trusted], clock.clone()),
        dir,
        clock,
        ring,
    }
}

fn publish(ring: &KeyRing, path: &Path) {
    let keys = ring.public_keys().expect("keys");
    std::fs::write(path, jwks(&keys).to_string()).expect("write");
}

fn peer() -> Peer {
    Peer {
        client: ([192, 0, 2, 7], 4242).into(),
        local: ([192, 0, 2, 1], 993).into(),
        tls: TlsState::Encrypted,
        trace: TraceId::new(1),
    }
}

fn alice() -> Address {
    Address::parse("alice@example.test").expect("an address")
}

impl Both {
    fn token(&self, home: &str) -> Secret {
        let token = self
            .minter
            .mint(&alice(), home, Protocol::Imap, &peer(), "0000000000000001");
        token.expect("a key")
    }
}

#[test]
fn a_token_is_good_once_at_its_home_within_its_time() {
    let both = both();
    let token = both.token("STORE1.example.test");
    assert_eq!(
        both.verifier.verify(token.expose(), Protocol::Imap),
        Ok(Verdict::Vouched(alice()))
    );
    assert_eq!(
        both.verifier.verify(token.expose(), Protocol::Imap),
        Err(VerifyError::Replayed)
    );
    let elsewhere = both.token("store2.example.test");
    assert_eq!(
        both.verifier.verify(elsewhere.expose(), Protocol::Imap),
        Err(VerifyError::WrongHome("store2.example.test".to_owned()))
    );
    let late = both.token("store1.example.test");
    both.clock.advance(Duration::from_secs(59));
    let in_time = both.token("store1.example.test");
    assert_eq!(
        both.verifier.verify(in_time.expose(), Protocol::Imap),
        Ok(Verdict::Vouched(alice()))
    );
    both.clock.advance(Duration::from_secs(1));
    assert_eq!(
        both.verifier.verify(late.expose(), Protocol::Imap),
        Err(VerifyError::NotNow)
    );
    // A used token is remembered as long as it could be used.
    for _ in 0..58 {
        both.clock.advance(Duration::from_secs(1));
        assert_eq!(
            both.verifier.verify(in_time.expose(), Protocol::Imap),
            Err(VerifyError::Replayed)
        );
    }
    both.clock.advance(Duration::from_secs(1));
    assert_eq!(
        both.verifier.verify(in_time.expose(), Protocol::Imap),
        Err(VerifyError::NotNow)
    );
}

#[test]
fn a_restart_makes_no_token_good_again() {
    let mut both = both();
    let token = both.token("store1.example.test");
    assert!(both.verifier.verify(token.expose(), Protocol::Imap).is_ok());
    both.clock.advance(Duration::from_secs(2));
    let trusted = TrustedFrontEndConfig {
        name: "front.example.test".to_owned(),
        keys: both.dir.path().join("front.jwks"),
    };
    both.verifier = Verifier::new("store1.example.test", &[trusted], both.clock.clone());
    let refused = both.verifier.verify(token.expose(), Protocol::Imap);
    assert_eq!(refused, Err(VerifyError::BeforeStart));
    let fresh = both.token("store1.example.test");
    assert!(both.verifier.verify(fresh.expose(), Protocol::Imap).is_ok());
}

/// Whoever is shown one, a web application say, reads no mail with it.
#[test]
fn a_token_is_for_one_protocol() {
    let both = both();
    let token = both.token("store1.example.test");
    for other in [Protocol::Http, Protocol::Pop3, Protocol::Submission] {
        assert_eq!(
            both.verifier.verify(token.expose(), other),
            Err(VerifyError::WrongService("imap".to_owned()))
        );
    }
    assert!(both.verifier.verify(token.expose(), Protocol::Imap).is_ok());
}

#[test]
fn what_is_not_an_assertion_is_left_to_others() {
    let both = both();
    let long = vec![b'a'; 10_000];
    for token in [&b""[..], b"ya29.token", b"a.b.c", &long] {
        assert_eq!(both.verifier.verify(token, Protocol::Imap), Ok(Verdict::NotOurs));
    }
}

#[test]
fn a_forged_token_is_worth_nothing() {
    let both = both();
    let token = both.token("store1.example.test");
    let text = String::from_utf8(token.expose().to_vec()).expect("text");
    let parts: Vec<&str> = text.split('.').collect();
    let stolen = both.token("store2.example.test");
    let stolen = String::from_utf8(stolen.expose().to_vec()).expect("text");
    let other: Vec<&str> = stolen.split('.').collect();
    for forged in [
        format!("{}.{}.{}", parts[0], parts[1], other[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], &parts[1][..parts[1].len() - 4], parts[2]),
    ] {
        assert_eq!(
            both.verifier.verify(forged.as_bytes(), Protocol::Imap),
            Err(VerifyError::Invalid)
        );
    }
    // The front end may not sign with another algorithm, and not under another name.
    let none = r#"{"typ":"JWT","cty":"homing-login","alg":"none","kid":"x"}"#;
    let none = wire::sasl::encode_base64(none.as_bytes());
    let forged = format!("{}.{}.", none.trim_end_matches('='), parts[1]);
    assert!(matches!(
        both.verifier.verify(forged.as_bytes(), Protocol::Imap),
        Ok(Verdict::NotOurs) | Err(_)
    ));
    let impostor = Minter::new(both.ring.clone(), "other.example.test", both.clock.clone());
    let token = impostor
        .mint(&alice(), "store1.example.test", Protocol::Imap, &peer(), "s")
        .expect("a key");
    assert_eq!(
        both.verifier.verify(token.expose(), Protocol::Imap),
        Err(VerifyError::UnknownFrontEnd("other.example.test".to_owned()))
    );
}

#[test]
fn keys_rotate_and_are_struck_off() {
    let both = both();
    let first = both.ring.list().expect("a list")[0].kid.clone();
    assert!(matches!(both.ring.rotate(), Err(KeyError::NothingNewer)));
    let second = both
        .ring
        .generate(Timestamp::from_millis((NOW + 9) * 1000))
        .expect("a key");
    assert_eq!(second.state, KeyState::Next);
    let token = both.token("store1.example.test");
    assert_eq!(
        both.verifier.verify(token.expose(), Protocol::Imap),
        Ok(Verdict::Vouched(alice())),
        "the first one signs"
    );
    both.ring.rotate().expect("something newer");
    both.clock.advance(Duration::from_secs(5));
    let token = both.token("store1.example.test");
    let unknown = VerifyError::UnknownKey {
        front_end: "front.example.test".to_owned(),
        kid: second.kid.clone(),
    };
    assert_eq!(
        both.verifier.verify(token.expose(), Protocol::Imap),
        Err(unknown),
        "the homes were not told"
    );
    publish(&both.ring, &both.dir.path().join("front.jwks"));
    both.clock.advance(Duration::from_secs(5));
    assert_eq!(
        both.verifier.verify(token.expose(), Protocol::Imap),
        Ok(Verdict::Vouched(alice()))
    );
    let states: Vec<KeyState> = both
        .ring
        .list()
        .expect("a list")
        .iter()
        .map(|key| key.state)
        .collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Active]);
    both.ring
        .generate(Timestamp::from_millis((NOW + 99) * 1000))
        .expect("a key");
    both.ring.rotate().expect("something newer");
    let left: Vec<String> = both
        .ring
        .list()
        .expect("a list")
        .into_iter()
        .map(|key| key.kid)
        .collect();
    assert!(left.len() == 2 && !left.contains(&first), "{left:?}");
}

#[test]
fn private_keys_are_for_nobody_else() {
    let both = both();
    for entry in std::fs::read_dir(both.dir.path().join("keys")).expect("a folder") {
        let mode = entry
            .expect("an entry")
            .metadata()
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let keys = both.ring.public_keys().expect("keys");
    let tree = dovecot_tree("front.example.test", &keys);
    assert_eq!(
        tree[0].0,
        Path::new("front.example.test/ES256").join(&keys[0].kid)
    );
    assert!(tree[0].1.starts_with("-----BEGIN PUBLIC KEY-----"));
    // The same files serve a Homing home.
    let folder = both.dir.path().join("tree");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join(&keys[0].kid), &tree[0].1).expect("write");
    let trusted = TrustedFrontEndConfig {
        name: "front.example.test".to_owned(),
        keys: folder,
    };
    let verifier = Verifier::new("store1.example.test", &[trusted], both.clock.clone());
    let token = both.token("store1.example.test");
    assert_eq!(
        verifier.verify(token.expose(), Protocol::Imap),
        Ok(Verdict::Vouched(alice()))
    );
}

#[test]
fn a_section_without_keys_is_a_problem() {
    let config = TrustedFrontEndConfig {
        name: "not a name".to_owned(),
        keys: "/nonexistent".into(),
    };
    let keys: Vec<String> = config.check().into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["name", "keys"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No change of a token, and no other text, is believed or panics.
    #[test]
    fn no_other_token_is_believed(at in 0usize..400, bit in 0u8..8, noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let both = both();
        let mut token = both.token("store1.example.test").expose().to_vec();
        let at = at % token.len();
        token[at] ^= 1 << bit;
        prop_assert!(!matches!(both.verifier.verify(&token, Protocol::Imap), Ok(Verdict::Vouched(_))));
        prop_assert!(!matches!(both.verifier.verify(&noise, Protocol::Imap), Ok(Verdict::Vouched(_))));
    }
}
