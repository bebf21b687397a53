//! Real clients.

use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::{Command, Stdio};

/// Runs a command with `input` on its standard input; its standard output, or an error with what it said.
pub fn run_with_input(program: &str, args: &[&str], input: &[u8]) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading its input is judged by its exit code.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        bail!("{program} {}: {}\n{said}", args.join(" "), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs curl, which gets the login on standard input so that no password stands on a command line.
pub fn curl(url: &str, login: &str, password: &str, args: &[&str]) -> Result<String> {
    let config = format!("user = \"{login}:{password}\"\n");
    let mut all = vec![
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--config",
        "-",
        url,
    ];
    all.extend_from_slice(args);
    run_with_input("curl", &all, config.as_bytes())
}
