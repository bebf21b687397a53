//! A front end with every kind of listener before one home, which it logs in to in every way.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use system_tests::Ports;
use testkit::{Dovecot, Homing, HomingBinary, Scratch, free_port, self_signed};

pub(super) const PASSWORD: &str = "matrix-secret";
const FRONT: &str = "front.example.test";
/// The home's name in every way but one: an assertion is made out to the home's own name.
const HOME: &str = "store.example.test";
const MASTER: &str = "front-master";
const MASTER_PASSWORD: &str = "master-secret";

/// Who checks the password first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authenticate {
    Edge,
    Home,
}

impl Authenticate {
    /// The ways to log in at the home that a configuration may name with it: nobody is vouched for who was not checked.
    pub(super) fn logins(self) -> &'static [Login] {
        match self {
            Self::Edge => &Login::ALL,
            Self::Home => &[Login::Replay],
        }
    }
}

/// What the home is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Homing,
    Dovecot,
}

/// How the front end logs in there. Each has an account of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Login {
    Replay,
    Assertion,
    Master,
}

impl Login {
    const ALL: [Self; 3] = [Self::Replay, Self::Assertion, Self::Master];

    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Assertion => "assertion",
            Self::Master => "master",
        }
    }

    pub(super) fn account(self) -> String {
        format!("{}@example.test", self.name())
    }

    /// What the maps call the home for this account.
    fn home(self) -> String {
        match self {
            Self::Assertion => HOME.to_owned(),
            other => format!("{}.example.test", other.name()),
        }
    }
}

/// A client as its home is to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'a> {
    /// With its port.
    pub(super) address: &'a str,
    /// `TLS` or `insecure`.
    pub(super) transport: &'static str,
    /// The session in the front end's log.
    pub(super) trace: &'a str,
}

enum Home {
    Homing(Homing),
    Dovecot(Dovecot),
}

pub(super) struct Site {
    pub(super) authenticate: Authenticate,
    pub(super) kind: Kind,
    front: Homing,
    home: Home,
    scratch: Scratch,
    /// Plain, STARTTLS and implicit TLS.
    doors: [Ports; 3],
}

impl Site {
    pub(super) fn start(authenticate: Authenticate, kind: Kind) -> Result<Self> {
        let scratch = Scratch::new()?;
        // Dovecot's authentication runs as a user of its own.
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755))?;
        let doors = [Ports::free()?, Ports::free()?, Ports::free()?];
        let (home, front) = match kind {
            Kind::Dovecot => {
                let dovecot = dovecot(&scratch)?;
                let front = front(&scratch, authenticate, doors, (dovecot.imap, dovecot.pop3))?;
                let keys = scratch.join("trusted").display().to_string();
                front.command(&["cluster", "key", "export", "--format", "dovecot", "--out", &keys])?;
                open_to_all(Path::new(&keys))?;
                (Home::Dovecot(dovecot), front)
            }
            Kind::Homing => {
                let ports = (free_port()?, free_port()?);
                let front = front(&scratch, authenticate, doors, ports)?;
                let keys = scratch.join("front.jwks").display().to_string();
                front.command(&["cluster", "key", "export", "--format", "jwks", "--out", &keys])?;
                (Home::Homing(homing(&keys, ports)?), front)
            }
        };
        Ok(Self {
            authenticate,
            kind,
            front,
            home,
            scratch,
            doors,
        })
    }

    pub(super) fn port(&self, protocol: &str, tls: &str) -> u16 {
        let door = match tls {
            "none" => self.doors[0],
            "starttls" => self.doors[1],
            _ => self.doors[2],
        };
        match protocol {
            "imap" => door.imap,
            _ => door.pop3,
        }
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.scratch.join("tls.crt")
    }

    pub(super) fn logs(&self) -> String {
        let home = match &self.home {
            Home::Homing(home) => home.log_tail(),
            Home::Dovecot(home) => home.log(),
        };
        format!("front:\n{}\nhome:\n{home}", self.front.log_tail())
    }

    /// The row of the front end's list for this client.
    pub(super) fn session_at_the_front(&self, client: &str) -> Result<Value> {
        session(&self.front, client)?.with_context(|| format!("the front end has no session from {client}"))
    }

    /// Whether the home has been told who the client is.
    pub(super) fn home_knows(&self, protocol: &str, client: Client<'_>) -> Result<bool> {
        let Client {
            address,
            transport,
            trace,
        } = client;
        match &self.home {
            Home::Homing(home) => {
                let row = session(home, address)?;
                let told = [
                    format!("trace={trace}"),
                    format!("client={address}"),
                    format!("transport=\"{transport}\""),
                ];
                let log = std::fs::read_to_string(home.log())?;
                let logged = log
                    .lines()
                    .any(|line| told.iter().all(|part| line.contains(part)));
                Ok(logged && row.is_some_and(|row| row["trace"] == trace && row["protocol"] == protocol))
            }
            Home::Dovecot(home) => {
                let (address, port) = address.rsplit_once(':').context("an address and a port")?;
                let told = [
                    format!("{protocol}-login: Info: Login"),
                    format!("rip={address},"),
                    format!("rport={port},"),
                    format!("transport=<{transport}>,"),
                    format!("session=<{trace}>"),
                ];
                let log = home.log();
                Ok(log
                    .lines()
                    .any(|line| told.iter().all(|part| line.contains(part))))
            }
        }
    }
}

fn session(server: &Homing, client: &str) -> Result<Option<Value>> {
    let rows: Value = serde_json::from_str(&server.command(&["session", "list", "--json"])?)?;
    let found = rows
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["client"] == client));
    Ok(found.cloned())
}

fn front(
    scratch: &Scratch,
    authenticate: Authenticate,
    doors: [Ports; 3],
    (imap, pop3): (u16, u16),
) -> Result<Homing> {
    let certificate = self_signed(scratch.path())?;
    let rules: String = Login::ALL
        .iter()
        .map(|login| format!("{} {}\n", login.account(), login.home()))
        .collect();
    let map = scratch.write("map", &rules)?;
    let master = scratch.write("master", MASTER_PASSWORD)?;
    let (checks, accounts) = match authenticate {
        Authenticate::Edge => ("auth = [\"local\"]", true),
        Authenticate::Home => ("authenticate = \"home\"", false),
    };
    let mut config = format!(
        "server_name = \"{FRONT}\"\nholds_accounts = {accounts}\n\
         [tls]\ncertificate = {:?}\nkey = {:?}\n\
         [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = {:?}\n",
        certificate.certificate.display().to_string(),
        certificate.key.display().to_string(),
        map.display().to_string(),
    );
    for protocol in ["imap", "pop3"] {
        let _ = writeln!(config, "[{protocol}_proxy]\nuser_maps = [\"file\"]\n{checks}");
        for (door, tls) in doors.iter().zip(["none", "starttls", "implicit"]) {
            let port = if protocol == "imap" { door.imap } else { door.pop3 };
            let _ = writeln!(
                config,
                "[[{protocol}_proxy.listener]]\naddress = \"127.0.0.1:{port}\"\ntls = \"{tls}\"\n\
                 plaintext_login = {}",
                tls == "none"
            );
        }
    }
    for login in authenticate.logins() {
        let (home, name) = (login.home(), login.name());
        let _ = writeln!(
            config,
            "[[home]]\nname = \"{home}\"\nhost = \"127.0.0.1\"\nimap.port = {imap}\nimap.login = \"{name}\"\n\
             pop3.port = {pop3}\npop3.login = \"{name}\""
        );
        if *login == Login::Master {
            let _ = writeln!(
                config,
                "master_user = \"{MASTER}\"\nmaster_password_file = {:?}",
                master.display().to_string()
            );
        }
    }
    let front = Homing::start(&HomingBinary::find()?, &config)?;
    if accounts {
        create_accounts(&front)?;
    } else {
        front.command(&["cluster", "key", "generate"])?;
    }
    Ok(front)
}

fn create_accounts(server: &Homing) -> Result<()> {
    server.command(&["domain", "create", "example.test"])?;
    for login in Login::ALL {
        let account = login.account();
        let args = ["account", "create", &account, "--password-stdin"];
        server.command_with_input(&args, PASSWORD.as_bytes())?;
    }
    Ok(())
}

/// A home that trusts the front end.
fn homing(keys: &str, (imap, pop3): (u16, u16)) -> Result<Homing> {
    let mut config =
        format!("server_name = \"{HOME}\"\n[[trusted_front_end]]\nname = \"{FRONT}\"\nkeys = \"{keys}\"\n");
    for (service, port) in [("imap", imap), ("pop3", pop3)] {
        let _ = writeln!(
            config,
            "[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_networks = [\"127.0.0.1\"]"
        );
    }
    let home = Homing::start(&HomingBinary::find()?, &config)?;
    create_accounts(&home)?;
    Ok(home)
}

/// A Dovecot that believes the front end's signature, and its master password.
fn dovecot(scratch: &Scratch) -> Result<Dovecot> {
    let keys = scratch.folder("trusted")?;
    let oauth2 = scratch.write(
        "oauth2.conf",
        &format!(
            "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={}/\n\
             username_attribute = sub\nissuers = {FRONT}\n",
            keys.display()
        ),
    )?;
    let masters = scratch.write("masters", &format!("{MASTER}:{{PLAIN}}{MASTER_PASSWORD}\n"))?;
    for file in [&oauth2, &masters] {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644))?;
    }
    let settings = format!(
        "auth_mechanisms = plain oauthbearer\nlogin_trusted_networks = 127.0.0.1\nauth_failure_delay = 0\n\
         login_log_format_elements = user=<%u> method=%m rip=%r rport=%b transport=<%{{passdb:forward_transport}}> session=<%{{session}}>\n\
         passdb {{\n driver = oauth2\n mechanisms = oauthbearer xoauth2\n args = {}\n}}\n\
         passdb {{\n driver = passwd-file\n args = {}\n master = yes\n}}\n",
        oauth2.display(),
        masters.display()
    );
    let accounts = Login::ALL.map(Login::account);
    let users: Vec<(&str, &str)> = accounts
        .iter()
        .map(|account| (account.as_str(), PASSWORD))
        .collect();
    Dovecot::start(&users, &settings)
}

/// Folders and files below it can be read by everybody.
fn open_to_all(path: &Path) -> Result<()> {
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}

/// A front end that is to be configured like that does not start, and says why.
pub(super) fn refused(protocol: &str, login: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let map = scratch.write("map", "@example.test store.example.test\n")?;
    let master = scratch.write("master", MASTER_PASSWORD)?;
    let config = format!(
        "server_name = \"{FRONT}\"\n[[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = {:?}\n\
         [{protocol}_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n\
         [[{protocol}_proxy.listener]]\naddress = \"127.0.0.1:0\"\n\
         [[home]]\nname = \"{HOME}\"\n{protocol}.login = \"{login}\"\nmaster_user = \"{MASTER}\"\n\
         master_password_file = {:?}\n",
        map.display().to_string(),
        master.display().to_string()
    );
    let path = scratch.write("homing.toml", &config)?.display().to_string();
    let (code, _, told) = HomingBinary::find()?.output(&["check-config", "--config", &path])?;
    ensure!(code == Some(64), "{code:?}: {told}");
    ensure!(told.contains("nobody would check the password"), "{told}");
    Ok(())
}
