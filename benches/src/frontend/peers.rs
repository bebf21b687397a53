//! The peers, each as its own documentation advises: nginx's mail proxy, Dovecot's proxy, HAProxy, Perdition and
//! Postfix, all before the same two homes.

use super::stage::{Front, Homes};
use crate::client::Dialect;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Certificate, Child, Dovecot, Postfix, Scratch, Slapd, free_port, run_with_input};

const START: Duration = Duration::from_secs(20);

/// nginx with two workers. Its responder is not counted.
pub(super) fn nginx(
    scratch: &Scratch,
    tls: &Certificate,
    responder: u16,
    homes: Homes,
) -> Result<(Child, Front)> {
    let (imap, imaps, smtp, http) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let user = if rustix::process::geteuid().is_root() {
        "user nobody nogroup;\n"
    } else {
        ""
    };
    let folder = scratch.path().display();
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_mail_module.so;\n{user}daemon off;\nworker_processes 2;\n\
         pid {folder}/nginx.pid;\nerror_log {folder}/nginx-error.log;\n\
         events {{ worker_connections 9000; }}\n\
         mail {{\n  auth_http 127.0.0.1:{responder}/auth;\n  ssl_protocols TLSv1.3;\n\
         ssl_certificate {certificate};\n  ssl_certificate_key {key};\n  timeout 1h;\n  proxy_timeout 1h;\n\
         server {{ listen 127.0.0.1:{imap}; protocol imap; }}\n\
         server {{ listen 127.0.0.1:{imaps} ssl; protocol imap; }}\n\
         server {{ listen 127.0.0.1:{smtp}; protocol smtp; smtp_auth none; xclient off; }}\n}}\n\
         http {{\n  access_log {folder}/nginx-access.log;\n\
         upstream home {{ server {home}:{home_http}; keepalive 64; }}\n\
         server {{\n    listen 127.0.0.1:{http};\n    keepalive_requests 1000000;\n    location / {{\n\
         proxy_pass http://home;\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
         proxy_set_header X-Forwarded-For $remote_addr;\n    }}\n  }}\n}}\n",
        home = Homes::NULL,
        home_http = homes.http,
        certificate = tls.certificate.display(),
        key = tls.key.display(),
    );
    let path = scratch.write("nginx.conf", &config)?.display().to_string();
    let log = scratch.join("nginx-output.log");
    let mut child = Child::spawn(Path::new("/usr/sbin/nginx"), &["-c", &path], &log)?;
    child.wait_for_port(smtp, START)?;
    let front = Front {
        name: "nginx",
        leader: child.id(),
        imap: Some(imap),
        imaps: Some(imaps),
        imap_real: Some(imap),
        smtp: Some((smtp, Dialect::Smtp)),
        http: Some(http),
    };
    Ok((child, front))
}

/// HAProxy with two threads. It relays: it knows no logins and no homes.
pub(super) fn haproxy(scratch: &Scratch, tls: &Certificate, homes: Homes) -> Result<(Child, Front)> {
    let (imap, imaps, real, http) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let pem = std::fs::read_to_string(&tls.certificate)? + &std::fs::read_to_string(&tls.key)?;
    let pem = scratch.write("haproxy.pem", &pem)?.display().to_string();
    let mut config = "global\n  maxconn 9000\n  nbthread 2\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
                      timeout client 1h\n  timeout server 1h\n"
        .to_owned();
    for (name, bind, home) in [
        ("imap", format!("127.0.0.1:{imap}"), Homes::NULL),
        (
            "imaps",
            format!("127.0.0.1:{imaps} ssl crt {pem} ssl-min-ver TLSv1.3"),
            Homes::NULL,
        ),
        ("real", format!("127.0.0.1:{real}"), Homes::REAL),
    ] {
        let _ = writeln!(
            config,
            "listen {name}\n  bind {bind}\n  server home {home}:{}",
            homes.imap
        );
    }
    let _ = writeln!(
        config,
        "listen web\n  mode http\n  bind 127.0.0.1:{http}\n  option forwardfor\n  server home {}:{}",
        Homes::NULL,
        homes.http
    );
    let path = scratch.write("haproxy.cfg", &config)?.display().to_string();
    let log = scratch.join("haproxy.log");
    let mut child = Child::spawn(Path::new("/usr/sbin/haproxy"), &["-db", "-f", &path], &log)?;
    child.wait_for_port(real, START)?;
    let front = Front {
        name: "haproxy",
        leader: child.id(),
        imap: Some(imap),
        imaps: Some(imaps),
        imap_real: Some(real),
        smtp: None,
        http: Some(http),
    };
    Ok((child, front))
}

/// Dovecot's proxy in its high-performance mode, with the directory as its passdb and its cache on.
pub(super) fn dovecot(
    scratch: &Scratch,
    tls: &Certificate,
    homes: Homes,
    slapd: &Slapd,
    users_dn: &str,
) -> Result<(Dovecot, Front)> {
    let imaps = free_port()?;
    let port = format!("%{{if;%s;eq;lmtp;{};{}}}", homes.lmtp, homes.imap);
    let ldap = format!(
        "uris = {}\ndn = {}\ndnpass = {}\nbase = {users_dn}\nscope = subtree\nauth_bind = no\n\
         pass_filter = (mail=%u)\npass_attrs = userPassword=password, mailHost=host, =proxy=y, =port={port}\n",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
    );
    let ldap = scratch.write("dovecot-ldap.conf.ext", &ldap)?;
    let mut settings = crate::stage::DOVECOT_SETTINGS.to_owned();
    let _ = write!(
        settings,
        "lmtp_proxy = yes\nauth_cache_size = 10 M\nssl = yes\nssl_min_protocol = TLSv1.2\nssl_cert = <{}\nssl_key = <{}\n\
         service imap-login {{\n  inet_listener imaps {{\n    port = {imaps}\n    ssl = yes\n  }}\n}}\n\
         passdb {{\n  driver = ldap\n  args = {}\n}}\n",
        tls.certificate.display(),
        tls.key.display(),
        ldap.display(),
    );
    let dovecot = Dovecot::start(&[], &settings).context("Dovecot's proxy does not start")?;
    let front = Front {
        name: "dovecot",
        leader: dovecot.child().id(),
        imap: Some(dovecot.imap),
        imaps: Some(imaps),
        imap_real: Some(dovecot.imap),
        smtp: Some((dovecot.lmtp, Dialect::Lmtp)),
        http: None,
    };
    Ok((dovecot, front))
}

/// Perdition, which forks for each session. Without TLS.
pub(super) fn perdition(
    scratch: &Scratch,
    homes: Homes,
    slapd: &Slapd,
    users_dn: &str,
) -> Result<(Child, Front)> {
    let imap = free_port()?;
    let map = format!(
        "3:{}/{users_dn}?mail,mailHost?sub?(mail=%s)?BINDNAME={},X-BINDPW={}",
        slapd.uri(),
        slapd.reader.dn.replace(',', "%2C"),
        slapd.reader.password,
    );
    let library = format!(
        "/usr/lib/{}-linux-gnu/libperditiondb_ldap.so.0",
        std::env::consts::ARCH
    );
    let (listen, home) = (imap.to_string(), homes.imap.to_string());
    let empty = scratch.write("perdition.conf", "")?.display().to_string();
    let args = [
        "--no_daemon",
        "--log_facility",
        "-",
        "--config_file",
        &empty,
        "--protocol",
        "IMAP4",
        "--bind_address",
        "127.0.0.1",
        "--listen_port",
        &listen,
        "--outgoing_port",
        &home,
        "--map_library",
        &library,
        "--map_library_opt",
        &map,
        "--pid_file",
        "",
    ];
    let log = scratch.join("perdition.log");
    let mut child = Child::spawn(Path::new("/usr/sbin/perdition.imap4"), &args, &log)?;
    child.wait_for_port(imap, START)?;
    let front = Front {
        name: "perdition",
        leader: child.id(),
        imap: Some(imap),
        imaps: None,
        imap_real: Some(imap),
        smtp: None,
        http: None,
    };
    Ok((child, front))
}

/// Postfix with LDAP transport maps. It queues each message on disk and delivers it then.
pub(super) fn postfix(
    scratch: &Scratch,
    homes: Homes,
    slapd: &Slapd,
    users_dn: &str,
    domain: &str,
) -> Result<(Postfix, Front)> {
    let map = format!(
        "server_host = {}\nversion = 3\nbind = yes\nbind_dn = {}\nbind_pw = {}\nsearch_base = {users_dn}\n\
         query_filter = (mail=%s)\nresult_attribute = mailHost\nresult_format = lmtp:inet:[%s]:{}\n",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
        homes.lmtp,
    );
    let map: PathBuf = scratch.write("transport.cf", &map)?;
    // proxymap reads it as an ordinary user.
    run_with_input("chmod", &["a+rx", &scratch.path().display().to_string()], b"")?;
    run_with_input("chmod", &["a+r", &map.display().to_string()], b"")?;
    let settings = format!(
        "virtual_mailbox_domains =\nrelay_domains = {domain}\ntransport_maps = proxy:ldap:{}\n\
         smtpd_client_connection_count_limit = 0\nlmtp_destination_concurrency_limit = 20\n",
        map.display()
    );
    let postfix = Postfix::start(&[], &settings).context("Postfix does not start")?;
    let front = Front {
        name: "postfix",
        leader: postfix.child().id(),
        imap: None,
        imaps: None,
        imap_real: None,
        smtp: Some((postfix.smtp, Dialect::Smtp)),
        http: None,
    };
    Ok((postfix, front))
}
