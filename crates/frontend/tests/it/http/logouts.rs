//! A logout is one at every front end with the same keys.

use super::app::App;
use super::form::{encoded, log_in, post, value_of};
use super::{ALICE, OnePassword, Setup, Web, read_until, until};
use model::{AuthOutcome, AuthRequest, Authenticator, BoxFuture};
use net::{SessionEnd, SessionFilter};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A front end with the keys of this one, which tells these of logouts.
async fn beside(one: &Web, told: &[&Web], home: &str) -> Web {
    let mut setup = Setup {
        keys: Some(one.keys.clone()),
        ..Setup::default()
    };
    setup.config.front_ends = told.iter().map(|web| web.front.address.to_string()).collect();
    setup.start(home).await
}

/// Logs out at the page, as a browser does.
async fn log_out(web: &Web, ticket: &str) {
    let ask = web.anonymous("/.homing/logout", ticket).await;
    assert!(ask.body.contains(ALICE), "{ask:?}");
    let body = encoded(&[("token", &value_of(&ask.body, "token"))]);
    let done = post(web, "/.homing/logout", ticket, &body).await;
    assert!(
        done.status == 200 && done.body.contains("You are logged out."),
        "{done:?}"
    );
}

async fn status(web: &Web, ticket: &str) -> u16 {
    web.anonymous("/", ticket).await.status
}

#[tokio::test]
async fn a_copy_of_the_cookie_is_worth_nothing_at_the_other_front_ends() {
    let app = App::start().await;
    let two = super::web(&app.name).await;
    let three = beside(&two, &[], &app.name).await;
    let one = beside(&two, &[&two, &three], &app.name).await;
    let ticket = log_in(&one).await;
    let other = log_in(&one).await;
    for web in [&one, &two, &three] {
        assert_eq!(
            (status(web, &ticket).await, status(web, &other).await),
            (200, 200)
        );
    }
    // What the thief is about to read ends as well.
    let mut held = two.connect().await;
    let request = format!("GET /held HTTP/1.1\r\nHost: a\r\n{ticket}\r\n");
    held.write_all(request.as_bytes()).await.expect("written");
    until(|| app.seen().iter().any(|seen| seen.target == "/held")).await;
    log_out(&one, &ticket).await;
    for web in [&one, &two, &three] {
        assert_eq!(status(web, &ticket).await, 401, "as soon as the page says so");
        assert_eq!(status(web, &other).await, 200, "the other login is not meant");
    }
    assert!(
        read_until(&mut held, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 401 ")
    );
    until(|| two.context.sessions.len() == 1).await;
}

#[tokio::test]
async fn who_was_away_hears_of_it_before_it_takes_a_cookie() {
    let app = App::start().await;
    let one = super::web(&app.name).await;
    let ticket = log_in(&one).await;
    let other = log_in(&one).await;
    log_out(&one, &ticket).await;
    let two = beside(&one, &[&one], &app.name).await;
    assert_eq!(
        (status(&two, &ticket).await, status(&two, &other).await),
        (401, 200)
    );
    // And one that tells another is told in return.
    log_out(&two, &other).await;
    assert_eq!(status(&one, &other).await, 401);
    // Restarted alone, it knows what it knew.
    let again = Setup {
        keys: Some(one.keys.clone()),
        logouts: Some(one.logouts.clone()),
        ..Setup::default()
    };
    let again = again.start(&app.name).await;
    assert_eq!(
        (status(&again, &ticket).await, status(&again, &other).await),
        (401, 401)
    );
}

#[tokio::test]
async fn a_front_end_that_is_away_is_told_when_it_is_back() {
    let app = App::start().await;
    let seed = super::web(&app.name).await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = gone.local_addr().expect("bound");
    drop(gone);
    let mut setup = Setup {
        keys: Some(seed.keys.clone()),
        ..Setup::default()
    };
    setup.config.front_ends = vec![address.to_string()];
    let one = setup.start(&app.name).await;
    let ticket = log_in(&one).await;
    // That nobody waits for one that is known to be away is a test of its own, on virtual time.
    assert_eq!(status(&one, &ticket).await, 200);
    log_out(&one, &ticket).await;
    // What comes up there is told, by somebody who passes the word on.
    let back = tokio::net::TcpListener::bind(address).await.expect("still free");
    let target = seed.front.address;
    tokio::spawn(async move {
        while let Ok((mut from, _)) = back.accept().await {
            tokio::spawn(async move {
                let mut to = tokio::net::TcpStream::connect(target).await.expect("it listens");
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    let told = tokio::time::timeout(super::SOON, async {
        while status(&seed, &ticket).await != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    told.await.expect("told in time");
}

/// While an upgrade hands over, the processes before and after it have the same folder, and nobody tells the one that
/// no longer listens.
#[tokio::test]
async fn two_processes_with_one_folder_know_of_each_others_logouts() {
    let app = App::start().await;
    let before = super::web(&app.name).await;
    let after = Setup {
        keys: Some(before.keys.clone()),
        logouts: Some(before.logouts.clone()),
        ..Setup::default()
    };
    let after = after.start(&app.name).await;
    for (round, here, there) in [(1, &after, &before), (2, &before, &after)] {
        let ticket = log_in(here).await;
        assert_eq!(status(there, &ticket).await, 200);
        let mut held = there.connect().await;
        let request = format!("GET /held HTTP/1.1\r\nHost: a\r\n{ticket}\r\n");
        held.write_all(request.as_bytes()).await.expect("written");
        let seen = || app.seen().iter().filter(|seen| seen.target == "/held").count();
        until(|| seen() == round).await;
        log_out(here, &ticket).await;
        // Nobody asks the other one anything, and yet what runs there ends.
        let ended = tokio::time::timeout(super::SOON, read_until(&mut held, "\r\n\r\n")).await;
        assert!(ended.expect("it ends").starts_with("HTTP/1.1 401 "));
        assert_eq!(status(there, &ticket).await, 401);
        assert_eq!(status(here, &ticket).await, 401);
    }
}

/// Says yes as soon as it may.
struct Slow(tokio::sync::watch::Receiver<bool>);

impl Authenticator for Slow {
    fn check<'a>(&'a self, request: &'a AuthRequest) -> BoxFuture<'a, AuthOutcome> {
        Box::pin(async move {
            let mut may = self.0.clone();
            let _ = may.wait_for(|may| *may).await;
            OnePassword.check(request).await
        })
    }
}

#[tokio::test]
async fn a_login_that_is_still_checked_when_the_logout_comes_is_not_served() {
    let app = App::start().await;
    let seed = super::web(&app.name).await;
    let (may, waits) = tokio::sync::watch::channel(false);
    let two = Setup {
        keys: Some(seed.keys.clone()),
        authenticator: Arc::new(Slow(waits.clone())),
        ..Setup::default()
    };
    let two = two.start(&app.name).await;
    let one = beside(&seed, &[&two], &app.name).await;
    let ticket = log_in(&one).await;
    let mut held = two.connect().await;
    let request = format!("GET /held HTTP/1.1\r\nHost: a\r\n{ticket}\r\n");
    held.write_all(request.as_bytes()).await.expect("written");
    until(|| may.receiver_count() > 2).await;
    log_out(&one, &ticket).await;
    may.send_replace(true);
    let answer = read_until(&mut held, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(app.seen().iter().all(|seen| seen.target != "/held"));
    until(|| two.context.sessions.is_empty()).await;
}

#[tokio::test]
async fn who_is_kicked_is_kicked_everywhere() {
    let app = App::start().await;
    let two = super::web(&app.name).await;
    let one = beside(&two, &[&two], &app.name).await;
    let ticket = log_in(&one).await;
    assert_eq!(
        (status(&one, &ticket).await, status(&two, &ticket).await),
        (200, 200)
    );
    let kicked = one
        .context
        .sessions
        .end(&SessionFilter::default(), SessionEnd::Kicked);
    assert_eq!(kicked, 1);
    until(|| two.context.sessions.is_empty()).await;
    assert_eq!(
        (status(&one, &ticket).await, status(&two, &ticket).await),
        (401, 401)
    );
}

#[tokio::test]
async fn strangers_tell_nothing_and_learn_nothing() {
    let app = App::start().await;
    let one = super::web(&app.name).await;
    let ticket = log_in(&one).await;
    log_out(&one, &ticket).await;
    let far = "Authorization: Homing 99999999999.AAAA\r\n";
    for fields in [
        "",
        "Authorization: Homing\r\n",
        "Authorization: Homing 1.x\r\n",
        far,
    ] {
        let refused = post(&one, "/.homing/logouts", fields, "AAAA").await;
        assert_eq!(refused.status, 404, "{fields}");
    }
    // A front end with keys of its own speaks to the wrong ones, and its logins are its own.
    let mut setup = Setup::default();
    setup.config.front_ends = vec![one.front.address.to_string()];
    let stranger = setup.start(&app.name).await;
    let own = log_in(&stranger).await;
    assert_eq!(status(&stranger, &own).await, 200);
    log_out(&stranger, &own).await;
    assert_eq!(status(&stranger, &own).await, 401);
    assert_eq!(
        std::fs::read_to_string(&one.logouts)
            .expect("one")
            .lines()
            .count(),
        1
    );
    // A connection that only sends a head does not hold the others up.
    let mut slow = one.connect().await;
    slow.write_all(b"POST /.homing/logouts HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n")
        .await
        .expect("written");
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.expect("answered");
    assert_eq!(&answer, b"HTTP/1.1 404", "before a byte of the body");
}
