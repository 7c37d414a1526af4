//! Arguments to exit code.

use std::process::ExitCode;

use zk_monitor::cli::{self, Answer, Command};
use zk_monitor::{commands, daemon, env, logging, memory};

fn main() -> ExitCode {
    memory::configure();
    let answer = run().unwrap_or_else(|failed| failed);
    ExitCode::from(answer.print())
}

/// Does what the arguments ask for.
fn run() -> Result<Answer, Answer> {
    let (options, command) = cli::parse(std::env::args_os().skip(1).collect(), &env)?;
    match command {
        Command::Run { file } => {
            logging::init(options.level, options.syslog)
                .map_err(|reason| Answer::failed(daemon::EX_FAILURE, &reason))?;
            let code = daemon::run(&options, &file);
            logging::flush();
            Ok(Answer { code, ..Answer::default() })
        }
        Command::CheckConfig { file } => commands::check_config(&file),
        Command::Once { file } => commands::once(&options.zookeeper, &file),
        Command::Replay { file, directory, since } => commands::replay(&file, &directory, since),
        Command::Explain { file, path } => commands::explain(&options, &file, &path),
        Command::Suggest { path, watch } => commands::suggest(&options, &path, watch),
        Command::TestAlert { file, path } => commands::test_alert(&options, &file, &path),
        Command::Silence { path, duration, comment, by } => {
            commands::silence(&options, &path, duration, &comment, &by)
        }
        Command::Unsilence { id } => commands::unsilence(&options, &id),
        Command::Silences => commands::silences(&options),
    }
}
