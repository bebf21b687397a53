//! Whose mail is taken: the domains are entries of a directory, or lines of a file, and follow both.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, Scratch, Slapd, SlapdOptions, SmtpClient, free_port};

const SUFFIX: &str = "dc=example,dc=test";
const USERS: &str = "ou=Users,o=example,dc=example,dc=test";

/// A front end whose homes do not matter: everybody's is down, which is "try later" and neither a yes nor a no.
struct Site {
    slapd: Slapd,
    front: Homing,
    smtp: u16,
    lmtp: u16,
    list: PathBuf,
    _scratch: Scratch,
}

fn person(mail: &str) -> String {
    let uid = mail.replace('@', "-at-");
    format!(
        "dn: uid={uid},{USERS}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\nmail: {mail}\n\n"
    )
}

impl Site {
    fn start() -> Result<Self> {
        let (binary, scratch) = (HomingBinary::find()?, Scratch::new()?);
        let options = SlapdOptions {
            suffix: SUFFIX.to_owned(),
            port: 0,
        };
        let slapd = Slapd::start(&binary, &options, &person("alice@example.test"))?;
        let (smtp, lmtp) = (free_port()?, free_port()?);
        let map = scratch.write("map", "* down.example.test\n")?;
        let list = scratch.write("domains", "# ours\nExample.TEST\n")?;
        let config = config(&slapd, &map, &list, (smtp, lmtp));
        Ok(Self {
            front: Homing::start(&binary, &config)?,
            slapd,
            smtp,
            lmtp,
            list,
            _scratch: scratch,
        })
    }
}

fn config(slapd: &Slapd, map: &Path, list: &Path, (smtp, lmtp): (u16, u16)) -> String {
    format!(
        "server_name = \"front.example.test\"\n\
         [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\nbind_dn = \"{}\"\n\
         bind_password = \"{}\"\ntimeout = 2\naccounts.base_dn = [\"{USERS}\"]\n\
         [[home]]\nname = \"down.example.test\"\nhost = \"127.0.0.1\"\nsmtp.port = 1\nlmtp.port = 1\n\
         [[user_map]]\nname = \"all\"\nkind = \"local-file\"\npath = {:?}\n\
         [smtp_proxy]\nuser_maps = [\"all\"]\n\
         domains = {{ connector = \"corp\", filter = \"(mail=*@%d)\", negative_ttl = 0 }}\n\
         [[smtp_proxy.listener]]\naddress = \"127.0.0.1:{smtp}\"\n\
         [lmtp_proxy]\nuser_maps = [\"all\"]\ndomains = {{ file = {:?} }}\n\
         [[lmtp_proxy.listener]]\naddress = \"127.0.0.1:{lmtp}\"\n",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
        map.display().to_string(),
        list.display().to_string(),
    )
}

/// The reply to a recipient in this domain.
fn recipient(port: u16, hello: &str, domain: &str) -> Result<String> {
    let mut client = SmtpClient::connect(port)?;
    client.command(&format!("{hello} client.test"))?;
    client.command("MAIL FROM:<sender@elsewhere.test>")?;
    let reply = client.command(&format!("RCPT TO:<somebody@{domain}>"))?;
    Ok(format!("{} {}", reply.code, reply.lines.join(" ")))
}

/// Ours: the home is asked, and is down. Theirs: refused.
const OURS: &str = "451 4.4.1";
const FOREIGN: &str = "550 5.7.1";
const UNKNOWN: &str = "451 4.4.3";

#[test]
fn domains_follow_the_directory_and_the_file() -> Result<()> {
    let mut site = Site::start()?;
    let done = directory(&mut site).and_then(|()| file(&site));
    done.with_context(|| site.front.log_tail())
}

fn directory(site: &mut Site) -> Result<()> {
    let smtp = site.smtp;
    let expect = |domain: &str, wanted: &str| -> Result<()> {
        let reply = recipient(smtp, "EHLO", domain)?;
        ensure!(reply.starts_with(wanted), "{domain}: {reply}, not {wanted}");
        Ok(())
    };
    expect("EXAMPLE.test", OURS)?;
    expect("second.test", FOREIGN)?;
    site.slapd.add(&person("bob@second.test"))?;
    expect("second.test", OURS)?;
    site.slapd.kill()?;
    expect("second.test", OURS)?;
    expect("third.test", UNKNOWN)?;
    site.slapd.restart()?;
    eventually("the directory answers again", || {
        Ok(recipient(smtp, "EHLO", "third.test")?.starts_with(FOREIGN))
    })
}

fn file(site: &Site) -> Result<()> {
    let expect = |domain: &str, wanted: &str| -> Result<()> {
        let reply = recipient(site.lmtp, "LHLO", domain)?;
        ensure!(reply.starts_with(wanted), "{domain}: {reply}, not {wanted}");
        Ok(())
    };
    expect("example.test", OURS)?;
    expect("xn--bcher-kva.test", FOREIGN)?;
    std::fs::write(&site.list, "bücher.test\n")?;
    site.front.command(&["reload"])?;
    expect("xn--bcher-kva.test", OURS)?;
    expect("example.test", FOREIGN)?;
    // A bad file is told with its line, and changes nothing.
    std::fs::write(&site.list, "new.test\nexample..test\n")?;
    let config = site.front.config().display().to_string();
    for args in [
        ["reload", "--config", &config],
        ["check-config", "--config", &config],
    ] {
        let (code, out, told) = HomingBinary::find()?.output(&args)?;
        let told = format!("{out}{told}");
        ensure!(
            code != Some(0) && told.contains("line 2"),
            "{args:?}: {code:?} {told}"
        );
        ensure!(told.contains("lmtp_proxy.domains.file"), "{args:?}: {told}");
    }
    expect("xn--bcher-kva.test", OURS)?;
    expect("new.test", FOREIGN)?;
    // Nobody need ask for a good one.
    std::fs::write(&site.list, "new.test\nexample.test\n")?;
    eventually("the file is read again", || {
        Ok(recipient(site.lmtp, "LHLO", "new.test")?.starts_with(OURS))
    })
}
