//! Configuration that is wrong: said with file, line, key and what would be right, before anything binds.

use anyhow::{Result, ensure};
use std::net::TcpListener;
use testkit::{HomingBinary, Scratch};

/// One mistake: the file, the line it is on, the key, and words of what would be right.
struct Mistake {
    text: &'static str,
    line: usize,
    key: &'static str,
    words: &'static str,
}

/// The directory's parts of a configuration, without a mistake.
const CONNECTOR: &str = "[[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\n\
                         uris = [\"ldap://127.0.0.1:389\"]\naccounts.base_dn = [\"dc=example\"]\n";

const MISTAKES: [Mistake; 18] = [
    Mistake {
        text: "no_such_key = 1\n",
        line: 2,
        key: "no_such_key",
        words: "expected one of",
    },
    Mistake {
        text: "[imap]\nmax_errors = 20\nmax_erors = 20\n",
        line: 4,
        key: "max_erors",
        words: "max_errors",
    },
    Mistake {
        text: "[[imap.listener]]\naddress = \"127.0.0.1:99999\"\n",
        line: 3,
        key: "address",
        words: "is not an IP address and a port",
    },
    Mistake {
        text: "[[imap.listener]]\ntls = \"none\"\n",
        line: 2,
        key: "address",
        words: "missing field",
    },
    Mistake {
        text: "[[imap.listener]]\naddress = \"127.0.0.1:0\"\ntls = \"maybe\"\n",
        line: 4,
        key: "tls",
        words: "`starttls`",
    },
    Mistake {
        text: "[[imap.listener]]\naddress = \"127.0.0.1:0\"\nidle_timeout = 1\n",
        line: 4,
        key: "imap.listener.0.idle_timeout",
        words: "10",
    },
    Mistake {
        text: "[pop3]\nmax_login_failures = 0\n",
        line: 3,
        key: "pop3.max_login_failures",
        words: "between 1 and 100",
    },
    Mistake {
        text: "[smtp]\nmax_recipients = 100000\n",
        line: 3,
        key: "smtp.max_recipients",
        words: "between 1 and 1000",
    },
    Mistake {
        text: "drain_timeout = -1\n",
        line: 2,
        key: "drain_timeout",
        words: "u64",
    },
    Mistake {
        text: "server_name = \"two words\"\n",
        line: 2,
        key: "server_name",
        words: "mail.example.org",
    },
    Mistake {
        text: "[tls]\ncertificate = \"/nonexistent/tls.crt\"\nkey = \"/nonexistent/tls.key\"\n",
        line: 2,
        key: "tls",
        words: "/nonexistent/tls.crt",
    },
    Mistake {
        text: "[[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = \"/nonexistent/map\"\n",
        line: 5,
        key: "user_map.0.path",
        words: "/nonexistent/map",
    },
    Mistake {
        text: "accounts.filter = \"(mail=x\"\n",
        line: 7,
        key: "connector.0.accounts.filter",
        words: "')' must stand here",
    },
    Mistake {
        text: "address_pattern = \"(mail=%z)\"\n",
        line: 7,
        key: "connector.0.address_pattern",
        words: "%z",
    },
    Mistake {
        text: "[[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"ldap://127.0.0.1\"]\naccounts.base_dn = [\"dc=example\"]\n",
        line: 8,
        key: "connector.1.name",
        words: "unique",
    },
    Mistake {
        text: "[[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"nowhere\"\n",
        line: 10,
        key: "user_map.0.connector",
        words: "nowhere",
    },
    Mistake {
        text: "[[smtp_proxy.listener]]\naddress = \"127.0.0.1:0\"\n",
        line: 2,
        key: "smtp_proxy.domains",
        words: "open relay",
    },
    Mistake {
        text: "[[imap.listener]]\naddress = \"127.0.0.1:10143\"\n[[pop3.listener]]\naddress = \"127.0.0.1:10143\"\n",
        line: 5,
        key: "pop3.listener.0.address",
        words: "already used by [[imap.listener]]",
    },
];

#[test]
fn every_mistake_is_told_with_its_place() -> Result<()> {
    let binary = HomingBinary::find()?;
    let scratch = Scratch::new()?;
    let mut failures = Vec::new();
    for (index, mistake) in MISTAKES.iter().enumerate() {
        // Those about the directory need a connector before them.
        let directory = [
            "accounts.",
            "address_pattern",
            "[[connector]]",
            "[[user_map]]\nname = \"people\"",
        ]
        .iter()
        .any(|start| mistake.text.starts_with(start));
        let before = if directory { CONNECTOR } else { "" };
        let data = scratch.join(&format!("data{index}"));
        let text = format!(
            "data_dir = {:?}\n{before}{}",
            data.display().to_string(),
            mistake.text
        );
        let file = scratch.write("homing.toml", &text)?.display().to_string();
        for command in ["check-config", "serve"] {
            let (code, stdout, stderr) = binary.output(&[command, "--config", &file])?;
            let place = format!("{file}:{}", mistake.line);
            let told =
                stderr.contains(&place) && stderr.contains(mistake.key) && stderr.contains(mistake.words);
            if code != Some(64) || !told || !stdout.is_empty() || data.exists() {
                failures.push(format!(
                    "{command}: exit {code:?} (64), {place}, {}, {}; data folder made: {}\n{text}\n{stdout}{stderr}",
                    mistake.key,
                    mistake.words,
                    data.exists()
                ));
            }
        }
    }
    ensure!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

#[test]
fn several_mistakes_are_told_at_once() -> Result<()> {
    let scratch = Scratch::new()?;
    let text = "server_name = \"two words\"\n[pop3]\nmax_errors = 0\n[smtp]\nmax_received = 0\n";
    let file = scratch.write("homing.toml", text)?.display().to_string();
    let binary = HomingBinary::find()?;
    let (code, _, stderr) = binary.output(&["check-config", "--config", &file])?;
    ensure!(code == Some(64), "{code:?}");
    for place in [1, 3, 5] {
        ensure!(
            stderr.contains(&format!("{file}:{place}:")),
            "line {place}:\n{stderr}"
        );
    }
    let (code, stdout, stderr) = binary.output(&["check-config", "--config", &file, "--json"])?;
    ensure!(code == Some(64), "{code:?}");
    ensure!(
        format!("{stdout}{stderr}").contains("\"pop3.max_errors\""),
        "{stdout}{stderr}"
    );
    Ok(())
}

#[test]
fn a_file_that_is_not_there() -> Result<()> {
    let (code, _, stderr) =
        HomingBinary::find()?.output(&["serve", "--config", "/nonexistent/homing.toml"])?;
    ensure!(code == Some(64), "{code:?}");
    ensure!(stderr.contains("/nonexistent/homing.toml"), "{stderr}");
    Ok(())
}

#[test]
fn a_port_in_use_ends_the_start() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let scratch = Scratch::new()?;
    let data = scratch.join("data");
    let text = format!(
        "data_dir = {:?}\n[[imap.listener]]\naddress = \"127.0.0.1:0\"\n[[pop3.listener]]\naddress = \"{address}\"\n",
        data.display().to_string()
    );
    let file = scratch.write("homing.toml", &text)?.display().to_string();
    let (code, _, stderr) = HomingBinary::find()?.output(&["serve", "--config", &file])?;
    ensure!(code == Some(64), "{code:?}: {stderr}");
    for word in [
        format!("{file}:5"),
        "pop3.listener.0.address".to_owned(),
        address.to_string(),
    ] {
        ensure!(stderr.contains(&word), "{word} is not in:\n{stderr}");
    }
    Ok(())
}

#[test]
fn a_second_server_on_one_data_folder() -> Result<()> {
    let first = testkit::Homing::start(
        &HomingBinary::find()?,
        "[[imap.listener]]\naddress = \"127.0.0.1:0\"\n",
    )?;
    let file = first.config().display().to_string();
    let (code, _, stderr) = HomingBinary::find()?.output(&["serve", "--config", &file])?;
    ensure!(code.is_some_and(|code| code != 0), "{code:?}: {stderr}");
    // The first one is unharmed.
    first.command(&["domain", "list"])?;
    Ok(())
}
