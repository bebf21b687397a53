//! Mechanisms that a directory's passwords can finish, at the home and through a front end that vouches.

use super::{CHALLENGES, Doors, MODES, Options, PROTOCOLS, Site, expect, python};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{Homing, curl, run_with_input};

fn options() -> Options<'static> {
    Options {
        connector: CHALLENGES,
        ..Options::default()
    }
}

/// A home, and a front end before it.
struct Both {
    site: Site,
    front: Homing,
    front_doors: Doors,
}

impl Both {
    fn start() -> Result<Self> {
        let site = Site::start(options())?;
        let (front, front_doors) = site.front(options(), "kind = \"ldap-password\"")?;
        Ok(Self {
            site,
            front,
            front_doors,
        })
    }

    fn servers(&self) -> [(&'static str, Doors); 2] {
        [("home", self.site.home_doors), ("front", self.front_doors)]
    }
}

fn run(test: fn(&Both) -> Result<()>) -> Result<()> {
    let both = Both::start()?;
    test(&both).with_context(|| format!("{}\n{}", both.site.home.log_tail(), both.front.log_tail()))
}

/// curl chooses the mechanism that it is told to; the mailbox is listed with it.
fn curl_in(
    site: &Site,
    doors: Doors,
    protocol: &str,
    mode: &str,
    auth: &str,
    password: &str,
) -> Result<String> {
    let ports = doors.ports(mode);
    let port = if protocol == "imap" {
        ports.imap
    } else {
        ports.pop3
    };
    let scheme = if mode == "implicit" {
        format!("{protocol}s")
    } else {
        protocol.to_owned()
    };
    let (ca, auth) = (site.ca(), format!("AUTH={auth}"));
    let mut args = vec!["--cacert", &ca, "--login-options", &auth];
    if mode == "starttls" {
        args.push("--ssl-reqd");
    }
    curl(
        &format!("{scheme}://127.0.0.1:{port}/"),
        &site.mail("alice"),
        password,
        &args,
    )
}

#[test]
fn curl_logs_in_by_each_mechanism() -> Result<()> {
    run(|both| {
        for (name, doors) in both.servers() {
            for protocol in PROTOCOLS {
                for mode in MODES {
                    for auth in ["PLAIN", "LOGIN", "CRAM-MD5"] {
                        let told = || format!("{name} {protocol} {mode} {auth}");
                        curl_in(&both.site, doors, protocol, mode, auth, "alice-secret")
                            .with_context(told)?;
                        let refused = curl_in(&both.site, doors, protocol, mode, auth, "alice-Secret");
                        ensure!(refused.is_err(), "{}: a wrong password is taken", told());
                    }
                }
            }
        }
        Ok(())
    })
}

/// Cyrus SASL, which mbsync uses, knows SCRAM. A folder of mail comes home with it.
#[test]
fn mbsync_logs_in_by_scram() -> Result<()> {
    run(|both| {
        for (name, doors) in both.servers() {
            for (mechanism, uid, password, good) in [
                ("SCRAM-SHA-256", "alice", "alice-secret", true),
                ("SCRAM-SHA-1", "alice", "alice-secret", true),
                ("SCRAM-SHA-256", "bob", "pencil", true),
                ("SCRAM-SHA-256", "bob", "pencils", false),
            ] {
                let file = both.site.scratch.write("mbsync.pw", password)?;
                let mail = both
                    .site
                    .scratch
                    .folder(&format!("{name}-{mechanism}-{uid}-{good}"))?;
                let config = format!(
                    "IMAPAccount it\nHost 127.0.0.1\nPort {}\nUser {}\nPassCmd \"cat {}\"\nAuthMechs {mechanism}\n\
                     SSLType None\n\nIMAPStore far\nAccount it\n\nMaildirStore near\nPath {mail}/\nInbox {mail}/INBOX\n\n\
                     Channel all\nFar :far:\nNear :near:\nCreate Near\nSyncState *\n",
                    doors.plain.imap,
                    both.site.mail(uid),
                    file.display(),
                    mail = mail.display(),
                );
                let config = both
                    .site
                    .scratch
                    .write("mbsyncrc", &config)?
                    .display()
                    .to_string();
                let synced = run_with_input("mbsync", &["-c", &config, "all"], b"");
                ensure!(
                    synced.is_ok() == good,
                    "{name} {mechanism} {uid} {password}: {synced:?}"
                );
                ensure!(
                    mail.join("INBOX/cur").is_dir() == good,
                    "{name} {mechanism} {uid}: no INBOX"
                );
            }
        }
        Ok(())
    })
}

#[test]
fn scram_is_bound_to_the_channel_and_to_the_password() -> Result<()> {
    run(|both| {
        let site = &both.site;
        for (name, doors) in both.servers() {
            let mut attempts = Vec::new();
            for protocol in PROTOCOLS {
                for mode in MODES {
                    let mut one = |mechanism: &str, uid: &str, password: &str, binding: &str, outcome| {
                        let how = json!({
                            "mechanism": mechanism, "login": site.mail(uid), "password": password, "binding": binding,
                        });
                        attempts.push((site.attempt(doors, protocol, mode, how), outcome));
                    };
                    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
                        one(mechanism, "alice", "alice-secret", "n", "in");
                        one(mechanism, "alice", "wrong", "n", "refused");
                        one(mechanism, "nobody", "alice-secret", "n", "refused");
                    }
                    one("SCRAM-SHA-256", "bob", "pencil", "n", "in");
                    one("SCRAM-SHA-256", "bob", "pencils", "n", "refused");
                    // An old hash holds no keys: nobody finds out, and nobody gets in.
                    one("SCRAM-SHA-256", "carol", "correct horse", "n", "refused");
                    if mode == "plain" {
                        // A client that could bind and was offered nothing to bind to.
                        one("SCRAM-SHA-256", "alice", "alice-secret", "y", "in");
                        continue;
                    }
                    for mechanism in ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"] {
                        one(mechanism, "alice", "alice-secret", "end-point", "in");
                        one(mechanism, "alice", "wrong", "end-point", "refused");
                        // Somebody in the middle has another certificate.
                        one(mechanism, "alice", "alice-secret", "wrong", "refused");
                    }
                    // RFC 5802 section 6: somebody has taken the -PLUS from the list.
                    one("SCRAM-SHA-256", "alice", "alice-secret", "y", "refused");
                }
            }
            expect(&attempts).context(name)?;
        }
        Ok(())
    })
}

/// RFC 5802 section 9. What differs is the salt, and that of a name stays what it is.
#[test]
fn an_unknown_name_looks_like_a_known_one() -> Result<()> {
    run(|both| {
        let site = &both.site;
        for (name, doors) in both.servers() {
            for protocol in PROTOCOLS {
                let attempt = |uid: &str| {
                    let how = json!({
                        "mechanism": "SCRAM-SHA-256", "login": site.mail(uid), "password": "wrong",
                    });
                    site.attempt(doors, protocol, "implicit", how)
                };
                let told = python(&[
                    attempt("alice"),
                    attempt("nobody"),
                    attempt("nobody"),
                    attempt("nobody2"),
                ])?;
                let [alice, nobody, again, other] = told.as_slice() else {
                    anyhow::bail!("{told:?}");
                };
                let length = |told: &Value| told["salt"].as_str().map(str::len);
                ensure!(nobody["reply"] == alice["reply"], "{name}: {told:?}");
                ensure!(nobody["iterations"] == alice["iterations"], "{name}: {told:?}");
                ensure!(
                    length(nobody) == length(alice) && length(alice).is_some(),
                    "{name}: {told:?}"
                );
                ensure!(nobody["salt"] == again["salt"], "{name}: {told:?}");
                ensure!(nobody["salt"] != other["salt"], "{name}: {told:?}");
            }
        }
        Ok(())
    })
}

/// The mechanisms in a list of capabilities.
fn announced(protocol: &str, words: &Value) -> Vec<String> {
    let start = if protocol == "imap" { "AUTH=" } else { "SASL " };
    let words = words.as_array().cloned().unwrap_or_default();
    let mut found: Vec<String> = words
        .iter()
        .filter_map(|word| word.as_str()?.strip_prefix(start).map(str::to_owned))
        .collect();
    found.sort();
    found
}

fn has(words: &Value, word: &str) -> bool {
    words
        .as_array()
        .is_some_and(|words| words.iter().any(|found| found == word))
}

const WITHOUT_TLS: [&str; 5] = ["CRAM-MD5", "LOGIN", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"];
const WITH_TLS: [&str; 7] = [
    "CRAM-MD5",
    "LOGIN",
    "PLAIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
];

#[test]
fn the_lists_say_what_can_be_finished_now() -> Result<()> {
    run(|both| {
        for (name, doors) in both.servers() {
            for protocol in PROTOCOLS {
                let attempts = MODES.map(|mode| both.site.attempt(doors, protocol, mode, json!({})));
                let told = python(&attempts)?;
                let [plain, starttls, implicit] = told.as_slice() else {
                    anyhow::bail!("{told:?}");
                };
                let why = || format!("{name} {protocol}: {told:?}");
                ensure!(announced(protocol, &plain["before"]) == WITHOUT_TLS, why());
                ensure!(announced(protocol, &starttls["before"]).is_empty(), why());
                ensure!(announced(protocol, &starttls["after"]) == WITH_TLS, why());
                ensure!(announced(protocol, &implicit["after"]) == WITH_TLS, why());
                if protocol == "imap" {
                    // RFC 3501 section 6.2.3.
                    ensure!(has(&starttls["before"], "LOGINDISABLED"), why());
                    for words in [&plain["before"], &starttls["after"], &implicit["after"]] {
                        ensure!(!has(words, "LOGINDISABLED"), why());
                    }
                }
                // Nothing but TLS helps who logs in all the same.
                for (mechanism, password) in [("SCRAM-SHA-256", "alice-secret"), ("PLAIN", "alice-secret")] {
                    let how = json!({
                        "mechanism": mechanism, "login": both.site.mail("alice"), "password": password, "stay": true,
                    });
                    let attempt = both.site.attempt(doors, protocol, "starttls", how);
                    let told = python(&[attempt])?;
                    ensure!(
                        told[0]["outcome"] != "in" && told[0]["outcome"] != "refused",
                        "{told:?}"
                    );
                }
            }
        }
        Ok(())
    })
}

/// A home that wants the password again can be entered with nothing that shows none.
#[test]
fn a_front_end_that_replays_announces_passwords_only() -> Result<()> {
    let site = Site::start(options())?;
    let doors = Doors::free()?;
    let config = super::common(
        super::FRONT,
        &site.certificate,
        &site.authority,
        &site.slapd,
        &site.people,
        options(),
    ) + &format!(
        "[[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"corp\"\n\
         [imap_proxy]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n\
         [pop3_proxy]\nuser_maps = [\"people\"]\nauthenticate = \"edge\"\n\
         [[home]]\nname = \"{}\"\nhost = \"127.0.0.1\"\nimap.port = {}\npop3.port = {}\n{}",
        super::HOME,
        site.home_doors.plain.imap,
        site.home_doors.plain.pop3,
        doors.config("_proxy")
    );
    let front = Homing::start(&testkit::HomingBinary::find()?, &config)?;
    for protocol in PROTOCOLS {
        let how = |mechanism: &str| json!({ "mechanism": mechanism, "login": site.mail("alice"), "password": "alice-secret" });
        let told = python(&[
            site.attempt(doors, protocol, "implicit", json!({})),
            site.attempt(doors, protocol, "implicit", how("PLAIN")),
            site.attempt(doors, protocol, "implicit", how("SCRAM-SHA-256")),
        ])
        .with_context(|| front.log_tail())?;
        ensure!(
            announced(protocol, &told[0]["after"]) == ["LOGIN", "PLAIN"],
            "{told:?}"
        );
        ensure!(told[1]["outcome"] == "in", "{told:?}");
        ensure!(
            told[2]["outcome"] != "in" && told[2]["outcome"] != "refused",
            "{told:?}"
        );
    }
    Ok(())
}

/// One domain whose passwords cannot be asked for in this way is enough to announce it to nobody.
#[test]
fn what_one_domain_cannot_finish_is_announced_to_nobody() -> Result<()> {
    let local = Options {
        connector: CHALLENGES,
        sections: "[[domain]]\nname = \"local.test\"\nauth = [\"local\"]",
        ..Options::default()
    };
    let site = Site::start(local)?;
    let told = python(&[site.attempt(site.home_doors, "imap", "implicit", json!({}))])?;
    ensure!(
        announced("imap", &told[0]["after"]) == ["LOGIN", "PLAIN"],
        "{told:?}"
    );
    Ok(())
}

/// The same for a domain that no section names: its accounts log in by the defaults.
#[test]
fn a_domain_without_a_section_counts_from_its_first_day() -> Result<()> {
    let site = Site::start(options())?;
    let list = || {
        let told = python(&[site.attempt(site.home_doors, "imap", "implicit", json!({}))])?;
        anyhow::Ok(announced("imap", &told[0]["after"]))
    };
    ensure!(list()? == WITH_TLS, "{:?}", list()?);
    site.home.command(&["domain", "create", "other.test"])?;
    ensure!(list()? == ["LOGIN", "PLAIN"], "{:?}", list()?);
    site.home.command(&["domain", "delete", "other.test"])?;
    ensure!(list()? == WITH_TLS, "{:?}", list()?);
    Ok(())
}

/// A lock of the directory holds for every mechanism, and ends with the attribute that says it.
#[test]
fn a_locked_account_is_locked_for_scram() -> Result<()> {
    let site = Site::start(Options {
        lockout: Some(50),
        ..options()
    })?;
    let logins = |outcome: &'static str| {
        let attempts = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "PLAIN"].map(|mechanism| {
            let how = json!({
                "mechanism": mechanism, "login": site.mail("alice"), "password": "alice-secret",
            });
            let attempt = site.attempt(site.home_doors, "imap", "implicit", how);
            (attempt, outcome)
        });
        expect(&attempts).with_context(|| site.home.log_tail())
    };
    let entry = format!("dn: {}\nchangetype: modify\n", site.people.dn("alice"));
    logins("in")?;
    site.slapd.modify(&format!(
        "{entry}replace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
    ))?;
    logins("refused")?;
    site.slapd
        .modify(&format!("{entry}delete: pwdAccountLockedTime\n"))?;
    logins("in").map(drop)
}
