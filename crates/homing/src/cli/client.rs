//! A client of the admin API over its Unix socket.

use super::{Failure, Global};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// A sync of a large directory is the longest thing that a command waits for.
const DEADLINE: Duration = Duration::from_secs(600);
/// Between two looks at what takes long.
const WATCH: Duration = Duration::from_millis(500);
/// More than any answer has; a list is read page by page.
const MAX_ANSWER: usize = 64 << 20;

/// The admin API of the server that the configuration names.
pub(crate) struct Client {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let config = crate::config::load(global.config.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Unavailable(format!("cannot start: {error}")))?;
        Ok(Self {
            socket: config.admin_socket(),
            runtime,
        })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None)
    }

    /// An answer that is text.
    pub(crate) fn get_text(&self, path: &str) -> Result<String, Failure> {
        match self.call(Method::GET, path, None)? {
            Value::String(text) => Ok(text),
            other => Ok(other.to_string()),
        }
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body))
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::PUT, path, Some(body))
    }

    pub(crate) fn patch(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.call(Method::PATCH, path, Some(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, None)
    }

    /// Posts, and shows `path` every half second until the answer is here.
    pub(crate) fn post_and_watch(
        &self,
        path: &str,
        body: Value,
        (watched, show): (&str, &mut dyn FnMut(&Value)),
    ) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            let work = self.exchange(Method::POST, path, Some(body));
            tokio::pin!(work);
            loop {
                tokio::select! {
                    answer = &mut work => return answer,
                    () = tokio::time::sleep(WATCH) => {}
                }
                let look = self.exchange(Method::GET, watched, None);
                // What cannot be shown is only not shown.
                if let Ok(Ok(seen)) = tokio::time::timeout(WATCH, look).await {
                    show(&seen);
                }
            }
        })
    }

    /// Reads an answer of JSON lines, line by line.
    pub(crate) fn lines(
        &self,
        path: &str,
        each: &mut dyn FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let response = self.send(Method::GET, path, None).await?;
            let status = response.status();
            let mut body = response.into_body();
            let mut waiting: Vec<u8> = Vec::new();
            loop {
                let frame = match tokio::time::timeout(DEADLINE, body.frame()).await {
                    Ok(Some(frame)) => frame.map_err(|error| broken(&error))?,
                    Ok(None) => break,
                    Err(_) => return Err(broken(&"it fell silent for 10 minutes")),
                };
                waiting.extend_from_slice(frame.data_ref().map_or(&[][..], AsRef::as_ref));
                while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = waiting.drain(..=end).collect();
                    each(serde_json::from_slice(&line).map_err(|error| broken(&error))?)?;
                }
                if waiting.len() > MAX_ANSWER {
                    return Err(broken(&"a line without an end"));
                }
            }
            if status.is_success() {
                return Ok(());
            }
            let value = serde_json::from_slice(&waiting).unwrap_or(Value::Null);
            Err(refusal(status, &value))
        })
    }

    /// Every row of a list that comes in pages of `{"rows": [...], "next": ...}`.
    pub(crate) fn rows(
        &self,
        path: &str,
        cursor: &str,
        each: &mut dyn FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut target = path.to_owned();
        loop {
            let mut page = self.get(&target)?;
            if let Some(Value::Array(rows)) = page.get_mut("rows").map(Value::take) {
                rows.into_iter().try_for_each(&mut *each)?;
            }
            let next = match page.get("next") {
                Some(Value::String(text)) => segment(text),
                Some(Value::Number(number)) => number.to_string(),
                _ => return Ok(()),
            };
            target = format!("{path}{joint}{cursor}={next}");
        }
    }

    /// Every row of a list that comes in pages of rows with an `id`: the next page begins after the last one.
    pub(crate) fn numbered(
        &self,
        path: &str,
        limit: u32,
        each: &mut dyn FnMut(Value) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut after = 0;
        loop {
            let Value::Array(page) = self.get(&format!("{path}?after={after}&limit={limit}"))? else {
                return Ok(());
            };
            let Some(last) = page.last().and_then(|row| row.get("id")).and_then(Value::as_u64) else {
                return Ok(());
            };
            after = last;
            page.into_iter().try_for_each(&mut *each)?;
        }
    }

    /// Waits between two looks.
    pub(crate) fn pause(&self, span: Duration) {
        // A timer is made inside the runtime or not at all.
        self.runtime.block_on(async { tokio::time::sleep(span).await });
    }

    fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            match tokio::time::timeout(DEADLINE, self.exchange(method, path, body)).await {
                Ok(answer) => answer,
                Err(_) => Err(Failure::Unavailable(
                    "the server did not answer within 10 minutes".to_owned(),
                )),
            }
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, Failure> {
        if has_empty_segment(path) {
            return Err(Failure::Usage(
                "an empty name or address names nothing".to_owned(),
            ));
        }
        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.no_server(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        tokio::spawn(connection);
        let body = body.map(|value| value.to_string()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "homing")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::Usage(format!("not something that can be asked for: {error}")))?;
        sender.send_request(request).await.map_err(|error| broken(&error))
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE);
        let is_text = content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
        let bytes = Limited::new(response.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| broken(&error))?
            .to_bytes();
        let value = if is_text {
            Value::String(String::from_utf8_lossy(&bytes).into_owned())
        } else if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|error| broken(&error))?
        };
        if status.is_success() {
            Ok(value)
        } else {
            Err(refusal(status, &value))
        }
    }

    fn no_server(&self, error: &std::io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::NotPermitted(format!(
                "{socket}: permission denied; run this as root or as the user that the server runs as"
            )),
            _ => Failure::Unavailable(format!(
                "no server answers on {socket} ({error}); is \"homing serve\" running with this --config?"
            )),
        }
    }
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("the server broke off: {error}"))
}

fn refusal(status: StatusCode, value: &Value) -> Failure {
    let text = value
        .get("error")
        .and_then(Value::as_str)
        .unwrap_or_else(|| status.as_str())
        .to_owned();
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage(text),
        StatusCode::FORBIDDEN => Failure::NotPermitted(text),
        StatusCode::SERVICE_UNAVAILABLE => Failure::Temporary(text),
        _ => Failure::Refused(text),
    }
}

/// One segment of a path, so that no address or name can name another resource (RFC 3986 section 2.1).
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether somebody typed `""` where a name or an address belongs: that would be another resource, or none.
fn has_empty_segment(path: &str) -> bool {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    path.split('/').skip(1).any(str::is_empty)
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_named_by_an_empty_name() {
        for (path, empty) in [
            ("/v1/accounts/", true),
            ("/v1/groups//members", true),
            ("/v1/accounts/alice@example.org", false),
            ("/v1/audit?object=a//b/", false),
        ] {
            assert_eq!(super::has_empty_segment(path), empty, "{path}");
        }
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(super::segment("a+b@example.test"), "a%2Bb@example.test");
        assert_eq!(super::segment("../x?y#z"), "..%2Fx%3Fy%23z");
    }
}
