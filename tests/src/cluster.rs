//! One directory, one front end, two back ends, as an administrator would set them up.

use anyhow::{Context, Result};
use std::fmt::Write;
use std::time::{Duration, Instant};
use testkit::{Homing, HomingBinary, People, Slapd, SlapdOptions, free_port};

/// The domain of everybody.
pub const DOMAIN: &str = "localdomain.test";
/// The back ends, by the name that `mailHost` has.
pub const HOMES: [&str; 2] = ["store1.localdomain.test", "store2.localdomain.test"];
/// The front end.
pub const FRONT: &str = "front.localdomain.test";

/// The ports of one server on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// SMTP.
    pub smtp: u16,
    /// IMAP.
    pub imap: u16,
    /// POP3.
    pub pop3: u16,
}

impl Ports {
    /// Three ports that are free now.
    pub fn free() -> Result<Self> {
        Ok(Self {
            smtp: free_port()?,
            imap: free_port()?,
            pop3: free_port()?,
        })
    }

    /// `base`, `base + 1`, `base + 2`.
    #[must_use]
    pub fn from_base(base: u16) -> Self {
        Self {
            smtp: base,
            imap: base + 1,
            pop3: base + 2,
        }
    }
}

/// What the cluster is to be.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many people live in the directory.
    pub people: usize,
    /// The first of ten ports in a row; 0 for free ones.
    pub base_port: u16,
    /// `parallel` or `split`.
    pub multi_home: &'static str,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            people: 40,
            base_port: 0,
            multi_home: "parallel",
        }
    }
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The product.
    pub binary: HomingBinary,
    /// The people and groups that were generated.
    pub people: People,
    /// The directory.
    pub slapd: Slapd,
    /// The back ends, in the order of [`HOMES`].
    pub homes: Vec<Homing>,
    /// Their ports.
    pub home_ports: Vec<Ports>,
    /// The front end.
    pub front: Homing,
    /// Its ports.
    pub front_ports: Ports,
}

impl Cluster {
    /// Starts everything, and waits until the sync has brought the accounts.
    pub fn start(options: &ClusterOptions) -> Result<Self> {
        let binary = HomingBinary::find()?;
        let people = People::generate(DOMAIN, options.people, &HOMES);
        let (directory_port, front_ports, home_ports) = ports(options.base_port)?;
        let slapd_options = SlapdOptions {
            suffix: people.suffix.clone(),
            port: directory_port,
        };
        let slapd =
            Slapd::start(&binary, &slapd_options, &people.ldif()).context("the directory does not start")?;
        let mut homes = Vec::new();
        for (name, ports) in HOMES.iter().zip(&home_ports) {
            let config = home_config(name, *ports, &slapd, &people);
            homes.push(Homing::start(&binary, &config).with_context(|| format!("{name} does not start"))?);
        }
        let config = front_config(front_ports, &home_ports, &slapd, &people, options.multi_home);
        let front = Homing::start(&binary, &config).context("the front end does not start")?;
        let cluster = Self {
            binary,
            people,
            slapd,
            homes,
            home_ports,
            front,
            front_ports,
        };
        cluster.wait_for_accounts().with_context(|| cluster.log_tails())?;
        Ok(cluster)
    }

    /// The back end on this host.
    pub fn home(&self, host: &str) -> Result<&Homing> {
        let index = HOMES
            .iter()
            .position(|name| *name == host)
            .context("no such home")?;
        self.homes.get(index).context("no such home")
    }

    /// The addresses of the accounts that a back end holds, as its own command lists them, with their state.
    pub fn accounts(&self, host: &str) -> Result<Vec<(String, String)>> {
        let listed = self.home(host)?.command(&["account", "list", "--json"])?;
        let rows: serde_json::Value = serde_json::from_str(&listed)?;
        let text = |row: &serde_json::Value, key| {
            row.get(key)
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned)
        };
        let rows = rows.as_array().context("account list prints no list")?;
        Ok(rows
            .iter()
            .filter_map(|row| Some((text(row, "address")?, text(row, "state")?)))
            .collect())
    }

    /// The last lines of every server's log, for a report of what went wrong.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let servers = HOMES.iter().zip(&self.homes).chain([(&FRONT, &self.front)]);
        servers
            .map(|(name, server)| format!("--- {name}\n{}\n", server.log_tail()))
            .collect()
    }

    fn wait_for_accounts(&self) -> Result<()> {
        for host in HOMES {
            let expected = self.people.on_host(host).count();
            eventually(&format!("{expected} accounts on {host}"), || {
                Ok(self
                    .accounts(host)?
                    .iter()
                    .filter(|(_, state)| state == "active")
                    .count()
                    == expected)
            })?;
        }
        Ok(())
    }
}

/// Tries until it holds; an error after 20 seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = now();
    loop {
        let outcome = holds();
        match &outcome {
            Ok(true) => return Ok(()),
            _ if start.elapsed() > Duration::from_secs(20) => {
                let last = outcome
                    .err()
                    .map(|error| format!(": {error:#}"))
                    .unwrap_or_default();
                anyhow::bail!("not within 20 seconds: {what}{last}");
            }
            _ => pause(Duration::from_millis(50)),
        }
    }
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn pause(span: Duration) {
    std::thread::sleep(span);
}

fn ports(base: u16) -> Result<(u16, Ports, Vec<Ports>)> {
    if base != 0 {
        let homes = (1..=2).map(|index| Ports::from_base(base + 3 * index)).collect();
        return Ok((base + 9, Ports::from_base(base), homes));
    }
    Ok((free_port()?, Ports::free()?, vec![Ports::free()?, Ports::free()?]))
}

/// The connector is the same everywhere, but for `clustered` on the back ends.
fn connector(slapd: &Slapd, people: &People, extra: &str) -> String {
    format!(
        r#"
[[connector]]
name = "corp"
server_type = "openldap"
uris = ["{uri}"]
bind_dn = "{bind_dn}"
bind_password = "{password}"
polling_interval = 1
timeout = 2
accounts.base_dn = ["{users}"]
groups.base_dn = ["{groups}"]
{extra}
"#,
        uri = slapd.uri(),
        bind_dn = slapd.reader.dn,
        password = slapd.reader.password,
        users = people.users_dn,
        groups = people.groups_dn,
    )
}

fn home_config(name: &str, ports: Ports, slapd: &Slapd, people: &People) -> String {
    let trusted = "trusted_networks = [\"127.0.0.0/8\"]";
    let mut config = format!("server_name = \"{name}\"\n");
    for (service, port) in [("smtp", ports.smtp), ("imap", ports.imap), ("pop3", ports.pop3)] {
        let _ = write!(
            config,
            "[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\n{trusted}\n"
        );
    }
    config.push_str(&connector(
        slapd,
        people,
        "clustered = true\ndirection = \"ldap-to-local\"",
    ));
    let _ = write!(
        config,
        "[[domain]]\nname = \"{DOMAIN}\"\nauth = [\"ldap-password\", \"local\"]\nconnector = \"corp\"\n"
    );
    config
}

fn front_config(ports: Ports, homes: &[Ports], slapd: &Slapd, people: &People, multi_home: &str) -> String {
    let mut config = format!("server_name = \"{FRONT}\"\ndefault_domain = \"{DOMAIN}\"\n");
    config.push_str(&connector(slapd, people, ""));
    for (name, home) in HOMES.iter().zip(homes) {
        let _ = write!(
            config,
            "[[home]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nsmtp.port = {}\nimap.port = {}\npop3.port = {}\n",
            home.smtp, home.imap, home.pop3
        );
    }
    let _ = write!(
        config,
        "[[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"corp\"\ncache_ttl = 1\n"
    );
    for (service, port) in [("imap_proxy", ports.imap), ("pop3_proxy", ports.pop3)] {
        let _ = write!(
            config,
            "[{service}]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\n"
        );
    }
    let spill = if multi_home == "parallel" {
        format!("spill_home = \"{}\"\n", HOMES[0])
    } else {
        String::new()
    };
    let _ = write!(
        config,
        "[smtp_proxy]\nuser_maps = [\"people\"]\ndomains = [\"{DOMAIN}\"]\nmulti_home = \"{multi_home}\"\n{spill}\
         [[smtp_proxy.listener]]\naddress = \"127.0.0.1:{}\"\n",
        ports.smtp
    );
    config
}
