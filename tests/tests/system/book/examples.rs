//! The worked examples of the chapter `sync-examples.md`: each direction, each conflict rule and each scope.

use super::transcript::{Terminal, Typed, chapter};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, Samba, Slapd, SlapdOptions, free_port};

/// The headings of the chapter, which say what is set.
const CASES: [&str; 8] = [
    "ldap-to-local",
    "local-to-ldap",
    "both-ways, ldap-wins, attribute",
    "both-ways, local-wins, attribute",
    "both-ways, no-change, attribute",
    "both-ways, ldap-wins, entry",
    "both-ways, local-wins, entry",
    "both-ways, no-change, entry",
];
const EDITS: &str = "The two edits";
const AD: &str = "On Active Directory";
const USERS: &str = "ou=Users,o=example,dc=example,dc=test";

/// A directory with Alice in it.
trait Directory {
    /// The connector, as far as the directory decides.
    fn connector(&self) -> String;
    /// Takes away the Alice of another example, if there was one.
    fn take_alice(&self);
    /// Puts Alice in, as nobody has ever seen her.
    fn put_alice(&self) -> Result<()>;
    /// What the chapter shows on OpenLDAP, as it is on this directory.
    fn translate(&self, typed: &Typed) -> Typed;
}

impl Directory for Slapd {
    fn connector(&self) -> String {
        format!(
            "uris = [\"{}\"]\nserver_type = \"openldap\"\nbind_dn = \"{}\"\nbind_password = \"{}\"\n\
             write_bind_dn = \"{}\"\nwrite_bind_password = \"{}\"\naccounts = {{ base_dn = [\"{USERS}\"] }}\n",
            self.uri(),
            self.reader.dn,
            self.reader.password,
            self.writer.dn,
            self.writer.password,
        )
    }

    fn take_alice(&self) {
        // The first time there is none.
        let _ = self.delete(&format!("uid=alice,{USERS}"));
    }

    fn put_alice(&self) -> Result<()> {
        self.add(&format!(
            "dn: uid=alice,{USERS}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\nuid: alice\n\
             cn: Alice\nsn: Alice\ndisplayName: Alice\nmail: alice@example.test\n"
        ))
    }

    fn translate(&self, typed: &Typed) -> Typed {
        typed.clone()
    }
}

impl Directory for Samba {
    fn connector(&self) -> String {
        format!(
            "uris = [\"{}\"]\nserver_type = \"active-directory\"\nca_file = \"{}\"\nbind_dn = \"{}\"\n\
             bind_password = \"{}\"\naccounts = {{ base_dn = [\"{}\"], filter = \"(objectCategory=person)\" }}\n",
            self.tls_uri(),
            self.certificate().certificate.display(),
            self.administrator.dn,
            self.administrator.password,
            self.people_dn(),
        )
    }

    fn take_alice(&self) {
        // The first time there is none.
        let _ = self.delete(&self.user_dn("alice"));
    }

    fn put_alice(&self) -> Result<()> {
        self.add(&self.user_ldif(
            "alice",
            "alice@example.test",
            "alice's secret",
            "displayName: Alice\n",
        ))
    }

    /// Other names of attributes and entries; an entry prints its values in an order of its own.
    fn translate(&self, typed: &Typed) -> Typed {
        let people = self.people_dn();
        let other = |text: &str| {
            text.replace(&format!("uid=alice,{USERS}"), &format!("CN=alice,{people}"))
                .replace("(uid=alice)", "(sAMAccountName=alice)")
                .replace("mailLocalAddress: ", "proxyAddresses: smtp:")
                .replace("mailLocalAddress", "proxyAddresses")
        };
        let mut printed: Vec<String> = typed.printed.iter().map(|line| other(line)).collect();
        let mut command = other(&typed.command);
        if command.starts_with("homing directory search") {
            command.push_str(" | grep . | LC_ALL=C sort");
            printed.retain(|line| !line.is_empty());
            printed.sort();
        }
        Typed { command, printed }
    }
}

/// One server, from nothing, with Alice linked.
fn server(directory: &dyn Directory, settings: &str) -> Result<(Homing, Terminal)> {
    let source = settings == "local-to-ldap";
    directory.take_alice();
    if !source {
        directory.put_alice()?;
    }
    let binary = HomingBinary::find()?;
    let mut config = format!(
        "server_name = \"mail.example.test\"\n[[connector]]\nname = \"people\"\n{}domains = [\"example.test\"]\n",
        directory.connector()
    );
    for (key, value) in ["direction", "conflict_resolution", "conflict_scope"]
        .iter()
        .zip(settings.split(", "))
    {
        writeln!(config, "{key} = \"{value}\"")?;
    }
    write!(
        config,
        "[[imap.listener]]\naddress = \"127.0.0.1:{}\"\n",
        free_port()?
    )?;
    let homing = Homing::start(&binary, &config)?;
    if source {
        let made = [
            "account",
            "create",
            "alice@example.test",
            "--display-name",
            "Alice",
            "--password-stdin",
        ];
        homing.command_with_input(&made, b"alice's secret\n")?;
    }
    eventually("Alice is linked", || {
        let found = homing.command(&["sync", "status", "--json"])?;
        Ok(found.contains("\"linked\": 1,") || found.contains("\"linked\":1,"))
    })?;
    let terminal = Terminal::new(binary.path(), &homing.config());
    Ok((homing, terminal))
}

fn all(directory: &dyn Directory, edits: &str) -> Result<()> {
    let chapter: BTreeMap<String, Vec<Typed>> = chapter("sync-examples.md")?;
    let of = |heading: &str| {
        let found = chapter.get(heading).filter(|typed| !typed.is_empty());
        found.with_context(|| format!("the chapter shows nothing below {heading:?}"))
    };
    let mut wrong = String::new();
    for case in CASES {
        let (homing, mut terminal) = server(directory, case)?;
        let mut lines: Vec<Typed> = Vec::new();
        if case != "ldap-to-local" {
            lines.extend(of(edits)?.iter().cloned());
        }
        lines.extend(of(case)?.iter().map(|typed| directory.translate(typed)));
        if edits == AD && case == CASES[2] {
            lines.extend(
                of("The entry afterwards")?
                    .iter()
                    .map(|typed| directory.translate(typed)),
            );
        }
        let typed = lines.iter().try_for_each(|typed| terminal.type_in(typed));
        // Nothing is left to do, however often it is looked at.
        let settled = typed.and_then(|()| {
            eventually("both sides agree", || {
                homing.command(&["sync", "run", "--full"])?;
                Ok(homing.command(&["sync", "plan"])?.starts_with("nothing to do\n"))
            })
        });
        if let Err(error) = settled {
            writeln!(wrong, "=== {case}\n{error:#}\n{}", homing.log_tail())?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

#[test]
fn the_examples_are_true_on_openldap() -> Result<()> {
    let options = SlapdOptions {
        suffix: "dc=example,dc=test".to_owned(),
        port: 0,
    };
    all(&Slapd::start(&HomingBinary::find()?, &options, "")?, EDITS)
}

#[test]
fn the_examples_are_true_on_active_directory() -> Result<()> {
    all(&Samba::start("")?, AD)
}
