//! POP3: RFC 1939, its capabilities and its authentication.

mod rfc1939;
mod rfc2449;
mod rfc5034;

use crate::subject::{ALICE, Server};
use anyhow::{Context, Result, ensure};
use testkit::Pop3Client;

/// A session of alice in the transaction state.
fn alice(server: &Server) -> Result<Pop3Client> {
    let mut client = server.pop3()?;
    let reply = client.login(ALICE.address, ALICE.password)?;
    ensure!(reply.starts_with("+OK"), "PASS: {reply}");
    Ok(client)
}

/// A message whose body has the given lines.
fn text(subject: &str, body: &str) -> String {
    format!("From: erika@example.test\r\nSubject: {subject}\r\n\r\n{body}")
}

/// A command that must succeed; what follows `+OK`.
fn ok(client: &mut Pop3Client, command: &str) -> Result<String> {
    let reply = client.command(command)?;
    let rest = reply.strip_prefix("+OK");
    Ok(rest
        .with_context(|| format!("{command}: {reply}"))?
        .trim_start()
        .to_owned())
}

/// A command that must be refused.
fn err(client: &mut Pop3Client, command: &str) -> Result<String> {
    let reply = client.command(command)?;
    ensure!(reply.starts_with("-ERR"), "{command}: {reply}");
    Ok(reply)
}

/// The lines of a multi-line reply that must succeed.
fn lines(client: &mut Pop3Client, command: &str) -> Result<Vec<String>> {
    let (status, lines) = client.multi_line(command)?;
    ensure!(status.starts_with("+OK"), "{command}: {status}");
    Ok(lines)
}
