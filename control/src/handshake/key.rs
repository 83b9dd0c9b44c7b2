//! Private keys in whatever form their file has. The form is told by the content, never by a name,
//! and nobody is ever asked for a passphrase.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use thiserror::Error;

/// Why a private key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// It asks for a passphrase, and there is none.
    #[error(
        "the private key is encrypted: name a file with its passphrase, or store it without one"
    )]
    Encrypted,
    /// It is encrypted with another passphrase.
    #[error("the private key is encrypted, and the passphrase is not the right one")]
    WrongPassphrase,
    /// Neither PEM nor one of the DER forms.
    #[error("the private key is neither PEM nor DER (PKCS#8, SEC1, PKCS#1): {0}")]
    Unreadable(ErrorStack),
}

/// Reads a key: PEM or DER, PKCS#8, SEC1 or PKCS#1, in the clear or encrypted with `passphrase`.
/// In DER only PKCS#8 can be encrypted.
pub(super) fn parse(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<PKey<Private>, KeyError> {
    if is_pem(bytes) { parse_pem(bytes, passphrase) } else { parse_der(bytes, passphrase) }
}

fn is_pem(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN)
}

/// What OpenSSL asks instead of the terminal, and remembers that it was asked.
struct Passphrase<'a> {
    known: Option<&'a [u8]>,
    asked: bool,
}

impl<'a> Passphrase<'a> {
    fn new(known: Option<&'a [u8]>) -> Self {
        Self { known, asked: false }
    }

    fn write(&mut self, room: &mut [u8]) -> Result<usize, ErrorStack> {
        self.asked = true;
        let known = self.known.filter(|known| known.len() <= room.len());
        let known = known.ok_or_else(ErrorStack::get)?;
        room[..known.len()].copy_from_slice(known);
        Ok(known.len())
    }

    /// Why a key could not be read.
    fn blame(&self, error: ErrorStack) -> KeyError {
        match (self.asked, self.known) {
            (false, _) => KeyError::Unreadable(error),
            (true, None) => KeyError::Encrypted,
            (true, Some(_)) => KeyError::WrongPassphrase,
        }
    }
}

fn parse_pem(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<PKey<Private>, KeyError> {
    let mut passphrase = Passphrase::new(passphrase);
    let parsed = PKey::private_key_from_pem_callback(bytes, |room| passphrase.write(room));
    parsed.map_err(|error| passphrase.blame(error))
}

fn parse_der(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<PKey<Private>, KeyError> {
    if let Ok(key) = PKey::private_key_from_pkcs8(bytes) {
        return Ok(key);
    }
    let mut passphrase = Passphrase::new(passphrase);
    let encrypted = PKey::private_key_from_pkcs8_callback(bytes, |room| passphrase.write(room));
    match encrypted {
        Ok(key) => Ok(key),
        Err(error) if passphrase.asked => Err(passphrase.blame(error)),
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

    const PASSPHRASE: &[u8] = b"correct horse";

    /// A key in one form of file.
    struct Form {
        name: &'static str,
        bytes: Vec<u8>,
    }

    fn form(name: &'static str, bytes: Result<Vec<u8>, ErrorStack>) -> Form {
        Form { name, bytes: bytes.unwrap() }
    }

    fn ec() -> EcKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        EcKey::generate(&group).unwrap()
    }

    /// Every form that a key of either type has: in the clear, and encrypted.
    fn every_form() -> Vec<(PKey<Private>, Vec<Form>, Vec<Form>)> {
        let (ec, rsa) = (ec(), Rsa::generate(2048).unwrap());
        let ec_key = PKey::from_ec_key(ec.clone()).unwrap();
        let rsa_key = PKey::from_rsa(rsa.clone()).unwrap();
        let cipher = Cipher::aes_128_cbc;
        let pkcs8 = |key: &PKey<Private>| {
            let pem = key.private_key_to_pem_pkcs8_passphrase(cipher(), PASSPHRASE);
            let der = key.private_key_to_pkcs8_passphrase(cipher(), PASSPHRASE);
            [form("PKCS#8 PEM", pem), form("PKCS#8 DER", der)]
        };
        let clear_pkcs8 = |key: &PKey<Private>| {
            let (pem, der) = (key.private_key_to_pem_pkcs8(), key.private_key_to_pkcs8());
            [form("PKCS#8 PEM", pem), form("PKCS#8 DER", der)]
        };
        let parameters =
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let behind_parameters = ec.private_key_to_pem().map(|pem| [&parameters[..], &pem].concat());
        let ec_clear = [
            form("SEC1 PEM", ec.private_key_to_pem()),
            form("SEC1 PEM behind its parameters", behind_parameters),
            form("SEC1 DER", ec.private_key_to_der()),
        ];
        let rsa_clear = [
            form("PKCS#1 PEM", rsa.private_key_to_pem()),
            form("PKCS#1 DER", rsa.private_key_to_der()),
        ];
        let ec_pem = ec.private_key_to_pem_passphrase(cipher(), PASSPHRASE);
        let rsa_pem = rsa.private_key_to_pem_passphrase(cipher(), PASSPHRASE);
        let (ec_secret, rsa_secret) = (form("SEC1 PEM", ec_pem), form("PKCS#1 PEM", rsa_pem));
        let all = |own: Vec<Form>, pkcs8: [Form; 2]| own.into_iter().chain(pkcs8).collect();
        vec![
            (
                ec_key.clone(),
                all(ec_clear.into(), clear_pkcs8(&ec_key)),
                all(vec![ec_secret], pkcs8(&ec_key)),
            ),
            (
                rsa_key.clone(),
                all(rsa_clear.into(), clear_pkcs8(&rsa_key)),
                all(vec![rsa_secret], pkcs8(&rsa_key)),
            ),
        ]
    }

    #[test]
    fn every_form_of_every_key_is_read() {
        for (key, clear, encrypted) in every_form() {
            let is_read = |form: &Form, passphrase| {
                let read = parse(&form.bytes, passphrase);
                let read = read.unwrap_or_else(|error| panic!("{}: {error}", form.name));
                assert!(read.public_eq(&key), "{}", form.name);
            };
            // A passphrase that is not needed does no harm.
            clear.iter().for_each(|form| is_read(form, None));
            clear.iter().for_each(|form| is_read(form, Some(PASSPHRASE)));
            encrypted.iter().for_each(|form| is_read(form, Some(PASSPHRASE)));
        }
    }

    #[test]
    fn without_the_right_passphrase_it_is_an_error_and_never_a_prompt() {
        let too_long = [b'x'; 5000];
        for (_, _, encrypted) in every_form() {
            for Form { name, bytes } in encrypted {
                assert!(matches!(parse(&bytes, None), Err(KeyError::Encrypted)), "{name}");
                for wrong in [&b"wrong"[..], b"", &too_long] {
                    let error = parse(&bytes, Some(wrong)).unwrap_err();
                    assert!(matches!(error, KeyError::WrongPassphrase), "{name}: {error}");
                }
            }
        }
    }

    #[test]
    fn rubbish_is_unreadable() {
        for bytes in [&b""[..], b"-----BEGIN PRIVATE KEY-----\nAAAA\n", &[0x30, 3, 2, 1, 0]] {
            for passphrase in [None, Some(PASSPHRASE)] {
                let read = parse(bytes, passphrase);
                assert!(matches!(read, Err(KeyError::Unreadable(_))), "{bytes:?}");
            }
        }
    }
}
