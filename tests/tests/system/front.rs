//! A front end of a test's own, before the directory and the homes that the test chooses.

use crate::login::ReadPorts;
use anyhow::Result;
use std::fmt::Write;
use system_tests::{DOMAIN, Ports};
use testkit::{Homing, HomingBinary, People, Slapd};

/// A home as the front end knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Home<'a> {
    /// What `mailHost` says.
    pub(crate) name: &'a str,
    /// Its ports; `smtp` is its LMTP port when the front end speaks LMTP.
    pub(crate) ports: Ports,
}

/// What the front end is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// `edge` or `home`.
    pub(crate) authenticate: &'static str,
    /// `smtp` or `lmtp`, towards the homes.
    pub(crate) home_protocol: &'static str,
    /// Seconds to wait for a home.
    pub(crate) home_timeout: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            authenticate: "edge",
            home_protocol: "smtp",
            home_timeout: 2,
        }
    }
}

/// A running front end.
#[derive(Debug)]
pub(crate) struct Front {
    /// The process, which ends with this value.
    _server: Homing,
    /// Its ports.
    pub(crate) ports: Ports,
}

impl Front {
    /// Starts one.
    pub(crate) fn start(
        slapd: &Slapd,
        people: &People,
        homes: &[Home<'_>],
        options: Options,
    ) -> Result<Self> {
        let ports = Ports::free()?;
        let config = config(slapd, people, homes, options, ports);
        let server = Homing::start(&HomingBinary::find()?, &config)?;
        Ok(Self {
            _server: server,
            ports,
        })
    }

    /// Where mail is read.
    pub(crate) fn read(&self) -> ReadPorts {
        read(self.ports)
    }
}

/// Where mail is read.
pub(crate) fn read(ports: Ports) -> ReadPorts {
    ReadPorts {
        imap: ports.imap,
        pop3: ports.pop3,
    }
}

fn config(slapd: &Slapd, people: &People, homes: &[Home<'_>], options: Options, ports: Ports) -> String {
    let mut config = format!(
        "server_name = \"front.{DOMAIN}\"\ndefault_domain = \"{DOMAIN}\"\n\
         [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{uri}\"]\n\
         bind_dn = \"{bind_dn}\"\nbind_password = \"{password}\"\ntimeout = 2\n\
         accounts.base_dn = [\"{users}\"]\ngroups.base_dn = [\"{groups}\"]\n\
         [[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"corp\"\ncache_ttl = 0\nnegative_ttl = 0\n",
        uri = slapd.uri(),
        bind_dn = slapd.reader.dn,
        password = slapd.reader.password,
        users = people.users_dn,
        groups = people.groups_dn,
    );
    let delivery = options.home_protocol;
    for home in homes {
        let _ = write!(
            config,
            "[[home]]\nname = \"{}\"\nhost = \"127.0.0.1\"\nconnect_timeout = 2\n\
             {delivery}.port = {}\nimap.port = {}\npop3.port = {}\n",
            home.name, home.ports.smtp, home.ports.imap, home.ports.pop3
        );
    }
    let timeout = options.home_timeout;
    for (service, port) in [("imap_proxy", ports.imap), ("pop3_proxy", ports.pop3)] {
        let _ = write!(
            config,
            "[{service}]\nuser_maps = [\"people\"]\nauthenticate = \"{}\"\nhome_timeout = {timeout}\n\
             [[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\n",
            options.authenticate
        );
    }
    let _ = write!(
        config,
        "[smtp_proxy]\nuser_maps = [\"people\"]\ndomains = [\"{DOMAIN}\"]\nhome_protocol = \"{delivery}\"\n\
         home_timeout = {timeout}\nhome_data_timeout = {timeout}\n\
         [[smtp_proxy.listener]]\naddress = \"127.0.0.1:{}\"\n",
        ports.smtp
    );
    config
}
