//! The whole product on Active Directory: a Samba domain controller, a back end that synchronises from it, and a front
//! end that knows its homes from a live map.

use super::directory_cli::run;
use super::local::{home_entry, listeners};
use super::login::{Answer, ReadPorts, WAYS};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, ImapClient, Samba, SmtpClient, free_port};

const HOST: &str = "msDS-cloudExtensionAttribute1";
const STORE: &str = "store1.example.test";
const PASSWORD: &str = "anna's secret";
/// 2012, in 100 ns since 1601.
const LONG_AGO: &str = "129700000000000000";

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
    /// The home's port for LMTP.
    lmtp: u16,
}

impl Set {
    fn start() -> Result<Self> {
        let samba = Samba::start("")?;
        samba.add(&person(&samba, "anna"))?;
        samba.add(&person(&samba, "bert"))?;
        let binary = HomingBinary::find()?;
        let (home_ports, ports, lmtp) = (Ports::free()?, Ports::free()?, free_port()?);
        let home = format!(
            "server_name = \"{STORE}\"\n{}{}[[lmtp.listener]]\naddress = \"127.0.0.1:{lmtp}\"\n[[domain]]\nname = \"example.test\"\nauth = [\"ldap-bind\"]\nconnector = \"ad\"\n",
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
            lmtp,
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

impl Set {
    /// LMTP at the home: one reply for each recipient after the message.
    fn deliver_by_lmtp(&self, to: &[&str]) -> Result<Vec<u16>> {
        let mut lmtp = SmtpClient::connect(self.lmtp)?;
        lmtp.command("LHLO client.example.test")?;
        let message = b"Subject: hello\r\n\r\nbody\r\n";
        let (recipients, last) = lmtp.deliver("x@elsewhere.test", to, message)?;
        let codes: Vec<u16> = recipients.iter().map(|reply| reply.code).collect();
        ensure!(!codes.contains(&250) || last.code == 250, "{last:?}");
        Ok(codes)
    }

    /// The commands of an administrator, against the domain controller.
    fn commands(&self) -> Result<()> {
        let binary = HomingBinary::find()?;
        let expect = |args: &[&str], input: &str, code: i32, part: &str| -> Result<()> {
            let (found, text) = run(&self.front, &binary, args, input)?;
            ensure!(
                found == code && text.contains(part),
                "{args:?}: {found}, {text:?}"
            );
            Ok(())
        };
        let dora = self.samba.user_dn("dora");
        let entry = person(&self.samba, "dora");
        expect(&["add"], &entry, 0, "added CN=dora")?;
        expect(&["add"], &entry, 1, "")?;
        expect(
            &["search", "(sAMAccountName=dora)", "mail"],
            "",
            0,
            "mail: dora@example.test",
        )?;
        expect(&["search", "(sAMAccountName=nobody)"], "", 1, "")?;
        expect(
            &["test-login", "dora"],
            PASSWORD,
            0,
            "logged in as dora@example.test",
        )?;
        expect(&["test-login", "dora@example.test"], "wrong", 1, "=> rejected")?;
        expect(&["test-login", "nobody"], PASSWORD, 1, "=> no entry")?;
        expect(
            &["test-lookup", "dora.alias@example.test"],
            "",
            0,
            "proxyAddresses=smtp:",
        )?;
        expect(
            &["test-lookup", "nobody@example.test"],
            "",
            1,
            "=> no such address",
        )?;
        let over =
            format!("dn: {dora}\nchangetype: modify\nreplace: accountExpires\naccountExpires: {LONG_AGO}\n");
        expect(&["modify"], &over, 0, "changed CN=dora")?;
        expect(&["test-login", "dora"], PASSWORD, 1, "=> rejected")?;
        expect(&["delete", &dora], "", 0, "deleted CN=dora")?;
        expect(&["delete", &dora], "", 1, "")
    }
}

/// A server that must know homes does not start without the attribute that names them.
#[test]
fn without_a_host_attribute_it_does_not_start() -> Result<()> {
    let samba = Samba::start("")?;
    let binary = HomingBinary::find()?;
    let line = format!("attributes.host = \"{HOST}\"\n");
    let port = free_port()?;
    let front = format!(
        "server_name = \"front.example.test\"\n{}[imap_proxy]\nuser_maps = [\"people\"]\n\
         [[imap_proxy.listener]]\naddress = \"127.0.0.1:{port}\"\n{}\
         [[user_map]]\nname = \"people\"\nkind = \"ldap-bind\"\nconnector = \"ad\"\n",
        connector(&samba, ""),
        home_entry(STORE, Ports::free()?, "", ""),
    );
    let home = format!(
        "server_name = \"{STORE}\"\n{}[[imap.listener]]\naddress = \"127.0.0.1:{port}\"\n\
         [[domain]]\nname = \"example.test\"\nauth = [\"ldap-bind\"]\nconnector = \"ad\"\n",
        connector(&samba, "clustered = true\ndirection = \"ldap-to-local\""),
    );
    for config in [front, home] {
        Homing::start(&binary, &config).context("with the attribute it starts")?;
        let without = config.replace(&line, "");
        ensure!(without.len() < config.len());
        let refused = Homing::start(&binary, &without).err().context("it starts")?;
        let said = format!("{refused:#}");
        ensure!(said.contains("attributes.host"), "{said}");
    }
    Ok(())
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

        // LMTP: an alias, a bare address, and one that is nobody's.
        let to = [
            "bert.alias@example.test",
            "bert@example.test",
            "nobody@example.test",
        ];
        ensure!(self.deliver_by_lmtp(&to)? == [250, 250, 550]);
        self.commands()?;

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
        // The end of an account: who was in is out, and the log says what the domain controller gave as the reason.
        let expire = |name: &str| {
            self.samba.modify(&format!(
                "dn: {}\nchangetype: modify\nreplace: accountExpires\naccountExpires: {LONG_AGO}\n",
                self.samba.user_dn(name)
            ))
        };
        ensure!(WAYS[0].try_login(read, "carl@example.test", PASSWORD)? == Answer::Accepted);
        self.samba.add(&person(&self.samba, "emil"))?;
        for name in ["carl", "emil"] {
            expire(name)?;
            eventually("its time is over", || {
                let mut imap = ImapClient::connect(self.ports.imap)?;
                let said = imap.login(&format!("{name}@example.test"), PASSWORD)?;
                Ok(said.starts_with("NO [EXPIRED]"))
            })?;
        }
        let log = std::fs::read_to_string(self.front.log())?;
        for (name, data) in [("anna", "52e"), ("emil", "701")] {
            let told = format!("CN={name},{}\" data=\"{data}\"", self.samba.people_dn());
            ensure!(log.contains(&told), "{told}: {log}");
        }
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
