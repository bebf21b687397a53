//! From the connector to a real slapd: StartTLS and ldaps, and an untrusted directory is one that cannot
//! answer, never one that says "wrong password".

use crate::login::{Answer, ReadPorts, expect};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use system_tests::steps::eventually;
use system_tests::{DOMAIN, Ports};
use testkit::{
    Homing, HomingBinary, People, Scratch, Slapd, SlapdOptions, SmtpClient, self_signed, self_signed_for,
};

const HOST: &str = "store1.localdomain.test";

/// A directory with a certificate.
struct Site {
    people: People,
    slapd: Slapd,
    scratch: Scratch,
}

/// A home that takes its accounts and passwords from the directory.
struct Home {
    server: Homing,
    ports: Ports,
}

/// The two ways to a directory over TLS.
const WAYS: [&str; 2] = ["starttls", "ldaps"];

impl Site {
    fn start(names: &[&str]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let certificate = self_signed_for(scratch.path(), names)?;
        let people = People::generate(DOMAIN, 4, &[HOST]);
        let options = SlapdOptions {
            suffix: people.suffix.clone(),
            port: 0,
        };
        let slapd = Slapd::start_with_tls(&HomingBinary::find()?, &options, &people.ldif(), &certificate)?;
        Ok(Self {
            people,
            slapd,
            scratch,
        })
    }

    fn home(&self, way: &str, method: &str, ca_file: &Path) -> Result<Home> {
        let ports = Ports::free()?;
        let server = Homing::start(&HomingBinary::find()?, &self.config(way, method, ca_file, ports)?)?;
        Ok(Home { server, ports })
    }

    fn config(&self, way: &str, method: &str, ca_file: &Path, ports: Ports) -> Result<String> {
        let (uri, tls) = match way {
            "ldaps" => (self.slapd.tls_uri().context("no ldaps")?, ""),
            _ => (self.slapd.uri(), "tls = \"starttls\"\n"),
        };
        Ok(format!(
            "server_name = \"{HOST}\"\n\
             [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{uri}\"]\n{tls}\
             ca_file = \"{ca}\"\nbind_dn = \"{bind_dn}\"\nbind_password = \"{password}\"\n\
             polling_interval = 1\ntimeout = 5\nclustered = true\ndirection = \"ldap-to-local\"\n\
             accounts.base_dn = [\"{users}\"]\ngroups.base_dn = [\"{groups}\"]\n\
             [[domain]]\nname = \"{DOMAIN}\"\nauth = [\"{method}\"]\nconnector = \"corp\"\n{listeners}",
            ca = ca_file.display(),
            bind_dn = self.slapd.reader.dn,
            password = self.slapd.reader.password,
            users = self.people.users_dn,
            groups = self.people.groups_dn,
            listeners = crate::local::listeners("", ports, ""),
        ))
    }

    fn ca(&self) -> std::path::PathBuf {
        self.scratch.join("tls.crt")
    }
}

impl Home {
    fn read(&self) -> ReadPorts {
        crate::front::read(self.ports)
    }

    /// The directory is of no use here, and says nothing about passwords or names.
    fn cannot_tell(&self, people: &People, reason: &str) -> Result<()> {
        let alice = people.find("alice").context("alice")?;
        for password in [&alice.password, "wrong"] {
            expect(self.read(), &alice.mail, password, Answer::Later)?;
        }
        expect(self.read(), "nobody@localdomain.test", "x", Answer::Later)?;
        let mut client = SmtpClient::connect(self.ports.smtp)?;
        client.command("EHLO client.example.test")?;
        client.command("MAIL FROM:<erika@sender.example>")?;
        let reply = client.command(&format!("RCPT TO:<{}>", alice.mail))?;
        ensure!((400..500).contains(&reply.code), "{reply:?}");
        let text = crate::local::log(&self.server)?;
        let told = text
            .lines()
            .any(|line| !line.contains("DEBUG") && line.contains("corp") && line.contains(reason));
        ensure!(told, "no line tells why ({reason}):\n{text}");
        Ok(())
    }
}

#[test]
fn a_trusted_directory_is_synchronised_and_asked_over_tls() -> Result<()> {
    let site = Site::start(&["localhost", "127.0.0.1"])?;
    let alice = site.people.find("alice").context("alice")?;
    for way in WAYS {
        for method in ["ldap-password", "ldap-bind"] {
            let home = site.home(way, method, &site.ca())?;
            (|| {
                eventually("the sync has brought the accounts", || {
                    Ok(home.server.command(&["account", "list"])?.contains(&alice.mail))
                })?;
                expect(home.read(), &alice.mail, &alice.password, Answer::Accepted)?;
                expect(home.read(), &alice.mail, "wrong", Answer::Refused)
            })()
            .with_context(|| format!("{way} {method}: {}", home.server.log_tail()))?;
        }
    }
    Ok(())
}

#[test]
fn an_untrusted_directory_cannot_answer() -> Result<()> {
    let site = Site::start(&["localhost", "127.0.0.1"])?;
    let other = self_signed(&site.scratch.folder("other")?)?;
    for way in WAYS {
        for method in ["ldap-password", "ldap-bind"] {
            let home = site.home(way, method, &other.certificate)?;
            home.cannot_tell(&site.people, "authority")
                .with_context(|| format!("{way} {method}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_directory_with_another_name_cannot_answer() -> Result<()> {
    let site = Site::start(&["other.example.test"])?;
    for way in WAYS {
        let home = site.home(way, "ldap-password", &site.ca())?;
        home.cannot_tell(&site.people, "name").context(way)?;
    }
    Ok(())
}

#[test]
fn a_directory_without_tls_gets_no_password_when_tls_is_asked_for() -> Result<()> {
    let site = Site::start(&["localhost", "127.0.0.1"])?;
    let options = SlapdOptions {
        suffix: site.people.suffix.clone(),
        port: 0,
    };
    let slapd = Slapd::start(&HomingBinary::find()?, &options, &site.people.ldif())?;
    let plain = Site {
        people: site.people,
        slapd,
        scratch: site.scratch,
    };
    let home = plain.home("starttls", "ldap-bind", &plain.ca())?;
    home.cannot_tell(&plain.people, "StartTLS")
}
