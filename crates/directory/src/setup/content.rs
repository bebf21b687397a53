//! What a directory for Homing consists of, said once: the static and the dynamic form are two spellings of it.

use super::platform::Argon2;
use super::{BindV2, SetupOptions, identity_dns};
use std::path::PathBuf;

/// Address space that mdb may use for one entry with its indexes. It is only reserved, not written; the
/// default of 10 MiB for the whole database would stop the first real sync.
const BYTES_PER_ENTRY: u64 = 32 * 1024;
/// The smallest database: 1 GiB.
const SMALLEST_DATABASE: u64 = 1 << 30;
/// root at the server's own Unix socket, the way into `cn=config` (slapd(8), SASL EXTERNAL over ldapi).
const LOCAL_ROOT: &str = "dn.exact=\"gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth\"";

/// Schemas that come with slapd, in the order in which they need each other.
pub(super) const SCHEMAS: [&str; 4] = ["core", "cosine", "inetorgperson", "misc"];

/// A value, which the two forms quote differently.
pub(super) enum Value {
    Dn(String),
    Path(PathBuf),
    /// Words as slapd reads them in both forms.
    Words(String),
}

/// One setting with its name in `slapd.conf` and in `cn=config`.
pub(super) struct Setting {
    pub(super) keyword: &'static str,
    pub(super) attribute: &'static str,
    pub(super) value: Value,
}

/// An overlay with its settings and its class in `cn=config`.
pub(super) struct Overlay {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) settings: Vec<Setting>,
}

/// One access rule.
pub(super) struct Rule {
    pub(super) what: &'static str,
    pub(super) by: Vec<String>,
}

fn words(keyword: &'static str, attribute: &'static str, value: impl Into<String>) -> Setting {
    let value = Value::Words(value.into());
    Setting {
        keyword,
        attribute,
        value,
    }
}

fn dn(keyword: &'static str, attribute: &'static str, value: impl Into<String>) -> Setting {
    let value = Value::Dn(value.into());
    Setting {
        keyword,
        attribute,
        value,
    }
}

fn path(keyword: &'static str, attribute: &'static str, value: impl Into<PathBuf>) -> Setting {
    let value = Value::Path(value.into());
    Setting {
        keyword,
        attribute,
        value,
    }
}

/// The modules to load; none when slapd was built with everything inside.
pub(super) fn modules(options: &SetupOptions) -> Vec<&'static str> {
    if options.platform.module_dir.is_none() {
        return Vec::new();
    }
    let mut modules = vec!["back_mdb", "syncprov", "memberof", "refint"];
    if options.platform.argon2 == Argon2::Loaded {
        // So that {ARGON2} values of userPassword can bind.
        modules.push("argon2");
    }
    modules
}

/// The settings of the server as a whole.
pub(super) fn global(options: &SetupOptions) -> Vec<Setting> {
    let mut settings = vec![
        path("pidfile", "olcPidFile", options.database_dir.join("slapd.pid")),
        path("argsfile", "olcArgsFile", options.database_dir.join("slapd.args")),
        words("serverID", "olcServerID", options.server_id.to_string()),
    ];
    if options.bind_v2 == BindV2::Allowed {
        settings.push(words("allow", "olcAllows", "bind_v2"));
    }
    if let Some(tls) = &options.tls {
        settings.push(path(
            "TLSCertificateFile",
            "olcTLSCertificateFile",
            &tls.certificate,
        ));
        settings.push(path(
            "TLSCertificateKeyFile",
            "olcTLSCertificateKeyFile",
            &tls.key,
        ));
        if let Some(ca) = &tls.ca {
            settings.push(path("TLSCACertificateFile", "olcTLSCACertificateFile", ca));
        }
    }
    settings
}

/// What all databases share; in `slapd.conf` these stand among the global ones.
pub(super) fn shared() -> Vec<Setting> {
    // groupOfNames with thousands of members: values kept sorted are found without a scan.
    vec![words("sortvals", "olcSortVals", "member")]
}

/// Clients read the root DSE before they bind (RFC 4512 section 5.1).
pub(super) fn root_access() -> Vec<Rule> {
    ["dn.base=\"\"", "dn.base=\"cn=Subschema\""]
        .map(|what| Rule {
            what,
            by: vec!["* read".to_owned()],
        })
        .into()
}

/// The configuration belongs to root on this machine; the reader sees it, so that `homing directory check`
/// can tell what is missing.
pub(super) fn config_access(options: &SetupOptions) -> Vec<Rule> {
    let [_, read, _] = identity_dns(&options.suffix);
    vec![
        Rule {
            what: "attrs=olcRootPW",
            by: vec![format!("{LOCAL_ROOT} manage"), "* none".to_owned()],
        },
        Rule {
            what: "*",
            by: vec![
                format!("{LOCAL_ROOT} manage"),
                format!("dn.exact=\"{read}\" read"),
                "* none".to_owned(),
            ],
        },
    ]
}

/// The database with its limits and indexes.
pub(super) fn database(options: &SetupOptions) -> Vec<Setting> {
    let [root, read, write] = identity_dns(&options.suffix);
    let size = options
        .population
        .saturating_mul(BYTES_PER_ENTRY)
        .max(SMALLEST_DATABASE);
    let mut settings = vec![
        dn("suffix", "olcSuffix", options.suffix.to_string()),
        dn("rootdn", "olcRootDN", root),
        words("rootpw", "olcRootPW", &options.hashes.root),
        path("directory", "olcDbDirectory", &options.database_dir),
        // mdb takes a signed number of bytes.
        words("maxsize", "olcDbMaxSize", size.min(1 << 46).to_string()),
        // Each commit is durable by itself; this holds for whoever sets dbnosync for a large load (slapd-mdb(5)).
        words("checkpoint", "olcDbCheckpoint", "1024 15"),
    ];
    // slapd's default of 500 entries would truncate the first sync.
    for identity in [read, write] {
        let limit = format!("dn.exact=\"{identity}\" size=unlimited time=unlimited");
        settings.push(words("limits", "olcLimits", limit));
    }
    for index in [
        "objectClass eq,pres",
        "ou,cn,mail,sn,givenName eq,pres,sub",
        "uid,mailHost,mailLocalAddress eq",
        "entryUUID,entryCSN eq",
        // memberof and refint look up the groups of an entry that is renamed or deleted.
        "member,memberOf eq",
    ] {
        settings.push(words("index", "olcDbIndex", index));
    }
    settings
}

/// The overlays, in the order in which slapd stacks them.
pub(super) fn overlays(options: &SetupOptions) -> Vec<Overlay> {
    let session_log = options.population.clamp(1_000, 1 << 30).to_string();
    vec![
        // Change notification, RFC 4533. The session log remembers deletions, so that a consumer that was away
        // learns of them without a full comparison.
        Overlay {
            name: "syncprov",
            class: "olcSyncProvConfig",
            settings: vec![
                words("syncprov-checkpoint", "olcSpCheckpoint", "100 30"),
                words("syncprov-sessionlog", "olcSpSessionlog", session_log),
            ],
        },
        // memberOf on people follows member on groups.
        Overlay {
            name: "memberof",
            class: "olcMemberOf",
            settings: vec![
                words("memberof-group-oc", "olcMemberOfGroupOC", "groupOfNames"),
                words("memberof-member-ad", "olcMemberOfMemberAD", "member"),
                words("memberof-memberof-ad", "olcMemberOfMemberOfAD", "memberOf"),
            ],
        },
        // member, owner and manager follow renames and deletions of people. A group that loses its last member
        // gets the placeholder, because groupOfNames must have one (RFC 4519 section 3.5).
        Overlay {
            name: "refint",
            class: "olcRefintConfig",
            settings: vec![
                words("refint_attributes", "olcRefintAttribute", "member"),
                words("refint_attributes", "olcRefintAttribute", "owner"),
                words("refint_attributes", "olcRefintAttribute", "manager"),
                words("refint_attributes", "olcRefintAttribute", "seeAlso"),
                dn(
                    "refint_nothing",
                    "olcRefintNothing",
                    format!("{},{}", crate::placeholder::RDN, options.suffix),
                ),
            ],
        },
    ]
}

/// Who may do what in the database.
pub(super) fn access(options: &SetupOptions) -> Vec<Rule> {
    let [_, read, write] = identity_dns(&options.suffix).map(|dn| format!("dn.exact=\"{dn}\""));
    let by = |others: &[&str]| {
        let mut by = vec![format!("{write} write"), format!("{read} read")];
        by.extend(others.iter().map(|other| (*other).to_owned()));
        by
    };
    vec![
        Rule {
            what: "attrs=userPassword",
            by: by(&["self =xw", "anonymous auth", "* none"]),
        },
        Rule {
            what: "*",
            by: by(&["self read", "* none"]),
        },
    ]
}
