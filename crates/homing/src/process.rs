//! What the process asks of the system before it serves anybody.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Keeps passwords and mail out of core files, and asks for as many file descriptors as the system grants.
/// What the system refuses is logged and is no reason not to start.
pub(crate) fn prepare() {
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, no_core) {
        tracing::warn!(%error, "core files cannot be switched off");
    }
    // A core_pattern that is a pipe does not look at the limit.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays dumpable");
    }
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "the limit of open files stays as it was");
    }
}

/// What the allocator reads before anything of ours runs: how long it keeps memory that nobody uses, in milliseconds.
const KEPT_FOR: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");

/// Memory in pages of the usual size. Huge ones, which the system gives whole, doubled what a first synchronisation took
/// and added half to what an idle session takes; without them a login costs 3 % more.
pub(crate) fn use_small_pages() {
    // A kernel that has none refuses, and nothing is lost. It holds for a program that follows, too.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// For a server that holds accounts: what is not used goes back after 10 ms instead of a second, unless the environment says
/// otherwise. The allocator looks at its environment once, so the process begins anew, with everything else as it is: the
/// same id, the same files. A front end has little to give back. Comes back when nothing is to be done, and with an error
/// when the system refuses: then more memory is kept, and that is all.
pub(crate) fn keep_little_memory() -> std::io::Result<()> {
    let (name, value) = KEPT_FOR;
    if std::env::var_os(name).is_some() {
        return Ok(());
    }
    let mut own = std::env::args_os();
    let called = own.next().unwrap_or_default();
    let program = std::env::current_exe()?;
    Err(Command::new(program)
        .arg0(called)
        .args(own)
        .env(name, value)
        .exec())
}

/// Tells systemd, when it started us, that every listener is bound.
pub(crate) fn tell_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "systemd could not be told");
    }
}
