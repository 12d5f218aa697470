//! The whole of it: the terminal or the pipe, socket clients, files and timers, served at the same time.
//!
//! The main task reads what is typed or piped. The others have tasks of their own, see `clients`, `spool` and `reception`; all but
//! clients are on the first worker, and so is the desk. Whatever blocks has a thread: see `bridge`.
//!
//! # The end
//! SIGINT and SIGTERM cancel every wait. The main task then closes the desk under a shield, as it does at any other end: commands
//! are asked to end, coroutines say their last lines, clients get their last answers. Each of these takes a bounded time, and
//! all of it is bounded by the loop, which after its grace names who has not ended and lets the process die of the signal. So
//! it is if nobody reads the transcript. A second signal ends the process at once.

use std::net::TcpListener as StdListener;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use antiphon::inspect::{self, Inspector};
use antiphon::net::TcpListener;
use antiphon::signal::Kind;
use antiphon::thread::{Sender, channel};
use antiphon::{
    Cancelled, Runtime, TaskBuilder, WorkerTask, droppable, is_cancelled, shield, spawn_on, workers,
};

use crate::bridge::Bridge;
use crate::clients::{self, WORDS_MAX, Word};
use crate::desk::Desk;
use crate::errands::Errands;
use crate::error::DeskError;
use crate::front::{Front, INPUTS_MAX, Input, Inputs};
use crate::help::help;
use crate::input::{self, InputError, Request};
use crate::interrupts;
use crate::load;
use crate::orders;
use crate::plain::Transcript;
use crate::reception::{Reception, Source, tree};
use crate::spool::Spool;
use crate::terminal::{self, Screen};

/// How the desk is opened.
pub(crate) struct Options {
    /// The transcript, even in a terminal.
    pub(crate) is_plain: bool,
    /// The address for socket clients.
    pub(crate) listen: Option<String>,
    /// How many workers serve them, at least one.
    pub(crate) workers: usize,
    /// The folder in whose files events appear.
    pub(crate) spool: Option<PathBuf>,
    /// The command for each coroutine that has finished.
    pub(crate) exec: Option<String>,
    /// How many of them run at once.
    pub(crate) jobs: usize,
    /// The path of a socket for those who look.
    pub(crate) inspect: Option<PathBuf>,
}

/// Opens the desk, serves until it is to close, and closes it.
///
/// # Errors
/// If nobody could be served any more, or not at all. The desk is closed all the same.
pub(crate) fn run(options: &Options) -> Result<(), DeskError> {
    let is_plain = options.is_plain || !terminal::is_possible();
    let interrupts = if is_plain {
        None
    } else {
        Some(interrupts::hear().map_err(DeskError::Interrupts)?)
    };
    let runtime = Runtime::builder().workers(options.workers).build();
    let served = runtime.map_err(DeskError::Loop)?.run(async || {
        let sources = open(options).await?;
        let inputs = Bridge::new(INPUTS_MAX);
        let front = Rc::new(if is_plain {
            Front::Plain(Transcript::open(&inputs))
        } else {
            Front::Terminal(Screen::open(&inputs)?)
        });
        let served = serve(options, sources, &inputs, interrupts, &front).await;
        inputs.close();
        let finished = shield(async || front.finish().await).await;
        served.and(finished)
    });
    match served {
        Err(error) if error.is_reader_gone() => Ok(()),
        // By a signal, at which the desk was closed.
        Err(error) if is_cancelled(&error) => Ok(()),
        result => result,
    }
}

/// Who else than the one at the desk lets events happen, and who looks.
struct Sources {
    /// One for each worker, or none.
    listeners: Vec<StdListener>,
    spool: Option<Spool>,
    /// It is there until the desk is closed.
    _inspector: Option<Inspector>,
}

async fn open(options: &Options) -> Result<Sources, DeskError> {
    let spool = match &options.spool {
        Some(path) => Some(spool_at(path)?),
        None => None,
    };
    let listeners = match &options.listen {
        Some(address) => listen(address).await?,
        None => Vec::new(),
    };
    let inspector = match &options.inspect {
        Some(path) => Some(inspect_at(path).await?),
        None => None,
    };
    Ok(Sources {
        listeners,
        spool,
        _inspector: inspector,
    })
}

/// Runs a load instead, and prints what it cost.
pub(crate) fn load(coroutines: usize) -> Result<(), DeskError> {
    let mut runtime = Runtime::builder().build().map_err(DeskError::Loop)?;
    let loaded = runtime.run(async || {
        let mut desk = Desk::new(orders::started_by);
        let report = load::run(&mut desk, coroutines).await;
        // If it was interrupted.
        drop(desk.close().await);
        report
    });
    let Ok(report) = loaded else {
        return Ok(());
    };
    let printed = {
        use std::io::Write as _;
        writeln!(std::io::stdout(), "{report}")
    };
    match printed.map_err(DeskError::Output) {
        Err(error) if error.is_reader_gone() => Ok(()),
        result => result,
    }
}

/// Listens at `address`, with a listener for each worker. Once the address is said, all of them take clients.
async fn listen(address: &str) -> Result<Vec<StdListener>, DeskError> {
    let bound = async {
        // Others may only have the address as well if they are our workers.
        let first = match workers().len() {
            1 => TcpListener::bind(address).await?,
            _ => TcpListener::bind_shared(address).await?,
        };
        let at = first.local_addr()?;
        let mut listeners = vec![first.into_std()?];
        for _ in 1..workers().len() {
            listeners.push(TcpListener::bind_shared(at).await?.into_std()?);
        }
        Ok((listeners, at))
    };
    let (listeners, at) = bound.await.map_err(|error| DeskError::Listen {
        address: address.to_owned(),
        error,
    })?;
    crate::say(&format!("listening at {at}"));
    Ok(listeners)
}

fn spool_at(path: &Path) -> Result<Spool, DeskError> {
    Spool::open(path.to_owned()).map_err(|error| DeskError::Spool {
        folder: path.to_owned(),
        error,
    })
}

async fn inspect_at(path: &Path) -> Result<Inspector, DeskError> {
    let opened = inspect::open(path).await;
    opened.map_err(|error| DeskError::Listen {
        address: path.display().to_string(),
        error,
    })
}

/// Serves all sources until the desk is to close, and closes it.
async fn serve(
    options: &Options,
    sources: Sources,
    inputs: &Inputs,
    interrupts: Option<Bridge<()>>,
    front: &Rc<Front>,
) -> Result<(), DeskError> {
    let errands = options
        .exec
        .as_ref()
        .map(|command| Errands::new(command, options.jobs, Rc::clone(front)));
    let desk = Desk::new(orders::started_by);
    let reception = Reception::new(desk, Rc::clone(front), errands.clone());
    let is_listening = !sources.listeners.is_empty() || sources.spool.is_some();
    let clients = attend_clients(sources.listeners, &reception, front);
    if let Some(spool) = sources.spool {
        let (reception, front) = (Rc::clone(&reception), Rc::clone(front));
        let spool = async move || spool.serve(reception, front).await;
        // It ends when the desk closes.
        drop(TaskBuilder::new().name("spool").spawn(spool));
    }
    if let Some(interrupts) = interrupts {
        close_at(interrupts, &reception);
    }
    if options.inspect.is_some() && matches!(**front, Front::Plain(_)) {
        // On the screen of a terminal there is `tree`.
        let printer = async || inspect::print_on(Kind::USER1).await;
        drop(TaskBuilder::new().name("printer").spawn(printer));
    }

    let served = match serve_front(inputs, front, &reception, is_listening).await {
        // By a signal, at which the desk closes.
        Err(error) if is_cancelled(&error) => Ok(()),
        served => served,
    };

    let closed = shield(async || {
        reception.close();
        if let Some(errands) = &errands {
            errands.cancel();
        }
        front.part(&reception.farewells().await?);
        if let Some(errands) = &errands {
            errands.idle().await?;
        }
        for clients in clients {
            // What could have happened to them is no reason not to close.
            let _ = clients.await;
        }
        Ok(())
    });
    let closed = closed.await;
    served.and(closed)
}

/// Starts to serve clients, on as many workers as there are listeners. They end when the desk closes.
fn attend_clients(
    listeners: Vec<StdListener>,
    reception: &Rc<Reception>,
    front: &Rc<Front>,
) -> Vec<WorkerTask<()>> {
    let attended = listeners.into_iter().enumerate().map(|(worker, listener)| {
        let (counter, words) = channel(WORDS_MAX);
        let (reception, front) = (Rc::clone(reception), Rc::clone(front));
        let attend = async move || clients::attend_counter(words, reception, front).await;
        // It ends when the desk closes.
        drop(TaskBuilder::new().name("counter").spawn(attend));
        spawn_on(worker, async move || {
            // It is the counter that ends it, not a signal.
            shield(async || serve_clients(listener, counter).await).await;
        })
    });
    attended.collect()
}

/// Serves clients on this worker.
async fn serve_clients(listener: StdListener, counter: Sender<Word>) {
    match TcpListener::from_std(listener) {
        Ok(listener) => {
            let serve = async move || clients::serve(listener, counter).await;
            // A panic has been told of.
            let _ = TaskBuilder::new().name("listener").spawn(serve).await;
        }
        Err(error) => {
            let trouble = format!("a worker can't listen: {error}");
            let _ = counter.send(Word::Trouble(trouble)).await;
        }
    }
}

/// Closes the desk at the first interrupt.
fn close_at(interrupts: Bridge<()>, reception: &Rc<Reception>) {
    let reception = Rc::clone(reception);
    let closer = TaskBuilder::new().name("interrupts").spawn(async move || {
        droppable(interrupts.pop()).await?;
        reception.close();
        Ok::<(), Cancelled>(())
    });
    // It may wait until the end of the loop.
    drop(closer);
}

/// Serves the one who sits at the desk, until they leave or the desk is to close for another reason.
async fn serve_front(
    inputs: &Inputs,
    front: &Rc<Front>,
    reception: &Rc<Reception>,
    is_listening: bool,
) -> Result<(), DeskError> {
    reception.look(|desk| front.ask(desk, false)).await?;
    let mut number = 0;
    while let Some(input) = reception.unless_closing(droppable(inputs.pop())).await {
        let Some(input) = input? else { break };
        match input {
            Input::Line(read) => {
                number += 1;
                let lines = match read {
                    Ok(read) => front.split(read).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                if carry_out(lines, number, front, reception).await?.is_break() {
                    return Ok(());
                }
            }
            Input::End => match &**front {
                // The person has left.
                Front::Terminal(_) => return Ok(()),
                // Clients may still come.
                Front::Plain(_) if is_listening => {}
                Front::Plain(_) => close_when_idle(reception),
            },
            Input::Failed(error) => return Err(DeskError::Input(error)),
            // Why, `finish` says.
            Input::OutputFailed => return Ok(()),
        }
    }
    Ok(())
}

/// Closes the desk when nothing is to happen any more.
fn close_when_idle(reception: &Rc<Reception>) {
    let reception = Rc::clone(reception);
    let closer = TaskBuilder::new().name("last of all").spawn(async move || {
        reception.idle().await?;
        reception.close();
        Ok::<(), Cancelled>(())
    });
    // It may wait until the end of the loop.
    drop(closer);
}

/// Does what `lines` ask for, then asks for the next one. Breaks at `quit`.
async fn carry_out(
    lines: Vec<Result<String, InputError>>,
    number: u64,
    front: &Front,
    reception: &Rc<Reception>,
) -> Result<ControlFlow<()>, Cancelled> {
    let mut turned = false;
    for line in lines {
        turned = false;
        match line.and_then(|line| input::parse(&line)) {
            Ok(Request::Event(event)) => {
                // Refused only if the desk has closed meanwhile.
                turned = reception.event(event, Source::Line(number)).await.is_ok();
            }
            Ok(Request::After(delay, event)) => match reception.after(delay, event) {
                Ok(timer) => front.answer(number, &[timer.to_string()]),
                Err(error) => front.refuse(number, &error),
            },
            Ok(Request::Timers) => front.answer(number, &reception.timers()),
            Ok(Request::Tree) => front.answer(number, &tree()),
            Ok(Request::Help) => {
                let quit = "closes the desk, as Ctrl-C and Ctrl-D do";
                let lines = reception.look(|desk| help(desk, quit)).await?;
                front.answer(number, &lines);
            }
            Ok(Request::Quit) => return Ok(ControlFlow::Break(())),
            Err(error) => front.refuse(number, &error),
        }
    }
    reception.look(|desk| front.ask(desk, turned)).await?;
    // A line that is no turn is answered at once, but no faster than the answers are read.
    reception.unless_closing(front.room()).await;
    Ok(ControlFlow::Continue(()))
}
