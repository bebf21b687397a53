//! The file of logouts: a line each, added at the end, and written anew when most lines are of no use.
//!
//! While an upgrade hands over, two processes have the same file. Each reads what the other has added; whoever writes
//! the file anew reads what came meanwhile, and whoever has written into the one that was replaced writes it again.

use super::Logout;
use crate::durable;
use std::fmt::Write as _;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Lines that may be of no use, besides as many as are.
pub(super) const SPARE: usize = 1000;
/// How often the file may be replaced while a line is written.
const TRIES: u32 = 4;

pub(super) struct Journal {
    path: PathBuf,
    place: Place,
}

/// How far a file was read.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    /// Which file: device and number.
    file: (u64, u64),
    offset: u64,
    /// Lines up to there.
    lines: usize,
}

impl Place {
    fn start_of(about: &Metadata) -> Self {
        Self {
            file: (about.dev(), about.ino()),
            ..Self::default()
        }
    }

    /// Reads on to the end. A half line is read again when it has become whole.
    fn read(&mut self, file: &mut File) -> io::Result<Vec<Logout>> {
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.offset))?;
        file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|octet| *octet == b'\n')
            .map_or(0, |at| at + 1);
        self.offset += u64::try_from(whole).unwrap_or(u64::MAX);
        let lines = text.split(|octet| *octet == b'\n');
        let logouts: Vec<Logout> = lines.clone().filter_map(parse).collect();
        self.lines += lines.count() - 1;
        Ok(logouts)
    }
}

impl Journal {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            place: Place::default(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What was written since the last call, by whomever.
    pub(super) fn news(&mut self) -> io::Result<Vec<Logout>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.place = Place::default();
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let about = file.metadata()?;
        let fresh = Place::start_of(&about);
        if fresh.file != self.place.file || about.len() < self.place.offset {
            self.place = fresh;
        }
        self.place.read(&mut file)
    }

    /// Adds these at the end.
    pub(super) fn append(&self, logouts: &[Logout]) -> io::Result<()> {
        if logouts.is_empty() {
            return Ok(());
        }
        let text = lines(logouts);
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(0o600);
        for _ in 0..TRIES {
            let mut file = options.open(&self.path)?;
            let about = file.metadata()?;
            // What a crash or a full disk has cut off must not swallow what comes next.
            let begin = if ends_whole(&file, &about)? { "" } else { "\n" };
            file.write_all(format!("{begin}{text}").as_bytes())?;
            let now = std::fs::metadata(&self.path);
            if now.is_ok_and(|now| (now.dev(), now.ino()) == (about.dev(), about.ino())) {
                break;
            }
        }
        Ok(())
    }

    /// Whether most of its lines are of no use, when so many are. Those that were added since the last look do not
    /// count yet.
    pub(super) fn is_long(&self, useful: usize) -> bool {
        self.place.lines > 2 * useful + SPARE
    }

    /// Writes the file anew with these; what another process has added to the old one up to the last moment.
    pub(super) fn rewrite(&mut self, logouts: &[Logout]) -> io::Result<Vec<Logout>> {
        let mut old = File::open(&self.path)?;
        let mut name = self.path.as_os_str().to_owned();
        // Another process may be at it as well.
        name.push(format!(".{}", std::process::id()));
        let draft = PathBuf::from(name);
        let file = durable::replace(&self.path, &draft, lines(logouts).as_bytes())?;
        let mut before = self.place;
        if Place::start_of(&old.metadata()?).file != before.file {
            before = Place::default();
        }
        let about = file.metadata()?;
        self.place = Place {
            offset: about.len(),
            lines: logouts.len(),
            ..Place::start_of(&about)
        };
        before.read(&mut old)
    }
}

fn ends_whole(file: &File, about: &Metadata) -> io::Result<bool> {
    let Some(last) = about.len().checked_sub(1) else {
        return Ok(true);
    };
    let mut octet = [0];
    let read = file.read_at(&mut octet, last)?;
    Ok(read == 0 || octet == *b"\n")
}

fn lines(logouts: &[Logout]) -> String {
    let mut text = String::new();
    for logout in logouts {
        let _ = writeln!(
            text,
            "{:032x} {:016x} {} {}",
            u128::from_be_bytes(logout.ticket),
            u64::from_be_bytes(logout.owner),
            logout.given_up,
            logout.expires
        );
    }
    text
}

/// Anything that is no such line is passed over.
fn parse(line: &[u8]) -> Option<Logout> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let logout = Logout {
        ticket: u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes(),
        owner: u64::from_str_radix(words.next()?, 16).ok()?.to_be_bytes(),
        given_up: words.next()?.parse().ok()?,
        expires: words.next()?.trim_end().parse().ok()?,
    };
    words.next().is_none().then_some(logout)
}
