//! Our back end and our front end, as an administrator would set them up.

use super::cast::{Cast, DOMAIN, NULL_HOST, STORE_HOST};
use crate::null_home::NullHome;
use anyhow::{Context, Result, ensure};
use std::fmt::Write;
use std::time::Duration;
use testkit::{Homing, HomingBinary, Slapd, free_port};
use tokio::time::Instant;

/// Our ports on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) smtp: u16,
    pub(super) lmtp: u16,
    pub(super) imap: u16,
    pub(super) pop3: u16,
    pub(super) front_smtp: u16,
    pub(super) front_imap: u16,
    pub(super) front_pop3: u16,
}

impl Ports {
    pub(super) fn free() -> Result<Self> {
        Ok(Self {
            smtp: free_port()?,
            lmtp: free_port()?,
            imap: free_port()?,
            pop3: free_port()?,
            front_smtp: free_port()?,
            front_imap: free_port()?,
            front_pop3: free_port()?,
        })
    }
}

/// Starts the back end and waits until it has everybody's account.
pub(super) fn back_end(binary: &HomingBinary, ports: Ports, slapd: &Slapd, cast: &Cast) -> Result<Homing> {
    let mut config = format!("server_name = \"{STORE_HOST}\"\n");
    for (service, port) in [
        ("smtp", ports.smtp),
        ("lmtp", ports.lmtp),
        ("imap", ports.imap),
        ("pop3", ports.pop3),
    ] {
        listener(&mut config, service, port);
    }
    config.push_str(&connector(
        slapd,
        cast,
        "clustered = true\ndirection = \"ldap-to-local\"",
    ));
    domain(&mut config);
    let homing = Homing::start(binary, &config).context("our back end does not start")?;
    let start = Instant::now();
    loop {
        let listed = homing.command(&["account", "list", "--json"])?;
        let rows: serde_json::Value = serde_json::from_str(&listed)?;
        let count = rows.as_array().map_or(0, Vec::len);
        if count == cast.stored() {
            return Ok(homing);
        }
        ensure!(
            start.elapsed() < Duration::from_secs(30),
            "only {count} of {} accounts came from the directory within 30 seconds",
            cast.stored()
        );
        wait(Duration::from_millis(100));
    }
}

/// Starts the front end before both homes.
pub(super) fn front_end(
    binary: &HomingBinary,
    ports: Ports,
    slapd: &Slapd,
    cast: &Cast,
    null_home: &NullHome,
) -> Result<Homing> {
    let mut config = format!("server_name = \"front.{DOMAIN}\"\ndefault_domain = \"{DOMAIN}\"\n");
    config.push_str(&connector(slapd, cast, ""));
    let null = (null_home.imap.port(), null_home.lmtp.port());
    for (name, (imap, lmtp)) in [(STORE_HOST, (ports.imap, ports.lmtp)), (NULL_HOST, null)] {
        let _ = write!(
            config,
            "[[home]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nimap.port = {imap}\nlmtp.port = {lmtp}\npop3.port = {}\n",
            ports.pop3
        );
    }
    config.push_str("[[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"directory\"\n");
    domain(&mut config);
    let _ = write!(
        config,
        "[smtp_proxy]\nuser_maps = [\"people\"]\ndomains = [\"{DOMAIN}\"]\nhome_protocol = \"lmtp\"\n"
    );
    listener(&mut config, "smtp_proxy", ports.front_smtp);
    for (service, port) in [("imap_proxy", ports.front_imap), ("pop3_proxy", ports.front_pop3)] {
        let _ = write!(
            config,
            "[{service}]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n"
        );
        listener(&mut config, service, port);
    }
    Homing::start(binary, &config).context("our front end does not start")
}

/// A listener that lets one client have all connections.
fn listener(config: &mut String, service: &str, port: u16) {
    let _ = write!(
        config,
        "[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_networks = [\"127.0.0.0/8\"]\n"
    );
}

fn domain(config: &mut String) {
    let _ = write!(
        config,
        "[[domain]]\nname = \"{DOMAIN}\"\nauth = [\"ldap-password\"]\nconnector = \"directory\"\n"
    );
}

fn connector(slapd: &Slapd, cast: &Cast, extra: &str) -> String {
    format!(
        r#"
[[connector]]
name = "directory"
server_type = "openldap"
uris = ["{uri}"]
bind_dn = "{bind_dn}"
bind_password = "{password}"
accounts.base_dn = ["{users}"]
{extra}
"#,
        uri = slapd.uri(),
        bind_dn = slapd.reader.dn,
        password = slapd.reader.password,
        users = cast.people.users_dn,
    )
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn wait(span: Duration) {
    std::thread::sleep(span);
}
