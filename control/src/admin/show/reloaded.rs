//! `xdtls reload` in words.

use crate::reload::Reloaded;

/// What is in use now, and what is not before a restart.
pub fn reloaded(reloaded: &Reloaded) -> String {
    let mut text = "reloaded; certificates and keys were read again\n".to_owned();
    for (what, keys) in
        [("changed", &reloaded.changed), ("needs a restart", &reloaded.needs_restart)]
    {
        if !keys.is_empty() {
            text += &format!("{what}: {}\n", keys.join(", "));
        }
    }
    if reloaded.dismissed > 0 {
        text += &format!("closed: {} that are not admitted any more\n", reloaded.dismissed);
    }
    text
}
