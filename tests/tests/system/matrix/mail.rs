//! The rows of mail: (SMTP, LMTP) x (plain, STARTTLS, implicit TLS) to a Homing home, which writes of each message who its
//! client was: address, port, TLS, greeting, and the session in the front end's log.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fmt::Write;
use std::process::Command;
use system_tests::steps::eventually;
use testkit::{Homing, HomingBinary, Scratch, free_port, self_signed};

const CLIENT: &str = "\
import json, smtplib, ssl, sys
way = json.loads(sys.argv[1])
tls = ssl.create_default_context(cafile=way['ca'])
source = (way['source'], 0)
if way['tls'] == 'implicit' and way['protocol'] == 'smtp':
    client = smtplib.SMTP_SSL('localhost', way['port'], way['helo'], source_address=source, context=tls)
elif way['tls'] == 'implicit':
    class Lmtps(smtplib.LMTP):
        def _get_socket(self, host, port, timeout):
            return tls.wrap_socket(super()._get_socket(host, port, timeout), server_hostname='localhost')
    client = Lmtps('127.0.0.1', way['port'], way['helo'], source_address=source)
else:
    kind = smtplib.SMTP if way['protocol'] == 'smtp' else smtplib.LMTP
    client = kind('localhost', way['port'], way['helo'], source_address=source)
    if way['tls'] == 'starttls':
        client.ehlo()
        client.starttls(context=tls)
local = client.sock.getsockname()
client.sendmail('sender@elsewhere.test', ['alice@example.test'], 'Subject: ' + way['helo'] + '\\r\\n\\r\\nx\\r\\n')
client.quit()
print(json.dumps({'address': local[0], 'port': local[1]}))
";

struct Site {
    front: Homing,
    home: Homing,
    doors: Vec<(&'static str, &'static str, u16)>,
    scratch: Scratch,
}

impl Site {
    fn start() -> Result<Self> {
        let (binary, scratch) = (HomingBinary::find()?, Scratch::new()?);
        let (smtp, lmtp) = (free_port()?, free_port()?);
        let mut home = "server_name = \"store.example.test\"\n".to_owned();
        for (service, port) in [("smtp", smtp), ("lmtp", lmtp)] {
            let _ = writeln!(
                home,
                "[[{service}.listener]]\naddress = \"127.0.0.1:{port}\"\ntrusted_networks = [\"127.0.0.1\"]"
            );
        }
        let home = Homing::start(&binary, &home)?;
        home.command(&["domain", "create", "example.test"])?;
        home.command_with_input(
            &["account", "create", "alice@example.test", "--password-stdin"],
            b"secret",
        )?;
        let certificate = self_signed(scratch.path())?;
        let map = scratch.write("map", "@example.test store.example.test\n")?;
        let mut front = format!(
            "server_name = \"front.example.test\"\n[tls]\ncertificate = {:?}\nkey = {:?}\n\
             [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = {:?}\n\
             [[home]]\nname = \"store.example.test\"\nhost = \"127.0.0.1\"\nsmtp.port = {smtp}\nlmtp.port = {lmtp}\n",
            certificate.certificate.display().to_string(),
            certificate.key.display().to_string(),
            map.display().to_string(),
        );
        let mut doors = Vec::new();
        for protocol in ["smtp", "lmtp"] {
            let _ = writeln!(
                front,
                "[{protocol}_proxy]\nuser_maps = [\"file\"]\ndomains = [\"example.test\"]\nhome_protocol = \"{protocol}\""
            );
            for tls in ["none", "starttls", "implicit"] {
                let port = free_port()?;
                doors.push((protocol, tls, port));
                let _ = writeln!(
                    front,
                    "[[{protocol}_proxy.listener]]\naddress = \"127.0.0.1:{port}\"\ntls = \"{tls}\""
                );
            }
        }
        Ok(Self {
            front: Homing::start(&binary, &front)?,
            home,
            doors,
            scratch,
        })
    }
}

/// The lines about a message from this client; the front end's log has its port with its address.
fn line_with(server: &Homing, parts: &[String]) -> Result<Option<String>> {
    let log = std::fs::read_to_string(server.log())?;
    let all = |line: &&str| line.contains("\"message\"") || line.contains(" message ");
    let found = log
        .lines()
        .filter(all)
        .find(|line| parts.iter().all(|part| line.contains(part)));
    Ok(found.map(str::to_owned))
}

fn row(site: &Site, (protocol, tls, port): (&str, &str, u16), number: usize) -> Result<()> {
    let helo = format!("client{number}.test");
    let way = json!({
        "protocol": protocol, "tls": tls, "port": port, "helo": helo,
        "source": format!("127.0.9.{number}"), "ca": site.scratch.join("tls.crt"),
    });
    let client = Command::new("python3")
        .args(["-c", CLIENT, &way.to_string()])
        .output()?;
    let told = String::from_utf8_lossy(&client.stderr);
    ensure!(client.status.success(), "{told}");
    let said: Value = serde_json::from_slice(&client.stdout)?;
    let (address, source) = (said["address"].as_str().context("an address")?, &said["port"]);
    let front = line_with(&site.front, &[format!("client={address}:{source} ")])?;
    let front = front.context("the front end has no line of the message")?;
    let trace = front
        .split_once("trace=")
        .and_then(|(_, rest)| rest.split(' ').next());
    let trace = trace.context("a trace")?;
    let transport = if tls == "none" { "insecure" } else { "TLS" };
    let known = [
        format!("session={trace}"),
        format!("trace={trace}"),
        format!("protocol={protocol}"),
        format!("client={address} "),
        format!("port={source} "),
        format!("transport=\"{transport}\""),
        format!("helo={helo}"),
    ];
    eventually("the home knows the client", || {
        Ok(line_with(&site.home, &known)?.is_some())
    })
}

#[test]
fn mail_at_a_homing_home() -> Result<()> {
    let site = Site::start()?;
    for (number, door) in (1..).zip(&site.doors) {
        row(&site, *door, number).with_context(|| {
            format!(
                "{door:?}\nfront:\n{}\nhome:\n{}",
                site.front.log_tail(),
                site.home.log_tail()
            )
        })?;
    }
    Ok(())
}
