//! The rows: what is done, and what the project promises of it.

/// Something to measure on every runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    SpawnJoin,
    SpawnSerial,
    Yield1,
    Yield100,
    Yield10k,
    Hop,
    SleepDropped,
    SleepFired,
    PingPongEvent,
    PingPongChannel,
    Oneshot,
    Mpsc,
    Mutex,
    Unblock,
    Unblock100,
    Idle,
}

/// What a row is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds for each operation, judged by processor time: it is the wall time where nothing is waited for, and
    /// what a busy neighbour does to it is little.
    Nanos,
    /// Bytes of resident memory for each task.
    Bytes,
}

impl Row {
    pub(crate) const ALL: [Self; 16] = [
        Self::SpawnJoin,
        Self::SpawnSerial,
        Self::Yield1,
        Self::Yield100,
        Self::Yield10k,
        Self::Hop,
        Self::SleepDropped,
        Self::SleepFired,
        Self::PingPongEvent,
        Self::PingPongChannel,
        Self::Oneshot,
        Self::Mpsc,
        Self::Mutex,
        Self::Unblock,
        Self::Unblock100,
        Self::Idle,
    ];

    /// Returns the row's name on the command line.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::SpawnJoin => "spawn-join",
            Self::SpawnSerial => "spawn-serial",
            Self::Yield1 => "yield-1",
            Self::Yield100 => "yield-100",
            Self::Yield10k => "yield-10k",
            Self::Hop => "wake-hop",
            Self::SleepDropped => "sleep-dropped",
            Self::SleepFired => "sleep-fired",
            Self::PingPongEvent => "ping-pong-event",
            Self::PingPongChannel => "ping-pong-channel",
            Self::Oneshot => "oneshot",
            Self::Mpsc => "mpsc",
            Self::Mutex => "mutex",
            Self::Unblock => "unblock",
            Self::Unblock100 => "unblock-100",
            Self::Idle => "idle-task",
        }
    }

    /// Says what one operation is.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::SpawnJoin => "spawn and join a task, 10 000 alive",
            Self::SpawnSerial => "spawn a task and await it, one by one",
            Self::Yield1 => "yield, 1 task",
            Self::Yield100 => "yield, 100 tasks",
            Self::Yield10k => "yield, 10 000 tasks",
            Self::Hop => "wake the other task by its waker, and wait",
            Self::SleepDropped => "make, poll and drop a sleep, 10 000 pending",
            Self::SleepFired => "sleep 1 to 40 ms, 100 000 tasks",
            Self::PingPongEvent => "notify the other task, and wait",
            Self::PingPongChannel => "send to the other task over a channel of 1, and wait",
            Self::Oneshot => "make a oneshot channel, send, receive",
            Self::Mpsc => "send and receive a message over a channel of 128",
            Self::Mutex => "lock and unlock a free mutex",
            Self::Unblock => "call a closure on another thread and await it, one by one",
            Self::Unblock100 => "the same, a hundred at a time",
            Self::Idle => "a task that waits, of a million",
        }
    }

    /// Returns what the project promises: the most that our median ratio to the best peer may be.
    pub(crate) const fn bar(self) -> f64 {
        match self {
            Self::SpawnJoin => 0.75,
            Self::SpawnSerial => 0.6,
            Self::Yield1 | Self::Yield100 | Self::Yield10k | Self::Hop => 0.35,
            Self::SleepDropped => 0.7,
            Self::PingPongEvent | Self::PingPongChannel => 0.3,
            Self::SleepFired | Self::Oneshot | Self::Mpsc | Self::Mutex | Self::Idle => 1.0,
            Self::Unblock | Self::Unblock100 => 1.0,
        }
    }

    /// Returns what the row is measured in.
    pub(crate) const fn unit(self) -> Unit {
        match self {
            Self::Idle => Unit::Bytes,
            _ => Unit::Nanos,
        }
    }
}
