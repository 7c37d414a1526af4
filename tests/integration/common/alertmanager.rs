//! A real Alertmanager: Debian's.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::children::{Process, bound_to_us};
use super::run::finish;
use super::{Folder, SOON, eventually, free_port};

/// One server on the loopback, alone, with an empty storage.
pub struct Alertmanager {
    // Dropped in this order: the process first, then what it writes to.
    _process: Process,
    folder: Folder,
    port: u16,
    agent: ureq::Agent,
}

impl Alertmanager {
    /// Starts one that tells nobody, and waits until it is ready.
    ///
    /// # Panics
    /// If it is not.
    pub fn start() -> Self {
        Self::with("route: {receiver: none}\nreceivers: [{name: none}]\n")
    }

    /// The same with this configuration.
    ///
    /// # Panics
    /// If it is not ready.
    pub fn with(config: &str) -> Self {
        let (folder, port) = (Folder::new("alertmanager"), free_port());
        let config = folder.write("config.yml", config);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = bound_to_us("prometheus-alertmanager");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.arg("--cluster.listen-address=");
        command.current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).proxy(None);
        let agent = config.build().into();
        let server = Self { _process: Process::start(command), folder, port, agent };
        eventually(SOON, "ready Alertmanager", || {
            server.get("/-/ready").map_err(|error| (error.to_string(), server.log()))
        });
        server
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The alerts that it holds and that are not over.
    ///
    /// # Panics
    /// If it does not tell.
    #[track_caller]
    pub fn active(&self) -> Vec<Value> {
        let body = self.get("/api/v2/alerts?active=true").unwrap_or_else(|error| panic!("{error}"));
        let alerts: Value = serde_json::from_str(&body).unwrap();
        alerts.as_array().unwrap().clone()
    }

    /// Waits until it holds so many alerts that are not over.
    ///
    /// # Panics
    /// If it never does.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        eventually(SOON, &format!("{count} active alerts"), || {
            let alerts = self.active();
            if alerts.len() == count { Ok(alerts) } else { Err((alerts.len(), self.log())) }
        })
    }

    /// What `amtool` shows of its alerts, as JSON.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn amtool(&self) -> Value {
        let mut command = bound_to_us("amtool");
        command.args(["alert", "query", "--output=json", "--alertmanager.url", &self.url()]);
        command.stdin(Stdio::null());
        let output = finish(command, SOON);
        assert_eq!(output.code, Some(0), "{output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn get(&self, path: &str) -> Result<String, ureq::Error> {
        let url = format!("{}{path}", self.url());
        self.agent.get(url).call()?.body_mut().with_config().limit(64 << 20).read_to_string()
    }
}
