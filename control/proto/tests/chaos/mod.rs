//! Many nodes, every fault there is, and a reference model beside them that is asked after each step.
//!
//! A seed decides on everything. `XDTLS_SEED=n` repeats one; `XDTLS_SEEDS=n` runs as many as asked
//! for. What fails names its seed.

mod model;
mod reach;
mod scene;
mod weather;

use crate::support::rng::Rng;
use scene::Scene;

/// Seeds of an ordinary run.
const SEEDS: u64 = 80;

/// The number in an environment variable.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// The seeds to run: those that the environment asks for, or as many as usual.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let one = variable("XDTLS_SEED");
    one.map_or(0..variable("XDTLS_SEEDS").unwrap_or(usual), |seed| seed..seed + 1)
}

/// Names the seed of a scene that has panicked.
pub(crate) struct Named(pub(crate) u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            println!("repeat this with XDTLS_SEED={} cargo test -p xdtls-proto {test}", self.0);
        }
    }
}

fn play(rng: Rng) -> Scene {
    let mut scene = Scene::new(rng);
    scene.rage();
    scene.calm_down();
    scene.end();
    scene
}

/// Plays the scene that `bytes` dictate; a fuzzer does.
pub(crate) fn direct(bytes: &[u8]) {
    play(Rng::dictated(bytes));
}

#[test]
fn whatever_happens_the_world_does_what_the_model_says() {
    let seeds = seeds(SEEDS);
    let mut delivered = 0;
    let mut established = 0;
    let mut lost = 0;
    let (mut moved, mut stayed) = (0, 0);
    for seed in seeds.clone() {
        let _named = Named(seed);
        let scene = play(Rng::new(seed));
        delivered += scene.model.delivered;
        lost += scene.model.undelivered();
        established += scene.model.established;
        moved += scene.moved();
        stayed += scene.moved_in_vain();
    }
    println!(
        "{} seeds: {established} associations, {delivered} datagrams delivered, {lost} lost, \
         {moved} moves, {stayed} in vain",
        seeds.end - seeds.start
    );
    assert!(established > 0 && delivered > 0 && lost > 0, "nothing has happened");
    assert!(seeds.end - seeds.start == 1 || moved > 0 && stayed > 0, "nobody has moved");
}

#[test]
fn a_scene_can_be_dictated() {
    direct(b"");
    direct(&[7; 99]);
    direct(&(0..=255).collect::<Vec<u8>>());
}
