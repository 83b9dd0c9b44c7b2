//! The xdtls extension inside OpenSSL: offered by the client, answered by the server.

use std::sync::LazyLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{ExtensionContext, Ssl, SslContextBuilder, SslRef};
use xdtls_common::extension::{EXTENSION_TYPE, TOKEN_LEN, VERSION, XdtlsExtension};
use xdtls_common::id::{LocalId, PeerId};
use xdtls_proto::rekey::Replaces;

type Stored<T> = LazyLock<Result<Index<Ssl, T>, ErrorStack>>;

/// What an object's peer has sent, if it is of a version that we know.
static PEER_SENT: Stored<XdtlsExtension> = LazyLock::new(Ssl::new_ex_index);

/// What an object that answers calls its association.
static LOCAL: Stored<LocalId> = LazyLock::new(Ssl::new_ex_index);

/// What an object that opens is to replace.
static REPLACES: Stored<Replaces> = LazyLock::new(Ssl::new_ex_index);

/// Makes every handshake of this context negotiate the extension.
pub(super) fn install(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    let (peer_sent, replaces, local) = (PEER_SENT.clone()?, REPLACES.clone()?, LOCAL.clone()?);
    let messages = ExtensionContext::CLIENT_HELLO | ExtensionContext::TLS1_2_SERVER_HELLO;
    context.add_custom_ext(
        EXTENSION_TYPE,
        messages | ExtensionContext::DTLS_ONLY,
        move |ssl, _, _| {
            let rekey_token = match (ssl.is_server(), ssl.ex_data(peer_sent)) {
                (true, None) => return Ok(None),
                // Nobody gets here with a token that is not good.
                (true, Some(sent)) => sent.rekey_token,
                (false, _) => token(ssl, replaces),
            };
            let answerer = ssl.ex_data(local).and_then(|local| PeerId::new(local.value()));
            Ok(Some(body(&XdtlsExtension { version: VERSION, rekey_token, answerer })))
        },
        move |ssl, _, body, _| {
            // The number is for private use: what we cannot read is somebody else's, and ignored.
            if let Ok(sent) = XdtlsExtension::parse(body)
                && known(ssl, &sent)
            {
                ssl.set_ex_data(peer_sent, sent);
            }
            Ok(())
        },
    )
}

/// Lets the ServerHello of an object say what its association is called.
pub(super) fn name(ssl: &mut SslRef, local: LocalId) -> Result<(), ErrorStack> {
    ssl.set_ex_data(LOCAL.clone()?, local);
    Ok(())
}

/// Lets the ClientHello of an object ask for the place of another association.
pub(super) fn replace(ssl: &mut SslRef, what: &Replaces) -> Result<(), ErrorStack> {
    ssl.set_ex_data(REPLACES.clone()?, what.clone());
    Ok(())
}

/// The token of an object that opens. Its random is drawn before its extensions are written.
fn token(ssl: &SslRef, replaces: Index<Ssl, Replaces>) -> Option<[u8; TOKEN_LEN]> {
    let replaces = ssl.ex_data(replaces)?;
    let mut client_random = [0; 32];
    ssl.client_random(&mut client_random);
    Some(replaces.token(&client_random))
}

/// A client may offer any later version; a server answers with the one that it chose.
fn known(ssl: &SslRef, peer: &XdtlsExtension) -> bool {
    if ssl.is_server() { peer.version >= VERSION } else { peer.version == VERSION }
}

fn body(extension: &XdtlsExtension) -> Vec<u8> {
    let (body, length) = extension.encode();
    body[..length].to_vec()
}

/// What the peer has sent, and so both sides: we always offer the extension, and always answer it.
fn sent_by_peer(ssl: &SslRef) -> Option<XdtlsExtension> {
    ssl.ex_data(PEER_SENT.clone().ok()?).copied()
}

/// What the server calls the association, if it says so.
pub(super) fn answerer(ssl: &SslRef) -> Option<PeerId> {
    sent_by_peer(ssl)?.answerer.filter(|_| !ssl.is_server())
}

/// Whether both sides sent the extension.
pub(super) fn negotiated(ssl: &SslRef) -> bool {
    sent_by_peer(ssl).is_some()
}

/// Whether both sides sent the same rekey token.
pub(super) fn replaces(ssl: &SslRef) -> bool {
    let own = REPLACES.clone().ok().and_then(|replaces| token(ssl, replaces));
    match sent_by_peer(ssl).and_then(|sent| sent.rekey_token) {
        None => false,
        sent => ssl.is_server() || sent == own,
    }
}
