//! OAUTHBEARER and XOAUTH2.

use super::*;

fn token_of(step: Step) -> Result<(String, Vec<u8>), SaslError> {
    match step {
        Step::Done(Login {
            login,
            credential: Credential::Bearer(token),
            ..
        }) => Ok((login, token.expose().to_vec())),
        Step::Failed(error) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn read(mechanism: Mechanism, message: &str) -> Result<(String, Vec<u8>), SaslError> {
    let (_, step) = start(mechanism, Some(encode_base64(message.as_bytes()).as_bytes()));
    token_of(step)
}

// RFC 7628 section 4.1, and the example of XOAUTH2.
#[test]
fn the_examples() {
    let oauth = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
    assert_eq!(
        read(Mechanism::OauthBearer, oauth),
        Ok((
            "user@example.com".to_owned(),
            b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==".to_vec()
        ))
    );
    let google =
        "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01";
    assert_eq!(
        read(Mechanism::Xoauth2, google),
        Ok((
            "someuser@example.com".to_owned(),
            b"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg".to_vec()
        ))
    );
}

#[test]
fn what_may_be_missing_and_what_not() {
    for (message, expected) in [
        ("n,,\x01auth=bearer abc\x01\x01", Ok(("", "abc"))),
        ("y,a=b=3Dc,\x01auth=Bearer  abc \x01\x01", Ok(("b=c", "abc"))),
        // RFC 7628 section 4.3: no token is asking for one.
        ("n,a=u,\x01auth=\x01\x01", Err(SaslError::Malformed)),
        ("n,a=u,\x01\x01", Ok(("u", ""))),
        ("n,a=u,\x01auth=Bearer\x01\x01", Ok(("u", ""))),
        ("n,a=u,\x01auth=Basic abc\x01\x01", Err(SaslError::Malformed)),
        (
            "n,a=u,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            Err(SaslError::Malformed),
        ),
        ("n,a=u,\x01auth=Bearer a\"b\x01\x01", Err(SaslError::Malformed)),
        ("n,a=u,\x01auth=Bearer abc", Err(SaslError::Malformed)),
        (
            "p=tls-exporter,a=u,\x01auth=Bearer abc\x01\x01",
            Err(SaslError::Malformed),
        ),
        ("n,u,\x01auth=Bearer abc\x01\x01", Err(SaslError::Malformed)),
        ("n,a=u\x01auth=Bearer abc\x01\x01", Err(SaslError::Malformed)),
        (
            "n,a=u,\x011=x\x01auth=Bearer abc\x01\x01",
            Err(SaslError::Malformed),
        ),
        ("", Err(SaslError::Malformed)),
    ] {
        let expected = expected.map(|(login, token)| (login.to_owned(), token.as_bytes().to_vec()));
        assert_eq!(read(Mechanism::OauthBearer, message), expected, "{message:?}");
    }
    let long = format!("n,,\x01auth=Bearer {}\x01\x01", "a".repeat(MAX_TOKEN + 1));
    assert_eq!(read(Mechanism::OauthBearer, &long), Err(SaslError::Malformed));
    assert!(read(Mechanism::Xoauth2, "user=\x01auth=Bearer abc\x01\x01").is_err());
}

// RFC 7628 section 3.2.3: status, dummy, failure.
#[test]
fn a_bad_token_is_told_in_the_exchange() {
    for mechanism in [Mechanism::OauthBearer, Mechanism::Xoauth2] {
        for (verdict, told) in [
            (Verdict::Good, false),
            (Verdict::Bad, true),
            (Verdict::Later, false),
        ] {
            let mut client = client(mechanism, "alice", None, "token");
            let first = client.initial().expect("a first message");
            let mut context = context(mechanism);
            context.openid_configuration = Some("https://id.example.test/\"x".to_owned());
            let (mut server, step) = ServerExchange::start(mechanism, Some(first.expose()), context);
            assert!(matches!(step, Step::Done(_)), "{step:?}");
            match server.conclude(verdict) {
                Conclusion::Reply => assert!(!told, "{mechanism:?} {verdict:?}"),
                Conclusion::Challenge(text) => {
                    assert!(told);
                    let json = decode_base64(text.as_bytes()).expect("base64");
                    assert_eq!(
                        std::str::from_utf8(json.expose()).expect("UTF-8"),
                        "{\"status\":\"invalid_token\",\"schemes\":\"bearer\",\"openid-configuration\":\"https://id.example.test/x\"}"
                    );
                    let dummy = client.respond(text.as_bytes()).expect("a dummy");
                    let expected: &[u8] = match mechanism {
                        Mechanism::OauthBearer => b"AQ==",
                        _ => b"",
                    };
                    assert_eq!(dummy.expose(), expected);
                    assert!(matches!(server.respond(dummy.expose()), Step::Acknowledged));
                }
            }
        }
    }
}
