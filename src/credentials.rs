//! Files with secrets: where systemd hands them over, and reading them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::model::receiver::Secret;

/// The file itself or, if this user may not read it, the copy that systemd made for the service.
///
/// The unit's `LoadCredential=credentials:/etc/zk_monitor/credentials` copies each file of that directory, which
/// only root can read, to `$CREDENTIALS_DIRECTORY/credentials_<file>`. So the same name of a file serves the
/// service and an administrator who tries the configuration by hand. systemd makes the copies when the service
/// starts, not when it reloads.
pub fn locate(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let is_denied = || open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    match env("CREDENTIALS_DIRECTORY").and_then(|directory| copy(path, &directory)) {
        Some(copy) if copy.is_file() && is_denied() => copy,
        Some(_) | None => path.to_owned(),
    }
}

/// `<directory>/<name of the file's own directory>_<name of the file>`.
fn copy(path: &Path, directory: &str) -> Option<PathBuf> {
    let mut name = OsString::from(path.parent()?.file_name()?);
    name.push("_");
    name.push(path.file_name()?);
    Some(Path::new(directory).join(name))
}

/// The secret in a regular file of at most `limit` bytes that holds nothing else.
pub fn read_secret(path: &Path, limit: u64) -> Result<Secret, String> {
    secret(&read(path, limit)?)
}

/// The secret that is all of a file's content.
pub fn secret(content: &[u8]) -> Result<Secret, String> {
    let text = str::from_utf8(content).map_err(|_| "it is not UTF-8 text".to_owned())?;
    Secret::from_file_text(text).map_err(str::to_owned)
}

/// Reads a regular file of at most `limit` bytes. Anything else might never end, or never begin.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let file = open(path).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > limit {
        return Err(format!("it is larger than {limit} bytes"));
    }
    Ok(content)
}

/// Opens a regular file. What it is comes first, since to open a FIFO may wait for ever, and to open a device may do
/// something.
fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use crossbeam_channel::bounded;
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_copy_is_named_after_the_directory_and_the_file() {
        let check = |path: &str, expected: Option<&str>| {
            assert_eq!(copy(Path::new(path), "/run/c").as_deref(), expected.map(Path::new), "{path}");
        };
        check("/etc/zk_monitor/credentials/smtp", Some("/run/c/credentials_smtp"));
        check("credentials/smtp", Some("/run/c/credentials_smtp"));
        check("/smtp", None);
        check("smtp", None);
        check("/etc/..", None);
    }

    #[test]
    fn a_file_that_can_be_read_is_read_itself() {
        let folder = std::env::temp_dir().join(format!("zk_monitor-credentials-{}", std::process::id()));
        let own = folder.join("credentials");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::write(own.join("smtp"), "own").unwrap();
        std::fs::write(folder.join("credentials_smtp"), "copy").unwrap();
        let directory = |_: &str| folder.to_str().map(str::to_owned);
        assert_eq!(locate(&own.join("smtp"), &directory), own.join("smtp"));
        assert_eq!(locate(&own.join("absent"), &directory), own.join("absent"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_may_never_begin_or_end_is_not_even_opened() {
        let folder = std::env::temp_dir().join(format!("zk_monitor-fifo-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let fifo = folder.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::write(folder.join(format!("{}_fifo", folder.file_name().unwrap().display())), "copy").unwrap();
        let (done, results) = bounded(1);
        let (path, directory) = (fifo.clone(), folder.clone());
        // A thread, so that to wait for ever fails.
        thread::spawn(move || {
            let env = |_: &str| directory.to_str().map(str::to_owned);
            let results = [path.as_path(), Path::new("/dev/zero")].map(|path| read(path, 10));
            done.send((locate(&path, &env), results)).unwrap();
        });
        let (located, results) = results.recv_timeout(Duration::from_secs(20)).expect("an answer");
        assert_eq!(located, fifo);
        assert_eq!(results, [(); 2].map(|()| Err("it is not a regular file".to_owned())));
        fs::remove_dir_all(&folder).unwrap();
    }
}
