//! The generator: the eBPF object, its plan, and what has come back.

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::maps::{Array, DevMap, MapData, PerCpuArray};
use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp, xdp};
use aya::{Ebpf, EbpfLoader};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use xdtls_bench_plan::reply::{Reply, Watched};
use xdtls_bench_plan::{COOKIE_LEN, FRAME_MAX, Frame, Plan};

use crate::interrupt::Interrupt;
use crate::kind::Script;

/// Where below the target folder the objects lie: ours, and the gateway's.
const OBJECT: &str = "bpf/xdtls-bench.o";
const GATEWAY_OBJECT: &str = "bpf/xdtls-datapath.o";

/// How many frames one call of the kernel sends at most: large, because a call takes 20 ms by itself.
/// A signal ends it early.
const CHUNK: u64 = 4 << 20;

/// How many frames the kernel hands over at once when there is no rate to keep.
const BATCH: u32 = 256;

/// How often a rate is made up for.
const PACE: Duration = Duration::from_millis(1);

/// From this rate on, in frames a second, the program waits before each frame: a call for the frames
/// of a millisecond would take longer than that, and send them all at once.
const IN_PROGRAM: u64 = 25_000;

/// How many frames the kernel hands over at once when there is a rate to keep. What is received on
/// the same CPU is received behind them.
const PACED_BATCH: u32 = 64;

/// The size of a plan as bytes of a map.
const PLAN_LEN: usize = size_of::<Plan>();

/// What has come back to the senders' addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Replies {
    /// HelloVerifyRequests.
    pub hello_verify_requests: u64,
    /// ServerHellos.
    pub server_hellos: u64,
    /// Anything else.
    pub other: u64,
    /// Bytes of all of them, Ethernet headers included.
    pub bytes: u64,
}

/// What a run has sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Their bytes, Ethernet headers included.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// The loaded programs. What is attached detaches when this is dropped, or the process ends.
pub struct Generator {
    ebpf: Ebpf,
    plan: Array<MapData, [u8; PLAN_LEN]>,
    frame: Array<MapData, Frame>,
    replies: PerCpuArray<MapData, u64>,
}

/// The object that `cargo xtask build` has made.
pub fn object() -> Result<PathBuf> {
    built(OBJECT)
}

/// The gateway's object, which is also a part of its program.
pub fn gateway_object() -> Result<PathBuf> {
    built(GATEWAY_OBJECT)
}

fn built(object: &str) -> Result<PathBuf> {
    let own = env::current_exe()?;
    let found = own.ancestors().map(|folder| folder.join(object)).find(|path| path.is_file());
    found.with_context(|| format!("{object} is not built: `cargo xtask build` builds it"))
}

/// A program of the object, loaded.
pub fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program: &mut Xdp =
        ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    match program.load() {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(program),
        Err(error) => Err(error).with_context(|| format!("the program {name} does not load")),
    }
}

/// The index of an interface in this network namespace.
pub fn interface_index(interface: &str) -> Result<u32> {
    let path = Path::new("/sys/class/net").join(interface).join("ifindex");
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("there is no interface {interface} here"))?;
    Ok(text.trim().parse()?)
}

impl Generator {
    /// Loads the object, with room for the cookies of so many identities.
    pub fn load(interface: &str, identities: u32) -> Result<Self> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("COOKIES", identities)
            .load_file(object()?)
            .context("the eBPF object of the bench does not load; that needs root")?;
        let mut out: DevMap<_> = take(&mut ebpf, "INTERFACE")?.try_into()?;
        out.set(0, interface_index(interface)?, None, 0)?;
        let plan = take(&mut ebpf, "PLAN")?.try_into()?;
        let frame = take(&mut ebpf, "FRAME")?.try_into()?;
        let replies = take(&mut ebpf, "REPLIES")?.try_into()?;
        program(&mut ebpf, "generate")?;
        // The kernel keeps the map for the program.
        drop(out);
        Ok(Self { ebpf, plan, frame, replies })
    }

    /// Makes this the plan to send, from its first frame.
    pub fn set_plan(&mut self, script: &Script) -> Result<()> {
        self.plan.set(0, bytemuck::must_cast::<_, [u8; PLAN_LEN]>(script.plan), 0)?;
        self.frame.set(0, script.frame, 0)?;
        Ok(())
    }

    /// Counts replies on an interface from now on. Replies that XDP sends reach a veth only if a
    /// program is there.
    pub fn watch_replies(&mut self, interface: &str, watched: &Watched) -> Result<()> {
        let mut map: Array<_, [u8; 16]> = take(&mut self.ebpf, "WATCHED")?.try_into()?;
        map.set(0, bytemuck::must_cast::<_, [u8; 16]>(*watched), 0)?;
        let index = interface_index(interface)?;
        program(&mut self.ebpf, "replies")?
            .attach_to_if_index(index, xdp::XdpMode::Driver)
            .with_context(|| format!("cannot count replies on {interface}"))?;
        Ok(())
    }

    /// What has come back so far.
    pub fn replies(&self) -> Result<Replies> {
        let mut sums = [0; 2 * Reply::COUNT as usize];
        for (index, sum) in (0..).zip(&mut sums) {
            *sum = self.replies.get(&index, 0)?.iter().sum();
        }
        let [hello_verify_requests, server_hellos, other, bytes @ ..] = sums;
        Ok(Replies { hello_verify_requests, server_hellos, other, bytes: bytes.iter().sum() })
    }

    /// How many of the first `identities` have no cookie.
    pub fn cookies_missing(&self, identities: u32) -> Result<u32> {
        let cookies: Array<_, [u8; COOKIE_LEN]> =
            Array::try_from(self.ebpf.map("COOKIES").context("the object has no map COOKIES")?)?;
        let mut missing = 0;
        for index in 0..identities {
            missing += u32::from(cookies.get(&index, 0)? == [0; COOKIE_LEN]);
        }
        Ok(missing)
    }

    /// Sends the next frames of the plan, at most `rate` a second if that is not 0. A signal ends
    /// it early; `progress` hears of every call.
    pub fn send(
        &mut self,
        count: u64,
        rate: u64,
        interrupt: &Interrupt,
        mut progress: impl FnMut(u64),
    ) -> Result<Sent> {
        let mut plan = self.current()?;
        let (first, length) = (plan.next, plan.length);
        let by_program = rate >= IN_PROGRAM;
        plan.gap_ns = if by_program { 1_000_000_000 / rate } else { 0 };
        self.plan.set(0, bytemuck::must_cast::<_, [u8; PLAN_LEN]>(plan), 0)?;
        let start = Instant::now();
        while plan.next - first < count && !interrupt.has_come() {
            let sent = plan.next - first;
            let due = match rate {
                _ if by_program => count,
                0 => count,
                _ => count.min(1 + (start.elapsed().as_secs_f64() * rate as f64) as u64),
            };
            if due <= sent {
                std::thread::sleep(PACE);
                continue;
            }
            let batch = if by_program { PACED_BATCH } else { BATCH };
            self.run((due - sent).min(CHUNK), length, batch)?;
            plan = self.current()?;
            progress(plan.next - first);
        }
        let frames = plan.next - first;
        let seconds = start.elapsed().as_secs_f64();
        Ok(Sent { frames, bytes: frames * u64::from(length), seconds })
    }

    fn current(&self) -> Result<Plan> {
        Ok(bytemuck::must_cast(self.plan.get(&0, 0)?))
    }

    /// One call of the kernel.
    fn run(&mut self, count: u64, length: u32, batch: u32) -> Result<()> {
        let blank = [0; FRAME_MAX];
        let options = TestRunOptions {
            data_in: Some(&blank[..=length as usize]),
            repeat: count as u32,
            attrs: TestRunAttrs::new().xdp_live_frames(batch.min(count as u32)),
            ..TestRunOptions::new()
        };
        match program(&mut self.ebpf, "generate")?.test_run(options) {
            Ok(_) => Ok(()),
            Err(ProgramError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(Errno::INTR.raw_os_error()) =>
            {
                Ok(())
            }
            Err(error) => bail!("the kernel does not send frames: {error:?}"),
        }
    }
}

/// A map of the object.
pub(crate) fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name).with_context(|| format!("the object has no map {name}"))
}
