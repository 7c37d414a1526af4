//! What is packed beside the executable says the same as the executable.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::common::{Folder, run};

/// An option as it is shown to people: `-f, --file FILE`.
type Usage = BTreeSet<String>;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn help() -> String {
    run(["--help"]).stdout
}

/// The left column of the help.
fn usage_in_help(help: &str) -> Usage {
    let options = help.lines().filter(|line| line.trim_start().starts_with('-'));
    options.map(|line| line.trim().split("  ").next().unwrap().to_owned()).collect()
}

/// What stands behind `.TP` in the section on options, without the fonts.
fn usage_in_manual(manual: &str) -> Usage {
    let section = manual.split(".SH ").find(|section| section.starts_with("OPTIONS")).unwrap();
    let tags = section.split(".TP\n").skip(1).map(|item| item.lines().next().unwrap());
    tags.map(|tag| {
        ["\\fB", "\\fI", "\\fR", ".B "]
            .iter()
            .fold(tag.replace("\\-", "-"), |tag, font| tag.replace(font, ""))
    })
    .collect()
}

/// All words that look like an option, long or short.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let is_name = |word: &&str| {
        let bare = word.trim_start_matches('-');
        let dashes = word.len() - bare.len();
        let starts_well = bare.starts_with(|c: char| c.is_ascii_lowercase());
        starts_well && (dashes == 2 || dashes == 1 && bare.len() == 1)
    };
    words.filter(is_name).map(str::to_owned).collect()
}

/// The names of the options that the help lists.
fn names_in_help() -> BTreeSet<String> {
    usage_in_help(&help()).iter().flat_map(|usage| names(usage)).collect()
}

#[test]
fn the_manual_lists_the_options_of_the_help() {
    let help = usage_in_help(&help());
    assert!(help.contains("-f, --file FILE"), "{help:#?}");
    assert_eq!(usage_in_manual(&read("packaging/zk_monitor.1")), help);
}

#[test]
fn completions_offer_the_options_of_the_help() {
    let bash = read("packaging/zk_monitor.bash");
    let offered = bash.split("compgen -W '\n").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(names(offered), names_in_help());
    let zsh = read("packaging/_zk_monitor");
    let specifications = zsh.lines().filter(|line| line.trim_start().starts_with('\''));
    let offered =
        specifications.flat_map(|line| names(line.split('[').next().unwrap())).collect::<BTreeSet<_>>();
    assert_eq!(offered, names_in_help());
}

/// A machine without Rust: commands that say what they are asked for, and leave behind what the real ones would.
const BARE: &str = r##"
set -eu
mkdir -p "$HOME/bin"
for name in bash sh sed grep cut sort head cat chmod mkdir rm basename; do
    ln -s "$(command -v "$name")" "$HOME/bin"
done
put() { printf '#!/bin/sh\n%s\n' "$2" >"$HOME/$1"; chmod 755 "$HOME/$1"; }
put bin/id 'echo 0'
put bin/dpkg-query '[ "$4" = rustup ] || echo installed'
put bin/apt-cache 'echo "$2:"; [ "$DEBIAN" = 13 ] && echo "  Candidate: 1.27" || echo "  Candidate: (none)"'
rust='mkdir -p "$INTO"; put() { printf "#!/bin/sh\n%s\n" "$2" >"$INTO/$1"; chmod 755 "$INTO/$1"; }
put rustup "case \$1:\$2 in toolchain:list) cat \"\$HOME/has\" ;; toolchain:install) echo \"rustup \$*\"; echo \$3-x >\"\$HOME/has\" ;; esac"
put cargo :; put rustc "echo rustc 9.9.9"; : >"$HOME/has"'
put bin/apt-get "case \$* in *rustup*) INTO=\$HOME/bin; $rust ;; esac"
put bin/curl "echo 'echo installer \"\$@\"; INTO=\$HOME/.cargo/bin'; cat \"\$HOME/rust\""
printf '%s\n' "$rust" >"$HOME/rust"
export PATH="$HOME/bin"
set +e
bash -c 'set -euo pipefail; source packaging/lib.sh; need_cargo; command -v cargo'
"##;

#[test]
fn where_rust_is_missing_it_is_brought_and_said_before() {
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).unwrap();
    let check = |debian: &str, expected: [&str; 4]| {
        let home = Folder::new("bare");
        let mut shell = Command::new("bash");
        shell.args(["-c", BARE]).env("HOME", home.path()).env("DEBIAN", debian).env_remove("CARGO_HOME");
        let output = shell.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).replace(home.path().to_str().unwrap(), "~");
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("installer ")).collect();
        assert_eq!(said, expected, "{output:?}");
    };
    let own = "== runs rustup's own installer, for this user alone: curl \
               https://static.rust-lang.org/rustup/rustup-init.sh | sh -s -- -y --no-modify-path --profile minimal \
               --default-toolchain none";
    let rust = &format!("== installs Rust {channel}, for this user alone");
    let asked = &format!(
        "rustup toolchain install {channel} --no-self-update --profile minimal --component clippy,rustfmt"
    );
    check("12", [own, rust, asked, "~/.cargo/bin/cargo"]);
    check("13", ["== installs from Debian: rustup", rust, asked, "~/bin/cargo"]);
}

/// What a shell on a terminal of its own makes of each line when Tab and Enter are pressed.
const TYPIST: &str = r#"
zmodload zsh/zpty
zpty shell zsh -d -i
for line in "$@"; do
    zpty -w -n shell "$line"$'\t\n'
    zpty -r -m shell said '*<<*>>*'
    print -r -- "${${said##*<<}%%>>*}"
done
"#;

#[test]
fn zsh_completes_options_and_what_belongs_behind_them() {
    let folder = Folder::new("zsh");
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    folder.write(
        ".zshrc",
        &format!(
            "fpath=({} $fpath)\nautoload -Uz compinit && compinit -D -u\n\
             zk_monitor() {{ print -r -- \"<<$*>>\" }}\n",
            packaging.display()
        ),
    );
    folder.write("own.yaml", "");
    folder.write("other.txt", "");
    let cases = [
        ("--zookeeper_u", "--zookeeper_user"),
        ("--check-config -f o", "--check-config -f own.yaml"),
        ("--file=o", "--file=own.yaml"),
        ("--zookeeper_ca ot", "--zookeeper_ca other.txt"),
        ("-l W", "-l WARN"),
    ];
    let mut shell = Command::new("timeout");
    shell.args(["60", "zsh", "-f", "-c", TYPIST, "zsh"]);
    shell.args(cases.map(|(typed, _)| format!("zk_monitor {typed}")));
    shell.current_dir(folder.path()).env("ZDOTDIR", folder.path()).env("TERM", "dumb").env("LC_ALL", "C");
    let output = shell.output().expect("timeout is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let completed: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(completed, cases.map(|(_, whole)| whole), "tests/run installs zsh: {output:?}");
}

#[test]
fn the_readme_names_only_options_that_there_are() {
    let others = ["cargo", "curl", "packaging/", "systemctl", "tests/run", "tests/bench/run", "git "];
    let readme = read("README.md");
    let own = readme.lines().filter(|line| !others.iter().any(|other| line.contains(other)));
    let named: BTreeSet<String> = own.flat_map(names).filter(|name| name.starts_with("--")).collect();
    assert!(named.contains("--check-config"), "{named:?}");
    let help = names_in_help();
    let unknown: Vec<&String> = named.difference(&help).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn the_manual_of_the_file_names_every_key() {
    let manual = read("packaging/zk_monitor.yaml.5");
    let keys = "children min max equals exists data matches cancel_timeout keep_firing_for repeat_interval \
        forget_after description alerter email slack channel token token_file webhook_url webhook_url_file from \
        api_url hipchat room webhook url headers secret_file alertmanager pagerduty routing_key routing_key_file \
        defaults group_wait heartbeat every smtp host port tls user password password_file ca_file \
        external_url severity labels runbook name include drop where distinct";
    let words: BTreeSet<&str> = manual.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let absent: Vec<&str> = keys.split_whitespace().filter(|key| !words.contains(key)).collect();
    assert!(absent.is_empty(), "{absent:?}");
}

#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, wanted) in [
        ("packaging/changelog", format!("zk-monitor ({version}-")),
        ("packaging/zk_monitor.1", format!("\"zk_monitor {version}\"")),
        ("packaging/zk_monitor.yaml.5", format!("\"zk_monitor {version}\"")),
    ] {
        let text = read(file);
        let head = text.lines().take(3).collect::<Vec<_>>().join("\n");
        assert!(head.contains(&wanted), "{file} does not begin with {wanted}: {head}");
    }
}

#[test]
fn the_unit_of_an_instance_is_the_plain_one_with_files_of_its_own() {
    let plain = read("packaging/zk-monitor.service");
    let expected = [
        // What tells two units apart.
        ("alerts when one falls out of spec\n", "alerts when one falls out of spec (%i)\n"),
        // Without it systemd would give all instances one user, by the name before the @.
        ("DynamicUser=yes\n", "DynamicUser=yes\nUser=zk-monitor-%i\n"),
        ("/etc/default/zk-monitor\n", "/etc/zk_monitor/%i/environment\n"),
        ("/etc/zk_monitor/zk_monitor.yaml", "/etc/zk_monitor/%i/zk_monitor.yaml"),
        ("/etc/zk_monitor/credentials", "/etc/zk_monitor/%i/credentials"),
        ("=zk_monitor/credentials\n", "=zk_monitor/%i/credentials\n"),
        // Not below that of the plain unit, which systemd replaces by a link.
        ("StateDirectory=zk_monitor\n", "StateDirectory=zk_monitor-%i\n"),
        ("%S/zk_monitor ", "%S/zk_monitor-%i "),
    ];
    let expected = expected.iter().fold(plain, |unit, (plain, instance)| unit.replace(plain, instance));
    assert_eq!(read("packaging/zk-monitor@.service"), expected);
    let lines = expected.lines().filter(|line| line.contains("zk_monitor/"));
    let shared: Vec<&str> = lines.filter(|line| !line.contains("%i")).collect();
    assert!(shared.is_empty(), "{shared:?}");
}
