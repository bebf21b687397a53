//! `$1$`: the MD5-based crypt of FreeBSD and old glibc. Weak, and still found in directories.

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The order in which the digest's octets are written, three at a time and the last one alone.
const GROUPS: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// True when `text`, `$1$salt$hash`, was made of `password`.
pub(crate) fn verify(password: &[u8], text: &str) -> bool {
    let Some((salt, hash)) = text.strip_prefix("$1$").and_then(|rest| rest.split_once('$')) else {
        return false;
    };
    encode(&digest(password, salt.as_bytes()))
        .as_bytes()
        .ct_eq(hash.as_bytes())
        .into()
}

fn digest(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let alternate = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new()
        .chain_update(password)
        .chain_update(b"$1$")
        .chain_update(salt);
    let mut left = password.len();
    while left > 0 {
        let take = left.min(16);
        first.update(alternate.get(..take).unwrap_or_default());
        left -= take;
    }
    let mut bits = password.len();
    while bits > 0 {
        // A historic slip that became the format: a zero octet, or the password's first.
        if bits & 1 == 1 {
            first.update([0]);
        } else {
            first.update(password.get(..1).unwrap_or_default());
        }
        bits >>= 1;
    }
    let mut sum: [u8; 16] = first.finalize().into();
    for round in 0..1000_u32 {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        if odd {
            next.update(password);
        } else {
            next.update(sum);
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if odd {
            next.update(sum);
        } else {
            next.update(password);
        }
        sum = next.finalize().into();
    }
    sum
}

fn encode(sum: &[u8; 16]) -> String {
    let at = |index: usize| u32::from(sum.get(index).copied().unwrap_or_default());
    let mut out = String::with_capacity(22);
    let mut push = |mut value: u32, digits: usize| {
        for _ in 0..digits {
            let letter = ALPHABET.get((value & 0x3f) as usize).copied().unwrap_or(b'.');
            out.push(char::from(letter));
            value >>= 6;
        }
    };
    for [high, middle, low] in GROUPS {
        push(at(high) << 16 | at(middle) << 8 | at(low), 4);
    }
    push(at(11), 2);
    out
}
