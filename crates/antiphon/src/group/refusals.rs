//! What must not compile, each after its twin: the nearest program that does.
//!
//! # A guard kept past its group
//! ```
//! use antiphon::{group, run, sync::Mutex};
//! run(async || {
//!     let mutex = Mutex::new(1);
//!     let guard = group(async |_| mutex.lock().await).await.unwrap();
//!     assert_eq!(*guard, 1);
//! });
//! ```
//! ```compile_fail,E0597
//! use antiphon::{group, run, sync::Mutex};
//! run(async || {
//!     let guard = group(async |_| {
//!         let mutex = Mutex::new(1);
//!         mutex.lock().await
//!     })
//!     .await
//!     .unwrap();
//!     assert_eq!(*guard, 1);
//! });
//! ```
//!
//! # A guard kept past the group of the child that took it
//! ```
//! use antiphon::{Cancelled, group, run, sync::Mutex};
//! run(async || {
//!     let mutex = Mutex::new(1);
//!     let guard = group(async |group| {
//!         let child = group.spawn(async || mutex.lock().await);
//!         Ok::<_, Cancelled>(child.await.unwrap())
//!     });
//!     assert_eq!(*guard.await.unwrap(), 1);
//! });
//! ```
//! ```compile_fail,E0505
//! use antiphon::{Cancelled, group, run, sync::Mutex};
//! run(async || {
//!     let mutex = Mutex::new(1);
//!     let guard = group(async |group| {
//!         let child = group.spawn(async || mutex.lock().await);
//!         Ok::<_, Cancelled>(child.await.unwrap())
//!     });
//!     let guard = guard.await.unwrap();
//!     drop(mutex);
//!     assert_eq!(*guard, 1);
//! });
//! ```
//!
//! # A child that borrows from the group's own body
//! ```
//! use antiphon::{Cancelled, group, run};
//! run(async || {
//!     let name = String::from("Ida");
//!     let ended = group(async |group| {
//!         group.spawn(async || Ok(name.len()));
//!         Ok::<(), Cancelled>(())
//!     });
//!     ended.await.unwrap();
//! });
//! ```
//! ```compile_fail,E0597
//! use antiphon::{Cancelled, group, run};
//! run(async || {
//!     let ended = group(async |group| {
//!         let name = String::from("Ida");
//!         group.spawn(async || Ok(name.len()));
//!         Ok::<(), Cancelled>(())
//!     });
//!     ended.await.unwrap();
//! });
//! ```
