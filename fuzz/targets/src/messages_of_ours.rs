//! The xdtls extension and type 27: what is read is written the same way again.

use xdtls_common::extension::{VERSION, XdtlsExtension};
use xdtls_common::path_message::PathMessage;

pub(crate) fn run(data: &[u8]) {
    if let Ok(extension) = XdtlsExtension::parse(data) {
        let (body, length) = extension.encode();
        assert!(data.starts_with(&body[..length]));
        assert!(extension.version != VERSION || data.len() == length);
    }
    if let Ok(message) = PathMessage::parse(data) {
        assert_eq!(message.encode(), data);
    }
}
