//! Hexadecimal digits, as keys and their digests are written.

/// The bytes that an even number of digits stands for, in either case; `None` if it is anything else.
pub(crate) fn decode(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let byte = |[high, low]: &[u8; 2]| Some(nibble(*high)? << 4 | nibble(*low)?);
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes.filter(|_| rest.is_empty())
}

/// The SHA-256 that 64 digits stand for.
pub(crate) fn sha256(digits: &str) -> Option<[u8; 32]> {
    decode(digits)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_of_digits_are_read() {
        assert_eq!(decode("00fFa5"), Some(vec![0, 0xff, 0xa5]));
        assert_eq!(decode(""), Some(Vec::new()));
        for wrong in ["0", "0g", "+1", " 1", "ä0", "0x00"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        assert_eq!(sha256(&"5a".repeat(32)), Some([0x5a; 32]));
        assert_eq!(sha256(&"5a".repeat(31)), None);
    }
}
