//! A user map of a million lines.

use directory::Table;
use std::fmt::Write;

/// Memory of this process that no other process shares, in octets.
fn private_memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux tells");
    let line = text
        .lines()
        .find(|line| line.starts_with("Private_Dirty:"))
        .expect("the line");
    let kib: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number");
    kib * 1024
}

/// The time is the release build's to keep; it is printed. Memory is the same in every build.
#[test]
fn a_million_lines_take_at_most_256_octets_each() {
    const LINES: usize = 1_000_000;
    let mut text = String::new();
    for number in 0..LINES {
        writeln!(
            text,
            "user.number{number:07}@example.test store{}.example.test",
            number % 50
        )
        .expect("written");
    }
    let before = private_memory();
    #[allow(clippy::disallowed_methods)] // Printed, not judged.
    let start = std::time::Instant::now();
    let table = Table::parse(text.as_bytes()).expect("a good file");
    println!("{LINES} lines in {:?}", start.elapsed());
    let each = private_memory().saturating_sub(before) / LINES;
    println!("{each} octets a line");
    assert_eq!(table.len(), LINES);
    assert!(each <= 256, "{each} octets a line");
}
