//! New passwords: here and in the directory, by their owner and by an administrator; sessions end with the old one.

use super::{Doors, Options, Site, expect, python};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, ImapClient, run_with_input};

const LOCAL: &str = "[[domain]]\nname = \"local.test\"\nauth = [\"local\"]";

/// The admin API itself: the status and the answer.
fn api(server: &Homing, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
    let socket = server.folder().join("data/admin.sock").display().to_string();
    let url = format!("http://homing/v1/accounts/{path}");
    let args = [
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "--unix-socket",
        &socket,
        "--request",
        method,
        "--header",
        "Content-Type: application/json",
        "--data-binary",
        "@-",
        "--write-out",
        "\n%{http_code}",
        &url,
    ];
    let told = run_with_input("curl", &args, body.to_string().as_bytes())?;
    let (answer, status) = told.rsplit_once('\n').context("no status")?;
    Ok((status.parse()?, serde_json::from_str(answer)?))
}

/// Changes it as its owner; the status and what is said.
fn change(server: &Homing, address: &str, old: &str, new: &str) -> Result<(u16, Value)> {
    let path = format!("{address}/password-change");
    api(server, "POST", &path, &json!({ "old": old, "new": new }))
}

fn must(told: (u16, Value), status: u16) -> Result<Value> {
    ensure!(told.0 == status, "{} instead of {status}: {}", told.0, told.1);
    Ok(told.1)
}

/// An open session, which hears when the password changes.
struct Open(ImapClient);

impl Open {
    fn log_in(port: u16, address: &str, password: &str) -> Result<Self> {
        let mut client = ImapClient::connect(port)?;
        let reply = client.login(address, password)?;
        ensure!(reply.starts_with("OK"), "{address}: {reply}");
        client.ok("SELECT INBOX")?;
        Ok(Self(client))
    }

    /// Waits for the farewell, without a word to the server.
    fn ends(mut self) -> Result<()> {
        let line = self.0.dialogue.line().context("the session goes on")?;
        ensure!(line.starts_with("* BYE"), "{line}");
        self.closes()
    }

    /// The same through a front end, which writes nothing into a session and may close it by itself.
    fn closes(mut self) -> Result<()> {
        loop {
            match self.0.dialogue.line() {
                Ok(line) => ensure!(line.starts_with("* BYE"), "{line}"),
                Err(error) => {
                    let why = format!("{error:#}");
                    ensure!(
                        why.contains("the server closed the connection"),
                        "the session goes on: {why}"
                    );
                    return Ok(());
                }
            }
        }
    }

    fn goes_on(&mut self) -> Result<()> {
        self.0.ok("NOOP").map(drop)
    }
}

fn login(site: &Site, doors: Doors, address: &str, password: &str) -> Value {
    let how = json!({ "mechanism": "PLAIN", "login": address, "password": password });
    site.attempt(doors, "imap", "implicit", how)
}

#[test]
fn a_password_of_this_server_is_changed_here() -> Result<()> {
    let site = Site::start(Options {
        sections: LOCAL,
        ..Options::default()
    })?;
    local(&site).with_context(|| site.home.log_tail())
}

fn local(site: &Site) -> Result<()> {
    let (home, doors) = (&site.home, site.home_doors);
    let lena = "lena@local.test";
    for address in [lena, "otto@local.test"] {
        let create = ["account", "create", address, "--password-stdin"];
        home.command_with_input(&create, b"first password")?;
    }
    let session = Open::log_in(doors.plain.imap, lena, "first password")?;
    let mut other = Open::log_in(doors.plain.imap, "otto@local.test", "first password")?;
    // What is refused changes nothing.
    for (old, new, status) in [
        ("wrong password", "second password", 403),
        ("", "second password", 403),
        ("first password", "", 400),
        ("first password", "first password", 400),
    ] {
        must(change(home, lena, old, new)?, status).with_context(|| format!("{old:?} to {new:?}"))?;
    }
    must(change(home, "nobody@local.test", "x", "second password")?, 404)?;
    expect(&[(login(site, doors, lena, "first password"), "in")])?;
    let said = must(change(home, lena, "first password", "second password")?, 200)?;
    ensure!(said["changed_in"] == "local", "{said}");
    session.ends()?;
    other.goes_on()?;
    expect(&[
        (login(site, doors, lena, "first password"), "refused"),
        (login(site, doors, lena, "second password"), "in"),
    ])?;
    // The administrator's word, and the owner's at a terminal and from a script.
    let session = Open::log_in(doors.plain.imap, lena, "second password")?;
    let set = ["account", "password", lena, "--password-stdin"];
    home.command_with_input(&set, b"third password")?;
    session.ends()?;
    let session = Open::log_in(doors.plain.imap, lena, "third password")?;
    let by_script = ["account", "change-password", lena, "--password-stdin"];
    home.command_with_input(&by_script, b"third password\nfourth password\n")?;
    session.ends()?;
    at_a_terminal(home, lena, "fourth password\nfifth password\nfifth password\n")?;
    expect(&[(login(site, doors, lena, "fifth password"), "in")])?;
    for (answers, why) in [
        ("fifth password\nsixth password\nsixth passwort\n", "differ"),
        (
            "wrong password\nsixth password\nsixth password\n",
            "the old password is wrong",
        ),
    ] {
        let Err(error) = at_a_terminal(home, lena, answers) else {
            bail!("{answers:?} has been taken");
        };
        let said = format!("{error:#}");
        ensure!(said.contains(why), "{said}");
        ensure!(!said.contains("sixth"), "a password is shown: {said}");
    }
    expect(&[(login(site, doors, lena, "fifth password"), "in")])?;
    // Who is disabled is out at once.
    let session = Open::log_in(doors.plain.imap, lena, "fifth password")?;
    home.command(&["account", "disable", lena])?;
    session.ends()?;
    other.goes_on()
}

/// The same command in front of a terminal; what it showed.
fn at_a_terminal(server: &Homing, address: &str, answers: &str) -> Result<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/data/logins/prompts.py");
    let (binary, config) = (HomingBinary::find()?, server.config().display().to_string());
    let binary = binary.path().display().to_string();
    let args = [
        "-B",
        script,
        &binary,
        "account",
        "change-password",
        address,
        "--config",
        &config,
    ];
    run_with_input("python3", &args, answers.as_bytes())
}

#[test]
fn nobody_gets_a_password_that_nobody_would_read() -> Result<()> {
    let site = Site::start(Options {
        sections: LOCAL,
        ..Options::default()
    })?;
    let args = ["account", "create", "lena@localdomain.test", "--password-stdin"];
    let Err(error) = site.home.command_with_input(&args, b"first password") else {
        bail!("a password that no login reads is taken");
    };
    let said = format!("{error:#}");
    ensure!(
        said.contains("localdomain.test") && said.contains("auth"),
        "{said}"
    );
    ensure!(
        !site.home.command(&["account", "list"])?.contains("lena"),
        "it is there all the same"
    );
    Ok(())
}

#[test]
fn a_password_of_the_directory_is_changed_there() -> Result<()> {
    for mode in ["as-user", "write-identity"] {
        for auth in ["ldap-password", "ldap-bind"] {
            let (auth_list, connector) = (format!("[\"{auth}\"]"), format!("password_change = \"{mode}\""));
            let options = Options {
                auth: &auth_list,
                connector: &connector,
                lockout: Some(50),
                ..Options::default()
            };
            let mut site = Site::start(options)?;
            let (front, doors) = site.front(options, &format!("kind = \"{auth}\"\nlive = true"))?;
            in_directory(&mut site, doors, mode)
                .with_context(|| format!("{mode} {auth}\n{}\n{}", site.home.log_tail(), front.log_tail()))?;
        }
    }
    Ok(())
}

fn in_directory(site: &mut Site, front: Doors, mode: &str) -> Result<()> {
    let (alice, carol, home_doors) = (site.mail("alice"), site.mail("carol"), site.home_doors);
    let sessions = [front, home_doors].map(|doors| Open::log_in(doors.plain.imap, &alice, "alice-secret"));
    let mut other = Open::log_in(front.plain.imap, &carol, "correct horse")?;
    for (old, new, status) in [
        ("wrong", "a new password", 403),
        // The directory's policy has the last word: eight characters.
        ("alice-secret", "short", 400),
    ] {
        must(change(&site.home, &alice, old, new)?, status).with_context(|| format!("{old:?} to {new:?}"))?;
    }
    let said = must(change(&site.home, &alice, "alice-secret", "a new password")?, 200)?;
    ensure!(
        said["changed_in"] == "directory" && said["connector"] == "corp",
        "{said}"
    );
    let [at_front, at_home] = sessions;
    at_front?.closes()?;
    at_home?.ends()?;
    other.goes_on()?;
    for doors in [home_doors, front] {
        expect(&[(login(site, doors, &alice, "a new password"), "in")])?;
        eventually("the old password is refused", || {
            let told = python(&[login(site, doors, &alice, "alice-secret")])?;
            ensure!(told[0]["outcome"] != "later", "{told:?}");
            Ok(told[0]["outcome"] == "refused")
        })?;
    }
    let set = json!({ "password": "set by somebody else" });
    let told = api(&site.home, "PUT", &format!("{alice}/password"), &set)?;
    if mode == "as-user" {
        must(told, 409)?;
    } else {
        must(told, 200)?;
        expect(&[(login(site, home_doors, &alice, "set by somebody else"), "in")])?;
    }
    // Changed by other tools: the live map tells, and the sessions of the front end end.
    let session = Open::log_in(front.plain.imap, &carol, "correct horse")?;
    site.slapd.modify(&format!(
        "dn: {}\nchangetype: modify\nreplace: userPassword\nuserPassword: battery staple\n",
        site.people.dn("carol")
    ))?;
    session.closes()?;
    expect(&[(login(site, front, &carol, "battery staple"), "in")])?;
    eventually("the old password is refused", || {
        let told = python(&[login(site, front, &carol, "correct horse")])?;
        Ok(told[0]["outcome"] == "refused")
    })?;
    // Away is "try later", and nothing has changed.
    site.slapd.stop()?;
    must(
        change(&site.home, &carol, "battery staple", "another password")?,
        503,
    )?;
    site.slapd.restart()?;
    eventually("the directory is back", || {
        let told = python(&[login(site, home_doors, &carol, "battery staple")])?;
        Ok(told[0]["outcome"] == "in")
    })
}

#[test]
fn a_directory_that_is_only_read_keeps_its_passwords() -> Result<()> {
    let site = Site::start(Options::default())?;
    let alice = site.mail("alice");
    for told in [
        change(&site.home, &alice, "alice-secret", "a new password")?,
        api(
            &site.home,
            "PUT",
            &format!("{alice}/password"),
            &json!({ "password": "x y z" }),
        )?,
    ] {
        let said = must(told, 409)?;
        ensure!(said.to_string().contains("password_change"), "no remedy: {said}");
    }
    // A wrong old password is said first: whoever does not know it learns nothing else.
    must(change(&site.home, &alice, "wrong", "a new password")?, 403)?;
    expect(&[(login(&site, site.home_doors, &alice, "alice-secret"), "in")])?;
    Ok(())
}

// An account had a password here before its entry came. Once the directory has a new one, the former must never let
// anybody in again, whatever becomes of the link.
#[test]
fn a_former_password_here_goes_with_the_directorys() -> Result<()> {
    let site = Site::start(Options {
        auth: "[\"local\", \"ldap-password\"]",
        connector: "password_change = \"write-identity\"",
        ..Options::default()
    })?;
    former(&site).with_context(|| site.home.log_tail())
}

fn former(site: &Site) -> Result<()> {
    let (home, doors, lena) = (&site.home, site.home_doors, site.mail("lena"));
    let create = ["account", "create", &lena, "--password-stdin"];
    home.command_with_input(&create, b"first password")?;
    expect(&[(login(site, doors, &lena, "first password"), "in")])?;
    let (dn, of_directory) = (site.people.dn("lena"), "of the directory");
    site.slapd.add(&format!(
        "dn: {dn}\nobjectClass: inetOrgPerson\nuid: lena\ncn: lena\nsn: lena\nmail: {lena}\nuserPassword: {of_directory}\n"
    ))?;
    eventually("the two are linked", || {
        Ok(home.command(&["account", "show", &lena])?.contains("corp"))
    })?;
    expect(&[
        (login(site, doors, &lena, "first password"), "refused"),
        (login(site, doors, &lena, of_directory), "in"),
    ])?;
    // By an administrator, and then by the owner.
    let set = json!({ "password": "second password" });
    let said = must(api(home, "PUT", &format!("{lena}/password"), &set)?, 200)?;
    ensure!(said["changed_in"] == "directory", "{said}");
    must(change(home, &lena, "second password", "third password")?, 200)?;
    expect(&[(login(site, doors, &lena, "third password"), "in")])?;
    // The entry goes, and the account becomes this server's own.
    site.slapd.delete(&dn)?;
    eventually("it is deleted here", || {
        Ok(home
            .command(&["account", "list", "--state", "deleted"])?
            .contains(&lena))
    })?;
    let deleted = home.command(&["account", "list", "--state", "deleted"])?;
    let line = deleted.lines().find(|line| line.contains(&lena));
    let number = line
        .and_then(|line| line.split_whitespace().next())
        .context("its number")?;
    home.command(&["account", "undelete", number])?;
    home.command(&["sync", "release", &lena])?;
    expect(&[
        (login(site, doors, &lena, "first password"), "refused"),
        (login(site, doors, &lena, "second password"), "refused"),
        (login(site, doors, &lena, "third password"), "in"),
    ])?;
    Ok(())
}
