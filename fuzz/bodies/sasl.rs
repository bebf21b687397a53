//! Any bytes as the other side's lines of a SASL exchange.

use model::{ClientCertificate, ScramKeys, Secret};
use std::sync::Arc;
use wire::sasl::{
    ChannelBindings, ClientExchange, Conclusion, Mechanism, NONCE, SaslError, ServerContext, ServerExchange,
    Step, Verdict, encode_base64,
};

/// An exchange ends; a login that comes out of it can be looked up and logged, and never shows its proof.
pub(crate) fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for mechanism in Mechanism::ALL {
        for initial in [None, lines.first().copied()] {
            server(mechanism, initial, &lines, Form::AsIs);
            server(mechanism, initial, &lines, Form::Encoded);
        }
        client(mechanism, &lines);
    }
}

/// Whether the lines are base64 already.
#[derive(Clone, Copy)]
enum Form {
    AsIs,
    Encoded,
}

impl Form {
    fn line(self, line: &[u8]) -> Vec<u8> {
        match self {
            Self::AsIs => line.to_vec(),
            Self::Encoded => encode_base64(line).into_bytes(),
        }
    }
}

fn context() -> ServerContext {
    ServerContext {
        nonce: [7; NONCE],
        server_name: "mail.example.test".to_owned(),
        bindings: ChannelBindings {
            exporter: Some(vec![1; 32]),
            server_end_point: None,
        },
        plus_announced: false,
        certificate: Some(Arc::new(ClientCertificate::default())),
        openid_configuration: None,
    }
}

fn server(mechanism: Mechanism, initial: Option<&[u8]>, lines: &[&[u8]], form: Form) {
    let initial = initial.map(|line| form.line(line));
    let (mut exchange, mut step) = ServerExchange::start(mechanism, initial.as_deref(), context());
    let mut rounds = 0;
    let mut lines = lines.iter();
    loop {
        step = match step {
            Step::Challenge(_) => match lines.next() {
                Some(line) => exchange.respond(&form.line(line)),
                None => return,
            },
            Step::Keys(wanted) => {
                assert!(!wanted.login.is_empty() && !wanted.login.chars().any(char::is_control));
                let keys = ScramKeys::derive(wanted.hash, &Secret::from("pencil"), b"salt", 1);
                exchange.keys(keys.expect("a good salt"))
            }
            Step::Done(login) => {
                let named_by_proof = matches!(
                    mechanism,
                    Mechanism::OauthBearer | Mechanism::Xoauth2 | Mechanism::External
                );
                assert!(named_by_proof || !login.login.is_empty());
                assert!(!login.login.chars().any(char::is_control));
                let shown = format!("{login:?}");
                assert!(
                    mechanism == Mechanism::External || shown.contains("Secret(..)"),
                    "{shown}"
                );
                match exchange.conclude(Verdict::Good) {
                    Conclusion::Reply => return,
                    Conclusion::Challenge(text) => Step::Challenge(text),
                }
            }
            Step::Acknowledged | Step::Failed(_) => {
                let after = exchange.respond(b"YQ==");
                assert!(matches!(after, Step::Failed(SaslError::OutOfTurn)), "{after:?}");
                return;
            }
        };
        rounds += 1;
        assert!(rounds <= 6, "no mechanism has that many steps");
    }
}

fn client(mechanism: Mechanism, lines: &[&[u8]]) {
    let bindings = context().bindings;
    let mut exchange = ClientExchange::new(mechanism, "alice", None, Secret::from("pencil"))
        .with_nonce([7; NONCE], bindings);
    exchange.initial();
    for line in lines {
        for line in [line.to_vec(), encode_base64(line).into_bytes()] {
            let _ = exchange.respond(&line);
        }
    }
    assert!(
        mechanism.scram().is_none() || !exchange.is_proven(),
        "nobody guesses the server's signature"
    );
}
