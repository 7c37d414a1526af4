//! Directories of a test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes with its value. What a killed test process left behind, the next one removes.
pub struct Folder(PathBuf);

impl Folder {
    /// A new empty directory whose name holds `name`.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(name: &str) -> Self {
        static SWEEP: Once = Once::new();
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        SWEEP.call_once(|| sweep(base));
        Self::below(base, name)
    }

    /// The same where other users get, too: below the system's directory for temporary files.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn in_temp(name: &str) -> Self {
        static SWEEP: Once = Once::new();
        let base = std::env::temp_dir().join("zk_monitor-tests");
        SWEEP.call_once(|| sweep(&base));
        Self::below(&base, name)
    }

    fn below(base: &Path, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it, whole or not at all, and tells its path.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        let new = self.0.join(format!("{name}.new"));
        fs::write(&new, content).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A process that was killed a moment ago may still be about to write: the sweep takes the rest.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Removes the directories of test processes that are no more.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}
