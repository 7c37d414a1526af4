//! A real mail server: Debian's Postfix, with a configuration and a queue of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::authority::Authority;
use super::children::{Process, bound_to_us};
use super::run::finish;
use super::{Folder, Mail, SOON, eventually, free_port};

const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// Who may send, once the connection is encrypted.
pub const USER: &str = "zk";
/// With this password.
pub const PASSWORD: &str = "s3cret-of-the-mail";
/// The addresses that exist, in this domain; each other one is refused with 550.
const LOCAL: [&str; 3] = ["you", "other", "ops"];
/// The domain.
const DOMAIN: &str = "example.com";

/// The server. It takes mail only from who has authenticated, and asks for that only in TLS.
pub struct Postfix {
    // Dropped in this order: the process first, then what it writes to.
    _process: Process,
    folder: Folder,
    authority: Authority,
    starttls: u16,
    implicit: u16,
}

impl Postfix {
    /// Starts one on free ports of the loopback, and waits until it serves.
    ///
    /// # Panics
    /// If it does not. It needs root, as every mail server that changes users.
    pub fn start() -> Self {
        assert!(
            Path::new(MASTER).exists(),
            "{MASTER} is missing: tests/run installs Debian's package postfix"
        );
        assert!(rustix::process::geteuid().is_root(), "Postfix needs root: run the tests as root");
        let (folder, authority) = (Folder::in_temp("postfix"), Authority::new());
        let (starttls, implicit) = (free_port(), free_port());
        for name in ["config/sasl", "queue", "data", "mail"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        folder.write("config/main.cf", &main_cf(folder.path(), &authority));
        folder.write("config/master.cf", &master_cf(starttls, implicit));
        passwords(&folder);
        done("chown", &["postfix", "data"], folder.path());
        done("chown", &["nobody", "mail"], folder.path());
        let config = folder.path().join("config").display().to_string();
        // Makes the directories of the queue.
        done("postfix", &["-c", &config, "check"], folder.path());
        let mut command = bound_to_us(MASTER);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.args(["-d", "-c", &config]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let server = Self { _process: Process::start(command), folder, authority, starttls, implicit };
        for port in [starttls, implicit] {
            eventually(SOON, "service by Postfix", || {
                std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| (error, server.log()))
            });
        }
        server
    }

    /// The port that wants STARTTLS.
    pub fn starttls(&self) -> u16 {
        self.starttls
    }

    /// The port that is in TLS from the first byte.
    pub fn implicit(&self) -> u16 {
        self.implicit
    }

    /// The authority that its certificate, for `localhost`, is from.
    pub fn ca(&self) -> String {
        self.authority.ca().display().to_string()
    }

    /// All mails that were delivered, by when they came.
    pub fn mails(&self) -> Vec<Mail> {
        let read = |address: &str| {
            let inbox = self.folder.path().join("mail").join(address).join("new");
            let files = std::fs::read_dir(inbox).into_iter().flatten().flatten();
            let mails = files.map(|file| std::fs::read_to_string(file.path()).unwrap().replace('\n', "\r\n"));
            let to = [format!("{address}@{DOMAIN}")];
            mails.map(|raw| Mail::parse("", &to, &raw, Instant::now())).collect::<Vec<_>>()
        };
        LOCAL.into_iter().flat_map(read).collect()
    }

    /// Waits until `count` mails were delivered.
    ///
    /// # Panics
    /// If they are not, or more are.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Mail> {
        let mails = eventually(SOON, &format!("{count} mails"), || {
            let mails = self.mails();
            if mails.len() >= count { Ok(mails) } else { Err((mails.len(), self.log())) }
        });
        assert_eq!(mails.len(), count, "{}", self.log());
        mails
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn main_cf(folder: &Path, authority: &Authority) -> String {
    let certificate = authority.issue("DNS:localhost");
    let boxes: Vec<String> = LOCAL.iter().map(|name| format!("{{ {name}@{DOMAIN} = {name}/ }}")).collect();
    let (uid, gid) = (id("-u"), id("-g"));
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {0}/queue\n\
         data_directory = {0}/data\n\
         mail_owner = postfix\n\
         maillog_file = /dev/stdout\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         myhostname = mail.{DOMAIN}\n\
         mydestination =\n\
         alias_maps =\n\
         alias_database =\n\
         virtual_mailbox_domains = {DOMAIN}\n\
         virtual_mailbox_base = {0}/mail\n\
         virtual_mailbox_maps = inline:{{ {1} }}\n\
         virtual_uid_maps = static:{uid}\n\
         virtual_gid_maps = static:{gid}\n\
         smtpd_tls_cert_file = {2}\n\
         smtpd_tls_key_file = {3}\n\
         smtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_path = smtpd\n\
         smtpd_sasl_local_domain = {DOMAIN}\n\
         smtpd_tls_auth_only = yes\n\
         cyrus_sasl_config_path = {0}/config/sasl\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
         smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
        folder.display(),
        boxes.join(", "),
        certificate.certificate.display(),
        certificate.key.display(),
    )
}

fn master_cf(starttls: u16, implicit: u16) -> String {
    let services = [
        "postlog unix-dgram n - n - 1 postlogd",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "tlsmgr unix - - n 1000? 1 tlsmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "proxymap unix - - n - - proxymap",
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
    ];
    format!(
        "127.0.0.1:{starttls} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt\n\
         127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\n\
         {}\n",
        services.join("\n")
    )
}

/// Where Cyrus SASL finds the one user: Debian's Postfix looks below its configuration.
fn passwords(folder: &Folder) {
    let database = folder.path().join("sasldb");
    folder.write(
        "config/sasl/smtpd.conf",
        &format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: PLAIN LOGIN\n",
            database.display()
        ),
    );
    let password = std::fs::File::open(folder.write("password", PASSWORD)).unwrap();
    let mut command = bound_to_us("saslpasswd2");
    command.args(["-p", "-c", "-u", DOMAIN, "-f"]).arg(&database).arg(USER).stdin(password);
    let output = finish(command, SOON);
    assert_eq!(output.code, Some(0), "saslpasswd2: {}", output.stderr);
    done("chown", &["postfix", "sasldb"], folder.path());
}

/// Runs a program to its end, which is to be a good one.
fn done(program: &str, arguments: &[&str], folder: &Path) -> String {
    let mut command = bound_to_us(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    let output = finish(command, SOON);
    assert_eq!(output.code, Some(0), "{program} {arguments:?}: {}", output.stderr);
    output.stdout
}

/// The number of the user or group that the mailboxes belong to.
fn id(which: &str) -> String {
    done("id", &[which, "nobody"], Path::new("/")).trim().to_owned()
}
