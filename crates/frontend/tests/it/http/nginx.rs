//! nginx as the home and before the front end; curl as the client, in HTTP/1.1 and HTTP/2.

use super::app::App;
use super::{Setup, Web};
use net::TlsMode;
use std::path::Path;
use testkit::{Child, Scratch, free_port};

/// A running nginx, with a configuration of one `http` block.
struct Nginx {
    _child: Child,
    _scratch: Scratch,
    address: String,
}

impl Nginx {
    /// `server` is what stands in the server block; `PORT` and `DIR` are put in.
    fn start(server: &str) -> Self {
        let scratch = Scratch::new().expect("a scratch folder");
        let port = free_port().expect("a free port");
        let dir = scratch.path().display().to_string();
        let server = server.replace("PORT", &port.to_string()).replace("DIR", &dir);
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
            .join("\n");
        let config = format!(
            "daemon off;\nuser root;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log;\nworker_processes 1;\n\
             events {{ worker_connections 512; }}\nhttp {{\n{paths}\naccess_log off;\ndefault_type text/plain;\n\
             server {{ {server} }}\n}}\n"
        );
        scratch.write("nginx.conf", &config).expect("written");
        let file = scratch.join("nginx.conf").display().to_string();
        let program = Path::new("/usr/sbin/nginx");
        let arguments = ["-c", &file, "-p", &dir, "-e", "stderr"];
        let mut child = Child::spawn(program, &arguments, &scratch.join("out.log")).expect("nginx starts");
        child
            .wait_for_port(port, std::time::Duration::from_secs(60))
            .expect("nginx listens");
        Self {
            _child: child,
            _scratch: scratch,
            address: format!("127.0.0.1:{port}"),
        }
    }

    fn with_file(server: &str, octets: usize) -> Self {
        let nginx = Self::start(server);
        let text: Vec<u8> = (0..octets).map(|at| (at % 251) as u8).collect();
        std::fs::write(nginx._scratch.join("file"), text).expect("written");
        nginx
    }
}

async fn curl(web: &Web, arguments: &[&str], path: &str) -> (Vec<u8>, String) {
    let port = web.front.address.port();
    let ca = web.front.certificate().display().to_string();
    let output = tokio::process::Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "100",
            "-u",
            "alice@example.test:secret",
            "--cacert",
            &ca,
        ])
        .args(["-w", "%{stderr}%{http_code} %{http_version}"])
        .args(arguments)
        .arg(format!("https://localhost:{port}{path}"))
        .output()
        .await
        .expect("curl runs");
    (
        output.stdout,
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn over_tls() -> Setup {
    Setup {
        listener: |config| config.tls = Some(TlsMode::Implicit),
        ..Setup::default()
    }
}

#[tokio::test]
async fn nginx_as_the_home() {
    let server = "listen 127.0.0.1:PORT; root DIR; client_max_body_size 0;\n\
                  location = /who { return 200 \"$http_host $http_x_forwarded_for $http_x_forwarded_proto $remote_user\"; }\n\
                  location /put { proxy_pass http://127.0.0.1:PORT/taken; }\n\
                  location /taken { return 204; }";
    let size = 3_000_000;
    let nginx = Nginx::with_file(server, size);
    let web = over_tls().start(&nginx.address).await;
    let port = web.front.address.port();
    for (version, said) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let (file, end) = curl(&web, &[version], "/file").await;
        assert_eq!((file.len(), end.as_str()), (size, format!("200 {said}").as_str()));
        assert!(
            file.iter()
                .enumerate()
                .all(|(at, octet)| usize::from(*octet) == at % 251)
        );
        let (part, end) = curl(&web, &[version, "-r", "1000-1999"], "/file").await;
        assert_eq!(
            (part.len(), end.as_str()),
            (1_000, format!("206 {said}").as_str())
        );
        let (_, end) = curl(&web, &[version, "-I", "-o", "/dev/null"], "/file").await;
        assert_eq!(end, format!("200 {said}"));
        let (who, _) = curl(&web, &[version], "/who").await;
        let who = String::from_utf8_lossy(&who).into_owned();
        assert_eq!(
            who,
            format!("localhost:{port} 127.0.0.1 https alice@example.test")
        );
        let upload = ["-T", "/usr/sbin/nginx", version];
        assert_eq!(curl(&web, &upload, "/put").await.1, format!("204 {said}"));
        assert_eq!(
            curl(&web, &[version, "-o", "/dev/null"], "/none").await.1,
            format!("404 {said}")
        );
    }
}

#[tokio::test]
async fn nginx_before_the_front_end() {
    let app = App::start().await;
    let setup = Setup {
        listener: |config| {
            config.tls = Some(TlsMode::None);
            config.trusted_networks = vec!["127.0.0.1".parse().expect("a network")];
        },
        ..Setup::default()
    };
    let web = setup.start(&app.name).await;
    let server = format!(
        "listen 127.0.0.1:PORT; location / {{ proxy_pass http://{}; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For 203.0.113.9;\n\
         proxy_set_header X-Forwarded-Proto https; }}",
        web.front.address
    );
    let nginx = Nginx::start(&server);
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "--max-time", "100", "-u", "alice@example.test:secret"])
        // Passed on by nginx, which does not know it: two stories are no story.
        .args(["-H", "Forwarded: for=198.51.100.1"])
        .arg(format!("http://{}/one", nginx.address))
        .arg("--next")
        .args(["-sS", "--max-time", "100", "-u", "alice@example.test:secret"])
        .arg(format!("http://{}/two", nginx.address))
        .output()
        .await
        .expect("curl runs");
    assert_eq!(output.stdout, b"hellohello", "{output:?}");
    let seen = app.seen();
    assert_eq!(seen[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen[1].field("x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(seen[1].field("x-forwarded-proto"), Some("https"));
}
