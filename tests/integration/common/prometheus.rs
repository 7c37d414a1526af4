//! A real Prometheus: Debian's.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::children::{Process, bound_to_us};
use super::{Folder, SOON, eventually, free_port};

/// One server on the loopback, with an empty storage, which scrapes four times a second.
pub struct Prometheus {
    // Dropped in this order: the process first, then what it writes to.
    _process: Process,
    _folder: Folder,
    port: u16,
    agent: ureq::Agent,
}

impl Prometheus {
    /// Starts one that scrapes this address as the job `zk_monitor` and evaluates these rules.
    ///
    /// # Panics
    /// If it is not ready soon.
    pub fn start(target: &str, rules: &Path) -> Self {
        let (folder, port) = (Folder::new("prometheus"), free_port());
        let config = folder.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 250ms, evaluation_interval: 250ms}}\nrule_files: [{}]\n\
                 scrape_configs: [{{job_name: zk_monitor, static_configs: [{{targets: ['{target}']}}]}}]\n",
                rules.display()
            ),
        );
        let mut command = bound_to_us("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).proxy(None);
        let server = Self {
            _process: Process::start(command),
            _folder: folder,
            port,
            agent: config.http_status_as_error(false).build().into(),
        };
        eventually(SOON, "Prometheus", || server.get("/-/ready", "").is_ok_and(|(status, _)| status == 200));
        server
    }

    /// What an expression gives at present: of each series its labels.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let (_, body) = self.get("/api/v1/query", expression).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        let series = answer["data"]["result"].as_array().ok_or_else(|| answer["error"].to_string())?;
        Ok(series.iter().map(|series| series["metric"].clone()).collect())
    }

    /// The rules as they were evaluated.
    ///
    /// # Panics
    /// If it does not tell.
    #[track_caller]
    pub fn rules(&self) -> Vec<Value> {
        let (_, body) = self.get("/api/v1/rules", "").unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["data"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect()
    }

    fn get(&self, path: &str, expression: &str) -> Result<(u16, String), ureq::Error> {
        let request = self.agent.get(format!("http://127.0.0.1:{}{path}", self.port));
        let mut response = request.query("query", expression).call()?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
    }
}
