//! Traditional DES `crypt(3)` and its extended form (`_`): FIPS 46-3 with a salted expansion, iterated over a
//! block of zeros. Verification only: nobody should make such a value any more.

use crate::scheme::SchemeError;
use subtle::ConstantTimeEq as _;

/// The digits of crypt(3), lowest value first.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Rounds of the traditional form.
const TRADITIONAL: u32 = 25;
/// A value that asks for more is refused: this is about a second.
const MAX_ROUNDS: u32 = 1 << 17;

/// A DES value, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct DesHash {
    form: Form,
    salt: u32,
    rounds: u32,
    hash: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Two digits of salt; only eight characters of the password count.
    Traditional,
    /// `_`, four digits of rounds, four of salt; all of the password counts.
    Extended,
}

impl DesHash {
    pub(crate) fn parse(text: &str) -> Result<Self, SchemeError> {
        const WHAT: SchemeError = SchemeError::Malformed("{CRYPT} DES");
        let (form, settings) = match text.strip_prefix('_') {
            Some(rest) => (Form::Extended, rest),
            None => (Form::Traditional, text),
        };
        let width = if form == Form::Extended { 8 } else { 2 };
        let (settings, hash) = settings.as_bytes().split_at_checked(width).ok_or(WHAT)?;
        if hash.len() != 11 || !hash.iter().all(|digit| value(*digit).is_some()) {
            return Err(WHAT);
        }
        let (rounds, salt) = match form {
            Form::Traditional => (TRADITIONAL, number(settings).ok_or(WHAT)?),
            Form::Extended => {
                let (rounds, salt) = settings.split_at_checked(4).ok_or(WHAT)?;
                (number(rounds).ok_or(WHAT)?, number(salt).ok_or(WHAT)?)
            }
        };
        if rounds == 0 {
            return Err(WHAT);
        }
        if rounds > MAX_ROUNDS {
            return Err(SchemeError::TooCostly("{CRYPT} DES"));
        }
        Ok(Self {
            form,
            salt,
            rounds,
            hash: hash.to_vec(),
        })
    }

    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let mut parts = password.chunks(8);
        let mut key = parts.next().map_or(0, key_block);
        if self.form == Form::Extended {
            // Each further part is mixed with the key so far, encrypted under itself.
            for part in parts {
                key = Des::new(key, 0).encrypt(key, 1) ^ key_block(part);
            }
        }
        let block = Des::new(key, self.salt).encrypt(0, self.rounds);
        digits(block).ct_eq(&self.hash).into()
    }
}

/// Seven bits of each character, and a parity bit that nobody looks at.
fn key_block(part: &[u8]) -> u64 {
    let shifted = part.iter().take(8).map(|byte| u64::from(byte << 1));
    shifted
        .chain(std::iter::repeat(0))
        .take(8)
        .fold(0, |block, byte| block << 8 | byte)
}

/// Six bits each, the lowest first.
fn number(digits: &[u8]) -> Option<u32> {
    let mut sum = 0;
    for digit in digits.iter().rev() {
        sum = sum << 6 | value(*digit)?;
    }
    Some(sum)
}

fn value(digit: u8) -> Option<u32> {
    let place = DIGITS.iter().position(|known| *known == digit)?;
    u32::try_from(place).ok()
}

/// Eleven digits, the highest bits first, two zero bits at the end.
fn digits(block: u64) -> Vec<u8> {
    let wide = u128::from(block) << 2;
    let digit = |place: u32| {
        let index = usize::try_from(wide >> (60 - 6 * place) & 63).unwrap_or(0);
        DIGITS.get(index).copied().unwrap_or(b'.')
    };
    (0..11).map(digit).collect()
}

/// DES with its key schedule and the salt of crypt(3).
struct Des {
    keys: [u64; 16],
    /// Bits of the expansion that change places with those 24 further.
    swap: u64,
}

impl Des {
    fn new(key: u64, salt: u32) -> Self {
        let chosen = permute(key, 64, &PC1);
        let (mut left, mut right) = (chosen >> 28, chosen & HALF_KEY);
        let keys = SHIFTS.map(|shift| {
            let turn = |half: u64| (half << shift | half >> (28 - shift)) & HALF_KEY;
            (left, right) = (turn(left), turn(right));
            permute(left << 28 | right, 56, &PC2)
        });
        // The salt counts its bits from the low end, the expansion from the high end.
        let swap = u64::from(salt.reverse_bits() >> 8);
        Self { keys, swap }
    }

    /// The block, encrypted so many times.
    fn encrypt(&self, block: u64, times: u32) -> u64 {
        let block = permute(block, 64, &INITIAL);
        let (mut left, mut right) = (block >> 32, block & 0xffff_ffff);
        for _ in 0..times {
            for key in &self.keys {
                (left, right) = (right, left ^ self.round(right, *key));
            }
            // The halves change places at the end; the final permutation and the next initial one cancel out.
            (left, right) = (right, left);
        }
        permute(left << 32 | right, 64, &FINAL)
    }

    fn round(&self, half: u64, key: u64) -> u64 {
        let wide = permute(half, 32, &EXPANSION);
        let crossed = (wide >> 24 ^ wide) & self.swap;
        let mixed = wide ^ crossed ^ crossed << 24 ^ key;
        let mut out = 0;
        for (place, table) in (0_u32..).zip(&BOXES) {
            let six = mixed >> (42 - 6 * place) & 63;
            let row = six >> 4 & 2 | six & 1;
            let column = six >> 1 & 15;
            let index = usize::try_from(row * 16 + column).unwrap_or(0);
            out = out << 4 | u64::from(table.get(index).copied().unwrap_or(0));
        }
        permute(out, 32, &SPREAD)
    }
}

/// Picks bits, counted from 1 at the high end of a number that is `width` bits wide.
fn permute(from: u64, width: u8, table: &[u8]) -> u64 {
    table.iter().fold(0, |out, place| {
        out << 1 | from >> width.saturating_sub(*place) & 1
    })
}

const HALF_KEY: u64 = (1 << 28) - 1;
const SHIFTS: [u32; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

#[rustfmt::skip]
const INITIAL: [u8; 64] = [
    58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4,
    62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
    57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3,
    61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
];
#[rustfmt::skip]
const FINAL: [u8; 64] = [
    40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31,
    38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
    36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27,
    34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
];
#[rustfmt::skip]
const EXPANSION: [u8; 48] = [
    32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
    16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
];
#[rustfmt::skip]
const SPREAD: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
    2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
];
#[rustfmt::skip]
const PC1: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
];
#[rustfmt::skip]
const PC2: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
#[rustfmt::skip]
const BOXES: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
        4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
        0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
        13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
        10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
        4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
        9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
        1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
        7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];
