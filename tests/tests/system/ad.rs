//! The whole product on Active Directory: a Samba domain controller, a back end that synchronises from it, and a front
//! end that knows its homes from a live map.

use super::local::{home_entry, listeners};
use super::login::{Answer, ReadPorts, WAYS};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, ImapClient, Samba, SmtpClient};

const HOST: &str = "msDS-cloudExtensionAttribute1";
const STORE: &str = "store1.example.test";
const PASSWORD: &str = "anna's secret";

fn person(samba: &Samba, name: &str) -> String {
    let more = format!("{HOST}: {STORE}\nproxyAddresses: smtp:{name}.alias@example.test\n");
    samba.user_ldif(name, &format!("{name}@example.test"), PASSWORD, &more)
}

fn connector(samba: &Samba, more: &str) -> String {
    format!(
        "[[connector]]\nname = \"ad\"\nserver_type = \"active-directory\"\nuris = [\"{}\"]\nca_file = \"{}\"\n\
         bind_dn = \"{}\"\nbind_password = \"{}\"\npolling_interval = 2\naudit_interval = 2\n\
         accounts.base_dn = [\"{}\"]\ngroups.base_dn = [\"{}\"]\ndomains = [\"example.test\"]\n\
         attributes.host = \"{HOST}\"\n{more}\n",
        samba.tls_uri(),
        samba.certificate().certificate.display(),
        samba.administrator.dn,
        samba.administrator.password,
        samba.people_dn(),
        samba.groups_dn(),
    )
}

struct Set {
    samba: Samba,
    home: Homing,
    front: Homing,
    ports: Ports,
}

impl Set {
    fn start() -> Result<Self> {
        let samba = Samba::start("")?;
        samba.add(&person(&samba, "anna"))?;
        samba.add(&person(&samba, "bert"))?;
        let binary = HomingBinary::find()?;
        let (home_ports, ports) = (Ports::free()?, Ports::free()?);
        let home = format!(
            "server_name = \"{STORE}\"\n{}{}[[domain]]\nname = \"example.test\"\nauth = [\"ldap-bind\"]\nconnector = \"ad\"\n",
            listeners("", home_ports, "trusted_networks = [\"127.0.0.0/8\"]"),
            connector(&samba, "clustered = true\ndirection = \"ldap-to-local\""),
        );
        let home = Homing::start(&binary, &home).context("the home does not start")?;
        let proxies: String = ["imap", "pop3", "smtp"]
            .iter()
            .map(|service| {
                let more = match *service {
                    "smtp" => "domains = [\"example.test\"]",
                    _ => "authenticate = \"edge\"",
                };
                format!("[{service}_proxy]\nuser_maps = [\"people\"]\n{more}\n")
            })
            .collect();
        let front = format!(
            "server_name = \"front.example.test\"\n{}{}{proxies}{}\
             [[user_map]]\nname = \"people\"\nkind = \"ldap-bind\"\nconnector = \"ad\"\nlive = true\n",
            connector(&samba, ""),
            home_entry(STORE, home_ports, "", ""),
            listeners("_proxy", ports, ""),
        );
        let front = Homing::start(&binary, &front).context("the front end does not start")?;
        Ok(Self {
            samba,
            home,
            front,
            ports,
        })
    }

    fn has(&self, address: &str, state: &str) -> Result<bool> {
        let listed = self.home.command(&["account", "list", "--json"])?;
        let rows: serde_json::Value = serde_json::from_str(&listed)?;
        let text =
            |row: &serde_json::Value, key| row.get(key).and_then(|text| text.as_str().map(str::to_owned));
        let mut rows = rows.as_array().context("no list")?.iter();
        Ok(rows.any(|row| {
            text(row, "address").as_deref() == Some(address) && text(row, "state").as_deref() == Some(state)
        }))
    }

    fn deliver(&self, to: &str) -> Result<u16> {
        let mut smtp = SmtpClient::connect(self.ports.smtp)?;
        smtp.command("EHLO client.example.test")?;
        let (recipients, last) =
            smtp.deliver("x@elsewhere.test", &[to], b"Subject: hello\r\n\r\nbody\r\n")?;
        Ok(recipients.first().map_or(last.code, |reply| reply.code))
    }
}

#[test]
fn accounts_mail_and_logins_follow_active_directory() -> Result<()> {
    let set = Set::start()?;
    let told = |error: anyhow::Error| {
        error.context(format!("{}\n---\n{}", set.home.log_tail(), set.front.log_tail()))
    };
    set.walk().map_err(told)
}

impl Set {
    fn walk(&self) -> Result<()> {
        eventually("anna's account", || self.has("anna@example.test", "active"))?;
        eventually("mail for an alias is taken", || {
            Ok(self.deliver("anna.alias@example.test")? == 250)
        })?;
        ensure!(
            self.deliver("nobody@example.test")? == 550,
            "nobody has an account"
        );
        let read = ReadPorts {
            imap: self.ports.imap,
            pop3: self.ports.pop3,
        };
        for login in ["anna@example.test", "anna@Example.test"] {
            for way in WAYS {
                ensure!(
                    way.try_login(read, login, PASSWORD)? == Answer::Accepted,
                    "{way:?} {login}"
                );
            }
        }
        ensure!(WAYS[0].try_login(read, "anna@example.test", "wrong")? == Answer::Refused);
        let mut imap = ImapClient::connect(self.ports.imap)?;
        ensure!(imap.login("anna@example.test", PASSWORD)?.starts_with("OK"));
        let selected = imap.ok("SELECT INBOX")?;
        ensure!(
            selected.iter().any(|line| line.contains("1 EXISTS")),
            "{selected:?}"
        );

        // The directory changes while everything runs.
        self.samba.add(&person(&self.samba, "carl"))?;
        eventually("carl's account", || self.has("carl@example.test", "active"))?;
        eventually("mail for carl", || Ok(self.deliver("carl@example.test")? == 250))?;
        self.samba.modify(&format!(
            "dn: {}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 514\n",
            self.samba.user_dn("bert")
        ))?;
        eventually("bert is shut out", || {
            Ok(WAYS[0].try_login(read, "bert@example.test", PASSWORD)? != Answer::Accepted)
        })?;
        self.samba.delete(&self.samba.user_dn("carl"))?;
        eventually("carl is shut out", || {
            Ok(!self.has("carl@example.test", "active")?)
        })?;

        let report = self.front.command(&["directory", "check"])?;
        ensure!(report.contains("deletions are told"), "{report}");
        let found = self
            .front
            .command(&["directory", "test-lookup", "anna.alias@example.test"])?;
        ensure!(
            found.contains("CN=anna") && found.contains("proxyAddresses=smtp:"),
            "{found}"
        );
        Ok(())
    }
}
