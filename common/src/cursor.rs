//! A forward-only reader of packet bytes.
//!
//! Userspace reads slices; the XDP program reads between two packet pointers and has to convince
//! the verifier at each step. Parsers are generic over this trait and therefore exist once.

/// The packet ended before the field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// A forward-only reader of packet bytes. A clone reads the same bytes again.
pub trait Cursor: Clone {
    /// Takes the next `N` bytes.
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Truncated>;

    /// Passes over `count` bytes.
    fn skip(&mut self, count: usize) -> Result<(), Truncated>;

    /// Passes over `count` bytes of which it is known that they are there.
    fn skip_within(&mut self, count: usize) -> Result<(), Truncated> {
        self.skip(count)
    }

    /// Bytes that are left.
    fn remaining(&self) -> usize;

    /// Takes one byte.
    fn u8(&mut self) -> Result<u8, Truncated> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// Takes a big-endian 16-bit number.
    fn u16(&mut self) -> Result<u16, Truncated> {
        self.take().map(u16::from_be_bytes)
    }

    /// Takes a big-endian 24-bit number, the width of DTLS handshake lengths.
    fn u24(&mut self) -> Result<u32, Truncated> {
        self.take::<3>().map(|[high, middle, low]| u32::from_be_bytes([0, high, middle, low]))
    }

    /// Takes a big-endian 32-bit number.
    fn u32(&mut self) -> Result<u32, Truncated> {
        self.take().map(u32::from_be_bytes)
    }
}

/// The cursor of userspace: over a slice.
#[derive(Clone, Copy, Debug)]
pub struct SliceCursor<'a> {
    rest: &'a [u8],
}

impl<'a> SliceCursor<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl Cursor for SliceCursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn skip(&mut self, count: usize) -> Result<(), Truncated> {
        self.rest = self.rest.get(count..).ok_or(Truncated)?;
        Ok(())
    }

    fn remaining(&self) -> usize {
        self.rest.len()
    }
}

/// A cursor that ends where a length field says, although the packet may go on.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<C> {
    inner: C,
    left: usize,
}

impl<C: Cursor> Bounded<C> {
    /// The next `length` bytes of `inner`, all of which must be there.
    pub fn new(inner: C, length: usize) -> Result<Self, Truncated> {
        if length > inner.remaining() { Err(Truncated) } else { Ok(Self { inner, left: length }) }
    }

    /// The cursor without the bound, for what has been read once and is within it.
    #[inline(always)]
    pub fn into_inner(self) -> C {
        self.inner
    }
}

impl<C: Cursor> Cursor for Bounded<C> {
    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        self.left = self.left.checked_sub(N).ok_or(Truncated)?;
        self.inner.take()
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) -> Result<(), Truncated> {
        self.left = self.left.checked_sub(count).ok_or(Truncated)?;
        self.inner.skip_within(count)
    }

    #[inline(always)]
    fn remaining(&self) -> usize {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_in_order_and_stops_at_the_end() {
        let mut cursor = SliceCursor::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u16(), Ok(0x0203));
        assert_eq!(cursor.u24(), Ok(0x0004_0506));
        assert_eq!(cursor.u32(), Ok(0x0708_090a));
        assert_eq!(cursor.remaining(), 1);
        assert_eq!(cursor.u16(), Err(Truncated));
        assert_eq!(cursor.skip(2), Err(Truncated));
        assert_eq!(cursor.rest(), &[11]);
        assert_eq!(cursor.skip(1), Ok(()));
        assert_eq!(cursor.u8(), Err(Truncated));
    }

    #[test]
    fn a_bounded_cursor_ends_before_its_packet() {
        let packet = SliceCursor::new(&[1, 2, 3, 4, 5]);
        assert_eq!(Bounded::new(packet, 6).err(), Some(Truncated));
        let mut cursor = Bounded::new(packet, 3).unwrap();
        assert_eq!(cursor.remaining(), 3);
        assert_eq!(cursor.u16(), Ok(0x0102));
        assert_eq!(cursor.clone().u16(), Err(Truncated));
        assert_eq!(cursor.clone().skip(2), Err(Truncated));
        assert_eq!(cursor.skip(1), Ok(()));
        assert_eq!(cursor.remaining(), 0);
        assert_eq!(cursor.u8(), Err(Truncated));
    }
}
