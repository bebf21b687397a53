//! IMAP as Python's imaplib, mbsync, curl and mutt speak it.

use crate::server::{LOGIN, PASSWORD, Server, start};

const MESSAGE: &str = "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nFrom: Bob <bob@example.test>\r\n\
    To: alice@example.test\r\nSubject: Hello\r\nMessage-ID: <1@example.test>\r\n\r\nLine one\r\n.\r\nLine three\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn imaplib() {
    let server = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/imaplib_session.py");
    let (port, certificate) = (server.port.to_string(), server.path("tls.crt"));
    let printed = server
        .run("python3", &[script, &port, &certificate, LOGIN, PASSWORD])
        .await;
    assert_eq!(printed, "done\n");
}

fn url(server: &Server, rest: &str) -> String {
    format!("imap://localhost:{}/{rest}", server.port)
}

async fn curl(server: &Server, rest: &str, arguments: &[&str]) -> String {
    let (url, certificate) = (url(server, rest), server.path("tls.crt"));
    let user = format!("{LOGIN}:{PASSWORD}");
    let fixed = ["--silent", "--show-error", "--max-time", "30", "--user", &user];
    let tls = ["--ssl-reqd", "--cacert", &certificate, &url];
    server.run("curl", &[&fixed[..], &tls, arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_appends_and_reads() {
    let server = start().await;
    std::fs::write(server.path("message"), MESSAGE).expect("written");
    curl(&server, "INBOX", &["--upload-file", "message"]).await;
    assert_eq!(curl(&server, "INBOX;UID=1", &[]).await, MESSAGE);
    assert_eq!(
        curl(&server, "INBOX;MAILINDEX=1;SECTION=TEXT", &[]).await,
        "Line one\r\n.\r\nLine three\r\n"
    );
    assert_eq!(
        curl(&server, "INBOX?SUBJECT%20Hello", &[]).await,
        "* SEARCH 1\r\n"
    );
    assert!(curl(&server, "", &[]).await.contains("\"/\" INBOX"));
    let stored = curl(&server, "INBOX", &["--request", "STORE 1 +FLAGS (\\Deleted)"]).await;
    assert!(stored.contains("FETCH (UID 1 FLAGS ("), "{stored}");
}

/// Every message file of a Maildir folder, with its contents, sorted.
fn maildir(server: &Server, folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        let Ok(listing) = std::fs::read_dir(server.path(&format!("{folder}/{part}"))) else {
            continue;
        };
        for file in listing {
            let file = file.expect("a readable folder");
            let flags = file
                .file_name()
                .to_string_lossy()
                .rsplit_once(":2,")
                .map(|(_, flags)| flags.to_owned());
            let text = std::fs::read_to_string(file.path()).expect("a readable message");
            found.push((text, flags.unwrap_or_default()));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn mbsync_syncs_both_ways() {
    let server = start().await;
    let rc = format!(
        "IMAPAccount far\nHost localhost\nPort {}\nUser {LOGIN}\nPass \"{}\"\nSSLType STARTTLS\n\
         CertificateFile {}\n\nIMAPStore far\nAccount far\n\n\
         MaildirStore near\nPath {}/mail/\nInbox {}/mail/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSyncState *\n",
        server.port,
        PASSWORD.replace('"', "\\\""),
        server.path("tls.crt"),
        server.folder.path().display(),
        server.folder.path().display(),
    );
    std::fs::write(server.path("rc"), rc).expect("written");
    std::fs::create_dir(server.path("mail")).expect("made");
    let sync = async || server.run("mbsync", &["-c", "rc", "-a"]).await;

    // Down: what the server has comes here, with its mailboxes.
    std::fs::write(server.path("message"), MESSAGE).expect("written");
    curl(&server, "INBOX", &["--upload-file", "message"]).await;
    sync().await;
    let here = maildir(&server, "mail/INBOX");
    assert_eq!(here.len(), 1);
    assert!(
        here[0]
            .0
            .replace("\r\n", "\n")
            .contains("\n\nLine one\n.\nLine three\n"),
        "{here:?}"
    );
    assert!(std::fs::exists(server.path("mail/Sent/cur")).expect("readable"));

    // Up: a new message in a new mailbox, and a flag, go there.
    for part in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(server.path(&format!("mail/Lists/{part}"))).expect("made");
    }
    std::fs::write(server.path("mail/Lists/cur/1.a:2,F"), "Subject: up\n\nbody\n").expect("written");
    // curl appends with \Seen, so the message lies in cur.
    for file in std::fs::read_dir(server.path("mail/INBOX/cur")).expect("readable") {
        let file = file.expect("readable");
        let name = file.file_name().to_string_lossy().into_owned();
        let name = name.split(":2,").next().expect("a name").to_owned();
        std::fs::rename(file.path(), server.path(&format!("mail/INBOX/cur/{name}:2,RS"))).expect("moved");
    }
    sync().await;
    assert_eq!(curl(&server, "Lists;UID=1;SECTION=TEXT", &[]).await, "body\r\n");
    let flags = curl(&server, "INBOX", &["--request", "FETCH 1 FLAGS"]).await;
    assert!(
        flags.contains("\\Seen") && flags.contains("\\Answered"),
        "{flags}"
    );

    // Away: what was deleted there goes here.
    curl(
        &server,
        "INBOX",
        &["--request", "STORE 1 +FLAGS.SILENT (\\Deleted)"],
    )
    .await;
    curl(&server, "INBOX", &["--request", "EXPUNGE"]).await;
    sync().await;
    assert_eq!(maildir(&server, "mail/INBOX"), []);
    // Nothing is left to do.
    sync().await;
    assert_eq!(
        curl(&server, "Lists", &["--request", "SEARCH FLAGGED"]).await,
        "* SEARCH 1\r\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mutt_reads_flags_and_copies() {
    let server = start().await;
    std::fs::write(server.path("message"), MESSAGE).expect("written");
    for _ in 0..2 {
        curl(&server, "INBOX", &["--upload-file", "message"]).await;
    }
    let rc = format!(
        "set folder = \"imap://localhost:{}/\"\nset spoolfile = \"+INBOX\"\nset imap_user = \"{LOGIN}\"\n\
         set imap_pass = '{PASSWORD}'\nset ssl_force_tls = yes\nset ssl_ca_certificates_file = \"{}\"\n\
         set certificate_file = \"tls.crt\"\nset confirmappend = no\nset confirmcreate = no\nset delete = yes\n\
         set quit = yes\nset mail_check = 1\nset wait_key = no\n\
         push \"<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>=work<enter><first-entry><flag-message>\
         <last-entry><delete-message><quit>\"\n",
        server.port,
        server.path("tls.crt"),
    );
    std::fs::write(server.path("muttrc"), rc).expect("written");
    // A terminal of 80 by 24 that nobody types at, for half a minute at most.
    let terminal = "import fcntl, os, pty, signal, struct, sys, termios\n\
        pid, screen = pty.fork()\n\
        if pid == 0:\n    os.execvp('mutt', ['mutt', '-n', '-F', 'muttrc'])\n\
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))\n\
        signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))\n\
        signal.alarm(30)\n\
        try:\n    while shown := os.read(screen, 65536):\n        os.write(1, shown)\n\
        except OSError:\n    pass\n\
        sys.exit(abs(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))\n";
    server.run("python3", &["-c", terminal]).await;
    let counts = curl(&server, "work", &["--request", "STATUS work (MESSAGES)"]).await;
    assert!(counts.contains("(MESSAGES 2)"), "{counts}");
    assert_eq!(
        curl(&server, "INBOX", &["--request", "SEARCH FLAGGED UID 1"]).await,
        "* SEARCH 1\r\n"
    );
    assert_eq!(
        curl(&server, "INBOX", &["--request", "UID SEARCH ALL"]).await,
        "* SEARCH 1\r\n"
    );
}
