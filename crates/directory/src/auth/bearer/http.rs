//! One HTTP request to the issuer: a connection of its own, a deadline, and a bounded answer (RFC 9110).

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use net::{ClientTls, Connection, Resolver};
use std::time::Duration;
use url::{Host, Url};

/// The longest answer that is read.
const MAX_BODY: usize = 1 << 20;

/// A client for one issuer.
pub(super) struct HttpClient {
    resolver: Resolver,
    tls: ClientTls,
    timeout: Duration,
}

/// What goes with a POST.
pub(super) struct Form<'a> {
    pub(super) body: String,
    pub(super) authorization: &'a HeaderValue,
}

/// `https`, or `http` on this machine: tokens and keys cross no network in the clear.
pub(crate) fn check_issuer_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return Err(format!("{text:?} names no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err(format!(
            "{text:?}: use https, or whoever sits on the way decides who logs in"
        )),
        other => Err(format!("{text:?}: {other} is not https")),
    }
}

impl HttpClient {
    pub(super) const fn new(resolver: Resolver, tls: ClientTls, timeout: Duration) -> Self {
        Self {
            resolver,
            tls,
            timeout,
        }
    }

    /// The body of a good answer; anything else is in words, for the log.
    pub(super) async fn fetch(&self, url: &Url, form: Option<Form<'_>>) -> Result<Bytes, String> {
        match tokio::time::timeout(self.timeout, self.exchange(url, form)).await {
            Ok(result) => result.map_err(|why| format!("{url}: {why}")),
            Err(_) => Err(format!("{url}: no answer within {} s", self.timeout.as_secs())),
        }
    }

    async fn exchange(&self, url: &Url, form: Option<Form<'_>>) -> Result<Bytes, String> {
        let connection = self.connect(url).await?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|error| error.to_string())?;
        let request = request(url, form)?;
        let exchange = async move {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| error.to_string())?;
            // RFC 9110 section 15.4: a redirect would lead a secret elsewhere, so none is followed.
            if response.status() != StatusCode::OK {
                return Err(format!("answered {}", response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            body.map(|body| body.to_bytes())
                .map_err(|error| error.to_string())
        };
        // The connection ends with the exchange: neither outlives this future.
        tokio::pin!(driver);
        tokio::pin!(exchange);
        tokio::select! {
            result = &mut exchange => result,
            ended = &mut driver => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(error.to_string()),
            },
        }
    }

    async fn connect(&self, url: &Url) -> Result<Connection, String> {
        let port = url.port_or_known_default().ok_or("no port")?;
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err("no host".to_owned()),
        };
        let connection = Connection::connect_host(&self.resolver, &host, port, self.timeout)
            .await
            .map_err(|error| error.to_string())?;
        if url.scheme() != "https" {
            return Ok(connection);
        }
        connection
            .connect_tls(&self.tls, &host, self.timeout)
            .await
            .map_err(|error| error.to_string())
    }
}

fn request(url: &Url, form: Option<Form<'_>>) -> Result<Request<Full<Bytes>>, String> {
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let builder = Request::builder()
        .uri(path)
        .header(HOST, host)
        .header(ACCEPT, "application/json");
    let built = match form {
        None => builder.body(Full::default()),
        Some(form) => builder
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(AUTHORIZATION, form.authorization)
            .body(Full::from(form.body)),
    };
    built.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_on_the_way_can_change() {
        for (url, good) in [
            ("https://id.example.test/jwks", true),
            ("http://127.0.0.1:8080/jwks", true),
            ("http://[::1]/jwks", true),
            ("http://localhost/jwks", true),
            ("http://id.example.test/jwks", false),
            ("ftp://id.example.test/jwks", false),
            ("/jwks", false),
            ("https://", false),
        ] {
            assert_eq!(check_issuer_url(url).is_ok(), good, "{url}");
        }
    }
}
