//! The product itself as a child process.

use crate::process::Child;
use crate::scratch::Scratch;
use anyhow::{Context, Result, ensure};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the binary is.
#[derive(Debug, Clone)]
pub struct HomingBinary(PathBuf);

impl HomingBinary {
    /// The binary that `HOMING_BIN` names, else the one that was built beside the running test.
    pub fn find() -> Result<Self> {
        if let Some(path) = std::env::var_os("HOMING_BIN") {
            let path = PathBuf::from(path);
            ensure!(path.is_file(), "HOMING_BIN={} is no file", path.display());
            return Ok(Self(path));
        }
        let test = std::env::current_exe()?;
        let found = test
            .ancestors()
            .skip(1)
            .take(3)
            .map(|folder| folder.join("homing"))
            .find(|path| path.is_file());
        found
            .map(Self)
            .context("the homing binary is not built: run cargo build -p homing, or set HOMING_BIN")
    }

    /// The same program on a disk whose commits take so much longer. The folder must outlive it.
    pub fn with_slow_commits(&self, scratch: &Scratch, longer: Duration) -> Result<Self> {
        crate::slow_disk::slow_commits(&self.0, scratch, longer).map(Self)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs a command that must succeed; what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with_input(args, b"")
    }

    /// The same with something on standard input.
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Result<String> {
        crate::run_with_input(&self.0.display().to_string(), args, input)
    }

    /// Runs a command and answers its exit code, standard output and standard error.
    pub fn output(&self, args: &[&str]) -> Result<(Option<i32>, String, String)> {
        let output = std::process::Command::new(&self.0)
            .args(args)
            .stdin(std::process::Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }
}

/// A running `homing serve`.
#[derive(Debug)]
pub struct Homing {
    child: Option<Child>,
    binary: HomingBinary,
    scratch: Scratch,
}

impl Homing {
    /// Writes the configuration and starts the server; `data_dir` is put in by this function.
    pub fn start(binary: &HomingBinary, config: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let text = format!(
            "data_dir = {:?}\n{config}",
            scratch.join("data").display().to_string()
        );
        scratch.write("homing.toml", &text)?;
        let mut homing = Self {
            child: None,
            binary: binary.clone(),
            scratch,
        };
        homing.restart()?;
        Ok(homing)
    }

    /// Starts it (again) with the same configuration and data, and waits until it is ready.
    pub fn restart(&mut self) -> Result<()> {
        self.child = None;
        // The admin socket is bound last, when every other service listens.
        let socket = self.scratch.join("data/admin.sock");
        let config = self.config().display().to_string();
        let mut child = Child::spawn(self.binary.path(), &["serve", "--config", &config], &self.log())?;
        child.wait_until(Duration::from_secs(20), || UnixStream::connect(&socket).is_ok())?;
        self.child = Some(child);
        Ok(())
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.scratch.join("homing.toml")
    }

    /// The log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.scratch.join("homing.log")
    }

    /// The last lines that it has logged, for a report of what went wrong.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(12)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// The scratch folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The running process, for freezing it.
    #[must_use]
    pub fn child(&self) -> Option<&Child> {
        self.child.as_ref()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill(),
            None => Ok(()),
        }
    }

    /// SIGTERM; the exit code.
    pub fn stop(&mut self) -> Result<Option<i32>> {
        match self.child.take() {
            Some(mut child) => child.stop(Duration::from_secs(20)),
            None => Ok(None),
        }
    }

    /// A command to this server that must succeed; what it printed.
    pub fn command(&self, args: &[&str]) -> Result<String> {
        self.command_with_input(args, b"")
    }

    /// The same with something on standard input.
    pub fn command_with_input(&self, args: &[&str], input: &[u8]) -> Result<String> {
        let config = self.config().display().to_string();
        let mut all = args.to_vec();
        all.extend_from_slice(&["--config", &config]);
        self.binary.run_with_input(&all, input)
    }
}
