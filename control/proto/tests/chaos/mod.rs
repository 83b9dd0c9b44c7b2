//! Many nodes, every fault there is, and a reference model beside them that is asked after each step.
//!
//! A seed decides on everything. `XDTLS_SEED=n` repeats one; `XDTLS_SEEDS=n` runs as many as asked
//! for. What fails names its seed.

mod model;
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

/// Names the seed of a scene that has panicked.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("repeat this with XDTLS_SEED={} cargo test -p xdtls-proto chaos", self.0);
        }
    }
}

fn play(seed: u64) -> Scene {
    let _named = Named(seed);
    let mut scene = Scene::new(Rng::new(seed));
    scene.rage();
    scene.calm_down();
    scene.end();
    scene
}

#[test]
fn whatever_happens_the_world_does_what_the_model_says() {
    let one = variable("XDTLS_SEED");
    let seeds = one.map_or(0..variable("XDTLS_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let mut delivered = 0;
    let mut established = 0;
    let mut lost = 0;
    for seed in seeds.clone() {
        let scene = play(seed);
        delivered += scene.model.delivered;
        lost += scene.model.undelivered();
        established += scene.model.established;
    }
    println!(
        "{} seeds: {established} associations, {delivered} datagrams delivered, {lost} lost",
        seeds.end - seeds.start
    );
    assert!(established > 0 && delivered > 0 && lost > 0, "nothing has happened");
}
