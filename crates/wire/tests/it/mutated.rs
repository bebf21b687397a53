//! The bodies of the fuzz targets, over a bounded number of mutations of the kept seeds.

#[path = "../../../../fuzz/bodies/imap_command.rs"]
mod imap_command;
#[path = "../../../../fuzz/bodies/imap_response.rs"]
mod imap_response;
#[path = "../../../../fuzz/bodies/managesieve.rs"]
mod managesieve;
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
