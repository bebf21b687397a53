//! Homes of scripts and of submission that fail before the session is relayed: "try later", and no password in the clear.

use crate::support::{Client, Do, Front, Home, OnePassword, context_with, front};
use Do::{Echo, Hang, Hear, Say};
use frontend::{ManageSieveProxyConfig, SubmissionProxyConfig, managesieve, submission};
use model::Protocol;
use serde_json::json;
use std::sync::Arc;

const PROOF: &str = "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=";

/// How a home fails, the TLS that it is to be spoken to with, and what it does.
type Row = (&'static str, &'static str, &'static [Do]);

const SIEVE: &str = "\"SASL\" \"PLAIN\"\r\n\"STARTTLS\"\r\nOK\r\n";

const SIEVE_ROWS: &[Row] = &[
    ("hangs before its greeting", "none", &[Hang]),
    ("hangs in its greeting", "none", &[Say("\"SASL\" \"PLA"), Hang]),
    ("dies in a literal", "none", &[Say("\"SASL\" {100}\r\nhalf of")]),
    (
        "hangs after its greeting",
        "none",
        &[Say("\"SASL\" \"PLAIN\"\r\nOK\r\n"), Hear("AUTHENTICATE"), Hang],
    ),
    (
        "hangs up at STARTTLS",
        "starttls",
        &[Say(SIEVE), Hear("STARTTLS")],
    ),
    (
        "refuses STARTTLS",
        "starttls",
        &[Say(SIEVE), Hear("STARTTLS"), Say("NO \"not today\"\r\n"), Hang],
    ),
    (
        "agrees to STARTTLS and hangs up",
        "starttls",
        &[Say(SIEVE), Hear("STARTTLS"), Say("OK\r\n")],
    ),
    (
        "agrees to STARTTLS and goes on in the clear",
        "starttls",
        &[
            Say(SIEVE),
            Hear("STARTTLS"),
            Say("OK\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n"),
            Echo("OK "),
        ],
    ),
    (
        "agrees to STARTTLS and hangs",
        "starttls",
        &[Say(SIEVE), Hear("STARTTLS"), Say("OK\r\n"), Hang],
    ),
];

const HELLO: &str = "250-home\r\n250-STARTTLS\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n\
                     250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN\r\n";

const SUBMISSION_ROWS: &[Row] = &[
    ("hangs before its greeting", "none", &[Hang]),
    ("hangs in its greeting", "none", &[Say("220 ho"), Hang]),
    (
        "hangs after its greeting",
        "none",
        &[Say("220 home\r\n"), Hear("EHLO"), Hang],
    ),
    (
        "dies in its reply",
        "none",
        &[Say("220 home\r\n"), Hear("EHLO"), Say("250-home\r\n250-PIPE")],
    ),
    (
        "hangs up at STARTTLS",
        "starttls",
        &[Say("220 home\r\n"), Hear("EHLO"), Say(HELLO), Hear("STARTTLS")],
    ),
    (
        "refuses STARTTLS",
        "starttls",
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("STARTTLS"),
            Say("454 4.7.0 not today\r\n"),
            Hang,
        ],
    ),
    (
        "agrees to STARTTLS and hangs up",
        "starttls",
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("STARTTLS"),
            Say("220 2.0.0 go\r\n"),
        ],
    ),
    (
        "agrees to STARTTLS and goes on in the clear",
        "starttls",
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("STARTTLS"),
            Say("220 2.0.0 go\r\n250 AUTH PLAIN\r\n"),
            Echo("250 "),
        ],
    ),
    (
        "agrees to STARTTLS and hangs",
        "starttls",
        &[
            Say("220 home\r\n"),
            Hear("EHLO"),
            Say(HELLO),
            Hear("STARTTLS"),
            Say("220 2.0.0 go\r\n"),
            Hang,
        ],
    ),
];

/// A front end before this home.
async fn before(home: &Home, protocol: Protocol, tls: &str) -> Front {
    let (_, port) = home.name.rsplit_once(':').expect("host and port");
    let port: u16 = port.parse().expect("a port");
    let service = json!({ "port": port, "tls": tls });
    let settings = json!({
        "name": "store", "host": "127.0.0.1", "connect_timeout": 1,
        "managesieve": service, "submission": service,
    });
    let context = context_with(&[("alice@example.test", "store")], &[settings]);
    let source = Some(Arc::new(OnePassword) as Arc<dyn model::Authenticator>);
    if protocol == Protocol::Submission {
        let config = SubmissionProxyConfig {
            home_timeout: 1,
            ..SubmissionProxyConfig::default()
        };
        let proxy = Arc::new(submission::SubmissionProxy::new(&config, context, source));
        return front(
            protocol,
            |_| {},
            move |accepted| submission::serve(accepted, proxy.clone()),
        )
        .await;
    }
    let config = ManageSieveProxyConfig {
        home_timeout: 1,
        ..ManageSieveProxyConfig::default()
    };
    let proxy = Arc::new(managesieve::ManageSieveProxy::new(&config, context, source));
    front(
        protocol,
        |_| {},
        move |accepted| managesieve::serve(accepted, proxy.clone()),
    )
    .await
}

/// Logs in with the right password; the reply.
async fn log_in(client: &mut Client, protocol: Protocol) -> String {
    if protocol == Protocol::Submission {
        client.line().await;
        client.until("EHLO client.test", "250 ").await;
        return client.ask(&format!("AUTH PLAIN {PROOF}")).await;
    }
    while !client.line().await.starts_with("OK") {}
    client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{PROOF}\"")).await
}

#[tokio::test]
async fn a_home_of_scripts_or_submission_that_fails_is_try_later() {
    for (protocol, rows, later) in [
        (Protocol::ManageSieve, SIEVE_ROWS, "NO (TRYLATER)"),
        (Protocol::Submission, SUBMISSION_ROWS, "454 4.7.0 "),
    ] {
        for (what, tls, script) in rows {
            let home = Home::start(&[*script]).await;
            let front = before(&home, protocol, tls).await;
            let mut client = Client::connect(front.address).await;
            let reply = log_in(&mut client, protocol).await;
            assert!(reply.starts_with(later), "{protocol}: {what}: {reply}");
            // The home was asked, and nothing that shows the password went out in the clear.
            let told = home.heard();
            assert!(
                *tls == "none" || told.iter().any(|line| line == "STARTTLS"),
                "{protocol}: {what}: {told:?}"
            );
            assert!(
                *tls == "none" || !told.iter().any(|line| line.contains("AGFsaWNl")),
                "{protocol}: {what}: {told:?}"
            );
        }
    }
}
