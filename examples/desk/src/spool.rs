//! `--spool`: a folder in which events appear, a line each, in files that others append to.
//!
//! The system tells when something in the folder changes, by inotify(7), and what has changed is then looked for: see `follow`. Where
//! there is no inotify the folder is looked at twenty times a second.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use antiphon::{is_cancelled, time, unblock};

use crate::follow::{Folder, Found, Line};
use crate::front::Front;
use crate::input::{self, Request};
use crate::reception::{Reception, Source};

/// A folder to be read.
pub(crate) struct Spool {
    folder: Folder,
    bell: Bell,
}

/// How often a folder is looked at about which the system does not tell.
const INTERVAL: Duration = Duration::from_millis(50);

/// The time until the next try, if the folder can't be read.
const PAUSE: Duration = Duration::from_secs(1);

impl Spool {
    /// Begins to watch the folder at `path`.
    ///
    /// # Errors
    /// If there is no such folder, or it can't be read.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::read_dir(&path)?;
        // Before the first look, so that nothing falls in between.
        let bell = Bell::hang(&path);
        let folder = Folder::new(path);
        Ok(Self { folder, bell })
    }

    /// Lets happen what is in the files, until the desk closes.
    pub(crate) async fn serve(self, reception: Rc<Reception>, front: Rc<Front>) {
        let Self {
            mut folder,
            mut bell,
        } = self;
        let mut is_lost = false;
        loop {
            // What is found comes back with the folder.
            let look = unblock(move || {
                let found = folder.look();
                (folder, found)
            });
            let Ok((looked, found)) = look.await else {
                return;
            };
            folder = looked;
            match found {
                Ok(found) => {
                    is_lost = false;
                    let is_more = found.is_more;
                    if carry_out(found, &reception, &front).await.is_none() {
                        return;
                    }
                    if is_more {
                        continue;
                    }
                }
                Err(error) => {
                    if !is_lost {
                        let path = folder.path().display();
                        front.warn(&format!("can't read the folder {path}: {error}"));
                    }
                    is_lost = true;
                }
            }
            let pause = async {
                if is_lost {
                    return time::sleep(PAUSE).await.map_err(io::Error::from);
                }
                bell.wait().await
            };
            match reception.unless_closing(pause).await {
                Some(Ok(())) => {}
                Some(Err(error)) if !is_cancelled(&error) => bell = Bell::Interval,
                Some(Err(_)) | None => return,
            }
        }
    }
}

/// Does what the lines ask for. `None` if the desk closes.
async fn carry_out(found: Found, reception: &Rc<Reception>, front: &Front) -> Option<()> {
    for trouble in &found.troubles {
        front.warn(trouble);
    }
    for line in found.lines {
        let place = line.place();
        let Line { text, .. } = line;
        match text.and_then(|text| input::parse(&text)) {
            Ok(Request::Event(event)) => {
                let source = Source::File(place);
                reception.event(event, source).await.ok()?;
            }
            Ok(Request::After(delay, event)) => match reception.after(delay, event) {
                Ok(timer) => front.note(&format!("{place}: {timer}")),
                Err(error) => front.warn(&format!("{place}: {error}")),
            },
            Ok(_) => front.warn(&format!(
                "{place}: a file is not answered; only events count"
            )),
            Err(error) => front.warn(&format!("{place}: {error}")),
        }
    }
    Some(())
}

/// What tells that the folder is to be looked at.
enum Bell {
    #[cfg(target_os = "linux")]
    Inotify {
        /// The same as below, to be read.
        queue: std::os::fd::OwnedFd,
        readiness: antiphon::io::Descriptor,
    },
    Interval,
}

impl Bell {
    #[cfg(target_os = "linux")]
    fn hang(path: &std::path::Path) -> Self {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

        let hung = || {
            let queue = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let changes = WatchFlags::CREATE
                | WatchFlags::MODIFY
                | WatchFlags::MOVE
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF;
            add_watch(&queue, path, changes)?;
            let readiness = antiphon::io::Descriptor::new(queue.try_clone()?);
            Ok::<_, io::Error>(Self::Inotify { queue, readiness })
        };
        // A user has only so many of them.
        hung().unwrap_or(Self::Interval)
    }

    #[cfg(not(target_os = "linux"))]
    fn hang(_: &std::path::Path) -> Self {
        Self::Interval
    }

    /// Waits until the folder is to be looked at.
    async fn wait(&self) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Inotify { queue, readiness } => {
                readiness.readable().await?;
                // What has changed, the look finds out. All that is told of now is seen then.
                let mut events = [0; 4096];
                while let Ok(1..) = rustix::io::read(queue, &mut events) {}
                Ok(())
            }
            Self::Interval => Ok(time::sleep(INTERVAL).await?),
        }
    }
}
