//! What tests, benchmarks and the demo share: real servers as child processes, and clients that see the wire.
//!
//! Owns the launchers of slapd, Samba AD, Dovecot, Cyrus, Postfix and Homing itself (scratch folder, free ports, always reaped),
//! line clients for SMTP, IMAP and POP3 that show every byte, generated people and groups for a directory,
//! and certificates.
//!
//! Never linked into the product, never replaces a server by an imitation, never skips in silence: a server
//! that does not start is an error that carries what it printed.

mod certificate;
mod client;
mod cyrus;
mod dialogue;
mod dovecot;

mod homing;
mod nginx;
mod people;
mod postfix;
mod process;
mod samba;
mod scratch;
mod slapd;
mod slow_disk;
mod syslog;

pub use certificate::{Authority, Certificate, self_signed, self_signed_for};
pub use client::{curl, run_with_input};
pub use cyrus::{CYRUS_ADMIN, Cyrus};
pub use dialogue::{Dialogue, ImapClient, Pop3Client, SmtpClient, SmtpReply};

pub use dovecot::Dovecot;
pub use homing::{Homing, HomingBinary};
pub use nginx::Nginx;
pub use people::{Group, People, Person};
pub use postfix::Postfix;
pub use process::{Child, allow_open_files, command_exists, inherited_by_children};
pub use samba::Samba;
pub use scratch::{Scratch, free_port};
pub use slapd::{Identity, Slapd, SlapdOptions};
