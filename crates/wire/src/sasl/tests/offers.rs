//! What is announced on which terms.

use super::*;
use model::MechanismSet;

fn names(terms: Terms) -> String {
    let names: Vec<&str> = terms.offered().iter().map(|mechanism| mechanism.name()).collect();
    names.join(" ")
}

#[test]
fn by_tls_and_by_what_can_be_checked() {
    let everything = [
        MechanismSet::PASSWORD,
        MechanismSet::SCRAM_SHA_1,
        MechanismSet::SCRAM_SHA_256,
        MechanismSet::CRAM_MD5,
        MechanismSet::BEARER,
        MechanismSet::CERTIFICATE,
    ]
    .into_iter()
    .fold(MechanismSet::NONE, MechanismSet::union);
    let clear = Terms {
        can: everything,
        may_show_secrets: false,
        may_challenge: false,
        bindings: false,
        certificate: false,
    };
    let challenge = Terms {
        may_challenge: true,
        ..clear
    };
    let tls = Terms {
        may_show_secrets: true,
        bindings: true,
        ..challenge
    };
    let passwords = |terms: Terms| Terms {
        can: MechanismSet::PASSWORD,
        ..terms
    };
    for (terms, expected) in [
        (clear, ""),
        (challenge, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5"),
        (
            tls,
            "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 OAUTHBEARER XOAUTH2 PLAIN LOGIN CRAM-MD5",
        ),
        (passwords(tls), "PLAIN LOGIN"),
        (passwords(challenge), ""),
        (
            Terms {
                can: MechanismSet::PASSWORD.union(MechanismSet::CERTIFICATE),
                certificate: true,
                ..tls
            },
            "PLAIN LOGIN EXTERNAL",
        ),
    ] {
        assert_eq!(names(terms), expected);
        assert_eq!(terms.plus(), expected.contains("-PLUS"));
        assert_eq!(terms.allow_password(), expected.contains("PLAIN"));
    }
}
