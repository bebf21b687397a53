//! nginx as the home and before the front end; curl as the client, in HTTP/1.1 and HTTP/2.

use super::app::App;
use super::{Setup, Web};
use net::TlsMode;
use testkit::Nginx;

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
    let server = "root DIR; client_max_body_size 0;\n\
                  location = /who { return 200 \"$http_host $http_x_forwarded_for $http_x_forwarded_proto $remote_user\"; }\n\
                  location /put { proxy_pass http://127.0.0.1:PORT/taken; }\n\
                  location /taken { return 204; }";
    let size = 3_000_000;
    let nginx = Nginx::start(server).expect("nginx starts");
    let content: Vec<u8> = (0..=250).cycle().take(size).collect();
    nginx.put("file", &content).expect("written");
    let web = over_tls().start(&format!("127.0.0.1:{}", nginx.port())).await;
    let port = web.front.address.port();
    for (version, said) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let (file, end) = curl(&web, &[version], "/file").await;
        assert_eq!((file.len(), end.as_str()), (size, format!("200 {said}").as_str()));
        assert!(file == content, "octet for octet");
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
        "location / {{ proxy_pass http://{}; proxy_http_version 1.1;\n\
         proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For 203.0.113.9;\n\
         proxy_set_header X-Forwarded-Proto https; }}",
        web.front.address
    );
    let nginx = Nginx::start(&server).expect("nginx starts");
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "--max-time", "100", "-u", "alice@example.test:secret"])
        // Passed on by nginx, which does not know it: two stories are no story.
        .args(["-H", "Forwarded: for=198.51.100.1"])
        .arg(format!("http://127.0.0.1:{}/one", nginx.port()))
        .arg("--next")
        .args(["-sS", "--max-time", "100", "-u", "alice@example.test:secret"])
        .arg(format!("http://127.0.0.1:{}/two", nginx.port()))
        .output()
        .await
        .expect("curl runs");
    assert_eq!(output.stdout, b"hellohello", "{output:?}");
    let seen = app.seen();
    assert_eq!(seen[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen[1].field("x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(seen[1].field("x-forwarded-proto"), Some("https"));
}
