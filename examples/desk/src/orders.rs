//! The events, who starts on them, and what a coroutine does: all that makes this desk this one.
//!
//! To change the program, change this file. An event is a variant of [`Event`]; [`started_by`] says what it starts;
//! and what a coroutine waits for, in which order, is the body itself, [`order`]. A misspelt event does not compile.

use std::fmt;

use antiphon_coroutine::{BoxCoroutine, Co, coroutine};

use crate::desk::Voice;

/// Something that happens at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    A,
    B,
    C,
}

/// A coroutine at the desk: it yields the event that it waits for next, and is sent that event.
pub(crate) type Order = BoxCoroutine<'static, Event, Event>;

/// Makes a coroutine that speaks with the given voice. Nothing of it has run yet.
pub(crate) type Start = fn(Voice) -> Order;

/// Returns what `event` starts, or `None` if it only resumes those who wait for it.
pub(crate) fn started_by(event: Event) -> Option<Start> {
    match event {
        Event::A => Some(|voice| {
            coroutine(async move |co, event| order(co, event, &voice).await)
                .with_name("order")
                .boxed()
        }),
        Event::B | Event::C => None,
    }
}

/// Waits for B, then for C.
///
/// Nobody throws into an order, so a `yield_` that is not answered with an event has heard `Interrupt::Closed`: the
/// desk closes, and the order takes its leave.
async fn order(co: &mut Co<'_, Event, Event>, event: Event, voice: &Voice) {
    use Event::{B, C};

    voice.say(format_args!("Processing event {event}, blocking on {B}"));
    let Ok(event) = co.yield_(B).await else {
        return voice.say(format_args!("Closed while blocking on {B}"));
    };
    voice.say(format_args!("Processing event {event}, blocking on {C}"));
    let Ok(event) = co.yield_(C).await else {
        return voice.say(format_args!("Closed while blocking on {C}"));
    };
    voice.say(format_args!("Processing event {event}, task done"));
}

/// This file, for a picture that shows the line at which a coroutine sleeps.
pub(crate) const SOURCE: &str = include_str!("orders.rs");

impl Event {
    /// Every event, in the order in which they are listed.
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::C];

    /// Returns the names of all events, for a sentence.
    pub(crate) fn names() -> String {
        Self::ALL.map(|event| event.to_string()).join(", ")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name in the source is the name that is typed.
        f.pad(&format!("{self:?}"))
    }
}
