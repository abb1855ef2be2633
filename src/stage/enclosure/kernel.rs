//! The system calls of an enclosure, made between fork and exec.
//!
//! Everything that they need is made before the fork: nothing here allocates, locks or unwinds.

#![allow(
    unsafe_code,
    reason = "between fork and exec there are only system calls"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use nix::libc;

/// What an enclosure is to be made of.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub covered: Vec<PathBuf>,
    pub emptied: Vec<PathBuf>,
    pub door: Option<(SocketAddr, UnixStream)>,
    pub hosts: Option<PathBuf>,
    pub account: Option<(u32, u32)>,
}

/// The same, as the kernel wants it.
#[derive(Debug)]
pub(super) struct Plan {
    /// `uid_map` and `gid_map` of a user namespace; None: root needs none.
    maps: Option<(Vec<u8>, Vec<u8>)>,
    covered: Vec<CString>,
    emptied: Vec<CString>,
    door: Option<(SocketAddr, UnixStream)>,
    hosts: Option<CString>,
    account: Option<(u32, u32)>,
}

impl Plan {
    pub(super) fn new(wanted: Wanted) -> io::Result<Self> {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let text = |path: PathBuf| {
            CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)
        };
        let texts =
            |paths: Vec<PathBuf>| paths.into_iter().map(text).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            maps: (!user.is_root()).then(|| {
                (
                    format!("{user} {user} 1").into_bytes(),
                    format!("{group} {group} 1").into_bytes(),
                )
            }),
            covered: texts(wanted.covered)?,
            emptied: texts(wanted.emptied)?,
            door: wanted.door,
            hosts: wanted.hosts.map(text).transpose()?,
            account: wanted.account,
        })
    }

    /// In the child: everything in its order.
    fn carry_out(&self) -> io::Result<()> {
        if let Some((users, groups)) = &self.maps {
            unshare(libc::CLONE_NEWUSER)?;
            // Without that the kernel takes no map of groups from a user.
            write(c"/proc/self/setgroups", b"deny")?;
            write(c"/proc/self/uid_map", users)?;
            write(c"/proc/self/gid_map", groups)?;
        }
        unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS)?;
        // What is mounted here is seen here only.
        mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE)?;
        for folder in &self.emptied {
            tolerate(mount(
                Some(c"tmpfs"),
                folder,
                Some(c"tmpfs"),
                libc::MS_RDONLY,
            ))?;
        }
        for socket in &self.covered {
            tolerate(mount(Some(c"/dev/null"), socket, None, libc::MS_BIND))?;
        }
        if let Some(hosts) = &self.hosts {
            mount(Some(hosts), c"/etc/hosts", None, libc::MS_BIND)?;
        }
        loopback_up()?;
        if let Some((address, channel)) = &self.door {
            if !address.ip().is_loopback() {
                add_to_loopback(address.ip())?;
            }
            let listener = listen(address)?;
            send(channel.as_raw_fd(), listener)?;
            // SAFETY: the descriptor is ours, and its copy is on its way.
            unsafe { libc::close(listener) };
        }
        if let Some((user, group)) = self.account {
            drop_to(user, group)?;
        }
        Ok(())
    }
}

/// Encloses a command's process before its program begins.
pub(super) fn before_exec(command: &mut tokio::process::Command, plan: Plan) {
    // SAFETY: `carry_out` makes system calls only; all memory was allocated before the fork.
    unsafe { command.pre_exec(move || plan.carry_out()) };
}

/// The same for the standard library's command.
pub(super) fn before_exec_of(command: &mut std::process::Command, plan: Plan) {
    // SAFETY: as above.
    unsafe { command.pre_exec(move || plan.carry_out()) };
}

/// The listener that a process sent through its channel.
pub(super) fn receive(channel: &UnixStream) -> io::Result<TcpListener> {
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut space = Space([0; 64]);
    // SAFETY: all zeroes are a valid header, and every pointer in it outlives the call.
    let (read, message) = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.0.as_mut_ptr().cast();
        message.msg_controllen = space.0.len();
        let read = libc::recvmsg(
            channel.as_raw_fd(),
            &raw mut message,
            libc::MSG_CMSG_CLOEXEC,
        );
        (read, message)
    };
    match read {
        -1 => return Err(io::Error::last_os_error()),
        // Its side closed without a word: the process did not get that far.
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        _ => {}
    }
    // SAFETY: the kernel filled the header in; a message of rights holds a descriptor that is ours from here on.
    unsafe {
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if head.is_null()
            || (*head).cmsg_level != libc::SOL_SOCKET
            || (*head).cmsg_type != libc::SCM_RIGHTS
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let descriptor = libc::CMSG_DATA(head).cast::<RawFd>().read_unaligned();
        Ok(TcpListener::from(OwnedFd::from_raw_fd(descriptor)))
    }
}

/// Room for one descriptor in a message's control part, aligned as its header has to be.
#[repr(align(8))]
struct Space([u8; 64]);

fn send(channel: RawFd, descriptor: RawFd) -> io::Result<()> {
    let mut byte = 0_u8;
    let mut part = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut space = Space([0; 64]);
    // SAFETY: as in `receive`; the control part is large enough for one descriptor.
    let sent = unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(mem::size_of::<RawFd>() as u32) as usize;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(mem::size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(head)
            .cast::<RawFd>()
            .write_unaligned(descriptor);
        libc::sendmsg(channel, &raw const message, libc::MSG_NOSIGNAL)
    };
    match sent {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn unshare(what: libc::c_int) -> io::Result<()> {
    // SAFETY: a call without pointers.
    check(unsafe { libc::unshare(what) })
}

fn mount(
    from: Option<&CStr>,
    at: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
) -> io::Result<()> {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: each text ends with a zero and outlives the call.
    check(unsafe {
        libc::mount(
            pointer(from),
            at.as_ptr(),
            pointer(kind),
            flags,
            std::ptr::null(),
        )
    })
}

/// A socket that is gone, or that this user cannot get to, needs no cover.
fn tolerate(mounted: io::Result<()>) -> io::Result<()> {
    match mounted {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn write(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the text ends with a zero, the bytes are as many as said, the descriptor is closed once.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        check(file)?;
        let written = libc::write(file, bytes.as_ptr().cast(), bytes.len());
        let error = io::Error::last_os_error();
        libc::close(file);
        if written == -1 { Err(error) } else { Ok(()) }
    }
}

fn loopback_up() -> io::Result<()> {
    // SAFETY: all zeroes are a valid request, the name ends with a zero, the descriptor is closed once.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket)?;
        let mut request: libc::ifreq = mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *to = from.cast_signed() as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let done = check(libc::ioctl(
            socket,
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        ));
        libc::close(socket);
        done
    }
}

/// Gives the loopback interface the server's own address, which its certificate may name.
fn add_to_loopback(address: IpAddr) -> io::Result<()> {
    /// `struct in6_ifreq` of the kernel's `include/uapi/linux/ipv6.h`.
    #[repr(C)]
    struct Request6 {
        address: libc::in6_addr,
        prefix: u32,
        interface: libc::c_int,
    }
    // SAFETY: all zeroes are valid requests, the name ends with a zero, each descriptor is closed once.
    unsafe {
        let family = if address.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let socket = libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket)?;
        let done = match address {
            IpAddr::V4(address) => {
                let mut request: libc::ifreq = mem::zeroed();
                for (to, from) in request.ifr_name.iter_mut().zip(c"lo:1".to_bytes()) {
                    *to = from.cast_signed() as libc::c_char;
                }
                let mut name: libc::sockaddr_in = mem::zeroed();
                name.sin_family = libc::AF_INET as libc::sa_family_t;
                name.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
                request.ifr_ifru.ifru_addr = (&raw const name).cast::<libc::sockaddr>().read();
                libc::ioctl(socket, libc::SIOCSIFADDR as _, &raw const request)
            }
            IpAddr::V6(address) => {
                let mut request: Request6 = mem::zeroed();
                request.address.s6_addr = address.octets();
                request.prefix = 128;
                // The loopback interface is the first of every network namespace.
                request.interface = 1;
                libc::ioctl(socket, libc::SIOCSIFADDR as _, &raw const request)
            }
        };
        let done = check(done);
        libc::close(socket);
        done
    }
}

/// How often an address is tried that is not usable yet, and the pause in between.
const BINDING_TURNS: u32 = 200;
const BINDING_PAUSE_MS: libc::c_int = 5;

/// A listener at an address of the loopback interface.
fn listen(address: &SocketAddr) -> io::Result<RawFd> {
    // SAFETY: calls without pointers, or with an empty list.
    unsafe {
        let family = match address.ip() {
            IpAddr::V4(_) => libc::AF_INET,
            IpAddr::V6(_) => libc::AF_INET6,
        };
        let socket = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        check(socket)?;
        // The kernel makes an IPv6 address usable in a work queue of its own, a moment after it was added.
        for turn in 0.. {
            match check(bind(socket, address)) {
                Err(error)
                    if error.raw_os_error() == Some(libc::EADDRNOTAVAIL)
                        && turn < BINDING_TURNS =>
                {
                    libc::poll(std::ptr::null_mut(), 0, BINDING_PAUSE_MS);
                }
                bound => {
                    bound?;
                    break;
                }
            }
        }
        check(libc::listen(socket, 128))?;
        Ok(socket)
    }
}

fn bind(socket: RawFd, address: &SocketAddr) -> libc::c_int {
    // SAFETY: all zeroes are valid addresses; each is passed with its own length.
    unsafe {
        match address {
            SocketAddr::V4(address) => {
                let mut name: libc::sockaddr_in = mem::zeroed();
                name.sin_family = libc::AF_INET as libc::sa_family_t;
                name.sin_port = address.port().to_be();
                name.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                let length = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
                libc::bind(socket, (&raw const name).cast(), length)
            }
            SocketAddr::V6(address) => {
                let mut name: libc::sockaddr_in6 = mem::zeroed();
                name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                name.sin6_port = address.port().to_be();
                name.sin6_addr.s6_addr = address.ip().octets();
                let length = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
                libc::bind(socket, (&raw const name).cast(), length)
            }
        }
    }
}

fn drop_to(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: calls without pointers, but for an empty list.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setgid(group))?;
        check(libc::setuid(user))
    }
}

fn check(answer: libc::c_int) -> io::Result<()> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
