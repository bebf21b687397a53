//! A disk that commits more slowly than the one there is, for one program.

use crate::process::command_exists;
use crate::scratch::Scratch;
use anyhow::{Context, Result, ensure};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A program that is `program`, and whose every `fsync` and `fdatasync` takes so much longer. No other call of it is
/// touched: strace has the kernel stop these two alone, and takes no time from the processor while it waits.
pub(crate) fn slow_commits(program: &Path, scratch: &Scratch, longer: Duration) -> Result<PathBuf> {
    ensure!(command_exists("strace"), "strace is missing: install its package");
    let name = program.file_name().context("a program has a name")?;
    // With -D the process is the program's own, so that signals and processors are given to the right one.
    let script = format!(
        "#!/bin/sh\nexec strace -D -f --seccomp-bpf -qq -o /dev/null -e signal=none -e trace=fsync,fdatasync \
         -e inject=fsync,fdatasync:delay_exit={} {:?} \"$@\"\n",
        longer.as_micros(),
        program.display().to_string(),
    );
    let path = scratch.write(&format!("slow-{}", name.display()), &script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
