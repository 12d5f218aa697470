//! What is measured: the loops that resume, and how far the compiler may see while it does.
//!
//! Each loop hands its argument to the row and takes the answer from it through `black_box`, so that no row can
//! compute ahead or drop what nobody reads.

use std::fmt;
use std::hint::black_box;

/// What the body does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Workload {
    /// The running average: an `f64` in, an `f64` out, an addition, a count and a division.
    Average,
    /// `Average`, where a helper of the body yields.
    Nested1,
    /// `Average`, where a helper of a helper of a helper of the body yields.
    Nested3,
    /// `Average`, where the body forwards to another coroutine *object*: Python's `yield from`.
    Delegated,
    /// Counting upwards: nothing in, a `u64` out, summed by the loop.
    Sum,
    /// 64 bytes in and out by value; the body adds one to each of eight words.
    Block,
    /// A `String` in and out by value; the body hands it back as it is.
    Text,
    /// Made, resumed once, dropped while suspended. Otherwise `Average`.
    Create,
}

impl Workload {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Average,
        Self::Nested1,
        Self::Nested3,
        Self::Delegated,
        Self::Sum,
        Self::Block,
        Self::Text,
        Self::Create,
    ];

    /// Returns the word that names it on the command line.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Nested1 => "nested1",
            Self::Nested3 => "nested3",
            Self::Delegated => "delegated",
            Self::Sum => "sum",
            Self::Block => "block",
            Self::Text => "text",
            Self::Create => "create",
        }
    }

    /// Returns the heading of its table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Average => "Averager: f64 in, f64 out",
            Self::Nested1 => "Averager, one helper deep",
            Self::Nested3 => "Averager, three helpers deep",
            Self::Delegated => "Averager, delegated to another object",
            Self::Sum => "Summing generator: nothing in, u64 out",
            Self::Block => "64 bytes in and out",
            Self::Text => "A String in and out",
            Self::Create => "Creation, first resume, drop",
        }
    }
}

/// How far the compiler sees from the loop into the object. Rows are compared within one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// All the way: the object is a local of the function with the loop, of a known type.
    Inline,
    /// Up to a function that is not inlined, [`call`]; behind it the type is known.
    Call,
    /// Not at all: the object is owned, on the heap, and its type is erased.
    Boxed,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inline => "inlined",
            Self::Call => "call",
            Self::Boxed => "boxed",
        })
    }
}

/// Gives `argument` to `object`: the barrier of [`Form::Call`], the same for every row.
#[inline(never)]
pub fn call<T, A, R>(object: T, argument: A, resume: impl FnOnce(T, A) -> R) -> R {
    resume(object, argument)
}

/// The loop of [`Workload::Average`] and its nested forms.
#[inline(always)]
pub fn average(n: u64, mut resume: impl FnMut(f64) -> f64) {
    for _ in 0..n {
        black_box(resume(black_box(1.5)));
    }
}

/// The loop of [`Workload::Sum`].
#[inline(always)]
pub fn sum(n: u64, mut pull: impl FnMut() -> Option<u64>) {
    let mut sum = 0_u64;
    for _ in 0..n {
        let Some(value) = pull() else { break };
        sum = sum.wrapping_add(black_box(value));
    }
    black_box(sum);
}

/// Where the generators of [`Workload::Sum`] stop counting: further than any loop pulls, and not known to the compiler.
pub fn far() -> u64 {
    black_box(u64::MAX)
}

/// What [`Workload::Block`] hands over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block(pub [u64; 8]);

impl Block {
    /// The work of the body.
    #[inline(always)]
    #[must_use]
    pub fn plus_one(mut self) -> Self {
        for word in &mut self.0 {
            *word = word.wrapping_add(1);
        }
        self
    }
}

/// The loop of [`Workload::Block`].
#[inline(always)]
pub fn block(n: u64, mut resume: impl FnMut(Block) -> Block) {
    let mut block = Block::default();
    for _ in 0..n {
        block = resume(black_box(block));
    }
    black_box(block);
}

/// The loop of [`Workload::Text`]. One allocation, before the loop.
#[inline(always)]
pub fn text(n: u64, mut resume: impl FnMut(String) -> String) {
    let mut text = String::from("sent and answered");
    for _ in 0..n {
        text = resume(black_box(text));
    }
    black_box(text);
}

/// The loop of [`Workload::Create`]: `create` makes the object, gives it the argument, and drops it.
#[inline(always)]
pub fn create(n: u64, mut create: impl FnMut(f64) -> f64) {
    for _ in 0..n {
        black_box(create(black_box(1.5)));
    }
}

/// The running average itself, which every body works with.
///
/// The count is an integer on purpose. Two `f64` side by side are added by one vector instruction and, in some of
/// the rows, stored by two; the next load then has to wait for both (10 ns a resume instead of 2.2), and the
/// rows differ by that accident alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    /// Takes one more number in, and returns the average so far.
    #[inline(always)]
    pub fn add(&mut self, x: f64) -> f64 {
        self.sum += x;
        self.count = self.count.wrapping_add(1);
        self.sum / f64::from(self.count)
    }
}

/// What a row does when a body that never ends has ended.
///
/// # Panics
/// Always.
#[cold]
#[inline(never)]
pub fn ended() -> ! {
    panic!("this body does not end")
}
