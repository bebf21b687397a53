//! What nginx's mail proxy asks who may log in and where to: its `auth_http` protocol, answered from memory.
//!
//! It checks the password and names the home, as a real one would, in a thread of its own whose CPU time is not
//! counted as nginx's. A real one would ask the directory; this one knows everybody beforehand.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Password, address and ports of the home.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) password: String,
    pub(super) host: String,
    pub(super) imap: u16,
    pub(super) lmtp: u16,
}

/// The running responder; it ends when dropped.
#[derive(Debug)]
pub(super) struct AuthHttp {
    pub(super) port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AuthHttp {
    /// Starts one that knows these logins.
    pub(super) fn start(known: HashMap<String, Answer>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let known = Arc::new(known);
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A request that breaks is seen by nginx, whose refusal ends the benchmark.
                tokio::spawn(serve(stream, Arc::clone(&known)));
            }
        };
        let thread = std::thread::Builder::new()
            .name("auth-http".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = accept => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("cannot start a thread")?;
        Ok(Self {
            port,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for AuthHttp {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(stream: TcpStream, known: Arc<HashMap<String, Answer>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(1024, stream);
    let mut request = String::new();
    loop {
        let start = request.len();
        let read = stream.read_line(&mut request).await?;
        if read == 0 || request.get(start..).is_some_and(|line| line.trim().is_empty()) {
            break;
        }
    }
    let reply = match find(&request, &known) {
        Some((answer, port)) => format!(
            "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {}\r\nAuth-Port: {port}\r\n\r\n",
            answer.host
        ),
        None => "HTTP/1.0 200 OK\r\nAuth-Status: Invalid login or password\r\n\r\n".to_owned(),
    };
    stream.write_all(reply.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// The home that a request's fields lead to, and the port there.
fn find<'a>(request: &str, known: &'a HashMap<String, Answer>) -> Option<(&'a Answer, u16)> {
    let field = |name: &str| {
        request.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| plain(value.trim()))
        })
    };
    if field("Auth-Protocol").as_deref() == Some("smtp") {
        let recipient = field("Auth-SMTP-To")?;
        let (_, rest) = recipient.split_once('<')?;
        let (address, _) = rest.split_once('>')?;
        return known.get(address).map(|answer| (answer, answer.lmtp));
    }
    let answer = known.get(&field("Auth-User")?)?;
    (answer.password == field("Auth-Pass")?).then_some((answer, answer.imap))
}

/// nginx writes some octets as `%XX`.
fn plain(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_leads_nowhere() {
        let answer = Answer {
            password: "a b%".to_owned(),
            host: "127.0.0.2".to_owned(),
            imap: 143,
            lmtp: 24,
        };
        let known = HashMap::from([("alice@bench.test".to_owned(), answer)]);
        let ask = |user: &str, password: &str| {
            let request = format!(
                "GET /auth HTTP/1.0\r\nAuth-Protocol: imap\r\nAuth-User: {user}\r\nAuth-Pass: {password}\r\n\r\n"
            );
            find(&request, &known).map(|(_, port)| port)
        };
        assert_eq!(ask("alice@bench.test", "a%20b%25"), Some(143));
        assert_eq!(ask("alice@bench.test", "wrong"), None);
        assert_eq!(ask("bob@bench.test", "a%20b%25"), None);
        let mail =
            "GET / HTTP/1.0\r\nAuth-Protocol: smtp\r\nAuth-SMTP-To: RCPT TO:<alice@bench.test>\r\n\r\n";
        assert_eq!(find(mail, &known).map(|(_, port)| port), Some(24));
    }
}
