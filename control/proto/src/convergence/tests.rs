//! What nodes on a network cannot be made to show: single steps of one link.

use super::*;

const OURS: [u8; 32] = [1; 32];
const THEIRS: [u8; 32] = [2; 32];

fn id(number: u32) -> LocalId {
    LocalId::new(number).unwrap()
}

fn rank(opener: [u8; 32], random: u8) -> Rank {
    Rank { opener, client_random: [random; 32] }
}

fn link(now: Instant) -> Link {
    Link::new(now, 3, true, Box::new(|| u32::MAX / 2))
}

fn actions(link: &mut Link) -> Vec<Action> {
    std::iter::from_fn(|| link.poll_action()).collect()
}

/// A link whose wish is under way, and its number.
fn opening(now: Instant) -> (Link, u64) {
    let mut link = link(now);
    link.handle_timeout(now);
    match actions(&mut link)[..] {
        [Action::Open(token)] => (link, token),
        ref other => panic!("{other:?}"),
    }
}

fn pass(link: &mut Link, now: &mut Instant, duration: Duration) -> Vec<Action> {
    let end = *now + duration;
    let mut done = Vec::new();
    while let Some(deadline) = link.deadline().filter(|deadline| *deadline <= end) {
        *now = deadline;
        link.handle_timeout(*now);
        done.extend(actions(link));
    }
    *now = end;
    done
}

#[test]
fn a_wish_names_its_link() {
    let (_, token) = opening(Instant::now());
    assert_eq!(Link::number_of(token), 3);
}

#[test]
fn what_we_have_opened_is_used_at_once_and_what_was_opened_to_us_once_it_is_proven() {
    let now = Instant::now();
    let (mut ours, token) = opening(now);
    ours.established(now, id(1), rank(OURS, 1), Some(token));
    assert_eq!(actions(&mut ours), [Action::Use(Some(id(1)))]);

    let mut theirs = link(now);
    theirs.established(now, id(1), rank(THEIRS, 1), None);
    assert_eq!(actions(&mut theirs), []);
    theirs.proven(now, id(1));
    assert_eq!(actions(&mut theirs), [Action::Use(Some(id(1)))]);
}

#[test]
fn one_that_is_proven_makes_our_wish_needless() {
    let now = Instant::now();
    let (mut link, token) = opening(now);
    link.established(now, id(1), rank(THEIRS, 1), None);
    link.proven(now, id(1));
    assert_eq!(actions(&mut link), [Action::Cancel(token), Action::Use(Some(id(1)))]);
    // Its failure, which was on its way, changes nothing.
    link.failed(now, token);
    assert_eq!(link.deadline(), Some(now), "only the next challenge, which is not needed");
    link.handle_timeout(now);
    assert_eq!((actions(&mut link), link.deadline()), (vec![], None));
}

#[test]
fn of_one_opener_the_smaller_random_wins() {
    let mut now = Instant::now();
    let mut link = link(now);
    for (number, random) in [(1, 9), (2, 4), (3, 7)] {
        link.established(now, id(number), rank(THEIRS, random), None);
    }
    [1, 2, 3].into_iter().for_each(|number| link.proven(now, id(number)));
    assert_eq!(link.current(), Some(id(2)));
    let closed = pass(&mut link, &mut now, LINGER);
    let closes = |number| closed.contains(&Action::Close(id(number)));
    assert_eq!([1, 2, 3].map(closes), [true, false, true]);
}

#[test]
fn a_newcomer_makes_all_prove_themselves_and_data_stays_until_one_has() {
    let mut now = Instant::now();
    let (mut link, token) = opening(now);
    link.established(now, id(1), rank(OURS, 1), Some(token));
    link.proven(now, id(1));
    pass(&mut link, &mut now, Duration::from_secs(100));
    link.established(now, id(2), rank(THEIRS, 1), None);
    assert_eq!(link.current(), Some(id(1)));
    link.handle_timeout(now);
    assert_eq!(actions(&mut link), [Action::Probe(id(1)), Action::Probe(id(2))]);
    link.proven(now, id(2));
    assert_eq!(link.current(), Some(id(2)), "the first may be lost at the other end");
    link.proven(now, id(1));
    assert_eq!(link.current(), Some(id(1)), "it is not, and goes first");
}

#[test]
fn a_dead_association_is_closed_even_if_it_is_the_only_one() {
    let mut now = Instant::now();
    let mut link = link(now);
    link.established(now, id(1), rank(THEIRS, 1), None);
    let done = pass(&mut link, &mut now, DEAD_AFTER - Duration::from_millis(1));
    assert!(!done.contains(&Action::Close(id(1))));
    let done = pass(&mut link, &mut now, SLOW_PROBE_EVERY);
    assert!(done.contains(&Action::Close(id(1))) && link.is_empty());
}

#[test]
fn failures_are_followed_by_ever_longer_pauses() {
    let mut now = Instant::now();
    let mut link = link(now);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let due = link.deadline().unwrap();
        pauses.push(due - now);
        now = due;
        link.handle_timeout(now);
        let [Action::Open(token)] = actions(&mut link)[..] else { panic!("nothing is opened") };
        link.failed(now, token);
    }
    assert!(pauses[1..].is_sorted() && pauses[1] < Duration::from_secs(1), "{pauses:?}");
    assert!(*pauses.last().unwrap() >= RETRY_DELAY_MAX.mul_f64(0.9), "{pauses:?}");
}

#[test]
fn associations_are_bounded_and_the_oldest_unproven_gives_way() {
    let now = Instant::now();
    let mut link = link(now);
    for number in 1..=MEMBERS_MAX as u32 {
        link.established(now, id(number), rank(THEIRS, number as u8), None);
    }
    assert_eq!(actions(&mut link), []);
    link.established(now, id(99), rank(THEIRS, 99), None);
    assert_eq!((actions(&mut link), link.len()), (vec![Action::Close(id(1))], MEMBERS_MAX));
}

#[test]
fn who_drains_opens_nothing_more() {
    let mut now = Instant::now();
    let (mut link, token) = opening(now);
    link.drain();
    assert_eq!(actions(&mut link), [Action::Cancel(token)]);
    link.established(now, id(1), rank(THEIRS, 1), None);
    link.closed(now, id(1));
    assert_eq!(pass(&mut link, &mut now, Duration::from_secs(100)), []);
}
