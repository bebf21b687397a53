//! A real slapd in a scratch folder, killed when dropped.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const SUFFIX: &str = "dc=localdomain,dc=test";
pub(crate) const ROOT: &str = "cn=admin,dc=localdomain,dc=test";
pub(crate) const ROOT_PASSWORD: &str = "root secret";

/// The tree without people.
const TREE: &str = "\
dn: dc=localdomain,dc=test
objectClass: organization
objectClass: dcObject
o: localdomain
dc: localdomain

dn: ou=Users,dc=localdomain,dc=test
objectClass: organizationalUnit
ou: Users

dn: ou=Groups,dc=localdomain,dc=test
objectClass: organizationalUnit
ou: Groups

dn: ou=Elsewhere,dc=localdomain,dc=test
objectClass: organizationalUnit
ou: Elsewhere
";

pub(crate) struct Slapd {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// Locks accounts that carry `pwdAccountLockedTime`.
const POLICY: &str = "\
dn: cn=policy,dc=localdomain,dc=test
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMustChange: TRUE
pwdMaxAge: 31536000
";

const POLICY_OVERLAY: &str =
    "overlay ppolicy\nppolicy_default cn=policy,dc=localdomain,dc=test\nppolicy_use_lockout\n";

impl Slapd {
    pub(crate) fn start() -> Self {
        Self::start_with("", "", "")
    }

    /// With OpenLDAP's password policy, which allows one password value an entry.
    pub(crate) fn with_password_policy() -> Self {
        Self::start_with("", POLICY_OVERLAY, POLICY)
    }

    /// The same with further lines in the policy.
    pub(crate) fn with_policy(lines: &str) -> Self {
        Self::start_with("", POLICY_OVERLAY, &format!("{POLICY}{lines}"))
    }

    /// With this certificate and key, for StartTLS.
    pub(crate) fn with_certificate(certificate: &Path, key: &Path) -> Self {
        let global = format!(
            "TLSCertificateFile {}\nTLSCertificateKeyFile {}\n",
            certificate.display(),
            key.display()
        );
        Self::start_with(&global, "", "")
    }

    /// That ends a search after this many entries, whoever asks but the rootdn.
    pub(crate) fn with_size_limit(entries: u32) -> Self {
        Self::start_with(&format!("sizelimit {entries}\n"), "", "")
    }

    /// That takes entries of up to 32 MiB.
    pub(crate) fn with_large_requests() -> Self {
        let limits = "sockbuf_max_incoming 33554432\nsockbuf_max_incoming_auth 33554432\n";
        Self::start_with(limits, "", "")
    }

    /// With our own schema.
    pub(crate) fn with_our_schema() -> Self {
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/openldap/homing.schema");
        Self::start_with(&format!("include {}\n", schema.display()), "", "")
    }

    /// That tells clients with a very old cookie to begin anew.
    pub(crate) fn with_reload_hint() -> Self {
        Self::start_with("", "syncprov-reloadhint TRUE\n", "")
    }

    /// That hashes new passwords with Argon2, as it comes.
    pub(crate) fn with_argon() -> Self {
        Self::start_with("moduleload argon2\npassword-hash {ARGON2}\n", "", "")
    }

    /// That takes no changes.
    pub(crate) fn read_only() -> Self {
        Self::start_with("", "readonly on\n", "")
    }

    fn start_with(global: &str, overlay: &str, more: &str) -> Self {
        // The port is free now; slapd takes it a moment later.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("db")).expect("a folder for the database");
        let dir = folder.path().display();
        let config = format!(
            "include /etc/ldap/schema/core.schema\n\
             include /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n\
             include /etc/ldap/schema/misc.schema\n\
             include /etc/ldap/schema/nis.schema\n\
             include /etc/ldap/schema/dyngroup.schema\n\
             modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload syncprov\nmoduleload ppolicy\n\
             pidfile {dir}/pid\nargsfile {dir}/args\n{global}\
             database mdb\nsuffix {SUFFIX}\nrootdn {ROOT}\nrootpw \"{ROOT_PASSWORD}\"\n\
             directory {dir}/db\nmaxsize 67108864\n\
             index objectClass,uid,mail,mailLocalAddress,entryUUID,entryCSN eq\n\
             overlay syncprov\nsyncprov-checkpoint 1 1\nsyncprov-sessionlog 1000\n\
             {overlay}\
             access to attrs=userPassword by dn.exact=\"uid=blind,ou=Users,{SUFFIX}\" none \
             by dn.exact=\"uid=writer,ou=Users,{SUFFIX}\" write by self write by anonymous auth by * read\n\
             access to * by * read\n"
        );
        std::fs::write(folder.path().join("slapd.conf"), config).expect("write slapd.conf");
        let mut slapd = Self {
            folder,
            port,
            child: None,
        };
        let tree = slapd.file("tree.ldif", &format!("{TREE}\n{more}"));
        let output = Command::new("/usr/sbin/slapadd")
            .args(["-f", &slapd.path("slapd.conf"), "-b", SUFFIX, "-l", &tree])
            .output()
            .expect("slapadd, of Debian's package slapd");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        slapd.restart();
        slapd
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(crate) fn uri(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }

    /// The same server by its Unix socket, which tells it our user id.
    pub(crate) fn socket_uri(&self) -> String {
        format!("ldapi://{}", self.path("socket").replace('/', "%2F"))
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn restart(&mut self) {
        self.kill();
        let listeners = format!("{} {}", self.uri(), self.socket_uri());
        let child = Command::new("/usr/sbin/slapd")
            .args(["-f", &self.path("slapd.conf"), "-h", &listeners, "-d", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("slapd, of Debian's package");
        self.child = Some(child);
        let address = self.address();
        for _ in 0..1000 {
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        panic!("slapd does not listen");
    }

    /// Sends slapd a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("slapd runs");
        let sent = Command::new("kill")
            .args([format!("-{name}"), child.id().to_string()])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// The database as LDIF, operational attributes and all.
    pub(crate) fn backup(&self) -> String {
        let output = Command::new("/usr/sbin/slapcat")
            .args(["-f", &self.path("slapd.conf"), "-b", SUFFIX])
            .output()
            .expect("slapcat, of Debian's package slapd");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("LDIF")
    }

    /// Puts a backup in the place of the database.
    pub(crate) fn restore(&mut self, backup: &str) {
        self.kill();
        let db = self.folder.path().join("db");
        std::fs::remove_dir_all(&db).expect("the database goes");
        std::fs::create_dir(&db).expect("a folder for the database");
        self.slapadd(backup);
        self.restart();
    }

    /// Builds the tree anew: the same names, other UUIDs.
    pub(crate) fn rebuild(&mut self) {
        self.restore(TREE);
    }

    /// Adds entries at once, while the server is down.
    pub(crate) fn load(&mut self, ldif: &str) {
        self.kill();
        self.slapadd(ldif);
        self.restart();
    }

    fn slapadd(&self, ldif: &str) {
        let file = self.file("load.ldif", ldif);
        let output = Command::new("/usr/sbin/slapadd")
            .args([
                "-q",
                "-w",
                "-f",
                &self.path("slapd.conf"),
                "-b",
                SUFFIX,
                "-l",
                &file,
            ])
            .output()
            .expect("slapadd, of Debian's package slapd");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Changes entries with ldapmodify; records without a changetype are added.
    pub(crate) fn modify(&self, ldif: &str) {
        let mut child = Command::new("ldapmodify")
            .args(["-a", "-x", "-H", &self.uri(), "-D", ROOT, "-w", ROOT_PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ldapmodify, of Debian's package ldap-utils");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(ldif.as_bytes())
            .expect("write");
        let output = child.wait_with_output().expect("ldapmodify ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// The values of an attribute of a person, operational ones as well, as ldapsearch shows them.
    pub(crate) fn values(&self, uid: &str, attribute: &str) -> Vec<String> {
        let output = Command::new("ldapsearch")
            .args([
                "-x",
                "-LLL",
                "-o",
                "ldif-wrap=no",
                "-H",
                &self.uri(),
                "-D",
                ROOT,
                "-w",
                ROOT_PASSWORD,
            ])
            .args([
                "-s",
                "base",
                "-b",
                &format!("uid={uid},ou=Users,{SUFFIX}"),
                attribute,
            ])
            .output()
            .expect("ldapsearch, of Debian's package ldap-utils");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("LDIF");
        let plain = text.lines().filter_map(|line| {
            let value = line.strip_prefix(attribute)?.strip_prefix(':')?;
            Some(match value.strip_prefix(": ") {
                Some(encoded) => {
                    use base64::Engine as _;
                    let octets = base64::engine::general_purpose::STANDARD
                        .decode(encoded)
                        .expect("base64");
                    // A hash that slapd's argon2 module has made ends with octets that happened to stand behind it.
                    String::from_utf8_lossy(&octets).into_owned()
                }
                None => value.trim_start().to_owned(),
            })
        });
        plain.collect()
    }

    /// Has slapd hash a new password of a person (RFC 3062).
    pub(crate) fn set_password(&self, uid: &str, password: &str) {
        let who = format!("uid={uid},ou=Users,{SUFFIX}");
        let output = Command::new("ldappasswd")
            .args(["-x", "-H", &self.uri(), "-D", ROOT, "-w", ROOT_PASSWORD])
            .args(["-s", password, &who])
            .output()
            .expect("ldappasswd, of Debian's package ldap-utils");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Nanoseconds of a processor that slapd has had.
    pub(crate) fn processor_time(&self) -> u64 {
        let child = self.child.as_ref().expect("slapd runs");
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("its threads");
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(task.expect("a thread").path().join("schedstat"));
            let text = text.expect("its time");
            text.split(' ')
                .next()
                .and_then(|first| first.parse::<u64>().ok())
                .expect("a number")
        };
        tasks.map(of).sum()
    }

    /// Whether slapd takes this password of a person.
    pub(crate) fn takes(&self, uid: &str, password: &str) -> bool {
        let who = format!("uid={uid},ou=Users,{SUFFIX}");
        let output = Command::new("ldapwhoami")
            .args(["-x", "-H", &self.uri(), "-D", &who, "-w", password])
            .output()
            .expect("ldapwhoami, of Debian's package ldap-utils");
        output.status.success()
    }

    pub(crate) fn person(&self, uid: &str, more: &str) {
        self.modify(&person(uid, more));
    }

    /// How many times the database has been committed since it was made: mdb keeps the number of the last commit in
    /// its two first pages, in turns.
    pub(crate) fn commits(&self) -> u64 {
        const PAGE: usize = 4096;
        const NUMBER: usize = 144;
        let database = std::fs::read(self.path("db/data.mdb")).expect("the database");
        let number = |page: usize| {
            let at = page * PAGE + NUMBER;
            u64::from_ne_bytes(database[at..at + 8].try_into().expect("eight octets"))
        };
        number(0).max(number(1))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, text).expect("write");
        path.display().to_string()
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The LDIF of a person with `mail: UID@localdomain.test`; `more` holds further lines.
pub(crate) fn person(uid: &str, more: &str) -> String {
    format!(
        "dn: uid={uid},ou=Users,{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
         uid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {uid}@localdomain.test\n{more}\n"
    )
}
