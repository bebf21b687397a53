//! nginx as a child process, with one server block.

use crate::process::Child;
use crate::scratch::{Scratch, free_port};
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    scratch: Scratch,
    port: u16,
}

impl Nginx {
    /// Starts one with these directives in its server block, in which `PORT` and `DIR` are replaced by its port on
    /// 127.0.0.1 and its folder.
    pub fn start(server: &str) -> Result<Self> {
        let scratch = Scratch::new()?;
        let port = free_port()?;
        let dir = scratch.path().display().to_string();
        let server = server.replace("PORT", &port.to_string()).replace("DIR", &dir);
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
            .join("\n");
        let config = format!(
            "daemon off;\nuser root;\npid {dir}/nginx.pid;\nerror_log {dir}/error.log;\nworker_processes 1;\n\
             events {{ worker_connections 512; }}\nhttp {{\n{temporary}\naccess_log off;\ndefault_type text/plain;\n\
             server {{\nlisten 127.0.0.1:{port};\n{server}\n}}\n}}\n"
        );
        scratch.write("nginx.conf", &config)?;
        let file = scratch.join("nginx.conf").display().to_string();
        let log = scratch.join("out.log");
        let args = ["-c", &file, "-p", &dir, "-e", "stderr"];
        let mut child = Child::spawn(Path::new("/usr/sbin/nginx"), &args, &log)?;
        child
            .wait_for_port(port, Duration::from_secs(60))
            .context("nginx does not start")?;
        Ok(Self { child, scratch, port })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Puts a file into its folder.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        std::fs::write(self.scratch.join(name), content).context("cannot write")
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()
    }
}
