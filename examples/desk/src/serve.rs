//! The whole of it: one loop, in which the terminal or the pipe, socket clients and timers are served at the same time.
//!
//! The main task reads what is typed or piped. Clients and timers have tasks of their own, see `clients` and `reception`.
//! Whatever blocks has a thread: see `bridge`.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use antiphon::inspect::{self, Inspector};
use antiphon::net::TcpListener;
use antiphon::sync::mpsc::{self, Receiver};
use antiphon::{Cancelled, Runtime, TaskBuilder, droppable, time};

use crate::bridge::Bridge;
use crate::clients;
use crate::desk::Desk;
use crate::error::DeskError;
use crate::front::{Front, INPUTS_MAX, Input, Inputs};
use crate::help::help;
use crate::input::{self, InputError, Request};
use crate::interrupts;
use crate::load;
use crate::orders;
use crate::plain::Transcript;
use crate::reception::{Reception, Source, tree};
use crate::terminal::{self, Screen};

/// How the desk is opened.
pub(crate) struct Options {
    /// The transcript, even in a terminal.
    pub(crate) is_plain: bool,
    /// The address for socket clients.
    pub(crate) listen: Option<String>,
    /// The path of a socket for those who look.
    pub(crate) inspect: Option<PathBuf>,
}

/// For how long clients may take their last answer when the desk closes.
const GRACE: Duration = Duration::from_secs(1);

/// Opens the desk, serves until it is to close, and closes it.
///
/// # Errors
/// If nobody could be served any more, or not at all. The desk is closed all the same.
pub(crate) fn run(options: Options) -> Result<(), DeskError> {
    let interrupts = interrupts::hear().map_err(DeskError::Interrupts)?;
    let mut runtime = Runtime::builder().build().map_err(DeskError::Loop)?;
    runtime.run(async move || {
        let listener = match &options.listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        // It is there until the desk is closed.
        let _inspector = match &options.inspect {
            Some(path) => Some(inspect_at(path).await?),
            None => None,
        };
        let inputs = Bridge::new(INPUTS_MAX);
        let front = Rc::new(if options.is_plain || !terminal::is_possible() {
            Front::Plain(Transcript::open(&inputs))
        } else {
            Front::Terminal(Screen::open(&inputs)?)
        });
        let served = serve(listener, &inputs, &interrupts, &front).await;
        inputs.close();
        let finished = front.finish();
        match served.and(finished) {
            Err(error) if error.is_reader_gone() => Ok(()),
            result => result,
        }
    })
}

/// Runs a load instead, and prints what it cost.
pub(crate) fn load(coroutines: usize) -> Result<(), DeskError> {
    let mut runtime = Runtime::builder().build().map_err(DeskError::Loop)?;
    let report = runtime.run(async || {
        let mut desk = Desk::new(orders::started_by);
        load::run(&mut desk, coroutines).await
    })?;
    let printed = {
        use std::io::Write as _;
        writeln!(std::io::stdout(), "{report}")
    };
    match printed.map_err(DeskError::Output) {
        Err(error) if error.is_reader_gone() => Ok(()),
        result => result,
    }
}

async fn listen(address: &str) -> Result<TcpListener, DeskError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    };
    let (listener, at) = bound.await.map_err(|error| DeskError::Listen {
        address: address.to_owned(),
        error,
    })?;
    crate::say(&format!("listening at {at}"));
    Ok(listener)
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
    listener: Option<TcpListener>,
    inputs: &Inputs,
    interrupts: &Bridge<()>,
    front: &Rc<Front>,
) -> Result<(), DeskError> {
    let reception = Reception::new(Desk::new(orders::started_by), Rc::clone(front));
    let is_listening = listener.is_some();
    let clients = listener.map(|listener| attend_clients(listener, &reception, front));
    close_at(interrupts, &reception);

    let served = serve_front(inputs, front, &reception, is_listening).await;

    reception.close();
    front.part(&reception.farewells().await?);
    if let Some(mut clients) = clients {
        // Those who don't take their last answer are cut off.
        let _ = time::move_on_after(GRACE, async || clients.recv().await).await;
    }
    served
}

/// Starts to serve clients. The receiver hears when all are gone, after the desk has closed.
fn attend_clients(
    listener: TcpListener,
    reception: &Rc<Reception>,
    front: &Rc<Front>,
) -> Receiver<Infallible> {
    let (presence, clients) = mpsc::channel(1);
    let (reception, front) = (Rc::clone(reception), Rc::clone(front));
    let listener = TaskBuilder::new().name("listener").spawn(async move || {
        clients::serve(listener, reception, front, presence).await;
    });
    // It ends when the desk closes.
    drop(listener);
    clients
}

/// Closes the desk at the first interrupt.
fn close_at(interrupts: &Bridge<()>, reception: &Rc<Reception>) {
    let (interrupts, reception) = (interrupts.clone(), Rc::clone(reception));
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
    while let Some(Some(input)) = reception.unless_closing(inputs.pop()).await {
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
    let closer = TaskBuilder::new().name("last timer").spawn(async move || {
        reception.timers_idle().await?;
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
