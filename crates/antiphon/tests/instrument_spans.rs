//! Each task in a span of `tracing`.
#![cfg(feature = "tracing")]

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use antiphon::instrument::TaskSpans;
use antiphon::{DriverKind, Runtime, TaskBuilder, yield_now};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, info};

/// Writes down spans and events.
#[derive(Clone, Default)]
struct Notes {
    lines: Arc<Mutex<Vec<String>>>,
    last: Arc<AtomicU64>,
}

impl Notes {
    fn note(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

/// Puts the fields together, but for the line, which depends on where the sources are.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "spawned_at" => self.0.push_str(" spawned_at"),
            name => write!(self.0, " {name}={value:?}").unwrap(),
        }
    }
}

impl Subscriber for Notes {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        self.note(format!("{id} {}:{}", span.metadata().name(), fields.0));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        self.note(fields.0.trim().to_owned());
    }

    fn enter(&self, span: &Id) {
        self.note(format!("> {}", span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.note(format!("< {}", span.into_u64()));
    }
}

#[test]
fn events_in_a_task_are_in_its_span() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let mut runtime = Runtime::builder()
            .driver(DriverKind::VirtualTime)
            .instrument(TaskSpans::new())
            .build()
            .unwrap();
        runtime.run(async || {
            let task = TaskBuilder::new().name("worker").spawn(async || {
                info!("one");
                yield_now().await.unwrap();
                info!("two");
            });
            task.await.unwrap();
            info!("three");
        });
    });
    let lines = notes.lines.lock().unwrap().join("\n");
    let expected = "\
1 task: id=1 name=\"main\" spawned_at
> 1
2 task: id=2 name=\"worker\" spawned_at
< 1
> 2
message=one
< 2
> 2
message=two
< 2
> 1
message=three
< 1";
    assert_eq!(lines, expected);
}
