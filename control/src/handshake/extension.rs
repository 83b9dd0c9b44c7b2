//! The xdtls extension inside OpenSSL: offered by the client, answered by the server.

use std::sync::LazyLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{ExtensionContext, Ssl, SslContextBuilder, SslRef};
use xdtls_common::extension::{EXTENSION_TYPE, VERSION, XdtlsExtension};

/// Where an object remembers that its peer sent the extension in a version that we know.
static PEER_SENT: LazyLock<Result<Index<Ssl, bool>, ErrorStack>> = LazyLock::new(Ssl::new_ex_index);

/// Makes every handshake of this context negotiate the extension.
pub(super) fn install(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    let peer_sent = PEER_SENT.clone()?;
    let messages = ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO;
    context.add_custom_ext(
        EXTENSION_TYPE,
        messages | ExtensionContext::DTLS_ONLY,
        move |ssl, _, _| {
            let wanted = !ssl.is_server() || ssl.ex_data(peer_sent).is_some_and(|sent| *sent);
            Ok(wanted.then(plain_body))
        },
        move |ssl, _, body, _| {
            // The number is for private use: what we cannot read is somebody else's, and ignored.
            let known = XdtlsExtension::parse(body).is_ok_and(|peer| known(ssl, &peer));
            ssl.set_ex_data(peer_sent, known);
            Ok(())
        },
    )
}

/// A client may offer any later version; a server answers with the one that it chose.
fn known(ssl: &SslRef, peer: &XdtlsExtension) -> bool {
    if ssl.is_server() { peer.version >= VERSION } else { peer.version == VERSION }
}

fn plain_body() -> Vec<u8> {
    let (body, length) = XdtlsExtension::PLAIN.encode();
    body[..length].to_vec()
}

/// Whether both sides sent the extension. We always offer it, and always answer it.
pub(super) fn negotiated(ssl: &SslRef) -> bool {
    PEER_SENT.clone().is_ok_and(|peer_sent| ssl.ex_data(peer_sent) == Some(&true))
}
