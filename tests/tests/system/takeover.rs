//! One front end takes over from another while clients come all the time: nobody is refused, reset or sent away.

use crate::local::{ALICE, home_entry, listeners, start_home};
use anyhow::{Context, Result, bail, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use system_tests::Ports;
use system_tests::steps::eventually;
use testkit::{Child, Homing, HomingBinary, ImapClient, Pop3Client, Scratch};

/// Much longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

/// What systemd does for a service with sockets: it binds them, and every process that it starts gets the same.
struct Site {
    home: Homing,
    scratch: Scratch,
    sockets: Vec<TcpListener>,
    imap: u16,
    pop3: u16,
}

impl Site {
    fn start() -> Result<Self> {
        let ports = Ports::free()?;
        let home = start_home(
            &listeners("", ports, "trusted_networks = [\"127.0.0.1\"]"),
            &[ALICE],
        )?;
        let scratch = Scratch::new()?;
        let sockets = vec![bound()?, bound()?];
        let port = |index: usize| -> Result<u16> { Ok(sockets[index].local_addr()?.port()) };
        let (imap, pop3) = (port(0)?, port(1)?);
        let map = scratch.write("map", &format!("{} home\n", ALICE.mail))?;
        let config = format!(
            "data_dir = {:?}\nserver_name = \"front.example.test\"\nlinger = 600\n\
             [imap_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n\
             [[imap_proxy.listener]]\naddress = \"127.0.0.1:{imap}\"\n\
             [pop3_proxy]\nuser_maps = [\"file\"]\nauthenticate = \"home\"\n\
             [[pop3_proxy.listener]]\naddress = \"127.0.0.1:{pop3}\"\n\
             [[user_map]]\nname = \"file\"\nkind = \"local-file\"\npath = {:?}\n{}",
            scratch.folder("data")?.display().to_string(),
            map.display().to_string(),
            home_entry("home", ports, "", "")
        );
        scratch.write("homing.toml", &config)?;
        Ok(Self {
            home,
            scratch,
            sockets,
            imap,
            pop3,
        })
    }

    fn config(&self) -> PathBuf {
        self.scratch.join("homing.toml")
    }

    /// A process with the sockets, once it serves.
    fn process(&self, name: &str) -> Result<Child> {
        let binary = HomingBinary::find()?;
        let [imap, pop3] = [&self.sockets[0], &self.sockets[1]].map(AsRawFd::as_raw_fd);
        // sd_listen_fds(3): from descriptor 3 on, for the process of this number.
        let script = format!(
            "exec 8<&{imap} 9<&{pop3} 3<&8 4<&9; LISTEN_FDS=2 LISTEN_PID=$$ exec {:?} serve --config {:?}",
            binary.path().display().to_string(),
            self.config().display().to_string()
        );
        let log = self.scratch.join(&format!("{name}.log"));
        let mut child = Child::spawn(Path::new("/bin/sh"), &["-c", &script], &log)?;
        child.wait_until(LONG, || {
            std::fs::read_to_string(&log).is_ok_and(|text| text.contains(" ready"))
        })?;
        Ok(child)
    }

    fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.scratch.join(name)).unwrap_or_default();
        format!(
            "first:\n{}\nsecond:\n{}\nhome:\n{}",
            read("first.log"),
            read("second.log"),
            self.home.log_tail()
        )
    }
}

/// A listening socket that children inherit.
fn bound() -> Result<TcpListener> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    testkit::inherited_by_children(&socket)?;
    Ok(socket)
}

/// Clients that log in and out again and again, each in a thread.
struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Crowd {
    fn gather(site: &Site) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (0..4).map(|number| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let (imap, pop3) = (site.imap, site.pop3);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    match number {
                        // A maildrop has one reader at a time.
                        0 => by_pop3(pop3),
                        _ => by_imap(imap),
                    }
                    .with_context(|| format!("client {number}"))?;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        let threads = threads.collect();
        Self {
            stop,
            served,
            threads,
        }
    }

    /// Waits until so many more have been served.
    fn served_more(&self, count: usize) -> Result<()> {
        let wanted = self.served.load(Ordering::Relaxed) + count;
        // Each login costs the home a hash: on a slow machine this takes its time.
        for _ in 0..6 {
            let served = eventually("clients are served", || {
                let over = self.threads.iter().any(JoinHandle::is_finished);
                Ok(over || self.served.load(Ordering::Relaxed) >= wanted)
            });
            if served.is_ok() {
                return Ok(());
            }
        }
        bail!("nobody is served any more")
    }

    fn go_home(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            match thread.join() {
                Ok(result) => result?,
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(())
    }
}

fn by_imap(port: u16) -> Result<()> {
    let mut client = ImapClient::connect(port)?;
    let done = client.login(ALICE.mail, ALICE.password)?;
    ensure!(done.starts_with("OK"), "{done}");
    client.ok("NOOP")?;
    client.ok("LOGOUT").map(drop)
}

fn by_pop3(port: u16) -> Result<()> {
    let mut client = Pop3Client::connect(port)?;
    let done = client.login(ALICE.mail, ALICE.password)?;
    ensure!(done.starts_with("+OK"), "{done}");
    let done = client.command("QUIT")?;
    ensure!(done.starts_with("+OK"), "{done}");
    ensure!(client.dialogue.is_closed(), "the connection stays open");
    Ok(())
}

#[test]
fn nobody_is_lost_when_one_process_follows_another() -> Result<()> {
    let site = Site::start()?;
    takeover(&site).with_context(|| site.logs())
}

fn takeover(site: &Site) -> Result<()> {
    let mut first = site.process("first")?;
    let crowd = Crowd::gather(site);
    crowd.served_more(4)?;
    let mut held = ImapClient::connect(site.imap)?;
    held.login(ALICE.mail, ALICE.password)?;
    held.ok("SELECT INBOX")?;
    // One that has not logged in yet.
    let mut early = ImapClient::connect(site.imap)?;
    early.ok("NOOP")?;

    let mut second = site.process("second")?;
    first.terminate();
    crowd.served_more(8)?;
    // Those who were there go on, also in the middle of nothing.
    held.ok("NOOP")?;
    let done = early.login(ALICE.mail, ALICE.password)?;
    ensure!(done.starts_with("OK"), "{done}");
    early.ok("SELECT INBOX")?;
    ensure!(first.is_running(), "it waits for those who are there");
    // The administrator speaks to the second by now.
    let config = site.config().display().to_string();
    let binary = HomingBinary::find()?;
    binary.run(&["service", "status", "--config", &config])?;

    held.ok("LOGOUT")?;
    early.ok("LOGOUT")?;
    let code = first.wait(LONG)?;
    ensure!(code == Some(0), "the first ended with {code:?}");
    crowd.served_more(8)?;
    crowd.go_home()?;
    binary.run(&["service", "status", "--config", &config])?;
    ensure!(second.is_running(), "the second serves on");
    Ok(())
}
