//! Child processes that are always reaped.

use anyhow::{Context, Result, bail};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit, setrlimit,
};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A server running as a child, in a process group of its own, with its output in a file.
///
/// It ends with its parent even when the parent is killed, because `setpriv --pdeathsig` asks the kernel to see to that.
#[derive(Debug)]
pub struct Child {
    name: String,
    child: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `program` with its output in `log`.
    pub fn spawn(program: &Path, args: &[&str], log: &Path) -> Result<Self> {
        Self::spawn_with(program, args, log, &[])
    }

    /// The same, with variables added to the environment.
    pub fn spawn_with(program: &Path, args: &[&str], log: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        let name = program
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args);
        command.envs(variables.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
        })
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many bytes of memory it holds now (VmRSS).
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .with_context(|| format!("{} has no VmRSS", self.name))?;
        Ok(kib.trim().parse::<u64>()? * 1024)
    }

    /// What it has printed so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until `ready` says so; fails at once when the process ends, and after `limit`.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let start = now();
        loop {
            if ready() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status} before it was ready:\n{}",
                    self.name,
                    tail(&self.output())
                );
            }
            if start.elapsed() > limit {
                bail!(
                    "{} was not ready within {limit:?}:\n{}",
                    self.name,
                    tail(&self.output())
                );
            }
            pause(Duration::from_millis(10));
        }
    }

    /// Waits until the port of 127.0.0.1 accepts a connection.
    pub fn wait_for_port(&mut self, port: u16, limit: Duration) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        self.wait_until(limit, || {
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
        })
    }

    /// SIGKILL, as a power loss would: nothing is flushed, nothing is said.
    pub fn kill(&mut self) -> Result<()> {
        self.signal_group(Signal::KILL);
        self.child.wait()?;
        Ok(())
    }

    /// Suspends the process: it accepts connections (the kernel does) and never answers.
    pub fn freeze(&self) {
        self.signal_group(Signal::STOP);
    }

    /// SIGHUP: a server reads its configuration again.
    pub fn hang_up(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::HUP);
        }
    }

    /// Undoes [`Child::freeze`].
    pub fn thaw(&self) {
        self.signal_group(Signal::CONT);
    }

    /// SIGTERM, and no more.
    pub fn terminate(&self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until it has ended by itself; the exit code. It is an error when it takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<i32>> {
        let start = now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            pause(Duration::from_millis(10));
        }
        bail!("{} has not ended within {limit:?}", self.name)
    }

    /// Lets it have so many more open files than it has now, and no more than that.
    pub fn limit_files(&self, more: u64) -> Result<()> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id()))?.count();
        let limit = Some(u64::try_from(open)? + more);
        let limit = Rlimit {
            current: limit,
            maximum: limit,
        };
        prlimit(self.pid(), Resource::Nofile, limit)?;
        Ok(())
    }

    /// SIGTERM, then SIGKILL after `limit`. Answers the exit code, if there was one.
    pub fn stop(&mut self, limit: Duration) -> Result<Option<i32>> {
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, Signal::TERM);
        }
        let start = now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            pause(Duration::from_millis(10));
        }
        self.kill()?;
        Ok(None)
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.stop(Duration::from_secs(3));
        }
        // Whatever it left behind in its group goes too.
        self.signal_group(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Lets this process, and those that it starts, have so many open files; an error when the system does not.
pub fn allow_open_files(count: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let wanted = Rlimit {
            current: Some(count),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, wanted).with_context(|| {
            format!("{count} open files are needed, and {limit:?} are allowed (ulimit -n)")
        })?;
    }
    Ok(())
}

/// Has every child that is started from now on inherit this descriptor, with its number.
pub fn inherited_by_children(descriptor: impl AsFd) -> Result<()> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    Ok(())
}

/// The last lines of a text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(30)..)
        .unwrap_or_default()
        .join("\n")
}

/// Whether a command of this name can be run.
#[must_use]
pub fn command_exists(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .chain([PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(name).is_file())
}

#[allow(clippy::disallowed_methods)] // Waiting for a real process takes real time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)] // Waiting for a real process takes real time.
pub(crate) fn pause(span: Duration) {
    std::thread::sleep(span);
}
