//! The mail server's process, from outside: started, asked, stopped, killed.

use super::talk::{Answer, Ask, Setup};
use crate::clock::pause;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Longer than any answer takes, a comparison of everything beside a slow directory included.
const PATIENCE: Duration = Duration::from_secs(180);

/// A running mail server. Ends with this process: its standard input closes then.
#[derive(Debug)]
pub(super) struct Home {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

/// How an edit ended.
#[derive(Debug)]
pub(super) enum Told {
    Answer(Answer),
    /// The server was killed before it answered. What it was about to replace, if it came so far.
    Nothing(Vec<String>),
}

impl Home {
    pub(super) fn start(setup: &Setup) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("soak-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the soak to hear.
            .process_group(0)
            .spawn()
            .context("the mail server")?;
        let input = child.stdin.take().context("its input")?;
        let output = child.stdout.take().context("its output")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut home = Self {
            child,
            input,
            answers,
        };
        home.write(&serde_json::to_string(setup)?)?;
        // It is there when it answers.
        home.ask(&Ask::Status)?;
        Ok(home)
    }

    fn write(&mut self, line: &str) -> Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes())?;
        Ok(self.input.flush()?)
    }

    pub(super) fn ask(&mut self, ask: &Ask) -> Result<Answer> {
        self.write(&serde_json::to_string(ask)?)
            .with_context(|| format!("{ask:?}: the mail server has ended"))?;
        loop {
            let line = self
                .answers
                .recv_timeout(PATIENCE)
                .with_context(|| format!("{ask:?}: the mail server says nothing"))?;
            match serde_json::from_str(&line)? {
                Answer::About { .. } => {}
                answer => return Ok(answer),
            }
        }
    }

    /// SIGKILL, in the middle of an edit when there is one; what was answered before the end.
    pub(super) fn kill(mut self, edit: Option<(&Ask, Duration)>) -> Result<Told> {
        if let Some((ask, after)) = edit {
            self.write(&serde_json::to_string(ask)?)?;
            pause(after);
        }
        self.child.kill()?;
        self.child.wait()?;
        // What it said is in the pipe, and then its end.
        let mut about = Vec::new();
        loop {
            match self.answers.recv_timeout(PATIENCE) {
                Ok(line) => match serde_json::from_str(&line)? {
                    Answer::About { replaced } => about.extend(replaced),
                    answer => return Ok(Told::Answer(answer)),
                },
                Err(RecvTimeoutError::Disconnected) => return Ok(Told::Nothing(about)),
                Err(RecvTimeoutError::Timeout) => bail!("the mail server's output stays open"),
            }
        }
    }

    /// In good order.
    pub(super) fn end(mut self) -> Result<()> {
        match self.ask(&Ask::End)? {
            Answer::Done { .. } => {}
            other => bail!("the mail server does not end well: {other:?}"),
        }
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the mail server ended with {status}");
        Ok(())
    }
}
