//! Dovecot, tuned as its own documentation advises: login processes that serve many connections, mail
//! processes that are used again, no limit on connections from one address.

use super::cast::{Cast, NULL_HOST, STORE_HOST};
use crate::null_home::NullHome;
use anyhow::{Context, Result};
use testkit::{Dovecot, run_with_input};

// With fcntl the kernel sees a deadlock where there is none when several processes deliver to one new mailbox, and
// Dovecot 2.3.19 panics; flock has no such check.
pub(crate) const SETTINGS: &str = "\
lock_method = flock
mail_max_userip_connections = 100000
service imap-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 12000
  vsz_limit = 2 G
}
service pop3-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 12000
  vsz_limit = 2 G
}
service imap {
  service_count = 1000
  process_limit = 4096
  process_min_avail = 10
}
service pop3 {
  service_count = 1000
  process_limit = 4096
  process_min_avail = 10
}
service lmtp {
  service_count = 0
  process_min_avail = 10
  process_limit = 100
}
service auth {
  client_limit = 19000
}
service anvil {
  client_limit = 19000
}
";

/// The server with the mail.
pub(super) fn back_end(cast: &Cast) -> Result<Dovecot> {
    let everybody: Vec<(&str, &str)> = cast.hashes(STORE_HOST).collect();
    Dovecot::start(&everybody, SETTINGS).context("the peer's back end does not start")
}

/// The proxy before that server and the home that answers at once.
pub(super) fn front_end(cast: &Cast, back: &Dovecot, null_home: &NullHome) -> Result<Dovecot> {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for (host, imap, lmtp) in [
        (STORE_HOST, back.imap, back.lmtp),
        (NULL_HOST, null_home.imap.port(), null_home.lmtp.port()),
    ] {
        for (login, hash) in cast.hashes(host) {
            // The fields of passwd(5), then where the session goes, by service.
            let port = format!("%{{if;%s;eq;lmtp;{lmtp};{imap}}}");
            rows.push((login, format!("{hash}::::::proxy=y host=127.0.0.1 port={port}")));
        }
    }
    let users: Vec<(&str, &str)> = rows.iter().map(|(login, row)| (*login, row.as_str())).collect();
    let settings = format!("{SETTINGS}lmtp_proxy = yes\n");
    Dovecot::start(&users, &settings).context("the peer's front end does not start")
}

/// What it calls itself.
pub(super) fn version() -> Result<String> {
    let printed = run_with_input("/usr/sbin/dovecot", &["--version"], b"")?;
    Ok(format!("Dovecot {}", printed.trim()))
}
