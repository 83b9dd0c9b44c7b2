//! End to end: the real programs, in namespaces, with real packets.
//!
//! Each test gets a lab of its own and leaves nothing behind; its drawing shows what it adds to the
//! lab's. They wait much more than they compute, so several run at once, the longest first.
#![forbid(unsafe_code)]

mod access;
mod adversity;
mod floods;
mod host;
mod identity;
mod inside;
mod lifetime;
mod limits;
mod loss;
mod names;
mod operating;
mod page;
mod peers;
mod psk;
mod rekey;
mod revocation;
mod roaming;
mod service;
mod sizes;
mod soak;
mod surroundings;
mod traffic;
mod transmit;
mod xdp;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use xdtls_netlab::{missing, sweep};
use xdtls_tests::{Family, Lab};

/// How packets reach the gateway; every test of [`all`] runs with each.
const DATAPATHS: [&str; 2] = ["xdp", "socket"];

/// How many tests run at once, unless the command line says otherwise.
const THREADS: usize = 4;

/// How much of what the nodes logged is shown when a test fails.
const LOG_LINES: usize = 200;

#[derive(Clone, Copy)]
struct Test {
    name: &'static str,
    run: fn(&Lab) -> Result<()>,
    family: Family,
    /// A program of the machine that it needs.
    needs: Option<&'static str>,
}

macro_rules! tests {
    ($($module:ident::$name:ident)*) => {
        [$(Test {
            name: stringify!($name),
            run: $module::$name,
            family: Family::V4,
            needs: None,
        },)*]
    };
}

fn all() -> Vec<Test> {
    let mut tests = tests![
        peers::a_killed_peer_comes_back
        peers::two_that_start_at_once_end_with_one_association
        lifetime::a_killed_gateway_is_noticed_and_reconnected_to
        host::a_gateway_killed_at_any_moment_gets_its_clients_back
        identity::strangers_and_wrong_names_are_reported_and_disturb_nobody
        loss::twenty_programs_get_through_a_bad_road
        lifetime::a_stopped_gateway_says_goodbye_and_may_come_back
        lifetime::a_stopped_client_says_goodbye
        lifetime::an_idle_program_loses_its_association
        lifetime::an_idle_association_ends_at_the_gateway
        lifetime::a_program_that_comes_back_resumes_its_session
        traffic::each_local_program_has_an_association_of_its_own
        traffic::a_hundred_associations_share_one_worker
        traffic::a_hundred_associations_share_two_workers
        traffic::an_unprivileged_client_works
        sizes::every_size_passes_both_ways
        sizes::one_byte_too_many_is_counted_where_it_would_be_sealed
        identity::the_certificate_name_chooses_the_backend
        identity::who_matches_no_rule_is_refused
        revocation::whom_the_rules_do_not_admit_any_more_is_closed
        psk::pre_shared_keys_let_in_and_keep_out
        limits::one_program_too_many_is_refused
        limits::one_backend_flow_too_many_is_refused
        limits::sixteen_datagrams_wait_for_an_association
        access::a_denied_source_is_cut_off_at_once
        adversity::a_backend_may_go_and_come_back
        adversity::who_is_not_the_backend_is_not_heard
        roaming::a_client_changes_its_address_in_mid_transfer
        roaming::a_forgetful_nat_costs_nothing
        roaming::who_only_listens_is_found_again
        operating::status_and_metrics_agree_to_the_packet
        operating::logs_name_no_peer_at_the_usual_level
        operating::associations_are_listed_shown_and_closed
        operating::a_reload_is_whole_or_nothing
        operating::a_draining_gateway_takes_nobody_new
        operating::a_trace_shows_one_peer_and_no_payload
        rekey::new_keys_under_load_lose_nothing_and_double_nothing
        rekey::a_gateway_asks_for_new_keys_and_its_backend_sees_one_client
        adversity::garbage_is_counted_and_disturbs_nobody
        floods::two_gateways_do_not_answer_each_other
        floods::workers_answer_no_more_than_they_may
        host::a_full_disk_costs_only_log_lines
        host::a_gateway_that_was_stopped_goes_on
        peers::a_peer_is_a_gateway_too
        peers::strangers_and_the_node_itself_are_no_peers
        surroundings::no_thread_keeps_privileges
        surroundings::the_gateway_becomes_another_user
    ]
    .to_vec();
    let [ipv6] = tests![traffic::ipv6_works_too];
    tests.push(Test { family: Family::V6, ..ipv6 });
    let of_openssl = tests![
        identity::two_clients_with_one_id_behind_one_address
        names::each_domain_shows_its_own_certificate
        revocation::who_is_revoked_is_gone_and_others_stay
    ];
    tests.extend(of_openssl.map(|test| Test { needs: Some("openssl"), ..test }));
    tests
}

/// Tests that are worth running once more where gateways transmit through AF_XDP.
fn of_frames() -> Vec<Test> {
    let mut tests = tests![
        soak::traffic_churn_and_faults_together
        host::a_link_may_go_down_and_up
        host::without_its_interface_a_gateway_goes_on_with_sockets
        lifetime::a_stopped_gateway_says_goodbye_and_may_come_back
        traffic::a_hundred_associations_share_two_workers
        rekey::new_keys_under_load_lose_nothing_and_double_nothing
        sizes::every_size_passes_both_ways
        roaming::a_client_changes_its_address_in_mid_transfer
        roaming::a_client_on_xdp_changes_its_address
        inside::datagrams_leave_in_the_frames_that_brought_them
        transmit::frames_carry_every_byte
        transmit::a_gateway_follows_another_mac_address
        transmit::frames_follow_the_neighbour_table
        transmit::a_neighbour_in_use_is_made_sure_of
        transmit::another_interface_is_left_to_the_kernel
        surroundings::no_thread_keeps_privileges
        surroundings::the_gateway_becomes_another_user
    ]
    .to_vec();
    for test in tests![
        traffic::ipv6_works_too
        transmit::frames_carry_every_byte_over_ipv6
        roaming::a_client_changes_its_address_over_ipv6
    ] {
        tests.push(Test { family: Family::V6, ..test });
    }
    tests
}

/// Tests of what only XDP has.
fn of_xdp() -> Vec<Test> {
    let mut tests = tests![
        soak::traffic_churn_and_faults_together
        host::a_link_may_go_down_and_up
        host::an_mtu_may_change
        host::queues_may_be_added
        host::without_its_interface_a_gateway_goes_on_with_sockets
        host::where_xdp_is_required_a_gateway_ends_with_its_interface
        host::without_privileges_sockets_carry_on
        service::too_little_locked_memory_is_named
        inside::answers_arrive_in_native_mode
        inside::answers_arrive_in_generic_mode
        inside::unfinished_checksums_are_no_damage
        inside::damage_is_not_sealed
        inside::fragments_take_the_kernels_way
        inside::flows_that_end_leave_the_program
        inside::an_inside_that_cannot_be_had_is_named
        inside::a_deleted_inside_is_told
        xdp::native_mode_carries_every_byte
        xdp::generic_mode_carries_every_byte
        xdp::one_queue_serves_two_workers
        xdp::an_occupied_interface_is_left_alone
        xdp::missing_privileges_are_named
        xdp::a_killed_gateway_leaves_the_interface_usable
        xdp::a_stopped_gateway_takes_its_program_along
        xdp::an_epoch_0_flood_ends_in_the_program
        surroundings::the_doctor_looks_and_changes_nothing
        service::its_capabilities_are_enough_and_each_is_needed
        page::the_operations_page_works_as_written
        xdp::the_driver_answers_hellos
        xdp::generic_mode_answers_hellos
        xdp::unfinished_checksums_take_the_slow_path
        xdp::workers_answer_where_the_drivers_replies_would_be_lost
    ]
    .to_vec();
    let [final_flight, hellos_ipv6, answers_ipv6] = tests![
        xdp::a_lost_final_flight_is_sent_again
        xdp::the_driver_answers_hellos_over_ipv6
        inside::answers_arrive_over_ipv6
    ];
    tests.extend([hellos_ipv6, answers_ipv6].map(|test| Test { family: Family::V6, ..test }));
    tests.push(Test { needs: Some("openssl"), ..final_flight });
    tests
}

/// Tests of what does not depend on the gateway's datapath.
fn of_sockets() -> Vec<Test> {
    let mut tests = tests![
        transmit::a_client_follows_another_mac_address
        host::monotonic_clocks_of_hosts_need_not_agree
        surroundings::exit_codes_are_as_documented
        surroundings::a_service_manager_is_told
    ]
    .to_vec();
    let [page] = tests![page::the_identities_page_works_as_written];
    tests.push(Test { needs: Some("openssl"), ..page });
    let [unit] = tests![service::systemd_accepts_the_unit];
    tests.push(Test { needs: Some("systemd-analyze"), ..unit });
    tests
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let obstacle = obstacle();
    let mut trials = Vec::new();
    let everywhere = DATAPATHS.iter().flat_map(|path| all().into_iter().map(move |it| (*path, it)));
    let of_one = [("xdp", of_xdp()), ("xdp-transmit", of_frames()), ("socket", of_sockets())];
    let of_one =
        of_one.into_iter().flat_map(|(path, tests)| tests.into_iter().map(move |it| (path, it)));
    for (datapath, test) in everywhere.chain(of_one) {
        let name = format!("{datapath}::{}", test.name);
        let obstacle = obstacle.clone().or_else(|| test.obstacle());
        // A list of tests is read by programs.
        if let (Some(reason), false) = (&obstacle, arguments.list) {
            println!("SKIP {name}: {reason}");
        }
        let trial = Trial::test(name, move || test.run(datapath));
        trials.push(trial.with_ignored_flag(obstacle.is_some()));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Why no test can run here, if none can.
fn obstacle() -> Option<String> {
    missing().or_else(|| sweep().err().map(|error| format!("cannot tidy up: {error:#}")))
}

impl Test {
    /// Why this test cannot run here, if it cannot.
    fn obstacle(&self) -> Option<String> {
        let program = self.needs?;
        let absent = Command::new(program).arg("version").output().is_err();
        absent.then(|| format!("the program {program} is not installed"))
    }

    fn run(self, datapath: &'static str) -> Result<(), Failed> {
        let lab = Lab::new(self.family, datapath).map_err(failed)?;
        if let Err(error) = (self.run)(&lab) {
            let log = lab.log();
            let lines: Vec<_> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LOG_LINES)..];
            return Err(format!("{error:#}\n{}", end.join("\n")).into());
        }
        lab.remove().context("tidying up").map_err(failed)
    }
}

fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
