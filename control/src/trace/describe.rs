//! Datagrams and actions in words, without what they carry.

use xdtls_common::cursor::SliceCursor;
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::{content_type, records};
use xdtls_proto::handshakes::Action;

/// Records that are described; the rest is counted.
const MAX_RECORDS: usize = 4;

/// A datagram, prefix included.
pub fn datagram(bytes: &[u8]) -> String {
    let Ok(prefix) = Prefix::parse(&mut SliceCursor::new(bytes)) else {
        return format!("{} bytes without a prefix", bytes.len());
    };
    let mut text = format!("[{:08x}][{:08x}]", prefix.sender, prefix.receiver);
    let mut more = 0;
    for (index, record) in records(&bytes[PREFIX_LEN..]).enumerate() {
        if index >= MAX_RECORDS {
            more += 1;
            continue;
        }
        text += &match record {
            Ok((header, _)) => {
                format!(" {} {}:{}", type_name(header.content_type), header.epoch, header.sequence)
            }
            Err(_) => " no whole record".to_owned(),
        };
    }
    if more > 0 {
        text += &format!(" and {more} more");
    }
    format!("{text}, {} bytes", bytes.len())
}

fn type_name(content_type: u8) -> String {
    match content_type {
        content_type::CHANGE_CIPHER_SPEC => "change_cipher_spec".to_owned(),
        content_type::ALERT => "alert".to_owned(),
        content_type::HANDSHAKE => "handshake".to_owned(),
        content_type::APPLICATION_DATA => "data".to_owned(),
        content_type::RETURN_ROUTABILITY_CHECK => "path_message".to_owned(),
        other => format!("type {other}"),
    }
}

/// What a handshake does; `None` if it says nothing to an operator.
pub fn action(action: &Action) -> Option<String> {
    match action {
        Action::Transmit(_, bytes) => Some(format!("sent {}", datagram(bytes))),
        Action::Install(installation) => {
            Some(format!("keys of {} go to their worker", installation.local))
        }
        Action::Count(reason) => Some(format!("dropped: {}", reason.as_str())),
        Action::Forward(..) => Some("forwarded to the worker".to_owned()),
        Action::Retrying(failure) => Some(format!("attempt failed: {failure}")),
        Action::Ended(ended) => Some(match &ended.outcome {
            Ok(()) => "established".to_owned(),
            Err(failure) => format!("failed: {failure}"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_told_without_what_they_carry() {
        let mut bytes = vec![0, 0, 0, 7, 0, 0, 1, 0x2c];
        bytes.extend([23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 5, 0, 3, b'a', b'b', b'c']);
        assert_eq!(datagram(&bytes), "[00000007][0000012c] data 1:5, 24 bytes");
        assert_eq!(datagram(&bytes[..12]), "[00000007][0000012c] no whole record, 12 bytes");
        assert_eq!(datagram(&bytes[..3]), "3 bytes without a prefix");
    }
}
