//! Logging in and changing passwords with real clients: every mechanism, at a home and through a front end.

mod budget;
mod certificates;
mod change;
mod issuer;
mod mechanisms;
mod tokens;
mod upgrade;

use crate::login::ReadPorts;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use system_tests::DOMAIN;
use system_tests::steps::eventually;
use testkit::{
    Authority, Certificate, Homing, HomingBinary, People, Scratch, Slapd, SlapdOptions, free_port,
    self_signed,
};

/// Where everybody lives.
const HOME: &str = "store1.localdomain.test";
const FRONT: &str = "front.localdomain.test";

/// The password "pencil" with the salt of RFC 7677 section 3.
const PENCIL: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
/// The password "correct horse", as slappasswd has hashed it.
const HORSE: &str = "{SSHA}8oEOzC5lqikWUwd8DEe/7y2R5F8cUwdS";

/// The ways into a server.
#[derive(Debug, Clone, Copy)]
struct Doors {
    plain: ReadPorts,
    starttls: ReadPorts,
    implicit: ReadPorts,
    /// For front ends, whose word is taken there.
    inner: ReadPorts,
}

impl Doors {
    fn free() -> Result<Self> {
        let ports = || {
            anyhow::Ok(ReadPorts {
                imap: free_port()?,
                pop3: free_port()?,
            })
        };
        Ok(Self {
            plain: ports()?,
            starttls: ports()?,
            implicit: ports()?,
            inner: ports()?,
        })
    }

    fn config(self, kind: &str) -> String {
        let mut config = String::new();
        for (ports, keys) in [
            (self.plain, "tls = \"none\""),
            // Loopback, and yet nothing that shows or proves a password is taken in the clear.
            (self.starttls, "tls = \"starttls\"\nplaintext_login = false"),
            (self.implicit, "tls = \"implicit\""),
            (self.inner, "tls = \"none\"\ntrusted_networks = [\"127.0.0.0/8\"]"),
        ] {
            for (service, port) in [("imap", ports.imap), ("pop3", ports.pop3)] {
                let _ = write!(
                    config,
                    "[[{service}{kind}.listener]]\naddress = \"127.0.0.1:{port}\"\n{keys}\n"
                );
            }
        }
        config
    }

    fn ports(self, mode: &str) -> ReadPorts {
        match mode {
            "plain" => self.plain,
            "starttls" => self.starttls,
            _ => self.implicit,
        }
    }
}

/// What a test wants of its servers.
#[derive(Debug, Clone, Copy)]
struct Options<'a> {
    /// The chain of the domain.
    auth: &'a str,
    /// Further keys of the connector, on every server.
    connector: &'a str,
    /// Further sections, on every server.
    sections: &'a str,
    /// The directory locks an account after so many failed binds.
    lockout: Option<u32>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            auth: "[\"ldap-password\"]",
            connector: "",
            sections: "",
            lockout: None,
        }
    }
}

/// All mechanisms that a directory can check.
const CHALLENGES: &str = "challenge_response = [\"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"CRAM-MD5\"]";

/// A directory and a home. alice has clear text in the directory, bob SCRAM keys, carol an old hash.
struct Site {
    scratch: Scratch,
    people: People,
    slapd: Slapd,
    certificate: Certificate,
    authority: Authority,
    home: Homing,
    home_doors: Doors,
}

impl Site {
    fn start(options: Options<'_>) -> Result<Self> {
        let scratch = Scratch::new()?;
        let certificate = self_signed(scratch.path())?;
        let authority = Authority::new(&scratch.folder("people")?)?;
        let mut people = People::generate(DOMAIN, 4, &[HOME]);
        for (uid, value) in [("bob", PENCIL), ("carol", HORSE)] {
            let person = people.persons.iter_mut().find(|person| person.uid == uid);
            person.context(uid)?.password = value.to_owned();
        }
        let binary = HomingBinary::find()?;
        let set_up = SlapdOptions {
            suffix: people.suffix.clone(),
            port: 0,
        };
        let slapd = match options.lockout {
            None => Slapd::start(&binary, &set_up, &people.ldif())?,
            Some(failures) => Slapd::start_with_lockout(&binary, &set_up, &people.ldif(), failures)?,
        };
        let home_doors = Doors::free()?;
        let mut config = common(HOME, &certificate, &authority, &slapd, &people, options);
        let _ = write!(
            config,
            "[[domain]]\nname = \"{DOMAIN}\"\nauth = {}\nconnector = \"corp\"\n\
             [[trusted_front_end]]\nname = \"{FRONT}\"\nkeys = \"{}\"\n{}",
            options.auth,
            scratch.join("front.jwks").display(),
            home_doors.config(""),
        );
        front_keys(&binary, &scratch)?;
        let home = Homing::start(&binary, &config)?;
        let site = Self {
            scratch,
            people,
            slapd,
            certificate,
            authority,
            home,
            home_doors,
        };
        eventually("the home has the accounts", || {
            let listed = site.home.command(&["account", "list"])?;
            Ok(site
                .people
                .persons
                .iter()
                .all(|person| listed.contains(&person.mail)))
        })
        .with_context(|| site.home.log_tail())?;
        Ok(site)
    }

    /// A front end that checks logins itself and enters the home with its own word.
    fn front(&self, options: Options<'_>, map: &str) -> Result<(Homing, Doors)> {
        let (doors, inner) = (Doors::free()?, self.home_doors.inner);
        let mut config = common(
            FRONT,
            &self.certificate,
            &self.authority,
            &self.slapd,
            &self.people,
            options,
        );
        let _ = write!(
            config,
            "[[user_map]]\nname = \"people\"\nconnector = \"corp\"\n{map}\n\
             [imap_proxy]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n\
             [pop3_proxy]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n\
             [[home]]\nname = \"{HOME}\"\nhost = \"127.0.0.1\"\n\
             imap.port = {}\nimap.login = \"assertion\"\npop3.port = {}\npop3.login = \"assertion\"\n{}",
            inner.imap,
            inner.pop3,
            doors.config("_proxy"),
        );
        let front = Homing::start(&HomingBinary::find()?, &config)?;
        let keys = front.folder().join("data/cluster-keys");
        std::fs::create_dir_all(&keys)?;
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700))?;
        for file in std::fs::read_dir(self.scratch.join("data/cluster-keys"))? {
            let file = file?;
            std::fs::copy(file.path(), keys.join(file.file_name()))?;
        }
        Ok((front, doors))
    }

    fn mail(&self, uid: &str) -> String {
        format!("{uid}@{DOMAIN}")
    }

    fn ca(&self) -> String {
        self.certificate.certificate.display().to_string()
    }

    /// A login of Python's client at this door; the keys of `how` are put over what every attempt has.
    fn attempt(&self, doors: Doors, protocol: &str, mode: &str, how: Value) -> Value {
        let ports = doors.ports(mode);
        let port = if protocol == "imap" {
            ports.imap
        } else {
            ports.pop3
        };
        let mut attempt = json!({
            "protocol": protocol, "mode": mode, "port": port, "ca": self.ca(),
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut attempt, how) {
            all.extend(more);
        }
        attempt
    }
}

/// The keys with which a front end vouches, made before the home that is to believe them.
fn front_keys(binary: &HomingBinary, scratch: &Scratch) -> Result<()> {
    let data = scratch.folder("data")?;
    let text = format!("server_name = \"{FRONT}\"\ndata_dir = \"{}\"\n", data.display());
    let config = scratch.write("keys.toml", &text)?.display().to_string();
    binary.run(&["cluster", "key", "generate", "--config", &config])?;
    let out = scratch.join("front.jwks").display().to_string();
    let export = [
        "cluster", "key", "export", "--format", "jwks", "--out", &out, "--config", &config,
    ];
    binary.run(&export).map(drop)
}

/// What every server has.
fn common(
    name: &str,
    certificate: &Certificate,
    authority: &Authority,
    slapd: &Slapd,
    people: &People,
    options: Options<'_>,
) -> String {
    let path = |path: &Path| path.display().to_string();
    format!(
        "server_name = \"{name}\"\ndefault_domain = \"{DOMAIN}\"\n\
         [sessions]\nrecheck = 3600\n\
         [tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n\
         [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\n\
         bind_dn = \"{}\"\nbind_password = \"{}\"\nwrite_bind_dn = \"{}\"\nwrite_bind_password = \"{}\"\n\
         timeout = 2\naccounts.base_dn = [\"{}\"]\ngroups.base_dn = [\"{}\"]\n{}\n{}\n",
        path(&certificate.certificate),
        path(&certificate.key),
        path(&authority.certificate),
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
        slapd.writer.dn,
        slapd.writer.password,
        people.users_dn,
        people.groups_dn,
        options.connector,
        options.sections,
    )
}

/// Logs in once for each attempt, with Python's own clients; what came of each.
fn python(attempts: &[Value]) -> Result<Vec<Value>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/data/logins/client.py");
    let input = serde_json::to_vec(attempts)?;
    let printed = testkit::run_with_input("python3", &["-B", script], &input)?;
    let told: Vec<Value> = serde_json::from_str(&printed)?;
    ensure!(told.len() == attempts.len(), "{printed}");
    Ok(told)
}

/// Every attempt must come to its outcome.
fn expect(attempts: &[(Value, &str)]) -> Result<Vec<Value>> {
    let tried: Vec<Value> = attempts.iter().map(|(attempt, _)| attempt.clone()).collect();
    let told = python(&tried)?;
    for ((attempt, expected), told) in attempts.iter().zip(&told) {
        ensure!(
            told["outcome"] == *expected,
            "{attempt}\nis {told}\nand should be {expected}"
        );
    }
    Ok(told)
}

const PROTOCOLS: [&str; 2] = ["imap", "pop3"];
const MODES: [&str; 3] = ["plain", "starttls", "implicit"];
