//! Who is let in, and which certificate he is shown: by the rules and the names of the configuration.

use crate::local::{ALICE, FrontParts, LocalFront, home_entry, listeners, start_home};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use system_tests::Ports;
use testkit::{Scratch, self_signed, self_signed_for};

/// Nobody has this address but one.
const DENIED: &str = "127.0.7.9";
const ALLOWED: &str = "127.0.7.1";
const OTHER: &str = "mail.other.test";

/// What the client in Python hears.
fn reply(ports: Ports, source: &str, name: &str, ca: &Path) -> Result<String> {
    let way = json!([{
        "protocol": "imap", "tls": "implicit", "port": ports.imap, "source": source, "name": name, "ca": ca,
        "login": ALICE.mail, "password": ALICE.password,
    }]);
    let output = Command::new("python3")
        .arg("-c")
        .arg(include_str!("matrix/client.py"))
        .arg(way.to_string())
        .stdin(Stdio::null())
        .output()
        .context("python3 is needed")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Value = serde_json::from_str(&printed)
        .with_context(|| format!("{printed}{}", String::from_utf8_lossy(&output.stderr)))?;
    Ok(said["reply"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn rules_and_names_decide_and_a_reload_changes_them() -> Result<()> {
    let scratch = Scratch::new()?;
    let (main, other) = (scratch.folder("main")?, scratch.folder("other")?);
    let (main, more) = (self_signed(&main)?, self_signed_for(&other, &[OTHER])?);
    let (home_ports, ports) = (Ports::free()?, Ports::free()?);
    let home = start_home(&listeners("", home_ports, ""), &[ALICE])?;
    let own = format!("tls = \"implicit\"\naccess = [{{ action = \"allow\", networks = [\"{ALLOWED}\"] }}]");
    let sections = format!(
        "[[access]]\naction = \"deny\"\nnetworks = [\"127.0.7.0/24\"]\n\
         [tls]\ncertificate = {:?}\nkey = {:?}\n[[tls.more]]\ncertificate = {:?}\nkey = {:?}\n{}{}",
        main.certificate.display().to_string(),
        main.key.display().to_string(),
        more.certificate.display().to_string(),
        more.key.display().to_string(),
        listeners("_proxy", ports, &own),
        home_entry("home", home_ports, "", "")
    );
    let parts = FrontParts {
        sections: &sections,
        ..FrontParts::default()
    };
    let front = LocalFront::start(&[(ALICE, "home")], parts)?;
    let logs = || format!("{}\n{}", front.server.log_tail(), home.log_tail());
    let check = |rows: &[(&str, &str, &Path, &str)]| -> Result<()> {
        for (source, name, ca, expected) in rows {
            let heard = reply(ports, source, name, ca)?;
            ensure!(
                heard.starts_with(expected),
                "{source} {name}: {heard}, not {expected}\n{}",
                logs()
            );
        }
        Ok(())
    };
    let (first, second) = (main.certificate.as_path(), more.certificate.as_path());
    check(&[
        ("127.0.0.1", "localhost", first, "OK"),
        (ALLOWED, "localhost", first, "OK"),
        (DENIED, "localhost", first, "closed"),
        ("127.0.0.1", OTHER, second, "OK"),
        ("127.0.0.1", OTHER, first, "closed"),
        ("127.0.0.1", "localhost", second, "closed"),
    ])?;

    let text = std::fs::read_to_string(front.server.config())?;
    let text = text.replace("action = \"deny\"", "action = \"allow\"");
    // The other name has a new certificate, in the same files.
    let renewed = self_signed_for(&scratch.folder("other")?, &[OTHER])?;
    std::fs::write(front.server.config(), text)?;
    front.server.command(&["reload"])?;
    check(&[
        (DENIED, "localhost", first, "OK"),
        ("127.0.0.1", OTHER, &renewed.certificate, "OK"),
    ])
}
