//! Arguments to exit code.

use std::io::Write;
use std::process::ExitCode;

use zk_monitor::cli::{self, Command, Exit, Options};
use zk_monitor::commands::{self, Answer};
use zk_monitor::{daemon, env, logging};

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os().skip(1).collect(), &env) {
        Ok(command) => command,
        Err(Exit { code, stdout, stderr }) => return print(&Answer { stdout, stderr, code }),
    };
    let answer = match command {
        Command::Run { options, file } => {
            return with_log(&options, || daemon::run(&options, &file));
        }
        Command::CheckConfig { file, .. } => commands::check_config(&file),
        Command::Once { options, file } => commands::once(&options.zookeeper, &file),
        Command::TestAlert { options, file, path } => commands::test_alert(&options, &file, &path),
        Command::Silence { options, path, duration, comment, by } => {
            commands::silence(&options, &path, duration, &comment, &by)
        }
        Command::Unsilence { options, id } => commands::unsilence(&options, &id),
        Command::Silences { options } => commands::silences(&options),
    };
    print(&answer)
}

fn with_log(options: &Options, run: impl FnOnce() -> u8) -> ExitCode {
    if let Err(e) = logging::init(options.level, logging::Destination::choose(options.syslog)) {
        return print(&Answer {
            stderr: format!("zk_monitor: {e}\n"),
            code: daemon::EX_FAILURE,
            ..Answer::default()
        });
    }
    let code = run();
    logging::flush();
    ExitCode::from(code)
}

fn print(answer: &Answer) -> ExitCode {
    // Whoever closed our output does not want to know; the exit code tells all the same.
    std::io::stdout().write_all(answer.stdout.as_bytes()).ok();
    std::io::stderr().write_all(answer.stderr.as_bytes()).ok();
    ExitCode::from(answer.code)
}
