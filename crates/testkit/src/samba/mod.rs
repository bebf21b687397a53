//! A real Samba Active Directory domain controller, headless, in a network name space of its own.
//!
//! It listens on the standard ports of its own loopback address; relays bring them to free ports of ours.
//! The domain is provisioned once and copied, so that a test waits for the start only. Needs root, for the name
//! space; without it the launcher says so and starts nothing.

mod relay;
mod template;

use crate::process::Child;
use crate::scratch::{Scratch, free_port};
use crate::{Certificate, Identity, Person, run_with_input, self_signed_for};
use anyhow::{Context, Result, ensure};
use base64::Engine;
use relay::Relay;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// The password of `Administrator`.
const ADMINISTRATOR_PASSWORD: &str = "Passw0rd!x9";

/// The domain's naming context.
const SUFFIX: &str = "DC=ad,DC=example,DC=test";

/// A running domain controller of `ad.example.test`.
#[derive(Debug)]
pub struct Samba {
    // Dropped in this order: first nobody gets in, then it ends, then its files go.
    relays: Vec<Relay>,
    child: Option<Child>,
    scratch: Scratch,
    /// Its LDAP port on 127.0.0.1; offers StartTLS.
    pub port: u16,
    /// Its LDAPS port on 127.0.0.1.
    pub tls_port: u16,
    /// The naming context, `DC=ad,DC=example,DC=test`.
    pub suffix: String,
    /// May do everything.
    pub administrator: Identity,
    certificate: Certificate,
}

impl Samba {
    /// Starts one with nothing but what provisioning makes, plus `OU=People` and `OU=Groups`, and loads `ldif`
    /// (which may be empty).
    pub fn start(ldif: &str) -> Result<Self> {
        check_machine()?;
        let scratch = Scratch::new()?;
        template::copy_to(scratch.path())?;
        let certificate =
            self_signed_for(scratch.path(), &["localhost", "127.0.0.1", "dc1.ad.example.test"])?;
        // Samba refuses a key that others may read.
        std::fs::set_permissions(&certificate.key, std::fs::Permissions::from_mode(0o600))?;
        template::write_smb_conf(&scratch, &certificate)?;
        let mut samba = Self {
            relays: Vec::new(),
            child: None,
            scratch,
            port: free_port()?,
            tls_port: free_port()?,
            suffix: SUFFIX.to_owned(),
            administrator: Identity {
                dn: format!("CN=Administrator,CN=Users,{SUFFIX}"),
                password: ADMINISTRATOR_PASSWORD.to_owned(),
            },
            certificate,
        };
        samba.restart()?;
        samba.add(&tree())?;
        if !ldif.is_empty() {
            samba.add(ldif)?;
        }
        Ok(samba)
    }

    /// `ldap://127.0.0.1:PORT`
    #[must_use]
    pub fn uri(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// `ldaps://127.0.0.1:PORT`
    #[must_use]
    pub fn tls_uri(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.tls_port)
    }

    /// `ldapi://...`: the Unix socket, which no relay stands before.
    #[must_use]
    pub fn ldapi_uri(&self) -> String {
        let path = self.scratch.join("private/ldapi").display().to_string();
        format!("ldapi://{}", path.replace('/', "%2F"))
    }

    /// The certificate that StartTLS and ldaps show; it is its own CA file.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Where people stand: `OU=People` of the domain.
    #[must_use]
    pub fn people_dn(&self) -> String {
        format!("OU=People,{SUFFIX}")
    }

    /// Where groups stand: `OU=Groups` of the domain.
    #[must_use]
    pub fn groups_dn(&self) -> String {
        format!("OU=Groups,{SUFFIX}")
    }

    /// The DN of a user made from [`Samba::user_ldif`].
    #[must_use]
    pub fn user_dn(&self, name: &str) -> String {
        format!("CN={name},{}", self.people_dn())
    }

    /// Starts it (again) on the same ports and data.
    pub fn restart(&mut self) -> Result<()> {
        self.relays.clear();
        self.child = None;
        let socket = self.scratch.join("private/ldapi");
        let _ = std::fs::remove_file(&socket);
        let command = "ip link set lo up && exec samba -i -M single --debug-stdout -s \"$1\"";
        let smb_conf = self.scratch.join("etc/smb.conf").display().to_string();
        let args = ["-n", "--", "bash", "-c", command, "bash", &smb_conf];
        let log = self.scratch.join("samba.log");
        let mut child = Child::spawn(&PathBuf::from("/usr/bin/unshare"), &args, &log)?;
        child.wait_until(Duration::from_secs(60), || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })?;
        let name_space = std::fs::File::open(format!("/proc/{}/ns/net", child.id()))
            .context("the name space of the domain controller")?;
        self.child = Some(child);
        for (port, target) in [(self.port, 389), (self.tls_port, 636)] {
            self.relays.push(Relay::start(port, &name_space, target)?);
        }
        Ok(())
    }

    /// Ends it in good order; nobody answers on its ports then.
    pub fn stop(&mut self) -> Result<()> {
        self.relays.clear();
        match self.child.take() {
            Some(mut child) => child.stop(Duration::from_secs(10)).map(drop),
            None => Ok(()),
        }
    }

    /// SIGKILL; nobody answers on its ports then.
    pub fn kill(&mut self) -> Result<()> {
        let killed = match self.child.take() {
            Some(mut child) => child.kill(),
            None => Ok(()),
        };
        self.relays.clear();
        killed
    }

    /// The running process, for freezing it.
    #[must_use]
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("samba.log")).unwrap_or_default()
    }

    /// Adds entries with the real ldapadd, as Administrator.
    pub fn add(&self, ldif: &str) -> Result<()> {
        self.client("ldapadd", &[], ldif).map(drop)
    }

    /// Applies LDIF change records with the real ldapmodify, as Administrator.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        self.client("ldapmodify", &[], ldif).map(drop)
    }

    /// Deletes one entry with the real ldapdelete, as Administrator.
    pub fn delete(&self, dn: &str) -> Result<()> {
        self.client("ldapdelete", &[dn], "").map(drop)
    }

    /// Asks with the real ldapsearch, as Administrator; LDIF without comments.
    pub fn search(&self, base: &str, filter: &str, attributes: &[&str]) -> Result<String> {
        let mut args = vec!["-LLL", "-o", "ldif-wrap=no", "-b", base, filter];
        args.extend_from_slice(attributes);
        self.client("ldapsearch", &args, "")
    }

    /// Sets somebody's password, as an administrator does; it need not be changed at the next login.
    pub fn set_password(&self, dn: &str, password: &str) -> Result<()> {
        self.modify(&format!(
            "dn: {dn}\nchangetype: modify\nreplace: unicodePwd\n{}-\n",
            password_line(password)
        ))
    }

    /// LDIF of an ordinary, enabled user in [`Samba::people_dn`]: `cn` and `sAMAccountName` are `name`,
    /// `userPrincipalName` and `mail` are `address`. `more` is further lines, each with its line end.
    #[must_use]
    pub fn user_ldif(&self, name: &str, address: &str, password: &str, more: &str) -> String {
        format!(
            "dn: {}\nobjectClass: user\nsAMAccountName: {name}\nuserPrincipalName: {address}\nmail: {address}\n\
             userAccountControl: 512\n{}{more}\n",
            self.user_dn(name),
            password_line(password),
        )
    }

    /// LDIF of a generated person as an AD user, with the host in `msDS-cloudExtensionAttribute1`.
    #[must_use]
    pub fn person_ldif(&self, person: &Person) -> String {
        let line = |attribute: &str, value: &str| {
            let value = base64::engine::general_purpose::STANDARD.encode(value);
            format!("{attribute}:: {value}\n")
        };
        let more = line("givenName", &person.given_name)
            + &line("sn", &person.surname)
            + &line(
                "displayName",
                &format!("{} {}", person.given_name, person.surname),
            )
            + &line("msDS-cloudExtensionAttribute1", &person.host);
        self.user_ldif(&person.uid, &person.mail, &person.password, &more)
    }

    /// LDIF of a group in [`Samba::groups_dn`] with a mail address; `members` are DNs.
    #[must_use]
    pub fn group_ldif(&self, name: &str, address: &str, members: &[String]) -> String {
        let mut ldif = format!(
            "dn: CN={name},{}\nobjectClass: group\nsAMAccountName: {name}\nmail: {address}\n",
            self.groups_dn()
        );
        for member in members {
            let _ = writeln!(ldif, "member: {member}");
        }
        ldif.push('\n');
        ldif
    }

    fn client(&self, program: &str, args: &[&str], input: &str) -> Result<String> {
        let password = self
            .scratch
            .write("administrator.pw", &self.administrator.password)?
            .display()
            .to_string();
        let uri = self.ldapi_uri();
        let mut all = vec!["-x", "-H", &uri, "-D", &self.administrator.dn, "-y", &password];
        all.extend_from_slice(args);
        run_with_input(program, &all, input.as_bytes())
    }
}

/// The line of LDIF that sets a password: in quotes, as UTF-16 with the low byte first.
fn password_line(password: &str) -> String {
    let quoted: Vec<u8> = format!("\"{password}\"")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let value = base64::engine::general_purpose::STANDARD.encode(quoted);
    format!("unicodePwd:: {value}\n")
}

fn tree() -> String {
    ["People", "Groups"]
        .map(|name| format!("dn: OU={name},{SUFFIX}\nobjectClass: organizationalUnit\n\n"))
        .concat()
}

/// Says in one line what keeps it from starting here.
fn check_machine() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a Samba domain controller needs root, for its network name space: run this test as root"
    );
    for (file, package) in [
        ("/usr/sbin/samba", "samba-ad-dc"),
        ("/usr/bin/samba-tool", "samba"),
        ("/usr/bin/ldapmodify", "ldap-utils"),
        ("/usr/bin/unshare", "util-linux"),
        ("/usr/share/samba/setup/provision.ldif", "samba-ad-provision"),
    ] {
        ensure!(
            std::path::Path::new(file).exists(),
            "{file} is missing: install the package {package}"
        );
    }
    let has_ip = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"]
        .iter()
        .any(|file| std::path::Path::new(file).exists());
    ensure!(has_ip, "ip is missing: install the package iproute2");
    Ok(())
}
