//! Private keys in whatever form their file has.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use thiserror::Error;

/// Why a private key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It asks for a passphrase, and there is nobody to ask.
    #[error("the private key is encrypted; store it without a passphrase")]
    Encrypted,
    /// Neither PEM nor one of the DER forms.
    #[error("the private key is neither PEM nor DER (PKCS#8, SEC1, PKCS#1): {0}")]
    Unreadable(ErrorStack),
}

/// Reads a key: PEM, or DER in PKCS#8, SEC1 or PKCS#1.
pub(super) fn parse(bytes: &[u8]) -> Result<PKey<Private>, KeyError> {
    if is_pem(bytes) { parse_pem(bytes) } else { parse_der(bytes) }
}

fn is_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

fn parse_pem(bytes: &[u8]) -> Result<PKey<Private>, KeyError> {
    // Without a callback OpenSSL would ask for the passphrase on the terminal.
    let mut asked = false;
    let parsed = PKey::private_key_from_pem_callback(bytes, |_| {
        asked = true;
        Err(ErrorStack::get())
    });
    parsed.map_err(|error| if asked { KeyError::Encrypted } else { KeyError::Unreadable(error) })
}

fn parse_der(bytes: &[u8]) -> Result<PKey<Private>, KeyError> {
    if let Ok(key) = PKey::private_key_from_pkcs8(bytes) {
        return Ok(key);
    }
    let mut asked = false;
    let encrypted = PKey::private_key_from_pkcs8_callback(bytes, |_| {
        asked = true;
        Err(ErrorStack::get())
    });
    match encrypted {
        _ if asked => Err(KeyError::Encrypted),
        Ok(key) => Ok(key),
        Err(_) => PKey::private_key_from_der(bytes).map_err(KeyError::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;

    use super::*;

    fn ec() -> EcKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        EcKey::generate(&group).unwrap()
    }

    #[test]
    fn every_clear_form_is_read() {
        let (ec, rsa) = (ec(), Rsa::generate(2048).unwrap());
        let ec_key = PKey::from_ec_key(ec.clone()).unwrap();
        let rsa_key = PKey::from_rsa(rsa.clone()).unwrap();
        let forms = [
            (&ec_key, "PKCS#8 PEM", ec_key.private_key_to_pem_pkcs8()),
            (&ec_key, "PKCS#8 DER", ec_key.private_key_to_pkcs8()),
            (&ec_key, "SEC1 PEM", ec.private_key_to_pem()),
            (&ec_key, "SEC1 DER", ec.private_key_to_der()),
            (&rsa_key, "PKCS#8 PEM", rsa_key.private_key_to_pem_pkcs8()),
            (&rsa_key, "PKCS#8 DER", rsa_key.private_key_to_pkcs8()),
            (&rsa_key, "PKCS#1 PEM", rsa.private_key_to_pem()),
            (&rsa_key, "PKCS#1 DER", rsa.private_key_to_der()),
        ];
        for (key, form, bytes) in forms {
            assert!(parse(&bytes.unwrap()).unwrap().public_eq(key), "{form}");
        }
    }

    #[test]
    fn encrypted_keys_are_an_error_and_never_a_prompt() {
        let key = PKey::from_ec_key(ec()).unwrap();
        let cipher = Cipher::aes_128_cbc();
        let forms = [
            key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap(),
            key.private_key_to_pkcs8_passphrase(cipher, b"secret").unwrap(),
            key.ec_key().unwrap().private_key_to_pem_passphrase(cipher, b"secret").unwrap(),
        ];
        for bytes in forms {
            assert!(matches!(parse(&bytes), Err(KeyError::Encrypted)));
        }
    }

    #[test]
    fn rubbish_is_unreadable() {
        for bytes in [&b""[..], b"-----BEGIN PRIVATE KEY-----\nAAAA\n", &[0x30, 3, 2, 1, 0]] {
            assert!(matches!(parse(bytes), Err(KeyError::Unreadable(_))), "{bytes:?}");
        }
    }
}
