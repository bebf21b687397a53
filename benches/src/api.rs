//! HTTP over the admin socket: one connection, one request after the other.

use crate::clock::now;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The server cuts a silent connection off after ten seconds; past this a new one is made.
const IDLE: Duration = Duration::from_secs(4);
/// Longer than any operation that is asked for here.
const PATIENCE: Duration = Duration::from_secs(600);
/// Far more than the status of a connector or an account takes.
const LARGEST: usize = 64 << 20;

/// A caller of the admin API.
#[derive(Debug)]
pub(crate) struct Api {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    used: Instant,
}

impl Api {
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        Ok(Self {
            socket: socket.to_owned(),
            stream: open(socket)?,
            used: now(),
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        self.call("GET", path, "")
    }

    /// What the API is asked, and what it says to it, refusals included.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<(u16, String)> {
        self.send(method, path, &body.to_string())?;
        self.answer().with_context(|| format!("{method} {path}"))
    }

    pub(crate) fn put(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.call("PUT", path, &body.to_string())
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        self.call("POST", path, &body.to_string())
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value> {
        self.send(method, path, body)?;
        let (status, text) = self.answer().with_context(|| format!("{method} {path}"))?;
        if status >= 400 {
            bail!("{method} {path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// A request alone. [`Self::answer`] is to be read before the next one.
    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        if self.used.elapsed() > IDLE {
            self.stream = open(&self.socket)?;
        }
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: homing\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok(self.stream.get_mut().write_all((head + body).as_bytes())?)
    }

    /// The status and the body of the answer.
    pub(crate) fn answer(&mut self) -> Result<(u16, String)> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let length = length.context("the answer has no length")?;
        ensure!(length <= LARGEST, "the answer has {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        self.used = now();
        Ok((status, String::from_utf8(body)?))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(
            self.stream.read_line(&mut line)? > 0,
            "the server closed the connection"
        );
        Ok(line.trim_end().to_owned())
    }
}

fn open(socket: &Path) -> Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(socket).context("the admin socket")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn answers_and_refusals_are_told_apart() -> Result<()> {
        let scratch = testkit::Scratch::new()?;
        let socket = scratch.join("s");
        let listener = UnixListener::bind(&socket)?;
        let server = std::thread::spawn(move || -> Result<String> {
            let (mut stream, _) = listener.accept()?;
            let mut seen = String::new();
            for answer in [
                "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
                "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno",
            ] {
                let mut request = [0; 512];
                let length = stream.read(&mut request)?;
                seen.push_str(&String::from_utf8_lossy(&request[..length]));
                stream.write_all(answer.as_bytes())?;
            }
            Ok(seen)
        });
        let mut api = Api::connect(&socket)?;
        assert_eq!(api.get("/one")?, serde_json::json!({"a": 1}));
        let refused = api.put("/two", &serde_json::json!({"b": 2})).unwrap_err();
        assert!(refused.to_string().contains("409 no"), "{refused}");
        let seen = server.join().unwrap()?;
        assert!(
            seen.contains("GET /one HTTP/1.1") && seen.ends_with("{\"b\":2}"),
            "{seen}"
        );
        Ok(())
    }
}
