//! Several files as one configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{Errors, Files, Reread};

/// A directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn of(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("zk_monitor-files-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let directory = Self(path);
        files.iter().for_each(|(name, text)| directory.write(name, text));
        directory
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.0.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn files(&self) -> Files {
        Files::new(&self.0)
    }

    /// Text with the directory's name left out.
    fn short(&self, errors: &Errors) -> String {
        errors.to_string().replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn none(_: &str) -> Option<String> {
    None
}

/// Each rule as `path min to receivers`.
fn rules(config: &super::Config) -> Vec<String> {
    let mut rules: Vec<_> = config
        .rules
        .iter()
        .map(|rule| {
            let receivers = rule.terms.receivers.iter().map(|id| {
                let mut known = config.receivers.iter().filter(|receiver| receiver.id == *id);
                known.next().expect("each receiver is known").name.to_string()
            });
            format!("{} {}", rule.path, receivers.collect::<Vec<_>>().join(", ")).trim().to_owned()
        })
        .collect();
    rules.sort();
    rules
}

#[test]
fn a_directory_is_its_yaml_files() {
    let directory = Directory::of(&[
        ("b.yml", "defaults: {alerter: {email: b@x.org}}\n/b: {children: 1}\n"),
        ("a.yaml", "/a: {children: 1}\ngroup_wait: 1s\n"),
        ("defaults.yaml", "defaults: {alerter: {email: all@x.org}}\nsmtp: {host: mail.x.org}\n"),
        (".hidden.yaml", "["),
        ("b.yaml~", "["),
        ("conf.d/c.yaml", "["),
    ]);
    let config = directory.files().load(&none).unwrap();
    assert_eq!(rules(&config), ["/a email all@x.org", "/b email b@x.org"]);
    assert_eq!(config.group_wait.as_secs(), 1);
    let hosts = config.receivers.iter().map(|receiver| format!("{:?}", receiver.settings));
    assert!(hosts.into_iter().all(|settings| settings.contains("mail.x.org")));
    // A file of that name in another place is one like others.
    let alone = Files::new(&directory.0.join("a.yaml")).load(&none).unwrap();
    assert_eq!(rules(&alone), ["/a"]);
}

#[test]
fn beside_the_packaged_file_its_directory_counts() {
    let files = [("zk_monitor.yaml", "/a: {}\n"), ("conf.d/b.yaml", "/b: {}\n"), ("other.yaml", "/c: {}\n")];
    let directory = Directory::of(&files);
    let of = |name: &str| rules(&Files::new(&directory.0.join(name)).load(&none).unwrap());
    assert_eq!(of("zk_monitor.yaml"), ["/a", "/b"]);
    assert_eq!(of("other.yaml"), ["/c"]);
    // The directory is all of it.
    assert_eq!(of(""), ["/a", "/b", "/c"]);
}

/// What is told of files that cannot be one configuration.
#[test]
fn two_files_that_say_the_same_thing_are_an_error_that_names_both_places() {
    let check = |files: &[(&str, &str)], expected: &str| {
        let directory = Directory::of(files);
        let errors = directory.files().load(&none).expect_err(expected);
        assert_eq!(directory.short(&errors), expected);
    };
    check(
        &[("a.yaml", "x-note: 1\n/a: {}\n"), ("b.yaml", "/b: {}\n/a: {}\n")],
        "b.yaml:2:1: /a: stands in two files: it is also in a.yaml:2:1",
    );
    check(
        &[("a.yaml", "smtp: {host: a}\n"), ("b.yaml", "smtp: {host: b}\nheartbeat: {url: 'http://x'}\n")],
        "b.yaml:1:7: smtp: may stand in one file only: it is also in a.yaml:1:7",
    );
    let slack =
        |token: &str| format!("/{token}: {{alerter: {{slack: {{channel: '#ops', token: {token}}}}}}}\n");
    check(
        &[("a.yaml", &slack("a")), ("b.yaml", &slack("b"))],
        "b.yaml:1:23: /b/alerter/slack: is the same receiver with other settings (token, URL, from, headers …): if both \
         are meant, give one of them a `name` of its own; the other is at a.yaml:1:23",
    );
    check(
        &[("a.yaml", "/a: ["), ("b.yaml", "/b: {childen: 1}\n")],
        "a.yaml:2:1: did not find expected node content, while parsing a flow node\nb.yaml:1:6: /b/childen: a rule has no such key (did you mean `children`?)",
    );
    let empty = Directory::of(&[]);
    let errors = empty.files().load(&none).expect_err("nothing is there").to_string();
    assert!(
        errors.ends_with(": cannot use the directory: it has no file whose name ends in .yaml or .yml"),
        "{errors}"
    );
}

/// A step of a story: which files are written (or removed), and what holds then and is told.
fn step(
    directory: &Directory,
    files: &mut Files,
    write: &[(&str, Option<&str>)],
    holds: &[&str],
    told: &str,
) {
    for (name, text) in write {
        match text {
            Some(text) => directory.write(name, text),
            None => fs::remove_file(directory.0.join(name)).unwrap(),
        }
    }
    let (found, said) = match files.reload(&none) {
        Ok(Reread { config, refused }) => {
            (rules(&config), refused.map(|errors| directory.short(&errors)).unwrap_or_default())
        }
        Err(errors) => (vec!["as before".to_owned()], directory.short(&errors)),
    };
    assert_eq!(
        (found, said.as_str()),
        (holds.iter().map(|rule| (*rule).to_owned()).collect(), told),
        "{write:?}"
    );
}

#[test]
fn one_mistake_stops_no_other_file() {
    let directory = Directory::of(&[("a.yaml", "/a: {}\n"), ("b.yaml", "/b: {}\n"), ("c.yaml", "/c: {}\n")]);
    let mut files = directory.files();
    files.load(&none).unwrap();
    let mut then = |write: &[(&str, Option<&str>)], holds: &[&str], told: &str| {
        step(&directory, &mut files, write, holds, told);
    };
    // One broken, one changed, one removed.
    let broken = "a.yaml:1:1: a key without a colon behind it";
    let write = [("a.yaml", Some("oops")), ("b.yaml", Some("/b2: {}\n")), ("c.yaml", None)];
    then(&write, &["/a", "/b2"], broken);
    then(&[], &["/a", "/b2"], broken);
    // A path goes from one file to another while the one it stood in is broken: it stays where it was.
    let both = "a.yaml:1:1: a key without a colon behind it\nb.yaml:1:1: /a: stands in two files: it is also in a.yaml:1:1";
    then(&[("b.yaml", Some("/a: {}\n"))], &["as before"], both);
    then(&[("a.yaml", Some("/a3: {}\n"))], &["/a", "/a3"], "");
    // Of two that say the same thing it is the one that says it newly.
    let newly = "a.yaml:1:1: /a: stands in two files: it is also in b.yaml:1:1";
    then(&[("a.yaml", Some("/a: {}\n")), ("d.yaml", Some("/d: {}\n"))], &["/a", "/a3", "/d"], newly);
    // What is wrong from its beginning says nothing.
    then(
        &[("a.yaml", None), ("e.yaml", Some("["))],
        &["/a", "/d"],
        "e.yaml:2:1: did not find expected node content, while parsing a flow node",
    );
    then(
        &[("e.yaml", None), ("b.yaml", None), ("d.yaml", Some("["))],
        &["as before"],
        "d.yaml:2:1: did not find expected node content, while parsing a flow node",
    );
}

#[test]
fn the_only_good_file_keeps_what_it_said_when_others_come_beside_it() {
    let check = |file: &str, named: &str, beside: &str| {
        let directory = Directory::of(&[(file, "/a: {}\n")]);
        let mut files = Files::new(&directory.0.join(named));
        files.load(&none).unwrap();
        let broken = format!("{file}:1:1: a key without a colon behind it");
        let write = [(file, Some("oops")), (beside, Some("/b: {}\n"))];
        step(&directory, &mut files, &write, &["/a", "/b"], &broken);
        // Nor does it matter that it is alone again.
        step(&directory, &mut files, &[(beside, None), (file, Some("/a2: {}\n"))], &["/a2"], "");
        step(&directory, &mut files, &write, &["/a2", "/b"], &broken);
    };
    check("a.yaml", "", "b.yaml");
    check("zk_monitor.yaml", "zk_monitor.yaml", "conf.d/b.yaml");
}

/// A secret that is lost is a mistake of the one file that names it, whether that has changed or not.
#[test]
fn a_file_that_lost_its_secret_stops_no_other_file() {
    let secret = "/a: {alerter: {slack: {channel: c, token_file: token}}}\n";
    let directory = Directory::of(&[("a.yaml", secret), ("b.yaml", "/b: {}\n"), ("token", "secret")]);
    let mut files = directory.files();
    files.load(&none).unwrap();
    let mut then = |write: &[(&str, Option<&str>)], holds: &[&str], told: &str| {
        step(&directory, &mut files, write, holds, told);
    };
    let lost = "a.yaml:1:48: /a/alerter/slack/token_file: cannot use the file token: No such file or directory (os error 2)";
    then(&[("token", None), ("b.yaml", Some("/b2: {}\n"))], &["/a slack c", "/b2"], lost);
    then(&[("b.yaml", Some("/b3: {}\n"))], &["/a slack c", "/b3"], lost);
    // It breaks, too, and what it names is no secret any more.
    let broken = "a.yaml:2:1: did not find expected node content, while parsing a flow node";
    then(&[("a.yaml", Some("[")), ("token", Some("two\nlines"))], &["/a slack c", "/b3"], broken);
    // A secret that is good again holds, also for what was said before.
    let again = "/c: {alerter: {slack: {channel: c, token_file: token}}}\n";
    then(&[("b.yaml", Some(again)), ("token", Some("other"))], &["/a slack c", "/c slack c"], broken);
    then(&[("a.yaml", Some(secret))], &["/a slack c", "/c slack c"], "");
}

#[test]
fn a_file_alone_that_is_wrong_changes_nothing() {
    let directory = Directory::of(&[("f.yaml", "/a: {}\n")]);
    let mut files = Files::new(Path::new(&directory.0.join("f.yaml")));
    files.load(&none).unwrap();
    step(
        &directory,
        &mut files,
        &[("f.yaml", Some("oops"))],
        &["as before"],
        "f.yaml:1:1: a key without a colon behind it",
    );
    step(&directory, &mut files, &[("f.yaml", Some("/b: {}\n"))], &["/b"], "");
}

#[test]
fn what_another_team_does_to_a_dependency_stops_nobody() {
    let directory = Directory::of(&[
        ("a.yaml", "/a: {children: 1, depends_on: [/b, /none]}\n"),
        ("b.yaml", "/b: {children: 1}\n/c: {children: 1}\n"),
    ]);
    let mut files = directory.files();
    let warning = "a.yaml:1:36: /a/depends_on[1]: no rule watches /none: it holds nothing back";
    let warnings = |config: &super::Config| {
        let all = config.warnings.iter().map(|warning| warning.to_string());
        all.map(|line| line.replace(&format!("{}/", directory.0.display()), "")).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&files.load(&none).unwrap()), [warning]);
    directory.write("b.yaml", "/c: {children: 1}\n");
    let Reread { config, refused } = files.reload(&none).unwrap();
    assert_eq!(refused, None);
    assert_eq!(rules(&config), ["/a", "/c"]);
    // Who closes a circle is refused, whatever its name.
    directory.write("a.yaml", "/a: {children: 1}\n");
    directory.write("b.yaml", "/b: {children: 1, depends_on: /a}\n");
    files.reload(&none).unwrap();
    directory.write("a.yaml", "/a: {children: 1, depends_on: /b}\n/d: {children: 1}\n");
    let Reread { config, refused } = files.reload(&none).unwrap();
    assert_eq!(
        directory.short(&refused.unwrap()),
        "a.yaml:1:1: /a: depends on itself, which would hold it back for ever: /a → /b → /a"
    );
    assert_eq!(rules(&config), ["/a", "/b"]);
}

#[test]
fn a_directory_is_one_with_one_file_too() {
    let check = |file: &str, named: &str, beside: &str| {
        let directory = Directory::of(&[
            (file, "/a: {children: 1, depends_on: [/b]}\n"),
            (beside, "/b: {children: 1}\n"),
        ]);
        let mut files = Files::new(&directory.0.join(named));
        files.load(&none).unwrap();
        step(&directory, &mut files, &[(beside, None)], &["/a"], "");
        let config = Files::new(&directory.0.join(named)).load(&none).unwrap();
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        let warning = config.warnings[0].to_string();
        assert!(warning.contains(": no rule watches /b") && warning.ends_with(": it holds nothing back"));
        // What names a file has no other team.
        let alone = directory.0.join("alone.yml");
        fs::rename(directory.0.join(file), &alone).unwrap();
        Files::new(&alone).load(&none).expect_err("nothing watches /b");
    };
    check("a.yaml", "", "b.yaml");
    check("zk_monitor.yaml", "zk_monitor.yaml", "conf.d/b.yaml");
}
