//! What every driver must do, asked of each by the same tests.
//!
//! A test is a function of a [`Lab`](lab::Lab), and stands in the table below. There is no waiting for time to pass: a test waits for
//! what it has brought about, and a driver that loses it fails the test by the lab's patience.

mod accept;
mod cancel;
mod datagram;
mod file;
mod incoming;
mod lab;
mod lifetime;
mod peer;
mod sleep;
mod stream;

use self::accept::*;
use self::cancel::*;
use self::datagram::*;
use self::file::*;
use self::incoming::*;
use self::lab::{run, run_alone};
use self::lifetime::*;
use self::sleep::*;
use self::stream::*;
use super::choose::Wish;

macro_rules! on_each_driver {
    (
        all: $($shared:ident)*;
        $($run:ident: $($test:ident)*;)*
    ) => {
        mod simulator {
            $(#[test] fn $shared() { super::run(super::Wish::VirtualTime, stringify!($shared), super::$shared); })*
        }
        on_each_driver! {
            run: $($shared)*;
            $($run: $($test)*;)*
        }
    };
    ($($run:ident: $($test:ident)*;)*) => {
        mod readiness {
            $($(#[test] fn $test() { super::$run(super::Wish::Readiness, stringify!($test), super::$test); })*)*
        }
        mod uring {
            $($(#[test] fn $test() { super::$run(super::Wish::Uring, stringify!($test), super::$test); })*)*
        }
    };
}

on_each_driver! {
    all:
        a_connect_succeeds
        a_connect_is_refused
        a_receive_appends_what_there_is
        a_receive_without_room_is_empty
        a_peek_leaves_the_bytes
        the_end_of_a_stream_is_zero
        a_reset_is_an_error
        a_poll_waits_for_readiness
        a_socket_reads_and_writes_at_the_same_time
        what_arrives_is_told_or_handed_out
        what_came_between_two_waits_is_told
        more_than_a_buffer_holds_stays_in_order
        a_driver_may_run_out_of_memory_to_hand_out
        a_wait_that_is_cancelled_loses_no_bytes
        bytes_outlive_their_driver
        an_accept_takes_many
        two_accepts_share_a_listener
        a_listener_that_is_none_ends_the_accept
        a_datagram_has_a_sender
        datagrams_are_cut_to_the_buffer
        a_unix_datagram_has_a_sender
        a_file_is_read_where_it_is_said
        a_read_takes_no_more_than_it_may
        the_end_of_a_file_is_zero
        a_file_is_written_where_it_is_said
        a_file_is_appended_to
        a_full_disk_is_an_error
        a_file_is_synced
        a_directory_is_no_file
        a_thousand_reads_are_each_answered
        a_cancelled_read_has_its_memory_back
        a_cancelled_write_is_whole_or_nothing
        a_descriptor_lives_as_long_as_its_operation
        a_driver_is_dropped_with_files_in_flight
        an_address_too_long_is_an_error
        a_cancel_before_the_start_wins
        a_cancel_after_the_start_wins
        each_kind_is_cancelled
        a_result_wins_over_a_late_cancel
        ten_thousand_are_cancelled_unstarted
        ten_thousand_are_cancelled
        a_cancelled_operation_among_others
        what_is_over_is_not_cancelled
        more_are_done_than_the_rings_hold
        a_thousand_sockets
        memory_stays_until_the_completion
        nothing_is_told_before_the_wait
        a_driver_is_dropped_with_all_in_flight
        a_driver_is_dropped_before_anything_started
        a_kick_ends_the_sleep
        a_kick_before_the_sleep_counts
        a_kick_among_many_submissions_counts
        a_sleep_ends_at_its_deadline
        a_moment_that_is_past_does_not_sleep
        entropy_differs
    ;
    // Peers that are other threads, and what TCP has and the simulation has not.
    run:
        a_send_takes_a_part_and_waits_for_room
        urgent_data_hides_no_bytes
        a_stream_arrives_whole
        a_cancel_racing_bytes_loses_none
        completions_come_before_the_deadline
    ;
    // Descriptors.
    run_alone:
        no_descriptor_is_left
        a_number_is_used_again
        a_number_is_used_again_while_a_duplicate_lives
        too_many_descriptors_end_the_accept
    ;
}
