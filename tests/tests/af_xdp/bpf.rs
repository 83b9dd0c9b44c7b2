//! A small XDP program, written instruction by instruction, so that these tests need no compiler
//! for BPF: IPv4 datagrams go to the socket of (receive queue, first byte of the payload) in an
//! XSKMAP, everything else to the kernel.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Native XDP (`XDP_FLAGS_DRV_MODE`) or generic (`XDP_FLAGS_SKB_MODE`).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Native = 1 << 2,
    Generic = 1 << 1,
}

/// Bytes before the payload of a UDP datagram over IPv4 without options.
pub(crate) const HEADERS: usize = 14 + 20 + 8;

/// The program, attached for as long as this lives, and its map.
pub(crate) struct Redirect {
    map: OwnedFd,
    _link: OwnedFd,
}

impl Redirect {
    /// Attaches to an interface of the calling thread's network namespace.
    pub(crate) fn attach(interface: u32, shards: u32, mode: Mode) -> io::Result<Self> {
        const MAP_TYPE_XSKMAP: u32 = 17;
        const ATTACH_TYPE_XDP: u32 = 37;
        let map =
            bpf(Command::MapCreate, &[Field::U32([MAP_TYPE_XSKMAP, 4]), Field::U32([4, 64])])?;
        let program = load(&instructions(map.as_raw_fd(), shards))?;
        let link = bpf(
            Command::LinkCreate,
            &[
                Field::U32([program.as_raw_fd() as u32, interface]),
                Field::U32([ATTACH_TYPE_XDP, mode as u32]),
            ],
        )?;
        Ok(Self { map, _link: link })
    }

    /// Puts a socket into the map.
    pub(crate) fn set(&self, index: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let socket = socket.as_raw_fd();
        let fields = [
            Field::U32([self.map.as_raw_fd() as u32, 0]),
            Field::Pointer((&raw const index).cast()),
            Field::Pointer((&raw const socket).cast()),
        ];
        call(Command::MapUpdateElement, &fields).map(drop)
    }
}

fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    const PROGRAM_TYPE_XDP: u32 = 6;
    let mut log = vec![0_u8; 1 << 16];
    let fields = [
        Field::U32([PROGRAM_TYPE_XDP, instructions.len() as u32]),
        Field::Pointer(instructions.as_ptr().cast()),
        Field::Pointer(c"GPL".as_ptr().cast()),
        Field::U32([1, log.len() as u32]),
        Field::Pointer(log.as_mut_ptr()),
    ];
    bpf(Command::ProgramLoad, &fields)
        .map_err(|error| io::Error::other(format!("{error}\n{}", String::from_utf8_lossy(&log))))
}

fn instructions(map: RawFd, shards: u32) -> Vec<u64> {
    const PASS: i32 = 2;
    const REDIRECT_MAP: i32 = 51;
    const UDP: i32 = 17;
    // Operation, destination and source register, offset, constant.
    let instruction = |code: u8, to: u64, from: u64, offset: i16, constant: i32| {
        let offset = u64::from(offset as u16);
        let constant = u64::from(constant as u32);
        u64::from(code) | to << 8 | from << 12 | offset << 16 | constant << 32
    };
    vec![
        instruction(0x61, 2, 1, 0, 0),                  //  0 r2 = context.data
        instruction(0x61, 3, 1, 4, 0),                  //  1 r3 = context.data_end
        instruction(0xbf, 4, 2, 0, 0),                  //  2 r4 = r2
        instruction(0x07, 4, 0, 0, HEADERS as i32 + 1), // 3 r4 += headers and one byte
        instruction(0x2d, 4, 3, 14, 0),                 //  4 if r4 > r3 goto 19
        instruction(0x69, 5, 2, 12, 0),                 //  5 r5 = EtherType
        instruction(0x55, 5, 0, 12, 0x0008),            //  6 if r5 != IPv4 goto 19
        instruction(0x71, 5, 2, 23, 0),                 //  7 r5 = protocol
        instruction(0x55, 5, 0, 10, UDP),               //  8 if r5 != UDP goto 19
        instruction(0x71, 5, 2, HEADERS as i16, 0),     //  9 r5 = first byte of the payload
        instruction(0x97, 5, 0, 0, shards as i32),      // 10 r5 %= shards
        instruction(0x61, 2, 1, 16, 0),                 // 11 r2 = context.rx_queue_index
        instruction(0x27, 2, 0, 0, shards as i32),      // 12 r2 *= shards
        instruction(0x0f, 2, 5, 0, 0),                  // 13 r2 += r5
        instruction(0x18, 1, 1, 0, map),                // 14 r1 = map
        0,                                              // 15 (second half)
        instruction(0xb7, 3, 0, 0, PASS),               // 16 r3 = pass, if there is no socket
        instruction(0x85, 0, 0, 0, REDIRECT_MAP),       // 17 r0 = redirect_map(r1, r2, r3)
        instruction(0x95, 0, 0, 0, 0),                  // 18 return r0
        instruction(0xb7, 0, 0, 0, PASS),               // 19 r0 = pass
        instruction(0x95, 0, 0, 0, 0),                  // 20 return r0
    ]
}

/// Commands of bpf(2) (linux/bpf.h).
enum Command {
    MapCreate = 0,
    MapUpdateElement = 2,
    ProgramLoad = 5,
    LinkCreate = 28,
}

/// Eight bytes of `union bpf_attr`.
enum Field {
    U32([u32; 2]),
    Pointer(*const u8),
}

/// A command that makes something.
fn bpf(command: Command, fields: &[Field]) -> io::Result<OwnedFd> {
    let fd = call(command, fields)?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call(command: Command, fields: &[Field]) -> io::Result<RawFd> {
    let mut attribute = [0_u64; 16];
    for (word, field) in attribute.iter_mut().zip(fields) {
        *word = match field {
            Field::U32([low, high]) => u64::from(*low) | u64::from(*high) << 32,
            Field::Pointer(pointer) => *pointer as u64,
        };
    }
    // SAFETY: the attribute is as large as we say; what its pointers lead to is alive in the
    // callers, and of the size that the map or the other fields give.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_int,
            attribute.as_mut_ptr(),
            size_of_val(&attribute),
        )
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome as RawFd) }
}
