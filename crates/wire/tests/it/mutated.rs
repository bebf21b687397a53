//! The bodies of the fuzz targets, over a bounded number of mutations of the kept seeds.

#[path = "../../../../fuzz/bodies/imap_command.rs"]
mod imap_command;
#[path = "../../../../fuzz/bodies/imap_guard.rs"]
mod imap_guard;
#[path = "../../../../fuzz/bodies/imap_response.rs"]
mod imap_response;
#[path = "../../../../fuzz/bodies/managesieve.rs"]
mod managesieve;
#[path = "../../../../fuzz/bodies/managesieve_guard.rs"]
mod managesieve_guard;
#[path = "../../../../fuzz/bodies/mutations.rs"]
mod mutations;
#[path = "../../../../fuzz/bodies/pop3_command.rs"]
mod pop3_command;
#[path = "../../../../fuzz/bodies/sasl.rs"]
mod sasl;
#[path = "../../../../fuzz/bodies/smtp_command.rs"]
mod smtp_command;
#[path = "../../../../fuzz/bodies/smtp_data.rs"]
mod smtp_data;

use proptest::prelude::*;

#[test]
fn smtp_command_survives_mutations() {
    mutations::each("smtp_command", 400, smtp_command::run);
}

#[test]
fn smtp_data_survives_mutations() {
    mutations::each("smtp_data", 1000, smtp_data::run);
}

#[test]
fn pop3_command_survives_mutations() {
    mutations::each("pop3_command", 400, pop3_command::run);
}

#[test]
fn sasl_survives_mutations() {
    mutations::each("sasl", 1000, sasl::run);
}

#[test]
fn imap_command_survives_mutations() {
    mutations::each("imap_command", 2000, imap_command::run);
}

#[test]
fn imap_response_survives_mutations() {
    mutations::each("imap_response", 2000, imap_response::run);
}

#[test]
fn managesieve_survives_mutations() {
    mutations::each("managesieve", 1000, managesieve::run);
}

#[test]
fn imap_guard_survives_mutations() {
    mutations::each("imap_guard", 200, imap_guard::run);
}

#[test]
fn managesieve_guard_survives_mutations() {
    mutations::each("managesieve_guard", 2000, managesieve_guard::run);
}

/// Sessions of what matters to guards, in any order.
fn sayings(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(words);
    let said = prop::collection::vec(word, 0..24).prop_map(|words| words.concat().into_bytes());
    (any::<u8>(), said).prop_map(|(how, mut said)| {
        said.insert(0, how);
        said
    })
}

proptest! {
    #[test]
    fn guards_let_nothing_through(
        said in sayings(&[
            "a ", "b ", "a", "DONE", "\r\n", "\r\n", "\r\n", "\n", " ", "{4}\r\n", "{9}\r\n", "{11+}\r\n", "~{4+}\r\n",
            "UNAUTHENTICATE", "a UNAUTHENTICATE\r\n", "LOGIN", "IDLE", "IDLE\r\nDONE\r\n", "NOOP", "FETCH 1 BODY[]\r\n",
            "APPEND x ", "data", ")", "\"", "+",
        ]),
        script in sayings(&[
            "PUTSCRIPT \"x\" ", "{4+}\r\n", "{9+}\r\n", "{16+}\r\n", "{1}\r\n", "UNAUTHENTICATE", "UNAUTHENTICATE\r\n", "UN",
            "AUTHENTICATE", "keep;", "\r\n", "\r\n", "\n", "\r", " ", "STARTTLS\r\n", "NOOP",
        ]),
    ) {
        imap_guard::run(&said);
        managesieve_guard::run(&script);
    }
}
