//! The main job, step by step: what the demo shows, and what the system tests hold the product to.

mod changes;
mod mail;
mod outage;

use crate::Cluster;
use anyhow::Result;

pub use crate::cluster::eventually;

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What is shown before it runs.
    pub title: &'static str,
    /// Does it, verifies it, and answers what was seen in one line.
    pub run: fn(&mut Cluster) -> Result<String>,
}

/// All steps, in the order in which the demo goes through them; each leaves the cluster fit for the next.
pub const STEPS: [Step; 15] = [
    Step {
        title: "the sync has created every account on its home",
        run: changes::accounts_are_on_their_homes,
    },
    Step {
        title: "send the sample messages through the SMTP front end",
        run: mail::send_corpus,
    },
    Step {
        title: "read them through the IMAP proxy with curl, byte for byte",
        run: mail::read_by_imap,
    },
    Step {
        title: "read them through the POP3 proxy with curl, byte for byte",
        run: mail::read_by_pop3,
    },
    Step {
        title: "copy the mailbox through the IMAP proxy with mbsync",
        run: mail::copy_with_mbsync,
    },
    Step {
        title: "one transaction to recipients on both homes",
        run: mail::both_homes_at_once,
    },
    Step {
        title: "unknown people are refused in the session, other domains too",
        run: mail::refusals,
    },
    Step {
        title: "a wrong, an empty and a missing password",
        run: mail::wrong_passwords,
    },
    Step {
        title: "ldapadd a person: known at once",
        run: changes::add,
    },
    Step {
        title: "disable a person: login ends, mail is kept",
        run: changes::disable,
    },
    Step {
        title: "rename a person: same mailbox, new address",
        run: changes::rename,
    },
    Step {
        title: "move a person to the other home: never treated as deleted",
        run: changes::move_home,
    },
    Step {
        title: "delete a person: refused everywhere, mail kept for the retention time",
        run: changes::delete,
    },
    Step {
        title: "stop slapd: known people go on, unknown ones hear \"try later\"",
        run: outage::directory_stopped,
    },
    Step {
        title: "start slapd again: everything is as before",
        run: outage::directory_back,
    },
];
