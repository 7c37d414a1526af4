//! A network of hosts: a namespace each, and one switch between them, which loses and delays what it is told to.
//!
//! Each host has a TUN device whose other end this process holds, so that every packet between two hosts passes through
//! [`Network::forward`]. What goes from one host to another is a link of its own: it can be cut one way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use fastrand::Rng;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::common::{Process, bound_to_us, eventually};

/// The test itself, where znodes are changed and `/status` is asked: nothing is ever done to its links.
pub const TEST: usize = 0;
/// The receivers: an address of the test's own host.
pub const RECEIVERS: usize = 1;
pub const SERVERS: [usize; 3] = [2, 3, 4];
pub const AGENTS: [usize; 3] = [5, 6, 7];
const HOSTS: usize = 8;
/// Larger than the MTU of a TUN device.
const PACKET: usize = 2_048;

/// Opens TUN devices and hands them over. Python, because an `ioctl` is no safe call in Rust.
const OPEN: &str = "
import fcntl, os, socket, struct, sys
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
devices = []
for name in sys.argv[1:]:
    device = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack('16sH', name.encode(), IFF_TUN | IFF_NO_PI))
    devices.append(device)
socket.send_fds(socket.socket(fileno=0), [b'x'], devices)
";

/// What befalls the packets from one host to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub cut: bool,
    /// How many of a hundred are lost.
    pub loss: u8,
    pub delay: Duration,
}

/// The switch and its hosts. Their namespaces end with it.
pub struct Network {
    links: Arc<Mutex<[[Link; HOSTS]; HOSTS]>>,
    /// What keeps each host's namespace; the test's own needs none.
    keepers: Vec<Option<Process>>,
}

/// The address of a host.
pub fn ip(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(host + 1).unwrap())
}

/// The host of an address, if it is one of ours.
fn host(octets: &[u8]) -> Option<usize> {
    let [10, 77, 0, last] = *octets else { return None };
    usize::from(last).checked_sub(1).filter(|host| *host < HOSTS)
}

impl Network {
    /// Makes the hosts, within a network namespace that is this process's own.
    pub fn start(seed: u64) -> Self {
        let keepers: Vec<_> = (0..HOSTS).map(|host| (host > RECEIVERS).then(keep)).collect();
        let names: Vec<String> = (0..HOSTS).filter(|host| *host != RECEIVERS).map(device).collect();
        let devices: Vec<Arc<File>> = open(&names).into_iter().map(|fd| Arc::new(File::from(fd))).collect();
        ip_command(&["link", "set", "lo", "up"], None);
        for (host, keeper) in keepers.iter().enumerate() {
            plug_in(host, keeper.as_ref());
        }
        let device = |host: usize| Arc::clone(&devices[host.saturating_sub(1)]);
        let devices: Vec<Arc<File>> = (0..HOSTS).map(device).collect();
        let links = Arc::new(Mutex::new([[Link::default(); HOSTS]; HOSTS]));
        let (later, waiting) = unbounded();
        let outputs = devices.clone();
        // These end with the process.
        std::thread::spawn(move || delay(&waiting, &outputs));
        for host in (0..HOSTS).filter(|host| *host != RECEIVERS) {
            let (links, devices, later) = (Arc::clone(&links), devices.clone(), later.clone());
            let rng = Rng::with_seed(seed.wrapping_add(host as u64));
            std::thread::spawn(move || forward(&devices[host], &devices, &links, &later, rng));
        }
        Self { links, keepers }
    }

    /// The file that stands for a host's namespace.
    pub fn namespace(&self, host: usize) -> PathBuf {
        namespace(self.keepers[host].as_ref().unwrap())
    }

    /// Changes the link from one host to another.
    pub fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Link)) {
        change(&mut self.links.lock().unwrap()[from][to]);
    }
}

fn device(host: usize) -> String {
    format!("chaos{host}")
}

/// A process whose only use is the namespace that it is in.
fn keep() -> Process {
    let mut command = bound_to_us("unshare");
    command.args(["--net", "sleep", "infinity"]).stdin(Stdio::null());
    let process = Process::start(command);
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    eventually(Duration::from_secs(20), "network namespace", || {
        std::fs::read_link(namespace(&process)).is_ok_and(|other| other != own)
    });
    process
}

fn namespace(keeper: &Process) -> PathBuf {
    format!("/proc/{}/ns/net", keeper.pid()).into()
}

fn open(names: &[String]) -> Vec<OwnedFd> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", OPEN]).args(names).stdin(OwnedFd::from(theirs));
    assert!(command.status().unwrap().success(), "cannot open /dev/net/tun");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HOSTS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&ours, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty()).unwrap();
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(devices) = message {
            fds.extend(devices);
        }
    }
    fds
}

/// Brings a host's device into its namespace and gives it its address.
fn plug_in(host: usize, keeper: Option<&Process>) {
    let space = keeper.map(namespace);
    let (device, address) = (device(if host == RECEIVERS { TEST } else { host }), format!("{}/24", ip(host)));
    if let Some(keeper) = keeper {
        ip_command(&["link", "set", &device, "netns", &keeper.pid().to_string()], None);
        ip_command(&["link", "set", "lo", "up"], space.as_deref());
    }
    ip_command(&["address", "add", &address, "dev", &device], space.as_deref());
    ip_command(&["link", "set", &device, "up"], space.as_deref());
}

fn ip_command(args: &[&str], namespace: Option<&Path>) {
    let mut command = Command::new(if namespace.is_some() { "nsenter" } else { "ip" });
    if let Some(namespace) = namespace {
        command.arg(format!("--net={}", namespace.display())).args(["--", "ip"]);
    }
    assert!(command.args(args).status().unwrap().success(), "ip {args:?} failed");
}

/// A packet that waits: until when, which it is, where to, and what.
type Waiting = (Instant, u64, usize, Vec<u8>);

fn forward(
    device: &File,
    devices: &[Arc<File>],
    links: &Mutex<[[Link; HOSTS]; HOSTS]>,
    later: &Sender<Waiting>,
    mut rng: Rng,
) {
    let (mut packet, mut number, mut device) = ([0; PACKET], 0, device);
    while let Ok(length) = device.read(&mut packet) {
        let packet = &packet[..length];
        let ends = (packet.len() >= 20).then(|| (host(&packet[12..16]), host(&packet[16..20])));
        // What is no IPv4 between two hosts is the kernel's talk to itself.
        let Some((Some(from), Some(to))) = ends else { continue };
        let link = links.lock().unwrap()[from][to];
        if link.cut || rng.u8(..100) < link.loss {
            continue;
        }
        if link.delay.is_zero() {
            put(&devices[to], packet);
        } else {
            number += 1;
            drop(later.send((Instant::now() + link.delay, number, to, packet.to_vec())));
        }
    }
}

fn delay(waiting: &Receiver<Waiting>, devices: &[Arc<File>]) {
    let mut heap: BinaryHeap<Reverse<Waiting>> = BinaryHeap::new();
    loop {
        let until = heap.peek().map(|Reverse((at, ..))| *at);
        let next = match until {
            Some(at) => waiting.recv_deadline(at).ok(),
            None => Some(waiting.recv().unwrap()),
        };
        heap.extend(next.map(Reverse));
        while heap.peek().is_some_and(|Reverse((at, ..))| *at <= Instant::now()) {
            let Reverse((_, _, to, packet)) = heap.pop().unwrap();
            put(&devices[to], &packet);
        }
    }
}

/// A queue that is full loses the packet, as any network does.
fn put(mut device: &File, packet: &[u8]) {
    drop(device.write(packet));
}
