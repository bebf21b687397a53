//! A Samba domain controller with people, and the product that synchronises with it.

use super::site::Server;
use anyhow::Result;
use testkit::{HomingBinary, Samba, free_port};

const DOMAIN: &str = "example.test";
const PASSWORD: &str = "secret of everybody 1";

#[derive(Debug)]
pub(super) struct Domain {
    pub(super) samba: Samba,
    pub(super) server: Server,
    pub(super) people: usize,
}

impl Domain {
    pub(super) fn start(binary: &HomingBinary, people: usize) -> Result<Self> {
        let samba = Samba::start("")?;
        let ldif: String = (0..people)
            .map(|number| {
                let (name, address) = (name(number), address(number));
                samba.user_ldif(&name, &address, PASSWORD, &format!("displayName: {name}\n"))
            })
            .collect();
        samba.add(&ldif)?;
        let config = format!(
            "server_name = \"mail.{DOMAIN}\"\n[[imap.listener]]\naddress = \"127.0.0.1:{port}\"\n\
             [[connector]]\nname = \"ad\"\nserver_type = \"active-directory\"\nuris = [\"{uri}\"]\n\
             ca_file = \"{ca}\"\nbind_dn = \"{dn}\"\nbind_password = \"{password}\"\n\
             accounts.base_dn = [\"{base}\"]\ndomains = [\"{DOMAIN}\"]\nask_first = false\n",
            port = free_port()?,
            uri = samba.tls_uri(),
            ca = samba.certificate().certificate.display(),
            dn = samba.administrator.dn,
            password = samba.administrator.password,
            base = samba.people_dn(),
        );
        let mut server = Server::start(binary, &config, "ad")?;
        server.until_linked(people)?;
        Ok(Self {
            samba,
            server,
            people,
        })
    }

    /// The DN of somebody, and the account in the API.
    pub(super) fn place(samba: &Samba, number: usize) -> (String, String) {
        (
            samba.user_dn(&name(number)),
            format!("/v1/accounts/{}", address(number)),
        )
    }
}

fn name(number: usize) -> String {
    format!("person{number}")
}

fn address(number: usize) -> String {
    format!("{}@{DOMAIN}", name(number))
}
