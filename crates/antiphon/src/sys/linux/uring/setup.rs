//! What the kernel grants of `io_uring`, and what is made of it.
//!
//! The flags of the ring are tried from the best down:
//!
//! | rung | Linux | what it saves |
//! |---|---|---|
//! | `SINGLE_ISSUER`, `DEFER_TASKRUN`, `COOP_TASKRUN`, `TASKRUN_FLAG` | 6.1 | completions are worked off when the loop asks, never by an interrupt |
//! | `SINGLE_ISSUER`, `COOP_TASKRUN`, `TASKRUN_FLAG` | 6.0 | no interrupt for a completion |
//! | `COOP_TASKRUN`, `TASKRUN_FLAG` | 5.19 | the same |
//!
//! There is no rung below: 5.19 is also the first with multi-shot accept, and epoll serves older kernels as well as a ring
//! without all this would.

use std::fmt;
use std::io;

use io_uring::{IoUring, Parameters, Probe, opcode};

/// What was chosen. Shown by the task tree, and said in bug reports.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    rung: &'static str,
    pub(super) is_ring_registered: bool,
    /// Whether receives share a pool of buffers.
    pub(super) has_pool: bool,
    /// Whether a wait can be kept out of the system's statistics of waiting for disks (Linux 6.15).
    pub(super) has_no_iowait: bool,
    submissions: u32,
    completions: u32,
}

/// Submissions that one system call hands over. What is more waits in a queue of ours.
const SUBMISSIONS: u32 = 256;

/// Completions that have room until they are looked at. What is more waits in the kernel.
const COMPLETIONS: u32 = 2048;

/// What sets a rung apart, and how it is asked for.
type Rung = (&'static str, fn(&mut io_uring::Builder));

const RUNGS: [Rung; 3] = [
    ("SINGLE_ISSUER | DEFER_TASKRUN | COOP_TASKRUN", |builder| {
        builder.setup_single_issuer().setup_defer_taskrun();
    }),
    ("SINGLE_ISSUER | COOP_TASKRUN", |builder| {
        builder.setup_single_issuer();
    }),
    ("COOP_TASKRUN", |_| {}),
];

/// The operations that the driver uses. An accept is a multi-shot one.
const OPCODES: [(&str, u8); 11] = [
    ("ACCEPT", opcode::AcceptMulti::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("READ", opcode::Read::CODE),
    ("RECV", opcode::Recv::CODE),
    ("RECVMSG", opcode::RecvMsg::CODE),
    ("SEND", opcode::Send::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("WRITE", opcode::Write::CODE),
];

impl Setup {
    /// Makes a ring with the best flags that the kernel takes.
    ///
    /// # Errors
    /// - `ENOSYS`: the kernel has no `io_uring`, or a filter says so.
    /// - `EPERM`: it is forbidden, by `kernel.io_uring_disabled` or by a filter.
    /// - `ENOMEM`: the memory that may be locked does not suffice (before Linux 5.12).
    /// - `EINVAL`: the kernel is older than 5.19.
    /// - [`Unsupported`](io::ErrorKind::Unsupported), if the ring can't do something that is needed; it is named.
    pub(super) fn open() -> io::Result<(IoUring, Self)> {
        let mut refusal = None;
        for (rung, adjust) in RUNGS {
            let mut builder = IoUring::builder();
            builder
                .dontfork()
                .setup_submit_all()
                .setup_coop_taskrun()
                .setup_taskrun_flag()
                .setup_cqsize(COMPLETIONS);
            adjust(&mut builder);
            match builder.build(SUBMISSIONS) {
                Ok(ring) => {
                    check(&ring)?;
                    let setup = Self::of(rung, ring.params());
                    return Ok((ring, setup));
                }
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.expect("there is a rung"))
    }

    /// Returns `true` if the kernel works completions off only when it is asked to.
    pub(super) fn is_deferred(&self) -> bool {
        self.rung == RUNGS[0].0
    }

    fn of(rung: &'static str, params: &Parameters) -> Self {
        Self {
            rung,
            is_ring_registered: false,
            has_pool: false,
            has_no_iowait: params.is_feature_no_iowait(),
            submissions: params.sq_entries(),
            completions: params.cq_entries(),
        }
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, rings of {} and {}",
            self.rung, self.submissions, self.completions
        )?;
        for (name, is_used) in [
            ("registered ring", self.is_ring_registered),
            ("shared receive buffers", self.has_pool),
            ("NO_IOWAIT", self.has_no_iowait),
        ] {
            write!(f, ", {}{name}", if is_used { "" } else { "no " })?;
        }
        Ok(())
    }
}

fn check(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let params = ring.params();
    let features = [
        ("EXT_ARG", params.is_feature_ext_arg()),
        ("FAST_POLL", params.is_feature_fast_poll()),
        ("NODROP", params.is_feature_nodrop()),
    ];
    let opcodes = OPCODES
        .iter()
        .map(|(name, code)| (*name, probe.is_supported(*code)));
    match opcodes
        .chain(features)
        .find(|(_, is_supported)| !is_supported)
    {
        Some((name, _)) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("io_uring without {name}"),
        )),
        None => Ok(()),
    }
}
