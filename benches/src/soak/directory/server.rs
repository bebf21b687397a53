//! The process of the directory: a slapd with a short session log, or a Samba domain controller.

use super::DOMAIN;
use super::words::{Kind, Words};
use anyhow::{Context, Result};
use testkit::{HomingBinary, Identity, Samba, Slapd, SlapdOptions};

/// Changes that slapd's session log remembers: few, so that it overflows.
const SESSION_LOG: usize = 50;

pub(super) enum Server {
    Slapd(Box<Slapd>),
    Samba(Box<Samba>),
}

impl Server {
    /// Starts one with nobody in it.
    pub(super) fn start(binary: &HomingBinary, kind: Kind) -> Result<(Self, Words)> {
        match kind {
            Kind::Openldap => {
                let words = Words::openldap();
                let [_, east] = &words.places;
                let ldif = format!("dn: {east}\nobjectClass: organizationalUnit\nou: East\n\n");
                let options = SlapdOptions {
                    suffix: "dc=localdomain,dc=test".to_owned(),
                    port: 0,
                };
                let mut slapd = Slapd::start(binary, &options, &ldif)?;
                shorten(&mut slapd)?;
                Ok((Self::Slapd(Box::new(slapd)), words))
            }
            Kind::Ad => {
                let samba = Samba::start("")?;
                let words = Words::active_directory(&samba.suffix, &samba.people_dn(), &samba.groups_dn());
                let [_, east] = &words.places;
                samba.add(&format!("dn: {east}\nobjectClass: organizationalUnit\n\n"))?;
                Ok((Self::Samba(Box::new(samba)), words))
            }
        }
    }

    /// Where editors connect, and who they are.
    pub(super) fn editor(&self) -> (String, Identity) {
        match self {
            Self::Slapd(slapd) => (slapd.uri(), slapd.root.clone()),
            Self::Samba(samba) => (samba.ldapi_uri(), samba.administrator.clone()),
        }
    }

    /// What only this kind of directory has in the section of the connector.
    pub(super) fn connector(&self, words: &Words) -> String {
        let own = match self {
            Self::Slapd(slapd) => {
                let (reader, writer) = (&slapd.reader, &slapd.writer);
                format!(
                    "server_type = \"openldap\"\nuris = [\"{}\"]\n{}{}",
                    slapd.uri(),
                    bind("bind", reader),
                    bind("write_bind", writer)
                )
            }
            Self::Samba(samba) => format!(
                "server_type = \"active-directory\"\nuris = [\"{}\"]\nca_file = \"{}\"\n{}\
                 attributes.quota = \"{}\"\nattributes.host = \"{}\"\n",
                samba.tls_uri(),
                samba.certificate().certificate.display(),
                bind("bind", &samba.administrator),
                words.quota,
                words.host
            ),
        };
        let [users, _] = &words.places;
        let teams = &words.teams;
        format!(
            "{own}accounts.base_dn = [\"{users}\"]\ngroups.base_dn = [\"{teams}\"]\ndomains = [\"{DOMAIN}\"]\n"
        )
    }

    pub(super) fn child(&self) -> Option<&testkit::Child> {
        match self {
            Self::Slapd(slapd) => slapd.child(),
            Self::Samba(samba) => samba.child(),
        }
    }

    pub(super) fn restart(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.restart(),
            Self::Samba(samba) => samba.restart(),
        }
    }

    pub(super) fn stop(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.stop(),
            Self::Samba(samba) => samba.stop(),
        }
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.kill(),
            Self::Samba(samba) => samba.kill(),
        }
    }
}

/// Whom the mail server binds as.
fn bind(key: &str, who: &Identity) -> String {
    format!("{key}_dn = {:?}\n{key}_password = {:?}\n", who.dn, who.password)
}

fn shorten(slapd: &mut Slapd) -> Result<()> {
    let config = slapd.config();
    let text = std::fs::read_to_string(&config)?;
    let mut found = false;
    let lines = text.lines().map(|line| {
        if line.starts_with("syncprov-sessionlog") {
            found = true;
            format!("syncprov-sessionlog {SESSION_LOG}\n")
        } else {
            format!("{line}\n")
        }
    });
    let text = lines.collect::<String>();
    found.then_some(()).context("slapd has no session log")?;
    std::fs::write(&config, text)?;
    slapd.restart()
}
