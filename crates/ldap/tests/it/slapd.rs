//! Debian's slapd in a scratch folder, small enough for this crate: no schema of ours, no homing binary.

use ldap::ldif::{LdifReader, Operation, Record};
use ldap::message::Add;
use ldap::{Client, ConnectOptions, LdapUri};
use model::Secret;
use std::path::PathBuf;
use std::time::Duration;
use testkit::{Certificate, Child, Scratch, free_port, self_signed};

pub(crate) const SUFFIX: &str = "dc=example,dc=test";
pub(crate) const ROOT: &str = "cn=root,dc=example,dc=test";
pub(crate) const PASSWORD: &str = "correct horse";

/// A running slapd that listens on `ldap://`, `ldaps://` and `ldapi://`. It ends with this value.
pub(crate) struct Slapd {
    pub(crate) child: Child,
    pub(crate) certificate: Certificate,
    scratch: Scratch,
    port: u16,
    tls_port: u16,
}

impl Slapd {
    pub(crate) fn start() -> Self {
        let scratch = Scratch::new().unwrap();
        let certificate = self_signed(scratch.path()).unwrap();
        let database = scratch.folder("db").unwrap();
        // The program runs from here because its AppArmor profile goes by the path.
        let binary = scratch.join("slapd");
        // By another process: a file that this one has open for writing, or a child of another thread, cannot be run.
        let copied = std::process::Command::new("cp")
            .arg("/usr/sbin/slapd")
            .arg(&binary)
            .status();
        assert!(copied.unwrap().success(), "the package slapd");
        let config = format!(
            "include /etc/ldap/schema/core.schema\n\
             include /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n\
             modulepath /usr/lib/ldap\n\
             moduleload back_mdb\n\
             moduleload syncprov\n\
             pidfile {pid}\n\
             TLSCertificateFile {cert}\n\
             TLSCertificateKeyFile {key}\n\
             TLSCACertificateFile {cert}\n\
             database mdb\n\
             suffix {SUFFIX}\n\
             rootdn {ROOT}\n\
             rootpw \"{PASSWORD}\"\n\
             directory {directory}\n\
             dbnosync\n\
             limits * size.soft=100 size.hard=100 size.prtotal=unlimited\n\
             index objectClass,entryUUID,uid eq\n\
             overlay syncprov\n",
            pid = scratch.join("pid").display(),
            cert = certificate.certificate.display(),
            key = certificate.key.display(),
            directory = database.display(),
        );
        scratch.write("slapd.conf", &config).unwrap();
        // Another process may take a free port before slapd does.
        let (child, port, tls_port) = (0..5)
            .find_map(|_| {
                let (port, tls_port) = (free_port().unwrap(), free_port().unwrap());
                Some((Self::spawn(&scratch, port, tls_port).ok()?, port, tls_port))
            })
            .unwrap_or_else(|| {
                panic!(
                    "{}",
                    std::fs::read_to_string(scratch.join("log")).unwrap_or_default()
                )
            });
        Self {
            child,
            certificate,
            scratch,
            port,
            tls_port,
        }
    }

    fn spawn(scratch: &Scratch, port: u16, tls_port: u16) -> anyhow::Result<Child> {
        let socket = LdapUri::Ldapi {
            path: scratch.join("ldapi"),
        };
        let listen = format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port} {socket}");
        let config = scratch.join("slapd.conf").display().to_string();
        let args = ["-d", "none", "-f", &config, "-h", &listen];
        let mut child = Child::spawn(&scratch.join("slapd"), &args, &scratch.join("log"))?;
        child.wait_for_port(port, Duration::from_secs(20))?;
        Ok(child)
    }

    /// Starts it again after its end, on the same ports and data.
    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(&self.scratch, self.port, self.tls_port).unwrap();
    }

    pub(crate) fn ldap(&self) -> ConnectOptions {
        ConnectOptions::new(LdapUri::Ldap {
            host: "127.0.0.1".into(),
            port: self.port,
        })
    }

    pub(crate) fn ldaps(&self) -> ConnectOptions {
        ConnectOptions::new(LdapUri::Ldaps {
            host: "127.0.0.1".into(),
            port: self.tls_port,
        })
    }

    pub(crate) fn ldapi(&self) -> ConnectOptions {
        ConnectOptions::new(LdapUri::Ldapi {
            path: self.scratch.join("ldapi"),
        })
    }

    /// A file with the root password, for OpenLDAP's own tools.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.scratch.write("password", PASSWORD).unwrap()
    }

    pub(crate) async fn anonymous(&self) -> Client {
        Client::connect(&self.ldap()).await.unwrap()
    }

    pub(crate) async fn root(&self) -> Client {
        let client = self.anonymous().await;
        client
            .bind_simple(ROOT, &Secret::from(PASSWORD), &[])
            .await
            .unwrap();
        client
    }

    /// Root, with the suffix and some people there.
    pub(crate) async fn populated(&self, people: usize) -> Client {
        let client = self.root().await;
        let mut ldif = format!("dn: {SUFFIX}\nobjectClass: domain\ndc: example\n\n");
        for number in 0..people {
            ldif.push_str(&format!(
                "dn: uid=u{number},{SUFFIX}\nobjectClass: inetOrgPerson\nuid: u{number}\ncn: Person {number}\n\
                 sn:: w4lsYW4=\nmail: u{number}@example.test\n\n"
            ));
        }
        load(&client, &ldif).await;
        client
    }
}

/// Adds the entries and applies the changes of an LDIF text.
pub(crate) async fn load(client: &Client, ldif: &str) {
    for record in LdifReader::new(ldif.as_bytes()) {
        let (controls, operation) = match record.unwrap() {
            Record::Entry(entry) => (
                Vec::new(),
                Operation::Add(Add {
                    dn: entry.dn,
                    attributes: entry.attributes,
                }),
            ),
            Record::Change(change) => (change.controls, change.operation),
        };
        match operation {
            Operation::Add(add) => client.add(add, &controls).await,
            Operation::Delete(dn) => client.delete(dn, &controls).await,
            Operation::Modify(modify) => client.modify(modify, &controls).await,
            Operation::ModifyDn(modify_dn) => client.modify_dn(modify_dn, &controls).await,
        }
        .unwrap();
    }
}
