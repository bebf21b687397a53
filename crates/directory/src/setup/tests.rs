//! The text of a set-up, and slapd's own opinion of it.

use super::*;
use std::process::Command;

// `{SSHA}` of "secret".
const HASH: &str = "{SSHA}WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ";

fn options(folder: &Path) -> StaticOptions {
    StaticOptions {
        suffix: Suffix::parse("dc=localdomain,dc=test").expect("a suffix"),
        database_dir: folder.join("db"),
        output_dir: folder.join("out"),
        platform: Platform::detect(),
        population: 100_000,
        server_id: 1,
        hashes: IdentityHashes {
            root: HASH.into(),
            read: HASH.into(),
            write: HASH.into(),
        },
        tls: None,
        bind_v2: BindV2::Refused,
    }
}

fn run(program: &str, arguments: &[&str]) -> std::process::Output {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; install Debian's slapd and ldap-utils"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn sbin(name: &str) -> String {
    format!("/usr/sbin/{name}")
}

#[test]
fn the_base_tree_is_the_one_in_packaging() {
    let kept = include_str!("../../../../packaging/openldap/layout/base.ldif");
    let kept: String = kept
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(
        tree::base(&Suffix::parse("dc=localdomain,dc=test").expect("a suffix")),
        kept
    );
}

#[test]
fn an_organization_suffix_is_its_own_organization() {
    let text = tree::base(&Suffix::parse("o=Example Org").expect("a suffix"));
    let dns: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("dn: "))
        .collect();
    assert_eq!(
        dns,
        [
            "o=Example Org",
            "ou=Groups,o=Example Org",
            "ou=Users,o=Example Org"
        ]
    );
}

#[test]
fn both_forms_of_the_schema_agree() {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let definitions = |text: &str, starts: [&str; 3]| {
        let mut found: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(start) = starts.iter().find(|start| line.starts_with(**start)) {
                found.push(line.trim_start_matches(start).to_owned());
            } else if line.starts_with([' ', '\t']) {
                let last = found.last_mut().expect("a folded line follows a definition");
                last.push(' ');
                last.push_str(line);
            }
        }
        found.iter().map(|text| squeeze(text)).collect::<Vec<_>>()
    };
    let static_form = definitions(
        HOMING_SCHEMA,
        ["objectIdentifier ", "attributetype ", "objectclass "],
    );
    let ldif = include_str!("../../../../packaging/openldap/homing.ldif");
    let dynamic = definitions(
        ldif,
        [
            "olcObjectIdentifier: ",
            "olcAttributeTypes: ",
            "olcObjectClasses: ",
        ],
    );
    assert_eq!(static_form, dynamic);
    assert_eq!(static_form.len(), 7);
}

#[test]
fn suffixes() {
    for text in [
        "dc=localdomain,dc=test",
        "DC = a , dc=b",
        "o=Example",
        "o=Example Org,c=CH",
    ] {
        assert!(Suffix::parse(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "dc",
        "dc=",
        "dc=a,ou=b",
        "cn=x",
        "dc=a\"b",
        "dc=a\nb",
        "dc=a+dc=b,o=c",
        "dc=a,,dc=b",
    ] {
        assert!(Suffix::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn wrong_options_are_refused() {
    let folder = Path::new("/tmp/x");
    let mut clear = options(folder);
    clear.hashes.read = "secret".into();
    assert!(matches!(
        static_setup(&clear),
        Err(SetupError::NotAHash("cn=homing-read"))
    ));
    let mut injected = options(folder);
    injected.hashes.root = "{SSHA}x\nallow bind_anon_dn".into();
    assert!(matches!(
        static_setup(&injected),
        Err(SetupError::NotAHash("cn=admin"))
    ));
    let mut relative = options(folder);
    relative.database_dir = "db".into();
    assert!(matches!(static_setup(&relative), Err(SetupError::Path(_))));
    let mut quote = options(folder);
    quote.database_dir = "/tmp/a\"b".into();
    assert!(matches!(static_setup(&quote), Err(SetupError::Path(_))));
    let mut server = options(folder);
    server.server_id = 4096;
    assert!(matches!(static_setup(&server), Err(SetupError::ServerId(4096))));
}

#[test]
fn what_is_asked_for_is_in_the_text() {
    let mut asked = options(Path::new("/srv/with space"));
    asked.bind_v2 = BindV2::Allowed;
    asked.tls = Some(TlsFiles {
        certificate: "/c.pem".into(),
        key: "/k.pem".into(),
        ca: Some("/ca.pem".into()),
    });
    let text = slapd_conf::text(&asked).expect("a set-up");
    for line in [
        "allow bind_v2",
        "TLSCertificateFile /c.pem",
        "TLSCertificateKeyFile /k.pem",
        "TLSCACertificateFile /ca.pem",
        "directory \"/srv/with space/db\"",
        "maxsize 3276800000",
        "syncprov-sessionlog 100000",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn files_are_never_replaced_and_hashes_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path());
    let files = static_setup(&options).expect("a set-up");
    write_new(&options.output_dir, &files).expect("written");
    let mode = |name: &str| {
        let path = options.output_dir.join(name);
        std::fs::metadata(path).expect("there").permissions().mode() & 0o777
    };
    assert_eq!((mode("slapd.conf"), mode("identities.ldif")), (0o600, 0o600));
    assert!(matches!(
        write_new(&options.output_dir, &files),
        Err(SetupError::Exists(_))
    ));
}

/// Ends slapd when a test ends, however it ends.
struct Reaped(std::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_slapd(folder: &Path) -> (Reaped, String) {
    let socket = folder.join("s").to_str().expect("UTF-8").replace('/', "%2F");
    let url = format!("ldapi://{socket}");
    let conf = folder.join("out/slapd.conf");
    let mut command = Command::new(sbin("slapd"));
    command.args(["-d", "0", "-h", &url, "-f"]).arg(conf);
    let slapd = Reaped(command.spawn().expect("slapd starts"));
    for _ in 0..200 {
        let probe = Command::new("ldapsearch")
            .args(["-x", "-H", &url, "-s", "base", "-b", "", "1.1"])
            .output();
        if probe.expect("ldapsearch").status.success() {
            return (slapd, url);
        }
        #[allow(clippy::disallowed_methods)] // Waiting for another process to listen.
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("slapd does not answer on {url}");
}

#[test]
fn slapd_loads_it_and_groups_follow_their_members() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path());
    let files = static_setup(&options).expect("a set-up");
    write_new(&options.output_dir, &files).expect("written");
    std::fs::create_dir(&options.database_dir).expect("the database's folder");
    let conf = options.output_dir.join("slapd.conf");
    let conf = conf.to_str().expect("UTF-8");
    run(&sbin("slaptest"), &["-u", "-f", conf]);
    for name in ["base.ldif", "identities.ldif"] {
        let ldif = options.output_dir.join(name);
        run(
            &sbin("slapadd"),
            &["-f", conf, "-l", ldif.to_str().expect("UTF-8")],
        );
    }
    run(&sbin("slaptest"), &["-f", conf]);
    let (_slapd, url) = start_slapd(folder.path());
    let as_identity = |program: &str, cn: &str, arguments: &[&str]| {
        let dn = format!("cn={cn},dc=localdomain,dc=test");
        let mut all = vec!["-x", "-H", &url, "-D", &dn, "-w", "secret"];
        all.extend(arguments);
        String::from_utf8_lossy(&run(program, &all).stdout).into_owned()
    };
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/openldap/layout/example.ldif"
    );
    as_identity("ldapadd", "homing-write", &["-f", example]);
    let base = "o=localdomain,dc=localdomain,dc=test";
    let find = |filter: &str, attribute: &str| {
        let text = as_identity(
            "ldapsearch",
            "homing-read",
            &["-LLL", "-o", "ldif-wrap=no", "-b", base, filter, attribute],
        );
        let prefix = format!("{attribute}: ");
        text.lines()
            .filter_map(|line| line.strip_prefix(prefix.as_str()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        find("(uid=alice)", "memberOf"),
        [format!("cn=staff,ou=Groups,{base}")]
    );
    // A rename carries the membership along.
    let alice = format!("uid=alice,ou=Users,{base}");
    as_identity("ldapmodrdn", "homing-write", &["-r", &alice, "uid=alicia"]);
    let alicia = format!("uid=alicia,ou=Users,{base}");
    // slapd answers first and repairs references afterwards, in a task of its own.
    let settles = |filter: &str, attribute: &str, expected: &str| {
        for _ in 0..500 {
            if find(filter, attribute) == [expected] {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        panic!(
            "{attribute} of {filter} is {:?}, not {expected}",
            find(filter, attribute)
        );
    };
    settles("(cn=staff)", "member", &alicia);
    settles("(uid=alicia)", "memberOf", &format!("cn=staff,ou=Groups,{base}"));
    // The last member's deletion leaves the placeholder.
    as_identity("ldapdelete", "homing-write", &[&alicia]);
    settles("(cn=staff)", "member", "cn=no-member,dc=localdomain,dc=test");
    // A context CSN is there: syncprov runs.
    let csn = as_identity(
        "ldapsearch",
        "homing-read",
        &["-LLL", "-s", "base", "-b", "dc=localdomain,dc=test", "contextCSN"],
    );
    assert!(csn.contains("contextCSN: "), "{csn}");
    // Nobody else reads anything.
    let anonymous = Command::new("ldapsearch")
        .args(["-x", "-H", &url, "-b", base, "1.1"])
        .output()
        .expect("ldapsearch");
    assert_eq!(
        anonymous.status.code(),
        Some(32),
        "no such object, as far as a stranger can see"
    );
}
