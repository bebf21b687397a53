//! Servers without a directory: homes with accounts of their own, and a front end that routes by a file.

use anyhow::Result;
use std::fmt::Write;
use system_tests::Ports;
use testkit::{Homing, HomingBinary, Pop3Client, Scratch};

/// Somebody with an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Someone {
    /// The address, which is the login too.
    pub(crate) mail: &'static str,
    pub(crate) password: &'static str,
}

pub(crate) const ALICE: Someone = Someone {
    mail: "alice@example.test",
    password: "alice-secret",
};
pub(crate) const BOB: Someone = Someone {
    mail: "bob@example.test",
    password: "bob-secret",
};
pub(crate) const CAROL: Someone = Someone {
    mail: "carol@example.test",
    password: "carol-secret",
};

/// A listener for each service: `kind` is empty for a home and `_proxy` for a front end, `keys` stand in each.
pub(crate) fn listeners(kind: &str, ports: Ports, keys: &str) -> String {
    let mut config = String::new();
    for (service, port) in [("imap", ports.imap), ("pop3", ports.pop3), ("smtp", ports.smtp)] {
        let _ = write!(
            config,
            "[[{service}{kind}.listener]]\naddress = \"127.0.0.1:{port}\"\n{keys}\n"
        );
    }
    config
}

/// A `[[home]]` on 127.0.0.1; `keys` are its own, `each` those of every protocol.
pub(crate) fn home_entry(name: &str, ports: Ports, keys: &str, each: &str) -> String {
    let mut config =
        format!("[[home]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nconnect_timeout = 5\n{keys}\n");
    for (service, port) in [("imap", ports.imap), ("pop3", ports.pop3), ("smtp", ports.smtp)] {
        let _ = write!(config, "[home.{service}]\nport = {port}\n{each}\n");
    }
    config
}

/// Starts a home that serves `example.test` and has these accounts.
pub(crate) fn start_home(config: &str, people: &[Someone]) -> Result<Homing> {
    let config = format!("server_name = \"home.example.test\"\n{config}");
    let home = Homing::start(&HomingBinary::find()?, &config)?;
    home.command(&["domain", "create", "example.test"])?;
    for someone in people {
        let args = ["account", "create", someone.mail, "--password-stdin"];
        home.command_with_input(&args, someone.password.as_bytes())?;
    }
    Ok(home)
}

/// A front end that leaves passwords to the homes.
#[derive(Debug)]
pub(crate) struct LocalFront {
    pub(crate) server: Homing,
    _map: Scratch,
}

/// What a front end is to be, as parts of its configuration.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrontParts<'a> {
    /// Listeners, homes and everything else that stands in sections of its own.
    pub(crate) sections: &'a str,
    /// Further keys of `[imap_proxy]` and `[pop3_proxy]`.
    pub(crate) reading: &'a str,
    /// Further keys of `[smtp_proxy]`.
    pub(crate) receiving: &'a str,
}

impl LocalFront {
    /// Starts one; `rules` are addresses and the homes they live on.
    pub(crate) fn start(rules: &[(Someone, &str)], parts: FrontParts<'_>) -> Result<Self> {
        let map = Scratch::new()?;
        let lines: String = rules
            .iter()
            .map(|(someone, home)| format!("{} {home}\n", someone.mail))
            .collect();
        let path = map.write("map", &lines)?;
        let config = format!(
            "server_name = \"front.example.test\"\ndefault_domain = \"example.test\"\n\
             [imap_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n{reading}\n\
             [pop3_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n{reading}\n\
             [smtp_proxy]\nuser_maps = [\"file\"]\ndomains = [\"example.test\"]\n{receiving}\n\
             [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = \"{path}\"\n{sections}",
            reading = parts.reading,
            receiving = parts.receiving,
            path = path.display(),
            sections = parts.sections,
        );
        let server = Homing::start(&HomingBinary::find()?, &config)?;
        Ok(Self { server, _map: map })
    }
}

/// The messages of an INBOX, read from the home itself.
pub(crate) fn inbox(pop3: u16, someone: Someone) -> Result<Vec<String>> {
    let mut client = Pop3Client::connect(pop3)?;
    let reply = client.login(someone.mail, someone.password)?;
    anyhow::ensure!(reply.starts_with("+OK"), "{}: {reply}", someone.mail);
    let (_, listed) = client.multi_line("LIST")?;
    let mut messages = Vec::new();
    for line in listed {
        let number = line.split(' ').next().unwrap_or_default();
        messages.push(client.multi_line(&format!("RETR {number}"))?.1.join("\n"));
    }
    client.command("QUIT")?;
    Ok(messages)
}

/// What a server has logged.
pub(crate) fn log(server: &Homing) -> Result<String> {
    Ok(std::fs::read_to_string(server.log())?)
}
