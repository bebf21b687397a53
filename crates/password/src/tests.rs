//! Values made by the tools that administrators use, all of the password `correct horse`.

use super::*;
use model::Secret;
use proptest::prelude::*;
use std::num::NonZeroUsize;

const PASSWORD: &str = "correct horse";

/// How each was made:
/// `slappasswd -h {SSHA} -s 'correct horse'` and likewise for the built-in schemes;
/// `slappasswd -o module-path=/usr/lib/ldap -o module-load=pw-sha2 -h {SSHA256} ...`;
/// `... -o module-load=pw-pbkdf2 -h {PBKDF2-SHA256} ...`;
/// `... -o module-load=argon2 -h {ARGON2} ...`, once with `argon2 m=64 t=2 p=1`;
/// `slappasswd -h {CRYPT} -c '$6$%.16s' ...`;
/// the other `{CRYPT}` ones by libxcrypt: `perl -e 'print crypt("correct horse", $ARGV[0])' -- SETTING`.
const FIXTURES: &[(Scheme, &str)] = &[
    (Scheme::ClearText, "correct horse"),
    (Scheme::ClearText, "{CLEARTEXT}correct horse"),
    (Scheme::SaltedSha1, "{SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS"),
    (Scheme::SaltedSha1, "{ssha}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS"),
    (Scheme::Sha1, "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="),
    (Scheme::Sha1, "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A"),
    (Scheme::SaltedMd5, "{SMD5}vBbnfDe6XKFassOcJpt9zdCdFaI="),
    (Scheme::Md5, "{MD5}PLTnMmMfR+brlh80VUt83g=="),
    (
        Scheme::SaltedSha2,
        "{SSHA256}i0Gph4mTGKCEX9RVMPAmpm2xl8hN73Ud2kSTwQcxcRcKooJIYKihWw==",
    ),
    (
        Scheme::SaltedSha2,
        "{SSHA384}7FCXvscfUinuYTJPWSdAdSzxWzS7v1XK6+7ULC/485VB2mUjymoLCU5fboZtM6jxCGLjh/kNdws=",
    ),
    (
        Scheme::SaltedSha2,
        "{SSHA512}KvTtJ7Tm/FEia4VISblxz8paBLIxmIF0v9CO4i606OO54aNET7/kfX+Ozv2T4nw9VSo1byO91bgzhjXGEjCEhxJFJY2vpmnr",
    ),
    (
        Scheme::Sha2,
        "{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=",
    ),
    (
        Scheme::Sha2,
        "{SHA384}ArIKby67E2Cppg9M+QhXNj7UGcAisSFWfOX5HG45Zk+3j9YCNMSli1v8cUWumDKS",
    ),
    (
        Scheme::Sha2,
        "{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6aldZoNHvKtxSQhayTyyeZUZew==",
    ),
    (
        Scheme::Pbkdf2,
        "{PBKDF2}10000$EAYSxQc.uVjuO1BSlfVJMg$Z1NtP8qF5zp0w8KUc.8OX6e3fqI",
    ),
    (
        Scheme::Pbkdf2,
        "{PBKDF2-SHA1}10000$T3RseeBPlejmW7O32NpNfg$4HLyCiJItnjaYf7SJuQ1wM4yiqk",
    ),
    (
        Scheme::Pbkdf2,
        "{PBKDF2-SHA256}10000$5e.nqRB.cP3JHFN7T23K6Q$BMxvyIS8QQvPI2vvyQTjLiO2MqJI8dcvUE.qRfeT158",
    ),
    (
        Scheme::Pbkdf2,
        "{PBKDF2-SHA512}10000$oWGslPUx5lRBo/wQm/qP9g$geiVOtqvBofhKgmPLqdVMOQqD0t44hObtz3kyvvJsQ2KSiRW.2E1od2y4P3Ygbz2Q2Hc5CFqXQ9dtnsAOXTYOQ",
    ),
    (
        Scheme::Argon2,
        "{ARGON2}$argon2i$v=19$m=4096,t=3,p=1$oGeCvNnEUDO7gbioPo4cOg$nEbxOHZsy6EFyxq0LFlreTk40zZEYG57Gg2Xa9FvbPA",
    ),
    (
        Scheme::Argon2,
        "{ARGON2}$argon2i$v=19$m=64,t=2,p=1$nVzI7zoa6Lw72Tig58zpkw$hAMGGwPiMrQtFPBvpoq/9ymViIjJcSc+wRyUd2uNdsc",
    ),
    (
        Scheme::ShaCrypt,
        "{CRYPT}$6$EkjBEjr6bpycZm8M$32xWVE1bcJAJK/KwofbigYrkqtu0WfDu1072Jktw9f8Ew31TX6CkSOi4dUd40wc3w69XFIhlOvwprsFqBRzVD1",
    ),
    (
        Scheme::ShaCrypt,
        "{CRYPT}$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC",
    ),
    (
        Scheme::ShaCrypt,
        "{CRYPT}$5$rounds=2000$saltsalt$GA8aLngjETlVZmXlPXsJ5S5zl3c3.lqfpR0aR401in9",
    ),
    (
        Scheme::ShaCrypt,
        "{CRYPT}$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
    ),
    (
        Scheme::ShaCrypt,
        "{CRYPT}$6$rounds=1400$saltsaltsaltsalt$9v0nQ2MMtfdUGNXH.caGIO7RvH0OELnB.7xHgcEO2gN784/a1egexjiAa6oQCjmCAINqzhi99qNNB2iUdvYDL.",
    ),
    (Scheme::DesCrypt, "{CRYPT}_J9..rasmDiLRGIlI80c"),
    (Scheme::DesCrypt, "{CRYPT}_K1..z9zzEx7nl6Yuz02"),
    (Scheme::DesCrypt, "{CRYPT}_/...abcdljU8ze5rzsY"),
    (Scheme::DesCrypt, "{CRYPT}_J9...kx3cW.Uc4c5WqA"),
    (Scheme::Md5Crypt, "{CRYPT}$1$saltsalt$NuzA7WTAelpl95xgBGWN60"),
    (
        Scheme::Bcrypt,
        "{CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.WrAwgFxicHZ3kL7zMvXYXHKosDn8ot2",
    ),
    (
        Scheme::Bcrypt,
        "{CRYPT}$2b$05$CCCCCCCCCCCCCCCCCCCCC.WrAwgFxicHZ3kL7zMvXYXHKosDn8ot2",
    ),
    (
        Scheme::Bcrypt,
        "{CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.WrAwgFxicHZ3kL7zMvXYXHKosDn8ot2",
    ),
    (
        Scheme::Yescrypt,
        "{CRYPT}$y$j75$saltsaltsaltsalt$IdM6tV9hsIYZkwcNItyWCsVO1t/QVCQfi.yVSuLjuZ5",
    ),
    (
        Scheme::Yescrypt,
        "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79",
    ),
];

#[test]
fn values_of_real_tools() {
    for (scheme, value) in FIXTURES {
        let stored = StoredPassword::parse(value.as_bytes(), Encoding::Plain).expect(value);
        assert_eq!(stored.scheme(), *scheme, "{value}");
        assert!(stored.verify(PASSWORD.as_bytes()), "{value}");
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!stored.verify(wrong.as_bytes()), "{value} takes {wrong:?}");
        }
    }
}

#[test]
fn traditional_des_looks_at_eight_characters() {
    // perl -e 'print crypt("correct horse", $ARGV[0])' -- SALT; the last by slappasswd -h {CRYPT} -c '%.2s'.
    for value in [
        "abhfCpXqd4GrI",
        "..t7aSMt4wgh6",
        "zZbwUvsNVJ9FY",
        "9/gjAniXWia0E",
        "BCR26hk1C0e8.",
    ] {
        let stored =
            StoredPassword::parse(format!("{{CRYPT}}{value}").as_bytes(), Encoding::Plain).expect(value);
        assert_eq!(stored.scheme(), Scheme::DesCrypt);
        assert!(stored.scheme().is_weak());
        for (password, right) in [
            (PASSWORD, true),
            ("correct ", true),
            ("correct", false),
            ("", false),
        ] {
            assert_eq!(stored.verify(password.as_bytes()), right, "{value} {password:?}");
        }
    }
    let short = StoredPassword::parse(b"{CRYPT}ab8Smhzf5D4wA", Encoding::Plain).expect("a value");
    assert!(short.verify(b"p") && !short.verify(b"pp"));
}

#[test]
fn a_locked_value_matches_nothing() {
    for value in [
        "{CRYPT}!",
        "{CRYPT}*",
        "{CRYPT}!!",
        "{CRYPT}*LK*",
        "{CRYPT}x",
        "{CRYPT}!$6$salt$hash",
        "{CRYPT}*0",
    ] {
        for password in ["", "!", "*", "x", PASSWORD, value] {
            let verdict = verify_any(&[value], Encoding::Plain, &Secret::from(password));
            assert_eq!(verdict, Verdict::Mismatch(vec![]), "{value} {password:?}");
        }
    }
}

#[test]
fn what_we_write_for_a_directory() {
    let hash = hash_sha512_crypt(&Secret::from(PASSWORD)).expect("a hash");
    assert!(hash.starts_with("{CRYPT}$6$rounds=50000$"), "{hash}");
    let check = |password: &str| verify_any(&[&hash], Encoding::Plain, &Secret::from(password));
    assert_eq!(check(PASSWORD), Verdict::Match(Scheme::ShaCrypt));
    assert_eq!(check("other"), Verdict::Mismatch(vec![]));
    assert_eq!(hash_sha512_crypt(&Secret::default()), Err(HashError::Empty));
}

#[test]
fn a_changed_octet_is_another_password() {
    for (_, value) in FIXTURES.iter().filter(|(scheme, _)| !scheme.is_costly()) {
        let mut bytes = value.as_bytes().to_vec();
        let at = bytes.len() - 5;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        if let Ok(stored) = StoredPassword::parse(&bytes, Encoding::Plain) {
            assert!(!stored.verify(PASSWORD.as_bytes()), "{value}");
        }
    }
}

#[test]
fn base64_values() {
    // printf 'correct horse' | base64; printf '{SSHA}...' | base64
    for value in [
        "Y29ycmVjdCBob3JzZQ==",
        "Y29ycmVjdCBob3JzZQ",
        "e1NTSEF9OG9FT3pDNWxxaWtXVXdkOERFZS83eTJSNUY4Y1V3ZFM=",
        "{SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS",
    ] {
        let verdict = verify_any(&[value], Encoding::Base64, &Secret::from(PASSWORD));
        assert!(matches!(verdict, Verdict::Match(_)), "{value}: {verdict:?}");
    }
    assert_eq!(
        StoredPassword::parse(b"not base64!", Encoding::Base64).err(),
        Some(SchemeError::Malformed("base64"))
    );
}

#[test]
fn what_cannot_be_checked_is_reported() {
    let table: &[(&str, SchemeError)] = &[
        ("", SchemeError::Empty),
        ("{CLEARTEXT}", SchemeError::Empty),
        ("{ROT13}abc", SchemeError::UnknownScheme("ROT13".into())),
        ("{SASL}user@REALM", SchemeError::BindInstead),
        ("{SHA}abc", SchemeError::Malformed("digest")),
        (
            "{SSHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
            SchemeError::Malformed("salted digest"),
        ),
        ("{CRYPT}abhfCpXqd4Gr", SchemeError::Malformed("{CRYPT} DES")),
        ("{CRYPT}abhfCpXqd4Gr:", SchemeError::Malformed("{CRYPT} DES")),
        (
            "{CRYPT}_J9..rasmDiLRGIlI80",
            SchemeError::Malformed("{CRYPT} DES"),
        ),
        (
            "{CRYPT}_....rasmDiLRGIlI80c",
            SchemeError::Malformed("{CRYPT} DES"),
        ),
        (
            "{CRYPT}_zzzz....lkGc28EBP6U",
            SchemeError::TooCostly("{CRYPT} DES"),
        ),
        ("{CRYPT}", SchemeError::Malformed("{CRYPT}")),
        (
            "{CRYPT}$gy$j75$saltsalt$Xm9A06cSx8F8nMilXIOZasjGmTGYYPpDSSFrTJ5xad2",
            SchemeError::UnknownMethod("$gy$".into()),
        ),
        ("{CRYPT}$6$salt$short", SchemeError::Malformed("{CRYPT} $5$/$6$")),
        (
            "{CRYPT}$5$rounds=999999999$saltsalt$GA8aLngjETlVZmXlPXsJ5S5zl3c3.lqfpR0aR401in9",
            SchemeError::TooCostly("{CRYPT} $5$/$6$"),
        ),
        (
            "{CRYPT}$2b$31$CCCCCCCCCCCCCCCCCCCCC.WrAwgFxicHZ3kL7zMvXYXHKosDn8ot2",
            SchemeError::TooCostly("{CRYPT} $2$"),
        ),
        (
            "{PBKDF2}99999999$AAAA$Z1NtP8qF5zp0w8KUc.8OX6e3fqI",
            SchemeError::TooCostly("{PBKDF2}"),
        ),
        (
            "{PBKDF2}0$AAAA$Z1NtP8qF5zp0w8KUc.8OX6e3fqI",
            SchemeError::Malformed("{PBKDF2}"),
        ),
        (
            "{ARGON2}$argon2id$v=19$m=4000000,t=3,p=1$oGeCvNnEUDO7gbioPo4cOg$nEbxOHZsy6EFyxq0LFlreTk40zZEYG57Gg2Xa9FvbPA",
            SchemeError::TooCostly("{ARGON2}"),
        ),
        ("{ARGON2}$argon2id$", SchemeError::Malformed("{ARGON2}")),
    ];
    for (value, error) in table {
        let parsed = StoredPassword::parse(value.as_bytes(), Encoding::Plain);
        assert_eq!(parsed.err().as_ref(), Some(error), "{value}");
    }
    let long = vec![b'a'; 5000];
    assert_eq!(
        StoredPassword::parse(&long, Encoding::Plain).err(),
        Some(SchemeError::TooLong)
    );
    // Braces that hold no scheme name are part of a clear text.
    assert_eq!(
        verify_any(&["{ }x"], Encoding::Plain, &Secret::from("{ }x")),
        Verdict::Match(Scheme::ClearText)
    );
}

#[test]
fn any_of_several_values() {
    let values = ["{ROT13}x", "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", "another"];
    let check = |password: &str| verify_any(&values, Encoding::Plain, &Secret::from(password));
    assert_eq!(check(PASSWORD), Verdict::Match(Scheme::Sha1));
    assert_eq!(check("another"), Verdict::Match(Scheme::ClearText));
    let errors = vec![SchemeError::UnknownScheme("ROT13".into())];
    assert_eq!(check("neither"), Verdict::Mismatch(errors.clone()));
    assert_eq!(check(""), Verdict::Mismatch(errors.clone()));
    assert_eq!(check("another\0"), Verdict::Mismatch(errors.clone()));
    assert_eq!(check(&"x".repeat(2000)), Verdict::Mismatch(errors.clone()));
    assert_eq!(
        verify_any(&values[..1], Encoding::Plain, &Secret::from("x")),
        Verdict::Unusable(errors)
    );
}

/// slapd 2.5.13 stores what its argon2 module has made with the end of the C string and what stood behind it.
#[test]
fn what_stands_behind_the_end_of_an_argon_hash_says_nothing() {
    let (_, hash) = FIXTURES
        .iter()
        .find(|(scheme, _)| *scheme == Scheme::Argon2)
        .expect("one");
    let verdict = |tail: &[u8], password: &str| {
        let value = [hash.as_bytes(), tail].concat();
        verify_any(&[value], Encoding::Plain, &Secret::from(password))
    };
    for tail in [&b"\0"[..], b"\0\xd0", b"\0$argon2id$"] {
        assert_eq!(verdict(tail, PASSWORD), Verdict::Match(Scheme::Argon2));
        assert_eq!(verdict(tail, "another"), Verdict::Mismatch(Vec::new()));
    }
    assert!(matches!(verdict(b"\xd0", PASSWORD), Verdict::Unusable(_)));
}

#[test]
fn our_own_hash() {
    let hash = hash_argon2id(&Secret::from(PASSWORD), ArgonCost::LIGHT).expect("hash");
    assert!(hash.starts_with("{ARGON2}$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
    let check = |hash: &String, password: &str| verify_any(&[hash], Encoding::Plain, &Secret::from(password));
    assert_eq!(check(&hash, PASSWORD), Verdict::Match(Scheme::Argon2));
    assert_eq!(check(&hash, "other"), Verdict::Mismatch(vec![]));
    let again = hash_argon2id(&Secret::from(PASSWORD), ArgonCost::LIGHT).expect("hash");
    assert_ne!(hash, again, "every hash has its own salt");
    // RFC 4013: the composed and the decomposed form are one password.
    let composed = hash_argon2id(&Secret::from("f\u{fc}r"), ArgonCost::LIGHT).expect("hash");
    assert_eq!(check(&composed, "fu\u{308}r"), Verdict::Match(Scheme::Argon2));
    assert_eq!(
        hash_argon2id(&Secret::default(), ArgonCost::LIGHT),
        Err(HashError::Empty)
    );
    let huge = ArgonCost {
        memory_kib: u32::MAX,
        ..ArgonCost::DEFAULT
    };
    assert_eq!(hash_argon2id(&Secret::from("x"), huge), Err(HashError::Cost));
}

#[tokio::test]
async fn a_full_pool_says_try_later() {
    let pool = VerifyPool::new(NonZeroUsize::MIN, 1);
    let value = hash_argon2id(&Secret::from(PASSWORD), ArgonCost::DEFAULT).expect("hash");
    let values = [value];
    let password = Secret::from(PASSWORD);
    let check = || pool.verify(&values, Encoding::Plain, &password);
    // All three are polled once before any can end: the third finds no place.
    let results = tokio::join!(biased; check(), check(), check());
    assert_eq!(results.2, Err(Busy));
    assert_eq!(results.0, Ok(Verdict::Match(Scheme::Argon2)));
    assert_eq!(results.1, Ok(Verdict::Match(Scheme::Argon2)));
    // The places are free again, and a cheap scheme never needs one.
    assert_eq!(check().await, Ok(Verdict::Match(Scheme::Argon2)));
    let hash = pool.hash(&password, ArgonCost::LIGHT).await.expect("hash");
    assert!(hash.starts_with("{ARGON2}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn parsing_never_panics(
        scheme in "(\\{(MD5|SSHA|CRYPT|PBKDF2|ARGON2|SHA512)\\})?",
        rest in "(\\$(1|5|6|2b|y|argon2i)\\$)?[ -~]{0,80}",
    ) {
        let value = format!("{scheme}{rest}");
        for encoding in [Encoding::Plain, Encoding::Base64] {
            if let Ok(stored) = StoredPassword::parse(value.as_bytes(), encoding)
                && !stored.scheme().is_costly()
            {
                let _ = stored.verify(b"x");
            }
        }
    }
}
