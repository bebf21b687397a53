//! Directories that know nothing of Homing: no schema of ours is loaded, attribute mapping alone makes them fit.

use crate::login::{Answer, ReadPorts, Way, expect};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, Slapd, SlapdOptions, SmtpClient};

const SUFFIX: &str = "dc=example,dc=test";
const USERS: &str = "ou=Users,o=example,dc=example,dc=test";
const GROUPS: &str = "ou=Groups,o=example,dc=example,dc=test";

/// A directory, what is in it, and the keys that explain it.
struct Case {
    /// Further indexes, as an administrator of such a directory would have them.
    indexes: &'static str,
    people: String,
    keys: &'static str,
}

/// `inetOrgPerson` with `inetLocalMailRecipient`, and groups of `nisMailAlias`.
fn mail_recipients() -> Case {
    let person = |uid: &str| {
        format!(
            "dn: uid={uid},{USERS}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
             uid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {uid}@example.test\nmailLocalAddress: {uid}.x@example.test\n\
             mailHost: store1.example.test\nuserPassword: {uid}-secret\n\n"
        )
    };
    let alias = |cn: &str, members: &[&str]| {
        let members: String = members
            .iter()
            .map(|member| format!("rfc822MailMember: {member}\n"))
            .collect();
        format!("dn: cn={cn},{GROUPS}\nobjectClass: nisMailAlias\ncn: {cn}\n{members}\n")
    };
    Case {
        indexes: "index rfc822MailMember eq",
        people: [
            person("alice"),
            person("bob"),
            alias("staff", &["alice", "helpers"]),
            alias("helpers", &["bob@example.test"]),
        ]
        .concat(),
        keys: "groups.object_class = \"nisMailAlias\"\nattributes.members = \"rfc822MailMember\"\n\
               attributes.group_mail = \"cn\"\n",
    }
}

/// Plain `inetOrgPerson`: the home, further addresses and the end of an account stand in attributes that were meant
/// for something else, and the server goes by another name.
fn plain_people() -> Case {
    let person = |uid: &str, more: &str| {
        format!(
            "dn: cn={uid} Example,{USERS}\nobjectClass: inetOrgPerson\ncn: {uid} Example\nuid: {uid}\nsn: Example\n\
             mail: {uid}@example.test\ndescription: {uid}.x@example.test\ndepartmentNumber: Store-One.\n\
             userPassword: {uid}-secret\n{more}\n"
        )
    };
    let group = format!(
        "dn: cn=staff,{GROUPS}\nobjectClass: groupOfUniqueNames\ncn: staff\n\
         description: staff@example.test\nuniqueMember: cn=alice Example,{USERS}\n\
         uniqueMember: cn=bob Example,{USERS}\n\n"
    );
    Case {
        indexes: "index description,departmentNumber,uniqueMember eq",
        people: [
            person("alice", ""),
            person("bob", ""),
            person("gone", "employeeType: left\n"),
            group,
        ]
        .concat(),
        keys: "groups.object_class = \"groupOfUniqueNames\"\nattributes.members = \"uniqueMember\"\n\
               attributes.group_mail = \"description\"\nattributes.host = \"departmentNumber\"\n\
               host_aliases = [\"store-one\"]\n\
               attributes.aliases = \"description\"\naccounts.filter = \"(!(employeeType=left))\"\n",
    }
}

/// A server without the include of our schema.
fn start_slapd(binary: &HomingBinary, case: &Case) -> Result<Slapd> {
    let options = SlapdOptions {
        suffix: SUFFIX.to_owned(),
        port: 0,
    };
    let mut slapd = Slapd::start(binary, &options, "")?;
    slapd.stop()?;
    let text = std::fs::read_to_string(slapd.config())?;
    let (ours, others): (Vec<&str>, Vec<&str>) = text
        .lines()
        .partition(|line| line.starts_with("include") && line.contains("homing.schema"));
    ensure!(ours.len() == 1, "{text}");
    let text = others.join("\n") + "\n";
    let text = text.replacen(
        "index objectClass",
        &format!("{}\nindex objectClass", case.indexes),
        1,
    );
    std::fs::write(slapd.config(), text)?;
    slapd.restart()?;
    let schema = slapd.search("cn=Subschema", "(objectClass=*)", &["objectClasses"]);
    ensure!(
        !schema.unwrap_or_default().contains("homingAccount"),
        "our schema is loaded"
    );
    slapd.add(&case.people)?;
    Ok(slapd)
}

fn run(case: &Case) -> Result<()> {
    let binary = HomingBinary::find()?;
    let slapd = start_slapd(&binary, case)?;
    let ports = Ports::free()?;
    let listeners: String = [("imap", ports.imap), ("pop3", ports.pop3), ("smtp", ports.smtp)]
        .iter()
        .map(|(service, port)| format!("[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\n"))
        .collect();
    let config = format!(
        "server_name = \"store1.example.test\"\n\
         [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\nbind_dn = \"{}\"\n\
         bind_password = \"{}\"\ndomains = [\"example.test\"]\nclustered = true\n\
         accounts.base_dn = [\"{USERS}\"]\ngroups.base_dn = [\"{GROUPS}\"]\n{}\
         [[domain]]\nname = \"example.test\"\n{listeners}",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
        case.keys,
    );
    let home = Homing::start(&binary, &config)?;
    walk(&binary, &home, ports).with_context(|| home.log_tail())
}

fn walk(binary: &HomingBinary, home: &Homing, ports: Ports) -> Result<()> {
    let file = home.config().display().to_string();
    let (code, stdout, stderr) = binary.output(&["directory", "check", "--config", &file])?;
    ensure!(code == Some(0), "{code:?}: {stdout}{stderr}");
    eventually("accounts and groups are here", || {
        let accounts = home.command(&["account", "list"])?;
        let groups = home.command(&["group", "list"])?;
        ensure!(!accounts.contains("gone@"), "{accounts}");
        let people = ["alice@example.test", "bob@example.test"];
        Ok(people.iter().all(|mail| accounts.contains(mail)) && groups.contains("staff@example.test"))
    })?;
    let read = ReadPorts {
        imap: ports.imap,
        pop3: ports.pop3,
    };
    for uid in ["alice", "bob"] {
        for login in [uid.to_owned(), format!("{uid}@example.test")] {
            expect(read, &login, &format!("{uid}-secret"), Answer::Accepted)?;
        }
    }
    for (login, password) in [("alice", "bob-secret"), ("gone", "gone-secret")] {
        let answer = Way::ImapLogin.try_login(read, login, password)?;
        ensure!(answer == Answer::Refused, "{login}: {answer:?}");
    }
    // Mail to a person, to another address of theirs, and to the group.
    let mut client = SmtpClient::connect(ports.smtp)?;
    client.command("EHLO client.test")?;
    for to in ["alice@example.test", "alice.x@example.test", "staff@example.test"] {
        let message = format!("Subject: to {to}\n\nHello.\n");
        let (replies, last) = client.deliver("sender@elsewhere.test", &[to], message.as_bytes())?;
        ensure!(last.code == 250, "{to}: {replies:?} {last:?}");
    }
    for (uid, expected) in [("alice", 3), ("bob", 1)] {
        let mut client = testkit::Pop3Client::connect(ports.pop3)?;
        let reply = client.login(uid, &format!("{uid}-secret"))?;
        ensure!(reply.starts_with("+OK"), "{reply}");
        let (_, listed) = client.multi_line("LIST")?;
        ensure!(listed.len() == expected, "{uid}: {listed:?}");
    }
    Ok(())
}

#[test]
fn people_with_a_mail_host_and_groups_of_nis() -> Result<()> {
    run(&mail_recipients())
}

#[test]
fn plain_people_and_a_mapping() -> Result<()> {
    run(&plain_people())
}
