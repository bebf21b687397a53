//! A new configuration while sessions are open: they go on, new ones see it, and a wrong file changes nothing.

use crate::local::{ALICE, listeners};
use crate::login::{Answer, ReadPorts, Way, expect};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::TcpStream;
use system_tests::steps::eventually;
use system_tests::{Cluster, ClusterOptions, Ports};
use testkit::{
    Homing, HomingBinary, ImapClient, Person, Pop3Client, Scratch, SmtpClient, SmtpReply, free_port,
};

/// Rewrites the server's file.
fn edit(server: &Homing, change: impl FnOnce(String) -> String) -> Result<()> {
    let text = std::fs::read_to_string(server.config())?;
    Ok(std::fs::write(server.config(), change(text))?)
}

/// `homing reload --json`.
fn reload(server: &Homing) -> Result<Value> {
    Ok(serde_json::from_str(&server.command(&["reload", "--json"])?)?)
}

/// The keys in one list of the answer.
fn keys<'a>(answer: &'a Value, list: &str) -> Vec<&'a str> {
    let rows = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    rows.filter_map(|row| row.get("key")?.as_str()).collect()
}

fn start() -> Result<(Cluster, Person, Person)> {
    let options = ClusterOptions {
        people: 6,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&options)?;
    let person = |index: usize| {
        cluster
            .people
            .persons
            .get(index)
            .cloned()
            .context("too few people")
    };
    let (first, second) = (person(0)?, person(1)?);
    Ok((cluster, first, second))
}

fn read_ports(cluster: &Cluster) -> ReadPorts {
    ReadPorts {
        imap: cluster.front_ports.imap,
        pop3: cluster.front_ports.pop3,
    }
}

#[test]
fn sessions_go_on_and_new_ones_see_the_new_configuration() -> Result<()> {
    let (cluster, first, second) = start()?;
    changes(&cluster, &first, &second).with_context(|| cluster.log_tails())
}

fn changes(cluster: &Cluster, first: &Person, second: &Person) -> Result<()> {
    let ports = read_ports(cluster);
    let mut held = ImapClient::connect(ports.imap)?;
    ensure!(held.login(&second.mail, &second.password)?.starts_with("OK"));
    held.ok("SELECT INBOX")?;
    ensure!(keys(&reload(&cluster.front)?, "changed").is_empty());

    // Another connector: the second person is nobody for new sessions.
    let other = free_port()?;
    edit(&cluster.front, |text| {
        let filter = format!("accounts.filter = \"(!(uid={}))\"\naccounts.base_dn", second.uid);
        let listener =
            format!("[[imap_proxy.listener]]\naddress = \"127.0.0.1:{other}\"\n[log]\nlevel = \"debug\"\n");
        format!("{}{listener}", text.replacen("accounts.base_dn", &filter, 1))
    })?;
    let answer = reload(&cluster.front)?;
    let listener = format!("imap_proxy.listener.127.0.0.1:{other}");
    ensure!(
        keys(&answer, "changed") == ["connector.corp.accounts.filter", &listener, "log.level"],
        "{answer}"
    );
    ensure!(keys(&answer, "needs_restart").is_empty(), "{answer}");
    held.ok("NOOP")?;
    expect(ports, &second.mail, &second.password, Answer::Refused)?;
    expect(ports, &first.mail, &first.password, Answer::Accepted)?;
    let elsewhere = ReadPorts { imap: other, ..ports };
    ensure!(Way::ImapLogin.try_login(elsewhere, &first.mail, &first.password)? == Answer::Accepted);
    // At this level the end of each SMTP session is told.
    SmtpClient::connect(cluster.front_ports.smtp)?.command("QUIT")?;
    eventually("the new level holds", || {
        Ok(std::fs::read_to_string(cluster.front.log())?.contains("DEBUG"))
    })?;

    // The listener goes; its session does not.
    let mut there = ImapClient::connect(other)?;
    ensure!(there.login(&first.mail, &first.password)?.starts_with("OK"));
    edit(&cluster.front, |text| {
        let gone = format!("[[imap_proxy.listener]]\naddress = \"127.0.0.1:{other}\"\n");
        text.replacen(&gone, "", 1)
    })?;
    let answer = reload(&cluster.front)?;
    ensure!(keys(&answer, "changed") == [listener.as_str()], "{answer}");
    eventually("the listener is closed", || {
        Ok(TcpStream::connect(("127.0.0.1", other)).is_err())
    })?;
    there.ok("NOOP")?;
    ensure!(
        cluster
            .front
            .command(&["service", "status"])?
            .contains("draining")
    );
    drop(there);
    eventually("the last session is counted out", || {
        Ok(!cluster
            .front
            .command(&["service", "status"])?
            .contains("draining"))
    })?;

    // A home with another port: whoever logs in now is sent there, where nobody answers.
    let host = &first.host;
    edit(&cluster.front, |text| {
        let index = if *host == system_tests::HOMES[0] { 0 } else { 1 };
        let old = format!("imap.port = {}\n", cluster.home_ports[index].imap);
        text.replacen(&old, "imap.port = 1\n", 1)
    })?;
    let answer = reload(&cluster.front)?;
    ensure!(
        keys(&answer, "changed") == [format!("home.{host}.imap.port")],
        "{answer}"
    );
    ensure!(Way::ImapLogin.try_login(ports, &first.mail, &first.password)? == Answer::Later);
    held.ok("NOOP")?;
    Ok(())
}

#[test]
fn a_wrong_file_changes_nothing_and_is_told_by_line() -> Result<()> {
    let (cluster, first, _) = start()?;
    refused(&cluster, &first).with_context(|| cluster.log_tails())
}

fn refused(cluster: &Cluster, first: &Person) -> Result<()> {
    let ports = read_ports(cluster);
    let front = &cluster.front;
    let mut held = ImapClient::connect(ports.imap)?;
    ensure!(held.login(&first.mail, &first.password)?.starts_with("OK"));
    let good = std::fs::read_to_string(front.config())?;
    let lines = good.lines().count();
    edit(front, |text| format!("{text}[log]\nlevle = \"debug\"\n"))?;
    let place = format!("{}:{}:", front.config().display(), lines + 2);

    // The client reads the file too; one with a file of its own hears it from the server.
    let socket_only = front.folder().join("client.toml");
    let data = front.folder().join("data");
    std::fs::write(
        &socket_only,
        format!("data_dir = {:?}\n", data.display().to_string()),
    )?;
    for config in [front.config(), socket_only] {
        let config = config.display().to_string();
        let (code, _, error) = cluster.binary.output(&["reload", "--config", &config])?;
        ensure!(code == Some(64) && error.contains(&place), "{code:?} {error}");
        ensure!(error.contains("levle"), "{error}");
    }
    front.child().context("it runs")?.hang_up();
    eventually("the log names the line", || {
        let log = std::fs::read_to_string(front.log())?;
        let told = log.lines().filter(|line| line.contains("nothing has changed"));
        Ok(told.filter(|line| line.contains(&place)).count() == 2)
    })?;
    held.ok("NOOP")?;
    expect(ports, &first.mail, &first.password, Answer::Accepted)?;

    // An address that is taken is found out before anything is replaced.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    std::fs::write(
        front.config(),
        format!("{good}[[imap_proxy.listener]]\naddress = \"{address}\"\n[log]\nlevel = \"debug\"\n"),
    )?;
    let config = front.config().display().to_string();
    let (code, _, error) = cluster.binary.output(&["reload", "--config", &config])?;
    ensure!(
        code == Some(64) && error.contains(&address.to_string()),
        "{code:?} {error}"
    );
    drop(taken);

    // What only a start reads is named, each time, and the rest holds.
    let renamed = good.replacen("server_name = \"front.", "server_name = \"other.", 1);
    std::fs::write(front.config(), format!("{renamed}[log]\nlevel = \"debug\"\n"))?;
    let answer = reload(front)?;
    ensure!(keys(&answer, "changed") == ["log.level"], "{answer}");
    for _ in 0..2 {
        let answer = reload(front)?;
        ensure!(keys(&answer, "needs_restart") == ["server_name"], "{answer}");
    }
    let status = front.command(&["service", "status"])?;
    ensure!(status.starts_with(system_tests::FRONT), "{status}");

    std::fs::write(front.config(), &good)?;
    front.child().context("it runs")?.hang_up();
    eventually("SIGHUP takes the right file", || {
        Ok(keys(&reload(front)?, "needs_restart").is_empty())
    })?;
    held.ok("NOOP")?;
    expect(ports, &first.mail, &first.password, Answer::Accepted)
}

#[test]
fn a_home_keeps_its_accounts_and_its_synchronisation() -> Result<()> {
    let (cluster, first, _) = start()?;
    home(&cluster, &first).with_context(|| cluster.log_tails())
}

fn home(cluster: &Cluster, first: &Person) -> Result<()> {
    let index = usize::from(first.host != system_tests::HOMES[0]);
    let (server, port) = (&cluster.homes[index], cluster.home_ports[index].imap);
    let mut held = ImapClient::connect(port)?;
    ensure!(held.login(&first.mail, &first.password)?.starts_with("OK"));
    held.ok("SELECT INBOX")?;
    edit(server, |text| {
        text.replacen("auth = [\"ldap-password\", \"local\"]", "auth = [\"local\"]", 1)
            .replacen("polling_interval = 1\n", "polling_interval = 2\n", 1)
    })?;
    let answer = reload(server)?;
    let connector = "connector.corp.polling_interval";
    let domain = format!("domain.{}.auth", system_tests::DOMAIN);
    ensure!(keys(&answer, "changed") == [connector, &domain], "{answer}");
    ensure!(keys(&answer, "needs_restart") == [connector], "{answer}");
    held.ok("NOOP")?;
    let mut new = ImapClient::connect(port)?;
    let reply = new.login(&first.mail, &first.password)?;
    ensure!(
        reply.starts_with("NO [AUTHENTICATIONFAILED]"),
        "local passwords only: {reply}"
    );
    edit(server, |text| {
        text.replacen("auth = [\"local\"]", "auth = [\"ldap-password\", \"local\"]", 1)
    })?;
    reload(server)?;
    ensure!(
        new.login(&first.mail, &first.password)?.starts_with("NO"),
        "this session began before"
    );
    let mut newer = ImapClient::connect(port)?;
    ensure!(newer.login(&first.mail, &first.password)?.starts_with("OK"));
    held.ok("NOOP")?;
    ensure!(server.command(&["sync", "status"])?.contains("corp"));
    Ok(())
}

#[test]
fn a_live_map_keeps_its_replica_unless_it_is_another() -> Result<()> {
    let (cluster, first, _) = start()?;
    live(&cluster, &first).with_context(|| cluster.log_tails())
}

fn live(cluster: &Cluster, first: &Person) -> Result<()> {
    let front = &cluster.front;
    let filled = |count: usize| {
        eventually(&format!("the live map is filled, {count} times in all"), || {
            let log = std::fs::read_to_string(front.log())?;
            Ok(log.matches("the live map is filled").count() == count)
        })
    };
    let mut held = ImapClient::connect(cluster.front_ports.imap)?;
    ensure!(held.login(&first.mail, &first.password)?.starts_with("OK"));
    edit(front, |text| {
        text.replacen(
            "kind = \"ldap-password\"\n",
            "kind = \"ldap-password\"\nlive = true\n",
            1,
        )
    })?;
    ensure!(keys(&reload(front)?, "changed") == ["user_map.people.live"]);
    filled(1)?;
    let explain = || front.command(&["route", "explain", &first.mail]);
    ensure!(explain()?.contains("live replica"), "{}", explain()?);
    // Something else changes: the replica stays, so that nothing is read again.
    edit(front, |text| format!("{text}[log]\nlevel = \"info,ldap=info\"\n"))?;
    ensure!(keys(&reload(front)?, "changed") == ["log.level"]);
    ensure!(explain()?.contains("live replica"), "{}", explain()?);
    // Its connector changes: another map takes its place, from what the first one knew.
    edit(front, |text| text.replacen("timeout = 2\n", "timeout = 3\n", 1))?;
    ensure!(keys(&reload(front)?, "changed") == ["connector.corp.timeout"]);
    filled(2)?;
    ensure!(explain()?.contains("live replica"), "{}", explain()?);
    held.ok("NOOP")?;
    expect(
        read_ports(cluster),
        &first.mail,
        &first.password,
        Answer::Accepted,
    )
}

/// A server that holds accounts gets its proxies while it runs: its own accounts are at home there at once.
#[test]
fn proxies_that_a_reload_brings_reach_the_accounts_of_this_server() -> Result<()> {
    let scratch = Scratch::new()?;
    let ports = Ports::free()?;
    let own = free_port()?;
    let map = scratch.write("map", &format!("{} one.example.test\n", ALICE.mail))?;
    let before = format!(
        "server_name = \"one.example.test\"\nholds_accounts = true\n[[imap.listener]]\naddress = \"127.0.0.1:{own}\"\n\
         [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = \"{}\"\n",
        map.display(),
    );
    let proxies = |smtp: &str| {
        format!(
            "[imap_proxy]\nuser_maps = [\"file\"]\nauth = [\"local\"]\n\
             [pop3_proxy]\nuser_maps = [\"file\"]\nauth = [\"local\"]\n\
             [smtp_proxy]\nuser_maps = [\"file\"]\n{smtp}\n{}",
            listeners("_proxy", ports, ""),
        )
    };
    let server = Homing::start(&HomingBinary::find()?, &before)?;
    server.command(&["domain", "create", "example.test"])?;
    let password = ALICE.password.as_bytes();
    server.command_with_input(&["account", "create", ALICE.mail, "--password-stdin"], password)?;
    let start = std::fs::read_to_string(server.config())?;
    let good = "domains = [\"example.test\"]";
    let lmtp = format!("{good}\nhome_protocol = \"lmtp\"");
    for (arrived, smtp) in [(1, good), (2, &lmtp)] {
        edit(&server, |_| format!("{start}{}", proxies(smtp)))?;
        ensure!(keys(&reload(&server)?, "needs_restart").is_empty());
        ensure!(deliver(ports.smtp)?.code == 250);
        let mut imap = ImapClient::connect(ports.imap)?;
        ensure!(imap.login(ALICE.mail, ALICE.password)?.starts_with("OK"));
        let exists = format!("* {arrived} EXISTS");
        ensure!(imap.ok("SELECT INBOX")?.contains(&exists), "{arrived}");
        let reply = Pop3Client::connect(ports.pop3)?.login(ALICE.mail, ALICE.password)?;
        ensure!(reply.starts_with("+OK"), "{reply}");
    }
    // What changes while a service is away holds when it is back.
    let other = "domains = [\"other.test\"]";
    edit(&server, |_| {
        format!("{start}[smtp_proxy]\nuser_maps = [\"file\"]\n{other}\n")
    })?;
    reload(&server)?;
    edit(&server, |_| format!("{start}{}", proxies(other)))?;
    reload(&server)?;
    ensure!(deliver(ports.smtp)?.code == 550);
    Ok(())
}

/// Without its own listeners a server would take itself for a front end, and deny the accounts that it has.
#[test]
fn a_server_with_accounts_does_not_forget_them_for_its_listeners() -> Result<()> {
    let scratch = Scratch::new()?;
    let (ports, own) = (Ports::free()?, free_port()?);
    let map = scratch.write("map", &format!("{} one.example.test\n", ALICE.mail))?;
    let begin = "server_name = \"one.example.test\"\n";
    let proxies = format!(
        "[[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = \"{}\"\n\
         [imap_proxy]\nuser_maps = [\"file\"]\nauth = [\"local\"]\n\
         [[imap_proxy.listener]]\naddress = \"127.0.0.1:{}\"\n",
        map.display(),
        ports.imap,
    );
    let listener = format!("[[imap.listener]]\naddress = \"127.0.0.1:{own}\"\n");
    let server = Homing::start(&HomingBinary::find()?, &format!("{begin}{listener}"))?;
    server.command(&["domain", "create", "example.test"])?;
    let password = ALICE.password.as_bytes();
    server.command_with_input(&["account", "create", ALICE.mail, "--password-stdin"], password)?;
    let start = std::fs::read_to_string(server.config())?;
    let without = start.replace(&listener, "");
    edit(&server, |_| format!("{without}{proxies}"))?;
    let refused = reload(&server)
        .expect_err("it would deny its accounts")
        .to_string();
    ensure!(refused.contains("holds_accounts"), "{refused}");
    ensure!(
        ImapClient::connect(own)?
            .login(ALICE.mail, ALICE.password)?
            .starts_with("OK"),
        "nothing has changed"
    );
    edit(&server, |_| format!("holds_accounts = true\n{without}{proxies}"))?;
    reload(&server)?;
    let reply = ImapClient::connect(ports.imap)?.login(ALICE.mail, ALICE.password)?;
    ensure!(reply.starts_with("OK"), "{reply}");
    Ok(())
}

/// One message to Alice; the first reply that is not a yes, or the last.
fn deliver(port: u16) -> Result<SmtpReply> {
    let mut smtp = SmtpClient::connect(port)?;
    smtp.command("EHLO client.test")?;
    let message = b"Subject: after a reload\r\n\r\nhere\r\n";
    let (recipients, last) = smtp.deliver("sender@elsewhere.test", &[ALICE.mail], message)?;
    Ok(recipients
        .into_iter()
        .find(|reply| reply.code >= 400)
        .unwrap_or(last))
}
