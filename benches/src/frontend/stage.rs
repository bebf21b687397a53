//! One directory, two homes, and every front end before them.
//!
//! The home of a person is an address of the loopback network: 127.0.0.2 answers at once, 127.0.0.1 is a real Dovecot
//! with mailboxes. Both have the same ports there, so that every peer can be told the way by `mailHost` alone.

use super::auth_http::{Answer, AuthHttp};
use super::peers;
use crate::client::{Dialect, Imap, Login, Message, Target};
use crate::load::drive;
use crate::null_home::{LARGE, NullHome};
use crate::stage::{DOVECOT_SETTINGS, salted_sha1};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use testkit::{
    Certificate, Child, Dovecot, Homing, HomingBinary, People, Postfix, Scratch, Slapd, SlapdOptions,
    free_port, self_signed,
};
use tokio::runtime::Runtime;

const DOMAIN: &str = "bench.test";
const PEOPLE: usize = 104;

/// The ports of both homes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Homes {
    pub(super) imap: u16,
    pub(super) lmtp: u16,
    /// Only the one that answers at once has it.
    pub(super) http: u16,
}

impl Homes {
    /// The one that answers at once.
    pub(super) const NULL: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
    /// The one with mailboxes.
    pub(super) const REAL: Ipv4Addr = Ipv4Addr::LOCALHOST;
}

/// One of those that are compared: its ports on 127.0.0.1.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) name: &'static str,
    /// The process group whose CPU time and memory count.
    pub(super) leader: u32,
    pub(super) imap: Option<u16>,
    pub(super) imaps: Option<u16>,
    /// Where people of the real home log in.
    pub(super) imap_real: Option<u16>,
    pub(super) smtp: Option<(u16, Dialect)>,
    pub(super) http: Option<u16>,
}

/// Which home the people of a round live on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Null,
    Real,
}

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) fronts: Vec<Front>,
    /// Our front end once more, with a bind for each login and no cache.
    pub(super) binding: Front,
    pub(super) homes: Homes,
    /// The peers that are not installed.
    pub(super) missing: Vec<&'static str>,
    people: Cast,
    certificate: Certificate,
    // What follows only has to live. The front ends go first, what they depend on last.
    _ours: [Homing; 2],
    _children: Vec<Child>,
    _dovecot: Dovecot,
    _postfix: Option<Postfix>,
    _responder: AuthHttp,
    _null: NullHome,
    _real: Dovecot,
    _slapd: Slapd,
    _scratch: Scratch,
}

#[derive(Debug)]
struct Cast {
    null: Arc<[Login]>,
    real: Arc<[Login]>,
}

impl Stage {
    /// Starts all of it.
    pub(super) fn start(binary: &HomingBinary, runtime: &Runtime) -> Result<Self> {
        let scratch = Scratch::new()?;
        let certificate = self_signed(scratch.path())?;
        let mut people = People::generate(DOMAIN, PEOPLE, &["127.0.0.2", "127.0.0.1"]);
        people.groups.clear();
        let cast = Cast::new(&people);
        for person in &mut people.persons {
            person.password = salted_sha1(&person.password, person.uid.as_bytes());
        }
        let options = SlapdOptions {
            suffix: people.suffix.clone(),
            port: 0,
        };
        let slapd = Slapd::start(binary, &options, &people.ldif()).context("the directory does not start")?;
        let hashes: Vec<(&str, &str)> = people
            .persons
            .iter()
            .map(|person| (person.mail.as_str(), person.password.as_str()))
            .collect();
        let real = Dovecot::start(&hashes, DOVECOT_SETTINGS).context("the real home does not start")?;
        fill(&cast.real, SocketAddr::from((Homes::REAL, real.imap)), runtime)?;
        let null = NullHome::start_at(Homes::NULL, real.imap, real.lmtp)?;
        let homes = Homes {
            imap: real.imap,
            lmtp: real.lmtp,
            http: null.http.port(),
        };
        let responder = AuthHttp::start(cast.answers(homes))?;
        let mut children = Vec::new();
        let (ours, ours_front) = homing(binary, &certificate, homes, &slapd, &people, Kind::Cached)?;
        let (binding, binding_front) = homing(binary, &certificate, homes, &slapd, &people, Kind::Binds)?;
        let (dovecot, dovecot_front) =
            peers::dovecot(&scratch, &certificate, homes, &slapd, &people.users_dn)?;
        let mut fronts = vec![ours_front, dovecot_front];
        let mut missing = Vec::new();
        let mut add = |name, found: bool, start: &dyn Fn() -> Result<(Child, Front)>| -> Result<()> {
            if !found {
                missing.push(name);
                return Ok(());
            }
            let (child, front) = start().with_context(|| format!("{name} does not start"))?;
            children.push(child);
            fronts.push(front);
            Ok(())
        };
        let there = |path: &str| Path::new(path).exists();
        add(
            "nginx",
            there("/usr/lib/nginx/modules/ngx_mail_module.so"),
            &|| peers::nginx(&scratch, &certificate, responder.port, homes),
        )?;
        add("haproxy", there("/usr/sbin/haproxy"), &|| {
            peers::haproxy(&scratch, &certificate, homes)
        })?;
        add("perdition", there("/usr/sbin/perdition.imap4"), &|| {
            peers::perdition(&scratch, homes, &slapd, &people.users_dn)
        })?;
        let mut postfix = None;
        if rustix::process::geteuid().is_root() && there("/usr/lib/postfix/postfix-ldap.so") {
            let (started, front) = peers::postfix(&scratch, homes, &slapd, &people.users_dn, DOMAIN)?;
            postfix = Some(started);
            fronts.push(front);
        } else {
            missing.push("postfix");
        }
        Ok(Self {
            fronts,
            binding: binding_front,
            homes,
            missing,
            people: cast,
            certificate,
            _ours: [ours, binding],
            _children: children,
            _dovecot: dovecot,
            _postfix: postfix,
            _responder: responder,
            _null: null,
            _real: real,
            _slapd: slapd,
            _scratch: scratch,
        })
    }

    /// The people of a home.
    pub(super) fn logins(&self, home: Home) -> Arc<[Login]> {
        match home {
            Home::Null => Arc::clone(&self.people.null),
            Home::Real => Arc::clone(&self.people.real),
        }
    }

    /// An address over TLS.
    pub(super) fn tls(&self, address: SocketAddr) -> Result<Target> {
        Target::tls(address, &self.certificate.certificate)
    }
}

/// Puts one large message into every mailbox of the real home.
fn fill(logins: &[Login], home: SocketAddr, runtime: &Runtime) -> Result<()> {
    let mut message = Message::new(LARGE);
    drive(runtime, async {
        for (index, login) in logins.iter().enumerate() {
            let mut imap = Imap::connect(&home.into()).await?;
            imap.login(login).await?;
            imap.append(message.numbered(0, index, 0)).await?;
            imap.logout().await?;
        }
        Ok(())
    })
    .context("the real home takes no message")
}

impl Cast {
    fn new(people: &People) -> Self {
        let on = |host: &str| -> Arc<[Login]> {
            people
                .persons
                .iter()
                .filter(|person| person.host == host)
                .map(|person| Login {
                    address: person.mail.clone(),
                    password: person.password.clone(),
                })
                .collect()
        };
        Self {
            null: on("127.0.0.2"),
            real: on("127.0.0.1"),
        }
    }

    fn answers(&self, homes: Homes) -> HashMap<String, Answer> {
        let of = |logins: &Arc<[Login]>, host: Ipv4Addr| -> Vec<(String, Answer)> {
            logins
                .iter()
                .map(|login| {
                    let answer = Answer {
                        password: login.password.clone(),
                        host: host.to_string(),
                        imap: homes.imap,
                        lmtp: homes.lmtp,
                    };
                    (login.address.clone(), answer)
                })
                .collect()
        };
        let mut all = of(&self.null, Homes::NULL);
        all.extend(of(&self.real, Homes::REAL));
        all.into_iter().collect()
    }
}

/// How our front end checks passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A live map, and credentials that were right a moment ago.
    Cached,
    /// A bind each time.
    Binds,
}

fn homing(
    binary: &HomingBinary,
    tls: &Certificate,
    homes: Homes,
    slapd: &Slapd,
    people: &People,
    kind: Kind,
) -> Result<(Homing, Front)> {
    let (imap, imaps, smtp, http) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let (method, cache) = match kind {
        Kind::Cached => ("ldap-password", ""),
        Kind::Binds => ("ldap-bind", "credential_ttl = 0\n"),
    };
    let mut config = format!(
        "server_name = \"front.{DOMAIN}\"\ndefault_domain = \"{DOMAIN}\"\n\
         [tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[sessions]\nmax_per_account = 10000\nmax_per_client = 100000\n\
         [[connector]]\nname = \"directory\"\nserver_type = \"openldap\"\nuris = [{uri:?}]\nbind_dn = {dn:?}\n\
         bind_password = {password:?}\naccounts.base_dn = [{users:?}]\n{cache}\
         [[user_map]]\nname = \"people\"\nkind = \"{method}\"\nconnector = \"directory\"\nlive = true\n\
         [[domain]]\nname = \"{DOMAIN}\"\nconnector = \"directory\"\n",
        certificate = tls.certificate.display().to_string(),
        key = tls.key.display().to_string(),
        uri = slapd.uri(),
        dn = slapd.reader.dn,
        password = slapd.reader.password,
        users = people.users_dn,
    );
    for home in [Homes::NULL, Homes::REAL] {
        let _ = write!(
            config,
            "[[home]]\nname = \"{home}\"\nimap.port = {}\nlmtp.port = {}\n",
            homes.imap, homes.lmtp
        );
        if home == Homes::NULL {
            let _ = writeln!(config, "http.port = {}", homes.http);
        }
    }
    let _ = write!(
        config,
        "[smtp_proxy]\nuser_maps = [\"people\"]\ndomains = [\"{DOMAIN}\"]\nhome_protocol = \"lmtp\"\n\
         [imap_proxy]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n\
         [http_proxy]\nuser_maps = [\"people\"]\n"
    );
    for (service, port, mode) in [
        ("smtp_proxy", smtp, "none"),
        ("imap_proxy", imap, "none"),
        ("imap_proxy", imaps, "implicit"),
        ("http_proxy", http, "none"),
    ] {
        let _ = write!(
            config,
            "[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\ntls = \"{mode}\"\ntrusted_networks = [\"127.0.0.0/8\"]\n"
        );
    }
    let homing = Homing::start(binary, &config).context("our front end does not start")?;
    let front = Front {
        name: crate::compare::OURS,
        leader: homing.child().context("our front end runs")?.id(),
        imap: Some(imap),
        imaps: Some(imaps),
        imap_real: Some(imap),
        smtp: Some((smtp, Dialect::Smtp)),
        http: Some(http),
    };
    Ok((homing, front))
}

/// What each program calls itself.
pub(super) fn versions(binary: &HomingBinary) -> Result<BTreeMap<&'static str, String>> {
    let mut all = BTreeMap::from([(
        crate::compare::OURS,
        binary.run(&["--version"])?.trim().to_owned(),
    )]);
    for (name, program, argument) in [
        ("dovecot", "dovecot", "--version"),
        ("nginx", "nginx", "-v"),
        ("haproxy", "haproxy", "-v"),
        ("perdition", "perdition", "--help"),
        ("postfix", "postconf", "mail_version"),
    ] {
        let Ok(output) = std::process::Command::new(program).arg(argument).output() else {
            continue;
        };
        // Some say it on standard output, some on standard error.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().next().unwrap_or_default();
        let version = line
            .split(|c: char| c.is_whitespace() || c == '/')
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .unwrap_or(line);
        all.insert(name, format!("{name} {version}"));
    }
    Ok(all)
}
