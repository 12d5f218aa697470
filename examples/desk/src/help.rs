//! What can be asked for, and what an event would do.

use crate::desk::Desk;
use crate::input::{AFTER, HELP, QUIT, TIMERS, TREE};
use crate::orders::Event;

/// Returns the answer to `help`, line by line; `quit` is what that would do.
pub(crate) fn help(desk: &Desk, quit: &str) -> Vec<String> {
    let mut lines = vec![String::from(
        "An event resumes the first coroutine that waits for it, or starts one. Now",
    )];
    for (event, prospect) in prospects(desk) {
        lines.push(format!("  {event:5} {prospect}"));
    }
    lines.push(String::from("and besides"));
    let (example, shown) = (format!("{AFTER} 5s B"), "shows this");
    for (request, does) in [
        (&*example, "lets B happen in 5s; there are ms, s, m and h"),
        (TIMERS, "lists what is still to happen"),
        (TREE, "shows what each task of the loop waits for"),
        (HELP, shown),
        (QUIT, quit),
    ] {
        lines.push(format!("  {request:11} {does}"));
    }
    lines
}

/// Returns each event, and what it would do now.
pub(crate) fn prospects(desk: &Desk) -> Vec<(String, String)> {
    Event::ALL
        .into_iter()
        .map(|event| (event.to_string(), prospect(desk, event)))
        .collect()
}

fn prospect(desk: &Desk, event: Event) -> String {
    let waiting = desk.waiting(event);
    let resumes = waiting.front().map(|task| format!("resumes {}", task.id()));
    let starts = desk.would_start(event).map(|id| format!("starts {id}"));
    let prospects: Vec<_> = resumes.into_iter().chain(starts).collect();
    if prospects.is_empty() {
        return String::from("finds nobody waiting");
    }
    prospects.join(" and ")
}
