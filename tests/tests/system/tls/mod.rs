//! TLS everywhere: towards clients, towards homes, towards the directory.

mod clients;
mod directory;
mod homes;

use crate::local::{ALICE, BOB, FrontParts, LocalFront, home_entry, listeners, start_home};
use anyhow::Result;
use std::path::Path;
use system_tests::Ports;
use testkit::{Certificate, Homing, Scratch, self_signed_for};

/// The three services of a server, with the upgrade in the protocol and with TLS from the first byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doors {
    pub(super) starttls: Ports,
    pub(super) implicit: Ports,
}

impl Doors {
    fn free() -> Result<Self> {
        Ok(Self {
            starttls: Ports::free()?,
            implicit: Ports::free()?,
        })
    }

    /// Listeners that take no password in the clear, though they are on loopback.
    fn config(self, kind: &str, keys: &str) -> String {
        let starttls = format!("tls = \"starttls\"\nplaintext_login = false\n{keys}");
        let implicit = format!("tls = \"implicit\"\n{keys}");
        listeners(kind, self.starttls, &starttls) + &listeners(kind, self.implicit, &implicit)
    }
}

/// A home with a certificate, and how it is reached.
pub(super) struct TlsHome {
    pub(super) server: Homing,
    pub(super) doors: Doors,
    pub(super) certificate: Certificate,
    scratch: Scratch,
}

impl TlsHome {
    /// alice and bob live here.
    pub(super) fn start() -> Result<Self> {
        Self::start_as(&["localhost", "127.0.0.1"])
    }

    /// The same with a certificate for these names.
    pub(super) fn start_as(names: &[&str]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let certificate = self_signed_for(scratch.path(), names)?;
        let doors = Doors::free()?;
        let config =
            certificate_section(&certificate) + &doors.config("", "trusted_networks = [\"127.0.0.0/8\"]");
        let server = start_home(&config, &[ALICE, BOB])?;
        Ok(Self {
            server,
            doors,
            certificate,
            scratch,
        })
    }

    /// A folder for what a test needs besides.
    pub(super) fn folder(&self, name: &str) -> Result<std::path::PathBuf> {
        self.scratch.folder(name)
    }
}

/// How a front end speaks to its home.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToHome<'a> {
    pub(super) ports: Ports,
    pub(super) tls: &'a str,
    pub(super) ca_file: &'a Path,
}

/// A front end with the certificate, before one home.
pub(super) struct TlsFront {
    pub(super) front: LocalFront,
    pub(super) doors: Doors,
}

impl TlsFront {
    pub(super) fn start(certificate: &Certificate, home: ToHome<'_>) -> Result<Self> {
        let doors = Doors::free()?;
        let each = format!("tls = \"{}\"", home.tls);
        let trust = format!("ca_file = \"{}\"", home.ca_file.display());
        let sections = certificate_section(certificate)
            + &doors.config("_proxy", "")
            + &home_entry("home", home.ports, &trust, &each);
        let parts = FrontParts {
            sections: &sections,
            ..FrontParts::default()
        };
        let front = LocalFront::start(&[(ALICE, "home"), (BOB, "home")], parts)?;
        Ok(Self { front, doors })
    }
}

fn certificate_section(certificate: &Certificate) -> String {
    format!(
        "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        certificate.certificate.display(),
        certificate.key.display()
    )
}

/// The client's side of TLS in Python.
pub(super) fn python(args: &[&str], password: &str) -> Result<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/data/tls/client.py");
    let mut all = vec![script];
    all.extend_from_slice(args);
    testkit::run_with_input("python3", &all, password.as_bytes())
}
