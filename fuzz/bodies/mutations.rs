//! A bounded number of mutations of the kept seeds, the same ones in every run, so that `cargo test` runs
//! the bodies of the fuzz targets without a fuzzer.

use std::path::{Path, PathBuf};

/// The kept seeds of a target, by file name.
pub(crate) fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(target);
    let listing = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = listing
        .map(|file| {
            let path = file.expect("a readable folder").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a readable seed"))
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds
}

/// Calls `body` with every seed, and with `count` mutations of each.
pub(crate) fn each(target: &str, count: usize, mut body: impl FnMut(&[u8])) {
    let seeds = seeds(target);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (index, (_, seed)) in seeds.iter().enumerate() {
        body(seed);
        for _ in 0..count {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(3) {
                let other = &seeds[(index + 1 + random.below(seeds.len())) % seeds.len()].1;
                mutate(&mut bytes, other, &mut random);
            }
            body(&bytes);
        }
    }
}

/// The folder that stands above the crate that runs this.
fn folder(target: &str) -> PathBuf {
    let mut place = Path::new(env!("CARGO_MANIFEST_DIR"));
    loop {
        let folder = place.join("fuzz/seeds").join(target);
        if folder.is_dir() {
            return folder;
        }
        place = place.parent().unwrap_or_else(|| panic!("no fuzz/seeds/{target}"));
    }
}

/// Octets that matter in one format or another: ends of ranges, tags, quotes, line ends.
const TELLING: &[u8] =
    b"\x00\x01\x7f\x80\x81\x82\x84\x88\xff\x30\x31\x04\xa0\xa2\xa3\xa4\xa9\r\n \t\\\"()*=,;:{}+-.#<>";

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let inside = at.min(bytes.len().saturating_sub(1));
    match random.below(8) {
        0 if !bytes.is_empty() => bytes[inside] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[inside] = TELLING[random.below(TELLING.len())],
        2 => bytes.truncate(at),
        3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
        4 if !bytes.is_empty() => {
            bytes.remove(inside);
        }
        5 => {
            let piece = bytes[at..(at + random.below(16)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => {
            let from = random.below(other.len() + 1);
            let piece = &other[from..(from + random.below(32)).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ => bytes.extend((0..random.below(8)).map(|_| random.octet())),
    }
}

/// Marsaglia's xorshift: enough to choose places, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("below a usize")
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}
