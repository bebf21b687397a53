//! Front ends that a home knows by their certificates (`trusted_certificates`): in every protocol that proxies speak to
//! homes, over both kinds of TLS, and whoever shows another certificate or none.

use crate::support::{Client, Do, Home, OnePassword, SOON, certificate, context_with, front};
use Do::{Answer, Echo, Hear, Say};
use frontend::imap::{self, ImapProxy};
use frontend::managesieve::{self, ManageSieveProxy};
use frontend::pop3::{self, Pop3Proxy};
use frontend::submission::{self, SubmissionProxy};
use frontend::{
    ImapProxyConfig, ManageSieveProxyConfig, Pop3ProxyConfig, ProxyContext, SubmissionProxyConfig,
};
use model::Protocol;
use net::{Accepted, Listener, ListenerConfig, Rest, ServerTls, SessionFilter, Shutdown, TlsConfig, TlsMode};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use testkit::{Authority, Certificate};

const IMAP: &[Do] = &[
    Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
    Answer("AUTHENTICATE PLAIN ", "OK [CAPABILITY IMAP4rev1] in"),
    Echo("* "),
];
const POP3: &[Do] = &[
    Say("+OK ready\r\n"),
    Hear("USER"),
    Say("+OK\r\n"),
    Hear("PASS"),
    Say("+OK in\r\n"),
    Echo("+OK "),
];
const SIEVE: &[Do] = &[
    Say("\"IMPLEMENTATION\" \"a home\"\r\n\"SIEVE\" \"fileinto\"\r\n\"SASL\" \"PLAIN\"\r\nOK\r\n"),
    Hear("AUTHENTICATE \"PLAIN\" "),
    Say("OK \"in\"\r\n"),
    Echo(""),
];
const SUBMISSION: &[Do] = &[
    Say("220 home\r\n"),
    Hear("EHLO front.example.test"),
    // What front ends announce, a home has to have.
    Say(
        "250-home\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 AUTH PLAIN\r\n",
    ),
    Hear("AUTH PLAIN "),
    Say("235 2.7.0 in\r\n"),
    Echo("250 2.0.0 "),
];

/// A proxy of this protocol, as a handler of connections.
async fn serve(accepted: Accepted, protocol: Protocol, context: ProxyContext) -> Rest {
    let source = Some(Arc::new(OnePassword) as Arc<dyn model::Authenticator>);
    match protocol {
        Protocol::Imap => {
            let proxy = ImapProxy::new(&ImapProxyConfig::default(), context, source);
            imap::serve(accepted, Arc::new(proxy)).await
        }
        Protocol::Pop3 => {
            let proxy = Pop3Proxy::new(&Pop3ProxyConfig::default(), context, source);
            pop3::serve(accepted, Arc::new(proxy)).await
        }
        Protocol::Submission => {
            let proxy = SubmissionProxy::new(&SubmissionProxyConfig::default(), context, source);
            submission::serve(accepted, Arc::new(proxy)).await
        }
        _ => {
            let proxy = ManageSieveProxy::new(&ManageSieveProxyConfig::default(), context, source);
            managesieve::serve(accepted, Arc::new(proxy)).await
        }
    }
}

/// A home that is a front end itself, and believes whoever shows the right certificate.
async fn home(
    files: &Path,
    authority: &Authority,
    mode: TlsMode,
    protocol: Protocol,
    context: &ProxyContext,
) -> SocketAddr {
    let mut tls = TlsConfig::new(files.join("cert.pem"), files.join("key.pem"));
    tls.client_ca = Some(authority.certificate.clone());
    let mut at = ListenerConfig::at(([127, 0, 0, 1], 0).into());
    at.trusted_certificates = vec!["front.example.test".to_owned()];
    at.tls = Some(mode);
    let tls = ServerTls::load(&tls).expect("good files");
    let listener = Listener::bind(at, protocol, Some(tls))
        .await
        .expect("a free port");
    let address = listener.local_addr();
    let (trigger, shutdown) = Shutdown::new();
    let context = context.clone();
    tokio::spawn(async move {
        let _kept = trigger;
        let handler = move |accepted| serve(accepted, protocol, context.clone());
        listener.run(shutdown, handler).await;
    });
    address
}

/// Where a session of alice's ends up when the front end shows this: the trace at the front end and at the home.
async fn traces(
    authority: &Authority,
    mode: TlsMode,
    protocol: Protocol,
    shown: Option<&Certificate>,
) -> (String, String) {
    let (name, script, login) = match protocol {
        Protocol::Imap => ("imap", IMAP, "a LOGIN alice@example.test secret"),
        Protocol::Pop3 => ("pop3", POP3, "USER alice@example.test\r\nPASS secret"),
        // A client of mail says who it is first; nothing of ours is pipelined behind that.
        Protocol::Submission => (
            "submission",
            SUBMISSION,
            "AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=",
        ),
        _ => (
            "managesieve",
            SIEVE,
            "AUTHENTICATE \"PLAIN\" \"AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\"",
        ),
    };
    let last = Home::start(&[script]).await;
    let (files, _, _) = certificate();
    let at_home = context_with(&[("alice@example.test", &last.name)], &[]);
    let address = home(files.path(), authority, mode, protocol, &at_home).await;
    let tls = match mode {
        TlsMode::Implicit => "implicit",
        _ => "starttls",
    };
    let mut section = json!({
        "name": "store", "host": "localhost", "ca_file": files.path().join("cert.pem"),
        name: { "port": address.port(), "tls": tls },
    });
    if let Some(shown) = shown {
        section["client_cert"] = json!(shown.certificate);
        section["client_key"] = json!(shown.key);
    }
    let here = context_with(&[("alice@example.test", "store")], &[section]);
    let context = here.clone();
    let front = front(
        protocol,
        |_| {},
        move |accepted| serve(accepted, protocol, context.clone()),
    )
    .await;
    let mut client = Client::connect(front.address).await;
    if protocol == Protocol::Submission {
        client.line().await;
        client.until("EHLO client.test", "250 ").await;
    }
    client.send(&format!("{login}\r\n"));
    client.0.flush(SOON).await.expect("sent");
    let trace = |context: &ProxyContext| {
        let all = context.sessions.list(&SessionFilter::default(), 0, 2);
        let one = all.first().filter(|_| all.len() == 1);
        one.map(|session| session.about.trace.to_string())
    };
    let both = tokio::time::timeout(SOON, async {
        loop {
            if let (Some(here), Some(there)) = (trace(&here), trace(&at_home)) {
                return (here, there);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    both.await
        .unwrap_or_else(|_| panic!("{name} over {tls}: no session; {:?}", last.heard()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_believes_the_holder_of_a_trusted_certificate_in_every_protocol() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(folder.path()).expect("an authority");
    let ours = authority.server("front.example.test").expect("a certificate");
    let other = authority.server("other.example.test").expect("a certificate");
    for protocol in [
        Protocol::Imap,
        Protocol::Pop3,
        Protocol::ManageSieve,
        Protocol::Submission,
    ] {
        for mode in [TlsMode::StartTls, TlsMode::Implicit] {
            for (shown, believed) in [(Some(&ours), true), (Some(&other), false), (None, false)] {
                let (here, there) = traces(&authority, mode, protocol, shown).await;
                let shown = shown.map(|shown| &shown.certificate);
                assert_eq!(here == there, believed, "{protocol} {mode:?} {shown:?}");
            }
        }
    }
}
