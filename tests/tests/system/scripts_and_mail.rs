//! ManageSieve and submission through the whole product: a directory, a front end, a Dovecot as home.

use anyhow::{Context, Result, ensure};
use base64::Engine;
use serde_json::Value;
use system_tests::DOMAIN;
use system_tests::steps::eventually;
use testkit::{
    Dialogue, Dovecot, Homing, HomingBinary, People, Person, Postfix, Slapd, SlapdOptions, SmtpClient,
    free_port,
};

const HOST: &str = "dovecot.localdomain.test";

struct Site {
    slapd: Slapd,
    alice: Person,
    postfix: Postfix,
    /// The home, which ends with this value.
    dovecot: Dovecot,
    front: Homing,
    sieve: u16,
    submission: u16,
}

impl Site {
    fn start() -> Result<Self> {
        let people = People::generate(DOMAIN, 4, &[HOST]);
        let alice = people.find("alice").cloned().context("alice")?;
        let options = SlapdOptions {
            suffix: people.suffix.clone(),
            port: 0,
        };
        let slapd = Slapd::start(&HomingBinary::find()?, &options, &people.ldif())?;
        let postfix = Postfix::start(&[&alice.mail], "")?;
        let settings = format!(
            "login_trusted_networks = 127.0.0.1\nsubmission_relay_host = 127.0.0.1\n\
             submission_relay_port = {}\nsubmission_relay_trusted = yes\n",
            postfix.smtp
        );
        let dovecot = Dovecot::start(&[(&alice.mail, &alice.password)], &settings)?;
        let (sieve, submission) = (free_port()?, free_port()?);
        let config = format!(
            "server_name = \"front.{DOMAIN}\"\ndefault_domain = \"{DOMAIN}\"\n\
             [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\n\
             bind_dn = \"{}\"\nbind_password = \"{}\"\ntimeout = 2\n\
             accounts.base_dn = [\"{}\"]\ngroups.base_dn = [\"{}\"]\n\
             [[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"corp\"\n\
             cache_ttl = 0\nnegative_ttl = 0\n\
             [[home]]\nname = \"{HOST}\"\nhost = \"127.0.0.1\"\nmanagesieve.port = {}\nsubmission.port = {}\n\
             [managesieve_proxy]\nuser_maps = [\"people\"]\n\
             [[managesieve_proxy.listener]]\naddress = \"127.0.0.1:{sieve}\"\n\
             [submission_proxy]\nuser_maps = [\"people\"]\nextensions = [\"PIPELINING\", \"SIZE\", \"8BITMIME\"]\n\
             [[submission_proxy.listener]]\naddress = \"127.0.0.1:{submission}\"\n",
            slapd.uri(),
            slapd.reader.dn,
            slapd.reader.password,
            people.users_dn,
            people.groups_dn,
            dovecot.sieve,
            dovecot.submission,
        );
        let front = Homing::start(&HomingBinary::find()?, &config)?;
        Ok(Self {
            slapd,
            alice,
            postfix,
            dovecot,
            front,
            sieve,
            submission,
        })
    }

    fn proof(&self, password: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(format!("\0{}\0{password}", self.alice.mail))
    }

    /// A ManageSieve session up to the reply to the login.
    fn sieve(&self, password: &str) -> Result<(Dialogue, String)> {
        let mut client = Dialogue::connect(self.sieve)?;
        while client.line()?.starts_with('"') {}
        client.send_line(&format!("AUTHENTICATE \"PLAIN\" \"{}\"", self.proof(password)))?;
        let reply = client.line()?;
        Ok((client, reply))
    }

    /// The same of submission.
    fn submission(&self, password: &str) -> Result<(SmtpClient, u16)> {
        let mut client = SmtpClient::connect(self.submission)?;
        client.command("EHLO client.example.test")?;
        let reply = client.command(&format!("AUTH PLAIN {}", self.proof(password)))?;
        Ok((client, reply.code))
    }

    /// The protocols of the sessions that are listed.
    fn listed(&self) -> Result<Vec<String>> {
        let text = self.front.command(&["session", "list", "--json"])?;
        let told: Value = serde_json::from_str(&text)?;
        let rows = told.as_array().or_else(|| told["sessions"].as_array());
        let rows = rows.with_context(|| text.clone())?;
        let protocol = |row: &Value| row["protocol"].as_str().map(str::to_owned);
        let mut found: Vec<String> = rows.iter().filter_map(protocol).collect();
        found.sort();
        Ok(found)
    }
}

#[test]
fn sessions_go_home_are_listed_and_ended() -> Result<()> {
    let mut site = Site::start()?;
    let told = |site: &Site| format!("{}\n{}", site.front.log_tail(), site.dovecot.log());
    let (mut sieve, reply) = site.sieve(&site.alice.password)?;
    ensure!(reply == "OK \"Logged in.\"", "{reply}\n{}", told(&site));
    sieve.send_line("PUTSCRIPT \"mine\" {5+}\r\nkeep;")?;
    let reply = sieve.line()?;
    ensure!(reply.starts_with("OK"), "{reply}");
    let (mut mail, code) = site.submission(&site.alice.password)?;
    ensure!(code == 235, "{code}\n{}", told(&site));
    let message = b"Subject: by way of the front\r\n\r\nx\r\n";
    let (_, last) = mail.deliver(&site.alice.mail, &[&site.alice.mail], message)?;
    ensure!(last.code == 250, "{last:?}\n{}", told(&site));
    eventually("the mail is there", || {
        Ok(site.postfix.delivered(&site.alice.mail) == 1)
    })?;

    let (_, reply) = site.sieve("wrong")?;
    ensure!(reply == "NO \"Authentication failed.\"", "{reply}");
    let (_, code) = site.submission("wrong")?;
    ensure!(code == 535, "{code}");

    let both = ["managesieve", "submission"];
    ensure!(site.listed()? == both, "{:?}", site.listed()?);
    let numbers = site.front.command(&["service", "metrics"])?;
    for protocol in both {
        let line = format!("homing_sessions{{protocol=\"{protocol}\"}} 1");
        ensure!(numbers.lines().any(|found| found == line), "{line}\n{numbers}");
        site.front.command(&[
            "session",
            "kick",
            "--protocol",
            protocol,
            "--account",
            &site.alice.mail,
        ])?;
    }
    ensure!(sieve.is_closed(), "the session goes on");
    // RFC 5321 section 3.8: between two commands there is a word for it.
    let said = mail.dialogue.line()?;
    ensure!(said.starts_with("421 4.3.2 "), "{said}");
    ensure!(mail.dialogue.is_closed(), "the session goes on");
    eventually("no session is left", || Ok(site.listed()?.is_empty()))?;
    let log = std::fs::read_to_string(site.front.log())?;
    for protocol in both {
        let ended = log.lines().filter(|line| {
            line.contains("session ended") && line.contains(&format!("protocol=\"{protocol}\""))
        });
        ensure!(ended.count() == 1, "{protocol}\n{log}");
    }

    // A drained home takes no new sessions, and a directory that is away proves nobody wrong.
    site.front.command(&["home", "drain", HOST])?;
    let (_, reply) = site.sieve(&site.alice.password)?;
    ensure!(reply.starts_with("NO (TRYLATER)"), "{reply}");
    let (_, code) = site.submission(&site.alice.password)?;
    ensure!(code == 454, "{code}");
    site.front.command(&["home", "enable", HOST])?;
    site.slapd.stop()?;
    let (_, reply) = site.sieve("never tried before")?;
    ensure!(reply.starts_with("NO (TRYLATER)"), "{reply}");
    let (_, code) = site.submission("never tried before")?;
    ensure!(code == 454, "{code}");
    Ok(())
}
