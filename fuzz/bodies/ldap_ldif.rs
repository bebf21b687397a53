//! Any bytes as LDIF.

use ldap::ldif::{LdifReader, Record, write_change, write_entry};

const LIMIT: usize = 1 << 16;

/// Reads; what is accepted must come back from what is written of it.
pub(crate) fn run(data: &[u8]) {
    let mut text = Vec::new();
    let mut records = Vec::new();
    for record in LdifReader::with_limit(data, LIMIT) {
        let Ok(record) = record else { break };
        match &record {
            Record::Entry(entry) => write_entry(&mut text, entry),
            Record::Change(change) => write_change(&mut text, change),
        }
        .expect("memory takes everything");
        records.push(record);
    }
    // Base64 makes a record longer, so the second reading has more room.
    let again: Vec<_> = LdifReader::with_limit(text.as_slice(), LIMIT * 4)
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
    assert_eq!(again, records);
}
