//! An HTTP client on one kept connection, with the cookie of a login (RFC 9112, RFC 6265).

use super::{Conn, Login, Target, shown};
use anyhow::{Context, Result, bail};

/// As long as the cookie of a login by the form is.
const STAND_IN: usize = 200;

/// One connection and what it shows who it is with.
#[derive(Debug)]
pub(crate) struct Http {
    conn: Conn,
    cookie: String,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    cookies: Vec<String>,
    length: usize,
}

impl Http {
    /// Connects with a cookie that means nothing.
    pub(crate) async fn connect(target: &Target) -> Result<Self> {
        Ok(Self {
            conn: Conn::open(target).await?,
            cookie: format!("session={}", "x".repeat(STAND_IN)),
        })
    }

    /// Logs in at the page of our front end, as a browser does.
    pub(crate) async fn log_in(&mut self, login: &Login) -> Result<()> {
        let (page, html) = self.page("GET", "/.homing/login", "").await?;
        let field = "name=\"token\" value=\"";
        let token = html.split(field).nth(1).and_then(|rest| rest.split('"').next());
        let token = token.with_context(|| format!("no form: {}", page.status))?;
        self.cookie = page.cookies.join("; ");
        let coded = |text: &str| -> String {
            let octets = text.bytes();
            octets.map(|octet| format!("%{octet:02X}")).collect()
        };
        let (address, password) = (coded(&login.address), coded(&login.password));
        let form = format!(
            "token={}&to=%2F&login={address}&password={password}",
            coded(token)
        );
        let (done, text) = self.page("POST", "/.homing/login", &form).await?;
        if done.status != 303 {
            bail!("HTTP login: {} {text}", done.status);
        }
        // One without a value is taken back.
        let is_kept = |cookie: &&str| {
            let pair = cookie.split_once('=');
            pair.is_some_and(|(_, value)| !value.is_empty())
        };
        let cookies = done.cookies.iter().map(String::as_str);
        let cookies: Vec<&str> = cookies.filter(is_kept).collect();
        self.cookie = cookies.join("; ");
        Ok(())
    }

    /// GET; the size of the body, which is not looked at.
    pub(crate) async fn get(&mut self, path: &str) -> Result<usize> {
        self.ask("GET", path, "").await?;
        let answer = self.head().await?;
        if answer.status != 200 {
            bail!("HTTP GET {path}: {}", answer.status);
        }
        self.conn.skip(answer.length).await?;
        Ok(answer.length)
    }

    async fn page(&mut self, method: &str, path: &str, form: &str) -> Result<(Answer, String)> {
        self.ask(method, path, form).await?;
        let answer = self.head().await?;
        let body = self.conn.take(answer.length).await?;
        Ok((answer, shown(&body)))
    }

    async fn ask(&mut self, method: &str, path: &str, form: &str) -> Result<()> {
        let body = match form {
            "" => String::new(),
            form => format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            ),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: mail.bench.test\r\nCookie: {}\r\n{body}\r\n{form}",
            self.cookie
        );
        self.conn.send(request.as_bytes()).await
    }

    async fn head(&mut self) -> Result<Answer> {
        let line = self.conn.line().await?;
        let status = shown(&line);
        let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.with_context(|| format!("no HTTP: {}", shown(&line)))?;
        let mut answer = Answer {
            status: status.parse()?,
            cookies: Vec::new(),
            length: 0,
        };
        loop {
            let line = shown(&self.conn.line().await?);
            let Some((name, value)) = line.split_once(':') else {
                return Ok(answer);
            };
            if name.eq_ignore_ascii_case("content-length") {
                answer.length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("set-cookie") {
                let pair = value.split(';').next().unwrap_or_default();
                answer.cookies.push(pair.trim().to_owned());
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("an HTTP answer without a length");
            }
        }
    }
}
