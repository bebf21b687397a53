//! The text of a set-up, and slapd's own opinion of it.

use super::*;
use std::process::Command;

// `{SSHA}` of "secret".
const HASH: &str = "{SSHA}WhsBoVIHjFa9rqC8f0SRO9D262OkGaKJ";

fn options(folder: &Path) -> SetupOptions {
    SetupOptions {
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

/// Long lines of LDIF go on in the next one (RFC 2849).
fn unfolded(text: &str) -> Vec<String> {
    text.replace("\n ", "").lines().map(str::to_owned).collect()
}

#[test]
fn every_part_of_a_directory_for_homing_is_in_both_forms() {
    let mut asked = options(Path::new("/srv/ldap"));
    asked.bind_v2 = BindV2::Allowed;
    asked.server_id = 7;
    asked.population = 1_000_000;
    let conf = unfolded(
        &slapd_conf::text(&asked)
            .expect("a set-up")
            .replace("\n\tby ", " by "),
    );
    let ldif = unfolded(&cn_config::whole(&asked).expect("a set-up"));
    let limits =
        |name: &str| format!("dn.exact=\"cn={name},dc=localdomain,dc=test\" size=unlimited time=unlimited");
    let own = "by dn.exact=\"cn=homing-write,dc=localdomain,dc=test\" write \
               by dn.exact=\"cn=homing-read,dc=localdomain,dc=test\" read";
    let (read, write) = (limits("homing-read"), limits("homing-write"));
    let secrets = format!("attrs=userPassword {own} by self =xw by anonymous auth by * none");
    let others = format!("* {own} by self read by * none");
    for (keyword, attribute, value) in [
        ("serverID", "olcServerID", "7"),
        ("allow", "olcAllows", "bind_v2"),
        ("sortvals", "olcSortVals", "member"),
        ("rootpw", "olcRootPW", HASH),
        ("maxsize", "olcDbMaxSize", "32768000000"),
        ("checkpoint", "olcDbCheckpoint", "1024 15"),
        ("limits", "olcLimits", &read),
        ("limits", "olcLimits", &write),
        ("index", "olcDbIndex", "objectClass eq,pres"),
        ("index", "olcDbIndex", "ou,cn,mail,sn,givenName eq,pres,sub"),
        ("index", "olcDbIndex", "uid,mailHost,mailLocalAddress eq"),
        ("index", "olcDbIndex", "entryUUID,entryCSN eq"),
        ("syncprov-checkpoint", "olcSpCheckpoint", "100 30"),
        ("syncprov-sessionlog", "olcSpSessionlog", "1000000"),
        ("memberof-group-oc", "olcMemberOfGroupOC", "groupOfNames"),
        ("memberof-member-ad", "olcMemberOfMemberAD", "member"),
        ("memberof-memberof-ad", "olcMemberOfMemberOfAD", "memberOf"),
        ("refint_attributes", "olcRefintAttribute", "member"),
        ("access to", "olcAccess: {0}to", &secrets),
        ("access to", "olcAccess: {1}to", &others),
    ] {
        let line = format!("{keyword} {value}");
        assert!(conf.contains(&line), "{line}\n{conf:#?}");
        let line = match attribute.ends_with("to") {
            true => format!("{attribute} {value}"),
            false => format!("{attribute}: {value}"),
        };
        assert!(ldif.contains(&line), "{line}\n{ldif:#?}");
    }
    for line in [
        "suffix \"dc=localdomain,dc=test\"",
        "rootdn \"cn=admin,dc=localdomain,dc=test\"",
        "database mdb",
        "overlay syncprov",
        "overlay memberof",
        "overlay refint",
    ] {
        assert!(conf.iter().any(|found| found == line), "{line}\n{conf:#?}");
    }
    for line in [
        "olcSuffix: dc=localdomain,dc=test",
        "olcRootDN: cn=admin,dc=localdomain,dc=test",
        "olcOverlay: {0}syncprov",
        "olcOverlay: {1}memberof",
        "olcOverlay: {2}refint",
    ] {
        assert!(ldif.iter().any(|found| found == line), "{line}\n{ldif:#?}");
    }
    for schema in ["core", "cosine", "inetorgperson", "misc", "homing"] {
        assert!(
            conf.iter()
                .any(|line| line.starts_with("include ") && line.ends_with(&format!("/{schema}.schema"))),
            "{schema}"
        );
        let included = format!("/{schema}.ldif");
        let is_there = |line: &String| line.starts_with("include: ") && line.ends_with(&included);
        assert!(
            ldif.iter().any(is_there)
                || ldif
                    .iter()
                    .any(|line| line.contains(&format!("cn={schema},cn=schema"))),
            "{schema}"
        );
    }
    let refused = slapd_conf::text(&options(Path::new("/srv/ldap"))).expect("a set-up");
    assert!(!refused.contains("bind_v2"), "only when it is asked for");
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

/// Starts slapd with `-f FILE` or `-F FOLDER`.
fn start_slapd(folder: &Path, form: &str, config: &str) -> (Reaped, String) {
    let socket = folder.join("s").to_str().expect("UTF-8").replace('/', "%2F");
    let url = format!("ldapi://{socket}");
    let mut command = Command::new(sbin("slapd"));
    command.args(["-d", "0", "-h", &url, form, config]);
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
    let (_slapd, url) = start_slapd(folder.path(), "-f", conf);
    groups_follow_their_members(&url, Shown::Yes);
}

/// What every form of the set-up promises, seen by clients.
fn groups_follow_their_members(url: &str, shown: Shown) {
    let as_identity = |program: &str, cn: &str, arguments: &[&str]| {
        let dn = format!("cn={cn},dc=localdomain,dc=test");
        let mut all = vec!["-x", "-H", url, "-D", &dn, "-w", "secret"];
        all.extend(arguments);
        String::from_utf8_lossy(&run(program, &all).stdout).into_owned()
    };
    let example = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/openldap/layout/example.ldif"
    );
    as_identity("ldapadd", "homing-write", &["-f", example]);
    passes_check(url, shown);
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
        .args(["-x", "-H", url, "-b", base, "1.1"])
        .output()
        .expect("ldapsearch");
    assert_eq!(
        anonymous.status.code(),
        Some(32),
        "no such object, as far as a stranger can see"
    );
}

/// Whether the read identity sees the server's configuration. A server that ran before keeps its own rules for it.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Yes,
    No,
}

/// What a Homing server with the read identity thinks of it.
fn passes_check(url: &str, shown: Shown) {
    use crate::check::{CheckOptions, Level, Need, Verdict, check};
    let base = |unit: &str| vec![format!("ou={unit},o=localdomain,dc=localdomain,dc=test")];
    let mut config = crate::ConnectorConfig::openldap("new", vec![url.to_owned()], base("Users"));
    config.groups.base_dn = base("Groups");
    config.bind_dn = Some("cn=homing-read,dc=localdomain,dc=test".to_owned());
    config.bind_password = Some(model::Secret::from("secret"));
    let ask = CheckOptions {
        hosts: Need::Needed,
        passwords: Need::Optional,
        sample: 100,
    };
    let clock = model::SystemClock::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let report = runtime.block_on(check(&config, &clock, ask)).expect("a report");
    assert_eq!(report.verdict(), Verdict::Good, "{:#?}", report.findings);
    let mut names = vec![
        "bind", "version", "base", "schema", "cookie", "limits", "address", "host",
    ];
    match shown {
        Shown::Yes => names.extend(["indexes", "memberof", "syncprov", "sessionlog"]),
        Shown::No => {}
    }
    for name in names {
        let good = |finding: &&crate::check::Finding| finding.check == name && finding.level == Level::Good;
        assert!(
            report.findings.iter().any(|finding| good(&finding)),
            "{name}: {:#?}",
            report.findings
        );
    }
}

fn written(options: &SetupOptions, files: &[SetupFile]) -> impl Fn(&str) -> String {
    write_new(&options.output_dir, files).expect("written");
    std::fs::create_dir_all(&options.database_dir).expect("the database's folder");
    let folder = options.output_dir.clone();
    move |name| folder.join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_dynamic_form_is_a_whole_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(&folder.path().join("with space"));
    options.bind_v2 = BindV2::Allowed;
    let files = dynamic_setup(&options, &Target::Fresh).expect("a set-up");
    let file = written(&options, &files);
    let config = folder.path().join("slapd.d");
    std::fs::create_dir(&config).expect("a folder");
    let config = config.to_str().expect("UTF-8");
    run(
        &sbin("slapadd"),
        &["-n0", "-F", config, "-l", &file("config.ldif")],
    );
    run(&sbin("slaptest"), &["-u", "-F", config]);
    for name in ["base.ldif", "identities.ldif"] {
        run(&sbin("slapadd"), &["-F", config, "-n1", "-l", &file(name)]);
    }
    let (_slapd, url) = start_slapd(folder.path(), "-F", config);
    groups_follow_their_members(&url, Shown::Yes);
}

/// What Debian's package makes of a new machine, in short.
const DEBIAN: &str = "\
dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=module{0},cn=config
objectClass: olcModuleList
cn: module{0}
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

include: file:///etc/ldap/schema/cosine.ldif

include: file:///etc/ldap/schema/nis.ldif

include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcAccess: {0}to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by dn.exact=\
gidNumber=GID+uidNumber=UID,cn=peercred,cn=external,cn=auth manage by * none

dn: olcDatabase={1}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: dc=nodomain
olcDbDirectory: FOLDER
";

#[test]
fn a_running_server_gets_what_it_lacks_and_keeps_what_it_has() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path());
    let config = folder.path().join("slapd.d");
    let other = folder.path().join("other");
    for dir in [&config, &other] {
        std::fs::create_dir(dir).expect("a folder");
    }
    let owner = std::fs::metadata(&other).expect("there");
    let text = DEBIAN
        .replace("FOLDER", other.to_str().expect("UTF-8"))
        .replace("GID", &owner.gid().to_string())
        .replace("UID", &owner.uid().to_string());
    let first = folder.path().join("first.ldif");
    std::fs::write(&first, text).expect("written");
    let (config, first) = (config.to_str().expect("UTF-8"), first.to_str().expect("UTF-8"));
    run(&sbin("slapadd"), &["-n0", "-F", config, "-l", first]);
    let (_slapd, url) = start_slapd(folder.path(), "-F", config);
    let read = || {
        let found = run(
            "ldapsearch",
            &["-Q", "-Y", "EXTERNAL", "-H", &url, "-LLL", "-b", "cn=config"],
        );
        let entries: Vec<ldap::Entry> = ldap::ldif::LdifReader::new(found.stdout.as_slice())
            .map(|record| match record.expect("LDIF") {
                ldap::ldif::Record::Entry(entry) => entry,
                ldap::ldif::Record::Change(change) => panic!("{change:?}"),
            })
            .collect();
        Existing::read(&entries)
    };
    let files = dynamic_setup(&options, &Target::Running(read())).expect("a set-up");
    let file = written(&options, &files);
    run(
        "ldapadd",
        &["-Q", "-Y", "EXTERNAL", "-H", &url, "-f", &file("config.ldif")],
    );
    let root = "cn=admin,dc=localdomain,dc=test";
    for name in ["base.ldif", "identities.ldif"] {
        run(
            "ldapadd",
            &["-x", "-H", &url, "-D", root, "-w", "secret", "-f", &file(name)],
        );
    }
    groups_follow_their_members(&url, Shown::No);
    assert!(matches!(
        dynamic_setup(&options, &Target::Running(read())),
        Err(SetupError::SuffixTaken(_))
    ));
    // It starts again from what it wrote down.
    run(&sbin("slaptest"), &["-u", "-F", config]);
}
