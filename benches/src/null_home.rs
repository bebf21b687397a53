//! A home that answers at once and keeps nothing: IMAP with one mailbox of one large message, LMTP, and HTTP with two
//! pages.
//!
//! It stands behind a front end, so that what is measured is the front end. It runs in a thread of its own and
//! takes any password, for it only ever hears of sessions that a front end let through.

use crate::client::Message;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The pages that it has by HTTP, and their sizes.
pub(crate) const SMALL_PAGE: (&str, usize) = ("/small", 4096);
pub(crate) const LARGE_PAGE: (&str, usize) = ("/large", LARGE);
/// The size of the one message.
pub(crate) const LARGE: usize = 1 << 20;
const CAPABILITIES: &str = "CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID IDLE AUTH=PLAIN AUTH=LOGIN";

/// The running home; it ends when dropped.
#[derive(Debug)]
pub(crate) struct NullHome {
    pub(crate) imap: SocketAddr,
    pub(crate) lmtp: SocketAddr,
    pub(crate) http: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl NullHome {
    /// Listens on free ports.
    pub(crate) fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST, 0, 0)
    }

    /// Listens on these ports of an address of the loopback network; 0 is any free one, as the one for HTTP is.
    pub(crate) fn start_at(address: Ipv4Addr, imap: u16, lmtp: u16) -> Result<Self> {
        let (imap, lmtp) = (listener(address, imap)?, listener(address, lmtp)?);
        let http = listener(address, 0)?;
        let http_address = http.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let (imap_address, lmtp_address) = (imap.local_addr()?, lmtp.local_addr()?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let fetched: Arc<[u8]> = fetch_response().into();
        let pages: Arc<[Page]> = [SMALL_PAGE, LARGE_PAGE].map(Page::new).into();
        let (imap, lmtp, http) = {
            let _entered = runtime.enter();
            (
                tokio::net::TcpListener::from_std(imap)?,
                tokio::net::TcpListener::from_std(lmtp)?,
                tokio::net::TcpListener::from_std(http)?,
            )
        };
        let thread = std::thread::Builder::new()
            .name("null-home".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = accept(imap, move |stream| serve_imap(stream, Arc::clone(&fetched))) => {}
                        () = accept(lmtp, serve_lmtp) => {}
                        () = accept(http, move |stream| serve_http(stream, Arc::clone(&pages))) => {}
                        _ = stopped => {}
                    }
                });
            })
            .context("cannot start a thread")?;
        Ok(Self {
            imap: imap_address,
            lmtp: lmtp_address,
            http: http_address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for NullHome {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener(address: Ipv4Addr, port: u16) -> Result<TcpListener> {
    let listener =
        TcpListener::bind((address, port)).with_context(|| format!("cannot listen on {address}:{port}"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn fetch_response() -> Vec<u8> {
    let mut message = Message::new(LARGE);
    let text = message.numbered(0, 0, 0);
    let mut response = format!("* 1 FETCH (BODY[] {{{}}}\r\n", text.len()).into_bytes();
    response.extend_from_slice(text);
    response.extend_from_slice(b")\r\n");
    response
}

async fn accept<F, S>(listener: tokio::net::TcpListener, serve: F)
where
    F: Fn(BufReader<TcpStream>) -> S,
    S: Future<Output = Result<()>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        // A session that breaks is seen by the front end, whose errors end the benchmark.
        tokio::spawn(serve(BufReader::with_capacity(512, stream)));
    }
}

async fn serve_imap(mut stream: BufReader<TcpStream>, fetched: Arc<[u8]>) -> Result<()> {
    let greeting = format!("* OK [{CAPABILITIES}] null home\r\n");
    stream.write_all(greeting.as_bytes()).await?;
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        while let Some((size, waits)) = literal(&line) {
            if waits {
                stream.write_all(b"+ go on\r\n").await?;
            }
            let mut bytes = vec![0; size.min(LARGE)];
            stream.read_exact(&mut bytes).await?;
            line.push_str(&String::from_utf8_lossy(&bytes));
            stream.read_line(&mut line).await?;
        }
        let mut words = line.split_whitespace();
        let tag = words.next().unwrap_or("*").to_owned();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        let initial = words.nth(1).is_some();
        match verb.as_str() {
            "AUTHENTICATE" if !initial => {
                stream.write_all(b"+ \r\n").await?;
                stream.read_line(&mut line).await?;
            }
            "CAPABILITY" => {
                stream
                    .write_all(format!("* {CAPABILITIES}\r\n").as_bytes())
                    .await?
            }
            "ID" => stream.write_all(b"* ID NIL\r\n").await?,
            "FETCH" => stream.write_all(&fetched).await?,
            "SELECT" => stream.write_all(b"* FLAGS ()\r\n* 1 EXISTS\r\n").await?,
            "IDLE" => {
                stream.write_all(b"+ idling\r\n").await?;
                stream.read_line(&mut line).await?;
            }
            "LOGOUT" => stream.write_all(b"* BYE bye\r\n").await?,
            _ => {}
        }
        let reply = match verb.as_str() {
            "LOGIN" | "AUTHENTICATE" => format!("{tag} OK [{CAPABILITIES}] logged in\r\n"),
            _ => format!("{tag} OK done\r\n"),
        };
        stream.write_all(reply.as_bytes()).await?;
        if verb == "LOGOUT" {
            return Ok(());
        }
    }
}

/// The size of a literal announced at the end of a line, and whether the client waits for a go-ahead.
fn literal(line: &str) -> Option<(usize, bool)> {
    let inner = line.trim_end().strip_suffix('}')?;
    let (_, size) = inner.rsplit_once('{')?;
    match size.strip_suffix('+') {
        Some(size) => Some((size.parse().ok()?, false)),
        None => Some((size.parse().ok()?, true)),
    }
}

/// A page as it goes out, head and body.
#[derive(Debug)]
struct Page {
    request: String,
    answer: Vec<u8>,
}

impl Page {
    fn new((path, size): (&str, usize)) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        answer.resize(answer.len() + size, b'x');
        Self {
            request: format!("GET {path} HTTP/1."),
            answer,
        }
    }
}

async fn serve_http(mut stream: BufReader<TcpStream>, pages: Arc<[Page]>) -> Result<()> {
    const NOTHING: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let page = pages.iter().find(|page| line.starts_with(&page.request));
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        stream
            .write_all(page.map_or(NOTHING, |page| &page.answer))
            .await?;
    }
}

async fn serve_lmtp(mut stream: BufReader<TcpStream>) -> Result<()> {
    stream.write_all(b"220 null home\r\n").await?;
    let mut line = Vec::new();
    let mut recipients = 0;
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_slice() {
            b"LHLO" | b"EHLO" => {
                stream
                    .write_all(b"250-null home\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n")
                    .await?;
            }
            b"RCPT" => {
                recipients += 1;
                stream.write_all(b"250 2.1.5 OK\r\n").await?;
            }
            b"DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                skip_message(&mut stream).await?;
                // RFC 2033 section 4.2: one reply for each recipient.
                for _ in 0..recipients {
                    stream.write_all(b"250 2.0.0 gone\r\n").await?;
                }
                recipients = 0;
            }
            b"RSET" => {
                recipients = 0;
                stream.write_all(b"250 2.0.0 OK\r\n").await?;
            }
            b"QUIT" => return Ok(stream.write_all(b"221 2.0.0 bye\r\n").await?),
            _ => stream.write_all(b"250 2.0.0 OK\r\n").await?,
        }
    }
}

async fn skip_message(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = stream.read_until(b'\n', &mut line).await?;
        if read == 0 || line == b".\r\n" {
            return Ok(());
        }
    }
}
