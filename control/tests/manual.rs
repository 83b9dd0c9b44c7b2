//! The manual pages and shell completions under `docs/man` and `packaging/completions` are what the
//! definition of the command line gives. `cargo xtask docs` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use xdtls::cli::Cli;

/// Set by `cargo xtask docs`.
const WRITE: &str = "XDTLS_WRITE_PAGES";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

/// One page for the program and one for each command, at any depth.
fn pages(command: &Command, pages: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let mut page = Vec::new();
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    // The day of the build would make every page differ from day to day.
    let man = Man::new(command.clone()).title(name.to_uppercase()).date("").manual("xdtls manual");
    man.render(&mut page).expect("memory does not run out");
    pages.insert(Path::new("docs/man").join(format!("{name}.1")), page);
    for subcommand in command.get_subcommands().filter(|it| it.get_name() != "help") {
        self::pages(subcommand, pages);
    }
}

fn generated() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut command = Cli::command().max_term_width(80).disable_help_subcommand(true);
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "xdtls", &mut script);
        let name = match shell {
            Shell::Fish => "xdtls.fish",
            Shell::Zsh => "_xdtls",
            _ => "xdtls.bash",
        };
        files.insert(Path::new("packaging/completions").join(name), script);
    }
    command.build();
    pages(&command, &mut files);
    files
}

fn committed(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| Path::new(folder).join(entry.file_name())).collect()
}

#[test]
fn pages_of_the_manual_and_completions_are_up_to_date() {
    let generated = generated();
    if std::env::var_os(WRITE).is_some() {
        for (name, text) in &generated {
            let file = root().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
    }
    for (name, text) in &generated {
        let found = std::fs::read(root().join(name)).unwrap_or_default();
        assert!(found == *text, "{} is out of date: run `cargo xtask docs`", name.display());
    }
    for file in ["docs/man", "packaging/completions"].into_iter().flat_map(committed) {
        assert!(generated.contains_key(&file), "{} belongs to no command", file.display());
    }
}

#[test]
fn the_manual_tells_of_every_command_and_exit_code() {
    let generated = generated();
    let page = |name: &str| String::from_utf8_lossy(&generated[Path::new(name)]).into_owned();
    let main = page("docs/man/xdtls.1");
    let operations = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for exit in xdtls::exit::Exit::ALL {
        assert!(main.contains(&exit.meaning().replace('-', "\\-")), "{exit:?}");
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(operations.contains(&row), "docs/operations.md lacks {row}");
    }
    assert!(page("docs/man/xdtls-associations-show.1").contains("association"));
}
