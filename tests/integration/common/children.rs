//! Processes that do not outlive the tests.

use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};
use rustix::process::{Pid, Signal};

use super::{SOON, eventually};

/// A child process. Killed when dropped, and by the kernel when the test process dies.
pub struct Process(pub Child);

/// The command that runs `program` so that the kernel kills it when its parent dies.
pub fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// The same in the network namespace that this file stands for.
pub fn bound_within(namespace: &Path, program: &str) -> Command {
    let mut command = bound_to_us("nsenter");
    command.arg(format!("--net={}", namespace.display())).args(["--", program]);
    command
}

impl Process {
    /// Starts a command made by [`bound_to_us`].
    ///
    /// The kernel means the parent *thread*, and each test is a thread; so one that lives as long as the
    /// process starts all of them.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(command: Command) -> Self {
        static SPAWNER: OnceLock<Sender<(Command, Sender<std::io::Result<Child>>)>> = OnceLock::new();
        let spawner = SPAWNER.get_or_init(|| {
            let (sender, commands) = unbounded::<(Command, Sender<std::io::Result<Child>>)>();
            std::thread::spawn(move || {
                for (mut command, reply) in commands {
                    reply.send(command.spawn()).unwrap();
                }
            });
            sender
        });
        let (reply, child) = bounded(1);
        let what = format!("{command:?}");
        spawner.send((command, reply)).unwrap();
        Self(child.recv().unwrap().unwrap_or_else(|error| panic!("cannot start {what}: {error}")))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal; one to a process that is no more does nothing. SIGSTOP has taken effect when this returns: the
    /// kernel stops one thread after the other, and one that runs on a busy machine could still give an answer.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.0.try_wait(), Ok(None)) {
            rustix::process::kill_process(Pid::from_child(&self.0), signal).unwrap();
            if signal == Signal::STOP {
                eventually(SOON, "stopped process", || self.is_stopped());
            }
        }
    }

    /// Whether each of its threads is stopped; the state stands behind the name, which is in parentheses.
    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// Kills it at once and waits until it is gone.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it lives on.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let pid = self.pid();
        eventually(within, &format!("end of process {pid}"), || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
