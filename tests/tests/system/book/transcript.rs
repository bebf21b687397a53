//! Types what a chapter of the book shows, and compares what is printed with what the chapter says.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command that only looks may take until it sees what the chapter says.
const PATIENCE: Duration = Duration::from_secs(60);
/// Commands that only look: what they are to show may still be under way.
const LOOKS: [&str; 8] = [
    "homing account list",
    "homing account show",
    "homing directory search",
    "homing sync conflicts",
    "homing sync explain",
    "homing sync pending",
    "homing sync quarantine",
    "homing sync status",
];

/// One command with what it prints.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    /// As it is typed, with the lines of a here-document.
    pub(crate) command: String,
    /// What is printed; a line `...` stands for any lines.
    pub(crate) printed: Vec<String>,
}

/// The commands of each heading of a chapter, in their order.
pub(crate) fn chapter(name: &str) -> Result<BTreeMap<String, Vec<Typed>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/book")
        .join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut found: BTreeMap<String, Vec<Typed>> = BTreeMap::new();
    let (mut heading, mut inside, mut document) = (String::new(), false, false);
    // A block that begins with something else is a file, not a terminal.
    let mut terminal = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
            terminal = false;
        } else if !inside {
            if let Some(title) = line
                .trim_start_matches('#')
                .strip_prefix(' ')
                .filter(|_| line.starts_with('#'))
            {
                heading = title.replace('`', "");
            }
        } else if let Some(command) = line.strip_prefix("$ ") {
            (document, terminal) = (command.contains("<<END"), true);
            found.entry(heading.clone()).or_default().push(Typed {
                command: command.to_owned(),
                printed: Vec::new(),
            });
        } else if let Some(last) = found
            .get_mut(&heading)
            .and_then(|all| all.last_mut())
            .filter(|_| terminal)
        {
            if document {
                last.command.push('\n');
                last.command.push_str(line);
                document = line != "END";
            } else {
                last.printed.push(line.to_owned());
            }
        }
    }
    Ok(found)
}

/// Somebody at a terminal of the server.
pub(crate) struct Terminal {
    homing: String,
    /// What the chapter calls by a number that differs each time, and what it is this time.
    names: BTreeMap<String, String>,
    /// Everything that was typed and printed, for a report.
    pub(crate) seen: String,
}

impl Terminal {
    /// `homing` stands for this program with this configuration.
    pub(crate) fn new(binary: &Path, config: &Path) -> Self {
        Self {
            homing: format!(
                "homing() {{ {:?} \"$@\" --config {:?}; }}\n",
                binary.display().to_string(),
                config.display().to_string()
            ),
            names: BTreeMap::new(),
            seen: String::new(),
        }
    }

    /// Types it, and compares.
    pub(crate) fn type_in(&mut self, typed: &Typed) -> Result<()> {
        let mut command = typed.command.clone();
        for (written, real) in &self.names {
            command = command.replace(written, real);
        }
        let looks = LOOKS.iter().any(|look| command.starts_with(look));
        let start = now();
        loop {
            let printed = self.run(&command)?;
            if let Some(names) = matched(&typed.printed, &printed) {
                self.names.extend(names);
                self.seen.push_str(&format!("$ {command}\n{printed}"));
                return Ok(());
            }
            if !looks || start.elapsed() > PATIENCE {
                let seen = &self.seen;
                bail!(
                    "{seen}\n--- then\n$ {command}\n{printed}--- where the chapter has\n{}",
                    typed.printed.join("\n")
                );
            }
            pause(Duration::from_millis(100));
        }
    }

    /// What a command prints, on both outputs.
    pub(crate) fn run(&self, command: &str) -> Result<String> {
        let script = format!("{}{{ {command}\n}} 2>&1", self.homing);
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .stdin(std::process::Stdio::null())
            .output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Whether what was printed is what the chapter says; with the numbers that differ each time. Lines may come in another
/// order: a server tells its entries in an order of its own.
fn matched(written: &[String], printed: &str) -> Option<Vec<(String, String)>> {
    let printed = printed.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut printed: Vec<&str> = printed.collect();
    let written = written
        .iter()
        .map(|line| line.trim_end())
        .filter(|line| !line.is_empty());
    let mut written: Vec<&str> = written.collect();
    if !written.contains(&"...") {
        for side in [&mut written, &mut printed] {
            side.sort_by_cached_key(|line| {
                let words = words(line).into_iter();
                words
                    .map(|word| if differs_each_time(word) { "#" } else { word })
                    .collect::<String>()
            });
        }
    }
    let mut names = Vec::new();
    lines(&written, &printed, &mut names).then_some(names)
}

fn lines(written: &[&str], printed: &[&str], names: &mut Vec<(String, String)>) -> bool {
    match written {
        [] => printed.is_empty(),
        ["..."] => true,
        ["...", rest @ ..] => (0..=printed.len()).any(|from| {
            let mut found = Vec::new();
            let fits = lines(rest, &printed[from..], &mut found);
            if fits {
                names.append(&mut found);
            }
            fits
        }),
        [first, rest @ ..] => match printed {
            [line, others @ ..] => line_fits(first, line, names) && lines(rest, others, names),
            [] => false,
        },
    }
}

/// Equal but for UUIDs, moments, hashes and long numbers, which have to stand in the same places.
fn line_fits(written: &str, printed: &str, names: &mut Vec<(String, String)>) -> bool {
    let (written, printed) = (words(written), words(printed));
    if written.len() != printed.len() {
        return false;
    }
    let mut found = Vec::new();
    for (one, other) in written.iter().zip(&printed) {
        if one == other {
            continue;
        }
        if !(differs_each_time(one) && differs_each_time(other) && kind(one) == kind(other)) {
            return false;
        }
        found.push(((*one).to_owned(), (*other).to_owned()));
    }
    names.append(&mut found);
    true
}

/// Words, and what stands between them. A moment is one word, and so is a UUID with a colon after it.
fn words(line: &str) -> Vec<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| inside(c) == inside(first);
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        let word = part.trim_end_matches(':');
        parts.extend(
            [word, &part[word.len()..]]
                .into_iter()
                .filter(|part| !part.is_empty()),
        );
        rest = after;
    }
    parts
}

fn differs_each_time(word: &str) -> bool {
    kind(word) != Kind::Word
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Uuid,
    Moment,
    Hash,
    Millis,
}

fn kind(word: &str) -> Kind {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let groups: Vec<usize> = word.split('-').map(str::len).collect();
    if groups == [8, 4, 4, 4, 12] && word.split('-').all(hex) {
        Kind::Uuid
    } else if word.len() == 20 && word.ends_with('Z') && word.contains('T') {
        Kind::Moment
    } else if word.len() == 16 && hex(word) {
        Kind::Hash
    } else if word.len() == 13 && word.bytes().all(|byte| byte.is_ascii_digit()) {
        Kind::Millis
    } else {
        Kind::Word
    }
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods)] // Real servers take real time.
fn pause(span: Duration) {
    std::thread::sleep(span);
}

#[test]
fn what_differs_is_noticed_and_what_changes_each_time_is_not() -> Result<()> {
    let written = [
        "a 96f416a24fca5684".to_owned(),
        "...".to_owned(),
        "end".to_owned(),
    ];
    let found = matched(&written, "a 0123456789abcdef\nx\ny\nend\n").context("the same")?;
    ensure!(found == [("96f416a24fca5684".to_owned(), "0123456789abcdef".to_owned())]);
    ensure!(matched(&written, "b 0123456789abcdef\nend\n").is_none());
    ensure!(matched(&written, "a 0123456789abcdef\nx\n").is_none());
    let uuid = |first: &str| format!("aside {first}430a6e-7ab9-1041-8510-fba3648747be: why");
    let written = [uuid("f1"), "b".to_owned()];
    ensure!(matched(&written, &format!("b\n{}\n", uuid("00"))).is_some_and(|names| names.len() == 1));
    ensure!(matched(&["name: Alice".to_owned()], "name: Bob\n").is_none());
    ensure!(matched(&[], "something\n").is_none());
    Ok(())
}
