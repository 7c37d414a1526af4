//! The files of a configuration, and what to do when some of them are wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::configuration::Config;
use super::finding::Errors;
use super::judge::{Judged, Refusal, Source, judge};
use super::named_files::NamedFiles;
use super::validator::{Env, Layout};
use crate::credentials;

/// The largest configuration file, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// How many files a directory can have: each says something of its own.
const MAX_FILES: usize = 1000;

/// Beside a file of this name the files of the directory [`BESIDE`] belong to the configuration.
const PACKAGED: &str = "zk_monitor.yaml";
const BESIDE: &str = "conf.d";

/// The files of a configuration, and what each said when it was good last.
#[derive(Debug)]
pub struct Files {
    path: PathBuf,
    /// By file, also of a single one: others may come beside it.
    good: BTreeMap<PathBuf, Content>,
}

/// A configuration that was read again.
#[derive(Debug)]
pub struct Reread {
    /// What holds now.
    pub config: Config,
    /// What is wrong with the files that stay as they were.
    pub refused: Option<Errors>,
}

/// Files that can be read, and what is wrong with the others.
struct Sorted {
    layout: Layout,
    good: BTreeMap<PathBuf, Content>,
    bad: BTreeMap<PathBuf, Errors>,
}

#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    is_world_readable: bool,
    /// What the files held that it names, when it was good last.
    named: NamedFiles,
}

/// A file that is to be judged.
#[derive(Clone, Copy)]
struct Candidate<'f> {
    path: &'f PathBuf,
    content: &'f Content,
    /// By what the files that it names held when it was good last, or by what they hold now.
    earlier: bool,
}

impl Files {
    /// Those of a file, or of a directory of files.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), good: BTreeMap::new() }
    }

    /// Reads them for the first time: every one has to be good.
    ///
    /// # Errors
    /// All that is wrong with any of them.
    pub fn load(&mut self, env: Env<'_>) -> Result<Config, Errors> {
        let Sorted { layout, good, bad } = self.read()?;
        if !bad.is_empty() {
            return Err(Errors::of_all(bad.into_values()));
        }
        let files: Vec<_> =
            good.iter().map(|(path, content)| Candidate { path, content, earlier: false }).collect();
        let Judged { config, named } = judge_files(&files, layout, env)
            .map_err(|refusals| Errors::of_all(refusals.into_iter().map(|refusal| refusal.errors)))?;
        let good = good.into_iter().zip(named);
        self.good = good.map(|((path, content), named)| (path, Content { named, ..content })).collect();
        Ok(config)
    }

    /// Reads them again. A file that is wrong goes on saying what it said when it was good last, and the others take
    /// effect; of two that say the same thing it is the one that says it newly. What it said is judged by the files that
    /// it names, as they are now if that is good, or else as they were.
    ///
    /// # Errors
    /// What is wrong, if no file can take effect.
    pub fn reload(&mut self, env: Env<'_>) -> Result<Reread, Errors> {
        let Sorted { layout, good: mut new, mut bad } = self.read()?;
        let mut frozen = BTreeSet::new();
        while !new.is_empty() {
            let files = self.in_order(&new, &bad, &frozen);
            let refusals = match judge_files(&files, layout, env) {
                Ok(Judged { config, named }) => {
                    let named: Vec<_> = files.iter().map(|file| file.path.clone()).zip(named).collect();
                    self.good.retain(|path, _| bad.contains_key(path));
                    self.good.append(&mut new);
                    for (path, named) in named {
                        if let Some(content) = self.good.get_mut(&path) {
                            content.named = named;
                        }
                    }
                    let refused = (!bad.is_empty()).then(|| Errors::of_all(bad.into_values()));
                    return Ok(Reread { config, refused });
                }
                Err(refusals) => refusals,
            };
            let refused = to_drop(refusals).into_iter();
            let refused: Vec<_> =
                refused.map(|refusal| (files[refusal.file].path.clone(), refusal.errors)).collect();
            let mut does_hold = true;
            for (path, errors) in refused {
                if new.remove(&path).is_some() {
                    bad.insert(path, errors);
                } else if !frozen.insert(path.clone()) {
                    does_hold = false;
                    bad.insert(path, errors);
                }
            }
            if !does_hold {
                break;
            }
        }
        Err(Errors::of_all(bad.into_values()))
    }

    /// The name and the text of each that can be read.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let good = self.read().map(|sorted| sorted.good).unwrap_or_default().into_iter();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).ok()?;
            Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
        };
        good.filter_map(|(path, content)| Some((path.display().to_string(), text(content.bytes)?))).collect()
    }

    /// What is to be judged: what stands in force already before what is new, each by name. Of the files that are bad it is
    /// what they said when they were good last, and for the frozen ones also what the files held that they name: a secret
    /// may be gone.
    fn in_order<'f>(
        &'f self,
        new: &'f BTreeMap<PathBuf, Content>,
        bad: &BTreeMap<PathBuf, Errors>,
        frozen: &BTreeSet<PathBuf>,
    ) -> Vec<Candidate<'f>> {
        let last = bad.keys().filter_map(|path| self.good.get_key_value(path));
        let last = last.map(|(path, content)| Candidate { path, content, earlier: frozen.contains(path) });
        let is_as_before = |path: &PathBuf, content: &Content| {
            self.good.get(path).is_some_and(|good| good.bytes == content.bytes)
        };
        let (same, changed): (Vec<_>, Vec<_>) =
            new.iter().partition(|(path, content)| is_as_before(path, content));
        let new = same.into_iter().chain(changed);
        last.chain(new.map(|(path, content)| Candidate { path, content, earlier: false })).collect()
    }

    /// Each file with its content, or why that cannot be read.
    fn read(&self) -> Result<Sorted, Errors> {
        let unusable = |reason: String| {
            Errors::file(&self.path.display().to_string(), format!("cannot use the directory: {reason}"))
        };
        let (mut files, mut layout) = (vec![self.path.clone()], Layout::File);
        if self.path.is_dir() {
            layout = Layout::Directory;
            files = list(&self.path).map_err(unusable)?;
            if files.is_empty() {
                return Err(unusable("it has no file whose name ends in .yaml or .yml".to_owned()));
            }
        }
        // Whoever names the packaged file's directory means no less than who names the file.
        let packaged = files.iter().find(|file| file.file_name() == Some(PACKAGED.as_ref()));
        if let Some(beside) = packaged.map(|file| file.with_file_name(BESIDE)).filter(|path| path.is_dir()) {
            layout = Layout::Directory;
            files.extend(list(&beside).map_err(unusable)?);
        }
        Ok(sort_out(files, layout))
    }
}

fn judge_files(files: &[Candidate<'_>], layout: Layout, env: Env<'_>) -> Result<Judged, Vec<Refusal>> {
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    let sources: Vec<Source<'_>> = files
        .iter()
        .zip(&names)
        .map(|(Candidate { path, content, earlier }, name)| Source {
            name,
            bytes: &content.bytes,
            base: path.parent().unwrap_or(Path::new("")),
            is_world_readable: content.is_world_readable,
            earlier: earlier.then_some(&content.named),
        })
        .collect();
    judge(&sources, layout, env)
}

/// Which files not to read: first those that are wrong by themselves, since what conflicts with one of these may be good;
/// and of those that are in conflict one at a time, for the same reason.
fn to_drop(mut refusals: Vec<Refusal>) -> Vec<Refusal> {
    if refusals.iter().any(|refusal| !refusal.is_conflict) {
        refusals.retain(|refusal| !refusal.is_conflict);
    } else {
        refusals.truncate(1);
    }
    refusals
}

fn sort_out(files: Vec<PathBuf>, layout: Layout) -> Sorted {
    let (mut good, mut bad) = (BTreeMap::new(), BTreeMap::new());
    for path in files {
        match read(&path) {
            Ok(content) => drop(good.insert(path, content)),
            Err(reason) => {
                let name = path.display().to_string();
                bad.insert(path, Errors::file(&name, format!("cannot use the file: {reason}")));
            }
        }
    }
    Sorted { layout, good, bad }
}

/// The files of a directory, by name: those that end in `.yaml` or `.yml`, but no hidden ones and no directories.
fn list(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if is_yaml && !is_hidden && !path.is_dir() {
            files.push(path);
        }
    }
    if files.len() > MAX_FILES {
        return Err(format!("it has {} files, and at most {MAX_FILES} are read", files.len()));
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Content, String> {
    let bytes = credentials::read(path, MAX_FILE)?;
    let is_world_readable = fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o004 != 0);
    Ok(Content { bytes, is_world_readable, named: NamedFiles::default() })
}
