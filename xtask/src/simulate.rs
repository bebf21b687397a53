//! `cargo xtask simulate`: the simulation of synchronisation over as many schedules as somebody has time for.

use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a part of the run says at its end.
const HELD: &str = "schedules held: ";

/// Runs `seeds` schedules from `start` on, in the test profile; the last line says how many held.
pub(crate) fn run(root: &Path, seeds: u64, start: u64) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args([
            "test",
            "-p",
            "ldapsync",
            "--lib",
            "schedules_hold_",
            "--",
            "--nocapture",
        ])
        .env("HOMING_SIMULATE_SEEDS", seeds.to_string())
        .env("HOMING_SIMULATE_START", start.to_string())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo test cannot be run")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let held = held(&text);
    if !output.status.success() {
        print!("{text}");
        bail!("a schedule did not hold; it is printed above with its seed ({held} of {seeds} held)");
    }
    println!("{held} of {seeds} schedules held, from seed {start}");
    Ok(())
}

fn held(text: &str) -> u64 {
    // The runner may write its own words in front of a test's first line.
    let counts = text.lines().filter_map(|line| line.split_once(HELD));
    counts
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_are_added() {
        let text = "test a ... schedules held: 3\nok\nschedules held: 4\n";
        assert_eq!(super::held(text), 7);
    }
}
