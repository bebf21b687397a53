//! Any bytes as the client's lines of a SASL exchange.

use wire::sasl::{Mechanism, ServerExchange, Step};

/// An exchange ends; a login that comes out of it can be looked up and logged, and never shows its password.
pub(crate) fn run(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    for mechanism in Mechanism::ALL {
        for initial in [None, lines.first().copied()] {
            let (mut exchange, mut step) = ServerExchange::start(mechanism, initial);
            let mut rounds = 0;
            for line in &lines {
                let Step::Challenge(_) = &step else { break };
                step = exchange.respond(line);
                rounds += 1;
            }
            assert!(rounds <= 2, "neither mechanism has a third response");
            if let Step::Done(login) = step {
                assert!(!login.login.is_empty() && !login.login.chars().any(char::is_control));
                assert!(format!("{login:?}").contains("Secret(..)"));
            }
        }
    }
}
