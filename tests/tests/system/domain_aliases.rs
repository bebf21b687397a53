//! A domain with another name: mail, logins and user maps take an address in either for the same one.

use crate::local::log;
use crate::login::{Answer, ReadPorts, Way, expect};
use anyhow::{Context, Result, ensure};
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, ImapClient, Scratch, Slapd, SlapdOptions, SmtpClient, free_port};

const SUFFIX: &str = "dc=example,dc=test";
const USERS: &str = "ou=Users,o=example,dc=example,dc=test";

/// Bob's entry still has the domain's old name.
const PEOPLE: [(&str, &str); 2] = [("alice", "alice@example.test"), ("bob", "bob@old.test")];

struct Tier {
    _slapd: Slapd,
    home: Homing,
    front: Homing,
    home_ports: Ports,
    front_ports: Ports,
    lmtp: u16,
}

fn connector(slapd: &Slapd) -> String {
    format!(
        "[[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\nbind_dn = \"{}\"\n\
         bind_password = \"{}\"\ndomains = [\"example.test\"]\nsearch_domain_aliases = true\n\
         accounts.base_dn = [\"{USERS}\"]\n\
         [[domain]]\nname = \"example.test\"\naliases = [\"old.test\"]\n",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
    )
}

fn listener(service: &str, port: u16) -> String {
    format!("[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\n")
}

impl Tier {
    fn start() -> Result<Self> {
        let binary = HomingBinary::find()?;
        let options = SlapdOptions {
            suffix: SUFFIX.to_owned(),
            port: 0,
        };
        let entries = PEOPLE.map(|(uid, mail)| {
            format!(
                "dn: uid={uid},{USERS}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
                 uid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {mail}\nmailHost: store1.example.test\n\
                 userPassword: {uid}-secret\n\n"
            )
        });
        let slapd = Slapd::start(&binary, &options, &entries.concat())?;
        let (home_ports, front_ports, lmtp) = (Ports::free()?, Ports::free()?, free_port()?);
        let home = format!(
            "server_name = \"store1.example.test\"\n{}{}{}{}{}",
            connector(&slapd),
            listener("imap", home_ports.imap),
            listener("pop3", home_ports.pop3),
            listener("smtp", home_ports.smtp),
            listener("lmtp", lmtp),
        );
        let front = format!(
            "server_name = \"front.example.test\"\n{}\
             [[home]]\nname = \"store1.example.test\"\nhost = \"127.0.0.1\"\n\
             imap.port = {}\npop3.port = {}\nsmtp.port = {}\n\
             [[user_map]]\nname = \"people\"\nkind = \"ldap-bind\"\nconnector = \"corp\"\nlive = true\n\
             [imap_proxy]\nuser_maps = [\"people\"]\n[pop3_proxy]\nuser_maps = [\"people\"]\n\
             [smtp_proxy]\nuser_maps = [\"people\"]\ndomains = [\"example.test\"]\n{}{}{}",
            connector(&slapd),
            home_ports.imap,
            home_ports.pop3,
            home_ports.smtp,
            listener("imap_proxy", front_ports.imap),
            listener("pop3_proxy", front_ports.pop3),
            listener("smtp_proxy", front_ports.smtp),
        );
        Ok(Self {
            home: Homing::start(&binary, &home)?,
            front: Homing::start(&binary, &front)?,
            _slapd: slapd,
            home_ports,
            front_ports,
            lmtp,
        })
    }
}

fn read(ports: Ports) -> ReadPorts {
    ReadPorts {
        imap: ports.imap,
        pop3: ports.pop3,
    }
}

/// Sends one message and answers the codes of the recipients.
fn send(port: u16, hello: &str, to: &[&str]) -> Result<Vec<u16>> {
    let mut client = SmtpClient::connect(port)?;
    client.command(&format!("{hello} client.test"))?;
    let (replies, last) = client.deliver("sender@elsewhere.test", to, b"Subject: x\n\nHello.\n")?;
    let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
    ensure!(!codes.contains(&250) || last.code == 250, "{last:?}");
    Ok(codes)
}

fn messages(ports: Ports, login: &str, password: &str) -> Result<usize> {
    let mut client = ImapClient::connect(ports.imap)?;
    let reply = client.login(login, password)?;
    ensure!(reply.starts_with("OK"), "{login}: {reply}");
    let lines = client.ok("SELECT INBOX")?;
    let exists = lines.iter().find_map(|line| line.strip_suffix(" EXISTS"));
    Ok(exists.context("no EXISTS")?.trim_start_matches("* ").parse()?)
}

#[test]
fn both_names_lead_to_the_same_account() -> Result<()> {
    let tier = Tier::start()?;
    walk(&tier).with_context(|| {
        format!(
            "home:\n{}\nfront:\n{}",
            tier.home.log_tail(),
            tier.front.log_tail()
        )
    })
}

fn walk(tier: &Tier) -> Result<()> {
    eventually("both accounts are here, in the main domain", || {
        let listed = tier.home.command(&["account", "list"])?;
        ensure!(!listed.contains("@old.test"), "{listed}");
        Ok(PEOPLE
            .iter()
            .all(|(uid, _)| listed.contains(&format!("{uid}@example.test"))))
    })?;
    // Mail: at the home by SMTP and LMTP, and through the front end.
    let both = ["alice@old.test", "bob@example.test"];
    ensure!(send(tier.home_ports.smtp, "EHLO", &both)? == [250, 250]);
    ensure!(send(tier.home_ports.smtp, "EHLO", &["nobody@old.test"])? == [550]);
    ensure!(
        SmtpClient::connect(tier.lmtp)?.command("LHLO client.test")?.code == 250,
        "LMTP"
    );
    let mut lmtp = SmtpClient::connect(tier.lmtp)?;
    lmtp.command("LHLO client.test")?;
    let (replies, last) = lmtp.deliver(
        "sender@elsewhere.test",
        &["Alice+x@OLD.test"],
        b"Subject: y\n\nHello.\n",
    )?;
    ensure!(replies.iter().all(|reply| reply.code == 250) && last.code == 250);
    ensure!(send(tier.front_ports.smtp, "EHLO", &both)? == [250, 250]);
    ensure!(send(tier.front_ports.smtp, "EHLO", &["nobody@old.test"])? == [550]);
    // Logins, at the home and through the front end, by either name.
    for ports in [tier.home_ports, tier.front_ports] {
        for (uid, _) in PEOPLE {
            for domain in ["example.test", "old.test", "OLD.test"] {
                let (login, password) = (format!("{uid}@{domain}"), format!("{uid}-secret"));
                expect(read(ports), &login, &password, Answer::Accepted)?;
                let expected = if uid == "alice" { 3 } else { 2 };
                ensure!(messages(ports, &login, &password)? == expected, "{login}");
            }
        }
        let wrong = Way::ImapLogin.try_login(read(ports), "alice@old.test", "wrong")?;
        ensure!(wrong == Answer::Refused, "{wrong:?}");
    }
    let found = tier
        .home
        .command(&["directory", "test-lookup", "bob@example.test"])?;
    ensure!(found.contains("(mail=bob@old.test)"), "{found}");
    reloaded(tier)
}

/// The name can be taken away while the server runs.
fn reloaded(tier: &Tier) -> Result<()> {
    let file = tier.home.config();
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, text.replace("aliases = [\"old.test\"]\n", ""))?;
    tier.home.command(&["reload"])?;
    ensure!(send(tier.home_ports.smtp, "EHLO", &["alice@old.test"])? == [550]);
    ensure!(send(tier.home_ports.smtp, "EHLO", &["alice@example.test"])? == [250]);
    // A domain with accounts cannot become another one's name.
    std::fs::write(
        &file,
        text.replace("aliases = [\"old.test\"]\n", "[[domain]]\nname = \"old.test\"\n"),
    )?;
    tier.home.command(&["reload"])?;
    tier.home.command_with_input(
        &["account", "create", "carol@old.test", "--password-stdin"],
        b"carol-secret",
    )?;
    std::fs::write(&file, &text)?;
    let refused = tier.home.command(&["reload"]);
    let refused = refused.err().context("the reload must be refused")?.to_string();
    ensure!(refused.contains("domain.0.aliases"), "{refused}");
    ensure!(send(tier.home_ports.smtp, "EHLO", &["carol@old.test"])? == [250]);
    ensure!(!log(&tier.home)?.contains("panicked"));
    Ok(())
}

#[test]
fn what_cannot_be_an_alias_is_said_with_its_line() -> Result<()> {
    let scratch = Scratch::new()?;
    let text = "[[domain]]\nname = \"a.test\"\naliases = [\"b.test\", \"c.test\"]\n\
                [[domain]]\nname = \"b.test\"\naliases = [\"c.test\"]\n\
                [[imap.listener]]\naddress = \"127.0.0.1:0\"\n";
    let file = scratch.write("homing.toml", text)?.display().to_string();
    let (code, _, stderr) = HomingBinary::find()?.output(&["check-config", "--config", &file])?;
    ensure!(code == Some(64), "{code:?}");
    for word in [
        "domain.0.aliases.0",
        "domain.1.aliases.0",
        "already an alias of a.test",
    ] {
        ensure!(stderr.contains(word), "{word} is not in:\n{stderr}");
    }
    Ok(())
}
