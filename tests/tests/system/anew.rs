//! `homing serve` begins itself anew once, so that the allocator reads its environment: nothing of what the process was
//! given is lost, and where it cannot, it serves all the same.

use anyhow::{Context, Result, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testkit::{Child, HomingBinary, ImapClient, Scratch};

/// Much longer than anything here takes.
const LONG: Duration = Duration::from_secs(120);

/// What systemd gives a service: a bound socket, and one to tell that it is ready.
struct Site {
    scratch: Scratch,
    imap: TcpListener,
    notify: UnixDatagram,
}

impl Site {
    fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let imap = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        testkit::inherited_by_children(&imap)?;
        let notify = UnixDatagram::bind(scratch.join("notify"))?;
        notify.set_read_timeout(Some(LONG))?;
        let config = format!(
            "data_dir = {:?}\nserver_name = \"home.example.test\"\n[[imap.listener]]\naddress = \"127.0.0.1:{}\"\n",
            scratch.folder("data")?.display().to_string(),
            imap.local_addr()?.port()
        );
        scratch.write("homing.toml", &config)?;
        Ok(Self {
            scratch,
            imap,
            notify,
        })
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("homing.log")
    }

    /// Starts a shell that becomes the server: `command` is what it executes, after `before`.
    fn start(&self, before: &str, command: &str, variables: &[(&str, &str)]) -> Result<Child> {
        // sd_listen_fds(3): from descriptor 3 on, for the process of this number.
        let script = format!(
            "exec 8<&{}; exec 3<&8; {before}\nLISTEN_FDS=1 LISTEN_PID=$$ exec {command}",
            self.imap.as_raw_fd()
        );
        let (notify, loads) = (self.path("notify"), self.path("loads"));
        let mut all = vec![
            ("NOTIFY_SOCKET", notify.as_str()),
            // The system's loader notes each program that it starts, in a file for each process.
            ("LD_DEBUG", "files"),
            ("LD_DEBUG_OUTPUT", loads.as_str()),
            // The allocator says what it has read from its environment.
            ("MIMALLOC_VERBOSE", "1"),
        ];
        all.extend(variables);
        Child::spawn_with(Path::new("/bin/sh"), &["-c", &script], &self.log(), &all)
    }

    /// It has told that it is ready, serves the socket that it was given, and ends well.
    fn serves(&self, mut child: Child) -> Result<()> {
        let mut told = [0; 512];
        let length = self.notify.recv(&mut told).with_context(|| child.output())?;
        let told = String::from_utf8_lossy(&told[..length]);
        ensure!(told.lines().any(|line| line == "READY=1"), "{told}");
        let mut client = ImapClient::connect(self.imap.local_addr()?.port())?;
        client.ok("NOOP")?;
        client.ok("LOGOUT")?;
        let code = child.stop(LONG)?;
        ensure!(code == Some(0), "ended with {code:?}: {}", child.output());
        Ok(())
    }

    /// How often this program was started in the process, and by no other.
    fn starts(&self, process: u32, program: &str) -> Result<usize> {
        let mut count = 0;
        for file in std::fs::read_dir(self.scratch.path())? {
            let path = file?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some(of) = name.as_deref().and_then(|name| name.strip_prefix("loads.")) else {
                continue;
            };
            let wanted = format!("initialize program: {program}");
            let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            let here = text.lines().filter(|line| line.ends_with(&wanted)).count();
            ensure!(
                here == 0 || of == process.to_string(),
                "{program} runs as process {of}"
            );
            count += here;
        }
        Ok(count)
    }

    /// What the allocator that serves keeps free memory for.
    fn kept_for(&self) -> Result<Option<String>> {
        let log = std::fs::read_to_string(self.log())?;
        let mut values = log
            .lines()
            .filter_map(|line| line.split_once("option 'purge_delay': "));
        Ok(values.next_back().map(|(_, value)| value.trim().to_owned()))
    }
}

fn binary() -> Result<String> {
    Ok(HomingBinary::find()?.path().display().to_string())
}

#[test]
fn a_server_with_accounts_begins_itself_anew_once() -> Result<()> {
    let (site, binary) = (Site::new()?, binary()?);
    let command = format!("{binary:?} serve --config {:?}", site.path("homing.toml"));
    let child = site.start("", &command, &[])?;
    let process = child.id();
    site.serves(child)?;
    let starts = site.starts(process, &binary)?;
    ensure!(starts == 2, "{starts} starts");
    let kept = site.kept_for()?;
    ensure!(kept.as_deref() == Some("10"), "{kept:?}");
    Ok(())
}

#[test]
fn what_the_environment_says_of_memory_stands() -> Result<()> {
    let (site, binary) = (Site::new()?, binary()?);
    let command = format!("{binary:?} serve --config {:?}", site.path("homing.toml"));
    let child = site.start("", &command, &[("MIMALLOC_PURGE_DELAY", "700")])?;
    let process = child.id();
    site.serves(child)?;
    let starts = site.starts(process, &binary)?;
    ensure!(starts == 1, "{starts} starts");
    let kept = site.kept_for()?;
    ensure!(kept.as_deref() == Some("700"), "{kept:?}");
    Ok(())
}

/// As when a new version takes the place of the file at this moment.
#[test]
fn a_server_whose_file_is_gone_serves_all_the_same() -> Result<()> {
    let site = Site::new()?;
    let copy = site.path("homing");
    std::fs::copy(binary()?, &copy)?;
    let before = format!("exec 9<{copy:?}; rm {copy:?}");
    let command = format!("/proc/self/fd/9 serve --config {:?}", site.path("homing.toml"));
    site.serves(site.start(&before, &command, &[])?)?;
    let log = std::fs::read_to_string(site.log())?;
    ensure!(log.contains("cannot begin anew"), "{log}");
    Ok(())
}

#[test]
fn a_configuration_that_comes_through_a_pipe_is_read_once() -> Result<()> {
    let (site, binary) = (Site::new()?, binary()?);
    let (pipe, file) = (site.path("pipe"), site.path("homing.toml"));
    let before = format!("mkfifo {pipe:?}; cat {file:?} > {pipe:?} &");
    let command = format!("{binary:?} serve --config {pipe:?}");
    let child = site.start(&before, &command, &[])?;
    let process = child.id();
    site.serves(child)?;
    let starts = site.starts(process, &binary)?;
    ensure!(starts == 1, "{starts} starts");
    Ok(())
}
