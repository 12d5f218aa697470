//! The scheduling diagram, as text: who was ready, who ran, and who waits where.
//!
//! ```text
//!   ready queue    0
//!   └▶ worker      0 Processing event B, blocking on C
//!      └▶ queue A
//!         queue B  1 2  orders.rs:46  let Ok(event) = co.yield_(B).await else {
//!         queue C  0    orders.rs:50  let Ok(event) = co.yield_(C).await else {
//! ```
//! A queue is read from left to right: the first id is the next to be resumed. Neighbours that sleep at the same line
//! of source share a row, and that line follows them. Ids that the event has moved are bold. If events are still to happen,
//! a last row names them, the first to happen first.

use std::fmt::Write as _;
use std::panic::Location;

use anstyle::{AnsiColor, Style};

use crate::desk::{Desk, Next, Task, Turn};
use crate::orders::{self, Event};
use crate::timers::Timer;

/// Draws `turn`, the queues after it, and the timers; what is long is cut where a terminal of `columns` ends.
///
/// The text is styled for a terminal; whoever prints it strips that if it must.
pub(crate) fn draw(desk: &Desk, timers: &[Timer], turn: &Turn, columns: usize) -> String {
    let mut picture = String::new();
    draw_ready(&mut picture, turn);
    draw_worker(&mut picture, turn);
    draw_queues(&mut picture, desk, turn, columns);
    draw_timers(&mut picture, timers, columns);
    picture
}

/// Who was made ready by the event.
fn draw_ready(picture: &mut String, turn: &Turn) {
    let ids: Vec<_> = turn.steps.iter().map(|step| step.id.to_string()).collect();
    if ids.is_empty() {
        draw_line(picture, "  ready queue", &format!("{DIM}empty{DIM:#}"));
    } else {
        let ids = ids.join(" ");
        draw_line(picture, "  ready queue", &format!("{MOVED}{ids}{MOVED:#}"));
    }
}

/// Who ran, in their own words.
fn draw_worker(picture: &mut String, turn: &Turn) {
    let mut label = "  └▶ worker";
    for step in &turn.steps {
        let panicked = (step.next == Next::Panicked).then(|| format!("{} panicked", step.id));
        for line in step.said.iter().chain(&panicked) {
            draw_line(picture, label, line);
            label = "";
        }
    }
    if turn.steps.is_empty() {
        let event = turn.event;
        draw_line(
            picture,
            label,
            &format!("{DIM}idle, nobody waits for {event}{DIM:#}"),
        );
    }
}

/// Who waits where, and at which line of source.
fn draw_queues(picture: &mut String, desk: &Desk, turn: &Turn, columns: usize) {
    let rows: Vec<Row> = Event::ALL
        .into_iter()
        .flat_map(|event| rows_of_queue(desk, turn, event))
        .collect();
    let ids_width = rows.iter().map(Row::ids_width).max().unwrap_or(0);
    for row in &rows {
        draw_line(picture, &row.label, &row.text(ids_width, columns));
    }
}

/// What is still to happen, if anything is.
fn draw_timers(picture: &mut String, timers: &[Timer], columns: usize) {
    if timers.is_empty() {
        return;
    }
    let shown = timers.len().min(IDS_MAX);
    let mut texts: Vec<_> = timers[..shown].iter().map(Timer::brief).collect();
    if shown < timers.len() {
        texts.push(format!("+{}", timers.len() - shown));
    }
    let text = cut(&texts.join(", "), columns.saturating_sub(LABEL_WIDTH));
    draw_line(picture, "  timers", &text);
}

/// A part of a queue whose tasks sleep at the same line, or a queue in which nobody waits.
struct Row {
    label: String,
    /// What stands for each task, one column apart, and how it looks.
    ids: Vec<(String, Style)>,
    location: Option<&'static Location<'static>>,
}

fn rows_of_queue(desk: &Desk, turn: &Turn, event: Event) -> Vec<Row> {
    let arrow = if event == Event::ALL[0] {
        "└▶"
    } else {
        "  "
    };
    let label = format!("     {arrow} queue {event}");
    let tasks: Vec<Task> = desk.waiting(event).iter().copied().collect();
    let mut rows: Vec<Row> = tasks
        .chunk_by(|one, next| one.location() == next.location())
        .map(|tasks| Row {
            label: String::new(),
            ids: ids(tasks, |id| {
                turn.steps
                    .iter()
                    .any(|step| step.id == id && step.next == Next::Waits(event))
            }),
            location: tasks[0].location(),
        })
        .collect();
    match rows.first_mut() {
        Some(first) => first.label = label,
        None => rows.push(Row {
            label,
            ids: Vec::new(),
            location: None,
        }),
    }
    rows
}

/// The first few ids, and how many more there are.
fn ids(tasks: &[Task], is_moved: impl Fn(usize) -> bool) -> Vec<(String, Style)> {
    let shown = tasks.len().min(IDS_MAX);
    let mut ids: Vec<_> = tasks[..shown]
        .iter()
        .map(|task| {
            let style = if is_moved(task.id()) {
                MOVED
            } else {
                Style::new()
            };
            (task.id().to_string(), style)
        })
        .collect();
    if shown < tasks.len() {
        ids.push((format!("+{}", tasks.len() - shown), DIM));
    }
    ids
}

impl Row {
    fn ids_width(&self) -> usize {
        let digits: usize = self.ids.iter().map(|(id, _)| id.len()).sum();
        digits + self.ids.len().saturating_sub(1)
    }

    /// The ids, padded to `ids_width`, and the line of source.
    fn text(&self, ids_width: usize, columns: usize) -> String {
        let mut text = String::new();
        for (index, (id, style)) in self.ids.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let _ = write!(text, "{space}{style}{id}{style:#}");
        }
        let Some(location) = self.location else {
            return text;
        };
        let padding = ids_width - self.ids_width();
        let line = line_number(location);
        let used = LABEL_WIDTH + ids_width + 2 + line.len() + 2;
        let source = cut(source(location), columns.saturating_sub(used));
        let _ = write!(
            text,
            "{:padding$}  {LINE}{line}{LINE:#}  {DIM}{source}{DIM:#}",
            ""
        );
        text
    }
}

/// `orders.rs:46`, without the folders.
fn line_number(location: &Location<'_>) -> String {
    let path = location.file();
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    format!("{file}:{}", location.line())
}

/// What stands on the line, if it is one of the orders' file; nothing otherwise.
fn source(location: &Location<'_>) -> &'static str {
    if !location.file().ends_with("orders.rs") {
        return "";
    }
    let index = location.line() as usize - 1;
    orders::SOURCE.lines().nth(index).unwrap_or_default().trim()
}

/// Cuts `text` so that it takes no more than `columns`.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    kept + "…"
}

fn draw_line(picture: &mut String, label: &str, text: &str) {
    // No blanks at the end of a line that has nothing but its label.
    let width = if text.is_empty() { 0 } else { LABEL_WIDTH };
    // Writing to a string doesn't fail.
    let _ = writeln!(picture, "{DIM}{label:width$}{DIM:#}{text}");
}

/// How wide the labels are, in columns, with the gap after them.
const LABEL_WIDTH: usize = 17;

/// How many tasks of a row are shown by their ids.
const IDS_MAX: usize = 8;

const DIM: Style = Style::new().dimmed();
const LINE: Style = AnsiColor::Cyan.on_default();
const MOVED: Style = AnsiColor::Green.on_default().bold();

#[cfg(test)]
#[expect(
    clippy::needless_raw_string_hashes,
    reason = "`UPDATE_EXPECT=1` writes them so"
)]
mod tests {
    use std::time::Duration;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::timers::Timers;
    use Event::{A, B, C};

    /// Lets `events` happen and compares the picture after the last of them, without its styles.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`expect![..]` is written in place"
    )]
    fn check(events: &[Event], columns: usize, expected: Expect) {
        check_with_timers(events, &[], columns, &expected);
    }

    fn check_with_timers(
        events: &[Event],
        timers: &[(u64, Event)],
        columns: usize,
        expected: &Expect,
    ) {
        let (styled, turn) = antiphon::run(async || {
            let pending = Timers::new();
            for &(seconds, event) in timers {
                pending.begin(Duration::from_secs(seconds), event).unwrap();
            }
            let mut desk = Desk::new(orders::started_by);
            let (last, others) = events.split_last().unwrap();
            for &event in others {
                desk.event(event).await.unwrap();
            }
            let turn = desk.event(*last).await.unwrap();
            let drawn = draw(&desk, &pending.pending(), &turn, columns);
            // Nobody is left behind.
            desk.close().await.unwrap();
            (drawn, turn)
        });
        let plain = anstream::adapter::strip_str(&styled).to_string();
        for line in plain.lines() {
            assert!(line.chars().count() <= columns, "{line}");
        }
        // Below the prompt, whose line also keeps the indentation visible.
        expected.assert_eq(&format!("> {}\n{plain}", turn.event));
    }

    #[test]
    fn an_order_moves_from_queue_to_queue() {
        check(
            &[A, A, A, B],
            80,
            expect![[r#"
                > B
                  ready queue    0
                  └▶ worker      0 Processing event B, blocking on C
                     └▶ queue A
                        queue B  1 2  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                        queue C  0    orders.rs:50  let Ok(event) = co.yield_(C).await else {
            "#]],
        );
    }

    #[test]
    fn an_event_that_nobody_waits_for_finds_the_worker_idle() {
        check(
            &[A, C],
            80,
            expect![[r#"
                > C
                  ready queue    empty
                  └▶ worker      idle, nobody waits for C
                     └▶ queue A
                        queue B  0  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                        queue C
            "#]],
        );
    }

    #[test]
    fn a_long_queue_is_counted() {
        check(
            &[A; 30],
            100,
            expect![[r#"
                > A
                  ready queue    29
                  └▶ worker      29 Processing event A, blocking on B
                     └▶ queue A
                        queue B  0 1 2 3 4 5 6 7 +22  orders.rs:46  let Ok(event) = co.yield_(B).await else {
                        queue C
            "#]],
        );
    }

    #[test]
    fn a_narrow_terminal_gets_less_of_the_source() {
        check(
            &[A],
            60,
            expect![[r#"
                > A
                  ready queue    0
                  └▶ worker      0 Processing event A, blocking on B
                     └▶ queue A
                        queue B  0  orders.rs:46  let Ok(event) = co.yield_…
                        queue C
            "#]],
        );
    }

    #[test]
    fn what_is_still_to_happen_comes_last() {
        check_with_timers(
            &[B],
            &[(7200, C), (3600, A)],
            80,
            &expect![[r#"
                > B
                  ready queue    empty
                  └▶ worker      idle, nobody waits for B
                     └▶ queue A
                        queue B
                        queue C
                  timers         A in 1h, C in 2h
            "#]],
        );
        check_with_timers(
            &[B],
            &[(3600, A); 12],
            60,
            &expect![[r#"
                > B
                  ready queue    empty
                  └▶ worker      idle, nobody waits for B
                     └▶ queue A
                        queue B
                        queue C
                  timers         A in 1h, A in 1h, A in 1h, A in 1h, A in 1…
            "#]],
        );
    }

    #[test]
    fn ids_that_have_moved_are_styled() {
        let picture = antiphon::run(async || {
            let mut desk = Desk::new(orders::started_by);
            desk.event(A).await.unwrap();
            let turn = desk.event(A).await.unwrap();
            let drawn = draw(&desk, &[], &turn, 80);
            desk.close().await.unwrap();
            drawn
        });
        assert!(
            picture.contains(&format!(" {MOVED}1{MOVED:#}")),
            "{picture:?}"
        );
        assert!(
            !picture.contains(&format!("{MOVED}0{MOVED:#}")),
            "{picture:?}"
        );
    }
}
